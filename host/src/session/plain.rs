//! Opens files that anyone may have put where Osiris looks: plain files within the folder that they are asked of, without
//! waiting for a pipe, and no more of them than a bound.

use std::io::{self, Read};
use std::path::Path;

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};

/// The longest text that is read: a manifest, a lock, a state.
pub const MAX_TEXT: u64 = 64 << 20;

/// Opens a plain file for reading.
///
/// # Errors
/// When it cannot be opened or is something else, such as a pipe.
pub fn open(dir: &Dir, name: impl AsRef<Path>) -> io::Result<File> {
    open_with(dir, name, OpenOptions::new().read(true))
}

/// Opens a plain file as `options` have it.
///
/// # Errors
/// As [`open`].
pub fn open_with(dir: &Dir, name: impl AsRef<Path>, options: &mut OpenOptions) -> io::Result<File> {
    let file = dir.open_with(name, options.custom_flags(libc::O_NONBLOCK))?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// The text of a plain file.
///
/// # Errors
/// As [`open`], and when the text is not UTF-8 or longer than [`MAX_TEXT`].
pub fn read(dir: &Dir, name: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::new();
    open(dir, name)?.take(MAX_TEXT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_TEXT { Err(io::Error::other("it is longer than 64 MiB")) } else { Ok(text) }
}
