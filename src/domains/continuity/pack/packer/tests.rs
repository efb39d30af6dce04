//! A pack on a real folder: written, changed under its feet, and read again.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::base::clock::HeldClock;
use crate::domains::continuity::node::Node;
use crate::domains::continuity::pack::part::{Cell, Row, Section, Words};
use crate::domains::continuity::pack::{Found, Shelf};

struct Bench {
    folder: tempfile::TempDir,
    place: Place,
    node: Arc<Node>,
    clock: Arc<HeldClock>,
    packer: Packer,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path().join("planb"));
        let node = Arc::new(Node::open(&place).unwrap());
        let clock = Arc::new(HeldClock::at(Moment(1_768_464_000_000)));
        let seal = Seal::of(&node);
        let limits = Limits { age: Duration::from_mins(5), papers: 1000 };
        let packer = Packer::new(&place, clock.clone(), seal, limits);
        Self { folder, place, node, clock, packer }
    }

    fn look(&self) -> Found {
        look(&self.place.pack(), Some(&self.node.public()))
    }

    /// Every file of the pack, by its path.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let folders = [self.place.pack(), manifest::files(&self.place.pack())];
        let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten());
        let paths = entries.map(|entry| entry.path()).filter(|path| path.is_file());
        paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

fn section(id: &str, rows: usize) -> Section {
    let row = |n| Row { key: format!("{id}:{n}"), cells: vec![Cell::Text(format!("ligne {n}"))] };
    Section {
        id: id.into(),
        title: Words::of("Titre", "Title"),
        columns: vec![Words::of("Quoi", "What")],
        rows: (0..rows).map(row).collect(),
        empty: Words::default(),
        right: String::new(),
        notes: true,
    }
}

fn paper(name: &str, bytes: &'static [u8]) -> Paper {
    Paper {
        name: name.into(),
        media_type: "text/plain".into(),
        sha256: sha256(bytes),
        bytes: bytes.len() as u64,
        open: Arc::new(move || Ok(Box::new(bytes))),
    }
}

/// A source with so many rows as the counter says, which fails while the switch is on.
fn source(id: &'static str, rows: &Arc<AtomicUsize>, fails: &Arc<AtomicBool>) -> Source {
    let (rows, fails) = (rows.clone(), fails.clone());
    Arc::new(move || {
        if fails.load(Ordering::SeqCst) {
            return Err(Fault::not_found("source"));
        }
        Ok(Part {
            sections: vec![section(id, rows.load(Ordering::SeqCst))],
            site: "Dépôt".into(),
            time_zone: "Europe/Paris".into(),
            ..Part::default()
        })
    })
}

#[test]
fn a_pack_is_written_when_it_changed_or_grew_old_and_not_otherwise() {
    let bench = Bench::new();
    let (rows, fails) = (Arc::new(AtomicUsize::new(2)), Arc::default());
    bench.packer.add("planning", source("planning", &rows, &fails));
    assert_eq!(bench.packer.refresh().unwrap().generation, 1);
    bench.clock.pass(Duration::from_mins(4));
    assert_eq!(bench.packer.refresh().unwrap().generation, 1);
    rows.store(3, Ordering::SeqCst);
    let state = bench.packer.refresh().unwrap();
    assert_eq!((state.generation, state.sections[0].rows, state.verified), (2, 3, true));
    bench.clock.pass(Duration::from_mins(5));
    let state = bench.packer.refresh().unwrap();
    assert_eq!((state.generation, state.made_at), (3, bench.clock.now()));
    bench.clock.set_wall(Moment(0));
    assert_eq!(
        bench.packer.refresh().unwrap().generation,
        4,
        "a pack of the future is signed anew"
    );
    assert_eq!(bench.packer.write_now().unwrap().generation, 5);
    let found = bench.look();
    let pack = found.pack.unwrap();
    assert_eq!((pack.site(), pack.time_zone(), pack.previous()), ("Dépôt", "Europe/Paris", false));
    assert_eq!((found.troubles, pack.verify()), (vec![], vec![]));
    assert!(bench.files().len() <= 6, "what no manifest needs is gone: {:?}", bench.files().keys());
}

#[test]
fn a_source_that_fails_or_panics_keeps_its_last_part_and_its_age() {
    let bench = Bench::new();
    let (rows, fails) = (Arc::new(AtomicUsize::new(2)), Arc::new(AtomicBool::new(false)));
    let well: Arc<AtomicBool> = Arc::default();
    bench.packer.add("planning", source("planning", &rows, &fails));
    bench.packer.add("presence", source("presence", &rows, &well));
    let first = bench.packer.refresh().unwrap();
    fails.store(true, Ordering::SeqCst);
    rows.store(4, Ordering::SeqCst);
    bench.clock.pass(Duration::from_mins(2));
    let second = bench.packer.refresh().unwrap();
    bench.clock.pass(Duration::from_mins(9));
    let third = bench.packer.refresh().unwrap();
    for state in [&second, &third] {
        let stale: Vec<_> =
            state.sections.iter().map(|s| (s.id.as_str(), s.rows, s.stale_since)).collect();
        assert_eq!(stale, [("planning", 2, Some(first.made_at)), ("presence", 4, None)]);
    }
    bench.packer.add("planning", Arc::new(|| panic!("a slip")));
    assert_eq!(bench.packer.write_now().unwrap().sections, third.sections);
    bench.packer.add("planning", source("planning", &rows, &well));
    assert_eq!(bench.packer.refresh().unwrap().sections[0].stale_since, None);
}

#[test]
fn what_finds_no_room_or_is_not_what_it_says_is_named() {
    let bench = Bench::new();
    let big: &'static [u8] = &[b'x'; 900];
    let part = Part {
        sections: vec![section("a", ROWS_MAX + 3), section("a", 1)],
        papers: vec![
            paper("un.txt", b"un"),
            Paper { sha256: sha256(b"other"), ..paper("changed.txt", b"texte") },
            Paper { bytes: 3, ..paper("longer.txt", b"texte long") },
            Paper {
                open: Arc::new(|| Err(Fault::not_found("file"))),
                ..paper("gone.txt", b"gone")
            },
            Paper { sha256: "../../etc/passwd".into(), ..paper("evil.txt", b"evil") },
            paper("big.txt", big),
            paper("much.txt", &[b'y'; 200]),
        ],
        ..Part::default()
    };
    bench.packer.add("papers", Arc::new(move || Ok(part.clone())));
    let state = bench.packer.refresh().unwrap();
    let out: Vec<_> = state.left_out.iter().map(|o| (o.name.as_str(), o.why.as_str())).collect();
    assert_eq!(
        out,
        [
            ("a", "name_taken"),
            ("a (+3)", "too_many_rows"),
            ("changed.txt", "changed"),
            ("evil.txt", "unreadable"),
            ("gone.txt", "unreadable"),
            ("longer.txt", "changed"),
            ("much.txt", "no_room"),
        ]
    );
    let names: Vec<_> = state.papers.iter().map(|paper| paper.name.as_str()).collect();
    assert_eq!((names, state.sections[0].rows), (vec!["un.txt", "big.txt"], ROWS_MAX));
    assert!(!bench.folder.path().join("etc").exists());
}

#[test]
fn a_changed_byte_anywhere_is_seen_and_the_pack_before_is_used() {
    let bench = Bench::new();
    let (rows, fails) = (Arc::new(AtomicUsize::new(1)), Arc::default());
    bench.packer.add("planning", source("planning", &rows, &fails));
    let one = Part { papers: vec![paper("un.txt", b"un")], ..Part::default() };
    bench.packer.add("papers", Arc::new(move || Ok(one.clone())));
    bench.packer.refresh().unwrap();
    rows.store(2, Ordering::SeqCst);
    bench.packer.refresh().unwrap();
    let newest = bench.place.pack().join(MANIFEST);
    let tables = bench.look().pack.unwrap().manifest().tables.sha256.clone();
    let tables = manifest::file(&bench.place.pack(), &tables).unwrap();
    for path in [newest.clone(), tables] {
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let found = bench.look();
            let pack = found.pack.unwrap();
            assert!(pack.previous() && pack.generation() == 1, "{path:?} {at}");
            assert_eq!(found.troubles.len(), 1);
        }
        for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(bench.look().pack.unwrap().previous(), "{path:?} cut at {cut}");
        }
        fs::write(&path, &whole).unwrap();
    }
    // A paper that was changed is named, never sent, and put right by the next start of the packer.
    let path = manifest::file(&bench.place.pack(), &sha256(b"un")).unwrap();
    fs::write(&path, b"no").unwrap();
    let pack = bench.look().pack.unwrap();
    assert_eq!(pack.verify().len(), 1);
    assert_eq!(pack.paper(&sha256(b"un")).unwrap_err().code, "paper_damaged");
    fs::remove_file(&path).unwrap();
    assert_eq!(pack.paper(&sha256(b"un")).unwrap_err().code, "paper_damaged");
    assert_eq!(pack.paper("../api_key.txt").unwrap_err().code, "not_found");
    bench.packer.refresh().unwrap();
    assert!(bench.look().pack.unwrap().paper(&sha256(b"un")).is_ok());
}

#[test]
fn another_nodes_pack_is_shown_as_not_verified_and_nothing_at_all_is_no_pack() {
    let bench = Bench::new();
    assert!(bench.look().pack.is_none() && bench.look().troubles.is_empty());
    bench.packer.refresh().unwrap();
    for trusted in [None, Some(&[7; PUBLIC_BYTES])] {
        assert!(!look(&bench.place.pack(), trusted).pack.unwrap().verified());
    }
    let shelf = Shelf::of(bench.place.pack(), Some(bench.node.public()));
    assert_eq!(shelf.now().pack.as_ref().unwrap().generation(), 1);
    bench.packer.write_now().unwrap();
    assert_eq!(shelf.now().pack.as_ref().unwrap().generation(), 2);
    fs::remove_dir_all(bench.place.pack()).unwrap();
    assert!(shelf.now().pack.is_none());
}

const PUBLIC_BYTES: usize = crate::engines::signing::PUBLIC;

#[test]
fn a_power_cut_between_any_two_steps_leaves_a_whole_pack() {
    let bench = Bench::new();
    let (rows, fails) = (Arc::new(AtomicUsize::new(1)), Arc::default());
    bench.packer.add("planning", source("planning", &rows, &fails));
    bench.packer.refresh().unwrap();
    let before = bench.files();
    rows.store(2, Ordering::SeqCst);
    bench.packer.refresh().unwrap();
    let after = bench.files();
    // The steps in their order: the files, the manifest before, the manifest.
    let rank = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some(MANIFEST) => 2,
        Some(PREVIOUS) => 1,
        _ => 0,
    };
    let mut steps: Vec<_> =
        after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)).collect();
    steps.sort_by_key(|(path, _)| rank(path));
    // The first pack stands in the place of the one before it too, since it brought its people.
    assert!(steps.len() >= 2);
    for done in 0..=steps.len() {
        fs::remove_dir_all(bench.place.pack()).unwrap();
        make_folder(&manifest::files(&bench.place.pack())).unwrap();
        for (path, bytes) in before.iter().chain(steps[..done].iter().copied()) {
            fs::write(path, bytes).unwrap();
        }
        let found = bench.look();
        let rows = found.pack.unwrap().section("planning").unwrap().0.rows.len();
        assert_eq!((rows, found.troubles), (if done == steps.len() { 2 } else { 1 }, vec![]));
    }
}
