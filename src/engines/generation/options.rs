//! What is asked of a language model, and what it answers, whoever runs it.

use serde::{Deserialize, Serialize};

/// Who says a message of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The box: what it is to keep to.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// What a model goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// A conversation, written down by the model's own chat template.
    Chat(Vec<Message>),
    /// A text, taken as it is.
    Text(String),
}

/// How a model is to go on. The defaults are the box's own; a door fills in what its caller says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// The most tokens to write.
    pub max_tokens: usize,
    /// 0 takes the likeliest token every time; 1 draws as the model says.
    pub temperature: f32,
    /// Only the likeliest tokens that together weigh so much; 1 keeps all.
    pub top_p: f32,
    /// Only so many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Only tokens at least so likely as this part of the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Tokens of the last [`Options::repeat_last`] are made less likely by this factor; 1 does nothing.
    pub repeat_penalty: f32,
    /// How many of the last tokens the penalties look at.
    pub repeat_last: usize,
    /// Taken once from the logit of every token that was written already.
    pub presence_penalty: f32,
    /// Taken from a token's logit for each time it was written already.
    pub frequency_penalty: f32,
    /// Where chance begins; the same seed gives the same text on the same box.
    pub seed: Option<u64>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// A JSON Schema that the answer keeps to.
    pub schema: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_tokens: 1024,
            temperature: 0.7,
            top_p: 0.95,
            top_k: 40,
            min_p: 0.0,
            repeat_penalty: 1.0,
            repeat_last: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: None,
            stop: Vec::new(),
            schema: None,
        }
    }
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// It said all it had to, or one of the texts that end the answer came.
    Stop,
    /// It wrote as many tokens as it may, or its context is full.
    Length,
    /// Nobody wants the rest.
    Cancelled,
}

/// What an answer cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were still in memory from the turn before.
    pub reused_tokens: usize,
    /// Tokens written.
    pub completion_tokens: usize,
    /// Milliseconds until the first token, from when the model took the prompt up.
    pub prefill_ms: u64,
    /// Milliseconds from the first token to the last.
    pub decode_ms: u64,
}

/// What comes from a model, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The prompt was taken up.
    Started {
        /// Its tokens.
        prompt_tokens: usize,
        /// Of these, what need not be read again.
        reused_tokens: usize,
    },
    /// More text: whole characters.
    Text(String),
    /// The end of an answer.
    Ended {
        /// Why.
        reason: Reason,
        /// What it cost.
        usage: Usage,
    },
    /// There is no answer: a fault's stable code and its sentence.
    Failed {
        /// The code.
        code: String,
        /// The sentence.
        message: String,
    },
}
