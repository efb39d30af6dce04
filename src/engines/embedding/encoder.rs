//! The network itself: token numbers in, unit vectors out, by candle.
//!
//! Texts are laid end to end without padding: every matrix product sees only real tokens, and only
//! attention looks at one text at a time.

use candle_core::{D, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::{layer_norm, softmax_last_dim};
use serde::Deserialize;
use tokenizers::{Tokenizer, TruncationParams};

use super::card::{Architecture, Card, Pooling, damaged};
use super::gelu::Gelu;
use crate::base::fault::Fault;

/// Bytes of text the tokenizer is given per token that can be kept; no word piece is longer.
const BYTES_PER_TOKEN_MAX: usize = 100;
/// Tokens in one pass through the network: enough to fill the matrix kernels, small enough for the
/// second-level cache and for stopping in time.
pub(super) const TOKENS_PER_PASS: usize = 2048;
/// XLM-R counts positions from here, after the two numbers it keeps for padding.
const XLM_FIRST_POSITION: usize = 2;

/// The shape of the network, as `config.json` gives it.
#[derive(Debug, Clone, Deserialize)]
struct Shape {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    hidden_act: String,
}

/// A matrix and its bias, the matrix as `[out, in]`.
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn load(vb: &VarBuilder, output: usize, input: usize) -> Result<Self> {
        Ok(Self { weight: vb.get((output, input), "weight")?, bias: vb.get(output, "bias")? })
    }

    fn product(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight.t()?)
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.product(x)?.broadcast_add(&self.bias)
    }
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f32,
}

impl Norm {
    fn load(vb: &VarBuilder, shape: &Shape) -> Result<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "1e-12 and 1e-5 fit f32")]
        let epsilon = shape.layer_norm_eps as f32;
        Ok(Self {
            weight: vb.get(shape.hidden_size, "weight")?,
            bias: vb.get(shape.hidden_size, "bias")?,
            epsilon,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.epsilon)
    }
}

struct Layer {
    /// Query, key and value in one product.
    looks: Linear,
    joined: Linear,
    after_attention: Norm,
    wide: Linear,
    narrow: Linear,
    after_words: Norm,
}

impl Layer {
    fn load(vb: &VarBuilder, shape: &Shape) -> Result<Self> {
        let width = shape.hidden_size;
        let own = vb.pp("attention").pp("self");
        let parts = [
            Linear::load(&own.pp("query"), width, width)?,
            Linear::load(&own.pp("key"), width, width)?,
            Linear::load(&own.pp("value"), width, width)?,
        ];
        let looks = Linear {
            weight: Tensor::cat(&parts.each_ref().map(|p| &p.weight), 0)?,
            bias: Tensor::cat(&parts.each_ref().map(|p| &p.bias), 0)?,
        };
        let after = vb.pp("attention").pp("output");
        Ok(Self {
            looks,
            joined: Linear::load(&after.pp("dense"), width, width)?,
            after_attention: Norm::load(&after.pp("LayerNorm"), shape)?,
            wide: Linear::load(&vb.pp("intermediate").pp("dense"), shape.intermediate_size, width)?,
            narrow: Linear::load(&vb.pp("output").pp("dense"), width, shape.intermediate_size)?,
            after_words: Norm::load(&vb.pp("output").pp("LayerNorm"), shape)?,
        })
    }

    fn forward(&self, x: &Tensor, texts: &[Run], heads: usize) -> Result<Tensor> {
        let looks = self.looks.forward(x)?;
        let seen = texts.iter().map(|t| attend(&looks, *t, heads)).collect::<Result<Vec<_>>>()?;
        let seen = Tensor::cat(&seen, 0)?;
        let x = self.after_attention.forward(&(self.joined.forward(&seen)? + x)?)?;
        let wide = self.wide.product(&x)?.apply_op2_no_bwd(&self.wide.bias, &Gelu)?;
        self.after_words.forward(&(self.narrow.forward(&wide)? + x)?)
    }
}

/// Texts of one length that lie side by side.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The first text's first row.
    first: usize,
    /// How many texts.
    texts: usize,
    /// Tokens in each.
    tokens: usize,
}

/// Multi-head attention within the texts of one run; `looks` holds query, key and value.
fn attend(looks: &Tensor, run: Run, heads: usize) -> Result<Tensor> {
    let width = looks.dim(1)? / 3;
    let size = width / heads;
    let parts = looks
        .narrow(0, run.first, run.texts * run.tokens)?
        .reshape((run.texts, run.tokens, 3, heads, size))?
        .permute((2, 0, 3, 1, 4))?
        .contiguous()?
        .reshape((3, run.texts * heads, run.tokens, size))?;
    let (query, key, value) = (parts.get(0)?, parts.get(1)?, parts.get(2)?);
    let scale = 1.0 / (size as f64).sqrt();
    let scores = softmax_last_dim(&(query * scale)?.matmul(&key.t()?)?)?;
    scores
        .matmul(&value)?
        .reshape((run.texts, heads, run.tokens, size))?
        .transpose(1, 2)?
        .reshape((run.texts * run.tokens, width))
}

/// A loaded network with its tokenizer.
pub(super) struct Encoder {
    tokenizer: Tokenizer,
    words: Tensor,
    /// Position vectors with the one token type already added.
    positions: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    first_position: usize,
    max_tokens: usize,
    pooling: Pooling,
    dimension: usize,
}

impl Encoder {
    /// Builds the network from the bytes of its three files, already verified.
    pub(super) fn load(
        card: &Card,
        config: &[u8],
        tokenizer: &[u8],
        weights: &[u8],
    ) -> std::result::Result<Self, Fault> {
        let shape: Shape = serde_json::from_slice(config)
            .map_err(|e| damaged("The model's config.json makes no sense.").because(e))?;
        if shape.hidden_act != "gelu" {
            return Err(damaged("The model's activation is not the exact GELU."));
        }
        if shape.hidden_size != card.dimension
            || shape.num_attention_heads == 0
            || !shape.hidden_size.is_multiple_of(shape.num_attention_heads)
        {
            return Err(damaged("The model's config.json and its card disagree."));
        }
        let tokenizer = tokenizer_of(tokenizer, card.max_tokens)?;
        Self::build(card, &shape, tokenizer, weights).map_err(|e| {
            damaged("The model's weights are not those of its architecture.").because(e)
        })
    }

    fn build(card: &Card, shape: &Shape, tokenizer: Tokenizer, weights: &[u8]) -> Result<Self> {
        let device = Device::Cpu;
        let vb = VarBuilder::from_slice_safetensors(weights, candle_core::DType::F32, &device)?;
        let vb = ["", "bert", "roberta"]
            .into_iter()
            .map(|prefix| if prefix.is_empty() { vb.clone() } else { vb.pp(prefix) })
            .find(|vb| vb.contains_tensor("embeddings.word_embeddings.weight"))
            .unwrap_or(vb);
        let width = shape.hidden_size;
        let inputs = vb.pp("embeddings");
        let types = inputs
            .get((shape.type_vocab_size, width), "token_type_embeddings.weight")?
            .narrow(0, 0, 1)?;
        let positions = inputs
            .get((shape.max_position_embeddings, width), "position_embeddings.weight")?
            .broadcast_add(&types)?;
        let first_position = match card.architecture {
            Architecture::Bert => 0,
            Architecture::XlmRoberta => XLM_FIRST_POSITION,
        };
        if first_position + card.max_tokens > shape.max_position_embeddings {
            candle_core::bail!("the card allows more tokens than the network has positions");
        }
        Ok(Self {
            tokenizer,
            words: inputs.get((shape.vocab_size, width), "word_embeddings.weight")?,
            positions,
            norm: Norm::load(&inputs.pp("LayerNorm"), shape)?,
            layers: (0..shape.num_hidden_layers)
                .map(|n| Layer::load(&vb.pp(format!("encoder.layer.{n}")), shape))
                .collect::<Result<_>>()?,
            heads: shape.num_attention_heads,
            first_position,
            max_tokens: card.max_tokens,
            pooling: card.pooling,
            dimension: card.dimension,
        })
    }

    /// The token numbers of a text, marks at both ends included, cut at the card's length.
    pub(super) fn tokens(&self, text: &str) -> std::result::Result<Vec<u32>, Fault> {
        // What lies beyond could never be kept, and a tokenizer's time grows with its input.
        let end = text.floor_char_boundary(self.max_tokens * BYTES_PER_TOKEN_MAX);
        let encoding = self
            .tokenizer
            .encode_fast(text.get(..end).unwrap_or_default(), true)
            .map_err(|e| Fault::broken("cutting a text into tokens", e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The unit vectors of texts given as token numbers, in the same order; call it with texts
    /// sorted by length, since equal lengths share their attention.
    pub(super) fn vectors(&self, texts: &[&[u32]]) -> std::result::Result<Vec<Vec<f32>>, Fault> {
        self.forward(texts).map_err(|e| Fault::broken("running the encoder", e))
    }

    fn forward(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let mut ids = Vec::new();
        let mut places = Vec::new();
        let mut runs: Vec<Run> = Vec::new();
        for text in texts {
            match runs.last_mut() {
                Some(run) if run.tokens == text.len() => run.texts += 1,
                _ => runs.push(Run { first: ids.len(), texts: 1, tokens: text.len() }),
            }
            ids.extend_from_slice(text);
            places.extend(
                (self.first_position..).take(text.len()).filter_map(|p| u32::try_from(p).ok()),
            );
        }
        let ids = Tensor::new(ids, &Device::Cpu)?;
        let places = Tensor::new(places, &Device::Cpu)?;
        let mut x =
            (self.words.index_select(&ids, 0)? + self.positions.index_select(&places, 0)?)?;
        x = self.norm.forward(&x)?;
        for layer in &self.layers {
            x = layer.forward(&x, &runs, self.heads)?;
        }
        let mut vectors = Vec::with_capacity(texts.len());
        for run in &runs {
            let rows = x.narrow(0, run.first, run.texts * run.tokens)?.reshape((
                run.texts,
                run.tokens,
                self.dimension,
            ))?;
            let pooled = match self.pooling {
                Pooling::Mean => rows.mean(1)?,
                Pooling::First => rows.get_on_dim(1, 0)?,
            };
            let length = pooled.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
            vectors.extend(pooled.broadcast_div(&length)?.to_vec2::<f32>()?);
        }
        Ok(vectors)
    }
}

fn tokenizer_of(bytes: &[u8], max_tokens: usize) -> std::result::Result<Tokenizer, Fault> {
    let bad = |e| damaged("The model's tokenizer.json makes no sense.").because(e);
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(bad)?;
    // The file may carry a padding and a shorter truncation from its training.
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(Some(TruncationParams {
            max_length: max_tokens,
            ..TruncationParams::default()
        }))
        .map_err(bad)?;
    Ok(tokenizer)
}
