//! What writes: the box's own model or a server on its LAN, one fair queue before either.

mod asking;
mod dispatch;
mod keys;
mod remote;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::models::{Models, Use};
use super::queue::{Limits, Queue, Ticket};
use super::records::talk::Purpose;
use super::thinking::Ground;
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::health::{Health, Level};
use crate::base::tasks::{Handle, Tasks};
use crate::engines::generation::{Engine, EngineOptions, Options, Prompt, Reason, Usage};
use crate::engines::secrets::RootKey;
use crate::store::Store;
pub use keys::UpstreamStatus;
use remote::Remote;

/// The part of the box that the health page knows the writer by.
const PART: &str = "assistant";
/// A prompt has at most so many characters for each token it may have (assistant.md §3.4).
const CHARS_PER_TOKEN: usize = 4;
/// Messages of a conversation; one more is refused as `prompt_too_large`.
const MESSAGES_MAX: usize = 1000;
/// What a message counts for besides its content, characters: its role and the marks around it.
const CHARS_PER_MESSAGE: usize = 8;
/// How often it is looked whether the model's memory can be given back.
const TEND_EVERY: Duration = Duration::from_secs(5);

/// Who generates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// The model on this box.
    #[default]
    Local,
    /// A server on the LAN that speaks `OpenAI`'s protocol; the model on this box when it is down.
    Openai,
}

/// Settings under `[assistant]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerationSettings {
    /// Who generates: `local` or `openai`.
    pub engine: EngineKind,
    /// The longest prompt, tokens (assistant.md §3.10); longer than four times so many characters is refused.
    pub max_input_tokens: usize,
    /// The most tokens of an answer when the request names none.
    pub max_output_tokens: usize,
    /// The longest context, tokens; a model's own limit and the memory at hand make it shorter.
    pub context_tokens: usize,
    /// How free the answers are when the request does not say.
    pub temperature: f32,
    /// Answers written side by side.
    pub slots: usize,
    /// Threads for the model; 0 takes every core, at low priority.
    pub threads: usize,
    /// Memory for the model, MiB; 0 takes half of what is free when it is loaded.
    pub memory_mib: u64,
    /// After how long without a question the model's memory is given back, seconds; 0 keeps it.
    pub idle_unload_seconds: u64,
    /// Questions that may wait; one more is told to come back.
    pub queue_max: usize,
    /// Questions of one user that may wait or run.
    pub queue_max_per_user: usize,
    /// The other server, for `engine = "openai"`.
    pub openai: UpstreamSettings,
}

impl Default for GenerationSettings {
    fn default() -> Self {
        Self {
            engine: EngineKind::Local,
            max_input_tokens: 8000,
            max_output_tokens: 1024,
            context_tokens: 8192,
            temperature: 0.7,
            slots: 4,
            threads: 0,
            memory_mib: 0,
            idle_unload_seconds: 900,
            queue_max: 64,
            queue_max_per_user: 8,
            openai: UpstreamSettings::default(),
        }
    }
}

impl GenerationSettings {
    /// What in these settings would keep another server from generating.
    pub fn problem(&self) -> Option<String> {
        (self.engine == EngineKind::Openai)
            .then(|| remote::server(self).err().map(|fault| fault.message))
            .flatten()
    }
}

/// Settings under `[assistant.openai]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamSettings {
    /// Where it answers, with its front, for instance `https://gpu.lan:8000/v1`; empty for none.
    pub url: String,
    /// The model to ask for; empty takes the first one it lists.
    pub model: String,
    /// A PEM file of the authorities it is trusted by; empty takes the machine's own.
    pub ca_file: String,
    /// How long a connection may take, seconds.
    pub connect_seconds: u64,
    /// How long it may be silent within an answer, seconds.
    pub silence_seconds: u64,
    /// How long it is left alone after it was found to be down, seconds.
    pub rest_seconds: u64,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            model: String::new(),
            ca_file: String::new(),
            connect_seconds: 5,
            silence_seconds: 60,
            rest_seconds: 30,
        }
    }
}

/// Something to be written.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What to go on from.
    pub prompt: Prompt,
    /// How.
    pub options: Options,
    /// What may share memory with what: only prompts of one scope find one another's beginnings read.
    /// Usually the conversation's name, else the user's.
    pub scope: String,
}

/// A piece of what is being written.
#[derive(Debug)]
pub enum Piece {
    /// It waits; so many are before it.
    Waiting(usize),
    /// It is being written.
    Started {
        /// The model's name.
        model: String,
        /// Tokens of the prompt; 0 while another server writes, which says so at the end.
        prompt_tokens: usize,
        /// Of these, what was still in memory.
        reused_tokens: usize,
    },
    /// More text.
    Text(String),
    /// The end.
    Ended {
        /// Why.
        reason: Reason,
        /// What it cost.
        usage: Usage,
    },
    /// It broke off.
    Failed(Fault),
}

/// What is being written, as it comes. Whoever drops it wants no more of it.
pub struct Stream {
    pieces: UnboundedReceiver<Piece>,
    /// Dropped with the stream: the writer stops at the next token.
    _wanted: Box<dyn std::any::Any + Send + Sync>,
}

impl Stream {
    /// A stream of `pieces`; `wanted` is dropped when nobody listens any more.
    pub fn new(pieces: UnboundedReceiver<Piece>, wanted: impl std::any::Any + Send + Sync) -> Self {
        Self { pieces, _wanted: Box::new(wanted) }
    }

    /// The next piece; none after the end.
    pub async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await
    }

    /// The next piece, for whoever has a thread to wait on.
    pub fn wait(&mut self) -> Option<Piece> {
        self.pieces.blocking_recv()
    }

    /// The whole text, for whoever wants no part of it.
    ///
    /// # Errors
    /// What broke it off.
    pub fn whole(mut self) -> Result<Written, Fault> {
        let mut written = Written::default();
        while let Some(piece) = self.wait() {
            match piece {
                Piece::Waiting(_) => {}
                Piece::Started { model, .. } => written.model = model,
                Piece::Text(text) => written.text.push_str(&text),
                Piece::Ended { reason, usage } => {
                    written.reason = Some(reason);
                    written.usage = usage;
                }
                Piece::Failed(fault) => return Err(fault),
            }
        }
        Ok(written)
    }
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Its text.
    pub text: String,
    /// The model that wrote it.
    pub model: String,
    /// Why it ended; none when the writer went away without a word.
    pub reason: Option<Reason>,
    /// What it cost.
    pub usage: Usage,
}

/// How the writer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WriterStatus {
    /// Who generates.
    pub engine: EngineKind,
    /// The model's name; none when there is none.
    pub model: Option<String>,
    /// Whether it is in memory.
    pub loaded: bool,
    /// Answers being written.
    pub running: usize,
    /// Questions that wait.
    pub waiting: usize,
    /// Tokens of the longest context it has now.
    pub context_tokens: usize,
}

/// The writer's desk. Clones are the same desk.
#[derive(Clone)]
pub struct Generation(Arc<Desk>);

/// What the desk and its dispatcher share.
struct Desk {
    settings: GenerationSettings,
    models: Models,
    store: Store,
    clock: Arc<dyn Clock>,
    health: Health,
    root: RootKey,
    engine: Engine,
    remote: Remote,
    queue: Mutex<Queue<Asked>>,
    /// Rung when the queue has changed.
    bell: Notify,
    /// The dispatcher; none before the start and after the end.
    dispatcher: Mutex<Option<Handle>>,
}

/// A question with everything its answer needs.
struct Asked {
    ask: Ask,
    caller: Caller,
    pieces: UnboundedSender<Piece>,
    /// Cancelled when nobody listens any more.
    unwanted: CancellationToken,
}

/// Held by a stream: when it is dropped, the place in the queue is free at once.
struct Wanted {
    desk: Arc<Desk>,
    ticket: Ticket,
    unwanted: CancellationToken,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.unwanted.cancel();
        let left = self.desk.queue().leave(self.ticket);
        if left.is_some() {
            self.desk.bell.notify_one();
        }
    }
}

impl Generation {
    /// Opens the desk. No model is loaded and no server asked yet.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(
        ground: &Ground,
        settings: GenerationSettings,
        models: &Models,
    ) -> Result<Self, Fault> {
        let engine = Engine::new(EngineOptions {
            program: ground.program.clone(),
            threads: settings.threads,
            slots: settings.slots.max(1),
            context_tokens: settings.context_tokens,
            memory_bytes: settings.memory_mib << 20,
        });
        let limits = Limits {
            slots: settings.slots,
            waiting: settings.queue_max,
            per_user: settings.queue_max_per_user,
        };
        let loaded = engine.clone();
        models.will_be_used(Use {
            context_tokens: settings.context_tokens,
            slots: settings.slots,
            memory_bytes: settings.memory_mib << 20,
            loaded: Some(Arc::new(move || loaded.loaded().map_or(0, |loaded| loaded.bytes))),
        });
        let remote = Remote::open(&settings);
        let desk = Arc::new(Desk {
            models: models.clone(),
            store: ground.store.clone(),
            clock: ground.clock.clone(),
            health: ground.health.clone(),
            root: ground.root.clone(),
            engine,
            remote,
            queue: Mutex::new(Queue::new(limits)),
            bell: Notify::new(),
            dispatcher: Mutex::default(),
            settings,
        });
        desk.follow_choice()?;
        let follower = Arc::downgrade(&desk);
        models.on_choice(move || match follower.upgrade() {
            Some(desk) => desk.follow_choice(),
            None => Ok(()),
        });
        Ok(Self(desk))
    }

    /// Starts what writes, and what gives memory back.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn start(&self, tasks: &Tasks) -> Result<(), Fault> {
        *self.0.dispatcher() = Some(dispatch::start(self.0.clone(), tasks)?);
        let idle = Duration::from_secs(self.0.settings.idle_unload_seconds);
        if idle.is_zero() {
            return Ok(());
        }
        let engine = self.0.engine.clone();
        tasks.every("put-model-away", TEND_EVERY, move |_| {
            if engine.unload_if_idle(idle) {
                tracing::debug!("the language model was put away");
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Ends what is being written and takes nothing more.
    pub fn wind_down(&self) {
        if let Some(dispatcher) = self.0.dispatcher().take() {
            dispatcher.stop();
        }
    }

    /// The settings.
    pub fn settings(&self) -> &GenerationSettings {
        &self.0.settings
    }

    /// The box's own options: what a request that says nothing gets.
    pub fn usual(&self) -> Options {
        Options {
            max_tokens: self.0.settings.max_output_tokens,
            temperature: self.0.settings.temperature,
            ..Options::default()
        }
    }

    /// Whether a question would be written upon: a model is chosen, or another server is set.
    ///
    /// # Errors
    /// What the store says.
    pub fn can_write(&self) -> Result<bool, Fault> {
        Ok(self.0.remote.is_set() || self.0.models.chosen(Purpose::Language)?.is_some())
    }

    /// Has something written.
    ///
    /// # Errors
    /// `right_missing`; `model_missing` (503) with what to do; `prompt_too_large`; `queue_full` (429);
    /// `writer_closed` (503) while the box opens or closes.
    pub fn write(&self, caller: &Caller, ask: Ask) -> Result<Stream, Fault> {
        caller.require(Right::UseAssistant)?;
        check_length(&ask.prompt, self.0.settings.max_input_tokens)?;
        if !self.can_write()? {
            return Err(model_missing());
        }
        let (pieces, taken) = unbounded_channel();
        let unwanted = CancellationToken::new();
        let asked = Asked { ask, caller: caller.clone(), pieces, unwanted: unwanted.clone() };
        let ticket = {
            // Held across the look and the joining, so that nobody joins a queue that was emptied.
            let dispatcher = self.0.dispatcher();
            if dispatcher.is_none() {
                return Err(closed());
            }
            self.0.queue().join(&asker(caller), asked)?
        };
        self.0.bell.notify_one();
        Ok(Stream::new(taken, Wanted { desk: self.0.clone(), ticket, unwanted }))
    }

    /// How the writer is.
    ///
    /// # Errors
    /// `right_missing`, what the store says.
    pub fn status(&self, caller: &Caller) -> Result<WriterStatus, Fault> {
        caller.require(Right::UseAssistant)?;
        let desk = &self.0;
        let (running, waiting) = {
            let queue = desk.queue();
            (queue.running(), queue.waiting())
        };
        let loaded = desk.engine.loaded();
        let remote = desk.remote.in_use(desk.clock.since_boot());
        Ok(WriterStatus {
            engine: desk.settings.engine,
            model: self.model_name()?,
            loaded: loaded.is_some() || remote,
            running,
            waiting,
            context_tokens: self.context_tokens()?,
        })
    }

    /// Tokens of the longest context there is now: what the model in memory has, else what the chosen
    /// one could have. Another server's own is not known; the setting stands for it.
    ///
    /// # Errors
    /// What the store says.
    pub fn context_tokens(&self) -> Result<usize, Fault> {
        let (desk, set) = (&self.0, self.0.settings.context_tokens);
        if desk.remote.in_use(desk.clock.since_boot()) {
            return Ok(set);
        }
        if let Some(loaded) = desk.engine.loaded() {
            return Ok(loaded.context_tokens);
        }
        let chosen = desk.models.chosen(Purpose::Language)?;
        Ok(chosen.and_then(|model| desk.models.context_of(&model)).map_or(set, |own| own.min(set)))
    }

    /// The name of the model that would write now; none when none would.
    ///
    /// # Errors
    /// What the store says.
    pub fn model_name(&self) -> Result<Option<String>, Fault> {
        let desk = &self.0;
        if desk.remote.in_use(desk.clock.since_boot())
            && let Some(name) = desk.remote.known_model()
        {
            return Ok(Some(name));
        }
        Ok(desk.models.chosen(Purpose::Language)?.map(|model| model.name))
    }

    /// How many tokens a text has for the model in use; none when none is in memory on this box, or
    /// when another server writes, whose tokens are its own.
    ///
    /// # Errors
    /// What the engine says.
    pub fn count_tokens(&self, text: &str) -> Result<Option<usize>, Fault> {
        let desk = &self.0;
        if desk.remote.in_use(desk.clock.since_boot()) || desk.engine.loaded().is_none() {
            return Ok(None);
        }
        desk.engine.tokens(text).map(Some)
    }
}

impl Desk {
    fn queue(&self) -> MutexGuard<'_, Queue<Asked>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dispatcher(&self) -> MutexGuard<'_, Option<Handle>> {
        self.dispatcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the engine which model is chosen now, and the board how the writer is.
    fn follow_choice(&self) -> Result<(), Fault> {
        let chosen = self.models.chosen(Purpose::Language)?;
        self.engine.use_model(chosen.as_ref().and_then(|model| self.models.runnable(model)));
        self.tell_health(chosen.as_ref().map(|model| model.name.as_str()));
        Ok(())
    }

    /// Says on the board who writes, or why nobody does.
    fn tell_health(&self, local: Option<&str>) {
        let (level, detail, advice) = match (
            self.remote.trouble(),
            self.remote.known_model(),
            local,
        ) {
            (Some(why), _, Some(local)) => (
                Level::Reduced,
                format!("{local} on this box writes, since the other server does not: {why}"),
                "See that the server runs; it is tried again by itself.",
            ),
            (Some(why), _, None) => (
                Level::Reduced,
                format!("Nothing writes: {why}"),
                "See that the server runs, or add a model to this box to fall back to.",
            ),
            (None, name, _) if self.remote.is_set() => {
                let name = name.unwrap_or_else(|| "A model".into());
                (Level::Ok, format!("{name} on another server writes."), "")
            }
            (None, _, Some(local)) => (Level::Ok, format!("{local} writes."), ""),
            (None, _, None) => (
                Level::Reduced,
                "There is no language model: answers are made of the documents' own sentences."
                    .into(),
                "Bring a GGUF file and run 'ilot model add FILE', or add it on the models page.",
            ),
        };
        self.health.report(PART, level, detail, advice);
    }
}

/// Refuses a prompt of more characters or messages than may be written upon.
fn check_length(prompt: &Prompt, max_tokens: usize) -> Result<(), Fault> {
    let limit = max_tokens.saturating_mul(CHARS_PER_TOKEN);
    let got = match prompt {
        Prompt::Text(text) => text.chars().count(),
        Prompt::Chat(messages) if messages.len() > MESSAGES_MAX => {
            return Err(too_many_messages(messages.len()));
        }
        Prompt::Chat(messages) => {
            messages.iter().map(|m| m.content.chars().count() + CHARS_PER_MESSAGE).sum()
        }
    };
    if got > limit { Err(prompt_too_large(limit, got)) } else { Ok(()) }
}

/// Whose questions count together.
fn asker(caller: &Caller) -> String {
    match &caller.who {
        Who::User { id, .. } | Who::Machine { id, .. } => id.to_string(),
        _ => caller.name().to_owned(),
    }
}

/// There is nothing to write with.
pub fn model_missing() -> Fault {
    Fault::unavailable(
        "model_missing",
        "No language model is installed. Bring a GGUF file and run 'ilot model add FILE', or add it \
         on the models page.",
    )
    .retry_after(Duration::from_mins(1))
}

/// The box is not open for questions.
fn closed() -> Fault {
    Fault::unavailable("writer_closed", "The box is opening or closing; ask again in a moment.")
        .retry_after(Duration::from_secs(5))
}

/// The prompt has more characters than it may.
fn prompt_too_large(limit: usize, got: usize) -> Fault {
    Fault::invalid(
        "prompt_too_large",
        format!("The prompt has {got} characters; at most {limit} are taken."),
    )
}

/// The conversation has more messages than it may.
fn too_many_messages(got: usize) -> Fault {
    Fault::invalid(
        "prompt_too_large",
        format!("The conversation has {got} messages; at most {MESSAGES_MAX} are taken."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::generation::{Message, Role};

    #[test]
    fn empty_messages_are_no_way_around_the_limit() {
        let code = |count: usize, tokens: usize| {
            let prompt = Prompt::Chat(vec![Message::new(Role::User, ""); count]);
            check_length(&prompt, tokens).map_or_else(|fault| fault.code, |()| "ok")
        };
        assert_eq!(code(MESSAGES_MAX, usize::MAX), "ok");
        assert_eq!(code(MESSAGES_MAX + 1, usize::MAX), "prompt_too_large");
        // Eight characters each, against four for each of the tokens.
        assert_eq!((code(10, 20), code(11, 20)), ("ok", "prompt_too_large"));
    }
}
