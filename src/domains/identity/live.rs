//! What is open right now and for whom: a session, key or account that ends takes it along.
//!
//! The change log says whose standing may have changed; the store's own rows say what it is now. So a
//! verb that ends a session has nothing to tell anybody, and none can forget to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::records::{API_KEYS, GRANTS, ROLES, SESSIONS, USERS};
use super::{Identity, grants};
use crate::base::caller::{Caller, Who};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::base::tasks::{Handle, Tasks};
use crate::store::changes::{self, Change};
use crate::store::key::Key;
use crate::web::ends::{Ends, Watch};

/// How often what is open is looked at while anything is: ends by time alone make no commit.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often while nothing is open.
const REST: Duration = Duration::from_mins(1);
/// Changes read at once.
const CHANGES_AT_ONCE: usize = 1000;
/// For how long a caller may stay open whose standing cannot be read.
const DOUBT_MAX: Duration = Duration::from_secs(10);

/// Whose rows end what is open as soon as they are gone.
const ENDED_BY: [&str; 2] = [SESSIONS.name, API_KEYS.name];
/// Rows of which each concerns everybody who is open.
const CONCERN_ALL: [&str; 2] = [ROLES.name, GRANTS.name];

/// The register of what is open. Clones share it.
#[derive(Clone)]
pub struct Live(Arc<Inside>);

struct Inside {
    identity: Identity,
    count: AtomicUsize,
    open: Mutex<Open>,
    thread: OnceLock<Handle>,
}

#[derive(Default)]
struct Open {
    entries: HashMap<u64, Entry>,
    last: u64,
    /// The last change that was looked at.
    seen: u64,
}

struct Entry {
    over: CancellationToken,
    caller: watch::Sender<Arc<Caller>>,
    /// When it may be over by time alone.
    until: Moment,
    /// Since when its standing is not known.
    doubt: Option<Instant>,
}

/// Takes its entry out of the register when the open thing is dropped.
struct Note {
    live: Live,
    number: u64,
}

impl Live {
    /// A register that asks `identity` how callers stand. [`Live::start`] makes it work.
    pub fn of(identity: Identity) -> Self {
        let open = Mutex::new(Open { seen: identity.store.seq(), ..Open::default() });
        let (count, thread) = (AtomicUsize::new(0), OnceLock::new());
        Self(Arc::new(Inside { identity, count, open, thread }))
    }

    /// Starts the thread that ends what is over.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn start(&self, tasks: &Tasks) -> Result<(), Fault> {
        let live = self.clone();
        let handle = tasks.every("session-ends", LOOK_EVERY, move |handle| {
            loop {
                live.look();
                let pause = if live.is_empty() { REST } else { LOOK_EVERY };
                if !handle.pause(pause) {
                    return Ok(());
                }
            }
        })?;
        let _ = self.0.thread.set(handle.clone());
        // Weak, so that a store and the register that reads it do not keep each other alive.
        let inside = Arc::downgrade(&self.0);
        self.0.identity.store.on_commit(move |_| {
            if inside.upgrade().is_some_and(|inside| inside.count.load(Ordering::Acquire) > 0) {
                handle.wake();
            }
        });
        Ok(())
    }

    /// Notes that something is open for `caller`. It does not block: the caller's standing is looked
    /// at right after, so an end that came between its recognition and this is not missed.
    ///
    /// # Errors
    /// `unauthenticated` for nobody.
    pub fn enter(&self, caller: &Caller) -> Result<Ends, Fault> {
        caller.signed_in()?;
        let over = CancellationToken::new();
        let (sender, receiver) = watch::channel(Arc::new(caller.clone()));
        let number = {
            let mut open = self.open();
            if open.entries.is_empty() {
                // What was before concerns nobody: the first is looked at whatever has changed.
                open.seen = self.0.identity.store.seq();
            }
            open.last += 1;
            let number = open.last;
            let (over, until) = (over.clone(), Moment(i64::MAX));
            open.entries
                .insert(number, Entry { over, caller: sender, until, doubt: Some(Instant::now()) });
            self.0.count.store(open.entries.len(), Ordering::Release);
            number
        };
        self.wake();
        Ok(Ends::new(over, receiver, Note { live: self.clone(), number }))
    }

    /// [`Live::enter`] for whoever opens things and knows nothing of identity.
    pub fn watch(&self) -> Watch {
        let live = self.clone();
        Arc::new(move |caller| live.enter(caller))
    }

    /// How many things are open.
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    fn wake(&self) {
        if let Some(handle) = self.0.thread.get() {
            handle.wake();
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what has changed, and looks again at everybody whom that, or the time, puts in doubt.
    fn look(&self) {
        let seen = self.open().seen;
        let latest = self.0.identity.store.seq();
        if !self.is_empty() && latest > seen {
            match self.changes_after(seen) {
                Ok(Some(changes)) => {
                    for (_, change) in &changes {
                        self.open().touched_by(change);
                    }
                }
                // What happened is not known any more, or not yet: everybody may be concerned.
                Ok(None) => self.open().doubt_all(),
                Err(fault) => {
                    tracing::warn!("the changes cannot be read: {fault}");
                    self.open().doubt_all();
                }
            }
        }
        // Whoever enters from here on is in doubt anyway.
        self.open().seen = latest;
        self.settle_doubts();
    }

    /// The changes after `seq`; none when some are not in the log any more, or are too many to sift.
    fn changes_after(&self, seq: u64) -> Result<Option<Vec<(u64, Change)>>, Fault> {
        self.0.identity.store.read(|view| {
            if changes::oldest(view)?.is_none_or(|oldest| oldest > seq + 1) {
                return Ok(None);
            }
            let changes = changes::since(view, seq, CHANGES_AT_ONCE)?;
            Ok((changes.len() < CHANGES_AT_ONCE).then_some(changes))
        })
    }

    fn settle_doubts(&self) {
        let doubtful = self.open().doubtful(self.0.identity.clock.now());
        for (number, caller) in doubtful {
            let standing = self.0.identity.standing(&caller);
            let mut open = self.open();
            let Some(entry) = open.entries.get_mut(&number) else { continue };
            match standing {
                Ok(Some((caller, until))) => entry.stands(caller, until),
                Ok(None) => entry.over.cancel(),
                Err(fault) => entry.doubted(&fault),
            }
        }
    }
}

impl Open {
    /// Ends whoever `change` ends, and puts in doubt whomever it concerns.
    fn touched_by(&mut self, change: &Change) {
        let table = change.table.as_str();
        if CONCERN_ALL.contains(&table) {
            return self.doubt_all();
        }
        if !ENDED_BY.contains(&table) && table != USERS.name {
            return;
        }
        for entry in self.entries.values_mut() {
            let caller = entry.caller.borrow().clone();
            let concerned = match table {
                _ if table == API_KEYS.name => is(caller.key, &change.key),
                _ if table == SESSIONS.name => is(caller.session, &change.key),
                _ => matches!(&caller.who, Who::User { id, .. } if is(Some(*id), &change.key)),
            };
            if concerned && change.removed && table != USERS.name {
                entry.over.cancel();
            } else if concerned {
                entry.doubt.get_or_insert_with(Instant::now);
            }
        }
    }

    fn doubt_all(&mut self) {
        for entry in self.entries.values_mut() {
            entry.doubt.get_or_insert_with(Instant::now);
        }
    }

    /// Who is to be looked at: whoever is in doubt, and whose time may be up.
    fn doubtful(&self, now: Moment) -> Vec<(u64, Arc<Caller>)> {
        let open = self.entries.iter().filter(|(_, entry)| !entry.over.is_cancelled());
        open.filter(|(_, entry)| entry.doubt.is_some() || now >= entry.until)
            .map(|(number, entry)| (*number, entry.caller.borrow().clone()))
            .collect()
    }
}

fn is(id: Option<Id>, key: &[u8]) -> bool {
    id.is_some_and(|id| id.bytes() == key)
}

impl Entry {
    fn stands(&mut self, caller: Caller, until: Moment) {
        self.doubt = None;
        self.until = until;
        self.caller.send_if_modified(|known| {
            let same = (known.rights, &known.role, known.hold, &known.who)
                == (caller.rights, &caller.role, caller.hold, &caller.who);
            *known = Arc::new(caller);
            !same
        });
    }

    /// A disk that refuses for a moment ends nobody; one that goes on refusing ends everybody.
    fn doubted(&mut self, fault: &Fault) {
        let since = *self.doubt.get_or_insert_with(Instant::now);
        if since.elapsed() > DOUBT_MAX {
            tracing::warn!("whether a session still is cannot be read: {fault}");
            self.over.cancel();
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let mut open = self.live.open();
        open.entries.remove(&self.number);
        self.live.0.count.store(open.entries.len(), Ordering::Release);
    }
}

impl Identity {
    /// How a caller who was recognised once stands now: as whom, and until which moment at least; none
    /// when the session, the key or the account is over. Whoever has none of them (the console, a
    /// machine at its own door) stands for ever.
    ///
    /// # Errors
    /// What the store says.
    fn standing(&self, caller: &Caller) -> Result<Option<(Caller, Moment)>, Fault> {
        let now = self.clock.now();
        let found = match (caller.session, caller.key) {
            (Some(session), _) => self
                .stands(caller.clone(), session, caller.door, now)?
                .map(|standing| (standing.caller, standing.until)),
            (None, Some(key)) => self.key_stands(caller, key, now)?,
            (None, None) => Some((caller.clone(), Moment(i64::MAX))),
        };
        let Some((caller, until)) = found else { return Ok(None) };
        // A right that was given for a while goes without a commit too.
        let Who::User { id: user, .. } = caller.who else { return Ok(Some((caller, until))) };
        let grants = self.store.read(|view| grants::grants_of(view, user))?;
        let ends = grants.iter().filter_map(|grant| grant.until).filter(|end| *end > now);
        Ok(Some((caller, ends.fold(until, Moment::min))))
    }
}
