"""What mysql.writer never changes: values, keys, and rows of other tables."""

import pytest
from shops import mariadb  # noqa: F401: a fixture
from shops import mysql_shop as shop  # noqa: F401: a fixture


# Names that describe the loss, MySQL's type, and a value of DuckDB that it cannot hold unchanged.
LOST = {
    "double_int": ("int", "2.5::double"), "float_int": ("bigint", "0.5::float"), "decimal_int": ("int", "2.50::decimal(9,2)"),
    "decimal_big": ("bigint", "1.5::decimal(9,2)"), "decimal_unsigned": ("int unsigned", "0.49::decimal(9,2)"), "text_int": ("int", "'2.5'"),
    "blanks_int": ("int", "' 7 '"), "plus_int": ("int", "'+7'"), "zero_int": ("int", "'007'"), "below_unsigned": ("int unsigned", "-1"),
    "past_tiny": ("tinyint", "128"), "past_big": ("bigint", "9223372036854775808::hugeint"), "past_medium": ("mediumint", "8388608"),
    "moment": ("datetime", "timestamp '2024-05-01 10:00:00.654321'"), "moment3": ("datetime(3)", "timestamp '2024-05-01 10:00:00.654321'"),
    "stamp": ("timestamp null", "timestamptz '2024-05-01 10:00:00.5+00'"), "past_stamp": ("timestamp null", "timestamp '2038-01-20 00:00:00'"),
    "before_stamp": ("timestamp null", "timestamp '1969-12-31 23:59:59'"), "nanos": ("datetime(6)", "'2024-05-01 10:00:00.123456789'::timestamp_ns"),
    "text_ms": ("datetime", "'2024-05-01 10:00:00.250'"), "text_nano": ("datetime(6)", "'2024-05-01 10:00:00.123456789'"),
    "text_offset": ("datetime", "'2024-05-01 10:00:00+02:00'"), "clock": ("time", "time '10:00:00.5'"), "clock3": ("time(3)", "time '10:00:00.0005'"),
    "text_day": ("date", "'2024-05-01 10:00:00'"), "odd_day": ("date", "'01.05.2024'"), "day": ("date", "timestamp '2024-05-01 23:59:59'"), "zoned_day": ("date", "timestamptz '2024-05-01 00:00:00+00'"),
    "infinite_day": ("date", "'infinity'::date"), "past_day": ("date", "date '9999-12-31' + 1"), "bc": ("date", "'0044-03-15 (BC)'::date"),
    "moment_time": ("time", "timestamp '2024-05-01 10:00:00'"), "offset_time": ("time", "'10:00:00+02'::timetz"),
    "long_span": ("time", "interval '839 hours'"), "day_span": ("time", "interval '1 day 2 hours'"), "part_span": ("time", "interval '1.5 seconds'"), "month_span": ("time", "interval '1 month'"),
    "big_double": ("double", "9007199254740993"), "big_float": ("float", "16777217"), "double_float": ("float", "0.1::double"), "decimal_double": ("double", "1234567890123456.78::decimal(18,2)"),
    "nan": ("double", "'nan'::double"), "minus_zero": ("double", "'-0.0'::double"), "minus_zero_float": ("float", "'-0.0'::float"), "inf": ("double", "'infinity'::double"), "text_double": ("double", "'0.10000000000000000001'"),
    "scale": ("decimal(5,1)", "12.34::decimal(9,2)"), "double_scale": ("decimal(5,1)", "1.24::double"), "text_scale": ("decimal(5,1)", "'1.25'"), "past_decimal": ("decimal(3,1)", "100::int"),
    "old_float": ("float(7,2)", "1.234::double"), "negative": ("decimal(5,1) unsigned", "-1.5::decimal(5,1)"),
    "trailing": ("char(5)", "'AB '"), "long": ("varchar(3)", "'ab  '"), "long_char": ("char(2)", "'abc'"), "bytes": ("tinytext", "repeat('ü', 128)"), "number_text": ("varchar(3)", "12345"),
    "latin": ("varchar(9) character set latin1", "'α'"), "ascii": ("varchar(9) character set ascii", "'ü'"), "plane": ("varchar(9) character set utf8mb3", "'🦆'"), "cyrillic": ("varchar(9) character set koi8r", "'🦆'"),
    "padding": ("binary(4)", "'ab'::blob"), "long_bytes": ("varbinary(2)", "'abc'::blob"), "text_of_bytes": ("varchar(9)", "'ab'::blob"),
    "year70": ("year", "70"), "year_text": ("year", "'99'"), "past_year": ("year", "2156"), "year_part": ("year", "2024.5::double"),
    "short_bits": ("bit(8)", "'101'::bit"), "long_bits": ("bit(2)", "4"), "not_bits": ("bit(8)", "'12'"),
    "case_enum": ("enum('a','B')", "'b'"), "index_enum": ("enum('a','B')", "'1'"), "blank_enum": ("enum('a','B')", "'a '"),
    "order_set": ("set('a','b')", "'b,a'"), "twice_set": ("set('a','b')", "'a,a'"), "case_set": ("set('a','b')", "'A'"), "number_set": ("set('a','b')", "'3'"),
    "flag": ("bit(1)", "2"), "geometry": ("point", "7"), "ident": ("uuid", "'not a uuid'"), "address": ("inet6", "'not an address'"),
    "special": ("json", "[1.5, 'nan'::double]"), "not_json": ("json", "'{'::varchar"), "nan_json": ("json", "'nan'::double"), "comma_json": ("json", "'[1,]'"), "bytes_json": ("json", "'a'::blob"),
}  # fmt: skip


@pytest.mark.parametrize("local_infile", [1, 0])
def test_values_that_a_column_cannot_hold_are_refused_by_name_even_if_the_server_accepts_them(shop, local_infile):
    """One writer for each value, since the first loss ends it; each omits the columns that its table lacks."""
    lost = LOST if local_infile else dict(list(LOST.items())[::3])
    shop.sql(*(f"create table t_{name} (id int primary key, `{name}` {kind})" for name, (kind, _) in lost.items()), f"set global local_infile = {local_infile}")
    try:
        values = ", ".join(f'{value} as "{name}"' for name, (_, value) in lost.items())
        source = shop.project.sql(f"from (select 1 as id union all by name select 2 as id, {values}) order by id")
        result = shop.run([source, *({**shop.write(table=f"t_{name}", schema_contract="discard_columns"), "id": name} for name in lost)], expect=1)
        assert shop.sql(" union all ".join(f"select '{name}' from t_{name}" for name in lost)) == []
        for name in lost:
            error = result["step"][name]["error"]
            assert error and error["kind"] == "data", (name, error)
            message = error["message"].split("cannot write table")[1].split(":", 2)[2]
            assert f"column `{name}`" in message or f"'{name}'" in message or f"`{name}`" in message, (name, message)
    finally:
        shop.sql("set global local_infile = 1")


# MySQL's type, DuckDB's value, and the value on the server afterwards.
KEPT = {
    "double_int": ("int", "3.0::double", "3"), "huge_int": ("bigint", "1e15::double", "1000000000000000"), "decimal_int": ("int", "-2.00::decimal(9,2)", "-2"), "text_int": ("bigint", "'-7'", "-7"), "unsigned": ("bigint unsigned", "18446744073709551615::hugeint", "18446744073709551615"),
    "moment": ("datetime", "timestamp '2024-05-01 10:00:00'", "2024-05-01 10:00:00"), "moment3": ("datetime(3)", "timestamp '2024-05-01 10:00:00.654'", "2024-05-01 10:00:00.654"), "text_moment": ("datetime(3)", "'2024-05-01T10:00:00.250'", "2024-05-01 10:00:00.250"),
    "nine": ("datetime(6)", "'2024-05-01 10:00:00.123456000'", "2024-05-01 10:00:00.123456"), "nanos": ("datetime(6)", "'2024-05-01 10:00:00.123456'::timestamp_ns", "2024-05-01 10:00:00.123456"),
    "stamp": ("timestamp null", "timestamptz '2024-05-01 10:00:00+02'", "2024-05-01 08:00:00"), "text_stamp": ("timestamp null", "'2024-05-01 10:00:00+02:00'", "2024-05-01 08:00:00"), "last_stamp": ("timestamp(6) null", "timestamp '2038-01-19 03:14:07.999999'", "2038-01-19 03:14:07.999999"),
    "instant": ("datetime(6)", "timestamptz '2024-05-01 10:00:00.5+02'", "2024-05-01 08:00:00.500000"), "day": ("date", "timestamp '2024-05-01 00:00:00'", "2024-05-01"), "text_day": ("date", "'2024-05-01'", "2024-05-01"), "first_day": ("date", "date '0001-01-01'", "0001-01-01"),
    "clock": ("time(3)", "time '10:00:00.25'", "10:00:00.250"), "span": ("time(1)", "interval '-838:59:58.5'", "-838:59:58.5"), "midnight": ("time", "time '24:00:00'", "24:00:00"),
    "double": ("double", "9007199254740992", "9.007199254740992e15"), "tenth": ("double", "0.1::decimal(3,1)", "0.1"), "float": ("float", "0.5::double", "0.5"), "tenth_float": ("float", "0.1::decimal(3,1)", "0.1"),
    "scale": ("decimal(5,1)", "12.30::decimal(9,2)", "12.3"), "double_scale": ("decimal(5,2)", "1.25::double", "1.25"), "text_scale": ("decimal(5,1)", "'1.50'", "1.5"), "wide": ("decimal(65,30)", "'12345678901234567890123456789012345.5'", "12345678901234567890123456789012345." + "5".ljust(30, "0")),
    "chars": ("char(5)", "' AB'", " AB"), "blanks": ("varchar(5)", "'AB   '", "AB   "), "latin": ("varchar(9) character set latin1", "'naïve €'", "naïve €"), "bool_text": ("varchar(5)", "true", "true"),
    "bytes": ("varbinary(9)", "'x'::varchar", "x"), "fixed": ("binary(2)", "'ab'::blob", "ab"), "year": ("year", "1901", "1901"), "year0": ("year", "0", "0000"), "year_text": ("year", "'2155'", "2155"),
    "flag": ("bit(1)", "true", "\x01"), "number_bits": ("bit(8)", "65", "A"), "text_bits": ("bit(8)", "'01000001'", "A"), "bits": ("bit(8)", "'01000001'::bit", "A"),
    "enum": ("enum('a','B','it''s')", "'it''s'", "it's"), "set": ("set('a','b','c')", "'a,c'", "a,c"), "no_set": ("set('a','b')", "''", ""), "enum_enum": ("enum('a','B')", "'B'::enum('B', 'a')", "B"),
    "day_json": ("json", "date '2024-05-01'", '"2024-05-01"'), "number_json": ("json", "1.50::decimal(9,2)", "1.50"), "flag_json": ("json", "true", "true"), "ident_json": ("json", "'12345678-9abc-4ef0-8234-56789abcdef0'::uuid", '"12345678-9abc-4ef0-8234-56789abcdef0"'),
    "struct": ("json", "{'a': '{\"n\":12345678901234567890.123456789}'::json}", '{"a":{"n":12345678901234567890.123456789}}'), "huge": ("decimal(39,0)", "(-170141183460469231731687303715884105727)::hugeint", "-170141183460469231731687303715884105727"),
    "ident": ("uuid", "'12345678-9abc-4ef0-8234-56789abcdef0'", "12345678-9abc-4ef0-8234-56789abcdef0"), "address": ("inet6", "'2001:db8::1'", "2001:db8::1"), "none": ("int not null default 5", "1", "1"),
}  # fmt: skip


@pytest.mark.parametrize("local_infile", [1, 0])
def test_values_that_a_column_can_hold_arrive_even_if_the_server_warns(shop, local_infile):
    shop.sql("create table target (" + ", ".join(f"`{name}` {kind}" for name, (kind, _, _) in KEPT.items()) + ")", f"set global local_infile = {local_infile}")
    try:
        shop.load("select " + ", ".join(f'{value} as "{name}"' for name, (_, value, _) in KEPT.items()))
        found = shop.sql("select " + ", ".join(f"cast(`{name}` as char)" for name in KEPT) + " from target")[0]
        assert [(name, text, KEPT[name][2]) for name, text in zip(KEPT, found, strict=True) if text != KEPT[name][2]] == []
    finally:
        shop.sql("set global local_infile = 1")


@pytest.mark.parametrize("local_infile", [1, 0])
def test_on_loss_rounds_or_nulls_the_columns_that_the_config_names_and_counts_the_values(shop, local_infile):
    shop.sql("create table target (id int, a int, b datetime, c date, d varchar(2), e set('x','y'), f time, g double)", f"set global local_infile = {local_infile}")
    source = "select 1 as id, 2.5::double as a, timestamp '2024-05-01 10:00:00.654321' as b, timestamp '2024-05-01 23:59:59' as c, 'abc' as d, 'y,x' as e, timestamp '2024-05-01 23:59:59' as f, '-0.0'::double as g"
    source += " union all select 2, 7, timestamp '2024-05-01 10:00:00', timestamp '2024-05-01', 'ab', 'x,y', null, -1.5"
    try:
        result = shop.run([shop.project.sql(source), shop.write(on_loss={"default": "round", "d": "null", "e": "null"})])
        rows = shop.sql("select id, a, cast(b as char), cast(c as char), d, e, cast(f as char), g from target order by id")
        assert rows == [(1, 3, "2024-05-01 10:00:01", "2024-05-01", None, None, "23:59:59", 0), (2, 7, "2024-05-01 10:00:00", "2024-05-01", "ab", "x,y", None, -1.5)]
        warnings = str(result["step"]["write"]["warnings"])
        assert all(f"{name}" in warnings for name in "abcdefg") and "rounded" in warnings and "null" in warnings, warnings
        error = shop.load("select 1 as id, 300000000000.5 as a", expect=1, on_loss="round")
        assert "`a`" in error and "nearest" in error, error
        assert "`nix`" in shop.load("select 1 as id", expect=1, on_loss={"nix": "null"})
    finally:
        shop.sql("set global local_infile = 1")


@pytest.mark.parametrize("local_infile", [1, 0])
def test_geometries_arrive_or_are_refused_by_row(shop, local_infile):
    shop.sql("create table target (id int, g geometry, h geometry)", f"set global local_infile = {local_infile}")
    point = "'\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\xF0\\x3F\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x40'"
    try:
        shop.load(f"from (values (1, {point}::blob, 'POINT (1 2)'::geometry), (2, null, null)) v(id, g, h)")
        assert shop.sql("select id, st_astext(g), st_astext(h) from target order by id") == [(1, "POINT(1 2)", "POINT(1 2)"), (2, None, None)]
        for wrong in ("'\\x00'", "''", point[:-1] + "\\x00'", point.replace("x01", "x07", 1)):
            error = shop.load(f"from (values (1, null), (2, {point}::blob), (3, {wrong}::blob)) v(id, g)", expect=1)
            assert error.startswith("data") and "`g`" in error, (wrong, error)
        assert shop.sql("select count(*) from target") == [(2,)]
        assert "`g`" in shop.load("select 1 as id, 'POINT(1 2)' as g", expect=1)
    finally:
        shop.sql("set global local_infile = 1")


# ---- Keys

UPSERT = {"mode": "upsert", "primary_key": ["k"]}
# The type of a key, two of its values that are equal there, and how the message shows them.
ONE_KEY = {
    "padded": ("char(5)", "'AB'", "'AB'", "'AB'"), "case": ("varchar(9)", "'ab'", "'AB'", "'ab' and 'AB'"), "accent": ("varchar(9)", "'resume'", "'resumé'", "'resume' and 'resumé'"),
    "blank": ("varchar(9) collate utf8mb4_bin", "'AB'", "'AB '", "'AB' and 'AB '"), "number": ("decimal(9,2)", "1.5::decimal(9,3)", "1.500::decimal(9,3)", "'1.50'"), "moment": ("datetime", "timestamp '2024-05-01'", "timestamp '2024-05-01 00:00:00'", "'2024-05-01 00:00:00'"),
    "latin": ("varchar(9) character set latin1", "'é'", "'E'", "'é' and 'E'"), "bytes": ("varbinary(9)", "'\\x00A'::blob", "'\\x00A'::blob", "x'0041'"),
}  # fmt: skip


def test_rows_that_are_one_row_in_the_table_are_named_with_both_values(shop):
    shop.sql(*(f"create table t_{name} (k {kind} primary key, n int)" for name, (kind, *_) in ONE_KEY.items()))
    shop.sql(*(f"create table u_{name} (n int, k {kind}, unique index one_k (k))" for name, (kind, *_) in ONE_KEY.items()))
    steps = []
    for name, (_, first, second, _) in ONE_KEY.items():
        steps.append(shop.project.sql(f"from (values ({first}, 1), (null, 2), ({second}, 3)) v(k, n) where n <> 2 or '{name}' = ''", id=f"s_{name}"))
        steps.append({**shop.write(f"s_{name}", table=f"t_{name}", **UPSERT), "id": f"upsert-{name}"})
        steps.append({**shop.write(f"s_{name}", table=f"u_{name}"), "id": f"append-{name}"})
        steps.append({**shop.write(f"s_{name}", table=f"t_{name}", on_duplicate_key="last", **UPSERT), "id": f"last-{name}"})
    result = shop.run(steps, expect=1)
    for name, (*_, shown) in ONE_KEY.items():
        for step in ("upsert", "append"):
            error = result["step"][f"{step}-{name}"]["error"]
            assert error["kind"] == "data" and "rows 1 and 2" in error["message"] and "`k`" in error["message"] and shown in error["message"], (step, error)
        assert "one_k" in error["message"] and shop.sql(f"select * from u_{name}") == []
        assert result["step"][f"last-{name}"]["error"] is None and "left out" in str(result["step"][f"last-{name}"]["warnings"])
        assert shop.sql(f"select n from t_{name}") == [(3,)]


def test_an_upsert_run_twice_equals_an_upsert_run_once_for_any_key_type(shop):
    keys = {
        "chars": ("char(5)", "'AB'"), "words": ("varchar(9)", "'Ab '"), "price": ("decimal(5,1)", "1.20::decimal(9,2)"), "moment": ("datetime", "timestamp '2024-05-01'"),
        "float": ("float", "0.5::double"), "bits": ("bit(3)", "5"), "years": ("year", "2024"), "mood": ("enum('a','b')", "'b'"), "ident": ("uuid", "uuid()"), "clock": ("time(3)", "time '10:00:00.125'"),
    }  # fmt: skip
    shop.sql(*(f"create table t_{name} (k {kind} primary key, n int)" for name, (kind, _) in keys.items()))
    steps = []
    for name, (_, value) in keys.items():
        steps.append(shop.project.sql(f"select {value} as k, 1 as n", id=f"s_{name}"))
        steps += [{**shop.write(f"s_{name}", table=f"t_{name}", **UPSERT), "id": f"w{run}-{name}"} for run in (1, 2, 3)]
    shop.run(steps)
    # Servers that replicate each other increment by other steps; row numbers of the input do not.
    shop.sql("set global auto_increment_increment = 10", "set global auto_increment_offset = 3")
    try:
        error = shop.load("from (values ('x'), ('y'), ('X')) v(k)", expect=1, table="t_words", **UPSERT)
    finally:
        shop.sql("set global auto_increment_increment = 1", "set global auto_increment_offset = 1")
    assert "rows 1 and 3" in error and "'x' and 'X'" in error, error
    assert shop.sql(" union all ".join(f"select '{name}' from t_{name}" for name in keys)) == [(name,) for name in keys]


def test_keys_of_a_new_table_are_as_distinct_as_in_the_input(shop):
    texts = ["a", "A", "a ", "ä", "ae", "a\u0301", "", "ss", "ß", "🦆", "x" * 700]
    values = ", ".join(f"('{text}', {number})" for number, text in enumerate(texts))
    for _ in range(2):
        shop.load(f"from (values {values}) v(k, n)", **UPSERT)
        assert shop.sql("select k, n from target order by n") == list(zip(texts, range(len(texts))))
    steps = [
        shop.project.sql("select repeat('x', 769) as k"), {**shop.write(table="long", **UPSERT), "id": "long"},
        shop.project.sql("select [1] as k", id="list"), {**shop.write("list", table="list", **UPSERT), "id": "of_list"},
        shop.project.sql("from (values ('\\x00'::blob, 'é', 1.5::decimal(9,2), 'a'::enum('a', 'b'), interval 1 day, timestamp '2024-05-01 00:00:00.000001', '010'::bit, 7::hugeint, true, 'x')) v(a, b, c, d, e, f, g, h, i, j)", id="many"),
        {**shop.write("many", table="many", mode="upsert", primary_key=[*"abcdefghij"]), "id": "of_many"},
        {**shop.write("many", table="many", mode="upsert", primary_key=[*"abcdefghij"]), "id": "again"},
        shop.project.sql("select null as k, 1 as n", id="nulls"), {**shop.write("nulls", **UPSERT), "id": "of_null"},
    ]  # fmt: skip
    result = shop.run(steps, expect=1)
    assert "`k` (up to 769)" in shop.error(result, "long") and "INTEGER[]" in shop.error(result, "of_list"), result["step"]
    assert "row 1" in shop.error(result, "of_null") and "`k`" in shop.error(result, "of_null")
    assert shop.sql("select count(*), max(e), max(g), max(h) from many") == [(1, "1 day", "010", 7)]


def test_upserts_that_could_overwrite_rows_of_other_keys_are_refused(shop):
    shop.sql(
        "create table prefix (k varchar(9), n int, unique index p (k(3)))", "create table computed (k int primary key, n int, low int generated always as (n % 2) stored unique)",
        "create table preset (k int primary key, n int, hidden int not null default 7 unique)", "create table numbered (id int auto_increment primary key, k int unique, n int, free int unique)",
    )  # fmt: skip
    steps = [shop.project.sql("from (values (1, 1), (2, 2)) v(k, n)"), *({**shop.write(table=table, **UPSERT), "id": table} for table in ("prefix", "computed", "preset", "numbered"))]
    result = shop.run(steps, expect=1)
    assert "unique index over exactly `k`" in shop.error(result, "prefix")
    assert "`low`" in shop.error(result, "computed") and "`hidden`" in shop.error(result, "preset")
    assert result["step"]["numbered"]["error"] is None and shop.sql("select k, n from numbered") == [(1, 1), (2, 2)]


# ---- Names and generated columns


def test_names_match_by_mysqls_rules_and_nearly_equal_tables_are_refused(shop):
    shop.sql("create table Target (Id int primary key, Größe int)")
    assert "`Target`" in shop.load("select 1 as id", expect=1) and shop.sql("show tables") == [("Target",)]
    shop.load("select 1 as ID, 2 as GRÖSSE, 3 as größe", table="Target")
    assert shop.sql("select Id, `Größe`, `GRÖSSE` from Target") == [(1, 3, 2)]
    assert "letter case" in shop.load('select 1 as größe, 2 as x', expect=1, table="TARGET")
    shop.load("select 5 as id", table="Target", schema=shop.database, truncate_before=True)
    assert shop.sql("select Id from Target") == [(5,)]
    assert "not-found" in shop.load("select 1 as id", expect=1, table="other", create_table=False)
    assert "leave one out" in shop.load("select 1 as id", expect=1, table="a.other", schema="b")


def test_generated_columns_are_left_to_the_server_and_invisible_ones_are_written_by_name(shop):
    columns = "id int primary key, qty int not null, price decimal(10,2) not null, total decimal(12,2) generated always as (qty * price) stored, label varchar(40) generated always as (concat('#', id)) virtual, hidden int invisible default 7"
    shop.sql(f"create table lines_in ({columns})", "insert into lines_in (id, qty, price, hidden) values (1, 2, 9.99, 7), (2, 3, 0.50, 8)", "create table lines_out like lines_in", "create table lines_part like lines_in")
    result = shop.run([
        shop.extract("whole", table="lines_in"), shop.extract("named", table="lines_in", columns=["id", "qty", "price", "hidden"]),
        {**shop.write("whole", table="lines_out"), "id": "write-all"}, {**shop.write("named", table="lines_part"), "id": "write-part"},
    ], expect=1)  # fmt: skip
    assert shop.project.types(result, "whole") == {"id": "INTEGER", "qty": "INTEGER", "price": "DECIMAL(10,2)", "total": "DECIMAL(12,2)", "label": "VARCHAR"}
    error = shop.error(result, "write-all")
    assert error.startswith("data") and "`total`, `label`" in error and "generates" in error and "exclude" in error, error
    assert shop.sql("select * from lines_out") == []
    assert [tuple(map(str, row)) for row in shop.sql("select id, qty, price, total, hidden from lines_part order by id")] == [("1", "2", "9.99", "19.98", "7"), ("2", "3", "0.50", "1.50", "8")]


# ---- Replacing a table that others refer to

CUSTOMERS = "from (values (1, 'Ada'), (2, 'Bo B.'), (3, 'Cy')) v(id, name)"


@pytest.mark.parametrize("rule", ["cascade", "set null", "restrict", "no action"])
def test_replace_does_not_change_the_rows_of_other_tables(shop, rule):
    shop.sql(
        "create table target (id int primary key, name varchar(50), boss int, constraint own foreign key (boss) references target (id) on delete cascade)",
        f"create table invoices (id int primary key, customer int, constraint of_customer foreign key (customer) references target (id) on delete {rule} on update cascade)",
        "create table invoice_lines (invoice int, constraint of_invoice foreign key (invoice) references invoices (id) on delete cascade)",
        "insert into target values (1, 'Ada', null), (2, 'Bo', 1)", "insert into invoices values (10, 1), (20, 2), (30, null)", "insert into invoice_lines values (10), (20)",
    )  # fmt: skip
    rest = lambda: (shop.sql("select * from invoices order by id"), shop.sql("select * from invoice_lines order by 1"))  # noqa: E731
    before = rest()
    for config in ({}, {"replace_cascade": True}):
        shop.load(CUSTOMERS, mode="replace", **config)
        assert shop.sql("select id, name from target order by id") == [(1, "Ada"), (2, "Bo B."), (3, "Cy")] and rest() == before
    error = shop.load(f"{CUSTOMERS} where id <> 2", expect=1, mode="replace")
    assert error.startswith("data") and "`of_customer`" in error and "`customer` is 2" in error and "replace_cascade" in error, error
    assert "`of_customer`" in shop.load("select 'x' as name", expect=1, mode="replace")
    assert shop.sql("select count(*) from target") == [(3,)] and rest() == before
    if rule in ("cascade", "set null"):
        shop.load(f"{CUSTOMERS} where id <> 2", mode="replace", replace_cascade=True)
        lines = [(10,)] if rule == "cascade" else [(10,), (20,)]
        kept = [(10, 1), (30, None)] if rule == "cascade" else [(10, 1), (20, None), (30, None)]
        assert shop.sql("select id from target order by id") == [(1,), (3,)] and rest() == (kept, lines)
    else:
        assert shop.load(f"{CUSTOMERS} where id <> 2", expect=1, mode="replace", replace_cascade=True).startswith("data")
        assert shop.sql("select count(*) from target") == [(3,)] and rest() == before


def test_replace_handles_references_to_any_column_and_from_any_database(shop):
    shop.sql(
        "create table target (id int auto_increment primary key, code varchar(9) unique, sort int, key pair (code, sort))", "insert into target values (1, 'a', 1), (2, 'b', 2)",
        "create table child (id int, c varchar(9), foreign key by_code (c) references target (code) on delete cascade on update cascade)", "insert into child values (1, 'A')",
        f"create database {shop.database}_other character set utf8mb4", f"create table {shop.database}_other.pairs (c varchar(9), s int, constraint by_pair foreign key (c, s) references {shop.database}.target (code, sort) on delete set null)",
        f"insert into {shop.database}_other.pairs values ('b', 2), ('b', null)",
    )  # fmt: skip
    try:
        # The rows swap their codes, which is not a change for rows that refer to the codes.
        shop.load("from (values ('b', 2), ('a', 1), ('c', 3)) v(code, sort)", mode="replace")
        assert shop.sql("select c from child") == [("A",)] and shop.sql(f"select c, s from {shop.database}_other.pairs order by s") == [("b", None), ("b", 2)]
        assert "`by_pair`" in shop.load("from (values ('b', 3), ('a', 1)) v(code, sort)", expect=1, mode="replace")
        assert shop.sql("select code, sort from target order by code") == [("a", 1), ("b", 2), ("c", 3)]
    finally:
        shop.sql(f"drop database {shop.database}_other")


def test_replace_by_a_new_table_uses_the_inputs_types(shop):
    shop.sql("create table target (a int, index of_a (a))", "insert into target values (1)")
    result = shop.run([shop.project.sql("select 'x' as a, 2.5::double as b"), shop.write(mode="replace", replace="recreate", primary_key="a")])
    assert shop.sql("select a, b from target") == [("x", 2.5)] and "of_a" in str(result["step"]["write"]["warnings"])
    assert "`a`" in shop.load("select null as a", expect=1, mode="replace", replace_by="recreate", primary_key="a")
    assert "data" in shop.load("select 'nan'::double as a", expect=1, mode="replace", replace_by="recreate")
    shop.sql("create table child (a varchar(255) character set utf8mb4 collate utf8mb4_nopad_bin, constraint kept foreign key (a) references target (a))")
    assert "`kept`" in shop.load("select 1 as a", expect=1, mode="replace", replace_by="recreate")
    assert shop.sql("select a, b from target") == [("x", 2.5)] and shop.sql("show tables") == [("child",), ("target",)]
    assert "replace" in shop.load("select 1 as a", expect=1, replace_by="recreate")


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_the_row_that_breaks_a_check_is_named(shop, mode):  # noqa: F811
    """The first one over all checks, in the input's order, followed by the server's own message."""
    shop.sql("create table target (id int primary key, total decimal(8, 2) check (total >= 0), `a name` varchar(9) not null, at date, later int default 1, constraint `in time` check (at < '2030-01-01' or total = 0), check (later > 0))")
    key = {"primary_key": ["id"]} if mode == "upsert" else {}
    rows = "select i as id, {} as total, {} as \"a name\", date '2024-01-01' + {} as at from range(1, 2001) r(i)"
    for total, name, day, told in [
        ("i", "case when i <> 1500 then 'n' end", "i::int", ["row 1500 of the input has no `a name`", "not null"]),
        ("if(i in (1200, 1300), -i, i)", "'n'", "i::int", ["row 1200 of the input breaks the table's check `total`", "the server says"]),
        ("1", "'n'", "(i * 2)::int", ["row 1096 of the input breaks the table's check `in time`", "2030-01-01"]),
    ]:
        error = shop.load(rows.format(total, name, day), expect=1, mode=mode, **key)
        assert all(words in error for words in told), error
    # The result of a trigger is unknown, so only the server's own message is shown.
    shop.sql("create trigger fill before insert on target for each row set new.at = '2031-01-01'")
    error = shop.load(rows.format("1", "'n'", "i::int"), expect=1, mode=mode, **key)
    assert "in time" in error and "of the input" not in error, error
    assert shop.sql("select count(*) from target") == [(0,)]
