//! Requests that may not come in: to a name that is not ours, or from a page that is not ours.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN, UPGRADE};
use axum::http::{HeaderMap, Method, Request};
use serde::{Deserialize, Serialize};

use super::peer::Peer;
use crate::base::fault::{Fault, Kind};

/// Names that always are this machine.
const LOOPBACK_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
/// The name the box gives itself on a site's network.
const OWN_NAME: &str = "ilot.local";

/// Which `Host` headers the box answers for, besides its own addresses.
///
/// An address is taken when it is the one the connection came to, so the machine's own addresses
/// need no list; names are taken only when they are known, which is what stops DNS rebinding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostRules {
    /// Further names and addresses, without port, for instance `depot.lan`. Default: none.
    pub names: Vec<String>,
    /// Whether the port in `Host` must be the one the connection came to. Default: false, since a
    /// router may forward another port.
    pub check_port: bool,
}

/// Judges requests before they are routed.
#[derive(Debug, Clone)]
pub struct Guard {
    names: Vec<String>,
    check_port: bool,
}

impl Guard {
    /// A guard for `rules`; `machine` is the machine's own host name.
    pub fn new(rules: &HostRules, machine: Option<&str>) -> Self {
        let mut names: Vec<String> = LOOPBACK_NAMES.iter().map(ToString::to_string).collect();
        names.push(OWN_NAME.to_owned());
        if let Some(machine) = machine.filter(|name| !name.is_empty()) {
            names.push(machine.to_ascii_lowercase());
            names.push(format!("{}.local", machine.to_ascii_lowercase()));
        }
        names.extend(rules.names.iter().map(|name| bare(name).to_ascii_lowercase()));
        Self { names, check_port: rules.check_port }
    }

    /// Lets a request pass, or says why not.
    ///
    /// # Errors
    /// `host_unknown` (421) for a name that is not ours, `host_malformed` (400) for one that cannot
    /// be read, `cross_site` (403) for an unsafe request or a socket asked for by a foreign page.
    pub fn check<B>(&self, request: &Request<B>, peer: Peer) -> Result<(), Fault> {
        if peer.console {
            return Ok(());
        }
        let host = host_of(request)?;
        self.check_host(host, peer)?;
        if is_unsafe(request) { check_site(request.headers(), host) } else { Ok(()) }
    }

    /// The name a request was sent to, without port, when the box answers for it.
    ///
    /// # Errors
    /// `host_unknown` (421), `host_malformed` (400).
    pub fn host<'a, B>(&self, request: &'a Request<B>, peer: Peer) -> Result<&'a str, Fault> {
        let host = host_of(request)?;
        self.check_host(host, peer)?;
        split(host).map(|(name, _)| name).ok_or_else(malformed)
    }

    fn check_host(&self, host: &str, peer: Peer) -> Result<(), Fault> {
        let (name, port) = split(host).ok_or_else(malformed)?;
        if self.check_port
            && let (Some(port), Some(local)) = (port, peer.local)
            && port != local.port()
        {
            return Err(unknown());
        }
        if self.names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        let Ok(address) = bare(name).parse::<IpAddr>() else { return Err(unknown()) };
        let reached =
            peer.local.is_some_and(|local| local.ip().to_canonical() == address.to_canonical());
        if reached || address.is_loopback() { Ok(()) } else { Err(unknown()) }
    }
}

fn host_of<B>(request: &Request<B>) -> Result<&str, Fault> {
    let mut values = request.headers().get_all(HOST).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(malformed());
    }
    // RFC 9112 §3.2.2: an absolute target wins over the header.
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.as_str());
    }
    first.ok_or_else(malformed)?.to_str().map_err(|_| malformed())
}

/// `name[:port]`, with IPv6 addresses in brackets kept as they are.
fn split(host: &str) -> Option<(&str, Option<u16>)> {
    let end = match host.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at_checked(end)?;
    let port = match port.strip_prefix(':') {
        Some(digits) => Some(digits.parse().ok()?),
        None if port.is_empty() => None,
        None => return None,
    };
    // A trailing dot names the same host from the root of the DNS.
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty() && !name.contains('@')).then_some((name, port))
}

fn bare(name: &str) -> &str {
    name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name)
}

fn is_unsafe<B>(request: &Request<B>) -> bool {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    !safe || request.headers().contains_key(UPGRADE)
}

/// A browser says where a request comes from; what says nothing is no browser and has no cookie to abuse.
fn check_site(headers: &HeaderMap, host: &str) -> Result<(), Fault> {
    if let Some(site) = headers.get("sec-fetch-site") {
        match site.as_bytes() {
            b"same-origin" => return Ok(()),
            // A person's own doing, such as an address typed in; a socket says this and names its page.
            b"none" => {}
            _ => return Err(cross_site()),
        }
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().map_err(|_| cross_site())?;
    let same = origin.split_once("://").is_some_and(|(scheme, authority)| {
        matches!(scheme, "http" | "https") && same_host(scheme, authority, host)
    });
    if same { Ok(()) } else { Err(cross_site()) }
}

fn same_host(scheme: &str, origin: &str, host: &str) -> bool {
    let usual = if scheme == "https" { 443 } else { 80 };
    let (Some((left, left_port)), Some((right, right_port))) = (split(origin), split(host)) else {
        return false;
    };
    left.eq_ignore_ascii_case(right) && left_port.unwrap_or(usual) == right_port.unwrap_or(usual)
}

fn unknown() -> Fault {
    Fault::new(
        Kind::Misdirected,
        "host_unknown",
        "This box does not answer under that name. An administrator can add it to web.hosts.names.",
    )
}

fn malformed() -> Fault {
    Fault::invalid("host_malformed", "The Host header is missing or cannot be read.")
}

fn cross_site() -> Fault {
    Fault::forbidden("cross_site", "This request was started by a page of another site.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: &str, headers: &[(&str, &str)]) -> &'static str {
        let rules = HostRules { names: vec!["depot.lan".into()], check_port: false };
        let guard = Guard::new(&rules, Some("Box7"));
        let peer = Peer { local: Some("192.168.1.5:8443".parse().unwrap()), ..Peer::default() };
        let mut request = Request::builder().method(method).uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        guard.check(&request.body(()).unwrap(), peer).map_or_else(|f| f.code, |()| "ok")
    }

    #[test]
    fn only_our_names_are_answered() {
        for (host, verdict) in [
            ("localhost:8000", "ok"),
            ("127.0.0.1", "ok"),
            ("[::1]:8000", "ok"),
            ("ILOT.local.", "ok"),
            ("box7", "ok"),
            ("box7.local:8443", "ok"),
            ("depot.lan", "ok"),
            ("192.168.1.5:8443", "ok"),
            ("192.168.1.6:8443", "host_unknown"),
            ("evil.example", "host_unknown"),
            ("depot.lan.evil.example", "host_unknown"),
            ("localhost@evil", "host_malformed"),
            ("localhost:99999", "host_malformed"),
            ("[::1", "host_malformed"),
            ("", "host_malformed"),
        ] {
            assert_eq!(judged("GET", &[("host", host)]), verdict, "{host}");
        }
        assert_eq!(judged("GET", &[]), "host_malformed");
        assert_eq!(judged("GET", &[("host", "localhost"), ("host", "evil")]), "host_malformed");
    }

    #[test]
    fn foreign_pages_may_not_act() {
        let host = ("host", "depot.lan:8443");
        for (method, header, verdict) in [
            ("POST", None, "ok"),
            ("POST", Some(("sec-fetch-site", "same-origin")), "ok"),
            ("POST", Some(("sec-fetch-site", "none")), "ok"),
            ("POST", Some(("sec-fetch-site", "same-site")), "cross_site"),
            ("DELETE", Some(("sec-fetch-site", "cross-site")), "cross_site"),
            ("GET", Some(("sec-fetch-site", "cross-site")), "ok"),
            ("POST", Some(("origin", "https://depot.lan:8443")), "ok"),
            ("POST", Some(("origin", "https://depot.lan")), "cross_site"),
            ("POST", Some(("origin", "https://evil.example")), "cross_site"),
            ("POST", Some(("origin", "null")), "cross_site"),
        ] {
            let mut headers = vec![host];
            headers.extend(header);
            assert_eq!(judged(method, &headers), verdict, "{method} {header:?}");
        }
        let socket = [host, ("upgrade", "websocket"), ("origin", "https://evil.example")];
        assert_eq!(judged("GET", &socket), "cross_site");
        let none = ("sec-fetch-site", "none");
        assert_eq!(judged("GET", &[host, none, socket[1], socket[2]]), "cross_site");
        let own = ("origin", "https://depot.lan:8443");
        assert_eq!(judged("GET", &[host, none, socket[1], own]), "ok");
    }
}
