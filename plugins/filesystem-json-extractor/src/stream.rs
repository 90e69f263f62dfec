//! A JSON text read piece by piece: only the current value is in memory.

use std::ops::Range;

use osiris_sdk::{Error, Result};

/// A source of text, chunk by chunk.
pub trait Chunks {
    /// The next bytes; `None` at the end.
    fn next_chunk(&mut self) -> Result<Option<&[u8]>>;
}

impl Chunks for input_files::TextReader {
    fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        input_files::TextReader::next_chunk(self)
    }
}

impl Chunks for input_files::ContentReader {
    fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        input_files::ContentReader::next_chunk(self)
    }
}

impl Chunks for Box<dyn Chunks> {
    fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        (**self).next_chunk()
    }
}

/// The byte-order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Appended to the error about a line that the user may choose to skip.
pub const SKIP_ADVICE: &str = "; `on_bad_lines: skip` leaves such lines out";

/// A line without any separators before its record.
pub fn without_separators(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(b"\x1e").or_else(|| line.strip_prefix(MARK)) {
        line = rest;
    }
    line
}

/// How much of a value has been examined, from its start, and which parts are open there.
#[derive(Default)]
struct Scan {
    seen: usize,
    depth: usize,
    quoted: bool,
    escaped: bool,
}

impl Scan {
    /// Examines more of a value; `bytes` is the part of it in memory. Returns the value's length if it ends there, and
    /// adds the number of line ends to `line`.
    fn end(&mut self, bytes: &[u8], line: &mut u64) -> Option<usize> {
        // Local variables, so that the loop does not go through memory.
        let Self { mut seen, mut depth, mut quoted, mut escaped } = *self;
        let end = loop {
            let Some(&byte) = bytes.get(seen) else { break None };
            if quoted {
                if escaped {
                    escaped = false;
                } else if byte == b'\\' {
                    escaped = true;
                } else if byte == b'"' {
                    quoted = false;
                    if depth == 0 {
                        break Some(seen + 1);
                    }
                }
            } else {
                match byte {
                    b'"' | b'{' | b'[' if depth == 0 && seen > 0 => break Some(seen),
                    b'"' => quoted = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => break Some(seen.max(1)),
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            break Some(seen + 1);
                        }
                    }
                    b'\n' => *line += 1,
                    _ => {}
                }
            }
            seen += 1;
        };
        *self = Self { seen, depth, quoted, escaped };
        end
    }
}

/// The part of the text that has not been read yet.
pub struct Stream<C> {
    chunks: C,
    buffer: Vec<u8>,
    at: usize,
    /// The number of the current line, from 1.
    pub line: u64,
    max_value: usize,
    /// Appended to each error about malformed JSON.
    pub advice: &'static str,
}

impl<C: Chunks> Stream<C> {
    pub fn new(chunks: C, max_value: usize) -> Self {
        Self { chunks, buffer: Vec::new(), at: 0, line: 1, max_value, advice: "" }
    }

    /// The error for text that is not JSON; `what` continues its first words.
    pub fn malformed(&self, what: &str) -> Error {
        Error::data(format!("Malformed JSON{what}{}", self.advice))
    }

    /// Reads more text; returns false at the end.
    fn fill(&mut self) -> Result<bool> {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        match self.chunks.next_chunk()? {
            Some(chunk) => {
                self.buffer.extend_from_slice(chunk);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The next non-blank byte, which is not consumed.
    pub fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            while let Some(&byte) = self.buffer.get(self.at) {
                match byte {
                    b'\n' => self.line += 1,
                    b' ' | b'\r' | b'\t' => {}
                    _ => return Ok(Some(byte)),
                }
                self.at += 1;
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Skips what may precede a record without being part of it: the record separator of JSON text sequences (RFC
    /// 7464), and the byte-order mark of a file that was joined to another.
    pub fn skip_separators(&mut self) -> Result<()> {
        loop {
            match self.peek()? {
                Some(0x1e) => self.skip_byte(),
                Some(0xef) => {
                    while self.buffer.len() - self.at < MARK.len() && self.fill()? {}
                    if !self.buffer[self.at..].starts_with(MARK) {
                        return Ok(());
                    }
                    self.at += MARK.len();
                }
                _ => return Ok(()),
            }
        }
    }

    /// Consumes the byte that was peeked at.
    pub fn skip_byte(&mut self) {
        self.at += 1;
    }

    /// The text in memory from here on: at least a line and the start of the text after it, unless that is too far
    /// away.
    pub fn ahead(&mut self) -> Result<&[u8]> {
        let is_enough = |bytes: &[u8]| {
            let behind = bytes.iter().position(|&byte| byte == b'\n').map_or(&[] as &[u8], |end| &bytes[end..]);
            behind.iter().any(|byte| !byte.is_ascii_whitespace()) || bytes.len() >= 1 << 20
        };
        while !is_enough(&self.buffer[self.at..]) && self.fill()? {}
        Ok(&self.buffer[self.at..])
    }

    /// Takes the value that starts at the next non-blank byte, up to its closing bracket or quote. Whether it is valid
    /// JSON is checked when it is parsed.
    ///
    /// # Errors
    /// `data` if the text ends before the value does, or the value exceeds the size limit.
    pub fn value(&mut self) -> Result<&[u8]> {
        let range = self.span(false)?;
        self.at = range.end;
        Ok(&self.buffer[range])
    }

    /// Skips a value of any size.
    ///
    /// # Errors
    /// `data` if the text ends before the value does.
    pub fn skip_value(&mut self) -> Result<()> {
        self.at = self.span(true)?.end;
        Ok(())
    }

    fn span(&mut self, discard: bool) -> Result<Range<usize>> {
        self.peek()?;
        let start_line = self.line;
        let mut scan = Scan::default();
        loop {
            if let Some(end) = scan.end(&self.buffer[self.at..], &mut self.line) {
                return Ok(self.at..self.at + end);
            }
            if discard {
                self.at += scan.seen;
                scan.seen = usize::from(scan.depth == 0);
                self.at -= scan.seen;
            } else if scan.seen > self.max_value {
                return Err(Error::data(format!(
                    "the record in line {start_line} is larger than {} bytes; `max_record_bytes` raises the bound",
                    self.max_value
                )));
            }
            if !self.fill()? {
                if scan.depth == 0 && !scan.quoted && scan.seen > 0 {
                    return Ok(self.at..self.at + scan.seen);
                }
                return Err(self.malformed(&format!(
                    ": the text ends inside the value that begins in line {start_line}, so the file was cut off"
                )));
            }
        }
    }

    /// Takes a line without its end; `None` at the end of the text.
    ///
    /// # Errors
    /// `data` if the line exceeds the size limit of a record.
    pub fn line(&mut self) -> Result<Option<&[u8]>> {
        let mut seen = 0;
        loop {
            if let Some(end) = self.buffer[self.at + seen..].iter().position(|&byte| byte == b'\n') {
                let range = self.at..self.at + seen + end;
                self.at = range.end + 1;
                self.line += 1;
                return Ok(Some(&self.buffer[range]));
            }
            seen = self.buffer.len() - self.at;
            if seen > self.max_value {
                return Err(Error::data(format!(
                    "line {} is larger than {} bytes; `max_record_bytes` raises the bound",
                    self.line, self.max_value
                )));
            }
            if !self.fill()? {
                let range = self.at..self.buffer.len();
                self.at = range.end;
                return Ok((!range.is_empty()).then(|| &self.buffer[range]));
            }
        }
    }
}
