//! The identity door, and the recogniser of callers that lies around every route of the box.

mod account;
mod imports;
mod keys;
mod registration;
mod roles;
mod second_factor;
mod sessions;
mod setup;
mod signing_in;
mod users;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use utoipa_axum::router::OpenApiRouter;
use zeroize::Zeroizing;

use super::Identity;
use super::api_keys::{KEY_UNKNOWN, looks_like_key};
use crate::base::caller::{Caller, Door, Refusal};
use crate::base::fault::Kind;
use crate::web::recognition::Recognised;
use crate::web::{Peer, run};

/// The cookie a browser signs requests with.
const COOKIE_NAME: &str = "access_token";
/// The header of an API key, Plan B's own one included.
const KEY_HEADER: &str = "x-api-key";
/// The header of a kiosk's key.
const KIOSK_HEADER: &str = "x-kiosk-api-key";
/// The header that proves an unsafe cookie request was meant.
const CSRF_HEADER: &str = "x-csrf-token";

/// Where nobody is somebody yet: an old cookie proves nothing there, and its word is not asked for. A page
/// that lost the word by a reload signs in anew; pages of other sites are kept away by the guard.
const SIGNING_IN: [&str; 5] =
    ["/auth/login", "/api/auth/login", "/auth/token", "/auth/register", "/api/auth/register"];

/// The routes of the identity desk.
pub fn routes(desk: Identity) -> OpenApiRouter {
    OpenApiRouter::new()
        .merge(setup::routes())
        .merge(signing_in::routes())
        .merge(account::routes())
        .merge(second_factor::routes())
        .merge(registration::routes())
        .merge(imports::routes())
        .merge(users::routes())
        .merge(roles::routes())
        .merge(sessions::routes())
        .merge(keys::routes())
        .with_state(desk)
}

/// A proof of who asks, and the door it opens.
enum Proof {
    /// A key of the directory.
    Key(Zeroizing<String>, Door),
    /// A signed token.
    Token(Zeroizing<String>, Door),
}

/// The proofs that a request shows, in the order in which they count.
fn proofs(headers: &HeaderMap) -> Vec<Proof> {
    let header = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(Zeroizing::new(value.trim().to_owned()))
    };
    let kiosk = header(KIOSK_HEADER).map(|key| Proof::Key(key, Door::Kiosk));
    let key = header(KEY_HEADER).map(|key| Proof::Key(key, Door::Key));
    let bearer = bearer(headers).map(|shown| {
        if looks_like_key(&shown) {
            Proof::Key(shown, Door::Key)
        } else {
            Proof::Token(shown, Door::Bearer)
        }
    });
    let cookie = cookie(headers, COOKIE_NAME).map(|token| Proof::Token(token, Door::Cookie));
    [kiosk, key, bearer, cookie].into_iter().flatten().collect()
}

/// Recognises the caller of a request by the first proof that is good: `X-Kiosk-API-Key`, `X-API-Key`,
/// a bearer (an API key, or a token), the cookie. An unsafe request that the cookie proves must show
/// its session's word. When none is good the caller is nobody, so that open routes still answer, and
/// why the first one is not good is told where a proof is needed. None when no proof is shown.
///
/// It ends in a fault when the store does, when the word is not the session's, and with
/// `too_many_attempts` for an address that goes on showing keys that nobody has.
pub fn recognise(desk: &Identity, request: &Request) -> Option<Recognised> {
    let headers = request.headers();
    let shown = proofs(headers);
    if shown.is_empty() || SIGNING_IN.contains(&request.uri().path()) {
        return None;
    }
    let word = headers.get(CSRF_HEADER).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let safe = request.method().is_safe();
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    let desk = desk.clone();
    Some(Box::pin(run(move || {
        let nobody = Caller::nobody(peer.address, "");
        let (mut refusal, mut busy) = (None, None);
        for proof in shown {
            let tried = match &proof {
                Proof::Key(key, door) => desk.recognise_key(nobody.clone(), key, *door),
                Proof::Token(token, door) => desk.recognise(nobody.clone(), token, *door),
            };
            match tried {
                Ok(caller) if safe => return Ok(caller),
                Ok(caller) => {
                    return desk.check_csrf(&caller, word.as_deref()).map(|()| caller);
                }
                Err(fault) if fault.kind == Kind::Unauthenticated => {
                    if fault.code == KEY_UNKNOWN {
                        busy = busy.or(desk.wrong_key(&nobody).err());
                    }
                    let why = Refusal { code: fault.code, message: fault.message.into() };
                    refusal = refusal.or(Some(why));
                }
                Err(fault) => return Err(fault),
            }
        }
        match busy {
            Some(fault) => Err(fault),
            None => Ok(Caller { refusal, ..nobody }),
        }
    })))
}

fn bearer(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Zeroizing::new(token.trim().to_owned()))
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<Zeroizing<String>> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then(|| Zeroizing::new(value.to_owned()))
        })
}
