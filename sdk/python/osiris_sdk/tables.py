"""The tables that a step reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from . import _contract as contract
from . import _json_rows as json_rows
from .batch import Batch
from ._resources import drop, opened
from .errors import ConfigError, DataError, raises_host_errors
from .types import Type, of_fields, resolve


def _types(plain: bool) -> Any:
    return contract.tables.Types.PLAIN if plain else contract.tables.Types.EXACT


class Reader:
    """Rows that are read from an input or a query, in batches. There is at least one batch, which is empty if there are
    no rows, so that a table made of the batches always has its columns."""

    def __init__(self, raw: Any):
        self._raw = opened(raw)
        self._columns = of_fields(raw.schema().fields)

    @property
    def types(self) -> dict[str, Type]:
        """The columns and their types."""
        return dict(self._columns)

    def __iter__(self) -> Iterator[Batch]:
        following = raises_host_errors(self._raw.next)
        try:
            raw = following()
            if raw is None:
                yield Batch.empty(self.types)
            while raw is not None:
                yield Batch(self._columns, raw)
                raw = following()
        finally:
            drop(self._raw)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows one by one, as dicts of Python values."""
        for batch in self:
            yield from batch.rows()


def _json_records(raw: Any) -> Iterator[dict[str, Any]]:
    following = raises_host_errors(raw.next)
    try:
        while (text := following()) is not None:
            yield from json_rows.records(text)
    finally:
        drop(raw)


class Input:
    """One input of the step: a table that an earlier step wrote."""

    def __init__(self, raw: Any):
        self._raw = raw

    @property
    def alias(self) -> str:
        """The name that the pipeline gives this input."""
        return self._raw.alias()

    @property
    def sql_name(self) -> str:
        """The input's name inside SQL, quoted: write `select * from {input.sql_name}`."""
        return self._raw.sql_name()

    def __len__(self) -> int:
        return self._raw.rows()

    def __bool__(self) -> bool:
        return True

    @property
    @raises_host_errors
    def types(self) -> dict[str, Type]:
        """The columns and their types."""
        return dict(of_fields(self._raw.schema(_types(False)).fields))

    @raises_host_errors
    def batches(self, *columns: str, plain: bool = False) -> Reader:
        """The rows in batches of columns: all columns, or those named, in that order. With `plain`, types that few
        languages have (HUGEINT, UUID, TIMETZ, …) are read as decimal numbers and text."""
        return Reader(self._raw.read(list(columns), _types(plain)))

    @raises_host_errors
    def rows(self, *columns: str) -> Iterator[dict[str, Any]]:
        """The rows as dicts of JSON values, which is the fastest way to rows: numbers keep all their digits (a
        `Decimal` where a `float` would round), and a value of a type that JSON lacks is text, such as
        `"2024-01-31 10:00:00"`. `batches().rows()` gives values of Python's types instead."""
        return _json_records(opened(self._raw.read_json(list(columns))))


class Inputs(list[Input]):
    """The step's inputs, in the pipeline's order."""

    def only(self) -> Input:
        """The input of a driver that takes exactly one."""
        if len(self) == 1:
            return self[0]
        names = ", ".join(f"`{one.alias}`" for one in self) or "none"
        raise ConfigError(f"the step has {len(self)} inputs ({names}), but this driver takes exactly one")

    def named(self, alias: str) -> Input:
        """The input with that alias."""
        for one in self:
            if one.alias == alias:
                return one
        names = ", ".join(f"`{one.alias}`" for one in self) or "none"
        raise ConfigError(f"the step has no input `{alias}`; it has {names}")


class Table:
    """A table of rows that is being written. The host decides the types of its columns over all rows, so that every
    value survives, unless they are declared.

    It is finished at the end of a `with` block, or else when the driver has returned.
    """

    def __init__(self, raw_output: Any, name: str, declared: Mapping[str, Any]):
        self._output = raw_output
        self._declared = {column: resolve(kind) for column, kind in declared.items()}
        self._raw: Any = None
        self._rows = 0
        # Text that is passed on once there is enough of it, so that a row a call is not a call of the host a row.
        self._pending: list[str] = []
        self._pending_size = 0
        self._finished = False
        self.name = name

    def write(self, rows: Iterable[Any] | Mapping[str, Any]) -> None:
        """Appends rows: dicts, dataclass instances or named tuples, or a single dict. They are passed on in parts, so
        `rows` may be a generator of any length."""
        self._check()
        for chunk in json_rows.chunks([rows] if isinstance(rows, Mapping) else rows, self._rows):
            if chunk.typed is not None:
                self._declare(json_rows.undeclared(chunk.typed, self._declared))
            self._append(chunk.text)
            self._rows += chunk.rows

    def write_json(self, records: str) -> None:
        """Appends records that are JSON text already: objects, or arrays of them, separated by white space. This is the
        fastest way for the records of an API that answers with an array: `table.write_json(response.text)`."""
        self._check()
        self._append(records + "\n")

    def _declare(self, types: dict[str, Type]) -> None:
        if self._raw is None:
            self._declared |= types
        elif types:
            column, kind = next(iter(types.items()))
            raise DataError(
                f"column `{column}` of table `{self.name}` has values of type {kind.duckdb}, which appear only after other rows "
                f"were written; declare the column: output.table({self.name!r}, {column}=…)"
            )

    def _check(self) -> None:
        if self._finished:
            raise DataError(f"table `{self.name}` is finished, so no more rows can be written to it")

    def _append(self, text: str) -> None:
        self._pending.append(text)
        self._pending_size += len(text)
        if self._pending_size >= json_rows.CHUNK:
            self._flush()

    @raises_host_errors
    def _flush(self) -> None:
        if self._pending:
            text, self._pending, self._pending_size = "".join(self._pending), [], 0
            self._open().append(text)

    def _open(self) -> Any:
        if self._raw is None:
            columns = [contract.tables.Column(name, kind.duckdb) for name, kind in self._declared.items()]
            self._raw = opened(self._output.create_json_table(self.name, columns))
        return self._raw

    @raises_host_errors
    def finish(self) -> int | None:
        """Ends the table and returns its number of rows."""
        if self._finished:
            return None
        self._flush()
        raw = self._open()
        self._finished = True
        try:
            return raw.finish()
        finally:
            drop(raw)

    def __enter__(self) -> Table:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if failed is None:
            self.finish()


class ColumnTable:
    """A table of columns that is being written, in batches of the same columns."""

    def __init__(self, raw_output: Any, name: str):
        self._output = raw_output
        self._raw: Any = None
        self._columns: list[tuple[str, Type]] = []
        self._finished = False
        self.name = name

    @raises_host_errors
    def append(self, batch: Batch) -> None:
        """Appends a batch; the first one decides the columns."""
        columns = list(batch.types.items())
        if self._raw is None:
            self._raw = opened(self._output.create_table(self.name, batch.contract_schema()))
            self._columns = columns
        elif columns != self._columns:
            differing = next(
                (pair for pair in zip(self._columns, columns) if pair[0] != pair[1]), (self._columns, columns)
            )
            raise DataError(
                f"a batch for table `{self.name}` has other columns than the first one: {differing[1]}, not {differing[0]}"
            )
        self._raw.append(batch.contract_batch())

    @raises_host_errors
    def finish(self) -> int | None:
        """Ends the table and returns its number of rows."""
        if self._finished or self._raw is None:
            return None
        self._finished = True
        try:
            return self._raw.finish()
        finally:
            drop(self._raw)


class Output:
    """The step's output: tables, of which the first should be named `main`."""

    def __init__(self, raw: Any):
        self._raw = raw
        self._tables: dict[str, Table | ColumnTable] = {}

    def table(self, name: str, /, **columns: Any) -> Table:
        """A table of rows, whose columns may be declared: `output.table("main", id=int, amount=osiris.decimal(18, 2))`.
        A column that is not declared gets the type that holds all its values. `osiris.types` lists the types."""
        if name in self._tables:
            raise DataError(f"table `{name}` was created already")
        table = Table(self._raw, name, columns)
        self._tables[name] = table
        return table

    def write(self, name: str, rows: Iterable[Any] | Mapping[str, Any], /, **columns: Any) -> None:
        """Appends rows to the table `name`, which the first call creates with the declared `columns`."""
        table = self._tables.get(name)
        if table is None:
            table = self.table(name, **columns)
        elif isinstance(table, ColumnTable):
            raise DataError(f"table `{name}` was created by `append`, so it takes batches, not rows")
        elif columns:
            raise DataError(f"table `{name}` was created already, so its columns can no longer be declared")
        table.write(rows)

    def append(self, name: str, batch: Batch, /) -> None:
        """Appends a batch of columns to the table `name`, which the first call creates with the batch's columns."""
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = ColumnTable(self._raw, name)
        elif isinstance(table, Table):
            raise DataError(f"table `{name}` was created for rows, so it does not take batches")
        table.append(batch)

    def finish(self) -> None:
        """Ends all tables. The SDK calls this when the driver has returned."""
        for table in self._tables.values():
            table.finish()
