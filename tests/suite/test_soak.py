"""Many runs, one after another and at the same time: nothing grows, nothing is left behind, no run waits for another's lock.

`OSIRIS_SOAK_RUNS=1000 OSIRIS_SOAK_AT_ONCE=32` for a thorough run."""

import os
import shutil
import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import CANARY, GUESTS, TARGET, install

RUNS = int(os.environ.get("OSIRIS_SOAK_RUNS", "40"))
AT_ONCE = int(os.environ.get("OSIRIS_SOAK_AT_ONCE", "8"))


@pytest.fixture
def small(project):
    """A project with a small run of three steps, one of which reads columns in a driver, and with its own compile
    cache."""
    project.pipeline([
        project.sql("select i, 'row ' || i as t from range(10) r(i)"),
        {"id": "copy", "component": "test.passthrough_rust"},
        {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "out.csv"}},
    ])
    (project.folder / "tmp").mkdir()
    run(project)
    yield project
    shutil.rmtree(program(project).parent)


def program(project) -> Path:
    """The program under a unique name: whatever runs under it belongs to this test."""
    folder = project.folder.parent / f"{project.folder.name}-program"
    copy = folder / f"{project.folder.name}-osiris"
    return copy if copy.exists() else install(folder, name=copy.name)


def run(project) -> tuple[float, int, str]:
    """CPU seconds, the resident bytes of the largest process including steps, and the output; the run must succeed."""
    environment = {"PATH": os.environ["PATH"], "OSIRIS_DRIVERS": f"{GUESTS}:{TARGET / 'drivers'}", "OSIRIS_CANARY": CANARY, "OSIRIS_CACHE_DIR": str(project.folder / "cache"), "TMPDIR": str(project.folder / "tmp")}
    process = subprocess.Popen([str(program(project)), "run", "pipeline.yaml", "--no-cache", "--json"], cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, said


def running(program: Path) -> list[str]:
    """The command lines of all processes of a program."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.path.samefile(process / "exe", program):
                found.append((process / "cmdline").read_text())
        except OSError:
            pass
    return found


def sessions(project) -> list[Path]:
    return [path for path in (project.folder / ".osiris_sessions").iterdir() if path.is_dir()]


def shape(session: Path) -> list[str]:
    return sorted(str(path.relative_to(session)) for path in session.rglob("*"))


def disk(session: Path) -> int:
    return sum(path.stat().st_size for path in session.rglob("*") if path.is_file())


def check_nothing_is_left(project, expected: int) -> None:
    made = sessions(project)
    assert len(made) == expected
    assert len({tuple(shape(session)) for session in made}) == 1, "sessions of one pipeline differ"
    sizes = sorted(disk(session) for session in made)
    assert sizes[-1] - sizes[0] < 10_000, "a session is larger than another"
    assert sorted(path.name for path in project.folder.iterdir()) == [".osiris_sessions", "cache", "osiris.lock", "out.csv", "pipeline.yaml", "tmp"]
    assert list((project.folder / "tmp").iterdir()) == []
    assert sorted(path.name for path in (project.folder / ".osiris_sessions").iterdir() if path.is_file()) == [".gitignore", "reuse.key"]
    # For each driver its compiled form and its description, and no incomplete files.
    kept = sorted((path.stem[:64], path.suffix) for path in (project.folder / "cache").iterdir())
    assert kept == sorted((driver, suffix) for driver in {driver for driver, _ in kept} for suffix in (".cwasm", ".spec"))
    assert running(program(project)) == []


def test_consecutive_runs_leave_nothing_behind_and_do_not_grow(small):
    runs = [run(small) for _ in range(RUNS)]
    check_nothing_is_left(small, RUNS + 1)
    seconds, resident = [each[0] for each in runs], [each[1] for each in runs]
    tenth = max(RUNS // 10, 5)
    # Each run lists the sessions before it, so some growth is expected: a thousand of them may cost 50 ms.
    assert statistics.median(seconds[-tenth:]) < 1.5 * statistics.median(seconds[:tenth]) + 0.05
    assert statistics.median(resident[-tenth:]) < 1.1 * statistics.median(resident[:tenth])
    print(f"{RUNS} runs: {statistics.median(seconds[:tenth]):.3f} s of CPU time each at first, {statistics.median(seconds[-tenth:]):.3f} s at last; "
          f"{statistics.median(resident[:tenth]) / 1e6:.1f} MB at first, {statistics.median(resident[-tenth:]) / 1e6:.1f} MB at last")


def test_simultaneous_runs_do_not_interfere_with_each_other(small):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = [each[2] for each in pool.map(lambda _: run(small), range(AT_ONCE))]
    assert not [text for text in said if "lock" in text.lower() or "warn" in text.lower()]
    check_nothing_is_left(small, AT_ONCE + 1)
    assert (small.folder / "out.csv").read_text().count("\n") == 11
