//! Whether what was found is strong enough to answer from: signals that do not depend on one another.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::search::{Answer, Scales};
use crate::base::fault::Fault;
use crate::engines::fulltext::Weighed;

/// So many of the best passages are looked at together.
const WITNESSES: usize = 5;
/// What BM25 gives a word at most, against its inverse document frequency: `k1 + 1`.
const SATURATION: f32 = 2.2;

/// Where no model reads the passages' language, there is no answer when the best passage's BM25 stays below
/// this share of what the question's words could give, and its coverage below [`COVERAGE_MIN`].
///
/// `ilot eval --refusal`, every question asked with its article there and with its article left out; the
/// articles of even numbers chose, the others are reported on. By words alone this refuses wrongly 4.6 % of
/// PIAF's French questions (3,667) and rightly 40.0 % of those without an answer; in English (`XQuAD`, 574)
/// 1.6 % and 77.7 %. Both together, because in papers of several languages either alone refuses what a
/// short passage in the other language tells.
pub const BM25_MIN: f32 = 0.25;
/// See [`BM25_MIN`].
pub const COVERAGE_MIN: f32 = 0.4;
/// Where a model reads the passages' language, there is no answer when coverage and cosine together stay
/// below this.
///
/// With all-minilm-l6-v2 in English (`XQuAD`, the same 574 questions) it refuses wrongly 1.9 % and rightly
/// 93.9 % of those without an answer.
pub const COVERAGE_AND_COSINE_MIN: f32 = 0.83;

/// How strong what was found is, on scales that another question's passages share; each from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Strength {
    /// The share of the question's words, weighed by their rarity, that one of the best passages holds.
    pub coverage: f32,
    /// The same for the best passages together.
    pub together: f32,
    /// The best passage's BM25 against the most that the question's words could give.
    pub bm25: f32,
    /// The nearest passage's cosine; nought without a model.
    pub cosine: f32,
    /// How far the best passage stands out: its BM25 against the mean of those after it.
    pub margin: f32,
    /// Whether the cosines are those of a model that was made for the passages' language.
    pub is_read: bool,
}

impl Strength {
    /// Whether it is too weak to answer from.
    pub fn is_weak(&self) -> bool {
        if self.is_read {
            self.coverage_and_cosine() < COVERAGE_AND_COSINE_MIN
        } else {
            self.bm25 < BM25_MIN && self.coverage < COVERAGE_MIN
        }
    }

    /// What separates best where a model reads the language: words and meaning err on different questions.
    pub fn coverage_and_cosine(&self) -> f32 {
        self.coverage + self.cosine
    }

    /// Weighs what was found, best first, against the question.
    ///
    /// # Errors
    /// What the index says.
    pub(in super::super) fn of(
        scales: &Scales,
        query: &str,
        found: &[Answer],
        reads: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Fault> {
        let best = found.get(..found.len().min(WITNESSES)).unwrap_or(found);
        let mut strength = Self {
            cosine: best.iter().filter_map(|one| one.cosine).fold(0.0, f32::max),
            margin: margin(found),
            is_read: !best.is_empty()
                && best.iter().all(|one| one.cosine.is_some() && reads(&one.edition.language)),
            ..Self::default()
        };
        let mut languages: BTreeMap<&str, (Vec<Weighed>, BTreeSet<String>)> = BTreeMap::new();
        for answer in best {
            let language = answer.edition.language.as_str();
            if !languages.contains_key(language) {
                let asked = scales.question(query, language)?;
                languages.insert(language, (asked, BTreeSet::new()));
            }
            let Some((asked, all)) = languages.get_mut(language) else { continue };
            let held = terms_of(scales, answer);
            strength.coverage = strength.coverage.max(share(asked, &held));
            let most = SATURATION * asked.iter().map(|word| word.weight).sum::<f32>();
            if most > 0.0 {
                strength.bm25 = strength.bm25.max((answer.bm25 / most).min(1.0));
            }
            all.extend(held);
        }
        for (asked, all) in languages.values() {
            strength.together = strength.together.max(share(asked, all));
        }
        Ok(strength)
    }
}

/// The terms of a passage with its title and headings, as they were indexed.
fn terms_of(scales: &Scales, answer: &Answer) -> BTreeSet<String> {
    let language = &answer.edition.language;
    let mut terms: BTreeSet<String> =
        scales.terms(&answer.passage.text, language).into_iter().collect();
    terms.extend(scales.terms(&answer.edition.title, language));
    for heading in &answer.passage.heading {
        terms.extend(scales.terms(heading, language));
    }
    terms
}

/// The share of the words, by weight, that `terms` hold; nought of no words, since a question that only
/// asks ("why?") or sets conditions (`title:word`) says nothing that a passage could answer.
fn share(words: &[Weighed], terms: &BTreeSet<String>) -> f32 {
    let all: f32 = words.iter().map(|word| word.weight).sum();
    let held: f32 = words.iter().map(|word| word.weight * word.held_by(terms)).sum();
    if all > 0.0 { held / all } else { 0.0 }
}

fn margin(found: &[Answer]) -> f32 {
    let mut scores: Vec<f32> = found.iter().map(|one| one.bm25).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    let Some((best, others)) = scores.split_first().filter(|(best, _)| **best > 0.0) else {
        return 0.0;
    };
    let others = others.get(..others.len().min(WITNESSES)).unwrap_or_default();
    let mean = others.iter().sum::<f32>() / (others.len().max(1) as f32);
    ((best - mean) / best).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_alone_decide_where_no_model_reads() {
        let words = Strength { coverage: 0.1, bm25: BM25_MIN, ..Strength::default() };
        assert!(!words.is_weak() && Strength { bm25: 0.1, ..words }.is_weak());
        assert!(!Strength { bm25: 0.1, coverage: COVERAGE_MIN, ..words }.is_weak());
        let both = Strength { coverage: 0.5, cosine: 0.4, is_read: true, ..Strength::default() };
        assert!(!both.is_weak() && Strength { cosine: 0.2, ..both }.is_weak());
        assert!(Strength::default().is_weak());
    }

    #[test]
    fn rare_words_weigh_more_than_common_ones() {
        let word = |term: &str, weight| Weighed { term: term.into(), instead: vec![], weight };
        let asked = [word("camion", 1.0), word("hayon", 3.0)];
        let terms = |terms: &[&str]| terms.iter().map(|term| (*term).to_owned()).collect();
        assert!((share(&asked, &terms(&["hayon"])) - 0.75).abs() < 1e-6);
        assert!((share(&asked, &terms(&["quai"]))).abs() < 1e-6);
        assert!(share(&[], &terms(&[])).abs() < 1e-6);
    }
}
