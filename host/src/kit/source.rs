//! The tables that a driver under test reads, and the steps that make them.

use anyhow::{Context, ensure};
use duckdb_text::{quote_name, quote_text};
use serde_json::{Map, Value};

use crate::pipeline::resources::Resources;
use crate::pipeline::retries::Retries;
use crate::pipeline::{Step, StepId};

/// One input of a driver under test.
#[derive(Debug, Clone, PartialEq)]
pub struct TestInput {
    /// The name by which the driver knows it.
    pub alias: String,
    pub source: Source,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The rows of a SELECT of DuckDB.
    Sql(String),
    Rows(Rows),
    /// The table `main` of another driver, such as `filesystem.csv_extractor`, with that config.
    Component {
        name: String,
        config: Map<String, Value>,
    },
}

/// A file that another driver makes before the run.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeFile {
    /// What is written.
    pub source: Source,
    /// The writer, such as `filesystem.parquet_writer`, and its config.
    pub writer: String,
    pub config: Map<String, Value>,
}

/// Rows that a test contains.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Names and types, as DuckDB spells them.
    pub columns: Vec<(String, String)>,
    /// Each with a value for each column.
    pub rows: Vec<Vec<Value>>,
}

/// The driver that makes tables from SQL.
pub(super) const SQL: &str = "duckdb.processor";

impl Source {
    /// A SELECT of the table; `None` if another driver makes it.
    ///
    /// # Errors
    /// If rows do not match their columns.
    pub(super) fn select(&self) -> anyhow::Result<Option<String>> {
        Ok(match self {
            Self::Sql(query) => Some(query.clone()),
            Self::Rows(rows) => Some(rows.select()?),
            Self::Component { .. } => None,
        })
    }

    /// The component and the config of the step that makes the table.
    ///
    /// # Errors
    /// If rows do not match their columns.
    pub(super) fn step(&self) -> anyhow::Result<(String, Map<String, Value>)> {
        let sql = |query: String| (SQL.to_owned(), Map::from_iter([("query".to_owned(), Value::String(query))]));
        Ok(match self {
            Self::Sql(query) => sql(query.clone()),
            Self::Rows(rows) => sql(rows.select()?),
            Self::Component { name, config } => (name.clone(), config.clone()),
        })
    }
}

/// A step that needs no other.
pub(super) fn step(id: StepId, component: String, config: Map<String, Value>) -> Step {
    Step {
        id,
        component,
        mode: None,
        config,
        needs: Some(Vec::new()),
        inputs: None,
        retries: Retries::default(),
        rejects: 0,
        cache: None,
        expect: Default::default(),
        on: None,
        resources: Resources::default(),
        line: 0,
    }
}

impl Rows {
    /// A SELECT of the rows.
    fn select(&self) -> anyhow::Result<String> {
        ensure!(!self.columns.is_empty(), "rows need at least one column");
        let columns = |value: &dyn Fn(usize, &str) -> anyhow::Result<String>| {
            let column = |(place, (name, duckdb_type)): (usize, &(String, String))| {
                Ok(format!("{} AS {}", value(place, duckdb_type)?, quote_name(name)))
            };
            Ok::<_, anyhow::Error>(
                self.columns.iter().enumerate().map(column).collect::<anyhow::Result<Vec<_>>>()?.join(", "),
            )
        };
        if self.rows.is_empty() {
            return Ok(format!(
                "SELECT {} WHERE false",
                columns(&|_, duckdb_type| Ok(format!("CAST(NULL AS {duckdb_type})")))?
            ));
        }
        let names: Vec<String> = (0..self.columns.len()).map(|place| format!("c{place}")).collect();
        let mut values = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            ensure!(row.len() == self.columns.len(), "row {} does not have {} values", number + 1, self.columns.len());
            values.push(format!("({})", row.iter().map(text).collect::<Vec<_>>().join(", ")));
        }
        let is_nested =
            |place: usize| self.rows.iter().any(|row| matches!(row[place], Value::Array(_) | Value::Object(_)));
        let list = columns(&|place, duckdb_type| {
            let name = names.get(place).context("a column has no name")?;
            let value = if is_nested(place) { format!("CAST({name} AS JSON)") } else { name.clone() };
            Ok(format!("CAST({value} AS {duckdb_type})"))
        })?;
        Ok(format!("SELECT {list} FROM (VALUES {}) AS v({})", values.join(", "), names.join(", ")))
    }
}

/// A value as a literal of type VARCHAR.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "CAST(NULL AS VARCHAR)".to_owned(),
        Value::String(text) => quote_text(text),
        other => quote_text(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_become_a_select_that_keeps_every_digit() {
        let columns = |columns: &[(&str, &str)]| {
            columns.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
        };
        let rows = Rows {
            columns: columns(&[("a \"b", "DECIMAL(38,10)"), ("l", "INTEGER[]")]),
            rows: vec![vec![json!("0.1000000001"), json!([1, null])], vec![Value::Null, Value::Null]],
        };
        assert_eq!(
            rows.select().unwrap(),
            "SELECT CAST(c0 AS DECIMAL(38,10)) AS \"a \"\"b\", CAST(CAST(c1 AS JSON) AS INTEGER[]) AS \"l\" FROM \
             (VALUES ('0.1000000001', '[1,null]'), (CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR))) AS v(c0, c1)"
        );
        let empty = Rows { columns: columns(&[("x", "DATE")]), rows: Vec::new() };
        assert_eq!(empty.select().unwrap(), "SELECT CAST(NULL AS DATE) AS \"x\" WHERE false");
        assert!(Rows { rows: vec![vec![]], ..empty }.select().is_err());
        assert!(Rows::default().select().is_err());
    }
}
