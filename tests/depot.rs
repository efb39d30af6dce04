//! The sample depot: every paper can be read, and every question has its answer in the paper it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ilot::engines::readers::{FIRST_BYTES, Format, Limits, read};
use serde_json::Value;

/// Every format that the box promises to read has at least one paper.
const FORMATS: [&str; 11] =
    ["csv", "docx", "eml", "html", "json", "md", "odt", "pdf", "rst", "txt", "xlsx"];

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/demo")
}

/// The text of every paper, by its path under `documents/`, white space folded to single spaces.
fn papers() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let documents = demo().join("documents");
    for folder in fs::read_dir(&documents).expect("the sample documents").flatten() {
        for file in fs::read_dir(folder.path()).expect("a collection").flatten() {
            let bytes = fs::read(file.path()).expect("a document");
            let name = file.file_name().to_string_lossy().into_owned();
            let head = bytes.get(..FIRST_BYTES).unwrap_or(&bytes);
            let extract = Format::detect(&name, head)
                .and_then(|format| read(format, &bytes, &Limits::default()))
                .unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
            let path = format!("{}/{name}", folder.file_name().to_string_lossy());
            found.insert(path, folded(&extract.text));
        }
    }
    found
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_paper_is_read_in_every_format() {
    let papers = papers();
    for format in FORMATS {
        let some = papers.keys().any(|path| path.ends_with(&format!(".{format}")));
        assert!(some, "no sample document is a .{format}");
    }
    for (path, text) in &papers {
        assert!(text.len() > 500, "{path} gave {} bytes of text: {text}", text.len());
        // What a wrong guess of the character set, or a font without a map, leaves behind.
        let garbled = ["Ã©", "â€", "\u{fffd}"].iter().find(|mark| text.contains(**mark));
        assert_eq!(garbled, None, "{path} was read in the wrong character set");
    }
}

#[test]
fn every_question_has_its_answer_in_the_paper_it_names() {
    let papers = papers();
    let file = fs::read(demo().join("questions.json")).expect("the questions");
    let questions: Value = serde_json::from_slice(&file).expect("JSON");
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (mut asked, mut missing) = (0, Vec::new());
    for entry in list(&questions, "data") {
        let title = words(&entry["title"]);
        let text = papers.get(&title).unwrap_or_else(|| panic!("{title} is not among the papers"));
        for paragraph in list(&entry, "paragraphs") {
            for question in list(&paragraph, "qas") {
                asked += 1;
                let answer = folded(&words(&question["answers"][0]["text"]));
                if !text.contains(&folded(&words(&paragraph["context"]))) || !text.contains(&answer)
                {
                    missing.push(format!("{title}: {}", words(&question["question"])));
                }
            }
        }
    }
    assert!(asked >= 50, "only {asked} questions");
    assert!(missing.is_empty(), "not found as read:\n{}", missing.join("\n"));
}
