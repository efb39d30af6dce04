//! Signed access tokens (JWT, RFC 7519, in the compact form of RFC 7515), on aws-lc-rs.
//!
//! What RFC 8725 (best practices) asks for: the algorithm is the key's and never the header's, a key has
//! one algorithm, no key is fetched or taken from a header (`jku`, `x5u`, `jwk`), extensions that have to
//! be understood (`crit`) are refused, and every token says what it is (`typ`) and for whom.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac as mac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use data_encoding::BASE64URL_NOPAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::base::caller::Refusal;
use crate::base::clock::Moment;
use crate::base::fault::Fault;

/// The audience of access tokens.
pub const AUDIENCE: &str = "ilot";
/// Longer tokens are refused before anything in them is read, bytes.
pub const TOKEN_MAX: usize = 8 * 1024;
/// Bytes of an HS256 secret: as many as the hash has (RFC 7518 §3.2 asks for no fewer).
const SECRET: usize = 32;
/// Bytes of a hash that name a key.
const NAME: usize = 9;

const MALFORMED: Refusal = named("token_malformed", "This is not a token; sign in again.");
const ALGORITHM: Refusal =
    named("token_algorithm", "The token is signed in another way than this box signs.");
const KEY_UNKNOWN: Refusal =
    named("token_key_unknown", "The token was signed with a key this box does not use.");
const SIGNATURE: Refusal = named("token_signature", "The token's signature is not good.");
const ISSUER: Refusal = named("token_issuer", "The token was issued elsewhere.");
const AUDIENCE_WRONG: Refusal = named("token_audience", "The token is meant for somebody else.");
const KIND_WRONG: Refusal = named("token_kind", "The token is of another kind.");
const NOT_YET: Refusal = named("token_not_yet", "The token is not good yet.");
const EXPIRED: Refusal = named("token_expired", "The token has expired; sign in again.");

const fn named(code: &'static str, message: &'static str) -> Refusal {
    Refusal { code, message: Cow::Borrowed(message) }
}

/// How a box signs its tokens (RFC 7518 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSA-2048, PKCS#1 v1.5, SHA-256.
    #[default]
    #[serde(rename = "RS256", alias = "rs256")]
    Rs256,
    /// ECDSA on P-256, SHA-256: short keys, and tokens a third shorter.
    #[serde(rename = "ES256", alias = "es256")]
    Es256,
    /// HMAC-SHA256: whoever can check such a token can make one.
    #[serde(rename = "HS256", alias = "hs256")]
    Hs256,
}

impl Algorithm {
    /// Its name in headers and settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
        }
    }
}

/// What every token of this box claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who signed: this site.
    pub iss: String,
    /// For whom it is meant.
    pub aud: String,
    /// What kind of token it is; a token of one kind is never taken for another.
    pub typ: String,
    /// The user.
    pub sub: String,
    /// The session, checked on every request.
    pub sid: String,
    /// This token's own name.
    pub jti: String,
    /// Issued at, seconds since 1970.
    pub iat: i64,
    /// Not good before, seconds since 1970.
    pub nbf: i64,
    /// Good until, seconds since 1970.
    pub exp: i64,
}

/// The header of a token, as far as it is read: nothing in it can choose a key or an algorithm.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// Whether a field is there, whatever its value, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A key, read once: reading one costs as much as a check does.
enum Pair {
    Rsa(RsaKeyPair, ParsedPublicKey),
    Ec(EcdsaKeyPair, ParsedPublicKey),
    Secret(Box<mac::Key>),
}

/// A key that signs and checks this box's tokens.
pub struct TokenKey {
    algorithm: Algorithm,
    name: String,
    /// The header of every token it signs, as it is sent.
    header: String,
    pair: Pair,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey")
            .field("algorithm", &self.algorithm)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl TokenKey {
    /// Makes a new key, to be sealed and kept: PKCS#8 DER, or an HS256 secret's 32 bytes.
    ///
    /// # Errors
    /// `Broken` when the machine cannot.
    pub fn make(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let broken = |e: aws_lc_rs::error::Unspecified| Fault::broken("making a token key", e);
        let bytes = match algorithm {
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(broken)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(broken)?;
                der.as_ref().to_vec()
            }
            Algorithm::Es256 => {
                let pair =
                    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(broken)?;
                pair.to_pkcs8v1().map_err(broken)?.as_ref().to_vec()
            }
            Algorithm::Hs256 => {
                let mut secret = vec![0; SECRET];
                aws_lc_rs::rand::fill(&mut secret).map_err(broken)?;
                secret
            }
        };
        Ok(Zeroizing::new(bytes))
    }

    /// The key that [`TokenKey::make`] made for that algorithm.
    ///
    /// # Errors
    /// `Broken` when the bytes are no such key.
    pub fn read(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, Fault> {
        let doing = "reading a token key";
        let rejected = |e: aws_lc_rs::error::KeyRejected| Fault::broken(doing, e);
        let (pair, named_by) = match algorithm {
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(bytes).map_err(rejected)?;
                let public = spki(pair.public_key())?;
                let check = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public)
                    .parse()
                    .map_err(rejected)?;
                (Pair::Rsa(pair, check), public)
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes)
                    .map_err(rejected)?;
                let public = spki(pair.public_key())?;
                let check = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public)
                    .parse()
                    .map_err(rejected)?;
                (Pair::Ec(pair, check), public)
            }
            Algorithm::Hs256 if bytes.len() == SECRET => {
                let key = mac::Key::new(mac::HMAC_SHA256, bytes);
                // The name is shown to everybody and must tell nothing of the secret. It is the tag of
                // words that no token can be: they hold no point.
                let tag = mac::sign(&key, b"ilot/v1/name of this token key");
                (Pair::Secret(Box::new(key)), tag.as_ref().to_vec())
            }
            Algorithm::Hs256 => return Err(Fault::broken(doing, "the secret is not 32 bytes")),
        };
        let digest = Sha256::digest(&named_by);
        let name = BASE64URL_NOPAD.encode(digest.get(..NAME).unwrap_or_default());
        let header = serde_json::json!({ "alg": algorithm.name(), "kid": name, "typ": "JWT" });
        let header = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        Ok(Self { algorithm, name, header, pair })
    }

    /// Its name (`kid`): a hash of its public half.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The one algorithm it is used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs claims.
    ///
    /// # Errors
    /// `Broken` when signing fails.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Fault> {
        let doing = "signing a token";
        let claims = serde_json::to_vec(claims).map_err(|e| Fault::broken(doing, e))?;
        let mut token = format!("{}.{}", self.header, BASE64URL_NOPAD.encode(&claims));
        let broken = |e: aws_lc_rs::error::Unspecified| Fault::broken(doing, e);
        let signature = match &self.pair {
            Pair::Rsa(pair, _) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    token.as_bytes(),
                    &mut signature,
                )
                .map_err(broken)?;
                signature
            }
            Pair::Ec(pair, _) => {
                pair.sign(&SystemRandom::new(), token.as_bytes()).map_err(broken)?.as_ref().to_vec()
            }
            Pair::Secret(key) => mac::sign(key, token.as_bytes()).as_ref().to_vec(),
        };
        token.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut token);
        Ok(token)
    }

    /// The claims of a token that this key signed, by the issuer, for the audience and of the kind
    /// named, and good at `now`: from its `nbf` on and before its `exp`, without any leeway.
    ///
    /// # Errors
    /// In the order in which they are judged: `token_malformed`, `token_algorithm`,
    /// `token_key_unknown`, `token_signature`, `token_issuer`, `token_audience`, `token_kind`,
    /// `token_not_yet`, `token_expired`.
    pub fn check(
        &self,
        token: &str,
        issuer: &str,
        audience: &str,
        kind: &str,
        now: Moment,
    ) -> Result<Claims, Refusal> {
        let claims: Claims = self.signed(token)?;
        // Only now is anything believed that the token says.
        let seconds = now.0.div_euclid(1000);
        if claims.iss != issuer {
            Err(ISSUER)
        } else if claims.aud != audience {
            Err(AUDIENCE_WRONG)
        } else if claims.typ != kind {
            Err(KIND_WRONG)
        } else if claims.nbf > seconds {
            Err(NOT_YET)
        } else if claims.exp <= seconds {
            Err(EXPIRED)
        } else {
            Ok(claims)
        }
    }

    /// What a token claims that this key has signed, whatever that is: whose token it is, for whom and
    /// until when is left to whoever asks.
    ///
    /// # Errors
    /// `token_malformed`, `token_algorithm`, `token_key_unknown`, `token_signature`.
    pub fn signed<C: DeserializeOwned>(&self, token: &str) -> Result<C, Refusal> {
        if token.len() > TOKEN_MAX {
            return Err(MALFORMED);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, claims) = message.split_once('.').ok_or(MALFORMED)?;
        if header != self.header {
            // Another writer's header; ours, letter for letter, needs no reading.
            self.fits(&part::<Header>(header)?)?;
        }
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| MALFORMED)?;
        match &self.pair {
            Pair::Rsa(_, public) | Pair::Ec(_, public) => {
                public.verify_sig(message.as_bytes(), &signature)
            }
            Pair::Secret(key) => mac::verify(key, message.as_bytes(), &signature),
        }
        .map_err(|_| SIGNATURE)?;
        part(claims)
    }

    fn fits(&self, header: &Header) -> Result<(), Refusal> {
        if header.crit {
            Err(MALFORMED)
        } else if header.alg != self.algorithm.name() {
            Err(ALGORITHM)
        } else if header.kid.as_deref() != Some(self.name.as_str()) {
            Err(KEY_UNKNOWN)
        } else {
            Ok(())
        }
    }
}

/// A public half as everybody else writes it: `SubjectPublicKeyInfo` (RFC 5280 §4.1).
fn spki(public: &impl AsDer<PublicKeyX509Der<'static>>) -> Result<Vec<u8>, Fault> {
    let der = public.as_der().map_err(|e| Fault::broken("reading a token key", e))?;
    Ok(der.as_ref().to_vec())
}

/// The PKCS#8 bytes of the private key in a PEM text (RFC 7468), when it holds one without a passphrase
/// that signs RS256; none for anything else.
pub fn from_pem(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    let bytes = Zeroizing::new(data_encoding::BASE64.decode(body.as_bytes()).ok()?);
    TokenKey::read(Algorithm::Rs256, &bytes).ok().map(|_| bytes)
}

/// One part of a token: base64url without padding around JSON.
fn part<T: DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let json = BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| MALFORMED)?;
    serde_json::from_slice(&json).map_err(|_| MALFORMED)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use data_encoding::BASE64;
    use jsonwebtoken as other;
    use serde_json::{Value, json};

    use super::*;

    const ALL: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Hs256];
    const SITE: &str = "ilot:site";

    fn claims() -> Claims {
        Claims {
            iss: SITE.into(),
            aud: AUDIENCE.into(),
            typ: "access".into(),
            sub: "u".into(),
            sid: "s".into(),
            jti: "j".into(),
            iat: 1_000,
            nbf: 1_000,
            exp: 2_000,
        }
    }

    fn key(algorithm: Algorithm) -> (TokenKey, Zeroizing<Vec<u8>>) {
        let bytes = TokenKey::make(algorithm).unwrap();
        (TokenKey::read(algorithm, &bytes).unwrap(), bytes)
    }

    fn at(key: &TokenKey, token: &str, second: i64) -> Result<Claims, &'static str> {
        key.check(token, SITE, AUDIENCE, "access", Moment(second * 1000)).map_err(|r| r.code)
    }

    fn code(key: &TokenKey, token: &str) -> &'static str {
        at(key, token, 1_500).err().unwrap_or("good")
    }

    /// The same key in the hands of another library.
    fn others(algorithm: Algorithm, bytes: &[u8]) -> other::EncodingKey {
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64.encode(bytes)
        );
        match algorithm {
            Algorithm::Rs256 => other::EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            Algorithm::Es256 => other::EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
            Algorithm::Hs256 => other::EncodingKey::from_secret(bytes),
        }
    }

    fn header(key: &TokenKey) -> other::Header {
        let mut header = other::Header::new(key.algorithm().name().parse().unwrap());
        header.kid = Some(key.name().to_owned());
        header
    }

    /// A token put together by hand, signed with `key` whatever its header says.
    fn forge(key: &TokenKey, header: &Value, claims: &Value) -> String {
        let header = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        let claims = BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
        let message = format!("{header}.{claims}");
        let signature = match &key.pair {
            Pair::Secret(secret) => mac::sign(secret, message.as_bytes()).as_ref().to_vec(),
            Pair::Ec(pair, _) => {
                pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec()
            }
            Pair::Rsa(pair, _) => {
                let mut s = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut s)
                    .unwrap();
                s
            }
        };
        format!("{message}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    #[test]
    fn a_token_is_good_in_its_time_for_its_purpose_and_under_its_key() {
        for algorithm in ALL {
            let (key, _) = key(algorithm);
            let token = key.sign(&claims()).unwrap();
            assert_eq!(at(&key, &token, 1_000), Ok(claims()));
            assert_eq!(at(&key, &token, 1_999), Ok(claims()));
            assert_eq!(at(&key, &token, 2_000), Err("token_expired"));
            assert_eq!(at(&key, &token, 999), Err("token_not_yet"));
            let ask = |issuer, audience, kind| {
                key.check(&token, issuer, audience, kind, Moment(1_500_000)).unwrap_err().code
            };
            assert_eq!(ask("ilot:other", AUDIENCE, "access"), "token_issuer");
            assert_eq!(ask(SITE, "kiosk", "access"), "token_audience");
            assert_eq!(ask(SITE, AUDIENCE, "ephemeral_qr"), "token_kind");
        }
    }

    #[test]
    fn a_pass_is_never_an_access_token() {
        let (key, _) = key(Algorithm::Es256);
        let pass = key.sign(&Claims { typ: "ephemeral_qr".into(), ..claims() }).unwrap();
        assert_eq!(code(&key, &pass), "token_kind");
    }

    #[test]
    fn another_library_reads_what_is_signed_and_writes_what_is_read() {
        for algorithm in ALL {
            let (key, bytes) = key(algorithm);
            let theirs =
                other::encode(&header(&key), &claims(), &others(algorithm, &bytes)).unwrap();
            assert_eq!(at(&key, &theirs, 1_500), Ok(claims()));
            let ours = key.sign(&claims()).unwrap();
            let check = match &key.pair {
                Pair::Rsa(pair, _) => {
                    let public = pair.public_key();
                    other::DecodingKey::from_rsa_raw_components(
                        public.modulus().big_endian_without_leading_zero(),
                        public.exponent().big_endian_without_leading_zero(),
                    )
                }
                Pair::Ec(pair, _) => other::DecodingKey::from_ec_der(pair.public_key().as_ref()),
                Pair::Secret(_) => other::DecodingKey::from_secret(&bytes),
            };
            let mut rules = other::Validation::new(algorithm.name().parse().unwrap());
            rules.validate_exp = false;
            rules.set_audience(&[AUDIENCE]);
            let read = other::decode::<Claims>(&ours, &check, &rules).unwrap();
            assert_eq!(read.claims, claims());
            assert_eq!(read.header.kid.as_deref(), Some(key.name()));
        }
    }

    #[test]
    fn the_algorithm_is_the_key_s_whatever_the_header_says() {
        let (key, _) = key(Algorithm::Rs256);
        // The classic confusion: the public key, which everybody has, as an HMAC secret.
        let Pair::Rsa(pair, _) = &key.pair else { panic!("not an RSA key") };
        let public = spki(pair.public_key()).unwrap();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            BASE64.encode(&public)
        );
        for secret in [public.as_slice(), pem.as_bytes()] {
            let mut header = other::Header::new(other::Algorithm::HS256);
            header.kid = Some(key.name().to_owned());
            let forged =
                other::encode(&header, &claims(), &other::EncodingKey::from_secret(secret))
                    .unwrap();
            assert_eq!(code(&key, &forged), "token_algorithm");
        }
        let claims = json!(claims());
        for alg in ["none", "None", "NONE", "", "rs256", "RS512", "ES256"] {
            let header = json!({ "alg": alg, "kid": key.name() });
            let signed = forge(&key, &header, &claims);
            assert_eq!(code(&key, &signed), "token_algorithm", "{alg}");
            let (message, _) = signed.rsplit_once('.').unwrap();
            assert_eq!(code(&key, &format!("{message}.")), "token_algorithm", "{alg}");
        }
    }

    #[test]
    fn a_foreign_key_is_not_known_and_a_borrowed_name_does_not_help() {
        for algorithm in ALL {
            let ((key, bytes), (foreign, foreign_bytes)) = (key(algorithm), key(algorithm));
            let theirs = others(algorithm, &foreign_bytes);
            assert_eq!(code(&key, &foreign.sign(&claims()).unwrap()), "token_key_unknown");
            let borrowed = other::encode(&header(&key), &claims(), &theirs).unwrap();
            assert_eq!(code(&key, &borrowed), "token_signature");
            let mut nameless = header(&key);
            nameless.kid = None;
            let nameless = other::encode(&nameless, &claims(), &others(algorithm, &bytes)).unwrap();
            assert_eq!(code(&key, &nameless), "token_key_unknown");
        }
    }

    #[test]
    fn keys_offered_in_a_header_are_not_followed_and_extensions_are_refused() {
        let (key, bytes) = key(Algorithm::Es256);
        let (_, foreign) = super::tests::key(Algorithm::Es256);
        let mut pointing = header(&key);
        pointing.jku = Some("https://example.invalid/keys".into());
        pointing.x5u = Some("https://example.invalid/cert".into());
        let theirs =
            other::encode(&pointing, &claims(), &others(Algorithm::Es256, &foreign)).unwrap();
        assert_eq!(code(&key, &theirs), "token_signature");
        // Pointing somewhere does no harm to a token that is good by itself.
        let ours = other::encode(&pointing, &claims(), &others(Algorithm::Es256, &bytes)).unwrap();
        assert_eq!(code(&key, &ours), "good");
        for crit in [json!(["exp"]), json!([]), Value::Null] {
            let header = json!({ "alg": "ES256", "kid": key.name(), "crit": crit });
            assert_eq!(code(&key, &forge(&key, &header, &json!(claims()))), "token_malformed");
        }
    }

    #[test]
    fn every_claim_is_needed_once_and_in_its_form() {
        let (key, _) = key(Algorithm::Hs256);
        let header = json!({ "alg": "HS256", "kid": key.name() });
        assert_eq!(code(&key, &forge(&key, &header, &json!(claims()))), "good");
        for claim in ["exp", "nbf", "aud", "iss", "sub", "typ", "sid"] {
            let mut without = json!(claims());
            without.as_object_mut().unwrap().remove(claim);
            assert_eq!(code(&key, &forge(&key, &header, &without)), "token_malformed", "{claim}");
            without[claim] = json!([AUDIENCE, 1]);
            assert_eq!(code(&key, &forge(&key, &header, &without)), "token_malformed", "{claim}");
        }
        let twice = json!(claims()).to_string().replacen('{', "{\"exp\":9999,", 1);
        let message = format!("{}.{}", key.header, BASE64URL_NOPAD.encode(twice.as_bytes()));
        let Pair::Secret(secret) = &key.pair else { panic!("not a secret") };
        let tag = mac::sign(secret, message.as_bytes());
        let twice = format!("{message}.{}", BASE64URL_NOPAD.encode(tag.as_ref()));
        assert_eq!(code(&key, &twice), "token_malformed");
    }

    #[test]
    fn what_is_no_token_is_said_to_be_none() {
        let (key, _) = key(Algorithm::Rs256);
        let token = key.sign(&claims()).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        for text in ["", ".", "..", "a.b", "a.b.c", "....", "é.é.é", message] {
            assert_eq!(code(&key, text), "token_malformed", "{text}");
        }
        for text in
            [format!("{token}="), format!("{token}.x"), format!(" {token}"), format!("{token}\n")]
        {
            assert_eq!(code(&key, &text), "token_malformed", "{text}");
        }
        let long = format!("{message}.{}", "A".repeat(TOKEN_MAX));
        assert_eq!(code(&key, &long), "token_malformed");
        let short = signature.get(..128).unwrap();
        assert_eq!(code(&key, &format!("{message}.{short}")), "token_signature");
        assert_eq!(code(&key, &format!("{message}.")), "token_signature");
        // Every changed letter is noticed, in whichever part.
        for at in (0..token.len()).step_by(7).filter(|at| token.as_bytes()[*at] != b'.') {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_ne!(code(&key, &String::from_utf8(changed).unwrap()), "good", "{at}");
        }
    }

    #[test]
    fn a_key_is_read_for_its_own_algorithm_only_and_keeps_its_name() {
        for algorithm in ALL {
            let (key, bytes) = key(algorithm);
            let again = TokenKey::read(algorithm, &bytes).unwrap();
            assert_eq!(key.name(), again.name());
            assert!(!format!("{key:?}").contains("pair"));
            for wrong in ALL.into_iter().filter(|a| *a != algorithm) {
                assert!(TokenKey::read(wrong, &bytes).is_err(), "{algorithm:?} as {wrong:?}");
            }
            assert_eq!(json!(algorithm), json!(algorithm.name()));
            let lower = json!(algorithm.name().to_lowercase());
            assert_eq!(serde_json::from_value::<Algorithm>(lower).unwrap(), algorithm);
        }
    }

    #[test]
    #[ignore = "a measurement: run it alone, with --nocapture"]
    fn how_long_a_check_takes() {
        const ROUNDS: u32 = 20_000;
        for algorithm in ALL {
            let (key, _) = key(algorithm);
            let token = key.sign(&claims()).unwrap();
            let mut spans: Vec<_> = (0..ROUNDS)
                .map(|_| {
                    let began = Instant::now();
                    assert_eq!(code(&key, &token), "good");
                    began.elapsed()
                })
                .collect();
            spans.sort_unstable();
            let (half, most) = (spans[spans.len() / 2], spans[spans.len() * 99 / 100]);
            println!("{}: median {half:?}, 99 of 100 under {most:?}", algorithm.name());
        }
    }
}
