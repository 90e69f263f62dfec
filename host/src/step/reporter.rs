//! The step's only way to speak: JSON lines on stdout, with floods cut off.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::job::Message;

/// Log lines and metrics a step may send; the rest are counted.
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
    progress: Option<Instant>,
}

impl Reporter {
    pub fn to_stdout() -> Self {
        Self(Arc::new(Mutex::new(Lines { sink: Box::new(std::io::stdout()), sent: 0, progress: None })))
    }

    /// Sends one message as one line.
    pub fn send(&self, message: &Message) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(message, Message::Log { .. } | Message::Metric { .. }) {
            lines.sent += 1;
            if lines.sent > MAX_LINES {
                return;
            }
            if lines.sent == MAX_LINES {
                let note = Message::Log {
                    level: "warn".to_owned(),
                    message: format!("the driver sent {MAX_LINES} log lines and metrics; the rest are dropped"),
                    fields: BTreeMap::new(),
                };
                lines.write(&note);
                return;
            }
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
    /// A host that no longer listens is about to kill this process; there is nobody to tell.
    fn write(&mut self, message: &Message) {
        if let Ok(mut line) = serde_json::to_vec(message) {
            line.push(b'\n');
            self.sink.write_all(&line).and_then(|()| self.sink.flush()).ok();
        }
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text,
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}
