"""Random tables and files through the drivers, against what an independent reader makes of them: nothing may differ silently.

Three kinds: `tables` (random types and values through the writer and the reader of each format), `csv` (random texts in random
dialects through the CSV extractor, against Python's `csv`) and `json` (against Python's `json`, numbers by their digits). A file
has many columns and a run many files, since each column is a case of its own: its type must not depend on the others.

    python tests/suite/differential.py [--seed N] [--minutes M] [tables|csv|json]…
"""

import argparse
import contextlib
import csv
import io
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import differential_values as values
import duckdb
import round_trip
import type_compare
from conftest import Project
from round_trip import FORMATS, Format, Verdict
from type_cases import COLUMN, ROW
from type_compare import Json, Kind, Notes


# So many differences are made as small as they get.
SMALLEST = 20


@dataclass
class Findings:
    """What a run of the fuzz did, and each difference with the smallest input that shows it."""

    counts: Counter = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counted = ", ".join(f"{number:,} {name}" for name, number in sorted(self.counts.items()))
        return "\n".join([counted, *self.differences])


def run_steps(project: Project, steps: list[dict]) -> dict[str, dict]:
    """Runs steps of which some may fail; each successful one has its file's `path`."""
    shutil.rmtree(project.folder / ".osiris_sessions", ignore_errors=True)
    (project.folder / "osiris.lock").unlink(missing_ok=True)
    project.pipeline(steps)
    done = project.osiris("run", "pipeline.yaml", "--json", timeout=900)
    assert done.returncode in (0, 1), f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    result = json.loads(done.stdout)
    return {step["id"]: step | {"path": Path(result["session_path"]) / "data" / f"{step['id']}.duckdb"} for step in result["steps"]}


def message(step: dict) -> str:
    return step["error"]["message"] + " " + (step["error"].get("hint") or "") if step["error"] else step["status"]


# ---- Tables through writers and readers


@dataclass(frozen=True)
class Column:
    name: str
    kind: str
    values: tuple[str, ...]


def table_sql(columns: list[Column]) -> str:
    rows = [f"({row}, {', '.join(column.values[row - 1] for column in columns)})" for row in range(1, len(columns[0].values) + 1)]
    kinds = ", ".join(f"{column.name}::{column.kind} as {column.name}" for column in columns)
    names = ", ".join(column.name for column in columns)
    return f"select {ROW}::integer as {ROW}, {kinds} from (values {', '.join(rows)}) t({ROW}, {names})"


class Tables:
    """Random tables through the formats."""

    def __init__(self, project: Project, rng: random.Random, formats: list[Format], prepare, start: int = 0):
        """`prepare` makes a table where the writer does not; tables are numbered from `start`."""
        self.project, self.rng, self.formats, self.prepare = project, rng, formats, prepare
        self.findings = Findings()
        self.number = start

    def table(self, width: int, rows: int) -> list[Column]:
        columns = []
        for place in range(width):
            kind = values.random_type(self.rng)
            columns.append(Column(f"zebra{place}", kind, tuple(values.sql_value(self.rng, kind) for _ in range(rows))))
        return columns

    def batch(self, tables: int, width: int, rows: int) -> None:
        """Passes new tables through every format; a column that is refused by name leaves its table, which goes again."""
        made = [self.table(width, rows) for _ in range(tables)]
        self.findings.counts["tables"] += tables * len(self.formats)
        todo = [(format, columns) for columns in made for format in self.formats]
        while todo:
            todo = self.round(todo)

    def round(self, todo: list[tuple[Format, list[Column]]]) -> list[tuple[Format, list[Column]]]:
        sources, steps, jobs = {}, [], []
        for format, columns in todo:
            self.number += 1
            key = tuple(columns)
            if key not in sources:
                sources[key] = f"source-{self.number}"
                steps.append(self.project.sql(table_sql(columns), id=sources[key]))
            name = f"fuzz_{self.number}"
            kinds = {column.name: column.kind for column in columns}
            self.prepare(round_trip.Table(format, name, ()), kinds)
            (self.project.folder / format.name).mkdir(exist_ok=True)
            write = format.step("write", name, [sources[key]])
            # A reader starts once there is something to read; its file need not exist before.
            read = format.step("read", name, [])
            steps.append(write)
            jobs.append((format, columns, sources[key], write, read))
        wrote = run_steps(self.project, steps)
        kept = {}
        for _, _, source, _, _ in jobs:
            assert wrote[source]["status"] == "success", message(wrote[source])
            if source not in kept:
                kept[source] = self.project.folder / f"{source}.duckdb"
                shutil.move(wrote[source]["path"], kept[source])
        fine = [job for job in jobs if wrote[job[3]["id"]]["status"] == "success"]
        read = run_steps(self.project, [job[4] for job in fine]) if fine else {}
        again = []
        for format, columns, source, write, reader in jobs:
            step = wrote[write["id"]] if wrote[write["id"]]["status"] != "success" else read[reader["id"]]
            if step["status"] != "success":
                again += self.refused(format, columns, step)
            else:
                warned = round_trip.warnings(wrote[write["id"]]) + round_trip.warnings(step)
                self.judge(format, columns, kept[source], step["path"], warned)
        for path in kept.values():
            path.unlink()
        return again

    def refused(self, format: Format, columns: list[Column], step: dict) -> list[tuple[Format, list[Column]]]:
        named = [column for column in columns if re.search(rf"\b{column.name}\b", message(step))]
        if not named:
            self.findings.counts["refusals without a name"] += 1
            if format.name == "supabase":
                # What the server alone refuses names no column.
                return []
            self.findings.differences.append(f"{format.title}: no column is named: {message(step)[:300]}\n    of {[(column.kind, column.values) for column in columns][:3]}")
            return []
        self.findings.counts["columns refused"] += len(named)
        rest = [column for column in columns if column not in named]
        return [(format, rest)] if rest else []

    def judge(self, format: Format, columns: list[Column], source: Path, copy: Path, warned: str) -> None:
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute(f"attach '{source}' as source (read_only); attach '{copy}' as copy (read_only)")
            kinds = {row[0]: row[1] for row in connection.execute("describe source.main").fetchall()}
            for column in columns:
                outcome = round_trip.compare(connection, "source.main", "copy.main", kinds[column.name], column.name, format.nulls).warned_of(column.name, warned)
                self.findings.counts["columns compared"] += 1
                if outcome.verdict is Verdict.DIFFERENT:
                    self.findings.differences.append(f"{format.title}: {column.kind}: {outcome.detail}\n    of {'; '.join(column.values)}")


# ---- CSV texts


@dataclass
class CsvFile:
    dialect: values.Dialect
    columns: list[list[str]]
    nulls: list[str]
    config: dict

    def rows(self, order: list[int]) -> list[list[str]]:
        head = ["id", *(f"c{place}" for place in range(len(self.columns)))]
        return [head, *([str(row), *(column[row] for column in self.columns)] for row in order)]


class Csv:
    """Random CSV files through the extractor."""

    def __init__(self, project: Project, rng: random.Random):
        self.project, self.rng, self.findings = project, rng, Findings()
        inspected = project.osiris("drivers", "inspect", "filesystem.csv_extractor", "--json")
        properties = json.loads(inspected.stdout)["spec"]["configSchema"]["properties"]
        self.nulls = properties["na_values"]["default"]
        self.quotes = "quote" in properties
        self.encodings = str(properties["encoding"])

    def file(self, width: int, rows: int) -> CsvFile:
        dialect = values.dialect(self.rng, self.quotes)
        if dialect.encoding == "cp1252" and "windows-1252" not in self.encodings:
            dialect.encoding, dialect.mark = "utf-8", False
        columns = [values.texts(self.rng, rows, self.nulls) for _ in range(width)]
        columns = [[value if values.writable(value, dialect.encoding) else "x" for value in column] for column in columns]
        more = self.rng.choice([{}, {}, {"infer_rows": 1}, {"infer_rows": -1}, {"infer_rows": 3}])
        return CsvFile(dialect, columns, self.nulls, dialect.config() | more)

    def batch(self, files: int, width: int, rows: int) -> None:
        made = [self.file(width, self.rng.randint(1, rows)) for _ in range(files)]
        self.findings.counts["CSV files"] += files
        self.findings.counts["CSV columns"] += files * width
        for file, columns in self.differing(made):
            for place, why in columns.items():
                few = len(self.findings.differences) < SMALLEST
                self.findings.differences.append(self.smallest(file, place, why) if few else f"CSV: {why}")

    def differing(self, files: list[CsvFile]) -> list[tuple[CsvFile, dict[int, str]]]:
        """The files whose columns differ from their texts, or have another type when their rows are shuffled."""
        steps, kept = [], []
        for number, file in enumerate(files):
            count = len(file.columns[0])
            order = list(range(count))
            shuffled = order[:]
            self.rng.shuffle(shuffled)
            for name, rows in [("", order), ("-shuffled", shuffled)]:
                content = file.dialect.file(self.rng, file.rows(rows))
                # What Python's own reader makes of it is the reference.
                read = csv.reader(io.StringIO(content.decode(file.dialect.encoding).removeprefix("\ufeff"), newline=""), delimiter=file.dialect.delimiter, quotechar=file.dialect.quote)
                reference = list(read)
                assert reference == file.rows(rows), (reference, file.rows(rows))
                self.project.write(f"fuzz/{number}{name}.csv", content)
                steps.append({"id": f"read-{number}{name}", "needs": [], "component": "filesystem.csv_extractor", "config": {"path": f"fuzz/{number}{name}.csv"} | file.config})
                kept.append(content)
        done = run_steps(self.project, steps)
        found = []
        for number, file in enumerate(files):
            step, other = done[f"read-{number}"], done[f"read-{number}-shuffled"]
            if step["status"] != "success" or other["status"] != "success":
                failed = step if step["status"] != "success" else other
                found.append((file, dict.fromkeys(range(len(file.columns)), f"refused: {message(failed)[:250]}")))
                continue
            differing = self.judge(file, step["path"], other["path"])
            if differing:
                found.append((file, differing))
        return found

    def judge(self, file: CsvFile, path: Path, shuffled: Path) -> dict[int, str]:
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            kinds = {row[0]: row[1] for row in connection.execute("describe main").fetchall()}
            if list(kinds) != ["id", *(f"c{place}" for place in range(len(file.columns)))]:
                return dict.fromkeys(range(len(file.columns)), f"columns {list(kinds)}")
            # SQL renders bits as they are: a DOUBLE by the digits that make it again.
            rows = connection.execute(f"select {', '.join(f'{name}::varchar' for name in kinds)} from main order by id::integer").fetchall()
        with duckdb.connect(str(shuffled), read_only=True) as connection:
            others = {row[0]: row[1] for row in connection.execute("describe main").fetchall()}
        if len(rows) != len(file.columns[0]):
            return dict.fromkeys(range(len(file.columns)), f"{len(rows)} rows for {len(file.columns[0])}")
        differing = {}
        for place, column in enumerate(file.columns):
            kind = kinds[f"c{place}"]
            if others[f"c{place}"] != kind:
                differing[place] = f"{kind}, and {others[f'c{place}']} with its rows in another order"
            for value, row in zip(column, rows):
                if not same_text(value, row[place + 1], kind, file.nulls):
                    differing[place] = f"{value!r} became {row[place + 1]!r} ({kind})"
        return differing

    def smallest(self, file: CsvFile, place: int, why: str) -> str:
        """The difference with as few rows as still show it."""
        column, said = file.columns[place], why
        one = CsvFile(file.dialect, [column], file.nulls, file.config)
        while len(one.columns[0]) > 1:
            fewer = [CsvFile(one.dialect, [one.columns[0][:row] + one.columns[0][row + 1 :]], one.nulls, one.config) for row in range(len(one.columns[0]))]
            failing = self.differing(fewer)
            if not failing:
                break
            one, said = failing[0][0], next(iter(failing[0][1].values()))
        else:
            failing = self.differing([one])
            said = next(iter(failing[0][1].values())) if failing else said
        return f"CSV: {said}\n    column {one.columns[0]}, options {one.config}, {one.dialect}"


def same_text(was: str, became: str | None, kind: str, nulls: list[str]) -> bool:
    """Whether a cell is what its text says, in the spellings that the README of the extractor gives up."""
    if became is None:
        return was in nulls
    if kind in ("VARCHAR", "JSON"):
        return was == became
    leaf = type_compare.parse(kind).name
    if leaf == "BOOLEAN":
        return was.lower() == became
    return was == became or type_compare.same_spelling(was, became, leaf)


# ---- JSON documents


class JsonFiles:
    """Random JSON files through the extractor."""

    def __init__(self, project: Project, rng: random.Random):
        self.project, self.rng, self.findings = project, rng, Findings()

    def batch(self, files: int, width: int, rows: int) -> None:
        made = []
        for _ in range(files):
            count = self.rng.randint(1, rows)
            made.append(([values.json_column(self.rng, count) for _ in range(width)], self.rng.choice(["lines", "array"]), self.rng.random() < 0.1))
        self.findings.counts["JSON files"] += files
        self.findings.counts["JSON columns"] += files * width
        for (columns, shape, mark), differing in self.differing(made):
            for place, why in differing.items():
                few = len(self.findings.differences) < SMALLEST
                self.findings.differences.append(self.smallest(columns[place], shape, mark, why) if few else f"JSON: {why}")

    def content(self, columns: list[list], shape: str, mark: bool, order: list[int]) -> str:
        records = []
        for row in order:
            fields = [f'"c{place}": {column[row]}' for place, column in enumerate(columns) if column[row] is not None]
            records.append("{" + ", ".join([f'"id": {row}', *fields]) + "}")
        return ("\ufeff" if mark else "") + ("\n".join(records) + "\n" if shape == "lines" else "[" + ",\n".join(records) + "]")

    def differing(self, files: list[tuple]) -> list[tuple]:
        steps = []
        for number, (columns, shape, mark) in enumerate(files):
            order = list(range(len(columns[0])))
            shuffled = order[:]
            self.rng.shuffle(shuffled)
            for name, rows in [("", order), ("-shuffled", shuffled)]:
                self.project.write(f"fuzz/{number}{name}.json", self.content(columns, shape, mark, rows))
                steps.append({"id": f"read-{number}{name}", "needs": [], "component": "filesystem.json_extractor", "config": {"path": f"fuzz/{number}{name}.json"}})
        done = run_steps(self.project, steps)
        found = []
        for number, file in enumerate(files):
            step, other = done[f"read-{number}"], done[f"read-{number}-shuffled"]
            if step["status"] != "success" or other["status"] != "success":
                failed = step if step["status"] != "success" else other
                found.append((file, dict.fromkeys(range(len(file[0])), f"refused: {message(failed)[:250]}")))
            elif differing := self.judge(file[0], step["path"], other["path"]):
                found.append((file, differing))
        return found

    def judge(self, columns: list[list], path: Path, shuffled: Path) -> dict[int, str]:
        differing = {}
        with duckdb.connect(str(shuffled), read_only=True) as connection:
            others = {row[0]: row[1] for row in connection.execute("describe main").fetchall()}
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            kinds = {row[0]: row[1] for row in connection.execute("describe main").fetchall()}
            for place, column in enumerate(columns):
                name = f"c{place}"
                if name not in kinds:
                    if any(value is not None for value in column):
                        differing[place] = f"no column; there are {list(kinds)}"
                    continue
                if sorted_fields(others.get(name, "?")) != sorted_fields(kinds[name]):
                    differing[place] = f"{kinds[name]}, and {others.get(name)} with its records in another order"
                kind = type_compare.parse(kinds[name])
                rows = connection.execute(f"select to_json({name}{'' if kind.nameless else '::' + kind.textual})::varchar from main order by id").fetchall()
                if len(rows) != len(column):
                    differing[place] = f"{len(rows)} rows for {len(column)}"
                    continue
                seen: dict[str, set[str]] = {}
                for value, row in zip(column, rows):
                    became = type_compare.document(row[0]) if kind.nameless and row[0] else type_compare.tree(row[0], kind)
                    if not same_document(None if value is None else type_compare.document(value), became, kind, seen):
                        differing[place] = f"{value} became {became!r} ({kinds[name]})"
                        break
                if any(len(both) > 1 for both in seen.values()):
                    differing[place] = f"numbers and texts became one ({kinds[name]})"
        return differing

    def smallest(self, column: list, shape: str, mark: bool, why: str) -> str:
        said = why
        while len(column) > 1:
            fewer = [([column[:row] + column[row + 1 :]], shape, mark) for row in range(len(column))]
            failing = self.differing(fewer)
            if not failing:
                break
            column, said = failing[0][0][0][0], next(iter(failing[0][1].values()))
        else:
            failing = self.differing([([column], shape, mark)])
            said = next(iter(failing[0][1].values())) if failing else said
        return f"JSON: {said}\n    values {column}, {shape}{', byte order mark' if mark else ''}"


def sorted_fields(kind: str) -> str:
    """A type without the order of its fields, which is that of their first occurrence."""

    def order(one: Kind) -> tuple:
        parts = [order(part) for part in one.parts]
        return (one.name, tuple(sorted(zip(one.names, parts))) if one.names else tuple(parts))

    return str(order(type_compare.parse(kind))) if kind != "?" else kind


def same_document(was, became, kind: Kind, seen: dict[str, set[str]], path: str = "") -> bool:
    """Whether what a document says is still whole in what was read as `kind`; `seen` collects what became a text, by its place."""
    if isinstance(became, Json):
        if kind.name != "JSON":
            return False
        return same_document(was, type_compare.document(became.text), Kind("?"), seen, path)
    if was is None or became is None:
        # A null document, and what the record lacks, is null.
        return was is None and became is None
    if isinstance(was, list):
        part = kind.parts[0] if kind.name in ("LIST", "ARRAY") else Kind("?")
        return isinstance(became, list) and len(was) == len(became) and all(same_document(*pair, part, seen, path + "[]") for pair in zip(was, became))
    if isinstance(was, dict):
        if not isinstance(became, dict):
            return False
        kinds = dict(zip(kind.names, kind.parts)) if kind.names else {}
        rest = kind.parts[1] if kind.name == "MAP" else Kind("?")
        return all(same_document(was.get(key), became.get(key), kinds.get(key, rest), seen, f"{path}.{key}") for key in {**was, **became})
    if isinstance(was, bool):
        return became is was or (kind.name == "BOOLEAN" and became == str(was).lower())
    if isinstance(was, type_compare.Number):
        if kind.name == "VARCHAR":
            # The digits of numbers that no type of number holds, as long as no text stands among them.
            seen.setdefault(path, set()).add("number")
            return was == became
        numeric = kind.name in type_compare.WHOLE or kind.name in ("DECIMAL", "DOUBLE", "FLOAT")
        if not (numeric or (kind.name == "?" and isinstance(became, type_compare.Number))):
            return False
        # JSON's own minus zero without a fraction is an integer; and DuckDB's storage takes equal doubles for one, zeros of both signs too.
        signless = was == "-0" or kind.name == "DOUBLE"
        return type_compare.same_number(was, became) or (signless and type_compare.same_number("0", was.lstrip("-")) and type_compare.same_number("0", became.lstrip("-")))
    if kind.name == "VARCHAR":
        seen.setdefault(path, set()).add("text")
    if kind.name in ("VARCHAR", "?"):
        return isinstance(became, str) and not isinstance(became, type_compare.Number) and was == became
    return isinstance(became, str) and (was == became and kind.name not in type_compare.WHOLE or type_compare.same_spelling(was, became, kind.name))


# ---- Running


@contextlib.contextmanager
def servers(project: Project):
    """The servers of all formats; gives what makes a table where the writer does not."""
    from mariadb_server import MariaDbServer
    from postgres_server import PostgresServer
    from supabase_stand_in import SupabaseStandIn

    with contextlib.ExitStack() as stack:
        postgres = PostgresServer(Path(tempfile.mkdtemp(prefix="osiris-postgres-")), None).start()
        stack.callback(postgres.remove)
        mariadb = MariaDbServer(Path(tempfile.mkdtemp(prefix="osiris-mariadb-")), None).start()
        stack.callback(mariadb.remove)
        api = SupabaseStandIn(lambda: postgres.connect("api"))
        stack.callback(api.close)
        with postgres.connect("postgres") as connection:
            connection.execute("create database api")
        yield connect(project, postgres, mariadb, api, "shop", "api")


def connect(project: Project, postgres, mariadb, api, database: str, api_database: str):
    """Writes the project's connections; gives what makes Supabase's tables."""
    connections = {
        "postgres": {"shop": postgres.connection(database=database, private_network=True)},
        "mysql": {"shop": mariadb.connection(database=database, private_network=True)},
        "supabase": {"shop": api.connection(private_network=True)},
    }
    project.write("osiris_connections.yaml", json.dumps({"version": 1, "connections": connections}))

    def prepare(table: round_trip.Table, kinds: dict[str, str]) -> None:
        if table.format.name == "supabase":
            columns = ", ".join(f"{name} {round_trip.postgres_type(type_compare.parse(kind))}" for name, kind in kinds.items())
            with postgres.connect(api_database) as connection:
                connection.execute(f"create table {table.name} ({ROW} integer, {columns})")

    return prepare


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments.add_argument("--minutes", type=float, default=10)
    arguments.add_argument("--formats", default=",".join(format.name for format in FORMATS))
    arguments.add_argument("--stop", type=int, default=40, help="stop at so many differences")
    arguments.add_argument("kinds", nargs="*", default=["tables", "csv", "json"])
    given = arguments.parse_args()
    print(f"seed {given.seed}", flush=True)
    rng = random.Random(given.seed)
    formats = [format for format in FORMATS if format.name in given.formats.split(",")]
    with tempfile.TemporaryDirectory(prefix="osiris-differential-") as folder, contextlib.ExitStack() as stack:
        project = Project(Path(folder))
        needs_servers = "tables" in given.kinds and any(format.config for format in formats)
        prepare = stack.enter_context(servers(project)) if needs_servers else lambda table, kinds: None
        kinds = {
            "tables": (Tables(project, rng, formats, prepare), (8, 20, 5)),
            "csv": (Csv(project, rng), (40, 25, 8)),
            "json": (JsonFiles(project, rng), (40, 20, 8)),
        }
        chosen = [kinds[name] for name in given.kinds]
        begun = time.monotonic()
        deadline = begun + given.minutes * 60
        while time.monotonic() < deadline and sum(len(fuzz.findings.differences) for fuzz, _ in chosen) < given.stop:
            for fuzz, size in chosen:
                fuzz.batch(*size)
        for fuzz, _ in chosen:
            print(fuzz.findings, flush=True)
        print(f"{time.monotonic() - begun:.0f} s, seed {given.seed}")
        return int(any(fuzz.findings.differences for fuzz, _ in chosen))


if __name__ == "__main__":
    sys.exit(main())
