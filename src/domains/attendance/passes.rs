//! Passes: what a phone shows at a kiosk, for seconds and once (attendance-chrona.md §2.5, RFC 7519).

use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Attendance;
use super::records::{DEVICES, DEVICES_BY_NUMBER, DEVICES_SEEN, Device, PASSES, Pass};
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind as Sort};
use crate::base::id::Id;
use crate::store::{Reader, all};

/// What a pass says it is; a token of another kind is never taken for one.
pub(super) const KIND: &str = "ephemeral_qr";
/// For whom it is meant: the kiosks, and nobody who lets people sign in.
pub(super) const AUDIENCE: &str = "ilot-kiosk";
/// How long a pass is remembered after its end, so that whoever shows it again is told what happened.
const REMEMBERED: Duration = Duration::from_hours(24);
/// How often the last sight of a device is written down.
const SEEN_EVERY: Duration = Duration::from_mins(1);

/// What a pass claims.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    /// Who signed: this site.
    pub(super) iss: String,
    /// For whom.
    pub(super) aud: String,
    /// The user's integer, as text.
    pub(super) sub: String,
    /// The device's integer.
    pub(super) device_id: u64,
    /// A second random value.
    pub(super) nonce: Id,
    /// Its own name.
    pub(super) jti: Id,
    /// Issued at, seconds since 1970.
    pub(super) iat: i64,
    /// Good until, seconds since 1970, for whoever has no better clock than the wall.
    pub(super) exp: i64,
    /// What it is.
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// A pass that was just issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// What the phone shows.
    pub token: String,
    /// How long it lives.
    pub life: Duration,
    /// When it ends, by the wall.
    pub expires_at: Moment,
}

impl Attendance {
    /// Hands a pass to a device of the caller.
    ///
    /// # Errors
    /// `right_missing`, `not_found` for a device that is not the caller's, `device_revoked`.
    pub fn issue_pass(&self, caller: &Caller, device: u64) -> Result<Issued, Fault> {
        caller.require(Right::UseAttendance)?;
        let Who::User { id: user, .. } = caller.who else {
            return Err(Fault::forbidden("right_missing", "Only people have passes."));
        };
        let (device, seen) = self.store.read(|view| {
            let device = own_device(view, user, device)?;
            let seen = view.get(&DEVICES_SEEN, &device.id)?;
            Ok((device, seen))
        })?;
        let person = self.desk.people.person(user)?.ok_or_else(|| Fault::not_found("user"))?;
        let life = Duration::from_secs(self.settings.pass_seconds);
        let (now, since) = (self.clock.now(), self.clock.since_boot());
        let (jti, nonce) = (Id::random(), Id::random());
        let seconds = now.0.div_euclid(1000);
        let claims = Claims {
            iss: self.store.site().to_string(),
            aud: AUDIENCE.into(),
            sub: person.number.to_string(),
            device_id: device.number,
            nonce,
            jti,
            iat: seconds,
            exp: seconds.saturating_add_unsigned(self.settings.pass_seconds),
            kind: KIND.into(),
        };
        let token = self.desk.pass_key.sign(&claims)?;
        let pass = Pass {
            user,
            device: device.id,
            nonce,
            issued_at: now,
            boot: self.clock.boot(),
            boot_ms: millis(since),
            life_ms: millis(life),
            taken: None,
        };
        let look = seen.is_none_or(|seen| now.since(seen) >= SEEN_EVERY || now < seen);
        self.store.write(move |tx| {
            if look {
                tx.put(&DEVICES_SEEN, &device.id, &now)?;
            }
            tx.put(&PASSES, &jti, &pass)
        })?;
        Ok(Issued { token, life, expires_at: now.plus(life) })
    }

    /// Throws away the passes that nobody can show any more.
    ///
    /// # Errors
    /// What the store says.
    pub fn prune_passes(&self) -> Result<(), Fault> {
        let (boot, since) = (self.clock.boot(), self.clock.since_boot());
        self.store.write_freeing(move |tx| {
            let mut over = Vec::new();
            tx.each(&PASSES, &all(), |jti, pass| {
                let issued = Duration::from_millis(pass.boot_ms);
                // In another run of the machine it was dead from the start.
                if pass.boot != boot || since.saturating_sub(issued) > REMEMBERED {
                    over.push(jti);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            over.iter().try_for_each(|jti| tx.remove(&PASSES, jti))
        })
    }
}

/// A device of a user that may show passes.
fn own_device(reader: &impl Reader, user: Id, number: u64) -> Result<Device, Fault> {
    let none = || Fault::new(Sort::NotFound, "not_found", "Device not found or not owned by user");
    let id = reader.get(&DEVICES_BY_NUMBER, &number)?.ok_or_else(none)?;
    let device = reader.get(&DEVICES, &id)?.filter(|device| device.user == user);
    let device = device.ok_or_else(none)?;
    if device.revoked_at.is_some() {
        return Err(revoked());
    }
    Ok(device)
}

/// A device that was revoked shows no pass.
pub(super) fn revoked() -> Fault {
    Fault::forbidden("device_revoked", "Device has been revoked")
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
