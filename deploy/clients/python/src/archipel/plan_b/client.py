"""PlanBClient: every call of Plan B's interface, without a dependency.

    from archipel.plan_b.client import PlanBClient

    client = PlanBClient("http://127.0.0.1:5055", api_key="<API_KEY>")
    print(client.status())
    client.set_role("server")
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import time
import uuid
from typing import Dict, Mapping, Optional, TypeVar, Union, cast

from .faults import (
    ForbiddenError,
    KeyMissingError,
    PlanBError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
    UnreadableAnswerError,
)
from .keys import Key
from .shapes import Answer, Entry, Health, Outbox, Pack, Packet, PackSection, PacketType, State, Status, TcpStatus
from .wire import Wire

__all__ = [
    "Entry",
    "ForbiddenError",
    "Health",
    "KeyMissingError",
    "Outbox",
    "Pack",
    "PackSection",
    "Packet",
    "PacketType",
    "PlanBClient",
    "PlanBError",
    "RefusedError",
    "State",
    "Status",
    "TcpStatus",
    "UnauthorizedError",
    "UnavailableError",
    "UnreachableError",
    "UnreadableAnswerError",
]

# How often a call is tried before its failure is told.
TRIES = 3
# The pause before the second try, seconds; each further one is three times as long. Together they
# outlast the two seconds within which Plan B takes over.
PAUSE = 0.5
PAUSE_GROWTH = 3
# The longest pause that a server's `Retry-After` can ask for, seconds.
PAUSE_MAX = 5.0
# Seconds without a byte after which a call has failed.
TIMEOUT = 10.0
STATUS_TIMEOUT = 5.0
PING_TIMEOUT = 2.0
# The server itself waits five seconds for its peer, twice.
TCP_SEND_TIMEOUT = 15.0

_T = TypeVar("_T")


class PlanBClient:
    """A client of Plan B at `base_url`; threads may share one.

    Its key is `api_key`, else the environment's `ARCHIPEL_PLANB_KEY`, else the key file below
    `base_dir` (`.runtime/api_key.txt` of the original, `planb/api_key.txt` of a data folder).

    A call is tried three times, with growing pauses, while nobody answers or the server says 503. One
    that must not happen twice is repeated only if it cannot have arrived. What remains is raised as
    PlanBError or one of its kinds.

    `tls` is for `https` addresses with a certificate of the box's own:
    `ssl.create_default_context(cafile="box.pem")`.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:5055",
        api_key: Optional[str] = None,
        *,
        base_dir: Union[str, "os.PathLike[str]"] = ".",
        timeout: float = TIMEOUT,
        tries: int = TRIES,
        tls: Optional[ssl.SSLContext] = None,
    ) -> None:
        if tries < 1:
            raise ValueError("tries must be at least 1")
        self.base_url = base_url
        self._wire = Wire(base_url, tls)
        self._key = Key(api_key, base_dir)
        self._timeout = timeout
        self._tries = tries

    # --- how it is -------------------------------------------------------------------------------

    def health(self) -> Health:
        """How the server is: `{"status": "ok"}`. Needs no key."""
        return cast(Health, self._call("GET", "/health", keyed=False))

    def healthcheck(self) -> bool:
        """Whether `health()` says `ok`; never raises."""
        try:
            return self.health().get("status") == "ok"
        except PlanBError:
            return False

    def ping(self) -> bool:
        """Whether the server answers within two seconds and takes the key; tried once, never raises."""
        try:
            self._call("GET", "/ping", timeout=PING_TIMEOUT, tries=1)
        except UnreadableAnswerError:
            # It was a 200, and that is all there is to know.
            return True
        except PlanBError:
            return False
        return True

    def status(self) -> Status:
        """Role and node id; after a failure `{"status": "error", "message": …}` instead of raising."""
        try:
            return cast(Status, self._call("GET", "/status", timeout=min(self._timeout, STATUS_TIMEOUT)))
        except PlanBError as wrong:
            return {"status": "error", "message": str(wrong)}

    def state(self) -> State:
        """What Plan B is doing; the main program, when it is there, refuses this."""
        return cast(State, self._call("GET", "/planb/state"))

    # --- role and key ----------------------------------------------------------------------------

    def get_role(self) -> str:
        """`server` or `client`."""
        return _text(self._call("GET", "/role"), "role")

    def set_role(self, role: str) -> str:
        """Sets and gives the role: `server` or `client`, in any case; else RefusedError `invalid_role`."""
        return _text(self._call("POST", "/role", {"role": role}), "role")

    def rotate_token(self, grace_seconds: Optional[int] = None) -> str:
        """Makes a new key, uses it from here on, and gives it.

        The old one is still taken for `grace_seconds` (0: for no moment longer; None: as the box is set).
        """
        body = {} if grace_seconds is None else {"grace_seconds": grace_seconds}
        key = _text(self._call("POST", "/token/rotate", body, repeatable=False), "api_key")
        self._key.adopt(key)
        return key

    # --- sealing ---------------------------------------------------------------------------------

    def encrypt(self, plaintext: bytes, aad: bytes = b"") -> bytes:
        """Seals: 12 bytes of nonce, the ciphertext, 16 bytes of tag. `aad` is bound to it, not kept in it."""
        return _bytes(
            self._call("POST", "/crypto/encrypt", _with_aad({"plaintext_b64": _b64(plaintext)}, aad)), "ciphertext_b64"
        )

    def decrypt(self, ciphertext: bytes, aad: bytes = b"") -> bytes:
        """Opens what `encrypt` sealed with the same `aad`; else RefusedError `decrypt_failed`."""
        return _bytes(
            self._call("POST", "/crypto/decrypt", _with_aad({"ciphertext_b64": _b64(ciphertext)}, aad)), "plaintext_b64"
        )

    # --- packets ---------------------------------------------------------------------------------

    def packet_types(self) -> Dict[str, int]:
        """Names and numbers of the packet types."""
        return {name: int(number) for name, number in self._call("GET", "/packet/types").items()}

    def serialize_packet(
        self,
        packet_type: int,
        payload: bytes = b"",
        node_id: Optional[Union[str, bytes]] = None,
        hmac: Optional[bytes] = None,
    ) -> bytes:
        """A packet's bytes. Without `node_id` it is the server's node's; without `hmac` the server computes it."""
        body: Dict[str, object] = {"packet_type": int(packet_type), "payload_b64": _b64(payload)}
        if node_id is not None:
            body["node_id_hex"] = node_id.hex() if isinstance(node_id, bytes) else node_id
        if hmac is not None:
            body["hmac_b64"] = _b64(hmac)
        return _bytes(self._call("POST", "/packet/serialize", body), "data_b64")

    def deserialize_packet(self, data: bytes) -> Packet:
        """Takes a packet apart; what is none is RefusedError `deserialize_failed`."""
        said = self._call("POST", "/packet/deserialize", {"data_b64": _b64(data)})
        valid = said.get("hmac_valid")
        return Packet(
            packet_type=_whole(said, "packet_type"),
            node_id=_text(said, "node_id_hex"),
            payload=_bytes(said, "payload_b64"),
            hmac=_bytes(said, "hmac_b64"),
            hmac_valid=valid if isinstance(valid, bool) else None,
        )

    # --- the relay -------------------------------------------------------------------------------

    def tcp_status(self) -> TcpStatus:
        """Whether the echo relay runs, and where."""
        return cast(TcpStatus, self._call("GET", "/tcp/status"))

    def tcp_start(self, host: str = "127.0.0.1", port: int = 0, framing: Optional[str] = None) -> TcpStatus:
        """Starts the relay (port 0: any that is free); if it runs already, says where and changes nothing.

        `framing="length"` echoes whole messages, each behind its length; without it bytes come back as they came.
        """
        return cast(TcpStatus, self._call("POST", "/tcp/start", _with_framing({"host": host, "port": port}, framing)))

    def tcp_stop(self) -> TcpStatus:
        """Stops the relay; nothing happens if it does not run."""
        return cast(TcpStatus, self._call("POST", "/tcp/stop", {}))

    def tcp_send(self, host: str, port: int, payload: bytes, framing: Optional[str] = None) -> bytes:
        """Lets the server send bytes to a peer that it may reach, and gives the peer's answer; `framing` as there."""
        body = _with_framing({"host": host, "port": port, "payload_b64": _b64(payload)}, framing)
        said = self._call(
            "POST", "/tcp/send", body, repeatable=False, timeout=max(self._timeout, TCP_SEND_TIMEOUT)
        )
        return _bytes(said, "response_b64")

    # --- while the main program is away ----------------------------------------------------------

    def add_entry(self, kind: str, body: Mapping[str, object], idempotency_key: Optional[str] = None) -> Entry:
        """Writes down a `note`, a `punch` or a `drill` that the main program takes up when it is back.

        The same `idempotency_key` gives the same entry, once. Without one the call makes its own, so
        that its own tries cannot write twice.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        said = self._call("POST", "/planb/entries", {"kind": kind, "body": dict(body)}, headers=headers)
        return cast(Entry, said)

    # --- how a call is made ----------------------------------------------------------------------

    def _call(
        self,
        method: str,
        path: str,
        body: Optional[Mapping[str, object]] = None,
        *,
        keyed: bool = True,
        repeatable: bool = True,
        timeout: Optional[float] = None,
        tries: Optional[int] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Answer:
        """Makes a call with its tries; `repeatable` says that carrying it out twice does no harm."""
        reread = False
        tried = 1
        while True:
            sent = {**(headers or {}), **({"X-API-Key": self._key.value()} if keyed else {})}
            try:
                return self._wire.ask(method, path, body, sent, timeout or self._timeout)
            except UnauthorizedError:
                # A refused key was not used, so this is no second try of the call.
                if reread or not keyed or not self._key.read_again():
                    raise
                reread = True
            except (UnreachableError, UnavailableError) as wrong:
                if tried >= (tries or self._tries) or not _may_repeat(wrong, repeatable):
                    raise
                time.sleep(_pause(tried, wrong))
                tried += 1


def _may_repeat(wrong: Union[UnreachableError, UnavailableError], repeatable: bool) -> bool:
    """What cannot have arrived may go again, whatever it is."""
    return repeatable or (isinstance(wrong, UnreachableError) and not wrong.sent)


def _pause(tried: int, wrong: Union[UnreachableError, UnavailableError]) -> float:
    asked = wrong.retry_after if isinstance(wrong, UnavailableError) and wrong.retry_after else 0.0
    grown: float = PAUSE * PAUSE_GROWTH ** (tried - 1)
    return max(grown, min(asked, PAUSE_MAX))


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _with_aad(body: Dict[str, object], aad: bytes) -> Dict[str, object]:
    return {**body, "aad_b64": _b64(aad)} if aad else body


def _with_framing(body: Dict[str, object], framing: Optional[str]) -> Dict[str, object]:
    return {**body, "framing": framing} if framing else body


def _field(said: Answer, name: str, kind: "type[_T]") -> _T:
    value = said.get(name)
    if not isinstance(value, kind):
        raise UnreadableAnswerError("unreadable_answer", f"the answer has no usable {name}")
    return value


def _text(said: Answer, name: str) -> str:
    return _field(said, name, str)


def _whole(said: Answer, name: str) -> int:
    return _field(said, name, int)


def _bytes(said: Answer, name: str) -> bytes:
    try:
        return base64.b64decode(_text(said, name), validate=True)
    except binascii.Error as wrong:
        raise UnreadableAnswerError("unreadable_answer", f"{name} is not base64: {wrong}") from wrong
