"""A real sshd of this user for tests of workers that are reached over ssh: on loopback, or wherever `before` leads."""

import getpass
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

SSHD = Path("/usr/sbin/sshd")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class SshServer:
    """An sshd on a port, with its keys in a folder. `before` is put before its command line, to start it elsewhere."""

    def __init__(self, folder: Path, port: int, *, listen: str = "127.0.0.1", before: list[str] = []):
        if not SSHD.exists():
            pytest.fail("no sshd: run `make setup`")
        self.folder, self.port, self.before = folder, port, before
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        (folder / "sshd").write_text(
            f"Port {port}\nListenAddress {listen}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nStrictModes no\n"
            f"PasswordAuthentication no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile {folder}/pid\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.process = subprocess.Popen([*before, str(SSHD), "-D", "-e", "-f", str(folder / "sshd")], stderr=subprocess.DEVNULL)

    def __enter__(self) -> "SshServer":
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait()

    def command(self, address: str = "127.0.0.1", port: int = 0) -> str:
        """The `ssh` command to `build1`, which is this server at that address, or what stands for it there."""
        port = port or self.port
        known, config = (self.folder / f"{name}-{address}-{port}" for name in ("known", "config"))
        known.write_text(f"[{address}]:{port} {(self.folder / 'host.pub').read_text()}")
        config.write_text(
            f"Host build1\n HostName {address}\n Port {port}\n User {getpass.getuser()}\n IdentityFile {self.folder}/user\n"
            f" IdentitiesOnly yes\n UserKnownHostsFile {known}\n BatchMode yes\n"
        )
        return f"ssh -F {config}"

    def wait(self, address: str = "127.0.0.1") -> None:
        """Waits until it answers."""
        answer = [*self.before, "bash", "-c", f"exec 3<>/dev/tcp/{address}/{self.port}"]
        deadline = time.monotonic() + 10
        while subprocess.run(answer, stderr=subprocess.DEVNULL).returncode != 0:
            assert time.monotonic() < deadline and self.process.poll() is None, "sshd did not start"
            time.sleep(0.05)


@pytest.fixture
def ssh_server(tmp_path_factory):
    with SshServer(tmp_path_factory.mktemp("ssh"), free_port()) as server:
        server.wait()
        yield server
