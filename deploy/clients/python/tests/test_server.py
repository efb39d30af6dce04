"""The client against a running server: `ILOT_PLANB_URL` names it, `ILOT_PLANB_KEY` is its key.

`ILOT_PLANB_HOME` is the folder that holds the server's `planb/` or `.runtime/`, and `ILOT_PLANB_AWAY`
is set where the server is `ilot planb` and not the main program.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import socket
import threading
import unittest
import uuid

from archipel.plan_b.client import (
    PacketType,
    PlanBClient,
    RefusedError,
    UnauthorizedError,
)

URL = os.environ.get("ILOT_PLANB_URL", "")
KEY = os.environ.get("ILOT_PLANB_KEY", "")
HOME = os.environ.get("ILOT_PLANB_HOME", "")
AWAY = bool(os.environ.get("ILOT_PLANB_AWAY"))

# The example of the seed, word for word; only the address and the key are the server's own.
EXAMPLE = """\
from archipel.plan_b.client import PlanBClient

client = PlanBClient("http://127.0.0.1:5055", api_key="<API_KEY>")
print(client.status())
client.set_role("server")
"""


@unittest.skipUnless(URL, "ILOT_PLANB_URL names no server")
class Case(unittest.TestCase):
    def setUp(self) -> None:
        # `rotate_token` leaves the first key behind; the file always holds the one in force.
        self.client = PlanBClient(URL, base_dir=HOME) if HOME else PlanBClient(URL, api_key=KEY)
        os.environ.pop("ARCHIPEL_PLANB_KEY", None)

    def refusal(self, code: str, call: object, *arguments: object) -> RefusedError:
        with self.assertRaises(RefusedError) as caught:
            call(*arguments)  # type: ignore[operator]
        self.assertEqual(caught.exception.code, code)
        self.assertTrue(caught.exception.detail)
        return caught.exception


class TheSeedsExample(Case):
    def test_word_for_word(self) -> None:
        key = self.client._key.value()
        lines = EXAMPLE.replace("http://127.0.0.1:5055", URL).replace("<API_KEY>", key)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(lines, "the seed's example", "exec"), {})
        self.assertIn(self.client.status()["node_id"], printed.getvalue())
        self.assertEqual(self.client.get_role(), "server")


class HowItIs(Case):
    def test_health_ping_and_status(self) -> None:
        self.assertIn("status", self.client.health())
        self.assertTrue(self.client.ping())
        status = self.client.status()
        self.assertIn(status["role"], ("server", "client"))
        self.assertRegex(status["node_id"], "^[0-9a-f]{64}$")
        self.assertEqual(status["node_id"], self.client.status()["node_id"])

    def test_a_wrong_key(self) -> None:
        stranger = PlanBClient(URL, api_key="0" * 64)
        self.assertFalse(stranger.ping())
        self.assertEqual(stranger.status()["status"], "error")
        with self.assertRaises(UnauthorizedError) as caught:
            stranger.get_role()
        self.assertEqual(caught.exception.status, 401)
        self.assertTrue(caught.exception.request_id)


class TheRole(Case):
    def test_there_and_back(self) -> None:
        self.assertEqual(self.client.set_role("SERVER"), "server")
        self.assertEqual(self.client.get_role(), "server")
        self.assertEqual(self.client.set_role("client"), "client")
        self.assertEqual(self.client.status()["role"], "client")

    def test_another_word_is_refused(self) -> None:
        self.refusal("invalid_role", self.client.set_role, "captain")


class TheKeyInForce(Case):
    def test_rotation_with_grace_then_without(self) -> None:
        bystander = PlanBClient(URL, api_key=self.client._key.value())
        key = self.client.rotate_token()
        self.assertRegex(key, "^[0-9a-f]{64}$")
        self.assertIn("role", self.client.status())
        self.assertIn("role", bystander.status(), "the old key is still taken for a while")
        late = PlanBClient(URL, api_key=key)
        self.client.rotate_token(grace_seconds=0)
        with self.assertRaises(UnauthorizedError):
            late.get_role()
        self.assertIn("role", self.client.status())

    @unittest.skipUnless(HOME, "ILOT_PLANB_HOME names no folder")
    def test_one_who_reads_the_file_follows_a_rotation_by_another(self) -> None:
        follower = PlanBClient(URL, base_dir=HOME)
        follower.get_role()
        self.client.rotate_token(grace_seconds=0)
        self.assertIn(follower.get_role(), ("server", "client"))


class Sealing(Case):
    def test_there_and_back(self) -> None:
        for plain, aad in ((b"", b""), (b"Bonjour", b""), (bytes(range(256)) * 4096, b"mission 7")):
            sealed = self.client.encrypt(plain, aad)
            self.assertEqual(len(sealed), 12 + len(plain) + 16)
            self.assertEqual(self.client.decrypt(sealed, aad), plain)
            self.assertNotEqual(sealed, self.client.encrypt(plain, aad))

    def test_what_was_altered_is_refused(self) -> None:
        sealed = self.client.encrypt(b"Bonjour", b"mission 7")
        altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
        for blob, aad in ((altered, b"mission 7"), (sealed, b"mission 8"), (sealed, b""), (b"short", b""), (b"", b"")):
            self.assertEqual(self.refusal("decrypt_failed", self.client.decrypt, blob, aad).status, 400)


class Packets(Case):
    def test_the_worked_example(self) -> None:
        made = self.client.serialize_packet(PacketType.MSG, b"hi", node_id=b"\x11" * 32, hmac=b"\x22" * 32)
        self.assertEqual(made, b"ARCH\x03" + b"\x11" * 32 + b"\x00\x00\x00\x02hi" + b"\x22" * 32)
        packet = self.client.deserialize_packet(made)
        self.assertEqual((packet.packet_type, packet.node_id, packet.payload), (3, "11" * 32, b"hi"))
        self.assertEqual((packet.hmac, packet.hmac_valid), (b"\x22" * 32, False))

    def test_one_of_this_node(self) -> None:
        packet = self.client.deserialize_packet(self.client.serialize_packet(PacketType.ACK) + b"behind it")
        self.assertEqual(packet.node_id, self.client.status()["node_id"])
        self.assertEqual((packet.packet_type, packet.payload, packet.hmac_valid), (7, b"", True))

    def test_the_types(self) -> None:
        self.assertEqual(self.client.packet_types(), {one.name: one.value for one in PacketType})

    def test_what_is_none(self) -> None:
        good = self.client.serialize_packet(3, b"hi")
        for data in (b"", good[:72], b"HCRA" + good[4:], good[:4] + b"\x08" + good[5:], good[:-1]):
            self.assertEqual(self.refusal("deserialize_failed", self.client.deserialize_packet, data).status, 400)
        self.refusal("serialize_failed", self.client.serialize_packet, 8)
        self.refusal("serialize_failed", self.client.serialize_packet, 3, b"x" * 65_464)
        self.refusal("serialize_failed", self.client.serialize_packet, 3, b"", "11", None)
        self.refusal("serialize_failed", self.client.serialize_packet, 3, b"", None, b"short")


class TheRelay(Case):
    def setUp(self) -> None:
        super().setUp()
        self.client.tcp_stop()
        self.addCleanup(self.client.tcp_stop)

    def test_an_echo_through_it(self) -> None:
        self.assertEqual(self.client.tcp_status().get("running"), False)
        here = self.client.tcp_start()
        self.assertEqual((here["running"], here["host"]), (True, "127.0.0.1"))
        self.assertEqual(self.client.tcp_start(port=1), here, "it runs already")
        self.assertEqual(self.client.tcp_status(), here)
        self.assertEqual(self.client.tcp_send("127.0.0.1", here["port"], b"Bonjour"), b"Bonjour")
        self.assertEqual(self.client.tcp_stop(), {"running": False})

    def test_whole_messages_through_it(self) -> None:
        here = self.client.tcp_start(framing="length")
        self.assertEqual(here["framing"], "length")
        message = bytes(range(256)) * 1024
        self.assertEqual(self.client.tcp_send("127.0.0.1", here["port"], message, framing="length"), message)

    def test_a_peer_of_ours(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as peer:
            def answer() -> None:
                line, _ = peer.accept()
                with line:
                    line.sendall(line.recv(1024).upper())

            threading.Thread(target=answer, daemon=True).start()
            self.assertEqual(self.client.tcp_send("127.0.0.1", peer.getsockname()[1], b"bonjour"), b"BONJOUR")

    def test_targets_that_are_none(self) -> None:
        self.refusal("invalid_target", self.client.tcp_send, "", 1, b"")
        self.refusal("invalid_target", self.client.tcp_send, "127.0.0.1", 0, b"")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            self.refusal("tcp_send_failed", self.client.tcp_send, "127.0.0.1", closed.getsockname()[1], b"x")


@unittest.skipUnless(AWAY, "the main program is there: nothing is written down for it")
class WhileTheMainProgramIsAway(Case):
    def test_an_entry_is_written_once(self) -> None:
        before = self.client.state()["outbox"]["entries"]
        name = str(uuid.uuid4())
        note = {"text": "Le camion 4 est en retard", "section": "contacts"}
        first = self.client.add_entry("note", note, name)
        self.assertEqual(self.client.add_entry("note", note, name), first)
        self.assertEqual(first["kind"], "note")
        second = self.client.add_entry("drill", {"drill": name})
        self.assertEqual(second["seq"], first["seq"] + 1)
        self.assertEqual(self.client.state()["outbox"]["entries"], before + 2)

    def test_the_state(self) -> None:
        state = self.client.state()
        self.assertEqual((state["mode"], state["node_id"]), ("planb", self.client.status()["node_id"]))

    @unittest.skipUnless(HOME, "ILOT_PLANB_HOME names no folder")
    def test_the_journal_on_disk_is_linked(self) -> None:
        entry = self.client.add_entry("note", {"text": "Le quai 2 est fermé"})
        found = []
        for folder in ("planb", ".runtime"):
            for where, _, names in os.walk(os.path.join(HOME, folder, "outbox")):
                for name in names:
                    if name.endswith(".jsonl"):
                        with open(os.path.join(where, name), encoding="utf-8") as lines:
                            found += [line for line in lines if entry["id"] in line]
        self.assertEqual(len(found), 1)
        said = json.loads(found[0])
        self.assertEqual(len(said["hash"]), hashlib.sha256().digest_size * 2)


@unittest.skipIf(AWAY, "the main program is away")
class WhileTheMainProgramIsThere(Case):
    def test_it_writes_down_no_entries(self) -> None:
        with self.assertRaises(RefusedError):
            self.client.add_entry("note", {"text": "x"})


if __name__ == "__main__":
    unittest.main()
