//! The network itself: token numbers in, unit vectors out, by candle.
//!
//! Texts are laid end to end without padding: every matrix product sees only real tokens, and only
//! attention looks at one text at a time.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;
use tokenizers::{Tokenizer, TruncationParams};

use super::card::{Architecture, Card, Pooling, damaged};
use super::few_rows::FewRows;
use super::kernels::{Attention, BiasGelu, JoinNorm};
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

/// A matrix as `[out, in]`.
struct Matrix(Tensor);

impl Matrix {
    fn load(vb: &VarBuilder, output: usize, input: usize) -> Result<Self> {
        Ok(Self(vb.get((output, input), "weight")?))
    }

    fn product(&self, x: &Tensor) -> Result<Tensor> {
        if FewRows::fits(x, &self.0)? {
            return x.apply_op2_no_bwd(&self.0, &FewRows);
        }
        x.matmul(&self.0.t()?)
    }
}

/// Layer normalisation of a sum, with the bias of the product before it.
struct Norm {
    /// Bias, weight and shift, a row each.
    settings: Tensor,
    join: JoinNorm,
}

impl Norm {
    fn load(bias: &Tensor, vb: &VarBuilder, shape: &Shape) -> Result<Self> {
        let (weight, shift) =
            (vb.get(shape.hidden_size, "weight")?, vb.get(shape.hidden_size, "bias")?);
        #[expect(clippy::cast_possible_truncation, reason = "1e-12 and 1e-5 fit f32")]
        let epsilon = shape.layer_norm_eps as f32;
        Ok(Self {
            settings: Tensor::stack(&[bias, &weight, &shift], 0)?,
            join: JoinNorm { epsilon },
        })
    }

    fn forward(&self, x: &Tensor, rest: &Tensor) -> Result<Tensor> {
        x.apply_op3_no_bwd(rest, &self.settings, &self.join)
    }
}

struct Layer {
    /// Query, key and value in one product.
    looks: Matrix,
    looks_bias: Vec<f32>,
    joined: Matrix,
    after_attention: Norm,
    wide: Matrix,
    wide_bias: Tensor,
    narrow: Matrix,
    after_words: Norm,
}

impl Layer {
    fn load(vb: &VarBuilder, shape: &Shape) -> Result<Self> {
        let width = shape.hidden_size;
        let own = vb.pp("attention").pp("self");
        let parts = ["query", "key", "value"].map(|part| own.pp(part));
        let weights = parts.each_ref().map(|p| p.get((width, width), "weight"));
        let biases = parts.each_ref().map(|p| p.get(width, "bias"));
        let weights = weights.into_iter().collect::<Result<Vec<_>>>()?;
        let biases = biases.into_iter().collect::<Result<Vec<_>>>()?;
        let after = vb.pp("attention").pp("output");
        let (wide, narrow) = (vb.pp("intermediate").pp("dense"), vb.pp("output").pp("dense"));
        Ok(Self {
            looks: Matrix(Tensor::cat(&weights, 0)?),
            looks_bias: Tensor::cat(&biases, 0)?.to_vec1()?,
            joined: Matrix::load(&after.pp("dense"), width, width)?,
            after_attention: Norm::load(
                &after.pp("dense").get(width, "bias")?,
                &after.pp("LayerNorm"),
                shape,
            )?,
            wide: Matrix::load(&wide, shape.intermediate_size, width)?,
            wide_bias: wide.get(shape.intermediate_size, "bias")?,
            after_words: Norm::load(
                &narrow.get(width, "bias")?,
                &vb.pp("output").pp("LayerNorm"),
                shape,
            )?,
            narrow: Matrix::load(&narrow, width, shape.intermediate_size)?,
        })
    }

    fn forward(&self, x: &Tensor, lengths: &[usize], heads: usize) -> Result<Tensor> {
        let attention = Attention { lengths, heads, bias: &self.looks_bias };
        let seen = self.looks.product(x)?.apply_op1_no_bwd(&attention)?;
        let x = self.after_attention.forward(&self.joined.product(&seen)?, x)?;
        let wide = self.wide.product(&x)?.apply_op2_no_bwd(&self.wide_bias, &BiasGelu)?;
        self.after_words.forward(&self.narrow.product(&wide)?, &x)
    }
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
        let vb = VarBuilder::from_slice_safetensors(weights, DType::F32, &device)?;
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
            norm: Norm::load(
                &Tensor::zeros(width, DType::F32, &device)?,
                &inputs.pp("LayerNorm"),
                shape,
            )?,
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

    /// The unit vectors of texts given as token numbers, in the same order.
    pub(super) fn vectors(&self, texts: &[&[u32]]) -> std::result::Result<Vec<Vec<f32>>, Fault> {
        self.forward(texts).map_err(|e| Fault::broken("running the encoder", e))
    }

    fn forward(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let lengths: Vec<usize> = texts.iter().map(|t| t.len()).collect();
        let ids = Tensor::new(texts.concat(), &Device::Cpu)?;
        let places: Vec<u32> = lengths
            .iter()
            .flat_map(|length| (self.first_position..).take(*length))
            .filter_map(|place| u32::try_from(place).ok())
            .collect();
        let places = Tensor::new(places, &Device::Cpu)?;
        let words = self.words.index_select(&ids, 0)?;
        let mut x = self.norm.forward(&words, &self.positions.index_select(&places, 0)?)?;
        for layer in &self.layers {
            x = layer.forward(&x, &lengths, self.heads)?;
        }
        let x = x.flatten_all()?.to_vec1::<f32>()?;
        let mut rest = x.as_slice();
        let mut vectors = Vec::with_capacity(texts.len());
        for length in lengths {
            let (text, after) = rest.split_at_checked(length * self.dimension).unwrap_or_default();
            vectors.push(pooled(text, self.dimension, self.pooling));
            rest = after;
        }
        Ok(vectors)
    }
}

/// One unit vector out of a text's token vectors.
fn pooled(tokens: &[f32], dimension: usize, pooling: Pooling) -> Vec<f32> {
    let mut vector = vec![0.0; dimension];
    let take = match pooling {
        Pooling::Mean => usize::MAX,
        Pooling::First => 1,
    };
    for token in tokens.chunks_exact(dimension.max(1)).take(take) {
        for (sum, x) in vector.iter_mut().zip(token) {
            *sum += x;
        }
    }
    // The mean differs from the sum in its length alone, and that is taken out here.
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    for v in &mut vector {
        *v /= length;
    }
    vector
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
