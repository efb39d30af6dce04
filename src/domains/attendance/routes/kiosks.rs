//! Kiosks: their list, who may punch at them, their keys, and what they say of themselves.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::clock::Moment;
use crate::domains::attendance::Attendance;
use crate::domains::attendance::kiosks::{Draft, Edit, Keyed, Listed, Standing, Word};
use crate::domains::attendance::lists::{LIST_MAX, LIST_USUAL};
use crate::domains::attendance::records::{AccessMode, Direction, Kiosk, KioskSeen, Trust};
use crate::web::peer::Peer;
use crate::web::{Answer, Asker, Json, Path, Query, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
        .routes(routes!(kiosks, add_kiosk))
        .routes(routes!(kiosk_by_ip))
        .routes(routes!(edit_kiosk, delete_kiosk))
        .routes(routes!(key_kiosk))
        .routes(routes!(pair_kiosk))
        .routes(routes!(kiosk_access))
        .routes(routes!(kiosk_access_mode))
        .routes(routes!(kiosk_grant))
        .routes(routes!(kiosk_revoke))
        .routes(routes!(kiosk_block))
        .routes(routes!(kiosk_pair))
        .routes(routes!(kiosk_heartbeat))
        .routes(routes!(kiosk_status))
        .routes(routes!(kiosk_all_status))
        .routes(routes!(info_ip))
}

/// A kiosk.
#[derive(Debug, Serialize, ToSchema)]
struct KioskRead {
    id: u64,
    kiosk_name: String,
    location: String,
    device_fingerprint: String,
    ip_address: Option<String>,
    public_key: Option<String>,
    is_active: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_heartbeat_at: Option<Moment>,
    access_mode: AccessMode,
    direction: Direction,
    trust: Trust,
    /// Whether personal codes are taken.
    pins: bool,
}

impl KioskRead {
    fn of(kiosk: Kiosk, seen: Option<&KioskSeen>) -> Self {
        Self {
            id: kiosk.number,
            kiosk_name: kiosk.name,
            location: kiosk.location,
            device_fingerprint: kiosk.fingerprint,
            ip_address: kiosk.address,
            public_key: kiosk.public_key,
            is_active: kiosk.active,
            created_at: kiosk.created_at,
            last_heartbeat_at: seen.map(|seen| seen.at),
            access_mode: kiosk.access,
            direction: kiosk.direction,
            trust: kiosk.trust,
            pins: kiosk.pins,
        }
    }
}

/// Which kiosks.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct KiosksAsked {
    /// Only those that take punches, or only the others.
    is_active: Option<bool>,
    /// How many to leave out.
    offset: usize,
    /// At most 100; 50 unless told.
    limit: Option<usize>,
}

/// The kiosks, the newest first.
#[utoipa::path(get, path = "/admin/kiosks", tag = "attendance", params(KiosksAsked),
    responses((status = 200, body = Vec<KioskRead>), (status = 403, description = "`right_missing`")))]
async fn kiosks(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<KiosksAsked>,
) -> Answer<Vec<KioskRead>> {
    let limit = asked.limit.unwrap_or(LIST_USUAL).min(LIST_MAX);
    let kiosks = run(move || {
        let kiosks = desk.kiosks(&caller, asked.is_active)?;
        let part = kiosks.into_iter().skip(asked.offset).take(limit);
        part.map(|kiosk| {
            let seen = desk.kiosk_seen(kiosk.id)?;
            Ok(KioskRead::of(kiosk, seen.as_ref()))
        })
        .collect()
    })
    .await?;
    Ok(Json(kiosks))
}

/// A kiosk to be.
#[derive(Debug, Deserialize, ToSchema)]
struct KioskDraft {
    /// At most 100 characters, no two alike.
    kiosk_name: String,
    /// At most 255 characters.
    #[serde(default)]
    location: String,
    /// At most 255 characters; drawn unless told.
    device_fingerprint: Option<String>,
    /// At most 45 characters.
    ip_address: Option<String>,
    public_key: Option<String>,
    /// What a punch says when its request does not; `automatic` unless told.
    #[serde(default)]
    direction: Direction,
}

/// Makes a kiosk.
#[utoipa::path(post, path = "/admin/kiosks", tag = "attendance", request_body = KioskDraft,
    responses((status = 201, body = KioskRead), (status = 403, description = "`right_missing`"),
        (status = 409, description = "`kiosk_exists`"), (status = 422, description = "`validation`")))]
async fn add_kiosk(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(draft): Json<KioskDraft>,
) -> Result<(StatusCode, Json<KioskRead>), WebFault> {
    let draft = Draft {
        name: draft.kiosk_name,
        location: draft.location,
        fingerprint: draft.device_fingerprint,
        address: draft.ip_address,
        public_key: draft.public_key,
        direction: draft.direction,
    };
    let made = run(move || desk.add_kiosk(&caller, draft)).await?;
    Ok((StatusCode::CREATED, Json(KioskRead::of(made, None))))
}

/// The kiosk at an address: for whoever asks from there, and for who keeps the kiosks.
#[utoipa::path(get, path = "/admin/kiosks/by-ip/{ip}", tag = "attendance",
    params(("ip" = String, Path)),
    responses((status = 200, body = KioskRead), (status = 403, description = "`kiosk_inactive`"),
        (status = 404, description = "`kiosk_unknown`")))]
async fn kiosk_by_ip(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(ip): Path<String>,
) -> Answer<KioskRead> {
    let kiosk = run(move || {
        let kiosk = desk.kiosk_at(&caller, &ip)?;
        let seen = desk.kiosk_seen(kiosk.id)?;
        Ok(KioskRead::of(kiosk, seen.as_ref()))
    })
    .await?;
    Ok(Json(kiosk))
}

/// What to change of a kiosk; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct KioskEdit {
    kiosk_name: Option<String>,
    location: Option<String>,
    /// Empty takes it away.
    ip_address: Option<String>,
    is_active: Option<bool>,
    direction: Option<Direction>,
    trust: Option<Trust>,
    pins: Option<bool>,
}

/// Changes a kiosk.
#[utoipa::path(patch, path = "/admin/kiosks/{id}", tag = "attendance", params(("id" = u64, Path)),
    request_body = KioskEdit,
    responses((status = 200, body = KioskRead), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"), (status = 409, description = "`kiosk_exists`"),
        (status = 422, description = "`validation`")))]
async fn edit_kiosk(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
    Json(edit): Json<KioskEdit>,
) -> Answer<KioskRead> {
    let edit = Edit {
        name: edit.kiosk_name,
        location: edit.location,
        address: edit.ip_address,
        active: edit.is_active,
        direction: edit.direction,
        trust: edit.trust,
        pins: edit.pins,
    };
    let kiosk = run(move || {
        let kiosk = desk.edit_kiosk(&caller, id, edit)?;
        let seen = desk.kiosk_seen(kiosk.id)?;
        Ok(KioskRead::of(kiosk, seen.as_ref()))
    })
    .await?;
    Ok(Json(kiosk))
}

/// Deletes a kiosk, its keys and its lists; the punches that were made at it stay.
#[utoipa::path(delete, path = "/admin/kiosks/{id}", tag = "attendance", params(("id" = u64, Path)),
    responses((status = 204), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn delete_kiosk(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
) -> Result<StatusCode, WebFault> {
    run(move || desk.delete_kiosk(&caller, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A kiosk's new key, told once.
#[derive(Debug, Serialize, ToSchema)]
struct KioskKeyTold {
    kiosk_id: u64,
    kiosk_name: String,
    location: String,
    api_url: String,
    api_key: String,
    device_fingerprint: String,
}

/// Makes a key for a kiosk in the place of the one before, and tells it once.
#[utoipa::path(post, path = "/admin/kiosks/{id}/generate-api-key", tag = "attendance",
    params(("id" = u64, Path)),
    responses((status = 200, body = KioskKeyTold),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 404, description = "`not_found`")))]
async fn key_kiosk(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    peer: Option<axum::Extension<Peer>>,
    headers: HeaderMap,
    Path(id): Path<u64>,
) -> Answer<KioskKeyTold> {
    let api_url = super::reached_at(&desk, peer, &headers);
    let Keyed { kiosk, key } = run(move || desk.key_kiosk(&caller, id)).await?;
    Ok(Json(KioskKeyTold {
        kiosk_id: kiosk.number,
        kiosk_name: kiosk.name,
        location: kiosk.location,
        api_url,
        api_key: key.to_string(),
        device_fingerprint: kiosk.fingerprint,
    }))
}

/// A code that pairs a kiosk's page once.
#[derive(Debug, Serialize, ToSchema)]
struct KioskPairing {
    code: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
}

/// Makes a code with which a kiosk's page fetches its key once.
#[utoipa::path(post, path = "/admin/kiosks/{id}/pairing", tag = "attendance",
    params(("id" = u64, Path)),
    responses((status = 200, body = KioskPairing),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 404, description = "`not_found`")))]
async fn pair_kiosk(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
) -> Answer<KioskPairing> {
    let (code, expires_at) = run(move || desk.pair_kiosk(&caller, id)).await?;
    Ok(Json(KioskPairing { code, expires_at }))
}

/// Somebody on a kiosk's lists.
#[derive(Debug, Serialize, ToSchema)]
struct KioskUser {
    user_id: u64,
    email: String,
    granted: bool,
    #[schema(value_type = String, format = DateTime)]
    granted_at: Moment,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
    granted_by_admin_id: Option<u64>,
}

/// A kiosk and who is on its lists.
#[derive(Debug, Serialize, ToSchema)]
struct KioskAccessRead {
    kiosk_id: u64,
    kiosk_name: String,
    location: String,
    access_mode: AccessMode,
    is_active: bool,
    authorized_users: Vec<KioskUser>,
}

/// Who may punch at a kiosk.
#[utoipa::path(get, path = "/admin/kiosks/{id}/access", tag = "attendance",
    params(("id" = u64, Path)),
    responses((status = 200, body = KioskAccessRead), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn kiosk_access(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
) -> Answer<KioskAccessRead> {
    let (kiosk, listed) = run(move || desk.kiosk_access(&caller, id)).await?;
    let user = |listed: Listed| KioskUser {
        user_id: listed.number,
        email: listed.email,
        granted: listed.access.granted,
        granted_at: listed.access.at,
        expires_at: listed.access.expires_at,
        granted_by_admin_id: listed.by,
    };
    Ok(Json(KioskAccessRead {
        kiosk_id: kiosk.number,
        kiosk_name: kiosk.name,
        location: kiosk.location,
        access_mode: kiosk.access,
        is_active: kiosk.active,
        authorized_users: listed.into_iter().map(user).collect(),
    }))
}

/// Whose kiosk it is to be.
#[derive(Debug, Deserialize, ToSchema)]
struct KioskModeAsked {
    access_mode: AccessMode,
}

/// A kiosk and whose it is.
#[derive(Debug, Serialize, ToSchema)]
struct KioskMode {
    id: u64,
    kiosk_name: String,
    access_mode: AccessMode,
}

/// It is so now.
#[derive(Debug, Serialize, ToSchema)]
struct KioskModeSet {
    success: bool,
    message: String,
    kiosk: KioskMode,
}

/// Says whose kiosk it is.
#[utoipa::path(patch, path = "/admin/kiosks/{id}/access-mode", tag = "attendance",
    params(("id" = u64, Path)), request_body = KioskModeAsked,
    responses((status = 200, body = KioskModeSet), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"), (status = 422, description = "`validation`")))]
async fn kiosk_access_mode(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
    Json(asked): Json<KioskModeAsked>,
) -> Answer<KioskModeSet> {
    let kiosk = run(move || desk.set_access_mode(&caller, id, asked.access_mode)).await?;
    Ok(Json(KioskModeSet {
        success: true,
        message: "Access mode updated".into(),
        kiosk: KioskMode { id: kiosk.number, kiosk_name: kiosk.name, access_mode: kiosk.access },
    }))
}

/// Whom to let in.
#[derive(Debug, Deserialize, ToSchema)]
struct KioskGrant {
    user_id: u64,
    /// Until when; for always unless told.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
}

/// A row of a kiosk's lists.
#[derive(Debug, Serialize, ToSchema)]
struct KioskGranted {
    user_id: u64,
    kiosk_id: u64,
    granted: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
}

/// It is so now.
#[derive(Debug, Serialize, ToSchema)]
struct KioskAccessSet {
    success: bool,
    message: String,
    access: KioskGranted,
}

async fn set(
    desk: Attendance,
    caller: crate::base::caller::Caller,
    kiosk: u64,
    grant: KioskGrant,
    granted: bool,
) -> Answer<KioskAccessSet> {
    let user = grant.user_id;
    let (kiosk, access) =
        run(move || desk.set_access(&caller, kiosk, user, granted, grant.expires_at)).await?;
    Ok(Json(KioskAccessSet {
        success: true,
        message: if granted { "Access granted" } else { "Access blocked" }.into(),
        access: KioskGranted {
            user_id: user,
            kiosk_id: kiosk.number,
            granted: access.granted,
            expires_at: access.expires_at,
        },
    }))
}

/// Lets somebody in at a kiosk.
#[utoipa::path(post, path = "/admin/kiosks/{id}/grant-access", tag = "attendance",
    params(("id" = u64, Path)), request_body = KioskGrant,
    responses((status = 200, body = KioskAccessSet), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn kiosk_grant(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
    Json(grant): Json<KioskGrant>,
) -> Answer<KioskAccessSet> {
    set(desk, caller, id, grant, true).await
}

/// It is so now.
#[derive(Debug, Serialize, ToSchema)]
struct KioskAccessCleared {
    success: bool,
    message: String,
}

/// Takes somebody off a kiosk's lists; well too when it is on none.
#[utoipa::path(delete, path = "/admin/kiosks/{id}/revoke-access/{user_id}", tag = "attendance",
    params(("id" = u64, Path), ("user_id" = u64, Path)),
    responses((status = 200, body = KioskAccessCleared),
        (status = 403, description = "`right_missing`"), (status = 404, description = "`not_found`")))]
async fn kiosk_revoke(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path((id, user)): Path<(u64, u64)>,
) -> Answer<KioskAccessCleared> {
    run(move || desk.clear_access(&caller, id, user)).await?;
    Ok(Json(KioskAccessCleared { success: true, message: "Access revoked".into() }))
}

/// Whom to keep out.
#[derive(Debug, Deserialize, ToSchema)]
struct KioskBlock {
    user_id: u64,
}

/// Keeps somebody out at a kiosk.
#[utoipa::path(post, path = "/admin/kiosks/{id}/block-access", tag = "attendance",
    params(("id" = u64, Path)), request_body = KioskBlock,
    responses((status = 200, body = KioskAccessSet), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn kiosk_block(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
    Json(block): Json<KioskBlock>,
) -> Answer<KioskAccessSet> {
    set(desk, caller, id, KioskGrant { user_id: block.user_id, expires_at: None }, false).await
}

/// A pairing code.
#[derive(Debug, Deserialize, ToSchema)]
struct KioskCode {
    code: String,
}

/// What sets a kiosk up, as its set-up QR holds it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KioskSetUp {
    api_base_url: String,
    kiosk_id: u64,
    kiosk_api_key: String,
    kiosk_name: String,
    location: String,
    punch_type: &'static str,
    direction: Direction,
}

/// Takes a pairing code, once, and sets the kiosk up with a new key.
#[utoipa::path(post, path = "/kiosk/pair", tag = "attendance", request_body = KioskCode,
    responses((status = 200, body = KioskSetUp), (status = 404, description = "`pairing_unknown`"),
        (status = 429, description = "`too_many_attempts`")))]
async fn kiosk_pair(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    peer: Option<axum::Extension<Peer>>,
    headers: HeaderMap,
    Json(said): Json<KioskCode>,
) -> Answer<KioskSetUp> {
    let api_base_url = super::reached_at(&desk, peer, &headers);
    let Keyed { kiosk, key } = run(move || desk.pair(&caller, &said.code)).await?;
    Ok(Json(KioskSetUp {
        api_base_url,
        kiosk_id: kiosk.number,
        kiosk_api_key: key.to_string(),
        kiosk_name: kiosk.name,
        location: kiosk.location,
        // What Chrona's tablets know; what the kiosk is set to follows.
        punch_type: if kiosk.direction == Direction::ClockOut { "clock_out" } else { "clock_in" },
        direction: kiosk.direction,
    }))
}

/// What a kiosk says of itself.
#[derive(Debug, Deserialize, ToSchema)]
struct KioskWord {
    /// At most 50 characters.
    app_version: String,
    /// At most 255 characters.
    device_info: Option<String>,
    /// Its clock.
    #[schema(value_type = Option<String>, format = DateTime)]
    clock: Option<Moment>,
    /// How many punches it keeps until it can send them.
    #[serde(default)]
    waiting: u32,
}

/// The box has heard it.
#[derive(Debug, Serialize, ToSchema)]
struct KioskHeard {
    success: bool,
    message: String,
    kiosk_id: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_heartbeat_at: Option<Moment>,
    #[schema(value_type = String, format = DateTime)]
    server_time: Moment,
}

/// Hears what a kiosk says of itself.
#[utoipa::path(post, path = "/kiosk/heartbeat", tag = "attendance", request_body = KioskWord,
    responses((status = 200, body = KioskHeard), (status = 401, description = "`unauthenticated`"),
        (status = 403, description = "`kiosk_inactive`"), (status = 404, description = "`kiosk_unknown`"),
        (status = 422, description = "`validation`")))]
async fn kiosk_heartbeat(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(word): Json<KioskWord>,
) -> Answer<KioskHeard> {
    let word = Word {
        app_version: word.app_version,
        device_info: word.device_info,
        clock: word.clock,
        waiting: word.waiting,
    };
    let clock = desk.clock.clone();
    let heard = run(move || desk.heartbeat(&caller, word)).await?;
    Ok(Json(KioskHeard {
        success: true,
        message: "Heartbeat received".into(),
        kiosk_id: heard.kiosk.number,
        last_heartbeat_at: heard.seen.map(|seen| seen.at),
        server_time: clock.now(),
    }))
}

/// What a kiosk last said.
#[derive(Debug, Serialize, ToSchema)]
struct KioskStatusRead {
    kiosk_id: u64,
    kiosk_name: String,
    location: String,
    is_active: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_heartbeat_at: Option<Moment>,
    app_version: Option<String>,
    device_info: Option<String>,
    is_online: bool,
    offline_duration_seconds: Option<u64>,
    ip_address: Option<String>,
    /// How far its clock is before the box's, milliseconds.
    clock_ahead_ms: Option<i64>,
    /// How many punches it keeps until it can send them.
    waiting: u32,
    direction: Direction,
    /// Whether personal codes are taken.
    pins: bool,
    /// After how many seconds its page returns to its beginning.
    return_seconds: u64,
}

impl KioskStatusRead {
    fn of(standing: Standing, return_seconds: u64) -> Self {
        let Standing { kiosk, seen, online, silent } = standing;
        let said = seen.as_ref();
        Self {
            kiosk_id: kiosk.number,
            kiosk_name: kiosk.name,
            location: kiosk.location,
            is_active: kiosk.active,
            last_heartbeat_at: said.map(|seen| seen.at),
            app_version: said.map(|seen| seen.app_version.clone()),
            device_info: said.and_then(|seen| seen.device_info.clone()),
            is_online: online,
            offline_duration_seconds: silent.filter(|_| !online).map(|span| span.as_secs()),
            ip_address: said.and_then(|seen| seen.address.clone()),
            clock_ahead_ms: said.and_then(|seen| seen.clock_ahead_ms),
            waiting: said.map_or(0, |seen| seen.waiting),
            direction: kiosk.direction,
            pins: kiosk.pins,
            return_seconds,
        }
    }
}

/// What the caller's kiosk last said.
#[utoipa::path(get, path = "/kiosk/status", tag = "attendance",
    responses((status = 200, body = KioskStatusRead), (status = 401, description = "`unauthenticated`"),
        (status = 403, description = "`kiosk_inactive`"), (status = 404, description = "`kiosk_unknown`")))]
async fn kiosk_status(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
) -> Answer<KioskStatusRead> {
    let back = desk.settings.return_seconds;
    let standing = run(move || desk.kiosk_status(&caller)).await?;
    Ok(Json(KioskStatusRead::of(standing, back)))
}

/// What every kiosk last said, by name.
#[utoipa::path(get, path = "/kiosk/all-status", tag = "attendance",
    responses((status = 200, body = Vec<KioskStatusRead>),
        (status = 403, description = "`right_missing`")))]
async fn kiosk_all_status(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
) -> Answer<Vec<KioskStatusRead>> {
    let back = desk.settings.return_seconds;
    let all = run(move || desk.kiosks_status(&caller)).await?;
    Ok(Json(all.into_iter().map(|standing| KioskStatusRead::of(standing, back)).collect()))
}

/// From where a request came.
#[derive(Debug, Serialize, ToSchema)]
struct InfoIp {
    ip: Option<String>,
}

/// From where the request comes, as the box sees it.
#[utoipa::path(get, path = "/info/ip", tag = "attendance", responses((status = 200, body = InfoIp)))]
async fn info_ip(Asker(caller): Asker) -> Json<InfoIp> {
    Json(InfoIp { ip: caller.address.map(|address| address.to_string()) })
}
