"""Addresses that a driver's spec asks for with fixed parts: whole hosts from the config, labels, and hosts of its own."""

import json
import re

import pytest
from conftest import GUESTS, TARGET
from name_server import PORT, PUBLIC, missing, run_with_names
from test_network import port, servers  # noqa: F401

GUEST = GUESTS / "test.network_attack.wasm"
OPTIONS = {"shop": {"type": "string"}, "at": {}, "region": {"type": "string", "default": "us"}}


def pack(project, grants: dict, expect: int = 0):
    """Packs the guest that tries the network as `test.fixed`, with these grants."""
    spec = json.loads(project.osiris("drivers", "inspect", GUEST, "--json").stdout)["spec"]
    # The guest imports both, so it needs a grant of each.
    both = {"connect": ["{config.host}:{config.port}"], "http": ["GET {config.url}"]}
    spec |= {"name": "test.fixed", "grants": {"state": True} | both | grants}
    spec["configSchema"]["properties"] |= OPTIONS
    project.write("spec.yaml", json.dumps(spec))
    done = project.osiris("drivers", "pack", GUEST, "--spec", "spec.yaml", "-o", "drivers/test.fixed.wasm")
    assert done.returncode == expect, done.stderr
    return done


def connections(project, **fields):
    named = {"unused": {"host": "10.0.0.1"}, "here": fields}
    project.write("osiris_connections.yaml", json.dumps({"connections": {"test": named}}))


def step(attack: str, **config) -> list[dict]:
    whole = {"attack": attack, "host": "10.0.0.1", "port": 1, "url": "http://10.0.0.1:1/v1"} | config
    return [{"id": "call", "component": "test.fixed", "config": whole}]


def test_a_host_may_be_a_part_of_the_template(project, servers):  # noqa: F811
    """An address in one option, a list of them, and a host within an address, all named by a connection."""
    by_tcp, by_http, *_ = servers
    at, url = f"127.0.0.1:{port(by_tcp)}", f"http://127.0.0.1:{port(by_http)}/v1"
    connections(project, brokers=["10.0.0.1:1", at])
    for attack, grants, config in [
        ("connect_granted", {"connect": ["{config.at}"]}, {"at": at, "host": "127.0.0.1", "port": port(by_tcp)}),
        ("connect_granted", {"connect": ["{config.at}"]}, {"at": ["10.0.0.1:1", at], "host": "127.0.0.1", "port": port(by_tcp)}),
        ("http_granted", {"http": ["GET http://{config.at}/v1"]}, {"at": f"127.0.0.1:{port(by_http)}", "url": url}),
        ("http_granted", {"http": ["GET http://{config.host}:{config.port}/{config.shop}"]}, {"host": "127.0.0.1", "port": port(by_http), "url": url, "shop": "v1"}),
    ]:
        (project.folder / "osiris.lock").unlink(missing_ok=True)
        pack(project, grants)
        result = project.run(step(attack, **config))
        assert "granted" in project.rows(result, "call")[0][0], grants
        assert "fixes" not in result["stderr"]
    # The same, where the config names another host, or leads out of its place.
    for config, told in [({"host": "127.0.0.2"}, "may not connect to `127.0.0.2:"), ({"host": "127.0.0.1:80"}, "option `host` is `127.0.0.1:80`"),
                         ({"host": "x@127.0.0.1"}, "option `host`"), ({"shop": "../secret"}, "option `shop` is `../secret`"), ({"shop": ""}, "option `shop`")]:
        refused = project.run(step("http_granted", **{"host": "127.0.0.1", "port": port(by_http), "url": url, "shop": "v1"} | config), expect=2)
        assert told in refused["stderr"], refused["stderr"]


def test_a_host_that_a_driver_fixes_is_accepted_once(project):
    """The first run records it, a change is refused until it is accepted, and the policy may forbid it."""
    if why := missing():
        pytest.skip(f"this machine gives a test no network of its own: {why}")
    names = {"acme.shops.example": [[PUBLIC]], "us.shops.example": [[PUBLIC]], "hidden.shops.example": [["127.0.0.1"]]}
    fixed = {"http": [f"GET http://{{config.shop}}.shops.example:{PORT}/v1", f"GET http://{{config.region}}.shops.example:{PORT}/v1"]}
    pack(project, fixed)
    connections(project)
    project.pipeline(step("http_granted", shop="Acme", url=f"http://acme.shops.example:{PORT}/v1"))
    inspected = json.loads(project.osiris("drivers", "inspect", "drivers/test.fixed.wasm", "--json").stdout)
    hosts = ["us.shops.example", "{config.region}.shops.example", "{config.shop}.shops.example"]
    assert inspected["fixed_hosts"] == hosts
    assert "a host that it fixes itself" in project.osiris("drivers", "inspect", "drivers/test.fixed.wasm").stdout

    planned = project.osiris("plan", "pipeline.yaml")
    assert planned.returncode == 0 and not (project.folder / "osiris.lock").exists()
    assert f"call `GET http://acme.shops.example:{PORT}/v1` (a host that its driver fixes)" in planned.stdout
    assert "is new here and fixes a host itself" in planned.stdout
    done = run_with_names(project, names, "run", "pipeline.yaml", "--json")
    assert done["code"] == 0 and done["seen"] == [PUBLIC], done
    assert "{config.shop}.shops.example" in done["stderr"] and "records it in `osiris.lock`" in done["stderr"]
    locked = (project.folder / "osiris.lock").read_text()
    assert all(host in locked.split("hosts:")[1] for host in hosts), locked
    planned = json.loads(project.osiris("plan", "pipeline.yaml", "--json").stdout)["steps"][0]
    assert planned["warnings"] == [] and planned["grants"]["fixed_hosts"] == ["acme.shops.example", "us.shops.example"]

    # A name that the accepted host stands for, but that leads to this machine.
    project.pipeline(step("http_granted", shop="hidden", url=f"http://hidden.shops.example:{PORT}/v1"))
    done = run_with_names(project, names, "run", "pipeline.yaml", "--json")
    assert done["code"] == 1 and done["seen"] == [], done
    for shop in ("evil.com/", "evil.com#", "a.b", "x@evil.com", "%2e", "ä", "evil.com:80", "", "*"):
        refused = project.run(step("http_granted", shop=shop), expect=2)
        assert f"option `shop` is `{shop}`, which is not one label of a host name" in refused["stderr"], refused["stderr"]
    project.pipeline(step("http_granted", shop="acme"))
    for text in ({"connect": ["10.0.0.1:1"]}, {"http": []}, {"http": ["GET http://other.example/"]}):
        project.write("policy.yaml", json.dumps(text))
        refused = project.osiris("plan", "pipeline.yaml", "--policy", "policy.yaml")
        assert refused.returncode == 2 and "acme.shops.example" in refused.stderr, refused.stderr

    # Another host, and the same host under a lock that does not have it.
    pack(project, {"http": [f"GET http://{{config.shop}}.evil.example:{PORT}/v1"]})
    for verb in ("plan", "run"):
        refused = project.osiris(verb, "pipeline.yaml")
        assert refused.returncode == 2 and "+ fixes the host {config.shop}.evil.example" in refused.stderr, refused.stderr
        assert "osiris lock --update" in refused.stderr
    assert project.osiris("lock", "--update", "pipeline.yaml").returncode == 0
    assert project.osiris("plan", "pipeline.yaml").returncode == 0
    locked = (project.folder / "osiris.lock").read_text()
    project.write("osiris.lock", re.sub(r"\n +hosts:(\n +- .*)+", "", locked))
    assert "hosts" in locked and "hosts" not in (project.folder / "osiris.lock").read_text()
    assert "+ fixes the host" in project.osiris("plan", "pipeline.yaml").stderr


def test_no_value_leads_out_of_a_host_to_connect_to(project):
    pack(project, {"connect": ["db-{config.shop}.example.com:5432"]})
    connections(project)
    for shop in ("evil.com/", "evil.com:5432#", "a.b", "x@evil.com", "%2e", "ä", "", "*", "-"):
        project.pipeline(step("connect_granted", shop=shop))
        refused = project.osiris("plan", "pipeline.yaml")
        told = f"may not connect to `db-{{config.shop}}.example.com:5432`: its option `shop` is `{shop}`, which is not one label"
        assert refused.returncode == 2 and told in refused.stderr, refused.stderr
    project.pipeline(step("connect_granted", shop="Acme"))
    assert "connect to `db-acme.example.com:5432` (a host that its driver fixes)" in project.osiris("plan", "pipeline.yaml").stdout


def test_a_driver_that_is_asked_about_a_connection_is_announced_too(project):
    """`connections doctor` writes no lock, but says where a driver that the lock does not have wants to connect."""
    driver = TARGET / "drivers" / "http.extractor.wasm"
    spec = json.loads(project.osiris("drivers", "inspect", driver, "--json").stdout)["spec"]
    spec["name"] = "test.api"
    spec["grants"]["http"].append("GET https://api.example.com/v1")
    project.write("spec.yaml", json.dumps(spec))
    assert project.osiris("drivers", "pack", driver, "--spec", "spec.yaml", "-o", "drivers/test.api.wasm").returncode == 0
    connections(project, url="http://127.0.0.1:1/", check_path="/me")
    asked = project.osiris("connections", "doctor", "@test.here", "--driver", "test.api")
    assert "driver `test.api` is new here and fixes a host itself: `api.example.com`" in asked.stderr, asked.stderr
    assert not (project.folder / "osiris.lock").exists()
    project.pipeline([{"id": "read", "component": "test.api", "config": {"connection": "@test.here"}}])
    assert project.osiris("lock", "pipeline.yaml").returncode == 0
    assert "is new here" not in project.osiris("connections", "doctor", "@test.here", "--driver", "test.api").stderr


def test_a_driver_fixes_no_host_of_a_private_network_unless_the_policy_lists_it(project, servers):  # noqa: F811
    by_tcp, by_http, *_ = servers
    connections(project, host="localhost", private_network=True)
    for attack, server, grants in [("connect_granted", by_tcp, {"connect": [f"localhost:{port(by_tcp)}"]}),
                                   ("http_granted", by_http, {"http": [f"GET http://127.0.0.1:{port(by_http)}/v1"]})]:
        (project.folder / "osiris.lock").unlink(missing_ok=True)
        pack(project, grants)
        host = "localhost" if attack == "connect_granted" else "127.0.0.1"
        config = {"host": host, "port": port(server)} if attack == "connect_granted" else {"url": f"http://{host}:{port(server)}/v1"}
        steps = step(attack, **config)
        refused = project.run(steps, expect=2)
        assert "only its driver names it, and it is not a host of the internet" in refused["stderr"], refused["stderr"]
        project.write("policy.yaml", json.dumps({"connect": [f"{host}:{port(server)}", "10.0.0.1:1"]}))
        result = project.run(None, "--policy", "policy.yaml")
        assert "granted" in project.rows(result, "call")[0][0]


def test_a_template_without_a_meaning_is_refused_when_a_driver_is_packed(project):
    for grants, told in [
        ({"http": ["FETCH {config.url}"]}, "`FETCH` is not a method"),
        ({"http": ["GET {config.nope}"]}, "no option `nope`"),
        ({"http": ["GET {config.ul}"]}, "did you mean `url`?"),
        ({"http": ["GET {config.key}"]}, "the secret `key`"),
        ({"http": ["GET /x"]}, "is not an address"),
        ({"http": ["GET https://*.example.com/"]}, "not the name or address of a host"),
        ({"http": ["GET https://{config.shop}{config.region}/"]}, "one placeholder, or ends in a fixed name"),
        ({"connect": ["{config.shop}.example.com"]}, "names no port"),
        ({"read": ["/etc/passwd"]}, "by itself"),
    ]:
        assert told in pack(project, grants, expect=2).stderr, grants
    assert list((project.folder / "drivers").glob("*")) == []
