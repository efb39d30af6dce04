//! What a model's header says of its network: its sizes, and which of the families' variations it has.

use super::super::faults::{damaged, unsupported};
use super::super::header::{Header, TensorInfo};
use crate::base::fault::Fault;

/// The most layers of a network.
const LAYERS_MAX: usize = 1024;
/// The most numbers that stand for one token between layers.
const WIDTH_MAX: usize = 1 << 16;
/// The most heads of a layer.
const HEADS_MAX: usize = 1024;
/// The most numbers of one head; attention keeps one head's sums on the stack.
pub(super) const HEAD_SIZE_MAX: usize = 512;
/// The widest inside of a feed-forward step.
const INNER_MAX: usize = 1 << 20;
/// The most experts of a layer.
const EXPERTS_MAX: usize = 1024;
/// The most tokens of a vocabulary.
const VOCABULARY_MAX: usize = 1 << 22;
/// The longest text a network is said to have learnt from, in tokens.
const CONTEXT_MAX: usize = 1 << 24;
/// What Gemma 3's files leave unsaid: of so many layers one sees the whole text.
const GEMMA3_EVERY: usize = 6;
/// The same for Gemma 2.
const GEMMA2_EVERY: usize = 2;
/// Where the turning of near positions starts in Gemma 3, unless its file says otherwise.
const LOCAL_BASE: f32 = 10_000.0;

/// Networks that are built alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "these are the families' own names")]
pub enum Family {
    /// Also Mistral, `SmolLM` and many more that are exported as llama.
    Llama,
    Qwen2,
    Qwen3,
    Phi3,
    Gemma,
    Gemma2,
    Gemma3,
    Glm4,
    Phi2,
    Qwen3Moe,
    Lfm2,
}

impl Family {
    /// The family a header names; `model_unsupported` when nothing here computes it.
    pub fn of(header: &Header) -> Result<Self, Fault> {
        let name = header.architecture().ok_or_else(|| {
            damaged("The file does not say of which family of networks its model is.")
        })?;
        Ok(match name {
            "llama" => Self::Llama,
            "qwen2" => Self::Qwen2,
            "qwen3" => Self::Qwen3,
            "phi3" => Self::Phi3,
            "gemma" => Self::Gemma,
            "gemma2" => Self::Gemma2,
            "gemma3" => Self::Gemma3,
            "glm4" => Self::Glm4,
            "phi2" => Self::Phi2,
            "qwen3moe" => Self::Qwen3Moe,
            "lfm2" => Self::Lfm2,
            _ => {
                return Err(unsupported(format!(
                    "Models of the family {name} are not computed here. llama, qwen2, qwen3, phi3, \
                     gemma, gemma2, gemma3, glm4, phi2, qwen3moe and lfm2 are."
                )));
            }
        })
    }

    /// Whether the network is candle's own, which keeps one text at a time.
    pub(super) fn is_borrowed(self) -> bool {
        matches!(self, Self::Phi2 | Self::Lfm2)
    }

    fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma | Self::Gemma2 | Self::Gemma3)
    }
}

/// Which numbers of a head are turned together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pairing {
    /// The first with the second, the third with the fourth.
    Neighbours,
    /// Each of the first half with the one at the same place of the second.
    Halves,
}

/// What bends the inside of a feed-forward step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    Silu,
    /// GELU by its approximation with tanh.
    Gelu,
}

/// Layers that see only the last tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    /// How many tokens such a layer sees, the present one included.
    pub(super) tokens: usize,
    /// One layer of so many sees the whole text; the last of each group.
    pub(super) every: usize,
    /// Where the turning of positions starts in the layers with a window.
    pub(super) base: f32,
    /// Whether that differs from the other layers' turning.
    pub(super) own_turning: bool,
}

/// A feed-forward step that asks a few of many experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experts {
    /// How many there are.
    pub count: usize,
    /// How many are asked for each token.
    pub asked: usize,
}

/// The sizes of a network, and what it does differently from its relatives.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The family it belongs to.
    pub family: Family,
    /// How many layers stand on one another.
    pub layers: usize,
    /// How many numbers stand for one token between layers.
    pub width: usize,
    /// How many heads ask.
    pub heads: usize,
    /// How many heads are asked; each answers `heads / kv_heads` others.
    pub kv_heads: usize,
    /// How many numbers a head has.
    pub head_size: usize,
    /// How wide the inside of a feed-forward step is.
    pub inner: usize,
    /// The experts of a feed-forward step that has some.
    pub experts: Option<Experts>,
    /// How many tokens there are.
    pub vocabulary: usize,
    /// The longest text the model has learnt from, in tokens.
    pub context: usize,
    /// What keeps a row of zeros from dividing by nothing.
    pub(super) epsilon: f32,
    pub(super) pairing: Pairing,
    /// How many numbers of a head are turned by their position.
    pub(super) turned: usize,
    pub(super) activation: Activation,
    pub(super) embedding_scale: f32,
    pub(super) attention_scale: f32,
    /// Scores of attention are bent so that none passes this.
    pub(super) attention_cap: Option<f32>,
    /// The same for the logits.
    pub(super) output_cap: Option<f32>,
    pub(super) window: Option<Window>,
    /// Whether what a step adds is normalised before it is added.
    pub(super) norms_after: bool,
    /// Whether queries and keys are normalised head by head.
    pub(super) norms_heads: bool,
}

impl Shape {
    /// Reads a header; `model_damaged` for sizes that cannot be, `model_unsupported` for a family or
    /// a variation that nothing here computes.
    pub fn of(header: &Header) -> Result<Self, Fault> {
        let family = Family::of(header)?;
        let sizes = Sizes { header };
        let heads = sizes.one("attention.head_count", HEADS_MAX)?;
        let kv_heads = match family {
            // It has layers without any, and says so in a list, which candle reads itself.
            Family::Lfm2 => heads,
            _ => sizes.one_or("attention.head_count_kv", HEADS_MAX, heads)?.max(1),
        };
        let width = sizes.one("embedding_length", WIDTH_MAX)?;
        let head_size = sizes.one_or("attention.key_length", HEAD_SIZE_MAX, width / heads)?;
        let value_size = sizes.one_or("attention.value_length", HEAD_SIZE_MAX, head_size)?;
        let turned = match (family, sizes.one_or("rope.dimension_count", head_size, 0)?) {
            (Family::Glm4, 0) => head_size / 2,
            (_, 0) => head_size,
            (_, turned) => turned,
        };
        if !family.is_borrowed() {
            if heads % kv_heads != 0 {
                return Err(damaged(format!("{heads} heads cannot share {kv_heads} others.")));
            }
            if head_size % 2 != 0 || turned % 2 != 0 || !(2..=HEAD_SIZE_MAX).contains(&head_size) {
                return Err(damaged(format!("A head cannot have {head_size} numbers.")));
            }
            if value_size != head_size {
                return Err(unsupported(
                    "Keys and values of different sizes are not computed here.",
                ));
            }
            if family != Family::Qwen3Moe && sizes.one_or("expert_count", INNER_MAX, 0)? > 0 {
                return Err(unsupported(
                    "This model is a mixture of experts, which is computed here for qwen3moe alone.",
                ));
            }
        }
        let vocabulary = header
            .tensor("token_embd.weight")
            .map(TensorInfo::rows)
            .and_then(|rows| usize::try_from(rows).ok())
            .filter(|rows| (1..=VOCABULARY_MAX).contains(rows))
            .ok_or_else(|| damaged("The file has no table of tokens, or one without end."))?;
        let layers = sizes.one("block_count", LAYERS_MAX)?;
        Ok(Self {
            family,
            layers,
            width,
            heads,
            kv_heads,
            head_size,
            inner: match family {
                Family::Qwen3Moe => sizes.one("expert_feed_forward_length", INNER_MAX)?,
                _ => sizes.one("feed_forward_length", INNER_MAX)?,
            },
            experts: sizes.experts(family)?,
            vocabulary,
            context: sizes.one("context_length", CONTEXT_MAX)?,
            epsilon: sizes.epsilon(family)?,
            pairing: match family {
                Family::Llama | Family::Glm4 => Pairing::Neighbours,
                _ => Pairing::Halves,
            },
            turned,
            activation: if family.is_gemma() { Activation::Gelu } else { Activation::Silu },
            embedding_scale: if family.is_gemma() { (width as f32).sqrt() } else { 1.0 },
            attention_scale: attention_scale(family, layers, width, heads, head_size),
            attention_cap: sizes.cap(family, "attn_logit_softcapping", 50.0),
            output_cap: sizes.cap(family, "final_logit_softcapping", 30.0),
            window: sizes.window(family)?,
            norms_after: matches!(family, Family::Gemma2 | Family::Gemma3 | Family::Glm4),
            norms_heads: matches!(family, Family::Qwen3 | Family::Qwen3Moe | Family::Gemma3),
        })
    }

    /// Whether a layer sees only the last tokens.
    pub(super) fn is_local(&self, layer: usize) -> bool {
        self.window.is_some_and(|window| !(layer + 1).is_multiple_of(window.every))
    }
}

/// What a product of query and key is divided by. The two largest Gemmas count the width instead of
/// the head, which their files don't say.
fn attention_scale(family: Family, layers: usize, width: usize, heads: usize, size: usize) -> f32 {
    let counts_width = match family {
        Family::Gemma2 => layers == 46,
        Family::Gemma3 => layers == 62,
        _ => false,
    };
    let counted = if counts_width { width / heads } else { size };
    1.0 / (counted as f32).sqrt()
}

/// The keys of a header that hold sizes.
struct Sizes<'a> {
    header: &'a Header,
}

#[expect(clippy::cast_possible_truncation, reason = "the files' own numbers have 32 bits")]
impl Sizes<'_> {
    fn one(&self, key: &str, most: usize) -> Result<usize, Fault> {
        match self.one_or(key, most, 0)? {
            0 => Err(damaged(format!("The file does not say {}.", self.header.own(key)))),
            size => Ok(size),
        }
    }

    fn one_or(&self, key: &str, most: usize, unsaid: usize) -> Result<usize, Fault> {
        let key = self.header.own(key);
        if !self.header.metadata.contains_key(&key) {
            return Ok(unsaid);
        }
        let Some(size) = self.header.number(&key) else {
            return Err(unsupported(format!("{key} differs from layer to layer.")));
        };
        match usize::try_from(size) {
            Ok(size) if size <= most => Ok(size),
            _ => Err(damaged(format!("{key} is {size}; no more than {most} is believed."))),
        }
    }

    fn experts(&self, family: Family) -> Result<Option<Experts>, Fault> {
        if family != Family::Qwen3Moe {
            return Ok(None);
        }
        let count = self.one("expert_count", EXPERTS_MAX)?;
        let asked = self.one("expert_used_count", count)?;
        if self.one_or("expert_shared_feed_forward_length", INNER_MAX, 0)? > 0 {
            return Err(unsupported("Experts that all tokens share are not computed here."));
        }
        Ok(Some(Experts { count, asked }))
    }

    fn epsilon(&self, family: Family) -> Result<f32, Fault> {
        let key = match family {
            Family::Phi2 => "attention.layer_norm_epsilon",
            _ => "attention.layer_norm_rms_epsilon",
        };
        let key = self.header.own(key);
        match self.header.float(&key) {
            Some(epsilon) if (0.0..1.0).contains(&epsilon) => Ok(epsilon as f32),
            _ => Err(damaged(format!("The file does not say {key}."))),
        }
    }

    fn cap(&self, family: Family, key: &str, unsaid: f32) -> Option<f32> {
        (family == Family::Gemma2)
            .then(|| self.header.float(&self.header.own(key)).map_or(unsaid, |cap| cap as f32))
    }

    fn window(&self, family: Family) -> Result<Option<Window>, Fault> {
        let (every, own_turning) = match family {
            Family::Gemma2 => (GEMMA2_EVERY, false),
            Family::Gemma3 => (GEMMA3_EVERY, true),
            _ => return Ok(None),
        };
        let tokens = self.one("attention.sliding_window", CONTEXT_MAX)?;
        let base = self.header.float(&self.header.own("rope.freq_base_swa"));
        let base = base.map_or(LOCAL_BASE, |base| base as f32);
        Ok(Some(Window { tokens, every, base, own_turning }))
    }
}
