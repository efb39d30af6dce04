//! Devices, kiosks, passes, punches, corrections, schedules, closed months, and their tables.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Moment;
use crate::base::day::{Day, Month};
use crate::base::id::{Id, Lineage};
use crate::records;
use crate::store::{Blob, Table};

/// Devices by name of record.
pub const DEVICES: Table<Id, Device> = Table::journaled("attendance.devices");
/// Devices by the integer that clients know them by.
pub const DEVICES_BY_NUMBER: Table<u64, Id> = Table::journaled("attendance.devices_by_number");
/// Devices that are not revoked, by fingerprint: a fingerprint is free again after a revocation.
pub const DEVICES_BY_FINGERPRINT: Table<String, Id> =
    Table::journaled("attendance.devices_by_fingerprint");
/// Devices of a user.
pub const DEVICES_OF: Table<(Id, Id), ()> = Table::journaled("attendance.devices_of");
/// When a device was last seen, written at most once a minute.
pub const DEVICES_SEEN: Table<Id, Moment> = Table::quiet("attendance.devices_seen");
/// Kiosks by name of record.
pub const KIOSKS: Table<Id, Kiosk> = Table::journaled("attendance.kiosks");
/// Kiosks by the integer that clients know them by.
pub const KIOSKS_BY_NUMBER: Table<u64, Id> = Table::journaled("attendance.kiosks_by_number");
/// Kiosks by what no two may share: `name:…` (folded), `fingerprint:…`, `address:…`.
pub const KIOSKS_BY_MARK: Table<String, Id> = Table::journaled("attendance.kiosks_by_mark");
/// What a kiosk last said of itself.
pub const KIOSKS_SEEN: Table<Id, KioskSeen> = Table::quiet("attendance.kiosks_seen");
/// Who may, or may not, punch at a kiosk: by kiosk and user.
pub const KIOSK_ACCESS: Table<(Id, Id), Access> = Table::journaled("attendance.kiosk_access");
/// Codes that pair a kiosk's page, by the MAC of the code.
pub const PAIRINGS: Table<String, Pairing> = Table::journaled("attendance.pairings");
/// Passes by their `jti`: housekeeping, pruned; what a pass became is a punch.
pub const PASSES: Table<Id, Pass> = Table::quiet("attendance.passes");
/// Sealed keys of the desk by purpose.
pub const KEYS: Table<String, Blob> = Table::journaled("attendance.keys");
/// Personal codes for kiosks, by user.
pub const PINS: Table<Id, Pin> = Table::journaled("attendance.pins");
/// Punches by name of record: as they were made, never changed.
pub const PUNCHES: Table<Id, Punch> = Table::journaled("attendance.punches");
/// Punches by the integer that clients know them by, which is the order they were written down in.
pub const PUNCHES_BY_NUMBER: Table<u64, Id> = Table::journaled("attendance.punches_by_number");
/// Punches of a user by when they were made: the order that presence and sheets are read in.
pub const PUNCHES_OF: Table<(Id, Moment, Id), Brief> = Table::journaled("attendance.punches_of");
/// Punches of everybody by when they were made.
pub const PUNCHES_AT: Table<(Moment, Id), ()> = Table::journaled("attendance.punches_at");
/// Punches by what they were made with, so that nothing is taken twice: a pass's `jti`, a kiosk's own
/// number of a late punch, an entry of Plan B.
pub const PUNCHES_BY_TOKEN: Table<String, Id> = Table::journaled("attendance.punches_by_token");
/// Corrections by name of record.
pub const CORRECTIONS: Table<Id, Correction> = Table::journaled("attendance.corrections");
/// Corrections by number.
pub const CORRECTIONS_BY_NUMBER: Table<u64, Id> =
    Table::journaled("attendance.corrections_by_number");
/// Corrections of a user by the moment that they are about.
pub const CORRECTIONS_OF: Table<(Id, Moment, Id), ()> =
    Table::journaled("attendance.corrections_of");
/// Corrections that wait for a decision.
pub const CORRECTIONS_OPEN: Table<Id, ()> = Table::journaled("attendance.corrections_open");
/// What could not be taken as a punch and waits for the office: by name.
pub const UNSETTLED: Table<Id, Unsettled> = Table::journaled("attendance.unsettled");
/// Schedules by number.
pub const SCHEDULES: Table<u64, Schedule> = Table::journaled("attendance.schedules");
/// Which schedule a user follows from which day on; 0 for none.
pub const FOLLOWS: Table<(Id, i64), u64> = Table::journaled("attendance.follows");
/// Rules of working time by the day from which they hold.
pub const RULES: Table<i64, Rules> = Table::journaled("attendance.rules");
/// Months that are closed, or were, by the month's number.
pub const MONTHS: Table<i64, ClosedMonth> = Table::journaled("attendance.months");
/// What a closed month's sheet said of each user.
pub const MONTH_TOTALS: Table<(i64, Id), Totals> = Table::journaled("attendance.month_totals");
/// Codes of the personnel office, by number.
pub const HR_CODES: Table<u64, HrCode> = Table::journaled("attendance.hr_codes");
/// The same by code.
pub const HR_CODES_BY_CODE: Table<String, u64> = Table::journaled("attendance.hr_codes_by_code");
/// Joinings that are under way, by the MAC of their token.
pub const JOININGS: Table<String, Joining> = Table::journaled("attendance.joinings");

/// A phone that shows passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// The integer clients know it by; a per-site alias.
    pub number: u64,
    /// Whose it is.
    pub user: Id,
    /// What tells it from others, as it says itself.
    pub fingerprint: String,
    /// What its owner calls it.
    pub name: String,
    /// What it attests of itself, as it was sent; none when it sent nothing.
    pub attestation: Option<String>,
    /// Its public key (P-256, `SubjectPublicKeyInfo`, DER), under which it signs passes of its own while
    /// the box is away; empty for a device without one.
    pub public_key: Vec<u8>,
    /// When it was registered.
    pub registered_at: Moment,
    /// When it was revoked; a revoked device never comes back.
    pub revoked_at: Option<Moment>,
}

/// Who may punch at a kiosk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessMode {
    /// Everybody.
    #[default]
    Public,
    /// Who is let in by name.
    Whitelist,
    /// Everybody but who is kept out by name.
    Blacklist,
}

/// What a punch at a kiosk says when its request does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It follows from the person's last punch.
    #[default]
    Automatic,
    /// Always coming.
    ClockIn,
    /// Always going.
    ClockOut,
    /// The person chooses at the kiosk.
    Chosen,
}

/// By what a kiosk is known besides its key, which always works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// By its key alone.
    #[default]
    Key,
    /// By its address too, where it has no key.
    Address,
    /// By its number in the request: whoever reaches the box may speak for it.
    Anyone,
}

/// A door at which passes are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kiosk {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// The integer clients know it by; a per-site alias.
    pub number: u64,
    /// Its name, no two alike.
    pub name: String,
    /// Where it is.
    pub location: String,
    /// What tells it from others.
    pub fingerprint: String,
    /// Its address, where it is fixed.
    pub address: Option<String>,
    /// Its public key, as it was given.
    pub public_key: Option<String>,
    /// Whether it takes punches.
    pub active: bool,
    /// Who may punch at it.
    pub access: AccessMode,
    /// What a punch says when its request does not.
    pub direction: Direction,
    /// By what it is known besides its key.
    pub trust: Trust,
    /// Whether personal codes are taken.
    pub pins: bool,
    /// When it was made.
    pub created_at: Moment,
}

/// What a kiosk last said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KioskSeen {
    /// When.
    pub at: Moment,
    /// The version of its program.
    pub app_version: String,
    /// What it runs on.
    pub device_info: Option<String>,
    /// From which address.
    pub address: Option<String>,
    /// How far its clock is before the box's, milliseconds; none when it does not say.
    pub clock_ahead_ms: Option<i64>,
    /// How many punches it keeps until it can send them.
    pub waiting: u32,
}

/// Whether a person may punch at a kiosk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Let in, or kept out.
    pub granted: bool,
    /// Who decided it; none for the console.
    pub by: Option<Id>,
    /// When.
    pub at: Moment,
    /// Until when; none for always.
    pub expires_at: Option<Moment>,
}

/// A code that pairs a kiosk's page once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    /// The kiosk.
    pub kiosk: Id,
    /// Until when it is good.
    pub expires_at: Moment,
}

/// A pass that was handed to a phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Whose.
    pub user: Id,
    /// On which device.
    pub device: Id,
    /// Its second random value, for the journal.
    pub nonce: Id,
    /// When it was issued, by the wall.
    pub issued_at: Moment,
    /// The run of the machine it was issued in: in another one it is dead.
    pub boot: [u8; 16],
    /// When it was issued, milliseconds since the machine started.
    pub boot_ms: u64,
    /// How long it lives, milliseconds.
    pub life_ms: u64,
    /// What it became.
    pub taken: Option<Taken>,
}

/// What a pass became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// When.
    pub at: Moment,
    /// At which kiosk.
    pub kiosk: Id,
    /// The punch.
    pub punch: Id,
}

/// A personal code for kiosks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// MAC of user and code under a key that is not in the database.
    pub mac: [u8; 32],
    /// When it was chosen.
    pub set_at: Moment,
}

/// What a punch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Coming.
    ClockIn,
    /// Going.
    ClockOut,
    /// A break begins.
    BreakStart,
    /// A break ends.
    BreakEnd,
}

impl Kind {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClockIn => "clock_in",
            Self::ClockOut => "clock_out",
            Self::BreakStart => "break_start",
            Self::BreakEnd => "break_end",
        }
    }
}

/// How a punch was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// With a pass on a phone.
    Pass,
    /// With a personal code.
    Pin,
    /// With a pass that a phone signed itself while the box was away.
    OwnPass,
    /// Written down by Plan B while the box was away.
    PlanB,
}

/// What is odd about a punch; it is taken all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The box's clock was in doubt.
    DoubtfulTime,
    /// The kiosk kept it and sent it later.
    Late,
    /// It is the first of this device.
    NewDevice,
    /// It does not fit the person's last punch: coming twice, going without coming.
    OutOfOrder,
    /// Within seconds of a punch of somebody else with whom this one alternates: somebody may punch for
    /// two.
    TooQuick,
    /// Two people have used this device's fingerprint lately.
    SharedDevice,
    /// The kiosk's clock and the box's are far apart.
    KioskClock,
    /// It falls into a month that was closed before it came.
    ClosedMonth,
}

/// A punch, as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Punch {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// The integer clients know it by; a per-site alias.
    pub number: u64,
    /// Who.
    pub user: Id,
    /// With which device; none for who had none.
    pub device: Option<Id>,
    /// At which kiosk; none where there was none.
    pub kiosk: Option<Id>,
    /// What it says.
    pub kind: Kind,
    /// How it was made.
    pub way: Way,
    /// When, by the box's clock.
    pub at: Moment,
    /// When, by the kiosk's clock, where it said so.
    pub kiosk_at: Option<Moment>,
    /// When it was written down: later than `at` for what came late.
    pub written_at: Moment,
    /// What it was made with: see [`PUNCHES_BY_TOKEN`].
    pub token: String,
    /// What is odd about it.
    pub flags: Vec<Flag>,
}

/// What sheets and presence need of a punch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// Its integer.
    pub number: u64,
    /// What it says.
    pub kind: Kind,
    /// At which kiosk.
    pub kiosk: Option<Id>,
    /// What is odd about it.
    pub flags: Vec<Flag>,
}

/// What a correction does to the punches of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A punch that is missing.
    Add {
        /// What it says.
        kind: Kind,
        /// When.
        at: Moment,
    },
    /// A punch was at another time, or said something else.
    Move {
        /// The punch.
        punch: Id,
        /// When it was.
        at: Moment,
        /// What it says.
        kind: Kind,
    },
    /// A punch does not count.
    Drop {
        /// The punch.
        punch: Id,
    },
}

/// Where a correction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It waits for somebody to decide.
    Open,
    /// It holds.
    Approved,
    /// It does not.
    Refused,
    /// It held, and was taken back.
    Withdrawn,
}

/// A correction: the punches stay as they were made, it says how they count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// The integer that pages know it by; a per-site alias.
    pub number: u64,
    /// Whose punches it corrects.
    pub user: Id,
    /// The moment it is about: that of the punch as it was, or that of the added one.
    pub about: Moment,
    /// What it does.
    pub change: Change,
    /// Why.
    pub reason: String,
    /// Who asks for it; none for the box, which proposes a forgotten clock-out.
    pub author: Option<Id>,
    /// The same by name.
    pub author_name: String,
    /// When.
    pub asked_at: Moment,
    /// Where it stands.
    pub decision: Decision,
    /// Who decided, by name.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Moment>,
    /// What the decider says.
    pub remark: String,
}

/// What came and could not be taken as a punch: nothing that a kiosk sends is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// Its name of record.
    pub id: Id,
    /// When it came.
    pub came_at: Moment,
    /// When it was made, by the box's clock as far as can be told.
    pub at: Moment,
    /// At which kiosk.
    pub kiosk: Option<Id>,
    /// Who, as far as can be told.
    pub user: Option<Id>,
    /// What it says, as far as it does.
    pub kind: Option<Kind>,
    /// How it was made.
    pub way: Way,
    /// What it was made with, so that it is not taken twice.
    pub token: String,
    /// A stable word for why it was not taken.
    pub code: String,
    /// The same as a sentence.
    pub reason: String,
    /// Who dealt with it, by name.
    pub settled_by: Option<String>,
    /// When.
    pub settled_at: Option<Moment>,
    /// What was done about it, in the person's words.
    pub remark: String,
}

/// When somebody is expected on a weekday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Shift {
    /// From when, minutes after midnight.
    pub from: u32,
    /// Until when, minutes after the same midnight: more than 1,440 for a night.
    pub until: u32,
    /// Of that, break, minutes.
    pub pause: u32,
}

/// A week as it is expected of people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What it descends from.
    pub lineage: Lineage,
    /// The integer it is known by.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// The shifts from Monday to Sunday; none on a free day.
    pub days: Vec<Option<Shift>>,
    /// Whether it is no longer offered.
    pub retired: bool,
}

/// A band of overtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Band {
    /// How many minutes of a week it takes in; none for all that is left.
    pub minutes: Option<u32>,
    /// What is paid on top, per cent.
    pub percent: u32,
}

/// Rules of working time, from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// What they descend from.
    pub lineage: Lineage,
    /// From when they hold.
    pub from: Day,
    /// What they are called.
    pub name: String,
    /// Where they stand: law, agreement.
    pub source: String,
    /// Minutes of work in a week beyond which it is overtime.
    pub week_minutes: u32,
    /// How overtime is paid, first band first.
    pub bands: Vec<Band>,
    /// From when it is night, minutes after midnight.
    pub night_from: u32,
    /// Until when, minutes after the next midnight.
    pub night_until: u32,
    /// The longest day of work, minutes.
    pub day_max: u32,
    /// The longest week of work, minutes.
    pub week_max: u32,
    /// The shortest rest between two days of work, minutes.
    pub rest_min: u32,
    /// After how many minutes of work without a break one is due.
    pub pause_after: u32,
    /// How long that break is, minutes.
    pub pause_min: u32,
}

/// A month that is closed, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedMonth {
    /// What it descends from.
    pub lineage: Lineage,
    /// The month.
    pub month: Month,
    /// Whether it is closed now.
    pub closed: bool,
    /// When it was last closed or opened.
    pub at: Moment,
    /// By whom, by name.
    pub by: String,
    /// Why, where a reason was asked for.
    pub reason: String,
    /// How many times it was closed.
    pub times: u32,
    /// SHA-256 of the payroll export as it was at the closing.
    pub sha256: [u8; 32],
}

/// What a month comes to for one person; minutes throughout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// Days with work.
    pub days: u32,
    /// Work.
    pub worked: u32,
    /// Breaks.
    pub paused: u32,
    /// Work by night.
    pub night: u32,
    /// Work on Sundays.
    pub sunday: u32,
    /// What the schedule expects; none where there is none.
    pub expected: Option<u32>,
    /// Overtime by band, in the rules' order: of the weeks that end in the month.
    pub overtime: Vec<Overtime>,
    /// Days with something that a person has to look at.
    pub open_days: u32,
}

/// Overtime in one band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Overtime {
    /// What is paid on top, per cent.
    pub percent: u32,
    /// How much, minutes.
    pub minutes: u32,
}

/// A code with which the personnel office lets somebody make an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HrCode {
    /// What it descends from.
    pub lineage: Lineage,
    /// The integer clients know it by.
    pub number: u64,
    /// The code, as it is on the paper.
    pub code: String,
    /// For whom.
    pub email: String,
    /// The same by name.
    pub name: Option<String>,
    /// Who made it; none for the console.
    pub by: Option<Id>,
    /// When.
    pub created_at: Moment,
    /// Until when it is good.
    pub expires_at: Moment,
    /// When it was used.
    pub used_at: Option<Moment>,
    /// By whom.
    pub used_by: Option<Id>,
}

/// How far a joining is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The code was right; the word of six digits is asked for.
    OtpSent,
    /// That was right; a password and a device are asked for.
    OtpVerified,
    /// The account is there.
    Completed,
}

/// Somebody who is making an account with a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// Its name of record, by which the office's page knows it.
    pub id: Id,
    /// The code it began with, by number.
    pub code: u64,
    /// The address.
    pub email: String,
    /// How far it is.
    pub step: Step,
    /// When it began.
    pub began_at: Moment,
    /// Until when it may go on.
    pub expires_at: Moment,
    /// MAC of the word of six digits that is good now; empty for none.
    pub otp: String,
    /// Until when.
    pub otp_until: Moment,
    /// How many wrong words were said.
    pub attempts: u32,
    /// From where.
    pub address: Option<String>,
}

records!(
    Device,
    Kiosk,
    KioskSeen,
    Access,
    Pairing,
    Pass,
    Pin,
    Punch,
    Brief,
    Correction,
    Unsettled,
    Schedule,
    Rules,
    ClosedMonth,
    Totals,
    HrCode,
    Joining,
);
