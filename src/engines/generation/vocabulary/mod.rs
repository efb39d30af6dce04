//! A model's tokens: texts become numbers, and numbers texts.
//!
//! What a person writes never becomes a mark of the model's own language (`<|im_end|>` and the like):
//! such marks are looked for before anything else, and only in the pieces of a prompt that the box
//! itself wrote. See [`Vocabulary::encode_pieces`].

mod byte_level;
mod foreign;
mod marks;
mod pieces;
#[cfg(test)]
mod tests;
mod tokens;
mod writer;

use std::ops::Range;

use tokenizers::Tokenizer;

use marks::{Marks, Part};
use pieces::Pieces;
use tokens::{Tokens, Use};
pub use writer::Writer;

use super::faults::{damaged, unsupported};
use super::header::Header;
use super::piece::Piece;
use crate::base::fault::Fault;
use crate::base::tasks::caught;

/// What finds tokens in a text without marks.
enum Machine {
    Bytes(Box<Tokenizer>),
    Pieces(Pieces),
}

/// Whether a text begins with a space that nobody wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix {
    None,
    /// At the beginning and behind each mark.
    Always,
    /// The same, unless there is one already.
    UnlessThere,
    /// At the beginning alone, unless there is one already.
    AtStart,
}

/// A model's vocabulary.
pub struct Vocabulary {
    tokens: Tokens,
    machine: Machine,
    marks: Marks,
    prefix: Prefix,
    adds_bos: bool,
}

impl Vocabulary {
    /// The vocabulary of a model: of the `tokenizer.json` beside it, or of the file itself.
    ///
    /// `model_damaged` when it contradicts itself, `model_unsupported` when it is of a kind that this
    /// box does not read.
    pub fn of(header: &Header, tokenizer_json: Option<&[u8]>) -> Result<Self, Fault> {
        // The crate below takes some contradictions for impossible.
        caught(|| match tokenizer_json {
            Some(bytes) => Self::of_json(header, bytes),
            None => Self::of_header(header),
        })
        .map_err(|fault| match fault.code {
            "internal" => damaged("The model's vocabulary cannot be read.").because(fault),
            _ => fault,
        })
    }

    fn of_json(header: &Header, bytes: &[u8]) -> Result<Self, Fault> {
        let foreign = foreign::read(header, bytes)?;
        let marks = Marks::of(&foreign.tokens, |token| foreign.strips.contains(&token));
        let pieces = header.text("tokenizer.ggml.model") == Some("llama");
        let adds_bos = header.flag("tokenizer.ggml.add_bos_token").unwrap_or(pieces);
        Ok(Self {
            tokens: foreign.tokens,
            machine: Machine::Bytes(Box::new(foreign.machine)),
            marks,
            prefix: foreign.prefix,
            adds_bos,
        })
    }

    fn of_header(header: &Header) -> Result<Self, Fault> {
        let kind = header.text("tokenizer.ggml.model").ok_or_else(|| {
            damaged("The file has no vocabulary, and no tokenizer.json is beside it.")
        })?;
        let adds_bos = header.flag("tokenizer.ggml.add_bos_token");
        let adds_space = header.flag("tokenizer.ggml.add_space_prefix");
        match kind {
            "gpt2" => {
                let (tokens, machine, cutting) = byte_level::read(header)?;
                Ok(Self {
                    marks: Marks::of(&tokens, |_| false),
                    tokens,
                    machine: Machine::Bytes(Box::new(machine)),
                    prefix: Prefix::None,
                    adds_bos: adds_bos.unwrap_or(cutting.begins),
                })
            }
            "llama" => {
                let (tokens, pieces) = pieces::read(header)?;
                // Phi-3's own files say so beside the model, and GGUF has no key for it.
                let strips = header.architecture() == Some("phi3");
                let strips = |token| strips && tokens.is_mark(token) && Some(token) != tokens.bos;
                Ok(Self {
                    marks: Marks::of(&tokens, strips),
                    tokens,
                    machine: Machine::Pieces(pieces),
                    prefix: if adds_space.unwrap_or(true) { Prefix::Always } else { Prefix::None },
                    adds_bos: adds_bos.unwrap_or(true),
                })
            }
            other => Err(unsupported(format!(
                "The model's vocabulary is of the kind {other}, which this box does not read."
            ))),
        }
    }

    /// The tokens of a text. `specials` tells whether marks of the model's own language are understood
    /// in it: only in what the box wrote itself.
    pub fn encode(&self, text: &str, specials: bool) -> Result<Vec<u32>, Fault> {
        self.encode_pieces(&[Piece { text: text.to_owned(), trusted: specials }])
    }

    /// The tokens of a text in pieces, as if they were one text; marks are understood only where they
    /// lie wholly in what is trusted.
    pub fn encode_pieces(&self, pieces: &[Piece]) -> Result<Vec<u32>, Fault> {
        let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        let mut tokens = Vec::with_capacity(text.len() / 3);
        let mut fresh = true;
        for part in self.marks.cut(&text, &trusted(pieces)) {
            match part {
                Part::Mark { token, strong } => {
                    tokens.push(token);
                    fresh = strong;
                }
                Part::Text(range) => {
                    self.plain(text.get(range).unwrap_or_default(), fresh, &mut tokens)?;
                    fresh = false;
                }
            }
        }
        Ok(tokens)
    }

    /// The tokens of a whole prompt: those of its pieces, after the token of beginnings where the
    /// model wants one and the pieces do not have it already.
    pub fn prompt(&self, pieces: &[Piece]) -> Result<Vec<u32>, Fault> {
        let mut tokens = self.encode_pieces(pieces)?;
        if let Some(bos) = self.bos().filter(|bos| self.adds_bos && tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    /// The tokens of a text in which no mark is understood.
    fn plain(&self, text: &str, fresh: bool, into: &mut Vec<u32>) -> Result<(), Fault> {
        let there = text.starts_with(' ');
        let spaced = match self.prefix {
            Prefix::None => false,
            Prefix::Always => fresh,
            Prefix::UnlessThere => fresh && !there,
            Prefix::AtStart => into.is_empty() && !there,
        };
        if spaced { self.bare(&format!(" {text}"), into) } else { self.bare(text, into) }
    }

    fn bare(&self, text: &str, into: &mut Vec<u32>) -> Result<(), Fault> {
        let machine = match &self.machine {
            Machine::Pieces(pieces) => {
                pieces.encode(text, into);
                return Ok(());
            }
            Machine::Bytes(machine) => machine,
        };
        let found = caught(|| {
            machine.encode_fast(text, false).map_err(|e| Fault::broken("encoding a text", e))
        })?;
        let tokens = found.get_ids();
        if !tokens.iter().any(|token| self.tokens.is_mark(*token)) {
            into.extend_from_slice(tokens);
            return Ok(());
        }
        // A vocabulary that spells its marks with its own merges: cut the text until it cannot.
        let middle = text.len() / 2;
        let middle = text.char_indices().map(|(at, _)| at).find(|at| *at >= middle.max(1));
        let Some((left, right)) = middle.and_then(|at| text.split_at_checked(at)) else {
            return Ok(());
        };
        self.bare(left, into)?;
        self.bare(right, into)
    }

    /// Writes an answer down that begins after the token `before`.
    pub fn writer(&self, before: Option<u32>) -> Writer<'_> {
        let fresh = before.is_none_or(|token| self.tokens.is_mark(token));
        Writer::new(self, fresh && self.prefix != Prefix::None)
    }

    /// The token of beginnings.
    pub fn bos(&self) -> Option<u32> {
        self.tokens.bos
    }

    /// Whether a prompt begins with [`Vocabulary::bos`].
    pub fn adds_bos(&self) -> bool {
        self.adds_bos && self.tokens.bos.is_some()
    }

    /// Every token that ends an answer, in the order of their numbers.
    pub fn ends(&self) -> &[u32] {
        &self.tokens.finals
    }

    /// The exact bytes of a token: of a control token, of its name; of none, nothing.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.tokens.bytes(token)
    }

    /// Whether a token is never written out.
    pub fn is_special(&self, token: u32) -> bool {
        matches!(self.tokens.purpose(token), Use::Control | Use::Unknown | Use::Unused)
    }

    /// How many tokens there are; the network may have more rows than that.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The stretches of the joined pieces that are trusted; neighbours are one.
fn trusted(pieces: &[Piece]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for piece in pieces {
        let end = at + piece.text.len();
        if piece.trusted {
            match ranges.last_mut().filter(|last| last.end == at) {
                Some(last) => last.end = end,
                None => ranges.push(at..end),
            }
        }
        at = end;
    }
    ranges
}
