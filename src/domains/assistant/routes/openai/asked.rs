//! What such clients ask for, and which of it the box cannot do: said clearly instead of ignored.

use serde_json::Value;

use super::super::super::wishes::any_object;
use crate::base::fault::{Fault, Field};
use crate::engines::generation::{Message, Role};

/// What a message holds that the box does not read.
fn content_unsupported(kind: &str) -> Fault {
    let words = format!("A message may hold text alone; this one holds '{kind}'.");
    Fault::invalid("content_unsupported", words)
}

/// The box calls no functions.
pub(super) fn tools_unsupported() -> Fault {
    Fault::invalid(
        "tools_unsupported",
        "The box's models call no tools. Leave 'tools' and 'functions' out, or say 'tool_choice': 'none'.",
    )
}

/// An option that would change the answer and that the box does not have.
pub(super) fn option_unsupported(name: &str, allowed: &str) -> Fault {
    Fault::invalid("option_unsupported", format!("'{name}' {allowed}."))
}

/// Refuses `value` unless it says nothing: absent, null, false, zero or empty.
///
/// # Errors
/// `option_unsupported`.
pub(super) fn refuse(name: &str, value: Option<&Value>) -> Result<(), Fault> {
    if value.is_none_or(says_nothing) {
        return Ok(());
    }
    Err(option_unsupported(name, "is not offered by this box"))
}

/// Refuses `value` unless it is absent or 1.
///
/// # Errors
/// `option_unsupported`.
pub(super) fn refuse_many(name: &str, value: Option<u64>) -> Result<(), Fault> {
    if value.is_none_or(|n| n == 1) {
        return Ok(());
    }
    Err(option_unsupported(name, "may only be 1: the box writes one answer to a request"))
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// Refuses tools, unless the request says itself that none is to be called.
///
/// # Errors
/// `tools_unsupported`.
pub(super) fn refuse_tools(tools: Option<&Value>, choice: Option<&Value>) -> Result<(), Fault> {
    let none = choice.is_some_and(|choice| choice == "none");
    if none || tools.is_none_or(says_nothing) { Ok(()) } else { Err(tools_unsupported()) }
}

/// The schema that `response_format` holds the answer to; none for text.
///
/// # Errors
/// `option_unsupported`; `validation` when the schema is missing.
pub(super) fn schema_of(format: Option<&Value>) -> Result<Option<Value>, Fault> {
    let Some(format) = format.filter(|format| !format.is_null()) else { return Ok(None) };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(any_object())),
        Some("json_schema") => {
            let schema = format.pointer("/json_schema/schema");
            let place = ["body", "response_format", "json_schema", "schema"];
            schema.cloned().map(Some).ok_or_else(|| {
                field(place.map(str::to_owned).to_vec(), "missing", "Field required")
            })
        }
        _ => Err(option_unsupported(
            "response_format",
            "may be of the type 'text', 'json_object' or 'json_schema'",
        )),
    }
}

/// The messages of a conversation, as the engine knows them.
///
/// # Errors
/// `tools_unsupported`, `content_unsupported`, `validation` with the place of the message.
pub(super) fn messages_of(messages: &[super::chat::OpenaiMessage]) -> Result<Vec<Message>, Fault> {
    if messages.is_empty() {
        return Err(Fault::field(
            "messages",
            "list_length",
            "A conversation has at least one message.",
        ));
    }
    let each = messages.iter().enumerate().map(|(at, message)| {
        let place = |name: &str| {
            vec!["body".to_owned(), "messages".to_owned(), at.to_string(), name.to_owned()]
        };
        if message.tool_calls.as_ref().is_some_and(|calls| !says_nothing(calls))
            || message.function_call.as_ref().is_some_and(|call| !says_nothing(call))
        {
            return Err(tools_unsupported());
        }
        let role = match message.role.as_str() {
            // A developer's message is a system's under its newer name.
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" | "function" => return Err(tools_unsupported()),
            _ => {
                return Err(field(
                    place("role"),
                    "value_error",
                    "A role is system, developer, user or assistant.",
                ));
            }
        };
        let content = content_of(message.content.as_ref(), &|| place("content"))?;
        Ok(Message::new(role, content))
    });
    each.collect()
}

/// The text of a message; parts of text are joined.
fn content_of(content: Option<&Value>, place: &dyn Fn() -> Vec<String>) -> Result<String, Fault> {
    let wrong = || field(place(), "type_error", "A message's content is a text, or parts of text.");
    match content {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let mut whole = String::new();
            for part in parts {
                let kind = part.get("type").and_then(Value::as_str).ok_or_else(wrong)?;
                if !matches!(kind, "text" | "refusal") {
                    return Err(content_unsupported(&kind.chars().take(40).collect::<String>()));
                }
                whole.push_str(part.get(kind).and_then(Value::as_str).ok_or_else(wrong)?);
            }
            Ok(whole)
        }
        Some(_) => Err(wrong()),
    }
}

fn field(place: Vec<String>, wrong: &'static str, message: impl Into<String>) -> Fault {
    Fault::fields(vec![Field { place, wrong, message: message.into() }])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(messages: Value) -> Result<Vec<Message>, &'static str> {
        let messages: Vec<super::super::chat::OpenaiMessage> =
            serde_json::from_value(messages).map_err(|_| "no message")?;
        messages_of(&messages).map_err(|fault| fault.code)
    }

    #[test]
    fn every_role_and_part_of_text_is_understood_and_no_other() {
        let read_well = read(json!([
            {"role": "developer", "content": "Sois bref.", "name": "x"},
            {"role": "user", "content": [{"type": "text", "text": "Bon"}, {"type": "text", "text": "jour"}]},
            {"role": "assistant", "content": null, "tool_calls": []},
        ]));
        let wanted = vec![
            Message::new(Role::System, "Sois bref."),
            Message::new(Role::User, "Bonjour"),
            Message::new(Role::Assistant, ""),
        ];
        assert_eq!(read_well, Ok(wanted));
        let image = json!([{"type": "image_url", "image_url": {"url": "data:"}}]);
        for (message, code) in [
            (json!({"role": "tool", "content": "x"}), "tools_unsupported"),
            (json!({"role": "assistant", "tool_calls": [{}]}), "tools_unsupported"),
            (json!({"role": "chef", "content": "x"}), "validation"),
            (json!({"role": "user", "content": 7}), "validation"),
            (json!({"role": "user", "content": [{"type": "text"}]}), "validation"),
            (json!({"role": "user", "content": image}), "content_unsupported"),
        ] {
            assert_eq!(read(json!([message])), Err(code), "{message}");
        }
        assert_eq!(read(json!([])), Err("validation"));
    }

    #[test]
    fn tools_pass_only_when_none_is_to_be_called() {
        let tools = json!([{"type": "function"}]);
        let (none, auto) = (json!("none"), json!("auto"));
        assert!(refuse_tools(None, Some(&auto)).is_ok());
        assert!(refuse_tools(Some(&json!([])), None).is_ok());
        assert!(refuse_tools(Some(&tools), Some(&none)).is_ok());
        assert_eq!(refuse_tools(Some(&tools), None).unwrap_err().code, "tools_unsupported");
        assert!(refuse_tools(Some(&tools), Some(&auto)).is_err());
    }

    #[test]
    fn a_format_becomes_a_schema() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
        for (format, wanted) in [
            (json!(null), Ok(None)),
            (json!({"type": "text"}), Ok(None)),
            (json!({"type": "json_object"}), Ok(Some(any_object()))),
            (
                json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": schema}}),
                Ok(Some(schema.clone())),
            ),
            (json!({"type": "json_schema", "json_schema": {"name": "x"}}), Err("validation")),
            (json!({"type": "xml"}), Err("option_unsupported")),
            (json!("json"), Err("option_unsupported")),
        ] {
            assert_eq!(schema_of(Some(&format)).map_err(|f| f.code), wanted, "{format}");
        }
    }

    #[test]
    fn what_says_nothing_is_let_through() {
        for nothing in [json!(null), json!(false), json!(0), json!({}), json!([]), json!("")] {
            assert!(refuse("logprobs", Some(&nothing)).is_ok(), "{nothing}");
        }
        for something in [json!(true), json!(1), json!({"5": -100}), json!(["audio"])] {
            assert!(refuse("logprobs", Some(&something)).is_err(), "{something}");
        }
        assert!(refuse_many("n", None).is_ok() && refuse_many("n", Some(1)).is_ok());
        assert_eq!(refuse_many("n", Some(2)).unwrap_err().code, "option_unsupported");
    }
}
