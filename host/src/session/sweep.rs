//! Removes what sessions left behind whose host died: scratch folders and files beside targets.

use std::io::Write;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions};
use rustix::fs::{FlockOperation, flock};

use super::{Base, LOCK, PREFIX, SCRATCH, plain};
use crate::grants::reserved;

/// The names of a session's files beside targets, one JSON string per line.
const TARGETS: &str = "scratch/.targets";

/// Records a file beside a target before it is created. `below_base` is relative to the base folder.
pub fn remember(session: &Dir, below_base: &Path) -> anyhow::Result<()> {
    let mut file = session.open_with(TARGETS, OpenOptions::new().create(true).append(true))?;
    let name = below_base.to_str().ok_or_else(|| anyhow::anyhow!("path {} is not UTF-8", below_base.display()))?;
    Ok(writeln!(file, "{}", serde_json::Value::from(name))?)
}

/// Cleans up after every session in `sessions` whose lock nobody holds. What cannot be removed is left for the next
/// time: a run does not fail because of another run's leftovers.
pub fn dead_sessions(base: &Base, sessions: &Dir) {
    for entry in sessions.entries().into_iter().flatten().flatten() {
        let is_session = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Ok(session) = entry.open_dir() else { continue };
        if is_session && let Ok(Some(_lock)) = lock_if_dead(&session) {
            clear(base, &session, &entry.file_name().to_string_lossy());
        }
    }
}

/// The lock of a session whose host died; `None` for a running or closed session.
pub fn lock_if_dead(session: &Dir) -> std::io::Result<Option<std::fs::File>> {
    if !session.exists(LOCK) {
        return Ok(None);
    }
    let lock = plain::open(session, LOCK)?.into_std();
    Ok(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(lock))
}

/// Whether the session's host is alive.
pub fn is_running(session: &Dir) -> bool {
    session.exists(LOCK) && !matches!(lock_if_dead(session), Ok(Some(_)))
}

fn clear(base: &Base, session: &Dir, id: &str) {
    if !session.exists(SCRATCH) {
        return;
    }
    let remembered = plain::read(session, TARGETS).unwrap_or_default();
    for name in remembered.lines().filter_map(|line| serde_json::from_str::<PathBuf>(line).ok()) {
        // Only names that this session can have created.
        let own = |file: &str| file.starts_with('.') && file.ends_with(&format!(".{id}"));
        if name.file_name().is_some_and(|file| own(&file.to_string_lossy())) && !reserved::from_writing(&name) {
            let _ = base.dir.remove_file(&name).or_else(|_| base.dir.remove_dir_all(&name));
        }
    }
    let _ = session.remove_dir_all(SCRATCH);
    let _ = session.remove_file(LOCK);
}
