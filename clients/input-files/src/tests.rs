#![allow(clippy::unwrap_used)]
use std::io::Write;

use super::*;

struct Memory(Vec<u8>);

impl Bytes for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let start = self.0.len().min(usize::try_from(offset).unwrap());
        Ok(self.0[start..self.0.len().min(start + length as usize)].to_vec())
    }
}

fn read_as(bytes: &[u8], compression: Compression, encoding: Encoding) -> Result<String> {
    let file = InputFile::of("f", Rc::new(Memory(bytes.to_vec())), compression, encoding)?;
    let mut text = file.text()?;
    let mut whole = Vec::new();
    while let Some(chunk) = text.next_chunk()? {
        whole.extend_from_slice(chunk);
    }
    Ok(String::from_utf8(whole).unwrap())
}

fn read(bytes: &[u8]) -> Result<String> {
    read_as(bytes, Compression::Infer, Encoding::Utf8)
}

fn why(outcome: Result<String>) -> String {
    let message = outcome.unwrap_err().message;
    assert!(message.starts_with("`f` "), "{message}");
    message
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Incompressible lines.
fn lines(count: u32) -> String {
    (0..count).map(|line| format!("{line},{}\n", line.wrapping_mul(2_654_435_761) ^ 0x5bd1_e995)).collect()
}

fn bz2(text: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

/// An archive of stored or deflated files.
fn zip(files: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content, deflated) in files {
        let mut packed = content.to_vec();
        if *deflated {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            packed = encoder.finish().unwrap();
        }
        let crc = crc32fast::hash(content);
        let mut fields = vec![20, 0, 0, 0, if *deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
        for number in [crc, packed.len() as u32, content.len() as u32] {
            fields.extend_from_slice(&number.to_le_bytes());
        }
        fields.extend_from_slice(&[name.len() as u8, 0, 0, 0]);
        let offset = archive.len() as u32;
        archive.extend_from_slice(b"PK\x03\x04");
        archive.extend_from_slice(&fields);
        archive.extend_from_slice(name.as_bytes());
        archive.extend_from_slice(&packed);
        directory.extend_from_slice(b"PK\x01\x02\x14\0");
        directory.extend_from_slice(&fields);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let start = archive.len() as u32;
    archive.extend_from_slice(&directory);
    archive.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    archive.extend_from_slice(&[files.len() as u8, 0, files.len() as u8, 0]);
    archive.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    archive.extend_from_slice(&start.to_le_bytes());
    archive.extend_from_slice(&[0, 0]);
    archive
}

#[test]
fn every_compression_is_recognised_and_read_to_the_end() {
    let text = lines(30_000);
    let half = text.len() / 2;
    let one = text.as_bytes();
    for whole in [
        gzip(one),
        [gzip(&one[..half]), gzip(&one[half..])].concat(),
        bz2(one),
        [bz2(&one[..half]), bz2(&one[half..])].concat(),
        zstd(one),
        [zstd(&one[..half]), vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], zstd(&one[half..])].concat(),
        zip(&[("a.csv", one, true)]),
        zip(&[("a.csv", one, false), ("__MACOSX/._a.csv", b"x", false), ("b/", b"", false)]),
        one.to_vec(),
    ] {
        assert!(read(&whole).unwrap() == text);
    }
    assert_eq!(read(b"").unwrap(), "");
    assert_eq!(read(&gzip(b"")).unwrap(), "");
}

#[test]
fn byte_order_marks_of_joined_files_are_not_part_of_the_text() {
    let mark = b"\xef\xbb\xbf";
    let marked = |text: &[u8]| [mark, text].concat();
    for pack in [gzip, bz2, zstd] {
        let joined = [pack(&marked(b"a\n")), pack(b""), pack(&marked(b"b\n")), pack(&marked(b"c"))].concat();
        assert_eq!(read(&joined).unwrap(), "a\nb\nc");
        // Within a line, or if the first file has none, the mark is part of the text.
        assert_eq!(read(&[pack(&marked(b"a")), pack(&marked(b"b"))].concat()).unwrap(), "a\u{feff}b");
        assert_eq!(read(&[pack(b"a\n"), pack(&marked(b"b"))].concat()).unwrap(), "a\n\u{feff}b");
    }
    let utf_16: Vec<u8> = [0xfeff_u16, 0x61, 0x0a].iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let joined = [gzip(&utf_16), gzip(&utf_16)].concat();
    assert_eq!(read_as(&joined, Compression::Infer, Encoding::Utf16).unwrap(), "a\na\n");
}

#[test]
fn a_stream_truncated_anywhere_is_an_error() {
    let text = lines(3_000);
    let one = text.as_bytes();
    let two_members = [gzip(&one[..9_000]), gzip(&one[9_000..])].concat();
    let first_member = gzip(&one[..9_000]).len();
    for (whole, allowed) in
        [(gzip(one), 0), (two_members, first_member), (bz2(one), 0), (zstd(one), 0), (zip(&[("a", one, true)]), 0)]
    {
        for cut in (12..whole.len()).step_by(whole.len() / 97).chain(whole.len() - 12..whole.len()) {
            // The position between two members is a valid end.
            if cut != allowed {
                let message = why(read(&whole[..cut]));
                assert!(message.contains("cut short"), "{cut} of {}: {message}", whole.len());
            }
        }
    }
}

#[test]
fn damage_and_garbage_after_the_end_are_errors() {
    let text = lines(3_000);
    for whole in
        [gzip(text.as_bytes()), bz2(text.as_bytes()), zstd(text.as_bytes()), zip(&[("a", text.as_bytes(), true)])]
    {
        for garbage in [&b"\n"[..], &[0; 100], b"1,2,3\n"] {
            assert!(why(read(&[&whole[..], garbage].concat())).contains("bytes that do not belong to it"));
        }
        let mut flipped = 0;
        for at in (20..whole.len() - 30).step_by(whole.len() / 41) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            flipped += usize::from(read(&damaged).is_err_and(|error| error.message.starts_with("`f` ")));
        }
        assert!(flipped >= 40, "{flipped} of 41");
    }
}

#[test]
fn a_file_without_text_is_named_with_the_remedy() {
    let xlsx = zip(&[("[Content_Types].xml", b"<x/>", true), ("xl/workbook.xml", b"<x/>", true)]);
    for (bytes, name, remedy) in [
        (&xlsx[..], "Excel file (.xlsx)", "excel.extractor"),
        (&xlsx[..60], "Office document, cut short", "save it as CSV"),
        (&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, 0], "old Excel file", "save it as CSV"),
        (b"PAR1\x15\x04", "Parquet", "filesystem.parquet_extractor"),
        (b"%PDF-1.7\n", "PDF", "CSV"),
        (b"SQLite format 3\0", "SQLite", "sqlite.extractor"),
        (&gzip(b"PAR1\x15\x04\x15"), "Parquet file inside its compression", "parquet_extractor"),
        (b"\x04\x22\x4d\x18\x60", "lz4", "unpack"),
    ] {
        let message = why(read(bytes));
        assert!(message.contains(name) && message.contains(remedy), "{message}");
    }
    assert!(why(read(&gzip(&gzip(b"a\n")))).contains("twice"));
    assert!(why(read(&zip(&[("a", b"1", false), ("b", b"2", false)]))).contains("2 files"));
    assert!(why(read_as(b"a,b\n", Compression::Gzip, Encoding::Utf8)).contains("not compressed with gzip"));
    assert!(why(read_as(&gzip(b"a\n"), Compression::None, Encoding::Utf8)).contains("compression: infer"));
    for text in ["ORC,a\n1,2\n", "PARE,b\n", "BZh9,a\n", "PAR1,x\n", "Obj,x\n"] {
        assert_eq!(read(text.as_bytes()).unwrap(), text);
    }
}

#[test]
fn encodings_are_decoded_strictly() {
    use Encoding::{Ascii, Utf8, Utf16, Utf16Be, Utf16Le, Windows1252};
    let text = "a,é\n€,𝄞\n";
    let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let (marked_le, marked_be) = ([&[0xff, 0xfe], &le[..]].concat(), [&[0xfe, 0xff], &be[..]].concat());
    let plain = |bytes: &[u8], encoding| read_as(bytes, Compression::Infer, encoding);
    for (bytes, encoding) in [
        (&le, Utf16),
        (&be, Utf16),
        (&le, Utf16Le),
        (&be, Utf16Be),
        (&marked_le, Utf16),
        (&marked_be, Utf16),
        (&marked_le, Utf16Le),
    ] {
        assert_eq!(plain(bytes, encoding).unwrap(), text);
        assert_eq!(plain(&gzip(bytes), encoding).unwrap(), text);
    }
    assert_eq!(plain(&[b"\xef\xbb\xbf", text.as_bytes()].concat(), Utf8).unwrap(), text);
    assert_eq!(plain(b"\x80 \x96 \x8c \xe9", Windows1252).unwrap(), "€ – Œ é");
    for (bytes, encoding, place) in [
        (&b"a\nb\xff\n"[..], Utf8, "0xff in line 2 (byte 3"),
        (b"a\nb\n\xe9", Utf8, "0xe9 in line 3"),
        (b"a\n\xc3", Ascii, "0xc3 in line 2"),
        (b"a\n\n\x81", Windows1252, "0x81 in line 3"),
        (&[97, 0, 10, 0, 0, 0xd8, 97, 0], Utf16Le, "line 2 (byte 4"),
        (&[97, 0, 0, 0xdc], Utf16Le, "(byte 2"),
        (&[97, 0, 98], Utf16Le, "(byte 2"),
        (&[97, 0, 0, 0xd8], Utf16Le, "(byte 2"),
        (&marked_le, Utf8, "encoding: utf-16"),
        (&marked_le, Windows1252, "encoding: utf-16"),
        (&marked_be, Utf16Le, "encoding: utf-16"),
        (&le, Utf8, "encoding: utf-16le"),
        ("é€".as_bytes(), Utf16, "utf-16le"),
    ] {
        let message = why(plain(bytes, encoding));
        assert!(message.contains(place), "{message}");
    }
    // The position is found after many chunks, and no character is split between two.
    let long = "ééé\n".repeat(100_001);
    assert_eq!(plain(long.as_bytes(), Utf8).unwrap(), long);
    let broken = [long.as_bytes(), b"x\xff"].concat();
    assert!(why(plain(&broken, Utf8)).contains("in line 100002 (byte 700008"));
}
