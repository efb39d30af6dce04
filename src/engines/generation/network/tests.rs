//! Networks that compute what they should, with real weights and with made ones.

use std::fs::File;
use std::path::PathBuf;

use super::super::header::Header;
use super::{LoadPlan, Network, Part};

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

/// What an independent implementation in 32-bit numbers writes from Q8_0 weights.
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
