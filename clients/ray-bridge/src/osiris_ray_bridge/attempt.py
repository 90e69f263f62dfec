"""An attempt: from its Ray task, over the connection with a worker, to its last answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from . import failures
from .blobs import Blob, Blobs
from .cluster import Cluster, Placed, Resources
from .failures import Failure
from .lines import PROTOCOL, Line, ProtocolError, encode
from .link import Link, NoWorker, Server, WorkerEnded

PING_SECONDS = 5
# A worker that has not sent anything for so long is lost.
PATIENCE_SECONDS = 60
# How long a task may take to end after its attempt has, and a worker to end an attempt.
END_SECONDS = 5

# Sends a line and its bytes to the host.
Answer = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True)
class Surroundings:
    """What all attempts share."""

    server: Server
    cluster: Cluster
    blobs: Blobs
    answer: Answer
    # The host's version, which the workers must have as well.
    version: str


@dataclass(frozen=True, repr=False)
class Order:
    """An attempt that the host wants to be run. It has no `repr`, because it contains secrets."""

    attempt: int
    blobs: list[Blob]
    # The host's `exec_step`.
    line: bytes
    resources: Resources
    may_connect: bool


class Attempt:
    """Runs on a task of its own, and sends exactly one last answer."""

    def __init__(self, order: Order, surroundings: Surroundings):
        self._order = order
        self._around = surroundings
        self._placed: Placed | None = None
        self._link: Link | None = None
        # Pings that the worker has not answered yet.
        self._pings = 0
        self._has_started = False
        self._killed = asyncio.Event()

    async def run(self) -> None:
        """Runs the attempt and answers the host. The blobs are pinned already."""
        try:
            last = await self._outcome()
        finally:
            self._around.server.forget(self._order.attempt)
            self._around.blobs.unpin(self._order.blobs)
            if self._link is not None:
                self._link.abort()
            if self._placed is not None:
                self._placed.cancel(force=False)
        await self._around.answer(last)

    def kill(self) -> None:
        self._killed.set()

    def _failed(self, failure: Failure) -> bytes:
        # Once the worker has the job, nobody knows whether it has connected.
        connected = self._has_started and self._order.may_connect
        return encode({"type": "error", "attempt": self._order.attempt, "failure": failure, "connected": connected})

    async def _outcome(self) -> bytes:
        """Runs the attempt; returns its last answer."""
        failure = self._around.cluster.refuse(self._order.resources)
        if failure is not None:
            return self._failed(failure)
        ticket, connected = self._around.server.expect(self._order.attempt)
        try:
            self._placed = self._around.cluster.place(ticket, self._order.resources)
        except Exception as error:  # Ray raises errors of many kinds.
            return self._failed(failures.lost(f"Ray does not accept the task: {_first_line(error)}"))
        killed = asyncio.ensure_future(self._killed.wait())
        work = asyncio.ensure_future(self._work(connected))
        try:
            return await self._first_outcome(work, killed, self._placed.done)
        finally:
            killed.cancel()
            work.cancel()
            await asyncio.gather(work, killed, return_exceptions=True)

    async def _first_outcome(self, work: "asyncio.Future[bytes]", killed: "asyncio.Future[bool]", done: "asyncio.Future[None]") -> bytes:
        await asyncio.wait([work, killed, done], return_when=asyncio.FIRST_COMPLETED)
        if killed.done() and not work.done():
            if self._link is None or not self._has_started:
                return self._failed(failures.interrupted())
            self._link.write(encode({"type": "kill", "attempt": self._order.attempt}))
            await asyncio.wait([work, done], timeout=END_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            # The task has ended; what it sent before may still arrive.
            await asyncio.wait([work], timeout=END_SECONDS if self._link is not None else 0)
        if not work.done():
            reason = "the worker did not end the attempt"
            if done.done():
                error = done.exception()
                reason = "it ended without an answer" if error is None else _first_line(error)
            return self._failed(failures.lost(f"the Ray task of the attempt was lost: {reason}"))
        return work.result()

    async def _work(self, connected: "asyncio.Future[Link]") -> bytes:
        """Has a worker run the attempt; returns its last answer."""
        self._link = link = await connected
        pinging = asyncio.ensure_future(self._ping(link))
        try:
            last = await self._converse(link)
            pinging.cancel()
            await self._release(link)
            return last
        except NoWorker as error:
            hint = f"install Osiris {self._around.version} on each node of the cluster, or say where it is with `--program`"
            return self._failed(failures.unusable(f"node `{link.node}` has no worker: {error}", hint))
        except WorkerEnded as error:
            return self._failed(failures.lost(f"the worker on node `{link.node}` was lost: {error}"))
        except ProtocolError as error:
            return self._failed(failures.protocol(f"what answers on node `{link.node}` is not `osiris worker`: {error}"))
        finally:
            pinging.cancel()

    async def _ping(self, link: Link) -> None:
        while True:
            self._pings += 1
            link.write(encode({"type": "ping", "protocol": PROTOCOL, "version": self._around.version}))
            await asyncio.sleep(PING_SECONDS)

    async def _read(self, link: Link) -> Line:
        try:
            return await asyncio.wait_for(link.read(), PATIENCE_SECONDS)
        except asyncio.TimeoutError:
            raise WorkerEnded(f"nothing was heard of it for {PATIENCE_SECONDS} s") from None

    async def _converse(self, link: Link) -> bytes:
        """Hands the attempt over and passes on what the worker says of it, until its last answer."""
        needed = [{"digest": blob.digest, "bytes": blob.bytes} for blob in self._order.blobs]
        # The worker's version is known before it gets anything.
        self._check(link, await self._read(link))
        await link.send(encode({"type": "prepare", "attempt": self._order.attempt, "blobs": needed}))
        while True:
            line = await self._read(link)
            if line.type == "pong":
                self._check(link, line)
                continue
            if line.type == "error" and line.value.get("attempt") is None:
                raise WorkerEnded(f"it reported: {_message(line.value)}")
            if line.number("attempt") != self._order.attempt:
                raise ProtocolError("it speaks of another attempt")
            if line.type == "ready" and not self._has_started:
                await self._hand_over(link, line.value.get("lacks"))
            elif line.type in ("complete", "error"):
                return line.raw
            elif line.type in ("log", "metric", "progress", "checks", "event", "output") and self._has_started:
                await self._around.answer(line.raw + line.payload)
            else:
                raise ProtocolError(f"an answer of a type that is not expected now")

    def _check(self, link: Link, line: Line) -> None:
        """Takes the answer to a ping, which must come from the same version."""
        version = line.value.get("version")
        if line.type != "pong" or not isinstance(version, str):
            raise ProtocolError("it does not answer a ping")
        if (line.value.get("protocol"), version) != (PROTOCOL, self._around.version):
            raise NoWorker(f"its Osiris is {version[:40]}, but this one is {self._around.version}")
        # A worker that receives blobs says unasked that it lives.
        self._pings = max(0, self._pings - 1)

    async def _hand_over(self, link: Link, lacks: Any) -> None:
        """Sends what the worker lacks, then the job."""
        if not isinstance(lacks, list) or not {str(digest) for digest in lacks} <= {blob.digest for blob in self._order.blobs}:
            raise ProtocolError("it lacks what it was not offered")
        for digest in lacks:
            for at, part in self._around.blobs.parts(digest):
                await link.send(encode({"type": "blob", "digest": digest, "at": at, "length": len(part)}) + part)
        self._has_started = True
        await link.send(self._order.line)

    async def _release(self, link: Link) -> None:
        """Leaves the worker to the next attempt, once nothing is on its way from it; then the task ends."""
        try:
            while self._pings:
                self._check(link, await self._read(link))
        except (WorkerEnded, NoWorker, ProtocolError):
            # The attempt has ended nevertheless.
            return
        link.release()
        # The next attempt finds the resources of this one free, and Ray takes the same process for it.
        if self._placed is not None:
            await asyncio.wait([self._placed.done], timeout=END_SECONDS)


def _first_line(error: BaseException) -> str:
    """What an error of Ray is about, without its traceback and advice."""
    # What the task itself raised.
    error = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _message(value: dict[str, Any]) -> str:
    failure = value.get("failure")
    return str(failure.get("message")) if isinstance(failure, dict) else "nothing"
