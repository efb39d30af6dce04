"""What the client does by itself: where its key comes from, what it tries again, what it raises."""

from __future__ import annotations

import os
import socket
import tempfile
import time
import unittest
from pathlib import Path
from typing import List, Optional
from unittest import mock

from archipel.plan_b.client import (
    KeyMissingError,
    Packet,
    PacketType,
    PlanBClient,
    PlanBError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
    UnreadableAnswerError,
)

from .stand_in import HANG_UP, Say, StandIn

OLD, NEW = "a" * 64, "b" * 64
STATUS = Say(200, {"role": "client", "node_id": "0" * 64})
DENIED = Say(401, {"error": "unauthorized", "code": "key_unknown", "detail": "No.", "request_id": "r-1"})
AWAY = Say(503, {"error": "planb_mode", "code": "planb_mode", "detail": "Away."}, {"Retry-After": "1"})


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.pauses: List[float] = []
        self._stand(mock.patch("archipel.plan_b.client.time.sleep", self.pauses.append))
        self._stand(mock.patch.dict(os.environ))
        os.environ.pop("ARCHIPEL_PLANB_KEY", None)
        self.base = Path(self._folder())

    def _stand(self, patch: "mock._patch[object] | mock._patch_dict") -> None:
        patch.start()
        self.addCleanup(patch.stop)

    def _folder(self) -> str:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def write_key(self, key: str, folder: str = ".runtime") -> None:
        (self.base / folder).mkdir(exist_ok=True)
        (self.base / folder / "api_key.txt").write_text(key + "\n")

    def key_used(self, api_key: Optional[str] = None) -> str:
        with StandIn(STATUS) as server:
            PlanBClient(server.url, api_key=api_key, base_dir=self.base).status()
            return server.asked[0].headers["x-api-key"]


class TheKey(Case):
    def test_argument_then_environment_then_file(self) -> None:
        self.write_key("of-the-data-folder", "planb")
        self.assertEqual(self.key_used(), "of-the-data-folder")
        self.write_key("of-the-file")
        self.assertEqual(self.key_used(), "of-the-file")
        os.environ["ARCHIPEL_PLANB_KEY"] = "of-the-environment\n"
        self.assertEqual(self.key_used(), "of-the-environment")
        self.assertEqual(self.key_used(api_key="given"), "given")

    def test_without_one_nothing_is_sent_and_the_places_are_named(self) -> None:
        with StandIn(STATUS) as server:
            client = PlanBClient(server.url, base_dir=self.base)
            with self.assertRaises(KeyMissingError) as caught:
                client.get_role()
            self.assertEqual(caught.exception.code, "key_missing")
            self.assertIn(str(self.base / "planb" / "api_key.txt"), caught.exception.detail)
            self.assertEqual(server.asked, [])
            self.assertEqual(client.health(), STATUS.body)
            self.assertNotIn("x-api-key", server.asked[0].headers)

    def test_a_key_file_that_was_rotated_is_read_again_once(self) -> None:
        self.write_key(OLD)
        with StandIn(STATUS, DENIED, STATUS, DENIED) as server:
            client = PlanBClient(server.url, base_dir=self.base)
            client.status()
            self.write_key(NEW)
            self.assertEqual(client.status().get("role"), "client")
            self.assertEqual([one.headers["x-api-key"] for one in server.asked], [OLD, OLD, NEW])
            with self.assertRaises(UnauthorizedError):
                client.get_role()
            self.assertEqual(len(server.asked), 4, "the file holds the same key: there is no reason to ask again")

    def test_a_given_key_never_gives_way_to_the_file(self) -> None:
        self.write_key(NEW)
        with StandIn(DENIED) as server:
            with self.assertRaises(UnauthorizedError):
                PlanBClient(server.url, api_key=OLD, base_dir=self.base).get_role()
            self.assertEqual(len(server.asked), 1)

    def test_a_rotated_key_is_adopted(self) -> None:
        with StandIn(Say(200, {"api_key": NEW}), STATUS) as server:
            client = PlanBClient(server.url, api_key=OLD)
            self.assertEqual(client.rotate_token(grace_seconds=0), NEW)
            client.status()
            self.assertEqual([one.headers["x-api-key"] for one in server.asked], [OLD, NEW])
            self.assertEqual(server.asked[0].body, {"grace_seconds": 0})


class TryingAgain(Case):
    def client(self, url: str, tries: int = 3) -> PlanBClient:
        return PlanBClient(url, api_key=OLD, tries=tries)

    def test_three_tries_with_growing_pauses(self) -> None:
        with self.assertRaises(UnreachableError) as caught:
            self.client(f"http://127.0.0.1:{free_port()}").rotate_token()
        self.assertFalse(caught.exception.sent)
        self.assertEqual(self.pauses, [0.5, 1.5])

    def test_an_unavailable_server_is_asked_again_when_it_says(self) -> None:
        with StandIn(AWAY, AWAY, STATUS) as server:
            self.assertEqual(self.client(server.url).status().get("role"), "client")
        self.assertEqual(self.pauses, [1.0, 1.5])

    def test_a_server_cannot_ask_for_a_long_pause(self) -> None:
        with StandIn(Say(503, {}, {"Retry-After": "86400"}), STATUS) as server:
            self.client(server.url).get_role()
        self.assertEqual(self.pauses, [5.0])

    def test_what_may_have_been_carried_out_is_not_repeated(self) -> None:
        for answer, kind in ((HANG_UP, UnreachableError), (AWAY, UnavailableError)):
            for name, arguments in (("rotate_token", ()), ("tcp_send", ("127.0.0.1", 9, b""))):
                with self.subTest(answer=answer, name=name), StandIn(answer) as server:
                    with self.assertRaises(kind):
                        getattr(self.client(server.url), name)(*arguments)
                    self.assertEqual(len(server.asked), 1)
        self.assertEqual(self.pauses, [])

    def test_what_does_no_harm_twice_is_repeated(self) -> None:
        with StandIn(HANG_UP, HANG_UP, Say(200, {"role": "server"})) as server:
            self.assertEqual(self.client(server.url).set_role("server"), "server")
            self.assertEqual(len(server.asked), 3)

    def test_an_entry_goes_again_under_the_same_key(self) -> None:
        taken = Say(201, {"id": "i", "seq": 0, "at": "t", "kind": "note"})
        for given in ("mine", None):
            with self.subTest(given=given), StandIn(HANG_UP, taken) as server:
                entry = self.client(server.url).add_entry("note", {"text": "Lorry 4 is late"}, given)
                self.assertEqual(entry["seq"], 0)
                keys = {one.headers["idempotency-key"] for one in server.asked}
                self.assertEqual((len(server.asked), len(keys)), (2, 1))
                self.assertEqual(keys == {"mine"}, given == "mine")
                self.assertEqual(server.asked[1].body, {"kind": "note", "body": {"text": "Lorry 4 is late"}})

    def test_a_refusal_is_not_tried_again(self) -> None:
        with StandIn(Say(400, {"error": "invalid_role"})) as server:
            with self.assertRaises(RefusedError) as caught:
                self.client(server.url).set_role("captain")
            self.assertEqual((caught.exception.status, caught.exception.code), (400, "invalid_role"))
            self.assertEqual(len(server.asked), 1)

    def test_one_try_is_one_try(self) -> None:
        with StandIn(AWAY) as server:
            with self.assertRaises(UnavailableError):
                self.client(server.url, tries=1).get_role()
            self.assertEqual(len(server.asked), 1)
        with self.assertRaises(ValueError):
            self.client("http://127.0.0.1:1", tries=0)


class TheAnswers(Case):
    def client(self, url: str) -> PlanBClient:
        return PlanBClient(url, api_key=OLD, tries=1)

    def test_status_tells_its_failure_as_the_original_does(self) -> None:
        gone = PlanBClient(f"http://127.0.0.1:{free_port()}", api_key=OLD).status()
        self.assertEqual(gone["status"], "error")
        self.assertIn("unreachable", gone["message"])
        with StandIn(DENIED) as server:
            refused = self.client(server.url).status()
        self.assertEqual(refused, {"status": "error", "message": "key_unknown: No. (request r-1)"})
        keyless = PlanBClient("http://127.0.0.1:1", base_dir=self.base).status()
        self.assertEqual(keyless["status"], "error")

    def test_ping_says_yes_or_no_and_tries_once(self) -> None:
        with StandIn(Say(200, b"pong")) as server:
            self.assertTrue(self.client(server.url).ping())
        with StandIn(Say(503, {})) as server:
            self.assertFalse(PlanBClient(server.url, api_key=OLD).ping())
            self.assertEqual(len(server.asked), 1)
        with StandIn(DENIED) as server:
            self.assertFalse(self.client(server.url).ping())
        with StandIn(Say(200, {})) as server:
            self.assertFalse(PlanBClient(server.url, base_dir=self.base).ping(), "there is no key to ask with")
        self.assertFalse(PlanBClient(f"http://127.0.0.1:{free_port()}", api_key=OLD).ping())

    def test_ping_does_not_wait_longer_than_two_seconds(self) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            begun = time.monotonic()
            self.assertFalse(PlanBClient(f"http://127.0.0.1:{silent.getsockname()[1]}", api_key=OLD).ping())
            self.assertLess(time.monotonic() - begun, 3)

    def test_healthcheck_says_yes_or_no(self) -> None:
        for answer, well in ((Say(200, {"status": "ok"}), True), (Say(200, {"status": "ill"}), False), (AWAY, False)):
            with StandIn(answer) as server:
                self.assertEqual(self.client(server.url).healthcheck(), well)

    def test_a_refusal_carries_what_the_server_said(self) -> None:
        with StandIn(DENIED) as server:
            with self.assertRaises(UnauthorizedError) as caught:
                self.client(server.url).get_role()
        wrong = caught.exception
        self.assertEqual((wrong.status, wrong.code, wrong.detail, wrong.request_id), (401, "key_unknown", "No.", "r-1"))
        # The original says less.
        with StandIn(Say(400, {"error": "decrypt_failed", "detail": "bad tag"})) as server:
            with self.assertRaises(RefusedError) as caught_too:
                self.client(server.url).decrypt(b"")
        self.assertEqual((caught_too.exception.code, caught_too.exception.detail), ("decrypt_failed", "bad tag"))
        # Whatever stands at that port may be no Plan B at all.
        with StandIn(Say(500, b"<h1>Internal Server Error</h1>")) as server:
            with self.assertRaises(RefusedError) as caught_html:
                self.client(server.url).get_role()
        self.assertEqual(caught_html.exception.code, "http_500")

    def test_what_cannot_be_read_is_named(self) -> None:
        for body in (b"<html>", b"[]", b"{}", b'{"ciphertext_b64": "%%"}', b'{"ciphertext_b64": 3}', b"\xff"):
            with self.subTest(body=body), StandIn(Say(200, body)) as server:
                with self.assertRaises(UnreadableAnswerError):
                    self.client(server.url).encrypt(b"x")

    def test_no_redirect_is_followed(self) -> None:
        with StandIn(Say(302, b"", {"Location": "http://192.0.2.1/"})) as server:
            with self.assertRaises(RefusedError) as caught:
                self.client(server.url).get_role()
            self.assertEqual(caught.exception.status, 302)

    def test_an_address_that_is_none_is_refused_at_once(self) -> None:
        for address in ("127.0.0.1:5055", "ftp://box", "http://", "http://u:p@box", "http://box/?a=b"):
            with self.subTest(address=address), self.assertRaises(ValueError):
                PlanBClient(address)

    def test_a_prefix_stays_before_every_path(self) -> None:
        with StandIn(STATUS) as server:
            self.client(server.url + "/site/").status()
            self.assertEqual(server.asked[0].path, "/site/status")

    def test_a_proxy_of_the_environment_never_sees_the_key(self) -> None:
        os.environ["http_proxy"] = f"http://127.0.0.1:{free_port()}"
        os.environ.pop("no_proxy", None)
        with StandIn(STATUS) as server:
            self.assertIn("role", self.client(server.url).status())

    def test_packets_of_a_server_that_does_not_look_at_the_hmac(self) -> None:
        said = {"packet_type": 3, "node_id_hex": "11" * 32, "payload_b64": "aGk=", "hmac_b64": "IiIi"}
        with StandIn(Say(200, said)) as server:
            packet = self.client(server.url).deserialize_packet(b"ARCH")
        self.assertEqual(packet, Packet(PacketType.MSG, "11" * 32, b"hi", b'"""', None))

    def test_a_node_id_may_be_bytes_or_digits(self) -> None:
        with StandIn(Say(200, {"data_b64": ""})) as server:
            client = self.client(server.url)
            client.serialize_packet(PacketType.MSG, b"hi", node_id=b"\x11" * 32, hmac=b"\x22" * 32)
            client.serialize_packet(3, b"hi", node_id="11" * 32)
            first, second = (one.body for one in server.asked)
        self.assertEqual(first["node_id_hex"], second["node_id_hex"])
        self.assertIn("hmac_b64", first)
        self.assertNotIn("hmac_b64", second)

    def test_the_key_is_in_no_message(self) -> None:
        for answer in (DENIED, AWAY, HANG_UP, Say(200, b"")):
            with StandIn(answer) as server:
                with self.assertRaises(PlanBError) as caught:
                    self.client(server.url).get_role()
                self.assertNotIn(OLD, str(caught.exception) + repr(caught.exception))


if __name__ == "__main__":
    unittest.main()
