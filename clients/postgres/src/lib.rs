//! PostgreSQL's wire protocol (3.0) over any stream: what its drivers share.
//!
//! The protocol is that of <https://www.postgresql.org/docs/15/protocol.html>. [`Client`] speaks it over a
//! [`Stream`]: the host's connection inside a driver, a socket in tests. [`types`] is what PostgreSQL's types are to
//! DuckDB, [`catalog`] what a database holds.

#![forbid(unsafe_code)]

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

/// What a connection to PostgreSQL is called, and where it leads by default.
pub const POSTGRESQL: System = System { name: "PostgreSQL", family: "postgres", port: 5432, ssl_option: "sslmode" };
