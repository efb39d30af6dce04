//! Days, nights, changes of the clock, what was forgotten, overtime; and any order of punches at all.

use super::tally::{overtime, totals, weeks};
use super::*;
use crate::base::id::Id;
use crate::domains::attendance::records::Overtime;
use crate::domains::attendance::rules::french;

fn paris() -> TimeZone {
    TimeZone::get("Europe/Paris").unwrap()
}

/// A punch at a time of the wall in Paris.
fn punch(kind: Kind, text: &str) -> Counted {
    let zoned = text.parse::<jiff::civil::DateTime>().unwrap().to_zoned(paris()).unwrap();
    Counted {
        at: Moment(zoned.timestamp().as_millisecond()),
        kind,
        punch: Some(Id::ZERO),
        number: Some(1),
        kiosk: None,
        flags: Vec::new(),
        correction: None,
        made_at: None,
    }
}

fn day_of(said: &[(Kind, &str)]) -> Vec<Workday> {
    let punches: Vec<_> = said.iter().map(|(kind, text)| punch(*kind, text)).collect();
    let now = Moment(punches.last().unwrap().at.0 + 40 * 3_600_000);
    let rules = french();
    workdays(&punches, &paris(), now, |_| &rules)
}

use Kind::{BreakEnd, BreakStart, ClockIn, ClockOut};

#[test]
fn a_plain_day_is_its_work_and_its_break() {
    let days = day_of(&[
        (ClockIn, "2026-01-15T08:00:00"),
        (BreakStart, "2026-01-15T12:00:00"),
        (BreakEnd, "2026-01-15T12:45:30"),
        (ClockOut, "2026-01-15T17:00:00"),
    ]);
    assert_eq!(days.len(), 1);
    assert_eq!((days[0].worked, days[0].paused, days[0].night), (494, 45, 0));
    assert_eq!(days[0].notes, []);
}

#[test]
fn a_night_over_midnight_is_one_workday_and_sunday_begins_at_midnight() {
    // Saturday evening to Sunday morning.
    let days = day_of(&[
        (ClockIn, "2026-01-17T20:00:00"),
        (BreakStart, "2026-01-18T01:00:00"),
        (BreakEnd, "2026-01-18T01:30:00"),
        (ClockOut, "2026-01-18T06:30:00"),
    ]);
    assert_eq!(days.len(), 1);
    assert_eq!(days[0].day.to_string(), "2026-01-17");
    assert_eq!((days[0].worked, days[0].night, days[0].sunday), (600, 510, 360));
}

#[test]
fn the_clock_set_forward_takes_an_hour_and_set_back_gives_one() {
    let spring = day_of(&[(ClockIn, "2026-03-28T22:00:00"), (ClockOut, "2026-03-29T06:00:00")]);
    assert_eq!((spring[0].worked, spring[0].night), (420, 420));
    let autumn = day_of(&[(ClockIn, "2026-10-24T22:00:00"), (ClockOut, "2026-10-25T06:00:00")]);
    assert_eq!((autumn[0].worked, autumn[0].night), (540, 540));
}

#[test]
fn what_was_forgotten_is_said_and_nothing_is_made_up() {
    let days = day_of(&[
        (ClockIn, "2026-01-15T08:00:00"),
        (BreakStart, "2026-01-15T12:00:00"),
        (ClockIn, "2026-01-16T08:00:00"),
        (ClockOut, "2026-01-16T16:00:00"),
        (ClockOut, "2026-01-19T16:00:00"),
    ]);
    assert_eq!(days.len(), 3);
    assert_eq!((days[0].worked, days[0].notes.clone()), (240, vec![Note::NoGoing]));
    assert_eq!((days[1].worked, days[1].open()), (480, false));
    assert_eq!((days[2].worked, days[2].notes.clone()), (0, vec![Note::NoComing]));
}

#[test]
fn a_second_gesture_is_the_same_gesture() {
    let days = day_of(&[
        (ClockIn, "2026-01-15T08:00:00"),
        (ClockIn, "2026-01-15T08:00:40"),
        (ClockOut, "2026-01-15T12:00:00"),
        (ClockOut, "2026-01-15T12:01:00"),
    ]);
    assert_eq!((days.len(), days[0].worked, days[0].notes.clone()), (1, 240, vec![]));
}

#[test]
fn the_rules_speak_up() {
    let days = day_of(&[
        (ClockIn, "2026-01-15T08:00:00"),
        (ClockOut, "2026-01-15T19:00:00"),
        (ClockIn, "2026-01-16T05:00:00"),
        (BreakStart, "2026-01-16T10:00:00"),
        (BreakEnd, "2026-01-16T10:10:00"),
        (ClockOut, "2026-01-16T11:30:00"),
    ]);
    assert_eq!(days[0].notes, [Note::DayTooLong, Note::PauseMissing]);
    assert_eq!(days[1].notes, [Note::RestTooShort, Note::PauseMissing]);
}

#[test]
fn overtime_fills_its_bands_in_order() {
    let rules = french();
    let band = |percent, minutes| Overtime { percent, minutes };
    assert_eq!(overtime(35 * 60, &rules), []);
    assert_eq!(overtime(36 * 60, &rules), [band(25, 60)]);
    assert_eq!(overtime(45 * 60, &rules), [band(25, 480), band(50, 120)]);
    let days: Vec<_> = (0..5)
        .map(|n| Workday {
            worked: 480,
            ..Workday::empty("2026-01-26".parse::<Day>().unwrap().plus(n))
        })
        .collect();
    let weeks = weeks(&days, |_| &rules);
    assert_eq!((weeks.len(), weeks[0].number, weeks[0].worked), (1, 5, 2400));
    let (first, last) = (Day::numbered(0), Day::numbered(50_000));
    assert_eq!(totals(&days, &weeks, first, last, None).overtime, [band(25, 300)]);
    // The week ends on the first of February: its overtime is February's, its days are January's.
    let january = "2026-01-01".parse::<Day>().unwrap();
    let sum = totals(&days, &weeks, january, january.month().last(), None);
    assert_eq!((sum.days, sum.worked, sum.overtime.len()), (5, 2400, 0));
}

/// Whatever is punched, in whatever order: time is never made, lost sums never differ, and no workday is
/// named twice.
#[test]
fn no_order_of_punches_makes_time() {
    use proptest::prelude::*;
    let kinds = prop::sample::select(vec![ClockIn, ClockOut, BreakStart, BreakEnd]);
    let gaps = prop::collection::vec((kinds, 1_i64..30 * 3_600_000), 1..60);
    // Around both changes of the clock.
    let begins = prop::sample::select(vec!["2026-03-27T12:00:00", "2026-10-23T12:00:00"]);
    proptest!(ProptestConfig::with_cases(512), |(gaps in gaps, begins in begins)| {
        let mut at = punch(ClockIn, begins).at.0;
        let first = at;
        let punches: Vec<_> = gaps.iter().map(|(kind, gap)| {
            at += gap;
            Counted { at: Moment(at), ..punch(*kind, begins) }
        }).collect();
        let now = Moment(at + 3_600_000);
        let rules = french();
        let days = workdays(&punches, &paris(), now, |_| &rules);
        let sum: i64 = days.iter().map(|day| i64::from(day.worked + day.paused)).sum();
        prop_assert!(sum * MINUTE_MS <= now.0 - first);
        prop_assert!(days.windows(2).all(|pair| pair[0].day < pair[1].day));
        for day in &days {
            prop_assert!(day.night <= day.worked && day.sunday <= day.worked);
            prop_assert!(day.stays.iter().all(|stay| stay.until.is_none_or(|until| stay.from <= until)));
            prop_assert!(day.stays.iter().filter(|stay| stay.until.is_none()).count() == 0
                || day.notes.contains(&Note::NoGoing) || day.notes.contains(&Note::StillHere));
        }
    });
}
