//! Cutting a text into passages that follow its headings, paragraphs and sentences.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::engines::readers::Heading;

/// Headings down to this level always open a passage; deeper ones only where it is long enough.
const HARD_LEVEL: u8 = 2;

/// How long passages are, in characters.
///
/// About 800 characters of French fill the window of the default embedding model; a word search
/// prefers the larger unit, so a paragraph that fits `max` stays whole.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cutting {
    /// Passages grow to this length while whole paragraphs fit. Default 800.
    pub target: usize,
    /// No passage is longer. Default 1200.
    pub max: usize,
    /// Shorter passages take in what follows, as far as headings and `max` allow. Default 200.
    pub min: usize,
    /// A section shorter than this joins its next sibling or its first child. Default 100.
    pub tiny: usize,
}

impl Default for Cutting {
    fn default() -> Self {
        Self { target: 800, max: 1200, min: 200, tiny: 100 }
    }
}

/// One passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Where it starts in the text, in characters (Unicode scalar values).
    pub start: usize,
    /// Where it ends, exclusive.
    pub end: usize,
    /// The text between the two, exactly.
    pub text: String,
    /// The headings it stands under, outermost first.
    pub heading: Vec<String>,
}

/// Cuts `text` into passages that cover every character that is not blank exactly once, in order.
///
/// Settings that contradict each other are brought to order: `min ≤ target ≤ max`, `max ≥ 1`.
pub fn cut(text: &str, headings: &[Heading], settings: &Cutting) -> Vec<Cut> {
    let max = settings.max.max(1);
    let target = settings.target.clamp(1, max);
    let settings = Cutting { target, max, min: settings.min.min(target), tiny: settings.tiny };
    let sections = sections(text, headings);
    let units = units(text, &sections, &settings);
    let mut cuts = Vec::new();
    let mut first = 0;
    while first < units.len() {
        let end = block_end(&units, first, &sections, &settings);
        let block = units.get(first..end).unwrap_or_default();
        for passage in pack(block, &settings) {
            cuts.extend(block.get(passage).and_then(|units| write(text, units, &sections)));
        }
        first = end;
    }
    cuts
}

/// What stands between two headings.
struct Section {
    bytes: Range<usize>,
    /// 0 is the text before the first heading.
    level: u8,
    path: Vec<String>,
    /// The heading's own words, as the first paragraph repeats them.
    title: String,
}

/// A piece that is never cut: a paragraph, a sentence or a part of an endless one.
#[derive(Clone)]
struct Unit {
    bytes: Range<usize>,
    /// In characters.
    start: usize,
    end: usize,
    section: usize,
    is_heading: bool,
}

fn sections(text: &str, headings: &[Heading]) -> Vec<Section> {
    let mut sorted: Vec<&Heading> = headings.iter().collect();
    sorted.sort_by_key(|h| h.at);
    let mut sections =
        vec![Section { bytes: 0..text.len(), level: 0, path: Vec::new(), title: String::new() }];
    let mut stack: Vec<(u8, String)> = Vec::new();
    let mut at = 0;
    let mut byte = 0;
    for heading in sorted {
        let rest = text.get(byte..).unwrap_or_default();
        let mut ahead = rest.char_indices().skip(heading.at - at);
        // A heading past the end of the text is none.
        let Some((offset, _)) = ahead.next() else { break };
        (at, byte) = (heading.at, byte + offset);
        stack.retain(|(level, _)| *level < heading.level);
        stack.push((heading.level, heading.text.clone()));
        if let Some(last) = sections.last_mut() {
            last.bytes.end = byte;
        }
        sections.push(Section {
            bytes: byte..text.len(),
            level: heading.level,
            path: stack.iter().map(|(_, text)| text.clone()).collect(),
            title: heading.text.clone(),
        });
    }
    sections
}

/// Walks forward through a text and knows the character for each byte.
struct Walker<'t> {
    text: &'t str,
    byte: usize,
    char: usize,
}

impl Walker<'_> {
    fn char_at(&mut self, byte: usize) -> usize {
        let walked = self.text.get(self.byte..byte).unwrap_or_default();
        self.char += walked.chars().count();
        self.byte = byte;
        self.char
    }
}

fn units(text: &str, sections: &[Section], settings: &Cutting) -> Vec<Unit> {
    let mut walker = Walker { text, byte: 0, char: 0 };
    let mut units: Vec<Unit> = Vec::new();
    for (at, section) in sections.iter().enumerate() {
        let mut heading_chars = 0;
        for paragraph in paragraphs(text, &section.bytes) {
            let words = text.get(paragraph.clone()).unwrap_or_default();
            let chars = words.chars().count();
            let is_heading = section.level > 0
                && units.last().is_none_or(|u| u.section != at)
                && words == section.title.trim()
                && chars <= settings.max;
            // A heading and its paragraph stay together even where sentences must be parted.
            let room = settings.max.saturating_sub(heading_chars);
            let pieces = if chars <= room {
                vec![paragraph]
            } else {
                pieces(text, &paragraph, room.max(settings.target.min(settings.max)))
            };
            for bytes in pieces {
                let start = walker.char_at(bytes.start);
                let end = walker.char_at(bytes.end);
                units.push(Unit { bytes, start, end, section: at, is_heading });
            }
            heading_chars = if is_heading { chars + 2 } else { 0 };
        }
    }
    units
}

/// Paragraphs: what stands between lines that are blank, without the blanks around.
fn paragraphs<'t>(text: &'t str, within: &Range<usize>) -> impl Iterator<Item = Range<usize>> + 't {
    let mut at = within.start;
    let end = within.end;
    std::iter::from_fn(move || {
        while at < end {
            let rest = text.get(at..end)?;
            let mut length = 0;
            for line in rest.split_inclusive('\n') {
                length += line.len();
                if line.trim().is_empty() {
                    break;
                }
            }
            let found = trimmed(text, at..at + length);
            at += length;
            if found.is_some() {
                return found;
            }
        }
        None
    })
}

/// A range without the blanks at its ends; nothing when it is all blank.
fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let words = text.get(range.clone())?;
    let start = range.start + (words.len() - words.trim_start().len());
    let end = start + words.trim().len();
    (start < end).then_some(start..end)
}

/// The sentences of a long paragraph, the endless ones cut at words.
fn pieces(text: &str, paragraph: &Range<usize>, max: usize) -> Vec<Range<usize>> {
    let words = text.get(paragraph.clone()).unwrap_or_default();
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut bounds = words.split_sentence_bound_indices().peekable();
    while let Some((at, sentence)) = bounds.next() {
        let end = at + sentence.len();
        let next = bounds.peek().map_or("", |(_, next)| next);
        if !next.is_empty() && goes_on(sentence, next) {
            continue;
        }
        let whole = paragraph.start + start..paragraph.start + end;
        start = end;
        if let Some(whole) = trimmed(text, whole) {
            split_words(text, whole, max, &mut pieces);
        }
    }
    pieces
}

/// A line of so many characters that ends without a sign is wrapped: few titles and rows are so long.
const FULL_LINE_CHARS: usize = 60;

/// Whether the standard's sentence end is none: an abbreviation, an initial, a number in front of
/// a list item, a line that was only wrapped.
pub(super) fn goes_on(sentence: &str, next: &str) -> bool {
    let words = sentence.trim_end();
    if sentence.ends_with('\n') && !words.ends_with(['.', '!', '?', ':', ';', '…']) {
        // A full line is wrapped whatever comes next; a short one may be a title or a row.
        let wrapped = words.chars().count() >= FULL_LINE_CHARS
            && !next.starts_with(['-', '*', '•', '|', '#']);
        let first = next.chars().next();
        return wrapped || first.is_some_and(char::is_lowercase);
    }
    let Some(before) = words.strip_suffix('.') else { return false };
    let last = before.rsplit([' ', '\u{a0}', '\u{202f}', '\n', '\t', '(', '«', '\'', '’']).next();
    let last = last.unwrap_or(before);
    let initial = last.chars().count() == 1 && last.chars().all(char::is_uppercase);
    // `1.` at the start of a sentence numbers it; `en 1998.` ends one.
    let number = last.len() == before.len() && last.chars().all(|c| c.is_ascii_digit());
    initial || (number && !last.is_empty()) || is_abbreviation(last)
}

/// Words that end with a point in the middle of French and English sentences.
fn is_abbreviation(word: &str) -> bool {
    const ABBREVIATIONS: [&str; 52] = [
        "al", "ann", "art", "av", "bd", "boul", "bull", "c.-à-d", "cf", "chap", "coll", "dép",
        "dir", "dr", "e.g", "éd", "env", "ex", "fig", "hab", "i.e", "ibid", "inc", "jr", "ltd",
        "max", "me", "min", "mlle", "mm", "mme", "mr", "mrs", "ms", "mt", "n", "no", "nos", "obs",
        "p", "par", "pp", "prof", "réf", "sect", "ste", "sté", "st", "tél", "univ", "vol", "vs",
    ];
    ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// The sentences of a text, as ranges of bytes without the blanks around: paragraphs and headings end
/// one too.
pub(super) fn sentences(text: &str) -> Vec<Range<usize>> {
    let whole = 0..text.len();
    let paragraphs = paragraphs(text, &whole);
    paragraphs.flat_map(|paragraph| pieces(text, &paragraph, usize::MAX)).collect()
}

/// Parts of at most `max` characters, between words where there are any.
fn split_words(text: &str, range: Range<usize>, max: usize, out: &mut Vec<Range<usize>>) {
    let mut start = range.start;
    while start < range.end {
        let rest = text.get(start..range.end).unwrap_or_default();
        let Some((over, _)) = rest.char_indices().nth(max) else {
            out.extend(trimmed(text, start..range.end));
            return;
        };
        let window = rest.get(..over).unwrap_or_default();
        // A blank right after the window also ends a word.
        let blank =
            rest.get(over..).and_then(|r| r.chars().next()).is_some_and(char::is_whitespace);
        let end = if blank {
            over
        } else {
            let between = window.char_indices().rev().find(|(_, c)| c.is_whitespace());
            between.map(|(at, c)| at + c.len_utf8()).filter(|at| *at > 0).unwrap_or(over)
        };
        out.extend(trimmed(text, start..start + end));
        start += end;
        let gap = text.get(start..range.end).map_or(0, |r| r.len() - r.trim_start().len());
        start += gap;
    }
}

/// Where the run of units ends that no hard heading parts.
fn block_end(units: &[Unit], first: usize, sections: &[Section], settings: &Cutting) -> usize {
    let mut headings_only = true;
    for (at, pair) in units.windows(2).enumerate().skip(first) {
        let [unit, next] = pair else { break };
        headings_only &= unit.is_heading;
        if unit.section == next.section {
            continue;
        }
        let start = units.get(first).map_or(0, |u| u.start);
        let is_tiny = headings_only || unit.end - start < settings.tiny;
        // Sections that are blank have no units, but their headings part their neighbours too.
        let between = sections.get(unit.section + 1..=next.section).unwrap_or_default();
        let outermost = between.iter().min_by_key(|s| s.level);
        let (Some(from), Some(to)) = (sections.get(unit.section), outermost) else {
            continue;
        };
        if to.level <= HARD_LEVEL && !(is_tiny && are_near(from, to)) {
            return at + 1;
        }
    }
    units.len()
}

/// A section and its first child, or two of the same parent.
fn are_near(from: &Section, to: &Section) -> bool {
    let parent = |s: &Section| s.path.split_last().map(|(_, parent)| parent.to_vec());
    to.level > from.level || (to.level == from.level && parent(from) == parent(to))
}

/// Puts units together into passages: ranges of `units`.
fn pack(units: &[Unit], settings: &Cutting) -> Vec<Range<usize>> {
    let mut passages: Vec<Range<usize>> = Vec::new();
    let mut first = 0;
    let span = |from: usize, to: usize| match (units.get(from), units.get(to)) {
        (Some(from), Some(to)) => to.end - from.start,
        _ => 0,
    };
    let is_heading = |at: usize| units.get(at).is_some_and(|u| u.is_heading);
    for at in 1..units.len() {
        let long = span(first, at - 1);
        let longer = span(first, at);
        let only_headings = (first..at).all(is_heading);
        let starved = long < settings.min || only_headings;
        let opens = is_heading(at) && !starved;
        if !opens && (longer <= settings.target || (starved && longer <= settings.max)) {
            continue;
        }
        // Headings at the end belong to what comes after them.
        let mut end = at;
        while end - 1 > first && is_heading(end - 1) && span(end - 1, at) <= settings.max {
            end -= 1;
        }
        passages.push(first..end);
        first = end;
    }
    if units.is_empty() {
        return passages;
    }
    let last = first..units.len();
    if let Some(before) = passages.last_mut() {
        let short = span(first, units.len() - 1) < settings.min;
        if short && span(before.start, units.len() - 1) <= settings.max {
            before.end = units.len();
            return passages;
        }
    }
    passages.push(last);
    passages
}

fn write(text: &str, units: &[Unit], sections: &[Section]) -> Option<Cut> {
    let (first, last) = (units.first()?, units.last()?);
    let words = text.get(first.bytes.start..last.bytes.end)?;
    Some(Cut {
        start: first.start,
        end: last.end,
        text: words.to_owned(),
        heading: path(units, sections),
    })
}

/// What the headings of all its sections have in common, else the headings of the first.
fn path(units: &[Unit], sections: &[Section]) -> Vec<String> {
    let with_body = units.iter().any(|u| !u.is_heading);
    let mut paths = units
        .iter()
        .filter(|u| !with_body || !u.is_heading)
        .filter_map(|u| sections.get(u.section).map(|s| s.path.as_slice()));
    let Some(first) = paths.next() else { return Vec::new() };
    let common = paths.fold(first.len(), |length, path| {
        first.iter().zip(path).take(length).take_while(|(a, b)| a == b).count()
    });
    let kept = if common == 0 { first } else { first.get(..common).unwrap_or(first) };
    kept.to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heading(text: &str, whole: &str, level: u8) -> Heading {
        let byte = whole.find(text).unwrap();
        Heading { at: whole[..byte].chars().count(), level, text: text.to_owned() }
    }

    fn texts(cuts: &[Cut]) -> Vec<&str> {
        cuts.iter().map(|c| c.text.as_str()).collect()
    }

    #[test]
    fn a_paragraph_below_the_most_stays_whole() {
        let long = "Une phrase de trente signes. ".repeat(40);
        let whole = format!("Début court mais pas si court que cela.\n\n{}\n\nFin.", long.trim());
        let cuts = cut(&whole, &[], &Cutting::default());
        assert!(texts(&cuts).iter().any(|t| t.contains(long.trim())), "{cuts:#?}");
    }

    #[test]
    fn sentences_end_where_a_reader_says_so() {
        let settings = Cutting { target: 60, max: 60, min: 0, tiny: 0 };
        let text = "Voir l'art. L. 3121 du Code, M. Durand le dit au n° 3.5 ici. \
                    Le camion part à 8 h. On revient le soir même.";
        let cuts = cut(text, &[], &settings);
        assert_eq!(
            texts(&cuts),
            [
                "Voir l'art. L. 3121 du Code, M. Durand le dit au n° 3.5 ici.",
                "Le camion part à 8 h. On revient le soir même."
            ]
        );
    }

    #[test]
    fn headings_open_passages_and_name_them() {
        let body = "Un texte assez long pour ne pas être petit du tout, vraiment. ".repeat(3);
        let whole = format!("Guide\n\nUn\n\n{body}\n\nUn bis\n\n{body}\n\nDeux\n\n{body}");
        let headings = [
            heading("Guide", &whole, 1),
            heading("Un\n", &whole, 2),
            heading("Un bis", &whole, 2),
            heading("Deux", &whole, 2),
        ];
        let headings = headings.map(|h| Heading { text: h.text.trim().to_owned(), ..h });
        let cuts = cut(&whole, &headings, &Cutting::default());
        let paths: Vec<&[String]> = cuts.iter().map(|c| c.heading.as_slice()).collect();
        assert_eq!(paths, [["Guide", "Un"], ["Guide", "Un bis"], ["Guide", "Deux"]]);
        assert!(cuts[0].text.starts_with("Guide\n\nUn\n\n"));
    }

    #[test]
    fn a_long_text_takes_time_in_proportion() {
        let text = "Le camion part à huit heures, M. Martin le suit.\n".repeat(40_000);
        let started = std::time::Instant::now();
        let cuts = cut(&text, &[], &Cutting::default());
        assert!(cuts.len() > 2000);
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            5 => "[a-zéÀœ€]{1,12}[ ]",
            2 => Just(". ".to_owned()),
            1 => Just(" M. A. ".to_owned()),
            2 => Just("\n".to_owned()),
            2 => Just("\n\n".to_owned()),
            1 => Just("\u{a0}\t ".to_owned()),
            1 => "[x😀]{1,90}",
            1 => any::<char>().prop_map(|c| c.to_string()),
        ]
    }

    proptest! {
        #[test]
        fn passages_cover_the_text_once(
            pieces in prop::collection::vec(piece(), 0..200),
            marks in prop::collection::vec((0_usize..900, 1_u8..7), 0..8),
            max in 1_usize..120,
            target in 0_usize..120,
            min in 0_usize..60,
            tiny in 0_usize..40,
        ) {
            let text = pieces.concat();
            let chars: Vec<char> = text.chars().collect();
            let headings: Vec<Heading> = marks
                .into_iter()
                .map(|(at, level)| {
                    let words: String =
                        chars.iter().skip(at).take_while(|c| **c != '\n').collect();
                    Heading { at, level, text: words }
                })
                .collect();
            let settings = Cutting { target, max, min, tiny };
            let cuts = cut(&text, &headings, &settings);
            let mut covered = 0;
            for cut in &cuts {
                prop_assert!(cut.start >= covered);
                prop_assert!(chars[covered..cut.start].iter().all(|c| c.is_whitespace()));
                prop_assert_eq!(&chars[cut.start..cut.end].iter().collect::<String>(), &cut.text);
                prop_assert!(cut.end - cut.start <= max);
                prop_assert!(!cut.text.trim().is_empty());
                covered = cut.end;
            }
            prop_assert!(chars[covered..].iter().all(|c| c.is_whitespace()));
            for heading in headings.iter().filter(|h| h.level <= HARD_LEVEL) {
                // A hard heading inside a passage has only a tiny section or headings before it.
                for cut in cuts.iter().filter(|c| c.start < heading.at && heading.at < c.end) {
                    let before: String = chars[cut.start..heading.at].iter().collect();
                    let tiny_before = before.trim().chars().count() < tiny.max(1);
                    let all_headings = before
                        .split("\n\n")
                        .map(str::trim)
                        .filter(|p| !p.is_empty())
                        .all(|p| headings.iter().any(|h| h.text.trim() == p));
                    prop_assert!(tiny_before || all_headings, "{:?} {:?}", cut, heading);
                }
            }
        }
    }
}
