//! Base64 as the original's Python reads it (`base64.b64decode(s)`), at the speed of clean input.
//!
//! Nothing here knows the rest of the box, so that a fuzzer builds it alone in seconds.

use std::error::Error;
use std::fmt;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::Simd;
use base64::engine::general_purpose::PAD;

/// The standard alphabet, padded, by what the processor has for it.
static CLEAN: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PAD));

/// Why a text is no base64 for Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base64Error {
    /// Python takes ASCII only, before it looks any further.
    NotAscii,
    /// One character of the alphabet more than a multiple of four: six bits, which make no byte.
    OneTooMany,
    /// The last group of four is neither full nor padded.
    Padding,
}

impl Base64Error {
    /// A sentence for whoever sent it; always the same one.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotAscii => "Invalid base64: only ASCII characters may stand in it.",
            Self::OneTooMany => {
                "Invalid base64: the number of data characters cannot be 1 more than a multiple of 4."
            }
            Self::Padding => "Invalid base64: incorrect padding.",
        }
    }
}

impl fmt::Display for Base64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Error for Base64Error {}

/// The bytes that a text stands for.
///
/// # Errors
/// Where Python's decoder gives one.
pub fn decode(text: &str) -> Result<Vec<u8>, Base64Error> {
    let mut bytes = Vec::new();
    decode_into(text, &mut bytes)?;
    Ok(bytes)
}

/// Appends the bytes that a text stands for to `out`.
///
/// # Errors
/// Where Python's decoder gives one; `out` is then as it was.
pub fn decode_into(text: &str, out: &mut Vec<u8>) -> Result<(), Base64Error> {
    let begun = out.len();
    if CLEAN.decode_vec(text, out).is_ok() {
        return Ok(());
    }
    // What the quick way wrote before it gave up is no answer.
    out.truncate(begun);
    let done = as_python(text, out);
    if done.is_err() {
        out.truncate(begun);
    }
    done
}

/// Base64 of these bytes: the standard alphabet, padded.
pub fn encode(bytes: &[u8]) -> String {
    CLEAN.encode(bytes)
}

/// Appends base64 of these bytes to `out`, as [`encode`] writes it.
pub fn encode_into(bytes: &[u8], out: &mut String) {
    CLEAN.encode_string(bytes, out);
}

/// What `binascii.a2b_base64` does without `strict_mode` (`CPython` 3.11, `Modules/binascii.c`): strangers
/// are skipped, padding counts only where a group could end, and ends the reading when it is complete.
fn as_python(text: &str, out: &mut Vec<u8>) -> Result<(), Base64Error> {
    if !text.is_ascii() {
        return Err(Base64Error::NotAscii);
    }
    // Characters of the group so far, their bits, and the padding since the last of them.
    let (mut place, mut bits, mut pads) = (0_u8, 0_u32, 0_u8);
    for byte in text.bytes() {
        if byte == b'=' {
            if place >= 2 {
                pads += 1;
                if place + pads >= 4 {
                    return Ok(());
                }
            }
            continue;
        }
        let Some(value) = value(byte) else { continue };
        pads = 0;
        bits = (bits << 6) | u32::from(value);
        // Each character after the first completes a byte; what is left over waits in the low bits.
        match place {
            1 => out.push(low_byte(bits, 4)),
            2 => out.push(low_byte(bits, 2)),
            3 => out.push(low_byte(bits, 0)),
            _ => {}
        }
        place = (place + 1) % 4;
    }
    match place {
        0 => Ok(()),
        1 => Err(Base64Error::OneTooMany),
        _ => Err(Base64Error::Padding),
    }
}

fn low_byte(bits: u32, spare: u32) -> u8 {
    let [.., low] = (bits >> spare).to_be_bytes();
    low
}

fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

// Said in full, for the fuzzer includes this file from a place of its own.
#[cfg(test)]
#[path = "encoding/tests.rs"]
mod tests;
