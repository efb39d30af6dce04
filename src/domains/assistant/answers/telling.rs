//! An answer on its way: what whoever asked hears of it, and whether they still listen.

use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use super::super::generation::{Piece, Stream};
use super::packing::Source;

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Passages are looked for.
    Searching,
    /// It waits for the model; so many are before it.
    Waiting(usize),
    /// The model reads the passages.
    Reading,
    /// It is being written.
    Writing,
}

/// Something that happened on the way to an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It has come so far.
    Status(State),
    /// What it will be made of, or for want of an answer what is nearest.
    Sources {
        /// The sources, best first.
        sources: Vec<Source>,
        /// What was looked for, when it was not the question itself.
        searched_for: Option<String>,
    },
    /// More of its text.
    Token(String),
}

/// The next thing a model says to somebody.
#[derive(Debug)]
pub enum Next {
    /// It said something.
    Said(Piece),
    /// It says no more.
    Over,
    /// Nobody listens any more.
    Gone,
}

/// Who listens to an answer.
#[derive(Debug)]
pub struct Listener(UnboundedSender<Step>);

impl Listener {
    /// Somebody who listens at the other end of a channel, until it is dropped.
    pub fn new(steps: UnboundedSender<Step>) -> Self {
        Self(steps)
    }

    /// Tells a step; false when nobody listens any more.
    pub fn hear(&self, step: Step) -> bool {
        self.0.send(step).is_ok()
    }

    /// Whether nobody listens any more.
    pub fn is_gone(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits for the next piece of a text, or for the listener to go away, on a thread that may wait.
    pub fn next(&self, stream: &mut Stream) -> Next {
        let Ok(runtime) = Handle::try_current() else {
            // Outside a runtime nothing can go away unseen between two pieces for long.
            let piece = if self.is_gone() { return Next::Gone } else { stream.wait() };
            return piece.map_or(Next::Over, Next::Said);
        };
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.0.closed() => Next::Gone,
                piece = stream.next() => piece.map_or(Next::Over, Next::Said),
            }
        })
    }
}
