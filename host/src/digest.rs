//! Digests, in the one form that pins and names of bytes use.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};

use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The SHA-256 of `bytes`, in hexadecimal.
pub fn sha256_of(bytes: &[u8]) -> String {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish().0
}

/// A SHA-256 as 64 lower-case hexadecimal digits, which is also a harmless file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digest with these bytes.
    pub fn of_tag(tag: [u8; 32]) -> Self {
        Self(tag.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The digest of a file's bytes, which are read from the start, and their number.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of_file(file: &mut File) -> std::io::Result<(Self, u64)> {
        Self::of_file_until(file, &|| false)
    }

    /// Like [`Self::of_file`], for as long as `ended` is false.
    ///
    /// # Errors
    /// If the file cannot be read, or it ended.
    pub fn of_file_until(file: &mut File, ended: &dyn Fn() -> bool) -> std::io::Result<(Self, u64)> {
        file.rewind()?;
        let (mut hasher, mut bytes, mut buffer) = (Hasher::default(), 0, vec![0; 1 << 20]);
        loop {
            match file.read(&mut buffer)? {
                _ if ended() => return Err(std::io::Error::other("it was ended")),
                0 => return Ok((hasher.finish(), bytes)),
                read => {
                    hasher.update(&buffer[..read]);
                    bytes += read as u64;
                }
            }
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(is_digit) {
            Ok(Self(text))
        } else {
            Err("not a SHA-256 in hexadecimal")
        }
    }
}

/// A digest of bytes that arrive in parts.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    pub fn finish(self) -> Digest {
        Digest(sha2::Digest::finalize(self.0).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digest_is_taken_for_one() {
        let digest = sha256_of(b"abc");
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(Digest::try_from(digest.clone()).is_ok());
        for text in [digest.to_uppercase(), digest[1..].to_owned(), format!("../{}", &digest[3..]), String::new()] {
            assert!(Digest::try_from(text).is_err());
        }
    }
}
