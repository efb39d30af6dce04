//! Measuring when to say that the documents do not tell: each question asked with its article there and
//! with its article left out.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use super::super::Assistant;
use super::super::answers::threshold::Strength;
use super::super::records::COLLECTIONS;
use super::super::search::Question;
use super::{Paragraphs, Set, flatten};
use crate::base::caller::Caller;
use crate::base::fault::Fault;
use crate::engines::fulltext::Filter;
use crate::store::{Reader, all};

/// Passages looked at, as many as an answer is made of.
const PASSAGES: usize = 8;
/// The share of questions with an answer that may be refused wrongly.
const WRONG_MAX: f64 = 0.05;

/// How strong what one question found is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Row {
    /// The article it is about.
    pub article: usize,
    /// Whether that article was there.
    pub answerable: bool,
    /// What was found.
    pub strength: Strength,
}

/// How well one signal tells questions with an answer from those without.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signal {
    /// Its name.
    pub name: &'static str,
    /// The chance that a question with an answer scores higher than one without, over the half that
    /// was reported on.
    pub area: f64,
    /// Below it there is no answer: chosen on one half so that so many questions with an answer are
    /// refused as may be.
    pub threshold: f32,
    /// The share of questions with an answer that it refuses, on the other half.
    pub refused_wrongly: f64,
    /// The share of questions without an answer that it refuses, on the other half.
    pub refused_rightly: f64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Refusal {
    /// Questions that were asked, each twice.
    pub questions: usize,
    /// The share of questions with an answer that the box refuses as it is set, on the half reported on.
    pub refused_wrongly: f64,
    /// The share of questions without an answer that it refuses.
    pub refused_rightly: f64,
    /// The signals, the one that separates best first.
    pub signals: Vec<Signal>,
    /// Whether only words were looked at, for want of a model.
    pub by_words_alone: bool,
    /// Every question's signals.
    #[serde(skip)]
    pub rows: Vec<Row>,
}

/// A signal and how it is read.
type Read = (&'static str, fn(&Strength) -> f32);

/// Every signal, by name.
const SIGNALS: [Read; 6] = [
    ("coverage", |s| s.coverage),
    ("together", |s| s.together),
    ("bm25", |s| s.bm25),
    ("cosine", |s| s.cosine),
    ("margin", |s| s.margin),
    ("coverage and cosine", Strength::coverage_and_cosine),
];

impl Assistant {
    /// Learns the set's paragraphs and asks every question twice: of all of them, and of those of the
    /// other articles alone. Articles of an even number choose the thresholds, the others judge them.
    ///
    /// # Errors
    /// What the box says.
    pub fn evaluate_refusal(
        &self,
        set: &Set,
        tell: &(dyn Fn(&str, usize, usize) + Sync),
    ) -> Result<Refusal, Fault> {
        let caller = Caller::task("eval");
        let (paragraphs, questions) = flatten(set);
        self.study(&caller, &paragraphs, tell)?;
        let names = self.store.read(|view| view.list(&COLLECTIONS, &all(), usize::MAX))?;
        let names: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
        let questions: Vec<(&String, &BTreeSet<usize>)> = questions.iter().collect();
        let done = AtomicUsize::new(0);
        let halves = questions.len().div_ceil(2).max(1);
        let ask = |part: &[(&String, &BTreeSet<usize>)]| {
            let mut rows = Vec::with_capacity(part.len() * 2);
            for (question, wanted) in part {
                rows.extend(self.both_ways(question, wanted, (&paragraphs, &names))?);
                tell("asking", done.fetch_add(1, Ordering::Relaxed) + 1, questions.len());
            }
            Ok::<_, Fault>(rows)
        };
        let rows = std::thread::scope(|scope| {
            let threads: Vec<_> =
                questions.chunks(halves).map(|part| scope.spawn(|| ask(part))).collect();
            let mut rows = Vec::new();
            for thread in threads {
                let part = thread.join().map_err(|_| Fault::broken("asking", "a thread panicked"));
                rows.extend(part??);
            }
            Ok::<_, Fault>(rows)
        })?;
        let mut signals: Vec<Signal> = SIGNALS.iter().map(|signal| judged(signal, &rows)).collect();
        signals.sort_by(|a, b| b.refused_rightly.total_cmp(&a.refused_rightly));
        Ok(Refusal {
            questions: questions.len(),
            refused_wrongly: refused(&rows, true),
            refused_rightly: refused(&rows, false),
            signals,
            by_words_alone: self.embedder().is_none(),
            rows,
        })
    }

    /// A question with its articles and without them.
    fn both_ways(
        &self,
        question: &str,
        wanted: &BTreeSet<usize>,
        (paragraphs, names): (&Paragraphs, &[String]),
    ) -> Result<Vec<Row>, Fault> {
        let articles: BTreeSet<usize> =
            wanted.iter().filter_map(|n| paragraphs.get(*n)).map(|p| p.article).collect();
        let Some(article) = articles.first().copied() else { return Ok(Vec::new()) };
        let theirs: BTreeSet<String> = articles.iter().map(|n| super::collection(*n)).collect();
        let others = names.iter().filter(|name| !theirs.contains(*name)).cloned().collect();
        let mut rows = Vec::with_capacity(2);
        for (answerable, collections) in [(true, None), (false, Some(others))] {
            let filter = Filter { collections, ..Filter::default() };
            match self.strength_within(question, filter) {
                Ok(strength) => rows.push(Row { article, answerable, strength }),
                // A question of signs alone has no word to look for.
                Err(fault) if fault.code == "empty_query" => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(rows)
    }

    fn strength_within(&self, question: &str, filter: Filter) -> Result<Strength, Fault> {
        let query: String = question.chars().take(300).collect();
        let asked = Question { query, top: PASSAGES, ..Question::default() };
        let proposed = self.propose_within(&asked, &filter)?;
        let found = self.answer(&Caller::task("eval"), &asked, proposed)?;
        let reads = |code: &str| self.reads(code);
        Strength::of(&self.scales_within(filter), &asked.query, &found.answers, &reads)
    }
}

/// The share of the questions reported on that are refused as the box is set.
fn refused(rows: &[Row], answerable: bool) -> f64 {
    let asked = rows.iter().filter(|row| row.article % 2 == 1 && row.answerable == answerable);
    let (all, weak) = asked.fold((0_usize, 0_usize), |(all, weak), row| {
        (all + 1, weak + usize::from(row.strength.is_weak()))
    });
    if all == 0 { 0.0 } else { weak as f64 / all as f64 }
}

fn judged((name, read): &Read, rows: &[Row]) -> Signal {
    let values = |half: usize, answerable: bool| {
        let fits = move |row: &&Row| row.article % 2 == half && row.answerable == answerable;
        let mut values: Vec<f32> = rows.iter().filter(fits).map(|r| read(&r.strength)).collect();
        values.sort_by(f32::total_cmp);
        values
    };
    let choosing = values(0, true);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count's share")]
    let at = (choosing.len() as f64 * WRONG_MAX).floor() as usize;
    let threshold = choosing.get(at).copied().unwrap_or_default();
    let (with, without) = (values(1, true), values(1, false));
    let below = |values: &[f32]| {
        let below = values.partition_point(|value| *value < threshold);
        if values.is_empty() { 0.0 } else { below as f64 / values.len() as f64 }
    };
    Signal {
        name,
        area: area(&with, &without),
        threshold,
        refused_wrongly: below(&with),
        refused_rightly: below(&without),
    }
}

/// The chance that one of `high` is above one of `low`, ties counting half; both sorted.
fn area(high: &[f32], low: &[f32]) -> f64 {
    let mut wins = 0.0;
    for value in high {
        let below = low.partition_point(|other| other < value);
        let upto = low.partition_point(|other| other <= value);
        wins += below as f64 + (upto - below) as f64 / 2.0;
    }
    let pairs = (high.len() * low.len()) as f64;
    if pairs > 0.0 { wins / pairs } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_parts_them_is_told_from_one_that_does_not() {
        let row = |n: u8, answerable| {
            let coverage = if answerable { 0.5 + f32::from(n) / 1000.0 } else { 0.3 };
            let strength = Strength { coverage, cosine: 0.5, ..Strength::default() };
            Row { article: usize::from(n), answerable, strength }
        };
        let rows: Vec<Row> = (0..100).flat_map(|n| [row(n, true), row(n, false)]).collect();
        let [good, blind] = ["coverage", "cosine"]
            .map(|name| judged(SIGNALS.iter().find(|(n, _)| *n == name).unwrap(), &rows));
        assert!((good.area, good.refused_rightly) == (1.0, 1.0), "{good:?}");
        assert!(good.refused_wrongly <= WRONG_MAX + 0.02, "{good:?}");
        assert!((blind.area - 0.5).abs() < 1e-9 && blind.refused_rightly == 0.0, "{blind:?}");
    }
}
