"""Every template in every language: its unit tests pass, and its example makes the same rows in all of them."""

import json
import re
import socketserver
import threading

import pytest
from conftest import ROOT
from http_server import Reply, Server, web  # noqa: F401
from projects import LANGUAGES, TEMPLATES, Machine, rows_of

PAIRS = [(kind, template) for kind, templates in TEMPLATES.items() for template in templates]
# Components of Python and Rust take long to build. The other templates of these languages run natively.
BUILT = {"python": [("extractor", "rest"), ("writer", "database")], "rust": [("extractor", "rest"), ("extractor", "database")]}
TOKEN = "an-example-token"


class Store(socketserver.StreamRequestHandler):
    """The key-value server that the database templates speak to."""

    entries = {"fruit:plum": "švestka", "fruit:apple": 'red "or" green', "fruit:none": None, "tree": "oak"}
    received: list = []

    def handle(self):
        for line in self.rfile:
            command = json.loads(line)
            self.received.append(command)
            if command[0] == "SET":
                self.wfile.write(b"OK\n")
                continue
            found = [{"key": key, "value": value} for key, value in self.entries.items() if key.startswith(command[1])]
            # In small parts, so that lines and characters are cut.
            answer = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in found).encode() + b".\n"
            for start in range(0, len(answer), 7):
                self.wfile.write(answer[start : start + 7])
                self.wfile.flush()


@pytest.fixture(scope="module")
def store():
    Store.received.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Store) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module", params=LANGUAGES)
def machine(request, tmp_path_factory):
    return Machine(tmp_path_factory.mktemp(request.param), request.param, prepared=True)


def serve(project, web: Server, port: int) -> None:
    """Names the servers of this test in the example's connections."""
    connections = project / "example" / "osiris_connections.yaml"
    if connections.exists():
        connections.write_text(connections.read_text().replace("http://127.0.0.1:8000", web.url).replace("port: 7000", f"port: {port}"))
    orders = project / "example" / "api" / "orders"

    def answer(request):
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        return Reply(status=201, json={}) if request.method == "POST" else Reply(body=orders.read_bytes())

    web.route("/orders", answer)


def share_packages(machine: Machine, project) -> None:
    """npm installs the same packages into each project, so all have those of the first."""
    first = machine.work / "node_modules"
    if machine.language == "typescript":
        if not first.exists():
            machine.run("npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", within=project)
            (project / "node_modules").rename(first)
        (project / "node_modules").symlink_to(first)


EXPECTED = {
    "extractor_rows": ("greetings", [{"id": 1, "greeting": "hello Ada"}, {"id": 2, "greeting": "hello Grace"}, {"id": 3, "greeting": "hello Žofie"}]),
    "extractor_rest": ("orders", [
        {"id": 1, "customer": "Ada", "amount": 12.5, "created_at": "2026-01-31 10:00:00+00"},
        {"id": 2, "customer": None, "amount": 0.1, "created_at": "2026-02-01 00:00:00+00"},
    ]),
    "extractor_database": ("entries", [{"key": "fruit:plum", "value": "švestka"}, {"key": "fruit:apple", "value": 'red "or" green'}, {"key": "fruit:none", "value": None}]),
    "extractor_file": ("events", [
        {"at": "2026-01-31 10:00:00+00", "level": "INFO", "message": "ready"},
        {"at": "2026-01-31 10:00:01.5+00", "level": "WARN", "message": "disk is 90 % full"},
        {"at": "2026-01-31 10:00:02+00", "level": "INFO", "message": "žluť"},
    ]),
    "processor_columns": ("totals", [
        {"product": "tea", "quantity": 2, "cents": 450, "total_cents": 900, "label": "TEA"},
        {"product": "coffee", "quantity": 1, "cents": None, "total_cents": None, "label": "COFFEE"},
        {"product": "coffee", "quantity": 3, "cents": 520, "total_cents": 1560, "label": "COFFEE"},
    ]),
    "processor_sql": ("counts", [{"product": "coffee", "rows": 2}, {"product": "tea", "rows": 1}]),
}  # fmt: skip


@pytest.mark.parametrize("kind, template", PAIRS, ids=["_".join(pair) for pair in PAIRS])
def test_a_template_is_whole(machine, kind, template, web, store):  # noqa: F811
    if (kind, template) not in BUILT.get(machine.language, PAIRS):
        if machine.language == "python":
            machine.unit_tests(machine.new(kind, template))
        return
    name, project = f"{kind}_{template}", machine.new(kind, template)
    share_packages(machine, project)
    serve(project, web, store)
    Store.received.clear()
    shown = machine.osiris("drivers", "dev", "--once", within=project).stdout
    assert "example succeeded" in shown
    if machine.language != "rust":
        machine.unit_tests(project)
    tested = machine.osiris("drivers", "test", f"build/shop.{name}.wasm", "--no-checks", within=project).stdout
    assert re.search(r"@0\.1\.0: [123] passed, 0 failed, 0 skipped", tested), tested
    if name in EXPECTED:
        step, rows = EXPECTED[name]
        assert rows_of(machine, project, step) == rows
    elif template == "file":
        assert (project / "example" / "products.txt").read_text() == "tea\ncoffee\ncoffee\n"
    elif template == "rest":
        sent = [request.json for request in web.requests]
        assert sent == [{"product": "tea", "quantity": 2, "cents": 450}, {"product": "coffee", "quantity": 1, "cents": None}, {"product": "coffee", "quantity": 3, "cents": 520}]
    else:
        assert Store.received == [["SET", "fruit:apple", 'red "or" green'], ["SET", "fruit:plum", "švestka"]]


def test_the_unit_tests_of_all_templates_in_rust_pass(tmp_path):
    machine = Machine(tmp_path, "rust")
    project = machine.new("extractor", "rest")
    source = project / "src"
    drivers = sorted((ROOT / "host" / "src" / "scaffold" / "templates" / "rust").glob("*/src/lib.rs"))
    assert len(drivers) == len(PAIRS)
    names = [driver.parents[1].name.replace("-", "_") for driver in drivers]
    for name, driver in zip(names, drivers):
        # A crate exports one driver.
        (source / f"{name}.rs").write_text(driver.read_text().replace("osiris_sdk::export!", "// "))
    (source / "lib.rs").write_text("#![allow(dead_code)]\n" + "".join(f"mod {name};\n" for name in names))
    passed = machine.unit_tests(project).stdout
    assert re.search(r"test result: ok\. [12]\d passed", passed), passed


def test_every_template_is_tested():
    folders = [path.name for path in (ROOT / "host" / "src" / "scaffold" / "templates" / "of").iterdir()]
    assert sorted(folders) == sorted(f"{kind}-{template}" for kind, template in PAIRS)
