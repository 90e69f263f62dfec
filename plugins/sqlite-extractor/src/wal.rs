//! The write-ahead log beside a file: the pages that were changed since they were last copied into it (file format, 4).

use std::collections::HashMap;

use osiris_sdk::{Error, Result};

use crate::bytes::{Bytes, int};

const HEADER: usize = 32;
const FRAME: usize = 24;

/// The version of the format.
const VERSION: u32 = 3_007_000;

/// The most pages that are remembered.
const MAX_PAGES: usize = 8_000_000;

/// The committed pages of a log.
#[derive(Debug, Default)]
pub struct Log {
    /// Where the latest content of each page is in the log.
    places: HashMap<u32, u64>,
    /// The number of pages of the database after the last transaction.
    pub pages: u32,
    pub page_size: usize,
    /// The header, by which a log that was begun again is recognised.
    header: Vec<u8>,
}

impl Log {
    /// Reads the log up to the last transaction that was committed: frames after it, and those of an earlier use of the log, do
    /// not count. `None` for a log without any.
    ///
    /// # Errors
    /// `data` for a log of an unknown version; as for [`Bytes::read_exactly`].
    pub fn read(bytes: &dyn Bytes) -> Result<Option<Self>> {
        if bytes.size() < HEADER as u64 {
            return Ok(None);
        }
        let header = bytes.read_exactly(0, HEADER)?;
        let field = |at: usize| int(&header, at).unwrap_or_default();
        // An invalid header means to SQLite that the log has no frame: it is written last when a log is begun.
        let order = match field(0) {
            0x377f_0682 => Order::Little,
            0x377f_0683 => Order::Big,
            _ => return Ok(None),
        };
        if field(4) != VERSION {
            return Err(Error::data("the log beside it (`-wal`) has a version that this driver does not know"));
        }
        let page_size = field(8) as usize;
        let mut sum = order.sum(&header[..24], (0, 0));
        if sum != (field(24), field(28)) || !page_size.is_power_of_two() || !(512..=65_536).contains(&page_size) {
            return Ok(None);
        }
        let (mut log, mut pending) = (Self { page_size, header: header.clone(), ..Self::default() }, Vec::new());
        let length = FRAME + page_size;
        let mut place = HEADER as u64;
        while place + length as u64 <= bytes.size() {
            let frame = bytes.read_exactly(place, length)?;
            let field = |at: usize| int(&frame, at).unwrap_or_default();
            sum = order.sum(&frame[FRAME..], order.sum(&frame[..8], sum));
            if frame[8..16] != header[16..24] || sum != (field(16), field(20)) || field(0) == 0 {
                break;
            }
            pending.push((field(0), place + FRAME as u64));
            if field(4) > 0 {
                log.pages = field(4);
                log.places.extend(pending.drain(..));
            }
            if log.places.len() + pending.len() > MAX_PAGES {
                return Err(Error::data(format!("the log beside it (`-wal`) has more than {MAX_PAGES} pages")));
            }
            place += length as u64;
        }
        Ok((log.pages > 0).then_some(log))
    }

    /// Whether the log was not begun again, which would replace its frames. Frames that were added after it was read do not
    /// matter, unless they are copied into the file, which the host notices.
    ///
    /// # Errors
    /// As for [`Bytes::read_up_to`].
    pub fn is_current(&self, bytes: &dyn Bytes) -> Result<bool> {
        Ok(bytes.read_up_to(0, HEADER)? == self.header)
    }

    /// Where the log has the page, if it does.
    pub fn place(&self, page: u32) -> Option<u64> {
        self.places.get(&page).copied()
    }
}

/// The order of the bytes in which checksums are computed.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn sum(self, bytes: &[u8], (mut one, mut two): (u32, u32)) -> (u32, u32) {
        let word = |bytes: &[u8]| {
            let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
            match self {
                Self::Little => u32::from_le_bytes(bytes),
                Self::Big => u32::from_be_bytes(bytes),
            }
        };
        for pair in bytes.chunks_exact(8) {
            one = one.wrapping_add(word(pair)).wrapping_add(two);
            two = two.wrapping_add(word(&pair[4..])).wrapping_add(one);
        }
        (one, two)
    }
}
