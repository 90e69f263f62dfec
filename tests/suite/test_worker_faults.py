"""Faults around a real run on a worker: either side is killed, the user interrupts, and a real sshd leads to the worker."""

import getpass
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import CANARY, GUESTS, OSIRIS, holding
from test_failures import check_nothing_half, long_pipeline, runs, sum_of
from worker_wire import fake

# Set `OSIRIS_KILLS=50` for a thorough run.
KILLS = int(os.environ.get("OSIRIS_KILLS", "4"))


def start(project, on: str, *arguments: str) -> subprocess.Popen:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CANARY": CANARY}
    command = [str(OSIRIS), "run", "pipeline.yaml", "--on", on, *arguments]
    return subprocess.Popen(command, cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def worker_of(run: subprocess.Popen, folder: Path) -> list[int]:
    """The worker that was started with `--dir folder`, and its step processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"--dir\0{folder}\0".encode() in arguments and arguments.startswith(str(OSIRIS).encode()):
            found.append(int(process.name))
    return found


@pytest.mark.parametrize("victim", ["worker", "host"])
def test_kill_9_of_either_side_leaves_nothing_incomplete(project, victim, tmp_path_factory):
    place = tmp_path_factory.mktemp("workers")
    on = f"exec {OSIRIS} worker --slots 2 --dir {place}"
    long_pipeline(project)
    begun = time.monotonic()
    run = start(project, on)
    assert run.wait(timeout=120) == 0, run.stderr.read()
    undisturbed = time.monotonic() - begun
    [session] = project.folder.glob(".osiris_sessions/*/data")
    whole, text = sum_of(session / "source.duckdb"), (project.folder / "out.csv").read_text()
    chance = random.Random(f"osiris worker {victim}")
    for _ in range(KILLS):
        project.write("out.csv", "before\n")
        run = start(project, on)
        time.sleep(chance.uniform(0.0, undisturbed))
        workers = worker_of(run, place)
        for process in (workers if victim == "worker" else [run.pid]):
            os.kill(process, signal.SIGKILL)
        _, said = run.communicate(timeout=60)
        deadline = time.monotonic() + 20
        while any(runs(process) for process in workers):
            assert time.monotonic() < deadline, "a worker outlived its host"
            time.sleep(0.01)
        assert victim == "host" or run.returncode in (0, 1, 70) or "cannot reach" in said, said
        check_nothing_half(project, whole, text)
    project.write("out.csv", "before\n")
    run = start(project, on)
    assert run.wait(timeout=120) == 0 and (project.folder / "out.csv").read_text() == text
    assert not list(place.glob("worker-*")) and not list(project.folder.glob(".osiris_sessions/*/scratch"))


@pytest.mark.parametrize("body", ["w.take(); time.sleep(1000)", "w.hear('ping'); w.pong(); time.sleep(1000)"])
def test_ctrl_c_ends_the_run_although_the_worker_does_not_answer(project, body):
    project.pipeline([project.sql("select 1 as a")])
    run = start(project, fake(project.folder, f"{body}"))
    while "source" not in (line := run.stderr.readline()):
        assert line, "the run ended early"
    begun = time.monotonic()
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=30)
    assert run.returncode == 130 and time.monotonic() - begun < 10


def test_a_step_with_retries_is_tried_again_over_a_new_connection(project):
    """The first worker dies in the middle of the step; the second one is real."""
    marker = project.folder / "died"
    dying = fake(project.folder, f"open({str(marker)!r}, 'w'); w.take(); os._exit(1)").removeprefix("exec ")
    on = f"if [ -e {marker} ]; then exec {OSIRIS} worker --slots 1; else exec {dying}; fi"
    project.pipeline([project.sql("select 1 as a") | {"retries": 1}])
    run = start(project, on)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 0 and "was lost" in said and marker.exists(), said


SSHD = Path("/usr/sbin/sshd")


@pytest.fixture
def ssh(tmp_path_factory):
    """The `ssh` command to an sshd of this user on loopback."""
    if not SSHD.exists():
        pytest.fail("no sshd: run `make setup`")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "sshd").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nStrictModes no\n"
        f"PasswordAuthentication no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile {folder}/pid\n"
    )
    (folder / "config").write_text(
        f"Host build1\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n IdentityFile {folder}/user\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {folder}/known\n BatchMode yes\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    server = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(folder / "sshd")], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert time.monotonic() < deadline and server.poll() is None, "sshd did not start"
            time.sleep(0.02)
    yield f"ssh -F {folder}/config"
    server.terminate()
    server.wait()


def test_steps_run_over_ssh_and_a_secret_travels_only_in_the_job(project, ssh, tmp_path_factory):
    place = tmp_path_factory.mktemp("workers")
    on = f"{ssh} build1 {OSIRIS} worker --slots 2 --dir {place}"
    secret = [{"id": "bad", "component": "test.attack", "needs": ["source"], "config": {"attack": "clock", "key": CANARY, "file": "out.csv"}}]
    long_pipeline(project)
    run = start(project, on)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0 and (project.folder / "out.csv").read_text().count("\n") == 300_001, said
    project.write("out.csv", "before\n")
    project.pipeline([project.sql("select 1 as a"), *secret])
    run, leaks = start(project, on), []
    while run.poll() is None:
        for file in [*Path("/proc").glob("[0-9]*/cmdline"), *place.rglob("*")]:
            try:
                if CANARY.encode() in file.read_bytes():
                    leaks.append(file)
            except OSError:
                pass
    assert leaks == [] and CANARY not in run.stderr.read() and holding(project.folder) == []
    assert not list(place.glob("worker-*"))
    # A machine that cannot be reached is named, with what ssh says.
    project.pipeline([project.sql("select 1 as a")])
    run = start(project, f"{ssh} elsewhere.invalid {OSIRIS} worker")
    _, said = run.communicate(timeout=60)
    assert run.returncode != 0 and "cannot reach worker" in said and "elsewhere.invalid" in said, said
