//! Opens files that anyone may have placed where Osiris looks: only regular files within the given folder, without
//! waiting for a pipe, and up to a bounded size.

use std::io::{self, Read};
use std::path::Path;

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};

/// The longest text that is read, in bytes: a manifest, a lock, a state.
pub const MAX_TEXT: u64 = 64 << 20;

/// Opens a regular file for reading.
///
/// # Errors
/// If it cannot be opened or is something else, such as a pipe.
pub fn open(dir: &Dir, name: impl AsRef<Path>) -> io::Result<File> {
    open_with(dir, name, OpenOptions::new().read(true))
}

/// Opens a regular file with `options`.
///
/// # Errors
/// As for [`open`].
pub fn open_with(dir: &Dir, name: impl AsRef<Path>, options: &mut OpenOptions) -> io::Result<File> {
    let file = dir.open_with(name, options.custom_flags(libc::O_NONBLOCK))?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// The text of a regular file.
///
/// # Errors
/// As for [`open`], and if the text is not UTF-8 or longer than [`MAX_TEXT`].
pub fn read(dir: &Dir, name: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::new();
    open(dir, name)?.take(MAX_TEXT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_TEXT { Err(io::Error::other("it is longer than 64 MiB")) } else { Ok(text) }
}

/// The bytes of a regular file.
///
/// # Errors
/// As for [`open`], and if it is longer than `most` bytes.
pub fn read_bytes(dir: &Dir, name: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(dir, name)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    let most_words = crate::size::spell(most);
    if bytes.len() as u64 > most { Err(io::Error::other(format!("it is longer than {most_words}"))) } else { Ok(bytes) }
}
