//! The walk along the chain: in the background, on demand, and over a copied store without its box.

use std::sync::TryLockError;
use std::time::Duration;

use super::Activity;
use super::checkpoints::{self, Sorted};
use super::records::{VERIFIED, Verified};
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::health::Level;
use crate::base::tasks::Handle;
use crate::store::chain::{self, Findings, Walk};
use crate::store::copy::Copy;
use crate::store::journal::{Head, JOURNAL, Link};
use crate::store::key::Key;
use crate::store::{Deed, Reader, Record};

/// How often new links are walked along.
pub const EVERY: Duration = Duration::from_hours(24);
/// How often the whole chain is, from its first link on.
const WHOLE_EVERY: Duration = Duration::from_hours(7 * 24);
/// Links of one stretch: no read of the store is held longer.
const STRETCH: usize = 2_000;
/// The pause between stretches in the background, so that nobody waits for a core.
const PACE: Duration = Duration::from_millis(10);
/// When to ask again while another walk is under way.
const COME_BACK: Duration = Duration::from_secs(5);
/// The part's name on the health board.
const PART: &str = "journal";

/// What a walk says of a journal, whatever it was kept in.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What was found.
    pub findings: Findings,
    /// The site it is of.
    pub site: String,
    /// The last checkpoint whose signature is good, and when it was signed.
    pub last_checkpoint: Option<(u64, Moment)>,
    /// The public key's fingerprint; none when there is no key.
    pub fingerprint: Option<String>,
    /// When it was exported; none for a store.
    pub exported_at: Option<Moment>,
}

/// What is known of the chain without walking along it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainState {
    /// How many links there are.
    pub links: u64,
    /// What the last walk found; none before the first.
    pub verified: Option<Verified>,
    /// The last checkpoint.
    pub last_checkpoint: Option<(u64, Moment)>,
}

impl Activity {
    /// What is known of the chain without walking along it.
    ///
    /// # Errors
    /// `right_missing`, or what the store says.
    pub fn chain_state(&self, caller: &Caller) -> Result<ChainState, Fault> {
        caller.require(Right::ViewSauron)?;
        let last = self.last_checkpoint()?;
        Ok(ChainState {
            links: self.store.journal_head().number,
            verified: self.store.read(|view| view.get(&VERIFIED, &()))?,
            last_checkpoint: last.map(|last| (last.number, last.at)),
        })
    }

    /// Walks along the whole chain now.
    ///
    /// # Errors
    /// `right_missing`, `verification_running`, or what the store says.
    pub fn verify(&self, caller: &Caller) -> Result<Verdict, Fault> {
        caller.require(Right::ViewSauron)?;
        let _walking = match self.desk.walking.try_lock() {
            Ok(walking) => walking,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Fault::busy(
                    "verification_running",
                    "The journal is being verified already.",
                    COME_BACK,
                ));
            }
        };
        let who = caller.clone();
        self.store.write_freeing(move |tx| tx.journal(&who, Deed::new("activity.verify", "")))?;
        let before = self.store.read(|view| view.get(&VERIFIED, &()))?.unwrap_or_default();
        let sorted = self.sorted(0)?.remembering(before.head);
        let last_checkpoint = sorted.last;
        let findings = self.walk_on(Head::default(), sorted, || true)?.unwrap_or_default();
        self.remember(&findings, true)?;
        Ok(Verdict {
            findings,
            site: self.store.site().to_string(),
            last_checkpoint,
            fingerprint: Some(checkpoints::fingerprint(&self.desk.signer.public())),
            exported_at: None,
        })
    }

    /// One turn of the background walk: from the last link that was found whole, and each week, or after
    /// anything was found, from the first.
    ///
    /// # Errors
    /// What the store says.
    pub fn walk(&self, handle: &Handle) -> Result<(), Fault> {
        let before = self.store.read(|view| view.get(&VERIFIED, &()))?.unwrap_or_default();
        let now = self.clock.now();
        let stale = now < before.whole_at || now.since(before.whole_at) >= WHOLE_EVERY;
        let whole = stale || before.count > 0 || !self.is_still(before.head)?;
        let start = if whole { Head::default() } else { before.head };
        let sorted = self.sorted(start.number)?.remembering(before.head);
        let found = self.walk_on(start, sorted, || handle.pause(PACE))?;
        found.map_or(Ok(()), |findings| self.remember(&findings, whole))
    }

    fn sorted(&self, after: u64) -> Result<Sorted, Fault> {
        let (public, site) = (self.desk.signer.public(), self.store.site().to_string());
        self.store.read(|view| checkpoints::sorted(view, &public, &site, after))
    }

    /// Whether the link that was verified last is still the one that lies there.
    fn is_still(&self, head: Head) -> Result<bool, Fault> {
        if head.number == 0 {
            return Ok(false);
        }
        let there = self.store.read(|view| view.raw_get(JOURNAL.name, &head.number.bytes()))?;
        let link = there.and_then(|row| Link::decode(&row).ok());
        Ok(link.is_some_and(|link| link.number == head.number && link.hash == head.hash))
    }

    /// Walks on after `start`; none when `go_on` said no.
    fn walk_on(
        &self,
        start: Head,
        sorted: Sorted,
        go_on: impl Fn() -> bool,
    ) -> Result<Option<Findings>, Fault> {
        let mut walk = Walk::onwards(start, None, sorted.good);
        for (number, at) in sorted.forged {
            walk.forged(number, Some(at));
        }
        let mut next = if start.number == 0 { 0 } else { start.number + 1 };
        while let Some(further) =
            self.store.read(|view| chain::stretch(view, &mut walk, next, STRETCH))?
        {
            if !go_on() {
                return Ok(None);
            }
            next = further;
        }
        Ok(Some(walk.end()))
    }

    /// Keeps what a walk found, and tells the health board. A walk along a part of the chain does not
    /// take back what one along the whole of it found meanwhile, and what was found whole once stays
    /// known when less is left: a tail that is gone is named at every later walk too.
    fn remember(&self, findings: &Findings, whole: bool) -> Result<(), Fault> {
        let (now, first) = (self.clock.now(), findings.first().cloned());
        let (head, count) = (findings.last, findings.count);
        let kept = self.store.write_freeing(move |tx| {
            let before = tx.get(&VERIFIED, &())?.unwrap_or_default();
            if !whole && count == 0 && before.count > 0 {
                return Ok(before);
            }
            let further = count == 0 && head.number >= before.head.number;
            let head = if further { head } else { before.head };
            let whole_at = if whole { now } else { before.whole_at };
            let verified = Verified { head, at: now, whole_at, count, first };
            tx.put(&VERIFIED, &(), &verified)?;
            Ok(verified)
        })?;
        match &kept.first {
            None => {
                self.health.well(PART, format!("The chain is whole, {} links.", kept.head.number));
            }
            Some(first) => self.health.report(
                PART,
                Level::Failed,
                format!(
                    "The journal is not whole: link {} was {} ({} in all).",
                    first.number,
                    first.wrong.name(),
                    kept.count
                ),
                "Keep a copy of the data folder as it is, run `ilot audit verify`, and compare with the \
                 last export or snapshot: somebody or something changed the store from outside.",
            ),
        }
        Ok(())
    }
}

/// Walks along the chain of a copied store, without its box and without its root key.
///
/// # Errors
/// What the copy says.
pub fn verify_copy(copy: &Copy) -> Result<Verdict, Fault> {
    let site = copy.site()?.to_string();
    let public = copy.read(checkpoints::public_key)?;
    let sorted = match &public {
        Some(public) => copy.read(|view| checkpoints::sorted(view, public, &site, 0))?,
        None => Sorted::default(),
    };
    let before = copy.read(|view| view.get(&VERIFIED, &()))?.unwrap_or_default();
    let sorted = sorted.remembering(before.head);
    let mut walk = Walk::new(None, sorted.good);
    for (number, at) in sorted.forged {
        walk.forged(number, Some(at));
    }
    copy.read(|view| chain::stretch(view, &mut walk, 0, usize::MAX))?;
    Ok(Verdict {
        findings: walk.end(),
        site,
        last_checkpoint: sorted.last,
        fingerprint: public.as_ref().map(checkpoints::fingerprint),
        exported_at: None,
    })
}
