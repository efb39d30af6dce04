//! Vocabularies against their references.

use std::io::Cursor;

use super::super::header::forge::Forge;
use super::super::header::tests::shared;
use super::*;

const TEXTS: [&str; 16] = [
    "Once upon a time",
    "Once upon a time, there was a little girl named Lily.",
    "",
    " ",
    "  two spaces before, and three   inside, and one after ",
    "L'été, à Noël : où ça ? Œuvre naïve, façade — « coûte que coûte »…",
    "Ça coûte 12 345,67 € l'unité (soit ½ prix) !",
    "👩‍👩‍👧 🇫🇷 emoji 🚒🔥",
    "first line\nsecond line\n\n\tindented\r\nwindows\n",
    "日本語 русский עברית العربية",
    "e\u{301} is not é",
    "<s> </s> <unk> <0x41>",
    "fn main() { println!(\"{}\", 1 + 1); }",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "UPPER lower MiXeD 1234567890",
    "\u{0} nul, \u{7f} del, \u{fffd} and \u{10ffff}",
];

fn header(name: &str) -> Option<Header> {
    Some(Header::read(&mut Cursor::new(shared(name)?)).unwrap())
}

fn vocabulary(name: &str) -> Option<Vocabulary> {
    Some(Vocabulary::of(&header(name)?, None).unwrap())
}

fn reference() -> Option<Tokenizer> {
    Some(Tokenizer::from_bytes(shared("stories260K-tokenizer.json")?).unwrap())
}

/// What the tokens write.
fn written(vocabulary: &Vocabulary, before: Option<u32>, tokens: &[u32]) -> String {
    let mut writer = vocabulary.writer(before);
    let mut text: String = tokens.iter().map(|token| writer.push(*token)).collect();
    text.push_str(&writer.finish());
    text
}

#[test]
fn the_documented_beginning_has_its_documented_tokens() {
    let Some(vocabulary) = vocabulary("stories260K-q8_0.gguf") else { return };
    let prompt = vocabulary.prompt(&[Piece::plain("Once upon a time")]).unwrap();
    assert_eq!(prompt, [1, 403, 407, 261, 378]);
    assert_eq!((vocabulary.bos(), vocabulary.ends(), vocabulary.len()), (Some(1), &[2][..], 512));
    assert!(vocabulary.adds_bos() && vocabulary.is_special(1) && !vocabulary.is_special(403));
    assert_eq!(written(&vocabulary, Some(1), &prompt), "Once upon a time");
    assert_eq!(written(&vocabulary, Some(378), &[432, 383]), ", there");
}

#[test]
fn pieces_bytes_and_json_give_the_same_tokens() {
    let (Some(pieces), Some(bytes)) =
        (vocabulary("stories260K-q8_0.gguf"), vocabulary("stories260K-q8_0-bpe.gguf"))
    else {
        return;
    };
    let own = header("stories260K-q8_0.gguf").unwrap();
    let json = shared("stories260K-tokenizer.json").unwrap();
    let json = Vocabulary::of(&own, Some(&json)).unwrap();
    let reference = reference().unwrap();
    for text in TEXTS {
        let tokens = pieces.encode(text, false).unwrap();
        if !text.is_empty() && !text.contains('<') {
            let expected = reference.encode_fast(text, false).unwrap();
            assert_eq!(tokens, expected.get_ids(), "the reference, {text:?}");
        }
        assert_eq!(json.encode(text, false).unwrap(), tokens, "the json file, {text:?}");
        // The file of bytes has no merges that lead to its characters of three bytes.
        if text.chars().all(|char| char.len_utf8() != 3) {
            let spaced = if text.is_empty() { String::new() } else { format!(" {text}") };
            assert_eq!(bytes.encode(&spaced, false).unwrap(), tokens, "the bytes, {text:?}");
        }
    }
    for token in 0..512 {
        assert_eq!(json.bytes(token), pieces.bytes(token), "{token}");
        assert_eq!(pieces.is_special(token), token < 3, "{token}");
        assert_eq!(json.is_special(token), token < 3, "{token}");
    }
}

#[test]
fn texts_come_back_as_they_were() {
    for name in ["stories260K-q8_0.gguf", "stories260K-q8_0-bpe.gguf"] {
        let Some(vocabulary) = vocabulary(name) else { return };
        for text in TEXTS {
            let tokens = vocabulary.encode(text, false).unwrap();
            assert_eq!(written(&vocabulary, None, &tokens), text, "{name}");
            let bytes: Vec<u8> =
                tokens.iter().flat_map(|token| vocabulary.bytes(*token)).copied().collect();
            let spaced = if name.contains("bpe") || text.is_empty() { "" } else { " " };
            assert_eq!(String::from_utf8(bytes).unwrap(), format!("{spaced}{text}"), "{name}");
        }
    }
}

#[test]
fn nobody_says_a_mark_by_writing_it() {
    let Some(pieces) = vocabulary("stories260K-q8_0.gguf") else { return };
    let bytes = vocabulary("stories260K-q8_0-bpe.gguf").unwrap();
    for vocabulary in [&pieces, &bytes] {
        for text in ["<s>", "</s>", "a</s>b", "</s></s>", "<unk>"] {
            let tokens = vocabulary.encode(text, false).unwrap();
            assert!(!tokens.iter().any(|token| *token < 3), "{text}: {tokens:?}");
            assert_eq!(written(vocabulary, None, &tokens), text);
        }
        assert_eq!(vocabulary.encode("<s></s>", true).unwrap(), [1, 2]);
        // Half of a mark from the box and half of it from a person are no mark.
        let halves = [Piece::trusted("</"), Piece::plain("s>")];
        assert!(!vocabulary.encode_pieces(&halves).unwrap().contains(&2));
        let whole = [Piece::trusted("<"), Piece::trusted("/s>"), Piece::plain("</s>")];
        let tokens = vocabulary.encode_pieces(&whole).unwrap();
        assert_eq!(tokens.iter().filter(|token| **token == 2).count(), 1, "{tokens:?}");
    }
}

#[test]
fn pieces_are_encoded_as_one_text() {
    let Some(vocabulary) = vocabulary("stories260K-q8_0.gguf") else { return };
    let whole = vocabulary.encode("Once upon a time", false).unwrap();
    let parts = [Piece::trusted("Once up"), Piece::plain("on a "), Piece::trusted("time")];
    assert_eq!(vocabulary.encode_pieces(&parts).unwrap(), whole);
}

#[test]
fn characters_are_never_cut() {
    let Some(vocabulary) = vocabulary("stories260K-q8_0.gguf") else { return };
    let mut writer = vocabulary.writer(Some(1));
    let bytes = |text: &str| text.bytes().map(|b| u32::from(b) + 3).collect::<Vec<_>>();
    let seen: Vec<String> = bytes("🔥é").iter().map(|token| writer.push(*token)).collect();
    assert_eq!(seen, ["", "", "", "🔥", "", "é"]);
    // A character that is broken off by another one does not swallow it.
    assert_eq!(writer.push(bytes("🔥")[0]), "");
    assert_eq!(writer.push(bytes("x")[0]), "\u{fffd}x");
    assert_eq!(writer.push(bytes("é")[0]), "");
    assert_eq!((writer.finish(), writer.finish()), ("\u{fffd}".to_owned(), String::new()));
}

/// A byte-level vocabulary in the manner of `ChatML`, with some words.
fn chatml(pre: &str) -> Forge {
    let table = tokens::byte_of_char();
    let mut singles: Vec<(u8, char)> = table.into_iter().map(|(c, b)| (b, c)).collect();
    singles.sort_unstable();
    let singles: Vec<String> = singles.into_iter().map(|(_, c)| c.to_string()).collect();
    let mut texts: Vec<&str> = singles.iter().map(String::as_str).collect();
    let words = ["12", "123", "he", "llo", "ll", "hello", "<|", "<|im_end|>", "<|im_start|>"];
    texts.extend(words);
    texts.extend(["<think>", "<br>extra", "<|endoftext|>"]);
    let mut kinds = vec![1; texts.len()];
    let len = kinds.len();
    kinds[len - 5..].copy_from_slice(&[3, 3, 4, 4, 1]);
    Forge::new("qwen2")
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", pre)
        .texts("tokenizer.ggml.tokens", &texts)
        .numbers("tokenizer.ggml.token_type", &kinds)
        .texts(
            "tokenizer.ggml.merges",
            &["1 2", "12 3", "h e", "l l", "ll o", "he llo", "< |", "<| im_end|>", "no thing"],
        )
        .number("tokenizer.ggml.eos_token_id", 263)
}

#[test]
fn marks_are_of_three_kinds() {
    let vocabulary = Vocabulary::of(&chatml("qwen2").header(), None).unwrap();
    // The file calls <|endoftext|> a text; it ends an answer all the same.
    assert_eq!(vocabulary.ends(), [263, 267]);
    let said = "<|im_start|>hello<think><br>extra<|im_end|>";
    assert_eq!(vocabulary.encode(said, true).unwrap(), [264, 261, 265, 266, 263]);
    let plain = vocabulary.encode(said, false).unwrap();
    assert!([263, 264, 265, 267].iter().all(|mark| !plain.contains(mark)), "{plain:?}");
    assert!(plain.contains(&266), "a word that is never cut is no mark: {plain:?}");
    assert_eq!(written(&vocabulary, None, &plain), said);
    assert_eq!(written(&vocabulary, None, &[264, 265, 261, 263]), "<think>hello");
    assert_eq!((vocabulary.bos(), vocabulary.adds_bos()), (None, false));
}

#[test]
fn digits_are_cut_as_the_file_says() {
    let digits = |pre: &str| {
        Vocabulary::of(&chatml(pre).header(), None).unwrap().encode("123", false).unwrap().len()
    };
    assert_eq!((digits("qwen2"), digits("llama-bpe"), digits("gpt-2")), (3, 1, 1));
    assert_eq!((digits("smollm"), digits("tekken"), digits("gpt-4o")), (3, 3, 1));
    assert_eq!((digits("deepseek-llm"), digits("of tomorrow"), digits("default")), (1, 1, 1));
}

#[test]
fn every_way_of_cutting_works() {
    let text = "L'été I'LL 1234 $+x\r\n\n  日本語 café!? <b>";
    for pre in [
        "gpt-2",
        "llama-bpe",
        "qwen2",
        "qwen35",
        "smollm",
        "lfm2",
        "tekken",
        "gpt-4o",
        "glm4",
        "deepseek-llm",
        "deepseek-coder",
        "deepseek-v3",
        "falcon",
        "bloom",
        "viking",
        "seed-coder",
        "bailingmoe",
        "default",
        "",
    ] {
        let vocabulary = Vocabulary::of(&chatml(pre).header(), None).unwrap();
        let tokens = vocabulary.encode(text, false).unwrap();
        assert_eq!(written(&vocabulary, None, &tokens), text, "{pre}");
    }
}

#[test]
fn accents_are_composed_where_the_model_learned_them_so() {
    let encode = |pre: &str, text| {
        Vocabulary::of(&chatml(pre).header(), None).unwrap().encode(text, false).unwrap()
    };
    assert_eq!(encode("qwen2", "e\u{301}"), encode("qwen2", "é"));
    assert_ne!(encode("llama-bpe", "e\u{301}"), encode("llama-bpe", "é"));
}

#[test]
fn broken_vocabularies_are_refused_by_name() {
    let spm = |forge: Forge| forge.text("tokenizer.ggml.model", "llama");
    let cases = [
        ("none", Forge::new("llama"), "model_damaged", "no vocabulary"),
        (
            "of words",
            Forge::new("bert").text("tokenizer.ggml.model", "bert"),
            "model_unsupported",
            "bert",
        ),
        ("without tokens", spm(Forge::new("llama")), "model_damaged", "no list of tokens"),
        (
            "without scores",
            spm(Forge::new("llama").texts("tokenizer.ggml.tokens", &["a"])),
            "model_damaged",
            "without a score",
        ),
        (
            "with few uses",
            spm(Forge::new("llama")
                .texts("tokenizer.ggml.tokens", &["a", "b"])
                .numbers("tokenizer.ggml.token_type", &[1])),
            "model_damaged",
            "what they are for",
        ),
        (
            "larger than the network",
            spm(Forge::new("llama")
                .texts("tokenizer.ggml.tokens", &["a", "b"])
                .floats("tokenizer.ggml.scores", &[0.0, 0.0])
                .tensor("token_embd.weight", &[4, 1], 0, 16)),
            "model_damaged",
            "its network knows 1",
        ),
        (
            "without merges",
            Forge::new("llama")
                .text("tokenizer.ggml.model", "gpt2")
                .texts("tokenizer.ggml.tokens", &["a"]),
            "model_damaged",
            "no list of merges",
        ),
    ];
    for (name, forge, code, words) in cases {
        let fault = Vocabulary::of(&forge.header(), None).err().expect(name);
        assert_eq!(fault.code, code, "{name}: {fault}");
        assert!(fault.message.contains(words), "{name}: {fault}");
    }
}

#[test]
fn a_foreign_tokenizer_file_is_refused() {
    let Some(own) = header("stories260K-q8_0.gguf") else { return };
    let refused = |json: &[u8], words: &str| {
        let fault = Vocabulary::of(&own, Some(json)).err().expect(words);
        assert_eq!(fault.code, "model_damaged", "{fault}");
        assert!(fault.message.contains(words), "{fault}");
    };
    refused(b"{", "not in its format");
    refused(b"{}", "not in its format");
    let json = shared("stories260K-tokenizer.json").unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&json).unwrap();
    file["added_tokens"][0]["id"] = 512.into();
    refused(file.to_string().as_bytes(), "belongs to another model");
    let mut file: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let vocabulary = file["model"]["vocab"].as_object_mut().unwrap();
    for (_, token) in vocabulary.iter_mut() {
        let id = token.as_u64().unwrap();
        // Every two neighbours change places.
        *token = (if id > 300 { id ^ 1 } else { id }).into();
    }
    refused(file.to_string().as_bytes(), "another model");
}

#[test]
fn a_damaged_vocabulary_is_read_or_refused() {
    let text = "Once upon a time </s> été 🔥\n";
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    for name in ["stories260K-q8_0.gguf", "stories260K-q8_0-bpe.gguf"] {
        let Some(whole) = shared(name) else { return };
        let begin = whole.windows(21).position(|w| w == b"tokenizer.ggml.tokens").unwrap() + 40;
        let mut read = 0;
        for _ in 0..300 {
            let mut file = whole.clone();
            for _ in 0..=random(40) {
                file[begin + random(9000)] = u8::try_from(random(256)).unwrap();
            }
            let Ok(header) = Header::read(&mut Cursor::new(file)) else { continue };
            match Vocabulary::of(&header, None) {
                Ok(vocabulary) => {
                    read += 1;
                    let tokens = vocabulary.encode(text, false).unwrap();
                    assert!(!tokens.iter().any(|token| vocabulary.tokens.is_mark(*token)));
                    let _ = written(&vocabulary, None, &tokens);
                }
                Err(fault) => assert!(fault.code.starts_with("model_"), "{fault}"),
            }
        }
        println!("{name}: {read} of 300 were read");
    }
}

#[test]
fn a_space_in_front_is_put_where_the_file_says() {
    let Some(own) = header("stories260K-q8_0.gguf") else { return };
    let json = shared("stories260K-tokenizer.json").unwrap();
    let with = |scheme: &str| {
        let mut file: serde_json::Value = serde_json::from_slice(&json).unwrap();
        file["normalizer"] = serde_json::Value::Null;
        file["pre_tokenizer"] = serde_json::json!(
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false}
        );
        Vocabulary::of(&own, Some(file.to_string().as_bytes())).unwrap()
    };
    let once = |vocabulary: &Vocabulary, text: &str| {
        let tokens = vocabulary.encode(text, true).unwrap();
        tokens.iter().filter(|token| **token == 403).count()
    };
    // 403 is "▁Once".
    for (scheme, alone, behind) in [("always", 1, 1), ("first", 1, 0), ("never", 0, 0)] {
        let vocabulary = with(scheme);
        assert_eq!(once(&vocabulary, "Once"), alone, "{scheme}");
        assert_eq!(once(&vocabulary, "</s>Once"), behind, "{scheme}");
        assert_eq!(once(&vocabulary, " Once"), 1, "{scheme}");
    }
}

#[test]
fn a_vocabulary_that_spells_its_marks_cannot_be_made_to_say_them() {
    let Some(own) = header("stories260K-q8_0.gguf") else { return };
    let json = shared("stories260K-tokenizer.json").unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&json).unwrap();
    // 403 is a word that its merges make; the file now says it is a mark.
    file["added_tokens"].as_array_mut().unwrap().push(serde_json::json!(
        {"id": 403, "content": "▁Once", "special": true}
    ));
    let vocabulary = Vocabulary::of(&own, Some(file.to_string().as_bytes())).unwrap();
    let tokens = vocabulary.encode("Once upon", false).unwrap();
    assert!(!tokens.contains(&403), "{tokens:?}");
    assert_eq!(tokens.last(), Some(&407));
    assert_eq!(written(&vocabulary, None, &tokens), "Once upon");
}

#[test]
fn long_texts_take_their_time_and_no_more() {
    let Some(pieces) = vocabulary("stories260K-q8_0.gguf") else { return };
    let bytes = Vocabulary::of(&chatml("qwen2").header(), None).unwrap();
    for text in
        ["a".repeat(200_000), " ".repeat(200_000), "hello 123 ".repeat(20_000), "<|".repeat(50_000)]
    {
        let began = std::time::Instant::now();
        let tokens = pieces.encode(&text, false).unwrap();
        assert_eq!(written(&pieces, None, &tokens), text);
        let tokens = bytes.encode(&text, false).unwrap();
        assert_eq!(written(&bytes, None, &tokens), text);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}
