//! Signing in: a name and a password, the throttle around them, and the session they begin.

use std::time::Duration;

use zeroize::Zeroizing;

use super::records::{
    LAST_LOGIN, LAST_USED, SESSIONS, SESSIONS_OF, Session, USERS, USERS_BY_LOGIN, User, Way,
};
use super::users::Listed;
use super::{Identity, cut, places, users};
use crate::base::caller::{Caller, Who};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::engines::tokens::{AUDIENCE, Claims};
use crate::store::{Deed, Reader};

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
}

/// What a sign-in shows.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The username or e-mail address.
    pub name: String,
    /// The password.
    pub password: Zeroizing<String>,
    /// The workstation, as far as the client says.
    pub hostname: String,
    /// The program, as far as it says.
    pub client: String,
}

impl Identity {
    /// Signs in with a name and a password.
    ///
    /// # Errors
    /// `bad_credentials` whatever is wrong, `too_many_attempts`.
    pub fn login(&self, caller: &Caller, shown: &Credentials) -> Result<SignedIn, Fault> {
        let login = users::fold(&shown.name);
        let user = self.store.read(|view| match view.get(&USERS_BY_LOGIN, &login)? {
            Some(id) => view.get(&USERS, &id),
            None => Ok(None),
        })?;
        let hash = user.as_ref().map_or(self.desk.nobody.as_str(), |u| u.password.as_str());
        let knock = self.knock(caller, user.as_ref(), &login)?;
        let right = self
            .desk
            .checks
            .pass(knock.lane(), || self.desk.passwords.check(&shown.password, hash))?;
        let name = user.as_ref().map(|user| user.username.clone());
        let Some(user) = user.filter(|user| right && user.is_active()) else {
            return Err(self.refuse(caller, knock, name.as_deref())?);
        };
        knock.succeeded();
        self.begin(caller, user, shown, Way::Password)
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
        let (who, address) = (caller.clone(), caller.address.map(|a| a.to_string()));
        let (client, hostname) = (cut(&shown.client), cut(&shown.hostname));
        let life = Duration::from_hours(self.settings.session_hours);
        // Whoever comes to make room on a full disk has to sign in first.
        let session = self.store.write_freeing({
            let user = user.clone();
            move |tx| {
                let session = Session {
                    id: tx.new_id(),
                    user: user.id,
                    created_at: tx.now(),
                    expires_at: tx.now().plus(life),
                    address,
                    client,
                    hostname,
                    way,
                    proved_at: (way != Way::Workstation).then_some(tx.now()),
                };
                tx.put(&SESSIONS, &session.id, &session)?;
                tx.put(&SESSIONS_OF, &(user.id, session.id), &())?;
                tx.put(&LAST_USED, &session.id, &session.created_at)?;
                tx.put(&LAST_LOGIN, &user.id, &session.created_at)?;
                places::remember(tx, user.id, who.address)?;
                let who = Caller {
                    who: Who::User { id: user.id, name: user.username },
                    session: Some(session.id),
                    ..who
                };
                tx.journal(&who, Deed::new("session.begin", session.id))?;
                Ok(session)
            }
        })?;
        self.signed_in(user, &session)
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
        let user = self.listed(user)?;
        Ok(SignedIn { token, expires_at: session.expires_at, csrf, session: session.id, user })
    }
}
