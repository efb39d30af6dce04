//! Language models, by candle: text goes on from a prompt, in a process of its own.
//!
//! The engine's weights live in a child of the same program (`__generate`): a kernel that dies there
//! takes no request of another kind with it, and its memory goes back whole when it is idle.

pub mod card;
mod faults;
pub mod header;
#[cfg(feature = "models")]
pub mod network;
mod options;
mod piece;
mod pretokens;
pub mod probe;
pub mod template;
#[cfg(feature = "models")]
pub mod vocabulary;

pub use card::{Card, Memory, Speed, TokenizerKind};
pub use options::{Event, Message, Options, Prompt, Reason, Role, Usage};
pub use piece::Piece;
pub use probe::{Checked, CheckedFile, Probe, Progress};
