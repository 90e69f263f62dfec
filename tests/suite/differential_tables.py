"""Random tables through the writer and the reader of each format."""

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

import differential_types as types
import round_trip
from differential_runs import SMALLEST, Findings, Steps, message, refused, sql_name
from round_trip import Format, Verdict
from type_cases import ROW

# Keys that are distinct in DuckDB, and one to some collation, type or padding.
NEAR_KEYS = ["a", "A", "a ", " a", "ä", "Ä", "á", "ss", "ß", "", "Ａ", "1", "01", "1.0", "é", "e\u0301", "a\t", "ø", "o", "I", "ı", "i"]


@dataclass(frozen=True)
class Column:
    name: str
    kind: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One table through one format, in one of the ways that the format has."""

    format: Format
    columns: tuple[Column, ...]
    write: dict = field(default_factory=dict, hash=False)
    read: dict = field(default_factory=dict, hash=False)
    # Read with each column's type declared.
    declared: bool = False
    # Written twice by this key, which must equal once.
    key: str | None = None

    def kinds(self) -> dict[str, str]:
        return {column.name: column.kind for column in self.columns}


def table_sql(columns: tuple[Column, ...]) -> str:
    places = range(len(columns))
    rows = [f"({row}, {', '.join(column.values[row - 1] for column in columns)})" for row in range(1, len(columns[0].values) + 1)]
    kinds = ", ".join(f"v{place}::{column.kind} as {sql_name(column.name)}" for place, column in enumerate(columns))
    return f"select {ROW}::integer as {ROW}, {kinds} from (values {', '.join(rows)}) t({ROW}, {', '.join(f'v{place}' for place in places)})"


class Tables:
    """Random tables through the formats."""

    def __init__(self, steps: Steps, rng: random.Random, formats: list[Format], databases=None, start: int = 0):
        """`databases` makes tables where a writer does not, and drops them; tables are numbered from `start`."""
        self.steps, self.rng, self.formats, self.databases = steps, rng, formats, databases
        self.findings = Findings()
        self.number = start
        self.seen: set[str] = set()

    # ---- Making cases

    def size(self) -> tuple[int, int]:
        """Columns and rows: small mostly, a few tables wide or long."""
        return self.rng.choice([(1, 1), (1, 6), (2, 8), (3, 5), (3, 20), (4, 4), (6, 3), (8, 10), (12, 5), (12, 20), (80, 2), (2, 400)] + [(2, 3), (3, 4), (5, 6)] * 6)

    def table(self, width: int, rows: int) -> tuple[Column, ...]:
        names = types.names(self.rng, width)
        made = []
        for name in names:
            kind = types.random_type(self.rng)
            some = [types.sql_value(self.rng, kind) for _ in range(min(rows, 20))]
            values = some if rows <= 20 else [self.rng.choice(some) for _ in range(rows)]
            made.append(Column(name, kind, tuple(values)))
        return tuple(made)

    def cases(self, tables: int) -> list[Case]:
        made = []
        for _ in range(tables):
            width, rows = self.size()
            columns = self.table(width, rows)
            for format in self.formats:
                make = {"csv": self.csv_case, "json": self.json_case, "parquet": self.parquet_case}.get(format.name, self.database_case)
                made.append(make(format, columns))
        return made

    def csv_case(self, format: Format, columns: tuple[Column, ...]) -> Case:
        rng = self.rng
        both = {"delimiter": rng.choice([",", ";", "\t", "|"])} if rng.random() < 0.3 else {}
        both |= {"quote": "'"} if rng.random() < 0.1 else {}
        # A name that an encoding lacks is refused by its character.
        narrow = ["windows-1252"] if all(column.name.isascii() for column in columns) else []
        both |= {"encoding": rng.choice(["utf-16", "utf-8-sig", "utf-16le", *narrow])} if rng.random() < 0.15 else {}
        both |= {"escape": "\\"} if rng.random() < 0.1 else {}
        declared = rng.random() < 0.5
        # Undeclared, what is no number to every reader comes back as the text that it is.
        both |= {"decimal": ",", "delimiter": ";"} if declared and rng.random() < 0.2 else {}
        write = {"newline": rng.choice(["crlf", "cr"])} if rng.random() < 0.2 else {}
        write |= {"quoting": rng.choice(["all", "nonnumeric"])} if rng.random() < 0.2 else {}
        return Case(format, columns, both | write, both, declared=declared)

    def json_case(self, format: Format, columns: tuple[Column, ...]) -> Case:
        write = {"format": "array"} if self.rng.random() < 0.4 else {}
        write |= {"compression": self.rng.choice(["gzip", "zstd"])} if self.rng.random() < 0.2 else {}
        return Case(format, columns, write, declared=self.rng.random() < 0.5)

    def parquet_case(self, format: Format, columns: tuple[Column, ...]) -> Case:
        return Case(format, columns, {"compression": self.rng.choice(["snappy", "gzip", "none"])} if self.rng.random() < 0.3 else {})

    def database_case(self, format: Format, columns: tuple[Column, ...]) -> Case:
        pick = self.rng.random()
        if pick < 0.6:
            return Case(format, columns)
        rows = len(columns[0].values)
        if pick < 0.8 or rows > len(NEAR_KEYS):
            mode = self.rng.choice(["upsert", "replace"])
            return Case(format, columns, {"mode": mode, "primary_key": [ROW]}, key=ROW)
        keys = self.rng.sample(NEAR_KEYS, rows)
        columns += (Column("zebra_key", "VARCHAR", tuple(types.quoted(key) for key in keys)),)
        return Case(format, columns, {"mode": "upsert", "primary_key": ["zebra_key"]}, key="zebra_key")

    # ---- Running them

    def batch(self, tables: int) -> None:
        """Passes new tables through every format; a column that is refused by name leaves its table, which goes again."""
        todo = self.cases(tables)
        self.findings.counts["tables"] += tables
        self.findings.counts["tables through a writer and its reader"] += len(todo)
        for case in todo:
            self.findings.counts[f"through {case.format.title}"] += 1
        found: list[tuple[Case, Column, str]] = []
        while todo:
            todo = self.round(todo, found)
        for case, column, why in found:
            self.tell(case, column, why)

    def round(self, todo: list[Case], found: list) -> list[Case]:
        sources = {}
        for case in todo:
            sources.setdefault(case.columns, f"t{len(sources)}")
        steps = [{"id": "sources", "component": "duckdb.processor", "needs": [], "config": {"queries": {name: table_sql(columns) for columns, name in sources.items()}}}]
        readers, tables, last = {}, [], {}
        for case in todo:
            self.number += 1
            name = f"fuzz_{self.number}"
            tables.append((name, case))
            (self.steps.project.folder / case.format.name).mkdir(exist_ok=True)
            write = case.format.step("write", name, ["sources"])
            write["config"] |= case.write
            write["inputs"] = {"df": {"from_step": "sources", "table": sources[case.columns]}}
            steps.append(write)
            last[name] = [write["id"]]
            if case.key:
                again = write | {"id": write["id"] + "-again", "needs": ["sources", write["id"]]}
                steps.append(again)
                last[name].append(again["id"])
            reader = case.format.step("read", name, [], case.kinds() if case.declared else None)
            reader["config"] |= case.read
            readers[name] = reader
        if self.databases:
            self.databases.create([(name, case) for name, case in tables])
        wrote = self.steps.run(steps)
        assert not refused(wrote["sources"]), message(wrote["sources"]) + str([table_sql(columns) for columns, name in sources.items() if f"`{name}`" in message(wrote["sources"])])
        kept = self.steps.project.folder / "sources.duckdb"
        wrote["sources"]["path"].replace(kept)
        fine = [readers[name] for name, _ in tables if not any(refused(wrote[id]) for id in last[name])]
        read = self.steps.run(fine) if fine else {}
        source = self.steps.open(kept)
        reads = {columns: round_trip.Read(self.steps.connection, f"{source}.{name}") for columns, name in sources.items()}
        again = []
        for name, case in tables:
            failed = [wrote[id] for id in last[name] if refused(wrote[id])]
            step = failed[0] if failed else read[readers[name]["id"]]
            if refused(step):
                again += self.refused(case, step, found)
            else:
                warned = "".join(round_trip.warnings(wrote[id]) for id in last[name]) + round_trip.warnings(step)
                self.judge(case, reads[case.columns], step["path"], warned, found)
        self.steps.close(source)
        kept.unlink()
        if self.databases:
            self.databases.drop([(name, case) for name, case in tables])
        return again

    def refused(self, case: Case, step: dict, found: list) -> list[Case]:
        named = [column for column in case.columns if round_trip.names(column.name, message(step))]
        if not named:
            self.findings.counts["refusals without a name"] += 1
            found.append((case, case.columns[0], f"no column is named: {message(step)[:300]}"))
            return []
        self.findings.counts["columns refused by name"] += len(named)
        rest = tuple(column for column in case.columns if column not in named)
        if case.key == "zebra_key" and case.columns[-1] in named:
            return [Case(case.format, rest)] if rest else []
        return [replace(case, columns=rest)] if rest and rest[0].name != "zebra_key" else []

    def judge(self, case: Case, source: round_trip.Read, copy: Path, warned: str, found: list) -> None:
        name = self.steps.open(copy)
        pair = round_trip.Pair(self.steps.connection, source, round_trip.Read(self.steps.connection, f"{name}.main"))
        for column in case.columns:
            nulls = frozenset() if case.declared else case.format.nulls
            outcome = pair.compare(source.kinds[column.name], column.name, nulls).warned_of(column.name, warned)
            self.findings.counts["columns compared"] += 1
            if outcome.verdict is Verdict.DIFFERENT:
                found.append((case, column, outcome.detail))
        self.steps.close(name)

    def tell(self, case: Case, column: Column, why: str) -> None:
        """Records a difference once for its format and type, with the smallest table that shows it."""
        sign = f"{case.format.title}: {'' if why.startswith('no column') else types.family(column.kind)}: {types.shape(why)}"
        self.findings.counts["differences"] += 1
        if sign in self.seen:
            return
        self.seen.add(sign)
        if len(self.seen) <= SMALLEST:
            case, column, why = self.smallest(case, column, why)
        ways = {"write": case.write, "read": case.read} | ({"declared": True} if case.declared else {})
        shown = [(each.name, each.kind, each.values[:6]) for each in case.columns[:4]]
        self.findings.differences.append(f"{case.format.title}: {column.name!r} {column.kind}: {why}\n    of {shown}, {ways}")

    def smallest(self, case: Case, column: Column, why: str) -> tuple[Case, Column, str]:
        """The difference in the column alone, and in one row alone, where either still shows it."""
        key = [each for each in case.columns if each.name == case.key]
        alone = replace(case, columns=(column, *(each for each in key if each != column)))
        rows = range(len(column.values))
        single = [replace(alone, columns=tuple(replace(each, values=(each.values[row],)) for each in alone.columns)) for row in rows][:30]
        for tries in (single, [alone]):
            found: list[tuple[Case, Column, str]] = []
            self.round(tries, found)
            if found:
                return found[0]
        return case, column, why
