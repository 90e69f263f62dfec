//! The states that steps carry from one run to the next: locked while a run lasts, committed at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use anyhow::Context;
use serde_json::json;
use serde_json::value::RawValue;

use super::schedule::Schedule;
use crate::error::{Failure, Report};
use crate::plan::Plan;
use crate::session::{Base, Status, now, state};
use crate::warning::Warning;

/// The states of a plan's steps, locked against other runs and commands.
#[derive(Debug, Default)]
pub struct States {
    /// The state that the last run of each step left, by the step's place in the plan.
    pub earlier: BTreeMap<usize, state::StoredState>,
    _held: Vec<File>,
}

impl States {
    /// Locks the state of each step that keeps one, and checks that it belongs to the source that the step reads.
    ///
    /// # Errors
    /// A [`Report`] if another run has locked a state, if one is damaged, or if one belongs to another source; in the
    /// last case it names both.
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
                    "its state does not say what it was read from: this run continues from it and records its own source",
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
                    "the state of the last run was read from another source; continuing from it would miss rows. {}",
                    told.join("\n       ")
                ))
                .hint(format!(
                    "`{}` starts over; `{}` continues from the state with this source; or change the config back",
                    command("reset"),
                    command("accept")
                ))
                .into())
            }
        }
    }
}

/// The command that changes the state of one step.
fn command(base: &Base, verb: &str, pipeline: &str, step: &str) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).is_ok_and(|here| here == base.path);
    let place = if here { String::new() } else { format!(" --base {}", state::quoted(&base.path.to_string_lossy())) };
    format!("osiris state {verb} {step} --pipeline {}{place}", state::quoted(pipeline))
}

impl Schedule<'_> {
    /// Commits each step's state once every step that depends on it has succeeded, so that rows which a failed step did
    /// not deliver are read again. A state that cannot be written makes its step fail.
    pub(super) fn keep_states(&mut self) {
        let mut states = std::mem::take(&mut self.states);
        // A state without a recorded source is written again, with its source.
        for (place, kept) in
            self.earlier.iter().filter(|(place, kept)| kept.identity.is_none() && self.delivered(**place))
        {
            states.entry(*place).or_insert_with(|| kept.state.get().to_owned());
        }
        for (place, json) in states {
            let step = &self.plan.steps[place];
            let dropped = match (&step.state, self.delivered(place)) {
                (None, _) => "its driver's spec says that it keeps none with this config",
                (_, false) => "a step that needs it did not succeed",
                (Some(_), true) => {
                    self.keep_state(place, &json);
                    continue;
                }
            };
            self.session.event("state_dropped", json!({"step_id": step.id, "reason": dropped}));
        }
    }

    fn keep_state(&mut self, place: usize, json: &str) {
        let step = &self.plan.steps[place];
        let written = RawValue::from_string(json.to_owned()).context("the state is not JSON").and_then(|state| {
            let kept = state::StoredState {
                pipeline: self.plan.pipeline.clone(),
                step: step.id.to_string(),
                driver: step.driver.label(),
                session: self.session.id.clone(),
                updated_at: now(),
                identity: step.state.clone(),
                state,
            };
            state::write(self.base, &kept)
        });
        match written {
            Ok(()) => self.session.event("state_kept", json!({"step_id": step.id, "bytes": json.len()})),
            Err(error) => self.fail(place, None, &Failure::of_host(&error)),
        }
    }

    /// Whether a step and every step that needs it, directly or indirectly, has succeeded.
    fn delivered(&self, place: usize) -> bool {
        let mut behind = BTreeSet::from([&self.plan.steps[place].id]);
        for step in &self.plan.steps {
            if step.needs.iter().any(|need| behind.contains(need)) {
                behind.insert(&step.id);
            }
        }
        behind.into_iter().all(|id| self.status(id) == Status::Success)
    }
}
