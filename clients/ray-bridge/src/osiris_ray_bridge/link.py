"""The bridge's end of a connection with a task, and the server that accepts it."""

import asyncio
import hmac
import json
import secrets
import socket
import struct

from . import certificate, task
from .lines import Line, LineReader, ProtocolError

HELLO_SECONDS = 10
MAX_HELLO = 4096
# The longest reason for which a worker ended.
MAX_WORDS = 16 << 10


class WorkerEnded(Exception):
    """The worker of an attempt has ended, or its connection has; the message says how."""


class NoWorker(Exception):
    """A node cannot start a worker; the message says why."""


class Link:
    """A connection with the task of one attempt, and through it with a worker."""

    def __init__(self, node: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.node = node
        self._reader = reader
        self._writer = writer
        self._lines = LineReader(self._read_chunk)

    async def read(self) -> Line:
        line = await self._lines.read()
        if line is None:
            raise WorkerEnded("its connection ended")
        return line

    def write(self, content: bytes) -> None:
        """Sends bytes to the worker's stdin without waiting until they have left."""
        for start in range(0, len(content), task.MAX_FRAME):
            self._write_frame(task.DATA, content[start : start + task.MAX_FRAME])

    async def send(self, content: bytes) -> None:
        self.write(content)
        try:
            await self._writer.drain()
        except OSError:
            raise WorkerEnded("its connection ended") from None

    def release(self) -> None:
        """Leaves the worker to the next task on its node."""
        self._write_frame(task.RELEASE, b"")
        self._writer.close()

    def abort(self) -> None:
        """Ends the connection, upon which the task ends the worker."""
        self._writer.transport.abort()

    def _write_frame(self, kind: int, content: bytes) -> None:
        self._writer.write(struct.pack(task.HEADER, kind, len(content)))
        self._writer.write(content)

    async def _read_chunk(self) -> bytes:
        try:
            kind, content = await read_frame(self._reader, task.MAX_FRAME)
        except (asyncio.IncompleteReadError, OSError):
            raise WorkerEnded("its connection ended") from None
        if kind == task.DATA and content:
            return content
        if kind in (task.NO_WORKER, task.WORKER_ENDED):
            words = content[:MAX_WORDS].decode(errors="replace")
            raise (NoWorker if kind == task.NO_WORKER else WorkerEnded)(words)
        raise ProtocolError("a frame of an unknown kind")


async def read_frame(reader: asyncio.StreamReader, limit: int) -> tuple[int, bytes]:
    kind, length = struct.unpack(task.HEADER, await reader.readexactly(struct.calcsize(task.HEADER)))
    if length > limit:
        raise ProtocolError("a frame is too long")
    return kind, await reader.readexactly(length)


class Server:
    """Accepts the connections of tasks. Each proves by a token, which is valid once, which attempt it is for."""

    def __init__(self) -> None:
        self._identity = certificate.create()
        self._expected: dict[int, tuple[str, asyncio.Future[Link]]] = {}

    async def start(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(
            self._accept, host, port, ssl=self._identity.context, ssl_handshake_timeout=HELLO_SECONDS, limit=task.MAX_FRAME
        )
        self.address = self._server.sockets[0].getsockname()[:2]

    def expect(self, attempt: int) -> tuple[task.Ticket, "asyncio.Future[Link]"]:
        """A ticket for the task of an attempt, and its connection once it is there."""
        token = secrets.token_hex(32)
        connected: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._expected[attempt] = (token, connected)
        return task.Ticket(*self.address, self._identity.fingerprint, token, attempt), connected

    def forget(self, attempt: int) -> None:
        self._expected.pop(attempt, None)

    def close(self) -> None:
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            kind, content = await asyncio.wait_for(read_frame(reader, MAX_HELLO), HELLO_SECONDS)
            hello = json.loads(content)
            attempt, token, node = hello["attempt"], hello["token"], str(hello["node"])
            expected, connected = self._expected[attempt]
            is_right = kind == task.HELLO and hmac.compare_digest(token.encode(), expected.encode())
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, OSError, ProtocolError, ValueError, LookupError, TypeError, AttributeError):
            is_right = False
        if not is_right:
            writer.transport.abort()
            return
        self.forget(attempt)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.set_result(Link(node, reader, writer))
