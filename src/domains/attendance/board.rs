//! Who is here now.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Attendance;
use super::counting;
use super::hours::STAY_MAX_MINUTES;
use super::people::Person;
use super::records::{KIOSKS, Kind, Shift};
use super::schedules::Expected;
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::day::Day;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::Reader;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Where somebody is, as the last punch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whereabouts {
    /// Came, and is here.
    Present,
    /// On a break: maybe here.
    OnBreak,
    /// Expected by now, and not here.
    Expected,
    /// Not here.
    Away,
}

/// A person on the board.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Who.
    pub person: Person,
    /// Where.
    pub whereabouts: Whereabouts,
    /// Since the last punch; none without one lately.
    pub since: Option<Moment>,
    /// The kiosk of the last punch, by integer and name.
    pub kiosk: Option<(u64, String)>,
    /// When the person is expected today.
    pub shift: Option<Shift>,
}

/// Everybody, at a moment.
#[derive(Debug, Clone)]
pub struct Board {
    /// When it was taken.
    pub at: Moment,
    /// The site's name.
    pub site: String,
    /// Everybody who may sign in, and who is here though they may not: those present first, by name.
    pub people: Vec<Placed>,
}

impl Attendance {
    /// Who is here now.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn board(&self, caller: &Caller) -> Result<Board, Fault> {
        caller.require(Right::ViewAttendance)?;
        let (people, site, now) =
            (self.desk.people.everybody()?, self.desk.people.site()?, self.now());
        let mut placed = self.store.read(|view| {
            let mut kiosks: HashMap<Id, Option<(u64, String)>> = HashMap::new();
            let mut placed = Vec::new();
            for person in people {
                let shift_of = |day| Ok::<_, Fault>(Expected::read(view, person.id)?.on(day));
                let shift = shift_of(Day::of(now, &site.zone))?;
                let last = last(view, person.id, now)?;
                let whereabouts = match last.as_ref().map(|last| last.kind) {
                    Some(Kind::ClockIn | Kind::BreakEnd) => Whereabouts::Present,
                    Some(Kind::BreakStart) => Whereabouts::OnBreak,
                    // Who went has been here; who is still to come has not.
                    None if shift.is_some_and(|shift| within(shift, now, &site.zone)) => {
                        Whereabouts::Expected
                    }
                    Some(Kind::ClockOut) | None => Whereabouts::Away,
                };
                if !person.active && whereabouts == Whereabouts::Away {
                    continue;
                }
                let kiosk = match last.as_ref().and_then(|last| last.kiosk) {
                    Some(id) => {
                        if let Entry::Vacant(place) = kiosks.entry(id) {
                            place.insert(view.get(&KIOSKS, &id)?.map(|k| (k.number, k.name)));
                        }
                        kiosks.get(&id).cloned().flatten()
                    }
                    None => None,
                };
                let since = last.map(|last| last.at);
                placed.push(Placed { person, whereabouts, since, kiosk, shift });
            }
            Ok(placed)
        })?;
        placed.sort_by_key(|placed| placed.whereabouts);
        Ok(Board { at: now, site: site.name, people: placed })
    }
}

/// The last punch of somebody that still says something of now.
fn last(reader: &impl Reader, user: Id, now: Moment) -> Result<Option<counting::Counted>, Fault> {
    let window = Duration::from_mins(u64::from(STAY_MAX_MINUTES));
    let soon = now.plus(Duration::from_millis(1));
    counting::last_before(reader, user, now.minus(window), soon)
}

fn within(shift: Shift, now: Moment, zone: &jiff::tz::TimeZone) -> bool {
    let today = Day::of(now, zone);
    today.at(shift.from, zone) <= now && now < today.at(shift.until, zone)
}
