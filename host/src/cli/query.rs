//! `osiris query`: a SELECT over the outputs of one step or several, run in a process that is confined like a step's.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::engine::{InputTable, Tables};
use crate::error::{Report, listed, nearest};
use crate::executor::look::{Rows, limits, look};
use crate::executor::supervisor::Supervisor;
use crate::protocol::{Format, Look, Question};
use crate::session::{Base, Manifest, StepRecord};

use super::fetch;
use super::folders::FolderArguments;
use super::sandbox::SandboxArguments;
use crate::untrusted;

/// What is shown if nothing else is asked for.
const FIRST_ROWS: &str = "select * from main limit 20";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  osiris query latest extract-flights 'select * from main limit 5'\n  \
                        osiris query latest summary 'select count(*) from \"by-carrier\"' --format csv\n  \
                        osiris query latest 'select * from orders join customers.archive using (id)' -o joined.parquet")]
pub struct Arguments {
    /// A session's id, the end of one, or `latest`
    session: String,
    /// The step whose tables are read. Without it, the SELECT reads the tables of all steps that it names: each step is a schema, and
    /// its table `main` can also be called by the step's id alone
    step: Option<String>,
    /// One SELECT, or `-` to read it from stdin; the step's tables have their own names, and `main` can also be called by the step's
    /// id [default: the first 20 rows of `main`]
    sql: Option<String>,
    /// Read the SELECT from a file
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    #[command(flatten)]
    folders: FolderArguments,
    /// Also look for the session in this exchange, if this machine does not have it; its whole name is needed [default: as
    /// `osiris.yaml` says]
    #[arg(long, value_name = "URL")]
    exchange: Option<String>,
    /// The output format; Parquet and Arrow go to a file or a pipe [default: by the name of the file, or a table]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the rows into this file once all of them are there, in place of a file that it replaces
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Stop the query after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    timeout: u64,
    #[command(flatten)]
    sandbox: SandboxArguments,
}

pub fn query(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.sandbox.enforce()?;
    let format = arguments.format()?;
    let base = arguments.folders.open()?;
    let (id, manifest) = fetch::session_called(&base, &arguments.session, arguments.exchange.as_deref())?;
    let is_step = |name: &&String| manifest.steps.iter().any(|step| step.id == **name);
    let (tables, given, total) = match &arguments.step {
        Some(name) if is_step(&name) || arguments.sql.is_some() || !is_statement(name) => {
            let step = step_called(&id, &manifest, name)?;
            let file = fetch::tables_file(&base, &id, &manifest, step, arguments.sandbox)?;
            let given = statement(arguments.sql.as_deref(), arguments.file.as_deref())?;
            let total = given.is_none().then(|| step.tables.get("main").map(|table| table.rows)).flatten();
            (tables_of(step, &file), given, total)
        }
        sql => {
            let given = statement(sql.as_deref(), arguments.file.as_deref())?.ok_or_else(|| {
                Report::input(format!("nothing says what to read of session `{id}`; its steps: {}", steps(&manifest)))
                    .hint("name a step, or give a SELECT over several: `select * from step.table`")
            })?;
            (tables_named(&base, &id, &manifest, &given, arguments.sandbox)?, Some(given), None)
        }
    };
    let sql = given.as_deref().unwrap_or(FIRST_ROWS);
    let statement = Statement { sql, format, timeout: arguments.timeout, total };
    print_rows(tables, &statement, arguments.output.as_deref(), arguments.sandbox)?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// The format of the rows.
    fn format(&self) -> Result<Format, Report> {
        let of_name = || match self.output.as_ref()?.extension()?.to_str()? {
            "parquet" => Some(Format::Parquet),
            "arrow" | "feather" => Some(Format::Arrow),
            "csv" => Some(Format::Csv),
            "json" | "jsonl" | "ndjson" => Some(Format::Json),
            _ => None,
        };
        let format = self.format.or_else(of_name).unwrap_or(Format::Table);
        let is_for_programs = matches!(format, Format::Parquet | Format::Arrow);
        if is_for_programs && self.output.is_none() && std::io::stdout().is_terminal() {
            return Err(Report::input("Parquet and Arrow are for programs, and would do harm to a terminal")
                .hint("write a file with `-o FILE`, or pipe the rows to a program"));
        }
        Ok(match format {
            // A file can be read from its end, a pipe only from its beginning.
            Format::Arrow if self.output.is_none() => Format::ArrowStream,
            format => format,
        })
    }
}

/// Whether an argument is a SELECT and not a misspelt step: no step's id has a space.
fn is_statement(text: &str) -> bool {
    text == "-" || text.contains(char::is_whitespace)
}

fn steps(manifest: &Manifest) -> String {
    listed(manifest.steps.iter().map(|step| step.id.as_str()))
}

fn step_called<'a>(session: &str, manifest: &'a Manifest, name: &str) -> Result<&'a StepRecord, Report> {
    manifest.steps.iter().find(|step| step.id == name).ok_or_else(|| {
        let near = nearest(name, manifest.steps.iter().map(|step| step.id.as_str()))
            .map_or_else(|| "name one of those".to_owned(), |near| format!("did you mean `{near}`?"));
        Report::input(format!("session `{session}` has no step `{name}`; its steps: {}", steps(manifest))).hint(near)
    })
}

/// The tables of the steps that a SELECT names, each in a schema called like its step.
///
/// Whether a step is read is decided by its id anywhere in the text, since only the confined process parses it: a step
/// more is available then, never one less.
fn tables_named(
    base: &Base,
    id: &str,
    manifest: &Manifest,
    sql: &str,
    sandbox: SandboxArguments,
) -> anyhow::Result<Vec<InputTable>> {
    let text = sql.to_lowercase();
    let with_tables = || manifest.steps.iter().filter(|step| !step.tables.is_empty());
    let mut tables: Vec<InputTable> = Vec::new();
    for step in with_tables().filter(|step| text.contains(&step.id.to_lowercase())) {
        let is_taken = tables
            .iter()
            .any(|table| table.schema.as_ref().is_some_and(|schema| schema.eq_ignore_ascii_case(&step.id)));
        if is_taken || !Tables::is_free(&step.id) {
            return Err(Report::input(format!(
                "step `{}` cannot be a schema in SQL: {}",
                step.id,
                if is_taken { "another step's id differs in letter case alone" } else { "DuckDB has one of that name" }
            ))
            .hint(format!("query it by itself: `osiris query {id} {} 'select …'`", step.id))
            .into());
        }
        let file = fetch::tables_file(base, id, manifest, step, sandbox)?;
        tables.extend(step.tables.keys().map(|name| InputTable {
            schema: Some(step.id.clone()),
            // A schema `main` has its table `main` under that name already.
            also: if name == "main" && !step.id.eq_ignore_ascii_case("main") { vec![step.id.clone()] } else { vec![] },
            ..InputTable::new(name, file.clone(), name)
        }));
    }
    if tables.is_empty() {
        return Err(Report::input(format!(
            "the SELECT names no step of session `{id}` that has tables; there are: {}",
            listed(with_tables().map(|step| step.id.as_str()))
        ))
        .hint("write `step.table`, such as `orders.main`, with double quotes around a name that is no plain word")
        .into());
    }
    Ok(tables)
}

/// A SELECT over tables of steps.
pub struct Statement<'a> {
    pub sql: &'a str,
    pub format: Format,
    /// In seconds.
    pub timeout: u64,
    /// How many rows there are, if it shows only the first.
    pub total: Option<u64>,
}

/// The statement that the user gave.
///
/// # Errors
/// A [`Report`] if it cannot be read, or is not UTF-8.
#[expect(clippy::disallowed_methods, reason = "reads the file that the user names")]
fn statement(sql: Option<&str>, file: Option<&Path>) -> Result<Option<String>, Report> {
    let read = match (sql, file) {
        (Some(sql), _) if sql != "-" => return Ok(Some(sql.to_owned())),
        (Some(_), _) => std::io::read_to_string(std::io::stdin()).map_err(|error| ("stdin".to_owned(), error)),
        (None, Some(file)) => std::fs::read_to_string(file).map_err(|error| (file.display().to_string(), error)),
        (None, None) => return Ok(None),
    };
    let text = read.map_err(|(place, error)| {
        Report::input(format!("cannot read the SELECT from `{place}`: {error}"))
            .hint("check the path and its permissions")
    })?;
    Ok(Some(text))
}

/// Prints the rows of a SELECT over tables, or writes them into the file `output`.
///
/// # Errors
/// A [`Report`] about the statement or the file.
pub fn print_rows(
    tables: Vec<InputTable>,
    statement: &Statement<'_>,
    output: Option<&Path>,
    sandbox: SandboxArguments,
) -> anyhow::Result<()> {
    let look_for = Look {
        tables,
        question: Question::Select {
            sql: statement.sql.to_owned(),
            format: statement.format,
            // Of stdout, if it is a terminal that says how wide it is.
            width: output.is_none().then(|| comfy_table::Table::new().width().filter(|width| *width > 0)).flatten(),
            total: statement.total,
        },
        limits: limits(statement.timeout),
        require_confinement: sandbox.require_sandbox,
    };
    let supervisor = Supervisor::start()?;
    if let Some(path) = output {
        return write_file(path, |sink| look(&look_for, &mut Rows { sink, harmless: None }, &supervisor));
    }
    let mut stdout = std::io::stdout().lock();
    // Data is untrusted: control characters are not sent to a terminal.
    let harmless: Option<fn(&str) -> String> =
        stdout.is_terminal().then_some(|line: &str| untrusted::lines(line).into_owned());
    look(&look_for, &mut Rows { sink: &mut stdout, harmless }, &supervisor)
}

/// Writes a file that takes its place only once all of it is there.
fn write_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        return Err(Report::input(format!("`{}` exists and is not a regular file", path.display()))
            .hint("name another file; to a pipe, leave out `-o`")
            .into());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = || format!("cannot write `{}`", path.display());
    let mut builder = tempfile::Builder::new();
    // As for any new file: less what the user's umask takes away.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.prefix(".osiris-").tempfile_in(folder).map_err(|error| {
        Report::input(format!("{}: {error}", cannot())).hint("check that the folder exists, and its permissions")
    })?;
    fill(file.as_file_mut())?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}

/// The tables of one step, whose file is `file`.
pub fn tables_of(step: &StepRecord, file: &Path) -> Vec<InputTable> {
    // Names in SQL are case-insensitive.
    let is_free = !step.tables.keys().any(|table| table.eq_ignore_ascii_case(&step.id));
    let also = |name: &str| if name == "main" && is_free { vec![step.id.clone()] } else { Vec::new() };
    let table = |name: &String| InputTable { also: also(name), ..InputTable::new(name, file.to_owned(), name) };
    step.tables.keys().map(table).collect()
}
