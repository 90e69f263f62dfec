//! Calls what a driver offers besides its work, `discover` and `check`, in a confined process like any step's.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::{network, reachable};
use crate::driver::catalog::Driver;
use crate::driver::{compiler, runtime};
use crate::error::{Blame, Failure};
use crate::executor::process::{Heard, StepProcess, ending};
use crate::grants::Grants;
use crate::grants::limits::Limits;
use crate::protocol::{Call, Job, Kept, Message};
use crate::secrets::Secrets;
use crate::secrets::scrubber::Scrubber;
use crate::warning::Warning;

/// Scratch of the process; it holds nothing that outlives the call.
const SCRATCH_PREFIX: &str = "osiris-probe-";

/// What a driver may tell of tables and columns, in bytes.
const MAX_DISCOVERED: u64 = 256 << 20;

/// A call of a driver outside a pipeline.
#[derive(Debug)]
pub struct Probe<'a> {
    pub driver: &'a Driver,
    pub config: serde_json::Map<String, serde_json::Value>,
    pub secrets: Secrets,
    pub grants: Grants,
    pub call: Call,
    pub timeout: Duration,
}

/// What the driver said, how long it took, and its warnings; all text scrubbed of secrets.
#[derive(Debug)]
pub struct Told {
    pub outcome: Result<Message, Failure>,
    pub took: Duration,
    pub logged: Vec<String>,
}

/// Makes the call.
///
/// # Errors
/// When the host itself fails; what the driver says is part of what is told.
pub fn probe(probe: &Probe<'_>) -> anyhow::Result<Told> {
    let scrubber = Scrubber::new(probe.secrets.values());
    let engine = runtime::engine()?;
    let compiled = compiler::compiled(&engine, &probe.driver.path, &probe.driver.sha256, || (), &|| false)?;
    let scratch = tempfile::Builder::new().prefix(SCRATCH_PREFIX).tempdir().context("cannot make a scratch folder")?;
    let job = Job {
        step: "probe".to_owned(),
        driver: probe.driver.label(),
        kind: probe.driver.spec.kind,
        compiled,
        config: probe.config.clone(),
        secrets: probe.secrets.clone(),
        inputs: Vec::new(),
        scratch: scratch.path().to_owned(),
        output: None,
        read_files: Vec::new(),
        write_files: Vec::new(),
        network: network(&probe.grants),
        state: probe.grants.state.then(Kept::default),
        call: probe.call,
        instances: 1,
        limits: Limits { wall_seconds: probe.timeout.as_secs().max(1), ..Limits::DEFAULT },
        require_confinement: false,
    };
    let (say, heard) = sync_channel(64);
    let mut process = StepProcess::start(1, &say)?;
    let begun = Instant::now();
    process.give(&job, reachable(&probe.grants))?;
    let (mut said, mut logged) = (None, Vec::new());
    let (mut found, mut bytes) = (Vec::new(), 0);
    let until = begun + probe.timeout + super::attempt::GRACE;
    loop {
        match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Heard::Message(_, Message::Log { level, message, fields }, _))
                if matches!(level.as_str(), "warn" | "error") =>
            {
                logged.push(scrubber.scrub_text(&Warning { message, fields }.to_string()));
            }
            Ok(Heard::Message(_, Message::Failed(failure), _)) => said = Some(Err(failure)),
            Ok(Heard::Message(_, Message::Discovered { mut tables }, size)) => {
                bytes += size;
                if bytes > MAX_DISCOVERED {
                    process.kill();
                    let what = crate::size::spell(MAX_DISCOVERED);
                    said = Some(Err(failed(
                        "data",
                        format!("there is more to discover than {what} of tables and columns"),
                    )));
                    break;
                }
                found.append(&mut tables);
                said = Some(Ok(Message::Discovered { tables: Vec::new() }));
            }
            Ok(Heard::Message(_, message @ Message::Checked { .. }, _)) => said = Some(Ok(message)),
            Ok(Heard::Message(..) | Heard::Signal) => {}
            Ok(Heard::Closed(_)) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                process.kill();
                said =
                    Some(Err(failed("timeout", format!("driver `{}` did not answer in time", probe.driver.label()))));
                break;
            }
        }
    }
    let took = begun.elapsed();
    let (status, stderr) = process.wait();
    let outcome = said.unwrap_or_else(|| Err(failed("killed", format!("the process {}: {stderr}", ending(&status)))));
    let outcome = match outcome {
        Ok(Message::Discovered { .. }) => Ok(scrubbed(Message::Discovered { tables: found }, &scrubber)?),
        Ok(message) => Ok(scrubbed(message, &scrubber)?),
        Err(failure) => {
            let hint = failure.hint.map(|hint| scrubber.scrub_text(&hint));
            Err(Failure { message: scrubber.scrub_text(&failure.message), hint, ..failure })
        }
    };
    Ok(Told { outcome, took, logged })
}

fn failed(kind: &str, message: String) -> Failure {
    Failure { blame: Blame::Driver, kind: kind.to_owned(), message, hint: None }
}

fn scrubbed(message: Message, scrubber: &Scrubber) -> anyhow::Result<Message> {
    Ok(serde_json::from_value(scrubber.scrub(serde_json::to_value(message)?))?)
}
