//! Vocabularies of scored pieces (`SentencePiece`; `tokenizer.ggml.model` is `llama`).

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::super::faults::damaged;
use super::super::header::Header;
use super::tokens::{Tokens, Use, byte_named, listed};
use crate::base::fault::Fault;

/// How a space is written in a piece.
const SPACE: char = '\u{2581}';

/// Finds pieces in a text: of all neighbours that are a piece together, those with the best score
/// are joined first, until no two can be joined.
pub(super) struct Pieces {
    /// Pieces by their text.
    known: HashMap<Box<str>, (u32, f64)>,
    /// The tokens of single bytes.
    bytes: Vec<Option<u32>>,
    /// What stands for a character that has neither piece nor bytes.
    unknown: Option<u32>,
}

/// Two neighbours that are a piece together.
struct Pair {
    score: f64,
    left: usize,
    right: usize,
    /// Bytes of both when the pair was found; another count later means that one of them grew.
    bytes: usize,
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pair {
    /// The better score first, then the one further to the left.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

/// A stretch of the text, linked to the ones beside it.
struct Stretch {
    begin: usize,
    end: usize,
    before: Option<usize>,
    after: Option<usize>,
}

/// The tokens of the file, and the machine that finds them in a text.
pub(super) fn read(header: &Header) -> Result<(Tokens, Pieces), Fault> {
    let listed = listed(header)?;
    let scores = header
        .floats("tokenizer.ggml.scores")
        .filter(|scores| scores.len() >= listed.len())
        .ok_or_else(|| damaged("The file has pieces of text without a score for each."))?;
    let mut tokens = Tokens::new();
    for (text, purpose) in &listed {
        match (purpose, byte_named(text)) {
            (Use::Byte, Some(byte)) => tokens.push(&[byte], Use::Byte),
            (Use::Control | Use::Tag | Use::Unknown, _) => tokens.push(text.as_bytes(), *purpose),
            _ => tokens.push(text.replace(SPACE, " ").as_bytes(), *purpose),
        }
    }
    tokens.find_ends(header, Some(1));
    let mut pieces = HashMap::with_capacity(listed.len());
    let mut bytes = vec![None; 256];
    let mut unknown = None;
    for ((token, (text, _)), score) in (0..).zip(&listed).zip(scores) {
        match tokens.purpose(token) {
            Use::Text | Use::Whole => {
                pieces.entry((*text).into()).or_insert((token, *score));
            }
            Use::Byte => {
                let byte = byte_named(text).map(usize::from);
                if let Some(slot) = byte.and_then(|byte| bytes.get_mut(byte)) {
                    *slot = Some(token);
                }
            }
            Use::Unknown => unknown = unknown.or(Some(token)),
            Use::Control | Use::Tag | Use::Unused => {}
        }
    }
    Ok((tokens, Pieces { known: pieces, bytes, unknown }))
}

impl Pieces {
    /// The tokens of a text, appended to `into`.
    pub(super) fn encode(&self, text: &str, into: &mut Vec<u32>) {
        let text = text.replace(' ', SPACE.encode_utf8(&mut [0; 4]));
        let mut stretches = cut(&text);
        let mut pairs = BinaryHeap::new();
        for left in 0..stretches.len() {
            self.look(&text, &stretches, left, &mut pairs);
        }
        while let Some(pair) = pairs.pop() {
            if !join(&mut stretches, &pair) {
                continue;
            }
            if let Some(before) = stretches.get(pair.left).and_then(|left| left.before) {
                self.look(&text, &stretches, before, &mut pairs);
            }
            self.look(&text, &stretches, pair.left, &mut pairs);
        }
        for stretch in stretches.iter().filter(|stretch| stretch.end > stretch.begin) {
            self.name(text.get(stretch.begin..stretch.end).unwrap_or_default(), into);
        }
    }

    /// Puts the pair that begins with `left` on the heap, when it is a piece.
    fn look(&self, text: &str, all: &[Stretch], left: usize, pairs: &mut BinaryHeap<Pair>) {
        let Some(one) = all.get(left) else { return };
        let Some((right, other)) = one.after.and_then(|at| Some((at, all.get(at)?))) else {
            return;
        };
        let piece = text.get(one.begin..other.end).and_then(|both| self.known.get(both));
        if let Some((_, score)) = piece {
            pairs.push(Pair { score: *score, left, right, bytes: other.end - one.begin });
        }
    }

    /// The token of one stretch; of its bytes when it has none.
    fn name(&self, stretch: &str, into: &mut Vec<u32>) {
        if let Some((token, _)) = self.known.get(stretch) {
            into.push(*token);
            return;
        }
        let bytes =
            stretch.bytes().map(|byte| self.bytes.get(usize::from(byte)).copied().flatten());
        match bytes.collect::<Option<Vec<_>>>() {
            Some(bytes) => into.extend(bytes),
            None => into.extend(self.unknown),
        }
    }
}

/// The text's characters, each a stretch of its own.
fn cut(text: &str) -> Vec<Stretch> {
    let count = text.chars().count();
    let stretches = text.char_indices().enumerate().map(|(at, (begin, char))| Stretch {
        begin,
        end: begin + char.len_utf8(),
        before: at.checked_sub(1),
        after: Some(at + 1).filter(|after| *after < count),
    });
    stretches.collect()
}

/// Makes one stretch of two; false when one of them has changed since the pair was found.
fn join(all: &mut [Stretch], pair: &Pair) -> bool {
    let Some(right) = all.get(pair.right) else { return false };
    let (right_begin, right_end, after) = (right.begin, right.end, right.after);
    let Some(left) = all.get_mut(pair.left) else { return false };
    let both_live = left.end > left.begin && right_end > right_begin;
    if !both_live || left.end != right_begin || right_end - left.begin != pair.bytes {
        return false;
    }
    left.end = right_end;
    left.after = after;
    if let Some(right) = all.get_mut(pair.right) {
        right.end = right.begin;
    }
    if let Some(next) = after.and_then(|at| all.get_mut(at)) {
        next.before = Some(pair.left);
    }
    true
}
