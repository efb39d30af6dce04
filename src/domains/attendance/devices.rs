//! Phones that show passes.

use std::ops::ControlFlow;

use serde::Serialize;

use super::Attendance;
use super::records::{
    DEVICES, DEVICES_BY_FINGERPRINT, DEVICES_BY_NUMBER, DEVICES_OF, DEVICES_SEEN, Device,
    KIOSK_ACCESS, PINS,
};
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Field, Kind};
use crate::base::id::{Id, Lineage};
use crate::store::{Deed, Reader, Tx, all, under};

/// The longest fingerprint, characters.
const FINGERPRINT_MAX: usize = 255;
/// The longest name, characters.
const NAME_MAX: usize = 100;

/// A phone to be registered.
#[derive(Debug, Clone, Default)]
pub struct NewDevice {
    /// What tells it from others.
    pub fingerprint: String,
    /// What its owner calls it.
    pub name: String,
    /// What it attests of itself, as it was sent.
    pub attestation: Option<String>,
    /// Its public key (`SubjectPublicKeyInfo`, DER), or nothing.
    pub public_key: Vec<u8>,
}

/// Checks a phone that is to be registered.
///
/// # Errors
/// The fields at fault.
pub fn check(device: &NewDevice) -> Result<(), Fault> {
    let mut fields = Vec::new();
    for (name, text, most) in [
        ("device_fingerprint", &device.fingerprint, FINGERPRINT_MAX),
        ("device_name", &device.name, NAME_MAX),
    ] {
        let length = text.trim().chars().count();
        if length == 0 || length > most {
            fields.push(Field {
                place: vec!["body".into(), name.into()],
                wrong: "value_error",
                message: format!("1 to {most} characters."),
            });
        }
    }
    if fields.is_empty() { Ok(()) } else { Err(Fault::fields(fields)) }
}

#[derive(Serialize)]
struct Shown<'d> {
    device: u64,
    name: &'d str,
    fingerprint: &'d str,
}

/// Writes a phone down for a person.
///
/// # Errors
/// `device_exists`, `devices_full`.
pub fn lay(
    tx: &mut Tx<'_>,
    caller: &Caller,
    user: Id,
    device: NewDevice,
    most: usize,
) -> Result<Device, Fault> {
    let fingerprint = device.fingerprint.trim().to_owned();
    if tx.has(&DEVICES_BY_FINGERPRINT, &fingerprint)? {
        let message = "This device is already registered.";
        return Err(Fault::conflict("device_exists", message));
    }
    let mut live = 0;
    for ((_, id), ()) in tx.list(&DEVICES_OF, &under(&user), usize::MAX)? {
        live += usize::from(tx.get(&DEVICES, &id)?.is_some_and(|d| d.revoked_at.is_none()));
    }
    if live >= most {
        let message = format!("A person may have {most} devices at a time; revoke one first.");
        return Err(Fault::conflict("devices_full", message));
    }
    let number = tx.last(&DEVICES_BY_NUMBER, &all())?.map_or(1, |(number, _)| number + 1);
    let made = Device {
        id: tx.new_id(),
        lineage: Lineage::born(tx.revision()),
        number,
        user,
        fingerprint,
        name: device.name.trim().to_owned(),
        attestation: device.attestation,
        public_key: device.public_key,
        registered_at: tx.now(),
        revoked_at: None,
    };
    tx.put(&DEVICES, &made.id, &made)?;
    tx.put(&DEVICES_BY_NUMBER, &number, &made.id)?;
    tx.put(&DEVICES_BY_FINGERPRINT, &made.fingerprint, &made.id)?;
    tx.put(&DEVICES_OF, &(user, made.id), &())?;
    let shown = Shown { device: number, name: &made.name, fingerprint: &made.fingerprint };
    tx.journal(caller, Deed::new("device.register", number).after(&shown))?;
    Ok(made)
}

/// A phone with when it was last seen and whose it is.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The device.
    pub device: Device,
    /// The user's integer.
    pub user: u64,
    /// When it was last seen.
    pub seen_at: Option<Moment>,
}

impl Attendance {
    /// Registers a phone of the caller.
    ///
    /// # Errors
    /// `right_missing`, the fields at fault, `device_exists`, `devices_full`.
    pub fn register_device(&self, caller: &Caller, device: NewDevice) -> Result<Seen, Fault> {
        let user = own(caller)?;
        check(&device)?;
        let (who, most) = (caller.clone(), self.settings.devices_per_person);
        let made = self.store.write(move |tx| lay(tx, &who, user, device, most))?;
        self.seen(made)
    }

    /// The caller's phones, the newest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn own_devices(&self, caller: &Caller, revoked: bool) -> Result<Vec<Seen>, Fault> {
        let user = own(caller)?;
        let devices = self.store.read(|view| {
            let ids = view.list(&DEVICES_OF, &under(&user), usize::MAX)?.into_iter();
            ids.filter_map(|((_, id), ())| view.get(&DEVICES, &id).transpose())
                .collect::<Result<Vec<_>, Fault>>()
        })?;
        let mut devices: Vec<_> =
            devices.into_iter().filter(|d| revoked || d.revoked_at.is_none()).collect();
        devices.sort_by_key(|device| std::cmp::Reverse(device.number));
        devices.into_iter().map(|device| self.seen(device)).collect()
    }

    /// Everybody's phones, the newest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn devices(
        &self,
        caller: &Caller,
        user: Option<u64>,
        revoked: Option<bool>,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<Seen>, Fault> {
        caller.require(Right::ManageAttendance)?;
        let user = match user {
            None => None,
            Some(number) => match self.desk.people.numbered(number)? {
                Some(person) => Some(person.id),
                None => return Ok(Vec::new()),
            },
        };
        let fits = |device: &Device| {
            user.is_none_or(|user| user == device.user)
                && revoked.is_none_or(|revoked| revoked == device.revoked_at.is_some())
        };
        let devices = self.store.read(|view| {
            let mut found = Vec::new();
            view.each_back(&DEVICES_BY_NUMBER, &all(), |_, id| {
                found.extend(view.get(&DEVICES, &id)?.filter(&fits));
                let full = found.len() >= offset.saturating_add(limit);
                Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            Ok(found)
        })?;
        devices.into_iter().skip(offset).take(limit).map(|device| self.seen(device)).collect()
    }

    /// Revokes a phone of the caller's.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `device_revoked_already`.
    pub fn revoke_own_device(&self, caller: &Caller, number: u64) -> Result<Seen, Fault> {
        let user = own(caller)?;
        let none = || not_found("Device not found or not owned by user");
        self.revoke(caller, number, Some(user), none)
    }

    /// Revokes anybody's phone.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `device_revoked_already`.
    pub fn revoke_device(&self, caller: &Caller, number: u64) -> Result<Seen, Fault> {
        caller.require(Right::ManageAttendance)?;
        self.revoke(caller, number, None, || not_found("Device not found"))
    }

    fn revoke(
        &self,
        caller: &Caller,
        number: u64,
        of: Option<Id>,
        none: fn() -> Fault,
    ) -> Result<Seen, Fault> {
        let who = caller.clone();
        let device = self.store.write(move |tx| {
            let id = tx.get(&DEVICES_BY_NUMBER, &number)?.ok_or_else(none)?;
            let device = tx.get(&DEVICES, &id)?;
            let device = device.filter(|d| of.is_none_or(|of| of == d.user)).ok_or_else(none)?;
            if device.revoked_at.is_some() {
                return Err(Fault::invalid("device_revoked_already", "Device is already revoked"));
            }
            take_back(tx, &who, device)
        })?;
        self.seen(device)
    }

    fn seen(&self, device: Device) -> Result<Seen, Fault> {
        let seen_at = self.store.read(|view| view.get(&DEVICES_SEEN, &device.id))?;
        let user = self.desk.people.person(device.user)?.map_or(0, |person| person.number);
        Ok(Seen { device, user, seen_at })
    }
}

/// Revokes a phone within a write.
pub(super) fn take_back(
    tx: &mut Tx<'_>,
    caller: &Caller,
    mut device: Device,
) -> Result<Device, Fault> {
    device.lineage = device.lineage.then(tx.revision());
    device.revoked_at = Some(tx.now());
    tx.put(&DEVICES, &device.id, &device)?;
    tx.remove(&DEVICES_BY_FINGERPRINT, &device.fingerprint)?;
    let shown =
        Shown { device: device.number, name: &device.name, fingerprint: &device.fingerprint };
    tx.journal(caller, Deed::new("device.revoke", device.number).before(&shown))?;
    Ok(device)
}

/// The person who has phones of its own.
fn own(caller: &Caller) -> Result<Id, Fault> {
    caller.require(Right::UseAttendance)?;
    match caller.who {
        Who::User { id, .. } => Ok(id),
        _ => Err(Fault::forbidden("right_missing", "Only people have devices.")),
    }
}

fn not_found(words: &'static str) -> Fault {
    Fault::new(Kind::NotFound, "not_found", words)
}

impl Attendance {
    /// Takes back what a person who leaves has here, within a write: phones, the personal code, places on
    /// kiosks' lists. With `apply` false it only counts.
    ///
    /// # Errors
    /// What the store says.
    pub fn forget_user(
        tx: &mut Tx<'_>,
        caller: &Caller,
        user: Id,
        apply: bool,
    ) -> Result<Vec<(&'static str, usize)>, Fault> {
        let mut devices = Vec::new();
        for ((_, id), ()) in tx.list(&DEVICES_OF, &under(&user), usize::MAX)? {
            devices.extend(tx.get(&DEVICES, &id)?.filter(|device| device.revoked_at.is_none()));
        }
        let mut places = Vec::new();
        tx.each(&KIOSK_ACCESS, &all(), |key, access| {
            if key.1 == user && access.granted {
                places.push(key);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let pins = usize::from(tx.has(&PINS, &user)?);
        let counts =
            vec![("devices", devices.len()), ("kiosk_grants", places.len()), ("kiosk_codes", pins)];
        if apply {
            for device in devices {
                take_back(tx, caller, device)?;
            }
            places.iter().try_for_each(|key| tx.remove(&KIOSK_ACCESS, key))?;
            tx.remove(&PINS, &user)?;
        }
        Ok(counts)
    }
}
