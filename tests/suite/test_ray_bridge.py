"""The Ray bridge against workers that misbehave, without Ray: each task runs on a thread of this process."""

import asyncio
import hashlib
import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "clients" / "ray-bridge" / "src"))
from osiris_ray_bridge import certificate, task  # noqa: E402
from osiris_ray_bridge.blobs import Blob, Blobs, NoRoom  # noqa: E402
from osiris_ray_bridge.bridge import Bridge  # noqa: E402
from osiris_ray_bridge.cluster import Resources  # noqa: E402
from osiris_ray_bridge.lines import LineReader, ProtocolError  # noqa: E402
from osiris_ray_bridge.link import Server  # noqa: E402

VERSION = "1.2.3"
DATA = b"component" * 200_000
DIGEST = hashlib.sha256(DATA).hexdigest()
LIMITS = {"threads": 2, "guest_memory_bytes": 100, "engine_memory_bytes": 200}
# A worker that does what its argument says. It reports how many bytes of blobs it got, and the first command of its life.
WORKER = '''
import json, os, sys
how, stdin, stdout = sys.argv[1], sys.stdin.buffer, sys.stdout.buffer
def send(payload=b"", **line):
    stdout.write(json.dumps(line).encode() + b"\\n" + payload)
    stdout.flush()
has, bytes_taken = set(), 0
while line := stdin.readline():
    line = json.loads(line)
    if line["type"] == "ping":
        send(type="pong", protocol=2, version="0.0.9" if how == "old" else "1.2.3", slots=1, cpus=1, memory_bytes=1, missing=[])
    elif line["type"] == "prepare":
        if how == "dies":
            sys.exit("out of luck")
        lacks = [blob["digest"] for blob in line["blobs"] if blob["digest"] not in has]
        has |= set(lacks)
        send(type="ready", attempt=line["attempt"], lacks=["0" * 64] if how == "greedy" else lacks)
    elif line["type"] == "blob":
        bytes_taken += len(stdin.read(line["length"]))
    elif line["type"] == "exec_step":
        attempt = line["attempt"]
        if how == "babbles":
            stdout.write(b"hello\\n")
            stdout.flush()
        elif how == "other":
            send(type="complete", attempt=attempt + 1, report={})
        elif how == "half":
            stdout.write(b'{"type":"output","attempt":%d,"length":9}\\nabc' % attempt)
            stdout.flush()
            sys.exit(3)
        elif how == "twice":
            send(type="complete", attempt=attempt, report={"n": 1})
            send(type="complete", attempt=attempt, report={"n": 2})
        elif how == "good":
            send(b"\\n{}\\n", type="output", attempt=attempt, length=4)
            send(type="complete", attempt=attempt, report={"bytes": bytes_taken, "pid": os.getpid(), "secret": line["job"]["secret"]})
    elif line["type"] == "kill":
        send(type="error", attempt=line["attempt"], failure={"kind": "killed"}, connected=False)
open(f"{__file__}.{how}.ended", "w").close()
'''


class Threads:
    """A cluster whose tasks are threads, of which one runs at a time."""

    def __init__(self, *command: str):
        self.command = command
        self.turn = threading.Lock()
        self.tickets = []

    def announce(self):
        return {"slots": 4, "cpus": 4, "memory_bytes": 1 << 30}

    def most_cpus(self):
        return 4

    def refuse(self, resources):
        return None

    def place(self, ticket, resources):
        self.tickets.append(ticket)

        def run():
            with self.turn:
                task.run_attempt((ticket.host, ticket.port, ticket.fingerprint, ticket.token, ticket.attempt), self.command)

        placed = type("Placed", (), {"cancel": lambda self, force: None})()
        placed.done = asyncio.ensure_future(asyncio.to_thread(run))
        return placed


class Host:
    """What a host sends, and what it gets."""

    def __init__(self):
        self.commands: asyncio.Queue[bytes] = asyncio.Queue()
        self.answers = b""

    def send(self, payload: bytes = b"", **line) -> None:
        self.commands.put_nowait(json.dumps(line).encode() + b"\n" + payload)

    def attempt(self, number: int) -> None:
        self.send(type="prepare", attempt=number, blobs=[{"digest": DIGEST, "bytes": len(DATA)}])
        for at in range(0, len(DATA), 1 << 20):
            part = DATA[at : at + (1 << 20)]
            self.send(part, type="blob", digest=DIGEST, at=at, length=len(part))
        self.send(type="exec_step", attempt=number, job={"limits": LIMITS, "network": {"connect": ["x"]}, "secret": "5ecret"}, reachable={})

    # What the bridge needs of its output.
    def write(self, content: bytes) -> None:
        self.answers += content

    async def drain(self) -> None:
        pass

    async def answered(self, *, of: int) -> dict:
        """The last answer of an attempt, which must be the only one."""

        def last():
            lines = [json.loads(line) for line in self.answers.split(b"\n") if line.startswith(b'{"type')]
            return [line for line in lines if line["type"] in ("complete", "error") and line.get("attempt") == of]

        async with asyncio.timeout(30):
            while not last():
                await asyncio.sleep(0.005)
        [one] = last()
        return one


def converse(command: tuple[str, ...], talk, folder=None):
    """Runs a bridge for the time of a conversation; returns what it returns."""

    async def go():
        server, host, cluster = Server(), Host(), Threads(*command)
        await server.start("127.0.0.1", 0)
        bridge = Bridge(cluster, server, Blobs(folder), host, {})
        serving = asyncio.ensure_future(bridge.serve(host.commands.get))
        host.send(type="ping", protocol=2, version=VERSION)
        try:
            result = await talk(host, cluster)
        finally:
            host.commands.put_nowait(b"")
            await asyncio.wait_for(serving, 30)
            server.close()
        return result

    return asyncio.run(go())


@pytest.fixture
def worker(tmp_path):
    """The command of a worker that behaves in some way."""
    (tmp_path / "worker.py").write_text(WORKER)
    yield lambda how: (sys.executable, str(tmp_path / "worker.py"), how)
    if task.Kept.worker is not None:
        task.Kept.worker.process.kill()
        task.Kept.worker.process.wait()


def test_a_worker_stays_for_the_next_attempt_and_gets_a_blob_once(worker):
    async def talk(host, cluster):
        host.attempt(1)
        first = await host.answered(of=1)
        host.send(type="prepare", attempt=2, blobs=[{"digest": DIGEST, "bytes": len(DATA)}])
        host.send(type="exec_step", attempt=2, job={"limits": LIMITS, "secret": "5ecret"}, reachable={})
        return first, await host.answered(of=2), host.answers, cluster.tickets

    first, second, answers, tickets = converse(worker("good"), talk)
    assert first["report"]["bytes"] == second["report"]["bytes"] == len(DATA) and first["report"]["secret"] == "5ecret"
    assert first["report"]["pid"] == second["report"]["pid"]
    assert b'"length": 4}\n\n{}\n' in answers and b'"lacks":["%s"]' % DIGEST.encode() in answers and b'"attempt":2,"lacks":[]' in answers
    assert "5ecret" not in repr(tickets) and tickets[0].token != tickets[1].token


@pytest.mark.parametrize("how, kind, message", [
    ("dies", "lost", "was lost: it ended with exit code 1; it printed: out of luck"),
    ("half", "lost", "was lost: it ended with exit code 3"),
    ("old", "worker", "has no worker: its Osiris is 0.0.9, but this one is 1.2.3"),
    ("greedy", "protocol", "it lacks what it was not offered"),
    ("babbles", "protocol", "a line is not a JSON object"),
    ("other", "protocol", "it speaks of another attempt"),
])  # fmt: skip
def test_a_worker_that_misbehaves_fails_its_attempt_and_no_other(worker, tmp_path, how, kind, message):
    async def talk(host, cluster):
        host.attempt(1)
        bad = await host.answered(of=1)
        cluster.command = worker("good")
        host.attempt(2)
        return bad, await host.answered(of=2)

    bad, good = converse(worker(how), talk)
    assert bad["failure"]["kind"] == kind and message in bad["failure"]["message"], bad
    assert ("retry" in bad["failure"]) == (kind == "lost") and bad["failure"]["blame"] == "host"
    # A worker that has the job may have connected.
    assert bad["connected"] == (how in ("half", "babbles", "other"))
    assert good["type"] == "complete"
    # It is ended as by its host, so that it can remove its files.
    assert (tmp_path / f"worker.py.{how}.ended").exists() == (how not in ("dies", "half"))


def test_an_attempt_is_answered_once(worker):
    async def talk(host, cluster):
        host.attempt(1)
        first = await host.answered(of=1)
        host.send(type="kill", attempt=1)
        host.attempt(2)
        return first, await host.answered(of=2), await host.answered(of=1)

    first, second, again = converse(worker("twice"), talk)
    assert first == again and first["report"] == second["report"] == {"n": 1}


def test_an_attempt_can_be_ended_at_any_time(worker):
    async def talk(host, cluster):
        host.send(type="prepare", attempt=1, blobs=[])
        host.send(type="kill", attempt=1)
        prepared = await host.answered(of=1)
        # While another has the only thread, it waits; this one hangs.
        host.attempt(2)
        while b'"attempt":2' not in host.answers:
            await asyncio.sleep(0.005)
        with cluster.turn if not cluster.turn.locked() else threading.Lock():
            host.attempt(3)
            host.send(type="kill", attempt=3)
            waiting = await host.answered(of=3)
        host.send(type="kill", attempt=2)
        return prepared, waiting, await host.answered(of=2)

    endings = [answer["failure"]["kind"] for answer in converse(worker("hangs"), talk)]
    assert endings[:2] == ["interrupted", "interrupted"] and endings[2] in ("killed", "interrupted")


def test_only_the_holder_of_a_token_is_connected_and_only_once():
    async def go():
        server = Server()
        await server.start("127.0.0.1", 0)
        ticket, connected = server.expect(7)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

        async def knock(kind=task.HELLO, **hello):
            reader, writer = await asyncio.open_connection(*server.address, ssl=context)
            await task._send(writer, kind, json.dumps(hello).encode())
            try:
                return await asyncio.wait_for(reader.read(1), 0.2)
            except asyncio.TimeoutError:
                return "open"
            except OSError:
                return b""

        right = {"attempt": 7, "token": ticket.token, "node": "n"}
        for wrong in ({"token": "0" * 64}, {"token": None}, {"attempt": 8}, {"attempt": [7]}, {"node": "n" * 5000}):
            assert await knock(**(right | wrong)) == b"", wrong
        assert await knock(task.DATA, **right) == b"" and not connected.done()
        assert await knock(**right) == "open" and connected.result().node == "n"
        assert await knock(**right) == b""
        # A task speaks to nobody else than the bridge.
        forged = task.Ticket(ticket.host, ticket.port, "0" * 64, ticket.token, 7)
        with pytest.raises(RuntimeError, match="is not the bridge"):
            await task._connect(forged)
        connected.result().abort()
        server.close()

    asyncio.run(go())


def test_certificates_are_sound_and_differ():
    first, second = certificate.create(), certificate.create()
    assert first.fingerprint != second.fingerprint
    # The vector of RFC 6979, A.2.5: a private key and its public one.
    private = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    public = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
    encoded, key = certificate.encode(private)
    assert bytes.fromhex(public) in encoded and bytes.fromhex(public) in key
    if openssl := shutil.which("openssl"):
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate._pem("CERTIFICATE", encoded))
            file.flush()
            verified = subprocess.run([openssl, "verify", "-check_ss_sig", "-CAfile", file.name, file.name], capture_output=True, text=True)
        assert verified.stdout.endswith(": OK\n"), verified.stderr


def test_blobs_are_verified_and_make_room_for_each_other():
    def blob(content: bytes) -> Blob:
        return Blob(hashlib.sha256(content).hexdigest(), len(content))

    blobs = Blobs(room=10)
    one, two, empty = blob(b"1111"), blob(b"2222"), blob(b"")
    assert blobs.lacking([one, one, empty]) == [one.digest, empty.digest]
    assert not blobs.pin([one]) and blobs.arrived(one.digest, 0, b"11") is None and blobs.arrived(one.digest, 2, b"11") is None
    assert blobs.pin([one, empty]) and list(blobs.parts(one.digest)) == [(0, b"1111")] and list(blobs.parts(empty.digest)) == []
    for at, part, reason in [(1, b"222", "do not follow"), (0, b"22222", "longer"), (0, b"2223", "its digest is")]:
        assert blobs.lacking([two]) == [two.digest]
        assert reason in blobs.arrived(two.digest, at, part)
        assert blobs.arrived(two.digest, 0, b"2222") == "a blob was not asked for"
    blobs.lacking([two])
    assert blobs.arrived(two.digest, 0, b"2222") is None
    # The pinned one stays; the other one makes room.
    assert blobs.lacking([blob(b"333")]) and blobs.arrived(blob(b"333").digest, 0, b"333") is None
    assert blobs.lacking([one, two]) == [two.digest]
    with pytest.raises(NoRoom):
        blobs.lacking([blob(b"4" * 7)])
    blobs.unpin([one, empty])


@pytest.mark.parametrize("content", [
    b"hello\n", b"[]\n", b'{"type":1}\n', b'{"type":"ping","length":-1}\n', b'{"type":"ping","length":1048577}\n', b'{"type":"ping","length":2}\nx', b'{"type":"ping"}', b'{"type":"x","length":true}\n', b"[" * 100_000 + b"\n",
])  # fmt: skip
def test_what_is_not_a_line_of_the_protocol_is_refused_without_repeating_it(content):
    chunks = [content[n : n + 7] for n in range(0, len(content), 7)]

    async def next_chunk():
        return chunks.pop(0) if chunks else b""

    with pytest.raises(ProtocolError) as refused:
        asyncio.run(LineReader(next_chunk).read())
    assert "hello" not in str(refused.value) and refused.value.__cause__ is None


def test_a_step_needs_what_it_asks_for_or_else_what_its_limits_say():
    command = {"job": {"limits": LIMITS}}
    assert Resources.of(command, {"a": 1}, 1) == Resources(1, 300, {"a": 1})
    wish = {"resources": {"cpus": 0.5, "memory_bytes": 7, "custom": {"gpu": 2}}}
    assert Resources.of(command | wish, {"a": 1}, 8) == Resources(0.5, 7, {"a": 1, "gpu": 2})
    for wrong in ({"cpus": 0}, {"cpus": "1"}, {"memory_bytes": -1}, {"custom": {"a": True}}, []):
        with pytest.raises(ProtocolError):
            Resources.of(command | {"resources": wrong}, {}, 8)
