//! Which hosts a sandbox may reach: those of the grant of the step that runs in it, and no others.

use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs};

use crate::grants::endpoint::Endpoint;
use crate::protocol::Reachable;

/// What a sandbox's `allowOut` lists. Sandboxes with the same list can serve the same steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress(BTreeSet<String>);

impl Egress {
    /// The hosts that a step was granted, and the one of the exchange. E2B recognises names only in HTTP on port 80 and TLS on port 443; for other ports, the
    /// addresses that the names have now are allowed too.
    pub fn of(reachable: &Reachable, exchange: Option<Endpoint>) -> Self {
        let mut allowed = BTreeSet::new();
        for endpoint in reachable.endpoints.iter().chain(&exchange) {
            allowed.insert(endpoint.host.clone());
            if endpoint.host.parse::<IpAddr>().is_err() && !matches!(endpoint.port, 80 | 443) {
                allowed.extend(addresses(&endpoint.host, endpoint.port));
            }
        }
        Self(allowed)
    }

    pub fn allowed(&self) -> impl serde::Serialize + '_ {
        &self.0
    }
}

/// The IPv4 addresses of a host, none if it has none; E2B's rules know no others.
#[expect(clippy::disallowed_methods, reason = "finds addresses for rules, and connects to none of them")]
fn addresses(host: &str, port: u16) -> Vec<String> {
    let found = (host, port).to_socket_addrs().into_iter().flatten();
    found.filter(|address| address.is_ipv4()).map(|address| address.ip().to_string()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_hosts_of_a_grant_are_allowed_and_nothing_else() {
        let of = |endpoints: &[&str]| {
            let endpoints = endpoints.iter().map(|text| Endpoint::parse(text).unwrap()).collect();
            let egress = Egress::of(&Reachable { endpoints, ..Reachable::default() }, None);
            egress.0.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(&[]), "");
        assert_eq!(of(&["api.example:443", "api.example:80", "10.0.0.7:5432"]), "10.0.0.7 api.example");
        // A name alone would not let another port through.
        assert_eq!(of(&["localhost:5432"]), "127.0.0.1 localhost");
        assert_eq!(of(&["nothing.invalid:5432"]), "nothing.invalid");
    }
}
