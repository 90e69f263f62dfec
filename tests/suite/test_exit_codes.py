"""Exit codes, and the one JSON object that a program reads on stdout whatever went wrong."""

import json
import os
import subprocess
import threading

import pytest
from conftest import GUESTS, OSIRIS


def slow(project) -> None:
    """A pipeline whose first step keeps a state, and whose second one never ends."""
    sql = "select count(*) as n from range(100000000000) a where hash(a.range) = 1"
    project.pipeline([{"id": "keep", "component": "test.keep", "config": {"state": "2"}}, {"id": "slow", "component": "duckdb.processor", "needs": [], "config": {"query": sql}}])


class Running:
    """A run that is at work until the block ends."""

    def __init__(self, project, *arguments):
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS)}
        environment |= {name: os.environ[name] for name in ("OSIRIS_CACHE_DIR", "XDG_CACHE_HOME") if name in os.environ}
        self.process = subprocess.Popen([str(OSIRIS), "run", "pipeline.yaml", *arguments], cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        assert any("slow" in line and "started" in line for line in iter(self.process.stderr.readline, "")), "it did not start"
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


@pytest.mark.parametrize("exchange", [False, True])
def test_a_pipeline_that_another_run_holds_is_exit_code_4(project, exchange):
    (project.folder / "exchange").mkdir()
    more = ["--exchange", f"file://{project.folder}/exchange"] if exchange else []
    slow(project)
    with Running(project, *more):
        done = project.osiris("run", "pipeline.yaml", "--json", *more, timeout=30)
        assert done.returncode == 4, done.stderr
        told = json.loads(done.stdout)
        assert told["status"] == "failed" and told["error"]["fault"] == "busy" and "another run of pipeline `test`" in told["error"]["message"] and told["error"]["hint"]
        assert project.osiris("run", "pipeline.yaml", *more).returncode == 4
        done = project.osiris("run", "pipeline.yaml", "--resume", "latest", *more)
        assert done.returncode == 4, done.stderr
        assert project.osiris("state", "set", "keep", "--pipeline", "test", "5", *more).returncode == 4
        # What only looks is not in the way.
        assert project.osiris("plan", "pipeline.yaml", *more).returncode == 0


@pytest.mark.parametrize("verb", ["run", "plan", "validate"])
@pytest.mark.parametrize("text", ["name: x", "steps: [", None])
def test_wrong_input_is_exit_code_2_and_one_json_object(project, verb, text):
    if text is not None:
        project.write("pipeline.yaml", text)
    done = project.osiris(verb, "pipeline.yaml", "--json")
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told["status"] == "failed" and told["error"]["fault"] == "input" and told["error"]["message"].split("\n")[0] in done.stderr


def test_wrong_arguments_are_exit_code_2_and_one_json_object(project):
    for verb in ("run", "plan", "validate"):
        done = project.osiris(verb, "--json", "--no-such-option")
        assert done.returncode == 2 and json.loads(done.stdout)["error"]["fault"] == "input"
