//! `osiris rejects`: the rows that drivers and checks rejected in a session.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::engine::quote_name;
use crate::error::{Report, listed};
use crate::protocol::Format;
use crate::session::{Base, Manifest, StepRecord};
use crate::untrusted::{self, line};

use super::folders::FolderArguments;
use super::query::{Statement, print_rows, tables_of};
use super::sandbox::SandboxArguments;
use super::{fetch, grouped, print, table};

/// How long reading rejected rows may take, in seconds.
const TIMEOUT: u64 = 600;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List the tables of rejected rows of a session
    List(List),
    /// Show the rows that a step rejected, with their reasons
    Show(Show),
}

#[derive(Debug, clap::Args)]
pub struct Place {
    /// A session's id, the end of one, or `latest`
    #[arg(default_value = "latest")]
    session: String,
    #[command(flatten)]
    folders: FolderArguments,
    /// Also look for the session in this exchange, if this machine does not have it; its whole name is needed [default: as
    /// `osiris.yaml` says]
    #[arg(long, value_name = "URL")]
    exchange: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  osiris rejects show latest orders\n  \
                        osiris rejects show latest orders --format csv > to-correct.csv")]
pub struct Show {
    #[command(flatten)]
    place: Place,
    /// The step that rejected them, if it is not the only one
    step: Option<String>,
    /// The table of rejected rows, if it is not the step's only one
    #[arg(long)]
    table: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    sandbox: SandboxArguments,
}

pub fn rejects(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::List(list) => {
            let (_, id, manifest) = find(&list.place)?;
            print(&listing(&id, &manifest, list.json)?);
        }
        Verb::Show(arguments) => show(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn find(place: &Place) -> anyhow::Result<(Base, String, Manifest)> {
    let base = place.folders.open()?;
    let (id, manifest) = fetch::session_called(&base, &place.session, place.exchange.as_deref())?;
    Ok((base, id, manifest))
}

/// The tables of rejected rows of a session, each with its step and its number of rows.
fn tables(manifest: &Manifest) -> impl Iterator<Item = (&StepRecord, &str, u64)> {
    let of_step = |step: &'_ StepRecord, name: &str| step.tables.get(name).map_or(0, |table| table.rows);
    manifest
        .steps
        .iter()
        .flat_map(move |step| step.rejected_tables.iter().map(move |name| (step, name.as_str(), of_step(step, name))))
}

/// The checks that moved rows into a table, with how many they found.
fn checks<'a>(step: &'a StepRecord, name: &str) -> Vec<(&'a str, u64)> {
    let of = name.strip_suffix("__rejected").unwrap_or_default();
    let found = step.checks.iter().filter(|check| check.rejects && !check.passed && check.table.raw() == of);
    found.map(|check| (check.check.as_str(), check.rows)).collect()
}

fn listing(session: &str, manifest: &Manifest, json: bool) -> anyhow::Result<String> {
    if json {
        let all: Vec<Value> = tables(manifest)
            .map(|(step, name, rows)| {
                let checks: Vec<Value> =
                    checks(step, name).into_iter().map(|(check, rows)| json!({"check": check, "rows": rows})).collect();
                json!({"session_id": session, "step": step.id, "table": name, "rows": rows, "checks": checks})
            })
            .collect();
        return Ok(untrusted::json(&serde_json::to_string_pretty(&all)?).into_owned());
    }
    let mut shown = table(&["step", "table", "rows", "rejected by"]);
    let mut is_empty = true;
    for (step, name, rows) in tables(manifest) {
        is_empty = false;
        let by: Vec<String> =
            checks(step, name).into_iter().map(|(check, rows)| format!("{} {}", grouped(rows), line(check))).collect();
        let by = match (by.is_empty(), rows) {
            (false, _) => by.join("\n"),
            (true, 0) => String::new(),
            (true, _) => "its driver".to_owned(),
        };
        shown.add_row([line(&step.id).into_owned(), line(name).into_owned(), grouped(rows), by]);
    }
    shown.align_right([2]);
    Ok(if is_empty {
        format!("no step of session {session} may reject rows; see `on_violation: reject` and `rejects`")
    } else {
        format!("session {session}\n{shown}")
    })
}

fn show(arguments: &Show) -> anyhow::Result<()> {
    arguments.sandbox.enforce()?;
    let (base, id, manifest) = find(&arguments.place)?;
    let is_wanted = |step: &StepRecord, name: &str| {
        arguments.step.as_ref().is_none_or(|wanted| step.id == *wanted)
            && arguments.table.as_ref().is_none_or(|wanted| name == wanted)
    };
    let wanted: Vec<_> = tables(&manifest).filter(|(step, name, _)| is_wanted(step, name)).collect();
    let (step, name) = match wanted.as_slice() {
        [(step, name, _)] => (*step, *name),
        several => {
            let known: Vec<String> = tables(&manifest).map(|(step, name, _)| format!("{} {name}", step.id)).collect();
            let what = if several.is_empty() { "no table" } else { "several tables" };
            return Err(Report::input(format!(
                "{what} of rejected rows in session `{id}` as named; there are: {}",
                listed(known.iter().map(String::as_str))
            ))
            .hint("name the step, and the table with `--table`")
            .into());
        }
    };
    let file = fetch::tables_file(&base, &id, &manifest, step, arguments.sandbox)?;
    let sql = format!("FROM {}", quote_name(name));
    let statement = Statement { sql: &sql, format: arguments.format, timeout: TIMEOUT, total: None };
    print_rows(tables_of(step, &file), &statement, None, arguments.sandbox)
}
