//! PostgREST's HTTP API, which Supabase speaks: where it is, how it is asked, what its errors mean.
//!
//! Every request is a transaction of its own in PostgREST. That is what the drivers' guarantees rest on.

#![forbid(unsafe_code)]

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

/// Where the API is, as a connection or a config names it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Place {
    url: Option<String>,
    path: Option<String>,
    schema: Option<String>,
    project_id: Option<String>,
}

/// The part of a config that leads to the API: a connection, or its fields beside the other options.
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

/// The API, with the key of whoever calls it.
pub struct Api {
    client: Client,
    base: Url,
    schema: Option<String>,
    retries: u32,
}

impl Api {
    /// # Errors
    /// `config`, where no address or no key is given.
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
                None => context::secret(name)?.filter(|key| !key.is_empty()),
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
        // What a step says of the schema counts before what its connection says.
        let schema = access.place.schema.clone().or_else(|| place.schema.clone());
        Ok(Self { client, base, schema, retries: access.max_retries })
    }

    /// How many requests went out.
    pub fn sent(&self) -> u64 {
        self.client.sent()
    }

    /// How often a request that failed is tried again.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// A request to a table.
    ///
    /// # Errors
    /// `config`, for a name that no address can have.
    pub fn table(&self, method: &str, table: &str) -> Result<Request> {
        let request = self.client.request_to(method, self.base.below(table)?);
        let profile = if matches!(method, "GET" | "HEAD") { "accept-profile" } else { "content-profile" };
        Ok(match &self.schema {
            Some(schema) => request.header(profile, schema),
            None => request,
        })
    }

    /// PostgREST's description of itself and of what it shows.
    ///
    /// # Errors
    /// As [`judge`].
    pub fn description(&self) -> Result<serde_json::Value> {
        let request = self.client.request_to("GET", self.base.below("/")?);
        let request = match &self.schema {
            Some(schema) => request.header("accept-profile", schema),
            None => request,
        };
        judge(error::with_body(request).fetch()?)?.json()
    }
}

/// As [`fetch`], with the code of an error.
///
/// # Errors
/// As [`fetch`].
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

/// Sends a request and reads its answer; what PostgREST says in an error becomes the error.
///
/// # Errors
/// As [`judge`], and as [`Request::fetch`] for what never reached PostgREST.
pub fn fetch(request: Request) -> Result<Answer> {
    judge(error::with_body(request).fetch()?)
}

/// A sentence about the server, out of its description.
pub fn version(description: &serde_json::Value) -> String {
    let version = description["info"]["version"].as_str().unwrap_or("of an unknown version");
    format!("PostgREST {version}")
}
