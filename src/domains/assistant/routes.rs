//! The assistant's door: documents in and out, questions, and how the indexes are.

mod answers;
mod collections;
mod conversations;
mod documents;
mod history;
mod llm;
mod models;
mod openai;
mod prompts;
mod search;
mod uploads;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

pub use llm::{Lines, Pace, Recognise};

use super::Assistant;
use super::readers::People;
use super::thinking::Thinking;
use crate::base::fault::{Fault, Field};

/// The routes of the assistant's desks; `people` knows whom a collection can be given to, `lines` what
/// ends what is open.
pub fn routes(
    desk: Assistant,
    thinking: Thinking,
    people: Arc<dyn People>,
    lines: Lines,
) -> OpenApiRouter {
    let collections = collections::routes(desk.clone(), people);
    let embedding = desk.clone();
    documents::routes()
        .merge(search::routes())
        .with_state(desk)
        .merge(collections)
        .merge(models::routes().with_state(thinking.clone()))
        .merge(history::routes().with_state(thinking.clone()))
        .merge(prompts::routes().with_state(thinking.prompts.clone()))
        .merge(conversations::routes().with_state(thinking.clone()))
        .merge(answers::routes(&thinking, lines.clone()))
        .merge(llm::routes(&thinking, &embedding, lines.clone()))
        .merge(openai::routes(thinking, embedding, lines))
}

/// How many to list: the usual number, or the one that was asked for, within bounds.
fn limit(asked: Option<usize>, usual: usize, most: usize) -> Result<usize, Fault> {
    match asked {
        None => Ok(usual),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(Fault::fields(vec![Field {
            place: ["query", "limit"].map(str::to_owned).to_vec(),
            wrong: "value_error",
            message: format!("A list has 1 to {most} entries."),
        }])),
    }
}
