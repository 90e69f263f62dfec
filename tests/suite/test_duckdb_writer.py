"""duckdb.writer changes one table of a DuckDB file and nothing else, whatever its rows and whatever the file."""

import os
import sqlite3

import duckdb
import pytest


def write(source: str = "source", id: str = "write", **config) -> dict:
    return {"id": id, "component": "duckdb.writer", "needs": [source], "config": {"path": "w.duckdb", "table": "t", **config}}


class Warehouse:
    def __init__(self, project):
        self.project, self.path = project, project.folder / "w.duckdb"

    def make(self, sql: str) -> None:
        with duckdb.connect(str(self.path)) as connection:
            connection.execute(sql)

    def rows(self, sql: str = "from t order by all") -> list[tuple]:
        with duckdb.connect(str(self.path), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(sql).fetchall()

    def load(self, select: str, expect: int = 0, **config) -> dict:
        """Writes the rows of a SELECT; returns the result of the step."""
        return self.project.run([self.project.sql(select), write(**config)], expect=expect)["step"]["write"]

    def error(self, select: str, **config) -> str:
        before = self.path.read_bytes() if self.path.is_file() else None
        error = self.load(select, expect=1, **config)["error"]
        assert (self.path.read_bytes() if self.path.is_file() else None) == before, "a failed step changed the file"
        return f"{error['message']} {error.get('hint') or ''}"


@pytest.fixture
def warehouse(project):
    return Warehouse(project)


def test_each_mode_does_what_it_says(warehouse):
    step = warehouse.load("select 1 as id, 'a' as v union all select 2, 'b'", primary_key="id")
    assert step["rows"] == 2
    assert "key" in warehouse.error("select 2 as id, 'again' as v").lower()
    warehouse.load("select 3 as id, 'c' as v")
    assert warehouse.rows() == [(1, "a"), (2, "b"), (3, "c")]
    assert warehouse.load("select 2 as id, 'B' as v union all select 4, 'd'", mode="upsert", primary_key=["ID"])["rows"] == 2
    assert warehouse.rows() == [(1, "a"), (2, "B"), (3, "c"), (4, "d")]
    warehouse.load("select 9 as id, 'z' as v", mode="replace")
    assert warehouse.rows() == [(9, "z")]
    assert "PRIMARY KEY" in warehouse.rows("select sql from duckdb_tables()")[0][0]
    warehouse.load("select 'x' as w", mode="replace", replace_by="recreate")
    assert warehouse.rows() == [("x",)]
    warehouse.load("select 'x' as w where false", mode="replace")
    assert warehouse.rows() == []


def test_superseded_rows_go_and_no_others(warehouse):
    by_day = {"mode": "delete_insert", "delete_by": "DAY"}
    warehouse.load("from (values (1, 10), (2, 10), (3, 20), (4, null)) v(id, day)")
    for _ in range(2):
        assert warehouse.load("from (values (5, 10), (6, 10), (7, 30)) v(id, day)", **by_day)["rows"] == 3
        assert warehouse.rows() == [(3, 20), (4, None), (5, 10), (6, 10), (7, 30)]
    warehouse.load("select 1 as id, 10 as day where false", **by_day)
    warehouse.load("from (values (5, 30), (3, 20)) v(id, day)", mode="delete_insert", range_key="id")
    assert warehouse.rows() == [(3, 20), (5, 30), (6, 10), (7, 30)]
    assert "null in row 2" in warehouse.error("from (values (1, 10), (2, null)) v(id, day)", **by_day)
    assert "`nix`" in warehouse.error("select 1 as id", mode="delete_insert", range_key="nix")
    assert "leave one out" in warehouse.error("select 1 as id", mode="delete_insert", range_key="id", delete_by="id")
    # The key of the table, also if a row with it is deleted first.
    warehouse.make("create table k(id integer primary key, v varchar); insert into k values (1, 'a'), (2, 'b'); create table c(v varchar collate nocase)")
    warehouse.load("select 2 as id, 'B' as v", table="k", mode="delete_insert", primary_key="id")
    assert warehouse.rows("from k order by id") == [(1, "a"), (2, "B")]
    assert "key" in warehouse.error("select 1 as id, 'z' as v", table="k", mode="delete_insert", delete_by="v").lower()
    assert "collation" in warehouse.error("select 'a' as v", table="c", mode="delete_insert", delete_by="v")


@pytest.mark.parametrize("by", ["delete_by", "range_key"])
def test_values_of_every_type_that_has_an_order_supersede_their_equals(warehouse, by):
    kinds = {
        "hugeint": ["-1", "0", "170141183460469231731687303715884105727"], "decimal(38,10)": ["-1.5", "0", "0.0000000001"], "double": ["'-infinity'", "1.5", "'nan'"],
        "varchar": ["''", "'a'", "'ü'"], "blob": ["''", "'a'", "'\\xFF'"], "uuid": ["'00000000-0000-0000-0000-000000000001'", "'7fffffff-0000-0000-0000-000000000000'", "'ffffffff-0000-0000-0000-000000000000'"],
        "date": ["'-infinity'", "'2024-01-01'", "'infinity'"], "timestamptz": ["'1999-01-01'", "'2024-01-01'", "'2024-01-01 00:00:00.000001'"], "boolean": ["false", "true", "true"],
        "enum('z', 'b', 'a')": ["'z'", "'b'", "'a'"], "integer[]": ["[1]", "[1, 2]", "[2]"], "struct(a integer)": ["{'a': 1}", "{'a': 2}", "{'a': 3}"],
    }  # fmt: skip
    for place, (kind, values) in enumerate(kinds.items()):
        rows = lambda values, n: " union all ".join(f"select cast({value} as {kind}) as k, {n} as n" for value in values)  # noqa: E731, B023
        warehouse.load(rows(values, 1), table=f"t{place}")
        warehouse.load(rows(values[1:], 2), table=f"t{place}", mode="delete_insert", **{by: "k"})
        assert warehouse.rows(f"select count(*), sum(n) from t{place}") == [(3, 5)], kind


def test_everything_else_in_the_file_stays(warehouse):
    warehouse.make(
        """create sequence s start 10; create table t(id integer primary key default nextval('s'), v varchar not null, n integer check (n > 0), g integer generated always as (n * 2));
           create schema other; create table other.u(x integer unique); insert into other.u values (7); create view w as select count(*) as c from t;
           create index i on t(v); create macro m(a) as a + 1; create type mood as enum ('ok', 'bad'); comment on table t is 'mine'"""
    )
    catalog = "select sql from duckdb_tables() union all select sql from duckdb_views() where not internal union all select sql from duckdb_indexes() union all select comment from duckdb_tables() order by 1"
    before = warehouse.rows(catalog)
    warehouse.load("select 'a' as v, 1 as n")
    warehouse.load("select 10 as id, 'b' as v, 2 as n", mode="upsert", primary_key="id")
    assert warehouse.rows(catalog) == before
    assert warehouse.rows() == [(10, "b", 2, 4)] and warehouse.rows("from other.u") == [(7,)] and warehouse.rows("select c, m(1) from w") == [(1, 2)]
    for select, words in [("select 'c' as v, 0 as n", "CHECK constraint"), ("select null::varchar as v, 1 as n", "NOT NULL constraint"), ("select 'c' as v, 1 as n, 5 as g", "generated")]:
        assert words in warehouse.error(select)
    assert "is a view" in warehouse.error("select 1 as c", table="w")


def test_columns_change_as_the_contract_says(warehouse):
    assert "does not exist" in warehouse.error("select 1 as id", schema_contract="freeze")
    warehouse.load("select 1 as id")
    assert "`more`" in warehouse.error("select 2 as id, true as more", schema_contract="freeze")
    warehouse.load("select 2 as id, true as more", schema_contract="discard_columns")
    assert warehouse.rows() == [(1,), (2,)]
    step = warehouse.load("select 3 as ID, {'a': [1.5]} as more, null::varchar as nothing")
    assert "added" in str(step["warnings"])
    assert warehouse.rows() == [(1, None, None), (2, None, None), (3, {"a": [1.5]}, None)]
    # Columns that the rows lack keep their values.
    warehouse.load("select 3 as id, 'x' as nothing", mode="upsert", primary_key="id")
    assert warehouse.rows("from t where id = 3") == [(3, {"a": [1.5]}, "x")]
    message = warehouse.error("select 1 as id", table="sales.t")
    assert "no schema `sales`" in message and "main" in message
    warehouse.load("select 1 as id", table='"sa.les".T', create_schema=True)
    assert warehouse.rows('from "sa.les".t') == [(1,)]


def test_every_type_survives(warehouse):
    with duckdb.connect() as connection:
        kinds = {name: kind for name, kind, *_ in connection.execute("describe from test_all_types()").fetchall()}
        connection.execute("set timezone = 'UTC'")
        texts = {name: connection.execute(f'select "{name}"::varchar from test_all_types()').fetchall() for name in kinds}
    for _ in range(2):
        warehouse.load("from test_all_types()")
    assert {name: kind for name, kind, *_ in warehouse.rows("describe t")} == kinds
    for name in kinds:
        assert warehouse.rows(f'select "{name}"::varchar from t') == texts[name] * 2, name


def test_no_value_changes_unasked(warehouse):
    warehouse.make("create table t(i integer, d decimal(5,2), day date, e enum('a', 'b'), l integer[], s struct(a integer, b varchar), j json, x varchar, m timestamp_ms)")
    for select, words in [
        ("select 1.5::double as i", "`1.5`"),
        ("select 3000000000 as i", "`3000000000`"),
        ("select 1.234::double as d", "`1.234`"),
        ("select timestamp '2024-01-31 10:00:00' as day", "time of day"),
        ("select 'c' as e", "`c`"),
        ("select [1.5::double] as l", "1.5"),
        ("select {'a': 1, 'b': 'x', 'c': 2} as s", "STRUCT"),
        ("select 'not json' as j", "JSON"),
        ("select timestamp '2024-01-31 10:00:00.123456' as m", "second"),
        ("select timestamptz '2024-01-31 10:00:00+00' as m", "zone"),
    ]:
        message = warehouse.error(select)
        assert words in message and "column `" in message, message
    warehouse.load("select 2.0::double as i, 1.25::double as d, timestamp '2024-01-31' as day, 'a' as e, [1::bigint] as l, {'a': 1::bigint, 'b': 'y'} as s, [1, 2] as j, {'q': 1} as x")
    assert warehouse.rows("select * exclude (d, day, m), d::varchar, day::varchar from t") == [(2, "a", [1], {"a": 1, "b": "y"}, "[1,2]", '{"q":1}', "1.25", "2024-01-31")]
    step = warehouse.load("select 1.5::double as i, 'c' as e", on_loss={"i": "round", "default": "null"})
    assert warehouse.rows("select i, e from t where day is null") == [(2, None)] and len(step["warnings"]) == 2


def test_keys_are_whole_and_unique(warehouse):
    twice = "select 1 as id, 'first' as v union all select 2, 'x' union all select 1, 'last'"
    upsert = {"mode": "upsert", "primary_key": "id"}
    message = warehouse.error(twice, **upsert)
    assert "rows 1 and 3" in message and "`id` = `1`" in message and "on_duplicate_key: last" in message
    assert "null in row 2" in warehouse.error("select 1 as id union all select null", **upsert)
    assert "`nope`" in warehouse.error("select 1 as id", mode="upsert", primary_key="nope")
    assert "primary_key" in warehouse.error("select 1 as id", mode="upsert")
    step = warehouse.load(twice, on_duplicate_key="last", **upsert)
    assert warehouse.rows() == [(1, "last"), (2, "x")] and "left out" in str(step["warnings"])
    # As the table compares them.
    warehouse.make("create table c(k varchar collate nocase primary key); create table days(d date primary key)")
    assert "collation" in warehouse.error("select 'a' as k", table="c", mode="upsert", primary_key="k")
    assert "one key" in warehouse.error("select timestamp '2024-01-31 10:00' as d union all select timestamp '2024-01-31 11:00'", table="days", mode="upsert", primary_key="d", on_loss="round")


def test_a_file_that_is_not_duckdbs_is_refused_and_stays(project, warehouse):
    with duckdb.connect(str(project.folder / "whole.duckdb")) as connection:
        connection.execute("create table t as select range as i from range(100000)")
    whole = (project.folder / "whole.duckdb").read_bytes()
    with sqlite3.connect(project.folder / "lite") as lite:
        lite.execute("create table t(i integer)")
    damaged = bytearray(whole)
    damaged[8192:8320] = os.urandom(128)
    with duckdb.connect() as connection:
        connection.execute(f"set force_mbedtls_unsafe = true; attach '{project.folder}/secret.duckdb' as s (encryption_key 'key'); create table s.t as select 1 as i")
    for content in [b"", b"x", b"DUCK" * 5000, whole[:4096], bytes(8) + b"DUCK" + os.urandom(20000), bytes(damaged), (project.folder / "lite").read_bytes(), (project.folder / "secret.duckdb").read_bytes()]:
        warehouse.path.write_bytes(content)
        assert "w.duckdb" in warehouse.error("select 1 as i")
    warehouse.path.unlink()
    for make, words in [(lambda: warehouse.path.mkdir(), "no plain file"), (lambda: warehouse.path.symlink_to("whole.duckdb"), "no plain file"), (lambda: os.link(project.folder / "whole.duckdb", warehouse.path), "hard links")]:
        make()
        assert words in warehouse.load("select 1 as i", expect=1)["error"]["message"]
        warehouse.path.rmdir() if warehouse.path.is_dir() else warehouse.path.unlink()
    assert (project.folder / "whole.duckdb").read_bytes() == whole
    assert not [name for name in os.listdir(project.folder) if name.startswith(".w.")]


def test_what_a_file_contains_reaches_nothing_else(project, warehouse):
    """Defaults and checks of a stranger's file run, if at all, in the confined process."""
    secret = project.write("secret.txt", "canary")
    warehouse.make(f"create view v as select content from read_text('{secret}'); create table t(i integer); create macro main.count(x) as 7")
    warehouse.load("select 1 as i")
    assert warehouse.rows() == [(1,)]
    assert "there is no table" in project.run([project.sql("select 1 as i"), {"id": "other", "component": "duckdb.processor", "needs": ["source"], "config": {"query": "from v"}}], expect=1)["step"]["other"]["error"]["message"]


def test_only_the_named_file_inside_the_base_folder_is_updated(project, warehouse):
    for path in ["../w.duckdb", "/tmp/osiris-w.duckdb", ".osiris_sessions/w.duckdb", "osiris.lock"]:
        project.pipeline([project.sql("select 1 as i"), write(path=path)])
        done = project.osiris("run", "pipeline.yaml")
        assert done.returncode != 0 and ("may not" in done.stderr or "cannot" in done.stderr), (path, done.stderr)
    warehouse.load("select 1 as i", path="new/folder/w.duckdb")
    assert (project.folder / "new/folder/w.duckdb").exists()
    assert "folder does not exist" in warehouse.error("select 1 as i", path="none/w.duckdb", create_dirs=False)
    project.pipeline([project.sql("select 1 as i"), write(), {"id": "csv", "component": "filesystem.csv_writer", "needs": ["source"], "config": {"path": "w.duckdb"}}])
    assert "both write `w.duckdb`" in project.osiris("run", "pipeline.yaml").stderr
    project.pipeline([project.sql("select 1 as i"), write()])
    assert "update the DuckDB file `w.duckdb`" in project.osiris("plan", "pipeline.yaml").stdout
