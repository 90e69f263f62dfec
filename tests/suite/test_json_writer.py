"""json_writer keeps every digit, and values that JSON cannot hold are counted or refused."""

import json
from decimal import Decimal

import pytest
from test_json import written


def exact(text: str):
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


JSON_VALUES = """select '{"a":12345678901234567890.123456789,"b":1.10}'::json j, [null, '0.1234567890123456789'::json] l,
    {'x': '[123456789012345678901]'::json, 'y': {'z': ['1e400'::json]}} s, map {'k': '1.10'::json} m, '{"a":
 [1,
 2]}'::json lines, null::json n"""


@pytest.mark.parametrize("form", ["newline_delimited", "array"])
def test_json_values_are_written_unchanged(project, form):
    text = written(project, JSON_VALUES, format=form).decode()
    expected = (
        '{"j":{"a":12345678901234567890.123456789,"b":1.10},"l":[null,0.1234567890123456789],"s":{"x":[123456789012345678901],"y":{"z":[1e400]}},'
        '"m":{"k":1.10},"lines":{"a":  [1,  2]},"n":null}'
    )
    assert text == (expected + "\n" if form == "newline_delimited" else f"[\n\t{expected}\n]\n")


def test_every_kind_of_value_has_its_own_text(project):
    table = """select 0.1::float f, -0.5::decimal(2,2) d, 340282366920938463463374607431768211455::uhugeint u, 1e16 e,
        1.10::decimal(38,20) w, 'a'::enum('a', 'b"') en, '\\xAB"'::blob b, '101'::bit as bit, '1 month 2 days 3.5 seconds'::interval i,
        timestamp_ns '2024-01-01 00:00:00.123456789' ns, time '24:00:00' t, '10:00:00+02'::timetz tz, union_value(n := 1.5::decimal(3,2)) un,
        map {1: 'x', 2: null} m, [[1.5, null], null, []] l, {'é "q"': 'x"', 'N': null} s, [1, null]::int[2] a, uuid '00000000-0000-0000-0000-0000000000ff' id"""
    row = exact(written(project, table).decode())
    assert row == {
        "f": Decimal("0.1"), "d": Decimal("-0.50"), "u": Decimal(2**128 - 1), "e": Decimal("1e16"), "w": Decimal("1.1"), "en": "a", "b": "\\xAB\\x22",
        "bit": "101", "i": "1 month 2 days 00:00:03.5", "ns": "2024-01-01 00:00:00.123456789", "t": "24:00:00", "tz": "10:00:00+02",
        "un": {"n": Decimal("1.50")}, "m": {"1": "x", "2": None}, "l": [[Decimal("1.5"), None], None, []], "s": {'é "q"': 'x"', "N": None},
        "a": [1, None], "id": "00000000-0000-0000-0000-0000000000ff",
    }  # fmt: skip


def test_many_columns_and_rows_keep_their_order(project):
    wide = ", ".join(f"i + {n} as c{n}" for n in range(1500))
    rows = json.loads(written(project, f"select {wide} from range(50) r(i)", format="array"))
    assert [list(row.values()) for row in rows] == [[i + n for n in range(1500)] for i in range(50)]
    rows = json.loads(written(project, "select i from range(300000) r(i)", format="array"))
    assert [row["i"] for row in rows] == list(range(300_000))


def test_formats_reach_every_column_of_times(project):
    table = "select date '2020-01-31' d, timestamp '2020-01-31 10:00:00' t, timestamptz '2020-01-31 10:00:00+02' z, [date '2020-01-31'] l"
    row = json.loads(written(project, table, date_format="%d.%m.%Y", timestamp_format="%H h"))
    assert row == {"d": "31.01.2020", "t": "10 h", "z": "08 h", "l": ["2020-01-31"]}


def test_values_that_json_lacks_are_counted(project):
    table = "select * from (values (1, 'nan'::double, {'x': ['inf'::float]}), (2, 1.5, {'x': [2]}), (3, '-inf', null)) t(n, d, s)"
    result = project.run([project.sql(table), {"id": "write", "component": "filesystem.json_writer", "config": {"path": "out.json", "on_loss": "null"}}])
    rows = [json.loads(line) for line in (project.folder / "out.json").read_text().splitlines()]
    assert [row["d"] for row in rows] == [None, 1.5, None] and rows[0]["s"] == {"x": [None]}
    told = [json.dumps(event) for event in project.events(result) if "NaN and infinities" in json.dumps(event)]
    assert len(told) == 2 and any('"d"' in event and '"2"' in event for event in told), told


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("select * from (values (1.5::double), ('inf')) t(d)", ["`d`", "row 2", "`inf`", "on_loss"]),
        ("select [{'x': 'nan'::float}] as l", ["`l`", "row 1", "nan"]),
        ("select 1 as a, '[1,]'::json as j", ["`j`", "row 1", "`[1,]`"]),
        ("select * from (values ('{}'::json), ('{\"a\": NaN}')) t(j)", ["`j`", "row 2"]),
        ("select [{'x': '[Infinity]'::json}] as j", ["`j`"]),
        ("select 'POINT(1 2)'::geometry as g", ["`g`", "GEOMETRY", "cast it"]),
        ("select map {[1]: 2} as m", ["`m`", "MAP with nested keys"]),
    ],
)
def test_types_that_json_cannot_hold_are_refused_by_name(project, table, words):
    steps = [project.sql(table), {"id": "write", "component": "filesystem.json_writer", "config": {"path": "out.json"}}]
    message = project.run(steps, expect=1)["step"]["write"]["error"]["message"]
    assert all(word in message for word in words), message
    assert not (project.folder / "out.json").exists()


def test_texts_that_look_like_faults_are_not(project):
    table = """select '{"a": "NaN, inf,]", "\\\\\\"": ",}"}'::json as j"""
    assert json.loads(written(project, table)) == {"j": {"a": "NaN, inf,]", '\\"': ",}"}}
