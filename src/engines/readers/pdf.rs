//! PDF, by pdf-extract: glyphs with their places, put together into lines, paragraphs and headings.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pdf_extract::{
    Document, Error, MediaBox, Object, OutputDev, OutputError, Transform, output_doc,
    output_doc_page,
};

use super::extract::{Composer, Extract, Limits};
use super::faults;
use super::layout::{Glyph, Page, compose};
use crate::base::clock::Moment;
use crate::base::fault::Fault;

/// Titles that a program wrote because nobody gave one.
const NO_TITLES: [&str; 5] = ["untitled", "(anonymous)", "anonymous", "sans titre", "unspecified"];

/// Reads a PDF. One that opens without a password is not called encrypted.
///
/// The parsers below panic on much that real files hold: a page that does is read a second way,
/// and a page that cannot be read at all leaves the others standing.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    let mut document = guarded(|| Document::load_mem(bytes))
        .ok_or_else(|| faults::damaged("The PDF cannot be parsed."))?
        .map_err(refusal)?;
    if document.is_encrypted() {
        guarded(|| document.decrypt("").is_ok())
            .filter(|opened| *opened)
            .ok_or_else(faults::encrypted)?;
    }
    forget_images(&mut document);
    let numbers: Vec<u32> = guarded(|| document.get_pages().into_keys().collect())
        .ok_or_else(|| faults::damaged("The PDF's pages cannot be found."))?;
    if numbers.is_empty() {
        return Err(faults::damaged("The PDF has no pages."));
    }
    if numbers.len() > limits.entries_max {
        return Err(faults::too_large("The PDF has more pages than this box reads."));
    }
    let mut composer = Composer::new(limits);
    let _ = guarded(|| properties(&document, &mut composer));
    let pages = pages(&document, &numbers, limits.text_chars_max)?;
    compose(pages, composer)
}

/// Runs a foreign parser; nothing when it panicked.
fn guarded<T>(parse: impl FnOnce() -> T) -> Option<T> {
    // What a panic leaves half done is thrown away or only read again.
    catch_unwind(AssertUnwindSafe(parse)).ok()
}

fn refusal(error: Error) -> Fault {
    match error {
        Error::Decryption(_) | Error::InvalidPassword | Error::UnsupportedSecurityHandler(_) => {
            faults::encrypted().because(error)
        }
        error => faults::damaged("The PDF cannot be parsed.").because(error),
    }
}

/// Pictures say nothing, weigh much, and pdf-extract would read their bytes as drawing orders.
fn forget_images(document: &mut Document) {
    for object in document.objects.values_mut() {
        if let Object::Stream(stream) = object {
            let subtype = stream.dict.get(b"Subtype").and_then(Object::as_name);
            if subtype.is_ok_and(|name| name == b"Image") {
                stream.dict.remove(b"Filter");
                stream.dict.remove(b"DecodeParms");
                stream.content.clear();
            }
        }
    }
}

/// Takes title, author and date from the information dictionary.
fn properties(document: &Document, composer: &mut Composer) {
    let info = document.trailer.get(b"Info").and_then(|info| document.dereference(info));
    let Ok(info) = info.and_then(|(_, info)| info.as_dict()) else { return };
    let word = |key: &[u8]| {
        let value = info.get(key).and_then(|value| document.dereference(value)).ok()?.1;
        pdf_extract::decode_text_string(value).ok()
    };
    if let Some(title) = word(b"Title") {
        let title = title.strip_prefix("Microsoft Word - ").unwrap_or(&title);
        if !NO_TITLES.contains(&title.trim().to_lowercase().as_str()) {
            composer.title(title);
        }
    }
    if let Some(author) = word(b"Author").filter(|a| !NO_TITLES.contains(&a.as_str())) {
        composer.author(&author);
    }
    let date = word(b"ModDate").and_then(|d| pdf_date(&d));
    composer.date(date.or_else(|| word(b"CreationDate").and_then(|d| pdf_date(&d))));
}

/// `D:20250301120000+01'00'`, everything after the year optional.
fn pdf_date(text: &str) -> Option<Moment> {
    let text = text.strip_prefix("D:").unwrap_or(text).replace('\'', "");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (stamp, zone) = text.split_at_checked(digits)?;
    let two = |at: usize, absent: &'static str| stamp.get(at..at + 2).unwrap_or(absent).to_owned();
    let zone = match (zone.get(..1), zone.get(1..3), zone.get(3..5)) {
        (Some(sign @ ("+" | "-")), Some(hours), minutes) => {
            format!("{sign}{hours}:{}", minutes.unwrap_or("00"))
        }
        _ => "Z".to_owned(),
    };
    Moment::parse(&format!(
        "{}-{}-{}T{}:{}:{}{zone}",
        stamp.get(..4)?,
        two(4, "01"),
        two(6, "01"),
        two(8, "00"),
        two(10, "00"),
        two(12, "00"),
    ))
}

/// All pages at once where the parser lives through them, else page by page from where it died.
fn pages(document: &Document, numbers: &[u32], chars_max: usize) -> Result<Vec<Page>, Fault> {
    let mut collector = Collector { chars_max, ..Collector::default() };
    let whole = guarded(|| output_doc(document, &mut collector));
    if collector.overfull {
        return Err(faults::too_large("The document holds more text than this box keeps."));
    }
    if !matches!(whole, Some(Ok(()))) {
        let last = collector.pages.keys().next_back().copied().unwrap_or(0);
        for number in numbers.iter().copied().filter(|n| *n >= last.max(1)) {
            let mut alone = Collector { chars_max, ..Collector::default() };
            let read = guarded(|| output_doc_page(document, &mut alone, number));
            let mut page = alone.pages.remove(&number).unwrap_or_default();
            if !matches!(read, Some(Ok(()))) {
                let text = guarded(|| document.extract_text(&[number]));
                page.second = text.and_then(Result::ok);
            }
            collector.pages.insert(number, page);
        }
    }
    Ok(collector.pages.into_values().collect())
}

/// Hears every glyph of every page.
#[derive(Default)]
struct Collector {
    pages: BTreeMap<u32, Page>,
    current: u32,
    chars: usize,
    chars_max: usize,
    overfull: bool,
}

impl OutputDev for Collector {
    fn begin_page(
        &mut self,
        page_num: u32,
        _media_box: &MediaBox,
        _art_box: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        self.current = page_num;
        self.pages.entry(page_num).or_default();
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn output_character(
        &mut self,
        trm: &Transform,
        width: f64,
        spacing: f64,
        font_size: f64,
        char: &str,
    ) -> Result<(), OutputError> {
        self.chars += char.len();
        if self.chars > self.chars_max {
            self.overfull = true;
            return Err(OutputError::FormatError(std::fmt::Error));
        }
        let along = trm.m11.hypot(trm.m12);
        let glyph = Glyph {
            // Text turned by a quarter runs along the page's other axis.
            x: if trm.m11.abs() >= trm.m12.abs() { trm.m31 } else { trm.m32 * trm.m12.signum() },
            y: if trm.m11.abs() >= trm.m12.abs() { trm.m32 } else { -trm.m31 * trm.m12.signum() },
            size: trm.m21.hypot(trm.m22) * font_size.abs(),
            width: along * (width * font_size.abs() + spacing.max(0.0)),
            text: char.to_owned(),
        };
        if [glyph.x, glyph.y, glyph.size, glyph.width].iter().all(|n| n.is_finite()) {
            self.pages.entry(self.current).or_default().glyphs.push(glyph);
        }
        Ok(())
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_pdf_writes_them() {
        let moment = Moment::parse("2025-03-01T11:00:00Z");
        assert_eq!(pdf_date("D:20250301120000+01'00'"), moment);
        assert_eq!(pdf_date("D:20250301110000Z"), moment);
        assert_eq!(pdf_date("D:2025"), Moment::parse("2025-01-01"));
        assert_eq!(pdf_date("hier"), None);
    }
}
