//! The folder of a worker: its blobs, and a folder for each attempt. It is removed at the end, or by the next worker if
//! this one dies.

use std::path::{Path, PathBuf};

use anyhow::Context;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt};
use rustix::fs::{FlockOperation, flock};

use crate::session::{noise, plain};

const PREFIX: &str = "worker-";
const LOCK: &str = "lock";
const BLOBS: &str = "blobs";

#[derive(Debug)]
pub struct Folder {
    /// Absolute.
    path: PathBuf,
    dir: Dir,
    name: String,
    parent: Dir,
    /// Held while the worker lives.
    _lock: std::fs::File,
}

impl Folder {
    /// Creates a worker's folder in `parent`, after removing those of workers that died.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(parent: &Path) -> anyhow::Result<Self> {
        let doing = || format!("cannot create the worker's folder in `{}`", parent.display());
        std::fs::create_dir_all(parent).with_context(doing)?;
        let place = std::fs::canonicalize(parent).with_context(doing)?;
        let parent = Dir::open_ambient_dir(&place, ambient_authority()).with_context(doing)?;
        // Several workers may start at once, and a folder without a lock looks like that of a dead one.
        let turn = parent.open(".").with_context(doing)?.into_std();
        flock(&turn, FlockOperation::LockExclusive).with_context(doing)?;
        sweep(&parent);
        let name = format!("{PREFIX}{:016x}", noise());
        let mut private = DirBuilder::new();
        private.mode(0o700);
        parent.create_dir_with(&name, &private).with_context(doing)?;
        let dir = parent.open_dir(&name).with_context(doing)?;
        let lock = dir.create(LOCK).with_context(doing)?.into_std();
        flock(&lock, FlockOperation::LockExclusive).with_context(doing)?;
        dir.create_dir(BLOBS).with_context(doing)?;
        Ok(Self { path: place.join(&name), dir, name, parent, _lock: lock })
    }

    /// The folder of blobs.
    pub fn blobs(&self) -> anyhow::Result<(PathBuf, Dir)> {
        Ok((self.path.join(BLOBS), self.dir.open_dir(BLOBS).context("cannot open the folder of blobs")?))
    }

    /// Creates an empty folder for an attempt.
    pub fn create_attempt(&self, attempt: u64) -> anyhow::Result<(PathBuf, Dir)> {
        let name = format!("attempt-{attempt}");
        self.dir.create_dir(&name).context("cannot create a folder for an attempt")?;
        Ok((self.path.join(&name), self.dir.open_dir(&name).context("cannot open the folder of an attempt")?))
    }

    pub fn remove_attempt(&self, attempt: u64) {
        // What cannot be removed goes with the worker's folder.
        let _ = self.dir.remove_dir_all(format!("attempt-{attempt}"));
    }
}

impl Folder {
    /// Removes it, with all that is in it.
    pub fn remove(&self) {
        let _ = self.parent.remove_dir_all(&self.name);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes the folders of workers that died: nobody holds their locks.
fn sweep(parent: &Dir) {
    for entry in parent.entries().into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(folder) = entry.open_dir() else { continue };
        let is_dead = || match plain::open(&folder, LOCK) {
            Ok(lock) => flock(lock.into_std(), FlockOperation::NonBlockingLockExclusive).is_ok(),
            // It died before it could create one.
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if name.starts_with(PREFIX) && is_dead() {
            let _ = parent.remove_dir_all(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, clippy::unwrap_used)]
    use super::*;

    #[test]
    fn folders_of_dead_workers_are_removed_and_no_others() {
        let parent = tempfile::tempdir().unwrap();
        let here = || {
            let mut names: Vec<_> = std::fs::read_dir(&parent)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let living = Folder::create(parent.path()).unwrap();
        living.parent.create_dir_all("worker-dead/attempt-1").unwrap();
        living.parent.write("worker-dead/lock", "").unwrap();
        living.parent.create_dir_all("worker-hardly-born").unwrap();
        std::fs::create_dir(parent.path().join("other")).unwrap();
        let next = Folder::create(parent.path()).unwrap();
        let mut expected = vec!["other".to_owned(), living.name.clone(), next.name.clone()];
        expected.sort();
        assert_eq!(here(), expected);
        next.create_attempt(7).unwrap().1.write("x", "y").unwrap();
        next.remove_attempt(7);
        assert_eq!(std::fs::read_dir(&next.path).unwrap().count(), 2);
        drop((living, next));
        assert_eq!(here(), ["other"]);
    }

    #[test]
    fn workers_that_start_at_once_leave_one_another_alone() {
        let parent = tempfile::tempdir().unwrap();
        for _ in 0..20 {
            let folders: Vec<Folder> = std::thread::scope(|scope| {
                let creating: Vec<_> = (0..8).map(|_| scope.spawn(|| Folder::create(parent.path()).unwrap())).collect();
                creating.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(folders.iter().all(|folder| folder.path.join(LOCK).exists()));
        }
    }
}
