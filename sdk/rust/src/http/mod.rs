//! HTTP over `wasi:http`, to the addresses that the step was granted.
//!
//! ```ignore
//! let client = http::Client::new().header("accept", "application/json").timeout(Duration::from_secs(20));
//! let page: serde_json::Value = client.get(url)?.query("page", "2").bearer(&token).fetch()?.json()?;
//! ```
//!
//! The host checks every request against the grant, also each hop of a redirect. What a server sends is
//! bounded, decompressed too, and known to be whole. What may be gone at the next try (429, 5xx, a broken connection,
//! whatever carries `Retry-After`) is tried again where that is safe. The crate feature `http` brings this module.

mod body;
mod charset;
mod client;
mod compressed;
mod exchange;
mod pages;
mod patience;
mod retry;
mod status;
#[cfg(test)]
mod tests;
mod transport;
mod twice;
mod url;

pub use body::Response;
pub use client::{Client, Request};
pub use exchange::Answer;
pub use pages::{PageGuard, link};
pub use patience::Patience;
pub use retry::Retry;
pub use url::Url;

use crate::Result;

/// A GET with a client of its own; keep a [`Client`] where there are several requests.
///
/// # Errors
/// `config`, when `url` is no address.
pub fn get(url: &str) -> Result<Request> {
    Client::new().get(url)
}

/// A POST with a client of its own.
///
/// # Errors
/// `config`, when `url` is no address.
pub fn post(url: &str) -> Result<Request> {
    Client::new().post(url)
}

/// A request of any method with a client of its own.
///
/// # Errors
/// `config`, when `url` is no address.
pub fn request(method: &str, url: &str) -> Result<Request> {
    Client::new().request(method, url)
}
