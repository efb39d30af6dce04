//! What a domain puts into the continuity pack: tables to read, people and doors to recognise, papers.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;

/// A text in both languages of the box.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Words {
    /// In French.
    pub fr: String,
    /// In English.
    pub en: String,
}

impl Words {
    /// Both.
    pub fn of(fr: impl Into<String>, en: impl Into<String>) -> Self {
        Self { fr: fr.into(), en: en.into() }
    }
}

/// What stands in one place of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Words of the site.
    Text(String),
    /// Words of the box.
    Words(Words),
    /// A moment, shown in the site's time.
    At(Moment),
    /// A file of the pack, by its SHA-256 in hexadecimal digits.
    File {
        /// Its name.
        name: String,
        /// Its SHA-256.
        sha256: String,
    },
}

/// One line of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What it is about, stable between packs: a change that is noted names it (`mission:0190…`).
    pub key: String,
    /// One cell a column.
    pub cells: Vec<Cell>,
}

/// A page of the pack: one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Its stable name in addresses, `snake_case`.
    pub id: String,
    /// Its title.
    pub title: Words,
    /// Which right of a person it takes to read it (a name of `base::caller::Right`); empty for none.
    pub right: String,
    /// The columns' heads.
    pub columns: Vec<Words>,
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// What is said when there is none.
    pub empty: Words,
    /// Whether changes may be noted on its rows.
    pub notes: bool,
}

/// Somebody who may sign in while the main program is away.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Its record.
    pub id: Id,
    /// The name to sign in with.
    pub username: String,
    /// How pages show it.
    pub display_name: String,
    /// Its e-mail address, also good to sign in with; empty for none.
    pub email: String,
    /// The password as `engines::secrets` keeps it.
    pub password: String,
    /// The names of its rights.
    pub rights: Vec<String>,
    /// Whether it shows a second factor, which is not at hand here: it may sign in at the box only.
    pub second_factor: bool,
    /// The language of its pages; empty for the site's.
    pub language: String,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Person").field(&self.username).finish()
    }
}

/// A door that may go on taking punches: a kiosk, a device.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorKey {
    /// What it is: `kiosk`, `device`.
    pub kind: String,
    /// Its record.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// What its key is recognised by: HMAC-SHA256 of a kiosk's key as the directory keeps it, the
    /// public key of a device; hexadecimal.
    pub proof: String,
    /// When it ends; none for never.
    pub expires_at: Option<Moment>,
}

impl fmt::Debug for DoorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DoorKey").field(&self.kind).field(&self.name).finish()
    }
}

/// Opens a file's bytes.
pub type Opener = Arc<dyn Fn() -> Result<Box<dyn Read + Send>, Fault> + Send + Sync>;

/// A paper that is to be readable while the main program is away.
#[derive(Clone)]
pub struct Paper {
    /// Its name, with an ending.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Its bytes.
    pub bytes: u64,
    /// Opens them.
    pub open: Opener,
}

impl fmt::Debug for Paper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Paper").field(&self.name).field(&self.bytes).finish()
    }
}

/// What one source gives.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Tables to read.
    pub sections: Vec<Section>,
    /// People who may sign in.
    pub people: Vec<Person>,
    /// Doors that may punch.
    pub doors: Vec<DoorKey>,
    /// Papers.
    pub papers: Vec<Paper>,
    /// The site's name, from the one source that knows it; empty from the others.
    pub site: String,
    /// The site's time zone (IANA), from the same source.
    pub time_zone: String,
    /// Keys and values that a domain's own Plan B door needs, by a name of the domain's choice.
    pub further: Vec<(String, serde_json::Value)>,
}

/// Gives a part as it is at the moment.
pub type Source = Arc<dyn Fn() -> Result<Part, Fault> + Send + Sync>;
