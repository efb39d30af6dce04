//! Real text to measure with: the paragraphs and questions of a set in `SQuAD` format.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The paragraphs and the questions of the file that `SQUAD` names, else of PIAF beside the repository.
///
/// # Errors
/// What the file system or the parser says.
pub fn read() -> Result<(Vec<String>, Vec<String>), Box<dyn Error + Send + Sync>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = std::env::var_os("SQUAD")
        .map_or_else(|| here.join("../../shared/data/piaf-v1.1.json"), PathBuf::from);
    let bytes = fs::read(&path).map_err(|e| format!("{} (set SQUAD): {e}", path.display()))?;
    let json: serde_json::Value = serde_json::from_slice(&bytes)?;
    let (mut paragraphs, mut questions) = (Vec::new(), Vec::new());
    let each = |value: &serde_json::Value, name: &str| {
        value.get(name).and_then(|v| v.as_array()).cloned().unwrap_or_default()
    };
    let text = |value: &serde_json::Value, name: &str| {
        value.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned()
    };
    for article in each(&json, "data") {
        for paragraph in each(&article, "paragraphs") {
            paragraphs.push(text(&paragraph, "context"));
            questions.extend(each(&paragraph, "qas").iter().map(|asked| text(asked, "question")));
        }
    }
    Ok((paragraphs, questions))
}

/// The sentences of the paragraphs, without the very short ones.
pub fn sentences(paragraphs: &[String]) -> Vec<&str> {
    paragraphs.iter().flat_map(|p| p.split_inclusive(". ")).filter(|s| s.len() > 20).collect()
}
