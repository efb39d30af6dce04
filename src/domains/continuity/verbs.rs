//! What may be done with Plan B: each checks its right itself, and tells what it changed.

use std::time::Duration;

use zeroize::Zeroizing;

use super::keys::{KeyDraft, ScopedKey};
use super::packets::{self, Packet, PacketError, PacketType};
use super::relay::{Framing, RelayState};
use super::role::Role;
use super::sealing::SealingState;
use super::{Continuity, Done};
use crate::base::caller::{Caller, Door, Right};
use crate::base::fault::Fault;

/// A packet to be.
#[derive(Debug, Clone, Copy)]
pub struct PacketDraft<'a> {
    /// The number of its type, 1 to 7.
    pub kind: u64,
    /// Whose it is: 32 bytes; none for this node.
    pub node_id: Option<&'a [u8]>,
    /// What it carries.
    pub payload: &'a [u8],
    /// Its HMAC: 32 bytes; none to have it made with this node's key.
    pub hmac: Option<&'a [u8]>,
}

/// A packet that was read.
#[derive(Debug, Clone, Copy)]
pub struct Unpacked<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// Whether its HMAC is made with this node's key; none when that key is damaged.
    pub hmac_valid: Option<bool>,
}

impl Continuity {
    /// The role, and who this node is.
    ///
    /// # Errors
    /// `right_missing`; `node_key_damaged`, `hmac_key_damaged`.
    pub fn role_and_node(&self, caller: &Caller) -> Result<(Role, String), Fault> {
        let role = self.role(caller)?;
        Ok((role, self.node()?.name().to_owned()))
    }

    /// The role.
    ///
    /// # Errors
    /// `right_missing`, or what the file system says.
    pub fn role(&self, caller: &Caller) -> Result<Role, Fault> {
        caller.require(Right::UseContinuity)?;
        self.0.role.get()
    }

    /// Sets the role; `word` may be spelled in capitals.
    ///
    /// # Errors
    /// `right_missing`, `invalid_role`, or what the file system says.
    pub fn set_role(&self, caller: &Caller, word: &str) -> Result<Role, Fault> {
        caller.require(Right::ManageContinuity)?;
        let role = Role::named(word).ok_or_else(|| {
            Fault::invalid("invalid_role", "The role must be 'server' or 'client'.")
        })?;
        let before = self.0.role.set(role)?;
        let quoted = |role: Role| Some(format!("\"{}\"", role.name()));
        self.tell(
            caller,
            Done {
                deed: "planb_role.set",
                object: role.name().to_owned(),
                before: quoted(before),
                after: quoted(role),
            },
        );
        Ok(role)
    }

    /// Puts a new key in the place of the file's, and answers with it. The one before is taken for `grace`
    /// more (none: as the settings say; zero: it ends at once) and kept in a dated backup.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`; `planb_key_damaged`.
    pub fn rotate_key(
        &self,
        caller: &Caller,
        grace: Option<Duration>,
    ) -> Result<Zeroizing<String>, Fault> {
        self.may_change_keys(caller)?;
        let key = self.0.keys.rotate(grace)?;
        self.tell(caller, done("planb_key.rotate", "api_key.txt", None));
        Ok(key)
    }

    /// Further keys, the oldest first.
    ///
    /// # Errors
    /// `right_missing`, `planb_keys_damaged`.
    pub fn keys(&self, caller: &Caller) -> Result<Vec<ScopedKey>, Fault> {
        caller.require(Right::UseContinuity)?;
        self.0.keys.listed().map(|keys| keys.to_vec())
    }

    /// Adds a further key, and answers with its text, which is kept nowhere.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`; `validation`, `planb_key_name_taken`, `planb_keys_full`,
    /// `planb_keys_damaged`.
    pub fn add_key(
        &self,
        caller: &Caller,
        draft: KeyDraft,
    ) -> Result<(Zeroizing<String>, ScopedKey), Fault> {
        self.may_change_keys(caller)?;
        let (text, key) = self.0.keys.add(draft)?;
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
        let after = serde_json::json!({"scopes": scopes, "expires_at": key.expires_at});
        self.tell(caller, done("planb_key.add", &key.name, Some(after.to_string())));
        Ok((text, key))
    }

    /// Takes a further key away; it ends at once.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `planb_keys_damaged`.
    pub fn remove_key(&self, caller: &Caller, name: &str) -> Result<(), Fault> {
        caller.require(Right::ManageContinuity)?;
        let gone = self.0.keys.remove(name)?;
        self.tell(caller, done("planb_key.remove", &gone.name, None));
        Ok(())
    }

    /// How the sealing key stands.
    ///
    /// # Errors
    /// `right_missing`; `sealing_key_damaged`, `sealing_count_damaged`.
    pub fn sealing(&self, caller: &Caller) -> Result<SealingState, Fault> {
        caller.require(Right::UseContinuity)?;
        self.sealing_state()
    }

    /// Puts a new sealing key in force; those before still open what they sealed.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`; `sealing_key_damaged`.
    pub fn rotate_sealing(&self, caller: &Caller) -> Result<SealingState, Fault> {
        self.may_change_keys(caller)?;
        self.0.sealing.get()?.rotate()?;
        self.tell(caller, done("planb_sealing.rotate", "enc_key.bin", None));
        self.sealing_state()
    }

    /// Seals what lies in `blob` behind [`super::sealing::ROOM`] bytes, where it lies.
    ///
    /// # Errors
    /// `right_missing`, `encrypt_failed`; `sealing_key_damaged`, `sealing_count_damaged`.
    pub fn seal(&self, caller: &Caller, blob: &mut Vec<u8>, aad: &[u8]) -> Result<(), Fault> {
        caller.require(Right::SealContinuity)?;
        self.0.sealing.get()?.seal_in_place(blob, aad)?;
        self.sealed_one();
        Ok(())
    }

    /// Opens what was sealed.
    ///
    /// # Errors
    /// `right_missing`, `decrypt_failed`; `sealing_key_damaged`.
    pub fn unseal(&self, caller: &Caller, blob: &[u8], aad: &[u8]) -> Result<Vec<u8>, Fault> {
        caller.require(Right::SealContinuity)?;
        self.0.sealing.get()?.unseal(blob, aad)
    }

    /// Writes a packet.
    ///
    /// # Errors
    /// `right_missing`, `serialize_failed`; `node_key_damaged`, `hmac_key_damaged` when the node's own id
    /// or key is needed.
    pub fn pack(&self, caller: &Caller, draft: PacketDraft<'_>) -> Result<Vec<u8>, Fault> {
        caller.require(Right::SealContinuity)?;
        let failed = |e: PacketError| Fault::invalid("serialize_failed", e.text());
        let kind = PacketType::of(draft.kind).map_err(failed)?;
        let node_id = match draft.node_id {
            Some(bytes) => packets::node_id(bytes).map_err(failed)?,
            None => self.node()?.id(),
        };
        let hmac = draft.hmac.map(packets::hmac).transpose().map_err(failed)?;
        let mut out = Vec::new();
        packets::write_covered(kind, &node_id, draft.payload, &mut out).map_err(failed)?;
        let hmac = match hmac {
            Some(hmac) => hmac,
            None => self.node()?.mac(&out)?,
        };
        out.extend_from_slice(&hmac);
        Ok(out)
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// `right_missing`, `deserialize_failed`.
    pub fn unpack<'a>(&self, caller: &Caller, bytes: &'a [u8]) -> Result<Unpacked<'a>, Fault> {
        caller.require(Right::SealContinuity)?;
        let failed = |e: PacketError| Fault::invalid("deserialize_failed", e.text());
        let packet = Packet::parse(bytes).map_err(failed)?;
        let covered = packets::covered(bytes).map_err(failed)?;
        let hmac_valid = match self.node() {
            Ok(node) => Some(node.mac_is(covered, &packet.hmac)?),
            Err(_) => None,
        };
        Ok(Unpacked { packet, hmac_valid })
    }

    /// The echo that runs; none when none does.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn relay_state(&self, caller: &Caller) -> Result<Option<RelayState>, Fault> {
        caller.require(Right::UseContinuity)?;
        Ok(self.0.relay.state())
    }

    /// Starts the echo, or answers with the one that runs. It is called on a runtime.
    ///
    /// # Errors
    /// `right_missing`, `tcp_start_failed`.
    pub fn start_relay(
        &self,
        caller: &Caller,
        host: &str,
        port: u16,
        framing: Framing,
    ) -> Result<RelayState, Fault> {
        caller.require(Right::RelayContinuity)?;
        let (state, started) = self.0.relay.start(host, port, framing)?;
        if started {
            let place = format!("{}:{}", state.host, state.port);
            self.tell(caller, done("planb_relay.start", &place, None));
        }
        Ok(state)
    }

    /// Stops the echo, if one runs.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn stop_relay(&self, caller: &Caller) -> Result<(), Fault> {
        caller.require(Right::RelayContinuity)?;
        if self.0.relay.stop() {
            self.tell(caller, done("planb_relay.stop", "", None));
        }
        Ok(())
    }

    /// Sends bytes to a peer, and answers with what it says.
    ///
    /// # Errors
    /// `right_missing`, `invalid_target`, `tcp_send_failed`.
    pub async fn send(
        &self,
        caller: &Caller,
        target: (&str, u16),
        payload: &[u8],
        framing: Framing,
    ) -> Result<Vec<u8>, Fault> {
        caller.require(Right::RelayContinuity)?;
        self.0.relay.send(target.0, target.1, payload, framing).await
    }

    /// Who holds the file key may change keys without a password: there is none for it. A person gives
    /// theirs again.
    fn may_change_keys(&self, caller: &Caller) -> Result<(), Fault> {
        caller.require(Right::ManageContinuity)?;
        if caller.door == Door::PlanB { Ok(()) } else { caller.fresh(self.0.clock.now()) }
    }
}

fn done(deed: &'static str, object: &str, after: Option<String>) -> Done {
    Done { deed, object: object.to_owned(), before: None, after }
}
