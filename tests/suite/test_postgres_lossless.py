"""What postgres.writer never changes: values, keys, rows of other tables. See test_postgres.py for the rest."""

import json

import pytest
from shops import Increments, postgres, postgres_shop as shop  # noqa: F401: fixtures

SETUP = """
create extension citext; create type mood as enum ('calm', 'loud');
create domain whole as integer check (value >= 0); create domain wholer as whole; create domain day as date; create domain short as varchar(3);
create domain wholes as integer[]; create domain price as numeric(6,2);
"""


# A PostgreSQL type, a DuckDB value, and a word that describes the loss.
LOSSES = [
    ("whole", "2.5::double", "fractions"), ("wholer", "2.5::double", "fractions"), ("integer[]", "[1.4, 2.6]::double[]", "fractions"),
    ("wholes", "[1.5::double]", "fractions"), ("whole[]", "[2.5::float]", "fractions"), ("integer", "2.5", "fractions"), ("integer[]", "[[1.0], [2.5]]", "fractions"),
    ("day", "timestamp '2024-05-01 10:00:00'", "time of day"), ("date[]", "[timestamp '2024-05-01 10:00:00']", "time of day"),
    ("timestamp(0)", "timestamp '2024-05-01 10:00:00.654321'", "fractions of a second"), ("timestamptz(3)", "timestamptz '2024-05-01 10:00:00.6543+00'", "3 of a second"),
    ("time(0)", "time '10:00:00.5'", "fractions of a second"), ("double precision", "9007199254740993::bigint", "53 bits"), ("real", "0.1::double", "24 bits"),
    ("real", "16777217", "24 bits"), ("numeric(5,1)", "1.26", "1 decimals"), ("numeric(10,2)", "12.345::decimal(18,3)", "2 decimals"), ("price", "0.125::double", "2 decimals"),
    ("numeric(3,-2)", "150", "last 2 digits"), ("numeric(10,2)[]", "[1.001]", "2 decimals"), ("money", "12.345::decimal(10,3)", "2 decimals"),
    ("time", "interval '1 day 10 hours'", "days"), ("time", "timetz '10:00:00+02:00'", "offset"), ("time", "timestamp '2024-05-01 10:00:00'", "the date"),
    ("interval day", "interval '1 day 10 hours'", "hours"), ("interval(0)", "interval '1.5 seconds'", "fractions of a second"), ("interval year", "interval '13 months'", "months"),
    ("timestamp", "timestamptz '2024-05-01 10:00:00+00'", "time zone"), ("date", "timestamptz '2024-05-01 00:00:00+00'", "zone"),
    ("timestamp", "timestamp_ns '2024-05-01 10:00:00.123456789'", "6 of a second"), ("integer", "'2.5'", "how the number is written"), ("integer", "'007'", "how the number"),
    ("numeric(6,2)", "'1.005'", "digits"), ("date", "'2024-05-01 23:59:59'", "how it is written"), ("varchar(3)", "'abc '", "characters beyond 3"), ("short", "'abcd'", "characters beyond 3"),
    ("char(3)", "'abcd'", "characters beyond 3"), ("varchar(2)[]", "['abc']", "characters beyond 2"), ("name", "repeat('x', 64)", "bytes beyond 63"), ('"char"', "'ab'", "bytes beyond 1"),
    ("bit(3)", "'10101'::bit", "3 bits"), ("varbit(3)", "'10101'::bit", "bits beyond 3"), ("mood", "'happy'", "none of `calm`"), ("smallint", "40000", "outside"),
    ("oid", "-1", "outside"), ("text", "'a' || chr(0)", "NUL"), ("jsonb", "{'a': 'nan'::double}", "NaN"), ("uuid", "'x'", "UUID"), ("numeric(5,2)", "'inf'::double", "infinities"),
]  # fmt: skip


def test_values_that_would_change_are_refused_by_column_row_and_value(shop):
    shop.sql(SETUP)
    steps = []
    for place, (kind, value, _) in enumerate(LOSSES):
        shop.sql(f"create table t{place} (id int, a {kind})")
        steps.append(shop.project.sql(f"select * from (values (1, null), (2, {value})) t(id, a)", id=f"s{place}"))
        steps.append({**shop.write(f"s{place}", table=f"t{place}"), "id": f"w{place}"})
    result = shop.run(steps, expect=1)
    for place, (kind, value, lost) in enumerate(LOSSES):
        error = result["step"][f"w{place}"]["error"]
        assert error and error["kind"] == "data", f"{value} into {kind}: {error}"
        message = error["message"]
        assert "`a`, row 2" in message and lost in message and "on_loss" in message, f"{value} into {kind}: {message}"
        assert shop.sql(f"select count(*) from t{place}") == [(0,)]
    assert "domain over integer" in result["step"]["w0"]["error"]["message"]


# A PostgreSQL type, a DuckDB value, and PostgreSQL's text of it afterwards.
KEPT = [
    ("whole", "3.0::double", "3"), ("integer[]", "[1.0, null, 3.0]::double[]", "{1,NULL,3}"), ("day", "timestamp '2024-05-01 00:00:00'", "2024-05-01"), ("date", "timestamp 'infinity'", "infinity"),
    ("numeric", "0.1::double + 0.2::double", "0.30000000000000004"), ("numeric(5,1)", "1.3::double", "1.3"), ("numeric(5,1)", "1.20", "1.2"), ("numeric[]", "[0.1::float]", "{0.1}"),
    ("money", "12.34", "$12.34"), ("real", "0.5::double", "0.5"), ("double precision", "9007199254740992::bigint", "9.007199254740992e+15"), ("double precision", "0.1", "0.1"),
    ("timestamp(0)", "timestamp '2024-05-01 10:00:00'", "2024-05-01 10:00:00"), ("time", "interval '10 hours'", "10:00:00"), ("interval day", "interval '2 days'", "2 days"),
    ("integer", "'-7'", "-7"), ("numeric(6,2)", "'1.500'", "1.50"), ("timestamptz", "'2024-05-01T10:00:00.312+02:00'", "2024-05-01 08:00:00.312+00"), ("timestamp", "'2024-05-01T10:00:00'", "2024-05-01 10:00:00"),
    ("boolean", "'t'", "true"), ("uuid", "'80000000-0000-0000-0000-00000000000A'", "80000000-0000-0000-0000-00000000000a"), ("short", "'abc'", "abc"), ("bit(3)[]", "['101']", "{101}"), ("varbit(5)", "'101'", "101"),
    ("mood[]", "['calm', null]", "{calm,NULL}"), ("inet", "'10.0.0.1/8'", "10.0.0.1/8"), ("int4range", "'[1,3)'", "[1,3)"), ("bytea", "'\\xff'", "\\xff"), ("json", "'{\"a\":  1}'", '{"a":  1}'),
    ("jsonb", "{'a': '0.1234567890123456789'::json}", '{"a": 0.1234567890123456789}'), ("text", "['a']::varchar[]", "{a}"), ("xml", "'<a/>'", "<a/>"), ("citext", "'Ab'", "Ab"),
    ("timestamp", "timestamp_ns '2024-05-01 10:00:00.123456'", "2024-05-01 10:00:00.123456"), ("numeric(3,-2)", "12300", "12300"), ("numeric(3,5)", "0.00123", "0.00123"),
]  # fmt: skip


def test_values_that_do_not_change_are_written(shop):
    shop.sql(SETUP)
    steps = []
    for place, (kind, value, _) in enumerate(KEPT):
        shop.sql(f"create table t{place} (id int, a {kind})")
        steps.append(shop.project.sql(f"select 1 as id, {value} as a", id=f"s{place}"))
        steps.append({**shop.write(f"s{place}", table=f"t{place}"), "id": f"w{place}"})
    shop.run(steps)
    for place, (kind, value, text) in enumerate(KEPT):
        assert shop.sql("set timezone = 'UTC'", f"select a::text from t{place}") == [(text,)], f"{value} into {kind}"


def test_json_of_which_jsonb_would_drop_a_part_is_refused(shop):
    shop.sql("create domain doc as jsonb", "create table target (id int, b jsonb, d doc, l jsonb[], j json, t text)")
    twice = """'{"x": {"k": 1, "k": 2}}'"""
    for column, value in [("b", f"{twice}::json"), ("b", twice), ("d", f"{twice}::json"), ("l", f"[{twice}::json]"), ("b", f"{{'s': {twice}::json}}")]:
        error = shop.load(f"select * from (values (1, null), (2, {value})) t(id, {column})", expect=1)
        assert error.startswith("data") and f"`{column}`, row 2" in error and "`k` twice" in error, error
    assert "`k` twice" in shop.load(f"select {twice}::json as doc", expect=1, table="fresh")
    shop.load(f"select 1 as id, {twice}::json as j, {twice}::json as t, '{{\"k\": 1, \"l\": [{{\"k\": 1}}, {{\"k\": 1}}]}}'::json as b")
    assert shop.sql("select j::text, t, b::text from target") == [(twice[1:-1], twice[1:-1], '{"k": 1, "l": [{"k": 1}, {"k": 1}]}')]


def test_permitted_losses_are_rounded_or_nulled_and_counted(shop):
    shop.sql("create table target (id int, n numeric(5,1), i int, t timestamp(0), v varchar(2), l int[])")
    rows = "select 1 as id, 1.26::double as n, 2.5 as i, timestamp '2024-05-01 10:00:00.5' as t, 'abc' as v, [1.5, 2.0] as l union all select 2, 1.2, 3.0, timestamp '2024-05-01', 'ab', [1.0]"
    result = shop.run([shop.project.sql(rows), shop.write(on_loss={"default": "round", "v": "null"})])
    assert [tuple(map(str, row)) for row in shop.sql("select * from target order by id")] == [
        ("1", "1.3", "3", "2024-05-01 10:00:01", "None", "[2, 2]"), ("2", "1.2", "3", "2024-05-01 00:00:00", "ab", "[1]")]  # fmt: skip
    said = json.dumps(shop.project.events(result)) + result["stderr"]
    assert said.count("values were rounded") >= 4 and "values became null" in said
    error = shop.load("select 1 as id, 99999.96::double as n", expect=1, on_loss="round")
    assert "`n`" in error and "nearest" in error and shop.sql("select count(*) from target") == [(2,)]
    assert "`z`" in shop.load(rows, expect=1, on_loss={"z": "null"})
    assert "outside" in shop.load("select 3000000000 as i", expect=1, on_loss={"default": "null", "i": "error"})


# ---- Keys

KEYS = [
    ("char(5)", "'AB'", "'AB '"), ("numeric(5,1)", "1.2", "1.20"), ("citext", "'ab'", "'AB'"), ("uuid", "'80000000-0000-0000-0000-00000000000a'", "'80000000-0000-0000-0000-00000000000A'"),
    ("text collate blind", "'ab'", "'AB'"), ("timestamptz", "'2024-05-01T10:00:00Z'", "'2024-05-01T12:00:00+02:00'"), ("inet", "'10.0.0.1'", "'10.0.0.1/32'"), ("padded", "'x'", "'x '"),
]  # fmt: skip


@pytest.mark.parametrize("index", ["primary key", ""])
def test_rows_with_an_equal_key_are_refused_naming_both_and_an_upsert_run_twice_equals_one(shop, index):
    shop.sql("create extension citext; create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false); create domain padded as char(4)")
    steps, again, last = [], [], []
    for place, (kind, one, other) in enumerate(KEYS):
        shop.sql(f"create table t{place} (k {kind} {index}, n int)", f"insert into t{place} values ({one if one[0] == chr(39) else one}, 0)")
        steps.append(shop.project.sql(f"select * from (values (1, {one}), (7, null), (2, {other})) t(n, k) where k is not null", id=f"s{place}"))
        write = {"mode": "upsert", "primary_key": ["k"], "table": f"t{place}"}
        again.append([shop.project.sql(f"select 5 as n, {other} as k", id=f"s{place}"), {**shop.write(f"s{place}", **write), "id": f"w{place}"}])
        steps.append({**shop.write(f"s{place}", **write), "id": f"w{place}"})
        last += [steps[-2], {**shop.write(f"s{place}", **write, on_duplicate_key="last"), "id": f"w{place}"}]
    result = shop.run(steps, expect=1)
    for place, (kind, one, other) in enumerate(KEYS):
        error = result["step"][f"w{place}"]["error"]
        assert error and error["kind"] == "data", (kind, error)
        assert all(word in error["message"] for word in ["rows 1 and 2", "`k` = `" + one.strip("'"), other.strip("'"), "on_duplicate_key"]), error
        assert shop.sql(f"select count(*), max(n) from t{place}") == [(1, 0)]
    for _ in range(2):
        shop.run([step for pair in again for step in pair])
        for place, (kind, _, _) in enumerate(KEYS):
            assert shop.sql(f"select count(*), max(n) from t{place}") == [(1, 5)], kind
    result = shop.run(last)
    for place, (kind, _, _) in enumerate(KEYS):
        assert shop.sql(f"select count(*), max(n) from t{place}") == [(1, 2)], kind
    assert "a later row" in json.dumps(shop.project.events(result))


def test_padded_codes_of_two_systems(shop):
    shop.sql("create table parts (code char(5) primary key, stock integer)", "insert into parts values ('AB', 1), ('ZZ', 9)")
    rows = "select * from (values ('AB', 2), ('AB ', 3), ('CD', 4)) t(code, stock)"
    error = shop.load(rows, expect=1, table="parts", mode="upsert", primary_key="code")
    assert "`code`" in error and "rows 1 and 2" in error and shop.sql("select rtrim(code), stock from parts order by 1") == [("AB", 1), ("ZZ", 9)]
    shop.load(rows, table="parts", write_mode="upsert", upsert_keys=["code"], on_duplicate_key="last")
    assert shop.sql("select rtrim(code), stock from parts order by 1") == [("AB", 3), ("CD", 4), ("ZZ", 9)]


@pytest.mark.parametrize(
    "index",
    ["create unique index on target (k) where n > 0", "create unique index on target (lower(k))", "alter table target add unique (k) deferrable", 'create unique index on target (k collate "C")', "create unique index on target (k, n)", ""],
)
def test_an_upsert_does_not_require_an_index(shop, index):
    shop.sql("create table target (k varchar(9), n int, kept int default 7)", "insert into target values ('a', 0, 1)", *([index] if index else []))
    for _ in range(2):
        result = shop.run([shop.project.sql("select * from (values ('a', 1), ('b', 2)) t(k, n)"), shop.write(mode="upsert", primary_key=["k"])])
        assert shop.sql("select * from target order by k") == [("a", 1, 1), ("b", 2, 7)]
    assert "no unique index" in json.dumps(shop.project.events(result))


def test_created_keys_are_as_distinct_as_in_the_source(shop):
    shop.load("""select * from (values ('{"a":1}'::json, {'x': 1.0}, 'a', 1), ('{"a": 1}', {'x': 1.00}, 'A', 2), ('{"a":1.0}', {'x': 2.0}, 'a ', 3)) t(j, s, v, n)""", primary_key=["j", "v"])
    assert shop.sql("select j, v, n from target order by n") == [('{"a":1}', "a", 1), ('{"a": 1}', "A", 2), ('{"a":1.0}', "a ", 3)]
    error = shop.load("select * from (values (1, 5), (null, 6)) t(k, n)", expect=1, table="other", mode="upsert", primary_key=["k"])
    assert "null in row 2" in error


def test_names_that_differ_only_in_case_are_refused(shop):
    shop.sql("create table target (id int, \"Name\" text)")
    for sql in ("select 1 as ID", "select 1 as id, 'x' as name", "select 1 as \"Id\""):
        for contract in ("evolve", "discard_columns", "freeze"):
            error = shop.load(sql, expect=1, schema_contract=contract)
            assert "letter case" in error and " as \"" in error, error
    assert "letter case" in shop.load("select 1 as id", expect=1, primary_key=["ID"])
    error = shop.load("select 1 as id", expect=1, table="public.Target")
    assert error.startswith("config") and "`target`" in error, error
    shop.load("select 1 as id, 'x' as \"Name\"")
    assert shop.sql("select * from target") == [(1, "x")]


# ---- Replace


CHILDREN = """
create table customers (id integer primary key, code text unique, name text, note text default 'none');
insert into customers values (1, 'a', 'Ada', 'x'), (2, 'b', 'Bo', 'y');
create table invoices (id integer primary key, customer integer, constraint invoices_customer_fkey foreign key (customer) references customers {action});
create table lines (invoice integer references invoices on delete cascade);
insert into invoices values (10, 1), (20, 2); insert into lines values (10), (20);
"""
ROWS = "select * from (values (1, 'a', 'Ada'), (2, 'b', 'Bo B.'), (3, 'c', 'Cy')) t(id, code, name)"


@pytest.mark.parametrize("action", ["on delete cascade", "on delete set null", "on delete set default", "on update cascade", "", "on delete cascade deferrable initially deferred"])
def test_a_replacement_leaves_the_rows_of_other_tables_alone(shop, action):
    shop.sql(CHILDREN.format(action=action))
    both = lambda: (shop.sql("select * from invoices order by id"), shop.sql("select * from lines order by 1"))  # noqa: E731
    before = both()
    for _ in range(2):
        shop.load(ROWS, table="customers", mode="replace")
        assert shop.sql("select * from customers order by id") == [(1, "a", "Ada", "none"), (2, "b", "Bo B.", "none"), (3, "c", "Cy", "none")]
        assert both() == before
    # A row that something refers to is missing.
    error = shop.load(ROWS + " where id <> 2", expect=1, table="customers", mode="replace")
    assert error.startswith("data") and "invoices_customer_fkey" in error, error
    assert both() == before and shop.sql("select count(*) from customers") == [(3,)]
    shop.load(ROWS + " where id <> 3", table="customers", mode="replace")
    assert shop.sql("select id from customers order by 1") == [(1,), (2,)] and both() == before
    if action:
        error = shop.load("select 'Ada' as name", expect=1, table="customers", mode="replace")
        assert "invoices_customer_fkey" in error and both() == before
    if action.startswith("on delete cascade"):
        shop.load(ROWS + " where id = 1", table="customers", mode="replace", replace_cascade=True)
        assert both() == ([], [])


def test_a_replacement_by_another_key_than_the_primary_and_of_rows_that_refer_to_each_other(shop):
    shop.sql("create table boss (id serial primary key, code text unique, leader text references boss (code) on delete cascade)", "insert into boss (code, leader) values ('a', null), ('b', 'a'), ('c', 'b')")
    shop.sql("create table notes (code text references boss (code) on delete cascade)", "insert into notes values ('c')")
    shop.load("select * from (values ('c', null), ('d', 'c')) t(code, leader)", table="boss", mode="replace")
    assert shop.sql("select code, leader from boss order by 1") == [("c", None), ("d", "c")] and shop.sql("select * from notes") == [("c",)]
    error = shop.load("select unnest(['c', null]) as code", expect=1, table="boss", mode="replace")
    assert "one by one" in error and "null in row 2" in error, error
    shop.sql("create table more (id int references boss (id) on delete set null)", "insert into more select id from boss where code = 'c'")
    error = shop.load("select 'c' as code", expect=1, table="boss", mode="replace")
    assert "more_id_fkey" in error or "notes_code_fkey" in error, error


def test_a_replacement_changes_only_its_own_table(shop):
    shop.sql("create table target (a int)", "create table heir (b int) inherits (target)", "insert into target values (1)", "insert into heir values (2, 2)")
    shop.load("select 3 as a", mode="replace")
    assert shop.sql("select a from only target") == [(3,)] and shop.sql("select a from heir") == [(2,)]
    shop.load("select * from (values (2), (3)) t(a)", mode="upsert", primary_key=["a"])
    assert shop.sql("select a from only target order by 1") == [(2,), (3,)] and shop.sql("select a from heir") == [(2,)]
    shop.load("select 4 as a", mode="replace", replace_cascade=True)
    assert shop.sql("select a from target") == [(4,)]
    shop.sql("create table parted (a int) partition by range (a)", "create table low partition of parted for values from (0) to (10)", "create table high partition of parted for values from (10) to (20)", "insert into parted values (1), (11)")
    shop.load("select 12 as a", table="parted", mode="replace")
    assert shop.sql("select a from parted") == [(12,)]
    shop.load("select 2 as a", table="low", mode="replace")
    assert shop.sql("select a from parted order by 1") == [(2,), (12,)]


def test_a_table_can_be_created_again_with_new_types(shop):
    shop.sql("create user reader2", "create table target (a int, gone int)", "grant select on target to reader2 with grant option", "insert into target values (1, 1)")
    shop.load("select 2.5 as a, 'x' as b", mode="replace", replace="recreate", primary_key=["b"])
    assert [(str(a), b) for a, b in shop.sql("select * from target")] == [("2.5", "x")]
    assert shop.sql("select privilege_type, is_grantable from information_schema.role_table_grants where grantee = 'reader2'") == [("SELECT", "YES")]
    shop.sql("create view seen as select * from target")
    error = shop.load("select 1 as a", expect=1, mode="replace", replace_by="recreate")
    assert "seen" in error and shop.sql("select count(*) from seen") == [(1,)]
    for wrong in ({"mode": "append"}, {"mode": "replace", "schema_contract": "freeze"}):
        assert shop.load("select 1 as a", expect=1, replace_by="recreate", **wrong).startswith("config")
    shop.sql("drop view seen", "drop table target", "drop user reader2")


def test_rows_that_a_trigger_drops_are_counted_and_texts_are_truncated_if_requested(shop):
    shop.sql("create table target (id int, t varchar(3))", "create function skip() returns trigger language plpgsql as $$ begin return case when new.id <> 2 then new end; end $$")
    shop.sql("create trigger skip before insert on target for each row execute function skip()")
    result = shop.run([shop.project.sql("select unnest([1, 2, 3]) as id, 'ü🦆é!' as t"), shop.write(on_loss="round")])
    assert shop.sql("select * from target") == [(1, "ü🦆é"), (3, "ü🦆é")]
    warned = [(warning["message"].split(",")[0].split(";")[0], warning["fields"]["count"]) for warning in result["step"]["write"]["warnings"]]
    assert warned == [("values were rounded", "3"), ("the table did not take all rows", "1")]
    shop.sql("create table other (n smallint)")
    error = shop.load("select 70000 as n", expect=1, table="other")
    assert "outside" in error and "on_loss: round" not in error, error


def test_a_uuid_can_be_the_cursor(shop):
    first, second = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in "12")
    shop.sql("create table log (id int, at uuid)", f"insert into log values (1, '{first}')")
    increments = Increments(shop)
    assert increments.ids() == [1]
    shop.sql(f"insert into log values (2, '{first}'), (3, '{second}')")
    assert increments.ids() == [2, 3]
    assert increments.ids() == []


# ---- The wire


def test_statements_with_a_nul_are_refused_before_they_are_sent(shop):
    shop.sql("create table t (id int, note text)")
    for config in ({"query": "select * from t where note = 'a\0b' and id = 5"}, {"table": "t", "filter": "note = 'a\0b' or id = 1"}):
        error = shop.read(expect=1, **config)
        assert error.startswith("config") and "NUL" in error, error


def test_rows_that_the_server_refuses_are_not_sent_to_the_end(shop):
    shop.sql("create domain small as int check (value < 10)", "create table target (id small, t text)")
    from cut_proxy import CutProxy

    with CutProxy(shop.server.port) as proxy:
        shop.connect(port=proxy.port, tls="disable")
        error = shop.load("select i::int as id, repeat('x', 1000) as t from range(1, 120001) r(i)", expect=1)
        assert "small" in error and "check" in error, error
        assert sum(passed["up"] for passed in proxy.passed) < 60_000_000
