//! A session's `events.jsonl` and `metrics.jsonl`: one JSON object a line, secrets scrubbed.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use cap_std::fs::{Dir, File};
use serde_json::{Map, Value, json};

use crate::spec::MASK;

/// Secrets shorter than this are left in logs: they would take ordinary words with them.
const SHORTEST_SECRET: usize = 4;

/// Takes known secrets out of whatever is written.
#[derive(Debug, Clone, Default)]
pub struct Scrubber(Vec<String>);

impl Scrubber {
    pub fn new(mut secrets: Vec<String>) -> Self {
        secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
        // A secret that contains another goes first, so that no part of it stays.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets)
    }

    pub fn scrub_text(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, secret| if text.contains(secret) { text.replace(secret, MASK) } else { text })
    }

    /// Scrubs every text in `value`, keys included.
    pub fn scrub(&self, value: Value) -> Value {
        if self.0.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.scrub_text(&text)),
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.scrub(item)).collect()),
            Value::Object(fields) => Value::Object(
                fields.into_iter().map(|(key, field)| (self.scrub_text(&key), self.scrub(field))).collect(),
            ),
            other => other,
        }
    }
}

/// The two logs, open for appending.
#[derive(Debug)]
pub struct Journal {
    session: String,
    events: Mutex<File>,
    metrics: Mutex<File>,
    scrubber: Scrubber,
}

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
        line.extend(object(fields));
        let text = format!("{}\n", self.scrubber.scrub(Value::Object(line)));
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
pub(super) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_scrubbed_from_keys_and_values_and_longest_first() {
        let scrubber = Scrubber::new(vec!["hunter2".into(), "hunter2-long".into(), "ab".into()]);
        let scrubbed = scrubber.scrub(json!({"hunter2": ["x hunter2-long y", 5, {"z": "ab"}]}));
        assert_eq!(scrubbed, json!({MASK: [format!("x {MASK} y"), 5, {"z": "ab"}]}));
    }
}
