"""A real PostgreSQL for the tests: on a free port of 127.0.0.1, in a separate data folder, which is removed afterwards.

`PostgresServer(folder, certificates)` is one server; `start`, `stop` and `kill` (as a crash would) control it. Ask for the
fixture `postgres` (one server for the session, with TLS by the good certificate).
"""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from certificates import Certificate, Certificates, make_certificates

USER, PASSWORD, DATABASE = "osiris", "p@ss'w\"ord ü", "shop"


def binaries() -> Path:
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
    assert found, "PostgreSQL is not installed; run tools/setup-tests"
    return Path(found[-1]).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PostgresServer:
    """One server with its superuser `USER`, whose `PASSWORD` is checked by SCRAM, and the database `DATABASE`."""

    def __init__(self, folder: Path, certificates: Certificates | None, settings: dict[str, str] | None = None):
        self.folder = folder
        self.data = folder / "data"
        self.certificates = certificates
        self.settings = settings or {}
        self.port = free_port()
        # PostgreSQL refuses to run as root.
        self.owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.process: subprocess.Popen | None = None
        self._initialise()

    def _run(self, *command) -> None:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **self._as_owner())
        assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}\n{done.stderr}"

    def _as_owner(self) -> dict:
        who = {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []} if self.owner else {}
        return {"cwd": self.folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}} | who

    def _give(self, path: Path, mode: int) -> None:
        if self.owner:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        path.chmod(mode)

    def _initialise(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._give(self.folder, 0o700)
        password = self.folder / "password"
        password.write_text(PASSWORD + "\n")
        self._give(password, 0o600)
        self._run(
            binaries() / "initdb", "--pgdata", self.data, "--username", USER, "--pwfile", password, "--no-sync",
            "--encoding", "UTF8", "--locale", "C.UTF-8", "--auth-host", "scram-sha-256", "--auth-local", "reject",
        )  # fmt: skip
        password.unlink()
        if self.certificates:
            self.show(self.certificates.good)

    def show(self, certificate: Certificate) -> None:
        """Sets the certificate that the server presents from its next start on."""
        for source, name in [(certificate.certificate, "server.crt"), (certificate.key, "server.key")]:
            shutil.copyfile(source, self.data / name)
            self._give(self.data / name, 0o600)

    def rules(self, *lines: str) -> None:
        """Sets who may log in and how; a running server reloads `pg_hba.conf`."""
        (self.data / "pg_hba.conf").write_text("\n".join(lines) + "\n")
        if self.process:
            self.process.send_signal(signal.SIGHUP)
            time.sleep(0.2)

    def start(self) -> "PostgresServer":
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off",
            "full_page_writes": "off", "logging_collector": "off", "ssl": "on" if self.certificates else "off",
            "max_connections": 40, "shared_buffers": "64MB", "max_wal_size": "1GB",
        } | self.settings  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(binaries() / "postgres"), "-D", str(self.data), *options]
        # A separate process group, so that `kill` reaches every backend.
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **self._as_owner())
        log.close()
        deadline = time.monotonic() + 60
        while True:
            try:
                with self.connect("postgres") as connection:
                    if not connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
                        connection.execute(f"create database {DATABASE}")
                    return self
            except psycopg.OperationalError:
                assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        """Ends the server and all of its connections."""
        if self.process:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def kill(self) -> None:
        """Ends every process of the server at once, as a crash of the machine would."""
        if self.process:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            for pid in [self.process.pid, *map(int, children)]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait(timeout=30)
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def connect(self, database: str = DATABASE, port: int | None = None) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=port or self.port, user=USER, password=PASSWORD, dbname=database, autocommit=True, connect_timeout=10
        )

    def connection(self, **more) -> dict:
        """The connection as in a pipeline; `more` replaces or adds fields, and removes those that are None."""
        whole = {"host": "127.0.0.1", "port": self.port, "database": DATABASE, "user": USER, "password": PASSWORD} | more
        return {name: value for name, value in whole.items() if value is not None}


@pytest.fixture(scope="session")
def postgres():
    """A server for the whole session; tests use separate tables or databases."""
    # Not below pytest's folder: an unprivileged server may not have access to it.
    folder = Path(tempfile.mkdtemp(prefix="osiris-postgres-"))
    server = PostgresServer(folder, make_certificates(folder / "certificates"))
    try:
        yield server.start()
    finally:
        server.remove()
