"""What a failing step, a misbehaving driver, Ctrl-C and kill -9 leave behind: nothing incomplete, and the next run
works."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import duckdb
import pytest
from conftest import CANARY, GUESTS, OSIRIS, TARGET, install
from http_server import web  # noqa: F401, a fixture
from http_steps import grant, step

# Half of the kills hit a step's processes, half of them hosts; set `OSIRIS_KILLS=200` for a thorough run.
KILLS = max(40, int(os.environ.get("OSIRIS_KILLS", "40")))


def misbehave(how: str, **config) -> dict:
    return {"id": "bad", "component": "test.misbehave", "needs": ["source"], "config": {"how": how, **config}}


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("trap", "trap", "trapped"),
        ("panic", "trap", "trapped"),
        ("exit", "exit", "called exit(0)"),
        ("memory", "memory", "asked for more than its"),
        ("half-table", "contract", "unfinished"),
        ("error", "data", "cannot do as asked"),
        ("lie-rows", "data", "malformed"),
        ("bad-utf8", "data", "malformed"),
        ("bad-offsets", "data", "malformed"),
        ("short-buffer", "data", "buffer 1 has 40 bytes, but needs 80"),
        ("twin-columns", "data", "`a` and `A` differ only in case"),
        ("twin-tables", "data", "table `main` exists already"),
        ("nameless-column", "data", "the name of column 1 has 0 bytes"),
        ("half-float", "data", "format `e`, which does not cross"),
    ],
)
def test_a_misbehaving_driver_ends_only_itself(project, how, kind, words):
    steps = [project.sql("select 1 as a"), misbehave(how), {"id": "sibling", "component": "duckdb.processor", "needs": ["source"], "config": {"query": "from source"}},
             {"id": "after", "component": "duckdb.processor", "needs": ["bad"], "config": {"query": "from bad"}}]
    result = project.run(steps, expect=1)
    error = result["step"]["bad"]["error"]
    assert error["kind"] == kind and words in error["message"], error
    # Data that the driver itself calls wrong is the user's; what cannot be data at all is the driver's.
    assert error["blame"] == ("user" if how == "error" else "driver")
    assert how != "memory" or "--guest-memory" in error["hint"]
    assert "test.misbehave" in result["stderr"]
    assert result["step"]["sibling"]["status"] == "success"
    assert result["step"]["after"]["status"] == "skipped"
    assert "after" in result["stderr"] and "skipped" in result["stderr"]
    session = Path(result["session_path"])
    assert sorted(path.name for path in (session / "data").iterdir()) == ["sibling.duckdb", "source.duckdb"]
    assert not (session / "scratch").exists()


@pytest.mark.local_only("makes the program unusable, which a worker needs itself")
def test_a_step_that_cannot_start_leaves_no_file_beside_its_target(project, web):
    """The program cannot be started once the first step runs: at most one process was started ahead of time for later steps."""
    program = install(project.folder / "program")
    url = web.route("/items", lambda _: program.chmod(0) or [{"n": 1}])
    grant(project, web)
    write = lambda name: {"id": name, "component": "filesystem.csv_writer", "needs": ["read"], "config": {"path": f"out/{name}.csv"}}  # noqa: E731
    result = project.run([step(url=url), write("a"), write("b"), write("c")], "--jobs", "1", expect=1, program=program, env={"OSIRIS_DRIVERS": str(TARGET / "drivers")})
    assert result["step"]["read"]["status"] == "success"
    failed = {name for name in "abc" if result["step"][name]["status"] == "failed"}
    assert len(failed) >= 2 and all("cannot start a step process" in result["step"][name]["error"]["message"] for name in failed)
    assert {path.name for path in (project.folder / "out").iterdir()} == {f"{name}.csv" for name in set("abc") - failed}


@pytest.mark.parametrize("how", ["loop", "slow"])
def test_a_step_is_stopped_at_its_time_limit(project, how):
    begun = time.monotonic()
    result = project.run([project.sql("select 1 as a"), misbehave(how, **({"rows": 10**12} if how == "slow" else {}))], "--step-timeout", "1", expect=1)
    assert result["step"]["bad"]["error"]["kind"] == "timeout"
    assert result["step"]["bad"]["error"]["blame"] == "driver"
    assert time.monotonic() - begun < 30


def test_a_query_is_stopped_at_the_time_limit_too(project):
    endless = "with recursive t(i) as (select 1 union all select i + 1 from t) select max(i) as m from t"
    result = project.run([project.sql(endless)], "--step-timeout", "1", expect=1)
    assert result["step"]["source"]["error"]["kind"] == "timeout"


def test_the_error_of_a_query_beyond_its_memory_names_the_remedy(project):
    greedy = "select list(i) as l, list(md5(i::varchar)) as m from range(20000000) t(i)"
    result = project.run([project.sql(greedy)], "--engine-memory", "64MB", expect=1)
    error = result["step"]["source"]["error"]
    assert error["kind"] == "memory" and "--engine-memory" in error["hint"]


def test_a_sort_larger_than_memory_spills_within_the_scratch_folder(project):
    sort = "select i, md5(i::varchar) as m from range(4000000) t(i) order by m"
    result = project.run([project.sql(sort)], "--engine-memory", "100MB")
    assert result["step"]["source"]["rows"] == 4_000_000
    assert not (Path(result["session_path"]) / "scratch").exists()


def test_a_failed_writer_leaves_the_target_as_it_was(project):
    project.write("out.csv", "before\n")
    steps = [project.sql("select case when i = 900000 then '€' else 'x' end as v from range(1000000) t(i)"),
             {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "out.csv", "encoding": "latin-1", "newline": "crlf"}}]
    result = project.run(steps, expect=1)
    assert "latin-1" in result["step"]["write"]["error"]["message"]
    assert (project.folder / "out.csv").read_text() == "before\n"
    assert [path.name for path in project.folder.iterdir() if "session_" in path.name] == []


def start(project, *arguments: str) -> subprocess.Popen:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CANARY": CANARY}
    return subprocess.Popen([str(OSIRIS), "run", "pipeline.yaml", "--no-cache", *arguments], cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(child) for child in text.split()]


def peak(project, limit: str) -> int:
    """The peak memory, in bytes, of a step process whose driver allocates memory until it gets no more."""
    project.pipeline([{**misbehave("memory"), "needs": []}])
    run, held = start(project, "--guest-memory", limit), 0
    while run.poll() is None:
        for step in children(run.pid):
            try:
                status = Path(f"/proc/{step}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            held = max(held, *(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
        time.sleep(0.001)
    assert run.wait() == 1
    return held


def test_a_driver_that_takes_all_memory_gets_only_its_limit(project):
    small, large = peak(project, "32MB"), peak(project, "512MB")
    assert small < 32_000_000 + 150_000_000
    # The watch measures the memory in use, which grows with the limit and not beyond.
    assert 200_000_000 < large - small < 512_000_000


def runs(pid: int) -> bool:
    """Whether a process runs; a zombie that init has not reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def long_pipeline(project) -> None:
    project.write("out.csv", "before\n")
    project.pipeline([
        project.sql("select i, md5(i::varchar) as m from range(300000) t(i)"),
        {"id": "copy", "component": "test.passthrough_rust"},
        {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "out.csv"}},
    ])


def sum_of(data: Path) -> tuple:
    """The number of rows of a data file, and a sum over them."""
    with duckdb.connect(str(data), read_only=True) as connection:
        return connection.execute("select count(*), sum(hash(i, m)) from main").fetchone()


def check_nothing_half(project, whole: tuple, text: str) -> int:
    """Checks that every data file is complete and that the target is the old file or the new one; returns the number
    of data files."""
    assert (project.folder / "out.csv").read_text() in ("before\n", text)
    files = list(project.folder.glob(".osiris_sessions/*/data/*"))
    assert [sum_of(data) for data in files] == [whole] * len(files)
    return len(files)


def check_as_undisturbed(project, whole: tuple, text: str) -> None:
    """The next run behaves as if nothing had happened before it, and nothing is left of what did."""
    project.write("out.csv", "before\n")
    result = project.run()
    assert result["status"] == "success"
    assert (project.folder / "out.csv").read_text() == text
    session = Path(result["session_path"])
    assert {data.name: sum_of(data) for data in (session / "data").iterdir()} == {"source.duckdb": whole, "copy.duckdb": whole}
    leftovers = [path for path in project.folder.iterdir() if path.name not in ("pipeline.yaml", "osiris.lock", "out.csv", ".osiris_sessions")]
    assert leftovers == []
    assert not list(project.folder.glob(".osiris_sessions/*/scratch"))
    assert not list(project.folder.glob(".osiris_sessions/*/lock"))


def test_ctrl_c_ends_the_run_and_leaves_the_session_readable(project):
    project.pipeline([project.sql("select 1 as a"), misbehave("slow", rows=10**12)])
    run = start(project)
    while "bad" not in (line := run.stderr.readline()):
        assert line, "the run ended early"
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=30)
    assert run.returncode == 130
    shown = json.loads(project.osiris("sessions", "show", "--json").stdout)
    assert shown["status"] == "interrupted"
    assert [step["status"] for step in shown["steps"]] == ["success", "interrupted"]
    assert not list(project.folder.glob(".osiris_sessions/*/scratch"))


def test_an_interrupt_is_reported_as_one(project):
    """Neither as a lack of memory, nor as a fault of this program."""
    project.pipeline([project.sql("select 1 as a"), misbehave("slow", rows=10**12)])
    run = start(project)
    while "bad" not in (line := run.stderr.readline()):
        assert line, "the run ended early"
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=30)
    assert run.returncode == 130 and "memory" not in said and "fault" not in said, said
    error = json.loads(project.osiris("sessions", "show", "--json").stdout)["steps"][1]["error"]
    assert (error["kind"], error["message"]) == ("interrupted", "the run was interrupted")


def test_ctrl_c_while_a_driver_is_compiled_ends_the_run_at_once(project):
    project.pipeline([project.sql("select 1 as a"), {"id": "copy", "component": "test.passthrough_python"}])
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CACHE_DIR": str(project.folder / "cache")}
    command = [str(OSIRIS), "run", "pipeline.yaml", "--no-cache"]
    run = subprocess.Popen(command, cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while "compiling test.passthrough_python" not in (line := run.stderr.readline()):
        assert line, "the run ended early"
    # As a terminal does: to the whole process group.
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=30)
    assert run.returncode == 130 and "error" not in said, said
    shown = json.loads(project.osiris("sessions", "show", "--json").stdout)
    assert shown["status"] == "interrupted" and {step["status"] for step in shown["steps"]} == {"skipped"}
    assert [path.name for path in (project.folder / "cache").iterdir() if "python" in path.name] == []


def test_a_process_that_dies_before_its_step_begins_is_replaced(project):
    project.pipeline([project.sql("select 1 as a"), {"id": "copy", "component": "test.passthrough_python"}])
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CACHE_DIR": str(project.folder / "cache")}
    command = [str(OSIRIS), "run", "pipeline.yaml", "--no-cache"]
    run = subprocess.Popen(command, cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while "compiling test.passthrough_python" not in (line := run.stderr.readline()):
        assert line, "the run ended early"
    victims = [child for child in children(run.pid) if b"\0step\0" in Path(f"/proc/{child}/cmdline").read_bytes()]
    for process in victims:
        os.kill(process, signal.SIGKILL)
    _, said = run.communicate(timeout=60)
    assert victims and run.returncode == 0, said


@pytest.mark.parametrize("victim", ["step", "host"])
def test_kill_9_at_random_moments_leaves_nothing_incomplete(project, victim):
    long_pipeline(project)
    begun = time.monotonic()
    session = Path(project.run()["session_path"])
    undisturbed = time.monotonic() - begun
    whole, text = sum_of(session / "data" / "source.duckdb"), (project.folder / "out.csv").read_text()
    assert whole[0] == 300_000 and text.count("\n") == 300_001
    chance = random.Random(f"osiris {victim}")
    found = []
    for number in range(KILLS // 2):
        project.write("out.csv", "before\n")
        run = start(project)
        time.sleep(chance.uniform(0.0, undisturbed))
        steps = children(run.pid)
        for process in (steps if victim == "step" else [run.pid]):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        run.communicate(timeout=60)
        deadline = time.monotonic() + 10
        while any(runs(step) for step in steps):
            assert time.monotonic() < deadline, "a step process outlived its host"
            time.sleep(0.01)
        found.append(check_nothing_half(project, whole, text))
        if number % 10 == 9:
            check_as_undisturbed(project, whole, text)
            # Checked and removed, to free space for the next run.
            shutil.rmtree(project.folder / ".osiris_sessions")
    check_as_undisturbed(project, whole, text)
    assert len(set(found)) > 2, "the kills all fell at the same moment"
