"""A real MariaDB for the tests: on a free port of 127.0.0.1, in a separate data folder, which is removed afterwards.

`MariaDbServer(folder, certificates)` is one server; `start`, `stop` and `kill` (as a crash would) control it. Ask for the
fixture `mariadb` (one server for the session, with TLS by the good certificate).
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pymysql
import pytest
from certificates import Certificate, Certificates, make_certificates
from postgres_server import DATABASE, PASSWORD, USER, free_port


def binary(name: str) -> str:
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    assert found, f"{name} is not installed; run tools/setup-tests"
    return found


class MariaDbServer:
    """One server with the user `USER`, who has all privileges, and the database `DATABASE`."""

    def __init__(self, folder: Path, certificates: Certificates | None, settings: dict[str, str] | None = None):
        self.folder, self.certificates, self.settings = folder, certificates, settings or {}
        self.data = folder / "data"
        self.port = free_port()
        # MariaDB does not run as root by default.
        self.owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.process: subprocess.Popen | None = None
        self._initialise()

    def _as_owner(self) -> dict:
        who = {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []} if self.owner else {}
        return {"cwd": self.folder, "env": {"PATH": os.environ["PATH"] + ":/usr/sbin", "LC_ALL": "C.UTF-8"}} | who

    def _give(self, path: Path, mode: int) -> None:
        if self.owner:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        path.chmod(mode)

    def _initialise(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._give(self.folder, 0o700)
        done = subprocess.run(
            [binary("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal", "--skip-test-db"],
            capture_output=True, text=True, **self._as_owner(),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        first = self.folder / "first.sql"
        quoted = pymysql.converters.escape_string(PASSWORD)
        first.write_text(
            "set names utf8mb4;\n"
            f"create database if not exists {DATABASE} character set utf8mb4;\n"
            f"create user if not exists {USER}@'127.0.0.1' identified by '{quoted}';\n"
            f"grant all on *.* to {USER}@'127.0.0.1' with grant option;\n"
        )
        self._give(first, 0o600)
        if self.certificates:
            shutil.copyfile(self.certificates.ca, self.folder / "ca.crt")
            self._give(self.folder / "ca.crt", 0o600)
            self.show(self.certificates.good)

    def show(self, certificate: Certificate) -> None:
        """Sets the certificate that the server presents from its next start on."""
        for source, name in [(certificate.certificate, "server.crt"), (certificate.key, "server.key")]:
            shutil.copyfile(source, self.folder / name)
            self._give(self.folder / name, 0o600)

    def start(self) -> "MariaDbServer":
        settings = {
            "datadir": self.data, "bind-address": "127.0.0.1", "port": self.port, "socket": self.folder / "socket",
            "pid-file": self.folder / "pid", "init-file": self.folder / "first.sql", "skip-name-resolve": "1",
            "innodb-flush-log-at-trx-commit": "2", "innodb-buffer-pool-size": "64M", "innodb-log-file-size": "64M",
            "max-allowed-packet": "64M", "plugin-load-add": "auth_ed25519", "max-connections": "60",
            "max-connect-errors": "1000000",
        } | self.settings  # fmt: skip
        if self.certificates:
            settings |= {f"ssl-{name}": self.folder / file for name, file in [("cert", "server.crt"), ("key", "server.key"), ("ca", "ca.crt")]}
        command = [binary("mariadbd"), "--no-defaults", *(f"--{name}={value}" for name, value in settings.items())]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **self._as_owner())
        deadline = time.monotonic() + 60
        while True:
            try:
                self.connect().close()
                return self
            except pymysql.Error as error:
                waits = self.process.poll() is None and time.monotonic() < deadline and error.args[0] == 2003
                assert waits, f"{error}\n" + (self.folder / "log").read_text()[-5000:]
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def kill(self) -> None:
        """Ends the server at once, as a crash of the machine would."""
        if self.process:
            self.process.kill()
            self.process.wait(timeout=30)
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def connect(self, database: str | None = DATABASE, **more) -> pymysql.Connection:
        return pymysql.connect(**({
            "host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD.encode(), "database": database,
            "charset": "utf8mb4", "autocommit": True, "connect_timeout": 10, "local_infile": True,
        } | more))  # fmt: skip

    def run(self, *statements: str) -> list[tuple]:
        """Runs statements; returns the rows of the last."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("set time_zone = '+00:00'")
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def connection(self, **more) -> dict:
        """The connection as in a pipeline; `more` replaces or adds fields, and removes those that are None."""
        whole = {"host": "127.0.0.1", "port": self.port, "database": DATABASE, "user": USER, "password": PASSWORD} | more
        return {name: value for name, value in whole.items() if value is not None}


@pytest.fixture(scope="session")
def mariadb():
    """A server for the whole session; tests use separate tables."""
    # Not below pytest's folder: an unprivileged server may not have access to it.
    folder = Path(tempfile.mkdtemp(prefix="osiris-mariadb-"))
    server = MariaDbServer(folder, make_certificates(folder / "certificates"))
    try:
        yield server.start()
    finally:
        server.remove()
