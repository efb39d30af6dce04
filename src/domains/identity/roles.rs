//! The roles every box begins with, and what each may do (planning-tomatoplan.md §4.2).

use crate::base::caller::{Right, Rights};

/// A role that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it may do.
    pub rights: &'static [Right],
}

use Right::{
    AdminAccess, EditDocuments, EditDriverPlanning, EditPastPlanning, EditPastPlanningAdvanced,
    EditPlanning, GeneratePlanning, ManageAnnouncementsConfig, ManageDrivers, ManageFinance,
    ManageRights, ManageVoyages, ReadDocuments, SendAnnouncements, ViewAnalyse, ViewDrivers,
    ViewFinance, ViewPlanning, ViewSauron,
};

/// The roles, weakest first.
pub const ROLES: &[Role] = &[
    Role { name: "viewer", rights: &[ViewPlanning, ViewDrivers, ReadDocuments] },
    Role {
        name: "planner",
        rights: &[
            ViewPlanning,
            EditPlanning,
            ViewDrivers,
            ManageVoyages,
            SendAnnouncements,
            ReadDocuments,
            EditDocuments,
        ],
    },
    Role {
        name: "planner_advanced",
        rights: &[
            ViewPlanning,
            EditPlanning,
            ViewDrivers,
            ManageVoyages,
            EditPastPlanning,
            EditPastPlanningAdvanced,
            ViewFinance,
            SendAnnouncements,
            ManageAnnouncementsConfig,
            ReadDocuments,
            EditDocuments,
        ],
    },
    Role {
        name: "driver_admin",
        rights: &[ViewPlanning, ViewDrivers, ManageDrivers, EditDriverPlanning, ReadDocuments],
    },
    Role {
        name: "finance",
        rights: &[ViewPlanning, ViewDrivers, ViewFinance, ManageFinance, ReadDocuments],
    },
    Role {
        name: "analyse",
        rights: &[ViewPlanning, ViewDrivers, ViewFinance, ViewAnalyse, ReadDocuments],
    },
    Role {
        name: "admin",
        rights: &[
            ViewPlanning,
            EditPlanning,
            ViewDrivers,
            ManageDrivers,
            EditDriverPlanning,
            ManageRights,
            ManageVoyages,
            GeneratePlanning,
            EditPastPlanning,
            EditPastPlanningAdvanced,
            ViewFinance,
            ManageFinance,
            ViewAnalyse,
            ViewSauron,
            SendAnnouncements,
            ManageAnnouncementsConfig,
            AdminAccess,
            ReadDocuments,
            EditDocuments,
        ],
    },
];

/// The role of that name.
pub fn named(name: &str) -> Option<&'static Role> {
    ROLES.iter().find(|role| role.name == name)
}

/// What a user may do: everything for a system administrator, else what the role says.
pub fn rights_of(role: &str, is_system_admin: bool) -> Rights {
    if is_system_admin {
        return Rights::EVERY;
    }
    named(role).map_or(Rights::NONE, |role| role.rights.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_administrator_holds_every_right_there_is() {
        assert!(Right::ALL.iter().all(|right| rights_of("admin", false).holds(*right)));
        assert!(!rights_of("viewer", false).holds(Right::EditDocuments));
        assert_eq!(rights_of("nobody", false), Rights::NONE);
    }
}
