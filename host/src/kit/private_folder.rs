//! The base folder of one run of a driver in a test, which disappears afterwards, whatever happens.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::executor::disk::Disk;

/// How the names of the folders begin.
const PREFIX: &str = "osiris-test-";

/// The folder of Linux's shared memory, and the room in it that a test may need, in bytes.
const MEMORY_FOLDER: &str = "/dev/shm";
const ENOUGH_MEMORY: u64 = 4 << 30;

/// A folder that is younger may not be locked yet.
const NEW: Duration = Duration::from_secs(60);

/// A folder that is removed when this is dropped. While it exists it is locked, so that one whose process was killed is
/// recognised and removed later.
#[derive(Debug)]
pub struct PrivateFolder {
    folder: TempDir,
    _lock: OwnedFd,
}

impl PrivateFolder {
    /// Creates one. What a test writes is small and need not survive a crash, so it is kept in memory where there is room:
    /// flushing it to a disk would take longer than the test.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create() -> anyhow::Result<Self> {
        let doing = || "cannot create a folder for a test";
        let has_room = |folder: &Dir| Disk::of(folder).is_some_and(|disk| disk.free >= ENOUGH_MEMORY);
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(PREFIX);
        let memory = Dir::open_ambient_dir(MEMORY_FOLDER, ambient_authority()).ok().filter(has_room);
        let in_memory = memory.and_then(|_| builder.tempdir_in(MEMORY_FOLDER).ok());
        let folder = in_memory.map_or_else(|| builder.tempdir(), Ok).with_context(doing)?;
        let lock = Dir::open_ambient_dir(folder.path(), ambient_authority()).with_context(doing)?;
        let lock = lockable(&lock).and_then(|lock| Ok(flock(&lock, FlockOperation::LockExclusive).map(|()| lock)?));
        let lock = lock.with_context(doing)?;
        Ok(Self { folder, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The folder itself as a file: the handle of a `Dir` only stands for its path.
fn lockable(folder: &Dir) -> std::io::Result<OwnedFd> {
    Ok(folder.open(".")?.into_std().into())
}

/// Removes what killed processes have left. What cannot be removed belongs to another user.
pub fn sweep() {
    let parents = [PathBuf::from(MEMORY_FOLDER), std::env::temp_dir()];
    for parent in parents.iter().filter_map(|parent| Dir::open_ambient_dir(parent, ambient_authority()).ok()) {
        sweep_in(&parent, NEW);
    }
}

fn sweep_in(parent: &Dir, new: Duration) {
    for entry in parent.entries().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_old = |metadata: &cap_std::fs::Metadata| {
            metadata.modified().ok().and_then(|time| time.into_std().elapsed().ok()).is_some_and(|age| age >= new)
        };
        let is_ours = name.to_string_lossy().starts_with(PREFIX)
            && parent.symlink_metadata(&name).is_ok_and(|metadata| metadata.is_dir() && is_old(&metadata));
        if is_ours
            && let Ok(folder) = parent.open_dir(&name).and_then(|folder| lockable(&folder))
            && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = parent.remove_dir_all(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_a_folder_in_use_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(parent.path(), ambient_authority()).unwrap();
        for name in ["osiris-test-left", "osiris-test-used", "another"] {
            dir.create_dir_all(format!("{name}/deep")).unwrap();
        }
        let used = lockable(&dir.open_dir("osiris-test-used").unwrap()).unwrap();
        flock(&used, FlockOperation::LockExclusive).unwrap();
        sweep_in(&dir, Duration::from_secs(3600));
        assert!(dir.exists("osiris-test-left"), "it is new");
        sweep_in(&dir, Duration::ZERO);
        assert!(!dir.exists("osiris-test-left") && dir.exists("osiris-test-used/deep") && dir.exists("another"));
        let folder = PrivateFolder::create().unwrap();
        let path = folder.path().to_owned();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());
    }
}
