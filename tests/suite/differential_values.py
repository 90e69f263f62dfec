"""Random texts and documents for the differential fuzz, and files of them, with emphasis on edge cases."""

import bz2
import gzip
import io
import json
import lzma
import random
import zipfile
from dataclasses import dataclass

import pyarrow

LETTERS = "abcXYZ 0159.,;:-+_'\"\\/#\t|()[]{}%ß"
WIDE = LETTERS + "éüÄ€–日🦆\u2028\ufeff\u0301"


def text(rng: random.Random, letters: str = WIDE, longest: int = 8) -> str:
    return "".join(rng.choice(letters) for _ in range(rng.randint(0, longest)))


def digits(rng: random.Random, most: int) -> str:
    number = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, most))).lstrip("0")
    return number or "0"


# ---- Texts as in files: what a value of a theme looks like.


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
    """A column of texts: most of one theme, some with an intruder at any position."""
    theme = rng.choice(THEMES)
    values = [theme(rng) for _ in range(rows)]
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
        values[rng.randrange(rows)] = rng.choice(THEMES)(rng)
    for _ in range(rng.choice([0, 0, 1, 2])):
        values[rng.randrange(rows)] = rng.choice(nulls)
    return values


# ---- CSV files

# The name of an encoding in Python, and in the extractor.
ENCODINGS = {"utf-16-le": ["utf-16", "utf-16le"], "utf-16-be": ["utf-16", "utf-16be"], "cp1252": ["windows-1252", "cp1252", "latin-1"], "ascii": ["ascii", "utf-8"]}


@dataclass(frozen=True)
class Dialect:
    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    newline: str = "\n"
    encoding: str = "utf-8"
    # The value of the option.
    named: str = "utf-8"
    mark: bool = False
    final: bool = True
    always: bool = False
    # Lines before the header, and a character that starts comments.
    skipped: int = 0
    comment: str = ""
    compression: str = ""
    # Whether the extractor has to find the delimiter.
    auto: bool = False

    def config(self) -> dict:
        config = {} if self.auto or self.delimiter == "," else {"delimiter": self.delimiter}
        config |= {"quote": self.quote} if self.quote != '"' else {}
        config |= {"escape": self.escape} if self.escape else {}
        config |= {"encoding": self.named} if self.named != "utf-8" else {}
        config |= {"skip_rows": self.skipped} if self.skipped else {}
        return config | ({"comment": self.comment} if self.comment else {})

    def file(self, rng: random.Random, rows: list[list[str]], quoted: list[list[bool]]) -> bytes:
        lines = [self.delimiter.join(self.cell(*each) for each in zip(*row)) for row in zip(rows, quoted)]
        if self.comment:
            lines = [line for each in lines for line in ([f"{self.comment} {self.quote}{self.delimiter}x", each] if rng.random() < 0.1 else [each])]
        lines = ["made by hand"] * self.skipped + lines
        whole = self.newline.join(lines) + (self.newline if self.final else "")
        return (("\ufeff" if self.mark else "") + whole).encode(self.encoding)

    def quoting(self, rng: random.Random, rows: list[list[str]]) -> list[list[bool]]:
        """Which cells are in quotes."""
        return [[self.quotes(rng, value) for value in row] for row in rows]

    def quotes(self, rng: random.Random, value: str) -> bool:
        # A part of a longer delimiter next to it would be taken for its start.
        special = (self.delimiter[0], self.quote, "\r", "\n", self.comment, self.escape)
        return any(letter in value for letter in special if letter) or self.always or rng.random() < 0.05

    def cell(self, value: str, quoted: bool) -> str:
        if not quoted:
            return value
        if self.escape:
            value = value.replace(self.escape, self.escape * 2).replace(self.quote, self.escape + self.quote)
        else:
            value = value.replace(self.quote, self.quote * 2)
        return self.quote + value + self.quote


def dialect(rng: random.Random) -> Dialect:
    encoding = rng.choice(["utf-8"] * 12 + ["utf-16-le", "utf-16-be", "cp1252", "ascii"])
    named = rng.choice(ENCODINGS.get(encoding, ["utf-8"]))
    delimiter = rng.choice([",", ",", ",", ";", "\t", "|", "^", "::"])
    return Dialect(
        delimiter=delimiter,
        quote=rng.choice(['"', '"', '"', "'"]),
        escape="\\" if rng.random() < 0.08 else "",
        newline=rng.choice(["\n", "\n", "\n", "\r\n", "\r\n", "\r"]),
        encoding=encoding,
        named=named,
        mark=named == "utf-16" or (encoding in ("utf-8", "utf-16-le", "utf-16-be") and rng.random() < 0.15),
        final=rng.random() < 0.8,
        always=rng.random() < 0.1,
        skipped=rng.choice([0] * 12 + [1, 3]),
        comment=rng.choice([""] * 15 + ["#"]),
        compression=rng.choice([""] * 20 + ["gzip", "bz2", "xz", "zip", "zstd"]),
        auto=delimiter in ";\t|" and rng.random() < 0.5,
    )


def compressed(content: bytes, compression: str) -> bytes:
    if compression == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("file.txt", content)
        return packed.getvalue()
    if compression == "zstd":
        return pyarrow.compress(content, codec="zstd", asbytes=True)
    return {"": bytes, "gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[compression](content)


def header(rng: random.Random, width: int, dialect: Dialect) -> list[str]:
    """Names of columns, distinct when case is ignored; odd ones in every fifth file."""
    plain = [f"c{place}" for place in range(width)]
    if rng.random() > 0.2 or dialect.auto:
        return plain
    odd = [f"{rng.choice(['', 'Name ', 'ü', '日', 'a.b', 'select', '1_', chr(34), '(', 'x y', chr(39), ',', ';'])}{place}{rng.choice(['', '', ' z', '!', '%', chr(34) * 2])}" for place in range(width)]
    return [name if writable(name, dialect.encoding) else old for name, old in zip(odd, plain)]


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
        names = rng.sample(["a", "b", "c", "d e", "ü", "0", "x.y", 'q"', "🦆"], rng.randint(0, 3))
        return "{" + ", ".join(f"{json_text(rng, name)}: {json_value(rng, depth - 1)}" for name in names) + "}"
    return json_leaf(rng, rng.choice(LEAVES))


def json_text(rng: random.Random, value: str) -> str:
    """A JSON text; some letters are escaped unnecessarily."""
    if rng.random() < 0.05:
        return json.dumps(value, ensure_ascii=False).replace("/", "\\/").replace("a", "\\u0061")
    return json.dumps(value, ensure_ascii=rng.random() < 0.3)


def json_leaf(rng: random.Random, theme) -> str:
    value = theme(rng)
    return value if theme in (_whole, _fraction, _exponent, _json_word, _double) else json_text(rng, value)


def _json_word(rng):
    return rng.choice(["null", "true", "false", "0", "-0", "-0.0", "1.0", "1E400", "1e-400", "0.0", "[]", "{}"])


def _double(rng):
    return repr(rng.choice([rng.uniform(-10, 10), rng.gauss(0, 1) * 10 ** rng.randint(-30, 30), 5e-324, 1.7976931348623157e308, 0.1 + 0.2]))


LEAVES = [_whole, _whole, _fraction, _exponent, _double, _json_word, _day, _odd_day, _clock, _odd_clock, _moment, _moment_with_offset, _odd_moment, _truth, _word, _text]


def json_column(rng: random.Random, rows: int) -> list[str | None]:
    """A field of each record: None if the record lacks it."""
    shape = rng.random()
    if shape < 0.25:
        values = [json_value(rng) for _ in range(rows)]
    elif shape < 0.45:
        themes = [(name, rng.choice(LEAVES)) for name in rng.sample(["a", "b", "c d", "ß"], rng.randint(1, 3))]
        values = ["{" + ", ".join(f"{json_text(rng, name)}: {json_leaf(rng, theme)}" for name, theme in rng.sample(themes, len(themes)) if rng.random() > 0.1) + "}" for _ in range(rows)]
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


JSON_ENCODINGS = {"utf-16-le": ["utf-16", "utf-16le"], "utf-16-be": ["utf-16", "utf-16be"], "utf-8": ["utf-8"]}


@dataclass(frozen=True)
class Layout:
    """How records are arranged in a JSON file."""

    shape: str = "lines"
    encoding: str = "utf-8"
    named: str = "utf-8"
    mark: bool = False
    compression: str = ""
    blanks: str = " "

    def config(self) -> dict:
        config = {"encoding": self.named} if self.named != "utf-8" else {}
        return config | ({"records": ["data", "the.items"]} if self.shape == "inside" else {})

    def file(self, records: list[list[tuple[str, str]]]) -> bytes:
        gap = "" if self.blanks == " " else self.blanks
        texts = ["{" + f",{self.blanks}".join(f"{name}:{self.blanks}{value}" for name, value in record) + gap + "}" for record in records]
        whole = {
            "lines": "".join(text + "\n" for text in texts),
            "unended": "\n".join(texts),
            "windows": "\r\n".join(texts) + "\r\n",
            "stream": " ".join(texts),
            "array": "[" + ",\n".join(texts) + "]",
            "inside": '{"count": 3, "data": {"other": [{"id": 1}], "the.items": [' + ", ".join(texts) + ']}, "next": null}',
        }[self.shape]
        return (("\ufeff" if self.mark else "") + whole).encode(self.encoding)


def layout(rng: random.Random) -> Layout:
    encoding = rng.choice(["utf-8"] * 10 + ["utf-16-le", "utf-16-be"])
    named = rng.choice(JSON_ENCODINGS[encoding])
    shape = rng.choice(["lines", "lines", "unended", "windows", "stream", "array", "array", "inside"])
    blanks = rng.choice([" ", " ", "", "  ", "\t"] + (["\n  ", "\r\n"] if shape in ("array", "inside", "stream") else []))
    return Layout(shape, encoding, named, named == "utf-16" or rng.random() < 0.1, rng.choice([""] * 20 + ["gzip", "bz2", "xz", "zip", "zstd"]), blanks)


def json_names(rng: random.Random, width: int) -> list[str]:
    """Keys, distinct when case is ignored; odd ones in every fifth file."""
    if rng.random() > 0.2:
        return [f"c{place}" for place in range(width)]
    return [f"{rng.choice(['', 'Name ', 'ü', '日', 'a.b', 'select', chr(34), '🦆', 'x y', chr(92), '$', '*'])}{place}{rng.choice(['', '', ' z', '!', chr(9)])}" for place in range(width)]
