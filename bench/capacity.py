"""What a step costs besides its work: time, processor time, memory, requests, bytes on disk and in pipes. `docs/scale-out.md` calculates
with these figures. `bench/capacity.py steps` measures one group.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "suite"))
from conftest import OSIRIS, TARGET  # noqa: E402
from executors import chain  # noqa: E402
from s3_proxy import S3Proxy  # noqa: E402
from s3_server import SeaweedFs, Store  # noqa: E402

STEPS, ROUNDS = 20, int(os.environ.get("BENCH_ROUNDS", 5))
WORKER = ["--on", f"{OSIRIS} worker --slots 1"]
TICK = os.sysconf("SC_CLK_TCK")


class Run:
    """One run with what it used: wall seconds, processor seconds of the host and of its children, and the peak memory by role."""

    def __init__(self, folder: Path, steps: list[dict], *arguments: str, env: dict[str, str] = {}, watch: bool = False):
        (folder / "pipeline.yaml").write_text(json.dumps({"oml_version": "0.1.0", "name": "bench", "steps": steps}))
        command = [OSIRIS, "run", "pipeline.yaml", "--no-cache", "--json", *arguments]
        begun = time.perf_counter()
        with open(folder / "out", "w+") as out, open(folder / "err", "w+") as err:
            process = subprocess.Popen(command, cwd=folder, env=os.environ | {"OSIRIS_DRIVERS": str(TARGET / "drivers")} | env, stdout=out, stderr=err)
            self.memory: Counter = Counter()
            # As a zombie, it still has its times and those of its children apart.
            while watch and not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                self._look(process.pid)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            self.wall = time.perf_counter() - begun
            times = [int(value) / TICK for value in Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:15]]
            self.host, self.children = sum(times[:2]), sum(times[2:])
            assert process.wait() == 0, (folder / "err").read_text()
            self.result = json.loads((folder / "out").read_text())
            self.session = Path(self.result["session_path"])

    def _look(self, host: int) -> None:
        ours = {host}
        # A child has a higher number than its parent here, unless they have started again from the lowest.
        for process in sorted(int(entry.name) for entry in Path("/proc").glob("[0-9]*")):
            try:
                parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
                if process != host and parent not in ours:
                    continue
                ours.add(process)
                peak = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmHWM"))
                role = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[1].decode()
                self.memory[role] = max(self.memory[role], int(peak.split()[1]) / 1000)
            except (OSError, StopIteration, IndexError):
                pass


def shown(values: list[float], unit: str, factor: float = 1) -> str:
    return f"{statistics.median(values) * factor:.1f} ({min(values) * factor:.1f}) {unit}"


def places() -> dict[str, list[str]]:
    return {"local": [], "worker": WORKER}


def steps(folder: Path) -> None:
    """A step of 100 rows: what the second to the last of a chain add to a run of one."""
    found = {place: ([], [], []) for place in places()}
    for _ in range(ROUNDS + 1):
        for place, arguments in places().items():
            one, many = Run(folder, chain(1), *arguments), Run(folder, chain(STEPS + 1), *arguments)
            for values, name in zip(found[place], ("wall", "host", "children")):
                values.append((getattr(many, name) - getattr(one, name)) / STEPS)
    for place, (wall, host, children) in found.items():
        print(f"a step, {place}: {shown(wall[1:], 'ms', 1000)}; processor time of the host {shown(host[1:], 'ms', 1000)}, of its children {shown(children[1:], 'ms', 1000)}", flush=True)
    runs = [Run(folder, chain(1)) for _ in range(ROUNDS)]
    print(f"a run of one step, local: {shown([run.wall for run in runs], 'ms', 1000)}; processor time {shown([run.host + run.children for run in runs], 'ms', 1000)}", flush=True)


def memory(folder: Path) -> None:
    for place, arguments in places().items():
        run = Run(folder, chain(STEPS), *arguments, watch=True)
        print(f"peak memory, {place}: " + ", ".join(f"{role} {peak:.0f} MB" for role, peak in sorted(run.memory.items())), flush=True)


def sessions(folder: Path) -> None:
    """What a session takes on disk, and whether those before it slow a run down."""
    def measured(session: Path) -> tuple[int, int, int, int]:
        files = [file for file in session.rglob("*") if file.is_file()]
        lines = sum((session / "logs" / name).read_bytes().count(b"\n") for name in ("events.jsonl", "metrics.jsonl"))
        logs = sum(file.stat().st_size for file in (session / "logs").iterdir())
        return len(files), sum(file.stat().st_blocks * 512 for file in files), lines, logs

    one, many = measured(Run(folder, chain(1)).session), measured(Run(folder, chain(STEPS + 1)).session)
    each = [(b - a) / STEPS for a, b in zip(one, many)]
    print(f"a step in a session: {each[0]:.0f} files, {each[1] / 1000:.0f} kB, of which {each[3]:.0f} bytes are {each[2]:.1f} lines of logs; a session besides: {(one[1] - each[1]) / 1000:.0f} kB", flush=True)
    few = [Run(folder, chain(1)).wall for _ in range(ROUNDS)]
    template = Run(folder, chain(1)).session
    for count in (1_000, 10_000):
        for number in range(len(list(template.parent.iterdir())), count):
            session = template.parent / f"session_20200101_{number // 10:06}_{number:06}"
            shutil.copytree(template, session, ignore=shutil.ignore_patterns("*.duckdb"))
        after = [Run(folder, chain(1)).wall for _ in range(ROUNDS)]
        print(f"a run of one step: {shown(few, 'ms', 1000)}, with {count:,} sessions: {shown(after, 'ms', 1000)}", flush=True)
    begun = time.perf_counter()
    subprocess.run([OSIRIS, "sessions", "list"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    print(f"`osiris sessions list`: {(time.perf_counter() - begun) * 1000:.0f} ms", flush=True)


def pipe(folder: Path) -> None:
    """Bytes from a worker of this machine, and to it."""
    # Values that do not compress, so that the file is as large as what it is made of.
    make = {"id": "make", "component": "duckdb.processor", "needs": [], "config": {"query": "select hash(i) as a, hash(i + 1) as b, hash(i + 2) as c, hash(i + 3) as d from range(30000000) t(i)"}}
    count = {"id": "count", "component": "duckdb.processor", "needs": ["make"], "config": {"query": "select count(*) as n from make"}}
    (folder / "osiris.yaml").write_text(json.dumps({"workers": {"w": {"command": WORKER[1]}}}))
    down, up = [], []
    for _ in range(ROUNDS):
        local = {step["id"]: step["duration_ms"] for step in Run(folder, [make, count]).result["steps"]}
        there = {step["id"]: step["duration_ms"] for step in Run(folder, [make | {"on": "w"}]).result["steps"]}
        run = Run(folder, [make, count | {"on": "w"}])
        size = (run.session / "data" / "make.duckdb").stat().st_size
        sent = {step["id"]: step["duration_ms"] for step in run.result["steps"]}
        down.append(size / 1000 / (there["make"] - local["make"]))
        up.append(size / 1000 / (sent["count"] - local["count"]))
        shutil.rmtree(folder / ".osiris_sessions")
    print(f"{size / 1e6:.0f} MB from a worker: {statistics.median(down):.0f} MB/s, to it: {statistics.median(up):.0f} MB/s", flush=True)


def requests(folder: Path) -> None:
    """What a step asks of an object store."""
    server = SeaweedFs(folder / "seaweedfs").start()
    proxy = S3Proxy(server.port)
    try:

        def asked(steps: int, *arguments: str) -> Counter:
            # Objects that are there already would not be stored again.
            store = Store(server.bucket(), f"bench-{time.monotonic_ns()}", proxy.port)
            proxy.asked.clear()
            Run(folder, chain(steps), "--exchange", store.url, *arguments, env=store.env)
            return Counter(method for method, _ in proxy.asked)

        for place, arguments in places().items():
            one, many = asked(1, *arguments), asked(STEPS + 1, *arguments)
            each = ", ".join(f"{(many[method] - one[method]) / STEPS:.1f} {method}" for method in sorted(many))
            print(f"requests of a step, {place}: {each}; of a run with one step: {dict(one)}", flush=True)
    finally:
        proxy.close()
        server.remove()


GROUPS = {"steps": steps, "memory": memory, "sessions": sessions, "pipe": pipe, "requests": requests}

if __name__ == "__main__":
    for name in sys.argv[1:] or GROUPS:
        with tempfile.TemporaryDirectory(prefix="osiris-bench-") as place:
            GROUPS[name](Path(place))
