"""Supabase through PostgREST's HTTP API, with a stand-in over a real PostgreSQL; see supabase_stand_in.py."""

import json
from datetime import date
from decimal import Decimal

import pytest
from postgres_server import postgres  # noqa: F401, a fixture
from supabase_stand_in import KEY, SupabaseStandIn


@pytest.fixture(scope="module")
def database(postgres):  # noqa: F811
    """A database for the module."""
    with postgres.connect("postgres") as connection:
        connection.execute("create database supabase")
    yield lambda: postgres.connect("supabase")
    with postgres.connect("postgres") as connection:
        connection.execute("drop database supabase with (force)")


@pytest.fixture
def supabase(database):
    with database() as connection:
        connection.execute("drop schema public cascade; create schema public; drop schema if exists private cascade; create schema private")
    server = SupabaseStandIn(database)
    yield server
    server.close()


def execute(database, statement: str) -> list[tuple]:
    with database() as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def connections(project, supabase, **more) -> None:
    fields = supabase.connection(**more)
    project.write("osiris_connections.yaml", json.dumps({"version": 1, "connections": {"supabase": {"shop": fields}}}))


def write(project, supabase, select: str, expect: int = 0, fields: dict | None = None, **config) -> dict:
    connections(project, supabase, **(fields or {}))
    step = {"id": "write", "component": "supabase.writer", "mode": "write", "config": {"connection": "@supabase.shop", "table": "orders", **config}}
    result = project.run([project.sql(select), step], expect=expect)
    check_no_key(project)
    return result


def read(project, supabase, expect: int = 0, fields: dict | None = None, **config) -> dict:
    connections(project, supabase, **(fields or {}))
    step = {"id": "read", "component": "supabase.extractor", "config": {"connection": "@supabase.shop", "table": "orders", **config}}
    result = project.run([step], expect=expect)
    check_no_key(project)
    return result


def check_no_key(project) -> None:
    for path in (project.folder / ".osiris_sessions").rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def message(result: dict, step: str) -> str:
    return result["step"][step]["error"]["message"]


ORDERS = "create table orders (id bigint primary key, name text, total numeric(12, 2))"
ROWS = "select i as id, 'order ' || i as name, (i / 4)::decimal(12, 2) as total from range({}) r(i)"
STATE = "select count(*)::int, count(distinct id)::int, sum(id)::int from orders"


@pytest.mark.parametrize("key", [[], ["id"]])
def test_append_writes_every_row_once_in_batches(project, supabase, database, key):
    execute(database, ORDERS)
    write(project, supabase, ROWS.format(2500), primary_key=key)
    assert execute(database, STATE) == [(2500, 2500, sum(range(2500)))]
    assert len(supabase.requests("POST")) == 3
    assert execute(database, "select * from orders where id = 5") == [(5, "order 5", Decimal("1.25"))]


def test_batches_are_bounded_by_bytes(project, supabase, database):
    execute(database, "create table orders (id bigint, name text)")
    write(project, supabase, "select i as id, repeat('é', 1000) as name from range(100) r(i)", batch_bytes=10_000)
    sizes = [request[3] for request in supabase.requests("POST")]
    assert sum(sizes) > 200_000 and max(sizes) <= 10_000


def test_append_with_a_key_keeps_existing_rows(project, supabase, database):
    execute(database, ORDERS + "; insert into orders values (1, 'mine', 0)")
    for _ in range(2):
        write(project, supabase, ROWS.format(3), primary_key=["id"])
    assert execute(database, "select id, name from orders order by id") == [(0, "order 0"), (1, "mine"), (2, "order 2")]


def test_an_upsert_run_twice_equals_one_run_once(project, supabase, database):
    execute(database, ORDERS + "; insert into orders values (1, 'old', 0), (9, 'kept', 0)")
    for _ in range(2):
        write(project, supabase, ROWS.format(3), mode="upsert", primary_key=["id"])
    assert execute(database, "select id, name from orders order by id") == [(0, "order 0"), (1, "order 1"), (2, "order 2"), (9, "kept")]


def test_replace_deletes_rows_that_the_input_lacks(project, supabase, database):
    execute(database, ORDERS + "; insert into orders select i, 'old', 0 from generate_series(-3000, 1000) i")
    result = write(project, supabase, ROWS.format(2100), mode="replace", primary_key=["id"])
    assert execute(database, STATE) == [(2100, 2100, sum(range(2100)))]
    assert execute(database, "select count(*)::int from orders where name = 'old'") == [(0,)]
    assert [m["value"] for m in project.metrics(result) if m["metric"] == "rows_deleted"] == [3000]


def test_replace_by_nothing_empties_the_table(project, supabase, database):
    execute(database, ORDERS + "; insert into orders select i, 'old', 0 from generate_series(1, 5) i")
    write(project, supabase, ROWS.format(0), mode="replace", primary_key=["id"])
    assert execute(database, "select count(*)::int from orders") == [(0,)]


def test_replace_by_a_key_of_several_hostile_columns(project, supabase, database):
    execute(database, """create table orders ("a b" text, day timestamptz, v int, primary key ("a b", day))""")
    execute(database, """insert into orders values ('x"),(\\', '2020-01-01 00:00Z', 1), ('gone,"', '2020-01-01 00:00Z', 1), ('x"),(\\', '2020-01-02 00:00Z', 1)""")
    select = """select 'x"),(\\' as "a b", timestamptz '2020-01-01 00:00:00+00' as day, 2 as v"""
    write(project, supabase, select, mode="replace", primary_key=["a b", "day"])
    assert execute(database, """select "a b", v from orders""") == [('x"),(\\', 2)]


def test_replace_deletes_nothing_if_keys_do_not_compare(project, supabase, database):
    execute(database, "create collation if not exists folded (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
    execute(database, "create table orders (id text collate folded primary key, name text); insert into orders values ('z', 'old'), ('a', 'old')")
    supabase.plan("POST", None, lambda: execute(database, "update orders set id = 'A' where id = 'a'"))
    result = write(project, supabase, "select 'a' as id, 'new' as name union all select 'b', 'new'", expect=1, mode="replace", primary_key=["id"], batch_rows=1)
    assert "nothing was deleted" in message(result, "write")
    assert execute(database, "select count(*)::int from orders") == [(3,)]


def test_every_type_arrives_as_in_postgresql(project, supabase, database):
    execute(database, "create table orders (i bigint, n numeric(30,10), f float8, g float8, b boolean, t text, d date, ts timestamp, tz timestamptz, u uuid, j jsonb, a bigint[], y bytea, nul text)")
    select = """select 9007199254740993 as i, 12345678901234567890.1234567890::decimal(30,10) as n, 'nan'::double as f, '-inf'::double as g, true as b,
        'é "x" \\ 🦀' as t, date '2020-01-31' as d, timestamp '2020-01-31 10:00:00.123456' as ts, timestamptz '2020-01-31 10:00:00+00' as tz,
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as u, '{"k": [1, null]}'::json as j, [1, null] as a, '\\x00\\xFF'::blob as y, null as nul"""
    write(project, supabase, select)
    whole = execute(database, "select i, n::text, f::text, g::text, b, t, d, ts::text, tz at time zone 'utc' = '2020-01-31 10:00', u::text, j, a, y, nul from orders")
    assert whole == [
        (9007199254740993, "12345678901234567890.1234567890", "NaN", "-Infinity", True, 'é "x" \\ 🦀', date(2020, 1, 31), "2020-01-31 10:00:00.123456",
         True, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", {"k": [1, None]}, [1, None], b"\x00\xff", None)
    ]  # fmt: skip


def test_one_request_is_one_transaction(project, supabase, database):
    execute(database, "create table orders (id bigint check (id < 2000), name text, total numeric)")
    result = write(project, supabase, ROWS.format(2500), expect=1, one_request=True)
    assert "23514" in message(result, "write") and "nothing was written" in message(result, "write")
    assert execute(database, "select count(*)::int from orders") == [(0,)]
    write(project, supabase, ROWS.format(2000), one_request=True)
    assert execute(database, STATE) == [(2000, 2000, sum(range(2000)))]


WRONG = [
    ({"table": "nothing"}, "Could not find the table 'public.nothing'", "user"),
    ({"mode": "upsert"}, "`primary_key`", "user"),
    ({"mode": "upsert", "primary_key": ["no"]}, "the input has: `id`", "user"),
    ({"mode": "upsert", "primary_key": ["name"]}, "42P10", "user"),
]


@pytest.mark.parametrize(("config", "words", "blame"), WRONG)
def test_the_writer_reports_what_is_wrong(project, supabase, database, config, words, blame):
    execute(database, ORDERS)
    result = write(project, supabase, ROWS.format(3), expect=1, **config)
    assert words in message(result, "write") and result["step"]["write"]["error"]["blame"] == blame


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ("select 1 as id, 'x' as colour", "`orders` has no column `colour`; it has: `id`, `name`, `total`"),
        ("select 'x' as id", "column `id`, row 1: `x` is VARCHAR and the table's column is bigint"),
        ("select null::bigint as id", "23502"),
        ("select 7 as id", "Key (id)=(7) already exists"),
    ],
)
def test_postgresqls_message_is_shown(project, supabase, database, select, words):
    execute(database, ORDERS + "; insert into orders values (7, 'there', 0)")
    assert words in message(write(project, supabase, select, expect=1), "write")
    assert execute(database, "select count(*)::int from orders") == [(1,)]


def test_a_null_that_the_table_does_not_accept_is_named_with_its_row(project, supabase, database):
    execute(database, "create table orders (id bigint primary key, name text not null, total numeric(12, 2) check (total >= 0))")
    nulls = message(write(project, supabase, "select i as id, case when i < 1500 then 'n' end as name from range(1, 2001) r(i)", expect=1), "write")
    assert "row 1500 of the input has no `name` (null), and the table's column is text not null: null value" in nulls and "1000 rows are in `orders`" in nulls, nulls
    check = message(write(project, supabase, "select i as id, 'n' as name, 2500 - i as total from range(2001, 3001) r(i)", expect=1), "write")
    assert "orders_total_check" in check and "Failing row contains (2501, n, -1.00)" in check and "of the 1000 rows from row 0 on none was written" in check, check
    # A trigger may replace a null by a value.
    execute(database, "create function fill() returns trigger language plpgsql as $$ begin new.name = coalesce(new.name, 'x'); return new; end $$; create trigger fill before insert on orders for each row execute function fill()")
    write(project, supabase, "select 9000 as id, null::varchar as name")
    assert execute(database, "select name from orders where id = 9000") == [("x",)]


def test_keys_that_do_not_identify_rows_are_refused_before_anything_is_sent(project, supabase, database):
    execute(database, ORDERS)
    for select, words in [("select 1 as id from range(2)", "rows 1 and 2 have `id` (bigint) = `1` and `1`"), ("select null::bigint as id", "null in 1 rows")]:
        assert words in message(write(project, supabase, select, expect=1, mode="upsert", primary_key=["id"]), "write")
    assert not supabase.requests("POST")


def test_a_wrong_api_key_is_reported_as_such(project, supabase, database):
    execute(database, ORDERS)
    result = write(project, supabase, ROWS.format(1), expect=1, fields={"key": "wrong"})
    assert "Invalid API key" in message(result, "write") and result["step"]["write"]["error"]["kind"] == "auth"
    assert "Invalid API key" in message(read(project, supabase, expect=1, fields={"key": "wrong"}), "read")


TOO_MANY, BROKEN = (429, {"retry-after": "0"}), (500, {})


@pytest.mark.parametrize("fault", [TOO_MANY, BROKEN, (503, {}), "cut before", "cut after", "truncate"], ids=str)
@pytest.mark.parametrize("mode", ["upsert", "append with a key"])
def test_repeatable_requests_are_retried(project, supabase, database, fault, mode):
    execute(database, ORDERS)
    supabase.plan("POST", None, fault)
    write(project, supabase, ROWS.format(2500), mode=mode.split()[0], primary_key=["id"])
    assert execute(database, STATE) == [(2500, 2500, sum(range(2500)))]
    assert len(supabase.requests("POST")) == 4


def test_append_waits_if_the_server_accepted_nothing(project, supabase, database):
    execute(database, "create table orders (id bigint, name text, total numeric)")
    supabase.plan("POST", TOO_MANY, None, TOO_MANY, TOO_MANY)
    write(project, supabase, ROWS.format(2500))
    assert execute(database, STATE) == [(2500, 2500, sum(range(2500)))]


@pytest.mark.parametrize("fault", [BROKEN, "cut before", "cut after", ("sleep", 3)], ids=str)
def test_append_writes_nothing_twice_after_a_lost_response(project, supabase, database, fault):
    execute(database, "create table orders (id bigint, name text, total numeric)")
    supabase.plan("POST", None, fault)
    result = write(project, supabase, ROWS.format(2500), expect=1, timeout=1)
    told = message(result, "write")
    assert "1000 rows are in `orders`" in told and "is not known" in told and "primary_key" in told
    assert len(supabase.requests("POST")) == 2
    count, distinct, _ = execute(database, STATE)[0]
    assert count == distinct and count in (1000, 2000)


def test_a_server_that_stays_broken_ends_the_step(project, supabase, database):
    execute(database, ORDERS)
    supabase.plan("POST", *[BROKEN] * 9)
    result = write(project, supabase, ROWS.format(1), expect=1, mode="upsert", primary_key=["id"], max_retries=1)
    assert "500" in message(result, "write") and "tried 2 times" in message(result, "write")
    supabase.plan("POST")
    write(project, supabase, ROWS.format(1), mode="upsert", primary_key=["id"])
    assert execute(database, "select count(*)::int from orders") == [(1,)]


def test_a_failed_replace_deletes_nothing_and_a_retry_completes_it(project, supabase, database):
    execute(database, ORDERS + "; insert into orders select i, 'old', 0 from generate_series(-5, 5) i")
    supabase.plan("GET", *[BROKEN] * 9)
    write(project, supabase, ROWS.format(10), expect=1, mode="replace", primary_key=["id"], max_retries=0)
    assert execute(database, "select count(*)::int from orders where id < 0") == [(5,)]
    supabase.plan("GET")
    supabase.plan("DELETE", "cut after")
    write(project, supabase, ROWS.format(10), mode="replace", primary_key=["id"])
    assert execute(database, STATE) == [(10, 10, 45)]


MANY = "create table orders as select i::bigint as id, 'order ' || i as name, (i / 4.0)::numeric(12,2) as total from generate_series(0, 2499) i"


@pytest.mark.parametrize("page_size", [1000, 5000, 700])
def test_the_extractor_reads_every_page(project, supabase, database, page_size):
    execute(database, MANY)
    result = read(project, supabase, order=["id"], page_size=page_size, dtype={"total": "DECIMAL(12,2)"})
    assert project.rows(result, "read", "select count(*), count(distinct id), sum(id), sum(total)::varchar from main") == [(2500, 2500, 3123750, "780937.50")]
    assert project.types(result, "read") == {"id": "BIGINT", "name": "VARCHAR", "total": "DECIMAL(12,2)"}
    # One more request is for the primary key.
    assert len(supabase.requests("GET")) == (5 if page_size == 700 else 4)


CHOSEN = {
    "columns": ({"columns": ["name", "id"], "order": ["id"], "limit": 1}, [("order 0", 0)]),
    "filter": ({"columns": ["id"], "filters": {"id": "eq.7"}}, [(7,)]),
    "filters of one column": ({"columns": ["id"], "filters": {"id": ["gt.3", "lt.6"]}, "order": ["id.desc"]}, [(5,), (4,)]),
    "not in": ({"columns": ["id"], "filters": {"id": ["lt.4", "not.in.(1,2)"]}, "order": ["id"]}, [(0,), (3,)]),
    "text": ({"columns": ["id"], "filters": {"name": "eq.order 9"}}, [(9,)]),
    "or": ({"columns": ["id"], "filters": {"or": "(id.eq.3,and(id.gt.8,id.lt.10))"}, "order": ["id"]}, [(3,), (9,)]),
    "limit over pages": ({"columns": ["id"], "order": ["id"], "limit": 5, "page_size": 2}, [(0,), (1,), (2,), (3,), (4,)]),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_the_extractor_selects_rows_and_columns(project, supabase, database, case):
    execute(database, MANY)
    config, expected = CHOSEN[case]
    assert project.rows(read(project, supabase, **config), "read") == expected


def test_the_extractor_needs_an_order_for_several_pages(project, supabase, database):
    execute(database, MANY)
    result = read(project, supabase, expect=1)
    assert "`order`" in message(result, "read") and result["step"]["read"]["error"]["blame"] == "user"
    assert project.rows(read(project, supabase, limit=10), "read", "select count(*) from main") == [(10,)]


def test_several_pages_are_ordered_by_the_primary_key(project, supabase, database):
    execute(database, "create table orders as select (i * 7 % 2500)::bigint as id, i % 3 as g from generate_series(0, 2499) i; alter table orders add primary key (id)")
    expected = [(2500, 2500)]
    for order in (None, ["g"], "g.desc", "g,id.desc"):
        supabase.seen.clear()
        result = read(project, supabase, **({"order": order} if order else {}))
        assert project.rows(result, "read", "select count(*), count(distinct id) from main") == expected, order
        last = supabase.requests("GET")[-1][1]
        assert "id" in last.split("order=")[1].replace(".desc", "").split(","), last
    # A server that returns fewer rows than requested does not end the read.
    supabase.max_rows = 300
    assert project.rows(read(project, supabase, page_size=1000), "read", "select count(*), count(distinct id) from main") == expected


UPSTREAM = {
    "select": ({"select": "id,label:name", "limit": 1, "order": "id"}, [(0, "order 0")]),
    "select all": ({"select": "*", "filter": {"id": 7}}, [(7, "order 7", "1.75")]),
    "filter by operator": ({"select": "id", "filter": {"id": "gte.2498"}, "order": "id.desc"}, [(2499,), (2498,)]),
    "filter by value": ({"select": "id", "filter": {"name": "order 3"}}, [(3,)]),
    "filter by list": ({"select": "id", "filter": {"name": ["order 3", "order 5"]}, "order": "id"}, [(3,), (5,)]),
    "offset": ({"select": "id", "offset": 2497, "order": "id", "limit": 1000, "page_size": 2, "retries": 1}, [(2497,), (2498,), (2499,)]),
    "offset behind the end": ({"select": "id", "offset": 9000, "order": "id", "dtype": {"id": "BIGINT"}}, []),
    "tables": ({"table": None, "tables": ["orders"], "select": "id", "limit": 1, "order": "id"}, [(0,)]),
    "schema": ({"schema": "public", "select": "id", "filter": {"id": "eq.1"}, "timeout": 30}, [(1,)]),
}


@pytest.mark.parametrize("case", UPSTREAM)
def test_options_of_python_osiris_read_the_same_rows(project, supabase, database, case):
    execute(database, MANY)
    config, expected = UPSTREAM[case]
    connections(project, supabase)
    config = {name: value for name, value in ({"connection": "@supabase.shop", "table": "orders"} | config).items() if value is not None}
    result = project.run([{"id": "read", "component": "supabase.extractor", "config": config}])
    assert [tuple(str(value) if column == 2 else value for column, value in enumerate(row)) for row in project.rows(result, "read")] == expected


def test_a_column_may_have_the_name_of_a_parameter(project, supabase, database):
    for name in ("select", "limit", "order", "offset", "columns", "a.b"):
        execute(database, f"""drop table if exists orders; create table orders ("{name}" integer primary key, v integer); insert into orders values (1, 10), (2, 20)""")
        assert project.rows(read(project, supabase, filters={name: "gt.1"}), "read") == [(2, 20)], name
        assert project.rows(read(project, supabase, filter={name: 1}), "read") == [(1, 10)], name
    execute(database, """drop table orders; create table orders ("a.b" text, v integer); insert into orders values ('x,y', 1), ('x', 2), ('a)"\\', 3)""")
    for value, found in [("x,y", 1), ("x", 2), ('a)"\\', 3)]:
        assert project.rows(read(project, supabase, columns=["v"], filter={"a.b": value}), "read") == [(found,)], value


def test_every_digit_is_read(project, supabase, database):
    execute(database, "create table orders (id bigint primary key, n numeric, j jsonb)")
    execute(database, """insert into orders values (1, 1234567890123456.78, '{"a": 12345678901234567890.123456789}'), (2, 1234567890123456.79, '[]')""")
    result = read(project, supabase, dtype={"n": "DECIMAL(18,2)", "j": "JSON"})
    assert project.rows(result, "read", "select n::varchar from main order by id") == [("1234567890123456.78",), ("1234567890123456.79",)]
    assert "12345678901234567890.123456789" in project.rows(result, "read", "select j::varchar from main order by id")[0][0]


def test_a_key_may_have_the_names_of_python_osiris(project, supabase, database):
    execute(database, ORDERS)
    for fields in ({"service_role_key": KEY, "key": "other"}, {"anon_key": KEY}, {"project_id": "abc", "key": KEY, "pg_dsn": "postgresql://x"}):
        fields = {"url": supabase.url} | fields
        project.write("osiris_connections.yaml", json.dumps({"version": 1, "connections": {"supabase": {"shop": fields}}}))
        step = {"id": "write", "component": "supabase.writer", "config": {"connection": "@supabase.shop", "table": "orders", "schema": "public", "primary_key": "id"}}
        project.run([project.sql(ROWS.format(2)), step])
        check_no_key(project)


def test_a_table_that_changes_while_it_is_read_is_an_error(project, supabase, database):
    execute(database, MANY)
    supabase.plan("GET", None, lambda: execute(database, "delete from orders where id < 10"))
    assert "changed while it was read" in message(read(project, supabase, expect=1, order=["id"]), "read")


@pytest.mark.parametrize("fault", [TOO_MANY, BROKEN, "cut before", "truncate"], ids=str)
def test_reading_is_retried(project, supabase, database, fault):
    execute(database, MANY)
    supabase.plan("GET", None, fault)
    result = read(project, supabase, order=["id"])
    assert project.rows(result, "read", "select count(*), count(distinct id) from main") == [(2500, 2500)]


def test_another_schema_and_a_plain_postgrest(project, database):
    server = SupabaseStandIn(database, prefix="")
    try:
        execute(database, "drop schema if exists private cascade; create schema private; create table private.orders (id int primary key)")
        place = {"path": "", "schema": "private"}
        write(project, server, "select 1 as id", fields=place)
        assert project.rows(read(project, server, fields=place), "read") == [(1,)]
        assert "exposed" in message(read(project, server, expect=1, fields={"path": "", "schema": "secret"}), "read")
    finally:
        server.close()


def test_an_empty_table_has_the_declared_columns(project, supabase, database):
    execute(database, ORDERS)
    result = read(project, supabase, dtype={"id": "BIGINT", "total": "DECIMAL(12,2)"})
    assert project.rows(result, "read") == [] and project.types(result, "read") == {"id": "BIGINT", "total": "DECIMAL(12,2)"}


def test_doctor_and_discover(project, supabase, database):
    execute(database, ORDERS)
    connections(project, supabase)
    found = json.loads(project.osiris("discover", "@supabase.shop", "--json").stdout)
    [orders] = [table for table in found["tables"] if table["name"] == "orders"]
    assert orders["primary_key"] == ["id"] and {column["name"] for column in orders["columns"]} == {"id", "name", "total"}
    healthy = project.osiris("connections", "doctor", "--json")
    assert healthy.returncode == 0 and "PostgREST 12.2.3" in healthy.stdout
    connections(project, supabase, key="wrong")
    assert project.osiris("connections", "doctor", "--json").returncode != 0


def test_the_writer_reaches_only_its_own_table(project, supabase):
    connections(project, supabase)
    step = {"id": "write", "component": "supabase.writer", "config": {"connection": "@supabase.shop", "table": "orders"}}
    project.pipeline([project.sql("select 1 as id"), step])
    planned = project.osiris("plan", "pipeline.yaml").stdout
    assert "/rest/v1/orders" in planned and "POST" in planned
    assert not any("POST" in line and "orders" not in line for line in planned.splitlines())
