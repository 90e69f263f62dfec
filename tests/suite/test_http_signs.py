"""What a server says beside its records: pages that repeat or are capped, more pages that were not requested, errors
with status 200."""

import json

from http_server import Reply, web  # noqa: F401
from http_steps import grant, step

PAGES = [[{"id": 1}, {"id": 2}], [{"id": 3}, {"id": 4}]]
ITEMS = {"records_path": "items"}


def clamped(request):
    """Answers a page beyond the last with the last, and every response differs from the others."""
    page = int(request.query["page"])
    return {"asked": page, "items": PAGES[min(page, 2) - 1]}


def capped(request):
    """Returns two records at a time, whatever is requested."""
    start = int(request.query["offset"]) if "offset" in request.query else (int(request.query["page"]) - 1) * 2
    return [{"id": number} for number in range(1, 6)][start : start + 2]


def only_page(request):
    return [{"id": 1}] if request.query["page"] == "1" else Reply({"message": "no such page"}, 404)


def by_cursor(value):
    return lambda request: {"next": value, "items": PAGES[0]} if "cursor" not in request.query else {"next": None, "items": PAGES[1]}


def test_signs_beside_the_records_are_heeded(project, web):  # noqa: F811
    page = {"type": "page", "size_param": "n", "size": 5}
    cursor = {"type": "cursor", "path": "next"}
    cases = {
        # name: (handler, config, ids or part of the error, part of a warning)
        "clamped": (clamped, ITEMS | {"pagination": {"type": "page"}}, "`pagination.last_page: repeated`", ""),
        "clamped-known": (clamped, ITEMS | {"pagination": {"type": "page", "last_page": "repeated"}}, [1, 2, 3, 4], ""),
        "capped-page": (capped, {"pagination": page | {"last_page": "short"}}, [1, 2, 3, 4, 5], ""),
        "capped-offset": (capped, {"pagination": page | {"type": "offset", "last_page": "short"}}, [1, 2, 3, 4, 5], ""),
        "one-page": (only_page, {"pagination": page | {"last_page": "short"}}, [1], ""),
        "cursor-true": (by_cursor(True), ITEMS | {"pagination": cursor}, "where the next value of `cursor` was expected", ""),
        "cursor-object": (by_cursor({"a": 1}), ITEMS | {"pagination": cursor}, "an object of `a`", ""),
        "cursor-nothing": (by_cursor({}), ITEMS | {"pagination": cursor}, [1, 2], ""),
        "cursor-number": (by_cursor(7), ITEMS | {"pagination": cursor}, [1, 2, 3, 4], ""),
        "more-as-text": (lambda _: {"items": PAGES[0], "more": "0"}, ITEMS | {"pagination": page | {"has_more_path": "more"}}, [1, 2], ""),
        "unasked-link": (lambda _: Reply(PAGES[0], headers={"link": '</x?page=2>; rel="next"'}), {}, [1, 2], "there are more records"),
        "unasked-more": (lambda _: {"items": PAGES[0], "meta": {"next_cursor": "b"}}, ITEMS, [1, 2], "`meta.next_cursor` is `\"b\"`"),
        "error-alone": (lambda _: {"error": "over limit", "code": 7}, {"pagination": page}, "over limit", ""),
        "error-beside": (lambda _: {"error": "over limit", "items": None}, ITEMS, "names an error", ""),
        "error-known": (lambda _: {"error": "over limit", "items": None}, ITEMS | {"missing_records": "empty", "dtype": {"id": "INTEGER"}}, [], "over limit"),
        "lines": (lambda _: Reply(body=b'{"id": 1}\n\n{"id": 2}\r\n', headers={"content-type": "application/x-ndjson"}), {}, [1, 2], ""),
    }  # fmt: skip
    grant(project, web)
    steps = []
    for name, (handler, config, _, _) in cases.items():
        web.route(f"/{name}", handler)
        steps.append(step(connection="@http.api0", path=f"/{name}", max_pages=9, **config) | {"id": name, "needs": []})
    result = project.run(steps, expect=1)
    for name, (_, _, expected, warning) in cases.items():
        found = result["step"][name]
        if isinstance(expected, str):
            assert expected in (found["error"] or {}).get("message", ""), (name, found)
        else:
            assert found["error"] is None, (name, found)
            assert project.rows(result, name) == [(number,) for number in expected], name
        assert warning in json.dumps(found["warnings"], ensure_ascii=False).replace('\\"', '"'), (name, found)
        assert warning or not found["warnings"], (name, found)


def test_ties_are_recognised_in_any_order_of_members_and_records_without_a_cursor_are_counted(project, web):  # noqa: F811
    answers = [
        [{"id": 1, "at": "2024-01-01T00:00:00Z"}, {"id": 2}],
        [{"at": "2024-01-01T00:00:00Z", "id": 1}, {"id": 3, "at": "2024-01-01T00:00:00Z"}],
    ]
    web.route("/ties", lambda request: answers[request.number - 1])
    grant(project, web)
    steps = [step(connection="@http.api0", path="/ties", cursor={"param": "since", "field": "at"})]
    first, second = project.run(steps), project.run(steps)
    (warning,) = first["step"]["read"]["warnings"]
    assert warning["fields"] == {"column": "at", "count": "1"}
    assert project.rows(second, "read", "select id from main") == [(3,)]
