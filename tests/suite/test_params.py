"""Typed parameters, and their values in SQL: no value changes a statement, in any of the three dialects."""

import datetime
import json

import pytest
from shops import mariadb, mysql_shop, postgres, postgres_shop, shop  # noqa: F401: fixtures

DUCKDB = "duckdb.processor"
HOSTILE = [
    "", "'", "''", "\\", "\\\\", "\\'", "'\\", "\\' or 1=1 -- ", "' or 1=1 -- ", "x'; drop table t; --", "'); drop table t; --", '"', '\\"', "`", "/*", "*/", "/*! */",
    "$$", "$a$", "%", "_", "-- ", "#", "a\nb", "a\r\nb", "\\n", "\\x27", "${params.day}", "$${X}", "${", "ü\\'", "日本'\\", "\u00bf\\'", "\u2019", "E'", "chr(39)", "x" * 5000 + "\\'",
]


def steps(sql: str) -> list[dict]:
    return [{"id": "make", "component": DUCKDB, "config": {"query": sql}}]


def declared(values: list) -> dict:
    return {f"h{number}": {"type": "string", "default": value} for number, value in enumerate(values)}


def columns(values: list) -> str:
    return ", ".join(f"${{sql:params.h{number}}} as c{number}" for number in range(len(values)))


def refused(project, sql: str, params: dict, *arguments) -> str:
    project.pipeline(steps(sql), params=params)
    done = project.osiris("validate", "pipeline.yaml", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


def test_each_type_is_a_literal_of_its_type_in_duckdb(project):
    params = {
        "s": {"type": "string", "default": "it's"}, "i": {"type": "integer", "default": -5}, "n": {"type": "number", "default": 0.5}, "b": {"type": "boolean", "default": True},
        "d": {"type": "date", "default": "2024-02-29"}, "t": {"type": "timestamp", "default": "2024-02-29T10:00:00.25+02:00"},
        "l": {"type": "list", "items": "date", "default": ["2024-02-29", "2024-03-01"]}, "any": "a",
    }
    sql = "select ${sql:params.s} as s, 1-${sql:params.i} as i, ${sql:params.n} as n, ${sql:params.b} as b, ${sql:params.d} as d, ${sql:params.t} as t, date '2024-03-01' in ${sql:params.l} as l, ${sql:params.any} as a"
    result = project.run(steps(sql), params=params)
    assert project.rows(result, "make") == [("it's", 6, pytest.approx(0.5), True, datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 8, 0, 0, 250000), True, "a")]
    assert project.types(result, "make")["d"] == "DATE" and project.types(result, "make")["t"] == "TIMESTAMP"
    result = project.run(None, "--param", "d=2020-01-01", "--param", "s=' or 1=1", "--param", "l=2020-01-01,2024-03-01")
    assert project.rows(result, "make", "select s, d, l from main") == [("' or 1=1", datetime.date(2020, 1, 1), True)]


def test_no_value_changes_a_statement_of_duckdb(project):
    result = project.run(steps(f"select {columns(HOSTILE)}"), params=declared(HOSTILE))
    assert project.rows(result, "make") == [tuple(HOSTILE)]
    # The same as one list, and from the command line.
    many = json.dumps([*HOSTILE, "it's"])
    result = project.run(steps("select unnest([${sql:params.one}]) as v, 'it\'\'s' in ${sql:params.many} as found"), "--param", f"many={many}", "--param", "one=\\'", params={"many": {"type": "list"}, "one": {"type": "string"}})
    assert project.rows(result, "make") == [("\\'", True)]


@pytest.mark.parametrize("unusual", [False, True])
def test_no_value_changes_a_statement_of_a_database(shop, unusual):  # noqa: F811
    if shop.family == "postgres":
        shop.sql(f"alter database {shop.database} set standard_conforming_strings = {'off' if unusual else 'on'}")
    elif unusual:
        shop.sql("set global sql_mode = concat(@@sql_mode, ',NO_BACKSLASH_ESCAPES,ANSI_QUOTES')")
    try:
        shop.sql("create table t (id int, name varchar(6000), day date)", "insert into t values (1, 'a', '2024-01-31')")
        shop.project.pipeline([shop.extract(query=f"select {columns(HOSTILE)} from t")], params=declared(HOSTILE))
        result = shop.run(None)
        assert shop.project.rows(result, "extract") == [tuple(HOSTILE)]
        filtered = [shop.extract(table="t", filter="name = ${sql:params.name} and day >= ${sql:params.day} and id in ${sql:params.ids}")]
        shop.project.pipeline(filtered, params={"name": {"type": "string"}, "day": {"type": "date"}, "ids": {"type": "list", "items": "integer"}})
        for name, rows in [("a", 1), *[(value, 0) for value in ("' or '1'='1", "\\' or 1=1 -- ", "' or 1=1 #", "\\")]]:
            result = shop.run(None, "--param", f"name={name}", "--param", "day=2024-01-31", "--param", "ids=-1,1")
            assert result["step"]["extract"]["rows"] == rows, name
    finally:
        if shop.family != "postgres" and unusual:
            shop.sql("set global sql_mode = default")


@pytest.mark.parametrize("sql, inside", [
    ("select '${sql:params.x}'", "a string in quotes"), ("select 1 -- ${sql:params.x}", "a comment"), ("select 1 /* ${sql:params.x} */", "a comment"), ('select "${sql:params.x}"', "double quotes"),
    ("select $a$ ${sql:params.x} $a$", "a string in dollars"), ("select E'\\'${sql:params.x}'", "a string in quotes"),
])
def test_a_value_inside_quotes_is_refused(project, sql, inside):
    error = refused(project, sql, {"x": {"type": "string", "default": "a"}})
    assert f"inside {inside}" in error and "remove the quotes" in error and "config.query of step `make`" in error


@pytest.mark.parametrize("sql, params, message", [
    ("select ${sql:params.x}", {"x": {"type": "list"}}, "parameter `x` is an empty list"),
    ("select ${sql:params.x}", {"y": 1}, "unknown parameter `x`; known: `y`"),
    ("select ${sql:HOME}", {}, "has `${sql:HOME}`, which is not a parameter"),
    ("select ${sql:params.x}", {"x": {"type": "string"}}, "needs parameter `x`, which has no value"),
])
def test_a_wrong_reference_is_refused(project, sql, params, message):
    arguments = ["--param", "x="] if params.get("x", {}).get("type") == "list" else []
    assert message in refused(project, sql, params, *arguments)


def test_a_value_as_sql_stands_only_in_sql(project):
    project.pipeline([{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "${sql:params.x}.csv"}}], params={"x": "a"})
    done = project.osiris("plan", "pipeline.yaml")
    assert done.returncode == 2 and "config.path of step `read` is not SQL" in done.stderr and "write `${params.x}`" in done.stderr


def test_text_that_is_pasted_into_sql_is_warned_of(project):
    free = {"x": {"type": "string", "default": "a"}}
    for sql, params, warned in [
        ("select '${params.x}' as v", free, True), ("select ${sql:params.x} as v", free, False), ("${params.x}", {"x": "select 1 as v"}, False),
        ("select ${params.x} as v", {"x": {"type": "integer", "default": 1}}, False), ("select '${params.x}' as v", {"x": {"type": "date", "default": "today"}}, False),
        ("select '${params.x}' as v", {"x": {"type": "string", "default": "a", "enum": ["a", "b"]}}, False),
    ]:
        project.pipeline(steps(sql), params=params)
        for verb in ("plan", "validate"):
            done = project.osiris(verb, "pipeline.yaml")
            assert done.returncode == 0 and ("${sql:params.x}" in (done.stdout + done.stderr).replace(sql, "")) is warned, (verb, sql, done.stdout, done.stderr)


def test_a_manifest_records_every_parameter_and_the_profile(project):
    params = {"day": {"type": "date", "default": "yesterday"}, "n": {"type": "integer", "default": 1}, "who": {"type": "string", "default": "a"}}
    profiles = {"dev": {"params": {"n": 2}}}
    result = project.run(steps("select ${sql:params.day} as d, ${params.n} as n, ${sql:params.who} as w"), "--profile", "dev", "--param", "who=me", params=params, profiles=profiles)
    yesterday = project.rows(result, "make")[0][0].isoformat()
    assert result["profile"] == "dev" and result["params"] == {"day": yesterday, "n": 2, "who": "me"}
    shown = project.osiris("sessions", "show")
    assert f"params    day = {yesterday}, n = 2, who = me" in shown.stdout and "profile   dev" in shown.stdout
    assert json.loads(project.osiris("sessions", "show", "--json").stdout)["params"] == result["params"]


def test_a_resumed_run_has_the_parameters_of_its_session(project):
    params = {"day": {"type": "date", "default": "today"}, "n": 1}
    profiles = {"dev": {"params": {"n": 2}}, "prod": {"params": {"n": 3}}}
    two = [*steps("select ${sql:params.day} as d, ${params.n} as n"), {"id": "fail", "component": DUCKDB, "config": {"query": "select error('x') from input"}}]
    project.run(two, "--param", "day=2020-01-01", "--profile", "dev", params=params, profiles=profiles, expect=1)
    result = project.run(None, "--resume", "latest", expect=1, env={"OSIRIS_PARAM_DAY": "2021-01-01"})
    assert result["params"] == {"day": "2020-01-01", "n": 2} and result["profile"] == "dev"
    # Another profile sets its own, but not what was given by hand.
    result = project.run(None, "--resume", "latest", "--profile", "prod", expect=1)
    assert result["params"] == {"day": "2020-01-01", "n": 3}


def test_a_secret_parameter_is_not_recorded(project):
    secret = "s3cret-of-the-parameter"
    project.write("osiris_connections.yaml", json.dumps({"connections": {"http": {"here": {"url": "http://127.0.0.1:9", "private_network": True}}}}))
    config = {"max_retries": 0, "url": "http://127.0.0.1:9/x", "headers": {"Authorization": "Bearer ${params.key}"}}
    result = project.run([{"id": "get", "component": "http.extractor", "config": config}], "--param", f"key={secret}", params={"key": {"type": "string"}}, expect=1)
    assert secret not in json.dumps(result) and result["params"]["key"] != secret
    assert not [file for file in project.folder.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]
