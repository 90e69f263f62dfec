"""What it costs to run a step elsewhere, and what two workers gain over one: `make bench`, or `bench/executors.py`.

The workers run on this machine, so that what is measured is Osiris and not a network. Two workers of one core each gain nothing on
a machine with two cores that are busy: the host needs some time for what it receives.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "suite"))
from conftest import OSIRIS, TARGET  # noqa: E402
from ray_cluster import RayCluster  # noqa: E402
from ssh_server import SshServer, free_port  # noqa: E402

STEPS, ROUNDS, BRANCHES, ROWS = 20, int(os.environ.get("BENCH_ROUNDS", 5)), 8, 3_000_000
GOAL = 150
# One core, one step at a time.
PINNED = "taskset -c {core} {osiris} worker --slots 1"


def run(folder: Path, steps: list[dict], *arguments: str, env: dict[str, str] = {}) -> tuple[float, dict]:
    """Runs steps; returns the milliseconds that the run says it took, and its result."""
    (folder / "pipeline.yaml").write_text(json.dumps({"oml_version": "0.1.0", "name": "bench", "steps": steps}))
    command = [OSIRIS, "run", "pipeline.yaml", "--no-cache", "--json", *arguments]
    environment = os.environ | {"OSIRIS_DRIVERS": str(TARGET / "drivers")} | env
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    return result["duration_ms"], result


def shown(times: list[float]) -> str:
    return f"{statistics.median(times):.0f} ({min(times):.0f})"


def chain(steps: int) -> list[dict]:
    """Steps of 100 rows, each of which needs the one before it."""
    first = {"id": "s0", "component": "duckdb.processor", "needs": [], "config": {"query": "select range as i from range(100)"}}
    return [first] + [{"id": f"s{n}", "component": "duckdb.processor", "needs": [f"s{n - 1}"], "config": {"query": f"select i + 1 as i from s{n - 1}"}} for n in range(1, steps)]


def overhead(folder: Path, places: dict[str, list[str]], env: dict[str, str] = {}, goal: str = "") -> None:
    """What each step of a chain takes once its worker is connected: what more steps add to a run of one."""
    times = {place: [] for place in {"local": []} | places}
    for _ in range(ROUNDS + 1):
        for place in times:
            one, many = (run(folder, chain(steps), *places.get(place, []), env=env)[0] for steps in (1, STEPS + 1))
            times[place].append((many - one) / STEPS)
    local = statistics.median(times["local"][1:])
    for place in times:
        taken = times[place][1:]
        more = "" if place == "local" else f", {statistics.median(taken) - local:.0f} ms more than locally{goal}"
        print(f"a step of 100 rows, {place}: {shown(taken)} ms{more}", flush=True)


def on_ssh(folder: Path) -> None:
    (folder / "ssh").mkdir()
    with SshServer(folder / "ssh", free_port()) as server:
        server.wait()
        overhead(folder, {"command": ["--on", f"{OSIRIS} worker"], "ssh": ["--on", f"{server.command()} build1 {OSIRIS} worker"]}, goal=f", goal {GOAL}")


def on_ray(folder: Path) -> None:
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "PATH": f"{OSIRIS.parent}:{os.environ['PATH']}"}
    cluster = RayCluster()
    try:
        cluster.ensure("one")
        overhead(folder, {"ray": ["--on", f"ray:{cluster.address}"]}, cluster.environment())
    finally:
        cluster.cluster.shutdown()


def branches(folder: Path) -> None:
    """Independent branches on one worker and on two, each with one core."""
    query = f"select i, hash(i) % 1000 as k, 'row ' || i as s from range({ROWS}) t(i)"
    steps = [{"id": f"b{n}", "component": "duckdb.processor", "needs": [], "config": {"query": query}} for n in range(BRANCHES)]
    workers = {f"w{core}": {"command": PINNED.format(core=core, osiris=OSIRIS)} for core in (0, 1)}
    (folder / "osiris.yaml").write_text(json.dumps({"workers": workers}))
    times = {1: [], 2: []}
    for _ in range(ROUNDS):
        for count in times:
            placed = [step | {"on": f"w{number % count}"} for number, step in enumerate(steps)]
            begun = time.perf_counter()
            run(folder, placed)
            times[count].append((time.perf_counter() - begun) * 1000)
    ratio = statistics.median(times[1]) / statistics.median(times[2])
    print(f"{BRANCHES} branches of {ROWS:,} rows on workers of one core: one {shown(times[1])} ms, two {shown(times[2])} ms, {ratio:.2f} times as fast", flush=True)


if __name__ == "__main__":
    for measure in (on_ssh, on_ray, branches):
        with tempfile.TemporaryDirectory(prefix="osiris-bench-") as place:
            measure(Path(place))
