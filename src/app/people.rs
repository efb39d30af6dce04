//! Who there is, as other domains ask the directory.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::board::Called;
use crate::base::caller::Caller;
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::domains::activity::{self, Person, Site};
use crate::domains::assistant::readers::People;
use crate::domains::attendance::people::{self as attendance, Person as Worker};
use crate::domains::attendance::{Accounts, KioskKeys, LayAccount, LayKey, NewAccount};
use crate::domains::identity::records::{self as identity, SITE, USERS, User, Way};
use crate::domains::identity::registration::Registering;
use crate::domains::identity::signing_in::Credentials;
use crate::domains::identity::{Identity, api_keys};
use crate::store::{Reader, Tx};

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

/// What attendance knows of a user.
fn worker(user: User) -> Worker {
    Worker {
        id: user.id,
        number: user.number,
        active: user.is_active(),
        username: user.username,
        name: user.display_name,
        email: user.email,
    }
}

/// The time zone of a site; UTC before the box is set up.
fn zone_of(site: Option<&identity::Site>) -> TimeZone {
    site.and_then(|site| TimeZone::get(&site.time_zone).ok()).unwrap_or(TimeZone::UTC)
}

/// As attendance asks, for which nobody in particular asks.
const ATTENDANCE: &str = "attendance";

impl attendance::People for Directory {
    fn person(&self, id: Id) -> Result<Option<Worker>, Fault> {
        found(self.0.user_by_id(&Caller::task(ATTENDANCE), id))
            .map(|listed| listed.map(|listed| worker(listed.user)))
    }

    fn numbered(&self, number: u64) -> Result<Option<Worker>, Fault> {
        found(self.0.user(&Caller::task(ATTENDANCE), number))
            .map(|listed| listed.map(|listed| worker(listed.user)))
    }

    fn everybody(&self) -> Result<Vec<Worker>, Fault> {
        let mut people = self.0.everybody(&Caller::task(ATTENDANCE))?;
        people.sort_by_cached_key(|user| (user.display_name.to_lowercase(), user.number));
        Ok(people.into_iter().map(worker).collect())
    }

    fn site(&self) -> Result<attendance::Site, Fault> {
        let site = self.0.site()?;
        let zone = zone_of(site.as_ref());
        Ok(attendance::Site { name: site.map(|site| site.name).unwrap_or_default(), zone })
    }

    fn zone(&self, tx: &Tx<'_>) -> Result<TimeZone, Fault> {
        Ok(zone_of(tx.get(&SITE, &())?.as_ref()))
    }

    fn active(&self, tx: &Tx<'_>, user: Id) -> Result<Option<bool>, Fault> {
        Ok(tx.get(&USERS, &user)?.map(|user| user.is_active()))
    }
}

impl KioskKeys for Directory {
    fn make(&self, caller: &Caller) -> Result<LayKey, Fault> {
        let mint = self.0.mint_kiosk_key(caller)?;
        Ok(Box::new(move |tx, caller, kiosk, name| {
            api_keys::delete_keys_of(tx, caller, kiosk, true)?;
            let issued = api_keys::lay_kiosk_key(tx, caller, kiosk, name, None, mint)?;
            Ok(issued.text.to_string())
        }))
    }

    fn take_back(&self, tx: &mut Tx<'_>, caller: &Caller, kiosk: Id) -> Result<usize, Fault> {
        api_keys::delete_keys_of(tx, caller, kiosk, true)
    }
}

impl Accounts for Directory {
    fn prepare(&self, account: &NewAccount) -> Result<LayAccount, Fault> {
        let prepared = self.0.prepare(&Registering {
            username: account.email.clone(),
            email: account.email.clone(),
            display_name: account.name.clone(),
            password: account.password.clone(),
            ..Registering::default()
        })?;
        Ok(Box::new(move |tx, caller| prepared.lay(tx, caller).map(|user| (user.id, user.number))))
    }

    fn sign_in(&self, caller: &Caller, user: Id) -> Result<String, Fault> {
        let user = self.0.user_by_id(&Caller::task(ATTENDANCE), user)?.user;
        let shown = Credentials {
            client: caller.agent.clone().unwrap_or_default(),
            ..Credentials::default()
        };
        Ok(self.0.begin(caller, user, &shown, Way::Password)?.token.as_str().to_owned())
    }
}

/// None in the place of a fault that says that there is no such thing.
fn found<T>(answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(fault) if fault.kind == Kind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// How people are called, for whoever shows what they did.
pub(super) fn names(desk: Identity) -> Called {
    Arc::new(move |id| {
        found(desk.user_by_id(&Caller::task("names"), id))
            .map(|listed| listed.map(|listed| listed.user.display_name))
    })
}
