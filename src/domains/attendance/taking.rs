//! Taking passes at kiosks: checked and taken in one write, each once (attendance-chrona.md §2.4).

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::door::{Door, Gesture, Outcome, Receipt, Why};
use super::passes::{AUDIENCE, Claims, KIND, revoked};
use super::people::People;
use super::records::{
    DEVICES, Flag, KIOSKS, KIOSKS_BY_MARK, KIOSKS_BY_NUMBER, Kind, Kiosk, PASSES, Pass, Punch,
    Taken, Trust, Way,
};
use super::{Attendance, kiosk_mark};
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind as Sort};
use crate::base::id::Id;
use crate::store::{Deed, Reader, Tx};

/// What a kiosk sends.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// What the phone shows.
    pub token: String,
    /// The kiosk's integer, where it says so.
    pub kiosk: Option<u64>,
    /// What the punch says; none leaves it to the kiosk.
    pub kind: Option<Kind>,
    /// The kiosk's clock, where it says so.
    pub kiosk_at: Option<Moment>,
}

/// What the journal says of a punch.
#[derive(Serialize)]
struct Shown {
    user_id: u64,
    device_id: Option<u64>,
    kiosk_id: u64,
    punch_type: &'static str,
    at: Moment,
    jti: String,
    nonce: Id,
    flags: Vec<Flag>,
}

/// What the journal says of a pass that was refused.
#[derive(Serialize)]
struct Attempt {
    user_id: u64,
    kiosk_id: u64,
    jti: Id,
    why: Why,
}

impl Attendance {
    /// Takes a pass at a kiosk.
    ///
    /// # Errors
    /// In the contract's order: `kiosk_unknown`, `kiosk_inactive`, `kiosk_mismatch`, `pass_malformed`,
    /// `pass_kind`, `pass_unknown`, `pass_expired`, `pass_used`, `device_revoked`, `user_unknown`,
    /// `kiosk_closed_to_you`.
    pub fn validate(&self, caller: &Caller, scan: &Scan) -> Result<Receipt, Fault> {
        let kiosk = self.kiosk_of(caller, scan.kiosk)?;
        let claims = self.claims(&scan.token)?;
        let user: u64 = claims.sub.parse().map_err(|_| malformed())?;
        let person = self.desk.people.numbered(user)?.ok_or_else(unknown_user)?;
        let taking = Taking {
            door: self.door(kiosk)?,
            claims,
            user,
            name: person.name,
            kind: scan.kind,
            kiosk_at: scan.kiosk_at,
            boot: self.clock.boot(),
            people: self.desk.people.clone(),
        };
        let who = caller.clone();
        self.store.write_once(caller, "punch.validate", move |tx| taking.taken(tx, &who))?.answer()
    }

    /// The kiosk that a request comes from: by its key, else by what its record trusts.
    ///
    /// # Errors
    /// `kiosk_unknown`, `kiosk_inactive`, `kiosk_mismatch`.
    pub(super) fn kiosk_of(&self, caller: &Caller, number: Option<u64>) -> Result<Kiosk, Fault> {
        let found = self.store.read(|view| match caller.who {
            Who::Machine { id, .. } if caller.require(Right::PunchForOthers).is_ok() => {
                view.get(&KIOSKS, &id)
            }
            _ => trusted(view, caller, number),
        })?;
        let kiosk = found.ok_or_else(unknown_kiosk)?;
        if number.is_some_and(|number| number != kiosk.number) {
            let message = "kiosk_id does not match the key's kiosk";
            return Err(Fault::forbidden("kiosk_mismatch", message));
        }
        if !kiosk.active {
            return Err(Fault::forbidden("kiosk_inactive", "Kiosk is not active"));
        }
        Ok(kiosk)
    }

    /// What a pass of this box claims, whatever became of it.
    fn claims(&self, token: &str) -> Result<Claims, Fault> {
        let claims: Claims = self.desk.pass_key.signed(token.trim()).map_err(|_| malformed())?;
        if claims.iss != self.store.site().to_string() || claims.aud != AUDIENCE {
            return Err(malformed());
        }
        if claims.kind != KIND {
            return Err(Fault::invalid("pass_kind", "Invalid token type: not a pass"));
        }
        Ok(claims)
    }
}

/// A pass on its way into the store.
struct Taking {
    door: Door,
    claims: Claims,
    user: u64,
    name: String,
    kind: Option<Kind>,
    kiosk_at: Option<Moment>,
    boot: [u8; 16],
    people: Arc<dyn People>,
}

impl Taking {
    fn taken(self, tx: &mut Tx<'_>, caller: &Caller) -> Result<Outcome, Fault> {
        let jti = self.claims.jti;
        let mut pass = tx.get(&PASSES, &jti)?.ok_or_else(|| {
            Fault::invalid("pass_unknown", "Token not found in tracking database")
        })?;
        if pass.taken.is_some() {
            return self.refused(tx, caller, "punch.replay", Why::Replay);
        }
        if !self.is_alive(&pass, tx.since_boot()) {
            return Err(Fault::invalid("pass_expired", "Token has expired"));
        }
        let device = tx.get(&DEVICES, &pass.device)?;
        let device = device
            .ok_or_else(|| Fault::new(Sort::NotFound, "device_unknown", "Device not found"))?;
        if device.revoked_at.is_some() {
            return Err(revoked());
        }
        if self.people.active(tx, pass.user)? != Some(true) {
            return Err(unknown_user());
        }
        if let Some(why) = self.door.kept_out(tx, pass.user)? {
            return self.refused(tx, caller, "punch.deny", why);
        }
        let gesture = Gesture {
            user: pass.user,
            device: Some(pass.device),
            kind: self.kind,
            way: Way::Pass,
            kiosk_at: self.kiosk_at,
            token: jti.to_string(),
        };
        let punch = self.door.lay(tx, gesture)?;
        let nonce = pass.nonce;
        pass.taken = Some(Taken { at: punch.at, kiosk: self.door.kiosk.id, punch: punch.id });
        tx.put(&PASSES, &jti, &pass)?;
        let receipt = Receipt {
            punch: punch.number,
            at: punch.at,
            user: self.user,
            name: self.name,
            device: Some(device.number),
            kind: punch.kind,
        };
        let shown = shown(&punch, &receipt, self.door.kiosk.number, nonce);
        tx.journal(caller, Deed::new("punch.validate", punch.number).after(&shown))?;
        Ok(Outcome::Taken(receipt))
    }

    /// A pass lives in the run of the machine that issued it, by the clock that cannot be set.
    fn is_alive(&self, pass: &Pass, since: Duration) -> bool {
        let age = since.saturating_sub(Duration::from_millis(pass.boot_ms));
        pass.boot == self.boot && age <= Duration::from_millis(pass.life_ms)
    }

    fn refused(
        &self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        deed: &'static str,
        why: Why,
    ) -> Result<Outcome, Fault> {
        let attempt = Attempt {
            user_id: self.user,
            kiosk_id: self.door.kiosk.number,
            jti: self.claims.jti,
            why,
        };
        tx.journal(caller, Deed::new(deed, self.claims.jti).after(&attempt))?;
        Ok(Outcome::Refused(why))
    }
}

/// The kiosk that a request without a key may speak for.
fn trusted(
    reader: &impl Reader,
    caller: &Caller,
    number: Option<u64>,
) -> Result<Option<Kiosk>, Fault> {
    if let Some(address) = caller.address {
        let mark = kiosk_mark("address", &address.to_string());
        if let Some(id) = reader.get(&KIOSKS_BY_MARK, &mark)?
            && let Some(kiosk) = reader.get(&KIOSKS, &id)?
            && kiosk.trust != Trust::Key
        {
            return Ok(Some(kiosk));
        }
    }
    let Some(number) = number else { return Ok(None) };
    let Some(id) = reader.get(&KIOSKS_BY_NUMBER, &number)? else { return Ok(None) };
    Ok(reader.get(&KIOSKS, &id)?.filter(|kiosk| kiosk.trust == Trust::Anyone))
}

fn shown(punch: &Punch, receipt: &Receipt, kiosk: u64, nonce: Id) -> Shown {
    Shown {
        user_id: receipt.user,
        device_id: receipt.device,
        kiosk_id: kiosk,
        punch_type: punch.kind.name(),
        at: punch.at,
        jti: punch.token.clone(),
        nonce,
        flags: punch.flags.clone(),
    }
}

fn malformed() -> Fault {
    Fault::invalid("pass_malformed", "Invalid or malformed JWT token")
}

fn unknown_user() -> Fault {
    Fault::new(Sort::NotFound, "user_unknown", "User not found")
}

fn unknown_kiosk() -> Fault {
    Fault::new(Sort::NotFound, "kiosk_unknown", "No kiosk found for this address or API key")
}
