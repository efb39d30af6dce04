//! What a name, an address and a password must be like, and how names are compared.

use crate::base::fault::Field;

/// The longest name of a person or a site, characters.
const NAME_MAX: usize = 100;
/// A username of so many characters must not stand in its password; a shorter one stands in many words.
const NAME_IN_PASSWORD: usize = 4;
/// The longest password, bytes; Argon2 takes more, a person does not need more.
const PASSWORD_MAX: usize = 1024;

/// A name without the domain before it (`SITE\anna`).
pub(super) fn bare(name: &str) -> &str {
    let name = name.trim();
    name.rsplit(['\\', '/']).next().unwrap_or(name)
}

/// How names are compared: the part after a domain (`SITE\anna`), lower case.
pub fn fold(name: &str) -> String {
    bare(name).to_lowercase()
}

pub(super) fn wrong(name: &str, wrong: &'static str, message: impl Into<String>) -> Field {
    Field { place: vec!["body".into(), name.into()], wrong, message: message.into() }
}

pub(super) fn check_name(field: &str, name: &str, fields: &mut Vec<Field>) {
    let length = name.trim().chars().count();
    if length == 0 {
        fields.push(wrong(field, "missing", format!("'{field}' must not be empty.")));
    } else if length > NAME_MAX {
        fields.push(wrong(
            field,
            "string_too_long",
            format!("'{field}' has more than {NAME_MAX} characters."),
        ));
    } else if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        fields.push(wrong(field, "string_pattern", format!("'{field}' has control characters.")));
    }
}

/// Characters that show nothing or turn the writing round: two names that look alike must be alike.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Names under which the box itself, or nobody, stands in the journal.
const RESERVED: [&str; 5] = ["console", "nobody", "planb", "identity", "?"];

/// Checks what a new user is called.
pub(super) fn check_names(
    username: &str,
    email: &str,
    display_name: &str,
    fields: &mut Vec<Field>,
) {
    check_name("username", username, fields);
    if RESERVED.contains(&fold(username).as_str()) {
        let message = "The box itself goes by this name; choose another.";
        fields.push(wrong("username", "value_error", message));
    }
    // An address may be the name; anything else with an @ could be taken for somebody's address.
    let is_address = username.contains('@') && username != email;
    if username.contains(['\\', '/']) || is_address {
        fields.push(wrong("username", "string_pattern", "'username' must not contain \\, / or @."));
    }
    check_email(email, fields);
    if !display_name.is_empty() {
        check_name("display_name", display_name, fields);
    }
}

pub(super) fn check_language(language: &str, may_be_empty: bool, fields: &mut Vec<Field>) {
    if !(["fr", "en"].contains(&language) || may_be_empty && language.is_empty()) {
        fields.push(wrong("language", "enum", "'language' is 'fr' or 'en'."));
    }
}

pub(super) fn check_email(email: &str, fields: &mut Vec<Field>) {
    let email = email.trim();
    if email.is_empty() {
        return;
    }
    let good = email
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    let plain = !email.contains(['\\', '/', ' ']) && !email.chars().any(char::is_control);
    if !good || !plain || email.chars().count() > NAME_MAX {
        fields.push(wrong("email", "string_pattern", "'email' is not an address."));
    }
}

/// Checks a new password against what a password must be like.
pub(super) fn check_password(
    place: &str,
    password: &str,
    username: &str,
    min: usize,
    fields: &mut Vec<Field>,
) {
    if password.chars().count() < min {
        fields.push(wrong(
            place,
            "string_too_short",
            format!("A password has at least {min} characters; a short sentence is a good one."),
        ));
    } else if password.len() > PASSWORD_MAX {
        fields.push(wrong(
            place,
            "string_too_long",
            format!("A password has at most {PASSWORD_MAX} bytes."),
        ));
    } else if is_plain(password) {
        fields.push(wrong(
            place,
            "password_too_plain",
            "A password is not one character again and again, nor a row of the keyboard.",
        ));
    } else if fold(username).chars().count() >= NAME_IN_PASSWORD
        && password.to_lowercase().contains(&fold(username))
    {
        fields.push(wrong(place, "password_has_name", "A password must not contain the username."));
    }
}

/// Whether a password is one character again and again, or goes along the digits, the alphabet or a
/// keyboard letter by letter, forwards or backwards: what is typed when a rule asks for length.
fn is_plain(password: &str) -> bool {
    const ROWS: [&str; 4] = [
        "0123456789",
        "abcdefghijklmnopqrstuvwxyz",
        "azertyuiopqsdfghjklmwxcvbn",
        "qwertyuiopasdfghjklzxcvbnm",
    ];
    let letters: Vec<char> = password.to_lowercase().chars().collect();
    let goes = |next: &dyn Fn(char) -> Option<char>| {
        letters.windows(2).all(|pair| matches!(pair, [a, b] if next(*a) == Some(*b)))
    };
    let along = |row: &str, a: char, step: usize| {
        let at = row.chars().position(|c| c == a)?;
        row.chars().nth((at + step) % row.len())
    };
    goes(&|a| Some(a))
        || ROWS
            .iter()
            .any(|row| goes(&|a| along(row, a, 1)) || goes(&|a| along(row, a, row.len() - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_keyboard_is_no_password() {
        for plain in [
            "aaaaaaaaaaaa",
            "123456789012",
            "098765432109",
            "abcdefghijklm",
            "ZYXWVUTSRQPO",
            "azertyuiopqsdfg",
            "QwertyUIOPasdf",
            "éééééééééééé",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for good in ["un mot de passe assez long", "aaaaaaaaaaab", "1234567890123456b", "a1a1a1"] {
            assert!(!is_plain(good), "{good}");
        }
    }
}
