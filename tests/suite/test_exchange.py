"""The exchange: outputs of steps travel as objects named by their digest, and a ledger there says what is done, for this and other
machines."""

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import CANARY, GUESTS, OSIRIS, Project, holding
from s3_proxy import hangs, proxied  # noqa: F401
from s3_server import s3_server, store  # noqa: F401

WORKER = f"{OSIRIS} worker --slots 4"
STEPS = [
    {"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "in.csv"}},
    {"id": "double", "component": "duckdb.processor", "needs": ["read"], "config": {"query": "select a * 2 as a, b from read"}},
    {"id": "write", "component": "filesystem.csv_writer", "needs": ["double"], "config": {"path": "out.csv"}},
]


class Machine(Project):
    """A machine with a copy of the project, whose runs use an exchange."""

    def __init__(self, folder: Path, exchange: str, shared: Path | None = None, env: dict | None = None):
        super().__init__(folder)
        folder.mkdir(exist_ok=True)
        self.exchange, self.shared = exchange, shared
        self.env = env or {}
        self.write("in.csv", "a,b\n" + "".join(f"{row},x{row}\n" for row in range(1000)))

    @property
    def worker(self) -> list[str]:
        return ["--on", f"{WORKER} --exchange {self.exchange}" if self.shared else WORKER]

    def go(self, steps, *arguments, on_worker=True, **more):
        return self.run(steps, "--exchange", self.exchange, *(self.worker if on_worker else []), *arguments, **more)

    def age(self, under: str, seconds: int) -> None:
        """Makes objects of a shared folder that much older."""
        then = time.time() - seconds
        for path in (self.shared / under).rglob("*"):
            os.utime(path, (then, then))

    def query(self, result: dict, step: str, sql: str = "select count(*) as n, sum(a) as a from main") -> subprocess.CompletedProcess:
        return self.osiris("query", result["session_id"], step, sql, "--format", "csv", "--exchange", self.exchange)


@pytest.fixture
def machine(tmp_path):
    """A function that makes machines which share a folder."""
    shared = tmp_path / "shared"
    shared.mkdir()
    yield lambda name: Machine(tmp_path / name, f"file://{shared}", shared)
    assert holding(tmp_path) == [], "a session or the exchange holds the secret"


@pytest.fixture(params=["file", "s3"])
def either(request, tmp_path):
    """A machine whose exchange is a shared folder, and one whose exchange is an object store; with the names of all objects."""
    if request.param == "file":
        shared = tmp_path / "shared"
        shared.mkdir()
        one = Machine(tmp_path / "one", f"file://{shared}", shared)
        return one, lambda: [str(path.relative_to(shared)) for path in shared.rglob("*") if path.is_file()], lambda name: (shared / name).read_bytes()
    store = request.getfixturevalue("store")
    return Machine(tmp_path / "one", store.url, env=store.env), store.keys, store.get



def test_outputs_travel_through_the_exchange_and_are_fetched_when_they_are_looked_at(either):
    one, names, read = either
    result = one.go(STEPS)
    expected = "a,b\n" + "".join(f"{2 * row},x{row}\n" for row in range(1000))
    assert (one.folder / "out.csv").read_text() == expected
    assert [step["rows"] for step in result["steps"]] == [1000] * 3
    assert [step["duckdb_path"] for step in result["steps"]] == [None] * 3, "no output is on this machine"
    objects = [name for name in names() if name.startswith("objects/")]
    # Two outputs and the written file, each named by its digest.
    assert len(objects) == 3 and all(name == "objects/" + hashlib.sha256(read(name)).hexdigest() for name in objects)
    session = f"sessions/{result['session_id']}"
    steps = {name: json.loads(read(name)) for name in names() if name.startswith(f"{session}/steps/")}
    assert set(steps) == {f"{session}/steps/{step['id']}.json" for step in STEPS}
    record = steps[f"{session}/steps/double.json"]
    assert (record["attempt"], record["host"], record["tables"], record["on"]) == (1, 1, {"main": 1000}, one.worker[1])
    assert f"objects/{record['output']['digest']}" in objects
    assert json.loads(read(f"{session}/manifest.json"))["status"] == "success" and read(f"{session}/beats/000001") == b"ended"
    assert not [name for name in names() if name.startswith("probes/")]
    # It is fetched once, and is then like any other output.
    assert one.query(result, "double").stdout == "n,a\n1000,999000\n"
    assert one.rows(result, "double", "select sum(a) from main") == [(999000,)]
    # Another machine knows the session by the exchange alone.
    other = Machine(one.folder.parent / "other", one.exchange, one.shared, one.env)
    # Of several steps, those that the SELECT names are fetched.
    joined = other.osiris("query", result["session_id"], "select count(*) as n from double d join read.main r on d.a = 2 * r.a", "--format", "csv", "--exchange", other.exchange)
    assert joined.stdout == "n\n1000\n", joined
    assert other.query(result, "double").stdout == "n,a\n1000,999000\n"
    assert "999000" in other.osiris("query", "latest", "double", "select sum(a) from main").stdout, "what was fetched stays"
    assert "no session is called" in Machine(one.folder.parent / "third", one.exchange).osiris("query", result["session_id"], "double").stderr
    # The same data is stored once.
    one.go(STEPS)
    assert [name for name in names() if name.startswith("objects/")] == objects


def test_steps_here_and_elsewhere_pass_data_to_each_other(either):
    one, names, _ = either
    steps = [STEPS[0] | {"on": "local"}, STEPS[1] | {"on": "far"}, STEPS[2] | {"on": "local"}]
    one.write("osiris.yaml", json.dumps({"workers": {"far": {"command": one.worker[1]}}, "exchange": one.exchange}))
    result = one.run(steps)
    assert (one.folder / "out.csv").read_text().splitlines()[-1] == "1998,x999"
    # What a step here reads is here, whoever made it.
    assert [step["duckdb_path"] for step in result["steps"]] == ["data/read.duckdb", "data/double.duckdb", None]
    assert len([name for name in names() if name.startswith("objects/")]) == 3


def test_large_outputs_travel_in_parts(either):
    one, _, _ = either
    steps = [one.sql("select range as a, hash(range) as b, md5(range::varchar) as c from range(700_000)", "big"), {"id": "sum", "component": "duckdb.processor", "needs": ["big"], "config": {"query": "select count(*) as n, count(distinct c) as d, sum(a)::bigint as a from big"}}]
    result = one.go(steps)
    assert one.query(result, "sum", "from main").stdout == f"n,d,a\n700000,700000,{sum(range(700_000))}\n"
    manifest = json.loads(one.osiris("sessions", "show", result["session_id"], "--json").stdout)
    assert manifest["steps"][0]["object"]["bytes"] > 16 << 20, "it had to travel in several parts"


def test_a_worker_is_told_by_its_own_operator_where_the_shared_folder_is(machine):
    one = machine("one")
    result = one.run(STEPS, "--exchange", one.exchange, "--on", WORKER, expect=1)
    error = result["steps"][0]["error"]
    assert "was not told where the shared folder is" in error["message"] and error["kind"] == "config", error
    done = one.osiris("worker", "--exchange", "s3://lake")
    assert done.returncode == 2 and "its host says how an object store is reached" in done.stderr


@pytest.mark.parametrize("far", [False, True], ids=["local", "exchange"])
def test_a_session_goes_on_where_it_failed(machine, far):
    one = machine("one")
    go = (lambda *arguments, **more: one.go(STEPS, *arguments, **more)) if far else (lambda *arguments, **more: one.run(STEPS, *arguments, **more))
    (one.folder / "out.csv").mkdir()
    failed = go(expect=1)
    assert [step["status"] for step in failed["steps"]] == ["success", "success", "failed"]
    (one.folder / "out.csv").rmdir()
    again = go("--resume", failed["session_id"])
    assert again["session_id"] == failed["session_id"] and again["status"] == "success"
    assert [step["rows"] for step in again["steps"]] == [1000] * 3
    assert (one.folder / "out.csv").read_text().splitlines()[-1] == "1998,x999"
    events = [event for event in one.events(again) if event["event"] in ("step_start", "step_resumed")]
    started = [event["step_id"] for event in events if event["event"] == "step_start"]
    assert started == ["read", "double", "write", "write"], "what is done is not done again"
    # Once more: nothing is left to do.
    assert go("--resume", "latest")["status"] == "success"
    assert [event["step_id"] for event in one.events(again) if event["event"] == "step_start"] == started
    # What depends on a changed step is done again, unless others rely on the ledger.
    changed = [STEPS[0], STEPS[1] | {"config": {"query": "select a * 3 as a, b from read"}}, STEPS[2]]
    if far:
        done = one.go(changed, "--resume", "latest", expect=2)
        assert "step `double` of session `" in done["stderr"] and "is done with another driver, config, input or state" in done["stderr"]
    else:
        one.run(changed, "--resume", "latest")
        assert (one.folder / "out.csv").read_text().splitlines()[-1] == "2997,x999"
        # An output that was removed is made again.
        shutil.rmtree(Path(again["session_path"]) / "data")
        assert one.run(changed, "--resume", "latest")["status"] == "success"
        assert one.rows(again, "double", "select max(a) from main") == [(2997,)]


def test_another_machine_goes_on_with_a_session(machine):
    one, two = machine("one"), machine("two")
    (one.folder / "out.csv").mkdir()
    failed = one.go(STEPS, expect=1)
    two.write("in.csv", "a,b\n")
    done = two.go(STEPS, "--resume", failed["session_id"])
    assert done["session_id"] == failed["session_id"] and (two.folder / "out.csv").read_text().splitlines()[-1] == "1998,x999"
    # A written file is put in place where it is missing, or is another one.
    (two.folder / "out.csv").write_text("changed")
    three = machine("three")
    for which in (two, three):
        which.go(STEPS, "--resume", failed["session_id"])
        assert (which.folder / "out.csv").read_text().splitlines()[-1] == "1998,x999"
    hosts = sorted(path.name for path in (one.shared / "sessions" / failed["session_id"] / "hosts").iterdir())
    assert hosts == [f"{number:06}.json" for number in range(1, 5)]
    for name, why in (("session_20260101_000000_000000", "has no session"), ("nonsense", "no session is called"), ("../../etc", "no session is called")):
        refused = two.go(STEPS, "--resume", name, expect=2)
        assert why in refused["stderr"], refused["stderr"]


def slow(one: Machine) -> list[dict]:
    """Steps of which the second takes long."""
    return [one.sql("select 1 as a", "quick"), one.sql("select count(*) as n from range(100_000_000) a, range(1_000_000) b where hash(a.range + b.range) = 0", "long")]


def until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)


def start(one: Machine, steps: list[dict], *arguments: str, exchange: bool = True) -> subprocess.Popen:
    one.pipeline(steps)
    arguments = ("--exchange", one.exchange, *arguments) if exchange else arguments
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CANARY": CANARY} | one.env
    return subprocess.Popen([OSIRIS, "run", "pipeline.yaml", "--json", *arguments], cwd=one.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_host_that_died_is_replaced_and_gives_way_if_it_comes_back(machine):
    one, two = machine("one"), machine("two")
    process = start(one, slow(one), *one.worker)
    until(lambda: list(one.shared.glob("sessions/*/steps/quick.json")) and list(one.shared.glob("sessions/*/beats/*")))
    (session,) = (path.name for path in (one.shared / "sessions").iterdir())
    fast = [slow(two)[0], two.sql("select 5 as n", "long")]
    # It lives: nobody may go on with its session.
    refused = two.go(slow(two), "--resume", session, expect=4)
    assert "is being run by" in refused["stderr"] and "counts as dead 60 s after" in refused["stderr"]
    # It is taken for dead, and finds out. What it does now does not count.
    process.send_signal(signal.SIGSTOP)
    one.age("sessions", 90)
    records = one.shared / "sessions" / session
    other = start(two, slow(two), *two.worker, "--resume", session)
    until(lambda: (records / "beats" / "000002").exists())
    process.send_signal(signal.SIGCONT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "another host took this one for dead" in stderr, stderr
    assert json.loads(stdout)["steps"][1]["status"] == "interrupted"
    other.send_signal(signal.SIGINT)
    stdout, stderr = other.communicate(timeout=60)
    assert other.returncode == 130 and json.loads(stdout)["steps"][0]["status"] == "success", stderr
    # It ended in order: its successor need not wait.
    assert "is done with another" not in two.go(fast, "--resume", session)["stderr"]


def test_a_second_attempt_of_a_step_gives_way_to_the_first(machine):
    """As if another host had finished the step meanwhile."""
    one = machine("one")
    records = lambda result: one.shared / "sessions" / result["session_id"] / "steps"
    query = "select count(*) as n from range(30_000) a, range(10_000) b where hash(a.range + b.range) % 1000 = 0"
    steps = [one.sql(query, "answer"), {"id": "next", "component": "duckdb.processor", "needs": ["answer"], "config": {"query": "select n + 1 as n from answer"}}]
    first = one.go(steps)
    # The same step, and what only the other host can have found.
    record = json.loads((records(first) / "answer.json").read_text())
    record["output"] = json.loads((records(one.go([one.sql("select 41 as n", "answer")])) / "answer.json").read_text())["output"]
    known = set((one.shared / "sessions").iterdir())
    process = start(one, steps, *one.worker)
    mine = lambda: next(iter(set((one.shared / "sessions").iterdir()) - known), None)
    until(lambda: mine() and (mine() / "beats").exists())
    (mine() / "steps").mkdir(exist_ok=True)
    planted = mine() / "steps" / "answer.json"
    planted.write_text(json.dumps(record))
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    result = json.loads(stdout)
    assert one.query(result, "answer", "from main").stdout == "n\n41\n"
    assert one.query(result, "next", "from main").stdout == "n\n42\n"
    # What was said of its rows is believed by nobody who reads it.
    planted.write_text(json.dumps(record | {"tables": {"main": 2}}))
    (mine() / "steps" / "next.json").unlink()
    failed = one.go(steps, "--resume", "latest", expect=1)["step"]["next"]["error"]
    assert failed["message"].endswith("input `answer` has 1 rows in table `main`, but whoever ran its step said 2") and failed["kind"] == "worker", failed
    other = Machine(one.folder.parent / "other", one.exchange, one.shared)
    assert "its table `main` has 1 rows, not 2" in other.query(result, "answer").stderr


def test_a_resumed_run_has_the_parameters_and_profile_that_it_began_with(machine):
    one = machine("one")
    steps = [one.sql("select ${params.n} as n, '${params.where}' as place", "make"), {"id": "after", "component": "filesystem.csv_writer", "needs": ["make"], "config": {"path": "x.csv"}}]
    more = {"params": {"n": {"default": 1}, "where": {"default": "here"}}, "profiles": {"prod": {"params": {"where": "there"}}}}
    (one.folder / "x.csv").mkdir()
    result = one.run(steps, "--param", "n=7", "--profile", "prod", expect=1, **more)
    (one.folder / "x.csv").rmdir()
    again = one.run(None, "--resume", result["session_id"])
    assert (one.folder / "x.csv").read_text() == "n,place\n7,there\n"
    assert [event["event"] for event in one.events(again)].count("step_resumed") == 1
    # Others can be given: what they change is done again.
    one.run(None, "--resume", result["session_id"], "--param", "n=8")
    assert (one.folder / "x.csv").read_text() == "n,place\n8,there\n"


def keep(which: Machine, state: str) -> list[dict]:
    which.write("osiris_connections.yaml", "connections: {db: {dev: {host: dev.example.com, database: shop}}}")
    return [{"id": "keep", "component": "test.keep", "config": {"connection": "@db.dev", "table": "orders", "state": state}}]


def test_a_state_goes_from_machine_to_machine(machine):
    one, two = machine("one"), machine("two")
    earlier = lambda which, result: which.query(result, "keep", "select earlier from main").stdout.splitlines()[1:]
    # A state that was kept before there was an exchange is taken there.
    one.run(keep(one, "1"))
    assert earlier(one, one.go(keep(one, "2"))) == ["1"]
    assert earlier(two, two.go(keep(two, "3"))) == ["2"]
    assert earlier(one, one.go(keep(one, "4"))) == ["3"]
    # Without the exchange it would be an old one.
    refused = one.run(keep(one, "5"), expect=2)
    assert "the state of step `keep` is in the exchange file://" in refused["stderr"] and "--exchange" in refused["stderr"]
    # A run that fails leaves it, and nobody waits for it.
    failing = [*keep(one, "9"), {"id": "after", "component": "duckdb.processor", "config": {"query": "select error('broken') from keep"}}]
    one.go(failing, expect=1)
    assert earlier(two, two.go(keep(two, "5"))) == ["4"]


def test_a_state_in_the_exchange_is_shown_and_changed_by_hand(machine):
    one, two = machine("one"), machine("two")
    one.go(keep(one, "1"))
    earlier = lambda result: one.query(result, "keep", "select earlier from main").stdout.splitlines()[1:]

    def state(*arguments, expect=0):
        done = two.osiris("state", *arguments, "--exchange", two.exchange)
        assert done.returncode == expect, done.stderr
        return done.stdout + done.stderr

    assert "name one with `--pipeline NAME`" in state("show", expect=2)
    assert json.loads(state("show", "--pipeline", "test", "--json"))[0]["state"] == 1
    assert "it was 1" in state("set", "keep", "--pipeline", "test", "7")
    assert earlier(one.go(keep(one, "8"))) == ["7"]
    assert "starts over" in state("reset", "keep", "--pipeline", "test")
    assert earlier(one.go(keep(one, "9"))) == [""]
    assert "has kept no state" in state("reset", "other", "--pipeline", "test", expect=2)
    assert earlier(one.go(keep(one, "10"))) == ["9"], "nobody waits for a change that was not made"


def test_two_machines_do_not_run_a_pipeline_with_a_state_at_once(machine):
    one, two = machine("one"), machine("two")
    process = start(one, [*keep(one, "1"), slow(one)[1]], *one.worker)
    until(lambda: list(one.shared.glob("pipelines/test/claims/*")) and list(one.shared.glob("sessions/*/beats/*")))
    refused = two.go(keep(two, "2"), expect=4)
    assert "another run of pipeline `test` is at work (session `session_" in refused["stderr"], refused["stderr"]
    assert list((two.folder / ".osiris_sessions").glob("session_*")) == [], "a run that was refused leaves no session"
    assert len({path.parent.parent for path in (one.shared / "sessions").glob("*/*/*")}) == 1, "nor anything in the exchange"
    process.kill()
    process.communicate()
    one.age("sessions", 90)
    assert two.query(two.go(keep(two, "2")), "keep", "select earlier from main").stdout.splitlines()[1:] == [""], "no state was kept"


def test_what_nobody_refers_to_is_removed(machine):
    one = machine("one")
    old, new = one.go(STEPS), one.go([one.sql("select 5 as a", "five")])
    (one.shared / "objects" / ("0" * 64)).write_text("left")
    part = one.shared / "objects" / ("1" * 64 + "#1")
    part.write_text("half of an upload whose host died")
    gc = lambda *more: json.loads(one.osiris("exchange", "gc", "--json", "--exchange", one.exchange, *more).stdout)
    assert gc()["objects"] == [], "a run may be about to refer to it"
    one.age("objects", 7200)
    assert gc("--dry-run")["objects"] == ["0" * 64] and (one.shared / "objects" / ("0" * 64)).exists()
    assert part.exists() and gc() == {"sessions": [], "objects": ["0" * 64], "bytes": 4, "dry_run": False} and not part.exists()
    assert one.query(old, "double").returncode == 0
    one.age(f"sessions/{old['session_id']}", 7200)
    swept = gc("--sessions-older-than", "1h")
    assert swept["sessions"] == [old["session_id"]] and len(swept["objects"]) == 3
    assert "has no session" in one.go(STEPS, "--resume", old["session_id"], expect=2)["stderr"]
    other = Machine(one.folder.parent / "other", one.exchange, one.shared)
    assert other.query(new, "five", "from main").stdout == "a\n5\n"
    assert "neither this machine nor the exchange" in other.query(old, "double").stderr


def test_a_wrong_exchange_is_refused_before_anything_runs(machine):
    one = machine("one")
    for url, env, why in (
        ("gs://lake", {}, "it is neither `s3://` nor `file://`"),
        ("file:///nowhere/at/all", {}, "cannot open the exchange file:///nowhere/at/all"),
        ("s3://lake", {"AWS_ENDPOINT_URL": "http://s3.example.com", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, "has no TLS"),
        ("s3://lake", {"AWS_ENDPOINT_URL": "nonsense", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, "is no address of an object store"),
    ):
        result = one.run(STEPS, "--exchange", url, expect=2, env=env)
        assert why in result["stderr"] and "hint: " in result["stderr"], result["stderr"]
    assert not (one.folder / ".osiris_sessions").exists() or not list((one.folder / ".osiris_sessions").glob("session_*"))


def test_a_store_is_reached_by_a_connection_and_its_secret_is_nowhere(store, tmp_path):
    one = Machine(tmp_path / "one", store.url)
    secret = store.env["AWS_SECRET_ACCESS_KEY"]
    fields = {"endpoint": store.env["AWS_ENDPOINT_URL"], "access_key_id": store.env["AWS_ACCESS_KEY_ID"], "secret_access_key": "${STORE_SECRET}"}
    one.write("osiris_connections.yaml", json.dumps({"connections": {"s3": {store.bucket.name: fields}}}))
    one.env = {"STORE_SECRET": secret}
    result = one.go(STEPS)
    assert result["status"] == "success"
    assert holding(tmp_path, secret) == [] and store.holding(secret) == [] and store.holding(CANARY) == []
    refused = one.run(STEPS, "--exchange", store.url, expect=2, env={"STORE_SECRET": "wrong-wrong-wrong"})
    assert "refuses access" in refused["stderr"] and "wrong-wrong-wrong" not in refused["stderr"], refused["stderr"]


# How many moments are tried: a few each day, more on demand.
KILLS = int(os.environ.get("OSIRIS_KILLS", "4"))


def test_a_host_killed_at_any_moment_is_replaced_by_another_machine(machine):
    """Whatever it had done counts once, and the other machine ends with the same files."""
    expected = "a,b\n" + "".join(f"{2 * row},x{row}\n" for row in range(1000))
    whole = time.monotonic()
    machine("warm").go(STEPS)
    whole = time.monotonic() - whole
    resumed = 0
    for moment in range(KILLS):
        one, two = machine(f"one{moment}"), machine(f"two{moment}")
        known = set((one.shared / "sessions").iterdir())
        process = start(one, STEPS, *(one.worker if moment % 2 else []))
        time.sleep(whole * (moment + random.random()) / KILLS)
        process.kill()
        process.communicate()
        new = set((one.shared / "sessions").iterdir()) - known
        one.age("sessions", 90)
        # It may have died before it said that there is a session.
        claimed = [session.name for session in new if (session / "hosts" / "000001.json").exists()]
        resumed += bool(claimed)
        result = two.go(STEPS, *(["--resume", claimed[0]] if claimed else []), on_worker=moment % 3 > 0)
        assert result["status"] == "success" and (two.folder / "out.csv").read_text() == expected
        records = one.shared / "sessions" / result["session_id"] / "steps"
        # A host may die while it writes one.
        assert sorted(path.name for path in records.iterdir() if "#" not in path.name) == ["double.json", "read.json", "write.json"]
        left = one.folder / "out.csv"
        assert not left.exists() or left.read_text() == expected, "what it wrote is whole, or not there"
    assert resumed, "no moment was within a run"


@pytest.mark.parametrize("far", [False, True], ids=["local", "exchange"])
def test_a_writer_whose_host_died_is_not_run_again(machine, far):
    """Nobody knows whether its rows arrived. One that could not connect is run again."""
    one = machine("one")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = {"host": "127.0.0.1", "port": silent.getsockname()[1], "database": "d", "user": "u", "password": "p4ssw0rd.x", "sslmode": "disable", "private_network": True}
        one.write("osiris_connections.yaml", json.dumps({"connections": {"postgres": {"db": database}}}))
        steps = [one.sql("select 1 as a"), {"id": "send", "component": "postgres.writer", "needs": ["source"], "config": {"connection": "@postgres.db", "table": "t", "mode": "append"}}]
        exchange = ["--exchange", one.exchange] if far else []
        process = start(one, steps, exchange=far)
        silent.settimeout(60)
        silent.accept()
        process.kill()
        process.communicate()
        if far:
            one.age("sessions", 90)
            (name,) = (path.name for path in (one.shared / "sessions").iterdir())
        result = one.run(None, "--resume", name if far else "latest", *exchange, expect=1)
        error = result["step"]["send"]["error"]
        assert "is not run again, because rows that it has sent may arrive twice" in error["message"] and "a new run" in error["hint"], error
        assert [step["status"] for step in result["steps"]] == ["success", "failed"]
    # Now nobody listens.
    failed = one.run(None, *exchange, expect=1)
    again = one.run(None, "--resume", failed["session_id"], *exchange, expect=1)["step"]["send"]["error"]
    assert "127.0.0.1" in again["message"] and again == failed["step"]["send"]["error"]


@pytest.mark.parametrize("far", [False, True], ids=["local", "worker"])
def test_ctrl_c_ends_a_run_whose_exchange_does_not_answer(proxied, tmp_path, far):
    one = Machine(tmp_path / "one", proxied.url, env=proxied.env)
    proxied.proxy.fault(hangs, "PUT", "/objects/")
    process = start(one, STEPS, *(one.worker if far else []))
    until(lambda: any(method == "PUT" and "/objects/" in path for method, path in proxied.proxy.asked))
    # By then nothing of it answers.
    proxied.proxy.fault(hangs, "PUT", "")
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and time.monotonic() - begun < 20, stderr
    assert json.loads(stdout)["steps"][0]["status"] == "interrupted"
