//! The assistant's door: documents in and out, questions, and how the indexes are.

mod collections;
mod documents;
mod search;
mod uploads;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use super::Assistant;
use super::readers::People;

/// The routes of the assistant's desk; `people` knows whom a collection can be given to.
pub fn routes(desk: Assistant, people: Arc<dyn People>) -> OpenApiRouter {
    let collections = collections::routes(desk.clone(), people);
    documents::routes().merge(search::routes()).with_state(desk).merge(collections)
}
