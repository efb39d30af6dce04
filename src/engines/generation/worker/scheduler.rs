//! Several answers side by side: each step computes one token of every running answer and a stretch
//! of the prompts that are still being read, in one pass over the weights.
//!
//! So a long prompt holds nobody up for longer than a stretch, and the weights, whose reading from
//! memory is most of what a token costs, are read once for everybody.

use std::collections::VecDeque;
use std::time::Instant;

use super::super::grammar::Grammar;
use super::super::options::{Event, Options, Reason, Usage};
use super::super::sampling::Sampler;
use super::super::stops::Stops;
use crate::base::fault::Fault;

/// How many tokens go through the model in one step: those of running answers, and prompts with what
/// is left. A larger step reads prompts a little faster and lets running answers wait longer.
pub(super) const STEP_TOKENS_MAX: usize = 256;

/// What a text is remembered by.
pub(super) trait Memory {
    /// Forgets everything behind the first `len` tokens; false when it cannot.
    fn truncate(&mut self, len: usize) -> bool;
    /// Forgets everything.
    fn clear(&mut self);
    /// The memory of a second text with the same first `len` tokens; none when it cannot.
    fn fork(&self, len: usize) -> Option<Self>
    where
        Self: Sized;
}

/// Tokens to add to what is remembered of a text.
pub(super) struct Part<'a, C> {
    /// The tokens; at least one.
    pub tokens: &'a [u32],
    /// The memory.
    pub cache: &'a mut C,
    /// Whether the logits behind the last token are asked for.
    pub logits: bool,
}

/// What computes.
pub(super) trait Model {
    /// Its memory of one text.
    type Cache: Memory;
    /// The memory of a text that has not begun.
    fn new_cache(&self) -> Self::Cache;
    /// Adds tokens to texts; the logits of the parts that ask for them, in order.
    fn forward(&self, parts: Vec<Part<'_, Self::Cache>>) -> Result<Vec<Vec<f32>>, Fault>;
}

/// Makes text of tokens.
pub(super) trait Writes {
    /// The text that is whole with `token`.
    fn push(&mut self, token: u32) -> String;
    /// What is left at the end.
    fn finish(&mut self) -> String;
}

/// An answer that is ready to be written.
pub(super) struct Ready {
    /// Its number.
    pub job: u64,
    /// Whose memory it may find.
    pub scope: String,
    /// The prompt; at least one token, and fewer than the context.
    pub prompt: Vec<u32>,
    /// How it goes on.
    pub options: Options,
    /// Where chance begins when the options do not say.
    pub seed: u64,
    /// What it keeps to.
    pub grammar: Option<Grammar>,
    /// What makes text of it.
    pub writer: Box<dyn Writes + Send>,
}

/// What the model itself says about answers.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// The longest text, prompt and answer together.
    pub context: usize,
    /// Tokens that end an answer.
    pub ends: Vec<u32>,
    /// How many tokens there are; a network may have more rows, which mean nothing.
    pub vocabulary: usize,
}

/// An answer that is being written.
struct Writing {
    job: u64,
    order: u64,
    /// Tokens that the model has still to read: of the prompt, later the last one written.
    unread: Vec<u32>,
    written: Vec<u32>,
    max_tokens: usize,
    sampler: Sampler,
    grammar: Option<Grammar>,
    stops: Stops,
    writer: Box<dyn Writes + Send>,
    begun: Instant,
    first: Option<Instant>,
    last: Instant,
    usage: Usage,
}

/// One text in memory, and the answer that is written behind it.
struct Slot<C> {
    cache: C,
    tokens: Vec<u32>,
    scope: String,
    used: u64,
    writing: Option<Writing>,
}

/// Writes answers.
pub(super) struct Scheduler<M: Model, T: FnMut(u64, Event)> {
    model: M,
    rules: Rules,
    slots: Vec<Slot<M::Cache>>,
    waiting: VecDeque<Ready>,
    turn: u64,
    tell: T,
}

impl<M: Model, T: FnMut(u64, Event)> Scheduler<M, T> {
    /// A scheduler with so many places; `tell` hears of every answer.
    pub fn new(model: M, rules: Rules, slots: usize, tell: T) -> Self {
        let slot = |_| Slot {
            cache: model.new_cache(),
            tokens: Vec::new(),
            scope: String::new(),
            used: 0,
            writing: None,
        };
        let slots = (0..slots.max(1)).map(slot).collect();
        Self { model, rules, slots, waiting: VecDeque::new(), turn: 0, tell }
    }

    /// Whether there is anything to do.
    pub fn busy(&self) -> bool {
        !self.waiting.is_empty() || self.slots.iter().any(|slot| slot.writing.is_some())
    }

    /// Takes an answer in; it begins as soon as there is a place.
    pub fn start(&mut self, ready: Ready) {
        self.waiting.push_back(ready);
    }

    /// Ends an answer that nobody wants any more.
    pub fn cancel(&mut self, job: u64) {
        if let Some(at) = self.waiting.iter().position(|ready| ready.job == job) {
            if let Some(ready) = self.waiting.remove(at) {
                let usage = Usage { prompt_tokens: ready.prompt.len(), ..Usage::default() };
                (self.tell)(job, Event::Ended { reason: Reason::Cancelled, usage });
            }
            return;
        }
        for slot in &mut self.slots {
            if slot.writing.as_ref().is_some_and(|writing| writing.job == job) {
                end(slot, Reason::Cancelled, &mut self.tell);
            }
        }
    }

    /// One step of everything.
    pub fn step(&mut self) {
        while self.slots.iter().any(|slot| slot.writing.is_none()) {
            let Some(ready) = self.waiting.pop_front() else { break };
            self.place(ready);
        }
        let counts = self.shares();
        let mut parts = Vec::new();
        for (slot, count) in self.slots.iter_mut().zip(&counts) {
            let Slot { cache, writing: Some(writing), .. } = slot else { continue };
            if let Some(tokens) = writing.unread.get(..*count).filter(|tokens| !tokens.is_empty()) {
                parts.push(Part { tokens, cache, logits: *count == writing.unread.len() });
            }
        }
        if parts.is_empty() {
            return;
        }
        match self.model.forward(parts) {
            Ok(logits) => self.go_on(&counts, logits),
            Err(fault) => {
                // Whose fault it is cannot be told: all that took part fail, and forget.
                for (slot, _) in self.slots.iter_mut().zip(&counts).filter(|(_, n)| **n > 0) {
                    fail(slot, &fault, &mut self.tell);
                }
            }
        }
    }

    /// How many tokens of each place the next step reads: every running answer's one, then prompts,
    /// the oldest first, while there is room.
    fn shares(&self) -> Vec<usize> {
        let unread = |slot: &Slot<M::Cache>| slot.writing.as_ref().map_or(0, |w| w.unread.len());
        let mut starting: Vec<(u64, usize)> = Vec::new();
        let mut counts = vec![0; self.slots.len()];
        let mut room = STEP_TOKENS_MAX;
        for ((at, slot), count) in self.slots.iter().enumerate().zip(&mut counts) {
            let Some(writing) = &slot.writing else { continue };
            if writing.first.is_some() {
                *count = unread(slot);
                room = room.saturating_sub(*count);
            } else {
                starting.push((writing.order, at));
            }
        }
        starting.sort_unstable();
        for (_, at) in starting {
            let wanted = self.slots.get(at).map_or(0, unread);
            if let Some(count) = counts.get_mut(at) {
                *count = wanted.min(room);
                room -= *count;
            }
        }
        counts
    }

    /// Gives an answer the place whose memory serves it best.
    fn place(&mut self, ready: Ready) {
        self.turn += 1;
        let turn = self.turn;
        // The last token of the prompt is read in any case: the answer begins behind it.
        let most = ready.prompt.len().saturating_sub(1);
        let shared = |slot: &Slot<M::Cache>| {
            let same = slot.scope == ready.scope;
            let pairs = slot.tokens.iter().zip(ready.prompt.iter().take(most));
            if same { pairs.take_while(|(a, b)| a == b).count() } else { 0 }
        };
        let all = || self.slots.iter().enumerate();
        let free = || all().filter(|(_, slot)| slot.writing.is_none());
        let best_free = free().map(|(at, slot)| (shared(slot), at)).max_by_key(|(n, _)| *n);
        let best_busy = all()
            .filter(|(_, slot)| slot.writing.is_some())
            .map(|(at, slot)| (shared(slot), at))
            .max_by_key(|(n, _)| *n);
        let oldest = free().min_by_key(|(_, slot)| slot.used).map(|(at, _)| at);
        let kept = best_free.map_or(0, |(n, _)| n);
        // A text that is being gone on with lends its beginning, but not its place.
        let lent = best_busy
            .filter(|(n, _)| *n > kept)
            .and_then(|(n, at)| self.slots.get(at)?.cache.fork(n).map(|cache| (n, cache)));
        let at = if lent.is_some() || kept == 0 { oldest } else { best_free.map(|(_, at)| at) };
        let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) else {
            self.waiting.push_front(ready);
            return;
        };
        let mut reused = kept;
        if let Some((n, cache)) = lent {
            (reused, slot.cache) = (n, cache);
        } else if !slot.cache.truncate(kept) || kept == 0 {
            slot.cache.clear();
            reused = 0;
        }
        slot.tokens = ready.prompt.get(..reused).unwrap_or_default().to_vec();
        slot.scope.clone_from(&ready.scope);
        slot.used = turn;
        begin(slot, ready, turn, reused, &mut self.tell);
    }

    /// The model has read its share; answers whose prompt is read through get their next token.
    fn go_on(&mut self, counts: &[usize], logits: Vec<Vec<f32>>) {
        let mut logits = logits.into_iter();
        for (slot, count) in self.slots.iter_mut().zip(counts).filter(|(_, count)| **count > 0) {
            let Some(writing) = &mut slot.writing else { continue };
            slot.tokens.extend(writing.unread.drain(..*count));
            if !writing.unread.is_empty() {
                continue;
            }
            let Some(mut logits) = logits.next() else { continue };
            logits.truncate(self.rules.vocabulary);
            let mut text = String::new();
            let next = writing.next(&mut logits, &self.rules.ends, &mut text);
            if !text.is_empty() {
                (self.tell)(writing.job, Event::Text(text));
            }
            match next {
                Ok(Some(reason)) => end(slot, reason, &mut self.tell),
                // The token that was just written has no room to be read in.
                Ok(None) if slot.tokens.len() >= self.rules.context => {
                    end(slot, Reason::Length, &mut self.tell);
                }
                Ok(None) => {}
                Err(fault) => fail(slot, &fault, &mut self.tell),
            }
        }
    }
}

impl Writing {
    /// Draws the next token, puts what may be told into `text`; the reason when it is the last.
    fn next(
        &mut self,
        logits: &mut [f32],
        ends: &[u32],
        text: &mut String,
    ) -> Result<Option<Reason>, Fault> {
        let mask = self.grammar.as_mut().map(Grammar::mask).transpose()?;
        let token = self.sampler.draw(logits, &self.written, mask)?;
        self.last = Instant::now();
        self.first.get_or_insert(self.last);
        if ends.contains(&token) {
            return Ok(Some(Reason::Stop));
        }
        self.written.push(token);
        if let Some(grammar) = &mut self.grammar {
            grammar.accept(token)?;
        }
        let passed = self.stops.push(&self.writer.push(token));
        text.push_str(&passed.text);
        if passed.stopped {
            return Ok(Some(Reason::Stop));
        }
        if self.grammar.as_ref().is_some_and(Grammar::finished) {
            return Ok(Some(Reason::Stop));
        }
        if self.written.len() >= self.max_tokens {
            return Ok(Some(Reason::Length));
        }
        self.unread.push(token);
        Ok(None)
    }

    fn usage(&self) -> Usage {
        let millis = |from: Instant, to: Instant| {
            u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
        };
        let first = self.first.unwrap_or_else(Instant::now);
        Usage {
            completion_tokens: self.written.len(),
            prefill_ms: millis(self.begun, first),
            decode_ms: millis(first, self.last),
            ..self.usage
        }
    }
}

/// An answer begins in its place.
fn begin<C: Memory>(
    slot: &mut Slot<C>,
    ready: Ready,
    order: u64,
    reused: usize,
    tell: &mut impl FnMut(u64, Event),
) {
    let now = Instant::now();
    let usage =
        Usage { prompt_tokens: ready.prompt.len(), reused_tokens: reused, ..Usage::default() };
    let started = Event::Started { prompt_tokens: usage.prompt_tokens, reused_tokens: reused };
    tell(ready.job, started);
    let nothing = ready.options.max_tokens == 0;
    slot.writing = Some(Writing {
        job: ready.job,
        order,
        unread: ready.prompt.get(reused..).unwrap_or_default().to_vec(),
        written: Vec::new(),
        max_tokens: ready.options.max_tokens,
        sampler: Sampler::new(&ready.options, ready.seed),
        grammar: ready.grammar,
        stops: Stops::new(&ready.options.stop),
        writer: ready.writer,
        begun: now,
        first: None,
        last: now,
        usage,
    });
    if nothing {
        end(slot, Reason::Length, tell);
    }
}

/// An answer ends; its text stays in memory for the next that begins with it.
fn end<C>(slot: &mut Slot<C>, reason: Reason, tell: &mut impl FnMut(u64, Event)) {
    let Some(mut writing) = slot.writing.take() else { return };
    // What is held back is part of an answer that ends by itself; `Stops` is empty behind a stop text.
    let left = writing.stops.push(&writing.writer.finish());
    let mut text = left.text;
    if !left.stopped {
        text.push_str(&writing.stops.finish());
    }
    if !text.is_empty() && reason != Reason::Cancelled {
        tell(writing.job, Event::Text(text));
    }
    tell(writing.job, Event::Ended { reason, usage: writing.usage() });
}

/// An answer fails, and what is remembered of it is not to be trusted.
fn fail<C: Memory>(slot: &mut Slot<C>, fault: &Fault, tell: &mut impl FnMut(u64, Event)) {
    slot.cache.clear();
    slot.tokens.clear();
    if let Some(writing) = slot.writing.take() {
        tell(writing.job, super::failure(fault));
    }
}
