//! A language model's card: what its file says it is, whether this box runs it, and what that takes.

mod memory;
mod summary;
#[cfg(test)]
mod tests;

pub use memory::{Memory, wide_kernels};
use serde::{Deserialize, Serialize};

use self::memory::Weights;
use super::header::Header;
use super::pretokens;
use super::template::{self, TemplateKind};

/// Families of networks this box computes, as files name them.
pub const FAMILIES: [&str; 11] = [
    "llama", "qwen2", "qwen3", "phi3", "gemma", "gemma2", "gemma3", "glm4", "phi2", "qwen3moe",
    "lfm2",
];
/// The most bytes of a `tokenizer.json`, and of what lies beside it.
pub(super) const TOKENIZER_BYTES_MAX: u64 = 64 << 20;
/// Families that candle's own networks compute, one text at a time.
const BORROWED: [&str; 3] = ["phi2", "qwen3moe", "lfm2"];
/// The one family whose mixtures of experts are computed.
const OF_EXPERTS: &str = "qwen3moe";
/// Nobody reads more of a name or a licence than so many characters.
const WORDS_CHARS_MAX: usize = 200;

/// How texts become tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TokenizerKind {
    /// Merged bytes.
    Bytes {
        /// How the file says texts are cut before.
        cutting: String,
        /// Whether that way is known here; another one is taken instead.
        known: bool,
    },
    /// Scored pieces (`SentencePiece`).
    Pieces,
    /// A `tokenizer.json` beside the file.
    Beside,
    /// There is none.
    Missing,
    /// A kind that is not read here.
    Unread {
        /// The file's name for it.
        name: String,
    },
}

/// How well this box's processor and a file's weights go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speed {
    /// The weights are multiplied as the file has them.
    Fast,
    /// They are laid out anew when the model is loaded, and take more memory than the file.
    Repacked,
    /// They are large, or nothing here multiplies them quickly.
    Slow,
}

/// What a model's file says of it, in numbers and words for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The model's name, as its file has it.
    pub name: String,
    /// The name for people.
    pub title: String,
    /// The family of networks, for instance `qwen3`.
    pub architecture: String,
    /// How the weights are written down, for instance `Q4_K_M: 74 % Q4_K, 26 % Q6_K`.
    pub quantisation: String,
    /// How many weights there are.
    pub parameters: u64,
    /// How long the file is.
    pub file_bytes: u64,
    /// The longest text the model learnt from, in tokens.
    pub context: usize,
    /// Layers of the network.
    pub layers: usize,
    /// Numbers that stand for one token between layers.
    pub width: usize,
    /// Numbers inside a feed-forward step.
    pub inner: usize,
    /// Heads that ask.
    pub heads: usize,
    /// Heads that are asked, in most layers.
    pub kv_heads: usize,
    /// Numbers of a head.
    pub head_size: usize,
    /// How many tokens there are.
    pub vocabulary: usize,
    /// How texts become tokens.
    pub tokenizer: TokenizerKind,
    /// Whether the model brings its own chat template.
    pub has_template: bool,
    /// Where the chat template is from.
    pub template: TemplateKind,
    /// The licence, as the file or the folder's `card.toml` says.
    pub licence: Option<String>,
    /// Where the model is from, likewise.
    pub source: Option<String>,
    /// How well this processor and the weights go together.
    pub speed: Speed,
    /// Sentences for who chooses: why it is slow, why it does not run, what is missing.
    pub note: String,
    /// Whether this box runs it; `note` says why not.
    pub runnable: bool,
    /// What is kept of each token of a text, in bytes.
    pub cache_per_token: u64,
    /// What the weights take; see [`Card::memory`].
    pub(super) weights: Weights,
}

impl Card {
    /// The card of a file; `tokenizer_json` tells whether one lies beside it.
    pub fn of(header: &Header, tokenizer_json: bool) -> Self {
        Self::on(header, tokenizer_json, wide_kernels())
    }

    /// The same on a processor with or without the kernels for wide registers.
    fn on(header: &Header, tokenizer_json: bool, wide: bool) -> Self {
        let architecture = header.architecture().unwrap_or("unknown").to_owned();
        let size = |key: &str| number(header, &header.own(key));
        let (width, heads) = (size("embedding_length"), size("attention.head_count"));
        let kv_heads = match size("attention.head_count_kv") {
            0 => heads,
            kv_heads => kv_heads,
        };
        let head_size = match size("attention.key_length") {
            0 => width.checked_div(heads).unwrap_or_default(),
            size => size,
        };
        let layers = size("block_count");
        let own_template = header.text("tokenizer.chat_template").is_some();
        let borrowed = BORROWED.contains(&architecture.as_str());
        let (speed, why) = summary::speed(header, borrowed, wide);
        let tokenizer = tokenizer(header, tokenizer_json);
        let refusal = refusal(header, &architecture, &tokenizer);
        let title = summary::title(header, &architecture);
        let mut card = Self {
            name: words(header, &["general.basename", "general.name"])
                .unwrap_or_else(|| title.clone()),
            title,
            quantisation: summary::quantisation(header),
            parameters: header.tensors.iter().map(super::header::TensorInfo::weights).sum(),
            file_bytes: header.file_bytes,
            context: size("context_length"),
            layers,
            width,
            inner: size("feed_forward_length"),
            heads,
            kv_heads,
            head_size,
            vocabulary: header
                .tensor("token_embd.weight")
                .map_or(0, |table| usize::try_from(table.rows()).unwrap_or(usize::MAX)),
            has_template: own_template,
            template: template::kind(header, own_template),
            licence: words(header, &["general.license.name", "general.license"]),
            source: words(
                header,
                &[
                    "general.source.url",
                    "general.source.huggingface.repository",
                    "general.repo_url",
                    "general.url",
                    "general.base_model.0.repo_url",
                ],
            ),
            speed,
            note: String::new(),
            runnable: refusal.is_none(),
            cache_per_token: memory::cache_per_token(header, layers, kv_heads, head_size),
            weights: Weights::of(header, borrowed, wide),
            tokenizer,
            architecture,
        };
        for sentence in [refusal, why, card.about_words()].into_iter().flatten() {
            card.remark(&sentence);
        }
        card
    }

    /// Adds a sentence to the note.
    pub fn remark(&mut self, sentence: &str) {
        if !self.note.is_empty() {
            self.note.push(' ');
        }
        self.note.push_str(sentence);
    }

    /// Says that this box does not run the model, and why.
    pub fn refuse(&mut self, sentence: &str) {
        self.runnable = false;
        self.remark(sentence);
    }

    /// What is to be known of the vocabulary and the template.
    fn about_words(&self) -> Option<String> {
        let cutting = match &self.tokenizer {
            TokenizerKind::Bytes { cutting, known: false } if cutting.is_empty() => Some(
                "The file does not say how texts are cut into words; a usual way is taken."
                    .to_owned(),
            ),
            TokenizerKind::Bytes { cutting, known: false } => Some(format!(
                "Texts are cut into words in the way '{cutting}', which is not known here; a usual \
                 one is taken."
            )),
            _ => None,
        };
        let template = (!self.has_template).then(|| match self.template {
            TemplateKind::Plain => {
                "The model brings no chat template and no marks for turns: it may only go on from \
                 texts, and not converse."
                    .to_owned()
            }
            kind => format!(
                "The model brings no chat template; one that fits its marks is taken ({}).",
                kind.word()
            ),
        });
        match (cutting, template) {
            (Some(one), Some(other)) => Some(format!("{one} {other}")),
            (one, other) => one.or(other),
        }
    }
}

/// Why this box does not run a model, as far as its header tells.
fn refusal(header: &Header, architecture: &str, tokenizer: &TokenizerKind) -> Option<String> {
    if !FAMILIES.contains(&architecture) {
        return Some(format!(
            "Models of the family '{architecture}' are not computed here; {} are.",
            FAMILIES.join(", ")
        ));
    }
    if architecture != OF_EXPERTS && number(header, &header.own("expert_count")) > 0 {
        return Some(format!(
            "The model is a mixture of experts, which is computed here for {OF_EXPERTS} alone."
        ));
    }
    if header.tensor("token_embd.weight").is_none() {
        return Some("The file has no table of tokens: it holds no whole network.".to_owned());
    }
    match tokenizer {
        TokenizerKind::Missing => {
            Some("The file has no vocabulary, and no tokenizer.json is beside it.".to_owned())
        }
        TokenizerKind::Unread { name } => {
            Some(format!("Vocabularies of the kind '{name}' are not read here."))
        }
        _ => None,
    }
}

fn tokenizer(header: &Header, beside: bool) -> TokenizerKind {
    if beside {
        return TokenizerKind::Beside;
    }
    match header.text("tokenizer.ggml.model") {
        None => TokenizerKind::Missing,
        Some("llama") => TokenizerKind::Pieces,
        Some("gpt2") => {
            let name = header.text("tokenizer.ggml.pre");
            let (_, known) = pretokens::cutting(name);
            TokenizerKind::Bytes { cutting: clipped(name.unwrap_or_default()), known }
        }
        Some(other) => TokenizerKind::Unread { name: clipped(other) },
    }
}

/// A size in the header: of a list with one for each layer, the largest.
fn number(header: &Header, key: &str) -> usize {
    let one = header.number(key);
    let number = one.or_else(|| header.numbers(key)?.into_iter().max()).unwrap_or_default();
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The first of these keys that says something.
fn words(header: &Header, keys: &[&str]) -> Option<String> {
    keys.iter().filter_map(|key| header.text(key)).map(clipped).find(|text| !text.is_empty())
}

/// A text of the file for people's eyes: one line, not too long.
pub(super) fn clipped(text: &str) -> String {
    let line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_CHARS_MAX).collect();
    line.trim().to_owned()
}
