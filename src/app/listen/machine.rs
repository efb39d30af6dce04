//! What this machine is called, and at which addresses it is reached.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The machine's host name; none when it has none.
pub fn name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty() && name != "(none)").then(|| name.to_owned())
}

/// The machine's own addresses, loopback included, smallest first.
///
/// The kernel's tables are read as text, since asking it any other way needs unsafe code.
pub fn addresses() -> Vec<IpAddr> {
    let v4 = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut all: BTreeSet<IpAddr> = local_v4(&v4).into_iter().map(IpAddr::V4).collect();
    all.extend(v6.lines().filter_map(local_v6).map(IpAddr::V6));
    all.insert(IpAddr::V4(Ipv4Addr::LOCALHOST));
    all.into_iter().collect()
}

/// In `fib_trie` an address of the machine is a leaf `|-- 10.0.0.7` followed by `/32 host LOCAL`.
fn local_v4(table: &str) -> Vec<Ipv4Addr> {
    let mut leaf: Option<Ipv4Addr> = None;
    let mut found = Vec::new();
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(leaf.take());
        }
    }
    found
}

/// In `if_inet6` a line begins with 32 hex digits.
fn local_v6(line: &str) -> Option<Ipv6Addr> {
    let digits = line.split_whitespace().next()?;
    u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from_bits)
}

/// Where people reach a bound address: itself, or for "every address" each of the machine's own that
/// another machine can use, this machine's loopback last.
pub fn reached_at(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let mut all: Vec<IpAddr> =
        addresses().into_iter().filter(|ip| bound.is_ipv6() || ip.is_ipv4()).collect();
    all.sort_by_key(IpAddr::is_loopback);
    all.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_understood() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 192.168.1.0\n        /24 link UNICAST\n     \
                     |-- 192.168.1.5\n        /32 host LOCAL\n     |-- 192.168.1.255\n        /32 link BROADCAST\n";
        assert_eq!(local_v4(table), ["192.168.1.5".parse::<Ipv4Addr>().unwrap()]);
        let line = "fe80000000000000000000000000001a 02 40 20 80     eth0";
        assert_eq!(local_v6(line), "fe80::1a".parse().ok());
        assert!(addresses().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
