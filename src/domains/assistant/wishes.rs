//! What a request may wish of the writer, by the names that clients use, held to what makes sense.

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::base::caller::{Caller, Who};
use crate::base::fault::{Fault, Field};
use crate::engines::generation::Options;

/// The most tokens that may be asked for; a model's context ends an answer sooner.
pub const TOKENS_MAX: usize = 131_072;
/// Texts that may end an answer.
pub const STOPS_MAX: usize = 16;
/// The longest of them, characters.
pub const STOP_LENGTH_MAX: usize = 256;
/// The largest JSON Schema that an answer may be held to, bytes.
pub const SCHEMA_MAX: usize = 64 * 1024;
/// The most that `top_k` keeps.
pub const TOP_K_MAX: usize = 10_000;

/// What a request wishes; what it does not say is as the box is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
pub struct Wishes {
    /// 0 takes the likeliest token every time; up to 2.
    pub temperature: Option<f32>,
    /// Only the likeliest tokens that together weigh so much, 0 to 1.
    pub top_p: Option<f32>,
    /// Only so many of the likeliest tokens; 0 keeps all.
    pub top_k: Option<usize>,
    /// Only tokens at least so likely as this part of the likeliest, 0 to 1.
    pub min_p: Option<f32>,
    /// Makes repeated tokens less likely, 0.5 to 2; 1 does nothing.
    pub repeat_penalty: Option<f32>,
    /// Taken once from every token that was written already, -2 to 2.
    pub presence_penalty: Option<f32>,
    /// Taken from a token for each time it was written already, -2 to 2.
    pub frequency_penalty: Option<f32>,
    /// The most tokens to write, from 1.
    pub max_tokens: Option<usize>,
    /// Where chance begins: the same seed gives the same text.
    pub seed: Option<i64>,
    /// A text that ends the answer, or up to 16 of them.
    pub stop: Option<Stops>,
    /// A JSON Schema that the answer keeps to.
    #[serde(alias = "json_schema")]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<Value>,
}

/// One text that ends an answer, or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Stops {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Stops {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// A schema that any JSON object keeps to.
pub fn any_object() -> Value {
    json!({"type": "object"})
}

/// What may share memory with what when there is no conversation: the prompts of one user.
pub fn own_scope(caller: &Caller) -> String {
    match &caller.who {
        Who::User { id, .. } | Who::Machine { id, .. } => format!("user:{id}"),
        _ => caller.name().to_owned(),
    }
}

impl Wishes {
    /// These wishes over what is usual. `place` leads to their fields in the request, for whoever is
    /// told that one cannot be met: `["body", "options"]`.
    ///
    /// # Errors
    /// `validation` with the place of the first field that is out of bounds.
    pub fn over(self, usual: Options, place: &[&str]) -> Result<Options, Fault> {
        let at = |name: &str| place.iter().chain([&name]).map(ToString::to_string).collect();
        let within = |name: &str, wish: Option<f32>, usual: f32, least: f32, most: f32| match wish {
            None => Ok(usual),
            Some(wish) if (least..=most).contains(&wish) => Ok(wish),
            Some(_) => Err(out_of_bounds(at(name), &format!("from {least} to {most}"))),
        };
        let counted =
            |name: &str, wish: Option<usize>, usual: usize, least: usize, most: usize| match wish {
                None => Ok(usual),
                Some(wish) if (least..=most).contains(&wish) => Ok(wish),
                Some(_) => Err(out_of_bounds(at(name), &format!("from {least} to {most}"))),
            };
        Ok(Options {
            max_tokens: counted("max_tokens", self.max_tokens, usual.max_tokens, 1, TOKENS_MAX)?,
            temperature: within("temperature", self.temperature, usual.temperature, 0.0, 2.0)?,
            top_p: within("top_p", self.top_p, usual.top_p, 0.0, 1.0)?,
            top_k: counted("top_k", self.top_k, usual.top_k, 0, TOP_K_MAX)?,
            min_p: within("min_p", self.min_p, usual.min_p, 0.0, 1.0)?,
            repeat_penalty: within(
                "repeat_penalty",
                self.repeat_penalty,
                usual.repeat_penalty,
                0.5,
                2.0,
            )?,
            presence_penalty: within(
                "presence_penalty",
                self.presence_penalty,
                usual.presence_penalty,
                -2.0,
                2.0,
            )?,
            frequency_penalty: within(
                "frequency_penalty",
                self.frequency_penalty,
                usual.frequency_penalty,
                -2.0,
                2.0,
            )?,
            // A negative seed is one like any other: only the same number has to give the same text.
            seed: self.seed.map(i64::cast_unsigned).or(usual.seed),
            stop: match self.stop {
                Some(stops) => stops_of(stops.list(), at("stop"))?,
                None => usual.stop,
            },
            schema: match self.schema {
                Some(schema) => Some(schema_of(&schema, at("schema"))?),
                None => usual.schema,
            },
            repeat_last: usual.repeat_last,
        })
    }
}

fn refused(place: Vec<String>, message: String) -> Fault {
    Fault::fields(vec![Field { place, wrong: "value_error", message }])
}

fn out_of_bounds(place: Vec<String>, bounds: &str) -> Fault {
    refused(place, format!("This must be {bounds}."))
}

/// An empty text would end every answer before it began; some clients send one and mean none.
fn stops_of(stops: Vec<String>, place: Vec<String>) -> Result<Vec<String>, Fault> {
    let stops: Vec<String> = stops.into_iter().filter(|text| !text.is_empty()).collect();
    if stops.len() > STOPS_MAX || stops.iter().any(|t| t.chars().count() > STOP_LENGTH_MAX) {
        return Err(refused(
            place,
            format!(
                "At most {STOPS_MAX} texts of at most {STOP_LENGTH_MAX} characters can end an answer."
            ),
        ));
    }
    Ok(stops)
}

fn schema_of(schema: &Value, place: Vec<String>) -> Result<String, Fault> {
    if !schema.is_object() {
        return Err(refused(place, "A JSON Schema is a JSON object.".into()));
    }
    let text = schema.to_string();
    if text.len() > SCHEMA_MAX {
        return Err(refused(
            place,
            format!("A JSON Schema may have {SCHEMA_MAX} bytes; this one has {}.", text.len()),
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wished(value: Value) -> Result<Options, String> {
        let wishes: Wishes = serde_json::from_value(value).map_err(|e| e.to_string())?;
        wishes.over(Options::default(), &["body", "options"]).map_err(|fault| {
            assert_eq!(fault.code, "validation");
            fault.fields[0].place.join(".")
        })
    }

    #[test]
    fn what_is_not_said_is_as_usual_and_what_is_said_counts() {
        assert_eq!(wished(json!({"unheard_of": 1, "stop": null})), Ok(Options::default()));
        let options = wished(json!({"temperature": 0, "top_p": 0.5, "top_k": 7, "min_p": 0.1,
            "repeat_penalty": 1.1, "presence_penalty": -1, "frequency_penalty": 2, "max_tokens": 5,
            "seed": -1, "stop": ["", "fin"], "json_schema": {"type": "object"}}))
        .unwrap();
        let wanted = Options {
            max_tokens: 5,
            temperature: 0.0,
            top_p: 0.5,
            top_k: 7,
            min_p: 0.1,
            repeat_penalty: 1.1,
            repeat_last: 64,
            presence_penalty: -1.0,
            frequency_penalty: 2.0,
            seed: Some(u64::MAX),
            stop: vec!["fin".into()],
            schema: Some(r#"{"type":"object"}"#.into()),
        };
        assert_eq!(options, wanted);
        assert_eq!(wished(json!({"stop": "."})).unwrap().stop, ["."]);
    }

    #[test]
    fn a_wish_out_of_bounds_is_named() {
        let many = vec!["x"; STOPS_MAX + 1];
        for (wishes, field) in [
            (json!({"temperature": 2.5}), "temperature"),
            (json!({"temperature": -0.1}), "temperature"),
            (json!({"temperature": 1e300}), "temperature"),
            (json!({"top_p": 1.5}), "top_p"),
            (json!({"top_k": TOP_K_MAX + 1}), "top_k"),
            (json!({"min_p": -1}), "min_p"),
            (json!({"repeat_penalty": 0}), "repeat_penalty"),
            (json!({"presence_penalty": 3}), "presence_penalty"),
            (json!({"frequency_penalty": -3}), "frequency_penalty"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"stop": many}), "stop"),
            (json!({"stop": "x".repeat(STOP_LENGTH_MAX + 1)}), "stop"),
            (json!({"schema": [1]}), "schema"),
            (json!({"schema": {"x": "y".repeat(SCHEMA_MAX)}}), "schema"),
        ] {
            assert_eq!(wished(wishes), Err(format!("body.options.{field}")));
        }
    }
}
