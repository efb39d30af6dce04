//! Web pages, by html5ever's tokenizer alone: a page that is never built cannot nest too deep.

use std::cell::{Cell, RefCell};

use encoding_rs::Encoding;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

use super::extract::{Composer, Extract, Limits};
use super::text;
use crate::base::clock::Moment;
use crate::base::fault::Fault;

/// A page names its encoding within this many bytes, says the HTML standard.
const CHARSET_BYTES: usize = 1024;

/// Reads a web page: its words without scripts, styles and menus' markup.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    let source = text::decode(bytes, charset(bytes))?;
    read_text(&source, limits)
}

/// Reads a page that is text already, such as a message's body.
pub fn read_text(source: &str, limits: &Limits) -> Result<Extract, Fault> {
    let queue = BufferQueue::default();
    queue.push_back(StrTendril::from(source));
    let sink = Page { inner: RefCell::new(Inner::new(limits)), fault: Cell::new(None) };
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    // The sink never asks for a script to run, so one feeding takes it all.
    let _ = tokenizer.feed(&queue);
    tokenizer.end();
    if let Some(fault) = tokenizer.sink.fault.take() {
        return Err(fault);
    }
    let mut inner = tokenizer.sink.inner.replace(Inner::new(limits));
    inner.flush()?;
    Ok(inner.composer.finish())
}

/// The encoding a page claims, from `charset=` near its start.
fn charset(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.get(..bytes.len().min(CHARSET_BYTES))?;
    let key = b"charset=";
    let at = head.windows(key.len()).position(|w| w.eq_ignore_ascii_case(key))?;
    let value = head.get(at + key.len()..)?;
    let value = value.strip_prefix(b"\"").or(value.strip_prefix(b"'")).unwrap_or(value);
    let end = value.iter().position(|b| !(b.is_ascii_alphanumeric() || b"-_".contains(b)))?;
    value.get(..end).filter(|label| Encoding::for_label(label).is_some())
}

struct Page {
    inner: RefCell<Inner>,
    fault: Cell<Option<Fault>>,
}

struct Inner {
    composer: Composer,
    line: String,
    /// Inside how many elements whose words are not for reading.
    hidden: usize,
    /// Inside how many `<pre>`, whose line breaks are meant.
    verbatim: usize,
    heading: Option<u8>,
    in_title: bool,
    /// In a list or a table: lines stay together.
    close: bool,
    cell: bool,
}

impl TokenSink for Page {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut inner = self.inner.borrow_mut();
        let done = match token {
            Token::TagToken(tag) => {
                let raw = raw_kind(&tag);
                let done = inner.tag(&tag);
                if let (Some(kind), Ok(())) = (raw, &done) {
                    return TokenSinkResult::RawData(kind);
                }
                done
            }
            Token::CharacterTokens(words) => {
                inner.words(&words);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(fault) = done {
            // The first fault is the reason; the tokens after it are let through unread.
            inner.hidden = usize::MAX / 2;
            self.fault.set(Some(fault));
        }
        TokenSinkResult::Continue
    }
}

/// What the tokenizer must not look into, as a browser's tree builder would tell it.
fn raw_kind(tag: &Tag) -> Option<RawKind> {
    if tag.kind == TagKind::EndTag {
        return None;
    }
    match &*tag.name {
        "script" => Some(RawKind::ScriptData),
        "style" | "xmp" | "iframe" | "noembed" | "noframes" => Some(RawKind::Rawtext),
        "title" | "textarea" => Some(RawKind::Rcdata),
        _ => None,
    }
}

impl Inner {
    fn new(limits: &Limits) -> Self {
        Self {
            composer: Composer::new(limits),
            line: String::new(),
            hidden: 0,
            verbatim: 0,
            heading: None,
            in_title: false,
            close: false,
            cell: false,
        }
    }

    fn words(&mut self, words: &str) {
        if self.hidden > 0 {
            return;
        }
        if self.verbatim > 0 {
            self.line.push_str(words);
        } else {
            // A line break in the source is a blank to a reader.
            self.line.extend(words.chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }));
        }
    }

    fn tag(&mut self, tag: &Tag) -> Result<(), Fault> {
        let name = &*tag.name;
        let opens = tag.kind == TagKind::StartTag;
        match name {
            "script" | "style" | "template" | "svg" | "math" | "iframe" | "noembed"
            | "noframes" | "object" | "select" => {
                if opens && !tag.self_closing {
                    self.hidden = self.hidden.saturating_add(1);
                } else if !opens {
                    self.hidden = self.hidden.saturating_sub(1);
                }
                Ok(())
            }
            _ if self.hidden > 0 => Ok(()),
            "title" => self.page_title(opens),
            "meta" => {
                self.meta(tag);
                Ok(())
            }
            "br" => {
                self.line.push('\n');
                Ok(())
            }
            "pre" => {
                self.flush()?;
                self.verbatim =
                    if opens { self.verbatim + 1 } else { self.verbatim.saturating_sub(1) };
                Ok(())
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.heading(name, opens),
            "li" | "dt" | "dd" => {
                self.flush()?;
                if opens && name == "li" {
                    self.line.push_str("- ");
                }
                Ok(())
            }
            "td" | "th" => {
                if opens && self.cell {
                    self.line.push_str(" | ");
                }
                self.cell = true;
                Ok(())
            }
            "tr" => {
                self.cell = false;
                self.flush()
            }
            "ul" | "ol" | "dl" | "table" => {
                self.flush()?;
                self.close = false;
                self.cell = false;
                Ok(())
            }
            _ if is_block(name) => {
                // Blocks inside a cell or right after a dash do not end the row or the item.
                if self.cell || self.line.trim() == "-" {
                    self.line.push(' ');
                    return Ok(());
                }
                self.flush()
            }
            _ => Ok(()),
        }
    }

    fn page_title(&mut self, opens: bool) -> Result<(), Fault> {
        if opens {
            self.flush()?;
        } else if self.in_title {
            let title = std::mem::take(&mut self.line);
            self.composer.title(&title);
        }
        self.in_title = opens;
        Ok(())
    }

    fn heading(&mut self, name: &str, opens: bool) -> Result<(), Fault> {
        if opens {
            self.flush()?;
            self.close = false;
            self.cell = false;
            self.heading =
                name.chars().nth(1).and_then(|c| c.to_digit(10)).and_then(|d| u8::try_from(d).ok());
            return Ok(());
        }
        let Some(level) = self.heading.take() else { return self.flush() };
        let line = std::mem::take(&mut self.line);
        if level == 1 {
            self.composer.title(&line);
        }
        self.composer.heading(level, &line)
    }

    fn meta(&mut self, tag: &Tag) {
        let value = |key: &str| tag.attrs.iter().find(|a| &*a.name.local == key).map(|a| &*a.value);
        let name = value("name").or(value("property")).unwrap_or_default().to_ascii_lowercase();
        let content = value("content").unwrap_or_default();
        match name.as_str() {
            "author" | "dc.creator" => self.composer.author(content),
            "date"
            | "dc.date"
            | "article:modified_time"
            | "article:published_time"
            | "dcterms.modified" => self.composer.date(Moment::parse(content)),
            _ => {}
        }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let line = std::mem::take(&mut self.line);
        // A bare dash is an item without words, perhaps with a list inside.
        if line.trim().is_empty() || line.trim() == "-" {
            return Ok(());
        }
        let item = line.starts_with("- ") || self.cell || line.contains(" | ");
        if self.close && item {
            self.composer.line(&line)
        } else {
            self.close = item;
            self.composer.paragraph(&line)
        }
    }
}

fn is_block(name: &str) -> bool {
    const BLOCKS: [&str; 26] = [
        "p",
        "div",
        "section",
        "article",
        "header",
        "footer",
        "main",
        "nav",
        "aside",
        "blockquote",
        "figure",
        "figcaption",
        "form",
        "fieldset",
        "address",
        "hr",
        "body",
        "html",
        "head",
        "caption",
        "thead",
        "tbody",
        "tfoot",
        "details",
        "summary",
        "legend",
    ];
    BLOCKS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_scripts() {
        let source = "<html><head><title>Ma page &eacute;t&eacute;</title><style>p{}</style>\
            <meta name=author content='A. Martin'></head><body><h1>Gare</h1><p>Un <b>mot</b>\n\
            suivi.<script>var p = '<p>caché';</script><ul><li>un<li><p>deux</p></ul>\
            <table><tr><th>Nom<th>Ville<tr><td>Luc<td>Lyon</table><h2>Fin</h2>a<br>b";
        let extract = read(source.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(extract.title.as_deref(), Some("Ma page été"));
        assert_eq!(extract.author.as_deref(), Some("A. Martin"));
        assert_eq!(
            extract.text,
            "Gare\n\nUn mot suivi.\n\n- un\n- deux\n\nNom | Ville\nLuc | Lyon\n\nFin\n\na\nb"
        );
        assert_eq!(extract.headings.len(), 2);
    }

    #[test]
    fn a_page_may_name_its_encoding() {
        let mut page = b"<meta charset=\"iso-8859-15\"><p>10 \xa4".to_vec();
        page.extend_from_slice(b"</p>");
        assert_eq!(read(&page, &Limits::default()).unwrap().text, "10 €");
    }
}
