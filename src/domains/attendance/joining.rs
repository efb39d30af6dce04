//! Joining: a code of the personnel office, a word of six digits that it tells, an account and a device.
//!
//! There is no mail in an air gap: the code goes out on paper, and the word of six digits is shown to the
//! office while somebody is joining (attendance-chrona.md §2.2). What is kept of code-words is a MAC.

use std::time::Duration;

use serde::Serialize;
use zeroize::Zeroizing;

use super::devices::{self, NewDevice};
use super::records::{HR_CODES, HR_CODES_BY_CODE, HrCode, JOININGS, Joining, Step};
use super::{Attendance, NewAccount};
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Moment;
use crate::base::day::civil;
use crate::base::fault::{Fault, Field, Kind};
use crate::base::id::{Id, Lineage};
use crate::engines::secrets;
use crate::store::{Deed, Reader, Tx, all};

/// How long a joining may take.
const JOINING: Duration = Duration::from_mins(30);
/// How long a word of six digits is good.
const OTP: Duration = Duration::from_mins(10);
/// How many wrong words a joining bears.
const ATTEMPTS_MAX: u32 = 5;
/// How many joinings may be under way at once.
const JOININGS_MAX: usize = 500;
/// The longest name on a code, characters.
const NAME_MAX: usize = 255;
/// How long a code may be good at most, days.
const DAYS_MAX: u64 = 30;
/// What codes are made of, and how many of it.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const CODE_LETTERS: usize = 5;
/// What the words of a joining are kept under.
pub(super) const PURPOSE: &str = "attendance-joining";

/// What is told of a new joining: the token, once.
pub struct Begun {
    /// What the next steps show.
    pub token: Zeroizing<String>,
}

/// A finished joining.
pub struct Joined {
    /// The account's integer.
    pub user: u64,
    /// The device's integer.
    pub device: u64,
    /// A sign-in of the new account.
    pub access_token: String,
}

/// What the journal says of a code.
#[derive(Serialize)]
struct Shown<'c> {
    code_number: u64,
    employee_email: &'c str,
    expires_at: Moment,
}

impl Attendance {
    /// Makes a code for an address, or answers the one that is still good for it.
    ///
    /// # Errors
    /// `right_missing`, the fields at fault.
    pub fn add_hr_code(
        &self,
        caller: &Caller,
        email: &str,
        name: Option<&str>,
        days: Option<u64>,
    ) -> Result<HrCode, Fault> {
        caller.require(Right::ManageAttendance)?;
        let days = days.unwrap_or(self.settings.hr_code_days);
        let (email, name) = (email.trim().to_lowercase(), name.map(str::trim).map(str::to_owned));
        check_draft(&email, name.as_deref(), days)?;
        let letters = secrets::random::<CODE_LETTERS>()?;
        let year = civil(self.now(), &self.zone()?).year();
        let drawn = letters.iter().map(|byte| char::from(letter(*byte)));
        let code = format!("EMPL-{year}-{}", drawn.collect::<String>());
        let who = caller.clone();
        self.store.write(move |tx| {
            if let Some(earlier) = good_for(tx, &email, tx.now())? {
                return Ok(earlier);
            }
            if tx.has(&HR_CODES_BY_CODE, &code)? {
                return Err(Fault::unavailable("code_drawn_twice", "Ask again."));
            }
            let number = tx.last(&HR_CODES, &all())?.map_or(1, |(number, _)| number + 1);
            let made = HrCode {
                lineage: Lineage::born(tx.revision()),
                number,
                code,
                email,
                name: name.filter(|name| !name.is_empty()),
                by: person(&who),
                created_at: tx.now(),
                expires_at: tx.now().plus(Duration::from_hours(24 * days)),
                used_at: None,
                used_by: None,
            };
            tx.put(&HR_CODES, &number, &made)?;
            tx.put(&HR_CODES_BY_CODE, &made.code, &number)?;
            tx.journal(&who, Deed::new("hr_code.add", number).after(&shown(&made)))?;
            Ok(made)
        })
    }

    /// The codes, newest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn hr_codes(
        &self,
        caller: &Caller,
        used: bool,
        expired: bool,
    ) -> Result<Vec<HrCode>, Fault> {
        caller.require(Right::ManageAttendance)?;
        let now = self.now();
        let codes = self.store.read(|view| view.list(&HR_CODES, &all(), usize::MAX))?;
        let wanted = |code: &HrCode| {
            (used || code.used_at.is_none())
                && (expired || code.used_at.is_some() || now < code.expires_at)
        };
        Ok(codes.into_iter().rev().map(|(_, code)| code).filter(wanted).collect())
    }

    /// One code.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn hr_code(&self, caller: &Caller, number: u64) -> Result<HrCode, Fault> {
        caller.require(Right::ManageAttendance)?;
        let code = self.store.read(|view| view.get(&HR_CODES, &number))?;
        code.ok_or_else(|| Fault::new(Kind::NotFound, "not_found", "Code RH introuvable"))
    }

    /// Takes a code back before it is used.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `hr_code_used`.
    pub fn delete_hr_code(&self, caller: &Caller, number: u64) -> Result<(), Fault> {
        let code = self.hr_code(caller, number)?;
        if code.used_at.is_some() {
            return Err(Fault::conflict("hr_code_used", "This code was used already."));
        }
        let who = caller.clone();
        self.store.write(move |tx| {
            tx.remove(&HR_CODES, &number)?;
            tx.remove(&HR_CODES_BY_CODE, &code.code)?;
            tx.journal(&who, Deed::new("hr_code.delete", number).before(&shown(&code)))
        })
    }

    /// Begins a joining with a code and the address that it is for.
    ///
    /// # Errors
    /// `hr_code_invalid`, `hr_code_email`, `hr_code_used`, `hr_code_expired` (all 400),
    /// `too_many_attempts`, `joinings_full`.
    pub fn begin_joining(&self, caller: &Caller, code: &str, email: &str) -> Result<Begun, Fault> {
        let place = place_of(caller);
        self.desk.slow.enter(&place)?;
        let (code, email) = (code.trim().to_uppercase(), email.trim().to_lowercase());
        let token = Zeroizing::new(secrets::random_word()?);
        let mac = self.code_mac(&token)?;
        let who = caller.clone();
        let begun = self.store.write(move |tx| {
            let code = match right_code(tx, &code, &email) {
                Ok(code) => code,
                Err(fault) => return Ok(Err(fault)),
            };
            forget_over(tx)?;
            if tx.list(&JOININGS, &all(), JOININGS_MAX)?.len() >= JOININGS_MAX {
                let message = "Too many people join at once; try again in a while.";
                return Err(Fault::busy("joinings_full", message, OTP));
            }
            let joining = Joining {
                id: tx.new_id(),
                code: code.number,
                email,
                step: Step::OtpSent,
                began_at: tx.now(),
                expires_at: tx.now().plus(JOINING),
                otp: String::new(),
                otp_until: tx.now(),
                attempts: 0,
                address: who.address.map(|address| address.to_string()),
            };
            tx.put(&JOININGS, &mac, &joining)?;
            tx.journal(&who, Deed::new("onboarding.begin", joining.id).after(&shown(&code)))?;
            Ok(Ok(()))
        })?;
        match begun {
            Ok(()) => {
                self.desk.slow.right(&place);
                Ok(Begun { token })
            }
            Err(fault) => {
                self.refused(caller, &place, fault.code)?;
                Err(fault)
            }
        }
    }

    /// The joinings that wait for their word of six digits or are further, newest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn joinings(&self, caller: &Caller) -> Result<Vec<Joining>, Fault> {
        caller.require(Right::ManageAttendance)?;
        let now = self.now();
        let all = self.store.read(|view| view.list(&JOININGS, &all(), usize::MAX))?;
        let mut open: Vec<_> =
            all.into_iter().map(|(_, joining)| joining).filter(|j| now < j.expires_at).collect();
        open.sort_by_key(|joining| std::cmp::Reverse(joining.began_at));
        Ok(open)
    }

    /// Makes the word of six digits for a joining and tells it, once: the office hands it to the person
    /// whom it sees. An earlier word is no longer good.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `onboarding_step`.
    pub fn tell_word(&self, caller: &Caller, id: Id) -> Result<(String, Moment), Fault> {
        caller.require(Right::ManageAttendance)?;
        let word = six_digits()?;
        let mac = self.code_mac(&format!("{id} {word}"))?;
        let who = caller.clone();
        let until = self.store.write(move |tx| {
            let found = tx.list(&JOININGS, &all(), usize::MAX)?.into_iter();
            let now = tx.now();
            let found = found.into_iter().find(|(_, j)| j.id == id && now < j.expires_at);
            let (key, mut joining) = found.ok_or_else(|| Fault::not_found("onboarding"))?;
            if joining.step != Step::OtpSent {
                return Err(wrong_step());
            }
            joining.otp = mac;
            joining.otp_until = now.plus(OTP);
            joining.attempts = 0;
            tx.put(&JOININGS, &key, &joining)?;
            tx.journal(&who, Deed::new("onboarding.tell", id))?;
            Ok(joining.otp_until)
        })?;
        Ok((word, until))
    }

    /// Takes the word of six digits.
    ///
    /// # Errors
    /// `onboarding_invalid`, `onboarding_step`, `otp_wrong`, `otp_expired`, `otp_exhausted` (all 400).
    pub fn verify_word(&self, caller: &Caller, token: &str, word: &str) -> Result<(), Fault> {
        let key = self.code_mac(token)?;
        let joining = self.joining(&key, Step::OtpSent)?;
        let mac = self.code_mac(&format!("{} {}", joining.id, word.trim()))?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let mut joining = at_step(tx, &key, Step::OtpSent)?;
            if joining.attempts >= ATTEMPTS_MAX {
                return Ok(Err(exhausted()));
            }
            let good = !joining.otp.is_empty() && tx.now() < joining.otp_until;
            let outcome = if good && secrets::same(&joining.otp, &mac) {
                joining.step = Step::OtpVerified;
                joining.otp = String::new();
                tx.journal(&who, Deed::new("onboarding.verify", joining.id))?;
                Ok(())
            } else {
                joining.attempts += 1;
                tx.journal(&who, Deed::new("onboarding.refuse", joining.id))?;
                Err(if good || joining.otp.is_empty() { wrong_word() } else { late_word() })
            };
            tx.put(&JOININGS, &key, &joining)?;
            Ok(outcome)
        })?
    }

    /// Makes the account and its device, and signs it in.
    ///
    /// # Errors
    /// `onboarding_invalid`, `onboarding_step`, the fields at fault, `user_exists`, `device_exists`.
    pub fn complete_joining(
        &self,
        caller: &Caller,
        token: &str,
        password: &Zeroizing<String>,
        device: NewDevice,
    ) -> Result<Joined, Fault> {
        let key = self.code_mac(token)?;
        let joining = self.joining(&key, Step::OtpVerified)?;
        let code = self.store.read(|view| view.get(&HR_CODES, &joining.code))?;
        let code = code.ok_or_else(|| invalid("hr_code_invalid", "Code RH invalide."))?;
        let account = NewAccount {
            email: joining.email.clone(),
            name: code.name.clone().unwrap_or_default(),
            password: password.clone(),
        };
        devices::check(&device)?;
        let lay = self.desk.accounts.prepare(&account)?;
        let (who, limit) = (caller.clone(), self.settings.devices_per_person);
        let (user, number, device) = self.store.write(move |tx| {
            let mut joining = at_step(tx, &key, Step::OtpVerified)?;
            let mut code = still_good(tx, joining.code)?;
            let (user, number) = lay(tx, &who)?;
            let device = devices::lay(tx, &who, user, device, limit)?;
            code.used_at = Some(tx.now());
            code.used_by = Some(user);
            code.lineage = code.lineage.then(tx.revision());
            tx.put(&HR_CODES, &code.number, &code)?;
            joining.step = Step::Completed;
            tx.put(&JOININGS, &key, &joining)?;
            tx.journal(&who, Deed::new("onboarding.complete", joining.id).after(&number))?;
            Ok((user, number, device.number))
        })?;
        let access_token = self.desk.accounts.sign_in(caller, user)?;
        Ok(Joined { user: number, device, access_token })
    }

    /// A joining at a step, for what is decided before its write.
    fn joining(&self, key: &String, step: Step) -> Result<Joining, Fault> {
        let now = self.now();
        self.store.read(|view| standing(view, key, step, now))
    }

    /// Counts a wrong code, and journals it while it is worth a line.
    fn refused(&self, caller: &Caller, place: &str, code: &'static str) -> Result<(), Fault> {
        if !self.desk.slow.wrong(place) {
            return Ok(());
        }
        let who = caller.clone();
        self.store.write(move |tx| tx.journal(&who, Deed::new("onboarding.refuse", code)))
    }

    fn code_mac(&self, text: &str) -> Result<String, Fault> {
        secrets::mac(self.desk.code_key.as_ref(), text.as_bytes())
    }
}

fn check_draft(email: &str, name: Option<&str>, days: u64) -> Result<(), Fault> {
    let mut fields = Vec::new();
    let field = |name: &str, message: &str| Field {
        place: vec!["body".into(), name.into()],
        wrong: "value_error",
        message: message.into(),
    };
    let (local, host) = email.split_once('@').unwrap_or_default();
    if local.is_empty() || host.is_empty() || email.contains(char::is_whitespace) {
        fields.push(field("employee_email", "This is no e-mail address."));
    }
    if name.is_some_and(|name| name.chars().count() > NAME_MAX) {
        fields.push(field("employee_name", "At most 255 characters."));
    }
    if !(1..=DAYS_MAX).contains(&days) {
        fields.push(field("expires_in_days", "Between 1 and 30 days."));
    }
    if fields.is_empty() { Ok(()) } else { Err(Fault::fields(fields)) }
}

/// A letter of a code: 252 is the largest multiple of 36 that a byte holds, so the last four values
/// make four letters a little likelier, which a code that is bound to an address bears.
fn letter(byte: u8) -> u8 {
    LETTERS.get(usize::from(byte) % LETTERS.len()).copied().unwrap_or(b'A')
}

fn six_digits() -> Result<String, Fault> {
    let drawn = u64::from_be_bytes(secrets::random::<8>()?) % 1_000_000;
    Ok(format!("{drawn:06}"))
}

/// The code that is still good for an address.
fn good_for(reader: &impl Reader, email: &str, now: Moment) -> Result<Option<HrCode>, Fault> {
    let codes = reader.list(&HR_CODES, &all(), usize::MAX)?.into_iter().map(|(_, code)| code);
    Ok(codes.rev().find(|c| c.email == email && c.used_at.is_none() && now < c.expires_at))
}

/// The code that somebody shows, when it is good and for that address.
fn right_code(tx: &Tx<'_>, code: &str, email: &str) -> Result<HrCode, Fault> {
    let unknown = || invalid("hr_code_invalid", "Code RH invalide.");
    let number = tx.get(&HR_CODES_BY_CODE, &code.to_owned())?.ok_or_else(unknown)?;
    let found = tx.get(&HR_CODES, &number)?.ok_or_else(unknown)?;
    if found.email != email {
        return Err(invalid("hr_code_email", "Ce code RH n'est pas pour cette adresse."));
    }
    still_good(tx, number)
}

fn still_good(tx: &Tx<'_>, number: u64) -> Result<HrCode, Fault> {
    let code = tx.get(&HR_CODES, &number)?;
    let code = code.ok_or_else(|| invalid("hr_code_invalid", "Code RH invalide."))?;
    if code.used_at.is_some() {
        return Err(invalid("hr_code_used", "Ce code RH a déjà été utilisé."));
    }
    if code.expires_at <= tx.now() {
        return Err(invalid("hr_code_expired", "Ce code RH a expiré."));
    }
    Ok(code)
}

fn at_step(tx: &Tx<'_>, key: &String, step: Step) -> Result<Joining, Fault> {
    standing(tx, key, step, tx.now())
}

fn standing(reader: &impl Reader, key: &String, step: Step, now: Moment) -> Result<Joining, Fault> {
    let joining = reader.get(&JOININGS, key)?.filter(|joining| now < joining.expires_at);
    let joining = joining.ok_or_else(|| {
        invalid("onboarding_invalid", "Session d'inscription inconnue ou expirée.")
    })?;
    if joining.step == step { Ok(joining) } else { Err(wrong_step()) }
}

/// Joinings that are over make room.
fn forget_over(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let now = tx.now();
    for (key, joining) in tx.list(&JOININGS, &all(), usize::MAX)? {
        if joining.expires_at <= now {
            tx.remove(&JOININGS, &key)?;
        }
    }
    Ok(())
}

fn shown(code: &HrCode) -> Shown<'_> {
    Shown { code_number: code.number, employee_email: &code.email, expires_at: code.expires_at }
}

fn person(caller: &Caller) -> Option<Id> {
    match caller.who {
        Who::User { id, .. } => Some(id),
        _ => None,
    }
}

fn place_of(caller: &Caller) -> String {
    caller.address.map_or_else(|| "joining".to_owned(), |address| format!("joining {address}"))
}

fn invalid(code: &'static str, message: &str) -> Fault {
    Fault::invalid(code, message)
}

fn wrong_step() -> Fault {
    invalid("onboarding_step", "Cette étape n'est pas la prochaine de cette inscription.")
}

fn wrong_word() -> Fault {
    invalid("otp_wrong", "Code de vérification incorrect.")
}

fn late_word() -> Fault {
    invalid("otp_expired", "Ce code de vérification a expiré ; demandez-en un autre.")
}

fn exhausted() -> Fault {
    invalid("otp_exhausted", "Trop de codes incorrects ; demandez-en un autre.")
}
