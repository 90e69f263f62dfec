"""http.extractor with a real web server: logins, pages, types, incremental reads; see also test_http_faults.py."""

import base64
import json
import time
from decimal import Decimal

import pytest
from http_server import Reply, web  # noqa: F401
from http_steps import SECRET, doctor, failed, grant, read, rows, step


# Logins


def only_for(right: str):
    """Responds only to requests with that Authorization."""
    return lambda request: [{"n": 1}] if request.headers.get("authorization") == right else Reply({"message": "who are you?"}, 401)


BASIC = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()


@pytest.mark.parametrize(
    ("right", "auth", "connection"),
    [
        ("Bearer t0ken", {"type": "bearer", "token": "t0ken"}, {"token": "t0ken"}),
        (BASIC, {"type": "basic", "username": "me", "password": SECRET}, {"username": "me", "password": SECRET}),
    ],
    ids=["bearer", "basic"],
)
def test_a_login_of_step_or_connection_is_sent_and_a_wrong_one_is_auth(project, web, right, auth, connection):
    url = web.route("/items", only_for(right))
    grant(project, web)
    assert rows(project, url=url, auth=auth) == [(1,)]
    grant(project, web, **connection)
    assert rows(project, connection="@http.api0", path="/items") == [(1,)]
    error = failed(project, url=url, auth={name: "wrong" if name in ("token", "password") else value for name, value in auth.items()})
    assert error["kind"] == "auth"
    assert "`GET http://127.0.0.1" in error["message"] and "who are you?" in error["message"]


def test_an_api_key_is_sent_in_header_or_query(project, web):
    by_header = lambda request: [{"n": 1}] if request.headers.get("x-api-key") == "k1" else Reply({}, 401)
    by_name = lambda request: [{"n": 2}] if request.headers.get("x-mine") == "k1" else Reply({}, 401)
    by_query = lambda request: [{"n": 3}] if request.query == {"a": "1", "key": SECRET} else Reply({}, 401)
    one, two, three = (web.route(f"/{n}", handler) for n, handler in enumerate((by_header, by_name, by_query)))
    grant(project, web, api_key="k1", key_name="X-Mine")
    assert rows(project, url=one, auth={"type": "api_key", "key": "k1"}) == [(1,)]
    assert rows(project, connection="@http.api0", path="/1") == [(2,)]
    in_query = {"type": "api_key", "in": "query", "name": "key", "key": SECRET}
    assert rows(project, url=three, params={"a": 1}, auth=in_query) == [(3,)]


def test_secrets_in_headers_params_and_body_are_sent_and_shown_nowhere(project, web):
    def handler(request):
        right = request.headers.get("authorization") == f"Custom {SECRET}" and request.query.get("access_token") == SECRET
        right = right and request.json == {"filter": {"password": SECRET, "n": 1}, "x": [{"api_key": SECRET}]}
        return Reply({"echo": request.query, "headers": request.headers["authorization"]}, 400 if right else 500)

    url = web.route("/items", handler)
    grant(project, web)
    config = {"headers": {"Authorization": f"Custom {SECRET}"}, "params": {"access_token": SECRET}, "method": "POST",
              "body": {"filter": {"n": 1, "password": SECRET}, "x": [{"api_key": SECRET}]}}  # fmt: skip
    result = read(project, expect=1, url=url, **config)
    assert "answered 400" in result["step"]["read"]["error"]["message"]
    assert SECRET not in json.dumps(result, ensure_ascii=False)
    told = "".join(path.read_text() for path in project.folder.rglob("*") if path.suffix in (".jsonl", ".yaml", ".json") and "sessions" in str(path))
    assert "answered 400" in told and SECRET not in told and json.dumps(SECRET)[1:-1] not in told


@pytest.mark.parametrize("client_auth", ["basic", "body"])
def test_oauth2_obtains_a_token_and_renews_one_that_is_refused(project, web, client_auth):
    bought = []

    def token(request):
        form = dict(part.split("=", 1) for part in request.body.decode().split("&"))
        basic = "Basic " + base64.b64encode(b"app:hidden").decode()
        known = request.headers.get("authorization") == basic if client_auth == "basic" else form.get("client_secret") == "hidden"
        if not known or form["grant_type"] != "client_credentials" or form["scope"] != "read%3Aall":
            return Reply({"error": "invalid_client"}, 400)
        bought.append(f"t{len(bought)}")
        return {"access_token": bought[-1], "token_type": "bearer", "expires_in": 3600}

    def items(request):
        # The first token is revoked after the first page.
        right = "t0" if request.number == 1 else "t1"
        if request.headers.get("authorization") != f"Bearer {right}":
            return Reply({"error": "expired"}, 401)
        return [{"page": int(request.query["page"])}] if int(request.query["page"]) < 3 else []

    url, auth_url = web.route("/items", items), web.route("/token", token)
    grant(project, web)
    auth = {"type": "oauth2", "url": auth_url, "client_id": "app", "client_secret": "hidden", "scope": "read:all", "client_auth": client_auth}
    assert rows(project, url=url, auth=auth, pagination={"type": "page"}) == [(1,), (2,)]
    assert bought == ["t0", "t1"]
    error = failed(project, url=url, auth=auth | {"client_secret": "wrong"})
    assert error["kind"] == "auth" and "cannot get a token" in error["message"]


# Pages


def numbered(count: int, size: int):
    """Pages of records by number, offset or cursor."""
    everything = [{"n": n} for n in range(count)]

    def handler(request):
        start = (int(request.query["page"]) - 1) * size if "page" in request.query else int(request.query.get("offset", 0))
        page = everything[start : start + size]
        more = start + size < count
        return {"items": page, "more": more, "next": start + size if more else None}

    return handler


PAGES = {
    "page": ({"type": "page"}, 4),
    "page, short": ({"type": "page", "last_page": "short"}, 3),
    "page, has_more": ({"type": "page", "has_more_path": "$.more"}, 3),
    "offset": ({"type": "offset", "size_param": "limit", "size": 4}, 4),
    "cursor": ({"type": "cursor", "param": "offset", "path": "next"}, 3),
}


@pytest.mark.parametrize("kind", PAGES)
def test_all_pages_are_read(project, web, kind):
    pagination, requests = PAGES[kind]
    url = web.route("/items", numbered(10, 4))
    grant(project, web)
    result = read(project, url=url, records_path="$.items", pagination=pagination)
    assert project.rows(result, "read") == [(n,) for n in range(10)]
    assert len(web.requests) == requests
    metrics = {metric["metric"]: metric["value"] for metric in project.metrics(result) if "metric" in metric}
    assert metrics["requests_sent"] == metrics["pages_read"] == requests


def test_links_and_next_addresses_are_followed_with_the_login(project, web):
    def linked(request):
        assert request.headers["authorization"] == "Bearer t"
        page = int(request.query.get("p", 0))
        headers = {"link": f'</items?p={page + 1}&size=1>; rel="next", </items?p=9>; rel="last"'} if page < 2 else {}
        return Reply([{"n": page, "size": request.query.get("size")}], headers=headers)

    def addressed(request):
        page = int(request.query.get("p", 0))
        return {"data": [{"n": page}], "links": {"next": f"{web.url}/more/x?p={page + 1}" if page < 2 else None}}

    web.route("/items", linked)
    web.route("/more", addressed)
    web.route("/more/x", addressed)
    grant(project, web)
    auth = {"type": "bearer", "token": "t"}
    by_link = rows(project, url=web.url + "/items", params={"size": 7}, auth=auth, pagination={"type": "link"})
    assert by_link == [(0, "7"), (1, "1"), (2, "1")]
    by_url = rows(project, url=web.url + "/more", records_path="data[*]", pagination={"type": "next_url", "path": "links.next"})
    assert by_url == [(0,), (1,), (2,)]


def test_pages_are_requested_in_the_body_and_posts_are_sent(project, web):
    def handler(request):
        assert request.method == "POST" and request.headers["content-type"] == "application/json"
        page = request.json["page"]
        return [{"page": page, "q": request.json["q"]}] if page < 3 else []

    url = web.route("/search", handler)
    grant(project, web)
    pagination = {"type": "page", "in": "body"}
    assert rows(project, url=url, method="POST", body={"q": "x"}, pagination=pagination) == [(1, "x"), (2, "x")]


def test_a_last_page_may_be_recognised_by_not_found(project, web):
    url = web.route("/items", lambda request: [{"n": 1}] if request.query["page"] == "1" else Reply({}, 404))
    grant(project, web)
    assert rows(project, url=url, pagination={"type": "page", "last_page": "not_found"}) == [(1,)]
    assert failed(project, url=url, pagination={"type": "page"})["kind"] == "not-found"


CIRCLES = {
    "the same page twice": (lambda request: {"items": [{"n": 1}]}, {"type": "page"}, "the same page twice"),
    "the same cursor twice": (
        lambda request: {"items": [{"n": request.number}], "next": "a"}, {"type": "cursor", "path": "next"}, "goes in circles"),
    "too many pages": (lambda request: {"items": [{"n": request.number}]}, {"type": "page"}, "more than 5 pages"),
    "another host": (
        lambda request: {"items": [], "next": "http://169.254.169.254/latest"}, {"type": "next_url", "path": "next"}, "another origin"),
}  # fmt: skip


@pytest.mark.parametrize("circle", CIRCLES)
def test_a_server_that_goes_in_circles_ends_the_step(project, web, circle):
    handler, pagination, words = CIRCLES[circle]
    url = web.route("/items", handler)
    grant(project, web)
    error = failed(project, url=url, records_path="items", pagination=pagination, max_pages=5)
    assert words in error["message"]


def test_pages_that_may_be_equal_are_read(project, web):
    url = web.route("/items", lambda request: [{"n": 1}] if int(request.query["page"]) < 4 else [])
    grant(project, web)
    assert rows(project, url=url, pagination={"type": "page"}, allow_repeated_pages=True) == [(1,)] * 3


# Types


def test_a_later_page_widens_columns_and_adds_some(project, web):
    pages = [
        [{"id": 1, "v": 1, "s": "a", "o": {"x": 1}, "l": [1], "mixed": 1, "null": None, "big": 1, "any": {"a": 1}}],
        [{"id": 2, "v": 2.5, "s": None, "o": {"x": 1.5, "y": "é"}, "l": [], "mixed": "x", "big": 2**63, "any": [1], "late": True}],
        [],
    ]
    url = web.route("/items", lambda request: pages[int(request.query["page"]) - 1])
    grant(project, web)
    result = read(project, url=url, pagination={"type": "page"})
    assert project.types(result, "read") == {
        "id": "BIGINT", "v": "DOUBLE", "s": "VARCHAR", "o": "STRUCT(x DOUBLE, y VARCHAR)", "l": "BIGINT[]", "mixed": "VARCHAR",
        "null": "VARCHAR", "big": "DECIMAL(38,0)", "any": "JSON", "late": "BOOLEAN"}  # fmt: skip
    assert project.rows(result, "read") == [
        (1, 1.0, "a", {"x": 1.0, "y": None}, [1], "1", None, Decimal(1), '{"a":1}', None),
        (2, 2.5, None, {"x": 1.5, "y": "é"}, [], "x", None, Decimal(2**63), "[1]", True),
    ]


def test_nested_records_agree_with_duckdbs_own_reader(project, web):
    records = [{"id": n, "tags": [f"t{k}" for k in range(n % 4)] if n % 5 else None,
                "geo": {"at": [n / 7, -n], "place": {"name": f"ort {n} ü", "open": n % 2 == 0}} if n % 3 else None,
                "lines": [{"sku": f"{k}", "price": k + 0.5} for k in range(n % 3)]} for n in range(500)]  # fmt: skip
    size = 37
    url = web.route("/items", lambda request: records[int(request.query["offset"]) :][:size])
    grant(project, web)
    result = read(project, url=url, pagination={"type": "offset"})
    file = project.write("all.json", json.dumps(records))
    with project.database(result, "read") as connection:
        theirs = f"select * from read_json('{file}', sample_size=-1)"
        assert connection.execute("select count(*) from main").fetchone() == (500,)
        difference = f"(select id, tags, geo, lines from main except {theirs}) union all ({theirs} except select id, tags, geo, lines from main)"
        assert connection.execute(difference).fetchall() == []


def test_nested_objects_are_flattened(project, web):
    url = web.route("/items", lambda _: [{"id": 1, "a": {"b": {"c": 1}, "l": [1]}}, {"id": 2, "a": None}])
    grant(project, web)
    result = read(project, url=url, flatten=True)
    assert project.types(result, "read") == {"id": "BIGINT", "a_b_c": "BIGINT", "a_l": "BIGINT[]"}
    assert project.rows(result, "read") == [(1, 1, [1]), (2, None, None)]


def test_declared_types_are_parsed_from_texts(project, web):
    url = web.route("/items", lambda _: [{"at": "2024-02-29T12:00:00.5+02:00", "day": "2024-02-29", "amount": "12.350", "gone": 1, "raw": {"a": [1]}}, {"day": ""}])
    grant(project, web)
    dtype = {"at": "TIMESTAMPTZ", "day": "DATE", "amount": "DECIMAL(10,2)", "gone": "VARCHAR", "raw": "JSON"}
    result = read(project, url=url, dtype=dtype)
    assert sorted(project.types(result, "read").items()) == sorted({name: kind.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE") for name, kind in dtype.items()}.items())
    text = project.rows(result, "read", "select (main.at at time zone 'UTC')::text, day::text, amount, gone, raw::text from main")
    assert text == [("2024-02-29 10:00:00.5", "2024-02-29", Decimal("12.35"), "1", '{"a":[1]}'), (None,) * 5]
    error = failed(project, url=url, dtype={"at": "DATE"})
    assert error["kind"] == "data" and "record 1 has a text in `at`" in error["message"]
    assert "there are: BOOLEAN" in failed(project, url=url, dtype={"at": "NUMBRE"})["message"]


def test_a_run_without_records_creates_a_table_with_the_known_columns(project, web):
    url = web.route("/items", lambda _: [])
    grant(project, web)
    result = read(project, url=url, dtype={"id": "BIGINT", "name": "VARCHAR"})
    assert project.types(result, "read") == {"id": "BIGINT", "name": "VARCHAR"}
    result = read(project, url=url)
    assert project.types(result, "read") == {"record": "JSON"} and "no columns" in result["stderr"]


def test_the_error_for_a_wrong_records_path_names_what_exists(project, web):
    url = web.route("/items", lambda _: {"data": [], "meta": 1})
    grant(project, web)
    error = failed(project, url=url, records_path="$.itmes")
    assert "`$.itmes`" in error["message"] and "an object of `data`, `meta`" in error["message"]
    result = read(project, url=url, records_path="$.itmes", missing_records="empty")
    assert result["step"]["read"]["rows"] == 0
    assert "not a JSONPath" in failed(project, url=url, records_path="$[")["message"]


def test_many_records_take_no_more_memory_than_few(project, web):
    """Beyond `hold_mb` the table is started, and further records are written directly."""
    page = [{"id": n, "text": f"{(n * 2654435761) % 2**32:x}" * 16} for n in range(5_000)]
    url = web.route("/items", lambda request: [{**record, "page": int(request.query["page"])} for record in page] if int(request.query["page"]) <= 20 else [])
    grant(project, web)
    policy = project.write("policy.yaml", json.dumps({"http": [f"GET,POST {web.url}/"], "private_hosts": ["127.0.0.1"], "limits": {"guest_memory": "64MB"}}))
    result = project.run([step(url=url, pagination={"type": "page"}, hold_mb=2)], "--policy", str(policy))
    assert project.rows(result, "read", "select count(*), sum(id), max(page) from main") == [(100_000, 20 * 12_497_500, 20)]


# New records


class Growing:
    """A growing list of records, of which a server returns those since a value, interpreted as "from" or as "after"."""

    def __init__(self, inclusive: bool):
        self.records: list[dict] = []
        self.inclusive = inclusive
        self.asked: list[str | None] = []

    def add(self, *records: dict):
        self.records.extend(records)

    def __call__(self, request):
        since = request.query.get("since")
        self.asked.append(since)
        if since is None:
            return self.records
        newer = lambda at: at is not None and (at >= since if self.inclusive else at > since)
        return [record for record in self.records if newer(record["at"])]


CURSOR = {"param": "since", "field": "at"}


@pytest.mark.parametrize("inclusive", [True, False])
def test_runs_read_new_records_with_ties_and_nulls_exactly_once(project, web, inclusive):
    growing = Growing(inclusive)
    url = web.route("/items", growing)
    grant(project, web)
    new = lambda: [row[0] for row in rows(project, url=url, cursor=CURSOR)]
    growing.add({"id": 1, "at": "2024-01-01"}, {"id": 2, "at": "2024-01-02"}, {"id": 3, "at": None}, {"id": 4, "at": "2024-01-02"})
    assert new() == [1, 2, 3, 4]
    result = read(project, url=url, cursor=CURSOR)
    assert result["step"]["read"]["rows"] == 0
    assert project.types(result, "read") == {"id": "BIGINT", "at": "VARCHAR"}
    growing.add({"id": 5, "at": "2024-01-03"})
    assert new() == [5]
    # A record that appears late with the value that was the highest: only a server that interprets "since" as "from"
    # returns it.
    growing.add({"id": 6, "at": "2024-01-03"})
    assert new() == ([6] if inclusive else [])
    assert new() == []
    assert growing.asked[0] is None and growing.asked[-1] == "2024-01-03"


def test_a_server_that_ignores_the_cursor_delivers_nothing_twice(project, web):
    records = [{"id": n, "meta": {"at": n}} for n in range(5)]
    url = web.route("/items", lambda _: records)
    grant(project, web)
    cursor = {"param": "since", "field": "meta.at", "initial": 0}
    assert len(rows(project, url=url, cursor=cursor)) == 5
    assert web.requests[0].query == {"since": "0"}
    records.append({"id": 9, "meta": {"at": 9}})
    assert [row[0] for row in rows(project, url=url, cursor=cursor)] == [9]


def test_a_failed_run_in_between_loses_nothing(project, web):
    growing = Growing(True)
    broken = {"page": None}

    def handler(request):
        if request.query["page"] == broken["page"]:
            return Reply({"message": "down"}, 500)
        return growing(request) if request.query["page"] == "1" else []

    url = web.route("/items", handler)
    grant(project, web)
    config = {"url": url, "cursor": CURSOR, "pagination": {"type": "page"}, "max_retries": 0}
    growing.add({"id": 1, "at": "2024-01-01"})
    assert rows(project, **config) == [(1, "2024-01-01")]
    growing.add({"id": 2, "at": "2024-01-02"})
    broken["page"] = "2"
    assert read(project, expect=1, **config)["step"]["read"]["error"]["kind"] == "transient"
    broken["page"] = None
    assert rows(project, **config) == [(2, "2024-01-02")]


def test_records_that_a_later_step_fails_on_are_read_again(project, web):
    growing = Growing(True)
    url = web.route("/items", growing)
    grant(project, web)
    growing.add({"id": 1, "at": "2024-01-01"})
    check = {"id": "check", "component": "duckdb.processor", "config": {"query": "select error('no') from read"}}
    result = project.run([step(url=url, cursor=CURSOR), check], expect=1)
    assert result["step"]["read"]["rows"] == 1 and result["step"]["check"]["status"] == "failed"
    assert rows(project, url=url, cursor=CURSOR) == [(1, "2024-01-01")]
    assert rows(project, url=url, cursor=CURSOR) == []


def test_types_never_get_narrower_from_run_to_run(project, web):
    growing = Growing(True)
    url = web.route("/items", growing)
    grant(project, web)
    growing.add({"v": 1.5, "at": "1"})
    read(project, url=url, cursor=CURSOR)
    growing.add({"v": 2, "at": "2", "new": 1})
    result = read(project, url=url, cursor=CURSOR)
    assert project.types(result, "read") == {"v": "DOUBLE", "at": "VARCHAR", "new": "BIGINT"}


# Waiting and limits


def test_requests_keep_to_the_rate(project, web):
    url = web.route("/items", numbered(4, 1))
    grant(project, web)
    start = time.monotonic()
    read(project, url=url, records_path="items", pagination={"type": "page"}, requests_per_second=4)
    assert time.monotonic() - start >= 1


def test_a_limit_is_respected(project, web):
    url = web.route("/items", numbered(10, 4))
    grant(project, web)
    assert rows(project, url=url, records_path="items", pagination={"type": "page"}, limit=5) == [(n,) for n in range(5)]
    assert len(web.requests) == 2


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"url": "{url}/items", "path": "x"}, "both `url` and `path`"),
        ({"url": "{url}/items", "pagination": {"type": "cursor"}}, "`pagination.path` is missing"),
        ({"url": "{url}/items", "cursor": {"param": "since", "field": "at"}, "limit": 1}, "would never be read"),
        ({"url": "{url}/items", "auth": {"type": "bearer"}}, "`auth.token` is missing"),
        ({"url": "{url}/items", "auth": {"type": "oauth2", "url": "{url}/token"}}, "`auth.client_id` is missing"),
        ({"url": "{url}/items", "headers": {"x-a": "b\r\nhost: evil"}}, "`x-a` is malformed"),
    ],
)
def test_a_wrong_option_is_reported(project, web, config, words):
    web.route("/items", lambda _: [])
    grant(project, web)
    filled = json.loads(json.dumps(config).replace("{url}", web.url))
    assert words in failed(project, **filled)["message"]
    assert not web.requests


@pytest.mark.parametrize(
    ("component", "config", "connection", "missing"),
    [
        ("http.extractor", {"path": "/items"}, {"token": "t0ken-of-it"}, "url"),
        ("graphql.extractor", {"query": "{ a }"}, {"auth_token": "t0ken-of-it"}, "endpoint"),
        ("posthog.extractor", {"data_type": "events", "region": "us"}, {"api_key": "k3y-of-it", "project_id": 7, "region": "eu"}, "custom_base_url"),
        ("supabase.extractor", {"table": "t", "project_id": "abc"}, None, "url"),
        ("supabase.writer", {"table": "t", "project_id": "abc"}, None, "url"),
    ],
)
def test_a_step_without_an_address_is_refused_before_anything_runs(project, component, config, connection, missing):
    family = component.split(".")[0]
    project.write("osiris_connections.yaml", json.dumps({"connections": {family: {"main": connection or {"url": "http://127.0.0.1:1"}}}}))
    for more in ({}, {"connection": f"@{family}.main"} if connection else {}):
        project.pipeline([{"id": "read", "component": component, "needs": [], "config": config | more}])
        done = project.osiris("validate", "pipeline.yaml")
        assert done.returncode == 2 and any(f"`{name}` is missing" in done.stderr for name in (missing, "url")), done.stderr


# Check


def test_the_doctor_reports_what_responds(project, web):
    web.route("/me", only_for("Bearer t0ken"))
    grant(project, web, token="t0ken", check_path="/me")
    code, found = doctor(project, "@http.api0")
    assert code == 0 and found[0]["ok"] and "HTTP 200 from" in found[0]["message"], found
    grant(project, web, token="wrong", check_path="/me")
    code, found = doctor(project, "@http.api0")
    assert code == 1 and found[0]["category"] == "auth", found
