"""Random DuckDB types, their values as SQL, and names of columns, for differential_tables.py."""

import random
import re

from differential_values import THEMES, WIDE, digits, json_value, text

RANGES = {"TINYINT": 7, "SMALLINT": 15, "INTEGER": 31, "BIGINT": 63, "HUGEINT": 127, "UTINYINT": -8, "USMALLINT": -16, "UINTEGER": -32, "UBIGINT": -64, "UHUGEINT": -128}
LEAVES = [
    "BOOLEAN", *RANGES, "FLOAT", "DOUBLE", "DOUBLE", "VARCHAR", "VARCHAR", "VARCHAR", "BLOB", "BIT", "UUID", "DATE", "TIME", "TIMETZ", "TIMESTAMP",
    "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ", "INTERVAL", "BIGNUM", "JSON", "TIME_NS",
]  # fmt: skip
# Only at the top: SQL that names one within another type is refused, since DuckDB cannot serialise it.
ENUM = "ENUM('sad', 'glücklich', '', 'NULL', '1', 'it''s')"
KEYS = {
    "VARCHAR": ["'a'", "'x y'", "'1'", "'ü'", "'A'", "''", "'NULL'"], "INTEGER": ["1", "-2", "0"], "DATE": ["date '2024-01-01'", "date '1970-01-01'"],
    "BOOLEAN": ["true", "false"], "DECIMAL(5,2)": ["1.50", "-0.01"], "UUID": ["'00000000-0000-0000-0000-0000000000AB'"],
}  # fmt: skip
ODD_NAMES = ["Zebra {}", "zébra{}", 'zebra"{}', "zebra'{}", "zebra.{}", "zebra,{}", "日本{}", "zebra`{}", "zebra;{}", "zebra({})", "zebra-{}", "zebra/{}", "zebra:{}", "zebra\\{}", "zebra%{}", "{} zebra", "zebra{{{}}}", "zebra&{}", "zebra${}", "zebra=#{}", "ZEBRA{}"]


def names(rng: random.Random, count: int) -> list[str]:
    """Names of which none is a prefix of another; odd ones in every fifth table."""
    odd = rng.random() < 0.2
    return [(rng.choice(ODD_NAMES) if odd else "zebra{}").format(f"{place:03}") for place in range(count)]


def leaf_type(rng: random.Random) -> str:
    if rng.random() < 0.2:
        width = rng.choice([1, 2, 4, 5, 9, 10, 18, 19, 30, 37, 38])
        return f"DECIMAL({width},{rng.choice([0, width, rng.randint(0, width)])})"
    return rng.choice(LEAVES)


def random_type(rng: random.Random, depth: int = 2) -> str:
    pick = rng.random()
    if depth and pick < 0.1:
        return random_type(rng, depth - 1) + "[]"
    if depth and pick < 0.12:
        return random_type(rng, depth - 1) + "[2]"
    if depth and pick < 0.19:
        return f"STRUCT(a {random_type(rng, depth - 1)}, \"b c\" {random_type(rng, depth - 1)})"
    if depth and pick < 0.23:
        return f"MAP({rng.choice(list(KEYS))}, {random_type(rng, depth - 1)})"
    if depth == 2 and pick < 0.26:
        return ENUM
    if depth and pick < 0.27:
        return "UNION(num INTEGER, txt VARCHAR)"
    return leaf_type(rng)


def sql_value(rng: random.Random, kind: str) -> str:
    """An expression of the type. There is no minus zero within another type: in the databases' JSON it is zero."""
    value = any_value(rng, kind)
    return value if kind in ("FLOAT", "DOUBLE") else value.replace("('-0.0')::", "('0.0')::")


def any_value(rng: random.Random, kind: str) -> str:
    if rng.random() < 0.12:
        return f"null::{kind}"
    if kind.endswith("[]"):
        items = [sql_value(rng, kind[:-2]) for _ in range(rng.randint(0, 3))]
        return f"[{', '.join(items)}]::{kind}"
    if kind.endswith("[2]"):
        return f"array_value({sql_value(rng, kind[:-3])}, {sql_value(rng, kind[:-3])})::{kind}"
    if kind.startswith("STRUCT("):
        first, second = _fields(kind)
        return "struct_pack(a := %s, \"b c\" := %s)" % (sql_value(rng, first), sql_value(rng, second))
    if kind.startswith("MAP("):
        key = next(key for key in KEYS if kind.startswith(f"MAP({key}, "))
        value = kind[len(f"MAP({key}, ") : -1]
        some = rng.sample(KEYS[key], rng.randint(0, min(3, len(KEYS[key]))))
        return "map_from_entries([%s]::STRUCT(k %s, v %s)[])" % (", ".join(f"{{'k': {each}::{key}, 'v': {sql_value(rng, value)}}}" for each in some), key, value)
    if kind.startswith("UNION("):
        return rng.choice(["union_value(num := 1)", "union_value(txt := '1')", "union_value(txt := 'x')"]) + f"::{kind}"
    return f"({_leaf(rng, kind)})::{kind}"


def _fields(kind: str) -> tuple[str, str]:
    """The types of the outer STRUCT's two fields."""
    inside, depth = kind[len("STRUCT(a ") : -1], 0
    for place, letter in enumerate(inside):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and inside.startswith(', "b c" ', place):
            return inside[:place], inside[place + len(', "b c" ') :]
    raise ValueError(kind)


def family(kind: str) -> str:
    """A type without its numbers and the types of its parts."""
    return re.sub(r"\(.*\)", "()", kind)


def shape(why: str) -> str:
    """A message without the parts that depend on the value."""
    return re.sub(r"'[^']*'|`[^`]*`|[\d.]+", "…", why)[:120]


def quoted(value: str) -> str:
    parts = value.split("\0")
    return " || chr(0) || ".join("'" + part.replace("'", "''") + "'" for part in parts)


def _leaf(rng: random.Random, kind: str) -> str:
    if kind in RANGES:
        bits = RANGES[kind]
        least, most = (0, 2**-bits - 1) if bits < 0 else (-(2**bits), 2**bits - 1)
        near = rng.choice([0, 0, least, most, 2**53, 10**15, 10**17])
        return f"'{min(max(near + rng.randint(-200, 200), least), most)}'"
    if kind.startswith("ENUM"):
        return rng.choice(["'sad'", "'glücklich'", "''", "'NULL'", "'1'", "'it''s'"])
    if kind.startswith("DECIMAL"):
        width, scale = (int(part) for part in kind[8:-1].split(","))
        number = rng.choice([digits(rng, rng.choice([1, width, width]))[:width], "9" * width, "1", "0"]).rjust(scale + 1, "0")
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
    return f"'{day.removesuffix(' (BC)')}{era} {clock}{fraction}{rng.choice(['+00', '+00', '+05:30', '-08', '+14']) if kind == 'TIMESTAMPTZ' else ''}'"
