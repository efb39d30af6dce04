//! The users' desk: create, list, change, and what a name and a password must be like.

use zeroize::Zeroizing;

use super::records::{USERS, USERS_BY_LOGIN, USERS_BY_NUMBER, User};
use super::{Identity, SetUp, end_sessions_of, roles};
use crate::base::caller::{Caller, Right};
use crate::base::fault::{Fault, Field};
use crate::base::id::{Id, Lineage};
use crate::store::{Deed, Reader, Tx, all};

/// The longest name of a person or a site, characters.
const NAME_MAX: usize = 100;
/// A username of so many characters must not stand in its password; a shorter one stands in many words.
const NAME_IN_PASSWORD: usize = 4;
/// The longest password, bytes; Argon2 takes more, a person does not need more.
const PASSWORD_MAX: usize = 1024;

/// A user to be.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The name to sign in with.
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
    /// The first password.
    pub password: Zeroizing<String>,
    /// Whether that password must be changed at the first sign-in.
    pub must_change_password: bool,
}

/// What to change of a user; none leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// How it is shown.
    pub display_name: Option<String>,
    /// The role's name.
    pub role: Option<String>,
    /// Whether it may sign in.
    pub active: Option<bool>,
    /// A new password.
    pub password: Option<Zeroizing<String>>,
}

/// How names are compared: the part after a domain (`SITE\anna`), lower case.
pub fn fold(name: &str) -> String {
    let name = name.trim();
    let bare = name.rsplit(['\\', '/']).next().unwrap_or(name);
    bare.to_lowercase()
}

fn wrong(name: &str, wrong: &'static str, message: impl Into<String>) -> Field {
    Field { place: vec!["body".into(), name.into()], wrong, message: message.into() }
}

fn check_name(field: &str, name: &str, fields: &mut Vec<Field>) {
    let length = name.trim().chars().count();
    if length == 0 {
        fields.push(wrong(field, "missing", format!("'{field}' must not be empty.")));
    } else if length > NAME_MAX {
        fields.push(wrong(
            field,
            "string_too_long",
            format!("'{field}' has more than {NAME_MAX} characters."),
        ));
    } else if name.chars().any(char::is_control) {
        fields.push(wrong(field, "string_pattern", format!("'{field}' has control characters.")));
    }
}

fn check_language(language: &str, may_be_empty: bool, fields: &mut Vec<Field>) {
    if !(["fr", "en"].contains(&language) || may_be_empty && language.is_empty()) {
        fields.push(wrong("language", "enum", "'language' is 'fr' or 'en'."));
    }
}

/// Checks what the first run says of the site.
///
/// # Errors
/// The fields at fault.
pub(super) fn check_site(answers: &SetUp) -> Result<(), Fault> {
    let mut fields = Vec::new();
    check_name("site", &answers.site, &mut fields);
    check_language(&answers.language, false, &mut fields);
    if jiff::tz::TimeZone::get(&answers.time_zone).is_err() {
        fields.push(wrong(
            "time_zone",
            "enum",
            format!("There is no time zone '{}'.", answers.time_zone),
        ));
    }
    let hex = answers.colour.strip_prefix('#');
    if !hex.is_some_and(|h| h.len() == 6 && h.chars().all(|c| c.is_ascii_hexdigit())) {
        fields.push(wrong("colour", "string_pattern", "'colour' is written #rrggbb."));
    }
    if fields.is_empty() { Ok(()) } else { Err(Fault::fields(fields)) }
}

impl Identity {
    pub(super) fn check_password(&self, password: &str, username: &str, fields: &mut Vec<Field>) {
        let min = self.settings.password_min;
        if password.chars().count() < min {
            fields.push(wrong(
                "password",
                "string_too_short",
                format!(
                    "A password has at least {min} characters; a short sentence is a good one."
                ),
            ));
        } else if password.len() > PASSWORD_MAX {
            fields.push(wrong(
                "password",
                "string_too_long",
                format!("A password has at most {PASSWORD_MAX} bytes."),
            ));
        } else if fold(username).chars().count() >= NAME_IN_PASSWORD
            && password.to_lowercase().contains(&fold(username))
        {
            fields.push(wrong(
                "password",
                "password_has_name",
                "A password must not contain the username.",
            ));
        }
    }

    /// Checks a draft before the costly hash is made.
    ///
    /// # Errors
    /// The fields at fault.
    pub(super) fn check_draft(&self, draft: &Draft) -> Result<(), Fault> {
        let mut fields = Vec::new();
        check_name("username", &draft.username, &mut fields);
        if draft.username.contains(['\\', '/', '@']) {
            fields.push(wrong(
                "username",
                "string_pattern",
                "'username' must not contain \\, / or @.",
            ));
        }
        if !draft.email.is_empty() && !draft.email.contains('@') {
            fields.push(wrong("email", "string_pattern", "'email' is not an address."));
        }
        if !draft.display_name.is_empty() {
            check_name("display_name", &draft.display_name, &mut fields);
        }
        if roles::named(&draft.role).is_none() {
            fields.push(wrong("role", "enum", format!("There is no role '{}'.", draft.role)));
        }
        check_language(&draft.language, true, &mut fields);
        self.check_password(&draft.password, &draft.username, &mut fields);
        if fields.is_empty() { Ok(()) } else { Err(Fault::fields(fields)) }
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `right_missing`, the fields at fault, `user_exists`.
    pub fn add_user(&self, caller: &Caller, draft: Draft) -> Result<User, Fault> {
        caller.require(Right::ManageRights)?;
        self.check_draft(&draft)?;
        let hash = self.hash(&draft.password)?;
        let who = caller.clone();
        self.store.write_once(caller, "user.add", move |tx| create(tx, &who, draft, hash))
    }

    /// Every user, oldest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn list_users(&self, caller: &Caller) -> Result<Vec<User>, Fault> {
        caller.require(Right::ManageRights)?;
        self.store.read(|view| {
            Ok(view.list(&USERS, &all(), usize::MAX)?.into_iter().map(|(_, u)| u).collect())
        })
    }

    /// Changes a user. A new password or a closed account ends the user's sessions at once.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, the fields at fault, `last_admin`.
    pub fn edit_user(&self, caller: &Caller, number: u64, edit: Edit) -> Result<User, Fault> {
        caller.require(Right::ManageRights)?;
        let mut fields = Vec::new();
        if let Some(name) = &edit.display_name {
            check_name("display_name", name, &mut fields);
        }
        if let Some(role) = edit.role.as_ref().filter(|role| roles::named(role).is_none()) {
            fields.push(wrong("role", "enum", format!("There is no role '{role}'.")));
        }
        if let Some(password) = &edit.password {
            let user = self.store.read(|view| by_number(view, number))?;
            self.check_password(password, &user.username, &mut fields);
        }
        if !fields.is_empty() {
            return Err(Fault::fields(fields));
        }
        let hash = edit.password.as_ref().map(|password| self.hash(password)).transpose()?;
        let who = caller.clone();
        self.store.write(move |tx| change(tx, &who, number, &edit, hash))
    }
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
    if let Some(role) = &edit.role {
        user.role.clone_from(role);
        user.is_system_admin = user.is_system_admin && role == "admin";
    }
    user.active = edit.active.unwrap_or(user.active);
    let new_password = hash.is_some();
    if let Some(hash) = hash {
        user.password = hash;
        user.must_change_password = false;
    }
    if administers(&old) && !administers(&user) {
        let others = tx.list(&USERS, &all(), usize::MAX)?;
        if !others.iter().any(|(other, u)| *other != id && administers(u)) {
            return Err(Fault::conflict(
                "last_admin",
                "This is the last administrator; appoint another first.",
            ));
        }
    }
    user.lineage = old.lineage.then(tx.revision());
    tx.put(&USERS, &id, &user)?;
    tx.journal(
        caller,
        Deed::new("user.edit", &user.username).before(&Shown::of(&old)).after(&Shown::of(&user)),
    )?;
    if new_password || !user.active {
        end_sessions_of(tx, caller, id)?;
    }
    Ok(user)
}

/// The user that clients know by that integer, or `not_found`.
fn by_number(reader: &impl Reader, number: u64) -> Result<User, Fault> {
    let id = reader.get(&USERS_BY_NUMBER, &number)?.ok_or_else(|| Fault::not_found("user"))?;
    reader.get(&USERS, &id)?.ok_or_else(|| Fault::not_found("user"))
}

fn administers(user: &User) -> bool {
    user.active && (user.is_system_admin || user.role == "admin")
}

/// What journals may show of a user: everything but the password's hash.
#[derive(serde::Serialize)]
struct Shown<'u> {
    username: &'u str,
    display_name: &'u str,
    role: &'u str,
    is_system_admin: bool,
    active: bool,
}

impl<'u> Shown<'u> {
    fn of(user: &'u User) -> Self {
        Self {
            username: &user.username,
            display_name: &user.display_name,
            role: &user.role,
            is_system_admin: user.is_system_admin,
            active: user.active,
        }
    }
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
    let logins: Vec<String> = [&draft.username, &draft.email]
        .into_iter()
        .filter(|l| !l.is_empty())
        .map(|l| fold(l))
        .collect();
    for login in &logins {
        if tx.has(&USERS_BY_LOGIN, login)? {
            return Err(Fault::conflict(
                "user_exists",
                format!("There is a user '{login}' already."),
            ));
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
        active: true,
        must_change_password: draft.must_change_password,
        password: hash,
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
