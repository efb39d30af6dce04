//! Weeks, overtime and months out of workdays.

use serde::Serialize;
use utoipa::ToSchema;

use super::Workday;
use crate::base::day::Day;
use crate::domains::attendance::records::{Overtime, Rules, Totals};

/// A week of work, Monday to Sunday (ISO 8601).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Week {
    /// Its Monday.
    #[schema(value_type = String, format = Date)]
    pub monday: Day,
    /// Its number in its year.
    pub number: i8,
    /// Work, minutes.
    pub worked: u32,
    /// Overtime by band, in the rules' order, bands without any left out.
    pub overtime: Vec<Overtime>,
    /// Whether it holds more work than the rules allow for a week.
    pub too_long: bool,
}

/// The weeks of workdays, in order. The rules are those that hold on a week's Monday.
pub fn weeks<'r>(days: &[Workday], rules: impl Fn(Day) -> &'r Rules) -> Vec<Week> {
    let mut weeks: Vec<Week> = Vec::new();
    for day in days {
        let monday = day.day.monday();
        match weeks.last_mut().filter(|week| week.monday == monday) {
            Some(week) => week.worked += day.worked,
            None => weeks.push(Week {
                monday,
                number: monday.week().1,
                worked: day.worked,
                overtime: Vec::new(),
                too_long: false,
            }),
        }
    }
    for week in &mut weeks {
        let rules = rules(week.monday);
        week.overtime = overtime(week.worked, rules);
        week.too_long = week.worked > rules.week_max;
    }
    weeks
}

/// The overtime of a week's work, in minutes by band.
pub fn overtime(worked: u32, rules: &Rules) -> Vec<Overtime> {
    let mut left = worked.saturating_sub(rules.week_minutes);
    let mut bands = Vec::new();
    for band in &rules.bands {
        let minutes = band.minutes.map_or(left, |most| most.min(left));
        if minutes > 0 {
            bands.push(Overtime { percent: band.percent, minutes });
        }
        left -= minutes;
    }
    bands
}

/// What the days from `first` to `last` come to; overtime is that of the weeks whose Sunday lies in them.
pub fn totals(
    days: &[Workday],
    weeks: &[Week],
    first: Day,
    last: Day,
    expected: Option<u32>,
) -> Totals {
    let mut totals = Totals { expected, ..Totals::default() };
    for day in days.iter().filter(|day| first <= day.day && day.day <= last) {
        totals.days += u32::from(day.worked > 0);
        totals.worked += day.worked;
        totals.paused += day.paused;
        totals.night += day.night;
        totals.sunday += day.sunday;
        totals.open_days += u32::from(day.open());
    }
    for week in weeks {
        let sunday = week.monday.plus(6);
        if sunday < first || last < sunday {
            continue;
        }
        for band in &week.overtime {
            match totals.overtime.iter_mut().find(|known| known.percent == band.percent) {
                Some(known) => known.minutes += band.minutes,
                None => totals.overtime.push(*band),
            }
        }
    }
    totals.overtime.sort_by_key(|band| band.percent);
    totals
}
