//! Packets: the worked example, the order of checks, and every packet there is back again.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The contract's worked example (plan-b.md §1.2).
fn example() -> Vec<u8> {
    [b"ARCH\x03".as_slice(), &[0x11; 32], &[0, 0, 0, 2], b"hi", &[0x22; 32]].concat()
}

fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut packet = example();
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet
}

#[test]
fn the_worked_example_is_read_and_written() {
    let bytes = example();
    let packet = Packet::parse(&bytes).unwrap();
    let expected =
        Packet { kind: PacketType::Msg, node_id: [0x11; 32], payload: b"hi", hmac: [0x22; 32] };
    assert_eq!(packet, expected);
    let mut written = Vec::new();
    packet.write_into(&mut written).unwrap();
    assert_eq!((written.len(), &written), (75, &bytes));
    assert_eq!(covered(&bytes).unwrap(), &bytes[..43]);
    assert_eq!(Packet::parse(&[bytes.as_slice(), b"more"].concat()).unwrap(), packet);
    assert_eq!([HEAD, OVERHEAD, PACKET_MAX, PAYLOAD_MAX], [41, 73, 65_536, 65_463]);
}

#[test]
fn the_first_thing_wrong_is_the_one_that_is_said() {
    let length = |n: u32| n.to_be_bytes();
    let over = length(65_464);
    for (bytes, error) in [
        (vec![], PacketError::Short),
        (vec![0; OVERHEAD - 1], PacketError::Short),
        (vec![0; OVERHEAD], PacketError::Magic),
        ([b"ARCX".as_slice(), &[0xff; 80]].concat(), PacketError::Magic),
        ([b"ARCH".as_slice(), &[0xff; 80]].concat(), PacketError::Length),
        (with(37, &over), PacketError::Length),
        (with(37, &length(65_463)), PacketError::Truncated),
        (with(37, &length(3)), PacketError::Truncated),
        ([b"ARCH\x00".as_slice(), &with(37, &over)[5..]].concat(), PacketError::Length),
        ([b"ARCH\x00".as_slice(), &with(37, &length(3))[5..]].concat(), PacketError::Truncated),
        (with(4, &[0]), PacketError::Type),
        (with(4, &[8]), PacketError::Type),
        (with(4, &[255]), PacketError::Type),
    ] {
        assert_eq!(Packet::parse(&bytes), Err(error), "{bytes:?}");
        assert_eq!(covered(&bytes), Err(error));
    }
}

#[test]
fn sentences_begin_as_the_contract_says() {
    for (error, beginning) in [
        (PacketError::Short, "Packet too short"),
        (PacketError::Magic, "Invalid MAGIC"),
        (PacketError::Length, "Payload length exceeds maximum"),
        (PacketError::Truncated, "Packet truncated"),
        (PacketError::Type, "Invalid packet type"),
        (PacketError::NodeId, "Node ID must be"),
        (PacketError::Hmac, "HMAC must be"),
        (PacketError::Payload, "Payload too large"),
    ] {
        assert!(error.to_string().starts_with(beginning), "{error}");
    }
}

#[test]
fn types_have_the_contracts_numbers_and_names() {
    let names: Vec<_> = PacketType::ALL.iter().map(|kind| (kind.number(), kind.name())).collect();
    let expected = [
        (1, "HELLO"),
        (2, "PEER_LIST"),
        (3, "MSG"),
        (4, "CHUNK_REQ"),
        (5, "CHUNK_DATA"),
        (6, "MANIFEST"),
        (7, "ACK"),
    ];
    assert_eq!(names, expected);
    for number in 0..=300 {
        let known = PacketType::of(number).map(|kind| u64::from(kind.number()));
        let expected = if (1..=7).contains(&number) { Ok(number) } else { Err(PacketError::Type) };
        assert_eq!(known, expected);
    }
    assert_eq!(PacketType::of(u64::MAX), Err(PacketError::Type));
    // Its low byte is a type: a cast would take it.
    assert_eq!(PacketType::of(257), Err(PacketError::Type));
}

#[test]
fn the_largest_payload_fits_and_no_larger_one() {
    let payload = vec![7; PAYLOAD_MAX + 1];
    let mut packet = Packet {
        kind: PacketType::ChunkData,
        node_id: [0; 32],
        payload: &payload[1..],
        hmac: [0; 32],
    };
    let mut bytes = Vec::new();
    packet.write_into(&mut bytes).unwrap();
    assert_eq!(bytes.len(), PACKET_MAX);
    assert_eq!(Packet::parse(&bytes), Ok(packet));
    packet.payload = &payload;
    let mut out = b"before".to_vec();
    assert_eq!(packet.write_into(&mut out), Err(PacketError::Payload));
    assert_eq!(out, b"before");
}

#[test]
fn lengths_of_ids_and_hmacs_are_checked() {
    for length in [0, 31, 33, 64] {
        assert_eq!(node_id(&vec![0; length]), Err(PacketError::NodeId));
        assert_eq!(hmac(&vec![0; length]), Err(PacketError::Hmac));
    }
    assert_eq!(node_id(&[5; 32]), Ok([5; 32]));
    assert_eq!(hmac(&[5; 32]), Ok([5; 32]));
}

#[test]
fn a_hello_is_96_bytes() {
    let hello = Hello { public: [1; 32], signature: [2; 64] };
    let payload = hello.write();
    assert_eq!(payload.as_slice(), [[1; 32].as_slice(), &[2; 64]].concat());
    assert_eq!(Hello::parse(&payload), Ok(hello));
    for length in [0, 31, 32, 95, 97] {
        assert_eq!(Hello::parse(&vec![0; length]), Err(PacketError::Hello), "{length}");
    }
}

#[test]
fn a_peer_list_ends_where_it_says() {
    let peers = [
        Peer { node_id: [1; 32], address: "127.0.0.1", port: 38_834 },
        Peer { node_id: [2; 32], address: "fe80::1", port: 0 },
    ];
    let payload = write_peers(&peers).unwrap();
    assert_eq!(payload.len(), 2 + 2 * (32 + 1 + 2) + 9 + 7);
    assert_eq!(parse_peers(&payload).unwrap(), peers);
    for end in 0..payload.len() {
        assert_eq!(parse_peers(&payload[..end]), Err(PacketError::PeersTruncated), "{end}");
    }
    assert_eq!(parse_peers(&[payload.as_slice(), &[0]].concat()), Err(PacketError::PeersLonger));
    assert_eq!(parse_peers(&[0, 0]), Ok(vec![]));
}

#[test]
fn an_address_is_plain_and_a_list_fits_into_a_packet() {
    let peer = |address| Peer { node_id: [0; 32], address, port: 1 };
    let long = "a".repeat(256);
    for address in ["", "a b", "é", "a\n", "a\0", &long] {
        assert_eq!(write_peers(&[peer(address)]), Err(PacketError::PeerAddress), "{address:?}");
    }
    assert!(write_peers(&[peer(&long[1..])]).is_ok());
    let many = vec![peer("box"); 65_536];
    assert_eq!(write_peers(&many), Err(PacketError::Payload));
    assert_eq!(write_peers(&many[..1723]), Err(PacketError::Payload));
    assert!(write_peers(&many[..1722]).is_ok());
}

fn kinds() -> impl Strategy<Value = PacketType> {
    prop::sample::select(PacketType::ALL.to_vec())
}

proptest! {
    #[test]
    fn every_packet_comes_back(
        kind in kinds(), node_id: [u8; 32], payload in vec(any::<u8>(), 0..2000), hmac: [u8; 32],
        behind in vec(any::<u8>(), 0..100),
    ) {
        let packet = Packet { kind, node_id, payload: &payload, hmac };
        let mut bytes = Vec::new();
        packet.write_into(&mut bytes).unwrap();
        let length = bytes.len();
        bytes.extend_from_slice(&behind);
        prop_assert_eq!(Packet::parse(&bytes), Ok(packet));
        prop_assert_eq!(covered(&bytes), Ok(&bytes[..length - HMAC]));
        for end in [0, OVERHEAD - 1, length - 1] {
            prop_assert!(Packet::parse(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn whatever_is_read_is_written_the_same(
        head in prop::sample::select(vec![b"".to_vec(), b"ARCH".to_vec(), example()[..39].to_vec()]),
        rest in vec(any::<u8>(), 0..300),
    ) {
        let bytes = [head, rest].concat();
        if let Ok(packet) = Packet::parse(&bytes) {
            let mut written = Vec::new();
            packet.write_into(&mut written).unwrap();
            prop_assert_eq!(&written, &bytes[..written.len()]);
        }
        if let Ok(peers) = parse_peers(&bytes) {
            prop_assert_eq!(write_peers(&peers), Ok(bytes));
        }
    }

    #[test]
    fn every_peer_list_comes_back(
        list in vec((any::<[u8; 32]>(), "[!-~]{1,255}", any::<u16>()), 0..20),
    ) {
        let peers: Vec<_> = list
            .iter()
            .map(|(node_id, address, port)| Peer { node_id: *node_id, address, port: *port })
            .collect();
        let payload = write_peers(&peers).unwrap();
        prop_assert_eq!(parse_peers(&payload), Ok(peers));
    }
}
