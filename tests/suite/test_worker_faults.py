"""Faults around a real run on a worker: either side is killed, the user interrupts, and a real sshd leads to the worker."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import CANARY, GUESTS, OSIRIS, holding
from ssh_server import ssh_server  # noqa: F401, a fixture
from test_failures import check_nothing_half, children, long_pipeline, runs, sum_of
from worker_wire import fake

# Set `OSIRIS_KILLS=50` for a thorough run.
KILLS = int(os.environ.get("OSIRIS_KILLS", "4"))


def start(project, on: str, *arguments: str) -> subprocess.Popen:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CANARY": CANARY}
    command = [str(OSIRIS), "run", "pipeline.yaml", "--no-cache", "--on", on, *arguments]
    return subprocess.Popen(command, cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def worker_of(run: subprocess.Popen, folder: Path) -> list[int]:
    """The worker that was started with `--dir folder`, and its step processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"--dir\0{folder}\0".encode() in arguments and arguments.startswith(str(OSIRIS).encode()):
            found.append(int(process.name))
    return found


@pytest.mark.parametrize("victim", ["worker", "host"])
def test_kill_9_of_either_side_leaves_nothing_incomplete(project, victim, tmp_path_factory):
    place = tmp_path_factory.mktemp("workers")
    on = f"exec {OSIRIS} worker --slots 2 --dir {place}"
    long_pipeline(project)
    begun = time.monotonic()
    run = start(project, on)
    assert run.wait(timeout=120) == 0, run.stderr.read()
    undisturbed = time.monotonic() - begun
    [session] = project.folder.glob(".osiris_sessions/*/data")
    whole, text = sum_of(session / "source.duckdb"), (project.folder / "out.csv").read_text()
    chance = random.Random(f"osiris worker {victim}")
    for _ in range(KILLS):
        project.write("out.csv", "before\n")
        run = start(project, on)
        time.sleep(chance.uniform(0.0, undisturbed))
        workers = worker_of(run, place)
        steps = [step for worker in workers for step in children(worker)]
        for process in (workers if victim == "worker" else [run.pid]):
            os.kill(process, signal.SIGKILL)
        _, said = run.communicate(timeout=60)
        deadline = time.monotonic() + 20
        while any(runs(process) for process in (*workers, *steps)):
            assert time.monotonic() < deadline, "a worker outlived its host, or a step its worker"
            time.sleep(0.01)
        if victim == "worker":
            # Killed before it answered, while it worked, or when it had nothing left to do.
            words = {3: "cannot reach worker", 1: " was lost: its connection ended", 0: ""}[run.returncode]
            assert words in said and (project.folder / "out.csv").read_text() == (text if run.returncode == 0 else "before\n"), said
            assert run.returncode == 0 or "hint: " in said, said
        check_nothing_half(project, whole, text)
    project.write("out.csv", "before\n")
    run = start(project, on)
    assert run.wait(timeout=120) == 0 and (project.folder / "out.csv").read_text() == text
    assert not list(place.glob("worker-*")) and not list(project.folder.glob(".osiris_sessions/*/scratch"))


HOWS = ["trap", "error", "loop", "half-table", "memory", "lie-rows", "bad-utf8", "bad-offsets", "short-buffer", "panic", "exit", "claim-memory", "twin-columns", "twin-tables", "nameless-column", "half-float", "print", "print-and-sleep"]
WRONG_SQL = {
    "syntax": "selec 1",
    "missing": "from nowhere",
    "cast": "select 'x'::int as a",
    "memory-of-sql": "select list(md5(i::varchar)) as m from range(20_000_000) t(i)",
    "output": "select hash(i) as a from range(20_000_000) t(i)",
    "time": "with recursive t(i) as (select 1 union all select i + 1 from t) select max(i) as m from t",
}


def test_a_step_fails_on_a_worker_exactly_as_it_fails_locally(project):
    """Traps, errors of each kind, and limits: kind, message, hint, what was printed, and the exit code."""
    project.write("short.csv", "a,b\n1,2\n3\n")
    project.write("out.csv", "before")
    database = {"host": "127.0.0.1", "port": 9, "database": "d", "user": "u", "password": "p4ssw0rd.x", "sslmode": "disable", "private_network": True}
    project.write("osiris_connections.yaml", json.dumps({"connections": {"postgres": {"closed": database}}}))
    steps = [
        project.sql("select '€' as a"),
        *({"id": how, "component": "test.misbehave", "needs": ["source"], "config": {"how": how}} for how in HOWS),
        *(project.sql(sql, id) for id, sql in WRONG_SQL.items()),
        {"id": "read", "component": "filesystem.csv_extractor", "needs": [], "config": {"path": "short.csv"}},
        {"id": "write", "component": "filesystem.csv_writer", "needs": ["source"], "config": {"path": "out.csv", "encoding": "latin-1"}},
        {"id": "send", "component": "postgres.writer", "needs": ["source"], "config": {"connection": "@postgres.closed", "table": "t", "mode": "append"}},
    ]
    flags = ["--jobs", "4", "--step-timeout", "8", "--guest-memory", "64MB", "--engine-memory", "64MB", "--output-size", "20MB"]
    project.on = []
    local, far = (project.run(steps, *flags, *on, expect=1)["step"] for on in ([], ["--on", f"{OSIRIS} worker --slots 4"]))
    for id, step in local.items():
        assert (step["status"], step["error"], step["warnings"]) == (far[id]["status"], far[id]["error"], far[id]["warnings"]), id
        assert (step["status"] == "success") == (id == "source")
    assert {step["error"]["blame"] for step in local.values() if step["error"]} == {"user", "driver", "remote"}
    assert (project.folder / "out.csv").read_text() == "before"


@pytest.mark.parametrize("body", ["w.take(); time.sleep(1000)", "w.hear('ping'); w.pong(); time.sleep(1000)"])
def test_ctrl_c_ends_the_run_although_the_worker_does_not_answer(project, body):
    project.pipeline([project.sql("select 1 as a")])
    run = start(project, fake(project.folder, f"{body}"))
    while "source" not in (line := run.stderr.readline()):
        assert line, "the run ended early"
    begun = time.monotonic()
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=30)
    assert run.returncode == 130 and time.monotonic() - begun < 10


def test_a_step_with_retries_is_tried_again_over_a_new_connection(project):
    """The first worker dies in the middle of the step; the second one is real."""
    marker = project.folder / "died"
    dying = fake(project.folder, f"open({str(marker)!r}, 'w'); w.take(); os._exit(1)").removeprefix("exec ")
    on = f"if [ -e {marker} ]; then exec {OSIRIS} worker --slots 1; else exec {dying}; fi"
    project.pipeline([project.sql("select 1 as a") | {"retries": 1}])
    run = start(project, on)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 0 and "was lost" in said and marker.exists(), said


@pytest.mark.parametrize("component, dies, tried", [
    ("postgres.writer", "w.take()", 1),
    ("postgres.writer", "w.hear('ping'); w.pong(); w.hear('prepare')", 2),
    ("filesystem.csv_writer", "w.take()", 2),
])  # fmt: skip
def test_a_writer_that_may_have_sent_rows_is_not_repeated_over_a_worker_that_is_lost(project, component, dies, tried):
    """Nobody knows whether it had connected. One that was not started, or was granted no network, is repeated."""
    database = {"host": "127.0.0.1", "port": 9, "database": "d", "user": "u", "password": "p4ssw0rd.x", "sslmode": "disable", "private_network": True}
    project.write("osiris_connections.yaml", json.dumps({"connections": {"postgres": {"closed": database}}}))
    config = {"path": "out.csv"} if "csv" in component else {"connection": "@postgres.closed", "table": "t", "mode": "append"}
    steps = [project.sql("select 1 as a") | {"on": "local"}, {"id": "write", "component": component, "retries": 1, "config": config, "on": "dying"}]
    project.write("osiris.yaml", json.dumps({"workers": {"dying": {"command": fake(project.folder, f"{dies}; os._exit(1)")}}}))
    project.on = []
    written = project.run(steps, expect=1)["step"]["write"]
    assert (written["attempts"], written["error"]["kind"]) == (tried, "lost")
    assert ("rows that it has sent may arrive twice" in written["error"]["hint"]) == (tried == 1)


def test_steps_run_over_ssh_and_a_secret_travels_only_in_the_job(project, ssh_server, tmp_path_factory):
    ssh = ssh_server.command()
    place = tmp_path_factory.mktemp("workers")
    on = f"{ssh} build1 {OSIRIS} worker --slots 2 --dir {place}"
    secret = [{"id": "bad", "component": "test.attack", "needs": ["source"], "config": {"attack": "clock", "key": CANARY, "file": "out.csv"}}]
    long_pipeline(project)
    run = start(project, on)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0 and (project.folder / "out.csv").read_text().count("\n") == 300_001, said
    project.write("out.csv", "before\n")
    project.pipeline([project.sql("select 1 as a"), *secret])
    run, leaks = start(project, on), []
    while run.poll() is None:
        # Folders come and go meanwhile.
        below = [Path(folder) / name for folder, _, names in os.walk(place) for name in names]
        for file in [*Path("/proc").glob("[0-9]*/cmdline"), *below]:
            try:
                if CANARY.encode() in file.read_bytes():
                    leaks.append(file)
            except OSError:
                pass
    assert leaks == [] and CANARY not in run.stderr.read() and holding(project.folder) == []
    deadline = time.monotonic() + 20
    while list(place.glob("worker-*")):
        assert time.monotonic() < deadline, "the worker's folder outlived its host"
        time.sleep(0.01)
    # A machine that cannot be reached is named, with what ssh says.
    project.pipeline([project.sql("select 1 as a")])
    run = start(project, f"{ssh} elsewhere.invalid {OSIRIS} worker")
    _, said = run.communicate(timeout=60)
    assert run.returncode != 0 and "cannot reach worker" in said and "elsewhere.invalid" in said, said
