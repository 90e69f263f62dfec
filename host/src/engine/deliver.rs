//! Writes the rows of a SELECT into a table of a DuckDB file that a step updates.
//!
//! The file is a copy that replaces the original only as a whole, so each statement stands for itself: there is nobody
//! who could see the file between two of them.

use std::sync::Arc;

use super::databases::rows;
use super::ffi::Connection;
use super::{Cause, Engine, EngineError, Result, cannot_cross, quote_name, quote_text};
use crate::error::listed;

/// What happens to the rows that a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryMode {
    /// They stay.
    Append,
    /// Those with the key of a new row get its values.
    Upsert,
    /// They are deleted.
    Replace,
    /// The table is dropped, and created with the columns of the SELECT.
    Recreate,
}

/// Rows for a table.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub schema: String,
    pub table: String,
    /// The SELECT whose rows are written, each value into the column of the same name.
    pub select: String,
    pub mode: DeliveryMode,
    /// The columns that identify a row: the primary key of a table that is created.
    pub key: Vec<String>,
    /// The rows that are deleted first; the mode is then [`DeliveryMode::Append`].
    pub obsolete: Option<Obsolete>,
    /// Whether a missing schema is created.
    pub create_schema: bool,
}

/// Which rows of a table new ones supersede.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obsolete {
    /// Those that have the values of a new row in these columns.
    Matching(Vec<String>),
    /// Those whose value in this column is neither less than the least new one nor greater than the greatest.
    Between(String),
}

/// The view of the rows that are delivered.
const ROWS: &str = "osiris_delivery";

/// A column of the SELECT: its name, and its type as SQL.
type NewColumn = (String, String);

impl Engine {
    /// Delivers rows; returns how many. A missing table is created, missing columns are added.
    ///
    /// # Errors
    /// If the file was not granted for updating, its table cannot take the rows, or the SELECT is wrong.
    pub fn deliver(&self, database: &str, delivery: &Delivery) -> Result<u64> {
        let attached = self.database(database)?;
        if !attached.is_updated {
            let message = format!("the step may read `{database}`, but not update it");
            return Err(EngineError { message, cause: Cause::Denied, position: None });
        }
        let connection = self.control();
        let _running = self.status.run(self.status.is_authors(&delivery.select));
        let columns = self.delivered_columns(&connection, &delivery.select)?;
        connection.execute(&format!("CREATE OR REPLACE TEMP VIEW {ROWS} AS {}", delivery.select))?;
        let target = Target { connection: &connection, catalog: &attached.catalog, delivery };
        self.status.note_error(target.write(&columns))
    }

    fn delivered_columns(&self, connection: &Arc<Connection>, select: &str) -> Result<Vec<NewColumn>> {
        let mut columns: Vec<NewColumn> = Vec::new();
        for (name, kind) in self.prepare(connection, select)?.columns() {
            let kind = kind.sql().map_err(|refused| cannot_cross(&name, &refused.0))?;
            if columns.iter().any(|(other, _)| same(other, &name)) {
                return Err(EngineError::data(format!(
                    "the rows have two columns `{name}`: DuckDB ignores the case of names"
                )));
            }
            columns.push((name, kind));
        }
        Ok(columns)
    }
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// The table that rows are written into.
struct Target<'a> {
    connection: &'a Arc<Connection>,
    catalog: &'a str,
    delivery: &'a Delivery,
}

impl Target<'_> {
    fn write(&self, columns: &[NewColumn]) -> Result<u64> {
        self.find_schema()?;
        let table = self.name();
        if self.delivery.mode == DeliveryMode::Recreate {
            self.connection.execute(&format!("DROP TABLE IF EXISTS {table}"))?;
        }
        match self.columns()? {
            None => self.create(columns)?,
            Some(own) => {
                for (name, kind) in columns.iter().filter(|(name, _)| !own.iter().any(|column| same(column, name))) {
                    self.connection.execute(&format!("ALTER TABLE {table} ADD COLUMN {} {kind}", quote_name(name)))?;
                }
            }
        }
        let names: Vec<String> = columns.iter().map(|(name, _)| quote_name(name)).collect();
        let names = names.join(", ");
        let insert = format!("INSERT INTO {table} ({names}) SELECT {names} FROM {ROWS}");
        if let Some(obsolete) = &self.delivery.obsolete {
            self.delete(obsolete)?;
        }
        match self.delivery.mode {
            DeliveryMode::Append | DeliveryMode::Recreate => self.connection.execute(&insert),
            DeliveryMode::Replace => {
                self.connection.execute(&format!("DELETE FROM {table}"))?;
                self.connection.execute(&insert)
            }
            DeliveryMode::Upsert => self.merge(columns),
        }
    }

    fn name(&self) -> String {
        let Delivery { schema, table, .. } = self.delivery;
        format!("{}.{}.{}", self.catalog, quote_name(schema), quote_name(table))
    }

    fn find_schema(&self) -> Result<()> {
        let schema = &self.delivery.schema;
        let known = format!(
            "SELECT schema_name FROM duckdb_schemas() WHERE database_name = '{}' AND NOT internal",
            self.catalog
        );
        let known: Vec<String> = rows(self.connection, &known)?.into_iter().flatten().collect();
        if known.iter().any(|name| same(name, schema)) || same(schema, "main") {
            return Ok(());
        }
        if !self.delivery.create_schema {
            let message = format!(
                "there is no schema `{schema}`; there are: {}",
                listed(["main"].into_iter().chain(known.iter().map(String::as_str).filter(|name| *name != "main")))
            );
            return Err(EngineError { message, cause: Cause::NotFound, position: None });
        }
        self.connection.execute(&format!("CREATE SCHEMA {}.{}", self.catalog, quote_name(schema))).map(drop)
    }

    /// The names of the table's columns, if there is one.
    fn columns(&self) -> Result<Option<Vec<String>>> {
        let Delivery { schema, table, .. } = self.delivery;
        let is_it = |kind: &str| {
            format!(
                "database_name = '{}' AND lower(schema_name) = lower({}) AND lower({kind}_name) = lower({})",
                self.catalog,
                quote_text(schema),
                quote_text(table)
            )
        };
        if !rows(self.connection, &format!("SELECT view_name FROM duckdb_views() WHERE {}", is_it("view")))?.is_empty()
        {
            return Err(EngineError::data(format!("`{schema}.{table}` is a view, and a view takes no rows")));
        }
        let columns =
            format!("SELECT column_name FROM duckdb_columns() WHERE {} ORDER BY column_index", is_it("table"));
        let columns: Vec<String> = rows(self.connection, &columns)?.into_iter().flatten().collect();
        let collated =
            format!("SELECT table_name FROM duckdb_tables() WHERE {} AND sql ILIKE '%collate%'", is_it("table"));
        let compares = self.delivery.mode == DeliveryMode::Upsert || self.delivery.obsolete.is_some();
        if compares && !rows(self.connection, &collated)?.is_empty() {
            return Err(EngineError::data(format!(
                "table `{schema}.{table}` has a collation, by which different keys may be equal, so that rows with other keys \
                 would be lost; use a table without one"
            )));
        }
        Ok(if columns.is_empty() { None } else { Some(columns) })
    }

    fn create(&self, columns: &[NewColumn]) -> Result<()> {
        let mut parts: Vec<String> =
            columns.iter().map(|(name, kind)| format!("{} {kind}", quote_name(name))).collect();
        if !self.delivery.key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", self.key().collect::<Vec<_>>().join(", ")));
        }
        self.connection.execute(&format!("CREATE TABLE {} ({})", self.name(), parts.join(", "))).map(drop)
    }

    fn key(&self) -> impl Iterator<Item = String> {
        self.delivery.key.iter().map(|name| quote_name(name))
    }

    /// Deletes the rows that the new ones supersede.
    fn delete(&self, obsolete: &Obsolete) -> Result<()> {
        let table = self.name();
        let statement = match obsolete {
            _ if self.delivery.mode != DeliveryMode::Append => {
                return Err(EngineError::data("rows are superseded in the mode `append` alone"));
            }
            Obsolete::Matching(columns) if columns.is_empty() => {
                return Err(EngineError::data("rows are superseded by at least one column"));
            }
            Obsolete::Matching(columns) => {
                let names: Vec<String> = columns.iter().map(|name| quote_name(name)).collect();
                let same: Vec<String> = names.iter().map(|name| format!("target.{name} = source.{name}")).collect();
                format!(
                    "DELETE FROM {table} AS target USING (SELECT DISTINCT {} FROM {ROWS}) AS source WHERE {}",
                    names.join(", "),
                    same.join(" AND ")
                )
            }
            Obsolete::Between(column) => {
                let column = quote_name(column);
                format!(
                    "DELETE FROM {table} AS target WHERE target.{column} BETWEEN (SELECT min({column}) FROM {ROWS}) AND \
                     (SELECT max({column}) FROM {ROWS})"
                )
            }
        };
        self.connection.execute(&statement).map(drop)
    }

    /// Updates the rows whose key the new rows have, and adds the others. Columns that the new rows lack keep their values.
    fn merge(&self, columns: &[NewColumn]) -> Result<u64> {
        if self.delivery.key.is_empty() {
            return Err(EngineError::data("an upsert needs a key"));
        }
        let on: Vec<String> = self.key().map(|name| format!("target.{name} = source.{name}")).collect();
        let is_key = |name: &String| self.delivery.key.iter().any(|key| same(key, name));
        let set: Vec<String> = columns
            .iter()
            .filter(|(name, _)| !is_key(name))
            .map(|(name, _)| format!("{0} = source.{0}", quote_name(name)))
            .collect();
        let matched = if set.is_empty() { "DO NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
        let names: Vec<String> = columns.iter().map(|(name, _)| quote_name(name)).collect();
        let values: Vec<String> = names.iter().map(|name| format!("source.{name}")).collect();
        self.connection.execute(&format!(
            "MERGE INTO {} AS target USING {ROWS} AS source ON ({}) WHEN MATCHED THEN {matched} \
             WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            self.name(),
            on.join(" AND "),
            names.join(", "),
            values.join(", ")
        ))?;
        self.connection.number(&format!("SELECT count(*) FROM {ROWS}"))
    }
}
