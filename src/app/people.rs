//! Who there is, as other domains ask the directory.

use std::sync::Arc;

use super::board::Called;
use crate::base::caller::Caller;
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::domains::activity::{self, Person, Site};
use crate::domains::assistant::readers::People;
use crate::domains::identity::Identity;

/// The directory of users and roles.
pub(super) struct Directory(pub(super) Identity);

impl People for Directory {
    fn role_exists(&self, name: &str) -> Result<bool, Fault> {
        self.0.role_exists(name)
    }

    fn user_exists(&self, id: Id) -> Result<bool, Fault> {
        Ok(self.0.number_of(id)?.is_some())
    }
}

impl activity::Directory for Directory {
    fn person(&self, username: &str) -> Result<Option<Person>, Fault> {
        Ok(self.0.find(username)?.map(|listed| Person {
            id: listed.user.id,
            active: listed.user.is_active(),
            username: listed.user.username,
            display_name: listed.user.display_name,
            role: listed.user.role,
            created_at: listed.user.created_at,
        }))
    }

    fn number_of(&self, user: Id) -> Result<Option<u64>, Fault> {
        self.0.number_of(user)
    }

    fn user_of(&self, number: u64) -> Result<Option<Id>, Fault> {
        self.0.id_of(number)
    }

    fn site(&self) -> Result<Site, Fault> {
        let site = self.0.site()?;
        Ok(site.map_or_else(Site::default, |s| Site { name: s.name, time_zone: s.time_zone }))
    }
}

/// How people are called, for whoever shows what they did.
pub(super) fn names(desk: Identity) -> Called {
    Arc::new(move |id| match desk.user_by_id(&Caller::task("names"), id) {
        Ok(listed) => Ok(Some(listed.user.display_name)),
        Err(fault) if fault.kind == Kind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    })
}
