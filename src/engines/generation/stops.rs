//! Texts that end an answer, wherever the borders of its tokens fall.

/// One text to watch for, by Knuth, Morris and Pratt's automaton: a byte costs the same whatever the
/// length of the text.
struct Watched {
    text: Vec<u8>,
    /// For each beginning, the longest shorter one that it ends with.
    falls: Vec<usize>,
    /// How much of the text the answer ends with.
    matched: usize,
}

impl Watched {
    fn new(text: &str) -> Self {
        let text = text.as_bytes().to_vec();
        let mut watched = Self { falls: vec![0; text.len()], text, matched: 0 };
        for at in 1..watched.text.len() {
            let byte = watched.text.get(at).copied().unwrap_or_default();
            watched.step(byte);
            if let Some(fall) = watched.falls.get_mut(at) {
                *fall = watched.matched;
            }
        }
        watched.matched = 0;
        watched
    }

    fn step(&mut self, byte: u8) {
        while self.matched > 0 && self.text.get(self.matched) != Some(&byte) {
            self.matched = self.falls.get(self.matched - 1).copied().unwrap_or_default();
        }
        if self.text.get(self.matched) == Some(&byte) {
            self.matched += 1;
        }
    }

    fn whole(&self) -> bool {
        self.matched == self.text.len()
    }
}

/// What may be told of an answer after more of it was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// What is certain not to belong to a text that ends the answer.
    pub text: String,
    /// Whether such a text came; nothing after it is looked at.
    pub stopped: bool,
}

/// Watches an answer for texts that end it.
///
/// What may be the beginning of one is held back until it is certain. The text that is whole first
/// wins; of those that become whole with the same byte, the longest. So the answer does not depend on
/// how it was cut into tokens.
pub(super) struct Stops {
    watched: Vec<Watched>,
    held: String,
    stopped: bool,
}

impl Stops {
    /// Watches for `texts`; empty ones end nothing.
    pub fn new(texts: &[String]) -> Self {
        let texts = texts.iter().filter(|text| !text.is_empty());
        let watched = texts.map(|text| Watched::new(text)).collect();
        Self { watched, held: String::new(), stopped: false }
    }

    /// Takes more of the answer.
    pub fn push(&mut self, text: &str) -> Passed {
        if self.stopped {
            return Passed { text: String::new(), stopped: true };
        }
        let before = self.held.len();
        self.held.push_str(text);
        for (at, byte) in text.bytes().enumerate() {
            self.watched.iter_mut().for_each(|watched| watched.step(byte));
            let whole = self.watched.iter().filter(|watched| watched.whole());
            if let Some(longest) = whole.map(|watched| watched.text.len()).max() {
                let mut text = std::mem::take(&mut self.held);
                text.truncate((before + at + 1).saturating_sub(longest));
                self.stopped = true;
                return Passed { text, stopped: true };
            }
        }
        // A beginning starts where a character does, since the texts do.
        let open = self.watched.iter().map(|watched| watched.matched).max().unwrap_or_default();
        let held = self.held.split_off(self.held.len().saturating_sub(open));
        Passed { text: std::mem::replace(&mut self.held, held), stopped: false }
    }

    /// The answer ended by itself: what was held back belongs to it.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(texts: &[&str]) -> Stops {
        Stops::new(&texts.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn passed(text: &str, stopped: bool) -> Passed {
        Passed { text: text.into(), stopped }
    }

    #[test]
    fn a_beginning_is_held_back_until_it_is_certain() {
        let mut stops = of(&["Fin."]);
        assert_eq!(stops.push("C’est la F"), passed("C’est la ", false));
        assert_eq!(stops.push("i"), passed("", false));
        assert_eq!(stops.push("èvre. Fin"), passed("Fièvre. ", false));
        assert_eq!(stops.push(". Reste"), passed("", true));
        assert_eq!((stops.push(" ?"), stops.finish()), (passed("", true), String::new()));
        let mut stops = of(&["Fin."]);
        stops.push("La Fin");
        assert_eq!(stops.finish(), "Fin", "an answer that ends here keeps it");
    }

    #[test]
    fn overlaps_repeats_and_empty_texts() {
        assert_eq!(of(&["aab"]).push("xaaab"), passed("xa", true));
        assert_eq!(of(&["abcd", "bc"]).push("abcd"), passed("a", true), "whole first");
        assert_eq!(of(&["cd", "abcd"]).push("xabcd"), passed("x", true), "the longest");
        assert_eq!(of(&["", "é"]).push("caf\u{e9}!"), passed("caf", true));
        assert_eq!(of(&[]).push("tout"), passed("tout", false));
    }

    proptest! {
        /// However the answer is cut, the same of it is told, and never any of the text that ends it.
        #[test]
        fn cuts_change_nothing(
            text in "[abé]{0,40}", texts in prop::collection::vec("[abé]{1,5}", 0..4),
            cuts in prop::collection::vec(1_usize..5, 40),
        ) {
            let mut whole = Stops::new(&texts);
            let mut expected = whole.push(&text);
            if !expected.stopped {
                expected.text.push_str(&whole.finish());
            }
            let mut stops = Stops::new(&texts);
            let (mut told, mut stopped) = (String::new(), false);
            let mut letters = text.chars().peekable();
            for cut in cuts {
                let piece: String = letters.by_ref().take(cut).collect();
                let passed = stops.push(&piece);
                told.push_str(&passed.text);
                stopped = passed.stopped;
                if stopped || letters.peek().is_none() {
                    break;
                }
            }
            if !stopped {
                told.push_str(&stops.finish());
            }
            prop_assert_eq!(&told, &expected.text);
            prop_assert_eq!(stopped, texts.iter().any(|t| text.contains(t.as_str())));
            prop_assert!(!texts.iter().any(|t| told.contains(t.as_str())));
        }
    }
}
