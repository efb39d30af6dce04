//! The users' directory as the journal's desk asks for it.

use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::activity::{Directory, Person, Site};
use crate::domains::identity::records::{SITE, USERS, USERS_BY_LOGIN, USERS_BY_NUMBER, User};
use crate::domains::identity::users::fold;
use crate::store::{Reader, Store};

/// Reads identity's tables.
pub(super) struct Users(pub(super) Store);

impl Directory for Users {
    fn person(&self, username: &str) -> Result<Option<Person>, Fault> {
        let login = fold(username);
        let user = self.0.read(|view| match view.get(&USERS_BY_LOGIN, &login)? {
            Some(id) => view.get(&USERS, &id),
            None => Ok(None),
        })?;
        Ok(user.map(person))
    }

    fn number_of(&self, user: Id) -> Result<Option<u64>, Fault> {
        Ok(self.0.read(|view| view.get(&USERS, &user))?.map(|user| user.number))
    }

    fn user_of(&self, number: u64) -> Result<Option<Id>, Fault> {
        self.0.read(|view| view.get(&USERS_BY_NUMBER, &number))
    }

    fn site(&self) -> Result<Site, Fault> {
        let site = self.0.read(|view| view.get(&SITE, &()))?;
        Ok(site.map_or_else(Site::default, |s| Site { name: s.name, time_zone: s.time_zone }))
    }
}

fn person(user: User) -> Person {
    Person {
        id: user.id,
        username: user.username,
        display_name: user.display_name,
        role: user.role,
        active: user.active,
        created_at: user.created_at,
    }
}
