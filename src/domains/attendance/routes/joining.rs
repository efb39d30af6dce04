//! Joining: codes of the personnel office, and the accounts that are made with them.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::devices::DeviceDraft;
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::attendance::Attendance;
use crate::domains::attendance::records::{HrCode, Joining, Step};
use crate::web::peer::Peer;
use crate::web::{Answer, Asker, Json, Path, Query, WebFault, run};

/// Codes of a list when the request does not say how many, and the most of them.
const LIST_USUAL: usize = 50;
const LIST_MAX: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
        .routes(routes!(add_hr_code, hr_codes))
        .routes(routes!(delete_hr_code))
        .routes(routes!(hr_code_data))
        .routes(routes!(onboardings))
        .routes(routes!(onboarding_word))
        .routes(routes!(onboarding_initiate))
        .routes(routes!(onboarding_verify))
        .routes(routes!(onboarding_complete))
}

/// A code of the personnel office.
#[derive(Debug, Serialize, ToSchema)]
struct HrCodeRead {
    id: u64,
    code: String,
    employee_email: String,
    employee_name: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
    is_used: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    used_at: Option<Moment>,
}

impl From<HrCode> for HrCodeRead {
    fn from(code: HrCode) -> Self {
        Self {
            id: code.number,
            code: code.code,
            employee_email: code.email,
            employee_name: code.name,
            created_at: code.created_at,
            expires_at: code.expires_at,
            is_used: code.used_at.is_some(),
            used_at: code.used_at,
        }
    }
}

/// For whom a code is to be.
#[derive(Debug, Deserialize, ToSchema)]
struct HrCodeDraft {
    employee_email: String,
    employee_name: Option<String>,
    /// 1 to 30; the setting `attendance.hr_code_days` unless told.
    expires_in_days: Option<u64>,
}

/// Makes a code, or answers the one that is still good for the address.
#[utoipa::path(post, path = "/admin/hr-codes", tag = "attendance", request_body = HrCodeDraft,
    responses((status = 201, body = HrCodeRead), (status = 403, description = "`right_missing`"),
        (status = 422, description = "`validation`")))]
async fn add_hr_code(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(draft): Json<HrCodeDraft>,
) -> Result<(StatusCode, Json<HrCodeRead>), WebFault> {
    let made = run(move || {
        let name = draft.employee_name.as_deref();
        desk.add_hr_code(&caller, &draft.employee_email, name, draft.expires_in_days)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Which codes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct HrCodesAsked {
    /// Used ones too.
    include_used: bool,
    /// Expired ones too.
    include_expired: bool,
    /// How many to leave out.
    offset: usize,
    /// At most 100; 50 unless told.
    limit: Option<usize>,
}

/// The codes, newest first.
#[utoipa::path(get, path = "/admin/hr-codes", tag = "attendance", params(HrCodesAsked),
    responses((status = 200, body = Vec<HrCodeRead>), (status = 403, description = "`right_missing`")))]
async fn hr_codes(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<HrCodesAsked>,
) -> Answer<Vec<HrCodeRead>> {
    let codes =
        run(move || desk.hr_codes(&caller, asked.include_used, asked.include_expired)).await?;
    let limit = asked.limit.unwrap_or(LIST_USUAL).min(LIST_MAX);
    Ok(Json(codes.into_iter().skip(asked.offset).take(limit).map(Into::into).collect()))
}

/// Takes a code back before it is used.
#[utoipa::path(delete, path = "/admin/hr-codes/{id}", tag = "attendance", params(("id" = u64, Path)),
    responses((status = 204), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"), (status = 409, description = "`hr_code_used`")))]
async fn delete_hr_code(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
) -> Result<StatusCode, WebFault> {
    run(move || desk.delete_hr_code(&caller, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the picture of a code holds.
#[derive(Debug, Serialize, ToSchema)]
struct HrCodeData {
    api_url: String,
    hr_code: String,
    employee_email: String,
    employee_name: Option<String>,
}

/// What the picture of a code holds.
#[utoipa::path(get, path = "/admin/hr-codes/{id}/qr-data", tag = "attendance",
    params(("id" = u64, Path)),
    responses((status = 200, body = HrCodeData), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn hr_code_data(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    peer: Option<axum::Extension<Peer>>,
    headers: HeaderMap,
    Path(id): Path<u64>,
) -> Answer<HrCodeData> {
    let api_url = super::reached_at(&desk, peer, &headers);
    let code = run(move || desk.hr_code(&caller, id)).await?;
    Ok(Json(HrCodeData {
        api_url,
        hr_code: code.code,
        employee_email: code.email,
        employee_name: code.name,
    }))
}

/// Somebody who is joining.
#[derive(Debug, Serialize, ToSchema)]
struct OnboardingRead {
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    email: String,
    step: Step,
    #[schema(value_type = String, format = DateTime)]
    began_at: Moment,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
    /// Wrong words so far.
    attempts: u32,
    ip_address: Option<String>,
}

impl From<Joining> for OnboardingRead {
    fn from(joining: Joining) -> Self {
        Self {
            id: joining.id,
            email: joining.email,
            step: joining.step,
            began_at: joining.began_at,
            expires_at: joining.expires_at,
            attempts: joining.attempts,
            ip_address: joining.address,
        }
    }
}

/// Who is joining now, newest first.
#[utoipa::path(get, path = "/admin/onboarding", tag = "attendance",
    responses((status = 200, body = Vec<OnboardingRead>),
        (status = 403, description = "`right_missing`")))]
async fn onboardings(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
) -> Answer<Vec<OnboardingRead>> {
    let joinings = run(move || desk.joinings(&caller)).await?;
    Ok(Json(joinings.into_iter().map(Into::into).collect()))
}

/// A word of six digits, told once.
#[derive(Debug, Serialize, ToSchema)]
struct OnboardingWord {
    otp_code: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
}

/// Makes the word of six digits that somebody who is joining has to say, and tells it once.
#[utoipa::path(post, path = "/admin/onboarding/{id}/code", tag = "attendance",
    params(("id" = String, Path, format = Uuid)),
    responses((status = 200, body = OnboardingWord), (status = 400, description = "`onboarding_step`"),
        (status = 403, description = "`right_missing`"), (status = 404, description = "`not_found`")))]
async fn onboarding_word(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<OnboardingWord> {
    let (otp_code, expires_at) = run(move || desk.tell_word(&caller, id)).await?;
    Ok(Json(OnboardingWord { otp_code, expires_at }))
}

/// A code and the address it is for.
#[derive(Debug, Deserialize, ToSchema)]
struct OnboardingBegin {
    hr_code: String,
    email: String,
}

/// The joining has begun.
#[derive(Debug, Serialize, ToSchema)]
struct OnboardingBegun {
    success: bool,
    message: String,
    session_token: String,
    step: &'static str,
}

/// Begins with a code of the personnel office.
#[utoipa::path(post, path = "/onboarding/initiate", tag = "attendance",
    request_body = OnboardingBegin,
    responses((status = 200, body = OnboardingBegun),
        (status = 400, description = "`hr_code_invalid`, `hr_code_email`, `hr_code_used`, `hr_code_expired`"),
        (status = 429, description = "`too_many_attempts`, `joinings_full`")))]
async fn onboarding_initiate(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(asked): Json<OnboardingBegin>,
) -> Answer<OnboardingBegun> {
    let begun = run(move || desk.begin_joining(&caller, &asked.hr_code, &asked.email)).await?;
    Ok(Json(OnboardingBegun {
        success: true,
        message: "Demandez le code de vérification au bureau du personnel.".into(),
        session_token: begun.token.to_string(),
        step: "otp_sent",
    }))
}

/// The word of six digits.
#[derive(Debug, Deserialize, ToSchema)]
struct OnboardingSaid {
    session_token: String,
    otp_code: String,
}

/// What comes next.
#[derive(Debug, Serialize, ToSchema)]
struct OnboardingNext {
    success: bool,
    message: String,
    step: &'static str,
}

/// Says the word of six digits.
#[utoipa::path(post, path = "/onboarding/verify-otp", tag = "attendance",
    request_body = OnboardingSaid,
    responses((status = 200, body = OnboardingNext),
        (status = 400, description = "`onboarding_invalid`, `onboarding_step`, `otp_wrong`, `otp_expired`, `otp_exhausted`"),
        (status = 422, description = "`validation`")))]
async fn onboarding_verify(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(said): Json<OnboardingSaid>,
) -> Answer<OnboardingNext> {
    if said.otp_code.trim().len() != 6 {
        let message = "A code has exactly six digits.";
        return Err(Fault::field("otp_code", "value_error", message).into());
    }
    run(move || desk.verify_word(&caller, &said.session_token, &said.otp_code)).await?;
    Ok(Json(OnboardingNext {
        success: true,
        message: "Choisissez un mot de passe.".into(),
        step: "device_attestation",
    }))
}

/// A password and a device.
#[derive(Debug, Deserialize, ToSchema)]
struct OnboardingEnd {
    session_token: String,
    password: String,
    #[serde(flatten)]
    device: DeviceDraft,
}

/// The account is there.
#[derive(Debug, Serialize, ToSchema)]
struct OnboardingDone {
    success: bool,
    message: String,
    user_id: u64,
    device_id: u64,
    access_token: String,
}

/// Makes the account and its device, and signs it in.
#[utoipa::path(post, path = "/onboarding/complete", tag = "attendance",
    request_body = OnboardingEnd,
    responses((status = 200, body = OnboardingDone),
        (status = 400, description = "`onboarding_invalid`, `onboarding_step`, `hr_code_used`"),
        (status = 409, description = "`user_exists`, `device_exists`"),
        (status = 422, description = "`validation`")))]
async fn onboarding_complete(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(end): Json<OnboardingEnd>,
) -> Answer<OnboardingDone> {
    let OnboardingEnd { session_token, password, device } = end;
    let password = Zeroizing::new(password);
    let joined =
        run(move || desk.complete_joining(&caller, &session_token, &password, device.into()))
            .await?;
    Ok(Json(OnboardingDone {
        success: true,
        message: "Compte créé.".into(),
        user_id: joined.user,
        device_id: joined.device,
        access_token: joined.access_token,
    }))
}
