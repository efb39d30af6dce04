//! The thread that ties a request, its log lines and its answer together: one id for all three.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use axum::extract::MatchedPath;
use axum::http::HeaderValue;

use crate::base::caller::Caller;

/// An id given by the caller may not be longer than this, in bytes.
const ID_LENGTH_MAX: usize = 64;

tokio::task_local! {
    static PRESENT: Arc<Trace>;
}

/// What is known of the request under way.
#[derive(Debug)]
pub struct Trace {
    id: HeaderValue,
    terse: bool,
    caller: OnceLock<String>,
    route: OnceLock<MatchedPath>,
}

impl Trace {
    /// A trace under the caller's own id when that is 1 to 64 of `A-Z a-z 0-9 . _ -`, else a new one.
    pub fn begin(wished: Option<&HeaderValue>) -> Self {
        let id = wished.filter(|id| acceptable(id.as_bytes())).cloned().unwrap_or_else(new_id);
        Self { id, terse: false, caller: OnceLock::new(), route: OnceLock::new() }
    }

    /// The same trace, whose faults say their code in `error` instead of their message.
    #[must_use]
    pub fn terse(mut self, terse: bool) -> Self {
        self.terse = terse;
        self
    }

    /// The id as it goes into a header.
    pub fn header(&self) -> &HeaderValue {
        &self.id
    }

    /// The id.
    pub fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// The name of whoever asks, once that is known.
    pub fn caller(&self) -> Option<&str> {
        self.caller.get().map(String::as_str)
    }

    /// The route that matched, as it was declared.
    pub fn route(&self) -> Option<&str> {
        self.route.get().map(MatchedPath::as_str)
    }

    /// Runs `request` with this trace as the present one.
    pub fn scope<F: Future>(self: Arc<Self>, request: F) -> impl Future<Output = F::Output> {
        PRESENT.scope(self, request)
    }
}

/// The present request's id; empty outside a request.
pub fn id() -> String {
    PRESENT.try_with(|trace| trace.id().to_owned()).unwrap_or_default()
}

/// Whether the present request's faults say their code in `error` (Plan B's paths).
pub fn is_terse() -> bool {
    PRESENT.try_with(|trace| trace.terse).unwrap_or(false)
}

/// Remembers who asks, for the access log.
pub fn note_caller(caller: &Caller) {
    let _ = PRESENT.try_with(|trace| trace.caller.set(caller.name().to_owned()));
}

/// Remembers which route matched, for the access log and the metrics.
pub fn note_route(route: &MatchedPath) {
    let _ = PRESENT.try_with(|trace| trace.route.set(route.clone()));
}

fn acceptable(id: &[u8]) -> bool {
    (1..=ID_LENGTH_MAX).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Sixteen hex digits: unlike any other of this process, unlikely to be met in another one.
///
/// It names a request in the logs and guards nothing, so a counter behind a keyed hash will do.
fn new_id() -> HeaderValue {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hasher = KEY.build_hasher();
    hasher.write_u64(COUNT.fetch_add(1, Ordering::Relaxed));
    let number = hasher.finish();
    let digits: [u8; 16] = std::array::from_fn(|place| {
        let digit = u8::try_from(number >> (60 - 4 * place) & 0xf).unwrap_or(0);
        if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
    });
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_name_its_request_within_limits() {
        let good = HeaderValue::from_static("job-7_a.B");
        assert_eq!(Trace::begin(Some(&good)).id(), "job-7_a.B");
        for bad in ["", "a b", "é", "a\"b", &"x".repeat(65)] {
            let value = HeaderValue::from_bytes(bad.as_bytes()).unwrap();
            assert_eq!(Trace::begin(Some(&value)).id().len(), 16, "{bad:?} was taken");
        }
        assert_ne!(Trace::begin(None).id(), Trace::begin(None).id());
    }
}
