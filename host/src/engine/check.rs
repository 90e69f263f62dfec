//! What the checks of a step's tables need of its database: tables by their own names, and the host's own statements.

use std::sync::Arc;

use duckdb::arrow::array::cast::AsArray;
use duckdb::arrow::array::{Array, make_array};

use super::ffi::Connection;
use super::statement::{self, Refusal, Tables};
use super::{Engine, EngineError, OUTPUT, Result, Varying, quote_name, quote_text};

/// A small result: rows of texts.
pub type Texts = Vec<Vec<Option<String>>>;

impl Engine {
    /// The names of the output's tables.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn made_tables(&self) -> Result<Vec<String>> {
        if self.has_output { self.output_tables() } else { Ok(Vec::new()) }
    }

    /// The name of a table of the output in the host's own statements.
    pub fn made(&self, table: &str) -> String {
        format!("{OUTPUT}.main.{}", quote_name(table))
    }

    /// The name of an input's table in the host's own statements.
    pub fn source(&self, alias: &str) -> Option<&str> {
        self.sources.iter().find(|(name, _)| name == alias).map(|(_, source)| source.as_str())
    }

    /// Lets the author's SQL name a table of the host's statements, in place of any input of that name.
    ///
    /// # Errors
    /// If the view cannot be made.
    pub fn name_table(&self, name: &str, select: &str) -> Result<()> {
        self.control().execute(&format!("CREATE OR REPLACE VIEW {} AS {select}", quote_name(name)))?;
        Ok(())
    }

    /// The columns of a SELECT, or of `FROM table`, with their types as DuckDB prints them.
    ///
    /// # Errors
    /// If it cannot be bound.
    pub fn described(&self, select: &str) -> Result<Vec<(String, String)>> {
        // An error then quotes this statement, and not the text around it.
        drop(self.control().prepare_select(select)?);
        let rows = self.texts(&format!("SELECT column_name, column_type FROM (DESCRIBE {select})"), usize::MAX)?;
        let text = |value: &mut Option<String>| value.take().unwrap_or_default();
        Ok(rows.into_iter().map(|mut row| (text(&mut row[0]), text(&mut row[1]))).collect())
    }

    /// The columns of a SELECT, which is not run; `None` if one has a type that no SQL text can recreate.
    ///
    /// # Errors
    /// If it cannot be bound.
    pub fn bound(&self, select: &str) -> Result<Option<Vec<(String, String)>>> {
        let statement = self.control().prepare_select(select)?;
        let columns = statement.columns().into_iter().map(|(name, kind)| Some((name, kind.sql().ok()?)));
        Ok(columns.collect())
    }

    /// Judges a SELECT that contains the author's own SQL, as a driver's is judged, over the tables of those names.
    ///
    /// # Errors
    /// If it is not one SELECT, or does what no step may do.
    pub fn judge_over(&self, select: &str, tables: &[String]) -> Result<()> {
        if judge(&self.control(), select, &Tables::new(tables.iter().cloned()))? {
            self.status.note_varying(Varying::Sql);
        }
        Ok(())
    }

    /// Whether a SELECT that contains the author's own SQL can be parsed and calls nothing that is forbidden. Its names are not
    /// looked up.
    ///
    /// # Errors
    /// Why not.
    pub fn parses(&self, select: &str) -> Result<()> {
        let connection = self.control();
        match judged(&connection, select, &Tables::default())? {
            Ok(_) | Err(Refusal::Unknown(_)) => Ok(()),
            Err(other) => Err(refused(&connection, select, other)),
        }
    }

    /// Runs a statement that was made here, or judged.
    ///
    /// # Errors
    /// If it fails.
    pub fn run_own(&self, statement: &str) -> Result<u64> {
        let _running = self.status.run(true);
        self.status.note_error(self.control().execute(statement))
    }

    /// The first rows of a SELECT that was made here, or judged, all of whose columns are texts.
    ///
    /// # Errors
    /// If it fails.
    pub fn texts(&self, select: &str, most: usize) -> Result<Texts> {
        let _running = self.status.run(true);
        self.status.note_error(self.read_texts(select, most))
    }

    fn read_texts(&self, select: &str, most: usize) -> Result<Texts> {
        let connection = self.control();
        let mut rows = connection.prepare_select(select)?.stream()?;
        let mut texts = Texts::new();
        while texts.len() < most
            && let Some(batch) = rows.next()?
        {
            let columns: Vec<_> = batch.child_data().iter().cloned().map(make_array).collect();
            let columns: Option<Vec<_>> = columns.iter().map(|column| column.as_string_opt::<i32>()).collect();
            let columns = columns.ok_or_else(|| EngineError::internal("a column that is not text"))?;
            for row in 0..batch.len().min(most - texts.len()) {
                let value = |column: &&duckdb::arrow::array::StringArray| {
                    column.is_valid(row).then(|| column.value(row).to_owned())
                };
                texts.push(columns.iter().map(value).collect());
            }
        }
        Ok(texts)
    }
}

/// Parses a text and judges it before any of it is bound: it may read the tables of those names. Returns whether its result differs
/// from run to run.
pub(super) fn judge(connection: &Arc<Connection>, select: &str, tables: &Tables) -> Result<bool> {
    judged(connection, select, tables)?.map_err(|refusal| refused(connection, select, refusal))
}

fn judged(connection: &Arc<Connection>, select: &str, tables: &Tables) -> Result<std::result::Result<bool, Refusal>> {
    let serialize = format!("SELECT CAST(json_serialize_sql({}) AS VARCHAR)", quote_text(select));
    let tree = connection.first_column(&serialize)?;
    let tree = tree.as_ref().map(|tree| tree.as_string::<i32>().value(0)).unwrap_or_default();
    Ok(statement::check(tree, tables))
}

fn refused(connection: &Arc<Connection>, select: &str, refusal: Refusal) -> EngineError {
    match refusal {
        Refusal::Syntax => connection.syntax_error(select),
        Refusal::Unknown(what) => EngineError::statement(what),
        // DuckDB makes several statements of a PIVOT whose columns depend on the data.
        Refusal::Forbidden(what) if what == statement::NO_SELECT && select.to_lowercase().contains("pivot") => {
            EngineError::refused(
                "a PIVOT that does not name its columns; write `PIVOT … ON column IN ('a', 'b') USING …`",
            )
        }
        Refusal::Forbidden(what) => EngineError::refused(what),
    }
}
