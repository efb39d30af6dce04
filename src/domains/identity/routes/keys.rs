//! The door of API keys.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use crate::base::caller::Right;
use crate::base::clock::Moment;
use crate::base::id::Id;
use crate::domains::identity::Identity;
use crate::domains::identity::api_keys::{Issued, KeyDraft, KeyListed};
use crate::domains::identity::records::KeyKind;
use crate::domains::identity::scopes::Scope;
use crate::web::{Answer, Asker, Json, Path, Query, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Identity> {
    OpenApiRouter::new()
        .routes(routes!(list_keys, add_key))
        .routes(routes!(list_scopes))
        .routes(routes!(delete_key))
}

/// A key as lists show one.
#[derive(Debug, Serialize, ToSchema)]
struct KeyAnswer {
    /// The key.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// What its owner calls it.
    name: String,
    /// Always `***`: the key itself is not kept.
    hash: &'static str,
    /// Its last characters.
    hint: String,
    /// `person`, or `kiosk` for one that only `X-Kiosk-API-Key` takes.
    #[schema(value_type = String)]
    kind: KeyKind,
    /// The user it acts for, or the kiosk it stands for.
    owner: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    /// When it ends; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
    /// When it was last used, to the minute; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Moment>,
    /// What it may do at most: names of rights, or words for several.
    scopes: Vec<String>,
}

impl From<KeyListed> for KeyAnswer {
    fn from(listed: KeyListed) -> Self {
        let KeyListed { key, owner, last_used } = listed;
        Self {
            id: key.id,
            name: key.name,
            hash: "***",
            hint: key.hint,
            kind: key.kind,
            owner,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: last_used,
            scopes: key.scopes,
        }
    }
}

/// Keys.
#[derive(Debug, Serialize, ToSchema)]
struct KeysAnswer {
    /// The oldest first.
    keys: Vec<KeyAnswer>,
}

/// Which keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct WhichKeys {
    /// True: everybody's, for who administers users.
    #[param(required = false)]
    all: bool,
}

/// Lists one's own keys, and the kiosks' for who keeps them.
#[utoipa::path(get, path = "/apikeys", tag = "keys", params(WhichKeys),
    responses((status = 200, body = KeysAnswer), (status = 403, description = "`right_missing` for everybody's")))]
async fn list_keys(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Query(asked): Query<WhichKeys>,
) -> Answer<KeysAnswer> {
    let listed = run(move || desk.list_keys(&caller, asked.all)).await?;
    Ok(Json(KeysAnswer { keys: listed.into_iter().map(KeyAnswer::from).collect() }))
}

/// A key to be.
#[derive(Debug, Deserialize, ToSchema)]
struct AddKeyBody {
    /// What to call it; no other key of one's own may have that name.
    name: String,
    /// What it may do at most, within one's own rights (`GET /apikeys/scopes`); a kiosk's needs none.
    #[serde(default)]
    scopes: Vec<String>,
    /// How long it lives, days: 1 to 3650, 365 when left out.
    expires_in_days: Option<u32>,
    /// `person` when left out, or `kiosk`.
    #[serde(default = "person")]
    #[schema(value_type = Option<String>)]
    kind: KeyKind,
}

const fn person() -> KeyKind {
    KeyKind::Person
}

/// A key with its text.
#[derive(Debug, Serialize, ToSchema)]
struct IssuedAnswer {
    /// The key.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// What its owner calls it.
    name: String,
    /// What programs show, as `Authorization: Bearer` or `X-API-Key`, a kiosk's as `X-Kiosk-API-Key`.
    /// It is told this once.
    #[schema(value_type = String)]
    key: Zeroizing<String>,
    /// `person` or `kiosk`.
    #[schema(value_type = String)]
    kind: KeyKind,
    /// What it may do at most.
    scopes: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    /// When it ends; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
}

impl From<Issued> for IssuedAnswer {
    fn from(issued: Issued) -> Self {
        let Issued { key, text } = issued;
        Self {
            id: key.id,
            name: key.name,
            key: text,
            kind: key.kind,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
        }
    }
}

/// Makes a key for oneself, or for a kiosk. Its text is told this once.
#[utoipa::path(post, path = "/apikeys", tag = "keys", request_body = AddKeyBody,
    responses((status = 201, body = IssuedAnswer),
        (status = 403, description = "`session_required`, `right_not_held`, `right_missing`, `step_up_required`"),
        (status = 409, description = "`key_exists`, `keys_full`"), (status = 422, description = "Fields at fault")))]
async fn add_key(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<AddKeyBody>,
) -> Result<(StatusCode, Json<IssuedAnswer>), WebFault> {
    let draft = KeyDraft {
        name: body.name,
        scopes: body.scopes,
        days: body.expires_in_days,
        kiosk: body.kind == KeyKind::Kiosk,
    };
    let issued = run(move || desk.add_key(&caller, &draft)).await?;
    Ok((StatusCode::CREATED, Json(issued.into())))
}

/// A scope.
#[derive(Debug, Serialize, ToSchema)]
struct ScopeAnswer {
    /// Its word.
    name: &'static str,
    /// The rights it stands for.
    rights: Vec<&'static str>,
}

impl From<Scope> for ScopeAnswer {
    fn from(scope: Scope) -> Self {
        Self { name: scope.name, rights: scope.rights.list().map(Right::name).collect() }
    }
}

/// Scopes.
#[derive(Debug, Serialize, ToSchema)]
struct ScopesAnswer {
    /// The words for several rights first, then the rights in their order.
    items: Vec<ScopeAnswer>,
}

/// Lists the scopes one may give to a key.
#[utoipa::path(get, path = "/apikeys/scopes", tag = "keys",
    responses((status = 200, body = ScopesAnswer), (status = 401, description = "Nobody is signed in")))]
async fn list_scopes(State(desk): State<Identity>, Asker(caller): Asker) -> Answer<ScopesAnswer> {
    let scopes = run(move || desk.key_scopes(&caller)).await?;
    Ok(Json(ScopesAnswer { items: scopes.into_iter().map(ScopeAnswer::from).collect() }))
}

/// That a key is gone.
#[derive(Debug, Serialize, ToSchema)]
struct DeletedAnswer {
    /// Always `deleted`.
    status: &'static str,
}

/// Deletes a key: one's own, or anybody's for who administers users. It is refused at once.
#[utoipa::path(delete, path = "/apikeys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key", format = Uuid)),
    responses((status = 200, body = DeletedAnswer), (status = 403, description = "`session_required`"),
        (status = 404, description = "`not_found`")))]
async fn delete_key(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<DeletedAnswer> {
    run(move || desk.delete_key(&caller, id)).await?;
    Ok(Json(DeletedAnswer { status: "deleted" }))
}
