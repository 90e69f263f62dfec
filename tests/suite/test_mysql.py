"""The MySQL and MariaDB drivers: types, modes, logins, and what only they have; see also test_databases.py."""

import itertools
import json
import socket
import struct
import threading
from datetime import timedelta

import pytest
from cut_proxy import CutProxy
from shops import Increments, MysqlShop, mariadb  # noqa: F401: a fixture
from shops import mysql_shop as shop  # noqa: F401: a fixture

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


def torture(shop: MysqlShop) -> None:
    columns = ", ".join(f"`{name}` {kind}" for name, (kind, _, _) in TORTURE.items())
    rows = ["null"] * len(TORTURE), *itertools.zip_longest(*(values for _, _, values in TORTURE.values()), fillvalue="null")
    inserts = [f"insert into torture values ({number}, {', '.join(row)})" for number, row in enumerate(rows)]
    shop.sql("set sql_mode = 'STRICT_ALL_TABLES'", f"create table torture (id int primary key, {columns})", *inserts)


def independent(shop: MysqlShop) -> list[tuple]:
    """The table as pymysql reads it, with every value converted to text or bytes by the server itself."""
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


def read_as_text(shop: MysqlShop, result: dict) -> list[tuple]:
    """The same for the driver's table, with DuckDB's own text."""
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
            # DuckDB omits the trailing zeros of a fraction.
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
    ({"query": "select 1 as a", "columns": ["a"]}, "write them into"), ({"table": "t", "cursor": "a"}, "incremental"),
])  # fmt: skip
def test_values_that_cannot_be_read_are_reported(shop, config, told):
    shop.sql("create table t (a int)")
    assert told in shop.read(expect=1, **config)


# ---- Increments


@pytest.mark.parametrize(("kind", "values"), [
    ("bigint unsigned", ["1", "18446744073709551615"]), ("decimal(20,5)", ["-1.5", "7"]), ("date", ["'2024-01-01'", "'2024-01-02'"]),
    ("datetime(6)", ["'2024-01-01 00:00:00.000001'", "'2024-01-01 00:00:00.000002'"]), ("varchar(20)", ["'a\\'b'", "'ü'"]),
])  # fmt: skip
def test_cursors_of_every_type_that_has_an_order(shop, kind, values):
    shop.sql(f"create table log (id int primary key, at {kind})", f"insert into log values (1, {values[0]})")
    increments = Increments(shop)
    assert increments.ids() == [1]
    shop.sql(f"insert into log values (2, {values[1]}), (3, {values[1]})")
    assert increments.ids() == [2, 3]
    assert increments.ids() == []


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


def test_new_columns_follow_the_contract(shop):
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
def test_a_value_that_does_not_fit_leaves_the_table_unchanged(shop, column, sql, config, local_infile):
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


# ---- Faults


class Ending:
    """Is placed before a server, and ends a session at its n-th command as a server does when it shuts down: with an
    error that nobody asked for."""

    def __init__(self, port: int, command: int, number: int, text: str):
        message = b"\xff" + struct.pack("<H", number) + b"#08S01" + text.encode()
        self.server, self.command, self.packet = port, command, struct.pack("<I", len(message))[:3] + b"\0" + message
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self.server))
            threading.Thread(target=self.forward, args=(upstream, client), daemon=True).start()
            with client, upstream:
                # The login comes first, and is not one of the commands.
                for count in range(self.command + 1):
                    if not (sent := client.recv(1 << 16)):
                        break
                    if count == self.command:
                        client.sendall(self.packet)
                        client.shutdown(socket.SHUT_WR)
                        while client.recv(1 << 16):
                            pass
                    else:
                        upstream.sendall(sent)

    @staticmethod
    def forward(upstream, client) -> None:
        try:
            while received := upstream.recv(1 << 16):
                client.sendall(received)
        except OSError:
            pass


@pytest.mark.parametrize(("number", "text"), [(4031, "disconnected by the server because of inactivity"), (1053, "Server shutdown in progress"), (1927, "Connection was killed")])
def test_a_session_that_the_server_ends_is_transient_with_the_servers_reason(shop, number, text):
    shop.sql("create table t (a int)", "insert into t values (1)")
    for command in (3, 5):
        ending = Ending(shop.server.port, command, number, text)
        shop.connect(port=ending.port, tls="disable")
        error = shop.read(expect=1, table="t")
        assert error.startswith("transient") and text in error and str(number) in error, error
        error = shop.load("select 1 as a", expect=1)
        assert error.startswith("transient") and text in error and str(number) in error, error
        ending.listener.close()



@pytest.mark.parametrize(("mode", "told"), [("append", "unknown-outcome"), ("replace", "transient"), ("upsert", "transient")])
def test_a_commit_whose_response_is_lost_is_reported_and_adds_nothing_twice(shop, mode, told):
    shop.sql("create table target (id int primary key)")
    source = [shop.project.sql("select 1 as id"), shop.write(mode=mode, primary_key=["id"])]
    with CutProxy(shop.server.port) as counting:
        shop.connect(port=counting.port, tls="disable")
        shop.run(source)
        whole = counting.passed[0]["down"]
    shop.sql("delete from target")
    with CutProxy(shop.server.port, down=whole - 8, once=True) as proxy:
        # The commit is done, but the last bytes of the server's response never arrive.
        shop.connect(port=proxy.port, tls="disable")
        error = shop.error(shop.run(source, expect=1), "write")
        assert proxy.cuts == 1 and error.startswith(told), error
        assert ("look before running again" in error) == (mode == "append"), error
        assert len(proxy.passed) == 1 and shop.sql("select * from target") == [(1,)]
        if mode != "append":
            shop.run(source)
            assert shop.sql("select * from target") == [(1,)]


def test_the_tables_of_a_connection_are_discovered(shop):
    shop.sql("create table orders (id int primary key, total decimal(10,2) not null, flag tinyint(1), doc json)", "create view seen as select id from orders")
    done = shop.osiris("discover", "@mysql.shop", "--json")
    assert done.returncode == 0, done.stderr
    tables = {table["name"]: table for table in json.loads(done.stdout)["tables"]}
    assert set(tables) == {"orders", "seen"} and tables["orders"]["primary_key"] == ["id"]
    columns = {column["name"]: column["duckdb_type"] for column in tables["orders"]["columns"]}
    assert columns == {"id": "INTEGER", "total": "DECIMAL(10,2)", "flag": "BOOLEAN", "doc": "JSON"}


