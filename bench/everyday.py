"""A data engineer's everyday tasks, done by Osiris and by the tool among sling, ingestr and dlt that needs the least for it: how many lines each
takes, and how long. `docs/compared.md` shows the result.

Run by `make bench`, or alone: `.deps/venv/bin/python bench/everyday.py [--tasks …]`. What a task made is checked before it counts.
"""

import argparse
import gzip
import json
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import psycopg
from databases import DEPS, DRIVERS, OSIRIS, PASSWORD, PACKAGES, ROOT, Failed, Project, Systems, found, install, measured

sys.path.insert(0, str(ROOT / "tests" / "suite"))
from xlsx_file import workbook  # noqa: E402

ROUNDS = 3
ROWS = 12_000
OML = 'oml_version: "0.1.0"\nname: everyday\nsteps:\n'

# What dlt runs, with the paths of source and target as arguments.
NESTED = """
import sys, json, dlt
source, target, folder = sys.argv[1:]
@dlt.resource(name="t", write_disposition="replace")
def rows():
    yield from map(json.loads, open(source))
pipeline = dlt.pipeline("nested", pipelines_dir=folder, destination=dlt.destinations.duckdb(target), dataset_name="main")
pipeline.run(rows())
"""
HIVE = """
import sys, dlt, pyarrow.dataset
source, target, folder = sys.argv[1:]
@dlt.resource(name="t", write_disposition="replace")
def rows():
    yield from pyarrow.dataset.dataset(source, partitioning="hive").to_batches()
pipeline = dlt.pipeline("hive", pipelines_dir=folder, destination=dlt.destinations.duckdb(target), dataset_name="main")
pipeline.run(rows())
"""


@dataclass
class Task:
    """One task: what each side runs, and a SELECT over what it made that must give `wanted`."""

    title: str
    osiris: list[str] | str
    """The arguments of `osiris copy`, or the steps of a pipeline."""
    rival: str
    command: Callable[["Everyday"], tuple[list, dict]]
    check: str
    wanted: tuple
    lines: int = 1
    """How many lines the rival's script or configuration has; a command is one."""
    prepare: Callable[["Everyday"], None] = field(default=lambda _: None)
    in_postgres: bool = False


class Everyday:
    """The sources of all tasks, and a target that is made anew for each run."""

    def __init__(self, systems: Systems, folder: Path):
        self.systems, self.folder, self.project = systems, folder, folder / "osiris"
        folder.mkdir()
        Project(systems, self.project, [])
        self.target = self.project / "target.duckdb"
        months = self.project / "monthly"
        months.mkdir()
        for month in range(24):
            # Columns come, go, and change places.
            columns = {"id": lambda row: row, "amount": lambda row: row / 4} | ({"note": lambda row: f"note {row}"} if month % 3 else {})
            names = list(columns) if month % 2 else list(reversed(columns))
            rows = [[columns[name](row) for name in names] for row in range(month * 500, month * 500 + 500)]
            (months / f"{2024 + month // 12}-{month % 12 + 1:02}.csv").write_text("\n".join(",".join(map(str, row)) for row in [names, *rows]) + "\n")
        events = [{"id": row, "user": {"name": f"user {row % 100}"}, "items": [{"sku": row, "n": 1}, {"sku": row + 1, "n": 2}]} for row in range(ROWS)]
        (self.project / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
        (self.project / "book.xlsx").write_bytes(workbook([["id", "name", "amount"], *([row, f"name {row}", row / 4] for row in range(ROWS))]))
        with sqlite3.connect(self.project / "app.db") as connection:
            connection.execute("create table orders (id integer primary key, name text, amount real)")
            connection.executemany("insert into orders values (?, ?, ?)", [(row, f"name {row}", row / 4) for row in range(ROWS)])
        connection.close()
        with duckdb.connect() as connection:
            connection.execute(f"create table t as select range as id, range / 4 as amount, 'name ' || range as name, range // 1000 as part from range({ROWS})")
            connection.execute(f"copy t to '{self.project}/lake' (format parquet, partition_by (part))")
            connection.execute(f"copy (select id, amount, name from t) to '{self.project}/rows.csv' (header)")
            connection.execute(f"copy (select id, -1 as amount, name from t where id >= {ROWS // 2}) to '{self.project}/changes.csv' (header)")
        with open(self.project / "rows.csv", "rb") as plain, gzip.open(self.project / "packed.csv.gz", "wb") as packed:
            shutil.copyfileobj(plain, packed)

    def url(self, more: str = "?sslmode=disable") -> str:
        return self.systems.url("postgres", "postgresql", more)

    def clear(self) -> None:
        for path in (self.target, self.target.with_suffix(".duckdb.wal")):
            path.unlink(missing_ok=True)
        for name in ("dlt", "state", "parts"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in (".osiris_sessions", ".osiris", "parts"):
            shutil.rmtree(self.project / name, ignore_errors=True)
        with self.systems.postgres.connect() as connection:
            connection.execute("drop table if exists copied")

    def sling(self, *options: str, environment: dict | None = None) -> tuple[list, dict]:
        home = self.folder / "sling"
        for extension in found("sling", "duckdb_cli").parent.glob("duckdb_extension_*/extensions/v*/*.duckdb_extension"):
            place = home / ".duckdb" / "extensions" / extension.parent.name / "linux_amd64"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(extension, place)
        more = {"HOME": str(home), "DUCKDB_PATH": str(found("sling", "duckdb_cli/duckdb")), "SLING_DISABLE_TELEMETRY": "true", "PG": self.url(), "OUT": f"duckdb://{self.target}"}
        return [found("sling", "sling_linux_amd64/bin/sling-linux-amd64"), "run", *options], more | (environment or {})

    def ingestr(self, source: str, table: str, target: str, target_table: str, *options: str) -> tuple[list, dict]:
        manifest = '[ADBC]\nversion = "1.1.0"\n[Driver]\nshared = "{}"\nentrypoint = "duckdb_adbc_init"\n'
        (self.folder / "duckdb.toml").write_text('name = "DuckDB"\nversion = "1"\n' + manifest.format(DEPS / "libduckdb" / "libduckdb.so"))
        places = ["--source-uri", source, "--source-table", table, "--dest-uri", target, "--dest-table", target_table, "--pipelines-dir", str(self.folder / "state")]
        return [DEPS / "bench-ingestr/bin/ingestr", "ingest", *places, *options, "--yes"], {"ADBC_DRIVER_PATH": str(self.folder), "INGESTR_DISABLE_TELEMETRY": "true"}

    def dlt(self, script: str, source: str) -> tuple[list, dict]:
        return [DEPS / "bench-dlt/bin/python", "-c", script, self.project / source, self.target, self.folder / "dlt"], {"RUNTIME__DLTHUB_TELEMETRY": "false"}

    def run_osiris(self, task: Task) -> float:
        if isinstance(task.osiris, str):
            (self.project / "task.yaml").write_text(OML + task.osiris)
            command = ["run", "task.yaml"]
        else:
            command = ["copy", *task.osiris]
        environment = {"BENCH_PASSWORD": PASSWORD, "OSIRIS_CACHE_DIR": str(self.project / "cache")}
        return measured([OSIRIS, *command, "--drivers", DRIVERS], self.project, environment).wall

    def run_rival(self, task: Task) -> float:
        command, environment = task.command(self)
        return measured(command, self.project, environment).wall

    def made(self, task: Task) -> tuple:
        if task.in_postgres:
            with self.systems.postgres.connect() as connection:
                return connection.execute(task.check).fetchone()
        with duckdb.connect(str(self.target), read_only=True) as connection:
            return connection.execute(task.check).fetchone()


def old_table(everyday: Everyday) -> None:
    with duckdb.connect(str(everyday.target)) as connection:
        connection.execute(f"create table t as select * from read_csv('{everyday.project}/rows.csv')")


def old_rows(everyday: Everyday) -> None:
    with everyday.systems.postgres.connect() as connection:
        connection.execute("create table copied (id bigint, amount double precision, name text)")
        connection.execute(f"insert into copied select i, i / 4.0, 'name ' || i from generate_series(0, {ROWS - 1}) as i")


def tasks(rows: int) -> list[Task]:
    # A tool may have made text of everything.
    sums = "select count(*), sum(id::bigint)::bigint from t"
    all_rows = (ROWS, ROWS * (ROWS - 1) // 2)
    half = ROWS // 2
    replication = f"source: PG\ntarget: OUT\ndefaults: {{mode: full-refresh, object: 'main.{{stream_table}}'}}\nstreams: {{'public.bench': {{}}, 'public.other': {{}}}}\n"
    full = ["--mode", "full-refresh"]
    return [
        Task("24 CSV files with drifting columns into DuckDB", ["monthly/*.csv", "target.duckdb#t"], "sling",
             lambda e: e.sling("--src-stream", f"file://{e.project}/monthly/*.csv", "--tgt-conn", "OUT", "--tgt-object", "main.t", *full), sums + " where amount::double = id::bigint / 4", all_rows),
        Task("nested JSON lines into DuckDB", ["events.jsonl", "target.duckdb#t"], "dlt", lambda e: e.dlt(NESTED, "events.jsonl"), sums, all_rows, lines=len(NESTED.strip().splitlines())),
        Task("an Excel sheet into DuckDB", ["book.xlsx", "target.duckdb#t"], "sling",
             lambda e: e.sling("--src-stream", f"file://{e.project}/book.xlsx", "--tgt-conn", "OUT", "--tgt-object", "main.t", *full), sums, all_rows),
        Task("a SQLite table into DuckDB", ["app.db#orders", "target.duckdb#t"], "ingestr", lambda e: e.ingestr(f"sqlite:///{e.project}/app.db", "orders", f"duckdb:///{e.target}", "main.t"), sums, all_rows),
        Task("a Parquet folder with its partitions as columns into DuckDB",
             "  - {id: read, component: filesystem.parquet_extractor, config: {path: lake, hive_partitioning: true}}\n"
             "  - {id: load, component: duckdb.writer, config: {path: target.duckdb, table: t}}\n",
             "dlt", lambda e: e.dlt(HIVE, "lake"), sums + " where part::bigint = id // 1000", all_rows, lines=len(HIVE.strip().splitlines())),
        Task("a compressed CSV file into PostgreSQL", ["packed.csv.gz", "@postgres.bench.copied"], "sling",
             lambda e: e.sling("--src-stream", f"file://{e.project}/packed.csv.gz", "--tgt-conn", "PG", "--tgt-object", "public.copied", *full), sums.replace("from t", "from copied"), all_rows, in_postgres=True),
        Task("changed rows into a DuckDB table by key", ["changes.csv", "target.duckdb#t", "--mode", "upsert", "--key", "id"], "ingestr",
             lambda e: e.ingestr(f"csv://{e.project}/changes.csv", "sample", f"duckdb:///{e.target}", "main.t", "--incremental-strategy", "merge", "--primary-key", "id"),
             "select count(*), count(*) filter (amount::double = -1) from t", (ROWS, half), prepare=old_table),
        Task("a range of rows replaced in PostgreSQL",
             "  - {id: read, component: filesystem.csv_extractor, config: {path: changes.csv}}\n"
             "  - {id: load, component: postgres.writer, config: {connection: \"@postgres.bench\", table: copied, mode: delete_insert, range_key: id}}\n",
             "ingestr", lambda e: e.ingestr(f"csv://{e.project}/changes.csv", "sample", e.url(), "public.copied", "--incremental-strategy", "delete+insert", "--incremental-key", "id", "--columns", "id:bigint,amount:double"),
             "select count(*), count(*) filter (where amount = -1) from copied", (ROWS, half), prepare=old_rows, in_postgres=True),
        Task(f"new rows of a PostgreSQL table ({rows:,}) into DuckDB", ["@postgres.bench.bench", "target.duckdb#t", "--mode", "upsert", "--key", "id", "--incremental", "made_at"], "ingestr",
             lambda e: e.ingestr(e.url(), "public.bench", f"duckdb:///{e.target}", "main.t", "--incremental-strategy", "merge", "--primary-key", "id", "--incremental-key", "made_at"), sums, (rows, rows * (rows + 1) // 2)),
        Task("all tables of a PostgreSQL schema into DuckDB", ["@postgres.bench.public.*", "target.duckdb"], "sling",
             lambda e: e.sling("--replication", _write(e.folder / "replication.yaml", replication)),
             "select (select count(*) from bench), (select count(*) from other)", (rows, 1000), lines=len(replication.splitlines())),
    ]  # fmt: skip


def _write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def times(everyday: Everyday, task: Task, run: Callable[[Task], float]) -> list[float] | str:
    """The seconds of each run, or why it cannot be done so."""
    seconds = []
    for _ in range(ROUNDS + 1):
        everyday.clear()
        task.prepare(everyday)
        try:
            seconds.append(run(task))
            if (made := everyday.made(task)) != task.wanted:
                return f"made {made} instead of {task.wanted}"
        except (Failed, duckdb.Error, psycopg.Error) as failure:
            told = [line.strip() for line in str(failure).splitlines() if line.strip()]
            return next((line for line in told if "rror" in line), told[-1])[:200]
    # The first run compiles drivers, or bytecode.
    return seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000, help="how many rows the tables of PostgreSQL have")
    parser.add_argument("--tasks", nargs="*", type=int, help="which tasks, counted from 1")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    missing = {tool: why for tool in PACKAGES if (why := install(tool))}
    folder = Path(tempfile.mkdtemp(prefix="osiris-bench-"))
    folder.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        systems = Systems(folder, stack)
        systems.fill("bench", options.rows)
        with systems.postgres.connect() as connection:
            connection.execute("create table other as select i as id from generate_series(1, 1000) as i")
        everyday = Everyday(systems, folder / "everyday")
        print("| task | Osiris | | best of the others | | |\n|---|---|---|---|---|---|\n| | lines | seconds | tool | lines | seconds |", flush=True)
        for place, task in enumerate(tasks(options.rows), 1):
            if options.tasks and place not in options.tasks:
                continue
            ours = times(everyday, task, everyday.run_osiris)
            if isinstance(ours, str):
                sys.exit(f"{task.title}: {ours}")
            theirs = missing.get(task.rival) or times(everyday, task, everyday.run_rival)
            lines = 1 if isinstance(task.osiris, list) else len((OML + task.osiris).splitlines())
            shown = theirs if isinstance(theirs, str) else f"{statistics.median(theirs):.1f}"
            print(f"| {task.title} | {lines} | {statistics.median(ours):.1f} | {task.rival} | {task.lines} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
