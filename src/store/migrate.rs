//! Migrations: numbered steps, forward only, each in one transaction with its own count.

use super::Store;
use super::meta::{NUMBERS, SCHEMA};
use super::tx::Tx;
use super::view::Reader;
use crate::base::caller::Caller;
use crate::base::fault::Fault;
use crate::store::Deed;

/// One step from a shape of the store to the next.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// What it does, in a few words; journaled.
    pub name: &'static str,
    /// The work. Old shapes are private structs inside the step that needs them.
    pub run: fn(&mut Tx<'_>) -> Result<(), Fault>,
}

/// Takes the steps a store has not taken yet.
///
/// # Errors
/// `store_newer` when the store has taken more steps than this program knows.
pub(super) fn bring_up(store: &Store, steps: &[Step]) -> Result<(), Fault> {
    let taken = store.read(|view| Ok(view.get(&NUMBERS, &SCHEMA.to_owned())?.unwrap_or(0)))?;
    let known = steps.len() as u64;
    if taken > known {
        return Err(Fault::unavailable(
            "store_newer",
            format!(
                "The data folder was written by a later version (step {taken}; this one knows {known})."
            ),
        ));
    }
    let missing = steps.iter().enumerate().skip(usize::try_from(taken).unwrap_or(usize::MAX));
    for (index, step) in missing {
        let step = *step;
        let number = index as u64 + 1;
        store.write_freeing(move |tx| {
            (step.run)(tx)?;
            tx.put(&NUMBERS, &SCHEMA.to_owned(), &number)?;
            tx.journal(
                &Caller::task("migration"),
                Deed::new("store.migrate", format!("{number} {}", step.name)),
            )
        })?;
        tracing::info!(step = number, name = step.name, "migrated");
    }
    Ok(())
}
