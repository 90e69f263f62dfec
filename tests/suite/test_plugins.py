"""Each option of each driver does what its README says."""

import gzip
import re

import duckdb
import pytest
from conftest import ROOT


def extract(project, text: str | bytes, name: str = "in.csv", expect: int = 0, **config):
    project.write(name, text)
    return project.run([{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": name, **config}}], expect=expect)


def read(project, text: str | bytes, **config) -> list[tuple]:
    return project.rows(extract(project, text, **config), "read")


CSV_OPTIONS = {
    "plain": ("a,b\n1,x\n2,y\n", {}, [(1, "x"), (2, "y")]),
    "delimiter": ("a;b\n1;x\n", {"delimiter": ";"}, [(1, "x")]),
    "delimiter found out": ("a|b\n1|x\n2|y\n", {"delimiter": "auto"}, [(1, "x"), (2, "y")]),
    "no header": ("1,x\n2,y\n", {"header": False}, [(1, "x"), (2, "y")]),
    "columns": ("a,b,c\n1,x,z\n", {"columns": ["c", "a"]}, [("z", 1)]),
    "skip_rows": ("junk\nmore, junk\na,b\n1,x\n", {"skip_rows": 2}, [(1, "x")]),
    "limit": ("a\n1\n2\n3\n", {"limit": 2}, [(1,), (2,)]),
    "dtype": ("a,b\n1,2\n", {"dtype": {"a": "VARCHAR"}}, [("1", 2)]),
    "na_values": ("a,b\n-,NA\n2,x\n", {"na_values": ["-"]}, [(None, "NA"), (2, "x")]),
    "default na_values": ("a,b\nNA,NULL\n2,\n", {}, [(None, None), (2, None)]),
    "blank lines": ("a,b\n1,x\n\n2,y\n", {}, [(1, "x"), (2, "y")]),
    "blank lines kept": ("a\n1\n\n2\n", {"skip_blank_lines": False}, [(1,), (None,), (2,)]),
    "comment": ("# about\na,b\n1,x\n# more\n2,y\n", {"comment": "#"}, [(1, "x"), (2, "y")]),
    "bad lines skipped": ("a,b\n1,x\n2\n3,y,z\n4,w\n", {"on_bad_lines": "skip"}, [(1, "x"), (4, "w")]),
    "quotes": ('a,b\n1,"x, ""y""\nz"\n', {}, [(1, 'x, "y"\nz')]),
    "crlf": ("a,b\r\n1,x\r\n", {}, [(1, "x")]),
    "byte order mark": ("\ufeffa,b\n1,x\n", {"columns": ["a"]}, [(1,)]),
    "latin-1": ("a\né\n".encode("latin-1"), {"encoding": "latin-1"}, [("é",)]),
    "dates as text": ("d\n2020-01-31\n", {"parse_dates": False}, [("2020-01-31",)]),
}


@pytest.mark.parametrize("option", CSV_OPTIONS)
def test_csv_extractor_option(project, option):
    text, config, expected = CSV_OPTIONS[option]
    assert read(project, text, **config) == expected


def test_csv_extractor_infers_dates_if_requested(project):
    text = "day,when,other\n2020-01-31,2020-01-31 10:00:00,2020-02-01\n"
    assert project.types(extract(project, text), "read") == {"day": "DATE", "when": "TIMESTAMP", "other": "DATE"}
    listed = project.types(extract(project, text, parse_dates=["day"]), "read")
    assert listed == {"day": "TIMESTAMP", "when": "VARCHAR", "other": "VARCHAR"}


@pytest.mark.parametrize(("name", "config"), [("in.csv.gz", {}), ("in.data", {"compression": "gzip"})])
def test_csv_extractor_reads_gzip(project, name, config):
    assert read(project, gzip.compress(b"a\n1\n"), name=name, **config) == [(1,)]


def test_csv_extractor_reads_zstd(project):
    with duckdb.connect() as connection:
        connection.execute(f"copy (select 1 as a) to '{project.folder / 'in.csv.zst'}' (format csv, compression zstd)")
    text = (project.folder / "in.csv.zst").read_bytes()
    assert read(project, text, name="in.csv.zst") == [(1,)]


@pytest.mark.parametrize(
    ("text", "config", "words"),
    [
        ("a,b\n1,x\n2\n", {}, "line 3 of `in.csv` has 1 value"),
        ("a,b\n1,x\n2,y,z\n", {}, "line 3 of `in.csv` has 3 values"),
        ("a\n1\nx\n", {"dtype": {"a": "INTEGER"}}, "`x` in row 2"),
        ("a\n1\n", {"columns": ["b"]}, "the file has: `a`"),
        ("a\n1\n", {"dtype": {"b": "INTEGER"}}, "`b`"),
        ("a\n1\n", {"dtype": {"a": "NUMBRE"}}, "NUMBRE"),
        (b"a\n\xff\xfe\n", {}, "0xff in line 2"),
        ("", {}, "is empty"),
        ("a,b\n1,x\n", {"skip_blank_lines": False}, "files of one column"),
        ("a\n1\n", {"compression": "gzip"}, "not compressed with gzip"),
    ],
)
def test_csv_extractor_says_what_is_wrong(project, text, config, words):
    result = extract(project, text, expect=1, **config)
    error = result["step"]["read"]["error"]
    assert words in error["message"], error["message"]
    assert error["blame"] == "user", error


def written(project, **config) -> bytes:
    table = "select * from (values (1, 'x, y', null), (2, 'say \"hi\"', ''), (3, 'é', 'z')) t(n, b, a) order by n"
    project.run([project.sql(table), {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "out.csv", **config}}])
    return (project.folder / "out.csv").read_bytes()


CSV_WRITTEN = {
    "sorted": ({}, 'a,b,n\n,"x, y",1\n"","say ""hi""",2\nz,é,3\n'.encode()),
    "source": ({"column_order": "source", "header": False}, '1,"x, y",\n2,"say ""hi""",""\n3,é,z\n'.encode()),
    "delimiter": ({"delimiter": ";", "header": False}, ';x, y;1\n"";"say ""hi""";2\nz;é;3\n'.encode()),
    "all quoted": ({"quoting": "all"}, '"a","b","n"\n,"x, y","1"\n"","say ""hi""","2"\n"z","é","3"\n'.encode()),
    "crlf": ({"newline": "crlf"}, 'a,b,n\r\n,"x, y",1\r\n"","say ""hi""",2\r\nz,é,3\r\n'.encode()),
    "latin-1": ({"encoding": "latin-1"}, 'a,b,n\n,"x, y",1\n"","say ""hi""",2\nz,é,3\n'.encode("latin-1")),
    "utf-8-sig": ({"encoding": "utf-8-sig"}, 'a,b,n\n,"x, y",1\n"","say ""hi""",2\nz,é,3\n'.encode("utf-8-sig")),
    "utf-16": ({"encoding": "utf-16"}, b"\xff\xfe" + 'a,b,n\n,"x, y",1\n"","say ""hi""",2\nz,é,3\n'.encode("utf-16-le")),
}


@pytest.mark.parametrize("option", CSV_WRITTEN)
def test_csv_writer_option(project, option):
    config, expected = CSV_WRITTEN[option]
    assert written(project, **config) == expected


def test_csv_writer_creates_folders_unless_told_not_to(project):
    steps = [project.sql("select 1 as a"), {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "deep/er/out.csv", "create_dirs": False}}]
    error = project.run(steps, expect=1)["step"]["write"]["error"]
    assert "create_dirs: true" in error["hint"] and error["blame"] == "user"
    del steps[1]["config"]["create_dirs"]
    project.run(steps)
    assert (project.folder / "deep" / "er" / "out.csv").read_text() == "a\n1\n"


def test_parquet_survives_a_round_trip(project):
    table = "select i as n, 'text ' || i as t, [i, null] as l, {'x': i} as s, i::decimal(18, 3) as d from range(10) r(i)"
    project.run([project.sql(table), {"id": "write", "component": "filesystem.parquet_writer", "config": {"path": "t.parquet", "compression": "snappy"}}])
    back = project.run([{"id": "read", "component": "filesystem.parquet_extractor", "config": {"path": "t.parquet"}}])
    assert project.rows(back, "read") == duckdb.sql(table).fetchall()
    some = project.run([{"id": "read", "component": "filesystem.parquet_extractor", "config": {"path": "t.parquet", "columns": ["t", "n"], "limit": 1}}])
    assert project.rows(some, "read") == [("text 0", 0)]
    wrong = project.run([{"id": "read", "component": "filesystem.parquet_extractor", "config": {"path": "t.parquet", "columns": ["m"]}}], expect=1)
    assert "no column `m`" in wrong["step"]["read"]["error"]["message"]


def test_processor_creates_several_tables(project):
    result = project.run([project.sql("select 1 as a"), {"id": "two", "component": "duckdb.processor", "config": {"queries": {"one": "from input", "more": "from input union all from input"}}}])
    assert result["step"]["two"]["tables"] == {"more": {"rows": 2}, "one": {"rows": 1}}
    assert result["step"]["two"]["rows"] == 3


def test_processor_takes_exactly_one_select(project):
    for query in ("select 1; select 2", "create table x as select 1", "selct 1", "copy (select 1) to 'x'", "pragma version", "set threads = 1", "select 1 -- ;\n; drop table x"):
        result = project.run([project.sql(query)], expect=1)
        assert result["step"]["source"]["error"]["blame"] == "user", query


def test_processor_accepts_long_expressions_and_reports_where_they_are_too_long(project):
    for count, operator in ((600, "||"), (900, "+")):
        result = project.run([project.sql(f"select {f' {operator} '.join(['i'] * count)} as a from range(1, 3) r(i)")])
        assert project.rows(result, "source") == ([("1" * count,), ("2" * count,)] if operator == "||" else [(count,), (2 * count,)])
    result = project.run([project.sql(f"select {' + '.join(['1'] * 3000)} as a")], expect=1)
    error = result["step"]["source"]["error"]
    assert error["blame"] == "user" and ("levels deep" in error["message"] or "depth" in error["message"]), error


def test_mask_masks_and_leaves_the_rest_unchanged(project):
    table = "select * from (values (1, 'N14228', 'Ada', [1, null], 12345, 'x'), (2, null, 'Grace', null, null, 'y')) t(n, tail, name, l, number, gone)"
    columns = {"tail": {"method": "partial", "keep": 2}, "name": "hash", "number": {"method": "redact", "replacement": "#"}, "gone": "drop"}
    result = project.run([project.sql(table), {"id": "mask", "component": "mask.processor", "config": {"columns": columns, "key": "canary-of-mask"}}])
    import hashlib
    import hmac

    hashes = [hmac.new(b"canary-of-mask", name.encode(), hashlib.sha256).hexdigest() for name in ("Ada", "Grace")]
    assert project.rows(result, "mask") == [(1, "****28", hashes[0], [1, None], "#"), (2, None, hashes[1], None, None)]
    assert project.types(result, "mask")["l"] == "INTEGER[]"
    for path in (project.folder / ".osiris_sessions" / result["session_id"]).rglob("*"):
        assert not path.is_file() or b"canary-of-mask" not in path.read_bytes(), path


def test_mask_refuses_types_it_cannot_mask(project):
    for config, words in [({"columns": {"b": "redact"}}, "there are: `a`"), ({"columns": {"a": "hash"}}, "secret `key`"), ({"columns": {"a": "drop"}}, "every column")]:
        result = project.run([project.sql("select 1 as a"), {"id": "mask", "component": "mask.processor", "config": config}], expect=1)
        assert words in result["step"]["mask"]["error"]["message"]


@pytest.mark.parametrize("spec", sorted((ROOT / "plugins").glob("*/spec.yaml")), ids=lambda path: path.parent.name)
def test_a_comma_does_not_truncate_a_description(spec):
    """In YAML a comma ends an unquoted text within braces, and the rest becomes a key."""
    cut = re.findall(r"\{.*description: (?![\"'])[^\n{}]*?, (?!\w+: )[^\n{}]*", spec.read_text())
    assert not cut
