//! What is written down in Plan B's process, and how that process stands: for kiosks, programs and forms.

use axum::extract::{FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::no_good_key;
use super::visit::{Visit, html, html_of, shown};
use crate::base::caller::{Caller, Who};
use crate::base::fault::Fault;
use crate::domains::continuity::outbox::{ENTRY_MAX, Entry};
use crate::domains::continuity::pages::{self, Asked, Lang, Notice};
use crate::domains::continuity::standing::{Direction, Kept, Standing};
use crate::web::pages::wants_html;
use crate::web::{Answer, Asker, Json, Urlencoded, WebFault, limits, run};

/// An entry to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryBody {
    /// `note`, `punch` or `drill`.
    #[schema(example = "note")]
    kind: String,
    /// What it says: of a note `{about?, section?, text}`, of a punch `{person, direction, remark?}`.
    #[serde(default)]
    #[schema(value_type = Object)]
    body: Value,
}

/// An entry that is on the disk.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryAnswer {
    /// Its name; the same for every try with the same `Idempotency-Key`.
    id: String,
    /// Its place in its file.
    seq: u64,
    /// When it was written.
    at: String,
    /// What it is.
    kind: String,
}

/// An entry in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryListed {
    #[serde(flatten)]
    entry: EntryAnswer,
    /// Who wrote it.
    by: String,
    /// What it says.
    #[schema(value_type = Object)]
    body: Value,
}

/// What was written down.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntriesAnswer {
    /// In this run, newest first.
    items: Vec<EntryListed>,
    /// In runs before it, and not taken over yet, newest first.
    earlier: Vec<EntryListed>,
}

/// The fields of the pages' forms.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EntryForm {
    kind: String,
    text: String,
    about: String,
    section: String,
    person: String,
    direction: String,
    remark: String,
    retry_key: String,
    /// Not empty once the same punch again was confirmed.
    again: String,
}

pub(super) fn routes() -> OpenApiRouter<Standing> {
    OpenApiRouter::new()
        .routes(routes!(planb_enter, planb_entries))
        .routes(routes!(planb_state))
        .layer(limits::body(2 * ENTRY_MAX))
}

/// Writes a note, a punch or a drill's entry down: the answer comes when the disk has it.
#[utoipa::path(post, path = "/planb/entries", tag = "planb", request_body = EntryBody,
    responses((status = 201, body = EntryAnswer), (status = 401, description = "`unauthenticated`"),
        (status = 403, description = "`right_missing`"), (status = 507, description = "`outbox_full`")))]
async fn planb_enter(State(standing): State<Standing>, visit: Visit, request: Request) -> Response {
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind.starts_with(b"application/x-www-form-urlencoded")) {
        return match Urlencoded::<EntryForm>::from_request(request, &()).await {
            Ok(Urlencoded(form)) => from_form(standing, visit, form).await,
            Err(refused) => refused.into_response(),
        };
    }
    match Json::<EntryBody>::from_request(request, &()).await {
        Ok(Json(body)) => from_json(standing, visit.caller, body).await.into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn from_json(
    standing: Standing,
    caller: Caller,
    body: EntryBody,
) -> Result<(StatusCode, Json<EntryAnswer>), WebFault> {
    let entry = run(move || standing.enter(&caller, &body.kind, body.body)).await?;
    Ok((StatusCode::CREATED, Json(answer(&entry))))
}

async fn from_form(standing: Standing, mut visit: Visit, form: EntryForm) -> Response {
    let punch = form.kind == "punch";
    let key = form.retry_key.trim();
    if !key.is_empty() && key.len() <= 100 && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        visit.caller.retry_key = Some(key.to_owned());
    }
    shown(move || {
        if punch
            && form.again.is_empty()
            && let Some(page) = asked_again(&standing, &visit, &form)
        {
            return page;
        }
        let written =
            body_of(&form).and_then(|body| standing.enter(&visit.caller, &form.kind, body));
        entered(&standing, &visit, form, written)
    })
    .await
}

/// The page after a form: the list with the new line, or the form once more with what is wrong.
fn entered(
    standing: &Standing,
    visit: &Visit,
    form: EntryForm,
    written: Result<Entry, Fault>,
) -> Response {
    match written {
        Ok(entry) => visit.to(&format!("/planb/entries?kept={0}#{0}", entry.id)),
        Err(fault) => {
            let punch = form.kind == "punch";
            let asked = Asked {
                text: form.text,
                about: form.about,
                section: form.section,
                person: form.person,
                direction: form.direction,
                remark: form.remark,
                // Nothing was written under the key before, or what was says something else.
                retry_key: fresh_key(),
                ..Asked::default()
            };
            let found = standing.found();
            let page = pages::note(&visit.view(standing, &found), &asked, punch, Some(&fault));
            html_of(&fault, page)
        }
    }
}

/// The page that asks before the same punch is written again. The same try of the same form is the
/// outbox's to recognise.
fn asked_again(standing: &Standing, visit: &Visit, form: &EntryForm) -> Option<Response> {
    let person = form.person.parse().ok()?;
    standing.may_punch(&visit.caller, person).ok()?;
    let key = visit.caller.retry_key.as_deref();
    let written = standing.ground().outbox.written();
    if key.is_some() && written.iter().any(|entry| entry.retry_key.as_deref() == key) {
        return None;
    }
    let asked = Asked {
        person: form.person.clone(),
        direction: form.direction.clone(),
        remark: form.remark.clone(),
        retry_key: fresh_key(),
        ..Asked::default()
    };
    let found = standing.found();
    let view = visit.view(standing, &found);
    let question = pages::repeated(&view, &asked)?;
    let fault = Fault::conflict(pages::REPEATED, question);
    let page = pages::note(&view, &asked, true, Some(&fault));
    Some(html_of(&fault, page))
}

fn body_of(form: &EntryForm) -> Result<Value, Fault> {
    let wrong = |code, words| Fault::new(crate::base::fault::Kind::Unprocessable, code, words);
    if form.kind != "punch" {
        return Ok(
            json!({"about": form.about, "section": form.section, "text": form.text.replace("\r\n", "\n")}),
        );
    }
    if form.person.parse::<crate::base::id::Id>().is_err() {
        return Err(wrong("person_unknown", "Choose a person."));
    }
    if Direction::named(&form.direction).is_none() {
        return Err(wrong("direction_unknown", "Choose in, out or a break."));
    }
    Ok(json!({"person": form.person, "direction": form.direction, "remark": form.remark}))
}

/// What was written down in this run, newest first, and before it.
#[utoipa::path(get, path = "/planb/entries", tag = "planb", responses((status = 200, body = EntriesAnswer),
    (status = 401, description = "`unauthenticated`"),
    (status = 403, description = "`right_missing` for a kiosk's key and one with scopes")))]
async fn planb_entries(
    State(standing): State<Standing>,
    visit: Visit,
    headers: HeaderMap,
) -> Response {
    let seen = standing.entries(&visit.caller);
    if !wants_html(&headers) {
        return match seen {
            Ok(seen) => Json(listed(seen)).into_response(),
            Err(fault) => WebFault::from(fault).into_response(),
        };
    }
    shown(move || match seen {
        Ok(seen) => kept(&standing, &visit, &seen),
        Err(fault) => visit.refuse(&standing, &fault),
    })
    .await
}

/// The page of what was written down, with a word about the line that the address names.
fn kept(standing: &Standing, visit: &Visit, seen: &Kept) -> Response {
    let found = standing.found();
    let view = visit.view(standing, &found);
    let kept =
        visit.path.split_once("kept=").map(|(_, id)| id.split('&').next().unwrap_or_default());
    let mut entries = seen.written.iter().chain(&seen.earlier);
    let entry = kept.and_then(|id| entries.find(|entry| entry.id.to_string() == id));
    let notice = entry.map(|entry| {
        let at = pages::Zone::named(found.pack.as_ref().map_or("", |pack| pack.time_zone()))
            .time(entry.at, standing.now(), view.lang);
        Notice::Kept(match view.lang {
            Lang::Fr => format!("C’est noté et écrit sur le disque ({at}). Ce sera repris au retour du programme principal."),
            Lang::En => format!("Noted and written to the disk ({at}). It is taken over when the main program is back."),
        })
    });
    let asked = Asked { retry_key: fresh_key(), ..Asked::default() };
    html(StatusCode::OK, pages::kept(&view, &asked, notice.as_ref()))
}

fn listed(seen: Kept) -> EntriesAnswer {
    let list = |entries: Vec<Entry>| entries.into_iter().map(listing).collect();
    EntriesAnswer { items: list(seen.written), earlier: list(seen.earlier) }
}

fn listing(entry: Entry) -> EntryListed {
    EntryListed { entry: answer(&entry), by: entry.by.name, body: entry.body }
}

fn answer(entry: &Entry) -> EntryAnswer {
    EntryAnswer {
        id: entry.id.to_string(),
        seq: entry.seq,
        at: entry.at.to_rfc3339(),
        kind: entry.kind.clone(),
    }
}

/// How Plan B's process stands.
#[utoipa::path(get, path = "/planb/state", tag = "planb", responses((status = 200, body = Object),
    (status = 401, description = "`unauthenticated`")))]
async fn planb_state(State(standing): State<Standing>, Asker(caller): Asker) -> Answer<Value> {
    if caller.who == Who::Nobody && caller.refusal.is_none() {
        return Err(no_good_key().into());
    }
    caller.signed_in()?;
    run(move || {
        let ground = standing.ground();
        let found = standing.found();
        let pack = found.pack.as_ref().map(|pack| {
            let state = pack.state();
            json!({
                "made_at": state.made_at, "age_seconds": standing.now().since(state.made_at).as_secs(),
                "generation": state.generation, "verified": state.verified,
                "previous": pack.previous(), "sections": state.sections,
            })
        });
        Ok(json!({
            "mode": "planb",
            "node_id": ground.desk.node().ok().map(|node| node.name().to_owned()),
            "since": standing.since(),
            "drill": standing.is_drill(),
            "pack": pack,
            "troubles": found.troubles,
            "sign_in": ground.people.closed().map_or("on", |fault| fault.code),
            "outbox": {
                "file": ground.outbox.file(), "entries": ground.outbox.count(),
                "earlier": ground.outbox.earlier().len(),
                "trouble": ground.outbox.trouble().map(|fault| fault.code),
            },
        }))
    })
    .await
    .map(Json)
}

/// A key under which a form can be sent twice and counts once.
pub(super) fn fresh_key() -> String {
    crate::engines::secrets::random_word().unwrap_or_default()
}
