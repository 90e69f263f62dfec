"""The state that a step stores from one run to the next. The driver's spec must request `state`."""

from __future__ import annotations

import json
from typing import Any

from . import _contract as contract
from .errors import DataError, InternalError, raises_host_errors


def _state() -> Any:
    if contract.state is None:
        raise InternalError(
            "the driver uses `state`, but was built without it; add `state: true` to the grants in its spec"
        )
    return contract.state


@raises_host_errors
def get(default: Any = None) -> Any:
    """The JSON value that the last run stored; `default` in the first run."""
    stored = _state().get()
    return default if stored is None else json.loads(stored)


@raises_host_errors
def set(value: Any) -> None:  # noqa: A001  # named as in the contract
    """Stores a JSON value for the next run; the last call counts. It is stored only once this step and every step that
    needs it have succeeded."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"the state cannot be stored as JSON: {error}") from None
    _state().set(text)
