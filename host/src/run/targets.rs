//! The files outside the session that a step was granted, found and created inside the base folder.
//!
//! A written file starts as an empty one beside its target. The step process may only touch that one, and the host
//! moves it to the target once the step has succeeded. A DuckDB file that is updated is claimed meanwhile.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions};

use super::claims::{Claim, Present};
use super::deliveries::Delivery;
use super::matched;
use super::partitions::{self, Publication};
use crate::error::{Report, Reports};
use crate::grants::files::{self, Access, FileWish};
use crate::grants::pattern;
use crate::grants::reserved;
use crate::plan::PlannedStep;
use crate::protocol::FileGrant;
use crate::session::{Base, Session};

/// A file being written beside its target; both paths are relative to the base folder.
#[derive(Debug)]
pub struct Target {
    /// The path as the config has it.
    name: String,
    beside: PathBuf,
    target: PathBuf,
    /// The claim of a DuckDB file that is updated.
    claim: Option<Claim>,
    /// The folder beside the target in which partitions are made ready, if the target is a folder of them.
    staging: Option<PathBuf>,
}

impl Target {
    /// The path as the config has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the update of a DuckDB file, and not a file that takes another one's place.
    pub(super) fn is_update(&self) -> bool {
        self.claim.is_some()
    }

    /// What the update is known by.
    ///
    /// # Errors
    /// If a file cannot be looked at.
    pub(super) fn delivery(&self, base: &Base) -> std::io::Result<Delivery> {
        Delivery::of(base, &self.beside, &self.target)
    }

    /// The file that the step writes: the base folder, and the path inside it.
    pub fn written(&self, base: &Base) -> std::io::Result<(Dir, PathBuf)> {
        Ok((base.dir.try_clone()?, self.beside.clone()))
    }
}

/// The files that a step may read.
///
/// # Errors
/// A [`Report`] if one does not exist, is not a regular file, or leads out of the base folder.
pub fn readable(base: &Base, step: &PlannedStep) -> anyhow::Result<Vec<FileGrant>> {
    let own = OwnFiles::of(base, Access::Read);
    let mut files = matched::files(&own, base, step)?;
    for wish in step.grants.read.iter().filter(|wish| is_wanted(wish)) {
        let (path, found) = existing(&own, step, &Base::open(&wish.root)?, &wish.below, &wish.name)?;
        let stands_for = wish.companion_of.iter().cloned().collect();
        files.push(FileGrant { name: wish.name.clone(), path, identity: identity(&found), stands_for });
    }
    Ok(files)
}

/// Whether a file has to be there, or is a companion that is.
fn is_wanted(wish: &FileWish) -> bool {
    let is_there = |root: Base| root.dir.symlink_metadata(&wish.below).is_ok();
    wish.companion_of.is_none() || Base::open(&wish.root).is_ok_and(is_there)
}

/// The DuckDB files that a step reads, locked against writers.
///
/// # Errors
/// As for [`readable`], and [`Busy`](super::claims::Busy) if somebody writes to one.
fn readable_databases(base: &Base, step: &PlannedStep) -> anyhow::Result<Vec<(FileGrant, Present)>> {
    let own = OwnFiles::of(base, Access::Read);
    let lock = |wish: &FileWish| {
        let (path, _) = existing(&own, step, &Base::open(&wish.root)?, &wish.below, &wish.name)?;
        let (folder, name) = (path.parent().context("it has no folder")?, path.file_name().context("it has no name")?);
        let present = Present::lock(&Base::open(folder)?.dir, name, &wish.name)?;
        let (name, identity) = (wish.name.clone(), present.identity());
        Ok((FileGrant { name, path, identity, stands_for: Vec::new() }, present))
    };
    step.grants.databases.read.iter().map(lock).collect()
}

/// All files that a step reads, and the locks of those that are DuckDB's.
///
/// # Errors
/// As for [`readable_databases`].
pub(super) fn all_readable(base: &Base, step: &PlannedStep) -> anyhow::Result<(Vec<FileGrant>, Vec<Present>)> {
    let mut files = readable(base, step)?;
    let (databases, locked): (Vec<_>, _) = readable_databases(base, step)?.into_iter().unzip();
    files.extend(databases);
    Ok((files, locked))
}

/// Distinguishes a file from another one that takes its name.
pub(super) fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Osiris's own files and folders by device and inode: a link or a mount gives a file another name, but not another
/// identity.
pub(super) struct OwnFiles(Vec<(u64, u64)>);

impl OwnFiles {
    pub(super) fn of(base: &Base, access: Access) -> Self {
        // Symlinks are followed, because whatever one of Osiris's own names leads to is Osiris's own.
        let reserved = reserved::all(access == Access::Write);
        let reserved = reserved.filter_map(|name| Some(identity(&base.dir.metadata(name).ok()?)));
        let guarded = base.guarded.iter().filter_map(|path| std::fs::metadata(path).ok());
        let guarded = guarded.map(|found| (found.dev(), found.ino()));
        let folders = [&base.sessions, &base.states].into_iter().filter(|folder| folder.is_outside());
        let folders = folders.filter_map(|folder| Some(identity(&folder.metadata().ok()?)));
        Self(reserved.chain(guarded).chain(folders).collect())
    }

    /// Whether `place`, without symlinks, is one of them or is inside one.
    fn hold(&self, root: &Base, place: &Path) -> bool {
        let parts = place.ancestors().filter(|part| !part.as_os_str().is_empty());
        let around = root.path.ancestors().filter_map(|folder| std::fs::metadata(folder).ok());
        parts.filter_map(|part| root.dir.symlink_metadata(part).ok()).any(|found| self.0.contains(&identity(&found)))
            || around.into_iter().any(|found| self.0.contains(&(found.dev(), found.ino())))
    }
}

/// Checks, before anything runs, that files which no step of the plan writes exist.
pub fn check(base: &Base, steps: &[PlannedStep]) -> anyhow::Result<()> {
    let own = OwnFiles::of(base, Access::Read);
    let made =
        |wish: &FileWish| steps.iter().any(|step| step.grants.written().any(|written| written.place == wish.place));
    let mut wrong = Reports::default();
    for step in steps {
        let mut of_step = Reports::default();
        let read = step.grants.read.iter().chain(&step.grants.databases.read);
        for wish in read.filter(|wish| is_wanted(wish) && !made(wish)) {
            let found = existing(&own, step, &Base::open(&wish.root)?, &wish.below, &wish.name);
            of_step.gather(found.map(|_| ()))?;
        }
        for wish in step.grants.read_matching.iter().filter(|wish| !makes_match(steps, wish)) {
            of_step.gather(matched::matches(&own, base, step, wish).map(|_| ()))?;
        }
        wrong.extend(of_step.map(|report| report.at_step(&step.id, &["config", "path"])));
    }
    Ok(wrong.into_result()?)
}

/// Whether a step of the plan writes a file that the path stands for.
fn makes_match(steps: &[PlannedStep], wish: &FileWish) -> bool {
    let segments = pattern::segments(&wish.place);
    let named = pattern::folder(&wish.place);
    let mut written = steps.iter().flat_map(|step| step.grants.write.iter().map(move |file| (step, file)));
    written.any(|(step, file)| {
        // Its partitions are not known yet.
        let is_around = step.grants.write_folders && named.starts_with(&file.place);
        is_around || file.place.starts_with(&wish.place) || pattern::matches(&segments, &file.place)
    })
}

/// The file `below` the folder that it must not leave, resolved inside it; its path is absolute.
pub(super) fn existing(
    own: &OwnFiles,
    step: &PlannedStep,
    root: &Base,
    below: &Path,
    name: &str,
) -> anyhow::Result<(PathBuf, Metadata)> {
    let doing = format!("step `{}` cannot read `{name}`", step.id);
    let resolved = root.dir.canonicalize(below).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Report::input(format!("{doing}: there is no such file in `{}`", root.path.display()))
            .hint(
                near_file(root, below, name)
                    .unwrap_or_else(|| "paths are relative to the base folder; see `--base DIR`".to_owned()),
            ),
        _ => Report::input(format!("{doing}: {error}"))
            .hint("the file must lie inside the folder, without a symlink that leads out"),
    })?;
    if Access::Read.is_reserved(&resolved) || own.hold(root, &resolved) {
        return Err(files::own_file(step.id.as_str(), "read", name).into());
    }
    let found = root.dir.symlink_metadata(&resolved)?;
    if !found.is_file() {
        return Err(Report::input(format!("{doing}: it is no plain file")).hint("name one file").into());
    }
    if found.nlink() > 1 {
        return Err(linked(&doing, found.nlink()).into());
    }
    Ok((root.path.join(resolved), found))
}

fn linked(doing: &str, names: u64) -> Report {
    Report::input(format!("{doing}: it has {names} names (hard links)"))
        .hint("one of them may lie outside the folder: give the step a copy of its own")
}

/// The file in the same folder with the most similar name.
fn near_file(root: &Base, missing: &Path, name: &str) -> Option<String> {
    let folder = missing.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = root
        .dir
        .read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let near = crate::error::nearest(missing.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    Some(format!("did you mean `{}`?", Path::new(name).with_file_name(near).display()))
}

/// Creates the empty files that a step writes to.
///
/// # Errors
/// A [`Report`] if a folder is missing or a target is not a regular file.
pub fn writable(base: &Base, session: &Session, step: &PlannedStep) -> anyhow::Result<(Vec<FileGrant>, Vec<Target>)> {
    let mut targets = Vec::new();
    let mut grants = Vec::new();
    let updated = step.grants.databases.update.iter().map(|wish| (wish, true));
    for (wish, is_updated) in step.grants.write.iter().map(|wish| (wish, false)).chain(updated) {
        match make(base, session, step, wish, is_updated) {
            Ok(target) => {
                let identity = identity(&base.dir.symlink_metadata(&target.beside)?);
                let (name, path) = (wish.name.clone(), base.path.join(&target.beside));
                grants.push(FileGrant { name, path, identity, stands_for: Vec::new() });
                targets.push(target);
            }
            Err(error) => {
                discard(base, targets);
                return Err(error);
            }
        }
    }
    Ok((grants, targets))
}

/// The present content of the DuckDB files that a step updates, to be copied.
pub fn present(base: &Base, targets: &[Target]) -> Vec<FileGrant> {
    let grant = |target: &Target| {
        let identity = target.claim.as_ref()?.present()?.identity();
        let (name, path) = (target.name.clone(), base.path.join(&target.target));
        Some(FileGrant { name, path, identity, stands_for: Vec::new() })
    };
    targets.iter().filter_map(grant).collect()
}

fn make(
    base: &Base,
    session: &Session,
    step: &PlannedStep,
    wish: &FileWish,
    is_updated: bool,
) -> anyhow::Result<Target> {
    let doing = format!("step `{}` cannot write `{}`", step.id, wish.name);
    let root = Base::open(&wish.root)?;
    let folder = wish.below.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if step.grants.create_folders {
        root.dir
            .create_dir_all(folder)
            .map_err(|error| Report::input(format!("{doing}: cannot create its folder: {error}")))?;
    }
    let folder = root.dir.canonicalize(folder).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Report::input(format!("{doing}: its folder does not exist"))
            .hint("create the folder, or set `create_dirs: true` in the step's config"),
        _ => Report::input(format!("{doing}: {error}"))
            .hint("the file must lie inside the folder, without a symlink that leads out"),
    })?;
    // From here on the path is relative to the base folder, without symlinks.
    let folder = root.path.strip_prefix(&base.path).map(|root| root.join(folder)).with_context(|| doing.clone())?;
    let name = wish.below.file_name().with_context(|| doing.clone())?;
    let target = folder.join(name);
    if Access::Write.is_reserved(&target) || OwnFiles::of(base, Access::Write).hold(base, &target) {
        return Err(files::own_file(step.id.as_str(), "write", &wish.name).into());
    }
    let is_folder = step.grants.write_folders && !is_updated;
    let before = match base.dir.symlink_metadata(&target) {
        Ok(_) if is_folder => {
            let above = base.dir.open_dir(in_base(&folder)).with_context(|| doing.clone())?;
            partitions::check_target(&above, Path::new(name), &wish.name)?;
            None
        }
        Ok(found) if !found.is_file() => {
            return Err(Report::input(format!("{doing}: it is there already and no plain file"))
                .hint("remove it, or write elsewhere")
                .into());
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        found => Some(found.with_context(|| doing.clone())?),
    };
    let claim = match &before {
        Some(found) if is_updated && found.nlink() > 1 => return Err(linked(&doing, found.nlink()).into()),
        _ if is_updated => {
            Some(Claim::take(base.dir.open_dir(in_base(&folder)).with_context(|| doing.clone())?, name, &wish.name)?)
        }
        _ => None,
    };
    let beside = folder.join(format!(".{}.{}", name.to_string_lossy(), session.id));
    session.remember_target(&beside)?;
    let staging = is_folder.then(|| folder.join(format!(".{}.new.{}", name.to_string_lossy(), session.id)));
    staging.iter().try_for_each(|staging| session.remember_target(staging))?;
    let cannot =
        |error| Report::input(format!("{doing}: {error}")).hint("make its folder writable, or write elsewhere");
    let file = base.dir.open_with(&beside, OpenOptions::new().write(true).create_new(true)).map_err(cannot)?;
    // A replaced file keeps its permissions, so that a restricted file stays restricted.
    if let Some(before) = before {
        file.set_permissions(before.permissions()).map_err(cannot)?;
    }
    Ok(Target { name: wish.name.clone(), beside, target, claim, staging })
}

/// A folder's path in the base folder, which may be the base folder itself.
fn in_base(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Moves every file in `created` to its target. A target that was granted but not created is left unchanged.
///
/// # Errors
/// If a file cannot be moved; earlier ones stay in place, later ones are removed.
pub fn keep(base: &Base, targets: Vec<Target>, created: &[String]) -> anyhow::Result<()> {
    keep_with(base, targets, created, flush)
}

/// Like [`keep`]; `flush` makes the renames in a folder durable.
fn keep_with(
    base: &Base,
    targets: Vec<Target>,
    created: &[String],
    mut flush: impl FnMut(&Base, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (written, untouched): (Vec<_>, Vec<_>) = targets.into_iter().partition(|target| created.contains(&target.name));
    discard(base, untouched);
    let mut targets = written.into_iter();
    let mut folders = BTreeSet::new();
    while let Some(target) = targets.next() {
        let placed = match (&target.claim, &target.staging) {
            (Some(claim), _) => claim.publish(&target.beside),
            (None, Some(staging)) => {
                let (packed, name) = (&target.beside, &target.name);
                Publication { packed, staging, target: &target.target, name }.publish(base)
            }
            (None, None) => base
                .dir
                .rename(&target.beside, &base.dir, &target.target)
                .with_context(|| format!("cannot put `{}` into place", target.target.display())),
        };
        if let Err(error) = placed {
            discard(base, std::iter::once(target).chain(targets));
            return Err(error);
        }
        folders.insert(target.target.parent().unwrap_or(Path::new("")).to_owned());
    }
    // A state that records the delivery must not survive a crash that the files do not.
    folders.iter().try_for_each(|folder| flush(base, folder))
}

fn flush(base: &Base, folder: &Path) -> anyhow::Result<()> {
    let folder = in_base(folder);
    let doing = || format!("cannot flush the folder `{}` to disk", folder.display());
    let dir = base.dir.open_dir(folder).with_context(doing)?;
    rustix::fs::fsync(dir.open(".").with_context(doing)?).with_context(doing)
}

/// Removes the files of a step that failed.
pub fn discard(base: &Base, targets: impl IntoIterator<Item = Target>) {
    for target in targets {
        // What cannot be removed is swept at the next run.
        let _ = base.dir.remove_file(&target.beside);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_folder_is_flushed_once_its_targets_are_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let base = Base::open(folder.path()).unwrap();
        base.dir.create_dir("out").unwrap();
        let targets = || {
            let names = ["a.csv", "out/b.csv", "out/c.csv", "untouched.csv"];
            names.map(|name| {
                let beside = format!("{name}.beside");
                base.dir.write(&beside, "new").unwrap();
                Target { name: name.to_owned(), beside: beside.into(), target: name.into(), claim: None, staging: None }
            })
        };
        let created = ["a.csv", "out/b.csv", "out/c.csv"].map(str::to_owned);
        let mut flushed = Vec::new();
        let note = |base: &Base, folder: &Path| {
            assert!(created.iter().all(|name| base.dir.exists(name)));
            flushed.push(folder.to_owned());
            flush(base, folder)
        };
        keep_with(&base, targets().into(), &created, note).unwrap();
        assert_eq!(flushed, [Path::new(""), Path::new("out")]);
        assert!(!base.dir.exists("untouched.csv") && !base.dir.exists("untouched.csv.beside"));
        // Without durable files the step did not succeed, so no state is committed.
        let broken = |_: &Base, _: &Path| Err(anyhow::anyhow!("the disk is gone"));
        assert!(keep_with(&base, targets().into(), &created, broken).is_err());
        assert!(keep(&base, targets().into(), &created).is_ok());
    }
}
