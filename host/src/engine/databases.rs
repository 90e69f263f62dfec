//! The DuckDB files whose tables a step reads or updates: attached under names that nobody can guess, and described.
//!
//! Such a file may come from anyone, so its views, macros and defaults are not to be trusted. They run, if at all, in the
//! confined process and with a DuckDB that reaches nothing but what the step was granted.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use duckdb::arrow::array::{Array, ArrayRef, AsArray, make_array};

use super::ffi::Connection;
use super::statement::Tables;
use super::{Cause, Engine, EngineError, FurnishError, Result, quote_name, quote_path, quote_text};

/// A DuckDB file that a step uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFile {
    /// Its path in the config.
    pub name: String,
    /// The path to open it by.
    pub path: PathBuf,
    /// Whether its tables may be written. It is a private copy then, and created if it is not there.
    pub is_updated: bool,
}

/// A DuckDB file that is attached.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    pub name: String,
    pub catalog: String,
    pub is_updated: bool,
}

/// A table of a DuckDB file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseTable {
    pub schema: String,
    pub name: String,
    pub columns: Vec<DatabaseColumn>,
    /// The columns of the primary key, in its order.
    pub key: Vec<String>,
    /// How many rows it has, roughly.
    pub rows: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseColumn {
    pub name: String,
    /// As DuckDB prints it.
    pub kind: String,
    pub is_nullable: bool,
}

/// The most columns of all tables of a file together that are listed.
const MOST_COLUMNS: usize = 100_000;

/// Attaches the files. Changes of one to update need no log: it is a copy that counts only once it is complete.
pub(super) fn attach(
    control: &Arc<Connection>,
    files: &[DatabaseFile],
    secret: &str,
) -> std::result::Result<Vec<Attached>, FurnishError> {
    let attach = |(position, file): (usize, &DatabaseFile)| {
        let catalog = format!("osiris_database_{secret}_{position}");
        let how = if file.is_updated { "RECOVERY_MODE no_wal_writes" } else { "READ_ONLY" };
        let attach = format!("ATTACH {} AS {catalog} (TYPE duckdb, {how})", quote_path(&file.path)?);
        control
            .execute(&attach)
            .map_err(|error| FurnishError::Database { name: file.name.clone(), message: error.message })?;
        Ok(Attached { name: file.name.clone(), catalog, is_updated: file.is_updated })
    };
    files.iter().enumerate().map(attach).collect()
}

impl Engine {
    pub(super) fn database(&self, name: &str) -> Result<&Attached> {
        self.databases.iter().find(|database| database.name == name).ok_or_else(|| {
            let known = crate::error::listed(self.databases.iter().map(|database| database.name.as_str()));
            let message = format!("the step may not use `{name}` as a DuckDB file; it was granted: {known}");
            EngineError { message, cause: Cause::Denied, position: None }
        })
    }

    /// The tables of a DuckDB file, by schema and name. Views are not among them.
    ///
    /// # Errors
    /// If the file was not granted, or has more columns than are listed.
    pub fn database_tables(&self, database: &str) -> Result<Vec<DatabaseTable>> {
        let catalog = quote_text(&self.database(database)?.catalog);
        let connection = self.control();
        let keys = rows(
            &connection,
            &format!(
                "SELECT schema_name, table_name, unnest(constraint_column_names) FROM duckdb_constraints() \
                 WHERE database_name = {catalog} AND constraint_type = 'PRIMARY KEY'"
            ),
        )?;
        let columns = rows(
            &connection,
            &format!(
                "SELECT t.schema_name, t.table_name, t.estimated_size::VARCHAR, c.column_name, c.data_type, \
                 c.is_nullable::VARCHAR FROM duckdb_tables() t JOIN duckdb_columns() c USING (database_name, schema_name, \
                 table_name) WHERE t.database_name = {catalog} AND NOT t.internal \
                 ORDER BY t.schema_name, t.table_name, c.column_index LIMIT {}",
                MOST_COLUMNS + 1
            ),
        )?;
        if columns.len() > MOST_COLUMNS {
            return Err(EngineError::data(format!(
                "the tables of `{database}` have more than {MOST_COLUMNS} columns together"
            )));
        }
        let mut tables: Vec<DatabaseTable> = Vec::new();
        for row in columns {
            let [schema, name, size, column, kind, nullable] = row.try_into().unwrap_or_default();
            if tables.last().is_none_or(|last| (&last.schema, &last.name) != (&schema, &name)) {
                let of_table = |row: &&Vec<String>| row.first() == Some(&schema) && row.get(1) == Some(&name);
                let key = keys.iter().filter(of_table).filter_map(|row| row.get(2).cloned()).collect();
                let rows = size.parse().unwrap_or(0);
                tables.push(DatabaseTable { schema, name, columns: Vec::new(), key, rows });
            }
            let column = DatabaseColumn { name: column, kind, is_nullable: nullable == "true" };
            if let Some(table) = tables.last_mut() {
                table.columns.push(column);
            }
        }
        Ok(tables)
    }

    /// Makes the tables of a DuckDB file available to SELECTs under their own names.
    ///
    /// # Errors
    /// If the file was not granted, or a table has the name of another one that the step reads.
    pub fn expose_database(&self, database: &str) -> Result<Vec<DatabaseTable>> {
        let tables = self.database_tables(database)?;
        let catalog = &self.database(database)?.catalog;
        let connection = self.control();
        let mut known = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for table in &tables {
            let (schema, name) = (quote_name(&table.schema), quote_name(&table.name));
            if !Tables::is_free(&table.schema) {
                return Err(EngineError::data(format!(
                    "`{database}` has a schema `{}`, a name of the host's own",
                    table.schema
                )));
            }
            connection.execute(&format!("CREATE SCHEMA IF NOT EXISTS memory.{schema}"))?;
            connection.execute(&format!("CREATE VIEW memory.{schema}.{name} AS FROM {catalog}.{schema}.{name}"))?;
            known.add(&table.schema, &table.name);
        }
        Ok(tables)
    }

    /// Closes the files that were updated, complete and in one piece.
    pub(super) fn close_databases(&self, control: &Connection) -> Result<()> {
        for database in self.databases.iter().filter(|database| database.is_updated) {
            self.status.note_error(control.execute(&format!("CHECKPOINT {}", database.catalog)))?;
            control.execute(&format!("DETACH {}", database.catalog))?;
        }
        Ok(())
    }
}

/// The rows of a SELECT of texts; a null is an empty text.
pub(super) fn rows(connection: &Arc<Connection>, select: &str) -> Result<Vec<Vec<String>>> {
    let mut stream = connection.prepare_select(select)?.stream()?;
    let mut rows = Vec::new();
    while let Some(batch) = stream.next()? {
        let columns: Vec<ArrayRef> = batch.child_data().iter().cloned().map(make_array).collect();
        let text = |column: &ArrayRef, row: usize| {
            let column = column.as_string::<i32>();
            if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
        };
        rows.extend((0..batch.len()).map(|row| columns.iter().map(|column| text(column, row)).collect::<Vec<_>>()));
    }
    Ok(rows)
}
