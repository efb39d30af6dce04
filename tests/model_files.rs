//! Models are looked into by a child; damaged and hostile ones are named, and nobody else suffers.

use std::fs;
use std::path::{Path, PathBuf};

use ilot::base::fault::Fault;
use ilot::engines::generation::probe::Checked;
use ilot::engines::generation::{Probe, Progress};
use sha2::{Digest as _, Sha256};

const TINY: &str = "stories260K-q8_0.gguf";

fn probe() -> Probe {
    Probe { program: env!("CARGO_BIN_EXE_ilot").into() }
}

/// A file of the shared test data; none, with a word, where there is none.
fn shared(name: &str) -> Option<Vec<u8>> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let bytes = fs::read(&path).ok();
    if bytes.is_none() {
        println!("skipped: there is no {}", path.display());
    }
    bytes
}

/// What a look into a folder with these files says.
fn look(files: &[(&str, &[u8])]) -> Result<Checked, Fault> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    probe().check(folder.path())
}

#[test]
fn a_whole_model_is_known_by_its_card_and_its_hashes() {
    let (Some(weights), Some(tokenizer)) = (shared(TINY), shared("stories260K-tokenizer.json"))
    else {
        return;
    };
    let card =
        b"title = \"Petites histoires\"\nlicence = \"MIT\"\nsource = \"karpathy/tinyllamas\"\n";
    let files: [(&str, &[u8]); 4] = [
        ("card.toml", card),
        ("model.gguf", &weights),
        (".hidden", b"x"),
        ("tokenizer.json", &tokenizer),
    ];
    let checked = look(&files).unwrap();
    let names: Vec<_> = checked.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["model.gguf", "card.toml", "tokenizer.json"]);
    for file in &checked.files {
        let (_, bytes) = files.iter().find(|(name, _)| *name == file.name).unwrap();
        assert_eq!(file.bytes, bytes.len() as u64);
        assert_eq!(file.sha256, <[u8; 32]>::from(Sha256::digest(bytes)), "{}", file.name);
    }
    assert_eq!(checked.card.title, "Petites histoires");
    assert_eq!(checked.card.licence.as_deref(), Some("MIT"));
    assert_eq!(checked.card.source.as_deref(), Some("karpathy/tinyllamas"));
    assert_eq!((checked.card.architecture.as_str(), checked.card.runnable), ("llama", true));
    assert_eq!(checked.card.context, 512);
}

#[test]
fn every_tiny_model_is_taken() {
    for name in [TINY, "stories260K-f16.gguf", "stories260K-q8_0-bpe.gguf"] {
        let Some(weights) = shared(name) else { return };
        let checked = look(&[(name, &weights)]).unwrap();
        assert!(checked.card.runnable, "{name}: {}", checked.card.note);
    }
}

#[test]
fn a_folder_of_links_is_followed() {
    let Some(weights) = shared(TINY) else { return };
    let (real, links) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(real.path().join("model.gguf"), &weights).unwrap();
    let link = links.path().join("model.gguf");
    std::os::unix::fs::symlink(real.path().join("model.gguf"), link).unwrap();
    assert_eq!(probe().check(links.path()).unwrap().files.len(), 1);
}

#[test]
fn a_long_look_tells_how_far_it_has_come() {
    let Some(weights) = shared(TINY) else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.gguf"), &weights).unwrap();
    // Holes cost no disk, and are hashed like everything else.
    let padding = fs::File::create(folder.path().join("padding.bin")).unwrap();
    padding.set_len(600 << 20).unwrap();
    let mut heard = Vec::new();
    let checked = probe().check_with(folder.path(), |progress| heard.push(progress)).unwrap();
    let bytes = (600 << 20) + weights.len() as u64;
    assert_eq!(checked.files.iter().map(|file| file.bytes).sum::<u64>(), bytes);
    assert_eq!(heard.len(), 2, "{heard:?}");
    let rises = |pair: &[Progress]| pair[0].hashed < pair[1].hashed;
    assert!(heard.windows(2).all(rises) && heard.iter().all(|p| p.bytes == bytes), "{heard:?}");
}

#[test]
fn damaged_and_foreign_folders_are_refused_by_name() {
    let Some(weights) = shared(TINY) else { return };
    let refused = |files: &[(&str, &[u8])], code: &str, words: &str| {
        let fault = look(files).expect_err(words);
        println!("{fault}");
        assert_eq!(fault.code, code, "{fault}");
        assert!(fault.message.contains(words), "{fault}");
    };
    let half = &weights[..weights.len() / 2];
    refused(&[], "model_damaged", "no file that ends in .gguf");
    refused(&[("a.gguf", &weights), ("b.gguf", &weights)], "model_unsupported", "2 files");
    refused(&[("a.gguf", b"")], "model_damaged", "empty");
    refused(&[("a.gguf", b"PK\x03\x04 and more")], "model_damaged", "no GGUF file");
    refused(&[("a.gguf", half)], "model_damaged", "cut off");
    let with = |name: &'static str, bytes: &'static [u8]| {
        [("a.gguf", weights.clone()), (name, bytes.to_vec())]
    };
    for (name, bytes, words) in [
        ("tokenizer.json", &b"{"[..], "tokenizer.json is not in its format"),
        ("tokenizer_config.json", b"[]", "tokenizer_config.json is not in its format"),
        ("card.toml", b"title =", "card.toml cannot be read"),
    ] {
        let files = with(name, bytes);
        let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (*n, b.as_slice())).collect();
        refused(&files, "model_damaged", words);
    }
    let nowhere = probe().check(Path::new("/nowhere/at/all")).unwrap_err();
    assert_eq!(nowhere.code, "model_damaged");
    let nobody = Probe { program: "/nowhere/ilot".into() };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.gguf"), &weights).unwrap();
    assert_eq!(nobody.check(folder.path()).unwrap_err().code, "reader_unavailable");
}

#[test]
fn a_template_that_cannot_be_run_is_told_on_the_card() {
    let Some(weights) = shared(TINY) else { return };
    for (template, words) in [
        ("{% for x in %}", "not one that can be run here"),
        ("{{ raise_exception('no') }}", "cannot write this conversation down"),
        ("deaf", "leaves out what is asked"),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "cannot write",
        ),
    ] {
        let config = serde_json::json!({"chat_template": template}).to_string();
        let checked =
            look(&[("a.gguf", &weights), ("tokenizer_config.json", config.as_bytes())]).unwrap();
        assert!(!checked.card.runnable);
        assert!(checked.card.note.contains(words), "{}", checked.card.note);
    }
}

#[test]
fn a_child_that_dies_or_talks_too_much_is_a_fault_and_no_more() {
    let Some(weights) = shared(TINY) else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.gguf"), &weights).unwrap();
    for (script, words) in [
        ("kill -SEGV $$", "broke its reader"),
        ("kill -XCPU $$", "kept its reader busy"),
        ("echo 'memory allocation of 5 bytes failed' >&2; kill -ABRT $$", "MiB"),
        ("exit 3", "broke its reader"),
        ("exit 0", "silenced its reader"),
        ("while true; do echo '{\"hashed\":1}'; done", "more than it should"),
        ("echo nonsense", "understanding a model's reader"),
    ] {
        let program = folder.path().join(".program");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program, mode).unwrap();
        let fault = Probe { program }.check(folder.path()).unwrap_err();
        assert!(fault.message.contains(words), "{script}: {fault}");
    }
}
