//! Scopes: what a key may do at most, by the names of rights or by the words other clients use.

use super::records::ApiKey;
use crate::base::caller::{Right, Rights};

/// Words that stand for rights, as the assistant's clients call their scopes (assistant.md §3.9).
pub(super) const WORDS: &[(&str, &[Right])] = &[
    ("backup", &[Right::ManageBackups]),
    ("chat", &[Right::UseAssistant]),
    ("history", &[Right::UseAssistant]),
    ("jobs", &[Right::ViewJobs]),
    ("llm", &[Right::UseAssistant]),
    ("memory", &[Right::UseAssistant]),
    ("plugins", &[Right::UsePlugins]),
    ("rag", &[Right::ReadDocuments]),
];

/// The rights that a scope stands for: a right's own name, or one of the words; none for neither.
pub(super) fn rights_of_scope(scope: &str) -> Option<Rights> {
    if let Some(right) = Right::named(scope) {
        return Some(Rights::NONE.with(right));
    }
    let word = WORDS.iter().find(|(word, _)| *word == scope);
    word.map(|(_, rights)| rights.iter().copied().collect())
}

/// What a key may do at most; scopes of another version give nothing.
pub fn rights_of_key(key: &ApiKey) -> Rights {
    let each = key.scopes.iter().filter_map(|scope| rights_of_scope(scope));
    each.fold(Rights::NONE, Rights::either)
}

/// A scope and the rights it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Its word.
    pub name: &'static str,
    /// Its rights.
    pub rights: Rights,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_right_or_a_word_that_is_no_right() {
        for right in Right::ALL {
            assert_eq!(rights_of_scope(right.name()), Some(Rights::NONE.with(*right)));
        }
        for (word, rights) in WORDS {
            assert!(Right::named(word).is_none() && !rights.is_empty(), "{word}");
            assert!(rights.iter().all(|right| rights_of_scope(word).unwrap().holds(*right)));
        }
        for nonsense in ["", "HISTORY", "everything", "*", "view_planning "] {
            assert_eq!(rights_of_scope(nonsense), None, "{nonsense}");
        }
    }
}
