//! The states that steps carry from one run to the next: locked while a run lasts, committed at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use anyhow::Context;
use jiff::Timestamp;
use serde_json::json;
use serde_json::value::RawValue;

use super::deliveries;
use super::ledger::states::Turn;
use super::schedule::Schedule;
use crate::error::{Blame, Failure, Report};
use crate::exchange::Exchange;
use crate::grants::state::check_state;
use crate::pipeline::StepId;
use crate::plan::{Plan, PlannedStep};
use crate::session::{Base, Status, now, state};
use crate::untrusted;
use crate::warning::Warning;

/// The states of a plan's steps, locked against other runs and commands.
#[derive(Debug, Default)]
pub struct States {
    /// The state that the last run of each step left, by the step's place in the plan.
    pub earlier: BTreeMap<usize, state::StoredState>,
    /// The turn with the states that are in the run's exchange.
    pub turn: Option<Turn>,
    _held: Vec<File>,
}

/// The exchange that has a pipeline's states, for a run of a session.
pub struct InExchange<'a> {
    pub exchange: &'a Exchange,
    pub session: &'a str,
    /// The clock of the store.
    pub time: Timestamp,
}

impl States {
    /// Locks the state of each step that keeps one, and checks that it belongs to the source that the step reads. With an
    /// exchange, the states are those that it has.
    ///
    /// # Errors
    /// A [`Report`] if another run has locked a state, if one is damaged, or if one belongs to another source; in the
    /// last case it names both.
    pub fn open(base: &Base, plan: &mut Plan, place: Option<&InExchange<'_>>) -> anyhow::Result<Self> {
        let mut states = Self::default();
        let mut refused = Vec::new();
        if let Some(InExchange { exchange, session, time }) = place
            && plan.steps.iter().any(|step| step.state.is_some())
        {
            states.turn = Some(Turn::take((*exchange).clone(), &plan.pipeline, session, *time)?);
        }
        for (place, step) in plan.steps.iter_mut().enumerate() {
            let Some(now) = &step.state else { continue };
            let id = step.id.as_str();
            states._held.push(state::hold(base, &plan.pipeline, id)?);
            deliveries::settle_state(base, &plan.pipeline, id)?;
            let here = state::read(base, &plan.pipeline, id)?;
            let kept = match &states.turn {
                None => here.map(of_this_machine).transpose()?,
                // A state that was kept before there was an exchange is taken there.
                Some(turn) => turn.earlier.get(id).cloned().or_else(|| here.filter(|kept| kept.exchange.is_none())),
            };
            let Some(kept) = kept else { continue };
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

/// A state that is kept on this machine alone.
fn of_this_machine(kept: state::StoredState) -> Result<state::StoredState, Report> {
    match &kept.exchange {
        None => Ok(kept),
        Some(exchange) => Err(Report::input(format!(
            "the state of step `{}` is in the exchange {}: a run without it could deliver the same rows twice",
            kept.step,
            untrusted::line(exchange)
        ))
        .hint(format!(
            "run with `--exchange {}`; or `osiris state reset {} --pipeline {}` to start over without it",
            untrusted::line(exchange),
            kept.step,
            state::quoted(&kept.pipeline)
        ))),
    }
}

/// The command that changes the state of one step.
fn command(base: &Base, verb: &str, pipeline: &str, step: &str) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).is_ok_and(|here| here == base.path);
    let place = if here { String::new() } else { format!(" --base {}", state::quoted(&base.path.to_string_lossy())) };
    let place = match base.states.is_outside() {
        true => format!("{place} --state {}", state::quoted(&base.states.path().to_string_lossy())),
        false => place,
    };
    format!("osiris state {verb} {step} --pipeline {}{place}", state::quoted(pipeline))
}

/// The failure of a step whose state cannot be stored. A driver cannot set such a state; only a step process or a worker that
/// does something else than it should can send one.
pub fn unfit_state(step: &PlannedStep, state: Option<&str>) -> Option<Failure> {
    let unfit = check_state(state?, &step.secrets).err()?;
    Some(Failure::new(Blame::Host, "worker", format!("what ran the step cannot be trusted: {unfit}")))
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
        let mut kept = BTreeMap::new();
        for (place, json) in states {
            let step = &self.plan.steps[place];
            let dropped = match (&step.state, self.delivered(place)) {
                (None, _) => "its driver's spec says that it keeps none with this config",
                (_, false) if self.leaves_out_after(place) => "a step that needs it is left out of this run",
                (_, false) => "a step that needs it did not succeed",
                (Some(_), true) => {
                    match self.state_of(place, json) {
                        Ok(state) => drop(kept.insert(place, state)),
                        Err(error) => self.fail(place, None, &Failure::of_host(&error)),
                    }
                    continue;
                }
            };
            self.session.event("state_dropped", json!({"step_id": step.id, "reason": dropped}));
        }
        self.commit_states(kept);
    }

    /// Commits states: in the exchange all at once, if it has them, and on this machine.
    fn commit_states(&mut self, kept: BTreeMap<usize, state::StoredState>) {
        if let Some(turn) = self.turn {
            let states = kept.values().map(|kept| (kept.step.clone(), kept.clone())).collect();
            if let Err(error) = turn.end(states) {
                let failure = Failure::of_host(&error);
                kept.keys().for_each(|place| self.fail(*place, None, &failure));
                return;
            }
        }
        for (place, kept) in kept {
            match state::write(self.base, &kept) {
                Ok(()) => {
                    let bytes = kept.state.get().len();
                    self.session.event("state_kept", json!({"step_id": kept.step, "bytes": bytes}));
                }
                Err(error) => self.fail(place, None, &Failure::of_host(&error)),
            }
        }
    }

    pub(super) fn state_of(&self, place: usize, json: String) -> anyhow::Result<state::StoredState> {
        let step = &self.plan.steps[place];
        Ok(state::StoredState {
            pipeline: self.plan.pipeline.clone(),
            step: step.id.to_string(),
            driver: step.driver.label(),
            session: self.session.id.clone(),
            updated_at: now(),
            identity: step.state.clone(),
            exchange: self.turn.and(self.ties.as_ref()).map(|ties| ties.shared.exchange().location().to_string()),
            state: RawValue::from_string(json).context("the state is not JSON")?,
        })
    }

    /// Whether a step that needs this one is not part of the run.
    pub(super) fn leaves_out_after(&self, place: usize) -> bool {
        let step = &self.plan.steps[place].id;
        self.selection.is_some_and(|selection| selection.undelivered.contains(step))
    }

    /// Whether a step and every step that needs it, directly or indirectly, has succeeded.
    fn delivered(&self, place: usize) -> bool {
        if self.leaves_out_after(place) {
            return false;
        }
        self.behind(place).into_iter().all(|id| self.status(id) == Status::Success)
    }

    /// A step and every step that needs it, directly or indirectly.
    pub(super) fn behind(&self, place: usize) -> BTreeSet<&StepId> {
        let mut behind = BTreeSet::from([&self.plan.steps[place].id]);
        for step in &self.plan.steps {
            if step.needs.iter().any(|need| behind.contains(need)) {
                behind.insert(&step.id);
            }
        }
        behind
    }
}
