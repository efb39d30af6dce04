//! Hours out of punches: stays, breaks, nights, Sundays.
//!
//! All of it is pure: no clock, no store, no language.
//!
//! A workday belongs to the day its first coming falls on in the site's zone, so that a night shift over
//! midnight is one workday. Lengths are of real time, not of the wall: a shift over the night in which the
//! clock is set forward has an hour less in it.

pub mod tally;

use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::counting::Counted;
use super::records::{Flag, Kind, Rules, Shift};
use crate::base::clock::Moment;
use crate::base::day::Day;

/// The longest stay that is believed: a going that comes later belongs to a coming nobody punched.
pub const STAY_MAX_MINUTES: u32 = 16 * 60;
/// The same punch once more within this time is the same gesture, milliseconds.
const DOUBLE_MS: i64 = 120_000;
const MINUTE_MS: i64 = 60_000;
/// The number of Sunday.
const SUNDAY: usize = 6;

/// What a person has to look at on a workday, or should know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// Came, and never went: the time after the last punch does not count.
    NoGoing,
    /// Went, or had a break, without having come.
    NoComing,
    /// A break ended that had not begun.
    NoBreakStart,
    /// Came and has not gone yet.
    StillHere,
    /// The box's clock was in doubt at one of the punches.
    DoubtfulTime,
    /// A punch came after its month was closed.
    ClosedMonth,
    /// A correction is in it.
    Corrected,
    /// More work than the rules allow for a day.
    DayTooLong,
    /// Less rest since the workday before than the rules ask for.
    RestTooShort,
    /// Work for longer than the rules allow without a break.
    PauseMissing,
}

impl Note {
    /// Whether a person has to settle it before the month can be closed with a quiet mind.
    pub const fn open(self) -> bool {
        matches!(self, Self::NoGoing | Self::NoComing | Self::NoBreakStart | Self::ClosedMonth)
    }
}

/// From a coming to its going.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Stay {
    /// The coming.
    #[schema(value_type = String, format = DateTime)]
    pub from: Moment,
    /// The going; none for who is still here, or never punched it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Moment>,
    /// The breaks in it.
    pub breaks: Vec<Pause>,
}

impl Stay {
    /// The last moment that is certain of a stay without a going.
    pub fn known(&self) -> Moment {
        self.breaks.last().map_or(self.from, |pause| pause.until.unwrap_or(pause.from))
    }
}

/// A break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pause {
    /// From when.
    #[schema(value_type = String, format = DateTime)]
    pub from: Moment,
    /// Until when; none for one that goes on.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Moment>,
}

/// A day of work as the punches tell it; lengths in whole minutes, each rounded down once per workday.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workday {
    /// The day.
    pub day: Day,
    /// The stays, in order.
    pub stays: Vec<Stay>,
    /// Work.
    pub worked: u32,
    /// Breaks.
    pub paused: u32,
    /// Work by night.
    pub night: u32,
    /// Work on a Sunday.
    pub sunday: u32,
    /// What there is to say, each once, in order.
    pub notes: Vec<Note>,
}

impl Workday {
    fn empty(day: Day) -> Self {
        Self {
            day,
            stays: Vec::new(),
            worked: 0,
            paused: 0,
            night: 0,
            sunday: 0,
            notes: Vec::new(),
        }
    }

    /// Whether there is something that a person has to settle.
    pub fn open(&self) -> bool {
        self.notes.iter().any(|note| note.open())
    }

    /// How many minutes after the shift's beginning the person came; 0 in time.
    pub fn late(&self, shift: Shift, zone: &TimeZone) -> u32 {
        let begins = self.day.at(shift.from, zone);
        self.stays.first().map_or(0, |stay| minutes(stay.from.0 - begins.0))
    }

    /// How many minutes before the shift's end the person went; 0 in time, or still here.
    pub fn early(&self, shift: Shift, zone: &TimeZone) -> u32 {
        let ends = self.day.at(shift.until, zone);
        let went = self.stays.last().and_then(|stay| stay.until);
        went.map_or(0, |went| minutes(ends.0 - went.0))
    }

    fn note(&mut self, note: Note) {
        if let Err(at) = self.notes.binary_search(&note) {
            self.notes.insert(at, note);
        }
    }
}

/// The workdays of one person's punches, in order. `now` ends what goes on; `rules` says, for a day, the
/// rules that hold on it.
///
/// The punches have to be in order; those of the day before the first one of interest belong to them, so that
/// a night shift is not taken for a going without a coming.
pub fn workdays<'r>(
    punches: &[Counted],
    zone: &TimeZone,
    now: Moment,
    rules: impl Fn(Day) -> &'r Rules,
) -> Vec<Workday> {
    let mut reading = Reading { zone, days: Vec::new(), here: None, last: None };
    for punch in punches {
        reading.take(punch);
    }
    reading.end(now);
    let mut days = reading.days;
    let mut went: Option<Moment> = None;
    for day in &mut days {
        measure(day, zone, now, rules(day.day), went);
        went = day.stays.iter().filter_map(|stay| stay.until).max().or(went);
    }
    days
}

/// What the punches have told so far.
struct Reading<'z> {
    zone: &'z TimeZone,
    days: Vec<Workday>,
    here: Option<Here>,
    last: Option<(Kind, Moment)>,
}

/// Who is here.
struct Here {
    stay: Stay,
    /// Where its workday stands among the days.
    place: usize,
}

impl Reading<'_> {
    fn take(&mut self, punch: &Counted) {
        let again =
            self.last.is_some_and(|(kind, at)| kind == punch.kind && punch.at.0 - at.0 < DOUBLE_MS);
        self.last = Some((punch.kind, punch.at));
        if self.here.as_ref().is_some_and(|here| too_long(here.stay.from, punch.at)) {
            self.forgotten();
        }
        let place = match (&self.here, punch.kind) {
            (Some(here), _) => here.place,
            (None, _) => self.place(Day::of(punch.at, self.zone)),
        };
        self.mark(place, punch);
        if again {
            return;
        }
        match (self.here.take(), punch.kind) {
            (None, Kind::ClockIn) => self.come(place, punch.at),
            (None, _) => self.say(place, Note::NoComing),
            (Some(mut here), Kind::ClockIn | Kind::BreakEnd) => {
                if let Some(pause) = open_break(&mut here.stay) {
                    pause.until = Some(punch.at);
                    self.here = Some(here);
                } else if punch.kind == Kind::BreakEnd {
                    self.say(here.place, Note::NoBreakStart);
                    self.here = Some(here);
                } else {
                    self.leave_open(here);
                    let place = self.place(Day::of(punch.at, self.zone));
                    self.mark(place, punch);
                    self.come(place, punch.at);
                }
            }
            (Some(mut here), Kind::BreakStart) => {
                if open_break(&mut here.stay).is_none() {
                    here.stay.breaks.push(Pause { from: punch.at, until: None });
                }
                self.here = Some(here);
            }
            (Some(mut here), Kind::ClockOut) => {
                if let Some(pause) = open_break(&mut here.stay) {
                    pause.until = Some(punch.at);
                }
                here.stay.until = Some(punch.at);
                self.put(here);
            }
        }
    }

    fn come(&mut self, place: usize, at: Moment) {
        let stay = Stay { from: at, until: None, breaks: Vec::new() };
        self.here = Some(Here { stay, place });
    }

    /// The stay that is open has no going.
    fn forgotten(&mut self) {
        if let Some(here) = self.here.take() {
            self.leave_open(here);
        }
    }

    fn leave_open(&mut self, here: Here) {
        self.say(here.place, Note::NoGoing);
        self.put(here);
    }

    fn end(&mut self, now: Moment) {
        match self.here.take() {
            Some(here) if too_long(here.stay.from, now) => self.leave_open(here),
            Some(here) => {
                self.say(here.place, Note::StillHere);
                self.put(here);
            }
            None => {}
        }
    }

    fn put(&mut self, here: Here) {
        if let Some(day) = self.days.get_mut(here.place) {
            day.stays.push(here.stay);
        }
    }

    /// Where a day stands; it is made where it is new. Days come in order, as punches do.
    fn place(&mut self, day: Day) -> usize {
        if self.days.last().is_none_or(|last| last.day < day) {
            self.days.push(Workday::empty(day));
        }
        self.days.len() - 1
    }

    fn say(&mut self, place: usize, note: Note) {
        if let Some(day) = self.days.get_mut(place) {
            day.note(note);
        }
    }

    fn mark(&mut self, place: usize, punch: &Counted) {
        if punch.flags.contains(&Flag::DoubtfulTime) {
            self.say(place, Note::DoubtfulTime);
        }
        if punch.flags.contains(&Flag::ClosedMonth) && punch.correction.is_none() {
            self.say(place, Note::ClosedMonth);
        }
        if punch.correction.is_some() {
            self.say(place, Note::Corrected);
        }
    }
}

fn too_long(from: Moment, at: Moment) -> bool {
    at.0 - from.0 > i64::from(STAY_MAX_MINUTES) * MINUTE_MS
}

fn open_break(stay: &mut Stay) -> Option<&mut Pause> {
    stay.breaks.last_mut().filter(|pause| pause.until.is_none())
}

/// Fills in the lengths of a workday, and what the rules have to say.
fn measure(day: &mut Workday, zone: &TimeZone, now: Moment, rules: &Rules, went: Option<Moment>) {
    let running = day.notes.contains(&Note::StillHere);
    let (mut work, mut paused) = (Vec::new(), 0);
    for stay in &day.stays {
        let until = match stay.until {
            Some(until) => until,
            None if running && stay == day.stays.last().unwrap_or(stay) => now.max(stay.from),
            // Nobody knows how long: what is certain ends with the last thing that was punched.
            None => stay.known(),
        };
        let mut from = stay.from;
        for pause in &stay.breaks {
            let back = pause.until.unwrap_or(until);
            paused += back.0 - pause.from.0;
            work.push((from, pause.from));
            from = back;
        }
        work.push((from, until));
    }
    work.retain(|(from, until)| from < until);
    let length =
        |work: &[(Moment, Moment)]| work.iter().map(|(from, until)| until.0 - from.0).sum();
    day.worked = minutes(length(&work));
    day.paused = minutes(paused);
    day.night = minutes(within(&work, zone, |day| {
        (day.at(rules.night_from, zone), day.plus(1).at(rules.night_until, zone))
    }));
    day.sunday = minutes(within(&work, zone, |day| {
        let begins = day.begins(zone);
        (begins, if day.weekday() == SUNDAY { day.plus(1).begins(zone) } else { begins })
    }));
    if day.worked > rules.day_max {
        day.note(Note::DayTooLong);
    }
    let rest = went.zip(day.stays.first()).map(|(went, stay)| stay.from.0 - went.0);
    if rest.is_some_and(|rest| rest < i64::from(rules.rest_min) * MINUTE_MS) {
        day.note(Note::RestTooShort);
    }
    if longest_run(&work, rules.pause_min) > i64::from(rules.pause_after) * MINUTE_MS {
        day.note(Note::PauseMissing);
    }
}

/// How much of the work lies in the windows of the days it touches, milliseconds.
fn within(
    work: &[(Moment, Moment)],
    zone: &TimeZone,
    window: impl Fn(Day) -> (Moment, Moment),
) -> i64 {
    let mut sum = 0;
    for &(from, until) in work {
        // A night begins on the day before.
        let mut day = Day::of(from, zone).plus(-1);
        let last = Day::of(until, zone);
        while day <= last {
            let (begins, ends) = window(day);
            sum += (until.0.min(ends.0) - from.0.max(begins.0)).max(0);
            day = day.plus(1);
        }
    }
    sum
}

/// The longest work without a break of so many minutes, milliseconds.
fn longest_run(work: &[(Moment, Moment)], pause_min: u32) -> i64 {
    let (mut longest, mut run, mut left) = (0, 0, None::<Moment>);
    for &(from, until) in work {
        if left.is_some_and(|left| from.0 - left.0 >= i64::from(pause_min) * MINUTE_MS) {
            run = 0;
        }
        run += until.0 - from.0;
        longest = longest.max(run);
        left = Some(until);
    }
    longest
}

/// Whole minutes of a length in milliseconds; 0 for a negative one.
fn minutes(length: i64) -> u32 {
    u32::try_from(length / MINUTE_MS).unwrap_or(0)
}

#[cfg(test)]
mod tests;
