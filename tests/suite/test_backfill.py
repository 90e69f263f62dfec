"""`osiris backfill`: a run for each interval of a range, once."""

import json
import subprocess
import time

import pytest
from conftest import GUESTS, OSIRIS

QUERY = "select '${params.from}' as since, '${params.to}' as before"
STEPS = [{"id": "make", "component": "duckdb.processor", "needs": [], "config": {"query": QUERY}}, {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "out/${params.from}.csv", "create_dirs": True}}]
PARAMS = {"from": {"type": "string", "required": True}, "to": {"type": "string", "required": True}, "other": "x"}
RANGE = ("--from", "2024-02-28", "--to", "2024-03-02")
DAYS = ["2024-02-28", "2024-02-29", "2024-03-01"]


@pytest.fixture
def daily(project):
    project.reuses = True
    project.pipeline(STEPS, params=PARAMS)
    return project


def backfill(project, *arguments, expect: int = 0, **more) -> dict:
    done = project.osiris("backfill", "pipeline.yaml", "--json", *arguments, **more)
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout) | {"stderr": done.stderr}


def statuses(result: dict) -> list[str]:
    return [interval["status"] for interval in result["intervals"]]


def written(project) -> list[str]:
    return sorted(file.stem for file in (project.folder / "out").glob("*.csv"))


def sessions(project) -> int:
    return len(list(project.folder.glob(".osiris_sessions/session_*")))


def test_each_interval_is_run_once_with_its_parameters(daily):
    result = backfill(daily, *RANGE)
    assert statuses(result) == ["success"] * 3 and result["status"] == "success" and written(daily) == DAYS
    assert (daily.folder / "out" / "2024-02-29.csv").read_text() == "before,since\n2024-03-01,2024-02-29\n"
    assert "interval 2 of 3: 2024-02-29 to 2024-03-01" in result["stderr"]
    again = backfill(daily, *RANGE)
    assert statuses(again) == ["done_before"] * 3 and sessions(daily) == 3
    assert [one["session_id"] for one in again["intervals"]] == [one["session_id"] for one in result["intervals"]]
    longer = backfill(daily, "--from", "2024-02-27", "--to", "2024-03-03")
    assert statuses(longer) == ["success", "done_before", "done_before", "done_before", "success"]


def test_the_table_shows_what_became_of_each_interval(daily):
    shown = daily.osiris("backfill", "pipeline.yaml", *RANGE, "--dry-run")
    assert shown.returncode == 0 and shown.stdout.count("pending") == 4 and sessions(daily) == 0
    shown = daily.osiris("backfill", "pipeline.yaml", *RANGE)
    assert "3 intervals: 3 ran, 0 done before, 0 failed, 0 pending" in shown.stdout
    shown = daily.osiris("backfill", "pipeline.yaml", *RANGE)
    assert "3 intervals: 0 ran, 3 done before, 0 failed, 0 pending" in shown.stdout and shown.stdout.count("done before") == 4


def test_an_interval_is_run_again_by_another_pipeline_profile_or_parameter(daily):
    backfill(daily, *RANGE)
    assert statuses(backfill(daily, *RANGE, "--param", "other=y")) == ["success"] * 3
    assert statuses(backfill(daily, *RANGE, "--param", "other=y")) == ["done_before"] * 3
    daily.pipeline(STEPS, params=PARAMS, profiles={"dev": {}})
    assert statuses(backfill(daily, *RANGE)) == ["success"] * 3
    assert statuses(backfill(daily, *RANGE, "--profile", "dev")) == ["success"] * 3
    # A run of a part of the pipeline is none of the interval.
    part = ("--from", "2024-03-02", "--to", "2024-03-03")
    assert daily.osiris("run", "pipeline.yaml", "--only", "make", "--param", "from=2024-03-02", "--param", "to=2024-03-03").returncode == 0
    assert statuses(backfill(daily, *part)) == ["success"]
    # A run by hand is.
    assert daily.osiris("run", "pipeline.yaml", "--param", "from=2024-03-03", "--param", "to=2024-03-04").returncode == 0
    assert statuses(backfill(daily, "--from", "2024-03-03", "--to", "2024-03-04")) == ["done_before"]


def test_it_stops_at_the_first_failure_unless_it_keeps_going(daily):
    failing = [STEPS[0] | {"config": {"query": "select case when '${params.from}' = '2024-02-29' then error('no') else '' end as x"}}, STEPS[1]]
    daily.pipeline(failing, params=PARAMS)
    result = backfill(daily, *RANGE, expect=1)
    assert statuses(result) == ["success", "failed", "pending"] and "no" in result["intervals"][1]["error"]["message"]
    result = backfill(daily, *RANGE, "--keep-going", expect=1)
    assert statuses(result) == ["done_before", "failed", "success"] and written(daily) == ["2024-02-28", "2024-03-01"]
    shown = daily.osiris("backfill", "pipeline.yaml", *RANGE)
    assert shown.returncode == 1 and "3 intervals: 0 ran, 2 done before, 1 failed, 0 pending" in shown.stdout
    assert "error: step `make`" in shown.stderr


def test_an_interval_whose_file_is_missing_is_wrong_input(daily):
    for day in (DAYS[0], DAYS[2]):
        daily.write(f"in/{day}.csv", "a\n1\n")
    daily.pipeline([{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "in/${params.day}.csv"}}], params={"day": None})
    done = daily.osiris("backfill", "pipeline.yaml", *RANGE)
    assert done.returncode == 2 and "there is no such file" in done.stderr
    result = backfill(daily, *RANGE, "--keep-going", expect=2)
    assert statuses(result) == ["done_before", "failed", "success"] and "no such file" in result["intervals"][1]["error"]["message"]


@pytest.mark.parametrize(
    ("params", "arguments", "expected"),
    [
        ({"day": None}, [], DAYS),
        ({"hour": None}, ["--by", "hour", "--from", "2024-02-28T22:00", "--to", "2024-02-29"], ["2024-02-28T22:00:00", "2024-02-28T23:00:00"]),
        ({"week": None}, ["--by", "week", "--from", "2023-12-25", "--to", "2024-01-08"], ["2023-12-25", "2024-01-01"]),
        ({"since": None, "before": None}, ["--by", "month", "--from", "2023-12-01", "--to", "2024-02-01", "--param-from", "since", "--param-to", "before"], ["2023-12-01", "2024-01-01"]),
        ({"start": None, "from": "x", "to": "y"}, ["--param-from", "start"], DAYS),
    ],
    ids=["day", "hour", "week", "two names", "one name"],
)
def test_the_parameters_are_named_by_the_pipeline_or_the_command(project, params, arguments, expected):
    name = next(iter(params))
    project.pipeline([project.sql("select '${params." + name + "}' as x")], params=params)
    given = arguments if "--from" in arguments else [*RANGE, *arguments]
    result = backfill(project, *given)
    assert [interval["from"] for interval in result["intervals"]] == expected
    paths = [{"session_path": project.folder / ".osiris_sessions" / interval["session_id"]} for interval in result["intervals"]]
    assert [project.rows(path, "source")[0][0] for path in paths] == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--from", "2024-01-01", "--to", "2024-01-10", "--by", "week"], ["no whole number of weeks", "`--to 2024-01-08` or `--to 2024-01-15`"]),
        (["--from", "2024-01-02", "--to", "2024-01-02"], ["the range from 2024-01-02 to 2024-01-02 is empty"]),
        (["--from", "2.1.2024", "--to", "2024-01-02"], ["is no date"]),
        ([*RANGE, "--param-from", "form"], ["declares no parameter `form`"]),
        ([*RANGE, "--param", "from=1"], ["`--param from` sets a parameter that each interval sets"]),
        ([*RANGE, "--param", "otehr=1"], ["unknown parameter `otehr`"]),
        (["--from", "0001-01-01", "--to", "2024-01-02"], ["more than 10000 intervals"]),
    ],
)
def test_a_wrong_range_or_parameter_is_refused_before_anything_runs(daily, arguments, expected):
    done = daily.osiris("backfill", "pipeline.yaml", *arguments)
    assert done.returncode == 2 and all(text in done.stderr for text in expected), done.stderr
    assert sessions(daily) == 0


def test_a_pipeline_that_goes_on_where_it_ended_is_refused(project):
    project.write("osiris_connections.yaml", "connections: {db: {dev: {host: dev.example.com, database: shop}}}")
    project.pipeline([{"id": "keep", "component": "test.keep", "config": {"connection": "@db.dev", "table": "t", "state": "1"}}], params={"day": None})
    done = project.osiris("backfill", "pipeline.yaml", *RANGE)
    assert done.returncode == 2 and "step `keep` goes on where its last run ended" in done.stderr


@pytest.mark.local_only("it kills the process of this machine")
def test_after_kill_9_the_rest_is_run_and_nothing_twice(daily):
    slow = [STEPS[0] | {"config": {"query": "select sum(hash(i)) as x, '${params.from}' as d from range(30000000) t(i)"}}, STEPS[1]]
    daily.pipeline(slow, params=PARAMS)
    command = [str(OSIRIS), "backfill", "pipeline.yaml", *RANGE, "--no-cache"]
    process = subprocess.Popen(command, cwd=daily.folder, env={"PATH": "/usr/bin:/bin", "HOME": str(daily.folder), "OSIRIS_DRIVERS": str(GUESTS)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while sessions(daily) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    second = daily.osiris("backfill", "pipeline.yaml", *RANGE)
    assert second.returncode == 2 and "another backfill of pipeline `test` is running" in second.stderr
    process.kill()
    process.communicate()
    result = backfill(daily, *RANGE)
    assert statuses(result)[0] == "done_before" and "success" in statuses(result) and written(daily) == DAYS
