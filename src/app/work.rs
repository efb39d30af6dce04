//! Periodic tasks and reactions between domains: one line each.
//!
//! A domain joins Plan B by two lines in [`join`]: a source of what the pack shows and knows
//! (`packer.add("planning", …)`, a [`Source`](crate::domains::continuity::pack::part::Source) that reads
//! the domain's desk as a task), and for each kind of entry that people or doors write down meanwhile a
//! taker (`handover.on("punch", …)`, a [`Taker`](crate::domains::handover::Taker) that writes within the
//! transaction it is given). Entries of a kind that nobody takes are kept, and offered once somebody does.

use std::sync::Arc;
use std::time::Duration;

use super::names;
use super::router::Desks;
use super::settings::Settings;
use super::{packing, presence};
use crate::base::fault::Fault;
use crate::base::tasks::Tasks;
use crate::domains::assistant::readers;
use crate::domains::assistant::thinking::Thinking;
use crate::domains::attendance::Attendance;
use crate::domains::identity::Identity;
use crate::domains::identity::guards::Reach;
use crate::domains::identity::offboarding::Taken;
use crate::engines::tls::Tls;
use crate::store::Store;

/// How often what is over is thrown away.
const PRUNE_EVERY: Duration = Duration::from_mins(10);
/// How often a going that nobody punched is looked for.
const PROPOSE_EVERY: Duration = Duration::from_hours(1);
/// How often the certificate is looked at.
const RENEW_EVERY: Duration = Duration::from_mins(1);
/// How often samples of the histograms are folded, so that they do not pile up.
const TEND_EVERY: Duration = Duration::from_secs(5);

/// How often Plan B's outbox is looked into.
const REPLAY_EVERY: Duration = Duration::from_secs(2);
/// How often the pack's age is looked at, and how long after its making begins.
const PACK_AGE_EVERY: Duration = Duration::from_secs(50);
const PACK_AGE_AFTER: Duration = Duration::from_secs(10);

/// Lets domains hear of one another: what one decides, another may have to allow or to follow.
pub(super) fn introduce(identity: &Identity) {
    identity.on_reach(Arc::new(|tx, caller, reach| match reach {
        Reach::Role(role) => readers::may_let_in(tx, caller, Some(role), None),
        Reach::User(user) => readers::may_let_in(tx, caller, None, Some(*user)),
    }));
    identity.on_offboarding(Arc::new(|tx, caller, user, apply| {
        let taken = Thinking::forget_user(tx, caller, user, apply)?;
        let taken = taken.into_iter().chain(Attendance::forget_user(tx, caller, user, apply)?);
        Ok(taken.into_iter().map(|(what, count)| Taken { what, count }).collect())
    }));
}

/// Starts everything that runs by itself.
///
/// # Errors
/// `Broken` when no thread can be had.
pub(super) fn start(
    desks: &Desks,
    store: &Store,
    tasks: &Tasks,
    tls: Option<&Tls>,
    settings: &Settings,
) -> Result<(), Fault> {
    desks.assistant.start(tasks)?;
    desks.thinking.start(tasks)?;
    desks.live.start(tasks)?;
    desks.activity.start(tasks)?;
    let (identity, store) = (desks.identity.clone(), store.clone());
    tasks.every("prune", PRUNE_EVERY, move |_| identity.prune().and_then(|()| store.prune()))?;
    let attendance = desks.attendance.clone();
    let goings = attendance.clone();
    tasks.every("passes", PRUNE_EVERY, move |_| attendance.prune_passes())?;
    tasks.every("goings", PROPOSE_EVERY, move |_| goings.propose_goings().map(drop))?;
    let meters = desks.system.meters.clone();
    tasks.every("meters", TEND_EVERY, move |_| {
        meters.tend();
        Ok(())
    })?;
    continuity(desks, tasks, settings)?;
    if let Some(tls) = tls.cloned() {
        let settings = settings.clone();
        tasks.every("certificate", RENEW_EVERY, move |_| tls.renew(&names(&settings)).map(drop))?;
    }
    Ok(())
}

/// Who gives what to the pack, and who takes what Plan B wrote down.
pub(super) fn join(desks: &Desks) {
    desks.handover.on("punch", presence::taker(desks.attendance.clone()));
    if let Some(packer) = &desks.board.packer {
        packer.add("identity", packing::identity(desks.identity.clone()));
        packer.add("presence", presence::source(desks.attendance.clone()));
        packer.add("documents", packing::documents(desks.assistant.clone()));
    }
}

/// The tasks that keep the pack fresh and bring back what Plan B wrote down.
fn continuity(desks: &Desks, tasks: &Tasks, settings: &Settings) -> Result<(), Fault> {
    if let Some(packer) = &desks.board.packer {
        packer.start(tasks, &desks.system.health)?;
        let (packer, settings) = (packer.clone(), settings.continuity.clone());
        let (clock, health) = (desks.system.clock.clone(), desks.system.health.clone());
        tasks.every("pack-age", PACK_AGE_EVERY, move |handle| {
            // The first pack is being made.
            if handle.pause(PACK_AGE_AFTER) {
                packing::tell_age(&packer, &settings, clock.now(), &health);
            }
            Ok(())
        })?;
    }
    if let Some(prompt) = &desks.board.prompt {
        prompt.start(tasks)?;
    }
    let replay = desks.board.replay.clone();
    tasks.every("replay", REPLAY_EVERY, move |_| replay.turn())?;
    Ok(())
}
