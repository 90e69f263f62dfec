//! A session's `events.jsonl` and `metrics.jsonl`: one JSON object per line. It accepts only what has been redacted.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use cap_std::fs::{Dir, File, OpenOptions};
use serde_json::{Map, Value, json};

use super::plain;
use crate::pipeline::StepId;
use crate::secrets::scrubber::Scrubbed;
use crate::untrusted;

/// The two logs, open for appending.
#[derive(Debug)]
pub struct Journal {
    session: String,
    events: Mutex<Log>,
    metrics: Mutex<Log>,
}

/// One log.
#[derive(Debug)]
struct Log {
    file: File,
    /// Whether the last line may be incomplete.
    torn: bool,
}

impl Log {
    /// Appends a line. If the previous line was cut off, for example by a full disk, it is ended first, so that it does
    /// not damage the new one.
    fn append(&mut self, line: &str) -> std::io::Result<()> {
        let start = if self.torn { "\n" } else { "" };
        self.torn = true;
        self.file.write_all(format!("{start}{line}\n").as_bytes())?;
        self.torn = false;
        Ok(())
    }
}

impl Journal {
    pub(super) fn create(logs: &Dir, session: &str) -> anyhow::Result<Self> {
        let open = |name: &str| {
            let file = logs.create(name).with_context(|| format!("cannot create `logs/{name}`"))?;
            anyhow::Ok(Mutex::new(Log { file, torn: false }))
        };
        Ok(Self { session: session.to_owned(), events: open("events.jsonl")?, metrics: open("metrics.jsonl")? })
    }

    /// Opens the logs of a session that goes on.
    pub(super) fn open(logs: &Dir, session: &str) -> anyhow::Result<Self> {
        let open = |name: &str| {
            let mut options = OpenOptions::new();
            let file = plain::open_with(logs, name, options.append(true).create(true));
            let file = file.with_context(|| format!("cannot open `logs/{name}`"))?;
            let whole = plain::read(logs, name).unwrap_or_default();
            // Its last line may have been cut off.
            let torn = !whole.is_empty() && !whole.ends_with('\n');
            anyhow::Ok(Mutex::new(Log { file, torn }))
        };
        Ok(Self { session: session.to_owned(), events: open("events.jsonl")?, metrics: open("metrics.jsonl")? })
    }

    /// Appends an event; `fields` follow `ts`, `session` and `event`.
    pub fn event(&self, event: &'static str, fields: Scrubbed<Map<String, Value>>) {
        let head = json!({"ts": now(), "session": self.session, "event": event});
        self.append(&self.events, head, fields.into_inner());
    }

    /// Appends a metric of a step, or of the whole run.
    pub fn metric(&self, metric: &Scrubbed<String>, value: f64, step: Option<&StepId>) {
        let whole = value.fract() == 0.0 && value.abs() < 9e15;
        let number = if whole { json!(value as i64) } else { json!(value) };
        let head = json!({"ts": now(), "session": self.session, "metric": **metric, "value": number});
        self.append(&self.metrics, head, object(step.map_or(Value::Null, |step| json!({"step_id": step}))));
    }

    fn append(&self, log: &Mutex<Log>, head: Value, fields: Map<String, Value>) {
        let mut line = object(head);
        line.extend(fields);
        let line = untrusted::json(&Value::Object(line).to_string()).into_owned();
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end a run that could still finish; the run itself reports it.
        if let Err(error) = log.append(&line) {
            tracing::warn!(%error, "cannot write to the session's log");
        }
    }
}

/// The fields of a JSON object.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The current UTC time in ISO 8601, to the millisecond.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
