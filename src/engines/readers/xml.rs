//! XML of office documents, by quick-xml: events only, no entities of its own, a bounded depth.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::extract::Limits;
use super::{faults, text};
use crate::base::clock::Moment;
use crate::base::fault::Fault;

/// An element's start: its name and attributes without prefixes.
pub struct Element<'a>(&'a BytesStart<'a>);

impl Element<'_> {
    /// An attribute's value by its name without prefix.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.0
            .attributes()
            .with_checks(false)
            .filter_map(Result::ok)
            .find(|a| a.key.local_name().as_ref() == name)
            .and_then(|a| a.normalized_value(XmlVersion::Implicit1_0).ok())
            .map(std::borrow::Cow::into_owned)
    }
}

/// Whoever wants to hear what stands in a document, in order. Names come without prefixes.
pub trait Listener {
    /// An element begins.
    fn start(&mut self, name: &str, element: &Element<'_>) -> Result<(), Fault>;
    /// An element ends.
    fn end(&mut self, name: &str) -> Result<(), Fault>;
    /// Words stand here.
    fn words(&mut self, words: &str) -> Result<(), Fault>;
}

/// Walks a document from start to end.
///
/// A document type declaration is refused: office files have none, and it is the door of
/// entity bombs. `document_too_deep` past [`Limits::depth_max`].
pub fn walk(bytes: &[u8], limits: &Limits, listener: &mut dyn Listener) -> Result<(), Fault> {
    let source = text::decode(bytes, None)?;
    let mut reader = Reader::from_str(source.trim_start_matches('\u{feff}'));
    let mut depth = 0_usize;
    loop {
        match reader.read_event().map_err(damaged)? {
            Event::Start(e) => {
                depth += 1;
                if depth > limits.depth_max {
                    return Err(faults::too_deep());
                }
                listener.start(e.local_name().as_ref(), &Element(&e))?;
            }
            Event::End(e) => {
                depth = depth.saturating_sub(1);
                listener.end(e.local_name().as_ref())?;
            }
            Event::Empty(e) => {
                listener.start(e.local_name().as_ref(), &Element(&e))?;
                listener.end(e.local_name().as_ref())?;
            }
            Event::Text(words) => listener.words(&words.xml10_content())?,
            Event::CData(words) => listener.words(&words.xml10_content())?,
            Event::GeneralRef(name) => match name.resolve_char_ref().map_err(damaged)? {
                Some(c) => listener.words(c.encode_utf8(&mut [0; 4]))?,
                None => listener.words(entity(&name.xml10_content())?)?,
            },
            Event::DocType(_) => {
                return Err(faults::damaged("The document declares entities of its own."));
            }
            Event::Eof if depth > 0 => {
                return Err(faults::damaged("The document ends in the middle."));
            }
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

fn entity(name: &str) -> Result<&'static str, Fault> {
    quick_xml::escape::resolve_predefined_entity(name)
        .ok_or_else(|| faults::damaged("The document uses an entity that nobody declared."))
}

fn damaged(error: quick_xml::Error) -> Fault {
    faults::damaged("The document's XML is broken.").because(error)
}

/// What a document says of itself, in Dublin Core's words, which both office families use.
#[derive(Default)]
pub struct Properties {
    /// `dc:title`.
    pub title: String,
    /// `dc:creator`.
    pub creator: String,
    /// The last change, or else the creation.
    pub date: Option<Moment>,
    open: Vec<String>,
}

impl Properties {
    /// Reads `docProps/core.xml` or `meta.xml`; a broken one says nothing, it is not the text.
    pub fn read(bytes: &[u8], limits: &Limits) -> Self {
        let mut properties = Self::default();
        if walk(bytes, limits, &mut properties).is_err() {
            return Self::default();
        }
        properties
    }
}

impl Listener for Properties {
    fn start(&mut self, name: &str, _element: &Element<'_>) -> Result<(), Fault> {
        self.open.push(name.to_owned());
        Ok(())
    }

    fn end(&mut self, _name: &str) -> Result<(), Fault> {
        self.open.pop();
        Ok(())
    }

    fn words(&mut self, words: &str) -> Result<(), Fault> {
        match self.open.last().map(String::as_str) {
            Some("title") => self.title.push_str(words),
            Some("creator") => self.creator.push_str(words),
            Some("initial-creator") if self.creator.is_empty() => self.creator.push_str(words),
            // `date` and `modified` are the last change and win over the creation.
            Some("date" | "modified") => self.date = office_date(words).or(self.date),
            Some("created" | "creation-date") => self.date = self.date.or(office_date(words)),
            _ => {}
        }
        Ok(())
    }
}

/// RFC 3339, or local time without a zone as LibreOffice writes it, taken as UTC.
fn office_date(words: &str) -> Option<Moment> {
    let words = words.trim();
    Moment::parse(words).or_else(|| Moment::parse(&format!("{words}Z")))
}
