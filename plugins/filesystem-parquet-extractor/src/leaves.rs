//! The leaves of nested columns, located and replaced in batches.

use std::ops::Range;

use osiris_sdk::{Error, Field, Node, Result, Schema};

/// The positions of a column's leaves among all fields of a schema.
pub fn places(schema: &Schema, column: usize) -> Vec<usize> {
    schema.span(column).filter(|&place| schema.fields()[place].children == 0).collect()
}

/// The values of a leaf of bytes (`z`), or of text (`u`); `None` for null.
///
/// # Errors
/// `data` for a leaf of another type.
pub fn bytes<'a>(field: &Field, node: &'a Node) -> Result<impl Iterator<Item = Option<&'a [u8]>>> {
    let wrong =
        || Error::internal(format!("the leaf `{}` is `{}`, where bytes were expected", field.name, field.format));
    let ([validity, ends, values], "z") = (node.buffers.as_slice(), field.format.as_str()) else { return Err(wrong()) };
    let offset = move |place: usize| {
        let bytes = ends.get(place * 4..place * 4 + 4).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
    };
    Ok((0..node.length as usize).map(move |place| {
        let range: Range<usize> = offset(place)..offset(place + 1);
        if is_valid(validity, place) { Some(values.get(range).unwrap_or_default()) } else { None }
    }))
}

/// The values of a leaf of 64-bit numbers; `None` for null.
pub fn numbers(node: &Node) -> impl Iterator<Item = Option<i64>> {
    let validity = node.buffers.first().map(Vec::as_slice).unwrap_or_default();
    let values = node.buffers.get(1).map(Vec::as_slice).unwrap_or_default();
    (0..node.length as usize).map(move |place| {
        let bytes = values.get(place * 8..place * 8 + 8).and_then(|bytes| bytes.first_chunk());
        bytes.filter(|_| is_valid(validity, place)).map(|bytes| i64::from_le_bytes(*bytes))
    })
}

fn is_valid(bitmap: &[u8], place: usize) -> bool {
    bitmap.get(place / 8).is_none_or(|byte| byte >> (place % 8) & 1 == 1)
}

/// A leaf of text that replaces one with the same nulls.
pub fn text(node: &Node, values: impl Iterator<Item = Option<String>>) -> Node {
    let (mut ends, mut bytes) = (0_i32.to_le_bytes().to_vec(), Vec::new());
    for value in values {
        bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
        // The host refuses a batch that is too large for 32 bits.
        ends.extend_from_slice(&i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_le_bytes());
    }
    let validity = node.buffers.first().cloned().unwrap_or_default();
    Node { length: node.length, buffers: vec![validity, ends, bytes] }
}

/// A leaf of 64-bit numbers that replaces one with the same nulls.
pub fn of_numbers(node: &Node, values: impl Iterator<Item = Option<i64>>) -> Node {
    let numbers = values.flat_map(|value| value.unwrap_or_default().to_le_bytes()).collect();
    let validity = node.buffers.first().cloned().unwrap_or_default();
    Node { length: node.length, buffers: vec![validity, numbers] }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn leaves_are_read_and_replaced_with_their_nulls() {
        let field = Field { name: "a".into(), format: "z".into(), nullable: true, children: 0, metadata: Vec::new() };
        let ends = [0_i32, 2, 2, 3].iter().flat_map(|end| end.to_le_bytes()).collect();
        let node = Node { length: 3, buffers: vec![vec![0b101], ends, vec![1, 2, 3]] };
        let read: Vec<Option<&[u8]>> = bytes(&field, &node).unwrap().collect();
        assert_eq!(read, [Some([1_u8, 2].as_slice()), None, Some(&[3])]);
        let exchanged = text(&node, ["x", "", "yz"].into_iter().map(|text| Some(text.to_owned())));
        assert_eq!(
            (exchanged.buffers[0].as_slice(), exchanged.buffers[2].as_slice()),
            ([0b101].as_slice(), b"xyz".as_slice())
        );
        let moments = of_numbers(&node, [Some(5), None, Some(-1)].into_iter());
        assert_eq!(numbers(&moments).collect::<Vec<_>>(), [Some(5), None, Some(-1)]);
        let number = Field { format: "l".into(), ..field };
        assert!(bytes(&number, &node).is_err());
    }
}
