"""Turns the buffers of a column into Python values."""

from __future__ import annotations

import datetime
import decimal
import sys
import uuid
from array import array
from typing import Any, Callable

from .errors import DataError
from .types import Interval, Tagged, Type

assert sys.byteorder == "little", "Arrow's buffers are little-endian"

# The array type codes of Arrow's fixed-width numbers.
NUMBERS = {"c": "b", "C": "B", "s": "h", "S": "H", "i": "i", "I": "I", "l": "q", "L": "Q", "f": "f", "g": "d"}
# Ticks in a second.
TICKS = {"s": 1, "m": 1_000, "u": 1_000_000, "n": 1_000_000_000}

EPOCH = datetime.datetime(1970, 1, 1)
EPOCH_UTC = EPOCH.replace(tzinfo=datetime.timezone.utc)
EPOCH_DAY = EPOCH.toordinal()
# DuckDB counts a TIMETZ's offset down from 15:59:59.
LARGEST_OFFSET = 57_599

# Python's default context would round a number of more than 28 digits.
EXACT = decimal.Context(prec=100, traps=[decimal.Inexact, decimal.InvalidOperation])


def nodes_of(kind: Type) -> int:
    """The number of nodes of a column of this type: its own and its children's."""
    return 1 + sum(nodes_of(child) for _, child in kind.children)


def decode(kind: Type, nodes: list[Any], place: str) -> list[Any]:
    """The values of a column, whose nodes start at the first of `nodes`."""
    return _decode(kind, nodes, 0, place)[0]


def _decode(kind: Type, nodes: list[Any], at: int, place: str) -> tuple[list[Any], int]:
    """The values of the field at position `at`, and the position behind it."""
    node = nodes[at]
    children = []
    end = at + 1
    for name, child in kind.children:
        values, end = _decode(child, nodes, end, f"{place}.{name}")
        children.append(values)
    if kind.format == "n":
        return [None] * node.length, end
    if kind.format.startswith("+us:"):
        return _union(kind, node, children), end
    values = _values(kind, node, children, place)
    for position in nulls(node):
        values[position] = None
    return values, end


def nulls(node: Any) -> list[int]:
    """The positions that are null."""
    bits = node.buffers[0]
    if not bits:
        return []
    missing = []
    for byte_at, byte in enumerate(bits):
        if byte != 0xFF:
            first = byte_at * 8
            missing += [first + bit for bit in range(8) if not byte >> bit & 1 and first + bit < node.length]
    return missing


def numbers(code: str, buffer: bytes) -> array[Any]:
    """A buffer of fixed-width numbers as an array."""
    values: array[Any] = array(code)
    values.frombytes(buffer)
    return values


def _values(kind: Type, node: Any, children: list[list[Any]], place: str) -> list[Any]:
    """The values, with anything in place of nulls."""
    format, extension = kind.format, kind.extension
    if extension == "arrow.bool8":
        return [byte != 0 for byte in node.buffers[1]]
    if format in NUMBERS:
        return numbers(NUMBERS[format], node.buffers[1]).tolist()
    if format == "b":
        bits = node.buffers[1]
        return [bits[at >> 3] >> (at & 7) & 1 == 1 for at in range(node.length)]
    if format in ("u", "U"):
        return _texts(node, "i" if format == "u" else "q")
    if format in ("z", "Z"):
        return _scalars(
            _OPAQUE_BYTES.get(extension, bytes), _slices(node, "i" if format == "z" else "q"), node, place, kind
        )
    if format.startswith("w:"):
        width = int(format[2:])
        parts = (node.buffers[1][start : start + width] for start in range(0, node.length * width, width))
        return _scalars(_FIXED.get(extension, bytes), parts, node, place, kind)
    if format.startswith("d:"):
        return _decimals(node, int(format.split(",")[1]))
    if format == "tin":
        return [_interval(node.buffers[1], start) for start in range(0, node.length * 16, 16)]
    if format.startswith("t"):
        return _times(kind, node, place)
    if format in ("+l", "+m"):
        offsets = numbers("i", node.buffers[1])
        items = children[0]
        lists = [items[start:end] for start, end in zip(offsets, offsets[1:])]
        return lists if format == "+l" else [_mapping(pairs) for pairs in lists]
    if format.startswith("+w:"):
        size = int(format[3:])
        return [children[0][start : start + size] for start in range(0, node.length * size, size)]
    if format == "+s":
        names = [name for name, _ in kind.children]
        return [dict(zip(names, row)) for row in zip(*children)] if children else [{} for _ in range(node.length)]
    raise DataError(f"{place} has Arrow's format `{format}`, which cannot be turned into Python values")


def _texts(node: Any, code: str) -> list[Any]:
    offsets, data = numbers(code, node.buffers[1]), node.buffers[2]
    if data.isascii():
        whole = data.decode("ascii")
        return [whole[start:end] for start, end in zip(offsets, offsets[1:])]
    return [data[start:end].decode("utf-8") for start, end in zip(offsets, offsets[1:])]


def _slices(node: Any, code: str) -> list[bytes]:
    offsets, data = numbers(code, node.buffers[1]), node.buffers[2]
    return [data[start:end] for start, end in zip(offsets, offsets[1:])]


def _scalars(convert: Callable[[Any], Any], raw: Any, node: Any, place: str, kind: Type) -> list[Any]:
    """Converts one value at a time; a null's raw value is not looked at."""
    missing = set(nulls(node))
    values = []
    for at, value in enumerate(raw):
        try:
            values.append(None if at in missing else convert(value))
        except (ValueError, OverflowError) as error:
            raise _unfit(place, at, kind, error) from None
    return values


def _unfit(place: str, row: int, kind: Type, why: object) -> DataError:
    return DataError(
        f"{place}, row {row} of its batch: the {kind.duckdb} has no value in Python ({why}); leave the column undecoded, or "
        "cast it to VARCHAR with sql.query"
    )


def _decimals(node: Any, scale: int) -> list[Any]:
    data = node.buffers[1]
    unscaled = (
        int.from_bytes(data[start : start + 16], "little", signed=True) for start in range(0, node.length * 16, 16)
    )
    return [decimal.Decimal(number).scaleb(-scale, context=EXACT) for number in unscaled]


def _interval(data: bytes, start: int) -> Interval:
    months, days = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (start, start + 4))
    return Interval(months, days, int.from_bytes(data[start + 8 : start + 16], "little", signed=True))


def _times(kind: Type, node: Any, place: str) -> list[Any]:
    format = kind.format
    if format in ("tdD", "tdm"):
        raw = numbers("i" if format == "tdD" else "q", node.buffers[1])
        in_days = 1 if format == "tdD" else 86_400_000
        return _scalars(lambda days: datetime.date.fromordinal(EPOCH_DAY + days // in_days), raw, node, place, kind)
    ticks = TICKS.get(format[2])
    if ticks is None:
        raise DataError(f"{place} has Arrow's format `{format}`, which cannot be turned into Python values")
    raw = numbers("q" if format.startswith("ts") or format[2] in "un" else "i", node.buffers[1])
    if format.startswith("tt"):
        return _scalars(lambda value: _time_of_day(_microseconds(value, ticks)), raw, node, place, kind)
    epoch = EPOCH_UTC if format[4:] else EPOCH
    microsecond = datetime.timedelta(microseconds=1)
    return _scalars(lambda value: epoch + microsecond * _microseconds(value, ticks), raw, node, place, kind)


def _microseconds(value: int, ticks: int) -> int:
    if ticks <= 1_000_000:
        return value * (1_000_000 // ticks)
    whole, rest = divmod(value, 1000)
    if rest:
        raise ValueError("it has nanoseconds")
    return whole


def _time_of_day(microseconds: int) -> datetime.time:
    seconds, micro = divmod(microseconds, 1_000_000)
    return datetime.time(seconds // 3600, seconds // 60 % 60, seconds % 60, micro)


def _time_tz(raw: bytes) -> datetime.time:
    bits = int.from_bytes(raw, "little")
    offset = LARGEST_OFFSET - (bits & 0xFFFFFF)
    return _time_of_day(bits >> 24).replace(tzinfo=datetime.timezone(datetime.timedelta(seconds=offset)))


def _bit(raw: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in raw[1:])[raw[0] :]


def _bignum(raw: bytes) -> int:
    negative = raw[0] & 0x80 == 0
    digits = bytes(byte ^ 0xFF for byte in raw[3:]) if negative else raw[3:]
    return -int.from_bytes(digits, "big") if negative else int.from_bytes(digits, "big")


_OPAQUE_BYTES: dict[str, Callable[[bytes], Any]] = {"bit": _bit, "bignum": _bignum}
_FIXED: dict[str, Callable[[bytes], Any]] = {
    "arrow.uuid": lambda raw: uuid.UUID(bytes=bytes(raw)),
    "hugeint": lambda raw: int.from_bytes(raw, "little", signed=True),
    "uhugeint": lambda raw: int.from_bytes(raw, "little"),
    "time_tz": _time_tz,
}


def _mapping(pairs: list[dict[str, Any]]) -> Any:
    """A map's entries as a dictionary, or as pairs if a key cannot be the key of one."""
    entries = [tuple(pair.values()) for pair in pairs]
    try:
        return dict(entries)  # type: ignore[arg-type]
    except TypeError:
        return entries


def _union(kind: Type, node: Any, children: list[list[Any]]) -> list[Any]:
    ids = [int(one) for one in kind.format[4:].split(",")]
    members = {one: (name, children[at]) for at, (one, (name, _)) in enumerate(zip(ids, kind.children))}
    values = []
    for at, one in enumerate(node.buffers[0]):
        name, member = members[one]
        values.append(Tagged(name, member[at]))
    return values
