"""The example drivers of an SDK, run by osiris: a greeting, a paged REST API, and a processor of columns."""

import json

from http_server import Reply

TOKEN = "t0ken-of-the-test"
ITEMS = [
    {"id": number, "name": None if number % 7 == 0 else f"naïve ☃ {number} 😀", "amount": number + 0.25, "tags": ["a", None], "created_at": "2024-01-31T10:00:00.000001+02:00"}
    for number in range(1, 26)
]
TYPES = {"id": "BIGINT", "name": "VARCHAR", "amount": "DECIMAL(18,2)", "tags": "VARCHAR[]", "created_at": "TIMESTAMP WITH TIME ZONE"}
ROWS = (
    "select i::integer as qty, 'ü' || i as name, case when i % 3 = 0 then null else ['1', null] end as tags, i::hugeint * 10**20::hugeint as big, "
    "uuid() as key, 'a'::enum('a', 'b') as mood, timestamptz '2024-01-01 00:00:00+00' as moment, map {'k': i} as m from range(5000) t(i)"
)


def page(request):
    """A page of the items. The second request is refused for a moment."""
    if request.number == 2:
        return Reply({}, 429, {"Retry-After": "0"})
    number = int(request.query.get("page", "1"))
    return {"items": ITEMS[(number - 1) * 10 : number * 10], "next": number + 1 if number < 3 else None}


def run_examples(project, web, drivers, language: str, *more: dict) -> dict:
    """Runs the examples of a language, and `more` steps; checks what the examples make, and returns the result."""
    web.route("/items", page)
    project.write("osiris_connections.yaml", json.dumps({"connections": {"items": {"main": {"url": web.url, "private_network": True}}}}))
    columns = {"component": f"example.columns_{language}", "config": {}}
    result = project.run(
        [
            {"id": "hello", "component": f"example.hello_{language}", "config": {"names": ["Ada", "☃ 😀"]}},
            {"id": "rest", "component": f"example.rest_{language}", "config": {"url": web.url, "token": TOKEN, "page_size": 10}},
            project.sql(ROWS),
            columns | {"id": "columns", "needs": ["source"]},
            {"id": "none", "component": "duckdb.processor", "needs": ["source"], "config": {"query": "from source limit 0"}},
            columns | {"id": "empty", "needs": ["none"]},
            *more,
        ],
        "--drivers", drivers,
    )  # fmt: skip
    assert project.rows(result, "hello") == [("hello Ada",), ("hello ☃ 😀",)]
    assert list(project.types(result, "rest").items()) == list(TYPES.items())
    rest = project.rows(result, "rest", "select id, name, amount::varchar, tags, epoch_us(created_at) from main")
    assert rest == [(item["id"], item["name"], f"{item['amount']:.2f}", item["tags"], 1_706_688_000_000_001) for item in ITEMS]
    assert len(web.requests) == 4 and {request.headers["authorization"] for request in web.requests} == {f"Bearer {TOKEN}"}
    assert project.types(result, "columns") == project.types(result, "source") | {"upper": "VARCHAR", "tag_count": "BIGINT"}
    assert project.types(result, "empty") == project.types(result, "columns") and project.rows(result, "empty") == []
    made = project.rows(result, "columns", "select qty, name, upper, tag_count from main order by qty")
    assert made == [(2 * i, f"ü{i}", f"Ü{i}", None if i % 3 == 0 else 2) for i in range(5000)]
    untouched = "select big, key, mood::varchar, moment, m, tags from main"
    with project.database(result, "source") as before, project.database(result, "columns") as after:
        assert before.execute(untouched).fetchall() == after.execute(untouched).fetchall()
    return result
