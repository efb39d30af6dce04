//! Plain text, in whatever encoding the depot's machines left it.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::extract::{Composer, Extract, Limits};
use super::faults;
use crate::base::fault::Fault;

/// More control characters than one in this many, and it is no text.
const CONTROLS_ONE_IN: usize = 50;

/// Reads plain text; an empty line ends a paragraph.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    let text = decode(bytes, None)?;
    let mut composer = Composer::new(limits);
    for paragraph in paragraphs(&text) {
        composer.paragraph(paragraph)?;
    }
    Ok(composer.finish())
}

/// The paragraphs of a text: what stands between empty lines.
pub fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        for line in rest.split_inclusive('\n') {
            end += line.len();
            if line.trim().is_empty() {
                break;
            }
        }
        let (paragraph, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = after;
        Some(paragraph)
    })
}

/// Bytes as text: a byte order mark decides, then `label` (what the document says of itself),
/// then UTF-8 where it is valid or nearly so, else Windows-1252, which French depots still write.
///
/// `format_unknown` when the result is not text at all.
pub fn decode(bytes: &[u8], label: Option<&[u8]>) -> Result<String, Fault> {
    let encoding = match Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding,
        None => unmarked(bytes, label),
    };
    let (text, _, _) = encoding.decode(bytes);
    let controls = text.chars().filter(|c| c.is_control() && !c.is_whitespace()).count();
    if controls > text.len() / CONTROLS_ONE_IN + 1 {
        return Err(faults::unknown());
    }
    Ok(text.into_owned())
}

fn unmarked(bytes: &[u8], label: Option<&[u8]>) -> &'static Encoding {
    if mostly_utf8(bytes) {
        return UTF_8;
    }
    // What a page says of itself is believed for single-byte encodings: UTF-8 was just ruled out.
    let said = label.and_then(Encoding::for_label).filter(|e| *e != UTF_8 && !is_wide(e));
    said.unwrap_or_else(|| wide_without_mark(bytes).unwrap_or(WINDOWS_1252))
}

fn is_wide(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

/// UTF-16 without a mark shows as a zero in nearly every second byte of western text.
fn wide_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..bytes.len().min(512))?;
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).filter(|b| **b == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), head.len() / 2);
    if half < 4 {
        None
    } else if odd * 10 > half * 7 && even * 10 < half {
        Some(UTF_16LE)
    } else if even * 10 > half * 7 && odd * 10 < half {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// Valid UTF-8, or UTF-8 with a few damaged places: one flipped byte must not garble every accent.
fn mostly_utf8(bytes: &[u8]) -> bool {
    if bytes.contains(&0) && wide_without_mark(bytes).is_some() {
        return false;
    }
    let (mut good, mut bad) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    bad == 0 || good > bad * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depots_write_in_several_encodings() {
        let accents = "Relevé d'été : 12 €";
        let cp1252 = b"Relev\xe9 d'\xe9t\xe9 : 12 \x80";
        let wide: Vec<u8> = accents.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut marked = vec![0xff, 0xfe];
        marked.extend_from_slice(&wide);
        for bytes in [accents.as_bytes(), cp1252, &wide, &marked] {
            assert_eq!(decode(bytes, None).unwrap(), accents);
        }
        let broken = b"\xc3\xa9t\xc3\xa9 \xc3\xa0 \xc3\xa9l\xc3\xa8ve \xff fin";
        assert_eq!(decode(broken, None).unwrap(), "été à élève \u{fffd} fin");
        assert_eq!(decode(&[0, 1, 2, 3, 4, 5], None).unwrap_err().code, "format_unknown");
    }

    #[test]
    fn empty_lines_part_paragraphs() {
        let parts: Vec<&str> = paragraphs("a\nb\n\n \nc").map(str::trim).collect();
        assert_eq!(parts, ["a\nb", "", "c"]);
    }
}
