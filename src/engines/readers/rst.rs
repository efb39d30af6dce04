//! reStructuredText: headings by underline; the rest is read as it stands.

use super::extract::{Composer, Extract, Limits};
use super::text;
use crate::base::fault::Fault;

/// Reads reStructuredText. Levels follow the order in which the underlines first appear.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    let source = text::decode(bytes, None)?;
    let mut composer = Composer::new(limits);
    let mut styles: Vec<(char, bool)> = Vec::new();
    for paragraph in text::paragraphs(&source) {
        let lines: Vec<&str> = paragraph.lines().filter(|l| !l.trim().is_empty()).collect();
        block(&lines, &mut styles, &mut composer)?;
    }
    Ok(composer.finish())
}

/// Writes one block: headings with or without overline, perhaps with text right under them.
fn block(
    mut lines: &[&str],
    styles: &mut Vec<(char, bool)>,
    composer: &mut Composer,
) -> Result<(), Fault> {
    while let Some((title, style, rest)) = heading(lines) {
        let level = styles.iter().position(|s| *s == style).unwrap_or_else(|| {
            styles.push(style);
            styles.len() - 1
        });
        if composer.is_empty() {
            composer.title(title);
        }
        composer.heading(u8::try_from(level + 1).unwrap_or(u8::MAX), title)?;
        lines = rest;
    }
    match lines {
        // A transition or a link target says nothing to a reader.
        [only] if adornment(only).is_some() => Ok(()),
        [first, ..] if first.starts_with(".. _") => Ok(()),
        _ => composer.paragraph(&lines.join("\n")),
    }
}

/// The heading that a block opens with, its style, and the lines after it.
fn heading<'l, 't>(lines: &'l [&'t str]) -> Option<(&'t str, (char, bool), &'l [&'t str])> {
    match lines {
        [over, title, under, rest @ ..]
            if adornment(over).is_some()
                && adornment(over) == adornment(under)
                && adornment(title).is_none() =>
        {
            Some((title, (adornment(over)?, true), rest))
        }
        [title, under, rest @ ..] if underlines(title, under) => {
            Some((title, (adornment(under)?, false), rest))
        }
        _ => None,
    }
}

/// The one punctuation mark a line is made of, when it is made of one.
fn adornment(line: &str) -> Option<char> {
    let line = line.trim_end();
    let first = line.chars().next().filter(char::is_ascii_punctuation)?;
    (line.len() >= 2 && line.chars().all(|c| c == first)).then_some(first)
}

fn underlines(title: &str, under: &str) -> bool {
    let long_enough = under.trim_end().len() >= title.trim().chars().count().min(4);
    adornment(title).is_none()
        && adornment(under).is_some()
        && long_enough
        && !title.starts_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underlines_make_levels() {
        let source =
            "======\nTitre\n======\n\nIntro\n-----\nCorps du texte.\n\nDétail\n~~~~~~\n\nFin.";
        let extract = read(source.as_bytes(), &Limits::default()).unwrap();
        let levels: Vec<(u8, &str)> =
            extract.headings.iter().map(|h| (h.level, h.text.as_str())).collect();
        assert_eq!(levels, [(1, "Titre"), (2, "Intro"), (3, "Détail")]);
        assert_eq!(extract.title.as_deref(), Some("Titre"));
        assert_eq!(extract.text, "Titre\n\nIntro\n\nCorps du texte.\n\nDétail\n\nFin.");
    }
}
