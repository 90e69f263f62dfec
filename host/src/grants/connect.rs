//! The hosts and ports that a step may connect to.

use super::capability::Capability;
use super::endpoint::Endpoint;
use super::grant::GrantRequest;
use super::policy::Hosts;
use super::template::Template;
use crate::error::{Report, listed};

/// Connecting to hosts.
pub struct Connect;

impl Capability for Connect {
    type Wanted = Vec<Template>;
    type Granted = Vec<Endpoint>;

    const IMPORTS: &'static [&'static str] = &["osiris:driver/tcp"];
    const WANTS_TO: &'static str = "connect to";
    const REACHES_FOR: &'static str = "a connection to any host";

    fn grant(wanted: &Vec<Template>, request: &GrantRequest<'_>) -> Result<Vec<Endpoint>, Report> {
        allowed_endpoints(request, wanted)
    }

    fn words(granted: &Vec<Endpoint>, note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        granted.iter().map(|endpoint| format!("connect to `{endpoint}`{}", note(&endpoint.host))).collect()
    }

    fn endpoints(granted: &Vec<Endpoint>) -> Vec<Endpoint> {
        granted.clone()
    }
}

/// The endpoints that `templates` expand to. Each host must be named by the author or the operator: a driver's own text
/// or default may only supply a port.
fn allowed_endpoints(request: &GrantRequest<'_>, templates: &[Template]) -> Result<Vec<Endpoint>, Report> {
    let mut endpoints = Vec::new();
    for template in templates {
        let hosts = template.before_colon();
        let written = if hosts.has_fields() { hosts.expand(request.written)? } else { Vec::new() };
        for text in template.expand(request.config)? {
            let host = text.rsplit_once(':').map_or(text.as_str(), |(host, _)| host);
            if !written.iter().any(|written| written == host) && !matches!(request.policy.hosts, Hosts::Listed(_)) {
                return Err(unnamed(request, "connect to", &text, template));
            }
            endpoints.push(allowed_endpoint(request, &text)?);
        }
    }
    Ok(endpoints)
}

fn allowed_endpoint(request: &GrantRequest<'_>, text: &str) -> Result<Endpoint, Report> {
    let wrong = |why: String| Report::input(format!("step `{}` cannot connect: {why}", request.step));
    let endpoint = Endpoint::parse(text).map_err(wrong)?;
    check_host(request, &endpoint)?;
    Ok(endpoint)
}

/// Checks that a host is named by the connections or the policy.
///
/// # Errors
/// If it is not.
pub fn check_host(request: &GrantRequest<'_>, endpoint: &Endpoint) -> Result<(), Report> {
    let step = request.step;
    let (allowed, known, cure) = match &request.policy.hosts {
        Hosts::Connections(hosts) => (
            hosts.contains(&endpoint.host),
            listed(hosts.iter().map(String::as_str)),
            "name the host in a connection of `osiris_connections.yaml`, or under `connect` of a policy",
        ),
        Hosts::Listed(endpoints) => {
            let all: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
            (endpoints.contains(endpoint), listed(all.iter().map(String::as_str)), "add it to `connect` of the policy")
        }
    };
    if allowed {
        return Ok(());
    }
    Err(Report::input(format!("step `{step}` may not connect to `{endpoint}`; allowed: {known}")).hint(cure))
}

/// The refusal of an address that only the driver names.
pub fn unnamed(request: &GrantRequest<'_>, verb: &str, text: &str, template: &Template) -> Report {
    Report::input(format!("step `{}` may not {verb} `{text}`: only its driver names it", request.step)).hint(format!(
        "write the value of `{template}` into the step's config or connection, or allow it by a policy (`--policy FILE`)"
    ))
}
