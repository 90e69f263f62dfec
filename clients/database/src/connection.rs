//! The connection options of a pipeline, and how they become a session on an open stream.

use std::time::Duration;

use osiris_sdk::tcp::Connection;
use osiris_sdk::{Error, Result, context, tcp};
use serde::Deserialize;

use crate::{Reveal, SslMode};

/// What distinguishes one system's connections from another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct System {
    /// The name for messages.
    pub name: &'static str,
    /// Its family in `osiris_connections.yaml`.
    pub family: &'static str,
    /// The default port.
    pub port: u16,
    /// The name of its option for encryption.
    pub ssl_option: &'static str,
}

/// The credentials, the database, and the required encryption.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: Option<String>,
    pub database: Option<String>,
    pub ssl_mode: SslMode,
    /// Trusted roots as PEM, for `verify-full`.
    pub ca: Option<String>,
    /// Who may see the password, apart from a verified server.
    pub reveal: Reveal,
}

/// The server's address and the user. The password is a secret, so it is not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ConnectionOptions {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub database: Option<String>,
    pub user: Option<String>,
    #[serde(alias = "sslmode")]
    pub ssl_mode: Option<SslMode>,
    pub ca: Option<String>,
    /// Sends the password to a server that did not prove its identity, if the login asks for it.
    pub unverified_password: Option<bool>,
    /// Seconds.
    pub connect_timeout: Option<u32>,
    /// Seconds.
    pub timeout: Option<u32>,
}

/// A config of which only the connection is known, as `discover` and `check` receive it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Config {
    /// The connection by reference; it replaces all of the fields beside it.
    pub connection: Option<ConnectionOptions>,
    #[serde(flatten)]
    pub direct: ConnectionOptions,
}

/// A session over a connection that the host opened.
pub trait Session {
    fn connection(&self) -> &Connection;
}

impl Config {
    /// Connects, and calls `begin` to log in.
    ///
    /// # Errors
    /// `config` if something is missing, `auth`, `transient`, `timeout`; each names the server.
    pub fn begin<S: Session>(&self, system: System, begin: impl FnOnce(Connection, &Login) -> Result<S>) -> Result<S> {
        let (options, secret) = match &self.connection {
            Some(_) if self.direct.host.is_some() => {
                return Err(Error::config("`connection` and `host` both say where the server is; leave one out"));
            }
            Some(connection) => (connection, "connection.password"),
            None => (&self.direct, "password"),
        };
        let (host, port) = (options.host(system)?, options.port(system));
        let login = options.login(system, context::secret(secret))?;
        let connect = || {
            let stream = tcp::connect(host, port, seconds(options.connect_timeout, 30))?;
            // The login is part of connecting: a server that accepts but does not answer must not block it.
            stream.set_timeout(seconds(options.connect_timeout, 30));
            let session = begin(stream, &login)?;
            session.connection().set_timeout(seconds(options.timeout, 300));
            Ok(session)
        };
        connect().map_err(|error: Error| {
            let database = login.database.as_ref().map(|name| format!(", database `{name}`,")).unwrap_or_default();
            error.context(format!(
                "cannot connect to {} at `{host}:{port}`{database} as user `{}`",
                system.name, login.user
            ))
        })
    }

    /// The server's host and port, for messages.
    pub fn server(&self, system: System) -> String {
        let options = self.options();
        format!("{}:{}", options.host.as_deref().unwrap_or_default(), options.port(system))
    }

    /// The initial database of the connection.
    pub fn database(&self) -> Option<&str> {
        self.options().database.as_deref()
    }

    fn options(&self) -> &ConnectionOptions {
        self.connection.as_ref().unwrap_or(&self.direct)
    }
}

impl ConnectionOptions {
    fn host(&self, system: System) -> Result<&str> {
        self.host.as_deref().ok_or_else(|| {
            let family = system.family;
            Error::config(format!(
                "the config says no server; set `connection: \"@{family}.<alias>\"`, or `host` and `user`"
            ))
        })
    }

    fn port(&self, system: System) -> u16 {
        self.port.unwrap_or(system.port)
    }

    fn login(&self, system: System, password: Option<String>) -> Result<Login> {
        let (option, ssl_mode) = (system.ssl_option, self.ssl_mode.unwrap_or_default());
        if self.ca.is_some() && ssl_mode != SslMode::VerifyFull {
            return Err(Error::config(format!(
                "`ca` names a certificate to trust, but `{option}: {ssl_mode}` does not verify any; set `{option}: verify-full`"
            )));
        }
        let user = self.user.clone().ok_or_else(|| Error::config("the connection says no `user`"))?;
        if [Some(&user), self.database.as_ref()].into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(Error::config("`user` or `database` holds a NUL character"));
        }
        let reveal = Reveal::to(self.host.as_deref().unwrap_or_default(), self.unverified_password == Some(true));
        Ok(Login { user, password, database: self.database.clone(), ssl_mode, ca: self.ca.clone(), reveal })
    }
}

fn seconds(option: Option<u32>, default: u32) -> Duration {
    Duration::from_secs(option.unwrap_or(default).max(1).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SYSTEM: System = System { name: "A Database", family: "some", port: 5432, ssl_option: "sslmode" };

    #[test]
    fn a_connection_names_the_missing_fields() {
        let options = ConnectionOptions { user: Some("ada".to_owned()), ..ConnectionOptions::default() };
        assert!(options.host(SYSTEM).unwrap_err().message.contains("@some."));
        let login = options.login(SYSTEM, None).unwrap();
        assert_eq!((login.database, login.ssl_mode, options.port(SYSTEM)), (None, SslMode::Prefer, 5432));
        let trusting = ConnectionOptions { ca: Some("PEM".to_owned()), ..options.clone() };
        assert!(trusting.login(SYSTEM, None).err().unwrap().message.contains("`sslmode: verify-full`"));
        assert!(ConnectionOptions { user: None, ..options.clone() }.login(SYSTEM, None).is_err());
        assert!(ConnectionOptions { user: Some("a\0b".to_owned()), ..options }.login(SYSTEM, None).is_err());
    }

    #[test]
    fn a_connection_by_reference_replaces_the_fields_beside_it() {
        let config: Config =
            serde_json::from_str(r#"{"connection": {"host": "h", "sslmode": "verify-full", "port": 1}, "port": 2}"#)
                .unwrap();
        assert_eq!(config.server(SYSTEM), "h:1");
        assert_eq!(config.options().ssl_mode, Some(SslMode::VerifyFull));
        let direct: Config = serde_json::from_str(r#"{"host": "h", "ssl_mode": "require", "database": "d"}"#).unwrap();
        assert_eq!((direct.server(SYSTEM).as_str(), direct.database()), ("h:5432", Some("d")));
        assert_eq!(direct.options().ssl_mode, Some(SslMode::Require));
    }
}
