"""Answers the host's commands, as `osiris worker` would."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from . import failures
from .attempt import Attempt, Order, Surroundings
from .blobs import Blob, Blobs, NoRoom
from .cluster import Cluster, Resources
from .failures import Failure
from .lines import PROTOCOL, Line, LineReader, ProtocolError, encode
from .link import Server

# A host that has not sent anything for so long is gone: it sends a `ping` every few seconds.
PATIENCE_SECONDS = 120


class Bridge:
    def __init__(self, cluster: Cluster, server: Server, blobs: Blobs, output: asyncio.StreamWriter, resources: dict[str, float]):
        self._cluster = cluster
        self._server = server
        self._blobs = blobs
        self._output = output
        self._resources = resources
        self._version = ""
        self._prepared: dict[int, list[Blob]] = {}
        self._attempts: dict[int, tuple[Attempt, asyncio.Task[None]]] = {}
        # Why the last blob that could not be stored was not.
        self._bad_blob: str | None = None

    async def serve(self, read_chunk: Callable[[], Awaitable[bytes]]) -> bool:
        """Answers commands until the host has gone. Returns whether it took its leave."""
        lines = LineReader(read_chunk)
        try:
            while True:
                line = await asyncio.wait_for(lines.read(), PATIENCE_SECONDS)
                if line is None:
                    return True
                if line.type == "cleanup":
                    await self._end_attempts()
                    await self._answer(encode({"type": "cleaned"}))
                    return True
                self._obey(line)
        except ProtocolError as error:
            self._refuse(None, failures.protocol(f"the Ray bridge cannot understand the host: {error}"))
            return False
        except asyncio.TimeoutError:
            print(f"the host has been silent for {PATIENCE_SECONDS} s", file=sys.stderr)
            return False
        finally:
            await self._end_attempts()

    async def _answer(self, content: bytes) -> None:
        # Nothing may come between a line and its bytes, so they are written at once.
        self._output.write(content)
        try:
            await self._output.drain()
        except OSError:
            # The host has gone, which the end of its commands says as well.
            pass

    def _refuse(self, attempt: int | None, failure: Failure) -> None:
        of_attempt = {} if attempt is None else {"attempt": attempt}
        self._output.write(encode({"type": "error", **of_attempt, "failure": failure, "connected": False}))

    def _obey(self, line: Line) -> None:
        if line.type == "ping":
            self._ping(line)
        elif line.type == "prepare":
            self._prepare(line.number("attempt"), Blob.parse_all(line.value.get("blobs")))
        elif line.type == "blob":
            self._bad_blob = self._blobs.arrived(line.value.get("digest"), line.number("at"), line.payload) or self._bad_blob
        elif line.type == "exec_step":
            self._execute(line.number("attempt"), line)
        elif line.type == "kill":
            self._kill(line.number("attempt"))
        else:
            raise ProtocolError("a command of an unknown type")

    def _ping(self, line: Line) -> None:
        version = line.value.get("version")
        if line.value.get("protocol") != PROTOCOL or not isinstance(version, str):
            raise ProtocolError(f"the bridge speaks version {PROTOCOL} of the protocol")
        # The workers on the nodes must be of the host's version; each protects a step as that step demands.
        self._version = version
        announced = {"protocol": PROTOCOL, "version": version, **self._cluster.announce(), "missing": []}
        self._output.write(encode({"type": "pong", **announced}))

    def _prepare(self, attempt: int, blobs: list[Blob]) -> None:
        if attempt in self._prepared or attempt in self._attempts:
            self._refuse(attempt, failures.protocol(f"attempt {attempt} was prepared already"))
            return
        try:
            lacks = self._blobs.lacking(blobs)
        except NoRoom as error:
            self._refuse(attempt, failures.no_room(str(error)))
            return
        self._prepared[attempt] = blobs
        self._output.write(encode({"type": "ready", "attempt": attempt, "lacks": lacks}))

    def _execute(self, number: int, line: Line) -> None:
        blobs = self._prepared.pop(number, None)
        if blobs is None:
            self._refuse(number, failures.protocol(f"attempt {number} was not prepared, or runs already"))
            return
        resources = Resources.of(line.value, self._resources, self._cluster.most_cpus())
        if not self._blobs.pin(blobs):
            self._refuse(number, failures.protocol(self._bad_blob or f"a blob of attempt {number} is not here"))
            return
        # Only a job that grants nothing is known not to connect.
        network = line.value["job"].get("network")
        may_connect = not isinstance(network, dict) or any(network.get(key) for key in ("connect", "http"))
        attempt = Attempt(
            Order(number, blobs, line.raw, resources, may_connect),
            Surroundings(self._server, self._cluster, self._blobs, self._answer, self._version),
        )
        task = asyncio.create_task(attempt.run())
        self._attempts[number] = (attempt, task)
        task.add_done_callback(lambda _: self._attempts.pop(number))

    def _kill(self, number: int) -> None:
        if self._prepared.pop(number, None) is not None:
            self._refuse(number, failures.interrupted())
        elif number in self._attempts:
            self._attempts[number][0].kill()

    async def _end_attempts(self) -> None:
        tasks = [task for _, task in self._attempts.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
