//! Packets, which carry every message, and the numbers and texts inside.

use database_client::{Stream, broken};
use osiris_sdk::{Error, ErrorKind, Result};

use crate::ServerError;

/// A payload of this length is continued by another packet.
const FULL: usize = 0xff_ffff;

/// How many bytes one read requests from the stream.
const CHUNK: usize = 256 << 10;

/// More than the size of any ERR packet: a message of 512 bytes with its header.
const LONGEST_ERROR: usize = 4096;

/// The largest message: the server's `max_allowed_packet` is at most 1 GiB.
const LARGEST: usize = 1 << 30;

/// Packets over a stream, with the received bytes that have not been read.
pub(crate) struct Wire<S> {
    pub stream: S,
    received: Vec<u8>,
    start: usize,
    end: usize,
    sequence: u8,
    /// A message of several packets, assembled.
    whole: Vec<u8>,
}

impl<S: Stream> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, received: Vec::new(), start: 0, end: 0, sequence: 0, whole: Vec::new() }
    }

    /// Starts a new exchange with the next packet.
    pub fn begin(&mut self) {
        self.sequence = 0;
    }

    /// Whether there are unread bytes; there must be none when `start_tls` is called.
    pub fn has_more(&self) -> bool {
        self.end > self.start
    }

    /// Waits until `count` bytes have been received.
    fn fill(&mut self, count: usize) -> Result<()> {
        if self.end - self.start >= count {
            return Ok(());
        }
        self.received.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.received.len() < count.max(CHUNK) {
            self.received.resize(count.max(CHUNK), 0);
        }
        while self.end < count {
            match self.stream.read(&mut self.received[self.end..]).map_err(broken)? {
                0 => return Err(Error::new(ErrorKind::Transient, "the server closed the connection")),
                read => self.end += read,
            }
        }
        Ok(())
    }

    /// Reads a packet's header; returns the length of its payload.
    fn head(&mut self) -> Result<usize> {
        self.fill(4)?;
        let head = &self.received[self.start..self.start + 4];
        let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        if head[3] != self.sequence {
            return Err(self.out_of_turn(length, head[3]));
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.start += 4;
        Ok(length)
    }

    /// The error for a packet with the wrong sequence number. A server that ends a session by itself (because it was
    /// idle for too long, shut down or killed) sends its reason unasked, as an ERR packet with number 0, before it
    /// closes the connection.
    fn out_of_turn(&mut self, length: usize, number: u8) -> Error {
        let wrong = malformed(&format!("packet {number} came where {} was due", self.sequence));
        if number != 0 || !(3..=LONGEST_ERROR).contains(&length) {
            return wrong;
        }
        if let Err(error) = self.fill(4 + length) {
            return error;
        }
        let message = &self.received[self.start + 4..self.start + 4 + length];
        if message.first() != Some(&0xff) {
            return wrong;
        }
        let error: Error = ServerError::parse(message).into();
        Error::new(ErrorKind::Transient, format!("the server ended the session: {}", error.message))
    }

    /// The next message.
    ///
    /// # Errors
    /// `transient` if the connection broke, `internal` for an invalid packet.
    #[inline]
    pub fn receive(&mut self) -> Result<&[u8]> {
        let mut length = self.head()?;
        if length < FULL {
            self.fill(length)?;
            self.start += length;
            return Ok(&self.received[self.start - length..self.start]);
        }
        self.whole.clear();
        loop {
            self.fill(length)?;
            self.whole.extend_from_slice(&self.received[self.start..self.start + length]);
            self.start += length;
            if length < FULL {
                return Ok(&self.whole);
            }
            if self.whole.len() > LARGEST {
                return Err(malformed("a message of more than 1 GiB"));
            }
            length = self.head()?;
        }
    }

    /// The next message; an ERR packet is returned as an error.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive), and the server's error.
    pub fn receive_answer(&mut self) -> Result<&[u8]> {
        let message = self.receive()?;
        if message.first() == Some(&0xff) {
            return Err(ServerError::parse(message).into());
        }
        Ok(message)
    }

    /// Sends a message in as many packets as necessary.
    ///
    /// # Errors
    /// `transient` if the connection broke.
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut rest = message;
        loop {
            let (payload, after) = rest.split_at(rest.len().min(FULL));
            let mut packet = Vec::with_capacity(payload.len() + 4);
            packet.extend_from_slice(&(payload.len() as u32).to_le_bytes()[..3]);
            packet.push(self.sequence);
            packet.extend_from_slice(payload);
            self.sequence = self.sequence.wrapping_add(1);
            if let Err(error) = self.stream.write_all(&packet) {
                return Err(self.reason().unwrap_or_else(|| broken(error)));
            }
            rest = after;
            if payload.len() < FULL {
                return self.stream.flush().map_err(broken);
            }
        }
    }

    /// The reason that the server sent before it closed a connection to which writing fails, if any.
    fn reason(&mut self) -> Option<Error> {
        let head = self.fill(5).ok().map(|()| &self.received[self.start..self.start + 5])?;
        let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        let (number, is_error) = (head[3], head[4] == 0xff);
        is_error.then(|| self.out_of_turn(length, number)).filter(|error| matches!(error.kind, ErrorKind::Transient))
    }
}

/// The server broke the protocol.
pub(crate) fn malformed(what: &str) -> Error {
    Error::internal(format!("the server does not keep to MySQL's protocol: {what}"))
}

/// The content of a message, read from its front.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `count` bytes.
    ///
    /// # Errors
    /// `internal` if the message ends before them.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| malformed("a message ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next bytes as an array.
    ///
    /// # Errors
    /// As for [`bytes`](Self::bytes).
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| malformed("a message ends early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// As for [`bytes`](Self::bytes).
    #[inline]
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A length-encoded integer.
    ///
    /// # Errors
    /// As for [`bytes`](Self::bytes), and for the NULL mark.
    #[inline]
    pub fn length(&mut self) -> Result<u64> {
        match self.byte()? {
            small @ 0..=0xfa => Ok(small.into()),
            0xfc => Ok(self.u16()?.into()),
            0xfd => {
                let [a, b, c] = self.array()?;
                Ok(u32::from_le_bytes([a, b, c, 0]).into())
            }
            0xfe => Ok(u64::from_le_bytes(self.array()?)),
            _ => Err(malformed("an invalid length")),
        }
    }

    /// A length-encoded text or sequence of bytes.
    ///
    /// # Errors
    /// As for [`length`](Self::length).
    #[inline]
    pub fn run(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.length()?).map_err(|_| malformed("a text longer than memory"))?;
        self.bytes(length)
    }

    /// Bytes up to a NUL, or to the end.
    pub(crate) fn until_nul(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let taken = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        taken
    }
}

/// Appends a length-encoded sequence of bytes.
pub(crate) fn push_run(message: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        length @ 0..=0xfa => message.push(length as u8),
        length @ 0xfb..=0xffff => {
            message.push(0xfc);
            message.extend_from_slice(&(length as u16).to_le_bytes());
        }
        length @ 0x1_0000..=0xff_ffff => {
            message.push(0xfd);
            message.extend_from_slice(&(length as u32).to_le_bytes()[..3]);
        }
        length => {
            message.push(0xfe);
            message.extend_from_slice(&(length as u64).to_le_bytes());
        }
    }
    message.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{self, Read, Write};

    use osiris_sdk::tcp::TlsOptions;

    use super::*;

    /// Returns what was written, like an echo server; reads come in small pieces.
    #[derive(Default)]
    struct Echo(std::collections::VecDeque<u8>);

    impl Read for Echo {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let count = bytes.len().min(100_000);
            self.0.read(&mut bytes[..count])
        }
    }

    impl Write for Echo {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Echo {
        fn start_tls(&mut self, _: &TlsOptions) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn messages_of_any_length_arrive_complete() {
        for length in [0, 1, 250, FULL - 1, FULL, FULL + 1, 2 * FULL, 2 * FULL + 7] {
            let message: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            let mut wire = Wire::new(Echo::default());
            wire.send(&message).unwrap();
            wire.begin();
            assert!(wire.receive().unwrap() == message, "{length}");
            assert!(!wire.has_more() && wire.receive().is_err());
        }
    }

    #[test]
    fn lengths_read_as_they_are_written() {
        for length in [0, 250, 251, 0xffff, 0x1_0000, 0x100_0000] {
            let mut message = Vec::new();
            push_run(&mut message, &vec![7; length]);
            let mut fields = Fields(&message);
            assert_eq!(fields.run().unwrap().len(), length);
            assert!(fields.0.is_empty());
            assert!(Fields(&message[..message.len() - 1]).run().is_err());
        }
    }

    #[test]
    fn the_reason_of_a_server_that_ends_the_session_is_reported() {
        for (number, text) in [
            (4031_u16, "The client was disconnected by the server"),
            (1053, "shutdown"),
            (1927, "killed"),
            (9999, "new"),
        ] {
            let mut wire = Wire::new(Echo::default());
            let mut message = vec![0xff];
            message.extend_from_slice(&number.to_le_bytes());
            message.extend_from_slice(b"#HY000");
            message.extend_from_slice(text.as_bytes());
            wire.stream.write_all(&[message.len() as u8, 0, 0, 0]).unwrap();
            wire.stream.write_all(&message).unwrap();
            wire.sequence = 1;
            let error = wire.receive().unwrap_err();
            assert!(matches!(error.kind, ErrorKind::Transient) && error.message.contains(text), "{error:?}");
            assert!(error.message.contains(&number.to_string()), "{error:?}");
        }
        // Number 0 alone is not enough: a packet that is not an error, or ends early, is refused.
        for packet in [&[3, 0, 0, 0, 1, 2, 3][..], &[0, 0, 0, 0], &[9, 0, 0, 0, 0xff, 1]] {
            let mut wire = Wire::new(Echo::default());
            wire.stream.write_all(packet).unwrap();
            wire.sequence = 1;
            assert!(!wire.receive().unwrap_err().message.contains("ended the session"), "{packet:?}");
        }
    }

    #[test]
    fn a_packet_out_of_turn_is_refused() {
        let mut wire = Wire::new(Echo::default());
        wire.stream.write_all(&[1, 0, 0, 5, 0]).unwrap();
        assert!(wire.receive().unwrap_err().message.contains("packet 5"));
    }
}
