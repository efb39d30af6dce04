//! Who there is, as attendance needs to know it; the directory stands behind it.

use jiff::tz::TimeZone;

use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::Tx;

/// A person of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The user's name of record.
    pub id: Id,
    /// The integer clients know it by.
    pub number: u64,
    /// The name it signs in with.
    pub username: String,
    /// How it is shown.
    pub name: String,
    /// Its address, empty for none.
    pub email: String,
    /// Whether it may sign in.
    pub active: bool,
}

/// The site, as pages and papers name it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// Its time zone; UTC before the box is set up.
    pub zone: TimeZone,
}

/// The directory.
pub trait People: Send + Sync {
    /// The person of a name of record; none for whoever is not in the directory.
    ///
    /// # Errors
    /// What the store says.
    fn person(&self, id: Id) -> Result<Option<Person>, Fault>;

    /// The person of a number.
    ///
    /// # Errors
    /// What the store says.
    fn numbered(&self, number: u64) -> Result<Option<Person>, Fault>;

    /// Everybody, those who have left too, by name.
    ///
    /// # Errors
    /// What the store says.
    fn everybody(&self) -> Result<Vec<Person>, Fault>;

    /// The site.
    ///
    /// # Errors
    /// What the store says.
    fn site(&self) -> Result<Site, Fault>;

    /// The site's time zone, as the write sees it.
    ///
    /// # Errors
    /// What the store says.
    fn zone(&self, tx: &Tx<'_>) -> Result<TimeZone, Fault>;

    /// Whether a user may sign in, as the write sees it; none for whoever is not in the directory.
    ///
    /// # Errors
    /// What the store says.
    fn active(&self, tx: &Tx<'_>, user: Id) -> Result<Option<bool>, Fault>;
}
