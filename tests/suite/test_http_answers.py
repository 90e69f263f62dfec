"""Answers as real servers give them: each is read whole with its values, or refused by name; nothing is lost silently.

A case is a handler, the step's config, and what comes of it: rows (of the columns in their order), or a part of the error. A
part of a warning may follow; a step without one must not warn.
"""

import bz2
import gzip
import json
import zlib
from collections import Counter
from decimal import Decimal

import pytest
from http_server import Reply, cut_chunks, no_content, web  # noqa: F401
from http_steps import grant, step

ONE, TWO, THREE = [{"id": 1}, {"id": 2}], [{"id": 3}, {"id": 4}], [{"id": 5}]
ITEMS = {"records_path": "items"}
NDJSON = {"content-type": "application/x-ndjson"}


def by(param: str, pages: dict, default=None):
    """Responds according to the value of a parameter."""
    return lambda request: pages.get(request.query.get(param), default if default is not None else [])


def raw(body: bytes | str, content_type: str | None = "application/json", **headers) -> object:
    body = body if isinstance(body, bytes) else body.encode()
    sent = {"content-type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Reply(body=body, headers=sent)


def cursor(value, **more):
    """A first page that names `value` as the next, and a second that names nothing."""
    return lambda request: {"items": TWO, "next": None} | more if "cursor" in request.query else {"items": ONE, "next": value}


def linked(header: str):
    return lambda request: Reply(TWO if "p" in request.query else ONE, headers={} if "p" in request.query else {"link": header})


def filtered(request):
    """Ten numbers from which the server filters multiples of three, after it cut the page."""
    start, size = int(request.query["offset"]), int(request.query["n"])
    return [{"id": number} for number in range(1, 11)[start : start + size] if number % 3]


def at_first(*refusals, answer=ONE):
    """Refuses in turn, then responds."""
    return lambda request: refusals[request.number - 1] if request.number <= len(refusals) else answer


def refused(status: int, body=None, **headers) -> Reply:
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def numbers(count: int) -> list[tuple]:
    return [(number,) for number in range(1, count + 1)]


PAGE, OFFSET, CURSOR = {"type": "page"}, {"type": "offset", "size_param": "n", "size": 4}, {"type": "cursor", "path": "next"}
LINK = {"pagination": {"type": "link"}}
HUGE = '[{"id": 123456789012345678901234567890, "n": [1.10000000000000000001], "t": "1.10"}]'
TEXT = json.dumps([{"t": "Zoë – 50 €"}], ensure_ascii=False)

ENDS = {
    "cursor-false": (cursor("a", next=False), ITEMS | {"pagination": CURSOR}, numbers(4)),
    "cursor-empty": (cursor("a", next=""), ITEMS | {"pagination": CURSOR}, numbers(4)),
    "cursor-gone": (lambda request: {"items": TWO} if "cursor" in request.query else {"items": ONE, "next": "a"}, ITEMS | {"pagination": CURSOR}, numbers(4)),
    "cursor-zero": (cursor(17, next=0), ITEMS | {"pagination": CURSOR | {"end_value": 0}}, numbers(4)),
    "cursor-zero-as-text": (cursor("17", next="0"), ITEMS | {"pagination": CURSOR | {"end_value": 0}}, numbers(4)),
    "cursor-scan": (lambda request: {"items": TWO, "next": 0} if request.query.get("cursor") == "7" else {"items": ONE, "next": 7}, ITEMS | {"pagination": CURSOR}, "circles"),
    "cursor-date": (by("cursor", {None: {"items": ONE, "next": "2024-01-01T00:00:00+02:00"}, "2024-01-01T00:00:00+02:00": {"items": TWO}}), ITEMS | {"pagination": CURSOR}, numbers(4)),
    "cursor-signs": (by("cursor", {None: {"items": ONE, "next": "a+b/c==&d%3D"}, "a+b/c==&d%3D": {"items": TWO}}), ITEMS | {"pagination": CURSOR}, numbers(4)),
    "cursor-long-number": (by("cursor", {None: {"items": ONE, "next": 12345678901234567890123}, "12345678901234567890123": {"items": TWO}}), ITEMS | {"pagination": CURSOR}, numbers(4)),
    "cursor-says-more": (cursor("a", has_more=True), ITEMS | {"pagination": CURSOR}, numbers(4), "`has_more` is `true`"),
    "same-page-other-cursor": (lambda request: {"items": ONE, "next": f"c{request.number}"}, ITEMS | {"pagination": CURSOR}, "`allow_repeated_pages: true`"),
    "more-false-as-text": (by("page", {"1": {"items": ONE, "more": "TRUE"}, "2": {"items": TWO, "more": "false"}}), ITEMS | {"pagination": PAGE | {"has_more_path": "more"}}, numbers(4)),
    "hole": (by("page", {"1": {"items": ONE, "more": True}, "2": {"items": [], "more": True}, "3": {"items": TWO, "more": False}}), ITEMS | {"pagination": PAGE | {"has_more_path": "more"}}, numbers(4)),
    "hole-unnamed-sign": (by("page", {"1": {"items": ONE, "has_more": True}, "2": {"items": [], "has_more": True}}), ITEMS | {"pagination": PAGE}, numbers(2), "`pagination.has_more_path`"),
    "hole-and-total": (by("page", {"1": {"items": ONE, "total_count": 4}, "2": {"items": [], "total_count": 4}}), ITEMS | {"pagination": PAGE}, numbers(2), "there are 4 records (`total_count`), but sent 2"),
    "total-that-is-low": (by("page", {"1": {"items": ONE, "meta": {"total": 1}}}, {"items": []}), ITEMS | {"pagination": PAGE}, numbers(2)),
    "total-in-header": (lambda _: Reply(ONE, headers={"x-total-count": "250"}), {}, numbers(2), "there are 250 records (`x-total-count`), but sent 2"),
    "total-is-an-amount": (lambda _: {"items": ONE, "total": 9999}, ITEMS, numbers(2)),
    "partial-rows": (lambda _: Reply(ONE, 206, {"content-range": "items 0-1/319"}), {}, numbers(2), "there are 319 records"),
    "partial-bytes": (lambda _: Reply(ONE, 206, {"content-range": "bytes 0-9/900"}), {}, "206 with a part of its body alone: bytes 0-9/900"),
    "filtered-offset": (filtered, {"pagination": OFFSET}, "write `pagination.step: size`"),
    "filtered-offset-told": (filtered, {"pagination": OFFSET | {"step": "size"}}, [(number,) for number in range(1, 11) if number % 3]),
    "capped-offset": (lambda request: [{"id": number} for number in range(1, 6)][int(request.query["offset"]) :][:2], {"pagination": OFFSET}, numbers(5)),
    "shifted-page": (by("page", {"1": ONE, "2": [{"id": 2}, {"id": 3}], "3": THREE}), {"pagination": PAGE}, [(1,), (2,), (2,), (3,), (5,)], "1 records came twice"),
    "equal-records": (by("page", {"1": [{"v": 1}, {"v": 1}], "2": [{"v": 1}]}), {"pagination": PAGE}, [(1,), (1,), (1,)]),
    "single-object-last": (by("page", {"1": {"items": ONE}, "2": {"items": {"id": 3}}}, {"items": []}), ITEMS | {"pagination": PAGE}, numbers(3)),
    "link-others-first": (linked('</last?p=9>; title="next; rel=next, "; rel=last, <?p=2>; rel="next"'), LINK, numbers(4)),
    "link-single-quotes": (linked("<?p=2>;rel='next'"), LINK, numbers(4)),
    "link-several-rels": (linked('<?p=2&q=a,b>; rel="section Next"'), LINK, numbers(4)),
    "link-of-another": (linked('<?p=2>; rel="next"; anchor="/elsewhere"'), LINK, numbers(2)),
    "next-path-relative": (lambda request: {"items": TWO, "next": None} if "p" in request.query else {"items": ONE, "next": "?p=2#top"}, ITEMS | {"pagination": {"type": "next_url", "path": "next"}}, numbers(4)),
    "next-elsewhere": (lambda _: {"items": ONE, "next": "https://example.org/2"}, ITEMS | {"pagination": {"type": "next_url", "path": "next"}}, "another origin"),
}  # fmt: skip

STATUS = {
    "not-done": (at_first(refused(202, {"state": "running"})), {}, numbers(2)),
    "not-done-github": (at_first(refused(202, {}), refused(202, [])), {}, numbers(2)),
    "never-done": (lambda _: refused(202, {"state": "running"}), {"max_retries": 1}, "202 (accepted, not done yet): {\"state\": \"running\"} (tried 2 times)"),
    "accepted-list": (lambda _: refused(202, ONE), {}, numbers(2)),
    "not-modified": (lambda _: no_content(304), {}, "answered 304"),
    "wait-of-nothing": (at_first(*[refused(429, retry_after="0")] * 3), {}, numbers(2)),
    "wait-in-the-past": (at_first(refused(503, retry_after="Sun, 06 Nov 1994 08:49:37 GMT")), {}, numbers(2)),
    "wait-by-the-servers-clock": (at_first(refused(429, date="Sun, 06 Nov 2094 08:49:37 GMT", retry_after="Sun, 06 Nov 2094 08:49:38 GMT")), {}, numbers(2)),
    "wait-in-words": (at_first(refused(429, retry_after="soon")), {}, numbers(2)),
    "no-content-first": (lambda _: no_content(204), {"dtype": {"id": "BIGINT"}}, []),
    "reset": (by("page", {"1": ONE}, no_content(205)), {"pagination": PAGE}, numbers(2)),
}  # fmt: skip

BODIES = {
    "gzip-unsaid": (raw(gzip.compress(json.dumps(ONE).encode()), "application/gzip"), {}, numbers(2)),
    "gzip-lines-unsaid": (raw(gzip.compress(b'{"id": 1}\n{"id": 2}'), "application/x-ndjson"), {}, numbers(2)),
    "gzip-nothing": (raw(gzip.compress(b""), "application/gzip"), {"dtype": {"id": "BIGINT"}}, []),
    "zstd-unsaid": (raw(b"\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00[]"), {}, "zstd by its first bytes"),
    "bzip2-unsaid": (raw(bz2.compress(b"[]")), {}, "bzip2 by its first bytes"),
    "deflate-bare": (raw(zlib.compress(json.dumps(ONE).encode())[2:-4], content_encoding="deflate"), {}, numbers(2)),
    "brotli-said": (raw(b"\x8b\x00\x80[]\x03", content_encoding="br"), {}, "the encoding `br`, which was not requested"),
    "brotli-unsaid": (raw(b"\x8b\x00\x80[]\x03"), {}, "a compression by `content-encoding`"),
    "plain-said-gzip": (raw(json.dumps(TWO), content_encoding="gzip"), {}, "not compressed as it says"),
    "encoding-utf-8": (raw(json.dumps(ONE), content_encoding="utf-8"), {}, numbers(2)),
    "digits": (raw(HUGE), {}, [(Decimal(123456789012345678901234567890), [Decimal("1.10000000000000000001")], "1.10")]),
    "utf-16-lines": (raw('{"id": 1}\n{"id": 2}\n'.encode("utf-16"), "application/x-ndjson; charset=utf-16"), {}, numbers(2)),
    "mark-lines": (raw('\ufeff{"id": 1}\r\n{"id": 2}', **{"content_type": "application/jsonl"}), {}, numbers(2)),
    "lines-unsaid": (raw('{"id": 1}\n\n{"id": 2}\n', "text/plain"), {}, numbers(2), "read as lines of JSON"),
    "sequence": (raw('\x1e{"id": 1}\n\x1e{"id": 2}\n', "application/json-seq"), {}, numbers(2)),
    "lines-cut": (raw('{"id": 1}\n{"id": 2}\n{"id": ', "application/x-ndjson"), {}, "EOF while parsing"),
    "two-lists": (raw("[1][2]"), {}, "2 values one after the other"),
    "chunks-cut": (lambda _: cut_chunks(b'{"id": 1}\n', NDJSON), {"max_retries": 0}, "before the response was whole"),
    "unlabelled-latin": (raw(TEXT.encode("cp1252")), {}, "not UTF-8: byte"),
    "latin-told": (raw(TEXT.encode("cp1252")), {"encoding": "windows-1252"}, [("Zoë – 50 €",)]),
    "latin-said": (raw(TEXT.encode("cp1252"), "application/json; charset=ISO-8859-1"), {}, [("Zoë – 50 €",)]),
    "utf-8-called-latin": (raw(TEXT, "application/json;charset=iso-8859-1"), {}, [("ZoÃ« â€“ 50 â‚¬",)], "look like UTF-8"),
    "utf-8-called-latin-told": (raw(TEXT, "application/json;charset=iso-8859-1"), {"encoding": "utf-8"}, [("Zoë – 50 €",)]),
    "nul": (raw('[{"t": "a\\u0000b"}]'), {}, [("a\0b",)]),
    "name-twice": (raw('[{"id": 1, "id": 2}]'), {}, [(2,)], "has a name twice"),
    "names-by-case": (raw('[{"Id": 1, "id": 2}]'), {}, [(1, 2)], "`id_2`"),
    "dtype-by-case": (raw('[{"At": "2024-01-01"}]'), {"dtype": {"at": "DATE"}}, "`dtype` names the column `at`, but the column is `At`"),
    "page-of-html": (raw("<!DOCTYPE html><title>Log in</title>", "text/html"), {}, "<!DOCTYPE html>"),
    "error-in-200": (lambda _: {"errors": [{"message": "over quota"}]}, ITEMS, "nothing at `records_path`"),
}  # fmt: skip


@pytest.mark.parametrize("cases", [ENDS, STATUS, BODIES], ids=["ends", "status", "bodies"])
def test_responses_are_read_completely_or_refused(project, web, cases):  # noqa: F811
    grant(project, web)
    steps = []
    for name, (handler, config, *_) in cases.items():
        web.route(f"/{name}", handler)
        steps.append(step(connection="@http.api0", path=f"/{name}", max_pages=30, **config) | {"id": name, "needs": []})
    result = project.run(steps, expect=1)
    wrong = {}
    for name, (_, _, expected, *warnings) in cases.items():
        found = result["step"][name]
        told = " ".join(warning["message"] + json.dumps(warning, ensure_ascii=False) for warning in found["warnings"])
        message = (found["error"] or {}).get("message")
        if isinstance(expected, str):
            right = expected in (message or "")
        else:
            rows = None if message else project.rows(result, name)
            right = rows is not None and Counter(map(str, rows)) == Counter(map(str, map(tuple, expected)))
            message = message or rows
        if not right or (warnings and warnings[0].strip("`") not in told.replace('\\"', '"')) or bool(found["warnings"]) != bool(warnings):
            wrong[name] = (message, told)
    assert wrong == {}
