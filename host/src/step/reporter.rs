//! The step's only way to speak: JSON lines on stdout, with floods cut off.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::job::Message;

/// Log lines and metrics a step may send; the rest are dropped.
const MAX_LINES: u64 = 10_000;

/// The longest log message in characters; the rest is cut.
const MAX_TEXT: usize = 8 << 10;

/// How often progress goes out.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Where messages go; clones share it.
#[derive(Clone)]
pub struct Reporter(Arc<Mutex<Lines>>);

struct Lines {
    sink: Box<dyn Write + Send>,
    sent: u64,
    /// What the driver may still log, in bytes.
    room: u64,
    progress: Option<Instant>,
}

impl Reporter {
    pub fn to_stdout() -> Self {
        Self(Arc::new(Mutex::new(Lines { sink: Box::new(std::io::stdout()), sent: 0, room: u64::MAX, progress: None })))
    }

    /// Limits what goes out as log lines and metrics, in bytes.
    pub fn limit(&self, log_bytes: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).room = log_bytes;
    }

    /// Sends one message as one line.
    pub fn send(&self, message: &Message) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(message, Message::Log { .. } | Message::Metric { .. }) {
            lines.flood(message);
            return;
        }
        lines.write(message);
    }

    /// Sends a log line, cut to a bound.
    pub fn log(&self, level: &str, message: String, fields: BTreeMap<String, String>) {
        let fields = fields.into_iter().take(64).map(|(name, value)| (cut(name), cut(value))).collect();
        self.send(&Message::Log { level: level.to_owned(), message: cut(message), fields });
    }

    /// Sends progress, unless some went out just now.
    pub fn progress(&self, done: u64, total: Option<u64>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.progress.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) {
            lines.progress = Some(Instant::now());
            lines.write(&Message::Progress { done, total });
        }
    }
}

impl Lines {
    /// Writes a log line or metric while there is room; says once that the rest is dropped.
    fn flood(&mut self, message: &Message) {
        let Ok(line) = serde_json::to_vec(message) else { return };
        let size = line.len() as u64;
        if self.sent < MAX_LINES && size <= self.room {
            self.sent += 1;
            self.room -= size;
            self.put(line);
        } else if self.sent <= MAX_LINES {
            let message = format!("the driver logged too much, {} lines; the rest is dropped", self.sent);
            self.sent = MAX_LINES + 1;
            self.write(&Message::Log { level: "warn".to_owned(), message, fields: BTreeMap::new() });
        }
    }

    /// A host that no longer listens is about to kill this process; there is nobody to tell.
    fn write(&mut self, message: &Message) {
        if let Ok(line) = serde_json::to_vec(message) {
            self.put(line);
        }
    }

    fn put(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.sink.write_all(&line).and_then(|()| self.sink.flush()).ok();
    }
}

/// Cuts a driver's text to a bound.
pub fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text,
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}
