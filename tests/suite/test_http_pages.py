"""Where http.extractor stops: at the server's own sign, or else at an empty page, and never because of anything
else."""

import json

import pytest
from http_server import Reply, cut_chunks, in_turn, no_content, web  # noqa: F401
from http_steps import failed, grant, read, step

EMPTY = {
    "204": no_content(204),
    "205": no_content(205),
    "blank": Reply(body=b""),
    "white space": Reply(body=b" \r\n"),
    "a mark alone": Reply(body=b"\xef\xbb\xbf"),
    "empty gzip": Reply(body=b"", headers={"content-encoding": "gzip"}),
}


def steps(project, *configs: dict, expect: int = 0, **more) -> dict:
    """Independent steps `s0`, `s1`, … of one run."""
    built = [{**step(**config, **more), "id": f"s{place}", "needs": []} for place, config in enumerate(configs)]
    return project.run(built, expect=expect)


def numbers(project, result: dict, place: int) -> list:
    return [row[0] for row in project.rows(result, f"s{place}")]


@pytest.mark.parametrize("empty", EMPTY)
def test_a_response_without_a_body_is_an_empty_page(project, web, empty):
    blank = EMPTY[empty]
    two = [{"n": 1}, {"n": 2}]
    at_end = lambda request: two if request.query.get("page") == "1" or request.query.get("offset") == "0" else blank
    listed = lambda request: {"items": two, "next": "b"} if "cursor" not in request.query else blank
    linked = lambda request: Reply(two, headers={"link": '</link?p=2>; rel="next"'}) if "p" not in request.query else blank
    addressed = lambda request: {"items": two, "next": "/url?p=2"} if "p" not in request.query else blank
    more = lambda request: {"items": two, "more": True} if request.query.get("page") == "1" else blank
    for path, handler in {"/items": at_end, "/cursor": listed, "/link": linked, "/url": addressed, "/more": more, "/nothing": lambda _: blank}.items():
        web.route(path, handler)
    grant(project, web)
    result = steps(
        project,
        {"url": web.url + "/items", "pagination": {"type": "page"}},
        {"url": web.url + "/items", "pagination": {"type": "offset"}},
        {"url": web.url + "/cursor", "records_path": "items", "pagination": {"type": "cursor", "path": "next"}},
        {"url": web.url + "/link", "pagination": {"type": "link"}},
        {"url": web.url + "/url", "records_path": "items", "pagination": {"type": "next_url", "path": "next"}},
        {"url": web.url + "/more", "records_path": "items", "pagination": {"type": "page", "has_more_path": "more"}},
        {"url": web.url + "/nothing", "records_path": "$.data.items", "dtype": {"n": "BIGINT"}},
        {"url": web.url + "/nothing", "dtype": {"n": "BIGINT"}, "cursor": {"param": "since", "field": "n"}},
    )
    for place in range(6):
        assert numbers(project, result, place) == [1, 2], place
    for place in (6, 7):
        assert project.types(result, f"s{place}") == {"n": "BIGINT"} and numbers(project, result, place) == []


def test_a_run_with_nothing_new_keeps_its_state(project, web):
    url = web.route("/items", in_turn([{"n": 1, "at": 5}], no_content(), [{"n": 2, "at": 6}]))
    grant(project, web)
    config = {"url": url, "cursor": {"param": "since", "field": "at"}}
    found = [project.rows(read(project, **config), "read") for _ in range(3)]
    assert found == [[(1, 5)], [], [(2, 6)]]
    assert [request.query.get("since") for request in web.requests] == [None, "5", "5"]


def test_an_empty_page_that_names_an_earlier_one_is_the_end(project, web):
    """A log's cursor is never null: at its end the server returns the one that it was sent."""

    def log(request, at_end=None):
        token = request.query.get("token")
        events, following = {None: ([{"n": 1}, {"n": 2}], "f/2"), "f/2": ([{"n": 3}], "f/3")}.get(token, ([], at_end or token))
        return {"events": events, "next": following}

    def counted(request):
        token = request.query.get("token")
        return {"events": [{"n": 1}] if token is None else [], "next": -1}

    def addressed(request):
        page = int(request.query.get("p", 1))
        return {"events": [{"n": page}] if page < 3 else [], "next": f"/url?p={min(page + 1, 3)}" if page < 3 else "/url"}

    def linked(request):
        page = int(request.query.get("p", 1))
        return Reply([{"n": page}] if page < 3 else [], headers={"link": f'</link?p={min(page + 1, 3)}>; rel="next"'})

    web.route("/events", log)
    web.route("/first", lambda request: log(request, "f/2"))
    web.route("/counted", counted)
    web.route("/zero", lambda request: {"events": [{"n": 1}] if "token" not in request.query else [], "next": 0})
    web.route("/url", addressed)
    web.route("/link", linked)
    loop = web.route("/loop", lambda request: {"events": [{"n": request.number}], "next": "a"})
    by_token = {"records_path": "$.events", "pagination": {"type": "cursor", "param": "token", "path": "$.next"}}
    grant(project, web)
    result = steps(
        project,
        *({"url": web.url + path, **by_token} for path in ("/events", "/first", "/counted", "/zero")),
        {"url": web.url + "/url", "records_path": "events", "pagination": {"type": "next_url", "path": "next"}},
        {"url": web.url + "/link", "pagination": {"type": "link"}},
    )
    assert [numbers(project, result, place) for place in range(6)] == [[1, 2, 3], [1, 2, 3], [1], [1], [1, 2], [1, 2]]
    assert web.asked["/events"] == 3 and web.asked["/link"] == 3
    assert "circles" in failed(project, url=loop, **by_token)["message"]


def test_pages_are_counted_by_the_records_that_the_server_sent(project, web):
    """A page is not the end if a filter or the cursor leaves none of its records."""
    pages = [[{"n": 1, "on": True}], [{"n": 2, "on": False}], [{"n": 3, "on": False}, {"n": 4, "on": False}], [{"n": 5, "on": True}]]

    def by_page(request):
        page = int(request.query["page"])
        return {"items": pages[page - 1] if page <= len(pages) else []}

    def by_offset(request):
        flat = [record for page in pages for record in page]
        return {"items": flat[int(request.query["offset"]) :][:2]}

    web.route("/page", by_page)
    web.route("/offset", by_offset)
    grant(project, web)
    result = steps(
        project,
        {"url": web.url + "/page", "records_path": "$.items[?@.on == true]", "pagination": {"type": "page"}},
        {"url": web.url + "/offset", "records_path": "$.items[?@.on == true]", "pagination": {"type": "offset"}},
        {"url": web.url + "/page", "records_path": "$.items[1:]", "pagination": {"type": "page"}},
        {"url": web.url + "/page", "records_path": "$.items[*]", "pagination": {"type": "page"}, "cursor": {"param": "s", "field": "n"}},
    )
    assert [numbers(project, result, place) for place in range(4)] == [[1, 5], [1, 5], [4], [1, 2, 3, 4, 5]]
    pages.append([{"n": 6, "on": True}])
    again = steps(project, *({"url": web.url + "/page", "records_path": "$.items[*]", "pagination": {"type": "page"}, "cursor": {"param": "s", "field": "n"}} for _ in range(4)))
    assert numbers(project, again, 3) == [6]


SAYS_MORE = {
    "a misspelled path": ({"meta": {"has_more": True, "page": 1}}, ["`$.meta.has_mroe`", "`$.meta` is an object of `has_more`, `page`"]),
    "no meta": ({"paging": {}}, ["`$.meta.has_mroe`", "`items`, `paging`"]),
    "null": ({"meta": {"has_mroe": None}}, ["it is null"]),
    "neither": ({"meta": {"has_mroe": "maybe"}}, ["true or false"]),
}


@pytest.mark.parametrize("what", SAYS_MORE)
def test_a_response_that_does_not_say_whether_there_is_more_is_an_error(project, web, what):
    answer, words = SAYS_MORE[what]
    url = web.route("/items", lambda request: {"items": [{"n": request.number}], **answer})
    grant(project, web)
    for pagination in ({"type": "page"}, {"type": "offset"}, {"type": "cursor", "path": "next"}):
        error = failed(project, url=url, records_path="items", pagination={**pagination, "has_more_path": "$.meta.has_mroe"})
        assert all(word in error["message"] for word in words), error


def test_the_servers_sign_takes_precedence_over_an_empty_page(project, web):
    pages = {1: [{"n": 1}], 2: [], 3: [{"n": 3}]}
    url = web.route("/items", lambda request: {"items": pages[int(request.query["page"])], "more": int(request.query["page"]) < 3})
    misspelled = web.route("/other", lambda _: {"items": [{"n": 1}], "meta": {"next": "b"}})
    grant(project, web)
    config = {"records_path": "items", "pagination": {"type": "page", "has_more_path": "more"}}
    assert project.rows(read(project, url=url, **config), "read") == [(1,), (3,)]
    result = read(project, url=misspelled, records_path="items", pagination={"type": "cursor", "path": "meta.nxt"})
    assert "`meta.nxt`" in result["stderr"] and "correct the path" in result["stderr"]


NULLS = {
    "in a list": ([{"n": 1}, None, {"n": 2}], {}, "record 2 of page 1"),
    "all of them": ([None, None], {}, "record 1 of page 1"),
    "nodes": ({"edges": [{"node": {"n": 1}}, {"node": None}]}, {"records_path": "$.edges[*].node"}, "record 2 of page 1"),
}


@pytest.mark.parametrize("what", NULLS)
def test_a_null_in_place_of_a_record_is_not_the_end_and_is_not_lost_silently(project, web, what):
    answer, config, words = NULLS[what]
    last = [{"n": 9}] if isinstance(answer, list) else {"edges": [{"node": {"n": 9}}]}
    nothing = [] if isinstance(answer, list) else {"edges": []}
    url = web.route("/items", lambda request: {"1": answer, "2": last}.get(request.query["page"], nothing))
    grant(project, web)
    config = {"url": url, "pagination": {"type": "page"}, **config}
    error = failed(project, **config)
    assert words in error["message"] and "null_records: skip" in error["message"], error
    result = read(project, null_records="skip", **config)
    expected = [row["n"] for row in (answer if isinstance(answer, list) else [edge["node"] for edge in answer["edges"]]) if row]
    assert [row[0] for row in project.rows(result, "read")] == [*expected, 9]
    assert "nulls in place of records were left out" in result["stderr"]


def test_a_records_path_that_matches_nothing_is_an_error_and_not_an_empty_list(project, web):
    url = web.route("/items", lambda _: {"data": {"items": [{"n": 1}]}})
    grant(project, web)
    for path in ("$.data.itmes[*]", "$.data.items[*].node", "$.data.itmes[?@.n > 1]"):
        assert "has nothing at `records_path`" in failed(project, url=url, records_path=path)["message"]


CHARSETS = {
    "a mark": (b"\xef\xbb\xbf", "utf-8", "application/json"),
    "latin-1": (b"", "latin-1", "application/json; charset=ISO-8859-1"),
    "windows-1252": (b"", "cp1252", 'text/json; charset="windows-1252"'),
    "utf-16": (b"", "utf-16", "application/json; charset=utf-16"),
    "utf-16le": (b"", "utf-16-le", "application/json"),
    "utf-16be": (b"", "utf-16-be", "application/json; charset=utf-16be"),
}


@pytest.mark.parametrize("charset", CHARSETS)
def test_a_byte_order_mark_and_a_charset_are_respected(project, web, charset):
    mark, encoding, content_type = CHARSETS[charset]
    text = "Åé" if encoding == "latin-1" else "Åé€" if encoding == "cp1252" else "Åé€😀"
    body = mark + json.dumps([{"t": text}], ensure_ascii=False).encode(encoding)
    url = web.route("/items", lambda _: Reply(body=body, headers={"content-type": content_type}))
    wrong = web.route("/wrong", lambda _: Reply(body=body, headers={"content-type": "application/json; charset=koi8-r"}))
    grant(project, web)
    assert project.rows(read(project, url=url), "read") == [(text,)]
    if not mark and encoding != "utf-16":
        assert "`koi8-r`" in failed(project, url=wrong)["message"]


def test_a_body_truncated_anywhere_is_an_error_and_not_an_end(project, web):
    """By its length, in the middle of its chunks, in its compression."""
    import gzip
    import zlib

    body = json.dumps([{"n": n} for n in range(2000)]).encode()
    cut = {
        "length": Reply(body=body[:900], headers={"content-length": str(len(body))}, close=True),
        "nothing": Reply(body=b"", headers={"content-length": str(len(body))}, close=True),
        "chunks": cut_chunks(body),
        "gzip": Reply(body=gzip.compress(body)[:-9], headers={"content-encoding": "gzip"}),
        "gzip chunks": cut_chunks(gzip.compress(body), {"content-encoding": "gzip"}),
        "deflate": Reply(body=zlib.compress(body)[:-5], headers={"content-encoding": "deflate"}),
    }
    grant(project, web)
    for name, reply in cut.items():
        url = web.route(f"/{name.replace(' ', '-')}", in_turn(reply, reply, [{"n": 1}]))
        assert failed(project, url=url, max_retries=0)["kind"] == "transient", name
        web.asked.clear()
        assert project.rows(read(project, url=url), "read") == [(1,)], name
