"""`keep` in `osiris.yaml`: which sessions of a pipeline stay after a run."""

import json
import os
import re
import subprocess
import threading

import pytest
from conftest import OSIRIS

GOOD, BAD = "select 1 as a", "select error('no') from (select 1)"


def run(project, sql: str = GOOD, name: str = "test", *arguments) -> str:
    steps = [{"id": "make", "component": "duckdb.processor", "config": {"query": sql}}]
    return project.run(steps, *arguments, name=name, expect=int(sql == BAD))["session_id"]


def left(project) -> list[str]:
    return sorted(path.name for path in (project.folder / ".osiris_sessions").glob("session_*"))


def age(project, session: str, days: int) -> None:
    """Makes a session look as if it had ended that long ago."""
    path = project.folder / ".osiris_sessions" / session / "manifest.yaml"
    year = f"20{26 - days // 365 - 1:02}"
    path.write_text(re.sub(r"(started_at|finished_at): (['\"]?)\d{4}", rf"\1: \g<2>{year}", path.read_text()))


def test_the_newest_runs_of_each_pipeline_stay(project):
    other = [run(project, name="other") for _ in range(3)]
    project.write("osiris.yaml", "keep: {runs: 2}")
    runs = [run(project) for _ in range(4)]
    assert left(project) == sorted([*other, *runs[-2:]])
    assert run(project, name="other") in left(project) and len(left(project)) == 4


def test_the_last_run_that_succeeded_stays(project):
    project.write("osiris.yaml", "keep: {runs: 1}")
    good = [run(project), run(project)]
    bad = [run(project, BAD) for _ in range(3)]
    assert left(project) == [good[-1], bad[-1]]
    # It is one of the newest again.
    last = run(project)
    assert left(project) == [last]


def test_only_sessions_that_are_older_go(project):
    sessions = [run(project) for _ in range(4)]
    age(project, sessions[0], 400)
    age(project, sessions[2], 400)
    project.write("osiris.yaml", "keep: {runs: 3, days: 14}")
    last = run(project)
    # The third is among the newest three, the second is new enough.
    assert left(project) == [*sessions[1:], last]
    project.write("osiris.yaml", "keep: {days: 14}")
    assert left(project)[:2] == sessions[1:3] and run(project) and sessions[2] not in left(project)


def test_a_session_that_is_at_work_stays(project):
    project.write("osiris.yaml", "keep: {runs: 1}")
    slow = "select count(*) as n from range(100000000000) a where hash(a.range) = 1"
    project.write("slow.yaml", json.dumps({"oml_version": "0.1.0", "name": "test", "steps": [{"id": "slow", "component": "duckdb.processor", "config": {"query": slow}}]}))
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    environment |= {name: os.environ[name] for name in ("OSIRIS_CACHE_DIR", "XDG_CACHE_HOME") if name in os.environ}
    with subprocess.Popen([str(OSIRIS), "run", "slow.yaml"], cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        try:
            for line in running.stderr:
                if "started" in line:
                    break
            threading.Thread(target=running.stderr.read, daemon=True).start()
            (at_work,) = left(project)
            for _ in range(2):
                run(project)
            assert at_work in left(project) and len(left(project)) == 2
        finally:
            running.terminate()


def test_a_resumed_session_stays(project):
    old = run(project, BAD)
    for _ in range(3):
        run(project)
    project.write("osiris.yaml", "keep: {runs: 1}")
    project.run([{"id": "make", "component": "duckdb.processor", "config": {"query": GOOD}}], "--resume", old)
    assert old in left(project)


@pytest.mark.parametrize("keep, message", [("{}", "says neither `runs` nor `days`"), ("{runs: -1}", "line 1"), ("{run: 3}", "unknown field `run`"), ("3", "line 1")])
def test_a_malformed_keep_is_refused(project, keep, message):
    run(project)
    project.write("osiris.yaml", f"keep: {keep}")
    done = project.osiris("run", "pipeline.yaml")
    assert done.returncode == 2 and message in done.stderr and "osiris.yaml" in done.stderr and len(left(project)) == 1
