//! How the parts of the box are, for `/health/detail`, the pages and `ilot doctor`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::clock::{Clock, Moment};

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It works.
    Ok,
    /// It works with less than it could have; `advice` says what is missing.
    Reduced,
    /// It does not work.
    Failed,
}

/// What one part says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How it is.
    pub level: Level,
    /// A sentence: what is so.
    pub detail: String,
    /// A sentence: what to do about it; empty when nothing is to be done.
    pub advice: String,
    /// Since when it has been at this level.
    pub since: Moment,
}

/// The board that every part reports to.
#[derive(Clone)]
pub struct Health {
    clock: Arc<dyn Clock>,
    parts: Arc<Mutex<BTreeMap<String, Report>>>,
}

impl Health {
    /// An empty board.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, parts: Arc::default() }
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<String, Report>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how `part` is. `since` moves only when the level does.
    pub fn report(
        &self,
        part: &str,
        level: Level,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let now = self.clock.now();
        let mut parts = self.parts();
        let since = parts.get(part).filter(|r| r.level == level).map_or(now, |r| r.since);
        parts.insert(
            part.to_owned(),
            Report { level, detail: detail.into(), advice: advice.into(), since },
        );
    }

    /// Says that `part` works.
    pub fn well(&self, part: &str, detail: impl Into<String>) {
        self.report(part, Level::Ok, detail, "");
    }

    /// Takes `part` off the board.
    pub fn forget(&self, part: &str) {
        self.parts().remove(part);
    }

    /// Everything on the board, by name.
    pub fn all(&self) -> BTreeMap<String, Report> {
        self.parts().clone()
    }

    /// How `part` is, without its words.
    pub fn level(&self, part: &str) -> Option<Level> {
        self.parts().get(part).map(|report| report.level)
    }

    /// What `part` last said.
    pub fn of(&self, part: &str) -> Option<Report> {
        self.parts().get(part).cloned()
    }

    /// The worst level on the board.
    pub fn worst(&self) -> Level {
        self.parts().values().map(|r| r.level).max().unwrap_or(Level::Ok)
    }
}
