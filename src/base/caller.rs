//! Who is asking, what they may do, and through which door they came.

use std::fmt;
use std::net::IpAddr;

use super::fault::Fault;
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
    ViewSauron "view_sauron" "See sessions, logs and activity.",
    SendAnnouncements "send_announcements" "Write to everyone.",
    ManageAnnouncementsConfig "manage_announcements_config" "Set up announcements.",
    AdminAccess "admin_access" "Configure the box.",
    ReadDocuments "read_documents" "Search and open documents.",
    EditDocuments "edit_documents" "Add, re-read and delete documents.",
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
        f.debug_set()
            .entries(Right::ALL.iter().filter(|r| self.holds(**r)).map(|r| r.name()))
            .finish()
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
            Self::Open => "open",
            Self::Console => "console",
            Self::Inside => "inside",
        }
    }
}

/// Who asks, with everything a verb needs to decide and the journal needs to remember.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The party.
    pub who: Who,
    /// What that party may do.
    pub rights: Rights,
    /// The door they came through.
    pub door: Door,
    /// The session they are signed in with.
    pub session: Option<Id>,
    /// The address of the peer.
    pub address: Option<IpAddr>,
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
            door: Door::Open,
            session: None,
            address,
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
    /// `unauthenticated` for nobody, `right_missing` for somebody without it.
    pub fn require(&self, right: Right) -> Result<(), Fault> {
        if self.rights.holds(right) {
            return Ok(());
        }
        if self.who == Who::Nobody {
            return Err(Fault::unauthenticated());
        }
        Err(Fault::forbidden(
            "right_missing",
            format!("The permission '{}' is required.", right.name()),
        ))
    }

    /// Refuses nobody.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub fn signed_in(&self) -> Result<(), Fault> {
        if self.who == Who::Nobody { Err(Fault::unauthenticated()) } else { Ok(()) }
    }

    /// The name journals and logs show.
    pub fn name(&self) -> &str {
        match &self.who {
            Who::Nobody => "nobody",
            Who::User { name, .. } => name,
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
    }
}
