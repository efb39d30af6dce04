//! A prompt in pieces, each with whether the box wrote it itself.

/// A piece of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether the box wrote it: only there are the model's own marks understood.
    pub trusted: bool,
}

impl Piece {
    /// What the box wrote itself.
    pub fn trusted(text: impl Into<String>) -> Self {
        Self { text: text.into(), trusted: true }
    }

    /// What somebody else wrote.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), trusted: false }
    }
}
