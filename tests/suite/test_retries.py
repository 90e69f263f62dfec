"""A step with `retries` is tried again after a failure that may be temporary, without a trace of the failed attempts."""

import json
import os
import signal
import socket
import subprocess
import threading

import pytest
from conftest import CANARY, GUESTS, OSIRIS
from http_server import Reply, web  # noqa: F401, a fixture
from http_steps import grant, step


def retrying(url: str, retries: int = 3, **config) -> dict:
    """A step whose driver does not retry requests by itself."""
    return step(url=url, max_retries=0, **config) | {"retries": retries}


def attempts(project, result: dict) -> list[tuple[int, str, int]]:
    """The number, kind of error and wait of each failed attempt that was followed by another."""
    events = (event for event in project.events(result) if event["event"] == "step_retry")
    return [(event["attempt"], event["error"]["kind"], event["wait_ms"]) for event in events]


def test_the_output_is_that_of_the_attempt_that_succeeded(project, web):
    answers = [Reply(status=503, headers={"Retry-After": "0"}), Reply(status=429, headers={"Retry-After": "1"})]
    web.route("/items", lambda _: answers.pop(0) if answers else [{"n": 1}])
    grant(project, web)
    result = project.run([retrying(web.url + "/items")])
    assert attempts(project, result) == [(1, "transient", 0), (2, "rate-limited", 1000)]
    assert result["step"]["read"]["attempts"] == 3 and "attempt 1 failed" in result["stderr"]
    assert project.rows(result, "read") == [(1,)] and result["step"]["read"]["warnings"] == []
    planned = json.loads(project.osiris("plan", "pipeline.yaml", "--json").stdout)
    assert planned["steps"][0]["retries"] == 3
    assert "up to 3 times" in project.osiris("plan", "pipeline.yaml").stdout


@pytest.mark.parametrize(
    ("status", "seconds", "more", "tried"),
    [(503, "0", [], 3), (404, "0", [], 1), (503, "600", ["--step-timeout", "30"], 1)],
    ids=["every attempt fails", "a permanent error", "the time limit comes first"],
)
def test_a_step_fails_at_its_last_attempt(project, web, status, seconds, more, tried):
    web.route("/items", lambda _: Reply(status=status, headers={"Retry-After": seconds}))
    grant(project, web)
    result = project.run([retrying(web.url + "/items", 2), {"id": "after", "component": "duckdb.processor", "needs": ["read"], "config": {"query": "from read"}}], *more, expect=1)
    assert (result["step"]["read"]["attempts"], len(attempts(project, result))) == (tried, tried - 1)
    assert result["step"]["read"]["status"] == "failed" and result["step"]["after"]["status"] == "skipped"
    assert ("time limit" in result["step"]["read"]["error"].get("hint", "")) == bool(more)


def test_an_interrupt_ends_the_wait_at_once(project, web):
    web.route("/items", lambda _: Reply(status=503, headers={"Retry-After": "600"}))
    grant(project, web)
    project.pipeline([retrying(web.url + "/items")])
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CANARY": CANARY}
    command = [str(OSIRIS), "run", "pipeline.yaml", "--no-cache", "--json"]
    with subprocess.Popen(command, cwd=project.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        for line in run.stderr:
            if "attempt 1 failed" in line:
                break
        run.send_signal(signal.SIGINT)
        result = json.loads(run.stdout.read())
        assert run.wait(timeout=60) == 130
    assert [step["status"] for step in result["steps"]] == ["interrupted"] and result["steps"][0]["attempts"] == 1


@pytest.mark.parametrize("answers", [False, True], ids=["nothing answers", "the server hangs up"])
def test_a_writer_is_tried_again_only_if_it_has_sent_nothing(project, answers):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        hang_up = lambda: [server.accept()[0].close() for _ in range(20)]  # noqa: E731
        if answers:
            threading.Thread(target=hang_up, daemon=True).start()
        else:
            server.close()
        project.write("osiris_connections.yaml", json.dumps({"connections": {"postgres": {"db": {"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "password": "p4ssw0rd.x", "sslmode": "disable", "private_network": True}}}}))
        steps = [project.sql("select 1 as a"), {"id": "write", "component": "postgres.writer", "retries": 1, "config": {"connection": "@postgres.db", "table": "t", "mode": "append"}}]
        result = project.run(steps, expect=1)
    written = result["step"]["write"]
    assert written["attempts"] == (1 if answers else 2), written
    assert ("may arrive twice" in written["error"].get("hint", "")) == answers
    assert "unless it has connected" in project.osiris("plan", "pipeline.yaml").stdout


@pytest.mark.parametrize("on, tried", [(["rate-limited"], 1), (["rate-limited", "transient"], 3), ("transient", 3)])
def test_a_step_is_tried_again_only_on_the_errors_that_its_author_names(project, web, on, tried):
    web.route("/items", lambda _: Reply(status=503))
    grant(project, web)
    retries = {"attempts": 3, "backoff": "10ms", "on": on}
    result = project.run([retrying(web.url + "/items", retries)], expect=1)
    assert result["step"]["read"]["attempts"] == tried and ("not `on` `transient`" in result["step"]["read"]["error"].get("hint", "")) is (tried == 1)
    assert all(wait <= 20 for _, _, wait in attempts(project, result))
    planned = json.loads(project.osiris("plan", "pipeline.yaml", "--json").stdout)["steps"][0]
    assert planned["retries"] == 2 and planned["retry"]["backoff_ms"] == 10 and "first after 10ms" in project.osiris("plan", "pipeline.yaml").stdout


def test_a_steps_own_retries_win_over_those_of_the_pipeline(project, web):
    web.route("/items", lambda _: Reply(status=503))
    grant(project, web)
    usual, own = step(url=web.url + "/items", max_retries=0), retrying(web.url + "/items", 0) | {"id": "own", "needs": []}
    result = project.run([usual, own], retries={"attempts": 2, "backoff": "1ms"}, expect=1)
    assert (result["step"]["read"]["attempts"], result["step"]["own"]["attempts"]) == (2, 1)
