"""A worker that lies, errs or falls silent: the host ends with a clear error that names it, and keeps nothing; or it ignores
what harms nothing."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from conftest import CANARY, OSIRIS
from worker_wire import fake

# What a session and the folder of a pipeline may contain after a step that failed.
LEFT = {"pipeline.yaml", "osiris.lock", ".osiris_sessions", "out.csv", "fake-output", "fake-other", "fake-worker.py"}
ONE = "tables={'main': 1}"


def run(project, body: str, *arguments: str, steps: list | None = None, expect: int = 1, timeout: float = 60) -> dict:
    project.pipeline(steps or [project.sql("select 1 as a")])
    project.write("out.csv", "before\n")
    done = project.osiris("run", "pipeline.yaml", "--json", "--on", fake(project.folder, body), *arguments, timeout=timeout)
    assert done.returncode == expect, f"{body}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    result = json.loads(done.stdout)
    result["stderr"] = done.stderr
    if "steps" in result:
        check_nothing_kept(project, result, kept=expect == 0)
    return result


def check_nothing_kept(project, result: dict, *, kept: bool = False) -> None:
    session = Path(result["session_path"])
    assert not (session / "scratch").exists()
    assert kept or list((session / "data").iterdir()) == []
    assert (project.folder / "out.csv").read_text() == "before\n"
    assert {path.name for path in project.folder.iterdir()} <= LEFT


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"w.take(); w.complete([w.file(OUTPUT) | {{'digest': '0' * 64}}], {ONE})", "it says that it sent"),
        (f"w.take(); w.complete([w.file(OUTPUT) | {{'bytes': len(OUTPUT) + 1}}], {ONE})", "it says that it sent"),
        (f"w.take(); w.complete([w.file(OUTPUT) | {{'bytes': 1}}], {ONE})", "it says that it sent 1 bytes"),
        (f"w.take(); w.complete([], {ONE})", "it sent no output, which the step must have"),
        (f"w.take(); w.file(OUTPUT); w.complete([], {ONE})", "it sent a file that it does not name in the end"),
        (f"w.take(); f = w.file(OUTPUT); w.complete([f, f], {ONE})", "it names a file twice"),
        ("w.take(); w.file(b'x', '../../out.csv')", "it sent a file that the step was not granted"),
        ("w.take(); w.file(b'x', 'out.csv')", "it sent a file that the step was not granted"),
        ("w.take(); w.complete([w.file(OUTPUT), {'name': '/etc/passwd', 'bytes': 0, 'digest': digest_of(b'')}])", "it sent a file that the step was not granted"),
        ("w.take(); w.complete([w.file(OUTPUT)], tables={'main': 2})", "its table `main` has 1 rows, not 2"),
        ("w.take(); w.complete([w.file(OUTPUT)], tables={'main': 1, 'more': 0})", "it sent an output that is not what it says"),
        ("w.take(); w.complete([w.file(OUTPUT)], tables={f't{i}': 0 for i in range(1001)})", "it has 1001 tables, more than 1000"),
        ("w.take(); w.complete([w.file(b'no database')], tables={'main': 1})", "it sent an output that is not what it says"),
        ("w.take(); w.complete([w.file(b'no database')])", "it is not a DuckDB file"),
        ("w.take(); w.complete([w.file(b'')])", "it is not a DuckDB file"),
    ],
)
def test_an_output_that_is_not_what_its_worker_says_is_refused(project, body, words):
    error = run(project, body)["steps"][0]["error"]
    assert (error["kind"], error["blame"]) == ("worker", "host")
    assert words in error["message"] and "fake-worker.py" in error["message"] and "cannot be trusted" in error["message"], error
    assert "nothing of what it sent was kept" in error["hint"]


def test_an_output_larger_than_the_limit_is_refused_before_it_fills_the_disk(project):
    error = run(project, "w.take()\nwhile True: w.file(bytes(1 << 20))", "--output-size", "3MB")["steps"][0]["error"]
    assert error["kind"] == "worker" and "3.0 MB" in error["message"], error


# Names that lead elsewhere, or to the granted file by another way.
NAMES = ["pipeline.yaml", "../out.csv", "./out.csv", "sub/../out.csv", "out.csv\0", "link/x", "/tmp/osiris-attack", ".osiris_sessions/x"]


@pytest.mark.parametrize("name", NAMES)
def test_a_written_file_has_the_name_that_was_granted(project, name):
    body = f"w.take(); w.file(b'new', 'out.csv'); w.file(b'x', {name!r})"
    outside = project.folder / "outside"
    outside.mkdir()
    (project.folder / "link").symlink_to(outside)
    project.pipeline([{"id": "write", "component": "test.keep", "config": {"write": ["out.csv"]}}])
    check_refused(project, body, "it sent a file that the step was not granted")
    assert not Path("/tmp/osiris-attack").exists() and list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("state", "words"),
    [("f'[{job[\"secrets\"]}]'.replace(\"'\", '\"')", "a state must hold no secret"), ("'{'", "a state must be JSON"), ("'\"' + 'x' * 2_000_000 + '\"'", "larger than the 1048576 that are kept")],
)
def test_a_state_is_stored_only_if_a_driver_could_have_set_it(project, state, words):
    project.pipeline([{"id": "write", "component": "test.keep", "config": {"state": "1", "key": CANARY}}])
    check_refused(project, f"job = w.take(); w.complete([w.file(OUTPUT)], {ONE}, state={state})", words)
    assert list((project.folder / ".osiris" / "state").rglob("*.json")) == []


def test_a_step_without_an_output_gets_none(project):
    project.pipeline([project.sql("select 1 as a"), {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "out.csv"}}])
    check_refused(project, f"w.take(); w.complete([w.file(OUTPUT)], {ONE}); w.next_job(); w.file(OUTPUT)", "it sent an output that the step does not have")


def check_refused(project, body: str, words: str) -> None:
    """The last step of the pipeline fails, and nothing of it is anywhere."""
    project.write("out.csv", "before\n")
    done = project.osiris("run", "pipeline.yaml", "--json", "--on", fake(project.folder, body), timeout=60)
    *_, step = json.loads(done.stdout)["steps"]
    assert done.returncode == 1 and step["error"]["kind"] == "worker" and words in step["error"]["message"], done.stdout
    assert (project.folder / "out.csv").read_text() == "before\n" and {path.name for path in project.folder.iterdir()} <= LEFT | {"link", "outside", ".osiris"}
    session = Path(json.loads(done.stdout)["session_path"])
    assert not (session / "scratch").exists() and not (session / "data" / "write.duckdb").exists()


def test_a_written_file_is_refused_like_an_output(project):
    steps = [project.sql("select 1 as a"), {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "out.csv"}}]
    body = f"w.take(); w.complete([w.file(OUTPUT)], {ONE}); w.next_job(); w.complete([w.file(b'new', 'out.csv') | {{'bytes': 4}}])"
    project.pipeline(steps)
    project.write("out.csv", "before\n")
    done = project.osiris("run", "pipeline.yaml", "--json", "--on", fake(project.folder, body))
    first, second = json.loads(done.stdout)["steps"]
    assert first["status"] == "success" and second["error"]["kind"] == "worker", done.stdout
    assert (project.folder / "out.csv").read_text() == "before\n" and {path.name for path in project.folder.iterdir()} <= LEFT


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("w.take(); w.say('shell', run='rm')", "a line cannot be understood: Data"),
        ("w.take(); w.about('log', level='info', message='x', fields={}, more=1)", "a line cannot be understood: Data"),
        ("w.take(); send(w.stdout, b'[[[[[' * 100_000)", "a line cannot be understood: "),
        ("w.take(); w.stdout.write(b'{\"type\": \"log\", '); w.stdout.flush(); os._exit(0)", "the connection ended in the middle of a message"),
        ("w.take(); w.about('output', b'half', length=100); os._exit(0)", "the connection ended in the middle of a message"),
        ("w.take(); w.about('output', length=2_000_000)", "more than 1048576"),
        ("w.take()\nfor _ in range(100): w.stdout.write(b' ' * 1_000_000)\nw.stdout.write(b'\\n')", "a line is longer than 17 MB"),
        ("w.take(); os.write(2, b'\\x1b[2Jthe disk of the worker has gone\\n'); os._exit(1)", "it said: \\u{1b}[2Jthe disk of the worker has gone"),
        ("w.take(); w.say('error', connected=False, failure={'blame': 'host', 'kind': 'protocol', 'message': 'I am\\x1b[2J confused'}); os._exit(1)", "it reported: I am\\u{1b}[2J confused"),
        ("w.take(); os.close(0); os.close(1); time.sleep(100)", "its connection ended"),
        ("w.hear('ping'); w.pong(); w.hear('prepare'); os._exit(1)", "its connection ended"),
        # Its shell has started more than one process.
        ("w.take(); os.close(1); os.system('sleep 1000 & sleep 1000')", "its connection ended"),
    ],
)
def test_a_worker_that_cannot_be_understood_is_lost(project, body, words):
    begun = time.monotonic()
    result = run(project, body)
    error = result["steps"][0]["error"]
    assert (error["kind"], error["blame"]) == ("lost", "host") and "fake-worker.py" in error["message"], error
    assert words in error["message"], error
    assert "\x1b" not in result["stderr"] and time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("send(w.stdout, b'Welcome to build1!')", "what answers is not `osiris worker`"),
        ("os.write(2, b'x' * 100_000 + b'\\nno route to host\\n'); os._exit(255)", "its command ended; it said: "),
        ("w.hear('ping'); w.pong(version='9.9.9\\x1b[2J')", "has Osiris 9.9.9\\u{1b}[2J, this is 0.1.0"),
        ("w.hear('ping'); w.pong(protocol=3)", "has Osiris 0.1.0, this is 0.1.0"),
        ("w.hear('ping'); w.pong(slots=0)", "it offers 0 slots"),
        ("w.hear('ping'); w.pong(slots=-1)", "what answers is not `osiris worker`"),
    ],
)
def test_a_worker_that_cannot_be_used_is_refused_before_anything_runs(project, body, words):
    project.pipeline([project.sql("select 1 as a")])
    done = project.osiris("run", "pipeline.yaml", "--on", fake(project.folder, body), timeout=60)
    assert done.returncode > 0
    assert words in done.stderr and "fake-worker.py" in done.stderr and "hint: " in done.stderr and "\x1b" not in done.stderr, done.stderr
    assert not list(project.folder.glob(".osiris_sessions/*"))


HARMLESS = f"""
w.hear('ping'); w.pong(slots=4_000_000_000)
prepare = w.hear('prepare'); w.attempt = prepare['attempt']
w.about('ready', lacks=['0' * 64] * 10_000)
w.about('ready', lacks=[b['digest'] for b in prepare['blobs']])
w.hear('exec_step')
real, w.attempt = w.attempt, 7
w.file(b'not mine'); w.file(b'not mine', 'x'); w.complete([]); w.fail(); w.about('event', event='started')
w.about('log', level='error', message='of a stranger', fields={{}})
w.attempt = real
w.pong(version='9.9.9'); w.say('cleaned')
for _ in range(100_000): w.about('event', event='message_lost')
for _ in range(30): w.about('log', level='warn', message='x' * 1_000_000, fields={{}})
for _ in range(10_000): w.say('error', connected=False, failure={{'blame': 'host', 'kind': 'x', 'message': 'a flood'}})
for _ in range(10_000): w.about('progress', done=1, total=0)
f = w.file(OUTPUT)
w.complete([f], {ONE}); w.complete([f], tables={{'main': 9}}); w.file(b'more')
"""


def test_what_harms_nothing_is_ignored(project):
    result = run(project, HARMLESS, "--log-size", "1MB", expect=0)
    assert result["steps"][0]["status"] == "success"
    logs = Path(result["session_path"]) / "logs"
    assert sum(file.stat().st_size for file in logs.iterdir()) < 5_000_000
    assert "of a stranger" not in (logs / "events.jsonl").read_text() and "flood" not in result["stderr"]
    assert (logs / "events.jsonl").read_text().count("message_lost") < 100


def test_a_worker_that_goes_after_its_last_word_loses_nothing(project):
    result = run(project, f"w.take(); w.complete([w.file(OUTPUT)], {ONE}); os._exit(0)", expect=0)
    assert result["steps"][0]["attempts"] == 1


ZOMBIE = f"""
def late():
    new, w.attempt = w.attempt, old
    w.complete([w.file(OTHER)], tables={{'main': 2}}); w.fail()
    w.attempt = new
w.take(); old = w.attempt
w.fail(kind='transient', retry={{'after_ms': 0}})
for _ in range(2):
    late(); w.next_job(); late(); w.complete([w.file(OUTPUT)], {ONE}); late()
"""


def check_each_step_counted_once(project, result: dict, rows: list[tuple]) -> None:
    assert [(step["status"], step["attempts"]) for step in result["steps"]] == [("success", 2), ("success", 1)]
    assert project.rows(result, "source") == rows
    events = [(event["event"], event.get("step_id")) for event in project.events(result) if event["event"] in ("step_retry", "step_complete")]
    assert events == [("step_retry", "source"), ("step_complete", "source"), ("step_complete", "after")]


def test_an_attempt_that_was_given_up_is_not_heard_again(project):
    steps = [project.sql("select 1 as a") | {"retries": 1}, {"id": "after", "component": "duckdb.processor", "config": {"query": "from source"}}]
    check_each_step_counted_once(project, run(project, ZOMBIE, steps=steps, expect=0), [(1,)])


def test_a_worker_that_was_given_up_is_not_heard_again(project):
    """It takes nothing any more, but survives the end of its command, and sends its output while its replacement works."""
    dead, replaced, sent = (project.folder / name for name in ("dead", "replaced", "sent"))
    body = f"""
w.take()
open({str(dead)!r}, 'w').close()
if os.fork(): os._exit(0)
os.setsid(); os.close(0); os.close(2)
while not os.path.exists({str(replaced)!r}): time.sleep(0.01)
while True:
    w.complete([w.file(OTHER)], tables={{'main': 2}})
    open({str(sent)!r}, 'a').write('x')
"""
    zombie = fake(project.folder, body)
    project.on = ["--on", f"if [ -e {dead} ]; then touch {replaced}; exec {OSIRIS} worker --slots 1; else {zombie}; fi"]
    slow = "select count(*) as a from range(20_000) a, range(20_000) b where hash(a.range, b.range) % 7 = 99"
    steps = [project.sql(slow) | {"retries": 1}, {"id": "after", "component": "duckdb.processor", "config": {"query": "from source"}}]
    check_each_step_counted_once(project, project.run(steps), [(0,)])
    assert sent.read_text()


def test_of_two_last_words_one_counts(project):
    result = run(project, f"w.take(); w.fail(); w.complete([w.file(OUTPUT)], {ONE})")
    assert result["steps"][0]["error"]["message"].endswith("fake-worker.py`: it failed")


def test_text_of_a_worker_is_redacted_and_harmless(project):
    secret = "f'{job[\"secrets\"]}'"
    body = f"""
job = w.take()
w.about('log', level='warn', message={secret} + '\\x1b[2J', fields={{{secret}: {secret}}})
w.about('metric', name={secret}, value=1.0)
os.write(2, {secret}.encode())
w.fail(blame='user', kind={secret}, message={secret} + '\\x1b[2J', hint={secret}, printed={secret})
"""
    steps = [{"id": "attack", "component": "test.attack", "config": {"attack": "clock", "key": CANARY, "file": "out.txt"}}]
    project.write("out.txt", "before")
    LEFT.add("out.txt")
    result = run(project, body, steps=steps)
    error = result["steps"][0]["error"]
    assert error["blame"] == "user" and "***" in error["message"], error
    assert CANARY not in json.dumps(result) and "\x1b" not in result["stderr"]


def test_a_worker_that_is_silent_or_never_ends_a_step_is_given_up(project):
    """At once, since each takes a minute: silent, without an end, and flooding."""
    bodies = {
        "silent": ("w.take(); time.sleep(1000)", "nothing was heard of it for 60 s"),
        "deaf": ("w.hear('ping'); w.pong(); p = w.hear('prepare'); w.attempt = p['attempt']; w.about('ready', lacks=[b['digest'] for b in p['blobs']])\nwhile True: w.pong()", "nothing was heard of it for 60 s"),
        "endless": ("w.take(); w.about('event', event='started')", "it did not end the step at its time limit"),
        "flooding": ("w.take(); w.about('event', event='started')\nwhile True: w.about('log', level='info', message='x' * 1000, fields={})", "it did not end the step at its time limit"),
    }
    running = {}
    for name, (body, _) in bodies.items():
        folder = project.folder / name
        folder.mkdir()
        project.pipeline([project.sql("select 1 as a")]).rename(folder / "pipeline.yaml")
        command = [str(OSIRIS), "run", "pipeline.yaml", "--no-cache", "--json", "--step-timeout", "1", "--on", fake(folder, body)]
        running[name] = subprocess.Popen(command, cwd=folder, env=os.environ | {"OSIRIS_CANARY": CANARY}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for name, run in running.items():
        out, _ = run.communicate(timeout=150)
        error = json.loads(out)["steps"][0]["error"]
        assert error["kind"] == "lost" and bodies[name][1] in error["message"], (name, error)
