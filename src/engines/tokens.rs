//! Signed access tokens (JWT, RFC 7519) with RS256, by jsonwebtoken over aws-lc-rs.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::clock::Moment;
use crate::base::fault::Fault;

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

/// A key pair that signs and checks this box's tokens.
pub struct TokenKey {
    name: String,
    sign: EncodingKey,
    check: DecodingKey,
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let mut pem = format!("-----BEGIN {kind}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END ");
    pem.push_str(kind);
    pem.push_str("-----\n");
    pem
}

impl TokenKey {
    /// Makes a new RSA-2048 key; the answer is its PKCS#8 DER, to be sealed and kept.
    ///
    /// # Errors
    /// `Broken` when the machine cannot.
    pub fn make() -> Result<Vec<u8>, Fault> {
        let pair = KeyPair::generate(KeySize::Rsa2048)
            .map_err(|e| Fault::broken("making a token key", e.to_string()))?;
        let der: Pkcs8V1Der<'_> =
            pair.as_der().map_err(|e| Fault::broken("writing a token key down", e.to_string()))?;
        Ok(der.as_ref().to_vec())
    }

    /// The key of a PKCS#8 DER. Its name (`kid`) is a hash of its public half.
    ///
    /// # Errors
    /// `Broken` when it is no RSA key.
    pub fn read(pkcs8: &[u8]) -> Result<Self, Fault> {
        let doing = "reading a token key";
        let pair = KeyPair::from_pkcs8(pkcs8).map_err(|e| Fault::broken(doing, e.to_string()))?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|e| Fault::broken(doing, e.to_string()))?;
        let digest = Sha256::digest(public.as_ref());
        let name = data_encoding::BASE64URL_NOPAD.encode(digest.get(..9).unwrap_or_default());
        let sign = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", pkcs8).as_bytes())
            .map_err(|e| Fault::broken(doing, e))?;
        let check = DecodingKey::from_rsa_pem(pem("PUBLIC KEY", public.as_ref()).as_bytes())
            .map_err(|e| Fault::broken(doing, e))?;
        Ok(Self { name, sign, check })
    }

    /// Signs claims.
    ///
    /// # Errors
    /// `Broken` when signing fails.
    pub fn sign(&self, claims: &Claims) -> Result<String, Fault> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.name.clone());
        encode(&header, claims, &self.sign).map_err(|e| Fault::broken("signing a token", e))
    }

    /// The claims of a token that this key signed, of the kind, issuer and audience named, and good at
    /// `now`. The algorithm is the key's, whatever the header says; there is no leeway.
    ///
    /// # Errors
    /// `token_invalid` or `token_expired`.
    pub fn check(
        &self,
        token: &str,
        issuer: &str,
        kind: &str,
        now: Moment,
    ) -> Result<Claims, Fault> {
        let claims: Claims = self.raw(token, issuer)?;
        let seconds = now.0.div_euclid(1000);
        if claims.typ != kind || claims.nbf > seconds {
            return Err(invalid());
        }
        if claims.exp <= seconds {
            return Err(Fault::new(
                crate::base::fault::Kind::Unauthenticated,
                "token_expired",
                "The token has expired; sign in again.",
            ));
        }
        Ok(claims)
    }

    fn raw<T: DeserializeOwned>(&self, token: &str, issuer: &str) -> Result<T, Fault> {
        let mut rules = Validation::new(Algorithm::RS256);
        rules.leeway = 0;
        // Times are judged by the box's own clock above, which tests can hold still.
        rules.validate_exp = false;
        rules.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        rules.set_issuer(&[issuer]);
        rules.set_audience(&[AUDIENCE]);
        decode(token, &self.check, &rules).map(|data| data.claims).map_err(|_| invalid())
    }
}

/// The audience of access tokens.
pub const AUDIENCE: &str = "ilot";

fn invalid() -> Fault {
    Fault::new(
        crate::base::fault::Kind::Unauthenticated,
        "token_invalid",
        "The token is not good; sign in again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            iss: "ilot:site".into(),
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

    #[test]
    fn a_token_is_good_in_its_time_for_its_purpose_and_under_its_key() {
        let key = TokenKey::read(&TokenKey::make().unwrap()).unwrap();
        let token = key.sign(&claims()).unwrap();
        let check = |kind: &str, second: i64| {
            key.check(&token, "ilot:site", kind, Moment(second * 1000)).map_err(|f| f.code)
        };
        assert_eq!(check("access", 1_000), Ok(claims()));
        assert_eq!(check("access", 1_999), Ok(claims()));
        assert_eq!(check("access", 2_000), Err("token_expired"));
        assert_eq!(check("access", 999), Err("token_invalid"));
        assert_eq!(check("ephemeral_qr", 1_500), Err("token_invalid"));
        let other = TokenKey::read(&TokenKey::make().unwrap()).unwrap();
        assert!(other.check(&token, "ilot:site", "access", Moment(1_500_000)).is_err());
        assert!(key.check(&token, "ilot:other", "access", Moment(1_500_000)).is_err());
    }

    #[test]
    fn a_token_signed_with_the_public_key_as_a_secret_is_refused() {
        let key = TokenKey::read(&TokenKey::make().unwrap()).unwrap();
        let forged =
            encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(b"public"))
                .unwrap();
        assert!(key.check(&forged, "ilot:site", "access", Moment(1_500_000)).is_err());
    }
}
