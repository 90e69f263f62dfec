"""Real S3 servers for the tests, on free ports of 127.0.0.1: SeaweedFS, which checks signatures and conditional requests, and rclone,
which ignores conditions.

    def test_it(project, store):
        project.run(steps, "--exchange", store.url, env=store.env)
        ... store.keys() ... store.bucket.get(key) ...

The fixture `s3_server` is one SeaweedFS for the session, `store` a prefix of its bucket for one test.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from s3_client import Bucket, Credentials

CREDENTIALS = Credentials("osiris-tests", "secret.of.the.object.store.5f2b90c4")
BUCKET = "osiris"


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def program(name: str) -> str:
    found = Path(sys.executable).parent / name
    assert found.exists(), f"{name} is not installed; run tools/setup-tests"
    return str(found)


class Ended(Exception):
    """A server ended while it started."""


class Server:
    """A server process with one bucket. `stop` ends it as a crash would, and `start` starts it on the same data and port."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen | None = None

    def bucket(self) -> Bucket:
        return Bucket(self.port, BUCKET, CREDENTIALS)

    def launch(self, *command: str) -> None:
        with open(self.folder / "log", "ab") as log:
            environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GOMAXPROCS": "2"}
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 60
        while not self._accepts():
            if self.process.poll() is not None:
                raise Ended((self.folder / "log").read_text()[-5000:])
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-5000:]
            time.sleep(0.05)

    def _accepts(self) -> bool:
        """Whether it stores objects, which is later than it answers."""
        try:
            return self.bucket().ask("PUT").status in (200, 409) and self.bucket().ask("PUT", "ready").status == 200
        except OSError:
            return False

    def stop(self) -> None:
        # Its orderly end takes 15 s. What it has acknowledged is with the kernel.
        if self.process:
            self.process.kill()
            self.process.wait(timeout=30)
            self.process = None


class SeaweedFs(Server):
    has_run = False
    PORTS = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc"]

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.choose_ports()
        identity = {"name": "tests", "credentials": [{"accessKey": CREDENTIALS.key, "secretKey": CREDENTIALS.secret}], "actions": ["Admin", "Read", "Write", "List"]}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (folder / "data").mkdir()

    def choose_ports(self) -> None:
        self.ports = dict(zip(self.PORTS, free_ports(len(self.PORTS))))
        self.port = self.ports["s3.port"]

    def start(self) -> "SeaweedFs":
        for tries_left in (2, 1, 0):
            try:
                return self.start_once()
            except Ended:
                # Another test may have taken a port since it was found free. A server that ran before keeps its ports.
                if self.has_run or not tries_left:
                    raise
                self.choose_ports()
        raise AssertionError("unreachable")

    def start_once(self) -> "SeaweedFs":
        # One small master without elections; volumes grow with what is in them.
        settings = {"dir": "data", "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "master.peers": "none", "master.telemetry": "false"}
        settings |= {"master.volumeSizeLimitMB": "128", "volume.max": "0", "filer": "true", "filer.localSocket": "filer.sock"}
        settings |= {"s3": "true", "s3.config": "s3.json", "s3.iam": "false", "s3.localSocket": "s3.sock", "s3.port.iceberg": "0", "s3.port.lance": "0"}
        arguments = [f"-{name}={value}" for name, value in (settings | self.ports).items()]
        self.launch(program("weed"), "-logtostderr=true", "server", *arguments)
        self.has_run = True
        return self

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)
        # It puts sockets there whatever its settings say.
        for port in self.ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()


class Rclone(Server):
    """A store that overwrites an object although the request forbids it by `If-None-Match: *`."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        [self.port] = free_ports(1)
        (folder / "data" / BUCKET).mkdir(parents=True)

    def start(self) -> "Rclone":
        self.launch(program("rclone"), "serve", "s3", "--auth-key", f"{CREDENTIALS.key},{CREDENTIALS.secret}", "--addr", f"127.0.0.1:{self.port}", "data")
        return self

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)


@dataclass
class Store:
    """A prefix of a bucket, reached through a port of 127.0.0.1: that of a server, or of a proxy in front of it."""

    bucket: Bucket
    prefix: str
    port: int

    @property
    def url(self) -> str:
        return f"s3://{self.bucket.name}/{self.prefix}"

    @property
    def env(self) -> dict[str, str]:
        return self.bucket.credentials.environment() | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def keys(self, under: str = "") -> list[str]:
        """The keys of all objects, without the prefix."""
        return [key.removeprefix(f"{self.prefix}/") for key in self.bucket.keys(f"{self.prefix}/{under}")]

    def get(self, key: str) -> bytes:
        return self.bucket.get(f"{self.prefix}/{key}")

    def put(self, key: str, body: bytes) -> None:
        self.bucket.put(f"{self.prefix}/{key}", body)

    def holding(self, secret: str) -> list[str]:
        """The objects that contain the secret, in their name or content."""
        return [key for key in self.keys() if secret in key or secret.encode() in self.get(key)]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    server = SeaweedFs(tmp_path_factory.mktemp("seaweedfs")).start()
    yield server
    server.remove()


@pytest.fixture
def store(s3_server, tmp_path):
    return Store(s3_server.bucket(), tmp_path.name, s3_server.port)
