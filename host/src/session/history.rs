//! Past and running sessions: listed, shown, and removed when old.

use std::path::{Path, PathBuf};

use anyhow::Context;
use cap_std::fs::Dir;

use super::manifest::{Manifest, Status};
use super::{Base, FOLDER, MANIFEST, PREFIX, plain, sweep};
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
    if !base.dir.exists(FOLDER) {
        return Ok(Vec::new());
    }
    let sessions = base.dir.open_dir(FOLDER)?;
    let mut found = Vec::new();
    for entry in sessions.entries().with_context(|| format!("cannot read `{FOLDER}`"))? {
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
    let manifest = plain::read(session, MANIFEST).ok().and_then(|text| serde_saphyr::from_str::<Manifest>(&text).ok());
    let running = sweep::is_running(session);
    let manifest = manifest.map(|mut manifest| {
        if manifest.status == Status::Running && !running {
            manifest.status = Status::Interrupted;
            for step in manifest.steps.iter_mut().filter(|step| step.status == Status::Running) {
                step.status = Status::Interrupted;
            }
        }
        manifest
    });
    Summary { id, manifest, bytes: size(session) }
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
    let below = Path::new(FOLDER).join(session);
    let found = base.dir.open_dir(&below).and_then(|dir| {
        plain::open(&dir, named)?;
        dir.canonicalize(named)
    });
    let below_session = found.map_err(|error| {
        Report::input(format!("cannot open `{named}` of session `{session}`: {error}"))
            .hint("run the pipeline again; the session's folder was changed")
    })?;
    Ok(base.path.join(below).join(below_session))
}

/// The folder of a session's outputs, with its path; created if this machine did not run the session.
///
/// # Errors
/// If it cannot be created.
pub fn data_folder(base: &Base, session: &str) -> anyhow::Result<(Dir, PathBuf)> {
    let below = Path::new(session).join("data");
    let sessions = super::sessions_dir(base)?;
    sessions.create_dir_all(&below).with_context(|| format!("cannot create the folder of session `{session}`"))?;
    Ok((sessions.open_dir(&below)?, base.path.join(FOLDER).join(below)))
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
            Report::input(format!("there is no session in `{}`", base.path.join(FOLDER).display()))
                .hint("run a pipeline first, or name its folder with `--base DIR`")
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
    let ended = |session: &Summary| {
        let manifest = session.manifest.as_ref()?;
        manifest.finished_at.as_ref().unwrap_or(&manifest.started_at).parse::<jiff::Timestamp>().ok()
    };
    let is_old = |session: &Summary| match (older_than, ended(session)) {
        (Some(age), Some(ended)) => now.duration_since(ended).unsigned_abs() > age,
        _ => older_than.is_none(),
    };
    let mut finished: Vec<Summary> =
        list(base)?.into_iter().filter(|session| session.status() != Status::Running).collect();
    let spared = keep.unwrap_or(0).min(finished.len());
    finished.truncate(finished.len() - spared);
    let sessions = base.dir.open_dir(FOLDER).ok();
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
