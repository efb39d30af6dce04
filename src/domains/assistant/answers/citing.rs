//! Citations checked as an answer is written: none that was not given, and one for each sentence that a source bears out.
//!
//! A citation is `[3]` or `[1, 4]`. What a model writes goes through a [`Citer`] piece by piece: numbers of
//! no source are taken out, what might become a citation is held back until it is one or is none, and once
//! a sentence is over its numbers stand behind it: those of sources that bear it out, else the number of
//! the source that holds its words, else none.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::passages::goes_on;

/// The longest citation, characters; what is longer is text.
const MARK_MAX: usize = 40;
/// A sentence is borne out by a source that holds so much of what it says, by the weight of its words.
pub const SUPPORT_MIN: f32 = 0.6;

/// What knows how much of a sentence a source holds.
pub trait Support {
    /// The source that holds most of a sentence, with the share it holds; none for a sentence that says
    /// too little to be looked for.
    fn best(&self, sentence: &str) -> Option<(u32, f32)>;

    /// The share of a sentence that one source holds; none where the source is not there, or the sentence
    /// says too little to be looked for.
    fn share_of(&self, number: u32, sentence: &str) -> Option<f32>;
}

/// What came of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cited {
    /// The text with its checked citations.
    pub text: String,
    /// The numbers in it.
    pub citations: BTreeSet<u32>,
    /// Sentences with a citation, the model's own or one that was found.
    pub supported: usize,
    /// Sentences that say something and that no source bears out.
    pub unsupported: usize,
}

/// Checks a text that comes in pieces.
pub struct Citer<S> {
    support: S,
    /// How many sources there are.
    sources: u32,
    /// What came and was not let through yet.
    pending: String,
    /// The present sentence without its citations.
    sentence: String,
    /// The numbers that the present sentence claims, each once, in their order.
    claimed: Vec<u32>,
    /// Whether the last character may have ended it.
    ended: bool,
    done: Cited,
}

/// What stands at the start of a text.
enum Head {
    /// A citation: its bytes and its numbers.
    Mark(usize, Vec<u32>),
    /// The beginning of what may be one.
    Part,
    /// Something else.
    Text,
}

impl<S: Support> Citer<S> {
    /// A check against `sources` sources, numbered from 1.
    pub fn new(support: S, sources: usize) -> Self {
        Self {
            support,
            sources: u32::try_from(sources).unwrap_or(u32::MAX),
            pending: String::new(),
            sentence: String::new(),
            claimed: Vec::new(),
            ended: false,
            done: Cited::default(),
        }
    }

    /// Takes the next piece, and answers what may be shown of all that came.
    pub fn push(&mut self, piece: &str) -> String {
        self.pending.push_str(piece);
        self.advance(false)
    }

    /// What was let through until now.
    pub fn so_far(&self) -> &Cited {
        &self.done
    }

    /// Lets the rest through: what may be shown of it, and what came of the whole.
    pub fn finish(mut self) -> (String, Cited) {
        let mut rest = self.advance(true);
        rest.push_str(&self.close());
        (rest, self.done)
    }

    fn advance(&mut self, last: bool) -> String {
        let before = self.done.text.len();
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_str();
        while let Some(next) = rest.chars().next() {
            match head(rest) {
                Head::Mark(bytes, numbers) => {
                    self.mark(&numbers);
                    rest = rest.get(bytes..).unwrap_or_default();
                    continue;
                }
                Head::Part if !last => break,
                Head::Part | Head::Text => {}
            }
            if next.is_whitespace() && (self.ended || next == '\n') {
                let after = rest.trim_start();
                if after.is_empty() && !last {
                    break;
                }
                let gap = rest.get(..rest.len() - after.len()).unwrap_or_default();
                // The same rule as for passages: `M. Durand` and a wrapped line go on.
                let first = gap.chars().next().map(String::from).unwrap_or_default();
                if after.is_empty() || !goes_on(&format!("{}{first}", self.sentence), after) {
                    self.close();
                }
                self.sentence.push(' ');
                self.done.text.push_str(gap);
                self.ended = false;
                rest = after;
                continue;
            }
            self.ended = match next {
                '.' | '!' | '?' | '…' => true,
                '"' | '»' | '”' | '’' | ')' => self.ended,
                _ => false,
            };
            self.sentence.push(next);
            self.done.text.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
        rest.clone_into(&mut self.pending);
        self.done.text.get(before..).unwrap_or_default().to_owned()
    }

    /// Keeps the numbers of a citation that are some source's until the sentence is over.
    fn mark(&mut self, numbers: &[u32]) {
        for number in numbers {
            if (1..=self.sources).contains(number) && !self.claimed.contains(number) {
                self.claimed.push(*number);
            }
        }
        // Taking it out must not make a citation of what stands around it, as in `[[9]9]`: a blank that
        // no citation has goes between.
        if is_open(&self.done.text) {
            self.done.text.push('\u{a0}');
        }
    }

    /// Ends the present sentence, and answers the citations that it gets.
    fn close(&mut self) -> String {
        let sentence = std::mem::take(&mut self.sentence);
        let claimed = std::mem::take(&mut self.claimed);
        let sentence = sentence.trim();
        let bears = |number: &u32| {
            self.support.share_of(*number, sentence).is_some_and(|s| s >= SUPPORT_MIN)
        };
        let mut numbers: Vec<u32> = claimed.iter().copied().filter(bears).collect();
        if numbers.is_empty() {
            let best = self.support.best(sentence);
            // What says too little to be looked for needs no number; to claim one is to say something.
            if best.is_none() && (claimed.is_empty() || sentence.is_empty()) {
                return String::new();
            }
            let known = |(number, share): &(u32, f32)| {
                *share >= SUPPORT_MIN && (1..=self.sources).contains(number)
            };
            numbers.extend(best.filter(known).map(|(number, _)| number));
        }
        if numbers.is_empty() {
            self.done.unsupported += 1;
            return String::new();
        }
        self.done.supported += 1;
        let mut mark = String::from(" ");
        for number in numbers {
            // Writing into a string cannot fail.
            let _ = write!(mark, "[{number}]");
            self.done.citations.insert(number);
        }
        self.done.text.push_str(&mark);
        mark
    }
}

/// Whether a text ends with the beginning of a citation.
fn is_open(text: &str) -> bool {
    let tail = text.rfind('[').and_then(|at| text.get(at..)).unwrap_or_default();
    !tail.is_empty() && matches!(head(tail), Head::Part)
}

/// Reads a citation, with at most one space in front of it.
fn head(text: &str) -> Head {
    let spaces = usize::from(text.starts_with(' '));
    let rest = text.get(spaces..).unwrap_or_default();
    if rest.is_empty() && spaces > 0 {
        return Head::Part;
    }
    let Some(inside) = rest.strip_prefix('[') else { return Head::Text };
    let mut numbers = Vec::new();
    let mut digits = String::new();
    let mut before = '[';
    for (at, c) in inside.char_indices() {
        if at > MARK_MAX {
            return Head::Text;
        }
        match (before, c) {
            ('[' | ',' | ';' | ' ' | '0'..='9', '0'..='9') => digits.push(c),
            ('0'..='9', ',' | ';' | ']') => {
                // A number too long to be one is no source's.
                numbers.push(digits.parse().unwrap_or(0));
                digits.clear();
                if c == ']' {
                    return Head::Mark(spaces + 1 + at + 1, numbers);
                }
            }
            (',' | ';', ' ') => {}
            _ => return Head::Text,
        }
        before = c;
    }
    Head::Part
}

/// A text without its citations.
pub fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Head::Mark(bytes, _) = head(rest) {
            rest = rest.get(bytes..).unwrap_or_default();
        } else {
            bare.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
    bare
}

/// A text whose numbers in square brackets stand in round ones.
pub fn without_marks(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        match head(rest) {
            Head::Mark(bytes, _) => {
                let mark = rest.get(..bytes).unwrap_or_default();
                clean.extend(mark.chars().map(|c| match c {
                    '[' => '(',
                    ']' => ')',
                    other => other,
                }));
                rest = rest.get(bytes..).unwrap_or_default();
            }
            Head::Part | Head::Text => {
                clean.push(next);
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bears out whatever says "vrai" by the second source.
    struct Truth;

    impl Support for Truth {
        fn best(&self, sentence: &str) -> Option<(u32, f32)> {
            let says = sentence.split_whitespace().count() > 2;
            says.then(|| (2, if sentence.contains("vrai") { 0.9 } else { 0.1 }))
        }

        fn share_of(&self, number: u32, sentence: &str) -> Option<f32> {
            let own = format!("vrai{number}");
            let says = sentence.split_whitespace().count() > 2;
            says.then(|| if sentence.contains(&own) { 0.9 } else { 0.1 })
        }
    }

    fn cited(text: &str, size: usize) -> (String, Cited) {
        let mut citer = Citer::new(Truth, 3);
        let mut shown = String::new();
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(size.max(1)) {
            shown.push_str(&citer.push(&piece.iter().collect::<String>()));
        }
        let (last, found) = citer.finish();
        shown.push_str(&last);
        (shown, found)
    }

    /// The text without its citations and blanks.
    fn words(text: &str) -> String {
        bare(text).split_whitespace().collect()
    }

    fn numbers(text: &str) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for (at, _) in text.char_indices() {
            if let Head::Mark(_, numbers) = head(&text[at..]) {
                found.extend(numbers);
            }
        }
        found
    }

    #[test]
    fn numbers_are_checked_and_missing_ones_are_found() {
        for (text, wanted, counts) in [
            ("Repos vrai1 de onze heures [1].", "Repos vrai1 de onze heures. [1]", (1, 0)),
            (
                "Repos vrai1 de onze heures. [1] Bien.",
                "Repos vrai1 de onze heures. [1] Bien.",
                (1, 0),
            ),
            ("La pause offre du champagne [1].", "La pause offre du champagne.", (0, 1)),
            ("Ceci est vrai d'un autre [1].", "Ceci est vrai d'un autre. [2]", (1, 0)),
            ("C'est faux et cité [12].", "C'est faux et cité.", (0, 1)),
            ("Sources vrai1 et vrai3 [1, 9; 3].", "Sources vrai1 et vrai3. [1][3]", (1, 0)),
            ("Sources vrai1 et autre [1, 3].", "Sources vrai1 et autre. [1]", (1, 0)),
            (
                "Ceci est bien vrai. Ceci est mal dit.",
                "Ceci est bien vrai. [2] Ceci est mal dit.",
                (1, 1),
            ),
            ("Un vrai M. Durand le dit.\nOui", "Un vrai M. Durand le dit. [2]\nOui", (1, 0)),
            ("Un tableau [1 et [x] reste.", "Un tableau [1 et [x] reste.", (0, 1)),
            ("[[9]9] et [[1]", "[\u{a0}9] et [\u{a0}", (0, 1)),
        ] {
            for size in [1, 2, 3, 100] {
                let (shown, cited) = cited(text, size);
                assert_eq!(shown, wanted, "{text} by {size}");
                assert_eq!(shown, cited.text);
                assert_eq!((cited.supported, cited.unsupported), counts, "{text}");
            }
        }
    }

    #[test]
    fn what_may_become_a_citation_is_held_back_and_nothing_else() {
        let mut citer = Citer::new(Truth, 3);
        assert_eq!(citer.push("Onze heures"), "Onze heures");
        assert_eq!(citer.push(" [1"), "");
        assert_eq!(citer.push("2] de"), " de");
        assert_eq!(citer.push(" [a"), " [a");
    }

    #[test]
    fn quoted_numbers_do_not_cite() {
        assert_eq!(without_marks("voir [3] et [4, 5] mais [a]"), "voir (3) et (4, 5) mais [a]");
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-zé]{1,7}",
            2 => Just(" ".to_owned()),
            1 => Just("vrai ".to_owned()),
            2 => "\\[[0-9]{1,2}\\]",
            1 => "\\[[0-9, ;]{0,6}\\]?",
            2 => "[\\[\\] .,0-9]{1,4}",
            1 => Just(". ".to_owned()),
            1 => Just("\n".to_owned()),
            1 => any::<char>().prop_map(|c| c.to_string()),
        ]
    }

    proptest! {
        #[test]
        fn no_unknown_number_comes_out_and_no_word_is_lost(
            pieces in prop::collection::vec(piece(), 0..40),
            size in 1_usize..9,
        ) {
            let text = pieces.concat();
            let (shown, cited) = cited(&text, size);
            prop_assert_eq!(&shown, &cited.text);
            let numbers = numbers(&shown);
            prop_assert!(numbers.iter().all(|n| (1..=3).contains(n)), "{} gave {}", text, shown);
            prop_assert_eq!(numbers, cited.citations);
            prop_assert_eq!(words(&shown), words(&text));
        }
    }
}
