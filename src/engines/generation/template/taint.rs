//! Keeps apart, through a chat template, what the box wrote and what people wrote.
//!
//! A template trims, cuts and joins what people wrote, so that nothing around a text could follow it.
//! Every letter of it does: before the template runs, each character stands for itself by another one,
//! of the planes that Unicode left to private use, and afterwards each is put back. What came through
//! the template under such a name was written by a person, wherever the template put it.

use std::collections::{HashMap, HashSet};

use super::super::piece::Piece;
use crate::base::fault::Fault;

/// Characters nobody has given a meaning, in Unicode's planes 15 and 16.
const NAMELESS: [std::ops::RangeInclusive<char>; 2] =
    ['\u{f0000}'..='\u{ffffd}', '\u{100000}'..='\u{10fffd}'];

/// The characters of what people wrote, each by the name it goes by in the template.
pub(super) struct Taint {
    names: HashMap<char, char>,
    characters: HashMap<char, char>,
    free: Box<dyn Iterator<Item = char>>,
}

/// Whether a character stays itself: templates look for white space, and quoting needs the other two.
/// No mark of any model consists of these alone.
fn stays(character: char) -> bool {
    character.is_whitespace() || matches!(character, '"' | '\\')
}

impl Taint {
    /// Names that do not occur in `sources`: the template, and what is given to it as it is.
    pub(super) fn new(sources: &[&str]) -> Self {
        let taken: HashSet<char> = sources
            .iter()
            .flat_map(|source| source.chars())
            .filter(|c| *c >= '\u{f0000}')
            .collect();
        let free = NAMELESS.into_iter().flatten().filter(move |c| !taken.contains(c));
        Self { names: HashMap::new(), characters: HashMap::new(), free: Box::new(free) }
    }

    /// The text as the template sees it: as many characters, the white space in its place.
    ///
    /// `prompt_too_large` when there are more different characters than names.
    pub(super) fn mask(&mut self, text: &str) -> Result<String, Fault> {
        text.chars().map(|character| self.name(character)).collect()
    }

    fn name(&mut self, character: char) -> Result<char, Fault> {
        if stays(character) {
            return Ok(character);
        }
        if let Some(name) = self.names.get(&character) {
            return Ok(*name);
        }
        let name = self.free.next().ok_or_else(|| {
            Fault::invalid("prompt_too_large", "The prompt has too many different characters.")
        })?;
        self.names.insert(character, name);
        self.characters.insert(name, character);
        Ok(name)
    }

    /// What the template made, in pieces, with every character itself again.
    pub(super) fn unmask(&self, rendered: &str) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        // What stays itself belongs to what is around it: to people's text only when inside of it.
        let mut between = String::new();
        let add = |pieces: &mut Vec<Piece>, text: &str, trusted| match pieces
            .last_mut()
            .filter(|last| last.trusted == trusted)
        {
            Some(last) => last.text.push_str(text),
            None if text.is_empty() => {}
            None => pieces.push(Piece { text: text.to_owned(), trusted }),
        };
        for character in rendered.chars() {
            let own = self.characters.get(&character).copied();
            if own.is_none() && stays(character) {
                between.push(character);
                continue;
            }
            let inside = own.is_some() && pieces.last().is_some_and(|last| !last.trusted);
            add(&mut pieces, &between, !inside);
            between.clear();
            let text = own.unwrap_or(character);
            add(&mut pieces, text.encode_utf8(&mut [0; 4]), own.is_none());
        }
        add(&mut pieces, &between, true);
        pieces
    }
}
