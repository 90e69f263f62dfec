//! A column being filled from the fields of a binary COPY, in Arrow's layout.

use osiris_sdk::{Field, Node};
use postgres_client::types::Kind;
use serde::Deserialize;

use crate::refusal::Wrong;
use crate::value;

/// How to handle a value that its DuckDB type cannot hold, such as NaN in a DECIMAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unrepresentable {
    #[default]
    Error,
    Null,
}

/// A growing sequence of values of one type.
#[derive(Debug)]
pub struct Column {
    kind: Kind,
    unrepresentable: Unrepresentable,
    rows: usize,
    nulls: usize,
    nulled: u64,
    /// The number of arrays whose first subscript is not 1.
    renumbered: u64,
    /// Empty until the first null.
    validity: Vec<u8>,
    /// 32-bit ends of texts and lists, after an initial 0; unused for other types.
    offsets: Vec<u8>,
    values: Vec<u8>,
    /// A list's values.
    item: Option<Box<Column>>,
}

impl Column {
    pub fn new(kind: &Kind, unrepresentable: Unrepresentable) -> Self {
        let item = match kind {
            Kind::List(item) => Some(Box::new(Column::new(item, unrepresentable))),
            _ => None,
        };
        let mut column = Self {
            kind: kind.clone(),
            unrepresentable,
            rows: 0,
            nulls: 0,
            nulled: 0,
            renumbered: 0,
            validity: Vec::new(),
            offsets: Vec::new(),
            values: Vec::new(),
            item,
        };
        column.start();
        column
    }

    fn start(&mut self) {
        (self.rows, self.nulls) = (0, 0);
        self.validity.clear();
        self.values.clear();
        self.offsets.clear();
        if value::has_offsets(&self.kind) {
            self.offsets.extend_from_slice(&0_i32.to_le_bytes());
        }
    }

    /// The fields of a column called `name`, in pre-order.
    pub fn fields(&self, name: &str) -> Vec<Field> {
        let (format, metadata) = value::format(&self.kind);
        let mut fields = vec![Field {
            name: name.to_owned(),
            format,
            nullable: true,
            children: u32::from(self.item.is_some()),
            metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }];
        fields.extend(self.item.iter().flat_map(|item| item.fields("item")));
        fields
    }

    /// How many arrays have a first subscript other than 1, which a list cannot express.
    pub fn renumbered(&self) -> u64 {
        self.renumbered
    }

    /// How many values, including items of lists, became null because the type cannot hold them.
    pub fn nulled(&self) -> u64 {
        self.nulled + self.item.as_ref().map_or(0, |item| item.nulled())
    }

    /// How many bytes are waiting to be sent.
    pub fn bytes(&self) -> usize {
        self.values.len() + self.offsets.len() + self.item.as_ref().map_or(0, |item| item.bytes())
    }

    /// Takes the field at the start of `row`; returns the rest of the row.
    #[inline]
    pub fn take<'a>(&mut self, row: &'a [u8]) -> Result<&'a [u8], Wrong> {
        let (head, rest) = row.split_first_chunk::<4>().ok_or(Wrong::Malformed)?;
        match i32::from_be_bytes(*head) {
            -1 => {
                self.push_null();
                Ok(rest)
            }
            length => {
                let length = usize::try_from(length).map_err(|_| Wrong::Malformed)?;
                let (field, rest) = rest.split_at_checked(length).ok_or(Wrong::Malformed)?;
                self.push(field)?;
                Ok(rest)
            }
        }
    }

    #[inline]
    fn push(&mut self, field: &[u8]) -> Result<(), Wrong> {
        let pushed =
            if self.item.is_some() { self.push_array(field) } else { value::push(&self.kind, field, &mut self.values) };
        match pushed {
            Ok(()) => self.end_value(true),
            Err(Wrong::Unrepresentable(_)) if self.unrepresentable == Unrepresentable::Null => {
                self.push_null();
                self.nulled += 1;
                Ok(())
            }
            Err(wrong) => Err(wrong),
        }
    }

    fn push_null(&mut self) {
        self.values.resize(self.values.len() + value::width(&self.kind), 0);
        // An end that fitted before fits again.
        let _ = self.end_value(false);
    }

    /// Ends a value whose bytes or items have been appended.
    #[inline]
    fn end_value(&mut self, valid: bool) -> Result<(), Wrong> {
        if !self.offsets.is_empty() {
            let end = self.item.as_ref().map_or(self.values.len(), |item| item.rows);
            let end = i32::try_from(end).map_err(|_| Wrong::TooLarge)?;
            self.offsets.extend_from_slice(&end.to_le_bytes());
        }
        if !valid && self.nulls == 0 {
            // All earlier values are present.
            self.validity.resize(self.rows.div_ceil(8), 0xff);
            if let (Some(last), used @ 1..) = (self.validity.last_mut(), self.rows % 8) {
                *last = (1 << used) - 1;
            }
        }
        if !valid || self.nulls > 0 {
            if self.rows.is_multiple_of(8) {
                self.validity.push(0);
            }
            if let Some(last) = self.validity.last_mut() {
                *last |= u8::from(valid) << (self.rows % 8);
            }
            self.nulls += usize::from(!valid);
        }
        self.rows += 1;
        Ok(())
    }

    /// How many levels of lists are nested.
    fn depth(&self) -> usize {
        self.item.as_ref().map_or(0, |item| 1 + item.depth())
    }

    fn push_array(&mut self, field: &[u8]) -> Result<(), Wrong> {
        let value::ArrayParts { sizes: dimensions, values, counts_from_one } = value::array(field)?;
        self.renumbered += u64::from(!counts_from_one);
        let expected = self.depth();
        if !dimensions.is_empty() && dimensions.len() != expected {
            return Err(Wrong::Depth { found: dimensions.len(), expected });
        }
        if self.push_items(&dimensions, values)?.is_empty() { Ok(()) } else { Err(Wrong::Malformed) }
    }

    /// Appends the items of one list, which may be lists; returns the rest of the array.
    fn push_items<'a>(&mut self, dimensions: &[usize], mut values: &'a [u8]) -> Result<&'a [u8], Wrong> {
        let (Some((count, inner)), Some(item)) = (dimensions.split_first(), self.item.as_mut()) else {
            return Ok(values);
        };
        for _ in 0..*count {
            if inner.is_empty() {
                values = item.take(values)?;
            } else {
                values = item.push_items(inner, values)?;
                item.end_value(true)?;
            }
        }
        Ok(values)
    }

    /// Returns the values as Arrow's nodes, in pre-order.
    pub fn finish(&mut self, nodes: &mut Vec<Node>) {
        let mut buffers = vec![std::mem::take(&mut self.validity)];
        if !self.offsets.is_empty() {
            buffers.push(std::mem::take(&mut self.offsets));
        }
        if self.item.is_none() {
            buffers.push(std::mem::take(&mut self.values));
        }
        nodes.push(Node { length: self.rows as u32, buffers });
        if let Some(item) = &mut self.item {
            item.finish(nodes);
        }
    }

    /// Starts again with the buffers of nodes that [`finish`](Self::finish) returned.
    pub fn reuse(&mut self, nodes: &mut impl Iterator<Item = Node>) {
        let mut buffers = nodes.next().map(|node| node.buffers).unwrap_or_default().into_iter();
        self.validity = buffers.next().unwrap_or_default();
        if value::has_offsets(&self.kind) {
            self.offsets = buffers.next().unwrap_or_default();
        }
        self.values = buffers.next().unwrap_or_default();
        self.start();
        if let Some(item) = &mut self.item {
            item.reuse(nodes);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::rc::Rc;

    use osiris_sdk::{Batch, RawBatch, Schema};

    use super::*;

    fn fields(values: &[Option<&[u8]>]) -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| match value {
                None => (-1_i32).to_be_bytes().to_vec(),
                Some(bytes) => [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat(),
            })
            .collect()
    }

    fn batch(mut column: Column, rows: u32) -> Batch {
        let mut nodes = Vec::new();
        column.finish(&mut nodes);
        Batch::new(Rc::new(Schema::new(column.fields("x"))), RawBatch { rows, nodes })
    }

    #[test]
    fn nulls_anywhere_are_marked() {
        for nulls in [vec![0], vec![7], vec![8], vec![3, 19], (0..20).collect()] {
            let mut column = Column::new(&Kind::Int4, Unrepresentable::Error);
            for row in 0..20_i32 {
                let value = row.to_be_bytes();
                let field = fields(&[(!nulls.contains(&row)).then_some(&value)]);
                assert!(column.take(&field).unwrap().is_empty());
            }
            let batch = batch(column, 20);
            let column = batch.column("x").unwrap();
            assert_eq!(column.null_count(), nulls.len());
            for row in 0..20 {
                assert_eq!(column.is_null(row as usize), nulls.contains(&row), "{row} in {nulls:?}");
                assert!(nulls.contains(&row) || column.values::<i32>().unwrap()[row as usize] == row);
            }
        }
    }

    #[test]
    fn arrays_become_lists_of_their_depth() {
        let array = |dimensions: &[u32], values: &[Option<&[u8]>]| {
            let words = [dimensions.len() as u32, 0, 23].into_iter();
            let words = words.chain(dimensions.iter().flat_map(|size| [*size, 1]));
            [words.flat_map(u32::to_be_bytes).collect::<Vec<u8>>(), fields(values)].concat()
        };
        let kind = Kind::List(Box::new(Kind::List(Box::new(Kind::Int4))));
        let mut column = Column::new(&kind, Unrepresentable::Error);
        let one = 1_i32.to_be_bytes();
        let square = array(&[2, 2], &[Some(&one), None, Some(&one), Some(&one)]);
        let flat = array(&[1], &[Some(&one)]);
        assert!(column.take(&fields(&[Some(&square)])).is_ok());
        assert!(column.take(&fields(&[Some(&array(&[], &[]))])).is_ok());
        assert!(column.take(&fields(&[None])).is_ok());
        assert_eq!(column.take(&fields(&[Some(&flat)])), Err(Wrong::Depth { found: 1, expected: 2 }));
        assert_eq!(column.take(&fields(&[Some(&square[..square.len() - 1])])), Err(Wrong::Malformed));
    }

    #[test]
    fn a_row_that_ends_early_is_refused() {
        let mut column = Column::new(&Kind::Text, Unrepresentable::Error);
        assert_eq!(column.take(&[0, 0, 0]), Err(Wrong::Malformed));
        assert_eq!(column.take(&[0, 0, 0, 2, b'a']), Err(Wrong::Malformed));
        assert_eq!(column.take(&[0xff, 0xff, 0xff, 0xfe]), Err(Wrong::Malformed));
    }
}
