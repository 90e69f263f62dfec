//! Has a confined process look for what is wrong with the checks of a plan's steps, before anything runs.

use crate::error::{Report, Reports};
use crate::executor::look::{Rows, limits, look};
use crate::executor::supervisor::Supervisor;
use crate::pipeline::expect::outcome::WrongCheck;
use crate::plan::{Plan, PlannedStep};
use crate::protocol::{Look, Question};
use crate::untrusted;

/// How long the process may take, in seconds.
const TIMEOUT: u64 = 20;

/// Checks the SQL, patterns and types of all checks.
///
/// # Errors
/// [`Reports`] with everything that is wrong, each with its line in `file`.
pub fn check(plan: &Plan, file: &str) -> anyhow::Result<()> {
    let steps: Vec<&PlannedStep> = plan.steps.iter().filter(|step| !step.expect.checks.is_empty()).collect();
    if steps.is_empty() {
        return Ok(());
    }
    let question = Question::Expectations { steps: steps.iter().map(|step| step.expect.clone()).collect() };
    let job = Look { tables: Vec::new(), question, limits: limits(TIMEOUT), require_confinement: false };
    let mut answer = Vec::new();
    let supervisor = Supervisor::start()?;
    look(&job, &mut Rows { sink: &mut answer, harmless: None }, &supervisor)?;
    let found = answer.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<WrongCheck>(line).ok());
    let mut wrong = Reports::default();
    for WrongCheck { step, check, message } in found {
        let Some((step, check)) = steps.get(step).and_then(|step| Some((step, step.expect.checks.get(check)?))) else {
            continue;
        };
        let message = untrusted::lines(message.raw()).into_owned();
        let place = format!("check `{}` of step `{}` ({file}, line {})", check.name, step.id, check.line);
        wrong.push(
            Report::input(format!("{place}: {message}")).hint(format!("see `{}` in docs/quality.md", check.rule.key())),
        );
    }
    Ok(wrong.into_result()?)
}
