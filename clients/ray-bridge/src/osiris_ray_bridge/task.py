"""What runs on a node, as a Ray task: it starts `osiris worker` and connects it with the bridge for one attempt.

Ray carries this module to the nodes, which need not have this package: it imports nothing else of it. Its arguments contain
no more than where the bridge is and a token that is valid once; everything else comes over a TLS connection from the bridge,
whose certificate must have the fingerprint in the arguments.

Both directions carry frames: a kind, a length, and so many bytes.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import socket
import ssl
import struct
import subprocess
import threading
from dataclasses import dataclass

HEADER = ">BI"
# The first frame from the task: which attempt it is for, its token, and its node.
HELLO = 0
# Bytes of the worker's stdin or stdout.
DATA = 1
# The last frame to the task: the attempt has ended, and the worker may serve the next one.
RELEASE = 2
# The last frame from the task: why there is no worker.
NO_WORKER = 3
# The last frame from the task: how the worker ended.
WORKER_ENDED = 4

MAX_FRAME = 1 << 20
CONNECT_SECONDS = 30
# How much of what a worker wrote to stderr is reported.
MAX_STDERR = 2000
LAST_WORDS_SECONDS = 2


@dataclass(frozen=True)
class Ticket:
    """All that a task is told through Ray."""

    host: str
    port: int
    fingerprint: str
    token: str
    attempt: int


class Worker:
    """A running `osiris worker`."""

    def __init__(self, command: tuple[str, ...]):
        self.command = command
        # One socket is its stdin and stdout. It ends when this process does, which closes the other end.
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
        except OSError:
            ours.close()
            raise
        self.socket = ours
        self.stderr = b""
        self._stderr_reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._stderr_reader.start()

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(sock=self.socket, limit=MAX_FRAME)

    def end(self) -> None:
        """Ends the worker and its attempts, so that it removes its files itself."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.writer.transport.abort()
        try:
            self.process.wait(LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """How it ended, and what it wrote to stderr."""
        try:
            code = self.process.wait(LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            return "its connection ended"
        self._stderr_reader.join(LAST_WORDS_SECONDS)
        text = self.stderr.decode(errors="replace").strip()
        ended = f"signal {-code} ended it" if code < 0 else f"it ended with exit code {code}"
        return f"{ended}; it printed: {text}" if text else ended

    def _read_stderr(self) -> None:
        with self.process.stderr as stderr:
            while part := os.read(stderr.fileno(), 4096):
                self.stderr = (self.stderr + part)[-MAX_STDERR:]


class Kept:
    """What stays in this process from one task to the next, so that a worker keeps its blobs."""

    loop: asyncio.AbstractEventLoop | None = None
    worker: Worker | None = None


def run_attempt(ticket: tuple[str, int, str, str, int], command: tuple[str, ...]) -> None:
    """Runs one attempt: returns once the bridge has released the worker, or closed the connection. `ticket` has the fields of
    a `Ticket`."""
    if Kept.loop is None:
        Kept.loop = asyncio.new_event_loop()
    try:
        Kept.loop.run_until_complete(_serve(Ticket(*ticket), command))
    except ConnectionError:
        # The bridge has ended, or does not want this attempt any more.
        pass


async def _serve(ticket: Ticket, command: tuple[str, ...]) -> None:
    reader, writer = await _connect(ticket)
    try:
        try:
            worker = await _worker(command)
        except OSError as error:
            await _send(writer, NO_WORKER, f"cannot start `{command[0]}`: {error.strerror}".encode())
            return
        if not await _relay(worker, reader, writer):
            Kept.worker = None
            worker.end()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _connect(ticket: Ticket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects to the bridge, and to nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The certificate is self-signed and names no host: its fingerprint says whose it is.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connecting = asyncio.open_connection(ticket.host, ticket.port, ssl=context, limit=MAX_FRAME)
    try:
        reader, writer = await asyncio.wait_for(connecting, CONNECT_SECONDS)
    except (OSError, asyncio.TimeoutError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise RuntimeError(f"cannot connect to the bridge at {ticket.host}:{ticket.port}: {reason}") from None
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    if not hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), ticket.fingerprint):
        writer.transport.abort()
        raise RuntimeError(f"what answers at {ticket.host}:{ticket.port} is not the bridge")
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    hello = {"attempt": ticket.attempt, "token": ticket.token, "node": socket.gethostname()}
    await _send(writer, HELLO, json.dumps(hello).encode())
    return reader, writer


async def _worker(command: tuple[str, ...]) -> Worker:
    """The worker of the last task, if it is still there and was started in the same way, or a new one."""
    worker = Kept.worker
    if worker is not None and (worker.command != command or worker.process.poll() is not None):
        worker.end()
        worker = None
    if worker is None:
        worker = Worker(command)
        await worker.open()
    Kept.worker = worker
    return worker


async def _relay(worker: Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Passes on what bridge and worker say. Returns whether the worker may serve another attempt."""
    to_worker = asyncio.ensure_future(_to_worker(worker, reader))
    to_bridge = asyncio.ensure_future(_to_bridge(worker, writer))
    done, pending = await asyncio.wait([to_worker, to_bridge], return_when=asyncio.FIRST_COMPLETED)
    for direction in pending:
        direction.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if to_worker in done and to_worker.exception() is None:
        return to_worker.result()
    if to_bridge in done and to_bridge.exception() is not None:
        return False
    words = await asyncio.get_running_loop().run_in_executor(None, worker.last_words)
    with contextlib.suppress(OSError):
        await _send(writer, WORKER_ENDED, words.encode())
    return False


async def _to_worker(worker: Worker, reader: asyncio.StreamReader) -> bool:
    """Returns True once the bridge has released the worker, and False if the connection ends."""
    while True:
        try:
            kind, length = struct.unpack(HEADER, await reader.readexactly(struct.calcsize(HEADER)))
            content = await reader.readexactly(length) if length <= MAX_FRAME else b""
        except (asyncio.IncompleteReadError, OSError):
            return False
        if kind == RELEASE:
            return True
        if kind != DATA or length > MAX_FRAME:
            return False
        worker.writer.write(content)
        await worker.writer.drain()


async def _to_bridge(worker: Worker, writer: asyncio.StreamWriter) -> None:
    """Returns once the worker has ended."""
    while content := await _chunk(worker.reader):
        await _send(writer, DATA, content)


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(MAX_FRAME)
    except OSError:
        return b""


async def _send(writer: asyncio.StreamWriter, kind: int, content: bytes) -> None:
    writer.write(struct.pack(HEADER, kind, len(content)) + content)
    await writer.drain()
