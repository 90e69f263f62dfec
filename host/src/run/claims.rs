//! DuckDB files that steps use: locked while they do, so that nothing that others write is lost or read by half.
//!
//! DuckDB locks a file that it has open with `fcntl`: for reading, others may read too; for writing, nobody else may. The
//! host takes the lock of a reader. So a file that somebody writes to is noticed, and nobody starts to write to it while
//! a step works on a copy; those who only read are not disturbed. The locks are of the kind that belongs to an open file
//! and not to a process, so that closing another file of the same name does not release them.
//!
//! Steps that update the same file exclude each other by a lock file beside it, because the file itself is another one
//! after each update.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions};
use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{FlockOperation, RenameFlags, flock, renameat_with};

use crate::error::Report;
use crate::session::plain;

/// How long a step waits for a file that others use.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How often it looks meanwhile.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The endings of the files in which DuckDB logs changes that a file lacks.
const LOGS: [&str; 3] = [".wal", ".wal.checkpoint", ".wal.recovery"];

/// A file that others use at the moment.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Busy {
    pub message: String,
    pub hint: String,
}

/// What tells a file from another one, and from itself with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl Version {
    fn of(found: &Metadata) -> Self {
        Self { file: (found.dev(), found.ino()), size: found.size(), modified: (found.mtime(), found.mtime_nsec()) }
    }
}

/// A DuckDB file that is there, locked against writers until this is dropped.
#[derive(Debug)]
pub(super) struct Present {
    version: Version,
    _lock: File,
}

impl Present {
    /// Locks a file of a folder; `shown` is its name for people.
    ///
    /// # Errors
    /// [`Busy`] if somebody writes to it, or left changes in a log.
    pub(super) fn lock(folder: &Dir, name: &OsStr, shown: &str) -> anyhow::Result<Self> {
        let doing = || format!("cannot open `{shown}`");
        let file = plain::open(folder, name).with_context(doing)?;
        let found = file.metadata().with_context(doing)?;
        let file = file.into_std();
        let readers = libc::flock {
            l_type: libc::F_RDLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&readers)) {
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => {
                return Err(Busy {
                    message: format!("another program has `{shown}` open for writing"),
                    hint: "close it there, or open it read-only there: `duckdb -readonly FILE`, \
                           `duckdb.connect(file, read_only=True)`"
                        .to_owned(),
                }
                .into());
            }
            outcome => drop(outcome.with_context(|| format!("cannot lock `{shown}`"))?),
        }
        // Only now nobody writes to it, unless it was replaced meanwhile.
        let version = Version::of(&found);
        if version_at(folder, name)? != Some(version) {
            return Err(Busy {
                message: format!("`{shown}` changed while it was opened"),
                hint: "try again".to_owned(),
            }
            .into());
        }
        refuse_logs(folder, name, shown)?;
        Ok(Self { version, _lock: file })
    }

    /// Device and inode.
    pub(super) fn identity(&self) -> (u64, u64) {
        self.version.file
    }
}

/// A DuckDB file keeps recent changes in a log beside it while it is open for writing, and after a crash.
fn refuse_logs(folder: &Dir, name: &OsStr, shown: &str) -> Result<(), Busy> {
    for ending in LOGS {
        let mut log = name.to_owned();
        log.push(ending);
        if folder.symlink_metadata(&log).is_ok_and(|found| found.size() > 0) {
            return Err(Busy {
                message: format!(
                    "`{shown}` has a log beside it, `{}`, with changes that are not in the file yet",
                    log.display()
                ),
                hint:
                    "close the program that writes to it; after a crash, open it once with DuckDB and run `checkpoint`"
                        .to_owned(),
            });
        }
    }
    Ok(())
}

fn version_at(folder: &Dir, name: &OsStr) -> std::io::Result<Option<Version>> {
    match folder.symlink_metadata(name) {
        Ok(found) => Ok(Some(Version::of(&found))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A DuckDB file that a step updates. Nobody else does until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    folder: Dir,
    name: OsString,
    /// The name for people.
    shown: String,
    present: Option<Present>,
    _lock: LockFile,
}

impl Claim {
    /// Claims a file of a folder, whether or not it is there.
    ///
    /// # Errors
    /// [`Busy`] if others use it.
    pub(super) fn take(folder: Dir, name: &OsStr, shown: &str) -> anyhow::Result<Self> {
        let lock = LockFile::take(&folder, name, shown)?;
        let present = match version_at(&folder, name)? {
            Some(_) => Some(Present::lock(&folder, name, shown)?),
            None => {
                refuse_logs(&folder, name, shown)?;
                None
            }
        };
        Ok(Self { folder, name: name.to_owned(), shown: shown.to_owned(), present, _lock: lock })
    }

    /// The file, if it is there.
    pub(super) fn present(&self) -> Option<&Present> {
        self.present.as_ref()
    }

    /// Puts the updated copy, which is in the same folder, in the file's place.
    ///
    /// # Errors
    /// A [`Report`] if the file is no longer the one that was copied; it stays as it is then.
    pub(super) fn publish(&self, copy: &Path) -> anyhow::Result<()> {
        let doing = || format!("cannot put `{}` into place", self.shown);
        let copy = copy.file_name().with_context(doing)?;
        refuse_logs(&self.folder, &self.name, &self.shown).map_err(|_| self.changed())?;
        if version_at(&self.folder, &self.name)? != self.present.as_ref().map(|present| present.version) {
            return Err(self.changed().into());
        }
        if self.present.is_some() {
            return self.folder.rename(copy, &self.folder, &self.name).with_context(doing);
        }
        let outcome = renameat_with(&self.folder, copy, &self.folder, &*self.name, RenameFlags::NOREPLACE);
        match outcome {
            Err(rustix::io::Errno::EXIST) => Err(self.changed().into()),
            // Some file systems have no such call.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                self.folder.hard_link(copy, &self.folder, &self.name).map_err(|error| match error.kind() {
                    ErrorKind::AlreadyExists => anyhow::Error::from(self.changed()),
                    _ => anyhow::Error::from(error).context(doing()),
                })?;
                self.folder.remove_file(copy).with_context(doing)
            }
            outcome => outcome.with_context(doing),
        }
    }

    fn changed(&self) -> Report {
        let shown = &self.shown;
        Report::input(format!("`{shown}` was changed by another program while the step updated a copy of it"))
            .hint("nothing was written; run the step again")
    }
}

/// A file whose lock only one step can have.
#[derive(Debug)]
struct LockFile {
    folder: Dir,
    name: PathBuf,
    _lock: File,
}

impl LockFile {
    fn take(folder: &Dir, of: &OsStr, shown: &str) -> anyhow::Result<Self> {
        let name = PathBuf::from(format!(".{}.osiris-lock", of.to_string_lossy()));
        let doing = || format!("cannot lock `{shown}`");
        let busy = || Busy {
            message: format!("another run is updating `{shown}`"),
            hint: "wait until it has ended; with `retries: N` the step waits by itself".to_owned(),
        };
        loop {
            let created = folder.open_with(&name, OpenOptions::new().write(true).create_new(true));
            let lock = match created {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => plain::open(folder, &name),
                created => created,
            };
            let lock = match lock {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(Report::input(format!("{}: {error}", doing()))
                        .hint("make its folder writable, or write elsewhere")
                        .into());
                }
                lock => lock.with_context(doing)?,
            };
            let found = lock.metadata().with_context(doing)?;
            let lock = lock.into_std();
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(busy().into()),
                outcome => outcome.with_context(doing)?,
            }
            // Whoever had it may have removed it meanwhile: then the next one locks another file.
            let is_it = |at: Metadata| (at.dev(), at.ino()) == (found.dev(), found.ino());
            if folder.symlink_metadata(&name).is_ok_and(is_it) {
                return Ok(Self { folder: folder.try_clone().with_context(doing)?, name, _lock: lock });
            }
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Removed while it is locked. If that fails, the next step locks this one.
        let _ = self.folder.remove_file(&self.name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn folder() -> (tempfile::TempDir, Dir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
        (folder, dir)
    }

    fn claim(dir: &Dir) -> anyhow::Result<Claim> {
        Claim::take(dir.try_clone().unwrap(), OsStr::new("w.duckdb"), "w.duckdb")
    }

    fn is_busy(outcome: anyhow::Result<Claim>) -> bool {
        outcome.is_err_and(|error| error.is::<Busy>())
    }

    #[test]
    fn a_file_is_claimed_once_and_its_lock_is_removed() {
        let (_folder, dir) = folder();
        for content in [None, Some("old")] {
            content.into_iter().for_each(|content| dir.write("w.duckdb", content).unwrap());
            let first = claim(&dir).unwrap();
            assert!(is_busy(claim(&dir)));
            drop(first);
            assert!(claim(&dir).is_ok() && !dir.exists(".w.duckdb.osiris-lock"));
        }
    }

    #[test]
    fn a_lock_that_a_dead_host_left_is_taken_over() {
        let (_folder, dir) = folder();
        dir.write(".w.duckdb.osiris-lock", "").unwrap();
        assert!(claim(&dir).is_ok());
    }

    #[test]
    fn a_file_with_a_log_beside_it_is_refused() {
        let (_folder, dir) = folder();
        dir.write("w.duckdb", "old").unwrap();
        dir.write("w.duckdb.wal", "").unwrap();
        assert!(claim(&dir).is_ok(), "an empty log has no changes");
        dir.write("w.duckdb.wal", "x").unwrap();
        assert!(is_busy(claim(&dir)));
    }

    #[test]
    fn a_copy_replaces_only_the_file_that_was_copied() {
        let (_folder, dir) = folder();
        let publish = |claim: &Claim| {
            dir.write("copy", "new").unwrap();
            claim.publish(Path::new("copy"))
        };
        let claimed = claim(&dir).unwrap();
        dir.write("w.duckdb", "made by another").unwrap();
        assert!(publish(&claimed).is_err());
        drop(claimed);
        let claimed = claim(&dir).unwrap();
        publish(&claimed).unwrap();
        assert_eq!(dir.read_to_string("w.duckdb").unwrap(), "new");
        drop(claimed);
        let claimed = claim(&dir).unwrap();
        dir.write("w.duckdb", "changed by another").unwrap();
        assert!(publish(&claimed).is_err());
        assert_eq!(dir.read_to_string("w.duckdb").unwrap(), "changed by another");
    }
}
