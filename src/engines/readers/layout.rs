//! From glyphs with places to text: words by gaps, lines by baselines, headings by size.

use std::collections::{BTreeMap, BTreeSet};

use super::extract::{Composer, Extract};
use super::text;
use crate::base::fault::Fault;

/// A gap wider than this share of the size parts two words.
const WORD_GAP: f64 = 0.15;
/// A glyph whose font tells no width is taken for this share of its size: rather two words in one
/// than one word in two, since such files write their blanks as glyphs.
const UNTOLD_WIDTH: f64 = 0.85;
/// A baseline moved by more than this share of the size is another line; less is a superscript.
const LINE_MOVE: f64 = 0.5;
/// A line this many times further down than its neighbours opens a paragraph.
const PARAGRAPH_GAP: f64 = 1.25;
/// Lines further apart than this many sizes never belong together.
const GAP_MAX: f64 = 2.5;
/// Text larger than the body by this factor is a heading.
const HEADING_SIZE: f64 = 1.12;
/// A longer paragraph in large type is not a heading.
const HEADING_CHARS: usize = 160;
/// At most so many sizes count as heading levels.
const HEADING_LEVELS: usize = 4;
/// A first or last line on at least so many pages runs through the document.
const RUNNING_PAGES: usize = 3;
/// Two sizes nearer than this share are the same size.
const SAME_SIZE: f64 = 0.05;

/// One glyph (or ligature) where it stands, in points; `y` grows upwards.
#[derive(Debug, Clone)]
pub struct Glyph {
    /// Left end of the baseline.
    pub x: f64,
    /// Baseline.
    pub y: f64,
    /// Height of the type.
    pub size: f64,
    /// How far it moves the pen.
    pub width: f64,
    /// What it stands for.
    pub text: String,
}

/// What was found on one page.
#[derive(Debug, Default)]
pub struct Page {
    /// Glyphs in drawing order, which is nearly always reading order.
    pub glyphs: Vec<Glyph>,
    /// The page's text from a second reader, where the first one gave up.
    pub second: Option<String>,
}

struct Line {
    y: f64,
    x: f64,
    size: f64,
    text: String,
}

/// Puts all pages together.
pub fn compose(pages: Vec<Page>, mut composer: Composer) -> Result<Extract, Fault> {
    let mut pages: Vec<(Vec<Line>, Option<String>)> =
        pages.into_iter().map(|page| (lines(&page.glyphs), page.second)).collect();
    forget_running_lines(&mut pages);
    let levels = Levels::of(pages.iter().flat_map(|(lines, _)| lines));
    for (lines, second) in &pages {
        composer.page();
        let chars: usize = lines.iter().map(|l| l.text.len()).sum();
        match second {
            Some(second) if second.trim().len() > chars => {
                for paragraph in text::paragraphs(second) {
                    composer.paragraph(paragraph)?;
                }
            }
            _ => paragraphs(lines, &levels, &mut composer)?,
        }
    }
    Ok(composer.finish())
}

/// Heads and feet that run through the pages would stand in the middle of sentences and be found
/// instead of them: each is kept where it first stands, page numbers nowhere.
fn forget_running_lines(pages: &mut [(Vec<Line>, Option<String>)]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (lines, _) in pages.iter() {
        // A page of one line has its text there, not its head.
        let edges = [lines.first(), lines.last()].into_iter().flatten();
        for line in edges.take(lines.len().saturating_sub(1)) {
            *counts.entry(without_numbers(&line.text)).or_default() += 1;
        }
    }
    counts.retain(|_, count| *count >= RUNNING_PAGES);
    let mut seen: BTreeSet<String> = BTreeSet::from([String::new()]);
    for (lines, _) in pages.iter_mut() {
        let mut runs = |line: Option<&Line>| {
            let key = line.map(|line| without_numbers(&line.text));
            key.is_some_and(|key| counts.contains_key(&key) && !seen.insert(key))
        };
        if runs(lines.last()) {
            lines.pop();
        }
        if runs(lines.first()) {
            lines.remove(0);
        }
    }
}

/// A running line without its page number.
fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| c.is_alphabetic()).collect()
}

fn lines(glyphs: &[Glyph]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut current: Vec<&Glyph> = Vec::new();
    for glyph in glyphs {
        if let Some(last) = current.last() {
            let size = last.size.max(glyph.size);
            let moved = (glyph.y - last.y).abs() > size * LINE_MOVE;
            // A superscript returns to its line; a real line break does not.
            let near_start = current.first().is_some_and(|f| (glyph.y - f.y).abs() <= size * 0.2);
            if moved && !near_start {
                lines.extend(line(&std::mem::take(&mut current)));
            }
        }
        current.push(glyph);
    }
    lines.extend(line(&current));
    lines
}

fn line(glyphs: &[&Glyph]) -> Option<Line> {
    let first = glyphs.first()?;
    let mut text = String::new();
    let mut end = first.x;
    let mut sizes = Sizes::default();
    for glyph in glyphs {
        let gap = glyph.x - end;
        let backwards = gap < -glyph.size;
        if (gap > glyph.size * WORD_GAP || backwards) && !text.ends_with(' ') && !text.is_empty() {
            text.push(' ');
        }
        if overprints(&text, glyph, end) {
            continue;
        }
        push_plain(&glyph.text, &mut text);
        let untold = glyph.width <= 0.0 && glyph.text.chars().any(char::is_alphanumeric);
        end = glyph.x + if untold { glyph.size * UNTOLD_WIDTH } else { glyph.width };
        sizes.count(glyph.size, glyph.text.trim().len());
    }
    let size = sizes.most();
    (!text.trim().is_empty()).then_some(Line { y: first.y, x: first.x, size, text })
}

/// Poor man's bold draws the same glyph twice, a hair apart.
fn overprints(text: &str, glyph: &Glyph, end: f64) -> bool {
    let start_again = (glyph.x + glyph.width - end).abs() < glyph.width * 0.1;
    glyph.width > 0.0 && start_again && text.ends_with(glyph.text.as_str())
}

/// Ligatures are a matter of type; a search looks for letters.
fn push_plain(glyph: &str, text: &mut String) {
    for c in glyph.chars() {
        match c {
            '\u{fb00}' => text.push_str("ff"),
            '\u{fb01}' => text.push_str("fi"),
            '\u{fb02}' => text.push_str("fl"),
            '\u{fb03}' => text.push_str("ffi"),
            '\u{fb04}' => text.push_str("ffl"),
            '\u{fb05}' | '\u{fb06}' => text.push_str("st"),
            // Private use: a bullet or an icon of a symbol font.
            '\u{e000}'..='\u{f8ff}' => text.push('•'),
            _ => text.push(c),
        }
    }
}

/// How much text there is in each size, to a quarter of a point.
#[derive(Default)]
struct Sizes(BTreeMap<i64, usize>);

impl Sizes {
    #[expect(clippy::cast_possible_truncation, reason = "a type size is small, `as` saturates")]
    fn count(&mut self, size: f64, chars: usize) {
        *self.0.entry((size * 4.0).round() as i64).or_default() += chars;
    }

    fn most(&self) -> f64 {
        let most = self.0.iter().max_by_key(|(_, chars)| **chars);
        most.map_or(0.0, |(size, _)| *size as f64 / 4.0)
    }
}

/// Which sizes are headings, largest first.
struct Levels(Vec<f64>);

impl Levels {
    fn of<'l>(lines: impl Iterator<Item = &'l Line>) -> Self {
        let mut sizes = Sizes::default();
        for line in lines {
            sizes.count(line.size, line.text.len());
        }
        let body = sizes.most();
        let mut levels: Vec<f64> = Vec::new();
        for size in sizes.0.keys().rev().map(|size| *size as f64 / 4.0) {
            let known = levels.iter().any(|l| same_size(*l, size));
            if size >= body * HEADING_SIZE && !known && levels.len() < HEADING_LEVELS {
                levels.push(size);
            }
        }
        Self(levels)
    }

    fn level(&self, size: f64) -> Option<u8> {
        let at = self.0.iter().position(|level| same_size(*level, size))?;
        u8::try_from(at + 1).ok()
    }
}

fn same_size(a: f64, b: f64) -> bool {
    (a - b).abs() <= a.max(b) * SAME_SIZE
}

fn paragraphs(lines: &[Line], levels: &Levels, composer: &mut Composer) -> Result<(), Fault> {
    let usual = usual_gap(lines);
    let mut text = String::new();
    let mut before: Option<&Line> = None;
    for line in lines {
        if let Some(last) = before.filter(|last| parts(last, line, usual)) {
            write(&text, last.size, levels, composer)?;
            text.clear();
        }
        join(&mut text, line.text.trim());
        before = Some(line);
    }
    before.map_or(Ok(()), |last| write(&text, last.size, levels, composer))
}

fn write(text: &str, size: f64, levels: &Levels, composer: &mut Composer) -> Result<(), Fault> {
    match levels.level(size) {
        Some(level) if text.chars().count() <= HEADING_CHARS && !has_leader(text) => {
            composer.heading(level, text)
        }
        _ => composer.paragraph(text),
    }
}

/// A row of dots leads to a page number: a line of a table of contents opens no section.
fn has_leader(text: &str) -> bool {
    text.contains(". . .") || text.contains("....")
}

/// The distance of lines within paragraphs, in sizes: a small one among those found, since the
/// larger ones are between paragraphs.
fn usual_gap(lines: &[Line]) -> f64 {
    let mut gaps: Vec<f64> = lines
        .windows(2)
        .filter_map(|pair| match pair {
            [a, b] if same_size(a.size, b.size) && a.y > b.y => Some((a.y - b.y) / a.size),
            _ => None,
        })
        .filter(|gap| *gap < GAP_MAX)
        .collect();
    gaps.sort_by(f64::total_cmp);
    gaps.get(gaps.len() / 4).copied().unwrap_or(PARAGRAPH_GAP).max(1.0)
}

/// Whether a new paragraph begins between two lines.
fn parts(last: &Line, line: &Line, usual: f64) -> bool {
    let gap = (last.y - line.y) / last.size.max(line.size).max(1.0);
    let bullet = line.text.trim_start().starts_with(['•', '–', '▪', '◦', '■', '●', '➢']);
    // Moving up is a new column; the same baseline is the next cell of a row.
    !same_size(last.size, line.size)
        || gap < -LINE_MOVE
        || gap > (usual * PARAGRAPH_GAP).min(GAP_MAX)
        || bullet
        || (line.x - last.x > line.size * 0.8 && ends_sentence(&last.text))
}

fn ends_sentence(text: &str) -> bool {
    text.trim_end().ends_with(['.', '!', '?', ':', '…', '»'])
}

/// Continues a paragraph with its next line; a hyphen that only ended the line goes away.
fn join(text: &mut String, line: &str) {
    if text.is_empty() {
        text.push_str(line);
        return;
    }
    let continues = line.chars().next().is_some_and(char::is_lowercase);
    let mut end = text.chars().rev();
    let hyphen = matches!(end.next(), Some('-' | '\u{ad}' | '\u{2010}'));
    if hyphen && continues && end.next().is_some_and(char::is_alphabetic) {
        text.pop();
    } else {
        text.push(' ');
    }
    text.push_str(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::readers::Limits;

    fn write_at(x: f64, y: f64, size: f64, text: &str, glyphs: &mut Vec<Glyph>) {
        for (at, c) in text.chars().enumerate() {
            let x = x + at as f64 * size / 2.0;
            glyphs.push(Glyph { x, y, size, width: size / 2.0, text: c.to_string() });
        }
    }

    #[test]
    fn running_lines_are_kept_once_and_page_numbers_never() {
        let page = |number: usize| {
            let mut glyphs = Vec::new();
            write_at(50.0, 820.0, 10.0, "Manuel du quai", &mut glyphs);
            write_at(50.0, 700.0, 10.0, ["Un mot.", "Deux mots.", "Fin."][number], &mut glyphs);
            write_at(300.0, 20.0, 10.0, &format!("- {} / 3 -", number + 1), &mut glyphs);
            Page { glyphs, second: None }
        };
        let pages = (0..3).map(page).collect();
        let extract = compose(pages, Composer::new(&Limits::default())).unwrap();
        assert_eq!(extract.text, "Manuel du quai\n\nUn mot.\n\nDeux mots.\n\nFin.");
        assert_eq!(extract.page_starts, [0, 25, 37]);
    }

    #[test]
    fn glyphs_become_headings_and_paragraphs() {
        let mut glyphs = Vec::new();
        write_at(50.0, 800.0, 20.0, "Titre", &mut glyphs);
        write_at(50.0, 770.0, 10.0, "Une phrase assez lon-", &mut glyphs);
        write_at(50.0, 758.0, 10.0, "gue", &mut glyphs);
        write_at(75.0, 758.0, 10.0, "ﬁn.", &mut glyphs);
        write_at(50.0, 730.0, 10.0, "Autre paragraphe.", &mut glyphs);
        let page = Page { glyphs, second: None };
        let extract = compose(vec![page], Composer::new(&Limits::default())).unwrap();
        assert_eq!(extract.text, "Titre\n\nUne phrase assez longue fin.\n\nAutre paragraphe.");
        assert_eq!(extract.headings.len(), 1);
        assert_eq!(extract.pages, Some(1));
    }
}
