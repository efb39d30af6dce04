//! The collections' desk: list, make, close to all but some readers, delete when empty.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::Assistant;
use super::readers::{Gate, People, Shown, check};
use super::records::{BY_PATH, COLLECTIONS, Collection, Readers};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::base::id::{Id, Lineage};
use crate::store::{Deed, Reader, Tx, all, under};

/// The longest name of a collection, characters.
const NAME_MAX: usize = 64;

/// A collection as somebody who may read it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// Its name of record.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// How many documents it has.
    pub documents: u64,
    /// Who reads it; told to those who decide it.
    pub readers: Option<Readers>,
}

impl Shelf {
    fn of(collection: Collection, documents: u64, caller: &Caller) -> Self {
        let tells = caller.rights.holds(Right::ManageCollections);
        Self {
            id: collection.id,
            name: collection.name,
            documents,
            readers: tells.then_some(collection.readers),
        }
    }
}

/// A name as it is kept; an empty one is the usual collection's.
///
/// # Errors
/// `collection_invalid`.
pub(super) fn tidy(name: &str, usual: &str) -> Result<String, Fault> {
    let name = name.trim();
    let name = if name.is_empty() { usual } else { name };
    // Addresses of pages and routes hold the name: these two would climb in them.
    let climbs = name == "." || name == "..";
    let odd = name.chars().any(|c| c.is_control() || c == '/');
    if climbs || odd || name.chars().count() > NAME_MAX {
        return Err(Fault::invalid(
            "collection_invalid",
            format!("A collection's name has at most {NAME_MAX} characters, and no '/'."),
        ));
    }
    Ok(name.to_owned())
}

impl Assistant {
    /// The collections that the caller may read, each with how many documents it has.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn collections(&self, caller: &Caller) -> Result<Vec<Shelf>, Fault> {
        caller.require(Right::ReadDocuments)?;
        self.store.read(|view| {
            let gate = Gate::at(view, caller);
            let mut counts = BTreeMap::<String, u64>::new();
            view.each(&BY_PATH, &all(), |(collection, _), _| {
                *counts.entry(collection).or_default() += 1;
                Ok(ControlFlow::Continue(()))
            })?;
            let mut shelves = Vec::new();
            for (name, collection) in view.list(&COLLECTIONS, &all(), usize::MAX)? {
                if gate.lets(&name)? {
                    let count = counts.get(&name).copied().unwrap_or(0);
                    shelves.push(Shelf::of(collection, count, caller));
                }
            }
            Ok(shelves)
        })
    }

    /// Makes an empty collection, so that it can be closed before its first document comes.
    ///
    /// # Errors
    /// `right_missing`, `collection_invalid`, `collection_exists`, the readers at fault.
    pub fn add_collection(
        &self,
        caller: &Caller,
        name: &str,
        readers: Readers,
        people: &dyn People,
    ) -> Result<Shelf, Fault> {
        caller.require(Right::ManageCollections)?;
        if name.trim().is_empty() {
            return Err(Fault::field("name", "string_too_short", "'name' must not be empty."));
        }
        let name = tidy(name, "")?;
        check(&readers, people)?;
        let who = caller.clone();
        let made = self.store.write_once(caller, "collection.add", move |tx| {
            if tx.has(&COLLECTIONS, &name)? {
                return Err(Fault::conflict(
                    "collection_exists",
                    format!("There is a collection '{name}' already."),
                ));
            }
            make(tx, &who, name, readers)
        })?;
        Ok(Shelf::of(made, 0, caller))
    }

    /// Decides who reads a collection, from the next question and the next look on.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, the readers at fault.
    pub fn set_readers(
        &self,
        caller: &Caller,
        name: &str,
        readers: Readers,
        people: &dyn People,
    ) -> Result<Shelf, Fault> {
        caller.require(Right::ManageCollections)?;
        check(&readers, people)?;
        let (who, name) = (caller.clone(), name.to_owned());
        let (collection, documents) = self.store.write(move |tx| {
            let none = || Fault::not_found("collection");
            let mut collection = tx.get(&COLLECTIONS, &name)?.ok_or_else(none)?;
            if collection.readers != readers {
                let before = Shown::of(&collection.readers);
                let deed = Deed::new("collection.readers", &name);
                tx.journal(&who, deed.before(&before).after(&Shown::of(&readers)))?;
                collection.readers = readers;
                collection.lineage = collection.lineage.then(tx.revision());
                tx.put(&COLLECTIONS, &name, &collection)?;
            }
            let held = held(tx, &name)?;
            Ok((collection, held))
        })?;
        Ok(Shelf::of(collection, documents, caller))
    }

    /// Deletes a collection that holds no document, and with it who was to read it.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `collection_not_empty`.
    pub fn delete_collection(&self, caller: &Caller, name: &str) -> Result<(), Fault> {
        caller.require(Right::ManageCollections)?;
        let (who, name) = (caller.clone(), name.to_owned());
        self.store.write_freeing(move |tx| {
            let none = || Fault::not_found("collection");
            let collection = tx.get(&COLLECTIONS, &name)?.ok_or_else(none)?;
            let documents = held(tx, &name)?;
            if documents > 0 {
                return Err(Fault::conflict(
                    "collection_not_empty",
                    format!("The collection '{name}' holds {documents} documents."),
                ));
            }
            tx.remove(&COLLECTIONS, &name)?;
            let deed = Deed::new("collection.delete", &name);
            tx.journal(&who, deed.before(&Shown::of(&collection.readers)))
        })
    }
}

/// How many documents a collection has.
fn held(reader: &impl Reader, name: &String) -> Result<u64, Fault> {
    let mut count = 0;
    reader.raw_each(BY_PATH.name, &under(name), false, &mut |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

fn make(
    tx: &mut Tx<'_>,
    caller: &Caller,
    name: String,
    readers: Readers,
) -> Result<Collection, Fault> {
    let collection = Collection {
        id: tx.new_id(),
        lineage: Lineage::born(tx.revision()),
        name,
        created_at: tx.now(),
        readers,
    };
    tx.put(&COLLECTIONS, &collection.name, &collection)?;
    let deed = Deed::new("collection.add", &collection.name);
    tx.journal(caller, deed.after(&Shown::of(&collection.readers)))?;
    Ok(collection)
}

/// The collection that a document goes into is there and open to its giver; a new one is made.
///
/// # Errors
/// `collection_closed`. It tells that the name is taken, as a refusal must; not what is in it.
pub(super) fn open(tx: &mut Tx<'_>, caller: &Caller, name: &str) -> Result<(), Fault> {
    if !tx.has(&COLLECTIONS, &name.to_owned())? {
        return make(tx, caller, name.to_owned(), Readers::Everyone).map(drop);
    }
    admits(tx, caller, name)
}

/// Refuses who may not read the collection; one that is not there yet admits everybody.
pub(super) fn admits(reader: &impl Reader, caller: &Caller, name: &str) -> Result<(), Fault> {
    if !reader.has(&COLLECTIONS, &name.to_owned())? || Gate::at(reader, caller).lets(name)? {
        return Ok(());
    }
    Err(Fault::forbidden(
        "collection_closed",
        "This collection is closed to you: documents are added by those who may read it.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(tidy("  Quai 3 ", "general").unwrap(), "Quai 3");
        assert_eq!(tidy(" ", "general").unwrap(), "general");
        for bad in ["a/b", ".", "..", "a\nb", &"é".repeat(NAME_MAX + 1)] {
            assert_eq!(tidy(bad, "general").unwrap_err().code, "collection_invalid", "{bad:?}");
        }
    }
}
