//! What is said to the other server and what it says: `OpenAI`'s chat and text completions.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::failed;
use crate::base::fault::Fault;

/// What a server says of a fault is told up to so many characters.
const WORDS_MAX: usize = 300;

/// The most tokens that are believed of a count: more than any model's context has.
const TOKENS_MAX: usize = 1 << 24;
/// A model's name is shown up to so many characters.
const NAME_MAX: usize = 200;

/// Tokens as the other server counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counted {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens written.
    pub completion_tokens: usize,
    /// More about the prompt, where the server says so.
    prompt_tokens_details: Option<Details>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: usize,
}

impl Counted {
    /// What can be believed of it.
    fn believed(mut self) -> Self {
        for count in [
            Some(&mut self.prompt_tokens),
            Some(&mut self.completion_tokens),
            self.prompt_tokens_details.as_mut().map(|details| &mut details.cached_tokens),
        ]
        .into_iter()
        .flatten()
        {
            *count = (*count).min(TOKENS_MAX);
        }
        self
    }

    /// Tokens of the prompt that it had in memory.
    pub fn reused_tokens(&self) -> usize {
        self.prompt_tokens_details.map_or(0, |details| details.cached_tokens)
    }
}

/// Why an answer ended, as the other server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It said all it had to.
    Stop,
    /// It wrote as many tokens as it may.
    Length,
}

/// What one event of an answer adds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    /// The model, as the server names it.
    pub(super) model: Option<String>,
    /// More text.
    pub(super) text: String,
    /// Why it ended.
    pub(super) end: Option<End>,
    /// What it cost.
    pub(super) counted: Option<Counted>,
}

/// Completes a question with what this client relies on: a stream that ends with what it cost.
pub(super) fn complete(mut question: Map<String, Value>, model: &str) -> Value {
    question.insert("model".into(), json!(model));
    question.insert("stream".into(), json!(true));
    question.insert("stream_options".into(), json!({"include_usage": true}));
    Value::Object(question)
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Counted>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Content>,
    #[serde(default)]
    message: Option<Content>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    content: Option<String>,
}

/// Reads one event of a stream, or a whole answer of a server that does not stream.
///
/// # Errors
/// `upstream_failed` when it is none, or says that something went wrong.
pub(super) fn read(data: &[u8]) -> Result<Added, Fault> {
    // An object: a list of nothing would pass for a part in which every field is left out.
    let chunk: Chunk = serde_json::from_slice::<Map<String, Value>>(data)
        .and_then(|fields| serde_json::from_value(Value::Object(fields)))
        .map_err(|e| failed("It sends what is no part of an answer.").because(e))?;
    if let Some(error) = &chunk.error {
        return Err(failed(format!("It broke off: {}", words(error))));
    }
    let mut added = Added {
        model: chunk.model.as_deref().and_then(name),
        counted: chunk.usage.map(Counted::believed),
        ..Added::default()
    };
    for choice in chunk.choices {
        let content = choice.delta.or(choice.message).and_then(|content| content.content);
        added.text.extend(content.or(choice.text));
        added.end = choice.finish_reason.map(|reason| match reason.as_str() {
            "length" => End::Length,
            _ => End::Stop,
        });
    }
    Ok(added)
}

/// What a server says went wrong, in its own words, cut to a sentence's length.
pub(super) fn complaint(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => words(value.get("error").unwrap_or(&value)),
        Err(_) => cut(&String::from_utf8_lossy(body)),
    }
}

fn words(error: &Value) -> String {
    let said = [error.get("message"), error.get("detail"), Some(error)];
    let text = said.into_iter().flatten().find_map(Value::as_str);
    cut(text.map_or_else(|| error.to_string(), str::to_owned).as_str())
}

fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect()
}

/// A model's name as far as it can be shown: no control, nothing that turns or hides text.
fn name(given: &str) -> Option<String> {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let shown: String = given.chars().filter(|c| !hidden(*c)).take(NAME_MAX).collect();
    let shown = shown.trim();
    (!shown.is_empty()).then(|| shown.to_owned())
}

#[derive(Deserialize)]
struct Listed {
    data: Vec<ListedModel>,
}

#[derive(Deserialize)]
struct ListedModel {
    id: String,
}

/// The first model of a server's list.
///
/// # Errors
/// `upstream_failed` when the list is none or empty.
pub(super) fn first_model(body: &[u8]) -> Result<String, Fault> {
    let listed: Listed = serde_json::from_slice(body).map_err(|e| {
        failed("It does not list its models; set assistant.openai.model.").because(e)
    })?;
    let first = listed.data.into_iter().next();
    first.and_then(|model| name(&model.id)).ok_or_else(|| failed("It lists no model."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_every_kind_are_read() {
        let text = read(br#"{"model":"m","choices":[{"delta":{"content":"a"}}]}"#).unwrap();
        assert_eq!((text.model.as_deref(), text.text.as_str()), (Some("m"), "a"));
        let role = read(br#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#).unwrap();
        assert_eq!(role, Added::default());
        let plain = read(br#"{"choices":[{"text":"b","finish_reason":"length"}]}"#).unwrap();
        assert_eq!((plain.text.as_str(), plain.end), ("b", Some(End::Length)));
        let usage = br#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,
                         "prompt_tokens_details":{"cached_tokens":1}}}"#;
        let counted = read(usage).unwrap().counted.unwrap();
        assert_eq!((counted.prompt_tokens, counted.reused_tokens()), (3, 1));
        let null = br#"{"choices":[],"usage":{"prompt_tokens":3,"prompt_tokens_details":null}}"#;
        assert_eq!(read(null).unwrap().counted.unwrap().reused_tokens(), 0);
        for bad in [&b"{"[..], b"[]", br#"{"error":{"message":"out of memory"}}"#] {
            assert_eq!(read(bad).unwrap_err().code, "upstream_failed");
        }
    }

    #[test]
    fn counts_and_names_are_believed_within_measure() {
        let usage = br#"{"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":5,
                         "prompt_tokens_details":{"cached_tokens":18446744073709551615}}}"#;
        let counted = read(usage).unwrap().counted.unwrap();
        assert_eq!((counted.prompt_tokens, counted.completion_tokens), (TOKENS_MAX, 5));
        assert_eq!(counted.reused_tokens(), TOKENS_MAX);
        let long = json!({"model": format!("\u{1b}[31mm\u{202e}{}", "x".repeat(5000))}).to_string();
        let named = read(long.as_bytes()).unwrap().model.unwrap();
        assert!(named.starts_with("[31mmx") && named.chars().count() == NAME_MAX, "{named}");
        let listed = json!({"data": [{"id": format!("a\nb{}", "é".repeat(5000))}]}).to_string();
        let first = first_model(listed.as_bytes()).unwrap();
        assert!(first.starts_with("abé") && first.chars().count() == NAME_MAX, "{first}");
        assert_eq!(read(br#"{"model":"\u0007 "}"#).unwrap().model, None);
        assert!(first_model(br#"{"data":[{"id":"\u0000"}]}"#).is_err());
    }

    #[test]
    fn a_complaint_is_one_clean_sentence() {
        assert_eq!(complaint(br#"{"error":{"message":"no\nsuch model"}}"#), "no such model");
        assert_eq!(complaint(br#"{"detail":"too long"}"#), "too long");
        assert_eq!(complaint(b"<html>"), "<html>");
        assert_eq!(complaint("é".repeat(900).as_bytes()).chars().count(), WORDS_MAX);
    }

    #[test]
    fn the_first_model_of_the_list_is_taken() {
        assert_eq!(first_model(br#"{"data":[{"id":"a"},{"id":"b"}]}"#).unwrap(), "a");
        assert!(first_model(br#"{"data":[]}"#).is_err());
        assert!(first_model(b"[]").is_err());
    }
}
