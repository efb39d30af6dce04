//! The index with real folders.

use super::*;

fn entry(
    id: u64,
    language: &'static str,
    title: &'static str,
    text: &'static str,
) -> Entry<'static> {
    Entry {
        id,
        doc: id / 10,
        collection: if id < 20 { "rh" } else { "atelier" },
        language,
        path: if id < 20 { "rh/contrats/modèle.docx" } else { "atelier/notes.txt" },
        date: i64::try_from(id).unwrap_or_default() * 1000,
        title,
        heading: "Chapitre premier",
        text,
    }
}

fn mark(seq: u64) -> Mark {
    Mark { epoch: [7; 16], seq, schema: 1 }
}

fn entries() -> Vec<Entry<'static>> {
    vec![
        entry(1, "fr", "Contrat de travail", "Les congés payés sont dus à chaque employé."),
        entry(2, "fr", "Règlement", "L'élève est déclaré absent après un accident du travail."),
        entry(11, "fr", "Note", "Un travail sans accident, du moins cette année."),
        entry(21, "en", "Maintenance", "The drivers were declaring their hours every evening."),
        entry(22, "de", "Anleitung", "Die Fahrzeuge werden täglich geprüft."),
        entry(23, "ja", "メモ", "Volvo FH16 remorque"),
    ]
}

fn filled() -> (tempfile::TempDir, FullText) {
    let folder = tempfile::tempdir().expect("a folder");
    let index = FullText::open(folder.path(), true).expect("a new index");
    assert_eq!(index.mark().expect("readable"), None);
    let changes: Vec<Change> = entries().into_iter().map(Change::Put).collect();
    index.apply(&changes, mark(6)).expect("applied");
    (folder, index)
}

fn ids(index: &FullText, query: &str, filter: &Filter) -> Vec<u64> {
    index.search(query, filter, 10).expect(query).hits.into_iter().map(|(id, _)| id).collect()
}

#[test]
fn what_people_type_finds_what_they_mean() {
    let (_folder, index) = filled();
    for (query, want) in [
        ("eleve", vec![2]),
        ("ÉLÈVES déclarées", vec![2]),
        ("conges", vec![1]),
        ("declare", vec![21, 2]),
        ("driver", vec![21]),
        ("Fahrzeug", vec![22]),
        ("volvo", vec![23]),
        ("\"accident du travail\"", vec![2]),
        ("travail -accident", vec![1]),
        ("travail -\"accident du travail\"", vec![11, 1]),
        ("title:contrats", vec![1]),
        ("path:contrats congés", vec![1, 2, 11]),
        ("vehicule", vec![]),
        ("acident", vec![2, 11]),
        ("conegs", vec![1]),
        ("du", vec![2, 11]),
    ] {
        let mut got = ids(&index, query, &Filter::default());
        let mut want = want;
        got.sort_unstable();
        want.sort_unstable();
        assert_eq!(got, want, "{query}");
    }
    let fault = index.search(" ?! - \"\" ", &Filter::default(), 10).expect_err("nothing asked");
    assert_eq!(fault.code, "empty_query");
    let hits = index.search("conegs accident", &Filter::default(), 10).expect("found");
    assert_eq!(hits.corrected, [("conegs".to_owned(), vec!["conges".to_owned()])]);
    assert!(!hits.strict);
    assert!(index.search("-accident travail", &Filter::default(), 10).expect("found").strict);
    let allowed = index.allowed("travail -accident", &Filter::default(), 10).expect("found");
    assert_eq!(allowed.map(|a| a.len()), Some(4));
    assert_eq!(index.allowed("x -accident", &Filter::default(), 3).expect("found"), None);
}

#[test]
fn filters_choose() {
    let (_folder, index) = filled();
    let all = Filter::default();
    for (filter, want) in [
        (Filter { collections: Some(vec!["rh".into()]), ..all.clone() }, vec![1, 2, 11]),
        (Filter { collections: Some(vec![]), ..all.clone() }, vec![]),
        (Filter { language: Some("fr".into()), ..all.clone() }, vec![1, 2, 11]),
        (Filter { path_prefix: Some("rh/con".into()), ..all.clone() }, vec![1, 2, 11]),
        (Filter { path_prefix: Some("atelier".into()), ..all.clone() }, vec![21]),
        (Filter { date_from: Some(2_000), date_to: Some(11_000), ..all.clone() }, vec![2, 11]),
    ] {
        let mut got = ids(&index, "travail congés hours", &filter);
        got.sort_unstable();
        assert_eq!(got, want, "{filter:?}");
    }
}

#[test]
fn highlights_are_exact_characters() {
    let (_folder, index) = filled();
    let text = "« Été » : l’élève déclarée — e\u{301}le\u{300}ves, congés.";
    let hits = index.search("eleve \"congés\"", &Filter::default(), 10).expect("found");
    let words: Vec<String> = index
        .highlights(text, "fr", &hits.terms)
        .into_iter()
        .map(|(from, to)| text.chars().skip(from).take(to - from).collect())
        .collect();
    assert_eq!(words, ["élève", "e\u{301}le\u{300}ves", "congés"]);
}

#[test]
fn changes_are_durable_and_replayable() {
    let (folder, index) = filled();
    let again = entry(1, "fr", "Autre", "Un avenant sur les primes.");
    for _ in 0..2 {
        index.apply(&[Change::Put(again), Change::Remove(11)], mark(9)).expect("applied");
        assert_eq!(index.len(), 5);
        assert_eq!(ids(&index, "congés", &Filter::default()), Vec::<u64>::new());
        assert_eq!(ids(&index, "primes", &Filter::default()), [1]);
    }
    index.close().expect("closed");
    drop(index);
    let index = FullText::open(folder.path(), true).expect("opened again");
    assert_eq!(index.mark().expect("readable"), Some(mark(9)));
    let beside = FullText::create_beside(folder.path()).expect("a second index");
    beside.apply(&[Change::Put(again)], mark(12)).expect("applied");
    beside.promote().expect("promoted");
    assert_eq!(index.len(), 5, "the old one answers until it is let go");
    drop((index, beside));
    let index = FullText::open(folder.path(), true).expect("opened again");
    assert_eq!((index.len(), index.mark().expect("readable")), (1, Some(mark(12))));
    assert_eq!(generations(folder.path()).count(), 1);
}

#[test]
fn a_damaged_index_is_a_named_fault() {
    for thorough in [false, true] {
        let (folder, index) = filled();
        index.apply(&[Change::Remove(11)], mark(7)).expect("applied");
        index.close().expect("closed");
        let place = index.folder.clone();
        drop(index);
        let files: Vec<PathBuf> = fs::read_dir(&place)
            .expect("a folder")
            .flatten()
            .map(|f| f.path())
            .filter(|f| !f.to_string_lossy().contains("lock") && !f.ends_with(".managed.json"))
            .collect();
        assert!(files.len() > 6, "{files:?}");
        for file in files {
            let bytes = fs::read(&file).expect("readable");
            if thorough {
                let mut bad = bytes.clone();
                bad[bytes.len() / 2] ^= 0x55;
                fs::write(&file, &bad).expect("written");
            } else {
                fs::remove_file(&file).expect("removed");
            }
            let fault = FullText::open(folder.path(), thorough).err();
            assert_eq!(fault.map(|f| f.code), Some("index_damaged"), "{}", file.display());
            fs::write(&file, &bytes).expect("restored");
        }
        assert_eq!(FullText::open(folder.path(), true).expect("whole again").len(), 5);
    }
}
