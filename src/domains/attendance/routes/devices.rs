//! Phones: registering them, seeing and revoking one's own, and everybody's.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::clock::Moment;
use crate::domains::attendance::Attendance;
use crate::domains::attendance::devices::{NewDevice, Seen};
use crate::domains::attendance::lists::{LIST_MAX, LIST_USUAL};
use crate::web::{Answer, Asker, Json, Path, Query, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
        .routes(routes!(device_register))
        .routes(routes!(devices_me))
        .routes(routes!(device_revoke))
        .routes(routes!(admin_devices))
        .routes(routes!(admin_device_revoke))
}

/// A phone to be registered.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct DeviceDraft {
    /// What tells it from others, at most 255 characters.
    device_fingerprint: String,
    /// What its owner calls it, at most 100 characters.
    device_name: String,
    /// What it attests of itself.
    attestation_data: Option<String>,
}

impl From<DeviceDraft> for NewDevice {
    fn from(draft: DeviceDraft) -> Self {
        Self {
            fingerprint: draft.device_fingerprint,
            name: draft.device_name,
            attestation: draft.attestation_data,
            public_key: Vec::new(),
        }
    }
}

/// A phone.
#[derive(Debug, Serialize, ToSchema)]
struct DeviceRead {
    id: u64,
    user_id: u64,
    device_fingerprint: String,
    device_name: String,
    attestation_data: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    registered_at: Moment,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen_at: Option<Moment>,
    is_revoked: bool,
}

impl From<Seen> for DeviceRead {
    fn from(seen: Seen) -> Self {
        let Seen { device, user, seen_at } = seen;
        Self {
            id: device.number,
            user_id: user,
            device_fingerprint: device.fingerprint,
            device_name: device.name,
            attestation_data: device.attestation,
            registered_at: device.registered_at,
            last_seen_at: seen_at,
            is_revoked: device.revoked_at.is_some(),
        }
    }
}

/// Registers a phone of the caller.
#[utoipa::path(post, path = "/devices/register", tag = "attendance", request_body = DeviceDraft,
    responses((status = 201, body = DeviceRead), (status = 403, description = "`right_missing`"),
        (status = 409, description = "`device_exists`, `devices_full`"),
        (status = 422, description = "`validation`")))]
async fn device_register(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(draft): Json<DeviceDraft>,
) -> Result<(StatusCode, Json<DeviceRead>), WebFault> {
    let made = run(move || desk.register_device(&caller, draft.into())).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Which of one's phones.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct OwnDevicesAsked {
    /// Revoked ones too.
    include_revoked: bool,
}

/// The caller's phones, the newest first.
#[utoipa::path(get, path = "/devices/me", tag = "attendance", params(OwnDevicesAsked),
    responses((status = 200, body = Vec<DeviceRead>), (status = 403, description = "`right_missing`")))]
async fn devices_me(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<OwnDevicesAsked>,
) -> Answer<Vec<DeviceRead>> {
    let devices = run(move || desk.own_devices(&caller, asked.include_revoked)).await?;
    Ok(Json(devices.into_iter().map(Into::into).collect()))
}

/// Revokes a phone of the caller's; it never comes back.
#[utoipa::path(post, path = "/devices/{id}/revoke", tag = "attendance", params(("id" = u64, Path)),
    responses((status = 200, body = DeviceRead), (status = 400, description = "`device_revoked_already`"),
        (status = 403, description = "`right_missing`"), (status = 404, description = "`not_found`")))]
async fn device_revoke(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
) -> Answer<DeviceRead> {
    Ok(Json(run(move || desk.revoke_own_device(&caller, id)).await?.into()))
}

/// Which phones.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct DevicesAsked {
    /// Of whom.
    user_id: Option<u64>,
    /// Only revoked ones, or only others.
    is_revoked: Option<bool>,
    /// How many to leave out.
    offset: usize,
    /// At most 100; 50 unless told.
    limit: Option<usize>,
}

/// Everybody's phones, the newest first.
#[utoipa::path(get, path = "/admin/devices", tag = "attendance", params(DevicesAsked),
    responses((status = 200, body = Vec<DeviceRead>), (status = 403, description = "`right_missing`")))]
async fn admin_devices(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<DevicesAsked>,
) -> Answer<Vec<DeviceRead>> {
    let limit = asked.limit.unwrap_or(LIST_USUAL).min(LIST_MAX);
    let devices =
        run(move || desk.devices(&caller, asked.user_id, asked.is_revoked, asked.offset, limit))
            .await?;
    Ok(Json(devices.into_iter().map(Into::into).collect()))
}

/// Revokes anybody's phone.
#[utoipa::path(post, path = "/admin/devices/{id}/revoke", tag = "attendance",
    params(("id" = u64, Path)),
    responses((status = 200, body = DeviceRead), (status = 400, description = "`device_revoked_already`"),
        (status = 403, description = "`right_missing`"), (status = 404, description = "`not_found`")))]
async fn admin_device_revoke(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
) -> Answer<DeviceRead> {
    Ok(Json(run(move || desk.revoke_device(&caller, id)).await?.into()))
}
