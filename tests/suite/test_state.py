"""The states that steps keep between runs: a state belongs to its source, is stored exactly, and is changed only on
purpose."""

import json
import os
import signal
import subprocess

import pytest
from conftest import CANARY, GUESTS, OSIRIS, ROOT

CONNECTIONS = """
connections:
  db:
    dev: {host: dev.example.com, database: shop}
    prod: {host: prod.example.com, database: shop}
    renamed: {host: dev.example.com, port: 5432, database: shop}
"""


class Keeping:
    """A pipeline with one step that sets the state in its config."""

    def __init__(self, project):
        self.project = project
        project.write("osiris_connections.yaml", CONNECTIONS)

    def run(self, *arguments, state: str = "1", expect: int = 0, after: list = [], name: str = "test", **config) -> dict:
        config = {"connection": "@db.dev", "table": "orders", "state": state} | config
        step = {"id": "keep", "component": "test.keep", "config": {key: value for key, value in config.items() if value is not None}}
        profiles = {"dev": {"params": {}}, "prod": {"params": {}}}
        return self.project.run([step, *after], *arguments, expect=expect, name=name, profiles=profiles)

    def file(self):
        (file,) = (self.project.folder / ".osiris" / "state").rglob("*.json")
        return file

    def command(self, *arguments, expect: int = 0) -> str:
        done = self.project.osiris("state", *arguments)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def earlier(self, result: dict) -> str | None:
        return self.project.rows(result, "keep", "select earlier from main")[0][0]


@pytest.fixture
def keeping(project):
    return Keeping(project)


def test_a_state_is_used_only_for_its_source(keeping):
    keeping.run()
    for arguments, config, sides in [
        ((), {"connection": "@db.prod"}, "`connection.host` was `dev.example.com`, is `prod.example.com`"),
        ((), {"connection": None, "host": "prod.example.com", "database": "shop"}, "`connection.host` was `dev.example.com`, is `prod.example.com`"),
        ((), {"table": "customers"}, "`table` was `orders`, is `customers`"),
        ((), {"filter": "id > 5"}, "`filter` was not set, is `id > 5`"),
        ((), {"connection": None, "host": "dev.example.com", "port": 5433, "database": "shop"}, "`connection.port` was `5432`, is `5433`"),
        (("--profile", "prod"), {}, "`profile` was not set, is `prod`"),
    ]:
        said = keeping.run(*arguments, state="2", expect=2, **config)["stderr"]
        assert f"step `keep`: {sides}" in said and "osiris state reset keep --pipeline test" in said, said
        assert "osiris state accept keep --pipeline test" in said
    # What counts is where it leads, not its name; and an option that does not affect what is read does not count.
    for config in ({"connection": "@db.renamed"}, {"connection": None, "host": "dev.example.com", "database": "shop"}, {"warn": 1}, {"table": None, "tbl": "orders"}):
        assert keeping.earlier(keeping.run(**config)) == "1", config
    assert json.loads(keeping.file().read_text())["identity"]["fields"]["connection.host"] == "dev.example.com"
    shown = keeping.command("show")
    assert "dev.example.com" in shown and "orders" in shown
    # Two pipelines with the same name are two sources as well.
    assert "belongs" not in keeping.run(name="other")["stderr"]


def test_another_source_is_accepted_or_started_anew_by_command(keeping):
    keeping.run()
    keeping.run(table="customers", expect=2)
    assert "whatever source its next run reads" in keeping.command("accept", "keep", "--pipeline", "test")
    result = keeping.run(table="customers")
    assert keeping.earlier(result) == "1" and "does not say what it was read from" in result["step"]["keep"]["warnings"][0]["message"]
    assert keeping.run(table="customers")["step"]["keep"]["warnings"] == []
    keeping.run(expect=2)
    keeping.command("reset", "keep")
    assert keeping.earlier(keeping.run()) is None


def test_a_state_without_a_recorded_source_is_used_once_with_a_warning(keeping):
    keeping.run(state='{"at": 5}')
    file = keeping.file()
    kept = json.loads(file.read_text())
    del kept["identity"]
    file.write_text(json.dumps(kept))
    broken = [{"id": "after", "component": "duckdb.processor", "config": {"query": "select error('broken') from keep"}}]
    keeping.run(expect=1, after=broken)
    result = keeping.run(table="orders")
    assert keeping.earlier(result) == '{"at": 5}' and len(result["step"]["keep"]["warnings"]) == 1
    assert keeping.run()["step"]["keep"]["warnings"] == []
    assert "`table` was `orders`, is `customers`" in keeping.run(table="customers", expect=2)["stderr"]


def test_a_driver_that_lists_no_fields_is_identified_by_all_of_them(project):
    spec = project.folder / "spec.yaml"
    text = (ROOT / "tests" / "guests" / "keep" / "spec.yaml").read_text()
    spec.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith(("stateIdentity", "stateWhen"))).replace("test.keep", "test.keep2"))
    packed = project.osiris("drivers", "pack", GUESTS / "test.keep.wasm", "--spec", "spec.yaml", "-o", "drivers/test.keep2.wasm")
    assert packed.returncode == 0, packed.stderr
    step = {"id": "keep", "component": "test.keep2", "config": {"state": "1", "body": {"a": 1, "b": [2]}}}
    project.run([step])
    project.run([step])
    step["config"]["body"]["a"] = 3
    assert "`body.a` was `1`, is `3`" in project.run([step], expect=2)["stderr"]


def test_a_state_is_stored_exactly(keeping):
    """Without rounding a number, and without masking what looks like a password."""
    project = keeping.project
    project.write("osiris_connections.yaml", CONNECTIONS.replace("host: dev.example.com, database", "host: dev.example.com, password: '2024', database"))
    for state in ('{"cursor": "2024-03-01", "n": 123456789012345678901234567890.10, "z": 1e400}', '"\\u00e9 2024"', "1e999999", "[ ]", "null"):
        keeping.run(state=state)
        assert f'"state": {state}' in keeping.file().read_text()
        assert f'"state": {state}' in keeping.command("show", "keep", "--json")
        assert keeping.earlier(keeping.run(state=state)) == state


def test_a_deep_state_is_shown(keeping):
    """Readers of JSON that use the stack for each level would end the program."""
    keeping.run()
    for levels in (100, 60_000):
        keeping.command("set", "keep", "[" * levels + "]" * levels)
        for arguments in (("show", "keep"), ("show", "keep", "--json")):
            assert levels <= keeping.command(*arguments).count("]") <= levels + 1


@pytest.mark.parametrize("state", ['"SECRET"', '{"at": ["x SECRET y"]}', '{"SECRET": 1}'])
def test_a_state_with_a_secret_is_refused(keeping, state):
    result = keeping.run(state=state, key=CANARY, expect=1)
    error = result["step"]["keep"]["error"]
    assert error["kind"] == "denied" and "a state must hold no secret" in error["message"], error
    assert list((keeping.project.folder / ".osiris").rglob("*.json")) == []


def test_a_failure_after_the_step_keeps_the_old_state(keeping):
    def after(query: str) -> list:
        return [{"id": "between", "component": "duckdb.processor", "config": {"query": "from keep"}},
                {"id": "after", "component": "duckdb.processor", "config": {"query": query}}]

    keeping.run(after=after("select error('broken') from between"), expect=1)
    assert list((keeping.project.folder / ".osiris").rglob("*.json")) == []
    keeping.run(after=after("from between"))
    before = keeping.file().read_text()
    result = keeping.run(state="2", after=after("select error('broken') from between"), expect=1)
    assert keeping.file().read_text() == before
    assert "state_dropped" in [event["event"] for event in keeping.project.events(result)]


def test_a_damaged_state_is_reported_before_anything_runs_and_can_be_reset(keeping):
    keeping.run()
    keeping.file().write_text("{")
    said = keeping.run(expect=2)["stderr"]
    assert "damaged" in said and "osiris state reset keep --pipeline test" in said
    keeping.command("reset", "keep", "--pipeline", "test")
    keeping.run()


def test_set_and_reset_work_on_one_step_of_one_pipeline(keeping):
    keeping.run()
    keeping.run(name="it's other", state="2")
    for arguments in (("reset", "keep"), ("set", "keep", "5"), ("accept", "keep")):
        said = keeping.command(*arguments, expect=2)
        assert "`test`" in said and "`it's other`" in said and "--pipeline" in said, said
    assert "to 5; it was 2" in keeping.command("set", "keep", "--pipeline", "it's other", "5")
    assert keeping.earlier(keeping.run(name="it's other")) == "5"
    assert "removed the state of step `keep` of pipeline `it's other`" in keeping.command("reset", "keep", "--pipeline", "it's other", "--yes")
    assert [one["pipeline"] for one in json.loads(keeping.command("show", "--json"))] == ["test"]
    assert keeping.earlier(keeping.run()) == "1"
    for arguments, told in [
        (("set", "keep", "{cursor: 1}"), "not JSON"),
        (("set", "nix", "1"), "has kept no state; those that have: `keep of test`"),
        (("set", "../x", "--pipeline", "test", "1"), "cannot be a step id"),
        (("reset", "nix"), "has kept no state"),
        (("reset",), "required"),
    ]:
        assert told in keeping.command(*arguments, expect=2)
    # A step may be given a state before its first run.
    keeping.command("set", "keep", "--pipeline", "fresh", '{"at": 12345678901234567890123}')
    assert keeping.earlier(keeping.run(name="fresh")) == '{"at": 12345678901234567890123}'
    assert keeping.command("reset", "--all").count("removed the state") == 2
    assert "no step has a state" in keeping.command("reset", "--all")
    assert "no step has a state" in keeping.command("show")


def test_a_person_at_a_terminal_is_asked_first(keeping):
    keeping.run()
    for answer, left in (("n\n", 1), ("y\n", 0)):
        main, other = os.openpty()
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
        command = [str(OSIRIS), "state", "reset", "keep"]
        with subprocess.Popen(command, cwd=keeping.project.folder, env=environment, stdin=other, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
            os.write(main, answer.encode())
            said, question = asked.communicate(timeout=30)
        os.close(main), os.close(other)
        assert "remove the state of step `keep` of pipeline `test`" in question and "[y/N]" in question
        assert len(json.loads(keeping.command("show", "--json"))) == left, said


@pytest.mark.parametrize("first_run", [True, False])
def test_a_state_is_locked_during_a_run(keeping, first_run):
    """Neither a second run nor a command can change it, whether or not there is a state yet."""
    project = keeping.project
    if not first_run:
        keeping.run()
    slow = [{"id": "slow", "component": "duckdb.processor", "config": {"query": "select count(*) as a from keep, range(100_000_000_000)"}}]
    config = {"connection": "@db.dev", "table": "orders", "state": "2"}
    steps = [{"id": "keep", "component": "test.keep", "config": config}]
    project.pipeline([*steps, *slow])
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS)}
    with subprocess.Popen([OSIRIS, "run", "pipeline.yaml", "--no-cache"], cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as first:
        while "slow  started" not in (line := first.stderr.readline()):
            assert line, "the first run ended"

        def refused(done) -> None:
            assert done.returncode == 4 and "at work on step `keep`" in done.stderr and "osiris sessions list" in done.stderr, done.stderr

        refused(project.osiris("run", "pipeline.yaml"))
        refused(project.osiris("state", "set", "keep", "--pipeline", "test", "5"))
        if not first_run:
            refused(project.osiris("state", "reset", "keep"))
            # Removing the file by hand does not let a second run in.
            keeping.file().unlink()
            refused(project.osiris("run", "pipeline.yaml"))
        first.send_signal(signal.SIGINT)
        first.stderr.read()
    project.run(steps)


def test_steps_without_a_state_do_not_wait_for_each_other(keeping):
    result = keeping.run(state=None)
    assert keeping.earlier(result) is None
    assert not (keeping.project.folder / ".osiris").exists()


def test_a_granted_file_that_the_driver_does_not_create_is_unchanged(project):
    project.write("kept.csv", "before\n")
    config = {"write": ["kept.csv", "made.csv", "new.csv"], "create": ["made.csv"]}
    project.write("made.csv", "before\n")
    project.run([{"id": "keep", "component": "test.keep", "config": config}])
    assert (project.folder / "kept.csv").read_text() == "before\n"
    assert (project.folder / "made.csv").read_text() == "new\n"
    assert not (project.folder / "new.csv").exists()
    assert [path.name for path in project.folder.iterdir() if "session_" in path.name] == []


def test_many_warnings_are_kept_within_a_bound_and_counted(project):
    result = project.run([{"id": "keep", "component": "test.keep", "config": {"warn": 130}}])
    warnings = result["step"]["keep"]["warnings"]
    assert len(warnings) == 101 and warnings[0] == {"message": "a column was left out", "fields": {"column": "c0", "rows": "12"}}
    assert warnings[-1]["fields"] == {"count": "30"} and "events.jsonl" in warnings[-1]["message"]
    assert len([event for event in project.events(result) if event["event"] == "driver_log"]) == 130
    assert "warn: a column was left out (column: c129; rows: 12)" in result["stderr"]
