"""http.extractor and everything that can go wrong on the way: statuses, broken responses, redirects, TLS."""

import json
import time
from email.utils import formatdate

import pytest
from certificates import certificates  # noqa: F401
from http_server import Reply, Server, endless, gzip_bomb, gzipped, in_turn, redirect, silent, tls_web, truncated, web  # noqa: F401
from http_steps import failed, grant, read, rows, step


# Faults


def test_too_many_requests_waits_as_asked_and_then_reads(project, web):
    until = lambda: formatdate(time.time() + 2, usegmt=True)
    replies = [lambda: Reply({}, 429, {"retry-after": "1"}), lambda: Reply({}, 503, {"retry-after": until()}), lambda: [{"n": 1}]]
    url = web.route("/items", lambda request: replies[request.number - 1]())
    grant(project, web)
    start = time.monotonic()
    assert rows(project, url=url) == [(1,)]
    assert time.monotonic() - start >= 2
    assert len(web.requests) == 3


def test_a_wait_that_is_too_long_is_reported_and_not_waited_for(project, web):
    url = web.route("/items", lambda _: Reply({"message": "slow down"}, 429, {"retry-after": "3600"}))
    grant(project, web)
    start = time.monotonic()
    error = failed(project, url=url)
    assert time.monotonic() - start < 30
    assert error["kind"] == "rate-limited" and "asks to wait 3600 s" in error["message"] and "slow down" in error["message"]


@pytest.mark.parametrize("status", [401, 403, 404, 409, 420, 423, 425, 429, 503, 520, 529, 202])
def test_a_server_that_names_a_time_is_asked_again(project, web, status):
    url = web.route("/items", in_turn(Reply({"message": "limit"}, status, {"Retry-After": "0"}), [{"n": 1}]))
    grant(project, web)
    assert rows(project, url=url) == [(1,)]
    web.route("/items", lambda _: Reply({"message": "limit"}, status, {"Retry-After": "5"}))
    error = failed(project, url=url, max_retry_wait=2)
    assert "asks to wait 5 s: " in error["message"] and "longer than the 2 s that are waited at most" in error["message"]
    assert "limit" in error["message"] and len(web.requests) == 3


def test_a_refusal_without_a_time_is_asked_once(project, web):
    """A 403 by itself is a refusal, even if it mentions a limit that is not used up."""
    limits = {"x-ratelimit-remaining": "12", "x-ratelimit-reset": "0"}
    for place, headers in enumerate(({}, limits)):
        url = web.route(f"/{place}", lambda _, headers=headers: Reply({}, 403, headers))
        grant(project, web)
        assert failed(project, url=url)["kind"] == "denied"
        assert web.asked[f"/{place}"] == 1
    used_up = Reply({}, 403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) - 5)})
    assert rows(project, url=web.route("/limit", in_turn(used_up, [{"n": 1}]))) == [(1,)]
    later = Reply({}, 429, {"x-ratelimit-reset": str(int(time.time()) + 3600)})
    error = failed(project, url=web.route("/later", lambda _: later))
    assert "asks to wait 3" in error["message"] and web.asked["/later"] == 1


def test_a_forbidden_request_waits_for_the_secondary_limit(project, web):
    """GitHub's secondary limit."""
    url = web.route("/repos", in_turn(Reply({"message": "You have exceeded a secondary rate limit"}, 403, {"retry-after": "1"}), [{"n": 1}]))
    grant(project, web)
    start = time.monotonic()
    assert rows(project, url=url) == [(1,)]
    assert time.monotonic() - start >= 1 and len(web.requests) == 2


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529])
def test_a_temporary_status_is_retried(project, web, status):
    url = web.route("/items", in_turn(Reply({}, status), [{"n": 1}]))
    grant(project, web)
    assert rows(project, url=url) == [(1,)]


def test_a_post_is_retried_only_if_configured(project, web):
    url = web.route("/items", in_turn(Reply({}, 503), [{"n": 1}]))
    grant(project, web)
    assert failed(project, url=url, method="POST")["kind"] == "transient"
    web.asked.clear()
    assert rows(project, url=url, method="POST", retry_post=True) == [(1,)]


FAULTS = {
    "status 500": (lambda: Reply({"message": "oh no"}, 500), {"max_retries": 1}, "transient", "answered 500 (internal server error): {\"message\": \"oh no\"} (tried 2 times)"),
    "not found": (lambda: Reply({}, 404), {}, "not-found", "answered 404"),
    "forbidden": (lambda: Reply({}, 403), {}, "denied", "answered 403"),
    "truncated": (lambda: truncated(b'[{"n": 1}', 100), {"max_retries": 1}, "transient", "before the response was whole"),
    "endless": (endless, {"max_page_mb": 1}, "data", "larger than the 1 MiB"),
    "gzip bomb": (lambda: gzip_bomb(64), {"max_page_mb": 1}, "data", "larger than the 1 MiB"),
    "cut gzip": (lambda: Reply(body=gzipped(b"[1,2,3]").body[:-6], headers={"content-encoding": "gzip"}), {"max_retries": 0}, "transient", "before it is whole"),
    "silent": (lambda: silent(30), {"timeout": 0.5, "max_retries": 0}, "timeout", "silent"),
    "no JSON": (lambda: Reply(body=b"<html>Sign in</html>"), {}, "data", "begins with: <html>Sign in"),
    "broken JSON": (lambda: Reply(body=b'[{"n": 1}, {"n"'), {}, "data", "is not the JSON that was expected"),
    "deep JSON": (lambda: Reply(body=b"[" * 100_000), {}, "data", "recursion limit"),
    "redirect in circles": (lambda: redirect("/items"), {"max_redirects": 3}, "config", "redirects more than 3 times"),
    "redirect to metadata": (lambda: redirect("http://169.254.169.254/latest/meta-data"), {}, "denied", "169.254.169.254"),
    "redirect to nowhere": (lambda: redirect("file:///etc/passwd"), {}, "data", "redirects to no address"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_and_the_next_run_succeeds(project, web, fault):
    reply, config, kind, words = FAULTS[fault]
    broken = {"is": True}
    url = web.route("/items", lambda _: reply() if broken["is"] else [{"n": 1}])
    grant(project, web)
    start = time.monotonic()
    error = failed(project, url=url, **config)
    assert time.monotonic() - start < 25
    assert (error["kind"], words in error["message"]) == (kind, True), error
    assert "/items" in error["message"] or "169.254" in error["message"]
    broken["is"] = False
    assert rows(project, url=url, **config) == [(1,)]


def test_a_temporary_fault_is_retried_in_the_same_run(project, web):
    url = web.route("/items", in_turn(truncated(b"[", 9), Reply(body=gzipped(b"[1]").body[:-6], headers={"content-encoding": "gzip"}), gzipped(b'[{"n": 1}]')))
    grant(project, web)
    assert rows(project, url=url) == [(1,)]
    assert len(web.requests) == 3


def test_a_closed_port_is_transient(project, web):
    url = web.route("/items", lambda _: [])
    grant(project, web)
    web.close()
    error = failed(project, url=url, max_retries=1)
    assert error["kind"] == "transient" and "(tried 2 times)" in error["message"]


def test_a_redirect_is_followed_if_granted_and_sends_no_secret_elsewhere(project, web):
    other = Server()
    try:
        other.route("/items", lambda request: [{"login": request.headers.get("authorization"), "key": request.headers.get("x-api-key")}])
        url = web.route("/items", lambda _: redirect(other.url + "/items"))
        grant(project, web, other)
        auth = {"type": "bearer", "token": "t0ken"}
        error = failed(project, url=url, auth=auth)
        assert error["kind"] == "denied" and str(other.port) in error["message"]
        assert not other.requests
        # `base_url` grants the other place too.
        assert rows(project, url=url, base_url=other.url, auth=auth, headers={"x-api-key": "k"}) == [(None, None)]
        at_home = web.route("/a", lambda _: redirect("/b", 307))
        web.route("/b", lambda request: [{"login": request.headers["authorization"]}])
        assert rows(project, url=at_home, base_url=web.url, auth=auth) == [("Bearer t0ken",)]
    finally:
        other.close()


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_sends_no_body_to_another_origin(project, web, status):
    """A form with a client's secret, and a body with a secret in it, although the other place is granted."""
    other = Server()
    try:
        other.route("/token", lambda _: {"access_token": "t"})
        other.route("/items", lambda _: [{"n": 1}])
        auth = {"type": "oauth2", "url": web.route("/token", lambda _: redirect(other.url + "/token", status)), "client_id": "a",
                "client_secret": "hidden", "client_auth": "body"}  # fmt: skip
        url = web.route("/items", lambda _: redirect(other.url + "/items", status))
        grant(project, web, other)
        for config in ({"auth": auth}, {"method": "POST", "body": {"password": "hidden"}}):
            error = failed(project, url=url, base_url=other.url, **config)
            assert error["kind"] == "denied" and "must not get the request's body" in error["message"], error
        assert not other.requests
    finally:
        other.close()


def test_requests_share_tls_connections_and_survive_one_that_the_server_closes(project, tls_web, certificates):
    """A server may close a connection after any response, announced or not."""

    def items(request):
        page = int(request.query["page"])
        return Reply([{"n": page}] if page <= 60 else [], close=page % 20 == 0, headers={"connection": "close"} if page % 30 == 0 else {})

    server = tls_web(certificates.good)
    url = server.route("/items", items)
    grant(project, server, ca=certificates.ca_text)
    assert rows(project, url=url, ca=certificates.ca_text, pagination={"type": "page"}) == [(n,) for n in range(1, 61)]
    assert len(server.requests) == 61
    assert server.connections <= 10, "a connection a request"


def test_an_ungranted_host_is_refused_before_anything_runs(project, web):
    grant(project, web)
    result = read(project, expect=2, url="http://169.254.169.254/latest")
    assert "169.254.169.254" in result["stderr"]


def test_a_slow_drip_ends_with_the_steps_time(project, web):
    """A server that sends a byte now and then cannot hold a step forever."""

    def drip(server):
        yield b"["
        while not server.closing.wait(0.05):
            yield b" "

    url = web.route("/items", lambda _: Reply(stream=drip))
    grant(project, web)
    policy = project.write("policy.yaml", json.dumps({"http": [f"GET,POST {web.url}/"], "private_hosts": ["127.0.0.1"], "limits": {"wall_seconds": 3}}))
    start = time.monotonic()
    result = project.run([step(url=url)], "--policy", str(policy), expect=1)
    assert time.monotonic() - start < 30
    assert result["step"]["read"]["status"] == "failed"


# TLS


def test_tls_with_a_private_authority_is_trusted_by_its_certificate(project, tls_web, certificates):
    server = tls_web(certificates.good)
    server.route("/items", lambda _: [{"n": 1}])
    grant(project, server, ca=certificates.ca_text)
    assert rows(project, connection="@http.api0", path="items") == [(1,)]
    grant(project, server)
    assert rows(project, url=server.url + "/items", ca=certificates.ca_text) == [(1,)]
    # A bundle may contain an unusable certificate.
    unusable = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"
    assert rows(project, url=server.url + "/items", ca=unusable + certificates.ca_text + unusable) == [(1,)]
    assert "no usable certificate" in failed(project, url=server.url + "/items", ca=unusable)["message"]


@pytest.mark.parametrize("wrong", ["expired", "misnamed", "stranger", "no ca"])
def test_a_server_that_cannot_prove_its_identity_gets_nothing(project, tls_web, certificates, wrong):
    shown = {"expired": certificates.expired, "misnamed": certificates.misnamed}.get(wrong, certificates.good)
    server = tls_web(shown)
    server.route("/items", lambda _: [{"n": 1}])
    ca = {"stranger": {"ca": certificates.stranger.read_text()}, "no ca": {}}.get(wrong, {"ca": certificates.ca_text})
    grant(project, server, token="t", **ca)
    error = failed(project, connection="@http.api0", path="items")
    assert error["kind"] == "auth" and "cannot prove who it is" in error["message"] and server.url in error["message"]
    assert not server.requests


def test_a_server_without_tls_is_reported(project, web, certificates):
    web.route("/items", lambda _: [])
    grant(project, web)
    error = failed(project, url=web.url.replace("http:", "https:") + "/items", max_retries=0)
    assert error["kind"] == "transient" and "TLS" in error["message"]
