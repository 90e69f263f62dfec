//! The client protocol (4.1) of MySQL and MariaDB over any stream, shared by their drivers.
//!
//! The protocol is that of <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html> and
//! <https://mariadb.com/kb/en/clientserver-protocol/>. [`Client`] speaks it over a [`Stream`]: the host's connection
//! inside a driver, a socket in tests. [`types`] maps MySQL's types to DuckDB's, and [`catalog`] lists a server's
//! tables.

use database_client::System;

mod auth;
pub mod catalog;
mod client;
mod error;
mod error_numbers;
mod login;
pub mod sql;
pub mod types;
mod wire;

pub use client::{Client, Done, LocalFiles, Rows, Statement, connect};
pub use database_client::{Config, Login, SslMode, Stream};
pub use error::ServerError;
pub use wire::Fields;

/// The names and defaults of connections to MySQL or MariaDB.
pub const MYSQL: System = System { name: "MySQL or MariaDB", family: "mysql", port: 3306, ssl_option: "ssl_mode" };
