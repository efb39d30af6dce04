//! Texts compared without case and accents, for lists that are looked through.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Characters below this are folded by a table: all that French and its neighbours write.
const KNOWN: u32 = 0x180;

static FOLDED: LazyLock<Vec<String>> =
    LazyLock::new(|| (0..KNOWN).filter_map(char::from_u32).map(slowly).collect());

/// A character without case and accent.
fn slowly(letter: char) -> String {
    let parted = letter.to_lowercase().nfd().filter(|part| !is_combining_mark(*part));
    parted.fold(String::new(), |mut text, part| {
        match part {
            'œ' => text.push_str("oe"),
            'æ' => text.push_str("ae"),
            'ß' => text.push_str("ss"),
            '’' => text.push('\''),
            other => text.push(other),
        }
        text
    })
}

/// Puts `text` without case and accents into `folded`, whatever was there.
fn fold_into(text: &str, folded: &mut String) {
    folded.clear();
    folded.reserve(text.len());
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !byte.is_ascii()) {
        let (plain, other) = rest.split_at(at);
        push_plain(plain, folded);
        let mut letters = other.chars();
        if let Some(letter) = letters.next() {
            match usize::try_from(u32::from(letter)).ok().and_then(|at| FOLDED.get(at)) {
                Some(known) => folded.push_str(known),
                None => folded.push_str(&slowly(letter)),
            }
        }
        rest = letters.as_str();
    }
    push_plain(rest, folded);
}

fn push_plain(plain: &str, folded: &mut String) {
    let from = folded.len();
    folded.push_str(plain);
    if let Some(new) = folded.get_mut(from..) {
        new.make_ascii_lowercase();
    }
}

/// Words that are looked for in many texts.
#[derive(Debug, Clone)]
pub(super) struct Needle {
    words: String,
    /// The text looked through last, folded; kept for its room.
    hay: String,
}

impl Needle {
    /// What is looked for; none when there are no words.
    pub(super) fn of(words: &str) -> Option<Self> {
        let mut folded = String::new();
        fold_into(words.trim(), &mut folded);
        (!folded.is_empty()).then_some(Self { words: folded, hay: String::new() })
    }

    /// Whether `text` holds the words, whatever their case and accents.
    pub(super) fn is_in(&mut self, text: &str) -> bool {
        fold_into(text, &mut self.hay);
        self.hay.contains(&self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_case_nor_accents_stand_in_the_way() {
        for (words, text, found) in [
            ("été", "L'ETE dernier", true),
            ("ete", "Un E\u{301}te\u{301}", true),
            ("ŒUVRE", "main-d'oeuvre", true),
            ("straße", "STRASSE", true),
            ("l’été", "l'été", true),
            ("Ωμέγα", "ωμεγα", true),
            ("hiver", "L'été", false),
            ("a b", "a  b", false),
        ] {
            assert_eq!(Needle::of(words).unwrap().is_in(text), found, "{words:?} in {text:?}");
        }
        assert!(Needle::of("  ").is_none());
    }
}
