//! The files that a driver reads: those that its paths, patterns and folders stand for, without those that an earlier run read.

use std::collections::{BTreeMap, BTreeSet};

use osiris_sdk::sql::{self, quote_name};
use osiris_sdk::{Error, Output, Result, context, files, state};
use serde::{Deserialize, Serialize};

/// The option `path`: a file, a pattern or a folder, or a list of these.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Paths {
    One(String),
    Several(Vec<String>),
}

impl Paths {
    fn all(&self) -> &[String] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }
}

impl std::fmt::Display for Paths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.all().join("`, `"))
    }
}

/// The option `on_changed_file`: what to do about a file that has changed since an earlier run read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnChangedFile {
    #[default]
    Error,
    /// All of it is read again.
    Read,
}

/// The options that select files.
#[derive(Debug, Clone)]
pub struct SelectionOptions<'a> {
    pub path: &'a Paths,
    pub new_files_only: bool,
    pub on_changed_file: OnChangedFile,
    /// The option `limit`.
    pub limit: Option<u64>,
}

/// What a step remembers of the files that it has read.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    files: BTreeMap<String, Read>,
    /// The columns of the last table, by name and type.
    columns: Vec<(String, String)>,
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Read {
    bytes: u64,
    sha256: String,
}

impl Read {
    fn of(name: &str) -> Result<Self> {
        let source = files::open(name)?;
        Ok(Self { bytes: source.size(), sha256: source.digest()? })
    }
}

/// The files to read, in the order of their names.
#[derive(Debug)]
pub struct Selection {
    pub names: Vec<String>,
    /// What the step will remember; `None` unless only new files are read.
    memory: Option<Memory>,
}

impl Selection {
    /// # Errors
    /// `data` for a file that has changed since it was read, `config` for options that exclude each other.
    pub fn new(options: &SelectionOptions<'_>) -> Result<Self> {
        let mut names = BTreeSet::new();
        for path in options.path.all() {
            names.extend(files::list(path)?);
        }
        let names: Vec<String> = names.into_iter().collect();
        if !options.new_files_only {
            return Ok(Self { names, memory: None });
        }
        if options.limit.is_some() {
            return Err(Error::config(
                "`limit` and `new_files_only` exclude each other: rows beyond the limit would never be read",
            ));
        }
        let mut memory: Memory = state::get()?.unwrap_or_default();
        let mut new = Vec::new();
        for name in names {
            if is_new(&name, &mut memory, options.on_changed_file)? {
                new.push(name);
            }
        }
        context::info("new files", &[("files", &new.len()), ("read_before", &memory.files.len())]);
        Ok(Self { names: new, memory: Some(memory) })
    }

    /// Whether there is nothing to read, because earlier runs read everything.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Writes the table of a run without new files: the columns of the last one, and no rows.
    ///
    /// # Errors
    /// As for [`sql::create_table`].
    pub fn write_nothing(self, output: &Output) -> Result<()> {
        let memory = self.memory.unwrap_or_default();
        if memory.columns.is_empty() {
            return Err(Error::data("there is no file to read"));
        }
        let column = |(name, kind): &(String, String)| format!("cast(null as {kind}) as {}", quote_name(name));
        let columns: Vec<String> = memory.columns.iter().map(column).collect();
        sql::create_table(output, "main", &format!("select {} where false", columns.join(", ")))?;
        state::set(&memory)
    }

    /// Remembers the files, once their rows have been written into a table with these columns.
    ///
    /// # Errors
    /// `data` for a file that changed while it was read, and as for [`state::set`].
    pub fn remember(self, columns: impl FnOnce() -> Result<Vec<(String, String)>>) -> Result<()> {
        let Some(mut memory) = self.memory else { return Ok(()) };
        for name in &self.names {
            let now = Read::of(name)?;
            if memory.files.insert(name.clone(), now.clone()) != Some(now) {
                return Err(Error::data(format!("`{name}` changed while it was read; run the step again")));
            }
        }
        memory.columns = columns()?;
        state::set(&memory)
    }
}

/// Whether a file has to be read; if so, `memory` has it as it is now.
fn is_new(name: &str, memory: &mut Memory, on_changed_file: OnChangedFile) -> Result<bool> {
    let now = Read::of(name)?;
    match memory.files.get(name) {
        Some(before) if *before == now => return Ok(false),
        Some(before) if on_changed_file == OnChangedFile::Error => {
            let (was, is) = (before.bytes, now.bytes);
            return Err(Error::data(format!(
                "`{name}` has changed since it was read (it had {was} bytes and has {is} now): to read it again would \
                 deliver its earlier rows twice; give new rows a file of their own, or write `on_changed_file: read` if the \
                 rows are merged by a key, or start over with `{}`",
                state::reset_command()
            )));
        }
        Some(_) => context::warn("a file that has changed is read again as a whole", &[("file", &name)]),
        None => {}
    }
    memory.files.insert(name.to_owned(), now);
    Ok(true)
}

/// The columns of the rows of a SELECT, by name and type.
///
/// # Errors
/// As for [`sql::query`].
pub fn described(select: &str) -> Result<Vec<(String, String)>> {
    let mut columns = Vec::new();
    for batch in sql::query(&format!("select column_name, column_type from (describe {select})"))? {
        let batch = batch?;
        let (names, kinds) = (batch.column_at(0).strings()?, batch.column_at(1).strings()?);
        columns.extend(names.iter().flatten().map(str::to_owned).zip(kinds.iter().flatten().map(str::to_owned)));
    }
    Ok(columns)
}
