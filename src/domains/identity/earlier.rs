//! Earlier shapes of the directory's records, and the step from them to the next.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::records::{LAST_USED, SESSIONS, SESSIONS_OF, State, USERS};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::{Id, Lineage};
use crate::store::table::{decode, encode};
use crate::store::{Reader, Tx, all};

/// A user of the first shape.
#[derive(Deserialize)]
struct User1 {
    id: Id,
    lineage: Lineage,
    number: u64,
    username: String,
    email: String,
    display_name: String,
    role: String,
    is_system_admin: bool,
    active: bool,
    must_change_password: bool,
    password: String,
    language: String,
    created_at: Moment,
}

/// A user of the second shape.
#[derive(Serialize)]
struct User2 {
    id: Id,
    lineage: Lineage,
    number: u64,
    username: String,
    email: String,
    display_name: String,
    role: String,
    is_system_admin: bool,
    state: State,
    must_change_password: bool,
    password: String,
    password_at: Moment,
    workstation: bool,
    language: String,
    created_at: Moment,
}

/// Users gain a state, the age of their password and the workstation mark. Sessions know how they
/// were proved; those of before do not, so their users sign in again.
///
/// # Errors
/// What the store says; `Broken` for damaged rows.
pub fn to_second_shape(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let mut users = Vec::new();
    tx.raw_each(USERS.name, &all(), false, &mut |key, bytes| {
        let old: User1 = decode(1, bytes)?;
        let new = User2 {
            id: old.id,
            lineage: old.lineage,
            number: old.number,
            username: old.username,
            email: old.email,
            display_name: old.display_name,
            role: old.role,
            is_system_admin: old.is_system_admin,
            state: if old.active { State::Active } else { State::Disabled },
            must_change_password: old.must_change_password,
            password: old.password,
            password_at: old.created_at,
            workstation: false,
            language: old.language,
            created_at: old.created_at,
        };
        users.push((key.to_vec(), encode(2, &new)?));
        Ok(ControlFlow::Continue(()))
    })?;
    for (key, bytes) in users {
        tx.set_raw(USERS.name, key, Some(bytes))?;
    }
    tx.remove_span(&SESSIONS, &all())?;
    tx.remove_span(&SESSIONS_OF, &all())?;
    tx.remove_span(&LAST_USED, &all())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::HeldClock;
    use crate::base::disk::MemoryDisk;
    use crate::base::health::Health;
    use crate::base::tasks::Tasks;
    use crate::store::{Ground, Store, StoreOptions};

    /// A user of the first shape, as boxes of the first release keep it.
    const USER_1: &str = "010102030405060708090a0b0c0d0e0f020102030405060708090a0b0c0d0e0fa001002a04616e6e610e616e6e61406465706f742e6c616e08416e6e6120c3892e07706c616e6e65720001010a246172676f6e32696424026672f6a1bfe9d666";

    #[test]
    fn a_user_of_the_first_shape_is_read_as_one_of_the_second() {
        let clock = Arc::new(HeldClock::at(Moment(1_000_000_000_000)));
        let health = Health::new(clock.clone());
        let disk = Arc::new(MemoryDisk::default());
        let ground = Ground { clock, disk, health: health.clone() };
        let (path, tasks) = (Path::new("/earlier.redb"), Tasks::new(health));
        let store = Store::open(path, &ground, StoreOptions::default(), &[], &tasks).unwrap();
        let bytes = data_encoding::HEXLOWER.decode(USER_1.as_bytes()).unwrap();
        let key = bytes[1..17].to_vec();
        let id = Id(key.clone().try_into().unwrap());
        store
            .write(move |tx| {
                tx.set_raw(USERS.name, key, Some(bytes))?;
                tx.set_raw(SESSIONS.name, vec![7; 16], Some(vec![1, 2, 3]))?;
                to_second_shape(tx)?;
                tx.journal(&crate::base::caller::Caller::task("t"), crate::store::Deed::new("t", 1))
            })
            .unwrap();
        let user = store.read(|view| view.get(&USERS, &id)).unwrap().unwrap();
        assert_eq!((user.username.as_str(), user.state), ("anna", State::Active));
        assert_eq!((user.password_at, user.workstation), (user.created_at, false));
        assert_eq!(store.read(|view| view.count(SESSIONS.name)).unwrap(), 0);
    }
}
