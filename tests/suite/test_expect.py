"""What a pipeline expects of a step's tables is checked before the step's output takes its place."""

import datetime
import json
import socket
from pathlib import Path

import pytest
from worker_wire import fake

SECRET = "canary-5f1c9e/+ü secret"
ROWS = """select * from (values
    (1, 'a@x.org', 10.0::double, 'open', date '2024-01-01'), (2, null, -1, 'paid', date '2024-01-02'),
    (3, 'nonsense', 'nan'::double, null, null), (3, 'c@x.org', 500, 'lost', date '2030-01-01')) t(id, email, amount, status, day)"""


def checked(project, expect, sql: str = ROWS, exits: int = 0, flags=(), **more) -> dict:
    """Runs one step with checks; returns its result."""
    result = project.run([project.sql(sql) | {"expect": expect} | more], *flags, expect=exits)
    return result["step"]["source"] | {"stderr": result["stderr"], "result": result}


# A check of the rows above, how many rows offend, and examples of them.
OFFENDED = [
    ({"not_null": "email"}, 1, None),
    ({"not_null": ["id", "EMAIL"]}, 1, None),
    ({"unique": "id"}, 2, ["3"]),
    ({"unique": [["id", "email"], ["id"]]}, 2, ["3"]),
    ({"values": {"status": ["open", "paid"]}}, 1, ["lost"]),
    ({"values": {"id": [1, 2]}}, 2, ["3"]),
    ({"range": {"amount": {"min": 0, "max": 100}}}, 3, ["-1.0", "500.0", "nan"]),
    ({"range": {"id": {"min": 1, "exclusive": True}}}, 1, ["1"]),
    ({"range": {"id": {"min": 1, "max": 3, "exclusive": "max"}}}, 2, ["3"]),
    ({"range": {"day": {"max": "2024-12-31"}}}, 1, ["2030-01-01"]),
    ({"range": {"day": {"min": "2024-01-01 12:00"}}}, 1, ["2024-01-01"]),
    ({"values": {"day": ["2024-01-01", "2024-01-02"]}}, 1, ["2030-01-01"]),
    ({"pattern": {"email": "[^@]+@[^@]+"}}, 1, ["nonsense"]),
    ({"pattern": {"email": "@"}}, 3, ["a@x.org", "c@x.org", "nonsense"]),
    ({"sql": "id < 3"}, 2, None),
    ({"sql": "amount >= 0 -- NULL would pass"}, 1, None),
    ({"sql": {"no loss": "select * from main where status = 'lost'"}}, 1, None),
    ({"sql": "from main select id where id = 3"}, 2, ['{"id":3}', '{"id":3}']),
    ({"unique": "id", "where": "status is not null or day is null"}, 2, ["3"]),
    ({"not_null": "status", "where": "id = 3"}, 1, None),
]


@pytest.mark.parametrize("check, rows, examples", OFFENDED, ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else None)
def test_a_check_finds_the_rows_that_offend(project, check, rows, examples):
    step = checked(project, check | {"severity": "warn"})
    failed = [result for result in step["checks"] if not result["passed"]]
    assert [result["rows"] for result in failed] == [rows], step["checks"]
    assert failed[0]["severity"] == "warn" and failed[0]["table"] == "main"
    assert examples is None or failed[0]["examples"] == examples
    assert step["status"] == "success" and step["rows"] == 4
    assert any(failed[0]["check"] in warning["message"] for warning in step["warnings"]), step["warnings"]


PASSED = [
    {"not_null": ["id"]},
    {"unique": [["id", "email"]]},
    {"unique": "email"},
    {"unique": "id", "where": "status is distinct from 'lost'"},
    {"values": {"status": ["open", "paid", "lost"], "id": [1, 2, 3]}},
    {"range": {"id": {"min": 1, "max": 3}, "day": {"min": "2024-01-01"}}},
    {"pattern": {"email": ".*", "status": "open|paid|lost"}},
    {"row_count": {"min": 1, "max": 4}},
    {"row_count": 1, "where": "id = 1"},
    {"freshness": {"day": "1d"}},
    {"columns": {"id": "int", "email": "text", "amount": None, "status": "VARCHAR", "day": "date"}, "extra": "refuse"},
    {"columns": ["id"]},
    {"sql": ["id > 0", "status in ('open', 'paid', 'lost')", "id in (select id from main)"]},
    {"sql": "select 1 where false"},
]


def test_checks_that_hold_are_reported_and_cost_the_step_nothing(project):
    step = checked(project, PASSED)
    assert step["status"] == "success" and len(step["checks"]) == 19 and all(check["passed"] for check in step["checks"]), step["checks"]
    assert "19 checks passed" in step["stderr"] and step["warnings"] == []
    assert [event["check"] for event in project.events(step["result"]) if event["event"] == "check"][:2] == ["not_null id", "unique id, email"]
    assert "  passed  not_null id" in project.osiris("sessions", "show").stdout
    plan = project.osiris("plan", "pipeline.yaml").stdout
    assert "expects  19 checks of its output, before anything reads it" in plan and "range day" in plan


def test_a_failed_check_fails_the_step_before_its_output_takes_its_place(project):
    steps = [project.sql(ROWS) | {"expect": [{"not_null": "email", "name": "each has an address"}, {"unique": "id"}, {"row_count": {"min": 1}}]}]
    steps += [{"id": "out", "component": "filesystem.csv_writer", "needs": ["source"], "config": {"path": "out.csv"}}]
    result = project.run(steps, expect=1)
    step = result["step"]["source"]
    assert step["error"]["kind"] == "data" and step["error"]["blame"] == "user" and step["duckdb_path"] is None
    message = step["error"]["message"]
    assert message.startswith("check `each has an address` failed: 1 of 4 rows of table `main`: `email` is NULL; for example `{\"id\":2,"), message
    assert "check `unique id` failed: 2 of 4 rows of table `main`: another row has the same `id`; for example `3`" in message
    assert "the step's output was discarded" in step["error"]["hint"] and "severity: warn" in step["error"]["hint"]
    assert [check["passed"] for check in step["checks"]] == [False, False, True]
    assert result["step"]["out"]["status"] == "skipped" and not (project.folder / "out.csv").exists()
    assert not (Path(result["session_path"]) / "data" / "source.duckdb").exists()
    assert "source from step `source` (in SQL also df_source, input_df, input), once its 3 checks have passed" in project.osiris("plan", "pipeline.yaml").stdout
    shown = project.osiris("sessions", "show").stdout
    assert "FAILED  unique id: 2 of 4 rows" in shown, shown
    manifest = (Path(result["session_path"]) / "manifest.yaml").read_text()
    assert "each has an address" in manifest


WRONG = [
    ({"row_count": {"min": 5}}, "there are 4 rows; at least 5 are expected"),
    ({"row_count": {"max": 1}, "where": "id > 1"}, "there are 3 rows with `id > 1`; at most 1 are expected"),
    ({"freshness": {"day": "2d"}, "where": "id < 3"}, "the newest `day` is 2024-01-02 00:00:00"),
    ({"freshness": {"day": {"max_age": "2h"}}, "where": "false"}, "no row has a `day`"),
    ({"columns": {"id": "BIGINT", "gone": None}, "extra": "refuse"}, "column `id` is INTEGER, and BIGINT is expected; column `gone` is missing; column `email` is not expected"),
    ({"not_null": "emial"}, "has no column `emial`; it has `id`, `email`, `amount`, `status`, `day`; did you mean `email`?"),
    ({"not_null": "id", "table": "mian"}, "there is no table `mian`; there are: `main`; did you mean `main`?"),
    ({"sql": "idd > 1"}, 'Referenced column "idd" not found'),
    ({"sql": "id"}, "`id` is a INTEGER, and not true or false"),
    ({"sql": "cast(email as integer) > 0"}, "Could not convert string"),
    ({"sql": "id > 0, true"}, "not true or false"),
    ({"where": "nope", "unique": "id"}, "`where`"),
    ({"range": {"status": {"min": 1}}}, "column `status` is a VARCHAR, but 1 is not a text"),
    ({"values": {"id": ["1.5x"]}}, 'is a INTEGER, but "1.5x" is not a number'),
    ({"pattern": {"id": "[0-9]+"}}, "column `id` is a INTEGER, and `pattern` is for texts"),
    ({"range": {"day": {"min": "no date"}}}, "invalid timestamp"),
]


@pytest.mark.parametrize("check, message", WRONG, ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else None)
def test_what_does_not_fit_the_table_fails_the_check_and_says_why(project, check, message):
    step = checked(project, [check, {"not_null": "id"}], exits=1)
    assert step["error"]["kind"] == "data" and message in step["error"]["message"], step["error"]
    assert [check["passed"] for check in step["checks"]] == [False, True]
    assert checked(project, [check | {"severity": "warn"}])["status"] == "success"


def test_a_condition_that_cannot_be_computed_does_not_hide_the_others(project):
    step = checked(project, {"sql": ["cast(email as integer) > 0", "id < 3"], "not_null": "email"}, exits=1)
    assert [(check["passed"], check["rows"]) for check in step["checks"]] == [(False, 1), (False, 0), (False, 2)], step["checks"]


def test_null_is_no_offence_unless_it_is_forbidden(project):
    """As in CHECK and UNIQUE of SQL."""
    nulls = "select null::varchar as a, null::integer as b, null::date as c from range(3)"
    expect = {"unique": ["a", "b"], "values": {"a": ["x"]}, "range": {"b": {"min": 5}, "c": {"max": "2020-01-01"}}, "pattern": {"a": "x"}, "sql": ["b > 7", "a = 'x'"]}
    assert all(check["passed"] for check in checked(project, expect, nulls)["checks"])
    offended = checked(project, {"not_null": ["a", "b", "c"], "sql": "b is not null", "severity": "warn"}, nulls)["checks"]
    assert [check["rows"] for check in offended] == [3, 3, 3, 3]


def test_nested_values_and_odd_names_are_checked_like_others(project):
    odd = '''select 1 as "a""b; drop", [1, null] as "select", {'x': 1} as "Ünï", map {'k': 1} as "rowid", 5 as "osiris_0"'''
    names = ['a"b; drop', "select", "Ünï", "rowid", "osiris_0"]
    expect = [{"not_null": names, "unique": names}, {"values": {"select": ["[1, NULL]"], 'a"b; drop': [1]}}, {"sql": ['"Ünï".x = 1', 'len("select") = 2', "osiris_0 = 5"]}]
    assert all(check["passed"] for check in checked(project, expect, odd)["checks"])
    assert checked(project, {"unique": ["select", "Ünï"], "severity": "warn"}, f"{odd} from range(2)")["checks"][0]["examples"] == ["[1, NULL], {'x': 1}"]


def test_each_table_of_a_step_has_its_own_checks(project):
    steps = [project.sql("select 1 as id") | {"config": {"queries": {"main": "select 1 as id", "b": "select 2 as n from range(2)"}}}]
    steps[0]["expect"] = [{"not_null": "id"}, {"table": "b", "unique": "n", "severity": "warn"}, {"table": "b", "sql": "select * from b join main on b.n = main.id"}]
    step = project.run(steps)["step"]["source"]
    assert [(check["table"], check["passed"]) for check in step["checks"]] == [("main", True), ("b", False), ("b", True)], step["checks"]


def test_values_are_looked_up_in_inputs_and_in_other_steps(project):
    people = project.sql("select unnest([1, 2, null]) as id, 'x' as name", "people")
    orders = project.sql("select unnest([1, 2, 3, null]) as customer", "orders") | {"needs": []}
    for target in ("people.id", {"from": "people", "table": "main", "column": "ID"}):
        step = project.run([people, orders | {"expect": {"references": {"customer": target}}}], expect=1)["step"]["orders"]
        assert "1 of 4 rows of table `main`: `customer` is not in column `id` of" in step["error"]["message"].replace("ID", "id"), step
        assert step["checks"][0]["examples"] == ["3"]
    # The driver does not know of the table.
    spy = project.sql("select * from people", "orders") | {"expect": {"references": {"customer": "people.id"}}}
    assert "there is no table `people`" in project.run([people, spy], expect=1)["step"]["orders"]["error"]["message"]
    alias = {"id": "orders", "component": "duckdb.processor", "inputs": {"p": {"from_step": "people"}}, "config": {"query": "select id as customer from p"}}
    assert project.run([people, alias | {"expect": {"references": {"customer": "p.id"}}}])["step"]["orders"]["checks"][0]["passed"]
    text = alias | {"expect": {"references": {"customer": "p.name"}}}
    assert "cast one of them" in project.run([people, text], expect=1)["step"]["orders"]["error"]["message"]
    unknown = project.run([people, orders | {"expect": {"references": {"customer": "peple.id"}}}], expect=2)["stderr"]
    assert "unknown step `peple`" in unknown and "people" in unknown, unknown


def test_a_writers_input_is_checked_before_its_driver_is_called(project):
    write = {"id": "out", "component": "filesystem.csv_writer", "needs": ["source"], "config": {"path": "out.csv"}, "expect": {"not_null": "email"}}
    result = project.run([project.sql(ROWS), write], expect=1)
    step = result["step"]["out"]
    assert "1 of 4 rows of table `source`" in step["error"]["message"] and "nothing was written" in step["error"]["hint"], step
    assert not (project.folder / "out.csv").exists()
    assert project.run([project.sql(ROWS), write | {"expect": {"not_null": "id"}}])["step"]["out"]["rows"] == 4
    assert "of its input, before its driver is called" in project.osiris("plan", "pipeline.yaml").stdout


def test_a_database_writer_does_not_connect_before_the_checks_passed(project):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        connection = {"host": "127.0.0.1", "port": server.getsockname()[1], "user": "u", "database": "d", "password": "some long password", "sslmode": "disable"}
        project.write("osiris_connections.yaml", json.dumps({"connections": {"postgres": {"shop": connection}}}))
        write = {"id": "out", "component": "postgres.writer", "needs": ["source"], "config": {"connection": "@postgres.shop", "table": "t"}}
        refused = project.run([project.sql(ROWS), write | {"expect": {"not_null": "email"}}], expect=1)["step"]["out"]
        assert refused["error"]["kind"] == "data" and "of table `source`" in refused["error"]["message"], refused
        with pytest.raises(TimeoutError):
            server.accept()
        # Without the check it does.
        project.run([project.sql(ROWS), write | {"expect": {"not_null": "id"}}], "--step-timeout", "3", expect=1)
        server.accept()[0].close()


def test_parameters_are_values_of_checks(project):
    params = {"most": {"type": "integer", "default": 100}, "word": "open"}
    expect = {"range": {"id": {"max": "${params.most}"}}, "values": {"status": ["${params.word}", "paid", "lost"]}, "row_count": {"min": 1}}
    run = lambda *flags, exits=0: project.run([project.sql(ROWS) | {"expect": expect}], *flags, expect=exits, params=params)  # noqa: E731
    assert all(check["passed"] for check in run()["step"]["source"]["checks"])
    assert "not at most 2" in run("--param", "most=2", exits=1)["step"]["source"]["error"]["message"]
    assert "unknown parameter" in project.run([project.sql(ROWS) | {"expect": {"sql": "id < ${params.x}"}}], expect=2)["stderr"]


def test_examples_hide_secrets_and_control_no_terminal(project):
    sql = f"select '{SECRET}' as a, chr(27) || '[2J' || chr(8238) as b"
    reader = {"id": "read", "component": "test.rejecting", "needs": ["source"], "config": {"token": SECRET}, "expect": {"values": {"a": ["x"], "b": ["y"]}}}
    result = project.run([project.sql(sql), reader], expect=1)
    assert SECRET not in result["stderr"] and "\x1b" not in result["stderr"] and "MASKED" in result["stderr"], result["stderr"]
    assert SECRET not in json.dumps(result["step"]["read"], ensure_ascii=False)
    shown = project.osiris("sessions", "show").stdout
    assert SECRET not in shown and "\x1b" not in shown and "\u202e" not in shown and r"\u{1b}[2J" in shown
    none = checked(project, {"values": {"status": ["x"]}, "examples": 0, "severity": "warn"})
    assert "examples" not in none["checks"][0]


def test_checks_count_towards_the_limits_of_the_step(project):
    endless = {"sql": "select * from range(1000000000000) t(i) where i < 0"}
    step = checked(project, endless, exits=1, flags=("--step-timeout", "3"))
    assert step["error"]["kind"] == "timeout" and step["error"]["blame"] == "user", step["error"]


def test_a_resumed_run_remembers_what_was_checked(project):
    steps = [project.sql(ROWS) | {"expect": {"unique": "id", "severity": "warn"}}, project.sql("select error('later')", "later") | {"needs": ["source"]}]
    first = project.run(steps, expect=1)
    again = project.run(None, "--resume", "latest", expect=1)
    assert again["step"]["source"]["checks"] == first["step"]["source"]["checks"] and not first["step"]["source"]["checks"][0]["passed"]
    steps[0]["expect"] = {"unique": "id"}
    changed = project.run(steps, "--resume", "latest", expect=1)
    assert changed["step"]["source"]["status"] == "failed", "the checks have changed, so the step runs again"


def test_freshness_is_measured_from_now(project):
    now = datetime.datetime.now(datetime.timezone.utc)
    times = lambda age: f"select timestamptz '{(now - age).isoformat()}' as t, 'infinity'::timestamp as far"  # noqa: E731
    assert checked(project, {"freshness": {"t": "1h"}}, times(datetime.timedelta(minutes=30)))["status"] == "success"
    late = checked(project, {"freshness": {"t": "1h"}}, times(datetime.timedelta(hours=3)), exits=1)
    assert "3 h ago; at most 60 min is expected" in late["error"]["message"], late["error"]
    assert "no row has a `far`" in checked(project, {"freshness": {"far": "1h"}}, times(datetime.timedelta()), exits=1)["error"]["message"]


@pytest.mark.parametrize("on", ["local", "worker"])
def test_checks_run_where_the_step_runs(project, on):
    from conftest import OSIRIS

    project.write("osiris.yaml", json.dumps({"workers": {"worker": {"command": f"{OSIRIS} worker --slots 2"}}}))
    people = project.sql("select unnest([1, 2]) as id", "people")
    orders = project.sql("select unnest([1, 2, 3]) as customer", "orders") | {"on": on}
    orders["expect"] = [{"references": {"customer": "people.id"}, "severity": "warn"}, {"unique": "customer"}]
    step = project.run([people, orders])["step"]["orders"]
    assert [(check["passed"], check["rows"], check.get("examples")) for check in step["checks"]] == [(False, 1, ["3"]), (True, 0, None)]
    orders["expect"] = {"row_count": 2}
    failed = project.run([people, orders], expect=1)["step"]["orders"]
    assert failed["error"]["message"] == "check `row_count` failed: there are 3 rows; 2 are expected" and not failed["checks"][0]["passed"]


PASSES = {"passed": True, "table": "main", "rows": 0, "of": 1}


@pytest.mark.local_only("the worker is a stand-in")
@pytest.mark.parametrize("outcomes", [None, [], [PASSES], [PASSES] * 3, [PASSES, PASSES | {"passed": False, "rows": 1}]], ids=lambda outcomes: str(len(outcomes or [])))
def test_a_worker_that_skips_checks_is_not_believed(project, outcomes):
    """Its step fails if it reports success without an outcome of each check, or with one that failed."""
    said = "" if outcomes is None else f"w.about('checks', outcomes={outcomes!r}); "
    body = f"w.take(); {said}w.complete([w.file(OUTPUT)], tables={{'main': 1}})"
    steps = [project.sql("select 1 as a") | {"expect": {"not_null": "a", "sql": "a = 1"}}]
    result = project.run(steps, "--on", fake(project.folder, body), expect=1)
    assert result["step"]["source"]["error"]["message"] == "the step's process ended without having made all checks of its tables"
    assert not (Path(result["session_path"]) / "data" / "source.duckdb").exists()


@pytest.mark.local_only("the worker is a stand-in")
def test_what_a_worker_says_of_checks_is_bounded_and_harmless(project):
    said = {"passed": False, "table": "main\x1b[2J", "rows": 2**63, "of": 1, "examples": ["\x1b]0;x\x07" + "x" * 100_000] * 50, "problem": "p\u202e" * 100_000}
    body = f"w.take(); w.about('checks', outcomes=[{said!r}]); w.complete([w.file(OUTPUT)], tables={{'main': 1}})"
    steps = [project.sql("select 1 as a") | {"expect": {"not_null": "a", "severity": "warn"}}]
    result = project.run(steps, "--on", fake(project.folder, body))
    check = result["step"]["source"]["checks"][0]
    assert (check["check"], check["severity"], len(check["examples"])) == ("not_null a", "warn", 3), check
    assert all(len(text) <= 500 for text in [*check["examples"], check["message"], check["table"]])
    shown = project.osiris("sessions", "show").stdout + result["stderr"]
    assert "\x1b" not in shown and "\x07" not in shown and "\u202e" not in shown


MISTAKES = [
    ({}, "no check"),
    ([], None),
    ({"not_null": []}, "`not_null` does not name columns"),
    ({"unique": 5}, "`unique` does not name columns"),
    ({"extra": "refuse", "unique": "a"}, "`extra` without `columns`"),
    ({"columns": {}}, "`columns` names none"),
    ({"columns": {"a": 5}}, "the type of column `a` is not a text"),
    ({"values": {"a": []}}, "is not a list of 1 to 10000"),
    ({"values": {"a": ["x", None]}}, "NULL passes"),
    ({"range": {"a": {}}}, "has no bound"),
    ({"range": {"a": {"min": [1]}}}, "is not a single value"),
    ({"range": {"a": {"min": 1, "exclusive": "both"}}}, "`exclusive` in `range` of `a`"),
    ({"pattern": {"a": 5}}, "is not a text"),
    ({"row_count": {}}, "has no bound"),
    ({"row_count": {"min": 5, "max": 1}}, "a `min` above its `max`"),
    ({"row_count": {"mni": 5}}, "did you mean `min`?"),
    ({"row_count": -1}, "has no bound"),
    ({"freshness": {"a": "soon"}}, "write `freshness: {a: 2d}`"),
    ({"freshness": {"a": "99999999999999999999d"}}, "has no age"),
    ({"references": {"a": "customers"}}, "write `references: {a: customers.id}`"),
    ({"references": {"a": {"from": "source"}}}, "lacks `from` or `column`"),
    ({"references": {"a": "source.id"}}, "looks into its own step"),
    ({"sql": ""}, "is not a condition or a SELECT"),
    ({"sql": {"a\nb": "a > 0"}}, "as a name"),
    ({"not_null": "a", "severity": "fatal"}, "unknown variant `fatal`, expected one of error, warn"),
    ({"not_null": "a", "severity": "warn", "on_violation": "reject"}, "both `severity` and `on_violation: reject`"),
    ({"sql": "select 1", "where": "true"}, "`where` beside `sql`"),
    ({"sql": "select 1", "on_violation": "reject"}, "does not find single rows"),
    ({"not_null": ["a", "b"], "name": "both"}, "the name of 2 checks"),
    ({"not_null": "a", "examples": 100}, "at most 20"),
    ([{"not_null": ["a"] * 150}, {"not_null": ["a"] * 150}], "more than 200 checks"),
    ({"sql": "a > 0; drop table main"}, "Parser Error"),
    ({"sql": "a > 0) from main; select (1"}, "one SELECT"),
    ({"sql": "a in (select 1 from duckdb_settings())"}, "the table function `duckdb_settings`, which a step may not call"),
    ({"sql": "select * from read_text('/etc/passwd')", "where": None}, None),
    ({"columns": {"a": "INTEGER), (SELECT 1"}}, "not one type"),
    ({"pattern": {"a": "("}}, "missing )"),
]


@pytest.mark.parametrize("expect, message", MISTAKES, ids=lambda value: json.dumps(value)[:40] if isinstance(value, (dict, list)) else None)
def test_a_mistake_is_found_before_anything_runs(project, expect, message):
    project.pipeline([project.sql("select 1 as a") | {"expect": expect}])
    done = project.osiris("validate", "pipeline.yaml")
    if message is None:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 2 and message in done.stderr and "line 1" in done.stderr, done.stderr
    assert not (project.folder / ".osiris_sessions").exists()


def test_a_check_reads_no_file_that_the_step_may_not(project):
    step = checked(project, {"sql": "select * from read_text('/etc/passwd')"}, exits=1)
    assert "check `sql select * from read_text" in step["error"]["message"] and "root:" not in json.dumps(step["result"])


def test_a_reused_step_has_its_checks_and_freshness_is_asked_anew(project):
    project.reuses = True
    same = project.sql("select 1 as id, date '2999-01-01' as day")
    again = lambda expect: [project.run([same | {"expect": expect}])["step"]["source"] for _ in range(2)][1]  # noqa: E731
    reused = again({"not_null": "id", "unique": "id"})
    assert reused["reused"] and [check["passed"] for check in reused["checks"]] == [True, True], reused
    assert again({"not_null": "id"})["reused"], "another set of checks was made once"
    for expect in ({"freshness": {"day": "1d"}}, {"sql": "day > now()"}):
        assert again(expect)["reused"] is None, expect
