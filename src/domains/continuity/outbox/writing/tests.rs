//! The outbox on a disk that can refuse, be slow, and forget what was not synced.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::json;

use super::super::{Follower, archive, waiting};
use super::*;
use crate::base::clock::{HeldClock, Moment};
use crate::base::disk::MachineDisk;

/// What the disk does and has done; shared by all its files.
#[derive(Debug, Default)]
struct Doings {
    /// Bytes of the file that would survive a power cut.
    durable: AtomicU64,
    syncs: AtomicUsize,
    /// Bytes that may be written before the disk is full.
    room: Mutex<Option<u64>>,
    failing_syncs: AtomicUsize,
    refuse_cut: AtomicUsize,
    /// Each sync waits for a word when there is a gate.
    gate: Mutex<Option<Receiver<()>>>,
}

#[derive(Clone, Default)]
struct TestDisk(Arc<Doings>);

#[derive(Debug)]
struct TestFile {
    doings: Arc<Doings>,
    inner: Box<dyn DiskFile>,
}

impl Disk for TestDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inner = MachineDisk.open(path)?;
        Ok(Box::new(TestFile { doings: self.0.clone(), inner }))
    }
    fn exists(&self, path: &Path) -> bool {
        MachineDisk.exists(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        MachineDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        MachineDisk.remove(path)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        MachineDisk.sync_folder(folder)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        MachineDisk.free_bytes(path)
    }
}

impl DiskFile for TestFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut room = self.doings.room.lock().unwrap();
        let Some(left) = room.as_mut() else { return self.inner.write_at(offset, bytes) };
        // A disk that fills up takes a part.
        let part = usize::try_from(*left).unwrap().min(bytes.len());
        self.inner.write_at(offset, &bytes[..part])?;
        *left -= part as u64;
        if part < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.doings.refuse_cut.load(Ordering::SeqCst) > 0 {
            self.doings.refuse_cut.fetch_sub(1, Ordering::SeqCst);
            return Err(io::Error::other("no"));
        }
        self.inner.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        if let Some(gate) = &*self.doings.gate.lock().unwrap() {
            let _ = gate.recv();
        }
        self.doings.syncs.fetch_add(1, Ordering::SeqCst);
        if self.doings.failing_syncs.load(Ordering::SeqCst) > 0 {
            self.doings.failing_syncs.fetch_sub(1, Ordering::SeqCst);
            return Err(io::Error::other("the disk lost it"));
        }
        self.doings.durable.store(self.inner.len()?, Ordering::SeqCst);
        self.inner.sync()
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    place: Place,
    disk: TestDisk,
    clock: Arc<HeldClock>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path().join("planb"));
        place.create().unwrap();
        let clock = Arc::new(HeldClock::at(Moment(1_768_464_000_000)));
        Self { _folder: folder, place, disk: TestDisk::default(), clock }
    }

    fn open(&self) -> Outbox {
        let disk = Arc::new(self.disk.clone());
        Outbox::open(&self.place, disk, self.clock.clone(), "ab", 7).unwrap()
    }

    fn gate(&self) -> Sender<()> {
        let (open, gate) = channel();
        *self.disk.0.gate.lock().unwrap() = Some(gate);
        open
    }

    fn texts(&self) -> Vec<String> {
        let files = waiting(&self.place).unwrap();
        let entries = files.iter().flat_map(|file| file.entries.iter());
        entries.map(|entry| entry.body["text"].as_str().unwrap().to_owned()).collect()
    }

    fn ids(&self) -> Vec<Id> {
        let files = waiting(&self.place).unwrap();
        files.iter().flat_map(|file| file.entries.iter().map(|entry| entry.id)).collect()
    }

    /// Whatever lies in the folder but for the writer's lock.
    fn files(&self) -> Vec<std::ffi::OsString> {
        let all = std::fs::read_dir(self.place.outbox()).unwrap().map(|f| f.unwrap().file_name());
        all.filter(|name| name != WRITER_LOCK).collect()
    }

    fn damages(&self) -> Vec<Damage> {
        waiting(&self.place).unwrap().into_iter().filter_map(|file| file.damage).collect()
    }
}

fn note(text: &str, key: Option<&str>) -> Draft {
    Draft {
        kind: "note".into(),
        by: Author { name: "chef".into(), user: None, door: None },
        body: json!({"text": text}),
        retry_key: key.map(Into::into),
    }
}

use super::super::Damage;

/// Runs `body` on a thread of its own.
fn beside<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().spawn(body).unwrap()
}

#[test]
fn what_is_answered_is_on_the_disk_and_nothing_is_answered_before() {
    let bench = Bench::new();
    let outbox = bench.open();
    outbox.append(note("first", None)).unwrap();
    let open = bench.gate();
    let (told, answers) = channel();
    let writer = {
        let outbox = outbox.clone();
        beside(move || told.send(outbox.append(note("second", None)).unwrap().seq))
    };
    assert!(answers.recv_timeout(Duration::from_millis(150)).is_err(), "answered before the sync");
    open.send(()).unwrap();
    answers.recv_timeout(Duration::from_secs(5)).unwrap();
    writer.join().unwrap().unwrap();
    let file = waiting(&bench.place).unwrap().remove(0);
    let path = bench.place.outbox().join(format!("{}.jsonl", file.id));
    assert_eq!(bench.disk.0.durable.load(Ordering::SeqCst), std::fs::metadata(path).unwrap().len());
    assert_eq!((bench.texts(), file.live), (vec!["first".into(), "second".into()], true));
    assert_eq!((file.head.node_id.as_str(), file.head.pack_generation), ("ab", 7));
}

#[test]
fn many_that_wait_share_one_sync_and_keep_their_order_and_links() {
    let bench = Bench::new();
    let outbox = bench.open();
    outbox.append(note("0", None)).unwrap();
    let before = bench.disk.0.syncs.load(Ordering::SeqCst);
    let open = bench.gate();
    let writers: Vec<_> = (1..=40)
        .map(|n| {
            let outbox = outbox.clone();
            beside(move || outbox.append(note(&n.to_string(), None)).unwrap())
        })
        .collect();
    while outbox.0.state().queue.len() < 39 {
        thread::sleep(Duration::from_millis(2));
    }
    open.send(()).unwrap();
    open.send(()).unwrap();
    let mut seqs: Vec<u64> = writers.into_iter().map(|w| w.join().unwrap().seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=40).collect::<Vec<_>>());
    assert_eq!(bench.disk.0.syncs.load(Ordering::SeqCst) - before, 2);
    assert_eq!((bench.texts().len(), bench.damages()), (41, vec![]));
}

#[test]
fn a_try_again_gets_the_same_entry_in_this_run_the_next_and_after_it_was_taken() {
    let bench = Bench::new();
    let outbox = bench.open();
    let first = outbox.append(note("a", Some("k"))).unwrap();
    assert_eq!(outbox.append(note("a", Some("k"))).unwrap(), first);
    let refused = outbox.append(note("b", Some("k"))).unwrap_err();
    assert_eq!(refused.code, "idempotency_key_reused");
    let mut stranger = note("b", Some("k"));
    stranger.by.name = "other".into();
    assert_ne!(outbox.append(stranger).unwrap().id, first.id);
    let file = outbox.file().unwrap();
    drop(outbox);
    let again = bench.open();
    assert_eq!(again.append(note("a", Some("k"))).unwrap(), first);
    assert_eq!((again.count(), again.earlier().len(), bench.texts().len()), (0, 2, 2));
    drop(again);
    archive(&bench.place, file).unwrap();
    bench.clock.set_wall(crate::base::clock::Clock::now(&crate::base::clock::MachineClock));
    assert_eq!(bench.open().append(note("a", Some("k"))).unwrap(), first);
    assert!(waiting(&bench.place).unwrap().is_empty());
}

#[test]
fn twins_that_wait_together_become_one_entry() {
    let bench = Bench::new();
    let outbox = bench.open();
    outbox.append(note("0", None)).unwrap();
    let open = bench.gate();
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let outbox = outbox.clone();
            beside(move || outbox.append(note("same", Some("k"))).unwrap().id)
        })
        .collect();
    while outbox.0.state().queue.len() < 7 {
        thread::sleep(Duration::from_millis(2));
    }
    drop(open);
    let ids: Vec<Id> = writers.into_iter().map(|w| w.join().unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(bench.texts(), ["0", "same"]);
}

#[test]
fn a_full_disk_is_named_counts_nothing_and_gives_way_when_there_is_room() {
    let bench = Bench::new();
    let outbox = bench.open();
    *bench.disk.0.room.lock().unwrap() = Some(10);
    assert_eq!(outbox.append(note("none", None)).unwrap_err().code, "outbox_full");
    assert!(bench.files().is_empty(), "nothing is left over");
    *bench.disk.0.room.lock().unwrap() = None;
    outbox.append(note("one", None)).unwrap();
    for room in [0, 1, 100, 250] {
        *bench.disk.0.room.lock().unwrap() = Some(room);
        let refused = outbox.append(note("none", Some("k"))).unwrap_err();
        assert_eq!((refused.code, refused.kind), ("outbox_full", Kind::Full));
        assert_eq!(outbox.trouble().map(|f| f.code), Some("outbox_full"));
        assert_eq!((bench.texts(), bench.damages()), (vec!["one".to_owned()], vec![]));
        assert_eq!(bench.files().len(), 1, "each try leaves a file");
    }
    *bench.disk.0.room.lock().unwrap() = None;
    let other = outbox.append(note("two", Some("k"))).unwrap_err();
    assert_eq!(other.code, "idempotency_key_reused", "the first may be kept");
    bench.clock.pass(Duration::from_millis(1));
    outbox.append(note("two", None)).unwrap();
    assert_eq!((bench.texts(), bench.damages()), (vec!["one".into(), "two".into()], vec![]));
    assert!(outbox.trouble().is_none());
}

#[test]
fn a_file_that_failed_is_never_written_again_and_a_try_again_is_the_same_entry() {
    for cuts_refused in [0, 1] {
        let bench = Bench::new();
        let outbox = bench.open();
        outbox.append(note("one", None)).unwrap();
        let first = outbox.file().unwrap();
        bench.disk.0.failing_syncs.store(1, Ordering::SeqCst);
        bench.disk.0.refuse_cut.store(cuts_refused, Ordering::SeqCst);
        let unsure = outbox.append(note("two", Some("k"))).unwrap_err();
        assert_eq!(unsure.code, "outbox_unwritable");
        assert!(unsure.message.contains("not sure"), "{unsure}");
        let left: Vec<Id> = bench.ids();
        bench.clock.pass(Duration::from_millis(1));
        let two = outbox.append(note("two", Some("k"))).unwrap();
        assert_eq!(outbox.append(note("two", Some("k"))).unwrap(), two);
        assert_ne!(outbox.file(), Some(first));
        assert_eq!((two.seq, bench.damages()), (0, vec![]));
        // Where the cut was refused, the line is there twice, under one name.
        assert_eq!(left.len(), 1 + cuts_refused);
        assert!(left.get(1).is_none_or(|id| *id == two.id));
    }
}

#[test]
fn a_second_writer_waits_for_the_first_and_then_knows_what_it_wrote() {
    let bench = Bench::new();
    let (dying, new) = (bench.open(), bench.open());
    let first = dying.append(note("a", Some("k"))).unwrap();
    assert_eq!(new.append(note("a", Some("k"))).unwrap_err().code, "outbox_held");
    drop(dying);
    assert_eq!(new.append(note("a", Some("k"))).unwrap(), first);
    assert_eq!((bench.texts(), new.earlier().len()), (vec!["a".to_owned()], 1));
}

#[test]
fn a_long_file_gives_way_to_the_next() {
    let bench = Bench::new();
    let outbox = bench.open();
    outbox.append(note("one", None)).unwrap();
    let first = outbox.file();
    outbox.0.state().book.as_mut().unwrap().len = FILE_MAX - BATCH_BYTES + 1;
    bench.clock.pass(Duration::from_millis(1));
    assert_eq!(outbox.append(note("two", None)).unwrap().seq, 0);
    assert_ne!(outbox.file(), first);
    assert_eq!((bench.texts(), bench.damages()), (vec!["one".into(), "two".into()], vec![]));
}

#[test]
fn an_entry_has_a_greatest_length_and_its_neighbours_do_not_suffer() {
    let bench = Bench::new();
    let outbox = bench.open();
    assert_eq!(
        outbox.append(note(&"x".repeat(ENTRY_MAX), None)).unwrap_err().code,
        "entry_too_large"
    );
    outbox.append(note("one", None)).unwrap();
    assert_eq!(bench.texts(), ["one"]);
}

#[test]
fn a_torn_tail_is_passed_over_and_a_changed_line_is_named_and_costs_itself_alone() {
    let bench = Bench::new();
    let outbox = bench.open();
    for text in ["one", "two", "three"] {
        outbox.append(note(text, None)).unwrap();
    }
    let id = outbox.file().unwrap();
    drop(outbox);
    let path = bench.place.outbox().join(format!("{id}.jsonl"));
    let whole = std::fs::read(&path).unwrap();
    let ends: Vec<usize> =
        whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
    // Cut anywhere: what is whole is there, and the rest is no damage.
    for cut in (0..whole.len()).step_by(5).chain(ends.iter().flat_map(|end| [end - 1, *end])) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let file = waiting(&bench.place).unwrap().remove(0);
        let lines = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(file.entries.len(), lines.saturating_sub(1), "cut at {cut}");
        assert_eq!((file.damage, file.live), (None, false), "cut at {cut}");
        let torn = cut - ends.iter().copied().filter(|end| *end <= cut).max().unwrap_or(0);
        assert_eq!(file.torn_bytes, torn as u64);
    }
    // Change any byte but the last, which ends the line: the others are there, and the line is named.
    for at in (0..whole.len() - 1).step_by(3) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        let file = waiting(&bench.place).unwrap().remove(0);
        let damage = file.damage.clone().unwrap_or_else(|| panic!("byte {at} was not missed"));
        let line = ends.iter().filter(|end| **end <= at).count() as u64 + 1;
        assert!(damage.line == line || damage.line == line + 1, "byte {at}: {damage:?}");
        assert!(!file.entries.is_empty(), "byte {at} cost {file:?}");
    }
}

#[test]
fn a_follower_reads_what_is_new_and_tells_who_is_gone() {
    let bench = Bench::new();
    let outbox = bench.open();
    let mut follower = Follower::default();
    assert!(follower.waiting(&bench.place).unwrap().is_empty());
    for n in 1..=3 {
        outbox.append(note(&n.to_string(), None)).unwrap();
        let file = follower.waiting(&bench.place).unwrap().remove(0);
        assert_eq!((file.entries.len(), file.live, file.damage), (n, true, None));
    }
    let id = outbox.file().unwrap();
    assert_eq!(archive(&bench.place, id).unwrap_err().code, "outbox_file_live");
    drop(outbox);
    assert!(!follower.waiting(&bench.place).unwrap()[0].live);
    archive(&bench.place, id).unwrap();
    assert!(follower.waiting(&bench.place).unwrap().is_empty());
    assert_eq!(archive(&bench.place, id).unwrap_err().code, "not_found");
    assert_eq!(super::super::archived(&bench.place).unwrap()[0].entries.len(), 3);
    let later = bench.clock.now().plus(Duration::from_secs(1));
    assert_eq!(super::super::forget_archived(&bench.place, bench.clock.now()).unwrap(), 0);
    assert_eq!(super::super::forget_archived(&bench.place, later).unwrap(), 1);
}
