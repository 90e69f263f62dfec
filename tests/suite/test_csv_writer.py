"""filesystem.csv_writer writes every value, and filesystem.csv_extractor reads it back."""

import csv
import io
import json

import duckdb
import pytest


def write(id: str, source: str = "source", **config) -> dict:
    return {"id": id, "component": "filesystem.csv_writer", "needs": [source], "config": {"path": f"{id}.csv", "column_order": "source", **config}}


def read(id: str, path: str, **config) -> dict:
    return {"id": id, "component": "filesystem.csv_extractor", "needs": [], "config": {"path": path, **config}}


TABLE = """select * from (values (1, 'x;y', 1.5::double, null, date '2024-01-31'), (2, 'it''s "q"', -0.25, '', null),
           (3, 'back\\slash', 1e300, 'NULL', date '1999-12-31')) t("n", "text; here", "d", "e", "day") order by n"""


def test_every_option_has_its_effect(project):
    steps = {
        "quote": ({"quotechar": "'", "header": False}, "1,x;y,1.5,,2024-01-31\n2,'it''s \"q\"',-0.25,'',\n3,back\\slash,1e+300,NULL,1999-12-31\n"),
        "nonnumeric": ({"quoting": "nonnumeric", "chunk_size": 10}, '"n","text; here","d","e","day"\n1,"x;y",1.5,,"2024-01-31"\n2,"it\'s ""q""",-0.25,"",\n3,"back\\slash",1e+300,"NULL","1999-12-31"\n'),
        "escape": ({"escapechar": "\\", "header": False}, '1,x;y,1.5,,2024-01-31\n2,"it\'s \\"q\\"",-0.25,"",\n3,"back\\\\slash",1e+300,NULL,1999-12-31\n'),
        "null": ({"na_rep": "NULL", "header": False}, '1,x;y,1.5,NULL,2024-01-31\n2,"it\'s ""q""",-0.25,"",NULL\n3,back\\slash,1e+300,"NULL",1999-12-31\n'),
        "decimal": ({"decimal": ",", "delimiter": ";", "header": False, "date_format": "%d.%m.%Y"}, '1;"x;y";1,5;;31.01.2024\n2;"it\'s ""q""";-0,25;"";\n3;back\\slash;1e+300;NULL;31.12.1999\n'),
        "cr": ({"line_terminator": "\r", "header": False}, '1,x;y,1.5,,2024-01-31\r2,"it\'s ""q""",-0.25,"",\r3,back\\slash,1e+300,NULL,1999-12-31\r'),
    }
    project.run([project.sql(TABLE), *(write(id, **config) for id, (config, _) in steps.items())])
    for id, (_, expected) in steps.items():
        assert (project.folder / f"{id}.csv").read_bytes().decode() == expected, id


def test_a_decimal_without_whole_digits_has_a_zero_before_its_point(project):
    table = "select * from (values (-0.01879::decimal(5,5)), (0.5), (0), (null)) t(d)"
    project.run([project.sql(table), write("point", header=False), write("comma", header=False, decimal=",", delimiter=";"), write("quoted", header=False, quoting="nonnumeric")])
    texts = {id: (project.folder / f"{id}.csv").read_text() for id in ("point", "comma", "quoted")}
    assert texts["point"] == texts["quoted"] == "-0.01879\n0.50000\n0.00000\n\n"
    assert texts["comma"] == texts["point"].replace(".", ",")
    back = project.run([read("read", "point.csv"), read("german", "comma.csv", decimal=",", delimiter=";", header=False)])
    assert project.types(back, "german") == {"column0": "DOUBLE"}


def test_a_character_that_the_encoding_lacks_is_named(project):
    project.write("keep.csv", "old")
    steps = [project.sql("select i as n, case when i = 3000 then 'ł€' else 'é' end as word from range(1, 4001) t(i)")]
    steps += [write("latin-1", encoding="latin-1"), write("windows", encoding="windows-1252"), write("ascii", encoding="ascii"), write("utf-16be", encoding="utf-16be", newline="crlf")]
    steps += [project.sql("select 1 as \"ł\"", id="names"), write("header", "names", encoding="latin-1")]
    result = project.run(steps, expect=1)
    for id, row, letter in [("latin-1", 3000, "ł"), ("windows", 3000, "ł"), ("ascii", 1, "é")]:
        message = result["step"][id]["error"]["message"]
        assert f"column `word` has the character `{letter}`" in message and f"in row {row}" in message and "encoding: utf-8" in message, message
        assert not (project.folder / f"{id}.csv").exists()
    assert "the header has the character `ł`" in result["step"]["header"]["error"]["message"]
    assert (project.folder / "utf-16be.csv").read_bytes().decode("utf-16-be").count("\r\n") == 4001


HARD = ["", " ", " a", "a ", '"', '""', 'a"b', ' "a"', "a\nb", "a\r\nb", "a\rb", ",", ";", "\t", "\\", "\\N", "NULL", "NA", "nan", "#x", "007", "1e5", "true", "2024-01-31", "é", "𝄞", "\0", "-", "x" * 3_000_000]


def test_texts_are_unchanged_after_a_round_trip(project):
    rows = [{"n": n, "word": word} for n, word in enumerate([*HARD, None])]
    project.write("in.json", "\n".join(json.dumps(row) for row in rows))
    source = {"id": "source", "component": "filesystem.json_extractor", "needs": [], "config": {"path": "in.json", "dtype": {"word": "VARCHAR"}}}
    options = {
        "plain": {}, "crlf": {"newline": "crlf"}, "all": {"quoting": "all"}, "semicolon": {"delimiter": ";"}, "single": {"quotechar": "'"}, "escaped": {"escapechar": "\\"},
        "utf-16": {"encoding": "utf-16"}, "nonnumeric": {"quoting": "nonnumeric"}, "bar": {"delimiter": "|", "newline": "cr"},
    }
    shared = lambda config: {name: value for name, value in config.items() if name in ("delimiter", "encoding")} | ({"quote": "'"} if "quotechar" in config else {}) | ({"escape": "\\"} if "escapechar" in config else {})  # noqa: E731
    project.run([source, *(write(id, **config) for id, config in options.items())])
    result = project.run([read(id, f"{id}.csv", na_values=[""], quoted_na=False, **shared(config)) for id, config in options.items()])
    for id in options:
        found = project.rows(result, id, "select word from main order by n")
        assert found == [(word,) for word in [*HARD, None]], id
    with open(project.folder / "plain.csv", encoding="utf-8", newline="") as file:
        csv.field_size_limit(10_000_000)
        assert [row[1] or None for row in csv.reader(file)][1:] == [word or None for word in [*HARD, None]]


def test_odd_names_and_single_columns_survive_a_round_trip(project):
    names = 'select 1 as "a,b", 2 as "say ""hi""", 3 as " blank ", 4 as "two\nlines", 5 as "ü", 6 as "a.b"'
    single = "select * from (values ('x'), (null), (''), (null)) t(v)"
    project.run([project.sql(names), write("names"), write("names-crlf", newline="crlf"), project.sql(single, id="one"), write("single", "one")])
    result = project.run([read("names", "names.csv"), read("names-crlf", "names-crlf.csv"), read("single", "single.csv", na_values=[""], quoted_na=False)])
    for id in ("names", "names-crlf"):
        assert list(project.types(result, id)) == ["a,b", 'say "hi"', " blank ", "two\nlines", "ü", "a.b"], id
    assert project.rows(result, "single") == [("x",), (None,), ("",), (None,)]


def test_nested_values_are_written_as_json(project):
    table = "select [1, null]::integer[] as l, {'a': 'x,y', 'b': [date '2024-01-31']} as s, map {'k': 0.1::double, 'n': 'nan'::double} as m, [{'d': 12345678901234567890.12::decimal(38, 2)}] as d"
    project.run([project.sql(table), write("json"), write("own", nested="duckdb", header=False)])
    _, row = csv.reader(io.StringIO((project.folder / "json.csv").read_text()))
    assert [json.loads(text) for text in row[:3]] == [[1, None], {"a": "x,y", "b": ["2024-01-31"]}, {"k": 0.1, "n": "NaN"}]
    assert "12345678901234567890.12" in row[3]
    assert next(csv.reader(io.StringIO((project.folder / "own.csv").read_text())))[1] == "{'a': 'x,y', 'b': [2024-01-31]}"


@pytest.mark.parametrize("config", [{}, {"newline": "crlf", "encoding": "utf-16"}], ids=["plain", "crlf"])
def test_every_declared_type_survives_a_round_trip(project, config):
    """All of test_all_types(): if declared, every column except unions is equal to the last bit."""
    with duckdb.connect() as connection:
        kinds = {name: kind for name, kind, *_ in connection.execute("describe from test_all_types()").fetchall()}
    unions = [name for name, kind in kinds.items() if "UNION" in kind]
    excluded = ", ".join(f'"{name}"' for name in unions)
    project.run([project.sql(f"select * exclude ({excluded}) from test_all_types()"), write("all", nested="duckdb", **config)])
    dtype = {name: kind for name, kind in kinds.items() if name not in unions}
    more = {"encoding": "utf-16"} if config else {}
    result = project.run([read("all", "all.csv", dtype=dtype, na_values=[""], quoted_na=False, **more)])
    with project.database(result, "all") as connection:
        connection.execute("set timezone = 'UTC'")
        for name in dtype:
            wrong = connection.execute(f'(select "{name}"::varchar from test_all_types() except all select "{name}"::varchar from main)').fetchall()
            assert wrong == [], (name, kinds[name], str(wrong)[:200])
