//! Recognises a file by its first bytes.

use osiris_sdk::{Error, Result};

use crate::bytes::Bytes;
use crate::{Compression, data, zip};

/// The format of a file, as far as its first bytes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// No known format; presumably text.
    Text,
    Compressed(Compression),
    /// A format without text: its name, and the remedy.
    Other(&'static str, &'static str),
}

const SPREADSHEET: &str = "save it as CSV from the spreadsheet program";
const EXCEL: &str = "read it with `excel.extractor`";
const SQLITE: &str = "read it with `sqlite.extractor`";
const DUCKDB: &str = "read it with `duckdb.extractor`";
const PARQUET: &str = "read it with `filesystem.parquet_extractor`";
const UNPACK: &str = "unpack it first; gzip, zstd, bzip2, xz and zip are read as they are";
const CONVERT: &str = "convert it to CSV, JSON or Parquet";

/// First bytes (at an offset), and the format that they indicate.
const MAGIC: &[(usize, &[u8], Format)] = &[
    (0, &[0x1f, 0x8b], Format::Compressed(Compression::Gzip)),
    (0, &[0x28, 0xb5, 0x2f, 0xfd], Format::Compressed(Compression::Zstd)),
    (0, &[0xfd, b'7', b'z', b'X', b'Z', 0], Format::Compressed(Compression::Xz)),
    (0, b"PK\x03\x04", Format::Compressed(Compression::Zip)),
    (0, b"PK\x05\x06", Format::Compressed(Compression::Zip)),
    (0, b"PK\x07\x08", Format::Compressed(Compression::Zip)),
    (0, &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1], Format::Other("an old Excel file (.xls)", SPREADSHEET)),
    (0, b"PAR1", Format::Other("a Parquet file", PARQUET)),
    (0, b"PARE", Format::Other("an encrypted Parquet file", CONVERT)),
    (0, b"%PDF-", Format::Other("a PDF document", "ask for the data as CSV")),
    (0, b"SQLite format 3\0", Format::Other("a SQLite database", SQLITE)),
    (8, b"DUCK", Format::Other("a DuckDB database", DUCKDB)),
    (0, b"ARROW1\0\0", Format::Other("an Arrow (Feather) file", CONVERT)),
    (0, b"FEA1", Format::Other("an old Feather file", CONVERT)),
    (0, b"Obj\x01", Format::Other("an Avro file", CONVERT)),
    (0, b"ORC", Format::Other("an ORC file", CONVERT)),
    (0, b"\x89HDF\r\n\x1a\n", Format::Other("an HDF5 file", CONVERT)),
    (0, b"7z\xbc\xaf\x27\x1c", Format::Other("a 7z archive", UNPACK)),
    (0, b"Rar!\x1a\x07", Format::Other("a RAR archive", UNPACK)),
    (0, &[0x1f, 0x9d], Format::Other("compressed with compress (.Z)", UNPACK)),
    (0, &[0x04, 0x22, 0x4d, 0x18], Format::Other("compressed with lz4", UNPACK)),
    (0, b"LZIP\x01", Format::Other("compressed with lzip", UNPACK)),
    (0, b"\x89LZO\0\r\n\x1a\n", Format::Other("compressed with lzop", UNPACK)),
    (0, &[0xff, 0x06, 0, 0, b's', b'N', b'a', b'P', b'p', b'Y'], Format::Other("compressed with snappy", UNPACK)),
    (0, b"\x89PNG\r\n\x1a\n", Format::Other("a PNG image", "check the path")),
    (0, &[0xff, 0xd8, 0xff], Format::Other("a JPEG image", "check the path")),
    (0, b"-----BEGIN PGP MESSAGE-----", Format::Other("encrypted with PGP", "decrypt it first")),
    (257, b"ustar", Format::Other("a tar archive", UNPACK)),
];

/// Recognises a file.
///
/// # Errors
/// If it cannot be read.
pub fn recognise(bytes: &dyn Bytes) -> Result<Format> {
    let head = bytes.read_at(0, 512)?;
    if let Format::Compressed(Compression::Zip) = of(&head) {
        return Ok(zip::document(bytes)?.map_or(Format::Compressed(Compression::Zip), |what| {
            Format::Other(what, if what == zip::EXCEL_FILE { EXCEL } else { SPREADSHEET })
        }));
    }
    Ok(of(&head))
}

/// The format indicated by the first bytes of a file or of a decompressed stream.
pub fn of(head: &[u8]) -> Format {
    // A text may start with `BZh`, but not with a digit and the magic of a block or of the end after it.
    let bzip2 = head.len() >= 10
        && head.starts_with(b"BZh")
        && head[3].is_ascii_digit()
        && (head[4..].starts_with(&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59])
            || head[4..].starts_with(&[0x17, 0x72, 0x45, 0x38, 0x50, 0x90]));
    if bzip2 {
        return Format::Compressed(Compression::Bz2);
    }
    let skippable = head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18];
    if skippable {
        return Format::Compressed(Compression::Zstd);
    }
    let found = MAGIC.iter().find(|(offset, magic, _)| head.get(*offset..).is_some_and(|head| head.starts_with(magic)));
    // A text may start with `ORC` and the like.
    let textual = head.iter().all(|byte| *byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r'));
    match found {
        Some((_, magic, Format::Other(..))) if textual && magic.len() < 5 => Format::Text,
        Some((_, _, format)) => *format,
        None => Format::Text,
    }
}

/// The compression to use for a file.
///
/// # Errors
/// `data` for a file that contains no text, or that does not match the option.
pub fn compression(found: Format, wanted: Compression, name: &str) -> Result<Compression> {
    match (found, wanted) {
        (Format::Other(what, remedy), _) => Err(not_text(name, what, remedy)),
        (Format::Compressed(found), Compression::Infer) => Ok(found),
        (Format::Text, Compression::Infer | Compression::None) => Ok(Compression::None),
        (Format::Compressed(found), wanted) if found == wanted => Ok(found),
        (Format::Compressed(found), wanted) => Err(data(
            name,
            format_args!(
                "is {}, not {}, by its first bytes; write `compression: infer`, or omit the option",
                words(found),
                words(wanted)
            ),
        )),
        (Format::Text, wanted) => Err(data(
            name,
            format_args!(
                "is not {} by its first bytes; write `compression: infer` (or `none`), or check the file",
                words(wanted)
            ),
        )),
    }
}

/// The error for a file in a format without text.
pub fn not_text(name: &str, what: &str, remedy: &str) -> Error {
    data(name, format_args!("is {what}, not text: {remedy}"))
}

fn words(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => "compressed with gzip",
        Compression::Zstd => "compressed with zstd",
        Compression::Bz2 => "compressed with bzip2",
        Compression::Xz => "compressed with xz",
        Compression::Zip => "a zip archive",
        Compression::None | Compression::Infer => "plain",
    }
}

/// Whether a text starts with a byte-order mark of any encoding.
pub fn has_mark(head: &[u8]) -> bool {
    [&[0xef, 0xbb, 0xbf][..], &[0xff, 0xfe], &[0xfe, 0xff]].iter().any(|mark| head.starts_with(mark))
}
