"""Writes every case of type_cases.py with the writer of each format, reads it with its reader, and compares the two.

Cases that pass travel together, as columns of one wide table; those that are refused have a table each. Which are which is
guessed from an earlier matrix, and a wide table that is refused is taken apart.
"""

import enum
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import type_compare
from conftest import Project
from type_cases import COLUMN, ROW, together
from type_compare import Kind

WIDTH = 60


class Verdict(enum.Enum):
    EQUAL = "equal"
    OTHER_TYPE = "equal in another type"
    REFUSED = "refused by the writer"
    UNREAD = "refused by the reader"
    UNNAMED = "refused, but the column is not named"
    WARNED = "changed with a warning"
    DIFFERENT = "silently different"


@dataclass(frozen=True)
class Outcome:
    verdict: Verdict
    # The type that was read, or the error.
    detail: str
    notes: frozenset[str] = frozenset()

    def warned_of(self, column: str, warned: str) -> "Outcome":
        """The same, except that a difference is not silent if a warning mentioned the column's name."""
        told = self.verdict is Verdict.DIFFERENT and names(column, warned)
        return Outcome(Verdict.WARNED, self.detail, self.notes) if told else self


def names(column: str, message: str) -> bool:
    """Whether a message contains a column's name, either unchanged or quoted."""
    spellings = {column, column.replace('"', '""'), column.replace("`", "``"), json.dumps(column)[1:-1], json.dumps(column, ensure_ascii=False)[1:-1]}
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message) for name in spellings)


@dataclass(frozen=True)
class Format:
    """A writer and its reader."""

    name: str
    title: str
    writer: str
    reader: str
    config: tuple[tuple[str, str], ...] = ()
    # Whether the reader accepts declared types, and its other options for reading exactly what the writer wrote.
    declares: bool = False
    exactly: tuple[tuple[str, object], ...] = ()
    # Options of the writer alone.
    written: tuple[tuple[str, object], ...] = ()
    # Texts that the reader treats as null by default.
    nulls: frozenset[str] = frozenset()

    def step(self, action: str, table: str, needs: list[str], dtype: dict[str, str] | None = None) -> dict:
        place = {} if self.config else {"path": f"{self.name}/{table}.{self.name}"}
        config = dict(self.config) | (place or {"table": table}) | ({"dtype": dtype} | dict(self.exactly) if dtype else {})
        config |= dict(self.written) if action == "write" else {}
        id = f"{action}-{self.name}-{table.replace('_', '-')}{'-declared' if dtype else ''}"
        return {"id": id, "component": self.writer if action == "write" else self.reader, "needs": needs, "config": config}


# As in the extractor's README.
NULLS = frozenset(["", "#N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"])
FORMATS = [
    Format("csv", "CSV", "filesystem.csv_writer", "filesystem.csv_extractor", declares=True, exactly=(("na_values", ("",)), ("quoted_na", False)), written=(("nested", "duckdb"),), nulls=NULLS),
    Format("json", "JSON", "filesystem.json_writer", "filesystem.json_extractor", declares=True),
    Format("parquet", "Parquet", "filesystem.parquet_writer", "filesystem.parquet_extractor"),
    Format("postgres", "PostgreSQL", "postgres.writer", "postgres.extractor", (("connection", "@postgres.shop"),)),
    Format("mariadb", "MariaDB", "mysql.writer", "mysql.extractor", (("connection", "@mysql.shop"),)),
    Format("supabase", "Supabase", "supabase.writer", "supabase.extractor", (("connection", "@supabase.shop"),), declares=True),
]


@dataclass(frozen=True)
class Run:
    """A format, read with default options or with each column's type declared."""

    format: Format
    declared: bool

    @property
    def title(self) -> str:
        return self.format.title + (", declared" if self.declared else "")


RUNS = [Run(format, declared) for format in FORMATS for declared in ([False, True] if format.declares else [False])]


@dataclass(frozen=True)
class Table:
    """Cases that pass through a format together, by the names of their columns."""

    format: Format
    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def source(self) -> str:
        """The step that creates it; formats share it if their columns are the same."""
        digest = hashlib.sha256(repr(self.columns).encode()).hexdigest()[:12]
        return f"source-{self.name.replace('_', '-')}-{digest}"


class Matrix:
    """The outcome of every case in every run."""

    def __init__(self, project: Project, cases: dict[str, str], formats: list[Format] = FORMATS, prepare=lambda table, columns: None):
        """`prepare` creates the tables that a format cannot create itself: it receives a `Table` and the column's
        types."""
        self.project, self.cases, self.prepare = project, cases, prepare
        self.formats = formats
        self.numbers = {name: number for number, name in enumerate(cases, 1)}
        self.outcomes: dict[tuple[Run, str], Outcome] = {}
        self.kinds: dict[str, str] = {}
        with duckdb.connect() as connection:
            for name, sql in cases.items():
                self.kinds[name] = next(row[1] for row in connection.execute(f"describe {sql}").fetchall() if row[0] == COLUMN)

    def run(self, alone: set[tuple[str, str]]) -> dict[tuple[Run, str], Outcome]:
        """Runs everything; `alone` contains pairs of a format's name and a case that get a separate table."""
        tables, singles = [], []
        for format in self.formats:
            wide = [case for case in self.cases if (format.name, case) not in alone]
            for first in range(0, len(wide), WIDTH):
                columns = tuple((case, f"column_{self.numbers[case]}") for case in wide[first : first + WIDTH])
                tables.append(Table(format, f"wide_{first}", columns))
            singles += [self.single(format, case) for case in self.cases if (format.name, case) in alone]
        refused = self.attempt(tables + singles)
        if apart := [self.single(table.format, case) for table in refused for case, _ in table.columns]:
            assert self.attempt(apart) == []
        return self.outcomes

    def single(self, format: Format, case: str) -> Table:
        return Table(format, f"case_{self.numbers[case]}", ((case, COLUMN),))

    def attempt(self, tables: list[Table]) -> list[Table]:
        """Writes and reads tables; returns the wide ones that were refused."""
        steps, refused, made = [], [], set()
        for table in tables:
            kinds = {column: self.kinds[case] for case, column in table.columns}
            self.prepare(table, kinds)
            (self.project.folder / table.format.name).mkdir(exist_ok=True)
            selects = [self.cases[case] for case, _ in table.columns]
            sql = together(selects, [column for _, column in table.columns]) if table.name.startswith("wide") else selects[0]
            if table.source not in made:
                steps.append(self.project.sql(sql, id=table.source))
                made.add(table.source)
            steps.append(table.format.step("write", table.name, [table.source]))
        written = self.steps(steps)
        whole, steps = [], []
        for table in tables:
            assert written[table.source]["status"] == "success", (table, written[table.source]["error"])
            refusal = self.refusal(written[table.format.step("write", table.name, [])["id"]], Verdict.REFUSED)
            if refusal is None:
                whole.append(table)
                steps += [self.reading(table, run) for run in self.runs(table)]
            elif table.name.startswith("wide"):
                refused.append(table)
            else:
                self.outcomes |= {(run, table.columns[0][0]): refusal for run in self.runs(table)}
        sources = self.session
        read = self.steps(steps) if steps else {}
        for table in whole:
            for run in self.runs(table):
                step = read[self.reading(table, run)["id"]]
                refusal = self.refusal(step, Verdict.UNREAD)
                if refusal and table.name.startswith("wide"):
                    refused += [table] if table not in refused else []
                elif refusal:
                    self.outcomes[run, table.columns[0][0]] = refusal
                else:
                    warned = warnings(written[table.format.step("write", table.name, [])["id"]]) + warnings(step)
                    self.judge(table, run, sources / "data" / f"{table.source}.duckdb", self.session / "data" / f"{step['id']}.duckdb", warned)
        return refused

    def runs(self, table: Table) -> list[Run]:
        return [run for run in RUNS if run.format == table.format]

    def reading(self, table: Table, run: Run) -> dict:
        dtype = {column: self.kinds[case] for case, column in table.columns} if run.declared else None
        return table.format.step("read", table.name, [], dtype)

    def steps(self, steps: list[dict]) -> dict[str, dict]:
        """Runs steps, some of which may fail."""
        self.project.pipeline(steps)
        done = self.project.osiris("run", "pipeline.yaml", "--json", timeout=900)
        assert done.returncode in (0, 1), f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        result = json.loads(done.stdout)
        self.session = Path(result["session_path"])
        return {step["id"]: step for step in result["steps"]}

    def refusal(self, step: dict, verdict: Verdict) -> Outcome | None:
        if step["status"] == "success":
            return None
        message = step["error"]["message"] + " " + (step["error"].get("hint") or "")
        return Outcome(verdict if re.search(rf"\b{COLUMN}\b", message) else Verdict.UNNAMED, message.strip())

    def judge(self, table: Table, run: Run, source: Path, copy: Path, warned: str) -> None:
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute(f"attach '{source}' as source (read_only); attach '{copy}' as copy (read_only)")
            pair = Pair(connection, Read(connection, "source.main"), Read(connection, "copy.main"))
            for case, column in table.columns:
                nulls = frozenset() if run.declared else run.format.nulls
                outcome = pair.compare(self.kinds[case], column, nulls)
                self.outcomes[run, case] = outcome.warned_of(column, warned)


def warnings(step: dict) -> str:
    return json.dumps(step.get("warnings") or [])


class Read:
    """A table in the form that is compared: its columns' types and their values as trees, read all at once."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: str):
        self.connection, self.table = connection, table
        self.kinds: dict[str, str] = {row[0]: row[1] for row in connection.execute(f"describe {table}").fetchall()}
        self.parsed = {name: type_compare.parse(kind) for name, kind in self.kinds.items()}
        self.values: dict[str, list] | None = None

    def trees(self, column: str) -> list:
        if self.values is None:
            texts = ", ".join(textual(quoted(name), kind) for name, kind in self.parsed.items())
            rows = self.connection.execute(f"select {texts} from {self.table} order by {ROW}::integer").fetchall()
            self.values = {name: [grown(row[place], kind) for row in rows] for place, (name, kind) in enumerate(self.parsed.items())}
        return self.values[column]

    @property
    def rows(self) -> int:
        return len(self.trees(next(iter(self.kinds))))


class Pair:
    """A table and its copy."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, source: Read, copy: Read):
        self.connection, self.source, self.copy = connection, source, copy
        self.distinct: dict[str, int] | None = None

    def compare(self, kind: str, column: str = COLUMN, nulls: frozenset[str] = frozenset()) -> Outcome:
        """Compares a column with its copy, which may have another type; texts among `nulls` may have become null."""
        source, copy = self.source, self.copy
        found = copy.kinds.get(column)
        if found is None:
            return Outcome(Verdict.DIFFERENT, f"columns {', '.join(copy.kinds)}")
        if source.rows != copy.rows:
            return Outcome(Verdict.DIFFERENT, f"{copy.rows} rows for {source.rows}")
        one, other = type_compare.parse(kind), copy.parsed[column]
        before, after = source.trees(column), copy.trees(column)
        if one.name == "GEOMETRY" and other.name != "GEOMETRY" and before != after:
            # Databases and files contain well-known binary.
            one = Kind("BLOB")
            before = trees(self.connection, f"(select {ROW}, st_aswkb({quoted(column)}) as value from {source.table})", one)
        if one.parts and other.name == "VARCHAR":
            sql = f"select {quoted(column)}::varchar from {source.table} order by {ROW}::integer"
            printed = [row[0] for row in self.connection.execute(sql).fetchall()]
            after, other = self.nested(one, kind, column, after) if after != printed or "UNION" in kind else (before, one)
        notes = type_compare.Notes()
        for was, became in zip(before, after):
            if became is None and isinstance(was, str) and was in nulls:
                notes.add(type_compare.WORD)
            elif not type_compare.same(was, became, one, other, notes):
                return Outcome(Verdict.DIFFERENT, f"{shorten(was)} became {shorten(became)} ({found})")
        if found == kind and "JSON" not in kind and type_compare.WORD not in notes and self.differing(column):
            # What texts do not show.
            return Outcome(Verdict.DIFFERENT, f"values of {found} differ that look the same")
        return Outcome(Verdict.EQUAL if found == kind else Verdict.OTHER_TYPE, found, frozenset(notes))

    def differing(self, column: str) -> int:
        """In how many rows the two tables, whose types are the same here, have distinct values."""
        if self.distinct is None:
            same = [name for name, kind in self.source.kinds.items() if self.copy.kinds.get(name) == kind]
            counts = ", ".join(f"count(*) filter (where s.{quoted(name)} is distinct from c.{quoted(name)})" for name in same)
            sql = f"select {counts} from {self.source.table} s left join {self.copy.table} c on s.{ROW} = c.{ROW}::integer"
            self.distinct = dict(zip(same, self.connection.execute(sql).fetchone()))
        return self.distinct[column]

    def nested(self, one: Kind, kind: str, column: str, texts: list) -> tuple[list, Kind]:
        """Nested values that were returned as texts: as DuckDB writes them, or as JSON."""
        if all(text is None or text[:1] in '[{"' for text in texts):
            try:
                return [None if text is None else type_compare.document(text) for text in texts], Kind("JSON")
            except ValueError:
                pass
        try:
            return trees(self.connection, f"(select {ROW}, {quoted(column)}::{kind} as value from {self.copy.table})", one), one
        except duckdb.Error:
            return texts, Kind("VARCHAR")


def trees(connection: duckdb.DuckDBPyConnection, table: str, kind: Kind) -> list:
    """The column `value` of a table as trees."""
    rows = connection.execute(f"select {textual('value', kind)} from {table} order by {ROW}::integer").fetchall()
    return [grown(row[0], kind) for row in rows]


def textual(column: str, kind: Kind) -> str:
    """SQL for the text from which `grown` makes a tree."""
    if kind.name == "TIMESTAMP WITH TIME ZONE":
        # DuckDB prints the last instants a millisecond late.
        return f"case when isfinite({column}) then make_timestamp(epoch_us({column}))::varchar || '+00' else {column}::varchar end"
    if not kind.parts and kind.name != "JSON":
        return f"{column}::varchar"
    # SQL cannot write a STRUCT with a nameless field, which JSON may contain.
    return f"to_json({column}{'' if kind.nameless else '::' + kind.textual})::varchar"


def grown(text: str | None, kind: Kind):
    if not kind.parts and kind.name != "JSON":
        return text
    return type_compare.document(text) if kind.nameless and text else type_compare.tree(text, kind)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def shorten(value) -> str:
    text = value if value is None or isinstance(value, str) else str(value)
    return "null" if text is None else repr(text if len(text) < 80 else text[:60] + "…")


POSTGRES_TYPES = {
    "BOOLEAN": "boolean", "TINYINT": "smallint", "UTINYINT": "smallint", "SMALLINT": "smallint", "USMALLINT": "integer", "INTEGER": "integer",
    "UINTEGER": "bigint", "BIGINT": "bigint", "UBIGINT": "numeric", "HUGEINT": "numeric", "UHUGEINT": "numeric", "BIGNUM": "numeric",
    "FLOAT": "real", "DOUBLE": "double precision", "DECIMAL": "numeric", "BLOB": "bytea", "UUID": "uuid", "JSON": "jsonb", "BIT": "varbit",
    "DATE": "date", "TIME": "time", "TIME_NS": "time", "TIME WITH TIME ZONE": "timetz", "INTERVAL": "interval", "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp", "TIMESTAMP_MS": "timestamp", "TIMESTAMP_NS": "timestamp", "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "GEOMETRY": "bytea", "STRUCT": "jsonb", "MAP": "jsonb", "UNION": "jsonb",
}  # fmt: skip


def postgres_type(kind: Kind) -> str:
    """A column's type in a table of Supabase, which its writer does not create."""
    if kind.name in ("LIST", "ARRAY"):
        return postgres_type(kind.parts[0]).removesuffix("[]") + "[]"
    return POSTGRES_TYPES.get(kind.name, "text")
