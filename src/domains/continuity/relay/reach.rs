//! Who may be reached, and where the echo may listen: this machine, and what the settings name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{PoisonError, RwLock};

use crate::base::fault::Fault;
use crate::domains::continuity::settings::ContinuitySettings;

/// This machine's name everywhere; it is not asked for anywhere.
const LOCALHOST: &str = "localhost";
/// This machine's addresses, in the order in which they are tried.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Where to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// One of these, the first that answers.
    Known(Vec<SocketAddr>),
    /// A name that the settings vouch for.
    Named(String, u16),
}

/// A peer as the settings name it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Peer {
    /// An address, or a name in small letters.
    host: String,
    /// The only port; none for every one.
    port: Option<u16>,
}

/// What is allowed.
#[derive(Debug)]
pub(super) struct Reach {
    peers: Vec<Peer>,
    addresses: Vec<IpAddr>,
    /// Ports of this machine where the box itself answers.
    own: RwLock<Vec<u16>>,
}

impl Reach {
    pub(super) fn of(settings: &ContinuitySettings) -> Self {
        Self {
            peers: settings.peers.iter().map(|text| Peer::read(text)).collect(),
            addresses: settings.relay_addresses.iter().filter_map(|text| address(text)).collect(),
            own: RwLock::default(),
        }
    }

    /// Tells at which ports the box itself answers: what comes from this machine may do more there than
    /// whoever has a key for the relay, who must not come in by it.
    pub(super) fn own_ports(&self, ports: Vec<u16>) {
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = ports;
    }

    fn is_own(&self, port: u16) -> bool {
        self.own.read().unwrap_or_else(PoisonError::into_inner).contains(&port)
    }

    /// Whether a place turned out to be one of the box's own doors, whatever name led there.
    ///
    /// # Errors
    /// `invalid_target`.
    pub(super) fn check(&self, place: SocketAddr) -> Result<(), Fault> {
        let address = place.ip().to_canonical();
        // An address of this machine can be bound, and no other can.
        let here = address.is_loopback()
            || address.is_unspecified()
            || std::net::UdpSocket::bind((address, 0)).is_ok();
        if here && self.is_own(place.port()) { Err(own_door()) } else { Ok(()) }
    }

    /// The address to listen at.
    ///
    /// # Errors
    /// `tcp_start_failed` when it is neither of this machine alone nor one of the settings.
    pub(super) fn bindable(&self, host: &str) -> Result<IpAddr, Fault> {
        let [loopback, _] = LOOPBACK;
        let address = if is_localhost(host) { Some(loopback) } else { literal(host) };
        // The address as it was asked for is bound: a mapped one is compared by what it stands for.
        address
            .filter(|a| {
                let plain = a.to_canonical();
                plain.is_loopback() || self.addresses.iter().any(|b| b.to_canonical() == plain)
            })
            .ok_or_else(|| {
                Fault::invalid(
                    "tcp_start_failed",
                    "The host must be an address of this machine alone (127.0.0.1), or one of \
                     the setting continuity.relay_addresses.",
                )
            })
    }

    /// Where a message to `host` goes. No name is looked up that the settings do not hold.
    ///
    /// # Errors
    /// `invalid_target`.
    pub(super) fn reachable(&self, host: &str, port: u16) -> Result<Target, Fault> {
        let host = host.trim();
        if host.is_empty() || port == 0 {
            return Err(Fault::invalid(
                "invalid_target",
                "A host and a port from 1 to 65535 are needed.",
            ));
        }
        let near =
            is_localhost(host) || literal(host).is_some_and(|a| a.to_canonical().is_loopback());
        if near && self.is_own(port) {
            return Err(own_door());
        }
        if is_localhost(host) {
            return Ok(Target::Known(LOOPBACK.map(|a| SocketAddr::new(a, port)).to_vec()));
        }
        let address = literal(host).map(|a| a.to_canonical());
        if let Some(near) = address.filter(IpAddr::is_loopback) {
            return Ok(Target::Known(vec![SocketAddr::new(near, port)]));
        }
        let name = address.map_or_else(|| host.to_ascii_lowercase(), |a| a.to_string());
        let known = self
            .peers
            .iter()
            .any(|peer| peer.host == name && peer.port.is_none_or(|only| only == port));
        match (known, address) {
            (true, Some(address)) => Ok(Target::Known(vec![SocketAddr::new(address, port)])),
            (true, None) => Ok(Target::Named(name, port)),
            (false, _) => Err(Fault::invalid(
                "invalid_target",
                "The target is neither this machine nor a peer of the setting continuity.peers.",
            )),
        }
    }
}

impl Peer {
    /// Reads `ADDRESS`, `NAME`, `ADDRESS:PORT`, `NAME:PORT` or `[IPv6]:PORT`.
    fn read(text: &str) -> Self {
        let text = text.trim();
        if let Some(address) = literal(text) {
            return Self { host: address.to_canonical().to_string(), port: None };
        }
        if let Ok(place) = text.parse::<SocketAddr>() {
            return Self { host: place.ip().to_canonical().to_string(), port: Some(place.port()) };
        }
        let parted =
            text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parted {
            Some((host, port)) => Self { host: host.to_ascii_lowercase(), port: Some(port) },
            None => Self { host: text.to_ascii_lowercase(), port: None },
        }
    }
}

fn own_door() -> Fault {
    Fault::invalid(
        "invalid_target",
        "The box itself answers there: the relay does not lead into it.",
    )
}

/// An address of the settings; one that is none is told, since the echo will not listen there.
fn address(text: &str) -> Option<IpAddr> {
    let read = literal(text.trim());
    if read.is_none() {
        tracing::warn!(
            address = text,
            "continuity.relay_addresses has something that is no address"
        );
    }
    read
}

fn is_localhost(host: &str) -> bool {
    host.eq_ignore_ascii_case(LOCALHOST)
}

/// An address in its usual spelling, brackets allowed: shorter, octal and other spellings are names, and
/// names are not looked up.
fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach() -> Reach {
        Reach::of(&ContinuitySettings {
            peers: [
                "10.0.0.7",
                "10.0.0.8:5056",
                "[fd00::8]:9",
                "fd00::9",
                "Depot2.local:7",
                "toto",
            ]
            .map(str::to_owned)
            .to_vec(),
            relay_addresses: vec!["10.0.0.1".into(), "nonsense".into()],
            ..ContinuitySettings::default()
        })
    }

    #[test]
    fn this_machine_and_the_peers_are_reached_and_nobody_else() {
        let reach = reach();
        for (host, port) in [
            ("127.0.0.1", 1),
            ("127.8.9.1", 65_535),
            ("::1", 80),
            ("[::1]", 80),
            ("::ffff:127.0.0.1", 80),
            ("localhost", 80),
            ("LOCALHOST", 80),
            (" 127.0.0.1 ", 80),
            ("10.0.0.7", 80),
            ("::ffff:10.0.0.7", 80),
            ("10.0.0.8", 5056),
            ("fd00::8", 9),
            ("fd00:0::9", 12),
            ("depot2.LOCAL", 7),
            ("toto", 8),
        ] {
            assert!(reach.reachable(host, port).is_ok(), "{host}:{port}");
        }
        for (host, port) in [
            ("", 80),
            ("127.0.0.1", 0),
            ("10.0.0.8", 5057),
            ("10.0.0.9", 80),
            ("0.0.0.0", 80),
            ("::", 80),
            ("depot2.local", 8),
            ("localhost.", 80),
            ("localhost.example", 80),
            ("127.1", 80),
            ("2130706433", 80),
            ("0x7f.0.0.1", 80),
            ("0177.0.0.1", 80),
            ("127.0.0.1:80", 80),
            ("127.0.0.1\0", 80),
            ("user@127.0.0.1", 80),
            ("fe80::1%eth0", 80),
            ("[127.0.0.1]", 80),
            ("example.org", 80),
        ] {
            let refused = reach.reachable(host, port).map_err(|f| f.code);
            assert_eq!(refused, Err("invalid_target"), "{host}:{port}");
        }
        let mapped = reach.reachable("::ffff:127.0.0.1", 80).unwrap();
        assert_eq!(mapped, Target::Known(vec!["127.0.0.1:80".parse().unwrap()]));
    }

    #[test]
    fn the_box_itself_is_not_reached_by_any_name() {
        let reach = reach();
        reach.own_ports(vec![8080, 5055]);
        for host in [
            "127.0.0.1",
            "127.9.9.9",
            "localhost",
            "LOCALHOST",
            "::1",
            "[::1]",
            "::ffff:127.0.0.1",
            "[::ffff:7f00:1]",
        ] {
            for port in [8080, 5055] {
                let refused = reach.reachable(host, port).map_err(|f| f.code);
                assert_eq!(refused, Err("invalid_target"), "{host}:{port}");
            }
            assert!(reach.reachable(host, 8081).is_ok(), "{host}");
        }
        assert!(reach.reachable("10.0.0.7", 8080).is_ok(), "another machine");
        let place = |text: &str| reach.check(text.parse().unwrap()).map_err(|f| f.code);
        assert_eq!(place("[::ffff:127.0.0.1]:8080"), Err("invalid_target"));
        assert_eq!(place("0.0.0.0:5055"), Err("invalid_target"));
        assert_eq!(place("127.0.0.1:8081"), Ok(()));
        assert_eq!(place("192.0.2.1:8080"), Ok(()), "no address of this machine");
    }

    #[test]
    fn the_echo_listens_to_this_machine_unless_the_settings_say_more() {
        let reach = reach();
        for host in ["127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.2", "10.0.0.1"] {
            assert!(reach.bindable(host).is_ok(), "{host}");
        }
        for host in ["", "0.0.0.0", "::", "10.0.0.2", "example.org", "nonsense", "10.0.0.7"] {
            let refused = reach.bindable(host).map_err(|f| f.code);
            assert_eq!(refused, Err("tcp_start_failed"), "{host}");
        }
    }
}
