//! Replaying: what was asked then is asked again today, and both answers stand side by side.

use futures_util::future::BoxFuture;

use crate::base::caller::Caller;
use crate::base::fault::Fault;
use crate::domains::assistant::records::talk::{Citation, Origin, Outcome};

/// A question of the history that is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// What is asked: what was looked for then, where the question leaned on what was said before.
    pub question: String,
    /// The collection that was asked.
    pub collection: Option<String>,
}

/// What is answered today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anew {
    /// The answer.
    pub answer: String,
    /// How it came about.
    pub origin: Origin,
    /// How far it came.
    pub outcome: Outcome,
    /// The passages it cites.
    pub citations: Vec<Citation>,
    /// The model that wrote it.
    pub model: Option<String>,
}

/// Who answers again: with the rights of the caller, whoever asked then. It writes nothing down, neither
/// in a conversation nor in the history; dropping the future stops it.
pub trait Replayer: Send + Sync {
    /// Answers a question anew.
    ///
    /// # Errors
    /// What answering says.
    fn replay(&self, caller: Caller, again: Again) -> BoxFuture<'static, Result<Anew, Fault>>;
}
