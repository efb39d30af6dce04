//! Markdown, by pulldown-cmark: headings, paragraphs, lists, tables row by row.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::extract::{Composer, Extract, Limits};
use super::{faults, text};
use crate::base::clock::Moment;
use crate::base::fault::Fault;

/// Reads Markdown; the first heading of level 1 is the title, unless a front matter names one.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    let source = text::decode(bytes, None)?;
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let mut page = Page::new(limits);
    for event in Parser::new_ext(&source, options) {
        page.event(event)?;
    }
    page.flush()?;
    Ok(page.composer.finish())
}

struct Page {
    composer: Composer,
    line: String,
    depth: usize,
    depth_max: usize,
    heading: Option<u8>,
    /// In a list item or a table row: it continues the block of the one before.
    close: bool,
}

impl Page {
    fn new(limits: &Limits) -> Self {
        Self {
            composer: Composer::new(limits),
            line: String::new(),
            depth: 0,
            depth_max: limits.depth_max,
            heading: None,
            close: false,
        }
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), Fault> {
        match event {
            Event::Start(tag) => {
                self.depth += 1;
                if self.depth > self.depth_max {
                    return Err(faults::too_deep());
                }
                self.start(&tag)
            }
            Event::End(tag) => {
                self.depth = self.depth.saturating_sub(1);
                self.end(tag)
            }
            Event::Text(words) | Event::Code(words) => {
                self.line.push_str(&words);
                Ok(())
            }
            Event::SoftBreak => {
                self.line.push(' ');
                Ok(())
            }
            Event::HardBreak => {
                self.line.push('\n');
                Ok(())
            }
            Event::TaskListMarker(done) => {
                self.line.push_str(if done { "[x] " } else { "[ ] " });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, tag: &Tag<'_>) -> Result<(), Fault> {
        match tag {
            Tag::Heading { level, .. } => {
                self.flush()?;
                self.heading = Some(depth_of(*level));
            }
            Tag::Item => {
                self.flush()?;
                self.line.push_str("- ");
            }
            Tag::MetadataBlock(_) => self.flush()?,
            Tag::Paragraph
            | Tag::CodeBlock(_)
            | Tag::Table(_)
            | Tag::BlockQuote(_)
            | Tag::FootnoteDefinition(_)
                // The paragraph of a loose list item belongs to its dash.
                if self.line != "- " =>
            {
                self.flush()?;
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, tag: TagEnd) -> Result<(), Fault> {
        match tag {
            TagEnd::Heading(_) => {
                let level = self.heading.take().unwrap_or(1);
                if level == 1 {
                    self.composer.title(&self.line);
                }
                let line = std::mem::take(&mut self.line);
                self.composer.heading(level, &line)
            }
            TagEnd::Item | TagEnd::TableRow | TagEnd::TableHead => {
                let line = std::mem::take(&mut self.line);
                let line = line.trim_end_matches([' ', '|']);
                let written = if self.close {
                    self.composer.line(line)
                } else {
                    self.composer.paragraph(line)
                };
                self.close = true;
                written
            }
            TagEnd::TableCell => {
                self.line.push_str(" | ");
                Ok(())
            }
            TagEnd::List(_) | TagEnd::Table => {
                self.flush()?;
                self.close = false;
                Ok(())
            }
            TagEnd::MetadataBlock(_) => {
                let block = std::mem::take(&mut self.line);
                self.metadata(&block);
                Ok(())
            }
            TagEnd::Paragraph if self.close || self.line.starts_with("- ") => Ok(()),
            TagEnd::Paragraph | TagEnd::CodeBlock | TagEnd::FootnoteDefinition => self.flush(),
            _ => Ok(()),
        }
    }

    fn metadata(&mut self, block: &str) {
        for line in block.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim().trim_matches(['"', '\'']);
            match key.trim() {
                "title" | "titre" => self.composer.title(value),
                "author" | "auteur" => self.composer.author(value),
                "date" => self.composer.date(Moment::parse(value)),
                _ => {}
            }
        }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let line = std::mem::take(&mut self.line);
        if line.trim() == "-" {
            return Ok(());
        }
        if self.close { self.composer.line(&line) } else { self.composer.paragraph(&line) }
    }
}

fn depth_of(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_everything() {
        let source = "---\ntitle: \"Le guide\"\ndate: 2025-03-01\n---\n# Été\n\nUn *mot*\nsuivi.\n\n\
                      - un\n- deux\n  - trois\n\n## Table\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nFin";
        let extract = read(source.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(extract.title.as_deref(), Some("Le guide"));
        assert_eq!(extract.date, Moment::parse("2025-03-01"));
        assert_eq!(
            extract.text,
            "Été\n\nUn mot suivi.\n\n- un\n- deux\n- trois\n\nTable\n\na | b\n1 | 2\n\nFin"
        );
        assert_eq!(extract.headings.len(), 2);
    }
}
