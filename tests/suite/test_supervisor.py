"""One supervisor, which nothing can stall: limits hold whoever reads, prints or lies, and each failure is blamed on
the right party."""

import fcntl
import json
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import CANARY, GUESTS, OSIRIS, TARGET, install
from name_server import MUTE, PORT, missing, run_with_names
from test_hostile_files import HELLO, SPEC, leb, module, section, spec

HOLE = OSIRIS.parent / "hole"
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CANARY": CANARY}
ENDLESS = "with recursive t(i) as (select 1 union all select i + 1 from t) select max(i) as m from t"
# DuckDB ignores interrupts while it multiplies: only the host can end it.
DEAF = "select length((repeat('9', 700000)::bignum * repeat('9', 700000)::bignum)::varchar) as n"


def until(what, seconds: float = 60):
    """Waits for a callable to return something, and returns it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        select.select([], [], [], 0.05)
    raise AssertionError("it did not come to pass")


def start(project, *arguments, program: Path = OSIRIS, env: dict | None = None, **more) -> subprocess.Popen:
    return subprocess.Popen([str(program), *arguments], cwd=project.folder, env=ENVIRONMENT | (env or {}), text=True, **more)


def children(process: int, verb: str) -> list[int]:
    """The processes of a program that run one of its hidden commands."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                if Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[1:2] == [verb.encode()]:
                    found.append(int(child))
            except FileNotFoundError:
                pass
    return found


def error_of(result: dict, step: str) -> tuple[str, str, str, str]:
    error = result["step"][step]["error"]
    return error["blame"], error["kind"], error["message"], error.get("hint") or ""


# ---- Nobody reads


def test_a_terminal_that_nobody_reads_stalls_no_limit_and_no_step(project):
    """A driver that logs endlessly, a loop, a query that ignores interrupts, and a step that only waits for its
    turn."""
    steps = [
        {"id": f"loud{number}", "component": "test.attack", "needs": [], "config": {"attack": "warnings"}} for number in range(2)
    ] + [
        {"id": "loop", "component": "test.misbehave", "needs": ["loud0"], "config": {"how": "loop"}},
        project.sql(DEAF, id="deaf"),
        {"id": "last", "component": "duckdb.processor", "needs": ["loud1"], "config": {"query": "select 1 as a"}},
    ]
    project.pipeline(steps)
    run = start(project, "run", "pipeline.yaml", "--json", "--step-timeout", "3", "--jobs", "2", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    fcntl.fcntl(run.stderr, fcntl.F_SETPIPE_SZ, 4096)
    sessions = project.folder / ".osiris_sessions"
    manifests = lambda: [path.read_text() for path in sessions.glob("session_*/manifest.yaml")]
    try:
        until(lambda: any("finished_at: 2" in text or "finished_at: '2" in text or 'finished_at: "2' in text for text in manifests()), 120)
        out, err = run.communicate(timeout=60)
    finally:
        run.kill()
    result = json.loads(out)
    status = {step["id"]: step["status"] for step in result["steps"]}
    assert status == {"loud0": "success", "loud1": "success", "loop": "failed", "deaf": "failed", "last": "success"}, err
    errors = {step["id"]: step["error"] for step in result["steps"]}
    assert (errors["loop"]["kind"], errors["loop"]["blame"]) == ("timeout", "driver")
    assert (errors["deaf"]["kind"], errors["deaf"]["blame"]) == ("timeout", "user"), "the author's SQL, though only the host could end it"
    assert "lines not shown" in err


# ---- Limits of the whole step


def many_memories(count: int, pages: int) -> bytes:
    """A driver with core modules, each of which has a memory."""
    known, place = 0, 8
    while place < len(HELLO):
        number, length, shift, place = HELLO[place], 0, 0, place + 1
        while True:
            length |= (HELLO[place] & 0x7F) << shift
            shift, more, place = shift + 7, HELLO[place] & 0x80, place + 1
            if not more:
                break
        known, place = known + (number == 1), place + length
    modules = b"".join(section(1, module(memory=pages)) + section(2, leb(1) + b"\x00" + leb(known + index) + leb(0)) for index in range(count))
    return HELLO + modules + spec(SPEC)


def test_the_memories_of_a_driver_share_one_limit(project):
    project.write("drivers/many.wasm", many_memories(14, 1000))
    step = {"id": "many", "component": "drivers/many.wasm", "config": {"names": ["Ada"]}}
    blame, kind, message, _ = error_of(project.run([step], "--guest-memory", "64MB", expect=1), "many")
    assert (blame, kind) == ("driver", "memory") and "64.0 MB of memory" in message, message
    project.run([step], "--guest-memory", "2GB")


def test_neither_a_drivers_text_nor_its_default_sets_its_number_of_instances(project):
    for instances, default in (("{config.n}", "8"), ("8", "1")):
        text = SPEC.replace("properties:", f"properties:\n    n: {{type: integer, default: {default}}}", 1) + f'\ninstances: "{instances}"\n'
        project.write("drivers/shared.wasm", HELLO + spec(text))
        step = {"id": "shared", "component": "drivers/shared.wasm", "config": {"names": ["Ada"]}}
        if default == "8":
            # One row for each instance: the same driver, the same default, and one instance.
            assert project.rows(project.run([step]), "shared", "select count(*) from main") == [(1,)]
            step["config"]["n"] = 2
            assert project.rows(project.run([step]), "shared", "select count(*) from main") == [(2,)]
        else:
            assert "`instances: 8` names no option" in project.run([step], expect=2)["stderr"]


# ---- The kernel counts too


def hole(project, call: str, *flags, expect: int = 1) -> dict:
    steps = [project.sql("select 1 as a"), {"id": "hole", "component": "test.attack", "needs": ["source"], "config": {"attack": "native", "sql": call}},
             {"id": "sibling", "component": "duckdb.processor", "needs": ["source"], "config": {"query": "from source"}}]
    project.pipeline(steps)
    result = project.run(None, *flags, expect=expect, program=HOLE)
    assert result["step"]["sibling"]["status"] == "success", result["stderr"]
    return result


def test_native_code_gets_no_more_memory_than_its_process_may_use(project):
    """If it allocates page by page, the supervisor ends it; if it requests everything at once, the kernel refuses."""
    small = ("--engine-memory", "64MB", "--guest-memory", "64MB")
    blame, _, message, _ = error_of(hole(project, "hoard", *small), "hole")
    assert blame == "driver" and "memory" in message, message
    assert "refused: memory allocation failed" in error_of(hole(project, "reserve", *small), "hole")[2]
    hole(project, "reserve", "--engine-memory", "3GB", expect=0)


def test_native_code_cannot_start_thousands_of_threads(project):
    assert error_of(hole(project, "threads"), "hole")[:2] == ("driver", "threads")


def test_native_code_that_keeps_running_blocks_nobody(project):
    begun = time.monotonic()
    blame, kind, message, _ = error_of(hole(project, "linger"), "hole")
    assert (kind, "closed its output" in message) == ("killed", True) and time.monotonic() - begun < 30, message


def test_crashed_native_code_is_blamed_on_the_driver(project):
    blame, kind, message, _ = error_of(hole(project, "crash"), "hole")
    assert (blame, kind) == ("driver", "crash") and "signal 6" in message, message


def hidden(project, mount: str) -> dict:
    """A run as an ordinary user on a machine where `/proc` hides other users' processes."""
    project.pipeline([project.sql("select 1 as a"), {"id": "bad", "component": "test.misbehave", "needs": ["source"], "config": {"how": "loop"}}])
    cache = project.folder / "cache"
    cache.mkdir(mode=0o700)
    for path in (project.folder, cache):
        os.chown(path, 65534, 65534)
    for parent in (project.folder, *project.folder.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    before = ["unshare", "--mount", "sh", "-c", f'{mount} && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"', "sh"]
    program = install(project.folder / "program", TARGET / "drivers" / "duckdb.processor.wasm", GUESTS / "test.misbehave.wasm")
    env = {"OSIRIS_CACHE_DIR": str(cache), "HOME": str(project.folder), "OSIRIS_DRIVERS": str(program.parent)}
    done = project.osiris("run", "pipeline.yaml", "--json", "--step-cpu", "1", "--step-timeout", "40", env=env, before=before, program=program)
    result = json.loads(done.stdout)
    return {step["id"]: step for step in result["steps"]}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts /proc anew")
def test_figures_hidden_by_the_mount_are_still_read(project):
    steps = hidden(project, "mount -t proc -o remount,hidepid=2 proc /proc")
    assert steps["source"]["status"] == "success", steps
    assert steps["bad"]["error"]["kind"] == "cpu", steps


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_slow_name_is_looked_up_once_however_often_it_is_requested(project):
    """Thousands of requests that do not wait: each would have been a thread and an open file in the host."""
    config = {"attack": "slow_names", "host": "slow.example", "port": PORT, "url": f"http://slow.example:{PORT}/v1", "target": "", "key": "k" * 9}
    project.write("policy.yaml", json.dumps({"connect": [f"slow.example:{PORT}"], "http": [f"GET http://slow.example:{PORT}/v1"]}))
    project.pipeline([{"id": "attack", "component": "test.network_attack", "config": config}])
    done = run_with_names(project, {"slow.example": MUTE}, "run", "pipeline.yaml", "--json", "--policy", "policy.yaml", "--step-timeout", "3")
    error = json.loads(done["stdout"])["steps"][0]["error"]
    assert (done["code"], error["kind"]) == (1, "timeout"), done
    assert done["asked"] == {"slow.example": 1}, done["asked"]


# ---- Compiling


def test_a_stopped_compile_process_does_not_delay_a_signal(project):
    project.pipeline([project.sql("select 1 as a")])
    run = start(project, "run", "pipeline.yaml", env={"OSIRIS_CACHE_DIR": str(project.folder / "cache")}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        (compiler,) = until(lambda: children(run.pid, "compile"))
        os.kill(compiler, signal.SIGSTOP)
        run.send_signal(signal.SIGTERM)
        out, err = run.communicate(timeout=20)
        assert run.returncode == 130 and "interrupted" in out, err
    finally:
        run.kill()


# ---- Discovery


@pytest.mark.parametrize(("call", "kind"), [("talk", "its time limit"), ("long_lines", "more at once than is heard"), ("hoard", "memory")])
def test_a_driver_that_is_asked_about_a_connection_is_watched_like_a_step(project, call, kind):
    """Native code in place of a driver's `discover`: it sends messages forever, in overlong lines, or takes all
    memory."""
    project.write("osiris_connections.yaml", json.dumps({"connections": {"test": {"big": {"host": "127.0.0.1", "database": call}}}}))
    project.write("policy.yaml", "connect: ['127.0.0.1:5432']\nlimits: {engine_memory: 64MB, guest_memory: 64MB}\n")
    begun, peak = time.monotonic(), 0
    with open(project.folder / "stderr", "w+") as stderr:
        command = ("discover", "@test.big", "--driver", "test.keep", "--timeout", "2", "--policy", "policy.yaml")
        run = start(project, *command, program=HOLE, stdout=subprocess.DEVNULL, stderr=stderr)
        while run.poll() is None:
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{run.pid}/status").read_text())
            peak = max(peak, int(found[1]) if found else 0)
            select.select([], [], [], 0.02)
        stderr.seek(0)
        said = stderr.read()
    assert run.returncode == 1 and time.monotonic() - begun < 40, said[-2000:]
    assert kind in said and len(said) < 1_000_000, said[-2000:]
    assert peak < 250_000, "the host kept what it heard"


def test_a_connection_is_checked_as_in_a_run_and_the_lock_applies(project):
    connections = {"postgres": {"bad": {"hostname": "127.0.0.1", "user": "u"}, "typed": {"host": "127.0.0.1", "user": "u", "port": "${PORT}"}}, "test": {"big": {"host": "db.example.com", "database": "2x2"}}}
    project.write("osiris_connections.yaml", json.dumps({"connections": connections}))
    (bad,) = json.loads(project.osiris("connections", "doctor", "@postgres.bad", "--json").stdout)
    assert "`host` is missing in `connection`" in bad["message"], bad
    (typed,) = json.loads(project.osiris("connections", "doctor", "@postgres.typed", "--json", env={"PORT": "1"}).stdout)
    assert typed["category"] == "network", typed
    (typed,) = json.loads(project.osiris("connections", "doctor", "@postgres.typed", "--json", env={"PORT": "many"}).stdout)
    assert "`connection.port` must be" in typed["message"], typed

    project.pipeline([{"id": "keep", "component": "test.keep", "config": {}}])
    assert project.osiris("lock", "pipeline.yaml").returncode == 0
    assert project.osiris("discover", "@test.big", "--driver", "test.keep").returncode == 0
    lock = project.folder / "osiris.lock"
    lock.write_text(re.sub(r"sha256: \S+", "sha256: " + "0" * 64, lock.read_text()))
    done = project.osiris("discover", "@test.big", "--driver", "test.keep")
    assert done.returncode == 2 and "is not the one that `osiris.lock` pins" in done.stderr, done


# ---- Queries


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory):
    from conftest import Project

    project = Project(tmp_path_factory.mktemp("looked_at"))
    project.run([project.sql("select i, 'row ' || i as t from range(3_000_000) r(i)")])
    return project


def test_rows_of_a_query_are_streamed_through_the_host(looked_at):
    """A hundred million rows would not fit into the host's memory; it keeps none."""
    wide = "select r.i, m.t from main m, range(20) r(i)"
    run = start(looked_at, "query", "latest", "source", wide, "--format", "csv", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    taken = sum(len(run.stdout.read(1 << 16)) for _ in range(2000))
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{run.pid}/status").read_text().splitlines() if ":\t" in line)
    assert taken > 100_000_000 and int(status["VmHWM"].split()[0]) < 200_000, status["VmHWM"]
    run.stdout.close()
    assert run.wait(timeout=30) == 0, "a reader that has seen enough is no failure"
    assert run.stderr.read() == ""


def test_a_query_ends_at_its_time_limit_and_reports_what_is_wrong(looked_at):
    done = looked_at.osiris("query", "latest", "source", ENDLESS, "--timeout", "2", timeout=60)
    assert done.returncode == 1 and "after 2 s, its time limit" in done.stderr and "--timeout" in done.stderr, done.stderr
    done = looked_at.osiris("query", "latest", "source", "select nothing")
    assert done.returncode == 2 and "nothing" in done.stderr and "write one SELECT over `main`" in done.stderr, done.stderr
    done = looked_at.osiris("query", "latest", "source", "select format('{:>1900000000}', 1) as t, m.t from main m limit 3")
    assert done.returncode == 2 and "Out of Memory" in done.stderr or done.returncode == 1, done.stderr


def test_a_hostile_database_file_harms_nobody(looked_at, project):
    project.run([project.sql("select 1 as a")])
    (file,) = project.folder.glob(".osiris_sessions/session_*/data/source.duckdb")
    honest = file.read_bytes()
    for hostile in (b"", b"nonsense", honest[: len(honest) // 2], honest[:4096] + bytes(byte ^ 0x55 for byte in honest[4096:8192]) + honest[8192:]):
        file.write_bytes(hostile)
        done = project.osiris("query", "latest", "source", timeout=60)
        assert done.returncode in (1, 2) and done.stderr.startswith("error: ") and "panicked" not in done.stderr, done.stderr


# ---- Whose fault


def test_limits_that_the_authors_sql_reached_are_the_authors_fault(project):
    for sql, flags, kind, flag in (
        (ENDLESS, ("--step-timeout", "1"), "timeout", "--step-timeout"),
        (ENDLESS, ("--step-cpu", "1"), "cpu", "--step-cpu"),
        ("select i, md5(i::varchar) as m from range(3_000_000) t(i)", ("--output-size", "1MB"), "output", "--output-size"),
        ("select i, md5(i::varchar) as m from range(5_000_000) t(i) order by m", ("--engine-memory", "60MB", "--spill", "10MB"), "disk", "--spill"),
    ):
        result = project.run([project.sql(sql)], *flags, expect=1)
        blame, found, message, hint = error_of(result, "source")
        assert (blame, found) == ("user", kind) and flag in hint, (sql, result["step"]["source"]["error"])
        assert "PRAGMA" not in message and "SET " not in message and "wasm" not in result["stderr"], result["stderr"]
        assert not [event for event in project.events(result) if "backtrace" in event.get("message", "")]


def test_a_driver_that_claims_to_have_run_out_of_memory_is_not_believed(project):
    step = {"id": "bad", "component": "test.misbehave", "needs": ["source"], "config": {"how": "claim-memory"}}
    blame, kind, _, hint = error_of(project.run([project.sql("select 1 as a"), step], expect=1), "bad")
    assert (blame, kind, hint) == ("driver", "memory", "")


def test_a_path_that_no_file_can_have_ends_only_its_step(project):
    steps = [project.sql("select 1 as a"), {"id": "write", "component": "filesystem.csv_writer", "needs": ["source"], "config": {"path": "x" * 300}},
             {"id": "sibling", "component": "duckdb.processor", "needs": ["source"], "config": {"query": "from source"}}]
    result = project.run(steps, expect=1)
    assert error_of(result, "write")[:2] == ("user", "config") and result["step"]["sibling"]["status"] == "success"
    assert error_of(result, "write")[2].endswith("File name too long (os error 36)")


def as_nobody(project, *arguments) -> subprocess.CompletedProcess:
    for parent in (project.folder, *project.folder.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    project.folder.chmod(0o777)
    before = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    program = install(project.folder / "program", TARGET / "drivers" / "filesystem.csv_extractor.wasm")
    cache = project.folder / "cache"
    cache.mkdir(mode=0o700)
    os.chown(cache, 65534, 65534)
    env = {"OSIRIS_CACHE_DIR": str(cache), "HOME": "/nonexistent", "OSIRIS_DRIVERS": str(program.parent)}
    return project.osiris(*arguments, env=env, before=before, program=program)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs a program as somebody else")
def test_an_unreadable_file_is_the_users_fault(project):
    project.write("in.csv", "a\n1\n").chmod(0o600)
    project.pipeline([{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "in.csv"}}])
    done = as_nobody(project, "run", "pipeline.yaml", "--json")
    error = json.loads(done.stdout)["steps"][0]["error"]
    assert (done.returncode, error["blame"], error["kind"]) == (1, "user", "permission"), done.stdout
    assert "Permission denied" in error["message"] and "in.csv" in error["message"]


TMPFS = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=96m none . && cd "$PWD" && cp "$OSIRIS_PIPELINE" pipeline.yaml && "$@"; code=$?; cp -r .osiris_sessions "$OSIRIS_OUT"; exit $code', "sh"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_ends_only_the_largest_step_and_is_the_machines_fault(project, tmp_path_factory):
    """On a disk of 96 MB: without explicit limits, the output's is half of it; with larger ones, the free space that
    must remain decides."""
    big = "select i, md5(i::varchar) || md5((i + 1)::varchar) as m from range(60_000_000) t(i)"
    steps = [project.sql(big, id="big"), project.sql("select 1 as a", id="small"),
             {"id": "later", "component": "duckdb.processor", "needs": ["small"], "config": {"query": "from small"}}]
    for flags, blame, kind in (((), "user", "output"), (("--output-size", "10GB", "--spill", "10GB"), "host", "disk")):
        out = tmp_path_factory.mktemp("out")
        pipeline = out / "pipeline.yaml"
        pipeline.write_text(project.pipeline(steps).read_text())
        env = {"OSIRIS_PIPELINE": str(pipeline), "OSIRIS_OUT": str(out)}
        done = project.osiris("run", "pipeline.yaml", "--json", "--jobs", "2", *flags, env=env, before=TMPFS)
        assert done.returncode == 1, done.stderr
        found = {step["id"]: step for step in json.loads(done.stdout)["steps"]}
        error = found["big"]["error"]
        assert (error["blame"], error["kind"].removesuffix("-full")) == (blame, kind), error
        assert found["small"]["status"] == found["later"]["status"] == "success", done.stdout
        (log,) = out.glob(".osiris_sessions/*/logs/events.jsonl")
        assert all(json.loads(line) for line in log.read_text().splitlines())


# ---- Machine-readable output


def test_json_is_an_object_for_every_exit_code(project):
    project.write("broken.yaml", "oml_version: '0.1.0'\nname: x\nsteps: 3\n")
    for arguments in (("run", "broken.yaml"), ("plan", "broken.yaml"), ("validate", "broken.yaml"), ("run", "absent.yaml"), ("run", "--nonsense", "x"), ("discover", "@no.such")):
        done = project.osiris(*arguments, "--json")
        whole = json.loads(done.stdout)
        assert (done.returncode, whole["status"], whole["error"]["fault"]) == (2, "failed", "input"), (arguments, done.stdout)
        assert whole["error"]["message"] and whole["error"]["message"].splitlines()[0] in done.stderr
        assert project.osiris(*arguments).stdout == ""

