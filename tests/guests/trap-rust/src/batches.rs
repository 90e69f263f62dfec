//! Builds batches by hand, most of them wrong in exactly one way.

use std::hint::black_box;
use std::ops::Range;

pub use crate::osiris::driver::arrow::{Batch, Schema};
use crate::osiris::driver::arrow::{Field, Node};

/// One column `n` of 64-bit integers.
pub fn numbers_schema() -> Schema {
    one_column("n", "l")
}

/// One column `t` of text.
pub fn text_schema() -> Schema {
    one_column("t", "u")
}

/// The numbers in `range`, with some pointless work for each, so that producing them takes time.
pub fn numbers(range: Range<u64>, rounds: u32) -> Batch {
    let length = range.end - range.start;
    let mut values = Vec::with_capacity(8 * length as usize);
    for number in range {
        black_box((0..rounds).fold(number | 1, |state, _| mix(state)));
        values.extend_from_slice(&number.to_le_bytes());
    }
    batch(length as u32, length as u32, vec![Vec::new(), values])
}

/// Ten values, declared as a thousand rows.
pub fn lying_rows() -> Batch {
    batch(1_000, 10, vec![Vec::new(), vec![0; 80]])
}

/// Ten values in the bytes of five.
pub fn short_buffer() -> Batch {
    batch(10, 10, vec![Vec::new(), vec![0; 40]])
}

/// Two texts, the second of which is not UTF-8.
pub fn bad_utf8() -> Batch {
    batch(2, 2, vec![Vec::new(), offsets(&[0, 2, 4]), vec![b'o', b'k', 0xc3, 0x28]])
}

/// Two texts, the second of which starts after its end and is outside the bytes.
pub fn bad_offsets() -> Batch {
    batch(2, 2, vec![Vec::new(), offsets(&[0, 1_000_000, 2]), b"ok".to_vec()])
}

fn mix(state: u64) -> u64 {
    let state = state ^ (state << 13);
    let state = state ^ (state >> 7);
    state ^ (state << 17)
}

fn one_column(name: &str, format: &str) -> Schema {
    columns(&[name], format)
}

/// Columns of one format.
pub fn columns(names: &[&str], format: &str) -> Schema {
    let field = |name: &&str| Field {
        name: (*name).to_owned(),
        format: format.to_owned(),
        nullable: true,
        children: 0,
        metadata: Vec::new(),
    };
    Schema { fields: names.iter().map(field).collect() }
}

fn batch(rows: u32, length: u32, buffers: Vec<Vec<u8>>) -> Batch {
    Batch { rows, nodes: vec![Node { length, buffers }] }
}

fn offsets(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
