"""Databases into a DuckDB file: osiris compared with the servers' own clients (the floors) and three other tools.

Run by `make bench`, or alone: `.deps/venv/bin/python bench/databases.py [--rows N] [--memory 1 10] [--help]`. Starts
both servers itself. The other tools go into `.deps/bench-*`; one that cannot be installed is skipped, with the reason.
"""

import argparse
import functools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "suite"))
from mariadb_server import MariaDbServer  # noqa: E402
from postgres_server import PostgresServer  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OSIRIS = TARGET / "release" / "osiris"
DRIVERS = TARGET / "drivers"
DEPS = ROOT / ".deps"
USER = PASSWORD = "bench"
DATABASE = "shop"
ROUNDS, SLOW_ROUNDS = 3, 2
# A contestant slower than this, in seconds, runs only SLOW_ROUNDS times; one slower than LIMIT is stopped.
SLOW, LIMIT = 30, 1200
INSTALL_LIMIT = 600

# dlt with the DuckDB that osiris has; sling drives DuckDB's command line, whose parts PyPI has in this version.
PACKAGES = {
    "sling": ["sling-linux-amd64==1.4.11", "duckdb-cli==1.5.5", "duckdb-extension-json==1.5.5", "duckdb-extension-httpfs==1.5.5"],
    "ingestr": ["ingestr==1.1.9"],
    "dlt": ["dlt[duckdb]==1.31.0", "connectorx==0.4.6", "duckdb==1.5.6", "sqlalchemy<2.1", "psycopg2-binary==2.9.13", "pymysql==1.2.4", "pyarrow==26.0.1"],
}

COLUMNS = {
    "postgres": "id bigint primary key, customer int, name text, amount numeric(12,2), score double precision, made_at timestamp, day date, active boolean",
    "mysql": "id bigint primary key, customer int, name varchar(64), amount decimal(12,2), score double, made_at datetime(6), day date, active boolean",
}
# The same rows in both dialects, made as they are read.
ROWS = {
    "postgres": """select i as id, (i * 7919 % 100000)::int as customer, left(md5(i::text), 8 + (i % 17)::int) as name,
        (i * 31 % 10000000 / 100.0)::numeric(12, 2) as amount, sqrt(i)::double precision as score,
        timestamp '2020-01-01' + i * interval '1.7 seconds' as made_at, date '2000-01-01' + (i % 9000)::int as day,
        case when i % 50 > 0 then i % 3 = 0 end as active from (select generate_series(1, {rows}::bigint) as i) as numbers""",
    "mysql": """select seq as id, cast(seq * 7919 % 100000 as int) as customer, left(md5(seq), 8 + seq % 17) as name,
        cast(seq * 31 % 10000000 / 100 as decimal(12, 2)) as amount, sqrt(seq) as score,
        timestamp '2020-01-01 00:00:00' + interval seq * 17 * 100000 microsecond as made_at, date '2000-01-01' + interval seq % 9000 day as day,
        case when seq % 50 > 0 then seq % 3 = 0 end as active from seq_1_to_{rows}""",
}
SUMS = """select count(*), sum(id), sum(customer), sum(length(name)), round(sum(amount), 2)::decimal(18, 2), round(sum(score))::bigint,
    max(made_at)::timestamp, max(day)::date, count(active) from {table}"""

DLT = """
import sys, dlt
from dlt.sources.sql_database import sql_table
source, target, folder = sys.argv[1:]
pipeline = dlt.pipeline("bench", pipelines_dir=folder, destination=dlt.destinations.duckdb(target), dataset_name="main")
pipeline.run(sql_table(credentials=source, table="bench", backend="connectorx"), write_disposition="replace")
"""

# Runs a command and reports the resources that it and its children used. This is a separate process, because the kernel
# starts a child's peak memory at its parent's.
MEASURE = """
import os, subprocess, sys, time
with open(sys.argv[1], "wb") as out, open(sys.argv[2], "wb") as log:
    begun = time.perf_counter()
    process = subprocess.Popen(sys.argv[3:], stdin=subprocess.DEVNULL, stdout=out, stderr=log)
    print(process.pid, flush=True)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    print(status, time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
"""


@dataclass
class Usage:
    """Seconds, CPU seconds of the whole tree on the client's side, and the resident memory of its largest process in bytes."""

    wall: float
    cpu: float
    peak: int


class Failed(Exception):
    pass


def measured(command: list, folder: Path, environment: dict, watch=None) -> Usage:
    """Runs a command in `folder`, with its stdout in the file `out` there. `watch` is called with its process's id."""
    measure = [sys.executable, "-I", "-S", "-c", MEASURE, folder / "out", folder / "log", *command]
    whole = {"PATH": os.environ["PATH"], "HOME": str(folder)} | environment
    process = subprocess.Popen([str(part) for part in measure], cwd=folder, env=whole, stdout=subprocess.PIPE, text=True, start_new_session=True)
    stopper = threading.Timer(LIMIT, os.killpg, [process.pid, signal.SIGKILL])
    stopper.start()
    try:
        pid = int(process.stdout.readline())
        if watch:
            watch(pid)
        said = process.stdout.read().split()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        stopper.cancel()
        process.wait()
    if not said or said[0] != "0":
        texts = [(folder / name).read_text(errors="replace").strip()[-800:] for name in ("log", "out")]
        raise Failed("\n".join(text for text in texts if text) if said else f"stopped after {LIMIT} s")
    return Usage(float(said[1]), float(said[2]), int(said[3]))


class Systems:
    """Both servers with a user `bench`, and tables to read."""

    def __init__(self, folder: Path, stack: ExitStack):
        settings = {"shared_buffers": "256MB", "max_wal_size": "8GB", "autovacuum": "off"}
        self.postgres = PostgresServer(folder / "postgres-server", None, settings)
        stack.callback(self.postgres.remove)
        self.mariadb = MariaDbServer(folder / "mysql-server", None, {"innodb-buffer-pool-size": "512M", "innodb-log-file-size": "1G"})
        stack.callback(self.mariadb.remove)
        self.postgres.start()
        self.mariadb.start()
        self.folder = folder
        self.ports = {"postgres": self.postgres.port, "mysql": self.mariadb.port}
        with self.postgres.connect() as connection:
            connection.execute(f"create role {USER} login superuser password '{PASSWORD}'")
        self.mariadb.run(f"create user {USER}@'127.0.0.1' identified by '{PASSWORD}'", f"grant all on *.* to {USER}@'127.0.0.1'")

    def fill(self, table: str, rows: int) -> tuple:
        """Creates the table in PostgreSQL, and loads it from there into MariaDB. Returns its SUMS."""
        begun = time.monotonic()
        with self.postgres.connect() as connection:
            connection.execute(f"create table {table} ({COLUMNS['postgres']})")
            connection.execute(f"insert into {table} {ROWS['postgres'].format(rows=rows)}")
            connection.execute(f"vacuum analyze {table}")
            sums = connection.execute(SUMS.format(table=table).replace("sum(score)", "sum(score)::numeric")).fetchone()
            data = self.folder / "data"
            columns = "id, customer, name, amount, score, made_at, day, active::int"
            with open(data, "wb") as file, connection.cursor().copy(f"copy (select {columns} from {table} order by id) to stdout") as copy:
                for block in copy:
                    file.write(block)
        self.mariadb.run(f"create table {table} ({COLUMNS['mysql']})", f"load data local infile '{data}' into table {table} character set utf8mb4", f"analyze table {table}")
        data.unlink()
        ((there,),) = self.mariadb.run(f"select count(*) from {table}")
        assert there == rows, f"MariaDB has {there} rows"
        print(f"{rows:,} rows made in both databases in {time.monotonic() - begun:.0f} s", flush=True)
        return sums

    def url(self, system: str, scheme: str, more: str = "") -> str:
        return f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{self.ports[system]}/{DATABASE}{more}"


class Project:
    """A folder with connections to both servers, and a pipeline to run there."""

    def __init__(self, systems: Systems, folder: Path, steps: list[dict]):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        common = {"host": "127.0.0.1", "database": DATABASE, "user": USER, "password": "${BENCH_PASSWORD}"}
        connections = {
            "postgres": {"bench": common | {"port": systems.ports["postgres"], "sslmode": "disable"}},
            "mysql": {"bench": common | {"port": systems.ports["mysql"], "ssl_mode": "disable"}},
        }
        (folder / "osiris_connections.yaml").write_text(json.dumps({"version": 1, "connections": connections}))
        (folder / "pipeline.yaml").write_text(json.dumps({"oml_version": "0.1.0", "name": "bench", "steps": steps}))

    def run(self, *arguments: str, watch=None) -> Usage:
        shutil.rmtree(self.folder / ".osiris_sessions", ignore_errors=True)
        # The home of the cache of compiled drivers, so that a warm run is measured.
        environment = {"BENCH_PASSWORD": PASSWORD, "OSIRIS_CACHE_DIR": str(self.folder / "cache")}
        return measured([OSIRIS, "run", "pipeline.yaml", "--no-cache", "--drivers", DRIVERS, *arguments], self.folder, environment, watch)

    def made(self, step: str) -> Path:
        return next(self.folder.glob(f".osiris_sessions/*/data/{step}.duckdb"))


def extractor(system: str, **more) -> dict:
    return {"id": "extract", "component": f"{system}.extractor", "config": {"connection": f"@{system}.bench"} | more}


def install(tool: str) -> str | None:
    """Installs a tool into a separate venv; returns the reason if it cannot."""
    venv = DEPS / f"bench-{tool}"
    wanted = "\n".join(PACKAGES[tool])
    mark = venv / "requirements.txt"
    if mark.is_file() and mark.read_text() == wanted:
        return None
    print(f"installing {', '.join(PACKAGES[tool])} into .deps/bench-{tool}", flush=True)
    shutil.rmtree(venv, ignore_errors=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", venv], check=True, capture_output=True, text=True, timeout=INSTALL_LIMIT)
        subprocess.run([venv / "bin" / "pip", "install", "--quiet", *PACKAGES[tool]], check=True, capture_output=True, text=True, timeout=INSTALL_LIMIT)
    except subprocess.TimeoutExpired:
        return f"its installation took more than {INSTALL_LIMIT} s"
    except subprocess.CalledProcessError as error:
        return "it cannot be installed: " + error.stderr.strip()[-500:]
    mark.write_text(wanted)
    return None


def found(tool: str, pattern: str) -> Path:
    return next((DEPS / f"bench-{tool}").glob(f"lib/python*/site-packages/{pattern}"))


def contestants(systems: Systems, system: str, tools: list[str], folder: Path) -> dict:
    """By name: a function that runs the contestant, and the DuckDB file (or None for the floors' text files) that it
    writes."""
    postgres = system == "postgres"
    schema = "public" if postgres else DATABASE

    def floor() -> tuple[Usage, Path | None]:
        port = systems.ports[system]
        if postgres:
            copy = rf"\copy (select * from bench) to '{folder}/out.csv' csv"
            command = ["psql", "--no-psqlrc", "--host=127.0.0.1", f"--port={port}", f"--username={USER}", f"--dbname={DATABASE}", "--command", copy]
            return measured(command, folder, {"PGPASSWORD": PASSWORD, "PGSSLMODE": "disable"}), None
        command = ["mariadb", "--no-defaults", "--quick", "--batch", "--host=127.0.0.1", f"--port={port}", f"--user={USER}", DATABASE, "--execute", "select * from bench"]
        return measured(command, folder, {"MYSQL_PWD": PASSWORD}), None

    def osiris(project: Project) -> tuple[Usage, Path | None]:
        return project.run(), project.made("extract")

    def sling() -> tuple[Usage, Path | None]:
        home = folder / "sling"
        # DuckDB's command line would download its extensions.
        for extension in found("sling", "duckdb_cli").parent.glob("duckdb_extension_*/extensions/v*/*.duckdb_extension"):
            place = home / ".duckdb" / "extensions" / extension.parent.name / "linux_amd64"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(extension, place)
        environment = {
            "HOME": str(home), "DUCKDB_PATH": str(found("sling", "duckdb_cli/duckdb")), "TARGET": f"duckdb://{folder}/out.duckdb",
            "SOURCE": systems.url(system, "postgres", "?sslmode=disable") if postgres else systems.url(system, "mysql"),
            "SLING_DISABLE_TELEMETRY": "true",
        }  # fmt: skip
        command = [found("sling", "sling_linux_amd64/bin/sling-linux-amd64"), "run", "--src-conn", "SOURCE", "--src-stream", f"{schema}.bench",
                   "--tgt-conn", "TARGET", "--tgt-object", "main.bench", "--mode", "full-refresh"]  # fmt: skip
        return measured(command, folder, environment), folder / "out.duckdb"

    def ingestr() -> tuple[Usage, Path | None]:
        # It would download DuckDB's ADBC driver, which is libduckdb itself.
        manifest = '[ADBC]\nversion = "1.1.0"\n[Driver]\nshared = "{}"\nentrypoint = "duckdb_adbc_init"\n'
        (folder / "duckdb.toml").write_text('name = "DuckDB"\nversion = "1"\n' + manifest.format(DEPS / "libduckdb" / "libduckdb.so"))
        source = systems.url(system, "postgresql", "?sslmode=disable") if postgres else systems.url(system, "mysql")
        command = [DEPS / "bench-ingestr/bin/ingestr", "ingest", "--source-uri", source, "--source-table", f"{schema}.bench",
                   "--dest-uri", f"duckdb:///{folder}/out.duckdb", "--dest-table", "main.bench", "--yes"]  # fmt: skip
        return measured(command, folder, {"ADBC_DRIVER_PATH": str(folder), "INGESTR_DISABLE_TELEMETRY": "true"}), folder / "out.duckdb"

    def dlt() -> tuple[Usage, Path | None]:
        shutil.rmtree(folder / "dlt", ignore_errors=True)
        source = systems.url(system, "postgresql" if postgres else "mysql+pymysql")
        command = [DEPS / "bench-dlt/bin/python", "-c", DLT, source, folder / "out.duckdb", folder / "dlt"]
        return measured(command, folder, {"RUNTIME__DLTHUB_TELEMETRY": "false"}), folder / "out.duckdb"

    ours = {"osiris": extractor(system, table="bench")}
    if postgres:
        ours["osiris, 2 partitions"] = extractor(system, table="bench", partitions=2, partition_on="id")
    whole = {"psql \\copy to csv" if postgres else "mariadb --quick": floor}
    for name, step in ours.items():
        project = Project(systems, folder / name.replace(", ", "-").replace(" ", "-"), [step])
        whole[name] = functools.partial(osiris, project)
    for tool, run in [("sling", sling), ("ingestr", ingestr), ("dlt", dlt)]:
        if tool not in tools:
            continue
        if why := install(tool):
            print(f"without {tool}: {why}", flush=True)
        else:
            whole["dlt, ConnectorX" if tool == "dlt" else tool] = run
    return whole


def check(name: str, made: Path | None, sums: tuple, folder: Path) -> None:
    """Checks that the contestant wrote what it was to read."""
    if made is None:
        text = folder / "out.csv" if (folder / "out.csv").exists() else folder / "out"
        with open(text, "rb") as file:
            lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        assert lines - sums[0] in (0, 1), f"{name}: {lines} lines"
        return
    with duckdb.connect(str(made), read_only=True) as connection:
        tables = connection.execute("select schema, name from (show all tables) where name in ('main', 'bench')").fetchall()
        assert len(tables) == 1, f"{name}: {tables}"
        there = connection.execute(SUMS.format(table=".".join(tables[0]))).fetchone()
    assert there == sums, f"{name} made something else:\n{there}\n{sums}"


def race(systems: Systems, system: str, tools: list[str], sums: tuple, folder: Path) -> None:
    """Runs the contestants in turns, and prints the table."""
    folder.mkdir()
    running = contestants(systems, system, tools, folder)
    Project(systems, folder / "osiris", [extractor(system, table="bench", limit=1)]).run()
    if system == "postgres":
        shutil.copytree(folder / "osiris" / "cache", folder / "osiris-2-partitions" / "cache")
    Project(systems, folder / "osiris", [extractor(system, table="bench")])
    usages: dict[str, list[Usage]] = {name: [] for name in running}
    for place in range(ROUNDS):
        for name, run in list(running.items()):
            if place >= SLOW_ROUNDS and usages[name][0].wall > SLOW:
                continue
            for left in ("out.duckdb", "out.duckdb.wal", "out.csv", "out"):
                (folder / left).unlink(missing_ok=True)
            try:
                usage, made = run()
            except Failed as failure:
                if "osiris" in name or running[name] is next(iter(running.values())):
                    raise
                print(f"without {name}: {failure}", flush=True)
                del running[name]
                continue
            check(name, made, sums, folder)
            usages[name].append(usage)
            print(f"  {system}, round {place + 1}: {name} {usage.wall:.1f} s, {usage.cpu:.1f} s CPU, {usage.peak / 1e6:.0f} MB", flush=True)
    floor = None
    print(f"\n| {sums[0]:,} rows, {system} | rows/s | wall | × floor | CPU | × floor | peak memory | runs |\n|---|---|---|---|---|---|---|---|")
    for name in running:
        runs = usages[name]
        wall, cpu = (statistics.median(getattr(run, which) for run in runs) for which in ("wall", "cpu"))
        floor = floor or (wall, cpu)
        peak = max(run.peak for run in runs) / 1e6
        print(f"| {name} | {sums[0] / wall:,.0f} | {wall:.1f} s | {wall / floor[0]:.2f} | {cpu:.1f} s | {cpu / floor[1]:.2f} | {peak:.0f} MB | {len(runs)} |")
    print(flush=True)


class Watch:
    """The peak memory of each step process, in the order in which they end, sampled every few milliseconds."""

    def __init__(self):
        self.peaks: dict[int, int] = {}
        self.cpu: dict[int, int] = {}
        self.seen: dict[int, float] = {}

    def __call__(self, pid: int) -> None:
        while True:
            try:
                children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
            except OSError:
                return
            for child in children:
                try:
                    # Others compile drivers.
                    if Path(f"/proc/{child}/cmdline").read_bytes() != b"osiris\0step\0":
                        continue
                    status = dict(line.split(":", 1) for line in Path(f"/proc/{child}/status").read_text().splitlines())
                    stat = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                if "VmHWM" in status:
                    self.peaks[child] = int(status["VmHWM"].split()[0]) * 1024
                    self.cpu[child] = int(stat[11]) + int(stat[12])
                    self.seen[child] = time.monotonic()
            time.sleep(0.01)

    def worked(self) -> list[int]:
        """Without processes that were started ahead of time and not needed."""
        busy = [pid for pid in self.peaks if self.cpu[pid] * 20 > max(self.cpu.values())]
        return [self.peaks[pid] for pid in sorted(busy, key=self.seen.__getitem__)]


def memory(systems: Systems, chosen: list[str], sizes: list[int], limit: str, folder: Path) -> None:
    """Extracts results of several sizes and writes them to a table, and prints how much memory the two step
    processes needed."""
    folder.mkdir()
    print(f"| peak memory, engine limit {limit} | " + " | ".join(f"{rows:,} rows" for rows in sizes) + " |\n|---|" + "---|" * len(sizes), flush=True)
    for system in chosen:
        peaks = []
        for rows in sizes:
            read = extractor(system, query=ROWS[system].format(rows=rows))
            write = {"id": "write", "component": f"{system}.writer", "config": {"connection": f"@{system}.bench", "table": "written", "mode": "replace"}}
            watch = Watch()
            usage = Project(systems, folder / system, [read, write]).run("--engine-memory", limit, watch=watch)
            steps = watch.worked()
            assert len(steps) == 2 and max(steps) <= usage.peak, (steps, usage)
            peaks.append(steps)
        for place, what in enumerate(("extract", "write")):
            print(f"| {system}, {what} | " + " | ".join(f"{steps[place] / 1e6:.0f} MB" for steps in peaks) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--only", choices=["postgres", "mysql"])
    parser.add_argument("--tools", nargs="*", choices=list(PACKAGES), default=list(PACKAGES), help="whom to race besides the floors")
    parser.add_argument("--memory", type=int, nargs="+", metavar="MILLIONS", help="peak memory at so many million rows instead of the race, such as 1 10")
    parser.add_argument("--engine-memory", default="2GB", help="what DuckDB may have of it, by default osiris's own default")
    options = parser.parse_args()
    chosen = [options.only] if options.only else ["postgres", "mysql"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Not below anybody's home: the servers run as a user who may not have access to it.
    folder = Path(tempfile.mkdtemp(prefix="osiris-bench-"))
    folder.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        systems = Systems(folder, stack)
        if options.memory:
            sizes = [millions * 1_000_000 for millions in options.memory]
            memory(systems, chosen, sizes, options.engine_memory, folder / "memory")
        else:
            sums = systems.fill("bench", options.rows)
            for system in chosen:
                race(systems, system, options.tools, sums, folder / system)


if __name__ == "__main__":
    main()
