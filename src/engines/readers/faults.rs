//! The names of what can be wrong with a document.

use crate::base::fault::{Fault, Kind};

/// What is wrong with a document: its stable code, and how it is treated.
const KNOWN: [(&str, Kind); 8] = [
    ("document_encrypted", Kind::Unprocessable),
    ("document_damaged", Kind::Unprocessable),
    ("document_without_text", Kind::Unprocessable),
    ("document_timeout", Kind::Unprocessable),
    ("format_unknown", Kind::Unprocessable),
    ("document_too_large", Kind::TooLarge),
    ("document_too_deep", Kind::TooLarge),
    ("document_memory", Kind::TooLarge),
];

/// The fault that goes by `code`, as it came over the pipe; a code nobody knows is damage.
pub fn named(code: &str, message: impl Into<String>) -> Fault {
    let (code, kind) = KNOWN
        .iter()
        .find(|(known, _)| *known == code)
        .copied()
        .unwrap_or(("document_damaged", Kind::Unprocessable));
    Fault::new(kind, code, message)
}

/// The document asks for a password.
pub fn encrypted() -> Fault {
    named("document_encrypted", "The document is protected by a password.")
}

/// The document is not what its format says; `what` is a sentence.
pub fn damaged(what: impl Into<String>) -> Fault {
    named("document_damaged", what)
}

/// The document is larger than a limit; `what` is a sentence.
pub fn too_large(what: impl Into<String>) -> Fault {
    named("document_too_large", what)
}

/// The document is nested deeper than a limit.
pub fn too_deep() -> Fault {
    named("document_too_deep", "The document is nested deeper than this box follows.")
}

/// The document was read, and there is no text in it.
pub fn without_text() -> Fault {
    named(
        "document_without_text",
        "There is no text in the document; if it was scanned, it needs text recognition first.",
    )
}

/// The document took longer than a limit.
pub fn timeout() -> Fault {
    named("document_timeout", "The document took longer to read than this box allows.")
}

/// The document needed more memory than a limit.
pub fn memory() -> Fault {
    named("document_memory", "The document needs more memory than this box gives to one file.")
}

/// Reading or unpacking failed: for want of memory, or because of what stands there.
pub fn of_io(what: &str, error: std::io::Error) -> Fault {
    match error.kind() {
        std::io::ErrorKind::OutOfMemory => memory().because(error),
        _ => damaged(what).because(error),
    }
}

/// Neither the content nor the name says what this is.
pub fn unknown() -> Fault {
    named("format_unknown", "This box has no reader for this kind of file.")
}
