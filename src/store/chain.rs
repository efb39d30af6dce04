//! The walk along the journal's chain: it names what somebody did to it, and to which link.
//!
//! It reads links in the order in which they lie, from the store or from an exported file, one at a time
//! and in bounded memory. What it can know: a link whose content no longer has its hash, numbers that
//! are missing, doubled or out of order, a tail that the head or a signed checkpoint still remembers, and
//! a chain that is whole in itself but is not the one that was signed. What no chain can prove: that
//! nothing was left out before it was written, and that somebody who holds the disk *and* the key did not
//! make the whole of it anew; only a checkpoint kept elsewhere shows that.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use serde::{Deserialize, Serialize};

use super::journal::{self, Head, JOURNAL, Link};
use super::table::{Record, read_key};
use super::view::{Reader, from};
use crate::base::clock::Moment;
use crate::base::fault::Fault;

/// Offences named one by one; further ones are counted.
pub const OFFENCES_NAMED: usize = 100;
/// Gaps and misplaced links remembered at once; what goes beyond is named as it stands.
const REMEMBERED: usize = 10_000;

/// What was done to a link. In the order in which one hides another of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// An extra link.
    Inserted,
    /// Its content no longer has its hash, or its hash is not what its successor remembers.
    Edited,
    /// Its number is missing.
    Deleted,
    /// It stands somewhere else than its number says.
    Reordered,
    /// It and everything after it is gone.
    Cut,
    /// It is whole, but a signed checkpoint knew another link of this number.
    Rewritten,
    /// The checkpoint of this number is not signed by this box's key.
    CheckpointForged,
    /// The end of an exported file is not signed by this box's key, or is not the end it names.
    ExportUnsigned,
}

impl Wrong {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inserted => "inserted",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Reordered => "reordered",
            Self::Cut => "cut",
            Self::Rewritten => "rewritten",
            Self::CheckpointForged => "checkpoint_forged",
            Self::ExportUnsigned => "export_unsigned",
        }
    }
}

/// One thing that was done to the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offence {
    /// The number of the link it shows at.
    pub number: u64,
    /// What was done.
    pub wrong: Wrong,
    /// The link's deed, where it can be read; not to be trusted when the link was edited.
    pub deed: Option<String>,
    /// The link's moment, likewise.
    pub at: Option<Moment>,
}

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Findings {
    /// Links walked along.
    pub links: u64,
    /// The last link that stood in its place.
    pub last: Head,
    /// How many offences there are.
    pub count: u64,
    /// The first of them by number, [`OFFENCES_NAMED`] at most.
    pub offences: Vec<Offence>,
}

impl Findings {
    /// Whether nothing was found.
    pub fn whole(&self) -> bool {
        self.count == 0
    }

    /// The first offence.
    pub fn first(&self) -> Option<&Offence> {
        self.offences.first()
    }
}

/// A link on its way into the walk.
struct Found {
    number: u64,
    /// Whether its content has its hash.
    sound: bool,
    /// How far the number it shows is from the one its hash was computed with.
    offset: i64,
    previous: [u8; 32],
    hash: [u8; 32],
    deed: Option<String>,
    at: Option<Moment>,
}

/// The walk. Feed it every link, then [`Walk::end`] it.
pub struct Walk {
    head: Option<Head>,
    checkpoints: BTreeMap<u64, [u8; 32]>,
    links: u64,
    /// The number that comes next.
    expected: u64,
    /// By how much the numbers that links show have been moved.
    shift: i64,
    /// The next link, which tells whether the one before it stands ahead of its place.
    held: Option<Found>,
    /// The last link in its place; none right after a gap.
    last: Option<Found>,
    /// The one before it.
    before: Option<(Option<String>, Option<Moment>)>,
    /// The hash of a second link with the last one's number.
    twin: Option<[u8; 32]>,
    /// The last link's number, when it remembers another predecessor: its successor tells who is odd.
    doubt: Option<u64>,
    missing: Vec<Range<u64>>,
    early: BTreeSet<u64>,
    /// The first link under a key that is not its number.
    displaced: Option<u64>,
    /// Whether what was walked along is known to end too early.
    cut: bool,
    named: BTreeMap<u64, Offence>,
    count: u64,
}

impl Walk {
    /// A walk from the first link on. `head` is the end that is known otherwise, `checkpoints` are those
    /// whose signatures are good.
    pub fn new(head: Option<Head>, checkpoints: BTreeMap<u64, [u8; 32]>) -> Self {
        Self::onwards(Head::default(), head, checkpoints)
    }

    /// A walk that goes on after `whole`, up to which the chain was found whole before.
    pub fn onwards(whole: Head, head: Option<Head>, checkpoints: BTreeMap<u64, [u8; 32]>) -> Self {
        let last = Found {
            number: whole.number,
            sound: true,
            offset: 0,
            previous: [0; 32],
            hash: whole.hash,
            deed: None,
            at: None,
        };
        Self {
            head,
            checkpoints,
            links: 0,
            expected: whole.number.saturating_add(1),
            shift: 0,
            held: None,
            last: Some(last),
            before: None,
            twin: None,
            doubt: None,
            missing: Vec::new(),
            early: BTreeSet::new(),
            displaced: None,
            cut: false,
            named: BTreeMap::new(),
            count: 0,
        }
    }

    /// Says what end is known otherwise.
    pub fn towards(&mut self, head: Head) {
        self.head = Some(head);
    }

    /// Takes the next link of a file, which has no place but its order.
    ///
    /// # Errors
    /// `Broken` when a link cannot be written down to be hashed.
    pub fn link(&mut self, link: &Link) -> Result<(), Fault> {
        let found = self.read(link)?;
        self.step(found);
        Ok(())
    }

    /// Takes the next row of the store: the key it lies under, and its bytes.
    ///
    /// # Errors
    /// As [`Walk::link`].
    pub fn row(&mut self, key: u64, row: &[u8]) -> Result<(), Fault> {
        let found = match Link::decode(row) {
            Ok(link) => {
                let mut found = self.read(&link)?;
                if found.number != key {
                    self.displaced.get_or_insert(found.number);
                }
                if !found.sound && link.number != key {
                    found.number = key;
                }
                found
            }
            Err(_) => Found {
                number: key,
                sound: false,
                offset: 0,
                previous: [0; 32],
                hash: [0; 32],
                deed: None,
                at: None,
            },
        };
        self.step(found);
        Ok(())
    }

    /// Says that something came after the last link, and that it is gone: what it was is not known.
    pub fn cut(&mut self) {
        self.cut = true;
    }

    /// Names a checkpoint whose signature is not good.
    pub fn forged(&mut self, number: u64, at: Option<Moment>) {
        self.name(Offence { number, wrong: Wrong::CheckpointForged, deed: None, at });
    }

    /// Says that a file's end, at link `number`, is not signed: it may have been written anew.
    pub fn unsigned(&mut self, number: u64, at: Option<Moment>) {
        self.name(Offence { number, wrong: Wrong::ExportUnsigned, deed: None, at });
    }

    /// Links whose numbers were moved along by an insertion or a deletion still have the hashes of their
    /// old numbers.
    fn read(&mut self, link: &Link) -> Result<Found, Fault> {
        let mut found = Found {
            number: link.number,
            sound: link.digest()? == link.hash,
            offset: 0,
            previous: link.previous,
            hash: link.hash,
            deed: Some(link.deed.clone()),
            at: Some(link.at),
        };
        if found.sound {
            return Ok(found);
        }
        for offset in [self.shift, self.shift + 1, self.shift - 1] {
            let Some(number) = link.number.checked_add_signed(-offset).filter(|_| offset != 0)
            else {
                continue;
            };
            let moved = Link { number, ..link.clone() };
            if moved.digest()? == link.hash {
                (found.number, found.offset, found.sound) = (number, offset, true);
                break;
            }
        }
        Ok(found)
    }

    fn step(&mut self, found: Found) {
        self.links += 1;
        if let Some(held) = self.held.replace(found) {
            let next = self.held.as_ref().map(|found| found.number);
            self.place(held, next);
        }
    }

    fn place(&mut self, mut found: Found, next: Option<u64>) {
        let follows = self.last.as_ref().is_some_and(|last| last.hash == found.previous);
        if !found.sound && follows {
            // Whatever its number says, it is tied to the link before it.
            found.number = self.expected;
        } else if !found.sound {
            found.number = found.number.saturating_add_signed(-self.shift);
        } else if found.offset != self.shift {
            if found.offset != 0 && found.number == self.expected {
                // It is where it belongs, and alone in showing another number.
                found.sound = false;
            } else {
                self.shift = found.offset;
            }
        }
        let number = found.number;
        if number < self.expected {
            return self.late(&found);
        }
        if number > self.expected {
            let ahead = next.filter(|next| (self.expected..number).contains(next));
            if let Some(next) = ahead {
                if self.early.len() < REMEMBERED {
                    self.early.insert(number);
                } else {
                    self.offence(number, Wrong::Reordered, &found);
                }
                self.gap(next);
                return;
            }
            self.gap(number);
        }
        self.accept(found);
    }

    /// A link that stands behind its place, or a second one of its number.
    fn late(&mut self, found: &Found) {
        let number = found.number;
        // Gaps lie in order.
        let at = self.missing.partition_point(|gap| gap.end <= number);
        if self.missing.get(at).is_none_or(|gap| !gap.contains(&number)) {
            if self.last.as_ref().is_some_and(|last| last.number == number) {
                self.twin = Some(found.hash);
            }
            return self.offence(number, Wrong::Inserted, found);
        }
        let gap = self.missing.remove(at);
        for rest in [number.saturating_add(1)..gap.end, gap.start..number] {
            if !rest.is_empty() {
                self.missing.insert(at, rest);
            }
        }
        self.offence(number, Wrong::Reordered, found);
    }

    /// Notes that the numbers up to `next` are not where they belong.
    fn gap(&mut self, next: u64) {
        if next <= self.expected {
            return;
        }
        self.settle(None);
        let mut start = self.expected;
        let early: Vec<u64> = self.early.range(self.expected..next).copied().collect();
        for number in early {
            self.early.remove(&number);
            self.name(Offence { number, wrong: Wrong::Reordered, deed: None, at: None });
            self.lose(start..number);
            start = number.saturating_add(1);
        }
        self.lose(start..next);
        self.expected = next;
        (self.last, self.before, self.twin) = (None, None, None);
    }

    fn lose(&mut self, gap: Range<u64>) {
        if gap.is_empty() {
            return;
        }
        if self.missing.len() >= REMEMBERED {
            let oldest = self.missing.remove(0);
            self.name_all(oldest, Wrong::Deleted);
        }
        self.missing.push(gap);
    }

    /// A link in its place.
    fn accept(&mut self, found: Found) {
        let number = found.number;
        if self.early.remove(&number) {
            self.offence(number, Wrong::Inserted, &found);
        }
        let known = self.last.as_ref().map(|last| (last.hash, last.sound));
        let tied =
            known.map(|(hash, _)| hash == found.previous || self.twin == Some(found.previous));
        if self.doubt.is_some() {
            self.settle(tied);
        } else if tied == Some(false) && found.sound && known.is_some_and(|(_, sound)| sound) {
            self.doubt = Some(number);
        }
        if !found.sound {
            self.offence(number, Wrong::Edited, &found);
        }
        if self.checkpoints.get(&number).is_some_and(|hash| *hash != found.hash) {
            self.offence(number, Wrong::Rewritten, &found);
        }
        self.expected = number.saturating_add(1);
        self.twin = None;
        self.before = self.last.take().map(|last| (last.deed, last.at));
        self.last = Some(found);
    }

    /// Settles a doubt: the successor of the doubtful link agrees with it, or does not, or is not there.
    fn settle(&mut self, tied: Option<bool>) {
        let Some(number) = self.doubt.take() else { return };
        if tied == Some(true) && number > 1 {
            let (deed, at) = self.before.clone().unwrap_or_default();
            self.name(Offence { number: number - 1, wrong: Wrong::Edited, deed, at });
        } else {
            let last = self.last.as_ref();
            let (deed, at) = last.map(|l| (l.deed.clone(), l.at)).unwrap_or_default();
            self.name(Offence { number, wrong: Wrong::Edited, deed, at });
        }
    }

    /// Ends the walk.
    pub fn end(mut self) -> Findings {
        if let Some(held) = self.held.take() {
            self.place(held, None);
        }
        let tied = self.last.as_ref().zip(self.head).map(|(last, head)| last.hash == head.hash);
        let at_head = self.head.is_some_and(|head| head.number.saturating_add(1) == self.expected);
        self.settle(tied.filter(|_| at_head));
        let last = self.last.as_ref();
        let last = Head { number: self.expected - 1, hash: last.map_or([0; 32], |last| last.hash) };
        self.tail(last);
        for gap in std::mem::take(&mut self.missing) {
            self.name_all(gap, Wrong::Deleted);
        }
        for number in std::mem::take(&mut self.early) {
            self.name(Offence { number, wrong: Wrong::Inserted, deed: None, at: None });
        }
        if let Some(number) = self.displaced.filter(|_| self.count == 0) {
            self.name(Offence { number, wrong: Wrong::Reordered, deed: None, at: None });
        }
        let offences = self.named.into_values().collect();
        Findings { links: self.links, last, count: self.count, offences }
    }

    /// Compares the end that was reached with the one that is known otherwise.
    fn tail(&mut self, last: Head) {
        let signed = self.checkpoints.last_key_value().map_or(0, |(number, _)| *number);
        let more = if self.cut { last.number.saturating_add(1) } else { 0 };
        let known = self.head.map_or(0, |head| head.number).max(signed).max(more);
        if known > last.number {
            let gone = last.number.saturating_add(1)..known.saturating_add(1);
            let early: Vec<u64> = self.early.range(gone.clone()).copied().collect();
            for number in &early {
                self.early.remove(number);
                self.name(Offence {
                    number: *number,
                    wrong: Wrong::Reordered,
                    deed: None,
                    at: None,
                });
            }
            if let Some(number) = gone.into_iter().find(|number| !early.contains(number)) {
                self.name(Offence { number, wrong: Wrong::Cut, deed: None, at: None });
            }
        } else if let Some(head) = self.head {
            if head.number < last.number {
                self.name_all(
                    head.number.saturating_add(1)..last.number.saturating_add(1),
                    Wrong::Inserted,
                );
            } else if head.hash != last.hash && self.last.is_some() {
                let (deed, at) =
                    self.last.as_ref().map(|l| (l.deed.clone(), l.at)).unwrap_or_default();
                self.name(Offence { number: last.number, wrong: Wrong::Edited, deed, at });
            }
        }
    }

    fn offence(&mut self, number: u64, wrong: Wrong, found: &Found) {
        self.name(Offence { number, wrong, deed: found.deed.clone(), at: found.at });
    }

    fn name_all(&mut self, numbers: Range<u64>, wrong: Wrong) {
        let many = numbers.end.saturating_sub(numbers.start);
        for number in numbers.take(OFFENCES_NAMED) {
            self.name(Offence { number, wrong, deed: None, at: None });
        }
        self.count = self.count.saturating_add(many.saturating_sub(OFFENCES_NAMED as u64));
    }

    /// One offence a number: the plainest wins. The lowest numbers are kept.
    fn name(&mut self, offence: Offence) {
        if let Some(named) = self.named.get_mut(&offence.number) {
            if offence.wrong < named.wrong {
                *named = offence;
            }
            return;
        }
        self.count += 1;
        self.named.insert(offence.number, offence);
        if self.named.len() > OFFENCES_NAMED {
            self.named.pop_last();
        }
    }
}

/// Walks along at most `limit` rows from number `first` on, towards the head as it is at this moment; the
/// answer is where to go on, or none at the end.
///
/// # Errors
/// What the store says.
pub fn stretch(
    reader: &impl Reader,
    walk: &mut Walk,
    first: u64,
    limit: usize,
) -> Result<Option<u64>, Fault> {
    walk.towards(journal::head(reader)?);
    let (mut next, mut left) = (None, limit);
    reader.raw_each(JOURNAL.name, &from(&first), false, &mut |key, row| {
        let key = read_key::<u64>(key)?;
        if left == 0 {
            next = Some(key);
            return Ok(ControlFlow::Break(()));
        }
        left -= 1;
        walk.row(key, row)?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(next)
}

/// Walks along the whole chain at once.
///
/// # Errors
/// What the store says.
pub fn verify(reader: &impl Reader) -> Result<Findings, Fault> {
    let mut walk = Walk::new(None, BTreeMap::new());
    stretch(reader, &mut walk, 0, usize::MAX)?;
    Ok(walk.end())
}
