//! Small model files with weights of noise, of each family.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use super::super::super::header::Header;
use super::super::{LoadPlan, Network};

/// The sizes of all models made here.
pub(super) const WIDTH: usize = 64;
pub(super) const HEADS: usize = 4;
pub(super) const KV_HEADS: usize = 2;
pub(super) const INNER: usize = 96;
pub(super) const VOCABULARY: usize = 260;
pub(super) const LAYERS: usize = 3;

/// A model file in the making.
pub(super) struct Forge {
    pub(super) family: &'static str,
    pub(super) head_size: usize,
    kind: GgmlDType,
    metadata: BTreeMap<String, Value>,
    /// What the file stands for, in the order it was made.
    pub(super) numbers: BTreeMap<String, Vec<f32>>,
    tensors: Vec<(String, QTensor)>,
    seed: u32,
}

impl Forge {
    /// What every family has: sizes, a table of tokens, and four matrices of attention.
    pub(super) fn new(family: &'static str, head_size: usize, kind: GgmlDType) -> Self {
        let mut forge = Self {
            family,
            head_size,
            kind,
            metadata: BTreeMap::new(),
            numbers: BTreeMap::new(),
            tensors: Vec::new(),
            seed: 41,
        };
        let text = Value::String(family.to_owned());
        forge.metadata.insert("general.architecture".to_owned(), text);
        for (key, number) in [
            ("block_count", LAYERS),
            ("embedding_length", WIDTH),
            ("feed_forward_length", INNER),
            ("attention.head_count", HEADS),
            ("attention.head_count_kv", KV_HEADS),
            ("attention.key_length", head_size),
            ("attention.value_length", head_size),
            ("rope.dimension_count", head_size),
            ("context_length", 512),
        ] {
            forge = forge.number(key, u32::try_from(number).unwrap());
        }
        forge = forge.float("attention.layer_norm_rms_epsilon", 1e-5);
        forge.weights("token_embd.weight", &[VOCABULARY, WIDTH], 1.0);
        forge.norm("output_norm.weight", WIDTH);
        forge
    }

    pub(super) fn number(mut self, key: &str, number: u32) -> Self {
        self.metadata.insert(format!("{}.{key}", self.family), Value::U32(number));
        self
    }

    pub(super) fn float(mut self, key: &str, number: f32) -> Self {
        self.metadata.insert(format!("{}.{key}", self.family), Value::F32(number));
        self
    }

    pub(super) fn text(mut self, key: &str, text: &str) -> Self {
        self.metadata.insert(format!("{}.{key}", self.family), Value::String(text.to_owned()));
        self
    }

    /// The same weights in every layer's place.
    pub(super) fn layers(mut self, make: impl Fn(&mut Self, &dyn Fn(&str) -> String)) -> Self {
        for layer in 0..LAYERS {
            make(&mut self, &|own| format!("blk.{layer}.{own}"));
        }
        self
    }

    /// Queries, keys and values apart, gate and entry apart.
    pub(super) fn usual(self) -> Self {
        let size = self.head_size;
        self.layers(|forge, name| {
            forge.norm(&name("attn_norm.weight"), WIDTH);
            forge.matrix(&name("attn_q.weight"), HEADS * size, WIDTH);
            forge.matrix(&name("attn_k.weight"), KV_HEADS * size, WIDTH);
            forge.matrix(&name("attn_v.weight"), KV_HEADS * size, WIDTH);
            forge.matrix(&name("attn_output.weight"), WIDTH, HEADS * size);
            forge.norm(&name("ffn_norm.weight"), WIDTH);
        })
    }

    pub(super) fn dense(self) -> Self {
        self.layers(|forge, name| {
            forge.matrix(&name("ffn_gate.weight"), INNER, WIDTH);
            forge.matrix(&name("ffn_up.weight"), INNER, WIDTH);
            forge.matrix(&name("ffn_down.weight"), WIDTH, INNER);
        })
    }

    fn noise(&mut self, count: usize, spread: f32) -> Vec<f32> {
        let mut next = || {
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.seed >> 8) as f32 / (1 << 24) as f32
        };
        (0..count).map(|_| (next() + next() + next() + next() - 2.0) * 1.7 * spread).collect()
    }

    pub(super) fn weights(&mut self, name: &str, dims: &[usize], spread: f32) {
        let numbers = self.noise(dims.iter().product(), spread);
        self.add(name, dims, numbers, self.kind);
    }

    pub(super) fn matrix(&mut self, name: &str, rows: usize, columns: usize) {
        self.weights(name, &[rows, columns], 1.5 / (columns as f32).sqrt());
    }

    pub(super) fn bias(&mut self, name: &str, size: usize) {
        let numbers = self.noise(size, 0.5);
        self.add(name, &[size], numbers, GgmlDType::F32);
    }

    pub(super) fn norm(&mut self, name: &str, size: usize) {
        let numbers = self.noise(size, 0.2).into_iter().map(|n| n + 1.0).collect();
        self.add(name, &[size], numbers, GgmlDType::F32);
    }

    fn add(&mut self, name: &str, dims: &[usize], numbers: Vec<f32>, kind: GgmlDType) {
        let tensor = Tensor::from_vec(numbers, dims, &Device::Cpu).unwrap();
        let tensor = QTensor::quantize(&tensor, kind).unwrap();
        let meant = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
        self.numbers.insert(name.to_owned(), meant.to_vec1().unwrap());
        self.tensors.push((name.to_owned(), tensor));
    }

    pub(super) fn file(&self) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        let metadata: Vec<_> = self.metadata.iter().map(|(key, v)| (key.as_str(), v)).collect();
        let tensors: Vec<_> = self.tensors.iter().map(|(name, t)| (name.as_str(), t)).collect();
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    pub(super) fn network(&self) -> Network {
        let mut file = self.file();
        let header = Header::read(&mut file).unwrap();
        Network::load(&mut file, &header, &LoadPlan::default()).unwrap()
    }
}

/// The family with the fewest variations.
pub(super) fn llama(kind: GgmlDType) -> Forge {
    Forge::new("llama", WIDTH / HEADS, kind).usual().dense()
}

pub(super) fn qwen2(kind: GgmlDType) -> Forge {
    let size = WIDTH / HEADS;
    Forge::new("qwen2", size, kind).float("rope.freq_base", 1e6).usual().dense().layers(
        |forge, name| {
            forge.bias(&name("attn_q.bias"), HEADS * size);
            forge.bias(&name("attn_k.bias"), KV_HEADS * size);
            forge.bias(&name("attn_v.bias"), KV_HEADS * size);
        },
    )
}

fn head_norms(forge: Forge) -> Forge {
    let size = forge.head_size;
    forge.layers(|forge, name| {
        forge.norm(&name("attn_q_norm.weight"), size);
        forge.norm(&name("attn_k_norm.weight"), size);
    })
}

fn norms_after(forge: Forge) -> Forge {
    forge.layers(|forge, name| {
        forge.norm(&name("post_attention_norm.weight"), WIDTH);
        forge.norm(&name("post_ffw_norm.weight"), WIDTH);
    })
}

pub(super) fn qwen3(kind: GgmlDType) -> Forge {
    // Its heads together are wider than what lies between its layers.
    head_norms(Forge::new("qwen3", 32, kind).float("rope.freq_base", 1e6).usual().dense())
}

pub(super) fn phi3(kind: GgmlDType) -> Forge {
    let size = WIDTH / HEADS;
    let mut forge = Forge::new("phi3", size, kind).layers(|forge, name| {
        forge.norm(&name("attn_norm.weight"), WIDTH);
        forge.matrix(&name("attn_qkv.weight"), (HEADS + 2 * KV_HEADS) * size, WIDTH);
        forge.matrix(&name("attn_output.weight"), WIDTH, HEADS * size);
        forge.norm(&name("ffn_norm.weight"), WIDTH);
        forge.matrix(&name("ffn_up.weight"), 2 * INNER, WIDTH);
        forge.matrix(&name("ffn_down.weight"), WIDTH, INNER);
    });
    forge.matrix("output.weight", VOCABULARY, WIDTH);
    forge
}

pub(super) fn glm4(kind: GgmlDType) -> Forge {
    let size = WIDTH / HEADS;
    let forge = Forge::new("glm4", size, kind)
        .number("rope.dimension_count", u32::try_from(size / 2).unwrap())
        .float("rope.freq_base", 10_000.0)
        .usual()
        .layers(|forge, name| {
            forge.matrix(&name("ffn_up.weight"), 2 * INNER, WIDTH);
            forge.matrix(&name("ffn_down.weight"), WIDTH, INNER);
            forge.bias(&name("attn_q.bias"), HEADS * size);
            forge.bias(&name("attn_k.bias"), KV_HEADS * size);
            forge.bias(&name("attn_v.bias"), KV_HEADS * size);
        });
    norms_after(forge)
}

pub(super) fn gemma2(kind: GgmlDType) -> Forge {
    let forge = Forge::new("gemma2", WIDTH / HEADS, kind)
        .number("attention.sliding_window", 7)
        .float("attn_logit_softcapping", 3.0)
        .float("final_logit_softcapping", 5.0);
    norms_after(forge.usual().dense())
}

pub(super) fn gemma3(kind: GgmlDType) -> Forge {
    let forge = Forge::new("gemma3", 32, kind)
        .number("attention.sliding_window", 7)
        .float("rope.freq_base", 1e6)
        .float("rope.scaling.factor", 8.0)
        .text("rope.scaling.type", "linear");
    norms_after(head_norms(forge.usual().dense()))
}

/// Experts of a mixture, and how many a token asks.
pub(super) const EXPERTS: (usize, usize) = (6, 2);

pub(super) fn qwen3moe(kind: GgmlDType) -> Forge {
    let number = |n: usize| u32::try_from(n).unwrap();
    let forge = Forge::new("qwen3moe", 32, kind)
        .number("expert_count", number(EXPERTS.0))
        .number("expert_used_count", number(EXPERTS.1))
        .number("expert_feed_forward_length", number(INNER))
        .usual()
        .layers(|forge, name| {
            forge.matrix(&name("ffn_gate_inp.weight"), EXPERTS.0, WIDTH);
            forge.weights(&name("ffn_gate_exps.weight"), &[EXPERTS.0, INNER, WIDTH], 0.2);
            forge.weights(&name("ffn_up_exps.weight"), &[EXPERTS.0, INNER, WIDTH], 0.2);
            forge.weights(&name("ffn_down_exps.weight"), &[EXPERTS.0, WIDTH, INNER], 0.2);
        });
    head_norms(forge)
}

/// A family whose network is borrowed.
pub(super) fn phi2(kind: GgmlDType) -> Forge {
    let size = WIDTH / HEADS;
    let mut forge = Forge::new("phi2", size, kind)
        .number("attention.head_count_kv", u32::try_from(HEADS).unwrap())
        .float("attention.layer_norm_epsilon", 1e-5)
        .layers(|forge, name| {
            forge.norm(&name("attn_norm.weight"), WIDTH);
            forge.bias(&name("attn_norm.bias"), WIDTH);
            for (own, rows, columns) in [
                ("attn_qkv", 3 * HEADS * size, WIDTH),
                ("attn_output", WIDTH, HEADS * size),
                ("ffn_up", INNER, WIDTH),
                ("ffn_down", WIDTH, INNER),
            ] {
                forge.matrix(&name(&format!("{own}.weight")), rows, columns);
                forge.bias(&name(&format!("{own}.bias")), rows);
            }
        });
    forge.bias("output_norm.bias", WIDTH);
    forge.matrix("output.weight", VOCABULARY, WIDTH);
    forge.bias("output.bias", VOCABULARY);
    forge
}
