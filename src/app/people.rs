//! Who there is, as the assistant asks before a collection is given to a role or a user.

use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::assistant::readers::People;
use crate::domains::identity::Identity;

/// The directory of users and roles, for those who only ask whether somebody is there.
pub(super) struct Directory(pub(super) Identity);

impl People for Directory {
    fn role_exists(&self, name: &str) -> Result<bool, Fault> {
        self.0.role_exists(name)
    }

    fn user_exists(&self, id: Id) -> Result<bool, Fault> {
        self.0.user_exists(id)
    }
}
