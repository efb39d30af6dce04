//! Offboarding: everything a person holds is taken back in one act, whichever domain keeps it.

use std::sync::{Arc, PoisonError};

use super::records::{State, USERS};
use super::{Identity, api_keys, grants, invitations, places, second_factor, sessions, users};
use crate::base::caller::{Caller, Right, Who};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::{Deed, Tx};

/// One sort of thing that was (or would be) taken back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Taken {
    /// What, in the plural and in `snake_case`: `sessions`, `api_keys`, `devices`, `kiosk_grants`.
    pub what: &'static str,
    /// How many.
    pub count: usize,
}

/// Takes back what one domain keeps for a user, in the same write; with `false` it only counts.
pub type Taker =
    Arc<dyn Fn(&mut Tx<'_>, &Caller, Id, bool) -> Result<Vec<Taken>, Fault> + Send + Sync>;

impl Identity {
    /// Lets a domain take part in every offboarding.
    pub fn on_offboarding(&self, taker: Taker) {
        self.desk.takers.lock().unwrap_or_else(PoisonError::into_inner).push(taker);
    }

    /// Takes back everything a user holds and closes the account, in one write; with `apply` false it
    /// only says what would be taken.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `right_not_held`, `own_account`, `not_found`, `last_admin`.
    pub fn offboard(&self, caller: &Caller, number: u64, apply: bool) -> Result<Vec<Taken>, Fault> {
        caller.require(Right::ManageRights)?;
        if apply {
            caller.fresh(self.clock.now())?;
        }
        let who = caller.clone();
        let takers = self.desk.takers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.store.write_freeing(move |tx| {
            let old = users::by_number(tx, number)?;
            users::outranks(tx, &who, &old, tx.now())?;
            if matches!(who.who, Who::User { id, .. } if id == old.id) {
                return Err(users::own_account());
            }
            let mut user = old.clone();
            user.state = State::Offboarded;
            user.workstation = false;
            user.is_system_admin = false;
            user.password = String::new();
            users::keep_an_admin(tx, &old, &user)?;
            let mut taken = own(tx, &who, &old, apply)?;
            for taker in &takers {
                taken.extend(taker(tx, &who, old.id, apply)?);
            }
            if apply {
                user.lineage = old.lineage.then(tx.revision());
                tx.put(&USERS, &user.id, &user)?;
                tx.journal(&who, Deed::new("user.offboard", &user.username).after(&taken))?;
            }
            Ok(taken)
        })
    }
}

/// What the directory itself keeps for a user.
fn own(
    tx: &mut Tx<'_>,
    caller: &Caller,
    user: &super::records::User,
    apply: bool,
) -> Result<Vec<Taken>, Fault> {
    let open = sessions::count_of(tx, user.id)?;
    let given = grants::grants_of(tx, user.id)?;
    let invitations = invitations::take_back_of(tx, caller, user.id, apply)?;
    let factors = usize::from(second_factor::remove(tx, caller, user, apply)?);
    let keys = api_keys::delete_keys_of(tx, caller, user.id, apply)?;
    if apply {
        sessions::end_sessions_of(tx, caller, user.id, None)?;
        places::forget(tx, user.id)?;
        for grant in &given {
            grants::remove(tx, caller, user, grant.right.clone())?;
        }
    }
    Ok(vec![
        Taken { what: "sessions", count: open },
        Taken { what: "grants", count: given.len() },
        Taken { what: "invitations", count: invitations },
        Taken { what: "second_factors", count: factors },
        Taken { what: "api_keys", count: keys },
    ])
}
