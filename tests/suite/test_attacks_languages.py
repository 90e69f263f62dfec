"""A hostile driver in Python or TypeScript is harmless, whatever its language's runtime and its SDK offer it.

The corpus of `test_attacks.py` is about the contract. These drivers try what a language adds: its files, processes, sockets,
threads, evaluation and finalizers, the SDK's own objects, and forged data through the raw bindings.
"""

import json
import os
import re
from pathlib import Path

import pytest
from conftest import CANARY, ROOT
from http_server import Reply, Server
from languages import driver, requested_imports

ATTACKS = ROOT / "tests" / "guests" / "language-attacks"
ENGINES = {
    "python": (ATTACKS / "python" / "driver.py", ()),
    "typescript": (ATTACKS / "typescript" / "driver.ts", ()),
    "starlingmonkey": (ATTACKS / "typescript" / "driver.ts", ("--engine", "starlingmonkey")),
}


@pytest.fixture(scope="session")
def drivers(tmp_path_factory):
    """A folder with the attacker of each language."""
    folder = tmp_path_factory.mktemp("attackers")
    template = (ATTACKS / "spec.yaml").read_text()
    for name, (source, options) in ENGINES.items():
        spec = folder / name / "spec.yaml"
        spec.parent.mkdir()
        spec.write_text(template.replace("_LANGUAGE", f"_{name}"))
        driver(source, folder / "packed", *options, spec=spec)
    return folder / "packed"


@pytest.fixture
def servers():
    """A server of which a step may GET /v1, and one that no step may reach."""
    granted, elsewhere = Server(), Server()
    granted.route("/v1", lambda request: {"granted": request.method})
    granted.route("/v1/redirect", lambda _: Reply(None, 302, {"location": f"{elsewhere.url}/secret"}))
    for server in (granted, elsewhere):
        server.route("/secret", lambda _: "treasure")
    yield granted, elsewhere
    granted.close()
    elsewhere.close()


REFUSED_FILE = r"denied: the step may not (read|write) .*"
REFUSED_REQUEST = r"denied: cannot call .*: the step was not granted this request"
NO_FILE = r"FileNotFoundError: .*"
# What every outcome of an attack must be, and the number of its outcomes.
EXPECTED = {
    "python": {
        "granted_file": (1, r"got 'granted bytes'"),
        "granted_address": (1, r"""got '{"granted": "GET"}'"""),
        "open_private_files": (5, NO_FILE),
        "list_folders": (5, NO_FILE),
        "write_files": (3, NO_FILE),
        "environment": (2, "0 variables|0 arguments"),
        "standard_input": (2, "got b?''"),
        "inherited_descriptors": (37, "OSError: .*Bad file descriptor"),
        "run_programs": (6, "OSError: .*does not support processes.|AttributeError: module 'os' has no attribute .*"),
        "native_code": (5, "ModuleNotFoundError: .*"),
        "signals": (2, "AttributeError: module 'os' has no attribute .*"),
        "sockets": (11, "PermissionError: .*|AttributeError: module 'socket' has no attribute 'AF_UNIX'|gaierror: .*|URLError: .*|OSError: .*"),
        "connect_without_asking": (1, "internal: the driver uses TCP, but was built without it; .*"),
        "threads": (1, "RuntimeError: can't start new thread"),
        "import_at_run_time": (3, "ModuleNotFoundError: .*"),
        "evaluate": (3, rf"got 42|{NO_FILE}"),
        "files_that_are_not_granted": (13, REFUSED_FILE),
        "paths_in_sql": (19, "denied: .*|config: (the SQL was refused|Catalog Error|there is no function): ?.*|config: there is no function `getenv`.*"),
        "forged_batches": (12, "data: a batch for table .* is malformed: .*"),
        "forged_names": (5, "data: table .*|config: column .* is not a type .*|not-found: input .*"),
        "addresses_that_are_not_granted": (15, rf"{REFUSED_REQUEST}|config: cannot call .*: (the address is not an http or https URL|the method, the address or a header is malformed)"),
        "foreign_secrets": (5, "got None"),
        "secret_everywhere": (1, "denied: a state must hold no secret.*"),
        "finalizers": (1, "collected"),
        "altered_sdk": (1, NO_FILE),
    },
    "typescript": {
        "granted_file": (1, "got granted bytes"),
        "granted_address": (1, 'got {"granted": "GET"}'),
        "globals": (10, r"\w+ is missing"),
        "evaluate": (4, "got 42|ReferenceError: .*"),
        "fetch_elsewhere": (4, "a promise"),
        "files_that_are_not_granted": (12, REFUSED_FILE),
        "paths_in_sql": (10, "denied: .*|config: (the SQL was refused|Catalog Error): .*"),
        "forged_batches": (10, "data: a batch for table .* is malformed: .*"),
        "addresses_that_are_not_granted": (13, rf"{REFUSED_REQUEST}|config: cannot call .*: the address is not an http or https URL|internal: cannot call .*: HTTP failed with (forbidden|invalid-syntax)"),
        "foreign_secrets": (5, "got undefined"),
        "secret_everywhere": (1, "denied: a state must hold no secret.*"),
        "polluted_prototypes": (3, rf"got undefined|{REFUSED_FILE}|{REFUSED_REQUEST}"),
        "finalizers": (1, "registered"),
    },
}  # fmt: skip
EXPECTED["starlingmonkey"] = EXPECTED["typescript"] | {
    # A redirect is not followed.
    "fetch_elsewhere": (4, "TypeError: NetworkError .*|Error: fetch_https: .*|Error: status 302"),
}
# The error's kind and words of attacks that end the driver.
FATAL = {
    "python": {
        "own_signal": ("trap", "trapped"),
        "memory": ("memory", "more than its 512 MB of memory"),
        "deep_recursion": ("memory", "more than its 512 MB of memory"),
        "forged_handle": ("trap", "unknown handle index 12345"),
        "use_after_drop": ("trap", "trapped"),
        "exit_at_once": ("exit", "called exit(0)"),
        "exit_by_exception": ("exit", "called exit(0)"),
        "secret_in_an_error": ("internal", "ValueError: the key is ***MASKED***"),
        "half_a_table": ("contract", "left table `main` unfinished"),
    },
    "typescript": {
        # This engine leaves promises pending, so that the driver ends without a table.
        "import_modules": ("contract", "made no table"),
        "memory": ("memory", "more than its 512 MB of memory"),
        "deep_recursion": ("trap", "call stack exhausted"),
        "use_after_drop": ("internal", "TypeError: resource has been disposed"),
        "secret_in_an_error": ("internal", "Error: the key is ***MASKED***"),
        "half_a_table": ("contract", "left table `main` unfinished"),
    },
}
FATAL["starlingmonkey"] = FATAL["typescript"] | {
    "import_modules": ("trap", "trapped"),
    "deep_recursion": ("internal", "InternalError: too much recursion"),
    "use_after_drop": ("trap", "unknown handle index"),
}
ENDLESS = ("endless_loop", "endless_output")


def attacks(project, drivers, servers, engine: str, names: list[str], *arguments, expect: int) -> dict:
    """Runs attacks, each as a step, and checks that nothing of them remains."""
    granted, elsewhere = servers
    project.write("granted.txt", "granted bytes")
    private = project.write("private.txt", "treasure")
    project.write("policy.yaml", json.dumps({"http": [f"GET {granted.url}/v1"], "connect": [f"127.0.0.1:{granted.port}"]}))
    config = {
        "file": "granted.txt", "url": f"{granted.url}/v1", "target": f"{elsewhere.url}/secret", "port": elsewhere.port, "key": "${OSIRIS_CANARY}",
        "private": ["/etc/passwd", str(private), "private.txt", "/proc/self/environ", f"/proc/{os.getpid()}/environ"],
    }  # fmt: skip
    step = {"component": f"test.attack_{engine}", "needs": ["source"]}
    steps = [step | {"id": name, "config": config | {"attack": name}} for name in names]
    result = project.run([project.sql("select 1 as a"), *steps, project.sql("select 2 as a", "sibling")], "--drivers", drivers, "--policy", "policy.yaml", *arguments, expect=expect)
    assert result["step"]["sibling"]["status"] == "success"
    assert elsewhere.connections == 0, "it reached what it was not granted"
    assert {request.path for request in granted.requests} <= {"/v1", "/v1/redirect"}
    assert CANARY not in result["stderr"] and "root:" not in result["stderr"] and "treasure" not in result["stderr"]
    assert {path.name for path in project.folder.iterdir()} <= {"granted.txt", "private.txt", "policy.yaml", "pipeline.yaml", "osiris.lock", ".osiris", ".osiris_sessions"}
    assert (project.folder / "granted.txt").read_text() == "granted bytes" and not Path("/tmp/osiris-attack").exists()
    return result


@pytest.mark.parametrize("engine", ENGINES)
def test_a_driver_reaches_only_what_it_was_granted(project, drivers, servers, engine):
    result = attacks(project, drivers, servers, engine, ["all", *FATAL[engine]], expect=1)
    assert result["step"]["all"]["status"] == "success", result["stderr"]
    outcomes = {name: [] for name in EXPECTED[engine]}
    for name, outcome in project.rows(result, "all", "select attack, outcome from main"):
        outcomes.setdefault(name, []).append(outcome)
    for name, found in outcomes.items():
        number, pattern = EXPECTED[engine][name]
        assert len(found) == number and all(re.fullmatch(pattern, outcome, re.DOTALL) for outcome in found), (name, found)
    assert outcomes["evaluate"][0] == "got 42"
    for name, (kind, words) in FATAL[engine].items():
        error = result["step"][name]["error"]
        assert error["kind"] == kind and words in error["message"] and error["blame"] == "driver", (name, error)
        assert not (Path(result["session_path"]) / "data" / f"{name}.duckdb").exists()
    with project.database(result, "all") as connection:
        tables = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
        stored = {name: connection.execute(f'select count(*) from "{name}"').fetchone()[0] for name in tables if name.startswith("forged_")}
        assert len(stored) >= 9 and set(stored.values()) == {0}, stored
        if "polluted" in tables:
            # The driver's `toJSON` changed its own rows, and nothing else.
            assert connection.execute("from polluted").fetchall() == [(True,)]
    logged = [json.dumps(event) for event in project.events(result) if event.get("event") == "driver_log" and event["step_id"] == "all"]
    assert any("***MASKED***" in line for line in logged), "the secret was never logged, so the search for it proves nothing"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_driver_that_never_ends_is_stopped(project, drivers, servers, engine):
    result = attacks(project, drivers, servers, engine, list(ENDLESS), "--step-timeout", "3", expect=1)
    assert {name: result["step"][name]["error"]["kind"] for name in ENDLESS} == dict.fromkeys(ENDLESS, "timeout")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_components_of_the_sdks_import_what_their_specs_request(project, drivers, engine):
    """Beside WASI's inert interfaces and those of the contract that every driver has."""
    inspected = json.loads(project.osiris("drivers", "inspect", f"test.attack_{engine}", "--drivers", drivers, "--json").stdout)
    assert requested_imports(inspected["imports"]) == {"osiris:driver/state", "wasi:http/types", "wasi:http/outgoing-handler"}
