//! Users of another system taken in with their password hashes, which verify here and are made new at
//! the next sign-in.

use std::collections::HashSet;

use super::guards::Reach;
use super::records::{ROLES, USERS_BY_LOGIN};
use super::users::{self, Draft};
use super::{Identity, guards, names, roles};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::engines::secrets::Passwords;
use crate::store::{Deed, Reader};

/// Users that are taken in at once.
pub const ROWS_MAX: usize = 10_000;

/// A user of another system.
#[derive(Debug, Clone, Default)]
pub struct ImportRow {
    /// The name to sign in with; the address when empty.
    pub username: String,
    /// An address, or nothing.
    pub email: String,
    /// How it is shown; the username when empty.
    pub display_name: String,
    /// The role's name.
    pub role: String,
    /// The password's hash as the other system keeps it; empty for a user who gets a password later.
    pub password_hash: String,
    /// Whether it may sign in.
    pub active: bool,
    /// Whether a new password has to be chosen at the first sign-in.
    pub must_change_password: bool,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Becomes {
    /// A user is made of it.
    Created,
    /// Somebody has this name or address already; nothing is changed.
    Exists,
    /// It cannot be taken in.
    Refused,
}

/// What becomes of one row, and why.
#[derive(Debug)]
pub struct Planned {
    /// The name as it was sent.
    pub username: String,
    /// What becomes of it.
    pub outcome: Becomes,
    /// Why it cannot be taken in.
    pub fault: Option<Fault>,
}

/// A row that was looked at: what is made of it, or why nothing is.
struct Judged {
    username: String,
    made: Result<(Draft, String), Refused>,
}

enum Refused {
    Exists,
    For(Fault),
}

impl Identity {
    /// Takes users of another system in, in one write; with `apply` false it only says what would
    /// become of each. Nobody who is here already is changed, so that it can be done again.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `import_too_large`; what is wrong with a row is said there.
    pub fn import_users(
        &self,
        caller: &Caller,
        rows: Vec<ImportRow>,
        apply: bool,
    ) -> Result<Vec<Planned>, Fault> {
        caller.require(Right::ManageRights)?;
        caller.fresh(self.clock.now())?;
        if rows.len() > ROWS_MAX {
            return Err(Fault::too_large(
                "import_too_large",
                format!("At most {ROWS_MAX} users are taken in at once."),
            ));
        }
        if !apply {
            let judged = self.store.read(|view| judged(view, caller, rows))?;
            return Ok(judged.into_iter().map(planned).collect());
        }
        let (who, guards) = (caller.clone(), self.guards());
        self.store.write(move |tx| {
            let mut plan = Vec::with_capacity(rows.len());
            let mut count = 0;
            for one in judged(tx, &who, rows)? {
                if let Ok((draft, hash)) = &one.made {
                    guards::ask(&guards, tx, &who, &Reach::Role(draft.role.clone()))?;
                    users::create(tx, &who, draft.clone(), hash.clone())?;
                    count += 1;
                }
                plan.push(planned(one));
            }
            tx.journal(&who, Deed::new("user.import", count))?;
            Ok(plan)
        })
    }
}

fn planned(one: Judged) -> Planned {
    let (outcome, fault) = match one.made {
        Ok(_) => (Becomes::Created, None),
        Err(Refused::Exists) => (Becomes::Exists, None),
        Err(Refused::For(fault)) => (Becomes::Refused, Some(fault)),
    };
    Planned { username: one.username, outcome, fault }
}

fn judged(
    reader: &impl Reader,
    caller: &Caller,
    rows: Vec<ImportRow>,
) -> Result<Vec<Judged>, Fault> {
    let mut seen = HashSet::new();
    let mut judged = Vec::with_capacity(rows.len());
    for mut row in rows {
        if row.username.trim().is_empty() {
            row.email.trim().clone_into(&mut row.username);
        }
        let username = row.username.clone();
        let made = judge(reader, caller, row, &mut seen)?;
        judged.push(Judged { username, made });
    }
    Ok(judged)
}

fn judge(
    reader: &impl Reader,
    caller: &Caller,
    row: ImportRow,
    seen: &mut HashSet<String>,
) -> Result<Result<(Draft, String), Refused>, Fault> {
    let mut fields = Vec::new();
    names::check_names(&row.username, &row.email, &row.display_name, &mut fields);
    let role = reader.get(&ROLES, &row.role)?;
    if role.is_none() {
        fields.push(users::no_role(&row.role));
    }
    let hash = match row.password_hash.as_str() {
        "" => Ok(String::new()),
        hash => Passwords::import(hash),
    };
    let refused = |fault| Ok(Err(Refused::For(fault)));
    let hash = match hash {
        Ok(hash) => hash,
        Err(fault) => return refused(fault),
    };
    if !fields.is_empty() {
        return refused(Fault::fields(fields));
    }
    let rights = role.map(|role| roles::rights_of_role(&role)).unwrap_or_default();
    if let Err(fault) = roles::gives(reader, caller, rights) {
        return refused(fault);
    }
    let logins = [names::fold(&row.username), names::fold(&row.email)];
    for login in logins.iter().filter(|login| !login.is_empty()) {
        if reader.has(&USERS_BY_LOGIN, login)? {
            return Ok(Err(Refused::Exists));
        }
    }
    if logins.iter().any(|login| seen.contains(login)) {
        return refused(Fault::conflict("user_twice", "This name or address is listed twice."));
    }
    seen.extend(logins.into_iter().filter(|login| !login.is_empty()));
    let draft = Draft {
        username: row.username,
        email: row.email,
        display_name: row.display_name,
        role: row.role,
        must_change_password: row.must_change_password,
        disabled: !row.active,
        ..Draft::default()
    };
    Ok(Ok((draft, hash)))
}
