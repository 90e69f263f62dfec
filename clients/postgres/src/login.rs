//! The start of a connection: TLS if required, then authentication.

use database_client::{Login, SslMode};
use osiris_sdk::tcp::{TlsOptions, Verify};
use osiris_sdk::{Error, ErrorKind, Result};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};

use crate::wire::{Fields, Wire, frame, protocol, text, untagged};
use crate::{ServerError, Stream};

const SSL_REQUEST: u32 = 80_877_103;
const PROTOCOL: u32 = 196_608;

/// Settings that make all text from the server have the same form, regardless of its configuration.
const SETTINGS: [(&str, &str); 7] = [
    ("application_name", "osiris"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
];

/// Logs in on a new stream until statements can be sent; returns the server's version.
pub(crate) fn log_in<S: Stream>(wire: &mut Wire<S>, login: &Login) -> Result<String> {
    if login.ssl_mode != SslMode::Disable {
        encrypt(wire, login)?;
    }
    let mut bytes = Vec::new();
    untagged(&mut bytes, |body| {
        body.extend_from_slice(&PROTOCOL.to_be_bytes());
        let database = login.database.as_ref().unwrap_or(&login.user);
        for (name, value) in [("user", login.user.as_str()), ("database", database)].iter().chain(&SETTINGS) {
            text(body, name);
            text(body, value);
        }
        body.push(0);
    });
    wire.send(&bytes)?;
    authenticate(wire, login)?;
    let mut version = String::new();
    loop {
        let message = wire.message()?;
        match message.tag {
            b'S' => {
                let mut fields = Fields(message.body);
                if fields.text()? == "server_version" {
                    version = fields.text()?;
                }
            }
            b'K' => {}
            b'Z' => return Ok(version),
            b'E' => return Err(ServerError::parse(message.body).into()),
            _ => return Err(protocol("an unknown message after the login")),
        }
    }
}

/// Requests TLS, and continues without it only if the mode allows.
fn encrypt<S: Stream>(wire: &mut Wire<S>, login: &Login) -> Result<()> {
    let mut bytes = Vec::new();
    untagged(&mut bytes, |body| body.extend_from_slice(&SSL_REQUEST.to_be_bytes()));
    wire.send(&bytes)?;
    match wire.answer()? {
        b'S' => {
            let verify = if login.ssl_mode == SslMode::VerifyFull { Verify::Full } else { Verify::None };
            let ca = login.ca.clone().filter(|_| login.ssl_mode == SslMode::VerifyFull);
            wire.stream.start_tls(&TlsOptions { verify, server_name: None, ca })
        }
        b'N' if login.ssl_mode == SslMode::Prefer => Ok(()),
        b'N' => Err(Error::new(
            ErrorKind::Auth,
            format!(
                "the server offers no TLS, which `sslmode: {}` asks for; switch TLS on at the server, or say \
                 `sslmode: prefer` or `disable` for a network that you trust",
                login.ssl_mode
            ),
        )),
        _ => Err(protocol("its answer to a request for TLS is neither `S` nor `N`; is it PostgreSQL?")),
    }
}

fn authenticate<S: Stream>(wire: &mut Wire<S>, login: &Login) -> Result<()> {
    loop {
        let message = wire.message()?;
        match message.tag {
            b'R' => {}
            b'E' => return Err(ServerError::parse(message.body).into()),
            _ => return Err(protocol("an unknown message before the login")),
        }
        let body = message.body.to_vec();
        let mut fields = Fields(&body);
        let answer = match fields.uint32()? {
            0 => return Ok(()),
            3 if !login.reveal.plain(wire.stream.server_end_point().is_some(), login.ssl_mode) => {
                return Err(Error::new(
                    ErrorKind::Auth,
                    "the server asks for the password as plain text, and it has not proved who it is: somebody in \
                     between would have it; set `sslmode: verify-full`, have the server use scram-sha-256, or set \
                     `unverified_password: true` for a network that you trust",
                ));
            }
            3 => password(login)?.to_owned(),
            5 => {
                let salt = fields.bytes(4)?.try_into().map_err(|_| protocol("a salt of the wrong length"))?;
                md5_hash(login.user.as_bytes(), password(login)?.as_bytes(), salt)
            }
            10 => {
                let mechanisms: Vec<String> =
                    fields.0.split(|byte| *byte == 0).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
                scram(wire, login, &mechanisms)?;
                continue;
            }
            other => {
                let name = match other {
                    2 => "Kerberos",
                    7 | 8 => "GSSAPI",
                    9 => "SSPI",
                    _ => "an unknown method",
                };
                return Err(Error::new(
                    ErrorKind::Auth,
                    format!("the server asks for {name}; there are: scram-sha-256, md5, password over TLS"),
                ));
            }
        };
        let mut bytes = Vec::new();
        frame(&mut bytes, b'p', |body| text(body, &answer));
        wire.send(&bytes)?;
    }
}

fn password(login: &Login) -> Result<&str> {
    login.password.as_deref().ok_or_else(|| {
        Error::new(
            ErrorKind::Auth,
            format!("the server asks for the password of user `{}`; set `password`", login.user),
        )
    })
}

/// SCRAM-SHA-256 (RFC 7677), bound to the TLS channel if the server supports it.
fn scram<S: Stream>(wire: &mut Wire<S>, login: &Login, mechanisms: &[String]) -> Result<()> {
    let offered = |name: &str| mechanisms.iter().any(|mechanism| mechanism == name);
    let (mechanism, binding) = match wire.stream.server_end_point() {
        Some(digest) if offered(SCRAM_SHA_256_PLUS) => {
            (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(digest))
        }
        Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
        None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
    };
    if !offered(mechanism) {
        return Err(Error::new(ErrorKind::Auth, format!("the server offers {mechanisms:?}, but not {mechanism}")));
    }
    let mut scram = ScramSha256::new(password(login)?.as_bytes(), binding);
    let mut bytes = Vec::new();
    frame(&mut bytes, b'p', |body| {
        text(body, mechanism);
        body.extend_from_slice(&(scram.message().len() as u32).to_be_bytes());
        body.extend_from_slice(scram.message());
    });
    wire.send(&bytes)?;
    scram.update(sasl(wire, 11)?).map_err(|error| unproven(&error))?;
    bytes.clear();
    frame(&mut bytes, b'p', |body| body.extend_from_slice(scram.message()));
    wire.send(&bytes)?;
    scram.finish(sasl(wire, 12)?).map_err(|error| unproven(&error))
}

fn unproven(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Auth, format!("the server cannot prove that it knows the password: {error}"))
}

/// The data of the SASL message that must come next.
fn sasl<S: Stream>(wire: &mut Wire<S>, wanted: u32) -> Result<&[u8]> {
    let message = wire.message()?;
    let mut fields = Fields(message.body);
    match message.tag {
        b'R' if fields.uint32()? == wanted => Ok(fields.0),
        b'E' => Err(ServerError::parse(message.body).into()),
        _ => Err(protocol("a login out of order")),
    }
}
