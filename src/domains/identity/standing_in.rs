//! Standing in: what the continuity pack keeps of the directory, so that people and kiosks are known
//! while the main program is away.

use super::records::{API_KEYS, ApiKey, KeyKind, USERS, User, Way};
use super::sessions::hold_when;
use super::{Identity, roles, second_factor};
use crate::base::caller::{Caller, Rights, Who};
use crate::base::fault::Fault;
use crate::store::{Reader, all};

/// A user of the directory, as the pack keeps it.
#[derive(Debug, Clone)]
pub struct Known {
    /// The user, its password's hash included.
    pub user: User,
    /// What it may do now.
    pub rights: Rights,
    /// Whether it shows a second factor.
    pub second_factor: bool,
    /// Whether it may sign in while the main program is away: it has a password, and nothing to do
    /// first.
    pub signs_in: bool,
}

impl Identity {
    /// The active users by display name. They come with what their passwords are recognised by, which
    /// is for the box's own folder alone: only the box itself may ask.
    ///
    /// # Errors
    /// `right_missing` for everybody else, or what the store says.
    pub fn known_people(&self, caller: &Caller) -> Result<Vec<Known>, Fault> {
        only_the_box(caller)?;
        let now = self.clock.now();
        let mut people = self.store.read(|view| {
            let users = view.list(&USERS, &all(), usize::MAX)?;
            let active = users.into_iter().map(|(_, user)| user).filter(User::is_active);
            active
                .map(|user| {
                    let (rights, needs_factor) = roles::rights_of(view, &user, now)?;
                    let second_factor = second_factor::has_one(view, user.id)?;
                    let held = hold_when(view, &user, Way::Password, needs_factor)?.is_some();
                    let signs_in = !user.password.is_empty() && !held;
                    Ok(Known { user, rights, second_factor, signs_in })
                })
                .collect::<Result<Vec<_>, Fault>>()
        })?;
        people.sort_by_cached_key(|known| {
            (known.user.display_name.to_lowercase(), known.user.username.clone())
        });
        Ok(people)
    }

    /// The keys of kiosks that are good now, by name, with the hashes they are recognised by.
    ///
    /// # Errors
    /// As [`Identity::known_people`].
    pub fn known_kiosks(&self, caller: &Caller) -> Result<Vec<ApiKey>, Fault> {
        only_the_box(caller)?;
        let now = self.clock.now();
        let keys = self.store.read(|view| view.list(&API_KEYS, &all(), usize::MAX))?;
        let good =
            |key: &ApiKey| key.kind == KeyKind::Kiosk && key.expires_at.is_none_or(|end| now < end);
        let mut kiosks: Vec<_> = keys.into_iter().map(|(_, key)| key).filter(good).collect();
        kiosks.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Ok(kiosks)
    }
}

fn only_the_box(caller: &Caller) -> Result<(), Fault> {
    if matches!(caller.who, Who::Task(_)) {
        return Ok(());
    }
    Err(Fault::forbidden("right_missing", "What passwords are recognised by leaves no box."))
}
