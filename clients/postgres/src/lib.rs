//! PostgreSQL's wire protocol (3.0) over any stream: what its drivers share.
//!
//! The protocol is that of <https://www.postgresql.org/docs/15/protocol.html>. [`Client`] speaks it over a
//! [`Stream`]: the host's connection inside a driver, a socket in tests. [`ConnectionOptions`] are what a pipeline
//! says of a connection, [`types`] what PostgreSQL's types are to DuckDB, [`catalog`] what a database holds.

pub mod catalog;
mod client;
mod copy;
mod error;
mod login;
mod options;
pub mod sql;
pub mod types;
mod wire;

pub use client::{Client, Described, Rows};
pub use copy::{CopyIn, CopyOut};
pub use database_client::{SslMode, Stream};
pub use error::ServerError;
pub use login::Login;
pub use options::{Config, ConnectionOptions};
