"""Runs of some steps only, `--from` and `--only`: what they take over, what they refuse, and that no state loses or doubles rows."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest

READ = {"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "in.csv"}}
CLEAN = {"id": "clean", "component": "duckdb.processor", "needs": ["read"], "config": {"query": "select a, b * ${params.factor} as b from read"}}
WRITE = {"id": "write", "component": "filesystem.csv_writer", "needs": ["clean"], "config": {"path": "${params.folder}/out.csv"}}
COUNT = {"id": "count", "component": "duckdb.processor", "needs": ["read"], "config": {"query": "select count(*) as n from read"}}
STEPS = [READ, CLEAN, WRITE, COUNT]
PARAMS = {"factor": {"type": "integer", "default": 2}, "folder": "."}


@pytest.fixture
def filled(project):
    project.write("in.csv", "a,b\n1,10\n2,20\n")
    return project


def run(project, *arguments, steps=STEPS, expect: int = 0) -> dict:
    return project.run(steps, *arguments, expect=expect, params=PARAMS)


def taken(result: dict) -> list[str]:
    assert all(step["reused"]["how"] == "taken_over" for step in result["steps"] if step["reused"])
    return [step["id"] for step in result["steps"] if step["reused"]]


def ran(result: dict) -> list[str]:
    return [step["id"] for step in result["steps"] if not step["reused"]]


def manifest(project, result: dict) -> dict:
    return json.loads(project.osiris("sessions", "show", result["session_id"], "--json").stdout)


def test_from_a_step_runs_it_and_what_follows_in_a_new_session(filled):
    first = run(filled, "--param", "folder=in.csv", expect=1)
    assert first["step"]["write"]["status"] == "failed"
    filled.write("in.csv", "a,b\n9,9\n")
    second = run(filled, "--from", "write")
    assert ran(second) == ["write"] and taken(second) == ["read", "clean", "count"] and second["session_id"] != first["session_id"]
    assert (filled.folder / "out.csv").read_text() == "a,b\n1,20\n2,40\n", "the rows are those of the session"
    assert {step["reused"]["session"] for step in second["steps"] if step["reused"]} == {first["session_id"]}
    assert manifest(filled, second)["selected"] == {"from": "write", "session": first["session_id"]}
    shown = filled.osiris("sessions", "show")
    assert shown.stdout.count("taken over") == 3
    assert [event["step_id"] for event in filled.events(second) if event["event"] == "step_taken_over"] == ["read", "clean", "count"]
    # It is a session like any other: it can be taken from, and what it took over can be read.
    shutil.rmtree(first["session_path"])
    third = run(filled, "--from", "clean", "--param", "factor=3")
    assert ran(third) == ["clean", "write"] and (filled.folder / "out.csv").read_text() == "a,b\n1,30\n2,60\n"
    assert filled.osiris("query", third["session_id"], "read", "select sum(b) from main").returncode == 0


def test_only_runs_one_step_on_what_the_latest_session_made(filled):
    first = run(filled)
    (filled.folder / "out.csv").unlink()
    second = run(filled, "--only", "clean")
    assert ran(second) == ["clean"] and set(taken(second)) == {"read", "count"}
    assert not (filled.folder / "out.csv").exists(), "a step behind it has run"
    assert "write" not in second["step"]
    both = run(filled, "--only", "count", "--only", "clean")
    assert ran(both) == ["clean", "count"] and taken(both) == ["read"]
    assert {step["reused"]["session"] for step in both["steps"] if step["reused"]} == {second["session_id"]}
    # The latest session has no `count`-less gap: what the steps need is there.
    named = run(filled, "--resume", first["session_id"], "--only", "write")
    assert (filled.folder / "out.csv").exists() and named["step"]["clean"]["reused"]["session"] == first["session_id"]


def test_from_the_first_step_runs_everything_and_needs_no_session(filled):
    result = run(filled, "--from", "read")
    assert ran(result) == ["read", "clean", "write", "count"] and taken(result) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--from", "claen"], ["`--from` names the unknown step `claen`; known steps: `read`, `clean`", "did you mean `clean`?"]),
        (["--only", "read", "--only", "wirte"], ["`--only` names the unknown step `wirte`", "did you mean `write`?"]),
        (["--from", "write"], ["no session of pipeline `test` has the results that are needed: those of `clean`", "run the whole pipeline once"]),
        (["--from", "read", "--only", "read"], ["cannot be used with"]),
        (["--only", "read", "--only", "write"], ["step `write` needs step `clean`, which does not run although a step before it does", "`--only clean`"]),
        (["--resume", "nix", "--from", "write"], ["no session"]),
    ],
)
def test_a_selection_that_cannot_run_is_refused(filled, arguments, expected):
    result = run(filled, *arguments, expect=2)
    assert all(text in result["stderr"] for text in expected), result["stderr"]
    assert not list(filled.folder.glob(".osiris_sessions/session_*")), "a session was begun"


def test_a_result_of_another_config_is_refused_and_an_older_one_is_named(filled):
    older = run(filled, "--param", "factor=3")
    newer = run(filled)
    refused = run(filled, "--from", "write", "--param", "factor=3", expect=2)["stderr"]
    assert f"session {newer['session_id']} made with another driver, config or parameter: `clean`" in refused
    assert f"`--resume {older['session_id']}`" in refused
    assert run(filled, "--resume", older["session_id"], "--from", "write")["step"]["clean"]["reused"]["session"] == older["session_id"]
    assert (filled.folder / "out.csv").read_text() == "a,b\n1,30\n2,60\n"
    refused = run(filled, "--resume", newer["session_id"], "--from", "write", "--param", "factor=4", expect=2)["stderr"]
    assert "made with another driver, config or parameter: `clean`" in refused and "`--from clean`" in refused


def test_an_altered_result_is_not_taken_over(filled):
    first = run(filled)
    data = Path(first["session_path"]) / "data"
    with duckdb.connect(str(data / "clean.duckdb")) as connection:
        connection.execute("update main set b = 666")
    (filled.folder / "out.csv").unlink()
    refused = run(filled, "--from", "write", expect=2)["stderr"]
    assert "cannot take over step `clean`" in refused and "changed after it was made" in refused
    assert not (filled.folder / "out.csv").exists()
    (Path(first["session_path"]) / "ledger" / "clean.made.json").write_text("{}")
    for session in filled.folder.glob(".osiris_sessions/session_*"):
        if session.name != first["session_id"]:
            shutil.rmtree(session)
    assert "no session of pipeline" in run(filled, "--from", "write", expect=2)["stderr"]


def test_a_selection_with_an_exchange_is_refused(filled):
    (filled.folder / "shared").mkdir()
    refused = run(filled, "--from", "read", "--exchange", f"file://{filled.folder}/shared", expect=2)["stderr"]
    assert "`--from` and `--only` take over what is on this machine" in refused


# States

CONNECTIONS = "connections: {db: {dev: {host: dev.example.com, database: shop}}, postgres: {dev: {host: pg.example.com, database: d, user: u, password: p}}}"
KEEP = {"id": "keep", "component": "test.keep", "needs": [], "config": {"connection": "@db.dev", "table": "orders", "state": "${params.state}"}}
SAVE = {"id": "save", "component": "filesystem.csv_writer", "needs": ["keep"], "config": {"path": "out.csv"}}
LOAD = {"id": "load", "component": "postgres.writer", "needs": ["keep"], "config": {"connection": "@postgres.dev", "table": "t"}}


class Keeping:
    def __init__(self, project):
        self.project = project
        project.write("osiris_connections.yaml", CONNECTIONS)

    def run(self, *arguments, steps=(KEEP, SAVE), expect: int = 0) -> dict:
        return self.project.run(list(steps), *arguments, expect=expect, params={"state": {"type": "string", "default": "1"}})

    def state(self) -> str | None:
        files = list((self.project.folder / ".osiris" / "state").rglob("keep.json"))
        return json.dumps(json.loads(files[0].read_text())["state"]) if files else None


@pytest.fixture
def keeping(project):
    return Keeping(project)


def test_a_state_is_kept_once_what_was_read_is_delivered(keeping):
    only = keeping.run("--only", "keep")
    assert keeping.state() is None
    dropped = [event for event in keeping.project.events(only) if event["event"] == "state_dropped"]
    assert [event["reason"] for event in dropped] == ["a step that needs it is left out of this run"]
    delivered = keeping.run("--from", "save")
    assert taken(delivered) == ["keep"] and keeping.state() == "1"
    # A file is written again as it was: that doubles nothing.
    assert taken(keeping.run("--from", "save")) == ["keep"] and keeping.state() == "1"


def test_what_was_read_before_the_state_went_on_is_refused(keeping):
    old = keeping.run("--param", "state=1")
    keeping.run("--param", "state=2")
    refused = keeping.run("--resume", old["session_id"], "--from", "save", expect=2)["stderr"]
    assert f"the state of step `keep` has changed since session {old['session_id']} read from it" in refused
    assert "`--from keep`" in refused and keeping.state() == "2"
    keeping.project.osiris("state", "reset", "keep", "--pipeline", "test")
    refused = keeping.run("--from", "save", "--param", "state=2", expect=2)["stderr"]
    assert "the state of step `keep` has changed" in refused and keeping.state() is None


def test_a_resumed_session_reads_anew_if_another_run_went_on(keeping):
    failing = {"id": "check", "component": "duckdb.processor", "needs": ["keep"], "config": {"query": "select error('no') from keep"}}
    first = keeping.run(steps=(KEEP, SAVE, failing), expect=1)
    assert keeping.state() is None
    # Nothing has happened since: the step is done.
    again = keeping.run("--resume", "latest", steps=(KEEP, SAVE, failing), expect=1)
    assert again["step"]["keep"]["duration_ms"] == first["step"]["keep"]["duration_ms"]
    keeping.run()
    assert keeping.state() == "1"
    resumed = keeping.run("--resume", first["session_id"])
    assert keeping.project.rows(resumed, "keep", "select earlier from main") == [("1",)], "the step went on from an old state"


def test_a_writer_that_cannot_deliver_twice_delivers_once(keeping):
    keeping.run()
    assert keeping.state() == "1"
    refused = keeping.run("--from", "load", steps=(KEEP, SAVE, LOAD), expect=2)["stderr"]
    assert "step `load` would deliver again what session" in refused and "step `keep` has kept its state" in refused
    refused = keeping.run("--only", "keep", "--only", "load", steps=(KEEP, SAVE, LOAD), expect=2)["stderr"]
    assert "step `load` would deliver rows that the next run delivers again: the state of step `keep`" in refused
    assert "`--from keep`" in refused and keeping.state() == "1"
