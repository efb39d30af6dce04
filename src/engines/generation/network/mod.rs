//! The networks behind language models: tokens in, a likelihood for each next token out.
//!
//! One decoder computes all families but two, for several texts at once; its weights never change,
//! and what it remembers of a text is that text's own [`Cache`], which can be cut back and forked.
//! The other families are candle's, one text at a time.

mod attention;
mod borrowed;
mod cache;
mod crew;
mod decoder;
mod floats;
mod inner;
mod matrix;
mod products;
mod rotary;
mod shape;
mod source;
mod steps;
#[cfg(test)]
mod tests;
mod tiles;

use std::fs::File;

pub use cache::Cache;
pub use shape::{Experts, Family, Shape};

use super::header::Header;
use crate::base::fault::Fault;
use borrowed::Borrowed;
use decoder::{Decoder, Run};
use source::Source;

/// How many tokens go through the layers in one pass, all texts together: enough to read each weight
/// for many of them, few enough to keep what lies between the layers small.
const PASS_TOKENS_MAX: usize = 256;

/// How a network is to be loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadPlan {
    /// The longest text that will be asked for, in tokens; 0 stands for as long as the model knows.
    /// Some models turn positions otherwise for long texts.
    pub context: usize,
}

/// A network's weights, which never change.
pub struct Network {
    shape: Shape,
    context: usize,
    engine: Engine,
}

enum Engine {
    Own(Decoder),
    Borrowed(Borrowed),
}

/// Tokens of one text that a pass adds to what is remembered of it.
pub struct Part<'a> {
    /// The tokens that come next in the text; at least one.
    pub tokens: &'a [u32],
    /// What is remembered of the text.
    pub cache: &'a mut Cache,
    /// Whether the logits behind the last of the tokens are asked for.
    pub logits: bool,
}

impl Network {
    /// Reads a model's weights.
    ///
    /// `model_damaged` where the file contradicts itself, `model_unsupported` where nothing here
    /// computes what it describes.
    pub fn load(file: &mut File, header: &Header, plan: &LoadPlan) -> Result<Self, Fault> {
        let shape = Shape::of(header)?;
        let context = match plan.context {
            0 => shape.context,
            asked => asked.min(shape.context),
        };
        if shape.family.is_borrowed() {
            let engine = Engine::Borrowed(Borrowed::load(file, &shape, header.file_bytes)?);
            return Ok(Self { context: context.min(Borrowed::context(&shape)), shape, engine });
        }
        let decoder = Decoder::load(&mut Source::new(file, header), &shape, context)?;
        Ok(Self { shape, context, engine: Engine::Own(decoder) })
    }

    /// The network's sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The memory of a text that has not begun.
    pub fn new_cache(&self) -> Cache {
        Cache::new(&self.shape)
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        match &self.engine {
            Engine::Own(decoder) => decoder.bytes(),
            Engine::Borrowed(borrowed) => borrowed.bytes(),
        }
    }

    /// Adds each part's tokens to what is remembered of its text; the logits of the parts that ask for
    /// them, in order.
    ///
    /// `prompt_too_large` where a text would pass the context, `broken` where a token is not of this
    /// vocabulary or a memory not of this network; nothing is remembered then.
    pub fn forward(&self, parts: &mut [Part<'_>]) -> Result<Vec<Vec<f32>>, Fault> {
        self.check(parts)?;
        let decoder = match &self.engine {
            Engine::Own(decoder) => decoder,
            Engine::Borrowed(borrowed) => return one_by_one(borrowed, parts),
        };
        let before: Vec<usize> = parts.iter().map(|part| part.cache.len()).collect();
        let done = crew::within(|| self.passes(decoder, parts));
        if done.is_err() {
            for (part, before) in parts.iter_mut().zip(before) {
                part.cache.truncate(before);
            }
        }
        done
    }

    fn check(&self, parts: &[Part<'_>]) -> Result<(), Fault> {
        for part in parts {
            if part.cache.len().saturating_add(part.tokens.len()) > self.context {
                return Err(Fault::invalid(
                    "prompt_too_large",
                    format!("The text would be longer than {} tokens.", self.context),
                ));
            }
            if !part.cache.fits(&self.shape) {
                return Err(Fault::broken("computing a text", "its memory is another network's"));
            }
            let unknown = |token: &&u32| **token as usize >= self.shape.vocabulary;
            if let Some(token) = part.tokens.iter().find(unknown) {
                let cause = format!("token {token} of {}", self.shape.vocabulary);
                return Err(Fault::broken("computing a text", cause));
            }
        }
        Ok(())
    }

    fn passes(&self, decoder: &Decoder, parts: &mut [Part<'_>]) -> Result<Vec<Vec<f32>>, Fault> {
        let mut logits = Vec::new();
        let mut done: Vec<usize> = vec![0; parts.len()];
        loop {
            let mut room = PASS_TOKENS_MAX;
            let mut runs = Vec::new();
            for (part, done) in parts.iter_mut().zip(&mut done) {
                let rest = part.tokens.get(*done..).unwrap_or_default();
                let tokens = rest.get(..rest.len().min(room)).unwrap_or_default();
                if tokens.is_empty() {
                    continue;
                }
                room -= tokens.len();
                *done += tokens.len();
                let last = *done == part.tokens.len();
                runs.push(Run { tokens, cache: part.cache, logits: part.logits && last });
            }
            if runs.is_empty() {
                return Ok(logits);
            }
            logits.extend(decoder.pass(&self.shape, &mut runs)?);
        }
    }
}

/// A borrowed network takes one text at a time.
fn one_by_one(borrowed: &Borrowed, parts: &mut [Part<'_>]) -> Result<Vec<Vec<f32>>, Fault> {
    let mut all = Vec::new();
    for part in parts.iter_mut().filter(|part| !part.tokens.is_empty()) {
        let logits = borrowed.forward(part)?;
        if part.logits {
            all.push(logits);
        }
    }
    Ok(all)
}
