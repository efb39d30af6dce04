//! Packets: whatever is read is written back as the same bytes, and nothing else is read.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../src/domains/continuity/packets.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod packets;

use packets::{HEAD, Hello, MAGIC, OVERHEAD, PAYLOAD_MAX, Packet, PacketError, PacketType};

fuzz_target!(|bytes: &[u8]| {
    match Packet::parse(bytes) {
        Ok(packet) => {
            let length = OVERHEAD + packet.payload.len();
            let mut written = Vec::new();
            packet.write_into(&mut written).expect("what was read can be written");
            assert_eq!(Some(written.as_slice()), bytes.get(..length));
            assert_eq!(packets::covered(bytes).ok(), bytes.get(..length - packets::HMAC));
            // Every shorter one is truncated, and what follows is ignored.
            assert_eq!(Packet::parse(&written), Ok(packet));
            assert!(Packet::parse(&written[..length - 1]).is_err());
            payload(packet);
        }
        Err(error) => assert_eq!(error, why(bytes)),
    }
    peers(bytes);
});

/// The contract's order of checks, told once more and differently.
fn why(bytes: &[u8]) -> PacketError {
    if bytes.len() < 73 {
        return PacketError::Short;
    }
    if bytes[..4] != MAGIC {
        return PacketError::Magic;
    }
    let length = u32::from_be_bytes(bytes[37..41].try_into().expect("four bytes"));
    match usize::try_from(length) {
        Ok(length) if length > PAYLOAD_MAX => PacketError::Length,
        Ok(length) if bytes.len() < HEAD + length + 32 => PacketError::Truncated,
        Ok(_) => PacketError::Type,
        Err(_) => PacketError::Length,
    }
}

fn payload(packet: Packet<'_>) {
    if packet.kind == PacketType::Hello
        && let Ok(hello) = Hello::parse(packet.payload)
    {
        assert_eq!(hello.write().as_slice(), packet.payload);
    }
    peers(packet.payload);
}

fn peers(payload: &[u8]) {
    if let Ok(peers) = packets::parse_peers(payload) {
        match packets::write_peers(&peers) {
            Ok(written) => assert_eq!(written, payload),
            Err(error) => assert!(error == PacketError::Payload && payload.len() > PAYLOAD_MAX),
        }
    }
}
