//! The files a job grants, opened once, before the process is confined.
//!
//! From then on the step refers to them as `/proc/self/fd/N`, so a rename or a new symlink under their old paths has no
//! effect.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;

use crate::engine::InputTable;
use crate::protocol::{FileGrant, Job};

/// Open files; they stay open until this is dropped.
#[derive(Debug)]
pub struct OpenFiles {
    inputs: Vec<OwnedFd>,
    read: Vec<File>,
    write: Vec<File>,
    /// The compiled driver.
    code: Option<File>,
}

impl OpenFiles {
    /// Opens what `job` grants, and changes the job's paths to those of the open files.
    ///
    /// # Errors
    /// If a file has gone, or is not the one that the host found.
    pub fn of(job: &mut Job) -> anyhow::Result<Self> {
        let mut held = Self::open(&job.files.inputs, &job.files.read, &job.files.write)?;
        let compiled = job.files.compiled.as_ref().context("the job names no driver")?;
        let code = open_plain(compiled, false)?;
        job.files.compiled = Some(path(&code));
        held.code = Some(code);
        job.files.inputs = held.input_paths(&job.files.inputs);
        repath(&mut job.files.read, &held.read);
        repath(&mut job.files.write, &held.write);
        Ok(held)
    }

    /// # Errors
    /// If a file has gone, or is not the one that the host found.
    pub fn open(inputs: &[InputTable], read: &[FileGrant], write: &[FileGrant]) -> anyhow::Result<Self> {
        Ok(Self {
            inputs: inputs
                .iter()
                .map(|input| Ok(open_plain(&input.path, false)?.into()))
                .collect::<anyhow::Result<_>>()?,
            read: read.iter().map(|grant| open_granted(grant, false)).collect::<anyhow::Result<_>>()?,
            write: write.iter().map(|grant| open_granted(grant, true)).collect::<anyhow::Result<_>>()?,
            code: None,
        })
    }

    /// Closes the inputs, which DuckDB has opened for itself. DuckDB still allows the paths of what it attached, so
    /// their numbers must not come to refer to other files: each is taken by something that cannot be opened. Call it
    /// while the process has one thread.
    ///
    /// # Errors
    /// If no number is left.
    pub fn retire_inputs(&mut self) -> anyhow::Result<()> {
        let nothing = eventfd(0, EventfdFlags::CLOEXEC).context("cannot close the step's inputs")?;
        for input in &mut self.inputs {
            let number = input.as_raw_fd();
            let open = std::mem::replace(input, nothing.try_clone().context("cannot close the step's inputs")?);
            *input = replaced(open, &nothing, number)?;
        }
        Ok(())
    }

    /// Closes the DuckDB files that the step reads, as [`retire_inputs`](Self::retire_inputs) closes its inputs.
    ///
    /// # Errors
    /// If no number is left.
    pub fn retire_databases(&mut self, job: &Job) -> anyhow::Result<()> {
        let nothing = eventfd(0, EventfdFlags::CLOEXEC).context("cannot close the step's inputs")?;
        let read = job.files.read.iter().zip(&mut self.read);
        for (_, file) in read.filter(|(grant, _)| job.files.databases.contains(&grant.name)) {
            let number = file.as_raw_fd();
            let open = std::mem::replace(file, nothing.try_clone().context("cannot close the step's inputs")?.into());
            *file = replaced(open.into(), &nothing, number)?.into();
        }
        Ok(())
    }

    pub fn code(&self) -> Option<BorrowedFd<'_>> {
        self.code.as_ref().map(AsFd::as_fd)
    }

    pub fn inputs(&self) -> Vec<BorrowedFd<'_>> {
        self.inputs.iter().map(AsFd::as_fd).collect()
    }

    pub fn read(&self) -> Vec<BorrowedFd<'_>> {
        self.read.iter().map(AsFd::as_fd).collect()
    }

    /// The files to read that DuckDB does not attach.
    pub fn read_plain(&self, job: &Job) -> Vec<BorrowedFd<'_>> {
        let read = job.files.read.iter().zip(&self.read);
        read.filter(|(grant, _)| !job.files.databases.contains(&grant.name)).map(|(_, file)| file.as_fd()).collect()
    }

    pub fn write(&self) -> Vec<BorrowedFd<'_>> {
        self.write.iter().map(AsFd::as_fd).collect()
    }

    /// A granted file to read, by its name in the config.
    pub fn to_read(&self, job: &Job, name: &str) -> Option<&File> {
        job.files.read.iter().zip(&self.read).find(|(grant, _)| grant.name == name).map(|(_, file)| file)
    }

    /// The inputs with the paths by which to open them; two tables of one file share a path.
    pub fn input_paths(&self, inputs: &[InputTable]) -> Vec<InputTable> {
        let first = |input: &InputTable| inputs.iter().position(|other| other.path == input.path).unwrap_or_default();
        inputs.iter().map(|input| InputTable { path: path(&self.inputs[first(input)]), ..input.clone() }).collect()
    }
}

/// Opens a granted file.
///
/// # Errors
/// If it has gone, or is not the one that the host found.
pub fn open_granted(grant: &FileGrant, writing: bool) -> anyhow::Result<File> {
    let file = open_plain(&grant.path, writing)?;
    let found = file.metadata()?;
    ensure!(
        found.is_file() && (found.dev(), found.ino()) == grant.identity,
        "`{}` became another file while the step was starting",
        grant.name
    );
    Ok(file)
}

fn repath(grants: &mut [FileGrant], files: &[File]) {
    for (grant, file) in grants.iter_mut().zip(files) {
        grant.path = path(file);
    }
}

/// Closes `file`, and gives its number to a copy of `nothing`.
fn replaced(file: OwnedFd, nothing: &OwnedFd, number: i32) -> anyhow::Result<OwnedFd> {
    drop(file);
    let copy = rustix::io::fcntl_dupfd_cloexec(nothing, number).context("cannot close the step's inputs")?;
    ensure!(copy.as_raw_fd() == number, "another file took the number of a closed input");
    Ok(copy)
}

/// Opens a regular file, without waiting for one that is not, and never through a symlink.
///
/// # Errors
/// If it cannot be opened.
#[expect(clippy::disallowed_methods, reason = "neither follows a symlink nor waits for a pipe")]
pub fn open_plain(path: &Path, writing: bool) -> anyhow::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new()
        .read(true)
        .write(writing)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)
        .with_context(|| format!("cannot open `{}`", path.display()))
}

fn path(file: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
