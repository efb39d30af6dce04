//! The prompts' door (assistant.md §3.7): the last ones, favourites, save and forget.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::prompts::Prompts;
use super::super::records::talk::SavedPrompt;
use super::documents::Done;
use crate::base::clock::Moment;
use crate::web::extract::null_as_default;
use crate::web::{Answer, Asker, Json, Query, run};

/// Prompts of a list when the request does not say how many.
const USUAL: usize = 20;
/// Prompts of a list at most.
const MOST: usize = 50;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Prompts> {
    OpenApiRouter::new()
        .routes(routes!(recent_prompts))
        .routes(routes!(favourite_prompts))
        .routes(routes!(save_prompt))
        .routes(routes!(delete_prompt))
}

/// How many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct PromptQuery {
    /// How many, 20 unless told, 50 at most.
    limit: Option<usize>,
}

/// A prompt.
#[derive(Debug, Serialize, ToSchema)]
struct PromptView {
    /// Its text.
    prompt: String,
    /// How often it was used.
    usage_count: u64,
    /// When it was last used or saved.
    #[schema(value_type = String, format = DateTime)]
    last_used: Moment,
    /// Whether it is kept on purpose.
    favorite: bool,
}

impl From<SavedPrompt> for PromptView {
    fn from(saved: SavedPrompt) -> Self {
        Self {
            prompt: saved.prompt,
            usage_count: saved.used,
            last_used: saved.last_used,
            favorite: saved.favourite,
        }
    }
}

/// Prompts.
#[derive(Debug, Serialize, ToSchema)]
struct PromptList {
    /// The one used last first.
    items: Vec<PromptView>,
}

async fn list(
    desk: Prompts,
    caller: crate::base::caller::Caller,
    asked: PromptQuery,
    favourites: bool,
) -> Answer<PromptList> {
    let limit = super::limit(asked.limit, USUAL, MOST)?;
    let prompts = run(move || desk.list(&caller, favourites, limit)).await?;
    Ok(Json(PromptList { items: prompts.into_iter().map(PromptView::from).collect() }))
}

/// Lists the caller's last prompts.
#[utoipa::path(get, path = "/jobs/prompts/recent", tag = "assistant", params(PromptQuery),
    responses((status = 200, body = PromptList), (status = 403, description = "`right_missing`"),
        (status = 422, description = "Parameters at fault")))]
async fn recent_prompts(
    State(desk): State<Prompts>,
    Asker(caller): Asker,
    Query(asked): Query<PromptQuery>,
) -> Answer<PromptList> {
    list(desk, caller, asked, false).await
}

/// Lists the prompts that the caller keeps.
#[utoipa::path(get, path = "/jobs/prompts/favorites", tag = "assistant", params(PromptQuery),
    responses((status = 200, body = PromptList), (status = 403, description = "`right_missing`"),
        (status = 422, description = "Parameters at fault")))]
async fn favourite_prompts(
    State(desk): State<Prompts>,
    Asker(caller): Asker,
    Query(asked): Query<PromptQuery>,
) -> Answer<PromptList> {
    list(desk, caller, asked, true).await
}

/// A prompt to save.
#[derive(Debug, Deserialize, ToSchema)]
struct PromptBody {
    /// Its text.
    prompt: String,
    /// Whether it is kept on purpose.
    #[serde(default, deserialize_with = "null_as_default")]
    favorite: bool,
}

/// A prompt that was saved.
#[derive(Debug, Serialize, ToSchema)]
struct PromptSaved {
    /// It.
    item: PromptView,
}

/// Saves a prompt, as a favourite or (again) as one of the last.
#[utoipa::path(post, path = "/jobs/prompts/save", tag = "assistant", request_body = PromptBody,
    responses((status = 200, body = PromptSaved), (status = 403, description = "`right_missing`"),
        (status = 409, description = "`too_many_favourites`"),
        (status = 422, description = "Fields at fault")))]
async fn save_prompt(
    State(desk): State<Prompts>,
    Asker(caller): Asker,
    Json(body): Json<PromptBody>,
) -> Answer<PromptSaved> {
    let saved = run(move || desk.save(&caller, &body.prompt, body.favorite)).await?;
    Ok(Json(PromptSaved { item: saved.into() }))
}

/// A prompt to forget.
#[derive(Debug, Deserialize, ToSchema)]
struct PromptGone {
    /// Its text.
    prompt: String,
}

/// Forgets a prompt.
#[utoipa::path(delete, path = "/jobs/prompts", tag = "assistant", request_body = PromptGone,
    responses((status = 200, body = Done), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn delete_prompt(
    State(desk): State<Prompts>,
    Asker(caller): Asker,
    Json(body): Json<PromptGone>,
) -> Answer<Done> {
    run(move || desk.delete(&caller, &body.prompt)).await?;
    Ok(Json(Done { status: "deleted" }))
}
