//! Known places: from which addresses a user has signed in before, so that strangers cannot close the door to it.

use std::net::IpAddr;

use super::Identity;
use super::gate::Lane;
use super::records::{KNOWN_ADDRESSES, KNOWN_PLACES, User};
use super::signing_in::bad_credentials;
use super::throttle::{Knock, Place};
use crate::base::caller::{Caller, Who};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::{Deed, Reader, Tx, under};

/// What the journal calls a name that nobody has.
const UNKNOWN: &str = "?";
/// Places kept of a user; beyond it the one that was used least lately goes.
const PLACES_MAX: usize = 20;

impl Identity {
    /// Lets an attempt to sign in knock: by whom it pretends to be (none when nobody has that name)
    /// and from where. Every way of giving a password or a code goes through here first.
    ///
    /// # Errors
    /// `too_many_attempts` with when to try again.
    pub(super) fn knock(
        &self,
        caller: &Caller,
        user: Option<&User>,
        login: &str,
    ) -> Result<Knock<'_>, Fault> {
        let place = self.store.read(|view| place_of(view, user, caller.address))?;
        match user {
            Some(user) => self.desk.throttle.enter(&user.id, place),
            None => self.desk.throttle.enter(&login, place),
        }
    }

    /// The fault of a failed attempt, the same whatever was wrong, once it is counted and journaled.
    /// `deed` is what the journal calls it; `name` is the user's: of a name that nobody has nothing is
    /// written down, since people type their password there.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn refuse(
        &self,
        caller: &Caller,
        knock: Knock<'_>,
        deed: &'static str,
        name: Option<&str>,
    ) -> Result<Fault, Fault> {
        let blocked = knock.failed();
        let Some(left_out) = self.may_write_of(caller) else { return Ok(bad_credentials()) };
        let (who, name) = (caller.clone(), name.unwrap_or(UNKNOWN).to_owned());
        self.store.write_freeing(move |tx| {
            let mut deed = Deed::new(deed, name);
            if left_out > 0 {
                deed = deed.after(&LeftOutShown { left_out });
            }
            tx.journal(&who, deed)?;
            if let (Some(block), Some(address)) = (blocked, who.address) {
                let shown = BlockShown { seconds: block.as_secs() };
                tx.journal(&who, Deed::new("address.block", address).after(&shown))?;
            }
            Ok(())
        })?;
        Ok(bad_credentials())
    }
}

impl Identity {
    /// Whether the journal may hold one more link that a stranger causes, and how many were left out
    /// since the last; of whoever is signed in everything is written.
    pub(super) fn may_write_of(&self, caller: &Caller) -> Option<u64> {
        if caller.who != Who::Nobody {
            return Some(0);
        }
        self.desk.strangers.take(self.clock.since_boot())
    }

    /// Lets somebody who is signed in give the password again. It is counted by session: what strangers
    /// do elsewhere, or at the same address, does not hold it up.
    ///
    /// # Errors
    /// `too_many_attempts` with when to try again.
    pub(super) fn knock_in_session(
        &self,
        caller: &Caller,
        session: Id,
    ) -> Result<Knock<'_>, Fault> {
        let place = Place { address: caller.address, of_user: true, of_anybody: true };
        self.desk.throttle.enter(&session, place)
    }
}

/// What the journal says of failures of strangers that were counted and not written one by one.
#[derive(serde::Serialize)]
struct LeftOutShown {
    left_out: u64,
}

impl Knock<'_> {
    /// The way its password check goes through the gate.
    pub(super) fn lane(&self) -> Lane {
        if self.is_known() { Lane::Known } else { Lane::Stranger }
    }
}

/// What the journal says of a block.
#[derive(serde::Serialize)]
struct BlockShown {
    seconds: u64,
}

fn place_of(
    reader: &impl Reader,
    user: Option<&User>,
    address: Option<IpAddr>,
) -> Result<Place, Fault> {
    // Without an address it is the local socket, which only the owner of the process can reach.
    let Some(address) = address else {
        return Ok(Place { address: None, of_user: true, of_anybody: true });
    };
    let word = word(address);
    let of_anybody = !reader.list(&KNOWN_ADDRESSES, &under(&word), 1)?.is_empty();
    let of_user = match user {
        Some(user) => reader.has(&KNOWN_PLACES, &(user.id, word))?,
        None => false,
    };
    Ok(Place { address: Some(address), of_user, of_anybody })
}

/// How an address is written down: one that came mapped into IPv6 is the same one.
fn word(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

/// Remembers that a user has signed in from an address, in the write that begins its session.
///
/// # Errors
/// What the store says.
pub(super) fn remember(tx: &mut Tx<'_>, user: Id, address: Option<IpAddr>) -> Result<(), Fault> {
    let Some(address) = address else { return Ok(()) };
    let (word, now) = (word(address), tx.now());
    tx.put(&KNOWN_PLACES, &(user, word.clone()), &now)?;
    tx.put(&KNOWN_ADDRESSES, &(word, user), &())?;
    let mut places: Vec<(Moment, String)> = tx
        .list(&KNOWN_PLACES, &under(&user), usize::MAX)?
        .into_iter()
        .map(|((_, word), at)| (at, word))
        .collect();
    places.sort();
    let beyond = places.len().saturating_sub(PLACES_MAX);
    for (_, word) in places.into_iter().take(beyond) {
        tx.remove(&KNOWN_PLACES, &(user, word.clone()))?;
        tx.remove(&KNOWN_ADDRESSES, &(word, user))?;
    }
    Ok(())
}

/// Forgets where a user has signed in from: it has left, or somebody else may have been there.
///
/// # Errors
/// What the store says.
pub(super) fn forget(tx: &mut Tx<'_>, user: Id) -> Result<(), Fault> {
    for ((_, word), _) in tx.list(&KNOWN_PLACES, &under(&user), usize::MAX)? {
        tx.remove(&KNOWN_ADDRESSES, &(word, user))?;
    }
    tx.remove_span(&KNOWN_PLACES, &under(&user)).map(drop)
}
