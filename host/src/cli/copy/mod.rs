//! `osiris copy`: from source to target in one line, by the pipeline that it prints.

mod compose;
mod endpoint;

use std::path::PathBuf;
use std::process::ExitCode;

use compose::{CopiedTable, Copying, Mode};
use endpoint::{Endpoint, Tables};

use super::ask::{AskArguments, Inquiry};
use super::limits::LimitArguments;
use super::prepare::{PipelineArguments, PlaceArguments, Recorded, read_connections};
use super::sandbox::SandboxArguments;
use super::{print_data, run};
use crate::driver::discovery::FoundTable;
use crate::error::{Report, listed};
use crate::protocol::{Call, Message};

/// What the manifest names as the pipeline's file.
const FILE: &str = "osiris-copy.yaml";

/// The seconds that a database has to list its tables.
const DISCOVERY_SECONDS: u64 = 60;

/// What is copied, and how.
#[derive(Debug, Default, clap::Args)]
pub struct CopyOptions {
    /// What to copy
    source: String,
    /// Where to copy it
    target: String,
    /// How rows of the target are treated
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// The columns that identify a row [default: the source's primary key]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    key: Vec<String>,
    /// Read only rows whose value in this column is greater than at the last run, such as `updated_at`
    #[arg(long, value_name = "COLUMN")]
    incremental: Option<String>,
    /// Read only files that no earlier copy has read
    #[arg(long)]
    new_files: bool,
    /// Copy only these columns of a table
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    columns: Vec<String>,
    /// Copy only the rows of a table for which this condition holds, in the source's SQL
    #[arg(long, value_name = "SQL")]
    filter: Option<String>,
    /// The pipeline's name, by which an incremental copy finds its state again [default: made of source and target]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Sources and targets:\n  \
                  @postgres.shop.sales.orders  a table of a connection; `@postgres.shop.*` and `@postgres.shop.sales.*` are all tables\n  \
                  warehouse.duckdb#orders      a table of a DuckDB file\n  \
                  data/*.csv                   files: csv, tsv, json, jsonl, parquet; sources may be compressed\n\n\
                  A target that names no table has the source's: `orders` for `orders.csv`, `monthly` for `monthly/*.csv`.\n\
                  Without `--mode` the target's rows are replaced. With `--incremental` or `--new-files` rows are merged by their key, \
                  or appended if they have none.\n\n\
                  Examples:\n  \
                  osiris copy 'data/*.csv' warehouse.duckdb\n  \
                  osiris copy @mysql.shop.orders @postgres.warehouse.raw.orders --incremental updated_at --key id\n  \
                  osiris copy @mysql.shop.* warehouse.duckdb --print > pipeline.yaml")]
pub struct Arguments {
    #[command(flatten)]
    options: CopyOptions,
    /// Print the pipeline instead of running it
    #[arg(long)]
    print: bool,
    /// Run up to N independent steps at once, as `osiris run` does
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    #[command(flatten)]
    place: PlaceArguments,
    /// Run all steps there, as `osiris run` does
    #[arg(long, value_name = "WORKER")]
    on: Option<String>,
    /// The operator's ceiling, which no step may exceed [default: files in the base folder, hosts of the connections file]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArguments,
    /// Print one JSON object instead of a table
    #[arg(long, conflicts_with = "print")]
    json: bool,
    #[command(flatten)]
    sandbox: SandboxArguments,
}

pub fn copy(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { options, place, on, policy, limits, sandbox, .. } = arguments;
    let text = options.pipeline(&Surroundings { place, policy: policy.as_ref(), sandbox: *sandbox })?;
    if arguments.print {
        print_data(&text);
        return Ok(ExitCode::SUCCESS);
    }
    let pipeline = PipelineArguments {
        pipeline: FILE.into(),
        text: Some(text),
        params: Vec::new(),
        recorded: Recorded::default(),
        sealed: None,
        profile: None,
        place: place.clone(),
        on: on.clone(),
        exchange: None,
        policy: policy.clone(),
        limits: limits.clone(),
    };
    run::run(&run::Arguments {
        pipeline,
        jobs: arguments.jobs,
        resume: None,
        from: None,
        only: Vec::new(),
        no_cache: false,
        json: arguments.json,
        quiet: false,
        sandbox: arguments.sandbox,
    })
}

/// Where a source's tables are looked for.
pub struct Surroundings<'a> {
    pub place: &'a PlaceArguments,
    pub policy: Option<&'a PathBuf>,
    pub sandbox: SandboxArguments,
}

impl CopyOptions {
    /// Copies all that `source` names to `target`.
    pub fn between(source: &str, target: &str) -> Self {
        Self { source: source.to_owned(), target: target.to_owned(), ..Self::default() }
    }

    /// The pipeline as YAML.
    ///
    /// # Errors
    /// If the source or the target is not understood, the options do not fit them, or the source's tables cannot be listed.
    pub fn pipeline(&self, surroundings: &Surroundings<'_>) -> anyhow::Result<String> {
        let connections = read_connections(&surroundings.place.folders.open()?)?;
        let source = Endpoint::parse(&self.source, &connections)?;
        let target = Endpoint::parse(&self.target, &connections)?;
        let tables = copied_tables(self, &source, &target, surroundings)?;
        let name = self.name.clone().unwrap_or_else(|| format!("copy {} to {}", self.source, self.target));
        Copying {
            name: &name,
            command: &self.command(),
            source: &source,
            target: &target,
            tables: &tables,
            mode: self.mode,
            incremental: self.incremental.as_deref(),
            new_files: self.new_files,
            columns: &self.columns,
            filter: self.filter.as_deref(),
        }
        .pipeline()
    }

    /// The command that stands for the pipeline.
    fn command(&self) -> String {
        let mut words = vec!["osiris".to_owned(), "copy".to_owned(), quoted(&self.source), quoted(&self.target)];
        let (key, columns) = (self.key.join(","), self.columns.join(","));
        let options = [
            ("--mode", self.mode.map(Mode::as_str)),
            ("--key", Some(key.as_str())),
            ("--incremental", self.incremental.as_deref()),
            ("--columns", Some(columns.as_str())),
            ("--filter", self.filter.as_deref()),
            ("--name", self.name.as_deref()),
        ];
        for (option, value) in options {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                words.extend([option.to_owned(), quoted(value)]);
            }
        }
        words.extend(self.new_files.then(|| "--new-files".to_owned()));
        words.join(" ")
    }
}

/// A word as a shell has to see it.
fn quoted(word: &str) -> String {
    let is_plain = |each: char| each.is_ascii_alphanumeric() || "@./_-#=,:".contains(each);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// The tables that are copied, with the source's keys where they are needed.
fn copied_tables(
    options: &CopyOptions,
    source: &Endpoint,
    target: &Endpoint,
    surroundings: &Surroundings<'_>,
) -> anyhow::Result<Vec<CopiedTable>> {
    let key = &options.key;
    let (names, found) = match source {
        Endpoint::Files { .. } => (vec![None], Vec::new()),
        Endpoint::Database { tables: Tables::One(name), .. } => (vec![Some(name.clone())], Vec::new()),
        Endpoint::Database { path, .. } => {
            return Err(Report::input(format!("the table of `{path}` is not named"))
                .hint(format!("name it after the file: `{path}#table`"))
                .into());
        }
        Endpoint::Tables { connection, tables } => {
            let may_merge =
                options.mode == Some(Mode::Upsert) || options.mode.is_none() && options.incremental.is_some();
            let found = match tables {
                Tables::All { .. } => discovered(surroundings, connection)?,
                Tables::One(_) if may_merge && key.is_empty() => discovered(surroundings, connection)?,
                Tables::One(_) | Tables::Same => Vec::new(),
            };
            (chosen(tables, &found, connection)?, found)
        }
    };
    let mut copied = compose::pair(&names, source, target)?;
    for table in &mut copied {
        let known = || found.iter().find(|one| table.source.as_ref().is_some_and(|name| is_called(one, name)));
        table.key = match key.as_slice() {
            [] => known().map_or_else(Vec::new, primary_key),
            given => given.to_vec(),
        };
    }
    Ok(copied)
}

fn primary_key(table: &FoundTable) -> Vec<String> {
    table.primary_key.iter().map(|name| name.raw().to_owned()).collect()
}

/// The names of the tables that `tables` means.
fn chosen(tables: &Tables, found: &[FoundTable], connection: &str) -> Result<Vec<Option<String>>, Report> {
    let schema = match tables {
        Tables::One(name) => return Ok(vec![Some(name.clone())]),
        Tables::All { schema } => schema.as_deref(),
        Tables::Same => {
            return Err(Report::input(format!("the source `{connection}` names no table"))
                .hint(format!("name one, `{connection}.orders`, or copy all: `'{connection}.*'`; `osiris discover {connection}` lists them")));
        }
    };
    let of_schema =
        |table: &&FoundTable| schema.is_none_or(|name| table.schema.as_ref().is_some_and(|own| own.raw() == name));
    let names: Vec<Option<String>> = found.iter().filter(of_schema).map(|table| Some(full_name(table))).collect();
    if !names.is_empty() {
        return Ok(names);
    }
    let schemas = found
        .iter()
        .filter_map(|table| table.schema.as_ref())
        .map(|name| name.raw())
        .collect::<std::collections::BTreeSet<_>>();
    let known = if schemas.is_empty() { String::new() } else { format!("; schemas with tables: {}", listed(schemas)) };
    Err(Report::input(format!("`{connection}` shows no tables to copy{known}"))
        .hint(format!("see `osiris discover {connection}`")))
}

/// The name by which a driver's option `table` finds a table.
fn full_name(table: &FoundTable) -> String {
    let part = |name: &str| match name.contains(['.', '"']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name.to_owned(),
    };
    let name = part(table.name.raw());
    table.schema.as_ref().map_or_else(|| name.clone(), |schema| format!("{}.{name}", part(schema.raw())))
}

/// Whether `name`, which may omit the schema, means this table.
fn is_called(table: &FoundTable, name: &str) -> bool {
    full_name(table) == name || table.name.raw() == name
}

/// The tables that a connection leads to.
fn discovered(surroundings: &Surroundings<'_>, connection: &str) -> anyhow::Result<Vec<FoundTable>> {
    let ask = AskArguments {
        driver: None,
        place: surroundings.place.clone(),
        policy: surroundings.policy.cloned(),
        timeout: DISCOVERY_SECONDS,
        json: false,
        sandbox: surroundings.sandbox,
    };
    let inquiry = Inquiry::new(&ask)?;
    let driver = inquiry.driver(connection)?;
    match inquiry.ask(connection, &driver, Call::Discover)?.outcome {
        Ok(Message::Discovered { tables }) => Ok(tables),
        Ok(_) => Ok(Vec::new()),
        Err(failure) => {
            Err(Report::step(format!("cannot list the tables of `{connection}`: {}", failure.message.raw()))
                .hint(format!("try it with `osiris connections doctor {connection}`"))
                .into())
        }
    }
}
