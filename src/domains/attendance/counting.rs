//! How punches count: as they were made, with the corrections that hold put in their places.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::corrections::in_force;
use super::records::{Brief, Change, Correction, Flag, Kind, PUNCHES, PUNCHES_OF};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::Reader;

/// Punches by when they count, and by the order that they were written down in where that is one moment.
type Ordered = BTreeMap<(Moment, u64, Id), Counted>;

/// A punch as it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// When.
    pub at: Moment,
    /// What it says.
    pub kind: Kind,
    /// The punch that was made; none for one that a correction adds.
    pub punch: Option<Id>,
    /// That punch's integer.
    pub number: Option<u64>,
    /// At which kiosk.
    pub kiosk: Option<Id>,
    /// What is odd about the punch that was made.
    pub flags: Vec<Flag>,
    /// The correction that makes it count like this, by number.
    pub correction: Option<u64>,
    /// When it was made, where a correction says otherwise.
    pub made_at: Option<Moment>,
}

/// The punches of a user from one moment to another (exclusive) as they count, in order.
///
/// # Errors
/// What the store says.
pub fn counted(
    reader: &impl Reader,
    user: Id,
    from: Moment,
    until: Moment,
) -> Result<Vec<Counted>, Fault> {
    let mut punches = Ordered::new();
    reader.each(&PUNCHES_OF, &between(user, from, until), |(_, at, id), brief| {
        punches.insert((at, brief.number, id), made(at, id, brief));
        Ok(ControlFlow::Continue(()))
    })?;
    for correction in in_force(reader, user, from, until)? {
        apply(reader, &mut punches, &correction, from, until)?;
    }
    Ok(punches.into_values().collect())
}

/// The last punch of a user before a moment, as it counts, looking back at most to `from`.
///
/// # Errors
/// What the store says.
pub fn last_before(
    reader: &impl Reader,
    user: Id,
    from: Moment,
    before: Moment,
) -> Result<Option<Counted>, Fault> {
    Ok(counted(reader, user, from, before)?.pop())
}

/// The keys of a user's punches from one moment to another.
pub fn between(user: Id, from: Moment, until: Moment) -> crate::store::Span {
    crate::store::between(&(user, from, Id::ZERO), &(user, until, Id::ZERO))
}

fn apply(
    reader: &impl Reader,
    punches: &mut Ordered,
    correction: &Correction,
    from: Moment,
    until: Moment,
) -> Result<(), Fault> {
    let inside = |at: Moment| from <= at && at < until;
    match correction.change {
        Change::Add { kind, at } if inside(at) => {
            let added = Counted {
                at,
                kind,
                punch: None,
                number: None,
                kiosk: None,
                flags: Vec::new(),
                correction: Some(correction.number),
                made_at: None,
            };
            punches.insert((at, u64::MAX, correction.id), added);
        }
        Change::Add { .. } => {}
        Change::Move { punch, at, kind } => {
            punches.retain(|_, counted| counted.punch != Some(punch));
            if inside(at)
                && let Some(original) = reader.get(&PUNCHES, &punch)?
            {
                let brief = Brief {
                    number: original.number,
                    kind,
                    kiosk: original.kiosk,
                    flags: original.flags,
                };
                let moved = Counted {
                    correction: Some(correction.number),
                    made_at: Some(original.at),
                    ..made(at, punch, brief)
                };
                punches.insert((at, original.number, punch), moved);
            }
        }
        Change::Drop { punch } => punches.retain(|_, counted| counted.punch != Some(punch)),
    }
    Ok(())
}

fn made(at: Moment, id: Id, brief: Brief) -> Counted {
    Counted {
        at,
        kind: brief.kind,
        punch: Some(id),
        number: Some(brief.number),
        kiosk: brief.kiosk,
        flags: brief.flags,
        correction: None,
        made_at: None,
    }
}
