//! Chat templates: a conversation becomes the text that a model was taught to go on from.
//!
//! A template is a small program from the model's file. It runs with bounded work and output, and it
//! cannot be used to say a model's own marks: see [`taint`].

mod json;
mod sources;
mod taint;
#[cfg(test)]
mod tests;

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, context};
use serde::Deserialize;
pub use sources::TemplateKind;
use taint::Taint;

use super::faults::{damaged, unsupported};
use super::header::Header;
use super::options::{Message, Role};
use super::piece::Piece;
use crate::base::clock::{Clock as _, MachineClock};
use crate::base::fault::Fault;

/// The most bytes of a template.
pub const TEMPLATE_BYTES_MAX: usize = 1 << 20;
/// What one rendering may do: an instruction costs 1, and so do 64 bytes that are made.
const FUEL: u64 = 4_000_000;
/// The most bytes of a rendered prompt, in which every letter of a person's takes four.
const OUTPUT_BYTES_MAX: usize = 64 << 20;
/// The name under which the template is kept; nobody sees it.
const NAME: &str = "chat";
/// What stands between texts that had to become one message.
const BETWEEN: &str = "\n\n";
/// Where a model that thinks aloud ends its thoughts.
const THOUGHT_END: &str = "</think>";

/// A model's chat template.
pub struct Template {
    environment: Environment<'static>,
    source: String,
    kind: TemplateKind,
    bos: String,
    eos: String,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What a `tokenizer_config.json` says of templates.
#[derive(Deserialize)]
#[serde(untagged)]
enum Configured {
    One(String),
    Several(Vec<Named>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

#[derive(Deserialize)]
struct Config {
    chat_template: Option<Configured>,
}

impl Template {
    /// The template in a model's file, or one that fits the marks of its vocabulary.
    ///
    /// `model_unsupported` when the template is not one that can be run here.
    pub fn of(header: &Header) -> Result<Self, Fault> {
        Self::of_files(header, None)
    }

    /// The same, with the `tokenizer_config.json` beside the file, whose template counts for more.
    pub fn of_files(header: &Header, tokenizer_config: Option<&[u8]>) -> Result<Self, Fault> {
        let beside = tokenizer_config.map(configured).transpose()?.flatten();
        let own = beside.or_else(|| header.text("tokenizer.chat_template").map(str::to_owned));
        let own = own.filter(|source| !source.trim().is_empty());
        let kind = kind(header, own.is_some());
        let source = own.unwrap_or_else(|| kind.source().to_owned());
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(damaged(format!(
                "The chat template has {} bytes; {TEMPLATE_BYTES_MAX} are allowed.",
                source.len()
            )));
        }
        let token = |key: &str| {
            let at = header.number(key).and_then(|id| usize::try_from(id).ok());
            let tokens = header.texts("tokenizer.ggml.tokens").unwrap_or_default();
            at.and_then(|at| tokens.get(at)).cloned().unwrap_or_default()
        };
        let environment = environment(&source).map_err(|e| {
            unsupported("The model's chat template is not one that can be run here.")
                .because(e.to_string())
        })?;
        Ok(Self {
            environment,
            source,
            kind,
            bos: token("tokenizer.ggml.bos_token_id"),
            eos: token("tokenizer.ggml.eos_token_id"),
        })
    }

    /// Where the template is from.
    pub fn kind(&self) -> TemplateKind {
        self.kind
    }

    /// The prompt of a conversation, up to where the model is to speak, in pieces: only what the
    /// template wrote is trusted.
    ///
    /// A template that has no place for the system's message gets it at the head of the person's
    /// first. `model_unsupported` when the template fails, does too much, or leaves out what is asked.
    pub fn render(&self, messages: &[Message]) -> Result<Vec<Piece>, Fault> {
        if messages.is_empty() {
            return Err(Fault::field("messages", "too_short", "A conversation has a message."));
        }
        let ways = [messages.to_vec(), merged(messages), simpler(messages)];
        let mut refused = None;
        for (at, way) in ways.iter().enumerate() {
            if ways.iter().take(at).any(|before| before == way) {
                continue;
            }
            match self.attempt(way)? {
                Ok(Rendered { pieces, whole: true }) => return Ok(pieces),
                Ok(_) => {}
                Err(error) => {
                    let spent = error.kind() == ErrorKind::OutOfFuel;
                    // The first refusal is about the conversation as it was asked.
                    refused = refused.or(Some(error));
                    if spent {
                        break;
                    }
                }
            }
        }
        Err(refused.map_or_else(left_out, |error| {
            unsupported("The model's chat template cannot write this conversation down.")
                .because(error.to_string())
        }))
    }

    /// Renders once: the outer fault is the prompt's, the inner error the template's.
    fn attempt(&self, messages: &[Message]) -> Result<Result<Rendered, Error>, Fault> {
        let mut taint = Taint::new(&[&self.source, &self.bos, &self.eos]);
        let thinks = self.source.contains(THOUGHT_END);
        let mut masked = Vec::with_capacity(messages.len());
        for message in messages {
            let content = match message.role {
                // Such templates take past thoughts out themselves, and would not see them here.
                Role::Assistant if thinks => after_thoughts(&message.content),
                _ => &message.content,
            };
            masked.push((message.role, taint.mask(content)?));
        }
        let text = match self.run(&masked) {
            Ok(text) => text,
            Err(error) => return Ok(Err(error)),
        };
        // The same template that trims a text may not leave it out.
        let has = |role: Role| {
            let last = masked.iter().rev().find(|(who, _)| *who == role);
            last.is_none_or(|(_, content)| text.contains(content.trim()))
        };
        let whole = has(Role::System) && has(Role::User);
        Ok(Ok(Rendered { pieces: taint.unmask(&text), whole }))
    }

    fn run(&self, messages: &[(Role, String)]) -> Result<String, Error> {
        let messages: Vec<_> = messages
            .iter()
            .map(|(role, content)| context! { role => word(*role), content => content })
            .collect();
        let given = context! {
            messages,
            tools => None::<()>,
            documents => None::<()>,
            add_generation_prompt => true,
            enable_thinking => false,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        };
        let mut out = Bounded(Vec::new());
        self.environment.get_template(NAME)?.render_captured_to(given, &mut out)?;
        String::from_utf8(out.0).map_err(|e| Error::new(ErrorKind::WriteFailure, e.to_string()))
    }
}

/// What came of one rendering.
struct Rendered {
    pieces: Vec<Piece>,
    /// Whether the system's message and the person's last one are in it.
    whole: bool,
}

/// Where the template of a model with this header is from.
pub(super) fn kind(header: &Header, own: bool) -> TemplateKind {
    if own { TemplateKind::Own } else { TemplateKind::by_vocabulary(header) }
}

fn left_out() -> Fault {
    unsupported("The model's chat template leaves out what is asked.")
}

fn word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// What an assistant said after it had thought.
fn after_thoughts(content: &str) -> &str {
    content.rsplit_once(THOUGHT_END).map_or(content, |(_, said)| said.trim_start())
}

/// The same conversation in which nobody speaks twice in a row.
fn merged(messages: &[Message]) -> Vec<Message> {
    let mut turns: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages {
        match turns.last_mut().filter(|last| last.role == message.role) {
            Some(last) => {
                last.content.push_str(BETWEEN);
                last.content.push_str(&message.content);
            }
            None => turns.push(message.clone()),
        }
    }
    turns
}

/// The same conversation for templates that know nothing but turns of two: the system's words stand
/// at the head of the person's next ones.
fn simpler(messages: &[Message]) -> Vec<Message> {
    let spoken = messages.iter().map(|message| match message.role {
        Role::System => Message::new(Role::User, message.content.clone()),
        _ => message.clone(),
    });
    merged(&spoken.collect::<Vec<_>>())
}

/// The chat template of a `tokenizer_config.json`; of several, the one for chats.
fn configured(bytes: &[u8]) -> Result<Option<String>, Fault> {
    let config: Config = serde_json::from_slice(bytes)
        .map_err(|e| damaged("tokenizer_config.json is not in its format.").because(e))?;
    Ok(match config.chat_template {
        None => None,
        Some(Configured::One(source)) => Some(source),
        Some(Configured::Several(all)) => {
            all.into_iter().find(|one| one.name == "default").map(|one| one.template)
        }
    })
}

/// The world a template runs in, as its first home has it.
fn environment(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("tojson", json::to_json);
    environment.add_function("raise_exception", |words: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, words))
    });
    environment.add_function("strftime_now", today);
    environment.add_template_owned(NAME, without_generation(source))?;
    Ok(environment)
}

/// The date, as a template asks for it.
fn today(format: &str) -> Result<String, Error> {
    let unclear = |e: jiff::Error| Error::new(ErrorKind::InvalidOperation, e.to_string());
    let now = jiff::Timestamp::from_millisecond(MachineClock.now().0).map_err(unclear)?;
    jiff::fmt::strtime::format(format, &now.to_zoned(jiff::tz::TimeZone::system())).map_err(unclear)
}

/// Some templates mark what a model is to be trained on; here that is a block like any other.
fn without_generation(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("{%") {
        out.push_str(before);
        out.push_str("{%");
        let Some((tag, left)) = after.split_once("%}") else {
            rest = after;
            continue;
        };
        let name = tag.trim_matches(['-', '+']).trim();
        match name {
            "generation" => out.push_str(&tag.replace(name, "if true")),
            "endgeneration" => out.push_str(&tag.replace(name, "endif")),
            _ => out.push_str(tag),
        }
        out.push_str("%}");
        rest = left;
    }
    out.push_str(rest);
    out
}

/// Takes what a template writes, up to a limit.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > OUTPUT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the prompt is too large"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
