"""Compares a table with its copy, whose types may differ: both become trees of texts, and leaves are compared by
meaning."""

import json
import math
import re
import struct
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

# ---- Types

WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "BIGNUM"}
STAMPS = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "DATE"}
CLOCKS = {"TIME", "TIME_NS", "TIME WITH TIME ZONE"}


@dataclass(frozen=True)
class Kind:
    """A type: a leaf, or `LIST`, `ARRAY`, `STRUCT`, `MAP`, `UNION` of parts."""

    name: str
    parts: tuple["Kind", ...] = ()
    names: tuple[str, ...] = ()
    size: int = 0

    @property
    def nameless(self) -> bool:
        return "" in self.names or any(part.nameless for part in self.parts)

    @property
    def textual(self) -> str:
        """The same shape with texts as leaves, as a DuckDB type."""
        inner = [part.textual for part in self.parts]
        if self.name == "LIST":
            return f"{inner[0]}[]"
        if self.name == "ARRAY":
            return f"{inner[0]}[{self.size}]"
        if self.name == "MAP":
            return f"MAP({inner[0]}, {inner[1]})"
        if self.name in ("STRUCT", "UNION"):
            quoted = ['"' + name.replace('"', '""') + '"' for name in self.names]
            return f"{self.name}({', '.join(f'{name} {part}' for name, part in zip(quoted, inner))})"
        return "VARCHAR"


def parse(text: str) -> Kind:
    """Parses a type as printed by `describe`."""
    kind, rest = _kind(text)
    assert rest == "", (text, rest)
    return kind


def _kind(text: str) -> tuple[Kind, str]:
    word = re.match(r"TIME(STAMP)? WITH TIME ZONE|\w+", text).group()
    rest = text[len(word) :]
    kind = Kind(word)
    if word in ("STRUCT", "UNION", "MAP"):
        names, parts, rest = [], [], rest[1:]
        while True:
            if word != "MAP":
                name = re.match(r'"(?:[^"]|"")*"|[^ ]*', rest).group()
                names.append(name[1:-1].replace('""', '"') if name[:1] == '"' else name)
                rest = rest[len(name) + 1 :]
            part, rest = _kind(rest)
            parts.append(part)
            end, rest = rest[0], rest[1:].removeprefix(" ")
            if end == ")":
                break
        kind = Kind(word, tuple(parts), tuple(names))
    elif rest.startswith("("):
        inside = re.match(r"\((?:'(?:[^']|'')*'|[^')])*\)", rest).group()
        rest = rest[len(inside) :]
    while array := re.match(r"\[(\d*)\]", rest):
        kind = Kind("ARRAY" if array.group(1) else "LIST", (kind,), size=int(array.group(1) or 0))
        rest = rest[array.end() :]
    return kind, rest


# ---- Trees


def tree(text: str | None, kind: Kind):
    """The content of `to_json` of a value as `kind.textual`; a JSON leaf becomes a tree too."""
    return None if text is None else _grow(json.loads(text), kind)


class Number(str):
    """A number inside JSON, by its digits."""


def document(text: str):
    """A JSON text as a tree whose numbers keep their digits; `ValueError` if it is not JSON."""
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=Number)


def _grow(value, kind: Kind):
    if value is None:
        return None
    if kind.name in ("LIST", "ARRAY"):
        return [_grow(each, kind.parts[0]) for each in value]
    if kind.name in ("STRUCT", "UNION"):
        return {name: _grow(value[name], part) for name, part in zip(kind.names, kind.parts) if name in value}
    if kind.name == "MAP":
        return {key: _grow(each, kind.parts[1]) for key, each in value.items()}
    if kind.name == "JSON":
        return Json(value)
    return value


@dataclass(frozen=True)
class Json:
    """A JSON document in a column, which is not null even if its text is `null`."""

    text: str


# ---- Equality


class Notes(set):
    """Differences between two trees that are nevertheless equal."""


ABSENT = "objects become STRUCTs; a key that an object does not have is null"
SPELLING = "the value is the same, but not its spelling, such as `1.50` for 1.5; the extractor's README lists these spellings"
NULL = "a value that is only a JSON `null` becomes null"
TAG = "the tag of the UNION becomes a key"
WORD = "by default an empty text and words such as `NULL` and `nan` are null, even in quotes; `na_values: [\"\"]` and `quoted_na: false` keep them"


def same(was, became, kind: Kind, found: Kind, notes: Notes) -> bool:
    """Whether a value of `kind` is complete in the value that was read as `found`."""
    if isinstance(became, Json) and kind.name != "JSON":
        return same(was, document(became.text), kind, Kind("?"), notes)
    if isinstance(was, Json) and found.name == "VARCHAR" and isinstance(became, str):
        # A document's text, or a text or number that is the document.
        if became in (was.text, document(was.text)):
            return True
        try:
            return _same_document(document(was.text), document(became), Kind("?"), notes)
        except ValueError:
            return False
    if isinstance(was, Json):
        if became is None and document(was.text) is None:
            notes.add(NULL)
            return True
        return _same_document(document(was.text), became, found, notes)
    if was is None or became is None:
        return was is became
    if kind.name in ("LIST", "ARRAY"):
        part = found.parts[0] if found.name in ("LIST", "ARRAY") else Kind("?")
        if not isinstance(became, list):
            return False
        return len(was) == len(became) and all(same(one, other, kind.parts[0], part, notes) for one, other in zip(was, became))
    if kind.name in ("STRUCT", "MAP", "UNION"):
        if not isinstance(became, dict):
            return False
        if kind.name == "UNION" and found != kind:
            notes.add(TAG)
        kinds = dict(zip(kind.names, kind.parts)) if kind.names else {}
        founds = dict(zip(found.names, found.parts)) if found.names else {}
        if set(was) != set(became):
            notes.add(ABSENT)
        rest = kind.parts[1] if kind.name == "MAP" else Kind("?")
        other = found.parts[1] if found.name == "MAP" else Kind("?")
        return all(
            same(was.get(key), became.get(key), kinds.get(key, rest), founds.get(key, other), notes) for key in [*was, *(set(became) - set(was))]
        )
    return isinstance(became, (str, bool)) and same_leaf(was, became, kind.name, found.name, notes)


def _same_document(was, became, found: Kind, notes: Notes) -> bool:
    """Whether a JSON document is still complete: spaces, the order of keys and the notation of numbers do not count."""
    if isinstance(became, Json):
        became, found = document(became.text), Kind("?")
    if was is None or became is None:
        return was is became
    if isinstance(was, list):
        part = found.parts[0] if found.name in ("LIST", "ARRAY") else Kind("?")
        return isinstance(became, list) and len(was) == len(became) and all(_same_document(*pair, part, notes) for pair in zip(was, became))
    if isinstance(was, dict):
        if not isinstance(became, dict):
            return False
        if set(was) != set(became):
            notes.add(ABSENT)
        founds = dict(zip(found.names, found.parts)) if found.names else {}
        other = found.parts[1] if found.name == "MAP" else Kind("?")
        return all(_same_document(was.get(key), became.get(key), founds.get(key, other), notes) for key in [*was, *(set(became) - set(was))])
    if isinstance(was, bool) or isinstance(became, bool):
        return str(was).lower() == str(became).lower()
    if isinstance(was, Number):
        return _number(was) is not None and _number(was) == _number(became)
    if was != became and isinstance(became, str) and found.name in (*STAMPS, *CLOCKS):
        notes.add(SPELLING)
        return same_spelling(was, became, found.name)
    return was == became


def same_leaf(was: str, became: str | bool, kind: str, found: str, notes: Notes) -> bool:
    if isinstance(became, bool):
        became = str(became).lower()
    if was == became:
        return True
    if kind == found and kind not in ("FLOAT", "DOUBLE", "DECIMAL"):
        return False
    if kind in ("FLOAT", "DOUBLE"):
        return _same_float(was, became, kind)
    if kind in WHOLE or kind == "DECIMAL":
        return _number(was) is not None and _number(was) == _number(became)
    if kind in STAMPS:
        # In UTC, without the text that midnight and an empty fraction add.
        return _moment(was) == _moment(became)
    if kind in CLOCKS:
        return _clock(was) == _clock(became)
    if kind == "INTERVAL":
        return _interval(was) == _interval(became)
    if kind == "BLOB":
        return _bytes(was) == _bytes(became)
    if kind == "UUID":
        return was == became.lower()
    if kind == "GEOMETRY":
        return False
    if kind in ("VARCHAR", "ENUM") and found not in ("VARCHAR", "ENUM", "?"):
        notes.add(SPELLING)
        return same_spelling(was, became, found)
    return False


def same_spelling(was: str, became: str, found: str) -> bool:
    """Whether a text became a value with the same meaning, in a notation that inference may change."""
    if found in WHOLE or found in ("DECIMAL", "DOUBLE", "FLOAT"):
        return re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", was) is not None and same_number(was, became)
    if found in STAMPS:
        return re.match(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d|$)", was) is not None and _moment(was) == _moment(became)
    if found in CLOCKS:
        return _clock(was) == _clock(became)
    return False


def same_number(was: str, became: str) -> bool:
    """Whether two texts are the same number, digit by digit; minus zero is not zero."""
    one, other = _number(was), _number(became)
    return one is not None and other is not None and one == other and (one != 0 or one.is_signed() == other.is_signed())


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _same_float(was: str, became: str, kind: str) -> bool:
    try:
        one, other = float(was), float(became)
    except ValueError:
        return False
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    if kind == "FLOAT":
        try:
            one, other = (struct.unpack("f", struct.pack("f", each))[0] for each in (one, other))
        except OverflowError:
            return False
    return one == other and math.copysign(1, one) == math.copysign(1, other)


def _moment(text: str) -> tuple:
    """Year, month, day, and the nanoseconds of the day, in UTC if there is an offset."""
    text = text.replace("T", " ")
    if "infinity" in text or text in ("inf", "-inf"):
        return (text.replace("infinity", "inf"),)
    era = " (BC)" in text or text.endswith(" BC")
    text = text.replace(" (BC)", "").removesuffix(" BC")
    parts = re.fullmatch(r"([+-]?\d+)-(\d\d)-(\d\d)(?: (\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?)? ?(Z|[+-]\d\d(?::?\d\d)?)?", text)
    if not parts:
        return (text,)
    year, month, day, hour, minute, second, fraction, offset = parts.groups()
    nanoseconds = (int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)) * 10**9 + int((fraction or "0").ljust(9, "0")[:9])
    away = 0
    if offset and offset != "Z":
        away = (-1 if offset[0] == "-" else 1) * (int(offset[1:3]) * 60 + int(offset[-2:] if len(offset) > 3 else 0))
    year, month, day = (-int(year) if era else int(year)), int(month), int(day)
    if away:
        # Only dates of our own era are written with offsets.
        from datetime import datetime, timedelta

        moved = datetime(year, month, day) + timedelta(microseconds=nanoseconds // 1000) - timedelta(minutes=away)
        return (moved.year, moved.month, moved.day, (moved.hour * 3600 + moved.minute * 60 + moved.second) * 10**9 + moved.microsecond * 1000 + nanoseconds % 1000)
    return (year, month, day, nanoseconds)


def _clock(text: str) -> tuple | str:
    parts = re.fullmatch(r"(\d\d):(\d\d):(\d\d)(?:\.(\d+))?([+-][\d:]+)?", text)
    if not parts:
        return text
    hour, minute, second, fraction, offset = parts.groups()
    return hour, minute, second, (fraction or "").rstrip("0"), re.sub(r"(:00)+$", "", offset or "")


def _interval(text: str) -> tuple | str:
    units = {"year": (12, 0, 0), "mon": (1, 0, 0), "month": (1, 0, 0), "day": (0, 1, 0)}
    months = days = micros = 0
    for number, unit, sign, hour, minute, second, fraction in re.findall(
        r"([+-]?\d+) (year|month|mon|day)s?|([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d+))?", text
    ):
        if unit:
            months, days = months + units[unit][0] * int(number), days + units[unit][1] * int(number)
        else:
            micros = ((int(hour) * 60 + int(minute)) * 60 + int(second)) * 10**6 + int((fraction or "0").ljust(6, "0")[:6])
            micros *= -1 if sign == "-" else 1
    return months, days, micros


def _bytes(text: str) -> bytes | None:
    """A BLOB from DuckDB's text, or from PostgreSQL's hexadecimal digits."""
    if re.fullmatch(r"\\x([0-9a-f]{2})*", text) and not re.search(r"[A-F]", text):
        return bytes.fromhex(text[2:])
    return re.sub(r"\\x([0-9A-F]{2})", lambda found: chr(int(found.group(1), 16)), text).encode("latin-1", "replace")
