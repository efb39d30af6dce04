//! Personal codes: digits that somebody without a phone types at a kiosk, after their number.

use serde::Serialize;

use super::Attendance;
use super::door::{Door, Gesture, Outcome, Receipt};
use super::records::{Flag, Kind, PINS, Pin, Way};
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::engines::secrets;
use crate::store::{Deed, Reader, Tx};

/// The longest code.
const PIN_MAX: usize = 12;

/// What a kiosk sends.
#[derive(Debug, Clone)]
pub struct Typed {
    /// Who, by the integer clients know.
    pub user: u64,
    /// The code.
    pub pin: String,
    /// The kiosk's integer, where it says so.
    pub kiosk: Option<u64>,
    /// What the punch says; none leaves it to the kiosk.
    pub kind: Option<Kind>,
    /// The kiosk's clock.
    pub kiosk_at: Option<Moment>,
}

/// What the journal says of a punch.
#[derive(Serialize)]
struct Shown {
    user_id: u64,
    kiosk_id: u64,
    punch_type: &'static str,
    at: Moment,
    flags: Vec<Flag>,
}

impl Attendance {
    /// When the caller's personal code was chosen; none for no code.
    ///
    /// # Errors
    /// `right_missing`; `unauthenticated` for whoever is no person.
    pub fn own_pin(&self, caller: &Caller) -> Result<Option<Moment>, Fault> {
        caller.require(Right::UseAttendance)?;
        let user = caller.in_person()?;
        Ok(self.store.read(|view| view.get(&PINS, &user))?.map(|pin| pin.set_at))
    }

    /// Chooses the caller's personal code, or takes it away.
    ///
    /// # Errors
    /// `right_missing`, the field at fault.
    pub fn set_pin(&self, caller: &Caller, pin: Option<&str>) -> Result<Option<Moment>, Fault> {
        caller.require(Right::UseAttendance)?;
        let user = caller.in_person()?;
        let chosen = |pin| {
            check(pin, self.settings.pin_min)?;
            self.pin_mac(user, pin)
        };
        let mac = pin.map(chosen).transpose()?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let set_at = tx.now();
            let deed = if let Some(mac) = mac {
                tx.put(&PINS, &user, &Pin { mac, set_at })?;
                "pin.set"
            } else {
                tx.remove(&PINS, &user)?;
                "pin.drop"
            };
            tx.journal(&who, Deed::new(deed, who.name()))?;
            Ok(mac.map(|_| set_at))
        })
    }

    /// Takes a punch with a personal code.
    ///
    /// # Errors
    /// `kiosk_unknown`, `kiosk_inactive`, `kiosk_mismatch`, `pins_off`, `too_many_attempts`, `pin_wrong`,
    /// `kiosk_closed_to_you`.
    pub fn punch_with_pin(&self, caller: &Caller, typed: &Typed) -> Result<Receipt, Fault> {
        let kiosk = self.kiosk_of(caller, typed.kiosk)?;
        if !kiosk.pins {
            let message = "This kiosk takes no personal codes.";
            return Err(Fault::forbidden("pins_off", message));
        }
        // By person: whoever guesses at one kiosk does not go on at the next.
        let place = format!("pin {}", typed.user);
        self.desk.slow.enter(&place)?;
        let person = self.desk.people.numbered(typed.user)?.filter(|person| person.active);
        // As long for a number that nobody has.
        let user = person.as_ref().map_or(Id::ZERO, |person| person.id);
        let known = self.store.read(|view| view.get(&PINS, &user))?;
        let kept = known.map_or([0; 32], |pin| pin.mac);
        let key = self.desk.code_key.as_ref();
        let right = secrets::mac_is(key, said(user, typed.pin.trim()).as_bytes(), &kept)?;
        let Some(person) = person.filter(|_| right) else {
            return Err(self.pin_refused(caller, &place, typed.user, kiosk.number)?);
        };
        self.desk.slow.right(&place);
        let (door, who) = (self.door(kiosk)?, caller.clone());
        let typed = typed.clone();
        let laid = move |tx: &mut Tx<'_>| taken(tx, &who, &door, person.id, &person.name, &typed);
        self.store.write_once(caller, "punch.pin", laid)?.answer()
    }

    /// Counts a wrong code, and journals it while it is worth a line.
    fn pin_refused(
        &self,
        caller: &Caller,
        place: &str,
        user: u64,
        kiosk: u64,
    ) -> Result<Fault, Fault> {
        if self.desk.slow.wrong(place) {
            let who = caller.clone();
            let said = serde_json::json!({"kiosk_id": kiosk});
            self.store.write(move |tx| {
                tx.journal(&who, Deed::new("punch.pin_refuse", user).after(&said))
            })?;
        }
        Ok(Fault::invalid("pin_wrong", "The number or the personal code is wrong."))
    }

    fn pin_mac(&self, user: Id, pin: &str) -> Result<[u8; 32], Fault> {
        secrets::mac_bytes(self.desk.code_key.as_ref(), said(user, pin).as_bytes())
    }
}

/// What the MAC of a code is made over: the person is in it, so that no two people's are alike.
fn said(user: Id, pin: &str) -> String {
    format!("pin {user} {pin}")
}

fn taken(
    tx: &mut Tx<'_>,
    who: &Caller,
    door: &Door,
    user: Id,
    name: &str,
    typed: &Typed,
) -> Result<Outcome, Fault> {
    if let Some(why) = door.kept_out(tx, user)? {
        let said = serde_json::json!({"user_id": typed.user, "kiosk_id": door.kiosk.number});
        tx.journal(who, Deed::new("punch.deny", typed.user).after(&said))?;
        return Ok(Outcome::Refused(why));
    }
    let gesture = Gesture {
        user,
        device: None,
        kind: typed.kind,
        way: Way::Pin,
        kiosk_at: typed.kiosk_at,
        token: format!("pin:{}", tx.new_id()),
    };
    let punch = door.lay(tx, gesture)?;
    let shown = Shown {
        user_id: typed.user,
        kiosk_id: door.kiosk.number,
        punch_type: punch.kind.name(),
        at: punch.at,
        flags: punch.flags.clone(),
    };
    tx.journal(who, Deed::new("punch.pin", punch.number).after(&shown))?;
    Ok(Outcome::Taken(Receipt {
        punch: punch.number,
        at: punch.at,
        user: typed.user,
        name: name.to_owned(),
        device: None,
        kind: punch.kind,
    }))
}

/// Refuses what is no code, and what everybody tries first.
fn check(pin: &str, least: usize) -> Result<(), Fault> {
    let wrong = |message: String| Err(Fault::field("pin", "value_error", message));
    let digits = pin.as_bytes();
    if !digits.iter().all(u8::is_ascii_digit) || digits.len() < least || digits.len() > PIN_MAX {
        return wrong(format!("{least} to {PIN_MAX} digits."));
    }
    let steps: std::collections::BTreeSet<i16> = digits
        .iter()
        .zip(digits.iter().skip(1))
        .map(|(a, b)| i16::from(*b) - i16::from(*a))
        .collect();
    // 0000, 1234, 4321, and so on.
    if steps.len() == 1 && steps.iter().all(|step| (-1..=1).contains(step)) {
        return wrong("Choose digits that are not all alike, nor in a row.".into());
    }
    Ok(())
}
