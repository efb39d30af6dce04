//! Punches: written down once, in all their orders, and never changed.

use super::records::{
    Brief, Flag, Kind, MONTHS, PUNCHES, PUNCHES_AT, PUNCHES_BY_NUMBER, PUNCHES_BY_TOKEN,
    PUNCHES_OF, Punch, Way,
};
use crate::base::clock::Moment;
use crate::base::day::Day;
use crate::base::fault::Fault;
use crate::base::id::{Id, Lineage};
use crate::store::{Reader, Tx, all};
use jiff::tz::TimeZone;

/// A punch to be written down.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Who.
    pub user: Id,
    /// With which device.
    pub device: Option<Id>,
    /// At which kiosk.
    pub kiosk: Option<Id>,
    /// What it says.
    pub kind: Kind,
    /// How it is made.
    pub way: Way,
    /// When, by the box's clock.
    pub at: Moment,
    /// When, by the kiosk's clock.
    pub kiosk_at: Option<Moment>,
    /// What it is made with: the same is never taken twice.
    pub token: String,
    /// What is odd about it.
    pub flags: Vec<Flag>,
}

/// Writes a punch down; what is odd about the clock and the month is added. Whoever calls journals it.
///
/// # Errors
/// `punch_taken` when what it is made with was taken already.
pub fn lay(tx: &mut Tx<'_>, zone: &TimeZone, draft: Draft) -> Result<Punch, Fault> {
    if tx.has(&PUNCHES_BY_TOKEN, &draft.token)? {
        return Err(Fault::conflict("punch_taken", "This punch was written down already."));
    }
    let mut flags = draft.flags;
    if tx.doubtful() {
        flags.push(Flag::DoubtfulTime);
    }
    let month = i64::from(Day::of(draft.at, zone).month().number());
    if tx.get(&MONTHS, &month)?.is_some_and(|month| month.closed) {
        flags.push(Flag::ClosedMonth);
    }
    let number = tx.last(&PUNCHES_BY_NUMBER, &all())?.map_or(1, |(number, _)| number + 1);
    let punch = Punch {
        id: tx.new_id(),
        lineage: Lineage::born(tx.revision()),
        number,
        user: draft.user,
        device: draft.device,
        kiosk: draft.kiosk,
        kind: draft.kind,
        way: draft.way,
        at: draft.at,
        kiosk_at: draft.kiosk_at,
        written_at: tx.now(),
        token: draft.token,
        flags,
    };
    let brief = Brief { number, kind: punch.kind, kiosk: punch.kiosk, flags: punch.flags.clone() };
    tx.put(&PUNCHES, &punch.id, &punch)?;
    tx.put(&PUNCHES_BY_NUMBER, &number, &punch.id)?;
    tx.put(&PUNCHES_OF, &(punch.user, punch.at, punch.id), &brief)?;
    tx.put(&PUNCHES_AT, &(punch.at, punch.id), &())?;
    tx.put(&PUNCHES_BY_TOKEN, &punch.token, &punch.id)?;
    Ok(punch)
}
