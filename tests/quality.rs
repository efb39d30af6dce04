//! How well questions are answered: measured with the real model on real sets, against thresholds.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ilot::app::commands::eval::measure;
use ilot::app::settings::Config;
use ilot::base::paths::DataFolder;
use ilot::domains::assistant::eval::{Scores, Set};
use serde_json::Value;

/// The model that comes with the box, unless a clone came without it.
const MODEL: &str = "all-minilm-l6-v2/model.safetensors";

/// Set to ask every question of the large set, which takes minutes with an unoptimised program.
const WHOLE: &str = "WHOLE_SETS";

/// Every `step`-th article of a set, with every `step`-th of its questions.
fn thinned(text: &str, step: usize) -> String {
    let mut set: Value = serde_json::from_str(text).unwrap();
    let every = |number: &mut usize| {
        *number += 1;
        *number % step == 1 % step
    };
    let (mut articles, mut questions) = (0, 0);
    set["data"].as_array_mut().unwrap().retain(|_| every(&mut articles));
    for article in set["data"].as_array_mut().unwrap() {
        for paragraph in article["paragraphs"].as_array_mut().unwrap() {
            paragraph["qas"].as_array_mut().unwrap().retain(|_| every(&mut questions));
        }
    }
    set.to_string()
}

/// What a set scores; none, with the reason printed, where the set or the model is not there.
fn scores(set: &Path, step: usize) -> Option<Scores> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let Ok(text) = std::fs::read_to_string(set) else {
        println!("skipped: {} is not there", set.display());
        return None;
    };
    if !models.join(MODEL).exists() {
        println!("skipped: there is no model in {}", models.display());
        return None;
    }
    let flags = [("models.folder".to_owned(), models.display().to_string())];
    let config = Config::layered(DataFolder::at("unused"), None, [], &flags).unwrap();
    let began = Instant::now();
    let set_read = Set::read(&thinned(&text, step)).unwrap();
    let scores = measure(config, &set_read, &|_, _, _| {}).unwrap();
    println!("{}: {scores:?} in {:.1?}", set.display(), began.elapsed());
    assert!(!scores.by_words_alone, "the model was not used");
    Some(scores)
}

fn manifest() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn english_encyclopaedia_questions_find_their_paragraph() {
    let set = manifest().join("../shared/data/xquad.en.json");
    let whole = std::env::var_os(WHOLE).is_some();
    let Some(scores) = scores(&set, if whole { 1 } else { 3 }) else { return };
    // The thinned set scored 0.958 and 0.979 when it was first measured.
    let (recall, mrr) = if whole { (0.949, 0.970) } else { (0.938, 0.959) };
    assert!(scores.recall_at_1 >= recall, "recall@1 fell to {}", scores.recall_at_1);
    assert!(scores.mrr_at_10 >= mrr, "MRR@10 fell to {}", scores.mrr_at_10);
}

#[test]
fn questions_to_the_sample_depot_find_their_paper() {
    let Some(scores) = scores(&manifest().join("deploy/demo/questions.json"), 1) else { return };
    // It scored 0.951 and 1.0 when it was first measured.
    assert!(scores.recall_at_1 >= 0.93, "recall@1 fell to {}", scores.recall_at_1);
    assert!(scores.recall_at_5 >= 0.98, "recall@5 fell to {}", scores.recall_at_5);
}
