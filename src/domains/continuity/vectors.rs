//! The test vectors that other languages use (`tests/fixtures/planb/vectors.json`), read by Plan B itself.

use std::fs;
use std::process::Command;

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::encoding;
use super::node::id_of;
use super::packets::{self, Packet, PacketError, PacketType, Peer};
use crate::engines::secrets;
use crate::engines::secrets::gcm::Gcm;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/planb");

fn vectors() -> Value {
    let text = fs::read_to_string(format!("{FOLDER}/vectors.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn all<'a>(vectors: &'a Value, name: &str) -> &'a Vec<Value> {
    let list = vectors[name].as_array().unwrap();
    assert!(!list.is_empty(), "{name}");
    list
}

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

#[track_caller]
fn fails<T: std::fmt::Debug>(done: Result<T, PacketError>, case: &Value) {
    let beginning = case["error"].as_str().unwrap();
    let text = done.map_err(PacketError::text).unwrap_err();
    assert!(text.starts_with(beginning), "{text:?}: {case}");
}

/// All of a packet, from fields of any length.
fn write(kind: u64, node_id: &[u8], payload: &[u8], hmac: &[u8]) -> Result<Vec<u8>, PacketError> {
    let mut out = Vec::new();
    let kind = PacketType::of(kind)?;
    let (node_id, hmac) = (packets::node_id(node_id)?, packets::hmac(hmac)?);
    Packet { kind, node_id, payload, hmac }.write_into(&mut out)?;
    Ok(out)
}

#[test]
fn packets_are_those_of_the_vectors() {
    let vectors = vectors();
    let key = hex(&vectors["hmac"]["key_hex"]);
    for case in all(&vectors, "packets") {
        let (data, payload) = (hex(&case["data_hex"]), hex(&case["payload_hex"]));
        let (node_id, hmac) = (hex(&case["node_id_hex"]), hex(&case["hmac_hex"]));
        let kind = case["packet_type"].as_u64().unwrap();
        assert_eq!(write(kind, &node_id, &payload, &hmac).as_deref(), Ok(data.as_slice()));
        let packet = Packet::parse(&data).unwrap();
        assert_eq!(packet.kind.name(), case["type_name"].as_str().unwrap());
        assert_eq!((packet.payload, packet.hmac.as_slice()), (payload.as_slice(), hmac.as_slice()));
        let valid = secrets::mac_is(&key, packets::covered(&data).unwrap(), &hmac).unwrap();
        assert_eq!(valid, case["hmac_valid"].as_bool().unwrap(), "{case}");
    }
    for case in all(&vectors, "large_packets") {
        let byte = u8::try_from(number(&case["payload_byte"])).unwrap();
        let payload = vec![byte; number(&case["payload_length"])];
        let kind = PacketType::of(case["packet_type"].as_u64().unwrap()).unwrap();
        let node_id = packets::node_id(&hex(&case["node_id_hex"])).unwrap();
        let mut data = Vec::new();
        packets::write_covered(kind, &node_id, &payload, &mut data).unwrap();
        let hmac = secrets::mac_bytes(&key, &data).unwrap();
        data.extend_from_slice(&hmac);
        assert_eq!(data.len(), number(&case["data_length"]));
        let sha256 = <sha2::Sha256 as sha2::Digest>::digest(&data);
        assert_eq!(HEXLOWER.encode(&sha256), case["data_sha256"].as_str().unwrap());
    }
}

#[test]
fn what_is_wrong_is_wrong_as_in_the_vectors() {
    let vectors = vectors();
    for case in all(&vectors, "bad_packets") {
        fails(Packet::parse(&hex(&case["data_hex"])), case);
    }
    for case in all(&vectors, "bad_fields") {
        let [node_id, payload, hmac] = ["node_id_length", "payload_length", "hmac_length"]
            .map(|field| vec![0; number(&case[field])]);
        fails(write(case["packet_type"].as_u64().unwrap(), &node_id, &payload, &hmac), case);
    }
    for case in all(&vectors, "bad_peer_lists") {
        fails(packets::parse_peers(&hex(&case["payload_hex"])), case);
    }
}

#[test]
fn peer_lists_are_those_of_the_vectors() {
    for case in all(&vectors(), "peer_lists") {
        let list = case["peers"].as_array().unwrap();
        let peers: Vec<_> = list
            .iter()
            .map(|peer| Peer {
                node_id: packets::node_id(&hex(&peer["node_id_hex"])).unwrap(),
                address: peer["address"].as_str().unwrap(),
                port: u16::try_from(number(&peer["port"])).unwrap(),
            })
            .collect();
        let payload = hex(&case["payload_hex"]);
        assert_eq!(packets::write_peers(&peers).as_deref(), Ok(payload.as_slice()));
        assert_eq!(packets::parse_peers(&payload), Ok(peers));
    }
}

#[test]
fn blobs_open_as_in_the_vectors() {
    let vectors = vectors();
    let key = hex(&vectors["sealing"]["key_hex"]);
    let key = Gcm::new(&key.try_into().unwrap()).unwrap();
    for case in all(&vectors, "sealed") {
        let opened = key.open(&hex(&case["blob_hex"]), &hex(&case["aad_hex"]));
        assert_eq!(opened, Some(hex(&case["plaintext_hex"])), "{case}");
    }
    for case in all(&vectors, "bad_sealed") {
        assert_eq!(key.open(&hex(&case["blob_hex"]), &hex(&case["aad_hex"])), None, "{case}");
    }
}

#[test]
fn nodes_and_base64_are_those_of_the_vectors() {
    let vectors = vectors();
    for case in all(&vectors, "nodes") {
        let public = hex(&case["public_key_hex"]).try_into().unwrap();
        assert_eq!(HEXLOWER.encode(&id_of(&public)), case["node_id_hex"].as_str().unwrap());
    }
    for case in all(&vectors, "base64") {
        let read = encoding::decode(case["text"].as_str().unwrap()).ok();
        let expected = Some(&case["bytes_hex"]).filter(|value| !value.is_null()).map(hex);
        assert_eq!(read, expected, "{case}");
    }
}

#[test]
fn python_agrees_with_the_vectors() {
    let Ok(done) = Command::new("python3").arg(format!("{FOLDER}/vectors.py")).output() else {
        assert!(std::env::var_os("CI").is_none(), "python3 is missing");
        eprintln!("skipped: python3 is missing, it did not check the vectors");
        return;
    };
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    // Such as the package that it lacks.
    eprint!("{said}");
}
