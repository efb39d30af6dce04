//! What Plan B's routes take and answer, described; bodies are read more leniently than this says.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domains::continuity::relay::{Framing, RelayState};

/// Plan B answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanbHealth {
    /// `ok`.
    pub status: &'static str,
}

/// Role and identity.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanbStatus {
    /// `server` or `client`.
    pub role: &'static str,
    /// SHA-256 of the node's Ed25519 public key: 64 hexadecimal digits.
    pub node_id: String,
}

/// The role.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanbRole {
    /// `server` or `client`.
    pub role: &'static str,
}

/// A role to be.
#[derive(Debug, ToSchema)]
pub struct PlanbRoleWish {
    /// `server` or `client`, in small or capital letters.
    pub role: String,
}

/// How to rotate the key.
#[derive(Debug, ToSchema)]
pub struct RotateBody {
    /// How long the key before is still taken, seconds; 0 for not at all, as the settings say when left
    /// out.
    pub grace_seconds: Option<u64>,
}

/// A new key.
#[derive(Debug, Serialize, ToSchema)]
pub struct RotateAnswer {
    /// 64 hexadecimal digits; the key's file has it too.
    #[schema(value_type = String)]
    pub api_key: zeroize::Zeroizing<String>,
}

/// A message to seal.
#[derive(Debug, ToSchema)]
pub struct EncryptBody {
    /// The message, base64; empty when left out.
    pub plaintext_b64: Option<String>,
    /// What is bound in and not kept, base64.
    pub aad_b64: Option<String>,
}

/// A sealed message.
#[derive(Debug, ToSchema)]
pub struct EncryptAnswer {
    /// Nonce (12 bytes), ciphertext, tag (16 bytes), base64.
    pub ciphertext_b64: String,
}

/// A message to open.
#[derive(Debug, ToSchema)]
pub struct DecryptBody {
    /// What was sealed, base64.
    pub ciphertext_b64: String,
    /// What was bound in, base64.
    pub aad_b64: Option<String>,
}

/// An opened message.
#[derive(Debug, ToSchema)]
pub struct DecryptAnswer {
    /// The message, base64.
    pub plaintext_b64: String,
}

/// A packet to write.
#[derive(Debug, ToSchema)]
pub struct SerializeBody {
    /// 1 to 7, as a number or as a text.
    pub packet_type: u8,
    /// Whose it is: 64 hexadecimal digits; this node's when left out.
    pub node_id_hex: Option<String>,
    /// What it carries, base64, 65,463 bytes at most; empty when left out.
    pub payload_b64: Option<String>,
    /// 32 bytes, base64; when left out, HMAC-SHA256 of all bytes before it under this node's key.
    pub hmac_b64: Option<String>,
}

/// A packet.
#[derive(Debug, ToSchema)]
pub struct SerializeAnswer {
    /// Its bytes, base64.
    pub data_b64: String,
}

/// A packet to read.
#[derive(Debug, ToSchema)]
pub struct DeserializeBody {
    /// Its bytes, base64; what follows them is ignored.
    pub data_b64: String,
}

/// What a packet says.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeserializeAnswer {
    /// 1 to 7.
    pub packet_type: u8,
    /// Whose it is: 64 hexadecimal digits.
    pub node_id_hex: String,
    /// What it carries, base64.
    pub payload_b64: String,
    /// Its HMAC, base64.
    pub hmac_b64: String,
    /// Whether that is what this node's key makes of it; null when that key cannot be read.
    pub hmac_valid: Option<bool>,
}

/// The types of packets: a name, a number.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
pub struct PacketTypesAnswer {
    /// By name.
    pub types: BTreeMap<&'static str, u8>,
}

/// The echo.
#[derive(Debug, Serialize, ToSchema)]
pub struct RelayAnswer {
    /// Whether it runs.
    pub running: bool,
    /// Its address, as it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `length` when its messages have their length before them; left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framing: Option<&'static str>,
}

impl From<Option<RelayState>> for RelayAnswer {
    fn from(state: Option<RelayState>) -> Self {
        match state {
            None => Self { running: false, host: None, port: None, framing: None },
            Some(RelayState { host, port, framing, .. }) => Self {
                running: true,
                host: Some(host),
                port: Some(port),
                framing: (framing != Framing::Raw).then(|| framing.name()),
            },
        }
    }
}

/// Where the echo is to listen.
#[derive(Debug, ToSchema)]
pub struct StartBody {
    /// An address of this machine alone, or one of the settings; 127.0.0.1 when left out.
    pub host: Option<String>,
    /// 0, or left out, for any free one; as a number or as a text.
    pub port: Option<u16>,
    /// `raw` (the default), or `length`: each message has its length before it, four bytes, big endian.
    pub framing: Option<String>,
}

/// Bytes to send.
#[derive(Debug, ToSchema)]
pub struct SendBody {
    /// This machine, or a peer of the settings.
    pub host: String,
    /// 1 to 65535; as a number or as a text.
    pub port: u16,
    /// What to send, base64; empty when left out.
    pub payload_b64: Option<String>,
    /// `raw` (the default), or `length`.
    pub framing: Option<String>,
}

/// What came back.
#[derive(Debug, ToSchema)]
pub struct SendAnswer {
    /// The answer, base64, 1 MiB at most.
    pub response_b64: String,
}
