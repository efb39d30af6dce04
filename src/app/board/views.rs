//! The shapes of Plan B's page.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Called, Standing};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::continuity::keys::{FileKeyState, ScopedKey};
use crate::domains::continuity::pack::PackState;
use crate::domains::continuity::sealing::SealingState;
use crate::domains::continuity::watchdog::state::{Drill, DrillWish, Seen, WatchdogState};
use crate::domains::handover::lists::{Page, Reported};
use crate::domains::handover::records::{Arrived, Outcome};

/// How Plan B stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BoardAnswer {
    /// `server` or `client`.
    role: &'static str,
    /// Who this node is, 64 hexadecimal digits; none when its key is damaged.
    node_id: Option<String>,
    /// Where Plan B's own door listens; none when it does not.
    address: Option<String>,
    /// The key of the file.
    key: FileKeyState,
    /// Further keys; none when their file is damaged.
    keys: Option<Vec<ScopedKeyView>>,
    /// The sealing key; none when it is damaged.
    sealing: Option<SealingState>,
    /// The continuity pack; none when there is none.
    pack: Option<PackState>,
    /// The watchdog; none when there never was one.
    watchdog: Option<WatchdogView>,
    /// What Plan B wrote down.
    outbox: OutboxView,
    /// A drill that is asked for and not begun; none when there is none.
    drill: Option<WishView>,
}

impl BoardAnswer {
    pub(super) fn of(standing: Standing, address: String) -> Self {
        let Standing { state, pack, watchdog, wish, lying, open } = standing;
        Self {
            role: state.role.name(),
            node_id: state.node_id,
            address: Some(address).filter(|a| !a.is_empty() && a != "off"),
            key: state.key,
            keys: state.keys.map(|keys| keys.into_iter().map(Into::into).collect()),
            sealing: state.sealing,
            pack,
            watchdog: watchdog.map(|(alive, state)| WatchdogView { alive, state }),
            outbox: OutboxView {
                files: lying.files,
                entries: lying.entries,
                waiting: lying.waiting,
                open,
            },
            drill: wish.map(|wish| WishView { wish }),
        }
    }
}

/// A further key; its text is kept nowhere.
#[derive(Debug, Serialize, ToSchema)]
struct ScopedKeyView {
    /// What it is called.
    name: String,
    /// `status`, `crypto`, `tcp`.
    scopes: Vec<&'static str>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    made_at: Moment,
    /// When it ends; none for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
}

impl From<ScopedKey> for ScopedKeyView {
    fn from(key: ScopedKey) -> Self {
        Self {
            scopes: key.scopes.iter().map(|scope| scope.name()).collect(),
            name: key.name,
            made_at: key.made_at,
            expires_at: key.expires_at,
        }
    }
}

/// A further key that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct NewKey {
    /// What it is called.
    name: String,
    /// The key, told this once.
    api_key: String,
    /// `status`, `crypto`, `tcp`.
    scopes: Vec<&'static str>,
    /// When it ends; none for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
}

impl NewKey {
    pub(super) fn of(api_key: String, key: ScopedKey) -> Self {
        let view = ScopedKeyView::from(key);
        Self { name: view.name, api_key, scopes: view.scopes, expires_at: view.expires_at }
    }
}

/// The watchdog.
#[derive(Debug, Serialize, ToSchema)]
struct WatchdogView {
    /// Whether it lives.
    alive: bool,
    #[serde(flatten)]
    state: WatchdogState,
}

/// What Plan B wrote down.
#[derive(Debug, Serialize, ToSchema)]
struct OutboxView {
    /// Files that are not archived.
    files: u64,
    /// Their entries.
    entries: u64,
    /// Entries among them that are not taken yet.
    waiting: u64,
    /// Entries that were taken and wait for a person or a taker.
    open: u64,
}

/// A drill that waits for the watchdog.
#[derive(Debug, Serialize, ToSchema)]
struct WishView {
    /// What was asked for.
    wish: DrillWish,
}

/// What the watchdog saw.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WatchdogHistory {
    /// Newest first.
    items: Vec<Seen>,
}

impl From<Vec<Seen>> for WatchdogHistory {
    fn from(seen: Vec<Seen>) -> Self {
        Self { items: seen }
    }
}

/// What drills have proved.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DrillList {
    /// Newest first.
    items: Vec<DrillView>,
}

impl From<Vec<(Drill, bool)>> for DrillList {
    fn from(drills: Vec<(Drill, bool)>) -> Self {
        let items = drills.into_iter().map(|(drill, signed)| DrillView { drill, signed });
        Self { items: items.collect() }
    }
}

/// What a drill proved.
#[derive(Debug, Serialize, ToSchema)]
struct DrillView {
    #[serde(flatten)]
    drill: Drill,
    /// Whether this node's signature stands under it.
    signed: bool,
}

/// What came of each file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReportList {
    /// Newest first.
    items: Vec<ReportView>,
}

impl From<Vec<Reported>> for ReportList {
    fn from(reports: Vec<Reported>) -> Self {
        Self { items: reports.into_iter().map(Into::into).collect() }
    }
}

/// What came of one file.
#[derive(Debug, Serialize, ToSchema)]
struct ReportView {
    /// The file.
    #[schema(value_type = String, format = Uuid)]
    file: Id,
    /// When its first entry was written.
    #[schema(value_type = String, format = DateTime)]
    first_at: Moment,
    /// When its last one was.
    #[schema(value_type = String, format = DateTime)]
    last_at: Moment,
    /// When the main program last took some of it.
    #[schema(value_type = String, format = DateTime)]
    taken_at: Moment,
    /// Entries.
    entries: u64,
    /// Of those, taken.
    taken: u64,
    /// In conflict.
    conflicts: u64,
    /// Notes for a person.
    notes: u64,
    /// Of a kind that nobody takes yet.
    waiting: u64,
    /// Those that still wait for a person or a taker.
    open: u64,
    /// What is wrong with the file.
    damage: Option<String>,
}

impl From<Reported> for ReportView {
    fn from(Reported { report, open }: Reported) -> Self {
        Self {
            file: report.file,
            first_at: report.first_at,
            last_at: report.last_at,
            taken_at: report.taken_at,
            entries: report.entries,
            taken: report.taken,
            conflicts: report.conflicts,
            notes: report.notes,
            waiting: report.waiting,
            open,
            damage: report.damage,
        }
    }
}

/// A page of arrivals.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ArrivalPage {
    /// Newest first.
    items: Vec<ArrivalView>,
    /// How many wait for a person or a taker, of whichever file.
    total_open: u64,
}

impl ArrivalPage {
    pub(super) fn of(page: Page, names: &Called) -> Result<Self, Fault> {
        let items = page.items.into_iter().map(|arrived| ArrivalView::of(arrived, names));
        Ok(Self { items: items.collect::<Result<_, _>>()?, total_open: page.total_open })
    }
}

/// Something Plan B wrote down, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ArrivalView {
    /// Its name.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// The file it came in.
    #[schema(value_type = String, format = Uuid)]
    file: Id,
    /// Its place in that file.
    seq: u64,
    /// What it is: `note`, `punch`, `drill`.
    kind: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
    /// The name of who wrote it.
    by: String,
    /// How the directory calls who wrote it now; `by` for whoever is not in it.
    by_name: String,
    /// Whom it is about (`body.person`), as the directory calls them now; the id of whoever is not in
    /// it, none when it is about nobody.
    subject: Option<String>,
    /// What it says.
    #[schema(value_type = Object)]
    body: Value,
    /// When the main program took it.
    #[schema(value_type = String, format = DateTime)]
    taken_at: Moment,
    /// What became of it.
    outcome: OutcomeView,
}

impl ArrivalView {
    pub(super) fn of(arrived: Arrived, names: &Called) -> Result<Self, Fault> {
        let body: Value =
            serde_json::from_str(&arrived.body).unwrap_or(Value::String(arrived.body));
        let name_of = |id: Option<Id>| id.map_or(Ok(None), |id| names(id));
        let by_name = name_of(arrived.user)?.unwrap_or_else(|| arrived.by.clone());
        let subject = match body.get("person").and_then(Value::as_str) {
            Some(person) => {
                Some(name_of(person.parse().ok())?.unwrap_or_else(|| person.to_owned()))
            }
            None => None,
        };
        Ok(Self {
            id: arrived.id,
            file: arrived.file,
            seq: arrived.seq,
            kind: arrived.kind,
            at: arrived.at,
            by: arrived.by,
            by_name,
            subject,
            body,
            taken_at: arrived.taken_at,
            outcome: arrived.outcome.into(),
        })
    }
}

/// What became of an arrival.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
enum OutcomeView {
    /// It is in the records of its domain.
    Taken {
        /// What it became.
        record: String,
    },
    /// It does not fit what is there; it waits for a person.
    Conflict {
        /// A stable word.
        code: String,
        /// Why.
        reason: String,
    },
    /// It is a note that nobody has dealt with yet.
    Note,
    /// No domain takes this kind yet.
    Waiting,
    /// A person has dealt with it.
    Done {
        /// Who.
        by: String,
        /// When.
        #[schema(value_type = String, format = DateTime)]
        at: Moment,
        /// In the person's words.
        remark: String,
    },
}

impl From<Outcome> for OutcomeView {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Taken { record } => Self::Taken { record },
            Outcome::Conflict { code, reason } => Self::Conflict { code, reason },
            Outcome::Note => Self::Note,
            Outcome::Waiting => Self::Waiting,
            Outcome::Done { by, at, remark } => Self::Done { by, at, remark },
        }
    }
}
