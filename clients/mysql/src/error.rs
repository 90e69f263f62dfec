//! The server's errors.

use std::fmt;

use osiris_sdk::{Error, ErrorKind};

use crate::error_numbers as numbers;
use crate::wire::Fields;

/// An ERR packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    /// MySQL's error number, such as 1045.
    pub number: u16,
    pub message: String,
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
        Self { number, message: text.lines().collect::<Vec<_>>().join(" ") }
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
}
