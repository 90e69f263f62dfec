//! PostgreSQL's wire protocol (3.0) over any stream, shared by its drivers.
//!
//! The protocol is that of <https://www.postgresql.org/docs/15/protocol.html>. [`Client`] speaks it over a [`Stream`]:
//! the host's connection inside a driver, a socket in tests. [`types`] maps PostgreSQL's types to DuckDB's, and
//! [`catalog`] lists a database's tables.

use database_client::System;

pub mod catalog;
mod client;
mod copy;
mod error;
mod login;
pub mod sql;
mod targets;
pub mod types;
mod wire;

pub use client::{Client, Described, Rows, connect};
pub use copy::{CopyIn, CopyOut};
pub use database_client::{Config, Login, SslMode, Stream};
pub use error::ServerError;
pub use targets::{TargetTypes, created_type};

/// The names and defaults of connections to PostgreSQL.
pub const POSTGRESQL: System = System { name: "PostgreSQL", family: "postgres", port: 5432, ssl_option: "sslmode" };
