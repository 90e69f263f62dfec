"""Sessions, states, connections and the lock: whatever replaces them, Osiris reads, removes and waits for nothing
that is not its own."""

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import GUESTS, OSIRIS
from test_hostile_files import HELLO, SPEC, section, spec

ONE = "select 1 as a"


def test_sessions_are_in_the_order_of_their_start(project):
    """Even within a second, and if several are created at the same moment: `latest`, `list` and `gc` agree."""
    made = [project.run([project.sql(f"select {number} as a")])["session_id"] for number in range(4)]
    assert made == sorted(made)
    rows = project.osiris("query", "latest", "source", "from main", "--format", "json").stdout
    assert json.loads(rows) == {"a": 3}
    assert project.osiris("sessions", "gc", "--keep", "1").returncode == 0
    assert [session["session_id"] for session in json.loads(project.osiris("sessions", "list", "--json").stdout)] == made[3:]
    # If a session's name is taken, as by a run in the same microsecond, the run continues.
    with ThreadPoolExecutor(4) as pool:
        codes = {pool.submit(project.osiris, "run", "pipeline.yaml").result().returncode for _ in range(4)}
    assert codes == {0}


def test_planted_session_folders_remove_nothing(project):
    for name in ("a.csv", ".hidden.csv", "osiris_connections.yaml"):
        project.write(name, "connections: {}\n")
    for planted, remembered in (("csv", ["a.csv", ".hidden.csv"]), ("yaml", ["osiris_connections.yaml"]), ("session_x", ["a.csv", "osiris_connections.yaml", ".a.session_x", "b.session_x"])):
        project.write(f".osiris_sessions/{planted}/lock", "")
        project.write(f".osiris_sessions/{planted}/scratch/.targets", "".join(json.dumps(name) + "\n" for name in remembered))
    project.write(".a.session_x", "left by a session that died")
    project.write("b.session_x", "a user's own")
    project.run([project.sql(ONE)])
    left = {path.name for path in project.folder.iterdir()}
    assert {"a.csv", ".hidden.csv", "osiris_connections.yaml", "b.session_x"} <= left
    # The control: files that a dead session can have created are removed, and its own folder is emptied.
    assert ".a.session_x" not in left and not (project.folder / ".osiris_sessions/session_x/scratch").exists()
    assert (project.folder / ".osiris_sessions/csv/scratch/.targets").exists()
    listed = json.loads(project.osiris("sessions", "list", "--json").stdout)
    assert {session["session_id"] for session in listed} >= {"session_x"} and not {"csv", "yaml"} & {session["session_id"] for session in listed}


@pytest.mark.parametrize("place", ["osiris_connections.yaml", "osiris.yaml", "osiris.lock", ".osiris_sessions/session_1/lock", ".osiris_sessions/session_1/manifest.yaml", ".osiris/state/test/kept.json", ".osiris/state/test/kept.lock"])
def test_a_pipe_is_not_waited_for(project, place):
    path = project.folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    keep = {"id": "kept", "component": "test.keep", "config": {"state": "{\"n\": 1}"}}
    project.pipeline([keep if "state" in place else project.sql(ONE)])
    for arguments in (("run", "pipeline.yaml"), ("plan", "pipeline.yaml"), ("sessions", "list"), ("state", "show"), ("connections", "list")):
        done = project.osiris(*arguments, timeout=60)
        assert "panicked" not in done.stderr and done.returncode in (0, 2, 3), done.stderr
        if done.returncode:
            assert path.name in done.stderr or "state" in done.stderr, done.stderr


def test_a_session_leads_to_nothing_outside(project):
    result = project.run([project.sql(ONE)])
    session = project.folder / ".osiris_sessions" / result["session_id"]
    manifest = (session / "manifest.yaml").read_text()
    query = lambda: project.osiris("query", "latest", "source", "select count(*) from main")  # noqa: E731
    assert query().returncode == 0
    outside = project.folder.parent / f"{project.folder.name}-outside"
    outside.mkdir()
    (session / "data" / "source.duckdb").rename(outside / "source.duckdb")
    for named in ("../../../" + outside.name + "/source.duckdb", str(outside / "source.duckdb"), "data"):
        (session / "manifest.yaml").write_text(manifest.replace("data/source.duckdb", named))
        done = query()
        assert done.returncode == 2 and "cannot open" in done.stderr, (named, done.stderr)
    (session / "manifest.yaml").write_text(manifest)
    (session / "data").rmdir()
    (session / "data").symlink_to(outside)
    assert query().returncode == 2
    project.osiris("sessions", "gc", "--keep", "0")
    assert (outside / "source.duckdb").exists()


def extract(project, path: str) -> str:
    return project.run([{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": path}}], expect=2)["stderr"]


def test_osiris_own_files_are_recognised_by_identity_and_not_by_name(project):
    project.write("conf/conns.yaml", "connections: {}\n")
    os.symlink("conf/conns.yaml", project.folder / "osiris_connections.yaml")
    assert "Osiris's own files" in extract(project, "conf/conns.yaml")
    os.symlink("conf/conns.yaml", project.folder / "other.csv")
    assert "Osiris's own files" in extract(project, "other.csv")
    os.rename(project.folder / ".osiris_sessions", project.folder / "runs") if (project.folder / ".osiris_sessions").exists() else os.mkdir(project.folder / "runs")
    os.symlink("runs", project.folder / ".osiris_sessions")
    project.write("runs/notes.csv", "a\n1\n")
    assert "Osiris's own files" in extract(project, "runs/notes.csv")
    write = {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "conf/conns.yaml"}}
    assert "Osiris's own files" in project.run([project.sql(ONE), write], expect=1)["stderr"]
    assert (project.folder / "conf/conns.yaml").read_text() == "connections: {}\n"
    # The control: a file next to such a file may be used.
    project.write("conf/data.csv", "a\n1\n")
    project.run([{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "conf/data.csv"}}])


def test_states_are_private_to_the_user(project):
    project.run([{"id": "kept", "component": "test.keep", "config": {"state": "{\"n\": 1}"}}])
    own = project.folder / ".osiris"
    assert own.stat().st_mode & 0o777 == 0o700
    files = [path for path in own.rglob("*.json")]
    assert files and all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    own.chmod(0o755)
    project.run(None)
    assert own.stat().st_mode & 0o777 == 0o700


def test_simultaneous_runs_lose_no_entry_of_the_lock(project):
    environment = {"OSIRIS_DRIVERS": str(GUESTS)}
    components = []
    for number in range(6):
        name = f"many.d{number}"
        project.write(f"drivers/{name}.wasm", HELLO + section(0, b"\x01x") + spec(SPEC.replace("hello.extractor", name)))
        project.write(f"p{number}.yaml", json.dumps({"oml_version": "0.1.0", "name": f"p{number}", "steps": [{"id": "s", "component": name, "config": {"names": ["A"]}}]}))
        components.append(name)
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda number: project.osiris("run", f"p{number}.yaml", env=environment), range(6)))
    assert [run.returncode for run in done] == [0] * 6, done[0].stderr
    locked = (project.folder / "osiris.lock").read_text()
    assert all(name in locked for name in components), locked


def test_no_spelling_of_its_path_makes_a_changed_driver_look_new(project):
    driver = project.write("drivers/hello.extractor.wasm", HELLO + spec(SPEC))
    step = {"id": "hello", "component": "hello.extractor", "config": {"names": ["Ada"]}}
    project.run([step], env={"OSIRIS_DRIVERS": ""})
    driver.write_bytes(HELLO + section(0, b"\x01x") + spec(SPEC))
    for spelling in ("hello.extractor", "drivers/hello.extractor.wasm", "./drivers/hello.extractor.wasm", "drivers/../drivers/hello.extractor.wasm", str(driver)):
        refused = project.run([step | {"component": spelling}], expect=2, env={"OSIRIS_DRIVERS": ""})
        assert "is not the one that `osiris.lock` pins" in refused["stderr"], spelling
    assert project.osiris("lock", "--update", "pipeline.yaml", env={"OSIRIS_DRIVERS": ""}).returncode == 0
    project.run([step], env={"OSIRIS_DRIVERS": ""})


def test_the_program_looks_for_libraries_beside_itself_only():
    """Somebody else may own the path of the folder in which it was built."""
    said = subprocess.run(["readelf", "--dynamic", OSIRIS], capture_output=True, text=True, check=True).stdout
    places = [re.search(r"\[(.*)\]", line)[1] for line in said.splitlines() if "(RPATH)" in line or "(RUNPATH)" in line]
    assert places == ["$ORIGIN:$ORIGIN/../lib"]
    assert "libduckdb.so" in said
