"""What a driver costs in each language, beside native code of the same language: `make bench`, or `bench/languages.py rust c`.

A native figure is the time of DuckDB, which reads the same table and writes the same result with Python, plus the time of the
native program that computes between. Native programs and steps alternate. Figures are medians, with the fastest in brackets. The
ratio of processor times is steadier than that of the clock if others use the machine; it has the start of Osiris and of the step's
process on Osiris's side.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "suite"))
from conftest import OSIRIS, TARGET  # noqa: E402
from languages import BUILT_WITH, LANGUAGES, SDK, driver  # noqa: E402

HERE = ROOT / "bench" / "languages"
SOURCES = {"rust": "Cargo.toml", "python": "driver.py", "typescript": "driver.ts", "go": "driver.go", "c": "driver.c"}
HELLO = {
    "rust": ROOT / "examples" / "hello-driver" / "Cargo.toml", "python": SDK / "python/examples/hello/driver.py", "c": SDK / "c/examples/hello.c",
    "typescript": SDK / "typescript/examples/hello/driver.ts", "go": SDK / "go/examples/hello/driver.go",
}  # fmt: skip
ROWS, RECORDS, ANSWERS, ROUNDS = 2_000_000, 1_000_000, 100_000, int(os.environ.get("BENCH_ROUNDS", 5))
# What the sandbox and the crossing may cost at most; the other languages are only reported.
GOALS = {"rust": 1.5, "go": 2.0, "c": 2.0}
WARM = {"rust": 40, "c": 40, "go": 40, "typescript": 50, "python": 60}
SOURCE = "select (hash(i) % 1000000007)::bigint as a, i * 3 as b, 'row ' || i as s from range({}) t(i)"


class Bench:
    """A folder with inputs, and the drivers and native programs of the languages."""

    def __init__(self, folder: Path, chosen: list[str]):
        self.folder, self.drivers = folder, folder / "drivers"
        template = (HERE / "spec.yaml").read_text()
        self.names = {}
        for language in chosen:
            spec = folder / f"{language}.yaml"
            spec.write_text(template.replace("bench.LANGUAGE", f"bench.{language}"))
            driver(HERE / language / SOURCES[language], self.drivers, spec=spec)
            hello = HELLO[language]
            own = hello.with_suffix(".yaml") if language == "c" else hello.with_name("spec.yaml")
            self.names[language] = driver(hello, self.drivers, spec=own)

    def pipeline(self, *steps: dict) -> None:
        (self.folder / "pipeline.yaml").write_text(json.dumps({"oml_version": "0.1.0", "name": "bench", "steps": steps}))

    def run(self, **env: str) -> dict[str, float]:
        """Runs the pipeline; returns the milliseconds of each step, and keeps those of the processor for all of it."""
        before = children_time()
        command = [OSIRIS, "run", "pipeline.yaml", "--no-cache", "--json", "--jobs", "1", "--drivers", self.drivers]
        done = subprocess.run(command, cwd=self.folder, env=os.environ | {"OSIRIS_DRIVERS": str(TARGET / "drivers")} | env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        result = json.loads(done.stdout)
        self.session, self.cpu = Path(result["session_path"]), children_time() - before
        return {step["id"]: step["duration_ms"] for step in result["steps"]}


def children_time() -> float:
    """The processor time in milliseconds of all processes that have been waited for."""
    times = os.times()
    return (times.children_user + times.children_system) * 1000


def shown(times: list[float]) -> str:
    return f"{statistics.median(times):.0f} ({min(times):.0f})"


def hello(bench: Bench, language: str) -> None:
    """Size, time to compile, first and warm step of the smallest driver."""
    name = bench.names[language].stem
    bench.pipeline({"id": "hello", "component": name, "config": {"names": ["Ada", "Grace"]}})
    (bench.folder / "osiris.lock").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as cache:
        begun = time.perf_counter()
        first = bench.run(OSIRIS_CACHE_DIR=cache)["hello"]
        whole = (time.perf_counter() - begun) * 1000
        warm = [bench.run(OSIRIS_CACHE_DIR=cache)["hello"] for _ in range(3 * ROUNDS)]
    size = bench.names[language].stat().st_size / 1e6
    print(f"{language}: hello {size:.2f} MB; first run with compilation {whole:.0f} ms, its step {first:.0f}; warm step {shown(warm)} ms, goal {WARM[language]}", flush=True)


def native(language: str) -> list[str]:
    """The command of the native program, which is built."""
    folder = TARGET / "language-drivers" / "native"
    folder.mkdir(parents=True, exist_ok=True)
    program = str(folder / language)
    if language == "python":
        return [sys.executable, str(HERE / "python" / "native.py")]
    if language == "typescript":
        return ["node", str(HERE / "typescript" / "native.mjs")]
    if language == "go":
        subprocess.run([BUILT_WITH["GO"], "build", "-o", program, "main.go"], cwd=HERE / "go" / "native", check=True)
    elif language == "c":
        sources = [HERE / "c" / "native.c", *(SDK / "c" / "src").glob("*.c"), SDK / "c" / "test" / "host.c"]
        subprocess.run([os.environ.get("HOST_CC", "cc"), "-std=gnu11", "-O2", f"-I{SDK / 'c'}", *sources, "-o", program, "-lm"], check=True)
    else:
        subprocess.run(["cargo", "build", "--quiet", "--release", "--package", "language-bench", "--bin", "language-bench-native"], cwd=ROOT, check=True)
        program = str(TARGET / "release" / "language-bench-native")
    return [program]


@dataclass
class Taken:
    """Milliseconds by the clock and by the processor, of each round."""

    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, clock: float, cpu: float) -> None:
        self.clock.append(clock)
        self.cpu.append(cpu)

    def measure(self, act) -> None:
        begun, used = time.perf_counter(), time.process_time() * 1000 + children_time()
        act()
        self.add((time.perf_counter() - begun) * 1000, time.process_time() * 1000 + children_time() - used)


def columns_by_duckdb(bench: Bench, source: Path) -> None:
    """Reads the input as Arrow, and writes the result from Arrow, with the computed column that is there already."""
    out = bench.folder / "native.duckdb"
    out.unlink(missing_ok=True)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"attach '{source}' as i (read_only)")
        read = connection.execute("from i.main.main").to_arrow_table()
        computed = read.append_column("c", read.column("a"))
        connection.execute(f"attach '{out}' as o")
        connection.execute("create table o.main.main as from computed")


def records_by_duckdb(bench: Bench, source: Path) -> None:
    """Writes the input as JSON lines, and makes the result of JSON lines."""
    out = bench.folder / "native.duckdb"
    out.unlink(missing_ok=True)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"attach '{source}' as i (read_only); attach '{out}' as o")
        connection.execute(f"copy (from i.main.main) to '{bench.folder}/in.jsonl' (format json)")
        connection.execute(f"create table o.main.main as from read_json('{bench.folder}/in.jsonl', format = 'newline_delimited', sample_size = -1)")


def buffers(bench: Bench, source: Path) -> None:
    """Writes the input's columns as Arrow's buffers."""
    with duckdb.connect(str(source), read_only=True) as connection:
        table = connection.execute("from main").to_arrow_table().combine_chunks()
    text = table.column("s").chunk(0)
    for name, buffer in (("a", table.column("a").chunk(0).buffers()[1]), ("b", table.column("b").chunk(0).buffers()[1]), ("o", text.buffers()[1]), ("s", text.buffers()[2])):
        (bench.folder / f"{name}.bin").write_bytes(buffer)


def computing(bench: Bench, chosen: list[str], mode: str, rows: int, by_duckdb, arguments: list[str]) -> None:
    """Steps that compute a column from three, beside native programs that do."""
    contestants = [(language, mode) for language in chosen]
    if mode == "records":
        contestants += [(language, "built") for language in chosen if language in ("python", "typescript")]
    source = {"id": "source", "component": "duckdb.processor", "needs": [], "config": {"query": SOURCE.format(rows)}}
    bench.pipeline(source)
    bench.run()
    table = bench.folder / "source.duckdb"
    table.write_bytes((bench.session / "data" / "source.duckdb").read_bytes())
    by_duckdb(bench, table)
    buffers(bench, table)
    programs = {language: native(language) + [mode, *arguments] for language in chosen}
    steps = {contestant: Taken() for contestant in contestants}
    alone = {language: Taken() for language in chosen}
    duckdb_alone = Taken()
    for _ in range(ROUNDS):
        bench.pipeline(source)
        bench.run()
        without = bench.cpu
        duckdb_alone.measure(lambda: by_duckdb(bench, table))
        for language, how in contestants:
            bench.pipeline(source, {"id": "step", "component": f"bench.{language}", "needs": ["source"], "config": {"mode": how}})
            steps[language, how].add(bench.run()["step"], bench.cpu - without)
        for language in chosen:
            begun = children_time()
            clock = float(subprocess.check_output(programs[language], text=True))
            alone[language].add(clock, children_time() - begun)
    for language, how in contestants:
        step, program = steps[language, how], alone[language]
        clock = statistics.median(step.clock) / (statistics.median(duckdb_alone.clock) + statistics.median(program.clock))
        cpu = statistics.median(step.cpu) / (statistics.median(duckdb_alone.cpu) + statistics.median(program.cpu))
        goal = f", goal {GOALS[language]}" if language in GOALS else ""
        print(f"{language}: {how} {rows / statistics.median(step.clock) / 1000:.2f} M rows/s, step {shown(step.clock)} ms; native {shown(program.clock)} ms and "
              f"DuckDB {shown(duckdb_alone.clock)} ms; ratio {clock:.2f}, of processor times {cpu:.2f}{goal}", flush=True)  # fmt: skip


def answers(bench: Bench, language: str) -> None:
    """An API's answers as they came and as rows, beside columns that are built value by value."""
    spec = bench.folder / f"api_{language}.yaml"
    spec.write_text((HERE / "api.yaml").read_text().replace("_LANGUAGE", f"_{language}"))
    driver(HERE / language / f"api{Path(SOURCES[language]).suffix}", bench.drivers, spec=spec)
    modes = ("text", "rows", "columns")
    times = {mode: [] for mode in modes}
    for mode in modes * (ROUNDS + 1):
        bench.pipeline({"id": "api", "component": f"bench.api_{language}", "config": {"mode": mode, "records": ANSWERS}})
        bench.run()
        metrics = [json.loads(line) for line in (bench.session / "logs" / "metrics.jsonl").read_text().splitlines()]
        times[mode].append(next(one["value"] for one in metrics if one["metric"] == "written_ms"))
    text, rows, columns = (statistics.median(times[mode][1:]) for mode in modes)
    print(f"{language}: {ANSWERS:,} records of an API by value {shown(times['columns'])} ms; as rows {shown(times['rows'])} ms, {columns / rows:.1f} times as fast; "
          f"as they came {shown(times['text'])} ms, {columns / text:.1f} times as fast, goal 5", flush=True)  # fmt: skip


def main() -> None:
    chosen = sys.argv[1:] or list(LANGUAGES)
    with tempfile.TemporaryDirectory(prefix="osiris-bench-") as folder:
        bench = Bench(Path(folder), chosen)
        for language in chosen:
            hello(bench, language)
        for language in {"python", "typescript"} & set(chosen):
            answers(bench, language)
        computing(bench, chosen, "columns", ROWS, columns_by_duckdb, [str(bench.folder)])
        computing(bench, chosen, "records", RECORDS, records_by_duckdb, [f"{folder}/in.jsonl", f"{folder}/out.jsonl"])


if __name__ == "__main__":
    main()
