//! The named faults of a model's files.

use crate::base::fault::{Fault, Kind};

/// The file breaks its own format: cut off, overwritten, or written by somebody ill-meaning.
pub(super) fn damaged(message: impl Into<String>) -> Fault {
    Fault::new(Kind::Unprocessable, "model_damaged", message)
}

/// The file is whole, and this box has nothing that runs it.
pub(super) fn unsupported(message: impl Into<String>) -> Fault {
    Fault::new(Kind::Unprocessable, "model_unsupported", message)
}
