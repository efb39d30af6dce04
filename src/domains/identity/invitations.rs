//! Invitations: a word, told once, with which somebody makes an account of its own, once.

use std::time::Duration;

use zeroize::Zeroizing;

use super::guards::Reach;
use super::names::{self, wrong};
use super::records::{INVITATIONS, INVITATIONS_BY_WORD, Invitation, ROLES, USERS};
use super::workstation::needs_password;
use super::{Identity, guards, roles, users};
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::{Id, Lineage};
use crate::engines::secrets;
use crate::store::{Deed, Reader, Tx, all};

/// The longest an invitation may be good, days.
const DAYS_MAX: u64 = 30;
/// How long one that was used, or is over, is kept to be looked at.
const KEPT_FOR: Duration = Duration::from_hours(24 * 90);
/// Invitations that are kept at once.
const INVITATIONS_MAX: usize = 2_000;
/// The longest word that is looked up, bytes; the box makes 43.
const WORD_MAX: usize = 64;

/// An invitation to be.
#[derive(Debug, Clone, Default)]
pub struct InvitationDraft {
    /// The role that the account gets.
    pub role: String,
    /// The address that the account gets, empty for one's own choice.
    pub email: String,
    /// How the account is shown, empty for one's own choice.
    pub display_name: String,
    /// How long it is good, days; none for the setting's.
    pub days: Option<u64>,
}

/// A new invitation, with its word, which is told this once.
pub struct Invited {
    /// The invitation.
    pub invitation: Invitation,
    /// Its word.
    pub word: Zeroizing<String>,
}

impl Invitation {
    /// Whether it has not been used and its time is not over.
    pub fn is_open(&self, now: Moment) -> bool {
        self.used_at.is_none() && now < self.expires_at
    }
}

impl Identity {
    /// Invites somebody. A role with rights of [`super::workstation::NEVER_WITHOUT_PASSWORD`] is given
    /// behind a fresh password alone, since whoever holds the word will hold the role.
    ///
    /// # Errors
    /// `right_missing`, `right_not_held`, `step_up_required`, the fields at fault,
    /// `registration_closed` where nobody may make an account, `invitations_too_many`.
    pub fn invite(&self, caller: &Caller, draft: InvitationDraft) -> Result<Invited, Fault> {
        caller.require(Right::ManageRights)?;
        self.not_closed()?;
        let days = draft.days.unwrap_or(self.settings.invitation_days.clamp(1, DAYS_MAX));
        self.check_invitation(&draft, days)?;
        let rights = self.rights_of_role(&draft.role)?;
        if needs_password(rights) {
            caller.fresh(self.clock.now())?;
        }
        let word = Zeroizing::new(secrets::random_word()?);
        let mac = self.word_mac(&word)?;
        let who = caller.clone();
        let guards = self.guards();
        let invitation = self.store.write(move |tx| {
            roles::gives(tx, &who, rights)?;
            guards::ask(&guards, tx, &who, &Reach::Role(draft.role.clone()))?;
            tidy(tx)?;
            if tx.list(&INVITATIONS, &all(), INVITATIONS_MAX)?.len() >= INVITATIONS_MAX {
                return Err(Fault::conflict(
                    "invitations_too_many",
                    format!("There are {INVITATIONS_MAX} invitations already; take some back."),
                ));
            }
            let invitation = Invitation {
                id: tx.new_id(),
                lineage: Lineage::born(tx.revision()),
                word: mac,
                role: draft.role,
                email: draft.email.trim().to_owned(),
                display_name: draft.display_name.trim().to_owned(),
                inviter: if let Who::User { id, .. } = who.who { Some(id) } else { None },
                created_by: who.name().to_owned(),
                created_at: tx.now(),
                expires_at: tx.now().plus(Duration::from_hours(24 * days)),
                used_at: None,
                used_by: None,
            };
            tx.put(&INVITATIONS, &invitation.id, &invitation)?;
            tx.put(&INVITATIONS_BY_WORD, &invitation.word, &invitation.id)?;
            let deed = Deed::new("invitation.add", invitation.id).after(&Shown::of(&invitation));
            tx.journal(&who, deed)?;
            Ok(invitation)
        })?;
        Ok(Invited { invitation, word })
    }

    fn check_invitation(&self, draft: &InvitationDraft, days: u64) -> Result<(), Fault> {
        let mut fields = Vec::new();
        if !self.role_exists(&draft.role)? {
            fields.push(users::no_role(&draft.role));
        }
        names::check_email(&draft.email, &mut fields);
        if !draft.display_name.trim().is_empty() {
            names::check_name("display_name", &draft.display_name, &mut fields);
        }
        if !(1..=DAYS_MAX).contains(&days) {
            let message = format!("An invitation is good for 1 to {DAYS_MAX} days.");
            fields.push(wrong("expires_in_days", "value_error", message));
        }
        if !draft.email.trim().is_empty() && self.by_login(&names::fold(&draft.email))?.is_some() {
            fields.push(wrong("email", "value_error", "Somebody has this address already."));
        }
        if fields.is_empty() { Ok(()) } else { Err(Fault::fields(fields)) }
    }

    /// Every invitation, the latest first, those that are over included for a while.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn list_invitations(&self, caller: &Caller) -> Result<Vec<Invitation>, Fault> {
        caller.require(Right::ManageRights)?;
        let rows = self.store.read(|view| view.list(&INVITATIONS, &all(), usize::MAX))?;
        Ok(rows.into_iter().rev().map(|(_, invitation)| invitation).collect())
    }

    /// Takes an invitation back; an account that was made with it stays.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn take_invitation_back(&self, caller: &Caller, id: Id) -> Result<(), Fault> {
        caller.require(Right::ManageRights)?;
        let who = caller.clone();
        self.store.write_freeing(move |tx| {
            let invitation =
                tx.get(&INVITATIONS, &id)?.ok_or_else(|| Fault::not_found("invitation"))?;
            remove(tx, &who, &invitation)
        })
    }

    /// The invitation of a word, as long as it is good, for whoever holds the word.
    ///
    /// # Errors
    /// `invitation_invalid`.
    pub fn invitation(&self, word: &str) -> Result<Invitation, Fault> {
        let mac = self.word_mac(word)?;
        let now = self.clock.now();
        self.store.read(|view| good(view, &mac, now))
    }

    /// The MAC of a word: the words have 256 bits, so there is nothing to guess; a stolen database
    /// alone lets nobody in.
    pub(super) fn word_mac(&self, word: &str) -> Result<String, Fault> {
        if word.len() > WORD_MAX {
            return Err(invalid());
        }
        secrets::mac(self.desk.invitation_key.as_slice(), word.as_bytes())
    }

    fn rights_of_role(&self, role: &str) -> Result<crate::base::caller::Rights, Fault> {
        let role = self.store.read(|view| view.get(&ROLES, &role.to_owned()))?;
        Ok(role.map(|role| roles::rights_of_role(&role)).unwrap_or_default())
    }
}

/// The invitation of a word's MAC, as long as it is good: not used, not over, and from somebody who
/// could still give its role today.
///
/// # Errors
/// `invitation_invalid`.
pub(super) fn good(reader: &impl Reader, mac: &str, now: Moment) -> Result<Invitation, Fault> {
    let id = reader.get(&INVITATIONS_BY_WORD, &mac.to_owned())?.ok_or_else(invalid)?;
    let invitation = reader.get(&INVITATIONS, &id)?.ok_or_else(invalid)?;
    let role = reader.get(&ROLES, &invitation.role)?.ok_or_else(invalid)?;
    let stands = match invitation.inviter {
        None => true,
        Some(inviter) => {
            match reader.get(&USERS, &inviter)?.filter(super::records::User::is_active) {
                Some(inviter) => {
                    let (rights, _) = roles::rights_of(reader, &inviter, now)?;
                    rights.holds(Right::ManageRights) && rights.covers(roles::rights_of_role(&role))
                }
                None => false,
            }
        }
    };
    if stands && invitation.is_open(now) { Ok(invitation) } else { Err(invalid()) }
}

/// Marks an invitation as used, in the write that makes the account.
pub(super) fn use_up(
    tx: &mut Tx<'_>,
    caller: &Caller,
    mut invitation: Invitation,
    username: &str,
) -> Result<(), Fault> {
    invitation.used_at = Some(tx.now());
    invitation.used_by = Some(username.to_owned());
    invitation.lineage = invitation.lineage.then(tx.revision());
    tx.put(&INVITATIONS, &invitation.id, &invitation)?;
    let used = Used { username };
    tx.journal(caller, Deed::new("invitation.use", invitation.id).after(&used))
}

/// Takes back what a user has invited and nobody has used: somebody who leaves lets nobody in. The
/// answer is how many; with `apply` false they are only counted.
pub(super) fn take_back_of(
    tx: &mut Tx<'_>,
    caller: &Caller,
    inviter: Id,
    apply: bool,
) -> Result<usize, Fault> {
    let now = tx.now();
    let rows = tx.list(&INVITATIONS, &all(), usize::MAX)?;
    let open = rows.into_iter().map(|(_, invitation)| invitation);
    let mut count = 0;
    for invitation in open.filter(|i| i.inviter == Some(inviter) && i.is_open(now)) {
        count += 1;
        if apply {
            remove(tx, caller, &invitation)?;
        }
    }
    Ok(count)
}

fn remove(tx: &mut Tx<'_>, caller: &Caller, invitation: &Invitation) -> Result<(), Fault> {
    tx.remove(&INVITATIONS, &invitation.id)?;
    tx.remove(&INVITATIONS_BY_WORD, &invitation.word)?;
    let deed = Deed::new("invitation.remove", invitation.id).before(&Shown::of(invitation));
    tx.journal(caller, deed)
}

/// Throws away what has been over for long.
fn tidy(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let now = tx.now();
    for (id, invitation) in tx.list(&INVITATIONS, &all(), usize::MAX)? {
        let over = invitation.used_at.unwrap_or(invitation.expires_at);
        if now.since(over) > KEPT_FOR {
            tx.remove(&INVITATIONS, &id)?;
            tx.remove(&INVITATIONS_BY_WORD, &invitation.word)?;
        }
    }
    Ok(())
}

/// What is heard with a word that is not, or no longer, good.
pub(super) fn invalid() -> Fault {
    Fault::forbidden(
        "invitation_invalid",
        "This invitation is not good: it was used, taken back, or its time is over.",
    )
}

/// What journals show of an invitation: never its word, nor the MAC of it.
#[derive(serde::Serialize)]
struct Shown<'i> {
    role: &'i str,
    email: &'i str,
    display_name: &'i str,
    expires_at: Moment,
}

impl<'i> Shown<'i> {
    fn of(invitation: &'i Invitation) -> Self {
        Self {
            role: &invitation.role,
            email: &invitation.email,
            display_name: &invitation.display_name,
            expires_at: invitation.expires_at,
        }
    }
}

/// What the journal says of an invitation that was used.
#[derive(serde::Serialize)]
struct Used<'u> {
    username: &'u str,
}
