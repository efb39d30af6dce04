//! Vectors of texts: `/v1/embeddings`.

use axum::extract::State;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::option_unsupported;
use super::{ANY_MODEL, Desk, OpenaiFaultBody, Refused, model_unknown};
use crate::base::caller::Right;
use crate::base::fault::{Fault, Field};
use crate::web::{Asker, Json, WebFault, run};

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(openai_embeddings))
}

/// How vectors are written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum OpenaiEncoding {
    /// A list of numbers.
    #[default]
    Float,
    /// 32-bit floats, the lowest byte first, in base64: what the official client asks for.
    Base64,
}

/// Texts to be embedded. Whatever else clients send is ignored.
#[derive(Debug, Deserialize, ToSchema)]
struct OpenaiEmbed {
    /// A text, or up to 512 of them.
    input: Value,
    /// The model: the one of `/v1/models` that embeds, or `default`.
    model: Option<String>,
    /// How the vectors are written down: `float` when it is not said.
    encoding_format: Option<OpenaiEncoding>,
    /// Numbers in a vector: as many as the model's have.
    dimensions: Option<usize>,
}

/// The texts of an input.
fn texts_of(input: Value) -> Result<Vec<String>, Fault> {
    let wrong = |place: Option<usize>| {
        let place = ["body".to_owned(), "input".to_owned()]
            .into_iter()
            .chain(place.map(|at| at.to_string()))
            .collect();
        let message = "The input is a text, or a list of texts.".to_owned();
        Fault::fields(vec![Field { place, wrong: "type_error", message }])
    };
    match input {
        Value::String(text) => Ok(vec![text]),
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(at, item)| match item {
                Value::String(text) => Ok(text),
                Value::Number(_) | Value::Array(_) => Err(Fault::invalid(
                    "tokens_unsupported",
                    "The box embeds texts, not tokens: send what they stand for \
                     (LangChain: check_embedding_ctx_length=False).",
                )),
                _ => Err(wrong(Some(at))),
            })
            .collect(),
        _ => Err(wrong(None)),
    }
}

/// A text's vector.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum OpenaiVector {
    /// As numbers.
    Numbers(Vec<f32>),
    /// As base64.
    Packed(String),
}

impl OpenaiVector {
    fn of(vector: Vec<f32>, encoding: OpenaiEncoding) -> Self {
        match encoding {
            OpenaiEncoding::Float => Self::Numbers(vector),
            OpenaiEncoding::Base64 => {
                let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
                Self::Packed(BASE64.encode(&bytes))
            }
        }
    }
}

/// What one text became.
#[derive(Debug, Serialize, ToSchema)]
struct OpenaiEmbedding {
    /// `embedding`.
    object: &'static str,
    /// The text's place in the input, from 0.
    index: usize,
    /// Its vector, of length one.
    embedding: OpenaiVector,
}

/// What it cost.
#[derive(Debug, Serialize, ToSchema)]
struct OpenaiEmbedUsage {
    /// Tokens that were read.
    prompt_tokens: usize,
    /// The same.
    total_tokens: usize,
}

/// The vectors.
#[derive(Debug, Serialize, ToSchema)]
struct OpenaiEmbeddings {
    /// `list`.
    object: &'static str,
    /// Each of them, in the order of the input.
    data: Vec<OpenaiEmbedding>,
    /// The model that embedded.
    model: String,
    /// What it cost.
    usage: OpenaiEmbedUsage,
}

/// Turns texts into vectors of length one, as `OpenAI`'s clients ask for it.
#[utoipa::path(post, path = "/v1/embeddings", tag = "openai", request_body = OpenaiEmbed,
    responses((status = 200, body = OpenaiEmbeddings),
        (status = 400, body = OpenaiFaultBody, description = "`tokens_unsupported`; `option_unsupported`"),
        (status = 401, body = OpenaiFaultBody, description = "Nobody is signed in"), (status = 403, body = OpenaiFaultBody, description = "`right_missing`"),
        (status = 404, body = OpenaiFaultBody, description = "`model_unknown`"), (status = 422, body = OpenaiFaultBody, description = "Fields at fault"),
        (status = 503, body = OpenaiFaultBody, description = "`model_missing`")))]
async fn openai_embeddings(
    State(desk): State<Desk>,
    Asker(caller): Asker,
    body: Result<Json<OpenaiEmbed>, WebFault>,
) -> Result<Json<OpenaiEmbeddings>, Refused> {
    let Json(body) = body?;
    caller.require(Right::UseAssistant)?;
    let texts = texts_of(body.input)?;
    let encoding = body.encoding_format.unwrap_or_default();
    let model = desk.search.embedding();
    if let Some((name, dimension)) = &model {
        let wished = body.model.as_deref().unwrap_or(ANY_MODEL);
        if wished != name && wished != ANY_MODEL {
            return Err(model_unknown(wished, &format!("the box embeds with '{name}'")).into());
        }
        if body.dimensions.is_some_and(|wished| wished != *dimension) {
            let allowed = format!("may only be {dimension}, as the model's vectors are");
            return Err(option_unsupported("dimensions", &allowed).into());
        }
    }
    // Cancelled when this future is dropped: whoever went away needs no more batches.
    let gone = CancellationToken::new();
    let _waits = gone.clone().drop_guard();
    let embedded =
        run(move || desk.search.embed(&caller, &texts, &|| !gone.is_cancelled())).await?;
    let data = embedded
        .vectors
        .into_iter()
        .enumerate()
        .map(|(index, vector)| OpenaiEmbedding {
            object: "embedding",
            index,
            embedding: OpenaiVector::of(vector, encoding),
        })
        .collect();
    let usage = OpenaiEmbedUsage { prompt_tokens: embedded.tokens, total_tokens: embedded.tokens };
    let model = model.map(|(name, _)| name).unwrap_or_default();
    Ok(Json(OpenaiEmbeddings { object: "list", data, model, usage }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_taken_and_tokens_are_not() {
        for (input, wanted) in [
            (json!("a"), Ok(vec!["a"])),
            (json!(["a", "b"]), Ok(vec!["a", "b"])),
            (json!([]), Ok(vec![])),
            (json!([1, 2]), Err("tokens_unsupported")),
            (json!([[1], [2]]), Err("tokens_unsupported")),
            (json!([null]), Err("validation")),
            (json!(7), Err("validation")),
        ] {
            let got = texts_of(input.clone()).map_err(|fault| fault.code);
            let wanted = wanted.map(|t: Vec<&str>| t.into_iter().map(String::from).collect());
            assert_eq!(got, wanted, "{input}");
        }
    }

    #[test]
    fn a_packed_vector_is_the_same_vector() {
        let OpenaiVector::Packed(text) = OpenaiVector::of(vec![1.0, -0.5], OpenaiEncoding::Base64)
        else {
            panic!("not packed")
        };
        assert_eq!(BASE64.decode(text.as_bytes()).unwrap(), [0, 0, 128, 63, 0, 0, 0, 191]);
    }
}
