//! Puts the partitions that a step wrote into a folder of the user's, each at once: a reader, or a run after a crash, finds a
//! partition as it was before or as it is after.
//!
//! The files are first unpacked and flushed beside the folder. Then each partition, or the whole folder, changes places with what is
//! there (`RENAME_EXCHANGE`), and what was there is removed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use cap_std::fs::{Dir, OpenOptions};
use rustix::fs::{RenameFlags, fsync, renameat_with, syncfs};
use rustix::io::Errno;

use crate::error::Report;
use crate::protocol::partitions::{Index, MAX_KEYS, Replace, is_data_file, is_partition, key};
use crate::session::{Base, plain};
use crate::untrusted::line;

/// Beyond so many files the whole file system is flushed once, instead of each file.
const MANY: usize = 64;

/// Files that other programs place beside those of a partition, and that lose their meaning with it.
const COMPANIONS: [&str; 3] = ["_SUCCESS", "_metadata", "_common_metadata"];

/// Where the partitions that a step wrote are to be; all paths are relative to the base folder.
#[derive(Debug)]
pub struct Publication<'a> {
    /// The file that the step wrote.
    pub packed: &'a Path,
    /// A folder beside the target, which does not exist yet.
    pub staging: &'a Path,
    pub target: &'a Path,
    /// The target as the config has it.
    pub name: &'a str,
}

impl Publication<'_> {
    /// Puts the partitions in place.
    ///
    /// # Errors
    /// If the step wrote something else, or what is there is not a folder of partitions by the same keys.
    pub fn publish(&self, base: &Base) -> anyhow::Result<()> {
        let published = self.replace(base).with_context(|| format!("cannot put `{}` into place", self.name));
        // What cannot be removed is swept at the next run.
        let _ = base.dir.remove_file(self.packed);
        let _ = base.dir.remove_dir_all(self.staging);
        published
    }

    fn replace(&self, base: &Base) -> anyhow::Result<()> {
        let mut packed = plain::open(&base.dir, self.packed)?.into_std();
        let size = packed.metadata()?.len();
        let index = Index::read(&mut packed, size).context("its step wrote something else than partitions")?;
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let above = base.dir.open_dir(folder)?;
        let [staging, target] = [self.staging, self.target].map(Path::file_name);
        let (staging, target) = (staging.context("it has no name")?, target.context("it has no name")?);
        above.create_dir(staging)?;
        let new = above.open_dir(staging)?;
        unpack(&index, packed, &new)?;
        match index.replace {
            Replace::All => {
                self.check(&above, target, &index)?;
                swap((&above, staging.as_ref()), (&above, target.as_ref()))?;
            }
            Replace::Partitions => {
                self.check(&above, target, &index)?;
                place_each(&index, &new, &enter(&above, target.as_ref())?)?;
            }
        }
        flush(&above)
    }

    /// Checks that nothing is removed but partitions, before anything is.
    fn check(&self, above: &Dir, target: &std::ffi::OsStr, index: &Index) -> anyhow::Result<()> {
        let Some(there) = existing(above, target.as_ref())? else { return Ok(()) };
        self.check_keys(&there, index)?;
        if index.replace == Replace::All {
            return self.check_partition(&there, &mut PathBuf::from(self.name), true);
        }
        for folders in partitions(index) {
            let (mut inner, mut path) = (there.try_clone()?, PathBuf::from(self.name));
            let mut is_there = true;
            for folder in folders {
                path.push(folder);
                match existing(&inner, folder.as_ref())? {
                    Some(next) => inner = next,
                    None => {
                        is_there = false;
                        break;
                    }
                }
            }
            if is_there {
                self.check_partition(&inner, &mut path, false)?;
            }
        }
        Ok(())
    }

    /// Checks that the outermost folders are partitions by the same key.
    fn check_keys(&self, there: &Dir, index: &Index) -> anyhow::Result<()> {
        let Some(wanted) = index.files.first().and_then(|file| file.folders.first()) else { return Ok(()) };
        for entry in there.entries()? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if is_partition(&name) && key(&name) != key(wanted) {
                let (name, by, wanted) = (line(&name), line(key(&name)), line(key(wanted)));
                return Err(Report::input(format!(
                    "`{}` is partitioned by `{by}` (it has `{name}`), but the step partitions by `{wanted}` first",
                    self.name
                ))
                .hint("write to another folder, or move the old partitions away")
                .into());
            }
        }
        Ok(())
    }

    /// Checks that a folder has only the files of a partition and, if it may, partitions.
    fn check_partition(&self, folder: &Dir, path: &mut PathBuf, may_have_partitions: bool) -> anyhow::Result<()> {
        ensure!(
            path.components().count() <= Path::new(self.name).components().count() + 2 * MAX_KEYS,
            "it is too deep"
        );
        for entry in folder.entries()? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            path.push(&name);
            if kind.is_dir() && is_partition(&name) && may_have_partitions {
                self.check_partition(&entry.open_dir()?, path, true)?;
            } else if !(kind.is_file() && belongs_to_partition(&name)) {
                return Err(foreign(self.name, path).into());
            }
            path.pop();
        }
        Ok(())
    }
}

/// Checks, before a step runs, that the folder `name` in `above` can be one of partitions, if it is there.
///
/// # Errors
/// A [`Report`] if it contains something else.
pub fn check_target(above: &Dir, folder: &Path, name: &str) -> anyhow::Result<()> {
    let Some(there) = existing(above, folder)? else { return Ok(()) };
    for entry in there.entries()? {
        let entry = entry?;
        let own = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if !(kind.is_dir() && is_partition(&own) || kind.is_file() && is_companion(&own)) {
            return Err(foreign(name, &Path::new(name).join(own)).into());
        }
    }
    Ok(())
}

fn foreign(name: &str, path: &Path) -> Report {
    let path = path.to_string_lossy();
    let what = line(&path);
    Report::input(format!("`{name}` is not a folder of partitions alone: it has `{what}`, which would be replaced too"))
        .hint("write to a folder of its own, or move this file or folder away")
}

fn is_companion(name: &str) -> bool {
    COMPANIONS.contains(&name) || (name.starts_with('.') && name.ends_with(".crc"))
}

fn belongs_to_partition(name: &str) -> bool {
    is_data_file(name) || is_companion(name)
}

/// The partitions that have a file, as the folders that lead to each.
fn partitions(index: &Index) -> BTreeSet<&[String]> {
    index.files.iter().map(|file| file.folders.as_slice()).collect()
}

/// Writes the files of an index, whose bytes come next in `packed`, into folders below `new`.
fn unpack(index: &Index, mut packed: File, new: &Dir) -> anyhow::Result<()> {
    let is_many = index.files.len() > MANY;
    for file in &index.files {
        let folder: PathBuf = file.folders.iter().collect();
        new.create_dir_all(&folder)?;
        let folder = new.open_dir(&folder)?;
        let target = folder.open_with(&file.name, OpenOptions::new().write(true).create_new(true))?;
        let copied = io::copy(&mut (&mut packed).take(file.bytes), &mut target.into_std())?;
        ensure!(copied == file.bytes, "it is cut short");
    }
    if is_many {
        return flush_all(new);
    }
    for file in &index.files {
        let mut folder = new.try_clone()?;
        for name in &file.folders {
            flush(&folder)?;
            folder = folder.open_dir(name)?;
        }
        fsync(plain::open(&folder, &file.name)?).context("cannot flush it to disk")?;
        flush(&folder)?;
    }
    flush(new)
}

/// Puts each partition in its place.
fn place_each(index: &Index, new: &Dir, target: &Dir) -> anyhow::Result<()> {
    let all = partitions(index);
    for folders in &all {
        let Some((leaf, above)) = folders.split_last() else { continue };
        let (mut from, mut to) = (new.try_clone()?, target.try_clone()?);
        for folder in above {
            from = from.open_dir(folder)?;
            to = enter(&to, folder.as_ref())?;
        }
        swap((&from, leaf.as_ref()), (&to, leaf.as_ref()))?;
        if all.len() <= MANY {
            flush(&to)?;
        }
    }
    if all.len() > MANY { flush_all(target) } else { flush(target) }
}

/// A folder, not through a symlink; `None` if there is nothing of that name.
fn existing(above: &Dir, name: &Path) -> anyhow::Result<Option<Dir>> {
    match above.symlink_metadata(name) {
        Ok(found) if found.is_dir() => Ok(Some(above.open_dir(name)?)),
        Ok(_) => Err(Report::input(format!("`{}` is there already and not a folder", line(&name.to_string_lossy())))
            .hint("a partition is a folder of its own, not a file or a symlink: move it away")
            .into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A folder, not through a symlink, which is created if there is nothing of that name.
fn enter(above: &Dir, name: &Path) -> anyhow::Result<Dir> {
    match existing(above, name)? {
        Some(folder) => Ok(folder),
        None => {
            above.create_dir(name)?;
            flush(above)?;
            Ok(above.open_dir(name)?)
        }
    }
}

/// Moves the new folder to its place in one step; if a folder is there, it takes the place of the new one.
fn swap((from, new): (&Dir, &Path), (to, place): (&Dir, &Path)) -> anyhow::Result<()> {
    let Some(old) = existing(to, place)? else {
        return renameat_with(from, new, to, place, RenameFlags::NOREPLACE).or_else(|error| match error {
            Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => from.rename(new, to, place).map_err(anyhow::Error::from),
            error => Err(error.into()),
        });
    };
    // A restricted folder stays restricted.
    from.set_permissions(new, to.symlink_metadata(place)?.permissions())?;
    match renameat_with(from, new, to, place, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => replace_only_file(&from.open_dir(new)?, &old),
        Err(error) => Err(error).with_context(|| format!("cannot replace `{}`", line(&place.to_string_lossy()))),
    }
}

/// Replaces a partition on a file system that cannot exchange two folders: its one file by one of the same name.
fn replace_only_file(new: &Dir, old: &Dir) -> anyhow::Result<()> {
    let names =
        |folder: &Dir| folder.entries()?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<BTreeSet<_>>>();
    let (ours, theirs) = (names(new)?, names(old)?);
    match ours.first() {
        Some(name) if ours.len() == 1 && ours == theirs && new.symlink_metadata(name)?.is_file() => {
            Ok(new.rename(name, old, name)?)
        }
        _ => bail!(
            Report::input("this file system cannot exchange two folders in one step (renameat2 with RENAME_EXCHANGE)")
                .hint("write to a local file system, such as ext4, xfs or btrfs; or to a new folder")
        ),
    }
}

/// Flushes the file system of a folder. The folder's own handle is only a path, which cannot be flushed.
fn flush_all(folder: &Dir) -> anyhow::Result<()> {
    let doing = "cannot flush a file system to disk";
    syncfs(folder.open(".").context(doing)?).context(doing)
}

fn flush(folder: &Dir) -> anyhow::Result<()> {
    let doing = "cannot flush a folder to disk";
    fsync(folder.open(".").context(doing)?).context(doing)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::protocol::partitions::PartitionFile;

    /// A base folder in which a step wrote these partitions for `out`.
    fn written(replace: Replace, files: &[(&str, &str)]) -> (tempfile::TempDir, Base) {
        let folder = tempfile::tempdir().unwrap();
        let base = Base::open(folder.path()).unwrap();
        pack(&base, replace, files);
        (folder, base)
    }

    fn pack(base: &Base, replace: Replace, files: &[(&str, &str)]) {
        let file = |(folder, text): &(&str, &str)| PartitionFile {
            folders: folder.split('/').map(str::to_owned).collect(),
            name: "data_0.parquet".to_owned(),
            bytes: text.len() as u64,
        };
        let mut packed = base.dir.create(".packed").unwrap();
        Index { replace, files: files.iter().map(file).collect() }.write(&mut packed).unwrap();
        for (_, text) in files {
            std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
        }
    }

    fn publish(base: &Base) -> anyhow::Result<()> {
        let (packed, staging, target) = (Path::new(".packed"), Path::new(".staging"), Path::new("out"));
        let published = Publication { packed, staging, target, name: "out" }.publish(base);
        assert!(!base.dir.exists(".packed") && !base.dir.exists(".staging"));
        published
    }

    fn content(base: &Base, partition: &str) -> Option<String> {
        base.dir.read_to_string(format!("out/{partition}/data_0.parquet")).ok()
    }

    #[test]
    fn partitions_replace_those_of_the_same_name_or_all() {
        let (_folder, base) = written(Replace::Partitions, &[("y=1/m=1", "a"), ("y=1/m=2", "b"), ("y=2/m=1", "c")]);
        publish(&base).unwrap();
        pack(&base, Replace::Partitions, &[("y=1/m=2", "new"), ("y=3/m=1", "d")]);
        publish(&base).unwrap();
        let all = ["y=1/m=1", "y=1/m=2", "y=2/m=1", "y=3/m=1"];
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(all.map(|place| content(&base, place)), [some("a"), some("new"), some("c"), some("d")]);
        pack(&base, Replace::All, &[("y=2/m=1", "only")]);
        publish(&base).unwrap();
        assert_eq!(all.map(|place| content(&base, place)), [None, None, some("only"), None]);
        pack(&base, Replace::All, &[]);
        publish(&base).unwrap();
        assert_eq!(base.dir.read_dir("out").unwrap().count(), 0);
    }

    #[test]
    fn nothing_but_partitions_is_replaced() {
        for (there, replace) in [
            ("out/notes.txt", Replace::All),
            ("out/y=1/notes.txt", Replace::All),
            ("out/y=1/notes.txt", Replace::Partitions),
            ("out/y=1/sub/x.parquet", Replace::All),
            ("out/y=1/m=1/x.parquet", Replace::Partitions),
            ("out/m=1/x.parquet", Replace::Partitions),
        ] {
            let (_folder, base) = written(replace, &[("y=1", "a"), ("y=2", "b")]);
            base.dir.create_dir_all(Path::new(there).parent().unwrap()).unwrap();
            base.dir.write(there, "mine").unwrap();
            assert!(publish(&base).is_err(), "{there}");
            assert_eq!(base.dir.read_to_string(there).unwrap(), "mine");
            assert_eq!(content(&base, "y=2"), None, "{there}: nothing is replaced if anything cannot be");
        }
    }

    #[test]
    fn no_symlink_is_followed() {
        let (folder, base) = written(Replace::Partitions, &[("y=1", "a")]);
        base.dir.create_dir_all("out").unwrap();
        base.dir.create_dir_all("elsewhere").unwrap();
        std::os::unix::fs::symlink("../elsewhere", folder.path().join("out/y=1")).unwrap();
        assert!(publish(&base).is_err());
        assert_eq!(base.dir.read_dir("elsewhere").unwrap().count(), 0);
        pack(&base, Replace::All, &[("y=1", "a")]);
        assert!(publish(&base).is_err());
        assert!(base.dir.symlink_metadata("out/y=1").unwrap().is_symlink());
    }

    #[test]
    fn many_partitions_are_put_in_place() {
        let names: Vec<String> = (0..200).map(|number| format!("k={number}")).collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
        let (_folder, base) = written(Replace::Partitions, &files);
        publish(&base).unwrap();
        assert!(names.iter().all(|name| content(&base, name).is_some()));
    }
}
