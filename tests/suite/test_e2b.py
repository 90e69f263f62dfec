"""Steps in E2B's sandboxes, for which a stand-in stands. E2B's own SDK has to accept it first."""

import os
import time

import pytest
from e2b_stand_in import KEY, StandIn


@pytest.fixture
def e2b(tmp_path):
    stand_in = StandIn(tmp_path / "e2b")
    yield stand_in
    stand_in.close()


@pytest.fixture
def sdk(e2b, monkeypatch):
    """E2B's SDK, which talks to the stand-in."""
    for name, value in e2b.env.items():
        monkeypatch.setenv(name, value)
    import e2b as module

    return module


def eventually(holds, seconds: float = 20):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it has not come true"
        time.sleep(0.02)


def test_the_sdk_of_e2b_accepts_the_stand_in(e2b, sdk):
    sandbox = sdk.Sandbox.create(timeout=60, metadata={"a": "b c"}, allow_internet_access=False, network={"allow_out": ["example.com"]})
    assert sandbox.is_running() and e2b.seen[0].network == {"allowOut": ["example.com"]}
    assert [one.sandbox_id for one in sdk.Sandbox.list(query=sdk.SandboxQuery(metadata={"a": "b c"})).next_items()] == [sandbox.sandbox_id]
    # Files, in both ways in which they are sent.
    content = os.urandom(100_000) + b"\r\n--end\r\n"
    sandbox.files.write("data/one.bin", content)
    sandbox.files.write("data/two.bin", content, use_octet_stream=True, gzip=True)
    assert sandbox.files.read("data/one.bin", format="bytes") == sandbox.files.read("data/two.bin", format="bytes") == content
    # A command with stdin, whose output is streamed; pieces cut characters.
    process = sandbox.commands.run("while read -r line; do echo \"got $line\"; done; head -c 100000 /dev/zero | tr '\\0' x; printf 'ä%.0s' $(seq 40000); echo err >&2; exit 3", background=True, stdin=True)
    sandbox.commands.send_stdin(process.pid, "hello\n")
    assert [one.pid for one in sandbox.commands.list()] == [process.pid]
    sandbox.commands.close_stdin(process.pid)
    with pytest.raises(sdk.CommandExitException) as failed:
        process.wait()
    assert failed.value.exit_code == 3 and failed.value.stderr == "err\n"
    assert failed.value.stdout == "got hello\n" + "x" * 100_000 + "ä" * 40_000
    # A default value is left out, and understood.
    assert sandbox.commands.run("true").exit_code == 0
    # A process outlives its stream, and is found again.
    process = sandbox.commands.run("read -r line; echo \"late $line\"", background=True, stdin=True)
    process.disconnect()
    again = sandbox.commands.connect(process.pid)
    sandbox.commands.send_stdin(process.pid, "word\n")
    assert again.wait().stdout == "late word\n"
    # A time limit kills the process.
    process = sandbox.commands.run("sleep 60", background=True, timeout=1)
    with pytest.raises(sdk.TimeoutException):
        process.wait()
    eventually(lambda: sandbox.commands.list() == [])
    process = sandbox.commands.run("sleep 60", background=True)
    assert process.kill()
    sandbox.set_timeout(120)
    assert e2b.seen[0].extended == 1
    assert sandbox.kill() and not sandbox.is_running() and e2b.alive == {}


def test_the_stand_in_fails_as_the_sdk_expects(e2b, sdk):
    with pytest.raises(sdk.SandboxException, match="404"):
        sdk.Sandbox.create("unknown")
    with pytest.raises(sdk.AuthenticationException):
        sdk.Sandbox.create(api_key=KEY[:-1] + "x")
    e2b.fail("POST /v2/sandboxes", 429, headers={"Retry-After": "0"})
    sandbox = sdk.Sandbox.create(timeout=60)
    e2b.fail("POST /files", 507, body='{"code": 507, "message": "not enough disk space"}')
    with pytest.raises(sdk.NotEnoughSpaceException):
        sandbox.files.write("x", b"x")
    e2b.fail("POST /process.Process/Start", 502, body="<html>Bad Gateway</html>", headers={"Content-Type": "text/html"})
    with pytest.raises(sdk.SandboxException):
        sandbox.commands.run("true")
    e2b.keepalive = 0.05
    process = sandbox.commands.run("sleep 60", background=True)
    e2b.break_streams()
    with pytest.raises(sdk.SandboxException):
        process.wait()
    assert [one.pid for one in sandbox.commands.list()] == [process.pid]
    # The sandbox dies when its time is over, in mid-command.
    process = sandbox.commands.run("sleep 60", background=True)
    sandbox.set_timeout(0)
    with pytest.raises(sdk.SandboxException):
        process.wait()
    assert e2b.alive == {} and not sandbox.is_running()
    e2b.quota = 0
    with pytest.raises(sdk.RateLimitException):
        sdk.Sandbox.create(retries=0)
