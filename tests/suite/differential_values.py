"""Random texts, documents and typed values for differential.py, with emphasis on the edges."""

import json
import random
from dataclasses import dataclass

LETTERS = "abcXYZ 0159.,;:-+_'\"\\/#\t|()[]{}%ß"
WIDE = LETTERS + "éüÄ€–日🦆\u2028\ufeff\u0301"


def text(rng: random.Random, letters: str = WIDE, longest: int = 8) -> str:
    return "".join(rng.choice(letters) for _ in range(rng.randint(0, longest)))


def digits(rng: random.Random, most: int) -> str:
    number = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, most))).lstrip("0")
    return number or "0"


# ---- Texts as files have them: what a value of a theme looks like.


def _whole(rng):
    return rng.choice(["", "", "-"]) + digits(rng, rng.choice([1, 3, 9, 18, 19, 20, 38, 39, 45])) if rng.random() > 0.1 else "0"


def _fraction(rng):
    return rng.choice(["", "", "-"]) + digits(rng, rng.choice([1, 3, 9, 17, 25])) + "." + "".join(rng.choice("0123456789") for _ in range(rng.choice([1, 2, 3, 9, 18])))


def _exponent(rng):
    return f"{rng.choice(['', '-'])}{digits(rng, 3)}{rng.choice(['', '.5', '.25'])}{rng.choice('eE')}{rng.choice(['', '+', '-'])}{rng.choice([0, 2, 7, 15, 45, 300, 345])}"


def _odd_number(rng):
    return rng.choice(
        ["007", "+1", "-0", "-0.0", "0.0", "00", "1.", ".5", "1,5", "1_000", "1 000", " 7", "7 ", "0x1F", "1e", "--1", "1.2.3", "٣", "１", "1'000", "1,234.50", "$5", "5%", "NaN", "inf", "-inf", "Infinity", "nan", "1f", "1d", "1L", "-", "+", "."]
    )  # fmt: skip


def _day(rng):
    return f"{rng.choice(['2024', '1999', '0001', '9999', '1970'])}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _odd_day(rng):
    return rng.choice(
        ["2024-02-30", "2024-2-3", "24-01-31", "31/01/24", "01/31/2024", "31.01.2024", "20240131", "2024-01", "2024-13-01", "Jan 31, 2024", "2024/01/31", "2024-W05-1", "2024-031", "12-11-10", "10.11.12", "10000-01-01", "-0044-03-15", "0044-03-15 (BC)", "today", "infinity", "epoch", "2024-01-31 "]
    )  # fmt: skip


def _clock(rng):
    return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}" + rng.choice(["", "", ".5", ".123456", ".000001"])


def _odd_clock(rng):
    return rng.choice(["10:00", "24:00:00", "25:61:00", "1:02:03", "10:00 PM", "10:00:00.1234567", "10:00:00+02", "10:00:00Z", "00:00:60", "T10:00:00"])


def _moment(rng):
    return _day(rng) + rng.choice([" ", "T"]) + _clock(rng)


def _moment_with_offset(rng):
    return _moment(rng) + rng.choice(["Z", "+00:00", "+02:00", "-05:30", "+00", "+0200", " UTC", " Europe/Berlin", "z"])


def _odd_moment(rng):
    return rng.choice(["2024-01-31 10:00", "2024-01-31T10:00Z", "2024-01-31 10:00:00.123456789", "2024-01-31T24:00:00", "2024-01-31 10", "2024-01-31 10:00:60", "2024-01-31  10:00:00", "1706695200", "2024-01-31T10:00:00.", "01/31/2024 10:00", "2024-01-31 10:00:00 +02:00", "2024-06-30T23:59:60Z"])


def _truth(rng):
    return rng.choice(["true", "false"])


def _odd_truth(rng):
    return rng.choice(["True", "TRUE", "t", "f", "T", "yes", "no", "Y", "N", "on", "0", "1", "tRuE", "FALSE"])


def _word(rng):
    return rng.choice(["null", "NULL", "NA", "n/a", "None", "-", "?", "\\N", "''", "x", "#N/A", "nil", "undefined", "A1", "DE", "{}", "[]", '{"a":1}', "00000000-0000-0000-0000-0000000000AB"])


def _text(rng):
    return text(rng)


THEMES = [_whole, _whole, _fraction, _fraction, _exponent, _odd_number, _day, _odd_day, _clock, _odd_clock, _moment, _moment_with_offset, _odd_moment, _truth, _odd_truth, _word, _text]


def texts(rng: random.Random, rows: int, nulls: list[str]) -> list[str]:
    """A column of texts: most of one theme, some with an intruder, wherever it stands."""
    theme = rng.choice(THEMES)
    values = [theme(rng) for _ in range(rows)]
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
        values[rng.randrange(rows)] = rng.choice(THEMES)(rng)
    for _ in range(rng.choice([0, 0, 1, 2])):
        values[rng.randrange(rows)] = rng.choice(nulls)
    return values


# ---- CSV files


@dataclass
class Dialect:
    delimiter: str = ","
    quote: str = '"'
    newline: str = "\n"
    encoding: str = "utf-8"
    mark: bool = False
    final: bool = True
    always: bool = False

    def config(self) -> dict:
        config = {}
        if self.delimiter != ",":
            config["delimiter"] = self.delimiter
        if self.quote != '"':
            config["quote"] = self.quote
        if self.encoding not in ("utf-8", "utf-8-sig"):
            config["encoding"] = {"utf-16-le": "utf-16", "utf-16-be": "utf-16", "cp1252": "windows-1252", "latin-1": "latin-1"}[self.encoding]
        return config

    def file(self, rng: random.Random, rows: list[list[str]]) -> bytes:
        lines = [self.delimiter.join(self.cell(rng, value) for value in row) for row in rows]
        whole = self.newline.join(lines) + (self.newline if self.final else "")
        return (("\ufeff" if self.mark else "") + whole).encode(self.encoding)

    def cell(self, rng: random.Random, value: str) -> str:
        needs = any(letter in value for letter in (self.delimiter, self.quote, "\r", "\n"))
        if needs or self.always or rng.random() < 0.05:
            return self.quote + value.replace(self.quote, self.quote * 2) + self.quote
        return value


def dialect(rng: random.Random, quotes: bool) -> Dialect:
    encoding = rng.choice(["utf-8"] * 6 + ["utf-16-le", "utf-16-be", "latin-1", "cp1252"])
    return Dialect(
        delimiter=rng.choice([",", ",", ",", ";", "\t", "|"]),
        quote=rng.choice(['"', '"', '"', "'"]) if quotes else '"',
        newline=rng.choice(["\n", "\n", "\r\n"]),
        encoding=encoding,
        mark=encoding.startswith("utf-16") or (encoding == "utf-8" and rng.random() < 0.2),
        final=rng.random() < 0.8,
        always=rng.random() < 0.1,
    )


def writable(value: str, encoding: str) -> bool:
    try:
        value.encode(encoding)
        return True
    except UnicodeEncodeError:
        return False


# ---- JSON documents, as texts with every number's own digits


def json_value(rng: random.Random, depth: int = 2) -> str:
    pick = rng.random()
    if depth and pick < 0.12:
        return "[" + ", ".join(json_value(rng, depth - 1) for _ in range(rng.randint(0, 3))) + "]"
    if depth and pick < 0.24:
        names = rng.sample(["a", "b", "c", "d e", "ü", "0"], rng.randint(0, 3))
        return "{" + ", ".join(f"{json.dumps(name)}: {json_value(rng, depth - 1)}" for name in names) + "}"
    return json_leaf(rng, rng.choice(LEAVES))


def json_leaf(rng: random.Random, theme) -> str:
    value = theme(rng)
    return value if theme in (_whole, _fraction, _exponent, _json_word) else json.dumps(value, ensure_ascii=rng.random() < 0.3)


def _json_word(rng):
    return rng.choice(["null", "true", "false", "0", "-0", "-0.0", "1.0", "1E400", "1e-400"])


LEAVES = [_whole, _whole, _fraction, _exponent, _json_word, _day, _odd_day, _clock, _moment, _moment_with_offset, _odd_moment, _truth, _word, _text]


def json_column(rng: random.Random, rows: int) -> list[str | None]:
    """A field of each record: None where the record lacks it."""
    shape = rng.random()
    if shape < 0.25:
        values = [json_value(rng) for _ in range(rows)]
    elif shape < 0.45:
        themes = [(name, rng.choice(LEAVES)) for name in rng.sample(["a", "b", "c d"], rng.randint(1, 3))]
        values = ["{" + ", ".join(f"{json.dumps(name)}: {json_leaf(rng, theme)}" for name, theme in themes if rng.random() > 0.1) + "}" for _ in range(rows)]
    elif shape < 0.6:
        theme = rng.choice(LEAVES)
        values = ["[" + ", ".join(json_leaf(rng, theme) for _ in range(rng.randint(0, 3))) + "]" for _ in range(rows)]
    else:
        theme = rng.choice(LEAVES)
        values = [json_leaf(rng, theme) for _ in range(rows)]
    for _ in range(rng.choice([0, 0, 1])):
        values[rng.randrange(rows)] = rng.choice([json_value(rng), "null"])
    if rng.random() < 0.2:
        values[rng.randrange(rows)] = None
    return values


# ---- Typed values, as DuckDB's SQL


def quoted(value: str) -> str:
    parts = value.split("\0")
    return " || chr(0) || ".join("'" + part.replace("'", "''") + "'" for part in parts)


RANGES = {"TINYINT": 7, "SMALLINT": 15, "INTEGER": 31, "BIGINT": 63, "HUGEINT": 127, "UTINYINT": -8, "USMALLINT": -16, "UINTEGER": -32, "UBIGINT": -64, "UHUGEINT": -128}


def leaf_type(rng: random.Random) -> str:
    if rng.random() < 0.2:
        width = rng.choice([1, 2, 4, 5, 9, 10, 18, 19, 30, 37, 38])
        return f"DECIMAL({width},{rng.randint(0, width)})"
    return rng.choice(
        ["BOOLEAN", *RANGES, "FLOAT", "DOUBLE", "DOUBLE", "VARCHAR", "VARCHAR", "VARCHAR", "BLOB", "BIT", "UUID", "DATE", "TIME", "TIMETZ", "TIMESTAMP", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ", "INTERVAL", "BIGNUM", "JSON", "TIME_NS"]
    )  # fmt: skip


def random_type(rng: random.Random, depth: int = 2) -> str:
    pick = rng.random()
    if depth and pick < 0.12:
        return random_type(rng, depth - 1) + "[]"
    if depth and pick < 0.2:
        return f"STRUCT(a {random_type(rng, depth - 1)}, \"b c\" {random_type(rng, depth - 1)})"
    if depth and pick < 0.24:
        return f"MAP({rng.choice(['VARCHAR', 'INTEGER', 'DATE'])}, {random_type(rng, depth - 1)})"
    return leaf_type(rng)


def sql_value(rng: random.Random, kind: str) -> str:
    """An expression of the type."""
    if rng.random() < 0.12:
        return f"null::{kind}"
    if kind.endswith("[]"):
        items = [sql_value(rng, kind[:-2]) for _ in range(rng.randint(0, 3))]
        return f"[{', '.join(items)}]::{kind}"
    if kind.startswith("STRUCT("):
        first, second = kind[len("STRUCT(a ") : -1].rsplit(' "b c" ', 1) if kind.count('"b c"') == 1 else _fields(kind)
        first = first.removesuffix(",")
        return "struct_pack(a := %s, \"b c\" := %s)" % (sql_value(rng, first), sql_value(rng, second))
    if kind.startswith("MAP("):
        key, value = kind[len("MAP(") : -1].split(", ", 1)
        keys = {"VARCHAR": ["'a'", "'x y'", "'1'"], "INTEGER": ["1", "-2", "0"], "DATE": ["date '2024-01-01'", "date '1970-01-01'"]}[key]
        some = rng.sample(keys, rng.randint(0, 2))
        return "map_from_entries([%s]::STRUCT(k %s, v %s)[])" % (", ".join(f"{{'k': {each}::{key}, 'v': {sql_value(rng, value)}}}" for each in some), key, value)
    return f"({_leaf(rng, kind)})::{kind}"


def _fields(kind: str) -> tuple[str, str]:
    """The types of the outer STRUCT's two fields."""
    inside, depth = kind[len("STRUCT(a ") : -1], 0
    for place, letter in enumerate(inside):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and inside.startswith(', "b c" ', place):
            return inside[:place], inside[place + len(', "b c" ') :]
    raise ValueError(kind)


def _leaf(rng: random.Random, kind: str) -> str:
    if kind in RANGES:
        bits = RANGES[kind]
        least, most = (0, 2**-bits - 1) if bits < 0 else (-(2**bits), 2**bits - 1)
        near = rng.choice([0, 0, least, most, 2**53, 10**15, 10**17])
        return f"'{min(max(near + rng.randint(-200, 200), least), most)}'"
    if kind.startswith("DECIMAL"):
        width, scale = (int(part) for part in kind[8:-1].split(","))
        number = digits(rng, rng.choice([1, width, width]))[:width].rjust(scale + 1, "0")
        number = number[: len(number) - scale] + ("." + number[len(number) - scale :] if scale else "")
        return f"'{rng.choice(['', '-'])}{number}'"
    if kind in ("FLOAT", "DOUBLE"):
        if rng.random() < 0.25:
            return rng.choice(["'nan'", "'inf'", "'-inf'", "'-0.0'", "'5e-324'" if kind == "DOUBLE" else "'1e-45'"])
        return f"'{rng.choice([rng.uniform(-10, 10), rng.gauss(0, 1) * 10 ** rng.randint(-30, 30), round(rng.uniform(-1000, 1000), 2), float(rng.randint(-100, 2**53))])!r}'"
    if kind == "VARCHAR":
        pick = rng.random()
        if pick < 0.4:
            return quoted(text(rng, WIDE + "\n\r" + ("\0" if rng.random() < 0.05 else "")))
        return quoted(rng.choice(THEMES)(rng))
    if kind == "BLOB":
        return "'" + "".join(f"\\x{rng.choice([0, 10, 34, 44, 92, 127, 128, 255, rng.randrange(256)]):02X}" for _ in range(rng.randint(0, 5))) + "'::blob"
    if kind == "BIT":
        return "'" + "".join(rng.choice("01") for _ in range(rng.choice([1, 3, 8, 9, 64]))) + "'"
    if kind == "UUID":
        return f"'{rng.getrandbits(128):032x}'"
    if kind == "BIGNUM":
        return f"'{rng.choice(['', '-'])}{digits(rng, rng.choice([2, 20, 60]))}'"
    if kind == "JSON":
        return "'" + json_value(rng).replace("'", "''") + "'"
    if kind == "BOOLEAN":
        return rng.choice(["true", "false"])
    if kind == "INTERVAL":
        return f"to_months({rng.choice([0, 0, 1, -14, 1200])}) + to_days({rng.choice([0, 0, 1, -31, 4000])}) + to_microseconds({rng.choice([0, 1, -1, 86400000000, -3600000001, 1234567890123])})"
    clock = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}" if rng.random() > 0.15 else "00:00:00"
    fraction = {"TIMESTAMP_S": "", "TIMESTAMP_MS": rng.choice(["", ".123"]), "TIMESTAMP_NS": rng.choice(["", ".123456", ".123456789"]), "TIME_NS": rng.choice(["", ".5", ".000000001"])}.get(kind, rng.choice(["", ".5", ".000001", ".999999"]))
    if kind in ("TIME", "TIME_NS"):
        return f"'{clock}{fraction}'"
    if kind == "TIMETZ":
        return f"'{clock}{fraction}{rng.choice(['+00', '+02', '-03:30', '+15:59:59'])}'"
    if kind in ("DATE", "TIMESTAMP", "TIMESTAMPTZ") and rng.random() < 0.06:
        return rng.choice(["'infinity'", "'-infinity'"])
    odd = ["0044-03-15 (BC)", "10000-01-01", "200000-12-31"] if kind not in ("TIMESTAMP_NS",) and rng.random() < 0.1 else []
    day = rng.choice(odd or ["2024-02-29", "1970-01-01", "1969-12-31", "2038-01-19", "1999-12-31"] + (["0001-01-01", "9999-12-31", "1582-10-10"] if kind != "TIMESTAMP_NS" else []))
    if kind == "DATE":
        return f"'{day}'"
    era = " (BC)" if "(BC)" in day else ""
    return f"'{day.removesuffix(' (BC)')}{era} {clock}{fraction}{'+00' if kind == 'TIMESTAMPTZ' else ''}'"
