//! Foreign document formats, one reader per file; each turns bytes into plain text with headings.

mod archive;
pub mod child;
mod delimited;
mod email;
mod extract;
mod faults;
mod format;
mod html;
mod json;
mod layout;
mod markdown;
mod odt;
mod pdf;
mod rst;
mod sheets;
mod text;
mod word;
mod xml;

pub use extract::{Extract, Heading, Limits};
pub use format::{FIRST_BYTES, Format};

use crate::base::fault::Fault;

/// Turns a document's bytes into plain text with headings.
///
/// It runs foreign parsers in this very process, so bytes from outside go through
/// [`child::Reader`], where a parser that aborts or swallows memory takes nobody with it.
/// Every refusal is a named fault: `document_encrypted`, `document_damaged`,
/// `document_too_large`, `document_too_deep`, `document_without_text` or `format_unknown`.
pub fn read(format: Format, bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    if bytes.len() > limits.bytes_max {
        return Err(faults::too_large("The file is larger than this box reads."));
    }
    let extract = match format {
        Format::Text => text::read(bytes, limits),
        Format::Markdown => markdown::read(bytes, limits),
        Format::Rst => rst::read(bytes, limits),
        Format::Html => html::read(bytes, limits),
        Format::Csv => delimited::read(bytes, limits),
        Format::Json => json::read(bytes, limits),
        Format::Pdf => pdf::read(bytes, limits),
        Format::Docx => word::read(bytes, limits),
        Format::Odt => odt::read(bytes, limits),
        Format::Xlsx | Format::Ods | Format::Xls => sheets::read(format, bytes, limits),
        Format::Email => email::read(bytes, limits),
    }?;
    if extract.text.trim().is_empty() {
        return Err(faults::without_text());
    }
    Ok(extract)
}
