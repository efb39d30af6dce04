//! A judge with small weights drawn here, against a plain forward pass of each pair alone.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module, VarBuilder, linear};
use candle_transformers::models::{bert, xlm_roberta};
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use super::*;

const WIDTH: usize = 16;
const WORDS: [&str; 12] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "pause", "repos", "camion", "quai", "onze", "heures",
    "dure", "le",
];
const PASSAGES: [&str; 4] =
    ["le repos dure onze heures", "camion", "le camion quai pause", "repos repos"];

fn tokenizer() -> String {
    let vocabulary: HashMap<&str, usize> = WORDS.iter().enumerate().map(|(n, w)| (*w, n)).collect();
    let special = |id: &str, n: usize| serde_json::json!({"id": id, "ids": [n], "tokens": [id]});
    let piece = |name: &str, kind: usize| serde_json::json!({name: {"id": if kind == 0 {"A"} else {"B"}, "type_id": kind}});
    let mark =
        |id: &str, kind: usize| serde_json::json!({"SpecialToken": {"id": id, "type_id": kind}});
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [mark("[CLS]", 0), piece("Sequence", 0), mark("[SEP]", 0)],
            "pair": [mark("[CLS]", 0), piece("Sequence", 0), mark("[SEP]", 0), piece("Sequence", 1), mark("[SEP]", 1)],
            "special_tokens": {"[CLS]": special("[CLS]", 2), "[SEP]": special("[SEP]", 3)}
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    })
    .to_string()
}

fn config(kinds: usize) -> String {
    serde_json::json!({
        "vocab_size": WORDS.len(), "hidden_size": WIDTH, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 24, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": 40, "type_vocab_size": kinds, "initializer_range": 0.02,
        "layer_norm_eps": 1e-12, "pad_token_id": 0, "position_embedding_type": "absolute",
        "model_type": "bert"
    })
    .to_string()
}

/// Weights of every tensor that the network asks for.
fn weights(front: &str, kinds: usize, head: &[(&str, usize, usize)]) -> Vec<u8> {
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    let mut seed = 7_u32;
    let mut draw = |shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product::<usize>())
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    let mut add = |name: String, out: usize, into: usize| {
        tensors.insert(
            format!("{name}.weight"),
            if into == 0 { draw(&[out]) } else { draw(&[out, into]) },
        );
        if !name.ends_with("embeddings") {
            tensors.insert(format!("{name}.bias"), draw(&[out]));
        }
    };
    for (name, rows) in [("word", WORDS.len()), ("position", 40), ("token_type", kinds)] {
        add(format!("{front}.embeddings.{name}_embeddings"), rows, WIDTH);
    }
    add(format!("{front}.embeddings.LayerNorm"), WIDTH, 0);
    for layer in 0..2 {
        let at = format!("{front}.encoder.layer.{layer}");
        for part in ["query", "key", "value"] {
            add(format!("{at}.attention.self.{part}"), WIDTH, WIDTH);
        }
        add(format!("{at}.attention.output.dense"), WIDTH, WIDTH);
        add(format!("{at}.attention.output.LayerNorm"), WIDTH, 0);
        add(format!("{at}.intermediate.dense"), 24, WIDTH);
        add(format!("{at}.output.dense"), WIDTH, 24);
        add(format!("{at}.output.LayerNorm"), WIDTH, 0);
    }
    for (name, out, into) in head {
        add((*name).to_owned(), *out, *into);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    candle_core::safetensors::save(&tensors, file.path()).unwrap();
    fs::read(file.path()).unwrap()
}

fn install(folder: &Path, architecture: &str, config: &str, weights: &[u8]) {
    let mut card = format!("name = \"tiny\"\narchitecture = \"{architecture}\"\nmax_tokens = 24\n");
    let tokenizer = tokenizer();
    for (name, bytes) in
        [(CONFIG, config.as_bytes()), (TOKENIZER, tokenizer.as_bytes()), (WEIGHTS, weights)]
    {
        fs::write(folder.join(name), bytes).unwrap();
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes));
        let _ = write!(card, "[[files]]\nname = \"{name}\"\nsha256 = \"{hash}\"\n");
    }
    fs::write(folder.join(CARD_FILE), card).unwrap();
}

/// The tokens and types of one pair.
fn pair(question: &str, passage: &str) -> (Tensor, Tensor) {
    let tokenizer = Tokenizer::from_bytes(tokenizer()).unwrap();
    let encoding = tokenizer.encode((question, passage), true).unwrap();
    let row = |values: &[u32]| Tensor::new(values, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    (row(encoding.get_ids()), row(encoding.get_type_ids()))
}

fn logistic(output: &Tensor) -> f32 {
    1.0 / (1.0 + (-output.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0]).exp())
}

fn agree(judge: &Reranker, question: &str, wanted: &[f32]) {
    let scores = judge.scores(question, &PASSAGES).unwrap();
    for (score, wanted) in scores.iter().zip(wanted) {
        assert!((score - wanted).abs() < 1e-4, "{scores:?} are not {wanted:?}");
    }
    let spread = wanted.iter().fold(0.0_f32, |most, w| most.max((w - wanted[0]).abs()));
    assert!(spread > 1e-2, "the passages score alike, so nothing was shown: {wanted:?}");
    assert_eq!(scores, judge.scores(question, &PASSAGES).unwrap(), "twice the same");
    assert!(judge.unload_if_idle(Duration::ZERO) && !judge.unload_if_idle(Duration::ZERO));
    assert_eq!(scores, judge.scores(question, &PASSAGES).unwrap(), "and after a rest");
}

#[test]
fn a_bert_judge_scores_a_batch_as_each_pair_alone() {
    let head = [("bert.pooler.dense", WIDTH, WIDTH), ("classifier", 1, WIDTH)];
    let (config, weights) = (config(2), weights("bert", 2, &head));
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), "bert", &config, &weights);
    let judge = Reranker::open(folder.path()).unwrap();
    let vb = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).unwrap();
    let config: bert::Config = serde_json::from_str(&config).unwrap();
    let model = bert::BertModel::load(vb.pp("bert"), &config).unwrap();
    let pooler = linear(WIDTH, WIDTH, vb.pp("bert.pooler.dense")).unwrap();
    let classifier = linear(WIDTH, 1, vb.pp("classifier")).unwrap();
    let plain = PASSAGES.map(|passage| {
        let (ids, kinds) = pair("le repos", passage);
        let states = model.forward(&ids, &kinds, None).unwrap();
        let first = states.get_on_dim(1, 0).unwrap().contiguous().unwrap();
        let squeezed = pooler.forward(&first).unwrap().tanh().unwrap();
        logistic(&classifier.forward(&squeezed).unwrap())
    });
    agree(&judge, "le repos", &plain);
}

#[test]
fn an_xlm_r_judge_scores_a_batch_as_each_pair_alone() {
    let head = [("classifier.dense", WIDTH, WIDTH), ("classifier.out_proj", 1, WIDTH)];
    let (config, weights) = (config(1), weights("roberta", 1, &head));
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), "xlm_roberta", &config, &weights);
    let judge = Reranker::open(folder.path()).unwrap();
    let vb = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).unwrap();
    let config: xlm_roberta::Config = serde_json::from_str(&config).unwrap();
    let model = xlm_roberta::XLMRobertaForSequenceClassification::new(1, &config, vb).unwrap();
    let plain = PASSAGES.map(|passage| {
        let (ids, _) = pair("le repos", passage);
        let (mask, kinds) = (ids.ones_like().unwrap(), ids.zeros_like().unwrap());
        logistic(&model.forward(&ids, &mask, &kinds).unwrap())
    });
    agree(&judge, "le repos", &plain);
}

#[test]
fn a_judge_that_is_not_what_its_card_says_is_refused() {
    let head = [("bert.pooler.dense", WIDTH, WIDTH), ("classifier", 1, WIDTH)];
    let weights = weights("bert", 2, &head);
    let folder = tempfile::tempdir().unwrap();
    let code = || match Reranker::open(folder.path()) {
        Ok(judge) => judge.scores("le repos", &PASSAGES).map_err(|fault| fault.code).err(),
        Err(fault) => Some(fault.code),
    };
    assert_eq!(code(), Some("model_missing"));
    install(folder.path(), "bert", &config(2), &weights);
    assert_eq!(code(), None);
    let mut bad = weights.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    fs::write(folder.path().join(WEIGHTS), &bad).unwrap();
    assert_eq!(code(), Some("model_damaged"));
    // Another shape than the weights', with the right hash.
    install(folder.path(), "bert", &config(3), &weights);
    assert_eq!(code(), Some("model_damaged"));
    fs::write(folder.path().join(CARD_FILE), "name = 3").unwrap();
    assert_eq!(code(), Some("model_damaged"));
    fs::remove_file(folder.path().join(TOKENIZER)).unwrap();
    install(folder.path(), "bert", &config(2), &weights);
    fs::remove_file(folder.path().join(TOKENIZER)).unwrap();
    assert_eq!(code(), Some("model_missing"));
}
