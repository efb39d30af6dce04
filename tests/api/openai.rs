//! The door for `OpenAI`'s clients without a model: what it refuses, in which words, with which headers.

use serde_json::{Value, json};

use super::ask::{Ask, House, get, post};

fn chat(change: &Value) -> Ask {
    let mut body =
        json!({"model": "default", "messages": [{"role": "user", "content": "Bonjour"}]});
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    post("/v1/chat/completions", &body)
}

#[test]
fn what_the_box_cannot_do_is_refused_by_name() {
    let (house, admin) = House::ready();
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]);
    for (change, code) in [
        (json!({"tools": tools}), "tools_unsupported"),
        (json!({"tools": tools, "tool_choice": "auto"}), "tools_unsupported"),
        (json!({"functions": tools}), "tools_unsupported"),
        (
            json!({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}),
            "tools_unsupported",
        ),
        (json!({"messages": image}), "content_unsupported"),
        (json!({"n": 2}), "option_unsupported"),
        (json!({"logprobs": true}), "option_unsupported"),
        (json!({"logit_bias": {"50256": -100}}), "option_unsupported"),
        (json!({"response_format": {"type": "grammar"}}), "option_unsupported"),
    ] {
        house.refuses(chat(&change).by(&admin), 400, code);
    }
    for (change, code) in [
        (json!({"best_of": 3}), "option_unsupported"),
        (json!({"n": 2}), "option_unsupported"),
        (json!({"logprobs": 5}), "option_unsupported"),
        (json!({"suffix": "fin"}), "option_unsupported"),
        (json!({"prompt": ["a", "b"]}), "option_unsupported"),
        (json!({"prompt": [1, 2, 3]}), "tokens_unsupported"),
        (json!({"prompt": ""}), "prompt_missing"),
    ] {
        let mut body = json!({"model": "default", "prompt": "Il"});
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        house.refuses(post("/v1/completions", &body).by(&admin), 400, code);
    }
    let tokens = json!({"model": "default", "input": [[1, 2], [3]]});
    house.refuses(post("/v1/embeddings", &tokens).by(&admin), 400, "tokens_unsupported");
}

#[test]
fn a_missing_model_is_told_once_and_unknown_fields_are_no_matter() {
    let (house, admin) = House::ready();
    let extra = json!({"user": "u", "metadata": {"a": 1}, "store": false, "tools": [], "n": 1, "logprobs": null,
        "parallel_tool_calls": true, "stream_options": null, "model": "gpt-4o"});
    for streamed in [false, true] {
        let mut body = extra.clone();
        body["stream"] = json!(streamed);
        let reply = house.ask(chat(&body).by(&admin));
        assert_eq!((reply.status, &reply.json()["code"]), (503, &json!("model_missing")));
        // The clients would ask again and again, and wait a minute each time.
        assert_eq!((reply.header("x-should-retry"), reply.header("retry-after")), ("false", "60"));
    }
    let models = house.check(get("/v1/models").by(&admin), 200, &json!({"object": "list"}));
    assert_eq!(models["data"], json!([]));
    house.refuses(get("/v1/models/default").by(&admin), 404, "model_unknown");
}
