//! The parts of a document that is a zip archive, such as an Excel file.

use std::io::Read;
use std::rc::Rc;

use osiris_sdk::{Result, files};

use crate::bytes::Bytes;
use crate::format::{self, Format};
use crate::zip::{self, Archive, Listed};
use crate::{Compression, data};

/// A document whose parts can be read by their names. A name is only looked up: it leads nowhere outside the archive.
pub struct Document {
    name: String,
    bytes: Rc<dyn Bytes>,
    parts: Vec<Listed>,
}

/// What a file is that is no document of parts.
pub enum Other {
    /// A format that is recognised by its first bytes.
    Named(&'static str),
    Unknown,
}

impl Document {
    /// Opens a granted file; the inner error is for one that is not a zip archive.
    ///
    /// # Errors
    /// `data` for an archive that is truncated or damaged, and as for [`files::open`].
    pub fn open(path: &str) -> Result<std::result::Result<Self, Other>> {
        let bytes: Rc<dyn Bytes> = Rc::new(files::open(path)?);
        match format::of(&bytes.read_at(0, 512)?) {
            Format::Compressed(Compression::Zip) => {}
            Format::Other(what, _) => return Ok(Err(Other::Named(what))),
            Format::Text | Format::Compressed(_) => return Ok(Err(Other::Unknown)),
        }
        let parts = zip::files(path, &*bytes)?;
        Ok(Ok(Self { name: path.to_owned(), bytes, parts }))
    }

    /// The name of the part that is called `name`, in any case, as Office programs look it up.
    pub fn find(&self, name: &str) -> Option<&str> {
        let exact = self.parts.iter().find(|part| part.name == name);
        let found = exact.or_else(|| self.parts.iter().find(|part| part.name.eq_ignore_ascii_case(name)));
        found.map(|part| part.name.as_str())
    }

    /// The content of a part, decompressed as it is read. Its end is reached only if its size and its checksum are right.
    ///
    /// # Errors
    /// `data` for a part that does not exist or is encrypted, or whose place in the archive is wrong.
    pub fn read(&self, name: &str) -> Result<impl Read + use<>> {
        let Some(part) = self.parts.iter().find(|part| part.name == name) else {
            return Err(data(&self.name, format_args!("has no part `{name}`")));
        };
        zip::open(&self.name, Rc::new(Archive { bytes: Rc::clone(&self.bytes), member: part.clone() }))
    }
}
