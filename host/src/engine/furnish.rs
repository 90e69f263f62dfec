//! Prepares a step's database: attaches what the step was granted, sets limits, and locks DuckDB.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use super::buffers::{self, Buffers};
use super::databases::{self, DatabaseFile};
use super::error;
use super::ffi::{Connection, Database};
use super::partitions::MAX_OPEN_PARTITIONS;
use super::statement::Tables;
use super::{
    Batches, Cause, Engine, EngineError, OUTPUT, Result, Status, TemporaryFolder, quote_name, quote_path, quote_text,
};
use serde::{Deserialize, Serialize};

use crate::grants::limits::Limits;

/// A table of an earlier step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputTable {
    pub alias: String,
    /// Other names of the input in SQL, such as `df_extract` and `input_df`.
    pub also: Vec<String>,
    /// The schema of `alias` in SQL, if not the default one. Names in `also` have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The database file, as the path to open it by.
    pub path: PathBuf,
    pub table: String,
    /// How many rows the table must have, if others said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Whether only the checks of the step's tables read it: its driver does not know of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_reference: bool,
}

impl InputTable {
    /// The table of a file under one name, with however many rows.
    pub fn new(alias: &str, path: PathBuf, table: &str) -> Self {
        Self {
            alias: alias.to_owned(),
            also: Vec::new(),
            schema: None,
            path,
            table: table.to_owned(),
            rows: None,
            is_reference: false,
        }
    }
}

/// What a step's database contains and allows before its driver runs.
#[derive(Debug)]
pub struct Furnishing<'a> {
    /// The inputs, each with the path to open it by.
    pub inputs: &'a [InputTable],
    /// The DuckDB files whose tables the step reads or updates.
    pub databases: &'a [DatabaseFile],
    /// The database file to create.
    pub output: Option<&'a Path>,
    /// Where DuckDB may spill.
    pub spill: &'a Path,
    /// The granted files.
    pub files: &'a [PathBuf],
    /// The folder for files that the driver creates; DuckDB may open every file in it.
    pub temporary: Option<TemporaryFolder>,
    pub limits: Limits,
    /// False leaves DuckDB open to any statement, for tests of the layer below.
    pub lock: bool,
}

impl<'a> Furnishing<'a> {
    /// A locked database that reaches nothing.
    pub fn bare(spill: &'a Path, limits: Limits) -> Self {
        Self { inputs: &[], databases: &[], output: None, spill, files: &[], temporary: None, limits, lock: true }
    }
}

/// Why a step's database cannot be prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FurnishError {
    /// The file of an input has no such table.
    #[error("input `{alias}` reads table `{table}`, which its step did not write")]
    NoTable { alias: String, table: String },
    /// The table is another one than whoever made it said.
    #[error("input `{alias}` has {found} rows in table `{table}`, but whoever ran its step said {said}")]
    OtherRows { alias: String, table: String, found: u64, said: u64 },
    /// A granted file is not a DuckDB file, or not one that this version reads.
    #[error("cannot open `{name}` as a DuckDB file: {message}")]
    Database { name: String, message: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// An empty in-memory DuckDB, opened before anything untrusted is in reach.
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
        // DuckDB finishes opening at the first query.
        database.connect()?.execute("SELECT 1")?;
        Ok(Self(database))
    }

    /// Attaches what the step was granted, calls `opened` while there is still only one thread, then locks DuckDB.
    pub fn furnish(
        self,
        step: &Furnishing<'_>,
        opened: impl FnOnce() -> anyhow::Result<()>,
    ) -> std::result::Result<Engine, FurnishError> {
        let control = self.0.connect()?;
        // Needed before the first attachment, which may have to evict blocks.
        control.execute(&buffers::set_limit(step.limits.engine_memory_bytes))?;
        let secret = unguessable()?;
        let sources = attach_inputs(&control, step.inputs, &secret)?;
        let databases = databases::attach(&control, step.databases, &secret)?;
        if let Some(output) = step.output {
            control.execute(&format!("ATTACH {} AS {OUTPUT}", quote_path(output)?))?;
        }
        opened().map_err(|error| EngineError {
            message: format!("{error:#}"),
            cause: Cause::Internal,
            position: None,
        })?;
        for statement in settings(step)? {
            control.execute(&statement)?;
        }
        let connections = Arc::new(Mutex::new(vec![Arc::downgrade(&control)]));
        let buffers = Arc::new(Buffers::new(self.0.connect()?, step.limits.engine_memory_bytes));
        Ok(Engine {
            database: self.0,
            control: Mutex::new(control),
            buffers,
            connections,
            handed_out: Mutex::default(),
            created: Mutex::default(),
            tables: RwLock::new(tables(step.inputs)),
            databases,
            sources,
            has_output: step.output.is_some(),
            temporary: step.temporary.clone(),
            locked: step.lock,
            status: Status::default(),
            batches: Batches::Usual,
        })
    }
}

/// The tables that a driver's SELECT may name.
fn tables(inputs: &[InputTable]) -> Tables {
    let visible = || inputs.iter().filter(|input| !input.is_reference);
    let plain = |input: &InputTable| input.schema.is_none().then(|| input.alias.clone());
    let mut tables = Tables::new(visible().flat_map(|input| plain(input).into_iter().chain(input.also.clone())));
    for input in visible() {
        if let Some(schema) = &input.schema {
            tables.add(schema, &input.alias);
        }
    }
    tables
}

/// Opens the step's inputs, each table under its names; returns where each is.
///
/// Other tables of a file are out of reach: a driver's SELECT may only name the views, and the catalogs behind them
/// have unguessable names, so that they cannot be named by a function that takes a name as text either.
fn attach_inputs(
    control: &Arc<Connection>,
    inputs: &[InputTable],
    secret: &str,
) -> std::result::Result<Vec<(String, String)>, FurnishError> {
    let (mut catalogs, mut sources): (Vec<&Path>, _) = (Vec::new(), Vec::new());
    for input in inputs {
        let known = catalogs.iter().position(|path| *path == input.path);
        let position = known.unwrap_or(catalogs.len());
        let catalog = format!("osiris_input_{secret}_{position}");
        if known.is_none() {
            catalogs.push(&input.path);
            control.execute(&format!("ATTACH {} AS {catalog} (READ_ONLY)", quote_path(&input.path)?))?;
        }
        // A view planted in the file would run with this step's grants.
        let tables = format!(
            "SELECT count(*) FROM duckdb_tables() WHERE database_name = '{catalog}' AND schema_name = 'main' AND \
             lower(table_name) = lower({})",
            quote_text(&input.table)
        );
        if control.number(&tables)? != 1 {
            return Err(FurnishError::NoTable { alias: input.alias.clone(), table: input.table.clone() });
        }
        if let Some(said) = input.rows {
            let found = control.number(&format!("SELECT count(*) FROM {catalog}.main.{}", quote_name(&input.table)))?;
            if found != said {
                let (alias, table) = (input.alias.clone(), input.table.clone());
                return Err(FurnishError::OtherRows { alias, table, found, said });
            }
        }
        let source = format!("{catalog}.main.{}", quote_name(&input.table));
        if !input.is_reference {
            create_views(control, input, &source)?;
        }
        sources.push((input.alias.clone(), source));
    }
    Ok(sources)
}

/// Makes a table available under the names of an input.
fn create_views(control: &Arc<Connection>, input: &InputTable, source: &str) -> Result<()> {
    let alias = match &input.schema {
        None => quote_name(&input.alias),
        Some(schema) => {
            control.execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", quote_name(schema)))?;
            format!("{}.{}", quote_name(schema), quote_name(&input.alias))
        }
    };
    for name in std::iter::once(alias).chain(input.also.iter().map(|name| quote_name(name))) {
        control.execute(&format!("CREATE VIEW {name} AS FROM {source}"))?;
    }
    Ok(())
}

/// 128 random bits, in hexadecimal.
fn unguessable() -> Result<String> {
    let mut bytes = [0_u8; 16];
    let length = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    if length.is_ok_and(|length| length == bytes.len()) {
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    } else {
        Err(EngineError {
            message: "the machine gives no random bytes".to_owned(),
            cause: Cause::Internal,
            position: None,
        })
    }
}

/// The settings: limits first, and then that nothing else may be set.
fn settings(step: &Furnishing<'_>) -> Result<Vec<String>> {
    let limits = &step.limits;
    let mut statements = vec![
        format!("SET threads = {}", limits.threads.max(1)),
        format!("SET temp_directory = {}", quote_path(step.spill)?),
        format!("SET max_temp_directory_size = '{}B'", limits.spill_bytes),
        // Row groups are written to the file one at a time instead of five.
        "SET write_buffer_row_group_count = 1".to_owned(),
        // A partition gets several files only if DuckDB has to close its file meanwhile.
        format!("SET partitioned_write_max_open_files = {MAX_OPEN_PARTITIONS}"),
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
        // Only `buffers` uses it: a driver's text is always a SELECT.
        statements.push("SET allowed_configs = ['memory_limit']".to_owned());
        statements.push("SET lock_configuration = true".to_owned());
    }
    Ok(statements)
}
