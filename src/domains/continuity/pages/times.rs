//! Moments as a person at the site reads them.

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::words::Lang;
use crate::base::clock::Moment;

/// Minutes of an hour.
const HOUR: u64 = 60;
/// From so many minutes on hours are told, and from so many days.
const TWO_DAYS: u64 = 48 * HOUR;

/// The site's time zone.
#[derive(Debug, Clone)]
pub struct Zone {
    zone: TimeZone,
    /// Whether the site's own is not known, so that times have to say whose they are.
    utc: bool,
}

impl Zone {
    /// The zone of that IANA name; UTC when there is none of that name.
    pub fn named(name: &str) -> Self {
        match TimeZone::get(name) {
            Ok(zone) if !name.is_empty() => Self { zone, utc: false },
            _ => Self { zone: TimeZone::UTC, utc: true },
        }
    }

    fn zoned(&self, at: Moment) -> Option<Zoned> {
        let stamp = jiff::Timestamp::from_millisecond(at.0).ok()?;
        Some(stamp.to_zoned(self.zone.clone()))
    }

    /// `14:02`, with its day in front when that is another one than that of `now`.
    pub fn time(&self, at: Moment, now: Moment, lang: Lang) -> String {
        let (Some(at), Some(now)) = (self.zoned(at), self.zoned(now)) else {
            return String::new();
        };
        if at.date() == now.date() {
            return self.clock(&at);
        }
        let year = if at.year() == now.year() { String::new() } else { format!("/{}", at.year()) };
        self.dated(&at, &year, lang)
    }

    /// `mer. 25/11/2026 à 05:07`: the whole date, whatever the day is.
    pub(super) fn full(&self, at: Moment, lang: Lang) -> String {
        let Some(at) = self.zoned(at) else { return String::new() };
        self.dated(&at, &format!("/{}", at.year()), lang)
    }

    fn clock(&self, at: &Zoned) -> String {
        let zone = if self.utc { " UTC" } else { "" };
        format!("{:02}:{:02}{zone}", at.hour(), at.minute())
    }

    fn dated(&self, at: &Zoned, year: &str, lang: Lang) -> String {
        let (day, time) = (lang.weekday(at.weekday()), self.clock(at));
        let word = lang.pick("à", "at");
        format!("{day} {:02}/{:02}{year} {word} {time}", at.day(), at.month())
    }
}

/// How old something is, in words: `3 minutes`, `2 h 05`, `4 jours`.
pub(super) fn age(minutes: u64, lang: Lang) -> String {
    match minutes {
        0 => lang.pick("moins d’une minute", "less than a minute").to_owned(),
        1 => "1 minute".to_owned(),
        2..HOUR => format!("{minutes} minutes"),
        HOUR..TWO_DAYS => format!("{} h {:02}", minutes / HOUR, minutes % HOUR),
        _ => format!("{} {}", minutes / HOUR / 24, lang.pick("jours", "days")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_site_and_say_their_day_when_it_is_another() {
        let at = |text| Moment::parse(text).unwrap();
        let (paris, now) = (Zone::named("Europe/Paris"), at("2026-07-01T22:30:00Z"));
        assert_eq!(paris.time(at("2026-07-01T22:05:00Z"), now, Lang::Fr), "00:05");
        assert_eq!(paris.time(at("2026-07-01T20:05:00Z"), now, Lang::Fr), "mer. 01/07 à 22:05");
        assert_eq!(
            paris.time(at("2025-12-31T12:00:00Z"), now, Lang::En),
            "Wed 31/12/2025 at 13:00"
        );
        assert_eq!(paris.full(now, Lang::Fr), "jeu. 02/07/2026 à 00:30");
        for unknown in ["", "Europe/Nowhere"] {
            assert_eq!(Zone::named(unknown).time(now, now, Lang::Fr), "22:30 UTC");
        }
        let ages: Vec<_> = [0, 1, 59, 60, 125, 2880].map(|m| age(m, Lang::Fr)).into();
        assert_eq!(
            ages,
            ["moins d’une minute", "1 minute", "59 minutes", "1 h 00", "2 h 05", "2 jours"]
        );
    }
}
