//! Runs that continue from a state together deliver each row once.

use super::memory::Lines;
use super::{GoodRun, NO_GOOD_RUN, Subject, Verdict};
use crate::kit::harness::Trial;
use crate::kit::outcome::Outcome;

const NO_STATE: &str = "no test of the driver that succeeds stores a state and reads a file of lines";

/// A run on a part of the data and one on the whole deliver what one run on the whole delivers, and a third run nothing.
pub fn increments(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    if !subject.harness.driver.spec.grants.state {
        return Ok(Verdict::Skipped("the driver keeps no state".to_owned()));
    }
    let mut runs = 0;
    for run in subject.some().filter(|run| run.trial.state.is_none() && run.outcome.state.is_some()) {
        let found = run.trial.files.iter().find_map(|(name, bytes)| Some((name, Lines::of(name, bytes)?)));
        let Some((name, lines)) = found else { continue };
        runs += 1;
        for count in [1, lines.records.len() / 2, lines.records.len() - 1] {
            let mut part = run.trial.clone();
            part.files.insert(name.clone(), lines.first(count.max(1)));
            if let Some(words) = continued(subject, run, &part)? {
                let message =
                    format!("test `{}` read in two runs, first {count} records of `{name}`: {words}", run.name);
                return Ok(Verdict::Failed(message));
            }
        }
    }
    Ok(Verdict::of(runs, if subject.good.is_empty() { NO_GOOD_RUN } else { NO_STATE }))
}

/// Runs the part, then the whole from the state of the part, then the whole again; returns what is wrong.
fn continued(subject: &Subject<'_>, run: &GoodRun, part: &Trial) -> anyhow::Result<Option<String>> {
    let first = subject.harness.run(part)?;
    let second = subject.harness.run(&Trial { state: first.state.clone(), ..run.trial.clone() })?;
    let third = subject.harness.run(&Trial { state: second.state.clone(), ..run.trial.clone() })?;
    if let Some(failed) = [&first, &second, &third].into_iter().find(|outcome| !outcome.is_success()) {
        return Ok(Some(failed.words()));
    }
    let (together, whole) = ([rows(&first), rows(&second)].concat(), rows(&run.outcome));
    if let Some(row) = surplus(&whole, &together) {
        return Ok(Some(format!("this row is lost: {row}")));
    }
    if let Some(row) = surplus(&together, &whole) {
        return Ok(Some(format!("this row comes twice: {row}")));
    }
    Ok(rows(&third).first().map(|row| format!("a third run without new data delivers a row again: {row}")))
}

/// The rows of all tables, each with the name of its table.
fn rows(outcome: &Outcome) -> Vec<String> {
    let rows =
        outcome.tables.iter().flat_map(|(name, table)| table.rows.iter().map(move |row| format!("{name} {row}")));
    rows.collect()
}

/// A row that is more often in `these` than in `those`.
fn surplus<'a>(these: &'a [String], those: &[String]) -> Option<&'a String> {
    let mut left = those.to_vec();
    these.iter().find(|row| match left.iter().position(|other| other == *row) {
        Some(place) => {
            left.swap_remove(place);
            false
        }
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surplus_counts_equal_rows() {
        let rows = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
        let (two, one) = (rows(&["a", "b", "a"]), rows(&["b", "a"]));
        assert_eq!(surplus(&two, &one).map(String::as_str), Some("a"));
        assert_eq!(surplus(&one, &two), None);
    }
}
