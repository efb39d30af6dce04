//! The pack that is in force, read again when its files are others.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::reading::{self, Found, look};
use crate::engines::signing::PUBLIC;

/// What tells one manifest from another without reading it.
type Stamp = Option<(u64, i64, i64, u64)>;

/// The pack in a folder. Clones share what was read.
#[derive(Clone)]
pub struct Shelf(Arc<Inside>);

struct Inside {
    folder: PathBuf,
    trusted: Option<[u8; PUBLIC]>,
    seen: Mutex<Option<(Stamp, Arc<Found>)>>,
}

impl Shelf {
    /// The pack in `folder`, believed when `trusted` signed it.
    pub fn of(folder: PathBuf, trusted: Option<[u8; PUBLIC]>) -> Self {
        Self(Arc::new(Inside { folder, trusted, seen: Mutex::default() }))
    }

    /// What lies there now; it is read again only when the manifest is another.
    pub fn now(&self) -> Arc<Found> {
        let stamp = reading::stamp(&self.0.folder);
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &*seen {
            Some((known, found)) if *known == stamp => found.clone(),
            _ => {
                let found = Arc::new(look(&self.0.folder, self.0.trusted.as_ref()));
                for trouble in &found.troubles {
                    tracing::warn!(file = trouble.file, "of the continuity pack: {}", trouble.what);
                }
                *seen = Some((stamp, found.clone()));
                found
            }
        }
    }
}
