//! Plan B's packets and sealing, beside the ciphers alone, and `/crypto/encrypt` through the door of a whole box.
//!
//! `planb [ROUNDS]`: in each round every contender has a turn, so that a machine's mood is everybody's;
//! the medians count. Then the same message through the door, whose cost is mostly not the cipher's.

mod door;
mod turns;

use std::hint::black_box;
use std::sync::Arc;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ilot::base::clock::MachineClock;
use ilot::base::fault::Fault;
use ilot::domains::continuity::node::Node;
use ilot::domains::continuity::packets::{OVERHEAD, Packet, PacketType, covered, write_covered};
use ilot::domains::continuity::place::Place;
use ilot::domains::continuity::sealing::{ROOM, Sealing};
use ilot::domains::continuity::{encoding, sealing};
use turns::{Contender, race};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Rounds unless said otherwise.
const ROUNDS: usize = 21;
/// A packet's payload: the size of a piece of a file in the original.
const PAYLOAD: usize = 32 * 1024;
/// A message to seal.
const MESSAGE: usize = 1024 * 1024;
/// The largest message that the desk seals, as the setting has it.
const MESSAGE_MAX: usize = 16 * MESSAGE;
const AAD: &[u8] = b"aad";
const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 12] = [1; 12];

fn main() -> Outcome<()> {
    let rounds = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => ROUNDS,
    };
    let folder = tempfile::tempdir()?;
    let place = Place::at(folder.path().join("planb"));
    packets(&Node::open(&place).map_err(told)?, rounds)?;
    ciphers(&place, rounds)?;
    door::measure(&vec![3; MESSAGE], AAD, rounds)
}

fn told(fault: Fault) -> String {
    fault.to_string()
}

/// Packets of 32 KiB, with the HMAC and without.
fn packets(node: &Node, rounds: usize) -> Outcome<()> {
    let payload = vec![5; PAYLOAD];
    let write = |mac: bool| -> Result<Vec<u8>, Fault> {
        let mut out = Vec::with_capacity(OVERHEAD + PAYLOAD);
        if write_covered(PacketType::ChunkData, &node.id(), &payload, &mut out).is_ok() {
            let hmac = if mac { node.mac(&out)? } else { [9; 32] };
            out.extend_from_slice(&hmac);
        }
        Ok(out)
    };
    let bytes = write(true).map_err(told)?;
    let read = |mac: bool| {
        let packet = Packet::parse(black_box(&bytes)).ok()?;
        let valid = !mac || node.mac_is(covered(&bytes).ok()?, &packet.hmac).ok()?;
        valid.then_some(packet.payload.len())
    };
    assert_eq!((read(true), bytes.len()), (Some(PAYLOAD), OVERHEAD + PAYLOAD));
    let mut contenders = [
        Contender::new("a copy of the payload", || drop(black_box(payload.clone()))),
        Contender::new("packet written, HMAC given", || drop(black_box(write(false)))),
        Contender::new("packet written, HMAC computed", || drop(black_box(write(true)))),
        Contender::new("packet read", || {
            let _ = black_box(read(false));
        }),
        Contender::new("packet read, HMAC checked", || {
            let _ = black_box(read(true));
        }),
    ];
    race("packets of 32 KiB", PAYLOAD, rounds, &mut contenders);
    Ok(())
}

/// A message of 1 MiB: the ciphers alone, the desk, and the desk with the base64 of the wire.
fn ciphers(place: &Place, rounds: usize) -> Outcome<()> {
    let desk = Sealing::open(place, Arc::new(MachineClock), MESSAGE_MAX).map_err(told)?;
    let message = vec![3; MESSAGE];
    let text = encoding::encode(&message);
    let blob = desk.seal(&message, AAD).map_err(told)?;
    let sealed = encoding::encode(&blob);
    let aws = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY)?);
    let rust = Aes256Gcm::new(&KEY.into());
    let (mut one, mut other) = (message.clone(), message.clone());
    let mut contenders = [
        Contender::new("bare cipher, aes-gcm, in place", || {
            let text = other.as_mut_slice().into();
            let _ = black_box(rust.encrypt_inout_detached(&NONCE.into(), AAD, text));
        }),
        Contender::new("bare cipher, aws-lc-rs, in place", || {
            let nonce = Nonce::assume_unique_for_key(NONCE);
            drop(black_box(aws.seal_in_place_separate_tag(nonce, Aad::from(AAD), &mut one)));
        }),
        Contender::new("the desk seals", || drop(black_box(desk.seal(&message, AAD)))),
        Contender::new("the desk unseals", || drop(black_box(desk.unseal(&blob, AAD)))),
        Contender::new("base64 read", || drop(black_box(encoding::decode(&text)))),
        Contender::new("base64 written", || drop(black_box(encoding::encode(&message)))),
        Contender::new("base64 read, sealed, base64 written", || {
            drop(black_box(wire_seal(&desk, &text)));
        }),
        Contender::new("base64 read, unsealed, base64 written", || {
            drop(black_box(wire_unseal(&desk, &sealed)));
        }),
    ];
    race("messages of 1 MiB", MESSAGE, rounds, &mut contenders);
    Ok(())
}

/// What `/crypto/encrypt` does between its JSON and its JSON.
fn wire_seal(desk: &Sealing, text: &str) -> Option<String> {
    let mut blob = Vec::with_capacity(sealing::OVERHEAD + text.len() / 4 * 3);
    blob.extend_from_slice(&[0; ROOM]);
    encoding::decode_into(text, &mut blob).ok()?;
    desk.seal_in_place(&mut blob, AAD).ok()?;
    Some(encoding::encode(&blob))
}

/// What `/crypto/decrypt` does between its JSON and its JSON.
fn wire_unseal(desk: &Sealing, text: &str) -> Option<String> {
    let blob = encoding::decode(text).ok()?;
    Some(encoding::encode(&desk.unseal(&blob, AAD).ok()?))
}
