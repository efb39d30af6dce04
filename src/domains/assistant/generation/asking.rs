//! A question in the words of a server that speaks `OpenAI`'s protocol.

use serde_json::{Map, Value, json};

use crate::engines::generation::{Options, Prompt};
use crate::engines::upstream::Way;

/// Which of its doors the question goes to, and what it says there.
pub(super) fn question(prompt: &Prompt, options: &Options) -> (Way, Map<String, Value>) {
    let mut said = Map::new();
    let mut say = |name: &str, value: Value| drop(said.insert(name.to_owned(), value));
    say("max_tokens", json!(options.max_tokens));
    say("temperature", json!(options.temperature));
    say("top_p", json!(options.top_p));
    say("presence_penalty", json!(options.presence_penalty));
    say("frequency_penalty", json!(options.frequency_penalty));
    if let Some(seed) = options.seed {
        say("seed", json!(seed));
    }
    if !options.stop.is_empty() {
        say("stop", json!(options.stop));
    }
    // These are no part of the protocol, and a strict server refuses what it does not know: they
    // are sent only when something else than the usual is asked for.
    let usual = Options::default();
    if options.top_k != usual.top_k {
        say("top_k", json!(options.top_k));
    }
    if differs(options.min_p, usual.min_p) {
        say("min_p", json!(options.min_p));
    }
    if differs(options.repeat_penalty, usual.repeat_penalty) {
        // One name at llama.cpp's server, the other at vLLM's.
        say("repeat_penalty", json!(options.repeat_penalty));
        say("repetition_penalty", json!(options.repeat_penalty));
    }
    if let Some(schema) = &options.schema {
        let schema = serde_json::from_str::<Value>(schema).unwrap_or_default();
        let named = json!({"name": "answer", "schema": schema, "strict": true});
        say("response_format", json!({"type": "json_schema", "json_schema": named}));
    }
    match prompt {
        Prompt::Chat(messages) => {
            say("messages", json!(messages));
            (Way::Chat, said)
        }
        Prompt::Text(text) => {
            say("prompt", json!(text));
            (Way::Text, said)
        }
    }
}

fn differs(a: f32, b: f32) -> bool {
    (a - b).abs() > f32::EPSILON
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::generation::{Message, Role};

    #[test]
    fn only_what_every_server_knows_is_said_unless_more_is_asked_for() {
        let prompt = Prompt::Chat(vec![Message::new(Role::User, "Bonjour")]);
        let (way, said) = question(&prompt, &Options::default());
        assert_eq!(way, Way::Chat);
        assert_eq!(said["messages"][0], json!({"role": "user", "content": "Bonjour"}));
        assert!(!said.contains_key("top_k") && !said.contains_key("seed"));
        let options = Options {
            top_k: 5,
            repeat_penalty: 1.2,
            seed: Some(7),
            stop: vec!["\n".into()],
            schema: Some("{\"type\":\"object\"}".into()),
            ..Options::default()
        };
        let (way, said) = question(&Prompt::Text("Il était".into()), &options);
        assert_eq!((way, &said["prompt"]), (Way::Text, &json!("Il était")));
        assert_eq!((&said["top_k"], &said["seed"]), (&json!(5), &json!(7)));
        assert_eq!(said["repeat_penalty"], said["repetition_penalty"]);
        let format = &said["response_format"]["json_schema"];
        assert_eq!(format["schema"], json!({"type": "object"}));
    }
}
