//! MySQL's and MariaDB's client protocol (4.1) over any stream: what their drivers share.
//!
//! The protocol is that of <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html> and
//! <https://mariadb.com/kb/en/clientserver-protocol/>. [`Client`] speaks it over a [`Stream`]: the host's connection
//! inside a driver, a socket in tests. [`ConnectionOptions`] are what a pipeline says of a connection, [`types`] what
//! MySQL's types are to DuckDB, [`catalog`] what a server holds.

mod auth;
pub mod catalog;
mod client;
mod error;
mod login;
mod options;
pub mod sql;
pub mod types;
mod wire;

pub use client::{Client, Done, Rows, Statement};
pub use database_client::{SslMode, Stream};
pub use error::ServerError;
pub use login::Login;
pub use options::{Config, ConnectionOptions};
pub use wire::Fields;
