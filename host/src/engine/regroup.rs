//! Rows in batches of another size, for the conformance kit: a driver must not depend on how the host cuts them.

use std::collections::VecDeque;

use duckdb::arrow::array::{ArrayData, MutableArrayData};

use serde::{Deserialize, Serialize};

use super::Result;

/// The most rows and bytes of a huge batch.
const HUGE_ROWS: usize = 1 << 20;
const HUGE_BYTES: usize = 32 << 20;

/// The size of the pieces in which a driver gets rows and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Batches {
    /// As in every run but the kit's.
    #[default]
    Usual,
    /// One row at a time, and a few bytes at a time.
    Small,
    /// As many rows as a batch may have.
    Huge,
}

/// Cuts batches into rows, or joins them.
pub struct Regroup {
    batches: Batches,
    /// Rows that were cut and are still to be passed on.
    waiting: VecDeque<ArrayData>,
}

impl Regroup {
    pub fn new(batches: Batches) -> Self {
        Self { batches, waiting: VecDeque::new() }
    }

    /// The next batch of that size from `source`.
    ///
    /// # Errors
    /// If `source` fails.
    pub fn next(&mut self, mut source: impl FnMut() -> Result<Option<ArrayData>>) -> Result<Option<ArrayData>> {
        match self.batches {
            Batches::Usual => source(),
            Batches::Small => {
                if self.waiting.is_empty()
                    && let Some(batch) = source()?
                {
                    self.waiting.extend((0..batch.len()).map(|row| joined(&[&batch], row..row + 1)));
                }
                Ok(self.waiting.pop_front())
            }
            Batches::Huge => {
                let (mut parts, mut rows, mut bytes) = (Vec::new(), 0, 0);
                while rows < HUGE_ROWS
                    && bytes < HUGE_BYTES
                    && let Some(batch) = source()?
                {
                    rows += batch.len();
                    bytes += batch.get_array_memory_size();
                    parts.push(batch);
                }
                let parts: Vec<&ArrayData> = parts.iter().collect();
                Ok((!parts.is_empty()).then(|| joined(&parts, 0..usize::MAX)))
            }
        }
    }
}

/// The rows in `range` of each part, as one array that starts at offset 0.
fn joined(parts: &[&ArrayData], range: std::ops::Range<usize>) -> ArrayData {
    let rows = |part: &ArrayData| range.start..range.end.min(part.len());
    let count = parts.iter().map(|part| rows(part).len()).sum();
    let mut whole = MutableArrayData::new(parts.to_vec(), false, count);
    for (place, part) in parts.iter().enumerate() {
        let rows = rows(part);
        whole.extend(place, rows.start, rows.end);
    }
    whole.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use duckdb::arrow::array::{Array, Int32Array};

    fn sizes(batches: Batches) -> Vec<usize> {
        let mut source = [3, 2].map(|rows| Int32Array::from(vec![7; rows]).to_data()).into_iter();
        let mut regroup = Regroup::new(batches);
        let next = || regroup.next(|| Ok(source.next())).unwrap();
        std::iter::from_fn(next).map(|batch| batch.len() + batch.offset()).collect()
    }

    #[test]
    fn rows_are_cut_and_joined() {
        assert_eq!(sizes(Batches::Usual), [3, 2]);
        assert_eq!(sizes(Batches::Small), [1; 5]);
        assert_eq!(sizes(Batches::Huge), [5]);
    }
}
