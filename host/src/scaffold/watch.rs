//! Notices changes of a project's sources by looking at the times and sizes of its files.
//!
//! A few hundred files are looked at four times a second, which costs a fraction of a millisecond each and works on
//! every file system, without a queue of events to keep up with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::build::is_source;

/// How often files are looked at.
const PERIOD: Duration = Duration::from_millis(250);

/// The most files that are watched. A project has some hundred.
const MOST_FILES: usize = 20_000;

/// A project's files as they were last seen.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    seen: BTreeMap<PathBuf, (SystemTime, u64)>,
}

impl Watch {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), seen: files(folder) }
    }

    /// Waits for a change, and then until a period passes without another one, since editors write several times.
    /// Returns the changed files, relative to the project.
    pub fn wait(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        loop {
            std::thread::sleep(PERIOD);
            let now = self.changes();
            if now.is_empty() && !changed.is_empty() {
                changed.sort();
                changed.dedup();
                return changed;
            }
            changed.extend(now);
        }
    }

    /// Takes the files below a folder as they are now: the example has just run there, and may have written some.
    pub fn accept(&mut self, below: &Path) {
        self.seen.retain(|path, _| !path.starts_with(below));
        self.seen.extend(files(&self.folder).into_iter().filter(|(path, _)| path.starts_with(below)));
    }

    /// The files that changed, came or went since the last look.
    fn changes(&mut self) -> Vec<PathBuf> {
        let now = files(&self.folder);
        let mut changed: Vec<PathBuf> = now
            .iter()
            .filter(|(path, state)| self.seen.get(*path) != Some(state))
            .map(|(path, _)| path.clone())
            .collect();
        changed.extend(self.seen.keys().filter(|path| !now.contains_key(*path)).cloned());
        self.seen = now;
        changed
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, u64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&below)).into_iter().flatten().flatten() {
            let path = below.join(entry.file_name());
            // A link to a folder is not followed: it may lead out of the project, or in a circle.
            let Ok(metadata) = entry.metadata() else { continue };
            if !is_source(&path) || found.len() >= MOST_FILES {
                continue;
            }
            if metadata.is_dir() {
                folders.push(path);
            } else {
                found.insert(path, (metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;

    #[test]
    fn changed_new_and_removed_sources_are_noticed_and_built_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("src/driver.c", "a");
        write("old.txt", "a");
        let mut watch = Watch::new(folder.path());
        assert_eq!(watch.changes(), Vec::<PathBuf>::new());
        write("src/driver.c", "ab");
        write("spec.yaml", "");
        std::fs::remove_file(folder.path().join("old.txt")).unwrap();
        for built in
            ["build/x.wasm", "target/x", "node_modules/x", ".git/x", "example/.osiris/x", "example/osiris.lock"]
        {
            write(built, "");
        }
        assert_eq!(watch.changes(), ["spec.yaml", "src/driver.c", "old.txt"].map(PathBuf::from));
        assert_eq!(watch.changes(), Vec::<PathBuf>::new());
        // What a run of the example writes is no change; what its author writes meanwhile elsewhere is one.
        write("example/written.txt", "");
        write("spec.yaml", "a");
        watch.accept(Path::new("example"));
        assert_eq!(watch.changes(), [PathBuf::from("spec.yaml")]);
    }
}
