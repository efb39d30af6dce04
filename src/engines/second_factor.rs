//! The second factor: one-time codes from a phone (TOTP, RFC 6238), and recovery codes on paper.
//!
//! A code is six digits: nothing here keeps a guesser from trying them all. Whoever asks counts the
//! failures (attendance-chrona.md §2.7: five in ten minutes), and keeps the step that
//! [`Totp::check`] answers in the same write that accepts the code.

use std::fmt::{self, Write as _};

use aws_lc_rs::hmac as mac;
use data_encoding::BASE32_NOPAD;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};
use zeroize::{Zeroize, Zeroizing};

use crate::base::clock::Moment;
use crate::base::fault::Fault;

/// Bytes of a secret: 160 bits, as RFC 4226 §4 (R6) asks for.
pub const SECRET: usize = 20;
/// How long a code is shown, seconds (RFC 6238 §5.2).
pub const PERIOD: u64 = 30;
/// Digits of a code.
pub const DIGITS: usize = 6;
/// How many steps a phone's clock may be off, either way (RFC 6238 §6).
const WINDOW: u64 = 1;
/// Ten to the power of [`DIGITS`].
const MODULUS: u32 = 1_000_000;

/// How many recovery codes are made at once.
pub const RECOVERY_CODES: usize = 5;
/// Letters of a recovery code, the dash not counted: 40 bits.
const RECOVERY_LETTERS: usize = 8;
/// Where its dash is.
const RECOVERY_DASH: usize = 4;
/// What it is made of: nothing that looks like something else on paper (no 0 O 1 I). There are 32 of
/// them, so that five random bits choose one without favour.
const RECOVERY_ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// What a phone and the box share, with HMAC-SHA256 and the constants above.
pub struct Totp(Zeroizing<[u8; SECRET]>);

impl fmt::Debug for Totp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Totp(..)")
    }
}

impl Totp {
    /// A new secret.
    ///
    /// # Errors
    /// `Broken` when the machine has no random bytes.
    pub fn make() -> Result<Self, Fault> {
        let mut secret = Zeroizing::new([0; SECRET]);
        getrandom::fill(secret.as_mut_slice())
            .map_err(|e| Fault::broken("making a secret for codes", e.to_string()))?;
        Ok(Self(secret))
    }

    /// The secret with these bytes, as [`Totp::bytes`] gave them to be sealed and kept.
    ///
    /// # Errors
    /// `Broken` when there are not 20 of them.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let secret = bytes
            .try_into()
            .map_err(|_| Fault::broken("reading a secret for codes", "it is not 20 bytes"))?;
        Ok(Self(Zeroizing::new(secret)))
    }

    /// The secret's bytes, to be sealed and kept.
    pub fn bytes(&self) -> &[u8; SECRET] {
        &self.0
    }

    /// The secret for a person to type: base32 without padding, 32 letters.
    pub fn base32(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(self.0.as_slice()))
    }

    /// The secret for a phone to read from a QR code (the Key URI format that authenticators share).
    pub fn uri(&self, issuer: &str, account: &str) -> Zeroizing<String> {
        let (issuer, account) = (percent(issuer), percent(account));
        let secret = self.base32();
        Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}\
             &algorithm=SHA256&digits={DIGITS}&period={PERIOD}",
            secret.as_str()
        ))
    }

    /// The step whose code this is, when it is that of `now` or of a neighbour, and later than the last
    /// one that was used. Keep it: no code is good twice (RFC 6238 §5.2), nor is an older one after it.
    ///
    /// Spaces around and between the digits are read over. The time this takes does not tell which of
    /// the codes was nearest.
    pub fn check(&self, code: &str, now: Moment, last_step: Option<u64>) -> Option<u64> {
        let code = digits(code)?;
        let now = u64::try_from(now.0).ok()? / 1000 / PERIOD;
        let key = mac::Key::new(mac::HMAC_SHA256, self.0.as_slice());
        // One more than the step, so that none is zero.
        let mut found = 0_u64;
        for step in now.saturating_sub(WINDOW)..=now.saturating_add(WINDOW) {
            let unused = match last_step {
                Some(last) => step.ct_gt(&last),
                None => Choice::from(1),
            };
            let good = code_at(&key, step).ct_eq(&code) & unused;
            found.conditional_assign(&step.saturating_add(1), good);
        }
        found.checked_sub(1)
    }
}

/// HOTP (RFC 4226 §5.3) of a step, with HMAC-SHA256.
fn code_at(key: &mac::Key, step: u64) -> u32 {
    let tag = mac::sign(key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag.last().copied().unwrap_or_default() & 0xf);
    let word = tag.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    (u32::from_be_bytes(word) & 0x7fff_ffff) % MODULUS
}

/// The number that a person has typed, if it has six digits.
fn digits(code: &str) -> Option<u32> {
    let mut count = 0;
    let mut number = 0_u32;
    for letter in code.chars().filter(|c| !c.is_whitespace()) {
        count += 1;
        if count > DIGITS {
            return None;
        }
        number = number * 10 + letter.to_digit(10)?;
    }
    (count == DIGITS).then_some(number)
}

/// Percent-encoding of everything that RFC 3986 §2.3 does not call unreserved.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// New recovery codes, `XXXX-XXXX`, to be shown once and kept as hashes alone.
///
/// # Errors
/// `Broken` when the machine has no random bytes.
pub fn recovery_codes() -> Result<[Zeroizing<String>; RECOVERY_CODES], Fault> {
    let mut bytes = Zeroizing::new([[0; RECOVERY_LETTERS]; RECOVERY_CODES]);
    for code in bytes.iter_mut() {
        getrandom::fill(code).map_err(|e| Fault::broken("making recovery codes", e.to_string()))?;
    }
    Ok(bytes.map(|code| {
        let mut letters = code.map(|byte| {
            let at = usize::from(byte) % RECOVERY_ALPHABET.len();
            RECOVERY_ALPHABET.get(at).copied().map_or('-', char::from)
        });
        let shown = letters.iter().enumerate().fold(
            String::with_capacity(RECOVERY_LETTERS + 1),
            |mut text, (at, letter)| {
                if at == RECOVERY_DASH {
                    text.push('-');
                }
                text.push(*letter);
                text
            },
        );
        letters.zeroize();
        Zeroizing::new(shown)
    }))
}

/// The recovery code that a person has typed, as it was made: capitals, dash and spaces do not matter.
/// None when it cannot be one, which needs no hash to be known.
pub fn recovery_code(typed: &str) -> Option<Zeroizing<String>> {
    let mut code = Zeroizing::new(String::with_capacity(RECOVERY_LETTERS + 1));
    for letter in typed.chars().filter(|c| !c.is_whitespace() && !is_dash(*c)) {
        let letter = letter.to_ascii_uppercase();
        if !u8::try_from(letter).is_ok_and(|letter| RECOVERY_ALPHABET.contains(&letter)) {
            return None;
        }
        if code.len() == RECOVERY_DASH {
            code.push('-');
        }
        if code.len() > RECOVERY_LETTERS {
            return None;
        }
        code.push(letter);
    }
    (code.len() == RECOVERY_LETTERS + 1).then_some(code)
}

/// The hyphen, and what word processors and phones make of it.
fn is_dash(letter: char) -> bool {
    matches!(letter, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(second: u64) -> Moment {
        Moment(i64::try_from(second * 1000).unwrap())
    }

    fn shown(totp: &Totp, step: u64) -> String {
        let key = mac::Key::new(mac::HMAC_SHA256, totp.0.as_slice());
        format!("{:06}", code_at(&key, step))
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238 appendix B, SHA-256, with the 32-byte seed of its erratum 2866; the last six of its
        // eight digits.
        let key = mac::Key::new(mac::HMAC_SHA256, b"12345678901234567890123456789012");
        for (second, code) in [
            (59, 46_119_246),
            (1_111_111_109, 68_084_774),
            (1_111_111_111, 67_062_674),
            (1_234_567_890, 91_819_424),
            (2_000_000_000, 90_698_825),
            (20_000_000_000, 77_737_706),
        ] {
            assert_eq!(code_at(&key, second / PERIOD), code % MODULUS, "{second}");
        }
    }

    #[test]
    fn codes_are_those_of_another_library() {
        // Made with pyotp 2.12.1: TOTP("GEZDG..", digest=sha256).at(1768464000).
        let totp = Totp::read(b"12345678901234567890").unwrap();
        assert_eq!(totp.base32().as_str(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(totp.check("307059", at(1_768_464_000), None).is_some());
    }

    #[test]
    fn a_code_is_good_for_its_step_and_its_neighbours() {
        let totp = Totp::make().unwrap();
        let step = 58_948_800;
        let code = shown(&totp, step);
        let check = |second: u64| totp.check(&code, at(second), None);
        let begins = step * PERIOD;
        assert_eq!(check(begins), Some(step));
        assert_eq!(check(begins - 30), Some(step));
        assert_eq!(check(begins + 59), Some(step));
        // Another step's code is the same once in a million.
        assert_ne!(check(begins - 31), Some(step));
        assert_ne!(check(begins + 60), Some(step));
        let spaced = format!(" {} {} ", &code[..3], &code[3..]);
        assert_eq!(totp.check(&spaced, at(begins), None), Some(step));
        assert_eq!(totp.check(&code, Moment(-1), None), None);
        assert_eq!(Totp::read(totp.bytes()).unwrap().check(&code, at(begins), None), Some(step));
    }

    #[test]
    fn a_code_is_good_once_and_older_ones_not_after_it() {
        let totp = Totp::read(b"12345678901234567890").unwrap();
        let step = 58_948_800;
        let now = at(step * PERIOD);
        let check = |of: u64, last: u64| totp.check(&shown(&totp, of), now, Some(last));
        assert_eq!(check(step, step - 1), Some(step));
        assert_eq!(check(step, step), None);
        assert_eq!(check(step, step + 1), None);
        assert_eq!(check(step - 1, step), None);
        assert_eq!(check(step + 1, step), Some(step + 1));
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let totp = Totp::read(b"12345678901234567890").unwrap();
        let now = at(1_768_464_000);
        let code = shown(&totp, 1_768_464_000 / PERIOD);
        for typed in [
            String::new(),
            "12345".into(),
            format!("{code}0"),
            format!("0{code}"),
            format!("+{}", &code[1..]),
            "١٢٣٤٥٦".into(),
            "4294967296".into(),
            "9".repeat(10_000),
        ] {
            assert_eq!(totp.check(&typed, now, None), None, "{typed}");
        }
        assert!(Totp::read(b"short").is_err());
        assert!(!format!("{totp:?}").contains("GEZD"));
    }

    #[test]
    fn a_phone_can_read_the_uri() {
        let totp = Totp::read(b"12345678901234567890").unwrap();
        assert_eq!(
            totp.uri("Îlot & fils", "anna+1@site.lan").as_str(),
            "otpauth://totp/%C3%8Elot%20%26%20fils:anna%2B1%40site.lan\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=%C3%8Elot%20%26%20fils\
             &algorithm=SHA256&digits=6&period=30"
        );
    }

    #[test]
    fn recovery_codes_survive_being_written_down_and_typed() {
        let mut seen = BTreeSet::new();
        let mut letters = BTreeSet::new();
        for _ in 0..200 {
            for code in recovery_codes().unwrap() {
                assert_eq!((code.len(), code.find('-')), (9, Some(4)), "{}", code.as_str());
                letters.extend(code.chars().filter(|c| *c != '-'));
                let careless = format!(" {} ", code.to_lowercase().replace('-', " – "));
                for typed in [code.as_str(), &code.replace('-', ""), &careless] {
                    assert_eq!(recovery_code(typed).as_deref(), Some(&*code), "{typed}");
                }
                seen.insert(code.to_string());
            }
        }
        assert_eq!(seen.len(), 1_000);
        assert_eq!(letters.into_iter().collect::<String>().as_bytes(), RECOVERY_ALPHABET);
        for typed in
            ["", "ABCD-EFG", "ABCD-EFGHJ", "ABCD-EFG0", "ABCD-EFGO", "ABCD_EFGH", "ÀBCD-EFGH"]
        {
            assert_eq!(recovery_code(typed), None, "{typed}");
        }
    }
}
