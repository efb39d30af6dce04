//! One table of the plan: rows on a desk, cards on a phone, and on paper what was asked for.

use super::html::Html;
use super::layout::View;
use crate::base::clock::Moment;
use crate::domains::continuity::pack::part::{Cell, Row, Section, Words};

/// Texts of so many characters stay on one line: a plate, a dock, a number.
const SHORT: usize = 12;

/// The page of a table.
pub fn section(view: &View<'_>, section: &Section, stale: Option<Moment>) -> String {
    view.page(view.lang.of(&section.title), None, |h| {
        table(view, h, section, stale);
    })
}

/// The table itself.
fn table(view: &View<'_>, h: &mut Html, section: &Section, stale: Option<Moment>) {
    if let Some(since) = stale {
        let words = match view.lang {
            super::Lang::Fr => {
                format!("Cette page n’a plus été mise à jour depuis {}.", view.time(since))
            }
            super::Lang::En => {
                format!("This page has not been brought up to date since {}.", view.time(since))
            }
        };
        h.say("p", &[("class", "notice warn")], &words);
    }
    if section.rows.is_empty() {
        h.say("p", &[("class", "soft")], view.lang.of(&section.empty));
        return;
    }
    let notes = section.notes && view.may_note();
    h.el("table", &[], |h| {
        h.say("caption", &[("class", "hidden")], view.lang.of(&section.title));
        h.el("thead", &[], |h| {
            h.el("tr", &[], |h| {
                for (_, column) in
                    section.columns.iter().enumerate().filter(|(n, _)| said(section, *n))
                {
                    h.say("th", &[("scope", "col")], view.lang.of(column));
                }
                if notes {
                    h.el("th", &[("scope", "col"), ("class", "screen")], |h| {
                        h.say("span", &[("class", "hidden")], view.pick("Noter", "Note"));
                    });
                }
            });
        });
        h.el("tbody", &[], |h| {
            for row in &section.rows {
                h.el("tr", &[], |h| {
                    cells(view, h, section, row);
                    if notes {
                        note_link(view, h, section, row);
                    }
                });
            }
        });
    });
}

/// Whether any row says something in that column; one where none does is not shown.
fn said(section: &Section, column: usize) -> bool {
    section.rows.iter().any(|row| match row.cells.get(column) {
        None => false,
        Some(Cell::Text(text)) => !text.trim().is_empty(),
        Some(Cell::Words(words)) => !(words.fr.is_empty() && words.en.is_empty()),
        Some(Cell::At(_) | Cell::File { .. }) => true,
    })
}

fn cells(view: &View<'_>, h: &mut Html, section: &Section, row: &Row) {
    let no_head = Words::default();
    for (place, cell) in row.cells.iter().enumerate().filter(|(n, _)| said(section, *n)) {
        let head = view.lang.of(section.columns.get(place).unwrap_or(&no_head));
        let short = match cell {
            Cell::Text(text) => text.chars().count() <= SHORT,
            _ => false,
        };
        let attributes = [("data-label", head), ("class", if short { "short" } else { "" })];
        let attributes = attributes.get(..1 + usize::from(short)).unwrap_or_default();
        h.el("td", attributes, |h| show(view, h, cell));
    }
}

/// What stands in a cell.
fn show(view: &View<'_>, h: &mut Html, cell: &Cell) {
    match cell {
        Cell::Text(text) if is_phone(text) => {
            let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
            h.link(&format!("tel:{digits}"), text);
        }
        Cell::Text(text) if is_mail(text) => {
            h.link(&format!("mailto:{text}"), text);
        }
        Cell::Text(text) => {
            h.text(text);
        }
        Cell::Words(words) => {
            h.text(view.lang.of(words));
        }
        Cell::At(at) => {
            h.say("time", &[("datetime", &at.to_rfc3339())], &view.time(*at));
        }
        Cell::File { name, sha256 } => {
            h.link(&format!("/planb/file/{sha256}"), name);
        }
    }
}

/// Where a note about a row is written.
fn note_link(view: &View<'_>, h: &mut Html, section: &Section, row: &Row) {
    let to = format!("/planb/note?section={}&about={}", encoded(&section.id), encoded(&row.key));
    let about = row_name(view, row);
    h.el("td", &[("class", "act screen")], |h| {
        let label =
            format!("{}{}{about}", view.pick("Noter un changement", "Note a change"), view.colon());
        h.say("a", &[("href", &view.to(&to)), ("aria-label", &label)], view.pick("Noter", "Note"));
    });
}

/// How a row is called where there is no table: its first words.
pub(super) fn row_name(view: &View<'_>, row: &Row) -> String {
    let words = row.cells.iter().filter_map(|cell| match cell {
        Cell::Text(text) => Some(text.clone()),
        Cell::Words(words) => Some(view.lang.of(words).to_owned()),
        Cell::At(at) => Some(view.time(*at)),
        Cell::File { .. } => None,
    });
    let words: Vec<String> = words.filter(|word| !word.is_empty()).take(3).collect();
    if words.is_empty() { row.key.clone() } else { words.join(" · ") }
}

/// A value of a query, with everything escaped that is not plainly a letter or a digit (RFC 3986 §2.3).
pub fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Six digits and more, and nothing but what people write between them.
fn is_phone(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let rest = text.chars().all(|c| c.is_ascii_digit() || " +.-()/\u{a0}".contains(c));
    let start = text.starts_with('+') || text.starts_with('0') || text.starts_with('(');
    (6..=16).contains(&digits) && rest && start && !is_date(text)
}

/// `01/02/2026` and `01.02.2026` are no telephone numbers.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['/', '.', '-']).map(str::trim).collect();
    parts.len() == 3 && parts.iter().any(|part| part.len() == 4)
}

fn is_mail(text: &str) -> bool {
    let Some((name, place)) = text.split_once('@') else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    !name.is_empty() && place.contains('.') && name.chars().all(plain) && place.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_called_is_a_link_and_dates_are_not() {
        for (text, phone) in [
            ("06 12 34 56 78", true),
            ("+33 (0)6-12.34", true),
            ("01/02/2026", false),
            ("0471", false),
            ("12 34 56 78", false),
            ("06 12 34 poste 5", false),
            ("01.02.2026", false),
        ] {
            assert_eq!(is_phone(text), phone, "{text}");
        }
        assert!(is_mail("chef@depot.fr") && !is_mail("a@b") && !is_mail("a b@c.d"));
        assert_eq!(encoded("mission:é 1&x"), "mission%3A%C3%A9%201%26x");
    }
}
