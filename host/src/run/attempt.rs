//! One attempt of a step: its job, the messages from its process, and its resource usage while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::claims::{Busy, LOOK_EVERY, PATIENCE, Present};
use super::companions::WithCompanions;
use super::ledger;
use super::retry::Retrial;
use super::schedule::Schedule;
use super::settle::begun_elsewhere;
use super::targets::{self, Target};
use super::{network, reachable};
use crate::engine::{InputTable, Varying};
use crate::error::{Blame, Failure, Report, Retry};
use crate::executor::disk::DiskAllowance;
use crate::executor::{NewAttempt, Passage, RunningAttempt};
use crate::grants::limits::Limits;
use crate::pipeline::StepId;
use crate::pipeline::expect::outcome::{CheckOutcome, CheckRecord};
use crate::plan::{Input, PlannedStep};
use crate::protocol::{
    Call, FileGrant, Job, LocalFiles, LogLevel, Message, OUTPUT, PriorState, Reachable, RejectedRows,
};
use crate::recordings::{self, Exchanges, Replay, Seen};
use crate::secrets::scrubber::Scrub;
use crate::session::Status;
use crate::untrusted::Untrusted;
use crate::warning::{Warning, Warnings};

/// How much a step process may log on its own, beyond the driver's limit: a backtrace, a warning.
const OWN_LOG_BYTES: u64 = 1 << 20;

/// What a message that was lost counts for, in bytes.
const LOST_MESSAGE: u64 = 64 << 10;

/// How much a process may still log. The step enforces the limit itself, but its process may have been taken over.
pub(super) struct LogRoom(u64);

impl LogRoom {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(limits.log_bytes.saturating_add(OWN_LOG_BYTES))
    }

    /// Whether there is room for a message of that size; if so, the room is used up.
    pub(super) fn admits(&mut self, message: &Message, size: u64) -> bool {
        if !matches!(message, Message::Log { .. } | Message::Metric { .. } | Message::Observed { .. }) {
            return true;
        }
        self.charge(size)
    }

    /// Whether there is room for so many bytes; if so, the room is used up.
    fn charge(&mut self, size: u64) -> bool {
        let left = self.0.checked_sub(size);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

pub(super) struct Attempt {
    pub(super) place: usize,
    /// Counted from 1.
    pub(super) number: u32,
    pub(super) process: Box<dyn RunningAttempt>,
    pub(super) targets: Vec<Target>,
    /// The DuckDB files that it reads, which nobody may write meanwhile.
    pub(super) _locked: Vec<Present>,
    /// The database files that it reads, which others may write meanwhile.
    pub(super) unlocked: WithCompanions,
    /// When the step's first attempt began.
    pub(super) begun: Instant,
    pub(super) log_room: LogRoom,
    pub(super) warnings: Warnings,
    /// How many bytes about its requests may still be heard; `None` once there were more.
    pub(super) exchange_room: Option<u64>,
    /// What it said of the checks of the step's tables.
    pub(super) checks: Vec<CheckOutcome>,
    /// The process's final report.
    pub(super) verdict: Option<Result<Done, Failure>>,
}

/// The report of a step process whose step is complete.
pub(super) struct Done {
    pub(super) tables: BTreeMap<String, u64>,
    pub(super) rows_written: u64,
    pub(super) files: Vec<String>,
    pub(super) state: Option<String>,
    pub(super) rejected: Option<RejectedRows>,
    /// What the step called whose answer differs from run to run; `None` if that is not known.
    pub(super) varying: Option<BTreeSet<Varying>>,
    /// What came of the checks of the step's tables.
    pub(super) checks: Vec<CheckRecord>,
}

/// The files and the folder that a step gets for one attempt.
struct StepFiles {
    scratch: PathBuf,
    read: Vec<FileGrant>,
    write: Vec<FileGrant>,
    databases: BTreeSet<String>,
}

/// An attempt whose process has its job.
struct HandedOver {
    process: Box<dyn RunningAttempt>,
    targets: Vec<Target>,
    locked: Vec<Present>,
    unlocked: WithCompanions,
}

/// The failure of a step that could not be given its files.
pub(super) fn not_handed_over(error: anyhow::Error) -> Failure {
    match error.downcast::<Report>() {
        // The user named files that cannot be used.
        Ok(Report { message, hint, .. }) => {
            Failure { hint: hint.map(Untrusted::from), ..Failure::new(Blame::User, "config", message) }
        }
        Err(error) => Failure::of_host(&error),
    }
}

/// What differs between the attempts of a step.
#[derive(Clone, Copy)]
struct Turn {
    number: u32,
    limits: Limits,
}

/// A time in whole seconds, at least one.
fn seconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

impl Schedule<'_> {
    /// Starts a step.
    pub(super) fn begin(&mut self, place: usize) {
        let step = &self.plan.steps[place];
        self.manifest.steps[place].status = Status::Running;
        self.note_progress();
        let driver = &self.manifest.steps[place].driver;
        self.session.event(
            "step_start",
            json!({"step_id": step.id, "component": step.component, "driver": driver, "on": step.on.name()}),
        );
        self.observer.started(step.id.as_str());
        for notice in &step.notices {
            self.session
                .event("notice", json!({"step_id": step.id, "message": notice.message, "fields": notice.fields}));
            self.observer.log(step.id.as_str(), LogLevel::Warn, &self.session.scrubber.scrubbed(notice));
        }
        self.begin_attempts(place);
    }

    /// Starts the first attempt of a step, once it is noted that the step begins, if it must not be run twice.
    fn begin_attempts(&mut self, place: usize) {
        let (step, begun) = (&self.plan.steps[place], Instant::now());
        if self.begun.contains(&place) {
            return self.fail(place, Some(begun), &begun_elsewhere());
        }
        if ledger::must_be_noted(step) {
            if self.ties.is_some() {
                return self.note_begin(place, begun);
            }
            if let Err(error) = ledger::note_begun(self.session, step.id.as_str()) {
                return self.fail(place, Some(begun), &Failure::of_host(&error));
            }
        }
        self.attempt(place, begun, 1);
    }

    /// Starts an attempt of a step that has begun. Any obstacle is a failure of that step only. What an earlier attempt
    /// warned of has been discarded with its output.
    pub(super) fn attempt(&mut self, place: usize, begun: Instant, number: u32) {
        let step = &self.plan.steps[place];
        let mut warnings = Warnings::default();
        step.notices.iter().for_each(|notice| warnings.push(notice.clone()));
        let record = &mut self.manifest.steps[place];
        (record.warnings, record.attempts) = (warnings.list(), number);
        record.checks.clear();
        match self.hand_over(place, begun, number) {
            Ok(HandedOver { process, targets, locked, unlocked }) => {
                self.busy.remove(&place);
                let log_room = LogRoom::new(&self.settings.limits);
                let exchange_room = Some(recordings::MAX_MESSAGES);
                let running = Attempt {
                    place,
                    number,
                    process,
                    targets,
                    _locked: locked,
                    unlocked,
                    begun,
                    log_room,
                    warnings,
                    exchange_room,
                    checks: Vec::new(),
                    verdict: None,
                };
                self.running.insert(running.process.number(), running);
            }
            Err(error) => {
                self.session.remove_scratch(&step.id);
                match error.downcast::<Busy>() {
                    Ok(busy) => self.wait_for_file(place, (number, begun), busy),
                    Err(error) => self.fail(place, Some(begun), &not_handed_over(error)),
                }
            }
        }
    }

    /// Has a step look again soon for a file that others use, or fails it once it has waited long enough.
    fn wait_for_file(&mut self, place: usize, (number, begun): (u32, Instant), busy: Busy) {
        let since = *self.busy.entry(place).or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE && !self.interrupted {
            let due = Instant::now() + LOOK_EVERY;
            self.retrying.insert(place, Retrial { number, begun, due });
            return;
        }
        self.busy.remove(&place);
        let message = format!("cannot use a file: {}", busy.message);
        let failure = Failure { retry: Some(Retry { after_ms: None }), ..Failure::new(Blame::User, "busy", message) };
        self.try_again_or_fail(place, Retrial::after(number, begun), false, failure.hint(busy.hint));
    }

    /// Creates the step's scratch folder and granted files, and gives its job to a warm process.
    fn hand_over(&mut self, place: usize, begun: Instant, number: u32) -> anyhow::Result<HandedOver> {
        let step = &self.plan.steps[place];
        self.session.write_artifact(&step.id, "cleaned_config.json", &step.masked_config)?;
        let unlocked = WithCompanions::of(step);
        let (mut read, locked) = targets::all_readable(self.base, step)?;
        self.reuse.note_reads(place, &read);
        let scratch = self.session.create_scratch(&step.id)?;
        let (write, targets) = targets::writable(self.base, self.session, step)?;
        read.extend(targets::present(self.base, &targets));
        let databases = step.grants.databases.names().collect();
        let mut limits = self.settings.limits;
        limits.wall_seconds = seconds(self.time_left(begun));
        match self.start(place, StepFiles { scratch, read, write, databases }, &targets, Turn { number, limits }) {
            Ok(process) => Ok(HandedOver { process, targets, locked, unlocked }),
            Err(error) => {
                targets::discard(self.base, targets);
                Err(error)
            }
        }
    }

    /// The time that a step has left of its limit.
    pub(super) fn time_left(&self, begun: Instant) -> Duration {
        Duration::from_secs(self.settings.limits.wall_seconds).saturating_sub(begun.elapsed())
    }

    fn start(
        &mut self,
        place: usize,
        files: StepFiles,
        targets: &[Target],
        turn: Turn,
    ) -> anyhow::Result<Box<dyn RunningAttempt>> {
        let step = &self.plan.steps[place];
        let limits = turn.limits;
        let disk = DiskAllowance {
            scratch: self.session.scratch_folder(&step.id)?,
            scratch_bytes: limits.scratch_bytes(),
            files: targets.iter().map(|target| target.written(self.base)).collect::<Result<_, _>>()?,
            file_bytes: limits.output_bytes,
        };
        let job = self.job(place, files, turn)?;
        self.note_inputs(step);
        let is_offline = self.settings.test_of(&step.id).is_some_and(|test| !test.has_network);
        let reachable = if is_offline { Reachable::default() } else { reachable(&step.grants) };
        self.fleet.start(
            place,
            NewAttempt {
                driver: Some(&step.driver),
                job,
                reachable,
                resources: step.resources.clone(),
                disk,
                exchange: self.passage(step),
            },
        )
    }

    fn job(&self, place: usize, files: StepFiles, turn: Turn) -> anyhow::Result<Job> {
        let StepFiles { scratch, read, write, databases } = files;
        let step = &self.plan.steps[place];
        let folders = step.grants.folders();
        let disturbance = self.settings.test_of(&step.id).map(|test| test.disturbance.clone()).unwrap_or_default();
        let value = || self.earlier.get(&place).map(|kept| kept.state.get().to_owned());
        Ok(Job {
            step: step.id.to_string(),
            driver: step.driver.label(),
            kind: step.driver.spec.kind,
            files: LocalFiles {
                compiled: self.compiled.get(&step.driver.sha256).cloned(),
                inputs: self.job_inputs(step),
                output: step.stores_tables().then(|| scratch.join(OUTPUT)),
                scratch,
                read,
                write,
                databases,
                folders,
            },
            config: step.config.clone(),
            secrets: step.secrets.clone(),
            network: network(&step.grants, &step.credentials),
            state: step.grants.state.then(|| PriorState { value: value() }),
            attempt: turn.number,
            call: Call::Run,
            instances: if disturbance.counts_calls() { 1 } else { step.instances },
            rejects: step.rejects,
            expect: step.expect.clone(),
            limits: turn.limits,
            require_confinement: self.settings.require_confinement,
            disturbance,
            exchanges: self.exchanges(step),
            hash_seed: self.reuse.hash_seed(self.plan, step),
        })
    }

    /// What becomes of a step's HTTP requests. An attempt goes on in a recording where the one before it ended.
    fn exchanges(&self, step: &PlannedStep) -> Exchanges {
        match self.settings.test_of(&step.id).map(|test| test.exchanges.clone()) {
            Some(Exchanges::Replay(replay)) => Exchanges::Replay(Replay { used: self.answered_by.clone(), ..replay }),
            exchanges => exchanges.unwrap_or_default(),
        }
    }

    /// Passes on a request of the step under test. Its process may have been taken over, so what it says is bounded,
    /// redacted, and believed only where it can be true.
    fn hear_exchange(&mut self, number: u64, seen: &str, size: u64) {
        let Some(running) = self.running.get_mut(&number) else { return };
        let step = &self.plan.steps[running.place].id;
        let test = self.settings.test_of(step).filter(|test| !matches!(test.exchanges, Exchanges::Live));
        let Some(test) = test else { return };
        running.exchange_room = running.exchange_room.and_then(|room| room.checked_sub(size));
        let seen = running.exchange_room.and_then(|_| serde_json::from_str::<Seen>(seen).ok());
        let seen = seen.map(|seen| seen.without_secrets(&self.session.scrubber)).filter(|seen| match &test.exchanges {
            Exchanges::Live => false,
            Exchanges::Record => seen.answered_by.is_none(),
            Exchanges::Replay(replay) => seen.answered_by.is_none_or(|place| place < replay.exchanges.len()),
        });
        self.answered_by.extend(seen.as_ref().and_then(|seen| seen.answered_by));
        self.observer.exchange(step.as_str(), seen);
    }

    fn job_inputs(&self, step: &PlannedStep) -> Vec<InputTable> {
        let job_input = |input: &Input| InputTable {
            alias: input.alias.clone(),
            also: input.also.clone(),
            rows: self.said_rows(input),
            schema: None,
            path: self.session.data_file(&input.step),
            table: input.table.clone(),
            is_reference: input.is_reference,
        };
        step.inputs.iter().map(job_input).collect()
    }

    /// How many rows an input has according to the ledger, if it is in the exchange: the worker that said so is not believed.
    fn said_rows(&self, input: &Input) -> Option<u64> {
        let place = self.plan.steps.iter().position(|step| step.id == input.step)?;
        let outcome = self.outcomes.get(&place).filter(|outcome| outcome.output.is_some())?;
        outcome.tables.get(&input.table).copied()
    }

    /// What of a step travels through the exchange, if the run has one.
    fn passage(&self, step: &PlannedStep) -> Option<Passage> {
        let exchange = self.ties.as_ref()?.shared.exchange().clone();
        let output = |id: &StepId| {
            let place = self.plan.steps.iter().position(|step| step.id == *id)?;
            self.outcomes.get(&place)?.output.clone()
        };
        let inputs =
            step.inputs.iter().filter_map(|input| Some((self.session.data_file(&input.step), output(&input.step)?)));
        Some(Passage { exchange, inputs: inputs.collect() })
    }

    fn note_inputs(&self, step: &PlannedStep) {
        let inputs: Vec<_> = step
            .inputs
            .iter()
            .map(|input| {
                let record = self.manifest.steps.iter().find(|record| record.id == input.step.as_str());
                let rows = record.and_then(|record| record.tables.get(&input.table)).map(|table| table.rows);
                json!({"alias": input.alias, "from_step": input.step, "table": input.table, "rows": rows})
            })
            .collect();
        if !inputs.is_empty() {
            self.session.event("inputs_resolved", json!({"step_id": step.id, "inputs": inputs}));
        }
    }

    pub(super) fn hear(&mut self, number: u64, message: Message, size: u64) {
        let Some(running) = self.running.get_mut(&number) else { return };
        if !running.log_room.admits(&message, size) {
            return;
        }
        let step = &self.plan.steps[running.place].id;
        let session = self.session;
        match message {
            Message::Ready => {}
            Message::Log { level, message, fields } => {
                let line = session.scrubber.scrubbed(&Warning { message, fields });
                session.event(
                    "driver_log",
                    json!({"step_id": step, "level": level, "message": line.message, "fields": line.fields}),
                );
                self.observer.log(step.as_str(), level, &line);
                if level == LogLevel::Warn {
                    running.warnings.push(line.into_inner());
                }
            }
            Message::Metric { name, value } => {
                let name = session.scrubber.scrubbed_text(&name);
                session.journal.metric(&name, value, Some(step));
                self.observer.metric(step.as_str(), &name, value);
            }
            Message::Observed { calls, guest_memory_bytes } => {
                if self.settings.test_of(step).is_some() {
                    let calls = calls.iter().map(|name| session.scrubber.scrub_text(name)).collect();
                    self.observer.observed(step.as_str(), calls, guest_memory_bytes);
                }
            }
            Message::Exchange { seen } => self.hear_exchange(number, &seen, size),
            Message::Checks { outcomes } => running.checks = outcomes,
            Message::Progress { done, total } => self.observer.progress(step.as_str(), done, total),
            Message::Complete { tables, rows_written, files, state, rejected, varying } => {
                let checks = Vec::new();
                running.verdict = Some(Ok(Done { tables, rows_written, files, state, rejected, varying, checks }));
            }
            Message::Discovered { .. } | Message::Checked { .. } => {}
            Message::Failed(failure) => {
                running.verdict = Some(Err(failure));
                // It may be asleep in a call of the host; a failed step has nothing left to finish.
                running.process.kill();
            }
        }
    }

    /// Records that a message of a step was lost, although its content is unknown.
    pub(super) fn lose(&mut self, number: u64) {
        let Some(running) = self.running.get_mut(&number) else { return };
        // A worker may say so without end.
        if !running.log_room.charge(LOST_MESSAGE) {
            return;
        }
        let step = self.plan.steps[running.place].id.as_str();
        let line = self.session.scrubber.scrubbed(&Warning::new("a message of the step was too long, and is lost"));
        self.session.event("message_lost", json!({"step_id": step}));
        self.observer.log(step, LogLevel::Warn, &line);
        running.warnings.push(line.into_inner());
    }
}
