"""Drops the host's readers and writers before the input or the output that they belong to, as the component model
requires. A garbage collector knows no such order, least of all after an exception."""

from __future__ import annotations

from typing import Any

_open: dict[int, Any] = {}


def opened(raw: Any) -> Any:
    """Notes a reader or a writer that must be dropped."""
    _open[id(raw)] = raw
    return raw


def drop(raw: Any) -> None:
    """Drops it, unless that was done already."""
    if _open.pop(id(raw), None) is not None:
        raw.__exit__(None, None, None)


def drop_all() -> None:
    """Drops all that are left. The SDK calls this when the driver has returned or failed."""
    for raw in reversed(list(_open.values())):
        drop(raw)
