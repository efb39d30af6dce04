//! Dealing with what waits: a person says that it is done.

use super::Handover;
use super::records::{ARRIVALS, Arrived, Outcome};
use super::taking::keep;
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::{Deed, Reader};

/// The longest remark, characters.
pub const REMARK_MAX: usize = 500;

impl Handover {
    /// Marks an arrival as dealt with, in the words of whoever did. Who manages Plan B may mark any;
    /// who writes the planning may mark notes.
    ///
    /// # Errors
    /// `right_missing`, `validation` for a remark that is too long, `not_found`, `arrival_not_open`.
    pub fn done(&self, caller: &Caller, id: Id, remark: &str) -> Result<Arrived, Fault> {
        let manages = caller.require(Right::ManageContinuity);
        if manages.is_err() && caller.require(Right::EditPlanning).is_err() {
            manages?;
        }
        let remark = remark.trim().to_owned();
        if remark.chars().count() > REMARK_MAX {
            let message = format!("A remark has at most {REMARK_MAX} characters.");
            return Err(Fault::field("remark", "string_too_long", message));
        }
        let who = caller.clone();
        let arrived = self.store.write_once(caller, "handover.done", move |tx| {
            let mut arrived = tx.get(&ARRIVALS, &id)?.ok_or_else(|| Fault::not_found("arrival"))?;
            if arrived.outcome != Outcome::Note {
                who.require(Right::ManageContinuity)?;
            }
            if !arrived.outcome.is_open() {
                return Err(Fault::conflict(
                    "arrival_not_open",
                    "This entry does not wait for anybody any more.",
                ));
            }
            let before = std::mem::replace(
                &mut arrived.outcome,
                Outcome::Done { by: who.name().to_owned(), at: tx.now(), remark },
            );
            keep(tx, &arrived)?;
            let deed = Deed::new("handover.done", id).before(&before).after(&arrived.outcome);
            tx.journal(&who, deed)?;
            Ok(arrived)
        })?;
        self.tell()?;
        Ok(arrived)
    }
}
