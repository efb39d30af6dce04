//! Rules of working time as dated data: those that hold on a day are the last that begin on or before it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Attendance;
use super::closing;
use super::records::{Band, RULES, Rules};
use crate::base::caller::{Caller, Right};
use crate::base::day::Day;
use crate::base::fault::{Fault, Kind as Sort};
use crate::base::id::{Id, Lineage, Revision};
use crate::store::{Deed, Reader, all};

/// Minutes of a day, and of a week: no limit lies beyond them.
const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;
/// Bands of overtime at most.
const BANDS_MAX: usize = 8;
/// Characters of a name or a source at most.
const TEXT_MAX: usize = 200;
/// Per cent on top at most.
const PERCENT_MAX: u32 = 400;

/// The rules that hold where nobody wrote others: French law without an agreement, Code du travail L3121-27
/// (35 h a week), L3121-36 (25 % for eight hours, then 50 %), L3121-18 and -20 (10 h a day, 48 h a week),
/// L3131-1 (11 h of rest), L3121-16 (20 minutes after 6 h), L3122-2 (night from 21:00 to 06:00).
pub fn french() -> Rules {
    Rules {
        lineage: Lineage::born(Revision { site: Id::ZERO, count: 0 }),
        from: Day::numbered(0),
        name: "35 h".into(),
        source: "Code du travail, L3121-16, -18, -20, -27, -36, L3122-2, L3131-1".into(),
        week_minutes: 35 * 60,
        bands: vec![
            Band { minutes: Some(8 * 60), percent: 25 },
            Band { minutes: None, percent: 50 },
        ],
        night_from: 21 * 60,
        night_until: 6 * 60,
        day_max: 10 * 60,
        week_max: 48 * 60,
        rest_min: 11 * 60,
        pause_after: 6 * 60,
        pause_min: 20,
    }
}

/// Rules as they are written by a person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RulesDraft {
    /// From when they hold.
    #[schema(value_type = String, format = Date)]
    pub from: Day,
    /// What they are called.
    pub name: String,
    /// Where they stand: law, agreement.
    #[serde(default)]
    pub source: String,
    /// Minutes of work in a week beyond which it is overtime.
    pub week_minutes: u32,
    /// How overtime is paid, first band first; only the last has no length.
    pub bands: Vec<Band>,
    /// From when it is night, minutes after midnight.
    pub night_from: u32,
    /// Until when, minutes after the next midnight.
    pub night_until: u32,
    /// The longest day of work, minutes.
    pub day_max: u32,
    /// The longest week of work, minutes.
    pub week_max: u32,
    /// The shortest rest between two days of work, minutes.
    pub rest_min: u32,
    /// After how many minutes of work without a break one is due.
    pub pause_after: u32,
    /// How long that break is, minutes.
    pub pause_min: u32,
}

impl From<&Rules> for RulesDraft {
    fn from(rules: &Rules) -> Self {
        Self {
            from: rules.from,
            name: rules.name.clone(),
            source: rules.source.clone(),
            week_minutes: rules.week_minutes,
            bands: rules.bands.clone(),
            night_from: rules.night_from,
            night_until: rules.night_until,
            day_max: rules.day_max,
            week_max: rules.week_max,
            rest_min: rules.rest_min,
            pause_after: rules.pause_after,
            pause_min: rules.pause_min,
        }
    }
}

impl RulesDraft {
    fn check(&self) -> Result<(), Fault> {
        let wrong = |name: &str, message: String| Err(Fault::field(name, "value_error", message));
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > TEXT_MAX {
            return wrong("name", format!("1 to {TEXT_MAX} characters."));
        }
        if self.source.chars().count() > TEXT_MAX {
            return wrong("source", format!("At most {TEXT_MAX} characters."));
        }
        for (name, minutes, most) in [
            ("week_minutes", self.week_minutes, WEEK),
            ("night_from", self.night_from, DAY),
            ("night_until", self.night_until, DAY),
            ("day_max", self.day_max, DAY),
            ("week_max", self.week_max, WEEK),
            ("rest_min", self.rest_min, DAY),
            ("pause_after", self.pause_after, DAY),
            ("pause_min", self.pause_min, DAY),
        ] {
            if minutes > most {
                return wrong(name, format!("At most {most} minutes."));
            }
        }
        let last = self.bands.len().saturating_sub(1);
        let in_order = self.bands.iter().enumerate().all(|(at, band)| {
            band.percent <= PERCENT_MAX
                && band.minutes.is_none_or(|m| m <= WEEK)
                && (band.minutes.is_none() == (at == last))
        });
        if self.bands.is_empty() || self.bands.len() > BANDS_MAX || !in_order {
            let message = format!(
                "1 to {BANDS_MAX} bands of at most {PERCENT_MAX} %; only the last has no length."
            );
            return wrong("bands", message);
        }
        Ok(())
    }
}

/// The rules of every day.
pub struct RuleBook {
    /// Those somebody wrote, by day.
    written: Vec<Rules>,
    /// Those that hold before.
    french: Rules,
}

impl RuleBook {
    /// Reads them.
    ///
    /// # Errors
    /// What the store says.
    pub fn read(reader: &impl Reader) -> Result<Self, Fault> {
        let written = reader.list(&RULES, &all(), usize::MAX)?;
        let written = written.into_iter().map(|(_, rules)| rules).collect();
        Ok(Self { written, french: french() })
    }

    /// The rules that hold on a day.
    pub fn on(&self, day: Day) -> &Rules {
        self.written.iter().rev().find(|rules| rules.from <= day).unwrap_or(&self.french)
    }

    /// All of them, the newest first; what came with the program is the last.
    pub fn newest(&self) -> impl Iterator<Item = &Rules> {
        self.written.iter().rev().chain([&self.french])
    }
}

impl Attendance {
    /// The rules there are, the newest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn rules(&self, caller: &Caller) -> Result<Vec<RulesDraft>, Fault> {
        caller.require(Right::UseAttendance)?;
        let book = self.store.read(RuleBook::read)?;
        Ok(book.newest().map(Into::into).collect())
    }

    /// Writes rules down from a day on, or in the place of those that begin on it.
    ///
    /// # Errors
    /// `right_missing`, the field at fault, `month_closed` where a month that is closed would change.
    pub fn put_rules(&self, caller: &Caller, draft: RulesDraft) -> Result<RulesDraft, Fault> {
        caller.require(Right::ManageAttendance)?;
        draft.check()?;
        let who = caller.clone();
        self.store.write(move |tx| {
            closing::require_open_from(tx, draft.from)?;
            let key = i64::from(draft.from.number());
            let old = tx.get(&RULES, &key)?;
            let rules = Rules {
                lineage: match &old {
                    Some(old) => old.lineage.then(tx.revision()),
                    None => Lineage::born(tx.revision()),
                },
                from: draft.from,
                name: draft.name.trim().to_owned(),
                source: draft.source.trim().to_owned(),
                week_minutes: draft.week_minutes,
                bands: draft.bands,
                night_from: draft.night_from,
                night_until: draft.night_until,
                day_max: draft.day_max,
                week_max: draft.week_max,
                rest_min: draft.rest_min,
                pause_after: draft.pause_after,
                pause_min: draft.pause_min,
            };
            tx.put(&RULES, &key, &rules)?;
            let shown = RulesDraft::from(&rules);
            let mut deed = Deed::new("rules.put", rules.from).after(&shown);
            if let Some(old) = &old {
                deed = deed.before(&RulesDraft::from(old));
            }
            tx.journal(&who, deed)?;
            Ok(shown)
        })
    }

    /// Takes rules away: those before them hold on.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `month_closed`.
    pub fn drop_rules(&self, caller: &Caller, from: Day) -> Result<(), Fault> {
        caller.require(Right::ManageAttendance)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let key = i64::from(from.number());
            let old = tx.get(&RULES, &key)?;
            let old = old.ok_or_else(|| {
                Fault::new(Sort::NotFound, "not_found", "No rules begin on that day.")
            })?;
            closing::require_open_from(tx, from)?;
            tx.remove(&RULES, &key)?;
            tx.journal(&who, Deed::new("rules.drop", from).before(&RulesDraft::from(&old)))
        })
    }
}
