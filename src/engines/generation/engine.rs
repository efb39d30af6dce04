//! The engine as the rest of the box sees it: one child at most, started when it is needed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::deaths::Deaths;
use super::options::{Event, Options, Prompt, Reason, Usage};
use super::process::{News, Process};
use super::wire::{self, Load, Loaded, Order, Pinned, Told, named};
use crate::base::fault::Fault;

/// A model that was refused is tried again after so long, or when it is chosen again.
const REFUSED_FOR: Duration = Duration::from_mins(5);
/// A text is counted within this, or not at all: whoever asks has better to do than to wait.
const COUNT_LIMIT: Duration = Duration::from_millis(500);

/// How models are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// The program to start: this one, or in tests the one that was built.
    pub program: PathBuf,
    /// Threads that compute; 0 takes every core.
    pub threads: usize,
    /// Answers written side by side.
    pub slots: usize,
    /// The longest context, tokens; a model's own limit and the memory at hand make it shorter.
    pub context_tokens: usize,
    /// Memory for the model; 0 takes half of what is free when it is loaded.
    pub memory_bytes: u64,
}

/// A model that was checked and may be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runnable {
    /// Its folder.
    pub folder: PathBuf,
    /// The name of its weights in the folder.
    pub file: String,
    /// The digest that the weights had when they were checked, hexadecimal.
    pub sha256: String,
    /// The other files of the folder, as they were then; one that is not listed is never read.
    pub beside: Vec<Pinned>,
}

/// Something to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What to go on from.
    pub prompt: Prompt,
    /// How.
    pub options: Options,
    /// Only prompts of one scope find one another's beginnings read.
    pub scope: String,
}

/// The engine of language models. Clones are the same engine; no process runs until one is needed.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    options: EngineOptions,
    state: Mutex<State>,
    turn: Mutex<()>,
}

#[derive(Default)]
struct State {
    model: Option<Runnable>,
    refused: Option<Refused>,
    deaths: Deaths,
    child: Option<Held>,
    /// Numbers of children and jobs, never given twice.
    last: u64,
    stopped: bool,
}

/// Why the model is not tried again for a while: a fault's code and sentence.
struct Refused {
    code: String,
    message: String,
    since: Instant,
}

/// The child, and what is expected of it.
struct Held {
    number: u64,
    process: Process,
    jobs: HashMap<u64, UnboundedSender<Event>>,
    counts: HashMap<u64, SyncSender<Option<usize>>>,
    /// Orders that wait until the model is in memory, as lines, with their numbers.
    waiting: Vec<(u64, Vec<u8>)>,
    loaded: Option<Loaded>,
    idle_since: Instant,
}

impl Held {
    fn settle(&mut self, job: u64) {
        self.jobs.remove(&job);
        self.counts.remove(&job);
        self.waiting.retain(|(number, _)| *number != job);
        self.idle_since = Instant::now();
    }
}

/// An answer that is being written. Whoever drops it wants no more of it.
pub struct Running {
    engine: Weak<Inner>,
    child: u64,
    job: u64,
}

impl Running {
    /// Asks for the end; the events end with [`Event::Ended`] and [`super::Reason::Cancelled`].
    pub fn cancel(&self) {
        let Some(inner) = self.engine.upgrade() else { return };
        let input = {
            let mut state = inner.state();
            let held = state.child.as_mut().filter(|held| held.number == self.child);
            let Some(held) = held.filter(|held| held.jobs.contains_key(&self.job)) else { return };
            if held.waiting.iter().any(|(number, _)| *number == self.job) {
                // The child was not told yet, and never will be.
                let ended = Event::Ended { reason: Reason::Cancelled, usage: Usage::default() };
                let _ = held.jobs.get(&self.job).map(|events| events.send(ended));
                return held.settle(self.job);
            }
            held.process.input()
        };
        if let Ok(line) = wire::line(&Order::Cancel { job: self.job }) {
            // A child that cannot be told is dying, and its jobs with it.
            let _ = input.write(&line);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Engine {
    /// An engine without a model.
    pub fn new(options: EngineOptions) -> Self {
        Self(Arc::new(Inner { options, state: Mutex::default(), turn: Mutex::default() }))
    }

    /// From here on answers are written by `model`. A child that holds another one ends, and with it
    /// what it was writing; the same one goes on, and what was refused or stopped is tried again.
    pub fn use_model(&self, model: Option<Runnable>) {
        let _turn = self.0.turn();
        let mut state = self.0.state();
        let mut old = None;
        if state.model != model {
            old = state.give_up("Another model was chosen.");
            state.model = model;
        }
        state.refused = None;
        state.deaths = Deaths::default();
        state.stopped = false;
        drop(state);
        old.map(Process::end).unwrap_or_default();
    }

    /// Has something written; what comes of it is sent to `events`, ended by [`Event::Ended`] or
    /// [`Event::Failed`]. Loads the model first when it is not in memory.
    ///
    /// # Errors
    /// `model_missing`; what an earlier loading of this model ended with; `prompt_too_large`;
    /// `generation_failed` when no process can be had.
    pub fn start(&self, job: Job, events: UnboundedSender<Event>) -> Result<Running, Fault> {
        let number = self.0.number();
        let Job { prompt, options, scope } = job;
        let line = line(&Order::Start { job: number, prompt, options, scope })?;
        let child = self.0.order(number, &line, |held| {
            held.jobs.insert(number, events.clone());
        })?;
        // The child holds the only way to the listener: where it ends, the listener hears of it.
        drop(events);
        Ok(Running { engine: Arc::downgrade(&self.0), child, job: number })
    }

    /// How many tokens `text` has for the model in memory, if it can say so within half a second.
    ///
    /// # Errors
    /// As [`Engine::start`]; `generation_failed` while no model is in memory, which this does not
    /// change, and when the model is busy with other things.
    pub fn tokens(&self, text: &str) -> Result<usize, Fault> {
        self.0.state().may_write()?;
        if self.loaded().is_none() {
            return Err(generation_failed("The model is not in memory."));
        }
        let (counted, count) = sync_channel(1);
        let number = self.0.number();
        let line = line(&Order::Count { job: number, text: text.to_owned() })?;
        let child = self.0.order(number, &line, |held| {
            held.counts.insert(number, counted.clone());
        })?;
        drop(counted);
        match count.recv_timeout(COUNT_LIMIT) {
            Ok(Some(tokens)) => Ok(tokens),
            Ok(None) => Err(generation_failed("The text cannot be taken apart into tokens.")),
            Err(RecvTimeoutError::Timeout) => {
                self.0.forget(child, number);
                Err(generation_failed("The model is busy; the text was not counted."))
            }
            Err(e) => Err(self.0.refusal().unwrap_or_else(|| died().because(e))),
        }
    }

    /// What the model in memory takes and gives; none while it is being loaded, or there is none.
    pub fn loaded(&self) -> Option<Loaded> {
        self.0.state().child.as_ref().and_then(|held| held.loaded)
    }

    /// The number of the process that holds the model, on this machine.
    pub fn process(&self) -> Option<u32> {
        self.0.state().child.as_ref().map(|held| held.process.pid())
    }

    /// How many answers are being written.
    pub fn running(&self) -> usize {
        self.0.state().child.as_ref().map_or(0, |held| held.jobs.len())
    }

    /// Gives the model's memory back when nothing was asked of it for so long; whether it did.
    pub fn unload_if_idle(&self, after: Duration) -> bool {
        let _turn = self.0.turn();
        let mut state = self.0.state();
        let idle = state.child.as_ref().is_some_and(|held| {
            let asked = !held.jobs.is_empty() || !held.counts.is_empty();
            !asked && held.idle_since.elapsed() >= after
        });
        let process = if idle { state.give_up("The model was put away.") } else { None };
        drop(state);
        process.map(Process::end).is_some()
    }

    /// Ends the child, two seconds at most; nothing is written until a model is chosen again.
    pub fn stop(&self) {
        // Said first, so that no other child is begun while one that is being started is waited for.
        self.0.state().stopped = true;
        let _turn = self.0.turn();
        let process = self.0.state().give_up("The box is closing.");
        process.map(Process::end).unwrap_or_default();
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(&self) -> Option<Fault> {
        self.state().refusal()
    }

    /// Held while a child is started or ended, so that two models are never in memory at once and
    /// nobody who only looks waits for either. Taken before the state, never within.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        let mut state = self.state();
        state.last += 1;
        state.last
    }

    /// Gives the child an order, by `expect` written down among what is expected of it; answers the
    /// child's number. While the model is loaded orders wait here: nothing that anybody asks for can
    /// have a hand in a death then.
    fn order(
        self: &Arc<Self>,
        number: u64,
        line: &[u8],
        expect: impl Fn(&mut Held),
    ) -> Result<u64, Fault> {
        // A child may have died a moment ago without anybody knowing yet: then there is a second one.
        for _ in 0..2 {
            let (child, input) = {
                let mut state = self.with_child()?;
                let held = state.child.as_mut().ok_or_else(died)?;
                expect(held);
                if held.loaded.is_none() {
                    held.waiting.push((number, line.to_vec()));
                    return Ok(held.number);
                }
                (held.number, held.process.input())
            };
            // Outside of the lock: a child that reads slowly holds up nobody else.
            match input.write(line) {
                Ok(()) => return Ok(child),
                Err(e) => {
                    tracing::debug!("a generating child does not listen: {e}");
                    self.forget(child, number);
                    self.lost(child, "it does not listen");
                }
            }
        }
        Err(self.refusal().unwrap_or_else(died))
    }

    /// The state with a child in it, started when there is none.
    fn with_child(self: &Arc<Self>) -> Result<MutexGuard<'_, State>, Fault> {
        {
            let state = self.state();
            state.may_write()?;
            if state.child.is_some() {
                return Ok(state);
            }
        }
        let _turn = self.turn();
        let (model, number) = {
            let mut state = self.state();
            let model = state.may_write()?;
            if state.child.is_some() {
                return Ok(state);
            }
            state.last += 1;
            (model, state.last)
        };
        let engine = Arc::downgrade(self);
        let process = Process::start(
            &self.options.program,
            self.options.threads,
            self.load(&model),
            move |news| {
                let Some(inner) = engine.upgrade() else { return };
                // It may speak before it is known here.
                drop(inner.turn());
                match news {
                    News::Told(told) => inner.heard(number, told),
                    News::Gone(how) => inner.lost(number, &how),
                }
            },
        )?;
        let mut state = self.state();
        state.child = Some(Held {
            number,
            process,
            jobs: HashMap::new(),
            counts: HashMap::new(),
            waiting: Vec::new(),
            loaded: None,
            idle_since: Instant::now(),
        });
        Ok(state)
    }

    fn load(&self, model: &Runnable) -> Load {
        Load {
            version: wire::VERSION,
            file: model.folder.join(&model.file),
            sha256: model.sha256.to_ascii_lowercase(),
            beside: model.beside.clone(),
            slots: self.options.slots.max(1),
            context_tokens: self.options.context_tokens,
            memory_bytes: self.options.memory_bytes,
        }
    }

    /// The child says something.
    fn heard(&self, child: u64, told: Told) {
        if let Told::Loaded(loaded) = told {
            tracing::info!(
                context_tokens = loaded.context_tokens,
                bytes = loaded.bytes,
                load_ms = loaded.load_ms,
                "the model is in memory"
            );
            return self.hand_over(child, loaded);
        }
        let mut state = self.state();
        let State { child: held, refused, .. } = &mut *state;
        let Some(held) = held.as_mut().filter(|held| held.number == child) else { return };
        match told {
            // It was heard above.
            Told::Loaded(_) => {}
            Told::Refused { code, message } => {
                tracing::warn!("the model was not loaded: {message} ({code})");
                fail(held, &code, &message);
                *refused = Some(Refused { code, message, since: Instant::now() });
            }
            Told::Event { job, event } => {
                let last = matches!(event, Event::Ended { .. } | Event::Failed { .. });
                if let Some(events) = held.jobs.get(&job) {
                    // Nobody may listen any more: then the answer was cancelled, too.
                    let _ = events.send(event);
                }
                if last {
                    held.settle(job);
                }
            }
            Told::Counted { job, tokens } => {
                if let Some(count) = held.counts.remove(&job) {
                    let _ = count.try_send(tokens);
                }
                held.idle_since = Instant::now();
            }
        }
    }

    /// The model is in memory: what waited for it is ordered.
    fn hand_over(&self, child: u64, loaded: Loaded) {
        let mut state = self.state();
        let Some(held) = state.child.as_mut().filter(|held| held.number == child) else { return };
        held.loaded = Some(loaded);
        let (input, waiting) = (held.process.input(), std::mem::take(&mut held.waiting));
        // Held before the state is let go, so that no cancelling overtakes its order. Nobody spoke to
        // the child yet, so nobody has to be waited for.
        let mut input = input.hold();
        drop(state);
        for (number, line) in waiting {
            // A child that does not listen is dying, which is heard of next.
            if let Err(e) = input.write(&line) {
                tracing::debug!(number, "a generating child does not listen: {e}");
                return;
            }
        }
    }

    /// The child is gone: what it was writing fails, and a model that kills its children is refused.
    fn lost(&self, child: u64, how: &str) {
        let _turn = self.turn();
        let mut state = self.state();
        let Some(mut held) = state.child.take_if(|held| held.number == child) else { return };
        if state.refusal().is_none() {
            tracing::error!("the generating child is gone: {how}");
            if state.deaths.count(Instant::now(), held.loaded.is_some()) {
                let why = "The model cannot be loaded: the program died of it twice. Check the file, \
                           and choose the model again.";
                state.refuse("model_damaged".into(), why.into());
            }
        }
        drop(state);
        fail(&mut held, "generation_failed", &died().message);
        // Already gone, or past listening: nothing to wait for but the kernel.
        held.process.end();
    }

    fn forget(&self, child: u64, job: u64) {
        let mut state = self.state();
        if let Some(held) = state.child.as_mut().filter(|held| held.number == child) {
            held.settle(job);
        }
    }
}

impl State {
    /// The model that would write now, or why none does.
    fn may_write(&self) -> Result<Runnable, Fault> {
        let Some(model) = self.model.clone().filter(|_| cfg!(feature = "models")) else {
            return Err(missing());
        };
        if self.stopped {
            return Err(generation_failed("The model was put away."));
        }
        if let Some(fault) = self.refusal() {
            return Err(fault);
        }
        match self.deaths.pause(Instant::now()) {
            Some(pause) if self.child.is_none() => Err(generation_failed(
                "The program that runs the model broke off several times; it is tried again later.",
            )
            .retry_after(pause)),
            _ => Ok(model),
        }
    }

    fn refusal(&self) -> Option<Fault> {
        let Refused { code, message, since } = self.refused.as_ref()?;
        let left = REFUSED_FOR.saturating_sub(since.elapsed());
        let fault = || named(code, message.clone()).retry_after(left);
        (!left.is_zero()).then(fault)
    }

    fn refuse(&mut self, code: String, message: String) {
        self.refused = Some(Refused { code, message, since: Instant::now() });
    }

    /// Takes the child out, and fails what it was asked for; whoever holds the turn ends it then.
    fn give_up(&mut self, why: &str) -> Option<Process> {
        let mut held = self.child.take()?;
        fail(&mut held, "generation_failed", why);
        Some(held.process)
    }
}

/// All that a child was asked for fails.
fn fail(held: &mut Held, code: &str, message: &str) {
    held.counts.clear();
    held.waiting.clear();
    for (_, events) in held.jobs.drain() {
        let _ = events.send(Event::Failed { code: code.to_owned(), message: message.to_owned() });
    }
}

fn missing() -> Fault {
    Fault::unavailable("model_missing", "There is no language model to write with.")
}

fn generation_failed(message: &str) -> Fault {
    named("generation_failed", message)
}

fn died() -> Fault {
    generation_failed("The program that runs the model broke off. Ask again.")
}

fn line(order: &Order) -> Result<Vec<u8>, Fault> {
    wire::line(order).map_err(|e| too_long().because(e))
}

fn too_long() -> Fault {
    named("prompt_too_large", "The prompt is longer than this box takes.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> Engine {
        Engine::new(EngineOptions {
            program: "/nonexistent/ilot".into(),
            threads: 1,
            slots: 1,
            context_tokens: 64,
            memory_bytes: 0,
        })
    }

    fn job() -> Job {
        let prompt = Prompt::Text("Bonjour".into());
        Job { prompt, options: Options::default(), scope: "u1".into() }
    }

    #[test]
    fn without_a_model_nothing_starts() {
        let engine = engine();
        let (events, _heard) = tokio::sync::mpsc::unbounded_channel();
        assert_eq!(engine.start(job(), events).err().unwrap().code, "model_missing");
        assert_eq!(engine.tokens("x").unwrap_err().code, "model_missing");
        assert!(engine.loaded().is_none() && !engine.unload_if_idle(Duration::ZERO));
        engine.stop();
    }

    #[test]
    #[cfg(feature = "models")]
    fn a_program_that_is_not_there_is_named() {
        let engine = engine();
        engine.use_model(Some(Runnable {
            folder: "/nonexistent".into(),
            file: "m.gguf".into(),
            sha256: String::new(),
            beside: Vec::new(),
        }));
        let (events, _heard) = tokio::sync::mpsc::unbounded_channel();
        assert_eq!(engine.start(job(), events).err().unwrap().code, "generation_failed");
        assert_eq!(engine.running(), 0);
    }
}
