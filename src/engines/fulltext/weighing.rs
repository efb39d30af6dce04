//! How much the words of a text tell: the rarer a word among the passages that may answer, the more.

use std::collections::BTreeSet;

use tantivy::{Searcher, Term};

use super::FullText;
use super::analysis::{is_mark, terms};
use super::asked::{self, Place};
use super::schema::Tongue;
use super::search::{FUZZY_LETTERS_MIN, FUZZY_WEIGHT, Filter, WORDS_MAX, Within, near};
use crate::base::fault::Fault;
use crate::base::tasks::caught;

/// Words that ask and that no stop list of these languages holds: an answer seldom repeats them.
const ASKING: &[&str] = &[
    "quel",
    "quelle",
    "quels",
    "quelles",
    "comment",
    "pourquoi",
    "combien",
    "quand",
    "où",
    "qui",
    "que",
    "quoi",
    "lequel",
    "laquelle",
    "lesquels",
    "lesquelles",
    "est",
    "sont",
    "what",
    "how",
    "when",
    "where",
    "who",
    "whom",
    "whose",
    "why",
    "which",
    "do",
    "does",
    "did",
    "can",
    "could",
    "should",
    "many",
    "much",
    "was",
    "were",
    "wie",
    "wer",
    "wann",
    "wo",
    "warum",
    "welche",
    "welcher",
    "welches",
];

/// A word of a question, as one language reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// Its term.
    pub term: String,
    /// The terms that stand for it when no passage holds it as it is spelled.
    pub instead: Vec<String>,
    /// How much it tells: its inverse document frequency as BM25 takes it, in nats.
    pub weight: f32,
}

impl Weighed {
    /// How much of it a text with these terms holds, from 0 to 1.
    pub fn held_by(&self, terms: &BTreeSet<String>) -> f32 {
        if terms.contains(&self.term) {
            1.0
        } else if self.instead.iter().any(|term| terms.contains(term)) {
            FUZZY_WEIGHT
        } else {
            0.0
        }
    }
}

impl FullText {
    /// The terms of `text` as `language` reads it, in order: no stop words, stems where it has some.
    pub fn terms(&self, text: &str, language: &str) -> Vec<String> {
        self.fields.tongue(language).map_or_else(Vec::new, |t| terms(&t.analysis, text))
    }

    /// The words of a question as `language` reads them, each once, weighed among the passages of the
    /// filter's collections. What the question excludes and what it asks of fields is left out.
    ///
    /// # Errors
    /// `Broken` with what tantivy says.
    pub fn weighed(
        &self,
        query: &str,
        language: &str,
        filter: &Filter,
    ) -> Result<Vec<Weighed>, Fault> {
        let clauses = asked::read(query);
        let wanted = clauses
            .iter()
            .take(WORDS_MAX)
            .filter(|clause| !clause.excluded && clause.place == Place::Anywhere)
            .flat_map(|clause| telling(&clause.text))
            .flat_map(|word| self.terms(word, language));
        self.weigh(wanted, language, filter, true)
    }

    /// The terms of any text, each once, weighed as those of a question; none is taken for a slip.
    ///
    /// # Errors
    /// `Broken` with what tantivy says.
    pub fn weighed_text(
        &self,
        text: &str,
        language: &str,
        filter: &Filter,
    ) -> Result<Vec<Weighed>, Fault> {
        self.weigh(self.terms(text, language).into_iter(), language, filter, false)
    }

    fn weigh(
        &self,
        terms: impl Iterator<Item = String>,
        language: &str,
        filter: &Filter,
        slips: bool,
    ) -> Result<Vec<Weighed>, Fault> {
        let Some(tongue) = self.fields.tongue(language) else { return Ok(Vec::new()) };
        let mut seen = BTreeSet::new();
        let terms: Vec<String> = terms.filter(|term| seen.insert(term.clone())).collect();
        caught(|| {
            let searcher = self.reader.searcher();
            let broken = |e| Fault::broken("weighing words", e);
            let within = Within::of(&searcher, &self.fields, filter).map_err(broken)?;
            let passages = within.passages().unwrap_or_else(|| searcher.num_docs()) as f32;
            let weigh = |term: String| -> tantivy::Result<Weighed> {
                let held = held(&searcher, &within, tongue, &term)?;
                let mut instead = Vec::new();
                if slips && held == 0 && term.chars().count() >= FUZZY_LETTERS_MIN {
                    let near = near(&searcher, &within, &[(tongue, term.clone())])?;
                    instead = near.into_iter().map(|(_, term)| term).collect();
                }
                Ok(Weighed { term, instead, weight: rarity(held as f32, passages) })
            };
            terms.into_iter().map(weigh).collect::<tantivy::Result<_>>().map_err(broken)
        })
    }
}

/// The words of a text but for those that ask.
fn telling(text: &str) -> impl Iterator<Item = &str> {
    let asks = |word: &&str| ASKING.contains(&word.to_lowercase().as_str());
    // An accent that follows its letter belongs to the word.
    text.split(|c: char| !c.is_alphanumeric() && !is_mark(c))
        .filter(move |word| !word.is_empty() && !asks(word))
}

/// How many passages within the collections hold a term.
fn held(searcher: &Searcher, within: &Within, tongue: &Tongue, term: &str) -> tantivy::Result<u64> {
    let term = Term::from_field_text(tongue.field, term);
    let mut held = 0;
    for (ordinal, segment) in searcher.segment_readers().iter().enumerate() {
        let inverted = segment.inverted_index(tongue.field)?;
        if let Some(facts) = inverted.get_term_info(&term)? {
            held += u64::from(within.count(ordinal, &inverted, &facts, u32::MAX)?);
        }
    }
    Ok(held)
}

/// The inverse document frequency of BM25: never negative, greatest for a word that nothing holds.
fn rarity(held: f32, passages: f32) -> f32 {
    let others = (passages - held).max(0.0);
    (1.0 + (others + 0.5) / (held + 0.5)).ln()
}
