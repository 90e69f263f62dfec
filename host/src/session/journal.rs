//! A session's `events.jsonl` and `metrics.jsonl`: one JSON object a line, secrets scrubbed.

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
    events: Mutex<File>,
    metrics: Mutex<File>,
    scrubber: Scrubber,
}

/// Fields that hold names alone, by which programs find things: they stay as they are, since a secret may happen to be an
/// ordinary word such as `main`.
const NAMES: [&str; 7] = ["step_id", "status", "level", "inputs", "tables", "duckdb_path", "component"];

impl Journal {
    pub(super) fn create(logs: &Dir, session: &str, scrubber: Scrubber) -> anyhow::Result<Self> {
        let open =
            |name: &str| logs.create(name).map(Mutex::new).with_context(|| format!("cannot create `logs/{name}`"));
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

    fn append(&self, file: &Mutex<File>, head: Value, fields: Value) {
        let mut line = object(head);
        for (key, value) in object(fields) {
            let value = if NAMES.contains(&key.as_str()) { value } else { self.scrubber.scrub(value) };
            line.insert(key, value);
        }
        let text = untrusted::json(&Value::Object(line).to_string()).into_owned() + "\n";
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end a run that could still finish; the run itself will say so.
        if let Err(error) = file.write_all(text.as_bytes()) {
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

/// The time in UTC, in milliseconds, as ISO 8601 writes it.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
