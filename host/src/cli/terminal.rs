//! All output to stderr while steps run is written by a thread of its own, behind a queue that drops.
//!
//! A run never waits for a terminal. If the terminal is stopped, or if nobody reads the pipe, lines are dropped and
//! their number is reported.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::counted;

/// The number of lines that may wait to be shown; further ones are dropped.
const MOST_WAITING: usize = 1000;

/// How long the program waits at its end for a terminal that accepts nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something to show.
#[derive(Debug)]
pub enum Show {
    Line(String),
    /// Starts a bar for a step.
    Begin {
        step: String,
        prefix: String,
    },
    Progress {
        step: String,
        done: u64,
        total: Option<u64>,
    },
    /// Ends the step's bar.
    End {
        step: String,
    },
    /// Notifies the sender once everything queued before it is shown.
    Flush(Sender<()>),
}

/// The queue to the thread that writes to stderr.
#[derive(Debug, Clone)]
struct Terminal {
    queue: Sender<Show>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

static TERMINAL: OnceLock<Option<Terminal>> = OnceLock::new();

/// Whether bars are shown.
pub fn is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}

/// Queues a line for stderr. If the queue is full, the line is dropped and counted.
pub fn say(line: impl Into<String>) {
    show(Show::Line(line.into()));
}

/// Queues something for stderr.
pub fn show(shown: Show) {
    match TERMINAL.get_or_init(|| Terminal::start(Box::new(io::stderr())).ok()) {
        Some(terminal) => terminal.show(shown),
        // If there is no thread, the line is written here: blocking is better than losing it.
        None => {
            if let Show::Line(line) = shown {
                let _ = writeln!(io::stderr(), "{line}");
            }
        }
    }
}

/// Waits until everything is shown, or until the terminal has accepted nothing for a while.
pub fn flush() {
    let Some(Some(terminal)) = TERMINAL.get() else { return };
    terminal.flush(PATIENCE);
}

impl Terminal {
    fn start(sink: Box<dyn Write + Send>) -> io::Result<Self> {
        let (queue, shown) = channel();
        let terminal = Self { queue, waiting: Arc::default(), dropped: Arc::default() };
        let (waiting, dropped) = (Arc::clone(&terminal.waiting), Arc::clone(&terminal.dropped));
        let screen = Screen { sink, bars: MultiProgress::new(), running: BTreeMap::new() };
        let showing = move || screen.show_all(&shown, &waiting, &dropped);
        std::thread::Builder::new().name("terminal".to_owned()).spawn(showing)?;
        Ok(terminal)
    }

    fn show(&self, shown: Show) {
        // The end of a bar is never dropped; there are no more of these than steps.
        if matches!(shown, Show::Line(_) | Show::Progress { .. })
            && self.waiting.load(Ordering::Relaxed) >= MOST_WAITING
        {
            if matches!(shown, Show::Line(_)) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.queue.send(shown);
    }

    fn flush(&self, patience: Duration) {
        let (tell, told) = channel();
        self.show(Show::Flush(tell));
        let mut left = self.waiting.load(Ordering::Relaxed);
        while told.recv_timeout(patience).is_err() {
            let now = self.waiting.load(Ordering::Relaxed);
            if now == left {
                return;
            }
            left = now;
        }
    }
}

struct Screen {
    sink: Box<dyn Write + Send>,
    bars: MultiProgress,
    running: BTreeMap<String, ProgressBar>,
}

impl Screen {
    fn show_all(mut self, shown: &Receiver<Show>, waiting: &AtomicUsize, dropped: &AtomicUsize) {
        for shown in shown {
            self.show(shown);
            let lost = dropped.swap(0, Ordering::Relaxed);
            if lost > 0 {
                self.line(&format!(
                    "… {} not shown: nothing took them; the session's logs have all",
                    counted(lost as u64, "line")
                ));
            }
            waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn show(&mut self, shown: Show) {
        match shown {
            Show::Line(line) => self.line(&line),
            Show::Begin { step, prefix } => {
                let bar = self.bars.add(ProgressBar::no_length());
                bar.set_style(style("{spinner} {prefix}  {rows}  {rate}  {elapsed}"));
                bar.set_prefix(prefix);
                bar.enable_steady_tick(Duration::from_millis(100));
                self.running.insert(step, bar);
            }
            Show::Progress { step, done, total } => {
                let Some(bar) = self.running.get(&step) else { return };
                if let (Some(total), None) = (total, bar.length()) {
                    bar.set_length(total);
                    bar.set_style(style(
                        "{spinner} {prefix}  {bar:24} {human_pos}/{human_len} rows  {rate}  {elapsed}",
                    ));
                }
                bar.set_position(done);
            }
            Show::End { step } => {
                if let Some(bar) = self.running.remove(&step) {
                    bar.finish_and_clear();
                }
            }
            Show::Flush(tell) => {
                let _ = self.sink.flush();
                let _ = tell.send(());
            }
        }
    }

    /// Write errors are ignored: the reader has gone.
    fn line(&mut self, line: &str) {
        let sink = &mut self.sink;
        let mut write = || {
            let _ = writeln!(sink, "{line}");
        };
        if self.running.is_empty() { write() } else { self.bars.suspend(write) }
    }
}

/// A bar's style; `{rows}` is the number of rows so far, `{rate}` is in whole rows per second.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{}/s", counted(state.per_sec() as u64, "row"));
    };
    let rows = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{}", counted(state.pos(), "row"));
    };
    style.with_key("rate", rate).with_key("rows", rows)
}

/// A line of the host's own log, for `tracing`.
#[derive(Debug, Default)]
pub struct LogLine(Vec<u8>);

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            say(String::from_utf8_lossy(&self.0).trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Mutex;

    /// A terminal that accepts nothing while it is stopped.
    #[derive(Clone, Default)]
    struct Sink {
        shown: Arc<Mutex<Vec<u8>>>,
        stopped: Arc<Mutex<()>>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _running = self.stopped.lock().unwrap();
            self.shown.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stopped_terminal_blocks_nobody_and_reports_what_was_dropped() {
        let sink = Sink::default();
        let terminal = Terminal::start(Box::new(sink.clone())).unwrap();
        let stop = sink.stopped.lock().unwrap();
        for number in 0..5 * MOST_WAITING {
            terminal.show(Show::Line(format!("line {number}")));
        }
        terminal.show(Show::Begin { step: "s".to_owned(), prefix: "s".to_owned() });
        terminal.show(Show::End { step: "s".to_owned() });
        terminal.flush(Duration::from_millis(10));
        drop(stop);
        terminal.flush(Duration::from_secs(60));
        let shown = String::from_utf8(sink.shown.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!((lines[0], lines.len()), ("line 0", MOST_WAITING + 1), "{:?}", lines.last());
        assert!(lines.iter().any(|line| line.contains("4,000 lines not shown")), "{:?}", &lines[..3]);
    }
}
