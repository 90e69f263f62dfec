"""Where steps run: on this machine, or on the worker that the step, the profile, the project or the operator names."""

import json

import pytest
from conftest import OSIRIS, Project

WORKER = f"{OSIRIS} worker --slots 2"
STEPS = [
    {"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "in.csv"}},
    {"id": "sum", "component": "duckdb.processor", "needs": ["read"], "on": "build1", "config": {"query": "select sum(a)::bigint as a from read"}},
    {"id": "write", "component": "filesystem.csv_writer", "needs": ["sum"], "config": {"path": "out.csv"}},
]


@pytest.fixture
def placed(project: Project) -> Project:
    project.on = []
    project.write("in.csv", "a\n1\n2\n")
    project.write("osiris.yaml", json.dumps({"workers": {"build1": {"command": WORKER, "slots": 1}, "other": {"command": WORKER}}}))
    return project


def places(project: Project, result: dict) -> dict[str, str]:
    assert (project.folder / "out.csv").read_text() == "a\n3\n"
    (project.folder / "out.csv").unlink()
    return {event["step_id"]: event["on"] for event in project.events(result) if event["event"] == "step_start"}


def test_the_operator_decides_before_the_step_the_profile_and_the_project(placed):
    profiles = {"far": {"on": "other"}, "near": {"on": "local"}}
    assert places(placed, placed.run(STEPS, profiles=profiles)) == {"read": "local", "sum": "build1", "write": "local"}
    assert places(placed, placed.run(None, "--profile", "far")) == {"read": "other", "sum": "build1", "write": "other"}
    assert places(placed, placed.run(None, "--on", "local")) == dict.fromkeys(("read", "sum", "write"), "local")
    assert places(placed, placed.run(None, "--profile", "far", "--on", WORKER)) == dict.fromkeys(("read", "sum", "write"), WORKER)
    project = json.loads((placed.folder / "osiris.yaml").read_text())
    placed.write("osiris.yaml", json.dumps(project | {"on": "other"}))
    result = placed.run()
    assert places(placed, result) == {"read": "other", "sum": "build1", "write": "other"}
    assert places(placed, placed.run(None, "--profile", "near")) == {"read": "local", "sum": "build1", "write": "local"}
    shown = json.loads(placed.osiris("sessions", "show", result["session_id"], "--json").stdout)
    assert [step["on"] for step in shown["steps"]] == ["other", "build1", "other"]


def test_the_plan_says_where_a_step_runs_and_what_travels(placed):
    placed.pipeline(STEPS)
    plan = placed.osiris("plan", "pipeline.yaml", "--on", "other").stdout
    assert "   on       worker `other`: there travel its driver, `in.csv`; back travels its output\n" in plan
    assert "   on       worker `other`: there travel its driver, its input; back travels `out.csv`\n" in plan
    wishes = {"cpus": 2, "memory": "4GB", "custom": {"gpu": 1}}
    placed.pipeline([STEPS[0] | {"resources": wishes}, *STEPS[1:]])
    assert "   wants    2 CPUs, 4.0 GB of memory, 1 `gpu`\n" in placed.osiris("plan", "pipeline.yaml", "--on", "other").stdout
    assert "`resources` has no effect on this machine" in placed.osiris("validate", "pipeline.yaml").stderr
    steps = json.loads(placed.osiris("plan", "pipeline.yaml", "--json").stdout)["steps"]
    assert [step["on"] for step in steps] == ["local", "build1", "local"]
    assert "   on " not in placed.osiris("plan", "pipeline.yaml", "--on", "local").stdout


def test_steps_run_at_once_on_as_many_workers_as_there_are(placed):
    """One slot each: two workers take two steps, and this machine its own."""
    slow = "select count(*) from range(3000) a, range(3000) b where a.range * b.range % 7 = 0"
    steps = [placed.sql(slow, id) | {"on": on} for id, on in (("a", "build1"), ("b", "build1"), ("c", "other"), ("d", "local"))]
    events = placed.events(placed.run(steps, "--jobs", "4"))
    running, most = set(), {}
    for event in events:
        if event["event"] == "step_start":
            running.add(event["step_id"])
            most[frozenset(running)] = None
        elif event["event"] == "step_complete":
            running.discard(event["step_id"])
    assert not any({"a", "b"} <= together for together in most), "build1 has one slot"
    assert any(together & {"a", "b"} and "c" in together for together in most), "the workers work side by side"


def test_many_steps_wait_for_the_few_slots_of_a_worker(placed):
    """The worker would refuse one too many."""
    placed.write("osiris.yaml", json.dumps({"workers": {"build1": {"command": WORKER}, "more": {"command": WORKER, "slots": 60}}}))
    steps = [placed.sql(f"select {number} as a", f"s{number}") | {"on": "build1" if number % 2 else "more"} for number in range(16)]
    running, most = dict.fromkeys(("build1", "more"), 0), dict.fromkeys(("build1", "more"), 0)
    place = {step["id"]: step["on"] for step in steps}
    for event in placed.events(placed.run(steps, "--jobs", "64")):
        if event["event"] in ("step_start", "step_complete"):
            on = place[event["step_id"]]
            running[on] += 1 if event["event"] == "step_start" else -1
            most[on] = max(most[on], running[on])
    assert most == {"build1": 2, "more": 2}


@pytest.mark.parametrize("change, expected", [
    ({"on": "build2"}, "error: step `sum` (line 1) names the unknown worker `build2`; known: `build1`, `other`, `local`\n  --> pipeline.yaml:1:"),
    ({"on": "ssh evil osiris worker"}, "names the unknown worker `ssh evil osiris worker`"),
    ({"on": ["build1"]}, "line 1"),
])  # fmt: skip
def test_a_pipeline_names_workers_and_never_a_command(placed, change, expected):
    placed.pipeline([STEPS[0], STEPS[1] | change])
    refused = placed.osiris("run", "pipeline.yaml")
    assert refused.returncode == 2 and expected in refused.stderr


@pytest.mark.parametrize("arguments, expected", [
    (["--on", "nowhere"], "error: `--on` names the unknown worker `nowhere`; known: `build1`, `other`, `local`\nhint: declare it in `osiris.yaml`, or write a command such as `ssh nowhere osiris worker`\n"),
    (["--on", "echo hello world"], "error: cannot reach worker `echo hello world`: what answers is not `osiris worker`\n"),
    (["--on", "no-such-program worker"], "error: cannot reach worker `no-such-program worker`: its command ended; it said: "),
    (["--on", "no-such-program worker --slots 2"], "hint: try `no-such-program --version`: it must print `osiris 0.1.0`\n"),
])  # fmt: skip
def test_a_worker_that_is_not_there_is_an_error_before_anything_runs(placed, arguments, expected):
    placed.pipeline(STEPS)
    refused = placed.osiris("run", "pipeline.yaml", *arguments)
    assert refused.returncode in (2, 3) and expected in refused.stderr
    assert not (placed.folder / ".osiris_sessions").exists() or not list((placed.folder / ".osiris_sessions").glob("session_*"))
