//! Streams to the hosts that the step was granted.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::time::Duration;

use crate::host::tcp as raw;
use crate::{Error, ErrorKind, Result};

pub use raw::{TlsOptions, Verify};

/// How many bytes one read requests from the host.
const CHUNK: u32 = 256 << 10;

/// An open stream, with a buffer for received bytes. Writes are sent at once.
#[derive(Debug)]
pub struct Connection {
    raw: raw::Connection,
    received: Vec<u8>,
    taken: usize,
    timeout: Cell<Duration>,
}

/// How long a read or a write waits by default.
const FIRST_TIMEOUT: Duration = Duration::from_secs(60);

/// Connects to `host:port`, as named in the step's grant.
///
/// # Errors
/// `denied` if it was not granted, `transient` if nothing answers, `timeout`.
pub fn connect(host: &str, port: u16, timeout: Duration) -> Result<Connection> {
    let raw = raw::connect(host, port, milliseconds(timeout))?;
    Ok(Connection { raw, received: Vec::new(), taken: 0, timeout: Cell::new(FIRST_TIMEOUT) })
}

impl Connection {
    /// Sets how long a read or a write may wait.
    pub fn set_timeout(&self, timeout: Duration) {
        self.timeout.set(timeout);
        self.raw.set_timeout(milliseconds(timeout));
    }

    /// Whether something has been received or the stream has ended, waiting at most `within`.
    ///
    /// # Errors
    /// `transient` if the connection broke.
    pub fn has_received(&mut self, within: Duration) -> Result<bool> {
        if self.taken < self.received.len() {
            return Ok(true);
        }
        self.raw.set_timeout(milliseconds(within).max(1));
        let read = self.raw.read(CHUNK);
        self.raw.set_timeout(milliseconds(self.timeout.get()));
        match read {
            Ok(bytes) => {
                (self.received, self.taken) = (bytes, 0);
                Ok(true)
            }
            Err(error) if error.kind == ErrorKind::Timeout => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The received bytes that have not been consumed; waits if there are none. Empty at the end.
    ///
    /// # Errors
    /// `transient` if the connection broke, `timeout`.
    pub fn fill(&mut self) -> Result<&[u8]> {
        if self.taken == self.received.len() {
            self.received = self.raw.read(CHUNK)?;
            self.taken = 0;
        }
        Ok(&self.received[self.taken..])
    }

    /// Consumes `count` of the bytes that [`fill`](Self::fill) returned.
    pub fn consume(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.received.len());
    }

    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// As for [`fill`](Self::fill), and `transient` if the stream ends first.
    pub fn read_whole(&mut self, mut bytes: &mut [u8]) -> Result<()> {
        while !bytes.is_empty() {
            let there = self.fill()?;
            if there.is_empty() {
                return Err(Error::new(ErrorKind::Transient, "the other side closed the connection"));
            }
            let count = there.len().min(bytes.len());
            bytes[..count].copy_from_slice(&there[..count]);
            bytes = &mut bytes[count..];
            self.consume(count);
        }
        Ok(())
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// `transient` if the connection broke, `timeout`.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        Ok(self.raw.write(bytes)?)
    }

    /// Encrypts the stream from here on.
    ///
    /// # Errors
    /// `auth` if the other side cannot prove its identity, `transient` if it does not support TLS.
    pub fn start_tls(&self, options: &TlsOptions) -> Result<()> {
        Ok(self.raw.start_tls(options)?)
    }

    /// The digest of the other side's certificate, with which SCRAM binds a login to its channel.
    pub fn server_end_point(&self) -> Option<Vec<u8>> {
        self.raw.server_end_point()
    }
}

impl Read for Connection {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let there = self.fill().map_err(io::Error::other)?;
        let count = there.len().min(bytes.len());
        bytes[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
