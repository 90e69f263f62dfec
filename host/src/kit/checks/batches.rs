//! The host chooses how many rows a batch has, and how many bytes a read returns: no result may depend on it.

use super::compare::{Rows, difference};
use super::{GoodRun, NO_GOOD_RUN, Subject, Verdict};
use crate::engine::Batches;
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
            let usual = run.with_inputs(|select| repeated(select, rows))?.unwrap_or_else(|| run.trial.clone());
            let mut other = usual.clone();
            other.disturbance.batches = batches;
            pairs.push(Pair { run, words, trials: [usual, other] });
        }
    }
    let trials: Vec<Trial> = pairs.iter().flat_map(|pair| pair.trials.clone()).collect();
    let outcomes = subject.run_all(&trials)?;
    for (pair, outcomes) in pairs.iter().zip(outcomes.chunks(2)) {
        if let [usual, other] = outcomes
            && let Some(words) = difference(usual, other, Rows::AsSet)
        {
            let message = format!("with {}, test `{}` gives something else: {words}", pair.words, pair.run.name);
            return Ok(Verdict::Failed(message));
        }
    }
    Ok(Verdict::of(pairs.len(), NO_GOOD_RUN))
}

/// The rows of a SELECT, again and again until there are so many.
pub fn repeated(select: &str, rows: u64) -> String {
    format!("SELECT t.* FROM range({rows}), ({select}) AS t LIMIT {rows}")
}
