//! Proving again who one is: step-up, a fresh session for an old one, and a new password.

use std::time::Duration;

use zeroize::Zeroizing;

use super::records::{SESSIONS, Session, USERS, User, Way};
use super::sessions::{end_session, end_sessions_of, ended};
use super::signing_in::{SignedIn, bad_credentials, code_required, lay};
use super::{Identity, names, second_factor};
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::engines::secrets::Verdict;
use crate::store::{Deed, Reader};

impl Identity {
    /// Takes the password again, and a code where the user has a second factor; the answer is until when
    /// that counts as fresh.
    ///
    /// # Errors
    /// `session_required`; `step_up_impossible` for a session that began without a password, or a user
    /// who has none; `bad_credentials`, `second_factor_required`, `second_factor_wrong`,
    /// `second_factor_locked`, `too_many_attempts`.
    pub fn step_up(&self, caller: &Caller, password: &str, code: &str) -> Result<Moment, Fault> {
        let (user, session) = self.own_session(caller)?;
        if session.way == Way::Workstation || user.password.is_empty() {
            return Err(Fault::forbidden(
                "step_up_impossible",
                "This session began without a password; sign in with one to do this.",
            ));
        }
        let user = self.proved(caller, user, password, "step_up.refuse", bad_credentials)?;
        let id = user.id;
        let enrolled = self.store.read(|view| second_factor::has_one(view, id))?;
        if enrolled && code.trim().is_empty() {
            return Err(code_required());
        }
        let _turn = enrolled.then(|| self.may_try_code(id)).transpose()?;
        let (who, desk, code) = (caller.clone(), self.clone(), Zeroizing::new(code.to_owned()));
        let step_up = self.step_up_span();
        let outcome = self.store.write_freeing(move |tx| {
            let mut session = tx.get(&SESSIONS, &session.id)?.ok_or_else(ended)?;
            if desk.take_code(tx, &who, id, &code)? != enrolled {
                return Err(code_required());
            }
            session.proved_at = Some(tx.now());
            tx.put(&SESSIONS, &session.id, &session)?;
            tx.journal(&who, Deed::new("session.step_up", session.id))?;
            Ok(tx.now().plus(step_up))
        });
        if enrolled { self.counted(caller, &user, outcome) } else { outcome }
    }

    /// Puts a new session in the place of the caller's, which ends in the same write. When the password
    /// was last given stays as it was: a refresh proves nothing.
    ///
    /// # Errors
    /// `session_required`, what has to be done first, `session_ended`.
    pub fn refresh(&self, caller: &Caller) -> Result<SignedIn, Fault> {
        caller.signed_in()?;
        caller.not_held()?;
        let (user, old) = self.own_session(caller)?;
        let (who, life) = (caller.clone(), self.life());
        let most = Duration::from_hours(24 * self.settings.sign_in_days);
        let address = caller.address.map(|a| a.to_string());
        let session = self.store.write_freeing(move |tx| {
            let old = tx.get(&SESSIONS, &old.id)?.ok_or_else(ended)?;
            let before = old.id;
            let end = old.began_at.plus(most);
            if tx.now() >= end {
                return Err(ended());
            }
            let session = Session {
                id: tx.new_id(),
                created_at: tx.now(),
                expires_at: tx.now().plus(life).min(end),
                address,
                ..old
            };
            lay(tx, &session)?;
            let deed = Deed::new("session.refresh", session.id);
            tx.journal(&who, deed.before(&Replaced { session: before }))?;
            end_session(tx, &who, before)?;
            Ok(session)
        })?;
        self.signed_in(user, &session)
    }

    /// Chooses a new password; the user's other sessions end, this one goes on.
    ///
    /// # Errors
    /// `session_required`, the fields at fault, `password_wrong`, `password_unchanged`,
    /// `too_many_attempts`.
    pub fn change_password(&self, caller: &Caller, current: &str, new: &str) -> Result<(), Fault> {
        let (user, session) = self.own_session(caller)?;
        let mut fields = Vec::new();
        let min = self.settings.password_min;
        names::check_password("new_password", new, &user.username, min, &mut fields);
        if !fields.is_empty() {
            return Err(Fault::fields(fields));
        }
        let old = self.proved(caller, user, current, "password.refuse", password_wrong)?;
        if current == new {
            return Err(Fault::invalid(
                "password_unchanged",
                "The new password is the old one; choose another.",
            ));
        }
        let hash = self.hash(new)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let user = tx.get(&USERS, &old.id)?;
            // Somebody else may have changed it while this one was checked.
            let mut user =
                user.filter(|user| user.password == old.password).ok_or_else(password_wrong)?;
            user.password = hash;
            user.password_at = tx.now();
            user.must_change_password = false;
            user.lineage = user.lineage.then(tx.revision());
            tx.put(&USERS, &user.id, &user)?;
            tx.journal(&who, Deed::new("password.change", &user.username))?;
            end_sessions_of(tx, &who, user.id, Some(session.id)).map(drop)
        })
    }

    /// The caller's session and whose it is.
    fn own_session(&self, caller: &Caller) -> Result<(User, Session), Fault> {
        caller.in_person()?;
        let id = caller.session.ok_or_else(ended)?;
        self.store.read(|view| {
            let session = view.get(&SESSIONS, &id)?.ok_or_else(ended)?;
            let user = view.get(&USERS, &session.user)?.ok_or_else(ended)?;
            Ok((user, session))
        })
    }

    /// Checks the password of somebody who is signed in, through the same throttle and gate as signing
    /// in: a session that was left open is no place to guess at.
    fn proved(
        &self,
        caller: &Caller,
        user: User,
        password: &str,
        deed: &'static str,
        wrong: impl FnOnce() -> Fault,
    ) -> Result<User, Fault> {
        let knock = self.knock_in_session(caller, caller.session.ok_or_else(ended)?)?;
        let name = user.username.clone();
        let (user, verdict) = self.judged(&knock, Some(user), password)?;
        if let Some(user) = user.filter(|_| verdict != Verdict::Wrong) {
            knock.succeeded();
            return Ok(user);
        }
        self.refuse(caller, knock, deed, Some(&name))?;
        Err(wrong())
    }
}

fn password_wrong() -> Fault {
    Fault::invalid("password_wrong", "The current password is wrong.")
}

/// What the journal says of a session that another one takes the place of.
#[derive(serde::Serialize)]
struct Replaced {
    session: Id,
}
