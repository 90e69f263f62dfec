//! One attempt of a step: its job, what its process reports, and what it uses while it runs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use super::schedule::Schedule;
use super::targets::{self, Target};
use super::{OUTPUT, network, reachable};
use crate::engine::InputTable;
use crate::error::{Blame, Failure, Report};
use crate::executor::process::StepProcess;
use crate::grants::limits::Limits;
use crate::plan::{Input, PlannedStep};
use crate::protocol::{Call, Job, Kept, Message};
use crate::session::Status;
use crate::warning::{Warning, Warnings};

/// How long beyond its own deadline a step process may take before the host ends it.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What a step process logs by itself, beyond what its driver may: a backtrace, a warning.
const OWN_LOG_BYTES: u64 = 1 << 20;

pub(super) struct Attempt {
    pub(super) place: usize,
    pub(super) process: StepProcess,
    pub(super) targets: Vec<Target>,
    pub(super) begun: Instant,
    /// What the process may still log, in bytes.
    pub(super) log_room: u64,
    pub(super) warnings: Warnings,
    /// The process's last word.
    pub(super) verdict: Option<Result<Done, Failure>>,
}

/// What a step process says of a step that is complete.
pub(super) struct Done {
    pub(super) tables: BTreeMap<String, u64>,
    pub(super) rows_written: u64,
    pub(super) files: Vec<String>,
    pub(super) state: Option<String>,
}

impl Schedule<'_> {
    pub(super) fn begin(&mut self, place: usize) -> anyhow::Result<()> {
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
                let running = Attempt { place, process, targets, begun, log_room, warnings, verdict: None };
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
        let compiled = self.compiled.get(&step.driver.sha256).cloned().context("a driver was not compiled")?;
        let read_files = targets::readable(self.base, step)?;
        let scratch = self.session.create_scratch(&step.id)?;
        let (write_files, targets) = targets::writable(self.base, self.session, step)?;
        let job = Job {
            step: step.id.to_string(),
            driver: step.driver.label(),
            kind: step.driver.spec.kind,
            compiled,
            config: step.config.clone(),
            secrets: step.secrets.clone(),
            inputs: self.job_inputs(step),
            output: step.driver.spec.kind.makes_tables().then(|| scratch.join(OUTPUT)),
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
        };
        self.note_inputs(step);
        let mut process = if self.warm.is_empty() {
            self.started += 1;
            match StepProcess::start(self.started, &self.say) {
                Ok(process) => process,
                Err(error) => {
                    targets::discard(self.base, targets);
                    return Err(error);
                }
            }
        } else {
            self.warm.remove(0)
        };
        // A process that died while it waited is told when its stdout closes, below.
        if let Err(error) = process.give(&job, reachable(&step.grants)) {
            tracing::warn!(step = %step.id, %error, "a step process was gone before its job");
        }
        Ok((process, targets))
    }

    fn job_inputs(&self, step: &PlannedStep) -> Vec<InputTable> {
        let job_input = |input: &Input| InputTable {
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

    pub(super) fn hear(&mut self, number: u64, message: Message, size: u64) {
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

    /// Ends processes that the step's own watch has failed to end: it runs beside the driver, and
    /// may be lost with it.
    pub(super) fn end_overdue(&mut self) {
        let limits = &self.settings.limits;
        let time = Duration::from_secs(limits.wall_seconds) + GRACE;
        let cpu = Duration::from_secs(limits.cpu_seconds) + GRACE;
        for running in self.running.values_mut() {
            let used = running.process.usage().unwrap_or_default();
            let (kind, reason, limit) = if running.begun.elapsed() > time {
                ("timeout", format!("after {} s, its time limit", limits.wall_seconds), Limits::WALL)
            } else if used.cpu > cpu {
                ("cpu", format!("after {} s of CPU time, its limit", limits.cpu_seconds), Limits::CPU)
            } else if used.resident_bytes > limits.resident_bytes() {
                let size = crate::size::spell(used.resident_bytes);
                ("memory", format!("when its process held {size} of memory"), Limits::ENGINE_MEMORY)
            } else if self.session.scratch_bytes(&self.plan.steps[running.place].id) > limits.scratch_bytes() {
                let size = crate::size::spell(limits.scratch_bytes());
                ("disk", format!("when its scratch folder took more than {size}"), Limits::SPILL)
            } else {
                continue;
            };
            let driver = self.plan.steps[running.place].driver.label();
            running.verdict = Some(Err(Failure {
                blame: Blame::Driver,
                kind: kind.to_owned(),
                message: format!("driver `{driver}` was ended {reason}"),
                hint: Some(format!("give the step more with `{}`", limit.usage())),
            }));
            running.process.kill();
        }
    }
}
