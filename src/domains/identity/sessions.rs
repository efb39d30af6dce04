//! Sessions: the caller behind a token, the word against foreign pages, who is signed in, and every end.

use std::ops::ControlFlow;
use std::time::Duration;

use super::records::{
    LAST_USED, ROLES, SESSIONS, SESSIONS_OF, Session, USERS, USERS_BY_LOGIN, User, Way,
};
use super::signing_in::ACCESS;
use super::{Identity, names, roles, second_factor, users, workstation};
use crate::base::caller::{Caller, Door, Hold, Right, Rights, Who};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::engines::secrets;
use crate::engines::tokens::AUDIENCE;
use crate::store::{Deed, Reader, Tx, all, under};

/// How often the last use of a session is written down.
const TOUCH_EVERY: Duration = Duration::from_mins(1);

/// A session as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The session.
    pub session: Session,
    /// Whose it is.
    pub user: User,
    /// When it was last used, to the minute.
    pub last_used: Moment,
}

/// How the caller of a session stands at a moment.
#[derive(Debug)]
pub(super) struct Standing {
    /// With the rights of that moment.
    pub(super) caller: Caller,
    /// When the session was last used, to the minute.
    pub(super) touched: Moment,
    /// The moment at which time alone may end it.
    pub(super) until: Moment,
}

impl Identity {
    /// The session's word against cross-site requests.
    ///
    /// # Errors
    /// `Broken` never in practice.
    pub fn csrf(&self, session: Id) -> Result<String, Fault> {
        secrets::mac(self.desk.csrf_key.as_slice(), &session.0)
    }

    /// The caller behind a token: the session row is read every time, so that an end acts at once.
    ///
    /// # Errors
    /// Why the token is not good (`token_…`), or `session_ended`.
    pub fn recognise(&self, caller: Caller, token: &str, door: Door) -> Result<Caller, Fault> {
        let now = self.clock.now();
        let claims = self.desk.token_key.check(token, &self.issuer(), AUDIENCE, ACCESS, now)?;
        let id: Id = claims.sid.parse().map_err(|_| ended())?;
        let standing = self.stands(caller, id, door, now)?.ok_or_else(ended)?;
        if now.since(standing.touched) > TOUCH_EVERY {
            self.store.write_freeing(move |tx| {
                let now = tx.now();
                tx.put(&LAST_USED, &id, &now)
            })?;
        }
        Ok(standing.caller)
    }

    /// How the caller of a session stands at `now`; none when it is over.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn stands(
        &self,
        caller: Caller,
        id: Id,
        door: Door,
        now: Moment,
    ) -> Result<Option<Standing>, Fault> {
        let found = self.store.read(|view| {
            let Some(session) = view.get(&SESSIONS, &id)? else { return Ok(None) };
            let Some(user) = view.get(&USERS, &session.user)? else { return Ok(None) };
            let touched = view.get(&LAST_USED, &id)?.unwrap_or(session.created_at);
            let (rights, needs_factor) = roles::rights_of(view, &user, now)?;
            let hold = hold_when(view, &user, session.way, needs_factor)?;
            Ok(Some((session, user, touched, rights, hold)))
        })?;
        let Some((session, user, touched, rights, hold)) = found else { return Ok(None) };
        if !user.is_active() || self.is_over(&session, touched, now) {
            return Ok(None);
        }
        if session.way == Way::Workstation && !self.still_goes_without(&user, rights, &caller) {
            return Ok(None);
        }
        let step_up = self.step_up_span();
        let idle = Duration::from_mins(self.settings.idle_minutes);
        let caller = Caller {
            rights,
            role: user.role,
            door,
            session: Some(id),
            fresh_until: session.proved_at.map(|at| at.plus(step_up)),
            hold,
            who: Who::User { id: user.id, name: user.username },
            ..caller
        };
        Ok(Some(Standing { caller, touched, until: session.expires_at.min(touched.plus(idle)) }))
    }

    /// How long a password counts as fresh.
    pub(super) fn step_up_span(&self) -> Duration {
        Duration::from_mins(self.settings.step_up_minutes)
    }

    /// Whether a session without a password is still good for whoever asks: it does not leave its
    /// networks, and it does not outlive the user's mark or the day the user gains more.
    fn still_goes_without(&self, user: &User, rights: Rights, caller: &Caller) -> bool {
        user.workstation
            && !workstation::needs_password(rights)
            && self.settings.workstation_login.reaches(caller.address)
    }

    fn is_over(&self, session: &Session, touched: Moment, now: Moment) -> bool {
        let idle = Duration::from_mins(self.settings.idle_minutes);
        now >= session.expires_at || now.since(touched) > idle
    }

    /// Checks the word against cross-site requests that an unsafe cookie request must show.
    ///
    /// # Errors
    /// `csrf_invalid`.
    pub fn check_csrf(&self, caller: &Caller, word: Option<&str>) -> Result<(), Fault> {
        let Some(session) = caller.session.filter(|_| caller.door == Door::Cookie) else {
            return Ok(());
        };
        let expected = self.csrf(session)?;
        if word.is_some_and(|word| secrets::same(word, &expected)) {
            return Ok(());
        }
        Err(Fault::forbidden(
            "csrf_invalid",
            "The X-CSRF-Token header is missing or not this session's.",
        ))
    }

    /// Ends the caller's session, if there is one.
    ///
    /// # Errors
    /// What the store says.
    pub fn logout(&self, caller: &Caller) -> Result<(), Fault> {
        let Some(session) = caller.session else { return Ok(()) };
        let who = caller.clone();
        self.store.write_freeing(move |tx| end_session(tx, &who, session).map(drop))
    }

    /// The caller's own sessions, the latest used first.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub fn own_sessions(&self, caller: &Caller) -> Result<Vec<Open>, Fault> {
        caller.signed_in()?;
        match caller.who {
            Who::User { id, .. } => self.open_sessions(Some(id)),
            _ => Ok(Vec::new()),
        }
    }

    /// Everybody's sessions, the latest used first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn all_sessions(&self, caller: &Caller) -> Result<Vec<Open>, Fault> {
        caller.require(Right::ViewSauron)?;
        self.open_sessions(None)
    }

    fn open_sessions(&self, of: Option<Id>) -> Result<Vec<Open>, Fault> {
        let now = self.clock.now();
        let mut open = self.store.read(|view| {
            let ids: Vec<Id> = match of {
                Some(user) => view.list(&SESSIONS_OF, &under(&user), usize::MAX)?,
                None => view.list(&SESSIONS_OF, &all(), usize::MAX)?,
            }
            .into_iter()
            .map(|((_, id), ())| id)
            .collect();
            let mut open = Vec::new();
            for id in ids {
                let Some(session) = view.get(&SESSIONS, &id)? else { continue };
                let Some(user) = view.get(&USERS, &session.user)? else { continue };
                let last_used = view.get(&LAST_USED, &id)?.unwrap_or(session.created_at);
                if !self.is_over(&session, last_used, now) {
                    open.push(Open { session, user, last_used });
                }
            }
            Ok(open)
        })?;
        open.sort_by_key(|o| std::cmp::Reverse((o.last_used, o.session.id)));
        Ok(open)
    }

    /// Ends one session: one's own, or anybody's with `manage_rights`.
    ///
    /// # Errors
    /// `unauthenticated`; `not_found` for a session that is not there or not one's own;
    /// `right_not_held` for that of a user who may do more than the caller.
    pub fn terminate(&self, caller: &Caller, id: Id) -> Result<(), Fault> {
        caller.signed_in()?;
        let who = caller.clone();
        self.store.write_freeing(move |tx| {
            let none = || Fault::not_found("session");
            let session = tx.get(&SESSIONS, &id)?.ok_or_else(none)?;
            let own = matches!(who.who, Who::User { id, .. } if id == session.user);
            if !own && who.require(Right::ManageRights).is_err() {
                return Err(none());
            }
            if !own && let Some(user) = tx.get(&USERS, &session.user)? {
                users::outranks(tx, &who, &user, tx.now())?;
            }
            end_session(tx, &who, id).map(drop)
        })
    }

    /// Ends one session, whoever's it is.
    ///
    /// # Errors
    /// `right_missing`, `right_not_held`, `not_found`.
    pub fn kick(&self, caller: &Caller, id: Id) -> Result<(), Fault> {
        caller.require(Right::ManageRights)?;
        self.terminate(caller, id)
    }

    /// Ends every session of a user; the answer is how many there were, 0 for an unknown name.
    ///
    /// # Errors
    /// `right_missing`, `right_not_held`.
    pub fn disconnect(&self, caller: &Caller, username: &str) -> Result<usize, Fault> {
        caller.require(Right::ManageRights)?;
        let (who, login) = (caller.clone(), names::fold(username));
        self.store.write_freeing(move |tx| {
            let id = tx.get(&USERS_BY_LOGIN, &login)?;
            let Some(user) = id.map(|id| tx.get(&USERS, &id)).transpose()?.flatten() else {
                return Ok(0);
            };
            users::outranks(tx, &who, &user, tx.now())?;
            end_sessions_of(tx, &who, user.id, None)
        })
    }

    /// Ends every session but the caller's; the answer is how many there were.
    ///
    /// # Errors
    /// `right_missing`; `system_admin_required` for whoever is not a system administrator.
    pub fn kick_all(&self, caller: &Caller) -> Result<usize, Fault> {
        caller.require(Right::AdminAccess)?;
        self.only_system_admin(caller)?;
        let who = caller.clone();
        self.store.write_freeing(move |tx| {
            let ids = tx.list(&SESSIONS_OF, &all(), usize::MAX)?;
            let mut ended = 0;
            for ((_, id), ()) in ids {
                if Some(id) != who.session {
                    ended += usize::from(end_session(tx, &who, id)?);
                }
            }
            Ok(ended)
        })
    }

    /// Ends sessions whose time is over, so that the table does not grow for ever.
    ///
    /// # Errors
    /// What the store says.
    pub fn prune(&self) -> Result<(), Fault> {
        let now = self.clock.now();
        let over = self.store.read(|view| {
            let mut over = Vec::new();
            view.each(&SESSIONS, &all(), |id, session| {
                let used = view.get(&LAST_USED, &id)?.unwrap_or(session.created_at);
                if self.is_over(&session, used, now) {
                    over.push(id);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(over)
        })?;
        if over.is_empty() {
            return Ok(());
        }
        self.store.write_freeing(move |tx| {
            let task = Caller::task("sessions");
            over.iter().try_for_each(|id| end_session(tx, &task, *id).map(drop))
        })
    }
}

/// What a token hears whose session is over.
pub(super) fn ended() -> Fault {
    Fault::new(Kind::Unauthenticated, "session_ended", "The session has ended; sign in again.")
}

/// What a user has to do before anything else, in a session that was begun that way.
///
/// # Errors
/// What the store says.
pub(super) fn hold_of(reader: &impl Reader, user: &User, way: Way) -> Result<Option<Hold>, Fault> {
    let role = reader.get(&ROLES, &user.role)?;
    hold_when(reader, user, way, role.is_some_and(|role| role.second_factor))
}

pub(super) fn hold_when(
    reader: &impl Reader,
    user: &User,
    way: Way,
    needs_factor: bool,
) -> Result<Option<Hold>, Fault> {
    // Where no password was given, there is none that had to be changed.
    if user.must_change_password && way != Way::Workstation {
        return Ok(Some(Hold::ChangePassword));
    }
    if needs_factor && !second_factor::has_one(reader, user.id)? {
        return Ok(Some(Hold::EnrolSecondFactor));
    }
    Ok(None)
}

/// Takes one session out of all its tables; whether there was one.
pub(super) fn end_session(tx: &mut Tx<'_>, caller: &Caller, id: Id) -> Result<bool, Fault> {
    let Some(session) = tx.get(&SESSIONS, &id)? else { return Ok(false) };
    let whose = tx.get(&USERS, &session.user)?.map(|user| user.username);
    tx.remove(&SESSIONS, &id)?;
    tx.remove(&SESSIONS_OF, &(session.user, id))?;
    tx.remove(&LAST_USED, &id)?;
    tx.journal(caller, Deed::new("session.end", id).before(&EndedShown { user: whose }))?;
    Ok(true)
}

/// What the journal says of a session that ends.
#[derive(serde::Serialize)]
struct EndedShown {
    user: Option<String>,
}

/// How many sessions a user has.
pub(super) fn count_of(reader: &impl Reader, user: Id) -> Result<usize, Fault> {
    Ok(reader.list(&SESSIONS_OF, &under(&user), usize::MAX)?.len())
}

/// Ends every session of a user, but for one if it is named; the answer is how many.
pub(super) fn end_sessions_of(
    tx: &mut Tx<'_>,
    caller: &Caller,
    user: Id,
    but: Option<Id>,
) -> Result<usize, Fault> {
    let sessions = tx.list(&SESSIONS_OF, &under(&user), usize::MAX)?;
    let mut ended = 0;
    for ((_, id), ()) in sessions {
        if Some(id) != but {
            ended += usize::from(end_session(tx, caller, id)?);
        }
    }
    Ok(ended)
}
