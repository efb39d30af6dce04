//! Grounded answers: passages that the caller may read, a text made of them, and every sentence's source.

pub mod citing;
pub mod extracting;
pub mod packing;
pub mod threshold;

use super::Assistant;
use super::conversations::Conversations;
use super::generation::Generation;
use super::history::History;

/// The answers' desk. Clones are the same desk.
#[derive(Clone)]
pub struct Answers {
    search: Assistant,
    generation: Generation,
    conversations: Conversations,
    history: History,
}

impl Answers {
    /// Opens the desk.
    pub fn open(
        search: Assistant,
        generation: Generation,
        conversations: Conversations,
        history: History,
    ) -> Self {
        Self { search, generation, conversations, history }
    }
}
