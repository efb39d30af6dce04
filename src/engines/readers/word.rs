//! Word documents: paragraphs, headings by style or outline, lists, tables row by row, footnotes.

use std::collections::{HashMap, HashSet};

use super::archive::Archive;
use super::extract::{Composer, Extract, Limits};
use super::faults;
use super::xml::{self, Element, Listener, Properties};
use crate::base::fault::Fault;

/// The title style counts as the outermost heading.
const TITLE: u8 = 0;

/// Reads a Word document (since 2007).
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    let mut archive = Archive::open(bytes, limits)?;
    let mut composer = Composer::new(limits);
    if let Some(core) = archive.part("docProps/core.xml")? {
        let said = Properties::read(&core, limits);
        composer.title(&said.title);
        composer.author(&said.creator);
        composer.date(said.date);
    }
    let mut styles = Styles::default();
    if let Some(part) = archive.part("word/styles.xml")? {
        xml::walk(&part, limits, &mut styles)?;
    }
    let document = archive
        .part("word/document.xml")?
        .ok_or_else(|| faults::damaged("The archive holds no Word document."))?;
    let mut body = Body::new(&styles, composer);
    xml::walk(&document, limits, &mut body)?;
    for notes in ["word/footnotes.xml", "word/endnotes.xml"] {
        if let Some(part) = archive.part(notes)? {
            xml::walk(&part, limits, &mut body)?;
        }
    }
    Ok(body.composer.finish())
}

/// Which style ids are headings, by outline level or by name in English or French.
#[derive(Default)]
struct Styles {
    levels: HashMap<String, u8>,
    /// Styles that make list items of their paragraphs, such as `List Bullet`.
    items: HashSet<String>,
    open: Option<String>,
}

impl Listener for Styles {
    fn start(&mut self, name: &str, element: &Element<'_>) -> Result<(), Fault> {
        match name {
            "style" => self.open = element.attribute("styleId"),
            "numPr" => self.items.extend(self.open.clone()),
            "name" | "outlineLvl" => {
                let value = element.attribute("val").unwrap_or_default();
                let level =
                    if name == "name" { level_of_name(&value) } else { outline_level(&value) };
                if let (Some(id), Some(level)) = (&self.open, level) {
                    self.levels.entry(id.clone()).or_insert(level);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<(), Fault> {
        if name == "style" {
            self.open = None;
        }
        Ok(())
    }

    fn words(&mut self, _words: &str) -> Result<(), Fault> {
        Ok(())
    }
}

impl Styles {
    fn level(&self, id: &str) -> Option<u8> {
        // Documents without a styles part still name their styles `Heading1` or `Titre1`.
        self.levels.get(id).copied().or_else(|| level_of_name(id))
    }
}

/// `heading 1`, `Titre 1`, `Heading1`; `Title` and `Titre` alone are the document's title.
fn level_of_name(name: &str) -> Option<u8> {
    let name = name.to_lowercase();
    if name == "title" || name == "titre" {
        return Some(TITLE);
    }
    let number = name.strip_prefix("heading").or(name.strip_prefix("titre"))?;
    number.trim().parse().ok().filter(|level| (1..=9).contains(level))
}

/// Outline levels count from 0; 9 is body text.
fn outline_level(value: &str) -> Option<u8> {
    value.parse::<u8>().ok().filter(|level| *level < 9).map(|level| level + 1)
}

struct Body<'s> {
    styles: &'s Styles,
    composer: Composer,
    line: String,
    level: Option<u8>,
    item: bool,
    /// Inside how many elements that repeat or hide words.
    hidden: usize,
    in_words: bool,
    /// Inside how many tables; the outermost alone makes rows.
    tables: usize,
    row: Vec<String>,
    cell: String,
    close: bool,
}

impl<'s> Body<'s> {
    fn new(styles: &'s Styles, composer: Composer) -> Self {
        Self {
            styles,
            composer,
            line: String::new(),
            level: None,
            item: false,
            hidden: 0,
            in_words: false,
            tables: 0,
            row: Vec::new(),
            cell: String::new(),
            close: false,
        }
    }

    fn paragraph_ends(&mut self) -> Result<(), Fault> {
        let line = std::mem::take(&mut self.line);
        let level = self.level.take();
        let item = std::mem::take(&mut self.item);
        if self.tables > 0 {
            if !self.cell.is_empty() {
                self.cell.push(' ');
            }
            self.cell.push_str(line.trim());
            return Ok(());
        }
        if line.trim().is_empty() {
            return Ok(());
        }
        match level {
            Some(TITLE) => {
                self.composer.title(&line);
                self.composer.heading(1, &line)
            }
            Some(level) => self.composer.heading(level, &line),
            None if item => self.close_line(&format!("- {line}")),
            None => {
                self.close = false;
                self.composer.paragraph(&line)
            }
        }
    }

    fn close_line(&mut self, line: &str) -> Result<(), Fault> {
        if std::mem::replace(&mut self.close, true) {
            self.composer.line(line)
        } else {
            self.composer.paragraph(line)
        }
    }

    fn row_ends(&mut self) -> Result<(), Fault> {
        let row = std::mem::take(&mut self.row);
        if row.iter().all(String::is_empty) {
            return Ok(());
        }
        self.close_line(&row.join(" | ").replace('\n', " "))
    }
}

/// Words that stand twice (the fallback of a drawing) or not at all (deleted, field codes).
fn hides(name: &str) -> bool {
    matches!(name, "Fallback" | "del" | "moveFrom" | "instrText" | "delText")
}

impl Listener for Body<'_> {
    fn start(&mut self, name: &str, element: &Element<'_>) -> Result<(), Fault> {
        if hides(name) {
            self.hidden += 1;
        }
        match name {
            _ if self.hidden > 0 => {}
            "t" => self.in_words = true,
            "tab" => self.line.push(' '),
            "br" | "cr" => self.line.push('\n'),
            "noBreakHyphen" => self.line.push('-'),
            "pStyle" => {
                let style = element.attribute("val").unwrap_or_default();
                self.level = self.level.or(self.styles.level(&style));
                self.item |= self.styles.items.contains(&style);
            }
            "outlineLvl" => {
                let value = element.attribute("val").unwrap_or_default();
                self.level = self.level.or(outline_level(&value));
            }
            "numPr" => self.item = true,
            // List number 0 takes a paragraph out of the list its style puts it in.
            "numId" if element.attribute("val").as_deref() == Some("0") => self.item = false,
            "tbl" => {
                if self.tables == 0 {
                    self.close = false;
                }
                self.tables += 1;
            }
            // A text box opens a paragraph inside a paragraph: a blank keeps their words apart.
            "p" if !self.line.is_empty() => self.line.push(' '),
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
            _ if self.hidden > 0 => Ok(()),
            "t" => {
                self.in_words = false;
                Ok(())
            }
            "p" => self.paragraph_ends(),
            "tc" if self.tables == 1 => {
                self.row.push(std::mem::take(&mut self.cell));
                Ok(())
            }
            "tr" if self.tables == 1 => self.row_ends(),
            "tbl" => {
                self.tables = self.tables.saturating_sub(1);
                if self.tables == 0 {
                    self.close = false;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn words(&mut self, words: &str) -> Result<(), Fault> {
        if self.in_words && self.hidden == 0 {
            self.line.push_str(words);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_in_two_languages() {
        for (name, level) in [
            ("heading 1", Some(1)),
            ("Titre 3", Some(3)),
            ("Titre2", Some(2)),
            ("Title", Some(TITLE)),
            ("Titre", Some(TITLE)),
            ("Titre de tableau", None),
            ("Normal", None),
        ] {
            assert_eq!(level_of_name(name), level, "{name}");
        }
        assert_eq!((outline_level("0"), outline_level("9")), (Some(1), None));
    }
}
