//! What the protocol runs over.

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
}

impl Stream for Connection {
    fn start_tls(&mut self, options: &TlsOptions) -> Result<()> {
        Connection::start_tls(self, options)
    }
}

/// The error that a stream's trouble is to a driver.
pub(crate) fn broken(error: io::Error) -> Error {
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
