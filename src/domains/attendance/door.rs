//! What every way to punch at a kiosk shares: who may, what the punch says, what is odd about it.

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Attendance;
use super::counting::{self, Counted};
use super::punches::{self, Draft};
use super::records::{
    Access, AccessMode, Direction, Flag, KIOSK_ACCESS, Kind, Kiosk, PUNCHES, PUNCHES_AT, Punch, Way,
};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::records;
use crate::store::{Reader, Tx, between};

/// The smallest step of a moment.
const TICK: Duration = Duration::from_millis(1);
/// Punches of the last moments that are looked at, the newest first.
const QUICK_MAX: usize = 64;

/// A punch that was taken, as the kiosk tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The punch's integer.
    pub punch: u64,
    /// When.
    pub at: Moment,
    /// The user's integer.
    pub user: u64,
    /// How the user is shown.
    pub name: String,
    /// The device's integer.
    pub device: Option<u64>,
    /// What it says.
    pub kind: Kind,
}

/// What a gesture came to: a refusal that has to be written down is no failure of the write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Outcome {
    Taken(Receipt),
    Refused(Why),
}

records!(Outcome);

impl Outcome {
    /// What the kiosk hears.
    pub(super) fn answer(self) -> Result<Receipt, Fault> {
        match self {
            Self::Taken(receipt) => Ok(receipt),
            Self::Refused(why) => Err(why.fault()),
        }
    }
}

/// Why a pass was refused, with a line in the journal.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Why {
    Replay,
    NotListed,
    Blocked,
    AccessOver,
}

/// A kiosk on its way into a write.
pub(super) struct Door {
    pub(super) kiosk: Kiosk,
    zone: TimeZone,
    open: Duration,
    quick: Duration,
    clock_off: Duration,
}

/// What somebody does at a kiosk.
pub(super) struct Gesture {
    /// Who.
    pub(super) user: Id,
    /// With which device.
    pub(super) device: Option<Id>,
    /// What the punch says; none leaves it to the kiosk.
    pub(super) kind: Option<Kind>,
    /// How.
    pub(super) way: Way,
    /// The kiosk's clock.
    pub(super) kiosk_at: Option<Moment>,
    /// What it is made with.
    pub(super) token: String,
}

impl Attendance {
    /// What a write needs of a kiosk.
    pub(super) fn door(&self, kiosk: Kiosk) -> Result<Door, Fault> {
        Ok(Door {
            kiosk,
            zone: self.zone()?,
            open: Duration::from_hours(self.settings.open_hours),
            quick: Duration::from_secs(self.settings.quick_seconds),
            clock_off: Duration::from_secs(self.settings.kiosk_clock_seconds),
        })
    }
}

impl Door {
    /// Why a person may not punch at a kiosk; none for who may.
    pub(super) fn kept_out(&self, tx: &Tx<'_>, user: Id) -> Result<Option<Why>, Fault> {
        let (kiosk, now) = (&self.kiosk, tx.now());
        let row = tx.get(&KIOSK_ACCESS, &(kiosk.id, user))?;
        let over = |row: &Access| row.expires_at.is_some_and(|end| end <= now);
        Ok(match (kiosk.access, row) {
            (AccessMode::Whitelist, Some(row)) if row.granted && over(&row) => {
                Some(Why::AccessOver)
            }
            (AccessMode::Whitelist, Some(row)) if row.granted => None,
            (AccessMode::Whitelist, _) => Some(Why::NotListed),
            (AccessMode::Blacklist, Some(row)) if !row.granted && !over(&row) => Some(Why::Blocked),
            (AccessMode::Public | AccessMode::Blacklist, _) => None,
        })
    }

    /// Writes a punch down, now.
    pub(super) fn lay(&self, tx: &mut Tx<'_>, gesture: Gesture) -> Result<Punch, Fault> {
        let now = tx.now();
        let last = counting::last_before(tx, gesture.user, now.minus(self.open), now.plus(TICK))?;
        let kind = gesture.kind.unwrap_or_else(|| direction(&self.kiosk, last.as_ref()));
        let flags = self.flags(tx, &gesture, kind, last.as_ref())?;
        let draft = Draft {
            user: gesture.user,
            device: gesture.device,
            kiosk: Some(self.kiosk.id),
            kind,
            way: gesture.way,
            at: now,
            kiosk_at: gesture.kiosk_at,
            token: gesture.token,
            flags,
        };
        punches::lay(tx, &self.zone, draft)
    }

    /// What is odd about the punch that is to be.
    fn flags(
        &self,
        tx: &Tx<'_>,
        gesture: &Gesture,
        kind: Kind,
        last: Option<&Counted>,
    ) -> Result<Vec<Flag>, Fault> {
        let mut flags = Vec::new();
        if !fits(kind, last.map(|last| last.kind)) {
            flags.push(Flag::OutOfOrder);
        }
        let now = tx.now();
        let off = |at: Moment| now.since(at).max(at.since(now)) > self.clock_off;
        if gesture.kiosk_at.is_some_and(off) {
            flags.push(Flag::KioskClock);
        }
        if self.alternates(tx, gesture.user)? {
            flags.push(Flag::TooQuick);
        }
        Ok(flags)
    }

    /// Whether somebody else punched at this kiosk a moment ago, and this person right before: whoever
    /// holds two phones in turn looks like that.
    fn alternates(&self, tx: &Tx<'_>, user: Id) -> Result<bool, Fault> {
        let now = tx.now();
        let window = between(&(now.minus(self.quick), Id::ZERO), &(now.plus(TICK), Id::ZERO));
        let (mut latest, mut ids) = (Vec::new(), Vec::new());
        tx.each_back(&PUNCHES_AT, &window, |(_, id), ()| {
            ids.push(id);
            let full = ids.len() >= QUICK_MAX;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        for id in ids {
            latest.extend(tx.get(&PUNCHES, &id)?.filter(|p| p.kiosk == Some(self.kiosk.id)));
        }
        let others = latest.first().is_some_and(|punch| punch.user != user);
        Ok(others && latest.iter().any(|punch| punch.user == user))
    }
}

/// What a punch says when its request does not.
fn direction(kiosk: &Kiosk, last: Option<&Counted>) -> Kind {
    match kiosk.direction {
        Direction::ClockIn => Kind::ClockIn,
        Direction::ClockOut => Kind::ClockOut,
        Direction::Automatic | Direction::Chosen => match last.map(|last| last.kind) {
            Some(Kind::ClockIn | Kind::BreakEnd) => Kind::ClockOut,
            Some(Kind::BreakStart) => Kind::BreakEnd,
            Some(Kind::ClockOut) | None => Kind::ClockIn,
        },
    }
}

/// Whether a punch can follow the one before.
pub(super) fn fits(kind: Kind, last: Option<Kind>) -> bool {
    match kind {
        Kind::ClockIn => matches!(last, None | Some(Kind::ClockOut)),
        Kind::ClockOut | Kind::BreakStart => {
            matches!(last, Some(Kind::ClockIn | Kind::BreakEnd))
        }
        Kind::BreakEnd => last == Some(Kind::BreakStart),
    }
}

impl Why {
    pub(super) fn fault(self) -> Fault {
        let closed =
            |words: &str| Fault::forbidden("kiosk_closed_to_you", format!("Accès refusé: {words}"));
        match self {
            Self::Replay => {
                Fault::invalid("pass_used", "Token has already been used (replay attack detected)")
            }
            Self::NotListed => closed("vous n'êtes pas sur la liste de cette borne"),
            Self::Blocked => closed("cette borne vous est fermée"),
            Self::AccessOver => closed("votre accès à cette borne a pris fin"),
        }
    }
}
