//! Lists as CSV (RFC 4180) that a spreadsheet opens without running anything in it.
//!
//! Commas, CRLF, and a byte order mark at the start: without it the spreadsheets of offices read UTF-8 as
//! something else, and "Léa" as "LÃ©a". A cell that a spreadsheet would take for a formula gets a leading
//! apostrophe, since names and programs in the journal are foreign words.

/// The media type.
pub const MEDIA_TYPE: &str = "text/csv; charset=utf-8; header=present";
/// What says that the bytes are UTF-8.
const MARK: &str = "\u{feff}";
/// First characters that make a spreadsheet calculate.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The rows under their column names.
pub fn sheet<const N: usize>(
    names: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut text = MARK.to_owned();
    line(&mut text, names.iter().copied());
    for row in rows {
        line(&mut text, row.iter().map(String::as_str));
    }
    text
}

fn line<'c>(text: &mut String, cells: impl Iterator<Item = &'c str>) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            text.push(',');
        }
        let guard = if cell.starts_with(FORMULA) { "'" } else { "" };
        if cell.contains(['"', ',', '\r', '\n']) {
            text.push('"');
            text.push_str(guard);
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(guard);
            text.push_str(cell);
        }
    }
    text.push_str("\r\n");
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
}
