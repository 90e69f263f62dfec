"""posthog.extractor with a stand-in that answers HogQL as PostHog does."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from http_server import Reply, no_content, truncated, web  # noqa: F401
from http_steps import doctor
from posthog_stand_in import PostHog


@pytest.fixture
def posthog(project, web):
    connect(project, web)
    return PostHog(web)


def connect(project, web, **fields):
    connection = {"url": web.url, "private_network": True, "api_key": "phx_key", "project_id": "42", "region": "self_hosted"} | fields
    project.write("osiris_connections.yaml", json.dumps({"connections": {"posthog": {"main": {name: value for name, value in connection.items() if value is not None}}}}))


def read(project, *, expect: int = 0, **config) -> dict:
    whole = {"connection": "@posthog.main", "data_type": "events", "retry_delay": 0.01, "initial_since": "2024-01-01T00:00:00Z", **config}
    whole = {name: value for name, value in whole.items() if value is not None}
    return project.run([{"id": "read", "component": "posthog.extractor", "config": whole}], expect=expect)


def column(project, name: str = "uuid", **config) -> list:
    result = read(project, **config)
    return [row[0] for row in project.rows(result, "read", f'select "{name}" from main')]


def anew(project, **config) -> dict:
    """A run without knowledge of earlier ones."""
    project.osiris("state", "reset", "read")
    return read(project, **config)


def failed(project, **config) -> dict:
    return read(project, expect=1, **config)["step"]["read"]["error"]


def event(number: int, at: str, name: str = "$pageview", **properties) -> dict:
    return {"uuid": f"u{number:03}", "event": name, "timestamp": at, "distinct_id": f"d{number}", "person_id": f"p{number}", "properties": properties}


def test_all_pages_are_read_and_properties_become_columns(project, posthog):
    """Many rows share a time, and the server returns shorter pages than requested."""
    posthog.most = 4
    posthog.add("events", *(event(n, f"2024-01-02T00:00:0{n // 10}.123456Z", price=n + 0.5, big=12345678901234567890, nested={"a": [n]}) for n in range(30)))
    result = read(project, page_size=7)
    assert project.types(result, "read") == {
        "uuid": "VARCHAR", "event": "VARCHAR", "timestamp": "VARCHAR", "distinct_id": "VARCHAR", "person_id": "VARCHAR",
        "properties_price": "DOUBLE", "properties_big": "DECIMAL(38,0)", "properties_nested": "VARCHAR"}  # fmt: skip
    found = project.rows(result, "read", 'select uuid, properties_price, properties_big::varchar, properties_nested from main')
    assert found == [(f"u{n:03}", n + 0.5, "12345678901234567890", f'{{"a":[{n}]}}') for n in range(30)]
    assert len(posthog.queries) == 9, "an empty page is the end, not a short one"
    whole = anew(project, flatten_properties=False)
    assert project.types(whole, "read")["properties"] == "VARCHAR" and whole["step"]["read"]["rows"] == 30


def test_each_kind_of_data_is_read(project, posthog):
    posthog.add("persons", *({"id": f"p{n}", "created_at": f"2024-01-0{n + 1}T00:00:00Z", "properties": {"email": f"{n}@x.org"}, "is_identified": n == 1} for n in range(3)))
    posthog.add("sessions", *({"session_id": f"s{n}", "$start_timestamp": f"2024-01-0{n + 1}T00:00:00Z", "$session_duration": n} for n in range(3)))
    posthog.add("person_distinct_ids", *({"distinct_id": f"d{n}", "person_id": f"p{n // 2}"} for n in range(5)))
    rows = lambda **config: project.rows(anew(project, page_size=2, **config), "read")
    assert rows(data_type="persons")[1] == ("p1", "2024-01-02T00:00:00Z", True, "1@x.org")
    assert rows(data_type="sessions") == [(f"s{n}", f"2024-01-0{n + 1}T00:00:00Z", n) for n in range(3)]
    assert rows(data_type="person_distinct_ids") == [(f"d{n}", f"p{n // 2}") for n in range(5)]


def test_runs_read_new_and_late_rows_and_nothing_twice(project, posthog):
    posthog.add("events", event(1, "2024-01-02T10:00:00Z"), event(2, "2024-01-02T10:20:00.5Z"))
    assert column(project) == ["u001", "u002"]
    assert column(project) == []
    posthog.add("events", event(3, "2024-01-02T10:10:00Z"), event(4, "2024-01-02T10:20:00.5Z"), event(5, "2024-01-02T11:00:00+00:00"), event(6, "2024-01-02T10:00:01Z"))
    assert column(project) == ["u003", "u004", "u005"], "the last lies before the lookback"
    assert "timestamp >= toDateTime('2024-01-02T10:20:00.5Z') - INTERVAL 15 MINUTE" in posthog.queries[-2]
    assert column(project, deduplication_enabled=False, lookback_window_minutes=60) == ["u001", "u006", "u003", "u002", "u004", "u005"]


def test_the_start_of_the_first_run_is_configurable(project, posthog):
    soon = datetime.now(UTC)
    stamp = lambda days: (soon - timedelta(days=days)).isoformat().replace("+00:00", "Z")
    posthog.add("events", event(1, stamp(40)), event(2, stamp(20)), event(3, stamp(-20)))
    result = project.run([{"id": "read", "component": "posthog.extractor", "config": {"connection": "@posthog.main", "data_type": "events"}}])
    assert [row[0] for row in project.rows(result, "read")] == ["u002"], "one is too old, one is yet to come and blocks nothing"
    assert "last 30 days" in result["stderr"] and "`initial_since`" in result["stderr"]
    posthog.add("events", event(4, stamp(10)))
    assert column(project) == ["u004"]
    assert "write it as ISO 8601" in failed(project, initial_since="yesterday")["message"]


def test_events_are_selected_by_name_for_any_characters(project, posthog):
    names = ["signup", "it's", "a' OR 1=1 OR 'b"]
    posthog.add("events", *(event(n, "2024-01-02T00:00:00Z", name) for n, name in enumerate([*names, "other"])))
    assert column(project, "event", event_types=names) == names
    assert anew(project, event_types=["signup'"])["step"]["read"]["rows"] == 0


def test_the_options_of_python_osiris_are_accepted(project, posthog, web):
    posthog.add("events", event(1, "2024-01-02T00:00:00Z"))
    connect(project, web, url=None, custom_base_url=web.url, project_id=42)
    assert column(project, event_types=["$pageview"], lookback_window_minutes=15, page_size=1000, deduplication_enabled=True) == ["u001"]
    connect(project, web, api_key=None, project_id=None, region=None)
    project.osiris("state", "reset", "read")
    whole = {"connection": None, "api_key": "phx_key", "project_id": "42", "region": "self_hosted", "custom_base_url": web.url}
    assert column(project, **whole) == ["u001"]
    project.osiris("state", "reset", "read")
    connect(project, web, url="https://eu.posthog.com", region="us")
    assert "correct one of both" in failed(project)["message"]


def test_a_missing_url_is_reported_with_those_to_choose_from(project, posthog, web):
    connect(project, web, url=None, region="eu")
    project.pipeline([{"id": "read", "component": "posthog.extractor", "config": {"connection": "@posthog.main", "data_type": "events"}}])
    for told in (project.osiris("validate", "pipeline.yaml"), project.osiris("connections", "doctor", "@posthog.main")):
        assert "`url` is missing in `connection`" in told.stdout + told.stderr
    assert "hint: add `url:` to the connection (PostHog's URL: `https://us.posthog.com` or `https://eu.posthog.com` for the regions" in project.osiris("validate", "pipeline.yaml").stderr
    project.pipeline([{"id": "read", "component": "posthog.extractor", "config": {"data_type": "events", "region": "us"}}])
    told = project.osiris("validate", "pipeline.yaml").stderr
    assert "`custom_base_url` is missing" in told and "`https://us.posthog.com` or `https://eu.posthog.com`" in told


def test_a_wrong_key_or_project_is_reported_and_the_key_is_shown_nowhere(project, posthog, web):
    connect(project, web, api_key="phx_wrong")
    error = failed(project)
    assert error["kind"] == "auth" and "Invalid personal API key" in error["message"] and "phx_wrong" not in json.dumps(error)
    connect(project, web, project_id="43")
    assert "the project does not exist" in failed(project)["message"]
    connect(project, web, project_id="42/../x")
    assert "`project_id` is missing or malformed" in failed(project)["message"]
    connect(project, web)
    code, found = doctor(project, "@posthog.main")
    assert code == 0 and "PostHog at" in found[0]["message"], found
    tables = json.loads(project.osiris("discover", "@posthog.main", "--json").stdout)["tables"]
    assert [table["name"] for table in tables] == ["events", "person_distinct_ids", "persons", "sessions"]


FAULTS = {
    "a limit": (Reply({"detail": "slow"}, 429, {"retry-after": "0"}), None),
    "forbidden for now": (Reply({"detail": "slow"}, 403, {"retry-after": "0"}), None),
    "overloaded": (Reply({}, 529), None),
    "not done yet": (Reply({"query_status": {}}, 202, {"retry-after": "0"}), None),
    "cut off": (truncated(b'{"columns": [', 100), None),
    "a refusal": (Reply({"detail": "no"}, 403), "no"),
    "an error": ({"error": "Unknown table"}, "Unknown table"),
    "no results": ({"columns": ["uuid"]}, "no list `results`"),
    "nothing": (no_content(), "it is empty"),
    "a null row": ({"columns": ["uuid"], "results": [None]}, "row 1"),
    "a short row": ({"columns": ["uuid", "timestamp"], "results": [["u"]]}, "has 1 values"),
    "no time": ({"columns": ["uuid", "timestamp"], "results": [["u", None]]}, "null in `timestamp`"),
    "the same page": ({"columns": ["uuid", "timestamp"], "results": [["u", "2024-01-02T00:00:00Z"]]}, "goes in circles"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_retried_or_reported_and_the_next_run_reads_everything(project, posthog, fault):
    reply, words = FAULTS[fault]
    posthog.add("events", event(1, "2024-01-02T00:00:00Z"))
    posthog.before = lambda request: reply if words or len(posthog.queries) == 1 else None
    if words:
        message = failed(project)["message"]
        assert words in message or ("circles" in words and "the same page twice" in message), message
    posthog.before = lambda request: reply if not words and len(posthog.queries) == 1 else None
    assert column(project) == ["u001"]


def test_a_run_without_records_creates_a_table_with_the_known_columns(project, posthog):
    result = read(project, dtype={"uuid": "VARCHAR", "timestamp": "TIMESTAMPTZ"})
    assert project.types(result, "read") == {"uuid": "VARCHAR", "timestamp": "TIMESTAMP WITH TIME ZONE"}
    posthog.add("events", event(1, "2024-01-02T00:00:00.5Z"))
    rows = project.rows(read(project, dtype={"timestamp": "TIMESTAMPTZ"}), "read", "select epoch_ms(timestamp) from main")
    assert rows == [(1704153600500,)]
