//! What a server says when it refuses.

use std::fmt;

use osiris_sdk::{Error, ErrorKind};

use crate::wire::Fields;

/// An ERR packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    /// MySQL's own number, such as 1045.
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

    /// Whose it is to cure, by the numbers of MySQL's and MariaDB's error references.
    pub fn kind(&self) -> ErrorKind {
        match self.number {
            // Access denied to a user; no such authentication; account locked or expired.
            1045 | 1698 | 1251 | 1524 | 1820 | 1862 | 3118 | 4151 => ErrorKind::Auth,
            // Access denied to a database, command, column or routine; read-only server; hosts not let in.
            1044 | 1095 | 1130 | 1142 | 1143 | 1227 | 1290 | 1370 | 1419 | 1792 | 1836 => ErrorKind::Denied,
            1049 | 1051 | 1054 | 1109 | 1146 | 1305 => ErrorKind::NotFound,
            // Too many connections.
            1040 | 1203 | 1226 => ErrorKind::RateLimited,
            // Deadlocks, lock waits, shutdown, broken connections, full disks, killed queries.
            1021
            | 1041
            | 1053
            | 1077
            | 1080
            | 1114
            | 1129
            | 1152
            | 1154..=1161
            | 1184
            | 1205
            | 1213
            | 1317
            | 1927
            | 2006
            | 2013
            | 4031 => ErrorKind::Transient,
            // Statements past a time limit.
            1969 | 3024 => ErrorKind::Other("timeout".to_owned()),
            // Duplicate keys, wrong and missing values, truncation, foreign keys, checks, text that is no UTF-8.
            1022
            | 1048
            | 1062
            | 1136
            | 1169
            | 1216
            | 1217
            | 1263..=1265
            | 1292
            | 1300
            | 1364
            | 1365
            | 1366
            | 1406
            | 1411
            | 1416
            | 1441
            | 1451
            | 1452
            | 1525
            | 1526
            | 1557
            | 1586
            | 1690
            | 3140
            | 3819
            | 4025
            | 4038 => ErrorKind::Data,
            // What is wrong with a statement or a definition.
            1046..=1075
            | 1099..=1128
            | 1148
            | 1149
            // A packet of more than `max_allowed_packet`, which a retry does not shrink.
            | 1153
            | 1166..=1168
            | 1170..=1174
            | 1191
            | 1193
            | 1231..=1243
            | 1247
            | 1248
            | 1267
            | 1270
            | 1271
            | 1286
            | 1347
            | 1348
            | 1470
            | 1471
            | 1582
            | 1583
            | 1630
            | 3948 => ErrorKind::Config,
            _ => ErrorKind::Internal,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server says: {} (error {})", self.message, self.number)
    }
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        Error::new(error.kind(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_whose_fault_it_is() {
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
