//! Passes: handed to phones, taken at kiosks.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::clock::Moment;
use crate::domains::attendance::Attendance;
use crate::domains::attendance::door::Receipt;
use crate::domains::attendance::lists::Listed;
use crate::domains::attendance::pins::Typed;
use crate::domains::attendance::records::{Flag, Kind, Way};
use crate::domains::attendance::taking::Scan;
use crate::web::{Answer, Asker, Json, Query, run};

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
        .routes(routes!(punch_request_token))
        .routes(routes!(punch_validate))
        .routes(routes!(punch_pin))
        .routes(routes!(punch_history))
        .routes(routes!(own_pin, own_pin_set, own_pin_drop))
}

/// For which of one's devices.
#[derive(Debug, Deserialize, ToSchema)]
struct PassAsked {
    device_id: u64,
}

/// A pass for a phone to show.
#[derive(Debug, Serialize, ToSchema)]
struct PassTold {
    /// What the QR shows, as it is.
    qr_token: String,
    /// How long it lives, seconds.
    expires_in: u64,
    /// When it ends, by the box's wall clock.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
}

/// Hands a pass to one of the caller's devices.
#[utoipa::path(post, path = "/punch/request-token", tag = "attendance", request_body = PassAsked,
    responses((status = 200, body = PassTold), (status = 403, description = "`device_revoked`, `right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn punch_request_token(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(asked): Json<PassAsked>,
) -> Answer<PassTold> {
    let issued = run(move || desk.issue_pass(&caller, asked.device_id)).await?;
    Ok(Json(PassTold {
        qr_token: issued.token,
        expires_in: issued.life.as_secs(),
        expires_at: issued.expires_at,
    }))
}

/// What a kiosk sends.
#[derive(Debug, Deserialize, ToSchema)]
struct PunchScan {
    qr_token: String,
    kiosk_id: Option<u64>,
    /// None leaves it to the kiosk's direction.
    punch_type: Option<Kind>,
    /// The kiosk's clock when it read the pass.
    #[schema(value_type = Option<String>, format = DateTime)]
    kiosk_at: Option<Moment>,
}

/// The punch is taken.
#[derive(Debug, Serialize, ToSchema)]
struct PunchTaken {
    success: bool,
    message: String,
    punch_id: u64,
    #[schema(value_type = String, format = DateTime)]
    punched_at: Moment,
    user_id: u64,
    device_id: Option<u64>,
    punch_type: Kind,
    user_name: String,
}

impl From<Receipt> for PunchTaken {
    fn from(receipt: Receipt) -> Self {
        Self {
            success: true,
            message: format!("Punch {} recorded successfully", receipt.kind.name()),
            punch_id: receipt.punch,
            punched_at: receipt.at,
            user_id: receipt.user,
            device_id: receipt.device,
            punch_type: receipt.kind,
            user_name: receipt.name,
        }
    }
}

/// Takes a pass at a kiosk, once.
#[utoipa::path(post, path = "/punch/validate", tag = "attendance", request_body = PunchScan,
    responses((status = 200, body = PunchTaken),
        (status = 400, description = "`pass_malformed`, `pass_kind`, `pass_unknown`, `pass_expired`, `pass_used`"),
        (status = 403, description = "`kiosk_inactive`, `kiosk_mismatch`, `device_revoked`, `kiosk_closed_to_you`"),
        (status = 404, description = "`kiosk_unknown`, `device_unknown`, `user_unknown`")))]
async fn punch_validate(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(sent): Json<PunchScan>,
) -> Answer<PunchTaken> {
    let scan = Scan {
        token: sent.qr_token,
        kiosk: sent.kiosk_id,
        kind: sent.punch_type,
        kiosk_at: sent.kiosk_at,
    };
    let receipt = run(move || desk.validate(&caller, &scan)).await?;
    Ok(Json(receipt.into()))
}

/// What somebody typed at a kiosk.
#[derive(Debug, Deserialize, ToSchema)]
struct PinTyped {
    /// Who.
    user_id: u64,
    /// The personal code.
    pin: String,
    kiosk_id: Option<u64>,
    /// None leaves it to the kiosk's direction.
    punch_type: Option<Kind>,
    /// The kiosk's clock.
    #[schema(value_type = Option<String>, format = DateTime)]
    kiosk_at: Option<Moment>,
}

/// Takes a personal code at a kiosk.
#[utoipa::path(post, path = "/punch/pin", tag = "attendance", request_body = PinTyped,
    responses((status = 200, body = PunchTaken), (status = 400, description = "`pin_wrong`"),
        (status = 403, description = "`kiosk_inactive`, `kiosk_mismatch`, `pins_off`, `kiosk_closed_to_you`"),
        (status = 404, description = "`kiosk_unknown`"),
        (status = 429, description = "`too_many_attempts`")))]
async fn punch_pin(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(sent): Json<PinTyped>,
) -> Answer<PunchTaken> {
    let typed = Typed {
        user: sent.user_id,
        pin: sent.pin,
        kiosk: sent.kiosk_id,
        kind: sent.punch_type,
        kiosk_at: sent.kiosk_at,
    };
    let receipt = run(move || desk.punch_with_pin(&caller, &typed)).await?;
    Ok(Json(receipt.into()))
}

/// The caller's personal code, of which only the day is told.
#[derive(Debug, Serialize, ToSchema)]
struct OwnPin {
    /// When it was chosen; none for no code.
    #[schema(value_type = Option<String>, format = DateTime)]
    set_at: Option<Moment>,
}

/// Whether the caller has a personal code.
#[utoipa::path(get, path = "/attendance/me/pin", tag = "attendance",
    responses((status = 200, body = OwnPin), (status = 403, description = "`right_missing`")))]
async fn own_pin(State(desk): State<Attendance>, Asker(caller): Asker) -> Answer<OwnPin> {
    Ok(Json(OwnPin { set_at: run(move || desk.own_pin(&caller)).await? }))
}

/// A personal code.
#[derive(Debug, Deserialize, ToSchema)]
struct PinDraft {
    /// Digits, not all alike nor in a row.
    pin: String,
}

/// Chooses the caller's personal code.
#[utoipa::path(put, path = "/attendance/me/pin", tag = "attendance", request_body = PinDraft,
    responses((status = 200, body = OwnPin), (status = 403, description = "`right_missing`")))]
async fn own_pin_set(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(draft): Json<PinDraft>,
) -> Answer<OwnPin> {
    Ok(Json(OwnPin { set_at: run(move || desk.set_pin(&caller, Some(&draft.pin))).await? }))
}

/// Takes the caller's personal code away.
#[utoipa::path(delete, path = "/attendance/me/pin", tag = "attendance",
    responses((status = 200, body = OwnPin), (status = 403, description = "`right_missing`")))]
async fn own_pin_drop(State(desk): State<Attendance>, Asker(caller): Asker) -> Answer<OwnPin> {
    Ok(Json(OwnPin { set_at: run(move || desk.set_pin(&caller, None)).await? }))
}

/// A punch, as it was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PunchRead {
    pub(super) id: u64,
    pub(super) user_id: Option<u64>,
    pub(super) device_id: Option<u64>,
    pub(super) kiosk_id: Option<u64>,
    pub(super) punch_type: Kind,
    #[schema(value_type = String, format = DateTime)]
    pub(super) punched_at: Moment,
    /// What it was made with: a pass's `jti`, or what stands for one.
    pub(super) jwt_jti: String,
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: Moment,
    /// How it was made.
    pub(super) way: Way,
    /// What is odd about it.
    pub(super) flags: Vec<Flag>,
}

impl From<Listed> for PunchRead {
    fn from(listed: Listed) -> Self {
        let Listed { punch, user, device, kiosk } = listed;
        Self {
            id: punch.number,
            user_id: user,
            device_id: device,
            kiosk_id: kiosk,
            punch_type: punch.kind,
            punched_at: punch.at,
            jwt_jti: punch.token,
            created_at: punch.written_at,
            way: punch.way,
            flags: punch.flags,
        }
    }
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct HistoryPart {
    /// At most 100; 50 unless told.
    limit: Option<usize>,
    /// How many to leave out.
    offset: usize,
}

/// The caller's own punches, newest first.
#[utoipa::path(get, path = "/punch/history", tag = "attendance", params(HistoryPart),
    responses((status = 200, body = Vec<PunchRead>), (status = 403, description = "`right_missing`")))]
async fn punch_history(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(part): Query<HistoryPart>,
) -> Answer<Vec<PunchRead>> {
    let punches = run(move || desk.own_punches(&caller, part.offset, part.limit)).await?;
    Ok(Json(punches.into_iter().map(Into::into).collect()))
}
