"""When a request is retried, and how long to wait first: as the server asks, or else exponentially with jitter."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import Error

TEMPORARY_STATUSES = (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)


@dataclass(frozen=True)
class Retry:
    """How often a request is retried, and how long it waits."""

    retries: int = 3
    """The number of attempts after the first."""
    base: float = 0.5
    """The base in seconds of the wait before the first retry; doubled for each further one."""
    max_wait: float = 60
    """The longest wait in seconds. If the server asks for a longer one, the request fails and says so."""
    statuses: tuple[int, ...] = TEMPORARY_STATUSES
    """The statuses that may be temporary. Any other failure may be too, if the server says when to retry."""

    def wait(self, tried: int, status: int | None, error: Error) -> float | None:
        """How long to wait after `error` before a retry; `None` if there is to be none. `tried` counts the attempts so
        far, `status` is the status that the server sent, if it did."""
        if status is None:
            again = error.kind in ("transient", "rate-limited", "timeout")
        else:
            again = status in self.statuses or error.retry_after is not None
        if not again or tried > self.retries:
            return None
        asked = error.retry_after
        if asked is not None and asked > self.max_wait:
            return None
        if asked:
            return asked
        most = min(self.base * 2 ** min(tried - 1, 16), self.max_wait)
        # One half is fixed and the other random, so that many clients do not return at the same time.
        return most / 2 + most / 2 * random.random()


# Names of headers that say when a request limit is reset, and whether they count in seconds from now on.
_RESETS = (
    ("x-ratelimit-reset-after", True),
    ("ratelimit-reset", False),
    ("x-ratelimit-reset", False),
    ("x-rate-limit-reset", False),
    ("x-ratelimit-reset-requests", True),
)
_REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining")

# From this number on, seconds are a point in time since 1970; from a hundred times that on, they are milliseconds.
_EPOCH = 1e9


def asked_wait(status: int, headers: Mapping[str, str], now: float | None = None) -> float | None:
    """How many seconds the server asks to wait: `Retry-After`, or else until its request limit is reset, if the
    response is about that limit. A point in time is relative to the response's `Date`, since clocks differ."""
    sent = _date(headers.get("date", ""))
    now = sent if sent is not None else time.time() if now is None else now
    wait = _retry_after(headers.get("retry-after", ""), now)
    if wait is not None:
        return wait
    left = next((headers[name].strip() for name in _REMAINING if name in headers), None)
    if status not in (429, 503) and not (status == 403 and left == "0"):
        return None
    for name, relative in _RESETS:
        if name not in headers:
            continue
        value = headers[name].strip()
        number = _seconds(value.removesuffix("s"))
        if number is None:
            return _retry_after(value, now)
        if relative or number < _EPOCH:
            return number
        return max(0.0, (number / 1000 if number >= _EPOCH * 100 else number) - now)
    return None


def _retry_after(value: str, now: float) -> float | None:
    seconds = _seconds(value.strip())
    if seconds is not None:
        return seconds
    point = _date(value)
    return None if point is None else max(0.0, point - now)


def _seconds(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < 1e15 else None


def _date(value: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(value.strip()).timestamp()
    except (TypeError, ValueError, IndexError):
        return None
