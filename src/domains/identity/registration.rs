//! Registration: accounts that people make for themselves, by invitation or where the box is open.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::gate::Lane;
use super::records::{Invitation, ROLES, User};
use super::users::{self, Draft, Listed};
use super::workstation::needs_password;
use super::{Identity, invitations, roles};
use crate::base::caller::Caller;
use crate::base::fault::{Fault, Kind};
use crate::store::{Deed, Reader, Tx};

/// Whom registrations are counted under: beside names, as no name has a line break in it.
const COUNTED_AS: &str = "\nregistration";

/// Characters of a name that the journal keeps of who was refused.
const NAME_KEPT: usize = 64;

/// Who may make an account for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Nobody: administrators make accounts.
    Closed,
    /// Whoever has an invitation.
    #[default]
    Invited,
    /// Everybody who reaches the box.
    Open,
}

/// Somebody who makes an account.
#[derive(Debug, Clone, Default)]
pub struct Registering {
    /// The name to sign in with; the address when empty.
    pub username: String,
    /// An address, or nothing.
    pub email: String,
    /// How it is shown.
    pub display_name: String,
    /// The password.
    pub password: Zeroizing<String>,
    /// The word of an invitation, or nothing.
    pub invitation: Zeroizing<String>,
    /// The names of fields that were sent and that nobody may say of itself: heard by nobody, written
    /// down.
    pub ignored: Vec<&'static str>,
}

/// An account that was checked and may be laid down by a write of another domain.
pub struct Prepared {
    draft: Draft,
    hash: String,
}

impl Prepared {
    /// Writes the account down.
    ///
    /// # Errors
    /// `user_exists`.
    pub fn lay(self, tx: &mut Tx<'_>, caller: &Caller) -> Result<User, Fault> {
        users::create(tx, caller, self.draft, self.hash)
    }
}

impl Identity {
    /// Checks an account for somebody whom another domain lets in, and hashes its password. Its role is
    /// that of whoever makes an account of its own.
    ///
    /// # Errors
    /// The fields at fault, `registration_role_unusable`, `too_many_attempts`.
    pub fn prepare(&self, asked: &Registering) -> Result<Prepared, Fault> {
        let draft = drafted(asked, None, self.open_role()?);
        self.check_draft(&draft)?;
        let hash = self.hash_in(Lane::Stranger, &draft.password)?;
        Ok(Prepared { draft, hash })
    }

    /// Makes an account for whoever asks. Its role is the invitation's, or the setting's; what was sent
    /// of roles and owners is written down and changes nothing.
    ///
    /// # Errors
    /// `registration_closed`, `invitation_invalid`, the fields at fault, `user_exists`,
    /// `registration_role_unusable`, `too_many_attempts`.
    pub fn register(&self, caller: &Caller, asked: Registering) -> Result<Listed, Fault> {
        let account = match caller.address {
            Some(address) => format!("{COUNTED_AS} {address}"),
            None => COUNTED_AS.to_owned(),
        };
        let knock = self.knock(caller, None, &account)?;
        self.note_ignored(caller, "register.field_ignored", &asked.username, &asked.ignored)?;
        let told = !asked.ignored.is_empty();
        let outcome = self.registered(caller, knock.lane(), asked);
        match &outcome {
            Ok(_) => knock.succeeded(),
            Err(fault) if told || matches!(fault.kind, Kind::Forbidden | Kind::Conflict) => {
                self.refuse(caller, knock, "register.refuse", None)?;
            }
            // Who only mistypes is not counted.
            Err(_) => {}
        }
        outcome
    }

    fn registered(&self, caller: &Caller, lane: Lane, asked: Registering) -> Result<Listed, Fault> {
        let mut asked = asked;
        if asked.username.trim().is_empty() {
            asked.email.trim().clone_into(&mut asked.username);
        }
        let invitation = self.let_in(&asked)?;
        let role = match &invitation {
            Some(invitation) => invitation.role.clone(),
            None => self.open_role()?,
        };
        let draft = drafted(&asked, invitation.as_ref(), role);
        self.check_draft(&draft)?;
        let hash = self.hash_in(lane, &draft.password)?;
        let (who, word) = (caller.clone(), invitation.map(|invitation| invitation.word));
        let user = self.store.write(move |tx| {
            // Asked again inside the write: of two who use it at once only one gets in.
            let invitation = word.map(|word| invitations::good(tx, &word, tx.now())).transpose()?;
            let user = users::create(tx, &who, draft, hash)?;
            if let Some(invitation) = invitation {
                invitations::use_up(tx, &who, invitation, &user.username)?;
            }
            Ok(user)
        })?;
        self.listed(user)
    }

    /// The invitation that lets somebody in; none where the box is open.
    fn let_in(&self, asked: &Registering) -> Result<Option<Invitation>, Fault> {
        self.not_closed()?;
        if !asked.invitation.is_empty() {
            return self.invitation(&asked.invitation).map(Some);
        }
        if self.settings.registration == Registration::Open { Ok(None) } else { Err(closed()) }
    }

    /// Refuses where nobody may make an account: by setting, or before the box is set up.
    ///
    /// # Errors
    /// `registration_closed`.
    pub(super) fn not_closed(&self) -> Result<(), Fault> {
        if self.settings.registration == Registration::Closed || self.site()?.is_none() {
            return Err(closed());
        }
        Ok(())
    }

    /// The role of who comes without an invitation: one that gives nothing which needs somebody's word.
    fn open_role(&self) -> Result<String, Fault> {
        let name = self.settings.registration_role.clone();
        let role = self.store.read(|view| view.get(&ROLES, &name))?;
        match role {
            Some(role) if !needs_password(roles::rights_of_role(&role)) && !role.second_factor => {
                Ok(name)
            }
            _ => Err(Fault::unavailable(
                "registration_role_unusable",
                format!(
                    "The setting identity.registration_role names '{name}', which is no role or \
                     holds rights that are not given to whoever asks."
                ),
            )),
        }
    }

    /// Writes down which fields somebody has sent who may not say such things; they change nothing.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn note_ignored(
        &self,
        caller: &Caller,
        deed: &'static str,
        name: &str,
        fields: &[&'static str],
    ) -> Result<(), Fault> {
        if fields.is_empty() {
            return Ok(());
        }
        let Some(left_out) = self.may_write_of(caller) else { return Ok(()) };
        let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_KEPT).collect();
        let (who, deed) =
            (caller.clone(), Deed::new(deed, name).after(&Ignored { fields, left_out }));
        self.store.write_freeing(move |tx| tx.journal(&who, deed))
    }
}

/// An invitation's address and name are the inviter's word, not the guest's.
fn drafted(asked: &Registering, invitation: Option<&Invitation>, role: String) -> Draft {
    let chosen = |own: &str, given: Option<&String>| match given {
        Some(given) if !given.is_empty() => given.clone(),
        _ => own.trim().to_owned(),
    };
    let email = chosen(&asked.email, invitation.map(|i| &i.email));
    let shown = asked.display_name.trim();
    let given = invitation.map(|i| i.display_name.clone()).unwrap_or_default();
    let username = asked.username.trim();
    Draft {
        username: if username.is_empty() { email.clone() } else { username.to_owned() },
        display_name: if shown.is_empty() { given } else { shown.to_owned() },
        email,
        role,
        password: asked.password.clone(),
        ..Draft::default()
    }
}

/// What the journal says of fields that nobody may say of itself.
#[derive(Serialize)]
struct Ignored<'f> {
    fields: &'f [&'static str],
    /// How many links of strangers were left out before this one.
    #[serde(skip_serializing_if = "is_none")]
    left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

fn closed() -> Fault {
    Fault::forbidden(
        "registration_closed",
        "Accounts are made by an administrator here, or with an invitation.",
    )
}
