//! The seed's interface, with its shapes, codes and leniency (plan-b.md §1.1).

use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::given::{Given, Members, Word};
use super::shapes::{
    DecryptAnswer, DecryptBody, DeserializeAnswer, DeserializeBody, EncryptAnswer, EncryptBody,
    PacketTypesAnswer, PlanbHealth, PlanbRole, PlanbRoleWish, PlanbStatus, RelayAnswer,
    RotateAnswer, RotateBody, SendAnswer, SendBody, SerializeAnswer, SerializeBody, StartBody,
};
use crate::base::caller::Right;
use crate::base::fault::Fault;
use crate::domains::continuity::Continuity;
use crate::domains::continuity::encoding;
use crate::domains::continuity::keys::GRACE_MAX;
use crate::domains::continuity::packets::PacketType;
use crate::domains::continuity::relay::Framing;
use crate::domains::continuity::sealing;
use crate::domains::continuity::verbs::PacketDraft;
use crate::web::{Answer, Asker, Json, WebFault, run};

/// Where the echo listens when nothing is said (plan-b.md §1.1).
const HOST: &str = "127.0.0.1";

pub(super) fn routes() -> OpenApiRouter<Continuity> {
    OpenApiRouter::new()
        .routes(routes!(planb_ping))
        .routes(routes!(planb_status))
        .routes(routes!(planb_role, planb_set_role))
        .routes(routes!(planb_rotate))
        .routes(routes!(planb_encrypt))
        .routes(routes!(planb_decrypt))
        .routes(routes!(planb_serialize))
        .routes(routes!(planb_deserialize))
        .routes(routes!(planb_packet_types))
        .routes(routes!(planb_tcp_status))
        .routes(routes!(planb_tcp_start))
        .routes(routes!(planb_tcp_stop))
        .routes(routes!(planb_tcp_send))
}

/// Tells that Plan B answers, to whoever has a key.
#[utoipa::path(get, path = "/ping", tag = "planb", responses((status = 200, body = PlanbHealth),
    (status = 401, description = "`unauthorized`")))]
async fn planb_ping(Asker(caller): Asker) -> Answer<PlanbHealth> {
    caller.require(Right::UseContinuity)?;
    Ok(Json(PlanbHealth { status: "ok" }))
}

/// The role and the identity of this node.
#[utoipa::path(get, path = "/status", tag = "planb", responses((status = 200, body = PlanbStatus),
    (status = 401, description = "`unauthorized`"), (status = 503, description = "`node_key_damaged`")))]
async fn planb_status(State(desk): State<Continuity>, Asker(caller): Asker) -> Answer<PlanbStatus> {
    let (role, node_id) = run(move || desk.role_and_node(&caller)).await?;
    Ok(Json(PlanbStatus { role: role.name(), node_id }))
}

/// The role of this node.
#[utoipa::path(get, path = "/role", tag = "planb", responses((status = 200, body = PlanbRole),
    (status = 401, description = "`unauthorized`")))]
async fn planb_role(State(desk): State<Continuity>, Asker(caller): Asker) -> Answer<PlanbRole> {
    let role = run(move || desk.role(&caller)).await?;
    Ok(Json(PlanbRole { role: role.name() }))
}

/// Sets the role of this node.
#[utoipa::path(post, path = "/role", tag = "planb", request_body = PlanbRoleWish,
    responses((status = 200, body = PlanbRole), (status = 400, description = "`invalid_role`"),
        (status = 401, description = "`unauthorized`")))]
async fn planb_set_role(
    State(desk): State<Continuity>,
    Asker(caller): Asker,
    Given(body): Given,
) -> Answer<PlanbRole> {
    let role = run(move || {
        let members = Members::read(&body);
        let word = if let Word::Text(word) = &members.role { word.as_ref() } else { "" };
        desk.set_role(&caller, word)
    });
    Ok(Json(PlanbRole { role: role.await?.name() }))
}

/// Puts a new key in the place of the file's. The key before is taken for a while yet, unless
/// `grace_seconds` is 0, and kept in a dated backup. A person gives the password again first.
#[utoipa::path(post, path = "/token/rotate", tag = "planb", request_body = Option<RotateBody>,
    responses((status = 200, body = RotateAnswer), (status = 400, description = "`invalid_grace`"),
        (status = 401, description = "`unauthorized`"),
        (status = 403, description = "`step_up_required` for a person"),
        (status = 503, description = "`planb_key_damaged`")))]
async fn planb_rotate(
    State(desk): State<Continuity>,
    Asker(caller): Asker,
    Given(body): Given,
) -> Answer<RotateAnswer> {
    let api_key = run(move || {
        let members = Members::read(&body);
        caller.require(Right::ManageContinuity)?;
        let grace = grace(&members.grace_seconds)?;
        desk.rotate_key(&caller, grace)
    });
    Ok(Json(RotateAnswer { api_key: api_key.await? }))
}

/// Seals a message with AES-256-GCM.
#[utoipa::path(post, path = "/crypto/encrypt", tag = "planb", request_body = EncryptBody,
    responses((status = 200, body = EncryptAnswer), (status = 400, description = "`encrypt_failed`"),
        (status = 401, description = "`unauthorized`"), (status = 413, description = "`body_too_large`"),
        (status = 503, description = "`sealing_key_damaged`")))]
async fn planb_encrypt(
    State(desk): State<Continuity>,
    Asker(caller): Asker,
    Given(body): Given,
) -> Result<Response, WebFault> {
    let text = run(move || {
        caller.require(Right::SealContinuity)?;
        let members = Members::read(&body);
        let bytes = Decoding { code: "encrypt_failed" };
        let mut blob = bytes.with_room(sealing::ROOM, "plaintext_b64", &members.plaintext_b64)?;
        let aad = bytes.of("aad_b64", &members.aad_b64)?;
        desk.seal(&caller, &mut blob, &aad)?;
        Ok(one_member("ciphertext_b64", &blob))
    });
    Ok(written(text.await?))
}

/// Opens a message that was sealed here.
#[utoipa::path(post, path = "/crypto/decrypt", tag = "planb", request_body = DecryptBody,
    responses((status = 200, body = DecryptAnswer), (status = 400, description = "`decrypt_failed`"),
        (status = 401, description = "`unauthorized`"), (status = 413, description = "`body_too_large`"),
        (status = 503, description = "`sealing_key_damaged`")))]
async fn planb_decrypt(
    State(desk): State<Continuity>,
    Asker(caller): Asker,
    Given(body): Given,
) -> Result<Response, WebFault> {
    let text = run(move || {
        caller.require(Right::SealContinuity)?;
        let members = Members::read(&body);
        let bytes = Decoding { code: "decrypt_failed" };
        let blob = bytes.of("ciphertext_b64", &members.ciphertext_b64)?;
        let aad = bytes.of("aad_b64", &members.aad_b64)?;
        let plaintext = desk.unseal(&caller, &blob, &aad)?;
        Ok(one_member("plaintext_b64", &plaintext))
    });
    Ok(written(text.await?))
}

/// Writes a packet.
#[utoipa::path(post, path = "/packet/serialize", tag = "planb", request_body = SerializeBody,
    responses((status = 200, body = SerializeAnswer), (status = 400, description = "`serialize_failed`"),
        (status = 401, description = "`unauthorized`"), (status = 413, description = "`body_too_large`")))]
async fn planb_serialize(
    State(desk): State<Continuity>,
    Asker(caller): Asker,
    Given(body): Given,
) -> Result<Response, WebFault> {
    let text = run(move || {
        caller.require(Right::SealContinuity)?;
        let members = Members::read(&body);
        let bytes = Decoding { code: "serialize_failed" };
        // What is no number is the number of no type.
        let kind = members.packet_type.number().and_then(|kind| u64::try_from(kind).ok());
        let node_id = bytes.node_id(&members.node_id_hex)?;
        let payload = bytes.of("payload_b64", &members.payload_b64)?;
        let hmac = match &members.hmac_b64 {
            Word::Absent => None,
            given => Some(bytes.of("hmac_b64", given)?),
        };
        let draft = PacketDraft {
            kind: kind.unwrap_or(0),
            node_id: node_id.as_deref(),
            payload: &payload,
            hmac: hmac.as_deref(),
        };
        Ok(one_member("data_b64", &desk.pack(&caller, draft)?))
    });
    Ok(written(text.await?))
}

/// Reads a packet.
#[utoipa::path(post, path = "/packet/deserialize", tag = "planb", request_body = DeserializeBody,
    responses((status = 200, body = DeserializeAnswer),
        (status = 400, description = "`deserialize_failed`"),
        (status = 401, description = "`unauthorized`"), (status = 413, description = "`body_too_large`")))]
async fn planb_deserialize(
    State(desk): State<Continuity>,
    Asker(caller): Asker,
    Given(body): Given,
) -> Answer<DeserializeAnswer> {
    let answer = run(move || {
        caller.require(Right::SealContinuity)?;
        let members = Members::read(&body);
        let bytes = Decoding { code: "deserialize_failed" }.of("data_b64", &members.data_b64)?;
        let unpacked = desk.unpack(&caller, &bytes)?;
        let packet = unpacked.packet;
        Ok(DeserializeAnswer {
            packet_type: packet.kind.number(),
            node_id_hex: data_encoding::HEXLOWER.encode(&packet.node_id),
            payload_b64: encoding::encode(packet.payload),
            hmac_b64: encoding::encode(&packet.hmac),
            hmac_valid: unpacked.hmac_valid,
        })
    });
    Ok(Json(answer.await?))
}

/// The types of packets.
#[utoipa::path(get, path = "/packet/types", tag = "planb",
    responses((status = 200, body = PacketTypesAnswer), (status = 401, description = "`unauthorized`")))]
async fn planb_packet_types(Asker(caller): Asker) -> Answer<PacketTypesAnswer> {
    caller.require(Right::UseContinuity)?;
    let types = PacketType::ALL.into_iter().map(|kind| (kind.name(), kind.number())).collect();
    Ok(Json(PacketTypesAnswer { types }))
}

/// Whether the echo runs, and where.
#[utoipa::path(get, path = "/tcp/status", tag = "planb", responses((status = 200, body = RelayAnswer),
    (status = 401, description = "`unauthorized`")))]
async fn planb_tcp_status(
    State(desk): State<Continuity>,
    Asker(caller): Asker,
) -> Answer<RelayAnswer> {
    Ok(Json(desk.relay_state(&caller)?.into()))
}

/// Starts the echo; one that runs goes on where it is.
#[utoipa::path(post, path = "/tcp/start", tag = "planb", request_body = Option<StartBody>,
    responses((status = 200, body = RelayAnswer), (status = 400, description = "`tcp_start_failed`"),
        (status = 401, description = "`unauthorized`")))]
async fn planb_tcp_start(
    State(desk): State<Continuity>,
    Asker(caller): Asker,
    Given(body): Given,
) -> Answer<RelayAnswer> {
    let state = run(move || {
        caller.require(Right::RelayContinuity)?;
        // Whatever is asked of an echo that runs is ignored (plan-b.md §1.1).
        if let Some(running) = desk.relay_state(&caller)? {
            return Ok(running);
        }
        let failed = |words: &'static str| Fault::invalid("tcp_start_failed", words);
        let members = Members::read(&body);
        let host = match &members.host {
            Word::Absent => HOST,
            Word::Text(host) => host.as_ref(),
            Word::Whole(_) | Word::Other => return Err(failed("The host must be a text.")),
        };
        let port = match &members.port {
            Word::Absent => Some(0),
            given => given.number().and_then(|port| u16::try_from(port).ok()),
        };
        let port = port.ok_or_else(|| failed("The port must be a number from 0 to 65535."))?;
        let framing = framing(&members.framing, "tcp_start_failed")?;
        desk.start_relay(&caller, host, port, framing)
    });
    Ok(Json(Some(state.await?).into()))
}

/// Stops the echo, if it runs.
#[utoipa::path(post, path = "/tcp/stop", tag = "planb", responses((status = 200, body = RelayAnswer),
    (status = 401, description = "`unauthorized`")))]
async fn planb_tcp_stop(
    State(desk): State<Continuity>,
    Asker(caller): Asker,
) -> Answer<RelayAnswer> {
    run(move || desk.stop_relay(&caller)).await?;
    Ok(Json(None.into()))
}

/// Sends bytes to a program of this machine, or to a peer of the settings, and answers with what it says.
#[utoipa::path(post, path = "/tcp/send", tag = "planb", request_body = SendBody,
    responses((status = 200, body = SendAnswer),
        (status = 400, description = "`invalid_target`, `tcp_send_failed`"),
        (status = 401, description = "`unauthorized`"), (status = 413, description = "`body_too_large`")))]
async fn planb_tcp_send(
    State(desk): State<Continuity>,
    Asker(caller): Asker,
    Given(body): Given,
) -> Result<Response, WebFault> {
    caller.require(Right::RelayContinuity)?;
    let (host, port, framing, payload) = run(move || {
        let members = Members::read(&body);
        let host = if let Word::Text(host) = &members.host { host.trim() } else { "" };
        let port = members.port.number().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        if host.is_empty() || port == 0 {
            return Err(Fault::invalid(
                "invalid_target",
                "A host and a port from 1 to 65535 are needed.",
            ));
        }
        let framing = framing(&members.framing, "tcp_send_failed")?;
        let payload =
            Decoding { code: "tcp_send_failed" }.of("payload_b64", &members.payload_b64)?;
        Ok((host.to_owned(), port, framing, payload))
    })
    .await?;
    let response = desk.send(&caller, (&host, port), &payload, framing).await?;
    Ok(written(one_member("response_b64", &response)))
}

/// For how long the key before is still taken; none when nothing is said.
fn grace(word: &Word<'_>) -> Result<Option<Duration>, Fault> {
    if *word == Word::Absent {
        return Ok(None);
    }
    let seconds = word.number().and_then(|seconds| u64::try_from(seconds).ok());
    let grace = seconds.map(Duration::from_secs).filter(|grace| *grace <= GRACE_MAX);
    grace.map(Some).ok_or_else(|| {
        Fault::invalid(
            "invalid_grace",
            format!("grace_seconds must be a whole number from 0 to {}.", GRACE_MAX.as_secs()),
        )
    })
}

fn framing(word: &Word<'_>, code: &'static str) -> Result<Framing, Fault> {
    let named = match word {
        Word::Absent => Some(Framing::Raw),
        Word::Text(word) => Framing::named(word),
        Word::Whole(_) | Word::Other => None,
    };
    named.ok_or_else(|| Fault::invalid(code, "The framing must be 'raw' or 'length'."))
}

/// Reads what members stand for, under a route's code.
#[derive(Clone, Copy)]
struct Decoding {
    code: &'static str,
}

impl Decoding {
    /// The bytes of a member; none when it is left out.
    fn of(self, name: &str, word: &Word<'_>) -> Result<Vec<u8>, Fault> {
        self.with_room(0, name, word)
    }

    /// The same behind `room` bytes.
    fn with_room(self, room: usize, name: &str, word: &Word<'_>) -> Result<Vec<u8>, Fault> {
        let text = match word {
            Word::Absent => "",
            Word::Text(text) => text.as_ref(),
            Word::Whole(_) | Word::Other => {
                return Err(Fault::invalid(self.code, format!("{name} must be a text in base64.")));
            }
        };
        // Room for what sealing adds too, so that nothing is moved again.
        let mut bytes = Vec::with_capacity(room + text.len() / 4 * 3 + 3 + sealing::OVERHEAD);
        bytes.resize(room, 0);
        encoding::decode_into(text, &mut bytes).map_err(|e| Fault::invalid(self.code, e.text()))?;
        Ok(bytes)
    }

    /// A node's id; none when it is left out. White space between bytes is skipped, as Python does.
    fn node_id(self, word: &Word<'_>) -> Result<Option<Vec<u8>>, Fault> {
        let refused =
            || Fault::invalid(self.code, "Node ID must be 64 hexadecimal digits: 32 bytes.");
        match word {
            Word::Absent => Ok(None),
            Word::Text(text) => {
                let digits: String = text.split_ascii_whitespace().collect();
                data_encoding::HEXLOWER_PERMISSIVE
                    .decode(digits.as_bytes())
                    .map(Some)
                    .map_err(|_| refused())
            }
            Word::Whole(_) | Word::Other => Err(refused()),
        }
    }
}

/// `{"NAME":"BASE64"}` in one text of the right length: base64 needs no escapes.
fn one_member(name: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(name.len() + 8 + bytes.len().div_ceil(3) * 4);
    text.push_str("{\"");
    text.push_str(name);
    text.push_str("\":\"");
    encoding::encode_into(bytes, &mut text);
    text.push_str("\"}");
    text
}

fn written(json: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}
