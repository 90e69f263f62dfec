//! Fetches outputs that are only in an exchange, for commands that read them.

use std::path::PathBuf;

use anyhow::Context;

use super::prepare::{access, read_connections, read_project};
use super::sandbox::SandboxArguments;
use super::secret_sources::{Commands, SecretSources, Values};
use crate::error::{Fault, Report};
use crate::exchange::Exchange;
use crate::executor::supervisor::Supervisor;
use crate::run::ledger::shared;
use crate::run::settle::fetch_output;
use crate::session::{self, Base, Manifest, Status, StepRecord, noise};

/// The session called `name` on this machine, or else in the exchange; its id and manifest.
///
/// # Errors
/// If no session has that name, or its manifest cannot be read.
pub fn session_called(base: &Base, name: &str, exchange: Option<&str>) -> anyhow::Result<(String, Manifest)> {
    let found = session::find(base, name);
    let url = match exchange {
        Some(url) => Some(url.to_owned()),
        None => read_project(base)?.exchange,
    };
    match (found, url) {
        (Ok(found), url) => match (found.manifest, url) {
            (Some(manifest), _) => Ok((found.id, manifest)),
            (None, Some(url)) => shared_session(base, &found.id, &url),
            (None, None) => Err(Report::input(format!("session `{}` has no readable manifest", found.id)).into()),
        },
        (Err(_), Some(url)) if session::is_id(name) => shared_session(base, name, &url),
        (Err(error), _) => Err(error),
    }
}

fn shared_session(base: &Base, id: &str, url: &str) -> anyhow::Result<(String, Manifest)> {
    let manifest = shared::manifest(&open(base, url)?, id)?.ok_or_else(|| {
        Report::input(format!("neither this machine nor the exchange {url} has a session `{id}`"))
            .hint("give the whole name of a session that ran with this exchange")
    })?;
    Ok((id.to_owned(), manifest))
}

/// Opens the exchange at `url`, as a run of the base folder would.
///
/// # Errors
/// If the URL is not that of an exchange.
pub fn open(base: &Base, url: &str) -> anyhow::Result<Exchange> {
    let (connections, project) = (read_connections(base)?, read_project(base)?);
    let sources = SecretSources { base, project: &project, connections: &connections, commands: Commands::Run };
    Exchange::open(access(url, &sources, &mut Values::new(base, None)?)?)
}

/// The file of a step's tables: on this machine, or fetched from the exchange of its run into the session's folder.
///
/// # Errors
/// If the step has none, or it cannot be fetched.
pub fn tables_file(
    base: &Base,
    session: &str,
    manifest: &Manifest,
    step: &StepRecord,
    sandbox: SandboxArguments,
) -> anyhow::Result<PathBuf> {
    if let Some(file) = &step.duckdb_path {
        let found = session::tables_file(base, session, file);
        if found.is_ok() || step.object.is_none() {
            return found;
        }
    }
    let (Some(stored), Some(url)) = (&step.object, &manifest.exchange) else {
        return Err(Report::input(format!("step `{}` made no tables (status: {})", step.id, step.status))
            .hint("query a step that succeeded; a writer has only the rows that it rejects, if its step has `rejects`")
            .into());
    };
    let file = format!("data/{}.duckdb", step.id);
    if let Ok(found) = session::tables_file(base, session, &file) {
        return Ok(found);
    }
    let (folder, path) = session::data_folder(base, session)?;
    let beside = format!(".{}.{:016x}", step.id, noise());
    let tables = step.tables.iter().map(|(name, table)| (name.clone(), table.rows)).collect();
    let checking = (&Supervisor::start()?, sandbox.require_sandbox);
    let exchange = open(base, url)?;
    let fetched =
        fetch_output(&exchange, stored, &tables, (&folder, &beside), &path.join(&beside), checking, &|| false);
    if let Err(failure) = fetched {
        let _ = folder.remove_file(&beside);
        let hint = failure.hint.map(|hint| hint.raw().to_owned());
        let fault = if failure.blame == crate::error::Blame::User { Fault::Input } else { Fault::Host };
        return Err(Report { fault, message: failure.message.raw().to_owned(), hint, place: None }.into());
    }
    if session::find(base, session).is_ok_and(|found| found.manifest.is_none()) && manifest.status != Status::Running {
        session::keep_manifest(base, manifest)?;
    }
    let name = format!("{}.duckdb", step.id);
    folder.rename(&beside, &folder, &name).with_context(|| format!("cannot keep the output of step `{}`", step.id))?;
    session::tables_file(base, session, &file)
}
