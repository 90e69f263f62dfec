"""graphql.extractor with a real web server that responds as a GraphQL API does."""

import base64
import json

import pytest
from certificates import certificates  # noqa: F401
from http_server import Reply, cut_chunks, gzipped, in_turn, no_content, silent, tls_web, truncated, web  # noqa: F401
from http_steps import doctor, grant

QUERY = "query ($after: String) { users(after: $after) { nodes { id } pageInfo { endCursor hasNextPage } } }"
PAGED = {"query": QUERY, "data_path": "data.users.nodes", "pagination_enabled": True, "pagination_path": "data.users.pageInfo"}


def step(web, **config) -> dict:
    whole = {"endpoint": web.url + "/graphql", "query": "{ users { id } }", "retry_delay": 0.01, **config}
    return {"id": "read", "component": "graphql.extractor", "config": {k: v for k, v in whole.items() if v is not None}}


def read(project, web, *, expect: int = 0, **config) -> dict:
    return project.run([step(web, **config)], expect=expect)


def rows(project, web, **config) -> list[tuple]:
    return project.rows(read(project, web, **config), "read")


def failed(project, web, **config) -> dict:
    return read(project, web, expect=1, **config)["step"]["read"]["error"]


def users(pages: list[list[dict]]):
    """Returns pages by cursor, as Relay specifies."""

    def handler(request):
        place = int(request.json["variables"].get("after") or 0)
        info = {"endCursor": str(place + 1), "hasNextPage": place + 1 < len(pages)}
        return {"data": {"users": {"nodes": pages[place], "pageInfo": info}}}

    return handler


def test_pages_are_read_by_one_request_each_and_widen_types(project, web):
    web.route("/graphql", users([[{"id": 1, "v": 1}], [{"id": 2, "v": 1.5, "who": {"name": "ü", "boss": {"x": [1]}}}], [{"id": 3}]]))
    grant(project, web, family="graphql")
    result = read(project, web, **PAGED)
    assert project.types(result, "read") == {"id": "BIGINT", "v": "DOUBLE", "who.name": "VARCHAR", "who.boss.x": "BIGINT[]"}
    assert project.rows(result, "read") == [(1, 1.0, None, None), (2, 1.5, "ü", [1]), (3, None, None, None)]
    assert len(web.requests) == 3
    assert [request.json["variables"] for request in web.requests] == [{}, {"after": "1"}, {"after": "2"}]
    nested = read(project, web, flatten_result=False, **PAGED)
    assert project.types(nested, "read")["who"] == 'STRUCT("name" VARCHAR, boss STRUCT(x BIGINT[]))'


def test_alternative_names_of_paging_options_and_a_bound(project, web):
    def handler(request):
        place = request.json["variables"]["cursor"]
        return {"data": {"list": [{"n": place}]}, "paging": {"next": place + 1, "more": True}}

    web.route("/graphql", handler)
    grant(project, web, family="graphql")
    names = {"pagination_path": "paging", "pagination_cursor_field": "next", "pagination_has_next_field": "more", "pagination_variable_name": "cursor"}
    result = read(project, web, query="query ($cursor: Int) { list(c: $cursor) }", variables={"cursor": 5}, data_path="data.list",
                  pagination_enabled=True, max_pages=3, **names)  # fmt: skip
    assert project.rows(result, "read") == [(5,), (6,), (7,)]
    assert "max_pages" in result["stderr"]


def test_without_a_path_the_data_is_one_record(project, web):
    web.route("/graphql", lambda _: {"data": {"viewer": {"login": "me"}, "n": 1}})
    grant(project, web, family="graphql")
    assert rows(project, web) == [("me", 1)]


BASIC = "Basic " + base64.b64encode(b"me:pw").decode()
LOGINS = {
    "bearer": ({"auth_type": "bearer", "auth_token": "t"}, "authorization", "Bearer t"),
    "a token alone": ({"auth_token": "t"}, "authorization", "Bearer t"),
    "basic": ({"auth_type": "basic", "auth_username": "me", "auth_password": "pw"}, "authorization", BASIC),
    "basic as upstream": ({"auth_type": "basic", "auth_username": "me", "auth_token": "pw"}, "authorization", BASIC),
    "api_key": ({"auth_type": "api_key", "auth_token": "k"}, "x-api-key", "k"),
    "api_key by name": ({"auth_type": "api_key", "auth_token": "k", "auth_header_name": "X-Mine"}, "x-mine", "k"),
    "a header": ({"headers": {"Authorization": "Mine x", "X-Plain": "y"}}, "authorization", "Mine x"),
}


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_of_step_or_connection_is_sent(project, web, login):
    config, header, right = LOGINS[login]
    web.route("/graphql", lambda request: {"data": {"ok": True}} if request.headers.get(header) == right else Reply({}, 401))
    grant(project, web, family="graphql")
    assert rows(project, web, **config) == [(True,)]
    grant(project, web, family="graphql", **config)
    assert rows(project, web, endpoint=None, connection="@graphql.api0") == [(True,)]
    grant(project, web, family="graphql")
    assert failed(project, web)["kind"] == "auth"


def test_a_secret_variable_is_sent(project, web):
    web.route("/graphql", lambda request: {"data": {"n": 1 if request.json["variables"] == {"a": {"token": "hidden"}, "b": 2} else 0}})
    grant(project, web, family="graphql")
    assert rows(project, web, variables={"a": {"token": "hidden"}, "b": 2}) == [(1,)]


def error(message: str, code: str | None = None, **more) -> dict:
    return {"errors": [{"message": message} | ({"extensions": {"code": code}} if code else {})], **more}


ERRORS = {
    "plain": (error("no such field", data={"users": None}), "data"),
    "login": (error("who are you", "UNAUTHENTICATED"), "auth"),
    "permission": (error("not yours", "FORBIDDEN"), "denied"),
    "query": (error("bad query", "GRAPHQL_VALIDATION_FAILED"), "config"),
    "limit": (error("too fast", "RATE_LIMITED"), "rate-limited"),
    "server": (error("broke", "INTERNAL_SERVER_ERROR"), "transient"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_an_error_with_status_200_fails_the_step_and_the_next_run_succeeds(project, web, what):
    reply, kind = ERRORS[what]
    web.route("/graphql", lambda _: reply)
    grant(project, web, family="graphql")
    told = failed(project, web, max_retries=1)
    assert told["kind"] == kind and "GraphQL errors: " + reply["errors"][0]["message"] in told["message"]
    assert len(web.requests) == (2 if kind in ("rate-limited", "transient") else 1)
    web.route("/graphql", lambda _: {"data": {"n": 1}})
    assert rows(project, web) == [(1,)]


def test_a_temporary_error_is_retried_but_a_mutation_is_not(project, web):
    web.route("/graphql", in_turn(error("broke", "INTERNAL_SERVER_ERROR"), Reply({}, 502), {"data": {"n": 1}}))
    grant(project, web, family="graphql")
    assert rows(project, web) == [(1,)]
    web.asked.clear()
    assert failed(project, web, query="mutation { pay }")["kind"] == "transient"
    web.asked.clear()
    web.route("/graphql", in_turn(Reply({}, 502), {"data": {"n": 1}}))
    assert failed(project, web, query="mutation { pay }")["kind"] == "transient"


INFO = {"endCursor": "a", "hasNextPage": True}
WRONG_PAGES = {
    "the same page twice": (lambda request: {"data": {"users": {"nodes": [{"id": 1}], "pageInfo": INFO}}}, {}, "the same page twice"),
    "the same cursor": (
        lambda request: {"data": {"users": {"nodes": [{"id": request.number}], "pageInfo": INFO}}}, {}, "goes in circles"),
    "no cursor": (
        lambda request: {"data": {"users": {"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": None}}}}, {}, "not by which cursor"),
    "no page info": (lambda request: {"data": {"users": {"nodes": []}}}, {}, "nothing at `pagination_path`"),
    "no flag": (lambda request: {"data": {"users": {"nodes": [], "pageInfo": {"x": 1}}}}, {}, "does not say true or false"),
    "nothing at data_path": (users([[]]), {"data_path": "data.people"}, "nothing at `data_path`"),
    "no object": (lambda request: [1], {}, "is not a GraphQL response"),
    "unused variable": (users([[]]), {"query": "{ users { nodes } }"}, "does not use `$after`"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_PAGES)
def test_pages_that_lead_nowhere_end_the_step(project, web, wrong):
    handler, config, words = WRONG_PAGES[wrong]
    web.route("/graphql", handler)
    grant(project, web, family="graphql")
    told = failed(project, web, **(PAGED | config))
    assert words in told["message"], told


def test_certificates_are_always_checked(project, tls_web, certificates):
    server = tls_web(certificates.good)
    server.route("/graphql", lambda _: {"data": {"n": 1}})
    grant(project, server, family="graphql")
    assert failed(project, server, validate_ssl=False)["kind"] == failed(project, server)["kind"] == "auth"
    assert not server.requests
    assert rows(project, server, ca=certificates.ca_text) == [(1,)]
    trusted = read(project, server, ca=certificates.ca_text, validate_ssl=False)
    assert trusted["step"]["read"]["rows"] == 1 and "`validate_ssl: false` has no effect" in trusted["stderr"]


EMPTY = [no_content(204), no_content(205), Reply(body=b""), Reply(body=b" \n"), Reply(body=b"\xef\xbb\xbf")]


def test_a_response_without_a_body_is_an_empty_page(project, web):
    grant(project, web, family="graphql")
    more = users([[{"id": 1}], [{"id": 2}]])
    for place, empty in enumerate(EMPTY):
        web.asked.clear()
        web.route("/graphql", lambda request, empty=empty: more(request) if request.number == 1 else empty)
        assert rows(project, web, **PAGED) == [(1,)], place
        web.route("/graphql", lambda _, empty=empty: empty)
        result = read(project, web, dtype={"id": "BIGINT"})
        assert project.types(result, "read") == {"id": "BIGINT"} and result["step"]["read"]["rows"] == 0, place


def test_an_empty_page_that_names_an_earlier_one_is_the_end(project, web):
    nodes = {None: [{"id": 1}], "a": [{"id": 2}], "b": []}

    def handler(request):
        after = request.json["variables"].get("after")
        following = {None: "a", "a": "b", "b": at_end}[after]
        return {"data": {"users": {"nodes": nodes[after], "pageInfo": {"endCursor": following, "hasNextPage": True}}}}

    web.route("/graphql", handler)
    grant(project, web, family="graphql")
    for at_end in ("b", "a"):
        result = read(project, web, **PAGED)
        assert project.rows(result, "read") == [(1,), (2,)]
        assert "taken for the last" in result["stderr"]
    nodes["b"] = [{"id": 3}]
    assert "circles" in failed(project, web, **PAGED)["message"]


def test_a_page_that_does_not_mention_a_next_one_is_the_end_only_if_it_is_empty(project, web):
    last = {"data": {"users": {"nodes": [], "pageInfo": {"hasNextPage": None, "endCursor": None}}}}
    first = users([[{"id": 1}], [{"id": 2}]])
    grant(project, web, family="graphql")
    web.route("/graphql", lambda request: first(request) if request.number == 1 else last)
    assert rows(project, web, **PAGED) == [(1,)]
    web.route("/graphql", lambda _: {"data": {"users": {"nodes": [{"id": 1}], "pageInfo": {"hasNextPage": None, "endCursor": "a"}}}})
    assert "does not say true or false" in failed(project, web, **PAGED)["message"]


@pytest.mark.parametrize("path", ["data.users.edges[*].node", "data.users.nodes"])
def test_a_null_in_place_of_a_record_is_not_lost_silently(project, web, path):
    web.route("/graphql", lambda _: {"data": {"users": {"edges": [{"node": {"id": 1}}, {"node": None}], "nodes": [{"id": 1}, None]}}})
    grant(project, web, family="graphql")
    told = failed(project, web, data_path=path)
    assert "record 2 of page 1 is null" in told["message"] and "null_records: skip" in told["message"]
    result = read(project, web, data_path=path, null_records="skip")
    assert project.rows(result, "read") == [(1,)] and "nulls in place of records were left out" in result["stderr"]


@pytest.mark.parametrize("status", [401, 403, 409, 420, 423, 425, 429, 503, 520, 529, 202])
def test_a_wait_that_the_server_asks_for_is_respected(project, web, status):
    wait = Reply({"message": "slow down"}, status, {"retry-after": "0"})
    web.route("/graphql", in_turn(wait, {"data": {"n": 1}}))
    grant(project, web, family="graphql")
    assert rows(project, web) == [(1,)]
    web.route("/graphql", lambda _: Reply({"message": "slow down"}, status, {"retry-after": "3600"}))
    assert "asks to wait 3600 s" in failed(project, web)["message"]


def test_a_charset_and_a_byte_order_mark_are_respected(project, web):
    answer = json.dumps({"data": {"t": "é"}}, ensure_ascii=False)
    replies = [Reply(body=answer.encode(encoding), headers={"content-type": f"application/json; charset={name}"})
               for encoding, name in (("latin-1", "iso-8859-1"), ("utf-16", "utf-16"), ("utf-8-sig", "utf-8"), ("cp1252", "windows-1252"))]  # fmt: skip
    web.route("/graphql", in_turn(*replies))
    grant(project, web, family="graphql")
    for _ in replies:
        assert rows(project, web) == [("é",)]


def test_a_truncated_body_is_an_error_and_retried(project, web):
    body = json.dumps({"data": {"users": [{"id": n} for n in range(500)]}}).encode()
    cut = [truncated(body[:700], len(body)), cut_chunks(body), Reply(body=gzipped(body).body[:-9], headers={"content-encoding": "gzip"})]
    grant(project, web, family="graphql")
    for reply in cut:
        web.asked.clear()
        web.route("/graphql", in_turn(reply, reply, {"data": {"n": 1}}))
        assert failed(project, web, max_retries=0)["kind"] == "transient"
        assert rows(project, web) == [(1,)]


def test_a_silent_server_is_a_timeout(project, web):
    web.route("/graphql", lambda _: silent(30))
    grant(project, web, family="graphql")
    assert failed(project, web, timeout=0.5, max_retries=0)["kind"] == "timeout"


def test_doctor_and_discover_ask_the_api(project, web):
    named = lambda kind, name: {"kind": kind, "name": name, "ofType": None}
    schema = {"queryType": {"name": "Query"}, "types": [
        {"kind": "OBJECT", "name": "Query", "fields": [
            {"name": "users", "type": {"kind": "LIST", "name": None, "ofType": named("OBJECT", "User")}},
            {"name": "version", "type": named("SCALAR", "String")}]},
        {"kind": "OBJECT", "name": "User", "fields": [
            {"name": "id", "type": {"kind": "NON_NULL", "name": None, "ofType": named("SCALAR", "ID")}},
            {"name": "score", "type": named("SCALAR", "Float")}]}]}  # fmt: skip

    def handler(request):
        if request.headers.get("authorization") != "Bearer t":
            return error("who are you", "UNAUTHENTICATED")
        return {"data": {"__schema": schema} if "__schema" in request.json["query"] else {"__typename": "Query"}}

    web.route("/graphql", handler)
    grant(project, web, family="graphql", auth_token="t")
    code, found = doctor(project, "@graphql.api0")
    assert code == 0 and "GraphQL at" in found[0]["message"], found
    discovered = [json.loads(project.osiris("discover", "@graphql.api0", "--json").stdout) for _ in range(2)]
    assert discovered[0]["fingerprint"] == discovered[1]["fingerprint"]
    assert [table["name"] for table in discovered[0]["tables"]] == ["users"]
    columns = [(column["name"], column["source_type"], column["duckdb_type"]) for column in discovered[0]["tables"][0]["columns"]]
    assert columns == [("id", "ID!", "VARCHAR"), ("score", "Float", "DOUBLE")]
    grant(project, web, family="graphql", auth_token="wrong")
    code, found = doctor(project, "@graphql.api0")
    assert code == 1 and found[0]["category"] == "auth", found


def test_lists_whose_rest_is_not_read_give_a_warning(project, web):
    more = {"hasNextPage": True, "endCursor": "x"}
    web.route("/graphql", lambda _: {"data": {"users": {"pageInfo": more, "nodes": [{"id": 1, "posts": {"nodes": [], "pageInfo": more}}]}}})
    grant(project, web, family="graphql")
    config = {"connection": "@graphql.api0", "query": "{ users { nodes { id } } }", "data_path": "data.users.nodes"}
    result = project.run([{"id": "read", "component": "graphql.extractor", "config": config}])
    places = {warning["fields"]["path"] for warning in result["step"]["read"]["warnings"]}
    assert places == {"data.users.pageInfo", "data.users.nodes.posts.pageInfo"}
