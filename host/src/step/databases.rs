//! The DuckDB files that a step uses. One that it updates is a copy in its scratch folder, where DuckDB may also write its
//! log; the complete copy is then copied into the file that the step may write.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::host_fault;
use super::open_files::{OpenFiles, open_plain};
use super::watch::Overrun;
use crate::contract::Tally;
use crate::engine::DatabaseFile;
use crate::error::Failure;
use crate::protocol::{FileGrant, Job};

/// Copies the present content of each file that the step updates into its scratch folder. Nothing is interpreted; a file
/// system that can share blocks does.
///
/// # Errors
/// If there is no room for the copy.
#[expect(clippy::disallowed_methods, reason = "creates a file in the step's own folder")]
pub fn copy(job: &Job, held: &OpenFiles) -> Result<(), Failure> {
    for (position, target) in updated(job) {
        let Some(mut present) = held.to_read(job, &target.name) else { continue };
        let copied = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(working_copy(job, position))
            .and_then(|mut copy| std::io::copy(&mut present, &mut copy));
        copied.map_err(|error| cannot(job, &target.name, &error))?;
    }
    Ok(())
}

/// Writes the updated files, which the engine has closed, where the host expects them.
///
/// # Errors
/// If there is no room for them.
#[expect(clippy::disallowed_methods, reason = "opens a granted file again by its number, below `/proc/self/fd`")]
pub fn write(job: &Job, tally: &Tally) -> Result<(), Failure> {
    for (position, target) in updated(job).filter(|(_, target)| tally.files_written.contains(&target.path)) {
        let mut copy = open_plain(&working_copy(job, position), false).map_err(host_fault)?;
        let written = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&target.path)
            .and_then(|mut target| std::io::copy(&mut copy, &mut target));
        written.map_err(|error| cannot(job, &target.name, &error))?;
    }
    Ok(())
}

fn cannot(job: &Job, name: &str, error: &std::io::Error) -> Failure {
    let message = format!("cannot copy the DuckDB file `{name}`: {error}");
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Failure::disk_full(message),
        ErrorKind::FileTooLarge => Overrun::Output.failure(job, true),
        _ => host_fault(anyhow::anyhow!(message)),
    }
}

/// The files that the step updates, each with its position among the written files.
fn updated(job: &Job) -> impl Iterator<Item = (usize, &FileGrant)> {
    job.files.write.iter().enumerate().filter(|(_, grant)| job.files.databases.contains(&grant.name))
}

/// Where the copy of an updated file is, or where the engine creates it.
fn working_copy(job: &Job, position: usize) -> PathBuf {
    job.files.scratch.join(format!("database-{position}.duckdb"))
}

/// What the engine attaches.
pub fn files(job: &Job) -> Vec<DatabaseFile> {
    let file =
        |name: &str, path: &Path, is_updated| DatabaseFile { name: name.to_owned(), path: path.to_owned(), is_updated };
    let copies = updated(job).map(|(position, target)| file(&target.name, &working_copy(job, position), true));
    let is_read = |grant: &&FileGrant| {
        job.files.databases.contains(&grant.name) && !job.files.write.iter().any(|other| other.name == grant.name)
    };
    let read = job.files.read.iter().filter(is_read).map(|grant| file(&grant.name, &grant.path, false));
    copies.chain(read).collect()
}
