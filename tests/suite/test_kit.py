"""`osiris drivers test`: declarative tests, recorded HTTP, reports, and tests folders that try to leave."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from conftest import CANARY, GUESTS, OSIRIS, ROOT, TARGET, Project
from http_server import Reply, Server, gzipped, truncated, web  # noqa: F401

BUNDLED = TARGET / "drivers"
PROCESSOR = BUNDLED / "duckdb.processor.wasm"
KEEP = GUESTS / "test.keep.wasm"
HTTP = BUNDLED / "http.extractor.wasm"
SECRET = 's3cret-"/+?&=x y'


class Kit:
    """A folder of tests, and what `osiris drivers test` says about it."""

    def __init__(self, project: Project):
        self.project = project

    def write(self, tests: list[dict] | str, name: str = "tests/all.yaml") -> Path:
        return self.project.write(name, tests if isinstance(tests, str) else json.dumps({"tests": tests}))

    def osiris(self, driver: Path, *arguments, env: dict | None = None) -> subprocess.CompletedProcess:
        return self.project.osiris("drivers", "test", driver, "--tests", "tests", "--no-checks", *arguments, env=env)

    def findings(self, driver: Path, *arguments, expect: int, env: dict | None = None) -> dict[str, dict]:
        """What was found, by the names of the tests."""
        done = self.osiris(driver, "--json", *arguments, env=env)
        assert done.returncode == expect, f"{done.stdout}\n{done.stderr}"
        return {finding["name"]: finding for finding in json.loads(done.stdout)["results"]}

    def check(self, driver: Path, tests: list[tuple[dict, str | None]], *arguments):
        """Runs tests; each must pass, or fail with that text."""
        self.write([test for test, _ in tests])
        found = self.findings(driver, *arguments, expect=1 if any(reason for _, reason in tests) else 0)
        for test, reason in tests:
            finding = found[test["name"]]
            assert finding["status"] == ("failed" if reason else "passed"), finding
            assert (reason or "") in (finding["reason"] or ""), finding


@pytest.fixture
def kit(project):
    return Kit(project)


def variants(base: dict, *cases: tuple[dict, str | None]) -> list[tuple[dict, str | None]]:
    """The same test with several expectations."""
    return [({**base, "name": f"{number} {reason}", "expect": expect}, reason) for number, (expect, reason) in enumerate(cases)]


DIGITS = "12345678901234567890.123456789"


def test_every_expectation_about_tables_passes_and_fails(kit):
    base = {
        "config": {"query": f"select i as id, {DIGITS}::decimal(38,9) as d, [i, null] as l, case when i = 0 then 'NaN'::double end as f from t order by i"},
        "inputs": {"t": {"columns": {"i": "INTEGER"}, "rows": [[0], [1]]}},
    }
    columns = {"id": "INTEGER", "d": "DECIMAL(38,9)", "l": "INTEGER[]", "f": "DOUBLE"}
    rows = [[0, DIGITS, [0, None], "NaN"], {"id": 1, "d": DIGITS, "l": [1, None], "f": None}]
    main = lambda **table: {"tables": {"main": table}}
    kit.check(
        PROCESSOR,
        variants(
            base,
            (main(columns=columns, rows=rows, count=2), None),
            (main(rows=rows[::-1], ordered=False), None),
            (main(rows=rows[::-1]), "table `main`: row 1, column `id`: expected 1, got 0"),
            (main(columns=columns | {"id": "BIGINT"}), "expected columns `id BIGINT, d DECIMAL(38,9), l INTEGER[], f DOUBLE`, got `id INTEGER"),
            (main(columns={"d": "DECIMAL(38,9)", "id": "INTEGER"}), "expected columns"),
            (main(count=3), "expected 3 rows, got 2"),
            (main(rows=rows[:1]), "row 2 is not expected: {\"id\": 1"),
            (main(rows=[*rows, rows[0]]), "expected row 3 is missing"),
            (main(rows=[[0, DIGITS[:-1] + "8", [0, None], "NaN"], rows[1]]), f"column `d`: expected \"{DIGITS[:-1]}8\", got {DIGITS}"),
            (main(rows=[[0, float(DIGITS), [0, None], "NaN"], rows[1]]), "quote numbers of more than 15 digits"),
            (main(rows=[[0, DIGITS, [0, 0], "NaN"], rows[1]]), "column `l`: expected [0,0], got [0, null]"),
            (main(rows=[[0, DIGITS, [0, None], None], rows[1]]), "column `f`: expected null, got \"NaN\""),
            (main(rows=[rows[0], {"id": 1}]), "row 2, column `d` is not expected"),
            (main(rows=[rows[0], {**rows[1], "x": 1}]), "row 2, column `x` is missing"),
            (main(rows=[[0], rows[1]]), "expected row 1 is malformed: it has 1 values for 4 columns"),
            ({"tables": {"other": {}}}, "expected table `other`, got `main`"),
            ({"tables": {}}, "table `main` is not expected"),
            ({"error": {"kind": "config"}}, "expected an error of kind `config`, got success"),
            ({"attempts": 2}, "attempts: expected 2, got 1"),
            ({"warnings": ["anything"]}, "warnings: expected `anything`, got none"),
            ({"log": ["anything"]}, "log: expected a line with `anything`, got none"),
            ({"metrics": {"rows": 1}}, "metric `rows`: expected 1, got []"),
        ),
    )


def test_every_expectation_about_state_files_log_and_errors_passes_and_fails(kit):
    config = {"state": '{"at": 12345678901234567890, "by": "a"}', "write": ["out/a.csv", "b.txt"], "create": ["b.txt"], "warn": 1}
    base = {"config": config, "state": {"at": 1}}
    state = {"at": 12345678901234567890, "by": "a"}
    kit.project.write("tests/../out/.keep", "")
    run = variants(
        base | {"config": config | {"write": ["b.txt"]}},
        ({"state": state, "files": {"b.txt": "new\n"}, "warnings": ["a column was left out"], "log": ["left out"], "tables": {"main": {"rows": [['{"at":1}', None, "null", 0]]}}}, None),
        ({"state": {"at": 1}}, "state: expected {\"at\":1}, got {\"at\": 12345678901234567890"),
        ({"state": None}, "state: expected null"),
        ({"files": {}}, "file `b.txt` is not expected"),
        ({"files": {"b.txt": "old\n"}}, "file `b.txt`: line 1: expected `old`, got `new`"),
        ({"files": {"b.txt": "new"}}, "file `b.txt`: line 2: expected the end, got ``"),
        ({"files": {"b.txt": {"contains": ["ne", "x"]}}}, "file `b.txt`: expected `x` in it"),
        ({"files": {"b.txt": "new\n", "c.txt": ""}}, "expected file `c.txt`, got `b.txt`"),
        ({"warnings": []}, "warnings: expected none, got `a column was left out (column: c0; rows: 12)`"),
        ({"log": ["right in"]}, "log: expected a line with `right in`"),
    )
    failing = variants(
        {"config": {"state": "not JSON"}},
        ({"error": {}}, None),
        ({"error": {"kind": "config", "text": "x"}}, "error: expected kind `config`"),
        ({"error": {"text": ["JSON", "YAML"]}}, "error: expected a message with `YAML`"),
        ({}, "expected success, got error"),
    )
    refused = variants({"config": {"stat": "1"}}, ({"error": {"kind": "config", "text": "did you mean"}}, "expected a message with"), ({"error": {"kind": "config", "text": "`stat`"}}, None))
    for number, (test, _) in enumerate([*run, *failing, *refused]):
        test["name"] = f"{number} {test['name']}"
    kit.check(KEEP, [*run, *failing, *refused])


def test_rejected_rows_are_a_table_also_of_a_writer(kit):
    base = {"config": {}, "rejects": 1, "inputs": {"t": {"rows": [{"id": 1, "reason": "bad"}, {"id": 2}]}}}
    rejected = {"columns": {"record": "JSON", "reason": "VARCHAR"}, "rows": [[{"id": 1}, "bad"]]}
    kit.check(
        GUESTS / "test.rejecting.wasm",
        [
            (base | {"name": "one", "expect": {"tables": {"rejected": rejected}, "delivered": 1, "warnings": ["rows were rejected"]}}, None),
            (base | {"name": "none", "expect": {"tables": {}}}, "table `rejected` is not expected"),
            (base | {"name": "not allowed", "rejects": 0, "expect": {"tables": {"rejected": {}}}}, "expected success, got error"),
        ],
    )


def test_inputs_come_from_rows_sql_and_files_and_written_files_are_read_back(kit):
    kit.project.write("tests/data/in.csv", "id,name\n1,a\n2,\n")
    kit.project.write("tests/data/in.json", '[{"id": 1, "name": "a"}, {"id": 2}]')
    same = {"columns": {"id": "BIGINT", "name": "VARCHAR"}, "rows": [[1, "a"], [2, None]]}
    sources = {
        "rows with types": same,
        "rows": {"rows": [{"id": 1, "name": "a"}, {"id": 2}]},
        "sql": "select * from (values (1::bigint, 'a'), (2, null)) t(id, name)",
        "csv": {"csv": "data/in.csv"},
        "json": {"json": "data/in.json"},
    }
    tests = [({"name": name, "config": {"query": "select * from t"}, "inputs": {"t": source}, "expect": {"tables": {"main": same}}}, None) for name, source in sources.items()]
    tests += [
        ({"name": "no type", "config": {"query": "from t"}, "inputs": {"t": {"columns": {"x": "NOTYPE"}}}}, "step `input-1`, which the test needs, failed"),
        ({"name": "no config", "config": {"query": "from t"}, "inputs": {"t": {"csv": "data/in.csv", "options": {"delim": ";"}}}, "expect": {"error": {}}}, "`delim`"),
    ]
    kit.check(PROCESSOR, tests)
    for format in ("csv", "json", "parquet"):
        file = f"out.{format}"
        write = {"config": {"path": file}, "inputs": {"t": same}}
        kit.check(
            BUNDLED / f"filesystem.{format}_writer.wasm",
            variants(write, ({"files": {file: same}, "delivered": 2}, None), ({"files": {file: {"count": 3}}, "delivered": 1}, f"delivered rows: expected 1, got 2\nfile `{file}`: expected 3 rows, got 2")),
        )
        read = {"config": {"path": file}, "files": {file: {"sql": sources["sql"]}}}
        kit.check(BUNDLED / f"filesystem.{format}_extractor.wasm", variants(read, ({"tables": {"main": same}}, None), ({"tables": {"main": {"count": 1}}}, "expected 1 rows, got 2")))


def shop(web: Server, secret: str):
    """An API with OAuth 2, two pages and a session; its responses repeat what it was sent."""

    def token(request):
        return {"access_token": "t0ken-of-the-server", "token_type": "Bearer", "expires_in": 3600, "echo": request.body.decode()}

    def items(request):
        if request.headers.get("authorization") != "Bearer t0ken-of-the-server":
            return Reply({"message": "no"}, 401)
        page = int(request.query.get("page", "1"))
        links = {"link": f'<{web.url}/items?page=2&api_key={secret_of(request)}>; rel="next"'} if page == 1 else {}
        cookie = {"set-cookie": "sid=c00kie-of-the-server; Path=/"}
        return Reply([{"id": page, "price": "REPLACED", "echo": secret}], headers=links | cookie)

    def secret_of(request):
        return request.headers.get("x-own", "none")

    web.route("/token", token)
    web.route("/items", items)


def test_a_recording_holds_no_secret_and_replays_without_the_service(kit, web):
    shop(web, SECRET)
    config = {
        "url": f"{web.url}/items",
        "headers": {"x-own": "own-${KEY_OF_KIT}"},
        "params": {"q": "plain"},
        "auth": {"type": "oauth2", "url": f"{web.url}/token", "client_id": "me", "client_secret": "${KEY_OF_KIT}", "client_auth": "body"},
        "pagination": {"type": "link"},
    }
    test = {
        "name": "two pages",
        "config": config,
        "env": {"KEY_OF_KIT": "secret for replay"},
        "http": "recordings/pages.json",
        "expect": {"tables": {"main": {"columns": {"id": "BIGINT", "price": "VARCHAR", "echo": "VARCHAR"}, "count": 2}}},
    }
    # It ends while the other is still running, and with it the processes of its thread.
    refused = {"name": "refused", "config": {"urll": "x"}, "expect": {"error": {"kind": "config"}}}
    kit.write([refused, test])
    missing = kit.findings(HTTP, expect=1)["two pages"]["reason"]
    assert "its recording `recordings/pages.json` is missing\nhint: add `--record`" in missing and not web.requests
    recorded = kit.findings(HTTP, "--record", expect=0, env={"KEY_OF_KIT": SECRET})["two pages"]
    file = kit.project.folder / "tests/recordings/pages.json"
    text = file.read_text()
    assert recorded["recorded"] == "recordings/pages.json" and len(web.requests) == 3
    exchanges = json.loads(text)["exchanges"]
    assert [exchange["request"]["method"] for exchange in exchanges] == ["POST", "GET", "GET"]
    assert web.requests[0].body.decode().count("client_secret=s3cret") == 1, "the service got the real secret"
    for secret in ("s3cret", "t0ken", "c00kie", "secret for replay", CANARY):
        assert secret not in text and secret.encode().hex() not in text, text
    assert "client_secret=REDACTED" in text and "sid=REDACTED" in text and '"q"' not in text and "q=plain" in text
    assert not any("authorization" in exchange["request"]["headers"] and exchange["request"]["headers"]["authorization"] != "REDACTED" for exchange in exchanges)
    web.close()
    rows = [{"id": 1, "price": "REPLACED", "echo": "REDACTED"}, {"id": 2, "price": "REPLACED", "echo": "REDACTED"}]
    kit.write([test | {"expect": {"tables": {"main": {"rows": rows}}}}])
    assert kit.findings(HTTP, expect=0)["two pages"]["recorded"] is None
    assert file.read_text() == text


def test_what_cannot_be_recorded_is_refused_and_leaves_no_file(kit, web):
    web.route("/packed", lambda request: gzipped(b"[]"))
    web.route("/long", lambda request: Reply(body=b'["' + b"x" * (5 << 20) + b'"]'))
    web.route("/cut", lambda request: truncated(b"[", 10))
    web.route("/wrong", lambda request: [1])
    reasons = {"packed": "its response is compressed, although", "long": "a body is longer than 4.2 MB, too long for a test", "cut": "its response cannot be recorded: ", "wrong": "attempts: expected 9, got 1"}
    kit.write([{"name": name, "expect": {"attempts": 9} if name == "wrong" else {}, "config": {"url": f"{web.url}/{name}", "max_retries": 0}, "http": f"{name}.json"} for name in reasons])
    for name, finding in kit.findings(HTTP, "--record", expect=1).items():
        assert reasons[name] in finding["reason"] and f"recording `{name}.json` was not written" in finding["reason"], finding
    assert not any("accept-encoding" in request.headers for request in web.requests)
    assert not [*(kit.project.folder / "tests").glob("*.json*")]


def exchange(url: str, response: object, status: int = 200, **more) -> dict:
    return {"request": {"url": url}, "response": {"status": status, "body": {"json": response}} | more}


def test_replay_is_strict_or_lenient_and_names_the_nearest_request(kit, web):
    api = "https://api.example.com/items"
    config = {"url": api, "pagination": {"type": "page", "last_page": "empty"}, "retry_delay": 0}
    pages = [exchange(f"{api}?page={page}", [{"id": page}] if page < 3 else []) for page in (1, 2, 3)]
    two = {"tables": {"main": {"rows": [{"id": 1}, {"id": 2}]}}}
    busy = {**exchange(f"{api}?page=1", {}, 503, headers={"retry-after": "7"})}
    requests = [{"url": f"{api}?page={page}"} for page in (1, 2, 3)]
    base = {"config": config, "expect": two}
    tests = [
        (base | {"name": "in order", "http": pages, "expect": two | {"requests": requests}}, None),
        (base | {"name": "out of order", "http": pages[::-1]}, "no recorded exchange answers `GET https://api.example.com/items?page=1`; the next recorded request is number 1, `GET https://api.example.com/items?page=3`: the parameter `page` is `1` instead of `3`"),
        (base | {"name": "lenient", "http": {"exchanges": pages[::-1], "order": "lenient"}}, None),
        (base | {"name": "none near", "http": {"exchanges": pages[1:], "order": "lenient"}}, "the nearest recorded request"),
        (base | {"name": "unused", "http": [*pages, pages[0]]}, "expected all 4 recorded exchanges to be used, got 3; the first unused is number 4"),
        (base | {"name": "ignored", "http": {"exchanges": [exchange(f"{api}?page=1&now=7", [])], "ignore": ["now"]}, "expect": {}}, None),
        (base | {"name": "other requests", "http": pages, "expect": {"requests": [*requests[:2], {"url": f"{api}?page=9", "body": {"x": 1}}]}}, "request 3: the parameter `page` is `3` instead of `9`\nrequest 3: expected a body with"),
        (base | {"name": "no recording", "expect": {}}, "the recording has none"),
        (base | {"name": "wait", "config": config | {"max_retries": 0}, "http": [busy], "expect": {"error": {"kind": "transient", "retry_after_ms": 7000}}}, None),
        (base | {"name": "other wait", "config": config | {"max_retries": 0}, "http": [busy], "expect": {"error": {"retry_after_ms": 1}}}, "expected retry_after_ms 1, got 7000"),
        # The host runs another attempt, which goes on in the recording, and does not wait as a server wishes.
        (base | {"name": "attempts", "config": config | {"max_retries": 0}, "retries": 1, "http": [busy, *pages], "expect": two | {"attempts": 2}}, None),
    ]
    kit.check(HTTP, tests)
    real = base | {"name": "real", "config": config | {"url": web.route("/items", lambda request: [])}, "expect": {"tables": {"main": {"count": 0}}}}
    kit.check(HTTP, [(real | {"network": {"real": True}, "expect": {"error": {}}}, "expected an error")])
    assert len(web.requests) == 1
    kit.check(HTTP, [(real | {"expect": {}}, "the recording has none")])
    assert len(web.requests) == 1, "only a test that says so connects"


def test_reports_for_people_programs_and_ci(kit):
    good = {"name": "good & <well>", "config": {"query": "select 1 as x"}}
    kit.write([good, good | {"name": "it's \u001b[2J bad", "expect": {"tables": {"main": {"rows": [{"x": "\u0001\u2028]]>"}]}}}}])
    text = kit.osiris(PROCESSOR)
    assert text.returncode == 1 and "ok       good & <well> (" in text.stdout and "1 passed, 1 failed, 0 skipped" in text.stdout
    assert "run it alone: osiris drivers test " in text.stdout and "\u001b" not in text.stdout
    junit = kit.osiris(PROCESSOR, "--junit")
    suite = ElementTree.fromstring(junit.stdout.encode())[0]
    assert junit.returncode == 1 and {**suite.attrib, "time": ""} == {"name": "duckdb.processor@0.1.0", "tests": "2", "failures": "1", "skipped": "0", "errors": "0", "time": ""}
    assert [case.get("classname") for case in suite] == ["all.yaml"] * 2 and "expected" in suite[1][0].get("message")
    only = kit.findings(PROCESSOR, "--only", good["name"], expect=0)
    assert list(only) == [good["name"]] and only[good["name"]]["command"].endswith("--only 'good & <well>'")
    unknown = kit.osiris(PROCESSOR, "--only", "good & well")
    assert unknown.returncode == 2 and "no test or check is called `good & well`; known: `good & <well>`" in unknown.stderr and "did you mean" in unknown.stderr


def test_a_hostile_tests_folder_reaches_nothing_outside_and_is_refused_with_the_place(kit, tmp_path):
    outside = kit.project.write("outside.csv", "a\n1\n")
    (kit.project.folder / "tests").mkdir()
    (kit.project.folder / "tests" / "link.csv").symlink_to(outside)
    (kit.project.folder / "tests" / "link.yaml").symlink_to(outside)
    assert kit.osiris(PROCESSOR).returncode == 2
    (kit.project.folder / "tests" / "link.yaml").unlink()
    query = {"query": "select 1 as x"}
    for test, message in [
        ({"inputs": {"t": {"csv": "../outside.csv"}}}, "cannot read `../outside.csv`"),
        ({"inputs": {"t": {"csv": str(outside)}}}, "cannot read `/"),
        ({"inputs": {"t": {"csv": "link.csv"}}}, "cannot read `link.csv`"),
        ({"files": {"x": {"copy": "link.csv"}}}, "cannot read `link.csv`"),
        ({"http": "../outside.csv"}, "cannot read recording `../outside.csv`"),
        ({"http": "link.csv"}, "cannot read recording `link.csv`"),
        ({"http": [{"request": {"ur": "https://x"}, "response": {}}]}, "exchange 1 is malformed: unknown field `ur`, expected one of `method`, `url`"),
        ({"http": [{"request": {"url": "/x"}, "response": {}}]}, "`url` is not an absolute address"),
        ({"inputs": {"t": {"cvs": "x"}}}, "input `t` has the unknown key `cvs`; known: `sql`, `columns`, `rows`, `csv`"),
        ({"inputs": {"t": {"rows": [[1]]}}}, "needs a declared type"),
        ({"files": {"x.xls": {"sql": "select 1"}}}, "no bundled driver makes or reads file `x.xls`"),
        ({"files": {"x": {"copy": "a", "base64": ""}}}, "file `x` is not one of"),
        ({"config": {}, "expects": {}}, "unknown field `expects`"),
    ]:
        kit.write([{"name": "hostile", "config": query} | test])
        done = kit.osiris(PROCESSOR)
        assert done.returncode == 2 and message in done.stderr and "all.yaml" in done.stderr, done.stderr
    # A file of a test stays in its private folder.
    kit.check(PROCESSOR, [({"name": "out", "config": query, "files": {"../escaped": "x"}}, "cannot create the file `../escaped`")])
    assert not list(tmp_path.parent.rglob("escaped"))
    kit.write([{"name": "a"}, {"name": "a"}])
    assert "two tests are called `a`" in kit.osiris(PROCESSOR).stderr
    kit.write("a: &a [x, x]\nb: &b [*a, *a]\nconfig: {c: [*b, *b]}\n")
    assert kit.osiris(PROCESSOR).returncode == 2


def test_nothing_of_a_test_is_left_behind_even_if_it_is_interrupted(kit):
    marker = f"marker-{kit.project.folder.name}-{os.getpid()}"
    folders = lambda: [*Path("/dev/shm").glob(f"osiris-test-*/{marker}"), *Path(tempfile.gettempdir()).glob(f"osiris-test-*/{marker}")]
    base = {"files": {marker: ""}, "config": {"query": "select 1"}}
    kit.write([base | {"name": "good"}, base | {"name": "bad", "config": {"query": "no"}}])
    assert kit.osiris(PROCESSOR).returncode == 1 and folders() == []
    kit.write([base | {"name": "endless", "config": {"query": "select count(*) as n from range(1000000000000) a, range(1000000) b"}}])
    command = [OSIRIS, "drivers", "test", PROCESSOR, "--tests", "tests", "--no-checks"]
    process = subprocess.Popen(command, cwd=kit.project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not folders():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130 and folders() == []


KINDS = sorted(path.parent.name for path in ROOT.glob("plugins/*/tests"))


@pytest.mark.parametrize("plugin", KINDS)
def test_a_bundled_driver_passes_its_tests(project, plugin):
    family, name = plugin.split("-", 1)
    driver = BUNDLED / f"{family}.{name.replace('-', '_')}.wasm"
    done = project.osiris("drivers", "test", driver, "--tests", ROOT / "plugins" / plugin / "tests")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_about_testing_names_every_key_and_its_example_passes(kit):
    page = (ROOT / "docs/drivers/testing.md").read_text()
    kit.write(re.findall(r"```yaml\n(.*?)```", page, re.S)[0])
    assert {finding["status"] for finding in kit.findings(PROCESSOR, expect=0).values()} == {"passed"}
    for wrong in ("{}", "expect: {}", "expect: {tables: {main: {}}}", "expect: {error: {}}", "network: {}"):
        kit.write(wrong.replace("{}", "{unknown: 1}") if wrong != "{}" else "unknown: 1")
        known = re.search(r"expected (?:one of )?(.*)", kit.osiris(PROCESSOR).stderr)[1]
        missing = [key for key in re.split(r", | or ", known.replace("`", "")) if f"`{key}" not in page and f"{key}:" not in page]
        assert missing == [], f"{wrong}: {known}"
