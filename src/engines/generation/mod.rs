//! Language models, by candle: text goes on from a prompt, in a process of its own.
//!
//! The engine's weights live in a child of the same program (`__generate`): a kernel that dies there
//! takes no request of another kind with it, and its memory goes back whole when it is idle.

pub mod engine;
mod options;
mod process;
mod wire;

pub use engine::{Engine, EngineOptions, Job, Runnable, Running};
pub use options::{Event, Message, Options, Prompt, Reason, Role, Usage};
pub use wire::{Loaded, named};
