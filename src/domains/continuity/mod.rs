//! Plan B: what keeps the site working when everything else is gone; it never asks the store.

pub mod delays;
pub mod encoding;
mod files;
mod keeping;
pub mod keys;
pub mod node;
pub mod outbox;
pub mod pack;
pub mod packets;
pub mod pages;
mod parts;
pub mod people;
pub mod place;
pub mod relay;
pub mod role;
pub mod routes;
pub mod sealing;
pub mod settings;
pub mod standing;
#[cfg(test)]
mod vectors;
pub mod verbs;
pub mod watchdog;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::base::caller::{Caller, Door, Right, Who};
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::health::{Health, Level};
use crate::base::id::Id;
use delays::Delays;
use keys::{FileKeyState, Holder, Keys, ScopedKey};
use node::Node;
use parts::Part;
use place::Place;
use relay::{Pace, Relay, RelayState};
use role::{Role, RoleFile};
use sealing::{Sealing, SealingState};
use settings::ContinuitySettings;

/// The part of the box that the health of the sealing key is told under.
const SEALING: &str = "planb_sealing";
/// The same of the node's identity.
const NODE: &str = "planb_node";
/// The same of what the sealing key has sealed, once that is much.
const SEALED: &str = "planb_sealed";
/// What to do about that.
const SEALED_ADVICE: &str = "Rotate the sealing key (`ilot planb sealing rotate`, or the page of Plan B): \
    what it sealed still opens.";
/// After so many sealed messages their number is looked at.
const LOOK_AFTER: u32 = 1024;
/// The name of Plan B's client in journals and logs.
const NAME: &str = "planb";
/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;

/// What was done, for a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What: `noun.verb`.
    pub deed: &'static str,
    /// To what: a name.
    pub object: String,
    /// The state before, as JSON, where it matters; never a secret.
    pub before: Option<String>,
    /// The state after, as JSON, where it matters; never a secret.
    pub after: Option<String>,
}

/// Writes down what was done.
pub type Teller = Arc<dyn Fn(&Caller, Done) -> Result<(), Fault> + Send + Sync>;

/// How the desk stands. A part whose files are damaged is none; health says why.
#[derive(Debug, Clone)]
pub struct ContinuityState {
    /// What this node is to the others.
    pub role: Role,
    /// Who this node is: 64 hexadecimal digits.
    pub node_id: Option<String>,
    /// The key of the file.
    pub key: FileKeyState,
    /// Further keys, the oldest first; none when their file is damaged.
    pub keys: Option<Vec<ScopedKey>>,
    /// The sealing key.
    pub sealing: Option<SealingState>,
    /// The echo, while it runs.
    pub relay: Option<RelayState>,
}

/// The continuity desk. Clones share it.
#[derive(Clone)]
pub struct Continuity(Arc<Inside>);

struct Inside {
    place: Place,
    settings: ContinuitySettings,
    clock: Arc<dyn Clock>,
    health: Health,
    keys: Keys,
    role: RoleFile,
    sealing: Part<Sealing>,
    node: Part<Node>,
    relay: Relay,
    delays: Delays,
    teller: OnceLock<Teller>,
    sealed: AtomicU32,
}

impl fmt::Debug for Continuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Continuity").field(&self.0.place.root()).finish()
    }
}

impl Continuity {
    /// Opens the desk on a folder that other processes may use at the same time, and makes the keys that
    /// are missing. What is damaged is told in the box's health and left as it is: its verbs answer with
    /// that fault, and the others go on.
    pub fn open(
        place: &Place,
        settings: &ContinuitySettings,
        clock: Arc<dyn Clock>,
        health: Health,
    ) -> Self {
        if let Err(e) = place.create() {
            tracing::warn!("Plan B's folder {}: {e}", place.root().display());
        }
        let grace = Duration::from_mins(settings.key_grace_minutes);
        let keys = Keys::open(place, grace, clock.clone(), health.clone());
        let message_max =
            usize::try_from(settings.message_max_mib.saturating_mul(MIB)).unwrap_or(usize::MAX);
        let (folder, wall) = (place.clone(), clock.clone());
        let sealing = Part::new(SEALING, health.clone(), move || {
            Sealing::open(&folder, wall.clone(), message_max)
        });
        let folder = place.clone();
        let node = Part::new(NODE, health.clone(), move || Node::open(&folder));
        let desk = Self(Arc::new(Inside {
            role: RoleFile::of(place.clone(), clock.clone()),
            relay: Relay::new(settings, Pace::default()),
            delays: Delays::new(clock.clone()),
            place: place.clone(),
            settings: settings.clone(),
            teller: OnceLock::new(),
            sealed: AtomicU32::new(0),
            keys,
            sealing,
            node,
            clock,
            health,
        }));
        let _ = desk.sealing_state();
        desk
    }

    /// Has what is done written down by `teller`; the first one stays. Without one the log tells it.
    pub fn on_deed(&self, teller: Teller) {
        let _ = self.0.teller.set(teller);
    }

    /// Tells the relay to end: the process closes.
    pub fn wind_down(&self) {
        self.0.relay.wind_down();
    }

    /// Tells at which ports of this machine the box itself answers, once they are bound: the relay does
    /// not lead into it.
    pub fn own_ports(&self, ports: Vec<u16>) {
        self.0.relay.own_ports(ports);
    }

    /// The folder.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// The settings.
    pub fn settings(&self) -> &ContinuitySettings {
        &self.0.settings
    }

    /// Who this node is, to sign and to verify with.
    ///
    /// # Errors
    /// `node_key_damaged`, `hmac_key_damaged`, or what the file system says.
    pub fn node(&self) -> Result<Arc<Node>, Fault> {
        self.0.node.get()
    }

    /// Plan B's client, when `shown` is one of its keys; the rest of the caller is as it was.
    pub fn recognise(&self, caller: Caller, shown: &str) -> Option<Caller> {
        let holder = self.0.keys.holder(shown)?;
        let name = match &holder {
            Holder::File => NAME.to_owned(),
            Holder::Scoped(key) => format!("{NAME}:{}", key.name),
        };
        Some(Caller {
            rights: holder.rights(),
            door: Door::PlanB,
            // A key stands for no record: whoever has it is the client.
            who: Who::Machine { id: Id::ZERO, name },
            ..caller
        })
    }

    /// Whether a peer may come to Plan B's own paths and with its keys: this machine, and others only
    /// where the settings say so. No address stands for this machine's own socket.
    pub fn lets_in(&self, address: Option<IpAddr>) -> bool {
        self.0.settings.lan || address.is_none_or(|address| address.to_canonical().is_loopback())
    }

    /// Counts a key that is nobody's against the address that shows it.
    ///
    /// # Errors
    /// `too_many_attempts` when too many of them wait to be refused.
    pub fn wrong_key(&self, address: Option<IpAddr>) -> Result<delays::Late, Fault> {
        self.0.delays.wrong(address)
    }

    /// Why the file key cannot be used, if it cannot.
    ///
    /// # Errors
    /// `planb_key_damaged`, `planb_key_missing`.
    pub fn look_at_key(&self) -> Result<(), Fault> {
        self.0.keys.look()
    }

    /// How everything stands.
    ///
    /// # Errors
    /// `right_missing`, or what the file system says.
    pub fn state(&self, caller: &Caller) -> Result<ContinuityState, Fault> {
        caller.require(Right::UseContinuity)?;
        Ok(ContinuityState {
            role: self.0.role.get()?,
            node_id: self.node().ok().map(|node| node.name().to_owned()),
            key: self.0.keys.file_state()?,
            keys: self.0.keys.listed().ok().map(|keys| keys.to_vec()),
            sealing: self.sealing_state().ok(),
            relay: self.0.relay.state(),
        })
    }

    /// How the sealing key stands; once it has sealed much, health says so.
    fn sealing_state(&self) -> Result<SealingState, Fault> {
        let state = self.0.sealing.get()?.state()?;
        if state.messages < state.warn_at {
            self.0.health.forget(SEALED);
        } else {
            let words = format!(
                "The sealing key has sealed {} messages of {} that it safely can.",
                state.messages, state.limit
            );
            self.0.health.report(SEALED, Level::Reduced, words, SEALED_ADVICE);
        }
        Ok(state)
    }

    /// Looks at the number of sealed messages now and then.
    fn sealed_one(&self) {
        if self.0.sealed.fetch_add(1, Ordering::Relaxed) % LOOK_AFTER == LOOK_AFTER - 1 {
            let _ = self.sealing_state();
        }
    }

    /// Writes down what was done. It is done already: a journal that cannot be written is told, and undoes
    /// nothing.
    fn tell(&self, caller: &Caller, done: Done) {
        let Some(teller) = self.0.teller.get() else {
            let (deed, object, by) = (done.deed, done.object.as_str(), caller.name());
            tracing::info!(deed, object, by, after = done.after.as_deref(), "done in Plan B");
            return;
        };
        let deed = done.deed;
        if let Err(fault) = teller(caller, done) {
            tracing::error!(deed, by = caller.name(), "not in the journal: {fault}");
        }
    }
}

fn words_of(fault: &Fault) -> String {
    match &fault.cause {
        Some(cause) => format!("{}: {cause}", fault.message),
        None => fault.message.clone(),
    }
}
