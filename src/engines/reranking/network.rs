//! The network of a judge: BERT or XLM-R with a classifier of one output.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Linear, Module, VarBuilder, linear};
use candle_transformers::models::{bert, xlm_roberta};
use tokenizers::{Tokenizer, TruncationParams, TruncationStrategy};

use super::{Architecture, Card, damaged};
use crate::base::fault::Fault;

/// Pairs that go through the network at once; more would pad more and keep more memory.
const PAIRS_AT_ONCE: usize = 8;
/// No token of a text is longer, so that a longer text than this for each token is cut unread.
const BYTES_PER_TOKEN_MAX: usize = 32;

enum Body {
    Bert { model: Box<bert::BertModel>, pooler: Linear, classifier: Linear },
    XlmRoberta(Box<xlm_roberta::XLMRobertaForSequenceClassification>),
}

/// A loaded network with its tokenizer.
pub(super) struct Network {
    tokenizer: Tokenizer,
    body: Body,
    pad: u32,
    max_tokens: usize,
}

impl Network {
    /// Builds the network from the bytes of its three files, already compared with their hashes.
    pub(super) fn load(
        card: &Card,
        config: &[u8],
        tokenizer: &[u8],
        weights: &[u8],
    ) -> std::result::Result<Self, Fault> {
        let bad = |e| damaged("The judge's tokenizer.json makes no sense.").because(e);
        let mut tokenizer = Tokenizer::from_bytes(tokenizer).map_err(bad)?;
        tokenizer.with_padding(None);
        let truncation = TruncationParams {
            max_length: card.max_tokens,
            // The question stays whole; it is short.
            strategy: TruncationStrategy::OnlySecond,
            ..TruncationParams::default()
        };
        tokenizer.with_truncation(Some(truncation)).map_err(bad)?;
        let shape = |e| damaged("The judge's config.json makes no sense.").because(e);
        let broken =
            |e| damaged("The judge's weights are not those of its architecture.").because(e);
        let vb = VarBuilder::from_slice_safetensors(weights, DType::F32, &Device::Cpu)
            .map_err(broken)?;
        let (body, pad, positions) = match card.architecture {
            Architecture::Bert => {
                let config: bert::Config = serde_json::from_slice(config).map_err(shape)?;
                let body = bert_body(&vb, &config).map_err(broken)?;
                (body, config.pad_token_id, config.max_position_embeddings)
            }
            Architecture::XlmRoberta => {
                let config: xlm_roberta::Config = serde_json::from_slice(config).map_err(shape)?;
                let model = xlm_roberta::XLMRobertaForSequenceClassification::new(1, &config, vb)
                    .map_err(broken)?;
                let pad = usize::try_from(config.pad_token_id).unwrap_or_default();
                // Positions begin after that of the padding.
                let positions = config.max_position_embeddings.saturating_sub(pad + 1);
                (Body::XlmRoberta(Box::new(model)), pad, positions)
            }
        };
        if card.max_tokens > positions {
            return Err(damaged("The judge's card allows more tokens than it has positions."));
        }
        let pad = u32::try_from(pad).unwrap_or_default();
        Ok(Self { tokenizer, body, pad, max_tokens: card.max_tokens })
    }

    /// The score of each passage, from 0 to 1, in order.
    pub(super) fn scores(
        &self,
        question: &str,
        passages: &[&str],
    ) -> std::result::Result<Vec<f32>, Fault> {
        // Half of the room at most is the question's, so that there is always something to judge.
        let question = cut(question, self.max_tokens / 2);
        let mut scores = Vec::with_capacity(passages.len());
        for some in passages.chunks(PAIRS_AT_ONCE) {
            let pairs: Vec<_> =
                some.iter().map(|passage| (question, cut(passage, self.max_tokens))).collect();
            let encodings = self
                .tokenizer
                .encode_batch(pairs, true)
                .map_err(|e| Fault::broken("cutting a pair into tokens", e))?;
            let rows: Vec<(&[u32], &[u32])> =
                encodings.iter().map(|e| (e.get_ids(), e.get_type_ids())).collect();
            let outputs = self.forward(&rows).map_err(|e| Fault::broken("running the judge", e))?;
            scores.extend(outputs.into_iter().map(|output| 1.0 / (1.0 + (-output).exp())));
        }
        Ok(scores)
    }

    /// The classifier's output for rows of tokens and their types, padded to the longest.
    fn forward(&self, rows: &[(&[u32], &[u32])]) -> Result<Vec<f32>> {
        let longest = rows.iter().map(|(ids, _)| ids.len()).max().unwrap_or_default();
        let (mut ids, mut types, mut mask) = (Vec::new(), Vec::new(), Vec::new());
        for (row, kinds) in rows {
            let gap = longest - row.len();
            ids.extend(row.iter().copied().chain(std::iter::repeat_n(self.pad, gap)));
            types.extend(kinds.iter().copied().chain(std::iter::repeat_n(0, gap)));
            mask.extend(std::iter::repeat_n(1_u32, row.len()).chain(std::iter::repeat_n(0, gap)));
        }
        let tensor =
            |values: Vec<u32>| Tensor::from_vec(values, (rows.len(), longest), &Device::Cpu);
        let (ids, types, mask) = (tensor(ids)?, tensor(types)?, tensor(mask)?);
        let outputs = match &self.body {
            Body::Bert { model, pooler, classifier } => {
                let states = model.forward(&ids, &types, Some(&mask))?;
                let first = states.get_on_dim(1, 0)?.contiguous()?;
                classifier.forward(&pooler.forward(&first)?.tanh()?)?
            }
            // It knows one type of token.
            Body::XlmRoberta(model) => model.forward(&ids, &mask, &ids.zeros_like()?)?,
        };
        outputs.squeeze(1)?.to_vec1()
    }
}

fn bert_body(vb: &VarBuilder, config: &bert::Config) -> Result<Body> {
    let width = config.hidden_size;
    Ok(Body::Bert {
        model: Box::new(bert::BertModel::load(vb.pp("bert"), config)?),
        pooler: linear(width, width, vb.pp("bert.pooler.dense"))?,
        classifier: linear(width, 1, vb.pp("classifier"))?,
    })
}

/// What lies beyond could never be kept, and a tokenizer's time grows with its input.
fn cut(text: &str, tokens: usize) -> &str {
    text.get(..text.floor_char_boundary(tokens * BYTES_PER_TOKEN_MAX)).unwrap_or_default()
}
