"""Rows that are appended to a DuckDB file arrive once, whenever the host is killed and however the work goes on."""

import itertools
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import duckdb
import pytest
from conftest import OSIRIS
from test_duckdb_writer import Warehouse, write

# How many runs are killed: a handful, or as many as this says.
KILLS = int(os.environ.get("OSIRIS_KILLS", "6"))

STATES = Path(".osiris/state/test")


@pytest.fixture
def warehouse(project):
    return Warehouse(project)


def load(**config) -> list[dict]:
    """New files are appended to a table."""
    extract = {"id": "extract", "component": "filesystem.csv_extractor", "needs": [], "config": {"path": "in/*.csv", "new_files_only": True}}
    return [extract, write("extract", mode="append", **config)]


def begin(project, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([OSIRIS, "run", "pipeline.yaml", *arguments], cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def kill_once(project, seen: Path, delay: float, *arguments: str) -> bool:
    """Kills a run so many seconds after a file has appeared; whether it was there in time."""
    run = begin(project, *arguments)
    while run.poll() is None and not seen.exists():
        time.sleep(0.0001)
    in_time = run.poll() is None
    time.sleep(delay)
    if run.poll() is None:
        os.kill(run.pid, signal.SIGKILL)
    run.wait()
    return in_time


def ids(warehouse) -> list[int]:
    return [id for (id,) in warehouse.rows("select id from t order by id")] if warehouse.path.exists() else []


@pytest.mark.parametrize("goes_on", ["run", "resume"])
def test_rows_arrive_once_although_the_host_is_killed_while_it_delivers(project, warehouse, goes_on):
    project.pipeline(load())
    chance = random.Random(goes_on)
    pending = project.folder / STATES / "extract.pending"
    noticed = 0
    for number in range(KILLS):
        project.write(f"in/{number}.csv", f"id\n{number}\n")
        # The first moments are those between the note, the file and the state; later ones are anywhere.
        noticed += kill_once(project, pending, chance.choice([0, 0.0005, 0.002, 0.02]))
        assert ids(warehouse) in (list(range(number)), list(range(number + 1)))
        again = project.osiris("run", "pipeline.yaml", *(["--resume"] if goes_on == "resume" else []))
        assert again.returncode == 0, again.stderr
        assert ids(warehouse) == list(range(number + 1))
        assert not pending.exists()
    assert noticed
    assert project.run(load())["step"]["extract"]["rows"] == 0


def test_a_step_that_has_delivered_is_not_run_again_by_resume(project, warehouse):
    """The later step fails, and has to be done again; the rows are there already."""
    project.write("in/1.csv", "id\n1\n")
    later = project.sql("select error('not yet')", id="later") | {"needs": ["write"]}
    assert project.run([*load(), later], expect=1)["step"]["write"]["status"] == "success"
    again = project.osiris("run", "pipeline.yaml", "--resume")
    assert again.returncode == 1 and ids(warehouse) == [1], again.stderr
    project.pipeline([*load(), project.sql("select 1 as x", id="later") | {"needs": ["write"]}])
    again = project.osiris("run", "pipeline.yaml", "--resume")
    assert again.returncode == 0 and ids(warehouse) == [1], again.stderr
    assert project.run(load())["step"]["extract"]["rows"] == 0


def stop_between(project, warehouse) -> tuple[dict, bytes]:
    """What is on disk if the host dies after it noted the update: the note, and the updated file."""
    pending = project.folder / STATES / "extract.pending"
    for number in itertools.count():
        project.write(f"in/{number}.csv", f"id\n{number}\n")
        project.pipeline(load())
        kill_once(project, pending, 0)
        if pending.exists():
            return json.loads(pending.read_text()), number
        project.run(load())
        assert number < 30, "no run was killed in time"


def test_a_file_that_others_have_replaced_is_not_guessed_about(project, warehouse):
    project.run([project.sql("select -1 as id"), write()])
    pending, number = stop_between(project, warehouse)
    beside = project.folder / "other.duckdb"
    with duckdb.connect(str(beside)) as other:
        other.execute("create table t as select 7::bigint as id")
    os.replace(beside, warehouse.path)
    done = project.osiris("run", "pipeline.yaml")
    assert done.returncode == 2 and "whether the rows of step `extract` arrived is not known" in done.stderr, done.stderr
    assert "extract.pending" in done.stderr
    assert ids(warehouse) == [7]
    # Who has looked decides.
    (project.folder / STATES / "extract.pending").unlink()
    assert project.run(load())["step"]["extract"]["rows"] >= 1


def test_a_state_that_is_reset_does_not_come_back(project, warehouse):
    project.write("in/first.csv", "id\n-1\n")
    project.run(load())
    pending, number = stop_between(project, warehouse)
    done = project.osiris("state", "reset", "extract", "--pipeline", "test", "--yes")
    assert done.returncode == 0, done.stderr
    assert not (project.folder / STATES / "extract.pending").exists()
    assert project.run(load())["step"]["extract"]["rows"] == number + 2


def test_a_note_that_is_damaged_is_not_guessed_about(project, warehouse):
    project.write("in/1.csv", "id\n1\n")
    project.run(load())
    project.write("in/2.csv", "id\n2\n")
    pending = project.folder / STATES / "extract.pending"
    for text in ("", "{}", '{"deliveries": []}'):
        pending.write_text(text)
        done = project.osiris("run", "pipeline.yaml")
        assert done.returncode == 2 and "extract.pending` is damaged" in done.stderr, done.stderr
        assert ids(warehouse) == [1]
    pending.unlink()
    assert project.run(load())["step"]["extract"]["rows"] == 1 and ids(warehouse) == [1, 2]
