//! The protocol between a host and `osiris worker`: JSON lines in both directions, some of which are followed by bytes.
//! `docs/worker-protocol.md` describes it for others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read as _, Write};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Job, LogLevel, Reachable, RejectedRows};
use crate::digest::Digest;
use crate::engine::Varying;
use crate::error::Failure;
use crate::exchange::Directions;
pub use crate::exchange::StoredFile as Blob;
use crate::pipeline::expect::outcome::CheckOutcome;
use crate::pipeline::resources::Resources;
use crate::untrusted::Untrusted;

/// Raised whenever one side could misunderstand the other.
pub const PROTOCOL: u32 = 2;

/// This program's version: both sides must be the same, since a job may contain what another version does not enforce.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The longest command, in bytes: room for a job with its config and state.
const MAX_COMMAND: u64 = 64 << 20;

/// The longest answer, in bytes: room for the longest line of a step process.
const MAX_ANSWER: u64 = 17 << 20;

/// The most bytes that follow a line.
pub const MAX_CHUNK: u32 = 1 << 20;

/// How many bytes of a file are sent at once: few enough to show that a slow connection moves.
pub const PART: usize = 256 << 10;

/// The most blobs that one attempt needs.
pub const MAX_BLOBS: usize = 10_000;

/// How much room for a line is kept for the next one.
const KEPT_LINE: usize = 1 << 20;

/// What a host sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Answered by `pong`. The first command, and a sign of life afterwards. While a blob arrives, a worker gives its own
    /// signs of life: an answer to the host's would only follow what waits before it on a slow connection.
    Ping { protocol: u32, version: String },
    /// Names what an attempt needs; answered by `ready` with what is lacking.
    Prepare { attempt: u64, blobs: Vec<Blob> },
    /// A part of a blob that is lacking: `length` bytes follow, which begin at `at`.
    Blob { digest: Digest, at: u64, length: u32 },
    /// Runs the attempt; answered by any number of `log`, `metric`, `progress`, `event` and `output`, then by `complete` or
    /// `error`.
    ExecStep {
        attempt: u64,
        job: Box<Job<NamedFiles>>,
        reachable: Reachable,
        /// What a cluster places it by; a worker itself ignores it.
        #[serde(default)]
        resources: Resources,
        /// What travels through an exchange instead of this connection.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exchange: Option<Box<Through>>,
    },
    /// Ends an attempt, which is then answered by `error`.
    Kill { attempt: u64 },
    /// Ends all attempts, removes everything that the worker stored, and ends the worker; answered by `cleaned`.
    Cleanup {},
}

/// What a worker sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    Pong(Announcement),
    Ready {
        attempt: u64,
        lacks: Vec<Digest>,
    },
    Log {
        attempt: u64,
        level: LogLevel,
        message: Untrusted,
        fields: BTreeMap<Untrusted, Untrusted>,
    },
    Metric {
        attempt: u64,
        name: String,
        value: f64,
    },
    Progress {
        attempt: u64,
        done: u64,
        total: Option<u64>,
    },
    /// What came of the checks of the step's tables, in their order.
    Checks {
        attempt: u64,
        outcomes: Vec<CheckOutcome>,
    },
    Event {
        attempt: u64,
        event: Event,
    },
    /// The next part of a file: `length` bytes follow. `name` is that of a written file; without it, it is the output.
    Output {
        attempt: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        length: u32,
    },
    Complete {
        attempt: u64,
        report: Box<Completion>,
    },
    Error {
        /// None if no attempt is to blame.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u64>,
        failure: Box<Failure>,
        /// Whether a connection was made for it.
        connected: bool,
    },
    Cleaned {},
}

/// What a worker is and can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    pub protocol: u32,
    pub version: String,
    /// How many attempts it runs at once.
    pub slots: u32,
    pub cpus: u32,
    pub memory_bytes: u64,
    /// The protections that it cannot give, by their names in `osiris doctor`.
    pub missing: Vec<String>,
}

/// What happens to an attempt apart from its driver's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Its driver is being compiled.
    Compiling,
    Started,
    /// A message of its process was too long.
    MessageLost,
    /// A part of a file has come from the exchange, or gone there.
    Moved,
}

/// The result of an attempt that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// The rows of each table.
    pub tables: BTreeMap<String, u64>,
    pub rows_written: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RejectedRows>,
    /// What the step called whose answer differs from run to run; `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub varying: Option<BTreeSet<Varying>>,
    /// The files that were sent, or are in the exchange.
    pub outputs: Vec<SentFile>,
    pub connected: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub bytes: u64,
    pub digest: Digest,
}

/// The exchange that an attempt's output and written files go to, and some of its inputs come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Through {
    pub directions: Directions,
    /// The inputs that are there.
    pub inputs: Vec<Blob>,
}

/// The files of a job that travels: no path, inode or file descriptor, but what they contain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedFiles {
    /// The driver's component.
    pub driver: Digest,
    pub inputs: Vec<NamedInput>,
    /// Whether the step has an output.
    pub output: bool,
    pub read: Vec<NamedFile>,
    /// The names of the files that it may write.
    pub write: Vec<String>,
    /// The names of those that are DuckDB files.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub databases: BTreeSet<String>,
    /// The names of those in `write` that stand for a folder of partitions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub folders: BTreeSet<String>,
}

/// A table of a database file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedInput {
    pub alias: String,
    pub also: Vec<String>,
    pub data: Digest,
    pub table: String,
    /// How many rows the table must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Whether only the checks of the step's tables read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_reference: bool,
}

/// A granted file, with its name for the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedFile {
    pub name: String,
    pub content: Digest,
    /// The paths, patterns and folders of the config that stand for it, if its name is not in the config.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stands_for: Vec<String>,
}

impl NamedFiles {
    /// All blobs that it needs.
    pub fn blobs(&self) -> BTreeSet<&Digest> {
        let inputs = self.inputs.iter().map(|input| &input.data);
        inputs.chain(self.read.iter().map(|file| &file.content)).chain([&self.driver]).collect()
    }
}

/// A line that may be followed by bytes.
pub trait Line: DeserializeOwned {
    /// The most bytes that it has.
    const MOST: u64;

    /// How many bytes follow it.
    fn length(&self) -> u32;
}

impl Line for Command {
    const MOST: u64 = MAX_COMMAND;

    fn length(&self) -> u32 {
        if let Self::Blob { length, .. } = self { *length } else { 0 }
    }
}

impl Line for Answer {
    const MOST: u64 = MAX_ANSWER;

    fn length(&self) -> u32 {
        if let Self::Output { length, .. } = self { *length } else { 0 }
    }
}

/// Why nothing more can be understood.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("the connection ended in the middle of a message")]
    CutOff,
    #[error("a line is longer than {} MB", .0 >> 20)]
    TooLong(u64),
    #[error("a line cannot be understood: {0}")]
    Malformed(String),
}

/// A line that was read.
#[derive(Debug)]
pub struct Read<'a, T> {
    pub line: T,
    /// The length of the line, in bytes.
    pub size: u64,
    /// The bytes that follow it.
    pub bytes: &'a [u8],
}

/// Reads lines and the bytes that follow them.
pub struct LineReader<R> {
    input: R,
    line: Zeroizing<Vec<u8>>,
    bytes: Vec<u8>,
}

impl<R: BufRead> LineReader<R> {
    pub fn new(input: R) -> Self {
        Self { input, line: Zeroizing::default(), bytes: Vec::new() }
    }

    /// The next line, with the bytes that follow it; `None` at the end.
    ///
    /// # Errors
    /// If it is no line of the protocol: nothing after it can be understood.
    pub fn read<T: Line>(&mut self) -> Result<Option<Read<'_, T>>, WireError> {
        self.line.clear();
        self.line.shrink_to(KEPT_LINE);
        let read = (&mut self.input).take(T::MOST).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if !self.line.ends_with(b"\n") {
            return Err(if read as u64 == T::MOST { WireError::TooLong(T::MOST) } else { WireError::CutOff });
        }
        // Parts of a line may be secret: an error says where it is wrong, not what it says.
        let line: T = serde_json::from_slice(&self.line)
            .map_err(|error| WireError::Malformed(format!("{:?} at column {}", error.classify(), error.column())))?;
        let length = line.length();
        if length > MAX_CHUNK {
            return Err(WireError::Malformed(format!("{length} bytes follow it, more than {MAX_CHUNK}")));
        }
        self.bytes.resize(length as usize, 0);
        self.input.read_exact(&mut self.bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => WireError::CutOff,
            _ => WireError::Broken(error),
        })?;
        Ok(Some(Read { line, size: read as u64, bytes: &self.bytes }))
    }
}

/// Writes whole lines with their bytes; several threads may share it.
#[derive(Debug)]
pub struct LineWriter<W>(Mutex<W>);

impl<W: Write> LineWriter<W> {
    pub fn new(output: W) -> Self {
        Self(Mutex::new(output))
    }

    /// # Errors
    /// If nobody reads any more.
    pub fn send(&self, line: &impl Serialize) -> io::Result<()> {
        self.send_with(line, &[])
    }

    /// Sends a line and the bytes that follow it.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub fn send_with(&self, line: &impl Serialize, bytes: &[u8]) -> io::Result<()> {
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        serde_json::to_writer(&mut *text, line)?;
        // JSON has line breaks only between its parts, where a state may have some.
        text.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        text.push(b'\n');
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        output.write_all(&text)?;
        output.write_all(bytes)?;
        output.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(Command, Vec<u8>)>, WireError> {
        let (mut reader, mut found) = (LineReader::new(bytes), Vec::new());
        while let Some(Read { line, bytes, .. }) = reader.read::<Command>()? {
            found.push((line, bytes.to_vec()));
        }
        Ok(found)
    }

    #[test]
    fn lines_and_bytes_come_back_as_they_were_sent() {
        let mut sent = Vec::new();
        let digest = Digest::try_from(crate::digest::sha256_of(b"")).unwrap();
        let writer = LineWriter::new(&mut sent);
        let bytes = b"{\n\0}\n".as_slice();
        writer.send(&Command::Ping { protocol: PROTOCOL, version: VERSION.to_owned() }).unwrap();
        writer.send_with(&Command::Blob { digest, at: 7, length: 5 }, bytes).unwrap();
        writer.send(&Command::Cleanup {}).unwrap();
        let found = all(&sent).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[1].1, bytes);
        assert!(matches!(found[2].0, Command::Cleanup {}));
        // Wherever the connection ends, nothing is made up.
        for end in 0..sent.len() {
            match all(&sent[..end]) {
                Ok(some) => assert!(some.len() < 3),
                Err(error) => assert!(matches!(error, WireError::CutOff), "{error}"),
            }
        }
    }

    #[test]
    fn what_is_no_line_of_the_protocol_ends_it() {
        for (text, expected) in [
            ("hello\n", "a line cannot be understood: Syntax at column 1"),
            ("{\"type\":\"shell\",\"run\":\"rm\"}\n", "a line cannot be understood: Data"),
            ("{\"type\":\"kill\",\"attempt\":-1}\n", "a line cannot be understood: Data"),
            ("{\"type\":\"kill\",\"attempt\":1,\"more\":2}\n", "a line cannot be understood: Data"),
            (
                "{\"type\":\"blob\",\"digest\":\"../../etc\",\"at\":0,\"length\":1}\nx",
                "a line cannot be understood: Data",
            ),
        ] {
            let error = all(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        let digest = crate::digest::sha256_of(b"");
        let long = format!("{{\"type\":\"blob\",\"digest\":\"{digest}\",\"at\":0,\"length\":{}}}\n", MAX_CHUNK + 1);
        assert!(all(long.as_bytes()).unwrap_err().to_string().contains("more than 1048576"));
    }
}
