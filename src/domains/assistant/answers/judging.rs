//! Passages put in order by a model that reads each of them together with the question, where there is one.

use std::sync::{Arc, PoisonError};

use super::super::Assistant;
use super::super::search::Answer;
use crate::engines::reranking::Reranker;

/// Passages that are judged; reading a pair costs as much as embedding a passage.
pub const JUDGED: usize = 24;
/// What the judge counts against the search's own score. It decides, and where it sees no difference the
/// search does; by how much is not measured, for want of weights at hand.
const JUDGE_WEIGHT: f32 = 0.8;

/// Puts passages in the order of `scores`, which are from 0 to 1 and in the order of `found`: each counts
/// its share with the search's own score, and passages that are alike keep their order.
pub fn fuse(mut found: Vec<Answer>, scores: &[f32]) -> Vec<Answer> {
    for (answer, judged) in found.iter_mut().zip(scores) {
        answer.score = JUDGE_WEIGHT * judged + (1.0 - JUDGE_WEIGHT) * answer.score;
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found
}

impl Assistant {
    /// The judge of that name; none, with a word in the log, when it is not there or not what it says.
    pub(super) fn judge(&self, name: &str) -> Option<Arc<Reranker>> {
        let mut seat = self.desk.judge.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, judge)) = seat.as_ref()
            && known == name
        {
            return Some(judge.clone());
        }
        match Reranker::open(&self.places.models.join(name)) {
            Ok(judge) => {
                let judge = Arc::new(judge);
                *seat = Some((name.to_owned(), judge.clone()));
                Some(judge)
            }
            Err(fault) => {
                tracing::warn!(code = fault.code, "passages keep the search's order: {fault}");
                None
            }
        }
    }
}

/// The passages in the judge's order; in the search's when the judge fails.
pub fn judged(judge: &Reranker, query: &str, found: Vec<Answer>) -> Vec<Answer> {
    let texts: Vec<&str> = found.iter().map(|answer| answer.passage.text.as_str()).collect();
    match judge.scores(query, &texts) {
        Ok(scores) => fuse(found, &scores),
        Err(fault) => {
            tracing::error!("passages could not be judged: {fault}");
            found
        }
    }
}
