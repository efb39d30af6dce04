//! Users, sessions and the site, and their tables.

use serde::{Deserialize, Serialize};

use crate::base::clock::Moment;
use crate::base::id::{Id, Lineage};
use crate::records;
use crate::store::{Blob, Table};

/// Users by name of record.
pub const USERS: Table<Id, User> = Table::journaled("identity.users");
/// Users by folded username, e-mail included: one name space for signing in.
pub const USERS_BY_LOGIN: Table<String, Id> = Table::journaled("identity.users_by_login");
/// Users by the integer that clients know them by.
pub const USERS_BY_NUMBER: Table<u64, Id> = Table::journaled("identity.users_by_number");
/// Sessions by name of record.
pub const SESSIONS: Table<Id, Session> = Table::journaled("identity.sessions");
/// Sessions of a user.
pub const SESSIONS_OF: Table<(Id, Id), ()> = Table::journaled("identity.sessions_of");
/// When a session was last used: housekeeping, written at most once a minute.
pub const LAST_USED: Table<Id, Moment> = Table::quiet("identity.last_used");
/// The site, under the one key `()`.
pub const SITE: Table<(), Site> = Table::journaled("identity.site");
/// Sealed keys of the box by purpose.
pub const KEYS: Table<String, Blob> = Table::journaled("identity.keys");

/// A person (or a machine) that can sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// The integer clients know it by; a per-site alias.
    pub number: u64,
    /// The name to sign in with, as written at creation.
    pub username: String,
    /// An e-mail address, empty when there is none.
    pub email: String,
    /// How pages and journals of people show it.
    pub display_name: String,
    /// The name of its role.
    pub role: String,
    /// Whether it may do everything, whatever its role.
    pub is_system_admin: bool,
    /// Whether it may sign in.
    pub active: bool,
    /// Whether it has to choose a new password.
    pub must_change_password: bool,
    /// The PHC string of its password.
    pub password: String,
    /// The language of its pages, `fr` or `en`; empty for the site's.
    pub language: String,
    /// When it was created.
    pub created_at: Moment,
}

/// A sign-in that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its name of record; tokens carry it.
    pub id: Id,
    /// Whose it is.
    pub user: Id,
    /// When it began.
    pub created_at: Moment,
    /// When it ends by itself.
    pub expires_at: Moment,
    /// From which address.
    pub address: Option<String>,
    /// With which program, as far as it says.
    pub client: String,
    /// Of which workstation, as far as the client says.
    pub hostname: String,
}

/// The site: what its pages show at the top.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// The language of its pages, `fr` or `en`.
    pub language: String,
    /// Its IANA time zone.
    pub time_zone: String,
    /// The colour of its pages' header, `#rrggbb`.
    pub colour: String,
    /// When the box was set up.
    pub set_up_at: Moment,
}

records!(User, Session, Site);
