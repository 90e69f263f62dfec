"""What a run takes over from earlier sessions: a step is reused if nothing that decides its result has changed, and only then."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from conftest import CANARY, GUESTS, OSIRIS, TARGET, lines
from http_server import web  # noqa: F401
from http_steps import grant
from test_failures import children, runs

# How many runs are killed; set `OSIRIS_KILLS=100` for a thorough test.
KILLS = int(os.environ.get("OSIRIS_KILLS", "6"))

READ = {"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "in.csv"}}
CLEAN = {"id": "clean", "component": "duckdb.processor", "config": {"query": "select a, b * ${params.factor} as b from read order by a"}}
MASK = {"id": "mask", "component": "mask.processor", "config": {"columns": {"a": "hash"}, "key": "${MASK_KEY}"}}
WRITE = {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "out.csv"}}
CHAIN = [READ, CLEAN, MASK, WRITE]
PARAMS = {"factor": {"type": "integer", "default": 2}}
KEY = "a-long-masking-key"


@pytest.fixture
def reusing(project):
    project.reuses = True
    project.env = {"MASK_KEY": KEY}
    project.write("in.csv", "a,b\n1,10\n2,20\n")
    return project


def run(project, steps: list[dict] | None = CHAIN, *arguments, **more) -> dict:
    return project.run(steps, *arguments, params=PARAMS, **more)


def reused(result: dict) -> list[str]:
    """The steps that did not run."""
    assert all((step["reused"] or {"how": "cached"})["how"] == "cached" for step in result["steps"])
    return [step["id"] for step in result["steps"] if step["reused"]]


def everything(project, result: dict) -> dict:
    return {step: sorted(project.rows(result, step)) for step in ("read", "clean", "mask")} | {"out": (project.folder / "out.csv").read_text()}


def ledger(result: dict, name: str) -> Path:
    return Path(result["session_path"]) / "ledger" / name


# Reused


def test_a_step_is_reused_if_nothing_has_changed_and_says_so_everywhere(reusing):
    first = run(reusing)
    written = (reusing.folder / "out.csv").stat().st_mtime_ns
    second = run(reusing)
    assert reused(first) == [] and reused(second) == ["read", "clean", "mask", "write"]
    assert everything(reusing, second) == everything(reusing, first)
    assert {step["reused"]["session"] for step in second["steps"]} == {first["session_id"]}
    assert [(step["rows"], step["status"]) for step in second["steps"]] == [(step["rows"], "success") for step in first["steps"]]
    assert (reusing.folder / "out.csv").stat().st_mtime_ns == written, "the file was written again"
    cached = [event for event in reusing.events(second) if event["event"] == "step_cached"]
    assert {(event["step_id"], event["from_session"]) for event in cached} == {(step["id"], first["session_id"]) for step in CHAIN}
    manifest = (Path(second["session_path"]) / "manifest.yaml").read_text()
    assert manifest.count("how: cached") == 4 and manifest.count(first["session_id"]) == 4
    shown = reusing.osiris("sessions", "show").stdout
    assert len(re.findall(r"\bcached\b", shown)) == 4
    table = reusing.osiris("run", "pipeline.yaml")
    assert len(re.findall(r"\bcached\b", table.stdout)) == 4 and "2 rows  cached" in table.stderr


def test_what_was_reused_is_reused_again_once_the_first_session_is_gone(reusing):
    first = run(reusing)
    second = run(reusing)
    shutil.rmtree(first["session_path"])
    third = run(reusing)
    assert reused(third) == ["read", "clean", "mask", "write"]
    assert {step["reused"]["session"] for step in third["steps"]} == {second["session_id"]}
    assert everything(reusing, third) == everything(reusing, second)


def test_no_cache_runs_every_step_and_can_be_reused_itself(reusing):
    run(reusing)
    fresh = run(reusing, CHAIN, "--no-cache")
    assert reused(fresh) == []
    assert {step["reused"]["session"] for step in run(reusing)["steps"]} == {fresh["session_id"]}


def test_a_file_that_was_touched_has_not_changed(reusing):
    run(reusing)
    os.utime(reusing.folder / "in.csv")
    assert len(reused(run(reusing))) == 4


def test_a_step_whose_inputs_come_out_the_same_is_reused_behind_one_that_ran(reusing):
    first = run(reusing)
    second = run(reusing, [READ | {"cache": False}, *CHAIN[1:]])
    read = [Path(one["session_path"]) / "data" / "read.duckdb" for one in (first, second)]
    same = read[0].read_bytes() == read[1].read_bytes()
    assert reused(second) == (["clean", "mask", "write"] if same else [])
    assert everything(reusing, second) == everything(reusing, first)


# Not reused


def change_same_size(project):
    project.write("in.csv", "a,b\n1,10\n2,21\n")


def change_config(project):
    return [READ, CLEAN | {"config": {"query": CLEAN["config"]["query"] + " desc"}}, MASK, WRITE]


def change_rejects(project):
    return [READ, CLEAN | {"rejects": 1}, MASK, WRITE]


def change_driver(project):
    """Another digest, and the same behaviour: a custom section more."""
    driver = (TARGET / "drivers" / "mask.processor.wasm").read_bytes()
    project.write("drivers/mask.processor.wasm", driver + b"\x00\x02\x01x")
    (project.folder / "osiris.lock").unlink()


def change_secret(project):
    project.env = {"MASK_KEY": KEY + "2"}


@pytest.mark.parametrize(
    ("change", "arguments", "still"),
    [
        (change_same_size, [], []),
        (change_config, [], ["read"]),
        (change_rejects, [], ["read"]),
        (change_driver, [], ["read", "clean"]),
        (change_secret, [], ["read", "clean"]),
        (lambda project: None, ["--param", "factor=3"], ["read"]),
    ],
    ids=["file", "config", "rejects", "driver", "secret", "parameter"],
)
def test_a_change_runs_its_step_and_what_follows(reusing, change, arguments, still):
    first = run(reusing)
    steps = change(reusing) or CHAIN
    second = run(reusing, steps, *arguments)
    # A step behind one that ran is reused only if it got the very same bytes.
    assert reused(second)[: len(still)] == still and second["step"][CHAIN[len(still)]["id"]]["reused"] is None
    fresh = run(reusing, steps, *arguments, "--no-cache")
    assert everything(reusing, second) == everything(reusing, fresh)
    assert everything(reusing, second) != everything(reusing, first) or change in (change_rejects, change_driver, change_config)


@pytest.mark.parametrize(
    "query",
    [
        "select random() as x", "select uuid() as x", "select now() as x", "select current_timestamp as x", "select CURRENT_DATE as x",
        "select localtime as x", "select age(timestamp '2020-01-01') as x", "select * from range(1000) using sample 5",
        "select * from range(1000) t(x) tablesample 5 rows", "with t as (select today() as x) from t", "select x from (select get_current_timestamp() as x)",
        "select utc_offset as x from pg_timezone_names() limit 1", "select list_transform([1], lambda v: v + random()) as x",
    ],
)
def test_sql_that_asks_for_time_or_chance_is_run_again(reusing, query):
    steps = [reusing.sql(query), reusing.sql("select 1 as now, age(date '2020-01-02', date '2020-01-01') as x, 'random()' as y", "fixed")]
    run(reusing, steps)
    assert reused(run(reusing, steps)) == ["fixed"]
    chosen = [steps[0] | {"cache": True}, steps[1]]
    first = run(reusing, chosen)
    assert reused(run(reusing, chosen)) == ["source", "fixed"] and reused(first) == ["source", "fixed"][-len(reused(first)):]


def test_a_driver_that_takes_random_numbers_is_run_again_unless_its_spec_says_otherwise(reusing):
    source = reusing.sql("select 1 as a")
    copy = lambda language: {"id": language, "component": f"test.passthrough_{language}", "needs": ["source"], "config": {}}
    steps = [source, copy("rust"), copy("c"), copy("python")]
    run(reusing, steps)
    second = run(reusing, steps)
    # CPython seeds its tables by itself; nothing tells this from a driver that means to.
    assert reused(second)[:3] == ["source", "rust", "c"]
    varying = [event for event in reusing.events(second) if event["event"] == "step_varies"]
    assert ("python" in reused(second)) == (not varying)


def test_cache_false_and_a_driver_without_a_record_run_again(reusing):
    steps = [READ | {"cache": False}, CLEAN]
    run(reusing, steps)
    assert "read" not in reused(run(reusing, steps))


def test_an_extractor_that_connects_is_reused_only_with_cache_true(reusing, web):
    url = web.route("/items", lambda request: [{"n": web.route}] and [{"n": 1}])
    grant(reusing, web)
    steps = [{"id": "read", "component": "http.extractor", "config": {"url": url}}]
    for _ in range(2):
        assert reused(run(reusing, steps)) == []
    chosen = [steps[0] | {"cache": True}]
    assert reused(run(reusing, chosen)) == []
    asked = len(web.requests)
    assert reused(run(reusing, chosen)) == ["read"] and len(web.requests) == asked
    with_secret = [chosen[0] | {"config": {"url": url, "auth": {"type": "bearer", "token": "t0ken-of-the-test"}}}]
    assert reused(run(reusing, with_secret)) == [] and reused(run(reusing, with_secret)) == ["read"]
    with_secret[0]["config"]["auth"]["token"] = "t0ken-of-the-rest"
    assert reused(run(reusing, with_secret)) == []
    stored = [file for file in reusing.folder.rglob("*") if file.is_file() and file.name != "pipeline.yaml"]
    assert not any(b"t0ken-of-the" in file.read_bytes() for file in stored)


def test_a_step_that_must_run_each_time_refuses_cache_true(reusing, web):
    grant(reusing, web)
    reusing.write("osiris_connections.yaml", "connections: {db: {dev: {host: dev.example.com, database: shop}}}")
    keep = {"id": "keep", "component": "test.keep", "config": {"connection": "@db.dev", "table": "t", "state": "1"}}
    error = reusing.run([keep | {"cache": True}], expect=2)["stderr"]
    assert "step `keep` has `cache: true`, but must run each time: it goes on where its last run ended" in error and "line" in error
    load = {"id": "load", "component": "postgres.writer", "config": {"host": "db.example.com", "database": "d", "user": "u", "password": "p", "table": "t"}}
    reusing.write("osiris_connections.yaml", "connections: {postgres: {dev: {host: db.example.com, database: shop, user: u, password: p}}}")
    load = {"id": "load", "component": "postgres.writer", "cache": True, "config": {"connection": "@postgres.dev", "table": "t"}}
    error = reusing.run([READ, load], expect=2)["stderr"]
    assert "step `load` has `cache: true`, but must run each time" in error


def test_a_step_that_keeps_a_state_is_never_reused(reusing):
    reusing.write("osiris_connections.yaml", "connections: {db: {dev: {host: dev.example.com, database: shop}}}")
    keep = {"id": "keep", "component": "test.keep", "config": {"connection": "@db.dev", "table": "t", "state": "1"}}
    for _ in range(2):
        assert reused(reusing.run([keep])) == []


# Written files


@pytest.mark.parametrize("change", ["altered", "removed", "replaced by a link"])
def test_a_writer_runs_again_unless_its_file_is_as_it_wrote_it(reusing, change):
    first = run(reusing)
    target = reusing.folder / "out.csv"
    wanted = target.read_text()
    target.unlink()
    if change == "altered":
        target.write_text(wanted.replace("20", "21"))
    elif change == "replaced by a link":
        reusing.write("other.csv", wanted)
        target.symlink_to("other.csv")
        assert "write" not in reused(run(reusing, CHAIN, expect=1))
        return
    second = run(reusing)
    assert reused(second) == ["read", "clean", "mask"] and target.read_text() == wanted
    assert everything(reusing, second) == everything(reusing, first)


def test_a_step_that_reads_what_another_step_writes_follows_it(reusing):
    again = {"id": "again", "component": "filesystem.csv_extractor", "needs": ["write"], "config": {"path": "out.csv"}}
    steps = [READ, CLEAN, WRITE, again]
    # What was written a moment ago may still change unnoticed: only the second run can tell what it has read.
    run(reusing, steps)
    run(reusing, steps)
    assert len(reused(run(reusing, steps))) == 4
    changed = run(reusing, steps, "--param", "factor=5")
    assert reused(changed) == ["read"] and sorted(reusing.rows(changed, "again")) == [(1, 50), (2, 100)]


# Poisoning


def test_an_altered_output_is_noticed_and_made_again(reusing):
    first = run(reusing)
    wanted = everything(reusing, first)
    with duckdb.connect(str(Path(first["session_path"]) / "data" / "clean.duckdb")) as connection:
        connection.execute("update main set b = 666 where a = 1")
    second = run(reusing)
    assert "clean" not in reused(second) and everything(reusing, second) == wanted
    assert f"nothing of session {first['session_id']} is reused for it" in second["stderr"]
    refused = [event for event in reusing.events(second) if event["event"] == "reuse_refused"]
    assert [event["step_id"] for event in refused] == ["clean"]


def test_an_altered_record_is_noticed(reusing):
    first = run(reusing)
    wanted = everything(reusing, first)
    data = Path(first["session_path"]) / "data"
    record = json.loads(ledger(first, "clean.made.json").read_text())
    # An attacker replaces an output, and its digest in the record.
    shutil.copy(data / "read.duckdb", data / "clean.duckdb")
    record["made"]["output"] = json.loads(ledger(first, "read.made.json").read_text())["made"]["output"]
    ledger(first, "clean.made.json").write_text(json.dumps(record))
    second = run(reusing)
    assert "clean" not in reused(second) and everything(reusing, second) == wanted
    assert "its record cannot be used: it was changed" in second["stderr"]
    # A record of another step, or none at all, is worth nothing either.
    shutil.copy(ledger(second, "read.made.json"), ledger(second, "mask.made.json"))
    ledger(second, "clean.made.json").write_text("{")
    third = run(reusing)
    assert everything(reusing, third) == wanted and "clean" not in reused(third)
    assert (third["step"]["mask"]["reused"] or {"session": first["session_id"]})["session"] == first["session_id"]


def test_no_session_of_another_base_folder_or_pipeline_is_reused(reusing, tmp_path_factory):
    first = run(reusing)
    elsewhere = type(reusing)(tmp_path_factory.mktemp("elsewhere"))
    elsewhere.reuses, elsewhere.env = True, reusing.env
    elsewhere.write("in.csv", (reusing.folder / "in.csv").read_text())
    run(elsewhere)
    for path in (elsewhere.folder / ".osiris_sessions").glob("session_*"):
        shutil.rmtree(path)
    shutil.copytree(first["session_path"], elsewhere.folder / ".osiris_sessions" / first["session_id"])
    assert reused(run(elsewhere)) == []
    # Even with the other folder's key: the place itself is part of what decides.
    for path in (elsewhere.folder / ".osiris_sessions").glob("session_*"):
        if path.name != first["session_id"]:
            shutil.rmtree(path)
    shutil.copy(reusing.folder / ".osiris_sessions" / "reuse.key", elsewhere.folder / ".osiris_sessions" / "reuse.key")
    assert reused(run(elsewhere)) == []
    assert reused(run(reusing, CHAIN, name="another")) == []
    assert len(reused(run(reusing))) == 4


def test_a_step_cannot_read_the_key_or_a_record(reusing):
    first = run(reusing)
    key = reusing.folder / ".osiris_sessions" / "reuse.key"
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_bytes()) == 32
    assert ledger(first, "read.made.json").stat().st_mode & 0o777 == 0o600
    for path in (".osiris_sessions/reuse.key", f".osiris_sessions/{first['session_id']}/ledger/read.made.json"):
        assert "one of Osiris's own files" in reusing.run([READ | {"config": {"path": path}}], expect=2)["stderr"]
    assert KEY.encode() not in b"".join(file.read_bytes() for file in (reusing.folder / ".osiris_sessions").rglob("*") if file.is_file())


def test_a_damaged_key_only_ends_reuse(reusing):
    run(reusing)
    reusing.write(".osiris_sessions/reuse.key", "short")
    second = run(reusing)
    assert reused(second) == [] and "reuse.key" in second["stderr"]


def test_a_file_that_changes_while_its_step_runs_is_not_taken_for_what_was_read(reusing):
    """The record would otherwise say that the new content gives the old rows."""
    many = "a,b\n" + "".join(f"{n},{n}\n" for n in range(600_000))
    reusing.write("in.csv", many)
    reusing.pipeline([READ], params=PARAMS)
    changed = many.replace("599999,599999", "599999,599998")
    process = start(reusing)
    while not list(reusing.folder.glob(".osiris_sessions/*/scratch/read/output.duckdb")) and process.poll() is None:
        time.sleep(0.005)
    reusing.write("in.csv", changed)
    process.communicate(timeout=60)
    reusing.write("in.csv", many)
    second = reusing.run(None)
    assert reused(second) == []
    assert reusing.rows(second, "read", "select sum(b) from main") == [(sum(range(600_000)),)]


# kill -9


def start(project, *arguments: str) -> subprocess.Popen:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CANARY": CANARY, "MASK_KEY": KEY}
    return subprocess.Popen([str(OSIRIS), "run", "pipeline.yaml", *arguments], cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def killed_at_random(project, chance: random.Random, longest: float, *arguments: str) -> None:
    process = start(project, *arguments)
    time.sleep(chance.uniform(0.0, longest))
    steps = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while any(runs(step) for step in steps):
        assert time.monotonic() < deadline, "a step process outlived its host"
        time.sleep(0.01)


@pytest.mark.local_only("it kills the processes of this machine")
def test_kill_9_of_cached_and_resumed_runs_leaves_nothing_half(reusing):
    reusing.write("in.csv", "a,b\n" + "".join(f"{n},{n}\n" for n in range(100_000)))
    begun = time.monotonic()
    whole = everything(reusing, run(reusing))
    longest = time.monotonic() - begun
    chance = random.Random("reuse")
    for number in range(KILLS):
        out = reusing.folder / "out.csv"
        if number % 2:
            out.unlink()
        killed_at_random(reusing, chance, longest, *(["--resume", "latest"] if number % 3 == 2 else []))
        assert not out.exists() or out.read_text() == whole["out"]
        for output in reusing.folder.glob(".osiris_sessions/*/data/[!.]*.duckdb"):
            with duckdb.connect(str(output), read_only=True) as connection:
                assert sorted(connection.execute("from main").fetchall()) == whole[output.stem]
        result = run(reusing)
        assert everything(reusing, result) == whole
        records = [json.loads(path.read_text())["made"] for path in Path(result["session_path"]).glob("ledger/*.made.json")]
        assert len(records) == 4 and {record["session"] for record in records} == {result["session_id"]}
        for old in sorted((reusing.folder / ".osiris_sessions").glob("session_*"))[:-2]:
            shutil.rmtree(old)


# DuckDB files


# Leaves a row in the log of a file, as a program that died.
DIE_WRITING = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("set checkpoint_threshold = '1GB'")
connection.execute("insert into t values (10)")
os._exit(0)
"""


def test_a_duckdb_file_that_is_read_is_compared_by_its_content(reusing):
    path = str(reusing.folder / "w.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute("create table t as from range(3) r(id)")
    read = [{"id": "read", "component": "duckdb.extractor", "config": {"path": "w.duckdb", "query": "select max(id) as id from t"}}]
    # A file that has changed just now may change again unnoticed.
    time.sleep(0.1)
    assert reused(run(reusing, read)) == []
    assert reused(run(reusing, read)) == ["read"]
    with duckdb.connect(path) as connection:
        connection.execute("update t set id = 9 where id = 2")
    assert reused(changed := run(reusing, read)) == [] and reusing.rows(changed, "read") == [(9,)]
    time.sleep(0.1)
    run(reusing, read)
    assert reused(run(reusing, read)) == ["read"]
    subprocess.run([sys.executable, "-c", DIE_WRITING, path], check=True)
    assert "w.duckdb.wal" in run(reusing, read, expect=1)["step"]["read"]["error"]["message"]


def test_what_updates_a_duckdb_file_always_runs(reusing):
    load = {"id": "load", "component": "duckdb.writer", "config": {"path": "w.duckdb", "table": "t"}}
    run(reusing, [READ, load])
    assert reused(run(reusing, [READ, load])) == ["read"]
    with duckdb.connect(str(reusing.folder / "w.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from t").fetchone() == (4,)
    reusing.pipeline([READ, load | {"cache": True}], params=PARAMS)
    refused = reusing.osiris("plan", "pipeline.yaml")
    assert refused.returncode == 2 and "must run each time: others may have changed" in refused.stderr, refused.stderr
