//! A copied store file, read where it lies or from a copy of its own; nothing of it is changed.

use std::path::Path;

use redb::{Builder, Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase};

use super::meta::{BIRTH, GENESIS};
use super::view::{Reader, View, broken};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::base::tasks::caught;

/// A store that is only looked at, without its box.
pub struct Copy(Opened);

enum Opened {
    /// It was closed well and is read where it lies.
    There(ReadOnlyDatabase),
    /// Its box did not close it: it is mended first, in a copy that is thrown away.
    Mended(
        Database,
        #[expect(dead_code, reason = "it lives as long as the store in it")] tempfile::TempDir,
    ),
}

impl Copy {
    /// Opens the file at `path`. A file of a box that runs may be torn; copy it from a snapshot.
    ///
    /// # Errors
    /// `not_found` when there is no such file, `store_damaged` when it is no store or does not open,
    /// `already_running` when another program holds it.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        if !path.is_file() {
            return Err(Fault::not_found("store file"));
        }
        // redb may panic on pages that a lying disk has broken.
        let there = caught(|| Ok(Builder::new().open_read_only(path)))?;
        match there {
            Ok(db) => Ok(Self(Opened::There(db))),
            Err(DatabaseError::RepairAborted | DatabaseError::UpgradeRequired(_)) => {
                let folder = tempfile::tempdir()
                    .map_err(|e| Fault::broken("making a folder for a copy of the store", e))?;
                let beside = folder.path().join("copy.redb");
                std::fs::copy(path, &beside).map_err(|e| Fault::broken("copying the store", e))?;
                let db = caught(|| Ok(Database::open(&beside)))?.map_err(damaged)?;
                Ok(Self(Opened::Mended(db, folder)))
            }
            Err(DatabaseError::DatabaseAlreadyOpen) => Err(Fault::conflict(
                "already_running",
                format!("Another program has {} open.", path.display()),
            )),
            Err(other) => Err(damaged(other)),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// What `work` answers.
    pub fn read<T>(&self, work: impl FnOnce(&View) -> Result<T, Fault>) -> Result<T, Fault> {
        caught(|| {
            let reading = match &self.0 {
                Opened::There(db) => db.begin_read(),
                Opened::Mended(db, _) => db.begin_read(),
            };
            work(&View::new(reading.map_err(|e| broken("starting to read", e))?))
        })
    }

    /// The site it is of.
    ///
    /// # Errors
    /// `store_damaged` when it has no genesis row.
    pub fn site(&self) -> Result<Id, Fault> {
        let genesis = self.read(|view| view.get(&GENESIS, &BIRTH.to_owned()))?;
        genesis
            .map(|genesis| genesis.site)
            .ok_or_else(|| Fault::unavailable("store_damaged", "The store has no genesis row."))
    }
}

fn damaged(error: DatabaseError) -> Fault {
    Fault::unavailable("store_damaged", "The store does not open.").because(error)
}
