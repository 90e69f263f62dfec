"""The PostgreSQL drivers: types, modes, and what only they have; see also test_databases.py."""

import json

import pytest
from cut_proxy import CutProxy
from shops import Increments, PostgresShop, postgres  # noqa: F401: a fixture
from shops import postgres_shop as shop  # noqa: F401: a fixture

# ---- Types

EXTRAS = """
create extension citext; create extension hstore;
create type mood as enum ('sad', 'glücklich'); create type pair as (a int, b text);
create domain price as numeric(8, 2);
"""
BIG = "repeat('ä', 524288)"
# Column: PostgreSQL's type, DuckDB's type, and values as SQL: smallest, largest, empty or zero, another, a large one.
TORTURE = {
    "bool": ("bool", "BOOLEAN", ["false", "true", "false", "true"]),
    "int2": ("int2", "SMALLINT", ["'-32768'", "32767", "0", "1"]),
    "int4": ("int4", "INTEGER", ["'-2147483648'", "2147483647", "0", "1"]),
    "int8": ("int8", "BIGINT", ["'-9223372036854775808'", "9223372036854775807", "0", "1"]),
    "oid": ("oid", "UINTEGER", ["0", "4294967295", "0", "1"]),
    "float4": ("float4", "FLOAT", ["'-Infinity'", "'Infinity'", "0", "'1.1754944e-38'", "'3.4028235e38'"]),
    "float8": ("float8", "DOUBLE", ["'-Infinity'", "'NaN'", "'-0'", "'2.2250738585072014e-308'", "'1.7976931348623157e308'"]),
    "money_amount": ("numeric(10,2)", "DECIMAL(10,2)", ["-99999999.99", "99999999.99", "0", "0.01"]),
    "long_decimal": ("numeric(38,10)", "DECIMAL(38,10)", ["'-9999999999999999999999999999.9999999999'", "'9999999999999999999999999999.9999999999'", "0", "0.0000000001", "10000"]),
    "long_integer": ("numeric(38,0)", "DECIMAL(38,0)", ["'-" + "9" * 38 + "'", "'" + "9" * 38 + "'", "0", "10000000"]),
    "coarse": ("numeric(3,-2)", "DECIMAL(5,0)", ["-99900", "99900", "0", "100"]),
    "fine": ("numeric(3,5)", "DECIMAL(5,5)", ["-0.00999", "0.00999", "0", "0.00001"]),
    "unbounded": ("numeric", "VARCHAR", ["'-Infinity'", "'NaN'", "0.000", "'-1e-20'", "1e300"]),
    "wide": ("numeric(60,5)", "VARCHAR", ["-1.5", "1e50", "0", "12345.67891"]),
    "text": ("text", "VARCHAR", ["' '", "'\U0010ffff'", "''", "'naïve 🦆 \"quoted\", \t\\ \n'", BIG]),
    "varchar": ("varchar(20)", "VARCHAR", ["'a'", "'zzzzzzzzzzzzzzzzzzzz'", "''", "'ß'"]),
    "char": ("char(5)", "VARCHAR", ["'a'", "'abcde'", "''", "'ü'"]),
    "name": ("name", "VARCHAR", ["'a'", "'z'", "''", "'ü'"]),
    "one": ('"char"', "VARCHAR", ["'a'", "'z'", "''", "'~'"]),
    "citext": ("citext", "VARCHAR", ["'A'", "'Zz'", "''", "'Ü'"]),
    "bytea": ("bytea", "BLOB", ["'\\x00'", "'\\xff'", "''", "'\\xc3bc00'", "decode(repeat('00ff', 524288), 'hex')"]),
    "date": ("date", "DATE", ["'-infinity'", "'infinity'", "'1970-01-01'", "'4713-01-01 BC'", "'5874897-12-31'"]),
    "time": ("time", "TIME", ["'00:00'", "'24:00'", "'12:34:56.789012'", "'23:59:59.999999'"]),
    "timetz": ("timetz", "TIME WITH TIME ZONE", ["'00:00+15:59:59'", "'24:00-15:59:59'", "'12:00+00'", "'12:34:56.789012-03:30'"]),
    "timestamp": ("timestamp", "TIMESTAMP", ["'-infinity'", "'infinity'", "'1970-01-01'", "'4713-01-01 BC'", "'294246-12-31 23:59:59.999999'"]),
    "timestamptz": ("timestamptz", "TIMESTAMP WITH TIME ZONE", ["'-infinity'", "'infinity'", "'1970-01-01 00:00+00'", "'2013-01-01 05:15:00.123456-05'", "'1900-01-01 00:00+00'"]),
    "interval": ("interval", "INTERVAL", ["'-178000000 years'", "'178000000 years'", "'0'", "'1 year -2 mons 3 days -04:05:06.789012'", "'2562047:00:00'"]),
    "uuid": ("uuid", "UUID", ["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'80000000-0000-0000-0000-000000000000'", "'12345678-9abc-def0-1234-56789abcdef0'"]),
    "json": ("json", "JSON", ["'null'", "'{\"a\": [1, {\"ü\": 1e300}],  \"b\": \"\\u00e9\"}'", "'\"\"'", "'[]'", f"to_json({BIG})"]),
    "jsonb": ("jsonb", "JSON", ["'null'", "'{\"a\": [1, {\"ü\": 1e300}]}'", "'\"\"'", "'{}'", f"to_jsonb({BIG})"]),
    "bit": ("bit(5)", "BIT", ["B'00000'", "B'11111'", "B'10000'", "B'00001'"]),
    "varbit": ("varbit", "VARCHAR", ["B'0'", "B'111111111'", "B''", "B'10000'"]),
    "inet": ("inet", "VARCHAR", ["'0.0.0.0'", "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'", "'10.0.0.1/8'", "'::ffff:1.2.3.4'", "'2001:db8::1/32'"]),
    "cidr": ("cidr", "VARCHAR", ["'0.0.0.0/0'", "'10.1.2.3/32'", "'::/0'", "'2001:db8::/32'"]),
    "macaddr": ("macaddr", "VARCHAR", ["'00:00:00:00:00:00'", "'ff:ff:ff:ff:ff:ff'", "'08:00:2b:01:02:03'", "'aa:bb:cc:dd:ee:0f'"]),
    "macaddr8": ("macaddr8", "VARCHAR", ["'00:00:00:00:00:00:00:00'", "'ff:ff:ff:ff:ff:ff:ff:ff'", "'08:00:2b:01:02:03:04:05'", "'0a:00:2b:01:02:03:04:05'"]),
    "mood": ("mood", "VARCHAR", ["'sad'", "'glücklich'", "'sad'", "'glücklich'"]),
    "price": ("price", "DECIMAL(8,2)", ["-999999.99", "999999.99", "0", "1.50"]),
    "money": ("money", "DECIMAL(21,2)", ["'-92233720368547758.08'", "'92233720368547758.07'", "0", "0.01"]),
    "range": ("int4range", "VARCHAR", ["'[1,5)'", "'(,)'", "'empty'", "'[5,)'"]),
    "multirange": ("nummultirange", "VARCHAR", ["'{[1,2),[3,4)}'", "'{}'", "'{(,)}'", "'{[1.5,2]}'"]),
    "tstzrange": ("tstzrange", "VARCHAR", ["'[2020-01-01 00:00+00,2021-01-01 00:00+00)'", "'(,)'", "'empty'", "'(,2020-01-01 00:00+00]'"]),
    "pair": ("pair", "VARCHAR", ["row(1, 'a,b')", "row(null, '\"')", "row(null, null)", "row(2, 'ü')"]),
    "xml": ("xml", "VARCHAR", ["'<a/>'", "'<a b=\"ü\">text</a>'", "''", "'text'"]),
    "tsvector": ("tsvector", "VARCHAR", ["'a:1 b:2'", "'fat cat'", "''", "'ü:3A'"]),
    "hstore": ("hstore", "VARCHAR", ["'a=>1'", "'\"ü b\"=>NULL'", "''", "'x=>\"y\"'"]),
    "point": ("point", "VARCHAR", ["'(0,0)'", "'(1.5,-2)'", "'(1e300,0)'", "'(Infinity,NaN)'"]),
    "ints": ("int4[]", "INTEGER[]", ["'{}'", "'{1,NULL,-2147483648}'", "'{}'", "'{NULL}'", "array(select generate_series(1, 200000))"]),
    "texts": ("text[]", "VARCHAR[]", ["'{}'", "'{\"a,b\",NULL,\"NULL\",\"\"}'", "'{\"ü\"}'", "'{a}'", f"array[{BIG}]"]),
    "grid": ("int4[][]", "INTEGER[][]", ["'{}'", "'{{1,2},{3,NULL}}'", "'{{7}}'", "'{{1},{2},{3}}'"]),
    "cube": ("text[][][]", "VARCHAR[][][]", ["'{}'", "'{{{a,b},{c,d}},{{e,f},{g,NULL}}}'", "'{{{ü}}}'", "'{{{\"\"}}}'"]),
    "decimals": ("numeric(8,3)[]", "DECIMAL(8,3)[]", ["'{}'", "'{99999.999,-99999.999}'", "'{0}'", "'{NULL}'"]),
    "times": ("timestamptz[]", "TIMESTAMP WITH TIME ZONE[]", ["'{}'", "'{infinity,-infinity}'", "'{\"2020-01-01 00:00+00\"}'", "'{NULL}'"]),
    "uuids": ("uuid[]", "UUID[]", ["'{}'", "'{00000000-0000-0000-0000-000000000000}'", "'{NULL}'", "'{ffffffff-ffff-ffff-ffff-ffffffffffff}'"]),
    "bools": ("bool[]", "BOOLEAN[]", ["'{}'", "'{t,f,NULL}'", "'{t}'", "'{f}'"]),
    "documents": ("jsonb[]", "JSON[]", ["'{}'", "array['{\"a\": 1}'::jsonb, null]", "array['[]'::jsonb]", "array['\"ü\"'::jsonb]"]),
    "moods": ("mood[]", "VARCHAR[]", ["'{}'", "'{sad,glücklich}'", "'{NULL}'", "'{sad}'"]),
    "pairs": ("pair[]", "VARCHAR[]", ["'{}'", "array[row(1, 'a')::pair, null]", "array[row(null, 'ü')::pair]", "'{NULL}'"]),
    "ranges": ("int4range[]", "VARCHAR[]", ["'{}'", "'{\"[1,5)\",empty}'", "'{NULL}'", "'{\"(,)\"}'"]),
}  # fmt: skip


def torture(shop: PostgresShop) -> None:
    shop.sql(EXTRAS)
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, _, _) in TORTURE.items())
    shop.sql(f"create table torture (id int primary key, {columns})")
    names = ", ".join(f'"{name}"' for name in TORTURE)
    shop.sql("insert into torture (id) values (0)")
    for row in range(5):
        values = [f"({(values + [values[-1]])[row]})::{kind}" for kind, _, values in TORTURE.values()]
        shop.sql(f"insert into torture (id, {names}) values ({row + 1}, {', '.join(values)})")


def independent(shop: PostgresShop) -> dict[str, list]:
    """Every column's values as psycopg returns them: texts of PostgreSQL's output functions; lists of texts for
    lists."""
    columns = {}
    with shop.server.connect(shop.database) as connection:
        connection.execute("set timezone = 'UTC'; set intervalstyle = 'postgres'")
        for name, (_, duck, _) in TORTURE.items():
            if duck.endswith("]"):
                rows = connection.execute(f'select "{name}"::text[] from torture order by id').fetchall()
            else:
                cast = "::numeric" if name == "money" else ""
                with connection.cursor().copy(f'copy (select "{name}"{cast} from torture order by id) to stdout') as copy:
                    rows = list(copy.rows())
            columns[name] = [row[0].decode() if isinstance(row[0], bytes) else row[0] for row in rows]
    return columns


def in_duckdb(kind: str) -> str:
    """An expression that converts PostgreSQL's text to a value of `kind`."""
    if kind == "BLOB":
        return "unhex(substr(v, 3))"
    if kind in ("DATE", "TIMESTAMP"):
        return f"cast(regexp_replace(v, '^(\\S+)( \\S+)? BC$', '\\1 (BC)\\2') as {kind})"
    return f"cast(v as {kind})"


def test_every_type_arrives_as_psycopg_reads_it_and_goes_back_unchanged(shop):
    torture(shop)
    shop.sql("create table back (like torture including all)")
    result = shop.run([shop.extract(table="public.torture"), shop.write("extract", table="back")])
    assert result["step"]["extract"]["rows"] == result["step"]["write"]["rows"] == 6
    types = shop.project.types(result, "extract")
    assert types == {"id": "INTEGER"} | {name: kind for name, (_, kind, _) in TORTURE.items()}
    with shop.project.database(result, "extract") as connection:
        connection.execute("set timezone = 'UTC'")
        for name, values in independent(shop).items():
            kind = TORTURE[name][1]
            text = "varchar" + kind[len(kind.rstrip("[]")) :] if kind.endswith("]") else "varchar"
            for row, value in enumerate(values):
                different = connection.execute(
                    f'select "{name}", {in_duckdb(kind)} from main, (select cast(? as {text}) as v) '
                    f'where id = ? and "{name}" is distinct from {in_duckdb(kind)}',
                    [value, row],
                ).fetchall()
                assert not different, f"{name}, row {row}: {str(different)[:300]}"
    different = shop.sql("select t.id from torture t full join back b using (id) where t::text is distinct from b::text")
    assert different == []
    assert shop.sql("select count(*) from back") == [(6,)]


def test_a_query_is_read_with_its_own_types_and_names(shop):
    shop.sql(EXTRAS)
    query = "select 1 as one, 'x' as \"Two words\", array[[1, 2]] as grid, null as nothing, 1.5 as number, row(1, 'a') as record -- the end\n;\n"
    result = shop.run([shop.extract(query=query, array_dimensions={"grid": 2}, numeric="double")])
    assert shop.project.rows(result, "extract") == [(1, "x", [[1, 2]], None, 1.5, "(1,a)")]
    assert list(shop.project.types(result, "extract").values()) == ["INTEGER", "VARCHAR", "INTEGER[][]", "VARCHAR", "DOUBLE", "VARCHAR"]
    assert shop.read(query="with a as (select generate_series(1, 3) as n) select n from a order by n desc limit 2") == [(2,), (3,)]


def test_a_table_is_read_in_part(shop):
    shop.sql('create schema s; create table s."Odd.table" (a int, "b c" text, c date); insert into s."Odd.table" select i, \'t\' || i from generate_series(1, 9) i')
    part = {"table": 's."Odd.table"', "columns": ["b c", "a"], "filter": "a > 5 -- late", "limit": 2}
    assert len(shop.read(**part)) == 2
    assert shop.read(**part | {"limit": 100}) == [(f"t{i}", i) for i in range(6, 10)]
    assert shop.read(table='s."Odd.table"', limit=0) == []
    result = shop.run([shop.extract(table='s."Odd.table"', filter="false")])
    assert shop.project.types(result, "extract") == {"a": "INTEGER", "b c": "VARCHAR", "c": "DATE"}


@pytest.mark.parametrize(
    "config, told",
    [
        ({"table": "missing"}, ["not-found", "missing"]),
        ({"table": "t", "columns": ["a", "z"]}, ["not-found", '"z"']),
        ({"query": "selct 1"}, ["config", "selct"]),
        ({"query": "select 1; select 2"}, ["config"]),
        ({"query": "insert into t values (5)"}, ["config", "no columns"]),
        ({"query": "insert into t values (5) returning a"}, []),
        ({"query": "select 1 as a, 2 as \"A\""}, ["config", "two columns", "`A`"]),
        ({"query": "select 1 / a as a from t"}, ["data", "division by zero"]),
        ({"query": "select array[[1]] as grid"}, ["data", "`grid`", "array_dimensions"]),
        ({"query": "select 'NaN'::numeric(5,2) as n"}, ["data", "`n`", "NaN", "unrepresentable"]),
        ({"query": "select timestamp '294276-12-31' as t"}, ["data", "`t`", "beyond"]),
        ({"table": "t", "array_dimensions": {"z": 2}}, ["config", "`z`", "`a`"]),
        ({"table": "a.b.c"}, ["config", "schema.table"]),
        ({"table": "t", "query": "select 1"}, ["config", "leave one out"]),
        ({}, ["config", "neither"]),
    ],
)  # fmt: skip
def test_values_that_cannot_be_read_are_reported(shop, config, told):
    shop.sql("create table t (a int); insert into t values (0)")
    error = shop.read(expect=1, **config)
    assert all(word in error for word in told), error
    assert shop.sql("select count(*) from t") == [(1,)], "an extractor changes nothing"


def test_values_that_duckdb_does_not_have_can_become_null(shop):
    result = shop.run([shop.extract(unrepresentable="null", query="select 1 as id, 'NaN'::numeric(5,2) as n, timestamp '294276-12-31' as t, array['NaN'::numeric(5,2), 1]::numeric(5,2)[] as l")])
    rows = shop.project.rows(result, "extract")
    assert rows[0][1:3] == (None, None) and rows[0][3][0] is None
    warned = [(warning["fields"]["column"], warning["fields"]["count"]) for warning in result["step"]["extract"]["warnings"]]
    assert warned == [("n", "1"), ("t", "1"), ("l", "1")]


def test_arrays_behind_views_copies_and_domains(shop):
    shop.sql("create type mood as enum ('calm', 'loud'); create domain grid as integer[][]; create domain deep as grid")
    shop.sql("create table base (id integer primary key, cells integer[][], seats deep, shifted integer[], moods mood[])")
    shop.sql("""insert into base values (1, '{{1,2},{3,4}}', '{{5,6},{7,8}}', '[0:2]={10,11,12}', '{calm,loud}'), (2, '{}', null, '[-1:0]={20,NULL}', '{}')""")
    shop.sql("create view v as select * from base; create table copied as select * from base; create materialized view m as select * from base")
    read = lambda id, **config: shop.extract(id, **config)  # noqa: E731
    depths = {"cells": 2, "seats": 2}
    result = shop.run([
        read("base", table="base", array_dimensions={"seats": 2}), *(read(name, table=name, array_dimensions=depths) for name in ("v", "copied", "m")),
        read("bare", table="v"), read("flat", table="v", columns=["id", "shifted", "moods"]),
    ], expect=1)  # fmt: skip
    rows = [(1, [[1, 2], [3, 4]], [[5, 6], [7, 8]], [10, 11, 12], ["calm", "loud"]), (2, [], None, [20, None], [])]
    for name in ("base", "v", "copied", "m"):
        assert shop.project.rows(result, name, "from main order by id") == rows
        assert list(shop.project.types(result, name).values()) == ["INTEGER", "INTEGER[][]", "INTEGER[][]", "INTEGER[]", "VARCHAR[]"]
    error = shop.error(result, "bare")
    assert error.startswith("data") and "array_dimensions" in error and ("`cells`" in error or "`seats`" in error)
    assert shop.project.rows(result, "flat", "from main order by id") == [(1, [10, 11, 12], ["calm", "loud"]), (2, [20, None], [])]


# ---- Increments


@pytest.mark.parametrize("kind, values", [("text", "'a', 'b', 'Ä', '''x\\'"), ("numeric", "1.5, 1.25, 2e30"), ("timestamp", "'2020-01-01', '2020-01-01 00:00:00.000001'"), ("float8", "0.1, 0.30000000000000004")])
def test_cursors_of_every_type_that_has_an_order(shop, kind, values):
    count = len(values.split(", "))
    shop.sql(f"create table log (at {kind} not null); insert into log select unnest(array[{values}]::{kind}[])")
    increments = Increments(shop)
    assert len(increments.run()) == count
    assert increments.run() == []
    shop.sql("insert into log select max(at) from log")
    assert len(increments.run()) == 1
    assert increments.run() == []


OPEN = {
    "timestamptz": ("2024-01-01", "infinity", "2024-02-01"), "timestamp": ("2024-01-01", "infinity", "2024-02-01"), "date": ("2024-01-01", "infinity", "2024-02-01"),
    "double precision": ("10", "NaN", "20"), "real": ("10", "Infinity", "20"), "numeric": ("10", "Infinity", "20"), "numeric(6,2)": ("10", "NaN", "20"),
    "timestamp(0)": ("2024-01-01", "9999-12-31 23:59:59", "2024-02-01"), "date not null": ("2024-01-01", "9999-12-31", "2024-02-01"), "int": ("10", "2147483647", "20"),
}  # fmt: skip


@pytest.mark.parametrize("kind", OPEN)
def test_open_ends_are_read_once_and_block_nothing(shop, kind):
    low, end, high = OPEN[kind]
    shop.sql(f"create table log (id int, at {kind})", f"insert into log values (1, '{low}'), (2, '{end}')")
    # A DECIMAL cannot hold NaN.
    increments = Increments(shop, unrepresentable="null")
    assert increments.ids() == [1, 2]
    said = json.dumps(increments.result["step"]["extract"]["warnings"])
    assert "no place in its order" in said and '"at"' in said and end.split()[0] in said, said
    shop.sql(f"insert into log values (3, '{high}'), (4, '{end}')")
    assert increments.ids() == [3, 4]
    assert increments.ids() == []
    # When an open end gets a real value, it is read at that value.
    shop.sql(f"insert into log values (5, '{high}')", "delete from log where id = 2", f"insert into log values (6, '{end}')")
    assert increments.ids() == [5, 6]
    assert increments.ids() == []


def test_open_ends_alone_do_not_skip_the_first_later_row(shop):
    shop.sql("create table log (id int primary key, at timestamptz)", "insert into log values (1, 'infinity'), (2, '-infinity')")
    increments = Increments(shop)
    assert increments.ids() == [1, 2]
    shop.sql("delete from log where id = 2", "insert into log values (3, '2024-01-01'), (4, '2150-01-01')")
    assert increments.ids() == [3, 4]
    assert "in the future" in json.dumps(increments.result["step"]["extract"]["warnings"])


def test_a_lookback_reads_a_span_again(shop):
    shop.sql("create table log (id int primary key, at timestamptz)", "insert into log values (1, '2024-01-01 00:00+00'), (2, '2024-01-02 00:00+00')")
    increments = Increments(shop, lookback="1d")
    assert increments.ids() == [1, 2]
    shop.sql("insert into log values (3, '2024-01-01 12:00+00'), (4, '2023-12-31 00:00+00')")
    assert increments.ids() == [1, 2, 3]
    shop.sql("insert into log values (5, '2024-01-03 00:00+00')")
    assert increments.ids() == [1, 2, 3, 5]
    assert increments.ids() == [2, 5]
    assert "duration" in Increments(shop, lookback=5).run(expect=1)


@pytest.mark.parametrize("kind, lookback", [("int", 10), ("numeric(9,2)", "10"), ("double precision", 10.0), ("smallint", 10)])
def test_a_lookback_of_numbers(shop, kind, lookback):
    shop.sql(f"create table log (id int, at {kind})", "insert into log values (1, 5), (2, 20)")
    increments = Increments(shop, lookback=lookback)
    assert increments.ids() == [1, 2]
    shop.sql("insert into log values (3, 12), (4, 9)")
    assert increments.ids() == [2, 3]
    assert "number" in Increments(shop, lookback="1h").run(expect=1)


def test_a_run_that_fails_in_the_extractor_keeps_the_old_state(shop):
    shop.sql("create table log (id int primary key, at int not null, n numeric(5,2)); insert into log values (1, 1, 1)")
    increments = Increments(shop)
    increments.run()
    shop.sql("insert into log values (2, 2, 'NaN')")
    assert "NaN" in increments.run(expect=1)
    shop.sql("update log set n = 2 where id = 2")
    assert [row[0] for row in increments.run()] == [2]
    assert increments.run() == []


# ---- Writing

ALL_KINDS = """
select 1 as id, true as bool, (-128)::tinyint as tinyint, 255::utinyint as utinyint, 65535::usmallint as usmallint, 4294967295::uinteger as uinteger,
 18446744073709551615::ubigint as ubigint, '-170141183460469231731687303715884105728'::hugeint as hugeint, '340282366920938463463374607431768211455'::uhugeint as uhugeint,
 1.5::float as float, 'nan'::double as double, 123456789.123::decimal(18,3) as decimal, 'naïve 🦆' as text, '\\x00\\xFF'::blob as blob, 'b'::enum('a', 'b') as mood,
 date '0044-03-15 (BC)' as date, time '23:59:59.999999' as time, '12:00:00-03:30'::timetz as timetz, timestamp 'infinity' as timestamp,
 timestamp_s '2020-01-01 00:00:01' as timestamp_s, timestamp_ms '2020-01-01 00:00:00.123' as timestamp_ms, timestamp_ns '1969-12-31 23:59:59.999999' as timestamp_ns,
 timestamptz '2013-01-01 05:00:00-05' as timestamptz, interval '1 year -2 days 00:00:00.5' as interval, uuid '80000000-0000-0000-0000-000000000001' as uuid,
 '{"a": [1, "ü"]}'::json as json, '10101'::bit as bit, [1, null, 3] as ints, [['a'], ['b']] as grid, [[1, 2], [3, 4]]::integer[2][2] as fixed, []::varchar[] as empty,
 {'a': 1, 'b': [date '2020-01-01']} as struct, map {'k': 1} as map, [{'x': 1}] as structs, union_value(num := 2)::union(num integer, txt varchar) as one_of,
 '123456789012345678901234567890123456789012345'::bignum as bignum, ['{"a":1}'::json] as documents
union all by name select 2 as id
"""  # fmt: skip


def test_every_duckdb_type_has_a_column(shop):
    shop.load(ALL_KINDS, primary_key=["id"])
    types = dict(shop.sql("select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'target'::regclass and attnum > 0"))
    assert types == {
        "id": "integer", "bool": "boolean", "tinyint": "smallint", "utinyint": "smallint", "usmallint": "integer", "uinteger": "bigint",
        "ubigint": "numeric(20,0)", "hugeint": "numeric(39,0)", "uhugeint": "numeric(39,0)", "float": "real", "double": "double precision",
        "decimal": "numeric(18,3)", "text": "text", "blob": "bytea", "mood": "text", "date": "date", "time": "time without time zone",
        "timetz": "time with time zone", "timestamp": "timestamp without time zone", "timestamp_s": "timestamp without time zone",
        "timestamp_ms": "timestamp without time zone", "timestamp_ns": "timestamp without time zone", "timestamptz": "timestamp with time zone",
        "interval": "interval", "uuid": "uuid", "json": "jsonb", "bit": "bit varying", "ints": "integer[]", "grid": "text[]", "fixed": "integer[]",
        "empty": "text[]", "struct": "jsonb", "map": "jsonb", "structs": "jsonb", "one_of": "jsonb", "bignum": "numeric", "documents": "jsonb[]",
    }  # fmt: skip
    values = dict(shop.sql("select key, value from target t, jsonb_each_text(to_jsonb(t)) where id = 1"))
    assert values == {
        "id": "1", "bool": "true", "tinyint": "-128", "utinyint": "255", "usmallint": "65535", "uinteger": "4294967295", "ubigint": "18446744073709551615",
        "hugeint": "-170141183460469231731687303715884105728", "uhugeint": "340282366920938463463374607431768211455", "float": "1.5", "double": "NaN",
        "decimal": "123456789.123", "text": "naïve 🦆", "blob": "\\x00ff", "mood": "b", "date": "0044-03-15 BC", "time": "23:59:59.999999",
        "timetz": "12:00:00-03:30", "timestamp": "infinity", "timestamp_s": "2020-01-01T00:00:01", "timestamp_ms": "2020-01-01T00:00:00.123",
        "timestamp_ns": "1969-12-31T23:59:59.999999", "timestamptz": values["timestamptz"], "interval": "1 year -2 days +00:00:00.5",
        "uuid": "80000000-0000-0000-0000-000000000001", "json": '{"a": [1, "ü"]}', "bit": "10101", "ints": "[1, null, 3]", "grid": '[["a"], ["b"]]',
        "fixed": "[[1, 2], [3, 4]]", "empty": "[]", "struct": '{"a": 1, "b": ["2020-01-01"]}', "map": '{"k": 1}', "structs": '[{"x": 1}]',
        "one_of": values["one_of"], "bignum": "123456789012345678901234567890123456789012345", "documents": '[{"a": 1}]',
    }  # fmt: skip
    assert shop.sql("select timestamptz = '2013-01-01 10:00+00' from target where id = 1") == [(True,)]
    nulls = shop.sql("select value from target t, jsonb_each(to_jsonb(t)) where id = 2 and key <> 'id' and value <> 'null'")
    assert nulls == []
    assert shop.sql("select contype from pg_constraint where conrelid = 'target'::regclass") == [("p",)]


@pytest.mark.parametrize("index", ["primary key", "unique", ""])
def test_an_upsert_twice_is_an_upsert_once(shop, index):
    shop.sql(f"create table target (id int8 {index}, a text, kept text); insert into target values (1, 'old', 'x'), (2, 'old', 'y')")
    for _ in range(2):
        shop.load("select * from (values (2, 'no'), (3, 'no'), (2, 'new'), (3, 'new')) t(id, a)", mode="upsert", primary_key=["id"], on_duplicate_key="last")
        assert shop.sql("select * from target order by id") == [(1, "old", "x"), (2, "new", "y"), (3, "new", None)]


def test_an_upsert_creates_its_key_and_may_have_nothing_else(shop):
    for _ in range(2):
        shop.load("select 1 as a, 'x' as b", mode="upsert", primary_key=["a", "b"])
    assert shop.sql("select * from target") == [(1, "x")]
    assert shop.sql("select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'target'::regclass") == [("PRIMARY KEY (a, b)",)]


@pytest.mark.parametrize("config, told", [({"primary_key": []}, "primary_key"), ({"primary_key": ["z"]}, "`z`"), ({"primary_key": ["a"]}, "null")])
def test_an_upsert_without_a_whole_key_is_refused(shop, config, told):
    shop.sql("create table target (a int unique); insert into target values (1)")
    error = shop.load("select unnest([2, null]) as a", expect=1, mode="upsert", **config)
    assert told in error and shop.sql("select * from target") == [(1,)]


def test_new_columns_follow_the_contract(shop):
    shop.sql("create table target (a int); insert into target values (1)")
    both = "select 2 as a, 'x' as b, 1.5 as c"
    refused = shop.load(both, expect=1, schema_contract="freeze")
    assert "`b`" in refused and "`c`" in refused and "freeze" in refused and "`a`" in refused
    shop.load(both, schema_contract="discard_columns")
    assert shop.sql("select * from target order by a") == [(1,), (2,)]
    shop.load(both)
    shop.load("select 3 as a")
    assert [(row[0], row[1]) for row in shop.sql("select * from target order by a, b nulls first")] == [(1, None), (2, None), (2, "x"), (3, None)]
    shop.load("select 4 as a", schema_contract="freeze")
    assert "freeze" in shop.load("select 1 as a", expect=1, table="fresh", schema_contract="freeze")
    assert "nothing is left" in shop.load("select 1 as z", expect=1, schema_contract="discard_columns")


def test_values_are_converted_to_the_types_of_the_table(shop):
    shop.sql(EXTRAS)
    shop.sql("create table target (i int2, m mood, n inet, j json, v varchar(3), r int4range, d numeric(5,1), ts timestamptz)")
    shop.load("select 5::bigint as i, 'sad' as m, '10.0.0.1/8' as n, '{\"a\":  1}' as j, 'abc' as v, '[1,3)' as r, 1.26 as d, timestamptz '2020-01-01 00:00:00+00' as ts", on_loss={"d": "round"})
    assert shop.sql("select i, m::text, n::text, j::text, v, r::text, d::text from target") == [(5, "sad", "10.0.0.1/8", '{"a":  1}', "abc", "[1,3)", "1.3")]


@pytest.mark.parametrize(
    "column, sql, told",
    [
        ("int2", "select 40000 as a", "outside -32768 to 32767"),
        ("int4", "select 1.5 as a", "fractions"),
        ("date", "select timestamp '2020-01-01 01:00:00' as a", "time of day"),
        ("varchar(3)", "select 'abcd' as a", "characters beyond 3"),
        ("int4", "select 'x' as a", "`x` is VARCHAR"),
        ("int4 not null", "select null::int as a", "row 1 of the input breaks the table's column `a`, which is not null: the server says: null value"),
        ("int4 check (a > 0)", "select -1 as a", "row 1 of the input breaks the table's check `target_a_check`, (a > 0): the server says: new row"),
        ("text", "select 'a' || chr(0) as a", "NUL"),
        ("bool", "select 1 as a", "type boolean"),
        ("date", "select date '5877642-06-25 (BC)' as a", "outside 4714-11-24 (BC)"),
        ("int4[]", "select [[1], [2, 3]] as a", "differ in length"),
        ("int4 unique", "select unnest([7, 7]) as a", "duplicate key"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_leave_the_table_unchanged(shop, column, sql, told):
    shop.sql(f"create table target (a {column}, b int default 5)")
    error = shop.load(sql, expect=1)
    assert told in error and "target" in error, error
    assert shop.sql("select count(*) from target") == [(0,)]


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_the_row_that_breaks_a_constraint_is_named(shop, mode):
    """The first one over all constraints, in the input's order, followed by the server's own message."""
    shop.sql(
        "create table target (id int primary key, total numeric(8, 2) check (total >= 0), name text not null, at date, constraint \"in time\" check (at < '2030-01-01' or total = 0))"
    )
    key = {"primary_key": ["id"]} if mode == "upsert" else {}
    rows = "select i as id, {} as total, {} as name, date '2024-01-01' + i::int as at from range(1, 2001) r(i)"
    for total, name, told in [
        ("i::double", "case when i <> 1500 then 'n' end", ["row 1500 of the input breaks the table's column `name`, which is not null", "Failing row contains (1500, "]),
        ("if(i in (1200, 1300), -i, i)", "if(i = 1500, null, 'n')", ["row 1200 of the input breaks the table's check `target_total_check`", "(total >= (0)::numeric)", "-1200.00"]),
        ("if(i = 3, -0.001, i)", "'n'", ["column `total`"]),
    ]:
        error = shop.load(rows.format(total, name), expect=1, mode=mode, **key)
        assert all(words in error for words in told), error
    error = shop.load(rows.format("1", "'n'").replace("+ i::int", "+ (i * 2)::int"), expect=1, mode=mode, **key)
    assert "row 1096 of the input breaks the table's check `in time`" in error, error
    # The result of a trigger is unknown, so only the server's own message is shown.
    shop.sql("create function fill() returns trigger language plpgsql as $$ begin new.name = coalesce(new.name, 'x'); return new; end $$; create trigger fill before insert on target for each row execute function fill()")
    error = shop.load(rows.format("if(i = 9, -1, 1)", "if(i = 5, null, 'n')"), expect=1, mode=mode, **key)
    assert "target_total_check" in error and "of the input" not in error, error
    shop.load(rows.format("1", "if(i = 5, null, 'n')"), mode=mode, **key)
    assert shop.sql("select count(*) from target where name = 'x'") == [(1,)]


def test_names_are_quoted_or_refused(shop):
    names = ["select", "a b", "ü", 'quo"te', "semi;colon", "x'y", "%s", "A", "a\\b"]
    columns = ", ".join(f'{place} as "{name.replace(chr(34), chr(34) * 2)}"' for place, name in enumerate(names))
    shop.load(f"select {columns}", table='"odd ""table"";--"', primary_key=['quo"te'], mode="upsert")
    assert shop.sql("select count(*) from pg_attribute where attrelid = '\"odd \"\"table\"\";--\"'::regclass and attnum > 0") == [(len(names),)]
    assert shop.read(table='"odd ""table"";--"') == [tuple(range(len(names)))]
    assert "63" in shop.load(f'select 1 as "{"n" * 64}"', expect=1)


def test_missing_privileges_are_named(shop):
    shop.sql("create user reader password 'r'; create table target (a int); create table secret (a int); grant select on target to reader")
    shop.connect(user="reader")
    error = shop.error(shop.run([shop.extract(table="secret")], expect=1, password="r"), "extract")
    assert error.startswith("denied") and "secret" in error
    error = shop.error(shop.run([shop.project.sql("select 1 as a"), shop.write()], expect=1, password="r"), "write")
    assert error.startswith("denied") and "target" in error
    shop.sql("drop table target, secret; drop user reader")


# ---- Discovery and check


def test_the_tables_of_a_connection_are_discovered(shop):
    shop.sql(EXTRAS)
    shop.sql("create table orders (id int primary key, total numeric(10,2) not null, tags text[], m mood, doc jsonb); insert into orders values (1, 1); analyze orders")
    shop.sql("create view seen as select id from orders")
    done = shop.osiris("discover", "@postgres.shop", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    tables = {table["name"]: table for table in found["tables"]}
    assert set(tables) == {"orders", "seen"} and tables["orders"]["primary_key"] == ["id"] and tables["orders"]["estimated_rows"] == 1
    columns = {column["name"]: column["duckdb_type"] for column in tables["orders"]["columns"]}
    assert columns == {"id": "INTEGER", "total": "DECIMAL(10,2)", "tags": "VARCHAR[]", "m": "VARCHAR", "doc": "JSON"}
    again = json.loads(shop.osiris("discover", "@postgres.shop", "--json").stdout)
    assert again["fingerprint"] == found["fingerprint"]


# ---- Faults


def test_a_wrong_login_is_the_users_to_fix(shop):
    assert "28P01" in shop.error(shop.run([shop.extract(query="select 1 as a")], expect=1, password="wr0ng-s3cret"), "extract")
    shop.connect(database="nowhere")
    assert shop.read(expect=1, query="select 1 as a").startswith("not-found")
    shop.connect(user="nobody-known")
    assert shop.read(expect=1, query="select 1 as a").startswith("auth")
    shop.connect(password=None)
    assert "`password`" in shop.read(expect=1, query="select 1 as a")


def test_a_commit_whose_response_is_lost_is_looked_up_and_not_repeated(shop):
    shop.sql("create table target (a int)")
    source = [shop.project.sql("select 1 as a"), shop.write()]
    with CutProxy(shop.server.port) as counting:
        shop.connect(port=counting.port, tls="disable")
        shop.run(source)
        whole = counting.passed[0]["down"]
    with CutProxy(shop.server.port, down=whole - 8, once=True) as proxy:
        # The commit is done, but the last bytes of the server's response never arrive.
        shop.connect(port=proxy.port, tls="disable")
        shop.run(source)
        assert proxy.cuts == 1 and len(proxy.passed) >= 2
    assert shop.sql("select count(*) from target") == [(2,)]
