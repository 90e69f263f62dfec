"""A Slurm cluster of one node on this machine, with its own munge: started by a test, where Debian's `slurm-wlm` is installed."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from s3_server import free_ports

PATHS = os.environ["PATH"] + ":/usr/sbin"
DAEMONS = {name: shutil.which(name, path=PATHS) for name in ("munged", "slurmctld", "slurmd")}


class SlurmCluster:
    def __init__(self, folder: Path):
        self.folder = folder
        self.processes: list[subprocess.Popen] = []
        name, user = socket.gethostname().split(".")[0], getpass.getuser()
        controller, node = free_ports(2)
        for part in ("state", "spool"):
            (folder / part).mkdir()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(64))
        key.chmod(0o400)
        self.configuration = folder / "slurm.conf"
        settings = {
            "ClusterName": "tests", "SlurmctldHost": f"{name}(127.0.0.1)", "SlurmUser": user, "SlurmdUser": user,
            "AuthType": "auth/munge", "AuthInfo": f"socket={folder}/munge.sock", "SlurmctldPort": controller, "SlurmdPort": node,
            "SlurmctldPidFile": folder / "slurmctld.pid", "SlurmdPidFile": folder / "slurmd.pid", "StateSaveLocation": folder / "state",
            "SlurmdSpoolDir": folder / "spool", "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none", "MpiDefault": "none",
            "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_CPU_Memory", "SlurmdParameters": "config_overrides", "ReturnToService": 2,
        }  # fmt: skip
        lines = [f"{name}={value}" for name, value in settings.items()]
        lines += [f"NodeName={name} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN", "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP"]
        self.configuration.write_text("\n".join(lines) + "\n")
        self.environment = {"PATH": PATHS, "SLURM_CONF": str(self.configuration)}

    def start(self) -> "SlurmCluster":
        files = {name: self.folder / f"munge.{name}" for name in ("sock", "pid", "log", "seed")}
        self._launch("munged", "--foreground", "--force", f"--key-file={self.folder}/munge.key", f"--socket={files['sock']}", f"--pid-file={files['pid']}", f"--log-file={files['log']}", f"--seed-file={files['seed']}")
        self._until(files["sock"].exists)
        self._launch("slurmctld", "-D", "-c", "-f", str(self.configuration))
        self._launch("slurmd", "-D", "-f", str(self.configuration))
        self._until(lambda: self.ask("sinfo", "--noheader", "--format=%T").strip() == "idle")
        return self

    def _launch(self, name: str, *arguments: str) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes.append(subprocess.Popen([DAEMONS[name], *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment))

    def _until(self, ready) -> None:
        deadline = time.monotonic() + 60
        while not ready():
            logs = "\n".join(file.read_text()[-2000:] for file in self.folder.glob("*.log"))
            assert time.monotonic() < deadline and all(process.poll() is None for process in self.processes), logs
            time.sleep(0.05)

    def ask(self, *command: str, **more: str) -> str:
        return subprocess.run(command, env=self.environment | more, capture_output=True, text=True, timeout=60).stdout

    def jobs(self) -> list[str]:
        return self.ask("squeue", "--noheader", "--format=%i").split()

    def close(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    if missing := [name for name, program in DAEMONS.items() if not program]:
        pytest.skip(f"{missing} are not installed: apt-get install slurm-wlm")
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        yield cluster.start()
    finally:
        cluster.close()
