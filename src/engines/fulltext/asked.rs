//! Reading what a person typed: words, "phrases", `title:` fields and `-exclusions`, without ever
//! refusing anything.

/// Longer questions are cut here.
const QUERY_BYTES_MAX: usize = 1024;

/// Where a clause looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Anywhere in the passage, its title and its headings.
    Anywhere,
    /// The document's title.
    Title,
    /// The headings above the passage.
    Heading,
    /// The document's path.
    Path,
}

/// One thing asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    /// Where it must be.
    pub(super) place: Place,
    /// The words.
    pub(super) text: String,
    /// Whether the words must stand next to one another, as written.
    pub(super) phrase: bool,
    /// Whether passages with it are left out.
    pub(super) excluded: bool,
}

/// Reads a query. Straight and curly double quotes make a phrase; French quotes do not, since
/// people quote titles with them in plain questions.
pub(super) fn read(query: &str) -> Vec<Clause> {
    let end = query.floor_char_boundary(QUERY_BYTES_MAX);
    let mut rest = query.get(..end).unwrap_or_default().trim_start();
    let mut clauses = Vec::new();
    while !rest.is_empty() {
        let (clause, after) = clause(rest);
        clauses.extend(clause);
        rest = after.trim_start();
    }
    clauses
}

fn clause(text: &str) -> (Option<Clause>, &str) {
    let (excluded, text) = match text.strip_prefix('-') {
        // A dash alone, or one of a run of them, is punctuation.
        Some(after) if after.starts_with(|c: char| c.is_alphanumeric() || is_quote(c)) => {
            (true, after)
        }
        _ => (false, text),
    };
    let (place, text) = place(text);
    let (text, phrase, after) = if let Some(inside) = text.strip_prefix(is_quote) {
        match inside.find(is_quote) {
            Some(end) => {
                let (inside, after) = inside.split_at(end);
                (inside, true, after.trim_start_matches(is_quote))
            }
            // A quote that is never closed is a slip, not a phrase.
            None => (inside, false, ""),
        }
    } else {
        let end = text.find(|c: char| c.is_whitespace() || is_quote(c)).unwrap_or(text.len());
        let (word, after) = text.split_at(end);
        (word, false, after)
    };
    let clause = text.contains(char::is_alphanumeric).then(|| Clause {
        place,
        text: text.to_owned(),
        phrase,
        excluded,
    });
    (clause, after)
}

fn place(text: &str) -> (Place, &str) {
    for (name, place) in [
        ("title:", Place::Title),
        ("titre:", Place::Title),
        ("heading:", Place::Heading),
        ("section:", Place::Heading),
        ("path:", Place::Path),
        ("chemin:", Place::Path),
    ] {
        if let Some(start) = text.get(..name.len())
            && start.eq_ignore_ascii_case(name)
            && let Some(after) = text.get(name.len()..)
            && after.starts_with(|c: char| c.is_alphanumeric() || is_quote(c))
        {
            return (place, after);
        }
    }
    (Place::Anywhere, text)
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '“' | '”' | '„' | '‟')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn short(query: &str) -> Vec<String> {
        read(query)
            .into_iter()
            .map(|c| {
                let minus = if c.excluded { "-" } else { "" };
                let text = if c.phrase { format!("<{}>", c.text) } else { c.text };
                match c.place {
                    Place::Anywhere => format!("{minus}{text}"),
                    place => format!("{minus}{place:?}={text}"),
                }
            })
            .collect()
    }

    #[test]
    fn words_phrases_fields_and_exclusions() {
        for (query, want) in [
            ("accident du travail ?", vec!["accident", "du", "travail"]),
            ("\"accident du travail\" délai", vec!["<accident du travail>", "délai"]),
            ("title:contrat -brouillon", vec!["Title=contrat", "-brouillon"]),
            ("Titre:\"plan B\" path:rh", vec!["Title=<plan B>", "Path=rh"]),
            ("-\"à jeter\" garde", vec!["-<à jeter>", "garde"]),
            ("« Les Misérables »", vec!["Les", "Misérables"]),
            ("\"jamais fermé", vec!["jamais fermé"]),
            ("rendez-vous 12:30 title:", vec!["rendez-vous", "12:30", "title:"]),
            ("--- - \"\" :", vec![]),
            ("mot\"collé à\"suite", vec!["mot", "<collé à>", "suite"]),
        ] {
            assert_eq!(short(query), want, "{query}");
        }
    }

    proptest! {
        #[test]
        fn nothing_typed_is_refused(query in ".{0,400}") {
            read(&query);
        }

        #[test]
        fn not_even_out_of_our_own_marks(query in "[-\":a é«“title]{0,1500}") {
            read(&query);
        }
    }
}
