//! Makes DuckDB evict what it has written and read, so that a step's memory depends on its work and not on the amount
//! of data.
//!
//! DuckDB keeps every block of a file that it wrote or read until its memory limit is reached. A step that appends or
//! reads in order does not need them again, so they are evicted as it proceeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duckdb::arrow::array::ArrayData;

use super::Result;
use super::ffi::Connection;

/// How many bytes, as Arrow, pass between two evictions.
const INTERVAL: u64 = 16 << 20;

/// How many bytes of blocks DuckDB may keep: those that it is working on.
const WORKING: u64 = 16 << 20;

/// The memory of DuckDB that is not blocks of files, in bytes: sorts, joins, and rows that are not yet in a file.
const HELD: &str = "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory() WHERE tag <> 'BASE_TABLE'";

/// The blocks of a step's database files that are in memory.
pub(super) struct Buffers {
    /// A separate connection, because a query on another would end the result being read there.
    connection: Arc<Connection>,
    /// The step's memory limit in bytes.
    limit: u64,
    passed: AtomicU64,
}

impl Buffers {
    pub fn new(connection: Arc<Connection>, limit: u64) -> Self {
        Self { connection, limit, passed: AtomicU64::new(0) }
    }

    /// Counts rows that went into or out of DuckDB, and evicts blocks after each [`INTERVAL`].
    ///
    /// # Errors
    /// If DuckDB's limit cannot be restored.
    pub fn pass(&self, rows: &ArrayData) -> Result<()> {
        let bytes = rows.get_buffer_memory_size() as u64;
        let before = self.passed.fetch_add(bytes, Ordering::Relaxed);
        if before / INTERVAL == (before + bytes) / INTERVAL { Ok(()) } else { self.forget() }
    }

    /// Evicts the blocks that are not in use, which DuckDB does when its limit is lowered.
    fn forget(&self) -> Result<()> {
        let held = self.connection.number(HELD)?;
        if held + WORKING < self.limit {
            // Refused if more than this is in use, but only after the blocks were evicted.
            let _ = self.connection.execute(&set_limit(held + WORKING));
            self.connection.execute(&set_limit(self.limit))?;
        }
        Ok(())
    }
}

/// The statement that sets DuckDB's memory limit.
pub(super) fn set_limit(bytes: u64) -> String {
    format!("SET memory_limit = '{bytes}B'")
}
