//! The files a job grants, opened once, before the process is confined.
//!
//! From then on the step speaks of them as `/proc/self/fd/N`: what its path names later, after a
//! rename or a new symlink, is of no consequence.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustix::fs::OFlags;

use crate::engine::InputTable;
use crate::protocol::{FileGrant, Job};

/// Open files; they stay open for as long as this lives.
#[derive(Debug)]
pub struct Held {
    inputs: Vec<File>,
    read: Vec<File>,
    write: Vec<File>,
}

impl Held {
    /// Opens what `job` grants, and changes the job's paths to the open files'.
    ///
    /// # Errors
    /// When a file is gone, or is not the one that the host found.
    pub fn of(job: &mut Job) -> anyhow::Result<Self> {
        let held = Self::open(&job.inputs, &job.read_files, &job.write_files)?;
        job.inputs = held.input_paths(&job.inputs);
        repath(&mut job.read_files, &held.read);
        repath(&mut job.write_files, &held.write);
        Ok(held)
    }

    /// # Errors
    /// When a file is gone, or is not the one that the host found.
    pub fn open(inputs: &[InputTable], read: &[FileGrant], write: &[FileGrant]) -> anyhow::Result<Self> {
        let granted = |grant: &FileGrant, writing| {
            let file = open(&grant.path, writing)?;
            let found = file.metadata()?;
            ensure!(
                found.is_file() && (found.dev(), found.ino()) == grant.identity,
                "`{}` became another file while the step was starting",
                grant.name
            );
            Ok(file)
        };
        Ok(Self {
            inputs: inputs.iter().map(|input| open(&input.path, false)).collect::<anyhow::Result<_>>()?,
            read: read.iter().map(|grant| granted(grant, false)).collect::<anyhow::Result<_>>()?,
            write: write.iter().map(|grant| granted(grant, true)).collect::<anyhow::Result<_>>()?,
        })
    }

    pub fn inputs(&self) -> Vec<BorrowedFd<'_>> {
        self.inputs.iter().map(AsFd::as_fd).collect()
    }

    pub fn read(&self) -> Vec<BorrowedFd<'_>> {
        self.read.iter().map(AsFd::as_fd).collect()
    }

    pub fn write(&self) -> Vec<BorrowedFd<'_>> {
        self.write.iter().map(AsFd::as_fd).collect()
    }

    /// The inputs with the paths to open them by; two tables of one file share one.
    pub fn input_paths(&self, inputs: &[InputTable]) -> Vec<InputTable> {
        let first = |input: &InputTable| inputs.iter().position(|other| other.path == input.path).unwrap_or_default();
        inputs.iter().map(|input| InputTable { path: path(&self.inputs[first(input)]), ..input.clone() }).collect()
    }
}

fn repath(grants: &mut [FileGrant], files: &[File]) {
    for (grant, file) in grants.iter_mut().zip(files) {
        grant.path = path(file);
    }
}

/// Opens a plain file, never waiting for one that is no plain file, never through a symlink.
fn open(path: &Path, writing: bool) -> anyhow::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new()
        .read(true)
        .write(writing)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)
        .with_context(|| format!("cannot open `{}`", path.display()))
}

fn path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
