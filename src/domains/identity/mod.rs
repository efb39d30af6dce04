//! Who: users, roles and rights, logins, sessions and keys, so that every door ends in the same `Caller`.

pub mod earlier;
mod gate;
pub mod grants;
pub mod offboarding;
pub mod records;
pub mod roles;
pub mod routes;
pub mod sessions;
pub mod setup;
pub mod signing_in;
mod throttle;
pub mod users;

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
use gate::Gate;
use offboarding::Taker;
use records::{KEYS, SITE, Site, USERS, User};
use throttle::Throttle;

/// Where the token key is kept and what it is sealed for.
const TOKEN_KEY: &str = "token_key";

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
    /// How long a password counts as fresh for exports and changes of roles, minutes.
    pub step_up_minutes: u64,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self { session_hours: 12, idle_minutes: 720, password_min: 12, step_up_minutes: 5 }
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
    /// What other domains take back from a person who leaves.
    takers: Mutex<Vec<Taker>>,
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
        let name = TOKEN_KEY.to_owned();
        let sealed = if let Some(Blob(sealed)) = store.read(|view| view.get(&KEYS, &name))? {
            sealed
        } else {
            let sealed = root.seal(TOKEN_KEY, &TokenKey::make(Algorithm::default())?)?;
            let kept = sealed.clone();
            store.write(move |tx| {
                tx.put(&KEYS, &name, &Blob(kept))?;
                tx.journal(&Caller::task("identity"), Deed::new("key.make", TOKEN_KEY))
            })?;
            sealed
        };
        let token_key = TokenKey::read(Algorithm::default(), &root.unseal(TOKEN_KEY, &sealed)?)?;
        let passwords = Passwords::new(root)?;
        let nobody = passwords.hash(&secrets::random_word()?)?;
        roles::lay_built_in(&store)?;
        let desk = Desk {
            passwords,
            token_key,
            csrf_key: root.derive("csrf")?,
            throttle: Throttle::default(),
            checks: Gate::default(),
            setup_word: Mutex::default(),
            nobody,
            takers: Mutex::default(),
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

    fn hash(&self, password: &str) -> Result<String, Fault> {
        self.desk.checks.pass(|| self.desk.passwords.hash(password))
    }
}

/// What clients say of themselves is cut to a line.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
