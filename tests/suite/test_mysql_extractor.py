"""What mysql.extractor never changes: values, and which rows an incremental run reads."""

import json

import pytest
from shops import Increments, mariadb  # noqa: F401: a fixture
from shops import mysql_shop as shop  # noqa: F401: a fixture

# MySQL's type, a value as SQL, and DuckDB's text of it.
VALUES = {
    "zerofill": ("int(6) unsigned zerofill", "42", "42"), "unsigned": ("bigint unsigned", "18446744073709551615", "18446744073709551615"), "wide": ("decimal(65,30)", "'12345678901234567890123456789012345.123456789012345678901234567891'", "12345678901234567890123456789012345.123456789012345678901234567891"),
    "exact": ("decimal(38,20)", "'123456789012345678.12345678901234567891'", "123456789012345678.12345678901234567891"), "float": ("float", "0.1", "0.1"), "double": ("double", "0.1", "0.1"), "tiny": ("double", "5e-324", "5e-324"),
    "year": ("year", "0", "0"), "bit": ("bit(12)", "b'000000000101'", "000000000101"), "mood": ("enum('a','it''s')", "'it''s'", "it's"), "flags": ("set('a','b','c')", "'c,a'", "a,c"),
    "digits": ("json", "'{\"a\":  12345678901234567890.1234567890123456789, \"b\": 1.10, \"a\": 1}'", '{"a":  12345678901234567890.1234567890123456789, "b": 1.10, "a": 1}'),
    "euro": ("varchar(9) character set latin1", "'€ ß\\\\'", "€ ß\\"), "greek": ("varchar(9) character set greek", "'αβγ'", "αβγ"), "sjis": ("varchar(9) character set sjis", "'日本'", "日本"), "utf16": ("varchar(9) character set utf16", "'🦆'", "🦆"), "bytes": ("varchar(9) character set binary", "x'00ff'", "\\x00\\xFF"),
    "midnight": ("time", "'24:00:00'", "24:00:00"), "clock": ("time(6)", "'23:59:59.999999'", "23:59:59.999999"), "first": ("datetime(6)", "'0001-01-01 00:00:00.000001'", "0001-01-01 00:00:00.000001"), "last": ("date", "'9999-12-31'", "9999-12-31"), "stamp": ("timestamp(3) null", "'2024-07-01 12:00:00.123'", "2024-07-01 12:00:00.123+00"),
    "blank": ("char(5)", "'a'", "a"), "trailing": ("varchar(5)", "'a  '", "a  "), "empty": ("varchar(5)", "''", ""), "nul": ("varchar(5)", "'a\\0b'", "a\0b"),
}  # fmt: skip


def test_values_at_the_limits_of_their_types_arrive_unchanged(shop):
    shop.sql("create table t (" + ", ".join(f"`{name}` {kind}" for name, (kind, *_) in VALUES.items()) + ")")
    shop.sql("insert into t values (" + ", ".join(value for _, value, _ in VALUES.values()) + ")")
    # The reader's own time zone and modes differ from the server's.
    shop.sql("set global time_zone = '+05:00'", "set global sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'")
    try:
        result = shop.run([shop.extract(table="t")])
    finally:
        shop.sql("set global time_zone = '+00:00'", "set global sql_mode = default")
    found = shop.project.rows(result, "extract", "select columns(*)::varchar from main")[0]
    wrong = [(name, text, VALUES[name][2]) for name, text in zip(VALUES, found, strict=True) if text != VALUES[name][2]]
    assert wrong in ([], [("blank", "a    ", "a")]), wrong


def test_values_without_an_equivalent_in_duckdb_are_named_with_row_and_value_or_counted(shop):
    shop.sql("set sql_mode = ''", "create table t (id int primary key, day date, moment datetime, stamp timestamp null, flag tinyint(1), span time(3), place point)")
    shop.sql("set sql_mode = ''", "insert into t (id) values (1)", "insert into t values (2, '0000-00-00', '2024-02-30', 0, 7, '-25:00:00.5', st_geomfromtext('point(1 2)', 4326)), (3, '2023-13-01', 0, null, 1, '00:00:01', st_geomfromtext('point(1 2)', 4326))")
    steps = [shop.extract(f"x-{name}", query=f"select id, {name} from t order by id") for name in ("day", "moment", "stamp", "flag", "span")]
    steps.append(shop.extract("whole", table="t", zero_dates="null", tinyint1="integer", time="interval"))
    result = shop.run(steps, expect=1)
    for name, told in [("day", "0000-00-00"), ("moment", "0000-00-00"), ("stamp", "0000-00-00"), ("flag", "number 7"), ("span", "-25:00:00.5")]:
        error = shop.error(result, f"x-{name}")
        assert error.startswith("data") and f"`{name}`" in error and "row 2" in error and told in error, error
    assert shop.project.rows(result, "whole", "select day, moment, stamp, flag, span::varchar from main order by id")[1] == (None, None, None, 7, "-25:00:00.5")
    warnings = json.dumps(result["step"]["whole"]["warnings"])
    assert all(f'"{name}"' in warnings for name in ("day", "moment", "stamp", "place")) and "4326" in warnings and "null" in warnings, warnings


def test_a_table_is_read_from_an_offset_in_an_order(shop):
    shop.sql("create table t (id int primary key, `a b` varchar(9), hidden int invisible default 7)", "insert into t (id, `a b`) values (1, 'x'), (2, 'z'), (3, 'y')")
    rows = lambda **config: shop.project.rows(shop.run([shop.extract(**config)]), "extract")  # noqa: E731
    assert rows(table="t", order="a b desc, id", offset=1, limit=1, schema=shop.database) == [(3, "y")]
    assert rows(table="t", order=["id desc"], offset=2, columns=["id", "hidden"], pool_size=5, pool_recycle=60, echo=True) == [(1, 7)]
    assert rows(table="t", order="`a b`", offset=0, schema=None, batch_size=100) == [(1, "x"), (3, "y"), (2, "z")]
    assert rows(query="select 1 as a", table="t") == [(1,)]
    for wrong in ({"order": "id; drop table t"}, {"schema": "nix"}, {"query": "select 1 as a", "offset": 1, "table": "t"}, {"table": "t", "offset": 1, "partitions": 2, "partition_on": "id"}):
        assert shop.read(expect=1, **({"table": "t"} | wrong)).split(":")[0] in ("config", "not-found", "denied")
    assert shop.sql("select count(*) from t") == [(3,)]


def test_rows_at_the_size_limit_of_a_packet_arrive_and_are_written_back_completely(shop):
    """In the binary protocol a row of one LONGTEXT is 6 bytes longer than the text, 11 from 2^24 on; 2^24 - 1 is a full packet."""
    lengths = [16_777_208, 16_777_209, 16_777_210, 16_777_216, 33_554_419]
    shop.sql("create table docs (id int primary key, doc longtext)", "create table back1 (doc longtext)", "create table back0 (doc longtext)")
    shop.sql(*(f"insert into docs select {id}, concat(repeat(char(96 + {id}), {length - 1}), 'Z')" for id, length in enumerate(lengths, 1)))
    result = shop.run([shop.extract(f"row{id}", query=f"select doc from docs where id = {id}") for id in range(1, 6)] + [shop.write("row2", table="back1", mode="replace")])
    for id, length in enumerate(lengths, 1):
        assert shop.project.rows(result, f"row{id}", "select length(doc), left(doc, 1), right(doc, 1) from main") == [(length, chr(96 + id), "Z")]
    shop.sql("set global local_infile = 0")
    try:
        shop.run([shop.extract("row2", query="select doc from docs where id = 2"), shop.write("row2", table="back0", mode="replace")])
    finally:
        shop.sql("set global local_infile = 1")
    for table in ("back0", "back1"):
        assert shop.sql(f"select length(doc), md5(doc) = (select md5(doc) from docs where id = 2) from {table}") == [(16_777_209, 1)]


# ---- Increments


@pytest.mark.parametrize(("kind", "sentinel", "values"), [
    ("date", "'9999-12-31'", ["'2024-01-01'", "'2024-01-02'"]), ("datetime(6)", "'9999-12-31 23:59:59'", ["'2024-01-01'", "'2024-01-02'"]), ("timestamp null", "'2038-01-19 03:14:07'", ["'2024-01-01'", "'2024-01-02'"]),
    ("int", "2147483647", ["-5", "7"]), ("bigint", "9223372036854775807", ["5", "7"]),
])  # fmt: skip
def test_values_without_a_place_in_the_order_block_no_later_rows(shop, kind, sentinel, values):
    shop.sql(f"create table log (id int primary key, at {kind})", f"insert into log values (1, {sentinel})")
    increments = Increments(shop)
    assert increments.ids() == [1] and "sentinel" not in increments.result["stderr"]
    assert "stands for no place" in json.dumps(increments.result["step"]["extract"]["warnings"])
    shop.sql(f"insert into log values (2, {values[0]}), (3, {sentinel})")
    assert increments.ids() == [2, 3]
    shop.sql(f"insert into log values (4, {values[1]}), (5, {values[1]})")
    assert increments.ids() == [4, 5] and increments.ids() == []
    shop.sql(f"insert into log values (6, {values[1]})", f"update log set at = {values[1]} where id = 1")
    assert increments.ids() == [1, 6] and increments.ids() == []


def test_cursors_that_may_hide_later_rows_give_a_warning(shop):
    shop.sql("create table log (id int primary key, at varchar(9), day date)", "insert into log values (1, 'zzz', current_date + interval 300 day)")
    steps = lambda number: [shop.extract(f"{name}-{number}", table="log", replication="incremental", cursor=name) for name in ("at", "day")]  # noqa: E731
    result = shop.run(steps(1))
    warnings = [json.dumps(result["step"][f"{name}-1"]["warnings"]) for name in ("at", "day")]
    assert "text" in warnings[0] and "zzz" in warnings[0] and "future" in warnings[1], warnings
    shop.sql("update log set day = '2024-01-01', at = '0001'")
    result = shop.run(steps(2))
    assert [step["warnings"] for step in result["steps"]] == [[], []]


@pytest.mark.parametrize(("kind", "values", "lookback"), [
    ("datetime", ["'2024-01-01'", "'2024-01-02'", "'2024-01-03'", "'2024-01-04'"], "1d"), ("date", ["'2024-01-01'", "'2024-01-02'", "'2024-01-03'", "'2024-01-04'"], "23h 60m"),
    ("bigint unsigned", ["1", "11", "21", "31"], 10), ("decimal(9,2)", ["-1.5", "-1.0", "-0.5", "0"], 0.5), ("timestamp null", ["'2024-01-01'", "'2024-01-02'", "'2024-01-03'", "'2024-01-04'"], "86400s"),
])  # fmt: skip
def test_a_lookback_reads_a_span_again(shop, kind, values, lookback):
    shop.sql(f"create table log (id int primary key, at {kind})", f"insert into log values (1, {values[0]}), (2, {values[1]}), (3, {values[2]})")
    increments = Increments(shop, lookback=lookback)
    assert increments.ids() == [1, 2, 3]
    assert increments.ids() == [2, 3]
    shop.sql(f"insert into log values (4, {values[1]}), (5, {values[3]}), (6, {values[0]})")
    # Rows that precede the last run's greatest value by a span, and later ones; the next run looks back from the new
    # greatest value.
    assert increments.ids() == [2, 3, 4, 5]
    assert increments.ids() == [3, 5]
    shop.sql("delete from log where id = 5")
    assert increments.ids() == [3]


def test_a_lookback_of_another_kind_than_its_cursor_is_refused(shop):
    shop.sql("create table log (id int primary key, at date, name varchar(9))", "insert into log values (1, '2024-01-01', 'a')")
    for cursor, lookback in [("at", 5), ("id", "1d"), ("name", "1d"), ("at", "soon")]:
        for _ in range(2):
            result = shop.run([shop.extract(table="log", replication="incremental", cursor=cursor, lookback=lookback)], expect=1)
        assert "lookback" in json.dumps(result["step"]["extract"]["error"]), (cursor, lookback, result)
    assert "incremental" in shop.read(expect=1, table="log", lookback="1d")
    huge = Increments(shop, lookback="50000w")
    assert huge.ids() == [1] and huge.ids() == [1]


def test_defaults_of_the_servers_sessions_truncate_nothing(shop):
    shop.sql("create table log (id int primary key, at int, t varchar(9))", "insert into log select seq, seq, 'abcdefgh' from seq_1_to_6")
    shop.sql("set global sql_select_limit = 2", "set global group_concat_max_len = 4", "set global sql_safe_updates = 1", "set global sql_auto_is_null = 1")
    try:
        increments = Increments(shop)
        assert increments.ids() == [1, 2, 3, 4, 5, 6]
        assert shop.read(query="select group_concat(t) as t from log") == [(",".join(["abcdefgh"] * 6),)]
        for mode in ("upsert", "replace"):
            shop.load("select i::int as id, 7 as at, 'x' as t from range(1, 6) r(i)", table="log", mode=mode, primary_key=["id"])
    finally:
        shop.sql("set global sql_select_limit = default", "set global group_concat_max_len = default", "set global sql_safe_updates = 0", "set global sql_auto_is_null = 0")
    assert shop.sql("select count(*), sum(at) from log") == [(5, 35)]
