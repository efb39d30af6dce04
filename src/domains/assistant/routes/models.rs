//! The models' door: what is on the shelf, new ones in, which one works, and the other server's key.

use axum::extract::State;
use axum::extract::multipart::Field;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Spooled;
use super::super::generation::{UpstreamStatus, WriterStatus};
use super::super::models::{Adding, Entry, Incoming, Listed, Rescanned};
use super::super::records::talk::Purpose;
use super::super::thinking::Thinking;
use super::uploads;
use crate::base::fault::Fault;
use crate::web::{Answer, Asker, Form, Json, Path, Query, WebFault, limits, run};

/// The most files of a model: weights and a tokenizer.
const FILES_MAX: usize = 2;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Thinking> {
    OpenApiRouter::new()
        .routes(routes!(list_models, add_model))
        .layer(limits::body_counted_by_handler())
        .routes(routes!(rescan_models))
        .routes(routes!(inspect_model, remove_model))
        .routes(routes!(use_model))
        .routes(routes!(set_upstream_key, forget_upstream_key))
}

/// What is on the shelf, and how the writer is.
#[derive(Debug, Serialize, ToSchema)]
struct ModelsAnswer {
    /// The models, by name.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Listed>,
    /// Models on their way in.
    #[schema(value_type = Vec<Object>)]
    adding: Vec<Adding>,
    /// How the writer is.
    #[schema(value_type = Object)]
    engine: WriterStatus,
    /// The server that generates for this box.
    #[schema(value_type = Object)]
    upstream: UpstreamStatus,
    /// Bytes free for models.
    free_bytes: u64,
    /// Bytes of memory a model may take; null where the machine does not say.
    memory_bytes: Option<u64>,
}

/// Lists the models, with what they need and which is in use.
#[utoipa::path(get, path = "/models", tag = "models",
    responses((status = 200, body = ModelsAnswer), (status = 403, description = "`right_missing`")))]
async fn list_models(State(desk): State<Thinking>, Asker(caller): Asker) -> Answer<ModelsAnswer> {
    let answer = run(move || {
        Ok(ModelsAnswer {
            items: desk.models.list(&caller)?,
            adding: desk.models.on_their_way(),
            engine: desk.generation.status(&caller)?,
            upstream: desk.generation.upstream(&caller)?,
            free_bytes: desk.models.free_bytes()?,
            memory_bytes: desk.models.memory_bytes(),
        })
    })
    .await?;
    Ok(Json(answer))
}

/// The form of a new model: its name before its files.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the form; the fields are read from the stream")]
struct ModelForm {
    /// The name it gets; without one, the name of its weights.
    name: Option<String>,
    /// Bytes of all files, so that one that does not fit is refused before it is sent.
    bytes: Option<u64>,
    /// Its weights (`.gguf`), and beside them its `tokenizer.json` if it needs one.
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<u8>,
}

/// A model that was let in.
#[derive(Debug, Serialize, ToSchema)]
struct ModelAnswer {
    /// The model; null when none is in use any more.
    #[schema(value_type = Option<Object>)]
    model: Option<Listed>,
}

/// Adds a model. A child process looks into its files before the box does.
#[utoipa::path(post, path = "/models", tag = "models",
    request_body(content = ModelForm, content_type = "multipart/form-data"),
    responses((status = 201, body = ModelAnswer),
        (status = 400, description = "`upload_malformed`, `model_name_invalid`, `model_file_unknown`, `model_damaged`, `model_unsupported`"),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 409, description = "`model_exists`"), (status = 507, description = "`disk_full`")))]
async fn add_model(
    State(desk): State<Thinking>,
    Asker(caller): Asker,
    Form(mut form): Form,
) -> Result<(StatusCode, Json<ModelAnswer>), WebFault> {
    desk.models.may_change(&caller)?;
    let (mut name, mut bytes) = (String::new(), 0);
    let (mut entry, mut files) = (None, Vec::new());
    while let Some(mut field) = form.next_field().await.map_err(|e| uploads::malformed(&e))? {
        match field.name() {
            Some("name") => name = uploads::text_field(&mut field).await?,
            Some("bytes") => {
                let text = uploads::text_field(&mut field).await?;
                bytes = text.trim().parse().map_err(|_| {
                    Fault::field("bytes", "value_error", "How many bytes come is a number.")
                })?;
            }
            Some("file") => {
                let given = field.file_name().unwrap_or_default().to_owned();
                if files.len() == FILES_MAX {
                    return Err(Fault::invalid(
                        "model_file_unknown",
                        "A model has its weights and at most a tokenizer beside them.",
                    )
                    .into());
                }
                if entry.is_none() {
                    let wished = if name.is_empty() { &given } else { &name };
                    entry = Some(desk.models.begin(&caller, wished, bytes)?);
                }
                if let Some(entry) = &entry {
                    let file = receive(&desk, entry, &mut field).await?;
                    files.push(Incoming { name: given, file });
                }
            }
            _ => {}
        }
    }
    let Some(entry) = entry else {
        return Err(Fault::field("file", "missing", "There is no file in this upload.").into());
    };
    let model = run(move || desk.models.add(&caller, &entry, &files)).await?;
    Ok((StatusCode::CREATED, Json(ModelAnswer { model: Some(model) })))
}

/// Spools a file of a model; it may take what the disk has room for, and no more.
async fn receive(
    desk: &Thinking,
    entry: &Entry,
    field: &mut Field<'_>,
) -> Result<Spooled, WebFault> {
    let limit = desk.models.room()?;
    let spool = desk.models.spool();
    let file = uploads::spool_into(&spool, limit, field, |bytes| entry.more(bytes)).await?;
    desk.models.check_room(file.size, limit)?;
    Ok(file)
}

/// What became of the folders.
#[derive(Debug, Serialize, ToSchema)]
struct RescanAnswer {
    /// One line a model.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Rescanned>,
}

/// Takes in the folders that were put into the models' folder by hand, and reads the others anew.
#[utoipa::path(post, path = "/models/rescan", tag = "models",
    responses((status = 200, body = RescanAnswer),
        (status = 403, description = "`right_missing`, `step_up_required`")))]
async fn rescan_models(State(desk): State<Thinking>, Asker(caller): Asker) -> Answer<RescanAnswer> {
    let items = run(move || desk.models.rescan(&caller)).await?;
    Ok(Json(RescanAnswer { items }))
}

/// Shows a model: what was found in it, and the memory it needs at several contexts.
#[utoipa::path(get, path = "/models/{name}", tag = "models",
    params(("name" = String, Path, description = "The model's name")),
    responses((status = 200, body = ModelAnswer), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`model_unknown`")))]
async fn inspect_model(
    State(desk): State<Thinking>,
    Asker(caller): Asker,
    Path(name): Path<String>,
) -> Answer<ModelAnswer> {
    let model = run(move || desk.models.inspect(&caller, &name)).await?;
    Ok(Json(ModelAnswer { model: Some(model) }))
}

/// How a model is removed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Removal {
    /// Whether it goes although it is in use; none is in use then.
    #[serde(default)]
    force: bool,
}

/// That it was done.
#[derive(Debug, Serialize, ToSchema)]
struct ModelDone {
    /// Always `ok`.
    status: &'static str,
}

const DONE: Json<ModelDone> = Json(ModelDone { status: "ok" });

/// Takes a model off the shelf, and its files off the disk.
#[utoipa::path(delete, path = "/models/{name}", tag = "models",
    params(("name" = String, Path, description = "The model's name"), Removal),
    responses((status = 200, body = ModelDone),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 404, description = "`model_unknown`"),
        (status = 409, description = "`model_in_use`")))]
async fn remove_model(
    State(desk): State<Thinking>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    Query(how): Query<Removal>,
) -> Answer<ModelDone> {
    run(move || desk.models.remove(&caller, &name, how.force)).await?;
    Ok(DONE)
}

/// What a model is to do.
#[derive(Debug, Deserialize, ToSchema)]
struct Choosing {
    /// `language` (it writes, the usual) or `reranker` (it judges passages).
    #[serde(default = "writing")]
    #[schema(value_type = Option<String>, example = "language")]
    purpose: Purpose,
}

fn writing() -> Purpose {
    Purpose::Language
}

/// Lets a model do its work from now on; the name `none` leaves nobody to do it.
#[utoipa::path(post, path = "/models/{name}/use", tag = "models",
    params(("name" = String, Path, description = "The model's name, or `none`")),
    request_body = Option<Choosing>,
    responses((status = 200, body = ModelAnswer),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 404, description = "`model_unknown`"),
        (status = 409, description = "`model_too_large`, `model_missing`, `model_damaged`, `model_unsupported`")))]
async fn use_model(
    State(desk): State<Thinking>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    choosing: Option<Json<Choosing>>,
) -> Answer<ModelAnswer> {
    let purpose = choosing.map_or(Purpose::Language, |Json(choosing)| choosing.purpose);
    let model = run(move || desk.models.choose(&caller, purpose, &name)).await?;
    Ok(Json(ModelAnswer { model }))
}

/// The key of the server that generates for this box.
#[derive(Deserialize, ToSchema)]
struct KeyBody {
    /// The key; it is kept sealed and shown to nobody.
    key: String,
}

/// Keeps the key that the other server asks for.
#[utoipa::path(put, path = "/models/upstream/key", tag = "models", request_body = KeyBody,
    responses((status = 200, body = ModelDone),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 409, description = "`upstream_missing`")))]
async fn set_upstream_key(
    State(desk): State<Thinking>,
    Asker(caller): Asker,
    Json(body): Json<KeyBody>,
) -> Answer<ModelDone> {
    let key = zeroize::Zeroizing::new(body.key);
    run(move || desk.generation.set_key(&caller, &key)).await?;
    Ok(DONE)
}

/// Forgets the key of the other server.
#[utoipa::path(delete, path = "/models/upstream/key", tag = "models",
    responses((status = 200, body = ModelDone),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 404, description = "`not_found`: it has none"),
        (status = 409, description = "`upstream_missing`")))]
async fn forget_upstream_key(
    State(desk): State<Thinking>,
    Asker(caller): Asker,
) -> Answer<ModelDone> {
    run(move || desk.generation.forget_key(&caller)).await?;
    Ok(DONE)
}
