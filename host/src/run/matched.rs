//! The files that a step's paths, patterns and folders stand for: found once, inside the folder that they must not leave.
//!
//! Symlinks are followed inside that folder, and a file is granted once, whatever names lead to it. A match that the step may
//! not read is an error, so that no file is left out unnoticed.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cap_std::fs::Metadata;

use super::targets::{OwnFiles, existing, identity};
use crate::error::Report;
use crate::grants::files::{Access, FileWish};
use crate::grants::limits::MAX_MATCHED_FILES;
use crate::grants::pattern::{self, NamePattern, Segment};
use crate::plan::PlannedStep;
use crate::protocol::FileGrant;
use crate::session::Base;

/// How many entries of folders are looked at for one path.
const MAX_ENTRIES: usize = 500_000;

/// How deep folders are searched.
const MAX_DEPTH: usize = 100;

/// The files that a path, a pattern or a folder stands for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    pub files: usize,
    pub bytes: u64,
}

/// How many files the step may read by each of its paths at present; an error counts as none.
pub fn count(base: &Base, step: &PlannedStep) -> Vec<(String, Sum)> {
    let own = OwnFiles::of(base, Access::Read);
    let sum = |wish: &FileWish| {
        let matched = Search::of(&own, base, step, wish).and_then(Search::files).unwrap_or_default();
        let bytes = matched.iter().map(|(_, _, found)| found.len()).sum();
        (wish.name.clone(), Sum { files: matched.len(), bytes })
    };
    step.grants.read_matching.iter().map(sum).collect()
}

/// The files that the paths, patterns and folders in the step's config stand for, in the order of their names.
///
/// # Errors
/// A [`Report`] if one of them stands for no file or for too many, or for one that the step may not read.
pub(super) fn files(own: &OwnFiles, base: &Base, step: &PlannedStep) -> anyhow::Result<Vec<FileGrant>> {
    let mut found: BTreeMap<PathBuf, FileGrant> = BTreeMap::new();
    for wish in &step.grants.read_matching {
        for (name, resolved, metadata) in matches(own, base, step, wish)? {
            match found.entry(resolved) {
                Entry::Vacant(place) => {
                    let path = place.key().clone();
                    let stands_for = vec![wish.name.clone()];
                    place.insert(FileGrant { name, path, identity: identity(&metadata), stands_for });
                }
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    known.name = std::mem::take(&mut known.name).min(name);
                    if known.stands_for.last() != Some(&wish.name) {
                        known.stands_for.push(wish.name.clone());
                    }
                }
            }
        }
    }
    if found.len() > MAX_MATCHED_FILES {
        return Err(too_many(step).into());
    }
    let mut files: Vec<FileGrant> = found.into_values().collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// A file: its name, which is the path that led to it below the base folder, its absolute path without symlinks, and what it is.
type Match = (String, PathBuf, Metadata);

/// The files that `wish` stands for: at least one.
///
/// # Errors
/// A [`Report`] if there is none, or one that the step may not read.
pub(super) fn matches(own: &OwnFiles, base: &Base, step: &PlannedStep, wish: &FileWish) -> anyhow::Result<Vec<Match>> {
    let search = Search::of(own, base, step, wish)?;
    let root = search.root.path.clone();
    let is_folder = search.skips_marked;
    let found = search.files()?;
    if !found.is_empty() {
        return Ok(found);
    }
    let why = if is_folder { "the folder has no file" } else { "no file matches it" };
    let report = Report::input(format!("{}: {why} in `{}`", doing(step, wish), root.display()));
    let literal = pattern::folder(&wish.below);
    let is_missing = !literal.as_os_str().is_empty() && !root.join(&literal).exists();
    Err(match is_missing {
        true => {
            report.hint(format!("there is no folder `{}`; paths are relative to the base folder", literal.display()))
        }
        false => report.hint(
            "`*` stands for any characters of a name, `**` for any folders; names that begin with a dot are left out",
        ),
    }
    .into())
}

fn doing(step: &PlannedStep, wish: &FileWish) -> String {
    format!("step `{}` cannot read `{}`", step.id, wish.name)
}

fn too_many(step: &PlannedStep) -> Report {
    Report::input(format!(
        "step `{}` cannot read more than {MAX_MATCHED_FILES} files, but its paths stand for more",
        step.id
    ))
    .hint("write a narrower pattern, or read the files in several steps")
}

/// A search for the files that one path stands for.
struct Search<'a> {
    own: &'a OwnFiles,
    base: &'a Base,
    step: &'a PlannedStep,
    wish: &'a FileWish,
    root: Base,
    segments: Vec<Segment>,
    /// Whether names that begin with `_` are left out, which mark files that are no data in folders of data.
    skips_marked: bool,
    entries: usize,
    /// Paths inside the root.
    found: BTreeSet<PathBuf>,
}

/// What a path leads to.
#[derive(PartialEq, Eq)]
enum Kind {
    Folder,
    Other,
}

impl<'a> Search<'a> {
    fn of(own: &'a OwnFiles, base: &'a Base, step: &'a PlannedStep, wish: &'a FileWish) -> anyhow::Result<Self> {
        let (root, below) = root_of(wish)?;
        let (mut segments, mut found, mut skips_marked) = (Vec::new(), BTreeSet::new(), false);
        let at = if below.as_os_str().is_empty() { Path::new(".") } else { &below };
        match root.dir.metadata(at) {
            Ok(metadata) if metadata.is_dir() => {
                segments = below.iter().map(|name| Segment::Name(name.to_string_lossy().into_owned())).collect();
                segments.extend([Segment::Folders, Segment::Names(NamePattern::any())]);
                skips_marked = true;
            }
            Err(error) if error.kind() == ErrorKind::NotFound && pattern::is_pattern(&below) => {
                segments = pattern::segments(&below);
            }
            // A file, whatever its name, or nothing that can be read: `existing` says why.
            _ => found = BTreeSet::from([below]),
        }
        Ok(Self { own, base, step, wish, root, segments, skips_marked, entries: 0, found })
    }

    fn files(mut self) -> anyhow::Result<Vec<Match>> {
        let segments = std::mem::take(&mut self.segments);
        self.walk(Path::new(""), &segments, &mut Vec::new())?;
        if self.found.len() > MAX_MATCHED_FILES {
            return Err(too_many(self.step).into());
        }
        let file = |below: &PathBuf| {
            let path = self.root.path.join(below);
            let Some(name) = path.strip_prefix(&self.base.path).unwrap_or(&path).to_str() else {
                return Err(self.refusal(below, "its name is not UTF-8"));
            };
            let (resolved, metadata) = existing(self.own, self.step, &self.root, below, name)?;
            Ok((name.to_owned(), resolved, metadata))
        };
        self.found.iter().map(file).collect()
    }

    /// Adds the files below `folder` that match `segments`. `above` has the folders that the search is in.
    fn walk(&mut self, folder: &Path, segments: &[Segment], above: &mut Vec<(u64, u64)>) -> anyhow::Result<()> {
        let Some((segment, rest)) = segments.split_first() else { return Ok(()) };
        match segment {
            Segment::Name(name) => self.step_into(folder.join(name), rest, above),
            Segment::Names(names) => {
                for name in self.names(folder)? {
                    if names.matches(&name.to_string_lossy()) && !self.is_marked(&name.to_string_lossy()) {
                        self.step_into(folder.join(name), rest, above)?;
                    }
                }
                Ok(())
            }
            Segment::Folders => {
                self.walk(folder, rest, above)?;
                for name in self.names(folder)? {
                    let shown = name.to_string_lossy();
                    let path = folder.join(&name);
                    if pattern::is_hidden(&shown) || self.is_marked(&shown) || self.kind(&path)? != Some(Kind::Folder) {
                        continue;
                    }
                    self.enter(&path, segments, above)?;
                }
                Ok(())
            }
        }
    }

    /// Goes on at a path whose name matches.
    fn step_into(&mut self, path: PathBuf, rest: &[Segment], above: &mut Vec<(u64, u64)>) -> anyhow::Result<()> {
        match self.kind(&path)? {
            Some(Kind::Folder) if !rest.is_empty() => self.walk(&path, rest, above),
            Some(Kind::Other) if rest.is_empty() => {
                self.found.insert(path);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Searches a folder on any level, unless the search is in it already: a symlink may lead back.
    fn enter(&mut self, path: &Path, segments: &[Segment], above: &mut Vec<(u64, u64)>) -> anyhow::Result<()> {
        let Ok(found) = self.root.dir.metadata(path) else { return Ok(()) };
        let identity = identity(&found);
        if above.contains(&identity) {
            return Ok(());
        }
        if above.len() >= MAX_DEPTH {
            return Err(self.refusal(path, format!("it lies below more than {MAX_DEPTH} folders")));
        }
        above.push(identity);
        self.walk(path, segments, above)?;
        above.pop();
        Ok(())
    }

    /// What a path leads to; `None` if it leads nowhere.
    fn kind(&self, path: &Path) -> anyhow::Result<Option<Kind>> {
        let kind = |found: &Metadata| if found.is_dir() { Kind::Folder } else { Kind::Other };
        match self.root.dir.metadata(path) {
            Ok(found) => Ok(Some(kind(&found))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // A symlink to a file that has gone still is what the author's pattern names.
                Ok(self.root.dir.symlink_metadata(path).is_ok().then_some(Kind::Other))
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(self.refusal(path, error)),
        }
    }

    /// The names in a folder; none if there is no such folder.
    fn names(&mut self, folder: &Path) -> anyhow::Result<Vec<std::ffi::OsString>> {
        let at = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entries = match self.root.dir.read_dir(at) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(self.refusal(folder, error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(|error| self.refusal(folder, error))?.file_name());
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                let report = Report::input(format!(
                    "{}: more than {MAX_ENTRIES} names were looked at",
                    doing(self.step, self.wish)
                ));
                return Err(report.hint("write a narrower pattern").into());
            }
        }
        Ok(names)
    }

    fn is_marked(&self, name: &str) -> bool {
        self.skips_marked && name.starts_with('_')
    }

    fn shown(&self, path: &Path) -> String {
        let path = self.root.path.join(path);
        path.strip_prefix(&self.base.path).unwrap_or(&path).display().to_string()
    }

    fn refusal(&self, path: &Path, why: impl std::fmt::Display) -> anyhow::Error {
        Report::input(format!("{}: `{}`: {why}", doing(self.step, self.wish), self.shown(path)))
            .hint("every match must lie inside the folder and be readable; write a pattern that does not match it")
            .into()
    }
}

/// The folder that a path must not leave, and the path inside it. A policy may also name the folder, or a single file.
fn root_of(wish: &FileWish) -> anyhow::Result<(Base, PathBuf)> {
    if !wish.below.as_os_str().is_empty() {
        return Ok((Base::open(&wish.root)?, wish.below.clone()));
    }
    let (Some(parent), Some(name)) = (wish.root.parent(), wish.root.file_name()) else {
        return Ok((Base::open(&wish.root)?, PathBuf::new()));
    };
    let above = Base::open(parent)?;
    match above.dir.metadata(name) {
        Ok(found) if found.is_dir() => Ok((Base::open(&wish.root)?, PathBuf::new())),
        _ => Ok((above, PathBuf::from(name))),
    }
}
