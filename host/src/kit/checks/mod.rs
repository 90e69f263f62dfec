//! The generic checks: what every driver of a kind must do, whatever its purpose.

use super::harness::{Harness, Trial};
use super::outcome::Outcome;
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
    /// By which `--only` selects it, such as `empty-input`.
    pub name: &'static str,
    /// What it proves, in one line.
    pub what: &'static str,
    /// The kinds of drivers that it applies to.
    pub kinds: &'static [Kind],
    /// An error is a fault of the host or of the machine, not of the driver.
    pub run: fn(&Subject<'_>) -> anyhow::Result<Verdict>,
}

impl<'a> Subject<'a> {
    /// The driver of `harness`, with those of `trials` that succeed.
    ///
    /// # Errors
    /// If the machine fails.
    pub fn new(harness: &'a Harness, trials: Vec<(String, Trial)>) -> anyhow::Result<Self> {
        let mut good = Vec::new();
        for (name, mut trial) in trials {
            trial.disturbance.observes = true;
            let outcome = harness.run(&trial)?;
            if outcome.is_success() {
                good.push(GoodRun { name, trial, outcome });
            }
        }
        Ok(Self { harness, good })
    }
}

/// All checks, in the order in which they are reported.
pub fn all() -> &'static [Check] {
    &[]
}
