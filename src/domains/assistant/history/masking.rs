//! Secrets are masked before anything is kept: by the names of their members, and by their looks.

use std::ops::Range;

use serde_json::Value;

/// What stands in a secret's place (assistant.md §3.6).
pub const MASK: &str = "***";

/// Members whose names hold one of these are secrets.
const SECRET_NAMES: [&str; 15] = [
    "api_key",
    "api-key",
    "apikey",
    "token",
    "authorization",
    "password",
    "passwd",
    "passphrase",
    "mot_de_passe",
    "pwd",
    "private_key",
    "access_key",
    "secret",
    "csrf",
    "cookie",
];
/// Words behind which a text's `:` or `=` brings a secret of one word.
const WORD_NAMES: [&str; 11] = [
    "api_key",
    "api-key",
    "apikey",
    "api key",
    "clé api",
    "access_key",
    "access key",
    "token",
    "secret",
    "csrf",
    "jeton",
];
/// Words behind which a secret goes on to the end of its line: people choose it, and with blanks in it.
const LINE_NAMES: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "mot de passe",
    "mots de passe",
    "mdp",
    "pin",
    "clé wifi",
    "clé wi-fi",
    "clÉ wifi",
    "cle wifi",
    "wifi key",
    "cookie",
    "authorization",
];
/// Words between such a name and its `:`, as in `mot de passe du wifi : …`.
const LINKS: [&str; 12] =
    ["du ", "de ", "des ", "d'", "d’", "pour ", "for ", "of ", "est ", "is ", "wifi ", "wi-fi "];
/// So far behind a name's end such a `:` is at most, bytes.
const LINK_MAX: usize = 48;
/// What says a secret without a sign.
const VERBS: [&str; 4] = ["est ", "is ", "était ", "was "];
/// What is said of a password more often than a password is such a word.
const ORDINARY: [&str; 40] = [
    "obligatoire",
    "requis",
    "perdu",
    "oublié",
    "expiré",
    "trop",
    "incorrect",
    "faux",
    "invalide",
    "refusé",
    "demandé",
    "nécessaire",
    "valable",
    "changé",
    "bloqué",
    "connu",
    "il",
    "le",
    "la",
    "un",
    "une",
    "de",
    "dans",
    "à",
    "bien",
    "required",
    "wrong",
    "lost",
    "expired",
    "forgotten",
    "too",
    "not",
    "the",
    "a",
    "an",
    "in",
    "needed",
    "invalid",
    "known",
    "changed",
];
/// How keys of well-known makers begin, ours first.
const KEY_FRONTS: [&str; 12] = [
    "ilot_",
    "sk-",
    "sk_",
    "ghp_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "hf_",
    "AKIA",
    "ASIA",
    "AIza",
];
/// A key with such a front is at least so long.
const FRONTED_MIN: usize = 16;
/// A run of hexadecimal or base64 of so many characters is a secret: 128 bits and more.
const RUN_MIN: usize = 32;
/// A run with `/` in it is rather a path: it is a secret from so many characters on only.
const SLASHED_MIN: usize = 40;
/// What follows `Bearer` is a proof from so many characters on, or with a digit in it.
const BEARER_MIN: usize = 20;

/// A value with its secrets masked, however deep they lie.
pub fn mask(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let masked = members.iter().map(|(name, inside)| {
                let secret = is_secret_name(name) && may_be_secret(name, inside);
                (name.clone(), if secret { Value::from(MASK) } else { mask(inside) })
            });
            Value::Object(masked.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(mask).collect()),
        Value::String(text) => Value::String(mask_text(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// Whether a member of a secret's name can be one: whether there is a password is none, nor is a number
/// of tokens.
fn may_be_secret(name: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(_) => !name.to_lowercase().ends_with("tokens"),
        _ => true,
    }
}

/// A text with what looks like a secret masked.
pub fn mask_text(text: &str) -> String {
    let named = mask_named(text);
    let slashed = |letter| letter == '/' || (is_key_letter(letter) && letter != '.');
    let named = each_run(&named, slashed, |run, masked| {
        let secret = run.len() >= SLASHED_MIN && is_base64(run);
        masked.push_str(if secret { MASK } else { run });
    });
    each_run(&named, is_key_letter, push_run)
}

/// A text whose runs of such letters were put down by `push`.
fn each_run(
    text: &str,
    is_letter: impl Fn(char) -> bool,
    push: impl Fn(&str, &mut String),
) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&is_letter) {
        let (before, run) = rest.split_at(at);
        let end = run.find(|letter| !is_letter(letter)).unwrap_or(run.len());
        let (run, after) = run.split_at(end);
        masked.push_str(before);
        push(run, &mut masked);
        rest = after;
    }
    masked.push_str(rest);
    masked
}

fn is_key_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '+' | '=' | '.')
}

/// A run of letters that keys are made of: as it is, or with its secret parts masked.
fn push_run(run: &str, masked: &mut String) {
    // A signed token is one secret of three parts.
    if run.starts_with("eyJ") && run.split('.').filter(|part| part.len() > 7).count() >= 3 {
        masked.push_str(MASK);
        return;
    }
    for (number, part) in run.split('.').enumerate() {
        if number > 0 {
            masked.push('.');
        }
        masked.push_str(if looks_secret(part) { MASK } else { part });
    }
}

fn looks_secret(part: &str) -> bool {
    let fronted = KEY_FRONTS.iter().any(|front| part.starts_with(front));
    (fronted && part.len() >= FRONTED_MIN && part.bytes().any(|byte| byte.is_ascii_digit()))
        || (part.len() >= RUN_MIN && (is_hex(part) || is_base64(part)))
}

/// Whether a run is hexadecimal; names of record have hyphens and are none.
fn is_hex(run: &str) -> bool {
    run.bytes().all(|byte| byte.is_ascii_hexdigit())
        && run.bytes().any(|byte| byte.is_ascii_digit())
        && run.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Whether a run is random letters and digits: those change between small, large and figures at almost
/// two steps of three, words and names of files rarely.
fn is_base64(run: &str) -> bool {
    let class = |byte: u8| match byte {
        b'a'..=b'z' => Some(0),
        b'A'..=b'Z' => Some(1),
        b'0'..=b'9' => Some(2),
        _ => None,
    };
    let classes: Vec<u8> = run.bytes().filter_map(class).collect();
    let changes = classes.windows(2).filter(|pair| pair.first() != pair.last()).count();
    [0, 1, 2].iter().all(|class| classes.contains(class)) && changes * 3 >= classes.len()
}

/// A text with what is said to be a password, a key or a token masked.
fn mask_named(text: &str) -> String {
    // Only ASCII changes, so every place is the same in both.
    let low = text.to_ascii_lowercase();
    let mut masked = String::with_capacity(text.len());
    let mut kept = 0;
    for value in secrets_named(&low) {
        if value.start >= kept {
            masked.push_str(text.get(kept..value.start).unwrap_or_default());
            masked.push_str(MASK);
        }
        kept = kept.max(value.end);
    }
    masked.push_str(text.get(kept..).unwrap_or_default());
    masked
}

/// Where a text in small letters names secrets, first to last.
fn secrets_named(low: &str) -> Vec<Range<usize>> {
    let mut found = private_keys(low);
    found.extend(logins(low));
    for (names, to_end) in [(&WORD_NAMES[..], false), (&LINE_NAMES[..], true)] {
        for name in names {
            for (at, _) in low.match_indices(name) {
                // A fir is no code: `sapin: …`.
                let inside =
                    low.get(..at).is_some_and(|text| text.ends_with(char::is_alphanumeric));
                if *name != "pin" || !inside {
                    found.extend(value_of(low, at + name.len(), to_end));
                }
            }
        }
    }
    for front in ["bearer ", "basic "] {
        for (at, _) in low.match_indices(front) {
            let value = word_at(low, at + front.len());
            found.extend(value.filter(|value| {
                let word = low.get(value.clone()).unwrap_or_default();
                let figures = word.len() > 7 && word.bytes().any(|byte| byte.is_ascii_digit());
                figures || (word.len() >= BEARER_MIN && word.chars().all(is_key_letter))
            }));
        }
    }
    found.sort_by_key(|value| value.start);
    found
}

/// Private keys in their armour, whole; one that is cut off goes on to the end.
fn private_keys(low: &str) -> Vec<Range<usize>> {
    const DASHES: &str = "-----";
    let mut found = Vec::new();
    for (at, begin) in low.match_indices("-----begin ") {
        let rest = low.get(at + begin.len()..).unwrap_or_default();
        if rest.split(DASHES).next().is_some_and(|head| head.contains("private key")) {
            let ends = rest.find("-----end ").and_then(|end| {
                let tail = rest.get(end + DASHES.len()..)?;
                Some(at + begin.len() + end + DASHES.len() + tail.find(DASHES)? + DASHES.len())
            });
            found.push(at..ends.unwrap_or(low.len()));
        }
    }
    found
}

/// Passwords in addresses, as `postgres://app:…@host`.
fn logins(low: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, sign) in low.match_indices("://") {
        let start = at + sign.len();
        let rest = low.get(start..).unwrap_or_default();
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`');
        let mut run = rest.split(ends).next().unwrap_or_default();
        // Pages have an @ in their paths; elsewhere a password may hold a slash.
        if low.get(..at).is_some_and(|front| front.ends_with("http") || front.ends_with("https")) {
            run = run.split('/').next().unwrap_or_default();
        }
        if let (Some(colon), Some(host)) = (run.find(':'), run.rfind('@'))
            && colon + 1 < host
        {
            found.push(start + colon + 1..start + host);
        }
    }
    found
}

/// What may stand around a name and its sign: blanks, quotes and marks.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '*' | '\\')
}

/// The secret that a name brings which ends there; none when it brings none.
fn value_of(low: &str, end: usize, to_end: bool) -> Option<Range<usize>> {
    let after = low.get(end..)?;
    let rest = after.trim_start_matches(is_blank);
    let Some(value) = rest.strip_prefix([':', '=']) else {
        return if to_end { spoken(low, rest) } else { None };
    };
    // `password=…&user=…` is one of many; what is told apart by blanks is told by a person.
    let told = rest.starts_with(':') || value.starts_with(char::is_whitespace);
    let value = value.trim_start_matches(['=', '>']).trim_start();
    given_at(low, low.len() - value.len(), to_end && told)
}

/// The secret that is said after a name, as `mot de passe du wifi : …` or `password is …`.
fn spoken(low: &str, rest: &str) -> Option<Range<usize>> {
    let line = rest.lines().next()?;
    if LINKS.iter().any(|link| line.starts_with(link))
        && let Some(sign) = line.find([':', '=']).filter(|at| *at <= LINK_MAX)
        && let Some(value) = rest.get(sign + 1..)
        && (value.is_empty() || value.starts_with(char::is_whitespace))
    {
        return given_at(low, low.len() - value.trim_start().len(), true);
    }
    let value = VERBS.iter().find_map(|verb| rest.strip_prefix(verb))?.trim_start();
    let start = low.len() - value.len();
    let word = low.get(word_at(low, start)?)?.trim_end_matches(['.', '!', '?']);
    if ORDINARY.contains(&word) { None } else { given_at(low, start, false) }
}

/// The value that begins there: to the end of its quotes, of its line, or of its word.
fn given_at(low: &str, start: usize, to_end: bool) -> Option<Range<usize>> {
    let rest = low.get(start..)?;
    let value = rest.trim_start_matches('\\');
    let start = start + rest.len() - value.len();
    // `Authorization: Bearer …` is masked behind both words.
    if let Some(proof) = ["bearer ", "basic "].iter().find_map(|front| value.strip_prefix(front)) {
        return word_at(low, low.len() - proof.len());
    }
    let line = value.lines().next().unwrap_or_default();
    let quotes = [('"', '"'), ('\'', '\''), ('`', '`'), ('«', '»'), ('“', '”')];
    for (open, close) in quotes {
        if let Some(inside) = line.strip_prefix(open) {
            let inside = inside.split(close).next().unwrap_or_default();
            let length = inside.trim_end_matches('\\').len();
            let start = start + open.len_utf8();
            return (length > 0).then_some(start..start + length);
        }
    }
    let length = line.trim_end().len();
    if to_end { (length > 0).then_some(start..start + length) } else { word_at(low, start) }
}

/// The word that begins there.
fn word_at(low: &str, start: usize) -> Option<Range<usize>> {
    let rest = low.get(start..)?;
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '&' | '<');
    let length = rest.find(ends).unwrap_or(rest.len());
    (length > 0).then_some(start..start + length)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_with_a_secrets_name_are_masked_however_deep() {
        let given = json!({
            "API_KEY": "a", "openai_api_key": "b", "Authorization": "Basic x", "accessToken": "c",
            "password": "d", "old_password_hash": "e", "client_secret": ["f"], "X-CSRF-Token": "g",
            "Set-Cookie": {"h": 1}, "token": 7, "tokens": ["i"],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "max_tokens": 9},
            "must_change_password": true, "secret": null,
            "list": [{"deep": {"password": "j"}, "question": "Quand ?"}],
        });
        let wanted = json!({
            "API_KEY": "***", "openai_api_key": "***", "Authorization": "***", "accessToken": "***",
            "password": "***", "old_password_hash": "***", "client_secret": "***",
            "X-CSRF-Token": "***", "Set-Cookie": "***", "token": "***", "tokens": "***",
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "max_tokens": 9},
            "must_change_password": true, "secret": null,
            "list": [{"deep": {"password": "***"}, "question": "Quand ?"}],
        });
        assert_eq!(mask(&given), wanted);
    }

    #[test]
    fn what_looks_like_a_secret_is_masked_within_a_text() {
        let hex = "5d41402abc4b2a76b9719d911017c592";
        let base64 = "qL8R4wisn0oXhxO4Jd2vT7Bz1Kc9MpYf";
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJlLTEyMzQ";
        for (text, masked) in [
            (format!("la clé {hex}, oui"), "la clé ***, oui".to_owned()),
            (format!("({base64}==)."), "(***).".to_owned()),
            (format!("voici {jwt}"), "voici ***".to_owned()),
            (
                "curl -H 'Authorization: Bearer abc123def'".into(),
                "curl -H 'Authorization: Bearer ***'".into(),
            ),
            ("Bearer abcdefgh1".into(), "Bearer ***".into()),
            ("Mot de passe : Soleil-2024! merci".into(), "Mot de passe : ***".into()),
            ("db_password=x&user=anna".into(), "db_password=***&user=anna".into()),
            ("{\"api_key\": \"k\", \"a\": 1}".into(), "{\"api_key\": \"***\", \"a\": 1}".into()),
            ("ma clé ilot_9aZ3kk2mmQ1x7".into(), "ma clé ***".into()),
        ] {
            assert_eq!(mask_text(&text), masked, "{text}");
        }
    }

    #[test]
    fn what_people_write_around_a_secret_does_not_uncover_it() {
        for (text, masked) in [
            ("Mot de passe :\nSoleil-2024!\nMerci", "Mot de passe :\n***\nMerci"),
            ("X-Api-Key\n: k9", "X-Api-Key\n: ***"),
            ("password\t:\thunter2z", "password\t:\t***"),
            ("mot de passe : a b c\nvoilà", "mot de passe : ***\nvoilà"),
            ("Le mot de passe est Soleil-2024!", "Le mot de passe est ***"),
            ("the password is hunter2z, ok?", "the password is ***, ok?"),
            ("Mot de passe du wifi : la mer", "Mot de passe du wifi : ***"),
            ("Le mot de passe est le suivant : x y", "Le mot de passe est le suivant : ***"),
            ("**Mot de passe** : « la mer »", "**Mot de passe** : «***»"),
            ("postgres://app:S3cr3tPw@host/db", "postgres://app:***@host/db"),
            ("https://anna:été@site/@paul", "https://anna:***@site/@paul"),
            ("AKIAIOSFODNN7EXAMPLE", "***"),
            ("pwd=x1&user=anna", "pwd=***&user=anna"),
            ("PIN: 0412", "PIN: ***"),
            ("Clé WiFi = la mer", "Clé WiFi = ***"),
            ("CLÉ WIFI : la mer", "CLÉ WIFI : ***"),
            ("Authorization: Digest username=\"a\", response=\"b\"", "Authorization: ***"),
            ("Cookie: a=1; b=2", "Cookie: ***"),
            ("{\\\"password\\\": \\\"a b\\\", 1}", "{\\\"password\\\": \\\"***\\\", 1}"),
            ("{\"password\": \"\", \"a\": 1}", "{\"password\": \"\", \"a\": 1}"),
            (
                "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY----- b",
                "a *** b",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMIIE\nab", "***"),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "***"),
        ] {
            assert_eq!(mask_text(text), masked, "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for text in [
            "Quel est le temps de repos d'un conducteur ?",
            "Le mot de passe doit avoir douze caractères.",
            "Quel est le mot de passe du wifi ? Le mot de passe est oublié.",
            "Un sapin: cent euros, le pin est un arbre.",
            "https://site:8443/@anna, voir -----BEGIN CERTIFICATE----- plus loin",
            "01980000-0000-7000-8000-000000000000",
            "/srv/Documents/Qualite2024/Procedures/ConduiteDesCamions.pdf",
            "Procedure-QHSE-2024-v3-relue-par-Anna-Durand-et-Paul.docx",
            "anticonstitutionnellementanticonstitutionnellement",
            "max_tokens=100, tokens: 12",
            "the bearer of bad news, Bearer authentication",
            "tél. 0123456789 0123456789 0123456789 0123456789",
            "Été à Orléans : l'équipe part plus tôt…",
        ] {
            assert_eq!(mask_text(text), text);
        }
    }
}
