//! The role of this node: one word in a file, `client` until somebody says otherwise.

use std::sync::Arc;

use super::files::{Watched, under_lock, unwritten};
use super::place::Place;
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::paths::write_private;

/// What this node is to the others (plan-b.md §1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It serves the others.
    Server,
    /// It asks the others; what it is when the file is absent or says something else.
    #[default]
    Client,
}

impl Role {
    /// Its word, in the file and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    /// The role of that word, in small or capital letters.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Server, Self::Client].into_iter().find(|role| word.eq_ignore_ascii_case(role.name()))
    }
}

/// The role's file.
pub(super) struct RoleFile {
    place: Place,
    file: Watched<Role>,
}

impl RoleFile {
    pub(super) fn of(place: Place, clock: Arc<dyn Clock>) -> Self {
        let read = |bytes: Option<&[u8]>| {
            let word = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
            Some(word.and_then(|word| Role::named(word.trim())).unwrap_or_default())
        };
        let never = || Fault::unavailable("planb_role_damaged", "The role's file is damaged.");
        Self { file: Watched::new(place.role(), clock, read, never), place }
    }

    /// The role in force.
    pub(super) fn get(&self) -> Result<Role, Fault> {
        self.file.get().map(|role| *role)
    }

    /// Writes the role down; the answer is the one before.
    pub(super) fn set(&self, role: Role) -> Result<Role, Fault> {
        let path = self.place.role();
        under_lock(&path, || {
            let before = self.get()?;
            write_private(&path, format!("{}\n", role.name()).as_bytes())
                .map_err(|e| unwritten("writing the role", e))?;
            Ok(before)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::clock::MachineClock;

    #[test]
    fn a_role_is_kept_for_whoever_opens_the_folder_next() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path());
        let open = || RoleFile::of(place.clone(), Arc::new(MachineClock));
        let (one, other) = (open(), open());
        assert_eq!(one.get().unwrap(), Role::Client);
        assert_eq!(one.set(Role::Server).unwrap(), Role::Client);
        assert_eq!((one.get().unwrap(), other.get().unwrap()), (Role::Server, Role::Server));
        assert_eq!(fs::read_to_string(place.role()).unwrap(), "server\n");
        for odd in ["", "king\n", "server client\n"] {
            fs::write(place.role(), odd).unwrap();
            assert_eq!(other.get().unwrap(), Role::Client, "{odd:?}");
        }
        fs::write(place.role(), "  SERVER").unwrap();
        assert_eq!(other.get().unwrap(), Role::Server);
    }
}
