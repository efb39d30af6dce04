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

/// Reading it takes more than this box gives.
pub(super) fn too_large(message: impl Into<String>) -> Fault {
    Fault::new(Kind::TooLarge, "model_too_large", message)
}

/// The fault that goes by `code`, as it came over a pipe; a code nobody knows is damage.
pub(super) fn named(code: &str, message: impl Into<String>) -> Fault {
    match code {
        "model_unsupported" => unsupported(message),
        "model_too_large" => too_large(message),
        "internal" => damaged("The model's file broke its reader."),
        _ => damaged(message),
    }
}
