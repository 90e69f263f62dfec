"""A fake of the contract's imports, which a driver uses in a native test in place of the generated bindings.

Each class stands for one interface, with the names that componentize-py gives its members. The functions work on the
current `FakeHost`; `osiris_sdk.testing.run` makes one for each run.
"""

from __future__ import annotations

import builtins
import enum
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Err(Exception):
    """A refusal, as componentize-py raises it."""

    value: Any


@dataclass
class Ok:
    value: Any


class errors:
    ErrorKind = enum.Enum(
        "ErrorKind",
        "CONFIG AUTH DENIED NOT_FOUND RATE_LIMITED TRANSIENT TIMEOUT DATA LIMIT INTERNAL OTHER",
        start=0,
    )

    @dataclass
    class Error:
        kind: Any
        code: str | None
        message: str
        retry_after_ms: int | None


def refusal(kind: str, message: str) -> Err:
    """The refusal of a kind such as `NOT_FOUND`."""
    return Err(errors.Error(errors.ErrorKind[kind], None, message, None))


class arrow:
    @dataclass
    class Field:
        name: str
        format: str
        nullable: bool
        children: int
        metadata: list[tuple[str, str]]

    @dataclass
    class Schema:
        fields: list[Any]

    @dataclass
    class Node:
        length: int
        buffers: list[bytes]

    @dataclass
    class Batch:
        rows: int
        nodes: list[Any]


class catalog:
    @dataclass
    class Column:
        name: str
        source_type: str
        duckdb_type: str
        nullable: bool

    @dataclass
    class Table:
        schema: str | None
        name: str
        columns: list[Any]
        primary_key: list[str]
        estimated_rows: int | None


class _Resource:
    """What all resources have: they are dropped at the end of a `with` block, and not used afterwards."""

    dropped = False

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.dropped = True


class context:
    Level = enum.Enum("Level", "TRACE DEBUG INFO WARN ERROR", start=0)

    @dataclass
    class Part:
        index: int
        count: int

    @staticmethod
    def step_id() -> str:
        return host().step_id

    @staticmethod
    def config() -> str:
        return json.dumps(host().config)

    @staticmethod
    def partition() -> Any:
        return context.Part(*host().partition)

    @staticmethod
    def attempt() -> int:
        return host().attempt

    @staticmethod
    def reject(row: str, reason: str) -> None:
        host().rejected.append((json.loads(row), reason))
        if host().rejects is not None and len(host().rejected) > host().rejects:
            raise refusal("DATA", f"a row was rejected: {reason}")

    @staticmethod
    def log(level: Any, message: str, fields: list[tuple[str, str]]) -> None:
        host().log.append((level.name.lower(), message, dict(fields)))

    @staticmethod
    def metric(name: str, value: float) -> None:
        host().metrics.append((name, value))

    @staticmethod
    def progress(done: int, total: int | None) -> None:
        host().progress.append((done, total))


class secrets:
    class Secret(_Resource):
        def __init__(self, value: str):
            self._value = value

        def reveal(self) -> str:
            return self._value

    @staticmethod
    def get(name: str) -> Any:
        pointer = name if name.startswith("/") or not name else "/" + name.replace(".", "/")
        value = host().secrets.get(pointer)
        return None if value is None else secrets.Secret(value)

    @staticmethod
    def list(below: str) -> builtins.list[str]:
        return [
            pointer for pointer in host().secrets if not below or pointer == below or pointer.startswith(below + "/")
        ]


class state:
    @staticmethod
    def get() -> str | None:
        return host().state

    @staticmethod
    def set(text: str) -> None:
        for value in host().secrets.values():
            if value in text:
                raise refusal("DENIED", "the state contains a secret of the step")
        if len(text.encode()) > 1 << 20:
            raise refusal("DATA", "the state is larger than 1 MiB")
        host().state = text


class tables:
    Types = enum.Enum("Types", "EXACT PLAIN", start=0)

    @dataclass
    class Column:
        name: str
        duckdb_type: str

    class Input(_Resource):
        def __init__(self, alias: str, batches: list[Any]):
            self._alias, self.batches = alias, batches

        def alias(self) -> str:
            return self._alias

        def sql_name(self) -> str:
            return '"' + self._alias.replace('"', '""') + '"'

        def rows(self) -> int:
            return sum(len(batch) for batch in self.batches)

        def schema(self, types: Any) -> Any:
            return self.batches[0].contract_schema()

        def _chosen(self, columns: list[str]) -> list[Any]:
            known = self.batches[0].types
            for name in columns:
                if name not in known:
                    raise refusal(
                        "NOT_FOUND", f"input `{self._alias}` has no column `{name}`; it has {', '.join(known)}"
                    )
            return [batch.select(*columns) if columns else batch for batch in self.batches]

        def read(self, columns: list[str], types: Any) -> Any:
            return tables.Reader(self._chosen(columns))

        def read_json(self, columns: list[str]) -> Any:
            return tables.JsonReader(self._chosen(columns))

    class Reader(_Resource):
        def __init__(self, batches: list[Any]):
            self._schema = batches[0].contract_schema()
            self._left = [batch for batch in batches if len(batch)]

        def schema(self) -> Any:
            return self._schema

        def next(self) -> Any:
            return self._left.pop(0).contract_batch() if self._left else None

    class JsonReader(_Resource):
        def __init__(self, batches: list[Any]):
            self._left = [batch for batch in batches if len(batch)]

        def next(self) -> str | None:
            from ._json_rows import chunks

            if not self._left:
                return None
            return "".join(chunk.text for row in self._left.pop(0).rows() for chunk in chunks([row]))

    class Output(_Resource):
        def create_table(self, name: str, schema: Any) -> Any:
            return _new_table(name, tables.TableWriter(schema))

        def create_json_table(self, name: str, columns: list[Any]) -> Any:
            return _new_table(name, tables.JsonWriter({column.name: column.duckdb_type for column in columns}))

    class TableWriter(_Resource):
        def __init__(self, schema: Any):
            self.schema = schema
            self.batches: list[Any] = []
            self.finished = False

        def append(self, batch: Any) -> None:
            if len(batch.nodes) != len(self.schema.fields):
                raise refusal(
                    "DATA",
                    f"the batch has {len(batch.nodes)} nodes, but the table has {len(self.schema.fields)} fields",
                )
            self.batches.append(batch)

        def finish(self) -> int:
            self.finished = True
            return sum(batch.rows for batch in self.batches)

    class JsonWriter(_Resource):
        def __init__(self, declared: dict[str, str]):
            self.declared = declared
            self.records: list[dict[str, Any]] = []
            self.finished = False

        def append(self, text: str) -> None:
            from ._json_rows import exact_number

            decoder = json.JSONDecoder(parse_float=exact_number, object_pairs_hook=_object)
            at = 0
            while (at := _after_space(text, at)) < len(text):
                try:
                    record, at = decoder.raw_decode(text, at)
                except ValueError as error:
                    raise refusal("DATA", f"record {len(self.records)} is not JSON: {error}") from None
                for one in record if isinstance(record, list) else [record]:
                    if not isinstance(one, dict):
                        raise refusal("DATA", f"record {len(self.records)} is not an object")
                    self.records.append(one)

        def finish(self) -> int:
            from .testing._cast import cast_records

            try:
                self.records = cast_records(self.records, self.declared)
            except ValueError as error:
                raise refusal("DATA", str(error)) from None
            self.finished = True
            return len(self.records)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise refusal("DATA", "a record has two members of the same name")
    return members


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _new_table(name: str, table: Any) -> Any:
    if name in host().tables:
        raise refusal("INTERNAL", f"table `{name}` exists already")
    host().tables[name] = table
    return table


class sql:
    @staticmethod
    def create_table(output: Any, name: str, select: str) -> int:
        from .testing._duckdb import select_batch

        batch = select_batch(host(), select)
        table = output.create_table(name, batch.contract_schema())
        table.append(batch.contract_batch())
        return table.finish()

    @staticmethod
    def query(select: str, types: Any) -> Any:
        from .testing._duckdb import select_batch

        return tables.Reader([select_batch(host(), select)])

    @staticmethod
    def query_json(select: str) -> Any:
        from .testing._duckdb import select_batch

        return tables.JsonReader([select_batch(host(), select)])


class files:
    Format = enum.Enum("Format", "CSV PARQUET JSON", start=0)

    class _File(_Resource):
        def __init__(self, path: Path):
            self.path = path

        def sql_literal(self) -> str:
            return "'" + str(self.path).replace("'", "''") + "'"

        def size(self) -> int:
            return self.path.stat().st_size

        def read(self, offset: int, length: int) -> bytes:
            with self.path.open("rb") as opened:
                opened.seek(offset)
                return opened.read(length)

        def digest(self) -> str:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()

        def write(self, data: bytes) -> None:
            with self.path.open("ab") as opened:
                opened.write(data)

        def copy(self, select: str, format: Any, options: builtins.list[tuple[str, str]]) -> int:
            from .testing._duckdb import copy

            return copy(host(), select, self.path, format.name.lower(), dict(options))

    @staticmethod
    def list(path: str) -> builtins.list[str]:
        files.open(path)
        return [path]

    @staticmethod
    def open(path: str) -> Any:
        if path not in host().files:
            raise refusal("DENIED", f"the step was not granted `{path}`")
        return files._File(_file(path, host().files[path]))

    @staticmethod
    def create(path: str) -> Any:
        if path in host().written:
            raise refusal("INTERNAL", f"`{path}` is open already")
        host().written[path] = _file(path, b"")
        return files._File(host().written[path])

    @staticmethod
    def create_temporary() -> Any:
        return files._File(_file("temporary", b""))


def _file(name: str, content: bytes) -> Path:
    """A new file in the fake host's own folder."""
    folder = Path(tempfile.mkdtemp(dir=host().folder.name))
    path = folder / (Path(name).name or "file")
    path.write_bytes(content)
    return path


class tcp:
    Verify = enum.Enum("Verify", "NONE FULL", start=0)

    @dataclass
    class TlsOptions:
        verify: Any
        server_name: str | None
        ca: str | None

    class Connection(_Resource):
        """A connection to an object of the test, which has `read(length)` and `write(bytes)`, and `start_tls(options)` if
        it supports TLS."""

        def __init__(self, server: Any):
            self._server = server

        def set_timeout(self, timeout_ms: int) -> None:
            pass

        def read(self, length: int) -> bytes:
            return self._server.read(length)

        def write(self, data: bytes) -> None:
            self._server.write(data)

        def start_tls(self, options: Any) -> None:
            self._server.start_tls(options)

        def server_end_point(self) -> bytes | None:
            return None

    @staticmethod
    def connect(name: str, port: int, timeout_ms: int) -> Any:
        server = host().tcp.get(f"{name}:{port}")
        if server is None:
            raise refusal("DENIED", f"the step was not granted a connection to `{name}:{port}`")
        return tcp.Connection(server() if callable(server) else server)


@dataclass
class FakeHost:
    """What a run of a driver is given, and what it leaves behind."""

    config: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    state: str | None = None
    step_id: str = "step"
    partition: tuple[int, int] = (0, 1)
    attempt: int = 1
    rejects: int | None = None
    rejected: list[tuple[Any, str]] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    tcp: dict[str, Any] = field(default_factory=dict)
    send: Callable[[Any], Any] = lambda request: (_ for _ in ()).throw(_no_http(request))
    log: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    metrics: list[tuple[str, float]] = field(default_factory=list)
    progress: list[tuple[int, int | None]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    tables: dict[str, Any] = field(default_factory=dict)
    written: dict[str, Path] = field(default_factory=dict)
    folder: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="osiris-")
    )


def _no_http(request: Any) -> Exception:
    from .errors import DeniedError

    return DeniedError(f"the test recorded no HTTP, but the driver calls {request.method} {request.url}")


_current: FakeHost | None = None


def host() -> FakeHost:
    """The fake host of the current run."""
    if _current is None:
        raise RuntimeError("there is no host: run the driver with `osiris_sdk.testing.run`, or build it as a component")
    return _current


def enter(fake: FakeHost | None) -> None:
    """Makes `fake` the current host."""
    global _current
    _current = fake
