//! `osiris connections` and `osiris discover`: which connections there are, whether they work, and what they lead to.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::driver::catalog::{Catalog, Driver};
use crate::driver::config::{self, Divided};
use crate::driver::discovery::FoundTable;
use crate::error::{Failure, Report, listed};
use crate::grants::grant::{self, Asking};
use crate::grants::policy::Policy;
use crate::pipeline::connections::{self, Connections};
use crate::pipeline::params::Environment;
use crate::protocol::{Call, Message};
use crate::run::probe::{Probe, Told, probe};
use crate::session::Base;

use super::prepare::{PlaceArguments, environment, read_connections, read_policy};
use super::{grouped, print, table};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List the connections that `osiris_connections.yaml` names
    List(List),
    /// Try connections: connect, log in, change nothing
    Doctor(Doctor),
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    place: PlaceArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Connections to try, such as `@postgres.main` [default: all]
    connections: Vec<String>,
    #[command(flatten)]
    trying: Trying,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  osiris discover @postgres.main\n  osiris discover @http.api --driver graphql.extractor --json"
)]
pub struct Discover {
    /// The connection, such as `@postgres.main`
    connection: String,
    #[command(flatten)]
    trying: Trying,
}

#[derive(Debug, clap::Args)]
struct Trying {
    /// The driver to ask [default: the family's extractor, or its writer]
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    #[command(flatten)]
    place: PlaceArguments,
    /// The operator's ceiling [default: the hosts of connections]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Give up on one after so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn connections(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::List(arguments) => list(arguments),
        Verb::Doctor(arguments) => doctor(arguments),
    }
}

/// What connections are resolved against.
struct Around {
    base: Base,
    connections: Connections,
    environment: Environment,
    catalog: Catalog,
}

impl Around {
    fn new(place: &PlaceArguments) -> anyhow::Result<Self> {
        let base = Base::open(place.base.as_deref().unwrap_or(Path::new(".")))?;
        let connections = read_connections(&base)?;
        let catalog = Catalog::new(&place.drivers, &base.path);
        Ok(Self { base, connections, environment: environment(), catalog })
    }

    /// The driver to ask about a connection of `family`.
    fn driver(&self, family: &str, named: Option<&str>) -> anyhow::Result<Driver> {
        if let Some(named) = named {
            return self.catalog.find(named);
        }
        let known = self.catalog.list();
        let candidates = [format!("{family}.extractor"), format!("{family}.writer")];
        match candidates.iter().find(|name| known.contains_key(*name)) {
            Some(name) => self.catalog.find(name),
            None => Err(Report::input(format!(
                "no driver serves connections of the family `{family}`; looked for {}",
                listed(candidates.iter().map(String::as_str))
            ))
            .hint("name one with `--driver NAME`; see `osiris drivers list`")
            .into()),
        }
    }

    /// Asks `driver` about the connection that `reference` names.
    fn ask(&self, reference: &str, driver: &Driver, policy: &Policy, call: Call, timeout: u64) -> anyhow::Result<Told> {
        let export = match call {
            Call::Check => "check",
            Call::Run | Call::Discover => "discover",
        };
        if !driver.offers.iter().any(|offer| offer == export) {
            return Err(Report::input(format!("driver `{}` does not offer `{export}`", driver.label()))
                .hint("name another with `--driver NAME`")
                .into());
        }
        let mut fields = self.connections.resolve(reference, &self.environment)?;
        if !driver.spec.connection_fields.is_empty() {
            fields.retain(|name, _| driver.spec.connection_fields.contains(name));
        }
        let written = Map::from_iter([("connection".to_owned(), Value::Object(fields))]);
        let whole = config::fill(&driver.spec, written.clone());
        let Divided { open, secrets, .. } = config::divide(&driver.spec, &whole);
        let asking = Asking { step: reference, config: &open, written: &written, base: &self.base.path, policy };
        let grants = grant::effective(&driver.spec.grants, &asking)?;
        probe(&Probe { driver, config: open, secrets, grants, call, timeout: Duration::from_secs(timeout) })
    }
}

fn list(arguments: &List) -> anyhow::Result<ExitCode> {
    let around = Around::new(&arguments.place)?;
    let all = around.connections.list();
    let described = all.iter().map(|(name, default)| {
        let fields = around.connections.resolve(&format!("@{name}"), &around.environment);
        let family = name.split('.').next().unwrap_or_default();
        let driver = around.driver(family, None).ok().map(|driver| driver.spec.name);
        let (place, problem) = match fields {
            Ok(fields) => (place(&fields), None),
            Err(report) => (String::new(), Some(report.message)),
        };
        (format!("@{name}"), *default, driver, place, problem)
    });
    if arguments.json {
        let all: Vec<Value> = described
            .map(|(name, default, driver, place, problem)| {
                json!({"connection": name, "default": default, "driver": driver, "leads_to": place, "problem": problem})
            })
            .collect();
        print(&serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        print(&format!("no connections: `{}` names none in {}", connections::FILE, around.base.path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown = table(&["connection", "default", "driver", "leads to"]);
    for (name, default, driver, place, problem) in described {
        let place = problem.unwrap_or(place);
        shown.add_row([name, if default { "yes" } else { "" }.to_owned(), driver.unwrap_or_default(), place]);
    }
    print(&format!("{shown}\n\ntry them with `osiris connections doctor`"));
    Ok(ExitCode::SUCCESS)
}

/// Where a connection leads, without anything secret.
fn place(fields: &Map<String, Value>) -> String {
    let text =
        |name: &str| fields.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    match (text("host"), text("url").or_else(|| text("endpoint"))) {
        (Some(host), _) => {
            let port = text("port").map_or_else(String::new, |port| format!(":{port}"));
            let database = text("database").map_or_else(String::new, |database| format!("/{database}"));
            format!("{host}{port}{database}")
        }
        // What stands before an `@` or behind a `?` may be a secret.
        (None, Some(url)) => {
            url.split('?').next().unwrap_or_default().rsplit('@').next().unwrap_or_default().to_owned()
        }
        (None, None) => String::new(),
    }
}

/// How a check went, in the words of upstream's doctor.
fn category(told: &Told) -> &str {
    let kind = match &told.outcome {
        Ok(_) => return "ok",
        Err(failure) => failure.kind.as_str(),
    };
    match kind {
        "auth" => "auth",
        "denied" => "permission",
        "transient" | "rate-limited" => "network",
        "timeout" => "timeout",
        _ => "unknown",
    }
}

fn doctor(arguments: &Doctor) -> anyhow::Result<ExitCode> {
    let trying = &arguments.trying;
    let around = Around::new(&trying.place)?;
    let policy = read_policy(trying.policy.as_deref(), around.connections.hosts(&around.environment))?;
    let mut wanted = arguments.connections.clone();
    if wanted.is_empty() {
        wanted = around.connections.list().into_iter().map(|(name, _)| format!("@{name}")).collect();
    }
    if wanted.is_empty() {
        return Err(Report::input(format!("`{}` names no connection", connections::FILE))
            .hint("write one as `connections: {family: {alias: {host: …}}}` in the base folder")
            .into());
    }
    let mut shown = table(&["connection", "ok", "category", "latency", "what it says"]);
    let (mut all, mut healthy) = (Vec::new(), true);
    for reference in &wanted {
        let (driver, told) = attempt(&around, reference, trying, &policy)?;
        let ok = told.outcome.is_ok();
        healthy &= ok;
        let message = match &told.outcome {
            Ok(Message::Checked { message }) => message.clone(),
            Ok(_) => String::new(),
            Err(failure) => failure.message.clone(),
        };
        let latency = u64::try_from(told.took.as_millis()).unwrap_or(u64::MAX);
        all.push(json!({"connection": reference, "driver": driver, "ok": ok, "category": category(&told), "latency_ms": latency, "message": message}));
        shown.add_row([
            reference.clone(),
            if ok { "yes" } else { "NO" }.to_owned(),
            category(&told).to_owned(),
            super::spell_duration(latency),
            message,
        ]);
    }
    if trying.json {
        print(&serde_json::to_string_pretty(&all)?);
    } else {
        print(&shown.to_string());
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks one connection. What is wrong with it is told, not raised, so that the others are tried too.
fn attempt(around: &Around, reference: &str, trying: &Trying, policy: &Policy) -> anyhow::Result<(String, Told)> {
    let family = reference.trim_start_matches('@').split('.').next().unwrap_or_default();
    let mut label = String::new();
    let told = around.driver(family, trying.driver.as_deref()).and_then(|driver| {
        label = driver.label();
        around.ask(reference, &driver, policy, Call::Check, trying.timeout)
    });
    let told = told.or_else(|error| {
        let report = error.downcast::<Report>()?;
        let failure = Failure {
            blame: crate::error::Blame::User,
            kind: "config".to_owned(),
            message: report.message,
            hint: report.hint,
        };
        anyhow::Ok(Told { outcome: Err(failure), took: Duration::ZERO, logged: Vec::new() })
    })?;
    Ok((label, told))
}

pub fn discover(arguments: &Discover) -> anyhow::Result<ExitCode> {
    let trying = &arguments.trying;
    let around = Around::new(&trying.place)?;
    let policy = read_policy(trying.policy.as_deref(), around.connections.hosts(&around.environment))?;
    let family = arguments.connection.trim_start_matches('@').split('.').next().unwrap_or_default();
    let driver = around.driver(family, trying.driver.as_deref())?;
    let told = around.ask(&arguments.connection, &driver, &policy, Call::Discover, trying.timeout)?;
    for line in &told.logged {
        eprintln!("warn: {}", super::printable(line));
    }
    let tables = match told.outcome {
        Ok(Message::Discovered { tables }) => tables,
        Ok(_) => Vec::new(),
        Err(failure) => {
            let report = Report::step(format!("cannot discover `{}`: {}", arguments.connection, failure.message));
            return Err(match failure.hint {
                Some(hint) => report.hint(hint),
                None => report.hint(format!("try it with `osiris connections doctor {}`", arguments.connection)),
            }
            .into());
        }
    };
    if trying.json {
        let whole = json!({"connection": arguments.connection, "driver": driver.label(), "fingerprint": fingerprint(&tables)?, "tables": tables});
        print(&serde_json::to_string_pretty(&whole)?);
    } else {
        print(&in_words(&tables, &fingerprint(&tables)?));
    }
    Ok(ExitCode::SUCCESS)
}

/// A digest of what was found that changes with its shape alone: not with the time, nor with the rows.
fn fingerprint(tables: &[FoundTable]) -> anyhow::Result<String> {
    let shapes: Vec<FoundTable> =
        tables.iter().map(|table| FoundTable { estimated_rows: None, ..table.clone() }).collect();
    Ok(Sha256::digest(serde_json::to_vec(&shapes)?).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn in_words(tables: &[FoundTable], fingerprint: &str) -> String {
    if tables.is_empty() {
        return "it shows no tables".to_owned();
    }
    let mut shown = table(&["table", "column", "type", "in duckdb", "null", "key", "rows"]);
    for found in tables {
        let name =
            found.schema.as_ref().map_or_else(|| found.name.clone(), |schema| format!("{schema}.{}", found.name));
        for (place, column) in found.columns.iter().enumerate() {
            let first = place == 0;
            shown.add_row([
                if first { name.clone() } else { String::new() },
                column.name.clone(),
                column.source_type.clone(),
                column.duckdb_type.clone(),
                if column.nullable { "yes" } else { "" }.to_owned(),
                if found.primary_key.contains(&column.name) { "yes" } else { "" }.to_owned(),
                found.estimated_rows.filter(|_| first).map_or_else(String::new, |rows| format!("~{}", grouped(rows))),
            ]);
        }
    }
    format!("{shown}\n\n{} tables, fingerprint {fingerprint}", tables.len())
}
