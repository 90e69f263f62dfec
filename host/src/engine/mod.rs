//! The one place that opens DuckDB: a step's inputs, its output and its granted files, and nothing else.

mod buffers;
mod ffi;
mod logical_type;
mod statement;
mod table_writer;
mod temporary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use duckdb::arrow::array::ArrayData;
use duckdb::arrow::array::cast::AsArray;
use duckdb::arrow::array::make_array;
use duckdb::arrow::datatypes::DataType;

use crate::columns::{self, DUCKDB_TYPE, Field};
use crate::grants::limits::Limits;
use crate::protocol::JobInput;
use buffers::Buffers;
use ffi::{Appender, Connection, ConvertedSchema, Database, Rows, Statement};
pub use table_writer::TableWriter;
pub use temporary::{TemporaryFile, TemporaryFolder, WriteError};

/// The catalog name of the step's output. Guests cannot name it: their text is only ever a SELECT.
const OUTPUT: &str = "osiris_output";

/// An error in DuckDB's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    pub message: String,
    pub cause: Cause,
}

/// What kind of trouble DuckDB reports, as far as its message's first words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The statement itself: syntax, names, types.
    Statement,
    /// Something the step may not do.
    Denied,
    /// A file, table or column that is not there.
    NotFound,
    /// Values that do not fit.
    Data,
    /// The memory limit.
    Memory,
    /// Stopped from outside.
    Interrupted,
    /// Anything else.
    Internal,
}

impl EngineError {
    fn new(message: impl AsRef<str>) -> Self {
        let message = message.as_ref();
        let cause = match message.split_once(" Error").map_or("", |(first, _)| first) {
            "Parser" | "Syntax" | "Binder" | "Catalog" | "Not implemented" => Cause::Statement,
            "Permission" => Cause::Denied,
            "IO" if message.contains("No files found") || message.contains("No such file") => Cause::NotFound,
            "IO" if message.contains(" is not a ") => Cause::Data,
            "Out of Memory" => Cause::Memory,
            "INTERRUPT" => Cause::Interrupted,
            "Conversion" | "Invalid Input" | "Out of Range" | "Constraint" | "Mismatch Type" => Cause::Data,
            _ => Cause::Internal,
        };
        Self { message: message.trim().to_owned(), cause }
    }

    fn refused(what: impl Into<String>) -> Self {
        Self { message: format!("the driver's SQL was refused: {}", what.into()), cause: Cause::Statement }
    }

    fn data(message: impl Into<String>) -> Self {
        Self { message: message.into(), cause: Cause::Data }
    }

    fn arrow(error: duckdb::arrow::error::ArrowError) -> Self {
        Self { message: format!("cannot read DuckDB's columns as Arrow: {error}"), cause: Cause::Internal }
    }
}

type Result<T> = std::result::Result<T, EngineError>;

/// A name as SQL quotes it.
pub fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a SQL literal.
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A path as a SQL literal; paths that are not UTF-8 are refused.
fn quote_path(path: &Path) -> Result<String> {
    path.to_str()
        .map(quote_text)
        .ok_or_else(|| EngineError::data(format!("path {} is not valid UTF-8", path.display())))
}

/// What a step's database is furnished with before its driver runs.
#[derive(Debug)]
pub struct Furnishing<'a> {
    /// The inputs, each with the path to open it by.
    pub inputs: &'a [JobInput],
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

/// A step's database, furnished and locked.
pub struct Engine {
    database: Arc<Database>,
    /// The connection that was there before the lock: the only one on which DuckDB tells how far a
    /// statement is, since that is a setting of a connection.
    control: Arc<Connection>,
    buffers: Arc<Buffers>,
    connections: Arc<Mutex<Vec<Weak<Connection>>>>,
    /// DuckDB types named to the guest in metadata, each with the type its values cross in.
    handed_out: Mutex<BTreeMap<String, String>>,
    /// The columns of each output table, as they were declared.
    created: Mutex<BTreeMap<String, Vec<String>>>,
    has_output: bool,
    temporary: Option<TemporaryFolder>,
    locked: bool,
    interrupted: Arc<AtomicBool>,
}

/// Stops every running query of a step, and what its driver is writing, from any thread.
#[derive(Clone)]
pub struct Interrupter {
    connections: Arc<Mutex<Vec<Weak<Connection>>>>,
    interrupted: Arc<AtomicBool>,
}

impl Interrupter {
    fn live(&self) -> Vec<Arc<Connection>> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.iter().filter_map(Weak::upgrade).collect()
    }

    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        self.live().iter().for_each(|connection| connection.interrupt());
    }

    /// Rows done and to do of the running queries together.
    pub fn progress(&self) -> (u64, u64) {
        self.live()
            .iter()
            .map(|connection| connection.progress())
            .fold((0, 0), |sum, one| (sum.0.saturating_add(one.0), sum.1.saturating_add(one.1)))
    }
}

impl Engine {
    pub fn interrupter(&self) -> Interrupter {
        Interrupter { connections: Arc::clone(&self.connections), interrupted: Arc::clone(&self.interrupted) }
    }

    /// The folder for files that the driver makes.
    pub fn temporary_folder(&self) -> Option<&TemporaryFolder> {
        self.temporary.as_ref()
    }

    /// A connection of its own for each query, so that readers do not disturb one another.
    fn connect(&self) -> Result<Arc<Connection>> {
        let connection = self.database.connect()?;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(&connection));
        Ok(connection)
    }

    /// Prepares a driver's SELECT, if a driver may run it.
    fn prepare(&self, connection: &Arc<Connection>, select: &str) -> Result<Statement> {
        let statement = connection.prepare_select(select)?;
        if self.locked {
            // A PRAGMA becomes a SELECT before it is prepared; DuckDB's parser alone knows what was written.
            let serialize = format!("SELECT CAST(json_serialize_sql({}) AS VARCHAR)", quote_text(select));
            let tree = connection.first_column(&serialize)?;
            let tree = tree.as_ref().map(|tree| tree.as_string::<i32>().value(0)).unwrap_or_default();
            statement::check(tree).map_err(EngineError::refused)?;
        }
        Ok(statement)
    }

    /// How many rows an input or an output table has.
    fn count(&self, from: &str) -> Result<u64> {
        self.control.number(&format!("SELECT count(*) FROM {from}"))
    }

    pub fn input_rows(&self, alias: &str) -> Result<u64> {
        self.count(&quote_name(alias))
    }

    /// The columns of a SELECT as they would cross.
    pub fn schema(&self, select: &str) -> Result<Vec<Field>> {
        Ok(self.query(&format!("FROM ({select}) LIMIT 0"))?.fields)
    }

    /// The names of a SELECT's columns.
    pub fn column_names(&self, select: &str) -> Result<Vec<String>> {
        Ok(self.prepare(&self.connect()?, select)?.columns().into_iter().map(|(name, _)| name).collect())
    }

    /// Runs one SELECT, giving its rows as columns.
    pub fn query(&self, select: &str) -> Result<Query> {
        let connection = self.connect()?;
        if !self.locked && connection.prepare_select(select).is_err() {
            connection.execute(select)?;
            return self.start(connection.prepare_select("SELECT true AS done")?.stream()?, None);
        }
        let statement = self.prepare(&connection, select)?;
        let mut casts = Vec::new();
        let mut named = BTreeMap::new();
        for (position, (name, kind)) in statement.columns().into_iter().enumerate() {
            let crossing = kind.crossing_sql().map_err(|refused| cannot_cross(&name, &refused.0))?;
            let own = kind.sql().map_err(|refused| cannot_cross(&name, &refused.0))?;
            if own == crossing {
                casts.push(format!("c{position}"));
            } else {
                casts.push(format!("CAST(c{position} AS {crossing}) AS c{position}"));
                named.insert(position, (name.clone(), own.clone()));
                self.handed_out.lock().unwrap_or_else(PoisonError::into_inner).insert(own, crossing);
            }
        }
        if named.is_empty() {
            return self.start(statement.stream()?, None);
        }
        // Names inside the view are positions, so that no hostile or doubled name can matter.
        let names: Vec<String> = statement.columns().into_iter().map(|(name, _)| name).collect();
        drop(statement);
        let view = format!("osiris_query_{:p}", Arc::as_ptr(&connection));
        let columns: Vec<String> = (0..names.len()).map(|position| format!("c{position}")).collect();
        connection.execute(&format!("CREATE TEMP VIEW {view} ({}) AS {select}", columns.join(", ")))?;
        let crossing = connection.prepare_select(&format!("SELECT {} FROM {view}", casts.join(", ")))?;
        self.start(crossing.stream()?, Some((names, named)))
    }

    fn start(&self, mut rows: Rows, renaming: Option<Renaming>) -> Result<Query> {
        let refused = |refused: columns::Refused| EngineError::data(refused.0);
        let mut fields = columns::flatten_schema(&rows.schema()?).map_err(refused)?;
        if let Some((names, named)) = renaming {
            for (column, position) in columns::column_positions(&fields).map_err(refused)?.into_iter().enumerate() {
                fields[position].name.clone_from(&names[column]);
                if let Some((_, own)) = named.get(&column) {
                    fields[position].metadata.push((DUCKDB_TYPE.to_owned(), own.clone()));
                }
            }
        }
        Ok(Query { fields, rows: Some(rows), buffers: Arc::clone(&self.buffers) })
    }

    /// Reads every value of an output table as text, as whoever opens the file could; for tests.
    ///
    /// # Errors
    /// When a value cannot be read.
    #[doc(hidden)]
    pub fn read_back(&self, table: &str) -> Result<u64> {
        self.count(&format!(
            "(SELECT to_json(t) AS j FROM {OUTPUT}.main.{} t) WHERE length(j::VARCHAR) >= 0",
            quote_name(table)
        ))
    }

    /// Creates a table of the output from one SELECT; says how many rows it has.
    pub fn create_table_as(&self, name: &str, select: &str) -> Result<u64> {
        self.check_table_name(name)?;
        let connection = &self.control;
        for (column, kind) in self.prepare(connection, select)?.columns() {
            kind.crossing_sql().map_err(|refused| cannot_cross(&column, &refused.0))?;
        }
        let table = format!("{OUTPUT}.main.{}", quote_name(name));
        connection.execute(&format!("CREATE TABLE {table} AS {select}"))?;
        self.count(&table)
    }

    /// Creates a table of the output with the columns that a guest describes, and opens it.
    ///
    /// With `joins`, a table that is there already is opened instead, if it has the same columns.
    pub fn create_table(&self, name: &str, fields: &[Field], joins: bool) -> Result<TableWriter> {
        self.check_table_name(name)?;
        let data = |refused: columns::Refused| EngineError::data(format!("table `{name}`: {refused}"));
        let connection = self.connect()?;
        let mut schema = columns::build_schema(fields).map_err(data)?;
        let data_type = DataType::try_from(&schema).map_err(EngineError::arrow)?;
        let positions = columns::column_positions(fields).map_err(data)?;
        if positions.is_empty() {
            return Err(EngineError::data(format!("table `{name}` has no columns")));
        }
        let converted = ConvertedSchema::new(&connection, &mut schema)?;
        let empty = converted.chunk(&ArrayData::new_empty(&data_type))?;
        let mut definitions = Vec::new();
        for (position, kind) in positions.into_iter().zip(empty.types()) {
            let field = &fields[position];
            let crossing = kind.sql().map_err(|refused| cannot_cross(&field.name, &refused.0))?;
            let own = self.declared_type(field, &crossing)?;
            definitions.push(format!("{} {own}", quote_name(&field.name)));
        }
        let table = quote_name(name);
        let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        match created.get(name) {
            Some(there) if joins && *there == definitions => {}
            Some(_) if joins => {
                return Err(EngineError::data(format!(
                    "table `{name}` was created with other columns by another instance"
                )));
            }
            _ => {
                connection.execute(&format!("CREATE TABLE {OUTPUT}.main.{table} ({})", definitions.join(", ")))?;
            }
        }
        created.insert(name.to_owned(), definitions);
        drop(created);
        // One transaction, so that rows go to the file as they come and not through the log first.
        connection.execute("BEGIN TRANSACTION")?;
        let appender = Appender::new(&connection, OUTPUT, name)?;
        Ok(TableWriter {
            name: name.to_owned(),
            connection,
            appender,
            converted,
            data_type,
            buffers: Arc::clone(&self.buffers),
            interrupted: Arc::clone(&self.interrupted),
            fields: fields.to_vec(),
            rows: 0,
        })
    }

    /// The DuckDB type of a guest's column. Metadata may name one only if the host named it to the
    /// guest before, so that no text of a guest's becomes part of a statement.
    fn declared_type(&self, field: &Field, crossing: &str) -> Result<String> {
        let Some((_, own)) = field.metadata.iter().find(|(name, _)| name == DUCKDB_TYPE) else {
            return Ok(crossing.to_owned());
        };
        match self.handed_out.lock().unwrap_or_else(PoisonError::into_inner).get(own) {
            Some(expected) if expected == crossing => Ok(own.clone()),
            Some(expected) => Err(EngineError::data(format!(
                "column `{}` says it is DuckDB's {own}, whose values cross as {expected}, but has values of {crossing}",
                field.name
            ))),
            None => Err(EngineError::data(format!(
                "column `{}` names a `{DUCKDB_TYPE}` that none of the step's columns has",
                field.name
            ))),
        }
    }

    fn check_table_name(&self, name: &str) -> Result<()> {
        if !self.has_output {
            return Err(EngineError::refused("a writer has no output to create tables in"));
        }
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            return Err(EngineError::data(format!(
                "table name {name:?} is not usable: give 1 to 255 characters, none of them a control character"
            )));
        }
        Ok(())
    }

    /// Writes the rows of one SELECT to a granted file by DuckDB's own writer.
    pub fn copy(&self, select: &str, path: &Path, format: &str, options: &[(String, String)]) -> Result<u64> {
        let connection = &self.control;
        drop(self.prepare(connection, select)?);
        let view = "osiris_copy";
        connection.execute(&format!("CREATE OR REPLACE TEMP VIEW {view} AS {select}"))?;
        let mut settings = vec![format!("FORMAT {format}"), "USE_TMP_FILE false".to_owned()];
        for (name, value) in options {
            settings.push(copy_option(name, value)?);
        }
        connection.execute(&format!("COPY (FROM {view}) TO {} ({})", quote_path(path)?, settings.join(", ")))
    }

    /// Closes the output, whole and on disk, and says what tables it has with how many rows.
    pub fn finish(&self) -> Result<BTreeMap<String, u64>> {
        if !self.has_output {
            return Ok(BTreeMap::new());
        }
        let mut tables = BTreeMap::new();
        for name in self.output_tables()? {
            let rows = self.count(&format!("{OUTPUT}.main.{}", quote_name(&name)))?;
            tables.insert(name, rows);
        }
        self.control.execute(&format!("CHECKPOINT {OUTPUT}"))?;
        self.control.execute(&format!("DETACH {OUTPUT}"))?;
        Ok(tables)
    }

    fn output_tables(&self) -> Result<Vec<String>> {
        let select = format!("SELECT table_name FROM duckdb_tables() WHERE database_name = '{OUTPUT}' ORDER BY 1");
        let mut rows = self.control.prepare_select(&select)?.stream()?;
        let mut names = Vec::new();
        while let Some(batch) = rows.next()? {
            let Some(column) = batch.child_data().first().cloned().map(make_array) else { break };
            names.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
        }
        Ok(names)
    }
}

/// One option of COPY. Its name is a word and its value a literal, whatever the guest wrote.
fn copy_option(name: &str, value: &str) -> Result<String> {
    const KNOWN: [&str; 15] = [
        "delimiter",
        "header",
        "quote",
        "escape",
        "nullstr",
        "force_quote",
        "dateformat",
        "timestampformat",
        "compression",
        "compression_level",
        "row_group_size",
        "row_group_size_bytes",
        "array",
        "parquet_version",
        "kv_metadata",
    ];
    let name = name.to_lowercase();
    if !KNOWN.contains(&name.as_str()) {
        return Err(EngineError::refused(format!("unknown COPY option `{name}`; known: {}", KNOWN.join(", "))));
    }
    let value = match value {
        "*" if name == "force_quote" => "*".to_owned(),
        _ if name == "force_quote" => format!("({})", quote_name(value)),
        // One entry of a Parquet file's metadata, as `key=text`.
        _ if name == "kv_metadata" => {
            let (key, text) = value
                .split_once('=')
                .ok_or_else(|| EngineError::refused(format!("the COPY option `{name}` takes `key=text`")))?;
            format!("{{{}: {}}}", quote_name(key), quote_text(text))
        }
        _ => quote_text(value),
    };
    Ok(format!("{name} {value}"))
}

fn cannot_cross(column: &str, kind: &str) -> EngineError {
    EngineError::data(format!(
        "column `{column}` has type {kind}, which cannot pass from step to step; cast it in SQL, or leave it out"
    ))
}

/// A running SELECT.
pub struct Query {
    pub fields: Vec<Field>,
    /// `None` after the last row: DuckDB must not be asked again.
    rows: Option<Rows>,
    buffers: Arc<Buffers>,
}

/// The real names of a query's columns, and the own types of those that cross in another.
type Renaming = (Vec<String>, BTreeMap<usize, (String, String)>);

impl Query {
    /// The next rows, as a struct array with a child a column.
    pub fn next_batch(&mut self) -> Result<Option<ArrayData>> {
        let Some(rows) = &mut self.rows else { return Ok(None) };
        let batch = rows.next()?;
        match &batch {
            Some(batch) => self.buffers.pass(batch)?,
            None => self.rows = None,
        }
        Ok(batch)
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
