"""A server that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Dict, List, NamedTuple, Optional, Type, Union


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: Dict[str, str]
    body: Any


class Say(NamedTuple):
    """An answer to give."""

    status: int
    body: Any
    headers: Dict[str, str] = {}


# Reads the request, then closes the connection without a word.
HANG_UP = "hang up"


class StandIn:
    """Gives its answers in order, one a request; the last one for all that follow."""

    def __init__(self, *answers: Union[Say, str]) -> None:
        self.asked: List[Asked] = []
        self._answers = list(answers)
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                stand_in.asked.append(Asked(self.command, self.path, headers, json.loads(raw) if raw else None))
                answer = stand_in._answers[0] if len(stand_in._answers) == 1 else stand_in._answers.pop(0)
                self.close_connection = True
                if isinstance(answer, str):
                    return
                content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "StandIn":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
