//! What happened: the journal read, counted, signed, verified and taken out.

pub mod auditing;
pub mod checkpoints;
pub mod deeds;
pub mod ledger;
pub mod reading;
pub mod records;
pub mod requests;
pub mod routes;
pub mod verification;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::caller::{Caller, Right};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::id::Id;
use crate::base::tasks::Tasks;
use crate::engines::secrets::RootKey;
use crate::store::{Deed, Store};
use crate::web::meters::Observer;
use checkpoints::Signer;
use reading::{Filter, Found, Part};
use requests::Counting;

/// A reading that the same caller repeats within this time is journaled once: pages poll.
pub const SAME_READING: Duration = Duration::from_mins(10);
/// Readings remembered at once; the oldest are forgotten first.
const READINGS_MAX: usize = 1_000;
/// How often it is looked whether a checkpoint is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often counts are written down and the index of hours is brought up.
const FLUSH_EVERY: Duration = Duration::from_mins(1);

/// Settings under `[activity]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActivitySettings {
    /// How long the counts of requests are kept, days. The journal itself is kept for ever.
    pub request_days: u64,
}

impl Default for ActivitySettings {
    fn default() -> Self {
        Self { request_days: 90 }
    }
}

/// A person as the journal's pages show one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name of record.
    pub id: Id,
    /// The name to sign in with.
    pub username: String,
    /// How it is shown.
    pub display_name: String,
    /// The role's name.
    pub role: String,
    /// Whether it may sign in.
    pub active: bool,
    /// When it was created.
    pub created_at: Moment,
}

/// The site as the journal's pages need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// Its name; empty before the set-up.
    pub name: String,
    /// Its IANA time zone; empty before the set-up.
    pub time_zone: String,
}

/// What the journal asks of the users' directory, which is another desk's.
pub trait Directory: Send + Sync {
    /// The person of that name, whatever its case.
    ///
    /// # Errors
    /// What the directory says.
    fn person(&self, username: &str) -> Result<Option<Person>, Fault>;
    /// The integer that clients know a user by.
    ///
    /// # Errors
    /// What the directory says.
    fn number_of(&self, user: Id) -> Result<Option<u64>, Fault>;
    /// The user of an integer.
    ///
    /// # Errors
    /// What the directory says.
    fn user_of(&self, number: u64) -> Result<Option<Id>, Fault>;
    /// The site.
    ///
    /// # Errors
    /// What the directory says.
    fn site(&self) -> Result<Site, Fault>;
}

/// The journal's desk. Clones are the same desk.
#[derive(Clone)]
pub struct Activity {
    store: Store,
    clock: Arc<dyn Clock>,
    health: Health,
    settings: ActivitySettings,
    desk: Arc<Desk>,
}

struct Desk {
    directory: Box<dyn Directory>,
    counting: Arc<Counting>,
    signer: Signer,
    /// The number that was signed last by this process, and when, on the boot clock.
    signed: Mutex<Option<(u64, Duration)>>,
    /// When which reading was journaled last, on the boot clock.
    readings: Mutex<HashMap<String, Duration>>,
    /// Held by the walk along the chain that somebody asked for: one at a time.
    walking: Mutex<()>,
}

/// What a person did, counted.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonActivity {
    /// The person.
    pub person: Person,
    /// How many deeds.
    pub total: u64,
    /// How many of each action type.
    pub by_type: BTreeMap<String, u64>,
    /// When the last one was.
    pub last: Option<Moment>,
    /// When the last sign-in was.
    pub last_login: Option<Moment>,
}

impl Activity {
    /// Opens the desk: reads the key that signs checkpoints, or makes it at the first start.
    ///
    /// # Errors
    /// What the store or the root key says.
    pub fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        health: Health,
        root: &RootKey,
        settings: ActivitySettings,
        directory: Box<dyn Directory>,
    ) -> Result<Self, Fault> {
        let signer = Signer::open(&store, root)?;
        let desk = Desk {
            directory,
            counting: Arc::default(),
            signer,
            signed: Mutex::default(),
            readings: Mutex::default(),
            walking: Mutex::default(),
        };
        Ok(Self { store, clock, health, settings, desk: Arc::new(desk) })
    }

    /// Starts what runs by itself: checkpoints, counts, the index of hours, the walk along the chain.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn start(&self, tasks: &Tasks) -> Result<(), Fault> {
        let (desk, mut flushed) = (self.clone(), None::<Duration>);
        tasks.every("journal", LOOK_EVERY, move |handle| {
            desk.sign_if_due()?;
            let now = desk.clock.since_boot();
            if flushed.is_none_or(|at| now.saturating_sub(at) >= FLUSH_EVERY) {
                desk.flush_requests()?;
                while desk.index_hours()? && !handle.stopped() {}
                flushed = Some(now);
            }
            Ok(())
        })?;
        let desk = self.clone();
        tasks.every("journal-walk", verification::EVERY, move |handle| desk.walk(handle)).map(drop)
    }

    /// What has to be on disk before the store closes: the counts, and a checkpoint of the end.
    ///
    /// # Errors
    /// What the store says.
    pub fn settle(&self) -> Result<(), Fault> {
        self.flush_requests()?;
        self.sign_head().map(drop)
    }

    /// What counts requests, for the door.
    pub fn observer(&self) -> Arc<dyn Observer> {
        self.desk.counting.clone()
    }

    /// The users' directory.
    pub(crate) fn directory(&self) -> &dyn Directory {
        self.desk.directory.as_ref()
    }

    /// Lists links for somebody who may read the journal; `reading` names the list and its filters, which
    /// is journaled too.
    ///
    /// # Errors
    /// `right_missing`, or what the store says.
    pub fn list(
        &self,
        caller: &Caller,
        reading: &str,
        filter: &Filter,
        part: Part,
    ) -> Result<Found, Fault> {
        caller.require(Right::ViewSauron)?;
        let found = self.find(filter, part)?;
        self.note_reading(caller, reading)?;
        Ok(found)
    }

    /// Deeds of people over the last `days`, by name, most active first.
    ///
    /// # Errors
    /// `right_missing`, or what the store says.
    pub fn by_person(&self, caller: &Caller, days: u64) -> Result<Vec<(String, u64)>, Fault> {
        caller.require(Right::ViewSauron)?;
        let span = Duration::from_hours(days.min(requests::DAYS_MAX) * 24);
        let start = Moment(
            self.clock.now().0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        );
        let filter = Filter { people: true, from: Some(start), ..Filter::default() };
        let mut counts = BTreeMap::<String, u64>::new();
        self.each(&filter, |glance| match counts.get_mut(glance.who) {
            Some(count) => *count += 1,
            None => drop(counts.insert(glance.who.to_owned(), 1)),
        })?;
        self.note_reading(caller, &format!("people days={days}"))?;
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Ok(counts)
    }

    /// What one person did; none when there is no such person.
    ///
    /// # Errors
    /// `right_missing`, or what the store says.
    pub fn of_person(
        &self,
        caller: &Caller,
        username: &str,
    ) -> Result<Option<PersonActivity>, Fault> {
        caller.require(Right::ViewSauron)?;
        let Some(person) = self.desk.directory.person(username)? else { return Ok(None) };
        let filter = Filter { user: Some(person.id), ..Filter::default() };
        let (mut total, mut by_type) = (0, BTreeMap::<String, u64>::new());
        let (mut last, mut last_login) = (None, None);
        self.each(&filter, |glance| {
            total += 1;
            last = last.or(Some(glance.at));
            if glance.deed == "session.begin" {
                last_login = last_login.or(Some(glance.at));
            }
            let action = deeds::action_at(glance);
            match by_type.get_mut(action.as_ref()) {
                Some(count) => *count += 1,
                None => drop(by_type.insert(action.into_owned(), 1)),
            }
        })?;
        self.note_reading(caller, &format!("person username={}", person.username))?;
        Ok(Some(PersonActivity { person, total, by_type, last, last_login }))
    }

    /// Journals that somebody read the journal; once, when the same is read again and again.
    fn note_reading(&self, caller: &Caller, reading: &str) -> Result<(), Fault> {
        let who = caller.session.or(caller.key).map_or_else(String::new, |id| id.to_string());
        let key = format!("{} {who} {reading}", caller.name());
        let now = self.clock.since_boot();
        {
            let mut readings = self.desk.readings.lock().unwrap_or_else(PoisonError::into_inner);
            let recent = |at: &Duration| now.saturating_sub(*at) < SAME_READING;
            if readings.get(&key).is_some_and(recent) {
                return Ok(());
            }
            if readings.len() >= READINGS_MAX {
                readings.retain(|_, at| recent(at));
            }
            if readings.len() >= READINGS_MAX {
                let oldest = readings.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
                oldest.map(|key| readings.remove(&key));
            }
            readings.insert(key, now);
        }
        let (caller, deed) = (caller.clone(), Deed::new("activity.read", reading));
        // Reading goes on when the disk is nearly full, and so does what is known of it.
        self.store.write_freeing(move |tx| tx.journal(&caller, deed))
    }
}
