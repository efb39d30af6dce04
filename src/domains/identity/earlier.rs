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
