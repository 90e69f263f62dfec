//! Past and running sessions: listed, shown, and removed when old.

use std::path::{Path, PathBuf};

use anyhow::Context;
use cap_std::fs::Dir;

use super::manifest::{Manifest, Status};
use super::{Base, MANIFEST, PREFIX, plain, sweep};
use crate::error::{Report, listed, nearest};

/// A session on disk.
#[derive(Debug)]
pub struct Summary {
    pub id: String,
    /// `None` if the manifest is missing or cannot be read.
    pub manifest: Option<Manifest>,
    /// The size of its files, in bytes.
    pub bytes: u64,
}

impl Summary {
    pub fn status(&self) -> Status {
        self.manifest.as_ref().map_or(Status::Interrupted, |manifest| manifest.status)
    }
}

/// All sessions of `base`, the newest last.
///
/// # Errors
/// If the sessions folder cannot be read; a missing folder gives an empty list.
pub fn list(base: &Base) -> anyhow::Result<Vec<Summary>> {
    let sessions = match base.sessions.open() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.with_context(|| format!("cannot open `{}`", base.sessions.path().display()))?,
    };
    let mut found = Vec::new();
    for entry in sessions.entries().with_context(|| format!("cannot read `{}`", base.sessions.path().display()))? {
        let entry = entry?;
        // Anything else in the folder was not made by a run.
        if entry.file_type()?.is_dir() && entry.file_name().to_string_lossy().starts_with(PREFIX) {
            found.push(read(&entry.open_dir()?, entry.file_name().to_string_lossy().into_owned()));
        }
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(found)
}

fn read(session: &Dir, id: String) -> Summary {
    Summary { id, manifest: manifest(session), bytes: size(session) }
}

/// A session's manifest, with what has become of it if its host died.
fn manifest(session: &Dir) -> Option<Manifest> {
    let manifest = plain::read(session, MANIFEST).ok().and_then(|text| serde_saphyr::from_str::<Manifest>(&text).ok());
    let running = sweep::is_running(session);
    manifest.map(|mut manifest| {
        if manifest.status == Status::Running && !running {
            manifest.status = Status::Interrupted;
            for step in manifest.steps.iter_mut().filter(|step| step.status == Status::Running) {
                step.status = Status::Interrupted;
            }
        }
        manifest
    })
}

fn size(dir: &Dir) -> u64 {
    let entries = dir.entries().into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => entry.open_dir().map_or(0, |dir| size(&dir)),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The file of tables that a session's manifest names, absolute and without symlinks.
///
/// # Errors
/// If it is not a regular file in the session's folder: a manifest may have been written by anyone.
pub fn tables_file(base: &Base, session: &str, named: &str) -> anyhow::Result<PathBuf> {
    let found = base.sessions.open().and_then(|sessions| sessions.open_dir(session)).and_then(|dir| {
        plain::open(&dir, named)?;
        dir.canonicalize(named)
    });
    let below_session = found.map_err(|error| {
        Report::input(format!("cannot open `{named}` of session `{session}`: {error}"))
            .hint("run the pipeline again; the session's folder was changed")
    })?;
    Ok(base.sessions.path().join(session).join(below_session))
}

/// The folder of a session's outputs, with its path; created if this machine did not run the session.
///
/// # Errors
/// If it cannot be created.
pub fn data_folder(base: &Base, session: &str) -> anyhow::Result<(Dir, PathBuf)> {
    let below = Path::new(session).join("data");
    let sessions = super::sessions_dir(base)?;
    sessions.create_dir_all(&below).with_context(|| format!("cannot create the folder of session `{session}`"))?;
    Ok((sessions.open_dir(&below)?, base.sessions.path().join(below)))
}

/// Keeps the manifest of a session that ran on another machine.
///
/// # Errors
/// If it cannot be written.
pub fn keep_manifest(base: &Base, manifest: &Manifest) -> anyhow::Result<()> {
    let session = super::sessions_dir(base)?.open_dir(&manifest.session_id)?;
    let text = serde_saphyr::to_string(manifest).context("cannot write the manifest as YAML")?;
    super::write_whole(&session, MANIFEST, &text).context("cannot write the manifest")
}

/// The session called `name`: its id, the end of its id, or `latest`.
///
/// # Errors
/// If no session or several match.
pub fn find(base: &Base, name: &str) -> anyhow::Result<Summary> {
    let mut sessions = list(base)?;
    if name == "latest" {
        return sessions.pop().ok_or_else(|| {
            Report::input(format!("there is no session in `{}`", base.sessions.path().display()))
                .hint("run a pipeline first, or name its folder with `--base DIR` or `--sessions DIR`")
                .into()
        });
    }
    let ids: Vec<String> = sessions.iter().map(|session| session.id.clone()).collect();
    let mut matching: Vec<Summary> = sessions.into_iter().filter(|session| session.id.ends_with(name)).collect();
    match matching.len() {
        1 => Ok(matching.remove(0)),
        0 => {
            let recent = || ids.iter().rev().take(5).map(String::as_str);
            let near = nearest(name, recent()).unwrap_or("latest");
            Err(Report::input(format!("no session is called `{name}`; the last ones: {}", listed(recent())))
                .hint(format!("try `{near}`"))
                .into())
        }
        _ => {
            let many = listed(matching.iter().map(|session| session.id.as_str()));
            Err(Report::input(format!("`{name}` fits several sessions: {many}")).hint("give more of its id").into())
        }
    }
}

/// Which sessions of a pipeline stay.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// The newest so many.
    pub runs: Option<usize>,
    /// Those that ended in this time.
    pub time: Option<std::time::Duration>,
}

/// Removes the sessions of `pipeline` that `retention` does not keep, after its run `made` has ended; with both limits, those beyond
/// the one that are also older than the other. The last session that succeeded stays, and so does each that is running. Returns how
/// many were removed.
///
/// # Errors
/// If a session cannot be removed.
pub fn retain(base: &Base, pipeline: &str, made: &str, retention: Retention) -> anyhow::Result<usize> {
    let sessions = base.sessions.open().context("cannot open the folder of sessions")?;
    let mut own: Vec<(String, Manifest)> = Vec::new();
    for entry in sessions.entries().context("cannot read the folder of sessions")?.flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        if id.starts_with(PREFIX)
            && let Ok(session) = entry.open_dir()
            && let Some(manifest) = manifest(&session).filter(|manifest| manifest.pipeline == pipeline)
        {
            own.push((id, manifest));
        }
    }
    own.sort_by(|(one, _), (other, _)| other.cmp(one));
    let last_success = own.iter().find(|(_, found)| found.status == Status::Success).map(|(id, _)| id.clone());
    let now = jiff::Timestamp::now();
    let mut removed = 0;
    for (id, manifest) in own.into_iter().skip(retention.runs.unwrap_or(0)) {
        let is_old = retention
            .time
            .is_none_or(|time| ended(&manifest).is_some_and(|ended| now.duration_since(ended).unsigned_abs() > time));
        if id == made || Some(&id) == last_success.as_ref() || manifest.status == Status::Running || !is_old {
            continue;
        }
        if sessions.open_dir(&id).is_ok_and(|session| !sweep::is_running(&session)) {
            sessions.remove_dir_all(&id).with_context(|| format!("cannot remove session `{id}`"))?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn ended(manifest: &Manifest) -> Option<jiff::Timestamp> {
    manifest.finished_at.as_ref().unwrap_or(&manifest.started_at).parse().ok()
}

/// Removes finished sessions except the newest `keep`, and those that ended more than `older_than` ago. A running
/// session is never removed. Returns the ids of the removed sessions (or, with `dry_run`, of those that would be
/// removed).
pub fn collect(
    base: &Base,
    keep: Option<usize>,
    older_than: Option<std::time::Duration>,
    dry_run: bool,
) -> anyhow::Result<Vec<Summary>> {
    let now = jiff::Timestamp::now();
    let is_old = |session: &Summary| match (older_than, session.manifest.as_ref().and_then(ended)) {
        (Some(age), Some(ended)) => now.duration_since(ended).unsigned_abs() > age,
        _ => older_than.is_none(),
    };
    let mut finished: Vec<Summary> =
        list(base)?.into_iter().filter(|session| session.status() != Status::Running).collect();
    let spared = keep.unwrap_or(0).min(finished.len());
    finished.truncate(finished.len() - spared);
    let sessions = base.sessions.open().ok();
    let mut removed = Vec::new();
    for session in finished.into_iter().filter(is_old) {
        let Some(folder) = sessions.as_ref().and_then(|sessions| sessions.open_dir(&session.id).ok()) else { continue };
        // It cannot have started since it was listed, but it may still be closing.
        if sweep::is_running(&folder) {
            continue;
        }
        if !dry_run && let Some(sessions) = &sessions {
            sessions.remove_dir_all(&session.id).with_context(|| format!("cannot remove session `{}`", session.id))?;
        }
        removed.push(session);
    }
    Ok(removed)
}
