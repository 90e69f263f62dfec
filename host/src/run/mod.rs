//! Runs a plan: each step in a process of its own as soon as what it needs is there.

pub mod look;
pub mod probe;
mod record;
pub mod states;
pub mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use serde_json::value::RawValue;

use crate::driver::spec::Kind;
use crate::driver::{compiler, runtime};
use crate::error::{Blame, Failure, Report};
use crate::executor::broker::Reachable;
use crate::executor::process::{Heard, StepProcess, ending};
use crate::grants::grant::Grants;
use crate::grants::limits::Limits;
use crate::plan::{Plan, PlannedStep};
use crate::protocol::{Call, Job, JobInput, Kept, Layers, Message, Network};
use crate::session::{Base, ErrorRecord, Manifest, Session, Status, state};
use crate::warning::{Warning, Warnings};
use states::States;
use targets::Target;

pub use record::manifest;

/// How a plan is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Steps that run at once, at most.
    pub jobs: usize,
    pub limits: Limits,
    pub require_confinement: bool,
    pub layers: Layers,
}

/// What is run.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    pub plan: &'a Plan,
    /// What its steps go on from.
    pub states: &'a States,
    pub base: &'a Base,
}

/// Told what happens while a plan runs. All text has been scrubbed of secrets.
pub trait Observer {
    /// A driver is compiled, once for this machine.
    fn compiling(&mut self, driver: &str);
    fn started(&mut self, step: &str);
    fn progress(&mut self, step: &str, done: u64, total: Option<u64>);
    fn log(&mut self, step: &str, level: &str, line: &Warning);
    /// A step has ended, or was skipped; its record says how.
    fn ended(&mut self, step: &crate::session::StepRecord);
}

/// How long beyond its own deadline a step process may take before the host ends it.
const GRACE: Duration = Duration::from_secs(5);

/// How often the host looks at what step processes use.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a step process logs by itself, beyond what its driver may: a backtrace, a warning.
const OWN_LOG_BYTES: u64 = 1 << 20;

/// The output's name in a step's scratch folder.
const OUTPUT: &str = "output.duckdb";

/// Compiles what the plan's drivers need; gives the compiled file of each by digest.
///
/// # Errors
/// When a driver does not compile; [`compiler::Interrupted`] where `interrupted` says so.
pub fn compile(
    plan: &Plan,
    observer: &mut dyn Observer,
    interrupted: &dyn Fn() -> bool,
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let engine = runtime::engine()?;
    let mut compiled = BTreeMap::new();
    for driver in plan.steps.iter().map(|step| &step.driver) {
        if !compiled.contains_key(&driver.sha256) {
            let compiling = || observer.compiling(&driver.label());
            let path = compiler::compiled(&engine, &driver.path, &driver.sha256, compiling, interrupted)?;
            compiled.insert(driver.sha256.clone(), path);
        }
    }
    Ok(compiled)
}

/// Runs `plan` in `session`; the manifest it gives is the record of what happened, and is on disk.
///
/// Must be called on a thread that outlives the steps: their processes die with it. `heard` hands
/// over what a signal handler tells through the other end of the channel.
///
/// # Errors
/// When the host itself fails; a step that fails is part of the record.
pub fn run(
    &Work { plan, states, base }: &Work<'_>,
    session: &Session,
    settings: &Settings,
    mut manifest: Manifest,
    (say, heard): (SyncSender<Heard>, Receiver<Heard>),
    observer: &mut dyn Observer,
) -> anyhow::Result<Manifest> {
    let begun = Instant::now();
    let signal = || matches!(heard.try_recv(), Ok(Heard::Signal));
    let (compiled, interrupted) = match compile(plan, observer, &signal) {
        Ok(compiled) => (compiled, signal()),
        Err(error) if error.is::<compiler::Interrupted>() => (BTreeMap::new(), true),
        Err(error) => return Err(error),
    };
    session.write_manifest(&manifest)?;
    session
        .journal
        .event("run_start", json!({"pipeline": plan.pipeline, "steps": plan.steps.len(), "profile": manifest.profile}));
    for notice in &plan.notices {
        session.journal.event("notice", json!({"message": notice.message, "fields": notice.fields}));
    }
    let mut schedule = Schedule {
        plan,
        base,
        session,
        settings,
        compiled,
        manifest: &mut manifest,
        observer,
        waiting: (0..plan.steps.len()).collect(),
        running: BTreeMap::new(),
        warm: Vec::new(),
        started: 0,
        say,
        interrupted,
        earlier: &states.earlier,
        states: BTreeMap::new(),
    };
    schedule.run_to_end(&heard)?;
    schedule.keep_states();
    let interrupted = schedule.interrupted;
    record::close(&mut manifest, begun.elapsed(), interrupted);
    session.write_manifest(&manifest)?;
    session.journal.event("run_end", json!({"status": manifest.status, "duration_ms": manifest.duration_ms}));
    Ok(manifest)
}

struct Schedule<'a> {
    plan: &'a Plan,
    base: &'a Base,
    session: &'a Session,
    settings: &'a Settings,
    compiled: BTreeMap<String, PathBuf>,
    manifest: &'a mut Manifest,
    observer: &'a mut dyn Observer,
    /// Places in the plan of steps that have not begun.
    waiting: BTreeSet<usize>,
    /// Steps that run, by the number of their process.
    running: BTreeMap<u64, Running>,
    /// Processes that have no job yet.
    warm: Vec<StepProcess>,
    started: u64,
    say: SyncSender<Heard>,
    interrupted: bool,
    /// What steps go on from, by their place in the plan.
    earlier: &'a BTreeMap<usize, state::Kept>,
    /// What steps that succeeded want to keep, by their place in the plan.
    states: BTreeMap<usize, String>,
}

struct Running {
    place: usize,
    process: StepProcess,
    targets: Vec<Target>,
    begun: Instant,
    /// What the process may still log, in bytes.
    log_room: u64,
    warnings: Warnings,
    /// The process's last word.
    verdict: Option<Result<Done, Failure>>,
}

/// What a step process says of a step that is complete.
struct Done {
    tables: BTreeMap<String, u64>,
    rows_written: u64,
    files: Vec<String>,
    state: Option<String>,
}

fn host_fault(error: anyhow::Error) -> Failure {
    Failure { blame: Blame::Host, kind: "internal".to_owned(), message: format!("{error:#}"), hint: None }
}

fn interrupted() -> Failure {
    let message = "the run was interrupted".to_owned();
    Failure { blame: Blame::User, kind: "interrupted".to_owned(), message, hint: None }
}

/// What a step may reach by its grants, as its process is told.
pub fn network(grants: &Grants) -> Network {
    Network {
        connect: grants.connect.clone(),
        http: grants.http.clone(),
        roots: grants.roots.clone(),
        roots_file: std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()).map(PathBuf::from),
    }
}

/// What a step may reach by its grants, as its broker checks.
pub fn reachable(grants: &Grants) -> Reachable {
    let endpoints = network(grants).endpoints().cloned().collect();
    Reachable { endpoints, private_hosts: grants.private_hosts.clone() }
}

impl Schedule<'_> {
    fn run_to_end(&mut self, heard: &Receiver<Heard>) -> anyhow::Result<()> {
        let mut looked = Instant::now();
        loop {
            self.warm_up()?;
            self.begin_ready()?;
            if self.running.is_empty() {
                return Ok(());
            }
            match heard.recv_timeout(LOOK_EVERY) {
                Ok(Heard::Message(number, message, size)) => self.hear(number, message, size),
                Ok(Heard::Closed(number)) => self.end(number)?,
                Ok(Heard::Signal) => self.interrupt(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if looked.elapsed() >= LOOK_EVERY {
                self.end_overdue();
                looked = Instant::now();
            }
        }
    }

    /// Keeps as many processes warm as could be needed next.
    fn warm_up(&mut self) -> anyhow::Result<()> {
        let wanted = self.waiting.len().min(self.settings.jobs);
        while !self.interrupted && self.warm.len() < wanted {
            self.started += 1;
            self.warm.push(StepProcess::start(self.started, &self.say)?);
        }
        Ok(())
    }

    fn status(&self, step: &crate::pipeline::StepId) -> Status {
        self.manifest
            .steps
            .iter()
            .find(|record| record.id == step.as_str())
            .map_or(Status::Pending, |record| record.status)
    }

    /// Begins every step whose needs are met, and skips those whose needs have failed.
    fn begin_ready(&mut self) -> anyhow::Result<()> {
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
            } else if self.running.len() < self.settings.jobs
                && step.needs.iter().all(|need| self.status(need) == Status::Success)
            {
                self.waiting.remove(&place);
                self.begin(place)?;
            }
        }
        Ok(())
    }

    fn skip(&mut self, place: usize, reason: &str) {
        let record = &mut self.manifest.steps[place];
        record.status = Status::Skipped;
        self.session.journal.event("step_skipped", json!({"step_id": record.id, "reason": reason}));
        self.observer.ended(record);
    }

    fn begin(&mut self, place: usize) -> anyhow::Result<()> {
        let step = &self.plan.steps[place];
        self.manifest.steps[place].status = Status::Running;
        self.session.write_manifest(self.manifest)?;
        self.session.write_artifact(&step.id, "cleaned_config.json", &step.masked_config)?;
        let driver = &self.manifest.steps[place].driver;
        self.session
            .journal
            .event("step_start", json!({"step_id": step.id, "component": step.component, "driver": driver}));
        self.observer.started(step.id.as_str());
        let mut warnings = Warnings::default();
        for notice in &step.notices {
            self.session
                .journal
                .event("notice", json!({"step_id": step.id, "message": notice.message, "fields": notice.fields}));
            self.observer.log(step.id.as_str(), "warn", notice);
            warnings.push(notice.clone());
        }
        self.manifest.steps[place].warnings = warnings.list();
        let begun = Instant::now();
        match self.hand_over(place) {
            Ok((process, targets)) => {
                let log_room = self.settings.limits.log_bytes.saturating_add(OWN_LOG_BYTES);
                let running = Running { place, process, targets, begun, log_room, warnings, verdict: None };
                self.running.insert(running.process.number, running);
                Ok(())
            }
            Err(error) => {
                self.session.remove_scratch(&step.id);
                // Files that the user named wrongly are the step's failure, not the host's.
                let report = error.downcast::<Report>()?;
                let failure = Failure {
                    blame: Blame::User,
                    kind: "config".to_owned(),
                    message: report.message,
                    hint: report.hint,
                };
                self.fail(place, Some(begun), failure);
                Ok(())
            }
        }
    }

    /// Makes the step's scratch folder and granted files, and gives its job to a warm process.
    fn hand_over(&mut self, place: usize) -> anyhow::Result<(StepProcess, Vec<Target>)> {
        let step = &self.plan.steps[place];
        let read_files = targets::readable(step)?;
        let scratch = self.session.create_scratch(&step.id)?;
        let (write_files, targets) = targets::writable(self.base, self.session, step)?;
        let job = Job {
            step: step.id.to_string(),
            driver: step.driver.label(),
            kind: step.driver.spec.kind,
            compiled: self.compiled.get(&step.driver.sha256).cloned().context("a driver was not compiled")?,
            config: step.config.clone(),
            secrets: step.secrets.clone(),
            inputs: self.job_inputs(step),
            output: (step.driver.spec.kind != Kind::Writer).then(|| scratch.join(OUTPUT)),
            scratch,
            read_files,
            write_files,
            network: network(&step.grants),
            state: step
                .grants
                .state
                .then(|| Kept { value: self.earlier.get(&place).map(|kept| kept.state.get().to_owned()) }),
            call: Call::Run,
            instances: step.instances,
            limits: self.settings.limits,
            require_confinement: self.settings.require_confinement,
            layers: self.settings.layers,
        };
        self.note_inputs(step);
        let mut process = if self.warm.is_empty() {
            self.started += 1;
            StepProcess::start(self.started, &self.say)?
        } else {
            self.warm.remove(0)
        };
        // A process that died while it waited is told when its stdout closes, below.
        if let Err(error) = process.give(&job, reachable(&step.grants)) {
            tracing::warn!(step = %step.id, %error, "a step process was gone before its job");
        }
        Ok((process, targets))
    }

    fn job_inputs(&self, step: &PlannedStep) -> Vec<JobInput> {
        let job_input = |input: &crate::plan::Input| JobInput {
            alias: input.alias.clone(),
            also: input.also.clone(),
            path: self.session.data_file(&input.step),
            table: input.table.clone(),
        };
        step.inputs.iter().map(job_input).collect()
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
            self.session.journal.event("inputs_resolved", json!({"step_id": step.id, "inputs": inputs}));
        }
    }

    fn hear(&mut self, number: u64, message: Message, size: u64) {
        let Some(running) = self.running.get_mut(&number) else { return };
        if matches!(message, Message::Log { .. } | Message::Metric { .. }) {
            // The step keeps to the limit by itself, unless it is no longer itself.
            let Some(room) = running.log_room.checked_sub(size) else { return };
            running.log_room = room;
        }
        let step = self.plan.steps[running.place].id.as_str();
        let journal = &self.session.journal;
        match message {
            Message::Ready => {}
            Message::Log { level, message, fields } => {
                let scrub = |text: String| journal.scrubber().scrub_text(&text);
                let fields = fields.into_iter().map(|(name, value)| (scrub(name), scrub(value))).collect();
                let line = Warning { message: scrub(message), fields };
                journal.event(
                    "driver_log",
                    json!({"step_id": step, "level": level, "message": line.message, "fields": line.fields}),
                );
                self.observer.log(step, &level, &line);
                if level == "warn" {
                    running.warnings.push(line);
                }
            }
            Message::Metric { name, value } => {
                journal.metric(&journal.scrubber().scrub_text(&name), value, Some(step));
            }
            Message::Progress { done, total } => self.observer.progress(step, done, total),
            Message::Complete { tables, rows_written, files, state } => {
                running.verdict = Some(Ok(Done { tables, rows_written, files, state }));
            }
            Message::Discovered { .. } | Message::Checked { .. } => {}
            Message::Failed(failure) => running.verdict = Some(Err(failure)),
        }
    }

    /// A process has ended: its step is complete if it said so and left in peace.
    fn end(&mut self, number: u64) -> anyhow::Result<()> {
        let Some(running) = self.running.remove(&number) else {
            self.warm.retain(|process| process.number != number);
            return Ok(());
        };
        let Running { place, process, targets, begun, warnings, verdict, .. } = running;
        self.manifest.steps[place].warnings = warnings.list();
        let step = &self.plan.steps[place];
        let (status, stderr) = process.wait();
        let peaceful = status.as_ref().is_ok_and(std::process::ExitStatus::success);
        let outcome = match verdict {
            Some(Ok(done)) if peaceful && !self.interrupted => match record::secret_name(step, &done.tables) {
                None => self.keep(step, targets, &done.files).map(|()| done),
                Some(failure) => {
                    targets::discard(self.base, targets);
                    Err(failure)
                }
            },
            Some(Err(failure)) => {
                targets::discard(self.base, targets);
                Err(failure)
            }
            _ => {
                targets::discard(self.base, targets);
                Err(if self.interrupted { interrupted() } else { self.died(&ending(&status), &stderr) })
            }
        };
        self.session.remove_scratch(&step.id);
        match outcome {
            Ok(done) => self.complete(place, begun, done),
            Err(failure) => self.fail(place, Some(begun), failure),
        }
        self.session.write_manifest(self.manifest)
    }

    /// Puts what the step made into place.
    fn keep(&self, step: &PlannedStep, targets: Vec<Target>, created: &[String]) -> Result<(), Failure> {
        targets::keep(self.base, targets, created).map_err(host_fault)?;
        if step.driver.spec.kind == Kind::Writer {
            return Ok(());
        }
        self.session.keep_output(&step.id, OUTPUT).map_err(host_fault)
    }

    fn died(&self, ending: &str, stderr: &str) -> Failure {
        let said = if stderr.is_empty() { String::new() } else { format!("; it said: {stderr}") };
        Failure {
            blame: Blame::Host,
            kind: "killed".to_owned(),
            message: format!("the step process {ending}{said}"),
            hint: None,
        }
    }

    /// Writes what steps want to keep, each once all that depends on it has succeeded: what a failed
    /// step did not deliver is read again. One that cannot be written makes its step fail.
    fn keep_states(&mut self) {
        let mut states = std::mem::take(&mut self.states);
        // A state that does not say what it was read from is told so once.
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
            self.session.journal.event("state_dropped", json!({"step_id": step.id, "reason": dropped}));
        }
    }

    fn keep_state(&mut self, place: usize, json: &str) {
        let step = &self.plan.steps[place];
        let written = RawValue::from_string(json.to_owned()).context("the state is not JSON").and_then(|state| {
            let kept = state::Kept {
                pipeline: self.plan.pipeline.clone(),
                step: step.id.to_string(),
                driver: step.driver.label(),
                session: self.session.id.clone(),
                updated_at: state::now(),
                identity: step.state.clone(),
                state,
            };
            state::write(self.base, &kept)
        });
        match written {
            Ok(()) => self.session.journal.event("state_kept", json!({"step_id": step.id, "bytes": json.len()})),
            Err(error) => self.fail(place, None, host_fault(error)),
        }
    }

    /// Whether a step and every step that needs it, however far behind, has succeeded.
    fn delivered(&self, place: usize) -> bool {
        let mut behind = BTreeSet::from([&self.plan.steps[place].id]);
        for step in &self.plan.steps {
            if step.needs.iter().any(|need| behind.contains(need)) {
                behind.insert(&step.id);
            }
        }
        behind.into_iter().all(|id| self.status(id) == Status::Success)
    }

    fn complete(&mut self, place: usize, begun: Instant, done: Done) {
        self.states.extend(done.state.map(|state| (place, state)));
        let step = &self.plan.steps[place];
        let record = &mut self.manifest.steps[place];
        let journal = &self.session.journal;
        let (metric, rows) =
            record::complete(record, step.driver.spec.kind, done.tables, done.rows_written, begun.elapsed());
        let id = Some(step.id.as_str());
        journal.metric(metric, rows as f64, id);
        journal.metric("step_duration_ms", record.duration_ms.unwrap_or_default() as f64, id);
        journal.event(
            "step_complete",
            json!({"step_id": step.id, "rows": record.rows, "tables": record.tables, "duckdb_path": record.duckdb_path, "duration_ms": record.duration_ms}),
        );
        self.observer.ended(record);
    }

    /// Records that a step failed, and how long it took if it `begun` just now.
    fn fail(&mut self, place: usize, begun: Option<Instant>, failure: Failure) {
        let scrub = |text: String| self.session.journal.scrubber().scrub_text(&text);
        let failure = Failure {
            blame: failure.blame,
            kind: scrub(failure.kind),
            message: scrub(failure.message),
            hint: failure.hint.map(scrub),
        };
        let record = &mut self.manifest.steps[place];
        record.status = if self.interrupted { Status::Interrupted } else { Status::Failed };
        record.duration_ms = begun.map(|begun| record::milliseconds(begun.elapsed())).or(record.duration_ms);
        let error = ErrorRecord::from(failure);
        let journal = &self.session.journal;
        journal.metric("step_duration_ms", record.duration_ms.unwrap_or_default() as f64, Some(&record.id));
        journal.event(
            "step_error",
            json!({"step_id": record.id, "status": record.status, "error": error, "duration_ms": record.duration_ms}),
        );
        record.error = Some(error);
        self.observer.ended(record);
    }

    fn interrupt(&mut self) {
        self.interrupted = true;
        self.warm.clear();
        for running in self.running.values_mut() {
            running.process.kill();
        }
    }

    /// Ends processes that the step's own watch has failed to end: it runs beside the driver, and
    /// may be lost with it.
    fn end_overdue(&mut self) {
        let limits = &self.settings.limits;
        let time = Duration::from_secs(limits.wall_seconds) + GRACE;
        let cpu = Duration::from_secs(limits.cpu_seconds) + GRACE;
        for running in self.running.values_mut() {
            let used = running.process.usage().unwrap_or_default();
            let (kind, limit, flag) = if running.begun.elapsed() > time {
                ("timeout", format!("after {} s, its time limit", limits.wall_seconds), "--step-timeout SECONDS")
            } else if used.cpu > cpu {
                ("cpu", format!("after {} s of CPU time, its limit", limits.cpu_seconds), "--step-cpu SECONDS")
            } else if used.resident_bytes > limits.resident_bytes() {
                let size = crate::size::spell(used.resident_bytes);
                ("memory", format!("when its process held {size} of memory"), "--engine-memory SIZE")
            } else if self.session.scratch_bytes(&self.plan.steps[running.place].id) > limits.scratch_bytes() {
                let size = crate::size::spell(limits.scratch_bytes());
                ("disk", format!("when its scratch folder took more than {size}"), "--spill SIZE")
            } else {
                continue;
            };
            let driver = self.plan.steps[running.place].driver.label();
            running.verdict = Some(Err(Failure {
                blame: Blame::Driver,
                kind: kind.to_owned(),
                message: format!("driver `{driver}` was ended {limit}"),
                hint: Some(format!("give the step more with `{flag}`")),
            }));
            running.process.kill();
        }
    }
}
