//! Conversations: `/v1/chat/completions`.

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
use super::asked::{messages_of, refuse, refuse_many, refuse_tools, schema_of};
use super::stream::{self, Frames, Shape};
use super::{Desk, OpenaiFaultBody, OpenaiUsage, Refused, finish_reason};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::engines::generation::{Options, Prompt};
use crate::web::{Asker, Json, WebFault, run};

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(openai_chat))
}

/// A message of a conversation.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct OpenaiMessage {
    /// `system` or `developer`, `user`, `assistant`.
    pub role: String,
    /// A text, or parts `{"type": "text", "text": "…"}`.
    pub content: Option<Value>,
    /// Calls of tools: none.
    pub tool_calls: Option<Value>,
    /// A call of a function: none.
    pub function_call: Option<Value>,
}

/// How a stream is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct OpenaiStreamOptions {
    /// Whether the last chunk tells what the answer cost.
    pub include_usage: Option<bool>,
}

/// A conversation that is to go on. Whatever else clients send is ignored.
#[derive(Debug, Deserialize, ToSchema)]
struct OpenaiChat {
    /// What was said.
    messages: Vec<OpenaiMessage>,
    /// The model: one of `/v1/models`, or `default`.
    model: Option<String>,
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
    /// The most tokens to write, by its older name.
    max_tokens: Option<usize>,
    /// The most tokens to write.
    max_completion_tokens: Option<usize>,
    /// Where chance begins: the same seed gives the same text.
    seed: Option<i64>,
    /// A text that ends the answer, or up to 16 of them.
    stop: Option<Stops>,
    /// `{"type": "text"}`, `{"type": "json_object"}`, or `{"type": "json_schema", "json_schema": {"schema": {}}}`.
    response_format: Option<Value>,
    /// Whether the answer comes as it is written.
    stream: Option<bool>,
    /// How the stream is to be.
    stream_options: Option<OpenaiStreamOptions>,
    /// Answers: 1.
    n: Option<u64>,
    /// Tools: none, or `tool_choice` is `none`.
    tools: Option<Value>,
    /// Which tool is to be called: `none`.
    tool_choice: Option<Value>,
    /// Tools by their older name: none, or `function_call` is `none`.
    functions: Option<Value>,
    /// Which function is to be called: `none`.
    function_call: Option<Value>,
    /// Not offered.
    logprobs: Option<Value>,
    /// Not offered.
    top_logprobs: Option<Value>,
    /// Not offered.
    logit_bias: Option<Value>,
    /// Not offered.
    audio: Option<Value>,
}

impl OpenaiChat {
    fn ask(self, caller: &Caller, usual: Options) -> Result<Ask, Fault> {
        refuse_tools(self.tools.as_ref(), self.tool_choice.as_ref())?;
        refuse_tools(self.functions.as_ref(), self.function_call.as_ref())?;
        refuse_many("n", self.n)?;
        refuse("logprobs", self.logprobs.as_ref())?;
        refuse("top_logprobs", self.top_logprobs.as_ref())?;
        refuse("logit_bias", self.logit_bias.as_ref())?;
        refuse("audio", self.audio.as_ref())?;
        let wishes = Wishes {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            max_tokens: self.max_completion_tokens.or(self.max_tokens),
            seed: self.seed,
            stop: self.stop,
            schema: schema_of(self.response_format.as_ref())?,
        };
        let options = wishes.over(usual, &["body"])?;
        let prompt = Prompt::Chat(messages_of(&self.messages)?);
        Ok(Ask { prompt, options, scope: own_scope(caller) })
    }
}

/// What the model says.
#[derive(Debug, Serialize, ToSchema)]
struct OpenaiSaid {
    /// `assistant`.
    role: &'static str,
    /// The text.
    content: String,
    /// Always null.
    #[schema(value_type = Option<String>)]
    refusal: (),
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
struct OpenaiChatChoice {
    /// 0.
    index: u32,
    /// What the model says.
    message: OpenaiSaid,
    /// Always null.
    #[schema(value_type = Option<String>)]
    logprobs: (),
    /// `stop` or `length`.
    finish_reason: &'static str,
}

/// A whole answer to a conversation.
#[derive(Debug, Serialize, ToSchema)]
struct OpenaiChatAnswer {
    /// Its name.
    id: String,
    /// `chat.completion`.
    object: &'static str,
    /// Seconds since 1970.
    created: i64,
    /// The model that wrote it.
    model: String,
    /// The answer.
    choices: Vec<OpenaiChatChoice>,
    /// What it cost.
    usage: OpenaiUsage,
}

/// Goes on with a conversation, as `OpenAI`'s clients ask for it.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "openai", request_body = OpenaiChat,
    responses((status = 200, content((OpenaiChatAnswer = "application/json"), (String = "text/event-stream"))),
        (status = 400, body = OpenaiFaultBody, description = "`tools_unsupported`; `content_unsupported`; `option_unsupported`; `prompt_too_large`; `schema_unsupported`"),
        (status = 401, body = OpenaiFaultBody, description = "Nobody is signed in"), (status = 403, body = OpenaiFaultBody, description = "`right_missing`"),
        (status = 404, body = OpenaiFaultBody, description = "`model_unknown`"), (status = 422, body = OpenaiFaultBody, description = "Fields at fault"),
        (status = 429, body = OpenaiFaultBody, description = "`queue_full`"),
        (status = 503, body = OpenaiFaultBody, description = "`model_missing`; `generation_failed`")))]
async fn openai_chat(
    State(desk): State<Desk>,
    Asker(caller): Asker,
    body: Result<Json<OpenaiChat>, WebFault>,
) -> Result<Response, Refused> {
    let Json(mut body) = body?;
    caller.require(Right::UseAssistant)?;
    let streamed = body.stream.unwrap_or(false);
    let include_usage = body.stream_options.take().and_then(|o| o.include_usage).unwrap_or(false);
    let model = body.model.take();
    let ask = body.ask(&caller, desk.thinking.generation.usual())?;
    let (made, request) = (desk.made("chatcmpl"), caller.request.clone());
    let ends = (desk.watch)(&caller)?;
    let stream = run(move || desk.write(&caller, model.as_deref(), ask)).await?;
    if streamed {
        let (echo, model) = (String::new(), String::new());
        let frames = Frames { made, shape: Shape::Chat, include_usage, echo, request, model };
        return Ok(stream::answer(stream, frames).await?);
    }
    let Written { text, model, reason, usage } = whole(stream, &ends).await?;
    let message = OpenaiSaid { role: "assistant", content: text, refusal: () };
    let finish_reason = finish_reason(reason)?;
    let choice = OpenaiChatChoice { index: 0, message, logprobs: (), finish_reason };
    Ok(Json(OpenaiChatAnswer {
        id: made.id,
        object: "chat.completion",
        created: made.created,
        model,
        choices: vec![choice],
        usage: usage.into(),
    })
    .into_response())
}
