//! Which language a text is in, by whatlang.

use serde::{Deserialize, Serialize};
use whatlang::{Detector, Lang};

/// Characters looked at: more changes no answer and costs time.
const SAMPLE_CHARS: usize = 4000;
/// Long texts are sampled at their start, middle and end: a cover page may be in another language.
const SAMPLES: usize = 3;
/// Below this many letters the guess is a coin toss.
const LETTERS_MIN: usize = 24;
/// Below this many letters the guess must be sure of itself.
const LETTERS_SURE: usize = 80;
/// How sure a guess on few letters must be, of 1.
const CONFIDENCE_MIN: f64 = 0.6;

/// The languages this box treats apart; each has a stemmer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// French.
    French,
    /// English.
    English,
    /// German.
    German,
    /// Spanish.
    Spanish,
    /// Italian.
    Italian,
    /// Dutch.
    Dutch,
    /// Portuguese.
    Portuguese,
    /// Another one, or too little text to tell.
    #[default]
    Other,
}

/// Each language with its ISO 639-1 code; `und` is the standard's word for undetermined.
const CODES: [(Language, &str); 8] = [
    (Language::French, "fr"),
    (Language::English, "en"),
    (Language::German, "de"),
    (Language::Spanish, "es"),
    (Language::Italian, "it"),
    (Language::Dutch, "nl"),
    (Language::Portuguese, "pt"),
    (Language::Other, "und"),
];

impl Language {
    /// The ISO 639-1 code, `und` for [`Language::Other`].
    pub fn code(self) -> &'static str {
        CODES.iter().find(|(language, _)| *language == self).map_or("und", |(_, code)| code)
    }

    /// The language of a code such as `fr`, `FR` or `fr-CA`; nothing for an unknown one.
    pub fn from_code(code: &str) -> Option<Self> {
        let base = code.split(['-', '_']).next().unwrap_or(code).to_ascii_lowercase();
        CODES.iter().find(|(_, known)| *known == base).map(|(language, _)| *language)
    }
}

/// The language of a text; [`Language::Other`] when it is none of ours or too short to tell.
pub fn detect(text: &str) -> Language {
    let sample = sample(text);
    let letters = sample.chars().filter(|c| c.is_alphabetic()).count();
    if letters < LETTERS_MIN {
        return Language::Other;
    }
    let detector = Detector::with_allowlist(ours());
    let Some(guess) = detector.detect(&sample) else { return Language::Other };
    // Among our seven alone an eighth would be called its nearest kin: ask once among all.
    let Some(open) = whatlang::detect(&sample) else { return Language::Other };
    let foreign = language(open.lang()).is_none() && open.is_reliable();
    let unsure = letters < LETTERS_SURE && guess.confidence() < CONFIDENCE_MIN;
    if foreign || unsure {
        return Language::Other;
    }
    language(guess.lang()).unwrap_or_default()
}

fn ours() -> Vec<Lang> {
    vec![Lang::Fra, Lang::Eng, Lang::Deu, Lang::Spa, Lang::Ita, Lang::Nld, Lang::Por]
}

fn language(lang: Lang) -> Option<Language> {
    match lang {
        Lang::Fra => Some(Language::French),
        Lang::Eng => Some(Language::English),
        Lang::Deu => Some(Language::German),
        Lang::Spa => Some(Language::Spanish),
        Lang::Ita => Some(Language::Italian),
        Lang::Nld => Some(Language::Dutch),
        Lang::Por => Some(Language::Portuguese),
        _ => None,
    }
}

/// The text itself when short, else pieces of it.
fn sample(text: &str) -> String {
    if text.len() <= SAMPLE_CHARS {
        return text.to_owned();
    }
    let piece = SAMPLE_CHARS / SAMPLES;
    let stride = text.len() / SAMPLES;
    let mut sample = String::new();
    for at in 0..SAMPLES {
        let start = text.ceil_char_boundary(at * stride);
        let words = text.get(start..).unwrap_or_default();
        sample.extend(words.chars().take(piece));
        sample.push('\n');
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_of_a_depot() {
        let cases = [
            ("Le chauffeur doit remettre les clés au dépôt avant la fin de la journée.", "fr"),
            ("The driver hands in the keys at the depot before the end of the day.", "en"),
            ("Der Fahrer gibt die Schlüssel vor Feierabend im Depot wieder ab.", "de"),
            ("El conductor entrega las llaves en el depósito antes de terminar el día.", "es"),
            ("L'autista consegna le chiavi al deposito prima della fine della giornata.", "it"),
            ("De chauffeur levert de sleutels voor het einde van de dag in bij het depot.", "nl"),
            ("O motorista entrega as chaves no depósito antes do fim do dia de hoje.", "pt"),
            ("Шофёр сдаёт ключи на склад до конца рабочего дня, не позже шести.", "und"),
            ("12 34 56", "und"),
            ("", "und"),
        ];
        for (text, code) in cases {
            assert_eq!(detect(text).code(), code, "{text}");
        }
        let long = "Le camion part à huit heures du matin. ".repeat(1000);
        assert_eq!(detect(&long), Language::French);
    }

    #[test]
    fn codes_go_both_ways() {
        for (language, code) in CODES {
            assert_eq!(Language::from_code(code), Some(language));
        }
        assert_eq!(Language::from_code("FR-ca"), Some(Language::French));
        assert_eq!(Language::from_code("xx"), None);
    }
}
