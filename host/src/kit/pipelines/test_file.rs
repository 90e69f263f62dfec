//! The tests that an author writes beside a pipeline: `<pipeline>.test.yaml`. Parsing does no I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::test_file::{ExpectedError, ExpectedTable};
use crate::error::Report;
use crate::pipeline::yaml;

/// A file of tests of one pipeline.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// The pipeline's file; by default the one beside it that is called like it.
    pub pipeline: Option<String>,
    /// Tables in place of steps, for all tests.
    #[serde(default)]
    pub given: Map<String, Value>,
    pub tests: Vec<PipelineTest>,
}

/// One test as its author wrote it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineTest {
    /// By default the file's name and a number.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    #[expect(dead_code, reason = "known, so that it is no unknown key")]
    description: Option<String>,
    /// Values of the pipeline's parameters.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    pub profile: Option<String>,
    /// Values of `${NAME}`; the test sees no others.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What `today` and the like are relative to in parameters.
    pub now: Option<Timestamp>,
    /// Tables in place of steps.
    #[serde(default)]
    pub given: Map<String, Value>,
    /// What comes of each step; those that are left out are not compared.
    #[serde(default)]
    pub expect: BTreeMap<String, ExpectedStep>,
    /// The pipeline is refused before anything runs.
    pub error: Option<ExpectedError>,
}

/// What comes of a step: of its only table, or of several.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedStep {
    columns: Option<Map<String, Value>>,
    rows: Option<Vec<Value>>,
    count: Option<u64>,
    ordered: Option<bool>,
    contains: Option<Vec<Value>>,
    sql: Option<String>,
    csv: Option<String>,
    json: Option<String>,
    parquet: Option<String>,
    duckdb: Option<String>,
    options: Option<Map<String, Value>>,
    /// Its tables by name; others are not compared.
    pub tables: Option<BTreeMap<String, ExpectedRows>>,
    /// Texts that the step's warnings contain, one for each warning.
    pub warnings: Option<Vec<String>>,
    /// The step fails.
    pub error: Option<ExpectedError>,
}

/// What a table must contain: what is written in the test, or what a SELECT or a file has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedRows {
    columns: Option<Map<String, Value>>,
    rows: Option<Vec<Value>>,
    count: Option<u64>,
    ordered: Option<bool>,
    /// Rows that are among those of the table, whatever else it has.
    pub contains: Option<Vec<Value>>,
    sql: Option<String>,
    csv: Option<String>,
    json: Option<String>,
    parquet: Option<String>,
    duckdb: Option<String>,
    options: Option<Map<String, Value>>,
}

impl ExpectedStep {
    /// What the step's only table must contain, if the test says so.
    pub fn only_table(&self) -> Option<ExpectedRows> {
        let Self { columns, rows, count, ordered, contains, sql, csv, json, parquet, duckdb, options, .. } =
            self.clone();
        let table = ExpectedRows { columns, rows, count, ordered, contains, sql, csv, json, parquet, duckdb, options };
        table.says_something().then_some(table)
    }
}

impl ExpectedRows {
    fn says_something(&self) -> bool {
        let Self { columns, rows, count, ordered, contains, options, .. } = self;
        let is_written = columns.is_some() || rows.is_some() || count.is_some() || contains.is_some();
        is_written || ordered.is_some() || options.is_some() || self.source().is_some()
    }

    /// Where the expected rows come from, as an input of a driver's test would say it; `None` if they are written in the test.
    pub fn source(&self) -> Option<Value> {
        let Self { sql, csv, json, parquet, duckdb, options, .. } = self;
        let sources = [("sql", sql), ("csv", csv), ("json", json), ("parquet", parquet), ("duckdb", duckdb)];
        let sources = sources.into_iter().filter_map(|(name, source)| Some((name, Value::from(source.clone()?))));
        let mut fields: Map<String, Value> = sources.map(|(name, source)| (name.to_owned(), source)).collect();
        if fields.is_empty() {
            return None;
        }
        fields.extend(options.clone().map(|options| ("options".to_owned(), Value::Object(options))));
        Some(Value::Object(fields))
    }

    /// Whether the source decides the types of the columns: a CSV file or JSON has none.
    pub fn has_types(&self) -> bool {
        self.sql.is_some() || self.parquet.is_some() || self.duckdb.is_some()
    }

    /// What is written in the test.
    pub fn written(&self) -> ExpectedTable {
        let Self { columns, rows, count, ordered, .. } = self.clone();
        ExpectedTable { columns, rows, count, ordered: ordered.unwrap_or(true) }
    }
}

/// Parses a file of tests; a test without a name is called `stem` and its number.
///
/// # Errors
/// A [`Report`] with the line, and for an unknown key the alternatives.
pub fn parse(text: &str, file: &str, stem: &str) -> Result<TestFile, Report> {
    let mut parsed: TestFile = yaml::parse(text, "tests", file)?;
    if parsed.tests.is_empty() {
        return Err(Report::input(format!("`{file}` has no tests")).hint("write at least one under `tests:`"));
    }
    let count = parsed.tests.len();
    for (number, test) in parsed.tests.iter_mut().enumerate().filter(|(_, test)| test.name.is_empty()) {
        test.name = if count == 1 { stem.to_owned() } else { format!("{stem} {}", number + 1) };
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_step_is_expected_to_have_a_table_only_if_the_test_says_something_about_it() {
        let text = "tests: [{expect: {a: {warnings: []}, b: {count: 1}, c: {sql: select 1, ordered: false}}}, {}]";
        let file = parse(text, "p.test.yaml", "p").unwrap();
        assert_eq!(file.tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>(), ["p 1", "p 2"]);
        let table = |step: &str| file.tests[0].expect[step].only_table();
        assert!(table("a").is_none() && table("b").unwrap().source().is_none());
        let from_sql = table("c").unwrap();
        assert_eq!(from_sql.source(), Some(serde_json::json!({"sql": "select 1"})));
        assert!(!from_sql.written().ordered && table("b").unwrap().written().ordered);
    }

    #[test]
    fn unknown_keys_are_refused_with_their_alternatives() {
        for (text, hint) in [
            ("tests: [{givn: {}}]", "did you mean `given`?"),
            ("tests: [{expect: {a: {row: []}}}]", "did you mean `rows`?"),
            ("tests: [{expect: {a: {tables: {main: {orderd: true}}}}}]", "did you mean `ordered`?"),
            ("test: []", "did you mean `tests`?"),
        ] {
            let report = parse(text, "p.test.yaml", "p").unwrap_err();
            assert!(report.hint.as_deref().unwrap_or_default().contains(hint), "{report:?}");
        }
        assert!(parse("tests: []", "p.test.yaml", "p").is_err());
    }
}
