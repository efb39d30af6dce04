//! Who: users, roles and rights, logins, sessions and keys, so that every door ends in the same `Caller`.

pub mod api_keys;
pub mod earlier;
mod first_roles;
mod gate;
pub mod grants;
pub mod guards;
pub mod imports;
pub mod invitations;
pub mod live;
mod names;
pub mod offboarding;
mod places;
mod ration;
pub mod records;
pub mod registration;
pub mod roles;
pub mod routes;
pub mod scopes;
pub mod second_factor;
pub mod sessions;
pub mod setup;
pub mod signing_in;
pub mod standing_in;
pub mod step_up;
mod throttle;
pub mod users;
pub mod workstation;

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base::caller::{Caller, Who};
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::engines::secrets::{self, Passwords, RootKey};
use crate::engines::tokens::{Algorithm, TokenKey};
use crate::store::{Blob, Deed, Reader, Store};
use gate::{Gate, Lane};
use guards::Guard;
use offboarding::Taker;
use ration::Ration;
use records::{KEYS, SITE, Site, USERS, User};
use registration::Registration;
use second_factor::Tries;
use throttle::Throttle;
use workstation::WorkstationLogin;

/// Where the key of each way of signing tokens is kept and what it is sealed for: a box that signs in
/// another way has another key, so that no key is ever used with two algorithms.
const fn token_key_place(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Rs256 => "token_key",
        Algorithm::Es256 => "token_key_es256",
        Algorithm::Hs256 => "token_key_hs256",
    }
}

/// Settings under `[identity]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentitySettings {
    /// How long a sign-in lasts, hours.
    pub session_hours: u64,
    /// After how long without use it ends, minutes.
    pub idle_minutes: u64,
    /// How long a sign-in lasts at most when it is refreshed again and again, days.
    pub sign_in_days: u64,
    /// The shortest password that may be chosen.
    pub password_min: usize,
    /// How long a password counts as fresh for exports and changes of roles, minutes.
    pub step_up_minutes: u64,
    /// Failed sign-ins from one address within 15 minutes after which it is blocked: for half an hour
    /// at first, or a minute where somebody has signed in before; twice as long each time, up to a
    /// day. Default 5.
    pub address_failures: usize,
    /// How tokens are signed: `RS256`, `ES256` or `HS256`. After a change the tokens of before are
    /// refused (`token_algorithm`), and everybody signs in again.
    pub token_algorithm: Algorithm,
    /// Who may make an account: `closed` (nobody), `invited` (who has an invitation) or `open`.
    pub registration: Registration,
    /// The role of who makes an account without an invitation.
    pub registration_role: String,
    /// How long an invitation is good when it does not say so itself, days.
    pub invitation_days: u64,
    /// Signing in without a password from known workstations.
    pub workstation_login: WorkstationLogin,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self {
            session_hours: 12,
            idle_minutes: 720,
            sign_in_days: 30,
            password_min: 12,
            step_up_minutes: 5,
            address_failures: 5,
            token_algorithm: Algorithm::Rs256,
            registration: Registration::Invited,
            registration_role: "user".to_owned(),
            invitation_days: 7,
            workstation_login: WorkstationLogin::default(),
        }
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
    api_key_key: Zeroizing<[u8; 32]>,
    /// Seals the secrets of second factors.
    root: RootKey,
    /// Under which the words of invitations are kept.
    invitation_key: Zeroizing<[u8; 32]>,
    /// Under which recovery codes are kept.
    recovery_key: Zeroizing<[u8; 32]>,
    /// Failures of second factors.
    tries: Tries,
    throttle: Throttle,
    checks: Gate,
    /// What strangers may make the journal hold.
    strangers: Ration,
    /// The set-up word, until the box is set up.
    setup_word: Mutex<Option<String>>,
    /// A hash nobody's password has, so that an unknown name costs what a known one does.
    nobody: String,
    /// What other domains take back from a person who leaves.
    takers: Mutex<Vec<Taker>>,
    /// What other domains say before a role is given.
    guards: Mutex<Vec<Guard>>,
}

impl Identity {
    /// Opens the desk: reads the token key, or makes it at the first start, and sees that the
    /// built-in roles are there.
    ///
    /// # Errors
    /// What the store or the root key says.
    pub fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        root: &RootKey,
        settings: IdentitySettings,
    ) -> Result<Self, Fault> {
        let token_key = token_key(&store, root, settings.token_algorithm)?;
        let passwords = Passwords::new(root)?;
        let nobody = passwords.hash(&secrets::random_word()?)?;
        roles::lay_built_in(&store)?;
        let desk = Desk {
            passwords,
            token_key,
            csrf_key: root.derive("csrf")?,
            root: root.clone(),
            invitation_key: root.derive("invitation")?,
            recovery_key: root.derive("recovery")?,
            tries: Tries::default(),
            api_key_key: root.derive("api-keys")?,
            throttle: Throttle::new(clock.clone(), settings.address_failures),
            checks: Gate::default(),
            strangers: Ration::default(),
            setup_word: Mutex::default(),
            nobody,
            takers: Mutex::default(),
            guards: Mutex::default(),
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

    /// The signed-in user.
    ///
    /// # Errors
    /// `unauthenticated`, or `no_account` for a machine, the console or a task.
    pub fn me(&self, caller: &Caller) -> Result<User, Fault> {
        caller.signed_in()?;
        let Who::User { id, .. } = caller.who else {
            return Err(Fault::forbidden("no_account", "This caller is not a user."));
        };
        self.user_of(id)?.ok_or_else(Fault::unauthenticated)
    }

    fn user_of(&self, id: Id) -> Result<Option<User>, Fault> {
        self.store.read(|view| view.get(&USERS, &id))
    }

    fn issuer(&self) -> String {
        format!("ilot:{}", self.store.site())
    }

    /// Hashes a password for somebody who is signed in, or sets the box up.
    fn hash(&self, password: &str) -> Result<String, Fault> {
        self.hash_in(Lane::Known, password)
    }

    /// Hashes a password; whoever is nobody yet goes in the strangers' lane.
    fn hash_in(&self, lane: Lane, password: &str) -> Result<String, Fault> {
        self.desk.checks.pass(lane, || self.desk.passwords.hash(password))
    }
}

/// The key of that way of signing, made at its first use.
fn token_key(store: &Store, root: &RootKey, algorithm: Algorithm) -> Result<TokenKey, Fault> {
    let place = token_key_place(algorithm);
    let name = place.to_owned();
    let sealed = if let Some(Blob(sealed)) = store.read(|view| view.get(&KEYS, &name))? {
        sealed
    } else {
        let sealed = root.seal(place, &TokenKey::make(algorithm)?)?;
        let kept = sealed.clone();
        store.write(move |tx| {
            tx.put(&KEYS, &name, &Blob(kept))?;
            tx.journal(&Caller::task("identity"), Deed::new("key.make", place))
        })?;
        sealed
    };
    TokenKey::read(algorithm, &root.unseal(place, &sealed)?)
}

/// What clients say of themselves is cut to a line.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
