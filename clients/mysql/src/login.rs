//! The start of a session: the server's greeting, TLS, and authentication.

use database_client::{Login, SslMode, Stream};
use osiris_sdk::tcp::{TlsOptions, Verify};
use osiris_sdk::{Error, ErrorKind, Result};

use crate::LocalFiles;
use crate::auth::{Plugin, rsa_password, terminated, unverified};
use crate::wire::{Fields, Wire, malformed, push_run};

/// Capability flags, on which client and server agree.
pub(crate) mod capability {
    /// MySQL always sets it, MariaDB never: without it, the last four reserved bytes contain MariaDB's own flags.
    pub const MYSQL: u32 = 1;
    pub const FOUND_ROWS: u32 = 1 << 1;
    pub const LONG_FLAG: u32 = 1 << 2;
    pub const CONNECT_WITH_DB: u32 = 1 << 3;
    pub const LOCAL_FILES: u32 = 1 << 7;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const SSL: u32 = 1 << 11;
    pub const TRANSACTIONS: u32 = 1 << 13;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const PLUGIN_AUTH: u32 = 1 << 19;
    pub const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
    pub const DEPRECATE_EOF: u32 = 1 << 24;
    /// MariaDB's: a column's definition names types that the protocol lacks, such as json and uuid.
    pub const EXTENDED_METADATA: u32 = 1 << 3;
}

/// `utf8mb4_general_ci`, which every version supports.
const UTF8MB4: u8 = 45;

/// The largest message that this client accepts, in bytes.
const MAX_MESSAGE: u32 = 1 << 30;

/// What client and server agreed on.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub version: String,
    pub deprecate_eof: bool,
    pub extended_metadata: bool,
    pub encrypted: bool,
}

struct Greeting {
    version: String,
    capabilities: u32,
    mariadb: u32,
    nonce: Vec<u8>,
    plugin: String,
}

pub(crate) fn log_in<S: Stream>(wire: &mut Wire<S>, login: &Login, files: LocalFiles) -> Result<Session> {
    wire.begin();
    let greeting = Greeting::parse(wire.receive_answer()?)?;
    let encrypted = encrypts(login, &greeting)?;
    let agreed = wanted(login, files, encrypted) & greeting.capabilities;
    let mariadb = greeting.mariadb & capability::EXTENDED_METADATA;
    let head = head(agreed, mariadb);
    if encrypted {
        start_tls(wire, login, &head)?;
    }
    // A plugin that this client lacks may be the server's default but not the user's: then the server switches.
    let plugin = Plugin::find(&greeting.plugin).unwrap_or(Plugin::Native);
    // Nothing that reveals the password is sent before the server itself requests it.
    let plugin = if plugin == Plugin::Clear { Plugin::Native } else { plugin };
    let password = login.password.as_deref().unwrap_or_default();
    let answer = plugin.answer(password, &greeting.nonce, login.reveal.plain(encrypted, login.ssl_mode))?;
    wire.send(&response(head, login, agreed, plugin, &answer))?;
    prove(wire, plugin, greeting.nonce, login, encrypted)?;
    Ok(Session {
        version: greeting.version,
        deprecate_eof: agreed & capability::DEPRECATE_EOF != 0,
        extended_metadata: mariadb & capability::EXTENDED_METADATA != 0,
        encrypted,
    })
}

/// Whether the session will be encrypted.
///
/// # Errors
/// `auth` if it must be, but the server does not offer TLS.
fn encrypts(login: &Login, greeting: &Greeting) -> Result<bool> {
    let offered = greeting.capabilities & capability::SSL != 0;
    match login.ssl_mode {
        SslMode::Disable => Ok(false),
        SslMode::Prefer => Ok(offered),
        SslMode::Require | SslMode::VerifyFull if offered => Ok(true),
        SslMode::Require | SslMode::VerifyFull => Err(Error::new(
            ErrorKind::Auth,
            format!(
                "the server offers no TLS, which `ssl_mode: {}` asks for; switch TLS on at the server, or say \
                 `ssl_mode: prefer` or `disable` for a network that you trust",
                login.ssl_mode
            ),
        )),
    }
}

/// The capabilities that this client uses, as far as the server has them too.
fn wanted(login: &Login, files: LocalFiles, encrypted: bool) -> u32 {
    let mut wanted = capability::FOUND_ROWS
        | capability::LONG_FLAG
        | capability::PROTOCOL_41
        | capability::TRANSACTIONS
        | capability::SECURE_CONNECTION
        | capability::PLUGIN_AUTH
        | capability::PLUGIN_AUTH_LENENC
        | capability::DEPRECATE_EOF
        | capability::MYSQL;
    if files == LocalFiles::Given {
        wanted |= capability::LOCAL_FILES;
    }
    if login.database.is_some() {
        wanted |= capability::CONNECT_WITH_DB;
    }
    if encrypted {
        wanted |= capability::SSL;
    }
    wanted
}

/// The start of the response to the greeting. By itself it requests TLS.
fn head(agreed: u32, mariadb: u32) -> Vec<u8> {
    let mut head = Vec::with_capacity(64);
    head.extend_from_slice(&agreed.to_le_bytes());
    head.extend_from_slice(&MAX_MESSAGE.to_le_bytes());
    head.push(UTF8MB4);
    head.extend_from_slice(&[0; 19]);
    head.extend_from_slice(&mariadb.to_le_bytes());
    head
}

fn start_tls<S: Stream>(wire: &mut Wire<S>, login: &Login, head: &[u8]) -> Result<()> {
    if wire.has_more() {
        return Err(malformed("bytes follow the greeting before TLS begins"));
    }
    wire.send(head)?;
    let verify = if login.ssl_mode == SslMode::VerifyFull { Verify::Full } else { Verify::None };
    wire.stream.start_tls(&TlsOptions { verify, server_name: None, ca: login.ca.clone() })
}

/// The response to the greeting: the user, the database and the proof of the password.
fn response(head: Vec<u8>, login: &Login, agreed: u32, plugin: Plugin, answer: &[u8]) -> Vec<u8> {
    let mut message = head;
    message.extend_from_slice(login.user.as_bytes());
    message.push(0);
    if agreed & capability::PLUGIN_AUTH_LENENC != 0 {
        push_run(&mut message, answer);
    } else {
        message.push(answer.len() as u8);
        message.extend_from_slice(answer);
    }
    if agreed & capability::CONNECT_WITH_DB != 0 {
        message.extend_from_slice(login.database.as_deref().unwrap_or_default().as_bytes());
        message.push(0);
    }
    if agreed & capability::PLUGIN_AUTH != 0 {
        message.extend_from_slice(plugin.name().as_bytes());
        message.push(0);
    }
    message
}

/// Answers the server's requests until it accepts the login.
fn prove<S: Stream>(
    wire: &mut Wire<S>,
    mut plugin: Plugin,
    mut nonce: Vec<u8>,
    login: &Login,
    encrypted: bool,
) -> Result<()> {
    let password = login.password.as_deref().unwrap_or_default();
    let may_be_plain = login.reveal.plain(encrypted, login.ssl_mode);
    // An honest server sends at most three requests.
    for _ in 0..8 {
        let message = wire.receive_answer()?.to_vec();
        let reply = match (plugin, message.as_slice()) {
            (_, [0, ..]) => return Ok(()),
            (_, [0xfe]) => {
                return Err(Error::new(
                    ErrorKind::Auth,
                    "the server wants this user's password by the hash of before 2004, which can be broken; give the \
                     user `mysql_native_password` or better",
                ));
            }
            (_, [0xfe, rest @ ..]) => {
                let mut fields = Fields(rest);
                plugin = Plugin::find(&String::from_utf8_lossy(fields.until_nul()))?;
                nonce = fields.0[..fields.0.len().min(plugin.nonce_length())].to_vec();
                plugin.answer(password, &nonce, may_be_plain)?
            }
            // The server has the password in its cache.
            (Plugin::CachingSha2, [1, 3]) => continue,
            // It does not, and requests the password itself.
            (Plugin::CachingSha2, [1, 4]) if encrypted && may_be_plain => terminated(password)?,
            (Plugin::CachingSha2, [1, 4]) if !encrypted && login.reveal.by_sent_key() => vec![2],
            (Plugin::CachingSha2, [1, 4]) => {
                return Err(unverified("the password itself, as MySQL does for a user's first login after a start"));
            }
            (Plugin::CachingSha2, [1, key @ ..]) if !encrypted && login.reveal.by_sent_key() => {
                rsa_password(password, &nonce, &String::from_utf8_lossy(key))?
            }
            _ => return Err(malformed("a login's question that is none")),
        };
        wire.send(&reply)?;
    }
    Err(malformed("a login without end"))
}

impl Greeting {
    fn parse(message: &[u8]) -> Result<Self> {
        let mut fields = Fields(message);
        if fields.byte()? != 10 {
            return Err(malformed("its greeting is not of version 10; is it a MySQL or MariaDB server?"));
        }
        let version = String::from_utf8_lossy(fields.until_nul()).into_owned();
        fields.bytes(4)?;
        let mut nonce = fields.bytes(8)?.to_vec();
        fields.bytes(1)?;
        let low = fields.u16()?;
        fields.bytes(3)?;
        let capabilities = u32::from(low) | u32::from(fields.u16()?) << 16;
        let length = usize::from(fields.byte()?);
        fields.bytes(6)?;
        let mariadb = fields.u32()?;
        if capabilities & capability::PROTOCOL_41 == 0 || capabilities & capability::SECURE_CONNECTION == 0 {
            return Err(Error::config(format!(
                "server {version} is from before MySQL 4.1; this driver needs a newer one"
            )));
        }
        let rest = fields.bytes(length.saturating_sub(8).max(13).min(fields.0.len()))?;
        nonce.extend_from_slice(rest.strip_suffix(&[0]).unwrap_or(rest));
        let plugin = match fields.until_nul() {
            [] => "mysql_native_password".to_owned(),
            name => String::from_utf8_lossy(name).into_owned(),
        };
        let mariadb = if capabilities & capability::MYSQL == 0 { mariadb } else { 0 };
        Ok(Self { version: version.trim_start_matches("5.5.5-").to_owned(), capabilities, mariadb, nonce, plugin })
    }
}
