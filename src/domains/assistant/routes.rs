//! The assistant's door: documents in and out, questions, and how the indexes are.

mod documents;
mod search;
mod uploads;

use utoipa_axum::router::OpenApiRouter;

use super::Assistant;

/// The routes of the assistant's desk.
pub fn routes(desk: Assistant) -> OpenApiRouter {
    documents::routes().merge(search::routes()).with_state(desk)
}
