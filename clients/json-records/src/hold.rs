//! Holds records, compressed, until the types of all of them are known.
//!
//! JSON repeats its names in every record, so it typically shrinks to a tenth of its size. Memory stays bounded,
//! because the table is started with the types known so far once a bound is reached.

use std::io::{BufRead, BufReader, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use osiris_sdk::Result;

/// How many bytes of JSON are compressed together.
const BLOCK: u64 = 4 << 20;

/// Records in the order in which they arrived.
pub struct Hold {
    blocks: Vec<Vec<u8>>,
    open: DeflateEncoder<Vec<u8>>,
    open_bytes: u64,
    held: u64,
}

impl Default for Hold {
    fn default() -> Self {
        Self { blocks: Vec::new(), open: encoder(), open_bytes: 0, held: 0 }
    }
}

fn encoder() -> DeflateEncoder<Vec<u8>> {
    DeflateEncoder::new(Vec::new(), Compression::fast())
}

impl Hold {
    /// Adds a record, as a line of JSON.
    pub fn push(&mut self, line: &str) -> Result<()> {
        self.open.write_all(line.as_bytes())?;
        self.open.write_all(b"\n")?;
        self.open_bytes += line.len() as u64 + 1;
        if self.open_bytes >= BLOCK {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        let block = std::mem::replace(&mut self.open, encoder()).finish()?;
        self.open_bytes = 0;
        self.held += block.len() as u64;
        self.blocks.push(block);
        Ok(())
    }

    /// The memory that the records use, in bytes.
    pub fn size(&self) -> u64 {
        self.held + self.open.get_ref().len() as u64
    }

    /// Returns the lines, freeing each block once it has been read.
    pub fn release(mut self, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
        self.end_block()?;
        for block in self.blocks {
            let mut lines = BufReader::new(DeflateDecoder::new(block.as_slice()));
            let mut line = String::new();
            while lines.read_line(&mut line)? > 0 {
                each(line.trim_end_matches('\n'))?;
                line.clear();
            }
        }
        Ok(())
    }
}
