//! What other domains say before a role is given or an account is taken in hand: rights are not all
//! that a role or a person may reach.

use std::sync::{Arc, PoisonError};

use super::Identity;
use crate::base::caller::Caller;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::Tx;

/// What a caller is about to reach through somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// What is open to the users of that role.
    Role(String),
    /// What is open to that user.
    User(Id),
}

/// Refuses a caller who would reach more than it may, in the write that would let it.
pub type Guard = Arc<dyn Fn(&mut Tx<'_>, &Caller, &Reach) -> Result<(), Fault> + Send + Sync>;

impl Identity {
    /// Lets a domain be asked before a role is given or an account is taken in hand.
    pub fn on_reach(&self, guard: Guard) {
        self.desk.guards.lock().unwrap_or_else(PoisonError::into_inner).push(guard);
    }

    /// The guards, to be asked within a write.
    pub(super) fn guards(&self) -> Vec<Guard> {
        self.desk.guards.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks every guard.
///
/// # Errors
/// What the first of them that refuses says.
pub(super) fn ask(
    guards: &[Guard],
    tx: &mut Tx<'_>,
    caller: &Caller,
    reach: &Reach,
) -> Result<(), Fault> {
    guards.iter().try_for_each(|guard| guard(tx, caller, reach))
}
