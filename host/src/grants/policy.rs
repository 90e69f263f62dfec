//! The operator's ceiling, which no step may exceed whatever its driver requests. No I/O.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::error::Report;
use crate::grants::endpoint::{self, Endpoint, HttpScope};
use crate::grants::limits::{Limits, PolicyLimits};
use crate::pipeline::connections::Connections;
use crate::pipeline::params::Environment;
use crate::pipeline::yaml;

/// The most that steps may be granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Folders and files that steps may read: relative to the base folder, or absolute.
    pub read: Vec<PathBuf>,
    /// Folders and files below the base folder that steps may write.
    pub write: Vec<PathBuf>,
    pub hosts: Hosts,
    /// Hosts that may be in a private network, or on this machine.
    pub private_hosts: BTreeSet<String>,
    /// HTTP methods and addresses that steps may call; `None` leaves the decision to `hosts`.
    pub http: Option<Vec<HttpScope>>,
    /// Whether every connection must be encrypted, to a server that proved its identity.
    pub verified_tls: bool,
    pub limits: Limits,
}

/// Hosts that steps may connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// The hosts that the connections file names, on any port.
    Connections(BTreeSet<String>),
    /// The hosts that the policy names.
    Listed(Vec<Endpoint>),
    /// Whatever a step's config or its driver names: for tests of a driver, which say whether anything is connected at all.
    Any,
}

/// The hosts that the connections file names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionHosts {
    pub all: BTreeSet<String>,
    /// The hosts whose connection has `private_network: true`.
    pub private: BTreeSet<String>,
}

impl ConnectionHosts {
    /// The hosts that any connection names, in its field `host` or in an address such as `url`.
    pub fn of(connections: &Connections, environment: &Environment) -> Self {
        let mut hosts = Self::default();
        for (private, fields) in connections.resolved(environment) {
            let named: BTreeSet<String> = fields.iter().flat_map(|(key, value)| hosts_in(key, value)).collect();
            if private {
                hosts.private.extend(named.iter().cloned());
            }
            hosts.all.extend(named);
        }
        hosts
    }
}

/// The hosts in a connection's field: one, or a list such as `brokers`.
fn hosts_in(key: &str, value: &Value) -> Vec<String> {
    let texts = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    texts.iter().filter_map(|text| host(key, text.as_str()?)).collect()
}

/// The fields that hold `host:port` or a host, or a list of them. Another field might be a password of that form, and the
/// hosts of connections are shown in errors.
const HOST_FIELDS: [&str; 9] =
    ["host", "hosts", "address", "addresses", "at", "broker", "brokers", "servers", "bootstrap_servers"];

/// The host in a text: of an `http[s]://` address in any field.
fn host(key: &str, text: &str) -> Option<String> {
    let named = || endpoint::host_name(text).or_else(|| Endpoint::parse(text).ok().map(|endpoint| endpoint.host));
    let address = || HttpScope::parse(&format!("GET {text}")).ok().map(|scope| scope.endpoint.host);
    if HOST_FIELDS.contains(&key) { named().or_else(address) } else { address() }
}

impl Policy {
    /// The policy if the operator gave none: files below the base folder, and the hosts that the connections file
    /// names.
    pub fn default_with(connections: ConnectionHosts) -> Self {
        Self {
            read: vec![PathBuf::from(".")],
            write: vec![PathBuf::from(".")],
            hosts: Hosts::Connections(connections.all),
            private_hosts: connections.private,
            http: None,
            verified_tls: false,
            limits: Limits::CEILING,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    read: Option<Vec<PathBuf>>,
    write: Option<Vec<PathBuf>>,
    connect: Option<Vec<String>>,
    private_hosts: Option<BTreeSet<String>>,
    http: Option<Vec<String>>,
    tls: Option<Tls>,
    #[serde(default)]
    limits: PolicyLimits,
}

/// The encryption that a policy demands of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Tls {
    VerifyFull,
}

/// Parses a policy; whatever it omits is as without a policy. `file` names it in errors.
///
/// # Errors
/// A [`Report`] with file and line, or naming the value that is wrong.
pub fn parse(text: &str, file: &str, connections: ConnectionHosts) -> Result<Policy, Report> {
    let written: File = yaml::parse(text, "policy", file)?;
    let default = Policy::default_with(connections);
    let wrong = |what: String| {
        Report::input(format!("cannot read policy `{file}`: {what}")).hint("docs/security.md shows a whole policy")
    };
    let hosts = match written.connect {
        None => default.hosts,
        Some(hosts) => {
            Hosts::Listed(hosts.iter().map(|host| Endpoint::parse(host)).collect::<Result<_, _>>().map_err(wrong)?)
        }
    };
    let http = written.http.map(|scopes| scopes.iter().map(|scope| HttpScope::parse(scope)).collect()).transpose();
    let private = written.private_hosts.map(|hosts| {
        let named = |host: &String| endpoint::host_name(host).ok_or_else(|| format!("`{host}` is not a host"));
        hosts.iter().map(named).collect::<Result<BTreeSet<_>, _>>()
    });
    Ok(Policy {
        read: written.read.unwrap_or(default.read),
        write: written.write.unwrap_or(default.write),
        hosts,
        private_hosts: private.transpose().map_err(wrong)?.unwrap_or(default.private_hosts),
        http: http.map_err(wrong)?,
        verified_tls: written.tls == Some(Tls::VerifyFull),
        limits: written.limits.0,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pipeline::connections;

    fn hosts_of(text: &str) -> ConnectionHosts {
        ConnectionHosts::of(&connections::parse(text, "c.yaml").unwrap(), &Environment::new())
    }

    #[test]
    fn hosts_are_collected_from_all_connections() {
        let text = "connections: {pg: {a: {host: Db.example.com}, b: {host: \"${UNSET}\"}}, http: {c: {url: 'https://api.example.com/v1', note: 'a b'}}}";
        let hosts = hosts_of(text);
        assert_eq!(hosts.all.into_iter().collect::<Vec<_>>(), ["api.example.com", "db.example.com"]);
        assert!(hosts.private.is_empty());
        let text = "connections: {k: {a: {brokers: ['B.example.com:9092', 'c.example.com:9092', 5], password: 'd:1'}, b: {at: '127.0.0.1:1'}, c: {host: 'e:5'}}}";
        assert_eq!(
            hosts_of(text).all.into_iter().collect::<Vec<_>>(),
            ["127.0.0.1", "b.example.com", "c.example.com", "e"]
        );
        let text =
            "connections: {pg: {a: {host: inside, private_network: true}, b: {host: outside, private_network: false}}}";
        assert_eq!(hosts_of(text).private.into_iter().collect::<Vec<_>>(), ["inside"]);
    }

    #[test]
    fn a_policy_overrides_only_what_it_names() {
        let hosts = ConnectionHosts { all: BTreeSet::from(["db".to_owned()]), ..ConnectionHosts::default() };
        assert_eq!(parse("{}", "p.yaml", hosts.clone()).unwrap(), Policy::default_with(hosts.clone()));
        let text = "read: [in, /data]\nconnect: ['db:5432']\nhttp: ['GET https://api.example.com/v1']\n\
                    limits: {guest_memory: 64MB, wall_seconds: 5}\n";
        let policy = parse(text, "p.yaml", hosts.clone()).unwrap();
        assert_eq!(policy.read, [PathBuf::from("in"), PathBuf::from("/data")]);
        assert_eq!(policy.write, Policy::default_with(hosts).write);
        assert_eq!(policy.hosts, Hosts::Listed(vec![Endpoint::parse("db:5432").unwrap()]));
        assert_eq!(policy.limits.guest_memory_bytes, 64_000_000);
        assert_eq!(policy.limits.wall_seconds, 5);
        assert_eq!(policy.limits.spill_bytes, Limits::CEILING.spill_bytes);
    }

    #[test]
    fn an_unknown_limit_is_refused_with_its_line_and_the_nearest_name() {
        let report = parse("limits:\n  spil: 1GB\n", "p.yaml", ConnectionHosts::default()).unwrap_err();
        assert!(report.message.contains("line 2") && report.message.contains("`spil`"), "{}", report.message);
        assert_eq!(report.hint.as_deref(), Some("did you mean `spill`?"));
        let ceiling = parse("limits: {readers: 100000}", "p.yaml", ConnectionHosts::default()).unwrap().limits;
        assert_eq!(ceiling, Limits::CEILING);
    }

    #[test]
    fn private_hosts_are_compared_like_hosts() {
        let text = "private_hosts: ['DB.Internal', 'warehouse.', '[FD00::0:1]']\ntls: verify-full\n";
        let policy = parse(text, "p.yaml", ConnectionHosts::default()).unwrap();
        assert_eq!(policy.private_hosts, ["db.internal", "fd00::1", "warehouse"].map(str::to_owned).into());
        assert!(policy.verified_tls);
    }

    #[test]
    fn wrong_policies_are_refused() {
        for text in [
            "reed: [x]",
            "limits: {output: much}",
            "limits: {outputs: 1GB}",
            "connect: [db]",
            "http: ['https://x']",
            "limits: {readers: -1}",
            "tls: require",
            "tls: true",
            "private_hosts: ['a b']",
            "private_hosts: ['db:5432']",
        ] {
            assert!(parse(text, "p.yaml", ConnectionHosts::default()).is_err(), "{text}");
        }
    }
}
