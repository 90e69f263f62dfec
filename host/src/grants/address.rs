//! Decides which addresses a granted host may resolve to. No I/O.
//!
//! A host name does not prove where it leads: whoever controls its DNS could point it at a machine's own services, at its neighbours, or at
//! a cloud's metadata. So a name reaches public addresses, and private ones only if the operator allows it; an IP
//! address reaches exactly itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of network that an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    Public,
    /// A private network: RFC 1918, RFC 6598, RFC 4193.
    Private,
    /// This machine.
    Loopback,
    /// The local link.
    LinkLocal,
    /// A cloud's own services for the machine, which give its credentials to any caller.
    Metadata,
    /// Not a destination: unspecified, multicast, reserved, documentation.
    Special,
}

/// Metadata services, each with its cloud. Some have public addresses, or addresses in private networks.
const METADATA_V4: [([u8; 4], u32); 7] = [
    // Amazon, Google, Azure, Oracle, DigitalOcean, Hetzner, OpenStack; also Amazon's time and name servers.
    ([169, 254, 169, 0], 24),
    // Amazon's credentials for containers: ECS and EKS.
    ([169, 254, 170, 0], 24),
    // Tencent.
    ([169, 254, 0, 23], 32),
    // Scaleway.
    ([169, 254, 42, 42], 32),
    // Azure's WireServer, a public address.
    ([168, 63, 129, 16], 32),
    // Alibaba.
    ([100, 100, 100, 200], 32),
    // Oracle's former cloud (Classic).
    ([192, 0, 0, 192], 32),
];

/// The same over IPv6.
const METADATA_V6: [([u16; 8], u32); 5] = [
    // Amazon: instances, EKS, and name servers.
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32),
    // Google.
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0], 32),
    // Scaleway.
    ([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
    // Oracle.
    ([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
    // OpenStack.
    ([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
];

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => METADATA_V4
            .iter()
            .any(|(start, bits)| (u32::from(address) ^ u32::from(Ipv4Addr::from(*start))).leading_zeros() >= *bits),
        IpAddr::V6(address) => METADATA_V6
            .iter()
            .any(|(start, bits)| (u128::from(address) ^ u128::from(Ipv6Addr::from(*start))).leading_zeros() >= *bits),
    }
}

/// The zone of an address, by the registries of special-purpose addresses (RFC 6890). An IPv6 address that embeds an
/// IPv4 address has the zone of the latter.
pub fn zone(address: IpAddr) -> Zone {
    if is_metadata(address) {
        return Zone::Metadata;
    }
    match address {
        IpAddr::V4(address) => zone_v4(address),
        IpAddr::V6(address) => zone_v6(address),
    }
}

fn zone_v4(address: Ipv4Addr) -> Zone {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, ..) => Zone::Loopback,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Zone::Private,
        (169, 254, _) => Zone::LinkLocal,
        (0 | 224..=255, ..) | (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => {
            Zone::Special
        }
        _ => Zone::Public,
    }
}

fn zone_v6(address: Ipv6Addr) -> Zone {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        zone(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    };
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0] if g == 0 && h == 1 => Zone::Loopback,
        [0, 0, 0, 0, 0, 0] if g == 0 && h == 0 => Zone::Special,
        // IPv4-mapped, IPv4-compatible, NAT64 and 6to4.
        [0, 0, 0, 0, 0, 0xffff | 0] | [0x64, 0xff9b, 0, 0, 0, 0] => carried(g, h),
        [0x2002, high, low, ..] => carried(high, low),
        [0xfe80..=0xfebf, ..] => Zone::LinkLocal,
        [0xfc00..=0xfdff, ..] => Zone::Private,
        // 2000::/3 is global, except for Teredo and documentation.
        [0x2001, 0 | 0xdb8, ..] => Zone::Special,
        [0x2000..=0x3fff, ..] => Zone::Public,
        _ => Zone::Special,
    }
}

/// Whether a connection to the granted `host` may use `address`. `private` is true if the operator allows the host to
/// be in a private network.
///
/// # Errors
/// Says where the address leads, and the remedy if there is one.
pub fn permit(host: &str, address: IpAddr, private: bool) -> Result<(), String> {
    let zone = zone(address);
    if zone == Zone::Metadata {
        return Err(format!(
            "`{host}` leads to {address}, a cloud's metadata service, which gives the machine's credentials away"
        ));
    }
    if let Ok(literal) = host.parse::<IpAddr>() {
        return if literal == address && zone != Zone::Special {
            Ok(())
        } else {
            Err(format!("`{host}` is no address that a connection can be made to"))
        };
    }
    if host == "localhost" || host.ends_with(".localhost") {
        return if zone == Zone::Loopback {
            Ok(())
        } else {
            Err(format!("`{host}` leads to {address}, not to this machine"))
        };
    }
    match zone {
        Zone::Public => Ok(()),
        Zone::Private | Zone::Loopback if private => Ok(()),
        Zone::Private | Zone::Loopback => Err(format!(
            "`{host}` leads to {address}, which is {}; write `private_network: true` in its connection, or its name \
             under `private_hosts` of the policy, if it should",
            if zone == Zone::Loopback { "this machine itself" } else { "in a private network" }
        )),
        Zone::LinkLocal | Zone::Special | Zone::Metadata => {
            Err(format!("`{host}` leads to {address}, where no name may lead (link-local or reserved)"))
        }
    }
}

/// Checks that a connection to the granted `host` did not end at this machine; `own` is the address that it came from,
/// and `peer` the one that it went to. If a machine connects to its own public address, both are equal, and the service
/// there may not be meant to be public.
///
/// # Errors
/// The refusal, with the remedy.
pub fn permit_end(host: &str, own: IpAddr, peer: IpAddr, private: bool) -> Result<(), String> {
    let named = host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok();
    if own.to_canonical() != peer.to_canonical() || named || private {
        return Ok(());
    }
    Err(format!(
        "`{host}` leads to {peer}, which is this machine itself; write `private_network: true` in its connection, or its \
         name under `private_hosts` of the policy, if it should"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_address_has_its_zone() {
        let table = [
            ("8.8.8.8", Zone::Public),
            ("172.32.0.1", Zone::Public),
            ("100.128.0.1", Zone::Public),
            ("2606:4700::1111", Zone::Public),
            ("::ffff:8.8.8.8", Zone::Public),
            ("10.1.2.3", Zone::Private),
            ("172.31.255.255", Zone::Private),
            ("192.168.0.1", Zone::Private),
            ("100.64.0.1", Zone::Private),
            ("fd12::1", Zone::Private),
            ("::ffff:10.0.0.1", Zone::Private),
            ("64:ff9b::a00:1", Zone::Private),
            ("2002:a00:1::1", Zone::Private),
            ("127.0.0.1", Zone::Loopback),
            ("127.255.255.254", Zone::Loopback),
            ("::1", Zone::Loopback),
            ("::ffff:127.0.0.1", Zone::Loopback),
            ("::127.0.0.1", Zone::Loopback),
            ("169.254.1.1", Zone::LinkLocal),
            ("fe80::1", Zone::LinkLocal),
            ("169.254.169.254", Zone::Metadata),
            ("169.254.170.2", Zone::Metadata),
            ("169.254.170.23", Zone::Metadata),
            ("169.254.0.23", Zone::Metadata),
            ("::ffff:169.254.169.254", Zone::Metadata),
            ("64:ff9b::a9fe:a9fe", Zone::Metadata),
            ("168.63.129.16", Zone::Metadata),
            ("::ffff:168.63.129.16", Zone::Metadata),
            ("2002:a83f:8110::", Zone::Metadata),
            ("168.63.129.17", Zone::Public),
            ("100.100.100.200", Zone::Metadata),
            ("fd00:ec2::254", Zone::Metadata),
            ("fd00:ec2::23", Zone::Metadata),
            ("fd00:ec2:ffff::1", Zone::Metadata),
            ("fd00:ec3::1", Zone::Private),
            ("fd20:ce::254", Zone::Metadata),
            ("fd20:cf::254", Zone::Private),
            ("fe80::a9fe:a9fe", Zone::Metadata),
            ("0.0.0.0", Zone::Special),
            ("0.1.2.3", Zone::Special),
            ("224.0.0.1", Zone::Special),
            ("255.255.255.255", Zone::Special),
            ("198.18.0.1", Zone::Special),
            ("::", Zone::Special),
            ("ff02::1", Zone::Special),
            ("2001::1", Zone::Special),
            ("2001:db8::1", Zone::Special),
        ];
        for (address, expected) in table {
            assert_eq!(zone(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_name_reaches_only_permitted_zones_and_an_address_only_itself() {
        let table = [
            ("db.example.com", "8.8.8.8", false, true),
            ("db.example.com", "10.0.0.1", false, false),
            ("db.example.com", "10.0.0.1", true, true),
            ("db.example.com", "127.0.0.1", false, false),
            ("db.example.com", "127.0.0.1", true, true),
            ("db.example.com", "169.254.169.254", true, false),
            ("db.example.com", "0.0.0.0", true, false),
            ("localhost", "127.0.0.1", false, true),
            ("localhost", "::1", false, true),
            ("localhost", "10.0.0.1", true, false),
            ("a.localhost", "127.0.0.1", false, true),
            ("10.0.0.1", "10.0.0.1", false, true),
            ("169.254.1.1", "169.254.1.1", false, true),
            ("169.254.169.254", "169.254.169.254", true, false),
            ("168.63.129.16", "168.63.129.16", true, false),
            ("db.example.com", "168.63.129.16", true, false),
            ("db.example.com", "fd20:ce::254", true, false),
            ("db.example.com", "fd00:ec2::23", true, false),
            ("10.0.0.1", "10.0.0.2", true, false),
            ("0.0.0.0", "0.0.0.0", true, false),
        ];
        for (host, address, private, permitted) in table {
            assert_eq!(
                permit(host, address.parse().unwrap(), private).is_ok(),
                permitted,
                "{host} {address} {private}"
            );
        }
    }

    #[test]
    fn a_name_that_leads_to_this_machine_is_refused_unless_allowed() {
        for (host, own, peer, private, permitted) in [
            ("db.example.com", "203.0.113.5", "203.0.113.5", false, false),
            ("db.example.com", "::ffff:203.0.113.5", "203.0.113.5", false, false),
            ("db.example.com", "2001:470::1", "2001:470::1", false, false),
            ("db.example.com", "203.0.113.5", "203.0.113.5", true, true),
            ("db.example.com", "203.0.113.5", "203.0.113.6", false, true),
            ("203.0.113.5", "203.0.113.5", "203.0.113.5", false, true),
            ("localhost", "127.0.0.1", "127.0.0.1", false, true),
        ] {
            let (own, peer) = (own.parse().unwrap(), peer.parse().unwrap());
            assert_eq!(permit_end(host, own, peer, private).is_ok(), permitted, "{host} {own} {peer}");
        }
    }
}
