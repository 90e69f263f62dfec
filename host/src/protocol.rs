//! The protocol between the host and the processes of steps and queries: one JSON object in, JSON lines or rows out.

pub mod binding;
pub mod disturbance;
pub mod partitions;
pub mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::driver::discovery::FoundTable;
use crate::driver::spec::Kind;
use crate::engine::{InputTable, Varying};
use crate::error::Failure;
use crate::grants::credentials::Credential;
use crate::grants::endpoint::{Endpoint, HttpScope};
use crate::grants::fetch::RemoteFile;
use crate::grants::limits::Limits;
use crate::pipeline::expect::Expect;
use crate::pipeline::expect::outcome::CheckOutcome;
use crate::recordings::Exchanges;
use crate::secrets::Secrets;
use crate::untrusted::Untrusted;
use binding::JudgedStep;
use disturbance::Disturbance;

/// The table of the rows that a step rejected.
pub const REJECTED: &str = "rejected";

/// The name of the output file in a step's scratch folder.
pub const OUTPUT: &str = "output.duckdb";

/// Everything that one attempt of a step needs, as one JSON object; it is written only to the stdin of the step's process,
/// or of the worker that starts it. `Files` says where its files are: on this machine, or nowhere in particular.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job<Files = LocalFiles> {
    pub step: String,
    /// The driver's `name@version`, for messages.
    pub driver: String,
    pub kind: Kind,
    pub files: Files,
    /// The step's config without its secrets.
    pub config: Map<String, Value>,
    pub secrets: Secrets,
    pub network: NetworkGrant,
    /// The state that the step kept in its last run; `None` if it keeps no state.
    pub state: Option<PriorState>,
    /// The number of this attempt of the step, from 1.
    pub attempt: u32,
    /// Which of the driver's exports to call.
    pub call: Call,
    /// How many instances of the driver share the work.
    pub instances: u32,
    /// How many rows the step may reject; they are stored in its output, so a writer has one then.
    #[serde(default)]
    pub rejects: u32,
    /// What is expected of the step's tables.
    #[serde(default, skip_serializing_if = "Expect::is_empty")]
    pub expect: Expect,
    pub limits: Limits,
    /// Refuse to run if the kernel cannot confine the process fully.
    pub require_confinement: bool,
    /// How the conformance kit disturbs the step; nothing else does.
    #[serde(default)]
    pub disturbance: Disturbance,
    /// What becomes of the step's HTTP requests.
    #[serde(default)]
    pub exchanges: Exchanges,
    /// What the tables of the guest's language are hashed with: the same in each run of a step, and no secret.
    #[serde(default)]
    pub hash_seed: u64,
}

/// The files of a job on the machine where its step runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalFiles {
    /// The compiled component; none where the step does not run.
    pub compiled: Option<PathBuf>,
    pub inputs: Vec<InputTable>,
    /// An empty folder that belongs to the step, for its output file and for spilled data.
    pub scratch: PathBuf,
    /// The database file to create, inside `scratch`; a writer that may not reject rows has none.
    pub output: Option<PathBuf>,
    pub read: Vec<FileGrant>,
    pub write: Vec<FileGrant>,
    /// The names of those that are DuckDB files, whose tables are used. One in `write` is a file to update; one of the same
    /// name in `read` is its present content.
    #[serde(default)]
    pub databases: BTreeSet<String>,
    /// The names of those in `write` that stand for a folder of partitions: such a file is as [`partitions::Index`] says.
    #[serde(default)]
    pub folders: BTreeSet<String>,
}

impl<Files> Job<Files> {
    /// The same job with its files elsewhere.
    pub fn with_files<Elsewhere>(self, files: Elsewhere) -> Job<Elsewhere> {
        Job {
            files,
            step: self.step,
            driver: self.driver,
            kind: self.kind,
            config: self.config,
            secrets: self.secrets,
            network: self.network,
            state: self.state,
            attempt: self.attempt,
            call: self.call,
            instances: self.instances,
            rejects: self.rejects,
            expect: self.expect,
            limits: self.limits,
            require_confinement: self.require_confinement,
            disturbance: self.disturbance,
            exchanges: self.exchanges,
            hash_seed: self.hash_seed,
        }
    }
}

/// Which export of a driver a step process calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// The export of its kind.
    #[default]
    Run,
    Discover,
    Check,
}

/// What the step may reach over the network. Its process makes no connection: it asks the host, which checks again and
/// passes the open stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkGrant {
    pub connect: Vec<Endpoint>,
    pub http: Vec<HttpScope>,
    /// The files that the step process fetches for its driver.
    #[serde(default)]
    pub fetch: Vec<RemoteFile>,
    /// Trusted roots as PEM, which replace the machine's own.
    pub roots: Vec<String>,
    /// The file with the machine's trusted roots, if the operator named one in `SSL_CERT_FILE`.
    pub roots_file: Option<PathBuf>,
    /// Whether each connection must be encrypted, to a server that proved its identity.
    #[serde(default)]
    pub verified_tls: bool,
    /// What the step process adds to requests.
    #[serde(default)]
    pub credentials: Vec<Credential>,
    /// The JSON pointers of secrets that the driver does not get, because only requests carry them.
    #[serde(default)]
    pub withheld: BTreeSet<String>,
}

impl NetworkGrant {
    pub fn is_empty(&self) -> bool {
        self.connect.is_empty() && self.http.is_empty() && self.fetch.is_empty()
    }

    /// Every endpoint that may be connected to, by any protocol.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let fetched = self.fetch.iter().map(|file| &file.scope);
        self.connect.iter().chain(self.http.iter().chain(fetched).map(|scope| &scope.endpoint))
    }
}

/// What a step may connect to, for whoever connects for it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reachable {
    pub endpoints: Vec<Endpoint>,
    /// Hosts that may be in a private network.
    pub private_hosts: BTreeSet<String>,
}

/// The state that a step kept in its last run: a JSON value, or nothing yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorState {
    pub value: Option<String>,
}

/// The first bytes on a step process's stdin. Until they arrive the process changes nothing, so that its host can open
/// its files in `/proc`.
pub const SEEN: &[u8] = b"\n";

/// A step process's request for a connection: one line on the socket that is its stdin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Counted from 1 by the process; the reply has the same number.
    pub number: u64,
    pub host: String,
    pub port: u16,
    pub timeout_ms: u32,
}

/// The host's reply to the request of that number: one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    pub number: u64,
    pub answer: AskAnswer,
}

/// The host's answer; `Connected` is accompanied by the open stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskAnswer {
    Connected,
    /// It was not granted, or leads to an address that is not allowed.
    Denied(String),
    /// Nothing answers there at present.
    Unreachable(String),
    TimedOut(String),
}

/// One file outside the session that the step may open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileGrant {
    /// The path as the config has it, or that of a match, below the base folder; the driver requests the file by this name.
    pub name: String,
    /// The file to open: absolute, resolved once by the host. For writing, an empty file beside the target.
    pub path: PathBuf,
    /// Device and inode of the file that the host found; a different file is refused.
    pub identity: (u64, u64),
    /// The paths, patterns and folders of the config that stand for the file, if its name is not in the config.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stands_for: Vec<String>,
}

/// The job of a process that reads a step's tables, written to its stdin as one JSON object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    pub tables: Vec<InputTable>,
    pub question: Question,
    pub limits: Limits,
    /// Refuse to run if the kernel cannot confine the process fully.
    pub require_confinement: bool,
}

/// What a process that reads a step's tables prints.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The rows of one SELECT. A table is at most as wide as `width`, in columns of the terminal; `total` is how many rows
    /// there are, of which the SELECT shows the first.
    Select { sql: String, format: Format, width: Option<u16>, total: Option<u64> },
    /// Everything: for each table a [`TableContents`] on a line, then its first `most_rows` rows, each as a JSON object on a
    /// line.
    Contents { most_rows: u64 },
    /// What is wrong with the checks and the SQL of steps: a [`Judgement`](binding::Judgement) for each finding, as a JSON object on
    /// a line.
    Judge { steps: Vec<JudgedStep> },
}

/// What a table contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableContents {
    pub table: String,
    /// Names and types, as DuckDB spells them.
    pub columns: Vec<(String, String)>,
    pub rows: u64,
    /// Equal for equal rows, whatever their order.
    pub digest: String,
    /// How many of its rows follow.
    pub shown: u64,
}

/// The output format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people
    Table,
    /// Comma-separated, with a header
    Csv,
    /// One JSON object per line
    Json,
    /// A Parquet file
    Parquet,
    /// An Arrow IPC file; to a pipe, an Arrow IPC stream
    Arrow,
    #[value(skip)]
    ArrowStream,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl LogLevel {
    /// Whether the user sees such a line at once.
    pub fn is_shown(self) -> bool {
        matches!(self, Self::Warn | Self::Error)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// One line of a step process's stdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// The process has warmed up and waits for its job.
    Ready,
    Log {
        level: LogLevel,
        message: Untrusted,
        fields: BTreeMap<Untrusted, Untrusted>,
    },
    Metric {
        name: String,
        value: f64,
    },
    Progress {
        done: u64,
        total: Option<u64>,
    },
    /// What came of the checks of the step's tables, in their order.
    Checks {
        outcomes: Vec<CheckOutcome>,
    },
    /// What the conformance kit asked for: the driver's calls that can fail, in order, and the most memory that it had.
    Observed {
        calls: Vec<String>,
        guest_memory_bytes: u64,
    },
    /// A request of a step that is recorded or replayed: a [`Seen`](crate::recordings::Seen) as JSON text.
    Exchange {
        seen: String,
    },
    /// The output is complete, flushed and closed. `tables` contains its rows per table, counted by the host;
    /// `rows_written` counts what a writer delivered.
    Complete {
        tables: BTreeMap<String, u64>,
        rows_written: u64,
        /// The granted files that the driver created, by their names in the config.
        #[serde(default)]
        files: Vec<String>,
        /// The state that the step wants to keep for its next run, as JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<String>,
        /// What was rejected, if anything was; `tables` contains the rows themselves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rejected: Option<RejectedRows>,
        /// What the step called whose answer differs from run to run; `None` if that is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        varying: Option<BTreeSet<Varying>>,
    },
    /// The tables that the driver's connection leads to, or some of them.
    Discovered {
        tables: Vec<FoundTable>,
    },
    /// The driver's connection works; the message says what answered.
    Checked {
        message: Untrusted,
    },
    Failed(Failure),
}

/// The rows that a step rejected, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectedRows {
    pub rows: u64,
    pub first_reason: Untrusted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_process_logs_at_the_known_levels_only() {
        let line = |level: &str| format!(r#"{{"type":"log","level":"{level}","message":"m","fields":{{}}}}"#);
        for level in [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error] {
            let message = Message::Log { level, message: "m".into(), fields: BTreeMap::new() };
            assert_eq!(serde_json::from_str::<Message>(&line(&level.to_string())).ok(), Some(message));
        }
        // The journal does not redact levels, so none may carry a text.
        assert!(serde_json::from_str::<Message>(&line("correct-horse")).is_err());
    }
}
