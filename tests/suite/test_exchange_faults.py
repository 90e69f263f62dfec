"""Object stores that fail, hosts and workers that die: each run ends with the right result or a clear error, and no step counts twice."""

import os
import signal
import time
from pathlib import Path

import pytest
from exchange_runs import EXPECTED, TOKEN, Far, command_lines, eventually, later, worker_in
from http_server import web  # noqa: F401, a fixture
from s3_client import Credentials
from s3_proxy import answers, cut, flipped, proxied, refused, slow, truncated, unanswered, unconditional  # noqa: F401
from s3_server import CREDENTIALS, Rclone, Store, s3_server  # noqa: F401


@pytest.fixture
def far(project, web, proxied, tmp_path_factory):
    return Far(project, web, proxied, tmp_path_factory.mktemp("workers"))


def test_faults_that_pass_are_not_noticed_and_secrets_are_in_no_object_and_no_command_line(far):
    proxy, lines = far.store.proxy, []
    far.within = lambda: lines.extend(command_lines("osiris"))
    proxy.fault(answers(503), "PUT", "/objects/", times=3)
    proxy.fault(answers(500), "POST", "/objects/", times=2)
    proxy.fault(cut, "GET", "/objects/", times=1)
    proxy.fault(refused, "HEAD", "/objects/", times=2)
    proxy.fault(answers(500), "PUT", "/steps/", times=1)
    proxy.fault(answers(503), "PUT", "/hosts/", times=1)
    result = far.run()
    assert [fault.left for fault in proxy.faults] == [0] * 6
    far.check(result)
    assert lines and not [line for line in lines if CREDENTIALS.secret in line or TOKEN in line]
    # What a worker stored is removed with it.
    assert list(far.workers.glob("*/worker-*")) == []


def test_a_record_whose_answer_was_lost_counts_once(far):
    far.store.proxy.fault(unanswered, "PUT", "/steps/make", times=1)
    far.store.proxy.fault(unanswered, "PUT", "/hosts/", times=1)
    far.check(far.run())


def test_a_store_that_is_stopped_for_10_s_is_waited_for(far, s3_server):
    starting = []

    def stop():
        s3_server.stop()
        starting.append(later(10, s3_server.start))

    far.within = stop
    begun = time.monotonic()
    try:
        result = far.run()
    finally:
        [timer.join() for timer in starting]
    assert time.monotonic() - begun > 10
    far.check(result)


def test_a_store_that_never_comes_back_is_an_error_and_the_run_goes_on_later(far):
    """It is waited for, but not for ever."""
    far.within = lambda: far.store.proxy.fault(answers(503))
    result = far.run(expect=1)
    error = result["step"]["read"]["error"]
    assert error["kind"] == "exchange" and far.store.url in error["message"] and "503" in error["message"], error
    far.store.proxy.faults.clear()
    far.within = lambda: None
    far.failed(result, "read")
    far.check(far.resume(Path(result["session_path"]).name))


def test_ctrl_c_ends_a_run_that_waits_for_its_store(far):
    far.within = lambda: far.store.proxy.fault(answers(503))
    host = far.start()
    eventually(lambda: far.store.proxy.faults and far.store.proxy.asked[-1][0] in ("PUT", "HEAD") and "/objects/" in far.store.proxy.asked[-1][1], "an upload")
    begun = time.monotonic()
    host.signal(signal.SIGINT)
    code, result, said = host.end(30)
    assert code == 130 and time.monotonic() - begun < 10, said
    far.store.proxy.faults.clear()
    far.check()


def test_refused_credentials_are_an_error_before_any_step_runs_or_of_the_step(far):
    wrong = Credentials(CREDENTIALS.key, "not.the.secret.of.the.store.3d").environment()
    done = far.run(expect=2, env=wrong)
    assert "refuses access" in done["stderr"] and far.store.url in done["stderr"] and wrong["AWS_SECRET_ACCESS_KEY"] not in done["stderr"]
    assert far.store.keys() == []
    far.within = lambda: far.store.proxy.fault(answers(403), "", "/objects/")
    error = far.failed(far.run(expect=1), "read")
    assert error["kind"] == "permission" and "refuses access" in error["message"] and far.store.url in error["message"], error


@pytest.mark.parametrize("fault", [truncated, flipped])
def test_an_object_that_comes_otherwise_than_it_was_stored_is_never_used(far, fault):
    far.store.proxy.fault(fault, "GET", "/objects/")
    result = far.run(expect=1)
    error = result["step"]["sum"]["error"]
    digest = [key for key in far.store.keys("objects/") if len(far.store.get(key)) > 10_000_000][0].removeprefix("objects/")
    assert error["kind"] == "exchange" and digest in error["message"] and far.store.url in error["message"], error
    far.failed(result, "sum")
    far.store.proxy.faults.clear()
    far.check(far.resume(Path(result["session_path"]).name))


def test_an_object_that_was_altered_in_the_store_is_never_used(far):
    """Neither by a query nor by a host that goes on; the error names the object."""
    far.store.proxy.fault(answers(403), "GET", "/objects/")
    session = Path(far.run(expect=1)["session_path"]).name
    far.store.proxy.faults.clear()
    [key] = [key for key in far.store.keys("objects/") if len(far.store.get(key)) > 10_000_000]
    whole = far.store.get(key)
    far.store.put(key, whole[:9_000_000] + bytes([whole[9_000_000] ^ 1]) + whole[9_000_001:])
    done = far.project.osiris("query", session, "make", "select count(*) from main", "--exchange", far.store.url, env=far.env)
    assert done.returncode != 0 and key.removeprefix("objects/") in done.stderr and "1200000" not in done.stdout, done.stderr
    result = far.resume(session, expect=1)
    assert key.removeprefix("objects/") in result["step"]["sum"]["error"]["message"]
    far.store.put(key, whole)
    far.check(far.resume(session))
    done = far.project.osiris("query", session, "make", "select count(*) as n from main", "--exchange", far.store.url, "--format", "json", env=far.env)
    assert done.returncode == 0 and "1200000" in done.stdout, done.stderr


def test_a_store_that_ignores_conditions_is_recognised_at_the_start(far, tmp_path_factory):
    server = Rclone(tmp_path_factory.mktemp("rclone")).start()
    far.store.proxy.fault(unconditional)
    for store in (Store(server.bucket(), "prefix", server.port), far.store):
        before = set(store.keys())
        done = far.run(expect=2, env=store.env)
        assert "If-None-Match" in done["stderr"] and done["steps"] == [], done["stderr"]
        assert set(store.keys()) == before and not list(far.project.folder.glob(".osiris_sessions/*/data/*"))
    server.remove()


def test_a_worker_that_is_killed_in_the_middle_of_an_upload_leaves_no_half_object(far):
    proxy = far.store.proxy
    far.retries = 1
    trickle = proxy.fault(slow(4_000_000), "PUT", "partNumber")
    host = far.start()
    eventually(lambda: any("partNumber" in name for _, name in proxy.asked), "an upload")
    [worker] = worker_in(far.workers / "one")
    os.kill(worker, signal.SIGKILL)
    proxy.faults.remove(trickle)
    code, result, said = host.end()
    assert code == 0 and result["steps"][1]["attempts"] == 2, said
    far.check({**result, "step": {}})


def test_a_host_that_is_killed_is_replaced_by_one_of_two_that_try(far, tmp_path):
    proxy = far.store.proxy
    proxy.fault(slow(1000), "GET", "/objects/")
    host = far.start()
    session = eventually(lambda: next((key.split("/")[1] for key in far.store.keys("sessions/") if key.endswith("steps/make.json")), ""), "the record of `make`")
    # Its claim holds until its lease has run out.
    code, _, said = far.start("--resume", session, folder=tmp_path / "early").end()
    assert code == 4 and "is being run by" in said, said
    host.signal(signal.SIGKILL)
    host.end()
    proxy.faults.clear()
    before = far.records(session)
    assert set(before) == {"read", "make"}
    far.let_go(session)
    hosts = [far.start("--resume", session, folder=tmp_path / name) for name in ("a", "b")]
    ends = [host.end() for host in hosts]
    [winner] = [place for place, (code, _, _) in enumerate(ends) if code == 0]
    code, _, said = ends[1 - winner]
    assert code == 4 and ("has just claimed" in said or "is being run by" in said), said
    assert (tmp_path / "ab"[winner] / "out.csv").read_text() and not (tmp_path / "ab"[1 - winner] / "out.csv").exists()
    after = far.records(session)
    assert {step: after[step] for step in before} == before and set(after) == {"read", "make", "sum", "out"}
    far.check()


def test_a_host_that_comes_back_from_the_dead_changes_nothing(far, tmp_path):
    host = far.start()
    far.within = lambda: None
    session = eventually(lambda: next((key.split("/")[1] for key in far.store.keys("sessions/") if key.endswith("steps/read.json")), ""), "the record of `read`")
    host.signal(signal.SIGSTOP)
    far.let_go(session)
    other = far.start("--resume", session, folder=tmp_path / "other")
    code, result, said = other.end()
    assert code == 0 and result["status"] == "success", said
    before = {key: far.store.get(key) for key in far.store.keys(f"sessions/{session}/") if "/beats/" not in key}
    host.signal(signal.SIGCONT)
    code, result, said = host.end()
    if code:
        assert "another host" in said, said
    else:
        # It found each step done when it came to commit it.
        assert (far.project.folder / "out.csv").read_text() == EXPECTED, said
    assert {key: far.store.get(key) for key in before} == before
    far.check()
