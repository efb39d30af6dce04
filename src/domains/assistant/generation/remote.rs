//! The server on the LAN as the desk sees it: whether it is set, whether it rests, what is wrong with it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Desk, EngineKind, GenerationSettings, model_missing};
use crate::base::fault::Fault;
use crate::domains::assistant::records::talk::Purpose;
use crate::engines::upstream::{Trouble, Upstream, UpstreamOptions};

/// So many failures in a row that a question may be to blame for make the server rest.
const FAILURES_MAX: u32 = 3;

/// The other server, if one is set.
pub(super) struct Remote {
    server: Option<Upstream>,
    rest: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What is wrong with it, in a sentence.
    trouble: Option<String>,
    /// Since boot: until when it is left alone.
    rests_until: Option<Duration>,
    /// Whether it was ever heard of since the start.
    heard: bool,
    /// Failures since it last answered that a question may have been to blame for.
    failures: u32,
}

/// The server that the settings name.
pub(super) fn server(settings: &GenerationSettings) -> Result<Upstream, Fault> {
    let set = &settings.openai;
    Upstream::new(UpstreamOptions {
        url: set.url.clone(),
        model: set.model.clone(),
        ca_file: (!set.ca_file.is_empty()).then(|| PathBuf::from(&set.ca_file)),
        connect: Duration::from_secs(set.connect_seconds.max(1)),
        silence: Duration::from_secs(set.silence_seconds.max(1)),
    })
}

impl Remote {
    /// The server of the settings. Settings that make no sense are told in health, not as an error:
    /// the model on this box writes meanwhile.
    pub(super) fn open(settings: &GenerationSettings) -> Self {
        let mut state = State::default();
        let server = (settings.engine == EngineKind::Openai)
            .then(|| {
                server(settings)
                    .inspect_err(|fault| state.trouble = Some(fault.message.clone()))
                    .ok()
            })
            .flatten();
        let rest = Duration::from_secs(settings.openai.rest_seconds);
        Self { server, rest, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is one to ask.
    pub(super) fn is_set(&self) -> bool {
        self.server.is_some()
    }

    /// The server, for its key.
    pub(super) fn server(&self) -> Option<&Upstream> {
        self.server.as_ref()
    }

    /// Whether it is the one that writes now.
    pub(super) fn in_use(&self, now: Duration) -> bool {
        self.server.is_some() && !self.rests(now)
    }

    fn rests(&self, now: Duration) -> bool {
        self.state().rests_until.is_some_and(|until| now < until)
    }

    /// The server, unless it rests.
    pub(super) fn ready(&self, now: Duration) -> Option<Upstream> {
        self.server.clone().filter(|_| !self.rests(now))
    }

    /// Something has changed that may let it serve again.
    pub(super) fn try_again(&self) {
        self.state().rests_until = None;
    }

    /// What is wrong with it.
    pub(super) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// The name of its model, as far as it is known.
    pub(super) fn known_model(&self) -> Option<String> {
        self.server.as_ref().and_then(Upstream::known_model)
    }
}

impl State {
    /// Whether the server is to rest after this trouble: one question must not take it from everyone.
    fn rests_after(&mut self, trouble: &Trouble) -> bool {
        if !trouble.counts() {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        trouble.lasts() || self.failures >= FAILURES_MAX
    }
}

impl Desk {
    /// A question found no answer there.
    pub(super) fn remote_failed(&self, trouble: &Trouble) {
        // A statement of its own: the lock is free again when the rest begins.
        let rests = self.remote.state().rests_after(trouble);
        if rests {
            self.remote_is_down(&trouble.fault);
        }
    }

    /// The server does not serve: it is left alone for a while.
    pub(super) fn remote_is_down(&self, fault: &Fault) {
        {
            let mut state = self.remote.state();
            state.trouble = Some(fault.message.clone());
            state.rests_until = Some(self.clock.since_boot() + self.remote.rest);
            state.heard = true;
            state.failures = 0;
        }
        self.tell_health_anew();
    }

    /// The server answers.
    pub(super) fn remote_is_up(&self) {
        let changed = {
            let mut state = self.remote.state();
            let changed = !state.heard || state.trouble.is_some();
            *state = State { heard: true, ..State::default() };
            changed
        };
        if changed {
            self.tell_health_anew();
        }
    }

    fn tell_health_anew(&self) {
        match self.models.chosen(Purpose::Language) {
            Ok(local) => self.tell_health(local.as_ref().map(|model| model.name.as_str())),
            Err(fault) => tracing::warn!("how the writer is could not be told: {fault}"),
        }
    }

    /// Why nothing writes.
    pub(super) fn nothing_writes(&self) -> Fault {
        match self.remote.trouble() {
            Some(why) if self.remote.is_set() => Fault::unavailable("upstream_unreachable", why),
            _ => model_missing(),
        }
    }

    /// Asks a server that was never heard of, or whose rest is over, whether it is there. A server
    /// that answers questions is not asked beside them.
    pub(super) async fn look_after_remote(self: &Arc<Self>) {
        let now = self.clock.since_boot();
        let wondering = {
            let state = self.remote.state();
            !state.heard || state.trouble.is_some()
        };
        let Some(server) = self.remote.ready(now).filter(|_| wondering) else { return };
        let key = match self.key_of(&server).await {
            Ok(key) => key,
            Err(fault) => return self.remote_is_down(&fault),
        };
        match server.greet(key.as_ref().map(|key| key.as_str())).await {
            Ok(()) => self.remote_is_up(),
            Err(trouble) => self.remote_is_down(&trouble.fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::upstream::{down, within};

    fn failed(code: &'static str) -> Fault {
        Fault::unavailable(code, "x")
    }

    #[test]
    fn one_question_does_not_take_the_server_from_everyone() {
        let mut state = State::default();
        for _ in 0..10 {
            assert!(!state.rests_after(&within(failed("upstream_failed"))));
        }
        let odd = Trouble { status: Some(500), ..down(failed("upstream_failed")) };
        let rests: Vec<bool> = (0..3).map(|_| state.rests_after(&odd)).collect();
        assert_eq!(rests, [false, false, true]);
        for code in ["upstream_unreachable", "upstream_refused", "upstream_ca_unusable"] {
            assert!(State::default().rests_after(&down(failed(code))), "{code}");
        }
        for status in [502, 503, 504] {
            let gone = Trouble { status: Some(status), ..down(failed("upstream_failed")) };
            assert!(State::default().rests_after(&gone), "{status}");
        }
    }
}
