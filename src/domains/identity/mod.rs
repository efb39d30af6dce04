//! Who: users, logins, sessions and rights, so that every door ends in the same `Caller`.

pub mod live;
pub mod records;
pub mod roles;
pub mod routes;
mod throttle;
pub mod users;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base::caller::{Caller, Door, Rights, Who};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::engines::secrets::{self, Passwords, RootKey};
use crate::engines::tokens::{AUDIENCE, Claims, TokenKey};
use crate::store::{Blob, Deed, Reader, Store, Tx, under};
use records::{
    KEYS, LAST_USED, SESSIONS, SESSIONS_OF, SITE, Session, Site, USERS, USERS_BY_LOGIN, User,
};
use throttle::Throttle;

/// The kind of token that signs requests.
const ACCESS: &str = "access";
/// Where the token key is kept and what it is sealed for.
const TOKEN_KEY: &str = "token_key";
/// How often the last use of a session is written down.
const TOUCH_EVERY: Duration = Duration::from_mins(1);
/// Password checks that may run at once; each takes a core for about 60 ms and 46 MiB.
const CHECKS_AT_ONCE: usize = 2;
/// Password checks that may wait for their turn.
const CHECKS_WAITING: usize = 32;

/// Settings under `[identity]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentitySettings {
    /// How long a sign-in lasts, hours.
    pub session_hours: u64,
    /// After how long without use it ends, minutes.
    pub idle_minutes: u64,
    /// The shortest password that may be chosen.
    pub password_min: usize,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self { session_hours: 12, idle_minutes: 720, password_min: 12 }
    }
}

/// The identity desk.
#[derive(Clone)]
pub struct Identity {
    store: Store,
    clock: Arc<dyn Clock>,
    settings: IdentitySettings,
    desk: Arc<Desk>,
}

struct Desk {
    passwords: Passwords,
    token_key: TokenKey,
    csrf_key: Zeroizing<[u8; 32]>,
    throttle: Throttle,
    checks: Gate,
    /// The set-up word, until the box is set up.
    setup_word: Mutex<Option<String>>,
    /// A hash nobody's password has, so that an unknown name costs what a known one does.
    nobody: String,
}

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
    pub user: User,
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

/// The first run's answers.
#[derive(Debug, Clone)]
pub struct SetUp {
    /// The site's name.
    pub site: String,
    /// The language of its pages, `fr` or `en`.
    pub language: String,
    /// Its IANA time zone.
    pub time_zone: String,
    /// The colour of its header, `#rrggbb`.
    pub colour: String,
    /// The first administrator's name.
    pub username: String,
    /// How the administrator is shown.
    pub display_name: String,
    /// The administrator's password.
    pub password: Zeroizing<String>,
}

impl Identity {
    /// Opens the desk: reads the token key, or makes it at the first start.
    ///
    /// # Errors
    /// What the store or the root key says.
    pub fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        root: &RootKey,
        settings: IdentitySettings,
    ) -> Result<Self, Fault> {
        let name = TOKEN_KEY.to_owned();
        let sealed = if let Some(Blob(sealed)) = store.read(|view| view.get(&KEYS, &name))? {
            sealed
        } else {
            let sealed = root.seal(TOKEN_KEY, &TokenKey::make()?)?;
            let kept = sealed.clone();
            store.write(move |tx| {
                tx.put(&KEYS, &name, &Blob(kept))?;
                tx.journal(&Caller::task("identity"), Deed::new("key.make", TOKEN_KEY))
            })?;
            sealed
        };
        let token_key = TokenKey::read(&root.unseal(TOKEN_KEY, &sealed)?)?;
        let passwords = Passwords::new(root)?;
        let nobody = passwords.hash(&secrets::random_word()?)?;
        let desk = Desk {
            passwords,
            token_key,
            csrf_key: root.derive("csrf")?,
            throttle: Throttle::default(),
            checks: Gate::default(),
            setup_word: Mutex::default(),
            nobody,
        };
        Ok(Self { store, clock, settings, desk: Arc::new(desk) })
    }

    /// The site, once the box is set up.
    ///
    /// # Errors
    /// What the store says.
    pub fn site(&self) -> Result<Option<Site>, Fault> {
        self.store.read(|view| view.get(&SITE, &()))
    }

    /// Makes the word of the one-time set-up link; none when the box is set up already.
    ///
    /// # Errors
    /// What the store says.
    pub fn setup_word(&self) -> Result<Option<String>, Fault> {
        if self.site()?.is_some() {
            return Ok(None);
        }
        let mut word = self.desk.setup_word.lock().unwrap_or_else(PoisonError::into_inner);
        if word.is_none() {
            *word = Some(secrets::random_word()?);
        }
        Ok(word.clone())
    }

    /// Sets the box up: the site and its first administrator, once. The console needs no word.
    ///
    /// # Errors
    /// `setup_done`, `setup_token`, or the fields at fault.
    pub fn set_up(&self, caller: &Caller, word: &str, answers: SetUp) -> Result<User, Fault> {
        if self.site()?.is_some() {
            return Err(setup_done());
        }
        if caller.who != Who::Console {
            let expected =
                self.desk.setup_word.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if !expected.is_some_and(|expected| secrets::same(&expected, word)) {
                return Err(Fault::forbidden(
                    "setup_token",
                    "This set-up link is not good; `ilot setup-link` shows the right one.",
                ));
            }
        }
        users::check_site(&answers)?;
        let draft = users::Draft {
            username: answers.username,
            email: String::new(),
            display_name: answers.display_name,
            role: "admin".to_owned(),
            is_system_admin: true,
            language: answers.language.clone(),
            password: answers.password,
            must_change_password: false,
        };
        self.check_draft(&draft)?;
        let hash = self.hash(&draft.password)?;
        let caller = caller.clone();
        let (name, language, time_zone, colour) =
            (answers.site, answers.language, answers.time_zone, answers.colour);
        let user = self.store.write(move |tx| {
            // Asked again inside the write: of two set-ups at once only one passes.
            if tx.has(&SITE, &())? {
                return Err(setup_done());
            }
            let site = Site { name, language, time_zone, colour, set_up_at: tx.now() };
            tx.put(&SITE, &(), &site)?;
            tx.journal(&caller, Deed::new("site.set_up", &site.name).after(&site))?;
            users::create(tx, &caller, draft, hash)
        })?;
        *self.desk.setup_word.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(user)
    }

    /// Signs in with a name and a password.
    ///
    /// # Errors
    /// `bad_credentials`, `account_disabled` (only after the right password), `too_many_attempts`.
    pub fn login(&self, caller: &Caller, shown: &Credentials) -> Result<SignedIn, Fault> {
        let login = users::fold(&shown.name);
        self.desk.throttle.check(self.clock.as_ref(), &login, caller.address)?;
        let user = self.store.read(|view| match view.get(&USERS_BY_LOGIN, &login)? {
            Some(id) => view.get(&USERS, &id),
            None => Ok(None),
        })?;
        let hash = user.as_ref().map_or(self.desk.nobody.as_str(), |u| u.password.as_str());
        let right = self.desk.checks.pass(|| self.desk.passwords.check(&shown.password, hash))?;
        let Some(user) = user.filter(|_| right) else {
            self.desk.throttle.failed(self.clock.as_ref(), &login, caller.address);
            let (who, name) = (caller.clone(), shown.name.chars().take(64).collect::<String>());
            self.store
                .write_freeing(move |tx| tx.journal(&who, Deed::new("login.refuse", name)))?;
            return Err(Fault::new(
                Kind::Unauthenticated,
                "bad_credentials",
                "The name or the password is wrong.",
            ));
        };
        if !user.active {
            return Err(Fault::forbidden("account_disabled", "This account is disabled."));
        }
        self.desk.throttle.succeeded(&login);
        self.begin(caller, user, shown)
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
                };
                tx.put(&SESSIONS, &session.id, &session)?;
                tx.put(&SESSIONS_OF, &(user.id, session.id), &())?;
                tx.put(&LAST_USED, &session.id, &session.created_at)?;
                let who = Caller { who: Who::User { id: user.id, name: user.username }, ..who };
                tx.journal(&who, Deed::new("session.begin", session.id))?;
                Ok(session)
            }
        })?;
        let seconds = session.created_at.0.div_euclid(1000);
        let token = self.desk.token_key.sign(&Claims {
            iss: self.issuer(),
            aud: AUDIENCE.to_owned(),
            typ: ACCESS.to_owned(),
            sub: user.id.to_string(),
            sid: session.id.to_string(),
            jti: Id::new(session.created_at).to_string(),
            iat: seconds,
            nbf: seconds,
            exp: session.expires_at.0.div_euclid(1000),
        })?;
        let csrf = self.csrf(session.id)?;
        Ok(SignedIn { token, expires_at: session.expires_at, csrf, session: session.id, user })
    }

    fn issuer(&self) -> String {
        format!("ilot:{}", self.store.site())
    }

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
    /// `token_invalid`, `token_expired`, `session_ended`.
    pub fn recognise(&self, caller: Caller, token: &str, door: Door) -> Result<Caller, Fault> {
        let now = self.clock.now();
        let claims = self.desk.token_key.check(token, &self.issuer(), ACCESS, now)?;
        let ended = || {
            Fault::new(
                Kind::Unauthenticated,
                "session_ended",
                "The session has ended; sign in again.",
            )
        };
        let id: Id = claims.sid.parse().map_err(|_| ended())?;
        let found = self.store.read(|view| {
            let Some(session) = view.get(&SESSIONS, &id)? else { return Ok(None) };
            let user = view.get(&USERS, &session.user)?;
            let touched = view.get(&LAST_USED, &id)?;
            Ok(user.map(|user| (session, user, touched)))
        })?;
        let (session, user, touched) = found.ok_or_else(ended)?;
        let idle = Duration::from_mins(self.settings.idle_minutes);
        let touched = touched.unwrap_or(session.created_at);
        if !user.active || now >= session.expires_at || now.since(touched) > idle {
            return Err(ended());
        }
        if now.since(touched) > TOUCH_EVERY {
            self.store.write_freeing(move |tx| {
                let now = tx.now();
                tx.put(&LAST_USED, &id, &now)
            })?;
        }
        let rights = roles::rights_of(&user.role, user.is_system_admin);
        Ok(Caller {
            who: Who::User { id: user.id, name: user.username },
            rights,
            door,
            session: Some(id),
            ..caller
        })
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

    /// Ends the caller's session.
    ///
    /// # Errors
    /// `unauthenticated`, or what the store says.
    pub fn logout(&self, caller: &Caller) -> Result<(), Fault> {
        caller.signed_in()?;
        let Some(session) = caller.session else { return Ok(()) };
        let who = caller.clone();
        self.store.write_freeing(move |tx| end_session(tx, &who, session))
    }

    /// The signed-in user.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub fn me(&self, caller: &Caller) -> Result<User, Fault> {
        let Who::User { id, .. } = caller.who else { return Err(Fault::unauthenticated()) };
        self.store.read(|view| view.get(&USERS, &id))?.ok_or_else(Fault::unauthenticated)
    }

    /// Ends sessions whose time is over, so that the table does not grow for ever.
    ///
    /// # Errors
    /// What the store says.
    pub fn prune(&self) -> Result<(), Fault> {
        let now = self.clock.now();
        let idle = Duration::from_mins(self.settings.idle_minutes);
        let over = self.store.read(|view| {
            let mut over = Vec::new();
            view.each(&SESSIONS, &crate::store::all(), |id, session| {
                let used = view.get(&LAST_USED, &id)?.unwrap_or(session.created_at);
                if now >= session.expires_at || now.since(used) > idle {
                    over.push(id);
                }
                Ok(std::ops::ControlFlow::Continue(()))
            })?;
            Ok(over)
        })?;
        if over.is_empty() {
            return Ok(());
        }
        self.store.write_freeing(move |tx| {
            over.iter().try_for_each(|id| end_session(tx, &Caller::task("sessions"), *id))
        })
    }

    fn hash(&self, password: &str) -> Result<String, Fault> {
        self.desk.checks.pass(|| self.desk.passwords.hash(password))
    }

    /// What a caller may do, by name, for the answers that list it.
    pub fn permissions(user: &User) -> Rights {
        roles::rights_of(&user.role, user.is_system_admin)
    }
}

fn setup_done() -> Fault {
    Fault::conflict("setup_done", "This box is set up already; sign in instead.")
}

/// What clients say of themselves is cut to a line.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Takes one session out of both its tables.
fn end_session(tx: &mut Tx<'_>, caller: &Caller, id: Id) -> Result<(), Fault> {
    if let Some(session) = tx.get(&SESSIONS, &id)? {
        tx.remove(&SESSIONS, &id)?;
        tx.remove(&SESSIONS_OF, &(session.user, id))?;
        tx.remove(&LAST_USED, &id)?;
        tx.journal(caller, Deed::new("session.end", id))?;
    }
    Ok(())
}

/// Ends every session of a user.
fn end_sessions_of(tx: &mut Tx<'_>, caller: &Caller, user: Id) -> Result<(), Fault> {
    let sessions = tx.list(&SESSIONS_OF, &under(&user), usize::MAX)?;
    sessions.iter().try_for_each(|((_, id), ())| end_session(tx, caller, *id))
}

/// Lets a few callers through at once and a few more wait.
#[derive(Debug, Default)]
struct Gate {
    inside: Mutex<(usize, usize)>,
    left: std::sync::Condvar,
}

impl Gate {
    fn pass<T>(&self, act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let mut state = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 >= CHECKS_WAITING {
            return Err(Fault::busy(
                "too_many_attempts",
                "Too many people sign in at once; try again.",
                Duration::from_secs(2),
            ));
        }
        state.1 += 1;
        while state.0 >= CHECKS_AT_ONCE {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.1 -= 1;
        state.0 += 1;
        drop(state);
        let answer = crate::base::tasks::caught(act);
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
        self.left.notify_one();
        answer
    }
}
