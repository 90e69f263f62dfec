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

STEPS, ROUNDS, BRANCHES, ROWS = 20, int(os.environ.get("BENCH_ROUNDS", 5)), 8, 3_000_000
GOAL = 150
# One core, one step at a time.
PINNED = "taskset -c {core} {osiris} worker --slots 1"


def run(folder: Path, steps: list[dict], *arguments: str) -> tuple[float, dict]:
    """Runs steps; returns the milliseconds that the run says it took, and its result."""
    (folder / "pipeline.yaml").write_text(json.dumps({"oml_version": "0.1.0", "name": "bench", "steps": steps}))
    command = [OSIRIS, "run", "pipeline.yaml", "--json", *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | {"OSIRIS_DRIVERS": str(TARGET / "drivers")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    return result["duration_ms"], result


def shown(times: list[float]) -> str:
    return f"{statistics.median(times):.0f} ({min(times):.0f})"


def overhead(folder: Path) -> None:
    """A chain of steps of 100 rows: what each step takes more than on this machine."""
    chain = [{"id": "s0", "component": "duckdb.processor", "needs": [], "config": {"query": "select range as i from range(100)"}}]
    chain += [{"id": f"s{n}", "component": "duckdb.processor", "needs": [f"s{n - 1}"], "config": {"query": f"select i + 1 as i from s{n - 1}"}} for n in range(1, STEPS)]
    places = {"local": [], "command": ["--on", f"{OSIRIS} worker"]}
    times = {place: [] for place in places}
    for place, arguments in list(places.items()) * (ROUNDS + 1):
        times[place].append(run(folder, chain, *arguments)[0] / STEPS)
    local = statistics.median(times["local"][1:])
    for place in places:
        taken = times[place][1:]
        more = "" if place == "local" else f", {statistics.median(taken) - local:.0f} ms more than locally, goal {GOAL}"
        print(f"a step of 100 rows, {place}: {shown(taken)} ms{more}", flush=True)


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
    with tempfile.TemporaryDirectory(prefix="osiris-bench-") as place:
        overhead(Path(place))
        branches(Path(place))
