//! The driver's options, as in `spec.yaml`: those of Python Osiris, and some more.

use std::collections::BTreeMap;

use osiris_sdk::http::{Client, Patience, Url};
use osiris_sdk::{Error, Result, context};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub access: Access,
    pub data_type: DataType,
    pub event_types: Vec<String>,
    pub lookback_window_minutes: u32,
    pub initial_since: Option<String>,
    pub page_size: u32,
    pub deduplication_enabled: bool,
    pub flatten_properties: bool,
    pub dtype: BTreeMap<String, String>,
    pub hold_mb: u64,
}

/// PostHog's address, the project and the retries: all that `check` and `discover` receive.
#[derive(Debug, Deserialize)]
pub struct Access {
    #[serde(default)]
    connection: Connection,
    custom_base_url: Option<String>,
    project_id: Option<Project>,
    region: Option<Region>,
    #[serde(flatten)]
    patience: Patience,
}

#[derive(Debug, Default, Deserialize)]
struct Connection {
    url: Option<String>,
    custom_base_url: Option<String>,
    project_id: Option<Project>,
    region: Option<Region>,
}

/// A project's number, as text or as number.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Project {
    Text(String),
    Number(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Region {
    Us,
    Eu,
    SelfHosted,
}

impl Region {
    /// PostHog's own address for the region.
    fn address(self) -> Option<&'static str> {
        match self {
            Self::Us => Some("https://us.posthog.com"),
            Self::Eu => Some("https://eu.posthog.com"),
            Self::SelfHosted => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    Events,
    Persons,
    Sessions,
    PersonDistinctIds,
}

impl Access {
    /// The address for the project's queries.
    ///
    /// # Errors
    /// `config` if the address or project is missing or contradicts the region.
    pub fn address(&self) -> Result<Url> {
        let Connection { url, custom_base_url, .. } = &self.connection;
        let region = self.region.or(self.connection.region);
        let base = self.custom_base_url.as_ref().or(custom_base_url.as_ref()).or(url.as_ref());
        let Some(base) = base else {
            let known = region.unwrap_or(Region::Us).address().unwrap_or("https://posthog.example.com");
            return Err(Error::config(format!(
                "no address is given, and a step reaches only hosts that are named: add `url: {known}` to the connection"
            )));
        };
        let url = Url::parse(base)?;
        let other = match region {
            Some(Region::Us) => "eu.",
            Some(Region::Eu) => "us.",
            _ => "",
        };
        let host = url.authority();
        if !other.is_empty() && host.starts_with(other) && host.ends_with("posthog.com") {
            return Err(Error::config(format!("`{base}` is not in the `region` that is given; correct one of both")));
        }
        let project = self.project_id.as_ref().or(self.connection.project_id.as_ref());
        let project = match project {
            Some(Project::Text(text)) => text.trim().to_owned(),
            Some(Project::Number(number)) => number.to_string(),
            None => String::new(),
        };
        if project.is_empty() || !project.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(Error::config(
                "`project_id` is missing or malformed; it is the number in the project's settings",
            ));
        }
        url.below(&format!("api/projects/{project}/query/"))
    }

    /// A client with the configured retries and the key.
    ///
    /// # Errors
    /// `config` if there is no key.
    pub fn client(&self) -> Result<Client> {
        let key = match context::secret("api_key") {
            None => context::secret("connection.api_key"),
            own => own,
        };
        let key = key.ok_or_else(|| Error::config("`api_key` is missing: a personal API key that may query"))?;
        let client = self.patience.client(concat!("osiris-posthog-extractor/", env!("CARGO_PKG_VERSION")));
        Ok(client.secret_header("authorization", &format!("Bearer {key}")).header("accept", "application/json"))
    }
}
