"""The network of a step: the hosts and addresses that it was granted, and nothing else."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from attacks import NETWORK as ATTACKS
from conftest import GUESTS, OSIRIS, ROOT
from name_server import OWN, PORT, PUBLIC, missing, run_with_names

FOLDER = ROOT / "tests" / "guests" / "network-attacks" / "src"
CANARY = "canary-5f1c9e/+ü secret"


class Handler(BaseHTTPRequestHandler):
    """What a legitimate server returns, and what an attacker is after."""

    def do_GET(self):
        self.server.seen.append((self.command, self.path, self.headers.get("host")))
        path = urlsplit(self.path)
        if path.path.endswith("/redirect"):
            self.send_response(302)
            self.send_header("location", parse_qs(path.query)["to"][0])
            self.end_headers()
        elif path.path.endswith("/endless"):
            self.send_response(200)
            self.end_headers()
            try:
                while not self.server.closing:
                    self.wfile.write(b"x" * 65_536)
            except OSError:
                pass
        else:
            body = b"treasure" if "secret" in path.path else b"granted"
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_POST = do_DELETE = do_CONNECT = do_TRACE = do_get = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def servers():
    """Two servers on loopback, of which a step is granted one by TCP and one by HTTP, and two that do not respond."""
    made = []
    for _ in range(3):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.seen, server.closing = True, [], False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.append(server)
    mute = socket.create_server(("127.0.0.1", 0), backlog=1024)
    yield *made, mute
    mute.close()
    for server in made:
        server.closing = True
        server.shutdown()
        server.server_close()


def port(server) -> int:
    return server.server_port if isinstance(server, ThreadingHTTPServer) else server.getsockname()[1]


def policy(project, *endpoints: str, http: tuple[str, ...] = (), **more) -> Path:
    return project.write("policy.yaml", json.dumps({"connect": list(endpoints), "http": list(http), **more}))


def attack(project, servers, name: str, *arguments, expect: int, **config) -> dict:
    """Runs an attack in a step that may connect to the first server and GET below /v1 on the second."""
    by_tcp, by_http, elsewhere, _ = servers
    whole = {"attack": name, "host": "127.0.0.1", "port": port(by_tcp), "key": CANARY,
             "url": f"http://127.0.0.1:{port(by_http)}/v1", "target": f"http://127.0.0.1:{port(elsewhere)}/secret"} | config
    allowed = [f"127.0.0.1:{port(server)}" for server in servers] + [f"{whole['host']}:{whole['port']}"]
    policy(project, *allowed, http=(f"GET {whole['url']}",))
    steps = [{"id": "attack", "component": "test.network_attack", "config": whole},
             {"id": "sibling", "component": "duckdb.processor", "needs": [], "config": {"query": "select 1 as a"}}]
    result = project.run(steps, "--policy", "policy.yaml", *arguments, expect=expect)
    assert result["step"]["sibling"]["status"] == "success"
    assert "canary" not in result["stderr"]
    for file in project.folder.rglob("*"):
        if file.is_file() and file.name != "pipeline.yaml":
            assert b"canary" not in file.read_bytes(), f"{file} holds the secret"
    return result


# What an attack needs in addition: command line options, and its own config.
NEEDS = {
    "endless_wait": (("--step-timeout", "2"), "mute"),
    "write_to_deaf": (("--step-timeout", "2"), "mute"),
    "endless_connections": ((), "mute"),
    "slow_names": (("--step-timeout", "2"), None),
    "traffic_bomb": (("--network-size", "20MB"), None),
    "http_traffic": (("--network-size", "20MB"), None),
}


@pytest.mark.parametrize("it", ATTACKS, ids=lambda it: it.name)
def test_a_network_attack_is_stopped(project, servers, it):
    arguments, special = NEEDS.get(it.name, ((), None))
    config = {"port": port(servers[3])} if special == "mute" else {}
    if it.name == "connect_elsewhere":
        config["target"] = f"127.0.0.1:{port(servers[2])}"
    success = it.kind == "success"
    begun = time.monotonic()
    result = attack(project, servers, it.name, *arguments, expect=0 if success else 1, **config)
    assert time.monotonic() - begun < 60
    if success:
        return
    error = result["step"]["attack"]["error"]
    assert error["kind"] == it.kind and it.words.lower() in error["message"].lower(), error
    assert servers[2].seen == [], "it reached what it was not granted"
    assert all("secret" not in urlsplit(path).path for server in servers[:2] for _, path, _ in server.seen), "it reached beside what it was granted"


def test_every_network_attack_is_run(project):
    names = {it.name for it in ATTACKS}
    written = (FOLDER / "lib.rs").read_text().split("attacks! {", 1)[1].split("}", 1)[0].split()
    assert names == set(written) and len(names) >= 20


@pytest.mark.parametrize("target", ["localhost:PORT", "127.0.0.2:PORT", "0.0.0.0:PORT", "[::ffff:127.0.0.1]:PORT", "2130706433:PORT", "127.1:PORT", "169.254.169.254:80"])
def test_no_spelling_escapes_the_grant(project, servers, target):
    target = target.replace("PORT", str(port(servers[0])))
    error = attack(project, servers, "connect_elsewhere", expect=1, target=target)["step"]["attack"]["error"]
    assert error["kind"] == "denied", error
    assert servers[0].seen == []


def test_the_granted_places_are_reached(project, servers):
    for name in ("connect_granted", "http_granted"):
        result = attack(project, servers, name, expect=0)
        assert "granted" in project.rows(result, "attack")[0][0]
    words = project.osiris("plan", "pipeline.yaml", "--policy", "policy.yaml").stdout
    assert f"connect to `127.0.0.1:{port(servers[0])}`" in words
    assert f"call `GET http://127.0.0.1:{port(servers[1])}/v1`" in words and "keep a state between runs" in words


def test_without_a_policy_a_host_must_be_named_in_a_connection(project, servers):
    by_tcp, by_http, *_ = servers
    step = {"id": "attack", "component": "test.network_attack", "config": {
        "attack": "connect_granted", "host": "127.0.0.1", "port": port(by_tcp), "url": f"http://127.0.0.1:{port(by_http)}/v1"}}
    refused = project.run([step], expect=2)
    assert "may not connect" in refused["stderr"] and "osiris_connections.yaml" in refused["stderr"]
    project.write("osiris_connections.yaml", json.dumps({"connections": {"test": {"here": {"host": "127.0.0.1"}}}}))
    project.run([step])


def test_a_name_that_leads_to_this_machine_must_be_allowed_to(project, servers):
    name = socket.gethostname()
    try:
        private = {ip[4][0] for ip in socket.getaddrinfo(name, 80)} <= {"127.0.0.1", "127.0.1.1", "::1"}
    except OSError:
        private = False
    if not private:
        pytest.skip(f"this machine's name `{name}` does not lead to itself")
    listener = ThreadingHTTPServer((name, 0), Handler)
    listener.daemon_threads, listener.seen, listener.closing = True, [], False
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    config = {"attack": "connect_granted", "host": name, "port": listener.server_port, "url": f"http://{name}:{listener.server_port}/v1"}
    steps = [{"id": "attack", "component": "test.network_attack", "config": config}]
    for private, attacks, expect in ((False, "connect_granted", 1), (False, "http_granted", 1), (True, "connect_granted", 0), (True, "http_granted", 0)):
        config["attack"] = attacks
        fields = {"host": name} | ({"private_network": True} if private else {})
        project.write("osiris_connections.yaml", json.dumps({"connections": {"test": {"here": fields}}}))
        result = project.run(steps, expect=expect)
        if not private:
            assert "private_network: true" in result["stderr"] + json.dumps(project.events(result))
            assert listener.seen == []
    assert "may lie in a private network" in project.osiris("plan", "pipeline.yaml").stdout
    listener.closing = True
    listener.shutdown()
    listener.server_close()


NAME = "changing.example"


@pytest.mark.parametrize("how", ["connect_granted", "http_granted"])
@pytest.mark.parametrize(("answers", "told"), [
    ([[PUBLIC]], None),
    # A second look-up before connecting would lead to this machine.
    ([[PUBLIC], ["127.0.0.1"]], None),
    ([["127.0.0.1"], [PUBLIC]], "this machine itself"),
    # Of several addresses, only those that a name may lead to are tried.
    ([["127.0.0.1", "10.0.0.1", PUBLIC]], None),
    ([["169.254.169.254", "127.0.0.1"]], "leads to"),
    ([["0.0.0.0"]], "where no name may lead"),
    ([["::1"]], "this machine itself"),
    # A public address that belongs to this machine.
    ([[OWN]], "this machine itself"),
    ([[OWN, PUBLIC]], None),
    ([["168.63.129.16"]], "metadata service"),
    ([["::ffff:168.63.129.16"]], "metadata service"),
    ([["fd00:ec2::23"]], "metadata service"),
    ([["fd20:ce::254"]], "metadata service"),
    ([["::ffff:127.0.0.1"]], "this machine itself"),
    ([["fe80::1"]], "where no name may lead"),
    ([[]], "cannot find"),
])  # fmt: skip
def test_the_address_of_a_name_is_looked_up_once_and_checked(project, how, answers, told):
    if why := missing():
        pytest.skip(f"this machine gives a test no network of its own: {why}")
    url = f"http://{NAME}:{PORT}"
    policy(project, f"{NAME}:{PORT}", http=(f"GET {url}/v1",))
    config = {"attack": how, "host": NAME, "port": PORT, "url": f"{url}/v1", "key": CANARY, "target": url}
    project.pipeline([{"id": "attack", "component": "test.network_attack", "config": config}])
    done = run_with_names(project, {NAME: answers}, "run", "pipeline.yaml", "--json", "--policy", "policy.yaml")
    result = json.loads(done["stdout"])
    assert done["asked"] == {NAME: 1}
    if told is None:
        assert done["code"] == 0 and done["seen"] == [PUBLIC], done
        assert "granted" in project.rows(result, "attack")[0][0]
    else:
        assert done["code"] == 1 and done["seen"] == [], done
        assert told in done["stderr"] + done["stdout"] + json.dumps(project.events(result)), done


@pytest.mark.parametrize("spelled", ["127.0.0.1.:PORT", "127.0.0.1:0PORT", "127.0.0.1.:00PORT"])
def test_the_host_header_is_as_the_grant_spells_it(project, servers, spelled):
    """A server with several sites at one address would take another spelling for another site."""
    spelled = spelled.replace("PORT", str(port(servers[1])))
    attack(project, servers, "http_granted", expect=0, url=f"http://{spelled}/v1")
    assert {host for _, _, host in servers[1].seen} == {f"127.0.0.1:{port(servers[1])}"}


def test_no_private_network_includes_a_metadata_service(project):
    """Whether the name may be in a private network, or the author wrote the address itself."""
    if why := missing():
        pytest.skip(f"this machine gives a test no network of its own: {why}")
    for host, answers in ((NAME, [["fd20:ce::254"]]), (NAME, [["168.63.129.16"]]), ("169.254.169.254", []), ("168.63.129.16", [])):
        project.write("policy.yaml", json.dumps({"connect": [f"{host}:{PORT}"], "http": [f"GET http://{host}:{PORT}/v1"], "private_hosts": [NAME.upper()]}))
        config = {"attack": "connect_granted", "host": host, "port": PORT, "url": f"http://{host}:{PORT}/v1", "key": CANARY}
        project.pipeline([{"id": "attack", "component": "test.network_attack", "config": config}])
        done = run_with_names(project, {NAME: answers}, "run", "pipeline.yaml", "--json", "--policy", "policy.yaml")
        assert done["code"] == 1 and "metadata service" in done["stderr"], (host, done)
    # The control: by the same policy, in any spelling, the name may lead to this machine.
    project.write("policy.yaml", json.dumps({"connect": [f"{NAME}:{PORT}"], "http": [f"GET http://{NAME}:{PORT}/v1"], "private_hosts": [NAME.upper() + "."]}))
    config |= {"host": NAME, "url": f"http://{NAME}:{PORT}/v1"}
    project.pipeline([{"id": "attack", "component": "test.network_attack", "config": config}])
    done = run_with_names(project, {NAME: [[OWN]]}, "run", "pipeline.yaml", "--json", "--policy", "policy.yaml")
    assert done["code"] == 0 and done["seen"] == [OWN], done


def test_a_policy_demands_tls_with_servers_that_prove_their_identity(project, servers):
    by_tcp, by_http, *_ = servers
    endpoint, url = f"127.0.0.1:{port(by_tcp)}", f"http://127.0.0.1:{port(by_http)}/v1"
    config = {"attack": "connect_granted", "host": "127.0.0.1", "port": port(by_tcp), "url": "https://127.0.0.1:1/v1"}
    step = {"id": "attack", "component": "test.network_attack", "config": config}
    policy(project, endpoint, http=("GET https://127.0.0.1:1/v1", f"GET {url}"), tls="verify-full")
    # A driver without TLS gets no further than requesting it.
    error = project.run([step], "--policy", "policy.yaml", expect=1)["step"]["attack"]["error"]
    assert error["kind"] == "denied" and "the policy demands `tls: verify-full`" in error["message"], error
    assert by_tcp.seen == []
    assert "speak TLS alone" in project.osiris("plan", "pipeline.yaml", "--policy", "policy.yaml").stdout
    # If the config shows it, the step is refused before anything runs.
    plain = {**step, "config": config | {"url": url}}
    assert "without TLS" in project.run([plain], "--policy", "policy.yaml", expect=2)["stderr"]
    for component, option in (("postgres.extractor", "sslmode"), ("mysql.extractor", "ssl_mode")):
        database = {"host": "127.0.0.1", "port": port(by_tcp), "user": "a", "table": "t"}
        for mode in ({}, {option: "require"}):
            refused = project.run([{"id": "read", "component": component, "config": database | mode}], "--policy", "policy.yaml", expect=2)
            assert f"`{option}: {mode.get(option, 'prefer')}`" in refused["stderr"] and "verify-full" in refused["stderr"], refused["stderr"]
        project.pipeline([{"id": "read", "component": component, "config": database | {option: "verify-full"}}])
        assert project.osiris("plan", "pipeline.yaml", "--policy", "policy.yaml").returncode == 0
    # The control.
    policy(project, endpoint, http=("GET https://127.0.0.1:1/v1",))
    project.run([step], "--policy", "policy.yaml")


def test_an_import_without_its_grant_is_denied_if_the_spec_requests_it_and_not_packed_otherwise(project):
    from conftest import TARGET

    component = TARGET / "wasm32-wasip2" / "driver" / "network_attacks.wasm"
    head, rest = (FOLDER.parent / "spec.yaml").read_text().split("grants:", 1)
    options = rest[rest.index("configSchema:"):] + "    nowhere: {type: string, description: What no step gives}\n"

    def pack(grants: str) -> subprocess.CompletedProcess:
        project.write("spec.yaml", f"{head}grants: {{{grants}}}\nstateWhen: \"{{config.nowhere}}\"\n{options}")
        return project.osiris("drivers", "pack", component, "--spec", "spec.yaml", "--output", "bare.wasm")

    requests = {"connect": '["{config.nowhere}:1"]', "http": '["GET {config.nowhere}"]', "state": "true"}
    for missing in requests:
        refused = pack(", ".join(f"{grant}: {request}" for grant, request in requests.items() if grant != missing))
        assert refused.returncode == 2 and f"does not request `{missing}`" in refused.stderr, refused.stderr
        assert not (project.folder / "bare.wasm").exists()
    packed = pack(", ".join(f"{grant}: {request}" for grant, request in requests.items()))
    assert packed.returncode == 0, packed.stderr
    config = {"host": "127.0.0.1", "port": 1, "url": "http://127.0.0.1:1/v1"}
    attacks = {"connect_granted": "may not connect", "http_granted": "HttpRequestDenied"}
    for name, said in attacks.items():
        step = {"id": "bare", "component": "bare.wasm", "config": config | {"attack": name}}
        error = project.run([step], expect=1)["step"]["bare"]["error"]
        assert error["kind"] == "denied" and said in error["message"], error
