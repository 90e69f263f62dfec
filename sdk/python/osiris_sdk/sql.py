"""SQL over the step's inputs. It runs inside DuckDB, so no row is passed to the driver unless it asks for rows.

Each call takes exactly one SELECT statement in DuckDB's dialect, which can use every input by its `sql_name`, and
granted or temporary files by their `sql_literal`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import _contract as contract
from ._resources import opened
from .errors import raises_host_errors
from .tables import Output, Reader, _json_records, _types


@raises_host_errors
def create_table(output: Output, name: str, select: str) -> int:
    """Creates the table `name` in `output` from the rows of `select`; returns the number of rows."""
    return contract.sql.create_table(output._raw, name, select)


@raises_host_errors
def query(select: str, *, plain: bool = False) -> Reader:
    """Runs `select` and reads its rows in batches of columns; see `Input.batches` for `plain`."""
    return Reader(contract.sql.query(select, _types(plain)))


@raises_host_errors
def rows(select: str) -> Iterator[dict[str, Any]]:
    """Runs `select` and reads its rows as dicts of JSON values; see `Input.rows`."""
    return _json_records(opened(contract.sql.query_json(select)))


def literal(text: str) -> str:
    """The text as a string literal for a SELECT."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """The name of a column as a quoted identifier for a SELECT."""
    return '"' + name.replace('"', '""') + '"'
