//! Networks that compute what they should, with real weights and with made ones.

mod forge;
mod plain;

use std::fs::File;
use std::path::PathBuf;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device, Tensor};
use candle_transformers::models::{
    quantized_glm4, quantized_llama, quantized_phi3, quantized_qwen2, quantized_qwen3,
};

use super::super::header::Header;
use super::{Cache, LoadPlan, Network, Part};
use forge::{Forge, VOCABULARY};

/// A file of the shared test data; none, with the reason printed, where it is not there.
fn shared(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("ILOT_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = folder.join("data").join(name);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn open(path: &std::path::Path) -> Network {
    let mut file = File::open(path).unwrap();
    let header = Header::read(&mut file).unwrap();
    Network::load(&mut file, &header, &LoadPlan::default()).unwrap()
}

fn top(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (at, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = at;
        }
    }
    u32::try_from(best).unwrap()
}

/// What the network writes behind a text, always the likeliest token.
fn greedy(network: &Network, start: &[u32], count: usize) -> (f32, Vec<u32>) {
    let mut cache = network.new_cache();
    let mut parts = [Part { tokens: start, cache: &mut cache, logits: true }];
    let mut logits = network.forward(&mut parts).unwrap().remove(0);
    let first = logits[top(&logits) as usize];
    let mut written = vec![top(&logits)];
    while written.len() < count {
        let tokens = [written[written.len() - 1]];
        let mut parts = [Part { tokens: &tokens, cache: &mut cache, logits: true }];
        logits = network.forward(&mut parts).unwrap().remove(0);
        written.push(top(&logits));
    }
    (first, written)
}

#[expect(clippy::cast_possible_truncation, reason = "the comparison has a bound far above it")]
fn narrow(number: f64) -> f32 {
    number as f32
}

/// "Once upon a time".
const START: [u32; 5] = [1, 403, 407, 261, 378];

#[test]
fn a_real_model_writes_its_story() {
    for (name, first, story) in [
        ("stories260K-f16.gguf", 17.7979, STORY_F16),
        ("stories260K-q8_0.gguf", 17.7997, STORY_Q8_0),
        ("stories260K-q8_0-bpe.gguf", 17.7997, STORY_Q8_0),
    ] {
        let Some(path) = shared(name) else { return };
        let network = open(&path);
        let (top, written) = greedy(&network, &START, story.len());
        println!("{name}: {top}");
        assert!((top - first).abs() < 0.02, "{name}: the first logit is {top}, not {first}");
        assert_eq!(written, story, "{name}");
    }
}

/// A text of so many tokens, the same each time.
fn text(count: usize) -> Vec<u32> {
    (0..count).map(|n| u32::try_from(n * n * 31 % 257 + 1).unwrap()).collect()
}

fn read(network: &Network, cache: &mut Cache, tokens: &[u32]) -> Vec<f32> {
    network.forward(&mut [Part { tokens, cache, logits: true }]).unwrap().remove(0)
}

fn apart(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Compares a network with one of candle's over a prompt and fifty tokens written greedily.
fn compare(name: &str, forge: &Forge, mut rival: impl FnMut(&Tensor, usize) -> Tensor) {
    let network = forge.network();
    let mut cache = network.new_cache();
    let mut tokens = text(37);
    let mut at = 0;
    let mut written = Vec::new();
    let mut most = 0.0f32;
    for _ in 0..50 {
        let input = Tensor::new(tokens.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let theirs: Vec<f32> = rival(&input, at).flatten_all().unwrap().to_vec1().unwrap();
        let ours = read(&network, &mut cache, &tokens);
        let size = theirs.iter().fold(0.0f32, |size, logit| size.max(logit.abs()));
        most = most.max(apart(&ours, &theirs) / size);
        assert_eq!(top(&ours), top(&theirs), "{name}, after {written:?}");
        at += tokens.len();
        tokens = vec![top(&ours)];
        written.push(top(&ours));
    }
    println!("{name}: at most {most} of the largest logit apart");
    // Keys and values are remembered in 16 bits here, in 32 there.
    assert!(most < 0.003, "{name}: logits are {most} of the largest apart");
}

#[test]
fn families_compute_what_candle_computes() {
    let device = Device::Cpu;
    let open = |forge: &Forge| {
        let mut file = forge.file();
        let content = Content::read(&mut file).unwrap();
        (content, file)
    };
    let forge = forge::llama(GgmlDType::F32);
    let (content, mut file) = open(&forge);
    let mut rival = quantized_llama::ModelWeights::from_gguf(content, &mut file, &device).unwrap();
    compare("llama", &forge, |x, at| rival.forward(x, at).unwrap());
    let forge = forge::qwen2(GgmlDType::F32);
    let (content, mut file) = open(&forge);
    let mut rival = quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &device).unwrap();
    compare("qwen2", &forge, |x, at| rival.forward(x, at).unwrap());
    let forge = forge::qwen3(GgmlDType::F32);
    let (content, mut file) = open(&forge);
    let mut rival = quantized_qwen3::ModelWeights::from_gguf(content, &mut file, &device).unwrap();
    compare("qwen3", &forge, |x, at| rival.forward(x, at).unwrap());
    let forge = forge::phi3(GgmlDType::F32);
    let (content, mut file) = open(&forge);
    let mut rival =
        quantized_phi3::ModelWeights::from_gguf(false, content, &mut file, &device).unwrap();
    compare("phi3", &forge, |x, at| rival.forward(x, at).unwrap());
    let forge = forge::glm4(GgmlDType::F32);
    let (content, mut file) = open(&forge);
    let mut rival =
        quantized_glm4::ModelWeights::from_gguf(content, &mut file, &device, DType::F32).unwrap();
    compare("glm4", &forge, |x, at| rival.forward(x, at).unwrap());
}

#[test]
fn a_borrowed_network_takes_up_whichever_text_comes() {
    let network = forge::phi2(GgmlDType::F32).network();
    let (mut one, mut other) = (network.new_cache(), network.new_cache());
    read(&network, &mut one, &text(9));
    read(&network, &mut other, &[4, 5, 6]);
    // The first text is read again from its start, since the second one came between.
    let between = read(&network, &mut one, &[7]);
    let longer = read(&network, &mut one, &[8]);
    let mut fresh = network.new_cache();
    let whole: Vec<u32> = text(9).into_iter().chain([7]).collect();
    assert!(apart(&read(&network, &mut fresh, &whole), &between) < 1e-3);
    assert!(apart(&read(&network, &mut fresh, &[8]), &longer) < 1e-3);
    assert_eq!((one.len(), other.len()), (11, 3));
    assert!(!one.truncate(5) && one.fork(5).is_none());
    one.clear();
    assert!(apart(&read(&network, &mut one, &whole), &between) < 1e-3);
}

#[test]
fn families_compute_what_is_written_down_plainly() {
    for forge in [
        forge::gemma2(GgmlDType::F32),
        forge::gemma3(GgmlDType::F32),
        forge::qwen3moe(GgmlDType::F32),
    ] {
        let network = forge.network();
        let mut cache = network.new_cache();
        for tokens in text(24).chunks(19) {
            let ours = read(&network, &mut cache, tokens);
            let plain = plain::logits(&forge, &text(24)[..cache.len()]);
            let theirs: Vec<f32> = plain.into_iter().map(narrow).collect();
            let apart = apart(&ours, &theirs);
            println!("{}: {apart} apart", forge.family);
            assert!(apart < 0.03, "{}: logits are {apart} apart", forge.family);
        }
    }
}

#[test]
fn texts_in_one_pass_come_out_as_alone() {
    for kind in [GgmlDType::F32, GgmlDType::Q8_0] {
        let network = forge::llama(kind).network();
        let texts = [text(70), text(5), text(131)];
        let mut caches: Vec<Cache> = texts.iter().map(|_| network.new_cache()).collect();
        // The middle one has begun before.
        read(&network, &mut caches[1], &[9, 8, 7]);
        let mut parts: Vec<Part> = texts
            .iter()
            .zip(&mut caches)
            .map(|(tokens, cache)| Part { tokens, cache, logits: true })
            .collect();
        let together = network.forward(&mut parts).unwrap();
        assert_eq!(together.len(), 3);
        for ((at, tokens), together) in texts.iter().enumerate().zip(&together) {
            let mut cache = network.new_cache();
            if at == 1 {
                read(&network, &mut cache, &[9, 8, 7]);
            }
            let alone = read(&network, &mut cache, tokens);
            assert!(apart(&alone, together) < 1e-3, "text {at}: {}", apart(&alone, together));
            assert_eq!(cache.len(), caches[at].len());
        }
    }
}

#[test]
fn a_text_in_pieces_comes_out_as_whole() {
    let network = forge::qwen3(GgmlDType::F32).network();
    // Longer than one pass, and than several pages.
    let tokens = text(300);
    let whole = read(&network, &mut network.new_cache(), &tokens);
    for size in [1, 63, 64, 65, 200] {
        let mut cache = network.new_cache();
        let mut last = Vec::new();
        for piece in tokens.chunks(size) {
            last = read(&network, &mut cache, piece);
        }
        assert!(apart(&whole, &last) < 1e-3, "pieces of {size}: {}", apart(&whole, &last));
    }
}

#[test]
fn what_was_cut_back_or_forked_goes_on_as_if_it_were_new() {
    let network = forge::qwen2(GgmlDType::F32).network();
    let tokens = text(150);
    for len in [0, 1, 64, 100, 128, 149] {
        let mut fresh = network.new_cache();
        if len > 0 {
            read(&network, &mut fresh, &tokens[..len]);
        }
        let fresh = read(&network, &mut fresh, &[5, 6, 7]);
        let mut first = network.new_cache();
        let before = read(&network, &mut first, &tokens);
        let mut fork = first.fork(len).unwrap();
        assert_eq!(fork.len(), len);
        assert!(apart(&read(&network, &mut fork, &[5, 6, 7]), &fresh) < 1e-3, "fork at {len}");
        // The one that was forked remembers what it did, pages shared with the fork included.
        assert!(first.truncate(tokens.len() - 1));
        let again = read(&network, &mut first, &tokens[tokens.len() - 1..]);
        assert!(apart(&again, &before) < 1e-3, "the first text after a fork at {len}");
        assert!(first.truncate(len));
        assert_eq!(first.len(), len);
        assert!(apart(&read(&network, &mut first, &[5, 6, 7]), &fresh) < 1e-3, "cut at {len}");
    }
    assert!(network.new_cache().fork(1).is_none());
}

#[test]
fn what_cannot_be_computed_is_refused_by_name() {
    let network = forge::llama(GgmlDType::F32).network();
    let mut cache = network.new_cache();
    let mut refused = |tokens: &[u32]| {
        let parts = &mut [Part { tokens, cache: &mut cache, logits: true }];
        network.forward(parts).unwrap_err().code
    };
    assert_eq!(refused(&text(513)), "prompt_too_large");
    assert_eq!(refused(&[u32::try_from(VOCABULARY).unwrap()]), "internal");
    assert!(cache.is_empty());
    let load = |forge: Forge| {
        let mut file = forge.file();
        let header = Header::read(&mut file).unwrap();
        Network::load(&mut file, &header, &LoadPlan::default()).err().map(|fault| fault.code)
    };
    let llama = || forge::llama(GgmlDType::F32);
    assert_eq!(load(llama()), None);
    assert_eq!(
        load(llama().text("rope.scaling.type", "yarn").float("rope.scaling.factor", 4.0)),
        None
    );
    assert_eq!(load(llama().text("rope.scaling.type", "spiral")), Some("model_unsupported"));
    assert_eq!(load(llama().number("expert_count", 8)), Some("model_unsupported"));
    assert_eq!(load(llama().number("attention.value_length", 8)), Some("model_unsupported"));
    for (key, number) in [
        ("attention.head_count", 0),
        ("attention.head_count", u32::MAX),
        ("attention.head_count_kv", 3),
        ("attention.key_length", 15),
        ("rope.dimension_count", 17),
        ("block_count", 4),
        ("block_count", u32::MAX),
        ("embedding_length", 65),
        ("feed_forward_length", 128),
        ("context_length", 0),
    ] {
        assert_eq!(load(llama().number(key, number)), Some("model_damaged"), "{key} = {number}");
    }
}

/// What an independent implementation in 32-bit numbers writes from F16 weights.
#[rustfmt::skip]
const STORY_F16: &[u32] = &[
    432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337, 410, 408, 419,
    292, 411, 322, 265, 282, 295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432, 352, 266, 268,
    388, 426, 338, 391, 266, 267, 337, 335, 312, 432, 398, 312, 286, 267, 414, 270, 333, 415, 426,
    13, 438, 310, 439, 419, 357, 336, 432, 313, 438, 310, 432, 278, 316, 439, 419, 298, 414, 267,
    265, 282, 295, 433, 426, 436, 317, 286, 296, 418, 269, 279, 292, 416, 439, 413, 409, 416, 327,
    263, 415, 294, 267, 400, 426, 338, 336, 432, 313, 442, 391, 267, 337, 335, 364, 420, 268, 388,
    432, 398, 359, 280, 303, 439, 413, 272, 417, 264, 312, 426, 436, 13, 438, 310, 286, 296, 418,
    269, 279, 292, 416, 439, 413, 409, 416, 327, 263, 415, 294, 267, 400, 426, 338, 336, 432, 313,
    442, 439, 423, 262, 304, 420, 422, 432, 317, 426, 359, 279, 292, 416, 439, 413, 409, 416, 327,
    263, 415, 294, 267, 400, 426, 436, 13, 438, 310, 279, 292, 416, 439, 413, 391, 267, 281, 421,
    427, 311, 357, 432, 384, 358, 336, 432, 313, 442,
];

/// What an independent implementation in 32-bit numbers writes from `Q8_0` weights.
#[rustfmt::skip]
const STORY_Q8_0: &[u32] = &[
    432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337, 410, 408, 419,
    292, 411, 322, 265, 282, 295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432, 352, 266, 268,
    388, 426, 338, 391, 266, 267, 337, 335, 312, 432, 398, 312, 286, 267, 414, 270, 333, 415, 426,
    13, 438, 310, 439, 419, 357, 336, 432, 313, 438, 310, 432, 278, 316, 439, 419, 298, 414, 267,
    265, 282, 295, 433, 426, 436, 317, 286, 296, 418, 269, 279, 292, 416, 439, 413, 409, 416, 327,
    263, 415, 294, 267, 400, 426, 338, 336, 432, 313, 442, 391, 267, 337, 335, 284, 422, 268, 388,
    426, 436, 320, 285, 357, 336, 432, 313, 442, 391, 267, 337, 335, 364, 432, 317, 426, 410, 448,
    411, 280, 303, 439, 413, 272, 417, 264, 312, 426, 436, 13, 438, 310, 286, 296, 418, 269, 279,
    292, 416, 439, 413, 409, 416, 327, 263, 415, 294, 267, 400, 426, 338, 336, 432, 313, 442, 439,
    423, 262, 304, 420, 422, 432, 317, 426, 359, 279, 292, 416, 439, 413, 409, 416, 327, 263, 415,
    294, 267, 400, 426, 436, 320, 285, 357, 336, 432,
];
