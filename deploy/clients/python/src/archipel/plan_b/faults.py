"""What can go wrong between a program and Plan B, one class per way of going wrong."""

from __future__ import annotations

from typing import Optional


class PlanBError(Exception):
    """A call that did not succeed.

    `code` is a stable word in snake_case (the server's, or one of this package's own), `detail` a
    sentence in English, `request_id` the server's name for the request as in its logs, where one answered.
    """

    def __init__(self, code: str, detail: str, request_id: Optional[str] = None) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.request_id = request_id

    def __str__(self) -> str:
        named = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.code}: {self.detail}{named}"


class KeyMissingError(PlanBError):
    """No key was given, the environment holds none, and there is no key file (`key_missing`)."""


class UnreachableError(PlanBError):
    """Nobody answered (`unreachable`).

    `sent` tells whether the request had left: if so, the server may have carried it out.
    """

    def __init__(self, detail: str, sent: bool) -> None:
        super().__init__("unreachable", detail)
        self.sent = sent


class UnreadableAnswerError(PlanBError):
    """Somebody answered, but not as Plan B does (`unreadable_answer`)."""


class RefusedError(PlanBError):
    """The server said no: `status` is the HTTP status, `code` and `detail` are its own."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        request_id: Optional[str] = None,
        retry_after: Optional[float] = None,
    ) -> None:
        super().__init__(code, detail, request_id)
        self.status = status
        # Seconds after which the server asks to be tried again, where it says so.
        self.retry_after = retry_after


class UnauthorizedError(RefusedError):
    """The key is not, or no longer, taken (401)."""


class ForbiddenError(RefusedError):
    """The key is good, but not for this call, or not from this machine (403)."""


class UnavailableError(RefusedError):
    """The server cannot do this at the moment, for example because the main program is away (503)."""


_BY_STATUS = {401: UnauthorizedError, 403: ForbiddenError, 503: UnavailableError}


def refused(
    status: int, code: str, detail: str, request_id: Optional[str], retry_after: Optional[float]
) -> RefusedError:
    """The class that fits a status."""
    return _BY_STATUS.get(status, RefusedError)(status, code, detail, request_id, retry_after)
