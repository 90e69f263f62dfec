//! Inputs that are legal and often forgotten: without rows, with nulls, with odd names.

use super::compare::breakage;
use super::{NO_GOOD_RUN, Subject, Verdict};
use crate::kit::harness::Trial;
use crate::kit::outcome::Outcome;

/// What is skipped if there is no input to change.
const NO_INPUT: &str = "no test of the driver that succeeds has an input of rows or SQL";

/// Names that break SQL, JSON, CSV or a file system that takes them for something else.
const NAMES: [&str; 8] = ["select", "a b", "qu\"ote", "it's", "a,b;c", "ž\u{1F600}", "../x", "'; drop table t; --"];

/// Runs each good run with changed inputs, and judges the outcomes.
fn with_changed(
    subject: &Subject<'_>,
    change: impl Fn(&str) -> String,
    judge: impl Fn(&Outcome, &Outcome) -> Option<String>,
) -> anyhow::Result<Verdict> {
    let (mut trials, mut runs) = (Vec::<Trial>::new(), Vec::new());
    for run in subject.some() {
        if let Some(trial) = run.with_inputs(&change)? {
            trials.push(trial);
            runs.push(run);
        }
    }
    for (run, outcome) in runs.iter().zip(subject.run_all(&trials)?) {
        if let Some(words) = judge(&run.outcome, &outcome) {
            return Ok(Verdict::Failed(format!("with the inputs of test `{}` changed so, {words}", run.name)));
        }
    }
    Ok(Verdict::of(trials.len(), if subject.good.is_empty() { NO_GOOD_RUN } else { NO_INPUT }))
}

/// Inputs with their columns and no row.
pub fn empty(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    with_changed(subject, |select| format!("SELECT * FROM ({select}) WHERE false"), |_, outcome| breakage(outcome))
}

/// Inputs with a row that has no value, and inputs that have only such a row.
pub fn nulls(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let null_row = |select: &str| format!("SELECT t.* FROM (SELECT 1) LEFT JOIN ({select}) AS t ON false");
    let mixed = |select: &str| format!("SELECT * FROM ({select}) UNION ALL {}", null_row(select));
    match with_changed(subject, mixed, |_, outcome| breakage(outcome))? {
        Verdict::Passed => with_changed(subject, null_row, |_, outcome| breakage(outcome)),
        other => Ok(other),
    }
}

/// Inputs with more columns, which have odd names. No config names them, so a processor has no reason to refuse them; a
/// writer may deliver to a place that lacks them.
pub fn names(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let added = |(number, name): (usize, &&str)| format!("{number} AS {}", duckdb_text::quote_name(name));
    let added: Vec<String> = NAMES.iter().enumerate().map(added).collect();
    let change = |select: &str| format!("SELECT t.*, {} FROM ({select}) AS t", added.join(", "));
    with_changed(subject, change, |expected, outcome| {
        if !outcome.is_success() {
            return if subject.harness.driver.spec.kind.delivers() { breakage(outcome) } else { Some(outcome.words()) };
        }
        (expected.rows != outcome.rows).then(|| format!("it made {} rows instead of {}", outcome.rows, expected.rows))
    })
}
