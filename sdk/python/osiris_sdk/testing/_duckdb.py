"""SQL in native tests, by the Python package `duckdb` if the test's environment has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..batch import Batch
from ..types import Interval, Tagged, resolve
from .._fake_contract import FakeHost, refusal


def _connection(host: FakeHost) -> Any:
    """A database with the step's inputs as tables."""
    try:
        import duckdb
    except ImportError:
        raise RuntimeError("the driver uses SQL: run `pip install duckdb` to test it natively") from None
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    for table in host.inputs:
        types = table.batches[0].types
        columns = ", ".join('"' + name.replace('"', '""') + f'" {kind.duckdb}' for name, kind in types.items())
        connection.execute(f"create table {table.sql_name()} ({columns})")
        rows = [[_parameter(value) for value in row.values()] for batch in table.batches for row in batch.rows()]
        if rows:
            connection.executemany(f"insert into {table.sql_name()} values ({', '.join('?' for _ in types)})", rows)
    return connection


def _parameter(value: Any) -> Any:
    if isinstance(value, Interval):
        return f"{value.months} months {value.days} days {value.nanoseconds // 1000} microseconds"
    return value.value if isinstance(value, Tagged) else value


def select_batch(host: FakeHost, select: str) -> Batch:
    """The rows of a SELECT over the inputs."""
    with _connection(host) as connection:
        try:
            relation = connection.sql(select)
            names, types = relation.columns, [str(kind) for kind in relation.types]
            rows = relation.fetchall()
        except Exception as error:
            raise refusal("CONFIG", f"{type(error).__name__}: {error}") from None
    batch = Batch.empty({})
    batch._rows = len(rows)
    for at, (name, kind) in enumerate(zip(names, types)):
        batch.set(name, [row[at] for row in rows], resolve(kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")))
    return batch


def copy(host: FakeHost, select: str, path: Path, format: str, options: dict[str, str]) -> int:
    """Writes the rows of a SELECT to a file."""
    with _connection(host) as connection:
        more = "".join(f", {name} '{value}'" for name, value in options.items())
        target = str(path).replace("'", "''")
        return connection.execute(f"copy ({select}) to '{target}' (format {format}{more})").fetchone()[0]
