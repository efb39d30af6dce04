//! Roles: those every box begins with (planning-tomatoplan.md §4.2), those a site adds, and what a user may do.

use super::first_roles::{BUILT_IN, BuiltIn};
use super::names::{check_name, wrong};
use super::records::{GRANTS, ROLES, ROLES_GONE, Role, USERS, User};
use super::{Identity, records};
use crate::base::caller::{Caller, Right, Rights, Who};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Field};
use crate::base::id::Lineage;
use crate::store::{Deed, Reader, Store, Tx, all, under};

/// The role that holds every right there is, whatever its record says.
pub const ADMIN: &str = "admin";
/// Roles a site may have.
const ROLES_MAX: usize = 200;
/// The longest description, characters.
const DESCRIPTION_MAX: usize = 300;

/// Writes the built-in roles that are not there yet; what a site has changed of one stays.
///
/// # Errors
/// What the store says.
pub(super) fn lay_built_in(store: &Store) -> Result<(), Fault> {
    let missing: Vec<&BuiltIn> = store.read(|view| {
        let mut missing = Vec::new();
        for role in BUILT_IN {
            if !view.has(&ROLES, &role.name.to_owned())? {
                missing.push(role);
            }
        }
        Ok(missing)
    })?;
    if missing.is_empty() {
        return Ok(());
    }
    store.write(move |tx| {
        for built_in in missing {
            let draft = RoleDraft {
                name: built_in.name.to_owned(),
                description: built_in.description.to_owned(),
                rights: built_in.rights.iter().map(|r| r.name().to_owned()).collect(),
                second_factor: false,
            };
            lay(tx, &Caller::task("identity"), draft, true)?;
        }
        Ok(())
    })
}

/// What a user may do now, and whether its role asks for a second factor.
///
/// # Errors
/// What the store says.
pub(super) fn rights_of(
    reader: &impl Reader,
    user: &User,
    now: Moment,
) -> Result<(Rights, bool), Fault> {
    let role = reader.get(&ROLES, &user.role)?;
    let second_factor = role.as_ref().is_some_and(|role| role.second_factor);
    if user.is_system_admin || user.role == ADMIN {
        return Ok((Rights::EVERY, second_factor));
    }
    // A user without a role sees the planning and nothing else (planning-tomatoplan.md §4.2).
    let of_role = role.map_or(Rights::NONE.with(Right::ViewPlanning), |role| named(&role.rights));
    let mut rights = of_role;
    reader.each(&GRANTS, &under(&user.id), |_, grant| {
        if grant.until.is_none_or(|until| now < until)
            && let Some(right) = Right::named(&grant.right)
        {
            rights = rights.with(right);
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok((rights, second_factor))
}

/// The rights of those names; unknown names give nothing.
fn named(names: &[String]) -> Rights {
    names.iter().filter_map(|name| Right::named(name)).collect()
}

/// What a role's users may do.
pub fn rights_of_role(role: &Role) -> Rights {
    if role.name == ADMIN { Rights::EVERY } else { named(&role.rights) }
}

/// A role to be.
#[derive(Debug, Clone, Default)]
pub struct RoleDraft {
    /// Its name: lower-case letters, digits and `_`.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
    /// The names of its rights.
    pub rights: Vec<String>,
    /// Whether its users need a second factor.
    pub second_factor: bool,
}

/// What to change of a role; none leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct RoleEdit {
    /// What it is for.
    pub description: Option<String>,
    /// The names of its rights.
    pub rights: Option<Vec<String>>,
    /// Whether its users need a second factor.
    pub second_factor: Option<bool>,
}

/// A role with how many users have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleHeld {
    /// The role.
    pub role: Role,
    /// How many users have it, closed accounts included.
    pub users: usize,
}

impl Identity {
    /// Every role by name.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn list_roles(&self, caller: &Caller) -> Result<Vec<RoleHeld>, Fault> {
        caller.require(Right::ManageRights)?;
        self.store.read(|view| {
            let users = view.list(&USERS, &all(), usize::MAX)?;
            let roles = view.list(&ROLES, &all(), usize::MAX)?;
            let held = |name: &str| users.iter().filter(|(_, user)| user.role == name).count();
            Ok(roles
                .into_iter()
                .map(|(name, role)| RoleHeld { users: held(&name), role })
                .collect())
        })
    }

    /// Whether there is a role of that name.
    ///
    /// # Errors
    /// What the store says.
    pub fn role_exists(&self, name: &str) -> Result<bool, Fault> {
        self.store.read(|view| view.has(&ROLES, &name.to_owned()))
    }

    /// Adds a role.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `right_not_held`, the fields at fault, `role_exists`.
    pub fn add_role(&self, caller: &Caller, draft: RoleDraft) -> Result<Role, Fault> {
        caller.require(Right::ManageRights)?;
        caller.fresh(self.clock.now())?;
        let mut fields = Vec::new();
        check_role_name(&draft.name, &mut fields);
        check_description(&draft.description, &mut fields);
        check_rights(&draft.rights, &mut fields);
        if !fields.is_empty() {
            return Err(Fault::fields(fields));
        }
        let who = caller.clone();
        self.store.write_once(caller, "role.add", move |tx| {
            gives(tx, &who, named(&draft.rights))?;
            if tx.has(&ROLES, &draft.name)? {
                return Err(Fault::conflict(
                    "role_exists",
                    format!("There is a role '{}' already.", draft.name),
                ));
            }
            if tx.has(&ROLES_GONE, &draft.name)? {
                // Its users would inherit what the role of before was let into.
                if !who.rights.covers(Rights::EVERY) {
                    return Err(Fault::conflict(
                        "role_exists",
                        "A role of this name was deleted; an administrator can bring it back.",
                    ));
                }
                tx.remove(&ROLES_GONE, &draft.name)?;
            }
            if tx.list(&ROLES, &all(), ROLES_MAX)?.len() >= ROLES_MAX {
                return Err(Fault::conflict(
                    "roles_too_many",
                    format!("There are {ROLES_MAX} roles already."),
                ));
            }
            lay(tx, &who, draft, false)
        })
    }

    /// Changes a role; its users may do the new things, and no longer the old, at their next request.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `right_not_held`, `not_found`, `role_fixed` for the rights
    /// of `admin`, the fields at fault.
    pub fn edit_role(&self, caller: &Caller, number: u64, edit: RoleEdit) -> Result<Role, Fault> {
        caller.require(Right::ManageRights)?;
        caller.fresh(self.clock.now())?;
        let mut fields = Vec::new();
        if let Some(description) = &edit.description {
            check_description(description, &mut fields);
        }
        if let Some(rights) = &edit.rights {
            check_rights(rights, &mut fields);
        }
        if !fields.is_empty() {
            return Err(Fault::fields(fields));
        }
        let who = caller.clone();
        self.store.write(move |tx| {
            let old = by_number(tx, number)?;
            holds(&who, rights_of_role(&old))?;
            let mut role = old.clone();
            if let Some(description) = edit.description {
                description.trim().clone_into(&mut role.description);
            }
            if let Some(rights) = edit.rights {
                if role.name == ADMIN {
                    return Err(Fault::conflict(
                        "role_fixed",
                        "The role 'admin' holds every right, always.",
                    ));
                }
                gives(tx, &who, named(&rights))?;
                // What another version of the box calls a right is not this one's to take away.
                let foreign = old.rights.iter().filter(|r| Right::named(r).is_none()).cloned();
                role.rights = in_order(&rights).chain(foreign).collect();
            }
            role.second_factor = edit.second_factor.unwrap_or(role.second_factor);
            role.lineage = old.lineage.then(tx.revision());
            tx.put(&ROLES, &role.name, &role)?;
            let deed = Deed::new("role.edit", &role.name).before(&Shown::of(&old));
            tx.journal(&who, deed.after(&Shown::of(&role)))?;
            Ok(role)
        })
    }

    /// Deletes a role that nobody has.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `not_found`, `role_built_in`, `role_in_use`.
    pub fn delete_role(&self, caller: &Caller, number: u64) -> Result<(), Fault> {
        caller.require(Right::ManageRights)?;
        caller.fresh(self.clock.now())?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let role = by_number(tx, number)?;
            if role.built_in {
                return Err(Fault::conflict(
                    "role_built_in",
                    "The box began with this role; it can be changed, not deleted.",
                ));
            }
            holds(&who, rights_of_role(&role))?;
            let users = tx.list(&USERS, &all(), usize::MAX)?;
            let held = users.iter().filter(|(_, user)| user.role == role.name).count();
            if held > 0 {
                return Err(Fault::conflict(
                    "role_in_use",
                    format!("{held} users have this role; give them another first."),
                ));
            }
            tx.remove(&ROLES, &role.name)?;
            let now = tx.now();
            tx.put(&ROLES_GONE, &role.name, &now)?;
            tx.journal(&who, Deed::new("role.delete", &role.name).before(&Shown::of(&role)))
        })
    }
}

/// Nobody gives a right that they do not hold by their own role: what was lent to them until a day
/// would otherwise outlast it.
///
/// # Errors
/// `right_not_held`.
pub(super) fn gives(reader: &impl Reader, caller: &Caller, rights: Rights) -> Result<(), Fault> {
    let Who::User { id, .. } = caller.who else { return holds(caller, rights) };
    let user = reader.get(&USERS, &id)?;
    let lasting = match &user {
        Some(user) if user.is_system_admin => Rights::EVERY,
        Some(user) => {
            reader.get(&ROLES, &user.role)?.map(|role| rights_of_role(&role)).unwrap_or_default()
        }
        None => Rights::NONE,
    };
    holds(&Caller { rights: caller.rights.both(lasting), ..caller.clone() }, rights)
}

/// Nobody takes in hand a right they do not hold themselves.
///
/// # Errors
/// `right_not_held`.
pub(super) fn holds(caller: &Caller, rights: Rights) -> Result<(), Fault> {
    if caller.rights.covers(rights) {
        return Ok(());
    }
    let beyond = rights.list().find(|right| !caller.rights.holds(*right));
    Err(Fault::forbidden(
        "right_not_held",
        format!(
            "This goes beyond your own rights ('{}').",
            beyond.map_or("is_system_admin", Right::name)
        ),
    ))
}

fn by_number(reader: &impl Reader, number: u64) -> Result<Role, Fault> {
    let roles = reader.list(&ROLES, &all(), usize::MAX)?;
    let found = roles.into_iter().map(|(_, role)| role).find(|role| role.number == number);
    found.ok_or_else(|| Fault::not_found("role"))
}

fn lay(
    tx: &mut Tx<'_>,
    caller: &Caller,
    draft: RoleDraft,
    built_in: bool,
) -> Result<records::Role, Fault> {
    let roles = tx.list(&ROLES, &all(), usize::MAX)?;
    let number = roles.iter().map(|(_, role)| role.number).max().unwrap_or(0) + 1;
    let role = Role {
        id: tx.new_id(),
        lineage: Lineage::born(tx.revision()),
        number,
        description: draft.description.trim().to_owned(),
        rights: in_order(&draft.rights).collect(),
        second_factor: draft.second_factor,
        built_in,
        created_at: tx.now(),
        name: draft.name,
    };
    tx.put(&ROLES, &role.name, &role)?;
    tx.journal(caller, Deed::new("role.add", &role.name).after(&Shown::of(&role)))?;
    Ok(role)
}

/// The known ones among the names, once each, in the order answers list them.
fn in_order(names: &[String]) -> impl Iterator<Item = String> {
    named(names).list().map(|right| right.name().to_owned())
}

fn check_role_name(name: &str, fields: &mut Vec<Field>) {
    check_name("name", name, fields);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.is_empty() && !name.chars().all(plain) {
        fields.push(wrong(
            "name",
            "string_pattern",
            "'name' has lower-case letters, digits and _.",
        ));
    }
}

fn check_description(description: &str, fields: &mut Vec<Field>) {
    if description.chars().count() > DESCRIPTION_MAX {
        fields.push(wrong(
            "description",
            "string_too_long",
            format!("'description' has more than {DESCRIPTION_MAX} characters."),
        ));
    }
}

fn check_rights(rights: &[String], fields: &mut Vec<Field>) {
    for (at, name) in rights.iter().enumerate() {
        if Right::named(name).is_none() {
            let mut field = wrong("rights", "enum", format!("There is no permission '{name}'."));
            field.place.push(at.to_string());
            fields.push(field);
        }
    }
}

/// What journals show of a role.
#[derive(serde::Serialize)]
struct Shown<'r> {
    description: &'r str,
    rights: &'r [String],
    second_factor: bool,
}

impl<'r> Shown<'r> {
    fn of(role: &'r Role) -> Self {
        Self {
            description: &role.description,
            rights: &role.rights,
            second_factor: role.second_factor,
        }
    }
}
