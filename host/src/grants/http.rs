//! The HTTP requests that a step may make, and whose certificates it trusts for them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::address_template::AddressTemplate;
use super::capability::{Capability, SpecRequest};
use super::connect::{check_host, check_named};
use super::endpoint::{Endpoint, HttpScope};
use super::grant::GrantRequest;
use super::template::{Template, written_as_text};
use crate::digest::sha256_of;
use crate::error::{Report, listed};

/// The methods and address of HTTP requests, such as `GET,POST {config.url}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpTemplate(AddressTemplate);

impl HttpTemplate {
    /// # Errors
    /// Says which form is expected.
    pub fn parse(text: &str) -> Result<Self, Report> {
        AddressTemplate::http(text).map(Self)
    }

    fn template(&self) -> &Template {
        self.0.template()
    }

    /// The address that it asks for.
    pub fn address(&self) -> &AddressTemplate {
        &self.0
    }
}

written_as_text!(HttpTemplate);

impl SpecRequest for Vec<HttpTemplate> {
    fn templates(&self) -> Vec<&Template> {
        self.iter().map(HttpTemplate::template).collect()
    }

    fn addresses(&self) -> Vec<&AddressTemplate> {
        self.iter().map(|wanted| &wanted.0).collect()
    }
}

/// HTTP requests.
pub struct Http;

/// Trusted roots that replace the machine's.
pub struct Roots;

impl Capability for Http {
    type Wanted = Vec<HttpTemplate>;
    type Granted = Vec<HttpScope>;

    const IMPORTS: &'static [&'static str] = &["wasi:http/outgoing-handler", "wasi:http/types"];
    const WANTS_TO: &'static str = "call by HTTP";

    fn grant(wanted: &Vec<HttpTemplate>, request: &GrantRequest<'_>) -> Result<Vec<HttpScope>, Report> {
        allowed_scopes(request, wanted)
    }

    fn words(granted: &Vec<HttpScope>, note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        granted.iter().map(|scope| format!("call `{scope}`{}", note(&scope.endpoint.host))).collect()
    }

    fn endpoints(granted: &Vec<HttpScope>) -> Vec<Endpoint> {
        granted.iter().map(|scope| scope.endpoint.clone()).collect()
    }
}

impl Capability for Roots {
    type Wanted = Vec<Template>;
    /// PEM texts.
    type Granted = Vec<String>;
    const WANTS_TO: &'static str = "trust for HTTP the roots in";

    fn grant(wanted: &Vec<Template>, request: &GrantRequest<'_>) -> Result<Vec<String>, Report> {
        allowed_roots(request, wanted)
    }

    fn words(granted: &Vec<String>, _note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        let words = "trust for HTTPS only the roots in its config, not the machine's";
        if granted.is_empty() { Vec::new() } else { vec![words.to_owned()] }
    }

    /// The digest of each text.
    fn json(granted: &Vec<String>) -> Value {
        granted.iter().map(|pem| json!({"sha256": sha256_of(pem.as_bytes())})).collect()
    }
}

/// The HTTP scopes that the templates expand to.
///
/// # Errors
/// If one is not allowed.
pub fn allowed_scopes(request: &GrantRequest<'_>, wanted: &[HttpTemplate]) -> Result<Vec<HttpScope>, Report> {
    let mut scopes = Vec::new();
    for HttpTemplate(address) in wanted {
        for text in address.expand(request, "call")? {
            scopes.push(allowed_scope(request, address, &text)?);
        }
    }
    Ok(scopes)
}

fn allowed_scope(request: &GrantRequest<'_>, template: &AddressTemplate, text: &str) -> Result<HttpScope, Report> {
    allowed(request, text, |endpoint| check_host(request, template, endpoint))
}

/// The scope of one request for an address that the author wrote, such as `GET https://example.com/x.csv`.
///
/// # Errors
/// If it is not allowed.
pub fn allowed_address(request: &GrantRequest<'_>, text: &str) -> Result<HttpScope, Report> {
    allowed(request, text, |endpoint| check_named(request, endpoint))
}

fn allowed(
    request: &GrantRequest<'_>,
    text: &str,
    check: impl FnOnce(&Endpoint) -> Result<(), Report>,
) -> Result<HttpScope, Report> {
    let step = request.step;
    let scope =
        HttpScope::parse(text).map_err(|why| Report::input(format!("step `{step}` cannot call by HTTP: {why}")))?;
    match &request.policy.http {
        None => check(&scope.endpoint)?,
        Some(allowed) if allowed.iter().any(|allowed| allowed.covers(&scope)) => {}
        Some(allowed) => {
            let all: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            let known = listed(all.iter().map(String::as_str));
            return Err(Report::input(format!("step `{step}` may not call `{scope}`; the policy allows: {known}"))
                .hint("add it to `http` of the policy"));
        }
    }
    Ok(scope)
}

/// Checks that a template of roots is all of the author's writing.
///
/// # Errors
/// If it has literal text.
pub fn has_no_text_of_its_own(template: &Template) -> Result<(), Report> {
    if template.literals().next().is_none() {
        return Ok(());
    }
    Err(Report::input("the driver brings roots for HTTPS of its own")
        .hint("a driver may trust roots that its config names, such as `{connection.ca}`; ask whoever made it"))
}

/// The PEM texts that `templates` expand to. Only the author decides whom a step trusts: each must be a field that the
/// author wrote, never a driver's own text or default.
fn allowed_roots(request: &GrantRequest<'_>, templates: &[Template]) -> Result<Vec<String>, Report> {
    let mut roots = Vec::new();
    for template in templates {
        has_no_text_of_its_own(template)?;
        let written = template.expand(request.written)?;
        for root in template.expand(request.config)? {
            if !written.contains(&root) {
                return Err(Report::input(format!(
                    "step `{}` may not trust the roots of `{template}`: only its driver's defaults name them",
                    request.step
                ))
                .hint(format!(
                    "if it is meant, write the value of `{template}` into the step's config or connection"
                )));
            }
            roots.push(root);
        }
    }
    Ok(roots)
}
