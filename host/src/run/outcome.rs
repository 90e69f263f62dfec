//! What happens after a step has ended: its output and files are put in place, or its failure is recorded.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use super::attempt::{Attempt, Done, not_handed_over};
use super::deliveries::{self, Delivery};
use super::ledger::{self, Delivering, Outcome};
use super::record;
use super::retry::Retrial;
use super::schedule::Schedule;
use super::states::unfit_state;
use super::targets::{self, Target};
use crate::digest::{Digest, sha256_of};
use crate::engine::Varying;
use crate::error::{Blame, Failure};
use crate::pipeline::expect::outcome::{CheckOutcome, CheckRecord};
use crate::plan::PlannedStep;
use crate::protocol::{LogLevel, OUTPUT, RejectedRows};
use crate::session::{Status, now};

/// The name of the metric for the duration of a step.
const DURATION: &str = "step_duration_ms";

/// The name of the metric for the rows that a step rejected.
const REJECTED_ROWS: &str = "rows_rejected";

/// The name of the metric for the rows that checks rejected, each counted once for each check that it offends.
const REJECTED_BY_CHECKS: &str = "rows_rejected_by_checks";

pub(super) fn interrupted() -> Failure {
    Failure::new(Blame::User, "interrupted", "the run was interrupted")
}

/// Why what a step process reported as complete cannot be kept.
fn unfit(step: &PlannedStep, done: &Done) -> Option<Failure> {
    record::secret_name(step, &done.tables)
        .or_else(|| unfit_state(step, done.state.as_deref()))
        .or_else(|| record::unchecked(step, &done.checks))
}

impl Schedule<'_> {
    /// Why steps end that could go on.
    pub(super) fn interruption(&self) -> Failure {
        if self.superseded {
            Failure::new(
                Blame::User,
                "interrupted",
                "another host took this one for dead, and has gone on with the session",
            )
        } else {
            interrupted()
        }
    }

    /// Handles the end of a process: the step is complete if it reported success and exited cleanly.
    pub(super) fn end(&mut self, number: u64) {
        let Some(running) = self.running.remove(&number) else {
            self.fleet.forget(number);
            return;
        };
        self.fleet.ended(running.place);
        let Attempt { place, number, process, targets, begun, warnings, verdict, checks, unlocked, .. } = running;
        self.manifest.steps[place].warnings = warnings.list();
        let checks = self.note_checks(place, checks);
        let step = &self.plan.steps[place];
        let has_connected = process.has_connected();
        let stored = process.stored();
        let ending = process.ending();
        let outcome = match verdict {
            Some(Ok(done)) if ending.is_peaceful() && !self.interrupted => {
                let done = Done { checks, ..done };
                match unfit(step, &done).or_else(|| unlocked.failure()) {
                    None if self.ties.is_some() => {
                        return self.settle((place, number, begun), has_connected, targets, (done, stored));
                    }
                    None => self.deliver(place, (number, begun), targets, done),
                    Some(failure) => {
                        targets::discard(self.base, targets);
                        Err(failure)
                    }
                }
            }
            Some(Err(failure)) => {
                targets::discard(self.base, targets);
                Err(failure)
            }
            _ => {
                targets::discard(self.base, targets);
                Err(if self.interrupted { self.interruption() } else { ending.failure(&step.driver.label()) })
            }
        };
        self.session.remove_scratch(&step.id);
        match outcome {
            Ok((outcome, varying)) => self.complete(place, outcome, varying.as_ref()),
            Err(failure) => self.try_again_or_fail(place, Retrial::after(number, begun), has_connected, failure),
        }
        self.note_progress();
    }

    /// Records what came of the checks of a step's tables, and returns it.
    fn note_checks(&mut self, place: usize, outcomes: Vec<CheckOutcome>) -> Vec<CheckRecord> {
        let step = &self.plan.steps[place];
        let records = record::checks(step, outcomes, &self.session.scrubber);
        for record in &records {
            let mut fields = json!({"step_id": step.id});
            if let (Value::Object(fields), Ok(Value::Object(record))) = (&mut fields, serde_json::to_value(record)) {
                fields.extend(record);
            }
            self.session.event("check", fields);
        }
        self.manifest.steps[place].checks.clone_from(&records);
        records
    }

    /// Schedules the next attempt of a step, or records that it failed.
    pub(super) fn try_again_or_fail(&mut self, place: usize, next: Retrial, has_connected: bool, failure: Failure) {
        let begun = next.begun;
        let Some(failure) = self.try_again(place, next, has_connected, failure) else { return };
        if !has_connected && ledger::must_be_noted(&self.plan.steps[place]) {
            self.forget_begun(place);
        }
        self.fail(place, Some(begun), &failure);
    }

    /// Puts the files and the output of an attempt in place that has succeeded. If it updates files, that is noted before.
    fn deliver(
        &self,
        place: usize,
        attempt: (u32, Instant),
        targets: Vec<Target>,
        mut done: Done,
    ) -> Result<(Outcome, Option<BTreeSet<Varying>>), Failure> {
        let step = &self.plan.steps[place];
        let varying = done.varying.take();
        let outcome = self.outcome(place, attempt, done);
        let created: Vec<String> = outcome.files.keys().cloned().collect();
        let noted = deliveries::of_targets(self.base, &targets, &created)
            .and_then(|deliveries| self.note_deliveries(place, &outcome, &deliveries).map(|()| deliveries));
        let deliveries = match noted {
            Ok(deliveries) => deliveries,
            Err(error) => {
                targets::discard(self.base, targets);
                return Err(Failure::of_host(&error));
            }
        };
        let kept = self.keep(step, targets, &created, step.stores_tables());
        if kept.is_err() && !deliveries.is_empty() {
            self.forget_deliveries(&step.id, &deliveries);
        }
        kept.map(|()| (outcome, varying))
    }

    fn note_deliveries(&self, place: usize, outcome: &Outcome, deliveries: &[Delivery]) -> anyhow::Result<()> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let delivering = Delivering { outcome: outcome.clone(), deliveries: deliveries.to_vec() };
        ledger::note_delivering(self.session, &delivering)?;
        self.note_pending(place, deliveries)
    }

    /// Puts the step's files in place, and its output if it is here.
    pub(super) fn keep(
        &self,
        step: &PlannedStep,
        targets: Vec<Target>,
        created: &[String],
        has_output: bool,
    ) -> Result<(), Failure> {
        targets::keep(self.base, targets, created).map_err(not_handed_over)?;
        if !has_output {
            return Ok(());
        }
        self.session.keep_output(&step.id, OUTPUT).map_err(|error| Failure::of_host(&error))
    }

    /// Notes that a step is done.
    fn complete(&mut self, place: usize, outcome: Outcome, varying: Option<&BTreeSet<Varying>>) {
        let step = &self.plan.steps[place];
        match ledger::note_done(self.session, &outcome) {
            Ok(()) if step.grants.databases.update.is_empty() => {}
            Ok(()) => ledger::note_settled(self.session, &step.id),
            // The step is done all the same; it only cannot be reused.
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), step = step.id.as_str(), "cannot note that a step is done")
            }
        }
        self.note_made(place, &outcome, varying);
        self.adopt(place, outcome, step.stores_tables());
    }

    /// The record of an attempt that has succeeded, none of whose files is in an exchange yet.
    pub(super) fn outcome(&self, place: usize, (attempt, begun): (u32, Instant), done: Done) -> Outcome {
        let step = &self.plan.steps[place];
        let scrub = |rejected: RejectedRows| RejectedRows {
            first_reason: self.session.scrubber.scrubbed(&rejected.first_reason).into_inner(),
            ..rejected
        };
        Outcome {
            step: step.id.to_string(),
            fingerprint: ledger::fingerprint(step),
            attempt,
            on: step.on.name().to_owned(),
            host: self.ties.as_ref().map_or(1, |ties| ties.shared.host()),
            finished_at: now(),
            duration_ms: record::milliseconds(begun.elapsed()),
            output: None,
            files: done.files.into_iter().map(|name| (name, None)).collect(),
            tables: done.tables,
            rows_written: done.rows_written,
            continued_from: self.continued_from(place),
            state: done.state,
            rejected: done.rejected.map(scrub),
            checks: done.checks,
            warnings: self.manifest.steps[place].warnings.clone(),
        }
    }

    /// The digest of the state that a step continues from.
    pub(super) fn continued_from(&self, place: usize) -> Option<Digest> {
        self.plan.steps[place].state.as_ref()?;
        let state = self.earlier.get(&place)?;
        Digest::try_from(sha256_of(state.state.get().as_bytes())).ok()
    }

    /// Takes an outcome for that of its step; `has_output` says whether the output is on this machine.
    pub(super) fn adopt(&mut self, place: usize, outcome: Outcome, has_output: bool) {
        self.states.extend(outcome.state.clone().map(|state| (place, state)));
        let step = &self.plan.steps[place];
        let record = &mut self.manifest.steps[place];
        record.warnings.clone_from(&outcome.warnings);
        let (metric, rows) = record::complete(record, step, &outcome, has_output);
        let (session, id) = (self.session, Some(&step.id));
        if let Some(rejected) = &outcome.rejected {
            let warning = session.scrubber.scrubbed(&record::rejection(rejected));
            session.journal.metric(&REJECTED_ROWS.into(), rejected.rows as f64, id);
            session.event("notice", json!({"step_id": step.id, "message": warning.message, "fields": warning.fields}));
            self.observer.log(step.id.as_str(), LogLevel::Warn, &warning);
            record.warnings.push(warning.into_inner());
        }
        record.checks.clone_from(&outcome.checks);
        for warning in outcome.checks.iter().filter_map(CheckRecord::warning) {
            let warning = session.scrubber.scrubbed(&warning);
            self.observer.log(step.id.as_str(), LogLevel::Warn, &warning);
            record.warnings.push(warning.into_inner());
        }
        let by_checks: u64 = outcome.checks.iter().filter(|check| check.rejects).map(|check| check.rows).sum();
        if by_checks > 0 {
            session.journal.metric(&REJECTED_BY_CHECKS.into(), by_checks as f64, id);
        }
        session.journal.metric(&metric.into(), rows as f64, id);
        session.journal.metric(&DURATION.into(), record.duration_ms.unwrap_or_default() as f64, id);
        session.event(
            "step_complete",
            json!({"step_id": step.id, "rows": record.rows, "tables": record.tables, "duckdb_path": record.duckdb_path, "duration_ms": record.duration_ms}),
        );
        self.observer.ended(record);
        self.outcomes.insert(place, outcome);
    }

    /// Records that a step failed; `begun` is the time at which it started, if it has just started.
    pub(super) fn fail(&mut self, place: usize, begun: Option<Instant>, failure: &Failure) {
        let error = self.session.scrubber.scrubbed(failure).into_inner();
        let record = &mut self.manifest.steps[place];
        record.status = if self.interrupted { Status::Interrupted } else { Status::Failed };
        record.duration_ms = begun.map(|begun| record::milliseconds(begun.elapsed())).or(record.duration_ms);
        let (session, id) = (self.session, Some(&self.plan.steps[place].id));
        session.journal.metric(&DURATION.into(), record.duration_ms.unwrap_or_default() as f64, id);
        session.event(
            "step_error",
            json!({"step_id": record.id, "status": record.status, "error": error, "duration_ms": record.duration_ms}),
        );
        record.error = Some(error);
        self.observer.ended(record);
    }
}
