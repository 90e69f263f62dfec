//! The files that the step was granted, by the paths its config names, and temporary files.

use crate::Result;
use crate::bindings::osiris::driver::files as raw;

pub use raw::{Format, Source, Target, Temporary};

/// Opens a granted file for reading.
///
/// # Errors
/// `denied` for a path that was not granted, `not-found` for one that does not exist.
pub fn open(path: &str) -> Result<Source> {
    Ok(raw::open(path)?)
}

/// Opens a granted file for writing; it takes its target's place when the step has succeeded.
///
/// # Errors
/// `denied` for a path that was not granted.
pub fn create(path: &str) -> Result<Target> {
    Ok(raw::create(path)?)
}

/// Creates an empty temporary file, for bytes that DuckDB's readers then read. It needs no grant, no
/// other step can read it, and it is removed when the handle is dropped: keep the handle for as long
/// as a query uses its SQL literal.
///
/// # Errors
/// When the machine refuses.
pub fn create_temporary() -> Result<Temporary> {
    Ok(raw::create_temporary()?)
}

/// Writes the rows of one SELECT to `path` by DuckDB's own writer; says how many.
///
/// # Errors
/// As [`create`], and `config` for a wrong statement or option.
pub fn copy(path: &str, select: &str, format: Format, options: &[(&str, &str)]) -> Result<u64> {
    let options: Vec<(String, String)> =
        options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(create(path)?.copy(select, format, &options)?)
}
