//! The server's errors.

use std::fmt;

use osiris_sdk::{Error, ErrorKind};

/// An ErrorResponse; the fields of <https://www.postgresql.org/docs/15/protocol-error-fields.html> that help.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    /// The SQLSTATE.
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Where in a statement's execution it happened, innermost first.
    pub place: Option<String>,
}

impl ServerError {
    pub(crate) fn parse(body: &[u8]) -> Self {
        let mut error = Self::default();
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, text)) = field.split_first() else { continue };
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                b'W' => error.place = Some(text),
                _ => {}
            }
        }
        error
    }

    /// Who has to fix it, by the SQLSTATE's class.
    pub fn kind(&self) -> ErrorKind {
        let code = self.code.as_str();
        match (code.get(..2).unwrap_or_default(), code) {
            (_, "42501" | "25006") => ErrorKind::Denied,
            (_, "42P01" | "42703" | "3D000" | "3F000") => ErrorKind::NotFound,
            (_, "08P01") => ErrorKind::Internal,
            (_, "57014") => ErrorKind::Timeout,
            (_, "55P03" | "55006") | ("08" | "40" | "53" | "57" | "58", _) => ErrorKind::Transient,
            ("28", _) => ErrorKind::Auth,
            ("21" | "22" | "23" | "44" | "54", _) => ErrorKind::Data,
            ("0A" | "26" | "2B" | "42" | "55", _) => ErrorKind::Config,
            _ => ErrorKind::Internal,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server says: {}", self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, "; {}", one_line(detail))?;
        }
        if let Some(place) = self.place.as_deref().and_then(|place| place.lines().next()) {
            // A COPY's context shows the value, which may be long or secret; the column's name comes before it.
            let place = if place.starts_with("COPY ") { place.split(": \"").next().unwrap_or(place) } else { place };
            write!(f, "; at {place}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; hint: {}", one_line(hint))?;
        }
        write!(f, " (SQLSTATE {})", self.code)
    }
}

fn one_line(text: &str) -> String {
    text.trim_end_matches('.').lines().collect::<Vec<_>>().join("; ")
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        Error::new(error.kind(), error.to_string()).with_code(error.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_say_whose_fault_it_is() {
        let kind = |code: &str| format!("{:?}", ServerError { code: code.to_owned(), ..ServerError::default() }.kind());
        for (code, expected) in [
            ("28P01", "Auth"),
            ("42501", "Denied"),
            ("42P01", "NotFound"),
            ("3D000", "NotFound"),
            ("53300", "Transient"),
            ("57P01", "Transient"),
            ("40001", "Transient"),
            ("22003", "Data"),
            ("23505", "Data"),
            ("42601", "Config"),
            ("XX000", "Internal"),
            ("", "Internal"),
        ] {
            assert!(kind(code).contains(expected), "{code}: {}", kind(code));
        }
    }

    #[test]
    fn message_hint_and_place_are_reported_and_values_are_not() {
        let body = b"SERROR\0C22003\0Minteger out of range\0Hcast it\0WCOPY staging, line 1, column a: \"12345\"\0\0";
        let told = ServerError::parse(body).to_string();
        assert_eq!(
            told,
            "the server says: integer out of range; at COPY staging, line 1, column a; hint: cast it (SQLSTATE 22003)"
        );
    }
}
