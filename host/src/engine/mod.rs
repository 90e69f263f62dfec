//! The only module that opens DuckDB: with a step's inputs, its output and its granted files, and nothing else.

mod buffers;
mod check;
mod copy;
mod create;
mod databases;
mod deliver;
mod error;
mod ffi;
mod functions;
mod furnish;
mod interrupt;
mod json_query;
mod json_table;
mod logical_type;
mod partitions;
mod query;
mod regroup;
mod statement;
mod status;
mod table_writer;
mod temporary;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use duckdb::arrow::array::cast::AsArray;
use duckdb::arrow::array::make_array;

use crate::columns::Field;
use buffers::Buffers;
use databases::Attached;
use ffi::{Connection, Database, Statement};

pub use databases::{DatabaseColumn, DatabaseFile, DatabaseTable};
pub use deliver::{Delivery, DeliveryMode, Obsolete};
pub use duckdb_text::{quote_name, quote_text};
pub use error::{Cause, EngineError};
pub use furnish::{FurnishError, Furnishing, InputTable, Warm};
pub use interrupt::Interrupter;
pub use json_query::JsonQuery;
pub use json_table::{FinishedTable, JsonTable};
pub use partitions::{Partitioning, written_partitions};
pub use query::{Query, Types};
pub use regroup::Batches;
pub use statement::Tables;
pub use status::{Status, Trouble, Varying};
pub use table_writer::TableWriter;
pub use temporary::{TemporaryFile, TemporaryFolder, WriteError};

/// The catalog name of the step's output. Guests cannot name it: their SQL is judged before it runs.
const OUTPUT: &str = "osiris_output";

type Result<T> = std::result::Result<T, EngineError>;

/// A path as a SQL literal; paths that are not UTF-8 are refused.
fn quote_path(path: &Path) -> Result<String> {
    path.to_str()
        .map(quote_text)
        .ok_or_else(|| EngineError::data(format!("path {} is not valid UTF-8", path.display())))
}

/// A step's database, prepared and locked.
pub struct Engine {
    database: Arc<Database>,
    /// The connection that was opened before the lock: the only one on which DuckDB reports a statement's progress,
    /// since that is a setting of a connection. Instances take turns on it.
    control: Mutex<Arc<Connection>>,
    buffers: Arc<Buffers>,
    connections: Arc<Mutex<Vec<Weak<Connection>>>>,
    /// DuckDB types that were named to the guest in metadata, each with the type in which its values cross.
    handed_out: Mutex<BTreeMap<String, String>>,
    /// The columns of each output table, as they were declared.
    created: Mutex<BTreeMap<String, Vec<String>>>,
    /// The tables that a driver's SELECT may read.
    tables: RwLock<Tables>,
    databases: Vec<Attached>,
    /// The table of each input, as the host's own statements name it.
    sources: Vec<(String, String)>,
    has_output: bool,
    temporary: Option<TemporaryFolder>,
    locked: bool,
    status: Status,
    batches: Batches,
}

impl Engine {
    pub fn interrupter(&self) -> Interrupter {
        Interrupter { connections: Arc::clone(&self.connections), status: self.status.clone() }
    }

    /// Replaces the status, which does not know the author's statements, by the step's own.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Passes rows on in batches of another size.
    #[must_use]
    pub fn with_batches(mut self, batches: Batches) -> Self {
        self.batches = batches;
        self
    }

    pub fn status(&self) -> &Status {
        &self.status
    }

    fn control(&self) -> MutexGuard<'_, Arc<Connection>> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder for files that the driver creates.
    pub fn temporary_folder(&self) -> Option<&TemporaryFolder> {
        self.temporary.as_ref()
    }

    /// A separate connection for each query, so that readers do not disturb one another.
    fn connect(&self) -> Result<Arc<Connection>> {
        let connection = self.database.connect()?;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(&connection));
        Ok(connection)
    }

    /// Prepares a driver's SELECT, if the driver may run it.
    fn prepare(&self, connection: &Arc<Connection>, select: &str) -> Result<Statement> {
        if self.locked {
            self.judge(connection, select)?;
        }
        connection.prepare_select(select)
    }

    /// Parses a driver's text and judges it before any of it is bound: binding looks up names and folds constants, and
    /// its errors would quote the results to the driver.
    fn judge(&self, connection: &Arc<Connection>, select: &str) -> Result<()> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        if check::judge(connection, select, &tables)? {
            self.status.note_varying(Varying::Sql);
        }
        Ok(())
    }

    /// Whether a driver may run a text, as far as parsing shows; for the fuzzer.
    #[doc(hidden)]
    pub fn allows(&self, select: &str) -> bool {
        self.judge(&self.control(), select).is_ok()
    }

    /// The number of rows of an input or an output table.
    fn count(&self, from: &str) -> Result<u64> {
        self.control().number(&format!("SELECT count(*) FROM {from}"))
    }

    pub fn input_rows(&self, alias: &str) -> Result<u64> {
        self.count(&quote_name(alias))
    }

    /// The columns of a SELECT as they would cross to a guest.
    pub fn schema(&self, select: &str, types: Types) -> Result<Vec<Field>> {
        Ok(self.query(&format!("FROM ({select}) LIMIT 0"), types)?.fields)
    }

    /// The names of a SELECT's columns.
    pub fn column_names(&self, select: &str) -> Result<Vec<String>> {
        Ok(self.prepare(&self.connect()?, select)?.columns().into_iter().map(|(name, _)| name).collect())
    }

    /// Reads every value of an output table as text, as anyone who opens the file could; for tests.
    ///
    /// # Errors
    /// If a value cannot be read.
    #[doc(hidden)]
    pub fn read_back(&self, table: &str) -> Result<u64> {
        self.count(&format!(
            "(SELECT to_json(t) AS j FROM {OUTPUT}.main.{} t) WHERE length(j::VARCHAR) >= 0",
            quote_name(table)
        ))
    }

    /// Closes the output and the files that were updated, complete; returns the number of rows of each table of the output.
    pub fn finish(&self) -> Result<BTreeMap<String, u64>> {
        self.close_databases(&self.control())?;
        if !self.has_output {
            return Ok(BTreeMap::new());
        }
        let mut tables = BTreeMap::new();
        for name in self.output_tables()? {
            let rows = self.count(&format!("{OUTPUT}.main.{}", quote_name(&name)))?;
            tables.insert(name, rows);
        }
        let control = self.control();
        self.status.note_error(control.execute(&format!("CHECKPOINT {OUTPUT}")))?;
        control.execute(&format!("DETACH {OUTPUT}"))?;
        Ok(tables)
    }

    fn output_tables(&self) -> Result<Vec<String>> {
        let select = format!("SELECT table_name FROM duckdb_tables() WHERE database_name = '{OUTPUT}' ORDER BY 1");
        let mut rows = self.control().prepare_select(&select)?.stream()?;
        let mut names = Vec::new();
        while let Some(batch) = rows.next()? {
            let Some(column) = batch.child_data().first().cloned().map(make_array) else { break };
            names.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
        }
        Ok(names)
    }
}

fn cannot_cross(column: &str, kind: &str) -> EngineError {
    EngineError::data(format!(
        "column `{column}` has type {kind}, which cannot pass from step to step; cast it in SQL, or leave it out"
    ))
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "judgement_tests.rs"]
mod judgement_tests;

#[cfg(test)]
#[path = "json_tests.rs"]
mod json_tests;
