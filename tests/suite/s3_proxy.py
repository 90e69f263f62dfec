"""A proxy in front of an S3 server that fails as networks and object stores do.

    proxy.fault(answers(503), "GET", "/objects/", times=3)
    proxy.fault(flipped, "GET", "/objects/")

A fault applies to requests of its method whose path contains its text, the first `times` of them or all; the latest that applies
counts. `proxy.faults.clear()` heals everything. Requests pass as they are, and so does their signature, which covers the name of the
host that the client asked; a request that a fault alters is signed anew.

As a fixture: `from s3_proxy import proxied`, which is a `Store` behind the proxy, with the proxy as `proxied.proxy`.
"""

import http.client
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest
from s3_client import Answer, Credentials
from s3_server import CREDENTIALS, Store

CONDITIONS = ("if-none-match", "if-match")
CODES = {400: "ExpiredToken", 403: "SignatureDoesNotMatch", 404: "NoSuchKey", 409: "ConditionalRequestConflict", 500: "InternalError", 503: "SlowDown"}


class Call(BaseHTTPRequestHandler):
    """One request on its way; a fault calls what it needs of `forward` and `send`."""

    protocol_version = "HTTP/1.1"
    # An answer leaves at once, and not when the peer has acknowledged its head.
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def answer(self) -> None:
        proxy: S3Proxy = self.server.owner
        self.rate: int | None = None
        self.head = {name.lower(): value for name, value in self.headers.items()}
        name = unquote(self.path)
        fault = proxy.choose(self.command, name)
        proxy.asked.append((self.command, name))
        try:
            (fault or passed)(self)
        except OSError:
            # The client has gone, or the server is stopped: the connection ends as it would without a proxy.
            self.close_connection = True
        if self.unread:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

    def handle_one_request(self) -> None:
        self.unread = True
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def body(self) -> bytes:
        self.unread = False
        parts, left = [], int(self.head.get("content-length") or 0)
        while left:
            part = self.rfile.read(min(left, self.rate // 10 if self.rate else left))
            if not part:
                raise ConnectionError("the client has gone")
            parts.append(part)
            left -= len(part)
            self._pace()
        return b"".join(parts)

    def _pace(self) -> None:
        if self.rate and self.server.owner.closed.wait(0.1):
            raise ConnectionError("the proxy is closed")

    def forward(self, head: dict[str, str] | None = None) -> Answer:
        """What the server answers to the request, with other headers if they are given."""
        body = self.body()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.owner.target, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in (head or self.head).items():
                if name not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def send(self, answer: Answer, length: int | None = None) -> None:
        """Sends an answer whose head announces `length`, which is that of its body unless told."""
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        said = answer.headers.get("content-length", "0") if self.command == "HEAD" else str(len(answer.body) if length is None else length)
        self.send_header("content-length", said)
        self.end_headers()
        step = self.rate // 10 if self.rate else len(answer.body) or 1
        for at in range(0, len(answer.body), step):
            self.wfile.write(answer.body[at : at + step])
            self.wfile.flush()
            self._pace()
        self.wfile.flush()
        if length not in (None, len(answer.body)):
            self.hang_up()

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_) -> None:
        pass


def passed(call: Call) -> None:
    call.send(call.forward())


def answers(status: int, message: str = "a fault of the tests") -> Callable[[Call], None]:
    """The server does nothing but refuse, with this status."""

    def fault(call: Call) -> None:
        call.body()
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{CODES[status]}</Code><Message>{message}</Message></Error>'
        call.send(Answer(status, {"content-type": "application/xml"}, text.encode()))

    return fault


def hangs(call: Call) -> None:
    """No answer, and no end of the connection."""
    call.server.owner.closed.wait()
    call.hang_up()


def refused(call: Call) -> None:
    """The connection ends before the request was read."""
    call.hang_up()


def unanswered(call: Call) -> None:
    """The server does what it is asked, and nobody learns of it."""
    call.forward()
    call.hang_up()


def slow(rate: int) -> Callable[[Call], None]:
    """Bodies pass at a number of bytes per second, both ways."""

    def fault(call: Call) -> None:
        call.rate = rate
        call.send(call.forward())

    return fault


def cut(call: Call) -> None:
    """The connection ends in the middle of the answer's body."""
    answer = call.forward()
    call.send(Answer(answer.status, answer.headers, answer.body[: len(answer.body) // 2]), len(answer.body))


def truncated(call: Call) -> None:
    """Half of the body, with a length that fits it."""
    answer = call.forward()
    call.send(Answer(answer.status, answer.headers, answer.body[: len(answer.body) // 2]))


def flipped(call: Call) -> None:
    """One bit of the body is another."""
    answer = call.forward()
    body = bytearray(answer.body)
    body[len(body) // 2] ^= 1
    call.send(Answer(answer.status, answer.headers, bytes(body)))


def unconditional(call: Call) -> None:
    """The server never learns of the request's conditions."""
    head = {name: value for name, value in call.head.items() if name not in CONDITIONS}
    call.send(call.forward(call.server.owner.credentials.sign(call.command, call.path, head)))


@dataclass
class Fault:
    apply: Callable[[Call], None]
    method: str
    within: str
    left: int | None


class S3Proxy:
    def __init__(self, target: int, credentials: Credentials = CREDENTIALS):
        self.target, self.credentials = target, credentials
        self.faults: list[Fault] = []
        # Method and path of each request, in order.
        self.asked: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.closed = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Call)
        self.server.daemon_threads = True
        self.server.owner = self
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def fault(self, apply: Callable[[Call], None], method: str = "", within: str = "", times: int | None = None) -> Fault:
        self.faults.append(Fault(apply, method, within, times))
        return self.faults[-1]

    def choose(self, method: str, name: str) -> Callable[[Call], None] | None:
        with self.lock:
            for fault in reversed(self.faults):
                if method.startswith(fault.method) and fault.within in name and fault.left != 0:
                    if fault.left is not None:
                        fault.left -= 1
                    return fault.apply
        return None

    def close(self) -> None:
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Proxied(Store):
    proxy: S3Proxy = None


@pytest.fixture
def proxied(s3_server, tmp_path):
    proxy = S3Proxy(s3_server.port)
    yield Proxied(s3_server.bucket(), tmp_path.name, proxy.port, proxy)
    proxy.close()
