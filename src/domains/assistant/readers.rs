//! Readers: who may read a collection, asked in one place before a search, after it, and at every
//! other door to a document.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Serialize;

use super::records::{COLLECTIONS, DOCUMENTS, Document, Readers};
use crate::base::caller::{Caller, Right, Who};
use crate::base::fault::{Fault, Field};
use crate::base::id::Id;
use crate::store::{Reader, all};

/// The most roles that read one collection by name.
pub const ROLES_MAX: usize = 100;
/// The most users that read one collection by name.
pub const USERS_MAX: usize = 1_000;

/// Who there is: asked before a collection is given to a role or a user.
pub trait People: Send + Sync {
    /// Whether there is a role of that name.
    ///
    /// # Errors
    /// What the store says.
    fn role_exists(&self, name: &str) -> Result<bool, Fault>;

    /// Whether there is a user of that name of record.
    ///
    /// # Errors
    /// What the store says.
    fn user_exists(&self, id: Id) -> Result<bool, Fault>;
}

/// Whether the caller reads every collection: those who decide on readers, the console and the box.
fn reads_all(caller: &Caller) -> bool {
    matches!(caller.who, Who::Console | Who::Task(_))
        || caller.rights.holds(Right::ManageCollections)
}

/// Whether a caller who may read documents at all may read those of a collection with these readers.
///
/// Every door comes here. A machine has no role and is no user: it reads what everyone reads.
pub fn may_read(caller: &Caller, readers: &Readers) -> bool {
    if reads_all(caller) {
        return true;
    }
    match (readers, &caller.who) {
        (Readers::Everyone, _) => true,
        (Readers::Only { roles, users }, Who::User { id, .. }) => {
            users.contains(id) || roles.contains(&caller.role)
        }
        (Readers::Only { .. }, _) => false,
    }
}

/// Whether a caller may let somebody into what a role or a user reads: nobody opens by another's name a
/// collection that is closed to themselves. Asked within the write that would let them.
///
/// # Errors
/// `right_not_held`, or what the store says.
pub fn may_let_in(
    reader: &impl Reader,
    caller: &Caller,
    role: Option<&str>,
    user: Option<Id>,
) -> Result<(), Fault> {
    if reads_all(caller) {
        return Ok(());
    }
    for (_, collection) in reader.list(&COLLECTIONS, &all(), usize::MAX)? {
        let Readers::Only { roles, users } = &collection.readers else { continue };
        let opens = role.is_some_and(|role| roles.contains(role))
            || user.is_some_and(|user| users.contains(&user));
        if opens && !may_read(caller, &collection.readers) {
            return Err(Fault::forbidden(
                "right_not_held",
                "This would open a collection of documents that is closed to yourself.",
            ));
        }
    }
    Ok(())
}

/// What a caller may read at one moment of the store. Each collection is looked up once, with its
/// readers as they are at that moment.
pub(super) struct Gate<'a, R> {
    caller: &'a Caller,
    reader: &'a R,
    asked: RefCell<BTreeMap<String, bool>>,
}

impl<'a, R: Reader> Gate<'a, R> {
    pub(super) fn at(reader: &'a R, caller: &'a Caller) -> Self {
        Self { caller, reader, asked: RefCell::default() }
    }

    /// Whether the collection is there and the caller may read it.
    pub(super) fn lets(&self, collection: &str) -> Result<bool, Fault> {
        if let Some(known) = self.asked.borrow().get(collection) {
            return Ok(*known);
        }
        let name = collection.to_owned();
        let found = self.reader.get(&COLLECTIONS, &name)?;
        let lets = found.is_some_and(|found| may_read(self.caller, &found.readers));
        self.asked.borrow_mut().insert(name, lets);
        Ok(lets)
    }

    /// The document of that name; one in a collection that is closed to the caller is not there.
    pub(super) fn find(&self, id: Id) -> Result<Document, Fault> {
        let none = || Fault::not_found("document");
        let document = self.reader.get(&DOCUMENTS, &id)?.ok_or_else(none)?;
        if self.lets(&document.collection)? { Ok(document) } else { Err(none()) }
    }

    /// The names of the collections the caller may read; none when these are all there are.
    pub(super) fn readable(&self) -> Result<Option<Vec<String>>, Fault> {
        if reads_all(self.caller) {
            return Ok(None);
        }
        let all = self.reader.list(&COLLECTIONS, &all(), usize::MAX)?;
        let total = all.len();
        let open: Vec<String> = all
            .into_iter()
            .filter(|(_, collection)| may_read(self.caller, &collection.readers))
            .map(|(name, _)| name)
            .collect();
        Ok((open.len() < total).then_some(open))
    }
}

/// Refuses readers that are too many, or whom nobody knows, each at its place.
pub(super) fn check(readers: &Readers, people: &dyn People) -> Result<(), Fault> {
    let Readers::Only { roles, users } = readers else { return Ok(()) };
    let mut fields = Vec::new();
    let mut wrong = |list: &str, wrong, message| {
        let place = ["body", "readers", list].map(str::to_owned).to_vec();
        fields.push(Field { place, wrong, message });
    };
    if roles.len() > ROLES_MAX {
        wrong("roles", "too_long", format!("A collection is read by at most {ROLES_MAX} roles."));
    }
    if users.len() > USERS_MAX {
        wrong("users", "too_long", format!("A collection is read by at most {USERS_MAX} users."));
    }
    for role in roles.iter().take(ROLES_MAX) {
        if !people.role_exists(role)? {
            wrong("roles", "enum", format!("There is no role '{role}'."));
        }
    }
    for user in users.iter().take(USERS_MAX) {
        if !people.user_exists(*user)? {
            wrong("users", "enum", format!("There is no user {user}."));
        }
    }
    if fields.is_empty() { Ok(()) } else { Err(Fault::fields(fields)) }
}

/// What the journal shows of readers.
#[derive(Serialize)]
pub(super) struct Shown {
    everyone: bool,
    roles: Vec<String>,
    users: Vec<Id>,
}

impl Shown {
    pub(super) fn of(readers: &Readers) -> Self {
        match readers {
            Readers::Everyone => Self { everyone: true, roles: Vec::new(), users: Vec::new() },
            Readers::Only { roles, users } => Self {
                everyone: false,
                roles: roles.iter().cloned().collect(),
                users: users.iter().copied().collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::caller::Rights;
    use crate::base::clock::Moment;

    fn user(role: &str) -> (Id, Caller) {
        let id = Id::new(Moment(1));
        let who = Who::User { id, name: "anna".into() };
        let rights = Rights::NONE.with(Right::ReadDocuments);
        (id, Caller { who, rights, role: role.into(), ..Caller::nobody(None, "r") })
    }

    #[test]
    fn a_closed_collection_opens_for_its_roles_its_users_and_its_keepers_alone() {
        let (anna, caller) = user("finance");
        let only = |roles: &[&str], users: &[Id]| Readers::Only {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            users: users.iter().copied().collect(),
        };
        assert!(may_read(&caller, &Readers::Everyone));
        assert!(may_read(&caller, &only(&["finance"], &[])));
        assert!(may_read(&caller, &only(&[], &[anna])));
        assert!(!may_read(&caller, &only(&["admin"], &[Id::ZERO])));
        let shut = only(&[], &[]);
        assert!(!may_read(&caller, &shut));
        let keeper = Caller { rights: Rights::NONE.with(Right::ManageCollections), ..caller };
        assert!(may_read(&keeper, &shut));
        assert!(may_read(&Caller::console("r"), &shut) && may_read(&Caller::task("t"), &shut));
    }

    #[test]
    fn who_has_no_role_is_not_a_reader_by_an_empty_name_and_a_machine_is_no_user() {
        let (id, anna) = user("");
        let only = Readers::Only { roles: ["admin".to_owned()].into(), users: [id].into() };
        let machine = Who::Machine { id, name: "kiosk".into() };
        assert!(may_read(&anna, &only));
        assert!(!may_read(&Caller { who: machine, role: "admin".into(), ..anna }, &only));
    }
}
