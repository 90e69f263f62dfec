//! What a driver prints: cut into lines, redacted, and sent to the host as soon as a line is complete.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::reporter::Reporter;
use crate::protocol::LogLevel;

/// The longest line that is looked at, in bytes. The rest of a longer one is dropped.
const MAX_LINE: usize = 64 << 10;

/// How many of the last lines of stderr belong to the error of a driver that aborts. Languages print their traceback
/// or panic there.
const LAST_LINES: usize = 40;

/// The longest of these lines, in characters.
const LAST_LINE_LENGTH: usize = 400;

/// The number of printed lines that one second may have.
const LINES_A_SECOND: u64 = 2_000;

/// Where a driver prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

/// The two streams of one instance of a driver; clones share them.
#[derive(Clone)]
pub struct Printed(Arc<Mutex<Streams>>);

struct Streams {
    reporter: Reporter,
    stdout: Splitter,
    stderr: Splitter,
    /// The last lines of stderr, redacted.
    last: VecDeque<String>,
}

impl Printed {
    pub fn new(reporter: &Reporter) -> Self {
        let (stdout, stderr) = (Splitter::default(), Splitter::default());
        Self(Arc::new(Mutex::new(Streams { reporter: reporter.clone(), stdout, stderr, last: VecDeque::new() })))
    }

    pub fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        streams.splitter(stream).push(bytes, |line| lines.push(line));
        lines.into_iter().for_each(|line| streams.report(stream, &line));
    }

    /// Ends the lines that have no end yet; returns the last lines of stderr.
    pub fn end(&self) -> Vec<String> {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(line) = streams.splitter(stream).end() {
                streams.report(stream, &line);
            }
        }
        streams.reporter.end_printed();
        streams.last.drain(..).collect()
    }
}

impl Streams {
    fn splitter(&mut self, stream: Stream) -> &mut Splitter {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn report(&mut self, stream: Stream, line: &Line) {
        let text = self.reporter.redacted_line(&line.bytes, line.dropped);
        if stream == Stream::Stderr {
            if self.last.len() == LAST_LINES {
                self.last.pop_front();
            }
            let end = text.char_indices().nth(LAST_LINE_LENGTH).map_or(text.len(), |(end, _)| end);
            self.last.push_back(if end < text.len() { format!("{}…", &text[..end]) } else { text.clone() });
        }
        self.reporter.printed(stream, text);
    }
}

/// A line without its end, and how many bytes of it were too many.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    bytes: Vec<u8>,
    dropped: u64,
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
struct Splitter {
    begun: Vec<u8>,
    dropped: u64,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8], mut whole: impl FnMut(Line)) {
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            let room = (MAX_LINE - self.begun.len()).min(part.len());
            self.begun.extend_from_slice(&part[..room]);
            self.dropped += (part.len() - room) as u64;
            if parts.peek().is_some() {
                whole(self.take());
            }
        }
    }

    /// The line without an end, if there is one.
    fn end(&mut self) -> Option<Line> {
        (!self.begun.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> Line {
        let (mut bytes, dropped) = (std::mem::take(&mut self.begun), std::mem::take(&mut self.dropped));
        if dropped == 0 && bytes.ends_with(b"\r") {
            bytes.pop();
        }
        Line { bytes, dropped }
    }
}

/// How much a step may still print.
pub(super) struct Room {
    bytes: u64,
    second: Option<Instant>,
    lines: u64,
    /// The lines that were dropped since the last one that was not.
    dropped: u64,
    has_warned: bool,
}

/// A log line without fields of the driver's own.
pub(super) type Notice = (LogLevel, String, BTreeMap<String, String>);

impl Room {
    pub(super) fn new(bytes: u64) -> Self {
        Self { bytes, second: None, lines: 0, dropped: 0, has_warned: false }
    }

    /// Whether there is room for a line of that size, and what to report before it or in its place.
    pub(super) fn admits(&mut self, size: u64, now: Instant) -> (bool, Option<Notice>) {
        if self.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            (self.second, self.lines) = (Some(now), 0);
        }
        if self.lines < LINES_A_SECOND && size <= self.bytes {
            self.lines += 1;
            self.bytes -= size;
            return (true, self.dropped_lines());
        }
        self.dropped += 1;
        let first = !std::mem::replace(&mut self.has_warned, true);
        let notice = || {
            let message = "the driver prints more than is logged; some of its lines are dropped";
            (LogLevel::Warn, message.to_owned(), BTreeMap::new())
        };
        (false, first.then(notice))
    }

    /// What to report of the lines that were dropped, if any were.
    pub(super) fn dropped_lines(&mut self) -> Option<Notice> {
        let dropped = std::mem::take(&mut self.dropped);
        let notice = || {
            let fields = [("dropped".to_owned(), dropped.to_string())].into();
            (LogLevel::Info, format!("{dropped} printed lines were dropped here"), fields)
        };
        (dropped > 0).then(notice)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lines(writes: &[&[u8]]) -> (Vec<Vec<u8>>, Option<Line>) {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        for bytes in writes {
            splitter.push(bytes, |line| lines.push(line.bytes));
        }
        (lines, splitter.end())
    }

    #[test]
    fn lines_are_cut_at_their_ends_only() {
        for (writes, expected, rest) in [
            (&[&b"a\nb\r\n\nc"[..]][..], &["a", "b", ""][..], Some("c")),
            (&[b"\xc3", b"\xa9\r", b"\n"], &["é"], None),
            (&[b"", b"a", b"b"], &[], Some("ab")),
        ] {
            let (found, end) = lines(writes);
            assert_eq!(found, expected.iter().map(|line| line.as_bytes()).collect::<Vec<_>>());
            assert_eq!(end.map(|line| line.bytes), rest.map(|rest| rest.as_bytes().to_vec()));
        }
    }

    #[test]
    fn the_rest_of_an_endless_line_is_counted_and_not_kept() {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        for _ in 0..10 {
            splitter.push(&[b'x'; MAX_LINE], |line| lines.push(line));
            assert!(splitter.begun.len() <= MAX_LINE);
        }
        splitter.push(b"\nnext\n", |line| lines.push(line));
        assert_eq!((lines[0].bytes.len(), lines[0].dropped), (MAX_LINE, 9 * MAX_LINE as u64));
        assert_eq!(lines[1], Line { bytes: b"next".to_vec(), dropped: 0 });
    }

    #[test]
    fn a_flood_is_dropped_counted_and_reported_once() {
        let begun = Instant::now();
        let mut room = Room::new(1 << 20);
        let first: Vec<_> = (0..LINES_A_SECOND + 7).map(|_| room.admits(10, begun)).collect();
        let (admitted, refused) = first.split_at(usize::try_from(LINES_A_SECOND).unwrap());
        assert!(admitted.iter().all(|answer| *answer == (true, None)));
        assert!(matches!(&refused[0], (false, Some((LogLevel::Warn, ..)))));
        assert!(refused[1..].iter().all(|answer| *answer == (false, None)));
        let (goes_on, notice) = room.admits(10, begun + Duration::from_secs(1));
        assert!(goes_on && notice.is_some_and(|(.., fields)| fields["dropped"] == "7"));
        assert!(!room.admits(1 << 20, begun + Duration::from_secs(2)).0, "more bytes than there is room for");
        assert!(room.dropped_lines().is_some() && room.dropped_lines().is_none());
    }
}
