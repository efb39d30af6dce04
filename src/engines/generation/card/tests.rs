//! Cards of files that are there, and of files that could be.

use std::io::Cursor;

use super::super::header::forge::Forge;
use super::super::header::tests::shared;
use super::*;

/// The codes of kinds, as files have them.
const F16: u32 = 1;
const Q4_0: u32 = 2;
const Q3_K: u32 = 11;
const Q4_K: u32 = 12;

fn sized(architecture: &str) -> Forge {
    let own = |key: &str| format!("{architecture}.{key}");
    Forge::new(architecture)
        .number(&own("context_length"), 4096)
        .number(&own("block_count"), 2)
        .number(&own("embedding_length"), 256)
        .number(&own("feed_forward_length"), 768)
        .number(&own("attention.head_count"), 8)
        .number(&own("attention.head_count_kv"), 2)
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "qwen2")
        .text("tokenizer.chat_template", "{{ messages }}")
}

fn with_weights(architecture: &str, kind: u32, bytes: usize) -> Header {
    sized(architecture).tensor("token_embd.weight", &[256, 512], kind, bytes).header()
}

#[test]
fn a_card_says_what_the_file_says() {
    let header = with_weights("qwen3", Q4_K, 512 * 144);
    let card = Card::on(&header, false, true);
    assert_eq!((card.layers, card.width, card.inner), (2, 256, 768));
    assert_eq!((card.heads, card.kv_heads, card.head_size), (8, 2, 32));
    assert_eq!((card.context, card.vocabulary), (4096, 512));
    assert_eq!((card.parameters, card.quantisation.as_str()), (256 * 512, "Q4_K"));
    assert_eq!((card.speed, card.runnable, card.note.as_str()), (Speed::Fast, true, ""));
    assert_eq!(card.title, "qwen3");
    assert!(card.has_template && card.template == TemplateKind::Own);
    let json = serde_json::to_string(&card).unwrap();
    assert_eq!(serde_json::from_str::<Card>(&json).unwrap(), card);
    assert!(
        json.contains(r#""tokenizer":{"kind":"bytes","cutting":"qwen2","known":true}"#),
        "{json}"
    );
}

#[test]
fn memory_is_counted_as_it_is_laid_out() {
    let header = with_weights("qwen3", Q4_K, 512 * 144);
    let card = Card::on(&header, false, true);
    let none = card.memory(0, 1);
    // 2 layers x 2 heads x 32 numbers x key and value x 2 bytes.
    assert_eq!((none.weights, none.repacked, none.cache_per_token), (81_920, 0, 512));
    assert_eq!(none.total, none.weights + none.work);
    let two = card.memory(1000, 2);
    assert_eq!(two.total, two.weights + two.work + 512 * 1024 * 2);
    assert_eq!(card.context_within(none.total - 1, 1), 0);
    assert_eq!(card.context_within(none.total + 512 * 130, 1), 128);
    assert_eq!(card.context_within(u64::MAX, 1), 4096);
    for (bytes, slots) in [(90 << 20, 1), (90 << 20, 3), (70 << 20, 1), (1 << 40, 8)] {
        let context = card.context_within(bytes, slots);
        assert!(context == 0 || card.memory(context, slots).total <= bytes);
    }
    let by_candle = Card::on(&header, false, false).memory(0, 1);
    assert_eq!((by_candle.weights, by_candle.repacked), (512 * 144, 256 * 512 * 2));
    assert!(card.memory(usize::MAX, usize::MAX).total > 1 << 60);
}

#[test]
fn speed_has_its_reason() {
    let speed = |architecture, kind, bytes, wide| {
        let card = Card::on(&with_weights(architecture, kind, bytes), false, wide);
        println!("{:?}: {}", card.speed, card.note);
        (card.speed, card.note.is_empty())
    };
    assert_eq!(speed("llama", Q4_K, 512 * 144, true), (Speed::Fast, true));
    assert_eq!(speed("llama", Q4_0, 256 * 512 / 32 * 18, true), (Speed::Fast, true));
    assert_eq!(speed("llama", Q3_K, 512 * 110, true), (Speed::Repacked, false));
    assert_eq!(speed("llama", F16, 256 * 512 * 2, true), (Speed::Slow, false));
    assert_eq!(speed("llama", Q4_K, 512 * 144, false), (Speed::Repacked, false));
    assert_eq!(speed("llama", Q4_0, 256 * 512 / 32 * 18, false), (Speed::Slow, false));
    assert_eq!(speed("phi2", Q4_0, 256 * 512 / 32 * 18, true), (Speed::Slow, false));
}

#[test]
fn what_does_not_run_says_why() {
    let why = |header: &Header, beside| {
        let card = Card::on(header, beside, true);
        assert!(!card.runnable, "{card:?}");
        card.note
    };
    assert!(why(&with_weights("mamba", Q4_K, 512 * 144), false).contains("'mamba'"));
    let experts = sized("llama").number("llama.expert_count", 8).tensor(
        "token_embd.weight",
        &[256, 512],
        Q4_K,
        512 * 144,
    );
    assert!(why(&experts.header(), false).contains("mixture of experts"));
    assert!(why(&sized("llama").header(), false).contains("no table of tokens"));
    let bare = Forge::new("llama").tensor("token_embd.weight", &[256, 512], Q4_K, 512 * 144);
    assert!(why(&bare.header(), false).contains("no vocabulary"));
    assert!(Card::on(&bare.header(), true, true).runnable);
    let bert = bare.text("tokenizer.ggml.model", "bert");
    assert!(why(&bert.header(), false).contains("'bert'"));
}

#[test]
fn words_of_a_file_are_fit_for_a_page() {
    let long = format!("Name\nwith\u{7} lines {}", "x".repeat(5000));
    let header = sized("llama")
        .text("general.name", &long)
        .text("general.license", "  ")
        .text("general.license.name", "Apache-2.0")
        .text("general.repo_url", "somewhere/model")
        .number("general.file_type", 15)
        .tensor("token_embd.weight", &[256, 512], Q4_K, 512 * 144)
        .tensor("output.weight", &[256, 128], 14, 128 * 210)
        .header();
    let card = Card::on(&header, false, true);
    assert!(card.title.starts_with("Name with  lines xx") && card.title.chars().count() <= 200);
    assert_eq!(card.licence.as_deref(), Some("Apache-2.0"));
    assert_eq!(card.source.as_deref(), Some("somewhere/model"));
    assert_eq!(card.quantisation, "Q4_K_M: 80 % Q4_K, 20 % Q6_K");
}

#[test]
fn what_is_not_known_is_said() {
    let header = Forge::new("llama")
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "of-tomorrow")
        .texts("tokenizer.ggml.tokens", &["<|im_start|>", "<|im_end|>"])
        .header();
    let card = Card::on(&header, false, true);
    assert!(card.note.contains("'of-tomorrow'") && card.note.contains("(chatml)"), "{}", card.note);
    assert_eq!(card.template, TemplateKind::Chatml);
}

#[test]
fn heads_that_differ_from_layer_to_layer_are_all_counted() {
    let header = Forge::new("lfm2")
        .number("lfm2.block_count", 3)
        .number("lfm2.embedding_length", 64)
        .number("lfm2.attention.head_count", 4)
        .numbers("lfm2.attention.head_count_kv", &[0, 2, 0])
        .header();
    let card = Card::on(&header, false, true);
    assert_eq!((card.kv_heads, card.head_size, card.cache_per_token), (2, 16, 2 * 16 * 4));
}

#[test]
fn real_files_have_cards() {
    for (name, pieces) in [("stories260K-q8_0.gguf", true), ("stories260K-q8_0-bpe.gguf", false)] {
        let Some(bytes) = shared(name) else { return };
        let card = Card::of(&Header::read(&mut Cursor::new(&bytes)).unwrap(), false);
        assert_eq!(card.tokenizer == TokenizerKind::Pieces, pieces);
        assert!(card.runnable && card.quantisation.contains("Q8_0"), "{card:?}");
        assert_eq!((card.context, card.vocabulary), (512, 512));
        // 5 layers x 4 heads x 8 numbers x key and value x 2 bytes.
        assert_eq!(card.cache_per_token, 640);
        assert_eq!((card.title.as_str(), card.has_template), ("stories260K", false));
        assert!(card.note.contains("no chat template"), "{}", card.note);
    }
}
