//! The identity door, and the recogniser of callers that lies around every route of the box.

mod account;
mod roles;
mod sessions;
mod setup;
mod users;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use utoipa_axum::router::OpenApiRouter;

use super::Identity;
use crate::base::caller::{Caller, Door, Refusal};
use crate::base::fault::Kind;
use crate::web::recognition::Recognised;
use crate::web::{Peer, run};

/// The cookie a browser signs requests with.
const COOKIE_NAME: &str = "access_token";
/// The header that proves an unsafe cookie request was meant.
const CSRF_HEADER: &str = "x-csrf-token";

/// The routes of the identity desk.
pub fn routes(desk: Identity) -> OpenApiRouter {
    OpenApiRouter::new()
        .merge(setup::routes())
        .merge(account::routes())
        .merge(users::routes())
        .merge(roles::routes())
        .merge(sessions::routes())
        .with_state(desk)
}

/// Recognises the caller of a request: bearer first, then the cookie; an unsafe cookie request must
/// show its session's word. A proof that is not good makes the caller nobody, so that open routes
/// still answer, and is named where a proof is needed. None when no proof is shown.
pub fn recognise(desk: &Identity, request: &Request) -> Option<Recognised> {
    let headers = request.headers();
    let (token, door) = bearer(headers)
        .map(|token| (token, Door::Bearer))
        .or_else(|| cookie(headers, COOKIE_NAME).map(|token| (token, Door::Cookie)))?;
    let word = headers.get(CSRF_HEADER).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let safe = request.method().is_safe();
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    let desk = desk.clone();
    Some(Box::pin(run(move || {
        let nobody = Caller::nobody(peer.address, "");
        match desk.recognise(nobody.clone(), &token, door) {
            Ok(caller) if safe => Ok(caller),
            Ok(caller) => desk.check_csrf(&caller, word.as_deref()).map(|()| caller),
            Err(fault) if fault.kind == Kind::Unauthenticated => {
                let refusal = Some(Refusal { code: fault.code, message: fault.message.into() });
                Ok(Caller { refusal, ..nobody })
            }
            Err(fault) => Err(fault),
        }
    })))
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .find_map(|pair| {
            pair.trim().split_once('=').filter(|(key, _)| *key == name).map(|(_, v)| v.to_owned())
        })
}
