//! Workbooks, by calamine: each sheet under its name, each row with its column names.

use std::borrow::Cow;
use std::io::Cursor;

use calamine::{
    Data, ExcelDateTime, Ods, OdsError, Reader, SheetVisible, Xls, XlsError, Xlsx, XlsxError,
};

use super::archive::Archive;
use super::delimited::Table;
use super::extract::{Composer, Extract, Limits};
use super::faults;
use super::format::Format;
use super::xml::Properties;
use crate::base::fault::Fault;

/// Rows with more columns than this are cut: the widest sheet Excel knows.
const COLUMNS_MAX: u32 = 16_384;

/// Reads a workbook of any of the three kinds.
pub fn read(format: Format, bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    let mut composer = Composer::new(limits);
    if format == Format::Xls {
        let workbook = Xls::new(Cursor::new(bytes)).map_err(old_refusal)?;
        return dense(workbook, old_refusal, composer, limits);
    }
    let mut archive = Archive::open(bytes, limits)?;
    // calamine unpacks without counting, so everything is unpacked and counted first.
    archive.prove()?;
    let properties = if format == Format::Ods { "meta.xml" } else { "docProps/core.xml" };
    let mut archive = Archive::open(bytes, limits)?;
    if let Some(part) = archive.part(properties)? {
        let said = Properties::read(&part, limits);
        composer.title(&said.title);
        composer.author(&said.creator);
        composer.date(said.date);
    }
    if format == Format::Ods {
        let workbook = Ods::new(Cursor::new(bytes)).map_err(open_refusal)?;
        return dense(workbook, open_refusal, composer, limits);
    }
    sparse(bytes, composer, limits)
}

/// Excel since 2007, cell by cell: two cells at opposite corners must not fill the memory.
fn sparse(bytes: &[u8], mut composer: Composer, limits: &Limits) -> Result<Extract, Fault> {
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(new_refusal)?;
    for name in visible(workbook.sheets_metadata(), limits)? {
        composer.heading(1, &name)?;
        let mut cells = match workbook.worksheet_cells_reader(&name) {
            Ok(cells) => cells,
            // A sheet that is a chart has no cells.
            Err(XlsxError::NotAWorksheet(_)) => continue,
            Err(e) => return Err(new_refusal(e)),
        };
        let mut table = Table::default();
        let mut row: Vec<String> = Vec::new();
        let mut at = None;
        while let Some(cell) = cells.next_cell().map_err(new_refusal)? {
            let (line, column) = cell.get_position();
            if at != Some(line) {
                table.row(row.iter().map(String::as_str), &mut composer)?;
                row.clear();
                at = Some(line);
            }
            let words = words(&Data::from(cell.get_value().clone())).into_owned();
            if !words.is_empty() && column < COLUMNS_MAX {
                let column = column as usize;
                if row.len() <= column {
                    row.resize(column + 1, String::new());
                }
                if let Some(field) = row.get_mut(column) {
                    *field = words;
                }
            }
        }
        table.row(row.iter().map(String::as_str), &mut composer)?;
    }
    Ok(composer.finish())
}

/// The two kinds that calamine reads into a full rectangle.
fn dense<'b, R: Reader<Cursor<&'b [u8]>>>(
    mut workbook: R,
    refusal: fn(R::Error) -> Fault,
    mut composer: Composer,
    limits: &Limits,
) -> Result<Extract, Fault> {
    for name in visible(workbook.sheets_metadata(), limits)? {
        composer.heading(1, &name)?;
        let range = workbook.worksheet_range(&name).map_err(refusal)?;
        let mut table = Table::default();
        for row in range.rows() {
            let fields: Vec<Cow<'_, str>> = row.iter().map(words).collect();
            table.row(fields.iter().map(AsRef::as_ref), &mut composer)?;
        }
    }
    Ok(composer.finish())
}

fn visible(sheets: &[calamine::Sheet], limits: &Limits) -> Result<Vec<String>, Fault> {
    if sheets.len() > limits.entries_max {
        return Err(faults::too_large("The workbook holds too many sheets."));
    }
    let shown = sheets.iter().filter(|s| s.visible == SheetVisible::Visible);
    Ok(shown.map(|s| s.name.clone()).collect())
}

/// A value as a person reads it in the cell; an error or an empty cell says nothing.
fn words(value: &Data) -> Cow<'_, str> {
    match value {
        Data::String(words) | Data::DurationIso(words) => Cow::Borrowed(words),
        // `2025-03-15T06:45:00`, as OpenDocument writes it.
        Data::DateTimeIso(words) => {
            let words = words.replacen('T', " ", 1);
            let minutes = words.strip_suffix(":00").filter(|w| w.contains(':'));
            Cow::Owned(minutes.unwrap_or(&words).to_owned())
        }
        Data::Int(number) => Cow::Owned(number.to_string()),
        Data::Float(number) => Cow::Owned(number.to_string()),
        Data::Bool(yes) => Cow::Borrowed(if *yes { "true" } else { "false" }),
        Data::DateTime(moment) => Cow::Owned(date(*moment)),
        Data::Error(_) | Data::Empty => Cow::Borrowed(""),
    }
}

/// Dates as `2025-03-01`, with the time where there is one; durations as `26:30`.
fn date(moment: ExcelDateTime) -> String {
    let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
    if moment.is_duration() {
        let minutes = (moment.as_f64() * 24.0 * 60.0).round();
        return format!("{:02}:{:02}", (minutes / 60.0).trunc(), minutes % 60.0);
    }
    let days = moment.as_f64();
    let time = match (hour, minute, second) {
        (0, 0, 0) => String::new(),
        (_, _, 0) => format!("{hour:02}:{minute:02}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}"),
    };
    // A serial below one day is a time of day without a date.
    if days < 1.0 && !time.is_empty() {
        return time;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    if time.is_empty() { date } else { format!("{date} {time}") }
}

fn new_refusal(error: XlsxError) -> Fault {
    match error {
        XlsxError::Password => faults::encrypted(),
        error => faults::damaged("The workbook cannot be read.").because(error),
    }
}

fn open_refusal(error: OdsError) -> Fault {
    match error {
        OdsError::Password => faults::encrypted(),
        error => faults::damaged("The workbook cannot be read.").because(error),
    }
}

fn old_refusal(error: XlsError) -> Fault {
    match error {
        XlsError::Password => faults::encrypted(),
        error => faults::damaged("The workbook cannot be read.").because(error),
    }
}
