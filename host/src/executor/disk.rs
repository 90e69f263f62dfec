//! How much disk space a step uses, and how much is left.

use std::path::PathBuf;

use cap_std::fs::{Dir, MetadataExt};

/// More files than a step creates in its scratch folder.
const MAX_FILES: u32 = 50_000;

/// The largest amount of disk space that is kept free, in bytes.
const MAX_FLOOR: u64 = 1 << 30;

/// On a small disk, one part in this many is kept free.
const FLOOR_PARTS: u64 = 20;

/// Where a step writes, and how much it may write.
#[derive(Debug)]
pub struct DiskAllowance {
    /// The step's scratch folder.
    pub scratch: Dir,
    pub scratch_bytes: u64,
    /// Files outside the scratch folder that the step writes, each as a folder and the file's name in it.
    pub files: Vec<(Dir, PathBuf)>,
    pub file_bytes: u64,
}

/// The disk space that a step uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    pub scratch_bytes: u64,
    /// The size of the largest file that it writes outside its scratch folder.
    pub largest_file: u64,
    pub all_bytes: u64,
}

/// The disk that contains a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Identifies the disk.
    pub id: u64,
    /// The space that this user may still use, in bytes.
    pub free: u64,
    pub total: u64,
}

impl Disk {
    /// The disk of a folder; `None` if the file system does not report it.
    pub fn of(folder: &Dir) -> Option<Self> {
        let found = rustix::fs::fstatvfs(folder).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Some(Self { id: found.f_fsid, free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
    }

    /// The free disk space that steps must not use.
    pub fn floor(&self) -> u64 {
        MAX_FLOOR.min(self.total / FLOOR_PARTS)
    }
}

impl DiskAllowance {
    pub fn taken(&self) -> DiskUsage {
        let mut left = MAX_FILES;
        let scratch_bytes = usage(&self.scratch, &mut left);
        let sizes = self.files.iter().filter_map(|(folder, name)| Some(folder.symlink_metadata(name).ok()?.len()));
        let (largest_file, sum) =
            sizes.fold((0, 0), |(largest, sum): (u64, u64), size| (largest.max(size), sum.saturating_add(size)));
        DiskUsage { scratch_bytes, largest_file, all_bytes: scratch_bytes.saturating_add(sum) }
    }
}

/// The space that a folder's files use, as far as it can be determined while they change. A folder with far too many
/// files counts as infinite.
fn usage(folder: &Dir, left: &mut u32) -> u64 {
    let mut used = 0_u64;
    for entry in folder.entries().into_iter().flatten().flatten() {
        let Some(rest) = left.checked_sub(1) else { return u64::MAX };
        *left = rest;
        let Ok(found) = entry.metadata() else { continue };
        // These blocks always have 512 bytes, whatever the block size of the file system: see stat(2).
        used = used.saturating_add(found.blocks().saturating_mul(512));
        if found.is_dir()
            && let Ok(inner) = entry.open_dir()
        {
            used = used.saturating_add(usage(&inner, left));
        }
    }
    used
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, clippy::unwrap_used)]
    use super::*;
    use cap_std::ambient_authority;

    fn open(path: &std::path::Path) -> Dir {
        Dir::open_ambient_dir(path, ambient_authority()).unwrap()
    }

    #[test]
    fn everything_that_a_step_writes_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("scratch/inner")).unwrap();
        std::fs::write(folder.path().join("scratch/inner/spill"), vec![1; 100_000]).unwrap();
        std::fs::write(folder.path().join(".out.csv"), vec![1; 70_000]).unwrap();
        let files =
            vec![(open(folder.path()), PathBuf::from(".out.csv")), (open(folder.path()), PathBuf::from("gone"))];
        let scratch = open(&folder.path().join("scratch"));
        let taken = DiskAllowance { scratch, scratch_bytes: 0, files, file_bytes: 0 }.taken();
        assert!((100_000..200_000).contains(&taken.scratch_bytes), "{taken:?}");
        assert_eq!((taken.largest_file, taken.all_bytes), (70_000, taken.scratch_bytes + 70_000));
    }

    #[test]
    fn a_folder_of_too_many_files_counts_as_infinite() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..5 {
            std::fs::write(folder.path().join(number.to_string()), "x").unwrap();
        }
        assert_eq!(usage(&open(folder.path()), &mut 4), u64::MAX);
        assert!(usage(&open(folder.path()), &mut 5) < u64::MAX);
    }

    #[test]
    fn the_kept_free_space_follows_the_size_of_the_disk() {
        for (total, floor) in [(0, 0), (20_000_000, 1_000_000), (1 << 50, 1 << 30)] {
            assert_eq!(Disk { id: 1, free: 0, total }.floor(), floor);
        }
        let disk = Disk::of(&open(tempfile::tempdir().unwrap().path())).unwrap();
        assert!(disk.total > 0 && disk.free <= disk.total, "{disk:?}");
    }
}
