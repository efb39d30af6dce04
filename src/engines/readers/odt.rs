//! Texts of the open document family (.odt): paragraphs, headings, lists, tables row by row, footnotes.

use std::collections::HashSet;

use super::archive::Archive;
use super::extract::{Composer, Extract, Limits};
use super::faults;
use super::xml::{self, Element, Listener, Properties};
use crate::base::fault::Fault;

/// The title style counts as the outermost heading.
const TITLE: u8 = 0;
/// No document means more blanks in a row than this.
const BLANKS_MAX: usize = 1000;

/// Reads a text as LibreOffice writes it.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    let mut archive = Archive::open(bytes, limits)?;
    if let Some(manifest) = archive.part("META-INF/manifest.xml")? {
        let encrypted = b"encryption-data";
        if manifest.windows(encrypted.len()).any(|w| w == encrypted) {
            return Err(faults::encrypted());
        }
    }
    let mut composer = Composer::new(limits);
    if let Some(meta) = archive.part("meta.xml")? {
        let said = Properties::read(&meta, limits);
        composer.title(&said.title);
        composer.author(&said.creator);
        composer.date(said.date);
    }
    let content = archive
        .part("content.xml")?
        .ok_or_else(|| faults::damaged("The archive holds no text document."))?;
    let mut body = Body::new(composer);
    xml::walk(&content, limits, &mut body)?;
    Ok(body.composer.finish())
}

struct Body {
    composer: Composer,
    /// Automatic styles that descend from the title style.
    titles: HashSet<String>,
    reading: bool,
    /// The paragraph being read; a note inside it waits in `outer`.
    line: String,
    level: Option<u8>,
    outer: Vec<(String, Option<u8>)>,
    notes: Vec<String>,
    items: usize,
    item_open: bool,
    hidden: usize,
    tables: usize,
    row: Vec<String>,
    cell: String,
    close: bool,
}

impl Body {
    fn new(composer: Composer) -> Self {
        Self {
            composer,
            titles: HashSet::from(["Title".to_owned()]),
            reading: false,
            line: String::new(),
            level: None,
            outer: Vec::new(),
            notes: Vec::new(),
            items: 0,
            item_open: false,
            hidden: 0,
            tables: 0,
            row: Vec::new(),
            cell: String::new(),
            close: false,
        }
    }

    fn paragraph_starts(&mut self, name: &str, element: &Element<'_>) {
        if !self.line.is_empty() {
            // A text box inside a paragraph: the outer words wait for theirs.
            self.line.push(' ');
        }
        if name == "h" {
            let level = element.attribute("outline-level").and_then(|l| l.parse().ok());
            self.level = Some(level.unwrap_or(1));
        }
        if element.attribute("style-name").is_some_and(|s| self.titles.contains(&s)) {
            self.level = Some(TITLE);
        }
    }

    fn paragraph_ends(&mut self) -> Result<(), Fault> {
        let line = std::mem::take(&mut self.line);
        let level = self.level.take();
        if !self.outer.is_empty() {
            self.notes.push(line);
            return Ok(());
        }
        if self.tables > 0 {
            if !self.cell.is_empty() {
                self.cell.push(' ');
            }
            self.cell.push_str(line.trim());
            return Ok(());
        }
        if !line.trim().is_empty() {
            self.write(&line, level)?;
        }
        for note in std::mem::take(&mut self.notes) {
            self.close = false;
            self.composer.paragraph(&note)?;
        }
        Ok(())
    }

    fn write(&mut self, line: &str, level: Option<u8>) -> Result<(), Fault> {
        if let Some(level) = level {
            self.close = false;
            if level == TITLE {
                self.composer.title(line);
            }
            return self.composer.heading(level, line);
        }
        if self.items > 0 {
            let dash = if std::mem::take(&mut self.item_open) { "- " } else { "" };
            return self.close_line(&format!("{dash}{line}"));
        }
        self.close = false;
        self.composer.paragraph(line)
    }

    fn close_line(&mut self, line: &str) -> Result<(), Fault> {
        if std::mem::replace(&mut self.close, true) {
            self.composer.line(line)
        } else {
            self.composer.paragraph(line)
        }
    }

    fn style(&mut self, element: &Element<'_>) {
        let parent = element.attribute("parent-style-name");
        if parent.is_some_and(|p| self.titles.contains(&p)) {
            self.titles.extend(element.attribute("name"));
        }
    }
}

/// Comments, deleted words, the number of a note: not what a reader reads on the page.
fn hides(name: &str) -> bool {
    matches!(name, "annotation" | "tracked-changes" | "note-citation" | "desc" | "forms")
}

impl Listener for Body {
    fn start(&mut self, name: &str, element: &Element<'_>) -> Result<(), Fault> {
        if hides(name) {
            self.hidden += 1;
        }
        match name {
            _ if self.hidden > 0 => {}
            "style" => self.style(element),
            // `office:text` is the body; nothing before it is for reading.
            "text" => self.reading = true,
            "p" | "h" => self.paragraph_starts(name, element),
            "s" => {
                let count = element.attribute("c").and_then(|c| c.parse().ok()).unwrap_or(1);
                self.line.extend(std::iter::repeat_n(' ', BLANKS_MAX.min(count)));
            }
            "tab" => self.line.push(' '),
            "line-break" => self.line.push('\n'),
            "note" => {
                let line = std::mem::take(&mut self.line);
                self.outer.push((line, self.level.take()));
            }
            "list-item" => {
                self.items += 1;
                self.item_open = true;
            }
            "table" => {
                if self.tables == 0 {
                    self.close = false;
                }
                self.tables += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<(), Fault> {
        if hides(name) {
            self.hidden = self.hidden.saturating_sub(1);
            return Ok(());
        }
        match name {
            _ if self.hidden > 0 => {}
            "text" => self.reading = false,
            "p" | "h" => return self.paragraph_ends(),
            "note" => {
                if let Some(outer) = self.outer.pop() {
                    (self.line, self.level) = outer;
                }
            }
            "list-item" => self.items = self.items.saturating_sub(1),
            "list" if self.items == 0 => self.close = false,
            "table-cell" if self.tables == 1 => self.row.push(std::mem::take(&mut self.cell)),
            "table-row" if self.tables == 1 => {
                let row = std::mem::take(&mut self.row);
                if !row.iter().all(String::is_empty) {
                    return self.close_line(&row.join(" | ").replace('\n', " "));
                }
            }
            "table" => {
                self.tables = self.tables.saturating_sub(1);
                if self.tables == 0 {
                    self.close = false;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn words(&mut self, words: &str) -> Result<(), Fault> {
        if self.reading && self.hidden == 0 {
            // Line breaks between elements are layout of the XML, not of the text.
            self.line.extend(words.chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }));
        }
        Ok(())
    }
}
