"""Files that are not legitimate drivers: refused by name before anything runs, or harmless if they run."""

import ctypes
import gzip
import io
import json
import os
import signal
import subprocess
import time
import zipfile

import pytest
from conftest import GUESTS, OSIRIS, ROOT, TARGET

HELLO = (TARGET / "wasm32-wasip2" / "driver" / "hello_driver.wasm").read_bytes()
SPEC = (ROOT / "examples" / "hello-driver" / "spec.yaml").read_text()


def leb(number: int) -> bytes:
    out = bytearray()
    while True:
        byte = number & 0x7F
        number >>= 7
        out.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(out)


def section(number: int, body: bytes) -> bytes:
    return bytes([number]) + leb(len(body)) + body


def spec(text: str | bytes) -> bytes:
    name = b"osiris:spec"
    return section(0, leb(len(name)) + name + (text.encode() if isinstance(text, str) else text))


def module(functions: int = 0, memory: int | None = None, body: bytes = b"\x00\x0b") -> bytes:
    """A core module with a number of functions, or a memory with a number of pages."""
    out = b"\0asm\x01\0\0\0" + section(1, b"\x01\x60\x00\x00")
    if functions:
        out += section(3, leb(functions) + b"\x00" * functions)
    if memory is not None:
        out += section(5, b"\x01\x00" + leb(memory))
    if functions:
        out += section(10, leb(functions) + (leb(len(body)) + body) * functions)
    return out


def nested(depth: int) -> bytes:
    component = b"\0asm\x0d\0\x01\0"
    for _ in range(depth):
        component = b"\0asm\x0d\0\x01\0" + section(4, component)
    return component


ALIASES = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)

FILES = {
    "truncated": (HELLO[: len(HELLO) // 2], "no driver"),
    "truncated-section": (HELLO[:9] + b"\xff\xff\xff\xff\x0f", "no driver"),
    "empty": (b"", "no driver"),
    "a-module": (module(1), "no driver"),
    "random-bytes": (bytes(range(256)) * 100, "no driver"),
    "no-spec": (HELLO, "no spec"),
    "two-specs": (HELLO + spec(SPEC) * 2, "several specs"),
    "spec-not-utf8": (HELLO + spec(b"\xff\xfe"), "not UTF-8"),
    "spec-of-another-kind": (HELLO + spec(SPEC.replace("kind: extractor", "kind: writer")), "does not export"),
    "spec-with-unknown-key": (HELLO + spec(SPEC + "\nroot: true\n"), "unknown"),
    "spec-alias-bomb": (HELLO + spec(ALIASES + SPEC), "cannot read spec"),
    "spec-deep": (HELLO + spec(SPEC + "\ndescription: " + "[" * 100_000), "cannot read spec"),
    "spec-deep-json": (HELLO + spec(SPEC + "\nexamples: " + '{"a":' * 50_000), "cannot read spec"),
    "spec-huge": (HELLO + spec(SPEC + "\ndescription: " + "x" * (8 << 20)), "longer than 1 MiB"),
    "spec-path-name": (HELLO + spec(SPEC.replace("hello.extractor", "../../evil.extractor")), "name"),
    "spec-wants-the-connections": (HELLO + spec(SPEC + "\ngrants: {read: [osiris_connections.yaml]}\n"), "names a file by itself"),
    "spec-wants-a-neighbour": (HELLO + spec(SPEC + "\ngrants: {read: ['{config.names}/../../notes.txt']}\n"), "names a file by itself"),
    "spec-wants-by-default": (
        HELLO + spec(SPEC.replace("properties:", "properties:\n    file: {type: string, default: notes.txt}", 1) + "\ngrants: {read: ['{config.file}']}\n"),
        "only its driver's defaults name it",
    ),
    "nested-components": (nested(100) + spec(SPEC), "does not export"),
    "import-of-a-stranger": (HELLO.replace(b"osiris:driver/context@0.2.0", b"osiris:driver/contexx@0.2.0") + spec(SPEC), ""),
    "newer-contract": (HELLO.replace(b"@0.2.0", b"@9.1.0") + spec(SPEC), "contract"),
    "flipped-bits": (HELLO[:2000] + bytes(byte ^ 0x55 for byte in HELLO[2000:2400]) + HELLO[2400:] + spec(SPEC), ""),
    "damaged-inside": (HELLO + section(1, module(1, body=b"\x00\xff\x0b")) + spec(SPEC), "cannot be compiled"),
    "hundred-thousand-functions": (b"\0asm\x0d\0\x01\0" + section(1, module(100_000)) + spec(SPEC), "does not export"),
    "memory-of-four-gigabytes": (b"\0asm\x0d\0\x01\0" + section(1, module(0, memory=65_536)) + spec(SPEC), "does not export"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused(project, name):
    content, words = FILES[name]
    project.write("drivers/evil.wasm", content)
    project.write("notes.txt", "private")
    project.write("osiris_connections.yaml", "connections: {}\n")
    project.pipeline([{"id": "evil", "component": "drivers/evil.wasm", "config": {"names": ["Ada"]}}])
    begun = time.monotonic()
    done = project.osiris("run", "pipeline.yaml", timeout=60)
    assert done.returncode in (1, 2, 3), done.stderr
    assert "panicked" not in done.stderr and "error: " in done.stderr, done.stderr
    assert words in done.stderr, done.stderr
    assert time.monotonic() - begun < 30
    # Neither a listing nor a legitimate pipeline beside it is affected.
    assert "hello.extractor" in project.osiris("drivers", "list").stdout
    project.run([{"id": "hello", "component": "hello.extractor", "config": {"names": ["Ada"]}}])


STEERS = r"\e[2J\e]0;owned\a\u202E\u009b31m\r"
# Every text in a spec: the line of the field, with and without control characters.
TEXTS = {
    "title": ("title: Greet everyone", f'title: "{STEERS}seen"'),
    "description": ("title:", f'description: "{STEERS}seen"\ntitle:'),
    "an option's description": ("description: The names to greet", f'description: "{STEERS}seen"'),
    "an option's name": ("    names:", f'    "{STEERS}seen": {{type: string}}\n    names:'),
    "an example": ("title: Two greetings", f'title: "{STEERS}seen"'),
    "the reason of an ignored option": ("examples:", f'ignored: {{other: "{STEERS}seen"}}\nexamples:'),
    "a default": ("    names:", f'    seen: {{type: string, default: "{STEERS}"}}\n    names:'),
    "an unknown key": ("title:", f'"{STEERS}seen": 1\ntitle:'),
    "the version": ("version: 0.1.0", f'version: "0.1.0{STEERS}seen"'),
    "the kind": ("kind: extractor", f'kind: "{STEERS}seen"'),
}


@pytest.mark.parametrize("place", TEXTS)
def test_a_spec_does_not_control_the_terminal(project, place):
    """Neither where it is shown nor where it is wrong; its text is shown."""
    line, steering = TEXTS[place]
    assert line in SPEC
    driver = HELLO + spec(SPEC.replace(line, steering, 1).replace("hello.", "evil."))
    project.write("drivers/evil.extractor.wasm", driver)
    project.pipeline([{"id": "evil", "component": "evil.extractor", "config": {"names": ["Ada"], "seen\x1b[2J": 1}}])
    shown = ""
    for arguments in (["list"], ["inspect", "evil.extractor"], ["list", "--json"], ["inspect", "evil.extractor", "--json"]):
        done = project.osiris("drivers", *arguments)
        shown += done.stdout + done.stderr
    planned = project.osiris("plan", "pipeline.yaml")
    assert planned.returncode == 2
    shown += planned.stdout + planned.stderr
    assert not set("\x1b\x07\u202e\x9b\r") & set(shown), shown
    said = {"title": "has a title that is not a line", "an example": "evil.extractor", "the reason of an ignored option": "evil.extractor"}
    assert said.get(place, "seen") in shown, shown


def test_a_pipe_in_place_of_a_driver_is_skipped(project):
    os.makedirs(project.folder / "drivers")
    os.mkfifo(project.folder / "drivers" / "pipe.wasm")
    assert "hello.extractor" in project.osiris("drivers", "list", timeout=60).stdout
    project.pipeline([{"id": "pipe", "component": "drivers/pipe.wasm"}])
    assert "it is no plain file" in project.osiris("run", "pipeline.yaml", timeout=60).stderr


def test_a_compile_bomb_ends(project):
    """A component with a hundred thousand functions: compiled within the allowance, and stopped at a smaller one."""
    bomb = HELLO + section(1, module(100_000, body=b"\x00" + b"\x41\x00\x1a" * 50 + b"\x0b")) + spec(SPEC)
    compiled = lambda seconds, size: subprocess.run([OSIRIS, "compile", str(seconds), str(size)], input=bomb, capture_output=True, timeout=300)  # noqa: E731
    ended = {name: compiled(*allowance) for name, allowance in {"whole": (60, 2_000_000_000), "time": (1, 2_000_000_000), "memory": (60, 100_000_000)}.items()}
    assert ended["whole"].returncode == 0 and len(ended["whole"].stdout) > 1_000_000, ended["whole"].stderr
    assert ended["time"].returncode == -signal.SIGXCPU and ended["time"].stdout == b""
    assert ended["memory"].returncode == -signal.SIGABRT and b"memory allocation" in ended["memory"].stderr


def test_a_changed_driver_is_refused_until_the_lock_is_updated(project):
    driver = project.write("drivers/hello.extractor.wasm", (GUESTS / "hello.extractor.wasm").read_bytes())
    steps = [{"id": "hello", "component": "hello.extractor", "config": {"names": ["Ada"]}}]
    environment = {"OSIRIS_DRIVERS": ""}
    project.run(steps, env=environment)
    locked = (project.folder / "osiris.lock").read_text()
    assert "sha256: " in locked
    project.run(steps, env=environment)
    driver.write_bytes(HELLO + section(0, b"\x01x") + spec(SPEC + "\ngrants: {read: ['{config.names}']}\n"))
    for verb in ("run", "plan", "validate"):
        refused = project.osiris(verb, "pipeline.yaml", env=environment)
        assert refused.returncode == 2
        assert "- sha256: " in refused.stderr and "+ sha256: " in refused.stderr
        assert "+ wants to read the file `{config.names}`" in refused.stderr and "osiris lock --update" in refused.stderr
    assert (project.folder / "osiris.lock").read_text() == locked
    assert project.osiris("lock", "pipeline.yaml", env=environment).returncode == 2
    assert project.osiris("lock", "--update", "pipeline.yaml", env=environment).returncode == 0
    assert "wants" not in project.osiris("validate", "pipeline.yaml", env=environment).stderr


def test_a_policy_is_a_ceiling(project):
    project.write("in/a.csv", "a\n1\n")
    project.write("b.csv", "a\n1\n")
    project.write("policy.yaml", "read: [in]\nwrite: [out]\nlimits: {wall_seconds: 7, guest_memory: 64MB}\n")
    read = lambda path: [{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": path}}]  # noqa: E731
    project.run(read("in/a.csv"), "--policy", "policy.yaml")
    refused = project.run(read("b.csv"), "--policy", "policy.yaml", expect=2)
    assert "the policy allows to read: `in`" in refused["stderr"]
    (project.folder / "in" / "link.csv").symlink_to("../b.csv")
    assert "cannot read" in project.run(read("in/link.csv"), "--policy", "policy.yaml", expect=2)["stderr"]
    planned = project.osiris("plan", "pipeline.yaml", "--policy", "policy.yaml", "--param", "x=1").returncode
    assert planned == 2
    project.pipeline(read("in/a.csv"))
    words = project.osiris("plan", "pipeline.yaml", "--policy", "policy.yaml").stdout
    assert "at most 7 s" in words and "64.0 MB of memory for its driver" in words, words


def test_a_hard_link_does_not_lead_out(project, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.csv"
    outside.write_text("a\n1\n")
    (project.folder / "link.csv").hardlink_to(outside)
    refused = project.run([{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "link.csv"}}], expect=2)
    assert "hard links" in refused["stderr"]


def test_the_machine_reports_its_protections(project):
    """As the kernel itself reports them; and a run that requires the whole sandbox works only if it is complete."""
    # landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) on x86_64 and aarch64.
    landlock = max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))
    actions = open("/proc/sys/kernel/seccomp/actions_avail").read().split()
    done = project.osiris("doctor", "--json")
    told = json.loads(done.stdout)
    given = {protection["name"]: protection["given"] for protection in told["protections"]}
    expected = {"files": landlock >= 3, "tcp": landlock >= 4, "devices": landlock >= 5, "signals": landlock >= 6, "system-calls": "errno" in actions}
    assert {name: given[name] for name in expected} == expected
    demanded = [protection["given"] for protection in told["protections"] if protection["demanded"]]
    assert told["whole"] == all(demanded) and done.returncode == (0 if told["whole"] else 3)
    # Limits by cgroup are not required; if they are missing, the text says what provides them.
    cgroup = next(protection for protection in told["protections"] if protection["name"] == "cgroup")
    assert not cgroup["demanded"] and cgroup["given"] != ("no cgroup v2" in cgroup["words"] or "systemd-run" in cgroup["words"]), cgroup
    project.pipeline([project.sql("select 1 as a")])
    assert project.osiris("run", "pipeline.yaml", "--require-sandbox").returncode == done.returncode


def test_deep_data_passes_or_ends_its_own_step(project):
    """It is blamed on the driver or its data, and ends no other step."""
    def deep(levels: int) -> str:
        return f"select json_structure(repeat('[', {levels}) || repeat(']', {levels})) as a, json_merge_patch(repeat('{{\"a\":', {levels}) || '1' || repeat('}}', {levels}), '{{}}') as b"

    result = project.run([project.sql(deep(50_000), id="deep"), project.sql(deep(3_000_000), id="deeper"), project.sql("select 1 as a", id="sibling")], expect=1)
    assert result["step"]["deep"]["status"] == result["step"]["sibling"]["status"] == "success"
    error = result["step"]["deeper"]["error"]
    assert (error["blame"], error["kind"]) == ("driver", "crash") and "nested very deep" in error["hint"], error


def archive(*files: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, content in files:
            writer.writestr(name, content)
    return packed.getvalue()


def read_archive(project, content: bytes, *arguments, expect: int = 1, format: str = "csv", **config) -> dict:
    project.write("in.zip", content)
    return project.run([{"id": "read", "component": f"filesystem.{format}_extractor", "config": {"path": "in.zip", **config}}], *arguments, expect=expect)


def archive_error(project, content: bytes, *arguments, **config) -> dict:
    return read_archive(project, content, *arguments, **config)["step"]["read"]["error"]


def test_names_in_an_archive_are_labels_that_lead_nowhere(project):
    names = ["../../evil.csv", "/etc/evil.csv", "C:\\evil.csv", "a/../../b.csv", "\x1b[2Jx.csv", ".osiris/state/x.csv", "osiris_connections.yaml"]
    before = sorted(path.name for path in project.folder.iterdir())
    result = read_archive(project, archive(*((name, f"n\n{number}\n".encode()) for number, name in enumerate(names))), expect=0, filename=True)
    rows = project.rows(result, "read", "select n, filename from main order by n")
    assert rows == [(number, f"in.zip/{name}") for number, name in enumerate(names)]
    assert not set(names) & {path.name for path in project.folder.rglob("*")} and not os.path.exists("/etc/evil.csv")
    assert sorted(path.name for path in project.folder.iterdir() if path.name not in (".osiris_sessions", "in.zip", "pipeline.yaml", "osiris.lock")) == before
    shown = read_archive(project, archive(("a.csv", b"n\n1\n"), ("\x1b[2Jx.csv", b"m\n1\n")))["stderr"]
    assert "\x1b" not in shown and "has other columns" in shown, shown


def test_archives_that_lie_are_refused(project):
    two = archive(("a.csv", b"n\n1\n"), ("b.csv", b"n\n2\n"))
    directory = two.index(b"PK\x01\x02")
    encrypted = bytearray(two)
    encrypted[directory + 8] |= 1
    same = archive(("a.csv", b"n\n1\n"), ("b.csv", b"n\n2\n")).replace(b"b.csv", b"a.csv")
    longer = bytearray(two)
    longer[directory + 24 : directory + 28] = (1 << 20).to_bytes(4, "little")
    elsewhere = bytearray(two)
    elsewhere[directory + 42 : directory + 46] = (0xFFFFFF00).to_bytes(4, "little")
    method = bytearray(two)
    method[directory + 10] = 9
    sums = bytearray(two)
    sums[directory + 16] ^= 1
    for content, words in (
        (bytes(encrypted), "encrypted"), (same, "two files `a.csv`"), (bytes(longer), "in.zip"), (bytes(elsewhere), "damaged"), (bytes(method), "method 9"), (bytes(sums), "checksum"),
        (two[:-10], "cut short"), (two + b"x", "cut short"), (archive(("folder/", b"")), "without a file"), (archive(("a.csv", gzip.compress(b"n\n1\n"))), "compressed twice"),
        (archive(*((f"{number}.csv", b"n\n1\n") for number in range(5001))), "5001 files"),
    ):
        error = archive_error(project, content)
        assert error["kind"] == "data" and words in error["message"] and "in.zip" in error["message"], (words, error)
        if words != "checksum":
            assert archive_error(project, content, format="json")["kind"] == "data", words


def test_bombs_in_archives_are_bounded(project):
    bomb = b"a,b\n" + b"1,2\n" * 10_000_000
    for content in (archive(("a.csv", bomb)), archive(*((f"{number}.csv", bomb[: 4 << 20]) for number in range(10)))):
        error = archive_error(project, content, "--spill", "10MB")
        assert error["kind"] == "disk" and "--spill" in error["hint"], error
    # Many entries of a directory that all lead to the same bytes.
    whole = archive(("a.csv", bomb[: 8 << 20]), ("b.csv", b"a,b\n1,2\n"))
    start = whole.index(b"PK\x01\x02")
    first = whole[start : whole.index(b"PK\x01\x02", start + 4)]
    entries = b"".join(first.replace(b"a.csv", f"{number:05}"[:5].encode()) for number in range(200))
    overlapping = whole[:start] + entries + b"PK\x05\x06" + bytes(4) + (200).to_bytes(2, "little") * 2 + len(entries).to_bytes(4, "little") + start.to_bytes(4, "little") + bytes(2)
    error = archive_error(project, overlapping, "--spill", "100MB")
    assert error["kind"] == "disk", error
    # A record without an end is refused at its bound.
    error = archive_error(project, archive(("a.json", b'{"a": "' + b"x" * (64 << 20))), format="json")
    assert error["kind"] == "data" and "max_record_bytes" in error["message"], error
