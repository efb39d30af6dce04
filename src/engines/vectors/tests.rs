//! The vectors with real folders, against arithmetic in floats.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const DIMENSION: usize = 24;

/// Numbers from a small generator, the same in every run.
struct Dice(u64);

impl Dice {
    fn number(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        f32::from(u16::try_from(self.0 >> 48).unwrap_or_default()) / 32_768.0 - 1.0
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSION).map(|_| self.number()).collect()
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn mark(seq: u64) -> Mark {
    Mark { epoch: [3; 16], seq, schema: 1 }
}

fn open(folder: &Path) -> Vectors {
    Vectors::open(folder, DIMENSION, "test").expect("opened").with_graph_from(100)
}

fn filled(folder: &Path, count: u64) -> (Vectors, HashMap<u64, Vec<f32>>) {
    let vectors = open(folder);
    let mut dice = Dice(count + 88_172_645_463_325_252);
    let all: HashMap<u64, Vec<f32>> = (0..count).map(|id| (id * 7, dice.vector())).collect();
    for (id, vector) in &all {
        vectors.add(*id, vector).expect("added");
    }
    (vectors, all)
}

#[test]
fn a_scan_is_exact_up_to_the_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (vectors, all) = filled(folder.path(), 500);
    let question = Dice(5).vector();
    let (found, way) = vectors.search_by(&question, 10, None).expect("found");
    assert_eq!((found.len(), way), (10, Way::Scan));
    for pair in found.windows(2) {
        assert!(pair[0].1 >= pair[1].1);
    }
    for (id, score) in &found {
        assert!((score - cosine(&question, &all[id])).abs() < 0.01, "{id}");
    }
    let best = all.values().map(|v| cosine(&question, v)).fold(-1.0, f32::max);
    assert!((found[0].1 - best).abs() < 0.01);
    let odd = |id: u64| id % 2 == 1;
    let odd = vectors.search(&question, 600, Some(&odd)).expect("found");
    assert_eq!(odd.len(), 250);
    assert!(odd.iter().all(|(id, _)| id % 2 == 1));
    assert_eq!(vectors.cosines(&question, &[found[0].0, 1]).expect("cosines"), found[..1]);
}

#[test]
fn the_graph_agrees_with_the_scan_through_changes_and_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let (vectors, all) = filled(folder.path(), 1500);
    let mut dice = Dice(9);
    let questions: Vec<Vec<f32>> = (0..30).map(|_| dice.vector()).collect();
    let exact: Vec<_> =
        questions.iter().map(|q| vectors.search(q, 10, None).expect("scanned")).collect();
    assert!(vectors.wants_graph());
    vectors.load_graph(&|| false).expect("built");
    assert!(!vectors.wants_graph());
    let agree = |vectors: &Vectors, exact: &[Vec<(u64, f32)>]| {
        let mut same = 0;
        for (question, exact) in questions.iter().zip(exact) {
            let (found, way) = vectors.search_by(question, 10, None).expect("found");
            assert_eq!(way, Way::Graph);
            same += found.iter().filter(|f| exact.contains(f)).count();
        }
        assert!(same >= 285, "{same} of 300");
    };
    agree(&vectors, &exact);

    vectors.save(mark(1)).expect("saved");
    vectors.save_graph(mark(1)).expect("saved");
    let (gone, _) = exact[0][0];
    assert!(vectors.remove(gone));
    assert!(!vectors.remove(gone));
    let (found, _) = vectors.search_by(&questions[0], 10, None).expect("found");
    assert!(found.iter().all(|(id, _)| *id != gone), "a deletion counts at once");
    let (moved, _) = exact[1][0];
    vectors.add(moved, &questions[0]).expect("replaced");
    let (found, way) = vectors.search_by(&questions[0], 10, None).expect("found");
    assert_eq!((found[0].0, way), (moved, Way::Graph), "a change counts at once");
    assert_eq!(found.iter().filter(|(id, _)| *id == moved).count(), 1);
    vectors.save(mark(2)).expect("saved");
    let scanned = |vectors: &Vectors| -> Vec<_> {
        questions.iter().map(|q| vectors.search(q, 10, Some(&|_| true)).expect("scanned")).collect()
    };
    let exact = scanned(&vectors);
    drop(vectors);

    let vectors = open(folder.path());
    assert_eq!((vectors.mark(), vectors.len()), (Some(mark(2)), all.len() - 1));
    assert_eq!(scanned(&vectors), exact);
    vectors.load_graph(&|| false).expect("loaded");
    agree(&vectors, &exact);
    assert!(!vectors.needs_rebuild());
    for id in (0..700).map(|id| id * 7) {
        vectors.remove(id);
    }
    assert!(vectors.needs_rebuild());
    vectors.rebuild_graph(&|| false).expect("built");
    assert!(!vectors.needs_rebuild());
    agree(&vectors, &scanned(&vectors));
    assert!(vectors.unload_if_idle(Duration::ZERO));
    assert!(vectors.wants_graph());
    assert_eq!(vectors.memory().graph, 0);
}

#[test]
fn damage_is_a_named_fault_and_never_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let (vectors, _) = filled(folder.path(), 200);
    vectors.load_graph(&|| false).expect("built");
    vectors.save(mark(1)).expect("saved");
    vectors.save_graph(mark(1)).expect("saved");
    let path = folder.path().join(ROWS_FILE);
    let bytes = fs::read(&path).expect("readable");
    let mut dice = Dice(77);
    for round in 0..200_usize {
        let at = dice.number().abs() * bytes.len() as f32;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
        let at = if round < 40 { round } else { (at as usize).min(bytes.len() - 1) };
        let mut bad = bytes.clone();
        if round % 2 == 0 {
            bad[at] ^= 0x41;
        } else {
            bad.truncate(at);
        }
        fs::write(&path, &bad).expect("written");
        let fault = Vectors::open(folder.path(), DIMENSION, "test").err();
        assert_eq!(fault.map(|f| f.code), Some("index_damaged"), "byte {at}, round {round}");
    }
    fs::write(&path, &bytes).expect("restored");
    for end in ["graph", "data"] {
        let path = folder.path().join(format!("graph-1/graph.hnsw.{end}"));
        let Ok(bytes) = fs::read(&path) else { continue };
        fs::write(&path, &bytes[..bytes.len() / 2]).expect("cut");
        let vectors = open(folder.path());
        vectors.load_graph(&|| false).expect("built anew instead of ending the process");
        let (_, way) = vectors.search_by(&Dice(1).vector(), 5, None).expect("found");
        assert_eq!(way, Way::Graph);
    }
    assert_eq!(Vectors::open(folder.path(), DIMENSION, "another").expect("opened").len(), 0);
    assert_eq!(Vectors::reset(folder.path(), DIMENSION, "test").expect("reset").mark(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_rows_are_what_was_put_in(steps in prop::collection::vec((0_u64..40, any::<bool>()), 1..200)) {
        let folder = tempfile::tempdir().expect("a folder");
        let vectors = open(folder.path());
        let mut model: HashMap<u64, Vec<f32>> = HashMap::new();
        let mut dice = Dice(steps.len() as u64 + 12_345);
        for (id, put) in steps {
            if put {
                let vector = dice.vector();
                vectors.add(id, &vector).expect("added");
                model.insert(id, vector);
            } else {
                prop_assert_eq!(vectors.remove(id), model.remove(&id).is_some());
            }
        }
        vectors.save(mark(1)).expect("saved");
        let vectors = open(folder.path());
        prop_assert_eq!(vectors.len(), model.len());
        for (id, vector) in model {
            let found = vectors.search(&vector, 1, None).expect("found");
            prop_assert_eq!(found[0].0, id);
            prop_assert!(found[0].1 > 0.999);
        }
    }
}
