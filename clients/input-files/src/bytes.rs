//! The bytes of a file from any source, and a buffered reader over them.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use osiris_sdk::{Error, Result, files};

use crate::zip::Listed;

/// How many bytes are read at once.
const CHUNK: u32 = 1 << 20;

/// A file's bytes.
pub trait Bytes {
    fn size(&self) -> u64;

    /// Up to `length` bytes; fewer only at the end.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>>;

    /// The file of an archive that is meant, if these are the bytes of an archive; otherwise it must have exactly one.
    fn member(&self) -> Option<&Listed> {
        None
    }
}

impl Bytes for files::Source {
    fn size(&self) -> u64 {
        self.size()
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let mut bytes = self.read(offset, length)?;
        while bytes.len() < length as usize {
            let more = self.read(offset + bytes.len() as u64, length - bytes.len() as u32)?;
            if more.is_empty() {
                break;
            }
            bytes.extend_from_slice(&more);
        }
        let end = offset + bytes.len() as u64;
        if bytes.len() < length as usize && end < self.size() {
            return Err(Error::data(format!("the file ends after {end} of its {} bytes", self.size())));
        }
        Ok(bytes)
    }
}

/// Whether a decoder requested bytes beyond the end.
#[derive(Debug, Clone, Default)]
pub struct Exhausted(Rc<Cell<bool>>);

impl Exhausted {
    pub fn get(&self) -> bool {
        self.0.get()
    }
}

/// A reader over a part of a file.
pub struct Raw {
    bytes: Rc<dyn Bytes>,
    offset: u64,
    end: u64,
    buffer: Vec<u8>,
    position: usize,
    exhausted: Exhausted,
}

impl Raw {
    pub fn new(bytes: Rc<dyn Bytes>, start: u64, end: u64) -> Self {
        Self { bytes, offset: start, end, buffer: Vec::new(), position: 0, exhausted: Exhausted::default() }
    }

    pub fn whole(bytes: Rc<dyn Bytes>) -> Self {
        let end = bytes.size();
        Self::new(bytes, 0, end)
    }

    pub fn exhausted(&self) -> Exhausted {
        self.exhausted.clone()
    }

    /// Peeks at the next bytes: `length` of them, or fewer at the end.
    pub fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.buffer.len() - self.position < length && self.more()? {}
        let end = self.buffer.len().min(self.position + length);
        Ok(&self.buffer[self.position..end])
    }

    /// Reads the next chunk after the buffered bytes; returns false at the end.
    fn more(&mut self) -> io::Result<bool> {
        let length = u32::try_from(self.end.saturating_sub(self.offset)).unwrap_or(u32::MAX).min(CHUNK);
        let chunk =
            if length == 0 { Vec::new() } else { self.bytes.read_at(self.offset, length).map_err(io::Error::other)? };
        self.offset += chunk.len() as u64;
        let any = !chunk.is_empty();
        if self.position == self.buffer.len() {
            self.buffer = chunk;
        } else {
            self.buffer.drain(..self.position);
            self.buffer.extend_from_slice(&chunk);
        }
        self.position = 0;
        Ok(any)
    }
}

impl BufRead for Raw {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.buffer.len() && !self.more()? {
            self.exhausted.0.set(true);
        }
        Ok(&self.buffer[self.position..])
    }

    fn consume(&mut self, amount: usize) {
        self.position = self.buffer.len().min(self.position + amount);
    }
}

impl Read for Raw {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(target.len());
        target[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
