//! Creates the tables of a step's output.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use duckdb::arrow::array::ArrayData;
use duckdb::arrow::datatypes::DataType;

use super::ffi::{Appender, ConvertedSchema};
use super::{Cause, Engine, EngineError, OUTPUT, Result, TableWriter, Trouble, Types, cannot_cross, quote_name};
use crate::columns::{self, DUCKDB_TYPE, Field};

/// Tables of the output, each with the definitions of its columns, if the guest described them.
type Created = BTreeMap<String, Vec<String>>;

/// Refuses a table if there is one whose name DuckDB does not tell apart from its own.
fn refuse_twin(created: &Created, name: &str) -> Result<()> {
    match created.keys().find(|other| other.eq_ignore_ascii_case(name)) {
        Some(other) if other == name => Err(EngineError::data(format!("table `{name}` exists already"))),
        Some(other) => Err(EngineError::data(format!(
            "table `{name}` differs only in case from table `{other}`, which exists already"
        ))),
        None => Ok(()),
    }
}

impl Engine {
    /// Creates a table of the output from one SELECT; returns its number of rows.
    pub fn create_table_as(&self, name: &str, select: &str) -> Result<u64> {
        self.check_table_name(name)?;
        let connection = self.control();
        let _running = self.status.run(self.status.is_authors(select));
        for (column, kind) in self.prepare(&connection, select)?.columns() {
            kind.crossing_sql(Types::Exact).map_err(|refused| cannot_cross(&column, &refused.0))?;
        }
        let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        refuse_twin(&created, name).inspect_err(|_| self.status.note(Trouble::Malformed))?;
        let table = format!("{OUTPUT}.main.{}", quote_name(name));
        self.status.note_error(connection.execute(&format!("CREATE TABLE {table} AS {select}")))?;
        created.insert(name.to_owned(), Vec::new());
        drop(created);
        connection.number(&format!("SELECT count(*) FROM {table}"))
    }

    /// Creates a table of the output with the columns that a guest describes, and opens it.
    ///
    /// With `joins`, an existing table is opened instead if it has the same columns.
    pub fn create_table(&self, name: &str, fields: &[Field], joins: bool) -> Result<TableWriter> {
        self.create_described(name, fields, joins).map_err(|error| match error.cause {
            // No statement of the author's is involved.
            Cause::Statement | Cause::Data => {
                self.status.note(Trouble::Malformed);
                EngineError { cause: Cause::Data, ..error }
            }
            _ => error,
        })
    }

    fn create_described(&self, name: &str, fields: &[Field], joins: bool) -> Result<TableWriter> {
        self.check_table_name(name)?;
        let data = |refused: columns::Refused| EngineError::data(format!("table `{name}`: {refused}"));
        let connection = self.connect()?;
        let mut schema = columns::build_schema(fields).map_err(data)?;
        let data_type = DataType::try_from(&schema).map_err(EngineError::arrow)?;
        let positions = columns::column_positions(fields).map_err(data)?;
        if positions.is_empty() {
            return Err(EngineError::data(format!("table `{name}` has no columns")));
        }
        columns::check_names(fields, &positions).map_err(data)?;
        let converted = ConvertedSchema::new(&connection, &mut schema)?;
        let empty = converted.chunk(&ArrayData::new_empty(&data_type))?;
        let mut definitions = Vec::new();
        for (position, kind) in positions.into_iter().zip(empty.types()) {
            let field = &fields[position];
            let crossing = kind.sql().map_err(|refused| cannot_cross(&field.name, &refused.0))?;
            let own = self.declared_type(field, &crossing)?;
            definitions.push(format!("{} {own}", quote_name(&field.name)));
        }
        let table = quote_name(name);
        let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        match created.get(name) {
            Some(there) if joins && *there == definitions => {}
            Some(_) if joins => {
                return Err(EngineError::data(format!(
                    "table `{name}` was created with other columns by another instance"
                )));
            }
            _ => {
                refuse_twin(&created, name)?;
                connection.execute(&format!("CREATE TABLE {OUTPUT}.main.{table} ({})", definitions.join(", ")))?;
            }
        }
        created.insert(name.to_owned(), definitions);
        drop(created);
        // One transaction, so that rows are written to the file directly instead of going through the log first.
        connection.execute("BEGIN TRANSACTION")?;
        let appender = Appender::new(&connection, OUTPUT, name)?;
        Ok(TableWriter {
            name: name.to_owned(),
            connection,
            appender,
            converted,
            data_type,
            buffers: Arc::clone(&self.buffers),
            status: self.status.clone(),
            fields: fields.to_vec(),
            rows: 0,
        })
    }

    /// The DuckDB type of a guest's column. Metadata may only name a type that the host gave to the guest before, so
    /// that no text of a guest becomes part of a statement.
    fn declared_type(&self, field: &Field, crossing: &str) -> Result<String> {
        let Some((_, own)) = field.metadata.iter().find(|(name, _)| name == DUCKDB_TYPE) else {
            return Ok(crossing.to_owned());
        };
        match self.handed_out.lock().unwrap_or_else(PoisonError::into_inner).get(own) {
            Some(expected) if expected == crossing => Ok(own.clone()),
            Some(expected) => Err(EngineError::data(format!(
                "column `{}` says it is DuckDB's {own}, whose values cross as {expected}, but has values of {crossing}",
                field.name
            ))),
            None => Err(EngineError::data(format!(
                "column `{}` names a `{DUCKDB_TYPE}` that none of the step's columns has",
                field.name
            ))),
        }
    }

    pub(super) fn check_table_name(&self, name: &str) -> Result<()> {
        if !self.has_output {
            return Err(EngineError::refused("a writer has no output to create tables in"));
        }
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            return Err(EngineError::data(format!(
                "table name {name:?} is not usable: give 1 to 255 characters, none of them a control character"
            )));
        }
        Ok(())
    }
}
