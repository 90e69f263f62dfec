//! A driver that runs twice on the same data gives the same twice.

use super::compare::{Rows, difference};
use super::{NO_GOOD_RUN, Subject, Verdict};
use crate::kit::harness::Trial;

/// Two runs give the same tables, rows in the same order, and the same state.
pub fn deterministic(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    // Instances that share the work take turns as it happens.
    let rows = if subject.harness.driver.spec.instances.is_some() { Rows::AsSet } else { Rows::InOrder };
    let trials: Vec<Trial> = subject.some().map(|run| run.trial.clone()).collect();
    for (run, again) in subject.some().zip(subject.run_all(&trials)?) {
        if let Some(words) = difference(&run.outcome, &again, rows) {
            return Ok(Verdict::Failed(format!("a second run of test `{}` gives something else: {words}", run.name)));
        }
    }
    Ok(Verdict::of(trials.len(), NO_GOOD_RUN))
}

/// A second run, which finds what the first has left, leaves the same files.
pub fn repeatable(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let over = |trial: &Trial, files: &std::collections::BTreeMap<String, Vec<u8>>| {
        let mut trial = trial.clone();
        trial.files.extend(files.clone());
        trial
    };
    let trials: Vec<Trial> = subject.some().map(|run| over(&run.trial, &run.outcome.files)).collect();
    for (run, again) in subject.some().zip(subject.run_all(&trials)?) {
        if let Some(words) = difference(&run.outcome, &again, Rows::AsSet) {
            return Ok(Verdict::Failed(format!("a second run of test `{}` leaves something else: {words}", run.name)));
        }
        if run.outcome.rows != again.rows {
            let message = format!(
                "a second run of test `{}` delivers {} rows instead of {}",
                run.name, again.rows, run.outcome.rows
            );
            return Ok(Verdict::Failed(message));
        }
    }
    Ok(Verdict::of(trials.len(), NO_GOOD_RUN))
}
