//! Secrets are masked before anything is kept: by the names of their members, and by their looks.

use serde_json::Value;

/// What stands in a secret's place (assistant.md §3.6).
pub const MASK: &str = "***";

/// Members whose names hold one of these are secrets.
const SECRET_NAMES: [&str; 11] = [
    "api_key",
    "api-key",
    "apikey",
    "token",
    "authorization",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "csrf",
    "cookie",
];
/// Words behind which a text's `:` or `=` brings a secret.
const SPOKEN_NAMES: [&str; 14] = [
    "api_key",
    "api-key",
    "apikey",
    "api key",
    "token",
    "authorization",
    "password",
    "passwd",
    "passphrase",
    "mot de passe",
    "secret",
    "csrf",
    "cookie",
    "mdp",
];
/// How keys of well-known makers begin, ours first.
const KEY_FRONTS: [&str; 7] = ["ilot_", "sk-", "sk_", "ghp_", "glpat-", "xoxb-", "hf_"];
/// A key with such a front is at least so long.
const FRONTED_MIN: usize = 16;
/// A run of hexadecimal or base64 of so many characters is a secret: 128 bits and more.
const RUN_MIN: usize = 32;
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
    let mut masked = String::with_capacity(named.len());
    let mut rest = named.as_str();
    while let Some(at) = rest.find(is_key_letter) {
        let (before, run) = rest.split_at(at);
        let end = run.find(|letter| !is_key_letter(letter)).unwrap_or(run.len());
        let (run, after) = run.split_at(end);
        masked.push_str(before);
        push_run(run, &mut masked);
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
        if value.start < kept {
            continue;
        }
        masked.push_str(text.get(kept..value.start).unwrap_or_default());
        masked.push_str(MASK);
        kept = value.end;
    }
    masked.push_str(text.get(kept..).unwrap_or_default());
    masked
}

/// Where a text in small letters names secrets, first to last.
fn secrets_named(low: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    for name in SPOKEN_NAMES {
        for (at, _) in low.match_indices(name) {
            let end = at + name.len();
            if let Some(gap) = low.get(end..).and_then(assigned) {
                found.extend(value_at(low, end + gap));
            }
        }
    }
    for front in ["bearer ", "basic "] {
        for (at, _) in low.match_indices(front) {
            let value = value_at(low, at + front.len());
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

/// How far it is to the value that a `:` or `=` gives; none when none is given.
fn assigned(after: &str) -> Option<usize> {
    let blank = |c: char| matches!(c, ' ' | '"' | '\'' | '\u{a0}' | '\u{202f}');
    let rest = after.trim_start_matches(blank);
    let value = rest.strip_prefix([':', '='])?.trim_start_matches(blank);
    // `Authorization: Bearer …` is masked behind both words.
    let value = ["bearer ", "basic "].iter().find_map(|w| value.strip_prefix(w)).unwrap_or(value);
    Some(after.len() - value.len())
}

/// The word that begins there.
fn value_at(low: &str, start: usize) -> Option<std::ops::Range<usize>> {
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
            ("Mot de passe : Soleil-2024! merci".into(), "Mot de passe : *** merci".into()),
            ("db_password=x&user=anna".into(), "db_password=***&user=anna".into()),
            ("{\"api_key\": \"k\", \"a\": 1}".into(), "{\"api_key\": \"***\", \"a\": 1}".into()),
            ("ma clé ilot_9aZ3kk2mmQ1x7".into(), "ma clé ***".into()),
        ] {
            assert_eq!(mask_text(&text), masked, "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for text in [
            "Quel est le temps de repos d'un conducteur ?",
            "Le mot de passe doit avoir douze caractères.",
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
