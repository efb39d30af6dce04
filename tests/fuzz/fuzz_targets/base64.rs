//! Base64: the quick way and the slow one read every text as a third, written from the manual, does.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../src/domains/continuity/encoding.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod encoding;

use encoding::Base64Error;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fuzz_target!(|bytes: &[u8]| {
    let text = encoding::encode(bytes);
    assert_eq!(encoding::decode(&text).as_deref(), Ok(bytes));
    let text = String::from_utf8_lossy(bytes);
    let mut appended = b"before".to_vec();
    let done = encoding::decode_into(&text, &mut appended);
    match plainly(&text) {
        Ok(expected) => assert_eq!((done, &appended[6..]), (Ok(()), expected.as_slice())),
        Err(error) => assert_eq!((done, appended.as_slice()), (Err(error), b"before".as_slice())),
    }
});

/// As Python's manual and its source tell it, a bit at a time.
fn plainly(text: &str) -> Result<Vec<u8>, Base64Error> {
    if !text.is_ascii() {
        return Err(Base64Error::NotAscii);
    }
    let (mut bits, mut characters, mut pads) = (Vec::new(), 0, 0);
    let mut padded = false;
    for byte in text.bytes() {
        if let Some(value) = ALPHABET.iter().position(|letter| *letter == byte) {
            bits.extend((0..6).rev().map(|bit| value >> bit & 1));
            characters += 1;
            pads = 0;
        } else if byte == b'=' && characters % 4 >= 2 {
            pads += 1;
            if characters % 4 + pads == 4 {
                padded = true;
                break;
            }
        }
    }
    match characters % 4 {
        1 => return Err(Base64Error::OneTooMany),
        2 | 3 if !padded => return Err(Base64Error::Padding),
        _ => {}
    }
    let bytes = bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit));
    Ok(bytes.map(|byte| u8::try_from(byte).expect("eight bits")).collect())
}
