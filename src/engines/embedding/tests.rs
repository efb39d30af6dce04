//! The encoder against vectors that the reference implementation made.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    text: String,
    ids: Vec<u32>,
    embedding: Vec<f32>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn model() -> PathBuf {
    root().join("models/all-minilm-l6-v2")
}

fn golden() -> Vec<Golden> {
    let all = root().join("../shared/data/minilm-golden.json");
    let own = root().join("tests/golden/minilm.json");
    let bytes = std::fs::read(all).or_else(|_| std::fs::read(own)).expect("a golden file");
    serde_json::from_slice(&bytes).expect("golden vectors")
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The files are fetched by `make`; without them only the refusals can be tested.
fn open() -> Option<Embedder> {
    match Embedder::open(&model()) {
        Ok(embedder) => Some(embedder),
        Err(fault) if fault.code == "model_missing" => None,
        Err(fault) => panic!("{fault}"),
    }
}

#[test]
fn vectors_are_those_of_the_reference() {
    let Some(embedder) = open() else { return };
    let golden = golden();
    for one in &golden {
        assert_eq!(embedder.tokens(&one.text).expect("tokens"), one.ids, "{:?}", one.text);
    }
    let texts: Vec<&str> = golden.iter().map(|g| g.text.as_str()).collect();
    let together = embedder.embed(&texts).expect("a batch");
    for (one, vector) in golden.iter().zip(&together) {
        let cosine = dot(&one.embedding, vector);
        assert!(cosine > 0.9999, "{:?}: {cosine}", one.text);
        let alone = embedder.embed(&[&one.text]).expect("one text");
        let cosine = dot(&alone[0], vector);
        assert!(cosine > 0.999_99, "alone or in a batch, {:?}: {cosine}", one.text);
    }
    assert!(embedder.loaded());
    assert!(embedder.unload_if_idle(Duration::ZERO));
    assert!(!embedder.loaded());
    assert_eq!(embedder.embed(&["encore"]).expect("loaded again").len(), 1);
}

#[test]
fn a_model_that_is_not_what_its_card_says_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let code = || Embedder::open(folder.path()).err().map(|f| f.code);
    assert_eq!(code(), Some("model_missing"), "no card");
    let card = std::fs::read_to_string(model().join("card.toml")).expect("the card");
    std::fs::write(folder.path().join("card.toml"), &card).expect("written");
    assert_eq!(code(), Some("model_missing"), "no files");
    std::fs::write(folder.path().join("config.json"), "{}").expect("written");
    assert_eq!(code(), Some("model_damaged"), "wrong length");
    std::fs::write(folder.path().join("config.json"), vec![b' '; 612]).expect("written");
    assert_eq!(code(), Some("model_damaged"), "wrong bytes");
    let outside = card.replace("\"config.json\"", "\"../config.json\"");
    std::fs::write(folder.path().join("card.toml"), outside).expect("written");
    assert_eq!(code(), Some("model_damaged"), "a path out of the folder");
}
