"""graphql.extractor against a real web server that answers as GraphQL does."""

import base64
import json

import pytest
from certificates import certificates  # noqa: F401
from http_server import Reply, in_turn, silent, tls_web, web  # noqa: F401
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
    """Answers pages by cursor, as Relay has it."""

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


def test_other_names_of_pages_and_a_bound(project, web):
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
def test_a_login_of_step_or_connection_arrives(project, web, login):
    config, header, right = LOGINS[login]
    web.route("/graphql", lambda request: {"data": {"ok": True}} if request.headers.get(header) == right else Reply({}, 401))
    grant(project, web, family="graphql")
    assert rows(project, web, **config) == [(True,)]
    grant(project, web, family="graphql", **config)
    assert rows(project, web, endpoint=None, connection="@graphql.api0") == [(True,)]
    grant(project, web, family="graphql")
    assert failed(project, web)["kind"] == "auth"


def test_a_secret_variable_arrives(project, web):
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


def test_a_passing_error_is_tried_again_but_a_mutation_is_not(project, web):
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
    "no object": (lambda request: [1], {}, "no GraphQL answer"),
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
    told = failed(project, server, validate_ssl=False)
    assert told["kind"] == "config" and "`ca`" in told["message"]
    assert failed(project, server)["kind"] == "auth"
    assert not server.requests
    assert rows(project, server, ca=certificates.ca_text) == [(1,)]


def test_a_silent_server_is_a_timeout(project, web):
    web.route("/graphql", lambda _: silent(30))
    grant(project, web, family="graphql")
    assert failed(project, web, timeout=0.5, max_retries=0)["kind"] == "timeout"


def test_the_doctor_and_discovery_ask_the_api(project, web):
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
