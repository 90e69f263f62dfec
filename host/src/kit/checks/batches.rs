//! The host chooses how many rows a batch has, and how many bytes a read returns: no result may depend on it.

use super::compare::{Rows, difference};
use super::{GoodRun, NO_GOOD_RUN, Subject, Verdict};
use crate::engine::Batches;
use crate::grants::limits::Limits;
use crate::kit::harness::Trial;

/// The rows of inputs that are read one by one: more than DuckDB passes at once, and an odd number.
const FEW_ROWS: u64 = 2_501;

/// The rows of inputs that are read in one batch: more than 16 bits can count.
const MANY_ROWS: u64 = 70_001;

/// A run with the batches that it usually has, and with others.
struct Pair<'a> {
    run: &'a GoodRun,
    words: &'static str,
    trials: [Trial; 2],
}

/// One row at a time and all at once give what the usual batches give.
pub fn sizes(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let mut pairs = Vec::new();
    for run in subject.some() {
        for (batches, rows, words) in [
            (Batches::Small, FEW_ROWS, "one row or a few bytes at a time"),
            (Batches::Huge, MANY_ROWS, "all rows in one batch"),
        ] {
            let usual = with_rows(run, rows)?.unwrap_or_else(|| run.trial.clone());
            let mut other = usual.clone();
            other.disturbance.batches = batches;
            pairs.push(Pair { run, words, trials: [usual, other] });
        }
    }
    let trials: Vec<Trial> = pairs.iter().flat_map(|pair| pair.trials.clone()).collect();
    let outcomes = subject.run_all(&trials)?;
    for (pair, outcomes) in pairs.iter().zip(outcomes.chunks(2)) {
        if let [usual, other] = outcomes
            && usual.is_success()
            && let Some(words) = difference(usual, other, Rows::AsSet)
        {
            let message = format!("with {}, test `{}` gives something else: {words}", pair.words, pair.run.name);
            return Ok(Verdict::Failed(message));
        }
    }
    Ok(Verdict::of(pairs.len(), NO_GOOD_RUN))
}

/// How long a run with much data may take, in seconds: a driver may have a reason to multiply its rows.
const PATIENCE_SECONDS: u64 = 20;

/// A run whose first input has so many rows, those of the test again and again; `None` if it has no input of SQL.
///
/// # Errors
/// If the rows of an input do not match its columns.
pub fn with_rows(run: &GoodRun, rows: u64) -> anyhow::Result<Option<Trial>> {
    let Some(mut trial) = run.with_inputs(|select| repeated(select, rows))? else { return Ok(None) };
    // Repeating each of several inputs would multiply the rows of a join.
    for (input, original) in trial.inputs.iter_mut().zip(&run.trial.inputs).skip(1) {
        input.clone_from(original);
    }
    trial.limits = Some(Limits { wall_seconds: PATIENCE_SECONDS, ..trial.limits.unwrap_or(Limits::DEFAULT) });
    Ok(Some(trial))
}

/// The rows of a SELECT, again and again until there are so many.
fn repeated(select: &str, rows: u64) -> String {
    format!("SELECT t.* FROM range({rows}), ({select}) AS t LIMIT {rows}")
}
