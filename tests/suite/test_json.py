"""JSON files are read and written completely: every shape, late types, hostile keys, bad lines."""

import datetime
import gzip
import json
from decimal import Decimal

import duckdb
import pytest


def extract(project, text: str | bytes, name: str = "in.json", expect: int = 0, **config):
    project.write(name, text)
    return project.run([{"id": "read", "component": "filesystem.json_extractor", "config": {"path": name, **config}}], expect=expect)


def read(project, text: str | bytes, **config) -> list[tuple]:
    return project.rows(extract(project, text, **config), "read")


def described(project, text: str | bytes, **config) -> tuple[dict, list[tuple]]:
    result = extract(project, text, **config)
    return project.types(result, "read"), project.rows(result, "read")


LINES = '{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n'

OPTIONS = {
    "lines": (LINES, {}, [(1, "x"), (2, "y")]),
    "lines, said": (LINES, {"format": "newline_delimited"}, [(1, "x"), (2, "y")]),
    "array": ('[{"a": 1, "b": "x"},\n {"a": 2, "b": "y"}]', {}, [(1, "x"), (2, "y")]),
    "array, said": ('[{"a": 1}]', {"format": "array"}, [(1,)]),
    "one record": ('{"a":\n 1}', {}, [(1,)]),
    "no newline at the end": ('{"a": 1}\n{"a": 2}', {}, [(1,), (2,)]),
    "blank lines": ('{"a": 1}\n\n{"a": 2}\n\n', {}, [(1,), (2,)]),
    "crlf": ('{"a": 1}\r\n{"a": 2}\r\n', {}, [(1,), (2,)]),
    "byte order mark": ('\ufeff{"a": 1}\n', {}, [(1,)]),
    "missing and null": ('{"a": 1}\n{"b": 2}\n{"a": null, "b": null}\n', {}, [(1, None), (None, 2), (None, None)]),
    "columns": (LINES, {"columns": ["b", "a"]}, [("x", 1), ("y", 2)]),
    "limit": (LINES, {"limit": 1}, [(1, "x")]),
    "limit of none": (LINES, {"limit": 0}, []),
    "dtype": (LINES, {"dtype": {"a": "VARCHAR"}}, [("1", "x"), ("2", "y")]),
    "dtype of a missing column": ('{"a": 1}', {"dtype": {"z": "DATE"}, "columns": ["z", "a"]}, [(None, 1)]),
    "exact decimals out of text": ('{"a": "0.10"}', {"dtype": {"a": "DECIMAL(10,2)"}}, [(Decimal("0.10"),)]),
    "records": ('{"data": {"items": [{"a": 1}, {"a": 2}]}}', {"records": "data.items"}, [(1,), (2,)]),
    "records by keys": ('{"d.x": [{"a": 1}]}', {"records": ["d.x"]}, [(1,)]),
    "records with dtype": ('{"d": {"i": [{"a": 1, "b c": 2}]}}', {"records": "d.i", "dtype": {"b c": "VARCHAR"}}, [(1, "2")]),
    "records in lines": ('{"i": [{"a": 1}]}\n{"i": [{"a": 2}, {"a": 3}]}', {"records": "i", "columns": ["a"], "limit": 2}, [(1,), (2,)]),
    "non-ASCII": ('{"ключ": "日本 🦀", "é": "\\u00fc\\ud83e\\udd80"}', {}, [("日本 🦀", "ü🦀")]),
    "max_depth": ('{"a": {"b": 1}}', {"max_depth": 1}, [('{"b":1}',)]),
    "bare values": ("1\n2\n", {}, [(1,), (2,)]),
    "a NUL in a text": ('{"a": "x\\u0000y"}', {}, [("x\0y",)]),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_extractor_option(project, option):
    text, config, expected = OPTIONS[option]
    assert read(project, text, **config) == expected


@pytest.mark.parametrize(("name", "config"), [("in.json.gz", {}), ("IN.NDJSON.GZ", {}), ("in.data", {"compression": "gzip"})])
def test_extractor_reads_gzip(project, name, config):
    assert read(project, gzip.compress(b'{"a": 1}'), name=name, **config) == [(1,)]


def test_extractor_reads_zstd(project):
    with duckdb.connect() as connection:
        connection.execute(f"copy (select 1 as a) to '{project.folder / 'in.json.zst'}' (format json, compression zstd)")
    assert read(project, (project.folder / "in.json.zst").read_bytes(), name="in.json.zst") == [(1,)]


def test_nested_values_get_types(project):
    text = '{"s": {"x": 1, "y": [{"z": "q"}]}, "l": [1.5, null], "m": [1, "x"], "d": "2020-01-31", "t": "2020-01-31T10:00:00", "n": null}'
    types, rows = described(project, text)
    assert types == {"s": "STRUCT(x BIGINT, y STRUCT(z VARCHAR)[])", "l": "DOUBLE[]", "m": "JSON[]", "d": "DATE", "t": "TIMESTAMP", "n": "JSON"}
    assert rows == [({"x": 1, "y": [{"z": "q"}]}, [1.5, None], ["1", '"x"'], datetime.date(2020, 1, 31), datetime.datetime(2020, 1, 31, 10), None)]


def test_many_keys_are_many_columns_only_if_records_share_them(project):
    wide = json.dumps({f"k{i}": i for i in range(500)})
    assert read(project, wide) == [tuple(range(500))]


# A first value, one far after it, and the type that holds both unchanged.
LATE = [
    ("1", "1.5", "DOUBLE", 1.5),
    ("1", "true", "JSON", "true"),
    ("1", '"12"', "JSON", '"12"'),
    ("1", '"x"', "JSON", '"x"'),
    ("1", "12345678901234567890", "HUGEINT", 12345678901234567890),
    ("[1]", "[1.5]", "DOUBLE[]", [1.5]),
    ("null", '"x"', "VARCHAR", "x"),
    ('"2020-01-31"', '"x"', "VARCHAR", "x"),
    ('"2020-01-31"', '"2020-01-31T10:00:00"', "VARCHAR", "2020-01-31T10:00:00"),
    ("true", "1", "JSON", "1"),
    ('{"x": 1}', '{"x": 1, "y": 2}', "STRUCT(x BIGINT, y BIGINT)", {"x": 1, "y": 2}),
    ('{"x": 1}', "[1]", "JSON", "[1]"),
]


@pytest.mark.parametrize(("first", "last", "kind", "value"), LATE)
def test_a_late_value_widens_its_column_and_is_not_changed(project, first, last, kind, value):
    text = f'{{"a": {first}}}\n' * 30_000 + f'{{"a": {last}}}\n'
    result = extract(project, text)
    assert project.types(result, "read") == {"a": kind}
    assert project.rows(result, "read", "select a from main offset 30000") == [(value,)]


def test_a_late_key_is_a_column(project):
    result = extract(project, '{"a": 1}\n' * 30_000 + '{"a": 1, "b": "x"}\n')
    assert project.rows(result, "read", "select count(*), count(b) from main") == [(30_001, 1)]


def test_types_do_not_depend_on_a_sample(project):
    text = '{"a": 1}\n' * 3000 + '{"a": "x", "b": 2}\n'
    assert described(project, text, sample_size=10)[0] == {"a": "JSON", "b": "BIGINT"}


@pytest.mark.parametrize("text", ["", "[]", " \n", "\n\n", " [ ] "])
def test_no_records_make_no_rows(project, text):
    assert described(project, text) == ({"json": "JSON"}, [])
    named = {"columns": ["b", "a"], "dtype": {"a": "DECIMAL(10,2)"}}
    assert described(project, text, **named) == ({"b": "JSON", "a": "DECIMAL(10,2)"}, [])


def test_no_records_in_a_compressed_file_or_inside_a_document(project):
    assert described(project, gzip.compress(b""), name="e.json.gz") == ({"json": "JSON"}, [])
    types, rows = described(project, '{"items": []}', records="items", dtype={"a": "DATE"})
    assert (types, rows) == ({"a": "DATE"}, [])


def test_hostile_keys_stay_apart_and_quoted(project):
    record = {"a": 1, "A": 2, "": 3, 'q"q': 4, "s's": 5, "x; drop table main": 6, "json": 7, "a.b": 8, "/~": 9, " ": 10, "select": 11}
    result = extract(project, json.dumps(record))
    assert project.rows(result, "read") == [tuple(range(1, 12))]
    names = list(project.types(result, "read"))
    assert names[0:3] == ["a", "A_1", "C2"] and names[3:] == list(record)[3:]
    renamed = [warning["fields"] for warning in result["step"]["read"]["warnings"]]
    assert renamed == [{"key": "A", "column": "A_1"}, {"key": "", "column": "C2"}], result["step"]["read"]["warnings"]
    types, rows = described(project, '{"p": {"a": 1, "A": 2}, "m": [{"": 1}], "s": {"n": {"": {}}}}')
    assert types == {"p": "JSON", "m": "JSON[]", "s": "STRUCT(n JSON)"}
    assert rows == [('{"a":1,"A":2}', ['{"":1}'], {"n": '{"":{}}'})]
    chosen = read(project, json.dumps(record), columns=['q"q', "s's", "A_1"])
    assert chosen == [(4, 5, 2)]


def test_types_are_not_given_to_renamed_keys(project):
    result = extract(project, '{"a": 1, "A": 2}', dtype={"a": "VARCHAR"}, expect=1)
    error = result["step"]["read"]["error"]
    assert "`A_1`" in error["message"] and error["blame"] == "user"
    assert read(project, '{"a": 1, "a_1": 2}', dtype={"a": "VARCHAR"}) == [("1", 2)]


SKIPPED = {
    "no JSON": ('{"a": 1}\nnot json\n{"a": 2}\n', {}, [(1,), (2,)], 1),
    "an object cut off": ('{"a": 1}\n{"a":\n{"a": 3}\n', {}, [(1,), (3,)], 1),
    "more behind the object": ('{"a": 1}\n{"a": 2} x\n{"a": 3}\n', {}, [(1,), (3,)], 1),
    "no object": ('{"a": 1}\n[1]\nnull\n5\n"x"\n\n{"a": 2}\n', {}, [(1,), (2,)], 4),
    "misfits": ('{"a": 1}\n{"a": "x"}\n{"a": null}\n{}\n', {"dtype": {"a": "BIGINT"}}, [(1,), (None,), (None,)], 1),
    "a control character": ('{"a": 1}\n\x1f{"a": 2}\n{"a": "x\x1f"}\n', {}, [(1,)], 2),
    "nested": ('{"a": {"b": [1, 2]}}\n{\n', {}, [({"b": [1, 2]},)], 1),
    "columns": ('{"a": 1, "b": 2}\n-\n', {"columns": ["b"]}, [(2,)], 1),
    "large numbers": ('{"a": 18446744073709551615}\n-\n', {}, [(18446744073709551615,)], 1),
    "keys twice": ('{"a": 1}\n{"a": 2, "a": 3}\n-\n', {}, [(1,)], 2),
    "keys by case": ('{"a": 1, "A": 2, "": 3, "q\\"\'/~": 4}\n-\n', {}, [(1, 2, 3, 4)], 1),
    "nothing good": ("-\n[]\n", {"dtype": {"a": "DATE"}}, [], 2),
    "nothing": ("", {"columns": ["a", "b"]}, [], 0),
    "a long line": ('{"a": "' + "x" * 3_000_000 + '"}\n-\n', {"columns": ["a"]}, [("x" * 3_000_000,)], 1),
    "limit": ('-\n{"a": 1}\n{"a": 2}\n', {"limit": 1}, [(1,)], None),
}


@pytest.mark.parametrize("case", SKIPPED)
def test_bad_lines_are_skipped_and_counted(project, case):
    text, config, expected, skipped = SKIPPED[case]
    result = extract(project, text, on_bad_lines="skip", **config)
    assert project.rows(result, "read") == expected
    counted = [metric["value"] for metric in project.metrics(result) if metric["metric"] == "lines_skipped"]
    assert counted == ([] if skipped is None else [skipped])


def test_invalid_text_is_skipped_or_reported(project):
    text = b'{"a": "x"}\n{"a": "\xff"}\n{"a": "y"}\n'
    assert read(project, text, on_bad_lines="skip") == [("x",), ("y",)]
    assert "UTF-8" in extract(project, text, expect=1)["step"]["read"]["error"]["message"]


def test_good_lines_keep_the_types_they_would_have_otherwise(project):
    text = '{"z": 1, "b": -1, "c": 1.5, "d": "x", "e": true, "f": [-1], "g": null, "h": {"y": "q", "x": null}, "n": [null]}\n'
    assert described(project, text) == described(project, text + "-\n", on_bad_lines="skip")


def test_a_record_may_be_larger_if_configured(project):
    assert read(project, '{"a": "' + "x" * (40 << 20) + '"}', max_record_bytes=64 << 20)[0][0] == "x" * (40 << 20)


@pytest.mark.parametrize(
    ("text", "config", "words"),
    [
        ('{"a": 1}\n{"a":\n', {}, "on_bad_lines: skip"),
        ('[{"a": 1},', {}, "so the file was cut off"),
        ('[{"a": 1}, {"a":', {}, "Malformed JSON"),
        ('[{"a": 1}', {"format": "array"}, "Malformed JSON"),
        ('{"a": 1, "a": 2}', {}, 'duplicate key "a"'),
        ('{"a": 1}', {"columns": ["b"]}, "the file has: `a`"),
        ('{"Id": 1}', {"dtype": {"id": "VARCHAR"}}, "differs in case: `Id`"),
        ('{"m": {"a": 1, "a": 2}}', {"dtype": {"m": "MAP(VARCHAR, INTEGER)"}}, "record 1 (line 1) has `m.a` twice"),
        ('{"m": {"1": null, "01": 2}}', {"dtype": {"m": "MAP(INTEGER, INTEGER)"}}, "has `m.01` twice"),
        ('{"a": "x"}', {"dtype": {"a": "INTEGER"}}, "record 1 (line 1) has a text in `a`, \"x\", which does not fit its column's type, INTEGER"),
        ('{"a": 1}', {"dtype": {"a": "NUMBRE"}}, "NUMBRE"),
        ('{"a": 1}', {"records": "b"}, "`records: b`"),
        ('{"a": 1}', {"records": "a"}, "leads to a number"),
        ('{"a": 1}', {"records": "a.b"}, "`records: a.b`"),
        ('{"a": 1}', {"compression": "gzip"}, "not compressed with gzip"),
        ('{"a": "é"}'.encode("utf-16"), {}, "encoding: utf-16"),
        ('{"a": "' + "x" * (40 << 20) + '"}', {}, "max_record_bytes"),
        ('[{"a": 1}]', {"format": "array", "on_bad_lines": "skip"}, "one record a line"),
    ],
)
def test_extractor_says_what_is_wrong(project, text, config, words):
    error = extract(project, text, expect=1, **config)["step"]["read"]["error"]
    assert words in error["message"], error["message"]
    assert error["blame"] == "user" and str(project.folder) not in error["message"], error
    # An array has no lines that could be skipped.
    assert not text[:1] == "[" or "on_bad_lines: skip` leaves" not in error["message"], error


TABLE = "select * from (values (2, 'é \"q\"', null), (1, '', [1, null])) t(b, a, l)"
ROWS = [{"b": 2, "a": 'é "q"', "l": None}, {"b": 1, "a": "", "l": [1, None]}]


def written(project, table: str = TABLE, path: str = "out.json", **config) -> bytes:
    project.run([project.sql(table), {"id": "write", "component": "filesystem.json_writer", "config": {"path": path, **config}}])
    return (project.folder / path).read_bytes()


def test_writer_writes_lines_and_arrays(project):
    lines = written(project)
    assert [json.loads(line) for line in lines.decode().splitlines()] == ROWS and lines.endswith(b"}\n")
    assert list(json.loads(lines.splitlines()[0])) == ["b", "a", "l"]
    assert json.loads(written(project, format="array")) == ROWS
    assert list(json.loads(written(project, format="array", column_order="sorted"))[0]) == ["a", "b", "l"]


def test_writer_compresses(project):
    assert gzip.decompress(written(project, path="out.json.gz")) == gzip.decompress(written(project, compression="gzip"))
    assert written(project, path="out.json.zst")[:4] == b"\x28\xb5\x2f\xfd"
    assert json.loads(written(project, path="plain.json.gz", compression="none", format="array")) == ROWS


def test_writer_formats_dates(project):
    table = "select date '2020-01-31' d, timestamp '2020-01-31 10:00:00' t"
    assert json.loads(written(project, table)) == {"d": "2020-01-31", "t": "2020-01-31 10:00:00"}
    formats = {"date_format": "%d.%m.%Y", "timestamp_format": "%Y-%m-%dT%H:%M:%S.%fZ"}
    assert json.loads(written(project, table, **formats)) == {"d": "31.01.2020", "t": "2020-01-31T10:00:00.000000Z"}


def test_writer_of_no_rows(project):
    assert written(project, "select 1 as a where false") == b""
    assert json.loads(written(project, "select 1 as a where false", format="array")) == []


def test_values_that_json_lacks_become_null_if_requested(project):
    table = """select 'nan'::double n, '-inf'::float i, [1.5, 'inf'::double] l, {'x': 'nan'::double, 'y "z"': 'NaN'} s,
        map {'k': 'nan'::double} m, [{'x': ['nan'::float]}] d, null::struct(x double) o, 'NaN' t, 1e300 e"""
    text = written(project, table, on_loss="null").decode()
    row = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert row == {"n": None, "i": None, "l": [1.5, None], "s": {"x": None, 'y "z"': "NaN"}, "m": {"k": None}, "d": [{"x": [None]}], "o": None, "t": "NaN", "e": 1e300}
    text = written(project, table, on_loss={"n": "text", "l": "text", "d": "text", "default": "null"}).decode()
    assert json.loads(text) == row | {"n": "NaN", "l": [1.5, "Infinity"], "d": [{"x": ["NaN"]}]}
    dtype = {"n": "DOUBLE", "l": "DOUBLE[]", "d": "STRUCT(x FLOAT[])[]"}
    back = project.run([{"id": "read", "component": "filesystem.json_extractor", "config": {"path": "out.json", "dtype": dtype}}])
    assert project.rows(back, "read", "select n::varchar, i, l::varchar, d::varchar from main") == [("nan", None, "[1.5, inf]", "[{'x': [nan]}]")]


def test_numbers_keep_their_digits(project):
    table = "select 1234567890123456789.1234567890::decimal(38, 10) d, 9007199254740993 b, 170141183460469231731687303715884105727::hugeint h"
    assert written(project, table) == b'{"d":1234567890123456789.1234567890,"b":9007199254740993,"h":170141183460469231731687303715884105727}\n'


def test_writer_creates_folders_unless_told_not_to(project):
    config = {"path": "deep/out.json", "create_dirs": False}
    steps = [project.sql("select 1 as a"), {"id": "write", "component": "filesystem.json_writer", "config": config}]
    assert "create_dirs: true" in project.run(steps, expect=1)["step"]["write"]["error"]["hint"]
    del config["create_dirs"]
    project.run(steps)
    assert json.loads((project.folder / "deep" / "out.json").read_text()) == {"a": 1}


@pytest.mark.parametrize("form", ["newline_delimited", "array"])
def test_json_survives_a_round_trip(project, form):
    table = """select i as n, 'text ' || i || ' é' as t, [i, null] as l, {'x': i, 'y': ['a']} as s, i / 4 as d, i % 2 = 0 as b,
        date '2020-01-01' + i::int as day, timestamp '2020-01-01 10:00:00' + interval (i) hour as moment from range(3000) r(i)"""
    written(project, table, format=form)
    back = project.run([{"id": "read", "component": "filesystem.json_extractor", "config": {"path": "out.json"}}])
    assert project.rows(back, "read") == duckdb.sql(table).fetchall()
