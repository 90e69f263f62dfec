"""What the host does with the values of declared columns when a table of JSON records is finished."""

from __future__ import annotations

import datetime
import re
from typing import Any

from .._decode import NUMBERS, decode
from .._encode import encode
from ..errors import DataError
from ..types import Type, resolve


def cast_records(records: list[dict[str, Any]], declared: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of the table, with every column in each of them.

    # Errors
    `ValueError`, which names the record and the column, for a value that does not fit its declared type.
    """
    names = list(dict.fromkeys([*declared, *(name for record in records for name in record)]))
    types = {name: resolve(kind) for name, kind in declared.items()}
    rows = []
    for at, record in enumerate(records):
        row = {}
        for name in names:
            value = record.get(name)
            try:
                row[name] = _cast(types[name], value) if name in types else value
            except (DataError, ValueError, TypeError) as error:
                raise ValueError(
                    f"record {at}, column `{name}`: {value!r} is not a {declared[name]} ({error})"
                ) from None
        rows.append(row)
    return rows


def _cast(kind: Type, value: Any) -> Any:
    """A JSON value as a value of the type, where DuckDB casts texts too."""
    if value is None or not kind.format:
        return value
    if kind.format == "u" and not kind.extension:
        return value if isinstance(value, str) else str(value)
    if kind.extension == "arrow.json":
        return value
    if value == "":
        return None
    if kind.format in ("f", "g") or kind.format in NUMBERS and isinstance(value, str) and not kind.extension:
        value = float(value) if kind.format in ("f", "g") else int(value)
    elif kind.extension == "arrow.bool8" and isinstance(value, str):
        value = {"true": True, "false": False}[value.lower()]
    elif kind.extension in ("hugeint", "uhugeint", "bignum"):
        value = int(value)
    elif kind.format == "z" and not kind.extension:
        value = re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), value.encode())
    elif kind.format == "tin":
        return value
    elif kind.format.startswith("ts"):
        moment = datetime.datetime.fromisoformat(value)
        if kind.format[4:]:
            value = moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)
        else:
            value = moment.astimezone(datetime.timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment
    elif kind.format == "w:8":
        value = datetime.time.fromisoformat(value)
    elif kind.format == "+l" or kind.format.startswith("+w:"):
        value = [_cast(kind.children[0][1], item) for item in value]
    elif kind.format == "+s":
        members = dict(kind.children)
        value = {name: _cast(members[name], item) if name in members else item for name, item in value.items()}
    elif kind.format == "+m":
        keys, values = (child for _, child in kind.children[0][1].children)
        value = {_cast(keys, key): _cast(values, item) for key, item in value.items()}
    return decode(kind, encode(kind, [value], "value"), "value")[0]
