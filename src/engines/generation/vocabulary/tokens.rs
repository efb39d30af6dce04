//! Every token of a vocabulary: its bytes, and what it is for.

use std::collections::HashMap;

use super::super::faults::damaged;
use super::super::header::Header;
use crate::base::fault::Fault;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A piece of text.
    Text,
    /// One byte, for what no piece covers.
    Byte,
    /// A piece that is never cut or merged, whatever stands around it.
    Whole,
    /// A mark of the model's own language that reads as text when written, for instance `<think>`.
    Tag,
    /// A mark of the model's own language that is never written out.
    Control,
    /// What stands for what has no token.
    Unknown,
    /// Nothing; the network has a row for it all the same.
    Unused,
}

/// Tokens that end an answer wherever they are in a vocabulary, whatever it says of them.
const ENDS: [&str; 19] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end_of_turn|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
    "<|eot|>",
    "<|return|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<eos>",
    "<|user|>",
    "<|observation|>",
    "</s>",
];
/// Keys that name a token that ends an answer.
const END_KEYS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// The tokens of a vocabulary, by their numbers.
pub(super) struct Tokens {
    /// The bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Where each token ends in [`Tokens::bytes`].
    ends: Vec<usize>,
    uses: Vec<Use>,
    /// The tokens that end an answer, in the order of their numbers.
    pub(super) finals: Vec<u32>,
    /// The token of beginnings.
    pub(super) bos: Option<u32>,
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            uses: Vec::new(),
            finals: Vec::new(),
            bos: None,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8], purpose: Use) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        self.uses.push(purpose);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        let Some(at) = usize::try_from(token).ok() else { return &[] };
        let begin = match at.checked_sub(1) {
            Some(before) => self.ends.get(before).copied(),
            None => Some(0),
        };
        match (begin, self.ends.get(at)) {
            (Some(begin), Some(end)) => self.bytes.get(begin..*end).unwrap_or_default(),
            _ => &[],
        }
    }

    pub(super) fn purpose(&self, token: u32) -> Use {
        let at = usize::try_from(token).ok();
        at.and_then(|at| self.uses.get(at)).copied().unwrap_or(Use::Unused)
    }

    /// Whether a text that nobody vouches for must never become this token.
    pub(super) fn is_mark(&self, token: u32) -> bool {
        matches!(self.purpose(token), Use::Control | Use::Tag)
    }

    /// All tokens with their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &[u8], Use)> {
        (0..).zip(&self.uses).map(|(token, purpose)| (token, self.bytes(token), *purpose))
    }

    /// Takes the token of beginnings and those of ends from the header and from their names.
    pub(super) fn find_ends(&mut self, header: &Header, bos_default: Option<u32>) {
        let len = self.len();
        let of = |key: &str| {
            let token = header.number(key).and_then(|id| u32::try_from(id).ok())?;
            usize::try_from(token).is_ok_and(|at| at < len).then_some(token)
        };
        self.bos = of("tokenizer.ggml.bos_token_id")
            .or(bos_default.filter(|id| self.purpose(*id) == Use::Control));
        let mut finals: Vec<u32> = END_KEYS.iter().filter_map(|key| of(key)).collect();
        // `</s>` may be an honest word of a vocabulary that was taught web pages; `<|im_end|>` is not.
        let named = |bytes: &[u8], purpose| {
            ENDS.iter().any(|name| name.as_bytes() == bytes)
                && (purpose != Use::Text || bytes.starts_with(b"<|"))
        };
        let named = self.all().filter(|(_, bytes, purpose)| named(bytes, *purpose));
        finals.extend(named.map(|(token, ..)| token));
        finals.sort_unstable();
        finals.dedup();
        // A file that calls its own end a text was converted badly; what ends an answer is no text.
        for token in finals.iter().chain(&self.bos) {
            let at = usize::try_from(*token).unwrap_or(usize::MAX);
            if let Some(purpose) = self.uses.get_mut(at) {
                *purpose = Use::Control;
            }
        }
        self.finals = finals;
    }
}

/// What the file says each token is for; the numbers are those of `tokenizer.ggml.token_type`.
fn purpose(code: u64, text: &str) -> Use {
    match code {
        2 => Use::Unknown,
        3 => Use::Control,
        4 if looks_like_a_mark(text) => Use::Tag,
        4 => Use::Whole,
        5 => Use::Unused,
        6 => Use::Byte,
        _ => Use::Text,
    }
}

/// Whether a token that the file calls a user's own is a word of the model's language: a person who
/// writes `<tool_call>` means the word, not the deed.
pub(super) fn looks_like_a_mark(text: &str) -> bool {
    let inside = |open: char, close: char| {
        text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).is_some_and(|name| {
            name.chars().any(char::is_alphanumeric) && !name.contains(char::is_whitespace)
        })
    };
    inside('<', '>') || inside('[', ']') || inside('＜', '＞') || inside('{', '}')
}

/// The tokens a file lists, each with what it is for.
pub(super) fn listed(header: &Header) -> Result<Vec<(&str, Use)>, Fault> {
    let texts = header
        .texts("tokenizer.ggml.tokens")
        .filter(|texts| !texts.is_empty())
        .ok_or_else(|| damaged("The file has no list of tokens."))?;
    let codes = header.numbers("tokenizer.ggml.token_type").unwrap_or_default();
    if !codes.is_empty() && codes.len() < texts.len() {
        return Err(damaged(format!(
            "The file has {} tokens, and says of {} what they are for.",
            texts.len(),
            codes.len()
        )));
    }
    let rows = header.tensor("token_embd.weight").map(super::super::header::TensorInfo::rows);
    if rows.is_some_and(|rows| rows < texts.len() as u64) {
        return Err(damaged(format!(
            "The file has {} tokens, and its network knows {}.",
            texts.len(),
            rows.unwrap_or_default()
        )));
    }
    let codes = codes.into_iter().chain(std::iter::repeat(1));
    Ok(texts.iter().zip(codes).map(|(text, code)| (text.as_str(), purpose(code, text))).collect())
}

/// The byte a byte-level vocabulary writes as this character: printable bytes stand for themselves,
/// the others for the characters from U+0100 on, in their order.
pub(super) fn byte_of_char() -> HashMap<char, u8> {
    let printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others = (0..=u8::MAX).filter(|byte| !printable(*byte));
    let shifted = ('\u{100}'..).zip(others);
    let own = (0..=u8::MAX).filter(|byte| printable(*byte)).map(|byte| (char::from(byte), byte));
    own.chain(shifted).collect()
}

/// The bytes that a text of a byte-level vocabulary stands for.
pub(super) fn bytes_of(text: &str, table: &HashMap<char, u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for char in text.chars() {
        match table.get(&char) {
            Some(byte) => bytes.push(*byte),
            None => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// The byte that a token like `<0x0A>` stands for.
pub(super) fn byte_named(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}
