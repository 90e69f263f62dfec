//! The files that the step was granted, by the paths in its config, and temporary files.

use crate::Result;
use crate::host::files as raw;

pub use raw::{Format, Source, Target, Temporary};

/// The names of the files that a path in the config stands for: the path itself, or if the spec requests `readMatching`,
/// all files that match a pattern or are in a folder.
///
/// # Errors
/// As for [`open`].
pub fn list(path: &str) -> Result<Vec<String>> {
    Ok(raw::list(path)?)
}

/// Opens a granted file for reading.
///
/// # Errors
/// `denied` for a path that was not granted, `not-found` for one that does not exist.
pub fn open(path: &str) -> Result<Source> {
    Ok(raw::open(path)?)
}

/// Opens a granted file for writing; it replaces its target once the step has succeeded.
///
/// # Errors
/// `denied` for a path that was not granted.
pub fn create(path: &str) -> Result<Target> {
    Ok(raw::create(path)?)
}

/// Creates an empty temporary file, for bytes that DuckDB's readers then read. It needs no grant, no other step can
/// read it, and it is removed when the handle is dropped: keep the handle as long as a query uses its SQL literal.
///
/// # Errors
/// If the file cannot be created.
pub fn create_temporary() -> Result<Temporary> {
    Ok(raw::create_temporary()?)
}

/// Writes the rows of one SELECT to `path` with DuckDB's own writer; returns how many.
///
/// # Errors
/// As for [`create`], and `config` for a wrong statement or option.
pub fn copy(path: &str, select: &str, format: Format, options: &[(&str, &str)]) -> Result<u64> {
    let options: Vec<(String, String)> =
        options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(create(path)?.copy(select, format, &options)?)
}
