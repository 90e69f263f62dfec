//! What a pipeline says of a connection, and how it becomes one.

use std::time::Duration;

use database_client::SslMode;
use osiris_sdk::tcp::Connection;
use osiris_sdk::{Error, Result, context, tcp};
use serde::Deserialize;

use crate::{Client, Login};

/// Where a server is and who asks; the password is a secret, so it is not here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ConnectionOptions {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub database: Option<String>,
    pub user: Option<String>,
    pub ssl_mode: Option<SslMode>,
    pub ca: Option<String>,
    /// Seconds.
    pub connect_timeout: Option<u32>,
    /// Seconds.
    pub timeout: Option<u32>,
}

/// A config of which only the connection is known: as discovery and check get it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Config {
    /// The connection by reference; it stands for all of the fields beside it.
    pub connection: Option<ConnectionOptions>,
    #[serde(flatten)]
    pub direct: ConnectionOptions,
}

impl Config {
    /// Connects and logs in. With `local_files` the server may ask for data by LOAD DATA LOCAL.
    ///
    /// # Errors
    /// `config` where something is missing, `auth`, `transient`, `other("timeout")`; each names the server.
    pub fn connect(&self, local_files: bool) -> Result<Client<Connection>> {
        let (options, secret) = match &self.connection {
            Some(_) if self.direct.host.is_some() => {
                return Err(Error::config("`connection` and `host` both say where the server is; leave one out"));
            }
            Some(connection) => (connection, "connection.password"),
            None => (&self.direct, "password"),
        };
        let (host, port) = (options.host()?, options.port());
        let login = Login { local_files, ..options.login(context::secret(secret)?)? };
        let connect = || {
            let stream = tcp::connect(host, port, seconds(options.connect_timeout, 30))?;
            // The login is part of connecting; a server that accepts and says nothing must not hold it up.
            stream.set_timeout(seconds(options.connect_timeout, 30));
            let mut client = Client::start(stream, &login)?;
            client.prepare_session()?;
            client.wire.stream.set_timeout(seconds(options.timeout, 300));
            Ok(client)
        };
        connect().map_err(|error: Error| {
            error.context(format!("cannot connect to MySQL or MariaDB at `{host}:{port}` as user `{}`", login.user))
        })
    }

    /// The server's host and port, for a person.
    pub fn server(&self) -> String {
        let options = self.connection.as_ref().unwrap_or(&self.direct);
        format!("{}:{}", options.host.as_deref().unwrap_or_default(), options.port())
    }

    /// The database that the connection begins in.
    pub fn database(&self) -> Option<&str> {
        self.connection.as_ref().unwrap_or(&self.direct).database.as_deref()
    }
}

impl ConnectionOptions {
    fn host(&self) -> Result<&str> {
        self.host.as_deref().ok_or_else(|| {
            Error::config("the config says no server; set `connection: \"@mysql.<alias>\"`, or `host` and `user`")
        })
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(3306)
    }

    fn login(&self, password: Option<String>) -> Result<Login> {
        let ssl_mode = self.ssl_mode.unwrap_or_default();
        if self.ca.is_some() && ssl_mode != SslMode::VerifyFull {
            return Err(Error::config(format!(
                "`ca` says whom to trust, but `ssl_mode: {ssl_mode}` trusts anybody; say `ssl_mode: verify-full`"
            )));
        }
        let user = self.user.clone().ok_or_else(|| Error::config("the connection says no `user`"))?;
        for text in [Some(&user), self.database.as_ref()].into_iter().flatten() {
            if text.contains('\0') {
                return Err(Error::config("`user` or `database` holds a NUL character"));
            }
        }
        Ok(Login { user, password, database: self.database.clone(), ssl_mode, ca: self.ca.clone(), local_files: false })
    }
}

fn seconds(option: Option<u32>, default: u32) -> Duration {
    Duration::from_secs(option.unwrap_or(default).max(1).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_connection_says_what_is_missing() {
        let options = ConnectionOptions { user: Some("ada".to_owned()), ..ConnectionOptions::default() };
        assert!(options.host().unwrap_err().message.contains("`host`"));
        let login = options.login(None).unwrap();
        assert_eq!((login.database, login.ssl_mode), (None, SslMode::Prefer));
        assert!(ConnectionOptions { ca: Some("PEM".to_owned()), ..options.clone() }.login(None).is_err());
        assert!(ConnectionOptions { user: None, ..options.clone() }.login(None).is_err());
        assert!(ConnectionOptions { user: Some("a\0b".to_owned()), ..options }.login(None).is_err());
    }
}
