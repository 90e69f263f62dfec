//! PostgREST's HTTP API, which Supabase provides: its address, its requests, its errors.
//!
//! Each request is a separate transaction in PostgREST. The drivers' guarantees depend on that.

mod catalog;
mod error;
pub mod filter;
mod range;
mod table;
mod types;

use std::time::Duration;

use osiris_sdk::http::{Answer, Client, Request, Retry, Url};
use osiris_sdk::{Error, Result, context};
use serde::Deserialize;

pub use catalog::tables;
pub use error::{Fault, judge};
pub use range::{ContentRange, content_range};
pub use table::{Column, Reference, Table};
pub use types::target_type;

/// The address of the API, in a connection or a config.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Place {
    url: Option<String>,
    path: Option<String>,
    schema: Option<String>,
    project_id: Option<String>,
}

/// The part of a config that gives access to the API: a connection, or its fields beside the other options.
#[derive(Debug, Clone, Deserialize)]
pub struct Access {
    connection: Option<Place>,
    #[serde(flatten)]
    place: Place,
    #[serde(default = "seconds")]
    timeout: f64,
    #[serde(default = "retries")]
    max_retries: u32,
}

fn seconds() -> f64 {
    30.0
}

fn retries() -> u32 {
    3
}

/// The API, with the caller's key.
pub struct Api {
    client: Client,
    base: Url,
    schema: Option<String>,
    retries: u32,
}

impl Api {
    /// # Errors
    /// `config` if no address or no key is given.
    pub fn open(access: &Access) -> Result<Self> {
        let (place, keys): (_, &[&str]) = match &access.connection {
            Some(connection) => (connection, &["connection.service_role_key", "connection.key", "connection.anon_key"]),
            None => (&access.place, &["key"]),
        };
        let url = place.url.as_deref().ok_or_else(|| no_address(place.project_id.as_deref()))?;
        let mut found = None;
        for name in keys {
            found = match found {
                Some(key) => Some(key),
                None => context::secret(name).filter(|key| !key.is_empty()),
            };
        }
        let written = if access.connection.is_some() { "connection.key" } else { "key" };
        let key =
            found.ok_or_else(|| Error::config(format!("no key is given for `{url}`; write it as `{written}`")))?;
        let timeout = Duration::try_from_secs_f64(access.timeout).unwrap_or(Duration::from_secs(30));
        let retry = Retry { retries: access.max_retries, ..Retry::default() };
        // A redirect could only lead away from the API.
        let client = Client::new()
            .secret_header("apikey", &key)
            .secret_header("authorization", &format!("Bearer {key}"))
            .header("accept", "application/json")
            .timeout(timeout)
            .redirects(0)
            .retry(retry);
        let base = Url::parse(url)?.below(place.path.as_deref().unwrap_or("/rest/v1"))?;
        // The step's own schema takes precedence over its connection's.
        let schema = access.place.schema.clone().or_else(|| place.schema.clone());
        Ok(Self { client, base, schema, retries: access.max_retries })
    }

    /// How many requests have been sent.
    pub fn sent(&self) -> u64 {
        self.client.sent()
    }

    /// How often a failed request is retried.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// A request to a table.
    ///
    /// # Errors
    /// `config` for a name that cannot be part of an address.
    pub fn table(&self, method: &str, table: &str) -> Result<Request> {
        let request = self.client.request_to(method, self.base.below(table)?);
        let profile = if matches!(method, "GET" | "HEAD") { "accept-profile" } else { "content-profile" };
        Ok(match &self.schema {
            Some(schema) => request.header(profile, schema),
            None => request,
        })
    }

    /// PostgREST's description of itself and of the tables it exposes.
    ///
    /// # Errors
    /// As for [`judge`].
    pub fn description(&self) -> Result<serde_json::Value> {
        let request = self.client.request_to("GET", self.base.below("/")?);
        let request = match &self.schema {
            Some(schema) => request.header("accept-profile", schema),
            None => request,
        };
        judge(error::with_body(request).fetch()?)?.json()
    }
}

/// Like [`fetch`], with the code of an error.
///
/// # Errors
/// As for [`fetch`].
pub fn fetch_coded(request: Request) -> Result<Answer, Fault> {
    error::judge_coded(error::with_body(request).fetch()?)
}

fn no_address(project_id: Option<&str>) -> Error {
    Error::config(match project_id {
        Some(id) => format!(
            "`project_id` alone names no address that a step can be granted; write `url: https://{id}.supabase.co`"
        ),
        None => "no address is given; write `connection: \"@supabase.ALIAS\"`, or `url` and `key`".to_owned(),
    })
}

/// Sends a request and reads its response; an error in the response is returned as an error.
///
/// # Errors
/// As for [`judge`], and as for [`Request::fetch`] if the request never reached PostgREST.
pub fn fetch(request: Request) -> Result<Answer> {
    judge(error::with_body(request).fetch()?)
}

/// A sentence about the server, from its description.
pub fn version(description: &serde_json::Value) -> String {
    let version = description["info"]["version"].as_str().unwrap_or("of an unknown version");
    format!("PostgREST {version}")
}
