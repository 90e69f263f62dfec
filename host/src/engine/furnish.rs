//! Furnishes a step's database: what it was granted is attached, limits are set, and DuckDB is locked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::buffers::{self, Buffers};
use super::error;
use super::ffi::Database;
use super::{Cause, Engine, EngineError, OUTPUT, Result, TemporaryFolder, quote_name, quote_path};
use serde::{Deserialize, Serialize};

use crate::grants::limits::Limits;

/// A table of an earlier step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputTable {
    pub alias: String,
    /// Further names that the input has in SQL, such as `df_extract` and `input_df`.
    pub also: Vec<String>,
    /// The database file, as the path to open it by.
    pub path: PathBuf,
    pub table: String,
}

/// What a step's database is furnished with before its driver runs.
#[derive(Debug)]
pub struct Furnishing<'a> {
    /// The inputs, each with the path to open it by.
    pub inputs: &'a [InputTable],
    /// The database file to create.
    pub output: Option<&'a Path>,
    /// Where DuckDB may spill.
    pub spill: &'a Path,
    /// The granted files.
    pub files: &'a [PathBuf],
    /// The folder for files that the driver makes; DuckDB may open every file in it.
    pub temporary: Option<TemporaryFolder>,
    pub limits: Limits,
    /// False leaves DuckDB open to any statement, for tests of the layer below.
    pub lock: bool,
}

/// An empty in-memory DuckDB, opened before anything untrusted is in sight.
pub struct Warm(Arc<Database>);

impl Warm {
    /// Opens DuckDB with one thread, so that every later thread inherits the process's confinement.
    pub fn open() -> Result<Self> {
        let database = Database::open_in_memory(&[
            ("threads", "1"),
            error::AS_JSON,
            ("autoinstall_known_extensions", "false"),
            ("autoload_known_extensions", "false"),
            ("allow_community_extensions", "false"),
        ])?;
        // Opening does part of its work at the first query.
        database.connect()?.execute("SELECT 1")?;
        Ok(Self(database))
    }

    /// Attaches what the step was granted, calls `opened` while there still is one thread, then locks
    /// DuckDB down.
    pub fn furnish(self, step: &Furnishing<'_>, opened: impl FnOnce() -> anyhow::Result<()>) -> Result<Engine> {
        let control = self.0.connect()?;
        for statement in attachments(step)? {
            control.execute(&statement)?;
        }
        opened().map_err(|error| EngineError { message: format!("{error:#}"), cause: Cause::Internal })?;
        for statement in settings(step)? {
            control.execute(&statement)?;
        }
        let connections = Arc::new(Mutex::new(vec![Arc::downgrade(&control)]));
        let buffers = Arc::new(Buffers::new(self.0.connect()?, step.limits.engine_memory_bytes));
        Ok(Engine {
            database: self.0,
            control,
            buffers,
            connections,
            handed_out: Mutex::default(),
            created: Mutex::default(),
            has_output: step.output.is_some(),
            temporary: step.temporary.clone(),
            locked: step.lock,
            interrupted: Arc::default(),
        })
    }
}

/// Opens the step's inputs and output.
fn attachments(step: &Furnishing<'_>) -> Result<Vec<String>> {
    // Needed by the first attachment already, which may make room.
    let mut statements = vec![buffers::set_limit(step.limits.engine_memory_bytes)];
    let mut catalogs: Vec<&Path> = Vec::new();
    for input in step.inputs {
        let known = catalogs.iter().position(|path| *path == input.path);
        let catalog = known.unwrap_or(catalogs.len());
        if known.is_none() {
            catalogs.push(&input.path);
            statements.push(format!("ATTACH {} AS osiris_input_{catalog} (READ_ONLY)", quote_path(&input.path)?));
        }
        for name in std::iter::once(&input.alias).chain(&input.also) {
            statements.push(format!(
                "CREATE VIEW {} AS FROM osiris_input_{catalog}.main.{}",
                quote_name(name),
                quote_name(&input.table)
            ));
        }
    }
    if let Some(output) = step.output {
        statements.push(format!("ATTACH {} AS {OUTPUT}", quote_path(output)?));
    }
    Ok(statements)
}

/// Sets limits, and then that nothing else may be set.
fn settings(step: &Furnishing<'_>) -> Result<Vec<String>> {
    let limits = &step.limits;
    let mut statements = vec![
        format!("SET threads = {}", limits.threads.max(1)),
        format!("SET temp_directory = {}", quote_path(step.spill)?),
        format!("SET max_temp_directory_size = '{}B'", limits.spill_bytes),
        // Rows go to the file by one row group, not by five.
        "SET write_buffer_row_group_count = 1".to_owned(),
        "SET arrow_lossless_conversion = true".to_owned(),
        "SET TimeZone = 'UTC'".to_owned(),
        "SET enable_progress_bar = true".to_owned(),
        "SET enable_progress_bar_print = false".to_owned(),
        "SET progress_bar_time = 0".to_owned(),
    ];
    if step.lock {
        let files = step.files.iter().map(|path| quote_path(path)).collect::<Result<Vec<_>>>()?;
        statements.push(format!("SET allowed_paths = [{}]", files.join(", ")));
        if let Some(temporary) = &step.temporary {
            statements.push(format!("SET allowed_directories = [{}]", quote_path(&temporary.path())?));
        }
        statements.push("SET enable_external_access = false".to_owned());
        // For `buffers` alone: whatever a driver says is a SELECT.
        statements.push("SET allowed_configs = ['memory_limit']".to_owned());
        statements.push("SET lock_configuration = true".to_owned());
    }
    Ok(statements)
}
