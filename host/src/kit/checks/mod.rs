//! The generic checks: what every driver of a kind must do, whatever its purpose.

use super::harness::Harness;
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
    pub run: fn(&Harness) -> anyhow::Result<Verdict>,
}

/// All checks, in the order in which they are reported.
pub fn all() -> &'static [Check] {
    &[]
}
