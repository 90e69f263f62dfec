"""Everything that can go wrong when steps exchange DuckDB tables: inputs, schemas, settings and streams, with a test
for each."""

import json
import shutil

from conftest import ROOT
from http_server import Reply, web  # noqa: F401

CSV = {"component": "filesystem.csv_extractor"}


def test_a_driver_gets_the_handles_that_it_asks_for(project):
    result = project.run([project.sql("select 1 as a"), {"id": "copy", "component": "test.passthrough_rust"}])
    assert project.rows(result, "copy") == [(1,)]


def test_several_inputs_do_not_overwrite_each_other(project):
    steps = [project.sql(f"select {n} as v", id=f"s{n}") for n in range(5)]
    union = " union all ".join(f"select v from s{n}" for n in range(5))
    steps.append({"id": "all", "component": "duckdb.processor", "needs": [f"s{n}" for n in range(5)], "config": {"query": f"{union} order by v"}})
    result = project.run(steps)
    assert project.rows(result, "all") == [(n,) for n in range(5)]


def test_every_input_is_connected_not_only_the_first(project):
    steps = [project.sql("select 1 as v", id="a"), project.sql("select 2 as v", id="b")]
    steps.append({"id": "both", "component": "test.passthrough_rust", "inputs": {"x": {"from_step": "a"}, "y": {"from_step": "b"}}})
    result = project.run(steps)
    assert result["step"]["both"]["tables"] == {"main": {"rows": 1}, "y": {"rows": 1}}
    assert project.rows(result, "both", "from y") == [(2,)]


def test_step_ids_may_be_kebab_case(project):
    project.write("movies.csv", "id,title\n1,Alien\n")
    steps = [{"id": "extract-movies", **CSV, "config": {"path": "movies.csv"}}]
    steps.append({"id": "select-all", "component": "duckdb.processor", "config": {"query": 'select * from "extract-movies" union all select * from df_extract_movies'}})
    result = project.run(steps)
    assert project.rows(result, "select-all") == [(1, "Alien"), (1, "Alien")]


def test_the_first_rows_do_not_fix_the_schema(project):
    many = 60_000
    text = "whole,late,empty\n" + "".join(f"{n},{n},\n" for n in range(many)) + "1.5,word,7\n"
    project.write("wide.csv", text)
    result = project.run([{"id": "read", **CSV, "config": {"path": "wide.csv"}}])
    assert result["step"]["read"]["rows"] == many + 1
    types = project.types(result, "read")
    assert (types["whole"], types["late"]) == ("DOUBLE", "VARCHAR")
    assert project.rows(result, "read", "select whole, late, empty::int from main where empty is not null") == [(1.5, "word", 7)]


def test_columns_are_matched_by_name_not_position(project):
    project.write("swapped.csv", "b,a\n2,1\n")
    result = project.run([
        {"id": "read", **CSV, "config": {"path": "swapped.csv", "columns": ["a", "b"]}},
        {"id": "copy", "component": "test.passthrough_rust"},
        {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "out.csv"}},
    ])
    assert project.rows(result, "copy", "select a, b from main") == [(1, 2)]
    assert (project.folder / "out.csv").read_text() == "a,b\n1,2\n"


def test_an_empty_input_keeps_its_columns(project):
    project.write("empty.csv", "id,name\n")
    result = project.run([
        {"id": "read", **CSV, "config": {"path": "empty.csv"}},
        {"id": "copy", "component": "test.passthrough_rust"},
        {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "out.csv", "column_order": "source"}},
    ])
    assert list(project.types(result, "copy")) == ["id", "name"]
    assert (project.folder / "out.csv").read_text() == "id,name\n"


def test_a_failed_step_leaves_no_partial_table(project):
    result = project.run([{"id": "half", "component": "test.misbehave", "config": {"how": "half-table"}}], expect=1)
    assert list((project.folder / ".osiris_sessions" / result["session_id"] / "data").iterdir()) == []
    assert result["step"]["half"]["error"]["blame"] == "driver"


def test_a_driver_reads_its_connection_settings(project):
    project.write("osiris_connections.yaml", "connections: {api: {main: {host: example.org, password: \"${PW}\", unasked: 1}}}")
    steps = [{"id": "echo", "component": "test.config_echo", "config": {"connection": "@api.main"}}]
    result = project.run(steps, env={"PW": "s3cret-canary"})
    config, _, password_bytes = project.rows(result, "echo")[0]
    assert json.loads(config)["connection"] == {"host": "example.org"}, "a secret is asked for by name"
    assert password_bytes == len("s3cret-canary")
    kept = (project.folder / ".osiris_sessions" / result["session_id"] / "artifacts" / "echo" / "cleaned_config.json").read_text()
    assert "s3cret-canary" not in kept and "example.org" in kept


def test_graphql_may_ask_who_is_calling(project, web):
    """The login is in the connection, and is sent to the server with every page."""

    def handler(request):
        if request.headers.get("authorization") != "Bearer t0ken-canary":
            return Reply({"message": "who are you?"}, 401)
        more = "after" not in request.json["variables"]
        return {"data": {"list": [{"n": 1 if more else 2}], "pageInfo": {"hasNextPage": more, "endCursor": "x"}}}

    web.route("/graphql", handler)
    connection = {"endpoint": web.url + "/graphql", "auth_type": "bearer", "auth_token": "${TOKEN}", "private_network": True}
    project.write("osiris_connections.yaml", json.dumps({"connections": {"graphql": {"crm": connection}}}))
    config = {"connection": "@graphql.crm", "query": "query ($after: String) { list }", "data_path": "data.list", "pagination_enabled": True}
    result = project.run([{"id": "read", "component": "graphql.extractor", "config": config}], env={"TOKEN": "t0ken-canary"})
    assert project.rows(result, "read") == [(1,), (2,)]
    assert not any("t0ken-canary" in path.read_text() for path in project.folder.rglob("*.*") if path.suffix in (".jsonl", ".yaml", ".json"))


def test_a_writer_streams(project):
    """A table several times the memory limit is written within the limit."""
    rows = 3_000_000
    result = project.run(
        [project.sql(f"select i as a, md5(i::varchar) as b, md5((i + 1)::varchar) as c from range({rows}) t(i)"),
         {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "big.csv"}},
         {"id": "stream", "component": "filesystem.csv_writer", "needs": ["source"], "config": {"path": "big-crlf.csv", "newline": "crlf"}}],
        "--engine-memory", "128MB", "--guest-memory", "16MB",
    )
    assert result["step"]["write"]["rows"] == result["step"]["stream"]["rows"] == rows
    assert (project.folder / "big.csv").stat().st_size > 200_000_000


def test_the_projects_own_examples_are_valid(project):
    # The variables that the examples' READMEs say to export first.
    passwords = {"SHOP_PASSWORD": "tin-kettle-42", "WAREHOUSE_PASSWORD": "blue-ladder-17"}
    # The lock of a run of theirs may pin drivers that have been built anew since.
    shutil.copytree(ROOT / "examples", project.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("out", ".osiris*", "osiris.lock"))
    pipelines = list(project.folder.glob("*/pipeline.yaml"))
    assert len(pipelines) > 1
    for pipeline in pipelines:
        done = project.osiris("validate", pipeline, env=passwords)
        assert done.returncode == 0, done.stderr


def test_several_tables_of_one_step_are_inputs_together(project):
    """`df_<step>` is the first alias of the only table, or `main`; if the names of two steps coincide, it is
    neither."""
    sources = [project.sql(f"select {value} as v", id=name) for value, name in enumerate(["zero", "one", "two"])]
    shop = {"id": "shop-1", "component": "test.passthrough_rust", "inputs": {"zero": "zero", "orders": "one", "customers": "two"}}
    twin = project.sql("select 9 as v", id="shop_1")
    reads = {
        "both": ({"o": {"from_step": "shop-1", "table": "orders"}, "c": {"from_step": "shop-1", "table": "customers"}}, "select o.v * 10 + c.v from o, c", 12),
        "one-twice": ({"a": {"from_step": "shop-1", "table": "orders"}, "b": {"from_step": "shop-1", "table": "orders"}}, "select a.v + b.v + df_shop_1.v from a, b, df_shop_1", 3),
        "with-main": ({"o": {"from_step": "shop-1", "table": "orders"}, "m": "shop-1"}, "select o.v + df_shop_1.v from o, df_shop_1", 1),
        "twins": ({"x": "shop-1", "y": "shop_1"}, "select x.v + y.v from x, y", 9),
        "upper-case": ({"DF_shop_1": {"from_step": "shop-1", "table": "orders"}}, "select v from df_shop_1", 1),
    }  # fmt: skip
    steps = [{"id": name, "component": "duckdb.processor", "inputs": inputs, "config": {"query": query}} for name, (inputs, query, _) in reads.items()]
    result = project.run([*sources, shop, twin, *steps])
    assert {name: project.rows(result, name) for name in reads} == {name: [(expected,)] for name, (_, _, expected) in reads.items()}
