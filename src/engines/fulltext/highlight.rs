//! Which words of a passage answered a question.

use std::collections::{BTreeMap, BTreeSet};

use tantivy::tokenizer::TokenStream;

use super::FullText;

/// The terms a search looked for, for each language's field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Terms by language.
    pub(super) stems: BTreeMap<&'static str, BTreeSet<String>>,
    /// Whole words of phrases, in any language.
    pub(super) words: BTreeSet<String>,
}

impl FullText {
    /// The words of `text` that match `terms`, as ranges of characters (not bytes), in order.
    pub fn highlights(&self, text: &str, language: &str, terms: &Terms) -> Vec<(usize, usize)> {
        let mut bytes = BTreeSet::new();
        if let Some(tongue) = self.fields.tongue(language)
            && let Some(stems) = terms.stems.get(tongue.code)
        {
            let mut analysis = tongue.analysis.clone();
            let mut stream = analysis.token_stream(text);
            while let Some(token) = stream.next() {
                if stems.contains(&token.text) {
                    bytes.insert((token.offset_from, token.offset_to));
                }
            }
        }
        if !terms.words.is_empty() {
            let mut analysis = self.fields.plain.clone();
            let mut stream = analysis.token_stream(text);
            while let Some(token) = stream.next() {
                if terms.words.contains(&token.text) {
                    bytes.insert((token.offset_from, token.offset_to));
                }
            }
        }
        characters(text, &bytes)
    }
}

/// Ranges of bytes as ranges of characters, in one walk over the text.
fn characters(text: &str, ranges: &BTreeSet<(usize, usize)>) -> Vec<(usize, usize)> {
    let (mut at, mut count) = (0, 0);
    let mut upto = |byte: usize| {
        count += text.get(at..byte).unwrap_or_default().chars().count();
        at = byte;
        count
    };
    ranges.iter().map(|(from, to)| (upto(*from), upto(*to))).collect()
}
