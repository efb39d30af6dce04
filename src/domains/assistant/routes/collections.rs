//! The collections' door: list, make, decide who reads one, delete.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Assistant;
use super::super::collections::Shelf;
use super::super::readers::People;
use super::super::records::Readers;
use super::documents::Done;
use crate::base::fault::{Fault, Field};
use crate::base::id::Id;
use crate::web::{Answer, Asker, Json, Path, WebFault, run};

/// The desk, and who there is.
#[derive(Clone)]
struct Door {
    desk: Assistant,
    people: Arc<dyn People>,
}

/// The collections' routes.
pub(super) fn routes(desk: Assistant, people: Arc<dyn People>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list_collections, add_collection))
        .routes(routes!(set_readers, delete_collection))
        .with_state(Door { desk, people })
}

/// Who reads a collection, among those who may read documents at all.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct ReadersView {
    /// Whether everyone does; else only those named, and who may decide on readers.
    everyone: bool,
    /// The names of the roles that read it, at most 100; none when everyone does.
    #[serde(default)]
    roles: Vec<String>,
    /// The users that read it, at most 1000; none when everyone does.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    users: Vec<Id>,
}

impl From<Readers> for ReadersView {
    fn from(readers: Readers) -> Self {
        match readers {
            Readers::Everyone => Self { everyone: true, roles: Vec::new(), users: Vec::new() },
            Readers::Only { roles, users } => Self {
                everyone: false,
                roles: roles.into_iter().collect(),
                users: users.into_iter().collect(),
            },
        }
    }
}

impl TryFrom<ReadersView> for Readers {
    type Error = Fault;

    fn try_from(asked: ReadersView) -> Result<Self, Fault> {
        if !asked.everyone {
            let roles = asked.roles.into_iter().map(|role| role.trim().to_owned()).collect();
            return Ok(Self::Only { roles, users: asked.users.into_iter().collect() });
        }
        if asked.roles.is_empty() && asked.users.is_empty() {
            return Ok(Self::Everyone);
        }
        // To open what somebody took to be closed would be the worse guess.
        Err(Fault::fields(vec![Field {
            place: ["body", "readers", "everyone"].map(str::to_owned).to_vec(),
            wrong: "value_error",
            message: "Either everyone reads a collection, or the roles and users named.".into(),
        }]))
    }
}

/// A collection.
#[derive(Debug, Serialize, ToSchema)]
struct CollectionView {
    /// Its name of record.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// Its name.
    name: String,
    /// How many documents it has.
    documents: u64,
    /// Who reads it; there only for those who may decide it (`manage_collections`).
    #[serde(skip_serializing_if = "Option::is_none")]
    readers: Option<ReadersView>,
}

impl From<Shelf> for CollectionView {
    fn from(shelf: Shelf) -> Self {
        Self {
            id: shelf.id,
            name: shelf.name,
            documents: shelf.documents,
            readers: shelf.readers.map(ReadersView::from),
        }
    }
}

/// The collections.
#[derive(Debug, Serialize, ToSchema)]
struct CollectionList {
    /// By name.
    items: Vec<CollectionView>,
}

/// Lists the collections that the caller may read.
#[utoipa::path(get, path = "/rag/collections", tag = "documents",
    responses((status = 200, body = CollectionList), (status = 403, description = "`right_missing`")))]
async fn list_collections(
    State(door): State<Door>,
    Asker(caller): Asker,
) -> Answer<CollectionList> {
    let shelves = run(move || door.desk.collections(&caller)).await?;
    Ok(Json(CollectionList { items: shelves.into_iter().map(CollectionView::from).collect() }))
}

/// A new collection.
#[derive(Debug, Deserialize, ToSchema)]
struct NewCollection {
    /// Its name, at most 64 characters without `/`.
    name: String,
    /// Who reads it; everyone unless told.
    readers: Option<ReadersView>,
}

/// Makes an empty collection, so that it can be closed before its first document comes.
#[utoipa::path(post, path = "/rag/collections", tag = "documents", request_body = NewCollection,
    responses((status = 201, body = CollectionView), (status = 400, description = "`collection_invalid`"),
        (status = 403, description = "`right_missing`"), (status = 409, description = "`collection_exists`"),
        (status = 422, description = "Roles or users that are not there")))]
async fn add_collection(
    State(door): State<Door>,
    Asker(caller): Asker,
    Json(body): Json<NewCollection>,
) -> Result<(StatusCode, Json<CollectionView>), WebFault> {
    let shelf = run(move || {
        let readers = body.readers.map_or(Ok(Readers::Everyone), Readers::try_from);
        door.desk.add_collection(&caller, &body.name, readers?, &*door.people)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(shelf.into())))
}

/// What is to change of a collection.
#[derive(Debug, Deserialize, ToSchema)]
struct CollectionEdit {
    /// Who reads it from now on.
    readers: ReadersView,
}

/// Decides who reads a collection, from the next question and the next look on.
#[utoipa::path(put, path = "/rag/collections/{name}", tag = "documents",
    params(("name" = String, Path, description = "The collection")), request_body = CollectionEdit,
    responses((status = 200, body = CollectionView), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"),
        (status = 422, description = "Roles or users that are not there")))]
async fn set_readers(
    State(door): State<Door>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    Json(body): Json<CollectionEdit>,
) -> Answer<CollectionView> {
    let shelf = run(move || {
        let readers = Readers::try_from(body.readers)?;
        door.desk.set_readers(&caller, &name, readers, &*door.people)
    })
    .await?;
    Ok(Json(shelf.into()))
}

/// Deletes a collection that holds no document.
#[utoipa::path(delete, path = "/rag/collections/{name}", tag = "documents",
    params(("name" = String, Path, description = "The collection")),
    responses((status = 200, body = Done), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"), (status = 409, description = "`collection_not_empty`")))]
async fn delete_collection(
    State(door): State<Door>,
    Asker(caller): Asker,
    Path(name): Path<String>,
) -> Answer<Done> {
    run(move || door.desk.delete_collection(&caller, &name)).await?;
    Ok(Json(Done { status: "deleted" }))
}
