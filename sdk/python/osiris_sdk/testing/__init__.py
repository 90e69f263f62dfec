"""Runs a driver natively against a fake host: no WebAssembly, no network.

    from osiris_sdk.testing import Exchange, run

    def test_pages_are_read():
        result = run(driver.extract, config={"url": "https://api.example.com"}, http=[
            Exchange("https://api.example.com?page=1", json={"items": [{"id": 1}], "next": None}),
        ])
        assert result.rows("main") == [{"id": 1}]

A driver that fails raises the error that the host would get: `ConfigError`, `DataError`, … and `InternalError` for an
exception that is not one of the SDK's.
"""

from __future__ import annotations

import json as _json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .. import _fake_contract as contract
from .. import drivers
from .._resources import drop_all
from ..batch import Batch
from ..context import install_log_handler
from ..errors import Error, InternalError
from ..types import of_fields

BATCH = 2048


@dataclass
class Exchange:
    """One request that the driver is expected to make, and the response to it. Parameters may come in any order."""

    url: str
    method: str = "GET"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    body: bytes | str | None = None
    request_json: Any = None
    """The body that the request must have, if it is given."""
    error: Error | None = None
    """Raised instead of a response: for example `TransientError("the connection broke")`."""

    def matches(self, request: Request) -> bool:
        return (
            request.method == self.method
            and _parts(request.url) == _parts(self.url)
            and (self.request_json is None or request.json() == self.request_json)
        )


@dataclass
class Request:
    """A request that the driver made."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return _json.loads(self.body)
        except ValueError:
            return None


def _parts(url: str) -> tuple[str, str, list[tuple[str, str]]]:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path or "/", sorted(parse_qsl(parts.query, keep_blank_values=True))


def recorded(path: str | Path) -> list[Exchange]:
    """The exchanges in a JSON file: a list of objects with the fields of `Exchange`."""
    return [Exchange(**one) for one in _json.loads(Path(path).read_text())]


class Input:
    """The rows of an input with declared types: `Input([{"id": 1, "tags": None}], tags=list[str])`. A column that is
    not declared has the type of its first value."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], /, **types: Any):
        self.rows = list(rows)
        self.types = types

    def batches(self, size: int) -> list[Batch]:
        names = list(dict.fromkeys([*(name for row in self.rows for name in row), *self.types]))
        whole = Batch.of({name: [row.get(name) for row in self.rows] for name in names}, **self.types)
        return [whole.take(range(start, min(start + size, len(whole)))) for start in range(0, max(1, len(whole)), size)]


class Result:
    """What a run left behind."""

    def __init__(self, host: contract.FakeHost, requests: list[Request], returned: Any):
        self._host = host
        self.requests = requests
        """The HTTP requests, in order."""
        self.returned = returned
        """What `check` or `discover` returned."""
        self.log = host.log
        """The log: (level, message, fields)."""
        self.rejected = host.rejected
        """The rows that the driver rejected: (row, reason)."""
        self.metrics = dict(host.metrics)
        self.progress = host.progress
        self.waits = host.waits
        """How many seconds the driver waited, for example before retries."""

    @property
    def tables(self) -> list[str]:
        return list(self._host.tables)

    def _table(self, name: str) -> Any:
        if name not in self._host.tables:
            raise AssertionError(f"the driver made no table `{name}`; it made {', '.join(self._host.tables) or 'none'}")
        return self._host.tables[name]

    def rows(self, name: str = "main") -> list[dict[str, Any]]:
        """The rows of a table. Declared columns have Python's values of their types."""
        table = self._table(name)
        if isinstance(table, contract.tables.JsonWriter):
            return table.records
        columns = of_fields(table.schema.fields)
        return [row for raw in table.batches for row in Batch(columns, raw).rows()]

    def types(self, name: str = "main") -> dict[str, str]:
        """The DuckDB types of a table's columns; of a table of rows, those that were declared."""
        table = self._table(name)
        if isinstance(table, contract.tables.JsonWriter):
            return table.declared
        return {column: kind.duckdb for column, kind in of_fields(table.schema.fields)}

    @property
    def state(self) -> Any:
        """The state that the driver stored, or else the one that it was given."""
        return None if self._host.state is None else _json.loads(self._host.state)

    def file(self, path: str) -> bytes:
        """The content of a file that the driver wrote."""
        return self._host.written[path].read_bytes()


def run(
    driver: drivers.Driver,
    *,
    config: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    inputs: Mapping[str, Input | Iterable[Mapping[str, Any]]] | None = None,
    http: Iterable[Exchange] | Callable[[Request], Exchange] = (),
    state: Any = None,
    files: Mapping[str, bytes] | None = None,
    tcp: Mapping[str, Any] | None = None,
    partition: tuple[int, int] = (0, 1),
    attempt: int = 1,
    rejects: int | None = None,
    batch_size: int = BATCH,
) -> Result:
    """Runs a driver's function.

    `secrets` are by JSON pointer (`{"/token": "…"}`), `inputs` by alias. `http` is what the driver is expected to
    request, each exchange once, or a function that responds to each request. `rejects` is how many rows the pipeline lets
    the step reject, any number by default. `tcp` is an object for each `host:port`
    that has `read(length)` and `write(bytes)`.
    """
    fake = contract.FakeHost(
        config=dict(config or {}), secrets=dict(secrets or {}), partition=partition, attempt=attempt, rejects=rejects,
        state=None if state is None else _json.dumps(state), files=dict(files or {}), tcp=dict(tcp or {}),
    )  # fmt: skip
    requests: list[Request] = []
    expected = http if callable(http) else list(http)
    fake.send = lambda outgoing: _respond(outgoing, requests, expected)
    contract.enter(fake)
    try:
        for alias, rows in (inputs or {}).items():
            given = rows if isinstance(rows, Input) else Input(rows)
            fake.inputs.append(contract.tables.Input(alias, given.batches(batch_size)))
        returned = _call(driver, fake, inputs is not None)
        unfinished = [name for name, table in fake.tables.items() if not table.finished]
        if unfinished:
            raise InternalError(f"the driver returned, but did not finish the table `{unfinished[0]}`")
    finally:
        drop_all()
        contract.enter(None)
    if not callable(expected) and expected:
        raise AssertionError(
            f"the driver did not make {len(expected)} requests, first {expected[0].method} {expected[0].url}"
        )
    return Result(fake, requests, returned)


def _call(driver: drivers.Driver, fake: contract.FakeHost, has_inputs: bool) -> Any:
    """Calls the driver with the arguments that its kind takes."""
    kind = getattr(driver, "osiris_export", "")
    inputs = fake.inputs if kind in ("Transform", "Load") or not kind and has_inputs else None
    output = contract.tables.Output() if kind in ("Extract", "Transform", "") else None
    install_log_handler()
    try:
        return drivers.call(driver, inputs, output)
    except (Error, AssertionError):
        raise
    except Exception as error:
        raise drivers.unexpected(error) from error


def _respond(outgoing: Any, requests: list[Request], expected: Any) -> Any:
    from ..http.transport import Incoming

    request = Request(outgoing.method, outgoing.url, dict(outgoing.headers.items()), outgoing.body or b"")
    requests.append(request)
    if callable(expected):
        exchange = expected(request)
    else:
        exchange = next((one for one in expected if one.matches(request)), None)
        if exchange is None:
            left = "; ".join(f"{one.method} {one.url}" for one in expected) or "nothing"
            raise AssertionError(
                f"the driver made a request that is not recorded: {request.method} {request.url}; left: {left}"
            )
        expected.remove(exchange)
    if exchange.error is not None:
        raise exchange.error
    body = exchange.body if exchange.body is not None else b"" if exchange.json is None else _json.dumps(exchange.json)
    content = body.encode() if isinstance(body, str) else body
    headers = {name.lower(): value for name, value in exchange.headers.items()}
    if exchange.json is not None:
        headers.setdefault("content-type", "application/json")
    return Incoming(exchange.status, list(headers.items()), content)


__all__ = ["Exchange", "Input", "Request", "Result", "recorded", "run"]
