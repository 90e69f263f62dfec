//! What the host tells a step process and what it answers: one JSON job in, JSON lines out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    pub config: Map<String, Value>,
    pub inputs: Vec<JobInput>,
    /// An empty folder that is the step's own: its output file and what it spills.
    pub scratch: PathBuf,
    /// The database file to create, inside `scratch`; a writer has none.
    pub output: Option<PathBuf>,
    pub read_files: Vec<FileGrant>,
    pub write_files: Vec<FileGrant>,
    pub limits: Limits,
    /// Refuse to run where the kernel cannot confine the process fully.
    pub require_confinement: bool,
    /// False leaves the operating system's confinement off, for tests of the layers above it.
    pub confine: bool,
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
}

/// What one step may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub wall_seconds: u64,
    pub guest_memory_bytes: u64,
    pub engine_memory_bytes: u64,
    /// What DuckDB may spill to the step's scratch folder.
    pub spill_bytes: u64,
    pub threads: u32,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    User,
    Driver,
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
    },
    Failed(Failure),
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
