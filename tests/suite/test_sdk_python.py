"""Drivers that the Python SDK builds, run by osiris. What the SDK does by itself is tested natively in sdk/python/tests."""

import json

import languages
import pytest
from http_server import web  # noqa: F401  # a fixture
from languages import driver

SDK = languages.SDK / "python"


@pytest.fixture(scope="session")
def drivers(tmp_path_factory):
    """A folder with the SDK's example drivers and a faulty one."""
    folder = tmp_path_factory.mktemp("python-drivers")
    sources = [SDK / "examples" / name for name in ("hello", "rest", "columns")] + [SDK / "tests" / "drivers" / "faulty"]
    for source in sources:
        driver(source / "driver.py", folder)
    return folder


def test_rows_columns_and_pages_arrive_with_their_types(project, drivers, web):
    items = [
        {
            "id": number,
            "name": None if number % 7 == 0 else f"naïve ☃ {number} 😀",
            "amount": number + 0.25,
            "tags": ["a", None],
            "created_at": "2024-01-31T10:00:00.000001+02:00",
        }
        for number in range(1, 26)
    ]
    asked = []

    def page(request):
        asked.append(request)
        number = int(request.query.get("page", "1"))
        return {"items": items[(number - 1) * 10 : number * 10], "next": number + 1 if number < 3 else None}

    web.route("/items", page)
    project.write("osiris_connections.yaml", json.dumps({"connections": {"items": {"main": {"url": web.url}}}}))
    select = (
        "select i::integer as qty, 'ü' || i as name, case when i % 3 = 0 then null else [1, null] end as tags, i::hugeint * 10**20::hugeint as big, "
        "uuid() as key, 'a'::enum('a', 'b') as mood, timestamptz '2024-01-01 00:00:00+00' as moment, map {'k': i} as m from range(5000) t(i)"
    )
    result = project.run(
        [
            {"id": "hello", "component": "example.hello_python", "mode": "read", "config": {"names": ["Ada", "☃ 😀"]}},
            {"id": "rest", "component": "example.rest_python", "mode": "read", "config": {"url": web.url, "token": "t0ken-of-the-test", "page_size": 10}},
            {"id": "source", "component": "duckdb.processor", "mode": "transform", "needs": [], "config": {"query": select}},
            {"id": "columns", "component": "example.columns_python", "mode": "transform", "needs": ["source"], "config": {}},
        ],
        "--drivers", drivers,
    )  # fmt: skip
    assert project.rows(result, "hello") == [("hello Ada",), ("hello ☃ 😀",)]
    assert project.types(result, "rest") == {
        "id": "BIGINT", "name": "VARCHAR", "amount": "DECIMAL(18,2)", "tags": "VARCHAR[]", "created_at": "TIMESTAMP WITH TIME ZONE",
    }  # fmt: skip
    rest = project.rows(result, "rest", "select id, name, amount::varchar, tags, epoch_us(created_at) from main")
    assert rest == [
        (item["id"], item["name"], f"{item['amount']:.2f}", item["tags"], 1_706_688_000_000_001) for item in items
    ]
    assert len(asked) == 3 and all(request.headers["authorization"] == "Bearer t0ken-of-the-test" for request in asked)
    source = project.types(result, "source")
    assert project.types(result, "columns") == source | {"upper": "VARCHAR", "tag_count": "BIGINT"}
    columns = project.rows(result, "columns", "select qty, name, upper, tag_count from main order by qty")
    assert columns == [(2 * i, f"ü{i}", f"Ü{i}", None if i % 3 == 0 else 2) for i in range(5000)]
    untouched = "select big, key, mood::varchar, moment, m, tags from main"
    with project.database(result, "source") as before, project.database(result, "columns") as after:
        assert before.execute(untouched).fetchall() == after.execute(untouched).fetchall()


def test_an_exception_says_what_it_is_and_where_and_random_numbers_differ(project, drivers):
    step = {"component": "test.faulty_python", "mode": "read"}
    result = project.run(
        [
            {"id": "works", "config": {"rows": 3}} | step,
            {"id": "fails", "config": {"rows": 100_000, "fails": True}} | step,
        ],
        "--drivers",
        drivers,
        expect=1,
    )
    assert result["step"]["works"]["rows"] == 3
    assert "ValueError: boom (driver.py:14)" in str(result["step"]["fails"]["error"])
    logged = [event["message"] for event in project.events(result) if event.get("event") == "driver_log"]
    drawn = [message for message in logged if message.startswith("drew 0.")]
    assert len(drawn) == 2 and drawn[0] != drawn[1]
    assert any(message.startswith("Traceback") and message.endswith("ValueError: boom") for message in logged)
