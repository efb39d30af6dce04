//! The continuity pack: what a site needs to go on, kept fresh in files and signed.

mod manifest;
mod packer;
pub mod part;
mod reading;
mod shelf;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::node::Node;
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::engines::signing::{PUBLIC, SIGNATURE};
use part::Words;

pub use manifest::{LeftOut, PaperEntry};
pub use packer::{Limits, Packer};
pub use reading::{Found, Pack, Trouble, look};
pub use shelf::Shelf;

/// Signs bytes with a node's key.
pub type Signer = Arc<dyn Fn(&[u8]) -> Result<[u8; SIGNATURE], Fault> + Send + Sync>;

/// What signs a pack: the node's key.
#[derive(Clone)]
pub struct Seal {
    /// The node's id, hexadecimal.
    pub node_id: String,
    /// The public half of its key.
    pub public: [u8; PUBLIC],
    /// Signs with the other half.
    pub sign: Signer,
}

impl Seal {
    /// That of this node.
    pub fn of(node: &Arc<Node>) -> Self {
        let signer = node.clone();
        Self {
            node_id: node.name().to_owned(),
            public: node.public(),
            sign: Arc::new(move |bytes| signer.sign(bytes)),
        }
    }
}

/// A pack as `/continuity` and `ilot planb pack show` tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PackState {
    /// When it was last signed.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Moment,
    /// How many were written before it, and it.
    pub generation: u64,
    /// Whether this node signed it and its tables are what was signed.
    pub verified: bool,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Its tables.
    pub sections: Vec<SectionState>,
    /// How many people may sign in.
    pub people: usize,
    /// How many doors may punch.
    pub doors: usize,
    /// Its papers.
    pub papers: Vec<PaperState>,
    /// What did not find room, or could not be read, and why.
    pub left_out: Vec<LeftOut>,
}

/// A table of a pack, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SectionState {
    /// Its name.
    pub id: String,
    /// Its title.
    pub title: Words,
    /// How many rows it has.
    pub rows: usize,
    /// When its source last answered; none when it still does.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub stale_since: Option<Moment>,
}

/// A paper of a pack, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PaperState {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}
