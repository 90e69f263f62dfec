//! HTTP credentials that the host adds to requests, so that the driver never sees them. No I/O.

use std::collections::BTreeSet;

use base64::Engine;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::capability::{Capability, SpecRequest};
use super::endpoint::HttpScope;
use super::grant::GrantRequest;
use super::http::{HttpTemplate, allowed_scopes};
use super::template::{Template, values};
use crate::error::{Report, listed};
use crate::secrets::{Secret, Secrets};
use crate::untrusted::line;

/// Credentials that the host adds to requests.
pub struct Credentials;

/// What a spec requests: `{header: Authorization, value: "Bearer {config.token}", for: "GET {config.url}"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct CredentialTemplate {
    place: Place,
    value: Template,
    /// The requests that get it.
    scope: HttpTemplate,
}

/// Where a request carries a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the header of that name, in lower case.
    Header(String),
    /// In the query parameter of that name.
    Query(String),
    /// In the header `authorization`, as a user and password (RFC 7617).
    Basic,
}

/// A credential as a spec has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Template>,
    /// `USER:PASSWORD`, in place of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    basic: Option<Template>,
    #[serde(rename = "for")]
    scope: HttpTemplate,
}

/// Headers that belong to the transport, or decide which server answers.
const TRANSPORT: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl TryFrom<Written> for CredentialTemplate {
    type Error = Report;

    fn try_from(written: Written) -> Result<Self, Report> {
        let Written { header, query, value, basic, scope } = written;
        let form = "write `header` or `query` with `value`, or `basic`, and `for` with one of the templates of `http`";
        let (place, value) = match (header, query, value, basic) {
            (Some(name), None, Some(value), None) => (Place::Header(header_name(&name)?), value),
            (None, Some(name), Some(value), None) => (Place::Query(query_name(name)?), value),
            (None, None, None, Some(user)) => (Place::Basic, user),
            _ => return Err(Report::input(format!("a credential of the driver is malformed: {form}"))),
        };
        let address = scope.address();
        if address.template().text().contains(" http://") {
            return Err(Report::input(format!(
                "the driver's credential for `{}` would be sent without TLS; only an author may write `http://`",
                line(address.template().text())
            )));
        }
        Ok(Self { place, value, scope })
    }
}

impl From<CredentialTemplate> for Written {
    fn from(CredentialTemplate { place, value, scope }: CredentialTemplate) -> Self {
        let empty = Self { header: None, query: None, value: None, basic: None, scope };
        match place {
            Place::Header(name) => Self { header: Some(name), value: Some(value), ..empty },
            Place::Query(name) => Self { query: Some(name), value: Some(value), ..empty },
            Place::Basic => Self { basic: Some(value), ..empty },
        }
    }
}

fn header_name(name: &str) -> Result<String, Report> {
    let parsed = http::HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| !TRANSPORT.contains(&name.as_str()));
    parsed.map(|name| name.as_str().to_owned()).ok_or_else(|| {
        Report::input(format!("the driver's credential names `{}`, which is no header for a credential", line(name)))
    })
}

fn query_name(name: String) -> Result<String, Report> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (1..=100).contains(&name.len()) && name.chars().all(letter) {
        return Ok(name);
    }
    Err(Report::input(format!("the driver's credential names `{}`, which is no plain query parameter", line(&name))))
}

impl CredentialTemplate {
    /// The value's template.
    pub fn value(&self) -> &Template {
        &self.value
    }

    /// The template of the requests that get it.
    pub fn scope(&self) -> &HttpTemplate {
        &self.scope
    }
}

impl Place {
    fn words(&self) -> String {
        match self {
            Self::Header(name) => format!("the header `{name}`"),
            Self::Query(name) => format!("the query parameter `{name}`"),
            Self::Basic => "the header `authorization`".to_owned(),
        }
    }
}

fn options(value: &Template) -> String {
    let options: Vec<String> = value.fields().map(|field| field.join(".")).collect();
    listed(options.iter().map(String::as_str))
}

impl SpecRequest for Vec<CredentialTemplate> {
    fn templates(&self) -> Vec<&Template> {
        self.iter().map(CredentialTemplate::value).collect()
    }
}

/// A credential that a step's requests get, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CredentialGrant {
    place: Place,
    value: Template,
    scopes: Vec<HttpScope>,
}

impl Capability for Credentials {
    type Wanted = Vec<CredentialTemplate>;
    type Granted = Vec<CredentialGrant>;

    fn wanted_words(wanted: &Vec<CredentialTemplate>) -> Vec<String> {
        let words = |wanted: &CredentialTemplate| {
            let (place, from, scope) =
                (wanted.place.words(), options(&wanted.value), wanted.scope.address().template());
            format!("have the host fill {place} of `{}` from {}, which it never sees", line(scope.text()), line(&from))
        };
        wanted.iter().map(words).collect()
    }

    fn grant(wanted: &Vec<CredentialTemplate>, request: &GrantRequest<'_>) -> Result<Vec<CredentialGrant>, Report> {
        let grant = |wanted: &CredentialTemplate| {
            let scopes = allowed_scopes(request, std::slice::from_ref(&wanted.scope))?;
            check_tls(wanted, request, &scopes)?;
            Ok(CredentialGrant { place: wanted.place.clone(), value: wanted.value.clone(), scopes })
        };
        wanted.iter().map(grant).collect()
    }

    fn words(granted: &Vec<CredentialGrant>, _note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        let words = |grant: &CredentialGrant| {
            let (place, from) = (grant.place.words(), options(&grant.value));
            let scopes = grant.scopes.iter().map(|scope| {
                format!("have the host fill {place} of `{scope}` from {}, which its driver never sees", line(&from))
            });
            scopes.collect::<Vec<_>>()
        };
        granted.iter().flat_map(words).collect()
    }

    fn json(granted: &Vec<CredentialGrant>) -> Value {
        let one = |grant: &CredentialGrant| json!({"place": grant.place, "value": grant.value, "for": grant.scopes});
        granted.iter().map(one).collect()
    }
}

/// Checks that only the author sends a credential without TLS, not even a default of a driver that the policy allows.
fn check_tls(wanted: &CredentialTemplate, request: &GrantRequest<'_>, scopes: &[HttpScope]) -> Result<(), Report> {
    let Some(plain) = scopes.iter().find(|scope| !scope.tls) else { return Ok(()) };
    let by_author = GrantRequest { config: request.written, ..*request };
    let written = allowed_scopes(&by_author, std::slice::from_ref(&wanted.scope))?;
    if scopes.iter().all(|scope| scope.tls || written.contains(scope)) {
        return Ok(());
    }
    Err(Report::input(format!(
        "step `{}` would send {} to `{plain}` without TLS, and only its driver's default names that address",
        request.step,
        wanted.place.words()
    ))
    .hint("write an address that begins with `https://` into the step's config or connection"))
}

/// A credential with its value, which a step process adds to its driver's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    pub place: Place,
    /// The whole value of the header or the parameter.
    pub value: Secret,
    /// The requests that get it, and no others.
    pub scopes: Vec<HttpScope>,
}

/// The JSON pointers of the secrets that the driver does not get, because the host adds them to its requests. An option
/// that is no secret may be among them.
pub fn withheld(granted: &[CredentialGrant]) -> BTreeSet<String> {
    granted.iter().flat_map(|grant| grant.value.fields()).map(pointer).collect()
}

fn pointer(field: &[String]) -> String {
    // The names of fields in templates need no escapes.
    format!("/{}", field.join("/"))
}

/// The credentials with their values. One whose options are not all set is omitted.
///
/// # Errors
/// If a value does not fit into a header.
pub fn fill(
    step: &str,
    granted: &[CredentialGrant],
    config: &Map<String, Value>,
    secrets: &Secrets,
) -> Result<Vec<Credential>, Report> {
    let mut credentials = Vec::new();
    for grant in granted {
        let Some(text) = grant.value.filled(&|field| match secrets.get(&pointer(field)) {
            Some(secret) => Some(secret.reveal().to_owned()),
            None => values(config, field).into_iter().next(),
        }) else {
            continue;
        };
        let value = match grant.place {
            Place::Basic => format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)),
            _ => text,
        };
        if value.chars().any(char::is_control)
            || http::HeaderValue::from_str(&value).is_err() && matches!(grant.place, Place::Header(_))
        {
            return Err(Report::input(format!(
                "step `{step}`: the option {} cannot be sent in {}: it has a line break or another character that no header may have",
                options(&grant.value),
                grant.place.words()
            ))
            .hint("check the end of the secret: a file's last line break may have been copied with it"));
        }
        credentials.push(Credential {
            place: grant.place.clone(),
            value: Secret::new(value),
            scopes: grant.scopes.clone(),
        });
    }
    Ok(credentials)
}

#[cfg(test)]
#[path = "credential_tests.rs"]
mod tests;
