"""The HTTP client: statuses, retries, redirects, paging, login, limits; and `requests` over it."""

import base64
import email.utils
import gzip
import zlib
from decimal import Decimal

import pytest

import osiris_sdk as osiris
from osiris_sdk import http
from osiris_sdk.http.response import Headers, decompressed
from osiris_sdk.http.retry import asked_wait
from osiris_sdk.http.session import shown, with_params
from osiris_sdk.http.status import status_error
from osiris_sdk.testing import Exchange, run

URL = "https://api.example.com/items"


def called(use, *exchanges, **given):
    """Runs `use()` inside a driver with these exchanges; returns what it returned and the run's result."""
    returned = []

    @osiris.check
    def check(config):
        returned.append(use())
        return ""

    result = run(check, http=exchanges[0] if len(exchanges) == 1 and callable(exchanges[0]) else exchanges, **given)
    return returned[0], result


def test_a_request_carries_what_the_session_and_the_call_say():
    def use():
        api = http.session("https://api.example.com/v1/", bearer="t", headers={"X-One": "1"}, params={"all": True})
        api.post("items", params={"q": ["a b", "ü"], "none": None}, json={"x": 1.5})
        api.put("https://other.example.com/x?y=1", form={"a": "b c", "none": None}, headers={"x-one": "2"})
        return http.session(basic=("user", "pass")).get(URL).json()

    answer, result = called(
        use,
        Exchange("https://api.example.com/v1/items?all=true&q=a%20b&q=%C3%BC", method="POST", request_json={"x": 1.5}),
        Exchange("https://other.example.com/x?y=1&all=true", method="PUT"),
        Exchange(URL, body='\ufeff{"exact": 12345678901234567.89, "plain": 0.1}'),
    )
    first, second, third = result.requests
    assert first.headers["authorization"] == "Bearer t" and first.headers["x-one"] == "1"
    assert second.headers["x-one"] == "2" and second.body == b"a=b+c"
    assert third.headers["authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()
    assert answer == {"exact": Decimal("12345678901234567.89"), "plain": 0.1}


def test_statuses_are_errors_of_their_kind():
    for status, kind in [
        (400, osiris.ConfigError), (401, osiris.AuthError), (403, osiris.DeniedError), (404, osiris.NotFoundError),
        (409, osiris.ConfigError), (429, osiris.RateLimitedError), (500, osiris.TransientError), (599, osiris.TransientError),
    ]:  # fmt: skip

        def use(status=status, kind=kind):
            with pytest.raises(kind) as error:
                http.session(retry=http.Retry(retries=0)).get(URL, params={"api_key": "hunter2"})
            return error.value

        error, _ = called(use, Exchange(URL + "?api_key=hunter2", status=status, body="what\n went wrong"))
        assert error.code == f"HTTP {status}" and error.message.startswith(f"`GET {URL}?api_key=…` answered {status}")
        assert error.message.endswith(": what went wrong") and "hunter2" not in error.message
    answer, _ = called(lambda: http.get(URL, accept=(404,)).status, Exchange(URL, status=404))
    assert answer == 404


def test_what_may_be_temporary_is_retried_as_the_server_asks():
    answer, result = called(
        lambda: http.get(URL).json(),
        Exchange(URL, status=429, headers={"Retry-After": "7"}),
        Exchange(URL, error=osiris.TransientError("the connection broke")),
        Exchange(URL, status=503),
        Exchange(URL, json=[1]),
    )
    assert answer == [1] and result.waits[0] == 7 and 0.5 <= result.waits[1] <= 1 and 1 <= result.waits[2] <= 2
    assert [fields["wait_ms"] for _, _, fields in result.log][0] == "7000"

    with pytest.raises(osiris.RateLimitedError, match="asks to wait 3600 s, longer than the 60 s"):
        called(lambda: http.get(URL), Exchange(URL, status=429, headers={"retry-after": "3600"}))
    with pytest.raises(osiris.TransientError, match=r"answered 500 .*\(tried 4 times\)"):
        called(lambda: http.get(URL), *[Exchange(URL, status=500) for _ in range(4)])
    with pytest.raises(osiris.TransientError):
        called(lambda: http.post(URL), Exchange(URL, method="POST", status=503))
    answer, _ = called(
        lambda: http.post(URL, repeatable=True).status,
        Exchange(URL, method="POST", status=503),
        Exchange(URL, method="POST"),
    )
    assert answer == 200
    answer, _ = called(lambda: http.get(URL, raises=False).status, *[Exchange(URL, status=500) for _ in range(4)])
    assert answer == 500
    with pytest.raises(osiris.NotFoundError):
        called(lambda: http.get(URL), Exchange(URL, status=404))


def test_the_wait_that_a_server_asks_for_is_understood():
    now = 1_700_000_000.0
    sent = email.utils.formatdate(now + 3600, usegmt=True)
    for status, headers, expected in [
        (429, {"x-ratelimit-reset": "1700000007"}, 7),
        (429, {"x-ratelimit-reset": "1700000007000"}, 7),
        (429, {"x-ratelimit-reset": "1600000000"}, 0),
        (503, {"ratelimit-reset": "30"}, 30),
        (429, {"x-ratelimit-reset-after": "2"}, 2),
        (429, {"x-ratelimit-reset-requests": "6s"}, 6),
        (429, {"x-ratelimit-reset": email.utils.formatdate(now + 5, usegmt=True)}, 5),
        (429, {"retry-after": "1", "x-ratelimit-reset": "1700000007"}, 1),
        (429, {"x-ratelimit-reset": "soon"}, None),
        (429, {"date": sent, "retry-after": email.utils.formatdate(now + 3604, usegmt=True)}, 4),
        (403, {"x-ratelimit-reset": "1700000007", "x-ratelimit-remaining": "0"}, 7),
        (403, {"x-ratelimit-reset": "1700000007", "x-ratelimit-remaining": "12"}, None),
        (500, {"ratelimit-reset": "30"}, None),
        (500, {"retry-after": "-1"}, None),
        (500, {"retry-after": "NaN"}, None),
        (202, {"retry-after": "0"}, 0),
    ]:
        assert asked_wait(status, headers, now) == expected, (status, headers)


def test_a_refusal_that_says_when_the_limit_is_reset_is_about_the_rate():
    for headers, kind in [({"retry-after": "5"}, "rate-limited"), ({"x-ratelimit-remaining": "12"}, "denied")]:
        assert status_error("GET /", 403, headers, b"").kind == kind


def test_redirects_are_followed_without_secrets_to_other_origins():
    def use():
        api = http.session(bearer="t", headers={"x-plain": "p", "x-api-key": "k"})
        return api.get(URL).url

    answer, result = called(
        use,
        Exchange(URL, status=302, headers={"location": "/moved"}),
        Exchange("https://api.example.com/moved", status=307, headers={"location": "https://cdn.example.com/x"}),
        Exchange("https://cdn.example.com/x"),
    )
    assert answer == "https://cdn.example.com/x"
    assert [("authorization" in one.headers, "x-api-key" in one.headers, "x-plain" in one.headers) for one in result.requests] == [
        (True, True, True), (True, True, True), (False, False, True),
    ]  # fmt: skip
    with pytest.raises(osiris.DeniedError, match="must not get the request's body"):
        called(
            lambda: http.post(URL, json={}),
            Exchange(URL, method="POST", status=308, headers={"location": "https://evil.example.com"}),
        )
    with pytest.raises(osiris.ConfigError, match="redirects more than 5 times"):
        called(lambda: http.get(URL), *[Exchange(URL, status=302, headers={"location": URL}) for _ in range(6)])
    answer, result = called(
        lambda: http.post(URL, json={}).status,
        Exchange(URL, method="POST", status=303, headers={"location": "/done"}),
        Exchange("https://api.example.com/done"),
    )
    assert answer == 200 and result.requests[1].body == b""


def test_pages_by_link():
    def use():
        return [page.json() for page in http.session(params={"size": 2}).pages_by_link(URL)]

    pages, _ = called(
        use,
        Exchange(
            URL + "?size=2", json=[1], headers={"link": '</items?size=2&page=2>; rel="next", <https://x/9>; rel="last"'}
        ),
        Exchange(URL + "?size=2&page=2&size=2", json=[2]),
    )
    assert pages == [[1], [2]]
    circle = {"link": f"<{URL}>; rel=next"}
    with pytest.raises(osiris.DataError, match="goes in circles: after page 1"):
        called(lambda: list(http.session().pages_by_link(URL)), Exchange(URL, json=[], headers=circle))
    for header, expected in [
        ('<https://x/?page=1>; rel="prev", </b?c=1,2>; title="a, b"; rel=next', "/b?c=1,2"),
        ('<https://x/>; REL="prev next"', "https://x/"),
        ('<https://x/>; rel="last"', None),
        ('<https://x/?page=9>; title="a; rel=next"; rel=last, </2>; rel = "next"', "/2"),
        ('</9>; title="\\"; rel=next, "; rel=last , < /2 >;rel=\'Next\'', "/2"),
        ('</9>; rel="last"; rel="next", </7>; rel="next"; anchor="/other"', None),
        ('<https://x/; rel="next"', None),
        ("", None),
    ]:
        assert http.link(header) == expected, header


def test_pages_by_cursor_and_by_number():
    def by_cursor(cursor):
        return lambda: [
            page.json()["v"] for page in http.session().pages_by_cursor(URL, cursor=cursor, params={"n": 1})
        ]

    for end in (None, "", False):
        pages, _ = called(
            by_cursor("meta.next"),
            Exchange(URL + "?n=1", json={"v": 1, "meta": {"next": 0}}),
            Exchange(URL + "?n=1&cursor=0", json={"v": 2, "meta": {"next": end}}),
        )
        assert pages == [1, 2]
    pages, _ = called(
        by_cursor(lambda body: body.get("more")),
        Exchange(URL + "?n=1", json={"v": 1, "more": URL + "/2"}),
        Exchange(URL + "/2", json={"v": 2}),
    )
    assert pages == [1, 2]
    with pytest.raises(osiris.DataError, match="circles"):
        called(
            by_cursor("next"),
            Exchange(URL + "?n=1", json={"v": 1, "next": "a"}),
            Exchange(URL + "?n=1&cursor=a", json={"v": 1, "next": "a"}),
        )

    def by_number(**options):
        return lambda: [page.json() for page in http.session().pages_by_number(URL, **options)]

    pages, _ = called(
        by_number(), *[Exchange(URL + f"?page={page}", json=[page] if page < 3 else []) for page in (1, 2, 3)]
    )
    assert pages == [[1], [2]]
    options = {"records": "items", "param": "offset", "first": 0, "step": 50}
    pages, _ = called(
        by_number(**options),
        *[Exchange(URL + f"?offset={at}", json={"items": [at] if at < 100 else None}) for at in (0, 50, 100)],
    )
    assert len(pages) == 2
    with pytest.raises(osiris.DataError, match="the same page twice"):
        called(by_number(), *[Exchange(URL + f"?page={page}", json=[1]) for page in (1, 2)])
    with pytest.raises(osiris.ConfigError, match="more than 2 pages"):
        called(by_number(max_pages=2), *[Exchange(URL + f"?page={page}", json=[page]) for page in (1, 2)])
    with pytest.raises(osiris.DataError, match="no list of records in `items`"):
        called(by_number(records="items"), Exchange(URL + "?page=1", json={"items": 7}))


def test_client_credentials_are_renewed_when_refused():
    token = "https://login.example.com/token"

    def use(**options):
        api = http.session(auth=http.oauth2(token, "me", "hunter2", scope="read", **options))
        return [api.get(URL).json(), api.get(URL).json()]

    answers, result = called(
        use,
        Exchange(token, method="POST", json={"access_token": "one", "expires_in": 3600}),
        Exchange(URL, json=1),
        Exchange(URL, status=401),
        Exchange(token, method="POST", json={"access_token": "two"}),
        Exchange(URL, json=2),
    )
    assert answers == [1, 2]
    assert [one.headers["authorization"] for one in result.requests if one.url == URL] == [
        "Bearer one",
        "Bearer one",
        "Bearer two",
    ]
    assert result.requests[0].body == b"grant_type=client_credentials&scope=read"
    assert result.requests[0].headers["authorization"].startswith("Basic ")
    _, result = called(
        lambda: use(in_body=True),
        Exchange(token, method="POST", json={"access_token": "one"}),
        Exchange(URL, json=1),
        Exchange(URL, json=2),
    )
    assert b"client_secret=hunter2" in result.requests[0].body and "authorization" not in result.requests[0].headers
    for refusal in (400, 401):
        with pytest.raises(osiris.AuthError, match="invalid_client"):
            called(use, Exchange(token, method="POST", status=refusal, json={"error": "invalid_client"}))
    with pytest.raises(osiris.AuthError):
        called(
            use,
            Exchange(token, method="POST", json={"access_token": "one"}),
            Exchange(URL, status=401),
            Exchange(token, method="POST", json={"access_token": "two"}),
            Exchange(URL, status=401),
        )
    with pytest.raises(osiris.DataError, match="no `access_token`"):
        called(use, Exchange(token, method="POST", json={"token": "x"}))


def test_the_rate_limit_spaces_requests():
    def use():
        api = http.session(requests_per_second=10)
        for _ in range(3):
            api.get(URL)
        return api.sent

    sent, result = called(use, *[Exchange(URL) for _ in range(3)])
    assert sent == 3 and len(result.waits) == 2 and 0.05 < result.waits[0] <= 0.1 < result.waits[1] <= 0.2


def test_bodies_are_decompressed_and_verified():
    text = b"hello " * 1000
    deflate = zlib.compressobj(wbits=-15)
    raw = deflate.compress(text) + deflate.flush()
    for encoding, content in [
        ("gzip", gzip.compress(text)),
        ("x-gzip", gzip.compress(text[:3000]) + gzip.compress(text[3000:])),
        ("deflate", zlib.compress(text)),
        ("deflate", raw),
        ("identity", text),
        ("", text),
        ("gzip, deflate", zlib.compress(gzip.compress(text))),
    ]:
        assert decompressed(content, encoding, 10_000) == text
    for encoding, content, reason in [
        ("gzip", gzip.compress(text)[:-4], "before it is complete"),
        ("gzip", b"no gzip", "damaged"),
        ("br", b"x", "not supported"),
        ("gzip", gzip.compress(text * 2), "larger than the 10000"),
    ]:
        with pytest.raises(ValueError, match=reason):
            decompressed(content, encoding, 10_000)
    answer, _ = called(
        lambda: http.get(URL).text,
        Exchange(
            URL,
            body=gzip.compress("ü".encode("latin-1")),
            headers={"content-encoding": "gzip", "content-type": "text/plain; charset=ISO-8859-1"},
        ),
    )
    assert answer == "ü"
    with pytest.raises(osiris.DataError, match="cannot read the response to `GET .*before it is complete"):
        called(
            lambda: http.get(URL), Exchange(URL, body=gzip.compress(text)[:-4], headers={"content-encoding": "gzip"})
        )
    for body, reason in [("<html>", "begins with: <html>"), ("", "it is empty"), (b"\xff", "as text")]:
        with pytest.raises(osiris.DataError, match=reason):
            called(lambda: http.get(URL).json(), Exchange(URL, body=body))


def test_headers_and_addresses():
    headers = Headers([("A", "1"), ("a", "2"), ("B", "3")])
    assert (
        headers["a"] == "1, 2"
        and "B" in headers
        and headers.get("x") is None
        and dict(headers) == {"a": "1, 2", "b": "3"}
    )
    assert with_params("https://x/?a=1#f", {"b": False, "c": 1.5}) == "https://x/?a=1&b=false&c=1.5#f"
    assert shown("GET", "https://user:pass@x/p?token=t&page=2#f") == "GET https://x/p?token=…&page=2"


def test_a_request_that_is_not_recorded_fails_the_test():
    with pytest.raises(AssertionError, match="not recorded: GET https://api.example.com/items; left: GET https://x"):
        called(lambda: http.get(URL), Exchange("https://x"))
    with pytest.raises(AssertionError, match="did not make 1 requests"):
        called(lambda: None, Exchange(URL))


def test_requests_works_through_the_granted_http():
    import requests

    from osiris_sdk.requests import session

    def use():
        api = session()
        moved = api.get(URL, params={"a": 1}, timeout=3)
        refused = api.post(URL, json={"x": 1})
        with pytest.raises(requests.HTTPError):
            refused.raise_for_status()
        return moved.json(), moved.url, refused.status_code

    answer, result = called(
        use,
        Exchange(URL + "?a=1", status=503, headers={"retry-after": "2"}),
        Exchange(URL + "?a=1", status=302, headers={"location": "/new"}),
        Exchange(
            "https://api.example.com/new", body=gzip.compress(b'{"ok": true}'), headers={"content-encoding": "gzip"}
        ),
        Exchange(URL, method="POST", status=422, request_json={"x": 1}),
    )
    assert answer == ({"ok": True}, "https://api.example.com/new", 422) and result.waits == [2]
