//! Watches the wall clock: a time before the last record, or a jump, opens an interval of doubt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::journal::When;
use super::meta::{CLOCK, CLOCKS};
use super::tx::{Batch, Heads, Tx};
use super::view::Reader;
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::health::{Health, Level};
use crate::base::id::Id;
use crate::records;

/// How far the wall may move against the boot clock, or back behind the last record, unremarked.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Why the clock is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It shows a time before the last record.
    Behind,
    /// It moved while the machine ran, by more than the boot clock did.
    Jumped,
}

/// An open interval of doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// Why.
    pub why: Why,
    /// The wall when it was noticed.
    pub at: Moment,
    /// The latest moment of any record before it.
    pub high_water: Moment,
}

/// What the store keeps about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The latest moment of any record.
    pub high_water: Moment,
    /// The open interval of doubt, until a person ends it.
    pub doubt: Option<Doubt>,
}

records!(Kept);

pub(super) struct ClockWatch {
    kept: Kept,
    /// Wall minus boot clock when last looked at, milliseconds.
    offset: i64,
}

impl ClockWatch {
    pub(super) fn load(batch: &Batch<'_>, clock: &dyn Clock) -> Result<Self, Fault> {
        let blank = When { at: clock.now(), since_boot_ms: 0, doubtful: false };
        let heads = Heads { seq: 0, journal: super::journal::Head::default() };
        let tx = Tx::new(batch, heads, blank, Id::ZERO);
        let kept = tx
            .get(&CLOCKS, &CLOCK.to_owned())?
            .unwrap_or(Kept { high_water: clock.now(), doubt: None });
        Ok(Self { kept, offset: offset(clock) })
    }

    /// Looks at the clock for one batch.
    pub(super) fn look(&mut self, clock: &dyn Clock, health: &Health) -> When {
        let now = clock.now();
        let tolerance = i64::try_from(TOLERANCE.as_millis()).unwrap_or(i64::MAX);
        let moved = offset(clock).saturating_sub(self.offset);
        self.offset = offset(clock);
        let why = if self.kept.high_water.0.saturating_sub(now.0) > tolerance {
            Some(Why::Behind)
        } else if moved.abs() > tolerance {
            Some(Why::Jumped)
        } else {
            None
        };
        if let (Some(why), None) = (why, self.kept.doubt) {
            let doubt = Doubt { why, at: now, high_water: self.kept.high_water };
            tracing::warn!(?doubt, "the clock is in doubt");
            self.kept.doubt = Some(doubt);
        }
        if let Some(doubt) = self.kept.doubt {
            health.report(
                "clock",
                Level::Reduced,
                format!(
                    "The clock is in doubt since it showed {} (last record before: {}).",
                    doubt.at.to_rfc3339(),
                    doubt.high_water.to_rfc3339()
                ),
                "Set the machine's clock, then confirm it on the health page or with `ilot doctor --clock-is-right`.",
            );
        }
        self.kept.high_water = self.kept.high_water.max(now);
        When {
            at: now,
            since_boot_ms: u64::try_from(clock.since_boot().as_millis()).unwrap_or(u64::MAX),
            doubtful: self.kept.doubt.is_some(),
        }
    }

    pub(super) fn kept(&self) -> Kept {
        self.kept
    }

    /// A person says the clock is right now.
    pub(super) fn settle(&mut self, clock: &dyn Clock, health: &Health) {
        self.kept = Kept { high_water: clock.now(), doubt: None };
        self.offset = offset(clock);
        health.well("clock", "A person confirmed the clock.");
    }
}

fn offset(clock: &dyn Clock) -> i64 {
    let boot = i64::try_from(clock.since_boot().as_millis()).unwrap_or(i64::MAX);
    clock.now().0.saturating_sub(boot)
}
