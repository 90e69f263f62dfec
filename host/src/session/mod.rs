//! One run's folder: its data, scratch, artifacts and logs, reached only through a capability on it.
//!
//! The folder is `<base>/.osiris_sessions/<id>/`, or `<id>/` in the folder that the operator names. An open session locks a file in it, so that others can distinguish a
//! running session from one whose host died.

pub mod earlier;
mod folder;
mod history;
mod journal;
mod manifest;
pub mod plain;
pub mod state;
mod sweep;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use serde_json::{Map, Value};

use crate::error::Report;
use crate::grants::reserved;
use crate::pipeline::StepId;
use crate::secrets::scrubber::Scrubber;
pub use folder::Folder;
pub use history::{Retention, Summary, collect, data_folder, find, keep_manifest, list, retain, tables_file};
pub use journal::{Journal, now};
pub use manifest::{DriverRecord, InputRecord, Manifest, Reuse, Reused, Selected, Status, StepRecord, TableRecord};

/// Fields of events that contain only names.
const NAMES: [&str; 7] = ["step_id", "status", "level", "inputs", "tables", "duckdb_path", "component"];

const LOCK: &str = "lock";
const SCRATCH: &str = "scratch";

/// The folder of the session's ledger.
const LEDGER: &str = "ledger";
const MANIFEST: &str = "manifest.yaml";

/// The folder that pipelines' paths are relative to, and that no path may leave.
#[derive(Debug)]
pub struct Base {
    pub dir: Dir,
    /// Absolute, without symlinks.
    pub path: PathBuf,
    /// Files with secrets, which no step may touch, besides those that are reserved by their names.
    pub guarded: Vec<PathBuf>,
    pub sessions: Folder,
    pub states: Folder,
}

/// Where the folders are that Osiris writes by itself, unless in the base folder, and who says so.
#[derive(Debug, Clone, Default)]
pub struct OwnFolders {
    pub sessions: Option<(PathBuf, &'static str)>,
    pub states: Option<(PathBuf, &'static str)>,
}

impl Base {
    /// # Errors
    /// If the folder does not exist or cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let absolute = std::fs::canonicalize(path).map_err(|error| {
            Report::input(format!("cannot open base folder `{}`: {error}", path.display()))
                .hint("name an existing folder with `--base DIR`")
        })?;
        if absolute.to_str().is_none() {
            return Err(Report::input(format!("the path of base folder `{}` is not UTF-8", path.display()))
                .hint("rename its folders, or name another base with `--base DIR`")
                .into());
        }
        let dir = Dir::open_ambient_dir(&absolute, ambient_authority())
            .map_err(|error| Report::input(format!("cannot open base folder `{}`: {error}", path.display())))?;
        let sessions = Folder::inside(&dir, &absolute, reserved::SESSIONS)?;
        let states = Folder::inside(&dir, &absolute, reserved::STATES)?;
        Ok(Self { dir, path: absolute, guarded: Vec::new(), sessions, states })
    }

    /// Moves Osiris's own folders to where the operator wants them.
    ///
    /// # Errors
    /// A [`Report`] if one of them cannot be there.
    pub fn with(mut self, folders: &OwnFolders) -> Result<Self, Report> {
        if let Some((path, whose)) = &folders.sessions {
            self.sessions = Folder::at(path, whose, &self.path)?;
        }
        if let Some((path, whose)) = &folders.states {
            self.states = Folder::at(path, whose, &self.path)?;
        }
        Ok(self)
    }
}

impl Base {
    /// Locks the base folder's own files against other commands until the returned file is closed.
    ///
    /// # Errors
    /// If they cannot be locked.
    pub fn hold(&self) -> anyhow::Result<std::fs::File> {
        let folder = self.dir.open(".").context("cannot open the base folder")?.into_std();
        rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).context("cannot hold the base folder")?;
        Ok(folder)
    }

    /// The path of one of Osiris's own files, in a folder for this user only.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn own_file(&self, name: &str) -> anyhow::Result<String> {
        state::make_own_folder(self).with_context(|| format!("cannot create `{}`", reserved::OWN))?;
        Ok(format!("{}/{name}", reserved::OWN))
    }

    /// Writes a file of the base folder atomically: a reader sees either the old text or the new.
    ///
    /// # Errors
    /// A [`Report`] if the folder may not be written, which `remedy` is for; or whatever else went wrong.
    pub fn write_whole(&self, name: &str, text: &str, remedy: &str) -> anyhow::Result<()> {
        // Several runs may write at once: each writes a separate temporary file, out of the user's sight.
        let own = format!(".{name}.{:x}", noise());
        let written = write_whole(&self.dir, &own, text).and_then(|()| Ok(self.dir.rename(&own, &self.dir, name)?));
        written.map_err(|error| match error.downcast::<std::io::Error>() {
            Ok(error) => self.not_written(name, error, remedy),
            Err(error) => error,
        })
    }

    /// Why a file of the base folder is not written, with the remedy if the folder may not be written at all.
    pub fn not_written(&self, name: &str, error: std::io::Error, remedy: &str) -> anyhow::Error {
        let doing = format!("cannot write `{name}` in `{}`", self.path.display());
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Report::input(format!("{doing}: {error}")).hint(remedy).into()
            }
            _ => anyhow::Error::from(error).context(doing),
        }
    }
}

/// A session that is running.
#[derive(Debug)]
pub struct Session {
    pub id: String,
    /// Absolute.
    pub path: PathBuf,
    pub journal: Journal,
    /// Redacts the secrets of the run.
    pub scrubber: Scrubber,
    dir: Dir,
    /// Held while the session runs.
    _lock: std::fs::File,
}

impl Session {
    /// Creates a session's folder below `base`, after removing what dead sessions left.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn create(base: &Base, scrubber: Scrubber) -> anyhow::Result<Self> {
        let sessions = sessions_dir(base)?;
        sweep::dead_sessions(base, &sessions);
        let id = create_next(&sessions)?;
        let dir = sessions.open_dir(&id)?;
        let lock = dir.create(LOCK).context("cannot create the session's lock")?.into_std();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).context("cannot lock the session")?;
        for folder in ["data", "artifacts", "logs", LEDGER, SCRATCH] {
            dir.create_dir(folder).with_context(|| format!("cannot create the session's folder `{folder}`"))?;
        }
        let journal = Journal::create(&dir.open_dir("logs")?, &id)?;
        let path = base.sessions.path().join(&id);
        Ok(Self { id, path, journal, scrubber, dir, _lock: lock })
    }

    /// Opens a session that has ended or whose host died, to go on with it, or creates one of that name: another machine began
    /// it.
    ///
    /// # Errors
    /// A [`Report`] if it is running, or the folder cannot be opened.
    pub fn reopen(base: &Base, id: &str, scrubber: Scrubber) -> anyhow::Result<Self> {
        let sessions = sessions_dir(base)?;
        sweep::dead_sessions(base, &sessions);
        match sessions.create_dir(id) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot create session `{id}`"));
            }
            _ => {}
        }
        let dir = sessions.open_dir(id).with_context(|| format!("cannot open session `{id}`"))?;
        let mut options = OpenOptions::new();
        let lock = plain::open_with(&dir, LOCK, options.write(true).create(true)).context("cannot lock the session")?;
        let lock = lock.into_std();
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Report::busy(format!("session `{id}` is running")).hint("wait for it to end").into());
        }
        for folder in ["data", "artifacts", "logs", LEDGER, SCRATCH] {
            dir.create_dir_all(folder).with_context(|| format!("cannot create the session's folder `{folder}`"))?;
        }
        let journal = Journal::open(&dir.open_dir("logs")?, id)?;
        let path = base.sessions.path().join(id);
        Ok(Self { id: id.to_owned(), path, journal, scrubber, dir, _lock: lock })
    }

    /// The step's data file, for reading.
    pub fn data_file(&self, step: &StepId) -> PathBuf {
        self.path.join("data").join(format!("{step}.duckdb"))
    }

    /// Creates the step's empty scratch folder.
    pub fn create_scratch(&self, step: &StepId) -> anyhow::Result<PathBuf> {
        let name = scratch_name(step);
        self.dir.create_dir(&name).with_context(|| format!("cannot create the scratch folder of step `{step}`"))?;
        Ok(self.scratch_path(step))
    }

    /// The path of the step's scratch folder.
    pub fn scratch_path(&self, step: &StepId) -> PathBuf {
        self.path.join(scratch_name(step))
    }

    /// Removes the step's scratch folder with its contents.
    pub fn remove_scratch(&self, step: &StepId) {
        // What cannot be removed is swept at the next run.
        let _ = self.dir.remove_dir_all(scratch_name(step));
    }

    /// The step's scratch folder.
    pub fn scratch_folder(&self, step: &StepId) -> anyhow::Result<Dir> {
        self.dir
            .open_dir(scratch_name(step))
            .with_context(|| format!("cannot open the scratch folder of step `{step}`"))
    }

    /// Moves the complete output of a finished step, `file` in its scratch folder, to `data/`.
    ///
    /// # Errors
    /// If the file is not a regular file that belongs to the step, or cannot be moved.
    pub fn keep_output(&self, step: &StepId, file: &str) -> anyhow::Result<()> {
        let from = format!("{}/{file}", scratch_name(step));
        let found =
            self.dir.symlink_metadata(&from).with_context(|| format!("cannot find the output of step `{step}`"))?;
        anyhow::ensure!(found.is_file(), "the output of step `{step}` is no plain file");
        let data = self.dir.open_dir("data")?;
        self.dir
            .rename(&from, &data, format!("{step}.duckdb"))
            .with_context(|| format!("cannot keep the output of step `{step}`"))?;
        sync(&data)
    }

    /// Gives an output that is in the folder of outputs, as `beside`, its name.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub fn keep_linked(&self, step: &StepId, beside: &str) -> anyhow::Result<()> {
        let data = self.dir.open_dir("data")?;
        data.rename(beside, &data, format!("{step}.duckdb"))
            .with_context(|| format!("cannot keep the output of step `{step}`"))?;
        sync(&data)
    }

    /// The size of a step's output, if it is there.
    pub fn output_bytes(&self, step: &StepId) -> Option<u64> {
        Some(self.dir.symlink_metadata(format!("data/{step}.duckdb")).ok()?.len())
    }

    /// The folder of outputs.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn data_folder(&self) -> anyhow::Result<Dir> {
        self.dir.open_dir("data").context("cannot open the session's data")
    }

    /// Writes a record of the session's ledger atomically, for this user only. One that is not `durable` may be
    /// lost or damaged if the machine goes down.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_record(&self, name: &str, text: &str, durable: bool) -> anyhow::Result<()> {
        let written = self.dir.open_dir(LEDGER).map_err(Into::into).and_then(|ledger| {
            let how = if durable { Flush::Yes } else { Flush::No };
            write_beside(&ledger, name, text.as_bytes(), 0o600, how)
        });
        written.with_context(|| format!("cannot write record `{name}`"))
    }

    /// Removes a record of the session's ledger, if it is there.
    pub fn remove_record(&self, name: &str) {
        let _ = self.dir.open_dir(LEDGER).and_then(|ledger| ledger.remove_file(name));
    }

    /// The records of the session's ledger by name.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn records(&self) -> anyhow::Result<Vec<(String, String)>> {
        let ledger = self.dir.open_dir(LEDGER).context("cannot open the session's ledger")?;
        let mut records = Vec::new();
        for entry in ledger.entries().context("cannot read the session's ledger")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                let text = plain::read(&ledger, &name).with_context(|| format!("cannot read record `{name}`"))?;
                records.push((name, text));
            }
        }
        Ok(records)
    }

    /// Writes `artifacts/<step>/<name>` as JSON.
    pub fn write_artifact(&self, step: &StepId, name: &str, value: &Map<String, Value>) -> anyhow::Result<()> {
        let folder = format!("artifacts/{step}");
        self.dir.create_dir_all(&folder)?;
        let text = serde_json::to_string_pretty(value)?;
        write_whole(&self.dir.open_dir(&folder)?, name, &format!("{text}\n"))
            .with_context(|| format!("cannot write artifact `{name}` of step `{step}`"))
    }

    /// Records an event, with the run's secrets redacted.
    pub fn event(&self, event: &'static str, fields: Value) {
        self.journal.event(event, self.scrubber.scrubbed_fields(journal::object(fields), &NAMES));
    }

    /// Replaces the manifest.
    pub fn write_manifest(&self, manifest: &Manifest) -> anyhow::Result<()> {
        let text =
            serde_saphyr::to_string(&*self.scrubber.scrubbed(manifest)).context("cannot write the manifest as YAML")?;
        write_whole(&self.dir, MANIFEST, &text).context("cannot write the manifest")
    }

    /// Records that a file beside a target, relative to the base folder, belongs to this session and has to be removed
    /// with it.
    pub fn remember_target(&self, below_base: &Path) -> anyhow::Result<()> {
        sweep::remember(&self.dir, below_base)
    }

    /// Closes a session that does not run after all; one that was created for nothing is removed.
    pub fn give_up(self, base: &Base, is_new: bool) {
        let id = self.id.clone();
        self.close();
        if is_new && let Ok(sessions) = sessions_dir(base) {
            // What cannot be removed is an empty session.
            let _ = sessions.remove_dir_all(id);
        }
    }

    /// Closes the session: removes what only a running session needs.
    pub fn close(self) {
        let _ = self.dir.remove_dir_all(SCRATCH);
        let _ = self.dir.remove_file(LOCK);
    }
}

fn scratch_name(step: &StepId) -> String {
    format!("{SCRATCH}/{step}")
}

/// Opens the folder of sessions, creating it for this user only.
fn sessions_dir(base: &Base) -> anyhow::Result<Dir> {
    base.sessions.create("--sessions")
}

/// The prefix of every session folder's name.
pub const PREFIX: &str = "session_";

/// Whether `name` is the whole id of a session.
pub fn is_id(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX);
    rest.is_some_and(|rest| {
        rest.len() == "YYYYMMDD_HHMMSS_uuuuuu".len() && rest.chars().all(|c| c.is_ascii_digit() || c == '_')
    })
}

/// Creates the folder of a new session, `session_YYYYMMDD_HHMMSS_uuuuuu`. The last part is the microsecond of its
/// start, or the next free one, so that names sort in the order in which sessions were created.
fn create_next(sessions: &Dir) -> anyhow::Result<String> {
    let mut start = jiff::Timestamp::now();
    loop {
        let id = format!("{PREFIX}{}_{:06}", start.strftime("%Y%m%d_%H%M%S"), start.subsec_microsecond());
        match sessions.create_dir(&id) {
            Ok(()) => return Ok(id),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                start = start.checked_add(jiff::SignedDuration::from_micros(1)).context("the clock has run out")?;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot create session `{id}`")),
        }
    }
}

/// A number that differs between calls and between processes.
pub fn noise() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Writes a file atomically: a reader sees either the old text or the new.
fn write_whole(dir: &Dir, name: &str, text: &str) -> anyhow::Result<()> {
    write_beside(dir, name, text.as_bytes(), 0o666, Flush::Yes)
}

/// Like [`write_whole`], readable by this user only.
fn write_private(dir: &Dir, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    write_beside(dir, name, content.as_ref(), 0o600, Flush::Yes)
}

/// Whether a file is on disk before it takes its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flush {
    Yes,
    No,
}

fn write_beside(dir: &Dir, name: &str, content: &[u8], mode: u32, flush: Flush) -> anyhow::Result<()> {
    let beside = format!(".{name}.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = plain::open_with(dir, &beside, &mut options)?;
    file.write_all(content)?;
    if flush == Flush::Yes {
        file.sync_all()?;
    }
    dir.rename(&beside, dir, name)?;
    Ok(())
}

/// Makes a rename in `dir` durable.
fn sync(dir: &Dir) -> anyhow::Result<()> {
    rustix::fs::fsync(dir.open(".")?).context("cannot flush a folder to disk")
}
