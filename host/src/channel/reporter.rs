//! The step's only output: JSON lines on stdout, bounded in number and size.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::printed::{Notice, Room, Stream};
use crate::protocol::{LogLevel, Message};
use crate::secrets::Secrets;
use crate::secrets::scrubber::Scrubber;
use crate::untrusted::Untrusted;

/// The number of log lines and metrics that a step may send; the rest are dropped.
const MAX_LINES: u64 = 10_000;

/// The longest log message, in characters; the rest is cut off.
const MAX_TEXT: usize = 8 << 10;

/// How often progress is sent.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// The destination of messages; clones share it.
#[derive(Clone)]
pub struct Reporter(Arc<Mutex<Lines>>);

struct Lines {
    sink: Box<dyn Write + Send>,
    sent: u64,
    /// How many bytes the driver may still log.
    room: u64,
    /// How much of it may be printed text: a driver that prints without end must not silence its own log.
    printed: Room,
    scrubber: Scrubber,
    progress: Option<Instant>,
    /// Whether the sink accepts a short line without blocking.
    takes_more: fn() -> bool,
}

impl Reporter {
    pub fn to_stdout() -> Self {
        Self::to(Box::new(std::io::stdout()), stdout_takes_more)
    }

    fn to(sink: Box<dyn Write + Send>, takes_more: fn() -> bool) -> Self {
        let (room, scrubber) = (u64::MAX, Scrubber::default());
        let lines = Lines { sink, sent: 0, room, printed: Room::new(room), scrubber, progress: None, takes_more };
        Self(Arc::new(Mutex::new(lines)))
    }

    /// Limits log lines and metrics to `log_bytes`, and redacts the step's secrets from them.
    pub fn guard(&self, log_bytes: u64, secrets: &Secrets) {
        let mut lines = self.lines();
        lines.room = log_bytes;
        lines.printed = Room::new(log_bytes / 2);
        lines.scrubber = Scrubber::new(secrets.values());
    }

    /// A driver's text with the step's secrets redacted, then cut to a bound. The order matters: the host redacts
    /// everything it receives, but it could not recognise a secret that was cut in two.
    pub fn told(&self, text: String) -> Untrusted {
        cut(self.lines().scrubber.scrub_text(&text)).into()
    }

    /// A printed line with the step's secrets redacted, then cut to a bound. If the end of the line is missing, so is
    /// what may be the beginning of a secret.
    pub(super) fn redacted_line(&self, line: &[u8], missing: u64) -> String {
        let lines = self.lines();
        let mut text = lines.scrubber.scrub_text(&String::from_utf8_lossy(line));
        if missing == 0 {
            return cut(text);
        }
        text.truncate(text.floor_char_boundary(text.len().saturating_sub(lines.scrubber.longest())));
        let end = text.char_indices().nth(MAX_TEXT).map_or(text.len(), |(end, _)| end);
        format!("{}… ({} bytes)", &text[..end], line.len() as u64 + missing)
    }

    /// Sends a redacted line that the driver printed, or counts it as dropped.
    pub(super) fn printed(&self, stream: Stream, text: String) {
        let mut lines = self.lines();
        let fields = [("stream".into(), stream.to_string().into())].into();
        let Ok(line) = serde_json::to_vec(&Message::Log { level: LogLevel::Info, message: text.into(), fields }) else {
            return;
        };
        let size = line.len() as u64;
        let (mut is_admitted, notice) = lines.printed.admits(size, Instant::now());
        if let Some(notice) = notice {
            lines.notice(notice);
        }
        is_admitted &= size <= lines.room;
        if is_admitted {
            lines.room -= size;
            lines.put(line);
        }
    }

    /// Reports the printed lines that were dropped since the last one that was not.
    pub(super) fn end_printed(&self) {
        let mut lines = self.lines();
        if let Some(notice) = lines.printed.dropped_lines() {
            lines.notice(notice);
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one message as one line.
    pub fn send(&self, message: &Message) {
        let mut lines = self.lines();
        if matches!(message, Message::Log { .. } | Message::Metric { .. }) {
            lines.flood(message);
            return;
        }
        lines.write(message);
    }

    /// Sends a short message unless that would block; returns whether it was sent.
    pub fn send_at_once(&self, message: &Message) -> bool {
        let Ok(mut lines) = self.0.try_lock() else { return false };
        let takes_more = (lines.takes_more)();
        if takes_more {
            lines.write(message);
        }
        takes_more
    }

    /// Sends a log line, cut to a bound.
    pub fn log(&self, level: LogLevel, message: String, fields: BTreeMap<String, String>) {
        let fields = fields.into_iter().take(64).map(|(name, value)| (self.told(name), self.told(value))).collect();
        self.send(&Message::Log { level, message: self.told(message), fields });
    }

    /// Sends progress, unless some was sent very recently or sending would block because another thread is writing or
    /// the host is not reading. The watch calls it, and the watch must never block.
    pub fn progress(&self, done: u64, total: Option<u64>) {
        let Ok(mut lines) = self.0.try_lock() else { return };
        if !(lines.takes_more)() {
            return;
        }
        if lines.progress.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) {
            lines.progress = Some(Instant::now());
            lines.write(&Message::Progress { done, total });
        }
    }
}

impl Lines {
    /// Writes a log line or metric while the bound allows it; reports once that the rest is dropped.
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
            self.write(&Message::Log { level: LogLevel::Warn, message: message.into(), fields: BTreeMap::new() });
        }
    }

    fn notice(&mut self, (level, message, fields): Notice) {
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self.write(&Message::Log { level, message: message.into(), fields });
    }

    /// Write errors are ignored: a host that has stopped reading is about to kill this process.
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

/// Whether stdout accepts a line of up to one page without blocking. poll(2) guarantees this for a pipe.
fn stdout_takes_more() -> bool {
    let stdout = rustix::stdio::stdout();
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], Some(&at_once)) == Ok(1)
}

/// Cuts a driver's text to a bound.
fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text,
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::secrets::Secret;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn progress_never_blocks() {
        let sink = Sink::default();
        let reporter = Reporter::to(Box::new(sink.clone()), || true);
        let speaking = reporter.clone();
        let lines = speaking.lines();
        reporter.progress(1, None);
        drop(lines);
        assert!(sink.0.lock().unwrap().is_empty(), "somebody else was speaking");
        Reporter::to(Box::new(sink.clone()), || false).progress(1, None);
        assert!(sink.0.lock().unwrap().is_empty(), "nobody reads");
        reporter.progress(1, None);
        assert!(!sink.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_secret_at_the_cut_does_not_leak_its_first_half() {
        let sink = Sink::default();
        let reporter = Reporter::to(Box::new(sink.clone()), || true);
        let secret = "correct horse battery";
        reporter.guard(1 << 20, &Secrets::from([("key".to_owned(), Secret::new(secret.to_owned()))]));
        for before in MAX_TEXT - secret.len()..=MAX_TEXT {
            let text = format!("{}{secret}", "x".repeat(before));
            assert!(!reporter.told(text.clone()).raw().contains("co"));
            reporter.log(LogLevel::Info, text.clone(), [(text.clone(), text)].into());
        }
        let told = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(told.contains("MASKED") && !told.contains("co"), "{told}");
        // The same in a printed line whose end is missing.
        let line = format!("{secret} {} correct horse b", "x".repeat(200));
        let left = reporter.redacted_line(line.as_bytes(), 1000);
        assert!(left.contains("MASKED") && !left.contains("co"), "{left}");
    }

    #[test]
    fn printed_text_leaves_half_of_the_room_to_the_log() {
        let sink = Sink::default();
        let reporter = Reporter::to(Box::new(sink.clone()), || true);
        reporter.guard(100_000, &Secrets::new());
        for _ in 0..1_500 {
            reporter.printed(Stream::Stdout, "x".repeat(100));
        }
        reporter.end_printed();
        reporter.log(LogLevel::Info, "the driver's own log".to_owned(), BTreeMap::new());
        let told = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let printed = told.lines().filter(|line| line.contains("xxx")).map(|line| line.len()).sum::<usize>();
        assert!((45_000..=50_000).contains(&printed), "{printed}");
        assert!(told.contains("printed lines were dropped here") && told.contains("the driver's own log"), "{told}");
    }
}
