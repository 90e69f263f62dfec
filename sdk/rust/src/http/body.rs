//! A response and its body: read as it arrives, decompressed, bounded, and verified to be complete.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use serde::de::DeserializeOwned;

use super::exchange::Answer;
use super::{Url, status};
use crate::{Error, ErrorKind, Result};

/// A response whose body has not been read yet; use [`Read`] or read it completely.
pub struct Response {
    pub(super) asked: String,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) url: Url,
    /// The charset that the driver declared.
    pub(super) charset: Option<String>,
    body: Bounded<Decoded>,
}

impl Response {
    pub(super) fn new(
        asked: String,
        url: Url,
        status: u16,
        headers: Vec<(String, String)>,
        body: Box<dyn Read>,
        max_bytes: u64,
    ) -> Result<Self> {
        let bodiless = asked.starts_with("HEAD ") || matches!(status, 204 | 205 | 304);
        let expected: Option<u64> =
            header(&headers, "content-length").and_then(|value| value.trim().parse().ok()).filter(|_| !bodiless);
        let whole = Bounded { inner: Whole { body, expected, received: 0 }, left: max_bytes, max_bytes };
        // An empty body is not compressed.
        let encoding = if bodiless || expected == Some(0) { None } else { encoding(&headers) };
        let decoded = match encoding.as_deref() {
            None => Decoded::Plain(whole),
            Some("gzip" | "x-gzip") => Decoded::Gzip(Box::new(MultiGzDecoder::new(whole))),
            Some("deflate") => Decoded::Deflate(Box::new(Inflated::new(whole))),
            Some(other) => {
                return Err(Error::data(format!(
                    "`{asked}` answered in the encoding `{}`, which was not requested",
                    other.escape_debug()
                )));
            }
        };
        let charset = None;
        Ok(Self { asked, status, headers, url, charset, body: Bounded { inner: decoded, left: max_bytes, max_bytes } })
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first header with that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The address of the response, after redirects.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The start of the body, for an error; failures to read it are ignored.
    pub(super) fn beginning(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = (&mut self.body).take(2048).read_to_end(&mut bytes);
        bytes
    }

    /// Reads the complete body.
    ///
    /// # Errors
    /// `data` if it is larger than the client's bound or malformed; otherwise as for [`super::Request::fetch`].
    pub fn collect(mut self) -> Result<Answer> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        let max_bytes = self.body.max_bytes;
        let Self { asked, status, headers, url, charset, .. } = self;
        Ok(Answer { asked, status, headers, url, max_bytes, charset, bytes })
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// As for [`collect`](Self::collect), and `data` if it is not JSON of that shape.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        self.collect()?.json()
    }
}

/// Its errors contain an [`Error`], which `?` extracts.
impl Read for Response {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.body.read(bytes).map_err(|error| {
            let told = match error.downcast::<Error>() {
                Ok(told) => told,
                // A decoder's error: a stream that ends too soon may be complete on a retry.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Error::new(ErrorKind::Transient, "the response ends before it is whole")
                }
                Err(error) => Error::data(format!("the response is not compressed as it says: {error}")),
            };
            io::Error::other(told.context(format_args!("cannot read the response to `{}`", self.asked)))
        })
    }
}

/// The body's compression, even if several headers name it.
fn encoding(headers: &[(String, String)]) -> Option<String> {
    let values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    let names = values.flat_map(|(_, value)| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    let mut names: Vec<String> = names.filter(|name| !matches!(name.as_str(), "" | "identity" | "utf-8")).collect();
    // A proxy that repeats a header does not compress again.
    names.dedup();
    if names.is_empty() { None } else { Some(names.join(", ")) }
}

pub(super) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

enum Decoded {
    Plain(Bounded<Whole>),
    Gzip(Box<MultiGzDecoder<Bounded<Whole>>>),
    Deflate(Box<Inflated<Bounded<Whole>>>),
}

impl Read for Decoded {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoded::Plain(body) => body.read(bytes),
            Decoded::Gzip(body) => body.read(bytes),
            Decoded::Deflate(body) => body.read(bytes),
        }
    }
}

/// A zlib stream (RFC 1950), or the raw one (RFC 1951) that some servers send as `deflate`. It fails if the input ends
/// before the stream does, which flate2's reader would treat as the end.
struct Inflated<R> {
    inner: R,
    /// Chosen by the first two bytes.
    inflate: Option<Decompress>,
    input: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl<R: Read> Inflated<R> {
    fn new(inner: R) -> Self {
        Self { inner, inflate: None, input: Vec::new(), taken: 0, ended: false }
    }

    /// Reads more input; returns whether there was any.
    fn fill(&mut self) -> io::Result<bool> {
        self.input.resize(32 << 10, 0);
        let count = self.inner.read(&mut self.input)?;
        self.input.truncate(count);
        self.taken = 0;
        Ok(count > 0)
    }

    /// Reads the first two bytes, which show whether there is a header (RFC 1950, 2.2).
    fn begin(&mut self) -> io::Result<Decompress> {
        self.input.resize(2, 0);
        self.inner.read_exact(&mut self.input)?;
        let [method, flags] = [self.input[0], self.input[1]];
        let has_header = method & 0x0f == 8 && u16::from_be_bytes([method, flags]) % 31 == 0;
        Ok(Decompress::new(has_header))
    }
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut inflate = match self.inflate.take() {
            Some(inflate) => inflate,
            None => self.begin()?,
        };
        let count = self.inflate(&mut inflate, bytes);
        self.inflate = Some(inflate);
        count
    }
}

impl<R: Read> Inflated<R> {
    fn inflate(&mut self, inflate: &mut Decompress, bytes: &mut [u8]) -> io::Result<usize> {
        while !self.ended {
            let (read, written) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(&self.input[self.taken..], bytes, FlushDecompress::None)?;
            self.taken += (inflate.total_in() - read) as usize;
            self.ended = status == Status::StreamEnd;
            let count = (inflate.total_out() - written) as usize;
            if count > 0 {
                return Ok(count);
            }
            // All input may be consumed while output is still pending, so the end of the input is checked last.
            if !self.ended && self.taken == self.input.len() && !self.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // The bytes after the end are read too, so that a body truncated there is detected.
        while self.fill()? {}
        Ok(0)
    }
}

/// A body that fails if it ends before its announced length.
struct Whole {
    body: Box<dyn Read>,
    expected: Option<u64>,
    received: u64,
}

impl Read for Whole {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let count = self.body.read(bytes)?;
        self.received += count as u64;
        match self.expected {
            Some(expected) if count == 0 && self.received < expected => {
                let message = format!("it ends after {} of {expected} bytes", self.received);
                Err(io::Error::other(Error::new(ErrorKind::Transient, message)))
            }
            _ => Ok(count),
        }
    }
}

/// A reader that fails if there is more than the bound.
struct Bounded<R> {
    inner: R,
    left: u64,
    max_bytes: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(bytes)? as u64;
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                Ok(count as usize)
            }
            None => {
                let message = format!("it is larger than the {} that it may be", status::size(self.max_bytes));
                Err(io::Error::other(Error::data(message)))
            }
        }
    }
}
