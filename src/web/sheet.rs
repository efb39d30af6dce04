//! Lists as CSV (RFC 4180) that a spreadsheet opens without running anything in it.
//!
//! Commas, CRLF, and a byte order mark at the start: without it the spreadsheets of offices read UTF-8 as
//! something else, and "Léa" as "LÃ©a". What a spreadsheet would take for a formula gets an apostrophe in
//! front, since names and programs in the journal are foreign words: at the start of a cell, and wherever a
//! cell would start for a spreadsheet that parts lines at `;` or tabs, as a French one does. For that one
//! quotes inside of a line quote nothing, so that a line break in a cell begins a row.

/// The media type.
pub const MEDIA_TYPE: &str = "text/csv; charset=utf-8; header=present";
/// What says that the bytes are UTF-8.
const MARK: &str = "\u{feff}";
/// First characters that make a spreadsheet calculate.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// After these some spreadsheet begins another cell.
const PARTING: [char; 4] = [';', '\t', '\r', '\n'];

/// The rows under their column names.
pub fn sheet<const N: usize>(
    names: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    self::rows(&names, rows)
}

/// The same where only the data says how many columns there are.
pub fn rows<C: AsRef<str>>(
    names: &[C],
    rows: impl IntoIterator<Item = impl AsRef<[String]>>,
) -> String {
    let mut text = MARK.to_owned();
    line(&mut text, names.iter().map(AsRef::as_ref));
    for row in rows {
        line(&mut text, row.as_ref().iter().map(String::as_str));
    }
    text
}

fn line<'c>(text: &mut String, cells: impl Iterator<Item = &'c str>) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            text.push(',');
        }
        let cell = guarded(cell);
        if cell.contains(['"', ',', '\r', '\n']) {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(&cell);
        }
    }
    text.push_str("\r\n");
}

/// A cell in which nothing calculates, wherever a spreadsheet has it start. Blanks and quotes in front of
/// a formula are passed over, since spreadsheets take them away.
fn guarded(cell: &str) -> String {
    let mut guarded = String::with_capacity(cell.len() + 1);
    let mut starts = true;
    for character in cell.chars() {
        if starts && FORMULA.contains(&character) {
            guarded.push('\'');
        }
        let passed = character == '"' || character.is_whitespace();
        starts = PARTING.contains(&character) || (starts && passed);
        guarded.push(character);
    }
    guarded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_cell_calculates() {
        let rows = [["Léa".to_owned(), "a,\"b\"\nc".to_owned()], ["=1+1".into(), "-2,x".into()]];
        let text = sheet(["who", "what"], rows);
        assert_eq!(text, "\u{feff}who,what\r\nLéa,\"a,\"\"b\"\"\nc\"\r\n'=1+1,\"'-2,x\"\r\n");
        for start in ["+", "@", "\t", "\r"] {
            assert!(sheet(["x"], [[format!("{start}x")]]).contains(&format!("'{start}x")));
        }
    }

    #[test]
    fn nothing_calculates_where_a_french_spreadsheet_parts_a_line() {
        for (cell, wanted) in [
            ("Moz;=cmd|' /C calc'!A0", "Moz;'=cmd|' /C calc'!A0"),
            ("a; \u{a0}-1;+2;@x", "a; \u{a0}'-1;'+2;'@x"),
            ("a\t=1", "a\t'=1"),
            ("  =1", "  '=1"),
            ("a;\t=1", "a;'\t'=1"),
            ("a\n=1", "\"a\n'=1\""),
            ("a;\"=1\"", "\"a;\"\"'=1\"\"\""),
            ("a;b=1; c-d a@b", "a;b=1; c-d a@b"),
        ] {
            let text = sheet(["x"], [[cell.to_owned()]]);
            assert_eq!(text, format!("\u{feff}x\r\n{wanted}\r\n"));
        }
    }
}
