//! Steps from older shapes of the assistant's records to today's; forward only, never edited.

use serde::{Deserialize, Serialize};

use super::records::{COLLECTIONS, Collection, Readers};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::{Id, Lineage};
use crate::records;
use crate::store::{Reader, Table, Tx, all};

/// A collection before it had readers.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct CollectionOne {
    id: Id,
    lineage: Lineage,
    name: String,
    created_at: Moment,
}

records!(CollectionOne);

const COLLECTIONS_ONE: Table<String, CollectionOne> = Table::journaled(COLLECTIONS.name);

/// Collections get readers: everyone, as it was until then.
///
/// # Errors
/// What the store says.
pub fn collections_get_readers(tx: &mut Tx<'_>) -> Result<(), Fault> {
    for (name, old) in tx.list(&COLLECTIONS_ONE, &all(), usize::MAX)? {
        let collection = Collection {
            id: old.id,
            // Nobody changed it: it descends from what it descended from.
            lineage: old.lineage,
            name: old.name,
            created_at: old.created_at,
            readers: Readers::Everyone,
        };
        tx.put(&COLLECTIONS, &name, &collection)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::base::caller::Caller;
    use crate::base::clock::HeldClock;
    use crate::base::disk::MemoryDisk;
    use crate::base::health::Health;
    use crate::base::id::Revision;
    use crate::base::tasks::Tasks;
    use crate::store::migrate::Step;
    use crate::store::{Deed, Ground, Store, StoreOptions};

    #[test]
    fn a_store_from_before_readers_comes_up_with_everyone_reading() {
        const BEGIN: Step = Step { name: "begin", run: |_| Ok(()) };
        const READERS: Step = Step { name: "readers", run: collections_get_readers };
        let clock = Arc::new(HeldClock::at(Moment(1_000_000_000_000)));
        let health = Health::new(clock.clone());
        let disk = Arc::new(MemoryDisk::default());
        let ground = Ground { clock, disk, health: health.clone() };
        let open = |steps: &[Step]| {
            let tasks = Tasks::new(health.clone());
            let path = Path::new("/test.redb");
            Store::open(path, &ground, StoreOptions::default(), steps, &tasks).unwrap()
        };
        let old = open(&[BEGIN]);
        let one = |name: &str| CollectionOne {
            id: Id([7; 16]),
            lineage: Lineage::born(Revision { site: Id([1; 16]), count: 3 }),
            name: name.into(),
            created_at: Moment(5),
        };
        let rows = [one("general"), one("quai 3")];
        let kept = rows.clone();
        old.write(move |tx| {
            for row in &rows {
                tx.put(&COLLECTIONS_ONE, &row.name, row)?;
            }
            tx.journal(&Caller::task("test"), Deed::new("collection.add", ""))
        })
        .unwrap();
        let unread = old.read(|view| view.list(&COLLECTIONS, &all(), 9));
        assert!(unread.is_err(), "a row of the old shape passes for one of the new");
        old.close();
        let new = open(&[BEGIN, READERS]);
        let came = new.read(|view| view.list(&COLLECTIONS, &all(), 9)).unwrap();
        assert_eq!(came.len(), 2);
        for ((key, now), was) in came.iter().zip(&kept) {
            let wanted = Collection {
                id: was.id,
                lineage: was.lineage.clone(),
                name: was.name.clone(),
                created_at: was.created_at,
                readers: Readers::Everyone,
            };
            assert_eq!((key, now), (&was.name, &wanted));
        }
        new.close();
        // A step that was taken is not taken again.
        assert!(open(&[BEGIN, READERS]).read(|view| view.list(&COLLECTIONS, &all(), 9)).is_ok());
    }
}
