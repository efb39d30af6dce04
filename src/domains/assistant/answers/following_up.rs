//! Questions that lean on what was said before, made whole so that they can be looked for.
//!
//! A question leans when it names nothing of its own ("et le dimanche ?"), points back ("combien de
//! temps dure-t-elle ?", "what about them?"), or begins as a continuation ("Et pour les remorques ?").
//! What it lacks is taken from the question before (the words that say what it was about) and from the
//! titles of the documents that its answer cited. A question that stands alone is left alone.

use std::collections::BTreeSet;

/// A question of before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    /// What was looked for then: the question, or what it was made whole to.
    pub question: String,
    /// The titles of the documents that its answer cited, most important first.
    pub titles: Vec<String>,
}

/// Words of their own that a question may have and still be too little to look for, if there is a
/// conversation.
const WORDS_FEW: usize = 1;
/// Words of their own that a question may have and still point back with a pronoun.
const WORDS_SOME: usize = 4;
/// Words taken from the question before.
const CARRIED_MAX: usize = 8;
/// Titles taken from the answer before.
const TITLES_MAX: usize = 1;

/// Words that point back, in French and English.
const POINTING: &[&str] = &[
    "il", "elle", "ils", "elles", "lui", "leur", "leurs", "celui", "celle", "ceux", "celles", "ça",
    "cela", "ceci", "celui-ci", "celle-ci", "même", "mêmes", "y", "it", "its", "they", "them",
    "their", "theirs", "this", "these", "those", "he", "she", "his", "her", "him", "same", "one",
    "ones",
];
/// How a continuation begins.
const CONTINUING: &[&str] = &[
    "et ",
    "et,",
    "mais ",
    "alors ",
    "donc ",
    "sinon ",
    "pareil ",
    "idem ",
    "and ",
    "but ",
    "then ",
    "so ",
    "what about ",
    "how about ",
    "what if ",
    "or ",
    "ou bien ",
    "why ?",
    "why?",
    "pourquoi ?",
    "pourquoi?",
];
/// What looks as if it pointed back and does not.
const IMPERSONAL: &[&str] = &[
    "faut-il",
    "il faut",
    "il y a",
    "y a-t-il",
    "y a t-il",
    "y a t il",
    "a-t-il lieu",
    "s'il vous plaît",
    "s’il vous plaît",
    "s'il te plaît",
    "est-il possible",
    "est-il permis",
    "est-il obligatoire",
    "est-il interdit",
    "est-il autorisé",
    "il est possible",
    "il est obligatoire",
    "il est interdit",
    "il est permis",
    "is it possible",
    "is it allowed",
    "is it mandatory",
    "is it forbidden",
    "is it necessary",
    "how long does it take to",
    "in this case",
    "même si",
];

/// What knows the words that mean something.
pub trait Words {
    /// Whether a word says what a question is about: no article, no pronoun, no question word.
    fn is_content(&self, word: &str) -> bool;
}

/// The question made whole; none when it stands alone or nothing came before it.
pub fn whole(question: &str, before: Option<&Before>, words: &dyn Words) -> Option<String> {
    let before = before?;
    if !leans(question, words) {
        return None;
    }
    let own: BTreeSet<String> = content(question, words).map(str::to_lowercase).collect();
    let mut carried: Vec<&str> = Vec::new();
    let mut seen = own;
    let titles = before.titles.iter().take(TITLES_MAX).flat_map(|title| content(title, words));
    for word in content(&before.question, words).chain(titles) {
        if carried.len() < CARRIED_MAX && seen.insert(word.to_lowercase()) {
            carried.push(word);
        }
    }
    if carried.is_empty() {
        return None;
    }
    let question = question.trim();
    Some(format!("{question} ({})", carried.join(" ")))
}

/// Whether a question leans on what was said before.
pub fn leans(question: &str, words: &dyn Words) -> bool {
    let mut lower = question.trim().to_lowercase();
    if CONTINUING.iter().any(|start| lower.starts_with(start)) {
        return true;
    }
    let own = content(question, words).count();
    if own <= WORDS_FEW {
        return true;
    }
    for phrase in IMPERSONAL {
        lower = lower.replace(phrase, " ");
    }
    let points = pieces(&lower).any(|word| POINTING.contains(&word));
    points && own <= WORDS_SOME
}

/// The words of a text that say what it is about, as they are written.
fn content<'t>(text: &'t str, words: &'t dyn Words) -> impl Iterator<Item = &'t str> {
    pieces(text).filter(|word| word.chars().count() > 1 && words.is_content(word))
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Words that ask and carry nothing, which stop words do not all hold.
pub fn is_question_word(word: &str) -> bool {
    const ASKING: &[&str] = &[
        "quel",
        "quelle",
        "quels",
        "quelles",
        "comment",
        "pourquoi",
        "combien",
        "quand",
        "où",
        "qui",
        "que",
        "quoi",
        "est",
        "sont",
        "faut",
        "peut",
        "doit",
        "doivent",
        "peuvent",
        "puis",
        "dois",
        "fait",
        "faire",
        "temps",
        "fois",
        "dure",
        "exactement",
        "what",
        "how",
        "when",
        "where",
        "who",
        "whom",
        "whose",
        "why",
        "which",
        "does",
        "did",
        "can",
        "could",
        "must",
        "should",
        "many",
        "much",
        "long",
        "often",
        "about",
        "il",
        "elle",
        "ils",
        "elles",
        "on",
        "celui",
        "celle",
        "ceux",
        "celles",
        "cela",
        "ça",
        "lui",
        "leur",
        "et",
        "mais",
        "alors",
        "donc",
        "même",
        "same",
        "one",
        "ones",
        "it",
        "they",
        "them",
        "this",
        "that",
        "these",
        "those",
        "and",
        "but",
        "then",
        "par",
        "pour",
    ];
    ASKING.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short words are none.
    struct Simple;

    impl Words for Simple {
        fn is_content(&self, word: &str) -> bool {
            let small = ["les", "des", "the", "for", "une", "avec", "aux", "dans", "après"];
            word.chars().count() > 2
                && !small.contains(&word.to_lowercase().as_str())
                && !is_question_word(word)
        }
    }

    fn before(question: &str, titles: &[&str]) -> Before {
        let titles = titles.iter().map(|title| (*title).to_owned()).collect();
        Before { question: question.into(), titles }
    }

    #[test]
    fn a_question_that_leans_is_made_whole() {
        let french =
            before("Quelle pause le conducteur prend-il après la conduite ?", &["Temps de repos"]);
        let english = before("What break does the driver take?", &["Driver handbook"]);
        for (question, before, wanted) in [
            ("Et la nuit ?", &french, "Et la nuit ? (pause conducteur prend conduite repos)"),
            (
                "Combien de temps dure-t-elle ?",
                &french,
                "Combien de temps dure-t-elle ? (pause conducteur prend conduite repos)",
            ),
            ("Pourquoi ?", &french, "Pourquoi ? (pause conducteur prend conduite repos)"),
            (
                "Et pour les remorques frigorifiques du quai nord ?",
                &french,
                "Et pour les remorques frigorifiques du quai nord ? (pause conducteur prend conduite repos)",
            ),
            ("And at night?", &english, "And at night? (break driver take handbook)"),
            ("Can it be split?", &english, "Can it be split? (break driver take handbook)"),
            ("What about trailers?", &english, "What about trailers? (break driver take handbook)"),
        ] {
            assert_eq!(whole(question, Some(before), &Simple).as_deref(), Some(wanted));
            assert_eq!(whole(question, None, &Simple), None, "nothing came before it");
        }
    }

    #[test]
    fn a_question_that_stands_alone_is_left_alone() {
        let before = before("Quelle pause après la conduite ?", &["Temps de repos"]);
        for question in [
            "Quel est le délai pour déclarer un accident du travail ?",
            "Faut-il porter les gants au quai ?",
            "Y a-t-il un extincteur dans le camion ?",
            "What is the delivery window of Norwick Foods?",
            "Is it possible to park the trailer overnight?",
            "Comment le conducteur lave-t-il la citerne alimentaire avant chaque chargement ?",
        ] {
            assert_eq!(whole(question, Some(&before), &Simple), None, "{question}");
        }
    }
}
