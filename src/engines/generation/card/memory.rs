//! What a model takes in memory: its weights as they are laid out here, what is kept of the texts, and
//! room to compute in.

use serde::{Deserialize, Serialize};

use super::super::header::{Header, TensorInfo, TensorKind};
use super::Card;

/// Tokens that go through the layers together.
const PASS_TOKENS: u64 = 256;
/// Rows as wide as the network that a pass keeps for each token.
const ROWS_PER_TOKEN: u64 = 8;
/// Bytes of one number while it is computed with.
const FLOAT_BYTES: u64 = 4;
/// Bytes of a number that is kept of a text.
const KEPT_BYTES: u64 = 2;
/// What a vocabulary takes for each of its tokens: texts, merges and tables, measured generously.
const TOKEN_BYTES: u64 = 600;
/// The program itself, its threads and its allocator.
const PROGRAM_BYTES: u64 = 64 << 20;
/// Texts are kept in pages of so many tokens.
const PAGE_TOKENS: u64 = 64;

/// Thousandths of a byte that a weight takes in tiles of 4, 6 and 8 bits with their scales.
const TILES_FOUR: u64 = 625;
const TILES_SIX: u64 = 875;
const TILES_EIGHT: u64 = 1063;
/// What candle adds to a weight it has quick kernels for, in thousandths of a byte: a copy in their
/// order, and another one for processors that multiply whole matrices (measured on 1 billion weights).
const CANDLE_COPIES: u64 = 2000;
const THOUSAND: u64 = 1000;

/// What a model takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The weights.
    pub weights: u64,
    /// Copies of weights that are laid out for the processor, beside those.
    pub repacked: u64,
    /// What is kept of one token of a text.
    pub cache_per_token: u64,
    /// Room to compute in, the vocabulary and the program.
    pub work: u64,
    /// All of it, with every text as long as it may be.
    pub total: u64,
}

/// What the weights take; worked out where the header is at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// In memory, once.
    pub bytes: u64,
    /// Copies beside that.
    pub copies: u64,
    /// The largest tensor of the file, which is read as a whole while the model is loaded.
    pub largest: u64,
}

/// Whether this processor multiplies 64 bytes at once in the way the box's own kernels need.
pub fn wide_kernels() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("f16c")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

impl Weights {
    /// `borrowed` tells that candle's own network computes the model, `wide` that the box's own
    /// kernels run on this processor.
    pub(super) fn of(header: &Header, borrowed: bool, wide: bool) -> Self {
        let mut all = Self::default();
        for tensor in &header.tensors {
            let weights = tensor.weights();
            let (thousandths, copies) =
                if wide && !borrowed { (in_tiles(tensor), 0) } else { by_candle(tensor) };
            // Its networks look tokens up among floats.
            let floats = borrowed && tensor.name == "token_embd.weight";
            let bytes = match thousandths {
                Some(thousandths) => part(weights, thousandths),
                None => tensor.bytes,
            };
            all.bytes = all.bytes.saturating_add(bytes);
            all.copies = all.copies.saturating_add(part(weights, copies));
            if floats {
                all.bytes = all.bytes.saturating_add(weights.saturating_mul(FLOAT_BYTES));
            }
            all.largest = all.largest.max(tensor.bytes);
        }
        all
    }
}

fn part(weights: u64, thousandths: u64) -> u64 {
    let product = u128::from(weights) * u128::from(thousandths) / u128::from(THOUSAND);
    u64::try_from(product).unwrap_or(u64::MAX)
}

/// Thousandths of a byte for each weight; none where the file's own bytes are kept.
fn in_tiles(tensor: &TensorInfo) -> Option<u64> {
    if tensor.rows() <= 1 {
        return Some(FLOAT_BYTES * THOUSAND);
    }
    match tensor.kind {
        TensorKind::F32 | TensorKind::F16 | TensorKind::BF16 => None,
        TensorKind::Q4_0 | TensorKind::Q4_1 | TensorKind::Q4_K => Some(TILES_FOUR),
        TensorKind::Q5_0 | TensorKind::Q5_1 | TensorKind::Q5_K | TensorKind::Q6_K => {
            Some(TILES_SIX)
        }
        _ => Some(TILES_EIGHT),
    }
}

/// The same where candle multiplies, and what its copies add.
fn by_candle(tensor: &TensorInfo) -> (Option<u64>, u64) {
    if tensor.rows() <= 1 {
        return (Some(FLOAT_BYTES * THOUSAND), 0);
    }
    (None, if is_quick_in_candle(tensor) { CANDLE_COPIES } else { 0 })
}

/// Whether candle has quick kernels for a matrix (its version 0.11 on x86-64).
pub(super) fn is_quick_in_candle(tensor: &TensorInfo) -> bool {
    let kind = matches!(tensor.kind, TensorKind::Q4_K | TensorKind::Q6_K | TensorKind::Q8_0);
    kind && tensor.columns().is_multiple_of(256) && tensor.rows().is_multiple_of(16)
}

/// What is kept of a token: a key and a value of each asked head in each layer. Layers that see only
/// the last tokens are counted like the others.
pub(super) fn cache_per_token(
    header: &Header,
    layers: usize,
    kv_heads: usize,
    head_size: usize,
) -> u64 {
    let each = header.numbers(&header.own("attention.head_count_kv"));
    let heads = match each {
        Some(each) => each.iter().fold(0, |all: u64, one| all.saturating_add(*one)),
        None => (layers as u64).saturating_mul(kv_heads as u64),
    };
    heads.saturating_mul(head_size as u64).saturating_mul(2 * KEPT_BYTES)
}

impl Card {
    /// What the model takes with `slots` texts of `context` tokens each at the same time.
    pub fn memory(&self, context: usize, slots: usize) -> Memory {
        let slots = slots.max(1) as u64;
        let pages = (context as u64).div_ceil(PAGE_TOKENS).saturating_mul(PAGE_TOKENS);
        let cache = self.cache_per_token.saturating_mul(pages).saturating_mul(slots);
        let work = self.work(slots);
        let fixed = self.weights.bytes.saturating_add(self.weights.copies).saturating_add(work);
        Memory {
            weights: self.weights.bytes,
            repacked: self.weights.copies,
            cache_per_token: self.cache_per_token,
            work,
            total: fixed.saturating_add(cache),
        }
    }

    /// The longest context, in tokens, with which `slots` texts fit into `bytes`: at most the model's
    /// own, and 0 when not even its weights fit.
    pub fn context_within(&self, bytes: u64, slots: usize) -> usize {
        let fixed = self.memory(0, slots).total;
        let Some(left) = bytes.checked_sub(fixed) else { return 0 };
        let per_token = self.cache_per_token.saturating_mul(slots.max(1) as u64);
        let Some(tokens) = left.checked_div(per_token) else { return self.context };
        let whole = tokens / PAGE_TOKENS * PAGE_TOKENS;
        usize::try_from(whole).unwrap_or(usize::MAX).min(self.context)
    }

    fn work(&self, slots: u64) -> u64 {
        let rows = (self.width as u64).saturating_mul(ROWS_PER_TOKEN);
        let inner = (self.inner as u64).saturating_mul(2);
        let heads = (self.heads as u64).saturating_mul(self.head_size as u64).saturating_mul(4);
        let pass = rows
            .saturating_add(inner)
            .saturating_add(heads)
            .saturating_mul(PASS_TOKENS)
            .saturating_mul(FLOAT_BYTES);
        let vocabulary = self.vocabulary as u64;
        let logits = vocabulary.saturating_mul(FLOAT_BYTES).saturating_mul(slots.saturating_mul(2));
        PROGRAM_BYTES
            .saturating_add(pass)
            .saturating_add(logits)
            .saturating_add(vocabulary.saturating_mul(TOKEN_BYTES))
            .saturating_add(self.weights.largest)
    }
}
