//! Who is asking, what they may do, and through which door they came.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use super::clock::Moment;
use super::fault::{Fault, Kind};
use super::id::Id;

macro_rules! rights {
    ($($variant:ident $name:literal $doc:literal),* $(,)?) => {
        /// A named permission. The first seventeen are TomatoPlan's, in the order its clients expect
        /// (planning-tomatoplan.md §4.2); the rest are ilot's own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Right { $(#[doc = $doc] $variant),* }

        impl Right {
            /// Every right, in the order answers list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

rights! {
    ViewPlanning "view_planning" "See missions and voyages.",
    EditPlanning "edit_planning" "Write missions.",
    ViewDrivers "view_drivers" "See chauffeurs.",
    ManageDrivers "manage_drivers" "Write chauffeurs.",
    EditDriverPlanning "edit_driver_planning" "Write absences.",
    ManageRights "manage_rights" "Administer users, roles and sessions.",
    ManageVoyages "manage_voyages" "Write voyages.",
    GeneratePlanning "generate_planning" "Fill a day from the voyages.",
    EditPastPlanning "edit_past_planning" "Change missions dated before today.",
    EditPastPlanningAdvanced "edit_past_planning_advanced" "Change missions of closed periods.",
    ViewFinance "view_finance" "See subcontractors and money.",
    ManageFinance "manage_finance" "Write subcontractors and money.",
    ViewAnalyse "view_analyse" "See the statistics.",
    ViewSauron "view_sauron" "See sessions, logs and activity: the journal.",
    SendAnnouncements "send_announcements" "Write to everyone.",
    ManageAnnouncementsConfig "manage_announcements_config" "Set up announcements.",
    AdminAccess "admin_access" "Configure the box.",
    ReadDocuments "read_documents" "Search and open documents.",
    EditDocuments "edit_documents" "Add, re-read and delete documents.",
    ManageCollections "manage_collections" "Decide who reads a collection of documents.",
    UseAssistant "use_assistant" "Ask the assistant, and keep conversations.",
    ManageAssistant "manage_assistant" "Choose models, and see everybody's questions.",
    UseAttendance "use_attendance" "Have devices and QR passes of one's own, and see one's own punches.",
    ViewAttendance "view_attendance" "See everybody's punches, presence and reports.",
    ManageAttendance "manage_attendance" "Administer kiosks, devices and corrections.",
    PunchForOthers "punch_for_others" "Validate passes at a door: what a kiosk does.",
    ViewRemote "view_remote" "See one's own servers, sessions and their history.",
    UseRemote "use_remote" "Open sessions and run commands on one's own servers.",
    ManageRemote "manage_remote" "Administer everybody's servers and recordings.",
    UsePlugins "use_plugins" "Call installed plugins.",
    ManagePlugins "manage_plugins" "Install, permit, start and stop plugins.",
    ViewJobs "view_jobs" "See jobs and their runs.",
    ManageJobs "manage_jobs" "Add, change, run and cancel jobs.",
    ManageBackups "manage_backups" "Make, verify and take away snapshots of the whole box.",
    RestoreBackups "restore_backups" "Put a snapshot in the place of what is there.",
    ExportActivity "export_activity" "Take the journal out of the box.",
    UseContinuity "use_continuity" "See Plan B's role, identity and state.",
    SealContinuity "seal_continuity" "Seal, open and pack bytes with Plan B's keys.",
    RelayContinuity "relay_continuity" "Run Plan B's relay and send through it.",
    ManageContinuity "manage_continuity" "Change Plan B's role and keys, choose its pack, hold drills.",
}

impl Right {
    /// The right of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.name() == name)
    }
}

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u64);

impl Rights {
    /// No right at all.
    pub const NONE: Self = Self(0);
    /// Every right there is, and every one that will be.
    pub const EVERY: Self = Self(u64::MAX);

    /// The set with `right` in it.
    #[must_use]
    pub const fn with(self, right: Right) -> Self {
        Self(self.0 | 1 << right as u8)
    }

    /// The rights that are in both sets.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The rights that are in either set.
    #[must_use]
    pub const fn either(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every right of `other` is in this set.
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The rights of the set, in the order answers list them.
    pub fn list(self) -> impl Iterator<Item = Right> {
        Right::ALL.iter().copied().filter(move |right| self.holds(*right))
    }

    /// Whether `right` is in the set.
    pub const fn holds(self, right: Right) -> bool {
        self.0 & (1 << right as u8) != 0
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        rights.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.list().map(Right::name)).finish()
    }
}

/// The party behind a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Nobody has signed in.
    Nobody,
    /// A user of the directory.
    User {
        /// The user's record.
        id: Id,
        /// The user's name, for journals and logs.
        name: String,
    },
    /// A machine with a key of its own: a kiosk at a door, Plan B's client.
    Machine {
        /// What its key stands for.
        id: Id,
        /// Its name, for journals and logs.
        name: String,
    },
    /// The person who owns the process, at its command line.
    Console,
    /// The box itself, by the name of the task that acts.
    Task(&'static str),
}

/// The door a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A browser's cookie.
    Cookie,
    /// `Authorization: Bearer`.
    Bearer,
    /// `X-API-Key`, or an API key as bearer.
    Key,
    /// `X-Kiosk-API-Key`.
    Kiosk,
    /// `X-API-Key` with Plan B's own file key.
    PlanB,
    /// A request with no proof of identity.
    Open,
    /// The local socket that only the process's owner can reach.
    Console,
    /// Inside the process.
    Inside,
}

impl Door {
    /// Its name in journals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Bearer => "bearer",
            Self::Key => "key",
            Self::Kiosk => "kiosk",
            Self::PlanB => "planb",
            Self::Open => "open",
            Self::Console => "console",
            Self::Inside => "inside",
        }
    }
}

/// Why a proof of identity that was shown is not good; told where a proof is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The fault's stable code.
    pub code: &'static str,
    /// A sentence.
    pub message: Cow<'static, str>,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::new(Kind::Unauthenticated, refusal.code, refusal.message)
    }
}

/// What a person has to do before anything else is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Choose a new password.
    ChangePassword,
    /// Set up a second factor, which the role asks for.
    EnrolSecondFactor,
}

/// Who asks, with everything a verb needs to decide and the journal needs to remember.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The party.
    pub who: Who,
    /// What that party may do.
    pub rights: Rights,
    /// The name of the party's role; empty for those without one.
    pub role: String,
    /// The door they came through.
    pub door: Door,
    /// The session they are signed in with.
    pub session: Option<Id>,
    /// The API key they showed.
    pub key: Option<Id>,
    /// Until when their last password counts as fresh (step-up); none when it never does.
    pub fresh_until: Option<Moment>,
    /// What they have to do first.
    pub hold: Option<Hold>,
    /// Why the proof they showed is not good, when they are nobody because of that.
    pub refusal: Option<Refusal>,
    /// The address of the peer.
    pub address: Option<IpAddr>,
    /// The program they ask with, as far as it says (`User-Agent`), for the journal.
    pub agent: Option<String>,
    /// The request's id, as in logs and answers.
    pub request: String,
    /// The `Idempotency-Key` of an unsafe request: the same key gives the same result once.
    pub retry_key: Option<String>,
}

impl Caller {
    /// A request with no proof of identity.
    pub fn nobody(address: Option<IpAddr>, request: impl Into<String>) -> Self {
        Self {
            who: Who::Nobody,
            rights: Rights::NONE,
            role: String::new(),
            door: Door::Open,
            session: None,
            key: None,
            fresh_until: None,
            hold: None,
            refusal: None,
            address,
            agent: None,
            request: request.into(),
            retry_key: None,
        }
    }

    /// The person at the command line, who owns the data folder and may do everything.
    pub fn console(request: impl Into<String>) -> Self {
        Self {
            who: Who::Console,
            rights: Rights::EVERY,
            door: Door::Console,
            ..Self::nobody(None, request)
        }
    }

    /// A task of the box itself.
    pub fn task(name: &'static str) -> Self {
        Self {
            who: Who::Task(name),
            rights: Rights::EVERY,
            door: Door::Inside,
            ..Self::nobody(None, name)
        }
    }

    /// Refuses unless the caller holds `right`.
    ///
    /// # Errors
    /// `unauthenticated` (or why the shown proof is not good) for nobody, `right_missing` for somebody
    /// without it, and what they have to do first, if anything.
    pub fn require(&self, right: Right) -> Result<(), Fault> {
        if self.who == Who::Nobody {
            return Err(self.unauthenticated());
        }
        self.not_held()?;
        if self.rights.holds(right) {
            return Ok(());
        }
        Err(Fault::forbidden(
            "right_missing",
            format!("The permission '{}' is required.", right.name()),
        ))
    }

    /// Refuses nobody. Somebody who has to do something else first is let through: this is what
    /// that something itself asks for.
    ///
    /// # Errors
    /// `unauthenticated`, or why the shown proof is not good.
    pub fn signed_in(&self) -> Result<(), Fault> {
        if self.who == Who::Nobody { Err(self.unauthenticated()) } else { Ok(()) }
    }

    /// Refuses who has to choose a password or set up a second factor first.
    ///
    /// # Errors
    /// `password_change_required`, `second_factor_enrolment_required`.
    pub fn not_held(&self) -> Result<(), Fault> {
        match self.hold {
            None => Ok(()),
            Some(Hold::ChangePassword) => Err(Fault::forbidden(
                "password_change_required",
                "A new password has to be chosen first.",
            )),
            Some(Hold::EnrolSecondFactor) => Err(Fault::forbidden(
                "second_factor_enrolment_required",
                "This role needs a second factor; set it up first.",
            )),
        }
    }

    /// The user, when a person asks with a session of their own: what a key must never do (make keys,
    /// change passwords) asks for this.
    ///
    /// # Errors
    /// `unauthenticated` for nobody, `session_required` for a key or a machine.
    pub fn in_person(&self) -> Result<Id, Fault> {
        self.signed_in()?;
        match (&self.who, self.session) {
            (Who::User { id, .. }, Some(_)) => Ok(*id),
            _ => Err(Fault::forbidden(
                "session_required",
                "Only a person who has signed in may do this.",
            )),
        }
    }

    /// Refuses whose password was not given a short while ago: exports, changes of roles, restores.
    /// The console, whose owner holds the data folder, and the box itself are always fresh.
    ///
    /// # Errors
    /// `unauthenticated` for nobody, `step_up_required` for the others.
    pub fn fresh(&self, now: Moment) -> Result<(), Fault> {
        self.signed_in()?;
        let always = matches!(self.who, Who::Console | Who::Task(_));
        if always || self.fresh_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        Err(Fault::forbidden(
            "step_up_required",
            "Give your password again to do this (POST /auth/step-up).",
        ))
    }

    /// What a caller hears who is nobody where somebody is needed.
    pub fn unauthenticated(&self) -> Fault {
        match self.refusal.clone() {
            Some(refusal) => refusal.into(),
            None => Fault::unauthenticated(),
        }
    }

    /// The name journals and logs show.
    pub fn name(&self) -> &str {
        match &self.who {
            Who::Nobody => "nobody",
            Who::User { name, .. } | Who::Machine { name, .. } => name,
            Who::Console => "console",
            Who::Task(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_it_and_nothing_else() {
        let rights: Rights = [Right::ReadDocuments].into_iter().collect();
        assert!(rights.holds(Right::ReadDocuments));
        assert!(!rights.holds(Right::EditDocuments));
        assert!(Right::ALL.iter().all(|r| Rights::EVERY.holds(*r)));
        assert!(Right::ALL.iter().all(|r| Right::named(r.name()) == Some(*r)));
    }

    #[test]
    fn nobody_is_told_to_sign_in_and_somebody_what_is_missing() {
        let nobody = Caller::nobody(None, "r");
        assert_eq!(
            nobody.require(Right::ReadDocuments).map_err(|f| f.code),
            Err("unauthenticated")
        );
        let mut somebody = Caller::task("t");
        somebody.rights = Rights::NONE;
        assert_eq!(
            somebody.require(Right::ReadDocuments).map_err(|f| f.code),
            Err("right_missing")
        );
        let refusal = Some(Refusal { code: "token_expired", message: "x".into() });
        let late = Caller { refusal, ..nobody };
        assert_eq!(late.signed_in().map_err(|f| f.code), Err("token_expired"));
    }

    #[test]
    fn who_has_to_do_something_first_may_do_nothing_else() {
        let held = Caller { hold: Some(Hold::ChangePassword), ..Caller::task("t") };
        assert!(held.signed_in().is_ok());
        assert_eq!(
            held.require(Right::ReadDocuments).map_err(|f| f.code),
            Err("password_change_required")
        );
    }

    #[test]
    fn a_password_is_fresh_for_a_while_and_a_key_never() {
        let id = Id::new(Moment(0));
        let who = Who::User { id, name: "anna".into() };
        let key = Caller { who, door: Door::Key, ..Caller::nobody(None, "r") };
        assert_eq!(key.fresh(Moment(0)).map_err(|f| f.code), Err("step_up_required"));
        assert_eq!(key.in_person().map_err(|f| f.code), Err("session_required"));
        let person = Caller { session: Some(id), fresh_until: Some(Moment(5)), ..key };
        assert_eq!(person.in_person().ok(), Some(id));
        assert!(person.fresh(Moment(4)).is_ok() && person.fresh(Moment(5)).is_err());
        assert!(Caller::console("r").fresh(Moment(0)).is_ok());
    }
}
