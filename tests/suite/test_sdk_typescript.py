"""Drivers that the TypeScript SDK builds, run by osiris. What the SDK does by itself is tested natively in
sdk/typescript/tests."""

import json

import languages
import pytest
from http_server import Reply, web  # noqa: F401  # a fixture
from languages import driver

SDK = languages.SDK / "typescript"
TOKEN = "t0ken-of-the-test"


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
    items = [
        {"id": number, "name": None if number % 7 == 0 else f"naïve ☃ {number} 😀", "amount": number + 0.25, "tags": ["a", None],
         "created_at": "2024-01-31T10:00:00.000001+02:00"}
        for number in range(1, 26)
    ]  # fmt: skip

    def page(request):
        if request.number == 2:
            return Reply({}, 429, {"Retry-After": "0"})
        number = int(request.query.get("page", "1"))
        return {"items": items[(number - 1) * 10 : number * 10], "next": number + 1 if number < 3 else None}

    web.route("/items", page)
    connections(project, web)
    select = (
        "select i::integer as qty, 'ü' || i as name, case when i % 3 = 0 then null else [1, null] end as tags, i::hugeint * 10**20::hugeint as big, "
        "uuid() as key, 'a'::enum('a', 'b') as mood, timestamptz '2024-01-01 00:00:00+00' as moment, map {'k': i} as m from range(5000) t(i)"
    )
    result = project.run(
        [
            {"id": "hello", "component": "example.hello_typescript", "config": {"names": ["Ada", "☃ 😀"]}},
            {"id": "rest", "component": "example.rest_typescript", "config": {"url": web.url, "token": TOKEN, "page_size": 10}},
            project.sql(select),
            {"id": "columns", "component": "example.columns_typescript", "needs": ["source"], "config": {}},
            {"id": "web", "component": "test.web_typescript", "config": {"numbers": [1, 2, 3]}},
        ],
        "--drivers", drivers, env={"TOKEN": TOKEN},
    )  # fmt: skip
    assert project.rows(result, "hello") == [("hello Ada",), ("hello ☃ 😀",)]
    assert project.types(result, "rest") == {
        "id": "BIGINT", "name": "VARCHAR", "amount": "DECIMAL(18,2)", "tags": "VARCHAR[]", "created_at": "TIMESTAMP WITH TIME ZONE",
    }  # fmt: skip
    rest = project.rows(result, "rest", "select id, name, amount::varchar, tags, epoch_us(created_at) from main")
    assert rest == [
        (item["id"], item["name"], f"{item['amount']:.2f}", item["tags"], 1_706_688_000_000_001) for item in items
    ]
    assert len(web.requests) == 4 and {request.headers["authorization"] for request in web.requests} == {
        f"Bearer {TOKEN}"
    }
    source = project.types(result, "source")
    assert project.types(result, "columns") == source | {"upper": "VARCHAR", "tag_count": "BIGINT"}
    columns = project.rows(result, "columns", "select qty, name, upper, tag_count from main order by qty")
    assert columns == [(2 * i, f"ü{i}", f"Ü{i}", None if i % 3 == 0 else 2) for i in range(5000)]
    untouched = "select big, key, mood::varchar, moment, m, tags from main"
    with project.database(result, "source") as before, project.database(result, "columns") as after:
        assert before.execute(untouched).fetchall() == after.execute(untouched).fetchall()
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
