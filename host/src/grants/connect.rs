//! The hosts and ports that a step may connect to.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address::{self, Zone};
use super::address_template::AddressTemplate;
use super::capability::{Capability, SpecRequest};
use super::endpoint::Endpoint;
use super::grant::GrantRequest;
use super::policy::Hosts;
use super::template::{Template, written_as_text};
use crate::error::{Report, listed};

/// A host and port to connect to, such as `{connection.host}:{connection.port}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConnectTemplate(AddressTemplate);

impl ConnectTemplate {
    /// # Errors
    /// Says which form is expected.
    pub fn parse(text: &str) -> Result<Self, Report> {
        AddressTemplate::connect(text).map(Self)
    }

    fn template(&self) -> &Template {
        self.0.template()
    }
}

written_as_text!(ConnectTemplate);

impl SpecRequest for Vec<ConnectTemplate> {
    fn templates(&self) -> Vec<&Template> {
        self.iter().map(ConnectTemplate::template).collect()
    }

    fn addresses(&self) -> Vec<&AddressTemplate> {
        self.iter().map(|wanted| &wanted.0).collect()
    }
}

/// Connecting to hosts.
pub struct Connect;

impl Capability for Connect {
    type Wanted = Vec<ConnectTemplate>;
    type Granted = Vec<Endpoint>;

    const IMPORTS: &'static [&'static str] = &["osiris:driver/tcp"];
    const WANTS_TO: &'static str = "connect to";

    fn grant(wanted: &Vec<ConnectTemplate>, request: &GrantRequest<'_>) -> Result<Vec<Endpoint>, Report> {
        allowed_endpoints(request, wanted)
    }

    fn words(granted: &Vec<Endpoint>, note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        granted.iter().map(|endpoint| format!("connect to `{endpoint}`{}", note(&endpoint.host))).collect()
    }

    fn endpoints(granted: &Vec<Endpoint>) -> Vec<Endpoint> {
        granted.clone()
    }
}

/// The endpoints that the templates expand to.
fn allowed_endpoints(request: &GrantRequest<'_>, wanted: &[ConnectTemplate]) -> Result<Vec<Endpoint>, Report> {
    let mut endpoints = Vec::new();
    for ConnectTemplate(address) in wanted {
        for text in address.expand(request, "connect to")? {
            let wrong = |why: String| Report::input(format!("step `{}` cannot connect: {why}", request.step));
            let endpoint = Endpoint::parse(&text).map_err(wrong)?;
            check_host(request, address, &endpoint)?;
            endpoints.push(endpoint);
        }
    }
    Ok(endpoints)
}

/// Checks that a host is named by the connections or the policy, or fixed by the driver where the policy leaves that to
/// the lock.
///
/// # Errors
/// If it is not.
pub fn check_host(request: &GrantRequest<'_>, template: &AddressTemplate, endpoint: &Endpoint) -> Result<(), Report> {
    match &request.policy.hosts {
        Hosts::Any => Ok(()),
        Hosts::Connections(_) if template.fixed_host().is_some() => check_fixed(request, endpoint),
        _ => check_named(request, endpoint),
    }
}

/// Checks that a host which only the driver names is one of the internet. One in a private network, or on this machine,
/// must be named by the policy.
fn check_fixed(request: &GrantRequest<'_>, endpoint: &Endpoint) -> Result<(), Report> {
    let host = endpoint.host.as_str();
    let local = host == "localhost" || host.ends_with(".localhost") || request.policy.private_hosts.contains(host);
    let public = host.parse::<IpAddr>().is_ok_and(|address| address::zone(address) == Zone::Public);
    if !local && (public || host.parse::<IpAddr>().is_err()) {
        return Ok(());
    }
    Err(Report::input(format!(
        "step `{}` may not connect to `{endpoint}`: only its driver names it, and it is not a host of the internet",
        request.step
    ))
    .hint("if it is meant, list it under `connect` of a policy (`--policy FILE`)"))
}

/// Checks that a host is named by the connections or the policy.
///
/// # Errors
/// If it is not.
pub fn check_named(request: &GrantRequest<'_>, endpoint: &Endpoint) -> Result<(), Report> {
    let step = request.step;
    let (allowed, known, cure) = match &request.policy.hosts {
        Hosts::Any => return Ok(()),
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
