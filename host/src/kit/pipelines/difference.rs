//! Shows how the rows of a table differ from those that a test expects: as a table of the rows that differ.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::expect::{is_value, members};
use super::super::outcome::Table;
use crate::error::nearest;
use crate::exact_json::Exact;
use crate::untrusted::line;

/// The most rows that are shown, and the longest value, in characters.
const MAX_ROWS: usize = 20;
const MAX_CELL: usize = 40;

/// The rows that a test expects.
pub struct Wanted<'a> {
    pub rows: &'a [Value],
    /// The columns in the order of rows that are lists; those of the table, if the test has none.
    pub columns: Option<&'a Map<String, Value>>,
    /// Whether the table must have no others.
    pub is_all: bool,
    pub ordered: bool,
}

type Row = Vec<(String, Value)>;
type Members = Vec<(String, Exact)>;

/// Adds how the rows of `got` differ from those that are wanted.
pub fn differences(what: &str, wanted: &Wanted<'_>, got: &Table, found: &mut Vec<String>) {
    let columns: Vec<&str> = match wanted.columns {
        Some(columns) => columns.keys().map(String::as_str).collect(),
        None => got.columns.iter().map(|(name, _)| name.as_str()).collect(),
    };
    let expected: Vec<Row> =
        match wanted.rows.iter().enumerate().map(|(number, row)| parsed(number, row, &columns)).collect() {
            Ok(rows) => rows,
            Err(why) => {
                found.push(format!("{what}: {why}"));
                return;
            }
        };
    let known = found.len();
    compare_columns(what, &expected, wanted, got, found);
    if found.len() > known {
        return;
    }
    let rows: Vec<Members> = got.rows.iter().map(|row| members(row)).collect();
    let (missing, others) = if wanted.ordered { by_place(&expected, &rows) } else { by_value(&expected, &rows) };
    let others = if wanted.is_all { others } else { Vec::new() };
    if missing.is_empty() && others.is_empty() {
        return;
    }
    if wanted.ordered && missing.len() == others.len() && is_reordered(&expected, &rows) {
        let from = missing[0] + 1;
        let note = "write `ordered: false` if their order does not matter";
        found.push(format!("{what}: the expected rows, in another order from row {from} on; {note}"));
    }
    let missing: Vec<(usize, &Row)> = missing.into_iter().map(|place| (place, &expected[place])).collect();
    let others: Vec<(usize, &Members)> = others.into_iter().map(|place| (place, &rows[place])).collect();
    let counts = if wanted.is_all {
        format!("expected {} rows, got {}", expected.len(), got.count)
    } else {
        format!("{} of {} expected rows are missing", missing.len(), expected.len())
    };
    found.push(format!("{what}: {counts}; - is expected, + is what came\n{}", shown(got, &missing, &others)));
}

/// An expected row by column.
fn parsed(number: usize, row: &Value, columns: &[&str]) -> Result<Row, String> {
    let malformed = |why: String| format!("expected row {} is malformed: {why}", number + 1);
    match row {
        Value::Object(fields) => Ok(fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect()),
        Value::Array(values) if values.len() == columns.len() => {
            Ok(columns.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
        }
        Value::Array(values) => Err(malformed(format!("it has {} values for {} columns", values.len(), columns.len()))),
        _ => Err(malformed("it is neither a list nor a mapping".to_owned())),
    }
}

/// Names columns that only one side has, once and not for each row. Rows that need only be among others may leave out columns.
fn compare_columns(what: &str, expected: &[Row], wanted: &Wanted<'_>, got: &Table, found: &mut Vec<String>) {
    let has = |name: &str| got.columns.iter().any(|(own, _)| own == name);
    let named: BTreeSet<&str> = expected.iter().flatten().map(|(name, _)| name.as_str()).collect();
    for name in named.iter().filter(|name| !has(name)) {
        let near = nearest(name, got.columns.iter().map(|(own, _)| own.as_str()));
        let near = near.map(|near| format!("; did you mean `{}`?", line(near))).unwrap_or_default();
        found.push(format!("{what}: the table has no column `{}`{near}", line(name)));
    }
    let unnamed = got.columns.iter().map(|(name, _)| name.as_str()).filter(|name| !named.contains(name));
    let unnamed: Vec<String> = unnamed.map(|name| format!("`{}`", line(name))).collect();
    if wanted.is_all && !expected.is_empty() && !unnamed.is_empty() {
        let note = "use `contains` instead of `rows` to compare some columns";
        found.push(format!("{what}: the expected rows lack the columns {}; {note}", unnamed.join(", ")));
    }
}

/// Whether a row has the expected values; a row of the test may leave out columns if it leaves them out everywhere.
fn is_equal(expected: &Row, got: &Members) -> bool {
    expected.iter().all(|(name, value)| got.iter().any(|(own, got)| own == name && is_value(value, got)))
}

/// The places of the expected rows that are not at their place, and of the rows there.
fn by_place(expected: &[Row], got: &[Members]) -> (Vec<usize>, Vec<usize>) {
    let differs = |place: &usize| match (expected.get(*place), got.get(*place)) {
        (Some(expected), Some(got)) => !is_equal(expected, got),
        _ => true,
    };
    let places = |count: usize| (0..count).filter(differs).collect();
    (places(expected.len()), places(got.len()))
}

/// Pairs equal rows, whatever their order; returns the places of the others.
fn by_value(expected: &[Row], got: &[Members]) -> (Vec<usize>, Vec<usize>) {
    let mut left: Vec<bool> = vec![true; got.len()];
    let mut missing = Vec::new();
    for (place, row) in expected.iter().enumerate() {
        match got.iter().enumerate().position(|(at, got)| left[at] && is_equal(row, got)) {
            Some(at) => left[at] = false,
            None => missing.push(place),
        }
    }
    (missing, left.iter().enumerate().filter(|(_, left)| **left).map(|(place, _)| place).collect())
}

fn is_reordered(expected: &[Row], got: &[Members]) -> bool {
    expected.len() == got.len() && by_value(expected, got).0.is_empty()
}

/// The rows that differ, aligned by column: each expected one before the one that came in its place.
fn shown(got: &Table, missing: &[(usize, &Row)], others: &[(usize, &Members)]) -> String {
    let names: Vec<&str> = got.columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut lines = vec![("  ", names.iter().map(|name| cell(name)).collect::<Vec<_>>())];
    let expected = |row: &Row| {
        let value = |name: &&str| row.iter().find(|(own, _)| own == name).map(|(_, value)| cell(&value.to_string()));
        names.iter().map(|name| value(name).unwrap_or_default()).collect()
    };
    let came = |row: &Members| {
        let value = |name: &&str| row.iter().find(|(own, _)| own == name).map(|(_, value)| cell(&value.to_string()));
        names.iter().map(|name| value(name).unwrap_or_default()).collect()
    };
    for place in 0..missing.len().max(others.len()).min(MAX_ROWS) {
        lines.extend(missing.get(place).map(|(_, row)| ("- ", expected(row))));
        lines.extend(others.get(place).map(|(_, row)| ("+ ", came(row))));
    }
    let width = |column: usize| lines.iter().map(|(_, cells)| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let text = |(mark, cells): &(&str, Vec<String>)| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("  {mark}{}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    let mut text: Vec<String> = lines.iter().map(text).collect();
    let more = missing.len().max(others.len()).saturating_sub(MAX_ROWS);
    if more > 0 {
        text.push(format!("  … and {more} more rows"));
    }
    text.join("\n")
}

/// A value on one line, cut to a bound.
fn cell(text: &str) -> String {
    let text = line(text);
    match text.char_indices().nth(MAX_CELL) {
        None => text.into_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn found(rows: &Value, ordered: bool, is_all: bool) -> Vec<String> {
        let columns = vec![("a".to_owned(), "BIGINT".to_owned()), ("b".to_owned(), "VARCHAR".to_owned())];
        let came = [r#"{"a":1,"b":"x"}"#, r#"{"a":2,"b":null}"#].map(str::to_owned).to_vec();
        let got = Table { columns, count: 2, digest: String::new(), rows: came };
        let mut found = Vec::new();
        let rows = rows.as_array().unwrap();
        differences("t", &Wanted { rows, columns: None, is_all, ordered }, &got, &mut found);
        found
    }

    #[test]
    fn rows_that_differ_are_shown_side_by_side() {
        assert!(found(&json!([[1, "x"], [2, null]]), true, true).is_empty());
        assert!(found(&json!([{"b": null, "a": 2}, {"a": "1", "b": "x"}]), false, true).is_empty());
        let text = found(&json!([[1, "x"], [2, "y"]]), true, true).join("\n");
        assert!(text.ends_with("    a  b\n  - 2  \"y\"\n  + 2  null"), "{text}");
        let text = found(&json!([[1, "x"]]), true, true).join("\n");
        assert!(text.contains("expected 1 rows, got 2") && text.ends_with("  + 2  null"), "{text}");
        let text = found(&json!([[2, null], [1, "x"]]), true, true).join("\n");
        assert!(text.contains("another order from row 1 on"), "{text}");
    }

    #[test]
    fn columns_that_differ_are_named_once() {
        let text = found(&json!([{"a": 1, "bb": 1}, {"a": 2, "bb": 1}]), true, true).join("\n");
        assert!(text.contains("has no column `bb`; did you mean `b`?") && text.matches("`b`").count() == 2, "{text}");
        assert!(found(&json!([{"a": 2}]), true, true)[0].contains("lack the columns `b`"));
    }

    #[test]
    fn rows_may_be_among_others_and_leave_out_columns() {
        assert!(found(&json!([{"a": 2}]), false, false).is_empty());
        let text = found(&json!([{"a": 2}, {"a": 3}]), false, false).join("\n");
        assert!(text.contains("1 of 2 expected rows are missing") && !text.contains("\n  + "), "{text}");
        assert!(found(&json!([[1], 7]), false, false)[0].contains("malformed"));
    }
}
