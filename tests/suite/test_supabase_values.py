"""supabase.writer changes nothing in values, keys and rows of other tables that was not requested."""

import json

import pytest
from postgres_server import postgres  # noqa: F401, a fixture
from test_supabase import database, execute, message, supabase, write  # noqa: F401, fixtures

HELD = {
    "whole": ("integer", "2.0::double", "2"), "n": ("numeric", "12345678901234567890.123456789::decimal(38,9)", "12345678901234567890.123456789"),
    "n2": ("numeric(12,2)", "1.50::decimal(12,3)", "1.50"), "day": ("date", "timestamp '2024-05-01 00:00:00'", "2024-05-01"),
    "pad": ("char(5)", "'AB'", "AB"), "bc": ("date", "date '0044-03-15 (BC)'", "0044-03-15 BC"), "ts": ("timestamp", "timestamp '2024-05-01 10:00:00.123456'", "2024-05-01 10:00:00.123456"),
    "inf": ("timestamp", "'infinity'::timestamp", "infinity"), "iv": ("interval", "interval '-1 month 2 days -00:00:00.000001'", "-1 mons +2 days -00:00:00.000001"),
    "t": ("time", "time '24:00:00'", "24:00:00"), "tz": ("timetz", "'10:00:00+02:30'::timetz", "10:00:00+02:30"), "b": ("bytea", "'\\x00\\xff'::blob", "\\x00ff"),
    "f": ("real", "0.1::float", "0.1"), "d": ("double precision", "'-inf'::double", "-Infinity"), "nan": ("numeric", "'nan'::double", "NaN"),
    "j": ("json", """'{"a":12345678901234567890.123456789,"b":0.1234567890123456789}'::json""", '{"a":12345678901234567890.123456789,"b":0.1234567890123456789}'),
    "aa": ("integer[]", "[[1, 2], [3, null]]", "{{1,2},{3,NULL}}"), "na": ("numeric[]", "[1.50, null]::decimal(5,2)[]", "{1.50,NULL}"), "da": ("float8[]", "['nan'::double, 0.5]", "{NaN,0.5}"),
    "ba": ("bytea[]", "['\\x01'::blob]", '{"\\\\x01"}'), "ta": ("timestamptz[]", "[timestamptz '2024-05-01 10:00:00.5+00']", '{"2024-05-01 10:00:00.5+00"}'),
    "u": ("uuid", "'00112233-4455-6677-8899-AABBCCDDEEFF'", "00112233-4455-6677-8899-aabbccddeeff"), "e": ("mood", "'sad'", "sad"), "s": ("jsonb", "{'a': [1::hugeint]}", '{"a": [1]}'),
    "bit": ("bit(4)", "'0101'::bit", "0101"), "h": ("numeric", "170141183460469231731687303715884105727::hugeint", "170141183460469231731687303715884105727"),
}  # fmt: skip


def test_every_value_that_the_table_can_hold_is_written_unchanged(project, supabase, database):
    execute(database, "create type mood as enum ('sad', 'happy')")
    execute(database, f"create table orders ({', '.join(f'{name} {kind}' for name, (kind, _, _) in HELD.items())})")
    row = ", ".join(f"{sql} as {name}" for name, (_, sql, _) in HELD.items())
    write(project, supabase, f"(select {row}) union all select {', '.join('null' for _ in HELD)}")
    with database() as connection:
        connection.execute("set timezone = 'UTC'")
        texts = connection.execute(f"select {', '.join(f'{name}::text' for name in HELD)} from orders").fetchall()
    assert [(name, text, held[2]) for (name, held), text in zip(HELD.items(), texts[0]) if text != held[2]] == []
    assert texts[1] == tuple(None for _ in HELD)


BEFORE = [
    ("integer", "2.5::double", "`2.5`", "3"),
    ("integer", "2147483648", "`2147483648`", None),
    ("whole", "2.5::decimal(5,1)", "`2.5`", "3"),
    ("integer[]", "[1, 2.6]::double[]", "2.6", "{1,3}"),
    ("date", "timestamp '2024-05-01 18:45:00'", "18:45", "2024-05-01"),
    ("timestamp", "'2024-05-01 10:00:00.123456789'::timestamp_ns", "123456789", "2024-05-01 10:00:00.123457"),
    ("real", "0.1234567890123::double", "`0.1234567890123`", "0.12345679"),
    ("char(2)", "'abc'", "`abc`", None),
    ("varchar(2)", "'ab '", "`ab `", None),
    ("mood", "'angry'", "`angry`", None),
]
BEHIND = [
    ("numeric(5,1)", "1.24::decimal(5,2)", "`1.24` was sent and is `1.2`", "1.2"),
    ("timestamp(0)", "timestamp '2024-05-01 10:00:00.6'", "`2024-05-01 10:00:00.6` was sent and is `2024-05-01 10:00:01`", "2024-05-01 10:00:01"),
    ("numeric(6,2)[]", "[1.239, 2]::decimal(6,3)[]", "`[1.239, 2.000]` was sent and is `{1.24,2.00}`", "{1.24,2.00}"),
    ("time(0)", "time '10:00:00.7'", "10:00:01", "10:00:01"),
    ("interval(0)", "interval '1 second 700 milliseconds'", "00:00:02", "00:00:02"),
]


@pytest.mark.parametrize("where", ["before", "behind"])
def test_values_that_the_table_cannot_hold_are_refused_or_rounded_as_configured(project, supabase, database, where):
    execute(database, "create type mood as enum ('sad', 'happy'); create domain whole as integer")
    for kind, sql, words, rounded in BEFORE if where == "before" else BEHIND:
        execute(database, f"drop table if exists orders; create table orders (id integer, v {kind})")
        rows = f"select 1 as id, null as v union all select 2, {sql}"
        told = message(write(project, supabase, rows, expect=1), "write")
        assert "column `v`" in told and "row 2" in told and words in told and "on_loss: round" in told or rounded is None, told
        # What the API describes is checked before anything is sent; what it omits is found in the written rows.
        assert execute(database, "select count(*)::int from orders") == [(0 if where == "before" else 2,)], kind
        if rounded is not None:
            execute(database, "delete from orders")
            result = write(project, supabase, rows, on_loss={"v": "round"})
            assert execute(database, "select v::text from orders where id = 2") == [(rounded,)]
            assert "round" in json.dumps(result["step"]["write"]["warnings"]), kind
        if where == "before":
            execute(database, "delete from orders")
            write(project, supabase, rows, on_loss="null")
            assert execute(database, "select count(v)::int, count(*)::int from orders") == [(0, 2)]
        else:
            execute(database, "delete from orders")
            write(project, supabase, rows, verify=False)


def test_json_values_that_cannot_be_stored_are_refused(project, supabase, database):
    execute(database, "create table orders (j jsonb)")
    assert "NaN" in message(write(project, supabase, "select {'a': 'nan'::double} as j", expect=1), "write")
    assert "NaN" in json.dumps(write(project, supabase, "select {'a': 'nan'::double} as j", on_loss="null")["step"]["write"]["warnings"])
    told = message(write(project, supabase, "select null as j union all select ['0.5', '-inf']::double[]", expect=1), "write")
    assert "column `j`, row 2" in told and "-inf" in told and "on_loss: null" in told, told
    for sql in ("""'{"a": 1, "a": 2}'::json""", """{'x': ['[{"b": 1, "b": 1}]'::json]}"""):
        assert "column `j`, row 2" in (told := message(write(project, supabase, f"select null as j union all select {sql}", expect=1), "write")) and "twice" in told
    for sql in ("{'a': 'x' || chr(0)}", "[{'a': chr(0) || 'x'}]", "map {'k' || chr(0): 1}", """'["\\u0000"]'::json"""):
        assert "column `j`, row 2" in (told := message(write(project, supabase, f"select null as j union all select {sql}", expect=1), "write")) and "NUL" in told, told
    assert "SQL nulls" in json.dumps(write(project, supabase, "select 'null'::json as j")["step"]["write"]["warnings"])


OUTSIDE = [
    ("date", "date '5874898-01-01'", "5874897-12-31"), ("timestamp", "timestamp '4714-11-23 (BC) 23:59:59'", "4714-11-24 (BC)"),
    ("timestamptz[]", "[timestamptz '290308-12-22 (BC) 00:00:00+00']", "4714-11-24 (BC)"),
    ("integer[]", "[[1], [2, 3]]", "jsonb"), ("integer[]", "[[1], null]", "jsonb"), ("integer[]", "[[], []]::integer[][]", "jsonb"),
    ("text[]", "[[['a', 'b']], [['c']]]", "jsonb"), ("integer[]", "[[1, 2], null]::integer[2][2]", "jsonb"),
]  # fmt: skip


def test_types_that_postgresql_cannot_store_are_named_before_anything_is_sent(project, supabase, database):
    for kind, sql, words in OUTSIDE:
        execute(database, f"drop table if exists orders; create table orders (id integer, v {kind})")
        result = write(project, supabase, f"select 1 as id, null as v union all select 2, {sql}", expect=1, batch_rows=1)
        told = message(result, "write")
        assert "column `v`, row 2" in told and words in told, told
        assert execute(database, "select count(*)::int from orders") == [(0,)], sql


# What only the server can refuse: the type, a value that it accepts, one that it does not, and whether a filter finds
# the row.
REFUSED = [
    ("inet", "'10.0.0.1'", "'300.1.1.1'", True), ("int4range", "'[1,3)'", "'1'", True), ("interval", "'1 day'", "'1 dya'", True), ("macaddr", "'08:00:2b:01:02:03'", "'x'", True),
    ("numeric(5,2)", "1", "12345", True), ("numeric(5,2)[]", "[1]", "[12345]", False), ("xml", "'<a/>'", "'<a'", False), ("point", "'(1,2)'", "'x'", False), ("integer[]", "'{1}'", "'{1'", False),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_value_that_only_the_server_can_refuse_is_named(project, supabase, database, mode):
    for kind, good, bad, is_found in REFUSED:
        execute(database, f"drop table if exists orders; create table orders (id integer primary key, v {kind}, row text)")
        rows = f"select n as id, if(n = 777, {bad}, {good}) as v, 'x' as row from range(1, 1001) r(n)"
        told = message(write(project, supabase, rows, expect=1, mode=mode, primary_key=["id"]), "write")
        assert ("column `v`, row 777: `" in told if is_found else "column `v`" in told) and kind.split("(")[0].split("[")[0] in told, told
        assert execute(database, "select count(*)::int from orders") == [(0,)], kind
    execute(database, "drop table orders; create table orders (id integer primary key, a xml, b xml, g integer generated always as (3) stored)")
    assert "columns `a`, `b`" in message(write(project, supabase, "select 1 as id, '<a/>' as a, '<a' as b", expect=1, mode=mode, primary_key=["id"]), "write")
    assert "select * exclude" in message(write(project, supabase, "select 1 as id, 5 as g", expect=1, mode=mode, primary_key=["id"]), "write")


TWINS = [
    ("char(5)", "'AB'", "'AB '", ["`AB` and `AB `", "character(5)"]),
    ("citext", "'a'", "'A'", ["`a` and `A`"]),
    ("uuid", "'00112233-4455-6677-8899-aabbccddeeff'", "'00112233-4455-6677-8899-AABBCCDDEEFF'", ["uuid"]),
    ("inet", "'10.0.0.1'", "'10.0.0.1/32'", ["`10.0.0.1/32`"]),
    ("timestamp", "'2024-01-01 00:00:00'", "'2024-01-01T00:00'", ["2024-01-01T00:00"]),
    ("numeric(5,1)", "1.24::decimal(5,2)", "1.21::decimal(5,2)", ["`1.24` and `1.21`"]),
    ("timestamp(0)", "timestamp '2024-01-01 00:00:00.1'", "timestamp '2024-01-01 00:00:00.2'", ["00:00:00.1"]),
    ('text collate "folded"', "'e'", "'É'", ["`e` and `É`"]),
    ('text collate "folded"', "'Straße'", "'STRASSE'", ["`k` (text)"]),
]


@pytest.mark.parametrize("mode", ["upsert", "replace"])
def test_two_rows_that_are_one_in_the_table_are_both_named(project, supabase, database, mode):
    execute(database, "create extension if not exists citext; create collation if not exists folded (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
    for kind, one, other, words in TWINS:
        execute(database, f"drop table if exists orders; create table orders (k {kind} primary key, n integer); insert into orders values ({one}, 0)")
        result = write(project, supabase, f"select {one} as k, 1 as n union all select {other}, 2", expect=1, mode=mode, primary_key="k")
        told = message(result, "write")
        assert "does not tell rows of `source` apart" in told and all(word in told for word in words), told
        assert "21000" not in told and "second time" not in told and result["step"]["write"]["error"]["kind"] == "data"
        assert execute(database, "select n from orders") == [(0,)], kind


def test_rows_that_a_collation_may_treat_as_one_are_sent_in_one_request(project, supabase, database):
    execute(database, "create collation if not exists folded (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
    execute(database, 'create table orders (k text collate "folded" primary key, n integer)')
    rows = "select chr((97 + i % 26)::integer) || i // 26 as k, i as n from range(100) r(i) union all select 'A0', 1000"
    told = message(write(project, supabase, rows, expect=1, mode="upsert", primary_key="k", batch_rows=10), "write")
    assert "`a0` and `A0`" in told
    execute(database, "drop table orders; create table orders (k text primary key, n integer)")
    write(project, supabase, rows, mode="upsert", primary_key="k", batch_rows=10)
    assert execute(database, "select count(*)::int from orders") == [(101,)]


def test_padded_and_case_insensitive_keys_are_replaced_and_run_twice(project, supabase, database):
    execute(database, "create extension if not exists citext")
    for kind in ("char(5)", "citext", "varchar(5)"):
        execute(database, f"drop table if exists orders; create table orders (k {kind} primary key, n integer); insert into orders values ('z', 0), ('AB', 0)")
        for _ in range(2):
            write(project, supabase, "select 'AB' as k, 1 as n union all select 'c', 2", mode="replace", primary_key="k")
            assert execute(database, "select trim(k::text), n from orders order by n") == [("AB", 1), ("c", 2)], kind


def test_rows_that_append_skips_are_counted(project, supabase, database):
    for kind in ("integer", "numeric"):
        execute(database, f"drop table if exists orders; create table orders (id integer primary key, v {kind}); insert into orders values (1, 9), (3, 9)")
        result = write(project, supabase, "select i as id, i as v from range(5) r(i)", primary_key="id", batch_rows=2)
        [warning] = result["step"]["write"]["warnings"]
        assert "left out" in json.dumps(warning) and '"count": "2"' in json.dumps(warning), warning
        assert execute(database, "select sum(v)::int from orders") == [(0 + 9 + 2 + 9 + 4,)]


@pytest.mark.parametrize("action", ["cascade", "set null", "restrict", "set default"])
def test_replace_never_touches_rows_of_other_tables(project, supabase, database, action):
    execute(database, f"""create table orders (id integer primary key, name text); insert into orders values (1, 'old'), (2, 'old'), (3, 'old');
        create table lines (id integer, order_id integer references orders on delete {action}); insert into lines values (1, 1), (2, 2)""")
    keep = "select i as id, 'new' as name from range(1, 3) r(i)"
    # Row 3 is deleted, and nothing refers to it.
    write(project, supabase, keep, mode="replace", primary_key=["id"])
    assert execute(database, "select id, name from orders order by id") == [(1, "new"), (2, "new")]
    assert execute(database, "select order_id from lines order by id") == [(1,), (2,)]
    told = message(write(project, supabase, "select 1 as id, 'newer' as name", expect=1, mode="replace", primary_key=["id"]), "write")
    assert "`id` = `2`" in told and "`lines` (`order_id`)" in told and "replace_cascade: true" in told
    assert execute(database, "select count(*)::int from orders where name = 'new'") == [(2,)] and execute(database, "select order_id from lines order by id") == [(1,), (2,)]
    if action in ("cascade", "set null"):
        write(project, supabase, "select 1 as id, 'newer' as name", mode="replace", primary_key=["id"], replace_cascade=True)
        assert execute(database, "select count(*)::int from orders") == [(1,)]


@pytest.mark.parametrize("name", ["select", "limit", "order", "offset", "columns", "on_conflict", "and", "or", "not", "a.b", "eq"])
def test_a_key_may_have_the_name_of_a_parameter(project, supabase, database, name):
    execute(database, f"""create table orders ("{name}" integer primary key, v integer); insert into orders values (1, 0), (2, 0)""")
    write(project, supabase, f'select 1 as "{name}", 5 as v', mode="replace", primary_key=[name])
    assert execute(database, "select * from orders") == [(1, 5)]


def test_names_and_missing_tables_are_reported(project, supabase, database):
    execute(database, "create table orders (id integer primary key)")
    assert "differs by case alone: `id`" in message(write(project, supabase, 'select 1 as "ID"', expect=1), "write")
    told = message(write(project, supabase, "select 1 as id, 1.5 as v", expect=1, table="nothing", create_if_missing=True, primary_key="id"), "write")
    assert "Could not find the table" in told and 'create table "nothing" ("id" integer, "v" numeric(2,1), primary key ("id"));' in told
    write(project, supabase, "select 1 as id", create_if_missing=True, write_mode="upsert", upsert_keys="id", batch_size=7, retries=2, returning="*", prefer="return=minimal", ddl_channel="auto")
    assert execute(database, "select id from orders") == [(1,)]
