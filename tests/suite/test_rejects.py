"""Rows that a driver rejects are stored with their reasons and counted, up to what the author allows."""

import json

import pytest

SECRET = "canary-5f1c9e/+ü secret"
ROWS = "select i as id, case when i % 3 = 0 then 'row ' || i || ' is odd' end as reason from range(10) t(i)"


def load(project, rejects: int | None = None, select: str = ROWS, expect: int = 0, flags: tuple[str, ...] = (), **config) -> dict:
    step = {"id": "load", "component": "test.rejecting", "needs": ["source"], "config": {"ignore_errors": False, **config}}
    if rejects is not None:
        step["rejects"] = rejects
    return project.run([project.sql(select), step], *flags, expect=expect)


def query(project, step: str, sql: str) -> list[dict]:
    done = project.osiris("query", "latest", step, sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_writers_rejected_rows_are_stored_counted_and_shown(project):
    result = load(project, rejects=4)
    step = result["step"]["load"]
    assert (step["status"], step["rows"], step["table"]) == ("success", 6, None), step
    assert step["tables"] == {"rejected": {"rows": 4}}
    assert [warning["message"] for warning in step["warnings"]] == ["rows were rejected; the step's table `rejected` has them"]
    assert step["warnings"][0]["fields"] == {"count": "4", "first reason": "row 0 is odd"}
    assert "first reason: row 0 is odd" in result["stderr"]
    assert any(metric["metric"] == "rows_rejected" and metric["value"] == 4 for metric in project.metrics(result)), project.metrics(result)
    assert project.types(result, "load", "rejected") == {"record": "JSON", "reason": "VARCHAR"}
    shown = query(project, "load", "select record->>'id' as id, reason from rejected order by id desc")
    assert shown == [{"id": str(i), "reason": f"row {i} is odd"} for i in (9, 6, 3, 0)]
    shared = load(project, rejects=12, instances=3)
    assert project.rows(shared, "load", "select reason, count(*) from rejected group by all order by all limit 1") == [("row 0 is odd", 3)]
    # A step that could have rejected rows has the table, too.
    clean = load(project, rejects=4, select="select 1 as id, null::varchar as reason")["step"]["load"]
    assert (clean["tables"], clean["warnings"], clean["rows"]) == ({"rejected": {"rows": 0}}, [], 1)
    assert "rejects  up to 4 rows, into its table `rejected`" in project.osiris("plan", "pipeline.yaml").stdout


def test_other_steps_read_the_rejected_rows_of_a_processor(project):
    reject = [{"id": 1, "price": "1,5"}, "unparsable;line"]
    steps = [
        project.sql("select 1 as a"),
        {"id": "json", "component": "test.json_rows", "needs": ["source"], "rejects": 2, "config": {"reject": reject}},
        {"id": "bad", "component": "duckdb.processor", "inputs": {"r": {"from_step": "json", "table": "rejected"}}, "config": {"query": "from r"}},
    ]
    result = project.run(steps)
    step = result["step"]["json"]
    assert step["rows"] == 2 and step["tables"]["rejected"] == {"rows": 2}, step
    assert project.rows(result, "bad", "select record, reason from main") == [(json.dumps(row, separators=(",", ":")), "it is wrong") for row in reject]
    # The table is the host's own.
    steps[1]["config"] = {"table": "Rejected"}
    error = project.run(steps, expect=1)["step"]["json"]["error"]
    assert error["blame"] == "user" and "`Rejected` cannot be created: it has the step's rejected rows" in error["message"], error
    del steps[1]["rejects"], steps[2]
    assert project.run(steps)["step"]["json"]["tables"].keys() == {"Rejected", "about"}


@pytest.mark.parametrize("ignore_errors", [False, True])
def test_a_row_beyond_what_is_allowed_fails_the_step(project, ignore_errors):
    """Even if the driver ignores the error: its row would be lost."""
    none = load(project, expect=1, ignore_errors=ignore_errors)["step"]["load"]
    assert none["error"]["kind"] == "data" and none["error"]["blame"] == "user", none
    assert none["error"]["message"] == 'a row was rejected: row 0 is odd (row: {"id":0})'
    assert "`rejects: 100`" in none["error"]["hint"] and none["tables"] == {} and none["duckdb_path"] is None
    three = load(project, rejects=3, expect=1, ignore_errors=ignore_errors)["step"]["load"]["error"]
    assert three["message"] == 'more rows were rejected than `rejects: 3` allows; the first: row 0 is odd; the last: row 9 is odd (row: {"id":9})'
    many = load(project, rejects=1_000_001, expect=2)
    assert "`rejects: 1000001`; at most 1000000 are possible" in many["stderr"]


def test_a_flood_of_rejected_rows_is_bounded(project):
    """In number, in size of a row, in size of the output, and in what an error quotes."""
    flood = "select 7 as id, 'wrong' as reason"
    assert load(project, rejects=200_000, select=flood, times=200_000)["step"]["load"]["tables"] == {"rejected": {"rows": 200_000}}
    error = load(project, rejects=199_999, select=flood, times=250_000, ignore_errors=True, expect=1)["step"]["load"]["error"]
    assert 'the last: wrong (row: {"id":7})' in error["message"]
    big = "select i as id, 'wrong' as reason from range(2) t(i)"
    quoted = load(project, select=big, bytes=1_000_000, expect=1)["step"]["load"]["error"]["message"]
    assert len(quoted) < 400 and quoted.endswith("xxx…)")
    for config in ({"bytes": 17 << 20}, {"malformed": True}):
        lost = load(project, rejects=100, select=big, ignore_errors=True, expect=1, **config)["step"]["load"]["error"]
        assert lost["blame"] == "driver" and lost["kind"] == "internal" and "the driver rejected a row" in lost["message"], lost
    texts = "select string_agg(md5(i::varchar), '') as id, 'wrong' as reason from range(1000) t(i)"
    full = load(project, rejects=100_000, select=texts, times=2_000, flags=("--output-size", "20MB"), expect=1)["step"]["load"]["error"]
    assert full["kind"] == "output", full


def test_secrets_are_redacted_from_messages_but_not_from_rejected_rows(project):
    select = f"select '{SECRET}' as id, 'not {SECRET}' as reason"
    for rejects, expect in ((1, 0), (0, 1)):
        result = load(project, rejects=rejects, select=select, token=SECRET, expect=expect)
        assert SECRET not in result["stderr"] and SECRET not in json.dumps(result["step"], ensure_ascii=False)
        assert "MASKED" in json.dumps(result["step"]["load"])
        if rejects:
            assert project.rows(result, "load", "select record->>'id', reason from rejected") == [(SECRET, f"not {SECRET}")]
