//! Punches that Plan B wrote down while the box was away.

use std::time::Duration;

use serde::Serialize;

use super::Attendance;
use super::counting;
use super::door::fits;
use super::punches::{self, Draft};
use super::records::{Flag, KIOSKS, Kind, Way};
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind as Sort};
use crate::base::id::Id;
use crate::store::{Deed, Reader, Tx};

/// A punch as Plan B kept it.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The entry's name in the outbox.
    pub entry: Id,
    /// When it was written, by the wall of that hour.
    pub at: Moment,
    /// By whom, by name.
    pub by: String,
    /// The kiosk, when one wrote it.
    pub kiosk: Option<Id>,
    /// Who.
    pub person: Id,
    /// What it says.
    pub kind: Kind,
}

/// What the journal says of it.
#[derive(Serialize)]
struct Shown<'k> {
    user: Id,
    punch_type: &'static str,
    at: Moment,
    written_by: &'k str,
    flags: &'k [Flag],
}

impl Attendance {
    /// Takes a punch that Plan B kept, within the write of its arrival; its integer. Plan B asks nobody
    /// whether it may, so that a person who has left, or a punch that does not fit, is a person's matter.
    ///
    /// # Errors
    /// `user_unknown`, `punch_taken`.
    pub fn take_kept(&self, tx: &mut Tx<'_>, kept: &Kept) -> Result<u64, Fault> {
        if self.desk.people.active(tx, kept.person)? != Some(true) {
            let message = "The person is not in the directory, or may not sign in.";
            return Err(Fault::new(Sort::NotFound, "user_unknown", message));
        }
        let zone = self.desk.people.zone(tx)?;
        let open = Duration::from_hours(self.settings.open_hours);
        let soon = kept.at.plus(Duration::from_millis(1));
        let last = counting::last_before(tx, kept.person, kept.at.minus(open), soon)?;
        let odd = !fits(kept.kind, last.map(|last| last.kind));
        let kiosk = kept.kiosk.map(|id| tx.has(&KIOSKS, &id)).transpose()?;
        let draft = Draft {
            user: kept.person,
            device: None,
            kiosk: kept.kiosk.filter(|_| kiosk == Some(true)),
            kind: kept.kind,
            way: Way::PlanB,
            at: kept.at,
            kiosk_at: None,
            token: format!("planb:{}", kept.entry),
            flags: if odd { vec![Flag::OutOfOrder] } else { Vec::new() },
        };
        let punch = punches::lay(tx, &zone, draft)?;
        let shown = Shown {
            user: punch.user,
            punch_type: punch.kind.name(),
            at: punch.at,
            written_by: &kept.by,
            flags: &punch.flags,
        };
        let deed = Deed::new("punch.planb", punch.number).after(&shown);
        tx.journal(&Caller::task("planb"), deed)?;
        Ok(punch.number)
    }
}
