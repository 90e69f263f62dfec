//! A driver's errors: the kind, the message, and when another attempt is worthwhile.

use std::fmt;
use std::time::Duration;

use crate::ErrorKind;
use crate::bindings::osiris::driver::errors;

/// Why a driver could not do its work. The kind says who has to fix it; see `osiris:driver/errors`.
#[derive(Debug, Clone)]
pub struct Error {
    pub kind: ErrorKind,
    /// The error's name in the system that it comes from, such as `23505` or `HTTP 503`.
    pub code: Option<String>,
    /// One sentence for a person, in lower case: what was being done, to what, and why it failed.
    pub message: String,
    /// How long to wait before another attempt, if the server asked for that.
    pub retry_after: Option<Duration>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, code: None, message: message.into(), retry_after: None }
    }

    /// The step's configuration is wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// The data is malformed or does not fit its type.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// A login was refused.
    pub fn auth(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Auth, message)
    }

    /// The driver was not allowed to do this.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// The server asks for fewer calls; see [`with_retry_after`](Self::with_retry_after).
    pub fn rate_limited(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::RateLimited, message)
    }

    /// The same may succeed later.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }

    /// An answer did not arrive in time.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }

    /// A file, table or column does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A fault inside the driver.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds the error's code in the system that it comes from.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Adds how long to wait before another attempt.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Prefixes the message with what was being done.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<errors::Error> for Error {
    fn from(error: errors::Error) -> Self {
        let retry_after = error.retry_after_ms.map(|wait| Duration::from_millis(wait.into()));
        Self { kind: error.kind, code: error.code, message: error.message, retry_after }
    }
}

impl From<Error> for errors::Error {
    fn from(error: Error) -> Self {
        let retry_after_ms = error.retry_after.map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
        Self { kind: error.kind, code: error.code, message: error.message, retry_after_ms }
    }
}

impl From<duckdb_text::Error> for Error {
    fn from(error: duckdb_text::Error) -> Self {
        Self::data(error.0)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::data(format!("malformed JSON: {error}"))
    }
}

impl From<std::io::Error> for Error {
    /// The [`Error`] that a stream of the SDK put into it, or else `internal`.
    fn from(error: std::io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(|error| Self::internal(error.to_string()))
    }
}
