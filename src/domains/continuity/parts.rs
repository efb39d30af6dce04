//! A part of the desk that opens from files: damaged ones are told in health, and tried again at each use.

use std::sync::{Arc, PoisonError, RwLock};

use crate::base::fault::Fault;
use crate::base::health::{Health, Level};

/// What to do about a part whose files cannot be used; the fault itself says which file.
const ADVICE: &str = "Mend the file that is named; it is looked at again by itself.";

/// Opens a part.
type Opening<T> = Box<dyn Fn() -> Result<T, Fault> + Send + Sync>;

/// A part, open or not yet.
pub(super) struct Part<T> {
    name: &'static str,
    health: Health,
    opening: Opening<T>,
    open: RwLock<Option<Arc<T>>>,
}

impl<T> Part<T> {
    /// The part that `opening` opens, tried once now.
    pub(super) fn new(
        name: &'static str,
        health: Health,
        opening: impl Fn() -> Result<T, Fault> + Send + Sync + 'static,
    ) -> Self {
        let part = Self { name, health, opening: Box::new(opening), open: RwLock::new(None) };
        let _ = part.get();
        part
    }

    /// The part.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub(super) fn get(&self) -> Result<Arc<T>, Fault> {
        let known = self.open.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(part) = known {
            return Ok(part);
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = &*open {
            return Ok(part.clone());
        }
        match (self.opening)() {
            Ok(part) => {
                let part = Arc::new(part);
                *open = Some(part.clone());
                self.health.well(self.name, "Its files are in order.");
                Ok(part)
            }
            Err(fault) => {
                self.health.report(self.name, Level::Reduced, super::words_of(&fault), ADVICE);
                Err(fault)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::base::clock::MachineClock;

    #[test]
    fn a_part_opens_as_soon_as_its_files_are_mended() {
        let health = Health::new(Arc::new(MachineClock));
        let mended = Arc::new(AtomicBool::new(false));
        let whole = mended.clone();
        let part = Part::new("part", health.clone(), move || {
            if whole.load(Ordering::Relaxed) {
                return Ok(7);
            }
            Err(Fault::unavailable("part_damaged", "Its file is damaged."))
        });
        assert_eq!(part.get().map_err(|f| f.code), Err("part_damaged"));
        assert_eq!(health.level("part"), Some(Level::Reduced));
        mended.store(true, Ordering::Relaxed);
        assert_eq!(*part.get().unwrap(), 7);
        mended.store(false, Ordering::Relaxed);
        assert_eq!((*part.get().unwrap(), health.level("part")), (7, Some(Level::Ok)));
    }
}
