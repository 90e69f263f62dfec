"""The types of columns: how a driver declares them, and what they are in Arrow and in DuckDB.

Declare a column with a Python type or with one of this module's:

| declared | DuckDB | value in Python |
|---|---|---|
| `bool`, `int`, `float`, `str`, `bytes` | BOOLEAN, BIGINT, DOUBLE, VARCHAR, BLOB | the same |
| `int8` to `int64`, `uint8` to `uint64`, `float32` | TINYINT to BIGINT, UTINYINT to UBIGINT, FLOAT | `int`, `float` |
| `hugeint`, `uhugeint`, `bignum` | HUGEINT, UHUGEINT, BIGNUM | `int` |
| `decimal(18, 2)` | DECIMAL(18,2) | `decimal.Decimal` |
| `datetime.date`, `datetime.time` | DATE, TIME | the same |
| `timestamp`, `instant` | TIMESTAMP, TIMESTAMPTZ | `datetime.datetime`, without and with a zone |
| `timestamp_s`, `timestamp_ms`, `timestamp_ns`, `time_ns`, `time_tz` | TIMESTAMP_S, …, TIME_NS, TIMETZ | as above |
| `interval` | INTERVAL | `Interval`, or `datetime.timedelta` when written |
| `uuid.UUID`, `json`, `bit` | UUID, JSON, BIT | `uuid.UUID`, `str` (JSON text), `str` of 0 and 1 |
| `list[T]`, `array_of(T, n)` | T[], T[n] | `list` |
| `struct(a=int, b=str)`, `dict[K, V]` | STRUCT, MAP | `dict` |
| `union(number=int, text=str)` | UNION | `Tagged` |

`None` is null in all of them.
"""

from __future__ import annotations

import datetime
import decimal as _decimal
import re
import typing
import uuid as _uuid
from dataclasses import dataclass
from typing import Any

from . import _contract as contract
from .errors import DataError

EXTENSION = "ARROW:extension:name"
EXTENSION_METADATA = "ARROW:extension:metadata"


@dataclass(frozen=True)
class Interval:
    """A DuckDB INTERVAL, whose months and days have no fixed length."""

    months: int = 0
    days: int = 0
    nanoseconds: int = 0


@dataclass(frozen=True)
class Tagged:
    """The value of a UNION, and the name of its member."""

    tag: str
    value: Any


@dataclass(frozen=True)
class Type:
    """A column's type: Arrow's format with its children and metadata, and the name in DuckDB."""

    format: str
    duckdb: str
    children: tuple[tuple[str, Type], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def extension(self) -> str:
        """The type that Arrow does not have: `arrow.uuid`, or DuckDB's name of an `arrow.opaque` type; or empty."""
        details = dict(self.metadata)
        name = details.get(EXTENSION, "")
        if name != "arrow.opaque":
            return name
        return next((own for own in _OPAQUE if f'"{own}"' in details.get(EXTENSION_METADATA, "")), name)

    def fields(self, name: str, nullable: bool = True) -> list[Any]:
        """The contract's fields of a column of this type, in pre-order."""
        own = contract.arrow.Field(name, self.format, nullable, len(self.children), list(self.metadata))
        # Arrow requires that a map's entries and keys are never null.
        is_map = self.format == "+m"
        below = [
            field
            for at, (child, of) in enumerate(self.children)
            for field in of.fields(child, not is_map and not (name == "entries" and child == "key" and at == 0))
        ]
        return [own, *below]

    def __repr__(self) -> str:
        return self.duckdb


_OPAQUE = ("uhugeint", "hugeint", "time_tz", "bignum", "bit")


def _opaque(own: str) -> tuple[tuple[str, str], ...]:
    return ((EXTENSION, "arrow.opaque"), (EXTENSION_METADATA, f'{{"type_name":"{own}","vendor_name":"DuckDB"}}'))


boolean = Type("c", "BOOLEAN", metadata=((EXTENSION, "arrow.bool8"),))
int8, int16, int32, int64 = (
    Type(*pair) for pair in (("c", "TINYINT"), ("s", "SMALLINT"), ("i", "INTEGER"), ("l", "BIGINT"))
)
uint8, uint16, uint32, uint64 = (
    Type(*pair) for pair in (("C", "UTINYINT"), ("S", "USMALLINT"), ("I", "UINTEGER"), ("L", "UBIGINT"))
)
hugeint = Type("w:16", "HUGEINT", metadata=_opaque("hugeint"))
uhugeint = Type("w:16", "UHUGEINT", metadata=_opaque("uhugeint"))
bignum = Type("z", "BIGNUM", metadata=_opaque("bignum"))
float32, float64 = Type("f", "FLOAT"), Type("g", "DOUBLE")
text, binary = Type("u", "VARCHAR"), Type("z", "BLOB")
bit = Type("z", "BIT", metadata=_opaque("bit"))
uuid = Type("w:16", "UUID", metadata=((EXTENSION, "arrow.uuid"),))
json = Type("u", "JSON", metadata=((EXTENSION, "arrow.json"),))
date, time, time_ns = Type("tdD", "DATE"), Type("ttu", "TIME"), Type("ttn", "TIME_NS")
time_tz = Type("w:8", "TIMETZ", metadata=_opaque("time_tz"))
timestamp, timestamp_s = Type("tsu:", "TIMESTAMP"), Type("tss:", "TIMESTAMP_S")
timestamp_ms, timestamp_ns = Type("tsm:", "TIMESTAMP_MS"), Type("tsn:", "TIMESTAMP_NS")
instant = Type("tsu:UTC", "TIMESTAMPTZ")
interval = Type("tin", "INTERVAL")


def decimal(precision: int, scale: int) -> Type:
    """A decimal number of `precision` digits (at most 38), `scale` of them behind the point."""
    if not (1 <= precision <= 38 and 0 <= scale <= precision):
        raise ValueError(
            f"decimal({precision},{scale}) does not exist: the precision is 1 to 38, the scale at most the precision"
        )
    return Type(f"d:{precision},{scale}", f"DECIMAL({precision},{scale})")


def list_of(item: Any) -> Type:
    """A list of any length; the same as `list[item]`."""
    of = resolve(item)
    return Type("+l", f"{of.duckdb}[]", (("l", of),))


def array_of(item: Any, length: int) -> Type:
    """A list whose length is always `length`."""
    of = resolve(item)
    return Type(f"+w:{length}", f"{of.duckdb}[{length}]", (("l", of),))


def struct(members: dict[str, Any] | None = None, /, **more: Any) -> Type:
    """An object with named members."""
    of = tuple((name, resolve(member)) for name, member in ((members or {}) | more).items())
    return Type("+s", f"STRUCT({_named(of)})", of)


def map_of(key: Any, value: Any) -> Type:
    """A mapping; the same as `dict[key, value]`."""
    keys, values = resolve(key), resolve(value)
    entries = struct(key=keys, value=values)
    return Type("+m", f"MAP({keys.duckdb}, {values.duckdb})", (("entries", entries),))


def union(members: dict[str, Any] | None = None, /, **more: Any) -> Type:
    """A value of one of several types, each with a name."""
    of = tuple((name, resolve(member)) for name, member in ((members or {}) | more).items())
    return Type("+us:" + ",".join(str(at) for at in range(len(of))), f"UNION({_named(of)})", of)


def _named(members: tuple[tuple[str, Type], ...]) -> str:
    return ", ".join('"' + name.replace('"', '""') + f'" {of.duckdb}' for name, of in members)


_PYTHON: dict[Any, Type] = {
    bool: boolean, int: int64, float: float64, str: text, bytes: binary, datetime.date: date, datetime.time: time,
    datetime.datetime: timestamp, datetime.timedelta: interval, _uuid.UUID: uuid, Interval: interval,
}  # fmt: skip

_NAMED = {
    one.duckdb: one
    for one in (
        boolean, int8, int16, int32, int64, uint8, uint16, uint32, uint64, hugeint, uhugeint, bignum, float32, float64,
        text, binary, bit, uuid, json, date, time, time_ns, time_tz, timestamp, timestamp_s, timestamp_ms, timestamp_ns,
        instant, interval,
    )
}  # fmt: skip


def resolve(declared: Any) -> Type:
    """The type that a driver declared: a `Type`, a Python type, or the name of a DuckDB type.

    A name that this package does not know can only be used for tables of JSON rows, where DuckDB reads it.
    """
    if isinstance(declared, Type):
        return declared
    if isinstance(declared, str):
        return _by_name(declared.strip())
    if declared is _decimal.Decimal:
        raise TypeError("declare a decimal column with its digits: osiris.decimal(18, 2)")
    known = _PYTHON.get(declared)
    if known is not None:
        return known
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin is list and len(arguments) == 1:
        return list_of(arguments[0])
    if origin is dict and len(arguments) == 2:
        return map_of(*arguments)
    raise TypeError(f"{declared!r} is not a column's type")


def _by_name(name: str) -> Type:
    """The type of a DuckDB name such as `DECIMAL(18,2)[]`."""
    known = _NAMED.get(name.upper())
    if known is not None:
        return known
    suffix = re.fullmatch(r"(.*)\[(\d*)\]", name, re.DOTALL)
    if suffix:
        item = _by_name(suffix[1].strip())
        if item.format:
            return array_of(item, int(suffix[2])) if suffix[2] else list_of(item)
    inside = re.fullmatch(r"(\w+)\s*\((.*)\)", name, re.DOTALL)
    if inside:
        parts = _split(inside[2])
        outer = inside[1].upper()
        if outer in ("DECIMAL", "NUMERIC") and all(part.strip().isdigit() for part in parts):
            return decimal(int(parts[0]), int(parts[1]) if len(parts) > 1 else 0)
        if outer == "MAP" and len(parts) == 2:
            return map_of(*(_by_name(part.strip()) for part in parts))
        if outer in ("STRUCT", "UNION"):
            members = dict(_member(part.strip()) for part in parts)
            return (struct if outer == "STRUCT" else union)(members)
    return Type("", name)


def _split(text: str) -> list[str]:
    """The parts of a text between commas that are in no quotes and no brackets."""
    parts, depth, quoted, start = [], 0, False, 0
    for at, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif not quoted and letter in "([":
            depth += 1
        elif not quoted and letter in ")]":
            depth -= 1
        elif letter == "," and depth == 0 and not quoted:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _member(text: str) -> tuple[str, Type]:
    """A struct's member: a name, which may be quoted, and a type."""
    found = re.fullmatch(r'(?:"((?:[^"]|"")*)"|(\w+))\s+(.*)', text, re.DOTALL)
    if found is None:
        raise TypeError(f"`{text}` is not a member of a struct")
    return (found[1].replace('""', '"') if found[1] is not None else found[2]), _by_name(found[3].strip())


_FORMATS = {one.format: one for one in _NAMED.values() if not one.metadata}
_FORMATS |= {"b": Type("b", "BOOLEAN"), "U": Type("U", "VARCHAR"), "Z": Type("Z", "BLOB"), "n": Type("n", "NULL")}
_EXTENSIONS = {one.extension: one for one in _NAMED.values() if one.metadata}


def of_fields(fields: list[Any]) -> list[tuple[str, Type]]:
    """The columns of a contract schema: names and types."""
    remaining = iter(fields)

    def one() -> tuple[str, Type]:
        field = next(remaining)
        children = tuple(one() for _ in range(field.children))
        metadata = tuple((name, value) for name, value in field.metadata)
        return field.name, Type(field.format, _duckdb_name(field.format, children, metadata), children, metadata)

    columns = []
    while True:
        try:
            columns.append(one())
        except StopIteration:
            return columns


def _duckdb_name(format: str, children: tuple[tuple[str, Type], ...], metadata: tuple[tuple[str, str], ...]) -> str:
    own = dict(metadata).get("osiris.duckdb_type")
    if own:
        return own
    extension = _EXTENSIONS.get(Type(format, "", metadata=metadata).extension)
    if extension:
        return extension.duckdb
    if format in _FORMATS:
        return _FORMATS[format].duckdb
    if format.startswith("d:"):
        return f"DECIMAL({','.join(format[2:].split(',')[:2])})"
    if format.startswith("ts"):
        return "TIMESTAMPTZ"
    if format == "+l":
        return f"{children[0][1].duckdb}[]"
    if format.startswith("+w:"):
        return f"{children[0][1].duckdb}[{format[3:]}]"
    if format == "+s":
        return f"STRUCT({_named(children)})"
    if format == "+m":
        keys, values = children[0][1].children
        return f"MAP({keys[1].duckdb}, {values[1].duckdb})"
    if format.startswith("+us:"):
        return f"UNION({_named(children)})"
    return format


def of_value(value: Any, place: str) -> Type:
    """The type of a column whose values look like this one."""
    if isinstance(value, bool):
        return boolean
    if isinstance(value, datetime.datetime):
        return instant if value.tzinfo else timestamp
    if isinstance(value, (list, tuple)):
        item = next((item for item in value if item is not None), None)
        if item is not None:
            return list_of(of_value(item, place))
    for python, known in _PYTHON.items():
        if type(value) is python:
            return known
    raise DataError(f"the type of {place} cannot be told from its values, such as {value!r}; declare it")
