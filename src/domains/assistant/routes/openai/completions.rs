//! Texts that go on: `/v1/completions`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::super::generation::{Ask, Written};
use super::super::super::wishes::{Stops, Wishes, own_scope};
use super::super::llm::whole;
use super::asked::{option_unsupported, refuse, refuse_many, schema_of};
use super::chat::OpenaiStreamOptions;
use super::stream::{self, Frames, Shape};
use super::{Desk, OpenaiFaultBody, OpenaiUsage, Refused, finish_reason};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::engines::generation::{Options, Prompt};
use crate::web::{Asker, Json, WebFault, run};

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(openai_completions))
}

/// A text that is to go on. Whatever else clients send is ignored.
#[derive(Debug, Deserialize, ToSchema)]
struct OpenaiCompletion {
    /// The text, or a list of one.
    prompt: Value,
    /// The model: one of `/v1/models`, or `default`.
    model: Option<String>,
    /// Whether the answer begins with the prompt.
    echo: Option<bool>,
    /// 0 takes the likeliest token every time; up to 2.
    temperature: Option<f32>,
    /// Only the likeliest tokens that together weigh so much, 0 to 1.
    top_p: Option<f32>,
    /// Only so many of the likeliest tokens; 0 keeps all.
    top_k: Option<usize>,
    /// Only tokens at least so likely as this part of the likeliest, 0 to 1.
    min_p: Option<f32>,
    /// Makes repeated tokens less likely, 0.5 to 2.
    repeat_penalty: Option<f32>,
    /// Taken once from every token that was written already, -2 to 2.
    presence_penalty: Option<f32>,
    /// Taken from a token for each time it was written already, -2 to 2.
    frequency_penalty: Option<f32>,
    /// The most tokens to write; the box's own measure when it is not said.
    max_tokens: Option<usize>,
    /// Where chance begins: the same seed gives the same text.
    seed: Option<i64>,
    /// A text that ends the answer, or up to 16 of them.
    stop: Option<Stops>,
    /// Whether the answer comes as it is written.
    stream: Option<bool>,
    /// How the stream is to be.
    stream_options: Option<OpenaiStreamOptions>,
    /// Answers: 1.
    n: Option<u64>,
    /// Answers to choose from: 1.
    best_of: Option<u64>,
    /// Not offered.
    logprobs: Option<Value>,
    /// Not offered.
    logit_bias: Option<Value>,
    /// Not offered.
    suffix: Option<Value>,
    /// `{"type": "text"}`: other formats are for conversations.
    response_format: Option<Value>,
}

/// The one text of a prompt.
fn prompt_of(prompt: &Value) -> Result<String, Fault> {
    let one = match prompt {
        Value::Array(items) => match items.as_slice() {
            [] => return Err(prompt_missing()),
            [one] => one,
            [Value::String(_), ..] => {
                return Err(option_unsupported(
                    "prompt",
                    "may hold one text: the box writes one answer to a request",
                ));
            }
            [other, ..] => other,
        },
        one => one,
    };
    match one {
        Value::String(text) if text.is_empty() => Err(prompt_missing()),
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Array(_) => Err(Fault::invalid(
            "tokens_unsupported",
            "The box takes texts, not tokens: send what they stand for.",
        )),
        Value::Null => Err(prompt_missing()),
        _ => Err(Fault::field("prompt", "type_error", "A prompt is a text.")),
    }
}

fn prompt_missing() -> Fault {
    Fault::invalid("prompt_missing", "Say in 'prompt' what is to go on.")
}

impl OpenaiCompletion {
    fn ask(self, caller: &Caller, usual: Options) -> Result<Ask, Fault> {
        let prompt = prompt_of(&self.prompt)?;
        refuse_many("n", self.n)?;
        refuse_many("best_of", self.best_of)?;
        refuse("logprobs", self.logprobs.as_ref())?;
        refuse("logit_bias", self.logit_bias.as_ref())?;
        refuse("suffix", self.suffix.as_ref())?;
        if schema_of(self.response_format.as_ref())?.is_some() {
            return Err(option_unsupported(
                "response_format",
                "may only be of the type 'text' here; /v1/chat/completions knows the others",
            ));
        }
        let wishes = Wishes {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            max_tokens: self.max_tokens,
            seed: self.seed,
            stop: self.stop,
            schema: None,
        };
        let options = wishes.over(usual, &["body"])?;
        Ok(Ask { prompt: Prompt::Text(prompt), options, scope: own_scope(caller) })
    }
}

/// How a text goes on.
#[derive(Debug, Serialize, ToSchema)]
struct OpenaiCompletionChoice {
    /// 0.
    index: u32,
    /// The text.
    text: String,
    /// Always null.
    #[schema(value_type = Option<String>)]
    logprobs: (),
    /// `stop` or `length`.
    finish_reason: &'static str,
}

/// A whole answer to a text.
#[derive(Debug, Serialize, ToSchema)]
struct OpenaiCompletionAnswer {
    /// Its name.
    id: String,
    /// `text_completion`.
    object: &'static str,
    /// Seconds since 1970.
    created: i64,
    /// The model that wrote it.
    model: String,
    /// The answer.
    choices: Vec<OpenaiCompletionChoice>,
    /// What it cost.
    usage: OpenaiUsage,
}

/// Goes on with a text as it is, as `OpenAI`'s clients ask for it.
#[utoipa::path(post, path = "/v1/completions", tag = "openai", request_body = OpenaiCompletion,
    responses((status = 200, content((OpenaiCompletionAnswer = "application/json"), (String = "text/event-stream"))),
        (status = 400, body = OpenaiFaultBody, description = "`prompt_missing`; `tokens_unsupported`; `option_unsupported`; `prompt_too_large`"),
        (status = 401, body = OpenaiFaultBody, description = "Nobody is signed in"), (status = 403, body = OpenaiFaultBody, description = "`right_missing`"),
        (status = 404, body = OpenaiFaultBody, description = "`model_unknown`"), (status = 422, body = OpenaiFaultBody, description = "Fields at fault"),
        (status = 429, body = OpenaiFaultBody, description = "`queue_full`"),
        (status = 503, body = OpenaiFaultBody, description = "`model_missing`; `generation_failed`")))]
async fn openai_completions(
    State(desk): State<Desk>,
    Asker(caller): Asker,
    body: Result<Json<OpenaiCompletion>, WebFault>,
) -> Result<Response, Refused> {
    let Json(mut body) = body?;
    caller.require(Right::UseAssistant)?;
    let streamed = body.stream.unwrap_or(false);
    let include_usage = body.stream_options.take().and_then(|o| o.include_usage).unwrap_or(false);
    let model = body.model.take();
    let echoed = body.echo.unwrap_or(false);
    let ask = body.ask(&caller, desk.thinking.generation.usual())?;
    let echo = match &ask.prompt {
        Prompt::Text(text) if echoed => text.clone(),
        _ => String::new(),
    };
    let (made, request) = (desk.made("cmpl"), caller.request.clone());
    let ends = (desk.watch)(&caller)?;
    let stream = run(move || desk.write(&caller, model.as_deref(), ask)).await?;
    if streamed {
        let model = String::new();
        let frames = Frames { made, shape: Shape::Text, include_usage, echo, request, model };
        return Ok(stream::answer(stream, frames).await?);
    }
    let Written { text, model, reason, usage } = whole(stream, &ends).await?;
    let finish_reason = finish_reason(reason)?;
    let choice =
        OpenaiCompletionChoice { index: 0, text: echo + &text, logprobs: (), finish_reason };
    Ok(Json(OpenaiCompletionAnswer {
        id: made.id,
        object: "text_completion",
        created: made.created,
        model,
        choices: vec![choice],
        usage: usage.into(),
    })
    .into_response())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_format_is_not_passed_over_in_silence() {
        let code = |format: Value| {
            let body = json!({"prompt": "Il", "response_format": format});
            let body: OpenaiCompletion = serde_json::from_value(body).unwrap();
            body.ask(&Caller::console("r"), Options::default()).map_or_else(|f| f.code, |_| "ok")
        };
        assert_eq!(code(json!({"type": "text"})), "ok");
        assert_eq!(code(json!(null)), "ok");
        assert_eq!(code(json!({"type": "json_object"})), "option_unsupported");
    }

    #[test]
    fn a_prompt_is_one_text() {
        for (prompt, wanted) in [
            (json!("Il"), Ok("Il")),
            (json!(["Il"]), Ok("Il")),
            (json!(""), Err("prompt_missing")),
            (json!(null), Err("prompt_missing")),
            (json!([]), Err("prompt_missing")),
            (json!(["a", "b"]), Err("option_unsupported")),
            (json!([1, 2]), Err("tokens_unsupported")),
            (json!([[1, 2]]), Err("tokens_unsupported")),
            (json!({}), Err("validation")),
        ] {
            let got = prompt_of(&prompt).map_err(|fault| fault.code);
            assert_eq!(got.as_deref().map_err(|code| *code), wanted, "{prompt}");
        }
    }
}
