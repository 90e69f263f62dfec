//! Calls a driver's optional exports, `discover` and `check`, in a process that is confined like a step's.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::attempt::LogRoom;
use super::{network, reachable};
use crate::driver::catalog::Driver;
use crate::driver::{compiler, runtime};
use crate::error::{Blame, Failure};
use crate::executor::RunningAttempt;
use crate::executor::disk::DiskAllowance;
use crate::executor::process::{BACKLOG, ProcessEvent, StepProcess};
use crate::executor::supervisor::Supervisor;
use crate::grants::Grants;
use crate::grants::credentials::Credential;
use crate::grants::limits::Limits;
use crate::pipeline::expect::Expect;
use crate::protocol::disturbance::Disturbance;
use crate::protocol::{Call, Job, LocalFiles, Message, PriorState};
use crate::recordings::Exchanges;
use crate::secrets::scrubber::Scrubber;
use crate::secrets::{Secret, Secrets};
use crate::session::noise;
use crate::warning::Warning;

/// The scratch folder of the process; nothing in it outlives the call.
const SCRATCH_PREFIX: &str = "osiris-probe-";

/// How much a driver may report about tables and columns, in bytes.
const MAX_DISCOVERED: u64 = 256 << 20;

/// How many of a driver's warnings are shown, in bytes.
const MAX_LOGGED: u64 = 256 << 10;

/// A driver's warnings, up to a bound.
#[derive(Default)]
struct WarningLog {
    warnings: Vec<Warning>,
    bytes: u64,
    dropped: u64,
}

impl WarningLog {
    fn push(&mut self, scrubber: &Scrubber, line: &Warning, size: u64) {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes <= MAX_LOGGED {
            self.warnings.push(scrubber.scrubbed(line).into_inner());
        } else {
            self.dropped += 1;
        }
    }

    fn into_warnings(mut self) -> Vec<Warning> {
        if self.dropped > 0 {
            self.warnings.push(Warning::new(format!("{} further warnings are not shown", self.dropped)));
        }
        self.warnings
    }
}

/// A call of a driver outside a pipeline.
#[derive(Debug)]
pub struct Probe<'a> {
    pub driver: &'a Driver,
    pub config: serde_json::Map<String, serde_json::Value>,
    pub secrets: Secrets,
    /// Values in the config that are secrets, too.
    pub hidden: Vec<Secret>,
    pub grants: Grants,
    pub credentials: Vec<Credential>,
    pub call: Call,
    pub timeout: Duration,
    /// The resource limits of a step; `timeout` replaces the time in them.
    pub limits: Limits,
    pub require_confinement: bool,
    pub supervisor: &'a Supervisor,
}

/// The driver's answer, how long it took, and the driver's warnings; all text is redacted.
#[derive(Debug)]
pub struct ProbeReport {
    pub outcome: Result<Message, Failure>,
    pub duration: Duration,
    pub warnings: Vec<Warning>,
}

/// Makes the call.
///
/// # Errors
/// If the host itself fails; the driver's errors are part of the answer.
pub fn probe(probe: &Probe<'_>) -> anyhow::Result<ProbeReport> {
    let scrubber = Scrubber::new(probe.secrets.values().chain(&probe.hidden));
    let engine = runtime::engine()?;
    let (path, sha256) = (&probe.driver.path, &probe.driver.sha256);
    let compiled = compiler::compiled(&engine, (path, &path.display().to_string()), sha256, || (), &|| false)?;
    let scratch = tempfile::Builder::new().prefix(SCRATCH_PREFIX).tempdir().context("cannot make a scratch folder")?;
    let job = Job {
        step: "probe".to_owned(),
        driver: probe.driver.label(),
        kind: probe.driver.spec.kind,
        files: LocalFiles {
            compiled: Some(compiled),
            inputs: Vec::new(),
            scratch: scratch.path().to_owned(),
            output: None,
            read: Vec::new(),
            write: Vec::new(),
            databases: BTreeSet::new(),
            folders: BTreeSet::new(),
        },
        config: probe.config.clone(),
        secrets: probe.secrets.clone(),
        network: network(&probe.grants, &probe.credentials),
        state: probe.grants.state.then(PriorState::default),
        attempt: 1,
        call: probe.call,
        instances: 1,
        rejects: 0,
        expect: Expect::default(),
        limits: Limits { wall_seconds: probe.timeout.as_secs().max(1), ..probe.limits },
        require_confinement: probe.require_confinement,
        disturbance: Disturbance::default(),
        exchanges: Exchanges::Live,
        hash_seed: noise(),
    };
    let disk = DiskAllowance {
        scratch: Dir::open_ambient_dir(scratch.path(), ambient_authority()).context("cannot open a scratch folder")?,
        scratch_bytes: job.limits.scratch_bytes(),
        files: Vec::new(),
        file_bytes: job.limits.output_bytes,
    };
    let (say, heard) = sync_channel(BACKLOG);
    let mut process = StepProcess::start(1, &say)?;
    let begun = Instant::now();
    process.give(&job, reachable(&probe.grants), probe.supervisor, disk)?;
    let (said, warnings) = listen(&heard, &mut process, &job.limits, &scrubber);
    let duration = begun.elapsed();
    let outcome = said.unwrap_or_else(|| Err(Box::new(process).ending().failure(&job.driver)));
    let outcome = match outcome {
        Ok(message) => Ok(scrubbed(message, &scrubber)?),
        Err(failure) => Err(scrubber.scrubbed(&failure).into_inner()),
    };
    Ok(ProbeReport { outcome, duration, warnings })
}

/// Reads a process's messages until its end, which the supervisor forces at the latest; returns its final report and
/// its warnings.
fn listen(
    heard: &Receiver<ProcessEvent>,
    process: &mut StepProcess,
    limits: &Limits,
    scrubber: &Scrubber,
) -> (Option<Result<Message, Failure>>, Vec<Warning>) {
    let (mut said, mut logged, mut room) = (None, WarningLog::default(), LogRoom::new(limits));
    let (mut found, mut bytes) = (Vec::new(), 0);
    for heard in heard {
        match heard {
            ProcessEvent::Message(_, message, size) if !room.admits(&message, size) => {}
            ProcessEvent::Message(_, Message::Log { level, message, fields }, size) => {
                if level.is_shown() {
                    logged.push(scrubber, &Warning { message, fields }, size);
                }
            }
            ProcessEvent::Message(_, Message::Failed(failure), _) => said = Some(Err(failure)),
            ProcessEvent::Message(_, Message::Discovered { mut tables }, size) => {
                bytes += size;
                if bytes > MAX_DISCOVERED {
                    process.kill();
                    let most = crate::size::spell(MAX_DISCOVERED);
                    let message = format!("there is more to discover than {most} of tables and columns");
                    return (Some(Err(Failure::new(Blame::Driver, "data", message))), logged.into_warnings());
                }
                found.append(&mut tables);
                said = Some(Ok(Message::Discovered { tables: Vec::new() }));
            }
            ProcessEvent::Message(_, message @ Message::Checked { .. }, _) => said = Some(Ok(message)),
            ProcessEvent::Message(..) | ProcessEvent::Signal | ProcessEvent::Settled(_) | ProcessEvent::Superseded => {}
            ProcessEvent::TooLong(_) => {
                let message = "the driver told more at once than is heard";
                said = Some(Err(Failure::new(Blame::Driver, "data", message)));
            }
            ProcessEvent::Closed(_) => break,
        }
    }
    if let Some(Ok(Message::Discovered { .. })) = said {
        said = Some(Ok(Message::Discovered { tables: found }));
    }
    (said, logged.into_warnings())
}

fn scrubbed(message: Message, scrubber: &Scrubber) -> anyhow::Result<Message> {
    Ok(serde_json::from_value(scrubber.scrub(serde_json::to_value(message)?))?)
}
