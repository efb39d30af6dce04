//! Goings that nobody punched: the box proposes one, a person decides.

use std::ops::ControlFlow;
use std::time::Duration;

use super::Attendance;
use super::corrections::{Draft, Wish};
use super::counting::between;
use super::hours::{Note, STAY_MAX_MINUTES, Workday};
use super::records::{CORRECTIONS, CORRECTIONS_OF, Kind};
use super::sheets::{Reckoned, Reckoner};
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::day::Day;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::{Deed, Reader};

/// How many days back a forgotten going is proposed: what is older was seen, or the box was off for long.
const DAYS_BACK: i32 = 7;
/// Who proposes, as journals and pages name it.
const AUTHOR: &str = "attendance";
/// Why, as the page shows it word for word to whoever decides; pages know this sentence and translate it.
pub const REASON: &str = "No clock-out was punched.";

/// A going to be proposed.
#[derive(Clone, Copy)]
struct Proposal {
    user: Id,
    /// The coming that has none.
    came: Moment,
    at: Moment,
}

impl Attendance {
    /// Proposes a going for every coming of the last days that has none, each once; how many there were.
    ///
    /// The time is the end of the shift, or, without one, the hour of the person's last going. Where neither
    /// is known nothing is proposed: the sheet says that the day is open.
    ///
    /// # Errors
    /// What the store says.
    pub fn propose_goings(&self) -> Result<usize, Fault> {
        let (people, zone) = (self.desk.people.everybody()?, self.zone()?);
        let last = self.today()?;
        let first = last.plus(-DAYS_BACK);
        let proposals = self.store.read(|view| {
            let reckoner = self.reckoner(view, zone.clone())?;
            let mut proposals = Vec::new();
            for person in &people {
                let work = reckoner.reckon(view, person, first, last)?;
                for (place, day) in work.workdays().iter().enumerate() {
                    let before = work.workdays().get(..place).unwrap_or_default();
                    let found = forgotten(&reckoner, &work, day, before);
                    let Some((came, at)) = found.filter(|_| first <= day.day) else { continue };
                    if !proposed(view, person.id, came)? {
                        proposals.push(Proposal { user: person.id, came, at });
                    }
                }
            }
            Ok(proposals)
        })?;
        let mut made = 0;
        for proposal in proposals {
            made += usize::from(self.propose(proposal)?);
        }
        Ok(made)
    }

    fn propose(&self, proposal: Proposal) -> Result<bool, Fault> {
        let zone = self.zone()?;
        let laid = self.store.write(move |tx| {
            let caller = Caller::task(AUTHOR);
            let draft = Draft {
                user: proposal.user,
                author: None,
                author_name: AUTHOR.into(),
                reason: REASON.into(),
            };
            let wish = Wish::Add { kind: Kind::ClockOut, at: proposal.at };
            // Asked within the write, so that two runs never propose the same.
            if proposed(tx, proposal.user, proposal.came)? {
                return Ok(false);
            }
            let correction = draft.lay(tx, &zone, wish)?;
            tx.journal(&caller, Deed::new("correction.propose", correction.number))?;
            Ok(true)
        });
        match laid {
            // A closed month, or a person with too many that wait: the sheet still says it.
            Err(fault) if ["month_closed", "corrections_full"].contains(&fault.code) => Ok(false),
            laid => laid,
        }
    }
}

/// The coming of a day that has no going, and when the person probably went.
fn forgotten(
    reckoner: &Reckoner,
    work: &Reckoned,
    day: &Workday,
    before: &[Workday],
) -> Option<(Moment, Moment)> {
    if !day.notes.contains(&Note::NoGoing) {
        return None;
    }
    let stay = day.stays.iter().find(|stay| stay.until.is_none())?;
    let zone = &reckoner.zone;
    let shift = work.expected().on(day.day).map(|shift| day.day.at(shift.until, zone));
    let usual = || {
        let (on, went) = before.iter().rev().find_map(|day| {
            day.stays.last().and_then(|stay| stay.until).map(|until| (day.day, until))
        })?;
        Some(day.day.at(minutes_of_the_wall(reckoner, on, went), zone))
    };
    let at = shift.or_else(usual)?;
    let known = stay.known();
    let latest = stay.from.plus(Duration::from_mins(u64::from(STAY_MAX_MINUTES)));
    (known < at && at <= latest && at <= reckoner.now).then_some((stay.from, at))
}

/// Minutes of the wall after a day's midnight at which a moment lies, on that day or the next.
fn minutes_of_the_wall(reckoner: &Reckoner, day: Day, at: Moment) -> u32 {
    let on = Day::of(at, &reckoner.zone);
    let time = crate::base::day::civil(at, &reckoner.zone).time();
    let of_day = u32::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute()));
    let days = u32::try_from(on.since(day)).unwrap_or(0);
    days * 1440 + of_day.unwrap_or(0)
}

/// Whether a going was proposed for a coming, whatever became of it, or somebody asked for one.
fn proposed(reader: &impl Reader, user: Id, came: Moment) -> Result<bool, Fault> {
    let window = Duration::from_mins(u64::from(STAY_MAX_MINUTES));
    let (mut found, span) = (false, between(user, came, came.plus(window)));
    let mut ids = Vec::new();
    reader.each(&CORRECTIONS_OF, &span, |(_, _, id), ()| {
        ids.push(id);
        Ok(ControlFlow::Continue(()))
    })?;
    for id in ids {
        found |= reader.get(&CORRECTIONS, &id)?.is_some_and(|correction| {
            matches!(correction.change, super::records::Change::Add { kind: Kind::ClockOut, .. })
        });
    }
    Ok(found)
}
