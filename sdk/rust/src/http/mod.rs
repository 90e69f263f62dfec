//! HTTP over `wasi:http`, to the addresses that the step was granted.
//!
//! ```ignore
//! let client = http::Client::new().header("accept", "application/json").timeout(Duration::from_secs(20));
//! let page: serde_json::Value = client.get(url)?.query("page", "2").bearer(&token).fetch()?.json()?;
//! ```
//!
//! The host checks every request against the grant, including each hop of a redirect. Data from a server is bounded,
//! even after decompression, and verified to be complete. Failures that may be temporary (429, 5xx, a broken
//! connection, any response with `Retry-After`) are retried if that is safe. The crate feature `http` enables this
//! module.

mod body;
mod charset;
mod client;
mod compressed;
mod exchange;
mod oauth;
mod pages;
mod paging;
mod patience;
mod retry;
mod status;
#[cfg(test)]
mod tests;
pub(crate) mod transport;
mod twice;
mod url;

pub use body::Response;
pub use client::{Client, Request};
pub use exchange::Answer;
pub use oauth::OAuth;
pub use pages::{PageGuard, link};
pub use paging::{Next, Pages};
pub use patience::Patience;
pub use retry::Retry;
pub use url::Url;

use crate::Result;

/// A GET with a new client; use a [`Client`] for several requests.
///
/// # Errors
/// `config` if `url` is not a valid address.
pub fn get(url: &str) -> Result<Request> {
    Client::new().get(url)
}

/// A POST with a new client.
///
/// # Errors
/// `config` if `url` is not a valid address.
pub fn post(url: &str) -> Result<Request> {
    Client::new().post(url)
}

/// A request of any method with a new client.
///
/// # Errors
/// `config` if `url` is not a valid address.
pub fn request(method: &str, url: &str) -> Result<Request> {
    Client::new().request(method, url)
}
