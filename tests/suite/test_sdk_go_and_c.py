"""Drivers written with the SDKs in Go and in C, built and run by the program: both make the same tables."""

import http.server
import json
import os
import socketserver
import subprocess
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import duckdb
import pytest
from conftest import OSIRIS, TARGET
from languages import BUILT_WITH, SDK

DRIVERS = TARGET / "drivers"
TOKEN = "a-token-that-is-long-enough"

# A column of each type that both SDKs know, null in every third row.
COLUMNS = {
    "i8": "(-128)::tinyint", "i64": "(-9223372036854775808)::bigint", "u64": "18446744073709551615::ubigint", "f32": "1.5::float",
    "f64": "'nan'::double", "bool": "i % 2 = 0", "text": "case when i % 5 = 0 then '' else 'žluť😀' || i end",
    "raw": r"'\x00\xFF'::blob", "json": """'{"a": 1}'::json""", "uuid": "md5(i::varchar)::uuid", "date": "date '0001-01-01'",
    "time": "time '23:59:59.999999'", "at": "timestamptz '1900-01-01 00:00:00.000001+00'", "wall": "timestamp '2024-02-29 01:02:03.4'",
    "span": "interval '1 month -2 days 3 microseconds'", "dec": "(-9999999999999999999999999999999999.9999)::decimal(38,4)",
    "huge": "(-99999999999999999999999999999999999999)::decimal(38,0)", "list": "['a', null, '']",
    "deep": "[[1, 2], [], null]::bigint[][]", "part": "{a: i::integer, b: case when i % 2 = 0 then 'x' end}",
    "many": "[{a: 7::integer, b: null::varchar}]", "map": "map {'a': i, 'k': i}",
}
EVERY_TYPE = "select " + ", ".join(f'case when i % 3 > 0 then {sql} end as "{name}"' for name, sql in COLUMNS.items()) + " from range(5000) x(i)"
ORDERS = "select i::integer as qty, case when i % 3 > 0 then 'name ' || i end as name, ['a', 'b'][:i % 3] as tags, i::decimal(18,2) as price from range(5000) x(i)"


class Api(http.server.BaseHTTPRequestHandler):
    """250 records in pages. The second request of each size is refused with a wait."""

    requests: list[str] = []
    posted: list[tuple] = []

    def do_GET(self):
        query = parse_qs(urlparse(self.path).query)
        page, size = int(query.get("page", ["1"])[0]), int(query["size"][0])
        self.requests.append(query["size"][0])
        status, headers, body = 200, {}, b"{}"
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            status = 401
        elif self.requests.count(query["size"][0]) == 2:
            status, headers = 429, {"Retry-After": "0.1"}
        else:
            ids = range((page - 1) * size, min(page * size, 250))
            items = [{"id": i, "name": f"ž {i}" if i % 7 else None, "amount": f"{i}.{i % 100:02d}", "tags": ["a", "b"][: i % 3],
                      "created_at": f"2024-01-{i % 28 + 1:02d}T10:00:00Z"} for i in ids]
            body = json.dumps({"items": items, "next": page + 1 if page * size < 250 else None}).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.posted.append((self.headers["Content-Type"], json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the drivers of both languages, packed, and those of the program."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "drivers").mkdir()
    env = os.environ | BUILT_WITH
    for name in ("hello", "rest", "columns", "post", "driver", "host"):
        is_test = name in ("driver", "host")
        source = SDK / "go" / ("tests" if is_test else "examples") / name
        subprocess.run([SDK / "go" / "build", source, folder / f"{name}-go.wasm"], env=env, check=True)
        pack(folder, f"{name}-go", source / "spec.yaml")
        c = SDK / "c" / (f"tests/{name}/driver.c" if is_test else f"examples/{name}.c")
        spec = c.with_name("spec.yaml") if is_test else c.with_suffix(".yaml")
        subprocess.run([SDK / "c" / "build", spec, folder / f"{name}-c.wasm", c, "-Wall", "-Wextra", "-Werror"], env=env, check=True)
        pack(folder, f"{name}-c", spec)
    return folder


def test_the_same_source_gives_the_same_component(built, tmp_path):
    env = os.environ | BUILT_WITH
    subprocess.run([SDK / "go" / "build", SDK / "go" / "examples" / "hello", tmp_path / "go.wasm"], env=env, check=True)
    subprocess.run([SDK / "c" / "build", SDK / "c" / "examples" / "hello.yaml", tmp_path / "c.wasm", SDK / "c" / "examples" / "hello.c"], env=env, check=True)
    for lang in ("go", "c"):
        assert (tmp_path / f"{lang}.wasm").read_bytes() == (built / f"hello-{lang}.wasm").read_bytes()


def pack(folder: Path, name: str, spec: Path):
    subprocess.run([OSIRIS, "drivers", "pack", folder / f"{name}.wasm", "--spec", spec, "--output", folder / "drivers"], check=True)


@pytest.fixture
def run(built, tmp_path):
    def run(steps: list[dict], expect: int = 0) -> dict:
        (tmp_path / "pipeline.yaml").write_text(json.dumps({"oml_version": "0.1.0", "name": "sdk", "steps": steps}))
        env = os.environ | {"OSIRIS_DRIVERS": str(DRIVERS), "TOKEN": TOKEN}
        for command in (["lock", "--update", "pipeline.yaml"], ["run", "pipeline.yaml", "--json"]):
            done = subprocess.run([OSIRIS, *command, "--drivers", built / "drivers"], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == expect, done.stdout + done.stderr
        result = json.loads(done.stdout)
        return {step["id"]: step for step in result["steps"]} | {"path": Path(result["session_path"])}

    run.folder = tmp_path
    return run


def table(result: dict, step: str, sql: str = "from main") -> list[tuple]:
    with duckdb.connect(str(result["path"] / "data" / f"{step}.duckdb"), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        return connection.execute("describe main").fetchall() + connection.execute(sql).fetchall()


def source(sql: str) -> dict:
    return {"id": "source", "component": "duckdb.processor", "needs": [], "config": {"query": sql}}


def both(component: str, config: dict, needs: list[str] = ["source"]) -> list[dict]:
    return [{"id": lang, "component": component.format(lang), "needs": needs, "config": config} for lang in ("go", "c")]


def test_the_examples_make_the_same_tables(run):
    hello = run(both("hello.{}_extractor", {"names": ["Ada", "Žofie"]}, []))
    assert table(hello, "go") == table(hello, "c") and table(hello, "go", "select * from main")[-1] == ("hello Žofie",)
    columns = run([source(ORDERS), *both("columns.{}_processor", {})])
    assert table(columns, "go") == table(columns, "c")
    assert table(columns, "go", "select * from main order by qty limit 3")[-1] == (4, "name 2", ["a", "b"], 2, "NAME 2", 2)
    empty = run([source(ORDERS + " limit 0"), *both("columns.{}_processor", {})])
    assert table(empty, "go") == table(empty, "c") and table(empty, "go")[:6] == table(columns, "go")[:6]


def test_a_rest_api_is_read_with_waits_and_a_token(run):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    (run.folder / "osiris_connections.yaml").write_text(json.dumps({"connections": {"http": {"api": {"url": url, "private_network": True}}}}))
    steps = both("rest.{}_extractor", {"url": f"{url}/items", "token": "${TOKEN}"}, [])
    for place, step in enumerate(steps):
        step["config"] = step["config"] | {"size": 100 + place}
    result = run(steps)
    go = table(result, "go")
    assert go == table(result, "c") and len(go) == 5 + 250 and Api.requests.count("100") == Api.requests.count("101") == 4
    # Declared columns come first.
    assert [column[1] for column in go[:5]] == ["DECIMAL(18,2)", "TIMESTAMP WITH TIME ZONE", "BIGINT", "VARCHAR", "VARCHAR[]"]
    for lang in ("go", "c"):
        refused = run([{**step, "config": {**step["config"], "token": "another-long-token"}} for step in steps if step["id"] == lang], expect=1)
        assert refused[lang]["error"]["kind"] == "auth" and "answered 401" in refused[lang]["error"]["message"]
    # Writers post each row, one of them larger than a stream takes at once.
    run([source("select i as id, repeat('ž', i * 5000) as s from range(3) x(i)"), *both("post.{}_writer", {"url": f"{url}/items"})])
    assert sorted(Api.posted, key=str) == sorted([("application/json", {"id": i, "s": "ž" * 5000 * i}) for i in range(3)] * 2, key=str)
    server.shutdown()


def test_every_type_survives(run):
    result = run([source(EVERY_TYPE), *both("test.{}_processor", {"mode": "rows"})])
    ordered = "select columns(*)::varchar from main order by all"
    assert table(result, "go", ordered) == table(result, "c", ordered) == table(result, "source", ordered)


def test_columns_records_and_sql(run):
    result = run([source("select i as a, i * 3 as b, 'row ' || i as s from range(100000) x(i)")]
                 + [step | {"id": f"{step['id']}_{mode}"} for mode in ("compute", "texts", "records", "sql") for step in both("test.{}_processor", {"mode": mode})])
    for lang in ("go", "c"):
        assert table(result, f"{lang}_compute", "select count(*), bool_and(c = a + b + strlen(s)) from main")[-1] == (100000, True)
        assert table(result, f"{lang}_texts", "select count(*), bool_and(t = upper(s)) from main")[-1] == (100000, True)
        assert table(result, f"{lang}_records", "select count(*), sum(b) from main")[-1] == (100000, 3 * 4999950000)
        assert table(result, f"{lang}_sql")[-1] == (100000,)


def test_records_are_decoded_and_encoded_with_every_value(run):
    """Structs are read and written without encoding/json in the usual case; other rows with it, and all digits of their numbers."""
    rows = source("""select case when i % 7 > 0 then 9223372036854775807 - i end as i, i / 3 as d, case when i % 5 > 0 then 'ž"\\' || chr((i % 128)::int) || i end as s,
        ['a', i::varchar] as l, i % 2 = 0 as b from range(5000) x(i)""")
    result = run([rows, {"id": "go", "component": "test.go_processor", "needs": ["source"], "config": {"mode": "typed"}}])
    ordered = "select columns(*)::varchar from {} order by all"
    expected = table(result, "source", ordered.format("main"))
    assert table(result, "go", ordered.format("main")) == expected
    # Go's maps have no order.
    assert table(result, "go", "select i::varchar, d::varchar, s::varchar, l::varchar, b::varchar from \"any\" order by all") == expected


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline())


def test_state_secrets_files_and_connections(run):
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (run.folder / "osiris_connections.yaml").write_text(json.dumps({"connections": {"test": {"x": {"host": "127.0.0.1", "private_network": True}}}}))
    (run.folder / "in.txt").write_text("žluť")
    config = {"in": "in.txt", "host": "127.0.0.1", "port": server.server_address[1], "state": True, "login": {"password": "${TOKEN}"}}
    steps = [step | {"rejects": 1, "config": config | {"out": f"{step['id']}.txt"}} for step in both("test.{}_host", config, [])]
    for attempt in range(2):
        result = run(steps)
        for lang in ("go", "c"):
            assert dict(table(result, lang, "select * from main")[2:]) == {
                "state": f"{attempt} {'true' if attempt else 'false'}", "secrets": f"{len(TOKEN)} false 1", "step": f"{lang}1 0 1",
                "file": "1žluť", "temporary": "1", "denied": "denied", "tcp": "ping\ntrue", "other port": "denied"}
            assert table(result, lang, "from rejected")[-1] == ('{"Name":"name","Value":"value"}', "too odd")
            assert table(result, lang, "from csv")[-1] == (1, 2) and (run.folder / f"{lang}.txt").read_text() == "written"
    server.shutdown()


def test_the_collector_may_run_at_any_time(run):
    result = run([source("select i as a, 'row ' || i as s from range(200000) x(i)"), {"id": "go", "component": "test.go_processor", "needs": ["source"], "config": {"mode": "garbage"}}])
    assert table(result, "go", "select count(*), sum(a) from main")[-1] == (200000, 19999900000)


def test_errors_have_kinds_and_panics_have_lines(run):
    for lang in ("go", "c"):
        error = run([source("select 1 as a"), *(s for s in both("test.{}_processor", {"mode": "fail"}) if s["id"] == lang)], expect=1)[lang]["error"]
        assert (error["kind"], error["message"]) == ("rate-limited", "outside: inside")
        error = run([source("select 1 as a"), *(s for s in both("test.{}_processor", {"mode": "utf8"}) if s["id"] == lang)], expect=1)[lang]["error"]
        assert (error["kind"], error["message"]) == ("internal", "wrong \ufffd" if lang == "go" else "wrong ?")
    panic = run([source("select 1 as a"), {"id": "go", "component": "test.go_processor", "needs": ["source"], "config": {"mode": "panic"}}], expect=1)
    assert "panic: assignment to entry in nil map (driver.go:" in panic["go"]["error"]["message"]


def test_connections_are_checked_and_discovered(run, built):
    (run.folder / "osiris_connections.yaml").write_text(json.dumps({"connections": {"test": {"x": {"mode": "rows"}}}}))
    found = []
    for lang in ("go", "c"):
        def osiris(*command):
            done = subprocess.run([OSIRIS, *command, "@test.x", "--driver", f"test.{lang}_processor", "--drivers", built / "drivers", "--json"], cwd=run.folder, capture_output=True, text=True)
            return json.loads(done.stdout)

        assert osiris("connections", "doctor")[0]["message"] == "tests of rows"
        found.append(osiris("discover")["tables"])
    columns = [{"name": "a", "source_type": "int8", "duckdb_type": "BIGINT", "nullable": False}, {"name": "b", "source_type": "text", "duckdb_type": "VARCHAR", "nullable": True}]
    assert found[0] == found[1] == [
        {"schema": None, "name": "u", "columns": [], "primary_key": [], "estimated_rows": None},
        {"schema": "s", "name": "t", "columns": columns, "primary_key": ["a", "b"], "estimated_rows": 1 << 40},
    ]
