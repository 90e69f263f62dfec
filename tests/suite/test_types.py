"""Every DuckDB type goes through SQL and through a guest's columns unchanged, value by value."""

import duckdb
import pytest
from conftest import GUESTS

PASSTHROUGH = ["test.passthrough_rust", "test.passthrough_python", "test.passthrough_c"]

# `VARIANT` is the only type that cannot cross; see README.
ALL_TYPES = "select * from test_all_types()"
NESTED = """
select [[{'a': [1, null, 3], 'b': {'c': 'x', 'd': [date '2020-01-01', null]}}, null], [], null] as lists,
       map {'k': [map {1: {'z': 1.5::decimal(18, 3)}}], 'e': []} as maps,
       {'deep': {'deeper': [{'deepest': [true, null]}]}} as structs,
       [[[1, 2], [3, 4]]]::integer[2][2][1] as arrays,
       union_value(num := 2)::union(num integer, txt varchar) as unions
union all by name select null as lists, null as maps, null as structs, null as arrays, null as unions
"""
HOSTILE_NAMES = ['"', "a b", "select", "🦀", "", "a'b", "x;drop table main", "ü", "a\\b", "Main", "%s", "--", "/*", "a\nb", "main"]


def through(project, sql: str, component: str):
    """Creates a table with SQL, passes it through `component`, and compares the two in DuckDB."""
    step = {"id": "copy", "component": component, "needs": ["source"], "config": {"query": "from source"} if component == "duckdb.processor" else {}}
    result = project.run([project.sql(sql), step])
    session = result["session_path"]
    with duckdb.connect() as connection:
        for name in ("source", "copy"):
            connection.execute(f"attach '{session}/data/{name}.duckdb' as {name} (read_only)")
        columns = [row[0] for row in connection.execute("describe source.main").fetchall()]
        assert connection.execute("describe copy.main").fetchall() == connection.execute("describe source.main").fetchall()
        for index, name in enumerate(columns):
            # Compared by position in the table, column by column: names may be hostile, and values NaN.
            quoted = '"' + name.replace('"', '""') + '"'
            different = connection.execute(
                f"select count(*) from (select row_number() over () as row, {quoted} as v from source.main) s "
                f"full join (select row_number() over () as row, {quoted} as v from copy.main) c using (row) "
                "where s.v is distinct from c.v"
            ).fetchone()[0]
            assert different == 0, f"column {index}, {name!r}"
        counts = [connection.execute(f"select count(*) from {name}.main").fetchone()[0] for name in ("source", "copy")]
    assert counts[0] == counts[1] == result["step"]["copy"]["rows"]
    return result


@pytest.mark.parametrize("component", ["duckdb.processor", *PASSTHROUGH])
@pytest.mark.parametrize("sql", [ALL_TYPES, NESTED], ids=["test_all_types", "nested"])
def test_every_type_passes_unchanged(project, sql, component):
    with duckdb.connect() as connection:
        kinds = {row[1] for row in connection.execute(f"describe {sql}").fetchall()}
    assert "VARIANT" not in kinds
    through(project, sql, component)


@pytest.mark.parametrize("component", ["duckdb.processor", *PASSTHROUGH])
def test_zero_rows_keep_their_columns(project, component):
    result = through(project, f"{ALL_TYPES} limit 0", component)
    assert result["step"]["copy"]["rows"] == 0


@pytest.mark.parametrize("component", ["duckdb.processor", *PASSTHROUGH])
def test_hostile_column_names_pass_unchanged(project, component):
    columns = ", ".join(f'{place} as "{name.replace(chr(34), chr(34) * 2)}"' for place, name in enumerate(HOSTILE_NAMES) if name)
    through(project, f"select {columns}", component)


@pytest.mark.parametrize("component", ["duckdb.processor", *PASSTHROUGH])
def test_a_thousand_columns_pass_unchanged(project, component):
    through(project, "select " + ", ".join(f"i + {n} as c{n}" for n in range(1000)) + " from range(3) t(i)", component)


@pytest.mark.parametrize("component", PASSTHROUGH)
def test_many_batches_pass_unchanged(project, component):
    through(project, "select i, 'text ' || i as t, [i, null, -i] as l, case when i % 7 = 0 then null else {'a': i} end as s from range(100000) t(i)", component)


def test_guests_in_three_languages_create_the_same_table(project):
    assert all((GUESTS / f"{name}.wasm").exists() for name in PASSTHROUGH)
    steps = [project.sql(f"{ALL_TYPES}")]
    steps += [{"id": name.rsplit("_")[-1], "component": name, "needs": ["source"]} for name in PASSTHROUGH]
    result = project.run(steps)
    tables = [project.rows(result, name, "select md5(string_agg(t::varchar, chr(10))) from main t") for name in ("rust", "python", "c")]
    assert tables[0] == tables[1] == tables[2]


@pytest.mark.parametrize("sql", ["select 1 as a, 42::variant as v", "select 1 as a, [{'x': 42::variant}] as v"])
def test_a_type_that_cannot_cross_is_refused_by_name_before_any_row_moves(project, sql):
    result = project.run([project.sql(sql), {"id": "copy", "component": "test.passthrough_rust"}], expect=1)
    error = result["step"]["source"]["error"]
    assert "`v`" in error["message"] and "VARIANT" in error["message"]
    assert "cast it in SQL" in error["message"]
    cast = project.run([project.sql(f"select v::json as v from ({sql})")])
    assert cast["step"]["source"]["rows"] == 1
