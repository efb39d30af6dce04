//! The page on which every route of the box is merged, and the order of what lies around them.

use std::sync::Arc;

use axum::extract::Request;
use utoipa_axum::router::OpenApiRouter;

use super::board::{self, Board};
use super::configuration::{self, Configuration};
use super::people::Directory;
use super::socket::{self, Pace, Sockets};
use super::system::{self, System, VERSION};
use crate::base::fault::Fault;
use crate::domains::activity::{self, Activity};
use crate::domains::assistant::routes::Lines;
use crate::domains::assistant::thinking::Thinking;
use crate::domains::assistant::{self, Assistant};
use crate::domains::attendance::{self, Attendance};
use crate::domains::continuity::{self, Continuity};
use crate::domains::handover::Handover;
use crate::domains::identity::live::Live;
use crate::domains::identity::{self, Identity};
use crate::web::guard::HostRules;
use crate::web::hub::Hub;
use crate::web::layers::{Door, DoorOptions};
use crate::web::recognition::Recognition;
use crate::web::routes::{Spelling, split};
use crate::web::{docs, pages};

/// The desks whose routes are merged.
#[derive(Clone)]
pub struct Desks {
    /// The box about itself.
    pub system: System,
    /// Who.
    pub identity: Identity,
    /// What is open, and for whom.
    pub live: Live,
    /// Who listens.
    pub hub: Hub,
    /// Documents and search.
    pub assistant: Assistant,
    /// Models, answers, conversations.
    pub thinking: Thinking,
    /// Presence.
    pub attendance: Attendance,
    /// Plan B.
    pub continuity: Continuity,
    /// What was written down while the box was away.
    pub handover: Handover,
    /// Both of them on one page.
    pub board: Board,
    /// The settings, to be shown.
    pub configuration: Configuration,
    /// The journal.
    pub activity: Activity,
}

/// Every described route.
fn described(desks: &Desks) -> OpenApiRouter {
    let people = Arc::new(Directory(desks.identity.clone()));
    OpenApiRouter::new()
        .merge(system::routes(desks.system.clone()))
        .merge(identity::routes::routes(desks.identity.clone()))
        .merge(socket::routes(Sockets::of(desks, Pace::default())))
        .merge(assistant::routes::routes(
            desks.assistant.clone(),
            desks.thinking.clone(),
            people,
            lines(desks),
        ))
        .merge(attendance::routes::routes(desks.attendance.clone()))
        .merge(configuration::routes(desks.configuration.clone()))
        .merge(activity::routes::routes(desks.activity.clone()))
        .merge(continuity::routes::api(desks.continuity.clone()))
        .merge(board::routes(desks.board.clone()))
}

/// What the assistant's open lines lean on: who asks, and what ends them.
fn lines(desks: &Desks) -> Lines {
    let identity = desks.identity.clone();
    Lines {
        watch: desks.live.watch(),
        recognise: Arc::new(move |caller, token| identity.recognise_token_or_key(caller, token)),
        closing: desks.hub.closing().clone(),
        pace: assistant::routes::Pace::default(),
    }
}

/// The description of every route.
pub fn document(desks: &Desks) -> utoipa::openapi::OpenApi {
    split(described(desks), VERSION).1
}

/// The door: guards and traces outside, then the recogniser of callers, then the routes and the pages.
///
/// # Errors
/// `Broken` when the description cannot be written.
pub fn door(desks: &Desks, hosts: HostRules, machine: Option<String>) -> Result<Door, Fault> {
    let (routes, document) = split(described(desks), VERSION);
    let spelling = Spelling::of(&document);
    let (desk, plan_b) = (desks.identity.clone(), desks.continuity.clone());
    let recognise = move |request: &Request| {
        continuity::routes::recognise(&plan_b, request)
            .or_else(|| identity::routes::recognise(&desk, request))
    };
    let whole = routes
        .merge(docs::routes(&document)?)
        .merge(pages::routes(VERSION))
        .merge(continuity::routes::returned())
        .layer(Recognition::by(recognise, desks.live.watch()));
    let meters = desks.system.meters.clone();
    let options = DoorOptions {
        hosts,
        machine,
        meters,
        spelling,
        plain: vec!["/ca.crt"],
        terse: continuity::routes::TERSE.to_vec(),
    };
    Ok(Door::new(whole, options).observed_by(desks.activity.observer()))
}

/// The door at Plan B's address: its own interface and no more, so that whoever reaches it finds the
/// same whether the main program or Plan B answers.
///
/// # Errors
/// As [`door`].
pub fn planb_door(desks: &Desks, hosts: HostRules, machine: Option<String>) -> Result<Door, Fault> {
    let plan_b = desks.continuity.clone();
    let whole = continuity::routes::api(plan_b.clone()).merge(continuity::routes::health());
    let (routes, document) = split(whole, VERSION);
    let desk = desks.identity.clone();
    let recognise = move |request: &Request| {
        continuity::routes::recognise(&plan_b, request)
            .or_else(|| identity::routes::recognise(&desk, request))
    };
    let options = DoorOptions {
        hosts,
        machine,
        meters: desks.system.meters.clone(),
        spelling: Spelling::of(&document),
        plain: Vec::new(),
        terse: continuity::routes::TERSE.to_vec(),
    };
    let whole = routes
        .merge(continuity::routes::returned())
        .layer(Recognition::by(recognise, desks.live.watch()));
    Ok(Door::new(whole, options).observed_by(desks.activity.observer()))
}
