"""The meaning of a status for the driver, and its error message."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Error, of_kind
from .retry import asked_wait

# How much of a body an error quotes.
_EXCERPT = 200

_KINDS = {
    401: "auth",
    403: "denied",
    404: "not-found",
    429: "rate-limited",
    202: "transient",
    408: "transient",
    425: "transient",
}

_REASONS = {
    202: "accepted, not done yet", 400: "bad request", 401: "unauthorized", 403: "forbidden", 404: "not found",
    405: "method not allowed", 409: "conflict", 410: "gone", 413: "content too large", 415: "unsupported media type",
    420: "slow down", 422: "unprocessable content", 423: "locked", 425: "too early", 429: "too many requests",
    500: "internal server error", 502: "bad gateway", 503: "service unavailable", 504: "gateway timeout", 529: "overloaded",
}  # fmt: skip


def status_error(asked: str, status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """The error for a response of this status; `asked` is the method and the address."""
    wait = asked_wait(status, headers)
    kind = _KINDS.get(status, "transient" if status >= 500 else "config")
    if status == 403 and wait is not None:
        # A server that says when the request limit is reset refuses the rate, not the request.
        kind = "rate-limited"
    reason = f" ({_REASONS[status]})" if status in _REASONS else ""
    asks = "" if wait is None else f" and asks to wait {-int(-wait // 1)} s"
    quoted = excerpt(body)
    message = f"`{asked}` answered {status}{reason}{asks}" + (f": {quoted}" if quoted else "")
    return of_kind(kind, message, code=f"HTTP {status}", retry_after=wait)


def excerpt(body: bytes) -> str:
    """The start of a body on one line."""
    line = " ".join(body[: _EXCERPT * 8].decode("utf-8", "replace").split())
    line = "".join(letter for letter in line if letter.isprintable())
    return line if len(line) <= _EXCERPT else line[:_EXCERPT] + "…"
