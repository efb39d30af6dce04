//! The shapes of Plan B's page.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Called, Standing};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::continuity::keys::{FileKeyState, ScopedKey};
use crate::domains::continuity::pack::{LeftOut, PackState, PaperState, SectionState};
use crate::domains::continuity::sealing::SealingState;
use crate::domains::continuity::watchdog::state::{
    Drill, DrillWish, Phase, Seen, Trial, WatchdogState,
};
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
    key: FileKeyView,
    /// Further keys; none when their file is damaged.
    keys: Option<Vec<ScopedKeyView>>,
    /// The sealing key; none when it is damaged.
    sealing: Option<SealingView>,
    /// The continuity pack; none when there is none.
    pack: Option<PackAnswer>,
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
            key: state.key.into(),
            keys: state.keys.map(|keys| keys.into_iter().map(Into::into).collect()),
            sealing: state.sealing.map(Into::into),
            pack: pack.map(Into::into),
            watchdog: watchdog.map(Into::into),
            outbox: OutboxView {
                files: lying.files,
                entries: lying.entries,
                waiting: lying.waiting,
                open,
            },
            drill: wish.map(|wish| WishView { wish: wish.into() }),
        }
    }
}

/// The key of the file.
#[derive(Debug, Serialize, ToSchema)]
struct FileKeyView {
    /// Since when; none when there is no file.
    #[schema(value_type = Option<String>, format = DateTime)]
    made_at: Option<Moment>,
    /// Until when the key before is still taken.
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_until: Option<Moment>,
    /// Copies of keys before, newest first.
    backups: Vec<BackupView>,
    /// The code of what keeps the key from being used; none when it is well.
    wrong: Option<&'static str>,
}

impl From<FileKeyState> for FileKeyView {
    fn from(state: FileKeyState) -> Self {
        let backups = state.backups.into_iter();
        Self {
            made_at: state.made_at,
            previous_until: state.previous_until,
            backups: backups.map(|b| BackupView { name: b.name, at: b.at }).collect(),
            wrong: state.wrong,
        }
    }
}

/// A copy of a key before.
#[derive(Debug, Serialize, ToSchema)]
struct BackupView {
    /// Its file.
    name: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
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

/// The sealing key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SealingView {
    /// Since when it is in force.
    #[schema(value_type = String, format = DateTime)]
    key_made_at: Moment,
    /// Messages that it has sealed at most.
    messages: u64,
    /// From how many on it should be rotated.
    warn_at: u64,
    /// At how many it seals no more.
    limit: u64,
    /// Keys before it that still open what they sealed.
    earlier_keys: usize,
}

impl From<SealingState> for SealingView {
    fn from(state: SealingState) -> Self {
        Self {
            key_made_at: state.key_made_at,
            messages: state.messages,
            warn_at: state.warn_at,
            limit: state.limit,
            earlier_keys: state.earlier_keys,
        }
    }
}

/// The continuity pack.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PackAnswer {
    /// When it was last signed.
    #[schema(value_type = String, format = DateTime)]
    made_at: Moment,
    /// How many were written before it, and it.
    generation: u64,
    /// Whether this node signed it and it is what was signed.
    verified: bool,
    /// Bytes of all its files.
    bytes: u64,
    /// Its tables.
    sections: Vec<SectionView>,
    /// People who may sign in.
    people: usize,
    /// Doors that may punch.
    doors: usize,
    /// Its papers.
    papers: Vec<PaperView>,
    /// What is not in it, and why.
    left_out: Vec<LeftOutView>,
}

impl From<PackState> for PackAnswer {
    fn from(state: PackState) -> Self {
        Self {
            made_at: state.made_at,
            generation: state.generation,
            verified: state.verified,
            bytes: state.bytes,
            sections: state.sections.into_iter().map(Into::into).collect(),
            people: state.people,
            doors: state.doors,
            papers: state.papers.into_iter().map(Into::into).collect(),
            left_out: state.left_out.into_iter().map(Into::into).collect(),
        }
    }
}

/// A text in both languages of the box.
#[derive(Debug, Serialize, ToSchema)]
struct BothWords {
    /// In French.
    fr: String,
    /// In English.
    en: String,
}

/// A table of the pack.
#[derive(Debug, Serialize, ToSchema)]
struct SectionView {
    /// Its name.
    id: String,
    /// Its title.
    title: BothWords,
    /// Rows.
    rows: usize,
    /// Since when its source does not answer; none when it does.
    #[schema(value_type = Option<String>, format = DateTime)]
    stale_since: Option<Moment>,
}

impl From<SectionState> for SectionView {
    fn from(state: SectionState) -> Self {
        let title = BothWords { fr: state.title.fr, en: state.title.en };
        Self { id: state.id, title, rows: state.rows, stale_since: state.stale_since }
    }
}

/// A paper of the pack.
#[derive(Debug, Serialize, ToSchema)]
struct PaperView {
    /// Its name.
    name: String,
    /// Bytes.
    bytes: u64,
    /// Its SHA-256, hexadecimal.
    sha256: String,
}

impl From<PaperState> for PaperView {
    fn from(state: PaperState) -> Self {
        Self { name: state.name, bytes: state.bytes, sha256: state.sha256 }
    }
}

/// Something that is not in the pack.
#[derive(Debug, Serialize, ToSchema)]
struct LeftOutView {
    /// What.
    name: String,
    /// Why: `no_room`, `unreadable`, `changed`, `too_many_rows`, `name_taken`.
    why: String,
}

impl From<LeftOut> for LeftOutView {
    fn from(out: LeftOut) -> Self {
        Self { name: out.name, why: out.why }
    }
}

/// The watchdog.
#[derive(Debug, Serialize, ToSchema)]
struct WatchdogView {
    /// Whether it lives.
    alive: bool,
    /// `starting`, `healthy`, `plan_b`, `returning`, `resting`, `drill`, `stopping`, `stopped`.
    #[schema(value_type = String, example = "healthy")]
    phase: Phase,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Moment,
    /// Its process.
    pid: u32,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    began_at: Moment,
    /// The command that is watched.
    target: Vec<String>,
    /// The main program's process, while it runs.
    main_pid: Option<u32>,
    /// Plan B's process, while it runs.
    planb_pid: Option<u32>,
    /// How often the main program was started within the window.
    starts_in_window: u32,
    /// How often it may be.
    starts_max: u32,
    /// When it is started again, while that waits.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_start_at: Option<Moment>,
    /// How it ended the last time.
    last_end: Option<String>,
    /// When a drill ends, while one is held.
    #[schema(value_type = Option<String>, format = DateTime)]
    drill_until: Option<Moment>,
}

impl From<(bool, WatchdogState)> for WatchdogView {
    fn from((alive, state): (bool, WatchdogState)) -> Self {
        Self {
            alive,
            phase: state.phase,
            since: state.since,
            pid: state.pid,
            began_at: state.began_at,
            target: state.target,
            main_pid: state.main_pid,
            planb_pid: state.planb_pid,
            starts_in_window: state.starts_in_window,
            starts_max: state.starts_max,
            next_start_at: state.next_start_at,
            last_end: state.last_end,
            drill_until: state.drill_until,
        }
    }
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
    wish: DrillWishView,
}

/// A drill that is asked for.
#[derive(Debug, Serialize, ToSchema)]
struct DrillWishView {
    /// Its name.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// For how long, seconds.
    seconds: u64,
    /// Who asks.
    by: String,
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
}

impl From<DrillWish> for DrillWishView {
    fn from(wish: DrillWish) -> Self {
        Self { id: wish.id, seconds: wish.seconds, by: wish.by, at: wish.at }
    }
}

/// What the watchdog saw.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WatchdogHistory {
    /// Newest first.
    items: Vec<SeenView>,
}

impl From<Vec<Seen>> for WatchdogHistory {
    fn from(seen: Vec<Seen>) -> Self {
        Self { items: seen.into_iter().map(Into::into).collect() }
    }
}

/// One line of the watchdog's history.
#[derive(Debug, Serialize, ToSchema)]
struct SeenView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
    /// What happened, a stable word: `main_died`, `planb_started`, `handed_back`.
    what: String,
    /// The process it happened to.
    pid: Option<u32>,
    /// In words, for logs.
    detail: String,
}

impl From<Seen> for SeenView {
    fn from(seen: Seen) -> Self {
        Self { at: seen.at, what: seen.what, pid: seen.pid, detail: seen.detail }
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
        Self { items: drills.into_iter().map(Into::into).collect() }
    }
}

/// What a drill proved.
#[derive(Debug, Serialize, ToSchema)]
struct DrillView {
    /// Its name.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// Who asked.
    by: String,
    /// When the main program was told to stop.
    #[schema(value_type = String, format = DateTime)]
    began_at: Moment,
    /// How long Plan B was to answer, seconds.
    seconds: u64,
    /// From the main program's end to Plan B's first answer, milliseconds.
    planb_after_ms: Option<u64>,
    /// From the main program's new start to its first healthy answer, milliseconds.
    main_after_ms: Option<u64>,
    /// When the main program was back.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Moment>,
    /// What was tried.
    trials: Vec<TrialView>,
    /// Whether everything went well.
    ok: bool,
    /// Whether this node's signature stands under it.
    signed: bool,
}

impl From<(Drill, bool)> for DrillView {
    fn from((drill, signed): (Drill, bool)) -> Self {
        Self {
            id: drill.id,
            by: drill.by,
            began_at: drill.began_at,
            seconds: drill.seconds,
            planb_after_ms: drill.planb_after_ms,
            main_after_ms: drill.main_after_ms,
            ended_at: drill.ended_at,
            trials: drill.trials.into_iter().map(Into::into).collect(),
            ok: drill.ok,
            signed,
        }
    }
}

/// One thing that was tried in a drill.
#[derive(Debug, Serialize, ToSchema)]
struct TrialView {
    /// What: `health`, `status`, `pack`, `pages`, `front`, `entry`, `return`.
    what: String,
    /// Whether it went well.
    ok: bool,
    /// In words.
    detail: String,
    /// How long it took, milliseconds.
    took_ms: u64,
}

impl From<Trial> for TrialView {
    fn from(trial: Trial) -> Self {
        Self { what: trial.what, ok: trial.ok, detail: trial.detail, took_ms: trial.took_ms }
    }
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
