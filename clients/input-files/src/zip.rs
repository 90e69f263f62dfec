//! The files in a zip archive, found by the archive's central directory (APPNOTE.TXT, including ZIP64).
//!
//! A file's name is only a label: nothing is unpacked, so a name such as `../x` leads nowhere.

use std::io::{self, BufRead, Read};
use std::rc::Rc;

use crc32fast::Hasher;
use flate2::bufread::DeflateDecoder;
use osiris_sdk::Result;

use crate::bytes::{Bytes, Raw};
use crate::data;

/// The end record of the central directory, with the longest comment after it.
const MAX_END: u32 = 22 + 65_535;

/// The largest central directory that is read.
const MAX_DIRECTORY: u64 = 16 << 20;

/// The most files of an archive that are read.
const MAX_FILES: usize = 5000;

/// What `document` calls an Excel file.
pub const EXCEL_FILE: &str = "an Excel file (.xlsx)";

const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const ENTRY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";

/// A file in the archive, as the central directory has it.
#[derive(Debug, Clone)]
pub struct Listed {
    pub name: String,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
}

/// An archive of which one file is meant.
pub struct Archive {
    pub bytes: Rc<dyn Bytes>,
    pub member: Listed,
}

impl Bytes for Archive {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.bytes.read_at(offset, length)
    }

    fn member(&self) -> Option<&Listed> {
        Some(&self.member)
    }
}

/// The content of a file in an archive.
pub struct Entry {
    reader: Method,
    hasher: Hasher,
    crc: u32,
    left: u64,
}

enum Method {
    Stored(Raw),
    Deflated(DeflateDecoder<Raw>),
}

impl Read for Entry {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.reader {
            Method::Stored(raw) => raw.read(target),
            Method::Deflated(decoder) => decoder.read(target),
        }?;
        self.hasher.update(&target[..count]);
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("it is longer than the archive says"))?;
        if count == 0 && !target.is_empty() {
            if self.left > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.hasher.clone().finalize() != self.crc {
                return Err(io::Error::other("its checksum is wrong"));
            }
            let rest = match &mut self.reader {
                Method::Stored(raw) => raw,
                Method::Deflated(decoder) => decoder.get_mut(),
            };
            if !rest.fill_buf()?.is_empty() {
                return Err(io::Error::other("its end is followed by bytes that do not belong to it"));
            }
        }
        Ok(count)
    }
}

/// The kind of document that the archive is, if any: formats such as `.xlsx` are zip archives.
///
/// # Errors
/// If the file cannot be read.
pub fn document(bytes: &dyn Bytes) -> Result<Option<&'static str>> {
    let Ok(listed) = list("", bytes) else {
        // For a truncated archive, the first file is enough to recognise it.
        let head = bytes.read_at(0, 64)?;
        let first = head.get(30..).unwrap_or_default();
        return Ok(first.starts_with(b"[Content_Types].xml").then_some("an Office document, cut short"));
    };
    let has = |prefix: &str| listed.iter().any(|entry| entry.name.starts_with(prefix));
    Ok(if has("xl/") {
        Some(EXCEL_FILE)
    } else if has("word/") || has("ppt/") {
        Some("an Office document")
    } else if has("mimetype") && has("content.xml") {
        Some("an OpenDocument file (.ods)")
    } else if has("Index/") && (has("Metadata/") || has("preview")) {
        Some("a Numbers file")
    } else {
        None
    })
}

/// The files of an archive in the order of their names: without folders, and without what macOS adds.
///
/// # Errors
/// `data` for an archive that is truncated, has no file, has too many, or has two of one name.
pub fn files(name: &str, bytes: &dyn Bytes) -> Result<Vec<Listed>> {
    let mut files = list(name, bytes)?;
    files.retain(|entry| !entry.name.ends_with('/') && !entry.name.starts_with("__MACOSX/"));
    files.sort_by(|one, other| one.name.cmp(&other.name));
    if files.is_empty() {
        return Err(data(name, "is a zip archive without a file"));
    }
    if files.len() > MAX_FILES {
        let what = format_args!("is a zip archive of {} files, more than the {MAX_FILES} that are read", files.len());
        return Err(data(name, what));
    }
    match files.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(data(name, format_args!("is a zip archive with two files `{}`", pair[0].name))),
        None => Ok(files),
    }
}

/// Opens the archive's file that is meant, or its only one.
///
/// # Errors
/// `data` for an archive that is truncated, or for a file that is encrypted.
pub fn open(name: &str, bytes: Rc<dyn Bytes>) -> Result<Entry> {
    let entry = match bytes.member() {
        Some(member) => member.clone(),
        None => {
            let files = files(name, &*bytes)?;
            let [entry] = &files[..] else {
                return Err(data(
                    name,
                    format_args!("is a zip archive of {} files, where one is expected", files.len()),
                ));
            };
            entry.clone()
        }
    };
    if entry.flags & 1 != 0 {
        return Err(data(name, "is an encrypted zip archive: unpack it first"));
    }
    let local = bytes.read_at(entry.offset, 30)?;
    if local.len() < 30 || !local.starts_with(LOCAL) {
        return Err(damaged(name));
    }
    let start = entry.offset + 30 + u64::from(short(&local, 26)) + u64::from(short(&local, 28));
    let end = start.checked_add(entry.packed).filter(|end| *end <= bytes.size()).ok_or_else(|| damaged(name))?;
    let raw = Raw::new(bytes, start, end);
    let reader = match entry.method {
        0 => Method::Stored(raw),
        8 => Method::Deflated(DeflateDecoder::new(raw)),
        other => {
            return Err(data(
                name,
                format_args!(
                    "is a zip archive whose file is compressed by method {other}, where only deflate is read: unpack it first"
                ),
            ));
        }
    };
    Ok(Entry { reader, hasher: Hasher::new(), crc: entry.crc, left: entry.size })
}

fn damaged(name: &str) -> osiris_sdk::Error {
    data(name, "is a damaged zip archive: its directory does not fit its content; fetch the whole file again")
}

/// The archive's central directory.
fn list(name: &str, bytes: &dyn Bytes) -> Result<Vec<Listed>> {
    let size = bytes.size();
    let tail_start = size.saturating_sub(u64::from(MAX_END));
    let tail = bytes.read_at(tail_start, MAX_END)?;
    // The record only counts if its comment ends with the file.
    let ends_there =
        |at: &usize| tail[*at..].starts_with(END) && at + 22 + usize::from(short(&tail[*at..], 20)) == tail.len();
    let Some(end) = (0..tail.len().saturating_sub(21)).rev().find(ends_there) else {
        return Err(data(
            name,
            "is cut short, or followed by bytes that do not belong to it: its zip directory does not end with the file; fetch the whole file again",
        ));
    };
    let record = &tail[end..];
    let (mut length, mut start) = (u64::from(int(record, 12)), u64::from(int(record, 16)));
    let locator = end.checked_sub(20).map(|at| &tail[at..end]).filter(|locator| locator.starts_with(LOCATOR_64));
    if let Some(locator) = locator {
        let record = bytes.read_at(long(locator, 8), 56)?;
        if record.len() < 56 || !record.starts_with(END_64) {
            return Err(damaged(name));
        }
        (length, start) = (long(&record, 40), long(&record, 48));
    }
    if length > MAX_DIRECTORY || start.checked_add(length).is_none_or(|end| end > size) {
        return Err(damaged(name));
    }
    let directory = bytes.read_at(start, u32::try_from(length).unwrap_or(u32::MAX))?;
    let mut rest = &directory[..];
    let mut listed = Vec::new();
    while !rest.is_empty() {
        let (entry, length) = entry(rest).ok_or_else(|| damaged(name))?;
        listed.push(entry);
        rest = rest.get(length..).ok_or_else(|| damaged(name))?;
    }
    Ok(listed)
}

/// The first entry of a central directory, and its length.
fn entry(record: &[u8]) -> Option<(Listed, usize)> {
    if record.len() < 46 || !record.starts_with(ENTRY) {
        return None;
    }
    let (name, extra, comment) =
        (usize::from(short(record, 28)), usize::from(short(record, 30)), usize::from(short(record, 32)));
    let text = record.get(46..46 + name)?;
    let mut fields = record.get(46 + name..46 + name + extra)?;
    let mut listed = Listed {
        name: String::from_utf8_lossy(text).into_owned(),
        flags: short(record, 8),
        method: short(record, 10),
        crc: int(record, 16),
        packed: u64::from(int(record, 20)),
        size: u64::from(int(record, 24)),
        offset: u64::from(int(record, 42)),
    };
    // Field 1 (ZIP64) contains those values, in this order, that do not fit into 32 bits.
    while fields.len() >= 4 {
        let length = usize::from(short(fields, 2));
        let mut values = fields.get(4..4 + length)?;
        if short(fields, 0) == 1 {
            for value in [&mut listed.size, &mut listed.packed, &mut listed.offset] {
                if *value == u64::from(u32::MAX) && values.len() >= 8 {
                    *value = long(values, 0);
                    values = &values[8..];
                }
            }
        }
        fields = &fields[4 + length..];
    }
    Some((listed, 46 + name + extra + comment))
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn int(bytes: &[u8], at: usize) -> u32 {
    u32::from(short(bytes, at)) | u32::from(short(bytes, at + 2)) << 16
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(int(bytes, at)) | u64::from(int(bytes, at + 4)) << 32
}
