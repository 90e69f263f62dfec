"""The blobs that the host sent: bytes named by their digest, verified as they arrive, and kept while there is room."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .lines import MAX_BLOBS, MAX_CHUNK, ProtocolError, natural

DIGEST = re.compile(r"[0-9a-f]{64}")


class NoRoom(Exception):
    """The blobs of an attempt do not fit."""


@dataclass(frozen=True)
class Blob:
    digest: str
    bytes: int

    @staticmethod
    def parse(value: Any) -> "Blob":
        if not isinstance(value, dict) or set(value) != {"digest", "bytes"}:
            raise ProtocolError("a blob has other keys than `digest` and `bytes`")
        if not isinstance(value["digest"], str) or not DIGEST.fullmatch(value["digest"]):
            raise ProtocolError("a digest is not 64 hexadecimal digits")
        return Blob(value["digest"], natural(value["bytes"], "bytes"))

    @staticmethod
    def parse_all(values: Any) -> list["Blob"]:
        if not isinstance(values, list) or len(values) > MAX_BLOBS:
            raise ProtocolError(f"an attempt needs more than {MAX_BLOBS} blobs")
        return [Blob.parse(value) for value in values]


@dataclass
class Stored:
    """A blob, or the part of it that has arrived, in a file that has no name: nothing of it outlives this process."""

    expected: int
    file: IO[bytes]
    bytes: int = 0
    hasher: Any = field(default_factory=hashlib.sha256)
    pins: int = 0


class Blobs:
    def __init__(self, folder: Path | None = None, room: int | None = None):
        self._folder = folder
        self._room = shutil.disk_usage(folder or tempfile.gettempdir()).free // 2 if room is None else room
        # The blobs that are complete; the one that was used longest ago comes first.
        self._complete: dict[str, Stored] = {}
        self._arriving: dict[str, Stored] = {}

    def lacking(self, blobs: Iterable[Blob]) -> list[str]:
        """Which blobs are not here. From now on they may arrive. Those that are here stay until they are unpinned, if
        their attempt pins them before the next call."""
        needed = {blob.digest: blob.bytes for blob in blobs}
        for digest in needed.keys() & self._complete.keys():
            self._complete[digest] = self._complete.pop(digest)
        lacking = [digest for digest in needed if digest not in self._complete]
        for digest in lacking:
            # What arrived of it before the host gave up begins anew.
            self._drop(self._arriving, digest)
            self._make_room(needed[digest], needed)
            try:
                self._arriving[digest] = Stored(needed[digest], tempfile.TemporaryFile(dir=self._folder))
            except OSError as error:
                raise NoRoom(f"cannot store a blob: {error}") from None
        for digest in lacking:
            # An empty blob has no part that could arrive.
            if needed[digest] == 0:
                self._finish(digest)
        return lacking

    def arrived(self, digest: Any, at: int, part: bytes) -> str | None:
        """Stores the next part of a blob. Returns why it cannot be stored; the blob is then lacking again."""
        stored = self._arriving.get(digest) if isinstance(digest, str) else None
        if stored is None:
            return "a blob was not asked for"
        stored_bytes = stored.bytes
        stored.bytes += len(part)
        try:
            if at != stored_bytes:
                reason = "its parts do not follow one another"
            elif stored.bytes > stored.expected:
                reason = "it is longer than announced"
            else:
                stored.file.write(part)
                stored.hasher.update(part)
                if stored.bytes < stored.expected or self._finish(digest):
                    return None
                reason = f"its digest is {stored.hasher.hexdigest()}"
        except OSError as error:
            reason = str(error)
        self._drop(self._arriving, digest)
        return f"cannot store blob `{digest}`: {reason}"

    def pin(self, blobs: Iterable[Blob]) -> bool:
        """Keeps blobs until they are unpinned. Returns False, and pins none, if one is not here."""
        digests = {blob.digest for blob in blobs}
        if not digests <= self._complete.keys():
            return False
        for digest in digests:
            self._complete[digest].pins += 1
        return True

    def unpin(self, blobs: Iterable[Blob]) -> None:
        for digest in {blob.digest for blob in blobs}:
            self._complete[digest].pins -= 1

    def parts(self, digest: str) -> Iterator[tuple[int, bytes]]:
        """The parts of a pinned blob, each with its position."""
        stored = self._complete[digest]
        at = 0
        while at < stored.bytes:
            # Several attempts may read the same blob at once.
            stored.file.seek(at)
            part = stored.file.read(MAX_CHUNK)
            if not part:
                raise OSError("a stored blob became shorter")
            yield at, part
            at += len(part)

    def _finish(self, digest: str) -> bool:
        stored = self._arriving[digest]
        if stored.hasher.hexdigest() != digest:
            return False
        stored.file.flush()
        self._complete[digest] = self._arriving.pop(digest)
        return True

    def _make_room(self, more: int, needed: Iterable[str]) -> None:
        while self._bytes() + more > self._room:
            free = (digest for digest, stored in self._complete.items() if not stored.pins and digest not in needed)
            oldest = next(free, None)
            if oldest is None:
                raise NoRoom(f"the Ray bridge has no room for {more} more bytes")
            self._drop(self._complete, oldest)

    def _bytes(self) -> int:
        complete = sum(stored.expected for stored in self._complete.values())
        return complete + sum(stored.expected for stored in self._arriving.values())

    @staticmethod
    def _drop(blobs: dict[str, Stored], digest: str) -> None:
        stored = blobs.pop(digest, None)
        if stored is not None:
            stored.file.close()
