"""Runs whose steps exchange data through an object store, for tests: a pipeline, two workers, hosts that can be killed, and what must be
true of a store whatever happened.
"""

import hashlib
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from conftest import CANARY, GUESTS, OSIRIS, TARGET, Project, holding
from http_server import Server
from http_steps import grant, step
from s3_server import CREDENTIALS, Store

DRIVERS = f"{GUESTS}:{TARGET / 'drivers'}"
ROWS = 1_200_000
# The secret that the step `read` sends to its server.
TOKEN = "secret.on.its.way.to.a.worker.91ce"
EXPECTED = "n,s\n1200000,599514647\n"


def eventually(condition, what: str, seconds: float = 60):
    """Waits for what other processes do; returns what the condition found."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)
    return found


class Far:
    """A project whose steps run on two workers, `one` and `two`, that have nothing in common but the store.

    `read` asks `web` for rows, with a secret. `make` makes an output of 19 MB: three parts. `sum` reads it on the other worker,
    and `out` writes what it found to `out.csv`, on the host. `within` runs in the middle of the step `read`.
    """

    def __init__(self, project: Project, web: Server, store: Store, workers: Path):
        self.project, self.store, self.workers = project, store, workers
        project.on = []
        self.within = lambda: None
        self.retries = 0

        def answer(request):
            assert TOKEN in request.headers["authorization"]
            self.within()
            return [{"n": n} for n in range(10)]

        web.route("/items", answer)
        grant(project, web, token=TOKEN)
        self.env = {"OSIRIS_DRIVERS": DRIVERS} | store.env
        for name in ("one", "two"):
            (workers / name).mkdir(parents=True)
        commands = {name: {"command": f"exec {OSIRIS} worker --slots 2 --dir {workers / name}"} for name in ("one", "two")}
        project.write("osiris.yaml", json.dumps({"workers": commands}))

    def pipeline(self, **more) -> None:
        sql = lambda id, needs, on, query: {"id": id, "component": "duckdb.processor", "needs": needs, "on": on, "retries": self.retries, "config": {"query": query}}  # noqa: E731
        read = step(connection="@http.api0", path="/items", max_retries=0) | {"on": "one", "retries": self.retries}
        make = sql("make", ["read"], "one", f"select hash(i) as a, hash(i + 1) as b from range({ROWS}) t(i), (select count(*) from read)")
        total = sql("sum", ["make"], "two", "select count(*) as n, sum(a % 1000)::bigint as s from make")
        out = {"id": "out", "component": "filesystem.csv_writer", "needs": ["sum"], "retries": self.retries, "config": {"path": "out.csv"}}
        self.project.pipeline([read, make, total, out], **more)

    def run(self, *arguments: str, expect: int = 0, pipeline: bool = True, env: dict[str, str] = {}) -> dict:
        if pipeline:
            self.pipeline()
        return self.project.run(None, "--exchange", self.store.url, *arguments, env=self.env | env, expect=expect)

    def resume(self, session: str, **more) -> dict:
        return self.run("--resume", session, **more)

    def start(self, *arguments: str, folder: Path | None = None) -> "Host":
        """A run in this project, or in another folder with the same pipeline."""
        self.pipeline()
        if folder:
            folder.mkdir()
            for file in ("pipeline.yaml", "osiris.yaml", "osiris_connections.yaml", "osiris.lock"):
                if (self.project.folder / file).exists():
                    (folder / file).write_bytes((self.project.folder / file).read_bytes())
        return Host(self, folder or self.project.folder, *arguments)

    def session(self) -> str:
        """The newest session of the store."""
        return max(key.split("/")[1] for key in self.store.keys("sessions/"))

    def let_go(self, session: str) -> None:
        """Lets the lease of a session run out without waiting for it."""
        last = max(key.split("/")[-1].removesuffix(".json") for key in self.store.keys(f"sessions/{session}/hosts/"))
        self.store.put(f"sessions/{session}/beats/{last}", b"ended")

    def records(self, session: str) -> dict[str, bytes]:
        """The records of the steps that are done."""
        keys = self.store.keys(f"sessions/{session}/steps/")
        return {key.split("/")[-1].removesuffix(".json"): self.store.get(key) for key in keys}

    def check(self, result: dict | None = None) -> None:
        """What must be true whatever happened: whole objects, no secrets; and of a run that succeeded, its result."""
        for key in self.store.keys("objects/"):
            assert hashlib.sha256(self.store.get(key)).hexdigest() == key.removeprefix("objects/")
        secrets = (TOKEN, CREDENTIALS.secret, CANARY)
        assert [(secret, self.store.holding(secret)) for secret in secrets if self.store.holding(secret)] == []
        assert [file for secret in secrets for file in holding(self.project.folder, secret)] == []
        if result:
            assert result["status"] == "success" and CREDENTIALS.secret not in json.dumps(result)
            assert set(self.records(Path(result["session_path"]).name)) == {"read", "make", "sum", "out"}
            assert (self.project.folder / "out.csv").read_text() == EXPECTED

    def failed(self, result: dict, step: str) -> dict:
        """The error of the step at which a run ended, of which nothing is left."""
        [error] = [one["error"] for one in result["steps"] if one["status"] == "failed"]
        assert result["step"][step]["error"] == error
        session = Path(result["session_path"])
        assert not (session / "data" / f"{step}.duckdb").exists() and not (session / "scratch").exists()
        assert step not in self.records(session.name) and not (self.project.folder / "out.csv").exists()
        self.check()
        return error


class Host:
    """A run in the background."""

    def __init__(self, far: Far, folder: Path, *arguments: str):
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_CANARY": CANARY} | far.env
        command = [str(OSIRIS), "run", "pipeline.yaml", "--json", "--exchange", far.store.url, *arguments]
        self.folder = folder
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, timeout: float = 120) -> tuple[int, dict, str]:
        out, said = self.process.communicate(timeout=timeout)
        return self.process.returncode, json.loads(out) if out.strip() else {}, said


def worker_in(folder: Path) -> list[int]:
    """The worker that was started with `--dir folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments[0] == str(OSIRIS).encode() and b"worker" in arguments and str(folder).encode() in arguments:
            found.append(int(process.name))
    return found


def command_lines(sought: str) -> list[str]:
    """The command lines of all processes that contain a text."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if sought in line:
            found.append(line)
    return found


def later(seconds: float, action) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer
