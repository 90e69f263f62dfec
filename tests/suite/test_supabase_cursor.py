"""supabase.extractor with `replication: incremental`: it reads what is new since the last run, without losing or repeating a row."""

import json

import pytest
from postgres_server import postgres  # noqa: F401, a fixture
from test_supabase import connections, database, execute, message, read, supabase  # noqa: F401, fixtures

TIMES = {
    "bigint": ["1", "12345678901234567", "12345678901234568"],
    "numeric": ["0.1", "1000.05", "1000.051"],
    "date": ["2024-02-28", "2024-02-29", "2024-03-01"],
    "timestamp": ["2024-02-28 23:59:59", "2024-02-29 10:00:00.123456", "2024-02-29 10:00:00.123457"],
    "timestamptz": ["2024-02-28 23:59:59+00", "2024-02-29 10:00:00.123456+02", "2024-02-29 08:00:00.123457+00"],
}


def increment(project, supabase, cursor="at", **config) -> dict:  # noqa: F811
    return read(project, supabase, replication="incremental", cursor=cursor, **config)


def ids(project, result) -> list[int]:
    return [row[0] for row in project.rows(result, "read", "select id from main order by id")]


def table(database, kind: str = "timestamptz", name: str = "at") -> None:  # noqa: F811
    execute(database, f'drop table if exists orders; create table orders (id bigint primary key, "{name}" {kind}, note text)')


def insert(database, *rows: tuple) -> None:  # noqa: F811
    values = ", ".join("({}, {})".format(number, "null" if at is None else f"'{at}'") for number, at in rows)
    execute(database, f"insert into orders values {values}")


@pytest.mark.parametrize("kind", TIMES)
def test_each_run_reads_the_rows_that_the_last_one_did_not(project, supabase, database, kind):  # noqa: F811
    first, tie, later = TIMES[kind]
    table(database, kind)
    insert(database, (1, first), (2, tie), (3, tie))
    assert ids(project, increment(project, supabase, page_size=1)) == [1, 2, 3]
    nothing = increment(project, supabase)
    assert ids(project, nothing) == [] and project.types(nothing, "read").keys() == {"id", "at", "note"}
    # One row has the last run's value, one a later value; one below it is never read.
    insert(database, (4, tie), (5, later), (6, first))
    assert ids(project, increment(project, supabase)) == [4, 5]
    assert ids(project, increment(project, supabase)) == []


def test_rows_inserted_while_a_run_reads_are_left_to_the_next_run(project, supabase, database):  # noqa: F811
    table(database)
    insert(database, *((number, f"2024-01-{number:02} 00:00+00") for number in range(1, 10)))
    # First rows without a cursor value are looked for, then the greatest value; then pages are read.
    supabase.plan("GET", None, None, None, lambda: insert(database, (0, "2024-02-01 00:00+00")))
    assert ids(project, increment(project, supabase, page_size=4)) == list(range(1, 10))
    assert ids(project, increment(project, supabase)) == [0]


def test_a_run_starts_at_the_configured_value_and_reads_a_span_again(project, supabase, database):  # noqa: F811
    table(database)
    insert(database, (1, "2024-01-01"), (2, "2024-01-05"), (3, "2024-01-09"))
    span = {"initial": "2024-01-02T00:00:00Z", "lookback": "2d", "filter": {"note": None}}
    assert ids(project, increment(project, supabase, **span)) == [2, 3]
    insert(database, (4, "2024-01-08"), (5, "2024-01-06"))
    execute(database, "insert into orders values (6, '2024-01-10', 'of no interest')")
    assert ids(project, increment(project, supabase, **span)) == [3, 4]
    # The state belongs to the filter.
    connections(project, supabase)
    other = read(project, supabase, expect=2, replication="incremental", cursor="at")
    assert "`filter.note`" in other["stderr"] or "`filter`" in other["stderr"], other["stderr"]


@pytest.mark.parametrize("name", ["at", "or", "a.b"])
def test_rows_without_a_cursor_value_are_handled_as_configured(project, supabase, database, name):  # noqa: F811
    table(database, "bigint", name)
    insert(database, (1, 10), (2, None), (3, 20))
    refused = message(read(project, supabase, expect=1, replication="incremental", cursor=name), "read")
    assert f"rows whose cursor `{name}` is null (1 of them)" in refused and "`null_cursor: skip`" in refused
    skipped = increment(project, supabase, name, null_cursor="skip")
    assert ids(project, skipped) == [1, 3]
    assert {"message": "rows without a cursor are not read", "fields": {"cursor": name, "count": "1"}} in skipped["step"]["read"]["warnings"]
    insert(database, (4, 20), (5, 30))
    assert ids(project, increment(project, supabase, name, null_cursor="include")) == [2, 4, 5]
    assert ids(project, increment(project, supabase, name, null_cursor="include")) == [2]


def test_a_value_that_nothing_can_follow_is_read_once_and_hides_nothing(project, supabase, database):  # noqa: F811
    table(database)
    insert(database, (1, "2024-01-01"), (2, "infinity"), (3, "2999-01-01"), (4, "-infinity"))
    first = increment(project, supabase)
    assert ids(project, first) == [1, 2, 3, 4] and any("nothing could come after" in one["message"] for one in first["step"]["read"]["warnings"])
    insert(database, (5, "2024-01-02"))
    assert ids(project, increment(project, supabase)) == [5]


def test_values_without_an_order_and_conflicting_options_are_refused(project, supabase, database):  # noqa: F811
    table(database)
    insert(database, (1, "2024-01-01"))
    execute(database, "update orders set note = 'v1.10'")
    refused = lambda **config: message(read(project, supabase, expect=1, **config), "read")  # noqa: E731
    for config, words in [
        ({"cursor": "note"}, "`v1.10`, which is a text without a provable order"),
        ({"cursor": "at", "columns": ["id"]}, "`at` is not among the columns that are read"),
        ({"cursor": "at", "limit": 5}, "`limit` would cut an increment short"),
        ({"cursor": "at", "offset": 5}, "`offset`"),
        ({"cursor": "at", "cursor_type": "number"}, "is not a number, as `cursor_type` says"),
        ({"cursor": "nix"}, "nix"),
        ({}, "needs `cursor`"),
    ]:
        told = refused(replication="incremental", **config)
        assert words in told, told
        assert "cursor_format" not in told and "cursor_type: text" not in told
    assert "go with `replication: incremental`" in refused(cursor="at")
    increment(project, supabase)
    assert "the last run read by cursor `at`, this one would by `id`" in refused(replication="incremental", cursor="id")
    state = json.loads(project.osiris("state", "show", "--json").stdout)[0]
    assert state["step"] == "read" and "2024-01-01" in json.dumps(state)
