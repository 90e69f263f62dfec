//! What the host tells a step process and what it answers: one JSON job in, JSON lines out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::endpoint::{Endpoint, HttpScope};
use crate::secret::Secrets;

/// The three kinds of driver, after the worlds of `osiris:driver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Extractor,
    Processor,
    Writer,
}

/// Everything one step process needs; written to its stdin, and nowhere else, as one JSON object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    pub step: String,
    /// `name@version` of the driver, for messages.
    pub driver: String,
    pub kind: Kind,
    /// The compiled component.
    pub compiled: PathBuf,
    /// The step's config without its secrets.
    pub config: Map<String, Value>,
    pub secrets: Secrets,
    pub inputs: Vec<JobInput>,
    /// An empty folder that is the step's own: its output file and what it spills.
    pub scratch: PathBuf,
    /// The database file to create, inside `scratch`; a writer has none.
    pub output: Option<PathBuf>,
    pub read_files: Vec<FileGrant>,
    pub write_files: Vec<FileGrant>,
    pub network: Network,
    /// What the step keeps between runs; none where its driver does not want to.
    pub state: Option<Kept>,
    /// Which of the driver's exports to call.
    pub call: Call,
    /// How many instances of the driver share the work.
    pub instances: u32,
    pub limits: Limits,
    /// Refuse to run where the kernel cannot confine the process fully.
    pub require_confinement: bool,
    pub layers: Layers,
}

/// Which layers of the sandbox are on. All are, but in tests that look at one of them alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// DuckDB is locked, and takes nothing but SELECTs.
    pub engine: bool,
    /// The operating system confines the process.
    pub system: bool,
}

impl Default for Layers {
    fn default() -> Self {
        Self { engine: true, system: true }
    }
}

/// Which export of a driver a step process calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// The one of its kind.
    #[default]
    Run,
    Discover,
    Check,
}

/// What the step may reach over the network. Its process makes no connection: it asks the host,
/// which checks again and hands over the open stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    pub connect: Vec<Endpoint>,
    pub http: Vec<HttpScope>,
    /// Trusted roots as PEM, in place of the machine's own.
    pub roots: Vec<String>,
    /// The machine's trusted roots as the operator named them in `SSL_CERT_FILE`.
    pub roots_file: Option<PathBuf>,
}

impl Network {
    pub fn is_empty(&self) -> bool {
        self.connect.is_empty() && self.http.is_empty()
    }

    /// Every host and port that may be connected to, by whatever protocol.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.connect.iter().chain(self.http.iter().map(|scope| &scope.endpoint))
    }
}

/// The largest state that a step may keep, in bytes.
pub const MAX_STATE_BYTES: usize = 1 << 20;

/// What a step kept in its last run: a JSON value, or nothing yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    pub value: Option<String>,
}

/// A step process asks for a connection, with one line on its stdin's socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub host: String,
    pub port: u16,
    pub timeout_ms: u32,
}

/// The host's answer, a line; with `Connected` comes the open stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskAnswer {
    Connected,
    /// It was not granted, or leads where no connection may.
    Denied(String),
    /// Nobody answers there now.
    Unreachable(String),
    TimedOut(String),
}

/// A table of an earlier step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobInput {
    pub alias: String,
    /// Further names that the input has in SQL, such as `df_extract` and `input_df`.
    pub also: Vec<String>,
    /// The database file.
    pub path: PathBuf,
    pub table: String,
}

/// One file outside the session that the step may open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileGrant {
    /// The path as the config has it, by which the driver asks.
    pub name: String,
    /// The file to open: absolute, resolved once by the host. For writing, an empty file beside the target.
    pub path: PathBuf,
    /// Device and inode of the file that was found there; another one is refused.
    pub identity: (u64, u64),
}

/// What one step may use up. Every limit is a number: there is no unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub wall_seconds: u64,
    pub cpu_seconds: u64,
    pub guest_memory_bytes: u64,
    pub engine_memory_bytes: u64,
    /// The size of the step's output, and of each file that it writes.
    pub output_bytes: u64,
    /// What DuckDB may spill to the step's scratch folder.
    pub spill_bytes: u64,
    /// What may go over the step's connections, both ways together.
    pub network_bytes: u64,
    /// What the driver may log, in bytes.
    pub log_bytes: u64,
    /// Readers that the driver may have open at once.
    pub readers: u32,
    pub threads: u32,
}

impl Limits {
    /// What a step may use up unless someone says otherwise.
    pub const DEFAULT: Self = Self {
        wall_seconds: 3600,
        cpu_seconds: 14_400,
        guest_memory_bytes: 512_000_000,
        engine_memory_bytes: 2_000_000_000,
        output_bytes: 100_000_000_000,
        spill_bytes: 100_000_000_000,
        network_bytes: 100_000_000_000,
        log_bytes: 16_000_000,
        readers: 64,
        threads: 1,
    };

    /// The lower of each two limits.
    #[must_use]
    pub fn within(self, ceiling: &Self) -> Self {
        Self {
            wall_seconds: self.wall_seconds.min(ceiling.wall_seconds),
            cpu_seconds: self.cpu_seconds.min(ceiling.cpu_seconds),
            guest_memory_bytes: self.guest_memory_bytes.min(ceiling.guest_memory_bytes),
            engine_memory_bytes: self.engine_memory_bytes.min(ceiling.engine_memory_bytes),
            output_bytes: self.output_bytes.min(ceiling.output_bytes),
            spill_bytes: self.spill_bytes.min(ceiling.spill_bytes),
            network_bytes: self.network_bytes.min(ceiling.network_bytes),
            log_bytes: self.log_bytes.min(ceiling.log_bytes),
            readers: self.readers.min(ceiling.readers),
            threads: self.threads.min(ceiling.threads),
        }
    }

    /// The limits in plain words.
    pub fn words(&self) -> String {
        let size = crate::size::spell;
        format!(
            "has at most {} s, {} s of CPU time on {} threads, {} of memory for its driver and {} for DuckDB, {} of output, \
             {} of spill, {} over the network, {} of logs, {} readers",
            self.wall_seconds,
            self.cpu_seconds,
            self.threads,
            size(self.guest_memory_bytes),
            size(self.engine_memory_bytes),
            size(self.output_bytes),
            size(self.spill_bytes),
            size(self.network_bytes),
            size(self.log_bytes),
            self.readers
        )
    }

    /// What the step's scratch folder may take up: output and spill, and room for what DuckDB writes
    /// beside them.
    pub fn scratch_bytes(&self) -> u64 {
        self.output_bytes.saturating_add(self.spill_bytes).saturating_add(64 << 20)
    }

    /// What the whole process may hold in memory: guest and engine, and room for the program itself.
    pub fn resident_bytes(&self) -> u64 {
        self.guest_memory_bytes.saturating_add(self.engine_memory_bytes).saturating_add(1 << 30)
    }
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    User,
    Driver,
    /// The system that the driver speaks to.
    Remote,
    Host,
}

/// One line of a step process's stdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// The process is warm and waits for its job.
    Ready,
    Log {
        level: String,
        message: String,
        fields: BTreeMap<String, String>,
    },
    Metric {
        name: String,
        value: f64,
    },
    Progress {
        done: u64,
        total: Option<u64>,
    },
    /// The output is whole, on disk and closed. `tables` holds its rows by table, counted by the
    /// host; `rows_written` counts what a writer delivered.
    Complete {
        tables: BTreeMap<String, u64>,
        rows_written: u64,
        /// The granted files that the driver created, by the names that the config has.
        #[serde(default)]
        files: Vec<String>,
        /// What the step wants to keep for its next run, as JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<String>,
    },
    /// What the driver's connection leads to, or a part of it.
    Discovered {
        tables: Vec<FoundTable>,
    },
    /// The driver's connection works; the message says what answered.
    Checked {
        message: String,
    },
    Failed(Failure),
}

/// A table of another system, as `osiris discover` shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FoundTable {
    pub schema: Option<String>,
    pub name: String,
    pub columns: Vec<FoundColumn>,
    pub primary_key: Vec<String>,
    pub estimated_rows: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FoundColumn {
    pub name: String,
    /// The type as the system itself calls it.
    pub source_type: String,
    /// The DuckDB type that the driver makes of it.
    pub duckdb_type: String,
    pub nullable: bool,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub blame: Blame,
    /// The contract's error kind, such as `config`, or `trap`, `timeout`, `memory`, `killed`.
    pub kind: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
