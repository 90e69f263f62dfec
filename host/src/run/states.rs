//! What the steps of a run go on from, held for as long as the run lasts.

use std::collections::BTreeMap;
use std::fs::File;

use crate::error::Report;
use crate::plan::Plan;
use crate::session::{Base, state};
use crate::warning::Warning;

/// The states of a plan's steps, which no other run and no command can change meanwhile.
#[derive(Debug, Default)]
pub struct States {
    /// What the last run of each step left, by the step's place in the plan.
    pub earlier: BTreeMap<usize, state::Kept>,
    _held: Vec<File>,
}

impl States {
    /// Holds the state of each step that keeps one, and checks that it was read from what the step reads now.
    ///
    /// # Errors
    /// A [`Report`] when another run holds one, when one is damaged, or when one was read from another source: then with
    /// both sides.
    pub fn open(base: &Base, plan: &mut Plan) -> anyhow::Result<Self> {
        let mut states = Self::default();
        let mut refused = Vec::new();
        for (place, step) in plan.steps.iter_mut().enumerate() {
            let Some(now) = &step.state else { continue };
            let id = step.id.as_str();
            states._held.push(state::hold(base, &plan.pipeline, id)?);
            let Some(kept) = state::read(base, &plan.pipeline, id)? else { continue };
            match &kept.identity {
                None => step.notices.push(Warning::new(
                    "its state does not say what it was read from: this run goes on from it, and notes its own source",
                )),
                Some(was) => {
                    let differences = was.differences(now, &step.driver.spec);
                    if !differences.is_empty() {
                        let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
                        refused.push((step.id.clone(), told.join("; ")));
                    }
                }
            }
            states.earlier.insert(place, kept);
        }
        match refused.first() {
            None => Ok(states),
            Some((first, _)) => {
                let told: Vec<String> = refused.iter().map(|(id, told)| format!("step `{id}`: {told}")).collect();
                let command = |verb| command(base, verb, &plan.pipeline, first.as_str());
                Err(Report::input(format!(
                    "the state of the last run was read from another source; going on from it would leave rows out. {}",
                    told.join("\n       ")
                ))
                .hint(format!(
                    "`{}` starts over; `{}` goes on from the state with this source; or change the config back",
                    command("reset"),
                    command("accept")
                ))
                .into())
            }
        }
    }
}

/// The command line that does something with the state of one step.
fn command(base: &Base, verb: &str, pipeline: &str, step: &str) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).is_ok_and(|here| here == base.path);
    let place = if here { String::new() } else { format!(" --base {}", state::quoted(&base.path.to_string_lossy())) };
    format!("osiris state {verb} {step} --pipeline {}{place}", state::quoted(pipeline))
}
