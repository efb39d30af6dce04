//! The door of the second factor: one's own, and the way out for who has lost it.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::users::DoneAnswer;
use crate::base::clock::Moment;
use crate::domains::identity::Identity;
use crate::domains::identity::second_factor::Codes;
use crate::web::{Answer, Asker, Json, Path, run};

pub(super) fn routes() -> OpenApiRouter<Identity> {
    OpenApiRouter::new()
        .routes(routes!(provision))
        .routes(routes!(activate))
        .routes(routes!(validate))
        .routes(routes!(use_recovery))
        .routes(routes!(regenerate))
        .routes(routes!(standing))
        .routes(routes!(disable))
        .routes(routes!(reset))
}

/// A new secret, shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct ProvisionAnswer {
    /// The secret for a person to type, base32.
    #[schema(value_type = String)]
    secret: Zeroizing<String>,
    /// The same for a phone.
    #[schema(value_type = String)]
    otpauth_uri: Zeroizing<String>,
    /// The same as a picture, SVG.
    #[schema(value_type = String)]
    qr_svg: Zeroizing<String>,
    /// Until when it waits for its first code.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
}

/// Shows a new secret for an authenticator; it counts after its first code.
#[utoipa::path(post, path = "/totp/provision", tag = "second factor",
    responses((status = 200, body = ProvisionAnswer),
        (status = 403, description = "`session_required`, `step_up_required`")))]
async fn provision(State(desk): State<Identity>, Asker(caller): Asker) -> Answer<ProvisionAnswer> {
    let new = run(move || desk.provision(&caller)).await?;
    Ok(Json(ProvisionAnswer {
        secret: new.secret,
        otpauth_uri: new.uri,
        qr_svg: Zeroizing::new(new.qr_svg),
        expires_at: new.expires_at,
    }))
}

/// A code of the phone.
#[derive(Debug, Deserialize, ToSchema)]
struct CodeBody {
    /// Six digits.
    #[schema(value_type = String)]
    code: Zeroizing<String>,
}

/// The recovery codes, told this once.
#[derive(Debug, Serialize, ToSchema)]
struct CodesAnswer {
    /// Always true.
    success: bool,
    /// Each is good once, in the place of a code of the phone.
    #[schema(value_type = Vec<String>)]
    recovery_codes: Codes,
}

/// Puts the secret that was shown into force by its first code.
#[utoipa::path(post, path = "/totp/activate", tag = "second factor", request_body = CodeBody,
    responses((status = 200, body = CodesAnswer), (status = 400, description = "`second_factor_wrong`"),
        (status = 403, description = "`session_required`, `second_factor_locked`"),
        (status = 404, description = "`second_factor_not_pending`"),
        (status = 429, description = "`too_many_attempts`")))]
async fn activate(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<CodeBody>,
) -> Answer<CodesAnswer> {
    let recovery_codes = run(move || desk.activate(&caller, &body.code)).await?;
    Ok(Json(CodesAnswer { success: true, recovery_codes }))
}

/// That a code was good.
#[derive(Debug, Serialize, ToSchema)]
struct ValidAnswer {
    /// Always true.
    valid: bool,
}

/// Takes a code of the phone.
#[utoipa::path(post, path = "/totp/validate", tag = "second factor", request_body = CodeBody,
    responses((status = 200, body = ValidAnswer), (status = 400, description = "`second_factor_wrong`"),
        (status = 403, description = "`session_required`, `second_factor_locked`"),
        (status = 404, description = "`second_factor_not_enrolled`"),
        (status = 429, description = "`too_many_attempts`")))]
async fn validate(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<CodeBody>,
) -> Answer<ValidAnswer> {
    run(move || desk.validate(&caller, &body.code)).await?;
    Ok(Json(ValidAnswer { valid: true }))
}

/// A recovery code.
#[derive(Debug, Deserialize, ToSchema)]
struct RecoveryBody {
    /// As it was told, `XXXX-XXXX`.
    #[schema(value_type = String)]
    recovery_code: Zeroizing<String>,
}

/// That a recovery code was good.
#[derive(Debug, Serialize, ToSchema)]
struct RecoveredAnswer {
    /// Always true.
    valid: bool,
    /// How many are left.
    remaining: usize,
}

/// Takes a recovery code, which is then no longer good.
#[utoipa::path(post, path = "/totp/recovery/use", tag = "second factor", request_body = RecoveryBody,
    responses((status = 200, body = RecoveredAnswer), (status = 400, description = "`second_factor_wrong`"),
        (status = 403, description = "`session_required`, `second_factor_locked`"),
        (status = 404, description = "`second_factor_not_enrolled`"),
        (status = 429, description = "`too_many_attempts`")))]
async fn use_recovery(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<RecoveryBody>,
) -> Answer<RecoveredAnswer> {
    let remaining = run(move || desk.use_recovery(&caller, &body.recovery_code)).await?;
    Ok(Json(RecoveredAnswer { valid: true, remaining }))
}

/// Makes new recovery codes in the place of the old ones.
#[utoipa::path(post, path = "/totp/recovery/regenerate", tag = "second factor",
    responses((status = 200, body = CodesAnswer),
        (status = 403, description = "`session_required`, `step_up_required`"),
        (status = 404, description = "`second_factor_not_enrolled`")))]
async fn regenerate(State(desk): State<Identity>, Asker(caller): Asker) -> Answer<CodesAnswer> {
    let recovery_codes = run(move || desk.regenerate(&caller)).await?;
    Ok(Json(CodesAnswer { success: true, recovery_codes }))
}

/// How one's second factor stands.
#[derive(Debug, Serialize, ToSchema)]
struct StandingAnswer {
    /// Whether it is in force.
    enabled: bool,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    enrolled_at: Option<Moment>,
    /// Recovery codes that are still good.
    remaining: usize,
    /// Recovery codes that were made.
    total: usize,
    /// Whether one's role asks for a second factor.
    required: bool,
}

/// Tells how one's second factor stands.
#[utoipa::path(get, path = "/totp/recovery/status", tag = "second factor",
    responses((status = 200, body = StandingAnswer), (status = 403, description = "`session_required`")))]
async fn standing(State(desk): State<Identity>, Asker(caller): Asker) -> Answer<StandingAnswer> {
    let stands = run(move || desk.second_factor_of(&caller)).await?;
    Ok(Json(StandingAnswer {
        enabled: stands.enrolled_at.is_some(),
        enrolled_at: stands.enrolled_at,
        remaining: stands.remaining,
        total: stands.total,
        required: stands.required,
    }))
}

/// Takes one's own second factor away.
#[utoipa::path(post, path = "/totp/disable", tag = "second factor",
    responses((status = 200, body = DoneAnswer),
        (status = 403, description = "`session_required`, `step_up_required`"),
        (status = 404, description = "`second_factor_not_enrolled`"),
        (status = 409, description = "`second_factor_needed_by_role`")))]
async fn disable(State(desk): State<Identity>, Asker(caller): Asker) -> Answer<DoneAnswer> {
    run(move || desk.disable(&caller)).await?;
    Ok(DoneAnswer::saying("Second facteur retiré"))
}

/// Takes a user's second factor away, for who has lost phone and paper.
#[utoipa::path(post, path = "/admin/users/{id}/totp/reset", tag = "second factor",
    params(("id" = u64, Path, description = "The integer this site knows the user by")),
    responses((status = 200, body = DoneAnswer),
        (status = 403, description = "`right_missing`, `right_not_held`, `step_up_required`"),
        (status = 404, description = "`not_found`, `second_factor_not_enrolled`")))]
async fn reset(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
) -> Answer<DoneAnswer> {
    let user = run(move || desk.reset_second_factor(&caller, number)).await?;
    Ok(DoneAnswer::saying(format!("Second facteur de {} retiré", user.username)))
}
