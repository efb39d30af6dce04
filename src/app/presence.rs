//! Presence and Plan B: who is here goes into the pack, punches written down meanwhile come back.

use std::sync::Arc;

use crate::base::caller::{Caller, Right};
use crate::domains::attendance::Attendance;
use crate::domains::attendance::board::{Placed, Whereabouts};
use crate::domains::attendance::records::Kind;
use crate::domains::attendance::standing_in::Kept;
use crate::domains::continuity::pack::part::{Cell, Part, Row, Section, Source, Words};
use crate::domains::continuity::standing::{Direction, Punch};
use crate::domains::handover::records::Outcome;
use crate::domains::handover::{Arrival, Taker};

/// The task that asks, as faults and logs name it.
const TASK: &str = "pack";

/// Who is here, on a break, or expected: whoever is not is left out.
pub(super) fn source(desk: Attendance) -> Source {
    Arc::new(move || {
        let board = desk.board(&Caller::task(TASK))?;
        let here = board.people.into_iter().filter(|p| p.whereabouts != Whereabouts::Away);
        let section = Section {
            id: "presence".to_owned(),
            title: Words::of("Présents", "Who is here"),
            right: Right::ViewAttendance.name().to_owned(),
            columns: vec![
                Words::of("Nom", "Name"),
                Words::of("État", "State"),
                Words::of("Depuis", "Since"),
                Words::of("Borne", "Kiosk"),
            ],
            rows: here.map(row).collect(),
            empty: Words::of(
                "Personne n’avait pointé son arrivée.",
                "Nobody had punched an arrival.",
            ),
            notes: true,
        };
        Ok(Part { sections: vec![section], ..Part::default() })
    })
}

fn row(placed: Placed) -> Row {
    let state = match placed.whereabouts {
        Whereabouts::Present => Words::of("Présent", "Present"),
        Whereabouts::OnBreak => Words::of("En pause", "On a break"),
        Whereabouts::Expected => Words::of("Attendu", "Expected"),
        Whereabouts::Away => Words::of("Absent", "Away"),
    };
    let nothing = || Cell::Text(String::new());
    Row {
        key: format!("user:{}", placed.person.id),
        cells: vec![
            Cell::Text(placed.person.name),
            Cell::Words(state),
            placed.since.map_or_else(nothing, Cell::At),
            placed.kiosk.map_or_else(nothing, |(_, name)| Cell::Text(name)),
        ],
    }
}

/// Takes the punches that Plan B wrote down.
pub(super) fn taker(desk: Attendance) -> Taker {
    Arc::new(move |tx, arrival: &Arrival| {
        let said: Result<Punch, _> = serde_json::from_value(arrival.body.clone());
        let Ok(said) = said else {
            return Ok(Outcome::Conflict {
                code: "punch_unreadable".into(),
                reason: "The entry is no punch that this version knows.".into(),
            });
        };
        let punch = desk.take_kept(tx, &kept(arrival, &said))?;
        Ok(Outcome::Taken { record: format!("punch {punch}") })
    })
}

fn kept(arrival: &Arrival, said: &Punch) -> Kept {
    Kept {
        entry: arrival.id,
        at: arrival.at,
        by: arrival.by.clone(),
        kiosk: arrival.door,
        person: said.person,
        kind: match said.direction {
            Direction::In => Kind::ClockIn,
            Direction::Out => Kind::ClockOut,
            Direction::BreakStart => Kind::BreakStart,
            Direction::BreakEnd => Kind::BreakEnd,
        },
    }
}
