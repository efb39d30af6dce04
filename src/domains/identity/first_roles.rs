//! The roles every box begins with: planning-tomatoplan.md §4.2 to the letter, and those of other clients.

use super::roles::ADMIN;
use crate::base::caller::Right;

/// A role that every box begins with.
pub(super) struct BuiltIn {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is for, in a line.
    pub(super) description: &'static str,
    /// What its users may do.
    pub(super) rights: &'static [Right],
}

use Right::{
    EditDocuments, EditDriverPlanning, EditPastPlanning, EditPastPlanningAdvanced, EditPlanning,
    ManageAnnouncementsConfig, ManageDrivers, ManageFinance, ManageVoyages, ReadDocuments,
    SendAnnouncements, UseAssistant, UseAttendance, UsePlugins, UseRemote, ViewAnalyse,
    ViewAttendance, ViewDrivers, ViewFinance, ViewJobs, ViewPlanning, ViewRemote,
};

/// TomatoPlan's seven, then those that Chrona's and Krown's clients name.
pub(super) const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "viewer",
        description: "Sees the planning, changes nothing.",
        rights: &[ViewPlanning, ViewDrivers, ReadDocuments, UseAssistant, UseAttendance],
    },
    BuiltIn {
        name: "planner",
        description: "Plans missions and voyages.",
        rights: &[
            ViewPlanning,
            EditPlanning,
            ViewDrivers,
            ManageVoyages,
            SendAnnouncements,
            ReadDocuments,
            EditDocuments,
            UseAssistant,
            UseAttendance,
            UsePlugins,
            ViewJobs,
        ],
    },
    BuiltIn {
        name: "planner_advanced",
        description: "Plans, corrects the past and sees the money.",
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
            UseAssistant,
            UseAttendance,
            UsePlugins,
            ViewJobs,
        ],
    },
    BuiltIn {
        name: "driver_admin",
        description: "Keeps the chauffeurs and their absences.",
        rights: &[
            ViewPlanning,
            ViewDrivers,
            ManageDrivers,
            EditDriverPlanning,
            ReadDocuments,
            UseAssistant,
            UseAttendance,
            ViewAttendance,
        ],
    },
    BuiltIn {
        name: "finance",
        description: "Keeps subcontractors, tariffs and revenue.",
        rights: &[
            ViewPlanning,
            ViewDrivers,
            ViewFinance,
            ManageFinance,
            ReadDocuments,
            UseAssistant,
            UseAttendance,
        ],
    },
    BuiltIn {
        name: "analyse",
        description: "Reads the statistics and the money.",
        rights: &[
            ViewPlanning,
            ViewDrivers,
            ViewFinance,
            ViewAnalyse,
            ReadDocuments,
            UseAssistant,
            UseAttendance,
        ],
    },
    BuiltIn { name: ADMIN, description: "May do everything.", rights: Right::ALL },
    BuiltIn {
        name: "user",
        description: "An employee: own devices, own passes, own punches.",
        rights: &[UseAttendance, ReadDocuments, UseAssistant],
    },
    BuiltIn {
        name: "manager",
        description: "An employee who sees everybody's presence.",
        rights: &[UseAttendance, ViewAttendance, ReadDocuments, UseAssistant],
    },
    BuiltIn {
        name: "readonly",
        description: "Sees own servers and sessions, connects to nothing.",
        rights: &[ViewRemote, ReadDocuments, UseAssistant, UseAttendance],
    },
    BuiltIn {
        name: "operator",
        description: "Works on own servers.",
        rights: &[ViewRemote, UseRemote, ReadDocuments, UseAssistant, UseAttendance],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// planning-tomatoplan.md §4.2, column by column; `x` where the role holds the permission.
    const MATRIX: &[(&str, &str)] = &[
        ("view_planning", "xxxxxxx"),
        ("edit_planning", " xx   x"),
        ("view_drivers", "xxxxxxx"),
        ("manage_drivers", "   x  x"),
        ("edit_driver_planning", "   x  x"),
        ("manage_rights", "      x"),
        ("manage_voyages", " xx   x"),
        ("generate_planning", "      x"),
        ("edit_past_planning", "  x   x"),
        ("edit_past_planning_advanced", "  x   x"),
        ("view_finance", "  x xxx"),
        ("manage_finance", "    x x"),
        ("view_analyse", "     xx"),
        ("view_sauron", "      x"),
        ("send_announcements", " xx   x"),
        ("manage_announcements_config", "  x   x"),
        ("admin_access", "      x"),
    ];

    #[test]
    fn the_seven_roles_hold_exactly_what_tomatoplan_gives_them() {
        assert_eq!(MATRIX.len(), 17);
        for (at, (right, row)) in MATRIX.iter().enumerate() {
            assert_eq!(Right::ALL[at].name(), *right);
            for (role, mark) in BUILT_IN.iter().zip(row.chars()) {
                let holds = role.rights.iter().any(|r| r.name() == *right);
                assert_eq!(holds, mark == 'x', "{} {right}", role.name);
            }
        }
    }
}
