"""In every driver that reads JSON responses (http.extractor, graphql.extractor, supabase.extractor), numbers keep
their digits, and fields that flatten to the same name stay separate."""

import json
from decimal import Decimal

import pytest
from http_server import Reply, web  # noqa: F401
from http_steps import failed as http_failed
from http_steps import grant
from http_steps import read as http_read
from postgres_server import postgres  # noqa: F401, a fixture
from test_supabase import database, execute, supabase  # noqa: F401
from test_supabase import read as supabase_read

BLOCKS = """[{"n": 1, "wei": 1234567890123456789012, "low": -9223372036854775809, "declared": 12345678901234567890123456789012345678,
 "as_text": 20000000000000000000001, "rate": 0.12345678901234567891, "mixed": 9007199254740993, "o": {"l": [9007199254740993], "x": 1234567890123456.78},
 "j": {"a": 12345678901234567890.123456789, "b": 1.10}, "v": 1.10, "big": 1e400, "ids": [18446744073709551616], "price": 1.5},
 {"n": 2, "wei": 5, "low": 1, "declared": 1, "as_text": 1, "rate": 1.5, "mixed": 0.5, "o": {"l": [0.5], "x": 1}, "j": 1.10, "v": "x", "big": 1, "ids": [], "price": 2}]"""
DTYPE = {"declared": "HUGEINT", "as_text": "VARCHAR", "rate": "DECIMAL(30,20)", "j": "JSON", "v": "VARCHAR"}


def check_blocks(project, result):
    types = project.types(result, "read")
    assert {name: types[name] for name in ("wei", "low", "declared", "mixed", "big", "ids", "price")} == {
        "wei": "DECIMAL(38,0)", "low": "DECIMAL(38,0)", "declared": "HUGEINT", "mixed": "DECIMAL(38,1)", "big": "VARCHAR", "ids": "DECIMAL(38,0)[]", "price": "DOUBLE",
    }  # fmt: skip
    select = "select wei::varchar, low::varchar, declared::varchar, as_text, rate::varchar, mixed::varchar, j::varchar, v, big, ids::varchar from main order by n"
    assert project.rows(result, "read", select) == [
        ("1234567890123456789012", "-9223372036854775809", "12345678901234567890123456789012345678", "20000000000000000000001",
         "0.12345678901234567891", "9007199254740993.0", '{"a":12345678901234567890.123456789,"b":1.10}', "1.10", "1e+400", "[18446744073709551616]"),
        ("5", "1", "1", "1", "1.50000000000000000000", "0.5", "1.10", "x", "1", "[]"),
    ]  # fmt: skip


def test_http_responses_keep_their_digits(project, web):
    url = web.route("/blocks", lambda _: Reply(body=BLOCKS.encode()))
    grant(project, web)
    result = http_read(project, url=url, dtype=DTYPE)
    check_blocks(project, result)
    assert project.rows(result, "read", "select o.l::varchar, o.x::varchar from main where n = 1") == [("[9007199254740993.0]", "1234567890123456.78")]
    for dtype, words in [
        ({"rate": "DECIMAL(10,2)"}, "0.12345678901234567891, which has more digits than DECIMAL(10,2) keeps"),
        ({"rate": "DOUBLE"}, "has more digits than DOUBLE keeps"),
        ({"wei": "BIGINT"}, "record 1 has a number in `wei`, 1234567890123456789012, which is beyond BIGINT"),
        ({"mixed": "BIGINT"}, "record 2 has a number in `mixed`, 0.5, which has more digits than BIGINT keeps"),
    ]:
        assert words in http_failed(project, url=url, dtype=dtype)["message"]


def test_declared_times_keep_offset_and_time_of_day(project, web):
    url = web.route("/times", lambda _: [{"at": "2024-02-29T12:00:00+02:00", "z": "2024-02-29T12:00:00Z", "ns": "2024-02-29T12:00:00.1234567", "day": "2024-02-29"}])
    grant(project, web)
    dtype = {"at": "TIMESTAMPTZ", "z": "TIMESTAMP", "ns": "TIMESTAMP_NS", "day": "DATE"}
    select = "select (main.at at time zone 'UTC')::varchar, z::varchar, ns::varchar, day::varchar from main"
    assert project.rows(http_read(project, url=url, dtype=dtype), "read", select) == [
        ("2024-02-29 10:00:00", "2024-02-29 12:00:00", "2024-02-29 12:00:00.1234567", "2024-02-29")
    ]
    assert set(project.types(http_read(project, url=url), "read").values()) == {"VARCHAR"}
    for dtype, words in [
        ({"at": "TIMESTAMP"}, "whose offset TIMESTAMP would drop; declare it under `dtype`, such as `at: TIMESTAMPTZ`"),
        ({"ns": "TIMESTAMP"}, "has more digits than TIMESTAMP keeps"),
        ({"z": "DATE"}, "whose offset DATE would drop"),
        ({"ns": "DATE"}, "whose time of day DATE would drop"),
    ]:
        assert words in http_failed(project, url=url, dtype=dtype)["message"]


def test_graphql_responses_keep_their_digits(project, web):
    nodes = f'{{"data": {{"blocks": {BLOCKS}}}}}'
    web.route("/graphql", lambda _: Reply(body=nodes.encode()))
    grant(project, web, family="graphql")
    step = {"endpoint": web.url + "/graphql", "query": "{ blocks { n } }", "data_path": "data.blocks", "dtype": DTYPE, "flatten_result": False}
    check_blocks(project, project.run([{"id": "read", "component": "graphql.extractor", "config": step}]))


def test_supabase_rows_keep_their_digits(project, supabase, database):
    execute(
        database,
        """create table orders (id bigint primary key, total numeric, wei numeric(38,0), declared numeric(38,0), v numeric, j jsonb, f float8, small numeric(12,2));
        insert into orders values (1, 1234567890123456.78, 1234567890123456789012, 12345678901234567890123456789012345678, 1.10,
            '{"a": 12345678901234567890.123456789}', 0.1, 12.50), (2, 1234567890123456.79, 5, 1, 0.1234567890123456789, '[1.10]', 1e300, 3)""",
    )
    result = supabase_read(project, supabase, order=["id"], dtype={"total": "DECIMAL(18,2)", "declared": "HUGEINT", "v": "VARCHAR", "j": "JSON"})
    select = "select total, wei::varchar, declared::varchar, v, j::varchar, f, small from main order by id"
    assert project.rows(result, "read", select) == [
        (Decimal("1234567890123456.78"), "1234567890123456789012", "12345678901234567890123456789012345678", "1.10", '{"a":12345678901234567890.123456789}', 0.1, 12.5),
        (Decimal("1234567890123456.79"), "5", "1", "0.1234567890123456789", "[1.10]", 1e300, 3.0),
    ]
    inferred = supabase_read(project, supabase, order=["id"])
    assert project.types(inferred, "read")["total"] == "DECIMAL(38,2)" and project.types(inferred, "read")["v"] == "DECIMAL(38,19)"
    error = supabase_read(project, supabase, expect=1, order=["id"], dtype={"total": "DECIMAL(18,1)"})["step"]["read"]["error"]
    assert "1234567890123456.78, which has more digits than DECIMAL(18,1) keeps" in error["message"]


ORDERS = [{"n": 1, "user_id": 7, "user": {"id": 90}}, {"user": {"id": 91}, "user_id": 8, "n": 2}, {"n": 3, "user_id": 7, "user": {"id": 92}}]
COLLISIONS = [
    ("_", ORDERS, {"user_id": [7, 8, 7], "user_id_2": [90, 91, 92]}),
    (".", ORDERS, {"user_id": [7, 8, 7], "user.id": [90, 91, 92]}),
    ("_", [{"n": 1, "user_id": 7, "user": {"id": None}}], {"user_id": [7], "user_id_2": [None]}),
    ("_", [{"n": 1, "a": {"b": {}}, "a_b": 1}], {"a_b": [1], "a_b_2": [None]}),
    ("_", [{"n": 1, "a": {"b_c": 1, "b": {"c": 2}}}, {"n": 2, "a": {"b": {"c": 4}, "b_c": 3}}], {"a_b_c": [1, 3], "a_b_c_2": [2, 4]}),
    ("_", [{"n": 1, "a_b": {"c": 1}, "a": {"b_c": 2}}], {"a_b_c": [2], "a_b_c_2": [1]}),
    (".", [{"n": 1, "a": {"b": 1}, "a.b": 2}], {"a.b": [2], "a.b_2": [1]}),
    ("_", [{"n": 1, "Id": 1, "ID": 2}], {"ID": [2], "Id_2": [1]}),
]


def check_columns(project, result, expected):
    for name, values in expected.items():
        assert project.rows(result, "read", f'select "{name}" from main order by n') == [(value,) for value in values], name
    assert set(project.types(result, "read")) == {"n", *expected}


def test_http_fields_with_one_flattened_name_stay_two_columns(project, web):
    grant(project, web)
    for place, (separator, records, expected) in enumerate(COLLISIONS):
        url = web.route(f"/orders/{place}", lambda _, records=records: records)
        check_columns(project, http_read(project, url=url, flatten=True, flatten_separator=separator), expected)
    url = web.route("/orders", lambda _: ORDERS)
    result = http_read(project, url=url, flatten=True, dtype={"user_id_2": "VARCHAR"})
    check_columns(project, result, {"user_id": [7, 8, 7], "user_id_2": ["90", "91", "92"]})


@pytest.mark.parametrize("separator", ["_", "."])
def test_graphql_fields_with_one_flattened_name_stay_two_columns(project, web, separator):
    cases = [(records, expected) for known, records, expected in COLLISIONS if known == separator]
    grant(project, web, family="graphql")
    for records, expected in cases:
        web.route("/graphql", lambda _, records=records: Reply(body=json.dumps({"data": {"nodes": records}}).encode()))
        step = {"endpoint": web.url + "/graphql", "query": "{ nodes { n } }", "data_path": "data.nodes"}
        step |= {} if separator == "." else {"flatten_separator": separator}
        check_columns(project, project.run([{"id": "read", "component": "graphql.extractor", "config": step}]), expected)


def test_a_name_that_occurs_twice_in_an_object_is_reported(project, web):
    url = web.route("/items", lambda _: Reply(body=b'[{"n": 1, "o": {"a": 1, "a": 2}}, {"n": 2}]'))
    grant(project, web)
    result = http_read(project, url=url)
    assert project.rows(result, "read", "select n, o.a from main order by n") == [(1, 2), (2, None)]
    warned = [json.dumps(event) for event in project.events(result) if "twice in one object" in json.dumps(event)]
    assert len(warned) == 1 and '"a"' in warned[0], warned
