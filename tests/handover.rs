//! The handover: whatever is brought, how often, and whenever the power goes, every entry is taken once
//! and in its order.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ilot::base::caller::{Caller, Right, Rights, Who};
use ilot::base::clock::{HeldClock, Moment};
use ilot::base::disk::MemoryDisk;
use ilot::base::fault::{Fault, Kind};
use ilot::base::health::{Health, Level};
use ilot::base::id::Id;
use ilot::base::tasks::Tasks;
use ilot::domains::handover::lists::Asked;
use ilot::domains::handover::records::{ARRIVALS, Arrived, OPEN, Outcome, REPORTS, Report};
use ilot::domains::handover::{Arrival, Handover, PART, Taker};
use ilot::store::{Deed, Ground, Reader, Store, StoreOptions, Table, all, chain, journal};
use serde_json::json;

use crate::store::sim_disk::{Dice, SimDisk};

/// What the takers of these tests write, in the order they wrote it.
const TOOK: Table<u64, Id> = Table::journaled("test.took");
const NOW: Moment = Moment(1_800_000_000_000);
const PATH: &str = "/data/store.redb";

fn id(number: u64) -> Id {
    Id((u128::from(number) << 64).to_be_bytes())
}

fn arrival(number: u64, seq: u64, kind: &str) -> Arrival {
    Arrival {
        id: id(number),
        seq,
        kind: kind.to_owned(),
        at: Moment(NOW.0 + i64::try_from(seq).unwrap()),
        by: "Anna".into(),
        user: None,
        door: None,
        body: json!({ "text": number }),
    }
}

/// Writes the entry down behind those before it.
fn taker() -> Taker {
    Arc::new(|tx, arrival| {
        let place = tx.last(&TOOK, &all())?.map_or(0, |(place, _)| place + 1);
        tx.put(&TOOK, &place, &arrival.id)?;
        tx.journal(&Caller::task("test"), Deed::new("test.take", arrival.id))?;
        Ok(Outcome::Taken { record: format!("row {place}") })
    })
}

/// Writes as [`taker`] does, and then finds that the entry does not fit.
fn refuser() -> Taker {
    let writes = taker();
    Arc::new(move |tx, arrival| {
        writes(tx, arrival)?;
        Err(Fault::conflict("does_not_fit", "It does not fit."))
    })
}

struct Desk {
    handover: Handover,
    store: Store,
    health: Health,
}

fn desk() -> Desk {
    let clock = Arc::new(HeldClock::at(NOW));
    let health = Health::new(clock.clone());
    let ground = Ground { clock, disk: Arc::new(MemoryDisk::default()), health: health.clone() };
    let tasks = Tasks::new(health.clone());
    let options = StoreOptions::default();
    let store = Store::open(Path::new(PATH), &ground, options, &[], &tasks).unwrap();
    let handover = Handover::open(store.clone(), health.clone()).unwrap();
    handover.on("punch", taker());
    handover.on("bad", refuser());
    Desk { handover, store, health }
}

impl Desk {
    fn took(&self) -> Vec<Id> {
        let rows = self.store.read(|view| view.list(&TOOK, &all(), usize::MAX)).unwrap();
        rows.into_iter().map(|(_, id)| id).collect()
    }

    fn deeds(&self) -> Vec<String> {
        let links = self.store.read(|view| journal::links(view, 1, usize::MAX)).unwrap();
        links.into_iter().map(|link| link.deed).collect()
    }

    fn arrived(&self, number: u64) -> Arrived {
        self.store.read(|view| view.get(&ARRIVALS, &id(number))).unwrap().unwrap()
    }

    fn ids(&self, asked: Asked) -> Vec<Id> {
        let page = self.handover.arrivals(&Caller::console("t"), &asked).unwrap();
        page.items.into_iter().map(|arrived| arrived.id).collect()
    }
}

fn somebody(rights: &[Right]) -> Caller {
    let who = Who::User { id: id(9_999), name: "zoe".into() };
    Caller { who, rights: rights.iter().copied().collect::<Rights>(), ..Caller::nobody(None, "t") }
}

#[test]
fn a_file_is_taken_once_in_order_and_told() {
    let desk = desk();
    let file = id(1);
    let kinds = ["punch", "note", "bad", "drill", "mission", "punch"];
    let arrivals: Vec<_> =
        (0..).zip(kinds).map(|(seq, kind)| arrival(100 + seq, seq, kind)).collect();
    let report = desk.handover.take(file, arrivals.clone(), None).unwrap();
    let wanted = Report {
        file,
        first_at: NOW,
        last_at: Moment(NOW.0 + 5),
        taken_at: NOW,
        entries: 6,
        taken: 3,
        conflicts: 1,
        notes: 1,
        waiting: 1,
        damage: None,
    };
    assert_eq!(report, wanted);
    assert_eq!(desk.took(), [id(100), id(105)], "what did not fit has left nothing");
    let Outcome::Conflict { code, reason } = desk.arrived(102).outcome else { panic!() };
    assert_eq!((code.as_str(), reason.as_str()), ("does_not_fit", "It does not fit."));
    let deeds =
        ["test.take", "handover.conflict", "continuity.drill_entry", "test.take", "handover.take"];
    assert_eq!(desk.deeds(), deeds);
    assert_eq!(desk.health.level(PART), Some(Level::Reduced));
    // Brought again, in part and whole: nothing is written.
    let seq = desk.store.seq();
    assert_eq!(desk.handover.take(file, arrivals[2..4].to_vec(), None).unwrap(), wanted);
    assert_eq!(desk.handover.take(file, arrivals, None).unwrap(), wanted);
    assert_eq!(desk.store.seq(), seq);
}

#[test]
fn an_empty_file_leaves_nothing_and_damage_is_told_once() {
    let desk = desk();
    assert_eq!(desk.handover.take(id(1), vec![], None).unwrap().entries, 0);
    assert_eq!(desk.store.seq(), 0);
    let damage = Some("line 3: its hash is another");
    let report = desk.handover.take(id(1), vec![arrival(5, 0, "punch")], damage).unwrap();
    assert_eq!((report.damage.as_deref(), report.taken), (damage, 1));
    desk.handover.take(id(1), vec![arrival(5, 0, "punch")], damage).unwrap();
    assert_eq!(desk.deeds(), ["handover.damage", "test.take", "handover.take"]);
}

#[test]
fn what_stops_a_file_keeps_what_came_before_and_goes_on_from_there() {
    let desk = desk();
    let stuck = Arc::new(Mutex::new(Some(Kind::Broken)));
    let (asked, writes) = (stuck.clone(), taker());
    desk.handover.on(
        "punch",
        Arc::new(move |tx, arrival| {
            writes(tx, arrival)?;
            match *asked.lock().unwrap() {
                Some(kind) if arrival.id == id(103) => Err(Fault::new(kind, "stuck", "Stuck.")),
                _ => Ok(Outcome::Taken { record: String::new() }),
            }
        }),
    );
    desk.handover.on("panic", Arc::new(|_, _| panic!("a slip")));
    let file = || (0..6).map(|seq| arrival(100 + seq, seq, "punch")).collect::<Vec<_>>();
    for kind in [Kind::Broken, Kind::Unavailable, Kind::Busy, Kind::Full, Kind::TooSlow] {
        *stuck.lock().unwrap() = Some(kind);
        assert_eq!(desk.handover.take(id(1), file(), None).unwrap_err().kind, kind);
        assert_eq!(desk.took(), [id(100), id(101), id(102)]);
    }
    *stuck.lock().unwrap() = None;
    assert_eq!(desk.handover.take(id(1), file(), None).unwrap().taken, 6);
    assert_eq!(desk.took(), (100..106).map(id).collect::<Vec<_>>());
    let slip = vec![arrival(200, 0, "punch"), arrival(201, 1, "panic"), arrival(202, 2, "punch")];
    assert_eq!(desk.handover.take(id(2), slip, None).unwrap_err().kind, Kind::Broken);
    assert_eq!(desk.took().last(), Some(&id(200)));
}

#[test]
fn two_entries_in_one_place_are_both_kept() {
    let desk = desk();
    let file = vec![arrival(100, 0, "punch"), arrival(101, 1, "punch")];
    desk.handover.take(id(1), file, None).unwrap();
    let report = desk.handover.take(id(1), vec![arrival(102, 0, "punch")], None).unwrap();
    assert_eq!((report.entries, report.taken, report.conflicts), (3, 2, 1));
    let arrived = desk.arrived(102);
    assert_eq!(arrived.seq, 2);
    let code = "arrival_place_taken";
    assert!(matches!(arrived.outcome, Outcome::Conflict { code: found, .. } if found == code));
    assert_eq!(desk.took(), [id(100), id(101)]);
}

#[test]
fn what_waits_is_offered_once_somebody_takes_it() {
    let desk = desk();
    let kinds = ["mission", "punch", "mission", "trip", "mission"];
    let file = (0..).zip(kinds).map(|(seq, kind)| arrival(100 + seq, seq, kind)).collect();
    assert_eq!(desk.handover.take(id(1), file, None).unwrap().waiting, 4);
    desk.handover.offer_again().unwrap();
    let manager = somebody(&[Right::ManageContinuity]);
    desk.handover.done(&manager, id(102), "fait à la main").unwrap();
    let seq = desk.store.seq();
    desk.handover.offer_again().unwrap();
    assert_eq!(desk.store.seq(), seq, "nobody came, and nothing is written");
    desk.handover.on("mission", taker());
    desk.handover.offer_again().unwrap();
    assert_eq!(desk.took(), [id(101), id(100), id(104)]);
    let report = desk.store.read(|view| view.get(&REPORTS, &id(1))).unwrap().unwrap();
    assert_eq!((report.entries, report.taken, report.waiting), (5, 3, 2));
    assert_eq!(desk.ids(Asked { open: Some(true), limit: 9, ..Asked::default() }), [id(103)]);
}

#[test]
fn a_person_deals_with_what_waits() {
    let desk = desk();
    let file = vec![arrival(100, 0, "note"), arrival(101, 1, "bad"), arrival(102, 2, "punch")];
    desk.handover.take(id(1), file, None).unwrap();
    let (manager, dispatcher) =
        (somebody(&[Right::ManageContinuity]), somebody(&[Right::EditPlanning]));
    let code = |done: Result<Arrived, Fault>| done.unwrap_err().code;
    let nobody = Caller::nobody(None, "t");
    assert_eq!(code(desk.handover.done(&nobody, id(100), "")), "unauthenticated");
    let watcher = somebody(&[Right::UseContinuity]);
    assert_eq!(code(desk.handover.done(&watcher, id(100), "")), "right_missing");
    assert_eq!(code(desk.handover.done(&dispatcher, id(101), "")), "right_missing");
    assert_eq!(code(desk.handover.done(&manager, id(102), "")), "arrival_not_open");
    assert_eq!(code(desk.handover.done(&manager, id(7), "")), "not_found");
    assert_eq!(code(desk.handover.done(&manager, id(101), &"x".repeat(501))), "validation");
    let done = desk.handover.done(&dispatcher, id(100), " noté ").unwrap();
    assert_eq!(done.outcome, Outcome::Done { by: "zoe".into(), at: NOW, remark: "noté".into() });
    assert_eq!(desk.health.level(PART), Some(Level::Reduced));
    desk.handover.done(&manager, id(101), "").unwrap();
    assert_eq!(desk.health.level(PART), Some(Level::Ok));
    assert_eq!(code(desk.handover.done(&manager, id(101), "")), "arrival_not_open");
    assert_eq!(desk.deeds().iter().filter(|deed| *deed == "handover.done").count(), 2);
}

#[test]
fn lists_are_newest_first_in_pages() {
    let desk = desk();
    for file in 1..=2 {
        let kinds = ["punch", "note", "note", "punch", "note"];
        let file_of = (0..).zip(kinds).map(|(seq, kind)| arrival(file * 100 + seq, seq, kind));
        desk.handover.take(id(file), file_of.collect(), None).unwrap();
    }
    let every = Asked { limit: 4, ..Asked::default() };
    assert_eq!(desk.ids(every), [204, 203, 202, 201].map(id));
    assert_eq!(desk.ids(Asked { before: Some(id(201)), ..every }), [200, 104, 103, 102].map(id));
    let open = Asked { open: Some(true), limit: 2, ..Asked::default() };
    assert_eq!(desk.ids(open), [204, 202].map(id));
    assert_eq!(desk.ids(Asked { before: Some(id(202)), ..open }), [201, 104].map(id));
    let settled = Asked { open: Some(false), file: Some(id(1)), ..every };
    assert_eq!(desk.ids(settled), [103, 100].map(id));
    assert_eq!(desk.ids(Asked { before: Some(id(103)), ..settled }), [id(100)]);
    assert_eq!(desk.ids(Asked { before: Some(id(204)), ..settled }), [103, 100].map(id));
    assert!(desk.ids(Asked { limit: 0, ..every }).is_empty());
    let lost = Asked { before: Some(id(7)), ..every };
    let fault = desk.handover.arrivals(&Caller::console("t"), &lost).unwrap_err();
    assert_eq!(fault.code, "not_found");
    let key = somebody(&[Right::UseContinuity, Right::SealContinuity, Right::RelayContinuity]);
    assert_eq!(desk.handover.arrivals(&key, &every).unwrap_err().code, "right_missing");
    assert_eq!(desk.handover.reports(&key).unwrap_err().code, "right_missing");
    let watcher = somebody(&[Right::UseContinuity, Right::ManageAttendance]);
    assert_eq!(desk.handover.arrivals(&watcher, &every).unwrap().total_open, 6);
    let reports = desk.handover.reports(&watcher).unwrap();
    let told: Vec<_> = reports.iter().map(|r| (r.report.file, r.open)).collect();
    assert_eq!(told, [(id(2), 3), (id(1), 3)]);
    let stranger = somebody(&[Right::ManageContinuity]);
    assert_eq!(desk.handover.reports(&stranger).unwrap_err().code, "right_missing");
}

// --- many lives ---------------------------------------------------------------------------------

const FILES: u64 = 4;
const KINDS: [&str; 6] = ["punch", "punch", "note", "bad", "mission", "drill"];

/// Files of random length, whose entries are of random kinds.
fn files(dice: &mut Dice) -> Vec<(Id, Vec<Arrival>)> {
    (1..=FILES)
        .map(|file| {
            let length = dice.below(200);
            let kind = |dice: &mut Dice| KINDS[usize::try_from(dice.below(6)).unwrap()];
            let entries =
                (0..length).map(|seq| arrival(file * 1_000 + seq, seq, kind(dice))).collect();
            (id(file), entries)
        })
        .collect()
}

/// A beginning of a file as a reader may bring it, with entries twice and out of their place.
fn brought(entries: &[Arrival], dice: &mut Dice) -> Vec<Arrival> {
    let end = usize::try_from(dice.below(entries.len() as u64 + 1)).unwrap();
    let mut some = Vec::new();
    for (at, entry) in entries[..end].iter().enumerate() {
        some.push(entry.clone());
        if dice.once_in(10) {
            // An entry that came before comes again behind it.
            let earlier = usize::try_from(dice.below(at as u64 + 1)).unwrap();
            some.push(entries[earlier].clone());
        }
    }
    some
}

/// A taker that is at fault now and then.
fn shaky(dice: Dice) -> Taker {
    let (dice, writes) = (Mutex::new(dice), taker());
    Arc::new(move |tx, arrival| {
        let outcome = writes(tx, arrival)?;
        match dice.lock().unwrap().below(60) {
            0 => Err(Fault::broken("taking", "a slip")),
            1 => panic!("a slip"),
            _ => Ok(outcome),
        }
    })
}

/// One life of the box: opens, brings files until the power goes or the day is over.
fn live(disk: &SimDisk, files: &[(Id, Vec<Arrival>)], dice: &mut Dice, missions: bool) {
    let clock = Arc::new(HeldClock::at(NOW));
    let health = Health::new(clock.clone());
    let ground = Ground { clock, disk: Arc::new(disk.clone()), health: health.clone() };
    let tasks = Tasks::new(health.clone());
    let options = StoreOptions { cache_mib: 4, reserve_mib: 0, ..StoreOptions::default() };
    let Ok(store) = Store::open(Path::new(PATH), &ground, options, &[], &tasks) else { return };
    if let Ok(handover) = Handover::open(store.clone(), health) {
        handover.on("punch", shaky(Dice::new(dice.roll())));
        handover.on("bad", refuser());
        if missions {
            handover.on("mission", shaky(Dice::new(dice.roll())));
        }
        for _ in 0..4 {
            for (file, entries) in files {
                let _ = handover.take(*file, brought(entries, dice), None);
            }
            let _ = handover.offer_again();
        }
    }
    disk.cut();
    store.close();
}

/// What must be so once everything was brought.
fn check(store: &Store, files: &[(Id, Vec<Arrival>)]) {
    let (took, arrived, open, reports) = store
        .read(|view| {
            assert!(chain::verify(view)?.whole());
            Ok((
                view.list(&TOOK, &all(), usize::MAX)?,
                view.list(&ARRIVALS, &all(), usize::MAX)?,
                view.list(&OPEN, &all(), usize::MAX)?,
                view.list(&REPORTS, &all(), usize::MAX)?,
            ))
        })
        .unwrap();
    let took: Vec<Id> = took.into_iter().map(|(_, id)| id).collect();
    assert_eq!(took.iter().collect::<BTreeSet<_>>().len(), took.len(), "something twice");
    let entries = || files.iter().flat_map(|(_, entries)| entries);
    assert_eq!(arrived.len(), entries().count());
    for (_, entries) in files {
        for kind in ["punch", "mission"] {
            let ids = |kind: &str| {
                entries.iter().filter(|e| e.kind == kind).map(|e| e.id).collect::<Vec<_>>()
            };
            let wanted = ids(kind);
            let found: Vec<Id> = took.iter().copied().filter(|id| wanted.contains(id)).collect();
            assert_eq!(found, wanted, "lost, or out of order");
        }
    }
    let waits = |kind: &str| entries().filter(|e| e.kind == kind).count();
    assert_eq!(open.len(), waits("note") + waits("bad"));
    for (file, report) in reports {
        let entries = &files.iter().find(|(id, _)| *id == file).unwrap().1;
        let of = |kind: &str| entries.iter().filter(|e| e.kind == kind).count() as u64;
        let counts = (report.entries, report.taken, report.conflicts, report.notes, report.waiting);
        let taken = of("punch") + of("drill") + of("mission");
        assert_eq!(counts, (entries.len() as u64, taken, of("bad"), of("note"), 0));
    }
}

#[test]
fn whatever_is_brought_and_whenever_the_power_goes_every_entry_is_taken_once_and_in_order() {
    for seed in 0..24 {
        let mut dice = Dice::new(seed);
        let disk = SimDisk::new(!seed);
        let files = files(&mut dice);
        for life in 0..12 {
            disk.cut_in(Some(1 + dice.below(300)));
            live(&disk, &files, &mut dice, life > 6);
            disk.restore();
        }
        let clock = Arc::new(HeldClock::at(NOW));
        let health = Health::new(clock.clone());
        let ground = Ground { clock, disk: Arc::new(disk.clone()), health: health.clone() };
        let tasks = Tasks::new(health.clone());
        let options = StoreOptions { cache_mib: 4, reserve_mib: 0, ..StoreOptions::default() };
        let store = Store::open(Path::new(PATH), &ground, options, &[], &tasks).unwrap();
        let handover = Handover::open(store.clone(), health).unwrap();
        handover.on("punch", taker());
        handover.on("bad", refuser());
        handover.on("mission", taker());
        for (file, entries) in &files {
            handover.take(*file, entries.clone(), None).unwrap();
        }
        handover.offer_again().unwrap();
        check(&store, &files);
        store.close();
    }
}
