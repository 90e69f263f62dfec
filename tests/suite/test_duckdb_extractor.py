"""duckdb.extractor reads tables of the one file that it was granted, and nothing else."""

import os
import subprocess
import sys

import duckdb
import pytest
from conftest import OSIRIS
from test_duckdb_writer import Warehouse, write


def read(id: str = "read", **config) -> dict:
    return {"id": id, "component": "duckdb.extractor", "needs": [], "config": {"path": "w.duckdb", **config}}


@pytest.fixture
def warehouse(project):
    warehouse = Warehouse(project)
    warehouse.make(
        """create table t as select range as i, 'v' || range as v from range(3); create schema sales; create table sales."a.b" as from test_all_types();
           create table "T2" as select 1 as x; create view w as from t; create macro m(a) as a + 1; create macro rows() as table from t"""
    )
    return warehouse


def test_a_table_or_a_select_is_read_with_its_types(project, warehouse):
    result = project.run([
        read("table", table="T", columns=["v", "I"]),
        read("types", table='sales."a.b"'),
        read("query", query='select t.i, x from t, t2 where i < 2 order by i desc;'),
        read("schemas", query='select count(*) as c from main.t, sales."a.b"'),
        read("own", query="with t as (select 7 as i) from t"),
    ])
    assert project.rows(result, "table") == [("v0", 0), ("v1", 1), ("v2", 2)]
    assert project.rows(result, "query") == [(1, 1), (0, 1)] and project.rows(result, "schemas") == [(9,)] and project.rows(result, "own") == [(7,)]
    kinds = {name: kind for name, kind, *_ in warehouse.rows('describe sales."a.b"')}
    assert project.types(result, "types") == kinds
    for name in kinds:
        assert project.rows(result, "types", f'select "{name}"::varchar from main') == warehouse.rows(f'select "{name}"::varchar from sales."a.b"'), name


def test_what_is_missing_is_listed(project, warehouse):
    steps = {
        "table": ({"table": "orders"}, "`t`"),
        "view": ({"table": "w"}, "views are not read"),
        "column": ({"table": "t", "columns": ["z"]}, "`v`"),
        "query": ({"query": "from tt"}, "did you mean `t`"),
        "schema": ({"query": "from sales.t"}, "sales.a.b"),
        "neither": ({}, "`sales.a.b`"),
        "both": ({"table": "t", "query": "from t"}, "not both"),
    }
    result = project.run([read(id, **config) for id, (config, _) in steps.items()], expect=1)
    for id, (_, words) in steps.items():
        assert words in result["step"][id]["error"]["message"], (id, result["step"][id]["error"])


ATTACKS = [
    "from w", "from rows()", "select m(1)", "from read_text('w.duckdb')", "from duckdb_tables()", "from duckdb_databases()",
    "from sqlite_scan('w.duckdb', 't')", "select getenv('HOME')", "attach 'w.duckdb' as other", "insert into t values (1, 'x')", "from t; drop table t", "from query('from w')",
    "from query_table('w')", "from information_schema.tables", "from memory.information_schema.tables", "from system.main.duckdb_settings", "from read_duckdb('w.duckdb')",
]


def test_a_select_reaches_no_view_no_file_and_no_setting(project, warehouse):
    before = warehouse.path.read_bytes()
    # The numbers of the files that the process had open: the DuckDB file's own leads to nothing any more.
    numbers = {f"n{n}": read(f"n{n}", query=f"select filename from read_blob('/proc/self/fd/{n}')") for n in range(3, 6)}
    result = project.run([read(f"a{n}", query=attack) for n, attack in enumerate(ATTACKS)] + [read("good", query="from t"), *numbers.values()], expect=1)
    assert [id for id in numbers if result["step"][id]["status"] == "success" and result["step"][id]["rows"]] == []
    assert [result["step"][f"a{n}"]["status"] for n in range(len(ATTACKS))] == ["failed"] * len(ATTACKS)
    assert result["step"]["good"]["status"] == "success" and warehouse.path.read_bytes() == before


def test_only_a_whole_duckdb_file_inside_the_base_folder_is_read(project, warehouse):
    whole = warehouse.path.read_bytes()
    for content in [b"", b"i\n1\n", whole[:5000], bytes(8) + b"DUCK" + os.urandom(30000)]:
        warehouse.path.write_bytes(content)
        error = project.run([read(table="t")], expect=1)["step"]["read"]["error"]
        assert "w.duckdb" in error["message"], error
    for path in ("../w.duckdb", "/etc/passwd", ".osiris_sessions/x.duckdb", "none.duckdb"):
        project.pipeline([read(path=path, table="t")])
        assert project.osiris("run", "pipeline.yaml").returncode == 2, path
    assert "read the DuckDB file `w.duckdb`" in project.osiris("plan", str(project.pipeline([read(table="t")]))).stdout


def test_a_file_that_is_being_written_is_waited_for(project, warehouse):
    script = f"import duckdb, time; c = duckdb.connect({str(warehouse.path)!r}); c.execute('insert into t values (9, null)'); print(flush=True); time.sleep(1.5)"
    other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    other.stdout.readline()
    result = project.run([read(table="t")])
    other.wait()
    assert project.rows(result, "read", "select count(*) from main") == [(4,)]
    with duckdb.connect(str(warehouse.path), read_only=True):
        project.run([read(table="t")])


def test_what_a_step_wrote_is_read_by_the_next_step_here_and_on_a_worker(project, warehouse):
    steps = [project.sql("select 5 as i, 'x' as v"), write(), {**read(table="t"), "needs": ["write"]}]
    for rows, more in [(4, []), (5, ["--on", f"{OSIRIS} worker"])]:
        assert project.rows(project.run(steps, *more), "read", "select count(*) from main") == [(rows,)]
