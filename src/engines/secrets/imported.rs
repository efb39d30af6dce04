//! Password hashes that other systems made, read exactly as those systems read them.

use std::num::NonZeroU32;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, Version};
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use data_encoding::{BASE64, BASE64_NOPAD, Encoding, Specification};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::base::fault::Fault;

/// The longest hash that is read, bytes; the forms known here take less than half of it.
const HASH_MAX: usize = 512;
/// The least cost bcrypt knows.
const BCRYPT_COST_MIN: u32 = 4;
/// The highest bcrypt cost that is checked: each step doubles it, and this one takes two seconds.
const BCRYPT_COST_MAX: u32 = 15;
/// The most PBKDF2 rounds that are checked: a third of a second.
const PBKDF2_ROUNDS_MAX: u32 = 2_000_000;
/// The most memory that Argon2id is given for a check, KiB: 256 MiB.
const ARGON_MEMORY_MAX_KIB: u32 = 256 * 1024;
/// The most passes that Argon2id is given for a check: two seconds, over that memory.
const ARGON_PASSES_MAX: u32 = 10;
/// The most lanes that Argon2id is given for a check.
const ARGON_LANES_MAX: u32 = 8;

/// Bytes of a password that bcrypt looks at.
const BCRYPT_PASSWORD: usize = 72;
/// Bytes of a bcrypt digest that are written down; the algorithm makes one more.
const BCRYPT_DIGEST: usize = 23;
/// Characters of a bcrypt salt.
const BCRYPT_SALT_TEXT: usize = 22;
/// Bytes of SHA-256.
const SHA256: usize = 32;

/// A hash in one of the forms known here, within the limits.
pub(super) enum Imported {
    /// `$2b$cost$salt-digest`, of the password itself.
    Bcrypt(Bcrypt),
    /// passlib's `$bcrypt-sha256$`, version 1: of the password's SHA-256 in base64.
    BcryptSha256(Bcrypt),
    /// passlib's `$bcrypt-sha256$`, version 2: of its HMAC-SHA256 keyed with the salt as it is written.
    BcryptHmac(Bcrypt, String),
    /// passlib's `$pbkdf2-sha256$rounds$salt$digest`.
    Pbkdf2 { rounds: NonZeroU32, salt: Vec<u8>, digest: Vec<u8> },
    /// Argon2id without a pepper.
    Argon(Box<PasswordHash>),
}

/// What bcrypt needs to make the same hash again.
pub(super) struct Bcrypt {
    cost: u32,
    salt: [u8; 16],
    digest: [u8; BCRYPT_DIGEST],
}

impl Imported {
    /// Reads a hash.
    ///
    /// # Errors
    /// `password_hash_unknown`, `password_hash_too_costly`.
    pub(super) fn parse(hash: &str) -> Result<Self, Fault> {
        if hash.len() > HASH_MAX || !hash.is_ascii() {
            return Err(unknown());
        }
        let (name, rest) =
            hash.strip_prefix('$').and_then(|hash| hash.split_once('$')).ok_or_else(unknown)?;
        match name {
            // `2a` and `2y` are `2b` under the names of libraries that never had, or have mended, the
            // faults that the letters tell apart; `2x` is the faulty one.
            "2a" | "2b" | "2y" => {
                // Here the cost has two digits, always.
                let (cost, rest) = rest.split_once('$').ok_or_else(unknown)?;
                let (salt, digest) = rest.split_at_checked(BCRYPT_SALT_TEXT).ok_or_else(unknown)?;
                if cost.len() != 2 {
                    return Err(unknown());
                }
                let cost = cost.strip_prefix('0').unwrap_or(cost);
                Ok(Self::Bcrypt(Bcrypt::read(cost, salt, digest)?))
            }
            "bcrypt-sha256" => Self::passlib_bcrypt(rest),
            "pbkdf2-sha256" => Self::passlib_pbkdf2(rest),
            "argon2id" => Self::argon(hash),
            _ => Err(unknown()),
        }
    }

    /// `v=2,t=2b,r=12$salt$digest`, or of old `2b,12$salt$digest`
    /// (passlib 1.7.4, `handlers/bcrypt.py`, `bcrypt_sha256`).
    fn passlib_bcrypt(rest: &str) -> Result<Self, Fault> {
        let [head, salt, digest] = fields(rest)?;
        if let Some(cost) = head.strip_prefix("v=2,t=2b,r=") {
            return Ok(Self::BcryptHmac(Bcrypt::read(cost, salt, digest)?, salt.to_owned()));
        }
        let cost = head.strip_prefix("2b,").or_else(|| head.strip_prefix("2a,"));
        Ok(Self::BcryptSha256(Bcrypt::read(cost.ok_or_else(unknown)?, salt, digest)?))
    }

    /// `rounds$salt$digest`, the latter two in base64 with `.` for `+` (passlib 1.7.4,
    /// `utils/binary.py`, `ab64_encode`).
    fn passlib_pbkdf2(rest: &str) -> Result<Self, Fault> {
        let [rounds, salt, digest] = fields(rest)?;
        let rounds = NonZeroU32::new(number(rounds)?).ok_or_else(unknown)?;
        if rounds.get() > PBKDF2_ROUNDS_MAX {
            return Err(too_costly());
        }
        let ab64 = |text: &str| {
            BASE64_NOPAD.decode(text.replace('.', "+").as_bytes()).map_err(|_| unknown())
        };
        let (salt, digest) = (ab64(salt)?, ab64(digest)?);
        if digest.len() == SHA256 {
            Ok(Self::Pbkdf2 { rounds, salt, digest })
        } else {
            Err(unknown())
        }
    }

    /// The PHC form (RFC 9106 and the PHC string format).
    fn argon(hash: &str) -> Result<Self, Fault> {
        let hash = PasswordHash::new(hash).map_err(|_| unknown())?;
        let params = Params::try_from(&hash).map_err(|_| unknown())?;
        // Who leaves the version out means the first one, and the library would take the second.
        let version = hash.version.is_some_and(|v| Version::try_from(v).is_ok());
        if !version || hash.salt.is_none() || hash.hash.is_none() {
            return Err(unknown());
        }
        if params.m_cost() > ARGON_MEMORY_MAX_KIB
            || params.t_cost() > ARGON_PASSES_MAX
            || params.p_cost() > ARGON_LANES_MAX
        {
            return Err(too_costly());
        }
        Ok(Self::Argon(Box::new(hash)))
    }

    /// Whether this is the hash of `password`.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(bcrypt) => {
                // The first bcrypt took a C string: it ends before its first NUL.
                bcrypt.is_of(password.split(|b| *b == 0).next().unwrap_or_default())
            }
            Self::BcryptSha256(bcrypt) => bcrypt.is_of_digest(&Sha256::digest(password)),
            Self::BcryptHmac(bcrypt, salt) => {
                let Ok(mac) = Hmac::<Sha256>::new_from_slice(salt.as_bytes()) else { return false };
                bcrypt.is_of_digest(&mac.chain_update(password).finalize().into_bytes())
            }
            Self::Pbkdf2 { rounds, salt, digest } => {
                pbkdf2::verify(PBKDF2_HMAC_SHA256, *rounds, salt, password, digest).is_ok()
            }
            Self::Argon(hash) => Argon2::default().verify_password(password, hash.as_ref()).is_ok(),
        }
    }
}

impl Bcrypt {
    /// From a cost without leading zeros and two texts in bcrypt's own base64.
    fn read(cost: &str, salt: &str, digest: &str) -> Result<Self, Fault> {
        let cost = number(cost)?;
        let base64 = base64()?;
        let decode = |text: &str| base64.decode(text.as_bytes()).map_err(|_| unknown());
        let salt = decode(salt)?.try_into().map_err(|_| unknown())?;
        let digest = decode(digest)?.try_into().map_err(|_| unknown())?;
        match cost {
            ..BCRYPT_COST_MIN => Err(unknown()),
            BCRYPT_COST_MIN..=BCRYPT_COST_MAX => Ok(Self { cost, salt, digest }),
            _ => Err(too_costly()),
        }
    }

    fn is_of(&self, password: &[u8]) -> bool {
        // The NUL that ends the C string counts, where there is room for it.
        let key: Zeroizing<Vec<u8>> =
            Zeroizing::new(password.iter().copied().chain([0]).take(BCRYPT_PASSWORD).collect());
        let made = bcrypt::bcrypt(self.cost, self.salt, &key);
        made.get(..BCRYPT_DIGEST).is_some_and(|made| made.ct_eq(&self.digest).into())
    }

    /// passlib hashes first, in base64, so that bcrypt sees all of a long password and no NUL.
    fn is_of_digest(&self, digest: &[u8]) -> bool {
        self.is_of(Zeroizing::new(BASE64.encode(digest)).as_bytes())
    }
}

/// The three fields that `$` parts.
fn fields(text: &str) -> Result<[&str; 3], Fault> {
    let fields: Vec<&str> = text.split('$').collect();
    fields.try_into().map_err(|_| unknown())
}

/// A decimal number without leading zeros.
fn number(text: &str) -> Result<u32, Fault> {
    if text.is_empty() || text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(unknown());
    }
    // All digits, and yet no number: it is too large for one.
    text.parse().map_err(|_| too_costly())
}

/// bcrypt's base64: its own alphabet, and spare bits that its libraries have set and ignored.
fn base64() -> Result<Encoding, Fault> {
    let mut form = Specification::new();
    form.symbols.push_str("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    form.check_trailing_bits = false;
    form.encoding().map_err(|e| Fault::broken("preparing bcrypt's base64", e))
}

fn unknown() -> Fault {
    Fault::invalid(
        "password_hash_unknown",
        "This is no password hash that can be taken in: bcrypt, passlib's bcrypt-sha256 or \
         pbkdf2-sha256, or Argon2id.",
    )
}

fn too_costly() -> Fault {
    Fault::invalid(
        "password_hash_too_costly",
        "Checking this password hash would take too much time or memory; give the user a new password.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "correct horse";
    const ACCENTS: &str = "Éléphant à l’été 42";
    /// 92 bytes: more than bcrypt looks at.
    const LONG: &str = "un mot de passe vraiment très long, bien plus long que soixante-douze \
                        octets : ça déborde";

    /// Made with bcrypt 4.0.1, passlib 1.7.4 and argon2-cffi 25.1 from the three passwords.
    const MADE: [(&str, [&str; 8]); 3] = [
        (
            PLAIN,
            [
                "$2b$05$OEnRfvQIsThS46mUDIWBX./RblW4GcKxAOWqzBnIHnlpcNEKm6kG6",
                "$2a$05$o122fdefonNrgKDigASOQuAWST0yTB3F1mwB5AhxdkYNidr0Nxjru",
                "$2y$05$9ZxuG4BbTjC6gaNI8H0li.A6M2ebcfLlEWU2s37zjCEm/fB.Whzaq",
                "$bcrypt-sha256$v=2,t=2b,r=5$f9ZdLdLRyHAIU75urOMM4O$WvyiheHrBu1NOq0oSupiwLYCdj5DAhC",
                "$bcrypt-sha256$2b,5$58dV8/pMEB2FzC4sVhG/Je$5SVM3.m8r7RCbtWmfYbxgHb.xf49WhK",
                "$pbkdf2-sha256$1200$5fz/3xsjBCAkBCDEOGdsjQ$MVGNqsVqiRPs163TFUMdFgo9n7wSsCXvnTIdNfv/GMw",
                "$argon2id$v=19$m=1024,t=2,p=2$+EYbudQV4w+rVq4WAMRlTw$w5xKUosv7InWZGoj5N43atMxoPGgpS0nD61Y3e87k3Q",
                "$argon2id$v=19$m=512,t=3,p=1$jrE2Rsj5f89Zq5XSureWkg$pticf+n+Mdzk40lkP18gFUEo/jHfiJ6sp5kHT63HAs4",
            ],
        ),
        (
            ACCENTS,
            [
                "$2b$05$L6wXNDFjKvEOXL9X3RvUieNScTgsS7027MRuu.LPx.JIPy7ijwHO6",
                "$2a$05$p/0SGNA8wThRaNvyf.cXzu6cy6M8OmE0LWcaf9gwujsKHdZDTPcTy",
                "$2y$05$A3yT449Y.0LXXxBhP0msKOEgpyac4FR2DB/HYVOYO3Q2kcz04vljW",
                "$bcrypt-sha256$v=2,t=2b,r=5$JJf9HsuIBkTyZgfwfCGw/O$UXZocFmAnBw66AMocqcSgOpIIm9W2hy",
                "$bcrypt-sha256$2b,5$1iXNbtuUlMmzJaOCM0UwEe$EznJODCtFYWn22vO132mWZMJtQo0Ql2",
                "$pbkdf2-sha256$1200$GcP4PwcAgBBiDEFoDeGcEw$xR.SI1ICbDxpSdngGA.hZ39CfO0WJWKQVVoqbHTnlr4",
                "$argon2id$v=19$m=1024,t=2,p=2$oAUmmZ3M6BlM1plPhuMV3A$+Dr5p8URPh5JBuM5VBPIOdTsITrFFhBUAPYaphoEy9o",
                "$argon2id$v=19$m=512,t=3,p=1$xjjHGOM85/zfm5PSmpMyRg$k5G8BlMiGjxWwk0NSqV4Nv/nIYzhoCTVhNBm9QRb0qs",
            ],
        ),
        (
            LONG,
            [
                "$2b$05$/iRQlZ1q.aQGRmtcuHo8zuiQOYvrNUs8TG05WNStUWNYcgXDvNcb2",
                "$2a$05$fWyJxIb8y82KtTdpKjxPHOWAVUbGFgSgOSYzJpNSJlR.Mz/BZC/MW",
                "$2y$05$tCyYzHKXLilLVgAx/g1lN.ZYr0W0Ircf7PZFVz/IO2VDAHHp0pXZK",
                "$bcrypt-sha256$v=2,t=2b,r=5$fSZekPQ8C4HuHG0W.SZo..$64kj/.JQUYXwygBl6fMt7pLN0u9/bPC",
                "$bcrypt-sha256$2b,5$iSx/tyCXsu9cFWZ0rKaHXu$b0G4U51BikDpJcjJjGnhVuR54tDOKOy",
                "$pbkdf2-sha256$1200$qPU.x5iztlbKeQ/BmJNyLg$kLtATN6TCT6VSz2UTWY1tWHC2Gf7i9gNfA07f3lZMQo",
                "$argon2id$v=19$m=1024,t=2,p=2$C2t9FSo4bvjmlh5vVArR1w$NvKOv0eq0PIPnlpJfgvefRs5q2Qzjz9DyfTkmgM32Wo",
                "$argon2id$v=19$m=512,t=3,p=1$E0IohbBWKqUUAgDgvBfifA$rj5YyhP6JGz+QvO8vZ81P8uhj1PaXQH4ZVbWTepDeA4",
            ],
        ),
    ];

    fn is_of(hash: &str, password: &str) -> bool {
        Imported::parse(hash).unwrap().is_of(password.as_bytes())
    }

    fn code(hash: &str) -> &'static str {
        Imported::parse(hash).map_or_else(|f| f.code, |_| "known")
    }

    #[test]
    fn hashes_of_other_systems_know_their_password_and_no_other() {
        for (password, hashes) in MADE {
            for hash in hashes {
                assert!(is_of(hash, password), "{hash}");
                // One letter off at the start, where every form must see it.
                assert!(!is_of(hash, &password.replacen(['c', 'É', 'u'], "x", 1)), "{hash}");
                assert!(!is_of(hash, ""), "{hash}");
                let plain_bcrypt = hash.starts_with("$2");
                let changed_end = format!("{password}!");
                let unseen = plain_bcrypt && password.len() > BCRYPT_PASSWORD;
                assert_eq!(is_of(hash, &changed_end), unseen, "{hash}");
            }
        }
    }

    #[test]
    fn a_nul_ends_a_password_for_bcrypt_alone() {
        let [bcrypt, .., pbkdf2, _, _] = MADE[0].1;
        assert!(is_of(bcrypt, "correct horse\0and more"));
        assert!(!is_of(pbkdf2, "correct horse\0and more"));
        // Made with passlib from "abc\0def".
        let sha = "$bcrypt-sha256$v=2,t=2b,r=5$nsGOs7TG0JDKzemJg21iGu$\
                   FSbI7/F9.9Y1GLtCZ.ZbpMAy07rXTY2";
        assert!(is_of(sha, "abc\0def") && !is_of(sha, "abc"));
        let pbkdf2 = "$pbkdf2-sha256$1200$Qcg5R6hVCqGUkvI.x1iLMQ$\
                      B05Minycicwu5hLUcOrrbhlodXnND7lFSn73UC71mx0";
        assert!(is_of(pbkdf2, "abc\0def") && !is_of(pbkdf2, "abc"));
    }

    #[test]
    fn spare_bits_of_a_salt_do_not_matter_to_bcrypt() {
        let hash = MADE[0].1[0];
        let salt_ends = 7 + BCRYPT_SALT_TEXT;
        let (head, tail) = hash.split_at(salt_ends);
        assert!(head.ends_with('.'), "{head}");
        let odd = format!("{}/{tail}", head.strip_suffix('.').unwrap());
        assert!(is_of(&odd, PLAIN));
    }

    #[test]
    fn what_is_no_such_hash_is_refused_by_name() {
        let [b, _, _, v2, v1, pbkdf2, argon, _] = MADE[0].1;
        let tail = |hash: &str, at: usize| hash.split_at(at).1.to_owned();
        for hash in [
            String::new(),
            "$".into(),
            "$$$$".into(),
            "correct horse".into(),
            "5f4dcc3b5aa765d61d8327deb882cf99".into(),
            "é".repeat(60),
            "$2b$05$é".into(),
            format!("$2x{}", tail(b, 3)),
            format!("$2{}", tail(b, 3)),
            format!("$2b$5{}", tail(b, 6)),
            format!("$2b$005{}", tail(b, 6)),
            format!("$2b$00{}", tail(b, 6)),
            format!("$2b$03{}", tail(b, 6)),
            format!("{b}A"),
            b.split_at(59).0.into(),
            format!("{}+{}", b.split_at(10).0, tail(b, 11)),
            v2.replace("v=2", "v=3"),
            v2.replace("t=2b", "t=2a"),
            v2.replace("r=5", "r=05"),
            v1.replace("2b,5", "2y,5"),
            format!("{v1}$"),
            pbkdf2.replace("$1200$", "$0$"),
            pbkdf2.replace("$1200$", "$-1$"),
            pbkdf2.replace("$1200$", "$01200$"),
            pbkdf2.split_at(pbkdf2.len() - 4).0.into(),
            argon.replace("argon2id", "argon2i"),
            argon.replace("$v=19", ""),
            argon.replace("m=1024", "m=1"),
            argon.rsplit_once('$').unwrap().0.into(),
            format!("{argon}{}", "A".repeat(HASH_MAX)),
        ] {
            assert_eq!(code(&hash), "password_hash_unknown", "{hash}");
        }
    }

    #[test]
    fn a_hash_that_would_take_the_box_down_is_refused() {
        let [b, _, _, v2, v1, pbkdf2, argon, _] = MADE[0].1;
        for (hash, least, most) in [
            (b, "$05$", ["$15$", "$16$"]),
            (v2, "r=5", ["r=15", "r=16"]),
            (v1, ",5", [",15", ",31"]),
            (pbkdf2, "$1200$", ["$2000000$", "$2000001$"]),
            (pbkdf2, "$1200$", ["$1$", "$99999999999999$"]),
            (argon, "m=1024", ["m=262144", "m=262145"]),
            (argon, "t=2", ["t=10", "t=11"]),
            (argon, "p=2", ["p=8", "p=9"]),
        ] {
            assert_eq!(code(&hash.replacen(least, most[0], 1)), "known", "{hash}");
            let over = hash.replacen(least, most[1], 1);
            assert_eq!(code(&over), "password_hash_too_costly", "{over}");
        }
    }
}
