//! `osiris:driver/databases`: the tables of the DuckDB files that the step was granted.

use std::path::PathBuf;
use std::sync::Arc;

use super::bindings::osiris::driver::catalog::{Column, Table};
use super::bindings::osiris::driver::databases::{Delivery, Host, Mode, Obsolete};
use super::{Answer, DriverCall, Error, ErrorKind, error};
use crate::engine::{self, DatabaseTable, DeliveryMode, Engine};
use crate::protocol::FileGrant;

/// The DuckDB files of a step, and what was written to them.
pub struct Databases {
    engine: Arc<Engine>,
    /// The copies that may be written, by the names of the files.
    copies: Vec<FileGrant>,
    /// The copies that were written.
    pub written: Vec<PathBuf>,
    /// How many rows were delivered.
    pub rows: u64,
}

impl Databases {
    pub fn new(call: &DriverCall<'_>) -> Self {
        let files = &call.job.files;
        let copies = files.write.iter().filter(|grant| files.databases.contains(&grant.name)).cloned().collect();
        Self { engine: Arc::clone(call.engine), copies, written: Vec::new(), rows: 0 }
    }

    fn deliver(&mut self, path: &str, delivery: Delivery, obsolete: Option<Obsolete>) -> Result<u64, Error> {
        for (what, name) in [("schema", &delivery.schema), ("table", &delivery.table)] {
            if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
                let message = format!(
                    "{what} {name:?} is not usable: give 1 to 255 characters, none of them a control character"
                );
                return Err(error(ErrorKind::Config, message));
            }
        }
        let delivery = engine::Delivery { obsolete: obsolete.map(Into::into), ..engine::Delivery::from(delivery) };
        let rows = self.engine.deliver(path, &delivery)?;
        let copy = self.copies.iter().find(|grant| grant.name == path).map(|grant| grant.path.clone());
        self.written.extend(copy.filter(|copy| !self.written.contains(copy)));
        self.rows += rows;
        Ok(rows)
    }
}

impl From<Delivery> for engine::Delivery {
    fn from(delivery: Delivery) -> Self {
        let mode = match delivery.mode {
            Mode::Append => DeliveryMode::Append,
            Mode::Upsert => DeliveryMode::Upsert,
            Mode::Replace => DeliveryMode::Replace,
            Mode::Recreate => DeliveryMode::Recreate,
        };
        let Delivery { schema, table, select, key, create_schema, .. } = delivery;
        Self { schema, table, select, mode, key, obsolete: None, create_schema }
    }
}

impl From<Obsolete> for engine::Obsolete {
    fn from(obsolete: Obsolete) -> Self {
        match obsolete {
            Obsolete::Matching(columns) => Self::Matching(columns),
            Obsolete::Between(column) => Self::Between(column),
        }
    }
}

fn described(tables: Vec<DatabaseTable>) -> Vec<Table> {
    let column = |column: engine::DatabaseColumn| Column {
        source_type: column.kind.clone(),
        duckdb_type: column.kind,
        name: column.name,
        nullable: column.is_nullable,
    };
    let table = |table: DatabaseTable| Table {
        schema: Some(table.schema),
        name: table.name,
        columns: table.columns.into_iter().map(column).collect(),
        primary_key: table.key,
        estimated_rows: Some(table.rows),
    };
    tables.into_iter().map(table).collect()
}

impl Host for Databases {
    fn tables(&mut self, path: String) -> Answer<Vec<Table>> {
        Ok(self.engine.database_tables(&path).map(described).map_err(Into::into))
    }

    fn open(&mut self, path: String) -> Answer<Vec<Table>> {
        Ok(self.engine.expose_database(&path).map(described).map_err(Into::into))
    }

    fn deliver(&mut self, path: String, delivery: Delivery) -> Answer<u64> {
        Ok(Databases::deliver(self, &path, delivery, None))
    }

    fn supersede(&mut self, path: String, delivery: Delivery, obsolete: Obsolete) -> Answer<u64> {
        Ok(Databases::deliver(self, &path, delivery, Some(obsolete)))
    }
}
