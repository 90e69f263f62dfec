//! Decompresses to the very end: every member and every checksum, with nothing after them.

use std::io::{self, BufRead, Read};
use std::rc::Rc;

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use osiris_sdk::{Error, Result};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::bytes::{Bytes, Exhausted, Raw};
use crate::{Compression, data, zip};

/// The most memory for a dictionary, in KiB: twice that of `xz -9`.
const DICTIONARY_KIB: u32 = 128 << 10;

/// A file's decompressed content.
pub struct Content {
    name: String,
    compression: Compression,
    reader: Reader,
    exhausted: Exhausted,
}

enum Reader {
    Plain(Raw),
    Members(Members),
    Xz(Box<XzReader<Raw>>),
    Zip(Box<zip::Entry>),
}

impl Content {
    /// # Errors
    /// `data` for an archive that cannot be read, or does not contain exactly one file.
    pub fn open(name: &str, bytes: Rc<dyn Bytes>, compression: Compression) -> Result<Self> {
        let raw = Raw::whole(Rc::clone(&bytes));
        let exhausted = raw.exhausted();
        let reader = match compression {
            Compression::None | Compression::Infer => Reader::Plain(raw),
            Compression::Xz => Reader::Xz(Box::new(XzReader::new_mem_limit(raw, true, DICTIONARY_KIB))),
            Compression::Zip => Reader::Zip(Box::new(zip::open(name, bytes)?)),
            Compression::Gzip | Compression::Zstd | Compression::Bz2 => Reader::Members(Members::new(compression, raw)),
        };
        Ok(Self { name: name.to_owned(), compression, reader, exhausted })
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// `data` for content that is truncated, damaged, or followed by something else.
    pub fn read(&mut self, target: &mut [u8]) -> Result<usize> {
        let outcome = match &mut self.reader {
            Reader::Plain(raw) => raw.read(target),
            Reader::Members(members) => members.read(target),
            Reader::Xz(xz) => xz.read(target),
            Reader::Zip(entry) => entry.read(target),
        };
        outcome.map_err(|cause| self.explain(cause))
    }

    fn explain(&self, cause: io::Error) -> Error {
        let format = match self.compression {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Bz2 => "bzip2",
            Compression::Xz => "xz",
            Compression::Zip => "zip",
            Compression::None | Compression::Infer => "plain",
        };
        let cause = match cause.downcast::<Error>() {
            Ok(error) => return error,
            Err(cause) => cause,
        };
        if cause.kind() == io::ErrorKind::UnexpectedEof || self.exhausted.get() {
            return data(
                &self.name,
                format_args!("is cut short: its {format} data ends in the middle; fetch the whole file again"),
            );
        }
        data(&self.name, format_args!("is damaged: its {format} data cannot be decompressed: {cause}"))
    }
}

/// A stream of one or more members, each compressed separately.
struct Members {
    compression: Compression,
    /// What comes next, if no member is open.
    rest: Option<Raw>,
    current: Option<Member>,
    /// Whether a member was found.
    any: bool,
    /// The start of the first member, as far as needed for a byte-order mark, and the last byte that was read.
    start: Vec<u8>,
    last: u8,
    /// Bytes of the current member that have already been examined.
    ahead: Vec<u8>,
}

/// The byte-order marks of UTF-8 and UTF-16.
const MARKS: [&[u8]; 3] = [&[0xef, 0xbb, 0xbf], &[0xff, 0xfe], &[0xfe, 0xff]];

enum Member {
    Gzip(Box<GzDecoder<Raw>>),
    Bz2(Box<BzDecoder<Raw>>),
    Zstd(Box<StreamingDecoder<Raw, FrameDecoder>>),
}

impl Read for Members {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.current.is_none() && self.ahead.is_empty() {
                let first = !self.any;
                if !self.open_next()? {
                    return Ok(0);
                }
                self.look(first)?;
                continue;
            }
            let count = if self.ahead.is_empty() {
                self.current.as_mut().map_or(Ok(0), |member| member.read(target))?
            } else {
                let count = self.ahead.len().min(target.len());
                target[..count].copy_from_slice(&self.ahead[..count]);
                self.ahead.drain(..count);
                count
            };
            if count > 0 {
                self.last = target[count - 1];
            }
            if count > 0 || target.is_empty() {
                return Ok(count);
            }
            self.rest = self.current.take().map(Member::end).transpose()?;
        }
    }
}

impl Members {
    fn new(compression: Compression, raw: Raw) -> Self {
        let (start, ahead) = (Vec::new(), Vec::new());
        Self { compression, rest: Some(raw), current: None, any: false, start, last: 0, ahead }
    }

    /// Examines the start of a member. If files were compressed separately and then joined, each may start with a
    /// byte-order mark. After the end of a line the mark is not part of the text, just as at the start of the first
    /// member.
    fn look(&mut self, first: bool) -> io::Result<()> {
        let Some(member) = &mut self.current else { return Ok(()) };
        let mut head = [0; 3];
        let mut length = 0;
        while length < head.len() {
            match member.read(&mut head[length..])? {
                0 => break,
                count => length += count,
            }
        }
        let head = &head[..length];
        self.ahead = head.to_vec();
        if first {
            self.start = head.to_vec();
        } else if matches!(self.last, b'\n' | b'\r' | 0)
            && let Some(mark) = MARKS.iter().find(|mark| self.start.starts_with(mark) && head.starts_with(mark))
        {
            self.ahead.drain(..mark.len());
        }
        Ok(())
    }

    /// Opens the next member; returns false at the end.
    fn open_next(&mut self) -> io::Result<bool> {
        let Some(mut raw) = self.rest.take() else { return Ok(false) };
        let start = raw.peek(4)?.to_vec();
        if start.is_empty() && self.any {
            return Ok(false);
        }
        let first = !std::mem::replace(&mut self.any, true);
        let magic: &[u8] = match self.compression {
            Compression::Gzip => &[0x1f, 0x8b],
            Compression::Bz2 => b"BZh",
            _ => &[0x28, 0xb5, 0x2f, 0xfd],
        };
        if self.compression == Compression::Zstd
            && start.len() == 4
            && start[0] & 0xf0 == 0x50
            && start[1..] == [0x2a, 0x4d, 0x18]
        {
            self.rest = Some(skip_frame(raw)?);
            return Ok(true);
        }
        if !first && !start.starts_with(magic) && !magic.starts_with(&start) {
            return Err(io::Error::other("its end is followed by bytes that do not belong to it"));
        }
        self.current = Some(match self.compression {
            Compression::Gzip => Member::Gzip(Box::new(GzDecoder::new(raw))),
            Compression::Bz2 => Member::Bz2(Box::new(BzDecoder::new(raw))),
            _ => Member::Zstd(Box::new(StreamingDecoder::new(raw).map_err(io::Error::other)?)),
        });
        Ok(true)
    }
}

/// Skips a zstd frame without content.
fn skip_frame(mut raw: Raw) -> io::Result<Raw> {
    let mut head = [0; 8];
    raw.read_exact(&mut head)?;
    let mut left = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    while left > 0 {
        let count = raw.fill_buf()?.len().min(left);
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        raw.consume(count);
        left -= count;
    }
    Ok(raw)
}

impl Read for Member {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(member) => member.read(target),
            Self::Bz2(member) => member.read(target),
            Self::Zstd(member) => member.read(target),
        }
    }
}

impl Member {
    /// What follows the member, once its checksum is verified.
    fn end(self) -> io::Result<Raw> {
        Ok(match self {
            Self::Gzip(member) => member.into_inner(),
            Self::Bz2(member) => member.into_inner(),
            Self::Zstd(member) => {
                let (raw, decoder) = member.into_parts();
                match decoder.get_checksum_from_data() {
                    Some(expected) if decoder.get_calculated_checksum() != Some(expected) => {
                        return Err(io::Error::other("its checksum is wrong"));
                    }
                    _ => raw,
                }
            }
        })
    }
}
