"""A session: settings that requests share, their rate limit, retries, redirects and paging."""

from __future__ import annotations

import base64
import json as _json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from ..context import log
from ..errors import AuthError, ConfigError, DataError, DeniedError, Error
from . import transport
from .pages import PageGuard
from .response import Headers, Response, decompressed
from .retry import Retry
from .status import status_error

_REDIRECTS = (301, 302, 303, 307, 308)
_REPEATABLE = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
_SECRET = re.compile(
    r"(?i)auth|token|secret|password|passwd|api[-_]?key|apikey|signature|credential|cookie|^key$|^sig$"
)


class Auth(Protocol):
    """What makes the `Authorization` header of a session's requests."""

    def header(self, session: Session) -> str:
        """The header's value."""

    def refused(self) -> bool:
        """Called after a 401; returns whether a new value is worth one more attempt."""


class Session:
    """Settings that requests share.

    `base_url` is put before relative addresses. `bearer`, `basic` (user, password), `auth` (such as `oauth2`) or
    `headers` log in. Times are in seconds: `timeout` until the first byte and between bytes, `connect_timeout`,
    `total_timeout` for one response. A response may have `max_bytes`, also after decompression.
    """

    def __init__(
        self,
        base_url: str = "",
        *,
        bearer: str | None = None,
        basic: tuple[str, str] | None = None,
        auth: Auth | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        timeout: float = 30,
        connect_timeout: float = 10,
        total_timeout: float = 600,
        max_bytes: int = 64 << 20,
        redirects: int = 5,
        retry: Retry | None = None,
        requests_per_second: float | None = None,
    ):
        self.base_url = base_url
        self.headers = Headers((headers or {}).items())
        self.params = dict(params or {})
        self.auth = auth
        self.timeout, self.connect_timeout, self.total_timeout = timeout, connect_timeout, total_timeout
        self.max_bytes, self.redirects = max_bytes, redirects
        self.retry = retry or Retry()
        self.sent = 0
        """How many requests were sent."""
        self._interval = 1 / requests_per_second if requests_per_second else 0.0
        self._next = 0.0
        if bearer is not None:
            self.headers["authorization"] = f"Bearer {bearer}"
        if basic is not None:
            self.headers["authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()

    def get(self, url: str = "", **options: Any) -> Response:
        return self.request("GET", url, **options)

    def post(self, url: str = "", **options: Any) -> Response:
        return self.request("POST", url, **options)

    def put(self, url: str = "", **options: Any) -> Response:
        return self.request("PUT", url, **options)

    def patch(self, url: str = "", **options: Any) -> Response:
        return self.request("PATCH", url, **options)

    def delete(self, url: str = "", **options: Any) -> Response:
        return self.request("DELETE", url, **options)

    def request(
        self,
        method: str,
        url: str = "",
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        body: bytes | str | None = None,
        accept: tuple[int, ...] = (),
        repeatable: bool | None = None,
        raises: bool = True,
    ) -> Response:
        """Sends a request and reads its response.

        The body is `json`, `form` fields or `body`. A parameter that is `None` is left out. Statuses in `accept` are
        returned at once instead of raised; with `raises=False`, every final status is returned after the retries. A POST
        or PATCH is only retried with `repeatable=True`.
        """
        target = with_params(self.address(url), {**self.params, **(params or {})})
        sent = Headers(self.headers.items())
        content = body.encode() if isinstance(body, str) else body
        if json is not None:
            content = _json.dumps(json, allow_nan=False).encode()
            sent["content-type"] = "application/json"
        elif form is not None:
            content = urlencode({name: value for name, value in form.items() if value is not None}).encode()
            sent["content-type"] = "application/x-www-form-urlencoded"
        for name, value in (headers or {}).items():
            sent[name] = value
        method = method.upper()
        may_repeat = method in _REPEATABLE if repeatable is None else repeatable
        request = _Request(method, target, sent, content, accept, may_repeat, raises)
        return self._authorized(request)

    def address(self, url: str) -> str:
        """The address that `url` means in this session."""
        if not self.base_url or urlsplit(url).scheme:
            return url
        return urljoin(self.base_url.rstrip("/") + "/", url) if url else self.base_url

    def pages_by_link(
        self, url: str = "", *, relation: str = "next", max_pages: int = 100_000, **options: Any
    ) -> Iterator[Response]:
        """The pages of a list whose responses name the next page in a `Link` header."""
        guard = PageGuard(max_pages)
        following: str | None = self.address(url)
        while following:
            guard.ask(following)
            page = self.get(following, **options)
            yield page
            named = page.link(relation)
            following = urljoin(page.url, named) if named else None
            # The address of the next page has the parameters already.
            options.pop("params", None)

    def pages_by_cursor(
        self,
        url: str = "",
        *,
        cursor: str | Callable[[Any], Any],
        param: str = "cursor",
        max_pages: int = 100_000,
        **options: Any,
    ) -> Iterator[Response]:
        """The pages of a list whose bodies have the next page's cursor: in the member `cursor` (such as
        `meta.next_cursor`), or as that function finds it. It is sent as the parameter `param`; if it is an address, it
        is requested as it is. A cursor that is missing, null, false or empty ends the list."""
        guard = PageGuard(max_pages)
        params = dict(options.pop("params", None) or {})
        at: str | None = None
        while True:
            guard.ask(repr(at))
            if at is not None and urlsplit(at).scheme in ("http", "https"):
                page = self.get(at, **options)
            else:
                page = self.get(url, params=params if at is None else {**params, param: at}, **options)
            yield page
            found = cursor(page.json()) if callable(cursor) else _member(page.json(), cursor)
            if found is None or found is False or found == "":
                return
            at = str(found)

    def pages_by_number(
        self,
        url: str = "",
        *,
        records: str | Callable[[Any], Any] = "",
        param: str = "page",
        first: int = 1,
        step: int = 1,
        max_pages: int = 100_000,
        **options: Any,
    ) -> Iterator[Response]:
        """The pages of a list that are requested by number (or by offset, with `first=0` and the page's size as
        `step`), until one has no records. `records` is the member that has them, or a function that finds them; by
        default the body itself is the list."""
        guard = PageGuard(max_pages)
        params = dict(options.pop("params", None) or {})
        number = first
        while True:
            guard.ask(str(number))
            page = self.get(url, params={**params, param: number}, **options)
            found = records(page.json()) if callable(records) else _member(page.json(), records)
            if not isinstance(found, (list, dict, type(None))):
                raise DataError(
                    f"the response to `{page.asked}` has no list of records{f' in `{records}`' if records else ''}"
                )
            if not found:
                return
            guard.got(page.content)
            yield page
            number += step

    def _authorized(self, request: _Request) -> Response:
        if self.auth is None:
            return self._repeatedly(request)
        request.headers["authorization"] = self.auth.header(self)
        try:
            return self._repeatedly(request)
        except AuthError as error:
            if error.code != "HTTP 401" or not self.auth.refused():
                raise
        request.headers["authorization"] = self.auth.header(self)
        return self._repeatedly(request)

    def _repeatedly(self, request: _Request) -> Response:
        tried = 0
        while True:
            tried += 1
            response: Response | None = None
            try:
                response = self._follow(request)
                pending = response.status == 202 and "retry-after" in response.headers
                if 200 <= response.status < 300 and not pending or response.status in request.accept:
                    return response
                error = status_error(response.asked, response.status, response.headers, response.content)
            except Error as failure:
                error = failure
            wait = self.retry.wait(tried, response.status if response else None, error) if request.repeatable else None
            if wait is None:
                if response is not None and not request.raises:
                    return response
                if error.retry_after is not None and error.retry_after > self.retry.max_wait:
                    error.message += f", longer than the {self.retry.max_wait:g} s that are waited at most"
                if tried > 1:
                    error.message += f" (tried {tried} times)"
                raise error
            log.info("a request failed and is tried again", because=error.message, wait_ms=round(wait * 1000))
            transport.sleep(wait)

    def _follow(self, request: _Request) -> Response:
        """Sends the request, and follows the server's redirects up to a bound."""
        hop, left = request, self.redirects
        deadline = time.monotonic() + self.total_timeout
        while True:
            response = self._once(hop, deadline)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or location is None or response.status in request.accept:
                return response
            if self.redirects == 0:
                return response
            if left == 0:
                raise ConfigError(f"`{shown(request.method, request.url)}` redirects more than {self.redirects} times")
            left -= 1
            hop = _redirected(hop, response.status, urljoin(hop.url, location))

    def _once(self, request: _Request, deadline: float) -> Response:
        now = time.monotonic()
        if self._next > now:
            transport.sleep(self._next - now)
        self._next = max(now, self._next) + self._interval
        self.sent += 1
        asked = shown(request.method, request.url)
        headers = Headers(request.headers.items())
        headers.setdefault("accept-encoding", "gzip, deflate")
        headers.setdefault("user-agent", "osiris-sdk-python")
        outgoing = transport.Outgoing(
            request.method,
            request.url,
            headers,
            request.body,
            self.connect_timeout,
            self.timeout,
            deadline,
            self.max_bytes,
        )
        try:
            incoming = transport.send(outgoing)
        except Error as error:
            error.message = f"cannot call `{asked}`: {error.message}"
            raise
        received = Headers(incoming.headers)
        try:
            content = decompressed(incoming.body, received.get("content-encoding", ""), self.max_bytes)
        except ValueError as error:
            raise DataError(f"cannot read the response to `{asked}`: {error}") from None
        return Response(asked, request.url, incoming.status, received, content)


@dataclass
class _Request:
    method: str
    url: str
    headers: Headers
    body: bytes | None
    accept: tuple[int, ...]
    repeatable: bool
    raises: bool


def _redirected(request: _Request, status: int, target: str) -> _Request:
    """The request that a redirect asks for. Neither a body nor a secret header is sent to another origin."""
    headers = Headers(request.headers.items())
    method, body = request.method, request.body
    if status == 303 and method != "HEAD" or status in (301, 302) and method == "POST":
        method, body = "GET", None
        headers.pop("content-type", None)
    if _origin(target) != _origin(request.url):
        if body is not None:
            raise DeniedError(
                f"`{shown(request.method, request.url)}` redirects to another origin, `{shown('', target)}`, which must not get "
                "the request's body; name that address in the step's config if it is meant"
            )
        for name in [name for name in headers if _SECRET.search(name)]:
            del headers[name]
    return replace(request, method=method, url=target, headers=headers, body=body)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def with_params(url: str, params: Mapping[str, Any]) -> str:
    """The address with more parameters. A list gives a parameter several times; `None` leaves it out."""
    pairs = []
    for name, value in params.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if one is not None:
                pairs.append((name, {True: "true", False: "false"}[one] if isinstance(one, bool) else str(one)))
    if not pairs:
        return url
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(pairs, quote_via=quote)) if part)
    return urlunsplit(parts._replace(query=query))


def shown(method: str, url: str) -> str:
    """Method and address for messages, without passwords and keys."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = "&".join(f"{quote(name)}={'…' if _SECRET.search(name) else quote(value)}" for name, value in pairs)
    return f"{method} {urlunsplit((parts.scheme, host, parts.path, query, ''))}".strip()


def _member(body: Any, path: str) -> Any:
    """The member of a body at a path such as `meta.next`; `None` if there is none."""
    for name in path.split(".") if path else ():
        if not isinstance(body, dict):
            return None
        body = body.get(name)
    return body
