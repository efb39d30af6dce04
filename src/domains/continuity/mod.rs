//! Plan B: what keeps the site working when everything else is gone; it never asks the store.

pub mod key;
pub mod outbox;
pub mod pack;
pub mod people;
pub mod place;
pub mod routes;
pub mod settings;
pub mod watchdog;

use std::path::Path;
use std::sync::Arc;

use crate::base::caller::{Caller, Door, Right, Rights, Who};
use crate::base::fault::Fault;
use crate::base::health::{Health, Level};
use crate::base::id::Id;
use key::FileKey;

/// The part of the box that its health is told under.
const PART: &str = "planb";
/// The name of Plan B's client in journals and logs.
const NAME: &str = "planb";
/// What its key lets it do.
const MAY: Rights = Rights::NONE
    .with(Right::UseContinuity)
    .with(Right::SealContinuity)
    .with(Right::RelayContinuity)
    .with(Right::ManageContinuity);

/// The continuity desk.
#[derive(Clone)]
pub struct Continuity {
    key: Option<Arc<FileKey>>,
}

impl Continuity {
    /// Opens the desk: reads the key in `folder`, or makes it at the first start. A key that cannot be
    /// used is told in the box's health, and nobody comes in by it; the rest of the box goes on.
    pub fn open(folder: &Path, health: &Health) -> Self {
        let key = match FileKey::open(folder) {
            Ok(key) => {
                health.well(PART, "The key is in its file.");
                Some(Arc::new(key))
            }
            Err(fault) => {
                health.report(PART, Level::Reduced, tell(&fault), key::ADVICE);
                None
            }
        };
        Self { key }
    }

    /// Plan B's client, when `shown` is its key; the rest of the caller is as it was.
    pub fn recognise(&self, caller: Caller, shown: &str) -> Option<Caller> {
        self.key.as_ref().filter(|key| key.is(shown))?;
        Some(Caller {
            rights: MAY,
            door: Door::PlanB,
            // The key stands for no record: whoever has the file is the client.
            who: Who::Machine { id: Id::ZERO, name: NAME.to_owned() },
            ..caller
        })
    }
}

fn tell(fault: &Fault) -> String {
    match &fault.cause {
        Some(cause) => format!("{}: {cause}", fault.message),
        None => fault.message.clone(),
    }
}
