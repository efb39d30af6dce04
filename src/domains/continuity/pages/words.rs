//! The pages' words in both languages, the words of their faults among them.

use jiff::civil::Weekday;

use crate::base::fault::Fault;
use crate::domains::continuity::pack::part::Words;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    /// French, which the box speaks when nobody says otherwise.
    Fr,
    /// English.
    En,
}

impl Lang {
    /// The language of that code.
    pub fn named(code: &str) -> Option<Self> {
        match code {
            "fr" => Some(Self::Fr),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// The better of the two for an `Accept-Language` header (RFC 9110 §12.5.4).
    pub fn accepted(header: &str) -> Option<Self> {
        let mut best: Option<(f32, Self)> = None;
        for wish in header.split(',') {
            let mut parts = wish.split(';');
            let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let Some(lang) = Self::named(tag.split('-').next().unwrap_or_default()) else {
                continue;
            };
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse().ok());
            let weight: f32 = weight.unwrap_or(1.0);
            if weight > 0.0 && best.is_none_or(|(known, _)| weight > known) {
                best = Some((weight, lang));
            }
        }
        best.map(|(_, lang)| lang)
    }

    /// Its code.
    pub const fn code(self) -> &'static str {
        self.pick("fr", "en")
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Fr => Self::En,
            Self::En => Self::Fr,
        }
    }

    /// One of two.
    pub const fn pick<'a>(self, fr: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Fr => fr,
            Self::En => en,
        }
    }

    /// Words of the pack; those of the other language when there are none in this one.
    pub fn of(self, words: &Words) -> &str {
        let (own, other) = match self {
            Self::Fr => (&words.fr, &words.en),
            Self::En => (&words.en, &words.fr),
        };
        if own.is_empty() { other } else { own }
    }

    /// The short name of a day.
    pub(super) const fn weekday(self, day: Weekday) -> &'static str {
        let (fr, en) = match day {
            Weekday::Monday => ("lun.", "Mon"),
            Weekday::Tuesday => ("mar.", "Tue"),
            Weekday::Wednesday => ("mer.", "Wed"),
            Weekday::Thursday => ("jeu.", "Thu"),
            Weekday::Friday => ("ven.", "Fri"),
            Weekday::Saturday => ("sam.", "Sat"),
            Weekday::Sunday => ("dim.", "Sun"),
        };
        self.pick(fr, en)
    }
}

/// A fault in the language of a page, by its code; its own sentence when the code is not known here.
pub fn of_fault(fault: &Fault, lang: Lang) -> String {
    let wait = fault.retry_after.map_or(1, |pause| pause.as_millis().div_ceil(1000));
    let (fr, en) = match fault.code {
        "bad_credentials" => (
            "Ce nom et ce mot de passe ne vont pas ensemble.",
            "This name and password do not match.",
        ),
        "too_many_attempts" => {
            return match lang {
                Lang::Fr => format!("Trop d’essais manqués. Réessayez dans {wait} s."),
                Lang::En => format!("Too many failed attempts. Try again in {wait} s."),
            };
        }
        "sign_in_busy" => (
            "Trop de personnes se connectent à cet instant. Réessayez.",
            "Too many people are signing in right now. Try again.",
        ),
        "second_factor_at_the_box" => (
            "Ce compte a un second facteur\u{a0}: avec le Plan B, il se connecte sur la machine elle-même.",
            "This account has a second factor: under Plan B it signs in at the box itself.",
        ),
        "sign_in_off" => (
            "La connexion par mot de passe est coupée\u{a0}: la clé racine (keys/root.key) n’est pas lisible.",
            "Password sign-in is off: the root key (keys/root.key) cannot be read.",
        ),
        "pack_missing" => (
            "La connexion par mot de passe est coupée\u{a0}: aucun dossier n’est sur cette machine.",
            "Password sign-in is off: there is no plan on this machine.",
        ),
        "pack_unverified" => (
            "La connexion par mot de passe est coupée\u{a0}: la signature du dossier n’est pas celle de cette machine.",
            "Password sign-in is off: this machine did not sign the plan.",
        ),
        "pack_without_people" => (
            "La connexion par mot de passe est coupée\u{a0}: le dossier ne contient aucun compte.",
            "Password sign-in is off: the plan holds no account.",
        ),
        "unauthenticated" => ("Connectez-vous d’abord.", "Sign in first."),
        "right_missing" => ("Vous n’avez pas le droit de faire cela.", "You may not do this."),
        "text_missing" => ("Écrivez ce qui change.", "Write what changes."),
        "text_too_long" => (
            "Au plus 2 000 caractères\u{a0}: raccourcissez.",
            "2,000 characters at most: shorten it.",
        ),
        "person_unknown" => ("Choisissez une personne.", "Choose a person."),
        "punch_repeated" => ("Pointer encore\u{a0}?", "Punch again?"),
        "direction_unknown" => ("Choisissez entrée, sortie ou pause.", "Choose in, out or break."),
        "idempotency_key_reused" => (
            "Cette page a déjà servi pour une autre note. Rechargez-la.",
            "This page was already used for another note. Reload it.",
        ),
        "entry_too_large" => {
            ("C’est trop long\u{a0}: raccourcissez.", "This is too long: shorten it.")
        }
        "outbox_full" => (
            "Le disque est plein\u{a0}: il n’est pas sûr que ce soit noté. Faites de la place et renvoyez-le, ou \
             écrivez sur papier.",
            "The disk is full, and it is not sure that this was kept. Make room and send it again, or write it \
             on paper.",
        ),
        "outbox_unwritable" => (
            "Le disque refuse d’écrire\u{a0}: il n’est pas sûr que ce soit noté. Renvoyez-le, et écrivez-le aussi \
             sur papier.",
            "The disk refuses to write, and it is not sure that this was kept. Send it again, and write it on \
             paper as well.",
        ),
        "outbox_held" => (
            "Un autre Plan B écrit encore. Réessayez dans un instant.",
            "Another Plan B is still writing. Try again in a moment.",
        ),
        "entries_too_fast" => (
            "Trop de notes coup sur coup. Attendez quelques secondes.",
            "Too many notes in a row. Wait a few seconds.",
        ),
        "outbox_busy" => {
            ("Trop de notes à la fois. Réessayez.", "Too many notes at once. Try again.")
        }
        "paper_damaged" => (
            "Ce document est abîmé et n’est pas montré.",
            "This document is damaged and is not shown.",
        ),
        "not_found" => ("Il n’y a rien à cette adresse.", "There is nothing at this address."),
        _ => return format!("{} ({})", crate::web::fault::sentence(fault), fault.code),
    };
    lang.pick(fr, en).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_one_that_is_wished_for_most() {
        for (header, lang) in [
            ("fr", Some(Lang::Fr)),
            ("en-GB,en;q=0.9,fr;q=0.8", Some(Lang::En)),
            ("de, fr;q=0.5, en;q=0.7", Some(Lang::En)),
            ("de", None),
            ("en;q=0, fr;q=0.1", Some(Lang::Fr)),
            ("", None),
            (";;,q=", None),
        ] {
            assert_eq!(Lang::accepted(header), lang, "{header}");
        }
    }
}
