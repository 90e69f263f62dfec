"""Errors by kind. The kind tells the host and the user what can be done about the error."""

from __future__ import annotations

import functools
from typing import Any, Callable, TypeVar

from . import _contract as contract

Function = TypeVar("Function", bound=Callable[..., Any])


class Error(Exception):
    """Why a driver could not do its work. Raise one of the subclasses, whose names say the kind.

    `message` is one sentence for the user, in lower case and without a full stop: what was being done, to what, and
    why it failed. `code` is the error's name in the system that it comes from, such as `23505` or `HTTP 503`.
    `retry_after` is the number of seconds to wait before another attempt, if the server asked for that.
    """

    kind = "other"

    def __init__(self, message: str, *, code: str | None = None, retry_after: float | None = None):
        super().__init__(message)
        self.message = message
        self.code = code
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


class ConfigError(Error):
    """The step's configuration is wrong."""

    kind = "config"


class AuthError(Error):
    """A login was refused."""

    kind = "auth"


class DeniedError(Error):
    """The step was not granted the access that the driver asked for."""

    kind = "denied"


class NotFoundError(Error):
    """A file, table, column or remote object does not exist."""

    kind = "not-found"


class RateLimitedError(Error):
    """The server asks for fewer calls; see `retry_after`."""

    kind = "rate-limited"


class TransientError(Error):
    """The same call may succeed later."""

    kind = "transient"


class TimeoutError(Error):  # noqa: A001  # the kind's name; it lives in this package's namespace
    """A response did not arrive in time."""

    kind = "timeout"


class DataError(Error):
    """The data is malformed or does not fit its declared type."""

    kind = "data"


class LimitError(Error):
    """The step reached one of its limits, which `code` names."""

    kind = "limit"


class InternalError(Error):
    """A fault inside the driver or the host."""

    kind = "internal"


class OtherError(Error):
    """None of the other kinds; `code` names it."""

    kind = "other"


_CLASSES = {
    kind.kind: kind
    for kind in (
        ConfigError, AuthError, DeniedError, NotFoundError, RateLimitedError, TransientError, TimeoutError, DataError,
        LimitError, InternalError, OtherError,
    )
}  # fmt: skip

_MOST_MILLISECONDS = 2**32 - 1


def of_kind(kind: str, message: str, *, code: str | None = None, retry_after: float | None = None) -> Error:
    """The error of a kind that is only known at run time, such as `rate-limited`."""
    return _CLASSES[kind](message, code=code, retry_after=retry_after)


def from_contract(error: Any) -> Error:
    """The error that the host returned."""
    kind = error.kind.name.lower().replace("_", "-")
    wait = None if error.retry_after_ms is None else error.retry_after_ms / 1000
    return of_kind(kind, error.message, code=error.code, retry_after=wait)


def to_contract(error: Error) -> Any:
    """The error as the contract passes it to the host."""
    wait = None
    if error.retry_after is not None:
        wait = min(max(round(error.retry_after * 1000), 0), _MOST_MILLISECONDS)
    kind = getattr(contract.errors.ErrorKind, error.kind.upper().replace("-", "_"))
    return contract.errors.Error(kind, error.code, _sendable(error.message), wait)


def _sendable(text: str) -> str:
    """The text without lone surrogates, which a WIT string cannot contain."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def raises_host_errors(function: Function) -> Function:
    """Turns an error that the host returns to `function` into an `Error`."""

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except contract.Err as refused:
            if not isinstance(refused.value, contract.errors.Error):
                raise
            raise from_contract(refused.value) from None

    return call  # type: ignore[return-value]
