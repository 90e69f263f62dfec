//! What one step may touch and use: its driver's requests, within what the operator allows.

pub mod address;
pub mod address_template;
pub mod capability;
pub mod connect;
pub mod credentials;
pub mod databases;
pub mod endpoint;
pub mod fetch;
pub mod files;
pub mod grant;
pub mod http;
pub mod limits;
pub mod pattern;
pub mod policy;
pub mod reserved;
pub mod state;
pub mod template;
mod tls;

pub use capability::{Grants, WantedGrants};
