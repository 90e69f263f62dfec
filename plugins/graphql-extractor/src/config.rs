//! The driver's options, as `spec.yaml` has them: upstream's, and a few more.

use std::collections::BTreeMap;
use std::time::Duration;

use osiris_sdk::http::{Client, Request, Retry, Url};
use osiris_sdk::{Error, Result, context};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub access: Access,
    pub query: String,
    #[serde(default)]
    pub variables: Map<String, Value>,
    pub operation_name: Option<String>,
    pub pagination_enabled: bool,
    pub pagination_path: String,
    pub pagination_cursor_field: String,
    pub pagination_has_next_field: String,
    pub pagination_variable_name: String,
    /// 0 for all.
    pub max_pages: u64,
    pub data_path: String,
    #[serde(default)]
    pub null_records: NullRecords,
    pub flatten_result: bool,
    pub flatten_separator: String,
    pub dtype: BTreeMap<String, String>,
    pub hold_mb: u64,
}

/// What a null in a list of records is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullRecords {
    #[default]
    Error,
    Skip,
}

/// Where the API is, who asks and how patiently: also what `check` and `discover` are given.
#[derive(Debug, Deserialize)]
pub struct Access {
    #[serde(default)]
    pub connection: Connection,
    pub endpoint: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    auth_type: Option<AuthType>,
    auth_username: Option<String>,
    auth_header_name: Option<String>,
    max_retries: u32,
    retry_delay: f64,
    max_retry_wait: f64,
    timeout: f64,
    connect_timeout: f64,
    validate_ssl: bool,
    max_page_mb: u64,
}

#[derive(Debug, Default, Deserialize)]
pub struct Connection {
    pub endpoint: Option<String>,
    pub url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    auth_type: Option<AuthType>,
    auth_username: Option<String>,
    auth_header_name: Option<String>,
    validate_ssl: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AuthType {
    None,
    Bearer,
    Basic,
    ApiKey,
}

impl Access {
    /// The API's address.
    ///
    /// # Errors
    /// `config`, when there is none.
    pub fn address(&self) -> Result<Url> {
        let Connection { endpoint, url, .. } = &self.connection;
        let address = self.endpoint.as_ref().or(endpoint.as_ref()).or(url.as_ref());
        Url::parse(
            address.ok_or_else(|| {
                Error::config("no address is given; write `endpoint`, or a `connection` that has one")
            })?,
        )
    }

    pub fn retry(&self) -> Retry {
        Retry {
            retries: self.max_retries,
            base: seconds(self.retry_delay),
            max_wait: seconds(self.max_retry_wait),
            ..Retry::default()
        }
    }

    /// A client that says who asks.
    ///
    /// # Errors
    /// `config`, when a part of the login is missing.
    pub fn client(&self) -> Result<Client> {
        if !self.validate_ssl || self.connection.validate_ssl == Some(false) {
            context::warn(
                "`validate_ssl: false` has no effect: every certificate is checked; trust a private authority by putting its \
                 certificate, as PEM, into `ca`, here or in the connection",
                &[],
            );
        }
        let mut client = Client::new()
            .header("accept", "application/json, application/graphql-response+json")
            .header("user-agent", concat!("osiris-graphql-extractor/", env!("CARGO_PKG_VERSION")))
            .timeout(seconds(self.timeout))
            .connect_timeout(seconds(self.connect_timeout))
            .max_bytes(self.max_page_mb << 20)
            .retry(self.retry());
        for (headers, place) in [(&self.connection.headers, "connection.headers"), (&self.headers, "headers")] {
            for (name, value) in headers {
                if let Some(value) = value {
                    client = client.header(name, value);
                }
            }
            for (name, value) in context::secrets_below(place)? {
                client = client.secret_header(&name, &value);
            }
        }
        Ok(client)
    }

    /// The request with the login.
    ///
    /// # Errors
    /// `config`, when a part of the login is missing.
    pub fn sign(&self, request: Request) -> Result<Request> {
        let secret = |name: &str| match context::secret(name)? {
            None => context::secret(&format!("connection.{name}")),
            own => Ok(own),
        };
        let missing = |name: &str| Error::config(format!("`{name}` is missing, which this `auth_type` needs"));
        let token = secret("auth_token")?;
        let default = if token.is_some() { AuthType::Bearer } else { AuthType::None };
        Ok(match self.auth_type.or(self.connection.auth_type).unwrap_or(default) {
            AuthType::None => request,
            AuthType::Bearer => request.bearer(&token.ok_or_else(|| missing("auth_token"))?),
            AuthType::Basic => {
                let user = self.auth_username.as_ref().or(self.connection.auth_username.as_ref());
                let user = user.ok_or_else(|| missing("auth_username"))?;
                // Upstream keeps the password in `auth_token`.
                let password = secret("auth_password")?.or(token).ok_or_else(|| missing("auth_password"))?;
                request.basic(user, &password)
            }
            AuthType::ApiKey => {
                let name = self.auth_header_name.as_ref().or(self.connection.auth_header_name.as_ref());
                request.secret_header(
                    name.map_or("X-API-Key", String::as_str),
                    &token.ok_or_else(|| missing("auth_token"))?,
                )
            }
        })
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(30))
}
