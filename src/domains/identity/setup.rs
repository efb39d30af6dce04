//! The first run: a one-time word, the site's name, and its first administrator.

use std::sync::PoisonError;

use zeroize::Zeroizing;

use super::records::{SITE, Site, User};
use super::users::{self, Draft};
use super::{Identity, names};
use crate::base::caller::{Caller, Who};
use crate::base::fault::Fault;
use crate::engines::secrets;
use crate::store::{Deed, Reader};

/// The first run's answers.
#[derive(Debug, Clone)]
pub struct SetUp {
    /// The site's name.
    pub site: String,
    /// The language of its pages, `fr` or `en`.
    pub language: String,
    /// Its IANA time zone.
    pub time_zone: String,
    /// The colour of its header, `#rrggbb`.
    pub colour: String,
    /// The first administrator's name.
    pub username: String,
    /// How the administrator is shown.
    pub display_name: String,
    /// The administrator's password.
    pub password: Zeroizing<String>,
}

impl Identity {
    /// Makes the word of the one-time set-up link; none when the box is set up already.
    ///
    /// # Errors
    /// What the store says.
    pub fn setup_word(&self) -> Result<Option<String>, Fault> {
        if self.site()?.is_some() {
            return Ok(None);
        }
        let mut word = self.desk.setup_word.lock().unwrap_or_else(PoisonError::into_inner);
        if word.is_none() {
            *word = Some(secrets::random_word()?);
        }
        Ok(word.clone())
    }

    /// Sets the box up: the site and its first administrator, once. The console needs no word.
    ///
    /// # Errors
    /// `setup_done`, `setup_token`, or the fields at fault.
    pub fn set_up(&self, caller: &Caller, word: &str, answers: SetUp) -> Result<User, Fault> {
        if self.site()?.is_some() {
            return Err(setup_done());
        }
        if caller.who != Who::Console {
            let expected =
                self.desk.setup_word.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if !expected.is_some_and(|expected| secrets::same(&expected, word)) {
                return Err(Fault::forbidden(
                    "setup_token",
                    "This set-up link is not good; `ilot setup-link` shows the right one.",
                ));
            }
        }
        check_site(&answers)?;
        let draft = Draft {
            username: answers.username,
            display_name: answers.display_name,
            role: "admin".to_owned(),
            is_system_admin: true,
            language: answers.language.clone(),
            password: answers.password,
            ..Draft::default()
        };
        self.check_draft(&draft)?;
        let hash = self.hash(&draft.password)?;
        let caller = caller.clone();
        let (name, language, time_zone, colour) =
            (answers.site, answers.language, answers.time_zone, answers.colour);
        let user = self.store.write(move |tx| {
            // Asked again inside the write: of two set-ups at once only one passes.
            if tx.has(&SITE, &())? {
                return Err(setup_done());
            }
            let site = Site { name, language, time_zone, colour, set_up_at: tx.now() };
            tx.put(&SITE, &(), &site)?;
            tx.journal(&caller, Deed::new("site.set_up", &site.name).after(&site))?;
            users::create(tx, &caller, draft, hash)
        })?;
        *self.desk.setup_word.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(user)
    }
}

fn setup_done() -> Fault {
    Fault::conflict("setup_done", "This box is set up already; sign in instead.")
}

/// Checks what the first run says of the site.
///
/// # Errors
/// The fields at fault.
fn check_site(answers: &SetUp) -> Result<(), Fault> {
    let mut fields = Vec::new();
    names::check_name("site", &answers.site, &mut fields);
    names::check_language(&answers.language, false, &mut fields);
    if jiff::tz::TimeZone::get(&answers.time_zone).is_err() {
        fields.push(names::wrong(
            "time_zone",
            "enum",
            format!("There is no time zone '{}'.", answers.time_zone),
        ));
    }
    let hex = answers.colour.strip_prefix('#');
    if !hex.is_some_and(|h| h.len() == 6 && h.chars().all(|c| c.is_ascii_hexdigit())) {
        fields.push(names::wrong("colour", "string_pattern", "'colour' is written #rrggbb."));
    }
    if fields.is_empty() { Ok(()) } else { Err(Fault::fields(fields)) }
}
