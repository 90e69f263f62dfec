//! Whether a connection is encrypted, in the words of libpq.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

/// Whether the connection is encrypted, and whether the server must prove who it is. As libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server offers it.
    #[default]
    Prefer,
    /// Encrypted, whoever the server is.
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

/// Who may be given a password in a form that the receiver can read, apart from a server that proved who it is.
///
/// Most ways to log in prove that a client knows the password without showing it. Some show it: as plain text, or
/// encrypted by a key that the server sends. The server then has the password, so it must be the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reveal {
    /// Nobody else.
    #[default]
    Verified,
    /// A server on this machine, where nobody stands between: by a key of its own, or over TLS.
    Local,
    /// Any server, because the connection sets `unverified_password: true`.
    Anyone,
}

impl Reveal {
    /// What holds for a server at `host`, as the connection spells it.
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

    /// Whether the password may cross a connection as plain text.
    pub fn plain(self, encrypted: bool, mode: SslMode) -> bool {
        match self {
            Reveal::Verified => encrypted && mode == SslMode::VerifyFull,
            Reveal::Local => encrypted,
            Reveal::Anyone => true,
        }
    }

    /// Whether the password may be encrypted by a key that came over a connection without TLS.
    pub fn by_sent_key(self) -> bool {
        self != Reveal::Verified
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_to_a_verified_server_alone_unless_it_is_local_or_asked_for() {
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
