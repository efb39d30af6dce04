//! The store's file: created by rename, opened behind a fence.

use std::path::Path;
use std::sync::Arc;

use redb::{Builder, Database, ReadableDatabase};

use super::backend::{Backend, Fence, Traffic};
use super::journal::{Head, JOURNAL};
use super::meta::{BIRTH, CHAIN, GENESIS, Genesis, HEADS, NUMBERS, SEQ};
use super::table::Record;
use super::tx::Heads;
use super::view::{Raw, Reader, View, all, broken};
use super::{Ground, StoreOptions, key};
use crate::base::disk::Disk;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::base::tasks::caught;

/// A handle of redb with the fence that cuts it off.
pub(super) struct Open {
    pub(super) db: Arc<Database>,
    pub(super) fence: Fence,
}

pub(super) fn open_file(
    path: &Path,
    disk: &dyn Disk,
    options: StoreOptions,
    traffic: &Arc<Traffic>,
) -> Result<Open, Fault> {
    let file = disk.open(path).map_err(|e| Fault::broken("opening the store's file", e))?;
    let fence = Fence::default();
    let backend = Backend { file, fence: fence.clone(), traffic: traffic.clone() };
    // redb may panic on pages that a lying disk has broken.
    let db = caught(|| {
        Builder::new()
            .set_cache_size(options.cache_mib.saturating_mul(1 << 20))
            .create_with_backend(backend)
            .map_err(|e| Fault::unavailable("store_damaged", "The store does not open.").because(e))
    })?;
    Ok(Open { db: Arc::new(db), fence })
}

/// Creates under a temporary name, with a genesis row, synced, then renamed: a power cut leaves either
/// no store or a whole one. [`keep_name`] makes the new name last.
pub(super) fn create(path: &Path, ground: &Ground, options: StoreOptions) -> Result<(), Fault> {
    let disk = ground.disk.as_ref();
    let beside = path.with_extension("redb.new");
    let failed = |e| Fault::broken("creating the store", e);
    if disk.exists(&beside) {
        disk.remove(&beside).map_err(failed)?;
    }
    let now = ground.clock.now();
    let mut epoch = [0; 16];
    getrandom::fill(&mut epoch)
        .map_err(|e| Fault::broken("asking for random bytes", e.to_string()))?;
    let genesis = Genesis { epoch, site: Id::new(now), created: now };
    let open = open_file(&beside, disk, options, &Arc::default())?;
    caught(|| begin(&open.db, &genesis))?;
    drop(open);
    // The handle's last words on closing are synced too, and an error of theirs shows here.
    disk.open(&beside).and_then(|file| file.sync()).map_err(failed)?;
    disk.rename(&beside, path).map_err(failed)
}

fn begin(db: &Database, genesis: &Genesis) -> Result<(), Fault> {
    let doing = "creating the store";
    let mut writing = db.begin_write().map_err(|e| broken(doing, e))?;
    writing.set_quick_repair(true);
    {
        let mut table = writing.open_table(Raw::new(GENESIS.name)).map_err(|e| broken(doing, e))?;
        let key = key::Key::bytes(&BIRTH.to_owned());
        table.insert(key.as_slice(), genesis.encode()?.as_slice()).map_err(|e| broken(doing, e))?;
    }
    writing.commit().map_err(|e| broken(doing, e))
}

/// Makes the file's place in its folder durable.
pub(super) fn keep_name(path: &Path, disk: &dyn Disk) -> Result<(), Fault> {
    disk.sync_folder(path.parent().unwrap_or(Path::new(".")))
        .map_err(|e| Fault::broken("making the store's name durable", e))
}

pub(super) fn read_meta(db: &Database) -> Result<(Genesis, Heads), Fault> {
    caught(|| {
        let view = View::new(db.begin_read().map_err(|e| broken("starting to read", e))?);
        let genesis = view
            .get(&GENESIS, &BIRTH.to_owned())?
            .ok_or_else(|| Fault::unavailable("store_damaged", "The store has no genesis row."))?;
        let seq = view.get(&NUMBERS, &SEQ.to_owned())?.unwrap_or(0);
        let journal = match view.get(&HEADS, &CHAIN.to_owned())? {
            Some(head) => head,
            // A head that somebody took away must not let the chain begin anew over what is there.
            None => view
                .last(&JOURNAL, &all())?
                .map_or_else(Head::default, |(number, link)| Head { number, hash: link.hash }),
        };
        Ok((genesis, Heads { seq, journal }))
    })
}
