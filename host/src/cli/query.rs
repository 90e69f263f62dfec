//! `osiris query`: a SELECT over a step's output, run in a process that is confined like a step's.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::engine::InputTable;
use crate::error::{Report, listed, nearest};
use crate::executor::look::{Rows, limits, look};
use crate::executor::supervisor::Supervisor;
use crate::protocol::{Format, Look, Question};
use crate::session::StepRecord;

use super::fetch;
use super::folders::FolderArguments;
use super::sandbox::SandboxArguments;
use crate::untrusted;

/// What is shown if nothing else is asked for.
const FIRST_ROWS: &str = "select * from main limit 20";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  osiris query latest extract-flights 'select * from main limit 5'\n  \
                        osiris query latest summary 'select count(*) from \"by-carrier\"' --format csv")]
pub struct Arguments {
    /// A session's id, the end of one, or `latest`
    session: String,
    /// The step whose tables are read
    step: String,
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
    /// The output format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Stop the query after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    timeout: u64,
    #[command(flatten)]
    sandbox: SandboxArguments,
}

pub fn query(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.sandbox.enforce()?;
    let base = arguments.folders.open()?;
    let (id, manifest) = fetch::session_called(&base, &arguments.session, arguments.exchange.as_deref())?;
    let step = manifest.steps.iter().find(|step| step.id == arguments.step).ok_or_else(|| {
        let known = || manifest.steps.iter().map(|step| step.id.as_str());
        let near = nearest(&arguments.step, known())
            .map_or_else(|| "name one of those".to_owned(), |near| format!("did you mean `{near}`?"));
        Report::input(format!("session `{}` has no step `{}`; its steps: {}", id, arguments.step, listed(known())))
            .hint(near)
    })?;
    let file = fetch::tables_file(&base, &id, &manifest, step, arguments.sandbox)?;
    let given = statement(arguments)?;
    let total = given.is_none().then(|| step.tables.get("main").map(|table| table.rows)).flatten();
    let sql = given.as_deref().unwrap_or(FIRST_ROWS);
    let statement = Statement { sql, format: arguments.format, timeout: arguments.timeout, total };
    print_rows(step, &file, &statement, arguments.sandbox)?;
    Ok(ExitCode::SUCCESS)
}

/// A SELECT over the tables of one step.
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
fn statement(arguments: &Arguments) -> Result<Option<String>, Report> {
    let read = match (&arguments.sql, &arguments.file) {
        (Some(sql), _) if sql != "-" => return Ok(Some(sql.clone())),
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

/// Prints the rows of a SELECT over the tables of a step, which are in `file`.
pub fn print_rows(
    step: &StepRecord,
    file: &Path,
    statement: &Statement<'_>,
    sandbox: SandboxArguments,
) -> anyhow::Result<()> {
    let look_for = Look {
        tables: tables(step, file),
        question: Question::Select {
            sql: statement.sql.to_owned(),
            format: statement.format,
            // Of stdout, if it is a terminal that says how wide it is.
            width: comfy_table::Table::new().width().filter(|width| *width > 0),
            total: statement.total,
        },
        limits: limits(statement.timeout),
        require_confinement: sandbox.require_sandbox,
    };
    let mut stdout = std::io::stdout().lock();
    // Data is untrusted: control characters are not sent to a terminal.
    let harmless: Option<fn(&str) -> String> =
        stdout.is_terminal().then_some(|line: &str| untrusted::lines(line).into_owned());
    look(&look_for, &mut Rows { sink: &mut stdout, harmless }, &Supervisor::start()?)
}

fn tables(step: &StepRecord, file: &Path) -> Vec<InputTable> {
    let also = |name: &str| {
        // Names in SQL are case-insensitive.
        if name == "main" && !step.tables.keys().any(|table| table.eq_ignore_ascii_case(&step.id)) {
            vec![step.id.clone()]
        } else {
            Vec::new()
        }
    };
    step.tables
        .keys()
        .map(|name| InputTable {
            alias: name.clone(),
            also: also(name),
            path: file.to_owned(),
            table: name.clone(),
            rows: None,
            is_reference: false,
        })
        .collect()
}
