//! What can be asked for: `/v1/models`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::super::records::talk::Purpose;
use super::{ANY_MODEL, Desk, OpenaiFaultBody, Refused, model_unknown};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::web::{Asker, Json, Path, run};

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(openai_models)).routes(routes!(openai_model))
}

/// Whose the models are, as far as such clients ask.
const OWNER: &str = "ilot";

/// A model.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct OpenaiModel {
    /// Its name.
    id: String,
    /// `model`.
    object: &'static str,
    /// Seconds since 1970 when it was let in; 0 when nobody has noted it.
    created: i64,
    /// `ilot`.
    owned_by: &'static str,
}

/// The models.
#[derive(Debug, Serialize, ToSchema)]
struct OpenaiModels {
    /// `list`.
    object: &'static str,
    /// Each of them.
    data: Vec<OpenaiModel>,
}

impl Desk {
    /// What writes and what embeds.
    fn offered(&self, caller: &Caller) -> Result<Vec<OpenaiModel>, Fault> {
        caller.require(Right::UseAssistant)?;
        let chosen = self.thinking.models.chosen(Purpose::Language)?;
        let since = |name: &str| {
            let noted = chosen.as_ref().filter(|model| model.name == name);
            noted.map_or(0, |model| model.added_at.0.div_euclid(1000))
        };
        let mut names: Vec<String> =
            self.thinking.generation.status(caller)?.model.into_iter().collect();
        names.extend(chosen.as_ref().map(|model| model.name.clone()));
        names.extend(self.search.embedding().map(|(name, _)| name));
        names.dedup();
        let model =
            |id: String| OpenaiModel { created: since(&id), id, object: "model", owned_by: OWNER };
        Ok(names.into_iter().map(model).collect())
    }
}

/// Lists the models that can be asked for: the one that writes, and the one that embeds.
#[utoipa::path(get, path = "/v1/models", tag = "openai",
    responses((status = 200, body = OpenaiModels), (status = 401, body = OpenaiFaultBody, description = "Nobody is signed in"),
        (status = 403, body = OpenaiFaultBody, description = "`right_missing`")))]
async fn openai_models(
    State(desk): State<Desk>,
    Asker(caller): Asker,
) -> Result<Json<OpenaiModels>, Refused> {
    let data = run(move || desk.offered(&caller)).await?;
    Ok(Json(OpenaiModels { object: "list", data }))
}

/// Shows one of the models that can be asked for; `default` is the one that writes.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "openai",
    params(("id" = String, Path, description = "The model's name")),
    responses((status = 200, body = OpenaiModel), (status = 401, body = OpenaiFaultBody, description = "Nobody is signed in"),
        (status = 403, body = OpenaiFaultBody, description = "`right_missing`"), (status = 404, body = OpenaiFaultBody, description = "`model_unknown`")))]
async fn openai_model(
    State(desk): State<Desk>,
    Asker(caller): Asker,
    Path(id): Path<String>,
) -> Result<Json<OpenaiModel>, Refused> {
    let found = run(move || {
        let offered = desk.offered(&caller)?;
        let name = match id.as_str() {
            ANY_MODEL => desk.thinking.generation.status(&caller)?.model,
            _ => Some(id.clone()),
        };
        let found = offered.into_iter().find(|model| Some(&model.id) == name.as_ref());
        found.ok_or_else(|| model_unknown(&id, "GET /v1/models lists those there are"))
    });
    Ok(Json(found.await?))
}
