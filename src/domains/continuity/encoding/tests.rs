//! Base64 beside the original's own reader: the Python of this machine.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::*;

/// Texts that Python is asked about.
const TEXTS: usize = 20_000;
/// Reads JSON texts, a line each; answers with hexadecimal digits or a dash.
const PYTHON: &str = "
import base64, json, sys
for line in sys.stdin:
    try:
        print(base64.b64decode(json.loads(line)).hex())
    except ValueError:
        print('-')
";

#[test]
fn strangers_are_skipped_and_padding_is_wanted() {
    let hi = Ok(b"hi".to_vec());
    for text in ["aGk=", "a G\nk=", "aG*k=", "aGk==", "=aGk=", "a=Gk=", "aG=k=", "aGk=more", "aGl="]
    {
        let read = decode(text);
        assert!(read == hi || text == "aGl=", "{text}: {read:?}");
    }
    // The spare bits of the last character are not looked at.
    assert_eq!(decode("aH=="), decode("aA=="));
    assert_eq!(decode(""), Ok(vec![]));
    assert_eq!(decode("==*\n"), Ok(vec![]));
    for text in ["aGk", "aG", "aG=", "aG=k"] {
        assert_eq!(decode(text), Err(Base64Error::Padding), "{text}");
    }
    for text in ["a", "a===", "aGkxa", "*a*"] {
        assert_eq!(decode(text), Err(Base64Error::OneTooMany), "{text}");
    }
    for text in ["é", "aGk=é", "aGk\u{a0}="] {
        assert_eq!(decode(text), Err(Base64Error::NotAscii), "{text}");
    }
}

#[test]
fn what_is_there_already_stays() {
    let mut out = b"before".to_vec();
    // Long enough for the quick way to have written much before it sees what is wrong.
    let text = format!("{}*", "aGkx".repeat(1000));
    decode_into(&text, &mut out).unwrap();
    assert_eq!(out, [b"before".as_slice(), &b"hi1".repeat(1000)].concat());
    out.truncate(6);
    assert_eq!(decode_into(&format!("{text}a"), &mut out), Err(Base64Error::OneTooMany));
    assert_eq!(out, b"before");
}

/// A text made of pieces that meet in all ways: groups, halves of groups, padding, strangers.
fn text(random: &mut TestRng) -> String {
    const PIECES: [&str; 16] = [
        "aGk=", "aG==", "aGkx", "////++++", "A", "b", "9", "=", "==", " ", "\n", "-", "_", "*",
        "\0", "é",
    ];
    // The odd ones are rare, lest every text have one.
    let odd = random.next_u32() % 3 * 4 + 8;
    let pieces = random.next_u32() % 12;
    (0..pieces).filter_map(|_| PIECES.get((random.next_u32() % odd) as usize)).copied().collect()
}

#[test]
fn texts_are_read_as_python_reads_them() {
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let texts: Vec<String> = (0..TEXTS).map(|_| text(&mut random)).collect();
    let python = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        assert!(std::env::var_os("CI").is_none(), "python3 is missing");
        eprintln!("skipped: python3 is missing, base64 was not compared with it");
        return;
    };
    let lines: Vec<_> = texts.iter().map(|text| serde_json::to_string(text).unwrap()).collect();
    let mut stdin = python.stdin.take().unwrap();
    let feed = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(lines.join("\n").as_bytes()));
        python.wait_with_output().unwrap()
    });
    let answers = String::from_utf8(feed.stdout).unwrap();
    let answers: Vec<_> = answers.lines().collect();
    assert_eq!(answers.len(), texts.len());
    let mut taken = 0;
    for (text, answer) in texts.iter().zip(answers) {
        let read = decode(text)
            .map_or_else(|_| "-".into(), |bytes| data_encoding::HEXLOWER.encode(&bytes));
        assert_eq!(read, answer, "{text:?}");
        taken += usize::from(answer != "-");
    }
    assert!((TEXTS / 10..TEXTS * 9 / 10).contains(&taken), "{taken} of {TEXTS} were taken");
}

proptest! {
    #[test]
    fn bytes_come_back(bytes in vec(any::<u8>(), 0..500)) {
        let text = encode(&bytes);
        prop_assert_eq!(&text, &data_encoding::BASE64.encode(&bytes));
        prop_assert_eq!(decode(&text), Ok(bytes));
    }

    #[test]
    fn the_quick_way_is_the_slow_way(text in "[A-Za-z0-9+/=]{0,200}") {
        let mut slowly = Vec::new();
        let done = as_python(&text, &mut slowly);
        prop_assert_eq!(decode(&text), done.map(|()| slowly));
    }

    #[test]
    fn nothing_panics(text in any::<String>()) {
        drop(decode(&text));
    }
}
