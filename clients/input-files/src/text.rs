//! Decodes text of any supported encoding to UTF-8, chunk by chunk, and reports the position of every invalid byte.

use std::rc::Rc;

use osiris_sdk::{Error, Result};

use crate::bytes::Bytes;
use crate::compressed::Content;
use crate::format::{self, Format};
use crate::{Compression, Encoding, data};

/// How many bytes are decoded at once.
const CHUNK: usize = 256 << 10;

/// The characters of windows-1252 at 0x80 to 0x9f (WHATWG encoding standard); NUL for undefined bytes.
const WINDOWS_1252: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’', '“', '”', '•',
    '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];

/// A text being read: UTF-8 in chunks that end between characters.
pub struct TextReader {
    name: String,
    bytes: Rc<dyn Bytes>,
    compression: Compression,
    content: Content,
    encoding: Encoding,
    /// Bytes that have not been decoded yet.
    raw: Vec<u8>,
    /// The position of `raw` in the decompressed content.
    offset: u64,
    ended: bool,
    decoded: Vec<u8>,
}

impl TextReader {
    pub(crate) fn new(name: &str, bytes: Rc<dyn Bytes>, compression: Compression, encoding: Encoding) -> Result<Self> {
        let content = Content::open(name, Rc::clone(&bytes), compression)?;
        let mut reader = Self {
            name: name.to_owned(),
            bytes,
            compression,
            content,
            encoding,
            raw: Vec::new(),
            offset: 0,
            ended: false,
            decoded: Vec::new(),
        };
        reader.start()?;
        Ok(reader)
    }

    /// Examines the first bytes: for a byte-order mark, and for formats that are not text.
    fn start(&mut self) -> Result<()> {
        self.fill()?;
        if self.compression != Compression::None {
            match format::of(&self.raw) {
                Format::Text => {}
                Format::Other(what, remedy) => {
                    return Err(format::not_text(&self.name, &format!("{what} inside its compression"), remedy));
                }
                Format::Compressed(_) => {
                    return Err(data(&self.name, "is compressed twice: decompress it once before it is read"));
                }
            }
        }
        let marks: [(&[u8], Encoding); 3] = [
            (&[0xef, 0xbb, 0xbf], Encoding::Utf8),
            (&[0xff, 0xfe], Encoding::Utf16Le),
            (&[0xfe, 0xff], Encoding::Utf16Be),
        ];
        let found = marks.into_iter().find(|(mark, _)| self.raw.starts_with(mark));
        let Some((mark, marked)) = found else { return self.without_mark() };
        let fits = match self.encoding {
            Encoding::Utf16 => marked != Encoding::Utf8,
            Encoding::Windows1252 | Encoding::Ascii => false,
            own => own == marked,
        };
        if !fits {
            return Err(data(
                &self.name,
                format_args!(
                    "begins with the byte-order mark of {}: write `encoding: {}`",
                    spelled(marked),
                    spelled(marked)
                ),
            ));
        }
        self.encoding = marked;
        self.raw.drain(..mark.len());
        self.offset = mark.len() as u64;
        Ok(())
    }

    fn without_mark(&mut self) -> Result<()> {
        match (self.encoding, &self.raw[..]) {
            (Encoding::Utf16, []) => self.encoding = Encoding::Utf16Le,
            (Encoding::Utf16, [low, 0, ..]) if *low != 0 => self.encoding = Encoding::Utf16Le,
            (Encoding::Utf16, [0, low, ..]) if *low != 0 => self.encoding = Encoding::Utf16Be,
            (Encoding::Utf16, _) => {
                return Err(data(
                    &self.name,
                    "has no byte-order mark, and its first character does not tell the byte order: write `encoding: utf-16le` or `utf-16be`",
                ));
            }
            (Encoding::Utf8 | Encoding::Windows1252 | Encoding::Ascii, [first, second, third, fourth, ..]) => {
                let order = match [first, second, third, fourth].map(|byte| *byte == 0) {
                    [false, true, false, true] => "utf-16le",
                    [true, false, true, false] => "utf-16be",
                    _ => return Ok(()),
                };
                return Err(data(
                    &self.name,
                    format_args!("looks like UTF-16 without a byte-order mark: write `encoding: {order}`"),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads more bytes after those that have not been decoded.
    fn fill(&mut self) -> Result<()> {
        let kept = self.raw.len();
        self.raw.resize(kept + CHUNK, 0);
        let mut end = kept;
        while end < self.raw.len() && !self.ended {
            let count = self.content.read(&mut self.raw[end..])?;
            self.ended = count == 0;
            end += count;
        }
        self.raw.truncate(end);
        Ok(())
    }

    /// The next part of the text, which is never empty; `None` at the end.
    ///
    /// # Errors
    /// `data` for content that is truncated or damaged, and for bytes that are invalid in the encoding, with line and
    /// position.
    pub fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        if self.raw.is_empty() && !self.ended {
            self.fill()?;
        }
        if self.raw.len() < 4 && !self.ended {
            self.fill()?;
        }
        if self.raw.is_empty() {
            return Ok(None);
        }
        self.decoded.clear();
        let whole = match decode(self.encoding, &self.raw, self.ended, &mut self.decoded) {
            Ok(whole) => whole,
            Err(at) => return Err(self.undecodable(at)),
        };
        self.offset += whole as u64;
        self.raw.drain(..whole);
        Ok(Some(&self.decoded))
    }

    /// The error for a byte, given by its position in `raw`, that is not part of a character.
    fn undecodable(&self, at: usize) -> Error {
        let place = self.offset + at as u64;
        let lines = self.decoded.iter().filter(|byte| **byte == b'\n').count() as u64 + self.lines_before(self.offset);
        let byte = self.raw.get(at).copied().unwrap_or_default();
        let (encoding, remedy) = match self.encoding {
            Encoding::Utf8 => ("UTF-8", "write the encoding that it has, such as `encoding: windows-1252` or `utf-16`"),
            Encoding::Ascii => ("ASCII", "write the encoding that it has, such as `encoding: utf-8` or `windows-1252`"),
            Encoding::Windows1252 => (
                "windows-1252 (nor ISO 8859-1, which has nothing but a control character there)",
                "write the encoding that it has",
            ),
            Encoding::Utf16 | Encoding::Utf16Le | Encoding::Utf16Be => {
                ("UTF-16: a surrogate or a half character stands alone", "check the encoding and the file")
            }
        };
        data(
            &self.name,
            format_args!(
                "has the byte 0x{byte:02x} in line {} (byte {place} of the text), which is not {encoding}; {remedy}",
                lines + 1
            ),
        )
    }

    /// The number of line feeds before a position of the content. The text is read again for it, but only for an error.
    fn lines_before(&self, place: u64) -> u64 {
        let Ok(mut again) = Self::new(&self.name, Rc::clone(&self.bytes), self.compression, self.encoding) else {
            return 0;
        };
        let mut lines = 0;
        while again.offset < place {
            let Ok(Some(chunk)) = again.next_chunk() else { break };
            lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        lines
    }
}

/// The name of an encoding in the option.
fn spelled(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Utf8 => "utf-8",
        Encoding::Utf16 | Encoding::Utf16Le | Encoding::Utf16Be => "utf-16",
        Encoding::Windows1252 => "windows-1252",
        Encoding::Ascii => "ascii",
    }
}

/// Appends the decoded `raw`; returns how many of its bytes were decoded. A character that is cut off at the end is
/// left for later, unless the text ends there. The error is the position of the first byte that is not part of a
/// character.
fn decode(encoding: Encoding, raw: &[u8], ended: bool, decoded: &mut Vec<u8>) -> Result<usize, usize> {
    match encoding {
        Encoding::Utf8 => match std::str::from_utf8(raw) {
            Ok(_) => {
                decoded.extend_from_slice(raw);
                Ok(raw.len())
            }
            Err(error) => {
                let valid = error.valid_up_to();
                decoded.extend_from_slice(&raw[..valid]);
                if error.error_len().is_some() || ended { Err(valid) } else { Ok(valid) }
            }
        },
        Encoding::Ascii => {
            let valid = raw.iter().position(|byte| !byte.is_ascii()).unwrap_or(raw.len());
            decoded.extend_from_slice(&raw[..valid]);
            if valid < raw.len() { Err(valid) } else { Ok(valid) }
        }
        Encoding::Windows1252 => {
            let mut buffer = [0; 4];
            for (place, byte) in raw.iter().enumerate() {
                let character = match byte {
                    0x80..=0x9f => Some(WINDOWS_1252[usize::from(byte - 0x80)])
                        .filter(|character| *character != '\0')
                        .ok_or(place)?,
                    _ => char::from(*byte),
                };
                decoded.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            }
            Ok(raw.len())
        }
        Encoding::Utf16 | Encoding::Utf16Le => utf_16(u16::from_le_bytes, raw, ended, decoded),
        Encoding::Utf16Be => utf_16(u16::from_be_bytes, raw, ended, decoded),
    }
}

fn utf_16(unit: impl Fn([u8; 2]) -> u16, raw: &[u8], ended: bool, decoded: &mut Vec<u8>) -> Result<usize, usize> {
    let mut buffer = [0; 4];
    let mut place = 0;
    while let Some([first, second]) = raw.get(place..place + 2) {
        let first = unit([*first, *second]);
        let mut units = [first, 0];
        let mut count = 1;
        if (0xd800..0xdc00).contains(&first) {
            match raw.get(place + 2..place + 4) {
                Some([third, fourth]) => (units[1], count) = (unit([*third, *fourth]), 2),
                _ if ended => return Err(place),
                _ => break,
            }
        }
        let character =
            char::decode_utf16(units[..count].iter().copied()).next().and_then(std::result::Result::ok).ok_or(place)?;
        decoded.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        place += 2 * count;
    }
    if ended && place < raw.len() { Err(place) } else { Ok(place) }
}
