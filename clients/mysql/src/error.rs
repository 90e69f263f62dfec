//! The server's errors.

use std::fmt;

use database_client::Authored;
use osiris_sdk::{Error, ErrorKind};

use crate::error_numbers as numbers;
use crate::wire::Fields;

/// An ERR packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    /// MySQL's error number, such as 1045.
    pub number: u16,
    pub message: String,
    near: Option<Near>,
}

/// Where in a statement a syntax error is, as its message says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Near {
    /// The rest of the statement from there, or the beginning of that.
    rest: String,
    /// The line, from 1.
    line: usize,
}

/// How the message introduces the rest of the statement.
const NEAR: &str = " near '";
/// The number of `Unknown column '…' in '…'`.
const UNKNOWN_COLUMN: u16 = 1054;
/// How many characters of the rest of a statement a message shows.
const SHOWN: usize = 80;

impl Near {
    fn parse(message: &str) -> Option<Self> {
        let (_, after) = message.split_once(NEAR)?;
        let (rest, line) = after.rsplit_once("' at line ")?;
        // A character at the end may be cut.
        Some(Self { rest: rest.trim_end_matches('\u{fffd}').to_owned(), line: line.trim().parse().ok()? })
    }

    /// The place in the statement that was sent, in bytes.
    fn place(&self, statement: &str) -> Option<usize> {
        // The server neither sees nor counts what surrounds the statement.
        let end = statement.trim_end_matches(|c: char| c.is_whitespace() || c == ';').len();
        let start = statement.len() - statement.trim_start().len();
        let rest = self.rest.trim_end();
        if rest.is_empty() || (rest.chars().count() < SHOWN - 1 && statement[..end].ends_with(rest)) {
            return Some(end - rest.len());
        }
        // MariaDB marks a rest that it shows in part.
        let rest = rest.strip_suffix("...").unwrap_or(rest);
        let line = |place: usize| statement[start..place].matches('\n').count() + 1;
        let mut places = statement.match_indices(rest).map(|(place, _)| place).filter(|place| *place >= start);
        let mut in_line = places.by_ref().filter(|place| line(*place) == self.line);
        let place = in_line.next()?;
        in_line.next().is_none().then_some(place)
    }
}

impl ServerError {
    pub(crate) fn parse(packet: &[u8]) -> Self {
        let mut fields = Fields(packet.get(1..).unwrap_or_default());
        let number = fields.u16().unwrap_or_default();
        let text = match fields.0 {
            [b'#', _, _, _, _, _, text @ ..] => text,
            text => text,
        };
        let text = String::from_utf8_lossy(text);
        Self { number, message: text.lines().collect::<Vec<_>>().join(" "), near: Near::parse(&text) }
    }

    /// The error with the author's line in `statement` to which it points, if it does, in place of the server's own
    /// excerpt, which may be of the SQL around the author's.
    pub fn in_statement(mut self, statement: &str, authored: Option<Authored<'_>>) -> Error {
        let shown = authored.and_then(|authored| match &self.near {
            Some(near) => authored.excerpt(near.place(statement)?),
            None if self.number == UNKNOWN_COLUMN => authored.excerpt_of_name(self.message.split('\'').nth(1)?),
            None => None,
        });
        let Some(shown) = shown else { return self.into() };
        if self.near.is_some()
            && let Some(place) = self.message.find(NEAR)
        {
            self.message.truncate(place);
        }
        let mut error = Error::from(self);
        error.message = format!("{}\n\n{shown}", error.message);
        error
    }

    /// Who has to fix it, by the error references of MySQL and MariaDB.
    pub fn kind(&self) -> ErrorKind {
        let kinds = [
            (numbers::LOGIN, ErrorKind::Auth),
            (numbers::RIGHTS, ErrorKind::Denied),
            (numbers::MISSING, ErrorKind::NotFound),
            (numbers::LIMITS, ErrorKind::RateLimited),
            (numbers::PASSING, ErrorKind::Transient),
            (numbers::DEADLINES, ErrorKind::Timeout),
            (numbers::DATA, ErrorKind::Data),
            (numbers::STATEMENTS, ErrorKind::Config),
        ];
        kinds.into_iter().find(|(known, _)| known.contains(&self.number)).map_or(ErrorKind::Internal, |(_, kind)| kind)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server says: {} (error {})", self.message, self.number)
    }
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        Error::new(error.kind(), error.to_string()).with_code(error.number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_numbers_say_whose_fault_it_is() {
        let kind = |number: u16| format!("{:?}", ServerError { number, ..ServerError::default() }.kind());
        for (number, expected) in [
            (1045, "Auth"),
            (1698, "Auth"),
            (1044, "Denied"),
            (1142, "Denied"),
            (1143, "Denied"),
            (1049, "NotFound"),
            (1054, "NotFound"),
            (1146, "NotFound"),
            (1040, "RateLimited"),
            (1205, "Transient"),
            (1213, "Transient"),
            (2013, "Transient"),
            (1062, "Data"),
            (1264, "Data"),
            (1366, "Data"),
            (1406, "Data"),
            (1292, "Data"),
            (4025, "Data"),
            (1064, "Config"),
            (0, "Internal"),
        ] {
            assert!(kind(number).contains(expected), "{number}: {}", kind(number));
        }
    }

    #[test]
    fn a_packet_gives_its_number_and_message_with_and_without_state() {
        let told = ServerError::parse(b"\xff\x15\x04#28000Access denied").to_string();
        assert_eq!(told, "the server says: Access denied (error 1045)");
        let early = ServerError::parse(b"\xff\x10\x04Too many connections");
        assert_eq!((early.number, early.message.as_str()), (1040, "Too many connections"));
        assert_eq!(ServerError::parse(b"\xff").number, 0);
    }

    #[test]
    fn a_place_is_shown_in_the_authors_sql_alone() {
        let told = |message: &str, statement: &str, authored| {
            let packet = [b"\xff\x28\x04#42000".as_slice(), message.as_bytes()].concat();
            ServerError::parse(&packet).in_statement(statement, authored).message
        };
        let query = "\n select 1\n frm t; ";
        let authored = Some(Authored { text: query.trim_end_matches([' ', ';']), start: 0 });
        let found = told("wrong; use near 'frm t' at line 2", query, authored);
        assert_eq!(found, "the server says: wrong; use (error 1064)\n\nLINE 3:  frm t\n         ^");
        let end = told("wrong; use near '' at line 2", query, authored);
        assert!(end.ends_with("LINE 3:  frm t\n              ^"), "{end}");
        // Of a long rest only the beginning is shown.
        let long = format!("select 1\nfrm {}", "x, ".repeat(100));
        let authored = Some(Authored { text: &long, start: 0 });
        let found = told(&format!("use near '{}' at line 2", &long[9..89]), &long, authored);
        assert!(found.contains("\n\nLINE 2: frm x, x,"), "{found}");
        // In what surrounds the author's SQL, and at an unknown place.
        let filter = "select * from t where (\na >\n) limit 3";
        let authored = Some(Authored { text: "a >", start: 24 });
        assert!(told("use near ')' limit 3' at line 3", filter, authored).ends_with("limit 3' at line 3 (error 1064)"));
        assert!(
            told("use near ') limit 3' at line 3", filter, authored)
                .ends_with("use (error 1064)\n\nLINE 1: a >\n           ^")
        );
        assert!(told("use near 'select * from' at line 1", filter, authored).ends_with("at line 1 (error 1064)"));
        let unknown = ServerError::parse(b"\xff\x1e\x04#42S22Unknown column 'a' in 'where clause'");
        assert!(unknown.in_statement(filter, authored).message.ends_with("\n\nLINE 1: a >\n        ^"));
    }
}
