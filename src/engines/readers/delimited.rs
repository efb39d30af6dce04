//! Rows of fields, by csv: each row says its column names again, so that a passage explains itself.

use super::extract::{Composer, Extract, Limits};
use super::{faults, text};
use crate::base::fault::Fault;

/// The delimiters looked for, in order of preference when equal.
const DELIMITERS: [u8; 4] = [b';', b',', b'\t', b'|'];
/// How many lines are looked at to find the delimiter.
const SNIFFED_LINES: usize = 20;

/// Reads a table; the first row names the columns when all its fields are words.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    let source = text::decode(bytes, None)?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(&source))
        .flexible(true)
        .has_headers(false)
        .from_reader(source.as_bytes());
    let mut table = Table::default();
    let mut composer = Composer::new(limits);
    let mut record = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => table.row(record.iter(), &mut composer)?,
            Ok(false) => return Ok(composer.finish()),
            Err(e) => {
                return Err(faults::damaged("The table cannot be read to its end.").because(e));
            }
        }
    }
}

/// The delimiter that splits the first lines most evenly.
fn delimiter(source: &str) -> u8 {
    let lines: Vec<&str> =
        source.lines().filter(|l| !l.trim().is_empty()).take(SNIFFED_LINES).collect();
    let mut best = (0, b',');
    for candidate in DELIMITERS {
        let counts = lines.iter().map(|line| outside_quotes(line, candidate));
        // What every line has at least; a comma in a price is not in every line.
        let least = counts.min().unwrap_or(0);
        if least > best.0 {
            best = (least, candidate);
        }
    }
    if best.0 == 0 {
        let total = |c: u8| lines.iter().map(|l| outside_quotes(l, c)).sum::<usize>();
        return DELIMITERS.into_iter().max_by_key(|c| total(*c)).unwrap_or(b',');
    }
    best.1
}

fn outside_quotes(line: &str, delimiter: u8) -> usize {
    let mut quoted = false;
    let mut count = 0;
    for byte in line.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            _ if byte == delimiter && !quoted => count += 1,
            _ => {}
        }
    }
    count
}

/// Writes rows one by one as `column: value`.
#[derive(Default)]
pub struct Table {
    columns: Option<Vec<String>>,
    written: bool,
}

impl Table {
    /// Writes one row, or keeps it as the column names when it is the first and all words.
    pub fn row<'a>(
        &mut self,
        fields: impl Iterator<Item = &'a str>,
        composer: &mut Composer,
    ) -> Result<(), Fault> {
        let fields: Vec<&str> = fields.map(str::trim).collect();
        if fields.iter().all(|f| f.is_empty()) {
            return Ok(());
        }
        let Some(columns) = &self.columns else {
            let names = if are_names(&fields) { fields.iter() } else { [].iter() };
            self.columns = Some(names.map(|s| (*s).to_owned()).collect());
            // The names are written once too: a table of names alone is still found.
            return self.line(&fields.join(" | "), composer);
        };
        let mut line = String::new();
        for (at, field) in fields.iter().enumerate().filter(|(_, f)| !f.is_empty()) {
            if !line.is_empty() {
                line.push_str(" ; ");
            }
            match columns.get(at).filter(|c| !c.is_empty()) {
                Some(column) => {
                    line.push_str(column);
                    line.push_str(": ");
                    line.push_str(field);
                }
                None => line.push_str(field),
            }
        }
        self.line(&line, composer)
    }

    fn line(&mut self, line: &str, composer: &mut Composer) -> Result<(), Fault> {
        let line = line.replace(['\n', '\r'], " ");
        if std::mem::replace(&mut self.written, true) {
            composer.line(&line)
        } else {
            composer.paragraph(&line)
        }
    }
}

/// Column names are words, at least two of them, none twice.
fn are_names(fields: &[&str]) -> bool {
    let words = fields.iter().filter(|f| !f.is_empty());
    let all_words = words.clone().all(|f| f.chars().any(char::is_alphabetic));
    let mut sorted: Vec<&&str> = words.collect();
    let count = sorted.len();
    sorted.sort_unstable();
    sorted.dedup();
    all_words && count >= 2 && sorted.len() == count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_explain_themselves() {
        let source = b"Nom;Ville;Prix\n\"Luc; fils\";Lyon;1,5\nAnne;;2\n";
        let extract = read(source, &Limits::default()).unwrap();
        assert_eq!(
            extract.text,
            "Nom | Ville | Prix\nNom: Luc; fils ; Ville: Lyon ; Prix: 1,5\nNom: Anne ; Prix: 2"
        );
        assert_eq!(delimiter("a,b\n1,2"), b',');
        assert_eq!(delimiter("a\tb\n1,5\t2,5"), b'\t');
    }

    #[test]
    fn a_first_row_of_numbers_names_nothing() {
        assert_eq!(read(b"1,2\n3,4", &Limits::default()).unwrap().text, "1 | 2\n3 ; 4");
    }
}
