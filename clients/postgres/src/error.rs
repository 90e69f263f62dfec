//! The server's errors.

use std::fmt;

use database_client::Authored;
use osiris_sdk::sql::excerpt;
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
    /// The place in the statement that was sent, in characters from 1.
    position: Option<usize>,
    /// The same in a statement that the server itself ran, such as one of a function.
    internal_position: Option<usize>,
    internal_statement: Option<String>,
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
                b'P' => error.position = text.parse().ok(),
                b'p' => error.internal_position = text.parse().ok(),
                b'q' => error.internal_statement = Some(text),
                _ => {}
            }
        }
        error
    }

    /// The error with the author's line in `statement` to which it points, if it does.
    pub fn in_statement(self, statement: &str, authored: Option<Authored<'_>>) -> Error {
        let place = self.position.and_then(|number| offset(statement, number));
        let shown = place.zip(authored).and_then(|(place, authored)| authored.excerpt(place));
        let mut error = Error::from(self);
        if let Some(shown) = shown {
            error.message = format!("{}\n\n{shown}", error.message);
        }
        error
    }

    /// The line of the server's own statement that failed.
    fn internal_excerpt(&self) -> Option<String> {
        let (statement, number) = (self.internal_statement.as_deref()?, self.internal_position?);
        excerpt(statement, offset(statement, number)?)
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

/// The place of a character, counted from 1, in bytes.
fn offset(statement: &str, number: usize) -> Option<usize> {
    let place = number.checked_sub(1)?;
    let mut places = statement.char_indices().map(|(place, _)| place).chain([statement.len()]);
    places.nth(place)
}

fn one_line(text: &str) -> String {
    text.trim_end_matches('.').lines().collect::<Vec<_>>().join("; ")
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        let mut message = error.to_string();
        if let Some(shown) = error.internal_excerpt() {
            message = format!("{message}; in a statement of the server's own function\n\n{shown}");
        }
        Error::new(error.kind(), message).with_code(error.code)
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

    #[test]
    fn a_place_is_shown_in_the_authors_sql_alone() {
        let statement = "select * from \"t\" where (\nü = x\n)";
        let authored = Some(Authored { text: "ü = x", start: 26 });
        let told = |position: &str| {
            let body = [b"C42703\0Mno x\0P".as_slice(), position.as_bytes(), b"\0\0"].concat();
            ServerError::parse(&body).in_statement(statement, authored).message
        };
        assert_eq!(told("31"), "the server says: no x (SQLSTATE 42703)\n\nLINE 1: ü = x\n            ^");
        for position in ["1", "0", "99", "x"] {
            assert_eq!(told(position), "the server says: no x (SQLSTATE 42703)", "{position}");
        }
        let body = b"C42601\0Moops\0p3\0qa b\0\0";
        assert!(Error::from(ServerError::parse(body)).message.ends_with("own function\n\nLINE 1: a b\n          ^"));
    }
}
