//! Who listens on a socket, and what each of them is told: events filtered by right, queued per client.
//!
//! A desk publishes from any thread and never waits. A client that does not keep up loses events and
//! is told to read everything anew; nobody else notices.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::ends::Ends;
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;

/// Messages that may wait for one client; the next one tells it to read everything anew instead.
pub const QUEUE_MAX: usize = 256;
/// Sockets that one user may have open.
pub const SOCKETS_PER_USER: usize = 20;
/// Sockets in all.
pub const SOCKETS_MAX: usize = 1024;
/// Topics that one client may follow.
pub const TOPICS_PER_CLIENT: usize = 64;
/// When a client that found no place should come back.
const COME_BACK: Duration = Duration::from_secs(30);
/// Who else is connected is for those who plan together or oversee; the others see themselves alone.
const PRESENCE: [Right; 2] = [Right::ViewPlanning, Right::ViewSauron];

/// Decides whether a caller may follow the topic of that name. It may read the store.
pub type MayFollow = Arc<dyn Fn(&Caller, &str) -> Result<(), Fault> + Send + Sync>;

/// Whom an event is for, among those who hold its right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Everybody.
    Everyone,
    /// Everybody but this client.
    Others(u64),
    /// Every socket of these users.
    Users(Vec<Id>),
    /// The sockets of these sign-ins.
    Sessions(Vec<Id>),
    /// Whoever follows this topic: its kind (as offered) and its name.
    Followers(&'static str, String),
}

/// Something that happened, as clients are told it.
#[derive(Debug, Clone)]
pub struct Event {
    kind: &'static str,
    data: Value,
    flat: bool,
    needs: Vec<Right>,
    to: To,
}

impl Event {
    /// `{type: kind, data, timestamp}` for everybody who is signed in.
    pub fn new(kind: &'static str, data: impl Serialize) -> Self {
        let data = serde_json::to_value(data).unwrap_or(Value::Null);
        Self { kind, data, flat: false, needs: Vec::new(), to: To::Everyone }
    }

    /// The same in the shape of the terminals' clients: `{event, type, payload: data, timestamp}`
    /// with the fields of `data` beside them too.
    #[must_use]
    pub fn flat(mut self) -> Self {
        self.flat = true;
        self
    }

    /// Only for those who hold `right` when it is published; named again, one of them is enough.
    #[must_use]
    pub fn needs(mut self, right: Right) -> Self {
        self.needs.push(right);
        self
    }

    /// Only for these.
    #[must_use]
    pub fn to(mut self, to: To) -> Self {
        self.to = to;
        self
    }

    fn text(&self, now: Moment) -> Utf8Bytes {
        let whole = if self.flat {
            let mut whole = match &self.data {
                Value::Object(fields) => fields.clone(),
                _ => Map::new(),
            };
            whole.insert("event".into(), self.kind.into());
            whole.insert("type".into(), self.kind.into());
            whole.insert("payload".into(), self.data.clone());
            whole.insert("timestamp".into(), now.to_rfc3339().into());
            Value::Object(whole)
        } else {
            json!({"type": self.kind, "data": self.data, "timestamp": now.to_rfc3339()})
        };
        whole.to_string().into()
    }
}

/// A user who is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Presence {
    /// The user's name.
    pub username: String,
    /// Since when, by the oldest of the user's sockets.
    #[schema(value_type = String, format = DateTime)]
    pub connected_at: Moment,
    /// How many sockets the user has open.
    pub connections: usize,
}

/// Everybody who listens. Clones are the same hub.
#[derive(Clone)]
pub struct Hub(Arc<Inside>);

struct Inside {
    clock: Arc<dyn Clock>,
    clients: RwLock<HashMap<u64, Arc<Client>>>,
    offers: RwLock<HashMap<&'static str, MayFollow>>,
    last: AtomicU64,
    closing: CancellationToken,
}

struct Client {
    number: u64,
    since: Moment,
    caller: watch::Receiver<Arc<Caller>>,
    queue: mpsc::Sender<Utf8Bytes>,
    /// Whether events were lost that the client has not been told of.
    lost: AtomicBool,
    follows: Mutex<HashSet<(&'static str, String)>>,
}

/// A client's place in the hub; it is free again when this is dropped.
pub struct Seat {
    hub: Hub,
    client: Arc<Client>,
    waiting: mpsc::Receiver<Utf8Bytes>,
    ends: Ends,
}

/// What a client follows; clones are the same list.
#[derive(Clone)]
pub struct Topics {
    hub: Hub,
    client: Arc<Client>,
}

impl Hub {
    /// A hub in which nobody is.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inside {
            clock,
            clients: RwLock::default(),
            offers: RwLock::default(),
            last: AtomicU64::new(0),
            closing: CancellationToken::new(),
        }))
    }

    /// Tells an event to whom it is for, by the rights they hold now. From any thread; never waits.
    pub fn publish(&self, event: &Event) {
        let mut text = None;
        for client in self.clients().values().filter(|client| client.takes(event)) {
            client.push(text.get_or_insert_with(|| event.text(self.0.clock.now())));
        }
    }

    /// Lets clients follow topics of this kind, each where `may_follow` lets it: remote's `session`.
    pub fn offer(
        &self,
        kind: &'static str,
        may_follow: impl Fn(&Caller, &str) -> Result<(), Fault> + Send + Sync + 'static,
    ) {
        let mut offers = self.0.offers.write().unwrap_or_else(PoisonError::into_inner);
        offers.insert(kind, Arc::new(may_follow));
    }

    /// Takes a client in and tells the others.
    ///
    /// # Errors
    /// `too_many_sockets` when the user, or the box, has as many as it may.
    pub fn join(&self, ends: Ends) -> Result<Seat, Fault> {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let client = {
            let caller = ends.caller();
            let mut clients = self.clients_mut();
            let of_user =
                clients.values().filter(|c| same_user(&c.caller.borrow(), &caller.borrow()));
            if clients.len() >= SOCKETS_MAX || of_user.count() >= SOCKETS_PER_USER {
                return Err(too_many());
            }
            let number = self.0.last.fetch_add(1, Ordering::Relaxed) + 1;
            let (since, lost, follows) =
                (self.0.clock.now(), AtomicBool::new(false), Mutex::default());
            let client = Arc::new(Client { number, since, caller, queue, lost, follows });
            clients.insert(number, client.clone());
            client
        };
        let seat = Seat { hub: self.clone(), client, waiting, ends };
        seat.tell_others("user_connected");
        Ok(seat)
    }

    /// Who is connected, as far as `caller` may know.
    pub fn present(&self, caller: &Caller) -> Vec<Presence> {
        let all = may(caller, &PRESENCE);
        let mut present: BTreeMap<String, Presence> = BTreeMap::new();
        for client in self.clients().values() {
            let of = client.caller.borrow();
            if !all && !same_user(&of, caller) {
                continue;
            }
            let username = of.name().to_owned();
            let known = present.entry(username.clone()).or_insert(Presence {
                username,
                connected_at: client.since,
                connections: 0,
            });
            known.connections += 1;
            known.connected_at = known.connected_at.min(client.since);
        }
        present.into_values().collect()
    }

    /// Open sockets.
    pub fn count(&self) -> usize {
        self.clients().len()
    }

    /// Asks every socket to close, and takes no further one: the box stops.
    pub fn close(&self) {
        self.0.closing.cancel();
    }

    /// Cancelled when the box stops.
    pub fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    fn may_follow(&self, kind: &str) -> Option<(&'static str, MayFollow)> {
        let offers = self.0.offers.read().unwrap_or_else(PoisonError::into_inner);
        offers.get_key_value(kind).map(|(kind, may)| (*kind, may.clone()))
    }

    fn clients(&self) -> RwLockReadGuard<'_, HashMap<u64, Arc<Client>>> {
        self.0.clients.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn clients_mut(&self) -> RwLockWriteGuard<'_, HashMap<u64, Arc<Client>>> {
        self.0.clients.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn takes(&self, event: &Event) -> bool {
        let caller = self.caller.borrow();
        let meant = match &event.to {
            To::Everyone => true,
            To::Others(number) => self.number != *number,
            To::Users(ids) => matches!(&caller.who, Who::User { id, .. } if ids.contains(id)),
            To::Sessions(ids) => caller.session.is_some_and(|id| ids.contains(&id)),
            To::Followers(kind, of) => {
                let follows = self.follows.lock().unwrap_or_else(PoisonError::into_inner);
                follows.iter().any(|(k, o)| k == kind && o == of)
            }
        };
        meant && may(&caller, &event.needs)
    }

    fn push(&self, text: &Utf8Bytes) {
        // One that has lost something has to read everything anew, so the rest is of no use to it.
        if !self.lost.load(Ordering::Acquire) && self.queue.try_send(text.clone()).is_err() {
            self.lost.store(true, Ordering::Release);
        }
    }
}

impl Seat {
    /// The client's number, for [`To::Others`].
    pub fn number(&self) -> u64 {
        self.client.number
    }

    /// The watch over the client's session.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Who the client is by now.
    pub fn caller(&self) -> Arc<Caller> {
        self.client.caller.borrow().clone()
    }

    /// The next message for the client. May be dropped while it waits.
    pub async fn next(&mut self) -> Utf8Bytes {
        if let Ok(text) = self.waiting.try_recv() {
            return text;
        }
        // Put back first: what is published from here on is queued, and what was before is covered.
        if self.client.lost.swap(false, Ordering::AcqRel) {
            let data = json!({"entity": null, "changed_by": null});
            return Event::new("refresh_required", data).text(self.hub.0.clock.now());
        }
        match self.waiting.recv().await {
            Some(text) => text,
            // The sender lies beside the receiver: this cannot be.
            None => std::future::pending().await,
        }
    }

    /// What the client follows.
    pub fn topics(&self) -> Topics {
        Topics { hub: self.hub.clone(), client: self.client.clone() }
    }

    fn tell_others(&self, kind: &'static str) {
        let caller = self.caller();
        let now = self.hub.0.clock.now();
        let data = json!({"username": caller.name(), "timestamp": now.to_rfc3339()});
        let event = PRESENCE.into_iter().fold(Event::new(kind, data), Event::needs);
        self.hub.publish(&event.to(To::Others(self.number())));
    }
}

impl Topics {
    /// Lets the client follow a topic. It may read the store: not for the runtime's own threads.
    ///
    /// # Errors
    /// `not_found` when nobody offers such topics, `too_many_topics`, or what the offer says.
    pub fn follow(&self, kind: &str, of: &str) -> Result<(), Fault> {
        let (kind, may) = self
            .hub
            .may_follow(kind)
            .ok_or_else(|| Fault::not_found(&format!("{kind} to follow")))?;
        let caller = self.client.caller.borrow().clone();
        may(&caller, of)?;
        let mut follows = self.follows();
        if follows.len() >= TOPICS_PER_CLIENT && !follows.contains(&(kind, of.to_owned())) {
            return Err(Fault::too_large(
                "too_many_topics",
                format!("One client may follow {TOPICS_PER_CLIENT} topics."),
            ));
        }
        follows.insert((kind, of.to_owned()));
        Ok(())
    }

    /// Ends what [`Topics::follow`] began.
    pub fn unfollow(&self, kind: &str, of: &str) {
        self.follows().retain(|(k, o)| *k != kind || o != of);
    }

    /// Asks every offer again, since the caller's rights may have changed; answers what the client
    /// may not follow any more. It may read the store, as [`Topics::follow`].
    pub fn sift(&self) -> Vec<(&'static str, String, Fault)> {
        let followed: Vec<_> = self.follows().iter().cloned().collect();
        let caller = self.client.caller.borrow().clone();
        let mut lost = Vec::new();
        for (kind, of) in followed {
            let Some((_, may)) = self.hub.may_follow(kind) else { continue };
            if let Err(fault) = may(&caller, &of) {
                self.unfollow(kind, &of);
                lost.push((kind, of, fault));
            }
        }
        lost
    }

    fn follows(&self) -> std::sync::MutexGuard<'_, HashSet<(&'static str, String)>> {
        self.client.follows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let caller = self.caller();
        let gone = {
            let mut clients = self.hub.clients_mut();
            clients.remove(&self.client.number);
            !clients.values().any(|c| same_user(&c.caller.borrow(), &caller))
        };
        if gone {
            self.tell_others("user_disconnected");
        }
    }
}

/// Whether the caller may hear what one of these rights is needed for; none stands for everybody.
fn may(caller: &Caller, needs: &[Right]) -> bool {
    let enough = needs.is_empty() || needs.iter().any(|right| caller.rights.holds(*right));
    caller.hold.is_none() && enough
}

fn same_user(one: &Caller, other: &Caller) -> bool {
    match (&one.who, &other.who) {
        (Who::User { id: one, .. }, Who::User { id: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

fn too_many() -> Fault {
    Fault::new(Kind::Busy, "too_many_sockets", "Too many sockets are open; close one first.")
        .retry_after(COME_BACK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::caller::Rights;
    use crate::base::clock::HeldClock;

    fn hub() -> Hub {
        Hub::new(Arc::new(HeldClock::at(Moment(0))))
    }

    fn user(name: &str, rights: Rights) -> Caller {
        let id = Id([name.as_bytes()[0]; 16]);
        let who = Who::User { id, name: name.into() };
        Caller { who, rights, session: Some(id), ..Caller::nobody(None, "r") }
    }

    fn seat(hub: &Hub, caller: Caller) -> (Seat, watch::Sender<Arc<Caller>>) {
        let (sender, receiver) = watch::channel(Arc::new(caller));
        (hub.join(Ends::new(CancellationToken::new(), receiver, ())).unwrap(), sender)
    }

    fn told(seat: &mut Seat) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(text) = seat.waiting.try_recv() {
            let value: Value = serde_json::from_str(&text).unwrap();
            all.push(value["type"].as_str().unwrap().to_owned());
        }
        all
    }

    #[test]
    fn an_event_reaches_whom_it_is_for_and_who_may_hear_it_now() {
        let hub = hub();
        let plans = Rights::NONE.with(Right::ViewPlanning);
        let ((mut anna, anna_now), (mut bert, _bert_now)) =
            (seat(&hub, user("anna", plans)), seat(&hub, user("bert", Rights::NONE)));
        let changed = Event::new("data_changed", json!({})).needs(Right::ViewPlanning);
        hub.publish(&changed);
        hub.publish(&Event::new("x", json!({})).to(To::Users(vec![Id([b'b'; 16])])));
        hub.publish(&Event::new("y", json!({})).to(To::Sessions(vec![Id([b'a'; 16])])));
        assert_eq!(told(&mut anna), ["user_connected", "data_changed", "y"]);
        assert_eq!(told(&mut bert), ["x"]);
        anna_now.send(Arc::new(user("anna", Rights::NONE))).unwrap();
        hub.publish(&changed);
        assert!(told(&mut anna).is_empty(), "a right that is gone was still served");
        assert_eq!(hub.present(&user("bert", Rights::NONE)).len(), 1);
        assert_eq!(hub.present(&user("carl", plans)).len(), 2);
    }

    #[tokio::test]
    async fn a_slow_client_is_told_to_read_anew_and_holds_nobody_up() {
        let hub = hub();
        let (mut slow, _slow_now) = seat(&hub, user("anna", Rights::NONE));
        for _ in 0..QUEUE_MAX * 3 {
            hub.publish(&Event::new("x", json!({})));
        }
        for _ in 0..QUEUE_MAX {
            assert!(slow.next().await.contains("\"x\""));
        }
        assert!(slow.next().await.contains("refresh_required"));
        hub.publish(&Event::new("y", json!({})));
        assert!(slow.next().await.contains("\"y\""), "what comes after is told again");
    }

    #[test]
    fn topics_are_followed_where_their_desk_lets_it() {
        let hub = hub();
        let (mut anna, now) = seat(&hub, user("anna", Rights::NONE.with(Right::ViewRemote)));
        assert_eq!(anna.topics().follow("session", "1").map_err(|f| f.code), Err("not_found"));
        hub.offer("session", |caller, of| {
            caller.require(Right::ViewRemote)?;
            if of == "1" { Ok(()) } else { Err(Fault::not_found("session")) }
        });
        assert_eq!(anna.topics().follow("session", "2").map_err(|f| f.code), Err("not_found"));
        anna.topics().follow("session", "1").unwrap();
        let output = Event::new("output", json!({"data": "x"})).flat();
        let of = |name: &str| output.clone().to(To::Followers("session", name.into()));
        hub.publish(&of("1"));
        hub.publish(&of("2"));
        assert_eq!(told(&mut anna), ["output"]);
        now.send(Arc::new(user("anna", Rights::NONE))).unwrap();
        assert_eq!(anna.topics().sift().len(), 1);
        hub.publish(&of("1"));
        assert!(told(&mut anna).is_empty());
    }

    #[test]
    fn nobody_takes_every_place() {
        let hub = hub();
        let seats: Vec<_> =
            (0..SOCKETS_PER_USER).map(|_| seat(&hub, user("anna", Rights::NONE))).collect();
        let (_sender, receiver) = watch::channel(Arc::new(user("anna", Rights::NONE)));
        let refused = hub.join(Ends::new(CancellationToken::new(), receiver, ()));
        assert_eq!(refused.err().map(|f| f.code), Some("too_many_sockets"));
        drop(seats);
        assert_eq!(hub.count(), 0);
    }
}
