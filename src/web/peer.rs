//! Who is at the other end of the wire, as the accept loop saw it.

use std::net::{IpAddr, SocketAddr};

/// The other end of a connection. The accept loop puts one into every request's extensions.
///
/// The default stands for a request that came over no wire (a test, a job): no address, not secure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peer {
    /// The peer's address; none over the local socket.
    pub address: Option<IpAddr>,
    /// The address of this box that the peer reached; none over the local socket.
    pub local: Option<SocketAddr>,
    /// Whether TLS protects the connection.
    pub secure: bool,
    /// Whether it came through the local socket, which only the process's owner can open.
    pub console: bool,
}

impl Peer {
    /// Somebody at the local socket.
    pub const fn at_console() -> Self {
        Self { address: None, local: None, secure: true, console: true }
    }
}

/// Put into a request's extensions by the accept loop when its headers are more than the settings
/// allow: the HTTP library reads a little further than that, so that the refusal can be named.
#[derive(Debug, Clone, Copy)]
pub struct Oversized;
