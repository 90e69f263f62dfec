//! Opens a granted file of any supported compression and encoding as plain UTF-8 text.
//!
//! ```ignore
//! let mut file = InputFile::open("orders.csv.gz", Compression::Infer, Encoding::Utf8)?;
//! sql::create_table(&output, "main", &format!("from read_csv({})", file.sql_literal()?))?;
//! ```
//!
//! A file's format is recognised by its first bytes, not by its name. A stream that is truncated, has a wrong checksum,
//! or is followed by anything else is an error: a part never passes for the whole.

mod bytes;
mod compressed;
mod content;
mod format;
mod options;
mod parts;
mod path_columns;
mod selection;
mod text;
mod zip;

use std::rc::Rc;

use osiris_sdk::{Error, Result, files};
use serde::Deserialize;

use bytes::Bytes;
pub use content::ContentReader;
pub use format::Format;
pub use options::FileOptions;
pub use parts::{Document, Other};
pub use path_columns::{FileName, PathColumn, PathColumns, PathOptions, PathType, other_columns};
pub use selection::{OnChangedFile, Paths, Selection, SelectionOptions, described};
pub use text::TextReader;

/// How many bytes of a text [`InputFile::head`] returns.
pub const HEAD_BYTES: usize = 1 << 20;

/// The compression of a file, as a driver's option `compression` gives it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Inferred from the file's first bytes.
    #[default]
    Infer,
    None,
    #[serde(alias = "gz")]
    Gzip,
    #[serde(alias = "zst")]
    Zstd,
    #[serde(alias = "bzip2")]
    Bz2,
    Xz,
    /// An archive of one or more files.
    Zip,
}

/// The encoding of a file's text, as a driver's option `encoding` gives it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Encoding {
    /// With or without a byte-order mark.
    #[default]
    #[serde(rename = "utf-8", alias = "utf8", alias = "utf-8-sig")]
    Utf8,
    /// In the byte order of its mark or, without one, of its first character.
    #[serde(rename = "utf-16", alias = "utf16")]
    Utf16,
    #[serde(rename = "utf-16le", alias = "utf-16-le")]
    Utf16Le,
    #[serde(rename = "utf-16be", alias = "utf-16-be")]
    Utf16Be,
    /// All three names mean windows-1252, as in the WHATWG encoding standard: it differs from ISO 8859-1 only where the
    /// latter has control characters. Its five undefined bytes are errors.
    #[serde(rename = "windows-1252", alias = "latin-1", alias = "iso-8859-1", alias = "cp1252", alias = "latin1")]
    Windows1252,
    #[serde(rename = "ascii", alias = "us-ascii")]
    Ascii,
}

/// A granted file, whose text can be read as plain UTF-8.
pub struct InputFile {
    name: String,
    bytes: Rc<dyn Bytes>,
    granted: Option<Rc<files::Source>>,
    compression: Compression,
    encoding: Encoding,
    /// The decoded text, once DuckDB has needed it, and its literal.
    temporary: Option<(files::Temporary, String)>,
}

impl InputFile {
    /// Opens a granted file and recognises its format.
    ///
    /// # Errors
    /// `data` for a file that contains no text, such as a spreadsheet, or whose compression does not match
    /// `compression`; both include the remedy. Otherwise as for [`files::open`].
    pub fn open(path: &str, compression: Compression, encoding: Encoding) -> Result<Self> {
        let granted = Rc::new(files::open(path)?);
        let file = Self::of(path, Rc::<files::Source>::clone(&granted), compression, encoding)?;
        Ok(Self { granted: Some(granted), ..file })
    }

    /// Opens a granted file, or each of the files in an archive, in the order of their names: the file `jan.csv` in `a.zip`
    /// is called `a.zip/jan.csv`.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_all(path: &str, compression: Compression, encoding: Encoding) -> Result<Vec<Self>> {
        let granted = Rc::new(files::open(path)?);
        let file = Self::of(path, Rc::<files::Source>::clone(&granted), compression, encoding)?;
        if file.compression != Compression::Zip {
            return Ok(vec![Self { granted: Some(granted), ..file }]);
        }
        file.members()
    }

    /// The files of an archive.
    fn members(&self) -> Result<Vec<Self>> {
        let files = zip::files(&self.name, &*self.bytes)?;
        let is_only = files.len() == 1;
        let file = |member: zip::Listed| Self {
            name: if is_only { self.name.clone() } else { format!("{}/{}", self.name, member.name) },
            bytes: Rc::new(zip::Archive { bytes: Rc::clone(&self.bytes), member }),
            granted: None,
            compression: Compression::Zip,
            encoding: self.encoding,
            temporary: None,
        };
        Ok(files.into_iter().map(file).collect())
    }

    fn of(name: &str, bytes: Rc<dyn Bytes>, compression: Compression, encoding: Encoding) -> Result<Self> {
        let found = format::recognise(&*bytes)?;
        let compression = format::compression(found, compression, name)?;
        Ok(Self { name: name.to_owned(), bytes, granted: None, compression, encoding, temporary: None })
    }

    /// The path in the config.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The compression of the file: never [`Compression::Infer`].
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The size of the file on disk, in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.size()
    }

    /// The text from its start, as plain UTF-8 without a byte-order mark.
    ///
    /// # Errors
    /// `data` if the first bytes of the file cannot be decoded.
    pub fn text(&self) -> Result<TextReader> {
        TextReader::new(&self.name, Rc::clone(&self.bytes), self.compression, self.encoding)
    }

    /// The content from its start, decompressed but not decoded, without the byte-order mark of UTF-8.
    ///
    /// # Errors
    /// `data` for an archive that cannot be read.
    pub fn content(&self) -> Result<ContentReader> {
        ContentReader::new(&self.name, Rc::clone(&self.bytes), self.compression)
    }

    /// The first [`HEAD_BYTES`] of the text or slightly more, or all of it; it may end within a character.
    ///
    /// # Errors
    /// As for [`TextReader::next_chunk`].
    pub fn head(&self) -> Result<Vec<u8>> {
        self.first(HEAD_BYTES)
    }

    /// The first bytes of the text, as many as `least` or slightly more, or all of it; it may end within a character.
    ///
    /// # Errors
    /// As for [`TextReader::next_chunk`].
    pub fn first(&self, least: usize) -> Result<Vec<u8>> {
        let mut text = self.text()?;
        let mut head = Vec::new();
        while head.len() < least {
            let Some(chunk) = text.next_chunk()? else { break };
            head.extend_from_slice(chunk);
        }
        Ok(head)
    }

    /// The text as a string literal for DuckDB's readers: the file itself if it is already plain UTF-8, or else a
    /// temporary file, which uses as much of the step's disk space as the text is long. Give the readers `compression =
    /// 'none'` and `encoding = 'utf-8'`.
    ///
    /// DuckDB checks that the text of a plain file is valid UTF-8; see [`Self::check_text`] for the position of an
    /// error.
    ///
    /// # Errors
    /// As for [`TextReader::next_chunk`], and `limit` (`disk`) for a text that is larger than the step may spill.
    pub fn sql_literal(&mut self) -> Result<String> {
        if let Some((_, literal)) = &self.temporary {
            return Ok(literal.clone());
        }
        if let (Some(granted), true) = (&self.granted, self.is_plain()?) {
            return Ok(granted.sql_literal());
        }
        let temporary = files::create_temporary()?;
        let mut text = self.text()?;
        while let Some(chunk) = text.next_chunk()? {
            temporary.write(chunk)?;
        }
        let literal = temporary.sql_literal();
        self.temporary = Some((temporary, literal.clone()));
        Ok(literal)
    }

    /// Whether DuckDB can read the file directly: not compressed, and UTF-8 without a byte-order mark.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn is_plain(&self) -> Result<bool> {
        let plain = self.compression == Compression::None && self.encoding == Encoding::Utf8;
        Ok(plain && !format::has_mark(&self.bytes.read_at(0, 4)?))
    }

    /// Reads the whole text, to find the position where it cannot be decoded.
    ///
    /// # Errors
    /// As for [`TextReader::next_chunk`].
    pub fn check_text(&self) -> Result<()> {
        let mut text = self.text()?;
        while text.next_chunk()?.is_some() {}
        Ok(())
    }

    /// A message of DuckDB's in which the file's own name replaces the one that DuckDB knows.
    pub fn explain(&self, message: &str) -> String {
        let literal = match (&self.temporary, &self.granted) {
            (Some((_, literal)), _) => literal.clone(),
            (None, Some(granted)) => granted.sql_literal(),
            (None, None) => return message.to_owned(),
        };
        message.replace(literal.trim_matches('\''), &self.name)
    }
}

/// The error about a file.
fn data(name: &str, what: impl std::fmt::Display) -> Error {
    Error::data(format!("`{name}` {what}"))
}

#[cfg(test)]
mod tests;
