//! An answer made of the passages' own sentences: the best of them, none twice, each with its source.

use std::collections::{BTreeMap, BTreeSet};

use super::super::passages::sentences;
use super::packing::Source;
use crate::engines::fulltext::Weighed;

/// The most sentences of an answer.
const SENTENCES_MAX: usize = 5;
/// Sentences that are taken although they score lower than [`WORTH`] of the best, if they say anything.
const SENTENCES_USUAL: usize = 2;
/// From this share of the best sentence's score on, another one is worth reading.
const WORTH: f32 = 0.6;
/// The same for the sentences up to [`SENTENCES_USUAL`].
const WORTH_USUAL: f32 = 0.4;
/// What the question's words count in a sentence's score.
const BY_WORDS: f32 = 0.5;
/// What its meaning counts, where there is a model.
const BY_MEANING: f32 = 0.25;
/// What its passage's score counts.
const BY_PASSAGE: f32 = 0.2;
/// What standing first in its passage counts.
const BY_POSITION: f32 = 0.05;
/// What a word of the title or the headings counts, against one of the sentence.
const ABOVE: f32 = 0.5;
/// The share of the question's words, by weight, that the best sentence must hold itself.
const BEARS_MIN: f32 = 0.2;
/// How much a sentence loses that says what was said (maximal marginal relevance).
const REPETITION: f32 = 0.5;
/// Fewer words than this are a heading or a cell, seldom an answer.
const WORDS_MIN: usize = 4;
/// What such a scrap's score is multiplied by.
const SCRAP: f32 = 0.5;
/// The longest sentence, characters: rows of tables have no end.
const CHARS_MAX: usize = 500;

/// A sentence that might answer.
#[derive(Debug, Clone)]
pub struct Sentence {
    /// The place of its source among the sources.
    source: usize,
    /// Its place in its source.
    place: usize,
    /// Its words, on one line.
    pub text: String,
    terms: BTreeSet<String>,
}

/// What reads texts for the words that count.
pub trait Terms {
    /// The terms of a text of that language.
    fn terms(&self, text: &str, language: &str) -> BTreeSet<String>;
}

/// An answer out of sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extract {
    /// Its pieces in order, each a sentence with its number and what parts it from the one before.
    pub pieces: Vec<String>,
    /// The numbers that it cites.
    pub citations: BTreeSet<u32>,
}

/// The sentences of the sources.
pub fn split(sources: &[Source], terms: &dyn Terms) -> Vec<Sentence> {
    let mut all = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        for (place, bytes) in sentences(&source.text).into_iter().enumerate() {
            let text = tidy(source.text.get(bytes).unwrap_or_default());
            // What only announces ("in this order:") says nothing without what follows.
            let says = text.chars().any(char::is_alphanumeric) && !text.ends_with(':');
            if says && !is_heading(&text, source) {
                let terms = terms.terms(&text, &source.edition.language);
                all.push(Sentence { source: at, place, text, terms });
            }
        }
    }
    all
}

/// A sentence on one line, without what marks lists and quotes in plain text. A number in square brackets
/// is put in round ones: in an answer, square ones cite.
fn tidy(text: &str) -> String {
    let marks = |c: char| matches!(c, '-' | '*' | '•' | '–' | '>' | '#' | '|') || c.is_whitespace();
    let mut line = text.trim_start_matches(marks).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > CHARS_MAX {
        let cut: String = line.chars().take(CHARS_MAX).collect();
        let whole = cut.rfind(' ').and_then(|at| cut.get(..at)).unwrap_or(&cut);
        line = format!("{whole} …");
    }
    super::citing::without_marks(&line)
}

/// Whether it only repeats the title or a heading.
fn is_heading(text: &str, source: &Source) -> bool {
    let bare = |text: &str| text.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let text = bare(text);
    let mut above = source.within.iter().chain([&source.edition.title]);
    above.any(|heading| bare(heading) == text)
}

/// How near sentences are to the question by meaning, and to one another.
pub struct Meaning {
    /// The question's vector.
    pub question: Vec<f32>,
    /// Each sentence's vector.
    pub sentences: Vec<Vec<f32>>,
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>().max(0.0)
}

/// The sentences that come first by words alone, so that only these need vectors; at most `most`.
pub fn shortlist(
    all: Vec<Sentence>,
    sources: &[Source],
    asked: &BTreeMap<String, Vec<Weighed>>,
    terms: &dyn Terms,
    most: usize,
) -> Vec<Sentence> {
    let scores = scores(&all, sources, asked, terms, None);
    let mut order: Vec<usize> = (0..all.len()).collect();
    let score = |at: &usize| scores.get(*at).copied().unwrap_or_default();
    order.sort_by(|a, b| score(b).total_cmp(&score(a)));
    order.truncate(most);
    let kept: BTreeSet<usize> = order.into_iter().collect();
    all.into_iter().enumerate().filter(|(at, _)| kept.contains(at)).map(|(_, one)| one).collect()
}

/// Chooses the sentences that answer best and puts them together: documents by their best sentence, the
/// sentences of a document in reading order. `asked` holds the question's words by language.
pub fn choose(
    all: &[Sentence],
    sources: &[Source],
    asked: &BTreeMap<String, Vec<Weighed>>,
    terms: &dyn Terms,
    meaning: Option<&Meaning>,
) -> Extract {
    let scores = scores(all, sources, asked, terms, meaning);
    let best = scores.iter().copied().fold(0.0, f32::max);
    if !all.iter().any(|sentence| bears(sentence, sources, asked)) {
        return Extract::default();
    }
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < SENTENCES_MAX.min(all.len()) {
        let worth = if chosen.len() < SENTENCES_USUAL { WORTH_USUAL } else { WORTH };
        let next = (0..all.len())
            .filter(|at| !chosen.contains(at))
            .map(|at| {
                let said = chosen.iter().map(|other| likeness(all, at, *other, meaning));
                let said = said.fold(0.0, f32::max);
                (at, scores.get(at).copied().unwrap_or_default() * (1.0 - REPETITION * said), said)
            })
            .filter(|(_, score, said)| *said < 0.95 && *score > 0.0 && *score >= worth * best)
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        let Some((next, _, _)) = next else { break };
        chosen.push(next);
    }
    together(all, sources, &chosen)
}

/// Whether a sentence holds enough of the question's own words: where none does, sentences stitched
/// together would be no answer.
fn bears(sentence: &Sentence, sources: &[Source], asked: &BTreeMap<String, Vec<Weighed>>) -> bool {
    let Some(source) = sources.get(sentence.source) else { return false };
    let words = asked.get(&source.edition.language).map_or(&[] as &[_], Vec::as_slice);
    words.is_empty() || share(words, &sentence.terms) >= BEARS_MIN
}

fn scores(
    all: &[Sentence],
    sources: &[Source],
    asked: &BTreeMap<String, Vec<Weighed>>,
    terms: &dyn Terms,
    meaning: Option<&Meaning>,
) -> Vec<f32> {
    let above: Vec<BTreeSet<String>> = sources.iter().map(|s| above(s, terms)).collect();
    let score = |(at, sentence): (usize, &Sentence)| {
        let Some(source) = sources.get(sentence.source) else { return 0.0 };
        let words = asked.get(&source.edition.language).map_or(&[] as &[_], Vec::as_slice);
        let own = share(words, &sentence.terms);
        let with = above.get(sentence.source).map_or(own, |above| share(words, above));
        let by_words = (own + ABOVE * (with - own).max(0.0)).min(1.0);
        let near = meaning.map(|m| m.sentences.get(at).map_or(0.0, |v| cosine(&m.question, v)));
        let (by_words_weight, by_meaning) = match near {
            Some(near) => (BY_WORDS, BY_MEANING * near),
            None => (BY_WORDS + BY_MEANING, 0.0),
        };
        let position = BY_POSITION / (sentence.place as f32 + 1.0);
        let score = by_words_weight * by_words + by_meaning + BY_PASSAGE * source.score + position;
        let words = sentence.text.split_whitespace().count();
        if words < WORDS_MIN { SCRAP * score } else { score }
    };
    all.iter().enumerate().map(score).collect()
}

/// The terms of what stands above a source.
fn above(source: &Source, terms: &dyn Terms) -> BTreeSet<String> {
    let mut above = terms.terms(&source.edition.title, &source.edition.language);
    for heading in &source.heading {
        above.extend(terms.terms(heading, &source.edition.language));
    }
    above
}

fn share(words: &[Weighed], terms: &BTreeSet<String>) -> f32 {
    let all: f32 = words.iter().map(|word| word.weight).sum();
    let held: f32 = words.iter().map(|word| word.weight * word.held_by(terms)).sum();
    if all > 0.0 { held / all } else { 0.0 }
}

/// How much two sentences say the same.
fn likeness(all: &[Sentence], one: usize, other: usize, meaning: Option<&Meaning>) -> f32 {
    let (Some(a), Some(b)) = (all.get(one), all.get(other)) else { return 0.0 };
    let shared = a.terms.intersection(&b.terms).count() as f32;
    let least = a.terms.len().min(b.terms.len()).max(1) as f32;
    let by_words = shared / least;
    let vectors = meaning.and_then(|m| m.sentences.get(one).zip(m.sentences.get(other)));
    vectors.map_or(by_words, |(a, b)| f32::midpoint(by_words, cosine(a, b)))
}

fn together(all: &[Sentence], sources: &[Source], chosen: &[usize]) -> Extract {
    let mut extract = Extract::default();
    let mut documents = Vec::new();
    let document = |at: usize| {
        let source = all.get(at).and_then(|sentence| sources.get(sentence.source));
        source.map(|source| source.edition.document)
    };
    for at in chosen {
        if let Some(document) = document(*at)
            && !documents.contains(&document)
        {
            documents.push(document);
        }
    }
    for wanted in documents {
        let mut here: Vec<(u64, usize, &Sentence, u32)> = chosen
            .iter()
            .filter(|at| document(**at) == Some(wanted))
            .filter_map(|at| all.get(*at))
            .filter_map(|s| sources.get(s.source).map(|from| (from.start, s.place, s, from.number)))
            .collect();
        here.sort_by_key(|(start, place, ..)| (*start, *place));
        for (nth, (_, _, sentence, number)) in here.into_iter().enumerate() {
            let gap = match (extract.pieces.is_empty(), nth) {
                (true, _) => "",
                (false, 0) => "\n\n",
                (false, _) => " ",
            };
            extract.pieces.push(format!("{gap}{} [{number}]", sentence.text));
            extract.citations.insert(number);
        }
    }
    extract
}

#[cfg(test)]
mod tests {
    use super::super::packing::pack;
    use super::super::packing::tests::found;
    use super::*;

    /// Every word of more than three letters.
    struct Long;

    impl Terms for Long {
        fn terms(&self, text: &str, _: &str) -> BTreeSet<String> {
            let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            words.filter(|word| word.chars().count() > 3).collect()
        }
    }

    fn extract(question: &str, passages: &[(u32, u32, f32, &str)]) -> Extract {
        let found =
            passages.iter().map(|(e, o, score, text)| found(*e, *o, *score, text)).collect();
        let sources = pack(found, 10_000);
        let words = Long.terms(question, "en").into_iter();
        let asked = words.map(|term| Weighed { term, instead: Vec::new(), weight: 1.0 }).collect();
        let asked = BTreeMap::from([("en".to_owned(), asked)]);
        let all = shortlist(split(&sources, &Long), &sources, &asked, &Long, 20);
        choose(&all, &sources, &asked, &Long, None)
    }

    #[test]
    fn the_sentence_that_answers_comes_with_its_number() {
        let extract = extract(
            "How long does the daily rest last?",
            &[
                (
                    1,
                    0,
                    0.9,
                    "Part 0\n\nThe truck is blue. The daily rest must last eleven hours. It rains [4].",
                ),
                (2, 0, 0.5, "Washing takes place on Friday evening."),
            ],
        );
        assert!(
            extract.pieces[0].contains("The daily rest must last eleven hours. [1]"),
            "{extract:?}"
        );
        let text = extract.pieces.concat();
        assert!(
            !text.contains("Friday") && !text.contains("[4]") && !text.contains("Part 0"),
            "{text}"
        );
        assert_eq!(extract.citations, BTreeSet::from([1]));
    }

    #[test]
    fn nothing_is_said_twice_and_documents_keep_their_order() {
        let extract = extract(
            "brake pressure of the trailer",
            &[
                (
                    1,
                    0,
                    0.8,
                    "The trailer needs brake pressure before it moves. Unrelated words stand here \
                     quietly. The trailer loses brake pressure when parked overnight.",
                ),
                (2, 0, 0.7, "The trailer needs brake pressure before it ever moves at all."),
            ],
        );
        let text = extract.pieces.concat();
        let (first, second) = (text.find("before it moves"), text.find("parked overnight"));
        assert!(first.is_some() && second.is_some() && first < second, "{text}");
        assert!(!text.contains("ever moves") && !text.contains("Unrelated"), "{text}");
    }

    #[test]
    fn rows_without_end_and_marks_of_lists_are_tidied() {
        assert_eq!(tidy("- * un point [12]\n  coupé"), "un point (12) coupé");
        let long = tidy(&"cellule ".repeat(200));
        assert!(long.ends_with(" …") && long.chars().count() <= CHARS_MAX + 2, "{long}");
    }
}
