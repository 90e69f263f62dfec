//! What a run takes from earlier sessions of its base folder: records of their ledgers, and their outputs.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use zeroize::Zeroizing;

use super::{Base, LEDGER, PREFIX, noise, plain, sweep, write_private};
use crate::error::Report;

/// The file of the base folder's own key, in the folder of sessions.
const KEY: &str = "reuse.key";

/// The length of the key, in bytes.
const KEY_BYTES: usize = 32;

/// A session that has begun before, with its folder.
#[derive(Debug)]
pub struct Earlier {
    pub id: String,
    dir: Dir,
}

/// The sessions of `base` but `own`, the newest first.
///
/// # Errors
/// If the folder of sessions cannot be read.
pub fn earlier(base: &Base, own: &str) -> anyhow::Result<impl Iterator<Item = Earlier> + use<>> {
    let sessions = super::sessions_dir(base)?;
    let mut ids = Vec::new();
    for entry in sessions.entries().context("cannot read the folder of sessions")? {
        let id = entry?.file_name().to_string_lossy().into_owned();
        if id.starts_with(PREFIX) && id != own {
            ids.push(id);
        }
    }
    ids.sort_by(|one, other| other.cmp(one));
    Ok(ids.into_iter().filter_map(move |id| Some(Earlier { dir: sessions.open_dir(&id).ok()?, id })))
}

impl Earlier {
    /// A record of the session's ledger; `None` if it has none of that name.
    pub fn record(&self, name: &str) -> Option<String> {
        plain::read(&self.dir, Path::new(LEDGER).join(name)).ok()
    }

    /// Whether the session has a file of tables of a step.
    pub fn has_output(&self, step: &str) -> bool {
        self.dir.symlink_metadata(format!("data/{step}.duckdb")).is_ok_and(|found| found.is_file())
    }

    /// Whether a run is at work on it.
    pub fn is_running(&self) -> bool {
        sweep::is_running(&self.dir)
    }

    /// Gives an output of the session the name `beside` in the folder `data`: as a copy that shares its blocks where the file
    /// system can do that, as a second name of the file where not, or as a copy. Returns the opened file.
    ///
    /// # Errors
    /// If it is missing, no regular file, or cannot be linked.
    pub fn link_output(&self, step: &str, data: &Dir, beside: &str) -> anyhow::Result<File> {
        let from = self.dir.open_dir("data").context("cannot open its outputs")?;
        let name = format!("{step}.duckdb");
        let found = plain::open(&from, &name).with_context(|| format!("cannot open its output `{name}`"))?;
        let _ = data.remove_file(beside);
        if let Some(cloned) = clone(&found, data, beside) {
            return Ok(cloned);
        }
        if from.hard_link(&name, data, beside).is_err() {
            let mut found = found.into_std();
            let mut copied = create(data, beside, &found)?;
            std::io::copy(&mut found, &mut copied).context("cannot copy its output")?;
            copied.sync_all().context("cannot copy its output")?;
            return Ok(copied);
        }
        let is_file = data.symlink_metadata(beside).is_ok_and(|found| found.is_file());
        anyhow::ensure!(is_file, "its output `{name}` is no plain file");
        // What now has the name is opened, not what had the other one.
        Ok(plain::open(data, beside).context("cannot open a linked output")?.into_std())
    }
}

/// A copy that shares the blocks of `found`, if the file system can make one.
fn clone(found: &cap_std::fs::File, data: &Dir, beside: &str) -> Option<File> {
    let found = found.try_clone().ok()?.into_std();
    let cloned = create(data, beside, &found).ok()?;
    if rustix::fs::ioctl_ficlone(&cloned, &found).is_err() || cloned.sync_all().is_err() {
        let _ = data.remove_file(beside);
        return None;
    }
    Some(cloned)
}

/// Creates a file that those may read who may read `found`.
fn create(data: &Dir, beside: &str, found: &File) -> anyhow::Result<File> {
    let mode = found.metadata().context("cannot look at an output")?.permissions();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(mode.mode() & 0o777);
    Ok(data.open_with(beside, &options).with_context(|| format!("cannot create `{beside}`"))?.into_std())
}

/// The base folder's own key, which is made when it is first needed. What is sealed with it was noted by a run of this base
/// folder, and what is digested with it cannot be guessed from the digest.
///
/// # Errors
/// If it can be neither read nor made, or is not a key.
pub fn own_key(base: &Base) -> anyhow::Result<Zeroizing<[u8; KEY_BYTES]>> {
    let path = base.sessions.path().join(KEY).display().to_string();
    let sessions = super::sessions_dir(base)?;
    loop {
        match plain::read_bytes(&sessions, KEY, KEY_BYTES as u64) {
            Ok(bytes) => {
                let bytes = Zeroizing::new(bytes);
                return Ok(Zeroizing::new(bytes.as_slice().try_into().map_err(|_| {
                    Report::input(format!("`{path}` is damaged: it is not a key of {KEY_BYTES} bytes"))
                        .hint("remove it; what earlier sessions made is then not reused")
                })?));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => make_key(&sessions)?,
            Err(error) => return Err(error).with_context(|| format!("cannot read `{path}`")),
        }
    }
}

fn make_key(sessions: &Dir) -> anyhow::Result<()> {
    let doing = || format!("cannot make the key `{KEY}` in the folder of sessions");
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    let mut filled = 0;
    while filled < KEY_BYTES {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    let beside = format!(".{KEY}.{:016x}", noise());
    write_private(sessions, &beside, bytes.as_slice()).with_context(doing)?;
    // Another run may be making one too: the first counts, whole.
    let linked = sessions.hard_link(&beside, sessions, KEY);
    let _ = sessions.remove_file(&beside);
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error).with_context(doing),
        _ => Ok(()),
    }
}
