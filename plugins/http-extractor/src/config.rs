//! The driver's options, as in `spec.yaml`.

use std::collections::BTreeMap;

use json_records::NullRecords;
use osiris_sdk::http::{Patience, Url};
use osiris_sdk::{Error, Result};
use record_cursor::CursorType;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(default)]
    pub connection: Connection,
    pub url: Option<String>,
    pub base_url: Option<String>,
    pub path: Option<String>,
    pub method: String,
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    #[serde(default)]
    pub params: Map<String, Value>,
    pub body: Option<Value>,
    pub auth: Option<Auth>,
    #[serde(default)]
    pub pagination: Pagination,
    pub max_pages: u64,
    pub allow_repeated_pages: bool,
    pub records_path: String,
    pub missing_records: Missing,
    #[serde(default)]
    pub null_records: NullRecords,
    pub cursor: Option<Cursor>,
    #[serde(default)]
    pub cursor_type: CursorType,
    pub cursor_format: Option<String>,
    pub lookback: Option<Value>,
    pub flatten: bool,
    pub flatten_separator: String,
    pub dtype: BTreeMap<String, String>,
    pub limit: Option<u64>,
    #[serde(flatten)]
    pub manner: Manner,
}

/// What the driver needs from a connection; all that `check` receives.
#[derive(Debug, Default, Deserialize)]
pub struct Connection {
    pub url: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    pub auth_type: Option<Method>,
    pub username: Option<String>,
    pub key_name: Option<String>,
    #[serde(default)]
    pub key_in: Place,
    /// The address of the OAuth 2 token endpoint.
    pub auth_url: Option<String>,
    pub client_id: Option<String>,
    pub scope: Option<String>,
    pub check_path: Option<String>,
}

/// How long requests wait, how often they are retried and how fast they are sent.
#[derive(Debug, Deserialize)]
pub struct Manner {
    #[serde(flatten)]
    pub patience: Patience,
    pub retry_post: bool,
    pub requests_per_second: Option<f64>,
    pub max_redirects: u32,
    pub hold_mb: u64,
    pub encoding: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    Error,
    Empty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    None,
    Bearer,
    Basic,
    ApiKey,
    Oauth2,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    #[default]
    Header,
    Query,
    Body,
}

/// The login. Its secrets are not here: `auth.token`, `auth.password`, `auth.key`, `auth.client_secret`.
#[derive(Debug, Deserialize)]
pub struct Auth {
    #[serde(rename = "type")]
    pub method: Method,
    pub username: Option<String>,
    pub name: Option<String>,
    #[serde(default, rename = "in")]
    pub place: Place,
    /// The address of the OAuth 2 token endpoint.
    pub url: Option<String>,
    pub client_id: Option<String>,
    pub scope: Option<String>,
    pub audience: Option<String>,
    #[serde(default)]
    pub client_auth: ClientAuth,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    #[default]
    Basic,
    Body,
}

/// How one page leads to the next.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Pagination {
    #[serde(default, rename = "type")]
    pub kind: Paging,
    pub param: Option<String>,
    pub start: Option<u64>,
    pub size_param: Option<String>,
    pub size: Option<u64>,
    pub path: Option<String>,
    pub has_more_path: Option<String>,
    /// The value at `path` that means there are no more pages.
    pub end_value: Option<Value>,
    #[serde(default)]
    pub step: Step,
    #[serde(default)]
    pub last_page: LastPage,
    /// `query` by default; `header` means the query here.
    #[serde(default, rename = "in")]
    pub place: Place,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paging {
    #[default]
    None,
    Page,
    Offset,
    Cursor,
    Link,
    NextUrl,
}

/// The increment of an offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The number of records received: right for a server that returns fewer at a time than requested.
    #[default]
    Received,
    /// The number of records requested: right for a server that filters a page after selecting it.
    Size,
}

/// How the last page is recognised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastPage {
    #[default]
    Empty,
    Short,
    NotFound,
    Repeated,
}

/// Reads only new records.
#[derive(Debug, Clone, Deserialize)]
pub struct Cursor {
    pub param: String,
    pub field: String,
    pub initial: Option<Value>,
    #[serde(default, rename = "in")]
    pub place: Place,
}

impl Config {
    /// The address of the records.
    ///
    /// # Errors
    /// `config` if no address or too many are given.
    pub fn address(&self) -> Result<Url> {
        let base = self.base_url.as_deref().or(self.connection.url.as_deref());
        match (&self.url, &self.path, base) {
            (Some(_), Some(_), _) => Err(Error::config(
                "both `url` and `path` are given; `path` is for an address below the connection's `url`",
            )),
            (Some(url), None, _) => Url::parse(url),
            (None, path, Some(base)) => Url::parse(base)?.below(path.as_deref().unwrap_or_default()),
            (None, _, None) => Err(Error::config(
                "no address is given; write `url`, or a `connection` with a `url` and a `path` below it",
            )),
        }
    }
}
