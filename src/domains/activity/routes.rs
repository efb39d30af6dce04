//! The journal's door: statistics, the lists that clients know, the pages' own list, export.

mod journal;
mod logs;
mod stats;

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;

use super::Activity;
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Field};
use crate::web::sheet::MEDIA_TYPE;

pub use journal::VerdictView;

/// The routes of the journal's desk.
pub fn routes(desk: Activity) -> OpenApiRouter {
    stats::routes().merge(logs::routes()).merge(journal::routes()).with_state(desk)
}

/// How a list is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// JSON.
    #[default]
    Json,
    /// A sheet with a byte order mark.
    Csv,
}

fn refuse(name: &str, message: String) -> Fault {
    let place = vec!["query".to_owned(), name.to_owned()];
    Fault::fields(vec![Field { place, wrong: "value_error", message }])
}

/// How many to list: the usual number, or the one that was asked for, within bounds.
fn limit(asked: Option<usize>, usual: usize, most: usize) -> Result<usize, Fault> {
    match asked {
        None => Ok(usual),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(refuse("limit", format!("A list has 1 to {most} entries."))),
    }
}

/// Text that narrows a list; clients send an empty one for none.
fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Which end of a span a date stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    From,
    Until,
}

/// A moment of the query: RFC 3339, or a date (its whole day, in the site's time zone), with or without a
/// time of day.
fn moment(
    desk: &Activity,
    name: &str,
    text: Option<String>,
    end: End,
) -> Result<Option<Moment>, Fault> {
    let Some(text) = given(text) else { return Ok(None) };
    let wrong = || refuse(name, "This must be a date, or a date and time (RFC 3339).".to_owned());
    let at = |time: DateTime| {
        let zone = desk.directory().site()?.time_zone;
        let zone = TimeZone::get(&zone).unwrap_or(TimeZone::UTC);
        let zoned = time.to_zoned(zone).map_err(|_| wrong())?;
        Ok(Moment(zoned.timestamp().as_millisecond()))
    };
    // A date's last moment is the day's; any other one is itself in the span.
    if let Ok(day) = text.parse::<Date>()
        && !text.contains(['T', 't', ' ', ':'])
    {
        let day = if end == End::Until { day.tomorrow().map_err(|_| wrong())? } else { day };
        return at(day.to_datetime(jiff::civil::Time::midnight())).map(Some);
    }
    let moment = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => Moment(instant.as_millisecond()),
        Err(_) => at(text.parse::<DateTime>().map_err(|_| wrong())?)?,
    };
    Ok(Some(if end == End::Until { Moment(moment.0.saturating_add(1)) } else { moment }))
}

/// A reading as it is journaled: the list's name and what narrowed it, without the part that was shown.
fn reading(list: &str, filters: &[(&str, &Option<String>)]) -> String {
    use std::fmt::Write;
    filters.iter().fold(list.to_owned(), |mut text, (name, value)| {
        if let Some(value) = value.as_deref().map(str::trim).filter(|value| !value.is_empty()) {
            let _ = write!(text, " {name}={}", value.chars().take(64).collect::<String>());
        }
        text
    })
}

/// A sheet that a browser keeps as a file.
fn as_file(name: &str, sheet: String) -> Response {
    let headers = [
        (CONTENT_TYPE, MEDIA_TYPE.to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
    ];
    (headers, sheet).into_response()
}
