//! What writes: the box's own model or a server on its LAN, one fair queue before either.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedReceiver;

use super::models::Models;
use super::records::talk::Purpose;
use super::thinking::Ground;
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::base::tasks::Tasks;
use crate::engines::generation::{Options, Prompt, Reason, Usage};

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
        /// Tokens of the prompt.
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
pub struct Generation {
    settings: GenerationSettings,
    models: Models,
}

impl Generation {
    /// Opens the desk.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(
        _ground: &Ground,
        settings: GenerationSettings,
        models: Models,
    ) -> Result<Self, Fault> {
        Ok(Self { settings, models })
    }

    /// Starts what gives memory back.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn start(&self, _tasks: &Tasks) -> Result<(), Fault> {
        Ok(())
    }

    /// Ends what is being written.
    pub fn wind_down(&self) {}

    /// The settings.
    pub fn settings(&self) -> &GenerationSettings {
        &self.settings
    }

    /// The box's own options: what a request that says nothing gets.
    pub fn usual(&self) -> Options {
        Options {
            max_tokens: self.settings.max_output_tokens,
            temperature: self.settings.temperature,
            ..Options::default()
        }
    }

    /// Whether a question would be written upon: a model is chosen, or another server is set.
    ///
    /// # Errors
    /// What the store says.
    pub fn can_write(&self) -> Result<bool, Fault> {
        Ok(self.models.chosen(Purpose::Language)?.is_some())
    }

    /// Has something written.
    ///
    /// # Errors
    /// `right_missing`; `model_missing` (503) with what to do; `prompt_too_large`; `queue_full` (429).
    pub fn write(&self, caller: &Caller, _ask: Ask) -> Result<Stream, Fault> {
        caller.require(Right::UseAssistant)?;
        Err(model_missing())
    }

    /// How the writer is.
    ///
    /// # Errors
    /// `right_missing`, what the store says.
    pub fn status(&self, caller: &Caller) -> Result<WriterStatus, Fault> {
        caller.require(Right::UseAssistant)?;
        Ok(WriterStatus {
            engine: self.settings.engine,
            model: self.models.chosen(Purpose::Language)?.map(|model| model.name),
            loaded: false,
            running: 0,
            waiting: 0,
            context_tokens: self.settings.context_tokens,
        })
    }

    /// How many tokens a text has for the model in use; none when there is none.
    ///
    /// # Errors
    /// What the engine says.
    pub fn count_tokens(&self, _text: &str) -> Result<Option<usize>, Fault> {
        Ok(None)
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
