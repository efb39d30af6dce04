//! Finds, in a text, the tokens that are never cut: those of the model's own language, and only where
//! somebody vouches for the text.

use std::collections::HashMap;
use std::ops::Range;

use super::tokens::{Tokens, Use};

/// The tokens that are never cut.
pub(super) struct Marks {
    /// By their first byte; the longer first.
    by_first: HashMap<u8, Vec<Mark>>,
}

struct Mark {
    text: Box<str>,
    token: u32,
    /// Only a trusted text can say it.
    trusted: bool,
    /// White space behind it belongs to it.
    strips: bool,
}

/// A stretch of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text, which is still to be encoded.
    Text(Range<usize>),
    /// A token that is never cut; `strong` when it is a word of the model's own language.
    Mark { token: u32, strong: bool },
}

impl Marks {
    /// `strips` tells which tokens take the white space behind them.
    pub(super) fn of(tokens: &Tokens, strips: impl Fn(u32) -> bool) -> Self {
        let mut by_first: HashMap<u8, Vec<Mark>> = HashMap::new();
        for (token, bytes, purpose) in tokens.all() {
            let trusted = matches!(purpose, Use::Control | Use::Tag);
            if !trusted && purpose != Use::Whole {
                continue;
            }
            if let (Some(first), Ok(text)) = (bytes.first(), std::str::from_utf8(bytes)) {
                let mark = Mark { text: text.into(), token, trusted, strips: strips(token) };
                by_first.entry(*first).or_default().push(mark);
            }
        }
        for marks in by_first.values_mut() {
            marks.sort_by_key(|mark| (std::cmp::Reverse(mark.text.len()), mark.token));
        }
        Self { by_first }
    }

    /// Cuts a text at its marks; the leftmost wins, then the longest. `trusted` are the stretches
    /// somebody vouches for, in order and apart from one another: a mark of the model's own language
    /// lies wholly inside one of them.
    pub(super) fn cut(&self, text: &str, trusted: &[Range<usize>]) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut trusted = trusted.iter().peekable();
        let (mut begun, mut at) = (0, 0);
        let bytes = text.as_bytes();
        while let Some(first) = bytes.get(at) {
            while trusted.next_if(|range| range.end <= at).is_some() {}
            let vouched = trusted.peek().filter(|range| range.start <= at).map_or(at, |r| r.end);
            let Some(mark) = self.at(*first, text.get(at..), vouched - at) else {
                at += 1;
                continue;
            };
            if begun < at {
                parts.push(Part::Text(begun..at));
            }
            parts.push(Part::Mark { token: mark.token, strong: mark.trusted });
            at += mark.text.len();
            if mark.strips {
                let rest = text.get(at..).unwrap_or_default();
                at += rest.len() - rest.trim_start().len();
            }
            begun = at;
        }
        if begun < text.len() {
            parts.push(Part::Text(begun..text.len()));
        }
        parts
    }

    fn at(&self, first: u8, rest: Option<&str>, vouched: usize) -> Option<&Mark> {
        let rest = rest?;
        let fits = |mark: &&Mark| {
            (!mark.trusted || mark.text.len() <= vouched) && rest.starts_with(&*mark.text)
        };
        self.by_first.get(&first)?.iter().find(fits)
    }
}
