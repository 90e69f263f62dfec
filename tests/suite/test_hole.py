"""The operating system's layer by itself: native code in place of the driver reaches nothing that the step was not
granted."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from conftest import CANARY, GUESTS, HOLE, OSIRIS, TARGET, Project, install

CALLS = """
    fork vfork clone3 exec execveat ptrace read_parent_memory write_parent_memory kill_parent signal_parent pidfd
    io_uring bpf user_namespace enter_namespace mount chroot memory_file map_executable make_executable raise_limit
    set_user keyring user_faults perf personality raw_socket netlink module reboot set_time make_device make_pipe
    thread_in_namespace own_signals pipe_size watch_files terminal_input undo_dumpable drop_death_signal listen udp unix_pair
""".split()

TARGETS = [
    "read /etc/passwd",
    "read /proc/PARENT/environ",
    "read /proc/PARENT/mem",
    "read /proc/self/environ",
    "read /proc/self/mem",
    "read /proc/1/cmdline",
    "read /dev/zero",
    "read BASE/pipeline.yaml",
    "read BASE/.osiris_sessions/earlier/data/theirs.duckdb",
    "read BASE/.osiris_sessions/earlier/manifest.yaml",
    "read SCRATCH/../../data/source.duckdb",
    "read SCRATCH/../../logs/events.jsonl",
    "list /",
    "list BASE",
    "list SCRATCH/..",
    "write /tmp/osiris-attack",
    "write BASE/pipeline.yaml",
    "write BASE/.osiris_sessions/earlier/data/theirs.duckdb",
    "write SCRATCH/../../data/source.duckdb",
    "write SCRATCH/../neighbour",
    "write /dev/null",
    "delete BASE/pipeline.json",
    "delete SCRATCH/../../data/source.duckdb",
    "chmod SCRATCH",
    "symlink SCRATCH",
    "hard_link SCRATCH",
    "tcp 127.0.0.1:PORT",
    "tcp 169.254.169.254:80",
    "unix BASE/socket",
]


def run(project, call: str, *flags, expect: int) -> dict:
    steps = [
        project.sql("select 1 as a"),
        {"id": "hole", "component": "test.attack", "needs": ["source"], "config": {"attack": "native", "sql": call}},
    ]
    project.pipeline(steps)
    return project.run(None, *flags, expect=expect, program=HOLE)


@pytest.fixture
def victim(project):
    earlier = project.run([project.sql("select 1 as a"), project.sql("select 'treasure' as a", id="theirs")])
    Path(earlier["session_path"]).rename(project.folder / ".osiris_sessions" / "earlier")
    project.write("pipeline.json", "{}")
    return project


@pytest.fixture
def services(victim):
    """A TCP service on loopback and a UNIX service in the base folder, which must not receive any connection."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(victim.folder / "socket"))
        unix.listen()
        yield tcp.getsockname()[1]


@pytest.mark.parametrize("call", CALLS + TARGETS)
def test_native_code_reaches_nothing(victim, services, call):
    asked = call.replace("BASE", str(victim.folder)).replace("PARENT", str(os.getpid())).replace("PORT", str(services))
    result = run(victim, asked, expect=1)
    error = result["step"]["hole"]["error"]
    assert error["message"].startswith("refused: "), error
    assert "no call is named" not in error["message"]
    assert "os error" in error["message"], error
    assert "treasure" not in result["stderr"] and "root:" not in result["stderr"]
    assert not Path("/tmp/osiris-attack").exists()
    assert (victim.folder / "pipeline.json").read_text() == "{}"


def test_native_code_does_not_fill_the_disk(project):
    result = run(project, "fill SCRATCH", "--output-size", "1MB", "--spill", "1MB", expect=1)
    error = result["step"]["hole"]["error"]
    assert (error["kind"], error["blame"]) == ("disk", "driver"), error
    assert not (Path(result["session_path"]) / "scratch").exists()


def test_native_code_does_not_fill_the_log(project):
    result = run(project, "flood", "--log-size", "1MB", expect=0)
    logs = Path(result["session_path"]) / "logs"
    assert 1_000_000 < sum(file.stat().st_size for file in logs.iterdir()) < 4_000_000


def test_native_code_does_not_outlive_its_result(project):
    """A step that reports success and closes its outputs, but keeps running, is ended and did not succeed."""
    begun = time.monotonic()
    result = run(project, "linger", expect=1)
    assert result["step"]["hole"]["error"]["kind"] == "killed"
    assert time.monotonic() - begun < 30
    assert not (Path(result["session_path"]) / "data" / "hole.duckdb").exists()


IN_THE_SESSION = pytest.param("read SCRATCH/../../data/source.duckdb", marks=pytest.mark.local_only("reads a session's file from beside its step"))


@pytest.mark.parametrize(
    "call", ["exec", "memory_file", "map_executable", "listen", "udp", "unix_pair", "own_signals", "pipe_size", "read /etc/passwd", "list /", "tcp 127.0.0.1:PORT", "unix BASE/socket", "symlink SCRATCH", IN_THE_SESSION]
)
def test_the_positive_control_succeeds_unconfined(victim, services, call):
    asked = call.replace("BASE", str(victim.folder)).replace("PORT", str(services))
    result = run(victim, asked, "--unconfined", expect=0)
    assert result["step"]["hole"]["status"] == "success"


STREAM_CALLS = """
    inet_socket inet6_socket datagram_socket unix_socket unix_pair raw_socket netlink connect_stdin bind_stdin listen_stdin
    accept_stdin send_to_address send_message receive_elsewhere set_option reconnect udp listen
""".split()


def run_with_network(project, port: int, call: str, *flags, expect: int) -> dict:
    """A step that was granted a connection to loopback's `port`, with native code in place of its driver."""
    project.write("policy.yaml", json.dumps({"connect": [f"127.0.0.1:{port}"], "http": [f"GET http://127.0.0.1:{port}/v1"]}))
    config = {"attack": "native", "host": "127.0.0.1", "port": port, "url": f"http://127.0.0.1:{port}/v1", "target": call}
    project.pipeline([{"id": "hole", "component": "test.network_attack", "config": config}])
    return project.run(None, "--policy", "policy.yaml", *flags, expect=expect, program=HOLE)


@pytest.mark.parametrize("call", STREAM_CALLS + ["tcp 127.0.0.1:PORT", "ask 127.0.0.1 1", "ask localhost PORT", "ask 169.254.169.254 80", "ask_nonsense"])
def test_native_code_with_a_network_grant_reaches_only_what_was_granted(victim, services, call):
    result = run_with_network(victim, services, call.replace("PORT", str(services)), expect=1)
    error = result["step"]["hole"]["error"]
    assert error["message"].startswith("refused: ") and "no call is named" not in error["message"], error


def test_native_code_gets_the_granted_connection_from_the_host(victim, services):
    """The positive control: the request that is refused for other places is answered for this one."""
    result = run_with_network(victim, services, f"ask 127.0.0.1 {services}", expect=0)
    assert result["step"]["hole"]["status"] == "success"


@pytest.mark.parametrize("call", ["inet_socket", "datagram_socket", "unix_socket", "set_option", "tcp 127.0.0.1:PORT"])
def test_the_positive_control_with_a_network_grant_succeeds_unconfined(victim, services, call):
    run_with_network(victim, services, call.replace("PORT", str(services)), "--unconfined", expect=0)


def test_a_step_process_has_no_privileges(project):
    """What the kernel shows of a step process while its driver runs: no privileges to gain, a filter, three files
    from the host."""
    project.pipeline([project.sql("select 1 as a"), {"id": "slow", "component": "test.misbehave", "config": {"how": "loop"}}])
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(OSIRIS.parent.parent / "guests"), "SECRET": "canary"}
    inherited = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    run = subprocess.Popen(
        [str(OSIRIS), "run", "pipeline.yaml", "--no-cache", "--step-timeout", "20"], cwd=project.folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, close_fds=False
    )
    os.close(inherited)
    try:
        while "slow" not in (line := run.stderr.readline()):
            assert line, "the run ended early"
        (step,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        process, begun = Path("/proc") / step, time.monotonic()
        while True:
            status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
            # It is confined a moment after it receives its job.
            if status["Seccomp_filters"] == "2" or time.monotonic() > begun + 20:
                break
            time.sleep(0.01)
        limits = (process / "limits").read_text()
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and status["Seccomp_filters"] == "3"
        assert {int(status[of], 16) for of in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}, "it has capabilities"
        shared = {kind: os.readlink(process / "ns" / kind) == os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "net", "ipc")}
        assert not any(shared.values()), shared
        assert (process / "net" / "dev").read_text().count(":") == 1, "it has a network interface"
        assert re.search(r"Max core file size +0 +0 ", limits) and re.search(r"Max open files +1024 +1024 ", limits)
        assert (process / "cmdline").read_bytes() == b"osiris\0step\0"
        assert (process / "environ").read_bytes() == b""
        opened = {number.name: os.readlink(number) for number in (process / "fd").iterdir()}
        session = str(project.folder / ".osiris_sessions")
        assert all(opened[number].startswith(("pipe:", "socket:", "/dev/null")) for number in "012")
        others = {name for number, name in opened.items() if number not in ("0", "1", "2")}
        assert all(name.startswith(session) or name.startswith(("anon_inode:", "/memfd:")) or name.endswith(".cwasm") for name in others), others
    finally:
        run.kill()
        run.communicate()


# ---- The second wall by itself: an empty root, no network and no capabilities, with Landlock and seccomp off

WALLED = """
    mount chroot make_device
""".split() + [
    "read /etc/passwd",
    "read /dev/zero",
    "read /proc/PARENT/environ",
    "read /proc/1/cmdline",
    "read /proc/self/environ",
    "read /proc/self/fd/../../../etc/passwd",
    "read BASE/pipeline.yaml",
    "read BASE/.osiris_sessions/earlier/data/theirs.duckdb",
    "read SCRATCH/../../data/source.duckdb",
    "read SCRATCH/../../logs/events.jsonl",
    "write /tmp/osiris-attack",
    "write /osiris-attack",
    "write BASE/pipeline.yaml",
    "write SCRATCH/../neighbour",
    "delete BASE/pipeline.json",
    "list /etc",
    "tcp 127.0.0.1:PORT",
    "tcp 169.254.169.254:80",
    "unix BASE/socket",
]


@pytest.mark.parametrize("call", WALLED)
def test_the_second_wall_holds_by_itself(victim, services, call):
    asked = call.replace("BASE", str(victim.folder)).replace("PARENT", str(os.getpid())).replace("PORT", str(services))
    error = run(victim, asked, "--without-rules", expect=1)["step"]["hole"]["error"]
    assert error["message"].startswith("refused: ") and "os error" in error["message"], error
    assert not Path("/tmp/osiris-attack").exists()
    assert (victim.folder / "pipeline.json").read_text() == "{}"


def test_behind_the_second_wall_there_is_only_the_steps_own_folder(victim):
    """The control: what a step needs is there, under the paths that it knows."""
    assert run(victim, "list SCRATCH", "--without-rules", expect=0)["step"]["hole"]["status"] == "success"
    assert run(victim, "write SCRATCH/own", "--without-rules", expect=0)["step"]["hole"]["status"] == "success"


@pytest.mark.parametrize("call", ["read /etc/passwd", "read BASE/pipeline.yaml", "list /etc", "tcp 127.0.0.1:PORT", "unix BASE/socket"])
def test_without_the_second_wall_the_same_succeeds(victim, services, call):
    asked = call.replace("BASE", str(victim.folder)).replace("PORT", str(services))
    assert run(victim, asked, "--unconfined", expect=0)["step"]["hole"]["status"] == "success"


def test_the_product_cannot_be_run_without_its_layers(project):
    project.pipeline([project.sql("select 1 as a")])
    for flag in ("--unconfined", "--unlocked", "--without-rules"):
        done = project.osiris("run", "pipeline.yaml", "--require-sandbox", flag)
        assert done.returncode == 2 and f"unexpected argument '{flag}'" in done.stderr, done.stderr


def blind(call: str) -> list[str]:
    """A command prefix that makes the kernel seem to lack a system call."""
    return [str(HOLE), "blind", call]


@pytest.mark.parametrize("lacking, protection, told", [("landlock", "files", "no Landlock"), ("seccomp", "system-calls", "no seccomp filters")])
def test_a_missing_protection_of_the_kernel_is_reported_and_refused_if_required(project, lacking, protection, told):
    earlier = project.run([project.sql("select 1 as a")])
    doctor = project.osiris("doctor", "--json", before=blind(lacking))
    found = json.loads(doctor.stdout)
    assert doctor.returncode == 3 and not found["whole"]
    assert [each["name"] for each in found["protections"] if each["demanded"] and not each["given"]][:1] == [protection]
    project.write("osiris_connections.yaml", "version: 1\nconnections: {postgres: {shop: {host: localhost, user: a}}}")
    for command in (["run", "pipeline.yaml"], ["query", "latest", "source"], ["discover", "@postgres.shop"], ["connections", "doctor"]):
        refused = project.osiris(*command, "--require-sandbox", before=blind(lacking))
        assert refused.returncode == 3 and f"no full confinement: this kernel has {told}" in refused.stderr, refused.stderr
    # If it is not required, the run continues with a notice.
    done = project.osiris("run", "pipeline.yaml", "--json", before=blind(lacking))
    assert done.returncode == 0, done.stderr
    log = (Path(json.loads(done.stdout)["session_path"]) / "logs" / "events.jsonl").read_text()
    assert "not fully confined" in log and "not fully confined" not in (Path(earlier["session_path"]) / "logs" / "events.jsonl").read_text()


@pytest.mark.parametrize("lacking, told", [("unshare", "no namespaces"), ("mount", "no")])
def test_a_kernel_without_the_second_wall_is_reported_and_still_runs(project, lacking, told):
    project.pipeline([project.sql("select 1 as a")])
    doctor = project.osiris("doctor", "--json", before=blind(lacking))
    found = json.loads(doctor.stdout)
    walls = next(each for each in found["protections"] if each["name"] == "walls")
    assert doctor.returncode == 0 and not walls["given"] and not walls["demanded"] and told in walls["words"], found
    done = project.osiris("run", "pipeline.yaml", "--json", "--require-sandbox", before=blind(lacking))
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_an_ordinary_user_has_the_second_wall_too(project):
    """By a user namespace: the user has only the program, its drivers and the folder."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        program = install(folder, TARGET / "drivers" / "duckdb.processor.wasm")
        folder.chmod(0o777)
        theirs = Project(folder)
        theirs.pipeline([project.sql("select 1 as a")])
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        environment = {"OSIRIS_CACHE_DIR": str(folder / "cache"), "HOME": str(folder), "OSIRIS_DRIVERS": str(folder)}
        doctor = json.loads(theirs.osiris("doctor", "--json", before=nobody, env=environment, program=program).stdout)
        given = {protection["name"]: protection["given"] for protection in doctor["protections"]}
        assert given["walls"] and doctor["whole"], doctor
        done = theirs.osiris("run", "pipeline.yaml", "--json", "--require-sandbox", before=nobody, env=environment, program=program)
        assert done.returncode == 0, done.stderr
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_root_reads_a_file_that_only_its_owner_may_read(project):
    file = project.write("in.csv", "a\n1\n")
    os.chown(file, 65534, 65534)
    file.chmod(0o600)
    assert project.run([{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "in.csv"}}])["step"]["read"]["rows"] == 1


# ---- The process that compiles drivers


def compile_by(call: str, *allowance: int) -> subprocess.CompletedProcess:
    """A compile process with native code in place of the compiler."""
    allowed = allowance or (60, 1_000_000_000)
    return subprocess.run([HOLE, "compile", *map(str, allowed)], input=f"call {call}".encode(), capture_output=True, timeout=120)


@pytest.mark.parametrize("call", CALLS + [target for target in TARGETS if "SCRATCH" not in target])
def test_native_code_in_the_compiler_reaches_nothing(victim, services, call):
    asked = call.replace("BASE", str(victim.folder)).replace("PARENT", str(os.getpid())).replace("PORT", str(services))
    done = compile_by(asked)
    said = done.stderr.decode()
    assert done.returncode == 1 and said.startswith("refused: ") and "os error" in said, (done.returncode, said)
    assert done.stdout == b"" and not Path("/tmp/osiris-attack").exists()
    assert (victim.folder / "pipeline.json").read_text() == "{}"


def test_the_compiler_may_use_what_it_was_allowed_and_no_more():
    assert compile_by("status").returncode == 1, "it reads nothing, not even of itself"
    hoard = compile_by("hoard", 60, 500_000_000)
    assert hoard.returncode == -signal.SIGABRT and b"memory allocation" in hoard.stderr
    assert compile_by("spin", 1, 1_000_000_000).returncode == -signal.SIGXCPU


def test_native_code_that_forges_exchanges_neither_records_a_secret_nor_exhausts_the_host(project):
    def run(call: str, *flags, **more) -> tuple[dict, str]:
        test = {"name": "forged", "config": {"attack": "native", "sql": call, "key": CANARY}, **more}
        project.write("tests/forged.yaml", json.dumps(test))
        command = [HOLE, "drivers", "test", GUESTS / "test.attack.wasm", "--tests", "tests", "--no-checks", "--json", *flags]
        # More memory than this would be the forged exchanges themselves.
        limited = ["prlimit", f"--data={3 << 30}", *map(str, command)]
        done = subprocess.run(limited, cwd=project.folder, capture_output=True, text=True, timeout=120)
        assert CANARY not in done.stdout + done.stderr
        assert done.returncode == 1, done.stdout + done.stderr
        return json.loads(done.stdout)["results"][0], done.stdout

    lost = "the driver made more requests than a test can have"
    for call in (f"forge {CANARY}", f"forge_many {CANARY}"):
        assert lost in run(call, "--record", http="r.json")[0]["reason"]
        assert not (project.folder / "tests" / "r.json").exists()
        exchange = {"request": {"url": "https://api.example.com/"}, "response": {}}
        replayed = run(call, http=[exchange], expect={"requests": []})[0]["reason"]
        assert lost in replayed and "expected 0 requests" in replayed and "no recorded exchange" not in replayed
    assert lost not in run(f"forge {CANARY}", network={"real": True}, expect={"requests": [{"url": "x"}]})[0]["reason"]
