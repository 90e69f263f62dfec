"""A batch of rows, column by column."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from . import _contract as contract
from ._decode import NUMBERS, decode, nodes_of, nulls, numbers
from ._encode import encode
from .errors import DataError, NotFoundError
from .types import Type, of_value, resolve


class _Column:
    """A column as the host passed it, or as the driver set it; the other form is made when it is needed."""

    def __init__(self, kind: Type, nodes: list[Any] | None = None, values: list[Any] | None = None):
        self.kind, self.nodes, self._values = kind, nodes, values

    def values(self, place: str) -> list[Any]:
        if self._values is None:
            self._values = decode(self.kind, self.nodes or [], place)
        return self._values


class Batch:
    """Columns by name. A column is decoded when it is asked for; one that the driver does not touch passes through
    with its bytes and its type unchanged.

    `batch["qty"]` is a list of Python values, with `None` for null. `batch["qty"] = values` replaces the values and
    keeps the type; `batch.set("qty", values, type)` adds a column, or gives one another type.
    """

    def __init__(self, columns: list[tuple[str, Type]], raw: Any):
        self._rows = raw.rows
        self._columns: dict[str, _Column] = {}
        at = 0
        for name, kind in columns:
            end = at + nodes_of(kind)
            self._columns[name] = _Column(kind, raw.nodes[at:end])
            at = end

    @classmethod
    def of(cls, columns: Mapping[str, Iterable[Any]], /, **types: Any) -> Batch:
        """A batch of columns, all of the same length: `Batch.of({"id": [1, 2], "name": ["a", None]}, id=int, name=str)`.
        The type of a column that is not declared is that of its first value."""
        batch = cls.empty({})
        for name, values in columns.items():
            values = values if isinstance(values, (list, array)) else list(values)
            if not batch._columns:
                batch._rows = len(values)
            batch.set(name, values, types[name] if name in types else _type_of(name, values))
        return batch

    @classmethod
    def empty(cls, types: Mapping[str, Type], /) -> Batch:
        """A batch of these columns without rows."""
        batch = cls([], contract.arrow.Batch(0, []))
        for name, kind in types.items():
            batch.set(name, [], kind)
        return batch

    def __len__(self) -> int:
        return self._rows

    def __bool__(self) -> bool:
        return True

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    @property
    def types(self) -> dict[str, Type]:
        """The columns and their types."""
        return {name: column.kind for name, column in self._columns.items()}

    def _column(self, name: str) -> _Column:
        try:
            return self._columns[name]
        except KeyError:
            known = ", ".join(f"`{known}`" for known in self._columns) or "none"
            raise NotFoundError(f"the batch has no column `{name}`; it has {known}") from None

    def __getitem__(self, name: str) -> list[Any]:
        return self._column(name).values(f"column `{name}`")

    def __setitem__(self, name: str, values: Iterable[Any]) -> None:
        if name not in self._columns:
            raise NotFoundError(
                f"the batch has no column `{name}`; add one with its type: batch.set({name!r}, values, str)"
            )
        self.set(name, values, self._columns[name].kind)

    def __delitem__(self, name: str) -> None:
        self._column(name)
        del self._columns[name]

    def set(self, name: str, values: Iterable[Any], kind: Any, /) -> None:
        """Adds a column at the end, or replaces one, with values of the type `kind`."""
        values = values if isinstance(values, (list, array)) else list(values)
        if len(values) != self._rows:
            raise DataError(f"column `{name}` has {len(values)} values, but the batch has {self._rows} rows")
        resolved = resolve(kind)
        nodes = encode(resolved, values, f"column `{name}`")
        self._columns[name] = _Column(resolved, nodes)

    def rename(self, name: str, to: str, /) -> None:
        """Gives a column another name; it keeps its place."""
        self._column(name)
        if to in self._columns:
            raise DataError(f"the batch has a column `{to}` already")
        self._columns = {to if known == name else known: column for known, column in self._columns.items()}

    def select(self, *names: str) -> Batch:
        """A batch of these columns only, in this order."""
        chosen = Batch.empty({})
        chosen._rows = self._rows
        chosen._columns = {name: self._column(name) for name in names}
        return chosen

    def take(self, positions: Iterable[int], /) -> Batch:
        """A batch of the rows at these positions, with the same columns and types."""
        chosen = list(positions)
        taken = Batch.empty({})
        taken._rows = len(chosen)
        for name, column in self._columns.items():
            values = self[name]
            taken.set(name, [values[at] for at in chosen], column.kind)
        return taken

    def numbers(self, name: str, /) -> tuple[array[Any], list[int]]:
        """A column of integers or floats as an array, and the positions of its nulls, where the array has any number.
        This is the fastest form; `set` and `[]=` take such an array for a column without nulls."""
        column = self._column(name)
        code = NUMBERS.get(column.kind.format)
        if code is None or column.nodes is None:
            raise DataError(f"column `{name}` is of type {column.kind.duckdb}, which is not a number of fixed width")
        node = column.nodes[0]
        return numbers(code, node.buffers[1]), nulls(node)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows one by one, as dicts of Python values."""
        names = list(self._columns)
        if not names:
            return
        for row in zip(*(self[name] for name in names)):
            yield dict(zip(names, row))

    def contract_schema(self) -> Any:
        """The columns as the contract describes them."""
        return contract.arrow.Schema(
            [field for name, column in self._columns.items() for field in column.kind.fields(name)]
        )

    def contract_batch(self) -> Any:
        """The values as the contract passes them."""
        return contract.arrow.Batch(
            self._rows, [node for column in self._columns.values() for node in column.nodes or []]
        )


def _type_of(name: str, values: Any) -> Type:
    if isinstance(values, array):
        return next(resolve(kind) for kind in _ARRAYS if NUMBERS[resolve(kind).format] == values.typecode)
    value = next((value for value in values if value is not None), None)
    return of_value(value, f"column `{name}`")


_ARRAYS = (
    "TINYINT",
    "UTINYINT",
    "SMALLINT",
    "USMALLINT",
    "INTEGER",
    "UINTEGER",
    "BIGINT",
    "UBIGINT",
    "FLOAT",
    "DOUBLE",
)
