//! Rights given to one user beside its role, with an end.

use super::records::{GRANTS, Grant, User};
use super::{Identity, names, roles, users};
use crate::base::caller::{Caller, Right, Rights, Who};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Field};
use crate::base::id::{Id, Lineage};
use crate::store::{Deed, Reader, Tx, under};

/// The longest reason, characters.
const REASON_MAX: usize = 300;

/// A grant to be.
#[derive(Debug, Clone, Default)]
pub struct GrantDraft {
    /// The right's name.
    pub right: String,
    /// When it ends; none for never.
    pub until: Option<Moment>,
    /// Why.
    pub reason: String,
}

impl Identity {
    /// The grants of a user, those that have ended included until they are taken back or pruned.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn list_grants(&self, caller: &Caller, number: u64) -> Result<Vec<Grant>, Fault> {
        caller.require(Right::ManageRights)?;
        self.store.read(|view| {
            let user = users::by_number(view, number)?;
            grants_of(view, user.id)
        })
    }

    /// Gives a user a right; given again, the end and the reason are the new ones.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `right_not_held`, `own_account`, `not_found`, the fields at
    /// fault.
    pub fn give(&self, caller: &Caller, number: u64, draft: GrantDraft) -> Result<Grant, Fault> {
        caller.require(Right::ManageRights)?;
        let now = self.clock.now();
        caller.fresh(now)?;
        let mut fields = Vec::new();
        let right = Right::named(&draft.right);
        if right.is_none() {
            let message = format!("There is no permission '{}'.", draft.right);
            fields.push(names::wrong("right", "enum", message));
        }
        if draft.until.is_some_and(|until| until <= now) {
            fields.push(names::wrong("until", "value_error", "'until' lies in the past."));
        }
        check_reason(&draft.reason, &mut fields);
        if !fields.is_empty() {
            return Err(Fault::fields(fields));
        }
        let rights: Rights = right.into_iter().collect();
        let who = caller.clone();
        self.store.write(move |tx| {
            let user = users::by_number(tx, number)?;
            if matches!(who.who, Who::User { id, .. } if id == user.id) {
                return Err(users::own_account());
            }
            users::outranks(tx, &who, &user, tx.now())?;
            roles::gives(tx, &who, rights)?;
            let key = (user.id, draft.right);
            let old = tx.get(&GRANTS, &key)?;
            let lineage = match &old {
                Some(old) => old.lineage.then(tx.revision()),
                None => Lineage::born(tx.revision()),
            };
            let grant = Grant {
                lineage,
                right: key.1.clone(),
                until: draft.until,
                reason: draft.reason.trim().to_owned(),
                given_by: who.name().to_owned(),
                given_at: tx.now(),
            };
            tx.put(&GRANTS, &key, &grant)?;
            let mut deed = Deed::new("grant.add", &user.username).after(&Shown::of(&grant));
            if let Some(old) = &old {
                deed = deed.before(&Shown::of(old));
            }
            tx.journal(&who, deed)?;
            Ok(grant)
        })
    }

    /// Takes a given right back.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `not_found`.
    pub fn take_back(&self, caller: &Caller, number: u64, right: &str) -> Result<(), Fault> {
        caller.require(Right::ManageRights)?;
        caller.fresh(self.clock.now())?;
        let (who, right) = (caller.clone(), right.to_owned());
        self.store.write(move |tx| {
            let user = users::by_number(tx, number)?;
            users::outranks(tx, &who, &user, tx.now())?;
            remove(tx, &who, &user, right)?.then_some(()).ok_or_else(|| Fault::not_found("grant"))
        })
    }
}

/// The grants of a user, by right.
pub(super) fn grants_of(reader: &impl Reader, user: Id) -> Result<Vec<Grant>, Fault> {
    let rows = reader.list(&GRANTS, &under(&user), usize::MAX)?;
    Ok(rows.into_iter().map(|(_, grant)| grant).collect())
}

/// Takes one grant out; whether there was one.
pub(super) fn remove(
    tx: &mut Tx<'_>,
    caller: &Caller,
    user: &User,
    right: String,
) -> Result<bool, Fault> {
    let key = (user.id, right);
    let Some(grant) = tx.get(&GRANTS, &key)? else { return Ok(false) };
    tx.remove(&GRANTS, &key)?;
    let deed = Deed::new("grant.remove", &user.username).before(&Shown::of(&grant));
    tx.journal(caller, deed)?;
    Ok(true)
}

fn check_reason(reason: &str, fields: &mut Vec<Field>) {
    if reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control) {
        let message = format!("'reason' is a line of at most {REASON_MAX} characters.");
        fields.push(names::wrong("reason", "string_too_long", message));
    }
}

/// What journals show of a grant.
#[derive(serde::Serialize)]
struct Shown<'g> {
    right: &'g str,
    until: Option<Moment>,
    reason: &'g str,
}

impl<'g> Shown<'g> {
    fn of(grant: &'g Grant) -> Self {
        Self { right: &grant.right, until: grant.until, reason: &grant.reason }
    }
}
