//! `osiris:driver/files`: the step's granted files outside the session, and temporary files.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::Resource;

use super::bindings::osiris::driver::files::{Format, Host, HostSource, HostTarget, HostTemporary};
use super::fetch::Fetcher;
use super::partitioned::{Copied, PartitionOptions};
use super::shared::Shared;
use super::{Answer, DriverCall, Error, ErrorKind, View, coded, error};
use crate::digest::Digest;
use crate::engine::{Engine, Status, TemporaryFile, Trouble, WriteError, quote_text};
use crate::error::DISK_FULL;
use crate::grants::fetch::is_address;
use crate::protocol::FileGrant;

/// The most bytes that one `read` returns.
const MAX_READ: u32 = 8 << 20;

/// The files that the step was granted, and what was written to them.
pub struct Files {
    readable: Vec<FileGrant>,
    /// The files that are fetched when they are opened.
    remote: Fetcher,
    writable: Vec<FileGrant>,
    /// The names of those that stand for a folder of partitions.
    folders: BTreeSet<String>,
    engine: Arc<Engine>,
    longest_read: u32,
    /// The files that were created.
    pub created: Vec<PathBuf>,
    /// The number of rows that COPY wrote.
    pub rows_copied: u64,
}

impl Files {
    pub fn new(call: &DriverCall<'_>, shared: &Shared) -> Self {
        // What a DuckDB file contains is the engine's to read and write.
        let files = &call.job.files;
        let plain = |grants: &[FileGrant]| {
            grants.iter().filter(|grant| !files.databases.contains(&grant.name)).cloned().collect::<Vec<_>>()
        };
        Self {
            readable: plain(&files.read),
            remote: Fetcher::new(call, shared),
            writable: plain(&files.write),
            folders: files.folders.clone(),
            engine: Arc::clone(call.engine),
            longest_read: call.job.disturbance.longest_read(MAX_READ),
            created: Vec::new(),
            rows_copied: 0,
        }
    }
}

/// A granted file, open for reading.
pub struct Source {
    path: PathBuf,
    file: File,
    size: u64,
}

/// A granted file that is being written beside its target.
pub struct Target {
    name: String,
    path: PathBuf,
    file: File,
    /// Whether it stands for a folder of partitions.
    is_folder: bool,
    written: Written,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Written {
    Nothing,
    Copied,
    Bytes,
}

/// The most granted files that an error names.
const MAX_NAMED: usize = 20;

fn granted(grants: &[FileGrant], path: &str, verb: &str) -> Result<PathBuf, Error> {
    let found = grants.iter().find(|grant| grant.name == path).map(|grant| grant.path.clone());
    found.ok_or_else(|| denied(grants, path, verb))
}

fn denied(grants: &[FileGrant], path: &str, verb: &str) -> Error {
    let several = grants.iter().filter(|grant| grant.stands_for.iter().any(|written| written == path)).count();
    let message = if is_address(path) {
        format!("the step may not fetch `{path}`: its driver asks to read files, not addresses")
    } else if several > 0 {
        format!("`{path}` stands for {several} files: {verb} each by the name that `list` returns")
    } else {
        let known = crate::error::listed(grants.iter().take(MAX_NAMED).map(|grant| grant.name.as_str()));
        let more = grants.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("the step may not {verb} `{path}`; it was granted: {known}{more}")
    };
    error(ErrorKind::Denied, message)
}

fn io_error(doing: &str, name: &str, cause: &std::io::Error, status: &Status) -> Error {
    let message = format!("cannot {doing} `{name}`: {cause}");
    let kind = match cause.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            status.note(Trouble::DiskFull);
            return coded(ErrorKind::Other, DISK_FULL, message);
        }
        std::io::ErrorKind::FileTooLarge => {
            status.note(Trouble::TooLarge);
            return coded(ErrorKind::Limit, "output", message);
        }
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Internal,
    };
    error(kind, message)
}

impl Host for View<'_, Files> {
    fn list(&mut self, path: String) -> Answer<Vec<String>> {
        if self.own.remote.knows(&path) {
            return Ok(Ok(vec![path]));
        }
        let stands_for = |grant: &&FileGrant| grant.name == path || grant.stands_for.contains(&path);
        let found: Vec<&FileGrant> = self.own.readable.iter().filter(stands_for).collect();
        if found.is_empty() {
            return Ok(Err(denied(&self.own.readable, &path, "read")));
        }
        let name = |grant: &&FileGrant| {
            let there = std::fs::metadata(&grant.path);
            there.map_err(|cause| io_error("open", &grant.name, &cause, self.own.engine.status()))?;
            Ok(grant.name.clone())
        };
        Ok(found.iter().map(name).collect())
    }

    #[expect(clippy::disallowed_methods, reason = "opens a granted file again by its number, below `/proc/self/fd`")]
    fn open(&mut self, path: String) -> Answer<Resource<Source>> {
        let mut open = || {
            let resolved = match self.own.remote.knows(&path) {
                true => self.own.remote.path(&path)?,
                false => granted(&self.own.readable, &path, "read")?,
            };
            let file =
                File::open(&resolved).map_err(|cause| io_error("open", &path, &cause, self.own.engine.status()))?;
            let size =
                file.metadata().map_err(|cause| io_error("open", &path, &cause, self.own.engine.status()))?.len();
            Ok(Source { path: resolved, file, size })
        };
        match open() {
            Ok(source) => Ok(Ok(self.handles.push(source)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "opens a granted file again by its number, below `/proc/self/fd`")]
    fn create(&mut self, path: String) -> Answer<Resource<Target>> {
        let create = || {
            let resolved = granted(&self.own.writable, &path, "write")?;
            if self.own.created.contains(&resolved) {
                return Err(error(ErrorKind::Internal, format!("`{path}` was created before in this step")));
            }
            let file = OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(&resolved)
                .map_err(|cause| io_error("write", &path, &cause, self.own.engine.status()))?;
            let is_folder = self.own.folders.contains(&path);
            Ok(Target { name: path, path: resolved, file, is_folder, written: Written::Nothing })
        };
        match create() {
            Ok(target) => {
                self.own.created.push(target.path.clone());
                Ok(Ok(self.handles.push(target)?))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn create_temporary(&mut self) -> Answer<Resource<TemporaryFile>> {
        let created = self.own.engine.temporary_folder().map(crate::engine::TemporaryFolder::create_file);
        match created {
            Some(Ok(file)) => Ok(Ok(self.handles.push(file)?)),
            Some(Err(cause)) => Ok(Err(error(ErrorKind::Internal, format!("cannot create a temporary file: {cause}")))),
            None => Ok(Err(error(ErrorKind::Denied, "there are no temporary files here"))),
        }
    }
}

impl HostTemporary for View<'_, Files> {
    fn write(&mut self, temporary: Resource<TemporaryFile>, bytes: Vec<u8>) -> Answer<()> {
        let status = self.own.engine.status().clone();
        let temporary = self.handles.get_mut(&temporary)?;
        if !temporary.is_open() {
            let message = "the temporary file was given to DuckDB by `sql-literal`, which ends the writing";
            return Ok(Err(error(ErrorKind::Internal, message)));
        }
        Ok(temporary.write(&bytes).map_err(|cause| {
            let message = cause.to_string();
            match cause {
                WriteError::Limit(_) => {
                    status.note(Trouble::Spill);
                    coded(ErrorKind::Limit, "disk", message)
                }
                WriteError::Io(cause) if cause.kind() == std::io::ErrorKind::StorageFull => {
                    status.note(Trouble::DiskFull);
                    coded(ErrorKind::Other, DISK_FULL, message)
                }
                WriteError::Io(_) => error(ErrorKind::Internal, message),
            }
        }))
    }

    fn sql_literal(&mut self, temporary: Resource<TemporaryFile>) -> wasmtime::Result<String> {
        let temporary = self.handles.get_mut(&temporary)?;
        temporary.close();
        Ok(quote_text(&temporary.path().to_string_lossy()))
    }

    fn drop(&mut self, temporary: Resource<TemporaryFile>) -> wasmtime::Result<()> {
        self.handles.delete(temporary)?;
        Ok(())
    }
}

impl HostSource for View<'_, Files> {
    fn sql_literal(&mut self, source: Resource<Source>) -> wasmtime::Result<String> {
        Ok(quote_text(&self.handles.get(&source)?.path.to_string_lossy()))
    }

    fn size(&mut self, source: Resource<Source>) -> wasmtime::Result<u64> {
        Ok(self.handles.get(&source)?.size)
    }

    fn read(&mut self, source: Resource<Source>, offset: u64, length: u32) -> Answer<Vec<u8>> {
        let longest = self.own.longest_read;
        let source = self.handles.get(&source)?;
        let left = source.size.saturating_sub(offset).min(u64::from(length.min(longest)));
        let mut bytes = vec![0; left as usize];
        let outcome = source.file.read_at(&mut bytes, offset);
        Ok(match outcome {
            Ok(count) => {
                bytes.truncate(count);
                Ok(bytes)
            }
            Err(cause) => Err(io_error("read", &source.path.to_string_lossy(), &cause, self.own.engine.status())),
        })
    }

    fn digest(&mut self, source: Resource<Source>) -> Answer<String> {
        let source = self.handles.get_mut(&source)?;
        Ok(match Digest::of_file(&mut source.file) {
            Ok((digest, _)) => Ok(digest.to_string()),
            Err(cause) => Err(io_error("read", &source.path.to_string_lossy(), &cause, self.own.engine.status())),
        })
    }

    fn drop(&mut self, source: Resource<Source>) -> wasmtime::Result<()> {
        self.handles.delete(source)?;
        Ok(())
    }
}

impl HostTarget for View<'_, Files> {
    fn copy(
        &mut self,
        target: Resource<Target>,
        select: String,
        format: Format,
        options: Vec<(String, String)>,
    ) -> Answer<u64> {
        let target = self.handles.get_mut(&target)?;
        if target.written != Written::Nothing {
            let message = format!("`{}` was written to before; `copy` writes a file whole and once", target.name);
            return Ok(Err(error(ErrorKind::Internal, message)));
        }
        target.written = Written::Copied;
        let format = match format {
            Format::Csv => "csv",
            Format::Parquet => "parquet",
            Format::Json => "json",
        };
        let engine = &self.own.engine;
        let copied = if target.is_folder {
            let copied = PartitionOptions::of(options)
                .map_err(Copied::Engine)
                .and_then(|options| options.copy(engine, &select, format, &mut target.file));
            copied.map_err(|why| match why {
                Copied::Engine(error) => error,
                Copied::Io(cause) => io_error("write", &target.name, &cause, engine.status()),
            })
        } else {
            engine.copy(&select, &target.path, format, &options).map_err(Error::from)
        };
        self.own.rows_copied += copied.as_ref().copied().unwrap_or_default();
        Ok(copied)
    }

    fn write(&mut self, target: Resource<Target>, bytes: Vec<u8>) -> Answer<()> {
        let status = self.own.engine.status().clone();
        let target = self.handles.get_mut(&target)?;
        if target.is_folder {
            let message = format!("`{}` is a folder of partitions, which only `copy` writes", target.name);
            return Ok(Err(error(ErrorKind::Internal, message)));
        }
        if target.written == Written::Copied {
            let message = format!("`{}` was written by `copy`, which nothing may follow", target.name);
            return Ok(Err(error(ErrorKind::Internal, message)));
        }
        target.written = Written::Bytes;
        Ok(target.file.write_all(&bytes).map_err(|cause| io_error("write", &target.name, &cause, &status)))
    }

    fn drop(&mut self, target: Resource<Target>) -> wasmtime::Result<()> {
        self.handles.delete(target)?;
        Ok(())
    }
}
