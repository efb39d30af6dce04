//! Who there is, as the assistant asks before a collection is given to a role or a user.

use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::assistant::readers::People;
use crate::domains::identity::records::USERS;
use crate::domains::identity::roles;
use crate::store::{Reader, Store};

/// The directory of users and roles, for those who only ask whether somebody is there.
pub(super) struct Directory(pub(super) Store);

impl People for Directory {
    fn role_exists(&self, name: &str) -> Result<bool, Fault> {
        Ok(roles::named(name).is_some())
    }

    fn user_exists(&self, id: Id) -> Result<bool, Fault> {
        self.0.read(|view| view.has(&USERS, &id))
    }
}
