"""`mode: delete_insert` and `create_schema` of the database writers: only superseded rows go, and nobody sees them gone."""

import threading

import pytest
from shops import mariadb, mysql_shop, postgres, postgres_shop, shop  # noqa: F401: fixtures

BY_DAY = {"mode": "delete_insert", "delete_by": "day"}
BY_RANGE = {"mode": "delete_insert", "range_key": "id"}


def ids(shop) -> list:  # noqa: F811
    return [row[0] for row in shop.sql("select id from target order by id")]


def test_the_rows_of_the_inputs_days_are_replaced_and_no_others(shop):  # noqa: F811
    shop.load("from (values (1, 10), (2, 10), (3, 20), (4, 30), (5, null)) v(id, day)")
    for _ in range(2):
        shop.load("from (values (6, 10), (7, 10), (8, 30), (9, 40)) v(id, day)", **BY_DAY)
        assert shop.sql("select id, day from target order by id") == [(3, 20), (5, None), (6, 10), (7, 10), (8, 30), (9, 40)]
    shop.load("select 1 as id, 20 as day where false", **BY_DAY)
    assert ids(shop) == [3, 5, 6, 7, 8, 9]
    # Both columns together, and not each by itself.
    shop.load("from (values (6, 30), (8, 30)) v(id, day)", mode="delete_insert", delete_by=["day", "id"])
    assert shop.sql("select id, day from target where day = 30 order by id") == [(6, 30), (8, 30)] and ids(shop).count(6) == 2


def test_a_range_includes_its_ends_and_what_the_input_lacks(shop):  # noqa: F811
    shop.sql("create table target (id int, t varchar(9))", "insert into target values (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e'), (null, 'n')")
    shop.load("from (values (4, 'D'), (2, 'B')) v(id, t)", **BY_RANGE)
    expected = [("a", 1), ("B", 2), ("D", 4), ("e", 5)]
    assert shop.sql("select t, id from target where id is not null order by id") == expected
    shop.load("select 1 as id, 'x' as t where false", **BY_RANGE)
    assert shop.sql("select count(*) from target where id is null") == [(1,)] and shop.sql("select t, id from target where id is not null order by id") == expected
    assert shop.sql("select count(*) from target") == [(5,)]


def test_the_key_is_the_default_and_must_be_whole_and_unique(shop):  # noqa: F811
    by_key = {"mode": "delete_insert", "primary_key": "id"}
    shop.load("from (values (1, 'a'), (2, 'b')) v(id, t)", **by_key)
    shop.load("from (values (2, 'B'), (3, 'c')) v(id, t)", **by_key)
    assert shop.sql("select id, t from target order by id") == [(1, "a"), (2, "B"), (3, "c")]
    twice = "from (values (2, 'x'), (4, 'y'), (2, 'z')) v(id, t)"
    error = shop.load(twice, expect=1, **by_key)
    assert error.startswith("data") and "1 and 3" in error, error
    shop.load(twice, on_duplicate_key="last", **by_key)
    assert shop.sql("select id, t from target order by id") == [(1, "a"), (2, "z"), (3, "c"), (4, "y")]
    # A key that another day has is refused by the table, and nothing is deleted.
    assert shop.load("from (values (5, 'c'), (1, 'c')) v(id, t)", expect=1, mode="delete_insert", primary_key="id", delete_by="t").startswith("data")
    assert shop.sql("select id, t from target order by id") == [(1, "a"), (2, "z"), (3, "c"), (4, "y")]


def test_nulls_and_options_that_do_not_go_together_are_refused(shop):  # noqa: F811
    shop.sql("create table target (id int, day int)", "insert into target values (1, 1)")
    for config in (BY_DAY, {"mode": "delete_insert", "range_key": "day"}, {"mode": "delete_insert", "primary_key": ["id", "day"], "delete_by": "id"}):
        error = shop.load("from (values (2, 1), (3, null)) v(id, day)", expect=1, **config)
        assert error.startswith("data") and "row 2" in error and "`day`" in error, error
    for config, words in [
        ({"mode": "delete_insert"}, ["`range_key`", "`primary_key`"]),
        (BY_DAY | {"range_key": "id"}, ["leave one out"]),
        ({"mode": "upsert", "primary_key": "id", "range_key": "id"}, ["mode: delete_insert"]),
        ({"mode": "delete_insert", "delete_by": "nix"}, ["`delete_by`", "`nix`"]),
        ({"mode": "delete_insert", "range_key": "nix"}, ["`range_key`", "`nix`"]),
        (BY_DAY | {"replace_by": "recreate"}, ["`mode: replace`"]),
    ]:
        error = shop.load("select 2 as id, 1 as day", expect=1, **config)
        assert error.startswith("config") and all(word in error for word in words), error
    error = shop.load("select 2 as id, 1 as other", expect=1, mode="delete_insert", delete_by="other", schema_contract="discard_columns")
    assert error.startswith("data") and "other" in error, error
    assert shop.sql("select * from target") == [(1, 1)]


# The table's type, and three values in ascending order as DuckDB has them; the rest of each server's list is its own.
ODD = {
    "decimal": ("numeric(20,5)", ["-1.5::decimal(20,5)", "0.00001::decimal(20,5)", "123456789012.5::decimal(20,5)"]),
    "double": ("double precision", ["-1e300::double", "0.1::double", "1e300::double"]),
    "day": ("date", ["date '1999-12-31'", "date '2024-02-29'", "date '9000-01-01'"]),
    "text": ("varchar(20)", ["'a'", "'b ü'", "'c''\\'"]),
    "long": ("text", ["''", "'b'", "'c'"]),
    "padded": ("char(4)", ["'a'", "'ab'", "'abcd'"]),
}
ODD_OF = {
    "postgres": {
        "moment": ("timestamptz", ["timestamptz '1999-01-01 00:00:00+02'", "timestamptz '2024-01-01 00:00:00.000001+00'", "timestamptz 'infinity'"]),
        "uuid": ("uuid", ["'00000000-0000-0000-0000-000000000001'::uuid", "'7fffffff-0000-0000-0000-000000000000'::uuid", "'ffffffff-0000-0000-0000-000000000000'::uuid"]),
        "bytes": ("bytea", ["'\\x00'::blob", "'a'::blob", "'\\xFF'::blob"]),
        "flag": ("boolean", ["false", "true", "true"]),
        "mood": ("mood", ["'sad'", "'glücklich'", "'wild'"]),
        "citext": ("citext", ["'A'", "'b'", "'C'"]),
        "span": ("interval", ["interval '1 second'", "interval '1 day'", "interval '1 year'"]),
        "list": ("int[]", ["[1]", "[1, 2]", "[2]"]),
        "nan": ("float8", ["'-infinity'::double", "1.0::double", "'nan'::double"]),
        "document": ("jsonb", ["'1'::json", "'[1]'::json", "'{\"a\": 1}'::json"]),
        "domain": ("price", ["1.50::decimal(8,2)", "2.00::decimal(8,2)", "3.25::decimal(8,2)"]),
    },
    "mysql": {
        "moment": ("datetime(6)", ["timestamp '1999-01-01'", "timestamp '2024-01-01 00:00:00.000001'", "timestamp '2024-01-01 00:00:00.000002'"]),
        "uuid": ("uuid", ["'00000000-0000-4000-8000-000000000001'::uuid", "'7fffffff-0000-4000-8000-000000000000'::uuid", "'ffffffff-0000-4000-8000-000000000000'::uuid"]),
        "bytes": ("varbinary(9)", ["'\\x00'::blob", "'a'::blob", "'\\xFF'::blob"]),
        "flag": ("bit(8)", ["1", "65", "255"]),
        "mood": ("enum('wild','b','C')", ["'b'", "'C'", "'wild'"]),
        "accents": ("varchar(9) collate utf8mb4_unicode_ci", ["'A'", "'é'", "'Z'"]),
        "year": ("year", ["1901", "2024", "2155"]),
        "clock": ("time(3)", ["interval '-838 hours'", "interval '10 hours 0.25 seconds'", "interval '838 hours'"]),
        "unsigned": ("bigint unsigned", ["0", "9223372036854775808::hugeint", "18446744073709551615::hugeint"]),
        "blob": ("longblob", ["'a'::blob", "'b'::blob", "'c'::blob"]),
    },
}  # fmt: skip


@pytest.mark.parametrize("by", ["delete_by", "range_key"])
def test_keys_of_any_type_are_compared_as_the_table_compares_them(shop, by):  # noqa: F811
    kinds = ODD | ODD_OF[shop.family]
    if shop.family == "postgres":
        shop.sql("create extension citext; create type mood as enum ('sad', 'glücklich', 'wild'); create domain price as numeric(8,2)")
    shop.sql(*(f"create table t_{name} (k {kind}, n int)" for name, (kind, _) in kinds.items()))
    for values, config in [("012", {"mode": "append"}), ("12", {"mode": "delete_insert", by: "k"})]:
        steps = []
        for name, (_, rows) in kinds.items():
            number = "1" if config["mode"] == "append" else "2"
            select = " union all ".join(f"select {rows[int(place)]} as k, {number} as n" for place in values)
            steps += [shop.project.sql(select, id=f"s_{name}"), {**shop.write(f"s_{name}", table=f"t_{name}", **config), "id": f"w_{name}"}]
        shop.run(steps)
    counted = " union all ".join(f"select '{name}', count(*), sum(n) from t_{name}" for name in kinds)
    # Of three rows, the last two are replaced.
    assert [(name, int(count), int(total)) for name, count, total in shop.sql(counted) if (int(count), int(total)) != (3, 5)] == []


def test_letter_case_and_padding_are_the_tables(shop):  # noqa: F811
    kind = "citext" if shop.family == "postgres" else "varchar(9) collate utf8mb4_unicode_ci"
    if shop.family == "postgres":
        shop.sql("create extension citext")
    shop.sql(f"create table target (id int, k {kind})", "insert into target values (1, 'abc'), (2, 'ABC'), (3, 'abd')")
    shop.load("select 4 as id, 'Abc' as k", mode="delete_insert", delete_by="k")
    assert ids(shop) == [3, 4]


# ---- Other rows


@pytest.mark.parametrize("rule", ["cascade", "set null", "no action"])
def test_rows_of_other_tables_do_not_change(shop, rule):  # noqa: F811
    shop.sql(
        "create table target (id int primary key, boss int, constraint own foreign key (boss) references target (id))", "insert into target values (1, null), (2, null)",
        f"create table child (id int, parent int, constraint of_target foreign key (parent) references target (id) on delete {rule})", "insert into child values (10, 1)",
    )  # fmt: skip
    by_key = {"mode": "delete_insert", "primary_key": "id"}
    error = shop.load("from (values (1), (3)) v(id)", expect=1, **by_key)
    assert error.startswith("data") and "of_target" in error and "mode: upsert" in error, error
    assert ids(shop) == [1, 2] and shop.sql("select id, parent from child") == [(10, 1)]
    if rule == "no action":
        # A row to which nothing refers.
        shop.load("select 2 as id", **by_key)
        assert ids(shop) == [1, 2]
    else:
        assert f"on delete {rule}" in error.lower() and "replace_cascade" in error
        shop.load("from (values (1), (3)) v(id)", replace_cascade=True, **by_key)
        assert ids(shop) == [1, 2, 3] and shop.sql("select id, parent from child") == ([] if rule == "cascade" else [(10, None)])


def test_readers_see_all_rows_and_writers_take_turns(shop):  # noqa: F811
    shop.sql("create table target (id int, day int)", "insert into target select id, 1 from (" + shop.numbers(20_000) + ") n")
    seen, done = set(), threading.Event()

    def look() -> None:
        with shop.server.connect(shop.database) as connection, connection.cursor() as cursor:
            while not done.is_set():
                cursor.execute("select count(*), min(id) > 0 from target where day = 1")
                seen.add(cursor.fetchone()[0])
                connection.commit()

    reader = threading.Thread(target=look)
    reader.start()
    try:
        rows = "select i::int as id, 1 as day from range(1, 20001) r(i)"
        steps = [shop.project.sql(rows)] + [{**shop.write(**BY_DAY), "id": f"write{place}"} for place in range(4)]
        result = shop.run(steps)
        assert all(result["step"][f"write{place}"]["status"] == "success" for place in range(4))
    finally:
        done.set()
        reader.join()
    assert seen == {20_000}
    assert shop.sql("select count(*), count(distinct id) from target") == [(20_000, 20_000)]


# ---- Schemas


def test_a_missing_schema_is_created_only_if_asked(shop):  # noqa: F811
    name = f"{shop.database}_new Ü"
    table = f'"{name}".t' if shop.family == "postgres" else f"`{name}`.t"
    try:
        error = shop.load("select 1 as a", expect=1, table=table)
        assert error.startswith("not-found") and f"`{name}`" in error and "create_schema: true" in error, error
        assert shop.load("select 1 as a", expect=1, table=table, create_schema=True, schema_contract="freeze").startswith("not-found")
        schemas = "select count(*) from information_schema.schemata where schema_name = '{}'".format(name)
        assert shop.sql(schemas) == [(0,)]
        for _ in range(2):
            shop.load("select 1 as a", table=table, create_schema=True)
        assert shop.sql(f"select a from {table}") == [(1,), (1,)]
    finally:
        shop.sql(f'drop schema if exists "{name}" cascade' if shop.family == "postgres" else f"drop database if exists `{name}`")


def test_a_user_who_may_not_create_a_schema_is_told_what_to_grant(shop):  # noqa: F811
    if shop.family == "postgres":
        shop.sql("create user loader password 'r'")
    else:
        shop.sql("create user loader@127.0.0.1 identified by 'r'", f"grant all on {shop.database}.* to loader@127.0.0.1")
    try:
        shop.connect(user="loader", tls="disable" if shop.family == "mysql" else None)
        write = shop.write(table="forbidden.t", create_schema=True)
        error = shop.error(shop.run([shop.project.sql("select 1 as a"), write], expect=1, password="r"), "write")
        assert error.startswith("denied") and "`forbidden`" in error and "grant" in error, error
        if shop.family == "postgres":
            assert f"grant create on database {shop.database} to loader" in error
    finally:
        shop.sql("drop user loader" if shop.family == "postgres" else "drop user loader@127.0.0.1")


def test_the_schema_of_a_failed_load_does_not_stay(postgres_shop):  # noqa: F811
    assert postgres_shop.load("select null::int as a", expect=1, table="fresh.t", create_schema=True, primary_key="a").startswith("data")
    assert postgres_shop.sql("select count(*) from pg_namespace where nspname = 'fresh'") == [(0,)]
