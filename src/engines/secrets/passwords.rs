//! Passwords: hashed with Argon2id under a pepper, and checked in whatever form they came here.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::RootKey;
use super::imported::Imported;
use crate::base::fault::Fault;

/// Argon2id's memory, KiB (OWASP's floor; reliability.md §3.4: 56 ms of one core).
const MEMORY_KIB: u32 = 47_104;
/// Argon2id's passes.
const PASSES: u32 = 1;
/// What marks a hash that another system made, without this box's pepper.
const IMPORTED: &str = "imported:";

/// What a password is to a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is another one.
    Wrong,
    /// It is the one, and its hash is as good as they are made today.
    Right,
    /// It is the one, and [`Passwords::hash`] makes a better hash of it, to be stored in the place of
    /// this one now that the password is at hand.
    RightButOld,
}

/// Hashes and checks passwords with Argon2id under a pepper that is not in the database.
pub struct Passwords {
    pepper: Zeroizing<[u8; 32]>,
}

impl Passwords {
    /// Under the pepper of `root`.
    ///
    /// # Errors
    /// As [`RootKey::derive`].
    pub fn new(root: &RootKey) -> Result<Self, Fault> {
        Ok(Self { pepper: root.derive("pepper")? })
    }

    fn argon(&self, memory_kib: u32) -> Result<Argon2<'_>, Fault> {
        let doing = "preparing Argon2";
        let params = Params::new(memory_kib, PASSES, 1, None)
            .map_err(|e| Fault::broken(doing, e.to_string()))?;
        Argon2::new_with_secret(self.pepper.as_slice(), Algorithm::Argon2id, Version::V0x13, params)
            .map_err(|e| Fault::broken(doing, e.to_string()))
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// `Broken` when Argon2 fails.
    pub fn hash(&self, password: &str) -> Result<String, Fault> {
        self.hash_with(password, MEMORY_KIB)
    }

    fn hash_with(&self, password: &str, memory_kib: u32) -> Result<String, Fault> {
        let hash = self
            .argon(memory_kib)?
            .hash_password(password.as_bytes())
            .map_err(|e| Fault::broken("hashing a password", e.to_string()))?;
        Ok(hash.to_string())
    }

    /// What is stored of a hash that another system made: bcrypt (`$2a$`, `$2b$`, `$2y$`), passlib's
    /// `$bcrypt-sha256$` and `$pbkdf2-sha256$`, or Argon2id in PHC form without a pepper.
    ///
    /// # Errors
    /// `password_hash_unknown` for another form, `password_hash_too_costly` for one whose check would
    /// take more of the box than any password deserves.
    pub fn import(hash: &str) -> Result<String, Fault> {
        Imported::parse(hash)?;
        Ok(format!("{IMPORTED}{hash}"))
    }

    /// What `password` is to what is stored: a hash of ours, or one that [`Passwords::import`] took in.
    /// A refusal takes no less time than hashing a password does, and as much more as an imported hash
    /// was made to take. Nothing stored that cannot be read is ever right.
    ///
    /// # Errors
    /// `Broken` when Argon2 cannot be prepared.
    pub fn verify(&self, password: &str, stored: &str) -> Result<Verdict, Fault> {
        if let Some(hash) = stored.strip_prefix(IMPORTED) {
            let right = Imported::parse(hash).is_ok_and(|hash| hash.is_of(password.as_bytes()));
            if right {
                return Ok(Verdict::RightButOld);
            }
            // Some of these take a twentieth of what ours do: whoever measures must not learn from a
            // quick refusal that there is such an account.
            self.hash(password)?;
            return Ok(Verdict::Wrong);
        }
        let Ok(hash) = PasswordHash::new(stored) else {
            self.hash(password)?;
            return Ok(Verdict::Wrong);
        };
        if self.argon(MEMORY_KIB)?.verify_password(password.as_bytes(), &hash).is_err() {
            return Ok(Verdict::Wrong);
        }
        let good =
            Params::try_from(&hash).is_ok_and(|p| p.m_cost() >= MEMORY_KIB && p.t_cost() >= PASSES);
        Ok(if good { Verdict::Right } else { Verdict::RightButOld })
    }

    /// Whether `password` is the one behind what is stored.
    ///
    /// # Errors
    /// As [`Passwords::verify`].
    pub fn check(&self, password: &str, stored: &str) -> Result<bool, Fault> {
        Ok(self.verify(password, stored)? != Verdict::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn passwords(pepper: u8) -> Passwords {
        Passwords { pepper: Zeroizing::new([pepper; 32]) }
    }

    #[test]
    fn a_password_checks_against_its_own_hash_and_pepper() {
        let ours = passwords(7);
        let phc = ours.hash("correct horse").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=47104,t=1,p=1$"), "{phc}");
        assert_eq!(ours.verify("correct horse", &phc).unwrap(), Verdict::Right);
        assert_eq!(ours.verify("correct hors", &phc).unwrap(), Verdict::Wrong);
        assert!(ours.check("correct horse", &phc).unwrap());
        assert_eq!(passwords(8).verify("correct horse", &phc).unwrap(), Verdict::Wrong);
    }

    #[test]
    fn a_hash_of_ours_from_weaker_days_is_right_but_old() {
        let weak = passwords(7).hash_with("correct horse", MEMORY_KIB / 2).unwrap();
        assert_eq!(passwords(7).verify("correct horse", &weak).unwrap(), Verdict::RightButOld);
        assert_eq!(passwords(7).verify("correct hors", &weak).unwrap(), Verdict::Wrong);
    }

    #[test]
    fn an_imported_hash_is_right_but_old_and_only_under_its_mark() {
        let theirs = "$argon2id$v=19$m=1024,t=2,p=2$lw2ievNeonoOA4mo2O+S9w$\
                      GXiWVmE/UuAlfEu/f+IgIzAa8ZHrnBJanrajijyec8M";
        let stored = Passwords::import(theirs).unwrap();
        assert_eq!(passwords(7).verify("correct horse", &stored).unwrap(), Verdict::RightButOld);
        assert_eq!(passwords(7).verify("correct hors", &stored).unwrap(), Verdict::Wrong);
        // Without the mark it is one of ours, under our pepper, which it is not; nor does the mark
        // turn one of ours into theirs.
        assert_eq!(passwords(7).verify("correct horse", theirs).unwrap(), Verdict::Wrong);
        let ours = passwords(7).hash("correct horse").unwrap();
        let marked = Passwords::import(&ours).unwrap();
        assert_eq!(passwords(7).verify("correct horse", &marked).unwrap(), Verdict::Wrong);
    }

    #[test]
    fn no_refusal_is_quicker_than_one_of_ours() {
        let cheap = "$pbkdf2-sha256$1$cm4NQUipNUZISYnROgfg3A$\
                     daDyOZ45OdQVrwt7GJSo3UbOOH6E23FixtrWLOifDQ4";
        let (ours, cheap) = (passwords(7), Passwords::import(cheap).unwrap());
        let took = |stored: &str| {
            let began = Instant::now();
            assert_eq!(ours.verify("wrong", stored).unwrap(), Verdict::Wrong);
            began.elapsed()
        };
        let usual = took(&ours.hash("right").unwrap());
        // Without the price of one of ours these take a thousandth of it.
        for stored in [cheap.as_str(), "!", "imported:!"] {
            assert!(took(stored) > usual / 10, "{stored}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_never_right() {
        for stored in ["", "!", "*", "imported:", "imported:!", "correct horse", "$argon2id$"] {
            assert_eq!(passwords(7).verify("", stored).unwrap(), Verdict::Wrong, "{stored}");
            let same = passwords(7).verify(stored, stored).unwrap();
            assert_eq!(same, Verdict::Wrong, "{stored}");
        }
    }
}
