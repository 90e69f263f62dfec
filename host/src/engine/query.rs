//! Runs a driver's SELECT and returns its rows as columns of types that can cross to a guest.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use duckdb::arrow::array::ArrayData;
use duckdb::arrow::datatypes::{Field as ArrowField, Schema};
use duckdb::arrow::ffi::FFI_ArrowSchema;

use super::buffers::Buffers;
use super::ffi::{Connection, Rows};
use super::regroup::Regroup;
use super::{Engine, EngineError, Result, Status, cannot_cross};
use crate::columns::{self, DUCKDB_TYPE, Field};

impl Engine {
    /// Runs one SELECT and returns its rows as columns.
    pub fn query(&self, select: &str, types: Types) -> Result<Query> {
        self.as_author_of(select, || self.begin(select, types))
    }

    /// Begins a query while its SELECT counts as running, and as the author's if the author wrote it.
    pub(super) fn as_author_of(&self, select: &str, begin: impl FnOnce() -> Result<Query>) -> Result<Query> {
        let is_authors = self.status.is_authors(select);
        let _running = self.status.run(is_authors);
        let query = self.status.note_error(begin())?;
        Ok(Query { is_authors, ..query })
    }

    fn begin(&self, select: &str, types: Types) -> Result<Query> {
        let connection = self.connect()?;
        if !self.locked && connection.prepare_select(select).is_err() {
            connection.execute(select)?;
            return self.start(connection.prepare_select("SELECT true AS done")?.stream()?, None, types);
        }
        let statement = self.prepare(&connection, select)?;
        let mut casts = Vec::new();
        let mut named = BTreeMap::new();
        let mut is_cast = false;
        for (position, (name, kind)) in statement.columns().into_iter().enumerate() {
            let crossing = kind.crossing_sql(types).map_err(|refused| cannot_cross(&name, &refused.0))?;
            let own = kind.sql().map_err(|refused| cannot_cross(&name, &refused.0))?;
            if own == crossing {
                casts.push(format!("c{position}"));
            } else {
                casts.push(format!("CAST(c{position} AS {crossing}) AS c{position}"));
                if types == Types::Plain {
                    is_cast = true;
                    continue;
                }
                named.insert(position, (name.clone(), own.clone()));
                self.handed_out.lock().unwrap_or_else(PoisonError::into_inner).insert(own, crossing);
            }
        }
        if named.is_empty() && !is_cast {
            return self.start(statement.stream()?, None, types);
        }
        // Names inside the view are positions, so that hostile or duplicate names do not matter.
        let names: Vec<String> = statement.columns().into_iter().map(|(name, _)| name).collect();
        drop(statement);
        let columns: Vec<String> = (0..names.len()).map(|position| format!("c{position}")).collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let view = self.view(&connection, &columns, select)?;
        let crossing = connection.prepare_select(&format!("SELECT {} FROM {view}", casts.join(", ")))?;
        self.start(crossing.stream()?, Some((names, named)), types)
    }

    /// Creates a view of a SELECT that was prepared before, with the given column names; returns the name of the view.
    pub(super) fn view(&self, connection: &Arc<Connection>, columns: &[&str], select: &str) -> Result<String> {
        let view = format!("osiris_query_{:p}", Arc::as_ptr(connection));
        connection.execute(&format!("CREATE TEMP VIEW {view} ({}) AS {select}", columns.join(", ")))?;
        Ok(view)
    }

    pub(super) fn start(&self, mut rows: Rows, renaming: Option<Renaming>, types: Types) -> Result<Query> {
        let refused = |refused: columns::Refused| EngineError::data(refused.0);
        let schema = rows.schema()?;
        let mut fields = columns::flatten_schema(&schema).map_err(refused)?;
        if let Some((names, named)) = renaming {
            for (column, position) in columns::column_positions(&fields).map_err(refused)?.into_iter().enumerate() {
                fields[position].name.clone_from(&names[column]);
                if let Some((_, own)) = named.get(&column) {
                    fields[position].metadata.push((DUCKDB_TYPE.to_owned(), own.clone()));
                }
            }
        }
        let booleans = if types == Types::Plain { columns::plain(&mut fields) } else { Vec::new() };
        let (buffers, status) = (Arc::clone(&self.buffers), self.status.clone());
        let regroup = Regroup::new(self.batches);
        Ok(Query { fields, schema, rows: Some(rows), buffers, status, is_authors: false, booleans, regroup })
    }
}

/// A running SELECT.
pub struct Query {
    pub fields: Vec<Field>,
    /// The Arrow schema of the batches, in which columns may have other names.
    schema: FFI_ArrowSchema,
    /// `None` after the last row: DuckDB must not be asked again.
    rows: Option<Rows>,
    buffers: Arc<Buffers>,
    status: Status,
    /// Whether the SELECT was written by the pipeline's author.
    is_authors: bool,
    /// The fields whose values are passed as bits, because the reader wants plain types.
    pub booleans: Vec<usize>,
    regroup: Regroup,
}

/// The types of a reader's columns; see `osiris:driver/tables.types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Types {
    Exact,
    Plain,
}

/// The real names of a query's columns, and the original types of those that cross in another type.
type Renaming = (Vec<String>, BTreeMap<usize, (String, String)>);

impl Query {
    /// The Arrow schema of the batches, with the names of the columns, and the DuckDB type of those that have another one
    /// in Arrow.
    pub fn arrow_schema(&self) -> Result<Schema> {
        let schema = Schema::try_from(&self.schema).map_err(EngineError::arrow)?;
        let positions = columns::column_positions(&self.fields)
            .map_err(|refused: columns::Refused| EngineError::data(refused.0))?;
        let named = schema.fields().iter().zip(positions).map(|(column, position)| {
            let field = &self.fields[position];
            ArrowField::clone(column)
                .with_name(&field.name)
                .with_nullable(true)
                .with_metadata(field.metadata.iter().cloned().collect())
        });
        Ok(Schema::new(named.collect::<Vec<ArrowField>>()))
    }

    /// The next rows, as a struct array with one child per column.
    pub fn next_batch(&mut self) -> Result<Option<ArrayData>> {
        let Self { rows, regroup, status, buffers, is_authors, .. } = self;
        regroup.next(|| {
            let Some(running) = rows else { return Ok(None) };
            let counted = status.run(*is_authors);
            let batch = status.note_error(running.next())?;
            drop(counted);
            match &batch {
                Some(batch) => buffers.pass(batch)?,
                None => *rows = None,
            }
            Ok(batch)
        })
    }
}
