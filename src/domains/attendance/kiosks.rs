//! Kiosks: which there are, who may punch at them, their keys, and what they say of themselves.

use std::time::Duration;

use serde::Serialize;
use zeroize::Zeroizing;

use super::records::{
    Access, AccessMode, Direction, KIOSK_ACCESS, KIOSKS, KIOSKS_BY_MARK, KIOSKS_BY_NUMBER,
    KIOSKS_SEEN, Kiosk, KioskSeen, PAIRINGS, Pairing, Trust,
};
use super::{Attendance, kiosk_mark};
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Field, Kind};
use crate::base::id::{Id, Lineage};
use crate::engines::secrets;
use crate::store::{Deed, Reader, Tx, all, under};

/// The longest name, characters.
const NAME_MAX: usize = 100;
/// The longest place and fingerprint, characters.
const TEXT_MAX: usize = 255;
/// The longest address, characters.
const ADDRESS_MAX: usize = 45;
/// The longest version that a kiosk says, characters.
const VERSION_MAX: usize = 50;
/// The longest public key, characters.
const KEY_MAX: usize = 8 * 1024;
/// What pairing codes are made of: nothing that is read as something else.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Letters of a pairing code: 40 bits, good for minutes and once.
const CODE: usize = 8;

/// A kiosk to be.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub location: String,
    /// What tells it from others; drawn when there is none.
    pub fingerprint: Option<String>,
    /// Its address, where it is fixed.
    pub address: Option<String>,
    /// Its public key.
    pub public_key: Option<String>,
    /// What a punch says when its request does not.
    pub direction: Direction,
}

/// What to change of a kiosk; none leaves as it is, an empty address takes it away.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// Its name.
    pub name: Option<String>,
    /// Where it is.
    pub location: Option<String>,
    /// Its address.
    pub address: Option<String>,
    /// Whether it takes punches.
    pub active: Option<bool>,
    /// What a punch says when its request does not.
    pub direction: Option<Direction>,
    /// By what it is known besides its key.
    pub trust: Option<Trust>,
    /// Whether personal codes are taken.
    pub pins: Option<bool>,
}

/// What a kiosk says of itself.
#[derive(Debug, Clone, Default)]
pub struct Word {
    /// The version of its program.
    pub app_version: String,
    /// What it runs on.
    pub device_info: Option<String>,
    /// Its clock.
    pub clock: Option<Moment>,
    /// How many punches it keeps.
    pub waiting: u32,
}

/// A kiosk with what it last said.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The kiosk.
    pub kiosk: Kiosk,
    /// What it last said.
    pub seen: Option<KioskSeen>,
    /// Whether that was a moment ago.
    pub online: bool,
    /// How long ago it was.
    pub silent: Option<Duration>,
}

/// Who may punch at a kiosk, and who may not.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The user's name of record.
    pub user: Id,
    /// The user's integer.
    pub number: u64,
    /// Its address, or its name to sign in with.
    pub email: String,
    /// The row.
    pub access: Access,
    /// Who decided it, by integer.
    pub by: Option<u64>,
}

/// A key that was just made for a kiosk.
#[derive(Debug, Clone)]
pub struct Keyed {
    /// The kiosk.
    pub kiosk: Kiosk,
    /// The key's text, told this once.
    pub key: Zeroizing<String>,
}

/// What journals show of a kiosk.
#[derive(Serialize)]
struct Shown<'k> {
    name: &'k str,
    location: &'k str,
    address: Option<&'k str>,
    active: bool,
    access: AccessMode,
    direction: Direction,
    trust: Trust,
    pins: bool,
}

impl<'k> Shown<'k> {
    fn of(kiosk: &'k Kiosk) -> Self {
        Self {
            name: &kiosk.name,
            location: &kiosk.location,
            address: kiosk.address.as_deref(),
            active: kiosk.active,
            access: kiosk.access,
            direction: kiosk.direction,
            trust: kiosk.trust,
            pins: kiosk.pins,
        }
    }
}

impl Attendance {
    /// The kiosks, the newest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn kiosks(&self, caller: &Caller, active: Option<bool>) -> Result<Vec<Kiosk>, Fault> {
        view(caller)?;
        let kiosks = self.store.read(|view| view.list(&KIOSKS, &all(), usize::MAX))?;
        let mut kiosks: Vec<_> = kiosks.into_iter().map(|(_, kiosk)| kiosk).collect();
        kiosks.retain(|kiosk| active.is_none_or(|active| active == kiosk.active));
        kiosks.sort_by_key(|kiosk| std::cmp::Reverse(kiosk.number));
        Ok(kiosks)
    }

    /// When a kiosk last said something.
    ///
    /// # Errors
    /// What the store says.
    pub fn kiosk_seen(&self, kiosk: Id) -> Result<Option<KioskSeen>, Fault> {
        self.store.read(|view| view.get(&KIOSKS_SEEN, &kiosk))
    }

    /// The kiosk at an address, for whoever asks from there and for who keeps the kiosks.
    ///
    /// # Errors
    /// `kiosk_unknown`, `kiosk_inactive`.
    pub fn kiosk_at(&self, caller: &Caller, address: &str) -> Result<Kiosk, Fault> {
        let own = caller.address.is_some_and(|own| own.to_string() == address);
        let found = self.store.read(|view| by_mark(view, &kiosk_mark("address", address)))?;
        let found = found.filter(|_| own || caller.require(Right::ManageAttendance).is_ok());
        let kiosk = found.ok_or_else(|| {
            let message = format!("No kiosk found for IP address: {address}");
            Fault::new(Kind::NotFound, "kiosk_unknown", message)
        })?;
        if kiosk.active { Ok(kiosk) } else { Err(inactive()) }
    }

    /// Makes a kiosk.
    ///
    /// # Errors
    /// `right_missing`, the fields at fault, `kiosk_exists`.
    pub fn add_kiosk(&self, caller: &Caller, draft: Draft) -> Result<Kiosk, Fault> {
        caller.require(Right::ManageAttendance)?;
        check(&draft)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let number = tx.last(&KIOSKS_BY_NUMBER, &all())?.map_or(1, |(number, _)| number + 1);
            let drawn = || format!("kiosk-{}", Id::random());
            let kiosk = Kiosk {
                id: tx.new_id(),
                lineage: Lineage::born(tx.revision()),
                number,
                name: draft.name.trim().to_owned(),
                location: draft.location.trim().to_owned(),
                fingerprint: draft.fingerprint.unwrap_or_else(drawn),
                address: draft.address.map(|a| a.trim().to_owned()).filter(|a| !a.is_empty()),
                public_key: draft.public_key,
                active: true,
                access: AccessMode::Public,
                direction: draft.direction,
                trust: Trust::Key,
                pins: false,
                created_at: tx.now(),
            };
            put(tx, None, &kiosk)?;
            tx.put(&KIOSKS_BY_NUMBER, &number, &kiosk.id)?;
            tx.journal(&who, Deed::new("kiosk.add", number).after(&Shown::of(&kiosk)))?;
            Ok(kiosk)
        })
    }

    /// Changes a kiosk.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, the fields at fault, `kiosk_exists`.
    pub fn edit_kiosk(&self, caller: &Caller, number: u64, edit: Edit) -> Result<Kiosk, Fault> {
        caller.require(Right::ManageAttendance)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let old = by_number(tx, number)?;
            let mut kiosk = old.clone();
            if let Some(name) = edit.name {
                name.trim().clone_into(&mut kiosk.name);
            }
            if let Some(location) = edit.location {
                location.trim().clone_into(&mut kiosk.location);
            }
            if let Some(address) = edit.address {
                kiosk.address = Some(address.trim().to_owned()).filter(|a| !a.is_empty());
            }
            kiosk.active = edit.active.unwrap_or(kiosk.active);
            kiosk.direction = edit.direction.unwrap_or(kiosk.direction);
            kiosk.trust = edit.trust.unwrap_or(kiosk.trust);
            kiosk.pins = edit.pins.unwrap_or(kiosk.pins);
            check(&Draft {
                name: kiosk.name.clone(),
                location: kiosk.location.clone(),
                address: kiosk.address.clone(),
                ..Draft::default()
            })?;
            changed(tx, &who, "kiosk.edit", &old, kiosk)
        })
    }

    /// Deletes a kiosk with its keys and its lists; the punches that were made at it stay.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn delete_kiosk(&self, caller: &Caller, number: u64) -> Result<(), Fault> {
        caller.require(Right::ManageAttendance)?;
        let (who, keys) = (caller.clone(), self.desk.kiosk_keys.clone());
        self.store.write(move |tx| {
            let kiosk = by_number(tx, number)?;
            keys.take_back(tx, &who, kiosk.id)?;
            for mark in marks(&kiosk) {
                tx.remove(&KIOSKS_BY_MARK, &mark)?;
            }
            tx.remove_span(&KIOSK_ACCESS, &under(&kiosk.id))?;
            tx.remove(&KIOSKS_BY_NUMBER, &number)?;
            tx.remove(&KIOSKS_SEEN, &kiosk.id)?;
            tx.remove(&KIOSKS, &kiosk.id)?;
            forget_pairings(tx, kiosk.id)?;
            tx.journal(&who, Deed::new("kiosk.delete", number).before(&Shown::of(&kiosk)))
        })
    }

    /// Makes a key for a kiosk in the place of the one before, and tells it once.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `not_found`.
    pub fn key_kiosk(&self, caller: &Caller, number: u64) -> Result<Keyed, Fault> {
        caller.require(Right::ManageAttendance)?;
        caller.fresh(self.now())?;
        let lay = self.desk.kiosk_keys.make(caller)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let kiosk = by_number(tx, number)?;
            let key = Zeroizing::new(lay(tx, &who, kiosk.id, &kiosk.name)?);
            tx.journal(&who, Deed::new("kiosk.key", number))?;
            Ok(Keyed { kiosk, key })
        })
    }

    /// Makes a code with which a kiosk's page fetches its key once; an earlier code is good no more.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `not_found`.
    pub fn pair_kiosk(&self, caller: &Caller, number: u64) -> Result<(String, Moment), Fault> {
        caller.require(Right::ManageAttendance)?;
        caller.fresh(self.now())?;
        let drawn = secrets::random::<CODE>()?;
        let code: String = drawn
            .iter()
            .filter_map(|byte| LETTERS.get(usize::from(byte % 32)).copied().map(char::from))
            .collect();
        let mac = self.pairing_mac(&code)?;
        let (who, good) = (caller.clone(), Duration::from_mins(self.settings.pairing_minutes));
        let until = self.store.write(move |tx| {
            let kiosk = by_number(tx, number)?;
            forget_pairings(tx, kiosk.id)?;
            let pairing = Pairing { kiosk: kiosk.id, expires_at: tx.now().plus(good) };
            tx.put(&PAIRINGS, &mac, &pairing)?;
            tx.journal(&who, Deed::new("kiosk.pair", number))?;
            Ok(pairing.expires_at)
        })?;
        Ok((code, until))
    }

    /// Takes a pairing code, once, and answers the kiosk's new key.
    ///
    /// # Errors
    /// `pairing_unknown` for a code that is wrong, used or late; `too_many_attempts`.
    pub fn pair(&self, caller: &Caller, code: &str) -> Result<Keyed, Fault> {
        let place = match caller.address {
            Some(address) => format!("pairing {address}"),
            None => "pairing".to_owned(),
        };
        self.desk.slow.enter(&place)?;
        let mac = self.pairing_mac(&code.trim().to_uppercase())?;
        // Whoever holds the code stands for the person who made it.
        let lay = self.desk.kiosk_keys.make(&Caller::task("pairing"))?;
        let who = caller.clone();
        let paired = self.store.write(move |tx| {
            let now = tx.now();
            let Some(pairing) = tx.get(&PAIRINGS, &mac)?.filter(|p| now < p.expires_at) else {
                return Ok(None);
            };
            let Some(kiosk) = tx.get(&KIOSKS, &pairing.kiosk)? else { return Ok(None) };
            tx.remove(&PAIRINGS, &mac)?;
            let key = Zeroizing::new(lay(tx, &who, kiosk.id, &kiosk.name)?);
            tx.journal(&who, Deed::new("kiosk.paired", kiosk.number))?;
            Ok(Some(Keyed { kiosk, key }))
        })?;
        let Some(keyed) = paired else {
            if self.desk.slow.wrong(&place) {
                let who = caller.clone();
                let deed = Deed::new("kiosk.pair_refuse", place);
                self.store.write(move |tx| tx.journal(&who, deed))?;
            }
            let message = "This pairing code is not known, was used or is too old.";
            return Err(Fault::new(Kind::NotFound, "pairing_unknown", message));
        };
        self.desk.slow.right(&place);
        Ok(keyed)
    }

    /// Hears what a kiosk says of itself.
    ///
    /// # Errors
    /// `unauthenticated` without a kiosk's key, `kiosk_unknown`, `kiosk_inactive`, the fields at fault.
    pub fn heartbeat(&self, caller: &Caller, word: Word) -> Result<Standing, Fault> {
        let kiosk = self.own_kiosk(caller)?;
        let long = |text: &str, most| text.chars().count() > most;
        let info = word.device_info.filter(|info| !info.trim().is_empty());
        if word.app_version.trim().is_empty() || long(&word.app_version, VERSION_MAX) {
            let message = format!("1 to {VERSION_MAX} characters.");
            return Err(Fault::field("app_version", "value_error", message));
        }
        if info.as_deref().is_some_and(|info| long(info, TEXT_MAX)) {
            let message = format!("At most {TEXT_MAX} characters.");
            return Err(Fault::field("device_info", "value_error", message));
        }
        let seen = KioskSeen {
            at: self.now(),
            app_version: word.app_version,
            device_info: info,
            address: caller.address.map(|address| address.to_string()),
            clock_ahead_ms: word.clock.map(|clock| clock.0.saturating_sub(self.now().0)),
            waiting: word.waiting,
        };
        let id = kiosk.id;
        let kept = seen.clone();
        self.store.write(move |tx| tx.put(&KIOSKS_SEEN, &id, &kept))?;
        Ok(self.standing(kiosk, Some(seen)))
    }

    /// What the caller's kiosk last said.
    ///
    /// # Errors
    /// As [`Attendance::heartbeat`].
    pub fn kiosk_status(&self, caller: &Caller) -> Result<Standing, Fault> {
        let kiosk = self.own_kiosk(caller)?;
        let seen = self.kiosk_seen(kiosk.id)?;
        Ok(self.standing(kiosk, seen))
    }

    /// What every kiosk last said, by name.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn kiosks_status(&self, caller: &Caller) -> Result<Vec<Standing>, Fault> {
        let mut all = Vec::new();
        for kiosk in self.kiosks(caller, None)? {
            let seen = self.kiosk_seen(kiosk.id)?;
            all.push(self.standing(kiosk, seen));
        }
        all.sort_by_cached_key(|standing| standing.kiosk.name.to_lowercase());
        Ok(all)
    }

    /// A kiosk and who is on its lists.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn kiosk_access(
        &self,
        caller: &Caller,
        number: u64,
    ) -> Result<(Kiosk, Vec<Listed>), Fault> {
        caller.require(Right::ManageAttendance)?;
        let (kiosk, rows) = self.store.read(|view| {
            let kiosk = by_number(view, number)?;
            let rows = view.list(&KIOSK_ACCESS, &under(&kiosk.id), usize::MAX)?;
            Ok((kiosk, rows))
        })?;
        let mut listed = Vec::with_capacity(rows.len());
        for ((_, user), access) in rows {
            let Some(person) = self.desk.people.person(user)? else { continue };
            let by = access.by.map(|by| self.desk.people.person(by)).transpose()?.flatten();
            let email = if person.email.is_empty() { person.username } else { person.email };
            let by = by.map(|by| by.number);
            listed.push(Listed { user, number: person.number, email, access, by });
        }
        Ok((kiosk, listed))
    }

    /// Says whose kiosk it is: everybody's, of those on the list, of everybody but those on it.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn set_access_mode(
        &self,
        caller: &Caller,
        number: u64,
        mode: AccessMode,
    ) -> Result<Kiosk, Fault> {
        caller.require(Right::ManageAttendance)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let old = by_number(tx, number)?;
            let kiosk = Kiosk { access: mode, ..old.clone() };
            changed(tx, &who, "kiosk.access", &old, kiosk)
        })
    }

    /// Lets somebody in at a kiosk, or keeps somebody out.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn set_access(
        &self,
        caller: &Caller,
        number: u64,
        user: u64,
        granted: bool,
        expires_at: Option<Moment>,
    ) -> Result<(Kiosk, Access), Fault> {
        caller.require(Right::ManageAttendance)?;
        let person = self.person_numbered(user)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let kiosk = by_number(tx, number)?;
            let by = match who.who {
                Who::User { id, .. } => Some(id),
                _ => None,
            };
            let access = Access { granted, by, at: tx.now(), expires_at };
            tx.put(&KIOSK_ACCESS, &(kiosk.id, person.id), &access)?;
            let shown = Allowed { user_id: user, granted, expires_at };
            tx.journal(&who, Deed::new("kiosk.access", number).after(&shown))?;
            Ok((kiosk, access))
        })
    }

    /// Takes somebody off a kiosk's lists; nothing happens when it is on none.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn clear_access(&self, caller: &Caller, number: u64, user: u64) -> Result<(), Fault> {
        caller.require(Right::ManageAttendance)?;
        let person = self.person_numbered(user)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let kiosk = by_number(tx, number)?;
            if let Some(old) = tx.get(&KIOSK_ACCESS, &(kiosk.id, person.id))? {
                tx.remove(&KIOSK_ACCESS, &(kiosk.id, person.id))?;
                let shown =
                    Allowed { user_id: user, granted: old.granted, expires_at: old.expires_at };
                tx.journal(&who, Deed::new("kiosk.access", number).before(&shown))?;
            }
            Ok(())
        })
    }

    /// The kiosk whose key the caller shows.
    fn own_kiosk(&self, caller: &Caller) -> Result<Kiosk, Fault> {
        caller.require(Right::PunchForOthers)?;
        self.kiosk_of(caller, None)
    }

    fn standing(&self, kiosk: Kiosk, seen: Option<KioskSeen>) -> Standing {
        let silent = seen.as_ref().map(|seen| self.now().since(seen.at));
        let within = Duration::from_secs(self.settings.online_seconds);
        let online = silent.is_some_and(|silent| silent < within);
        Standing { kiosk, seen, online, silent }
    }

    fn pairing_mac(&self, code: &str) -> Result<String, Fault> {
        secrets::mac(self.desk.code_key.as_ref(), format!("pairing {code}").as_bytes())
    }
}

/// What journals show of a row of a kiosk's lists.
#[derive(Serialize)]
struct Allowed {
    user_id: u64,
    granted: bool,
    expires_at: Option<Moment>,
}

/// Whoever keeps the kiosks, or sees attendance.
fn view(caller: &Caller) -> Result<(), Fault> {
    caller
        .require(Right::ViewAttendance)
        .or_else(|fault| caller.require(Right::ManageAttendance).map_err(|_| fault))
}

fn check(draft: &Draft) -> Result<(), Fault> {
    let mut fields = Vec::new();
    let mut look = |name: &str, text: &str, least: usize, most: usize| {
        let length = text.trim().chars().count();
        if length < least || length > most {
            fields.push(Field {
                place: vec!["body".into(), name.into()],
                wrong: "value_error",
                message: format!("{least} to {most} characters."),
            });
        }
    };
    look("kiosk_name", &draft.name, 1, NAME_MAX);
    look("location", &draft.location, 0, TEXT_MAX);
    look("device_fingerprint", draft.fingerprint.as_deref().unwrap_or("x"), 1, TEXT_MAX);
    look("ip_address", draft.address.as_deref().unwrap_or_default(), 0, ADDRESS_MAX);
    look("public_key", draft.public_key.as_deref().unwrap_or_default(), 0, KEY_MAX);
    if fields.is_empty() { Ok(()) } else { Err(Fault::fields(fields)) }
}

/// What no other kiosk may share with this one.
fn marks(kiosk: &Kiosk) -> Vec<String> {
    let mut marks =
        vec![kiosk_mark("name", &kiosk.name), kiosk_mark("fingerprint", &kiosk.fingerprint)];
    marks.extend(kiosk.address.as_ref().map(|address| kiosk_mark("address", address)));
    marks
}

/// Writes a kiosk with its marks, in the place of what it was.
fn put(tx: &mut Tx<'_>, old: Option<&Kiosk>, kiosk: &Kiosk) -> Result<(), Fault> {
    for mark in old.map(marks).unwrap_or_default() {
        tx.remove(&KIOSKS_BY_MARK, &mark)?;
    }
    for mark in marks(kiosk) {
        if tx.has(&KIOSKS_BY_MARK, &mark)? {
            let (what, which) = mark.split_once(':').unwrap_or(("name", &mark));
            let message = format!("There is a kiosk with the {what} '{which}' already.");
            return Err(Fault::conflict("kiosk_exists", message));
        }
        tx.put(&KIOSKS_BY_MARK, &mark, &kiosk.id)?;
    }
    tx.put(&KIOSKS, &kiosk.id, kiosk)
}

fn changed(
    tx: &mut Tx<'_>,
    caller: &Caller,
    deed: &'static str,
    old: &Kiosk,
    mut kiosk: Kiosk,
) -> Result<Kiosk, Fault> {
    if *old == kiosk {
        return Ok(kiosk);
    }
    kiosk.lineage = old.lineage.then(tx.revision());
    put(tx, Some(old), &kiosk)?;
    let deed = Deed::new(deed, kiosk.number).before(&Shown::of(old)).after(&Shown::of(&kiosk));
    tx.journal(caller, deed)?;
    Ok(kiosk)
}

fn forget_pairings(tx: &mut Tx<'_>, kiosk: Id) -> Result<(), Fault> {
    let now = tx.now();
    for (mac, pairing) in tx.list(&PAIRINGS, &all(), usize::MAX)? {
        if pairing.kiosk == kiosk || pairing.expires_at <= now {
            tx.remove(&PAIRINGS, &mac)?;
        }
    }
    Ok(())
}

fn by_mark(reader: &impl Reader, mark: &String) -> Result<Option<Kiosk>, Fault> {
    let Some(id) = reader.get(&KIOSKS_BY_MARK, mark)? else { return Ok(None) };
    reader.get(&KIOSKS, &id)
}

fn by_number(reader: &impl Reader, number: u64) -> Result<Kiosk, Fault> {
    let none = || Fault::not_found("kiosk");
    let id = reader.get(&KIOSKS_BY_NUMBER, &number)?.ok_or_else(none)?;
    reader.get(&KIOSKS, &id)?.ok_or_else(none)
}

fn inactive() -> Fault {
    Fault::forbidden("kiosk_inactive", "Kiosk is not active")
}
