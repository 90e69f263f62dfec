//! The stream below a protocol.

use std::io::{self, Read, Write};
use std::time::Duration;

use osiris_sdk::tcp::{Connection, TlsOptions};
use osiris_sdk::{Error, ErrorKind, Result};

/// A stream of bytes that can be encrypted from some point on. An [`Error`] inside an [`io::Error`] keeps its kind.
pub trait Stream: Read + Write {
    /// Encrypts the stream from here on.
    ///
    /// # Errors
    /// `auth` if the other side cannot prove its identity.
    fn start_tls(&mut self, options: &TlsOptions) -> Result<()>;

    /// The digest of the other side's certificate (`tls-server-end-point` of RFC 5929); `None` without TLS.
    fn server_end_point(&self) -> Option<Vec<u8>> {
        None
    }

    /// Whether the other side has sent something that has not been read yet; does not wait for it. A stream that cannot
    /// tell returns false.
    ///
    /// # Errors
    /// `transient` if the connection broke.
    fn has_received(&mut self) -> Result<bool> {
        Ok(false)
    }
}

/// How long a check for received data may take.
const GLANCE: Duration = Duration::from_millis(1);

impl Stream for Connection {
    fn start_tls(&mut self, options: &TlsOptions) -> Result<()> {
        Connection::start_tls(self, options)
    }

    fn server_end_point(&self) -> Option<Vec<u8>> {
        Connection::server_end_point(self)
    }

    fn has_received(&mut self) -> Result<bool> {
        Connection::has_received(self, GLANCE)
    }
}

/// Converts a stream's error to a driver's.
pub fn broken(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            Error::new(ErrorKind::Timeout, "the server did not answer in time")
        }
        io::ErrorKind::Other => match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => Error::new(ErrorKind::Transient, format!("the connection broke: {error}")),
        },
        _ => Error::new(ErrorKind::Transient, format!("the connection broke: {error}")),
    }
}
