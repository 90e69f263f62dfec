//! What a protocol runs over.

use std::io::{self, Read, Write};

use osiris_sdk::tcp::{Connection, TlsOptions};
use osiris_sdk::{Error, ErrorKind, Result};

/// A stream of bytes that can be encrypted from some point on. An [`Error`] inside an [`io::Error`] keeps its kind.
pub trait Stream: Read + Write {
    /// Encrypts the stream from here on.
    ///
    /// # Errors
    /// `auth` where the other side cannot prove who it is.
    fn start_tls(&mut self, options: &TlsOptions) -> Result<()>;

    /// The digest of the other side's certificate (`tls-server-end-point` of RFC 5929); `None` without TLS.
    fn server_end_point(&self) -> Option<Vec<u8>> {
        None
    }
}

impl Stream for Connection {
    fn start_tls(&mut self, options: &TlsOptions) -> Result<()> {
        Connection::start_tls(self, options)
    }

    fn server_end_point(&self) -> Option<Vec<u8>> {
        Connection::server_end_point(self)
    }
}

/// The error that a stream's trouble is to a driver.
pub fn broken(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            Error::new(ErrorKind::Other("timeout".to_owned()), "the server did not answer in time")
        }
        io::ErrorKind::Other => match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => Error::new(ErrorKind::Transient, format!("the connection broke: {error}")),
        },
        _ => Error::new(ErrorKind::Transient, format!("the connection broke: {error}")),
    }
}
