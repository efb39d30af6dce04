//! Breadcrumbs of starting: a stage in which the box died twice is skipped, so that no crash loop
//! keeps it dark (reliability.md, rule 9).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;
use crate::base::health::{Health, Level};
use crate::base::paths::write_private;

/// Deaths in one stage after which it is skipped.
const DEATHS_MAX: u32 = 2;

/// A part of starting that may be skipped or made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Opening the store; it cannot be skipped.
    Store,
    /// Opening the indexes; they are made anew instead.
    Indexes,
    /// Opening the model; search goes by words alone instead.
    Model,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Crumb {
    stage: Stage,
    deaths: u32,
}

/// Leaves the breadcrumbs.
pub struct Boot {
    path: PathBuf,
    found: Option<Crumb>,
    health: Health,
}

impl Boot {
    /// Reads what the last start left.
    pub fn begin(path: PathBuf, health: Health) -> Self {
        let found = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { path, found, health }
    }

    /// Enters a stage; false when the box died in it so often that it is to be skipped.
    ///
    /// # Errors
    /// `Broken` when the breadcrumb cannot be written.
    pub fn enter(&self, stage: Stage) -> Result<bool, Fault> {
        let deaths =
            self.found.filter(|crumb| crumb.stage == stage).map_or(0, |crumb| crumb.deaths + 1);
        let crumb = serde_json::to_vec(&Crumb { stage, deaths })
            .map_err(|e| Fault::broken("writing a breadcrumb", e))?;
        write_private(&self.path, &crumb).map_err(|e| Fault::broken("writing a breadcrumb", e))?;
        let skip = deaths >= DEATHS_MAX;
        if skip {
            self.health.report(
                "start",
                Level::Reduced,
                format!("The box died {deaths} times while it opened {stage:?}; that was skipped."),
                "See the log of the starts before; a later clean start tries again.",
            );
        }
        Ok(!skip)
    }

    /// The box is up.
    pub fn done(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::{HeldClock, Moment};

    #[test]
    fn a_stage_that_died_twice_is_skipped_and_the_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boot.stage");
        let health = Health::new(Arc::new(HeldClock::at(Moment(0))));
        let enter = |stage| Boot::begin(path.clone(), health.clone()).enter(stage).unwrap();
        assert!(enter(Stage::Indexes));
        assert!(enter(Stage::Indexes));
        assert!(!enter(Stage::Indexes));
        assert!(enter(Stage::Model));
        assert_eq!(health.of("start").map(|r| r.level), Some(Level::Reduced));
        Boot::begin(path.clone(), health.clone()).done();
        assert!(enter(Stage::Indexes));
    }
}
