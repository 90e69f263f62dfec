//! Values that pass through a processor stay what they are.

use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

use super::compare::breakage;
use super::{GoodRun, NO_GOOD_RUN, Subject, Verdict, hostile};
use crate::kit::harness::Trial;
use crate::kit::outcome::{Outcome, Table};
use crate::kit::source::{Source, TestInput};

/// The table that is compared with the input.
const MAIN: &str = "main";

/// The beginning of the names of added columns.
const ADDED: &str = "kit_";

/// A column that a good run passes on unchanged also passes on the hostile values of its type, and so does a column that the
/// run does not know, if it is passed on at all.
pub fn values(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let mut runs = 0;
    for run in subject.some() {
        // With several inputs it is unknown from which a column comes.
        let [TestInput { alias, source }] = run.trial.inputs.as_slice() else { continue };
        let (Some(select), Some(made)) = (source.select()?, run.outcome.tables.get(MAIN)) else { continue };
        let given = subject.query(&select, Vec::new())?;
        // Without rows it is unknown what passes through.
        if given.rows.is_empty() {
            continue;
        }
        runs += 1;
        let passed: BTreeSet<&str> = given.columns.iter().map(|(name, _)| name.as_str()).collect();
        let passed: BTreeSet<&str> =
            passed.into_iter().filter(|name| column(&given, name) == column(made, name)).collect();
        let own = hostile::select(&given.columns);
        let mut inputs = vec![own];
        // A driver may refuse one of the values; then each column is tried by itself.
        inputs.extend(given.columns.iter().filter(|(name, _)| passed.contains(name.as_str())).map(|chosen| {
            let hostile = hostile::select(std::slice::from_ref(chosen));
            let name = duckdb_text::quote_name(&chosen.0);
            format!(
                "SELECT t.* REPLACE (h.{name} AS {name}) FROM ({hostile}) AS h, (SELECT * FROM ({select}) LIMIT 1) AS t"
            )
        }));
        inputs.push(with_all_types(&select));
        if let Some(words) = judge(subject, run, alias, &inputs, &passed)? {
            return Ok(Verdict::Failed(words));
        }
    }
    Ok(Verdict::of(runs, NO_GOOD_RUN))
}

/// The rows of a SELECT with a column for each type.
fn with_all_types(select: &str) -> String {
    let added = |(number, duckdb_type): (usize, &&str)| (format!("{ADDED}{number}"), (*duckdb_type).to_owned());
    let added: Vec<(String, String)> = hostile::TYPES.iter().enumerate().map(added).collect();
    format!("SELECT t.*, h.* FROM ({}) AS h, (SELECT * FROM ({select}) LIMIT 1) AS t", hostile::select(&added))
}

fn judge(
    subject: &Subject<'_>,
    run: &GoodRun,
    alias: &str,
    inputs: &[String],
    passed: &BTreeSet<&str>,
) -> anyhow::Result<Option<String>> {
    let trial = |select: &String| {
        let input = TestInput { alias: alias.to_owned(), source: Source::Sql(select.clone()) };
        Trial { inputs: vec![input], ..run.trial.clone() }
    };
    let trials: Vec<Trial> = inputs.iter().map(trial).collect();
    for (select, outcome) in inputs.iter().zip(subject.run_all(&trials)?) {
        if let Some(words) = breakage(&outcome) {
            return Ok(Some(format!(
                "with values at the edges of their types in the input of test `{}`, {words}",
                run.name
            )));
        }
        let given = subject.query(select, Vec::new())?;
        if let Some(words) = changed(&given, &outcome, passed) {
            return Ok(Some(format!("test `{}` passes columns on unchanged, but {words}", run.name)));
        }
    }
    Ok(None)
}

/// Which value of a column that is passed on is another one afterwards.
fn changed(given: &Table, outcome: &Outcome, passed: &BTreeSet<&str>) -> Option<String> {
    let made = outcome.tables.get(MAIN)?;
    for (name, duckdb_type) in &given.columns {
        if !passed.contains(name.as_str()) && !name.starts_with(ADDED) {
            continue;
        }
        let (before, after) = (column(given, name)?, column(made, name));
        // A column that is not known to the driver may be left out.
        let Some(after) = after else { continue };
        let known: BTreeSet<&String> = before.iter().collect();
        if let Some(value) = after.iter().find(|value| !known.contains(value)) {
            let shown: String = value.chars().take(80).collect();
            return Some(format!(
                "column `{name}` ({duckdb_type}) now has the value {shown}, which its input does not have"
            ));
        }
        let nulls = |values: &[String]| values.iter().filter(|value| *value == "null").count();
        if before.len() == after.len() && nulls(&before) != nulls(&after) {
            return Some(format!(
                "column `{name}` ({duckdb_type}) has {} nulls instead of {}",
                nulls(&after),
                nulls(&before)
            ));
        }
    }
    None
}

/// The values of a column as JSON; `None` if the table lacks it.
fn column(table: &Table, name: &str) -> Option<Vec<String>> {
    table.columns.iter().find(|(own, _)| own == name)?;
    let value = |row: &String| {
        let mut row: BTreeMap<String, Box<RawValue>> = serde_json::from_str(row).ok()?;
        Some(row.remove(name)?.get().to_owned())
    };
    table.rows.iter().map(value).collect()
}
