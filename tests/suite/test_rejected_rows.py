"""Rows that offend a check with `on_violation: reject` are moved away, with their reasons, up to what the author allows."""

import json

import pytest

SECRET = "canary-5f1c9e/+ü secret"
ROWS = "select i as id, case when i % 4 > 0 then 'n' || i end as name, i * 10 as amount from range(12) t(i)"
REJECT = {"on_violation": "reject"}


def step(project, expect, sql: str = ROWS, **more) -> dict:
    return project.sql(sql) | {"expect": expect} | more


def query(project, sql: str, name: str = "source") -> list[dict]:
    done = project.osiris("query", "latest", name, sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_offending_rows_are_moved_with_reason_check_and_source(project):
    checks = [{"not_null": "name"} | REJECT, {"range": {"amount": {"max": 100}}, "name": "not too much"} | REJECT, {"row_count": 8}, {"not_null": "name"}]
    result = project.run([step(project, checks)])
    source = result["step"]["source"]
    assert (source["status"], source["rows"], source["table"]) == ("success", 8, "main"), source
    assert source["tables"] == {"main": {"rows": 8}, "main__rejected": {"rows": 4}} and source["rejected_tables"] == ["main__rejected"]
    assert [(check["passed"], check["rows"], check["of"]) for check in source["checks"]] == [(False, 3, 12), (False, 1, 12), (True, 0, 8), (True, 0, 8)]
    assert project.rows(result, "source", "select count(*), count(name), max(amount) from main") == [(8, 8, 100)]
    assert project.types(result, "source", "main__rejected") == {"id": "BIGINT", "name": "VARCHAR", "amount": "BIGINT", "reason": "VARCHAR", "check": "VARCHAR", "source": "VARCHAR"}
    assert project.rows(result, "source", 'from main__rejected')[:1] == [(0, None, 0, "`name` is NULL", "not_null name", "source.main:1")]
    assert project.rows(result, "source", 'select id, "check", source from main__rejected where id = 11') == [(11, "not too much", "source.main:12")]
    assert [warning["message"] for warning in source["warnings"]] == [
        "check `not_null name`: 3 of 12 rows of table `main`: `name` is NULL; table `main__rejected` has them",
        "check `not too much`: 1 of 12 rows of table `main`: `amount` is not at most 100; table `main__rejected` has them",
    ]
    assert "2 checks passed, 2 rejected rows" in result["stderr"]
    assert any(metric["metric"] == "rows_rejected_by_checks" and metric["value"] == 4 for metric in project.metrics(result))
    assert "offending rows are rejected" in project.osiris("plan", "pipeline.yaml").stdout
    listed = project.osiris("rejects", "list").stdout
    assert "main__rejected" in listed and "3 not_null name" in listed and "1 not too much" in listed, listed
    assert json.loads(project.osiris("rejects", "list", "--json").stdout)[0]["checks"] == [{"check": "not_null name", "rows": 3}, {"check": "not too much", "rows": 1}]
    shown = project.osiris("rejects", "show", "latest", "source", "--format", "csv").stdout
    assert shown.splitlines()[1] == "0,,0,`name` is NULL,not_null name,source.main:1", shown
    assert "no table of rejected rows" in project.osiris("rejects", "show", "latest", "sorce").stderr


def test_a_row_that_offends_twice_is_rejected_once(project):
    result = project.run([step(project, {"not_null": "name", "sql": "amount > 0"} | REJECT)])
    assert project.rows(result, "source", 'select reason, "check" from main__rejected where id = 0') == [("`name` is NULL; not true: amount > 0", "not_null name, sql amount > 0")]
    assert result["step"]["source"]["tables"]["main__rejected"] == {"rows": 3}


def test_all_rows_of_a_key_are_rejected(project):
    twins = "select * from (values (1, 'a', 1), (1, 'a', 2), (1, 'b', 3), (null, 'a', 4), (null, 'a', 5)) t(x, y, n)"
    for key, kept in (("x", [4, 5]), (["x", "y"], [3, 4, 5])):
        result = project.run([step(project, {"unique": key} | REJECT, twins)])
        assert [n for (n,) in project.rows(result, "source", "select n from main order by n")] == kept
        reason = project.rows(result, "source", "select distinct reason from main__rejected")[0][0]
        assert reason == "another row has the same " + ", ".join(f"`{name}`" for name in ([key] if key == "x" else key))


def test_rejected_rows_keep_every_column_whatever_its_name_and_type(project):
    odd = """select 1 as reason, 'x' as "CHECK", [1, null] as source, {'a': {'b': date '2024-01-01'}} as "s;'t", 5::decimal(38,10) as d union all
        select 2, 'y', [], null, 1"""
    result = project.run([step(project, {"sql": "reason > 1"} | REJECT, odd)])
    row = query(project, "from main__rejected")[0]
    assert row == {"reason": 1, "CHECK": "x", "source": [1, None], "s;'t": {"a": {"b": "2024-01-01"}}, "d": 5.0, "_reason": "not true: reason > 1", "_check": "sql reason > 1", "_source": "source.main:1"}, row
    assert project.rows(result, "source", "select reason from main") == [(2,)]
    shadows = "select {'osiris_place': 7, 'rowid': 8} as osiris_row, {'osiris_0': true} as osiris_found, true as osiris_0, 5 as osiris_place"
    result = project.run([step(project, {"sql": "not osiris_0", "not_null": ["osiris_row", "osiris_found"]} | REJECT, shadows)])
    assert project.rows(result, "source", "select * exclude (reason, \"check\") from main__rejected") == [({"osiris_place": 7, "rowid": 8}, {"osiris_0": True}, True, 5, "source.main:1")]
    refused = project.run([step(project, {"sql": "rowid > 1"} | REJECT, "select 1 as rowid")], expect=1)["step"]["source"]["error"]
    assert "has a column `rowid`, so that its rows cannot be rejected" in refused["message"]


def test_the_table_exists_if_nothing_was_rejected(project):
    read = {"id": "bad", "component": "duckdb.processor", "inputs": {"b": {"from_step": "source", "table": "main__rejected"}}, "config": {"query": "from b"}}
    result = project.run([step(project, {"not_null": "id"} | REJECT), read])
    assert result["step"]["source"]["tables"]["main__rejected"] == {"rows": 0} and result["step"]["bad"]["rows"] == 0
    assert result["step"]["source"]["table"] == "main" and result["step"]["source"]["warnings"] == []


@pytest.mark.parametrize("rejects, message", [
    (3, None), ({"max": 3}, None), ({"max": "25%"}, None), (2, "`rejects: 2`"), (0, "`rejects: 0`"), ({"max": "24.9%"}, "`rejects: {max: 24.9%}`"),
])  # fmt: skip
def test_more_rejected_rows_than_allowed_fail_the_step(project, rejects, message):
    result = project.run([step(project, {"not_null": "name"} | REJECT, rejects=rejects)], expect=1 if message else 0)
    source = result["step"]["source"]
    if message is None:
        assert source["rows"] == 9, source
        return
    assert source["error"]["kind"] == "data" and f"3 of 12 rows were rejected, more than {message} allows" in source["error"]["message"], source
    assert "check `not_null name` failed: 3 of 12 rows" in source["error"]["message"] and source["duckdb_path"] is None
    assert not source["checks"][0]["passed"]


def test_a_driver_and_checks_share_the_bound(project):
    rows = "select i as id, case when i % 3 = 0 then 'odd' end as reason from range(10) t(i)"
    write = {"id": "load", "component": "test.rejecting", "needs": ["source"], "config": {"ignore_errors": False}, "expect": {"sql": "id < 8"} | REJECT}
    result = project.run([project.sql(rows), write | {"rejects": 5}])
    load = result["step"]["load"]
    # 8 and 9 are rejected by the check, and 0, 3 and 6 by the driver, which never saw the others.
    assert load["tables"] == {"rejected": {"rows": 3}, "source__rejected": {"rows": 2}} and load["rows"] == 5, load
    assert project.rows(result, "load", 'select id, source from source__rejected order by id') == [(8, "load.source:9"), (9, "load.source:10")]
    assert sorted(load["rejected_tables"]) == ["rejected", "source__rejected"]
    failed = project.run([project.sql(rows), write | {"rejects": 4}], expect=1)["step"]["load"]["error"]
    assert "more rows were rejected" in failed["message"], failed
    percent = project.run([project.sql(rows), write | {"rejects": {"max": "40%"}}], expect=1)["step"]["load"]["error"]
    assert "more rows were rejected" in percent["message"], percent
    listed = project.osiris("rejects", "list", project.run([project.sql(rows), write | {"rejects": {"max": "50%"}}])["session_id"]).stdout
    assert "its driver" in listed and "2 sql id < 8" in listed


def test_a_writer_gets_only_what_was_not_rejected(project):
    write = {"id": "out", "component": "filesystem.csv_writer", "needs": ["source"], "config": {"path": "out.csv"}, "expect": [{"not_null": "name"} | REJECT, {"row_count": 9}]}
    result = project.run([project.sql(ROWS), write])
    out = result["step"]["out"]
    assert out["rows"] == 9 and out["tables"] == {"source__rejected": {"rows": 3}}, out
    lines = (project.folder / "out.csv").read_text().splitlines()
    assert len(lines) == 10 and lines[:2] == ["amount,id,name", "10,1,n1"]
    assert project.rows(result, "source", "select count(*) from main") == [(12,)], "the step that it reads has all of them"


def test_a_drivers_own_table_is_never_taken_for_rejected_rows(project):
    own = project.sql(ROWS) | {"config": {"queries": {"main": ROWS, "main__rejected": "select 1 as x"}}, "expect": {"table": "main", "not_null": "name"} | REJECT}
    error = project.run([own], expect=1)["step"]["source"]["error"]
    assert "makes a table `main__rejected` itself" in error["message"] and error["blame"] == "user", error
    del own["expect"]
    assert project.run([own])["step"]["source"]["rows"] == 13


def test_a_check_that_cannot_be_computed_rejects_nothing(project):
    checks = {"sql": ["cast(name as integer) > 0", "id < 11"]} | REJECT
    error = project.run([step(project, checks)], expect=1)["step"]["source"]["error"]
    assert "Could not convert string 'n1'" in error["message"] and error["kind"] == "data"


def test_rejected_rows_with_escapes_and_secrets(project):
    """The data stays as it is, and what people see is harmless."""
    sql = f"select '{SECRET}' as a, chr(27) || '[2J' || chr(8238) as b, 1 as n"
    reader = {"id": "read", "component": "test.rejecting", "needs": ["source"], "config": {"token": SECRET}, "expect": {"values": {"a": ["x"], "b": ["y"]}} | REJECT}
    result = project.run([project.sql(sql), reader])
    assert SECRET not in result["stderr"] and "\x1b" not in result["stderr"] and "MASKED" in result["stderr"]
    assert project.rows(result, "read", "select a, b from source__rejected") == [(SECRET, "\x1b[2J\u202e")]
    for command in (["rejects", "list"], ["rejects", "show", "latest", "read"], ["sessions", "show"]):
        shown = project.osiris(*command).stdout
        assert "\x1b" not in shown and "\u202e" not in shown, shown


def test_checks_reject_on_a_worker_as_here(project):
    from conftest import OSIRIS

    project.write("osiris.yaml", json.dumps({"workers": {"worker": {"command": f"{OSIRIS} worker --slots 1"}}}))
    write = {"id": "out", "component": "filesystem.csv_writer", "needs": ["source"], "config": {"path": "out.csv"}, "on": "worker", "expect": {"sql": "id <> 1"} | REJECT}
    result = project.run([step(project, {"not_null": "name"} | REJECT, on="worker"), write])
    assert result["step"]["source"]["tables"] == {"main": {"rows": 9}, "main__rejected": {"rows": 3}}
    assert result["step"]["out"]["rows"] == 8 and project.rows(result, "out", "select id from source__rejected") == [(1,)]
