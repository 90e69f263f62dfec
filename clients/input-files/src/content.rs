//! A file's content as bytes, for drivers that handle undecodable bytes themselves.

use std::rc::Rc;

use osiris_sdk::Result;

use crate::bytes::Bytes;
use crate::compressed::Content;
use crate::{Compression, format};

/// How many bytes are read at once.
const CHUNK: usize = 256 << 10;

/// A reader of content that is decompressed, without the byte-order mark of UTF-8, and not decoded.
pub struct ContentReader {
    content: Content,
    chunk: Vec<u8>,
    begun: bool,
}

impl ContentReader {
    pub(crate) fn new(name: &str, bytes: Rc<dyn Bytes>, compression: Compression) -> Result<Self> {
        Ok(Self { content: Content::open(name, bytes, compression)?, chunk: Vec::new(), begun: false })
    }

    /// The next bytes, which are never empty; `None` at the end.
    ///
    /// # Errors
    /// `data` for content that is truncated or damaged.
    pub fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        self.chunk.resize(CHUNK, 0);
        let mut end = 0;
        while end < CHUNK {
            let count = self.content.read(&mut self.chunk[end..])?;
            if count == 0 {
                break;
            }
            end += count;
        }
        let start = if !std::mem::replace(&mut self.begun, true) && format::has_mark(&self.chunk[..end.min(3)]) {
            usize::from(self.chunk.starts_with(b"\xef\xbb\xbf")) * 3
        } else {
            0
        };
        Ok((start < end).then(|| &self.chunk[start..end]))
    }
}
