"""The lines of the worker protocol: JSON objects, some of which are followed by bytes."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

# The limits of docs/worker-protocol.md.
PROTOCOL = 2
MAX_LINE = 64 << 20
MAX_CHUNK = 1 << 20
MAX_BLOBS = 10_000


class ProtocolError(Exception):
    """The other side sent something that is not part of the protocol. The message contains nothing of what it sent."""


@dataclass(frozen=True, repr=False)
class Line:
    """A line and the bytes that follow it. It has no `repr`, because a line may contain secrets."""

    raw: bytes
    value: dict[str, Any]
    payload: bytes

    @property
    def type(self) -> str:
        return str(self.value["type"])

    def number(self, key: str) -> int:
        return natural(self.value.get(key), key)


def natural(value: Any, name: str) -> int:
    """A number from the other side, which must fit into 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise ProtocolError(f"`{name}` is not a whole number")
    return value


def encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


class LineReader:
    """Reads lines from chunks of bytes. `read_chunk` returns no bytes at the end."""

    def __init__(self, read_chunk: Callable[[], Awaitable[bytes]]):
        self._read_chunk = read_chunk
        self._buffer = bytearray()

    async def read(self) -> Line | None:
        """The next line, or None at the end."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > MAX_LINE:
                raise ProtocolError(f"a line is longer than {MAX_LINE >> 20} MB")
            if not await self._fill():
                if searched:
                    raise ProtocolError("the connection ended in the middle of a line")
                return None
        raw = self._take(end + 1)
        value = _parse(raw)
        length = natural(value.get("length", 0), "length")
        if length > MAX_CHUNK:
            raise ProtocolError(f"{length} bytes follow a line, more than {MAX_CHUNK}")
        while len(self._buffer) < length:
            if not await self._fill():
                raise ProtocolError("the connection ended in the middle of a file")
        return Line(raw, value, self._take(length))

    async def _fill(self) -> bool:
        chunk = await self._read_chunk()
        self._buffer += chunk
        return bool(chunk)

    def _take(self, length: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:length])
        del self._buffer[:length]
        return taken


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise ProtocolError("a line is not a JSON object with a `type`")
    return value
