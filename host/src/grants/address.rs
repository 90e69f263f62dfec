//! Decides which addresses a granted host may turn out to have. No I/O.
//!
//! A name is only a name: whoever answers for it in the DNS could point it at a machine's own
//! services, at its neighbours, or at a cloud's metadata. So a name reaches public addresses, and
//! private ones only where the operator said that it may; an address reaches itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    Public,
    /// A network of one's own: RFC 1918, RFC 6598, RFC 4193.
    Private,
    /// This machine.
    Loopback,
    /// The wire itself, where clouds keep their metadata.
    LinkLocal,
    /// Nothing that a connection can mean: unspecified, multicast, reserved, documentation.
    Special,
}

/// Metadata services that lie outside the link-local range.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The zone of an address, after the registries of special-purpose addresses (RFC 6890). An IPv6
/// address that carries an IPv4 one is where that one is.
pub fn zone(address: IpAddr) -> Zone {
    if METADATA.contains(&address) {
        return Zone::LinkLocal;
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
        // What is global, but for Teredo and documentation.
        [0x2001, 0 | 0xdb8, ..] => Zone::Special,
        [0x2000..=0x3fff, ..] => Zone::Public,
        _ => Zone::Special,
    }
}

/// Whether a connection to the granted `host` may lead to `address`. `private` says that the
/// operator lets the host lie in a private network.
///
/// # Errors
/// Says where the address is, and the cure where there is one.
pub fn permit(host: &str, address: IpAddr, private: bool) -> Result<(), String> {
    let zone = zone(address);
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
        Zone::LinkLocal | Zone::Special => {
            Err(format!("`{host}` leads to {address}, where no name may lead (link-local, metadata or reserved)"))
        }
    }
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
            ("169.254.169.254", Zone::LinkLocal),
            ("::ffff:169.254.169.254", Zone::LinkLocal),
            ("fe80::1", Zone::LinkLocal),
            ("fd00:ec2::254", Zone::LinkLocal),
            ("100.100.100.200", Zone::LinkLocal),
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
    fn a_name_leads_where_it_may_and_an_address_to_itself() {
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
            ("169.254.169.254", "169.254.169.254", false, true),
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
}
