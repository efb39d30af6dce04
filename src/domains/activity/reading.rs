//! The journal read backwards: filters over rows that are only looked at, decoded where they are shown.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use super::records::{HOURS, HOURS_UNTIL, Hour};
use super::{Activity, deeds};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::store::journal::{self, Glance, JOURNAL, Link};
use crate::store::key::Key;
use crate::store::{Reader, Record, View, from};

/// Links looked at for one list at most, newest first; what is older is neither shown nor counted.
pub const LOOKED_AT_MAX: u64 = 5_000_000;
/// Links that one turn of the index of hours takes up.
const INDEXED_AT_ONCE: usize = 50_000;
/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// Which links; every field narrows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Whose name contains this, whatever the case.
    pub who: Option<String>,
    /// Whose name is this, whatever the case.
    pub named: Option<String>,
    /// Of this user.
    pub user: Option<Id>,
    /// Only those of people (users, and the console), not of the box itself.
    pub people: bool,
    /// Whose deed starts with this.
    pub deed: Option<String>,
    /// With one of these action types; none of them: any.
    pub actions: Vec<String>,
    /// With this event type.
    pub event: Option<String>,
    /// Whose object contains this.
    pub object: Option<String>,
    /// Through this door.
    pub door: Option<String>,
    /// From this address.
    pub address: Option<String>,
    /// Written at this moment or later.
    pub from: Option<Moment>,
    /// Written before this moment.
    pub until: Option<Moment>,
    /// Only numbers below this one.
    pub before_number: Option<u64>,
    /// Members of the state after or before that must be this integer, for instance `kiosk_id`.
    pub members: Vec<(&'static str, i64)>,
}

/// Which part of what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// How many to skip.
    pub offset: usize,
    /// How many to show.
    pub limit: usize,
    /// Whether all of them are counted; without it the walk ends with the last one shown.
    pub count: bool,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// How many there are, of the newest [`LOOKED_AT_MAX`]; only what was seen when not all are counted.
    pub total: u64,
    /// Those to show, newest first.
    pub links: Vec<Link>,
}

impl Filter {
    /// Whether it lets everything through.
    fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// What can be told without decoding the states.
    fn fits(&self, glance: &Glance<'_>) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        self.from.is_none_or(|from| glance.at >= from)
            && self.until.is_none_or(|until| glance.at < until)
            && self.user.is_none_or(|user| glance.user == Some(user))
            && (!self.people || glance.user.is_some() || glance.door == "console")
            && self.deed.as_deref().is_none_or(|deed| glance.deed.starts_with(deed))
            && same(&self.door, glance.door)
            && self.address.as_deref().is_none_or(|wanted| glance.address == Some(wanted))
            && self.object.as_deref().is_none_or(|object| glance.object.contains(object))
            && self.named.as_deref().is_none_or(|name| folded_same(glance.who, name))
            && self.who.as_deref().is_none_or(|part| folded_contains(glance.who, part))
            && self.event.as_deref().is_none_or(|event| deeds::is_event(glance.deed, event))
            && (self.actions.is_empty() || {
                let action = deeds::action_at(glance);
                self.actions.iter().any(|wanted| *wanted == action)
            })
    }

    /// Whether the row can hold the members at all: most rows need not be decoded to know.
    fn may_fit_states(&self, row: &[u8]) -> bool {
        self.members
            .iter()
            .all(|(name, _)| row.windows(name.len()).any(|window| window == name.as_bytes()))
    }

    fn fits_states(&self, link: &Link) -> bool {
        self.members.iter().all(|(name, wanted)| member(link, name) == Some(*wanted))
    }
}

/// An integer member of a link's state after, else before.
pub fn member(link: &Link, name: &str) -> Option<i64> {
    [&link.after, &link.before].into_iter().flatten().find_map(|state| {
        serde_json::from_str::<serde_json::Value>(state).ok()?.get(name)?.as_i64()
    })
}

fn folded_same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!a.is_ascii() && a.to_lowercase() == b.to_lowercase())
}

/// `part` is in lower case already.
fn folded_contains(whole: &str, part: &str) -> bool {
    if whole.is_ascii() && !part.is_empty() {
        return whole
            .as_bytes()
            .windows(part.len())
            .any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    }
    whole.to_lowercase().contains(part)
}

impl Activity {
    /// Looks for links, newest first.
    pub(super) fn find(&self, filter: &Filter, part: Part) -> Result<Found, Fault> {
        let mut filter = filter.clone();
        filter.who = filter.who.map(|who| who.to_lowercase());
        self.store.read(|view| {
            let mut found = Found::default();
            // The whole journal's length needs no walk.
            let whole = filter.is_open().then(|| view.count(JOURNAL.name)).transpose()?;
            let wanted = part.offset.saturating_add(part.limit) as u64;
            let enough = |total: u64| total >= wanted && (!part.count || whole.is_some());
            if part.limit > 0 || whole.is_none() {
                visit(view, &filter, |_, row| {
                    let by_states = !filter.members.is_empty();
                    let next = found.total + 1;
                    let shown = next > part.offset as u64 && next <= wanted;
                    if by_states && !filter.may_fit_states(row) {
                        return Ok(ControlFlow::Continue(()));
                    }
                    if by_states || shown {
                        // A row that is damaged further on is named by the walk, and hides no other.
                        let link = Link::decode(row).ok();
                        let fits = |link: &Link| filter.fits_states(link);
                        let Some(link) = link.filter(fits) else {
                            return Ok(ControlFlow::Continue(()));
                        };
                        found.links.extend(shown.then_some(link));
                    }
                    found.total = next;
                    let end = enough(next);
                    Ok(if end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                })?;
            }
            found.total = whole.unwrap_or(found.total);
            Ok(found)
        })
    }

    /// Looks at every link that fits, newest first.
    pub(super) fn each(
        &self,
        filter: &Filter,
        mut look: impl FnMut(&Glance<'_>),
    ) -> Result<(), Fault> {
        self.store.read(|view| {
            visit(view, filter, |glance, _| {
                look(glance);
                Ok(ControlFlow::Continue(()))
            })
        })
    }

    /// Takes new links up into the index of hours; the answer is whether there are more.
    ///
    /// # Errors
    /// What the store says.
    pub fn index_hours(&self) -> Result<bool, Fault> {
        let (hours, until, more) = self.store.read(|view| {
            let first = view.get(&HOURS_UNTIL, &())?.unwrap_or(0) + 1;
            let (mut hours, mut until) = (BTreeMap::<Moment, Hour>::new(), first - 1);
            let (mut left, mut more) = (INDEXED_AT_ONCE, false);
            view.raw_each(JOURNAL.name, &from(&first), false, &mut |_, row| {
                if left == 0 {
                    more = true;
                    return Ok(ControlFlow::Break(()));
                }
                left -= 1;
                if let Ok(glance) = Glance::at(row) {
                    let number = glance.number;
                    let start = Moment(glance.at.0 - glance.at.0.rem_euclid(HOUR_MS));
                    let hour = hours.entry(start).or_insert(Hour { first: number, last: number });
                    hour.first = hour.first.min(number);
                    hour.last = hour.last.max(number);
                    until = until.max(number);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok((hours, until, more))
        })?;
        if !hours.is_empty() {
            let outcome = self.store.write(move |tx| {
                for (start, new) in hours {
                    let old = tx.get(&HOURS, &start)?.unwrap_or(new);
                    let hour =
                        Hour { first: old.first.min(new.first), last: old.last.max(new.last) };
                    tx.put(&HOURS, &start, &hour)?;
                }
                tx.put(&HOURS_UNTIL, &(), &until)
            });
            match outcome {
                // What is not taken up yet is looked at link by link.
                Err(full) if full.kind == Kind::Full => return Ok(false),
                other => other?,
            }
        }
        Ok(more)
    }
}

/// Visits the links that fit, newest first, [`LOOKED_AT_MAX`] at most.
fn visit(
    view: &View,
    filter: &Filter,
    mut look: impl FnMut(&Glance<'_>, &[u8]) -> Result<ControlFlow<()>, Fault>,
) -> Result<(), Fault> {
    let mut left = LOOKED_AT_MAX;
    let mut ended = false;
    for numbers in stretches(view, filter)?.into_iter().filter(|numbers| !numbers.is_empty()) {
        journal::newest_first(view, numbers, |glance, row| {
            if left == 0 {
                return Ok(ControlFlow::Break(()));
            }
            left -= 1;
            if !filter.fits(glance) {
                return Ok(ControlFlow::Continue(()));
            }
            let step = look(glance, row)?;
            ended = step.is_break();
            Ok(step)
        })?;
        if ended || left == 0 {
            break;
        }
    }
    Ok(())
}

/// The numbers among which the links of a span of time are, newest first.
///
/// The wall clock may have gone back, so an hour's links may lie anywhere: the index of hours says where.
/// What it has not taken up yet, at most a minute's links, is looked at as a whole.
fn stretches(view: &View, filter: &Filter) -> Result<[Range<u64>; 2], Fault> {
    let end = filter.before_number.unwrap_or(u64::MAX);
    if filter.from.is_none() && filter.until.is_none() {
        return Ok([0..end, 0..0]);
    }
    let indexed = view.get(&HOURS_UNTIL, &())?.unwrap_or(0);
    let start = filter.from.map_or(Moment(i64::MIN), |m| Moment(m.0 - m.0.rem_euclid(HOUR_MS)));
    let span = (start.bytes(), filter.until.map(|until| until.bytes()));
    let mut known: Option<Range<u64>> = None;
    view.each(&HOURS, &span, |_, hour| {
        let whole = known.get_or_insert(hour.first..hour.last + 1);
        *whole = whole.start.min(hour.first)..whole.end.max(hour.last + 1);
        Ok(ControlFlow::Continue(()))
    })?;
    let known = known.unwrap_or(0..0);
    Ok([indexed + 1..end, known.start..known.end.min(indexed + 1).min(end)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_whatever_their_case() {
        assert!(folded_same("Léa", "LÉA") && folded_same("Chef", "chef") && !folded_same("a", "b"));
        for (whole, part, fits) in
            [("Chef", "he", true), ("LÉA", "éa", true), ("Anna", "x", false), ("Anna", "", true)]
        {
            assert_eq!(folded_contains(whole, part), fits, "{whole} {part}");
        }
    }
}
