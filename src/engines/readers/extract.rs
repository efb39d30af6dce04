//! What a reader produces: one plain text, its headings and what the document says of itself.

use serde::{Deserialize, Serialize};

use super::faults;
use crate::base::clock::Moment;
use crate::base::fault::Fault;

/// The deepest heading level kept; deeper ones count as this.
const LEVEL_MAX: u8 = 6;
/// A heading longer than this many characters is a paragraph in disguise.
const HEADING_CHARS_MAX: usize = 200;
/// A title or a name longer than this many characters is cut.
const LABEL_CHARS_MAX: usize = 300;

/// A line of the text that opens a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// Where it stands in the text: an offset in characters (Unicode scalar values).
    pub at: usize,
    /// 1 is the outermost, 6 the innermost.
    pub level: u8,
    /// Its words, as they stand in the text.
    pub text: String,
}

/// A document as plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extract {
    /// What the document calls itself.
    pub title: Option<String>,
    /// Who it says wrote it.
    pub author: Option<String>,
    /// When it says it was last changed, or else written.
    pub date: Option<Moment>,
    /// The whole text, an empty line between paragraphs. Headings stand in it as paragraphs.
    pub text: String,
    /// The headings, in the order of the text.
    pub headings: Vec<Heading>,
    /// How many pages it has, where the format knows pages.
    pub pages: Option<u32>,
    /// Where each page starts in the text, in characters; empty where the format knows no pages.
    pub page_starts: Vec<usize>,
}

/// How much a reader accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the file itself. Default 200 MiB.
    pub bytes_max: usize,
    /// Characters of text it may produce. Default 20 million, about 10,000 dense pages.
    pub text_chars_max: usize,
    /// Files in an archive, sheets in a workbook, parts in a message. Default 10,000.
    pub entries_max: usize,
    /// Nesting of elements, objects or messages. Default 256.
    pub depth_max: usize,
    /// Bytes that one archive may unpack to, all files together. Default 256 MiB.
    pub unpacked_max: u64,
    /// How many times larger an archive may become, once past [`Limits::RATIO_FREE`].
    /// Default 200: honest office files stay below 100.
    pub ratio_max: u64,
}

impl Limits {
    /// Below this many unpacked bytes the ratio does not matter.
    pub const RATIO_FREE: u64 = 8 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 200 << 20,
            text_chars_max: 20_000_000,
            entries_max: 10_000,
            depth_max: 256,
            unpacked_max: 256 << 20,
            ratio_max: 200,
        }
    }
}

/// Puts a text together paragraph by paragraph and keeps count of the characters.
pub struct Composer {
    extract: Extract,
    chars: usize,
    chars_max: usize,
}

impl Composer {
    /// Nothing written yet.
    pub fn new(limits: &Limits) -> Self {
        Self { extract: Extract::default(), chars: 0, chars_max: limits.text_chars_max }
    }

    /// Writes a paragraph; its own line breaks stay, runs of blanks become one. Blank is nothing.
    pub fn paragraph(&mut self, text: &str) -> Result<(), Fault> {
        self.block(text, "\n\n").map(drop)
    }

    /// Writes a line right under the one before: rows of a table, items of a list.
    pub fn line(&mut self, text: &str) -> Result<(), Fault> {
        self.block(text, "\n").map(drop)
    }

    /// Writes a heading of `level` (1 to 6) on a paragraph of its own.
    pub fn heading(&mut self, level: u8, text: &str) -> Result<(), Fault> {
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut clean = String::with_capacity(one_line.len());
        clean_into(&one_line, &mut clean);
        let Some(at) = self.block(&clean, "\n\n")? else { return Ok(()) };
        if self.chars - at <= HEADING_CHARS_MAX {
            let level = level.clamp(1, LEVEL_MAX);
            self.extract.headings.push(Heading { at, level, text: clean });
        }
        Ok(())
    }

    /// Notes that a new page starts with whatever is written next.
    pub fn page(&mut self) {
        let next = if self.extract.text.is_empty() { 0 } else { self.chars + 2 };
        self.extract.page_starts.push(next);
    }

    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.extract.text.is_empty()
    }

    /// Sets the title, unless it is blank or already known.
    pub fn title(&mut self, title: &str) {
        if self.extract.title.is_none() {
            self.extract.title = label(title);
        }
    }

    /// Sets the author, unless it is blank or already known.
    pub fn author(&mut self, author: &str) {
        if self.extract.author.is_none() {
            self.extract.author = label(author);
        }
    }

    /// Sets the date, unless there is none or one is already known.
    pub fn date(&mut self, date: Option<Moment>) {
        self.extract.date = self.extract.date.or(date);
    }

    /// The finished text. Page starts past the end (blank last pages) are held at the end.
    pub fn finish(mut self) -> Extract {
        let chars = self.chars;
        for start in &mut self.extract.page_starts {
            *start = (*start).min(chars);
        }
        if !self.extract.page_starts.is_empty() {
            self.extract.pages = u32::try_from(self.extract.page_starts.len()).ok();
        }
        self.extract
    }

    /// Appends `text` after `gap`, cleaned; answers where it starts, in characters.
    fn block(&mut self, text: &str, gap: &str) -> Result<Option<usize>, Fault> {
        let before = self.extract.text.len();
        let gap = if self.extract.text.is_empty() { "" } else { gap };
        self.extract.text.push_str(gap);
        let start = self.extract.text.len();
        clean_into(text, &mut self.extract.text);
        let written = self.extract.text.get(start..).map_or(0, |t| t.chars().count());
        if written == 0 {
            self.extract.text.truncate(before);
            return Ok(None);
        }
        let at = self.chars + gap.len();
        self.chars = at + written;
        if self.chars > self.chars_max {
            return Err(faults::too_large("The document holds more text than this box keeps."));
        }
        Ok(Some(at))
    }
}

/// A short text on one line, or nothing when blank.
fn label(text: &str) -> Option<String> {
    let mut clean = String::new();
    clean_into(&text.replace(['\n', '\r'], " "), &mut clean);
    let short: String = clean.chars().take(LABEL_CHARS_MAX).collect();
    (!short.is_empty()).then_some(short)
}

/// Appends `text` without control characters, with single blanks, single line breaks and no
/// blanks around lines, so that what is stored is what a person sees.
fn clean_into(text: &str, out: &mut String) {
    let start = out.len();
    let mut blank = false;
    let mut broken = false;
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => broken = true,
            // No-break and narrow spaces separate words for a search as any blank does.
            _ if c.is_whitespace() => blank = true,
            // Soft hyphens, zero-width marks and byte order marks would split words unseen.
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => {}
            _ if c.is_control() => {}
            _ => {
                if out.len() > start {
                    if broken {
                        out.push('\n');
                    } else if blank {
                        out.push(' ');
                    }
                }
                (blank, broken) = (false, false);
                out.push(c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_characters_and_blanks_vanish() {
        let mut composer = Composer::new(&Limits::default());
        composer.paragraph("  été\u{a0}à\tla  mer \r\n suite\u{0} ").unwrap();
        composer.paragraph(" \n ").unwrap();
        composer.heading(9, "Le\ntitre").unwrap();
        composer.line("fin").unwrap();
        let extract = composer.finish();
        assert_eq!(extract.text, "été à la mer\nsuite\n\nLe titre\nfin");
        let heading = &extract.headings[0];
        assert_eq!((heading.at, heading.level, heading.text.as_str()), (20, 6, "Le titre"));
        let at: String = extract.text.chars().skip(heading.at).take(8).collect();
        assert_eq!(at, "Le titre");
    }

    #[test]
    fn too_much_text_is_refused() {
        let mut composer = Composer::new(&Limits { text_chars_max: 10, ..Limits::default() });
        composer.paragraph("12345").unwrap();
        assert_eq!(composer.paragraph("12345").unwrap_err().code, "document_too_large");
    }
}
