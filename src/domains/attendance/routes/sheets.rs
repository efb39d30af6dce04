//! The board, day and month sheets.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::clock::Moment;
use crate::base::day::{Day, Month};
use crate::base::fault::Fault;
use crate::domains::attendance::Attendance;
use crate::domains::attendance::board::{Placed, Whereabouts};
use crate::domains::attendance::counting::Counted;
use crate::domains::attendance::hours::tally::Week;
use crate::domains::attendance::hours::{Note, Stay};
use crate::domains::attendance::people::Person;
use crate::domains::attendance::records::{Flag, Kind, Shift, Totals};
use crate::domains::attendance::sheets::{DaySheet, MonthSheet};
use crate::web::{Answer, Asker, Json, Query, run};

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
        .routes(routes!(attendance_board))
        .routes(routes!(attendance_day))
        .routes(routes!(attendance_month))
        .routes(routes!(attendance_month_totals))
        .routes(routes!(attendance_own_month))
}

/// A person, as sheets and the board name one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkPerson {
    id: u64,
    username: String,
    name: String,
    active: bool,
}

impl From<Person> for WorkPerson {
    fn from(person: Person) -> Self {
        let Person { number, username, name, active, .. } = person;
        Self { id: number, username, name, active }
    }
}

/// A person on the board.
#[derive(Debug, Serialize, ToSchema)]
struct BoardPlace {
    person: WorkPerson,
    state: Whereabouts,
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Moment>,
    kiosk_id: Option<u64>,
    kiosk_name: Option<String>,
    shift: Option<Shift>,
}

impl From<Placed> for BoardPlace {
    fn from(placed: Placed) -> Self {
        let (kiosk_id, kiosk_name) = placed.kiosk.unzip();
        Self {
            person: placed.person.into(),
            state: placed.whereabouts,
            since: placed.since,
            kiosk_id,
            kiosk_name,
            shift: placed.shift,
        }
    }
}

/// Who is here now.
#[derive(Debug, Serialize, ToSchema)]
struct PresenceBoard {
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
    site: String,
    /// How many are here, or on a break: whom an evacuation has to find.
    inside: usize,
    people: Vec<BoardPlace>,
}

/// Who is here now: those present first, then those on a break, expected, and away.
#[utoipa::path(get, path = "/attendance/board", tag = "attendance",
    responses((status = 200, body = PresenceBoard), (status = 403, description = "`right_missing`")))]
async fn attendance_board(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
) -> Answer<PresenceBoard> {
    let board = run(move || desk.board(&caller)).await?;
    let people: Vec<BoardPlace> = board.people.into_iter().map(Into::into).collect();
    let inside =
        |place: &&BoardPlace| matches!(place.state, Whereabouts::Present | Whereabouts::OnBreak);
    let inside = people.iter().filter(inside).count();
    Ok(Json(PresenceBoard { at: board.at, site: board.site, inside, people }))
}

/// A punch as it counts.
#[derive(Debug, Serialize, ToSchema)]
struct CountedPunch {
    /// Its integer; none for one that a correction adds.
    id: Option<u64>,
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
    kind: Kind,
    flags: Vec<Flag>,
    /// The correction that makes it count like this, by number.
    correction: Option<u64>,
    /// When it was made, where a correction says otherwise.
    #[schema(value_type = Option<String>, format = DateTime)]
    made_at: Option<Moment>,
}

impl From<Counted> for CountedPunch {
    fn from(counted: Counted) -> Self {
        let Counted { at, kind, number, flags, correction, made_at, .. } = counted;
        Self { id: number, at, kind, flags, correction, made_at }
    }
}

/// A day of one person; lengths in minutes.
#[derive(Debug, Serialize, ToSchema)]
struct DayOfWork {
    #[schema(value_type = String, format = Date)]
    day: Day,
    stays: Vec<Stay>,
    worked: u32,
    paused: u32,
    night: u32,
    sunday: u32,
    /// When the person was expected.
    shift: Option<Shift>,
    late: u32,
    early: u32,
    absent: bool,
    notes: Vec<Note>,
    punches: Vec<CountedPunch>,
}

impl From<DaySheet> for DayOfWork {
    fn from(sheet: DaySheet) -> Self {
        let DaySheet { day, workday, shift, late, early, absent, punches } = sheet;
        let punches = punches.into_iter().map(Into::into).collect();
        let Some(work) = workday else {
            return Self {
                day,
                stays: Vec::new(),
                worked: 0,
                paused: 0,
                night: 0,
                sunday: 0,
                shift,
                late,
                early,
                absent,
                notes: Vec::new(),
                punches,
            };
        };
        Self {
            day,
            stays: work.stays,
            worked: work.worked,
            paused: work.paused,
            night: work.night,
            sunday: work.sunday,
            shift,
            late,
            early,
            absent,
            notes: work.notes,
            punches,
        }
    }
}

/// Which day.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct DayAsked {
    /// The day, `YYYY-MM-DD`; today unless told.
    #[param(value_type = Option<String>, format = Date)]
    date: Option<String>,
}

/// A person's day on everybody's sheet.
#[derive(Debug, Serialize, ToSchema)]
struct DayRow {
    person: WorkPerson,
    #[serde(flatten)]
    day: DayOfWork,
}

/// Everybody's sheet of one day: who punched or was expected.
#[utoipa::path(get, path = "/attendance/day", tag = "attendance", params(DayAsked),
    responses((status = 200, body = Vec<DayRow>), (status = 400, description = "`invalid_date`"),
        (status = 403, description = "`right_missing`")))]
async fn attendance_day(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<DayAsked>,
) -> Answer<Vec<DayRow>> {
    let rows = run(move || {
        let day = match asked.date.as_deref() {
            Some(text) => read_day(text)?,
            None => desk.today()?,
        };
        desk.day(&caller, day)
    })
    .await?;
    let row =
        |(person, sheet): (Person, DaySheet)| DayRow { person: person.into(), day: sheet.into() };
    Ok(Json(rows.into_iter().map(row).collect()))
}

/// A month of one person; lengths in minutes.
#[derive(Debug, Serialize, ToSchema)]
struct MonthOfWork {
    person: WorkPerson,
    #[schema(value_type = String)]
    month: Month,
    /// Whether it is closed: then the totals are those of the closing.
    closed: bool,
    days: Vec<DayOfWork>,
    weeks: Vec<Week>,
    totals: Totals,
}

impl From<MonthSheet> for MonthOfWork {
    fn from(sheet: MonthSheet) -> Self {
        let MonthSheet { person, month, closed, days, weeks, totals } = sheet;
        let days = days.into_iter().map(Into::into).collect();
        Self { person: person.into(), month, closed, days, weeks, totals }
    }
}

/// Which month of whom.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PersonMonthAsked {
    /// The month, `YYYY-MM`; this one unless told.
    month: Option<String>,
    /// Whose.
    user_id: u64,
}

/// Which month.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct MonthAsked {
    /// The month, `YYYY-MM`; this one unless told.
    month: Option<String>,
}

/// A month of one person.
#[utoipa::path(get, path = "/attendance/month", tag = "attendance", params(PersonMonthAsked),
    responses((status = 200, body = MonthOfWork), (status = 400, description = "`invalid_month`"),
        (status = 403, description = "`right_missing`"), (status = 404, description = "`not_found`")))]
async fn attendance_month(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<PersonMonthAsked>,
) -> Answer<MonthOfWork> {
    let sheet = run(move || {
        let month = desk.which_month(asked.month.as_deref())?;
        desk.month(&caller, asked.user_id, month)
    })
    .await?;
    Ok(Json(sheet.into()))
}

/// A month of the caller.
#[utoipa::path(get, path = "/attendance/me/month", tag = "attendance", params(MonthAsked),
    responses((status = 200, body = MonthOfWork), (status = 400, description = "`invalid_month`"),
        (status = 403, description = "`right_missing`")))]
async fn attendance_own_month(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<MonthAsked>,
) -> Answer<MonthOfWork> {
    let sheet = run(move || {
        let month = desk.which_month(asked.month.as_deref())?;
        desk.own_month(&caller, month)
    })
    .await?;
    Ok(Json(sheet.into()))
}

/// What a month comes to for one person.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PersonTotals {
    person: WorkPerson,
    totals: Totals,
}

impl From<(Person, Totals)> for PersonTotals {
    fn from((person, totals): (Person, Totals)) -> Self {
        Self { person: person.into(), totals }
    }
}

/// What a month comes to for everybody who has something in it.
#[utoipa::path(get, path = "/attendance/totals", tag = "attendance", params(MonthAsked),
    responses((status = 200, body = Vec<PersonTotals>), (status = 400, description = "`invalid_month`"),
        (status = 403, description = "`right_missing`")))]
async fn attendance_month_totals(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<MonthAsked>,
) -> Answer<Vec<PersonTotals>> {
    let totals = run(move || {
        let month = desk.which_month(asked.month.as_deref())?;
        desk.totals(&caller, month)
    })
    .await?;
    Ok(Json(totals.into_iter().map(Into::into).collect()))
}

impl Attendance {
    /// The month that a text names; this one where there is none.
    fn which_month(&self, text: Option<&str>) -> Result<Month, Fault> {
        text.map_or_else(|| Ok(self.today()?.month()), read_month)
    }
}

pub(super) fn read_day(text: &str) -> Result<Day, Fault> {
    let message = "invalid_date: a day reads 2026-11-25";
    text.parse().map_err(|_| Fault::invalid("invalid_date", message))
}

pub(super) fn read_month(text: &str) -> Result<Month, Fault> {
    let message = "invalid_month: a month reads 2026-11";
    text.parse().map_err(|_| Fault::invalid("invalid_month", message))
}
