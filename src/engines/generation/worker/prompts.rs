//! Orders become answers that are ready to be written: templates, tokens, grammars.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender};

use super::super::grammar::{Grammar, Grammars};
use super::super::options::{Options, Prompt};
use super::super::piece::Piece;
use super::super::template::Template;
use super::super::vocabulary::{Vocabulary, Writer};
use super::super::wire::{Order, Told, named};
use super::scheduler::{Ready, Writes};
use super::{Message, Voice, failure};
use crate::base::fault::Fault;
use crate::base::tasks::caught;

/// What is needed to make prompts ready. It lasts as long as the process.
pub(super) struct Language {
    /// The model's tokens.
    pub vocabulary: &'static Vocabulary,
    /// How many of them the network knows.
    pub tokens: usize,
    /// How the model is spoken to; why not, when it has no template that works.
    pub template: Result<Template, Fault>,
    /// The longest text, prompt and answer together.
    pub context: usize,
    /// Made for the first answer that keeps to a schema: it takes a moment.
    pub grammars: OnceLock<Grammars>,
}

/// Makes what is ordered ready, one order after the other, so that each is cancelled after it began.
pub(super) fn attend(
    orders: &Receiver<Order>,
    language: &Language,
    ready: &Sender<Message>,
    voice: &Voice,
) {
    while let Ok(order) = orders.recv() {
        let message = match order {
            Order::Start { job, prompt, options, scope } => {
                // A prompt that breaks a library ends one answer, not everybody's.
                match caught(|| language.ready(job, &prompt, options, scope)) {
                    Ok(ready) => Message::Start(Box::new(ready)),
                    Err(fault) => {
                        voice.event(job, failure(&fault));
                        continue;
                    }
                }
            }
            Order::Cancel { job } => Message::Cancel(job),
            Order::Count { job, text } => {
                let tokens = caught(|| language.vocabulary.encode(&text, false));
                let tokens = tokens.map(|tokens| tokens.len()).ok();
                voice.tell(&Told::Counted { job, tokens });
                continue;
            }
            // It was obeyed; a second one makes no sense.
            Order::Load(_) => continue,
        };
        if ready.send(message).is_err() {
            return;
        }
    }
}

impl Language {
    fn ready(
        &self,
        job: u64,
        prompt: &Prompt,
        options: Options,
        scope: String,
    ) -> Result<Ready, Fault> {
        let prompt = self.prompt(prompt)?;
        if prompt.is_empty() {
            return Err(named("prompt_empty", "There is nothing to go on from."));
        }
        if prompt.iter().any(|token| *token as usize >= self.tokens) {
            return Err(named(
                "prompt_unsupported",
                "The model does not know a word of the prompt.",
            ));
        }
        if prompt.len() >= self.context {
            return Err(named(
                "prompt_too_large",
                format!(
                    "The prompt has {} tokens; prompt and answer together may have {} here.",
                    prompt.len(),
                    self.context
                ),
            ));
        }
        let grammar = options.schema.as_deref().map(|schema| self.grammar(schema)).transpose()?;
        let seed = getrandom::u64().map_err(|e| Fault::broken("beginning chance", e))?;
        let writer = Box::new(self.vocabulary.writer(prompt.last().copied()));
        Ok(Ready { job, scope, prompt, options, seed, grammar, writer })
    }

    fn prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, Fault> {
        match prompt {
            // A text that goes on belongs to its author: what looks like a mark in it is text.
            Prompt::Text(text) => self.vocabulary.prompt(&[Piece::plain(text.as_str())]),
            Prompt::Chat(messages) => match &self.template {
                Ok(template) => self.vocabulary.prompt(&template.render(messages)?),
                Err(fault) => Err(named("prompt_unsupported", fault.message.as_str())),
            },
        }
    }

    fn grammar(&self, schema: &str) -> Result<Grammar, Fault> {
        if self.grammars.get().is_none() {
            let vocabulary = self.vocabulary;
            let made = Grammars::new(
                vocabulary.len(),
                |token| vocabulary.bytes(token),
                |token| vocabulary.is_special(token),
                vocabulary.ends(),
            )?;
            let _ = self.grammars.set(made);
        }
        let grammars = self.grammars.get();
        grammars
            .ok_or_else(|| Fault::broken("making grammars", "they are not there"))?
            .compile(schema)
    }
}

impl Writes for Writer<'static> {
    fn push(&mut self, token: u32) -> String {
        Writer::push(self, token)
    }

    fn finish(&mut self) -> String {
        Writer::finish(self)
    }
}
