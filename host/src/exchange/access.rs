//! Where an exchange is, and what it is reached with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Report, listed};
use crate::grants::endpoint::{Endpoint, host_name};
use crate::pipeline::params::Environment;
use crate::secrets::Secret;

/// The family of connections that say how an object store is reached.
pub const FAMILY: &str = "s3";

/// The region of a store that names none.
pub(super) const REGION: &str = "us-east-1";

/// The fields of such a connection.
const FIELDS: [&str; 6] = ["endpoint", "region", "access_key_id", "secret_access_key", "session_token", "allow_http"];

/// Variables by which a machine of a cloud gets credentials that change.
const ROLE_VARIABLES: [&str; 6] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// Where an exchange is: `s3://bucket/prefix`, or `file:///folder`, which all machines share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    S3 {
        bucket: String,
        /// Without slashes at its ends; may be empty.
        prefix: String,
    },
    /// An absolute path.
    Folder(PathBuf),
}

impl FromStr for Location {
    type Err = Report;

    fn from_str(url: &str) -> Result<Self, Report> {
        let wrong = |why: &str| {
            Report::input(format!("`{url}` is no exchange: {why}"))
                .hint("write `s3://bucket/prefix`, or `file:///folder` for a folder that all machines share")
        };
        if let Some(folder) = url.strip_prefix("file://") {
            let path = Path::new(folder);
            let is_plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
            return if path.is_absolute() && is_plain && path != Path::new("/") {
                Ok(Self::Folder(path.to_owned()))
            } else {
                Err(wrong("its folder is not an absolute path"))
            };
        }
        let Some(rest) = url.strip_prefix("s3://") else { return Err(wrong("it is neither `s3://` nor `file://`")) };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_bucket_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
        if !(1..=63).contains(&bucket.len()) || !bucket.chars().all(is_bucket_char) || bucket.starts_with('.') {
            return Err(wrong("its bucket has no valid name"));
        }
        let prefix = prefix.trim_end_matches('/');
        let is_name = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.=+@".contains(c))
                && !matches!(part, "." | "..")
        };
        if !prefix.is_empty() && !prefix.split('/').all(is_name) {
            return Err(wrong("its prefix may have letters, digits, `-`, `_`, `.`, `=`, `+` and `@` between slashes"));
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(path) => write!(f, "file://{}", path.display()),
        }
    }
}

/// How this machine reaches an exchange.
#[derive(Debug, Clone)]
pub struct Access {
    pub location: Location,
    pub service: Service,
    pub credentials: Credentials,
}

/// The service of an object store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its address, if it is not Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether it may be reached without TLS. This machine itself always may.
    #[serde(default)]
    pub allow_http: bool,
}

/// Where the credentials of an object store come from.
#[derive(Debug, Clone)]
pub enum Credentials {
    Key(Key),
    /// What a cloud gives its machines; the variables that say how.
    OfMachine(Vec<(String, String)>),
}

/// The key of an object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
}

/// How a worker reaches the exchange of its host. It travels with a step, and is stored nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Directions {
    S3 {
        bucket: String,
        prefix: String,
        service: Service,
        key: Key,
    },
    /// A folder that both share; where it is on its machine, the worker was told by whoever started it.
    Folder {},
}

impl Directions {
    /// Where the worker connects to, if it is to a store that has a name.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let Self::S3 { service, .. } = self else { return None };
        let Some(endpoint) = &service.endpoint else {
            let region = service.region.as_deref().unwrap_or(REGION);
            return Some(Endpoint { host: format!("s3.{region}.amazonaws.com"), port: 443 });
        };
        let uri: http::Uri = endpoint.parse().ok()?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        Some(Endpoint { host: host_name(uri.host()?)?, port })
    }
}

impl Access {
    /// How to reach the exchange at `location`, by a connection of the family `s3` if there are `fields` of one, otherwise by
    /// the usual environment variables.
    ///
    /// # Errors
    /// If the fields are not those of such a connection.
    pub fn new(
        location: Location,
        fields: Option<&Map<String, Value>>,
        environment: &Environment,
    ) -> Result<Self, Report> {
        if matches!(location, Location::Folder(_)) {
            return Ok(Self { location, service: Service::default(), credentials: Credentials::OfMachine(Vec::new()) });
        }
        let (service, credentials) = match fields {
            Some(fields) => of_connection(fields)?,
            None => of_environment(environment),
        };
        if let Some(endpoint) = &service.endpoint {
            check_endpoint(endpoint, service.allow_http)?;
        }
        Ok(Self { location, service, credentials })
    }

    /// How a worker reaches it that was given `directions`; `shared` is the folder that it was told of.
    ///
    /// # Errors
    /// If it was told of none, or the directions lead nowhere.
    pub fn directed(directions: &Directions, shared: Option<&Path>) -> Result<Self, Report> {
        match directions {
            Directions::Folder {} => {
                let shared = shared.ok_or_else(|| {
                    Report::input("the worker was not told where the shared folder is that steps exchange data through")
                        .hint("start it as `osiris worker --exchange file:///FOLDER`, with the folder's path on its machine")
                })?;
                Ok(Self {
                    location: Location::Folder(shared.to_owned()),
                    service: Service::default(),
                    credentials: Credentials::OfMachine(Vec::new()),
                })
            }
            Directions::S3 { bucket, prefix, service, key } => {
                let location = format!("s3://{bucket}/{prefix}").parse()?;
                if let Some(endpoint) = &service.endpoint {
                    check_endpoint(endpoint, service.allow_http)?;
                }
                Ok(Self { location, service: service.clone(), credentials: Credentials::Key(key.clone()) })
            }
        }
    }

    /// The secrets among them.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let key = if let Credentials::Key(key) = &self.credentials { Some(key) } else { None };
        key.into_iter().flat_map(|key| [Some(&key.secret_access_key), key.session_token.as_ref()]).flatten()
    }
}

fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<(), Report> {
    let uri: Option<http::Uri> = endpoint.parse().ok();
    let parts = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?)));
    let is_local = |host: &str| {
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    match parts {
        Some(("https", _)) => Ok(()),
        Some(("http", host)) if allow_http || is_local(host) => Ok(()),
        Some(("http", _)) => Err(Report::input(format!("the object store at `{endpoint}` has no TLS: what steps exchange could be read on the way"))
            .hint("use an `https://` address; in a network that you trust, `AWS_ALLOW_HTTP=true`, or `allow_http: true` in the connection")),
        _ => Err(Report::input(format!("`{endpoint}` is no address of an object store"))
            .hint("write for example `https://s3.example.com`")),
    }
}

fn of_connection(fields: &Map<String, Value>) -> Result<(Service, Credentials), Report> {
    let wrong = |what: String| Report::input(format!("the connection of the exchange {what}"));
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(wrong(format!("has the unknown field `{unknown}`; known: {}", listed(FIELDS))));
    }
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(wrong(format!("needs text in `{name}`"))),
    };
    let allow_http = match fields.get("allow_http") {
        None => false,
        Some(Value::Bool(allowed)) => *allowed,
        Some(_) => return Err(wrong("needs `true` or `false` in `allow_http`".to_owned())),
    };
    let service = Service { endpoint: text("endpoint")?, region: text("region")?, allow_http };
    let (Some(access_key_id), Some(secret)) = (text("access_key_id")?, text("secret_access_key")?) else {
        return Err(wrong("needs `access_key_id` and `secret_access_key`".to_owned())
            .hint("write them as `${NAME}`, with the values in the environment"));
    };
    let session_token = text("session_token")?.map(Secret::new);
    let key = Key { access_key_id, secret_access_key: Secret::new(secret), session_token };
    Ok((service, Credentials::Key(key)))
}

fn of_environment(environment: &Environment) -> (Service, Credentials) {
    let text = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
    let service = Service {
        endpoint: text("AWS_ENDPOINT_URL_S3").or_else(|| text("AWS_ENDPOINT_URL")),
        region: text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION")),
        allow_http: text("AWS_ALLOW_HTTP").is_some_and(|value| value.eq_ignore_ascii_case("true")),
    };
    let credentials = match (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY")) {
        (Some(access_key_id), Some(secret)) => Credentials::Key(Key {
            access_key_id,
            secret_access_key: Secret::new(secret),
            session_token: text("AWS_SESSION_TOKEN").map(Secret::new),
        }),
        _ => Credentials::OfMachine(
            ROLE_VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), text(name)?))).collect(),
        ),
    };
    (service, credentials)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_exchange_is_a_prefix_of_a_bucket_or_a_folder() {
        for (url, shown) in [
            ("s3://lake/osiris/dev/", "s3://lake/osiris/dev"),
            ("s3://lake", "s3://lake"),
            ("file:///mnt/shared", "file:///mnt/shared"),
        ] {
            assert_eq!(url.parse::<Location>().unwrap().to_string(), shown);
        }
        for (url, why) in [
            ("/mnt/shared", "neither"),
            ("gs://lake", "neither"),
            ("s3://", "bucket"),
            ("s3://Lake/x", "bucket"),
            ("s3://lake/../other", "prefix"),
            ("s3://lake/a//b", "prefix"),
            ("s3://lake/a b", "prefix"),
            ("file://mnt", "absolute"),
            ("file:///mnt/../etc", "absolute"),
            ("file:///", "absolute"),
        ] {
            let report = url.parse::<Location>().unwrap_err();
            assert!(report.message.contains(why), "{url}: {}", report.message);
        }
    }

    #[test]
    fn a_connection_wins_over_the_environment_and_no_secret_is_shown() {
        let location: Location = "s3://lake".parse().unwrap();
        let variables = environment(&[
            ("AWS_ACCESS_KEY_ID", "ENVKEY"),
            ("AWS_SECRET_ACCESS_KEY", "hidden"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ]);
        let access = Access::new(location.clone(), None, &variables).unwrap();
        assert_eq!(access.service.endpoint.as_deref(), Some("http://127.0.0.1:1"));
        assert!(!format!("{access:?}").contains("hidden"));
        assert_eq!(access.secrets().map(Secret::reveal).collect::<Vec<_>>(), ["hidden"]);
        let fields =
            json!({"access_key_id": "FILEKEY", "secret_access_key": "x", "endpoint": "https://s3.example.com"});
        let access = Access::new(location.clone(), fields.as_object(), &variables).unwrap();
        let Credentials::Key(key) = &access.credentials else { panic!("it has a key") };
        assert_eq!((key.access_key_id.as_str(), access.service.region), ("FILEKEY", None));
        let access = Access::new(location.clone(), None, &environment(&[("AWS_ROLE_ARN", "arn:x")])).unwrap();
        assert!(matches!(access.credentials, Credentials::OfMachine(variables) if variables.len() == 1));
        for (fields, why) in [
            (json!({"access_key_id": "a"}), "needs `access_key_id` and `secret_access_key`"),
            (json!({"access_key": "a"}), "the unknown field `access_key`; known: `endpoint`"),
            (json!({"access_key_id": 1, "secret_access_key": "b"}), "needs text in `access_key_id`"),
            (json!({"access_key_id": "a", "secret_access_key": "b", "allow_http": "yes"}), "`allow_http`"),
            (
                json!({"access_key_id": "a", "secret_access_key": "b", "endpoint": "http://s3.example.com"}),
                "has no TLS",
            ),
            (json!({"access_key_id": "a", "secret_access_key": "b", "endpoint": "s3.example.com"}), "is no address"),
        ] {
            let report = Access::new(location.clone(), fields.as_object(), &Environment::new()).unwrap_err();
            assert!(report.message.contains(why), "{}", report.message);
        }
        let fields =
            json!({"access_key_id": "a", "secret_access_key": "b", "endpoint": "http://inside", "allow_http": true});
        assert!(Access::new(location, fields.as_object(), &Environment::new()).is_ok());
    }

    #[test]
    fn a_host_names_no_folder_of_its_workers() {
        let directions = Directions::Folder {};
        assert_eq!(serde_json::to_string(&directions).unwrap(), r#"{"kind":"folder"}"#);
        let refused = Access::directed(&directions, None).unwrap_err();
        assert!(refused.message.contains("was not told"), "{}", refused.message);
        let access = Access::directed(&directions, Some(Path::new("/mnt"))).unwrap();
        assert_eq!(access.location, Location::Folder("/mnt".into()));
        let text = r#"{"kind":"s3","bucket":"lake","prefix":"../x","service":{},"key":{"access_key_id":"a","secret_access_key":"b"}}"#;
        assert!(Access::directed(&serde_json::from_str(text).unwrap(), None).is_err());
    }
}
