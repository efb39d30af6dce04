//! Plan B's door: the recogniser of its client.

use std::future::ready;

use axum::extract::Request;

use super::Continuity;
use crate::base::caller::Caller;
use crate::web::Peer;
use crate::web::recognition::Recognised;

/// First parts of Plan B's paths, whose faults say their code in `error` (plan-b.md §1.1).
pub const TERSE: &[&str] = &["status", "role", "token", "crypto", "packet", "tcp", "ping"];
/// The header of the key (plan-b.md §1.1).
const KEY_HEADER: &str = "x-api-key";

/// Recognises Plan B's client by its key; none for everybody else, so that others may be asked.
pub fn recognise(desk: &Continuity, request: &Request) -> Option<Recognised> {
    let shown = request.headers().get(KEY_HEADER)?.to_str().ok()?;
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    let caller = desk.recognise(Caller::nobody(peer.address, ""), shown.trim())?;
    Some(Box::pin(ready(Ok(caller))))
}
