"""Drivers that the TypeScript SDK builds, run by osiris. What the SDK does by itself is tested natively in
sdk/typescript/tests."""

import json

import languages
import pytest
from http_server import Reply, web  # noqa: F401  # a fixture
from languages import driver
from sdk_examples import TOKEN, run_examples

SDK = languages.SDK / "typescript"


@pytest.fixture(scope="session")
def drivers(tmp_path_factory):
    """A folder with the SDK's example drivers, a writer, and an extractor that StarlingMonkey runs."""
    folder = tmp_path_factory.mktemp("typescript-drivers")
    sources = [SDK / "examples" / name for name in ("hello", "rest", "columns")] + [SDK / "tests" / "drivers" / "post"]
    for source in sources:
        driver(source / "driver.ts", folder)
    driver(SDK / "tests" / "drivers" / "web" / "driver.ts", folder, "--engine", "starlingmonkey")
    return folder


def connections(project, web):
    api = {"url": web.url, "private_network": True, "token": "${TOKEN}"}
    project.write("osiris_connections.yaml", json.dumps({"connections": {"api": {"main": api}}}))


def test_rows_columns_and_pages_arrive_with_their_types(project, drivers, web):
    web_step = {"id": "web", "component": "test.web_typescript", "config": {"numbers": [1, 2, 3]}}
    result = run_examples(project, web, drivers, "typescript", web_step)
    assert project.types(result, "web")["big"] == "HUGEINT"
    assert project.rows(result, "web", "select sum, text, path, big from main") == [(6, "žluť 😀", "/b", 2**64)]


def test_a_writer_posts_rows_and_an_exception_says_what_it_is_and_where(project, drivers, web):
    posted = []

    def post(request):
        posted.append(request.body.decode())
        return Reply(None, 201)

    web.route("/rows", post)
    connections(project, web)
    select = "select 9007199254740993 as id, 'žluť 😀' as text, 1.50::decimal(5,2) as price, null as none, {a: [1.0]} as part"
    step = {"component": "test.post_typescript", "needs": ["source"]}
    steps = [project.sql(select), step | {"id": "post", "config": {"connection": "@api.main"}}]
    for attempt in (1, 2):
        result = project.run(steps, "--drivers", drivers, env={"TOKEN": TOKEN})
        assert [one["value"] for one in project.metrics(result) if one["metric"] == "posted"] == [attempt]
    # JavaScript does not tell 1.0 from 1.
    assert posted == ['{"id":9007199254740993,"text":"žluť 😀","price":1.5,"none":null,"part":{"a":[1]}}'] * 2
    steps[1]["config"]["fails"] = True
    result = project.run(steps, "--drivers", drivers, env={"TOKEN": TOKEN}, expect=1)
    error = result["step"]["post"]["error"]
    assert error["kind"] == "internal" and error["message"] == "RangeError: boom (driver.ts:21)"
    drawn = {event["message"] for event in project.events(result) if event.get("event") == "driver_log"}
    assert any(message.startswith("RangeError: boom\n") for message in drawn)
    assert len([message for message in drawn if message.startswith("drew 0.")]) == 1


def test_connections_are_checked_and_discovered(project, drivers, web):
    web.route("/version", lambda _: {"number": 7})
    connections(project, web)

    def osiris(*command):
        place = ("@api.main", "--driver", "test.post_typescript", "--drivers", drivers, "--json")
        done = project.osiris(*command, *place, env={"TOKEN": TOKEN})
        return json.loads(done.stdout)

    assert osiris("connections", "doctor")[0]["message"] == "Rows 7"
    column = {"name": "id", "source_type": "int8", "duckdb_type": "BIGINT", "nullable": False}
    assert osiris("discover")["tables"] == [
        {"schema": None, "name": web.url, "columns": [], "primary_key": [], "estimated_rows": None},
        {"schema": "s", "name": "rows", "columns": [column], "primary_key": ["id"], "estimated_rows": 1 << 40},
    ]
