//! A session's `events.jsonl` and `metrics.jsonl`: one JSON object per line, with secrets redacted.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use cap_std::fs::{Dir, File};
use serde_json::{Map, Value, json};

use crate::secrets::scrubber::Scrubber;
use crate::untrusted;

/// The two logs, open for appending.
#[derive(Debug)]
pub struct Journal {
    session: String,
    events: Mutex<Log>,
    metrics: Mutex<Log>,
    scrubber: Scrubber,
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

/// Fields that contain only names, by which programs find things: they are not redacted, since a secret may happen to
/// be an ordinary word such as `main`.
const NAMES: [&str; 7] = ["step_id", "status", "level", "inputs", "tables", "duckdb_path", "component"];

impl Journal {
    pub(super) fn create(logs: &Dir, session: &str, scrubber: Scrubber) -> anyhow::Result<Self> {
        let open = |name: &str| {
            let file = logs.create(name).with_context(|| format!("cannot create `logs/{name}`"))?;
            anyhow::Ok(Mutex::new(Log { file, torn: false }))
        };
        Ok(Self {
            session: session.to_owned(),
            events: open("events.jsonl")?,
            metrics: open("metrics.jsonl")?,
            scrubber,
        })
    }

    pub fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    /// Appends an event; `fields` follow `ts`, `session` and `event`.
    pub fn event(&self, event: &str, fields: Value) {
        let head = json!({"ts": now(), "session": self.session, "event": event});
        self.append(&self.events, head, fields);
    }

    /// Appends a metric of a step, or of the whole run.
    pub fn metric(&self, metric: &str, value: f64, step: Option<&str>) {
        let whole = value.fract() == 0.0 && value.abs() < 9e15;
        let number = if whole { json!(value as i64) } else { json!(value) };
        let head = json!({"ts": now(), "session": self.session, "metric": metric, "value": number});
        self.append(&self.metrics, head, step.map_or(Value::Null, |step| json!({"step_id": step})));
    }

    fn append(&self, log: &Mutex<Log>, head: Value, fields: Value) {
        let mut line = object(head);
        for (key, value) in object(fields) {
            let value = if NAMES.contains(&key.as_str()) { value } else { self.scrubber.scrub(value) };
            line.insert(key, value);
        }
        let line = untrusted::json(&Value::Object(line).to_string()).into_owned();
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end a run that could still finish; the run itself reports it.
        if let Err(error) = log.append(&line) {
            tracing::warn!(%error, "cannot write to the session's log");
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The current UTC time in ISO 8601, to the millisecond.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
