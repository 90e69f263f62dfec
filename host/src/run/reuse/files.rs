//! The content of what steps read and make, by digest. All of it is read on separate threads, as bytes: nothing is interpreted.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use cap_std::fs::Dir;

use crate::digest::Digest;
use crate::exchange::StoredFile;
use crate::protocol::FileGrant;
use crate::session::plain;
use crate::step::open_plain;

/// How long after a change the file system may still give a file the same time, if it knows fractions of seconds, and if not.
const FINE: Duration = Duration::from_millis(20);
const COARSE: Duration = Duration::from_secs(2);

/// What tells whether a file has changed: the system updates the last two with each change, and only the first by command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    identity: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            identity: (found.dev(), found.ino()),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// Whether a later change is certain to give another stamp: the last one is long enough ago.
    fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.changed.max(self.modified);
        let grain = if nanoseconds == 0 { COARSE } else { FINE };
        let since = Duration::new(seconds.try_into().unwrap_or(0), nanoseconds.try_into().unwrap_or(0));
        let changed = SystemTime::UNIX_EPOCH.checked_add(since);
        changed.is_some_and(|changed| now.duration_since(changed).is_ok_and(|ago| ago > grain))
    }
}

/// A granted file as it was before its step began.
#[derive(Debug)]
pub struct ReadFile {
    name: String,
    path: PathBuf,
    before: Option<Stamp>,
}

impl ReadFile {
    pub fn of(grant: &FileGrant) -> Self {
        let stamp = open_plain(&grant.path, false).ok().and_then(|file| Stamp::of(&file).ok());
        let now = SystemTime::now();
        let before = stamp.filter(|stamp| stamp.is_settled(now) && stamp.identity == grant.identity);
        Self { name: place_of(grant), path: grant.path.clone(), before }
    }
}

/// A granted file as records name it: by its name in the config, and where that leads.
fn place_of(grant: &FileGrant) -> String {
    format!("{} {}", grant.name, grant.path.display())
}

/// The content of granted files that their step has read; `None` if one may have changed since the step began.
pub fn contents_as_read(reads: &[ReadFile], ended: &dyn Fn() -> bool) -> Option<BTreeMap<String, StoredFile>> {
    let content = |read: &ReadFile| {
        let mut file = open_plain(&read.path, false).ok()?;
        let content = content(&mut file, ended)?;
        let unchanged = Stamp::of(&file).ok() == read.before && read.before.is_some();
        unchanged.then(|| (read.name.clone(), content))
    };
    reads.iter().map(content).collect()
}

/// The content of granted files as it is now; `None` if one cannot be read.
pub fn contents(grants: &[FileGrant], ended: &dyn Fn() -> bool) -> Option<BTreeMap<String, StoredFile>> {
    let content = |grant: &FileGrant| {
        let mut file = open_plain(&grant.path, false).ok()?;
        Some((place_of(grant), content(&mut file, ended)?))
    };
    grants.iter().map(content).collect()
}

/// The names and sizes of granted files, which cost nothing to compare.
pub fn sizes(grants: &[FileGrant]) -> Option<BTreeMap<String, u64>> {
    let size = |grant: &FileGrant| {
        let file = open_plain(&grant.path, false).ok()?;
        Some((place_of(grant), file.metadata().ok()?.len()))
    };
    grants.iter().map(size).collect()
}

/// A file that a step wrote: its name in the config, and its place in a folder.
pub type WrittenFile = (String, Dir, PathBuf);

/// The content of files that a step wrote, as it is now; `None` if one is missing.
pub fn written(files: &[WrittenFile], ended: &dyn Fn() -> bool) -> Option<BTreeMap<String, StoredFile>> {
    let content = |(name, folder, path): &WrittenFile| {
        // A link in its place is not what the step wrote.
        folder.symlink_metadata(path).ok().filter(cap_std::fs::Metadata::is_file)?;
        let mut file = plain::open(folder, path).ok()?.into_std();
        Some((name.clone(), self::content(&mut file, ended)?))
    };
    files.iter().map(content).collect()
}

/// The content of a file; `None` if it cannot be read, or changed meanwhile.
pub fn content(file: &mut File, ended: &dyn Fn() -> bool) -> Option<StoredFile> {
    let before = Stamp::of(file).ok()?;
    let (digest, bytes) = Digest::of_file_until(file, ended).ok()?;
    (Stamp::of(file).ok()? == before).then_some(StoredFile { digest, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_just_now_may_change_unnoticed() {
        let stamp = |seconds, nanoseconds| Stamp {
            identity: (1, 1),
            bytes: 1,
            modified: (seconds, nanoseconds),
            changed: (seconds, nanoseconds),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::new(1000, 500_000_000);
        for (seconds, nanoseconds, is_settled) in [
            (1000, 400_000_000, true),
            (1000, 490_000_000, false),
            (1000, 600_000_000, false),
            (1000, 0, false),
            (997, 0, true),
            (-1, 0, true),
        ] {
            assert_eq!(stamp(seconds, nanoseconds).is_settled(now), is_settled, "{seconds}.{nanoseconds}");
        }
    }
}
