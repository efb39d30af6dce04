//! Replay beside a Plan B whose disk fails while its file is read.

use std::io;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::base::clock::HeldClock;
use crate::base::disk::{Disk, DiskFile, MachineDisk, MemoryDisk};
use crate::base::tasks::Tasks;
use crate::domains::continuity::outbox::{Author, Draft, Outbox};
use crate::store::{Ground, Store, StoreOptions};

/// What happens in the middle of the next sync, which fails then.
type Between = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// The machine's disk, but for syncs that fail once something has happened.
#[derive(Clone, Default)]
struct FailingDisk(Between);

struct FailingFile {
    between: Between,
    inner: Box<dyn DiskFile>,
}

impl std::fmt::Debug for FailingFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl Disk for FailingDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inner = MachineDisk.open(path)?;
        Ok(Box::new(FailingFile { between: self.0.clone(), inner }))
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

impl DiskFile for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        let between = self.between.lock().unwrap().take();
        let Some(between) = between else { return self.inner.sync() };
        between();
        Err(io::Error::other("the disk lost it"))
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    place: Place,
    disk: FailingDisk,
    clock: Arc<HeldClock>,
    handover: Handover,
    replay: Replay,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path().join("planb"));
    place.create().unwrap();
    let clock = Arc::new(HeldClock::at(Moment(1_800_000_000_000)));
    let health = Health::new(clock.clone());
    let disk = Arc::new(MemoryDisk::default());
    let ground = Ground { clock: clock.clone(), disk, health: health.clone() };
    let tasks = Tasks::new(health.clone());
    let options = StoreOptions::default();
    let store = Store::open(Path::new("/data/store.redb"), &ground, options, &[], &tasks).unwrap();
    let handover = Handover::open(store, health.clone()).unwrap();
    let replay = Replay::new(place.clone(), clock.clone(), health, handover.clone());
    let disk = FailingDisk::default();
    Bench { _folder: folder, place, disk, clock, handover, replay }
}

impl Bench {
    fn open(&self) -> Outbox {
        let disk = Arc::new(self.disk.clone());
        Outbox::open(&self.place, disk, self.clock.clone(), "ab", 7).unwrap()
    }

    /// The next sync fails, after a turn of replay has read what was written before it.
    fn fail_after_a_look(&self) {
        let replay = self.replay.clone();
        *self.disk.0.lock().unwrap() = Some(Box::new(move || replay.turn().unwrap()));
    }

    fn has(&self, id: Id) -> bool {
        self.handover.arrived(&Caller::task("test"), &[id]).unwrap()[0]
    }

    fn arrivals(&self) -> usize {
        let asked = crate::domains::handover::lists::Asked { limit: 100, ..Default::default() };
        self.handover.arrivals(&Caller::task("test"), &asked).unwrap().items.len()
    }
}

fn note(text: &str, key: Option<&str>) -> Draft {
    Draft {
        kind: "note".into(),
        by: Author { name: "chef".into(), user: None, door: None },
        body: json!({ "text": text }),
        retry_key: key.map(Into::into),
    }
}

#[test]
fn what_is_answered_after_a_failed_sync_arrives_though_the_failed_line_was_read() {
    let bench = bench();
    let outbox = bench.open();
    let one = outbox.append(note("one", None)).unwrap();
    bench.replay.turn().unwrap();
    bench.fail_after_a_look();
    assert_eq!(outbox.append(note("unsure", None)).unwrap_err().code, "outbox_unwritable");
    bench.clock.pass(Duration::from_millis(1));
    let two = outbox.append(note("two", None)).unwrap();
    drop(outbox);
    bench.replay.turn().unwrap();
    assert!(bench.has(one.id) && bench.has(two.id));
    assert_eq!(bench.replay.lying().unwrap(), Lying::default());
    let archived = outbox::archived(&bench.place).unwrap();
    let kept: Vec<Id> = archived.iter().flat_map(|f| f.entries.iter().map(|e| e.id)).collect();
    assert_eq!(kept, [one.id, two.id]);
}

#[test]
fn a_try_again_of_what_was_read_before_it_failed_arrives_once() {
    let bench = bench();
    let outbox = bench.open();
    bench.fail_after_a_look();
    // The sync that begins a file comes first: nothing is there to be read yet.
    outbox.append(note("one", Some("k"))).unwrap_err();
    outbox.append(note("one", Some("k"))).unwrap();
    bench.fail_after_a_look();
    outbox.append(note("two", Some("l"))).unwrap_err();
    assert_eq!(bench.arrivals(), 2, "the look came before the sync failed");
    bench.clock.pass(Duration::from_millis(1));
    let two = outbox.append(note("two", Some("l"))).unwrap();
    drop(outbox);
    bench.replay.turn().unwrap();
    assert!(bench.has(two.id));
    assert_eq!(bench.arrivals(), 2);
}

#[test]
fn a_file_whose_place_was_written_again_is_offered_anew_and_not_archived_before() {
    let bench = bench();
    let outbox = bench.open();
    outbox.append(note("one", None)).unwrap();
    let file = outbox.file().unwrap();
    let path = bench.place.outbox().join(format!("{file}.jsonl"));
    let short = std::fs::read(&path).unwrap();
    outbox.append(note("two", None)).unwrap();
    bench.replay.turn().unwrap();
    // As a writer that cuts and writes on would do it, seen between the two.
    std::fs::write(&path, &short).unwrap();
    assert_eq!(bench.replay.lying().unwrap().waiting, 1);
    drop(outbox);
    let other = bench.open();
    bench.clock.pass(Duration::from_millis(1));
    other.append(note("three", None)).unwrap();
    let mut seen = bench.replay.seen.lock().unwrap();
    let found = seen.follower.waiting(&bench.place).unwrap().remove(0);
    let mut entries = (*found.entries).clone();
    entries[0].id = Id::new(bench.clock.now());
    let entry = entries[0].id;
    let forged = OutboxFile { entries: Arc::new(entries), ..found };
    bench.replay.archive(&mut seen, &forged).unwrap_err();
    assert!(path.exists(), "archived before its entry arrived");
    bench.replay.take(&mut seen, &forged).unwrap();
    bench.replay.archive(&mut seen, &forged).unwrap();
    assert!(bench.has(entry) && !path.exists());
}
