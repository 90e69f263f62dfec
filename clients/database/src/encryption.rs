//! The encryption of a connection, in libpq's terms.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

/// Whether the connection is encrypted, and whether the server must prove its identity, like libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server offers it.
    #[default]
    Prefer,
    /// Encrypted, without verifying the server.
    Require,
    /// Encrypted, with a certificate of a trusted root that names the host.
    VerifyFull,
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SslMode::Disable => "disable",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyFull => "verify-full",
        })
    }
}

/// Who may see a password in readable form, apart from a server that proved its identity.
///
/// Most login methods prove that a client knows the password without revealing it. Some reveal it: as plain text, or
/// encrypted with a key that the server sends. The server then has the password, so it must be the right server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reveal {
    /// Nobody else.
    #[default]
    Verified,
    /// A server on this machine, where nobody can intercept the connection: with a key of its own, or over TLS.
    Local,
    /// Any server, because the connection sets `unverified_password: true`.
    Anyone,
}

impl Reveal {
    /// The rule for a server at `host`, as the connection spells it.
    pub fn to(host: &str, unverified_password: bool) -> Self {
        let bare = host.trim_end_matches('.').trim_matches(['[', ']']);
        let local =
            bare.parse::<IpAddr>().map_or(bare.eq_ignore_ascii_case("localhost"), |address| address.is_loopback());
        match (unverified_password, local) {
            (true, _) => Reveal::Anyone,
            (false, true) => Reveal::Local,
            (false, false) => Reveal::Verified,
        }
    }

    /// Whether the password may be sent over a connection as plain text.
    pub fn plain(self, encrypted: bool, mode: SslMode) -> bool {
        match self {
            Reveal::Verified => encrypted && mode == SslMode::VerifyFull,
            Reveal::Local => encrypted,
            Reveal::Anyone => true,
        }
    }

    /// Whether the password may be encrypted with a key that was received without TLS.
    pub fn by_sent_key(self) -> bool {
        self != Reveal::Verified
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_revealed_only_to_a_verified_server_unless_local_or_requested() {
        for (host, asked, expected) in [
            ("db.example.com", false, Reveal::Verified),
            ("db.example.com", true, Reveal::Anyone),
            ("localhost", false, Reveal::Local),
            ("LOCALHOST.", false, Reveal::Local),
            ("127.0.0.1", false, Reveal::Local),
            ("127.9.9.9", false, Reveal::Local),
            ("::1", false, Reveal::Local),
            ("[::1]", false, Reveal::Local),
            ("localhost.example.com", false, Reveal::Verified),
            ("127.0.0.1.example.com", false, Reveal::Verified),
            ("10.0.0.1", false, Reveal::Verified),
            ("0.0.0.0", false, Reveal::Verified),
        ] {
            assert_eq!(Reveal::to(host, asked), expected, "{host}");
        }
        for (reveal, encrypted, mode, plain, key) in [
            (Reveal::Verified, true, SslMode::VerifyFull, true, false),
            (Reveal::Verified, true, SslMode::Require, false, false),
            (Reveal::Verified, true, SslMode::Prefer, false, false),
            (Reveal::Verified, false, SslMode::Prefer, false, false),
            (Reveal::Local, true, SslMode::Prefer, true, true),
            (Reveal::Local, false, SslMode::Prefer, false, true),
            (Reveal::Anyone, false, SslMode::Disable, true, true),
        ] {
            assert_eq!((reveal.plain(encrypted, mode), reveal.by_sent_key()), (plain, key), "{reveal:?} {mode}");
        }
    }
}
