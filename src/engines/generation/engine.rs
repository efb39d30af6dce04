//! The engine as the rest of the box sees it: one child at most, started when it is needed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::options::{Event, Options, Prompt};
use super::process::{News, Process};
use super::wire::{self, Load, Loaded, Order, Told, named};
use crate::base::fault::Fault;

/// A model whose loading killed this many children ...
const DEATHS_MAX: usize = 2;
/// ... within this time is not tried again by itself.
const DEATHS_WITHIN: Duration = Duration::from_mins(1);
/// A text is counted within this, the loading of a model included.
const COUNT_LIMIT: Duration = Duration::from_mins(2);

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
    /// Its `tokenizer.json`, in the folder or by its whole path.
    pub tokenizer: Option<PathBuf>,
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
}

#[derive(Default)]
struct State {
    model: Option<Runnable>,
    /// Why the model is not tried again: a fault's code and sentence.
    refused: Option<(String, String)>,
    deaths: Vec<Instant>,
    child: Option<Held>,
    /// Numbers of children and jobs, never given twice.
    last: u64,
    stopped: bool,
}

/// The child, and what is expected of it.
struct Held {
    number: u64,
    process: Process,
    jobs: HashMap<u64, UnboundedSender<Event>>,
    counts: HashMap<u64, SyncSender<Option<usize>>>,
    loaded: Option<Loaded>,
    idle_since: Instant,
}

impl Held {
    fn settle(&mut self, job: u64) {
        self.jobs.remove(&job);
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
            let state = inner.state();
            let held = state.child.as_ref().filter(|held| held.number == self.child);
            held.filter(|held| held.jobs.contains_key(&self.job)).map(|held| held.process.input())
        };
        if let Some(input) = input {
            // A child that cannot be told is dying, and its jobs with it.
            let _ = input.write(&Order::Cancel { job: self.job });
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
        Self(Arc::new(Inner { options, state: Mutex::default() }))
    }

    /// From here on answers are written by `model`. A child that holds another one ends, and with it
    /// what it was writing; the same one goes on, and what was refused or stopped is tried again.
    pub fn use_model(&self, model: Option<Runnable>) {
        let mut state = self.0.state();
        if state.model != model {
            state.end("Another model was chosen.");
            state.model = model;
        }
        state.refused = None;
        state.deaths.clear();
        state.stopped = false;
    }

    /// Has something written; what comes of it is sent to `events`, ended by [`Event::Ended`] or
    /// [`Event::Failed`]. Loads the model first when it is not in memory.
    ///
    /// # Errors
    /// `model_missing`; what an earlier loading of this model ended with; `prompt_too_large`;
    /// `generation_failed` when no process can be had.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a job is given away, though it may be sent twice"
    )]
    pub fn start(&self, job: Job, events: UnboundedSender<Event>) -> Result<Running, Fault> {
        let (child, job) = self.0.order(|held, number| {
            held.jobs.insert(number, events.clone());
            let Job { prompt, options, scope } = job.clone();
            Order::Start { job: number, prompt, options, scope }
        })?;
        Ok(Running { engine: Arc::downgrade(&self.0), child, job })
    }

    /// How many tokens `text` has for the model; loads it when it is not in memory.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn tokens(&self, text: &str) -> Result<usize, Fault> {
        let (counted, count) = sync_channel(1);
        self.0.order(|held, number| {
            held.counts.insert(number, counted.clone());
            Order::Count { job: number, text: text.to_owned() }
        })?;
        drop(counted);
        match count.recv_timeout(COUNT_LIMIT) {
            Ok(Some(tokens)) => Ok(tokens),
            Ok(None) => Err(generation_failed("The text cannot be taken apart into tokens.")),
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
        let mut state = self.0.state();
        let idle = state.child.as_ref().is_some_and(|held| {
            let asked = !held.jobs.is_empty() || !held.counts.is_empty();
            !asked && held.idle_since.elapsed() >= after
        });
        if idle {
            state.end("The model was put away.");
        }
        idle
    }

    /// Ends the child, two seconds at most; nothing is written until a model is chosen again.
    pub fn stop(&self) {
        let mut state = self.0.state();
        state.stopped = true;
        state.end("The box is closing.");
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(&self) -> Option<Fault> {
        self.state().refusal()
    }

    /// Gives the child an order that `make` writes down; answers the child's number and the order's.
    fn order(
        self: &Arc<Self>,
        make: impl Fn(&mut Held, u64) -> Order,
    ) -> Result<(u64, u64), Fault> {
        // A child may have died a moment ago without anybody knowing yet: then there is a second one.
        for _ in 0..2 {
            let (child, number, order, input) = {
                let mut state = self.state();
                state.last += 1;
                let number = state.last;
                let held = self.child(&mut state)?;
                let order = make(held, number);
                (held.number, number, order, held.process.input())
            };
            // Outside of the lock: a child that reads slowly holds up nobody else.
            match input.write(&order) {
                Ok(()) => return Ok((child, number)),
                Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => {
                    self.forget(child, number);
                    return Err(too_long());
                }
                Err(e) => {
                    tracing::debug!("a generating child does not listen: {e}");
                    self.forget(child, number);
                    self.lost(child, "it does not listen");
                }
            }
        }
        Err(self.refusal().unwrap_or_else(died))
    }

    /// The child, started when there is none.
    fn child<'s>(self: &Arc<Self>, state: &'s mut State) -> Result<&'s mut Held, Fault> {
        let Some(model) = state.model.clone().filter(|_| cfg!(feature = "models")) else {
            return Err(missing());
        };
        if state.stopped {
            return Err(generation_failed("The model was put away."));
        }
        if let Some(fault) = state.refusal() {
            return Err(fault);
        }
        if state.child.is_none() {
            state.last += 1;
            let number = state.last;
            let engine = Arc::downgrade(self);
            let process = Process::start(
                &self.options.program,
                self.options.threads,
                self.load(&model),
                move |news| {
                    let Some(inner) = engine.upgrade() else { return };
                    match news {
                        News::Told(told) => inner.heard(number, told),
                        News::Gone(how) => inner.lost(number, &how),
                    }
                },
            )?;
            state.child = Some(Held {
                number,
                process,
                jobs: HashMap::new(),
                counts: HashMap::new(),
                loaded: None,
                idle_since: Instant::now(),
            });
        }
        state.child.as_mut().ok_or_else(died)
    }

    fn load(&self, model: &Runnable) -> Load {
        Load {
            version: wire::VERSION,
            file: model.folder.join(&model.file),
            sha256: model.sha256.to_ascii_lowercase(),
            tokenizer: model.tokenizer.as_ref().map(|file| model.folder.join(file)),
            slots: self.options.slots.max(1),
            context_tokens: self.options.context_tokens,
            memory_bytes: self.options.memory_bytes,
        }
    }

    /// The child says something.
    fn heard(&self, child: u64, told: Told) {
        let mut state = self.state();
        let State { child: held, refused, .. } = &mut *state;
        let Some(held) = held.as_mut().filter(|held| held.number == child) else { return };
        match told {
            Told::Loaded(loaded) => {
                tracing::info!(
                    context_tokens = loaded.context_tokens,
                    bytes = loaded.bytes,
                    load_ms = loaded.load_ms,
                    "the model is in memory"
                );
                held.loaded = Some(loaded);
            }
            Told::Refused { code, message } => {
                tracing::warn!("the model was not loaded: {message} ({code})");
                *refused = Some((code.clone(), message.clone()));
                fail(held, &code, &message);
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

    /// The child is gone: what it was writing fails, and a model that kills its children is refused.
    fn lost(&self, child: u64, how: &str) {
        let mut state = self.state();
        let Some(mut held) = state.child.take_if(|held| held.number == child) else { return };
        if state.refused.is_none() {
            tracing::error!("the generating child is gone: {how}");
            if held.loaded.is_none() {
                state.deaths.retain(|death| death.elapsed() < DEATHS_WITHIN);
                state.deaths.push(Instant::now());
            }
            if state.deaths.len() >= DEATHS_MAX {
                let why = "The model cannot be loaded: the program died of it twice. Check the file, \
                           and choose the model again.";
                state.refused = Some(("model_damaged".into(), why.into()));
            }
        }
        fail(&mut held, "generation_failed", &died().message);
        // Already gone, or past listening: nothing to wait for but the kernel.
        held.process.end();
    }

    fn forget(&self, child: u64, job: u64) {
        let mut state = self.state();
        if let Some(held) = state.child.as_mut().filter(|held| held.number == child) {
            held.counts.remove(&job);
            held.settle(job);
        }
    }
}

impl State {
    fn refusal(&self) -> Option<Fault> {
        self.refused.as_ref().map(|(code, message)| named(code, message.clone()))
    }

    /// Ends the child and waits for it, so that two models are never in memory at once.
    fn end(&mut self, why: &str) {
        let Some(mut held) = self.child.take() else { return };
        fail(&mut held, "generation_failed", why);
        held.process.end();
    }
}

/// All that a child was asked for fails.
fn fail(held: &mut Held, code: &str, message: &str) {
    held.counts.clear();
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
            tokenizer: None,
        }));
        let (events, _heard) = tokio::sync::mpsc::unbounded_channel();
        assert_eq!(engine.start(job(), events).err().unwrap().code, "generation_failed");
        assert_eq!(engine.running(), 0);
    }
}
