//! The key of the other server: sealed for the one place it is for, and shown to nobody.

use std::sync::Arc;

use serde::Serialize;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::{Desk, EngineKind, Generation};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::domains::assistant::records::talk::UPSTREAM_KEYS;
use crate::engines::upstream::Upstream;
use crate::store::{Blob, Deed, Reader};

/// The longest key, bytes.
const KEY_BYTES_MAX: usize = 4096;

/// The other server as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpstreamStatus {
    /// Its scheme, host and port; none when none is set.
    pub origin: Option<String>,
    /// Whether this box has a key for it.
    pub has_key: bool,
    /// What is wrong with it.
    pub trouble: Option<String>,
}

/// What a key is sealed for.
fn place(origin: &str) -> String {
    format!("assistant.upstream_keys/{origin}")
}

impl Generation {
    /// Keeps the key that the other server asks for. It is only ever sent to that server: another URL
    /// in the settings needs its own.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `upstream_missing`, a field's fault for what is no key.
    pub fn set_key(&self, caller: &Caller, key: &str) -> Result<(), Fault> {
        let origin = self.origin(caller)?;
        let key = key.trim();
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(|b| b.is_ascii_graphic())
        {
            let words = format!("A key is at most {KEY_BYTES_MAX} visible ASCII characters.");
            return Err(Fault::field("key", "value_error", words));
        }
        let sealed = Blob(self.0.root.seal(&place(&origin), key.as_bytes())?);
        let caller = caller.clone();
        self.0.store.write(move |tx| {
            tx.put(&UPSTREAM_KEYS, &origin, &sealed)?;
            tx.journal(&caller, Deed::new("upstream.key", &origin))
        })?;
        self.0.remote.try_again();
        Ok(())
    }

    /// Forgets the key of the other server.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `upstream_missing`, `not_found` when there is none.
    pub fn forget_key(&self, caller: &Caller) -> Result<(), Fault> {
        let origin = self.origin(caller)?;
        let caller = caller.clone();
        self.0.store.write(move |tx| {
            if !tx.has(&UPSTREAM_KEYS, &origin)? {
                return Err(Fault::not_found("key"));
            }
            tx.remove(&UPSTREAM_KEYS, &origin)?;
            tx.journal(&caller, Deed::new("upstream.forget_key", &origin))
        })
    }

    /// How the other server is.
    ///
    /// # Errors
    /// `right_missing`, what the store says.
    pub fn upstream(&self, caller: &Caller) -> Result<UpstreamStatus, Fault> {
        caller.require(Right::UseAssistant)?;
        let origin = self.0.remote.server().map(Upstream::origin);
        let has_key = match &origin {
            Some(origin) => self.0.store.read(|view| view.has(&UPSTREAM_KEYS, origin))?,
            None => false,
        };
        Ok(UpstreamStatus { origin, has_key, trouble: self.0.remote.trouble() })
    }

    /// The server that a key would be for, once the caller may change it.
    fn origin(&self, caller: &Caller) -> Result<String, Fault> {
        caller.require(Right::ManageAssistant)?;
        caller.fresh(self.0.clock.now())?;
        self.0.remote.server().map(Upstream::origin).ok_or_else(|| {
            let set = self.0.settings.engine == EngineKind::Openai;
            Fault::conflict(
                "upstream_missing",
                if set {
                    "assistant.openai.url names no server that a key could be for."
                } else {
                    "No other server generates for this box: set assistant.engine to 'openai' first."
                },
            )
        })
    }
}

impl Desk {
    /// The key for a server, unsealed; none when it was given none.
    pub(super) async fn key_of(
        self: &Arc<Self>,
        server: &Upstream,
    ) -> Result<Option<Zeroizing<String>>, Fault> {
        let (desk, origin) = (self.clone(), server.origin());
        let unseal = move || {
            let kept = desk.store.read(|view| view.get(&UPSTREAM_KEYS, &origin))?;
            let Some(Blob(sealed)) = kept else { return Ok(None) };
            let bytes = desk.root.unseal(&place(&origin), &sealed)?;
            let key = std::str::from_utf8(&bytes)
                .map_err(|e| Fault::broken("reading the key of another server", e))?;
            Ok(Some(Zeroizing::new(key.to_owned())))
        };
        spawn_blocking(unseal)
            .await
            .map_err(|e| Fault::broken("reading the key of another server", e))?
    }
}
