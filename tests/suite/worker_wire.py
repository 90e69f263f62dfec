"""The worker protocol in Python, from both sides: `Host` speaks to the real worker; a fake worker is a script that imports
this file and speaks to the real host."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSION = "0.1.0"


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def send(stream, line: dict | bytes, data: bytes = b"") -> None:
    stream.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" + data)
    stream.flush()


def receive(stream) -> tuple[dict, bytes] | None:
    """A line and the bytes that follow it; None at the end."""
    line = stream.readline()
    if not line:
        return None
    line = json.loads(line)
    return line, stream.read(line.get("length", 0))


class Host:
    """A host that starts the real `osiris worker`, or any command."""

    def __init__(self, command: list, env: dict | None = None):
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)

    def send(self, type: str, data: bytes = b"", **keys) -> None:
        send(self.process.stdin, {"type": type} | keys, data)

    def raw(self, data: bytes) -> None:
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def hear(self, *types: str) -> dict:
        """The next answer of one of these types; others are skipped. What follows it is under `data`."""
        while (heard := receive(self.process.stdout)) is not None:
            line, data = heard
            if line["type"] in types:
                return line | {"data": data}
        raise EOFError(self.process.stderr.read().decode())

    def ping(self) -> dict:
        self.send("ping", protocol=2, version=VERSION)
        return self.hear("pong")

    def prepare(self, attempt: int, *blobs: bytes) -> dict:
        self.send("prepare", attempt=attempt, blobs=[{"digest": digest_of(blob), "bytes": len(blob)} for blob in blobs])
        return self.hear("ready", "error")

    def blob(self, data: bytes, *, part: int = 1 << 20, digest: str = "") -> None:
        for at in range(0, len(data), part):
            piece = data[at : at + part]
            self.send("blob", piece, digest=digest or digest_of(data), at=at, length=len(piece))

    def end(self, timeout: float = 30) -> tuple[int, str]:
        """Closes stdin; returns the exit code and what the worker said on stderr."""
        self.process.stdin.close()
        self.process.stdin = None
        _, errors = self.process.communicate(timeout=timeout)
        return self.process.returncode, errors.decode()


class FakeWorker:
    """The worker's side, in a script of its own."""

    def __init__(self):
        self.stdin, self.stdout = sys.stdin.buffer, sys.stdout.buffer
        self.attempt = 0

    def say(self, type: str, data: bytes = b"", **keys) -> None:
        send(self.stdout, {"type": type} | keys, data)

    def about(self, type: str, data: bytes = b"", **keys) -> None:
        self.say(type, data, attempt=self.attempt, **keys)

    def pong(self, **more) -> None:
        announced = {"protocol": 2, "version": VERSION, "slots": 1, "cpus": 1, "memory_bytes": 1 << 30, "missing": []}
        self.say("pong", **(announced | more))

    def hear(self, *types: str) -> dict:
        """The next command of one of these types; a ping is answered."""
        while (heard := receive(self.stdin)) is not None:
            line, _ = heard
            if line["type"] == "ping" and "ping" not in types:
                self.pong()
            if line["type"] == "cleanup":
                self.say("cleaned")
                sys.exit()
            if line["type"] in types:
                return line
        sys.exit()

    def take(self) -> dict:
        """Greets the host, and takes an attempt; returns its job."""
        self.hear("ping")
        self.pong()
        return self.next_job()

    def next_job(self) -> dict:
        prepare = self.hear("prepare")
        self.attempt = prepare["attempt"]
        self.about("ready", lacks=[])
        return self.hear("exec_step")["job"]

    def file(self, data: bytes, name: str | None = None) -> dict:
        """Sends a file; returns what `complete` says of it."""
        named = {"name": name} if name else {}
        for at in range(0, len(data), 1 << 20):
            piece = data[at : at + (1 << 20)]
            self.about("output", piece, length=len(piece), **named)
        return {"bytes": len(data), "digest": digest_of(data)} | named

    def complete(self, outputs: list[dict], **more) -> None:
        report = {"tables": {}, "rows_written": 0, "outputs": outputs, "connected": False} | more
        self.about("complete", report=report)

    def fail(self, **failure) -> None:
        self.about("error", connected=False, failure={"blame": "host", "kind": "internal", "message": "it failed"} | failure)

    def serve(self) -> None:
        """Answers signs of life until the host ends it."""
        self.hear()


def fake(folder: Path, body: str) -> str:
    """A command that runs a fake worker: `body` sees `w` (a FakeWorker), and `OUTPUT` and `OTHER` (DuckDB files with one row and
    two rows in `main`)."""
    import duckdb

    output, other = folder / "fake-output", folder / "fake-other"
    for file, rows in ((output, 1), (other, 2)):
        if not file.exists():
            with duckdb.connect(str(file)) as connection:
                connection.execute(f"create table main as select (i + 1)::int as a from range({rows}) t(i)")
    script = folder / "fake-worker.py"
    script.write_text(
        f"import os, sys, time\nsys.path.insert(0, {str(HERE)!r})\nfrom worker_wire import *\n"
        f"OUTPUT, OTHER = (open(file, 'rb').read() for file in ({str(output)!r}, {str(other)!r}))\nw = FakeWorker()\n{body}\nw.serve()\n"
    )
    return f"exec {sys.executable} {script}"


def environment(**more: str) -> dict:
    return {name: os.environ[name] for name in ("PATH", "HOME", "OSIRIS_CACHE_DIR", "XDG_CACHE_HOME") if name in os.environ} | more
