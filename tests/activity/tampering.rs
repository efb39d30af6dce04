//! A chain of forty links, every tampering at every position, with the name and the number it must get.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ilot::base::caller::Caller;
use ilot::base::clock::{HeldClock, Moment};
use ilot::base::disk::MemoryDisk;
use ilot::base::health::Health;
use ilot::base::tasks::Tasks;
use ilot::store::chain::{Findings, OFFENCES_NAMED, Walk, Wrong, verify};
use ilot::store::journal::{Head, JOURNAL, Link, links};
use ilot::store::{Deed, Ground, Reader, Store, StoreOptions};

pub const LINKS: u64 = 40;

pub fn store() -> Store {
    let clock = Arc::new(HeldClock::at(Moment(1_768_464_000_000)));
    let health = Health::new(clock.clone());
    let ground = Ground { clock, disk: Arc::new(MemoryDisk::default()), health: health.clone() };
    let (path, options) = (Path::new("/t.redb"), StoreOptions::default());
    Store::open(path, &ground, options, &[], &Tasks::new(health)).unwrap()
}

/// A chain as a box writes it; the first links have the shape that boxes wrote before.
pub fn chain() -> Vec<Link> {
    let store = store();
    for number in 0..LINKS {
        store
            .write(move |tx| {
                let mut caller = Caller::task("test");
                caller.agent = number.is_multiple_of(3).then(|| "curl/8".to_owned());
                tx.journal(&caller, Deed::new("name.add", number).after(&number))
            })
            .unwrap();
    }
    let mut chain = store.read(|view| links(view, 1, usize::MAX)).unwrap();
    for link in &mut chain {
        if link.number <= 5 {
            (link.shape, link.agent) = (1, None);
        }
    }
    rehash(&mut chain, 0);
    assert_eq!(chain.len() as u64, LINKS);
    chain
}

/// Makes the chain whole again from `first` on, as somebody does who has read how.
pub fn rehash(chain: &mut [Link], first: usize) {
    for at in first..chain.len() {
        chain[at].previous = if at == 0 { [0; 32] } else { chain[at - 1].hash };
        chain[at].hash = chain[at].digest().unwrap();
    }
}

fn head(chain: &[Link]) -> Head {
    let last = chain.last().unwrap();
    Head { number: last.number, hash: last.hash }
}

fn walked(chain: &[Link], head: Option<Head>, checkpoints: &[(u64, [u8; 32])]) -> Findings {
    let mut walk = Walk::new(head, checkpoints.iter().copied().collect::<BTreeMap<_, _>>());
    for link in chain {
        walk.link(link).unwrap();
    }
    walk.end()
}

#[track_caller]
fn finds(tampered: &[Link], head: Head, wrong: Wrong, number: u64) -> Findings {
    let found = walked(tampered, Some(head), &[]);
    let first = found.first().map(|offence| (offence.wrong, offence.number));
    assert_eq!(first, Some((wrong, number)), "{found:?}");
    assert_eq!(found.count, found.offences.len() as u64);
    found
}

#[test]
fn an_untouched_chain_is_whole() {
    let chain = chain();
    for end in 0..=chain.len() {
        let part = &chain[..end];
        let end = part.last().map(|link| Head { number: link.number, hash: link.hash });
        let found = walked(part, Some(end.unwrap_or_default()), &[]);
        assert!(found.whole() && found.last == end.unwrap_or_default(), "{found:?}");
    }
}

#[test]
fn every_edited_field_is_found_at_its_link() {
    let chain = chain();
    let edits: &[fn(&mut Link)] = &[
        |l| l.at.0 += 1,
        |l| l.since_boot_ms += 1,
        |l| l.doubtful = !l.doubtful,
        |l| l.who.push('x'),
        |l| l.user = Some(ilot::base::id::Id([1; 16])),
        |l| l.door = "cookie".into(),
        |l| l.address = Some("10.0.0.1".into()),
        |l| l.request.clear(),
        |l| l.deed = "name.delete".into(),
        |l| l.object.push('1'),
        |l| l.before = Some("1".into()),
        |l| l.after = None,
        |l| l.previous[31] ^= 1,
        |l| l.hash[0] ^= 1,
        |l| l.number += 1000,
        |l| l.shape = 3 - l.shape,
        |l| l.number += 1,
        |l| l.number -= 1,
    ];
    for at in 0..chain.len() {
        for (which, edit) in edits.iter().enumerate() {
            let mut tampered = chain.clone();
            edit(&mut tampered[at]);
            let found = walked(&tampered, Some(head(&chain)), &[]);
            let first = found.first().map(|o| (o.wrong, o.number));
            assert_eq!(first, Some((Wrong::Edited, at as u64 + 1)), "edit {which}: {found:?}");
            assert_eq!(found.count, 1, "edit {which} at {at}: {found:?}");
        }
    }
}

#[test]
fn an_edit_that_mends_its_own_hash_is_found_by_its_neighbours() {
    let chain = chain();
    for at in 0..chain.len() {
        let mut tampered = chain.clone();
        tampered[at].who = "nobody".into();
        tampered[at].hash = tampered[at].digest().unwrap();
        let found = finds(&tampered, head(&chain), Wrong::Edited, at as u64 + 1);
        assert_eq!(found.count, 1, "{found:?}");
        // The same with the link before it disowned.
        tampered[at].previous = [9; 32];
        tampered[at].hash = tampered[at].digest().unwrap();
        let found = finds(&tampered, head(&chain), Wrong::Edited, at as u64 + 1);
        assert_eq!(found.count, 1, "{found:?}");
    }
}

#[test]
fn what_is_deleted_is_named_by_its_numbers() {
    let chain = chain();
    for at in 0..chain.len() - 1 {
        for many in 1..=3.min(chain.len() - 1 - at) {
            let mut tampered = chain.clone();
            tampered.drain(at..at + many);
            let found = finds(&tampered, head(&chain), Wrong::Deleted, at as u64 + 1);
            let numbers: Vec<u64> = found.offences.iter().map(|o| o.number).collect();
            assert_eq!(numbers, (at as u64 + 1..=(at + many) as u64).collect::<Vec<_>>());
            // The same with the numbers after it closed up.
            for link in &mut tampered[at..] {
                link.number -= many as u64;
            }
            if many == 1 {
                let found = finds(&tampered, head(&chain), Wrong::Deleted, at as u64 + 1);
                assert_eq!(found.count, 1, "{found:?}");
            } else {
                assert!(!walked(&tampered, Some(head(&chain)), &[]).whole());
            }
        }
    }
}

#[test]
fn an_extra_link_is_found_wherever_it_is_put() {
    let chain = chain();
    for at in 0..=chain.len() {
        for copy in 0..chain.len() {
            let mut tampered = chain.clone();
            tampered.insert(at, chain[copy].clone());
            let found = finds(&tampered, head(&chain), Wrong::Inserted, copy as u64 + 1);
            assert_eq!(found.count, 1, "{copy} at {at}: {found:?}");
        }
        // A forged one, well made, that takes its successor's number.
        let mut forged = chain[at.min(chain.len() - 1)].clone();
        forged.number = at as u64 + 1;
        forged.who = "somebody".into();
        forged.previous = if at == 0 { [0; 32] } else { chain[at - 1].hash };
        forged.hash = forged.digest().unwrap();
        let mut tampered = chain.clone();
        tampered.insert(at, forged.clone());
        let found = finds(&tampered, head(&chain), Wrong::Inserted, at as u64 + 1);
        assert_eq!(found.count, 1, "{found:?}");
        // The same with the numbers after it moved along.
        for link in &mut tampered[at + 1..] {
            link.number += 1;
        }
        let found = finds(&tampered, head(&chain), Wrong::Inserted, at as u64 + 1);
        assert_eq!(found.count, 1, "{found:?}");
        // And with a forged one that is not even well made.
        forged.hash = [5; 32];
        let mut tampered = chain.clone();
        tampered.insert(at, forged);
        finds(&tampered, head(&chain), Wrong::Inserted, at as u64 + 1);
    }
}

#[test]
fn links_out_of_order_are_named() {
    let chain = chain();
    for i in 0..chain.len() {
        for j in i + 1..chain.len() {
            let mut tampered = chain.clone();
            tampered.swap(i, j);
            let found = walked(&tampered, Some(head(&chain)), &[]);
            assert!(found.offences.iter().all(|o| o.wrong == Wrong::Reordered), "{found:?}");
            let numbers: Vec<u64> = found.offences.iter().map(|o| o.number).collect();
            let (a, b) = (i as u64 + 1, j as u64 + 1);
            // Of two neighbours that changed places, either is out of order with the other.
            let both = if j == i + 1 { vec![b] } else { vec![a, b] };
            assert_eq!(numbers, both, "{i} and {j}");
            // One link moved alone.
            let mut tampered = chain.clone();
            let moved = tampered.remove(i);
            tampered.insert(j, moved);
            let found = walked(&tampered, Some(head(&chain)), &[]);
            let named: Vec<_> = found.offences.iter().map(|o| (o.wrong, o.number)).collect();
            let which = if j == i + 1 { b } else { a };
            assert_eq!(named, [(Wrong::Reordered, which)], "{i} to {j}");
            let mut tampered = chain.clone();
            let moved = tampered.remove(j);
            tampered.insert(i, moved);
            let found = walked(&tampered, Some(head(&chain)), &[]);
            let named: Vec<_> = found.offences.iter().map(|o| (o.wrong, o.number)).collect();
            assert_eq!(named, [(Wrong::Reordered, b)], "{j} to {i}");
        }
    }
}

#[test]
fn a_cut_tail_is_known_by_the_head_and_by_a_checkpoint() {
    let chain = chain();
    for end in 0..chain.len() {
        let part = &chain[..end];
        let found = finds(part, head(&chain), Wrong::Cut, end as u64 + 1);
        assert_eq!(found.count, 1);
        // Whoever cuts the tail and corrects the head forgets what was signed.
        let corrected = part.last().map(|l| Head { number: l.number, hash: l.hash });
        let signed = [(LINKS, chain.last().unwrap().hash)];
        let found = walked(part, Some(corrected.unwrap_or_default()), &signed);
        let first = found.first().map(|o| (o.wrong, o.number));
        assert_eq!(first, Some((Wrong::Cut, end as u64 + 1)));
    }
}

#[test]
fn a_chain_made_anew_disagrees_with_what_was_signed() {
    let chain = chain();
    let signed: Vec<_> =
        chain.iter().map(|l| (l.number, l.hash)).filter(|l| l.0 % 10 == 0).collect();
    assert!(walked(&chain, Some(head(&chain)), &signed).whole());
    for at in 0..chain.len() {
        let mut tampered = chain.clone();
        tampered[at].who = "nobody".into();
        rehash(&mut tampered, at);
        assert!(walked(&tampered, Some(head(&tampered)), &[]).whole(), "nothing else can show it");
        let found = walked(&tampered, Some(head(&tampered)), &signed);
        let first = found.first().map(|o| (o.wrong, o.number));
        let checkpoint = (at as u64 + 1).next_multiple_of(10);
        assert_eq!(first, Some((Wrong::Rewritten, checkpoint)), "{found:?}");
        assert_eq!(found.count, (LINKS - checkpoint) / 10 + 1);
    }
}

#[test]
fn offences_are_all_counted_and_the_first_are_named() {
    let mut chain = Vec::new();
    for number in 1..=300 {
        let mut link = self::chain().remove(0);
        link.number = number;
        chain.push(link);
        let at = chain.len() - 1;
        rehash(&mut chain, at);
    }
    let head = head(&chain);
    for link in &mut chain {
        link.who = "nobody".into();
    }
    let found = walked(&chain, Some(head), &[]);
    assert_eq!((found.count, found.offences.len()), (300, OFFENCES_NAMED));
    assert_eq!(found.offences.last().map(|o| o.number), Some(100));
    // A gap of any width costs nothing.
    let far = [chain[0].clone(), Link { number: u64::MAX - 1, ..chain[1].clone() }];
    assert!(walked(&far, None, &[]).count > 0);
    let far = [chain[0].clone(), Link { number: u64::MAX, ..chain[1].clone() }, chain[1].clone()];
    let last = Some(Head { number: u64::MAX, hash: [0; 32] });
    assert!(walked(&far, last, &[(u64::MAX, [0; 32])]).count > 0);
    let cut = walked(&chain[..0], Some(Head { number: u64::MAX - 1, hash: [0; 32] }), &[]);
    assert_eq!(cut.count, 1);
}

/// The same in the store itself, where a row also has a key.
#[test]
fn rows_of_the_store_are_walked_like_lines_of_a_file() {
    let store = store();
    for number in 0..LINKS {
        store
            .write(move |tx| tx.journal(&Caller::task("test"), Deed::new("name.add", number)))
            .unwrap();
    }
    let check = || store.read(verify).unwrap();
    let link = |n: u64| store.read(|view| view.get(&JOURNAL, &n)).unwrap().unwrap();
    let put = |rows: Vec<(u64, Option<Link>)>| {
        store
            .write(move |tx| {
                rows.iter().try_for_each(|(key, link)| match link {
                    Some(link) => tx.put(&JOURNAL, key, link),
                    None => tx.remove(&JOURNAL, key),
                })
            })
            .unwrap();
    };
    assert!(check().whole());
    let first = |found: Findings| found.first().map(|o| (o.wrong, o.number));
    for n in 1..=LINKS {
        let true_one = link(n);
        put(vec![(n, Some(Link { who: "somebody".into(), ..true_one.clone() }))]);
        assert_eq!(first(check()), Some((Wrong::Edited, n)));
        put(vec![(n, None)]);
        let gone = if n == LINKS { Wrong::Cut } else { Wrong::Deleted };
        assert_eq!(first(check()), Some((gone, n)));
        put(vec![(n, Some(true_one.clone()))]);
        store
            .write(move |tx| tx.set_raw(JOURNAL.name, n.to_be_bytes().to_vec(), Some(vec![2, 9])))
            .unwrap();
        assert_eq!(first(check()), Some((Wrong::Edited, n)));
        put(vec![(n, Some(true_one))]);
    }
    put(vec![(3, Some(link(9))), (9, Some(link(3)))]);
    assert_eq!(first(check()), Some((Wrong::Reordered, 3)));
    put(vec![(3, Some(link(9))), (9, Some(link(3)))]);
    assert!(check().whole());
    put(vec![(LINKS + 1, Some(link(LINKS)))]);
    assert_eq!(first(check()), Some((Wrong::Inserted, LINKS)));
    put(vec![(LINKS + 1, None)]);
    // Everything under the key after its own: the links are whole, their places are not.
    let rows: Vec<_> = (1..=LINKS).map(|n| (n + 1, Some(link(n)))).collect();
    put(vec![(1, None)]);
    put(rows);
    assert_eq!(first(check()), Some((Wrong::Reordered, 1)));
}
