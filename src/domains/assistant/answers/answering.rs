//! From a question to an answer: retrieve, judge, then let a model write, or take the papers' own sentences.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::generation::Ask;
use super::super::records::talk::{Citation, Origin, Outcome};
use super::super::search::{Answer, QUERY_MAX, Question, Scales};
use super::citing::Cited;
use super::extracting::{self, Extract, Meaning, Terms};
use super::following_up::{self, Before, Words, is_question_word};
use super::packing::{Source, pack};
use super::prompting::{CHARS_PER_TOKEN, Exchange, fence, prompt};
use super::telling::{Listener, State, Step};
use super::threshold::Strength;
use super::writing::{Bearing, Written, take};
use super::{Answers, judging, wording};
use crate::base::caller::Caller;
use crate::base::fault::Fault;
use crate::engines::generation::Usage;
use crate::engines::language::Language;

/// The most characters of passages that an extractive answer is chosen from.
const PASSAGE_CHARS_MAX: usize = 12_000;
/// A model with a shorter context has no room for the rules and one passage: the papers' own words answer.
const CONTEXT_MIN: usize = 1_024;
/// The most that a model is given: about 1,900 tokens, which are read anew with every question.
const WRITTEN_CHARS_MAX: usize = 6_000;
/// The most tokens of an answer.
const ANSWER_TOKENS_MAX: usize = 768;
/// Tokens of the rules, the template and the words around passages.
const FRAME_TOKENS: usize = 700;
/// What is said before may take this part of the room for passages.
const EARLIER_SHARE: usize = 4;
/// How free a grounded answer is: it retells, it does not invent.
const TEMPERATURE: f32 = 0.2;
/// Sentences that get a vector: the first by words.
const SENTENCES_EMBEDDED: usize = 48;
/// Sources shown when the documents do not tell.
const NEAREST: usize = 3;

/// What an answer is made for.
pub(super) struct Inquiry {
    /// The question.
    pub(super) question: String,
    /// The collection to ask.
    pub(super) collection: Option<String>,
    /// The language to answer in.
    pub(super) language: Option<String>,
    /// How many passages to look at.
    pub(super) top: usize,
    /// What was said before, oldest first.
    pub(super) earlier: Vec<Earlier>,
    /// What may share memory.
    pub(super) scope: String,
}

/// One exchange of before, with what a follow-up needs of it.
pub(super) struct Earlier {
    pub(super) exchange: Exchange,
    pub(super) before: Before,
}

/// What came of it.
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) origin: Origin,
    pub(super) outcome: Outcome,
    pub(super) failure: Option<String>,
    pub(super) numbers: BTreeSet<u32>,
    pub(super) model: Option<String>,
    pub(super) usage: Usage,
    pub(super) unsupported: usize,
    pub(super) sources: Vec<Source>,
    pub(super) searched_for: Option<String>,
}

impl Reply {
    /// The same answer without anything of its documents; what it cost stays.
    pub(super) fn withdrawn(self, text: &str) -> Self {
        Self {
            text: text.to_owned(),
            origin: Origin::NotFound,
            numbers: BTreeSet::new(),
            unsupported: 0,
            sources: Vec::new(),
            searched_for: None,
            ..self
        }
    }

    /// The sources that it cites.
    pub(super) fn citations(&self) -> Vec<Citation> {
        let cited = self.sources.iter().filter(|source| self.numbers.contains(&source.number));
        cited
            .map(|source| Citation {
                number: source.number,
                document: source.edition.document,
                edition: source.place.0,
                passage: source.place.1,
            })
            .collect()
    }
}

impl Terms for Scales {
    fn terms(&self, text: &str, language: &str) -> BTreeSet<String> {
        self.terms(text, language).into_iter().collect()
    }
}

/// Which words say something, as the index of a language reads them.
struct Content<'s>(&'s Scales, &'static str);

impl Words for Content<'_> {
    fn is_content(&self, word: &str) -> bool {
        !is_question_word(word) && !self.0.terms(word, self.1).is_empty()
    }
}

impl Answers {
    /// Answers with the rights of the caller, and tells the listener on the way. Nothing is kept.
    pub(super) fn reply(
        &self,
        caller: &Caller,
        inquiry: &Inquiry,
        listener: &Listener,
    ) -> Result<Reply, Fault> {
        listener.hear(Step::Status(State::Searching));
        let asked_in =
            |usual| wording::language(inquiry.language.as_deref(), &inquiry.question, usual);
        let spoken = inquiry.earlier.last().map(|e| {
            wording::language(inquiry.language.as_deref(), &e.exchange.question, None).code()
        });
        let mut question = Question {
            query: inquiry.question.clone(),
            top: inquiry.top,
            collection: inquiry.collection.clone(),
            ..Question::default()
        };
        let scales = self.search.scales(caller, &question)?;
        let before = inquiry.earlier.last().map(|earlier| &earlier.before);
        let tongue = asked_in(spoken).code();
        let whole = following_up::whole(&inquiry.question, before, &Content(&scales, tongue));
        if let Some(whole) = &whole {
            question.query.clone_from(whole);
        }
        question.query.truncate(question.query.floor_char_boundary(QUERY_MAX));
        let judge = self.judge()?;
        if judge.is_some() {
            question.top = question.top.max(judging::JUDGED);
        }
        let mut found = match self.search.search(caller, &question) {
            // A question of signs alone has no word to look for.
            Err(fault) if fault.code == "empty_query" => Vec::new(),
            found => found?.answers,
        };
        let strength =
            Strength::of(&scales, &question.query, &found, &|code| self.search.reads(code))?;
        if let Some(judge) = judge {
            found = judging::judged(&judge, &question.query, found);
            found.truncate(inquiry.top);
        }
        let usual = spoken.or_else(|| found.first().map(|best| best.edition.language.as_str()));
        let language = asked_in(usual);
        let setting = Setting { caller, inquiry, listener, scales: &scales, language, whole };
        if found.is_empty() || strength.is_weak() {
            return Ok(setting.not_found(found));
        }
        self.out_of_passages(&setting, &question.query, found)
    }

    fn out_of_passages(
        &self,
        setting: &Setting<'_>,
        query: &str,
        found: Vec<Answer>,
    ) -> Result<Reply, Fault> {
        let room = self.room(setting, &found)?;
        let sources = pack(found.clone(), room.passages);
        setting
            .listener
            .hear(Step::Sources { sources: sources.clone(), searched_for: setting.whole.clone() });
        if room.can_write && !setting.listener.is_gone() {
            let failure = match self.written(setting, &sources, &room) {
                Ok(written) if written.shown => return Ok(setting.grounded(written, sources)),
                Ok(written) if written.outcome == Some(Outcome::Stopped) => {
                    // Nothing of it was shown, so nothing of it is kept.
                    let nothing = Written { cited: Cited::default(), ..written };
                    return Ok(setting.grounded(nothing, sources));
                }
                Ok(written) if wording::says_not_found(&written.cited.text, setting.language) => {
                    return Ok(setting.model_found_nothing(written, sources));
                }
                Ok(written) => written.fault,
                Err(fault) => Some(fault),
            };
            if let Some(fault) = failure {
                tracing::warn!(code = fault.code, "the papers' own words answer: {fault}");
            }
        }
        if !room.can_write {
            return self.extracted(setting, query, sources);
        }
        // What a model may read is less than what sentences may be chosen from, and nothing was shown yet.
        let sources = pack(found, PASSAGE_CHARS_MAX);
        setting
            .listener
            .hear(Step::Sources { sources: sources.clone(), searched_for: setting.whole.clone() });
        self.extracted(setting, query, sources)
    }

    /// How much may be read.
    fn room(&self, setting: &Setting<'_>, found: &[Answer]) -> Result<Room, Fault> {
        let can_write = self.generation.can_write()?;
        if !can_write {
            return Ok(Room { can_write, passages: PASSAGE_CHARS_MAX, earlier: 0, answer: 0 });
        }
        let context = self.generation.status(setting.caller)?.context_tokens;
        let context = context.min(self.generation.settings().max_input_tokens);
        if context < CONTEXT_MIN {
            return Ok(Room {
                can_write: false,
                passages: PASSAGE_CHARS_MAX,
                earlier: 0,
                answer: 0,
            });
        }
        let answer =
            ANSWER_TOKENS_MAX.min(self.generation.settings().max_output_tokens).min(context / 3);
        let sample = found.first().map_or("", |best| best.passage.text.as_str());
        let tokens = self.generation.count_tokens(sample).unwrap_or_default().filter(|n| *n > 0);
        let per_token = tokens.map_or(CHARS_PER_TOKEN, |tokens| {
            (sample.chars().count() as f32 / tokens as f32).clamp(0.5, 6.0)
        });
        let left = context.saturating_sub(answer + FRAME_TOKENS.min(context / 3));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length")]
        let chars = (left as f32 * per_token) as usize;
        let earlier = chars / EARLIER_SHARE;
        let passages = (chars - earlier).min(WRITTEN_CHARS_MAX);
        Ok(Room { can_write, passages, earlier, answer })
    }

    fn written(
        &self,
        setting: &Setting<'_>,
        sources: &[Source],
        room: &Room,
    ) -> Result<Written, Fault> {
        let earlier: Vec<Exchange> =
            setting.inquiry.earlier.iter().map(|earlier| earlier.exchange.clone()).collect();
        let question = &setting.inquiry.question;
        let prompt = prompt(setting.language, &earlier, room.earlier, sources, question, &fence()?);
        let mut options = self.generation.usual();
        options.temperature = options.temperature.min(TEMPERATURE);
        options.max_tokens = room.answer;
        let ask = Ask { prompt, options, scope: setting.inquiry.scope.clone() };
        let stream = self.generation.write(setting.caller, ask)?;
        let bearing = Bearing::of(setting.scales, sources);
        Ok(take(stream, bearing, sources.len(), setting.listener))
    }

    fn extracted(
        &self,
        setting: &Setting<'_>,
        query: &str,
        sources: Vec<Source>,
    ) -> Result<Reply, Fault> {
        let mut asked = BTreeMap::new();
        for source in &sources {
            let language = &source.edition.language;
            if !asked.contains_key(language) {
                asked.insert(language.clone(), setting.scales.question(query, language)?);
            }
        }
        let all = extracting::split(&sources, setting.scales);
        let all = extracting::shortlist(all, &sources, &asked, setting.scales, SENTENCES_EMBEDDED);
        let meaning = self.meaning(query, &all, &sources);
        let extract = extracting::choose(&all, &sources, &asked, setting.scales, meaning.as_ref());
        if extract.pieces.is_empty() {
            return Ok(setting.nothing(sources));
        }
        Ok(setting.extract(extract, sources))
    }

    /// Vectors of the question and the sentences, when there is a model that reads their language.
    fn meaning(
        &self,
        query: &str,
        all: &[extracting::Sentence],
        sources: &[Source],
    ) -> Option<Meaning> {
        let embedder: Arc<_> = self.search.embedder()?;
        let reads = |source: &Source| embedder.card().reads(&source.edition.language);
        if !sources.iter().all(reads) {
            return None;
        }
        let mut texts = vec![query];
        texts.extend(all.iter().map(|sentence| sentence.text.as_str()));
        match embedder.embed(&texts) {
            Ok(mut vectors) => {
                let sentences = vectors.split_off(vectors.len().min(1));
                Some(Meaning { question: vectors.pop()?, sentences })
            }
            Err(fault) => {
                tracing::error!("sentences could not be embedded: {fault}");
                None
            }
        }
    }
}

/// How much may be read and written.
struct Room {
    can_write: bool,
    /// Characters of passages.
    passages: usize,
    /// Characters of what was said before.
    earlier: usize,
    /// Tokens of the answer.
    answer: usize,
}

/// What every way to answer a question knows.
struct Setting<'a> {
    caller: &'a Caller,
    inquiry: &'a Inquiry,
    listener: &'a Listener,
    scales: &'a Scales,
    language: Language,
    /// What is looked for in the question's place.
    whole: Option<String>,
}

impl Setting<'_> {
    fn reply(&self, origin: Origin, text: String, sources: Vec<Source>) -> Reply {
        Reply {
            text,
            origin,
            outcome: Outcome::Whole,
            failure: None,
            numbers: BTreeSet::new(),
            model: None,
            usage: Usage::default(),
            unsupported: 0,
            sources,
            searched_for: self.whole.clone(),
        }
    }

    /// The documents do not tell; the nearest are there to be looked at.
    fn not_found(&self, found: Vec<Answer>) -> Reply {
        let mut sources = pack(found, PASSAGE_CHARS_MAX);
        sources.truncate(NEAREST);
        self.listener
            .hear(Step::Sources { sources: sources.clone(), searched_for: self.whole.clone() });
        self.nothing(sources)
    }

    fn nothing(&self, sources: Vec<Source>) -> Reply {
        let text = wording::not_found(self.language);
        self.listener.hear(Step::Token(text.to_owned()));
        self.reply(Origin::NotFound, text.to_owned(), sources)
    }

    /// A model looked at the passages and says that they do not tell.
    fn model_found_nothing(&self, written: Written, sources: Vec<Source>) -> Reply {
        let Written { model, usage, .. } = written;
        Reply { model, usage, ..self.nothing(sources) }
    }

    fn extract(&self, extract: Extract, sources: Vec<Source>) -> Reply {
        self.listener.hear(Step::Status(State::Writing));
        for piece in &extract.pieces {
            self.listener.hear(Step::Token(piece.clone()));
        }
        let text = extract.pieces.concat();
        Reply { numbers: extract.citations, ..self.reply(Origin::Extract, text, sources) }
    }

    fn grounded(&self, written: Written, sources: Vec<Source>) -> Reply {
        let Written { cited, model, usage, outcome, fault, .. } = written;
        Reply {
            outcome: outcome.unwrap_or(Outcome::Failed),
            failure: fault.map(|fault| fault.code.to_owned()),
            numbers: cited.citations,
            model,
            usage,
            unsupported: cited.unsupported,
            ..self.reply(Origin::Grounded, cited.text, sources)
        }
    }
}
