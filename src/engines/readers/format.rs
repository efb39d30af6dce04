//! Which format a file is in: by its first bytes where they say so, else by its name.

use std::fmt;
use std::str::FromStr;

use super::faults;
use crate::base::fault::Fault;

/// A format this box reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Plain text, source code, logs, settings.
    Text,
    /// Markdown.
    Markdown,
    /// reStructuredText.
    Rst,
    /// A web page.
    Html,
    /// Rows of fields between commas, semicolons or tabs.
    Csv,
    /// JSON, one value or one per line.
    Json,
    /// Portable Document Format.
    Pdf,
    /// Word, since 2007.
    Docx,
    /// Text of the open document family, as LibreOffice writes it.
    Odt,
    /// Excel, since 2007.
    Xlsx,
    /// Spreadsheet of the open document family.
    Ods,
    /// Excel, before 2007.
    Xls,
    /// An e-mail message.
    Email,
}

/// Each format with its word on a command line and its media type.
const FORMATS: [(Format, &str, &str); 13] = [
    (Format::Text, "txt", "text/plain"),
    (Format::Markdown, "md", "text/markdown"),
    (Format::Rst, "rst", "text/x-rst"),
    (Format::Html, "html", "text/html"),
    (Format::Csv, "csv", "text/csv"),
    (Format::Json, "json", "application/json"),
    (Format::Pdf, "pdf", "application/pdf"),
    (
        Format::Docx,
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    (Format::Odt, "odt", "application/vnd.oasis.opendocument.text"),
    (Format::Xlsx, "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (Format::Ods, "ods", "application/vnd.oasis.opendocument.spreadsheet"),
    (Format::Xls, "xls", "application/vnd.ms-excel"),
    (Format::Email, "eml", "message/rfc822"),
];

/// Extensions of formats whose content has no magic of its own.
const EXTENSIONS: [(&str, Format); 20] = [
    ("md", Format::Markdown),
    ("markdown", Format::Markdown),
    ("rst", Format::Rst),
    ("html", Format::Html),
    ("htm", Format::Html),
    ("xhtml", Format::Html),
    ("csv", Format::Csv),
    ("tsv", Format::Csv),
    ("json", Format::Json),
    ("jsonl", Format::Json),
    ("ndjson", Format::Json),
    ("pdf", Format::Pdf),
    ("docx", Format::Docx),
    ("docm", Format::Docx),
    ("odt", Format::Odt),
    ("xlsx", Format::Xlsx),
    ("xlsm", Format::Xlsx),
    ("ods", Format::Ods),
    ("xls", Format::Xls),
    ("eml", Format::Email),
];

/// Extensions that are plain text to a person who searches.
const PLAIN: [&str; 30] = [
    "txt",
    "text",
    "log",
    "py",
    "rs",
    "js",
    "ts",
    "css",
    "sql",
    "sh",
    "ini",
    "toml",
    "yaml",
    "yml",
    "xml",
    "cfg",
    "conf",
    "bat",
    "ps1",
    "java",
    "c",
    "h",
    "cpp",
    "go",
    "php",
    "rb",
    "tex",
    "properties",
    "srt",
    "vtt",
];

/// How many of a file's first bytes are worth showing to [`Format::detect`].
pub const FIRST_BYTES: usize = 4096;

impl Format {
    /// The format of a file from its name (or path) and its first [`FIRST_BYTES`] bytes.
    ///
    /// Content that names itself wins over the extension; `format_unknown` when neither helps.
    pub fn detect(name: &str, first_bytes: &[u8]) -> Result<Self, Fault> {
        let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let extension = file.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
        let named = extension.as_deref().and_then(by_extension);
        if let Some(format) = by_content(first_bytes, named)? {
            return Ok(format);
        }
        if let Some(format) = named {
            return Ok(format);
        }
        // A README or a LICENSE: no extension, yet text all the same.
        if extension.is_none() && looks_like_text(first_bytes) {
            return Ok(Self::Text);
        }
        Err(faults::unknown())
    }

    /// The media type, for a `Content-Type` header.
    pub fn media_type(self) -> &'static str {
        self.entry().2
    }

    /// The usual extension, which is also the word for it on a command line.
    pub fn word(self) -> &'static str {
        self.entry().1
    }

    fn entry(self) -> (Self, &'static str, &'static str) {
        FORMATS.into_iter().find(|(format, _, _)| *format == self).unwrap_or((
            Self::Text,
            "txt",
            "text/plain",
        ))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Format {
    type Err = Fault;

    fn from_str(word: &str) -> Result<Self, Fault> {
        let found = FORMATS.iter().find(|(_, known, _)| *known == word);
        found.map(|(format, _, _)| *format).ok_or_else(faults::unknown)
    }
}

fn by_extension(extension: &str) -> Option<Format> {
    if PLAIN.contains(&extension) {
        return Some(Format::Text);
    }
    EXTENSIONS.iter().find(|(known, _)| *known == extension).map(|(_, format)| *format)
}

/// What the bytes say by themselves. A container that only the extension can explain stays with
/// the extension; one that nobody explains is refused, whatever its name pretends.
fn by_content(bytes: &[u8], named: Option<Format>) -> Result<Option<Format>, Fault> {
    if bytes.get(..1024.min(bytes.len())).is_some_and(|head| contains(head, b"%PDF-")) {
        return Ok(Some(Format::Pdf));
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return by_archive(bytes, named).map(Some).ok_or_else(faults::unknown);
    }
    // The compound file of old Office; a new Office file that is encrypted hides in one too.
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        let format = named.filter(|f| matches!(f, Format::Xls | Format::Docx | Format::Xlsx));
        return format.map(Some).ok_or_else(faults::unknown);
    }
    let named_as_text = named.is_none_or(|f| f == Format::Text);
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    let head = bytes.get(start..).unwrap_or_default().to_ascii_lowercase();
    if named_as_text && (head.starts_with(b"<!doctype html") || head.starts_with(b"<html")) {
        return Ok(Some(Format::Html));
    }
    let mail = [&b"return-path: "[..], b"received: from", b"mime-version: 1", b"delivered-to: "];
    if named.is_none() && mail.iter().any(|m| head.starts_with(m)) {
        return Ok(Some(Format::Email));
    }
    Ok(None)
}

fn by_archive(bytes: &[u8], named: Option<Format>) -> Option<Format> {
    const OPEN_DOCUMENT: &[u8] = b"mimetypeapplication/vnd.oasis.opendocument.";
    if contains(bytes, OPEN_DOCUMENT) {
        let text = contains(bytes, b"opendocument.text");
        let sheet = contains(bytes, b"opendocument.spreadsheet");
        return match (text, sheet) {
            (true, _) => Some(Format::Odt),
            (_, true) => Some(Format::Ods),
            _ => None,
        };
    }
    let archived =
        named.filter(|f| matches!(f, Format::Docx | Format::Odt | Format::Xlsx | Format::Ods));
    if archived.is_some() {
        return archived;
    }
    if contains(bytes, b"word/document.xml") {
        return Some(Format::Docx);
    }
    contains(bytes, b"xl/workbook.xml").then_some(Format::Xlsx)
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|w| w == word)
}

fn looks_like_text(bytes: &[u8]) -> bool {
    let whole = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // The last character may be cut by where the first bytes end.
        Err(e) => e.error_len().is_none(),
    };
    whole && !bytes.is_empty() && !bytes.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_wins_over_names() {
        let cases: [(&str, &[u8], Option<Format>); 16] = [
            ("a.txt", b"bonjour", Some(Format::Text)),
            ("A.PDF", b"", Some(Format::Pdf)),
            ("a.txt", b"%PDF-1.7", Some(Format::Pdf)),
            ("a.docx", b"PK\x03\x04", Some(Format::Docx)),
            ("a.zip", b"PK\x03\x04....word/document.xml", Some(Format::Docx)),
            ("a.zip", b"PK\x03\x04....photo.jpg", None),
            (
                "a.docx",
                b"PK\x03\x04..mimetypeapplication/vnd.oasis.opendocument.text",
                Some(Format::Odt),
            ),
            ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", None),
            ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Some(Format::Xls)),
            ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Some(Format::Docx)),
            ("README", "été".as_bytes(), Some(Format::Text)),
            ("page", b"  <!DOCTYPE HTML>", Some(Format::Html)),
            ("note.md", b"<html>", Some(Format::Markdown)),
            ("x.png", b"\x89PNG", None),
            ("dir.d/README", b"text", Some(Format::Text)),
            ("mail", b"Received: from a", Some(Format::Email)),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(Format::detect(name, bytes).ok(), expected, "{name}");
        }
        for (format, word, _) in FORMATS {
            assert_eq!(word.parse::<Format>().ok(), Some(format));
        }
    }
}
