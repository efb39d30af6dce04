//! The caller of a request, ready for a verb.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;

use super::fault::WebFault;
use super::peer::Peer;
use super::trace;
use crate::base::caller::Caller;
use crate::base::fault::Fault;

/// An `Idempotency-Key` may not be longer than this, in bytes.
pub const RETRY_KEY_LENGTH_MAX: usize = 128;
/// A `User-Agent` is kept up to this length, in characters.
const AGENT_LENGTH_MAX: usize = 200;
const RETRY_KEY: &str = "idempotency-key";

/// Who asks, as the identity layer found out, with the request's id and its `Idempotency-Key`.
///
/// Without an identity layer, or without any proof, it is nobody (or the console, at its socket).
#[derive(Debug, Clone)]
pub struct Asker(pub Caller);

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = WebFault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, WebFault> {
        let peer = peer_of(parts);
        let mut caller = match parts.extensions.get::<Caller>() {
            Some(known) => known.clone(),
            None if peer.console => Caller::console(""),
            None => Caller::nobody(peer.address, ""),
        };
        caller.request = trace::id();
        caller.retry_key = retry_key(&parts.headers)?;
        caller.agent = agent(&parts.headers);
        trace::note_caller(&caller);
        Ok(Self(caller))
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(peer_of(parts))
    }
}

fn peer_of(parts: &Parts) -> Peer {
    parts.extensions.get::<Peer>().copied().unwrap_or_default()
}

/// The program that asks, as far as it says, cut to a line.
fn agent(headers: &HeaderMap) -> Option<String> {
    let said = headers.get(USER_AGENT)?.to_str().ok()?;
    let line: String = said.chars().filter(|c| !c.is_control()).take(AGENT_LENGTH_MAX).collect();
    (!line.is_empty()).then_some(line)
}

/// The `Idempotency-Key` of a request.
///
/// # Errors
/// `idempotency_key` (400) when it is empty, longer than [`RETRY_KEY_LENGTH_MAX`], or not visible ASCII.
fn retry_key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(value) = headers.get(RETRY_KEY) else { return Ok(None) };
    let bytes = value.as_bytes();
    let good =
        (1..=RETRY_KEY_LENGTH_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    if !good {
        return Err(Fault::invalid(
            "idempotency_key",
            format!(
                "Idempotency-Key must be 1 to {RETRY_KEY_LENGTH_MAX} visible ASCII characters."
            ),
        ));
    }
    Ok(value.to_str().ok().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::caller::Who;

    async fn asked(request: axum::http::request::Builder) -> Result<Caller, WebFault> {
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Asker::from_request_parts(&mut parts, &()).await.map(|a| a.0)
    }

    #[tokio::test]
    async fn without_proof_it_is_nobody_and_the_key_is_checked() {
        let request = axum::http::Request::builder;
        let nobody = asked(request().header(RETRY_KEY, "a-1")).await.unwrap();
        assert_eq!((nobody.who, nobody.retry_key.as_deref()), (Who::Nobody, Some("a-1")));
        for bad in [String::new(), "a b".into(), "k".repeat(129)] {
            let refused = asked(request().header(RETRY_KEY, bad)).await.unwrap_err();
            assert_eq!(refused.fault().code, "idempotency_key");
        }
        let console = asked(request().extension(Peer::at_console())).await.unwrap();
        assert_eq!(console.who, Who::Console);
    }
}
