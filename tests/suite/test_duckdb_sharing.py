"""A DuckDB file that steps update is shared with readers, other writers and crashes: nobody sees a half state, nothing is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest
from conftest import OSIRIS
from test_duckdb_writer import Warehouse, write

# How many runs are killed: a handful, or as many as this says.
KILLS = int(os.environ.get("OSIRIS_KILLS", "6"))

ROWS = 20_000


@pytest.fixture
def warehouse(project):
    return Warehouse(project)


READER = """
import sys, time, pathlib, duckdb
path, stop, keeps = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3] == "keeps"
query = "select count(*), min(v), max(v), (select count(*) from mine) from t"
seen, looks = set(), 0
connection = duckdb.connect(path, read_only=True) if keeps else None
while not stop.exists():
    if keeps:
        found = connection.execute(query).fetchone()
    else:
        with duckdb.connect(path, read_only=True) as one:
            found = one.execute(query).fetchone()
    looks += 1
    assert found[0] == ROWS and found[1] == found[2] and found[3] == 3, found
    seen.add(found[1])
    assert not keeps or len(seen) == 1, seen
print(looks, len(seen))
""".replace("ROWS", str(ROWS))


def upsert(project, value: int) -> list[dict]:
    return [project.sql(f"select range as id, {value} as v from range({ROWS})"), write(mode="upsert", primary_key="id")]


def test_readers_see_whole_states_while_upserts_are_killed(project, warehouse):
    project.run(upsert(project, 0))
    warehouse.make("create table mine as from range(3)")
    stop = project.folder / "stop"
    readers = [subprocess.Popen([sys.executable, "-c", READER, warehouse.path, stop, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for how in ("opens", "keeps")]
    begun = time.monotonic()
    project.run(upsert(project, 1))
    took = time.monotonic() - begun
    chance = random.Random(7)
    for value in range(2, 2 + KILLS):
        project.pipeline(upsert(project, value))
        run = subprocess.Popen([OSIRIS, "run", "pipeline.yaml"], cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OSIRIS_DRIVERS": os.environ.get("OSIRIS_DRIVERS", "")})
        time.sleep(chance.uniform(0.2, 1.1) * took)
        run.send_signal(signal.SIGKILL)
        run.wait()
        [(count, low, high)] = warehouse.rows("select count(*), min(v), max(v) from t")
        assert count == ROWS and low == high and low <= value
    project.run(upsert(project, 999))
    assert warehouse.rows("select distinct v from t") == [(999,)] and warehouse.rows("from mine") == [(0,), (1,), (2,)]
    stop.touch()
    for reader in readers:
        out, error = reader.communicate(timeout=60)
        assert reader.returncode == 0 and int(out.split()[0]) > 1, error
    left = [name for name in os.listdir(project.folder) if name.startswith((".w.", "w.duckdb."))]
    assert left == []


def test_steps_of_one_pipeline_take_turns(project, warehouse):
    many = [write(id=f"write{n}", table=f"t{n % 3}") for n in range(6)]
    project.run([project.sql("select 1 as i"), *many])
    assert [warehouse.rows(f"select count(*) from t{n}") for n in range(3)] == [[(2,)]] * 3


def test_two_runs_wait_for_each_other(project, warehouse):
    paths = []
    for n in range(2):
        project.pipeline([project.sql(f"select range as i, {n} as run from range({ROWS})"), write()])
        paths.append((project.folder / "pipeline.yaml").rename(project.folder / f"p{n}.yaml"))
    done = [None, None]
    threads = [threading.Thread(target=lambda n=n: done.__setitem__(n, project.osiris("run", paths[n].name))) for n in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert [one.returncode for one in done] == [0, 0], done
    assert warehouse.rows("select run, count(*) from t group by 1 order by 1") == [(0, ROWS), (1, ROWS)]


def test_a_file_that_another_program_writes_to_is_left_alone(project, warehouse):
    warehouse.make("create table mine as select 1 as i")
    with duckdb.connect(str(warehouse.path)) as connection:
        # DuckDB allows a process to lock a file twice, so the reader of the test must not open it meanwhile.
        message = str(project.run([project.sql("select 1 as i"), write()], expect=1)["step"]["write"]["error"])
        assert "open for writing" in message and "read_only=True" in message
        connection.execute("insert into mine values (2)")
    assert warehouse.rows("from mine order by 1") == [(1,), (2,)]
    project.run([project.sql("select 1 as i"), write()])
    assert warehouse.rows() == [(1,)]


def test_a_run_waits_briefly_for_a_writer_to_close(project, warehouse):
    script = f"import duckdb, time; c = duckdb.connect({str(warehouse.path)!r}); c.execute('create table mine as select 1 as i'); print(flush=True); time.sleep(2)"
    other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    other.stdout.readline()
    project.run([project.sql("select 1 as i"), write()])
    other.wait()
    assert warehouse.rows() == [(1,)] and warehouse.rows("from mine") == [(1,)]


def test_changes_that_a_crash_left_in_a_log_are_not_lost(project, warehouse):
    script = f"import duckdb, os; c = duckdb.connect({str(warehouse.path)!r}); c.execute('create table mine as select 1 as i'); os._exit(1)"
    subprocess.run([sys.executable, "-c", script])
    assert Path(f"{warehouse.path}.wal").stat().st_size > 0
    error = project.run([project.sql("select 1 as i"), write()], expect=1)["step"]["write"]["error"]
    assert "w.duckdb.wal" in error["message"] and "checkpoint" in error["hint"]
    with duckdb.connect(str(warehouse.path)) as connection:
        connection.execute("checkpoint")
    project.run([project.sql("select 1 as i"), write()])
    assert warehouse.rows("from mine") == [(1,)] and warehouse.rows() == [(1,)]


def test_a_foreign_writer_is_kept_out_and_a_replaced_file_is_kept(project, warehouse):
    """While a step works on its copy, DuckDB elsewhere cannot open the file for writing; a file put in its place stays."""
    warehouse.make("create table mine as select 1 as i")
    project.pipeline([project.sql("select 1 as i"), write("big"), project.sql("select range as i, md5(range::varchar) as h from range(3000000)", "big")])
    run = subprocess.Popen([OSIRIS, "run", "pipeline.yaml", "--json"], cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lock = project.folder / ".w.duckdb.osiris-lock"
    deadline = time.monotonic() + 60
    while not lock.exists() and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.01)
    time.sleep(0.05)
    attempt = subprocess.run([sys.executable, "-c", f"import duckdb; duckdb.connect({str(warehouse.path)!r})"], capture_output=True, text=True)
    assert lock.exists(), "the step was too quick for the test"
    assert attempt.returncode != 0 and "lock" in attempt.stderr
    with duckdb.connect(str(project.folder / "other.duckdb")) as connection:
        connection.execute("create table theirs as select 2 as i")
    os.replace(project.folder / "other.duckdb", warehouse.path)
    out, _ = run.communicate(timeout=120)
    result = json.loads(out)
    step = next(step for step in result["steps"] if step["id"] == "write")
    assert step["status"] == "failed" and "changed by another program" in step["error"]["message"], step
    assert warehouse.rows("from theirs") == [(2,)] and not lock.exists()


def test_a_file_that_grows_beyond_the_limit_stays_as_it_was(project, warehouse):
    warehouse.load("select 1 as i")
    before = warehouse.path.read_bytes()
    steps = [project.sql("select hash(range) as h, md5(range::varchar) as i from range(400000)"), write(mode="replace", replace_by="recreate")]
    done = project.run(steps, "--output-size", "8MB", expect=1)
    assert warehouse.path.read_bytes() == before
    assert any((step.get("error") or {}).get("kind") in ("output", "limit") for step in done["steps"]), done["steps"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_leaves_the_file_as_it_was(project, warehouse):
    """On a disk with room for the file and one copy of it, but not for two."""
    warehouse.make("create table mine as select hash(range) as h from range(2_000_000)")
    pipeline = project.pipeline([project.sql("select 1 as i"), write()]).rename(project.folder.parent / f"{project.folder.name}.yaml")
    script = (
        f'cp w.duckdb {project.folder}.copy && mount -t tmpfs -o size=40m none . && cd "$PWD" && cp {project.folder}.copy w.duckdb && cp {pipeline} pipeline.yaml && "$@"; '
        f"code=$?; cmp w.duckdb {project.folder}.copy && exit $code"
    )
    done = project.osiris("run", "pipeline.yaml", "--json", "--output-size", "1GB", "--spill", "1GB", before=["unshare", "--mount", "sh", "-c", script, "sh"])
    Path(f"{project.folder}.copy").unlink()
    assert done.returncode == 1, done.stdout + done.stderr
    error = next(step for step in json.loads(done.stdout)["steps"] if step["id"] == "write")["error"]
    assert (error["blame"], error["kind"]) == ("host", "disk-full"), error


def test_a_lasting_file_is_updated_by_a_worker_too(project, warehouse):
    steps = [project.sql("select 1 as id, 'a' as v"), write(mode="upsert", primary_key="id")]
    warehouse.make("create table mine as select 1 as i")
    for _ in range(2):
        project.run(steps, "--on", f"{OSIRIS} worker")
    assert warehouse.rows() == [(1, "a")] and warehouse.rows("from mine") == [(1,)]
