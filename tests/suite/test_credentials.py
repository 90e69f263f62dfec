"""Credentials that the host adds to requests when they leave: the driver neither sees nor changes them."""

import json

import pytest
from conftest import TARGET, holding
from http_server import Reply, Server, redirect, web  # noqa: F401

DRIVER = TARGET / "drivers" / "http.extractor.wasm"
KEY = "canary-5f1c9e/+= secret"
URL, ELSEWHERE = "GET,POST {config.url}", "GET {config.elsewhere}"
HEADER = {"header": "X-Api-Key", "value": "Key {config.key}", "for": URL}
QUERY = {"query": "api_key", "value": "{config.key}", "for": URL}


@pytest.fixture
def other():
    server = Server()
    yield server
    server.close()


def pack(project, *credentials: dict, expect: int = 0, http: list[str] = [], secrets: list[str] = ["/key"]):
    """Packs the HTTP extractor as `test.api`, with these credentials."""
    spec = json.loads(project.osiris("drivers", "inspect", DRIVER, "--json").stdout)["spec"]
    spec["name"] = "test.api"
    spec["secrets"] += secrets
    spec["grants"] |= {"http": [URL, ELSEWHERE, *http], "credentials": list(credentials)}
    spec["configSchema"]["properties"] |= {"key": {"type": "string"}, "user": {"type": "string"}, "elsewhere": {"type": "string"}}
    project.write("spec.yaml", json.dumps(spec))
    (project.folder / "osiris.lock").unlink(missing_ok=True)
    done = project.osiris("drivers", "pack", DRIVER, "--spec", "spec.yaml", "-o", "drivers/test.api.wasm")
    assert done.returncode == expect, done.stderr
    return done


def call(project, expect: int = 0, verb: str = "run", key: str = KEY, **config):
    project.write("osiris_connections.yaml", json.dumps({"connections": {"test": {"here": {"host": "127.0.0.1"}}}}))
    project.pipeline([{"id": "call", "component": "test.api", "config": {"key": "${API_KEY}", "max_retries": 0} | config}])
    if verb != "run":
        return project.osiris(verb, "pipeline.yaml", env={"API_KEY": key})
    result = project.run(None, expect=expect, env={"API_KEY": key})
    # Whatever happens, nobody reads the key in the session's records or on the screen.
    assert "canary" not in json.dumps({name: text for name, text in result.items()})
    left = [file for file in holding(project.folder, "canary") if file.suffix != ".duckdb"]
    assert left == []
    return result


def test_requests_of_the_scope_carry_it_whatever_the_driver_sends(project, web):  # noqa: F811
    url = web.route("/v1/items", lambda request: [{"n": len(web.requests)}])
    pack(project, HEADER, QUERY, {"basic": "{config.user}:{config.key}", "for": URL})
    call(project, url=url, user="me", headers={"X-Api-Key": "mine", "Authorization": "mine"}, params={"api_key": "mine", "page": "1"})
    (request,) = web.requests
    assert request.headers["x-api-key"] == f"Key {KEY}"
    assert request.headers["authorization"] == "Basic bWU6Y2FuYXJ5LTVmMWM5ZS8rPSBzZWNyZXQ="
    assert request.query == {"page": "1", "api_key": KEY}
    words = call(project, verb="plan", url=url, user="me").stdout
    assert f"have the host fill the header `x-api-key` of `GET,POST http://127.0.0.1:{web.port}/v1/items` from `key`, which its driver never sees" in words
    assert "canary" not in words
    assert "have the host fill the header `x-api-key`" in project.osiris("drivers", "inspect", "drivers/test.api.wasm").stdout
    # Without its option it is left out, and the driver's own is sent.
    web.requests.clear()
    project.pipeline([{"id": "call", "component": "test.api", "config": {"url": url, "headers": {"X-Api-Key": "mine"}}}])
    project.run(None)
    assert web.requests[0].headers["x-api-key"] == "mine" and "authorization" not in web.requests[0].headers


def test_no_other_place_gets_it(project, web, other):  # noqa: F811
    """Not a redirect to another granted host or path, and not the driver, which asks for it by name."""
    pack(project, HEADER, QUERY)
    elsewhere = other.route("/items", lambda request: [{"n": 1}])
    url = web.route("/v1/items", lambda request: redirect(elsewhere))
    call(project, url=url, elsewhere=f"{other.url}/items")
    assert web.requests[0].headers["x-api-key"] == f"Key {KEY}"
    (request,) = other.requests
    assert "x-api-key" not in request.headers and request.query == {}
    other.requests.clear()
    refused = call(project, expect=1, url=url)
    assert other.requests == [] and "denied" in json.dumps(refused["steps"])

    pack(project, {"header": "X-Token", "value": "{config.auth.token}", "for": URL})
    url = web.route("/v1/token", lambda request: [{"n": 1}])
    web.requests.clear()
    call(project, expect=1, url=url, auth={"type": "bearer", "token": "${API_KEY}"})
    assert web.requests == []
    pack(project)
    call(project, url=url, auth={"type": "bearer", "token": "${API_KEY}"})
    assert web.requests[0].headers["authorization"] == f"Bearer {KEY}", "without the credential, the driver gets it"


def test_a_server_that_repeats_it_shows_it_in_no_error(project, web):  # noqa: F811
    pack(project, HEADER, {"basic": "{config.user}:{config.key}", "for": URL})
    repeat = lambda request: Reply({"got": request.headers.get("x-api-key"), "and": request.headers.get("authorization")}, 400)
    result = call(project, expect=1, url=web.route("/v1/items", repeat), user="me")
    assert "***MASKED***" in json.dumps(result["steps"]), result["steps"]


def test_a_secret_that_no_header_can_carry_is_refused_before_the_run(project, web):  # noqa: F811
    pack(project, HEADER)
    url = web.route("/v1/items", lambda request: [])
    for key in ("canary\n", "canary\r\nX-Other: 1", "canary\x7f"):
        done = call(project, verb="plan", key=key, url=url)
        assert done.returncode == 2 and "option `key` cannot be sent in the header `x-api-key`" in done.stderr
        assert "canary" not in done.stderr
    assert web.requests == []


def test_a_credential_without_a_secret_a_grant_or_tls_is_refused_when_a_driver_is_packed(project):
    for credential, told in [
        (HEADER | {"value": "Key {config.user}"}, "names no secret"),
        (HEADER | {"value": "Key {config.nope}"}, "no option `nope`"),
        (HEADER | {"for": "GET {config.url}"}, "not under `grants.http`"),
        (HEADER | {"for": "GET http://api.example.com/"}, "without TLS"),
        (HEADER | {"header": "Host"}, "no header for a credential"),
        (HEADER | {"query": "a"}, "`header` or `query`"),
    ]:
        done = pack(project, credential, expect=2, http=["GET http://api.example.com/"])
        assert told in done.stderr, done.stderr
