"""Random JSON files in random layouts through the extractor, compared with Python's `json`, numbers by their digits."""

import random
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import differential_values as values
import duckdb
import type_compare
from differential_files import SIZES, Columnar, Files
from differential_runs import sql_name
from type_compare import Json, Kind


@dataclass(frozen=True)
class JsonFile(Columnar):
    layout: values.Layout
    names: list[str]
    # The text of each value, or None if its record lacks it.
    columns: list[list[str | None]]
    config: dict

    def content(self, rng: random.Random, order: list[int]) -> bytes:
        records = []
        for row in order:
            fields = [(values.json_text(rng, name), column[row]) for name, column in zip(self.names, self.columns) if column[row] is not None]
            records.append([('"id"', str(row)), *fields])
        return values.compressed(self.layout.file(records), self.layout.compression)

    def written(self) -> str:
        return str(self.layout)


class JsonFiles(Files):
    """Random JSON files through the extractor."""

    format = "JSON"

    def file(self) -> JsonFile:
        rng = self.rng
        width, rows = rng.choice(SIZES)
        config = rng.choice([{}] * 8 + [{"max_depth": 1}, {"max_depth": 2}, {"max_depth": 3}])
        names = values.json_names(rng, width)
        config |= {"dtype": {rng.choice(names): "JSON"}} if rng.random() < 0.1 else {}
        return JsonFile(values.layout(rng), names, [values.json_column(rng, rows) for _ in range(width)], config)

    def differing(self, files: list[JsonFile], shuffled: float = 1) -> list[tuple[JsonFile, dict[int, str]]]:
        """The files whose columns differ from their texts or, for some of them, get another type when their records
        are shuffled."""
        steps = []
        for number, file in enumerate(files):
            ways = self.orders(file, shuffled)
            for name, rows in ways:
                self.steps.project.write(f"fuzz/{number}{name}.json", file.content(self.rng, rows))
                config = {"path": f"fuzz/{number}{name}.json"} | file.layout.config() | file.config
                steps.append({"id": f"read-{number}{name}", "needs": [], "component": "filesystem.json_extractor", "config": config})
        return self.judged(files, steps, lambda number, paths: self.judge(files[number], paths))

    def judge(self, file: JsonFile, paths: list[Path]) -> dict[int, str]:
        catalogs = [self.steps.open(path) for path in paths]
        try:
            return self.compare(file, catalogs)
        except duckdb.Error as error:
            return {0: f"cannot be read: {error}"}
        finally:
            for catalog in catalogs:
                self.steps.close(catalog)

    def compare(self, file: JsonFile, catalogs: list[str]) -> dict[int, str]:
        kinds, *others = ({row[0]: row[1] for row in self.steps.connection.execute(f"describe {catalog}.main").fetchall()} for catalog in catalogs)
        parsed = {name: type_compare.parse(kind) for name, kind in kinds.items()}
        texts = ", ".join(f"to_json({sql_name(name)}{'' if kind.nameless else '::' + kind.textual})::varchar" for name, kind in parsed.items())
        table = self.steps.connection.execute(f"select {texts} from {catalogs[0]}.main order by id::integer").fetchall()
        cells = {name: [row[place] for row in table] for place, name in enumerate(kinds)}
        if len(table) != len(file.columns[0]):
            return dict.fromkeys(range(len(file.columns)), f"{len(table)} rows for {len(file.columns[0])}")
        differing = {}
        for place, (name, column) in enumerate(zip(file.names, file.columns)):
            if name not in kinds:
                if any(value is not None for value in column):
                    differing[place] = f"no column; there are {list(kinds)}"
                continue
            for other in others:
                if sorted_fields(other.get(name, "?")) != sorted_fields(kinds[name]):
                    differing[place] = f"{kinds[name]}, and {other.get(name)} with its records in another order"
            kind = parsed[name]
            seen: dict[str, set[str]] = {}
            for value, text in zip(column, cells[name]):
                became = type_compare.document(text) if kind.nameless and text else type_compare.tree(text, kind)
                if not same_document(None if value is None else type_compare.document(value), became, kind, seen):
                    differing[place] = f"{value} became {became!r} ({kinds[name]})"
                    break
            if any({"number", "text"} <= both for both in seen.values()):
                differing[place] = f"numbers and texts became one ({kinds[name]})"
            if any("zero of another sign" in said and not {"0", "-0"} <= said for said in seen.values()):
                differing[place] = f"a zero changed its sign ({kinds[name]})"
        return differing


def sorted_fields(kind: str) -> str:
    """A type without the order of its fields, which is that of their first occurrence."""

    def order(one: Kind) -> tuple:
        parts = [order(part) for part in one.parts]
        return (one.name, tuple(sorted(zip(one.names, parts))) if one.names else tuple(parts))

    return str(order(type_compare.parse(kind))) if kind != "?" else kind


def same_document(was, became, kind: Kind, seen: dict[str, set[str]], path: str = "") -> bool:
    """Whether a document is complete in the value that was read as `kind`; `seen` collects what became a text, by
    its place."""
    if isinstance(became, Json):
        if kind.name != "JSON":
            return False
        return same_document(was, type_compare.document(became.text), Kind("?"), seen, path)
    if was is None or became is None:
        # A null document, and a field that the record lacks, is null.
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
            # The digits of numbers that no number type holds, if there is no text among them.
            seen.setdefault(path, set()).add("number")
            return was == became
        numeric = kind.name in type_compare.WHOLE or kind.name in ("DECIMAL", "DOUBLE", "FLOAT")
        if not (numeric or (kind.name == "?" and isinstance(became, type_compare.Number))):
            return False
        zero = not Decimal(was)
        if zero:
            seen.setdefault(path, set()).add("-0" if was.startswith("-") else "0")
        if type_compare.same_number(was, became):
            return True
        # DuckDB's storage treats equal doubles as one, and so zeros of both signs if there are both.
        seen.setdefault(path, set()).add("zero of another sign")
        return kind.name == "DOUBLE" and zero and type_compare.same_number("0", became.lstrip("-"))
    if kind.name == "VARCHAR":
        seen.setdefault(path, set()).add("text")
    if kind.name in ("VARCHAR", "?"):
        return isinstance(became, str) and not isinstance(became, type_compare.Number) and was == became
    return isinstance(became, str) and (was == became and kind.name not in type_compare.WHOLE or type_compare.same_spelling(was, became, kind.name))
