//! The first 100 bytes of a SQLite file (<https://www.sqlite.org/fileformat2.html>, 1.3).

use osiris_sdk::{Error, Result};

use crate::bytes::{int, short};

/// How many bytes the header has.
pub const LENGTH: usize = 100;

const MAGIC: &[u8] = b"SQLite format 3\0";

/// How the texts of a file are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub page_size: usize,
    /// The bytes of a page that hold content.
    pub usable: usize,
    pub encoding: Encoding,
    /// Grows with every change, except in WAL mode.
    pub change_counter: u32,
    /// The number of pages, if the header knows it.
    pub pages: Option<u32>,
}

impl Header {
    /// # Errors
    /// `data` for bytes that are no header, or that of a version which is not known.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if !bytes.starts_with(MAGIC) {
            return Err(Error::data(
                "it is not a SQLite file, or it is encrypted: its first bytes are not those of one",
            ));
        }
        Self::fields(bytes).ok_or_else(|| Error::data("its header is damaged"))?
    }

    fn fields(bytes: &[u8]) -> Option<Result<Self>> {
        let page_size = match short(bytes, 16)? {
            1 => 65_536,
            size => usize::from(size),
        };
        let reserved = usize::from(*bytes.get(20)?);
        let fractions = bytes.get(21..24)? == [64, 32, 32];
        if !page_size.is_power_of_two() || page_size < 512 || page_size - reserved < 480 || !fractions {
            return None;
        }
        if *bytes.get(19)? > 2 || int(bytes, 44)? > 4 {
            return Some(Err(Error::data("it has a newer format than this driver knows")));
        }
        let encoding = match int(bytes, 56)? {
            // An empty file has not chosen one yet.
            0 | 1 => Encoding::Utf8,
            2 => Encoding::Utf16Le,
            3 => Encoding::Utf16Be,
            _ => return None,
        };
        let (change_counter, pages) = (int(bytes, 24)?, int(bytes, 28)?);
        // Old versions of SQLite do not keep the number of pages up to date.
        let is_kept = pages > 0 && change_counter == int(bytes, 92)?;
        let pages = is_kept.then_some(pages);
        Some(Ok(Self { page_size, usable: page_size - reserved, encoding, change_counter, pages }))
    }
}
