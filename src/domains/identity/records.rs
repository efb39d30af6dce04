//! Users, roles, grants, sessions and the site, and their tables.

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
/// Roles by name.
pub const ROLES: Table<String, Role> = Table::journaled("identity.roles");
/// Names of roles that were deleted, and when: what was closed to all but such a role names it still.
pub const ROLES_GONE: Table<String, Moment> = Table::journaled("identity.roles_gone");
/// Rights given to a user beside its role, by user and right.
pub const GRANTS: Table<(Id, String), Grant> = Table::journaled("identity.grants");
/// When a user last signed in.
pub const LAST_LOGIN: Table<Id, Moment> = Table::quiet("identity.last_login");
/// Sessions by name of record.
pub const SESSIONS: Table<Id, Session> = Table::journaled("identity.sessions");
/// Sessions of a user.
pub const SESSIONS_OF: Table<(Id, Id), ()> = Table::journaled("identity.sessions_of");
/// When a session was last used: housekeeping, written at most once a minute.
pub const LAST_USED: Table<Id, Moment> = Table::quiet("identity.last_used");
/// From which addresses a user has signed in, with when it last did: housekeeping.
pub const KNOWN_PLACES: Table<(Id, String), Moment> = Table::quiet("identity.known_places");
/// The same by address.
pub const KNOWN_ADDRESSES: Table<(String, Id), ()> = Table::quiet("identity.known_addresses");
/// API keys by name of record.
pub const API_KEYS: Table<Id, ApiKey> = Table::journaled("identity.api_keys");
/// API keys by the hash of their text.
pub const API_KEYS_BY_HASH: Table<[u8; 32], Id> = Table::journaled("identity.api_keys_by_hash");
/// API keys of a user, or of a kiosk.
pub const API_KEYS_OF: Table<(Id, Id), ()> = Table::journaled("identity.api_keys_of");
/// When an API key was last used, written at most once a minute.
pub const API_KEYS_USED: Table<Id, Moment> = Table::quiet("identity.api_keys_used");
/// The site, under the one key `()`.
pub const SITE: Table<(), Site> = Table::journaled("identity.site");
/// Second factors by user.
pub const SECOND_FACTORS: Table<Id, SecondFactor> = Table::journaled("identity.second_factors");
/// Invitations by name of record.
pub const INVITATIONS: Table<Id, Invitation> = Table::journaled("identity.invitations");
/// Invitations by the MAC of their word.
pub const INVITATIONS_BY_WORD: Table<String, Id> = Table::journaled("identity.invitations_by_word");
/// Sealed keys of the box by purpose.
pub const KEYS: Table<String, Blob> = Table::journaled("identity.keys");

/// Whether a user may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It may.
    Active,
    /// An administrator has closed the account; it can be opened again.
    Disabled,
    /// The person has left: everything it held was taken back in one act.
    Offboarded,
}

/// A person that can sign in.
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
    pub state: State,
    /// Whether it has to choose a new password.
    pub must_change_password: bool,
    /// Its password as `engines::secrets` keeps it; empty when it has none.
    pub password: String,
    /// When that password was chosen.
    pub password_at: Moment,
    /// Whether it may sign in without a password from workstations that the settings name.
    pub workstation: bool,
    /// The language of its pages, `fr` or `en`; empty for the site's.
    pub language: String,
    /// When it was created.
    pub created_at: Moment,
}

impl User {
    /// Whether it may sign in.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }
}

/// What a group of users may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// The integer clients know it by; a per-site alias.
    pub number: u64,
    /// Its name: on the wire and in users' records, never changed.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
    /// The names of its rights; unknown ones (of another version) are kept and give nothing.
    pub rights: Vec<String>,
    /// Whether its users need a second factor.
    pub second_factor: bool,
    /// Whether the box began with it; such a role cannot be deleted.
    pub built_in: bool,
    /// When it was made.
    pub created_at: Moment,
}

/// A right given to one user beside its role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What it descends from.
    pub lineage: Lineage,
    /// The right's name.
    pub right: String,
    /// When it ends; none for never.
    pub until: Option<Moment>,
    /// Why, in a line.
    pub reason: String,
    /// Who gave it, by name.
    pub given_by: String,
    /// When.
    pub given_at: Moment,
}

/// How whoever began a session proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// With a password.
    Password,
    /// With a password and a second factor.
    SecondFactor,
    /// From a workstation that the settings name, without a password.
    Workstation,
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
    /// When the sign-in was that it goes back to: a refresh does not move it.
    pub began_at: Moment,
    /// When it ends by itself.
    pub expires_at: Moment,
    /// From which address.
    pub address: Option<String>,
    /// With which program, as far as it says.
    pub client: String,
    /// Of which workstation, as far as the client says.
    pub hostname: String,
    /// How it was proved who it is.
    pub way: Way,
    /// When the password was last given; none for a session without one.
    pub proved_at: Option<Moment>,
}

/// What an API key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// A program that acts for a person.
    Person,
    /// A kiosk at a door.
    Kiosk,
}

/// A key that programs show; its text was told once and is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// What it stands for.
    pub kind: KeyKind,
    /// The user it acts for, or the kiosk it stands for.
    pub owner: Id,
    /// What its owner calls it.
    pub name: String,
    /// HMAC-SHA256 of its text under a key that is not in the database.
    pub hash: [u8; 32],
    /// The last characters of its text, to tell keys apart.
    pub hint: String,
    /// What it may do at most: names of rights, or words for several (see `api_keys.rs`).
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Moment,
    /// When it ends; none for never.
    pub expires_at: Option<Moment>,
}

/// What a user shows beside a password: codes of a phone, and recovery codes on paper.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactor {
    /// The secret in force, sealed; empty while none is.
    pub secret: Vec<u8>,
    /// Since when it is in force.
    pub enrolled_at: Option<Moment>,
    /// The step of the last code that was taken; neither it nor an older one is taken again.
    pub last_step: Option<u64>,
    /// MACs of the recovery codes that are still good.
    pub recovery: Vec<String>,
    /// A secret that was shown and waits for its first code.
    pub pending: Option<Pending>,
}

/// A secret that waits for its first code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The secret, sealed.
    pub secret: Vec<u8>,
    /// Until when it waits.
    pub until: Moment,
}

/// A word with which somebody makes an account of its own, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// The MAC of its word; the word itself is told once and not kept.
    pub word: String,
    /// The role that the account gets.
    pub role: String,
    /// The address that the account gets, empty for one's own choice.
    pub email: String,
    /// How the account is shown, empty for one's own choice.
    pub display_name: String,
    /// Who invites, as a user of the directory; none for the console.
    pub inviter: Option<Id>,
    /// Who invites, by name.
    pub created_by: String,
    /// Since when.
    pub created_at: Moment,
    /// Until when it is good.
    pub expires_at: Moment,
    /// When it was used.
    pub used_at: Option<Moment>,
    /// The name of the account that was made with it.
    pub used_by: Option<String>,
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

records!(User = 2, Role, Grant, Session = 2, ApiKey, SecondFactor, Invitation, Site);
