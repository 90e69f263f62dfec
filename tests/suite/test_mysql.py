"""MySQL and MariaDB through their drivers: types, the flights, increments, modes, and what can go wrong between."""

import csv
import gzip
import itertools
import json
import tempfile
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from certificates import make_certificates
from conftest import DATA, ROOT
from mariadb_server import PASSWORD, MariaDbServer, mariadb  # noqa: F401: a fixture
from postgres_server import CutProxy

NAMES = itertools.count(1)


class Shop:
    """A database of its own, and a project whose connection `@mysql.shop` leads to it."""

    def __init__(self, project, server, database: str):
        self.project, self.server, self.database = project, server, database
        self.sql(f"create database if not exists {database} character set utf8mb4", database=None)
        self.connect()

    def connect(self, **fields) -> None:
        """Writes the connection, with other fields where a test needs them."""
        fields = {"database": self.database, "password": "${MYSQL_TEST_PASSWORD}", "private_network": True} | fields
        self.project.write("osiris_connections.yaml", json.dumps({"connections": {"mysql": {"shop": self.server.connection(**fields)}}}))

    def sql(self, *statements: str, database: str | None = "", conv=None) -> list[tuple]:
        """Runs statements; gives the rows of the last."""
        more = {"conv": conv} if conv else {}
        with self.server.connect(self.database if database == "" else database, **more) as connection, connection.cursor() as cursor:
            cursor.execute("set time_zone = '+00:00'")
            for statement in statements:
                cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]

    def extract(self, id: str = "extract", **config) -> dict:
        return {"id": id, "component": "mysql.extractor", "needs": [], "config": {"connection": "@mysql.shop"} | config}

    def write(self, needs: str = "source", **config) -> dict:
        return {"id": "write", "component": "mysql.writer", "needs": [needs], "config": {"connection": "@mysql.shop", "table": "target"} | config}

    def run(self, steps, *arguments, expect: int = 0, password: str = PASSWORD) -> dict:
        return self.project.run(steps, *arguments, expect=expect, env={"MYSQL_TEST_PASSWORD": password})

    def read(self, *arguments, expect: int = 0, **config):
        """Runs an extractor alone; gives its error, or its rows in order."""
        result = self.run([self.extract(**config)], *arguments, expect=expect)
        return self.error(result, "extract") if expect else self.project.rows(result, "extract", "from main order by all")

    def load(self, sql: str, expect: int = 0, **config):
        """Runs a writer over the rows of DuckDB's `sql`; gives its error, where one is expected."""
        result = self.run([self.project.sql(sql), self.write(**config)], expect=expect)
        return self.error(result, "write") if expect else None

    @staticmethod
    def error(result: dict, step: str) -> str:
        error = result["step"][step]["error"]
        return f"{error['kind']}: {error['message']}"


@pytest.fixture
def shop(project, mariadb):  # noqa: F811
    return Shop(project, mariadb, f"shop{next(NAMES)}")


@pytest.fixture
def secure(project):
    """A server of its own, which tests may stop, with the certificates it can show."""
    folder = Path(tempfile.mkdtemp(prefix="osiris-mariadb-"))
    server = MariaDbServer(folder, make_certificates(folder / "certificates"))
    try:
        yield Shop(project, server.start(), "shop")
    finally:
        server.remove()


# ---- Types

BIG = "repeat('ä', 524288)"
# Column: MySQL's type, DuckDB's type, and values as SQL: smallest, largest, empty or zero, another, a large one.
TORTURE = {
    "tiny1": ("tinyint(1)", "BOOLEAN", ["0", "1", "0", "1"]),
    "tiny": ("tinyint", "TINYINT", ["-128", "127", "0", "1"]),
    "utiny": ("tinyint unsigned", "UTINYINT", ["0", "255", "0", "1"]),
    "small": ("smallint", "SMALLINT", ["-32768", "32767", "0", "1"]),
    "usmall": ("smallint unsigned", "USMALLINT", ["0", "65535", "0", "1"]),
    "medium": ("mediumint", "INTEGER", ["-8388608", "8388607", "0", "1"]),
    "umedium": ("mediumint unsigned", "UINTEGER", ["0", "16777215", "0", "1"]),
    "whole": ("int", "INTEGER", ["-2147483648", "2147483647", "0", "1"]),
    "uwhole": ("int unsigned zerofill", "UINTEGER", ["0", "4294967295", "0", "1"]),
    "big": ("bigint", "BIGINT", ["-9223372036854775808", "9223372036854775807", "0", "1"]),
    "ubig": ("bigint unsigned", "UBIGINT", ["0", "18446744073709551615", "0", "1"]),
    "money": ("decimal(10,2)", "DECIMAL(10,2)", ["-99999999.99", "99999999.99", "0", "0.01"]),
    "long_decimal": ("decimal(38,10)", "DECIMAL(38,10)", ["-" + "9" * 28 + "." + "9" * 10, "9" * 28 + "." + "9" * 10, "0", "0.0000000001"]),
    "udecimal": ("decimal(5,0) unsigned", "DECIMAL(5,0)", ["0", "99999", "0", "7"]),
    "wide": ("decimal(65,30)", "VARCHAR", ["-" + "9" * 35, "9" * 35 + ".5", "0", "0.1"]),
    "f32": ("float", "FLOAT", ["-3.4028234e38", "3.4028234e38", "0", "16777217", "1.17549435e-38"]),
    "f64": ("double", "DOUBLE", ["-1.7976931348623157e308", "1.7976931348623157e308", "0", "0.1", "2.2250738585072014e-308"]),
    "bit1": ("bit(1)", "BIT", ["b'0'", "b'1'", "b'0'", "b'1'"]),
    "bit9": ("bit(9)", "BIT", ["b'0'", "b'111111111'", "b'100000000'", "b'1'"]),
    "bit64": ("bit(64)", "BIT", ["b'0'", "18446744073709551615", "1", "b'10'"]),
    "chars": ("char(5)", "VARCHAR", ["'a'", "'abcde'", "''", "'ü'"]),
    "latin": ("varchar(20) character set latin1", "VARCHAR", ["'a'", "'zzz'", "''", "'naïve ß'"]),
    "words": ("varchar(200)", "VARCHAR", ["' '", "'\U0010ffff'", "''", "'naïve 🦆 \"q\" \\\\ \\' \\t \\n \\r \\0 \\\\N,'"]),
    "long_text": ("longtext", "VARCHAR", ["'a'", "'z'", "''", "'\\\\N'", BIG]),
    "bin": ("binary(4)", "BLOB", ["x'00000000'", "x'ffffffff'", "x''", "x'c3bc'"]),
    "varbin": ("varbinary(20)", "BLOB", ["x'00'", "x'ff'", "x''", "x'5c4e0a09'"]),
    "blobs": ("longblob", "BLOB", ["x'00'", "x'ff'", "x''", "x'0a'", "unhex(repeat('00ff', 524288))"]),
    "day": ("date", "DATE", ["'1000-01-01'", "'9999-12-31'", "'1970-01-01'", "'2024-02-29'"]),
    "moment": ("datetime(6)", "TIMESTAMP", ["'1000-01-01'", "'9999-12-31 23:59:59.999999'", "'1970-01-01'", "'2024-02-29 12:34:56.000001'"]),
    "second": ("datetime", "TIMESTAMP", ["'1000-01-01'", "'9999-12-31 23:59:59'", "'1970-01-01'", "'2024-02-29 12:34:56'"]),
    "stamp": ("timestamp(6) null", "TIMESTAMP WITH TIME ZONE", ["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'", "'2000-01-01'", "'2024-06-01 12:34:56.5'"]),
    "clock": ("time(6)", "TIME", ["'00:00:00'", "'23:59:59.999999'", "'00:00:00'", "'12:34:56.5'"]),
    "years": ("year", "SMALLINT", ["1901", "2155", "0", "2024"]),
    "doc": ("json", "JSON", ["'null'", "'{\"a\": [1, {\"ü\": 1e300}],  \"b\": \"\\\\u00e9\\\\n\"}'", "'\"\"'", "'[]'"]),
    "mood": ("enum('sad','glücklich')", "VARCHAR", ["'sad'", "'glücklich'", "'sad'", "'glücklich'"]),
    "flags": ("set('a','b','ü')", "VARCHAR", ["'a'", "'a,b,ü'", "''", "'ü'"]),
    "ident": ("uuid", "UUID", ["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'80000000-0000-0000-0000-000000000000'", "'12345678-9abc-4ef0-8234-56789abcdef0'"]),
    "address": ("inet6", "VARCHAR", ["'::'", "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'", "'::1'", "'2001:db8::1'"]),
    "place": ("point", "BLOB", ["point(-1, -1)", "point(180, 90)", "point(0, 0)", "point(1.5, -2.5)"]),
}  # fmt: skip


def torture(shop: Shop) -> None:
    columns = ", ".join(f"`{name}` {kind}" for name, (kind, _, _) in TORTURE.items())
    rows = ["null"] * len(TORTURE), *itertools.zip_longest(*(values for _, _, values in TORTURE.values()), fillvalue="null")
    inserts = [f"insert into torture values ({number}, {', '.join(row)})" for number, row in enumerate(rows)]
    shop.sql("set sql_mode = 'STRICT_ALL_TABLES'", f"create table torture (id int primary key, {columns})", *inserts)


def independent(shop: Shop) -> list[tuple]:
    """The table as pymysql reads it, every value made text or bytes by the server itself."""
    spell = {
        "BOOLEAN": "case {c} when 1 then 'true' when 0 then 'false' end", "BIT": "lpad(bin({c}), {bits}, '0')", "BLOB": "hex({c})", "JSON": "{c}",
        "FLOAT": "cast({c} as double)", "DOUBLE": "{c}",
    }  # fmt: skip
    parts = []
    for name, (kind, duck, _) in TORTURE.items():
        bits = kind[4:-1] if kind.startswith("bit") else ""
        form = "hex(st_aswkb({c}))" if kind == "point" else spell.get(duck, "cast({c} as char)")
        parts.append(form.format(c=f"`{name}`", bits=bits))
    return shop.sql(f"select id, {', '.join(parts)} from torture order by id")


def read_as_text(shop: Shop, result: dict) -> list[tuple]:
    """The same of what the driver made, by DuckDB's own text."""
    form = {
        "BLOB": "hex({c})", "FLOAT": "{c}::double", "DOUBLE": "{c}", "TIMESTAMP WITH TIME ZONE": "timezone('UTC', {c})::varchar",
    }  # fmt: skip
    parts = [form.get(duck, "{c}::varchar").format(c=f'"{name}"') for name, (_, duck, _) in TORTURE.items()]
    return shop.project.rows(result, "extract", f"select id, {', '.join(parts)} from main order by id")


def test_every_type_arrives_as_pymysql_reads_it_and_goes_back_unchanged(shop):
    torture(shop)
    shop.sql("create table back like torture")
    result = shop.run([shop.extract(table="torture"), shop.write("extract", table="back", mode="upsert", primary_key=["id"])])
    types = shop.project.types(result, "extract")
    assert types == {"id": "INTEGER"} | {name: duck for name, (_, duck, _) in TORTURE.items()}
    expected, got = independent(shop), read_as_text(shop, result)
    assert len(got) == len(expected) == 6
    for name, wanted, found in zip(["id", *TORTURE], zip(*expected), zip(*got), strict=True):
        kind = TORTURE.get(name, ("", "", []))[0]
        if kind.startswith(("datetime", "timestamp", "time(")):
            # DuckDB leaves a fraction's last zeros away.
            wanted = tuple(text and (text.rstrip("0").rstrip(".") if "." in text else text) for text in wanted)
            found = tuple(text and (text.rstrip("0").rstrip(".") if "." in text else text) for text in found)
        if kind == "year":
            wanted = tuple(text and str(int(text)) for text in wanted)
        if kind == "int unsigned zerofill":
            wanted = tuple(text and str(int(text)) for text in wanted)
        assert found == wanted, name
    for name in TORTURE:
        differing = f"select id, a.`{name}`, b.`{name}` from torture a join back b using (id) where not (a.`{name}` <=> b.`{name}`)"
        assert shop.sql(differing) == [], name
    assert shop.sql("select count(*) from torture") == shop.sql("select count(*) from back")


def test_types_that_can_be_read_in_two_ways(shop):
    shop.sql(
        "set sql_mode = ''", "create table t (flag tinyint(1), span time, day date, moment datetime)",
        "insert into t values (2, '-838:59:59', '0000-00-00', '2024-00-00')",
    )  # fmt: skip
    assert "tinyint1: integer" in shop.read(expect=1, query="select flag from t")
    assert shop.read(query="select flag from t", tinyint1="integer") == [(2,)]
    assert "time: interval" in shop.read(expect=1, query="select span from t")
    assert shop.read(query="select span from t", time="interval") == [(-timedelta(hours=838, minutes=59, seconds=59),)]
    for column in ("day", "moment"):
        error = shop.read(expect=1, query=f"select {column} from t")
        assert error.startswith("data") and f"`{column}`" in error and "zero_dates: null" in error
    assert shop.read(query="select day, moment from t", zero_dates="null") == [(None, None)]


def test_a_table_is_read_in_part(shop):
    shop.sql("create table `odd``name` (id int primary key, `a b` text)", "insert into `odd``name` values (1, 'x'), (2, 'y'), (3, 'z')")
    shop.sql("create table nothing (a int, b text)")
    assert shop.read(table="`odd``name`", columns=["a b", "id"], filter="id > 1 -- not 1") == [("y", 2), ("z", 3)]
    assert len(shop.read(table=f"{shop.database}.`odd``name`", limit=2)) == 2
    assert shop.read(table="nothing") == []
    assert shop.read(query="select 1 as a union all select 2;", batch_size=1) == [(1,), (2,)]


@pytest.mark.parametrize(("config", "told"), [
    ({"table": "missing"}, "not-found"), ({"query": "selec"}, "config"), ({"query": "select ? as a"}, "placeholders"),
    ({"query": "select 1 as a, 2 as A"}, "called `A`"), ({"query": "set @a = 1"}, "no columns"),
    ({"table": "t", "query": "select 1"}, "leave one out"), ({"table": "t", "cursor": "a"}, "incremental"),
])  # fmt: skip
def test_what_cannot_be_read_is_told(shop, config, told):
    shop.sql("create table t (a int)")
    assert told in shop.read(expect=1, **config)


# ---- The flights


def flights(shop: Shop) -> dict:
    whole = "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay carrier flight tailnum origin dest air_time distance hour minute time_hour".split()
    texts = {"carrier", "tailnum", "origin", "dest"}
    columns = ", ".join(f"{name} {'varchar(10)' if name in texts else 'timestamp null' if name == 'time_hour' else 'bigint'}" for name in whole)
    shop.sql(f"create table flights ({columns})", "create table airlines (carrier varchar(10) primary key, name text)")
    for table, opened in [("flights", gzip.open(DATA / "flights.csv.gz", "rt")), ("airlines", open(DATA / "airlines.csv"))]:
        with opened as file, shop.server.connect(shop.database) as connection, connection.cursor() as cursor:
            cursor.execute("set time_zone = '+00:00'")
            rows = csv.reader(file)
            names = next(rows)
            clean = lambda text: None if text == "NA" else text.removesuffix("Z").replace("T", " ") if text.endswith("Z") and "T" in text else text  # noqa: E731
            cursor.execute("begin")
            while block := [[clean(text) for text in row] for row in itertools.islice(rows, 20_000)]:
                cursor.executemany(f"insert into {table} ({', '.join(names)}) values ({', '.join(['%s'] * len(names))})", block)
            cursor.execute("commit")
    return json.loads((ROOT / "tests" / "facts.json").read_text())


def test_the_flights_are_extracted_joined_and_written_back(shop):
    facts = flights(shop)
    join = "select name, count(*) as flights, round(avg(arr_delay), 4) as delay from flights join airlines using (carrier) group by name"
    result = shop.run([
        shop.extract("flights", table="flights"),
        shop.extract("airlines", table="airlines"),
        {"id": "join", "component": "duckdb.processor", "needs": ["flights", "airlines"], "config": {"query": join}},
        shop.write("join", table="by_carrier", mode="replace", primary_key=["name"]),
        {**shop.write("flights", table="flights_back", mode="replace"), "id": "write-flights"},
    ])  # fmt: skip
    assert result["step"]["flights"]["rows"] == facts["flights_rows"]
    assert result["step"]["write-flights"]["rows"] == facts["flights_rows"]
    assert shop.project.types(result, "flights") == facts["flights_types"]
    delays = shop.project.rows(result, "flights", "select sum(dep_delay), count(*) - count(dep_delay) from main")
    assert delays == [(facts["dep_delay"]["sum"], facts["dep_delay"]["nulls"])]
    assert [list(row) for row in shop.sql("select name, flights, delay from by_carrier order by binary name")] == facts["by_carrier"]
    back = shop.sql("select count(*), cast(sum(dep_delay) as signed), count(*) - count(dep_delay) from flights_back")
    assert back == [(facts["flights_rows"], facts["dep_delay"]["sum"], facts["dep_delay"]["nulls"])]
    for one, other in [("flights", "flights_back"), ("flights_back", "flights")]:
        assert shop.sql(f"select count(*) from (select * from {one} except all select * from {other}) d") == [(0,)]


# ---- Increments


class Increments:
    def __init__(self, shop: Shop, **config):
        self.shop, self.config = shop, {"table": "log", "replication": "incremental", "cursor": "at"} | config

    def run(self, expect: int = 0, after: list | None = None):
        result = self.shop.run([self.shop.extract(**self.config), *(after or [])], expect=expect)
        if expect and not after:
            return self.shop.error(result, "extract")
        return [row[0] for row in self.shop.project.rows(result, "extract", "from main order by all")]


@pytest.mark.parametrize("key", ["primary key", ""])
def test_ties_on_the_cursor_are_neither_lost_nor_doubled(shop, key):
    shop.sql(f"create table log (id int {key}, at timestamp(6) not null)")
    shop.sql("insert into log values (1, '2024-01-01'), (2, '2024-01-02'), (3, '2024-01-02')")
    increments = Increments(shop)
    assert increments.run() == [1, 2, 3]
    assert increments.run() == []
    shop.sql("insert into log values (4, '2024-01-02'), (5, '2024-01-03'), (6, '2024-01-03')")
    assert increments.run() == [4, 5, 6]
    shop.sql("insert into log values (7, '2024-01-03')")
    assert increments.run() == [7]
    # 9 is older than what was read, as any cursor would have it.
    shop.sql("insert into log values (8, '2024-01-03'), (9, '2024-01-02')")
    assert increments.run() == [8]
    assert increments.run() == []


@pytest.mark.parametrize(("kind", "values"), [
    ("bigint unsigned", ["1", "18446744073709551615"]), ("decimal(20,5)", ["-1.5", "7"]), ("date", ["'2024-01-01'", "'2024-01-02'"]),
    ("datetime(6)", ["'2024-01-01 00:00:00.000001'", "'2024-01-01 00:00:00.000002'"]), ("varchar(20)", ["'a\\'b'", "'ü'"]),
])  # fmt: skip
def test_cursors_of_any_type_that_has_an_order(shop, kind, values):
    shop.sql(f"create table log (id int primary key, at {kind})", f"insert into log values (1, {values[0]})")
    increments = Increments(shop)
    assert increments.run() == [1]
    shop.sql(f"insert into log values (2, {values[1]}), (3, {values[1]})")
    assert increments.run() == [2, 3]
    assert increments.run() == []


def test_rows_without_a_cursor_are_as_the_config_says(shop):
    shop.sql("create table log (id int primary key, at int)", "insert into log values (1, null), (2, 5), (3, 4)")
    assert "null_cursor" in Increments(shop).run(expect=1)
    assert Increments(shop, null_cursor="skip", initial=5).run() == [2]
    assert Increments(shop, null_cursor="include").run() == [1]


def test_a_run_that_fails_behind_the_extractor_reads_the_same_again(shop):
    shop.sql("create table log (id int primary key, at int)", "insert into log values (1, 1), (2, 2)")
    broken = {"id": "broken", "component": "duckdb.processor", "needs": ["extract"], "config": {"query": "select error('no') as a from extract"}}
    assert Increments(shop).run(expect=1, after=[broken]) == [1, 2]
    assert Increments(shop).run() == [1, 2]
    assert Increments(shop).run() == []


# ---- Writing

EVERYTHING = {
    "a": ("true", "1"), "b": ("(-128)::tinyint", "-128"), "c": ("18446744073709551615::ubigint", str(2**64 - 1)),
    "d": ("170141183460469231731687303715884105727::hugeint", str(2**127 - 1)), "e": ("(-1.25)::decimal(9,2)", "-1.25"),
    "f": ("0.1::double", "0.1"), "g": ("'tab\t nl' || chr(10) || ' \\ '' \\N 🦆' || chr(0)", "tab\t nl\n \\ ' \\N 🦆\0"),
    "h": ("date '2024-02-29'", "2024-02-29"), "i": ("time '12:34:56.789'", "12:34:56.789000"),
    "j": ("timestamp '2024-02-29 12:34:56.789'", "2024-02-29 12:34:56.789000"),
    "k": ("timestamptz '2024-02-29 12:34:56.789+01'", "2024-02-29 11:34:56.789000"), "l": ("interval 25 hour", "25:00:00"),
    "m": ("uuid '12345678-9abc-def0-1234-56789abcdef0'", "12345678-9abc-def0-1234-56789abcdef0"),
    "n": ("[1, null, 3]", "[1,null,3]"), "o": ("{'ü': 'x\"y'}", '{"ü":"x\\"y"}'), "p": ("map{'k': 1}", '{"k":1}'),
    "q": ("'101'::bit", "101"), "r": ("'x'::enum('x', 'y')", "x"), "s": ("'{\"a\": 1}'::json", '{"a": 1}'), "t": ("null::integer", None),
}  # fmt: skip


@pytest.mark.parametrize("local_infile", [1, 0])
def test_every_duckdb_type_has_a_column_by_load_data_and_by_insert(shop, local_infile):
    shop.sql(f"set global local_infile = {local_infile}")
    try:
        select = "select " + ", ".join(f"{sql} as {name}" for name, (sql, _) in EVERYTHING.items()) + ", '\\x00\\x09\\x0A\\x5C\\xFF'::blob as z from range(3)"
        shop.load(select)
        columns = ", ".join(f"cast({name} as char)" for name in EVERYTHING)
        assert shop.sql(f"select {columns}, hex(z) from target") == [(*(text for _, text in EVERYTHING.values()), "00090A5CFF")] * 3
    finally:
        shop.sql("set global local_infile = 1")


def test_modes_add_put_in_place_and_merge(shop):
    shop.load("select 1 as id, 'a' as t", primary_key=["id"])
    shop.load("select 2 as id, 'b' as t")
    assert shop.sql("select * from target order by id") == [(1, "a"), (2, "b")]
    for _ in range(2):
        shop.load("from (values (2, 'B'), (3, 'c')) v(id, t)", mode="upsert", primary_key=["id"])
        assert shop.sql("select * from target order by id") == [(1, "a"), (2, "B"), (3, "c")]
    for _ in range(2):
        shop.load("select 9 as id, 'z' as t", mode="replace")
        assert shop.sql("select * from target") == [(9, "z")]
    shop.load("select 9 as id, 'z' as t where false", mode="replace")
    assert shop.sql("select * from target") == []


def test_new_columns_are_as_the_contract_says(shop):
    shop.sql("create table target (id int)", "insert into target values (1)")
    assert "`extra`" in shop.load("select 2 as id, 'x' as extra", expect=1, schema_contract="freeze")
    shop.load("select 2 as id, 'x' as extra", schema_contract="discard_columns")
    shop.load("select 'y' as Extra, 3 as ID")
    assert shop.sql("select id, extra from target order by id") == [(1, None), (2, None), (3, "y")]
    assert "not-found" in shop.load("select 1 as a", expect=1, table="missing", schema_contract="freeze")


@pytest.mark.parametrize(("column", "sql", "config"), [
    ("tinyint", "300", {}), ("varchar(2)", "'abc'", {}), ("int", "'x'", {}), ("int not null", "null::int", {}),
    ("double", "'nan'::double", {}), ("date", "date '2024-01-01' + interval 9000 year", {}),
    ("int", "unnest([1, 1])", {"mode": "upsert", "primary_key": ["a"]}),
])  # fmt: skip
@pytest.mark.parametrize("local_infile", [1, 0])
def test_what_does_not_fit_leaves_the_table_as_it_was(shop, column, sql, config, local_infile):
    shop.sql(f"create table target (a {column}, unique (a))", f"set global local_infile = {local_infile}")
    try:
        error = shop.load(f"select {sql} as a", expect=1, **{"mode": "replace"} | config)
        assert error.startswith("data"), error
        assert shop.sql("select count(*) from target") == [(0,)]
    finally:
        shop.sql("set global local_infile = 1")


def test_tables_that_cannot_be_written_safely_are_refused(shop):
    shop.sql("create table target (a int) engine = MyISAM", "create table loose (a int, b int)", "create table two (a int primary key, b int unique)")
    assert "MyISAM" in shop.load("select 1 as a", expect=1)
    upsert = {"mode": "upsert", "primary_key": ["a"]}
    assert "unique index" in shop.load("select 1 as a, 2 as b", expect=1, table="loose", **upsert)
    assert "another unique index" in shop.load("select 1 as a, 2 as b", expect=1, table="two", **upsert)
    shop.load("select 1 as a", table="two", **upsert)
    assert shop.sql("select * from two") == [(1, None)]


# ---- Logins and TLS


def test_every_login_that_mariadb_offers(shop):
    shop.sql(
        "create or replace user native@127.0.0.1 identified via mysql_native_password using password('pw-native')",
        "create or replace user signing@127.0.0.1 identified via ed25519 using password('pw-signing')",
        "create or replace user open@127.0.0.1", "create or replace user local@127.0.0.1 identified via unix_socket",
        *(f"grant select on {shop.database}.* to {user}@127.0.0.1" for user in ("native", "signing", "open", "local")),
    )  # fmt: skip
    query = "select substring_index(user(), '@', 1) as u"
    for user, password in [("native", "pw-native"), ("signing", "pw-signing"), ("open", None)]:
        shop.connect(user=user, password=password)
        assert shop.read(query=query) == [(user,)]
        shop.connect(user=user, password="wr0ng-s3cret")
        error = shop.read(expect=1, query=query)
        assert error.startswith("auth") and f"`{user}`" in error and str(shop.server.port) in error and "wr0ng" not in error
    shop.connect(user="local", password="x")
    assert shop.read(expect=1, query=query).startswith("auth")
    shop.connect(user="native", password="pw-native", database="mysql")
    assert shop.read(expect=1, query=query).startswith("denied")
    shop.connect(user="native", password="pw-native")
    assert shop.load("select 1 as a", expect=1).startswith("denied")
    shop.connect(database="nowhere")
    assert shop.read(expect=1, query=query).startswith("not-found")


def test_tls_makes_sure_who_the_server_is(secure):
    trusted = {"host": "localhost", "ssl_mode": "verify-full", "ca": secure.server.certificates.ca_text}
    query = "select variable_value <> '' as encrypted from information_schema.session_status where variable_name = 'Ssl_cipher'"
    secure.connect(**trusted)
    assert secure.read(query=query) == [(1,)]
    secure.connect(**trusted | {"ca": secure.server.certificates.stranger.read_text()})
    assert secure.read(expect=1, query=query).startswith("auth")
    for mode, encrypted in [("disable", 0), ("prefer", 1), ("require", 1)]:
        secure.connect(ssl_mode=mode)
        assert secure.read(query=query) == [(encrypted,)]
    for name in ("expired", "misnamed"):
        secure.server.stop()
        secure.server.show(getattr(secure.server.certificates, name))
        secure.server.start()
        secure.connect(**trusted)
        error = secure.read(expect=1, query=query)
        assert error.startswith("auth") and "localhost" in error, error
        secure.connect(host="localhost", ssl_mode="require")
        assert secure.read(query=query) == [(1,)]


def test_tls_refused_by_the_server_is_told(project):
    server = MariaDbServer(Path(tempfile.mkdtemp(prefix="osiris-mariadb-")), None, {"skip-ssl": "1"})
    try:
        shop = Shop(project, server.start(), "shop")
        assert shop.read(query="select 1 as a") == [(1,)]
        for mode in ("require", "verify-full"):
            shop.connect(ssl_mode=mode)
            error = shop.read(expect=1, query="select 1 as a")
            assert error.startswith("config") and "no TLS" in error and mode in error
    finally:
        server.remove()


# ---- Faults


@pytest.mark.parametrize("cut", [10, 500, 20_000, 3_000_000])
def test_a_connection_cut_while_reading_leaves_no_table_and_a_retry_succeeds(shop, cut):
    shop.sql("create table t as select seq as id, repeat('x', 100) as t from seq_1_to_50000")
    with CutProxy(shop.server.port, down=cut) as proxy:
        shop.connect(port=proxy.port, ssl_mode="disable")
        result = shop.run([shop.extract(table="t")], expect=1)
        error = shop.error(result, "extract")
        assert proxy.cuts >= 1 and error.startswith("transient") and "closed the connection" in error, error
        assert not (Path(result["session_path"]) / "data" / "extract.duckdb").exists()
        proxy.lift()
        assert len(shop.read(table="t")) == 50_000


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
@pytest.mark.parametrize("cut", [300, 100_000, 2_500_000])
def test_a_connection_cut_while_writing_leaves_the_table_as_it_was(shop, mode, cut):
    shop.sql("create table target (id int primary key, t text)", "insert into target values (0, 'old')")
    with CutProxy(shop.server.port, up=cut) as proxy:
        shop.connect(port=proxy.port, ssl_mode="disable")
        config = {"mode": mode, "primary_key": ["id"]}
        source = "select i::int as id, repeat('x', 100) as t from range(1, 50001) r(i)"
        error = shop.load(source, expect=1, **config)
        assert proxy.cuts >= 1 and error.startswith("transient"), error
        assert shop.sql("select * from target") == [(0, "old")]
        proxy.lift()
        shop.load(source, **config)
        kept = [(50_000, 50_000, 1)] if mode == "replace" else [(50_001, 50_001, 0)]
        assert shop.sql("select count(*), count(distinct id), min(id) from target") == kept


def test_a_server_killed_while_writing_keeps_the_old_rows(secure):
    secure.sql("create table target (id int primary key)", "insert into target values (0)")
    with CutProxy(secure.server.port, up=60_000, then=secure.server.kill) as proxy:
        secure.connect(port=proxy.port, ssl_mode="disable")
        assert secure.load("select i::int as id from range(1, 50001) r(i)", expect=1, mode="replace").startswith("transient")
    secure.server.start()
    assert secure.sql("select * from target") == [(0,)]


def test_a_server_that_is_slow_or_silent_is_not_waited_for_for_ever(shop):
    shop.connect(timeout=1)
    assert "timeout" in shop.read(expect=1, query="select sleep(20) as a")
    with CutProxy(shop.server.port, down=5, stall=True) as proxy:
        shop.connect(port=proxy.port, connect_timeout=1)
        assert "timeout" in shop.read(expect=1, query="select 1 as a")


def test_what_the_connection_leads_to_is_discovered(shop):
    shop.sql("create table orders (id int primary key, total decimal(10,2) not null, flag tinyint(1), doc json)", "create view seen as select id from orders")
    done = shop.project.osiris("discover", "@mysql.shop", "--json", env={"MYSQL_TEST_PASSWORD": PASSWORD})
    assert done.returncode == 0, done.stderr
    tables = {table["name"]: table for table in json.loads(done.stdout)["tables"]}
    assert set(tables) == {"orders", "seen"} and tables["orders"]["primary_key"] == ["id"]
    columns = {column["name"]: column["duckdb_type"] for column in tables["orders"]["columns"]}
    assert columns == {"id": "INTEGER", "total": "DECIMAL(10,2)", "flag": "BOOLEAN", "doc": "JSON"}
