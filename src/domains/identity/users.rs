//! The users' desk: create, list, change, reset, close, and what a name and a password must be like.

use zeroize::Zeroizing;

use super::api_keys::delete_keys_of;
use super::guards::{Guard, Reach};
use super::names::{
    check_email, check_language, check_name, check_names, check_password, fold, wrong,
};
use super::records::{LAST_LOGIN, ROLES, State, USERS, USERS_BY_LOGIN, USERS_BY_NUMBER, User};
use super::sessions::end_sessions_of;
use super::workstation::needs_password;
use super::{Identity, guards, places, roles, second_factor};
use crate::base::caller::{Caller, Right, Rights, Who};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Field};
use crate::base::id::{Id, Lineage};
use crate::engines::secrets;
use crate::store::{Deed, Reader, Tx, all};

/// Random bytes of a temporary password: 16 characters, typed once.
const TEMPORARY_BYTES: usize = 12;

/// A user to be.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a box that an administrator ticks")]
pub struct Draft {
    /// The name to sign in with; the e-mail address when empty.
    pub username: String,
    /// An e-mail address, or nothing.
    pub email: String,
    /// How it is shown; the username when empty.
    pub display_name: String,
    /// The role's name.
    pub role: String,
    /// Whether it may do everything.
    pub is_system_admin: bool,
    /// The language of its pages; empty for the site's.
    pub language: String,
    /// The first password; a temporary one is made when it is empty.
    pub password: Zeroizing<String>,
    /// Whether that password must be changed at the first sign-in.
    pub must_change_password: bool,
    /// Whether it may not sign in yet.
    pub disabled: bool,
    /// Whether it may sign in without a password from workstations that the settings name.
    pub workstation: bool,
}

/// What to change of a user; none leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// How it is shown.
    pub display_name: Option<String>,
    /// The e-mail address; empty takes it away.
    pub email: Option<String>,
    /// The language of its pages; empty for the site's.
    pub language: Option<String>,
    /// The role's name.
    pub role: Option<String>,
    /// Whether it may sign in.
    pub active: Option<bool>,
    /// Whether it may do everything.
    pub is_system_admin: Option<bool>,
    /// A new password.
    pub password: Option<Zeroizing<String>>,
    /// Whether the password must be changed at the next sign-in.
    pub must_change_password: Option<bool>,
    /// Whether it may sign in without a password from workstations that the settings name.
    pub workstation: Option<bool>,
}

/// A user as lists show one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The user.
    pub user: User,
    /// What it may do now.
    pub rights: Rights,
    /// Whether it has a second factor in force.
    pub second_factor: bool,
    /// When it last signed in.
    pub last_login: Option<Moment>,
}

/// A user with the temporary password that was just made, which is told once.
#[derive(Debug, Clone)]
pub struct Told {
    /// The user.
    pub listed: Listed,
    /// The temporary password, when one was made.
    pub temporary: Option<Zeroizing<String>>,
}

/// A password that is told once and has to be changed.
fn temporary() -> Result<Zeroizing<String>, Fault> {
    let bytes = Zeroizing::new(secrets::random::<TEMPORARY_BYTES>()?);
    Ok(Zeroizing::new(data_encoding::BASE64URL_NOPAD.encode(bytes.as_slice())))
}

impl Identity {
    /// Checks a draft before the costly hash is made.
    ///
    /// # Errors
    /// The fields at fault.
    pub(super) fn check_draft(&self, draft: &Draft) -> Result<(), Fault> {
        let mut fields = Vec::new();
        check_names(&draft.username, &draft.email, &draft.display_name, &mut fields);
        if !self.role_exists(&draft.role)? {
            fields.push(no_role(&draft.role));
        }
        check_language(&draft.language, true, &mut fields);
        let min = self.settings.password_min;
        check_password("password", &draft.password, &draft.username, min, &mut fields);
        if fields.is_empty() { Ok(()) } else { Err(Fault::fields(fields)) }
    }

    /// Adds a user. Without a password it gets a temporary one, which is told once.
    ///
    /// # Errors
    /// `right_missing`, `right_not_held`, the fields at fault, `user_exists`; `step_up_required` for an
    /// administrator.
    pub fn add_user(&self, caller: &Caller, mut draft: Draft) -> Result<Told, Fault> {
        caller.require(Right::ManageRights)?;
        if draft.username.trim().is_empty() {
            draft.email.trim().clone_into(&mut draft.username);
        }
        let mut told = None;
        if draft.password.is_empty() {
            draft.password = temporary()?;
            draft.must_change_password = true;
            told = Some(draft.password.clone());
        }
        self.check_draft(&draft)?;
        if draft.is_system_admin {
            self.only_system_admin(caller)?;
        }
        let reaches_far = self.store.read(|view| {
            let rights = rights_named(view, &draft.role)?;
            roles::gives(view, caller, rights)?;
            Ok(draft.is_system_admin || needs_password(rights))
        })?;
        if reaches_far {
            caller.fresh(self.clock.now())?;
        }
        let hash = self.hash(&draft.password)?;
        let (who, guards) = (caller.clone(), self.guards());
        let user = self.store.write_once(caller, "user.add", move |tx| {
            // Asked again: the role, or the caller's own, may be another by now.
            roles::gives(tx, &who, rights_named(tx, &draft.role)?)?;
            guards::ask(&guards, tx, &who, &Reach::Role(draft.role.clone()))?;
            create(tx, &who, draft, hash)
        })?;
        // A request that is sent again finds the user of the first time, whose password is another.
        let fresh =
            told.filter(|word| self.desk.passwords.check(word, &user.password).unwrap_or_default());
        Ok(Told { listed: self.listed(user)?, temporary: fresh })
    }

    /// Every user, oldest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn list_users(&self, caller: &Caller) -> Result<Vec<Listed>, Fault> {
        caller.require(Right::ManageRights)?;
        let now = self.clock.now();
        self.store.read(|view| {
            let users = view.list(&USERS, &all(), usize::MAX)?;
            users.into_iter().map(|(_, user)| listed(view, user, now)).collect()
        })
    }

    /// Every user as it is kept, for domains that know people by the directory: the box itself asks.
    ///
    /// # Errors
    /// `right_missing` for whoever may not administer users.
    pub fn everybody(&self, caller: &Caller) -> Result<Vec<User>, Fault> {
        caller.require(Right::ManageRights)?;
        let users = self.store.read(|view| view.list(&USERS, &all(), usize::MAX))?;
        Ok(users.into_iter().map(|(_, user)| user).collect())
    }

    /// One user, by the integer clients know it by.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn user(&self, caller: &Caller, number: u64) -> Result<Listed, Fault> {
        caller.require(Right::ManageRights)?;
        let now = self.clock.now();
        self.store.read(|view| {
            let user = by_number(view, number)?;
            listed(view, user, now)
        })
    }

    /// One user, by its name of record.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn user_by_id(&self, caller: &Caller, id: Id) -> Result<Listed, Fault> {
        caller.require(Right::ManageRights)?;
        let user = self.user_of(id)?.ok_or_else(|| Fault::not_found("user"))?;
        self.listed(user)
    }

    /// One user, by the name to sign in with; for the box's own use, without a caller.
    ///
    /// # Errors
    /// What the store says.
    pub fn find(&self, login: &str) -> Result<Option<Listed>, Fault> {
        let (login, now) = (fold(login), self.clock.now());
        self.store.read(|view| {
            let Some(id) = view.get(&USERS_BY_LOGIN, &login)? else { return Ok(None) };
            view.get(&USERS, &id)?.map(|user| listed(view, user, now)).transpose()
        })
    }

    /// The integer clients know a user by.
    ///
    /// # Errors
    /// What the store says.
    pub fn number_of(&self, id: Id) -> Result<Option<u64>, Fault> {
        Ok(self.user_of(id)?.map(|user| user.number))
    }

    /// The name of record of the user clients know by that integer.
    ///
    /// # Errors
    /// What the store says.
    pub fn id_of(&self, number: u64) -> Result<Option<Id>, Fault> {
        self.store.read(|view| view.get(&USERS_BY_NUMBER, &number))
    }

    /// A user with its rights as they are now.
    ///
    /// # Errors
    /// What the store says.
    pub fn listed(&self, user: User) -> Result<Listed, Fault> {
        let now = self.clock.now();
        self.store.read(|view| listed(view, user, now))
    }

    /// Changes a user. A new password or a closed account ends the user's sessions at once.
    ///
    /// # Errors
    /// `right_missing`, `right_not_held`, `not_found`, the fields at fault, `last_admin`,
    /// `system_admin_required`; `step_up_required` for another's role, password or system rights.
    pub fn edit_user(&self, caller: &Caller, number: u64, edit: Edit) -> Result<Listed, Fault> {
        caller.require(Right::ManageRights)?;
        let now = self.clock.now();
        let user = self.store.read(|view| {
            let user = by_number(view, number)?;
            outranks(view, caller, &user, now)?;
            Ok(user)
        })?;
        self.check_edit(&edit, &user)?;
        let role = edit.role.as_ref().filter(|role| **role != user.role);
        let system = edit.is_system_admin.filter(|is| *is != user.is_system_admin);
        if system.is_some() {
            self.only_system_admin(caller)?;
        }
        let opens = edit.active == Some(true) && !user.is_active();
        let workstation = edit.workstation == Some(true) && !user.workstation;
        let new_password = edit.password.is_some();
        if role.is_some() || system.is_some() || new_password || opens || workstation {
            caller.fresh(now)?;
        }
        let hash = edit.password.as_ref().map(|password| self.hash(password)).transpose()?;
        let (who, guards) = (caller.clone(), self.guards());
        let user = self.store.write(move |tx| {
            // Everything is asked here, since the hash took its time and others may have acted.
            let user = by_number(tx, number)?;
            outranks(tx, &who, &user, tx.now())?;
            if let Some(role) = edit.role.as_ref().filter(|role| **role != user.role) {
                roles::gives(tx, &who, rights_named(tx, role)?)?;
                guards::ask(&guards, tx, &who, &Reach::Role(role.clone()))?;
            }
            if hash.is_some() {
                take_in_hand(&guards, tx, &who, &user)?;
            }
            change(tx, &who, number, &edit, hash)
        })?;
        self.listed(user)
    }

    fn check_edit(&self, edit: &Edit, user: &User) -> Result<(), Fault> {
        let mut fields = Vec::new();
        if let Some(name) = &edit.display_name {
            check_name("display_name", name, &mut fields);
        }
        if let Some(email) = &edit.email {
            check_email(email, &mut fields);
        }
        if let Some(language) = &edit.language {
            check_language(language, true, &mut fields);
        }
        if let Some(role) = &edit.role
            && !self.role_exists(role)?
        {
            fields.push(no_role(role));
        }
        if let Some(password) = &edit.password {
            let min = self.settings.password_min;
            check_password("password", password, &user.username, min, &mut fields);
        }
        if fields.is_empty() { Ok(()) } else { Err(Fault::fields(fields)) }
    }

    /// Changes what a user may change of itself: how it is shown, its address, its language.
    ///
    /// # Errors
    /// `session_required`, the fields at fault, `user_exists` for an address somebody else has.
    pub fn edit_me(&self, caller: &Caller, edit: Edit) -> Result<Listed, Fault> {
        let id = caller.in_person()?;
        caller.not_held()?;
        let user = self.user_of(id)?.ok_or_else(Fault::unauthenticated)?;
        let edit = Edit {
            display_name: edit.display_name,
            email: edit.email,
            language: edit.language,
            ..Edit::default()
        };
        self.check_edit(&edit, &user)?;
        let (who, number) = (caller.clone(), user.number);
        let user = self.store.write(move |tx| change(tx, &who, number, &edit, None))?;
        self.listed(user)
    }

    /// Closes an account and ends its sessions; the user's history stays.
    ///
    /// # Errors
    /// `right_missing`, `right_not_held`, `not_found`, `own_account`, `last_admin`.
    pub fn close_account(&self, caller: &Caller, number: u64) -> Result<User, Fault> {
        caller.require(Right::ManageRights)?;
        let who = caller.clone();
        self.store.write_freeing(move |tx| {
            let user = by_number(tx, number)?;
            outranks(tx, &who, &user, tx.now())?;
            if matches!(who.who, Who::User { id, .. } if id == user.id) {
                return Err(own_account());
            }
            let edit = Edit { active: Some(false), ..Edit::default() };
            change(tx, &who, number, &edit, None)
        })
    }

    /// Gives a user a temporary password, told once, which ends its sessions and has to be changed.
    ///
    /// # Errors
    /// `right_missing`, `right_not_held`, `step_up_required`, `not_found`.
    pub fn reset_password(&self, caller: &Caller, number: u64) -> Result<Told, Fault> {
        caller.require(Right::ManageRights)?;
        caller.fresh(self.clock.now())?;
        let now = self.clock.now();
        self.store.read(|view| outranks(view, caller, &by_number(view, number)?, now))?;
        let word = temporary()?;
        let hash = self.hash(&word)?;
        let (who, guards) = (caller.clone(), self.guards());
        let user = self.store.write(move |tx| {
            let user = by_number(tx, number)?;
            outranks(tx, &who, &user, tx.now())?;
            take_in_hand(&guards, tx, &who, &user)?;
            let edit = Edit { must_change_password: Some(true), ..Edit::default() };
            let user = change(tx, &who, number, &edit, Some(hash))?;
            tx.journal(&who, Deed::new("password.reset", &user.username))?;
            places::forget(tx, user.id)?;
            Ok(user)
        })?;
        self.desk.throttle.forget(&user.id);
        Ok(Told { listed: self.listed(user)?, temporary: Some(word) })
    }

    /// Refuses who is not a system administrator.
    ///
    /// # Errors
    /// `system_admin_required`.
    pub(super) fn only_system_admin(&self, caller: &Caller) -> Result<(), Fault> {
        let is = match caller.who {
            Who::Console | Who::Task(_) => true,
            Who::User { id, .. } => self.user_of(id)?.is_some_and(|user| user.is_system_admin),
            _ => false,
        };
        if is {
            return Ok(());
        }
        Err(Fault::forbidden("system_admin_required", "Only a system administrator may do this."))
    }
}

fn listed(reader: &impl Reader, user: User, now: Moment) -> Result<Listed, Fault> {
    let (rights, _) = roles::rights_of(reader, &user, now)?;
    let second_factor = second_factor::has_one(reader, user.id)?;
    let last_login = reader.get(&LAST_LOGIN, &user.id)?;
    Ok(Listed { user, rights, second_factor, last_login })
}

pub(super) fn no_role(name: &str) -> Field {
    wrong("role", "enum", format!("There is no role '{name}'."))
}

/// What one cannot do to oneself.
pub(super) fn own_account() -> Fault {
    Fault::invalid("own_account", "This is your own account; somebody else has to do this.")
}

/// Refuses to touch a user who may do more than the caller: a delegate must not take an
/// administrator over by a new password.
///
/// # Errors
/// `right_not_held`.
pub(super) fn outranks(
    reader: &impl Reader,
    caller: &Caller,
    user: &User,
    now: Moment,
) -> Result<(), Fault> {
    // What was lent to the user counts too: whoever signs in as it has that as well.
    let (rights, _) = roles::rights_of(reader, user, now)?;
    roles::holds(caller, rights)
}

/// What an administrator does who gives somebody else's account a new password: guards are asked, and
/// the account's keys end, since whoever had it before may have made some.
fn take_in_hand(
    guards: &[Guard],
    tx: &mut Tx<'_>,
    caller: &Caller,
    user: &User,
) -> Result<(), Fault> {
    if !matches!(caller.who, Who::User { id, .. } if id == user.id) {
        guards::ask(guards, tx, caller, &Reach::User(user.id))?;
        guards::ask(guards, tx, caller, &Reach::Role(user.role.clone()))?;
    }
    delete_keys_of(tx, caller, user.id, true).map(drop)
}

/// The rights of a role that has to be there.
fn rights_named(reader: &impl Reader, role: &str) -> Result<Rights, Fault> {
    match reader.get(&ROLES, &role.to_owned())? {
        Some(role) => Ok(roles::rights_of_role(&role)),
        None => Err(Fault::fields(vec![no_role(role)])),
    }
}

/// Refuses a change that leaves the box without an administrator.
///
/// # Errors
/// `last_admin`.
pub(super) fn keep_an_admin(reader: &impl Reader, old: &User, new: &User) -> Result<(), Fault> {
    if administers(old) && !administers(new) {
        let others = reader.list(&USERS, &all(), usize::MAX)?;
        if !others.iter().any(|(other, u)| *other != old.id && administers(u)) {
            return Err(Fault::conflict(
                "last_admin",
                "This is the last administrator; appoint another first.",
            ));
        }
    }
    Ok(())
}

fn change(
    tx: &mut Tx<'_>,
    caller: &Caller,
    number: u64,
    edit: &Edit,
    hash: Option<String>,
) -> Result<User, Fault> {
    let old = by_number(tx, number)?;
    let id = old.id;
    let mut user = old.clone();
    if let Some(name) = &edit.display_name {
        name.trim().clone_into(&mut user.display_name);
    }
    if let Some(language) = &edit.language {
        user.language.clone_from(language);
    }
    if let Some(email) = &edit.email {
        move_address(tx, &old, email.trim())?;
        email.trim().clone_into(&mut user.email);
    }
    if let Some(role) = &edit.role {
        user.role.clone_from(role);
        user.is_system_admin = user.is_system_admin && role == roles::ADMIN;
    }
    user.is_system_admin = edit.is_system_admin.unwrap_or(user.is_system_admin);
    user.workstation = edit.workstation.unwrap_or(user.workstation);
    if let Some(active) = edit.active {
        user.state = match (active, old.state) {
            (true, _) => State::Active,
            // Who has left is not merely closed.
            (false, State::Offboarded) => State::Offboarded,
            (false, _) => State::Disabled,
        };
    }
    let new_password = hash.is_some();
    if let Some(hash) = hash {
        user.password = hash;
        user.password_at = tx.now();
        user.must_change_password = false;
    }
    user.must_change_password = edit.must_change_password.unwrap_or(user.must_change_password);
    keep_an_admin(tx, &old, &user)?;
    user.lineage = old.lineage.then(tx.revision());
    tx.put(&USERS, &id, &user)?;
    let deed = if old.is_active() && !user.is_active() { "user.disable" } else { "user.edit" };
    tx.journal(
        caller,
        Deed::new(deed, &user.username).before(&Shown::of(&old)).after(&Shown::of(&user)),
    )?;
    if new_password || !user.is_active() {
        end_sessions_of(tx, caller, id, None)?;
    }
    Ok(user)
}

/// Signs a user's address out of the name space, and the new one in.
fn move_address(tx: &mut Tx<'_>, user: &User, email: &str) -> Result<(), Fault> {
    let (old, new, name) = (fold(&user.email), fold(email), fold(&user.username));
    if old == new {
        return Ok(());
    }
    if !old.is_empty() && old != name {
        tx.remove(&USERS_BY_LOGIN, &old)?;
    }
    if !new.is_empty() && new != name {
        if tx.has(&USERS_BY_LOGIN, &new)? {
            return Err(exists(&new));
        }
        tx.put(&USERS_BY_LOGIN, &new, &user.id)?;
    }
    Ok(())
}

/// The user that clients know by that integer, or `not_found`.
pub(super) fn by_number(reader: &impl Reader, number: u64) -> Result<User, Fault> {
    let id = reader.get(&USERS_BY_NUMBER, &number)?.ok_or_else(|| Fault::not_found("user"))?;
    reader.get(&USERS, &id)?.ok_or_else(|| Fault::not_found("user"))
}

fn administers(user: &User) -> bool {
    user.is_active() && (user.is_system_admin || user.role == roles::ADMIN)
}

/// What journals may show of a user: everything but the password's hash.
#[derive(serde::Serialize)]
struct Shown<'u> {
    username: &'u str,
    display_name: &'u str,
    email: &'u str,
    role: &'u str,
    is_system_admin: bool,
    state: State,
    workstation: bool,
    must_change_password: bool,
    password_at: Moment,
}

impl<'u> Shown<'u> {
    fn of(user: &'u User) -> Self {
        Self {
            username: &user.username,
            display_name: &user.display_name,
            email: &user.email,
            role: &user.role,
            is_system_admin: user.is_system_admin,
            state: user.state,
            workstation: user.workstation,
            must_change_password: user.must_change_password,
            password_at: user.password_at,
        }
    }
}

fn exists(login: &str) -> Fault {
    Fault::conflict("user_exists", format!("There is a user '{login}' already."))
}

/// Writes a new user into all its tables.
///
/// # Errors
/// `user_exists`.
pub(super) fn create(
    tx: &mut Tx<'_>,
    caller: &Caller,
    draft: Draft,
    hash: String,
) -> Result<User, Fault> {
    let mut logins = vec![fold(&draft.username)];
    let address = fold(&draft.email);
    if !address.is_empty() && !logins.contains(&address) {
        logins.push(address);
    }
    for login in &logins {
        if tx.has(&USERS_BY_LOGIN, login)? {
            return Err(exists(login));
        }
    }
    let number = tx.last(&USERS_BY_NUMBER, &all())?.map_or(1, |(number, _)| number + 1);
    let username = draft.username.trim().to_owned();
    let shown = draft.display_name.trim();
    let user = User {
        id: tx.new_id(),
        lineage: Lineage::born(tx.revision()),
        number,
        email: draft.email.trim().to_owned(),
        display_name: if shown.is_empty() { username.clone() } else { shown.to_owned() },
        username,
        role: draft.role,
        is_system_admin: draft.is_system_admin,
        state: if draft.disabled { State::Disabled } else { State::Active },
        must_change_password: draft.must_change_password,
        password: hash,
        password_at: tx.now(),
        workstation: draft.workstation,
        language: draft.language,
        created_at: tx.now(),
    };
    tx.put(&USERS, &user.id, &user)?;
    tx.put(&USERS_BY_NUMBER, &number, &user.id)?;
    for login in logins {
        tx.put::<String, Id>(&USERS_BY_LOGIN, &login, &user.id)?;
    }
    tx.journal(caller, Deed::new("user.add", &user.username).after(&Shown::of(&user)))?;
    Ok(user)
}
