//! Which addresses on the internet are anybody's: global unicast, and nothing that leads back to this computer, its
//! network, or one that only it reaches (RFC 6890 and the IANA registries of special-purpose addresses).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// IPv4 that is no global unicast: network and length.
const NOT_GLOBAL_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // behind a carrier's NAT
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local; clouds tell secrets there
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 3),     // multicast, reserved, broadcast
];

/// IPv6 within 2000::/3 that is no global unicast.
const NOT_GLOBAL_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // Teredo, ORCHID, benchmarks and other assignments
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: IPv4 in disguise
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// RFC 6052: IPv4 behind the translator that a network without IPv4 has.
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

fn within(address: u128, network: u128, length: u32, width: u32) -> bool {
    (address ^ network) >> (width - length) == 0
}

fn global_v4(address: Ipv4Addr) -> bool {
    !NOT_GLOBAL_V4.iter().any(|(network, length)| {
        within(
            address.to_bits().into(),
            network.to_bits().into(),
            *length,
            32,
        )
    })
}

fn global_v6(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    let below = |network: Ipv6Addr, length| within(bits, network.to_bits(), length, 128);
    if below(NAT64, 96) {
        let [.., a, b, c, d] = address.octets();
        return global_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Everything else outside of 2000::/3 is loopback, mapped, compatible, local, multicast or nobody's yet.
    bits >> 125 == 1 && !NOT_GLOBAL_V6.iter().any(|(n, length)| below(*n, *length))
}

/// Whether an address may be reached on a stranger's word: where it is anybody's, or the operator allows it.
pub fn may_reach(address: IpAddr, allowed: &[IpNet]) -> bool {
    let known = allowed.iter().any(|net| net.contains(&address));
    known
        || match address {
            IpAddr::V4(v4) => global_v4(v4),
            IpAddr::V6(v6) => global_v6(v6),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_global_unicast_is_reached() {
        for (address, global) in [
            ("1.1.1.1", true),
            ("8.8.8.8", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("192.0.1.0", true),
            ("198.17.255.255", true),
            ("198.20.0.0", true),
            ("223.255.255.255", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.8", false),
            ("192.0.2.7", false),
            ("192.88.99.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.51.100.1", false),
            ("203.0.113.1", false),
            ("224.0.0.1", false),
            ("239.255.255.255", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700:4700::1111", true),
            ("2001:200::1", true),
            ("2a00:1450:4001::1", true),
            ("3ffe::1", true),
            ("64:ff9b::8.8.8.8", true),
            ("::", false),
            ("::1", false),
            ("::8.8.8.8", false),
            ("::ffff:8.8.8.8", false),
            ("::ffff:127.0.0.1", false),
            ("64:ff9b::127.0.0.1", false),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b::169.254.169.254", false),
            ("64:ff9b:1::8.8.8.8", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:2::1", false),
            ("2001:10::1", false),
            ("2001:20::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("2002:808:808::", false),
            ("3fff::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd12:3456::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("4000::1", false),
        ] {
            let ip: IpAddr = address.parse().unwrap();
            assert_eq!(may_reach(ip, &[]), global, "{address}");
        }
    }

    #[test]
    fn the_operator_allows_what_is_known() {
        let allowed = ["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let may = |address: &str| may_reach(address.parse().unwrap(), &allowed);
        assert!(may("127.0.0.1") && may("fd00::7") && may("1.1.1.1"));
        assert!(!may("10.0.0.1") && !may("::1") && !may("::ffff:127.0.0.1") && !may("fc00::1"));
    }
}
