//! A table of a step's output while a guest fills it: batches are checked, then copied into DuckDB.

use std::sync::Arc;

use duckdb::arrow::array::{ArrayData, MutableArrayData};
use duckdb::arrow::datatypes::DataType;

use super::buffers::Buffers;
use super::ffi::{Appender, Connection, ConvertedSchema};
use super::{Cause, EngineError, Result, Status, Trouble};
use crate::columns::{self, Field, InNode, Refused};

/// The number of rows passed to DuckDB at a time, which is its vector size.
const CHUNK_ROWS: usize = 2048;

/// A table of the output being filled by a guest.
pub struct TableWriter {
    pub(super) name: String,
    pub(super) connection: Arc<Connection>,
    pub(super) appender: Appender,
    pub(super) converted: ConvertedSchema,
    pub(super) data_type: DataType,
    pub(super) fields: Vec<Field>,
    pub(super) rows: u64,
    pub(super) buffers: Arc<Buffers>,
    pub(super) status: Status,
}

impl TableWriter {
    /// Checks a guest's batch and copies it.
    ///
    /// # Errors
    /// Names the column that is wrong and the reason.
    pub fn check(&self, rows: u32, nodes: &[InNode<'_>]) -> std::result::Result<ArrayData, Refused> {
        let batch = columns::build_batch(&self.data_type, rows, nodes);
        let checked = batch.and_then(|batch| columns::check_extensions(&self.fields, &batch).map(|()| batch));
        checked.inspect_err(|_| self.status.note(Trouble::Malformed))
    }

    /// Appends a checked batch.
    pub fn append(&mut self, batch: &ArrayData) -> Result<()> {
        let status = self.status.clone();
        status.note_error(self.append_rows(batch))
    }

    fn append_rows(&mut self, batch: &ArrayData) -> Result<()> {
        if batch.len() <= CHUNK_ROWS {
            self.appender.append(&self.converted.chunk(batch)?)?;
        } else {
            for start in (0..batch.len()).step_by(CHUNK_ROWS) {
                // DuckDB can only interrupt queries, and appending is not one.
                if self.status.is_interrupted() {
                    return Err(EngineError {
                        message: "interrupted".to_owned(),
                        cause: Cause::Interrupted,
                        position: None,
                    });
                }
                let rows = part(batch, start, CHUNK_ROWS.min(batch.len() - start));
                self.appender.append(&self.converted.chunk(&rows)?)?;
            }
        }
        self.rows += batch.len() as u64;
        self.buffers.pass(batch)
    }

    /// Commits the table; returns its number of rows.
    pub fn finish(self) -> Result<u64> {
        let name = self.name;
        let table = |error: EngineError| EngineError { message: format!("table `{name}`: {}", error.message), ..error };
        let status = self.status;
        status.note_error(self.appender.close()).map_err(table)?;
        status.note_error(self.connection.execute("COMMIT")).map_err(table)?;
        Ok(self.rows)
    }
}

/// A copy of some rows. Arrow would accept a slice, but DuckDB applies a struct's offset to its children's validity a
/// second time.
fn part(batch: &ArrayData, start: usize, rows: usize) -> ArrayData {
    let mut copy = MutableArrayData::new(vec![batch], false, rows);
    copy.extend(0, start, start + rows);
    copy.freeze()
}
