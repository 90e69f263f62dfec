//! A row as SQLite stores it: a header with the type of each value, and the values (file format, 2.1).

use std::borrow::Cow;

use osiris_sdk::{Error, Result};

use crate::bytes::varint;
use crate::header::Encoding;

/// A value, of one of SQLite's five storage classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    /// A text in the encoding of the file.
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// The values of a row, in the order in which they are stored.
///
/// # Errors
/// `data` for a row whose parts do not fit together.
pub fn values<'a>(row: &'a [u8], values: &mut Vec<Value<'a>>) -> Result<()> {
    values.clear();
    parse(row, values).ok_or_else(|| Error::data("it is damaged: the parts of a row do not fit together"))
}

fn parse<'a>(row: &'a [u8], values: &mut Vec<Value<'a>>) -> Option<()> {
    let (length, mut at) = varint(row, 0)?;
    let end = usize::try_from(length).ok().filter(|end| *end <= row.len())?;
    let mut body = end;
    while at < end {
        let (kind, width) = varint(row, at)?;
        at += width;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            12.. => usize::try_from((kind - 12) / 2).ok()?,
            _ => return None,
        };
        let next = body.checked_add(size)?;
        let bytes = row.get(body..next)?;
        body = next;
        values.push(match kind {
            0 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            // A number that is not a number is stored as null, but a damaged file may have one.
            7 => match f64::from_be_bytes(bytes.try_into().ok()?) {
                real if real.is_nan() => Value::Null,
                real => Value::Real(real),
            },
            1..=6 => {
                let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
                Value::Integer(bytes.iter().fold(sign, |number: i64, byte| number << 8 | i64::from(*byte)))
            }
            _ if kind % 2 == 0 => Value::Blob(bytes),
            _ => Value::Text(bytes),
        });
    }
    (at == end).then_some(())
}

/// A text; `None` if it is not valid in the encoding of the file.
pub fn text(bytes: &[u8], encoding: Encoding) -> Option<Cow<'_, str>> {
    let units = |from: fn([u8; 2]) -> u16| {
        let pairs = bytes.chunks_exact(2);
        pairs.remainder().is_empty().then(|| pairs.map(|pair| from([pair[0], pair[1]])).collect::<Vec<u16>>())
    };
    match encoding {
        Encoding::Utf8 => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Encoding::Utf16Le => String::from_utf16(&units(u16::from_le_bytes)?).ok().map(Cow::Owned),
        Encoding::Utf16Be => String::from_utf16(&units(u16::from_be_bytes)?).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_row_has_its_types_before_its_values() {
        let mut found = Vec::new();
        values(&[8, 0, 1, 8, 9, 5, 15, 14, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, b'a', 7], &mut found).unwrap();
        let expected = [
            Value::Null,
            Value::Integer(-1),
            Value::Integer(0),
            Value::Integer(1),
            Value::Integer(-2),
            Value::Text(b"a"),
            Value::Blob(&[7]),
        ];
        assert_eq!(found, expected);
        for damaged in [&[] as &[u8], &[9], &[2, 1], &[2, 10, 0], &[2, 0x7f], &[3, 0xff, 0xff, 0xff]] {
            assert!(values(damaged, &mut found).is_err(), "{damaged:?}");
        }
    }
}
