//! The public addresses. All others belong to a host, a network or a protocol, and must not be
//! reachable through a URL of a stranger.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::Network;

/// Returns `true` if an address is public, by the registries of special-purpose addresses (RFC 6890
/// and later additions).
///
/// Of IPv6 only the allocated global unicast range counts (2000::/3), so ranges that embed an IPv4
/// address (mapped, NAT64, 6to4, Teredo), and any range defined in the future, are not public.
pub(super) fn is_public(address: IpAddr) -> bool {
    let special = |network: &Network| network.contains(address);
    match address {
        IpAddr::V4(_) => !SPECIAL_V4.iter().any(special),
        IpAddr::V6(_) => GLOBAL_V6.contains(address) && !SPECIAL_V6.iter().any(special),
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u32) -> Network {
    Network::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits)
}

const fn v6(first: u16, second: u16, bits: u32) -> Network {
    Network::new(IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0)), bits)
}

const SPECIAL_V4: [Network; 16] = [
    // This network (RFC 791), private (RFC 1918), shared between carriers and customers (RFC 6598).
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    // Loopback (RFC 1122), link-local (RFC 3927) with the clouds' metadata services, private.
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    // Protocol assignments (RFC 6890), documentation (RFC 5737), the former relays of 6to4 (RFC
    // 7526), private.
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    // Benchmarks (RFC 2544), documentation.
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    // A public address that means the host's own platform on every machine of Azure.
    v4(168, 63, 129, 16, 32),
    // Multicast (RFC 5771), reserved (RFC 1112) with broadcast.
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

const GLOBAL_V6: Network = v6(0x2000, 0, 3);

const SPECIAL_V6: [Network; 4] = [
    // Protocol assignments (RFC 2928) with Teredo, benchmarks and ORCHIDs; documentation (RFC
    // 3849).
    v6(0x2001, 0, 23),
    v6(0x2001, 0xdb8, 32),
    // 6to4 (RFC 3056); documentation (RFC 9637).
    v6(0x2002, 0, 16),
    v6(0x3fff, 0, 20),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    /// The first and the last of each special range, and the public neighbours on both sides where
    /// there are some.
    #[test]
    fn every_special_range_ends_where_it_ends() {
        let ranges = [
            ("", "0.0.0.0", "0.255.255.255", "1.0.0.0"),
            ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
            ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"),
            ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
            ("168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"),
            ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
            ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"),
            ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"),
            ("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"),
            ("192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"),
            ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"),
            ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"),
            ("198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"),
            ("203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"),
            ("223.255.255.255", "224.0.0.0", "255.255.255.255", ""),
            ("", "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"),
            (
                "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "2001::",
                "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
                "2001:200::",
            ),
            (
                "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
                "2001:db8::",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                "2001:db9::",
            ),
            ("2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"),
            (
                "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "3fff::",
                "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
                "3fff:1000::",
            ),
            ("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
        ];
        for (before, first, last, after) in ranges {
            assert!(!public(first) && !public(last), "{first} to {last} is special");
            for neighbour in [before, after] {
                assert!(neighbour.is_empty() || public(neighbour), "{neighbour} is public");
            }
        }
    }

    #[test]
    fn the_addresses_that_attackers_try_are_not_public() {
        for address in [
            "127.0.0.1",
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!public(address), "{address} is taken for public");
        }
    }

    #[test]
    fn ordinary_servers_are_public() {
        for address in ["1.1.1.1", "8.8.8.8", "140.82.121.4", "2606:4700::6810:1", "2a00:1450:4001:830::200e"] {
            assert!(public(address), "{address} is not taken for public");
        }
    }
}
