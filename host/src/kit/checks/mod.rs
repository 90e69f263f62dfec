//! The generic checks: what every driver of a kind must do, whatever its purpose.

mod against;
mod batches;
mod compare;
mod faults;
mod hostile;
mod increments;
mod inputs;
mod memory;
mod options;
mod repeat;
mod secrets;
mod values;
mod written;

use anyhow::Context;

use super::harness::{Harness, Trial};
use super::outcome::{Outcome, Table};
use super::source::{Source, TestInput};
use super::suite::side_by_side;
use crate::driver::spec::Kind;

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// What was expected, and what came instead.
    Failed(String),
    /// Why the check does not apply to this driver.
    Skipped(String),
}

impl Verdict {
    /// Passed if `runs` were made, otherwise skipped.
    fn of(runs: usize, otherwise: &str) -> Self {
        if runs > 0 { Self::Passed } else { Self::Skipped(otherwise.to_owned()) }
    }
}

/// A driver under test, with runs of it that are known to be good: those of its own tests that passed and expect success.
#[derive(Debug)]
pub struct Subject<'a> {
    pub harness: &'a Harness,
    pub good: Vec<GoodRun>,
}

/// A run of the driver that succeeds.
#[derive(Debug)]
pub struct GoodRun {
    /// The test's name.
    pub name: String,
    pub trial: Trial,
    pub outcome: Outcome,
}

/// A check of a driver that needs no test of its author.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// By which `--only` selects it, such as `empty-inputs`.
    pub name: &'static str,
    /// What it proves, in one line.
    pub what: &'static str,
    /// The kinds of drivers that it applies to.
    pub kinds: &'static [Kind],
    /// An error is a fault of the host or of the machine, not of the driver.
    pub run: fn(&Subject<'_>) -> anyhow::Result<Verdict>,
}

/// How many good runs a check repeats at most: each covers the same code of the kit, and a driver may have many tests.
const MOST_RUNS: usize = 3;

/// Why most checks are skipped.
const NO_GOOD_RUN: &str = "none of the driver's tests succeeds without a server";

impl<'a> Subject<'a> {
    /// The good runs that a check repeats.
    fn some(&self) -> impl Iterator<Item = &GoodRun> {
        self.good.iter().take(MOST_RUNS)
    }

    /// Runs the driver several times, and returns the outcomes in the order of the trials.
    fn run_all(&self, trials: &[Trial]) -> anyhow::Result<Vec<Outcome>> {
        side_by_side(trials, &|trial| self.harness.run(trial))?.into_iter().collect()
    }

    /// The rows of a SELECT over inputs.
    fn query(&self, select: &str, inputs: Vec<TestInput>) -> anyhow::Result<Table> {
        let outcome = self.harness.query(select, inputs)?;
        let words = outcome.words();
        outcome.tables.into_iter().next().map(|(_, table)| table).with_context(|| format!("cannot make data: {words}"))
    }
}

impl GoodRun {
    /// The run with each input replaced by a SELECT over it; `None` if it has no input, or one that is not SQL.
    fn with_inputs(&self, select: impl Fn(&str) -> String) -> anyhow::Result<Option<Trial>> {
        let mut trial = self.trial.clone();
        for input in &mut trial.inputs {
            let Some(original) = input.source.select()? else { return Ok(None) };
            input.source = Source::Sql(select(&original));
        }
        Ok(Some(trial).filter(|trial| !trial.inputs.is_empty()))
    }
}

const ALL: &[Kind] = &Kind::ALL;
const WITH_INPUTS: &[Kind] = &[Kind::Processor, Kind::Writer];

/// All checks, in the order in which they are reported.
pub fn all() -> &'static [Check] {
    const fn check(
        name: &'static str,
        what: &'static str,
        kinds: &'static [Kind],
        run: fn(&Subject<'_>) -> anyhow::Result<Verdict>,
    ) -> Check {
        Check { name, what, kinds, run }
    }
    const CHECKS: &[Check] = &[
        check("empty-inputs", "an input without rows is no reason to fail", WITH_INPUTS, inputs::empty),
        check("nulls", "any value may be null", WITH_INPUTS, inputs::nulls),
        check("hostile-names", "a column may have any name", WITH_INPUTS, inputs::names),
        check("values", "what passes through the driver stays exactly as it is", &[Kind::Processor], values::values),
        check("batch-sizes", "the size of batches changes nothing", ALL, batches::sizes),
        check("memory", "ten times the data needs no more memory", ALL, memory::memory),
        check("deterministic", "two runs give the same", &[Kind::Extractor, Kind::Processor], repeat::deterministic),
        check("repeatable", "a writer that runs again leaves the same", &[Kind::Writer], repeat::repeatable),
        check("written-files", "a written file reads back as what was written", &[Kind::Writer], written::files),
        check("errors", "a call that fails ends in an error of the right kind", ALL, faults::errors),
        check("early-end", "a stream that ends early is not taken for a whole one", ALL, faults::early_end),
        check("slow-calls", "a slow call changes nothing", ALL, faults::slow_calls),
        check("retries", "a second attempt gives what an undisturbed run gives", ALL, faults::retries),
        check("increments", "runs that continue lose and double nothing", &[Kind::Extractor], increments::increments),
        check("secrets", "secrets appear nowhere", ALL, secrets::secrets),
        check("required-options", "an option that is missing is refused, or not needed", ALL, options::required),
        check("options", "every option that a test sets does something", ALL, options::effects),
        check("examples", "the spec's examples are accepted", ALL, options::examples),
        check("against", "the new version runs what the old one ran", ALL, against::against),
    ];
    CHECKS
}
