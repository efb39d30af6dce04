//! Further keys, each with a name, scopes and an end of its own: of a key only its hash is kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Scope, hash_of, new_key};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::paths::write_private;
use crate::domains::continuity::files::{Watched, under_lock, unwritten};
use crate::domains::continuity::place::Place;
use crate::engines::secrets;

/// The file's form.
const VERSION: u32 = 1;
/// Keys at most: each costs a comparison with every key that is shown.
const KEYS_MAX: usize = 64;
/// Characters of a name.
const NAME_MAX: usize = 64;
/// The longest life of a key, days.
const DAYS_MAX: u32 = 3650;
/// Digits of a hash.
const HASH_DIGITS: usize = 64;

/// A further key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopedKey {
    /// What it is called; no other has that name.
    pub name: String,
    /// What it may be used for; never empty.
    pub scopes: BTreeSet<Scope>,
    /// When it was made.
    pub made_at: Moment,
    /// When it ends; none for never.
    pub expires_at: Option<Moment>,
    /// SHA-256 of the key, hexadecimal.
    sha256: String,
}

/// A further key to be.
#[derive(Debug, Clone, Default)]
pub struct KeyDraft {
    /// What to call it: 1 to 64 letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Words of scopes: `status`, `crypto`, `tcp`; at least one.
    pub scopes: Vec<String>,
    /// How long it lives, 1 to 3650 days; none for ever.
    pub days: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct FileForm {
    version: u32,
    keys: Vec<KeyForm>,
}

#[derive(Serialize, Deserialize)]
struct KeyForm {
    name: String,
    sha256: String,
    scopes: Vec<String>,
    made_at: Moment,
    expires_at: Option<Moment>,
}

pub(super) struct ScopedKeys {
    place: Place,
    clock: Arc<dyn Clock>,
    file: Watched<Vec<ScopedKey>>,
}

impl ScopedKeys {
    pub(super) fn of(place: Place, clock: Arc<dyn Clock>) -> Self {
        let file = Watched::new(place.scoped_keys(), clock.clone(), read, damaged);
        Self { place, clock, file }
    }

    pub(super) fn list(&self) -> Result<Arc<Vec<ScopedKey>>, Fault> {
        self.file.get()
    }

    pub(super) fn add(&self, draft: KeyDraft) -> Result<(Zeroizing<String>, ScopedKey), Fault> {
        let scopes = checked(&draft)?;
        self.place.create().map_err(|e| unwritten("making Plan B's folder", e))?;
        under_lock(&self.place.scoped_keys(), || {
            let mut keys = (*self.list()?).clone();
            if keys.iter().any(|key| key.name == draft.name) {
                return Err(Fault::conflict(
                    "planb_key_name_taken",
                    "Another key of Plan B has that name.",
                ));
            }
            if keys.len() >= KEYS_MAX {
                return Err(Fault::conflict(
                    "planb_keys_full",
                    format!("Plan B has {KEYS_MAX} keys, which is the most; remove one first."),
                ));
            }
            let (text, made_at) = (new_key()?, self.clock.now());
            let life = draft.days.map(|days| Duration::from_hours(u64::from(days) * 24));
            let key = ScopedKey {
                name: draft.name,
                scopes,
                made_at,
                expires_at: life.map(|life| made_at.plus(life)),
                sha256: hash_of(&text),
            };
            keys.push(key.clone());
            self.write(&keys)?;
            Ok((text, key))
        })
    }

    pub(super) fn remove(&self, name: &str) -> Result<ScopedKey, Fault> {
        under_lock(&self.place.scoped_keys(), || {
            let mut keys = (*self.list()?).clone();
            let at = keys.iter().position(|key| key.name == name);
            let gone = at.map(|at| keys.remove(at)).ok_or_else(|| Fault::not_found("key"))?;
            self.write(&keys)?;
            Ok(gone)
        })
    }

    fn write(&self, keys: &[ScopedKey]) -> Result<(), Fault> {
        let words = |key: &ScopedKey| key.scopes.iter().map(|s| s.name().to_owned()).collect();
        let form = FileForm {
            version: VERSION,
            keys: keys
                .iter()
                .map(|key| KeyForm {
                    name: key.name.clone(),
                    sha256: key.sha256.clone(),
                    scopes: words(key),
                    made_at: key.made_at,
                    expires_at: key.expires_at,
                })
                .collect(),
        };
        let json = serde_json::to_vec_pretty(&form)
            .map_err(|e| Fault::broken("writing Plan B's further keys", e))?;
        write_private(&self.place.scoped_keys(), &json)
            .map_err(|e| unwritten("writing Plan B's further keys", e))
    }
}

/// The key of `keys` whose text is `shown`, unless it is over. Every key is compared, and each in a time
/// that does not tell where it differs.
pub(super) fn find(keys: &[ScopedKey], shown: &str, now: Moment) -> Option<ScopedKey> {
    let hash = hash_of(shown);
    let mut found = None;
    for key in keys {
        if secrets::same(&key.sha256, &hash) {
            found = Some(key);
        }
    }
    found.filter(|key| key.expires_at.is_none_or(|end| now < end)).cloned()
}

fn checked(draft: &KeyDraft) -> Result<BTreeSet<Scope>, Fault> {
    let length = draft.name.chars().count();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(1..=NAME_MAX).contains(&length) || !draft.name.chars().all(plain) {
        return Err(Fault::field(
            "name",
            "value_error",
            format!("A name has 1 to {NAME_MAX} letters, digits, '-', '_' or '.'."),
        ));
    }
    if draft.days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
        return Err(Fault::field(
            "days",
            "value_error",
            format!("A key lives 1 to {DAYS_MAX} days, or for ever when nothing is said."),
        ));
    }
    let wrong = |words: String| Fault::field("scopes", "value_error", words);
    let mut scopes = BTreeSet::new();
    for word in &draft.scopes {
        let scope = Scope::named(word).ok_or_else(|| {
            wrong(format!("'{word}' is no scope: there are 'status', 'crypto' and 'tcp'."))
        })?;
        scopes.insert(scope);
    }
    if scopes.is_empty() {
        return Err(wrong("At least one of 'status', 'crypto', 'tcp' is needed.".to_owned()));
    }
    Ok(scopes)
}

fn read(bytes: Option<&[u8]>) -> Option<Vec<ScopedKey>> {
    let Some(bytes) = bytes else { return Some(Vec::new()) };
    let form: FileForm = serde_json::from_slice(bytes).ok()?;
    if form.version != VERSION || form.keys.len() > KEYS_MAX {
        return None;
    }
    form.keys.into_iter().map(read_one).collect()
}

fn read_one(form: KeyForm) -> Option<ScopedKey> {
    let scopes: BTreeSet<Scope> =
        form.scopes.iter().map(|word| Scope::named(word)).collect::<Option<_>>()?;
    let hash = form.sha256.len() == HASH_DIGITS;
    (hash && !scopes.is_empty()).then_some(ScopedKey {
        name: form.name,
        scopes,
        made_at: form.made_at,
        expires_at: form.expires_at,
        sha256: form.sha256,
    })
}

fn damaged() -> Fault {
    Fault::unavailable(
        "planb_keys_damaged",
        "The file of Plan B's further keys (planb/keys.json) cannot be read.",
    )
}
