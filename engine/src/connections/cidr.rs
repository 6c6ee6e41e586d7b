//! Networks in CIDR notation, IPv4 and IPv6 (RFC 4632, RFC 4291 section 2.3).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network a token may be used from. Bits of the address beyond the prefix are dropped, and an IPv4 network
/// written in its IPv6-mapped form is the IPv4 network.
///
/// ```
/// use scim_engine::connections::cidr::Network;
/// let network: Network = "10.1.2.3/8".parse().unwrap();
/// assert_eq!(network.to_string(), "10.0.0.0/8");
/// assert!(network.contains("::ffff:10.9.9.9".parse().unwrap()));
/// assert!(!network.contains("11.0.0.1".parse().unwrap()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Address bits and prefix length, 0 to 32.
    V4(u32, u8),
    /// Address bits and prefix length, 0 to 128.
    V6(u128, u8),
}

/// The text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANetwork;

impl Network {
    /// Whether the address lies in the network; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (Self::V4(base, prefix), IpAddr::V4(address)) => mask4(address.to_bits(), prefix) == base,
            (Self::V6(base, prefix), IpAddr::V6(address)) => mask6(address.to_bits(), prefix) == base,
            _ => false,
        }
    }

    fn new(address: IpAddr, prefix: Option<u8>) -> Option<Self> {
        match address {
            IpAddr::V4(address) => {
                let prefix = prefix.unwrap_or(32);
                (prefix <= 32).then(|| Self::V4(mask4(address.to_bits(), prefix), prefix))
            }
            IpAddr::V6(address) => {
                let prefix = prefix.unwrap_or(128);
                match address.to_ipv4_mapped() {
                    Some(mapped) if (96..=128).contains(&prefix) => Self::new(IpAddr::V4(mapped), Some(prefix - 96)),
                    _ => (prefix <= 128).then(|| Self::V6(mask6(address.to_bits(), prefix), prefix)),
                }
            }
        }
    }
}

fn mask4(bits: u32, prefix: u8) -> u32 {
    bits & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask6(bits: u128, prefix: u8) -> u128 {
    bits & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(decimal(prefix).ok_or(NotANetwork)?)),
            None => (text, None),
        };
        let address = address.parse().map_err(|_| NotANetwork)?;
        Self::new(address, prefix).ok_or(NotANetwork)
    }
}

/// A prefix length without sign or leading zeros.
fn decimal(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(bits, prefix) => write!(f, "{}/{prefix}", Ipv4Addr::from_bits(bits)),
            Self::V6(bits, prefix) => write!(f, "{}/{prefix}", Ipv6Addr::from_bits(bits)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_parse_to_their_canonical_form_or_not_at_all() {
        let check = |text: &str, canonical: Option<&str>| {
            let parsed = text.parse::<Network>().ok();
            assert_eq!(parsed.map(|n| n.to_string()).as_deref(), canonical, "{text}");
            if let Some(network) = parsed {
                assert_eq!(network.to_string().parse(), Ok(network), "{text} round-trips");
            }
        };
        check("10.0.0.0/8", Some("10.0.0.0/8"));
        check("10.1.2.3/8", Some("10.0.0.0/8"));
        check("192.0.2.7", Some("192.0.2.7/32"));
        check("0.0.0.0/0", Some("0.0.0.0/0"));
        check("2001:db8:1::5/32", Some("2001:db8::/32"));
        check("::/0", Some("::/0"));
        check("::1", Some("::1/128"));
        check("::ffff:10.2.3.4/104", Some("10.0.0.0/8"));
        check("::ffff:10.2.3.4", Some("10.2.3.4/32"));
        for wrong in
            ["", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0/8"]
        {
            check(wrong, None);
        }
        for wrong in
            ["::/129", "::/256", "::/1000", "10.0.0.0/8/8", " 10.0.0.0/8", "fe80::1%eth0/64", "[::1]", "example.com"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn a_network_contains_its_own_addresses_only() {
        let check = |network: &str, address: &str, contained: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), contained, "{network} {address}");
        };
        check("10.0.0.0/8", "10.255.255.255", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("10.0.0.0/8", "::ffff:10.0.0.1", true);
        check("192.0.2.128/25", "192.0.2.127", false);
        check("192.0.2.128/25", "192.0.2.128", true);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("::/0", "2001:db8::1", true);
        check("::/0", "10.0.0.1", false);
        check("2001:db8::/33", "2001:db8:7fff::1", true);
        check("2001:db8::/33", "2001:db8:8000::1", false);
        check("::1", "::1", true);
    }
}
