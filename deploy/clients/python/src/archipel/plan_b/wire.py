"""One request and its answer over HTTP: no proxy, no redirect, and always clear whether it had left."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any, Dict, Mapping, NamedTuple, Optional, cast
from urllib.parse import urlsplit

from .faults import RefusedError, UnreachableError, UnreadableAnswerError, refused
from .shapes import Answer

# The largest answer that is read: twice the largest message of a box, in base64.
ANSWER_MAX = 64 * 1024 * 1024
# How much of an answer that is not understood is repeated in an error.
EXCERPT = 200


class Address(NamedTuple):
    """Where a server listens."""

    tls: bool
    host: str
    port: int
    # What stands before every path, without a slash at its end.
    prefix: str


def address_of(base_url: str) -> Address:
    """Reads `http://host:port/prefix`; raises ValueError for what is none."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http or https address: {base_url!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address has no user, no query and no fragment")
    tls = parts.scheme == "https"
    return Address(tls, parts.hostname, parts.port or (443 if tls else 80), parts.path.rstrip("/"))


class Wire:
    """Carries requests to one address; holds no connection between them, so threads may share it."""

    def __init__(self, base_url: str, tls: Optional[ssl.SSLContext]) -> None:
        self._address = address_of(base_url)
        self._tls = tls

    def ask(
        self,
        method: str,
        path: str,
        body: Optional[Mapping[str, object]],
        headers: Mapping[str, str],
        timeout: float,
    ) -> Answer:
        """Sends one request and gives the JSON object of a 2xx answer.

        `timeout` counts the seconds without a byte. Raises UnreachableError when nobody answers,
        a RefusedError for any other status, UnreadableAnswerError for what is not JSON.
        """
        line = self._connection(timeout)
        try:
            return self._over(line, method, path, body, headers)
        finally:
            line.close()

    def _over(
        self,
        line: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Optional[Mapping[str, object]],
        headers: Mapping[str, str],
    ) -> Answer:
        # `ssl` names a certificate that does not fit with a subclass of OSError too.
        try:
            line.connect()
        except OSError as wrong:
            raise UnreachableError(f"no connection to {self._address.host}:{self._address.port}: {wrong}", sent=False) from wrong
        sent = {"Accept": "application/json", **headers}
        content: Optional[bytes] = None
        if body is not None:
            content = json.dumps(body).encode("utf-8")
            sent["Content-Type"] = "application/json"
        try:
            line.request(method, self._address.prefix + path, body=content, headers=sent)
            response = line.getresponse()
            raw = response.read(ANSWER_MAX + 1)
        except (OSError, http.client.HTTPException) as wrong:
            said = str(wrong) or type(wrong).__name__
            raise UnreachableError(f"the connection broke before the answer was complete: {said}", sent=True) from wrong
        return _understand(response, raw)

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        address = self._address
        if address.tls:
            return http.client.HTTPSConnection(address.host, address.port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(address.host, address.port, timeout=timeout)


def _understand(response: http.client.HTTPResponse, raw: bytes) -> Answer:
    request_id = response.getheader("X-Request-Id")
    if len(raw) > ANSWER_MAX:
        raise UnreadableAnswerError("unreadable_answer", f"an answer of more than {ANSWER_MAX} bytes", request_id)
    try:
        said: Any = json.loads(raw)
    except ValueError:
        said = None
    if not 200 <= response.status < 300:
        raise _refusal(response, said, raw, request_id)
    if not isinstance(said, dict):
        raise UnreadableAnswerError("unreadable_answer", f"not a JSON object: {_excerpt(raw)}", request_id)
    return cast(Dict[str, Any], said)


def _refusal(response: http.client.HTTPResponse, said: Any, raw: bytes, request_id: Optional[str]) -> RefusedError:
    """The original says `error` and sometimes `detail`; the box adds `code` and `request_id`."""
    fields: Dict[str, Any] = said if isinstance(said, dict) else {}
    error = fields.get("error")
    code = fields.get("code") or error or f"http_{response.status}"
    detail = fields.get("detail") or error or _excerpt(raw) or response.reason
    # On 422 the box lists the fields at fault.
    text = detail if isinstance(detail, str) else json.dumps(detail)
    named = fields.get("request_id") or request_id
    return refused(response.status, str(code), text, str(named) if named else None, _seconds(response))


def _seconds(response: http.client.HTTPResponse) -> Optional[float]:
    """`Retry-After` in seconds; its form as a date is not used by Plan B and counts as none."""
    said = response.getheader("Retry-After")
    return float(said) if said and said.isascii() and said.isdigit() else None


def _excerpt(raw: bytes) -> str:
    return raw[:EXCERPT].decode("utf-8", "replace").strip()
