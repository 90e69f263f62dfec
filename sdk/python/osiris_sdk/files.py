"""The files that the step was granted, each by the path in its config, and the step's own temporary files."""

from __future__ import annotations

import builtins
import io
from collections.abc import Mapping
from typing import Any

from . import _contract as contract
from .errors import raises_host_errors

# The largest part that is passed to the host or asked of it at once.
_PART = 8 << 20


class Source(io.RawIOBase):
    """A granted file that is read: a binary file object, with its name for DuckDB's own readers."""

    def __init__(self, raw: Any):
        super().__init__()
        self._raw = raw
        self._at = 0
        self.size: int = raw.size()

    @property
    def sql_literal(self) -> str:
        """The file as a string literal: `from read_csv({source.sql_literal})`."""
        return self._raw.sql_literal()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    @raises_host_errors
    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        part = self._raw.read(self._at, min(len(view), _PART))
        view[: len(part)] = part
        self._at += len(part)
        return len(part)


class _Written(io.RawIOBase):
    def __init__(self, raw: Any):
        super().__init__()
        self._raw = raw

    def writable(self) -> bool:
        return True

    @raises_host_errors
    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PART):
            self._raw.write(bytes(view[start : start + _PART]))
        return len(view)


class Target(_Written):
    """A granted file that is written. It replaces the file of that path only when the whole step has succeeded."""

    @raises_host_errors
    def copy(self, select: str, format: str, options: Mapping[str, str] | None = None) -> int:
        """Writes the rows of one SELECT with DuckDB's own writer for `csv`, `parquet` or `json`; returns the number of
        rows. The options are those of DuckDB's COPY, such as `{"delimiter": ";"}`."""
        return self._raw.copy(select, contract.files.Format[format.upper()], builtins.list((options or {}).items()))


class Temporary(_Written):
    """A temporary file, which is first written and then read by DuckDB. Keep it until its queries have ended."""

    @property
    def sql_literal(self) -> str:
        """The file as a string literal for DuckDB's own readers. The file cannot be written afterwards."""
        return self._raw.sql_literal()


@raises_host_errors
def list(path: str) -> builtins.list[str]:  # noqa: A001  # named as in the contract
    """The files that a granted path stands for."""
    return contract.files.list(path)


@raises_host_errors
def open(path: str) -> Source:  # noqa: A001  # named as in the contract
    """Opens a granted file for reading. `path` must be written as in the config."""
    return Source(contract.files.open(path))


@raises_host_errors
def create(path: str) -> Target:
    """Opens a granted file for writing."""
    return Target(contract.files.create(path))


@raises_host_errors
def temporary() -> Temporary:
    """Creates an empty temporary file, which needs no grant."""
    return Temporary(contract.files.create_temporary())
