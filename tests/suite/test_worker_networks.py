"""The network between a host and its worker is cut, mended, slow or far: a run gives the right result, or says within its
deadline what it lost. Never does half a file remain, or does a step count twice."""

import itertools
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from conftest import CANARY, GUESTS, OSIRIS, Project, lines
from cut_proxy import CutProxy, DelayProxy
from links import Links, missing
from ssh_server import SshServer, ssh_server  # noqa: F401, a fixture

MISSING = missing()
# What the documentation promises: a silent worker is lost after a minute, and looked at every five seconds.
GIVEN_UP = 60
# The bytes of a file that travels for a while.
LARGE = 6_000_000


class Run:
    """A run of its own in a folder of its own, with one step whose work is to be found in `doing`."""

    def __init__(self, folder: Path, doing: str, ssh: str, before: list[str], retries: int = 2, large: int = LARGE):
        self.project, self.place, self.doing = Project(folder / doing), folder / doing / "workers", doing
        self.project.folder.mkdir()
        step, self.rows = {
            # Random numbers do not become smaller.
            "receives": (self.project.sql(f"select hash(i) as a from range({large // 8}) t(i)"), large // 8),
            "runs": (self.project.sql("select count(*) as a from range(20_000) a, range(20_000) b where hash(a.range, b.range) % 7 = 0"), 1),
            "sends": ({"id": "source", "component": "filesystem.csv_extractor", "config": {"path": "in.csv"}}, large // 1000),
        }[doing.split("-")[0]]
        if doing.startswith("sends"):
            self.project.write("in.csv", "a\n" + "".join(f"{os.urandom(499).hex()}\n" for _ in range(self.rows)))
        self.project.pipeline([step | {"retries": retries}])
        self.on = f"{ssh} build1 {OSIRIS} worker --slots 1 --dir {self.place}"
        command = [*before, str(OSIRIS), "run", "pipeline.yaml", "--no-cache", "--json", "--on", self.on]
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CANARY": CANARY}
        self.errors = folder / f"{doing}.errors"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(command, cwd=self.project.folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)

    def is_at_it(self) -> bool:
        """Whether what is being done is half done."""
        pattern, least = {
            "receives": (".osiris_sessions/*/scratch/*/output.duckdb", LARGE // 3),
            "runs": ("workers/worker-*/attempt-*/scratch/output.duckdb", 0),
            "sends": ("workers/worker-*/blobs/*.part", LARGE // 3),
        }[self.doing.split("-")[0]]
        return any(size_of(file) >= least for file in self.project.folder.glob(pattern))

    def wait_until(self, condition, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline and self.process.poll() is None, f"{self.doing}: {self.errors.read_text()}"
            time.sleep(0.02)

    def says(self, words: str) -> bool:
        return words in self.errors.read_text()

    def end(self) -> dict:
        out, _ = self.process.communicate(timeout=120)
        result = json.loads(out)
        session = Path(result["session_path"])
        assert not (session / "scratch").exists()
        completed = [event for event in lines(session / "logs" / "events.jsonl") if event["event"] == "step_complete"]
        done = result["steps"][0]["status"] == "success"
        assert len(completed) == done and len(list((session / "data").iterdir())) == done, self.errors.read_text()
        assert not done or self.project.rows(result, "source", "select count(*) from main") == [(self.rows,)]
        return result["steps"][0]

    def wait_until_its_workers_are_gone(self, by: float) -> None:
        while left := list(self.place.glob("worker-*")):
            assert time.monotonic() < by, f"{left} outlived its host"
            time.sleep(0.1)


def size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return -1


@pytest.fixture
def lines_apart(tmp_path, tmp_path_factory):
    """Starts runs, each over a link of its own that takes 16 Mbit/s, or so many."""
    if MISSING:
        pytest.skip(f"this machine gives a test no links of its own, so none was cut or throttled: {MISSING}")
    number = itertools.count()
    with Links(6) as links, SshServer(tmp_path_factory.mktemp("ssh"), 2222, listen="0.0.0.0", before=links.inside("w")) as server:
        server.wait()

        def start(doing: str, kilobits: int = 16_000, **more) -> Run:
            link = next(number)
            links.throttle(link, kilobits)
            run = Run(tmp_path, doing, server.command(f"10.77.{link}.2"), links.inside("h"), **more)
            run.cut, run.mend = lambda: links.cut(link), lambda: links.mend(link)
            return run

        yield start


def test_a_link_that_is_back_after_seconds_costs_only_time(lines_apart):
    runs = []
    for doing in ("receives", "runs", "sends"):
        run = lines_apart(doing)
        run.wait_until(run.is_at_it, 30)
        run.cut()
        runs.append(run)
    for run in runs:
        run.mend()
    for run in runs:
        step = run.end()
        assert (step["status"], step["attempts"]) == ("success", 1), run.errors.read_text()
        run.wait_until_its_workers_are_gone(time.monotonic() + 10)


def test_a_link_that_stays_down_loses_the_worker_within_a_minute_and_a_slow_one_does_not(lines_apart):
    """At once, since each takes a minute or more: cut in each phase, with retries and without; and transfers that take as
    long, at 1 Mbit/s and at the slowest speed that is supported, 16 KiB/s: buffers on the way hold all of that one."""
    slow = [lines_apart(f"{doing}-slowly", kilobits, retries=0, large=large) for doing, kilobits, large in (("receives", 1_000, 8_000_000), ("sends", 131, 500_000))]
    begun = {}
    for doing, retries in (("receives", 2), ("runs", 2), ("sends", 2), ("runs-once", 0)):
        run = lines_apart(doing, retries=retries)
        run.wait_until(run.is_at_it, 30)
        run.cut()
        begun[run] = time.monotonic()
    for run in begun:
        while not run.says("was lost"):
            time.sleep(0.1)
            assert time.monotonic() - begun[run] < GIVEN_UP + 15, run.errors.read_text()
        assert time.monotonic() - begun[run] > GIVEN_UP - 5, run.errors.read_text()
        run.mend()
    for run in begun:
        step = run.end()
        if run.doing == "runs-once":
            assert (step["error"]["kind"], step["error"]["blame"]) == ("lost", "host") and "for 60 s" in step["error"]["message"]
            assert str(run.place) in step["error"]["message"] and "retries" in step["error"]["hint"]
        else:
            assert (step["status"], step["attempts"]) == ("success", 2), run.errors.read_text()
        run.wait_until_its_workers_are_gone(begun[run] + 130)
    for run in slow:
        assert run.end()["status"] == "success", run.errors.read_text()


@pytest.mark.parametrize("way, after, reached", [("up", 1_500, False), ("up", 500_000, True), ("down", 1_500, False), ("down", 500_000, True)])
def test_a_connection_that_breaks_in_the_middle_of_a_frame_is_replaced(tmp_path, ssh_server, way, after, reached):
    doing = "sends" if way == "up" else "receives"
    with CutProxy(ssh_server.port, **{way: after}, once=True) as proxy:
        run = Run(tmp_path, doing, ssh_server.command(port=proxy.port), [], large=1_000_000)
        if not reached:
            out, _ = run.process.communicate(timeout=60)
            assert run.process.returncode == 3 and "cannot reach worker" in json.loads(out)["error"]["message"], out
            assert not list(run.project.folder.glob(".osiris_sessions/session_*"))
        else:
            step = run.end()
            assert (step["status"], step["attempts"]) == ("success", 2), run.errors.read_text()
        assert proxy.cuts == 1
    run.wait_until_its_workers_are_gone(time.monotonic() + 10)


def test_a_worker_far_away_is_only_slower(tmp_path, ssh_server):
    with DelayProxy(ssh_server.port, 0.3) as proxy:
        begun = time.monotonic()
        run = Run(tmp_path, "sends", ssh_server.command(port=proxy.port), [], retries=0, large=1_000_000)
        assert run.end()["status"] == "success", run.errors.read_text()
        assert time.monotonic() - begun < 15
