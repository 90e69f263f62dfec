//! Nulls in place of records.

use osiris_sdk::{Error, Result, context};
use serde::Deserialize;
use serde_json::Value;

/// `null_records`: how a null in a list of records is handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullRecords {
    #[default]
    Error,
    Skip,
}

/// Skips nulls and counts them, if the author requested it.
#[derive(Debug)]
pub struct Nulls {
    choice: NullRecords,
    count: u64,
}

impl Nulls {
    pub fn new(choice: NullRecords) -> Self {
        Self { choice, count: 0 }
    }

    /// Whether `record` is a null to be skipped; `place` names the record in an error.
    ///
    /// # Errors
    /// `data` for a null, unless the author chose to skip nulls.
    pub fn leave_out(&mut self, record: &Value, place: impl Fn() -> String) -> Result<bool> {
        if !record.is_null() {
            return Ok(false);
        }
        if self.choice == NullRecords::Error {
            return Err(Error::data(format!(
                "{} is null, where a record was expected; `null_records: skip` leaves such out and counts them",
                place()
            )));
        }
        self.count += 1;
        Ok(true)
    }

    /// Warns about the skipped nulls.
    pub fn warn(&self) {
        if self.count > 0 {
            context::warn("nulls in place of records were left out", &[("count", &self.count)]);
        }
    }
}
