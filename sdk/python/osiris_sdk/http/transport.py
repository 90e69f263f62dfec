"""Carries one request and its response: over `wasi:http` in a component, through the fake host in a native test."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from .. import _contract as contract
from ..errors import DataError, Error, InternalError, TimeoutError, TransientError, of_kind
from .response import Headers

_READ = 64 << 10
# The most that `blocking-write-and-flush` takes.
_WRITE = 4096


@dataclass
class Outgoing:
    """A request. Times are in seconds; `deadline` is a point of the monotonic clock."""

    method: str
    url: str
    headers: Headers
    body: bytes | None
    connect_timeout: float
    timeout: float
    deadline: float
    max_bytes: int


@dataclass
class Incoming:
    """A response, whose body is complete but not decompressed."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def sleep(seconds: float) -> None:
    """Waits; a native test only notes how long the driver would have waited."""
    if contract.IN_COMPONENT:
        if seconds > 0:
            time.sleep(seconds)
        return
    from .._fake_contract import host

    host().waits.append(seconds)


def send(request: Outgoing) -> Incoming:
    """Sends a request and reads the whole response."""
    if contract.IN_COMPONENT:
        if contract.outgoing_handler is None:
            raise InternalError("the driver uses HTTP, but was built without it; add `http` to the grants in its spec")
        return _send(request)
    from .._fake_contract import host

    return host().send(request)


def _send(request: Outgoing) -> Incoming:
    http = contract.http_types
    outgoing, body = _prepared(request)
    try:
        future = contract.outgoing_handler.handle(outgoing, _options(request))
    except contract.Err as refused:
        raise error_of(refused.value) from None
    # A server may respond before it has read everything, so the response, not the write, says what went wrong.
    broken = _written(body, request.body or b"")
    with future:
        _wait_for(future, request.connect_timeout + request.timeout, request.deadline)
        answer = future.get()
    outcome = answer.value if isinstance(answer, contract.Ok) else answer
    if isinstance(outcome, contract.Err):
        raise error_of(outcome.value)
    if not isinstance(outcome, contract.Ok):
        raise broken or InternalError("the host gave no response")
    response: Any = outcome.value
    with response:
        status = response.status()
        with response.headers() as fields:
            headers = [(name.lower(), _latin(value)) for name, value in fields.entries()]
        content = _body(response, request, http)
    expected = dict(headers).get("content-length", "")
    if expected.isdigit() and len(content) < int(expected) and request.method != "HEAD":
        raise TransientError(f"the response ends after {len(content)} of {expected} bytes")
    return Incoming(status, headers, content)


def _prepared(request: Outgoing) -> tuple[Any, Any]:
    http = contract.http_types
    parts = urlsplit(request.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise of_kind("config", "the address is not an http or https URL")
    if request.body is not None:
        request.headers["content-length"] = str(len(request.body))
    try:
        fields = http.Fields.from_list([(name, value.encode("utf-8")) for name, value in request.headers.items()])
        outgoing = http.OutgoingRequest(fields)
        outgoing.set_method(_method(request.method))
        outgoing.set_scheme(http.Scheme_Https() if parts.scheme == "https" else http.Scheme_Http())
        outgoing.set_authority(parts.netloc.rpartition("@")[2])
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]")
        outgoing.set_path_with_query(f"{path}?{query}" if query else path)
        return outgoing, outgoing.body()
    except contract.Err:
        raise of_kind("config", "the method, the address or a header is malformed") from None


def _method(name: str) -> Any:
    http = contract.http_types
    known = getattr(http, f"Method_{name.capitalize()}", None)
    return known() if known is not None and name != "OTHER" else http.Method_Other(name)


def _options(request: Outgoing) -> Any:
    options = contract.http_types.RequestOptions()
    for set_timeout, seconds in (
        (options.set_connect_timeout, request.connect_timeout),
        (options.set_first_byte_timeout, request.timeout),
        (options.set_between_bytes_timeout, request.timeout + 5),
    ):
        try:
            set_timeout(int(seconds * 1e9))
        except contract.Err:
            pass  # A host without this option has its own limit.
    return options


def _written(body: Any, content: bytes) -> Error | None:
    """Writes the request's body; returns what broke it."""
    try:
        if content:
            with body.write() as stream:
                for start in range(0, len(content), _WRITE):
                    stream.blocking_write_and_flush(content[start : start + _WRITE])
        contract.http_types.OutgoingBody.finish(body, None)
    except contract.Err as broken:
        return _stream_error(broken.value)
    return None


def _wait_for(source: Any, most: float, deadline: float) -> None:
    with source.subscribe() as ready:
        if ready.ready():
            return
        left = max(0.0, deadline - time.monotonic())
        with contract.monotonic_clock.subscribe_duration(int(min(most, left) * 1e9)) as timer:
            if 0 not in contract.poll.poll([ready, timer]):
                raise TimeoutError(
                    "the response took longer than it may as a whole"
                    if left < most
                    else "the server kept silent for longer than it may"
                )


def _body(response: Any, request: Outgoing, http: Any) -> bytes:
    """The whole body; its trailers show whether it was complete."""
    parts: list[bytes] = []
    left = request.max_bytes
    body = response.consume()
    try:
        with body.stream() as stream:
            while True:
                _wait_for(stream, request.timeout, request.deadline)
                try:
                    part = stream.read(_READ)
                except contract.Err as end:
                    if isinstance(end.value, contract.streams.StreamError_Closed):
                        break
                    raise _stream_error(end.value) from None
                left -= len(part)
                if left < 0:
                    raise DataError(f"the response is larger than the {request.max_bytes} bytes that it may be")
                parts.append(part)
    except Error:
        body.__exit__(None, None, None)
        raise
    with http.IncomingBody.finish(body) as trailers:
        _wait_for(trailers, request.timeout, request.deadline)
        outcome = trailers.get()
    inner = outcome.value if isinstance(outcome, contract.Ok) else None
    if isinstance(inner, contract.Err):
        raise error_of(inner.value)
    return b"".join(parts)


def _latin(value: bytes) -> str:
    """A header's value; older servers write it in Latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _stream_error(error: Any) -> Error:
    if isinstance(error, contract.streams.StreamError_LastOperationFailed):
        code = contract.http_types.http_error_code(error.value)
        if code is not None:
            return error_of(code)
        return TransientError(
            f"the connection broke before the response was complete ({error.value.to_debug_string()})"
        )
    if isinstance(error, contract.streams.StreamError_Closed):
        return TransientError("the connection was closed")
    return error_of(error)


_CODES = {
    "HttpRequestDenied": ("denied", "the step was not granted this request"),
    "DestinationIpProhibited": ("denied", "the host's name resolves to an address that was not granted"),
    "DnsTimeout": ("timeout", "resolving the host's name took too long"),
    "DnsError": ("transient", "the host's name is not known"),
    "DestinationNotFound": ("transient", "the host's name is not known"),
    "DestinationUnavailable": ("transient", "the host cannot be reached"),
    "DestinationIpUnroutable": ("transient", "the host cannot be reached"),
    "ConnectionRefused": ("transient", "the connection was refused"),
    "ConnectionTerminated": ("transient", "the connection broke"),
    "ConnectionLimitReached": ("transient", "too many connections are open"),
    "ConnectionTimeout": ("timeout", "connecting took too long"),
    "ConnectionReadTimeout": ("timeout", "the server kept silent for longer than it may"),
    "HttpResponseTimeout": ("timeout", "the server kept silent for longer than it may"),
    "ConnectionWriteTimeout": ("timeout", "the server took too long to read the request"),
    "TlsProtocolError": ("transient", "the server and this side cannot agree on TLS"),
    "TlsCertificateError": (
        "auth",
        "the server's certificate is expired, names another host or leads to no trusted root",
    ),
    "TlsAlertReceived": ("transient", "the server refused TLS"),
    "HttpResponseIncomplete": ("transient", "the response ends before it is complete"),
    "HttpProtocolError": ("transient", "the server violates HTTP"),
    "HttpResponseBodySize": ("data", "the response is larger than it may be"),
    "HttpResponseHeaderSectionSize": ("data", "the response is larger than it may be"),
    "HttpResponseHeaderSize": ("data", "the response is larger than it may be"),
    "HttpRequestUriInvalid": ("config", "the address is malformed"),
    "HttpRequestUriTooLong": ("config", "the address is malformed"),
}


def error_of(code: Any) -> Error:
    """The error of a `wasi:http` error code."""
    name = type(code).__name__.removeprefix("ErrorCode_")
    if name in _CODES:
        return of_kind(*_CODES[name])
    return InternalError(getattr(code, "value", None) or f"HTTP failed with {name}")
