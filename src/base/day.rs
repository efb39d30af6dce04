//! Days and months of the calendar, as people live them: without a clock, in the site's own time zone.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, ISOWeekDate, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::clock::Moment;

/// The first day there is: 1970-01-01 stands for whatever lies before it.
const FIRST: Date = Date::constant(1970, 1, 1);

/// A day of the calendar, as days since 1970-01-01; `YYYY-MM-DD` in texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The day of a date.
    pub fn of_date(date: Date) -> Self {
        Self(FIRST.until(date).map_or(0, |span| span.get_days()))
    }

    /// The day that a moment falls on in a zone.
    pub fn of(moment: Moment, zone: &TimeZone) -> Self {
        Self::of_date(civil(moment, zone).date())
    }

    /// Its date.
    pub fn date(self) -> Date {
        FIRST.checked_add(self.0.days()).unwrap_or(FIRST)
    }

    /// The day that lies so many days later, or earlier.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// How many days lie between `earlier` and this one; negative when it is later.
    pub fn since(self, earlier: Self) -> i32 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment at which it begins in a zone: midnight, or the first moment after a midnight that a
    /// change of the clock leaves out.
    pub fn begins(self, zone: &TimeZone) -> Moment {
        self.at(0, zone)
    }

    /// The moment so many minutes of the wall after its midnight; more than 1,440 fall on later days. A
    /// time that the clock shows twice is its first one, a time that it leaves out the one after the gap.
    pub fn at(self, minutes: u32, zone: &TimeZone) -> Moment {
        let minutes = i64::from(minutes);
        let day = self.plus(i32::try_from(minutes / 1440).unwrap_or(0)).date();
        let time = Time::midnight().wrapping_add((minutes % 1440).minutes());
        let moment = zone.to_ambiguous_zoned(day.to_datetime(time)).compatible();
        moment.map_or(Moment(0), |zoned| Moment(zoned.timestamp().as_millisecond()))
    }

    /// The number of its weekday: 0 for Monday, 6 for Sunday.
    pub fn weekday(self) -> usize {
        usize::try_from(self.date().weekday().to_monday_zero_offset()).unwrap_or(0)
    }

    /// The Monday of its week.
    #[must_use]
    pub fn monday(self) -> Self {
        self.plus(-i32::try_from(self.weekday()).unwrap_or(0))
    }

    /// Its week by ISO 8601: the year that the week belongs to, and its number.
    pub fn week(self) -> (i16, i8) {
        let week: ISOWeekDate = self.date().iso_week_date();
        (week.year(), week.week())
    }

    /// The month it lies in.
    pub fn month(self) -> Month {
        let date = self.date();
        Month(i32::from(date.year()) * 12 + i32::from(date.month()) - 1)
    }

    /// The number that it is kept as: days since 1970-01-01.
    pub fn number(self) -> i32 {
        self.0
    }

    /// The day of a number.
    pub fn numbered(number: i32) -> Self {
        Self(number)
    }
}

/// A month of the calendar; `YYYY-MM` in texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i32);

impl Month {
    /// Its first day.
    pub fn first(self) -> Day {
        let year = i16::try_from(self.0.div_euclid(12)).unwrap_or(1970);
        let month = i8::try_from(self.0.rem_euclid(12) + 1).unwrap_or(1);
        Day::of_date(Date::new(year, month, 1).unwrap_or(FIRST))
    }

    /// Its last day.
    pub fn last(self) -> Day {
        self.plus(1).first().plus(-1)
    }

    /// The month that lies so many months later, or earlier.
    #[must_use]
    pub fn plus(self, months: i32) -> Self {
        Self(self.0.saturating_add(months))
    }

    /// Every day of it.
    pub fn days(self) -> impl Iterator<Item = Day> {
        (self.first().0..=self.last().0).map(Day)
    }

    /// The number that it is kept as: months since the year 0.
    pub fn number(self) -> i32 {
        self.0
    }

    /// The month of a number.
    pub fn numbered(number: i32) -> Self {
        Self(number)
    }
}

/// What the wall shows at a moment in a zone.
pub fn civil(moment: Moment, zone: &TimeZone) -> jiff::civil::DateTime {
    let stamp = jiff::Timestamp::from_millisecond(moment.0).unwrap_or_default();
    zone.to_datetime(stamp)
}

/// A text that is no day or month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDate;

impl fmt::Display for NoDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a date")
    }
}

impl std::error::Error for NoDate {}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

impl FromStr for Day {
    type Err = NoDate;

    fn from_str(text: &str) -> Result<Self, NoDate> {
        let date: Date = text.trim().parse().map_err(|_| NoDate)?;
        // A date-time parses as a date too; only a bare one is meant here.
        if text.trim().len() == 10 { Ok(Self::of_date(date)) } else { Err(NoDate) }
    }
}

impl FromStr for Month {
    type Err = NoDate;

    fn from_str(text: &str) -> Result<Self, NoDate> {
        let day: Day = format!("{}-01", text.trim()).parse()?;
        Ok(day.month())
    }
}

macro_rules! in_words {
    ($type:ty, $expected:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_i32(self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(|_| serde::de::Error::custom($expected))
                } else {
                    i32::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

in_words!(Day, "not a date (YYYY-MM-DD)");
in_words!(Month, "not a month (YYYY-MM)");

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap_or(Day(0))
    }

    #[test]
    fn days_and_months_read_and_write_as_iso() {
        assert_eq!(day("2026-03-29").to_string(), "2026-03-29");
        assert_eq!(day("2024-02-29").month().to_string(), "2024-02");
        assert_eq!(day("2024-02-10").month().last(), day("2024-02-29"));
        assert_eq!(day("2026-12-31").month().plus(1).first(), day("2027-01-01"));
        assert_eq!("2026-13".parse::<Month>(), Err(NoDate));
        assert_eq!("2026-01-01T00:00".parse::<Day>(), Err(NoDate));
        assert_eq!(
            (day("2026-11-25").weekday(), day("2026-11-25").monday()),
            (2, day("2026-11-23"))
        );
        assert_eq!(day("2027-01-01").week(), (2026, 53));
    }

    #[test]
    fn a_day_begins_where_its_zone_says_so() {
        let Ok(paris) = TimeZone::get("Europe/Paris") else { return assert_eq!("zone", "none") };
        let hours = |day: Day| (day.plus(1).begins(&paris).0 - day.begins(&paris).0) / 3_600_000;
        assert_eq!(hours(day("2026-03-29")), 23);
        assert_eq!(hours(day("2026-10-25")), 25);
        assert_eq!(hours(day("2026-11-25")), 24);
        assert_eq!(day("2026-11-25").begins(&paris).to_rfc3339(), "2026-11-24T23:00:00.000Z");
        assert_eq!(day("2026-11-25").at(1500, &paris).to_rfc3339(), "2026-11-26T00:00:00.000Z");
        let late = Moment::parse("2026-11-24T23:30:00Z").unwrap_or(Moment(0));
        assert_eq!(Day::of(late, &paris), day("2026-11-25"));
    }
}
