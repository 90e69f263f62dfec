//! What happens after a step has ended: its output and files are put in place, or its failure is recorded.

use std::time::Instant;

use serde_json::json;

use super::attempt::{Attempt, Done};
use super::record;
use super::retry::Retrial;
use super::schedule::Schedule;
use super::targets::{self, Target};
use crate::error::{Blame, Failure};
use crate::plan::PlannedStep;
use crate::protocol::{LogLevel, OUTPUT};
use crate::session::Status;

/// The name of the metric for the duration of a step.
const DURATION: &str = "step_duration_ms";

/// The name of the metric for the rows that a step rejected.
const REJECTED_ROWS: &str = "rows_rejected";

pub(super) fn interrupted() -> Failure {
    Failure::new(Blame::User, "interrupted", "the run was interrupted")
}

impl Schedule<'_> {
    /// Handles the end of a process: the step is complete if it reported success and exited cleanly.
    pub(super) fn end(&mut self, number: u64) {
        let Some(running) = self.running.remove(&number) else {
            self.fleet.forget(number);
            return;
        };
        self.fleet.ended(running.place);
        let Attempt { place, number, process, targets, begun, warnings, verdict, .. } = running;
        self.manifest.steps[place].warnings = warnings.list();
        let step = &self.plan.steps[place];
        let has_connected = process.has_connected();
        let ending = process.ending();
        let outcome = match verdict {
            Some(Ok(done)) if ending.is_peaceful() && !self.interrupted => {
                match record::secret_name(step, &done.tables) {
                    None => self.keep(step, targets, &done.files).map(|()| done),
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
                Err(if self.interrupted { interrupted() } else { ending.failure(&step.driver.label()) })
            }
        };
        self.session.remove_scratch(&step.id);
        match outcome {
            Ok(done) => self.complete(place, begun, done),
            Err(failure) => match self.try_again(place, Retrial::after(number, begun), has_connected, failure) {
                None => {}
                Some(failure) => self.fail(place, Some(begun), &failure),
            },
        }
        self.note_progress();
    }

    /// Puts the step's output and files in place.
    fn keep(&self, step: &PlannedStep, targets: Vec<Target>, created: &[String]) -> Result<(), Failure> {
        targets::keep(self.base, targets, created).map_err(|error| Failure::of_host(&error))?;
        if !step.stores_tables() {
            return Ok(());
        }
        self.session.keep_output(&step.id, OUTPUT).map_err(|error| Failure::of_host(&error))
    }

    fn complete(&mut self, place: usize, begun: Instant, done: Done) {
        self.states.extend(done.state.map(|state| (place, state)));
        let step = &self.plan.steps[place];
        let record = &mut self.manifest.steps[place];
        let (metric, rows) = record::complete(record, step, done.tables, done.rows_written, begun.elapsed());
        let (session, id) = (self.session, Some(&step.id));
        if let Some(rejected) = done.rejected {
            let warning = session.scrubber.scrubbed(&record::rejection(&rejected));
            session.journal.metric(&REJECTED_ROWS.into(), rejected.rows as f64, id);
            session.event("notice", json!({"step_id": step.id, "message": warning.message, "fields": warning.fields}));
            self.observer.log(step.id.as_str(), LogLevel::Warn, &warning);
            record.warnings.push(warning.into_inner());
        }
        session.journal.metric(&metric.into(), rows as f64, id);
        session.journal.metric(&DURATION.into(), record.duration_ms.unwrap_or_default() as f64, id);
        session.event(
            "step_complete",
            json!({"step_id": step.id, "rows": record.rows, "tables": record.tables, "duckdb_path": record.duckdb_path, "duration_ms": record.duration_ms}),
        );
        self.observer.ended(record);
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
