"""`--on ray`: steps run as tasks on a real Ray cluster of this machine, with the same results as locally."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest
from conftest import CANARY, GUESTS, OSIRIS, Project
from http_server import web  # noqa: F401, a fixture
from http_steps import grant, step
from ray_cluster import command_line, processes, ray_cluster  # noqa: F401, a fixture
from s3_server import s3_server, store  # noqa: F401, fixtures

DRIVERS = f"{GUESTS}:{OSIRIS.parent.parent / 'drivers'}"
SECRET = "secret.on.its.way.to.a.node.4f6b"


@pytest.fixture
def far(project: Project, ray_cluster) -> Project:
    ray_cluster.ensure("one", "two")
    project.on = []
    return project


def run(project: Project, cluster, steps: list[dict] | None, *arguments, **more) -> dict:
    env = cluster.environment() | {"OSIRIS_DRIVERS": DRIVERS}
    return project.run(steps, "--on", f"ray:{cluster.address}", *arguments, env=env, **more)


def eventually(condition, what: str, seconds: float = 30) -> None:
    """Waits for what other processes do."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        threading.Event().wait(0.02)


def story(project: Project, result: dict) -> list[tuple]:
    """The events of each step, without times and places."""
    told = [(event.get("step_id"), event["event"], event.get("rows")) for event in project.events(result) if event.get("step_id")]
    return sorted(told, key=lambda event: str(event[0]))


def test_a_pipeline_gives_the_same_on_ray_as_locally(far, ray_cluster):
    """Branches run at the same time; each step on a node that has what it asks for."""
    far.write("in.csv", "id,name\n" + "".join(f"{n},name {n}\n" for n in range(100)))
    steps = [{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "in.csv"}}]
    query = "select id, name, id / 3 as third, date '2026-01-01' + id::int as day, [id] as list from read where id % 2 = {}"
    steps += [{"id": f"part{n}", "component": "duckdb.processor", "needs": ["read"], "config": {"query": query.format(n)}} for n in range(2)]
    steps += [{"id": f"write{n}", "component": "filesystem.csv_writer", "needs": [f"part{n}"], "config": {"path": f"out{n}.csv"}} for n in range(2)]
    local = far.run(steps, env={"OSIRIS_DRIVERS": DRIVERS})
    written = [(far.folder / f"out{n}.csv").read_bytes() for n in range(2)]
    for n in range(2):
        (far.folder / f"out{n}.csv").unlink()
    resources = {"cpus": 1, "memory": "1GB"}
    placed = [one | {"resources": resources | {"custom": {"two" if one["id"] == "part1" else "one": 1}}} for one in steps]
    result = run(far, ray_cluster, placed)
    assert [(far.folder / f"out{n}.csv").read_bytes() for n in range(2)] == written
    for table in ("read", "part0", "part1"):
        assert far.rows(result, table) == far.rows(local, table) and far.types(result, table) == far.types(local, table)
    assert story(far, result) == story(far, local)
    events = [(event["event"], event["step_id"]) for event in far.events(result) if event["event"] in ("step_start", "step_complete")]
    assert {kind for kind, step_id in events[2:4]} == {"step_start"}, "both parts are started before one is complete"
    keep = ("id", "status", "rows", "table", "tables", "attempts", "error", "warnings")
    assert [{key: one[key] for key in keep} for one in result["steps"]] == [{key: one[key] for key in keep} for one in local["steps"]]


def test_errors_are_those_of_a_local_run(far, ray_cluster):
    bad = [far.sql("select 1 as a"), {"id": "bad", "component": "test.misbehave", "needs": ["source"], "config": {"how": "panic"}}]
    local = far.run(bad, expect=1, env={"OSIRIS_DRIVERS": DRIVERS})["step"]["bad"]
    assert run(far, ray_cluster, bad, expect=1)["step"]["bad"]["error"] == local["error"] is not None
    # What no node has is an error at once, before a node is asked.
    wish = far.sql("select 1 as a") | {"resources": {"cpus": 1, "memory": "2.5GB", "custom": {"quantum": 1}}, "retries": 3}
    error = run(far, ray_cluster, [wish], expect=1)["step"]["source"]["error"]
    assert error["message"].removeprefix(f"worker `ray:{ray_cluster.address}`: ").startswith("no node of the Ray cluster has 1 CPUs, 2.5 GB of memory, 1 `quantum`; the nodes have 0 CPUs")
    assert "2 CPUs, 8.0 GB of memory, 2 `one`" in error["message"] and error["kind"] == "worker"


@pytest.mark.parametrize("retries", [1, 0])
def test_a_node_that_is_lost_in_the_middle_of_a_step_is_replaced_by_another(far, ray_cluster, web, retries):
    """The server holds the first answer back until the node that asked for it has gone. The step's secret is in that request,
    and in no file of Ray and no command line."""
    asked, gone = threading.Event(), threading.Event()

    def answer(request):
        if request.number == 1:
            asked.set()
            assert gone.wait(60)
        assert SECRET in request.headers["authorization"]
        return [{"n": n} for n in range(100)]

    web.route("/items", answer)
    grant(far, web, token=SECRET)
    reading = step(connection="@http.api0", path="/items", max_retries=0) | {"retries": retries}
    lines = []

    def kill():
        assert asked.wait(60)
        lines.extend(command_line(pid) for pid in processes("ray", "osiris"))
        [(name, workers)] = [(name, workers) for name, workers in ray_cluster.workers().items() if workers]
        ray_cluster.kill(name)
        eventually(lambda: not any(map(command_line, workers)), "the end of the node's worker")
        gone.set()

    killing = threading.Thread(target=kill)
    killing.start()
    result = run(far, ray_cluster, [reading], expect=0 if retries else 1)
    killing.join()
    if retries:
        assert far.rows(result, "read", "select count(*), sum(n) from main") == [(100, 4950)]
        [retry] = [event for event in far.events(result) if event["event"] == "step_retry"]
        assert retry["error"]["kind"] == "lost" and result["step"]["read"]["attempts"] == 2
    else:
        error = result["step"]["read"]["error"]
        assert error["kind"] == "lost" and error["message"].startswith("the "), error
        assert not far.folder.joinpath(result["session_path"], "data", "read.duckdb").exists()
    assert lines and SECRET not in "".join(lines)
    files = [file for file in ray_cluster.session.rglob("*") if file.is_file()]
    assert sum(b"osiris-attempt" in file.read_bytes() for file in files), "the search finds what is there"
    assert [file for file in files if SECRET.encode() in file.read_bytes()] == []


def test_ctrl_c_ends_everything(far, ray_cluster):
    far.pipeline([far.sql("select 1 as a"), {"id": "loop", "component": "test.misbehave", "needs": ["source"], "config": {"how": "loop"}}])
    environment = {"HOME": os.environ["HOME"], "OSIRIS_CANARY": CANARY, "OSIRIS_DRIVERS": DRIVERS} | ray_cluster.environment()
    command = [str(OSIRIS), "run", "pipeline.yaml", "--no-cache", "--json", "--on", f"ray:{ray_cluster.address}"]
    with subprocess.Popen(command, cwd=far.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("loop") and "started" in line:
                break
        eventually(lambda: any(ray_cluster.workers().values()), "a worker")
        process.send_signal(signal.SIGINT)
        result = json.loads(process.stdout.read())
        assert process.wait(30) == 130 and result["status"] == "interrupted"
    eventually(lambda: not any(ray_cluster.workers().values()), "the end of the workers")
    eventually(lambda: not processes(f"osiris-ray-bridge --address={ray_cluster.address}"), "the end of the bridge")


def test_a_bridge_or_a_cluster_that_is_not_there_is_an_error_before_anything_runs(far, ray_cluster):
    far.pipeline([far.sql("select 1 as a")])
    missing = far.osiris("run", "pipeline.yaml", "--on", "ray", env={"PATH": "/usr/bin:/bin"})
    assert missing.returncode == 3 and "error: cannot reach `ray`: there is no `osiris-ray-bridge` on the PATH\nhint: install it with `pip install ./clients/ray-bridge`\n" in missing.stderr
    nowhere = far.osiris("run", "pipeline.yaml", "--on", "ray:127.0.0.1:1", env=ray_cluster.environment())
    assert nowhere.returncode == 3 and "cannot reach worker `ray:127.0.0.1:1`: there is no Ray cluster at `127.0.0.1:1`: [Errno 111] Connection refused\nhint: start Ray" in nowhere.stderr, nowhere.stderr
    # The same in the other direction: nodes without Osiris.
    command = f"osiris-ray-bridge --address {ray_cluster.address} --program /no/osiris"
    far.pipeline([far.sql("select 1 as a")])
    result = far.run(None, "--on", command, env=ray_cluster.environment(), expect=1)
    error = result["step"]["source"]["error"]
    assert error["kind"] == "worker" and "has no worker: cannot start `/no/osiris`: No such file or directory" in error["message"]
    assert "on each node of the cluster" in error["hint"]


def test_steps_on_a_cluster_pass_data_through_an_exchange(far, ray_cluster, store):
    """Neither the host nor Ray's object store sees what they pass; the nodes get the credentials with each step."""
    steps = [far.sql("select range as a from range(200_000)", "make"), {"id": "sum", "component": "duckdb.processor", "needs": ["make"], "config": {"query": "select sum(a)::bigint as a from make"}}]
    placed = [one | {"resources": {"cpus": 1, "memory": "1GB", "custom": {node: 1}}} for one, node in zip(steps, ("one", "two"))]
    far.env = store.env
    result = run(far, ray_cluster, placed, "--exchange", store.url)
    assert [one["duckdb_path"] for one in result["steps"]] == [None, None]
    assert far.osiris("query", result["session_id"], "sum", "from main", "--format", "csv").stdout == f"a\n{sum(range(200_000))}\n"
    assert len(store.keys("objects/")) == 2 and store.holding(store.env["AWS_SECRET_ACCESS_KEY"]) == []
