//! Runs the tests of pipelines, two at a time, and collects what they found.

use std::time::Instant;

use super::super::checks::Verdict;
use super::super::expect::compare_failure;
use super::super::interrupt::Interrupt;
use super::super::suite::{Finding, side_by_side, words};
use super::cases::Case;
use super::compare::problems;
use super::stage::Unknown;
use super::trial::play;
use crate::driver::catalog::Catalog;
use crate::error::{Blame, Failure, Fault, Report, listed, nearest};
use crate::plan::Plan;
use crate::untrusted::Untrusted;

/// A pipeline's plan for one test.
pub struct Planned {
    pub plan: Plan,
    /// The variables that a step needs and the test does not give, by step.
    pub unknown: Unknown,
}

/// What all tests run with.
pub struct Theatre<'a> {
    /// Finds the drivers that make tables.
    pub catalog: &'a Catalog,
    pub require_confinement: bool,
}

/// Tests of pipelines that are to be run.
pub struct PipelineSuite<'a> {
    pub theatre: Theatre<'a>,
    pub cases: Vec<Case>,
    /// The names of the tests to run; all, if there are none.
    pub only: Vec<String>,
    /// Plans the pipeline of a test, without secrets, data or connections.
    pub plan: &'a (dyn Fn(&Case) -> anyhow::Result<Planned> + Sync),
    pub interrupt: Interrupt,
    /// Called with each finding at once.
    pub found: &'a (dyn Fn(&Finding) + Sync),
}

impl PipelineSuite<'_> {
    /// Runs the tests; findings are in their order.
    ///
    /// # Errors
    /// A [`Report`] if a name in `only` is unknown.
    pub fn run(&self) -> anyhow::Result<Vec<Finding>> {
        self.check_names()?;
        let is_selected = |case: &&Case| self.only.is_empty() || self.only.iter().any(|only| only == case.name());
        let cases: Vec<&Case> = self.cases.iter().filter(is_selected).collect();
        let run = |case: &&Case| {
            let begun = Instant::now();
            let verdict = match self.judge(case) {
                Ok(problems) if problems.is_empty() => Verdict::Passed,
                Ok(problems) => Verdict::Failed(problems.join("\n")),
                Err(error) => Verdict::Failed(words(error)),
            };
            let file = Some(case.file.display().to_string());
            let (name, duration) = (case.name().to_owned(), begun.elapsed());
            let finding = Finding { name, file, what: None, verdict, duration, recorded: None };
            (self.found)(&finding);
            finding
        };
        side_by_side(&cases, &run)
    }

    fn check_names(&self) -> Result<(), Report> {
        let known = || self.cases.iter().map(Case::name);
        let Some(unknown) = self.only.iter().find(|name| known().all(|known| known != name.as_str())) else {
            return Ok(());
        };
        let report = Report::input(format!("no test is called `{unknown}`; known: {}", listed(known())));
        Err(match nearest(unknown, known()) {
            Some(near) => report.hint(format!("did you mean `{near}`?")),
            None => report,
        })
    }

    fn judge(&self, case: &Case) -> anyhow::Result<Vec<String>> {
        let planned = match ((self.plan)(case), &case.test.error) {
            (Ok(planned), None) => planned,
            (Err(error), None) => return Err(error),
            (planned, Some(expected)) => {
                let failure = match planned {
                    Ok(_) => None,
                    Err(error) => Some(refusal(error)?),
                };
                let mut found = Vec::new();
                compare_failure(Some(expected), failure.as_ref(), &mut found);
                return Ok(found);
            }
        };
        Ok(problems(case, &play(&self.theatre, case, &planned, &self.interrupt)?))
    }
}

/// The failure of a pipeline that is refused; another error is a fault of the host.
fn refusal(error: anyhow::Error) -> anyhow::Result<Failure> {
    match Report::of(error)? {
        Report { fault: Fault::Input, message, hint, .. } => {
            let failure = Failure::new(Blame::User, "config", message);
            Ok(Failure { hint: hint.map(Untrusted::from), ..failure })
        }
        other => Err(other.into()),
    }
}
