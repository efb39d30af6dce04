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

/// Below this share of the question's words the documents do not tell.
pub const COVERAGE_MIN: f32 = 0.4;

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
}

impl Strength {
    /// Whether it is too weak to answer from.
    pub fn is_weak(&self) -> bool {
        self.coverage < COVERAGE_MIN
    }

    /// Weighs what was found, best first, against the question.
    ///
    /// # Errors
    /// What the index says.
    pub(in super::super) fn of(
        scales: &Scales,
        query: &str,
        found: &[Answer],
    ) -> Result<Self, Fault> {
        let best = found.get(..found.len().min(WITNESSES)).unwrap_or(found);
        let mut strength = Self {
            cosine: best.iter().filter_map(|one| one.cosine).fold(0.0, f32::max),
            margin: margin(found),
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

/// The share of the words, by weight, that `terms` hold; all of no words, since a question of conditions alone
/// ("a phrase", `title:word`) finds only what fits.
fn share(words: &[Weighed], terms: &BTreeSet<String>) -> f32 {
    let all: f32 = words.iter().map(|word| word.weight).sum();
    let held: f32 = words.iter().map(|word| word.weight * word.held_by(terms)).sum();
    if all > 0.0 { held / all } else { 1.0 }
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
