"""What Plan B answers, as types."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Dict, List, NamedTuple, Optional, TypedDict


class PacketType(IntEnum):
    """The kinds of packets of the frozen format, version 1."""

    HELLO = 1
    PEER_LIST = 2
    MSG = 3
    CHUNK_REQ = 4
    CHUNK_DATA = 5
    MANIFEST = 6
    ACK = 7


class Packet(NamedTuple):
    """A packet that was taken apart."""

    packet_type: int
    # The node that wrote it: 64 hexadecimal digits.
    node_id: str
    payload: bytes
    # The 32 bytes that stand at its end.
    hmac: bytes
    # Whether they fit under the server's own key; None from a server that does not look.
    hmac_valid: Optional[bool]


class Health(TypedDict, total=False):
    """How the server is: `status` is `ok`, the main program tells more."""

    status: str


class Status(TypedDict, total=False):
    """`role` and `node_id`; after a failure `status` (always `error`) and `message` instead."""

    role: str
    node_id: str
    status: str
    message: str


class TcpStatus(TypedDict, total=False):
    """Whether the relay runs, where, and with which framing, if with any."""

    running: bool
    host: str
    port: int
    framing: str


class Entry(TypedDict):
    """An entry of Plan B's journal, as it was taken."""

    id: str
    seq: int
    at: str
    kind: str


class Title(TypedDict):
    """A title in both languages of the box."""

    fr: str
    en: str


class PackSection(TypedDict):
    """One page of the continuity pack."""

    id: str
    title: Title
    rows: int


class Pack(TypedDict):
    """The continuity pack that Plan B shows."""

    made_at: str
    age_seconds: int
    generation: int
    verified: bool
    sections: List[PackSection]


class Outbox(TypedDict):
    """The journal of this run of Plan B."""

    file: str
    entries: int


class State(TypedDict):
    """What Plan B is doing while the main program is away."""

    mode: str
    node_id: str
    since: str
    pack: Optional[Pack]
    outbox: Outbox


# What an answer is before it has a type.
Answer = Dict[str, Any]
