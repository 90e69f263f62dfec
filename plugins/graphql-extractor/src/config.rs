//! The driver's options, as in `spec.yaml`: those of Python Osiris, and some more.

use std::collections::BTreeMap;

use json_records::NullRecords;
use osiris_sdk::http::{Client, Patience, Request, Url};
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

/// The API's address, the login and the retries: all that `check` and `discover` receive.
#[derive(Debug, Deserialize)]
pub struct Access {
    #[serde(default)]
    pub connection: Connection,
    pub endpoint: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    #[serde(flatten)]
    login: Login,
    #[serde(flatten)]
    pub patience: Patience,
    validate_ssl: bool,
}

#[derive(Debug, Default, Deserialize)]
pub struct Connection {
    pub endpoint: Option<String>,
    pub url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    #[serde(flatten)]
    login: Login,
    validate_ssl: Option<bool>,
}

/// The login, except its secrets.
#[derive(Debug, Default, Deserialize)]
struct Login {
    auth_type: Option<AuthType>,
    auth_username: Option<String>,
    auth_header_name: Option<String>,
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
    /// `config` if there is none.
    pub fn address(&self) -> Result<Url> {
        let Connection { endpoint, url, .. } = &self.connection;
        let address = self.endpoint.as_ref().or(endpoint.as_ref()).or(url.as_ref());
        Url::parse(
            address.ok_or_else(|| {
                Error::config("no address is given; write `endpoint`, or a `connection` that has one")
            })?,
        )
    }

    /// A client with the configured headers.
    pub fn client(&self) -> Client {
        if !self.validate_ssl || self.connection.validate_ssl == Some(false) {
            context::warn(
                "`validate_ssl: false` has no effect: every certificate is checked; trust a private authority by putting its \
                 certificate, as PEM, into `ca`, here or in the connection",
                &[],
            );
        }
        self.patience
            .client(concat!("osiris-graphql-extractor/", env!("CARGO_PKG_VERSION")))
            .header("accept", "application/json, application/graphql-response+json")
            .configured_headers("connection.headers", &self.connection.headers)
            .configured_headers("headers", &self.headers)
    }

    /// The request with the login.
    ///
    /// # Errors
    /// `config` if a part of the login is missing.
    pub fn sign(&self, request: Request) -> Result<Request> {
        let secret = |name: &str| context::secret(name).or_else(|| context::secret(&format!("connection.{name}")));
        let missing = |name: &str| Error::config(format!("`{name}` is missing, which this `auth_type` needs"));
        let token = secret("auth_token");
        let (own, shared) = (&self.login, &self.connection.login);
        let default = if token.is_some() { AuthType::Bearer } else { AuthType::None };
        Ok(match own.auth_type.or(shared.auth_type).unwrap_or(default) {
            AuthType::None => request,
            AuthType::Bearer => request.bearer(&token.ok_or_else(|| missing("auth_token"))?),
            AuthType::Basic => {
                let user = own.auth_username.as_ref().or(shared.auth_username.as_ref());
                let user = user.ok_or_else(|| missing("auth_username"))?;
                // Python Osiris keeps the password in `auth_token`.
                let password = secret("auth_password").or(token).ok_or_else(|| missing("auth_password"))?;
                request.basic(user, &password)
            }
            AuthType::ApiKey => {
                let name = own.auth_header_name.as_ref().or(shared.auth_header_name.as_ref());
                request.secret_header(
                    name.map_or("X-API-Key", String::as_str),
                    &token.ok_or_else(|| missing("auth_token"))?,
                )
            }
        })
    }
}
