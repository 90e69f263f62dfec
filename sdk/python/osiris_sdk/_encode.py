"""Turns Python values into the buffers of a column."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from . import _contract as contract
from ._decode import EPOCH, EPOCH_DAY, EPOCH_UTC, EXACT, LARGEST_OFFSET, NUMBERS, TICKS
from .errors import DataError
from .types import Interval, Tagged, Type

_MICROSECOND = datetime.timedelta(microseconds=1)


def encode(kind: Type, values: Sequence[Any], place: str) -> list[Any]:
    """The nodes of a column with these values, in pre-order.

    # Errors
    `DataError`, which names the column and the row, for a value that does not fit the type without loss.
    """
    if kind.format in NUMBERS and isinstance(values, array) and values.typecode == NUMBERS[kind.format]:
        return [contract.arrow.Node(len(values), [b"", values.tobytes()])]
    if not isinstance(values, list):
        values = list(values)
    if kind.format.startswith("+us:"):
        return _union(kind, values, place)
    buffers, children = _buffers(kind, values, place)
    below = []
    for (name, child), items in zip(kind.children, children):
        below += encode(child, items, f"{place}.{name}")
    if kind.format == "n":
        return [contract.arrow.Node(len(values), [])]
    return [contract.arrow.Node(len(values), [validity(values), *buffers]), *below]


def validity(values: list[Any]) -> bytes:
    """The validity bitmap, which is empty if no value is null."""
    if None not in values:
        return b""
    bits = bytearray(len(values) + 7 >> 3)
    for at, value in enumerate(values):
        if value is not None:
            bits[at >> 3] |= 1 << (at & 7)
    return bytes(bits)


def _buffers(kind: Type, values: list[Any], place: str) -> tuple[list[bytes], list[list[Any]]]:
    """The buffers behind the validity bitmap, and the values of each child."""
    format, extension = kind.format, kind.extension
    if extension == "arrow.bool8":
        return [bytes(_each(kind, values, place, _boolean, False))], []
    if format in NUMBERS:
        return [_numbers(kind, values, place).tobytes()], []
    if format == "b":
        bits = bytearray(len(values) + 7 >> 3)
        for at, value in enumerate(_each(kind, values, place, _boolean, False)):
            bits[at >> 3] |= value << (at & 7)
        return [bytes(bits)], []
    if format in ("u", "U", "z", "Z"):
        to_bytes = _OPAQUE_BYTES.get(extension, _utf8 if format in "uU" else _bytes)
        return _joined(_each(kind, values, place, to_bytes, b""), "q" if format in "UZ" else "i"), []
    if format.startswith("w:"):
        width = int(format[2:])
        to_bytes = _FIXED.get(extension, lambda value: _exactly(_bytes(value), width))
        return [b"".join(_each(kind, values, place, to_bytes, bytes(width)))], []
    if format.startswith("d:"):
        precision, scale = (int(one) for one in format[2:].split(",")[:2])
        return [b"".join(_each(kind, values, place, lambda value: _decimal(value, precision, scale), bytes(16)))], []
    if format.startswith("t"):
        return _times(kind, values, place), []
    if format in ("+l", "+m"):
        lists = _each(kind, values, place, _items if format == "+l" else lambda value: _entries(kind, value), [])
        offsets = array("i", [0])
        for items in lists:
            offsets.append(offsets[-1] + len(items))
        return [offsets.tobytes()], [[item for items in lists for item in items]]
    if format.startswith("+w:"):
        size = int(format[3:])
        lists = _each(kind, values, place, lambda value: _exactly(_items(value), size), [None] * size)
        return [], [[item for items in lists for item in items]]
    if format == "+s":
        names = [name for name, _ in kind.children]
        rows = _each(kind, values, place, lambda value: _members(value, names), {})
        return [], [[row.get(name) for row in rows] for name in names]
    if format == "n":
        return [], []
    raise DataError(f"{place} is declared as {kind.duckdb}, which can only be the type of a table of JSON rows")


def _each(kind: Type, values: list[Any], place: str, convert: Callable[[Any], Any], missing: Any) -> list[Any]:
    """Converts each value; `missing` stands for a null."""
    converted = []
    for at, value in enumerate(values):
        try:
            converted.append(missing if value is None else convert(value))
        except (TypeError, ValueError, OverflowError, ArithmeticError, AttributeError) as error:
            raise unfit(kind, place, at, value, error) from None
    return converted


def unfit(kind: Type, place: str, row: int, value: Any, why: object) -> DataError:
    """The error for a value that a column cannot have."""
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:60] + "…"
    reason = f" ({why})" if str(why) else ""
    return DataError(f"{place}, row {row}: {shown} is not a {kind.duckdb}{reason}")


def _numbers(kind: Type, values: list[Any], place: str) -> array[Any]:
    code = NUMBERS[kind.format]
    filled = [0 if value is None else value for value in values] if None in values else values
    try:
        encoded = array(code, filled)
    except (TypeError, OverflowError):
        for at, value in enumerate(filled):
            try:
                array(code, [value])
            except (TypeError, OverflowError) as error:
                raise unfit(kind, place, at, value, error) from None
        raise
    if kind.format == "f":
        # A number beyond the range of 32 bits becomes an infinity.
        for at, (value, stored) in enumerate(zip(filled, encoded)):
            if abs(stored) == float("inf") != abs(value):
                raise unfit(kind, place, at, value, "it is too large")
    return encoded


def _joined(parts: list[bytes], code: str) -> list[bytes]:
    offsets = array(code, [0])
    end = 0
    for part in parts:
        end += len(part)
        offsets.append(end)
    return [offsets.tobytes(), b"".join(parts)]


def _boolean(value: Any) -> bool:
    if value is True or value is False:
        return value
    raise TypeError("it is not True or False")


def _utf8(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8")
    raise TypeError(f"it is of type {type(value).__name__}")


def _bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"it is of type {type(value).__name__}")


def _json(value: Any) -> bytes:
    if isinstance(value, str):
        json.loads(value)
        return value.encode("utf-8")
    return json.dumps(value, allow_nan=False).encode("utf-8")


def _exactly(value: Any, size: int) -> Any:
    if len(value) != size:
        raise ValueError(f"its length is {len(value)}, not {size}")
    return value


def _decimal(value: Any, precision: int, scale: int) -> bytes:
    if isinstance(value, bool):
        raise TypeError("it is of type bool")
    number = value if isinstance(value, decimal.Decimal) else decimal.Decimal(str(value))
    if not number.is_finite():
        raise ValueError("it is not a finite number")
    scaled = number.scaleb(scale, context=EXACT)
    unscaled = int(scaled)
    if unscaled != scaled:
        raise ValueError(f"it has more than {scale} digits behind the point")
    if abs(unscaled) >= 10**precision:
        raise ValueError(f"it has more than {precision} digits")
    return unscaled.to_bytes(16, "little", signed=True)


def _times(kind: Type, values: list[Any], place: str) -> list[bytes]:
    format = kind.format
    if format == "tin":
        return [b"".join(_each(kind, values, place, _interval, bytes(16)))]
    if format in ("tdD", "tdm"):
        days = _each(kind, values, place, _day, 0)
        return [
            array("i", days).tobytes() if format == "tdD" else array("q", [day * 86_400_000 for day in days]).tobytes()
        ]
    ticks = TICKS.get(format[2])
    if ticks is None:
        raise DataError(f"{place} has Arrow's format `{format}`, which cannot be written from Python values")
    if format.startswith("tt"):
        return [
            array(
                "i" if format[2] in "sm" else "q",
                _each(kind, values, place, lambda value: _in_ticks(_of_day(value), ticks), 0),
            ).tobytes()
        ]
    epoch = EPOCH_UTC if format[4:] else EPOCH
    return [
        array(
            "q", _each(kind, values, place, lambda value: _in_ticks((_moment(value) - epoch) // _MICROSECOND, ticks), 0)
        ).tobytes()
    ]


def _moment(value: Any) -> datetime.datetime:
    if isinstance(value, datetime.datetime):
        return value
    if isinstance(value, str):
        return datetime.datetime.fromisoformat(value)
    raise TypeError(f"it is of type {type(value).__name__}")


def _in_ticks(microseconds: int, ticks: int) -> int:
    if ticks >= 1_000_000:
        return microseconds * (ticks // 1_000_000)
    whole, rest = divmod(microseconds, 1_000_000 // ticks)
    if rest:
        raise ValueError("it is finer than the type")
    return whole


def _day(value: Any) -> int:
    if isinstance(value, str):
        value = datetime.date.fromisoformat(value)
    if isinstance(value, datetime.datetime) or not isinstance(value, datetime.date):
        raise TypeError(f"it is of type {type(value).__name__}")
    return value.toordinal() - EPOCH_DAY


def _of_day(value: Any) -> int:
    if isinstance(value, str):
        value = datetime.time.fromisoformat(value)
    if not isinstance(value, datetime.time) or value.tzinfo:
        raise TypeError("it is not a time without a zone")
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def _time_tz(value: Any) -> bytes:
    offset = value.utcoffset()
    if offset is None:
        raise TypeError("it has no zone")
    seconds = offset // datetime.timedelta(seconds=1)
    bits = _of_day(value.replace(tzinfo=None)) << 24 | LARGEST_OFFSET - seconds
    return bits.to_bytes(8, "little")


def _interval(value: Any) -> bytes:
    if isinstance(value, datetime.timedelta):
        value = Interval(0, value.days, (value.seconds * 1_000_000 + value.microseconds) * 1000)
    parts = ((value.months, 4), (value.days, 4), (value.nanoseconds, 8))
    return b"".join(number.to_bytes(width, "little", signed=True) for number, width in parts)


def _uuid(value: Any) -> bytes:
    return (value if isinstance(value, uuid.UUID) else uuid.UUID(value)).bytes


def _bit(value: str) -> bytes:
    if not value or value.strip("01"):
        raise ValueError("it is not a text of 0 and 1")
    unused = -len(value) % 8
    filled = "1" * unused + value
    return bytes([unused]) + int(filled, 2).to_bytes(len(filled) // 8, "big")


def _bignum(value: int) -> bytes:
    digits = abs(value).to_bytes(max(1, (abs(value).bit_length() + 7) // 8), "big")
    raw = (0x800000 | len(digits)).to_bytes(3, "big") + digits
    return bytes(byte ^ 0xFF for byte in raw) if value < 0 else raw


_OPAQUE_BYTES: dict[str, Callable[[Any], bytes]] = {"bit": _bit, "bignum": _bignum, "arrow.json": _json}
_FIXED: dict[str, Callable[[Any], bytes]] = {
    "arrow.uuid": _uuid,
    "hugeint": lambda value: value.to_bytes(16, "little", signed=True),
    "uhugeint": lambda value: value.to_bytes(16, "little"),
    "time_tz": _time_tz,
}


def _items(value: Any) -> list[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__len__"):
        raise TypeError(f"it is of type {type(value).__name__}")
    return list(value)


def _entries(kind: Type, value: Any) -> list[dict[str, Any]]:
    names = [name for name, _ in kind.children[0][1].children]
    pairs = value.items() if isinstance(value, Mapping) else value
    return [dict(zip(names, (key, item), strict=True)) for key, item in pairs]


def _members(value: Any, names: list[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"it is of type {type(value).__name__}")
    unknown = [name for name in value if name not in names]
    if unknown:
        raise ValueError(f"it has `{unknown[0]}`, which the type does not have")
    return value


def _union(kind: Type, values: list[Any], place: str) -> list[Any]:
    ids = [int(one) for one in kind.format[4:].split(",")]
    by_name = {name: one for one, (name, _) in zip(ids, kind.children)}
    chosen = bytearray()
    for at, value in enumerate(values):
        if value is None:
            chosen.append(ids[0])
        elif isinstance(value, Tagged) and value.tag in by_name:
            chosen.append(by_name[value.tag])
        else:
            raise unfit(kind, place, at, value, f"it is not a Tagged value of {', '.join(by_name)}")
    nodes = [contract.arrow.Node(len(values), [bytes(chosen)])]
    for name, child in kind.children:
        nodes += encode(
            child,
            [value.value if value is not None and value.tag == name else None for value in values],
            f"{place}.{name}",
        )
    return nodes
