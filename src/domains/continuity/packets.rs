//! Packets, format v1 (plan-b.md §1.2): bytes in, fields out and back, without a byte copied that need not be.
//!
//! Nothing here knows the rest of the box, so that a fuzzer builds it alone in seconds.

use std::error::Error;
use std::fmt;

/// The first four bytes of every packet: `ARCH`.
pub const MAGIC: [u8; 4] = *b"ARCH";
/// Bytes of a node's id.
pub const NODE_ID: usize = 32;
/// Bytes of an HMAC-SHA256.
pub const HMAC: usize = 32;
/// Bytes before the payload: magic, type, node id, length of the payload.
pub const HEAD: usize = MAGIC.len() + 1 + NODE_ID + 4;
/// Bytes that a packet has besides its payload.
pub const OVERHEAD: usize = HEAD + HMAC;
/// The largest packet, bytes.
pub const PACKET_MAX: usize = 65_536;
/// The largest payload, bytes.
pub const PAYLOAD_MAX: usize = PACKET_MAX - OVERHEAD;
/// Bytes of a `HELLO`'s payload: a public key and a signature.
pub const HELLO: usize = PUBLIC + SIGNATURE;

/// Bytes of an Ed25519 public key.
const PUBLIC: usize = 32;
/// Bytes of an Ed25519 signature.
const SIGNATURE: usize = 64;

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// Who is there: a public key and a signature.
    Hello = 1,
    /// Whom else the sender knows.
    PeerList = 2,
    /// A message.
    Msg = 3,
    /// Asks for a piece of a file.
    ChunkReq = 4,
    /// A piece of a file.
    ChunkData = 5,
    /// Of which pieces a file is made.
    Manifest = 6,
    /// It has come.
    Ack = 7,
}

impl PacketType {
    /// All of them, by number.
    pub const ALL: [Self; 7] = [
        Self::Hello,
        Self::PeerList,
        Self::Msg,
        Self::ChunkReq,
        Self::ChunkData,
        Self::Manifest,
        Self::Ack,
    ];

    /// The number on the wire, 1 to 7.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The type with that number.
    ///
    /// # Errors
    /// [`PacketError::Type`] when there is none.
    pub fn of(number: u64) -> Result<Self, PacketError> {
        Self::ALL
            .into_iter()
            .find(|kind| u64::from(kind.number()) == number)
            .ok_or(PacketError::Type)
    }

    /// The name that `/packet/types` gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "HELLO",
            Self::PeerList => "PEER_LIST",
            Self::Msg => "MSG",
            Self::ChunkReq => "CHUNK_REQ",
            Self::ChunkData => "CHUNK_DATA",
            Self::Manifest => "MANIFEST",
            Self::Ack => "ACK",
        }
    }
}

/// Why bytes are no packet, or fields make none. The beginnings of the sentences are the contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// Fewer bytes than the smallest packet has.
    Short,
    /// It does not begin with [`MAGIC`].
    Magic,
    /// The head announces more than [`PAYLOAD_MAX`].
    Length,
    /// The head announces more bytes than there are.
    Truncated,
    /// No type has that number.
    Type,
    /// A node id of another length.
    NodeId,
    /// An HMAC of another length.
    Hmac,
    /// More payload than fits.
    Payload,
    /// A `HELLO` of another length.
    Hello,
    /// A peer list that ends before its last peer does.
    PeersTruncated,
    /// A peer list with bytes behind its last peer.
    PeersLonger,
    /// An address that is empty, too long for its length byte, or not plain ASCII.
    PeerAddress,
}

impl PacketError {
    /// A sentence for whoever sent it; always the same one.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Short => "Packet too short: 73 bytes at least.",
            Self::Magic => "Invalid MAGIC: a packet begins with ARCH.",
            Self::Length => "Payload length exceeds maximum: 65463 bytes at most.",
            Self::Truncated => "Packet truncated: it ends before its payload and HMAC do.",
            Self::Type => "Invalid packet type: 1 to 7.",
            Self::NodeId => "Node ID must be 32 bytes.",
            Self::Hmac => "HMAC must be 32 bytes.",
            Self::Payload => "Payload too large: 65463 bytes at most.",
            Self::Hello => "HELLO must be 96 bytes: a public key and a signature.",
            Self::PeersTruncated => "Peer list truncated: it ends before its last peer does.",
            Self::PeersLonger => "Peer list too long: bytes follow its last peer.",
            Self::PeerAddress => "Peer address must be 1 to 255 printable ASCII characters.",
        }
    }
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Error for PacketError {}

/// A packet; its payload stays where it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it is for.
    pub kind: PacketType,
    /// Whose it is.
    pub node_id: [u8; NODE_ID],
    /// What it carries: at most [`PAYLOAD_MAX`] bytes.
    pub payload: &'a [u8],
    /// HMAC over [`covered`], which is for the caller to make and to check: it needs a key.
    pub hmac: [u8; HMAC],
}

impl<'a> Packet<'a> {
    /// Reads a packet. Bytes behind it are ignored.
    ///
    /// # Errors
    /// In this order: [`PacketError::Short`], `Magic`, `Length`, `Truncated`, `Type`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        if bytes.len() < OVERHEAD {
            return Err(PacketError::Short);
        }
        let rest = bytes.strip_prefix(&MAGIC).ok_or(PacketError::Magic)?;
        let (kind, rest) = rest.split_first().ok_or(PacketError::Short)?;
        let (node_id, rest) = rest.split_first_chunk::<NODE_ID>().ok_or(PacketError::Short)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(PacketError::Short)?;
        let length =
            usize::try_from(u32::from_be_bytes(*length)).map_err(|_| PacketError::Length)?;
        if length > PAYLOAD_MAX {
            return Err(PacketError::Length);
        }
        let (payload, rest) = rest.split_at_checked(length).ok_or(PacketError::Truncated)?;
        let hmac = rest.first_chunk::<HMAC>().ok_or(PacketError::Truncated)?;
        let kind = PacketType::of(u64::from(*kind))?;
        Ok(Self { kind, node_id: *node_id, payload, hmac: *hmac })
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// [`PacketError::Payload`]; `out` is then as it was.
    pub fn write_into(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        write_covered(self.kind, &self.node_id, self.payload, out)?;
        out.extend_from_slice(&self.hmac);
        Ok(())
    }
}

/// Appends all of a packet but its HMAC to `out`, with room for that: whoever has the key appends the
/// HMAC of what was appended.
///
/// # Errors
/// [`PacketError::Payload`]; `out` is then as it was.
pub fn write_covered(
    kind: PacketType,
    node_id: &[u8; NODE_ID],
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), PacketError> {
    let length = u32::try_from(payload.len()).map_err(|_| PacketError::Payload)?;
    if payload.len() > PAYLOAD_MAX {
        return Err(PacketError::Payload);
    }
    out.reserve(OVERHEAD + payload.len());
    out.extend_from_slice(&MAGIC);
    out.push(kind.number());
    out.extend_from_slice(node_id);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
    Ok(())
}

/// The bytes of a packet that its HMAC covers: all before it.
///
/// # Errors
/// Those of [`Packet::parse`].
pub fn covered(bytes: &[u8]) -> Result<&[u8], PacketError> {
    let packet = Packet::parse(bytes)?;
    bytes.get(..HEAD + packet.payload.len()).ok_or(PacketError::Truncated)
}

/// A node id of the right length.
///
/// # Errors
/// [`PacketError::NodeId`].
pub fn node_id(bytes: &[u8]) -> Result<[u8; NODE_ID], PacketError> {
    bytes.try_into().map_err(|_| PacketError::NodeId)
}

/// An HMAC of the right length.
///
/// # Errors
/// [`PacketError::Hmac`].
pub fn hmac(bytes: &[u8]) -> Result<[u8; HMAC], PacketError> {
    bytes.try_into().map_err(|_| PacketError::Hmac)
}

/// The payload of a `HELLO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The sender's Ed25519 public key, raw.
    pub public: [u8; PUBLIC],
    /// Its signature; the format leaves open of what.
    pub signature: [u8; SIGNATURE],
}

impl Hello {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`PacketError::Hello`].
    pub fn parse(payload: &[u8]) -> Result<Self, PacketError> {
        let (public, rest) = payload.split_first_chunk::<PUBLIC>().ok_or(PacketError::Hello)?;
        let signature = rest.try_into().map_err(|_| PacketError::Hello)?;
        Ok(Self { public: *public, signature })
    }

    /// The payload.
    pub fn write(&self) -> [u8; HELLO] {
        let mut payload = [0; HELLO];
        let (public, signature) = payload.split_at_mut(PUBLIC);
        public.copy_from_slice(&self.public);
        signature.copy_from_slice(&self.signature);
        payload
    }
}

/// One peer of a `PEER_LIST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer<'a> {
    /// Who it is.
    pub node_id: [u8; NODE_ID],
    /// Where it is: 1 to 255 printable ASCII characters, a name or a number.
    pub address: &'a str,
    /// The port it listens on.
    pub port: u16,
}

/// Reads the payload of a `PEER_LIST`. A count that the payload cannot hold costs no memory.
///
/// # Errors
/// [`PacketError::PeersTruncated`], [`PacketError::PeersLonger`], [`PacketError::PeerAddress`].
pub fn parse_peers(payload: &[u8]) -> Result<Vec<Peer<'_>>, PacketError> {
    let short = PacketError::PeersTruncated;
    let (count, mut rest) = payload.split_first_chunk::<2>().ok_or(short)?;
    let mut peers = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (node_id, after) = rest.split_first_chunk::<NODE_ID>().ok_or(short)?;
        let (length, after) = after.split_first().ok_or(short)?;
        let (address, after) = after.split_at_checked(usize::from(*length)).ok_or(short)?;
        let (port, after) = after.split_first_chunk::<2>().ok_or(short)?;
        let address = std::str::from_utf8(address)
            .ok()
            .filter(|address| is_address(address))
            .ok_or(PacketError::PeerAddress)?;
        peers.push(Peer { node_id: *node_id, address, port: u16::from_be_bytes(*port) });
        rest = after;
    }
    if rest.is_empty() { Ok(peers) } else { Err(PacketError::PeersLonger) }
}

/// The payload of a `PEER_LIST`.
///
/// # Errors
/// [`PacketError::PeerAddress`], [`PacketError::Payload`] when they are more than fit into a packet.
pub fn write_peers(peers: &[Peer<'_>]) -> Result<Vec<u8>, PacketError> {
    let count = u16::try_from(peers.len()).map_err(|_| PacketError::Payload)?;
    let mut payload = count.to_be_bytes().to_vec();
    for peer in peers {
        let length = u8::try_from(peer.address.len()).map_err(|_| PacketError::PeerAddress)?;
        if !is_address(peer.address) {
            return Err(PacketError::PeerAddress);
        }
        payload.extend_from_slice(&peer.node_id);
        payload.push(length);
        payload.extend_from_slice(peer.address.as_bytes());
        payload.extend_from_slice(&peer.port.to_be_bytes());
        if payload.len() > PAYLOAD_MAX {
            return Err(PacketError::Payload);
        }
    }
    Ok(payload)
}

fn is_address(address: &str) -> bool {
    !address.is_empty() && address.bytes().all(|b| b.is_ascii_graphic())
}

// Said in full, for the fuzzer includes this file from a place of its own.
#[cfg(test)]
#[path = "packets/tests.rs"]
mod tests;
