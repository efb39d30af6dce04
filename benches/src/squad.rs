//! Real text to measure with: the paragraphs and questions of a set in `SQuAD` format.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::dice::Dice;

/// What made-up sentences are made of where there is no set.
const WORDS: &str = "le la les un une des du de en à pour avec sans sous entre conducteur camion \
    mission voyage dépôt quai livraison chargement client facture contrôle pneu moteur carburant \
    semaine matin nuit départ retour retard document règle sécurité visite accident repos heure \
    prépare vérifie signe remet charge part revient attend prévient remplace doit peut chaque";
/// Made-up paragraphs, their sentences and the words of a sentence.
const MADE_UP: usize = 1_500;
const SENTENCES: usize = 5;
const LENGTH: usize = 14;

/// Paragraphs and questions.
type Set = (Vec<String>, Vec<String>);

/// The set of the file that `SQUAD` names, else PIAF beside the repository, else one that is made up.
///
/// # Errors
/// What the file system or the parser says of a file that is there or was named.
pub fn read() -> Result<Set, Box<dyn Error + Send + Sync>> {
    let named = std::env::var_os("SQUAD").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/piaf-v1.1.json");
    let Some(path) = named.or_else(|| beside.exists().then_some(beside)) else {
        println!("(made-up text: SQUAD names no question set)");
        return Ok(made_up());
    };
    let json: Value = serde_json::from_slice(&fs::read(&path)?)?;
    let (mut paragraphs, mut questions) = (Vec::new(), Vec::new());
    for article in each(&json, "data") {
        for paragraph in each(article, "paragraphs") {
            paragraphs.push(text(paragraph, "context"));
            questions.extend(each(paragraph, "qas").iter().map(|asked| text(asked, "question")));
        }
    }
    Ok((paragraphs, questions))
}

fn each<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn made_up() -> Set {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut dice = Dice(11);
    let mut sentence = || -> String {
        let chosen: Vec<&str> =
            (0..LENGTH).filter_map(|_| words.get(dice.below(words.len())).copied()).collect();
        chosen.join(" ")
    };
    let mut paragraph = || (0..SENTENCES).map(|_| sentence() + ". ").collect();
    let paragraphs = (0..MADE_UP).map(|_| paragraph()).collect();
    let questions = (0..MADE_UP).map(|_| sentence() + " ?").collect();
    (paragraphs, questions)
}

/// The sentences of the paragraphs, without the very short ones.
pub fn sentences(paragraphs: &[String]) -> Vec<&str> {
    paragraphs.iter().flat_map(|p| p.split_inclusive(". ")).filter(|s| s.len() > 20).collect()
}
