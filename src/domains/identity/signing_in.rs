//! Signing in: a name and a password, the throttle around them, and the session they begin.

use std::time::Duration;

use zeroize::Zeroizing;

use super::gate::Lane;
use super::records::{
    LAST_LOGIN, LAST_USED, SESSIONS, SESSIONS_OF, Session, USERS, USERS_BY_LOGIN, User, Way,
};
use super::throttle::Knock;
use super::users::Listed;
use super::{Identity, cut, names, places, second_factor, sessions, workstation};
use crate::base::caller::{Caller, Hold, Who};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::engines::secrets::Verdict;
use crate::engines::tokens::{AUDIENCE, Claims};
use crate::store::{Deed, Reader, Tx};

/// The kind of token that signs requests.
pub(super) const ACCESS: &str = "access";

/// What a sign-in answers.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The signed access token.
    pub token: String,
    /// When it ends.
    pub expires_at: Moment,
    /// The session's word against cross-site requests.
    pub csrf: String,
    /// The session.
    pub session: Id,
    /// The user.
    pub user: Listed,
    /// What the user has to do before anything else.
    pub hold: Option<Hold>,
}

/// What a sign-in shows.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The username or e-mail address.
    pub name: String,
    /// The password; empty from a workstation that needs none.
    pub password: Zeroizing<String>,
    /// A code of the phone or a recovery code; empty while none is asked for.
    pub code: Zeroizing<String>,
    /// The workstation, as far as the client says.
    pub hostname: String,
    /// The program, as far as it says.
    pub client: String,
}

/// What a password was checked against, so that the write which believes it can see that it still holds.
struct Checked {
    user: User,
    /// The better hash that takes the old one's place.
    better: Option<String>,
}

impl Identity {
    /// Signs in with a name and a password, and a code where the user has a second factor; or without
    /// both from a workstation, where the settings and the user's mark allow it.
    ///
    /// # Errors
    /// `bad_credentials` whatever is wrong with name and password, at the same cost;
    /// `second_factor_required` and `second_factor_wrong` behind the right password alone;
    /// `second_factor_locked`, `too_many_attempts`.
    pub fn login(&self, caller: &Caller, shown: &Credentials) -> Result<SignedIn, Fault> {
        let login = names::fold(&shown.name);
        let user = self.by_login(&login)?;
        let knock = self.knock(caller, user.as_ref(), &login)?;
        let name = user.as_ref().map(|user| user.username.clone());
        let (known, verdict) = self.judged(&knock, user, &shown.password)?;
        let outcome = if shown.password.is_empty() && self.settings.workstation_login.is_on() {
            self.without_password(caller, known, shown)
        } else {
            match known.filter(|user| verdict != Verdict::Wrong && user.is_active()) {
                Some(user) => self.with_password(caller, knock.lane(), &user, verdict, shown),
                None => Err(bad_credentials()),
            }
        };
        match outcome {
            Ok(signed_in) => {
                knock.succeeded();
                Ok(signed_in)
            }
            Err(fault) if fault.code == bad_credentials().code => {
                Err(self.refuse(caller, knock, "login.refuse", name.as_deref())?)
            }
            // Behind the right password: a code is missing or wrong, which is counted elsewhere.
            Err(fault) => Err(fault),
        }
    }

    /// The user of a folded name.
    pub(super) fn by_login(&self, login: &str) -> Result<Option<User>, Fault> {
        self.store.read(|view| match view.get(&USERS_BY_LOGIN, &login.to_owned())? {
            Some(id) => view.get(&USERS, &id),
            None => Ok(None),
        })
    }

    /// What a password is to a user. Somebody unknown, and somebody without a password, costs what
    /// everybody else does; an empty password is never right.
    pub(super) fn judged(
        &self,
        knock: &Knock<'_>,
        user: Option<User>,
        password: &str,
    ) -> Result<(Option<User>, Verdict), Fault> {
        let hash = user.as_ref().map(|user| user.password.as_str()).filter(|hash| !hash.is_empty());
        let hash = hash.unwrap_or(&self.desk.nobody);
        let verdict =
            self.desk.checks.pass(knock.lane(), || self.desk.passwords.verify(password, hash))?;
        let never =
            password.is_empty() || user.as_ref().is_none_or(|user| user.password.is_empty());
        Ok((user, if never { Verdict::Wrong } else { verdict }))
    }

    fn with_password(
        &self,
        caller: &Caller,
        lane: Lane,
        user: &User,
        verdict: Verdict,
        shown: &Credentials,
    ) -> Result<SignedIn, Fault> {
        let id = user.id;
        let enrolled = self.store.read(|view| second_factor::has_one(view, id))?;
        if enrolled && shown.code.trim().is_empty() {
            return Err(code_required());
        }
        let _turn = enrolled.then(|| self.may_try_code(id)).transpose()?;
        // The password is at hand this once: a weaker hash of it is replaced.
        let better = match verdict {
            Verdict::RightButOld => Some(self.hash_in(lane, &shown.password)?),
            _ => None,
        };
        let way = if enrolled { Way::SecondFactor } else { Way::Password };
        let (who, begun) = (caller.clone(), self.begun(caller, shown, way));
        let (desk, code) = (self.clone(), shown.code.clone());
        let checked = Checked { user: user.clone(), better };
        let outcome = self.store.write_freeing(move |tx| {
            let user = still_so(tx, &checked)?;
            let who = acting(who, &user);
            let taken = desk.take_code(tx, &who, user.id, &code)?;
            if taken != enrolled {
                // It was set up, or taken away, while the password was checked.
                return Err(code_required());
            }
            let user = rehashed(tx, &who, user, checked.better)?;
            let session = begun.lay(tx, who, &user)?;
            Ok((user, session))
        });
        let (user, session) =
            if enrolled { self.counted(caller, user, outcome)? } else { outcome? };
        self.signed_in(user, &session)
    }

    /// Signs in without a password. Every refusal says what a wrong password hears.
    fn without_password(
        &self,
        caller: &Caller,
        known: Option<User>,
        shown: &Credentials,
    ) -> Result<SignedIn, Fault> {
        let rules = &self.settings.workstation_login;
        if !rules.takes(caller.address, &shown.hostname) {
            return Err(bad_credentials());
        }
        if known.is_none() && !rules.create_unknown {
            return Err(bad_credentials());
        }
        let login = names::fold(&shown.name);
        let (who, shown) = (caller.clone(), shown.clone());
        let begun = self.begun(caller, &shown, Way::Workstation);
        let (user, session) = self.store.write_freeing(move |tx| {
            let user = match tx.get(&USERS_BY_LOGIN, &login)? {
                Some(id) => tx.get(&USERS, &id)?,
                None if known.is_none() => Self::stranger(tx, &who, &shown)?,
                None => None,
            };
            let user = user.ok_or_else(bad_credentials)?;
            if !Self::may_do_without(tx, &user, tx.now())? {
                return Err(bad_credentials());
            }
            let who = acting(who, &user);
            tx.journal(&who, workstation::deed(&user, &cut(&shown.hostname)))?;
            let session = begun.lay(tx, who, &user)?;
            Ok((user, session))
        })?;
        self.signed_in(user, &session)
    }

    /// Begins a session for a user who has proved who it is.
    ///
    /// # Errors
    /// What the store says.
    pub fn begin(
        &self,
        caller: &Caller,
        user: User,
        shown: &Credentials,
        way: Way,
    ) -> Result<SignedIn, Fault> {
        let begun = self.begun(caller, shown, way);
        let who = acting(caller.clone(), &user);
        // Whoever comes to make room on a full disk has to sign in first.
        let (user, session) = self.store.write_freeing(move |tx| {
            let session = begun.lay(tx, who, &user)?;
            Ok((user, session))
        })?;
        self.signed_in(user, &session)
    }

    fn begun(&self, caller: &Caller, shown: &Credentials, way: Way) -> Begun {
        Begun {
            address: caller.address.map(|a| a.to_string()),
            client: cut(&shown.client),
            hostname: cut(&shown.hostname),
            life: self.life(),
            way,
        }
    }

    /// How long a session lasts.
    pub(super) fn life(&self) -> Duration {
        Duration::from_hours(self.settings.session_hours)
    }

    /// What a sign-in to that session answers, with a new token.
    pub(super) fn signed_in(&self, user: User, session: &Session) -> Result<SignedIn, Fault> {
        let now = self.clock.now();
        let seconds = now.0.div_euclid(1000);
        let token = self.desk.token_key.sign(&Claims {
            iss: self.issuer(),
            aud: AUDIENCE.to_owned(),
            typ: ACCESS.to_owned(),
            sub: session.user.to_string(),
            sid: session.id.to_string(),
            jti: Id::new(now).to_string(),
            iat: seconds,
            nbf: seconds,
            exp: session.expires_at.0.div_euclid(1000),
        })?;
        let csrf = self.csrf(session.id)?;
        let hold = self.store.read(|view| sessions::hold_of(view, &user, session.way))?;
        let user = self.listed(user)?;
        let (expires_at, session) = (session.expires_at, session.id);
        Ok(SignedIn { token, expires_at, csrf, session, user, hold })
    }
}

/// A session to be.
struct Begun {
    address: Option<String>,
    client: String,
    hostname: String,
    life: Duration,
    way: Way,
}

impl Begun {
    fn lay(self, tx: &mut Tx<'_>, who: Caller, user: &User) -> Result<Session, Fault> {
        let session = Session {
            id: tx.new_id(),
            user: user.id,
            created_at: tx.now(),
            began_at: tx.now(),
            expires_at: tx.now().plus(self.life),
            address: self.address,
            client: self.client,
            hostname: self.hostname,
            way: self.way,
            proved_at: (self.way != Way::Workstation).then_some(tx.now()),
        };
        lay(tx, &session)?;
        tx.put(&LAST_LOGIN, &user.id, &session.created_at)?;
        places::remember(tx, user.id, who.address)?;
        let who = Caller { session: Some(session.id), ..who };
        tx.journal(&who, Deed::new("session.begin", session.id))?;
        Ok(session)
    }
}

/// Writes a new session into all its tables.
pub(super) fn lay(tx: &mut Tx<'_>, session: &Session) -> Result<(), Fault> {
    tx.put(&SESSIONS, &session.id, session)?;
    tx.put(&SESSIONS_OF, &(session.user, session.id), &())?;
    tx.put(&LAST_USED, &session.id, &session.created_at)
}

/// The user as the write finds it, when it may still sign in with the password that was checked. A hash
/// that was made anew meanwhile, by the same password at another door, is of the same age.
fn still_so(tx: &Tx<'_>, checked: &Checked) -> Result<User, Fault> {
    let Checked { user: before, better } = checked;
    let user = tx.get(&USERS, &before.id)?.filter(User::is_active);
    let same = user.filter(|user| {
        let made_anew = better.is_some() && user.password_at == before.password_at;
        user.password == before.password || made_anew && !user.password.is_empty()
    });
    same.ok_or_else(bad_credentials)
}

fn rehashed(
    tx: &mut Tx<'_>,
    caller: &Caller,
    mut user: User,
    better: Option<String>,
) -> Result<User, Fault> {
    let Some(better) = better else { return Ok(user) };
    user.password = better;
    user.lineage = user.lineage.then(tx.revision());
    tx.put(&USERS, &user.id, &user)?;
    tx.journal(caller, Deed::new("password.rehash", &user.username))?;
    Ok(user)
}

/// Whoever has just proved to be that user.
fn acting(caller: Caller, user: &User) -> Caller {
    Caller { who: Who::User { id: user.id, name: user.username.clone() }, ..caller }
}

/// The one text for everything that is wrong with a name and a password.
pub(super) fn bad_credentials() -> Fault {
    Fault::new(Kind::Unauthenticated, "bad_credentials", "The name or the password is wrong.")
}

/// What is heard with the right password and without the code that belongs to it.
pub(super) fn code_required() -> Fault {
    Fault::new(
        Kind::Unauthenticated,
        "second_factor_required",
        "The password is right; give the code of your phone, or a recovery code, too.",
    )
}
