//! Detects a body that is compressed although no header says so, by its first bytes.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::status;
use crate::{Error, ErrorKind, Result};

/// First bytes of formats with which no text in any encoding starts, and their names.
const SIGNS: [(&[u8], &str); 8] = [
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "ZIP"),
    (b"BZh91A", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"x\x01", "deflate"),
    (b"x\x9c", "deflate"),
    (b"x\xda", "deflate"),
];

/// The bytes, decompressed if they are gzip: servers send files such as `export.json.gz` this way.
///
/// # Errors
/// `data` for any other compression, which is named, and beyond `max_bytes`; `transient` for a truncated stream.
pub(super) fn unpacked(bytes: &[u8], max_bytes: u64) -> Result<Cow<'_, [u8]>> {
    if let Some((_, name)) = SIGNS.iter().find(|(sign, _)| bytes.starts_with(sign)) {
        return Err(Error::data(format!(
            "it is {name} by its first bytes, which no `content-encoding` says and which is not read here; ask the server for \
             plain text or gzip"
        )));
    }
    if !bytes.starts_with(&[0x1f, 0x8b, 0x08]) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut plain = Vec::new();
    let mut decoder = MultiGzDecoder::new(bytes).take(max_bytes.saturating_add(1));
    match decoder.read_to_end(&mut plain) {
        Ok(_) if plain.len() as u64 > max_bytes => {
            Err(Error::data(format!("it is larger than the {} that it may be", status::size(max_bytes))))
        }
        Ok(_) => Ok(Cow::Owned(plain)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Error::new(ErrorKind::Transient, "it is gzip by its first bytes, but ends before it is whole"))
        }
        Err(error) => Err(Error::data(format!("it is gzip by its first bytes, but damaged: {error}"))),
    }
}
