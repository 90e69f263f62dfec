//! The HTTP requests that a step may make, and whose certificates it trusts for them.

use serde_json::{Value, json};

use super::capability::Capability;
use super::connect::{check_host, unnamed};
use super::endpoint::{Endpoint, HttpScope};
use super::grant::GrantRequest;
use super::policy::Hosts;
use super::template::Template;
use crate::digest::sha256_of;
use crate::error::{Report, listed};

/// HTTP requests.
pub struct Http;

/// Trusted roots that replace the machine's.
pub struct Roots;

impl Capability for Http {
    type Wanted = Vec<Template>;
    type Granted = Vec<HttpScope>;

    const IMPORTS: &'static [&'static str] = &["wasi:http/outgoing-handler", "wasi:http/types"];
    const WANTS_TO: &'static str = "call by HTTP";
    const REACHES_FOR: &'static str = "a call by HTTP";

    fn grant(wanted: &Vec<Template>, request: &GrantRequest<'_>) -> Result<Vec<HttpScope>, Report> {
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

/// The HTTP scopes that `templates` expand to. Each host must be named by the author or the operator.
fn allowed_scopes(request: &GrantRequest<'_>, templates: &[Template]) -> Result<Vec<HttpScope>, Report> {
    let mut scopes = Vec::new();
    for template in templates {
        // The destination of a request is determined by the value at the start of the address.
        let written = template.address().map_or(Ok(Vec::new()), |address| address.expand(request.written))?;
        let written: Vec<HttpScope> =
            written.iter().filter_map(|address| HttpScope::parse(&format!("GET {address}")).ok()).collect();
        for text in template.expand(request.config)? {
            let scope = allowed_scope(request, &text)?;
            let named = |written: &HttpScope| written.tls == scope.tls && written.endpoint == scope.endpoint;
            let listed = request.policy.http.is_some() || matches!(request.policy.hosts, Hosts::Listed(_));
            if !listed && !written.iter().any(named) {
                return Err(unnamed(request, "call", &text, template));
            }
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

fn allowed_scope(request: &GrantRequest<'_>, text: &str) -> Result<HttpScope, Report> {
    let step = request.step;
    let scope =
        HttpScope::parse(text).map_err(|why| Report::input(format!("step `{step}` cannot call by HTTP: {why}")))?;
    match &request.policy.http {
        None => check_host(request, &scope.endpoint)?,
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

/// The PEM texts that `templates` expand to. Only the author decides whom a step trusts: each must be a field that the
/// author wrote, never a driver's own text or default.
fn allowed_roots(request: &GrantRequest<'_>, templates: &[Template]) -> Result<Vec<String>, Report> {
    let mut roots = Vec::new();
    for template in templates {
        if template.literals().next().is_some() {
            return Err(Report::input("the driver brings roots for HTTPS of its own").hint(
                "a driver may trust roots that its config names, such as `{connection.ca}`; ask whoever made it",
            ));
        }
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
