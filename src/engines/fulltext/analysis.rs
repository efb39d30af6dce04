//! How text becomes terms, the same way for passages and for questions.

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language as Stems, LowerCaser, RemoveLongFilter, Stemmer, StopWordFilter,
    TextAnalyzer, Token, TokenStream, Tokenizer,
};

/// The languages with a stemmer and stop words of their own, and one for all the others.
pub(super) const LANGUAGES: [&str; 8] = ["fr", "en", "de", "es", "it", "nl", "pt", "other"];
/// Where a text of a language without its own field goes.
pub(super) const OTHER: &str = "other";
/// The name of the analysis without stems and stop words.
pub(super) const EXACT: &str = "exact";
/// Longer words are noise: keys, encoded data, rules of dashes.
const WORD_BYTES_MAX: usize = 40;

/// The field language for a language code.
pub(super) fn language(code: &str) -> &'static str {
    LANGUAGES.into_iter().find(|l| *l == code).unwrap_or(OTHER)
}

fn stems(code: &str) -> Option<Stems> {
    Some(match code {
        "fr" => Stems::French,
        "en" => Stems::English,
        "de" => Stems::German,
        "es" => Stems::Spanish,
        "it" => Stems::Italian,
        "nl" => Stems::Dutch,
        "pt" => Stems::Portuguese,
        _ => return None,
    })
}

/// The analysis of a language.
///
/// Stems are taken from words as they are written, since the stemmers read accents, and folded
/// afterwards. A word typed without its accents then ends up elsewhere now and then ("élevées"
/// and "elevees"); stemming once more after folding brings most of those together.
pub(super) fn stemmed(code: &str) -> TextAnalyzer {
    let plain = TextAnalyzer::builder(Words)
        .filter(RemoveLongFilter::limit(WORD_BYTES_MAX))
        .filter(LowerCaser);
    let Some(stems) = stems(code) else {
        return plain.filter(AsciiFoldingFilter).build();
    };
    let mut analysis = plain.dynamic();
    if let Some(stop) = StopWordFilter::new(stems) {
        analysis = analysis.filter_dynamic(stop);
    }
    analysis = analysis.filter_dynamic(Stemmer::new(stems)).filter_dynamic(AsciiFoldingFilter);
    if matches!(code, "fr" | "es" | "it" | "pt") {
        analysis = analysis.filter_dynamic(Stemmer::new(stems));
    }
    analysis.build()
}

/// Words as they are, without case and accents: for phrases and for fields.
pub(super) fn exact() -> TextAnalyzer {
    TextAnalyzer::builder(Words)
        .filter(RemoveLongFilter::limit(WORD_BYTES_MAX))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

/// The terms of `text`.
pub(super) fn terms(analysis: &TextAnalyzer, text: &str) -> Vec<String> {
    let mut analysis = analysis.clone();
    let mut stream = analysis.token_stream(text);
    let mut terms = Vec::new();
    while let Some(token) = stream.next() {
        terms.push(token.text.clone());
    }
    terms
}

/// Runs of letters and digits. An accent that follows its letter as a character of its own belongs
/// to the word and is left out of the term, so composed and decomposed text read the same.
#[derive(Clone, Default)]
struct Words;

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream { text, at: 0, token: Token::default() }
    }
}

struct WordStream<'a> {
    text: &'a str,
    at: usize,
    token: Token,
}

pub(super) fn is_mark(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(skip) = rest.find(char::is_alphanumeric) else {
            return false;
        };
        let word = rest.get(skip..).unwrap_or_default();
        let length = word.find(|c: char| !c.is_alphanumeric() && !is_mark(c)).unwrap_or(word.len());
        let word = word.get(..length).unwrap_or_default();
        self.token.offset_from = self.at + skip;
        self.token.offset_to = self.token.offset_from + length;
        self.at = self.token.offset_to;
        self.token.position = self.token.position.wrapping_add(1);
        self.token.text.clear();
        self.token.text.extend(word.chars().filter(|c| !is_mark(*c)));
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_term_however_a_word_is_written() {
        let french = stemmed("fr");
        for pair in [
            ["élève", "eleve"],
            ["élève", "e\u{301}le\u{300}ve"],
            ["ÉLÈVES", "eleves"],
            ["élevées", "elevees"],
            ["déclaration", "declarations"],
            ["cœur", "coeur"],
            ["congés", "conges"],
            ["chevaux", "cheval"],
        ] {
            let [a, b] = pair.map(|word| terms(&french, word));
            assert_eq!(a, b, "{pair:?}");
            assert_eq!(a.len(), 1, "{pair:?}");
        }
        assert_eq!(terms(&french, "la mort de l'homme"), ["mort", "homm"]);
        assert_eq!(terms(&exact(), "L'Été 2024 — à Nîmes"), ["l", "ete", "2024", "a", "nimes"]);
    }
}
