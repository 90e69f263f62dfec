"""`osiris copy` beside sling, ingestr and dlt, and beside what PostgreSQL's own client needs (the floor), on three routes:
PostgreSQL into a DuckDB file, a CSV file into PostgreSQL, and a DuckDB file into PostgreSQL.

Run by `make bench`, or alone: `.deps/venv/bin/python bench/copying.py [--rows N] [--routes …] [--tools …]`. Starts the server itself. The
tools are those of databases.py, at the fastest setting that their documentation names.
"""

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import duckdb
import psycopg
from databases import COLUMNS, DATABASE, DEPS, DRIVERS, OSIRIS, PACKAGES, PASSWORD, SUMS, USER, Failed, Project, Systems, Usage, found, install, measured

ROUNDS = 3
# A tool may have chosen other types, text for all columns of a CSV file among them: values are compared as those of the source.
CASTS = ", ".join(
    f"nullif({name}::text, '')::{kind} as {name}"
    for name, kind in {"id": "bigint", "customer": "bigint", "amount": "numeric", "score": "numeric", "made_at": "timestamp", "day": "date", "active": "boolean"}.items()
)
CASTS += ", name"
CSV_COLUMNS = "id, customer, name, amount, score, made_at, day, active"

DLT = {
    "postgres → duckdb": """
import sys, dlt
from dlt.sources.sql_database import sql_table
source, target, folder = sys.argv[1:]
pipeline = dlt.pipeline("bench", pipelines_dir=folder, destination=dlt.destinations.duckdb(target), dataset_name="main")
pipeline.run(sql_table(credentials=source, table="bench", backend="connectorx"), write_disposition="replace")
""",
    "csv → postgres": """
import sys, dlt, pyarrow.csv
source, target, folder = sys.argv[1:]
@dlt.resource(name="copied", write_disposition="replace")
def rows():
    yield from pyarrow.csv.open_csv(source)
pipeline = dlt.pipeline("bench", pipelines_dir=folder, destination=dlt.destinations.postgres(target), dataset_name="public")
pipeline.run(rows(), loader_file_format="csv")
""",
    "duckdb → postgres": """
import sys, dlt, duckdb
source, target, folder = sys.argv[1:]
@dlt.resource(name="copied", write_disposition="replace")
def rows():
    yield from duckdb.connect(source, read_only=True).execute("from bench").fetch_record_batch(100_000)
pipeline = dlt.pipeline("bench", pipelines_dir=folder, destination=dlt.destinations.postgres(target), dataset_name="public")
pipeline.run(rows(), loader_file_format="csv")
""",
}


class Routes:
    """One table in each kind of source, and what every contestant runs to copy it."""

    def __init__(self, systems: Systems, rows: int, folder: Path):
        self.systems, self.folder = systems, folder
        self.csv, self.source, self.target = folder / "bench.csv", folder / "source.duckdb", folder / "target.duckdb"
        folder.mkdir()
        self.sums = systems.fill("bench", rows)
        with systems.postgres.connect() as connection, open(self.csv, "wb") as file:
            query = f"copy (select {CSV_COLUMNS} from bench order by id) to stdout (format csv, header)"
            with connection.cursor().copy(query) as copy:
                for block in copy:
                    file.write(block)
        with duckdb.connect(str(self.source)) as connection:
            types = COLUMNS["postgres"].replace(" primary key", "").replace("double precision", "double").replace("text", "varchar")
            connection.execute(f"create table bench ({types})")
            connection.execute(f"copy bench from '{self.csv}' (header)")
        Project(systems, folder / "osiris", [])

    def url(self, scheme: str = "postgresql", more: str = "?sslmode=disable") -> str:
        return self.systems.url("postgres", scheme, more)

    def psql(self, *commands: str) -> Usage:
        whole = ["psql", "--no-psqlrc", "--quiet", "--host=127.0.0.1", f"--port={self.systems.ports['postgres']}", f"--username={USER}", f"--dbname={DATABASE}"]
        options = [part for command in commands for part in ("--command", command)]
        return measured([*whole, *options], self.folder, {"PGPASSWORD": PASSWORD, "PGSSLMODE": "disable"})

    def floor(self, route: str) -> Usage:
        if route == "postgres → duckdb":
            return self.psql(rf"\copy bench to '{self.folder}/floor.csv' csv")
        create = f"create table copied ({COLUMNS['postgres'].replace(' primary key', '')})"
        return self.psql(create, rf"\copy copied from '{self.csv}' csv header")

    def osiris(self, route: str) -> Usage:
        project = self.folder / "osiris"
        shutil.rmtree(project / ".osiris_sessions", ignore_errors=True)
        source, target = {
            "postgres → duckdb": ("@postgres.bench.bench", "target.duckdb#bench"),
            "csv → postgres": ("bench.csv", "@postgres.bench.copied"),
            "duckdb → postgres": ("source.duckdb#bench", "@postgres.bench.copied"),
        }[route]
        for file in (self.csv, self.source):
            # The base folder is the limit of what a step reads.
            (project / file.name).exists() or shutil.copy(file, project)
        (project / "target.duckdb").unlink(missing_ok=True)
        usage = measured([OSIRIS, "copy", source, target, "--drivers", DRIVERS], project, {"BENCH_PASSWORD": PASSWORD, "OSIRIS_CACHE_DIR": str(project / "cache")})
        if (project / "target.duckdb").exists():
            (project / "target.duckdb").replace(self.target)
        return usage

    def sling(self, route: str) -> Usage:
        home = self.folder / "sling"
        for extension in found("sling", "duckdb_cli").parent.glob("duckdb_extension_*/extensions/v*/*.duckdb_extension"):
            place = home / ".duckdb" / "extensions" / extension.parent.name / "linux_amd64"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(extension, place)
        environment = {
            "HOME": str(home), "DUCKDB_PATH": str(found("sling", "duckdb_cli/duckdb")), "SLING_DISABLE_TELEMETRY": "true",
            "PG": self.url("postgres"), "IN": f"duckdb://{self.source}", "OUT": f"duckdb://{self.target}",
        }  # fmt: skip
        options = {
            "postgres → duckdb": ["--src-conn", "PG", "--src-stream", "public.bench", "--tgt-conn", "OUT", "--tgt-object", "main.bench"],
            "csv → postgres": ["--src-stream", f"file://{self.csv}", "--tgt-conn", "PG", "--tgt-object", "public.copied"],
            "duckdb → postgres": ["--src-conn", "IN", "--src-stream", "main.bench", "--tgt-conn", "PG", "--tgt-object", "public.copied"],
        }[route]
        return measured([found("sling", "sling_linux_amd64/bin/sling-linux-amd64"), "run", *options, "--mode", "full-refresh"], self.folder, environment)

    def ingestr(self, route: str) -> Usage:
        manifest = '[ADBC]\nversion = "1.1.0"\n[Driver]\nshared = "{}"\nentrypoint = "duckdb_adbc_init"\n'
        (self.folder / "duckdb.toml").write_text('name = "DuckDB"\nversion = "1"\n' + manifest.format(DEPS / "libduckdb" / "libduckdb.so"))
        places = {
            "postgres → duckdb": (self.url(), "public.bench", f"duckdb:///{self.target}", "main.bench"),
            "csv → postgres": (f"csv://{self.csv}", "sample", self.url(), "public.copied"),
            "duckdb → postgres": (f"duckdb:///{self.source}", "main.bench", self.url(), "public.copied"),
        }[route]
        options = [part for pair in zip(("--source-uri", "--source-table", "--dest-uri", "--dest-table"), places) for part in pair]
        environment = {"ADBC_DRIVER_PATH": str(self.folder), "INGESTR_DISABLE_TELEMETRY": "true"}
        return measured([DEPS / "bench-ingestr/bin/ingestr", "ingest", *options, "--yes"], self.folder, environment)

    def dlt(self, route: str) -> Usage:
        shutil.rmtree(self.folder / "dlt", ignore_errors=True)
        source = {"postgres → duckdb": self.url(more=""), "csv → postgres": self.csv, "duckdb → postgres": self.source}[route]
        target = self.target if route == "postgres → duckdb" else self.url()
        command = [DEPS / "bench-dlt/bin/python", "-c", DLT[route], source, target, self.folder / "dlt"]
        return measured(command, self.folder, {"RUNTIME__DLTHUB_TELEMETRY": "false"})

    def clear(self) -> None:
        for name in ("target.duckdb", "target.duckdb.wal", "floor.csv"):
            (self.folder / name).unlink(missing_ok=True)
        with self.systems.postgres.connect() as connection:
            # dlt would believe its own tables, which say that the target is there.
            connection.execute("drop table if exists copied, _dlt_version, _dlt_loads, _dlt_pipeline_state")

    def check(self, name: str, route: str) -> None:
        """Checks that the target has what the source had."""
        if name == "psql" and route == "postgres → duckdb":
            return
        if route != "postgres → duckdb":
            with self.systems.postgres.connect() as connection:
                there = connection.execute(SUMS.format(table=f"(select {CASTS} from copied) as copied")).fetchone()
        else:
            with duckdb.connect(str(self.target), read_only=True) as connection:
                tables = connection.execute("select schema, name from (show all tables) where name = 'bench'").fetchall()
                assert len(tables) == 1, f"{name}: {tables}"
                there = connection.execute(SUMS.format(table=".".join(tables[0]))).fetchone()
        assert there == self.sums, f"{name} made something else:\n{there}\n{self.sums}"


def race(routes: Routes, route: str, tools: list[str]) -> None:
    """Runs the contestants in turns, and prints the table."""
    running: dict[str, Callable[[str], Usage]] = {"psql": routes.floor, "osiris": routes.osiris} | {tool: getattr(routes, tool) for tool in tools}
    # Compiles the drivers, which a first run does.
    routes.clear()
    routes.osiris(route)
    usages: dict[str, list[Usage]] = {name: [] for name in running}
    for place in range(ROUNDS):
        for name, run in list(running.items()):
            routes.clear()
            try:
                usage = run(route)
                routes.check(name, route)
            except (Failed, AssertionError, duckdb.Error, psycopg.Error) as failure:
                if name in ("psql", "osiris"):
                    raise
                print(f"without {name}: {failure}", flush=True)
                del running[name]
                continue
            usages[name].append(usage)
            print(f"  {route}, round {place + 1}: {name} {usage.wall:.1f} s, {usage.cpu:.1f} s CPU, {usage.peak / 1e6:.0f} MB", flush=True)
    ours = statistics.median(run.wall for run in usages["osiris"])
    print(f"\n| {route}, {routes.sums[0]:,} rows | wall | × osiris | CPU | peak memory | runs |\n|---|---|---|---|---|---|")
    for name in running:
        runs = usages[name]
        wall, cpu = (statistics.median(getattr(run, which) for run in runs) for which in ("wall", "cpu"))
        shown = {"psql": "the floor: psql \\copy", "osiris": "osiris copy"}.get(name, name)
        print(f"| {shown} | {wall:.1f} s | {wall / ours:.2f} | {cpu:.1f} s | {max(run.peak for run in runs) / 1e6:.0f} MB | {len(runs)} |")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--routes", nargs="*", choices=list(DLT), default=list(DLT))
    parser.add_argument("--tools", nargs="*", choices=list(PACKAGES), default=list(PACKAGES), help="whom to race besides the floor")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tools = []
    for tool in options.tools:
        if why := install(tool):
            print(f"without {tool}: {why}", flush=True)
        else:
            tools.append(tool)
    # Not below anybody's home: the server runs as a user who may not have access to it.
    folder = Path(tempfile.mkdtemp(prefix="osiris-bench-"))
    folder.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        routes = Routes(Systems(folder, stack), options.rows, folder / "copy")
        for route in options.routes:
            race(routes, route, tools)


if __name__ == "__main__":
    main()
