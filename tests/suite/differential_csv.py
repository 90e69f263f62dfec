"""Random CSV files in random dialects through the extractor, compared with Python's `csv`."""

import csv
import io
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import differential_values as values
import type_compare
from differential_files import SIZES, Columnar, Files
from differential_runs import Steps, sql_name


# The number of a file's first row; no text that means null.
FIRST = 1000


@dataclass(frozen=True)
class CsvFile(Columnar):
    dialect: values.Dialect
    names: list[str]
    columns: list[list[str]]
    config: dict
    # Texts that mean null, and whether they do in quotes.
    nulls: list[str]
    quoted_nulls: bool = True

    def rows(self, order: list[int]) -> list[list[str]]:
        return [["id", *self.names], *([str(FIRST + row), *(column[row] for column in self.columns)] for row in order)]

    def written(self) -> str:
        return str(self.dialect)


class Csv(Files):
    """Random CSV files through the extractor."""

    format = "CSV"

    def __init__(self, steps: Steps, rng: random.Random):
        super().__init__(steps, rng)
        inspected = steps.project.osiris("drivers", "inspect", "filesystem.csv_extractor", "--json")
        self.nulls = json.loads(inspected.stdout)["spec"]["configSchema"]["properties"]["na_values"]["default"]

    def file(self) -> CsvFile:
        rng = self.rng
        width, rows = rng.choice(SIZES)
        dialect = values.dialect(rng)
        config = rng.choice([{}, {}, {}, {"infer_rows": 1}, {"infer_rows": -1}, {"infer_rows": 3}])
        nulls = self.nulls
        if rng.random() < 0.15:
            nulls = rng.choice([[], [""], ["-"], ["", "x"], ["0"]])
            config |= {"na_values": nulls}
        quoted_nulls = rng.random() > 0.15
        config |= {} if quoted_nulls else {"quoted_na": False}
        if rng.random() < 0.06:
            config |= {"dtype": "VARCHAR"}
        if rng.random() < 0.06:
            config |= {"parse_dates": False}
        if rng.random() < 0.06:
            config |= {"true_values": ["yes", "on"], "false_values": ["no"]}
        if rng.random() < 0.15 and dialect.delimiter != ",":
            config |= {"decimal": ","}
        elif rng.random() < 0.05:
            config |= {"thousands": ","}
        columns = [values.texts(rng, rows, nulls or ["NULL"]) for _ in range(width)]
        columns = [[value if values.writable(value, dialect.encoding) else "x" for value in column] for column in columns]
        # A comment character has no meaning within quotes, and may occur anywhere outside.
        names = values.header(rng, width, dialect)
        return CsvFile(dialect, names, columns, config, nulls, quoted_nulls)

    def differing(self, files: list[CsvFile], shuffled: float = 1) -> list[tuple[CsvFile, dict[int, str]]]:
        """The files whose columns differ from their texts or, for some of them, get another type when their rows are
        shuffled."""
        steps, quoted = [], []
        for number, file in enumerate(files):
            ways = self.orders(file, shuffled)
            head, *body = file.dialect.quoting(self.rng, file.rows(ways[0][1]))
            quoted.append([head, *body])
            for name, rows in ways:
                content = file.dialect.file(self.rng, file.rows(rows), [head, *(body[row] for row in rows)])
                check_reference(content, file.dialect, file.rows(rows))
                self.steps.project.write(f"fuzz/{number}{name}.csv", values.compressed(content, file.dialect.compression))
                config = {"path": f"fuzz/{number}{name}.csv"} | file.dialect.config() | file.config
                steps.append({"id": f"read-{number}{name}", "needs": [], "component": "filesystem.csv_extractor", "config": config})
        return self.judged(files, steps, lambda number, paths: self.judge(files[number], quoted[number], paths))

    def judge(self, file: CsvFile, quoted: list[list[bool]], paths: list[Path]) -> dict[int, str]:
        catalogs = [self.steps.open(path) for path in paths]
        kinds, *others = ({row[0]: row[1] for row in self.steps.connection.execute(f"describe {catalog}.main").fetchall()} for catalog in catalogs)
        rows = []
        if len(kinds) == len(file.names) + 1:
            # SQL renders bits unchanged: a DOUBLE by the digits that recreate it.
            texts = ", ".join(f"{sql_name(name)}::varchar" for name in kinds)
            rows = self.steps.connection.execute(f"select {texts} from {catalogs[0]}.main order by id::integer").fetchall()
        for catalog in catalogs:
            self.steps.close(catalog)
        everything = range(len(file.columns))
        if list(kinds) != ["id", *file.names]:
            return dict.fromkeys(everything, f"columns {list(kinds)} for {file.names}")
        if len(rows) != len(file.columns[0]):
            return dict.fromkeys(everything, f"{len(rows)} rows for {len(file.columns[0])}")
        differing = {}
        for place, (name, column) in enumerate(zip(file.names, file.columns)):
            for other in others:
                if other[name] != kinds[name]:
                    differing[place] = f"{kinds[name]}, and {other[name]} with its rows in another order"
            # DuckDB's storage treats equal doubles as one, and so zeros of both signs if there are both.
            zeros = {value.lstrip("-") for value in column if re.fullmatch(r"-?0([.,]0+)?", value)}
            signless = zeros if {True, False} == {value.startswith("-") for value in column if value.lstrip("-") in zeros} else set()
            for number, (value, row) in enumerate(zip(column, rows)):
                in_quotes = quoted[number + 1][place + 1]
                if kinds[name] == "DOUBLE" and value.lstrip("-") in signless and row[place + 1] in ("0.0", "-0.0"):
                    continue
                if not same_text(value, row[place + 1], kinds[name], file, in_quotes):
                    differing[place] = f"{value!r}{' in quotes' if in_quotes else ''} became {row[place + 1]!r} ({kinds[name]})"
        return differing


def same_text(was: str, became: str | None, kind: str, file: CsvFile, quoted: bool) -> bool:
    """Whether a cell is what its text says, apart from the spellings that the extractor's README says are not kept."""
    null = was in file.nulls and (file.quoted_nulls or not quoted)
    if became is None or null:
        return became is None and null
    if kind in ("VARCHAR", "JSON"):
        return was == became
    if file.config.get("dtype") == "VARCHAR":
        return False
    leaf = type_compare.parse(kind).name
    if leaf == "BOOLEAN":
        true = file.config.get("true_values", ["true", "True", "TRUE"])
        false = file.config.get("false_values", ["false", "False", "FALSE"])
        return was in (true if became == "true" else false)
    if leaf in type_compare.STAMPS | type_compare.CLOCKS:
        return file.config.get("parse_dates", True) and (was == became or type_compare.same_spelling(was, became, leaf))
    if file.config.get("decimal") == ",":
        if "." in was:
            return False
        was = was.replace(",", ".")
    if file.config.get("thousands") and re.fullmatch(r"-?[1-9]\d{0,2}(,\d{3})+(\.\d+)?", was):
        was = was.replace(",", "")
    return was == became or type_compare.same_spelling(was, became, leaf)


def check_reference(content: bytes, dialect: values.Dialect, rows: list[list[str]]) -> None:
    """Asserts that Python's own reader finds the rows in the file, if it supports the dialect."""
    if dialect.comment or len(dialect.delimiter) > 1:
        return
    text = io.StringIO(content.decode(dialect.encoding).removeprefix("\ufeff"), newline="")
    escape = {"escapechar": dialect.escape, "doublequote": False} if dialect.escape else {}
    read = list(csv.reader(text, delimiter=dialect.delimiter, quotechar=dialect.quote, **escape))
    assert read[dialect.skipped :] == rows, (read, rows)
