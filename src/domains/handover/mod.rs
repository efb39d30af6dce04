//! Handover: what was written down while the box was away comes into the records, once and in order.

pub mod records;

use crate::base::clock::Moment;
use crate::base::id::Id;

/// An entry of Plan B's outbox on its way in.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The entry's name.
    pub id: Id,
    /// Its place in its file.
    pub seq: u64,
    /// What it is.
    pub kind: String,
    /// When it was written, by the wall of that hour.
    pub at: Moment,
    /// The name of who wrote it.
    pub by: String,
    /// The user, when a person signed in.
    pub user: Option<Id>,
    /// The kiosk or device, when a door wrote.
    pub door: Option<Id>,
    /// What it says.
    pub body: serde_json::Value,
}
