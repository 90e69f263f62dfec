//! Numbers as SQLite stores them: big-endian, and of variable length.

use osiris_sdk::{Error, Result, files};

/// The most bytes that the host returns at once.
const MOST_AT_ONCE: u32 = 8 << 20;

/// A source of bytes.
pub trait Bytes {
    fn size(&self) -> u64;

    /// Exactly `length` bytes from `offset`.
    ///
    /// # Errors
    /// `data` if the file ends before.
    fn read_exactly(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let bytes = self.read_up_to(offset, length)?;
        match bytes.len() {
            read if read == length => Ok(bytes),
            read => Err(Error::data(format!("it ends after {} bytes, in the middle", offset + read as u64))),
        }
    }

    /// Up to `length` bytes from `offset`, as the file is now: it may have grown.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn read_up_to(&self, offset: u64, length: usize) -> Result<Vec<u8>>;
}

impl Bytes for files::Source {
    fn size(&self) -> u64 {
        self.size()
    }

    fn read_up_to(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let wanted = u32::try_from(length - bytes.len()).unwrap_or(u32::MAX).min(MOST_AT_ONCE);
            let more = self.read(offset + bytes.len() as u64, wanted)?;
            if more.is_empty() {
                break;
            }
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }
}

/// An unsigned number of 16 bits.
pub fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// An unsigned number of 32 bits.
pub fn int(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// A number of variable length, of 64 bits in up to nine bytes, and how many bytes it has.
pub fn varint(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut value: u64 = 0;
    for length in 0..9 {
        let byte = *bytes.get(at.checked_add(length)?)?;
        if length == 8 {
            return Some(((value << 8 | u64::from(byte)) as i64, 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value as i64, length + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_variable_length_have_up_to_nine_bytes() {
        assert_eq!(varint(&[0x7f], 0), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00], 0), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9], 0), Some((-1, 9)));
        assert_eq!(varint(&[0xff; 8], 0), None);
        assert_eq!(varint(&[0x81], 0), None);
        assert_eq!(varint(&[], 3), None);
    }
}
