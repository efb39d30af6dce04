//! Families whose networks are candle's own structs: each keeps the memory of one text to itself, so a
//! text that comes after another one is read again from its start.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::{quantized_lfm2, quantized_phi};

use super::Part;
use super::shape::{Family, Shape};
use crate::base::fault::Fault;

/// How many tokens are read at once; candle's attention keeps a number for each pair of them.
const TOKENS_AT_ONCE: usize = 256;
/// As many as candle turns the positions of, for `Phi2`.
const PHI2_CONTEXT: usize = 4096;

/// A network of candle's.
pub(super) struct Borrowed {
    lent: Mutex<Lent>,
    bytes: u64,
}

/// The network with the text it remembers.
struct Lent {
    model: Model,
    tokens: Vec<u32>,
}

enum Model {
    Phi2(quantized_phi::ModelWeights),
    Lfm2(quantized_lfm2::ModelWeights),
}

impl Borrowed {
    /// Reads a network from a file whose header was found to be whole.
    pub(super) fn load(file: &mut File, shape: &Shape, bytes: u64) -> Result<Self, Fault> {
        file.seek(SeekFrom::Start(0)).map_err(|e| Fault::broken("reading a model's file", e))?;
        let content = Content::read(file).map_err(damaged)?;
        let device = Device::Cpu;
        let model = match shape.family {
            Family::Phi2 => Model::Phi2(
                quantized_phi::ModelWeights::from_gguf(content, file, &device).map_err(damaged)?,
            ),
            _ => Model::Lfm2(
                quantized_lfm2::ModelWeights::from_gguf(content, file, &device).map_err(damaged)?,
            ),
        };
        // It looks tokens up among floats.
        let floats = (shape.vocabulary * shape.width * size_of::<f32>()) as u64;
        let lent = Mutex::new(Lent { model, tokens: Vec::new() });
        Ok(Self { lent, bytes: bytes + floats })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The longest text it takes, of a family.
    pub(super) fn context(shape: &Shape) -> usize {
        match shape.family {
            Family::Phi2 => shape.context.min(PHI2_CONTEXT),
            _ => shape.context,
        }
    }

    /// Adds a part's tokens to its text; the logits behind the last of them.
    pub(super) fn forward(&self, part: &mut Part<'_>) -> Result<Vec<f32>, Fault> {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let text = part.cache.borrowed.get_or_insert_default();
        text.extend(part.tokens);
        let logits = lent.read(text);
        if logits.is_err() {
            text.truncate(text.len() - part.tokens.len());
        }
        logits
    }
}

impl Lent {
    /// Reads a text, from where it leaves the one that is remembered if that is this one's beginning.
    fn read(&mut self, text: &[u32]) -> Result<Vec<f32>, Fault> {
        // What fails midway leaves nothing to lean on.
        let known = std::mem::take(&mut self.tokens);
        let mut at =
            if text.starts_with(&known) && known.len() < text.len() { known.len() } else { 0 };
        let mut logits = Vec::new();
        while at < text.len() {
            // The convolutions of Lfm2 take up a text in the middle only token by token.
            let most = match self.model {
                Model::Lfm2(_) if at > 0 => 1,
                _ => TOKENS_AT_ONCE,
            };
            let some = text.get(at..text.len().min(at + most)).unwrap_or_default();
            logits = self.model.go(some, at).map_err(|e| Fault::broken("computing a text", e))?;
            at += some.len();
        }
        self.tokens = text.to_vec();
        Ok(logits)
    }
}

impl Model {
    fn go(&mut self, tokens: &[u32], at: usize) -> candle_core::Result<Vec<f32>> {
        let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        let logits = match self {
            Self::Phi2(model) => model.forward(&input, at)?,
            Self::Lfm2(model) => model.forward(&input, at)?,
        };
        logits.flatten_all()?.to_vec1()
    }
}

fn damaged(cause: candle_core::Error) -> Fault {
    let mut fault = super::super::faults::damaged("The file's weights don't make a whole network.");
    fault.cause = Some(cause.into());
    fault
}
