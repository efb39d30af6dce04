//! The second factor of a user: set up, shown, taken once, and taken away.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use super::records::{Pending, SECOND_FACTORS, SecondFactor, USERS, User};
use super::{Identity, roles, users};
use crate::base::caller::{Caller, Right};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::engines::second_factor::{
    RECOVERY_CODES, Totp, recovery_code, recovery_codes as new_codes,
};
use crate::engines::{qr, secrets};
use crate::store::{Deed, Reader, Tx};

/// How long a secret that was shown waits for its first code.
const PENDING: Duration = Duration::from_mins(5);
/// Failures within [`FAILURES_WITHIN`] that close a user's second factor.
const FAILURES_MAX: u32 = 5;
/// The time in which they count together.
const FAILURES_WITHIN: Duration = Duration::from_mins(10);
/// How long it is closed then.
const CLOSED_FOR: Duration = Duration::from_mins(15);
/// How soon somebody may try again whose other tries have not come to an end.
const SOON: Duration = Duration::from_secs(1);

impl SecondFactor {
    /// Whether a secret is in force.
    pub fn is_enrolled(&self) -> bool {
        self.enrolled_at.is_some()
    }
}

/// A new secret, shown once; it counts after its first code.
pub struct Provision {
    /// The secret for a person to type.
    pub secret: Zeroizing<String>,
    /// The same for a phone.
    pub uri: Zeroizing<String>,
    /// The same as a picture.
    pub qr_svg: String,
    /// Until when it waits for its first code.
    pub expires_at: Moment,
}

/// How a user's second factor stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Since when it is in force; none while it is not.
    pub enrolled_at: Option<Moment>,
    /// Recovery codes that are still good.
    pub remaining: usize,
    /// Recovery codes that were made.
    pub total: usize,
    /// Whether the role asks for one.
    pub required: bool,
}

/// Recovery codes, told once.
pub type Codes = Vec<Zeroizing<String>>;

/// Failures by user, on the boot clock. Kept in memory: only who knows the password (or holds a session)
/// gets as far as failing here, so there are never more entries than users.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<HashMap<Id, Try>>);

#[derive(Debug, Clone, Copy, Default)]
struct Try {
    failures: u32,
    /// Tries that have neither failed nor succeeded yet: many at once gain nothing.
    under_way: u32,
    /// Boot clock of the first of them.
    since: Duration,
    /// Boot clock until which the factor is closed.
    until: Duration,
}

/// A try under way; it is over when it is dropped.
pub(super) struct Turn<'t> {
    tries: &'t Tries,
    user: Id,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut tries = self.tries.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = tries.get_mut(&self.user) {
            one.under_way = one.under_way.saturating_sub(1);
        }
    }
}

impl Tries {
    /// Lets a try begin, unless the user's second factor is closed, or would be if those under way fail.
    fn enter(&self, clock: &dyn Clock, user: Id) -> Result<Turn<'_>, Fault> {
        let now = clock.since_boot();
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = tries.entry(user).or_default();
        let mut left = one.until.saturating_sub(now);
        let recent = if now.saturating_sub(one.since) > FAILURES_WITHIN { 0 } else { one.failures };
        if left.is_zero() && one.under_way > 0 && recent + one.under_way >= FAILURES_MAX {
            left = SOON;
        }
        if !left.is_zero() {
            return Err(Fault::busy(
                "too_many_attempts",
                format!("Too many wrong codes; try again in {} s.", left.as_secs() + 1),
                left + Duration::from_secs(1),
            ));
        }
        one.under_way += 1;
        Ok(Turn { tries: self, user })
    }

    /// Counts a failure; the one that closes the factor says so instead of `wrong`.
    fn failed(&self, clock: &dyn Clock, user: Id, wrong: Fault) -> Fault {
        let now = clock.since_boot();
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = tries.entry(user).or_default();
        if one.failures == 0 || now.saturating_sub(one.since) > FAILURES_WITHIN {
            *one = Try { failures: 0, since: now, until: Duration::ZERO, ..*one };
        }
        one.failures += 1;
        if one.failures < FAILURES_MAX {
            return wrong;
        }
        *one = Try { failures: 0, since: now, until: now + CLOSED_FOR, ..*one };
        Fault::forbidden(
            "second_factor_locked",
            format!(
                "{FAILURES_MAX} wrong codes: no code is taken for {} minutes.",
                CLOSED_FOR.as_secs() / 60
            ),
        )
        .retry_after(CLOSED_FOR)
    }

    fn forget(&self, user: Id) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&user);
    }
}

/// Where a secret is sealed for: its row and its field, so that it opens nowhere else.
fn place(user: Id, field: &str) -> String {
    format!("{}/{user}/{field}", SECOND_FACTORS.name)
}

/// What somebody hears who signs in with a wrong code.
pub(super) fn wrong_code() -> Fault {
    Fault::new(Kind::Unauthenticated, "second_factor_wrong", "The code is wrong or was used.")
}

/// What somebody hears who is signed in and shows a wrong code: the session is good all the same, and a
/// 401 would make clients throw it away.
fn wrong_here() -> Fault {
    Fault { kind: Kind::Invalid, ..wrong_code() }
}

fn not_enrolled() -> Fault {
    Fault::new(Kind::NotFound, "second_factor_not_enrolled", "No second factor is set up.")
}

impl Identity {
    /// Shows a new secret, which waits a while for its first code. What was in force stays so until then.
    ///
    /// # Errors
    /// `session_required`, `step_up_required`.
    pub fn provision(&self, caller: &Caller) -> Result<Provision, Fault> {
        let id = caller.in_person()?;
        caller.fresh(self.clock.now())?;
        let user = self.user_of(id)?.ok_or_else(Fault::unauthenticated)?;
        let site = self.site()?.map(|site| site.name).unwrap_or_default();
        let issuer = if site.is_empty() { "ilot".to_owned() } else { format!("ilot {site}") };
        let totp = Totp::make()?;
        let uri = totp.uri(&issuer, &user.username);
        let qr_svg = qr::svg(&uri)?;
        let sealed = self.desk.root.seal(&place(id, "pending"), totp.bytes())?;
        let who = caller.clone();
        let until = self.store.write(move |tx| {
            let mut factor = tx.get(&SECOND_FACTORS, &id)?.unwrap_or_default();
            let until = tx.now().plus(PENDING);
            factor.pending = Some(Pending { secret: sealed, until });
            tx.put(&SECOND_FACTORS, &id, &factor)?;
            tx.journal(&who, Deed::new("second_factor.provision", who.name()))?;
            Ok(until)
        })?;
        Ok(Provision { secret: totp.base32(), uri, qr_svg, expires_at: until })
    }

    /// Puts the secret that was shown into force by its first code; the answer is its recovery codes.
    ///
    /// # Errors
    /// `session_required`, `second_factor_not_pending`, `second_factor_wrong`, `second_factor_locked`,
    /// `too_many_attempts`.
    pub fn activate(&self, caller: &Caller, code: &str) -> Result<Codes, Fault> {
        let (user, _turn) = self.trying(caller)?;
        let id = user.id;
        let codes = Vec::from(new_codes()?);
        let recovery = self.recovery_macs(id, &codes)?;
        let (who, desk, code) = (caller.clone(), self.desk.clone(), code.to_owned());
        let outcome = self.store.write(move |tx| {
            let waits = tx.get(&SECOND_FACTORS, &id)?.and_then(|factor| factor.pending);
            let Some(pending) = waits.filter(|pending| tx.now() < pending.until) else {
                return Err(Fault::new(
                    Kind::NotFound,
                    "second_factor_not_pending",
                    "No secret waits for its first code; ask for a new one.",
                ));
            };
            let totp = Totp::read(&desk.root.unseal(&place(id, "pending"), &pending.secret)?)?;
            let step = totp.check(&code, tx.now(), None).ok_or_else(wrong_here)?;
            let factor = SecondFactor {
                secret: desk.root.seal(&place(id, "secret"), totp.bytes())?,
                enrolled_at: Some(tx.now()),
                last_step: Some(step),
                recovery,
                pending: None,
            };
            tx.put(&SECOND_FACTORS, &id, &factor)?;
            tx.journal(&who, Deed::new("second_factor.enrol", who.name()))
        });
        self.counted(caller, &user, outcome)?;
        Ok(codes)
    }

    /// Takes a code of the phone.
    ///
    /// # Errors
    /// `session_required`, `second_factor_not_enrolled`, and as [`Identity::activate`].
    pub fn validate(&self, caller: &Caller, code: &str) -> Result<(), Fault> {
        let (user, _turn) = self.trying(caller)?;
        let id = user.id;
        let (who, desk, code) = (caller.clone(), self.clone(), code.to_owned());
        let outcome = self.store.write(move |tx| {
            let mut factor = enrolled(tx, id)?;
            desk.take_step(tx, id, &mut factor, &code)?.ok_or_else(wrong_here)?;
            tx.journal(&who, Deed::new("second_factor.use", who.name()))
        });
        self.counted(caller, &user, outcome)
    }

    /// Takes a recovery code, once; the answer is how many are left.
    ///
    /// # Errors
    /// As [`Identity::validate`].
    pub fn use_recovery(&self, caller: &Caller, code: &str) -> Result<usize, Fault> {
        let (user, _turn) = self.trying(caller)?;
        let id = user.id;
        let (who, desk, code) = (caller.clone(), self.clone(), code.to_owned());
        let outcome = self.store.write(move |tx| {
            let mut factor = enrolled(tx, id)?;
            desk.take_recovery(tx, &who, id, &mut factor, &code)?.ok_or_else(wrong_here)
        });
        self.counted(caller, &user, outcome)
    }

    /// Makes new recovery codes in the place of the old ones.
    ///
    /// # Errors
    /// `session_required`, `step_up_required`, `second_factor_not_enrolled`.
    pub fn regenerate(&self, caller: &Caller) -> Result<Codes, Fault> {
        let id = caller.in_person()?;
        caller.fresh(self.clock.now())?;
        let codes = Vec::from(new_codes()?);
        let recovery = self.recovery_macs(id, &codes)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let mut factor = enrolled(tx, id)?;
            factor.recovery = recovery;
            tx.put(&SECOND_FACTORS, &id, &factor)?;
            tx.journal(&who, Deed::new("second_factor.regenerate", who.name()))
        })?;
        Ok(codes)
    }

    /// How one's own second factor stands.
    ///
    /// # Errors
    /// `session_required`.
    pub fn second_factor_of(&self, caller: &Caller) -> Result<Standing, Fault> {
        let id = caller.in_person()?;
        let now = self.clock.now();
        self.store.read(|view| {
            let user = view.get(&USERS, &id)?.ok_or_else(Fault::unauthenticated)?;
            let (_, required) = roles::rights_of(view, &user, now)?;
            let factor = view.get(&SECOND_FACTORS, &id)?.unwrap_or_default();
            let total = if factor.is_enrolled() { RECOVERY_CODES } else { 0 };
            let (enrolled_at, remaining) = (factor.enrolled_at, factor.recovery.len());
            Ok(Standing { enrolled_at, remaining, total, required })
        })
    }

    /// Takes one's own second factor away.
    ///
    /// # Errors
    /// `session_required`, `step_up_required`, `second_factor_not_enrolled`,
    /// `second_factor_needed_by_role`.
    pub fn disable(&self, caller: &Caller) -> Result<(), Fault> {
        let id = caller.in_person()?;
        caller.fresh(self.clock.now())?;
        let who = caller.clone();
        self.store.write(move |tx| {
            enrolled(tx, id)?;
            let user = tx.get(&USERS, &id)?.ok_or_else(Fault::unauthenticated)?;
            if roles::rights_of(tx, &user, tx.now())?.1 {
                return Err(Fault::conflict(
                    "second_factor_needed_by_role",
                    "Your role needs a second factor; set up another one instead.",
                ));
            }
            tx.remove(&SECOND_FACTORS, &id)?;
            tx.journal(&who, Deed::new("second_factor.disable", who.name()))
        })
    }

    /// Takes a user's second factor away, for who has lost phone and paper.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `not_found`, `right_not_held`, `second_factor_not_enrolled`.
    pub fn reset_second_factor(&self, caller: &Caller, number: u64) -> Result<User, Fault> {
        caller.require(Right::ManageRights)?;
        caller.fresh(self.clock.now())?;
        let who = caller.clone();
        let user = self.store.write(move |tx| {
            let user = users::by_number(tx, number)?;
            users::outranks(tx, &who, &user, tx.now())?;
            if !remove(tx, &who, &user, true)? {
                return Err(not_enrolled());
            }
            Ok(user)
        })?;
        self.desk.tries.forget(user.id);
        Ok(user)
    }

    /// Whoever tries a code in a session of their own, unless no code of theirs is taken now.
    fn trying(&self, caller: &Caller) -> Result<(User, Turn<'_>), Fault> {
        let id = caller.in_person()?;
        let turn = self.may_try_code(id)?;
        Ok((self.user_of(id)?.ok_or_else(Fault::unauthenticated)?, turn))
    }

    /// Lets a user's code be tried, unless none is taken now. The turn is to be kept until the outcome
    /// is [`Identity::counted`].
    ///
    /// # Errors
    /// `too_many_attempts`.
    pub(super) fn may_try_code(&self, user: Id) -> Result<Turn<'_>, Fault> {
        self.desk.tries.enter(self.clock.as_ref(), user)
    }

    /// What an outcome is after the failures before it were counted in, and written down: whoever fails
    /// here has the password, or a session.
    pub(super) fn counted<T>(
        &self,
        caller: &Caller,
        user: &User,
        outcome: Result<T, Fault>,
    ) -> Result<T, Fault> {
        match outcome {
            Err(fault) if fault.code == wrong_code().code => {
                let fault = self.desk.tries.failed(self.clock.as_ref(), user.id, fault);
                let deed = Deed::new("second_factor.refuse", &user.username);
                let (who, deed) = (caller.clone(), deed.after(&Refused { code: fault.code }));
                self.store.write_freeing(move |tx| tx.journal(&who, deed))?;
                Err(fault)
            }
            Ok(done) => {
                self.desk.tries.forget(user.id);
                Ok(done)
            }
            Err(other) => Err(other),
        }
    }

    /// Takes a code of the phone or a recovery code within the write that it allows; nothing happens for
    /// a user without a second factor.
    ///
    /// # Errors
    /// `second_factor_wrong`.
    pub(super) fn take_code(
        &self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        user: Id,
        code: &str,
    ) -> Result<bool, Fault> {
        let Some(mut factor) = tx.get(&SECOND_FACTORS, &user)?.filter(SecondFactor::is_enrolled)
        else {
            return Ok(false);
        };
        let taken = self.take_step(tx, user, &mut factor, code)?.is_some()
            || self.take_recovery(tx, caller, user, &mut factor, code)?.is_some();
        if taken { Ok(true) } else { Err(wrong_code()) }
    }

    fn take_step(
        &self,
        tx: &mut Tx<'_>,
        user: Id,
        factor: &mut SecondFactor,
        code: &str,
    ) -> Result<Option<()>, Fault> {
        let totp = Totp::read(&self.desk.root.unseal(&place(user, "secret"), &factor.secret)?)?;
        let Some(step) = totp.check(code, tx.now(), factor.last_step) else { return Ok(None) };
        factor.last_step = Some(step);
        tx.put(&SECOND_FACTORS, &user, factor)?;
        Ok(Some(()))
    }

    fn take_recovery(
        &self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        user: Id,
        factor: &mut SecondFactor,
        code: &str,
    ) -> Result<Option<usize>, Fault> {
        let Some(code) = recovery_code(code) else { return Ok(None) };
        let mac = self.recovery_mac(user, &code)?;
        let before = factor.recovery.len();
        factor.recovery.retain(|kept| !secrets::same(kept, &mac));
        let left = factor.recovery.len();
        if left == before {
            return Ok(None);
        }
        tx.put(&SECOND_FACTORS, &user, factor)?;
        let deed = Deed::new("second_factor.recovery_use", caller.name());
        tx.journal(caller, deed.after(&Left { remaining: left }))?;
        Ok(Some(left))
    }

    /// Recovery codes are kept as HMACs under a key that is not in the database. They have 40 bits: a
    /// slow hash would delay who holds the database and the root key by minutes, and such a thief opens
    /// the phone's secret in the same row anyway; without the root key a MAC tells nothing at all. At
    /// the door, five failures close it for a quarter of an hour.
    fn recovery_mac(&self, user: Id, code: &str) -> Result<String, Fault> {
        let message = [user.0.as_slice(), code.as_bytes()].concat();
        secrets::mac(self.desk.recovery_key.as_slice(), &message)
    }

    fn recovery_macs(&self, user: Id, codes: &[Zeroizing<String>]) -> Result<Vec<String>, Fault> {
        codes.iter().map(|code| self.recovery_mac(user, code)).collect()
    }
}

/// What the journal says of a wrong code: `second_factor_wrong`, or `second_factor_locked` for the last.
#[derive(serde::Serialize)]
struct Refused {
    code: &'static str,
}

/// What the journal says after a recovery code was used.
#[derive(serde::Serialize)]
struct Left {
    remaining: usize,
}

fn enrolled(reader: &impl Reader, user: Id) -> Result<SecondFactor, Fault> {
    let factor = reader.get(&SECOND_FACTORS, &user)?;
    factor.filter(SecondFactor::is_enrolled).ok_or_else(not_enrolled)
}

/// Whether a user has a second factor in force.
pub(super) fn has_one(reader: &impl Reader, user: Id) -> Result<bool, Fault> {
    Ok(reader.get(&SECOND_FACTORS, &user)?.is_some_and(|factor| factor.is_enrolled()))
}

/// Takes a user's second factor away, and what waited to become one; whether one was in force. With
/// `apply` false it only says.
pub(super) fn remove(
    tx: &mut Tx<'_>,
    caller: &Caller,
    user: &User,
    apply: bool,
) -> Result<bool, Fault> {
    let Some(factor) = tx.get(&SECOND_FACTORS, &user.id)? else { return Ok(false) };
    if apply {
        tx.remove(&SECOND_FACTORS, &user.id)?;
        tx.journal(caller, Deed::new("second_factor.reset", &user.username))?;
    }
    Ok(factor.is_enrolled())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::HeldClock;

    #[test]
    fn five_failures_close_a_factor_for_a_quarter_of_an_hour() {
        let (tries, clock) = (Tries::default(), HeldClock::at(Moment(0)));
        let (user, other) = (Id([1; 16]), Id([2; 16]));
        let fail = || tries.failed(&clock, user, wrong_code()).code;
        for _ in 1..FAILURES_MAX {
            assert_eq!(fail(), "second_factor_wrong");
            assert!(tries.enter(&clock, user).is_ok());
        }
        // Those of long ago do not count.
        clock.pass(FAILURES_WITHIN + Duration::from_secs(1));
        for _ in 1..FAILURES_MAX {
            assert_eq!(fail(), "second_factor_wrong");
        }
        assert_eq!(fail(), "second_factor_locked");
        assert!(tries.enter(&clock, other).is_ok());
        clock.pass(CLOSED_FOR.checked_sub(Duration::from_secs(1)).unwrap());
        assert_eq!(tries.enter(&clock, user).err().unwrap().code, "too_many_attempts");
        clock.pass(Duration::from_secs(1));
        assert!(tries.enter(&clock, user).is_ok());
        assert_eq!(fail(), "second_factor_wrong");
    }

    #[test]
    fn many_tries_at_once_are_no_more_than_may_fail() {
        let (tries, clock, user) = (Tries::default(), HeldClock::at(Moment(0)), Id([1; 16]));
        let turns: Vec<_> = (0..20).filter_map(|_| tries.enter(&clock, user).ok()).collect();
        assert_eq!(turns.len(), FAILURES_MAX as usize);
        drop(turns);
        assert!(tries.enter(&clock, user).is_ok());
    }
}
