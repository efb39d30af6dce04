//! Tokens become text as they come: whole characters only.

use super::Vocabulary;

/// What is written for bytes that are no character.
const NO_CHARACTER: char = char::REPLACEMENT_CHARACTER;

/// Writes an answer down, token by token.
pub struct Writer<'v> {
    vocabulary: &'v Vocabulary,
    /// Bytes of a character of which more is to come: at most three.
    waiting: Vec<u8>,
    /// The next space was put there by the vocabulary, not by the model.
    strips_space: bool,
}

impl<'v> Writer<'v> {
    pub(super) fn new(vocabulary: &'v Vocabulary, strips_space: bool) -> Self {
        Self { vocabulary, waiting: Vec::new(), strips_space }
    }

    /// The text that is whole now that `token` came; empty while a character is not complete.
    /// Control tokens write nothing.
    pub fn push(&mut self, token: u32) -> String {
        if self.vocabulary.is_special(token) {
            return String::new();
        }
        let mut bytes = self.vocabulary.bytes(token);
        if self.strips_space && !bytes.is_empty() {
            self.strips_space = false;
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.waiting.extend_from_slice(bytes);
        let (text, left) = whole(&self.waiting);
        self.waiting.drain(..self.waiting.len() - left);
        text
    }

    /// What is left at the end: a character that never became whole is written as U+FFFD.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.waiting).into_owned();
        self.waiting.clear();
        text
    }
}

/// The characters that `bytes` begin with, and how many bytes of a last one still wait for more.
fn whole(bytes: &[u8]) -> (String, usize) {
    let mut text = String::new();
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        text.push_str(chunk.valid());
        let wrong = chunk.invalid();
        if wrong.is_empty() {
            continue;
        }
        if chunks.peek().is_none() && may_go_on(wrong) {
            return (text, wrong.len());
        }
        text.push(NO_CHARACTER);
    }
    (text, 0)
}

/// Whether more bytes could make a character of these, which are not one yet.
fn may_go_on(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(wrong) if wrong.error_len().is_none())
}
