//! Addresses that another program holds at the start: tried again until they are had.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Addresses, Role, bind_one, holder};
use crate::base::health::{Health, Level};
use crate::base::paths::write_private;

/// How often an address of the box is tried again: whoever hands it over is about to let it go.
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// How often Plan B's address is tried again when nobody is known to hand it over: whoever holds it
/// may hold it for long.
const TRY_PLANB_AGAIN: Duration = Duration::from_secs(1);
/// How long a hand-over is waited for at the first pace.
const HAND_OVER: Duration = Duration::from_secs(30);
/// Looking for the holder means reading other processes' descriptors: not at every try.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The part of the box's health that tells of Plan B's address.
const PLANB_PART: &str = "planb_address";
/// The part of the box's health that tells of its other addresses.
const PART: &str = "addresses";

/// An address that is wanted and not had.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) role: Role,
    pub(super) further: bool,
    pub(super) text: String,
    pub(super) address: SocketAddr,
    /// Whether somebody is expected to let it go.
    pub(super) handed_over: bool,
}

/// What is bound so far, kept in `run/addresses.json`, and who is told of it.
#[derive(Clone)]
pub(super) struct Ledger {
    pub(super) addresses: Arc<Mutex<Addresses>>,
    pub(super) file: PathBuf,
    pub(super) health: Option<Health>,
    /// Addresses besides Plan B's that are still waited for.
    pub(super) open: Arc<AtomicUsize>,
    /// Cancelled once there is none: the box listens.
    pub(super) listening: CancellationToken,
}

impl Waiting {
    /// Tries until the address is had, then enters it into the ledger.
    pub(super) async fn until_had(&self, ledger: &Ledger) -> TcpListener {
        let planb = self.role == Role::PlanB;
        let part = if planb { PLANB_PART } else { PART };
        let began = Instant::now();
        let mut looked: Option<Instant> = None;
        loop {
            let quick = !planb || self.handed_over && began.elapsed() < HAND_OVER;
            let pause = if quick { TRY_AGAIN } else { TRY_PLANB_AGAIN };
            match bind_one(self.role, &self.text) {
                Ok(listener) => {
                    self.enter(ledger);
                    return listener;
                }
                Err(fault) if looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) => {
                    let (name, every) = (self.role.name(), pause.as_millis());
                    let detail = if fault.code == "address_in_use" {
                        let holder = holder::of(self.address);
                        format!(
                            "{} (listen.{name}) is held by {holder}; it is tried again every {every} ms.",
                            self.text
                        )
                    } else {
                        format!("{} It is tried again every {every} ms.", fault.message)
                    };
                    if looked.replace(Instant::now()).is_none() {
                        tracing::warn!("{detail}");
                    }
                    let advice =
                        format!("End that program, or set listen.{name} to another address.");
                    let level = if planb { Level::Reduced } else { Level::Failed };
                    if let Some(health) = &ledger.health {
                        health.report(part, level, detail, advice);
                    }
                }
                Err(_) => {}
            }
            sleep(pause).await;
        }
    }

    fn enter(&self, ledger: &Ledger) {
        // Two addresses may be had at once: the file is written by one after the other.
        let mut addresses = ledger.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.enter(self.role, self.further, self.address);
        let json = serde_json::to_vec(&*addresses).unwrap_or_default();
        if let Err(e) = write_private(&ledger.file, &json) {
            tracing::warn!("the addresses were not written down: {e}");
        }
        drop(addresses);
        tracing::info!("{} (listen.{}) is had", self.address, self.role.name());
        if self.role == Role::PlanB {
            ledger.tell_planb(self.address);
        } else if ledger.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            if let Some(health) = &ledger.health {
                health.forget(PART);
            }
            ledger.listening.cancel();
        }
    }
}

impl Ledger {
    pub(super) fn tell_planb(&self, address: SocketAddr) {
        if let Some(health) = &self.health {
            health.well(PLANB_PART, format!("Plan B's interface answers at {address}."));
        }
    }
}
