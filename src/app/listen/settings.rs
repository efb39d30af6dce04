//! The addresses and limits of the door, as inert data.

use serde::{Deserialize, Serialize};

/// Where the box listens, and how much it takes from whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenSettings {
    /// Plain HTTP; `off` for none, port 0 for any free one. Default `127.0.0.1:8000`. Reached at
    /// another address than loopback it only sends browsers to https, unless `http_lan`.
    pub http: String,
    /// HTTP over TLS; `off` for none. Default `0.0.0.0:8443`.
    pub https: String,
    /// Plan B; `off` for none. Default `127.0.0.1:5055`. In use by another program, it is tried again.
    pub planb: String,
    /// Further plain addresses. Default: none.
    pub further_http: Vec<String>,
    /// Whether plain HTTP serves other machines too. Default false.
    pub http_lan: bool,
    /// Whether the local socket of the command line is opened. Default true.
    pub console: bool,
    /// How long a new connection may stay silent. Default 5.
    pub first_byte_seconds: u64,
    /// How long a request's headers may take. Default 10.
    pub header_seconds: u64,
    /// How long a TLS handshake may take. Default 10.
    pub handshake_seconds: u64,
    /// How long a connection may rest between two requests. Default 75.
    pub keep_alive_seconds: u64,
    /// How long what is under way may go on once the box stops, at most 5. Default 4.
    pub drain_seconds: u64,
    /// Connections at once; further ones are closed unanswered. Default 4096.
    pub connections: usize,
    /// Of those, how many are kept for this machine itself. Default 64.
    pub connections_reserved: usize,
    /// Connections at once per address (per /64 in IPv6), loopback excepted. Default 64.
    pub connections_per_address: usize,
    /// What a request body must bring per second of waiting for it, in bytes. Default 1024.
    pub floor_bytes_per_second: u64,
    /// How long a peer may be slower than that, or take nothing of an answer. Default 10.
    pub floor_grace_seconds: u64,
    /// The most bytes of headers, and of what one connection buffers. Default 16384; at least 8192.
    pub header_bytes: usize,
    /// The most headers of one request. Default 64.
    pub headers: usize,
    /// Whether an address that another program holds is waited for. No setting of a site: it goes
    /// with being started by the watchdog, whose Plan B holds the addresses until the box is back.
    #[serde(skip)]
    pub wait_for_addresses: bool,
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            http: "127.0.0.1:8000".into(),
            https: "0.0.0.0:8443".into(),
            planb: "127.0.0.1:5055".into(),
            further_http: Vec::new(),
            http_lan: false,
            console: true,
            first_byte_seconds: 5,
            header_seconds: 10,
            handshake_seconds: 10,
            keep_alive_seconds: 75,
            drain_seconds: 4,
            connections: 4096,
            connections_reserved: 64,
            connections_per_address: 64,
            floor_bytes_per_second: 1024,
            floor_grace_seconds: 10,
            header_bytes: 16 * 1024,
            headers: 64,
            wait_for_addresses: false,
        }
    }
}
