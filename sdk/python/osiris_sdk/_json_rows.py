"""Rows as JSON records: the text that a table of JSON records takes, and the text that a reader gives."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import json.encoder
import secrets
import uuid
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from .errors import DataError
from .types import Interval, Tagged, Type, of_value

# How much text is passed to the host at once.
CHUNK = 1 << 20
# How many rows are encoded by one call, which is faster than one by one.
GROUP = 64


class _Typed:
    """What the encoder met in one chunk that JSON has no type for."""

    # JSON cannot say that a text in quotes is meant as a number, so a Decimal is marked with a text that no data
    # contains. It is made in the run: a random text of the build would be in the component, for everybody to read.
    mark = ""
    decimals = False
    others = False


def _plain(value: Any) -> Any:
    """A value that JSON lacks, as DuckDB reads it."""
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return str(value)
        _Typed.decimals = True
        _Typed.mark = mark = _Typed.mark or secrets.token_hex(16)
        return f"{mark}{value:f}{mark}" if abs(value.adjusted()) < 400 else f"{mark}{value}{mark}"
    if isinstance(value, Tagged):
        return {value.tag: value.value}
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, Interval)):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    _Typed.others = True
    if isinstance(value, Interval):
        return _interval(value)
    if isinstance(value, (datetime.date, datetime.datetime, datetime.time)):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, datetime.timedelta):
        return _interval(Interval(0, value.days, (value.seconds * 1_000_000 + value.microseconds) * 1000))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "".join(
            chr(byte) if 32 <= byte < 127 and byte not in b"\\\"'" else f"\\x{byte:02X}" for byte in bytes(value)
        )
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)) or hasattr(value, "__next__"):
        return list(value)
    raise TypeError(f"{value!r} is of type {type(value).__name__}, which JSON cannot represent")


def _interval(value: Interval) -> str:
    if value.nanoseconds % 1000:
        raise TypeError(f"{value!r} is finer than the microseconds that an INTERVAL has")
    return f"{value.months} months {value.days} days {value.nanoseconds // 1000} microseconds"


def _encoder() -> Any:
    """A function from a value to the parts of its JSON text; one encoder for all rows, as creating it costs time."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is not None:
        return make(None, _plain, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False)
    slow = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_plain, check_circular=False)
    return lambda row, _: (slow.encode(row),)


_encode = _encoder()


def _text_without_nan(record: Mapping[str, Any], at: int) -> str:
    try:
        return "".join(_encode(_without_nan(record), 0))
    except (TypeError, ValueError, RecursionError) as error:
        raise _unfit(record, at, error) from None


def _without_nan(value: Any) -> Any:
    """The value with texts in place of NaN and the infinities, as in what the host passes to drivers."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value


@dataclasses.dataclass
class Chunk:
    """The text of some records, and the records if a value in them has a type that JSON lacks."""

    text: str
    rows: int
    typed: list[Mapping[str, Any]] | None


def chunks(rows: Iterable[Any], first_row: int = 0) -> Iterator[Chunk]:
    """The records of `rows`, which are mappings or dataclass instances, in texts of bounded size: arrays of records and
    single records, each followed by a line feed.

    # Errors
    `DataError`, which names the row and the column, for a value that JSON cannot represent.
    """
    texts: list[str] = []
    records: list[Mapping[str, Any]] = []
    size = 0
    at = first_row
    _Typed.decimals = _Typed.others = False
    remaining = iter(rows)
    while group := list(islice(remaining, GROUP)):
        if set(map(type, group)) != {dict}:
            group = [row if type(row) is dict else _record(row, at + place) for place, row in enumerate(group)]
        for text, encoded in _texts(group, at):
            texts.append(text)
            records += encoded
            size += len(text)
            if size >= CHUNK:
                yield _chunk(texts, records)
                texts, records, size = [], [], 0
        at += len(group)
    if texts:
        yield _chunk(texts, records)


def record_text(row: Any) -> str:
    """One record as JSON. It may be called while the rows of another call of `chunks` are produced."""
    met = _Typed.decimals, _Typed.others
    try:
        return "".join(chunk.text for chunk in chunks([row])).rstrip("\n")
    finally:
        _Typed.decimals, _Typed.others = met


def _texts(group: list[Any], at: int) -> Iterator[tuple[str, list[Any]]]:
    """The text of some records at once; or of each of them if one has a value that the encoder refuses, or if they are
    large."""
    if len(group) > 1:
        try:
            text = "".join(_encode(group, 0))
            if len(text) <= CHUNK:
                yield text, group
                return
        except (TypeError, ValueError, RecursionError):
            pass
    for place, record in enumerate(group):
        yield _text(record, at + place), [record]


def _text(record: Mapping[str, Any], at: int) -> str:
    try:
        return "".join(_encode(record, 0))
    except ValueError:
        return _text_without_nan(record, at)
    except (TypeError, RecursionError) as error:
        raise _unfit(record, at, error) from None


def _chunk(texts: list[str], records: list[Mapping[str, Any]]) -> Chunk:
    texts.append("")
    text = "\n".join(texts)
    if _Typed.decimals:
        text = text.replace(f'"{_Typed.mark}', "").replace(f'{_Typed.mark}"', "")
    typed = records if _Typed.others else None
    _Typed.decimals = _Typed.others = False
    return Chunk(text, len(records), typed)


def _record(row: Any, at: int) -> Mapping[str, Any]:
    if isinstance(row, dict):
        return row
    if isinstance(row, Mapping):
        return dict(row)
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    if hasattr(row, "_asdict"):
        return row._asdict()
    raise DataError(
        f"row {at} is not a dict, a dataclass or a named tuple, but of type {type(row).__name__}: {str(row)[:60]!r}"
    )


def _unfit(record: Mapping[str, Any], at: int, why: Exception) -> DataError:
    for name, value in record.items():
        try:
            _encode(_without_nan({name: value}), 0)
        except (TypeError, ValueError, RecursionError) as error:
            return DataError(f"row {at}, column `{name}`: {error}")
    return DataError(f"row {at}: {why}")


_IN_JSON = (str, int, float, bool, dict, decimal.Decimal, type(None))


def undeclared(records: list[Mapping[str, Any]], declared: Mapping[str, Type]) -> dict[str, Type]:
    """The types of the columns in `records` whose values JSON would turn into text, and that are not declared."""
    found: dict[str, Type] = {}
    for record in records:
        for name, value in record.items():
            if name in declared or name in found or isinstance(value, _IN_JSON):
                continue
            items = value
            while isinstance(items, (list, tuple)):
                items = next((item for item in items if item is not None), None)
            if isinstance(items, _IN_JSON):
                continue
            try:
                found[name] = of_value(value, f"column `{name}`")
            except DataError:
                continue
    return found


def exact_number(text: str) -> float | decimal.Decimal:
    """A number with a fraction: a `float` if that keeps all its digits, or else a `Decimal`."""
    value = float(text)
    # A float keeps 15 digits of any number, but not every exponent.
    is_short = len(text) <= 15 and "e" not in text and "E" not in text
    if is_short or decimal.Decimal(repr(value)) == decimal.Decimal(text):
        return value
    return decimal.Decimal(text)


_decode = json.JSONDecoder(parse_float=exact_number).decode


def records(text: str) -> list[dict[str, Any]]:
    """The records of a text that a reader gave: one a line. A line feed inside a text is escaped, so that all of them are
    items of one array."""
    return _decode("[" + text.rstrip().replace("\n", ",") + "]")


def parse(text: str | bytes, exact: bool = True) -> Any:
    """A JSON value. With `exact`, a number that a `float` would round is a `Decimal`."""
    return json.loads(text, parse_float=exact_number) if exact else json.loads(text)
