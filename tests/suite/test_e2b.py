"""Steps in E2B's sandboxes, for which a stand-in stands. E2B's own SDK has to accept it first."""

import base64
import json
import os
import signal
import subprocess
import threading
import time

import pytest
from conftest import GUESTS, OSIRIS, cache_folder
from e2b_stand_in import KEY, StandIn
from http_server import Reply, web  # noqa: F401
from http_steps import SECRET, grant, step
from s3_server import s3_server, store  # noqa: F401


@pytest.fixture
def e2b(tmp_path):
    stand_in = StandIn(tmp_path / "e2b")
    yield stand_in
    stand_in.close()


@pytest.fixture
def sdk(e2b, monkeypatch):
    """E2B's SDK, which talks to the stand-in."""
    for name, value in e2b.env.items():
        monkeypatch.setenv(name, value)
    import e2b as module

    return module


def eventually(holds, seconds: float = 20):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it has not come true"
        time.sleep(0.02)


def test_the_sdk_of_e2b_accepts_the_stand_in(e2b, sdk):
    sandbox = sdk.Sandbox.create(timeout=60, metadata={"a": "b c"}, allow_internet_access=False, network={"allow_out": ["example.com"]})
    assert sandbox.is_running() and e2b.seen[0].network == {"allowOut": ["example.com"]}
    assert [one.sandbox_id for one in sdk.Sandbox.list(query=sdk.SandboxQuery(metadata={"a": "b c"})).next_items()] == [sandbox.sandbox_id]
    # Files, in both ways in which they are sent.
    content = os.urandom(100_000) + b"\r\n--end\r\n"
    sandbox.files.write("data/one.bin", content)
    sandbox.files.write("data/two.bin", content, use_octet_stream=True, gzip=True)
    assert sandbox.files.read("data/one.bin", format="bytes") == sandbox.files.read("data/two.bin", format="bytes") == content
    # A command with stdin, whose output is streamed; pieces cut characters.
    process = sandbox.commands.run("while read -r line; do echo \"got $line\"; done; head -c 100000 /dev/zero | tr '\\0' x; printf 'ä%.0s' $(seq 40000); echo err >&2; exit 3", background=True, stdin=True)
    sandbox.commands.send_stdin(process.pid, "hello\n")
    assert [one.pid for one in sandbox.commands.list()] == [process.pid]
    sandbox.commands.close_stdin(process.pid)
    with pytest.raises(sdk.CommandExitException) as failed:
        process.wait()
    assert failed.value.exit_code == 3 and failed.value.stderr == "err\n"
    assert failed.value.stdout == "got hello\n" + "x" * 100_000 + "ä" * 40_000
    # A default value is left out, and understood.
    assert sandbox.commands.run("true").exit_code == 0
    # A process outlives its stream, and is found again.
    process = sandbox.commands.run("read -r line; echo \"late $line\"", background=True, stdin=True)
    process.disconnect()
    again = sandbox.commands.connect(process.pid)
    sandbox.commands.send_stdin(process.pid, "word\n")
    assert again.wait().stdout == "late word\n"
    # A time limit kills the process.
    process = sandbox.commands.run("sleep 60", background=True, timeout=1)
    with pytest.raises(sdk.TimeoutException):
        process.wait()
    eventually(lambda: sandbox.commands.list() == [])
    process = sandbox.commands.run("sleep 60", background=True)
    assert process.kill()
    sandbox.set_timeout(120)
    assert e2b.seen[0].extended == 1
    assert sandbox.kill() and not sandbox.is_running() and e2b.alive == {}


def test_the_stand_in_fails_as_the_sdk_expects(e2b, sdk):
    with pytest.raises(sdk.SandboxException, match="404"):
        sdk.Sandbox.create("unknown")
    with pytest.raises(sdk.AuthenticationException):
        sdk.Sandbox.create(api_key=KEY[:-1] + "x")
    e2b.fail("POST /v2/sandboxes", 429, headers={"Retry-After": "0"})
    sandbox = sdk.Sandbox.create(timeout=60)
    e2b.fail("POST /files", 507, body='{"code": 507, "message": "not enough disk space"}')
    with pytest.raises(sdk.NotEnoughSpaceException):
        sandbox.files.write("x", b"x")
    e2b.fail("POST /process.Process/Start", 502, body="<html>Bad Gateway</html>", headers={"Content-Type": "text/html"})
    with pytest.raises(sdk.SandboxException):
        sandbox.commands.run("true")
    e2b.keepalive = 0.05
    process = sandbox.commands.run("sleep 60", background=True)
    e2b.break_streams()
    with pytest.raises(sdk.SandboxException):
        process.wait()
    assert [one.pid for one in sandbox.commands.list()] == [process.pid]
    # The sandbox dies when its time is over, in mid-command.
    process = sandbox.commands.run("sleep 60", background=True)
    sandbox.set_timeout(0)
    with pytest.raises(sdk.SandboxException):
        process.wait()
    assert e2b.alive == {} and not sandbox.is_running()
    e2b.quota = 0
    with pytest.raises(sdk.RateLimitException):
        sdk.Sandbox.create()


# Osiris.

CACHE = str(cache_folder())
# A template that has this Osiris, and the drivers that this machine has compiled.
READY = {"PATH": str(OSIRIS.parent), "OSIRIS_CACHE_DIR": CACHE}


def run(project, e2b, steps, *arguments, on="e2b:ready", **more):
    e2b.templates.setdefault("ready", READY)
    project.on = []
    return project.run(steps, "--on", on, *arguments, env=e2b.env | more.pop("env", {}), **more)


def begin(project, e2b, *steps, on="e2b:ready"):
    """Starts a run, which goes on meanwhile."""
    e2b.templates.setdefault("ready", READY)
    project.pipeline(list(steps))
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), **e2b.env}
    command = [OSIRIS, "run", "pipeline.yaml", "--no-cache", "--json", "--on", on]
    return subprocess.Popen(command, cwd=project.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def ended(run, expect: int) -> dict:
    stdout, stderr = run.communicate(timeout=120)
    assert run.returncode == expect, stdout + stderr
    return {step["id"]: step for step in json.loads(stdout)["steps"]}


class Slow:
    """A page of rows whose first reader waits until something has happened to its sandbox."""

    def __init__(self, project, web):
        self.asked, self.answers, self.calls = threading.Event(), threading.Event(), 0
        self.step = step(url=web.route("/slow", self.page), max_retries=0)
        grant(project, web)

    def page(self, _):
        self.calls += 1
        if self.calls == 1:
            self.asked.set()
            self.answers.wait(60)
        return [{"n": 1}]


@pytest.fixture
def slow(project, web):
    slow = Slow(project, web)
    yield slow
    slow.answers.set()


def test_a_pipeline_gives_the_same_in_sandboxes_as_here(project, e2b):
    project.write("in.csv", "id,name\n1,ä\n2,\n" + "".join(f"{n},{'x' * 40}\n" for n in range(3, 60_000)))
    steps = [
        {"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "in.csv"}},
        {"id": "shape", "component": "duckdb.processor", "needs": ["read"], "config": {"query": "SELECT id * 2 AS two, name, 1.5::DECIMAL(9,2) AS d, [id] AS l FROM df_read ORDER BY 1"}},
        {"id": "write", "component": "filesystem.csv_writer", "needs": ["read"], "config": {"path": "out.csv"}},
        {"id": "wrong", "component": "duckdb.processor", "needs": ["shape"], "config": {"query": "SELECT error('no: ' || max(two)) FROM df_shape"}},
    ]
    seen = []
    for place in ({}, {"on": "e2b:ready"}):
        project.on = []
        result = run(project, e2b, steps, expect=1, **place) if place else project.run(steps, expect=1)
        events = sorted((event.get("step_id") or event.get("step") or "", event["event"]) for event in project.events(result))
        errors = {id: {key: value for key, value in (one["error"] or {}).items()} for id, one in result["step"].items()}
        rows = {id: project.rows(result, id) for id in ("read", "shape")}
        seen.append((events, errors, rows, project.types(result, "shape"), (project.folder / "out.csv").read_bytes(), [one["rows"] for one in result["steps"]]))
        (project.folder / "out.csv").unlink()
    assert seen[0] == seen[1]
    # No sandbox reaches anything, none is left, and all were started for this.
    assert e2b.alive == {} and len(e2b.seen) <= 4
    for sandbox in e2b.seen:
        assert sandbox.request["allow_internet_access"] is False and sandbox.network == {"allowOut": [], "denyOut": ["0.0.0.0/0"]}


def test_without_a_template_the_program_is_uploaded_once_per_sandbox(project, e2b):
    e2b.templates["base"] = {"OSIRIS_CACHE_DIR": CACHE}
    result = run(project, e2b, [project.sql("select 42 as x"), {"id": "next", "component": "duckdb.processor", "needs": ["source"], "config": {"query": "select x + 1 as y from df_source"}}], on="e2b")
    assert project.rows(result, "next") == [(43,)]
    assert [line.split(" HTTP")[0] for line in e2b.requests if line.startswith("POST /files")] == ["POST /files?path=.osiris/osiris", "POST /files?path=.osiris/libduckdb.so"]
    assert len(e2b.seen) == 1 and e2b.alive == {}


def test_the_hosts_of_a_grant_become_the_rules_of_its_sandbox(project, e2b, web):
    grant(project, web)
    e2b.canary = SECRET.encode()
    e2b.templates["private"] = {"PATH": str(OSIRIS.parent)}
    page = web.route("/page", lambda request: [{"n": 1}] if request.headers.get("authorization") == f"Bearer {SECRET}" else Reply({}, 401))
    with_secret = step(url=page, auth={"type": "bearer", "token": SECRET})
    result = run(project, e2b, [with_secret, {"id": "next", "component": "duckdb.processor", "needs": ["read"], "config": {"query": "select n + 1 as m from df_read"}}], on="e2b:private")
    assert project.rows(result, "next") == [(2,)]
    assert [(one.network["allowOut"], one.network["denyOut"], one.request["allow_internet_access"]) for one in e2b.seen] == [([], ["0.0.0.0/0"], False), (["127.0.0.1"], ["0.0.0.0/0"], False)]
    # The secret went over the stdin of one process, and nowhere else.
    written = json.dumps(SECRET)[1:-1].encode()
    assert written in e2b.stdin and e2b.leaks == [] and len(e2b.requests) > 10
    received = "".join(e2b.requests)
    assert SECRET not in received and written.decode() not in received and base64.b64encode(SECRET.encode()).decode() not in received
    # The key is in its header only.
    assert KEY not in e2b.stdin.decode(errors="replace") and all(KEY not in one.split("\n", 1)[0] for one in e2b.requests)


def dies(e2b):
    for id in list(e2b.alive):
        e2b.kill(id)


def time_passes(e2b):
    for sandbox in list(e2b.alive.values()):
        sandbox.ends = 0


@pytest.mark.parametrize("happens", [dies, time_passes, StandIn.break_streams], ids=["dies", "time", "stream"])
def test_a_step_whose_sandbox_is_lost_fails_or_is_tried_again(project, e2b, slow, happens):
    running = begin(project, e2b, slow.step | {"retries": 1})
    assert slow.asked.wait(60)
    happens(e2b)
    read = ended(running, 0)["read"]
    assert (read["rows"], read["attempts"]) == (1, 2) and e2b.alive == {}
    slow.calls = 0
    slow.asked.clear()
    running = begin(project, e2b, slow.step)
    assert slow.asked.wait(60)
    happens(e2b)
    error = ended(running, 1)["read"]["error"]
    assert (error["kind"], error["blame"]) == ("lost", "host") and error["message"].startswith("sandbox `i") and "retries" in error["hint"]
    assert e2b.alive == {}


def test_a_sandbox_is_kept_alive_as_long_as_its_step_runs(project, e2b, slow):
    running = begin(project, e2b, slow.step, on=f"{OSIRIS} e2b-bridge --template ready --lifetime 3")
    assert slow.asked.wait(60)
    busy = next(one for one in e2b.seen if one.network["allowOut"])
    eventually(lambda: busy.extended >= 4)
    slow.answers.set()
    assert ended(running, 0)["read"]["attempts"] == 1 and e2b.alive == {}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_sandbox_is_left_when_the_host_ends(project, e2b, slow, how):
    running = begin(project, e2b, slow.step)
    assert slow.asked.wait(60)
    running.send_signal(how)
    running.communicate(timeout=60)
    assert running.returncode == (-9 if how == signal.SIGKILL else 130)
    eventually(lambda: e2b.alive == {})


def test_the_next_run_deletes_what_a_killed_bridge_left(project, e2b, slow):
    running = begin(project, e2b, slow.step)
    assert slow.asked.wait(60)
    origin = {one.request["metadata"]["osiris_process"] for one in e2b.alive.values()}
    os.kill(int(origin.pop().split("-")[0]), signal.SIGKILL)
    assert ended(running, 1)["read"]["error"]["kind"] == "lost"
    left = set(e2b.alive)
    foreign = e2b.create({"templateID": "base", "metadata": {"osiris_host": "another", "osiris_process": "1-1"}}).id
    assert len(left) == 2
    slow.answers.set()
    run(project, e2b, [project.sql("select 1 as x")])
    assert set(e2b.alive) == {foreign}


def script(folder, name, text):
    (folder / name).mkdir()
    (folder / name / "osiris").write_text(f"#!/bin/sh\n{text}\n")
    (folder / name / "osiris").chmod(0o755)
    return {"PATH": str(folder / name)}


def test_why_there_is_no_sandbox_is_said_with_the_remedy(project, e2b, tmp_path):
    e2b.templates |= {"old": script(tmp_path, "old", "echo osiris 0.0.9"), "broken": script(tmp_path, "broken", "echo 'libc.so.6: version `GLIBC_9.9` not found' >&2; exit 1")}
    steps = [project.sql("select 1 as x")]
    for on, expect, env, message, hint in [
        ("e2b", 2, {"E2B_API_KEY": ""}, "`E2B_API_KEY` is not set", "export E2B_API_KEY"),
        ("e2b", 2, {"E2B_API_KEY": "e2b_wrong"}, "refuses the key in `E2B_API_KEY`: invalid API key (401)", "create a key"),
        ("e2b:unknown", 2, {}, "E2B has no template `unknown`", "e2b template list"),
        ("e2b:old", 2, {}, "template `old` has Osiris 0.0.9, this is ", "build the template"),
        ("e2b:broken", 2, {}, "does not run in template `broken`; it ended with exit status 1; it said: libc.so.6: version", "C library"),
        ("e2b:$(x)", 2, {}, "does not name a template", "e2b:TEMPLATE"),
    ]:
        said = run(project, e2b, steps, on=on, expect=expect, env=env)["stderr"]
        assert message in said and hint in said and "e2b_wrong" not in said, said
        assert e2b.alive == {}
    e2b.quota = 0
    said = run(project, e2b, steps, expect=3)["stderr"]
    assert "E2B gives no more sandboxes: you have reached the maximum number of concurrent E2B sandboxes (0) (429)" in said and "--jobs" in said
    e2b.quota = 20
    # A busy service is asked again, as late as it wants, and gives one sandbox for one request, whatever became of the answer.
    created = len(e2b.seen)
    e2b.fail("POST /v2/sandboxes", 429, headers={"Retry-After": "1"})
    e2b.fail("POST /v2/sandboxes", 502, body="<html>Bad Gateway</html>", after=True)
    e2b.fail("POST /process.Process/Start", 503)
    e2b.fail("POST /process.Process/SendInput", 429, times=2)
    run(project, e2b, steps)
    assert len(e2b.seen) == created + 1 and e2b.alive == {}
    # stdin that may have arrived is not sent twice.
    e2b.fail("POST /process.Process/SendInput", 502, after=True)
    said = run(project, e2b, steps, expect=3)["stderr"]
    assert "was lost: " in said and "(502)" in said
    assert e2b.alive == {}


def test_sandboxes_pass_data_through_an_exchange(project, e2b, store):
    """A sandbox may reach the exchange besides the hosts of its step's grant; the step itself may not."""
    project.env = store.env
    steps = [project.sql("select range as a from range(200_000)", "make"), {"id": "sum", "component": "duckdb.processor", "needs": ["make"], "config": {"query": "select sum(a)::bigint as a from make"}}]
    result = run(project, e2b, steps, "--exchange", store.url)
    assert [one["duckdb_path"] for one in result["steps"]] == [None, None]
    assert project.osiris("query", result["session_id"], "sum", "from main", "--format", "csv").stdout == f"a\n{sum(range(200_000))}\n"
    # One waits in reserve before any step is known.
    assert [one.network["allowOut"] for one in e2b.seen][-1] == ["127.0.0.1"] and {*sum((one.network["allowOut"] for one in e2b.seen), [])} == {"127.0.0.1"}
    secret = store.env["AWS_SECRET_ACCESS_KEY"]
    assert secret.encode() in e2b.stdin and secret not in "".join(e2b.requests) and store.holding(secret) == []
