//! Lets DuckDB forget what it has written and read: a step's memory follows its work, not its data.
//!
//! DuckDB keeps every block of a file that it wrote or read until its memory limit is reached. A
//! step that appends or reads in order looks at none of them again, so they are dropped as it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duckdb::arrow::array::ArrayData;

use super::Result;
use super::ffi::Connection;

/// Bytes that pass, as Arrow, between two times of forgetting.
const INTERVAL: u64 = 16 << 20;

/// Bytes of blocks that DuckDB may hold on to: those it is working on.
const WORKING: u64 = 16 << 20;

/// What DuckDB holds apart from blocks of files, in bytes: sorts, joins, and rows that are not yet in a file.
const HELD: &str = "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory() WHERE tag <> 'BASE_TABLE'";

/// The blocks of a step's database files in memory.
pub(super) struct Buffers {
    /// A connection of its own: a query on another would end the rows being read there.
    connection: Arc<Connection>,
    /// The step's memory limit in bytes.
    limit: u64,
    passed: AtomicU64,
}

impl Buffers {
    pub fn new(connection: Arc<Connection>, limit: u64) -> Self {
        Self { connection, limit, passed: AtomicU64::new(0) }
    }

    /// Counts rows that went into or out of DuckDB, and forgets now and then.
    ///
    /// # Errors
    /// When DuckDB cannot take its limit back.
    pub fn pass(&self, rows: &ArrayData) -> Result<()> {
        let bytes = rows.get_buffer_memory_size() as u64;
        let before = self.passed.fetch_add(bytes, Ordering::Relaxed);
        if before / INTERVAL == (before + bytes) / INTERVAL { Ok(()) } else { self.forget() }
    }

    /// Drops the blocks that nobody is using, which DuckDB does when its limit is lowered.
    fn forget(&self) -> Result<()> {
        let held = self.connection.number(HELD)?;
        if held + WORKING < self.limit {
            // Refused where more is in use by now, after what could be dropped was.
            let _ = self.connection.execute(&set_limit(held + WORKING));
            self.connection.execute(&set_limit(self.limit))?;
        }
        Ok(())
    }
}

/// The statement that gives DuckDB so many bytes.
pub(super) fn set_limit(bytes: u64) -> String {
    format!("SET memory_limit = '{bytes}B'")
}
