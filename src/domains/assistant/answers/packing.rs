//! From passages found to sources numbered for an answer: no words twice, neighbours as one, within a budget.

use std::collections::BTreeSet;

use super::super::records::{Edition, Passage, Place, place_of};
use super::super::search::Answer;

/// The most characters of one source; neighbours that would make it longer stay apart.
const SOURCE_CHARS_MAX: usize = 4_000;
/// From this share of shared words on, two passages say the same.
const SAME_SHARE: f32 = 0.9;
/// A passage with fewer characters than this left of the budget is not begun.
const PIECE_CHARS_MIN: usize = 200;

/// Words that an answer may be made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The number that cites it, from 1.
    pub number: u32,
    /// From 0 to 1, as the search said of its best passage.
    pub score: f32,
    /// The best of its passages: its edition and its place in it.
    pub place: Place,
    /// What it is from.
    pub edition: Edition,
    /// The headings above it, outermost first.
    pub heading: Vec<String>,
    /// Every heading within it: a line that repeats one is no sentence.
    pub within: Vec<String>,
    /// Its words.
    pub text: String,
    /// Its first character in the document's text.
    pub start: u64,
    /// The character after its last.
    pub end: u64,
    /// The places of its first and last passage.
    span: (u32, u32),
}

impl Source {
    fn of(answer: Answer) -> Self {
        let place = place_of(answer.number);
        let Passage { start, end, heading, text } = answer.passage;
        Self {
            number: 0,
            score: answer.score,
            place,
            edition: answer.edition,
            within: heading.clone(),
            heading,
            text,
            start,
            end,
            span: (place.1, place.1),
        }
    }

    fn chars(&self) -> usize {
        usize::try_from(self.end.saturating_sub(self.start)).unwrap_or(usize::MAX)
    }

    /// Whether `next` begins where this ends.
    fn touches(&self, next: &Self) -> bool {
        self.place.0 == next.place.0
            && self.span.1.checked_add(1) == Some(next.span.0)
            && self.chars().saturating_add(next.chars()) <= SOURCE_CHARS_MAX
    }

    /// Takes in what follows it.
    fn append(&mut self, next: &Self) {
        self.text.push_str("\n\n");
        self.text.push_str(&next.text);
        self.end = next.end;
        self.span.1 = next.span.1;
        self.within.extend(next.within.iter().cloned());
        let common = self.heading.iter().zip(&next.heading).take_while(|(a, b)| a == b).count();
        if common > 0 {
            self.heading.truncate(common);
        }
        if next.score > self.score {
            (self.score, self.place) = (next.score, next.place);
        }
    }
}

/// Sources of what was found, best first, numbered from 1, `budget` characters at most: a passage that
/// does not fit is left out, and smaller ones after it may still fit; the best one is cut if it must be.
pub fn pack(found: Vec<Answer>, budget: usize) -> Vec<Source> {
    let mut kept: Vec<(Source, BTreeSet<String>)> = Vec::new();
    let mut left = budget;
    for answer in found {
        let mut source = Source::of(answer);
        let words = words(&source.text);
        if kept.iter().any(|(other, theirs)| repeats(&source, other, &words, theirs)) {
            continue;
        }
        if source.chars() > left {
            if !kept.is_empty() || left < PIECE_CHARS_MIN {
                continue;
            }
            source.text = source.text.chars().take(left).collect();
            source.end = source.start.saturating_add(left as u64);
        }
        left = left.saturating_sub(source.chars());
        kept.push((source, words));
    }
    let mut sources = joined(kept.into_iter().map(|(source, _)| source).collect());
    for (number, source) in (1..).zip(&mut sources) {
        source.number = number;
    }
    sources
}

/// Whether a passage adds nothing to another: its place is in the other's, or its words are.
fn repeats(
    one: &Source,
    other: &Source,
    words: &BTreeSet<String>,
    theirs: &BTreeSet<String>,
) -> bool {
    if one.place.0 == other.place.0 && one.start < other.end && other.start < one.end {
        return true;
    }
    let shared = words.intersection(theirs).count() as f32;
    shared >= SAME_SHARE * words.len().max(1) as f32
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// Neighbours as one, in the place of the better of them.
fn joined(sources: Vec<Source>) -> Vec<Source> {
    let mut joined: Vec<Source> = Vec::with_capacity(sources.len());
    for source in sources {
        let mut source = source;
        let mut place = joined.len();
        // It may close the gap between two that are there.
        while let Some(at) =
            joined.iter().position(|other| other.touches(&source) || source.touches(other))
        {
            let mut other = joined.remove(at);
            if other.touches(&source) {
                other.append(&source);
                source = other;
            } else {
                source.append(&other);
            }
            place = place.min(at);
        }
        joined.insert(place.min(joined.len()), source);
    }
    joined
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::clock::Moment;
    use crate::base::id::Id;
    use crate::domains::assistant::records::passage_number;

    pub(in super::super) fn found(edition: u32, ordinal: u32, score: f32, text: &str) -> Answer {
        let start = u64::from(ordinal) * 1000;
        Answer {
            number: passage_number((edition, ordinal)),
            score,
            by_words: true,
            by_meaning: false,
            bm25: score,
            cosine: None,
            passage: Passage {
                start,
                end: start + text.chars().count() as u64,
                heading: vec!["Guide".into(), format!("Part {ordinal}")],
                text: text.into(),
            },
            edition: Edition {
                document: Id([u8::try_from(edition).unwrap(); 16]),
                collection: "general".into(),
                path: "a.md".into(),
                title: "A".into(),
                language: "en".into(),
                date: Moment(0),
                sha256: [0; 32],
                passages: 9,
                characters: 9000,
            },
            highlights: Vec::new(),
        }
    }

    fn texts(sources: &[Source]) -> Vec<(u32, &str)> {
        sources.iter().map(|s| (s.number, s.text.as_str())).collect()
    }

    #[test]
    fn neighbours_are_one_source_in_the_place_of_the_better() {
        let sources = pack(
            vec![
                found(1, 4, 0.9, "fourth words"),
                found(2, 0, 0.8, "another paper"),
                found(1, 2, 0.7, "second thing"),
                found(1, 3, 0.6, "third thought"),
            ],
            10_000,
        );
        assert_eq!(
            texts(&sources),
            [(1, "second thing\n\nthird thought\n\nfourth words"), (2, "another paper")]
        );
        assert_eq!((sources[0].place, sources[0].score), ((1, 4), 0.9));
        assert_eq!((sources[0].start, sources[0].end), (2000, 4012));
        assert_eq!(sources[0].heading, ["Guide"]);
    }

    #[test]
    fn nothing_is_said_twice_and_the_budget_is_kept() {
        let long = "word ".repeat(100);
        let sources = pack(
            vec![
                found(1, 0, 0.9, "the very same words of a copy"),
                found(2, 0, 0.8, "The very same words, of a copy."),
                found(3, 0, 0.7, &long),
                found(4, 0, 0.6, "short and fitting"),
            ],
            100,
        );
        assert_eq!(
            texts(&sources),
            [(1, "the very same words of a copy"), (2, "short and fitting")]
        );
        let cut = pack(vec![found(3, 0, 0.7, &long)], 250);
        assert_eq!((cut.len(), cut[0].text.chars().count(), cut[0].end), (1, 250, 250));
        assert_eq!(pack(vec![found(3, 0, 0.7, &long)], 100), []);
    }
}
