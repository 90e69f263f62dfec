//! Messages on the stream: a tag, a length, a body.

use database_client::{Stream, broken};
use osiris_sdk::{Error, ErrorKind, Result};

use crate::ServerError;

/// How many bytes one read requests from the stream.
const CHUNK: usize = 256 << 10;

/// The longest body that is accepted: a value in PostgreSQL has at most 1 GiB.
const LONGEST: usize = (1 << 30) + (1 << 20);

/// A stream with the received bytes that have not been read.
pub(crate) struct Wire<S> {
    pub stream: S,
    received: Vec<u8>,
    start: usize,
    end: usize,
}

/// A message from the server.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub tag: u8,
    pub body: &'a [u8],
}

impl<S: Stream> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, received: vec![0; CHUNK], start: 0, end: 0 }
    }

    /// Sends bytes that are complete messages.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self.stream.write_all(bytes).and_then(|()| self.stream.flush()) {
            Ok(()) => Ok(()),
            // A server that ends a connection sends the reason if it can.
            Err(error) => Err(self.last_words().unwrap_or_else(|| broken(error))),
        }
    }

    /// Checks, without waiting, whether the server has refused the data being sent to it.
    ///
    /// # Errors
    /// The server's error; `transient` if it closed the connection.
    pub fn look_for_error(&mut self) -> Result<()> {
        loop {
            while self.end - self.start >= 5 && self.end - self.start > self.length() {
                let tag = self.received[self.start];
                let body = self.take();
                if tag == b'E' {
                    return Err(ServerError::parse(body).into());
                }
            }
            if !self.stream.has_received()? {
                return Ok(());
            }
            self.fill(self.end - self.start + 1)?;
        }
    }

    fn last_words(&mut self) -> Option<Error> {
        loop {
            let message = self.message().ok()?;
            if message.tag == b'E' {
                return Some(ServerError::parse(message.body).into());
            }
        }
    }

    /// Reads the one byte that answers a request for TLS. Any more bytes could be plain text injected by somebody else.
    pub fn answer(&mut self) -> Result<u8> {
        self.fill(1)?;
        match self.received[self.start..self.end] {
            [byte] => {
                (self.start, self.end) = (0, 0);
                Ok(byte)
            }
            _ => Err(protocol("more than one byte before encryption begins")),
        }
    }

    /// The next message, except for notices and similar messages, which may arrive at any time.
    pub fn message(&mut self) -> Result<Message<'_>> {
        let tag = self.peek()?.tag;
        Ok(Message { tag, body: self.take() })
    }

    /// Like [`message`](Self::message), but does not consume the message.
    pub fn peek(&mut self) -> Result<Message<'_>> {
        let (tag, end) = loop {
            let (tag, end) = self.whole()?;
            if !matches!(tag, b'N' | b'A') {
                break (tag, end);
            }
            self.start = end;
        };
        Ok(Message { tag, body: &self.received[self.start + 5..end] })
    }

    /// Consumes the message that [`peek`](Self::peek) returned.
    pub fn take(&mut self) -> &[u8] {
        let end = self.start + 1 + self.length();
        let body = self.start + 5..end;
        self.start = end;
        &self.received[body]
    }

    /// The length in the next message's header, which includes itself.
    fn length(&self) -> usize {
        let head = &self.received[self.start + 1..self.start + 5];
        u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize
    }

    /// Receives the next message completely; returns its tag and where it ends.
    #[inline]
    fn whole(&mut self) -> Result<(u8, usize)> {
        if self.end - self.start < 5 {
            self.fill(5)?;
        }
        let length = self.length();
        if !(4..=LONGEST).contains(&length) {
            return Err(protocol("a message of impossible length; is it PostgreSQL?"));
        }
        if self.end - self.start < length + 1 {
            self.fill(length + 1)?;
        }
        Ok((self.received[self.start], self.start + 1 + length))
    }

    /// Reads until at least `wanted` bytes have been received.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        self.received.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < wanted {
            if self.received.len() - self.end < CHUNK / 2 {
                // The buffer grows with the received data, not with the announced length.
                let length = self.received.len();
                self.received.resize(length * 2, 0);
            }
            match self.stream.read(&mut self.received[self.end..]) {
                Ok(0) => return Err(Error::new(ErrorKind::Transient, "the server closed the connection")),
                Ok(count) => self.end += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(())
    }
}

/// The error for a violation of PostgreSQL's protocol.
pub(crate) fn protocol(what: &str) -> Error {
    Error::internal(format!("the server does not keep to PostgreSQL's protocol: {what}"))
}

/// Appends a message with `tag` and the body that `write` produces.
pub(crate) fn frame(bytes: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    bytes.push(tag);
    untagged(bytes, write);
}

/// Appends a message without a tag, as at the start of a connection.
pub(crate) fn untagged(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    write(bytes);
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a text without NULs and its final NUL.
pub(crate) fn text(bytes: &mut Vec<u8>, text: &str) {
    debug_assert!(!text.contains('\0'), "refused before, by `refuse_nul` or by the config's check");
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
}

/// Refuses a statement that a NUL would end early.
pub(crate) fn refuse_nul(sql: &str) -> Result<()> {
    match sql.chars().position(|character| character == '\0') {
        None => Ok(()),
        Some(place) => Err(Error::config(format!(
            "the SQL has a NUL character at place {}, which PostgreSQL's protocol cannot send; take it out",
            place + 1
        ))),
    }
}

/// Reads the fields of a message's body in order.
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| protocol("a message that ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.bytes(N)?.try_into().map_err(|_| protocol("a message that ends early"))
    }

    pub fn int16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn int32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn uint32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A text that ends with a NUL.
    pub fn text(&mut self) -> Result<String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(|| protocol("a text without an end"))?;
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.0 = &self.0[end + 1..];
        Ok(text)
    }

    /// A value after its length; `None` for a null.
    pub fn value(&mut self) -> Result<Option<&'a [u8]>> {
        match self.int32()? {
            -1 => Ok(None),
            length => {
                self.bytes(usize::try_from(length).map_err(|_| protocol("a value of negative length"))?).map(Some)
            }
        }
    }
}
