//! Decides which step runs next, and handles messages from running steps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use serde_json::json;

use super::attempt::Attempt;
use super::fleet::Fleet;
use super::ledger::states::Turn;
use super::ledger::{Outcome, Records};
use super::retry::Retrial;
use super::reuse::{Reuse, Reusing};
use super::selection::Selection;
use super::settle::{Apart, Ties};
use super::{Observer, Settings};
use crate::executor::process::ProcessEvent;
use crate::pipeline::StepId;
use crate::plan::Plan;
use crate::session::{Base, Manifest, Session, Status, state};

pub(super) struct Schedule<'a> {
    pub(super) plan: &'a Plan,
    pub(super) base: &'a Base,
    pub(super) session: &'a Session,
    pub(super) settings: &'a Settings,
    pub(super) compiled: BTreeMap<String, PathBuf>,
    pub(super) manifest: &'a mut Manifest,
    pub(super) observer: &'a mut dyn Observer,
    /// The places in the plan of steps that have not started.
    pub(super) waiting: BTreeSet<usize>,
    /// Running steps, by the number of their process.
    pub(super) running: BTreeMap<u64, Attempt>,
    /// Steps that wait for their next attempt, by their place in the plan.
    pub(super) retrying: BTreeMap<usize, Retrial>,
    /// Steps that wait for a file that others use, by their place in the plan, and since when.
    pub(super) busy: BTreeMap<usize, Instant>,
    /// What the run needs of its exchange, if it has one.
    pub(super) ties: Option<Ties>,
    /// What is being done on separate threads.
    pub(super) apart: Apart,
    /// What is taken over from earlier sessions, and noted for later ones.
    pub(super) reuse: Reuse,
    /// What the ledger says of steps that are done.
    pub(super) outcomes: BTreeMap<usize, Outcome>,
    /// The steps that an earlier host of the session began and did not end, and that must not be run twice.
    pub(super) begun: BTreeSet<usize>,
    /// Where steps run.
    pub(super) fleet: Fleet,
    pub(super) interrupted: bool,
    /// Whether it was interrupted because another host has taken over the session.
    pub(super) superseded: bool,
    /// The states from which steps continue, by their place in the plan.
    pub(super) earlier: &'a BTreeMap<usize, state::StoredState>,
    /// What is taken over, if not all steps are to run.
    pub(super) selection: Option<&'a Selection>,
    /// The run's turn with the states in its exchange.
    pub(super) turn: Option<&'a Turn>,
    /// The states that successful steps want to keep, by their place in the plan.
    pub(super) states: BTreeMap<usize, String>,
    /// The recorded exchanges that the step under test has used.
    pub(super) answered_by: BTreeSet<usize>,
}

impl Schedule<'_> {
    /// Runs all steps but those that are done according to `records`, after handling what was heard `early`; then keeps states.
    ///
    /// # Errors
    /// If what is done cannot be taken over; nothing has run by then.
    pub(super) fn carry_out(
        &mut self,
        records: Option<Records>,
        reusing: Reusing,
        early: Vec<ProcessEvent>,
        heard: &Receiver<ProcessEvent>,
    ) -> anyhow::Result<()> {
        if let Some(records) = records {
            self.resume(records)?;
        }
        self.take_selected()?;
        self.look_back(reusing)?;
        self.note_shared();
        self.run_to_end(early, heard);
        self.keep_states();
        Ok(())
    }

    /// Handles what was heard `early`, then runs all steps.
    pub(super) fn run_to_end(&mut self, early: Vec<ProcessEvent>, heard: &Receiver<ProcessEvent>) {
        early.into_iter().for_each(|event| self.handle(event));
        loop {
            self.warm_up();
            self.retry_due();
            self.begin_ready();
            if self.is_idle() {
                return;
            }
            match self.next_event(heard) {
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Whether nothing is going on that the run has to wait for.
    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.retrying.is_empty() && self.apart.is_idle() && self.reuse.is_idle()
    }

    fn handle(&mut self, event: ProcessEvent) {
        match event {
            ProcessEvent::Message(number, message, size) => self.hear(number, message, size),
            ProcessEvent::TooLong(number) => self.lose(number),
            ProcessEvent::Closed(number) => self.end(number),
            ProcessEvent::Settled(number) => {
                if !self.reuse_settled(number) {
                    self.settled(number);
                }
            }
            ProcessEvent::Superseded => {
                self.session.event("superseded", json!({}));
                self.superseded = true;
                self.interrupt();
            }
            ProcessEvent::Signal => self.interrupt(),
        }
    }

    /// Waits for the next event, at most until a step can be tried again.
    fn next_event(&self, heard: &Receiver<ProcessEvent>) -> Result<ProcessEvent, RecvTimeoutError> {
        let waiting = self.retrying.iter().filter(|(place, _)| self.fleet.has_room(**place));
        match waiting.map(|(_, retrial)| retrial.due).min() {
            Some(due) => heard.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Starts the next attempt of each step that has waited long enough.
    fn retry_due(&mut self) {
        let due: Vec<usize> = self
            .retrying
            .iter()
            .filter_map(|(place, retrial)| (retrial.due <= Instant::now()).then_some(*place))
            .collect();
        for place in due {
            if self.fleet.has_room(place)
                && let Some(Retrial { begun, number, .. }) = self.retrying.remove(&place)
            {
                self.attempt(place, begun, number);
            }
        }
    }

    /// Keeps executors ready for what may be next.
    fn warm_up(&mut self) {
        if !self.interrupted {
            self.fleet.expect(self.waiting.iter().chain(self.retrying.keys()).copied());
        }
    }

    pub(super) fn status(&self, step: &StepId) -> Status {
        self.manifest
            .steps
            .iter()
            .find(|record| record.id == step.as_str())
            .map_or(Status::Pending, |record| record.status)
    }

    /// Starts every step whose needs are met, and skips those whose needs have failed.
    fn begin_ready(&mut self) {
        let plan = self.plan;
        for place in self.waiting.clone() {
            let step = &plan.steps[place];
            let broken = step
                .needs
                .iter()
                .find(|need| matches!(self.status(need), Status::Failed | Status::Skipped | Status::Interrupted));
            if let Some(need) = broken {
                self.waiting.remove(&place);
                self.skip(place, &format!("step `{need}` {}", self.status(need)));
            } else if self.interrupted {
                self.waiting.remove(&place);
                self.skip(place, "the run was interrupted");
            } else if step.needs.iter().all(|need| self.status(need) == Status::Success)
                && !self.is_sought(place)
                && !self.is_updated_by_others(place)
                && self.fleet.has_room(place)
            {
                self.waiting.remove(&place);
                self.begin(place);
            }
        }
    }

    /// Whether a DuckDB file that a step updates is being updated by another step of the run: they take turns.
    fn is_updated_by_others(&self, place: usize) -> bool {
        let updated = |place: usize| &self.plan.steps[place].grants.databases.update;
        let mut others = self.running.values().map(|attempt| attempt.place).chain(self.retrying.keys().copied());
        others.any(|other| updated(other).iter().any(|file| updated(place).iter().any(|own| own.place == file.place)))
    }

    /// Writes the current manifest. A disk that is temporarily full must not end steps that could still finish: the
    /// manifest is written once more at the end.
    pub(super) fn note_progress(&self) {
        if let Err(error) = self.session.write_manifest(self.manifest) {
            tracing::warn!(error = format!("{error:#}"), "the manifest is not up to date");
        }
    }

    fn skip(&mut self, place: usize, reason: &str) {
        let record = &mut self.manifest.steps[place];
        record.status = Status::Skipped;
        self.session.event("step_skipped", json!({"step_id": record.id, "reason": reason}));
        self.observer.ended(record);
    }

    fn interrupt(&mut self) {
        self.interrupted = true;
        self.fleet.release();
        self.end_settling();
        self.reuse.end();
        for running in self.running.values_mut() {
            running.process.kill();
        }
        for (place, retrial) in std::mem::take(&mut self.retrying) {
            self.fail(place, Some(retrial.begun), &self.interruption());
        }
    }
}
