"""The command line as people use it: plan, validate, drivers, query, sessions, and its exit codes."""

import json
import time

import pytest
from conftest import GUESTS, TARGET


def two_steps(project):
    return [project.sql("select i, 'row ' || i as t from range(3) r(i)"), {"id": "copy-it", "component": "test.passthrough_rust"}]


def test_plan_says_order_inputs_and_grants_in_words(project):
    project.write("in.csv", "a\n1\n")
    project.pipeline([
        {"id": "write", "component": "filesystem.csv_writer", "needs": ["read"], "config": {"path": "out/x.csv", "create_dirs": True}},
        {"id": "read", "component": "filesystem.csv_extractor", "needs": [], "config": {"path": "in.csv"}},
    ])
    words = project.osiris("plan", "pipeline.yaml").stdout
    assert words.index("1. read") < words.index("2. write")
    assert "read `in.csv`" in words and "write `out/x.csv`" in words
    plan = json.loads(project.osiris("plan", "pipeline.yaml", "--json").stdout)
    assert [step["id"] for step in plan["steps"]] == ["read", "write"]
    assert len(plan["steps"][0]["driver"]["sha256"]) == 64
    assert not (project.folder / ".osiris_sessions").exists()


def test_validate_runs_nothing(project):
    project.pipeline(two_steps(project))
    done = project.osiris("validate", "pipeline.yaml")
    assert (done.returncode, done.stdout) == (0, "pipeline `test` is valid: 2 steps\n")


def test_run_prints_the_result_alone_on_stdout(project):
    result = project.run(two_steps(project))
    assert list(result)[:4] == ["session_id", "session_path", "status", "duration_ms"]
    assert result["steps"][1] | {"duration_ms": 0} == {
        "id": "copy-it", "component": "test.passthrough_rust", "status": "success", "rows": 3, "table": "main",
        "tables": {"main": {"rows": 3}}, "duckdb_path": "data/copy-it.duckdb", "duration_ms": 0, "error": None,
    }
    table = project.osiris("run", "pipeline.yaml").stdout
    assert "copy-it" in table and "success" in table


def test_query_reads_a_steps_table(project):
    project.run(two_steps(project))
    csv = project.osiris("query", "latest", "copy-it", "select * from main order by i desc limit 2", "--format", "csv")
    assert csv.stdout.split() == ["i,t", "2,row", "2", "1,row", "1"]
    rows = project.osiris("query", "latest", "copy-it", 'select i, t from "copy-it" where i = 1', "--format", "json").stdout
    assert json.loads(rows) == {"i": 1, "t": "row 1"}
    assert "row 2" in project.osiris("query", "latest", "source").stdout


@pytest.mark.parametrize("sql", ["drop table main", "select 1; select 2", "copy main to '/tmp/osiris-x'", "select * from read_text('/etc/passwd')", "attach '/tmp/x'", "selct 1"])
def test_query_takes_one_select_and_reaches_nothing_else(project, sql):
    project.run(two_steps(project))
    done = project.osiris("query", "latest", "source", sql)
    assert done.returncode == 2 and "error:" in done.stderr and "root:" not in done.stdout


def test_query_does_not_let_data_steer_the_terminal(project):
    project.run([project.sql("select chr(27) || '[2J' as evil")])
    assert "\x1b" not in project.osiris("query", "latest", "source").stdout


def test_drivers_are_listed_and_inspected(project):
    listed = json.loads(project.osiris("drivers", "list", "--json").stdout)
    names = {driver["name"] for driver in listed}
    assert {"filesystem.csv_extractor", "duckdb.processor", "filesystem.csv_writer", "filesystem.parquet_extractor",
            "filesystem.parquet_writer", "mask.processor", "hello.extractor"} <= names
    words = project.osiris("drivers", "inspect", "filesystem.csv_writer").stdout
    assert "write the file `{config.path}`" in words and "column_order" in words and "sorted|source" in words
    by_path = project.osiris("drivers", "inspect", str(GUESTS / "hello.extractor.wasm"))
    assert "Greet everyone" in by_path.stdout


def test_a_component_is_packed_found_in_a_folder_and_run_by_path(project):
    component = TARGET / "wasm32-wasip2" / "driver" / "hello_driver.wasm"
    spec = "name: my.hello\nversion: 2.0.0\nkind: extractor\ncontract: 0.1.0\ntitle: Mine\nconfigSchema: {type: object}\n"
    project.write("spec.yaml", spec)
    packed = project.osiris("drivers", "pack", str(component), "-o", "drivers/my.hello.wasm")
    assert packed.returncode == 0, packed.stderr
    steps = [{"id": "a", "component": "my.hello", "config": {"names": ["Ada"]}},
             {"id": "b", "component": "drivers/my.hello.wasm", "needs": [], "config": {"names": ["Grace"]}}]
    result = project.run(steps)
    assert project.rows(result, "a") == [("hello Ada",)] and project.rows(result, "b") == [("hello Grace",)]
    shown = json.loads(project.osiris("sessions", "show", "--json").stdout)
    assert shown["steps"][0]["driver"]["version"] == "2.0.0" and len(shown["steps"][0]["driver"]["sha256"]) == 64


def test_sessions_are_listed_shown_and_collected(project):
    assert project.osiris("sessions", "list").stdout == "no sessions yet\n"
    for _ in range(3):
        project.run(two_steps(project))
        time.sleep(1.01)  # ids sort by the second
    listed = json.loads(project.osiris("sessions", "list", "--json").stdout)
    assert [(session["status"], session["rows"]) for session in listed] == [("success", 6)] * 3
    assert "copy-it" in project.osiris("sessions", "show", listed[0]["session_id"][-6:]).stdout
    would = json.loads(project.osiris("sessions", "gc", "--keep", "1", "--dry-run", "--json").stdout)
    assert would["removed"] == [session["session_id"] for session in listed[:2]]
    assert json.loads(project.osiris("sessions", "gc", "--older-than", "1h", "--json").stdout)["removed"] == []
    project.osiris("sessions", "gc", "--keep", "1")
    left = json.loads(project.osiris("sessions", "list", "--json").stdout)
    assert [session["session_id"] for session in left] == [listed[2]["session_id"]]
    assert project.osiris("sessions", "gc").returncode == 2


def test_independent_steps_run_at_the_same_time(project):
    steps = [{"id": f"s{n}", "component": "test.misbehave", "needs": ["source"], "config": {"how": "slow", "rows": 400_000}} for n in range(2)]
    result = project.run([project.sql("select 1 as a"), *steps], "--jobs", "2")
    events = [(event["event"], event["step_id"]) for event in project.events(result) if event["event"] in ("step_start", "step_complete")]
    assert events[2][0] == events[3][0] == "step_start"
    result = project.run(None, "--jobs", "1")
    events = [event["event"] for event in project.events(result) if event["event"] in ("step_start", "step_complete")]
    assert events == ["step_start", "step_complete"] * 3


def test_two_runs_at_once_do_not_disturb_one_another(project):
    from concurrent.futures import ThreadPoolExecutor

    project.pipeline(two_steps(project))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: project.osiris("run", "pipeline.yaml", "--json"), range(8)))
    assert [run.returncode for run in done] == [0] * 8
    assert len({json.loads(run.stdout)["session_id"] for run in done}) == 8


def test_a_drivers_environment_is_empty_and_its_output_is_logged(project):
    result = project.run([{"id": "echo", "component": "test.config_echo", "config": {}}], env={"CANARY": "bird"})
    assert project.rows(result, "echo", "select environment from main") == [("[] []",)]
    logged = [event["message"] for event in project.events(result) if event["event"] == "driver_log"]
    assert "printed by the guest" in logged
