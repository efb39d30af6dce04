//! Headers that are whole, and headers that are not.

use std::io::Cursor;
use std::path::PathBuf;

use proptest::prelude::*;

use super::forge::Forge;
use super::source::code;
use super::*;

/// A file of the shared test data; none, with a word, where there is none.
pub(in super::super) fn shared(name: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        println!("skipped: there is no {}", path.display());
    }
    bytes
}

fn read(bytes: &[u8]) -> Result<Header, Fault> {
    Header::read(&mut Cursor::new(bytes))
}

fn small() -> Forge {
    Forge::new("llama").tensor("a", &[4, 2], 0, 32).tensor("b", &[32], 8, 34)
}

#[test]
fn a_whole_file_is_read() {
    let file = small()
        .number("llama.block_count", 5)
        .float("llama.eps", 0.5)
        .flag("tokenizer.ggml.add_bos_token", true)
        .texts("names", &["é", ""])
        .numbers("kinds", &[1, 3])
        .floats("scores", &[-1.5]);
    let header = file.header();
    assert_eq!(header.architecture(), Some("llama"));
    assert_eq!(header.number(&header.own("block_count")), Some(5));
    assert_eq!(header.float("llama.eps"), Some(0.5));
    assert_eq!(header.float("llama.block_count"), Some(5.0));
    assert_eq!(header.flag("tokenizer.ggml.add_bos_token"), Some(true));
    assert_eq!(header.texts("names").unwrap(), ["é", ""]);
    assert_eq!(header.numbers("kinds").unwrap(), [1, 3]);
    assert_eq!(header.floats("scores").unwrap(), [-1.5]);
    assert_eq!(header.text("llama.block_count"), None);
    let b = header.tensor("b").unwrap();
    assert_eq!((b.kind, b.bytes, b.columns(), b.rows()), (TensorKind::Q8_0, 34, 32, 1));
    assert_eq!(header.place(b), header.data_offset + 32);
    assert_eq!(header.data_offset % 32, 0);
}

#[test]
fn real_files_are_read() {
    for name in ["stories260K-f16.gguf", "stories260K-q8_0.gguf", "stories260K-q8_0-bpe.gguf"] {
        let Some(bytes) = shared(name) else { return };
        let header = read(&bytes).unwrap();
        assert_eq!(header.tensors.len(), 48);
        assert_eq!(header.texts("tokenizer.ggml.tokens").unwrap().len(), 512);
        let last = header.tensors.iter().map(|t| header.place(t) + t.bytes).max().unwrap();
        assert!(last <= header.file_bytes && header.file_bytes - last < 32, "{name}");
    }
}

fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        bytes.extend_from_slice(&code::ARRAY.to_le_bytes());
        bytes.extend_from_slice(&1u64.to_le_bytes());
    }
    bytes.extend_from_slice(&code::U8.to_le_bytes());
    bytes.extend_from_slice(&1u64.to_le_bytes());
    // The check for room comes before the one for depth.
    bytes.extend_from_slice(&[0; 64]);
    bytes
}

/// A file, the code of its refusal, and words of its sentence.
type Case = (&'static str, Vec<u8>, &'static str, &'static str);

fn one(name: &'static str, bytes: Vec<u8>, words: &'static str) -> Case {
    (name, bytes, "model_damaged", words)
}

fn no(name: &'static str, bytes: Vec<u8>, words: &'static str) -> Case {
    (name, bytes, "model_unsupported", words)
}

fn hostile_keys() -> Vec<Case> {
    let whole = small().bytes();
    let at = |version| Forge { version, ..small() }.bytes();
    let with = |change: fn(&mut Forge)| {
        let mut forge = small();
        change(&mut forge);
        forge.bytes()
    };
    vec![
        one("empty", vec![], "empty"),
        one("three bytes", b"GGU".to_vec(), "cut off"),
        one("another magic word", b"GGML\x03\0\0\0".to_vec(), "no GGUF file"),
        no("version 1", at(1), "version 1"),
        no("version 9", at(9), "version 9"),
        no("big-endian", at(3u32.swap_bytes()), "big-endian"),
        one("only a version", whole[..8].to_vec(), "cut off"),
        one("no data", whole[..whole.len() - 64].to_vec(), "the weights b would take 34 bytes"),
        one("cut in the middle", whole[..60].to_vec(), "cut off"),
        one("many tensors", with(|f| f.tensor_count = Some(u64::MAX)), "announces"),
        one("tensors that cannot fit", with(|f| f.tensor_count = Some(16_000)), "cut off"),
        one("many keys", with(|f| f.key_count = Some(1 << 40)), "announces"),
        one("keys that cannot fit", with(|f| f.key_count = Some(4000)), "cut off"),
        one("a key twice", small().text("a", "").text("a", "").bytes(), "twice"),
        one("a tensor twice", small().tensor("a", &[4], 0, 16).bytes(), "twice"),
        one("an empty key", small().text("", "").bytes(), "empty"),
        one("a long key", small().text(&"k".repeat(2000), "").bytes(), "2000 bytes long"),
        one("an unknown type", small().raw("a", 77, &[0; 8]).bytes(), "unknown type 77"),
        one("a truth of 2", small().raw("a", code::BOOL, &[2]).bytes(), "neither true nor false"),
        one("a text without end", small().raw("a", code::TEXT, &[0xff; 8]).bytes(), "bytes long"),
        one(
            "a text past the end",
            small().raw("a", code::TEXT, &(1u64 << 20).to_le_bytes()).bytes(),
            "cut off",
        ),
        one("a list of nothing known", small().list("a", 77, 1, &[0; 8]).bytes(), "unknown type"),
        one("a long list", small().list("a", code::U8, 5 << 20, &[]).bytes(), "elements"),
        one("a list past the end", small().list("a", code::U64, 4 << 20, &[]).bytes(), "cut off"),
        one("lists in lists", small().raw("a", code::ARRAY, &nested(9)).bytes(), "deeper"),
    ]
}

fn hostile_tensors() -> Vec<Case> {
    let tensor = |dims: &[u64], kind| Forge::new("llama").tensor("a", dims, kind, 4096).bytes();
    vec![
        one("no dimension", tensor(&[], 0), "dimensions"),
        one("five dimensions", tensor(&[1; 5], 0), "dimensions"),
        one("an empty tensor", tensor(&[4, 0], 0), "impossible shape"),
        one("an endless tensor", tensor(&[u64::MAX, 2], 0), "impossible shape"),
        one("too many bytes", tensor(&[u64::MAX / 2], 0), "impossible shape"),
        one("half a block", tensor(&[31], 8), "multiples of 32"),
        one("half a large block", tensor(&[128], 12), "multiples of 256"),
        no("IQ4_XS", tensor(&[256], 23), "IQ4_XS"),
        no("MXFP4", tensor(&[256], 39), "MXFP4"),
        no("a kind of tomorrow", tensor(&[256], 99), "number 99"),
        one("crooked", small().tensor_at("c", &[4], 0, 7).bytes(), "no multiple of 32"),
        one("on others' bytes", small().tensor_at("c", &[4], 0, 32).bytes(), "share bytes"),
        one("far away", small().tensor_at("c", &[4], 0, 1 << 62).bytes(), "cut off or damaged"),
        one(
            "past the last number",
            small().tensor_at("c", &[4], 0, u64::MAX - 31).bytes(),
            "cut off or damaged",
        ),
        one("an alignment of 0", small().number("general.alignment", 0).bytes(), "alignment"),
        one("an alignment of 24", small().number("general.alignment", 24).bytes(), "alignment"),
        one("a text alignment", small().text("general.alignment", "32").bytes(), "alignment"),
        one(
            "an alignment of a gigabyte",
            small().number("general.alignment", 1 << 30).bytes(),
            "alignment",
        ),
        no("a part of three", small().number("split.count", 3).bytes(), "one of 3 parts"),
    ]
}

#[test]
fn every_hostile_file_is_refused_by_name() {
    for (name, bytes, code, words) in hostile_keys().into_iter().chain(hostile_tensors()) {
        let fault = read(&bytes).expect_err(name);
        assert_eq!(fault.code, code, "{name}: {fault}");
        assert!(fault.message.contains(words), "{name}: {fault}");
    }
}

#[test]
fn lists_together_have_a_limit() {
    let values = vec![0; 3 << 20];
    let mut forge = Forge::new("llama");
    for key in ["a", "b", "c"] {
        forge = forge.list(key, code::U8, 3 << 20, &values);
    }
    assert!(read(&forge.bytes()).unwrap_err().message.contains("in all lists together"));
}

#[test]
fn a_text_in_another_encoding_is_read_all_the_same() {
    let header = small().raw("a", code::TEXT, b"\x01\0\0\0\0\0\0\0\xe9").header();
    assert_eq!(header.text("a"), Some("\u{fffd}"));
}

#[test]
fn a_file_that_shrinks_under_the_reader_is_refused() {
    /// Says it is longer than it is.
    struct Shrunk(Cursor<Vec<u8>>);
    impl Read for Shrunk {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl Seek for Shrunk {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            Ok(self.0.seek(to)? + 1000)
        }
    }
    let bytes = small().bytes();
    let mut file = Shrunk(Cursor::new(bytes[..40].to_vec()));
    assert!(Header::read(&mut file).unwrap_err().message.contains("became shorter"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend_from_slice(&bytes);
        let _ = read(&bytes);
        let _ = read(&file);
    }

    #[test]
    fn a_changed_file_is_read_or_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut file = small()
            .texts("tokenizer.ggml.tokens", &["a", "b", "c"])
            .numbers("tokenizer.ggml.token_type", &[1, 3, 6])
            .raw("deep", code::ARRAY, &nested(2)[..36])
            .bytes();
        for (place, value) in changes {
            let at = place.index(file.len());
            file[at] = value;
        }
        if !whole {
            file.truncate(cut.index(file.len()));
        }
        if let Err(fault) = read(&file) {
            prop_assert!(["model_damaged", "model_unsupported"].contains(&fault.code), "{}", fault);
        }
    }
}

#[test]
fn a_changed_real_file_is_read_or_refused() {
    let Some(real) = shared("stories260K-q8_0.gguf") else { return };
    let header_bytes = usize::try_from(read(&real).unwrap().data_offset).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..2000 {
        let mut file = real.clone();
        for _ in 0..=random(4) {
            let at = random(header_bytes);
            file[at] = u8::try_from(random(256)).unwrap();
        }
        if random(4) == 0 {
            file.truncate(random(real.len()));
        }
        if let Err(fault) = read(&file) {
            assert!(["model_damaged", "model_unsupported"].contains(&fault.code), "{fault}");
        }
    }
}
