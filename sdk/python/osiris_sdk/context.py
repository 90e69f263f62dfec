"""The step that the driver works for: its secrets, its log, its metrics and its progress."""

from __future__ import annotations

import json
import logging
from typing import Any

from . import _contract as contract
from ._json_rows import record_text
from .errors import _sendable, raises_host_errors

_LEVELS = ("trace", "debug", "info", "warn", "error")


def step_id() -> str:
    """The id of the step in the pipeline, such as `extract-flights`."""
    return contract.context.step_id()


def partition() -> tuple[int, int]:
    """The part of the step's work that this instance does, as (index, count): (0, 1) unless several run in parallel."""
    part = contract.context.partition()
    return part.index, part.count


def attempt() -> int:
    """The number of this attempt of the step, counted from 1."""
    return contract.context.attempt()


@raises_host_errors
def reject(row: Any, reason: str) -> None:
    """Rejects one row that cannot be understood or delivered: the host stores it with the reason in the step's table
    `rejected`, which a writer's step has too. The row is what `output.write` takes, or a `str` if it cannot be parsed.

    # Errors
    `DataError` for more rows than the pipeline allows (`rejects`, by default none). The step fails then in any case.
    """
    text = json.dumps(_sendable(row)) if isinstance(row, str) else record_text(row)
    contract.context.reject(text, _sendable(reason))


def secret(name: str) -> str | None:
    """The secret in a field of the config, named by its JSON pointer (`/connection/password`) or, if no name in the
    path contains a dot, by `connection.password`; `None` if the step has no secret there."""
    found = contract.secrets.get(name)
    if found is None:
        return None
    with found:
        return found.reveal()


def secrets_below(place: str) -> dict[str, str]:
    """The secrets of the fields below `place`, such as `/headers`, by the rest of their path (a JSON pointer without
    its first slash)."""
    found = {}
    for pointer in contract.secrets.list(place):
        value = secret(pointer)
        if value is not None:
            found[pointer[len(place) :].lstrip("/").replace("~1", "/").replace("~0", "~")] = value
    return found


def metric(name: str, value: float) -> None:
    """Records a number, such as `requests_sent`, in the session's metrics."""
    contract.context.metric(name, float(value))


def progress(done: int, total: int | None = None) -> None:
    """Reports that `done` of `total` units are done. Call it as often as convenient; the host limits the rate."""
    contract.context.progress(done, total)


class Log:
    """Writes structured lines to the session's log: `log.info("read a page", page=3)`."""

    def write(self, level: str, message: str, /, **fields: Any) -> None:
        """A line of a level: `trace`, `debug`, `info`, `warn` or `error`."""
        if level not in _LEVELS:
            raise ValueError(f"`{level}` is not a level; the levels are {', '.join(_LEVELS)}")
        pairs = [(name, _sendable(str(value))) for name, value in fields.items()]
        contract.context.log(contract.context.Level[level.upper()], _sendable(message), pairs)

    def trace(self, message: str, /, **fields: Any) -> None:
        self.write("trace", message, **fields)

    def debug(self, message: str, /, **fields: Any) -> None:
        self.write("debug", message, **fields)

    def info(self, message: str, /, **fields: Any) -> None:
        self.write("info", message, **fields)

    def warn(self, message: str, /, **fields: Any) -> None:
        self.write("warn", message, **fields)

    def error(self, message: str, /, **fields: Any) -> None:
        self.write("error", message, **fields)


log = Log()


class LogHandler(logging.Handler):
    """Sends what libraries log through the standard `logging` to the session's log. Every driver has it on its root
    logger, at level INFO; `logging.getLogger("name").setLevel(logging.DEBUG)` shows more of one library."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if record.levelno >= logging.ERROR:
                level = "error"
            elif record.levelno >= logging.WARNING:
                level = "warn"
            else:
                level = "info" if record.levelno >= logging.INFO else "debug"
            log.write(level, self.format(record), logger=record.name)
        except Exception:
            self.handleError(record)


def install_log_handler() -> None:
    """Puts a `LogHandler` on the root logger, once."""
    root = logging.getLogger()
    if not any(isinstance(handler, LogHandler) for handler in root.handlers):
        root.addHandler(LogHandler())
        root.setLevel(logging.INFO)
