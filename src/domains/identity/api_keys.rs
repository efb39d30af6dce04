//! API keys: what programs show instead of a password, never stronger than their owner is now.

use std::ops::ControlFlow;
use std::time::Duration;

use zeroize::Zeroizing;

use super::names::{check_name, wrong};
use super::records::{
    API_KEYS, API_KEYS_BY_HASH, API_KEYS_OF, API_KEYS_USED, ApiKey, KeyKind, USERS, User, Way,
};
use super::scopes::{Scope, WORDS, rights_of_key, rights_of_scope};
use super::sessions::hold_when;
use super::{Identity, roles, users};
use crate::base::caller::{Caller, Door, Hold, Right, Rights, Who};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Field, Kind};
use crate::base::id::{Id, Lineage};
use crate::engines::secrets;
use crate::store::{Deed, Reader, Tx, all, under};

/// What every key begins with, so that one is known wherever it turns up.
const PREFIX: &str = "ilot_";
/// Characters after it: 256 bits in base64url.
const WORD_LENGTH: usize = 43;
/// Characters of a key's end that lists show.
const HINT_LENGTH: usize = 4;
/// Keys a person may have.
const KEYS_MAX: usize = 50;
/// Kiosk keys a site may have.
const KIOSK_KEYS_MAX: usize = 500;
/// How long a key lives unless something else is asked for, days.
const LIFE_DAYS: u32 = 365;
/// The longest it may live, days.
const LIFE_DAYS_MAX: u32 = 3650;
/// How often the last use of a key is written down.
const TOUCH_EVERY: Duration = Duration::from_mins(1);

/// The code of a key that nobody has.
pub(super) const KEY_UNKNOWN: &str = "key_unknown";

/// What a kiosk may do.
const OF_KIOSKS: Rights = Rights::NONE.with(Right::PunchForOthers);

/// A key to be.
#[derive(Debug, Clone, Default)]
pub struct KeyDraft {
    /// What its owner calls it.
    pub name: String,
    /// Its scopes; a kiosk's key has its own whatever is said.
    pub scopes: Vec<String>,
    /// How long it lives, days; none for [`LIFE_DAYS`].
    pub days: Option<u32>,
    /// Whether it is for a kiosk.
    pub kiosk: bool,
}

/// A key that was just made, with its text, which is told this once.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The key.
    pub key: ApiKey,
    /// What is to be shown.
    pub text: Zeroizing<String>,
}

/// A key as lists show one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyListed {
    /// The key.
    pub key: ApiKey,
    /// The name of whoever it acts for, or its own for a kiosk's.
    pub owner: String,
    /// When it was last used, to the minute.
    pub last_used: Option<Moment>,
}

impl Identity {
    /// The caller behind a key. Everything is read anew each time, so that an end, a change of role
    /// or a closed account acts at once.
    ///
    /// # Errors
    /// `key_unknown`, `key_expired`, `key_owner_closed`, `key_wrong_door` for a kiosk's key at another
    /// door than a kiosk's and the other way round.
    pub fn recognise_key(&self, caller: Caller, text: &str, door: Door) -> Result<Caller, Fault> {
        let now = self.clock.now();
        let hash = if looks_like_key(text) { self.hash_key(text)? } else { return Err(unknown()) };
        let (caller, id, touched) = self.store.read(|view| {
            let id = view.get(&API_KEYS_BY_HASH, &hash)?.ok_or_else(unknown)?;
            let key = view.get(&API_KEYS, &id)?.ok_or_else(unknown)?;
            if (key.kind == KeyKind::Kiosk) != (door == Door::Kiosk) {
                return Err(named("key_wrong_door", "This key is for another door."));
            }
            Ok((stands(view, caller, &key, now)?, id, view.get(&API_KEYS_USED, &id)?))
        })?;
        if touched.is_none_or(|at| now.since(at) > TOUCH_EVERY) {
            self.touch_key(id)?;
        }
        Ok(caller)
    }

    /// The caller behind what a client calls its token: a token, or an API key in its place.
    ///
    /// # Errors
    /// As [`Identity::recognise`] and [`Identity::recognise_key`].
    pub fn recognise_token_or_key(&self, caller: Caller, text: &str) -> Result<Caller, Fault> {
        if looks_like_key(text) {
            return self.recognise_key(caller, text, Door::Key);
        }
        self.recognise(caller, text, Door::Bearer)
    }

    /// How a caller with a key stands now, and until which moment at least; none when the key or its
    /// owner's account is over.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn key_stands(
        &self,
        caller: &Caller,
        id: Id,
        now: Moment,
    ) -> Result<Option<(Caller, Moment)>, Fault> {
        self.store.read(|view| {
            let Some(key) = view.get(&API_KEYS, &id)? else { return Ok(None) };
            let until = key.expires_at.unwrap_or(Moment(i64::MAX));
            match stands(view, caller.clone(), &key, now) {
                Ok(caller) => Ok(Some((caller, until))),
                Err(fault) if fault.kind == Kind::Unauthenticated => Ok(None),
                Err(fault) => Err(fault),
            }
        })
    }

    fn touch_key(&self, id: Id) -> Result<(), Fault> {
        self.store.write_freeing(move |tx| {
            // It may have been deleted meanwhile, and must not leave a row behind.
            if tx.has(&API_KEYS, &id)? {
                let now = tx.now();
                tx.put(&API_KEYS_USED, &id, &now)?;
            }
            Ok(())
        })
    }

    /// Counts a key that nobody has against the address that shows it.
    ///
    /// # Errors
    /// `too_many_attempts` when it has shown too many.
    pub(super) fn wrong_key(&self, caller: &Caller) -> Result<(), Fault> {
        self.desk.throttle.wrong_key(caller.address)
    }

    fn hash_key(&self, text: &str) -> Result<[u8; 32], Fault> {
        let word = secrets::mac(self.desk.api_key_key.as_slice(), text.as_bytes())?;
        let bytes = data_encoding::BASE64URL_NOPAD.decode(word.as_bytes());
        bytes
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| Fault::broken("hashing a key", "the MAC has another length"))
    }

    /// The scopes that the caller may give to a key.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub fn key_scopes(&self, caller: &Caller) -> Result<Vec<Scope>, Fault> {
        caller.signed_in()?;
        let words = WORDS.iter().map(|(name, _)| *name);
        let names = words.chain(Right::ALL.iter().map(|right| right.name()));
        let scopes =
            names.filter_map(|name| rights_of_scope(name).map(|rights| Scope { name, rights }));
        Ok(scopes.filter(|scope| caller.rights.covers(scope.rights)).collect())
    }

    /// Makes a key for the person who asks, or for a kiosk; its text is told this once.
    ///
    /// # Errors
    /// `session_required` for a key or a machine, what has to be done first, the fields at fault,
    /// `right_not_held`, `right_missing` for a kiosk's, `step_up_required` for rights that
    /// nobody holds without a password and for whoever signed in without one, `key_exists`, `keys_full`.
    pub fn add_key(&self, caller: &Caller, draft: &KeyDraft) -> Result<Issued, Fault> {
        let user = caller.in_person()?;
        caller.not_held()?;
        let now = self.clock.now();
        let mut fields = Vec::new();
        check_name("name", &draft.name, &mut fields);
        let days = draft.days.unwrap_or(LIFE_DAYS);
        if !(1..=LIFE_DAYS_MAX).contains(&days) {
            let message = format!("'expires_in_days' lies between 1 and {LIFE_DAYS_MAX}.");
            fields.push(wrong("expires_in_days", "value_error", message));
        }
        let scopes = check_scopes(draft, &mut fields);
        if !fields.is_empty() {
            return Err(Fault::fields(fields));
        }
        let ends = now.plus(Duration::from_hours(24 * u64::from(days)));
        if draft.kiosk {
            caller.require(Right::ManageAttendance)?;
            let (mint, name) = (self.mint()?, draft.name.trim().to_owned());
            let who = caller.clone();
            return self.store.write(move |tx| {
                let kiosk = tx.new_id();
                lay_kiosk_key(tx, &who, kiosk, &name, Some(ends), mint)
            });
        }
        let rights = scopes.iter().filter_map(|scope| rights_of_scope(scope));
        let rights = rights.fold(Rights::NONE, Rights::either);
        roles::holds(caller, rights)?;
        // A key outlives the session it is made in: one that was taken over for a minute, or begun
        // without a password, must not last as a key.
        caller.fresh(now)?;
        let mint = self.mint()?;
        let (who, name) = (caller.clone(), draft.name.trim().to_owned());
        self.store.write(move |tx| {
            let held = keys_of(tx, user)?;
            if held.iter().any(|key| key.name == name) {
                return Err(exists(&name));
            }
            if held.len() >= KEYS_MAX {
                return Err(full(KEYS_MAX));
            }
            let key = Draft { kind: KeyKind::Person, owner: user, name, scopes, ends: Some(ends) };
            lay(tx, &who, key, mint)
        })
    }

    /// A new key's text and what is kept of it.
    fn mint(&self) -> Result<Mint, Fault> {
        let text = Zeroizing::new(format!("{PREFIX}{}", secrets::random_word()?));
        Ok(Mint { hash: self.hash_key(&text)?, text })
    }

    /// Makes a key for a kiosk and shows its text; for whoever keeps the kiosks. It lives until it is
    /// deleted.
    ///
    /// # Errors
    /// `right_missing`, `key_exists` when another kiosk's key has that name, `keys_full`.
    pub fn issue_kiosk_key(&self, caller: &Caller, kiosk: Id, name: &str) -> Result<Issued, Fault> {
        let mint = self.mint_kiosk_key(caller)?;
        let (who, name) = (caller.clone(), name.to_owned());
        self.store.write(move |tx| lay_kiosk_key(tx, &who, kiosk, &name, None, mint))
    }

    /// The text of a kiosk's key to be, for [`lay_kiosk_key`] in a write of another domain: a kiosk and
    /// its key are made in one act.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn mint_kiosk_key(&self, caller: &Caller) -> Result<Mint, Fault> {
        caller.require(Right::ManageAttendance)?;
        self.mint()
    }

    /// The caller's own keys and, for who keeps the kiosks, theirs; with `everybodys` those of all.
    ///
    /// # Errors
    /// `unauthenticated`; `right_missing` for everybody's.
    pub fn list_keys(&self, caller: &Caller, everybodys: bool) -> Result<Vec<KeyListed>, Fault> {
        caller.signed_in()?;
        if everybodys {
            caller.require(Right::ManageRights)?;
        }
        let own = match caller.who {
            Who::User { id, .. } => Some(id),
            _ => None,
        };
        let kiosks = caller.require(Right::ManageAttendance).is_ok();
        self.store.read(|view| {
            let mut found = Vec::new();
            view.each(&API_KEYS, &all(), |id, key| {
                let of_kiosk = key.kind == KeyKind::Kiosk;
                let shown = everybodys || own == Some(key.owner) || kiosks && of_kiosk;
                if shown {
                    let user = view.get(&USERS, &key.owner)?.filter(|_| !of_kiosk);
                    let owner = user.map_or_else(|| key.name.clone(), |user| user.username);
                    let last_used = view.get(&API_KEYS_USED, &id)?;
                    found.push(KeyListed { key, owner, last_used });
                }
                Ok(ControlFlow::Continue(()))
            })?;
            found.sort_by(|a, b| {
                (a.key.created_at, &a.key.name).cmp(&(b.key.created_at, &b.key.name))
            });
            Ok(found)
        })
    }

    /// Deletes a key: one's own, a kiosk's for who keeps the kiosks, anybody's for who administers.
    /// It is refused from the next request on.
    ///
    /// # Errors
    /// `session_required` for a key; `not_found` for one that is not there or not the caller's.
    pub fn delete_key(&self, caller: &Caller, id: Id) -> Result<(), Fault> {
        if !matches!(caller.who, Who::Console | Who::Task(_)) {
            caller.in_person()?;
        }
        let who = caller.clone();
        self.store.write_freeing(move |tx| {
            let none = || Fault::not_found("API key");
            let key = tx.get(&API_KEYS, &id)?.ok_or_else(none)?;
            let own = matches!(who.who, Who::User { id, .. } if id == key.owner);
            let keeps = key.kind == KeyKind::Kiosk && who.require(Right::ManageAttendance).is_ok();
            if !own && !keeps && who.require(Right::ManageRights).is_err() {
                return Err(none());
            }
            if !own
                && !keeps
                && let Some(owner) = tx.get(&USERS, &key.owner)?
            {
                users::outranks(tx, &who, &owner, tx.now())?;
            }
            remove(tx, &who, &key)
        })
    }
}

/// A new key's text, and the hash that is kept of it.
pub struct Mint {
    text: Zeroizing<String>,
    hash: [u8; 32],
}

/// What a key is made of beside its text.
struct Draft {
    kind: KeyKind,
    owner: Id,
    name: String,
    scopes: Vec<String>,
    ends: Option<Moment>,
}

/// The caller a key stands for at `now`.
///
/// # Errors
/// `key_expired`, `key_owner_closed`.
fn stands(
    reader: &impl Reader,
    caller: Caller,
    key: &ApiKey,
    now: Moment,
) -> Result<Caller, Fault> {
    if key.expires_at.is_some_and(|end| end <= now) {
        return Err(named("key_expired", "The API key has expired; make another."));
    }
    if key.kind == KeyKind::Kiosk {
        return Ok(kiosk(caller, key));
    }
    let owner = reader.get(&USERS, &key.owner)?.filter(User::is_active);
    let user =
        owner.ok_or_else(|| named("key_owner_closed", "The account of this key is closed."))?;
    let (rights, needs_factor) = roles::rights_of(reader, &user, now)?;
    let hold = hold_when(reader, &user, Way::Password, needs_factor)?;
    Ok(person(caller, key, user, rights, hold))
}

fn kiosk(caller: Caller, key: &ApiKey) -> Caller {
    Caller {
        rights: OF_KIOSKS,
        door: Door::Kiosk,
        key: Some(key.id),
        who: Who::Machine { id: key.owner, name: key.name.clone() },
        ..caller
    }
}

fn person(caller: Caller, key: &ApiKey, user: User, rights: Rights, hold: Option<Hold>) -> Caller {
    Caller {
        rights: rights.both(rights_of_key(key)),
        role: user.role,
        door: Door::Key,
        key: Some(key.id),
        hold,
        who: Who::User { id: user.id, name: user.username },
        ..caller
    }
}

/// The scopes of a draft, once each; what is wrong with them goes into `fields`.
fn check_scopes(draft: &KeyDraft, fields: &mut Vec<Field>) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    for (at, scope) in draft.scopes.iter().enumerate() {
        let known = rights_of_scope(scope);
        let message = match known {
            None => format!("There is no scope '{scope}'."),
            Some(rights) if draft.kiosk && !OF_KIOSKS.covers(rights) => {
                "A kiosk's key has the scope 'punch_for_others' and no other.".to_owned()
            }
            Some(_) => {
                if !scopes.contains(scope) {
                    scopes.push(scope.clone());
                }
                continue;
            }
        };
        let mut field = wrong("scopes", "enum", message);
        field.place.push(at.to_string());
        fields.push(field);
    }
    if draft.scopes.is_empty() && !draft.kiosk {
        fields.push(wrong("scopes", "missing", "A key needs at least one scope."));
    }
    scopes
}

/// Whether a text can be one of this box's keys, so that others cost no look into the store.
pub(super) fn looks_like_key(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|word| {
        word.len() == WORD_LENGTH
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}

/// Puts a kiosk's key in its place; `ends` is when it expires, none for never.
///
/// # Errors
/// `key_exists` when another kiosk's key has that name, `keys_full`.
pub fn lay_kiosk_key(
    tx: &mut Tx<'_>,
    caller: &Caller,
    kiosk: Id,
    name: &str,
    ends: Option<Moment>,
    mint: Mint,
) -> Result<Issued, Fault> {
    let mut count = 0;
    let mut taken = false;
    tx.each(&API_KEYS, &all(), |_, key| {
        count += usize::from(key.kind == KeyKind::Kiosk);
        taken |= key.kind == KeyKind::Kiosk && key.name == name;
        Ok(ControlFlow::Continue(()))
    })?;
    if taken {
        return Err(exists(name));
    }
    if count >= KIOSK_KEYS_MAX {
        return Err(full(KIOSK_KEYS_MAX));
    }
    let scopes = OF_KIOSKS.list().map(|right| right.name().to_owned()).collect();
    let name = name.to_owned();
    lay(tx, caller, Draft { kind: KeyKind::Kiosk, owner: kiosk, name, scopes, ends }, mint)
}

fn lay(tx: &mut Tx<'_>, caller: &Caller, draft: Draft, mint: Mint) -> Result<Issued, Fault> {
    let Mint { text, hash } = mint;
    let hint = text.get(text.len() - HINT_LENGTH..).unwrap_or_default().to_owned();
    let key = ApiKey {
        id: tx.new_id(),
        lineage: Lineage::born(tx.revision()),
        kind: draft.kind,
        owner: draft.owner,
        name: draft.name,
        hash,
        hint,
        scopes: draft.scopes,
        created_at: tx.now(),
        expires_at: draft.ends,
    };
    tx.put(&API_KEYS, &key.id, &key)?;
    tx.put(&API_KEYS_BY_HASH, &key.hash, &key.id)?;
    tx.put(&API_KEYS_OF, &(key.owner, key.id), &())?;
    tx.journal(caller, Deed::new("key.add", key.id).after(&Shown::of(&key)))?;
    Ok(Issued { key, text })
}

fn remove(tx: &mut Tx<'_>, caller: &Caller, key: &ApiKey) -> Result<(), Fault> {
    tx.remove(&API_KEYS, &key.id)?;
    tx.remove(&API_KEYS_BY_HASH, &key.hash)?;
    tx.remove(&API_KEYS_OF, &(key.owner, key.id))?;
    tx.remove(&API_KEYS_USED, &key.id)?;
    tx.journal(caller, Deed::new("key.delete", key.id).before(&Shown::of(key)))
}

/// The keys of a user, or of a kiosk.
fn keys_of(reader: &impl Reader, owner: Id) -> Result<Vec<ApiKey>, Fault> {
    let mut keys = Vec::new();
    for ((_, id), ()) in reader.list(&API_KEYS_OF, &under(&owner), usize::MAX)? {
        keys.extend(reader.get(&API_KEYS, &id)?);
    }
    Ok(keys)
}

/// Deletes every key of a user or a kiosk, or only counts them; the answer is how many.
///
/// # Errors
/// What the store says.
pub fn delete_keys_of(
    tx: &mut Tx<'_>,
    caller: &Caller,
    owner: Id,
    apply: bool,
) -> Result<usize, Fault> {
    let keys = keys_of(tx, owner)?;
    if apply {
        for key in &keys {
            remove(tx, caller, key)?;
        }
    }
    Ok(keys.len())
}

fn named(code: &'static str, message: &str) -> Fault {
    Fault::new(Kind::Unauthenticated, code, message)
}

fn unknown() -> Fault {
    Fault::new(Kind::Unauthenticated, "key_unknown", "This API key is not known.")
}

fn exists(name: &str) -> Fault {
    Fault::conflict("key_exists", format!("There is a key '{name}' already."))
}

fn full(most: usize) -> Fault {
    Fault::conflict("keys_full", format!("There are {most} keys already; delete one first."))
}

/// What journals show of a key: never its text or its hash.
#[derive(serde::Serialize)]
struct Shown<'k> {
    kind: KeyKind,
    name: &'k str,
    owner: Id,
    hint: &'k str,
    scopes: &'k [String],
    expires_at: Option<Moment>,
}

impl<'k> Shown<'k> {
    fn of(key: &'k ApiKey) -> Self {
        Self {
            kind: key.kind,
            name: &key.name,
            owner: key.owner,
            hint: &key.hint,
            scopes: &key.scopes,
            expires_at: key.expires_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_key_looks_like_one() {
        let key = format!("{PREFIX}{}", secrets::random_word().unwrap());
        assert!(looks_like_key(&key));
        for other in ["", PREFIX, &key[1..], &format!("{key}A"), &key.replace(PREFIX, "ilot-")] {
            assert!(!looks_like_key(other), "{other}");
        }
        assert!(!looks_like_key(&format!("{}é", &key[..key.len() - 2])));
    }
}
