"""json_extractor only chooses types that preserve every value, and reads a file completely or not at all."""

import bz2
import datetime
import gzip
import itertools
import json
import lzma
from decimal import Decimal

import pytest
from test_json import described, extract, read


def lines(*values: str) -> str:
    return "".join(f'{{"v": {value}}}\n' for value in values)


def kinds(project, *values: str) -> tuple[str, list]:
    types, rows = described(project, lines(*values))
    return types["v"], [row[0] for row in rows]


NUMBERS = [
    (["9007199254740993", "9007199254740992", "0.5"], "DECIMAL(38,1)", [Decimal("9007199254740993.0"), Decimal("9007199254740992.0"), Decimal("0.5")]),
    (["1", "2.75"], "DOUBLE", [1.0, 2.75]),
    (["0.1", "0.30000000000000004", "1e300"], "DOUBLE", [0.1, 0.30000000000000004, 1e300]),
    (["1234567890123456.78", "1"], "DECIMAL(38,2)", [Decimal("1234567890123456.78"), Decimal("1.00")]),
    (["18446744073709551615", "0.5"], "DECIMAL(38,1)", [Decimal("18446744073709551615.0"), Decimal("0.5")]),
    (["0.1234567890123456789"], "DECIMAL(38,19)", [Decimal("0.1234567890123456789")]),
    (["-9223372036854775808", "9223372036854775807"], "BIGINT", [-(2**63), 2**63 - 1]),
    (["9223372036854775808", "-1"], "HUGEINT", [2**63, -1]),
    (["170141183460469231731687303715884105727"], "HUGEINT", [2**127 - 1]),
    (["170141183460469231731687303715884105728", "1"], "JSON", ["170141183460469231731687303715884105728", "1"]),
    (["1e400", "1"], "JSON", ["1e400", "1"]),
    (["1e-400"], "JSON", ["1e-400"]),
    (["-0", "5"], "DOUBLE", [-0.0, 5.0]),
    (["1e2", "5"], "DOUBLE", [100.0, 5.0]),
    (["[9007199254740993, 0.5]", "[]"], "DECIMAL(38,1)[]", [[Decimal("9007199254740993.0"), Decimal("0.5")], []]),
    (['{"x": [12345678901234567890.5]}'], "STRUCT(x DECIMAL(38,1)[])", [{"x": [Decimal("12345678901234567890.5")]}]),
    (["12345678901234567890.123456789", '"x"'], "JSON", ["12345678901234567890.123456789", '"x"']),
    (['{"a": {"b": 1, "b": 2}}', '{"a": {"b": 3}}'], "STRUCT(a JSON)", [{"a": '{"b":1,"b":2}'}, {"a": '{"b":3}'}]),
    (['{"a": 1.10, "b": [1e400]}', "5"], "JSON", ['{"a":1.10,"b":[1e400]}', "5"]),
]  # fmt: skip


def test_numbers_keep_their_digits_in_any_order(project):
    for values, kind, expected in NUMBERS:
        for order in list(itertools.permutations(range(len(values))))[:3]:
            found = kinds(project, *[values[place] for place in order])
            assert found == (kind, [expected[place] for place in order]), values


def test_one_column_does_not_decide_anothers_type(project):
    text = '{"a": 0.1234567890123456789, "b": 0.5, "c": 9007199254740993, "o": {"v": 1.5}}\n'
    types, rows = described(project, text)
    assert types == {"a": "DECIMAL(38,19)", "b": "DOUBLE", "c": "BIGINT", "o": 'STRUCT(v DOUBLE)'}
    assert rows == [(Decimal("0.1234567890123456789"), 0.5, 9007199254740993, {"v": 1.5})]


def test_python_s_nan_is_a_double(project):
    types, rows = described(project, json.dumps({"a": float("nan"), "b": [float("-inf"), 1]}))
    assert types == {"a": "DOUBLE", "b": "DOUBLE[]"} and str(rows) == "[(nan, [-inf, 1.0])]"


DAY = datetime.datetime(2024, 5, 2, 10)
UTC = datetime.UTC
TIMES = {
    "seconds": (["2024-05-01T10:00:00", "2024-05-02T10:00:00"], "TIMESTAMP", DAY),
    "millis": (["2024-05-01T10:00:00.312", "2024-05-02T10:00:00.312"], "TIMESTAMP", DAY.replace(microsecond=312_000)),
    "micros": (["2024-05-01 10:00:00.123456", "2024-05-02 10:00:00.123456"], "TIMESTAMP", DAY.replace(microsecond=123_456)),
    "mixed": (["2024-05-01T10:00:00", "2024-05-02 10:00:00.5"], "TIMESTAMP", DAY.replace(microsecond=500_000)),
    "minutes": (["2024-05-01T10:00", "2024-05-02T10:00"], "TIMESTAMP", DAY),
    "zulu": (["2024-05-01T10:00:00Z", "2024-05-02T10:00:00.000Z"], "TIMESTAMP WITH TIME ZONE", "2024-05-02 10:00:00+00"),
    "offset": (["2024-05-01T10:00:00Z", "2024-05-02 10:00:00+02:00"], "TIMESTAMP WITH TIME ZONE", "2024-05-02 08:00:00+00"),
    "naive_and_offset": (["2024-05-01T10:00:00", "2024-05-02T10:00:00+02:00"], "VARCHAR", "2024-05-02T10:00:00+02:00"),
    "nanos": (["2024-05-01T10:00:00", "2024-05-02T10:00:00.123456789"], "VARCHAR", "2024-05-02T10:00:00.123456789"),
    "leap": (["2024-05-01T10:00:00", "2024-05-02T10:00:60"], "VARCHAR", "2024-05-02T10:00:60"),
    "dates": (["2024-05-01", "2024-05-02"], "DATE", DAY.date()),
    "dates_and_times": (["2024-05-01", "2024-05-02T00:00:00"], "VARCHAR", "2024-05-02T00:00:00"),
    "local": (["01/05/2024", "02/05/2024"], "VARCHAR", "02/05/2024"),
    "short": (["2024-5-1", "2024-5-2"], "VARCHAR", "2024-5-2"),
    "clock": (["10:00:00", "10:00:00.25"], "TIME", datetime.time(10, 0, 0, 250_000)),
    "uuid": (["00000000-0000-0000-0000-0000000000ff"] * 2, "UUID", "00000000-0000-0000-0000-0000000000ff"),
    "upper": (["00000000-0000-0000-0000-0000000000FF"] * 2, "VARCHAR", "00000000-0000-0000-0000-0000000000FF"),
}


def test_iso_8601_gets_types_if_all_texts_have_one_form(project):
    for backwards in (False, True):
        records = [{name: values[place] for name, (values, *_) in TIMES.items()} for place in (0, 1)]
        text = "".join(json.dumps(record) + "\n" for record in (reversed(records) if backwards else records))
        result = extract(project, text)
        assert project.types(result, "read") == {name: kind for name, (_, kind, _) in TIMES.items()}
        select = ", ".join(f'"{name}"::varchar' if isinstance(last, str) else f'"{name}"' for name, (*_, last) in TIMES.items())
        rows = project.rows(result, "read", f"set timezone = 'UTC'; select {select} from main order by seconds")
        assert rows[-1] == tuple(last for *_, last in TIMES.values())


ARRAY = '[{"id": 1, "city": "Köln"}, {"id": 2, "city": "Łódź"}]'
CITIES = [(1, "Köln"), (2, "Łódź")]


def zipped(content: bytes) -> bytes:
    import io
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in.json", content)
    return file.getvalue()


def test_a_byte_order_mark_before_any_shape(project):
    pretty = json.dumps(json.loads(ARRAY), indent=4, ensure_ascii=False)
    ndjson = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in json.loads(ARRAY))
    document = f'{{"data": {{"items": {ARRAY}}}}}'
    for text, config in [
        (ARRAY, {}), (ARRAY, {"format": "array"}), ("\n  " + pretty, {}), (ndjson, {}), (ndjson, {"format": "newline_delimited"}),
        (document, {"records": "data.items"}), (ndjson, {"on_bad_lines": "skip"}),
    ]:  # fmt: skip
        marked = b"\xef\xbb\xbf" + text.encode()
        assert read(project, marked, **config) == CITIES, text
        assert read(project, gzip.compress(marked), **config) == CITIES, text
    joined = "".join(f"\ufeff{line}\n" for line in ndjson.splitlines())
    sequence = "".join(f"\x1e{line}\n" for line in ndjson.splitlines())
    for text in (joined, sequence):
        assert read(project, text) == read(project, text, on_bad_lines="skip") == CITIES, text
    assert described(project, b"\xef\xbb\xbf[]", dtype={"id": "BIGINT"}) == ({"id": "BIGINT"}, [])
    for content in (bz2.compress(ARRAY.encode()), lzma.compress(ARRAY.encode()), zipped(ARRAY.encode())):
        assert read(project, content) == CITIES
    assert read(project, ARRAY.encode("utf-16"), encoding="utf-16") == CITIES


def test_a_truncated_compressed_stream_is_an_error(project):
    many = "".join(f'{{"id": {n}, "text": "{n * 7919:x}"}}\n' for n in range(20_000)).encode()
    for whole in (gzip.compress(many), bz2.compress(many), lzma.compress(many)):
        error = extract(project, whole[: len(whole) // 2], expect=1)["step"]["read"]["error"]
        assert "in.json" in error["message"] and error["blame"] == "user", error
    for form in ("array", "lines"):
        text = "[" + ",".join(many.decode().splitlines()) if form == "array" else many.decode()[:-5]
        assert "cut off" in extract(project, text, expect=1)["step"]["read"]["error"]["message"]


DECLARED = [
    ("DECIMAL(10,2)", "12.345", "12.345, which has more digits than DECIMAL(10,2) keeps"),
    ("DECIMAL(5,2)", "1234.5", "which is beyond DECIMAL(5,2)"),
    ("BIGINT", "2.75", "which has more digits than BIGINT keeps"),
    ("TINYINT", "128", "which is beyond TINYINT"),
    ("DOUBLE", "0.1234567890123456789", "which has more digits than DOUBLE keeps"),
    ("TIMESTAMP", '"2024-05-01T10:00:00+02:00"', "whose offset TIMESTAMP would drop"),
    ("TIMESTAMP", '"2024-05-01T10:00:00.1234567"', "which has more digits than TIMESTAMP keeps"),
    ("DATE", '"2024-05-01T10:00:00"', "whose time of day DATE would drop"),
    ("DATE", '"03/04/2024"', "which does not fit its column's type, DATE"),
    ("FLOAT[3]", "[1, 2]", "which has more or fewer items than FLOAT[3]"),
    ("BIGNUM", "1.5", "which has more digits than BIGNUM keeps"),
    ("TIME_NS", '"10:00:00.1234567891"', "which does not fit its column's type, TIME_NS"),
    ("STRUCT(a BIGINT)", '{"a": 1, "b": 2}', "has `v.b`, which its column's type has no member for"),
]


def test_declared_types_never_change_a_value(project):
    for kind, value, words in DECLARED:
        message = extract(project, lines("null", value), dtype={"v": kind}, expect=1)["step"]["read"]["error"]["message"]
        assert "record 2 (line 2) has" in message and words in message and "`v" in message, message
    text = '{"d": 1234567890123456.78, "h": 12345678901234567890, "v": 1.10, "z": "2024-05-01T10:00:00Z", "tz": "2024-05-01T10:00:00+02:00", "n": "7", "e": ""}'
    dtype = {"d": "DECIMAL(18,2)", "h": "HUGEINT", "v": "VARCHAR", "z": "TIMESTAMP", "tz": "TIMESTAMPTZ", "n": "SMALLINT", "e": "DATE"}
    result = extract(project, text, dtype=dtype)
    select = "select d::varchar, h::varchar, v, z::varchar, (tz at time zone 'UTC')::varchar, n, e from main"
    assert project.rows(result, "read", select) == [
        ("1234567890123456.78", "12345678901234567890", "1.10", "2024-05-01 10:00:00", "2024-05-01 08:00:00", 7, None)
    ]
    assert any("became null" in json.dumps(event) and '"e"' in json.dumps(event) for event in project.events(result))
    long = "-" + "1234567890" * 30
    text = f'{{"b": {long}, "t": "23:59:59.123456789", "a": [1.5, null], "l": [[1, 2], [3, 4]]}}\n{{"b": "256", "a": null, "l": []}}\n'
    result = extract(project, text, dtype={"b": "BIGNUM", "t": "TIME_NS", "a": "FLOAT[2]", "l": "INTEGER[2][]"})
    assert project.types(result, "read") == {"b": "BIGNUM", "t": "TIME_NS", "a": "FLOAT[2]", "l": "INTEGER[2][]"}
    assert project.rows(result, "read", "select columns(*)::varchar from main") == [
        (long, "23:59:59.123456789", "[1.5, NULL]", "[[1, 2], [3, 4]]"), ("256", None, None, "[]")
    ]


def test_what_json_writer_writes_is_read_back_equal(project):
    table = """select 170141183460469231731687303715884105727::hugeint as hugeint, 340282366920938463463374607431768211455::uhugeint as uhugeint, -0.5::decimal(2,2) as small, 1.10::decimal(38,20) as wide, 0.1::float as float,
        1e300 as double, 'x\\x5Cy"z'::blob as blob, '\\x00\\xFF'::blob as bytes, '10101'::bit as bits, '1 year 2 days 03:04:05.678'::interval as span,
        timestamp_ns '2024-01-01 00:00:00.123456789' as ns, '10:00:00+02'::timetz as tz, time '24:00:00' as midnight, date '0044-03-15 (BC)' as ides,
        'infinity'::timestamp as ever, map {'': 1, 'A': 2, 'a': 3} as keys, uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' as id, map {1: 1.50::decimal(10,2)} as map, map {date '2024-01-01': [1]} as days,
        {'a': [{'b': '{"x":12345678901234567890.123456789}'::json}]} as nested, 'goo' || chr(0) || 'se' as text, [[1, null], []] as lists, null::utinyint as none"""
    written = project.run([project.sql(table), {"id": "write", "component": "filesystem.json_writer", "config": {"path": "out.json"}}])
    before = {row[0]: row[1] for row in project.rows(written, "source", "describe main")}
    back = project.run([{"id": "read", "component": "filesystem.json_extractor", "config": {"path": "out.json", "dtype": before}}])
    assert project.types(back, "read") == before
    assert project.rows(back, "read", "select columns(*)::varchar from main") == project.rows(written, "source", "select columns(*)::varchar from main")


def test_a_null_among_records_is_a_row(project):
    for text in ('[{"a": 1}, null, {"a": 2}]', '{"a": 1}\nnull\n{"a": 2}\n'):
        assert read(project, text) == [(1,), (None,), (2,)]
    assert read(project, '{"i": [{"a": 1}, null]}\n{"i": null}', records="i") == [(1,), (None,)]


@pytest.mark.parametrize(
    ("text", "config", "words"),
    [
        ('{"a": 1}\n{"a": tru}\n', {}, "Malformed JSON in record 2 (line 2)"),
        ('[\n{"a": 1},\n\n{"a": "\\x"}]', {}, "record 2 (line 4)"),
        ('{"a": 1} x', {}, "record 2 (line 1)"),
        ('[{"a": 1}] [2]', {}, "newline_delimited"),
        ('{"b": 1}\n{"o": 1, "a": 1, "a": 2}', {}, 'duplicate key "a"'),
        ('{"a": "\\ud800"}', {}, "lone surrogate"),
        ('{"a": 1}', {"dtype": {"a": "ENUM('x')"}}, "is not a type that a column can be declared as"),
    ],
)
def test_a_wrong_record_is_named_by_number_and_line(project, text, config, words):
    message = extract(project, text, expect=1, **config)["step"]["read"]["error"]["message"]
    assert words in message and message.startswith(("cannot read `in.json`: ", "`in.json` ")), message
