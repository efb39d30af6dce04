//! Measuring retrieval: a SQuAD-format question set, asked of the box's own search.

mod refusing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use sha2::Digest;

pub use refusing::{Refusal, Row, Signal};

use super::Assistant;
use super::adding::Incoming;
use super::files::Spooled;
use super::search::Question;
use crate::base::caller::Caller;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::base::tasks::Handle;
use crate::engines::readers::Extract;

/// How many documents count as an answer.
const DEPTH: usize = 10;
/// Passages asked for, so that after several of one document there are still [`DEPTH`] documents.
const PASSAGES: usize = 40;

/// A question set in the form of `SQuAD` 1.1 and 2.0.
#[derive(Debug, Deserialize)]
pub struct Set {
    data: Vec<Article>,
}

#[derive(Debug, Deserialize)]
struct Article {
    #[serde(default)]
    title: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Debug, Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Asked>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    question: String,
    #[serde(default)]
    is_impossible: bool,
}

/// How well the questions were answered; shares from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Paragraphs that were learned.
    pub paragraphs: usize,
    /// Questions that were asked.
    pub questions: usize,
    /// Questions whose paragraph came first.
    pub recall_at_1: f64,
    /// Questions whose paragraph was among the first five.
    pub recall_at_5: f64,
    /// Questions whose paragraph was among the first ten.
    pub recall_at_10: f64,
    /// The mean of one over the place of the paragraph, nought beyond the tenth.
    pub mrr_at_10: f64,
    /// Whether only words were looked at, for want of a model.
    pub by_words_alone: bool,
}

impl Set {
    /// Reads a question set.
    ///
    /// # Errors
    /// `set_malformed`.
    pub fn read(json: &str) -> Result<Self, Fault> {
        serde_json::from_str(json).map_err(|e| {
            Fault::invalid("set_malformed", format!("This is no question set in SQuAD's form: {e}"))
        })
    }
}

impl Assistant {
    /// Learns the set's paragraphs and asks its questions. `tell` hears how far it has come: a stage,
    /// how many are done, how many there are. Meant for a box of its own, in memory.
    ///
    /// # Errors
    /// What the box says.
    pub fn evaluate(
        &self,
        set: &Set,
        tell: &(dyn Fn(&str, usize, usize) + Sync),
    ) -> Result<Scores, Fault> {
        let caller = Caller::task("eval");
        let (paragraphs, questions) = flatten(set);
        let documents = self.study(&caller, &paragraphs, tell)?;
        let questions: Vec<(&String, &BTreeSet<usize>)> = questions.iter().collect();
        let done = AtomicUsize::new(0);
        let halves = questions.len().div_ceil(2).max(1);
        let sums = std::thread::scope(|scope| {
            let threads: Vec<_> = questions
                .chunks(halves)
                .map(|part| {
                    let (documents, caller, done, total) =
                        (&documents, &caller, &done, questions.len());
                    scope.spawn(move || {
                        let mut sums = Sums::default();
                        for (question, wanted) in part {
                            let wanted =
                                wanted.iter().filter_map(|n| documents.get(*n).copied()).collect();
                            self.ask(caller, question, &wanted, &mut sums)?;
                            let asked = done.fetch_add(1, Ordering::Relaxed) + 1;
                            tell("asking", asked, total);
                        }
                        Ok::<_, Fault>(sums)
                    })
                })
                .collect();
            let mut all = Sums::default();
            for thread in threads {
                let part = thread.join().unwrap_or_else(|_| {
                    Err(Fault::broken("asking questions", "a thread panicked"))
                })?;
                all.add(&part);
            }
            Ok::<_, Fault>(all)
        })?;
        Ok(sums.scores(paragraphs.len(), questions.len(), self.embedder().is_none()))
    }

    /// Learns paragraphs, each a document in the collection of its article.
    fn study(
        &self,
        caller: &Caller,
        paragraphs: &Paragraphs,
        tell: &(dyn Fn(&str, usize, usize) + Sync),
    ) -> Result<Vec<Id>, Fault> {
        let mut documents = Vec::with_capacity(paragraphs.len());
        for (number, learned) in paragraphs.iter().enumerate() {
            let incoming = self.incoming(number, learned)?;
            documents.push(self.learn(
                caller,
                &incoming,
                extract(&learned.title, &learned.text),
            )?);
            tell("learning", number + 1, paragraphs.len());
        }
        let handle = Handle::unattended();
        tell("embedding", 0, paragraphs.len());
        self.embed_waiting(&handle)?;
        self.follow(&handle)?;
        tell("embedding", paragraphs.len(), paragraphs.len());
        Ok(documents)
    }

    fn incoming(&self, number: usize, learned: &Learned) -> Result<Incoming, Fault> {
        let text = &learned.text;
        let path = self.places.spool.join(format!("eval-{number}.txt"));
        std::fs::write(&path, text).map_err(|e| Fault::broken("spooling a paragraph", e))?;
        let file = Spooled {
            path,
            size: text.len() as u64,
            sha256: sha2::Sha256::digest(text.as_bytes()).into(),
            ours: true,
        };
        Ok(Incoming {
            collection: collection(learned.article),
            path: format!("{number}.txt"),
            file,
            modified: None,
        })
    }

    fn ask(
        &self,
        caller: &Caller,
        question: &str,
        wanted: &BTreeSet<Id>,
        sums: &mut Sums,
    ) -> Result<(), Fault> {
        let query: String = question.chars().take(300).collect();
        let asked = Question { query, top: PASSAGES, ..Question::default() };
        let found = match self.search(caller, &asked) {
            Ok(found) => found,
            // A question of signs alone has no word to look for: it counts as not answered.
            Err(fault) if fault.code == "empty_query" => return Ok(()),
            Err(fault) => return Err(fault),
        };
        let mut ranked: Vec<Id> = Vec::with_capacity(DEPTH);
        for answer in found.answers {
            if !ranked.contains(&answer.edition.document) {
                ranked.push(answer.edition.document);
            }
        }
        if let Some(place) = ranked.iter().take(DEPTH).position(|id| wanted.contains(id)) {
            sums.hit(place);
        }
        Ok(())
    }
}

fn extract(title: &str, text: &str) -> Extract {
    Extract { title: Some(title.to_owned()), text: text.to_owned(), ..Extract::default() }
}

/// A paragraph to be learned.
struct Learned {
    /// The number of its article.
    article: usize,
    /// The article's title.
    title: String,
    /// Its words.
    text: String,
}

/// The collection that an article's paragraphs are put in.
fn collection(article: usize) -> String {
    format!("article-{article}")
}

/// Distinct paragraphs.
type Paragraphs = Vec<Learned>;
/// Distinct questions with the paragraphs they were written for.
type Questions = BTreeMap<String, BTreeSet<usize>>;

fn flatten(set: &Set) -> (Paragraphs, Questions) {
    let mut numbers = HashMap::new();
    let mut paragraphs = Vec::new();
    let mut questions = BTreeMap::<String, BTreeSet<usize>>::new();
    for (number, article) in set.data.iter().enumerate() {
        for paragraph in &article.paragraphs {
            let text = paragraph.context.trim();
            if text.is_empty() {
                continue;
            }
            let place = *numbers.entry(text.to_owned()).or_insert_with(|| {
                let title = article.title.replace('_', " ");
                paragraphs.push(Learned { article: number, title, text: text.to_owned() });
                paragraphs.len() - 1
            });
            for asked in
                paragraph.qas.iter().filter(|q| !q.is_impossible && !q.question.trim().is_empty())
            {
                questions.entry(asked.question.trim().to_owned()).or_default().insert(place);
            }
        }
    }
    (paragraphs, questions)
}

#[derive(Debug, Default)]
struct Sums {
    first: usize,
    five: usize,
    ten: usize,
    reciprocal: f64,
}

impl Sums {
    fn hit(&mut self, place: usize) {
        self.first += usize::from(place < 1);
        self.five += usize::from(place < 5);
        self.ten += 1;
        self.reciprocal += 1.0 / (place + 1) as f64;
    }

    fn add(&mut self, other: &Self) {
        self.first += other.first;
        self.five += other.five;
        self.ten += other.ten;
        self.reciprocal += other.reciprocal;
    }

    fn scores(&self, paragraphs: usize, questions: usize, by_words_alone: bool) -> Scores {
        let share = |n: f64| if questions == 0 { 0.0 } else { n / questions as f64 };
        Scores {
            paragraphs,
            questions,
            recall_at_1: share(self.first as f64),
            recall_at_5: share(self.five as f64),
            recall_at_10: share(self.ten as f64),
            mrr_at_10: share(self.reciprocal),
            by_words_alone,
        }
    }
}
