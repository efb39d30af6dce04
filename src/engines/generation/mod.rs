//! Language models, by candle: text goes on from a prompt, in a process of its own.
//!
//! The engine's weights live in a child of the same program (`__generate`): a kernel that dies there
//! takes no request of another kind with it, and its memory goes back whole when it is idle.

pub mod card;
mod deaths;
pub mod engine;
mod faults;
#[cfg(feature = "models")]
mod grammar;
pub mod header;
#[cfg(feature = "models")]
pub mod network;
mod options;
mod piece;
mod pretokens;
pub mod probe;
mod process;
#[cfg(feature = "models")]
mod references;
#[cfg(feature = "models")]
mod sampling;
#[cfg(feature = "models")]
mod stops;
pub mod template;
#[cfg(feature = "models")]
pub mod vocabulary;
mod wire;
#[cfg(feature = "models")]
mod worker;

pub use card::{Card, Memory, Speed, TokenizerKind};
pub use engine::{Engine, EngineOptions, Job, Runnable, Running};
pub use options::{Event, Message, Options, Prompt, Reason, Role, Usage};
pub use piece::Piece;
pub use probe::{Checked, CheckedFile, Probe, Progress};
pub use process::VERB;
pub use wire::{Loaded, Pinned, named};
#[cfg(feature = "models")]
pub use worker::generate_main;
