"""filesystem.csv_extractor either reads exactly what the file contains, or says why not."""

import bz2
import gzip
import io
import lzma
import zipfile
from decimal import Decimal

import duckdb
import pytest
from conftest import Project


class Files:
    """Files that are read by one run of osiris, with one step each."""

    def __init__(self, project: Project):
        self.project = project
        self.steps: list[dict] = []
        self.result: dict = {}

    def add(self, id: str, content: str | bytes, name: str | None = None, **config) -> None:
        name = name or f"{id}.csv"
        self.project.write(name, content)
        self.steps.append({"id": id, "component": "filesystem.csv_extractor", "needs": [], "config": {"path": name, **config}})

    def read(self, expect: int = 0) -> None:
        self.result = self.project.run(self.steps, expect=expect)

    def rows(self, id: str, sql: str = "from main") -> list[tuple]:
        return self.project.rows(self.result, id, sql)

    def types(self, id: str) -> list[str]:
        return list(self.project.types(self.result, id).values())


@pytest.fixture
def files(project) -> Files:
    return Files(project)


def column(*values: str) -> str:
    return "n,x\n" + "".join(f"{number},{value}\n" for number, value in enumerate(values))


# A column's values after many repetitions of the first, the type that it must have, and the texts of the values.
LATE = {
    "fraction": ("1", "2.75", "DOUBLE", "2.75"),
    "small-fraction": ("1", "0.49", "DOUBLE", "0.49"),
    "exponent": ("1", "1E-7", "VARCHAR", "1E-7"),
    "own-exponent": ("1", "1e-07", "DOUBLE", "1e-07"),
    "underscore": ("1", "1_000", "VARCHAR", "1_000"),
    "leading-zero": ("1", "007", "VARCHAR", "007"),
    "plus": ("1", "+5", "VARCHAR", "+5"),
    "blank": ("1", " 5", "VARCHAR", " 5"),
    "hexadecimal": ("1", "0x1F", "VARCHAR", "0x1F"),
    "beyond-64-bits": ("1", "9223372036854775808", "HUGEINT", "9223372036854775808"),
    "beyond-128-bits": ("1", "9" * 40, "VARCHAR", "9" * 40),
    "digits-beside-fraction": ("0.5", "9007199254740993", "DECIMAL(38,1)", "9007199254740993.0"),
    "overflow": ("1", "12E345", "VARCHAR", "12E345"),
    "time": ("2024-03-01", "2024-03-03 18:45:00", "TIMESTAMP", "2024-03-03 18:45:00"),
    "offset": ("2024-05-01 10:00:00", "2024-05-01 10:00:00+02:00", "VARCHAR", "2024-05-01 10:00:00+02:00"),
    "offset-after-dates": ("2024-05-01", "2024-05-01T23:00:00-05:00", "VARCHAR", "2024-05-01T23:00:00-05:00"),
    "offset-of-a-time": ("10:00:00", "10:00:00+02", "VARCHAR", "10:00:00+02"),
    "nanoseconds": ("2024-05-01 10:00:00", "2024-05-01 10:00:00.123456789", "VARCHAR", "2024-05-01 10:00:00.123456789"),
    "no-such-day": ("2024-02-29", "2023-02-29", "VARCHAR", "2023-02-29"),
    "letter": ("true", "t", "VARCHAR", "t"),
    "number-after-nothing": ("", "7", "BIGINT", "7"),
    "number-after-infinity": ("inf", "7", "DOUBLE", "7.0"),
    "minus-zero": ("1", "-0", "DOUBLE", "-0.0"),
}


def test_a_columns_type_is_one_in_which_all_its_values_survive_at_any_position(files):
    """After the sampled rows, with a small sample, with all rows, and in the first row: one type, one value."""
    for name, (first, late, _, _) in LATE.items():
        few = [first] * 20
        files.add(f"{name}-late", column(*[first] * 2_100, late, first), infer_rows=1)
        files.add(f"{name}-all", column(*few, late), infer_rows=-1)
        files.add(f"{name}-first", column(late, *few))
    files.add("far", "n,x,y\n" + "".join(f"{n},1,2024-01-01\n" for n in range(160_000)) + "160000,2.75,2024-03-03 18:45:00\n")
    files.read()
    for name, (first, late, kind, text) in LATE.items():
        for place in ("late", "all", "first"):
            step = f"{name}-{place}"
            assert files.types(step)[1] == kind, step
            assert (text,) in files.rows(step, "select distinct x::varchar from main"), step
    assert files.types("far")[1:] == ["DOUBLE", "TIMESTAMP"]
    assert files.rows("far", "select x, y::varchar from main where n = 160000") == [(2.75, "2024-03-03 18:45:00")]
    assert files.rows("far", "select sum(x) from main") == [(160_002.75,)]


def test_types_are_guessed_only_if_requested(files):
    text = "n,day,zip\n" + "1,2024-01-01,007\n" * 2_100
    files.add("fast", text + "2.75,2024-03-03,008\n", types="fast", infer_rows=1, dtype={"zip": "VARCHAR"})
    files.add("strict", text + "2.75,2024-03-03,008\n", infer_rows=1)
    files.add("kept", "n,x\n1,a\n,\n", types="fast")
    files.read()
    assert files.types("fast") == ["BIGINT", "DATE", "VARCHAR"] and files.rows("fast", "select n, zip from main where zip <> '007'") == [(3, "008")]
    assert "later values may have been rounded" in files.result["step"]["fast"]["warnings"][0]["message"]
    assert files.rows("strict", "select n, zip from main where zip <> '007'") == [(2.75, "008")] and files.result["step"]["strict"]["warnings"] == []
    assert files.rows("kept") == [(1, "a"), (None, None)]
    files.steps.clear()
    for name, text in {"ragged": "a,b\n1,x\n2\n", "long": "a,b\n1,x\n2,y,z\n", "junk": "junk\na,b\n1,x\n"}.items():
        files.add(name, text, types="fast")
    files.add("decimal", "a;b\n1,5;2\n", types="fast", decimal=",")
    files.read(expect=1)
    for name, words in {"ragged": "line 3 of", "long": "line 3 of", "junk": "line 2 of", "decimal": "`decimal` has no effect"}.items():
        assert words in files.result["step"][name]["error"]["message"], (name, files.result["step"][name]["error"])


def test_instants_in_utc_are_recognised_exactly_as_in_iso_8601(files):
    """A cheap check accepts most of them. It must not accept more than the pattern does."""
    plain = "2024-01-31T10:00:00Z"
    right = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2024-02-29T20:59:59Z", "2024-01-31 10:00:00.5+02:00"]
    wrong = [
        "2024-01-31T24:00:00Z", "0000-01-31T10:00:00Z", "2024-01-31T 1:00:00Z", "2024-01-31T\t1:00:00Z", "2024-1-31T10:00:00Z",
        "2024-01-1 T10:00:00Z", " 024-01-31T10:00:00Z", "-024-01-31T10:00:00Z", "2024-01-31T10:00:5.Z", "2024-01-31T10:00:60Z",
        "2024-01-32T10:00:00Z", "٢٠٢٤-01-31T10:00:00Z", "2024-01-31T1٠:00:00Z", "2024-01-31T10:00:00Z ", "2024-01-31T10:00:00Ｚ",
        "2024-01-31t10:00:00z", "2024-01-31T10:00Z", "2024-01-31T10:00:00ZZ", "2024-01-31T30:00:00Z", "2024-01-31T2:00:000Z",
    ]  # fmt: skip
    texts = right + wrong
    columns = [f"c{number}" for number in range(len(texts))]
    lines = [columns, [plain] * len(texts), texts, [plain] * len(texts)]
    files.add("instants", "".join(",".join(line) + "\n" for line in lines), infer_rows=1)
    files.read()
    assert files.types("instants") == ["TIMESTAMP WITH TIME ZONE"] * len(right) + ["VARCHAR"] * len(wrong)
    assert list(files.rows("instants", f"select {', '.join(columns[len(right):])} from main limit 1 offset 1")[0]) == wrong


def test_wide_files_are_reread_in_little_memory(files):
    for columns in (120, 240, 1500):
        names = ",".join(f"k{number}" for number in range(columns))
        rows = [["1", "2024-01-01", "x"]] * 200 + [["2.75", "2024-01-01 10:00:00.5", ""]]
        content = "\n".join([names, *(",".join(row * (columns // 3)) for row in rows), ""])
        files.add(f"wide-{columns}", content, infer_rows=1, decimal="." if columns > 240 else ",")
    files.read()
    assert files.types("wide-1500") == ["DOUBLE", "TIMESTAMP", "VARCHAR"] * 500
    assert files.rows("wide-1500", "select k1497, k1498::varchar, k1499 from main where k0 > 1") == [(2.75, "2024-01-01 10:00:00.5", None)]
    assert files.types("wide-240") == ["VARCHAR", "TIMESTAMP", "VARCHAR"] * 80 and files.types("wide-120") == files.types("wide-240")[:120]


def test_integers_and_amounts_keep_their_digits(files):
    files.add("refs", "ref,account,amount,cents\n18446744073709551615,409000000000000000000017,90071992547409931.25,0.10\n"
                      "18446744073709551614,-409000000000000000000018,90071992547409931.26,12.5\n9007199254740993,12,3,100\n")
    files.add("wide", "x\n12345678901234567890123456789.123456789\n0.5\n")
    files.add("too-wide", "x\n12345678901234567890123456789.1234567891\n0.5\n")
    files.add("minus-zero", "x\n12345678901234567.5\n-0.0\n")
    files.read()
    assert files.types("refs") == ["HUGEINT", "HUGEINT", "DECIMAL(38,2)", "DOUBLE"]
    assert files.rows("refs", "select ref::varchar, account::varchar, amount::varchar from main limit 2") == [
        ("18446744073709551615", "409000000000000000000017", "90071992547409931.25"),
        ("18446744073709551614", "-409000000000000000000018", "90071992547409931.26"),
    ]
    assert files.types("wide") == ["DECIMAL(38,9)"] and files.types("too-wide") == ["VARCHAR"] and files.types("minus-zero") == ["VARCHAR"]


def test_ambiguous_dates_stay_texts_unless_a_format_is_given(files):
    for name, dates in {
        "short": ["31/01/24", "05/02/24"], "ambiguous": ["03/04/2024", "05/06/2024"], "decided": ["03/04/2024", "03/25/2024"],
        "dotted": ["26.06.26", "01.07.26"], "dashed": ["05-06-24", "12-11-10"], "version": ["10.11.12", "1.2.3"],
        "timed": ["03/04/2024 10:00:00", "05/06/2024 11:00:00"], "no-zeros": ["2024-1-5", "2024-10-5"],
    }.items():
        files.add(name, "a,b\n" + "".join(f"2024-01-31,{date}\n" for date in dates))
        files.add(f"{name}-swapped", "b,a\n" + "".join(f"{date},2024-01-31\n" for date in dates))
    files.add("formatted", "a,b,c\n31/01/24,03/04/2024 10:30,x\n05/02/24,05/06/2024 11:00,y\n", dtype={"a": "DATE"}, parse_dates=["b"], date_format="%d/%m/%y", timestamp_format="%m/%d/%Y %H:%M")
    files.add("everywhere", "a,b,n\n31.01.2024,2024-01-01,1\n05.02.2024,2024-01-02,2\n", date_format="%d.%m.%Y")
    files.read()
    for step in files.steps[:16]:
        kinds = files.project.types(files.result, step["id"])
        assert kinds == {"a": "DATE", "b": "VARCHAR"}, step["id"]
    assert files.rows("formatted", "select a::varchar, b::varchar from main") == [("2024-01-31", "2024-03-04 10:30:00"), ("2024-02-05", "2024-05-06 11:00:00")]
    assert files.types("everywhere") == ["DATE", "DATE", "BIGINT"]
    assert files.rows("everywhere", "select a::varchar from main") == [("2024-01-31",), ("2024-02-05",)]


# Declared types: the text, the type, more options, and the value, or a part of the error.
DECLARED = {
    "integer": ("2.75", "INTEGER", {}, None),
    "bignum": ("1.5", "BIGNUM", {}, None),
    "bignum-whole": ("9" * 50, "BIGNUM", {}, "9" * 50),
    "timetz": ("10:00:00.1234567+02", "TIMETZ", {}, None),
    "timetz-microseconds": ("10:00:00.1234560+02", "TIMETZ", {}, "10:00:00.123456+02"),
    "interval": ("1 day 00:00:00.0000001", "INTERVAL", {}, None),
    "time-picoseconds": ("10:00:00.1234567891", "TIME_NS", {}, None),
    "integer-of-zeros": ("007", "INTEGER", {}, "7"),
    "integer-exponent": ("1e3", "INTEGER", {}, None),
    "integer-overflow": ("300", "TINYINT", {}, None),
    "timestamp-offset": ("2024-05-01 10:00:00+02:00", "TIMESTAMP", {}, None),
    "timestamp-nanoseconds": ("2024-05-01 10:00:00.1234567", "TIMESTAMP", {}, None),
    "nanoseconds": ("2024-05-01 10:00:00.123456789", "TIMESTAMP_NS", {}, "2024-05-01 10:00:00.123456789"),
    "instant": ("2024-05-01T10:00:00+02:00", "TIMESTAMPTZ", {}, "2024-05-01 08:00:00+00"),
    "date-of-two-digits": ("31/01/24", "DATE", {}, None),
    "date-and-time": ("2024-05-01 10:00:00", "DATE", {}, None),
    "date-of-another-format": ("1/2/2024", "DATE", {"date_format": "%d/%m/%Y"}, None),
    "decimal": ("1.005", "DECIMAL(10,2)", {}, None),
    "decimal-of-zeros": ("1.500", "DECIMAL(10,2)", {}, "1.50"),
    "decimal-exact": ("12345678901234567.89", "DECIMAL(38,2)", {}, "12345678901234567.89"),
    "double-overflow": ("12E345", "DOUBLE", {}, None),
    "double-underflow": ("1e-400", "DOUBLE", {}, None),
    "double-of-many-digits": ("12345678901234567.89", "DOUBLE", {}, None),
    "double-of-its-own-digits": (" +012345678901234568e0 ", "DOUBLE", {}, "1.2345678901234568e+16"),
    "double-of-zeros": ("-0.50000000000000000000", "DOUBLE", {}, "-0.5"),
    "double-infinite": ("Infinity", "DOUBLE", {}, "inf"),
    "float": ("16777217", "FLOAT", {}, None),
    "float-of-its-own-digits": ("1.6777216E7", "FLOAT", {}, "16777216.0"),
    "float-fraction": ("0.1", "FLOAT", {}, "0.1"),
    "nested": ("[2.75]", "INTEGER[]", {}, None),
    "nested-doubled-quote": ("['it''s']", "VARCHAR[]", {}, None),
    "nested-escaped-quote": (r"['it\'s']", "VARCHAR[]", {}, r"['it\'s']"),
    "nested-empty": ("['']", "VARCHAR[]", {}, "['']"),
    "nested-exact": ('"[1, 2, NULL]"', "INTEGER[]", {}, "[1, 2, NULL]"),
    "boolean": ("yes", "BOOLEAN", {}, None),
    "boolean-of-a-letter": ("t", "BOOLEAN", {}, None),
    "boolean-of-a-number": (" 1 ", "BOOLEAN", {}, "true"),
    "boolean-in-capitals": ("FALSE", "BOOLEAN", {}, "false"),
    "boolean-of-words": ("ja", "BOOLEAN", {"true_values": ["ja"], "false_values": ["nein"]}, "true"),
    "uuid": ("00000000-0000-0000-0000-00000000000", "UUID", {}, None),
    "text": ("007", "VARCHAR", {}, "007"),
    "pandas": ("7", "int64", {}, "7"),
}


def test_declared_types_neither_round_nor_drop(files):
    for name, (text, kind, more, _) in DECLARED.items():
        files.add(name, f"n,x\n1,\n2,{text}\n", dtype={"x": kind}, **more)
        files.add(f"{name}-skipped", f"n,x\n1,\n2,{text}\n", dtype={"x": kind}, on_bad_lines="skip", **more)
    files.read(expect=1)
    for name, (text, kind, _, value) in DECLARED.items():
        step = files.result["step"][name]
        skipped = files.result["step"][f"{name}-skipped"]
        assert skipped["status"] == "success"
        if value is None:
            assert step["status"] == "failed", name
            message = step["error"]["message"]
            assert step["error"]["blame"] == "user" and step["error"]["kind"] == "data"
            assert all(part in message for part in ("`x`", f"`{text}`", "row 2", kind, "na_values")), message
            assert skipped["rows"] == 1 and skipped["warnings"][0]["message"].startswith("1 row of"), skipped
        else:
            assert files.rows(name, "select x::varchar from main where n = 2") == [(value,)], name
            assert skipped["rows"] == 2 and skipped["warnings"] == [], name


def test_numbers_and_booleans_in_other_notations_are_read_if_requested(files):
    files.add("german", "a;b;c\n1.234.567,50;12;1.5\n-3,25;1.000;2\n", decimal=",", thousands=".")
    files.add("late", "a;b\n" + "1,5;1\n" * 30_000 + "1.5;2\n", decimal=",")
    files.add("declared", "a;b\n1.234,50;7\n", decimal=",", thousands=".", dtype={"a": "DECIMAL(10,2)"})
    files.add("words", "a,b,c\nyes,t,true\nno,f,False\n", true_values=["yes"], false_values=["no"])
    files.add("default", "a,b,c,d\nyes,t,true,1\nno,f,False,0\n")
    files.read()
    assert files.types("german") == ["DOUBLE", "BIGINT", "VARCHAR"]
    assert files.rows("german") == [(1234567.5, 12, "1.5"), (-3.25, 1000, "2")]
    assert files.types("late") == ["VARCHAR", "BIGINT"] and files.rows("late", "select a from main where b = 2") == [("1.5",)]
    assert files.rows("declared") == [(Decimal("1234.50"), 7)]
    assert files.types("words") == ["BOOLEAN", "VARCHAR", "VARCHAR"] and files.rows("words", "select a from main") == [(True,), (False,)]
    assert files.types("default") == ["VARCHAR", "VARCHAR", "BOOLEAN", "BIGINT"]


def test_lines_may_end_in_any_way(files):
    rows = [(1, "a"), (2, "b"), (3, "c")]
    for name, text in {
        "lf-then-crlf": "id,name\n1,a\n2,b\r\n3,c\r\n", "crlf-then-lf": "id,name\r\n1,a\r\n2,b\r\n3,c\n", "cr-and-lf": "id,name\r1,a\r2,b\n3,c\n",
        "crcrlf": "id,name\r\r\n1,a\r\r\n2,b\r\r\n3,c\r\r\n", "cr": "id,name\r1,a\r2,b\r3,c\r", "no-end": "id,name\r\n1,a\n2,b\r3,c",
    }.items():
        files.add(name, text)
    files.add("no-header", "1,a\n2,b\r\n3,c\n", header=False)
    files.add("one", "id\n1\r\n2\n3\r\n")
    files.add("late", "id,name\n" + "9,z\n" * 300_000 + "1,a\r\n2,b\n3,c\r\n")
    files.add("inside", 'id,name\r\n1,"first\nsecond"\r\n2,x\r\n')
    files.read()
    for step in ("lf-then-crlf", "crlf-then-lf", "cr-and-lf", "crcrlf", "cr", "no-end", "no-header"):
        assert files.rows(step) == rows, step
    assert files.types("lf-then-crlf") == ["BIGINT", "VARCHAR"]
    assert files.rows("one") == [(1,), (2,), (3,)]
    assert files.rows("late", "select count(*), max(length(name)) from main") == [(300_003, 1)]
    assert files.rows("inside") == [(1, "first\nsecond"), (2, "x")]


def test_long_lines_are_read_and_named_if_they_are_too_long(files):
    text = f"id,body\n1,{'x' * 2_999_999}y\n2,\"{'x' * 1_200_000}\n{'x' * 1_199_999}z\"\n3,short\n"
    files.add("long", text)
    files.add("late", "id,body\n" + "0,x\n" * 1_000_000 + f"1,{'y' * 20_000_000}\n")
    files.add("bounded", text, max_line_bytes=2_500_000)
    files.read(expect=1)
    assert files.rows("long", "select id, length(body), right(body, 1) from main order by id") == [(1, 3_000_000, "y"), (2, 2_400_001, "z"), (3, 5, "t")]
    assert files.rows("late", "select count(*), max(length(body)) from main") == [(1_000_001, 20_000_000)]
    message = files.result["step"]["bounded"]["error"]["message"]
    assert message.startswith("line 2 of `bounded.csv` is longer than 2500000 bytes") and "max_line_bytes" in message and len(message) < 300


def test_nulls_and_empty_texts_are_distinguished_if_requested(files):
    text = 'id,code\n1,""\n2,\n3,NA\n4,null\n5,x\n6,"NA"\n'
    files.add("default", text)
    files.add("only-empty", text, na_values=[""])
    files.add("exact", text, na_values=[""], quoted_na=False)
    files.add("none", text, na_values=[])
    files.add("none-rewritten", text, na_values=[], on_bad_lines="skip")
    files.add("unquoted", text, quoted_na=False)
    files.read()
    codes = lambda step: [code for _, code in files.rows(step, "from main order by id")]  # noqa: E731
    assert codes("default") == [None, None, None, None, "x", None]
    assert codes("only-empty") == [None, None, "NA", "null", "x", "NA"]
    assert codes("exact") == ["", None, "NA", "null", "x", "NA"]
    assert codes("none") == codes("none-rewritten") == ["", "", "NA", "null", "x", "NA"]
    assert codes("unquoted") == ["", None, None, None, "x", "NA"]


def zipped(*files: tuple[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, content in files:
            writer.writestr(name, content)
    return archive.getvalue()


def zstd(content: bytes, folder) -> bytes:
    with duckdb.connect() as connection:
        (folder / "plain").write_bytes(content)
        connection.execute(f"copy (select content from read_text('{folder / 'plain'}')) to '{folder / 'z.zst'}' (format csv, header false, quote '', escape '', compression zstd)")
    return (folder / "z.zst").read_bytes()


def test_every_compression_is_read_completely_or_not_at_all(files, tmp_path):
    lines = "".join(f"{n},{hash(n) * 7919 % 1000003},{n * n}\n" for n in range(20_000))
    text = ("id,a,b\n" + lines).encode()
    half = len(text) // 2
    packed = {
        "gzip": gzip.compress(text), "members": gzip.compress(text[:half]) + gzip.compress(text[half:]), "bz2": bz2.compress(text),
        "xz": lzma.compress(text), "streams": lzma.compress(text[:half]) + lzma.compress(text[half:]), "zip": zipped(("a.csv", text)),
        "zstd": zstd(text, tmp_path),
    }
    for name, content in packed.items():
        files.add(name, content, name=f"{name}.data")
        for part, cut in (("cut", len(content) * 81 // 100), ("end", len(content) - 5)):
            files.add(f"{name}-{part}", content[:cut], name=f"{name}-{part}.data", on_bad_lines="skip" if part == "cut" else "error")
        files.add(f"{name}-tail", content + b"\0\0garbage", name=f"{name}-tail.data")
        damaged = bytearray(content)
        damaged[len(content) // 3] ^= 0x20
        if name != "zstd":  # DuckDB writes no checksum
            files.add(f"{name}-damaged", bytes(damaged), name=f"{name}-damaged.data")
    files.add("two", zipped(("b.csv", b"id,a\n3,4\n"), ("a.csv", b"id,a\n1,2\n")))
    files.add("sheet", zipped(("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>")), name="book.xlsx")
    files.add("old-sheet", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    files.add("parquet", b"PAR1\x15\x04\x15\x10\0\0PAR1")
    files.add("wrong", text, compression="gzip")
    files.read(expect=1)
    for name in packed:
        assert files.rows(name, "select count(*), sum(b) from main") == [(20_000, sum(n * n for n in range(20_000)))], name
        for part in ("cut", "end", "tail") + (("damaged",) if name != "zstd" else ()):
            error = files.result["step"][f"{name}-{part}"]["error"]
            assert error, (name, part)
            message = error["message"]
            assert error["kind"] == "data" and f"`{name}-{part}.data`" in message and "on_bad_lines" not in message, message
            assert part not in ("cut", "end") or "cut short" in message, message
    assert files.rows("two") == [(1, 2), (3, 4)]
    for name, words in {"sheet": "Excel file (.xlsx)", "old-sheet": ".xls", "parquet": "filesystem.parquet_extractor", "wrong": "compression: infer"}.items():
        assert words in files.result["step"][name]["error"]["message"], name


def test_a_decompression_bomb_stops_at_the_steps_disk_limit(files):
    files.add("bomb", gzip.compress(b"a,b\n" + b"1,2\n" * 10_000_000))
    error = files.project.run(files.steps, "--spill", "10MB", expect=1)["step"]["bomb"]["error"]
    assert error["kind"] == "disk" and "--spill" in error["hint"], error


def test_encodings_are_read_strictly(files):
    text = "id;item;price\r\n1;Café crème;3,50 €\r\n2;“Spezial” – groß;12,00 €\r\n3;Œuf;1,20 €\r\n"
    wide = text.replace("Œuf", "𝄞Œuf")
    for name, content, encoding in [
        ("latin-1", text.encode("cp1252"), "latin-1"), ("iso", text.encode("cp1252"), "iso-8859-1"), ("cp1252", text.encode("cp1252"), "windows-1252"),
        ("utf-16", wide.encode("utf-16"), "utf-16"), ("le", wide.encode("utf-16-le"), "utf-16le"), ("be", wide.encode("utf-16-be"), "utf-16be"),
        ("be-marked", b"\xfe\xff" + wide.encode("utf-16-be"), "utf-16"), ("unmarked", wide.encode("utf-16-le"), "utf-16"),
        ("sig", b"\xef\xbb\xbf" + wide.encode(), "utf-8-sig"), ("marked", b"\xef\xbb\xbf" + wide.encode(), "utf-8"), ("ascii", b"id;item;price\n3;x;y\n", "ascii"),
    ]:
        files.add(name, content, encoding=encoding)
    good = len(files.steps)
    files.add("utf-8-late", b"id;item\n" + b"1;x\n" * 200_000 + b"2;\xff\n")
    files.add("utf-8-skip", b"id;item\n1;x\n2;\xff\n3;y\n", on_bad_lines="skip")
    files.add("not-ascii", "id\nx\né\n".encode(), encoding="ascii")
    files.add("undefined", b"id\nx\n\x81\n", encoding="latin-1")
    files.add("lone", "id\nx\n".encode("utf-16-le") + b"\x00\xd8x\0", encoding="utf-16le")
    files.add("other", wide.encode("utf-16"))
    files.add("other-unmarked", wide.encode("utf-16-be"))
    files.read(expect=1)
    for step in files.steps[: good - 1]:
        item = "Œuf" if step["id"] in ("latin-1", "iso", "cp1252") else "𝄞Œuf"
        assert files.rows(step["id"]) == [(1, "Café crème", "3,50 €"), (2, "“Spezial” – groß", "12,00 €"), (3, item, "1,20 €")], step["id"]
    for name, words in {
        "utf-8-late": "0xff in line 200002", "utf-8-skip": "0xff in line 3", "not-ascii": "0xc3 in line 3", "undefined": "0x81 in line 3",
        "lone": "surrogate", "other": "encoding: utf-16", "other-unmarked": "encoding: utf-16be",
    }.items():
        assert words in files.result["step"][name]["error"]["message"], files.result["step"][name]["error"]


def test_bad_lines_are_named_or_counted(files):
    text = "a,b\n1,x\n2\n3,y,z\n4,\"p\"q\n5,w\n"
    files.add("skipped", text, on_bad_lines="skip")
    files.add("good", "a,b\n1,x\n", on_bad_lines="skip")
    for name, content, _ in (bad := [
        ("few", "a,b\n1,x\n\n2\n", "line 4 of `few.csv` has 1 value, where the first line has 2"),
        ("many", "a,b\n1,x\n3,y,z\n", "line 3 of `many.csv` has 3 values"),
        ("quote", 'a,b\n1,"p"q\n', "line 2 of `quote.csv` has something behind the quote"),
        ("open-name", 'a,"b\n1,x\n2,y\n', "line 1 of `open-name.csv` has a quoted name that never ends"),
        ("quoted-name", '\na,"b"c\n1,x\n', "line 2 of `quoted-name.csv` has something behind the quote that ends a name"),
        ("open", 'a,b\n1,"\nx\n2,y\n', "line 2 of `open.csv` has a quoted value that never ends"),
        ("lines", 'a,b\n1,"x\ny"\n2\n', "line 4 of"),
        ("long", "a,b\n1\n".replace("1", "1" * 5_000), "1…`"),
    ]):
        files.add(name, content)
    files.add("blank", "\n\n")
    files.add("open-skipped", 'a,b\n1,"\nx\n2,y\n', on_bad_lines="skip")
    files.read(expect=1)
    assert files.rows("skipped") == [(1, "x"), (5, "w")]
    warning = files.result["step"]["skipped"]["warnings"][0]
    assert "3 lines" in warning["message"] and "3, 4, 5" in warning["message"], warning
    assert files.result["step"]["good"]["warnings"] == []
    assert ("lines_skipped", 3) in {(metric["metric"], metric["value"]) for metric in files.project.metrics(files.result) if metric.get("step_id") == "skipped"}
    for name, _, words in bad:
        message = files.result["step"][name]["error"]["message"]
        assert words in message and len(message) < 400, message
    assert "no header" in files.result["step"]["blank"]["error"]["message"]
    assert "never ends" in files.result["step"]["open-skipped"]["error"]["message"]


def test_the_dialect_is_inferred_or_given(files):
    rows = [(1, "x"), (2, "y")]
    for name, text, config in [
        ("semicolon", "a;b\n1;x\n2;y\n", {}), ("tab", "a\tb\n1\tx\n2\ty\n", {}), ("bar", "a|b\n1|x\n2|y\n", {}), ("said", "a\tb\n1\tx\n2\ty\n", {"delimiter": "\\t"}),
        ("comma-first", '"a","b;c"\n1,x\n2,y\n', {}), ("quotes", "a,b\n'1','x'\n2,y\n", {"quote": "'"}), ("two", "a||b\n1||x\n2||y\n", {"delimiter": "||"}),
        ("header-0", "a,b\n1,x\n2,y\n", {"header": 0}), ("header-2", "junk\n\nmore,junk\na,b\n1,x\n2,y\n", {"header": 2}), ("no-header", "1,x\n2,y\n", {"header": None}),
        ("skipped", 'junk "\na,b\n1,x\n2,y\n', {"skip_rows": 1}), ("comment", "# a,b,c\na,b\n# x\n1,x#y\n2,y\n", {"comment": "#"}), ("blank-first", "\n\na,b\n1,x\n\n2,y\n", {}),
        ("trailing", "a,b\n1,x,\n2,y,\n", {}), ("chunked", "a,b\n1,x\n2,y\n", {"chunk_size": 100}),
        ("sep", "sep=^\r\na^b\r\n1^x\r\n2^y\r\n", {}), ("sep-quoted", '"SEP=|"\na|b\n1|x\n2|y\n', {"delimiter": "|"}),
    ]:
        files.add(name, text, **config)
    files.add("escape", 'a,b\n1,"x\\"y"\n', escape="\\")
    files.add("unquoted", 'a,b\n1,"x\n', quote="")
    files.add("twice", "a,A,,a_1,a\n1,2,3,4,5\n")
    files.add("header-only", "a,b\n")
    files.add("blanks", 'a, b\n1, "x,y" \n2, z \n')
    files.add("crlf-in-quotes", 'a,b\n"x\r\ny",1\n"",2\n')
    files.add("limited", "a,b\n1,x\n2,y\n3\n4,z,w\n", limit=2)
    files.add("limited-skip", "a,b\n1,x\n2\n3,z\n4,v,w\n", limit=2, on_bad_lines="skip")
    files.add("nul", "a,b\n1,x\0y\n")
    files.add("one-blank", "a\n1\n\n2\n")
    files.add("one-blank-skipped", "a\n1\n\n2\n", skip_blank_lines=True)
    files.add("semicolons-within", 'a,"b;;"\n1,x\n2,y\n', decimal=",")
    files.add("names", "".join(f"{n}," for n in range(11)) + "\n" + "x," * 12 + "\n", header=False)
    files.read()
    for step in files.steps[:15]:
        assert files.rows(step["id"]) == rows, step["id"]
    assert files.rows("escape") == [(1, 'x"y')] and files.rows("unquoted") == [(1, '"x')]
    assert list(files.project.types(files.result, "twice")) == ["a", "A_1", "column2", "a_1_1", "a_2"]
    assert "column 2 `A` is `A_1`" in files.result["step"]["twice"]["warnings"][0]["message"]
    assert files.project.types(files.result, "header-only") == {"a": "VARCHAR", "b": "VARCHAR"}
    assert files.rows("blanks", 'select " b" from main') == [("x,y",), (" z ",)]
    assert files.rows("crlf-in-quotes") == [("x\r\ny", 1), (None, 2)]
    assert files.rows("limited") == [(1, "x"), (2, "y")] and files.rows("limited-skip") == [(1, "x"), (3, "z")]
    assert "1 line of" in files.result["step"]["limited-skip"]["warnings"][0]["message"]
    assert files.rows("nul") == [(1, "x\0y")] and files.rows("semicolons-within") == rows
    assert files.rows("one-blank") == [(1,), (None,), (2,)] and files.rows("one-blank-skipped") == [(1,), (2,)]
    assert list(files.project.types(files.result, "names"))[:2] == ["column00", "column01"]


def test_options_that_cannot_work_are_refused_before_the_file_is_read(project):
    project.write("in.csv", "a,b\n1,x\n")
    steps = [
        ({"na_values": ["a,b"], "delimiter": ","}, "`na_values`"), ({"comment": ";", "delimiter": ";"}, "`comment` and `delimiter`"),
        ({"quote": ",", "delimiter": ","}, "`quote` and `delimiter`"), ({"dtype": {"a": "NUMBER"}}, "`NUMBER`"), ({"dtype": {"c": "INTEGER"}}, "the file has: `a`, `b`"),
        ({"dtype": {"a": "INT) from x --"}}, "not a type"), ({"decimal": ",", "delimiter": ","}, "`decimal`"), ({"true_values": ["x"], "false_values": ["x"]}, "`x`"),
    ]
    result = project.run(
        [{"id": f"s{n}", "component": "filesystem.csv_extractor", "needs": [], "config": {"path": "in.csv", **config}} for n, (config, _) in enumerate(steps)],
        expect=1,
    )
    for n, (_, words) in enumerate(steps):
        error = result["step"][f"s{n}"]["error"]
        assert words in error["message"] and error["kind"] in ("config", "not-found") and error["blame"] == "user", error
    for config in ({"infer_rows": 0}, {"encoding": "koi8-r"}, {"compression": "rar"}):
        refused = project.run([{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "in.csv", **config}}], expect=2)
        assert next(iter(config)) in refused["stderr"], refused["stderr"]
