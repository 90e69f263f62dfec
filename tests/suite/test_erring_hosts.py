"""A host that errs: the worker answers with an error that repeats no secret, or ends; it leaves neither a process nor a
folder."""

import json
import signal
import sys
import time
from pathlib import Path

import pytest
from conftest import CANARY, GUESTS, OSIRIS, TARGET, Project
from test_failures import children, runs
from worker_wire import Host, digest_of, environment


@pytest.fixture
def worker(tmp_path: Path):
    """Starts workers whose folders are in `tmp_path`, and checks that nothing of them stays."""
    started = []

    def start(*arguments: str) -> Host:
        host = Host([OSIRIS, "worker", "--slots", "1", "--dir", tmp_path / "workers", *arguments], env=environment())
        started.append(host)
        return host

    yield start
    for host in started:
        if host.process.stdin:
            host.end()
        assert not runs(host.process.pid)
    assert folders(tmp_path) == []


def folders(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "workers").glob("worker-*"))


def test_a_worker_says_what_it_is_and_cleans_up(worker, tmp_path):
    host = worker()
    pong = host.ping()
    assert (pong["protocol"], pong["version"], pong["slots"]) == (2, "0.1.0", 1) and len(folders(tmp_path)) == 1
    host.send("cleanup")
    assert host.hear("cleaned") and host.end()[0] == 0


def test_what_a_host_does_wrong_is_refused_and_the_worker_goes_on(worker):
    host = worker("--room", "1MB")
    prepared = host.prepare(1, b"hello", b"")
    assert sorted(prepared["lacks"]) == sorted([digest_of(b"hello"), digest_of(b"")])
    again = host.prepare(1, b"hello")
    assert again["failure"]["kind"] == "protocol" and "prepared already" in again["failure"]["message"]
    # Neither in order, nor as announced, nor announced: an attempt that needs one is refused with the first reason.
    for attempt, wrong in enumerate((lambda: host.send("blob", b"lo", digest=digest_of(b"hello"), at=3, length=2), lambda: host.blob(b"hello and more", digest=digest_of(b"hello")), lambda: host.blob(b"olleh", digest=digest_of(b"hello")), lambda: host.blob(b"stranger")), 10):
        host.prepare(attempt, b"hello")
        wrong()
        host.send("kill", attempt=attempt)
        assert host.hear("error")["failure"]["kind"] == "interrupted"
    # What was reserved by attempts that were ended takes no room.
    assert host.prepare(20, bytes(900_000))["type"] == "ready"
    full = host.prepare(21, b"x" * 900_000)
    assert full["failure"]["kind"] == "disk" or "no room" in full["failure"]["message"], full
    host.send("kill", attempt=20)
    assert host.hear("error")["attempt"] == 20
    assert host.prepare(22, b"x" * 900_000)["type"] == "ready"
    host.send("kill", attempt=999)
    many = [{"digest": digest_of(str(number).encode()), "bytes": 1} for number in range(10_001)]
    host.send("prepare", attempt=30, blobs=many)
    assert "more than 10000 blobs" in host.hear("error")["failure"]["message"]
    assert host.ping()


@pytest.mark.parametrize(
    "line",
    [
        f'{{"type": "exec_step", "attempt": 1, "job": {{"secrets": {{"/key": "{CANARY}"}}}}}}\n',
        f'{{"type": "kill", "attempt": 1, "{CANARY}": 1}}\n',
        f'{{"type": "{CANARY}"}}\n',
        f"{CANARY}\n",
        f'{{"type": "kill", "attempt": "{CANARY}',
        f'{{"type": "blob", "digest": "{CANARY}", "at": 0, "length": 1}}\nx',
        f'{{"type": "blob", "digest": "{"0" * 64}", "at": 0, "length": 100}}\n{CANARY}',
        '{"type": "prepare", "attempt": 1, "blobs": [{"digest": "/etc/passwd", "bytes": 1}]}\n',
        '{"type": "prepare", "attempt": 1, "blobs": [{"digest": "../../../../../etc/passwd", "bytes": 1}]}\n',
        f'{{"type": "prepare", "attempt": 1, "blobs": [{{"digest": "{"A" * 64}", "bytes": 1}}]}}\n',
        '{"type": "blob", "digest": "../lock", "at": 0, "length": 1}\nx',
        '{"type": "blob", "digest": "' + "0" * 64 + '", "at": 0, "length": 4294967295}\n',
    ],
)
def test_what_cannot_be_understood_ends_the_worker_and_is_not_repeated(worker, line):
    host = worker()
    host.ping()
    host.raw(line.encode())
    host.process.stdin.close()
    host.process.stdin = None
    error = host.hear("error")
    code = host.process.wait(timeout=30)
    said = host.process.stderr.read().decode()
    assert error["failure"]["kind"] == "protocol" and code != 0 and "cannot understand the host" in said
    assert CANARY not in json.dumps(error | {"data": ""}) and CANARY not in said and "suite" not in said


def test_the_next_worker_removes_what_a_killed_one_left(worker, tmp_path):
    killed, living = worker(), worker()
    killed.prepare(1, b"hello")
    living.ping()
    assert len(folders(tmp_path)) == 2
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    next = worker()
    next.ping()
    assert len(folders(tmp_path)) == 2
    assert living.ping()


def test_workers_that_start_at_once_do_not_remove_each_other(worker, tmp_path):
    hosts = [worker() for _ in range(8)]
    assert all(host.prepare(1, b"hello")["type"] == "ready" for host in hosts) and len(folders(tmp_path)) == 8


def test_an_attempt_that_was_ended_takes_no_slot_from_the_next(worker, project):
    """The host waits for no answer, so the worker may still be busy with the end of the one when the next comes."""
    endless, reachable, (loop,) = recorded(project)
    brief, _, (processor,) = recorded(project, project.sql("select 1 as a"))
    host = worker()
    host.ping()
    host.prepare(1, loop, processor)
    host.blob(loop)
    host.blob(processor)

    def send(attempt: int, job: dict) -> None:
        host.send("prepare", attempt=attempt, blobs=[{"digest": digest_of(blob), "bytes": len(blob)} for blob in (loop, processor)])
        host.send("exec_step", attempt=attempt, job=job, reachable=reachable)

    for attempt in range(2, 7):
        send(attempt, endless)
        host.send("kill", attempt=attempt)
    send(7, brief)
    ended = {}
    while len(ended) < 6:
        answer = host.hear("complete", "error")
        ended[answer["attempt"]] = answer
    assert ended.pop(7)["type"] == "complete"
    assert all(answer["failure"]["message"] == "the attempt was ended" for answer in ended.values()), ended
    send(8, endless)
    send(9, endless)
    assert "1 attempts at once" in host.hear("error")["failure"]["message"]


def test_a_worker_whose_host_no_longer_reads_ends(worker, tmp_path):
    """Its answers go nowhere, so it is stuck in a write; its stdin has ended."""
    host = worker()
    host.ping()
    for _ in range(450):
        host.send("kill", attempt=1)
        host.send("prepare", attempt=1, blobs=[])
    host.process.stdin.close()
    host.process.stdin = None
    host.process.wait(timeout=30)
    assert folders(tmp_path) == []


@pytest.mark.parametrize("state", ["greeted", "prepared", "receiving", "running"])
def test_a_worker_whose_host_goes_ends_in_every_state(worker, tmp_path, state, project):
    host = worker()
    host.ping()
    if state == "running":
        job, reachable, blobs = recorded(project)
        assert blobs, "the driver was not found"
        host.prepare(1, *blobs)
        for blob in blobs:
            host.blob(blob)
        host.send("exec_step", attempt=1, job=job, reachable=reachable)
        answer = {}
        while answer.get("event") != "started":
            answer = host.hear("event", "error")
            assert answer["type"] == "event", answer
    elif state != "greeted":
        host.prepare(1, b"hello")
        if state == "receiving":
            host.send("blob", b"hel", digest=digest_of(b"hello"), at=0, length=3)
    processes = children(host.process.pid)
    assert state != "running" or processes
    host.end()
    deadline = time.monotonic() + 10
    while any(runs(process) for process in processes):
        assert time.monotonic() < deadline, "a process outlived its worker"
        time.sleep(0.01)
    assert folders(tmp_path) == []


LOOP = {"id": "bad", "component": "test.misbehave", "needs": [], "config": {"how": "loop"}}
PATHS = ["/etc/passwd", "../../../../../../etc/passwd", "../lock", "."]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "place",
    [("driver",), ("inputs", 0, "data"), ("read", 0, "content")],
    ids=lambda place: place[0],
)
def test_a_job_that_names_a_path_in_place_of_a_digest_ends_the_worker(worker, prepared, place, path):
    host = worker()
    host.ping()
    job, _ = prepared
    files = {**job["files"], "inputs": [{"alias": "a", "also": [], "data": "0" * 64, "table": "main"}], "read": [{"name": "in.csv", "content": "0" * 64}]}
    *parents, last = place
    inside = files
    for key in parents:
        inside = inside[key]
    inside[last] = path
    host.prepare(1)
    host.send("exec_step", attempt=1, job=job | {"files": files}, reachable={"endpoints": [], "private_hosts": []})
    error = host.hear("error")
    assert error["failure"]["kind"] == "protocol" and "root:" not in json.dumps(error | {"data": ""}), error
    assert host.process.wait(timeout=30) != 0


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[dict, list[bytes]]:
    """A real job, and its driver, which creates the files that its config names."""
    project = Project(tmp_path_factory.mktemp("recorded"))
    job, _, blobs = recorded(project, {"id": "keep", "component": "test.keep", "config": {"write": ["w.txt"], "create": ["w.txt"]}})
    return job, blobs


def test_the_names_of_written_files_are_no_paths_on_a_worker(worker, prepared, tmp_path):
    """A host may call them anything: the files are in the attempt's folder, and are sent back under that name."""
    host = worker()
    host.ping()
    job, blobs = prepared
    for attempt, name in enumerate(["/tmp/osiris-attack", "../../../../osiris-attack", "../../lock", ".", "a/b", ""], 1):
        named = json.loads(json.dumps(job).replace('"w.txt"', json.dumps(name)))
        host.prepare(attempt, *blobs)
        if attempt == 1:
            for blob in blobs:
                host.blob(blob)
        host.send("exec_step", attempt=attempt, job=named, reachable={"endpoints": [], "private_hosts": []})
        sent, answer = {}, host.hear("output", "complete", "error")
        while answer["type"] == "output":
            sent[answer.get("name")] = answer["data"]
            answer = host.hear("output", "complete", "error")
        assert answer["type"] == "complete" and sent[name] == b"new\n", (name, answer)
        assert not Path("/tmp/osiris-attack").exists() and [path.name for path in tmp_path.rglob("osiris-attack")] == []


def recorded(project, step: dict = LOOP) -> tuple[dict, dict, list[bytes]]:
    """A real job, without an end unless another is wanted, as the real host hands it over, and its driver."""
    relay = project.write(
        "record.py",
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from worker_wire import *\n"
        "w = FakeWorker(); w.hear('ping'); w.pong()\n"
        "prepare = w.hear('prepare'); w.attempt = prepare['attempt']\n"
        "w.about('ready', lacks=[])\n"
        "line = w.hear('exec_step')\n"
        "open('job.json', 'w').write(json.dumps(line))\n"
        "w.fail()\nw.serve()\n",
    )
    project.pipeline([step])
    project.osiris("run", "pipeline.yaml", "--on", f"{sys.executable} {relay}")
    line = json.loads((project.folder / "job.json").read_text())
    drivers = [path.read_bytes() for folder in (GUESTS, TARGET / "drivers") for path in folder.glob(f"{step['component']}.wasm")]
    driver = [data for data in drivers if digest_of(data) == line["job"]["files"]["driver"]]
    return line["job"], line["reachable"], driver[:1]
