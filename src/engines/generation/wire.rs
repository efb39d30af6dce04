//! What the program and its generating child tell each other: one JSON object a line, both ways.

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::options::{Event, Options, Prompt};
use crate::base::fault::{Fault, Kind};

/// Both ends are one program, but a program may be replaced while it runs: they say so first.
pub const VERSION: u32 = 2;
/// The longest line either end takes, bytes: a prompt of a whole long context, written as JSON.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// The codes a child may name, and how each is treated.
const KNOWN: [(&str, Kind); 9] = [
    ("generation_failed", Kind::Unavailable),
    ("model_damaged", Kind::Unprocessable),
    ("model_missing", Kind::Unavailable),
    ("model_too_large", Kind::Unavailable),
    ("model_unsupported", Kind::Unprocessable),
    ("prompt_empty", Kind::Invalid),
    ("prompt_too_large", Kind::Invalid),
    ("prompt_unsupported", Kind::Invalid),
    ("schema_unsupported", Kind::Invalid),
];

/// What the parent wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Once, before anything else.
    Load(Load),
    /// An answer is to be written.
    Start {
        /// By what number its events are known.
        job: u64,
        /// What to go on from.
        prompt: Prompt,
        /// How.
        options: Options,
        /// Only prompts of one scope find one another's beginnings read.
        scope: String,
    },
    /// Nobody wants this answer any more.
    Cancel {
        /// Its number.
        job: u64,
    },
    /// A text's tokens are to be counted.
    Count {
        /// By what number the answer is known.
        job: u64,
        /// The text.
        text: String,
    },
}

/// Which model to load, and what it may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Load {
    /// [`VERSION`] of the parent.
    pub version: u32,
    /// The weights.
    pub file: PathBuf,
    /// Their pinned digest, lower-case hexadecimal.
    pub sha256: String,
    /// The files beside them that may be read; what is not listed is not looked at.
    pub beside: Vec<Pinned>,
    /// Answers written side by side.
    pub slots: usize,
    /// The longest context asked for.
    pub context_tokens: usize,
    /// Memory for all of it; 0 takes half of what is free.
    pub memory_bytes: u64,
}

/// A file beside a model's weights, as it was when the model was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// Its name in the model's folder.
    pub name: String,
    /// The digest of its bytes, lower-case hexadecimal.
    pub sha256: String,
}

/// What the child says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// The model is in memory.
    Loaded(Loaded),
    /// It will not be; the child ends.
    Refused {
        /// A fault's stable code.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// An answer goes on.
    Event {
        /// Whose.
        job: u64,
        /// How.
        event: Event,
    },
    /// A text was counted.
    Counted {
        /// Whose.
        job: u64,
        /// Its tokens, or none when it cannot be taken apart.
        tokens: Option<usize>,
    },
}

/// What a loaded model takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// The longest context of one answer, prompt and text together: capped by model and memory.
    pub context_tokens: usize,
    /// Bytes of the weights in memory.
    pub bytes: u64,
    /// Answers written side by side.
    pub slots: usize,
    /// Milliseconds it took to load and to check.
    pub load_ms: u64,
}

/// The fault that goes by `code`, as it came over the pipe or in an [`Event::Failed`]; a code nobody
/// knows is `generation_failed`.
pub fn named(code: &str, message: impl Into<String>) -> Fault {
    let (code, kind) = KNOWN
        .iter()
        .find(|(known, _)| *known == code)
        .copied()
        .unwrap_or(("generation_failed", Kind::Unavailable));
    Fault::new(kind, code, message)
}

/// Something as one line, its end included.
pub(super) fn line(what: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    if line.len() > LINE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the line is too long"));
    }
    Ok(line)
}

/// Writes one line, at once.
pub(super) fn write(to: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    to.write_all(&line(what)?)?;
    to.flush()
}

/// Reads one line; none at the end. A line too long or not understood is an error.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let most = LINE_BYTES_MAX as u64;
    from.take(most).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        let kind = io::ErrorKind::UnexpectedEof;
        return Err(io::Error::new(kind, "a line is too long, or was cut off"));
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_and_bad_ones_are_named() {
        let order = Order::Start {
            job: 7,
            prompt: Prompt::Text("Où est\nle dépôt ?".into()),
            options: Options { stop: vec!["\n".into()], ..Options::default() },
            scope: "u1".into(),
        };
        let mut line = Vec::new();
        write(&mut line, &order).unwrap();
        assert_eq!(line.split(|b| *b == b'\n').count(), 2, "one line");
        assert_eq!(read::<Order>(&mut line.as_slice()).unwrap(), Some(order));
        assert_eq!(read::<Order>(&mut [].as_slice()).unwrap(), None);
        assert!(read::<Order>(&mut b"{\"load\":1}\n".as_slice()).is_err());
        assert!(read::<Order>(&mut &line[..line.len() - 1]).is_err(), "cut off");
        let endless = vec![b' '; LINE_BYTES_MAX + 1];
        assert!(read::<Order>(&mut endless.as_slice()).is_err(), "too long");
    }

    #[test]
    fn codes_keep_their_kind() {
        assert_eq!(named("schema_unsupported", "x").kind, Kind::Invalid);
        assert_eq!(named("what", "x").code, "generation_failed");
    }
}
