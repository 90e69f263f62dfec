//! Runs a driver's own tests and the generic checks, two at a time, and collects what they found.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::cases::{Case, Folder};
use super::checks::{Check, GoodRun, Subject, Verdict};
use super::expect::problems;
use super::harness::{Harness, Trial};
use super::outcome::Outcome;
use crate::error::{Report, listed, nearest};
use crate::recordings::{Exchange, Exchanges, Seen};

/// How many tests run at once.
const JOBS: usize = 2;

/// What one test or check found.
#[derive(Debug)]
pub struct Finding {
    pub name: String,
    /// The file that contains the test; `None` for a check.
    pub file: Option<String>,
    /// What the check proves.
    pub what: Option<&'static str>,
    pub verdict: Verdict,
    pub duration: Duration,
    /// The recording that was made, if one was.
    pub recorded: Option<String>,
}

/// What is to be run.
pub struct Suite<'a> {
    pub harness: &'a Harness,
    pub folder: Option<&'a Folder>,
    pub cases: Vec<Case>,
    pub checks: Vec<&'static Check>,
    /// The names of the tests and checks to run; all, if there are none.
    pub only: Vec<String>,
    /// Whether to record the tests whose recording is missing, and those that are named.
    pub records: bool,
    /// Called with each finding at once.
    pub found: &'a (dyn Fn(&Finding) + Sync),
}

impl Suite<'_> {
    /// Runs everything; findings are in the order of the tests and checks.
    ///
    /// # Errors
    /// A [`Report`] if a name in `only` is unknown.
    pub fn run(self) -> anyhow::Result<Vec<Finding>> {
        self.check_names()?;
        let is_selected = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let checks: Vec<&Check> = self.checks.iter().copied().filter(|check| is_selected(check.name)).collect();
        // Checks build on the runs of tests, whether or not those are reported.
        let cases: Vec<&Case> =
            self.cases.iter().filter(|case| !checks.is_empty() || is_selected(&case.name)).collect();
        let run = |case: &&Case| {
            let (finding, good) = self.run_case(case);
            if is_selected(&finding.name) {
                (self.found)(&finding);
            }
            (finding, good)
        };
        let (mut findings, good): (Vec<Finding>, Vec<Option<GoodRun>>) =
            side_by_side(&cases, &run)?.into_iter().unzip();
        findings.retain(|finding| is_selected(&finding.name));
        let subject = Subject { harness: self.harness, good: good.into_iter().flatten().collect() };
        let run = |check: &&Check| {
            let finding = run_check(check, &subject);
            (self.found)(&finding);
            finding
        };
        findings.extend(side_by_side(&checks, &run)?);
        Ok(findings)
    }

    fn check_names(&self) -> Result<(), Report> {
        let known =
            || self.cases.iter().map(|case| case.name.as_str()).chain(self.checks.iter().map(|check| check.name));
        let Some(unknown) = self.only.iter().find(|name| known().all(|known| known != name.as_str())) else {
            return Ok(());
        };
        let report = Report::input(format!("no test or check is called `{unknown}`; known: {}", listed(known())));
        Err(match nearest(unknown, known()) {
            Some(near) => report.hint(format!("did you mean `{near}`?")),
            None => report,
        })
    }

    /// Runs a test; returns its run as well, if it is a good one.
    fn run_case(&self, case: &Case) -> (Finding, Option<GoodRun>) {
        let begun = Instant::now();
        let (verdict, recorded, good) = match self.judge(case) {
            Ok(Judged { problems, recorded, trial, outcome }) if problems.is_empty() => {
                let good = GoodRun { name: case.name.clone(), trial, outcome };
                (Verdict::Passed, recorded, Some(good).filter(|good| good.outcome.is_success()))
            }
            Ok(judged) => (Verdict::Failed(judged.problems.join("\n")), judged.recorded, None),
            Err(error) => (Verdict::Failed(words(error)), None, None),
        };
        let (name, file) = (case.name.clone(), Some(case.file.clone()));
        (Finding { name, file, what: None, verdict, duration: begun.elapsed(), recorded }, good)
    }

    fn judge(&self, case: &Case) -> anyhow::Result<Judged> {
        let mut trial = case.trial.clone();
        let mut recorded = None;
        if let Some(file) = &case.recording {
            if self.records && (case.is_unrecorded || self.only.contains(&case.name)) {
                let exchanges = match self.record(case, file)? {
                    Ok(exchanges) => exchanges,
                    Err(problems) => return Ok(Judged { problems, recorded, trial, outcome: Outcome::default() }),
                };
                recorded = Some(file.clone());
                if let Exchanges::Replay(replay) = &mut trial.exchanges {
                    replay.exchanges = exchanges;
                }
            } else if case.is_unrecorded {
                let message = format!("its recording `{file}` is missing");
                return Err(Report::input(message)
                    .hint("add `--record` to make the requests to the real service and record them")
                    .into());
            }
        }
        // Checks disturb one call after another of a good run.
        trial.disturbance.observes = true;
        let outcome = self.harness.run(&trial)?;
        let replay = match &trial.exchanges {
            Exchanges::Replay(replay) => Some(replay),
            _ => None,
        };
        let problems = problems(&case.expect, &outcome, replay);
        Ok(Judged { problems, recorded, trial, outcome })
    }

    /// Runs a test with the real service and writes its recording, unless something is wrong with it.
    fn record(&self, case: &Case, file: &str) -> anyhow::Result<Result<Vec<Exchange>, Vec<String>>> {
        let mut trial = Trial { exchanges: Exchanges::Record, has_network: true, ..case.trial.clone() };
        // The values in the test are for replaying; the real ones are in the environment.
        trial.environment.retain(|name, _| !self.harness.has_variable(name));
        let outcome = self.harness.run(&trial)?;
        let mut problems = problems(&case.expect, &outcome, None);
        let exchange = |Seen { request, response, .. }: Seen| Some(Exchange { request, response: response? });
        let exchanges: Vec<Exchange> = outcome.exchanges.into_iter().filter_map(exchange).collect();
        if !problems.is_empty() {
            problems.push(format!("recording `{file}` was not written"));
            return Ok(Err(problems));
        }
        // What is replayed is what the file says.
        Ok(Ok(self.folder.context("a test has no folder")?.write_recording(file, &exchanges)?))
    }
}

/// A test's run and what is wrong with it.
struct Judged {
    problems: Vec<String>,
    recorded: Option<String>,
    trial: Trial,
    outcome: Outcome,
}

fn run_check(check: &Check, subject: &Subject<'_>) -> Finding {
    let begun = Instant::now();
    let verdict = (check.run)(subject).unwrap_or_else(|error| Verdict::Failed(words(error)));
    Finding {
        name: check.name.to_owned(),
        file: None,
        what: Some(check.what),
        verdict,
        duration: begun.elapsed(),
        recorded: None,
    }
}

/// An error in words, with its remedy.
pub(super) fn words(error: anyhow::Error) -> String {
    let Report { message, hint, .. } = Report::from_error(error);
    hint.map_or_else(|| message.clone(), |hint| format!("{message}\nhint: {hint}"))
}

/// Calls `run` with each item, on several threads; the results are in the order of the items.
pub(super) fn side_by_side<T: Sync, R: Send>(items: &[T], run: &(dyn Fn(&T) -> R + Sync)) -> anyhow::Result<Vec<R>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((place, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?)))
        {
            let result = run(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
        }
    };
    std::thread::scope(|scope| {
        for number in 0..JOBS.min(items.len()) {
            let thread = std::thread::Builder::new().name(format!("test-{number}"));
            thread.spawn_scoped(scope, work).context("cannot start a thread for tests")?;
        }
        anyhow::Ok(())
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
