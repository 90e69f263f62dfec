//! Files that a driver creates for DuckDB to read, in a separate folder below the step's scratch folder.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder of a step's temporary files. Clones share it and its limit.
#[derive(Debug, Clone)]
pub struct TemporaryFolder(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    /// Gives the folder a path that does not tell a driver where on the machine it is.
    opened: File,
    /// The number of the next file. No number is reused, because DuckDB may have cached the content of the file.
    next: AtomicU64,
    used_bytes: AtomicU64,
    limit_bytes: u64,
}

/// Why bytes could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("temporary files would take more than {}, which is what the step may spill", crate::size::spell(*.0))]
    Limit(u64),
    #[error("cannot write a temporary file: {0}")]
    Io(#[from] io::Error),
}

impl TemporaryFolder {
    /// Creates the folder. Its files may occupy `limit_bytes` together.
    ///
    /// # Errors
    /// If it cannot be created, or already exists.
    #[expect(clippy::disallowed_methods, reason = "opens the folder that it has just created")]
    pub fn create(path: &Path, limit_bytes: u64) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(path)?;
        let folder =
            Folder { opened: File::open(path)?, next: AtomicU64::new(0), used_bytes: AtomicU64::new(0), limit_bytes };
        Ok(Self(Arc::new(folder)))
    }

    /// The path by which DuckDB opens the folder while `self` lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/", self.0.opened.as_raw_fd()))
    }

    /// A path in the folder that nothing has yet, for a folder that DuckDB creates.
    pub fn name_folder(&self) -> PathBuf {
        self.path().join(self.0.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Creates an empty file.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create_file(&self) -> io::Result<TemporaryFile> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path().join(number.to_string());
        let file = File::create_new(&path)?;
        Ok(TemporaryFile { folder: self.clone(), path, file: Some(file), bytes: 0 })
    }
}

/// A temporary file; it is removed when this is dropped.
#[derive(Debug)]
pub struct TemporaryFile {
    folder: TemporaryFolder,
    path: PathBuf,
    /// Open while it is written.
    file: Option<File>,
    bytes: u64,
}

impl TemporaryFile {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether bytes may still be written.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Ends writing.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// If the folder's files would exceed their limit, or the write fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let folder = &self.folder.0;
        let Some(file) = &mut self.file else { return Err(io::Error::from(io::ErrorKind::InvalidInput).into()) };
        let more = bytes.len() as u64;
        let room = |used: u64| used.checked_add(more).filter(|sum| *sum <= folder.limit_bytes);
        folder
            .used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .map_err(|_| WriteError::Limit(folder.limit_bytes))?;
        self.bytes += more;
        Ok(file.write_all(bytes)?)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // If it cannot be removed now, it is removed with the scratch folder.
        std::fs::remove_file(&self.path).ok();
        self.folder.0.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_files_of_a_folder_share_its_limit_and_return_what_they_used() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("temporary");
        let folder = TemporaryFolder::create(&path, 10).unwrap();
        let (mut one, mut other) = (folder.create_file().unwrap(), folder.create_file().unwrap());
        one.write(b"123456").unwrap();
        assert!(matches!(other.write(b"12345"), Err(WriteError::Limit(10))));
        other.write(b"1234").unwrap();
        assert_eq!(std::fs::read(one.path()).unwrap(), b"123456");
        drop(one);
        other.write(b"567890").unwrap();
        other.close();
        assert!(other.write(b"").is_err());
        drop(other);
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        assert!(TemporaryFolder::create(&path, 10).is_err(), "the folder is never shared");
    }
}
